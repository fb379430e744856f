"""Noise whose power falls with frequency, as the background of brain signals does."""

import numpy as np

from neuro.typing import FloatArray

__all__ = ["band_noise", "coloured_noise"]


def coloured_noise(
    rng: np.random.Generator, n: int, n_times: int, sfreq: float, exponent: float = 1.0
) -> FloatArray:
    """Noise of variance 1 whose power falls as 1/f**exponent above 0.5 Hz.

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    n, n_times : int
        Rows and samples.
    sfreq : float
        Hz.
    exponent : float
        0 for white noise.

    Returns
    -------
    ndarray, shape (n, n_times)

    Examples
    --------
    >>> coloured_noise(np.random.default_rng(0), 2, 100, 50.0).std(axis=1).round(6).tolist()
    [1.0, 1.0]
    """
    freq = np.fft.rfftfreq(n_times, 1 / sfreq)
    gain = np.maximum(freq, 0.5) ** (-exponent / 2)
    gain[0] = 0.0
    return _shaped(rng, n, n_times, gain)


def band_noise(
    rng: np.random.Generator, n: int, n_times: int, sfreq: float, low_hz: float, high_hz: float
) -> FloatArray:
    """Noise of variance 1 with power between two frequencies only.

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    n, n_times : int
        Rows and samples.
    sfreq, low_hz, high_hz : float
        Hz.

    Returns
    -------
    ndarray, shape (n, n_times)
    """
    freq = np.fft.rfftfreq(n_times, 1 / sfreq)
    return _shaped(rng, n, n_times, ((freq >= low_hz) & (freq <= high_hz)).astype(np.float64))


def _shaped(rng: np.random.Generator, n: int, n_times: int, gain: FloatArray) -> FloatArray:
    part = rng.standard_normal((2, n, len(gain)))
    x = np.fft.irfft((part[0] + 1j * part[1]) * gain, n_times, axis=1)
    return np.asarray(x / x.std(axis=1, keepdims=True))
