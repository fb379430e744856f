"""Scan by scan: correlations, what they would be by chance, and what the global signal explains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuro.errors import DataError
from neuro.stats import bootstrap_interval, effective_n, other_subject, pearson, permutation_p
from neuro.typing import AnyArray, FloatArray

__all__ = ["Nulls", "cross_correlations", "global_removed", "interval_over", "nulls", "scan_r"]

Series = Sequence[FloatArray]


@dataclass(frozen=True, eq=False)
class Nulls:
    """What a mean correlation over scans would be without any relation.

    Parameters
    ----------
    shifted : ndarray, shape (n, roi)
        Targets rotated in time within each scan, by another amount each draw.
    other : ndarray, shape (n, roi)
        Predictions held against scans of other people; NaN where fewer than
        three scans, or one person, allow no such pairing.
    same : ndarray, shape (roi,)
        Predictions held against other scans of the same person; NaN if nobody
        has two.
    p_shifted, p_other : ndarray, shape (roi,)
        Share of the null that is as high as the score, with the +1 rule; NaN
        where there is no null.
    """

    shifted: FloatArray
    other: FloatArray
    same: FloatArray
    p_shifted: FloatArray
    p_other: FloatArray

    def band(self) -> FloatArray:
        """2.5th and 97.5th percentile of the shifted null, (2, roi)."""
        return np.asarray(np.quantile(self.shifted, [0.025, 0.975], axis=0))


def scan_r(said: Series, true: Series) -> FloatArray:
    """Correlation in every scan, never across scans; 0 where a prediction is constant.

    Parameters
    ----------
    said, true : sequence of ndarray, shape (volume, roi)
        One a scan; scans may differ in length.

    Returns
    -------
    ndarray, shape (scan, roi)

    Raises
    ------
    DataError
        If a scan has fewer than 3 volumes, or shapes differ.

    Examples
    --------
    >>> x = np.arange(10.0)[:, None]
    >>> scan_r([x, 0 * x], [2 * x, x]).tolist()
    [[1.0], [0.0]]
    """
    _check(said, true)
    return np.stack([pearson(p.T, y.T) for p, y in zip(said, true, strict=True)])


def _check(said: Series, true: Series) -> None:
    for i, (p, y) in enumerate(zip(said, true, strict=True)):
        if p.shape != y.shape or len(p) < 3:
            raise DataError(
                f"Scan {i}: predictions {p.shape} and targets {y.shape} must be alike, with at "
                "least 3 volumes. Hold out more of each scan, or whole scans."
            )


def cross_correlations(said: Series, true: Series) -> FloatArray:
    """Correlation of every scan's prediction with every scan's target.

    Scans of unequal length are compared over the shorter one's, from the first
    volume on.

    Parameters
    ----------
    said, true : sequence of ndarray, shape (volume, roi)
        One a scan.

    Returns
    -------
    ndarray, shape (scan, scan, roi)
        First the prediction's scan.
    """
    _check(said, true)
    n = len(said)
    out = np.empty((n, n, said[0].shape[1]))
    for i, p in enumerate(said):
        for j, y in enumerate(true):
            k = min(len(p), len(y))
            out[i, j] = pearson(p[:k].T, y[:k].T)
    return out


def _shifted(p: FloatArray, y: FloatArray) -> FloatArray:
    """Correlation for every rotation of the target, (volume, roi); row k rotates by k."""
    a, b = p - p.mean(axis=0), y - y.mean(axis=0)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    product = np.fft.irfft(np.conj(np.fft.rfft(b, axis=0)) * np.fft.rfft(a, axis=0), len(a), axis=0)
    usable = size > 1e-12 * np.maximum(np.abs(y).max(axis=0) * np.abs(p).max(axis=0), 1e-300)
    return np.asarray(np.divide(product, size, out=np.zeros_like(product), where=usable))


def nulls(said: Series, true: Series, subjects: Sequence[str], *, n: int, seed: int) -> Nulls:
    """Mean correlations over scans that chance alone gives.

    Parameters
    ----------
    said, true : sequence of ndarray, shape (volume, roi)
        One a scan.
    subjects : sequence of str
        Who was scanned.
    n : int
        Draws.
    seed : int
        Of the draws.

    Returns
    -------
    Nulls
    """
    observed = scan_r(said, true).mean(axis=0)
    rng = np.random.default_rng(seed)
    shifted = np.zeros((n, len(observed)))
    for p, y in zip(said, true, strict=True):
        # all rotations but none, small ones too: leaving them out makes the test too lenient
        shifted += _shifted(p, y)[rng.integers(1, len(p), size=n)]
    shifted /= len(said)
    names = np.asarray(subjects)
    crossed = cross_correlations(said, true)
    own = names[:, None] == names[None, :]
    again = own & ~np.eye(len(names), dtype=bool)
    paired = again.any(axis=1)
    same = np.full(len(observed), np.nan)
    if paired.any():
        same = np.mean([crossed[i, again[i]].mean(axis=0) for i in np.flatnonzero(paired)], axis=0)
    other = np.full((n, len(observed)), np.nan)
    if len(names) >= 3 and 2 * np.unique(names, return_counts=True)[1].max() <= len(names):
        pairing = other_subject(names, n=n, seed=rng)
        other = crossed[np.arange(len(names)), pairing].mean(axis=1)
    return Nulls(shifted, other, same, _p(observed, shifted), _p(observed, other))


def _p(observed: FloatArray, null: FloatArray) -> FloatArray:
    if np.isnan(null).any():
        return np.full(len(observed), np.nan)
    return permutation_p(observed, null)


def global_removed(
    said: Series, true: Series, global_signal: Series | None = None
) -> FloatArray | None:
    """Correlation in every scan once the global signal is taken off both sides.

    A model of one global signal, drowsiness for example, scores on every
    region that follows it. The signal is regressed out of target and
    prediction (a partial correlation).

    Parameters
    ----------
    said, true : sequence of ndarray, shape (volume, roi)
        One a scan.
    global_signal : sequence of ndarray, shape (volume,), optional
        Measured beside the regions; by default the mean of the other regions,
        each standardised.

    Returns
    -------
    ndarray, shape (scan, roi), or None
        None if there is no other region and no signal was given.
    """
    _check(said, true)
    n_rois = true[0].shape[1]
    if global_signal is None and n_rois < 2:
        return None
    out = np.zeros((len(true), n_rois))
    for i, (p, y) in enumerate(zip(said, true, strict=True)):
        if global_signal is None:
            z = (y - y.mean(axis=0)) / np.maximum(y.std(axis=0), 1e-12)
            shared = (z.sum(axis=1, keepdims=True) - z) / (n_rois - 1)
        else:
            shared = np.repeat(np.asarray(global_signal[i])[:, None], n_rois, axis=1)
        out[i] = pearson(_without(p, shared).T, _without(y, shared).T)
    return out


def _without(x: FloatArray, shared: FloatArray) -> FloatArray:
    """Each column without what its own shared course explains."""
    g = shared - shared.mean(axis=0)
    a = x - x.mean(axis=0)
    weight = (a * g).sum(axis=0) / np.maximum((g * g).sum(axis=0), 1e-300)
    left = a - weight * g
    # what rounding leaves of a column that the signal explains wholly is no signal
    left[:, left.std(axis=0) <= 1e-9 * np.maximum(a.std(axis=0), 1e-300)] = 0.0
    return np.asarray(left)


def mean_n_eff(said: Series, true: Series) -> FloatArray:
    """Independent samples a scan is worth, on average over scans, (roi,)."""
    return np.asarray(
        np.mean([effective_n(p.T, y.T) for p, y in zip(said, true, strict=True)], axis=0)
    )


def interval_over(r: FloatArray, units: AnyArray, *, seed: int) -> FloatArray:
    """95 % interval of the mean over scans, units drawn whole, (2, roi); NaN for one unit."""
    if len(np.unique(units)) < 2:
        return np.full((2, r.shape[1]), np.nan)
    found = [bootstrap_interval(c, seed=seed, units=units, n=2000) for c in r.T]
    return np.array([[i.low for i in found], [i.high for i in found]])
