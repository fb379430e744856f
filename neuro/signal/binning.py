"""Spike times to counts on an exact grid, and Gaussian smoothing of counts."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import Segments, as_rows, check_segments
from neuro.signal.filters import CausalFilter
from neuro.typing import AnyArray, FloatArray

__all__ = ["CountSmoother", "bin_counts", "bin_index", "gaussian_taps", "smooth_counts"]

# roundings a time may have gone through on its way here; float32 times were rounded once, when
# they were stored
_ULPS = {np.dtype(np.float64): 8.0, np.dtype(np.float32): 1.0}
_BLOCK = 1 << 20


def _edge_tolerance(t0: float, bin_s: Fraction, n_bins: int, dtype: np.dtype[Any]) -> float:
    """How far below an edge, in bins, a time still counts as on it.

    A time computed as ``t0 + k * bin_s`` misses the edge by a few units in the
    last place of the largest number involved. Guarding exactly that much (and at
    least 1e-9 of a bin) puts it into bin k and moves no spike that is measurably
    earlier.
    """
    largest = max(abs(t0), abs(t0 + float(n_bins * bin_s)))
    ulp = float(np.spacing(dtype.type(largest)))
    tolerance = max(1e-9, _ULPS[dtype] * ulp / float(bin_s))
    if tolerance > 0.01:
        raise DataError(
            f"Bins of {float(bin_s):g} s cannot be told apart at times of {largest:g} s in "
            f"{dtype}: subtract the start of the recording first, in float64."
        )
    return tolerance


def _as_bin(bin_s: Fraction | float) -> Fraction:
    """Exact width: a float means the decimal it prints as (0.1 is 1/10)."""
    if not np.isfinite(float(bin_s)) or not bin_s > 0:
        raise ConfigError(f"bin_s={bin_s} must be positive.")
    return bin_s if isinstance(bin_s, Fraction) else Fraction(str(bin_s))


def bin_index(
    times_s: AnyArray, t0: float, bin_s: Fraction | float, n_bins: int
) -> NDArray[np.int64]:
    """Bin of every time; bin k is the half-open ``[t0 + k bin_s, t0 + (k + 1) bin_s)``.

    Parameters
    ----------
    times_s : array, shape (n,)
        Times in seconds, in any order.
    t0 : float
        Left edge of bin 0 in seconds.
    bin_s : Fraction or float
        Width in seconds; a float means the decimal it prints as.
    n_bins : int
        Number of bins.

    Returns
    -------
    int64 array, shape (n,)
        Bin, or -1 for a time outside the grid.

    Raises
    ------
    DataError
        A time is not finite, or its float type cannot resolve the bins.
    ConfigError
        ``bin_s`` or ``n_bins`` is not positive.

    Examples
    --------
    >>> bin_index(np.array([0.0, 3 * 0.1, 0.29999, 0.5]), 0.0, 0.1, 5).tolist()
    [0, 3, 2, -1]
    """
    width = _as_bin(bin_s)
    if n_bins < 1:
        raise ConfigError(f"n_bins={n_bins} must be at least 1.")
    times = np.asarray(times_s)
    if times.dtype != np.float32:
        times = times.astype(np.float64, copy=False)
    tolerance = _edge_tolerance(t0, width, n_bins, times.dtype)
    if times.ndim != 1:
        raise DataError(f"times_s must be one-dimensional, got shape {times.shape}.")
    out = np.empty(len(times), dtype=np.int64)
    step = float(width)
    for start in range(0, len(times), _BLOCK):  # blocks stay in the cache
        part = times[start : start + _BLOCK].astype(np.float64)
        part -= t0
        part /= step
        part += tolerance
        if not np.isfinite(part).all():
            at = start + int(np.flatnonzero(~np.isfinite(part))[0])
            raise DataError(f"times_s[{at}] is {times[at]}: spike times must be finite.")
        part[(part < 0) | (part >= n_bins)] = -1
        out[start : start + _BLOCK] = part  # truncation is floor: nothing else is negative
    return out


def bin_counts(
    times_s: AnyArray,
    unit_index: AnyArray,
    n_units: int,
    t0: float,
    bin_s: Fraction | float,
    n_bins: int,
) -> NDArray[np.int64]:
    """Spike counts of every unit in half-open bins.

    Parameters
    ----------
    times_s : array, shape (n_spikes,)
        Spike times in seconds, in any order; those outside the grid are left out.
    unit_index : int array, shape (n_spikes,)
        Unit of each spike, from 0 to ``n_units - 1``.
    n_units : int
        Number of units.
    t0 : float
        Left edge of bin 0 in seconds.
    bin_s : Fraction or float
        Width in seconds. A spike whose time was computed as ``t0 + k * bin_s``
        falls into bin k whatever the rounding.
    n_bins : int
        Number of bins.

    Returns
    -------
    int64 array, shape (n_units, n_bins)
        Counts.

    Raises
    ------
    DataError
        Lengths differ, a unit is out of range, or a time is not finite.
    ConfigError
        A size or width is not positive.

    Examples
    --------
    >>> bin_counts(np.array([0.05, 0.1, 0.19]), np.array([0, 0, 1]), 2, 0.0, 0.1, 2).tolist()
    [[1, 1], [0, 1]]
    """
    units = np.asarray(unit_index)
    if n_units < 1:
        raise ConfigError(f"n_units={n_units} must be at least 1.")
    if units.shape != np.shape(times_s) or (units.dtype.kind not in "iu" and units.size):
        raise DataError(
            f"unit_index must hold one whole number a spike: {units.dtype} {units.shape} for "
            f"{np.shape(times_s)} times."
        )
    if units.size and (units.min() < 0 or units.max() >= n_units):
        raise DataError(
            f"unit_index runs from {units.min()} to {units.max()}, but n_units={n_units}."
        )
    index = bin_index(times_s, t0, bin_s, n_bins)
    outside = index < 0
    # bins are the slow axis while counting: spikes come in order of time, so memory is
    # touched in order too (4 x faster than unit by unit)
    index *= n_units
    index += units.astype(np.int64, copy=False)
    if outside.any():
        index = index[~outside]
    counts = np.bincount(index, minlength=n_units * n_bins).reshape(n_bins, n_units)
    return np.ascontiguousarray(counts.T, dtype=np.int64)


def gaussian_taps(
    bin_s: Fraction | float, sigma_s: float, *, causal: bool = False, truncate: float = 4.0
) -> FloatArray:
    """Taps of a Gaussian over bins, summing to 1.

    Parameters
    ----------
    bin_s : Fraction or float
        Width of a bin in seconds.
    sigma_s : float
        Standard deviation in seconds.
    causal : bool
        Keep only the half that looks back.
    truncate : float
        Reach in standard deviations.

    Returns
    -------
    float64 array, shape (n_taps,)
        Odd and symmetric, or falling from the first tap on.

    Raises
    ------
    ConfigError
        A width is not positive.

    Examples
    --------
    >>> gaussian_taps(0.01, 0.02).shape, gaussian_taps(0.01, 0.02, causal=True).shape
    ((17,), (9,))
    """
    if not (sigma_s > 0 and truncate > 0):
        raise ConfigError(f"sigma_s={sigma_s} and truncate={truncate} must be positive.")
    width = sigma_s / float(_as_bin(bin_s))
    reach = int(truncate * width + 0.5)
    taps = np.exp(-0.5 * (np.arange(0 if causal else -reach, reach + 1) / width) ** 2)
    return np.asarray(taps / taps.sum())


class CountSmoother:
    """Causal Gaussian smoothing of a stream of counts, exact for any chunk size.

    The first bins are averaged over the bins there are, so a constant rate
    comes out constant from the first bin on.

    Parameters
    ----------
    n_units : int
        Rows of every chunk.
    bin_s : Fraction or float
        Width of a bin in seconds.
    sigma_s : float
        Standard deviation in seconds; only earlier bins are used.

    Examples
    --------
    >>> CountSmoother(1, 0.01, 0.02).push(np.full((1, 3), 5)).round(12).tolist()
    [[5.0, 5.0, 5.0]]
    """

    def __init__(self, n_units: int, bin_s: Fraction | float, sigma_s: float) -> None:
        # an extra row of ones runs along: it sums the taps that have met data so far
        taps = gaussian_taps(bin_s, sigma_s, causal=True)
        self._filter = CausalFilter(taps, n_units + 1, initial="zero", nan="propagate")
        self.n_units = n_units

    def reset(self) -> None:
        """Forget everything; the next bin is the first one."""
        self._filter.reset()

    def push(self, chunk: AnyArray) -> FloatArray:
        """Smooth the next bins.

        Parameters
        ----------
        chunk : array, shape (n_units, n)
            Counts.

        Returns
        -------
        float64 array, shape (n_units, n)
            Weighted mean of this and earlier bins, in counts a bin.

        Raises
        ------
        DataError
            Wrong shape.
        """
        chunk = np.asarray(chunk, dtype=np.float64)
        if chunk.ndim != 2 or len(chunk) != self.n_units:
            raise DataError(f"Expected a chunk of shape ({self.n_units}, n), got {chunk.shape}.")
        out = self._filter.push(np.concatenate([chunk, np.ones((1, chunk.shape[1]))]))
        return out[:-1] / out[-1:]

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays (copies)."""
        return self._filter.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self._filter.load_state_dict(state)


