import numpy as np
import pytest

from neuro.connectivity import connectivity
from neuro.errors import ConfigError, DataError
from neuro.signal import psd
from neuro.stream import Covariance, Power, Strength
from neuro.stream.features import family_from_json

NAMES = ("C3", "Cz", "C4", "O1")


def windows(n=20, n_times=125, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 4, n_times))


def combined(family, x, sfreq=250):
    family = family.fitted(NAMES, sfreq, x.shape[-1])
    return family.combine([family.window(w) for w in x]), family.table


def test_welch_is_the_spectrum_of_the_signal_room():
    x = windows(1, 250)
    found, table = combined(Power(fmin=4, fmax=40, method="welch", log=False), x)
    freqs, expected = psd(x[0], 250, length_s=1.0)
    keep = (freqs >= 4) & (freqs <= 40)
    np.testing.assert_allclose(table.columns, freqs[keep])
    np.testing.assert_allclose(found, expected[:, keep], rtol=1e-10)


def test_burg_finds_a_resonance_in_half_a_second():
    rng = np.random.default_rng(1)
    radius, angle = 0.97, 2 * np.pi * 12 / 250
    x = np.zeros(6000)
    for t in range(2, 6000):
        x[t] = 2 * radius * np.cos(angle) * x[t - 1] - radius**2 * x[t - 2] + rng.standard_normal()
    half_seconds = x[1000:].reshape(-1, 1, 125)
    values, table = combined(Power(step_hz=0.25, fmin=6, fmax=20), half_seconds.repeat(4, axis=1))
    assert abs(table.columns[values[0].argmax()] - 12) <= 0.5


def test_an_offset_is_no_power():
    x = windows(1, 125)
    for family in (Power(4, 40), Power(4, 40, method="welch")):
        away, _ = combined(family, x + 1000)
        # a thousand times the signal leaves rounding behind
        np.testing.assert_allclose(away, combined(family, x)[0], atol=1e-6)


def test_order_follows_the_rate():
    assert Power().fitted(NAMES, 500, 250)._order == 19
    assert Power().fitted(NAMES, 250, 125)._order == 10
    with pytest.raises(ConfigError, match=r"order_s=0\.6 is 150 samples, a window has 125"):
        Power(order_s=0.6).fitted(NAMES, 250, 125)


def test_a_silent_channel_stays_finite():
    x = windows()
    x[:, 1] = 0
    for family in (Power(), Power(method="welch"), Strength(), Covariance()):
        values, _ = combined(family, x)
        assert np.isfinite(values).all()
    assert (combined(Strength(), x)[0][1] == 0).all()


@pytest.mark.parametrize("method", ["imcoh", "coherence", "wpli"])
def test_strength_is_the_mean_of_the_connectivity_room(method):
    x = windows()
    found, table = combined(Strength(method=method, fmin=8, fmax=30), x)
    whole = connectivity(x, 250, method=method, average="trials", fmin=8, fmax=30, length_s=0.5)
    matrix = np.abs(np.asarray(whole.values))
    axis = whole.dims.index("frequency") if "frequency" in whole.dims else 0
    matrix = np.moveaxis(matrix, axis, 0)
    for one in matrix:
        np.fill_diagonal(one, 0)
    np.testing.assert_allclose(found.T, matrix.sum(-1) / 3, atol=1e-12)  # order of the sums
    np.testing.assert_allclose(table.columns, np.arange(8, 31, 2))


def test_a_lag_is_seen_by_connectivity_and_not_by_power():
    rng = np.random.default_rng(0)
    t = np.arange(125) / 250
    phase = rng.uniform(0, 2 * np.pi, (40, 1))
    together = windows(40)
    apart = windows(40, seed=1)
    lag = 2 * np.pi * 10 * 0.02
    for x, shift in ((together, lag), (apart, rng.uniform(0, 2 * np.pi, (40, 1)))):
        x[:, 0] += np.sin(2 * np.pi * 10 * t + phase)
        x[:, 2] += np.sin(2 * np.pi * 10 * t + phase - shift)
    at = 3  # 10 Hz of 4, 6, 8, 10
    strong, weak = (combined(Strength(), x)[0][:, at] for x in (together, apart))
    assert strong[[0, 2]].min() > weak.max() + 0.1
    loud, quiet = (combined(Power(method="welch"), x)[0][:, at] for x in (together, apart))
    assert np.abs(loud - quiet)[[0, 2]].max() < 2  # dB


def test_one_window_has_no_connectivity():
    family = Strength().fitted(NAMES, 250, 125)
    with pytest.raises(DataError, match="two windows or more"):
        family.combine([family.window(windows(1)[0])])


def test_json_makes_the_same_family():
    for family in (Power(fmax=30, log=False), Strength(method="wpli"), Covariance(0.2)):
        fitted = family.fitted(NAMES, 250, 125)
        assert family_from_json(fitted.to_json()) == fitted


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Power(fmin=20, fmax=10), "must lie below"),
        (lambda: Power(method="periodogram"), "method='periodogram'"),
        (lambda: Strength(method="plv"), "method='plv'"),
        (lambda: Power().fitted(NAMES, 60, 30), "Nyquist frequency 30 Hz"),
        (lambda: Strength().fitted(("C3",), 250, 125), "at least two channels"),
        (lambda: Power(step_hz=1e-6), "10000 frequencies at most"),
        (lambda: Power(order_s=10).fitted(NAMES, 250, 5000), "more than 1000 samples"),
        (lambda: Power(order_s=float("inf")), "up to an hour"),
        (lambda: Covariance(2), "shrinkage=2"),
        (lambda: Power().window(np.zeros((4, 125))), "Call fitted"),
        (lambda: family_from_json({"family": "powr"}), "No family of features 'powr'"),
        (lambda: family_from_json({"family": "power", "foo": 1}), "has no option 'foo'"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()
