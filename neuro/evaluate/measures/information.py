"""Mutual information of activations and labels, with the null that makes it readable.

A plug-in estimate on vectors says nothing by itself: with many bins every
sample lies in a cell of its own and any labels, true or shuffled, seem known.
Measured on 4,096 samples of three units: 30 bins a unit gave 2.99 bits of 3,
and 2.34 bits for shuffled labels.
"""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stats import permutation_p, permute_labels
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["Information", "mutual_information"]

# Above this share of log2(n) the entropy is that of the sample size, not of the
# activations; samples that a cell must hold on average. Both from trials.
_SATURATED, _LEAST = 0.8, 10


@dataclass(frozen=True)
class Information:
    """Mutual information in bits.

    Parameters
    ----------
    value : float
        Estimate.
    null : float
        Mean estimate with shuffled labels: what the method finds in nothing.
    p : float
        Share of shuffled labels that give as much, with the +1 rule.
    entropy : float
        Of the binned activations; NaN for "knn".
    saturated : bool
        The entropy is near that of the sample size: value and null are both
        too high to be told apart from it.
    method : str
        "bins" or "knn".
    n, n_features, n_bins : int
        Samples; units or components used; bins of each.
    """

    value: float
    null: float
    p: float
    entropy: float
    saturated: bool
    method: str
    n: int
    n_features: int
    n_bins: int

    @property
    def above_null(self) -> float:
        """Estimate less its null, at least 0."""
        return max(0.0, self.value - self.null)


def mutual_information(
    x: AnyArray,
    y: AnyArray,
    *,
    seed: Seed,
    method: Literal["auto", "bins", "knn"] = "auto",
    bins: int = 2,
    reduce: bool = True,
    n_null: int = 50,
    groups: AnyArray | None = None,
) -> Information:
    """Information between activations and a label or value, beside its shuffled null.

    Bins hold equally many of the different values that a unit takes (adaptive
    binning of arXiv 1902.09037), so that a unit's scale does not matter. If
    that leaves fewer than ten samples a cell, as many principal components are
    used instead as can be binned.

    Parameters
    ----------
    x : array, shape (n,) or (n, n_units)
        Activations.
    y : array, shape (n,)
        Labels (text, bool, integers), or values.
    seed : int or Generator
        Of the shuffles.
    method : {"auto", "bins", "knn"}
        "knn": nearest neighbours (scikit-learn), for one number a sample;
        "auto" takes it for one unit and a value.
    bins : int
        Bins a unit, 2 to 4 for vectors; values in `y` are binned alike.
    reduce : bool
        False bins all units whatever comes out; a saturated estimate warns.
    n_null : int
        Number of shuffles.
    groups : array, shape (n,), optional
        Subjects inside which labels are shuffled.

    Returns
    -------
    Information

    Raises
    ------
    DataError
        If lengths differ or numbers are not finite.
    ConfigError
        If the method does not suit the data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(2000) % 4
    >>> x = np.stack([y & 1, y >> 1], axis=1) + 0.01 * rng.standard_normal((2000, 2))
    >>> found = mutual_information(x, y, seed=0)
    >>> round(found.value, 2), bool(found.null < 0.01)
    (2.0, True)
    """
    rng = np.random.default_rng(seed)
    units, target, named = _checked(x, y)
    if bins < 2 or n_null < 1:
        raise ConfigError(f"bins={bins} (at least 2) and n_null={n_null} (at least 1).")
    if method == "auto":
        method = "knn" if units.shape[1] == 1 and not named else "bins"
    if method == "knn":
        if units.shape[1] != 1:
            raise ConfigError(
                f"method='knn' takes one number a sample, got {units.shape[1]}: use 'bins'."
            )
        shuffled = permute_labels(target, n=n_null, seed=rng, groups=groups)
        values = np.array([_nearest(units, v, named, rng) for v in (target, *shuffled)])
        return _told(values, np.nan, False, "knn", len(units), 1, 0)
    if method != "bins":
        raise ConfigError(f"method={method!r} is not known: use 'auto', 'bins' or 'knn'.")
    cell, n_features = _cells(units, bins, reduce)
    label = target if named else _binned(target.astype(np.float64), bins)
    label = np.unique(label, return_inverse=True)[1]
    shuffled = permute_labels(label, n=n_null, seed=rng, groups=groups)
    values = np.array([_plug_in(cell, v) for v in (label, *shuffled)])
    entropy = _entropy(np.bincount(cell))
    saturated = bool(entropy > _SATURATED * np.log2(len(cell)))
    if saturated:
        warnings.warn(
            f"H(T) = {entropy:.1f} of at most {np.log2(len(cell)):.1f} bits for {len(cell)} "
            "samples: the estimate is saturated. Use fewer bins or units, or reduce=True.",
            UserWarning,
            stacklevel=2,
        )
    return _told(values, entropy, saturated, "bins", len(cell), n_features, bins)


