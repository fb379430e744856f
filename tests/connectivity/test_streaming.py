"""The stream gives the offline numbers, for any chunks, and does not bridge gaps."""

import numpy as np
import pytest

from neuro.connectivity.directed import directed_connectivity
from neuro.connectivity.spectral import SPECTRAL, spectral_connectivity
from neuro.connectivity.streaming import StreamingConnectivity
from neuro.errors import ConfigError, DataError

NAMES = tuple(SPECTRAL)
SFREQ = 128


def signal(n=1500, seed=0, n_chans=4):
    x = np.random.default_rng(seed).standard_normal((n_chans, n))
    x[1, 2:] += x[0, :-2]
    x[2] += x[0]
    return x


def run(x, size, **options):
    stream = StreamingConnectivity(len(x), SFREQ, **{"methods": NAMES, **options})
    return [u for i in range(0, x.shape[1], size) for u in stream.push(x[:, i : i + size])]


@pytest.mark.parametrize("estimator", ["welch", "multitaper"])
def test_without_forgetting_the_stream_is_the_batch(estimator):
    x = signal()
    updates = run(x, 100, estimator=estimator)
    for update in (updates[0], updates[5], updates[-1]):
        batch = spectral_connectivity(
            x[:, : update.sample], SFREQ, NAMES, average="trials", estimator=estimator, length_s=1
        )
        for name in NAMES:
            # the same windows and formulas in another order of summation: rounding only
            np.testing.assert_allclose(update.values(name), batch[name].values, atol=1e-10)
            assert update.n_windows == batch[name].n_windows
        assert update.n_eff == pytest.approx(batch["coherence"].n_eff)


def test_models_are_those_of_the_batch():
    x = signal()
    update = run(x, 64, methods=("pdc", "gpdc"), order=3)[-1]
    options = {"average": "trials", "order": 3, "n_freqs": SFREQ // 2 + 1}
    batch = directed_connectivity(x[:, : update.sample], SFREQ, ("pdc", "gpdc"), **options)
    for name in ("pdc", "gpdc"):
        np.testing.assert_allclose(update.values(name), batch[name].values[1:], atol=1e-9)


def test_any_chunk_size_gives_the_same_bits():
    x = signal(700)
    options = {"methods": (*NAMES, "pdc"), "order": 2, "tau_s": 2.0}
    whole = run(x, 700, **options)
    for size in (1, 7, 32, 512):
        parts = run(x, size, **options)
        assert [u.sample for u in parts] == [u.sample for u in whole]
        for a, b in zip(parts, whole, strict=True):
            for name in a.names:
                np.testing.assert_array_equal(a.values(name), b.values(name))


def test_forgetting_weighs_windows_exponentially():
    x, tau = signal(600), 1.5
    update = run(x, 50, methods=("coherence", "ppc", "debiased_wpli", "pli"), tau_s=tau)[-1]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SFREQ) / SFREQ)
    starts = np.arange(0, 600 - SFREQ + 1, 64)
    parts = np.stack([x[:, s : s + SFREQ] for s in starts])
    z = np.fft.rfft((parts - parts.mean(-1, keepdims=True)) * taper)[..., 10]
    w = np.exp(-64 / (SFREQ * tau)) ** np.arange(len(starts))[::-1]
    s = z[:, 0] * z[:, 1].conj()
    power = (w[:, None] * abs(z) ** 2).sum(axis=0)
    im, u, n2 = s.imag, (w * s / abs(s)).sum(), (w**2).sum()
    expected = {
        "coherence": abs((w * s).sum()) / np.sqrt(power[0] * power[1]),
        "ppc": (abs(u) ** 2 - n2) / (w.sum() ** 2 - n2),
        "debiased_wpli": ((w * im).sum() ** 2 - (w**2 * im**2).sum())
        / ((w * abs(im)).sum() ** 2 - (w**2 * im**2).sum()),
        "pli": abs((w * np.sign(im)).sum()) / w.sum(),
    }
    for name, value in expected.items():
        assert update.values(name)[9, 0, 1] == pytest.approx(value, abs=1e-10), name
    assert update.n_windows == pytest.approx(w.sum())


def test_a_step_in_coupling_is_followed_with_the_time_constant():
    rng, tau, half = np.random.default_rng(1), 4.0, SFREQ * 60
    x = rng.standard_normal((30, 2, 2 * half))
    x[:, 1, half:] = np.roll(x[:, 0, half:], 3, axis=-1)  # a quarter of a cycle at 10.7 Hz
    options = {"tau_s": tau, "overlap": 0, "fmin": 8, "fmax": 13}
    found = []
    for trial in x:
        stream = StreamingConnectivity(2, SFREQ, ("imaginary_coherence",), **options)
        updates = stream.push(trial)
        found.append([u.values("imaginary_coherence")[:, 0, 1].mean() for u in updates])
    level = np.mean(found, axis=0)  # signed, so noise averages out instead of adding a floor
    seconds = np.arange(len(level)) + 2.0 - 60  # the first result comes with the second window
    share = (level / level[seconds > 40].mean())[seconds >= 0]
    reached = np.interp(1 - np.exp(-1), share, seconds[seconds >= 0])
    assert reached == pytest.approx(tau, rel=0.2)


