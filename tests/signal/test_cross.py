"""Complex spectra of windows: density, phase sign, wavelets, refusals."""

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.signal import cross_spectrum, morlet_spectra, psd, tapering

RNG = np.random.default_rng(0)


def test_the_diagonal_is_the_power_spectral_density():
    x = RNG.standard_normal((3, 1000))
    freqs, density = cross_spectrum(x, 100, length_s=2)
    expected_freqs, expected = psd(x, 100, length_s=2)
    np.testing.assert_allclose(freqs, expected_freqs)
    np.testing.assert_allclose(np.diagonal(density.real, axis1=1, axis2=2).T, expected, atol=1e-12)


@pytest.mark.parametrize("method", ["welch", "multitaper"])
def test_a_lag_turns_the_phase_the_declared_way(method):
    s = RNG.standard_normal((50, 203))
    x = np.stack([s[:, 3:], s[:, :-3]], axis=1)  # channel 1 lags by 3 samples
    freqs, density = cross_spectrum(x, 200, method=method)
    phase = np.angle(density[5:30, 0, 1])
    np.testing.assert_allclose(phase, 2 * np.pi * freqs[5:30] * 3 / 200, atol=0.15)


def test_few_bins_by_matrix_product_are_the_bins_of_the_transform():
    x = RNG.standard_normal((4, 3, 512))
    for method in ("welch", "multitaper"):
        whole = tapering(512, 256, method)
        few = tapering(512, 256, method, fmin=8, fmax=20)
        keep = (whole.freqs >= 8) & (whole.freqs <= 20)
        assert whole._basis is None
        assert few._basis is not None
        np.testing.assert_allclose(few.spectra(x), whole.spectra(x)[..., keep], atol=1e-12)
        part = whole.part(slice(16, 41))
        np.testing.assert_allclose(part.spectra(x), whole.spectra(x)[..., 16:41], atol=1e-12)


def test_wavelets_measure_amplitude_and_phase_and_ignore_offsets():
    t = np.arange(2000) / 250
    x = np.stack([3 * np.cos(2 * np.pi * 10 * t), 3 * np.cos(2 * np.pi * 10 * t - 1)]) + 1e6
    z = morlet_spectra(x, 250, [10.0, 20.0])
    np.testing.assert_allclose(abs(z[:, 0]), 3, rtol=0.01)
    np.testing.assert_allclose(np.angle(z[0, 0] * z[1, 0].conj()), 1, atol=1e-3)
    assert abs(z[:, 1]).max() < 0.01


def test_wavelets_leave_out_what_the_edges_reach():
    x = RNG.standard_normal(1000)
    other = x.copy()
    other[[0, -1]] += 1e3
    a, b = (morlet_spectra(v, 250, [8.0]) for v in (x, other))
    # three standard deviations out a wavelet has 1 % of its height, over a sum of 70 samples
    assert abs(a - b).max() < 1e3 * 2 * 0.012 / 50
    assert a.shape[-1] == 1000 - 2 * int(np.ceil(3 * 7 / (2 * np.pi * 8) * 250))


def test_long_recordings_go_through_wavelets_in_stretches():
    from neuro.connectivity import spectral

    x = RNG.standard_normal((1, 3, 4000))
    options = {"average": "trials", "estimator": "morlet", "freqs": [10.0, 15.0]}
    whole = spectral.spectral_connectivity(x, 250, ("wpli", "coherence"), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral, "_BLOCK", 1 << 10)
        parts = spectral.spectral_connectivity(x, 250, ("wpli", "coherence"), **options)
    for name in ("wpli", "coherence"):
        assert parts[name].n_windows == whole[name].n_windows
        np.testing.assert_allclose(parts[name].values, whole[name].values, atol=1e-10)


def test_bad_arguments_are_refused():
    x = RNG.standard_normal((2, 100))
    with pytest.raises(DataError, match="Nyquist"):
        tapering(100, 100, fmax=60)
    with pytest.raises(DataError, match="step of 1 Hz"):
        tapering(100, 100, fmin=10.2, fmax=10.8)
    with pytest.raises(ConfigError, match="belongs to 'multitaper'"):
        tapering(100, 100, bandwidth_hz=4)
    with pytest.raises(ConfigError, match="time-bandwidth"):
        tapering(100, 100, "multitaper", bandwidth_hz=0.1)
    with pytest.raises(DataError, match="does not fit"):
        cross_spectrum(x, 100, length_s=2)
    with pytest.raises(DataError, match="NaN"):
        cross_spectrum(x * np.nan, 100)
    with pytest.raises(DataError, match="between 0 and 50"):
        morlet_spectra(x, 100, [60.0])
    with pytest.raises(DataError, match="shorter than a wavelet"):
        morlet_spectra(x, 100, [2.0])