def _told(
    values: FloatArray, entropy: float, saturated: bool, method: str, n: int, q: int, bins: int
) -> Information:
    p = float(permutation_p(values[0], values[1:]))
    null = float(values[1:].mean())
    return Information(float(values[0]), null, p, entropy, saturated, method, n, q, bins)


def _checked(x: AnyArray, y: AnyArray) -> tuple[FloatArray, AnyArray, bool]:
    units, target = np.asarray(x, dtype=np.float64), np.asarray(y)
    units = units[:, None] if units.ndim == 1 else units
    if units.ndim != 2 or target.shape != (len(units),) or len(units) < 2 * _LEAST:
        raise DataError(
            f"Activations (n, n_units) and labels (n,) of at least {2 * _LEAST} samples are "
            f"needed, got {np.shape(x)} and {target.shape}."
        )
    named = target.dtype.kind not in "fc"
    if not np.isfinite(units).all() or not (named or np.isfinite(target).all()):
        raise DataError("Activations or values are not finite.")
    return units, target, named


def _nearest(x: FloatArray, y: AnyArray, named: bool, rng: np.random.Generator) -> float:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    estimate = mutual_info_classif if named else mutual_info_regression
    seed = int(rng.integers(2**31 - 1))
    return float(estimate(x, y, random_state=seed)[0] / np.log(2))


def _binned(column: FloatArray, bins: int) -> IntArray:
    """Bin of each value; bins hold equally many different values."""
    values = np.unique(column)
    if len(values) <= bins:
        return np.asarray(np.searchsorted(values, column))
    first = values[-(-np.arange(1, bins) * len(values) // bins)]  # first value of each later bin
    return np.asarray(np.searchsorted(first, column, side="right"))


def _joined(cell: IntArray, code: IntArray) -> IntArray:
    return np.asarray(np.unique(cell * (int(code.max()) + 1) + code, return_inverse=True)[1])


def _cells(units: FloatArray, bins: int, reduce: bool) -> tuple[IntArray, int]:
    """Cell of each sample and how many units or components it is made of."""
    n = len(units)
    cell: IntArray = np.zeros(n, dtype=np.int64)
    for column in units.T:
        cell = _joined(cell, _binned(column, bins))
    if not reduce or n >= _LEAST * (int(cell.max()) + 1):
        return cell, units.shape[1]
    std = units.std(0)
    scaled = (units - units.mean(0))[:, std > 0] / std[std > 0]
    parts = scaled @ np.linalg.svd(scaled, full_matrices=False)[2].T
    cell, used = np.zeros(n, dtype=np.int64), 0
    for column in parts.T:
        finer = _joined(cell, _binned(column, bins))
        if n < _LEAST * (int(finer.max()) + 1):
            break
        cell, used = finer, used + 1
    return cell, used


def _entropy(counts: IntArray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def _plug_in(cell: IntArray, label: IntArray) -> float:
    """H(T) - H(T | Y) in bits."""
    width = int(label.max()) + 1
    joint = np.bincount(cell * width + label)
    return _entropy(np.bincount(cell)) + _entropy(np.bincount(label)) - _entropy(joint)
