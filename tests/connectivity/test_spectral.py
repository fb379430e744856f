"""Undirected spectral measures: known truths, conventions, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.connectivity.spectral import ALIASES, SPECTRAL, spectral_connectivity
from neuro.errors import ConfigError, DataError

NAMES = tuple(SPECTRAL)
COHERENCY = ("coherence", "squared_coherence", "imaginary_coherence")


def delayed(n_epochs, seed=0, n_times=200, lag=3):
    """x = s + noise, y = s delayed by 3 samples + noise, z = x's source at once + noise."""
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((n_epochs, 1, n_times + lag))
    parts = [s[..., lag:], s[..., :n_times], s[..., lag:]]
    return np.concatenate(parts, axis=1) + rng.standard_normal((n_epochs, 3, n_times))


def test_delayed_copy_has_the_coherence_of_the_formula():
    found = spectral_connectivity(
        delayed(200), 200, COHERENCY, average="trials", estimator="multitaper", fmin=12, fmax=12
    )
    # |C| = 1/2 and Im C = sin(2 pi 12 * 3 / 200) / 2; sampling error of 200 x 7 tapers is 0.03
    assert found["coherence"].values[0, 0, 1] == pytest.approx(0.5, abs=0.06)
    assert found["squared_coherence"].values[0, 0, 1] == pytest.approx(0.25, abs=0.06)
    assert found["imaginary_coherence"].values[0, 0, 1] == pytest.approx(0.452, abs=0.06)


@pytest.mark.parametrize("estimator", ["morlet", "burg"])
def test_other_estimators_find_the_same_coherency(estimator):
    options = {"order": 8} if estimator == "burg" else {}
    found = spectral_connectivity(
        delayed(200), 200, COHERENCY, average="trials", estimator=estimator, freqs=[12], **options
    )
    assert found["coherence"].values[0, 0, 1] == pytest.approx(0.5, abs=0.06)
    assert found["imaginary_coherence"].values[0, 0, 1] == pytest.approx(0.452, abs=0.06)


def test_zero_lag_copy_is_invisible_to_imaginary_measures():
    names = ("coherence", "imaginary_coherence", "wpli", "debiased_wpli")
    # a 9 Hz band of 4,000 windows: the null level of wPLI is about 1 / sqrt(n)
    found = spectral_connectivity(
        delayed(4000), 200, names, average="trials", bands={"a": (8, 17)}, length_s=1
    )
    value = {name: found[name].values[0, 0, 2] for name in names}
    assert value["coherence"] == pytest.approx(0.5, abs=0.03)
    assert abs(value["imaginary_coherence"]) < 0.02
    assert value["wpli"] < 0.05
    assert abs(value["debiased_wpli"]) < 0.01


def test_the_lagging_channel_is_the_column():
    found = spectral_connectivity(
        delayed(300), 200, ("dpli", "imaginary_coherence"), average="trials", fmin=10, fmax=14
    )
    assert (found["dpli"].values[:, 0, 1] > 0.6).all()
    assert (found["imaginary_coherence"].values[:, 0, 1] > 0.2).all()


def test_both_halves_of_a_matrix_follow_the_declared_symmetry():
    found = spectral_connectivity(delayed(30), 200, NAMES, average="trials")
    for name, measure in SPECTRAL.items():
        v = found[name].values
        w = v.swapaxes(1, 2)
        off = ~np.eye(3, dtype=bool)
        expected = {"symmetric": w, "antisymmetric": -w, "complement": 1 - w}[measure.symmetry]
        np.testing.assert_allclose(v[:, off], expected[:, off], atol=1e-15)
        assert (v[:, ~off] == measure.diagonal).all()
        assert v.min() >= measure.range[0]
        assert v.max() <= measure.range[1]


