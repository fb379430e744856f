"""Heart beats in an ECG, and what of a signal follows regular events."""

import numpy as np

from neuro.errors import DataError
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["heart_beats", "locked_share"]

_SHORTEST_S = 0.4  # between two beats: 150 a minute
_WIDEST_S = 0.2  # slower than an R peak


def heart_beats(ecg: AnyArray, sfreq: float) -> IntArray:
    """Samples of the R peaks of an ECG: local maxima of its squared fast part.

    Parameters
    ----------
    ecg : array, shape (n_times,)
        Any unit and sign.
    sfreq : float
        Hz.

    Returns
    -------
    int64 array, shape (n_beats,)

    Examples
    --------
    >>> ecg = np.zeros(1000)
    >>> ecg[100:1000:100] = 1.0
    >>> heart_beats(ecg, 100.0).tolist()[:3]
    [100, 200, 300]
    """
    from scipy import signal

    x = np.asarray(ecg, dtype=np.float64)
    width = max(1, round(_WIDEST_S * sfreq))
    fast = x - np.convolve(x, np.ones(width) / width, mode="same")
    power = fast**2
    # of the samples, about one a second belongs to the top of a peak
    tall = 0.2 * np.quantile(power, 1 - 0.5 / (1.2 * sfreq))
    distance = max(1, round(_SHORTEST_S * sfreq))
    peaks, _ = signal.find_peaks(power, height=max(tall, 1e-300), distance=distance)
    return np.asarray(peaks, dtype=np.int64)


def locked_share(x: AnyArray, starts: AnyArray, n: int) -> FloatArray:
    """Share of a signal's variance that repeats after every one of some events.

    The waveforms of odd and even events are averaged apart; their covariance
    is the variance of what repeats, without the bias that noise gives a single
    average.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal.
    starts : array of int, shape (n_events,)
        First sample after each event; those without `n` samples are left out.
    n : int
        Samples after an event.

    Returns
    -------
    float64 array, shape (...)
        About 0 if nothing repeats; 1 if all does.

    Raises
    ------
    DataError
        If fewer than 8 events have enough samples.

    Examples
    --------
    >>> wave = np.tile(np.sin(np.arange(50)), 20)
    >>> round(float(locked_share(wave, np.arange(0, 1000, 50), 50)), 3)
    1.0
    """
    x = np.asarray(x)
    first = np.asarray(starts, dtype=np.int64)
    first = first[(first >= 0) & (first + n <= x.shape[-1])]
    if len(first) < 8 or n < 2:
        raise DataError(f"{len(first)} events of {n} samples lie in the signal; 8 are needed.")
    parts = []
    total = np.zeros(x.shape[:-1])
    for rows in (first[::2], first[1::2]):
        mean = np.zeros((*x.shape[:-1], n))
        for a in rows.tolist():
            piece = np.asarray(x[..., a : a + n], dtype=np.float64)
            piece = piece - piece.mean(axis=-1, keepdims=True)
            mean += piece
            total += (piece**2).mean(axis=-1)
        parts.append(mean / len(rows))
    total = total / len(first)
    common = (parts[0] * parts[1]).mean(axis=-1)
    share = np.divide(common, total, out=np.zeros_like(common), where=total > 0)
    return np.asarray(share)
