"""Phases in a narrow band, and what they say at every sample.

Each segment is filtered and transformed by itself, and one period at either end is
left out. Eigenvectors and order follow Cabral et al. 2017.
"""

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import check_segments
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = [
    "as_series",
    "kuramoto_order",
    "leading_eigenvectors",
    "phase_coherence",
    "phases",
    "valid_samples",
]


def as_series(x: AnyArray) -> FloatArray:
    """Two or more rows of samples as float64; refuses other shapes.

    Examples
    --------
    >>> as_series(np.zeros((2, 5), np.float32)).dtype.name
    'float64'
    """
    found = np.asarray(x, dtype=np.float64)
    if found.ndim != 2 or len(found) < 2:
        raise DataError(f"Series must have shape (n_chans >= 2, n_times), got {found.shape}.")
    return found


def phases(
    x: AnyArray,
    sfreq: float,
    *,
    band: tuple[float, float] = (0.03, 0.07),
    segments: AnyArray | None = None,
    trim_periods: float = 1.0,
) -> FloatArray:
    """Instantaneous phase in a narrow band.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    sfreq : float
        Hz.
    band : (low, high)
        Hz; a phase means something in a narrow band only.
    segments : int array, shape (n, 2), optional
        Filtered and transformed one by one.
    trim_periods : float
        Periods of the band's lower edge left out at both ends of a segment,
        where filter and Hilbert transform are wrong.

    Returns
    -------
    float64 array, shape (n_chans, n_times)
        Radians; NaN outside segments and at their ends.

    Raises
    ------
    DataError
        No segment is long enough, or the band is above the Nyquist frequency.

    Examples
    --------
    >>> t = np.arange(300) * 2.0
    >>> x = np.stack([np.sin(2 * np.pi * 0.05 * t), np.sin(2 * np.pi * 0.05 * t - np.pi / 3)])
    >>> d = np.diff(phases(x, 0.5), axis=0)
    >>> round(float(np.nanmean(np.cos(d))), 2)
    0.5
    """
    from scipy.signal import hilbert

    from neuro.signal import apply_filter, bandpass

    series = as_series(x)
    low, high = band
    if not 0 < low < high:
        raise ConfigError(f"band={band} must be 0 < low < high, in Hz.")
    if high >= sfreq / 2:
        raise DataError(f"Band {band} Hz reaches the Nyquist frequency, {sfreq / 2:g} Hz.")
    ranges = check_segments(segments, series.shape[1])
    trim = int(np.ceil(trim_periods * sfreq / low))
    long = ranges[(ranges[:, 1] - ranges[:, 0]) > 2 * trim + 1]
    if not len(long):
        raise DataError(
            f"No segment is longer than the {2 * trim / sfreq:g} s that are left out at the ends "
            f"(one period of {low:g} Hz at each). Kept stretches are not spliced."
        )
    filtered = apply_filter(series, bandpass(low, high, sfreq), segments=long)
    out = np.full(series.shape, np.nan)
    for a, b in long.tolist():
        angle = np.angle(np.asarray(hilbert(filtered[:, a:b], axis=1)))
        out[:, a + trim : b - trim] = angle[:, trim : b - a - trim]
    return out


def valid_samples(angles: FloatArray) -> IntArray:
    """Samples with a phase in every row.

    Examples
    --------
    >>> valid_samples(np.array([[np.nan, 0.0], [0.0, 0.0]])).tolist()
    [1]
    """
    at = np.flatnonzero(np.isfinite(angles).all(axis=0))
    if not len(at):
        raise DataError("No sample has a phase in every row.")
    return at


def phase_coherence(angles: AnyArray) -> FloatArray:
    """Cosine of phase differences at every sample with a phase.

    Parameters
    ----------
    angles : array, shape (n_chans, n_times)
        From :func:`phases`.

    Returns
    -------
    float64 array, shape (n_valid, n_pairs)
        Upper triangles.

    Examples
    --------
    >>> phase_coherence(np.array([[0.0, 0.0], [np.pi / 3, np.pi]])).round(3).tolist()
    [[0.5], [-1.0]]
    """
    found = np.asarray(angles, dtype=np.float64)
    kept = found[:, valid_samples(found)]
    rows, columns = np.triu_indices(len(kept), 1)
    c, s = np.cos(kept), np.sin(kept)
    return np.asarray((c[rows] * c[columns] + s[rows] * s[columns]).T)


def leading_eigenvectors(angles: AnyArray) -> FloatArray:
    """Leading eigenvector of each sample's phase coherence matrix (LEiDA).

    The matrix is ``c c' + s s'`` of cosines and sines, of rank 2, so its
    eigenvector comes from a 2 x 2 problem.

    Parameters
    ----------
    angles : array, shape (n_chans, n_times)
        From :func:`phases`.

    Returns
    -------
    float64 array, shape (n_valid, n_chans)
        Unit vectors; the majority of entries is negative (Cabral et al. 2017).

    Examples
    --------
    >>> v = leading_eigenvectors(np.array([[0.0], [0.0], [np.pi]]))
    >>> v.round(3).tolist()
    [[-0.577, -0.577, 0.577]]
    """
    found = np.asarray(angles, dtype=np.float64)
    kept = found[:, valid_samples(found)]
    c, s = np.cos(kept), np.sin(kept)
    cc, ss, cs = (c * c).sum(0), (s * s).sum(0), (c * s).sum(0)
    # angle of the leading eigenvector of [[cc, cs], [cs, ss]]
    turn = 0.5 * np.arctan2(2 * cs, cc - ss)
    v = (np.cos(turn) * c + np.sin(turn) * s).T
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    positive = (v > 0).sum(axis=1)
    negative = (v < 0).sum(axis=1)
    flip = (positive > negative) | ((positive == negative) & (v.sum(axis=1) > 0))
    return np.asarray(np.where(flip[:, np.newaxis], -v, v))


def kuramoto_order(angles: AnyArray) -> FloatArray:
    """Global synchrony at every sample with a phase.

    Parameters
    ----------
    angles : array, shape (n_chans, n_times)
        From :func:`phases`.

    Returns
    -------
    float64 array, shape (n_valid,)
        ``|mean exp(i phase)|``: 1 in step, about ``1 / sqrt(n_chans)`` at random.

    Examples
    --------
    >>> kuramoto_order(np.array([[0.0, 0.0], [0.0, np.pi]])).round(3).tolist()
    [1.0, 0.0]
    """
    found = np.asarray(angles, dtype=np.float64)
    return np.asarray(np.abs(np.exp(1j * found[:, valid_samples(found)]).mean(axis=0)))