def smooth_counts(
    counts: AnyArray,
    bin_s: Fraction | float,
    sigma_s: float,
    *,
    causal: bool = False,
    segments: Segments | None = None,
) -> FloatArray:
    """Smooth counts with a Gaussian, within segments.

    Parameters
    ----------
    counts : array, shape (..., n_bins)
        Counts or any other series on bins.
    bin_s : Fraction or float
        Width of a bin in seconds.
    sigma_s : float
        Standard deviation in seconds.
    causal : bool
        Use only the present and earlier bins: what :class:`CountSmoother` streams.
    segments : int array, shape (n, 2), or None
        Half-open ranges of bins that are smoothed apart.

    Returns
    -------
    float64 array, shape (..., n_bins)
        Weighted mean over the bins there are (no loss at the edges), in counts
        a bin; NaN outside segments and wherever a NaN was in reach.

    Raises
    ------
    DataError
        Wrong type or bad segments.
    ConfigError
        A width is not positive.

    Examples
    --------
    >>> smooth_counts(np.full((1, 5), 2), 0.01, 0.02).round(12).tolist()
    [[2.0, 2.0, 2.0, 2.0, 2.0]]
    """
    rows, lead, _ = as_rows(counts)
    ranges = check_segments(segments, rows.shape[1])
    taps = gaussian_taps(bin_s, sigma_s)
    reach = len(taps) // 2
    out = np.full(rows.shape, np.nan)
    for start, stop in ranges.tolist():
        part = rows[:, start:stop].astype(np.float64)
        if causal:
            out[:, start:stop] = CountSmoother(len(rows), bin_s, sigma_s).push(part)
            continue
        padded = np.pad(
            np.concatenate([part, np.ones((1, stop - start))]), ((0, 0), (reach, reach))
        )
        total = CausalFilter(taps, len(padded), initial="zero", nan="propagate").push(padded)
        total = total[:, 2 * reach :]
        out[:, start:stop] = total[:-1] / total[-1:]
    return out.reshape(*lead, rows.shape[1])