def test_a_gap_is_flagged_and_nothing_crosses_it():
    x = signal(1200)
    broken = x.copy()
    broken[2, 500] = np.nan
    updates = run(broken, 90)
    flagged = [u for u in updates if u.after_gap]
    assert [u.sample for u in flagged] == [501 + SFREQ + 64]
    fresh = run(x[:, 501:], 90)
    after = [u for u in updates if u.sample > 501]
    assert len(after) == len(fresh)
    for a, b in zip(after, fresh, strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(a.values(name), b.values(name))


def test_a_jump_of_the_sample_counter_is_a_gap():
    x = signal(1000)
    stream = StreamingConnectivity(4, SFREQ, ("wpli",))
    stream.push(x[:, :400], start=0)
    assert not any(u.after_gap for u in stream.push(x[:, 400:600], start=400))
    updates = stream.push(x[:, 700:], start=700)
    assert updates[0].after_gap
    assert updates[0].sample == 700 + SFREQ + 64
    assert not updates[1].after_gap
    with pytest.raises(DataError, match="1000 samples have been seen"):
        stream.push(x[:, :10], start=10)


def test_state_can_be_saved_and_restored():
    x = signal(900)
    options = {"methods": (*NAMES, "gpdc"), "order": 2, "tau_s": 3.0}
    first = StreamingConnectivity(4, SFREQ, **options)
    first.push(x[:, :333])
    second = StreamingConnectivity(4, SFREQ, **options)
    second.load_state_dict({k: np.array(v) for k, v in first.state_dict().items()})
    for a, b in zip(first.push(x[:, 333:]), second.push(x[:, 333:]), strict=True):
        for name in a.names:
            np.testing.assert_array_equal(a.values(name), b.values(name))
    other = StreamingConnectivity(4, SFREQ, ("wpli",), length_s=2)
    with pytest.raises(DataError, match="other arguments"):
        other.load_state_dict(first.state_dict())
    with pytest.raises(DataError, match="entries"):
        other.load_state_dict({})


def test_reset_is_a_new_object():
    x = signal(600)
    stream = StreamingConnectivity(4, SFREQ, NAMES)
    stream.push(signal(777, seed=5))
    stream.reset()
    again, fresh = stream.push(x), run(x, 600)
    assert [u.sample for u in again] == [u.sample for u in fresh]
    np.testing.assert_array_equal(again[-1].values("wpli"), fresh[-1].values("wpli"))


def test_strength_is_the_sum_over_the_other_channels():
    update = run(signal(), 200, methods=(*NAMES, "pdc"), order=2, bands={"a": (8, 13)})[-1]
    assert update.freqs.tolist() == [10.0]
    for name in update.names:
        v = update.values(name)
        v = abs(v) if name == "imaginary_coherence" else v
        diagonal = np.diagonal(v, axis1=1, axis2=2)
        np.testing.assert_allclose(update.strength(name), v.sum(axis=2) - diagonal, atol=1e-12)


def test_bands_are_those_of_the_batch():
    x, bands = signal(), {"a": (8, 13), "b": (13, 30)}
    update = run(x, 200, methods=("wpli",), bands=bands)[-1]
    batch = spectral_connectivity(
        x[:, : update.sample], SFREQ, ("wpli",), average="trials", bands=bands, length_s=1
    )
    np.testing.assert_allclose(update.values("wpli"), batch["wpli"].values, atol=1e-12)


def test_models_wait_until_they_are_determined():
    updates = run(signal(900), 300, methods=("pdc",), order=50)
    assert np.isnan(updates[0].values("pdc")).all()
    assert np.isfinite(updates[-1].values("pdc")).all()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"methods": ("wpi",)}, ConfigError, "Did you mean"),
        ({"methods": ("dtf",)}, ConfigError, "no streaming form"),
        ({"methods": ("pdc",)}, ConfigError, "needs order"),
        ({"methods": ("pdc",), "order": 20, "tau_s": 0.1}, ConfigError, "remembers fewer"),
        ({"methods": ("wpli",), "tau_s": 0}, ConfigError, "tau_s"),
        ({"methods": ("wpli",), "bands": {"a": (8, 8.2)}}, DataError, "finest"),
        ({"methods": ("wpli",), "bands": {"a": (50, 80)}}, DataError, "Nyquist"),
    ],
    ids=["name", "offline", "order", "memory", "tau", "narrow", "nyquist"],
)
def test_bad_arguments_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        StreamingConnectivity(4, SFREQ, **options)


def test_a_chunk_of_another_shape_is_refused():
    stream = StreamingConnectivity(4, SFREQ, ("wpli",))
    with pytest.raises(DataError, match=r"\(4, n\)"):
        stream.push(np.zeros((100, 4)))