def test_formulas_against_the_definitions():
    x = delayed(12, n_times=64)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    z = np.fft.rfft((x - x.mean(-1, keepdims=True)) * taper)[..., 5]
    s = z[:, 0] * z[:, 1].conj()
    u, im, n = s / abs(s), s.imag, len(s)
    c = s.sum() / np.sqrt((abs(z[:, 0]) ** 2).sum() * (abs(z[:, 1]) ** 2).sum())
    plv, sign = u.mean(), np.sign(im).mean()
    expected = {
        "coherence": abs(c),
        "squared_coherence": abs(c) ** 2,
        "imaginary_coherence": c.imag,
        "plv": abs(plv),
        "ciplv": abs(plv.imag) / np.sqrt(1 - plv.real**2),
        "ppc": (n * abs(plv) ** 2 - 1) / (n - 1),
        "pli": abs(sign),
        "unbiased_pli": (n * sign**2 - 1) / (n - 1),
        "dpli": np.mean((np.sign(im) + 1) / 2),
        "wpli": abs(im.mean()) / abs(im).mean(),
        "debiased_wpli": (im.sum() ** 2 - (im**2).sum()) / (abs(im).sum() ** 2 - (im**2).sum()),
    }
    found = spectral_connectivity(x, 64, NAMES, average="trials", fmin=5, fmax=5)
    for name, value in expected.items():
        assert found[name].values[0, 0, 1] == pytest.approx(value, abs=1e-12), name


def test_unbiased_measures_are_zero_in_the_mean_for_noise():
    x = np.random.default_rng(0).standard_normal((20, 20, 128))
    names = ("ppc", "unbiased_pli", "debiased_wpli", "plv")
    found = spectral_connectivity(x, 128, names, average="trials")
    rows, columns = np.triu_indices(20, 1)
    mean = {m: e.values[2:-2, rows, columns].mean() for m, e in found.items()}
    # 190 pairs x 60 bins: the standard error of a mean is below 0.001
    assert abs(mean["ppc"]) < 0.004
    assert abs(mean["unbiased_pli"]) < 0.004
    assert abs(mean["debiased_wpli"]) < 0.008
    assert mean["plv"] > 0.15  # the bias they are free of: sqrt(pi / 4 / 20) = 0.198


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_scale_and_order_of_channels_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, 4, 40))
    order = rng.permutation(4)
    size = np.array([1, scale, 1, scale])[:, np.newaxis]
    plain = spectral_connectivity(x, 40, NAMES, average="trials")
    changed = spectral_connectivity(x[:, order] * size, 40, NAMES, average="trials")
    for name in NAMES:
        expected = plain[name].values[:, order][:, :, order]
        # at 0 Hz and Nyquist spectra are real, so phase signs there are zeros: compare inside
        np.testing.assert_allclose(changed[name].values[:-1], expected[:-1], atol=1e-9)


def test_copies_of_a_channel_have_no_lag_not_the_sign_of_rounding():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((50, 1, 100))
    x = np.concatenate([a, a, 0.3 * a, rng.standard_normal((50, 1, 100))], axis=1)
    found = spectral_connectivity(
        x, 100, ("pli", "wpli", "debiased_wpli", "dpli"), average="trials", estimator="multitaper"
    )
    for name in ("pli", "wpli", "debiased_wpli"):
        assert (found[name].values[:, 0, 1:3] == 0).all()
    assert (found["dpli"].values[:, 0, 1:3] == 0.5).all()


def test_mixing_leaves_imaginary_coherence_at_its_null():
    rng = np.random.default_rng(2)
    n = 400
    mixing = rng.standard_normal((8, 8))
    x = np.einsum("ij,ejt->eit", mixing, rng.standard_normal((n, 8, 100)))
    names = ("coherence", "imaginary_coherence")
    found = spectral_connectivity(x, 100, names, average="trials", fmin=10, fmax=10)
    rows, columns = np.triu_indices(8, 1)
    c = found["coherence"].values[0, rows, columns]
    im = found["imaginary_coherence"].values[0, rows, columns]
    # Im C of unrelated phases is normal with sd sqrt((1 - C^2) / 2n): 99 % inside 2.576 sd
    inside = abs(im) < 2.576 * np.sqrt((1 - c**2) / (2 * n))
    assert inside.mean() >= 0.95
    assert np.mean(c > np.sqrt(-np.log(0.01) / n)) > 0.7  # coherence is fooled


def test_time_averages_windows_of_each_trial():
    x = delayed(3, n_times=2000)
    found = spectral_connectivity(x, 200, ("coherence", "pli"), average="time", length_s=1)
    alone = spectral_connectivity(x[1:2], 200, ("coherence", "pli"), average="trials", length_s=1)
    assert found["coherence"].dims == ("trial", "freq", "source", "target")
    for name, estimate in found.items():
        np.testing.assert_array_equal(estimate.values[1], alone[name].values)


