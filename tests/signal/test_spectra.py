import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from neuro.errors import ConfigError, DataError
from neuro.signal import BANDS, band_power, burg, burg_spectrum, psd

RNG = np.random.default_rng(0)


def ar2(freq, radius, sfreq, n, rows=1, seed=0):
    """Resonance at ``freq``: poles at radius and angle."""
    w = 2 * np.pi * freq / sfreq
    a = [1, -2 * radius * np.cos(w), radius**2]
    return signal.lfilter([1], a, np.random.default_rng(seed).standard_normal((rows, n)))


def test_welch_equals_scipy():
    x = RNG.standard_normal((2, 3, 1001)) + 5
    for n in (200, 201):
        freqs, density = psd(x, 100, length_s=n / 100)
        f, expected = signal.welch(x, 100, nperseg=n, noverlap=n - round(n / 2))
        np.testing.assert_allclose(freqs, f)
        # scipy leaves round-off at 0 Hz where ours does, hence the absolute tolerance
        np.testing.assert_allclose(density, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("n", [512, 513])
def test_multitaper_equals_mne(n):
    mne_tf = pytest.importorskip("mne.time_frequency")
    x = RNG.standard_normal((3, n))
    freqs, density = psd(x, 128, method="multitaper", bandwidth_hz=2.0)
    expected, f = mne_tf.psd_array_multitaper(
        x, 128, bandwidth=2.0, adaptive=False, normalization="full", verbose="error"
    )
    np.testing.assert_allclose(freqs, f)
    # mne's tapers are periodic (one sample longer, cut), ours symmetric with unit energy:
    # single bins differ by up to 2 %, without bias
    np.testing.assert_allclose(density, expected, rtol=3e-2)
    assert np.mean(density / expected) == pytest.approx(1, abs=5e-3)


@settings(deadline=None)
@given(n=st.integers(8, 65), seed=st.integers(0, 1000))
def test_parseval_one_boxcar_window(n, seed):
    # Slepian tapers have unit energy: the power is that of the tapered, centred signal, exactly
    x = np.random.default_rng(seed).standard_normal(n)
    freqs, density = psd(x, 10, method="multitaper", bandwidth_hz=10 * 4 / n)
    tapers, ratios = signal.windows.dpss(n, 2.0, Kmax=4, return_ratios=True)
    keep = ratios > 0.9
    power = ((tapers[keep] * (x - x.mean())) ** 2).sum(axis=1)
    expected = (power * ratios[keep]).sum() / ratios[keep].sum()
    assert density.sum() * freqs[1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", ["welch", "multitaper", "burg"])
def test_parseval_of_white_noise(method):
    x = np.random.default_rng(3).standard_normal((20, 4000)) * 3
    freqs, density = psd(x, 200, method=method, length_s=2.0, order=4)
    # 20 x 19 windows of 400 samples: the relative standard error is below 1 %
    assert density.mean(0).sum() * freqs[1] == pytest.approx(9, rel=0.02)
    # and flat: units squared per Hz over 0 to 100 Hz
    inner = density.mean(0)[2:-2]
    assert inner.mean() == pytest.approx(0.09, rel=0.02)


@pytest.mark.parametrize("method", ["welch", "multitaper"])
def test_a_sine_has_half_its_squared_amplitude(method):
    x = 3 * np.sin(2 * np.pi * 10 * np.arange(2000) / 200)
    freqs, density = psd(x, 200, method=method, length_s=2.0)
    # Hann windows that hold whole periods are exact; Slepian tapers weigh phases unevenly
    assert density.sum() * freqs[1] == pytest.approx(4.5, rel=1e-6 if method == "welch" else 1e-3)
    top = freqs[density > 0.1 * density.max()]
    assert top.min() >= 8
    assert top.max() <= 12


def test_range_of_frequencies():
    freqs, density = psd(RNG.standard_normal((2, 400)), 100, length_s=1.0, fmin=8, fmax=13)
    np.testing.assert_allclose(freqs, np.arange(8, 14))
    assert density.shape == (2, 6)
    with pytest.raises(DataError, match="No frequency between"):
        psd(RNG.standard_normal(400), 100, length_s=1.0, fmin=8.2, fmax=8.4)


def test_windows_stay_inside_segments():
    x = RNG.standard_normal((2, 700))
    x[:, 300:400] = np.nan
    _, density = psd(x, 100, length_s=1.0, segments=[[0, 300], [400, 700]])
    _, first = psd(x[:, :300], 100, length_s=1.0)
    _, second = psd(x[:, 400:], 100, length_s=1.0)
    np.testing.assert_allclose(density, (first + second) / 2, rtol=1e-12)
    with pytest.raises(DataError, match="longest has 300"):
        psd(x, 100, length_s=4.0, segments=[[0, 300], [400, 700]])


def test_many_windows_are_handled_in_blocks(monkeypatch):
    x = RNG.standard_normal((2, 2000))
    _, whole = psd(x, 100, length_s=1.0)
    monkeypatch.setattr("neuro.signal.spectra._BLOCK_SAMPLES", 600)
    np.testing.assert_allclose(psd(x, 100, length_s=1.0)[1], whole, rtol=1e-12)


# --- Burg ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 5, 19])
def test_burg_equals_statsmodels(order):
    linear_model = pytest.importorskip("statsmodels.regression.linear_model")
    stattools = pytest.importorskip("statsmodels.tsa.stattools")
    x = ar2(12, 0.95, 250, 300, rows=4)
    a, variance = burg(x, order)
    for row in range(4):
        rho, sigma2 = linear_model.burg(x[row], order, demean=False)
        np.testing.assert_allclose(a[row], rho, atol=1e-8)
        # theirs is the residual power of the last stage, ours keeps the total power of x
        assert variance[row] == pytest.approx(sigma2, rel=0.05)
        pacf = np.asarray(stattools.pacf_burg(x[row], order, demean=False)[0])[1:]
        assert variance[row] == pytest.approx(np.mean(x[row] ** 2) * np.prod(1 - pacf**2), rel=1e-8)


def test_burg_recovers_the_model():
    x = ar2(12, 0.95, 250, 100_000)[0]
    a, variance = burg(x, 2)
    w = 2 * np.pi * 12 / 250
    # standard error of an AR coefficient is at most 1 / sqrt(n) = 0.003
    np.testing.assert_allclose(a, [2 * 0.95 * np.cos(w), -(0.95**2)], atol=0.01)
    assert variance == pytest.approx(1, rel=0.02)


def test_burg_peak_of_a_resonance_from_half_second_windows():
    x = ar2(12, 0.98, 250, 250 * 60)
    freqs, density = psd(x, 250, method="burg", length_s=0.5, order=10)
    fine = np.arange(5, 20, 0.1)
    a, variance = burg(x[:, :5000], 10)
    assert abs(freqs[density[0].argmax()] - 12) <= 2  # the grid's step is 2 Hz
    assert abs(fine[burg_spectrum(a, variance, 250, fine)[0].argmax()] - 12) < 0.5


def test_burg_spectrum_integrates_to_the_variance():
    x = ar2(12, 0.9, 250, 20_000)
    a, variance = burg(x, 4)
    freqs = np.linspace(0, 125, 4001)
    density = burg_spectrum(a, variance, 250, freqs)
    assert density.sum() * freqs[1] == pytest.approx(np.mean(x**2), rel=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), order=st.integers(1, 12))
def test_burg_models_are_stable(seed, order):
    x = np.random.default_rng(seed).standard_normal(30).cumsum()
    a, variance = burg(x - x.mean(), order)
    assert np.abs(np.roots(np.r_[1, -a])).max() < 1 + 1e-9
    assert variance >= 0


def test_burg_of_a_silent_channel_is_silent():
    a, variance = burg(np.zeros((1, 20)), 3)
    assert a.tolist() == [[0.0, 0.0, 0.0]]
    assert variance.tolist() == [0.0]


def test_burg_refuses_what_it_cannot_do():
    with pytest.raises(DataError, match="order=20"):
        burg(np.zeros(20), 20)
    with pytest.raises(DataError, match="NaN"):
        burg(np.array([1.0, np.nan, 2, 3]), 1)
    with pytest.raises(ConfigError, match="needs order="):
        psd(np.zeros(100), 100, method="burg")


# --- bands -----------------------------------------------------------------------------------


def test_canonical_bands():
    assert dict(BANDS) == {
        "delta": (1, 4),
        "theta": (4, 8),
        "alpha": (8, 13),
        "beta": (13, 30),
        "gamma": (30, 45),
    }


@pytest.mark.parametrize("method", ["welch", "multitaper", "burg"])
@pytest.mark.parametrize("n", [400, 401])
def test_bands_that_tile_the_axis_sum_to_the_total(method, n):
    x = RNG.standard_normal((2, n))
    bands = {"a": (0.0, 11.3), "b": (11.3, 30.0), "c": (30.0, 50.0)}
    options = {"length_s": n / 100, "order": 5}
    power = band_power(x, 100, bands, method=method, **options)
    freqs, density = psd(x, 100, method=method, **options)
    np.testing.assert_allclose(power.sum(axis=1), density.sum(axis=1) * freqs[1], rtol=1e-12)


def test_each_rhythm_lands_in_its_band():
    t = np.arange(2000) / 250
    for i, freq in enumerate([2.5, 6, 10, 20, 38]):
        power = band_power(2 * np.sin(2 * np.pi * freq * t), 250)
        assert power[i] == pytest.approx(2, rel=1e-3)
        assert power.sum() - power[i] < 1e-3


def test_leading_axes_and_scaling():
    x = RNG.standard_normal((4, 3, 500))
    power = band_power(x, 250)
    assert power.shape == (4, 3, 5)
    np.testing.assert_allclose(band_power(10 * x, 250), 100 * power, rtol=1e-10)
    np.testing.assert_allclose(band_power(x[2, 1], 250), power[2, 1], rtol=1e-10)
    np.testing.assert_allclose(band_power(x, 250, log=True), np.log10(power), rtol=1e-10)


def test_log_of_a_silent_channel_is_minus_infinity():
    assert np.isneginf(band_power(np.zeros((1, 500)), 250, log=True)).all()


def test_impossible_bands_say_why():
    x = RNG.standard_normal(400)
    with pytest.raises(DataError, match="'gamma' ends at 45 Hz, above the Nyquist frequency 40"):
        band_power(x, 80)
    with pytest.raises(DataError, match="'mu' is 1 Hz wide but windows of"):
        band_power(x, 250, {"mu": (10, 11)}, length_s=0.5)
    with pytest.raises(DataError, match="resolve"):
        band_power(x, 250, {"mu": (10, 12)}, length_s=1.0, method="multitaper")
    with pytest.raises(ConfigError, match="low < high"):
        band_power(x, 250, {"x": (12, 10)})
    with pytest.raises(ConfigError, match="empty"):
        band_power(x, 250, {})
    with pytest.raises(ConfigError, match="Did you mean 'welch'"):
        band_power(x, 250, method="welsh")
    with pytest.raises(DataError, match="channel 'O1'"):
        band_power(np.full((1, 400), np.nan), 250, ch_names=["O1"])
    with pytest.raises(ConfigError, match="overlap"):
        psd(x, 250, overlap=1.0)
    with pytest.raises(ConfigError, match="at least 2"):
        psd(x, 250, length_s=0.001)
    with pytest.raises(ConfigError, match="time-bandwidth"):
        psd(x, 250, method="multitaper", bandwidth_hz=0.1)
