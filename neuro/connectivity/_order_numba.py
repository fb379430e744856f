"""Percentiles of correlation matrices, without sorting them.

A matrix is symmetric, so that the values above the diagonal are enough. A sample of
them gives a bracket around the place that is wanted; passes that only count narrow it
(regula falsi), and the few values that are left are sorted. A count is a loop that the
compiler turns into vector instructions.
"""

import numpy as np

from neuro.stats._compiled import compiled

__all__ = ["percentiles"]

_SAMPLE = 512
_FEW = 32  # values that are cheaper to pick out than to narrow further
_BLOCK = 512  # values of which is counted first whether any is wanted
_PASSES = 12  # ties stop the narrowing; then more values are sorted


@compiled(nogil=True)
def _below(row, x):  # type: ignore[no-untyped-def]
    count = np.int32(0)
    for i in range(row.size):
        count += np.int32(row[i] < x)
    return count


@compiled(nogil=True)
def _bracket(row, k, sample):  # type: ignore[no-untyped-def]
    """Values (low, high) with at most k below low and at least k + 2 below high, or NaN."""
    stride = row.size // sample.size
    for i in range(sample.size):
        sample[i] = row[i * stride]
    ordered = np.sort(sample)
    place = k * sample.size // row.size
    margin = int(2 * np.sqrt(sample.size))
    low = ordered[max(place - margin, 0)]
    high = ordered[min(place + margin, sample.size - 1)]
    if _below(row, low) <= k and _below(row, high) >= k + 2:
        return low, high
    return np.float32(np.nan), np.float32(np.nan)


@compiled(nogil=True)
def _narrowed(row, k, low, high):  # type: ignore[no-untyped-def]
    """A smaller bracket with the same property, and how many values are below its ends."""
    below_low, below_high = _below(row, low), _below(row, high)
    for _ in range(_PASSES):
        if below_high - below_low <= _FEW:
            break
        share = (k + 1 - below_low) / (below_high - below_low)
        middle = np.float32(low + (high - low) * share)
        below = _below(row, middle)
        if below <= k:
            low, below_low = middle, below
        elif below >= k + 2:
            high, below_high = middle, below
        else:  # between the two that are wanted
            break
    return low, high, below_low, below_high


@compiled(nogil=True)
def _between(row, low, high, n):  # type: ignore[no-untyped-def]
    """The n values from low to below high."""
    found = np.empty(n + 1, row.dtype)
    at = 0
    for first in range(0, row.size, _BLOCK):
        block = row[first : first + _BLOCK]
        if _below(block, high) > _below(block, low):
            for value in block:
                found[at] = value
                at += (low <= value) & (value < high)
    return found[:n]


@compiled(nogil=True)
def _pair(row, k, sample):  # type: ignore[no-untyped-def]
    """Order statistics k and k + 1 of one row."""
    low = high = np.float32(np.nan)
    if row.size >= 8 * sample.size:
        low, high = _bracket(row, k, sample)
    if np.isnan(low):
        ordered = np.sort(row)
        return ordered[k], ordered[k + 1]
    low, high, before, below_high = _narrowed(row, k, low, high)
    ordered = np.sort(_between(row, low, high, below_high - before))
    return ordered[k - before], ordered[k + 1 - before]


@compiled(nogil=True)
def _at(values, pairs, place, sample):  # type: ignore[no-untyped-def]
    """Order statistic of all entries: each value twice, then the diagonal's ones."""
    low = high = 1.0
    k = place // 2
    if k + 1 < pairs:
        first, second = _pair(values[:pairs], k, sample)
        low, high = first, first if place % 2 == 0 else second
    elif k < pairs:
        low = values[:pairs].max()
        high = low if place % 2 == 0 else 1.0
    return low, high


@compiled(nogil=True)
def percentiles(matrices, use, share, out):  # type: ignore[no-untyped-def]
    """Percentile of all entries of symmetric matrices with a diagonal of ones, into ``out``.

    ``matrices`` (n, n_rois, n_rois) float32, at most 1 and without NaN where used;
    ``use`` bool of the same shape, symmetric, or of shape (0, 0, 0) for all entries;
    ``share`` from 0 to 1; ``out`` (n,) float64, NaN where nothing is used.
    """
    n_rois = matrices.shape[1]
    sample = np.empty(_SAMPLE, np.float32)
    values = np.empty(n_rois * (n_rois - 1) // 2 + 1, np.float32)
    for m in range(matrices.shape[0]):
        at = 0
        diagonal = n_rois
        if use.shape[0]:
            diagonal = 0
            for i in range(n_rois):
                diagonal += use[m, i, i]
                for j in range(i + 1, n_rois):
                    values[at] = matrices[m, i, j]
                    at += use[m, i, j]
        else:
            for i in range(n_rois - 1):
                n = n_rois - 1 - i
                values[at : at + n] = matrices[m, i, i + 1 :]
                at += n
        position = share * (2 * at + diagonal - 1)
        if position < 0:
            out[m] = np.nan
            continue
        place = int(position)
        low, high = _at(values, at, place, sample)
        out[m] = low + (np.float64(high) - low) * (position - place)