def test_band_values_are_means_over_the_bins_of_a_half_open_band():
    x = delayed(20)
    bins = spectral_connectivity(x, 200, ("wpli",), average="trials", length_s=1)["wpli"]
    band = spectral_connectivity(
        x, 200, ("wpli",), average="trials", length_s=1, bands={"a": (8, 12), "b": (12, 30)}
    )["wpli"]
    inside = (bins.freqs >= 8) & (bins.freqs < 12)
    assert inside.sum() == 4
    np.testing.assert_allclose(band.values[0], bins.values[inside].mean(axis=0), atol=1e-12)
    assert band.bands == ("a", "b")


def test_a_narrower_range_changes_no_value():
    x = delayed(20)
    wide = spectral_connectivity(x, 200, NAMES, average="trials")
    narrow = spectral_connectivity(x, 200, NAMES, average="trials", fmin=10, fmax=20)
    keep = (wide["plv"].freqs >= 10) & (wide["plv"].freqs <= 20)
    for name in NAMES:
        # another way to the same transform: rounding only
        np.testing.assert_allclose(wide[name].values[keep], narrow[name].values, atol=1e-9)


def test_windows_do_not_cross_trials_of_different_length():
    long, short = delayed(1, n_times=400)[0], delayed(1, seed=5, n_times=250)[0]
    both = spectral_connectivity([long, short], 200, ("coherence",), average="trials", length_s=1)
    cut = np.stack([long[:, :200], long[:, 100:300], long[:, 200:], short[:, :200]])
    apart = spectral_connectivity(cut, 200, ("coherence",), average="trials", length_s=1)
    assert both["coherence"].n_windows == 4
    np.testing.assert_allclose(both["coherence"].values, apart["coherence"].values, atol=1e-12)


def test_trials_with_nan_are_left_out_whole_and_counted():
    x = delayed(10)
    broken = x.copy()
    broken[3, 1, 7] = np.nan
    found = spectral_connectivity(broken, 200, NAMES, average="trials")
    clean = spectral_connectivity(np.delete(x, 3, axis=0), 200, NAMES, average="trials")
    for name in NAMES:
        np.testing.assert_array_equal(found[name].values, clean[name].values)
    assert found["plv"].attrs["n_dropped"] == 1


def test_effective_windows_count_tapers_and_overlap():
    x = np.random.default_rng(0).standard_normal((4, 2, 4000))
    apart = spectral_connectivity(x, 200, ("coherence",), average="trials", length_s=1, overlap=0)[
        "coherence"
    ]
    half = spectral_connectivity(x, 200, ("coherence",), average="trials", length_s=1)["coherence"]
    tapers = spectral_connectivity(
        x, 200, ("coherence", "plv"), average="trials", estimator="multitaper"
    )
    assert apart.n_eff == pytest.approx(80)
    # Welch 1967: half-overlapping Hann windows correlate by 1/6 in amplitude
    assert half.n_windows == 156
    assert half.n_eff == pytest.approx(156 / (1 + 2 * (38 / 39) / 36), rel=1e-6)
    assert tapers["coherence"].n_eff == pytest.approx(28, rel=0.01)
    assert tapers["plv"].n_eff == pytest.approx(4)


def test_names_of_other_libraries_are_understood():
    found = spectral_connectivity(delayed(5), 200, tuple(ALIASES), average="trials")
    assert set(found) == set(ALIASES.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_single_window_is_refused(name):
    with pytest.raises(DataError, match=r"1 window .* not an estimate"):
        SPECTRAL[name].function(delayed(1), 200, average="trials", length_s=1)


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        (lambda x: x[:, :1], {}, DataError, "at least 2 channels"),
        (lambda x: x * [[1], [0], [1]], {}, DataError, "Constant channels.*'1'"),
        (lambda x: x * np.nan, {}, DataError, "Every trial holds NaN"),
        (lambda x: x[0].T, {}, DataError, "axes look swapped"),
        (lambda x: x[0, 0], {}, DataError, "Expected x of shape"),
        (lambda x: x, {"bands": {"hf": (90, 120)}}, DataError, "Nyquist"),
        (lambda x: x, {"bands": {"mu": (10, 10.5)}}, DataError, "1 Hz is the finest"),
        (lambda x: x, {"estimator": "multitaper", "bands": {"a": (8, 13)}}, DataError, "8 Hz is"),
        (lambda x: x, {"fmax": 150}, DataError, "Nyquist"),
        (lambda x: x, {"length_s": 3}, DataError, "fits into no trial"),
        (lambda x: x, {"overlap": 1.0}, ConfigError, "overlap"),
        (lambda x: x, {"average": "epochs"}, ConfigError, "no default"),
        (lambda x: x, {"estimator": "walch"}, ConfigError, "Did you mean 'welch'"),
        (lambda x: x, {"estimator": "burg"}, ConfigError, "order="),
        (lambda x: x, {"estimator": "morlet", "freqs": [1.0]}, DataError, "wavelet"),
        (lambda x: x, {"bands": {"a": (8, 12)}, "fmin": 3}, ConfigError, "not both"),
        (lambda x: x, {"ch_names": ["a", "b"]}, DataError, "transposed"),
    ],
)
def test_bad_input_is_refused_with_the_reason(change, options, error, text):
    options = {"average": "trials", **options}
    with pytest.raises(error, match=text):
        spectral_connectivity(change(delayed(10)), 200, ("coherence",), **options)


def test_unknown_measure_and_wrong_estimator_are_named():
    with pytest.raises(ConfigError, match="Did you mean 'wpli'"):
        spectral_connectivity(delayed(5), 200, ("wpli3",), average="trials")
    with pytest.raises(ConfigError, match="coherence family only"):
        spectral_connectivity(
            delayed(5), 200, ("wpli",), average="trials", estimator="burg", order=4
        )


@pytest.mark.parametrize("estimator", ["welch", "multitaper"])
def test_tensors_give_the_same_numbers(estimator):
    torch = pytest.importorskip("torch")
    x = delayed(15)
    options = {"average": "trials", "estimator": estimator, "bands": {"a": (8, 30)}}
    arrays = spectral_connectivity(x, 200, NAMES, **options)
    tensors = spectral_connectivity(torch.from_numpy(x), 200, NAMES, **options)
    for name in NAMES:
        np.testing.assert_allclose(tensors[name].values.numpy(), arrays[name].values, atol=1e-12)


@pytest.mark.parametrize("name", ["coherence", "imaginary_coherence", "wpli", "plv", "ppc"])
def test_gradients_agree_with_finite_differences(name):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(delayed(5, n_times=32)).requires_grad_()

    def value(x):
        options = {"average": "trials", "fmin": 5, "fmax": 5}
        return spectral_connectivity(x, 32, (name,), **options)[name].values[0, 0, 1]

    (gradient,) = torch.autograd.grad(value(x), x)
    step = torch.zeros_like(x)
    step[2, 1, 9] = 1e-6
    with torch.no_grad():
        slope = (value(x + step) - value(x - step)) / 2e-6
    assert gradient[2, 1, 9].item() == pytest.approx(slope.item(), rel=1e-5)


def test_names_settle_which_axis_holds_the_channels():
    x = np.random.default_rng(0).standard_normal((2, 80, 16))
    with pytest.raises(DataError, match="axes look swapped"):
        spectral_connectivity(x, 16, ("plv",), average="trials")
    names = [f"roi{i}" for i in range(80)]
    found = spectral_connectivity(x, 16, ("plv",), average="trials", ch_names=names)
    assert found["plv"].values.shape[1:] == (80, 80)


@pytest.mark.gpu
def test_tensors_stay_on_the_gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    x = delayed(15)
    options = {"average": "trials", "estimator": "multitaper", "bands": {"a": (8, 30)}}
    on_gpu = spectral_connectivity(torch.from_numpy(x).cuda(), 200, NAMES, **options)
    arrays = spectral_connectivity(x, 200, NAMES, **options)
    for name in NAMES:
        assert on_gpu[name].values.is_cuda
        got = on_gpu[name].values.cpu().numpy()
        np.testing.assert_allclose(got, arrays[name].values, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "overlap", "length_s"),
    [("welch", 0.0, 1.0), ("welch", 0.5, 1.0), ("welch", 0.75, 1.0), ("multitaper", 0.0, 5.0)],
)
def test_effective_windows_set_the_false_positive_rate(estimator, overlap, length_s):
    e = np.random.default_rng(3).standard_normal((2, 24, 5000))
    for t in range(1, 5000):  # slow, unrelated AR(1) series
        e[..., t] += 0.8 * e[..., t - 1]
    found = spectral_connectivity(
        e, 100, ("squared_coherence",), average="trials", estimator=estimator,
        overlap=overlap, length_s=length_s, fmin=5, fmax=45,
    )["squared_coherence"]  # fmt: skip
    limit = 1 - 0.05 ** (1 / (found.n_eff - 1))  # of |C|^2 of n independent windows
    rate = (found.values[:, *np.triu_indices(24, 1)] > limit).mean()
    assert 0.035 < rate < 0.065
