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
from neuro.evaluate.measures.spread import Spread, jackknife, unit_codes
from neuro.stats import permutation_p, permute_blocks, permute_labels
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

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
    lo, hi : float
        95 % interval of `value` less `null` over independent units (other
        people, not other windows of these); NaN without units, or with fewer
        than three.
    n_units : int
        How many there are.
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
    lo: float = float("nan")
    hi: float = float("nan")
    n_units: int = 0

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
    units: AnyArray | None = None,
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
        Subjects inside which labels are shuffled; `units` if omitted.
    units : array, shape (n,), optional
        Independent unit of each sample, e.g. its subject: what the interval
        leaves out one at a time. Labels that are the same in all samples of a
        unit are shuffled between whole units.

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
    columns, target, named = _checked(x, y)
    code = unit_codes(units, len(columns))
    if bins < 2 or n_null < 1:
        raise ConfigError(f"bins={bins} (at least 2) and n_null={n_null} (at least 1).")
    if method == "auto":
        method = "knn" if columns.shape[1] == 1 and not named else "bins"
    if method == "knn":
        if columns.shape[1] != 1:
            raise ConfigError(
                f"method='knn' takes one number a sample, got {columns.shape[1]}: use 'bins'."
            )
        shuffled = _shuffled(target, n_null, rng, groups, code)
        values = np.array([_nearest(columns, v, named, rng) for v in (target, *shuffled)])

        def nearest(keep: BoolArray) -> float:
            return _nearest(columns[keep], target[keep], named, np.random.default_rng(0))

        spread = jackknife(float(values[0]), nearest, code)
        return _told(values, np.nan, False, "knn", len(columns), 1, 0, spread)
    if method != "bins":
        raise ConfigError(f"method={method!r} is not known: use 'auto', 'bins' or 'knn'.")
    cell, n_features = _cells(columns, bins, reduce)
    label = target if named else _binned(target.astype(np.float64), bins)
    label = np.unique(label, return_inverse=True)[1]
    shuffled = _shuffled(label, n_null, rng, groups, code)
    values = np.array([_plug_in(cell, v) for v in (label, *shuffled)])
    spread = jackknife(float(values[0]), lambda keep: _plug_in(cell[keep], label[keep]), code)
    entropy = _entropy(np.bincount(cell))
    saturated = bool(entropy > _SATURATED * np.log2(len(cell)))
    if saturated:
        warnings.warn(
            f"H(T) = {entropy:.1f} of at most {np.log2(len(cell)):.1f} bits for {len(cell)} "
            "samples: the estimate is saturated. Use fewer bins or units, or reduce=True.",
            UserWarning,
            stacklevel=2,
        )
    return _told(values, entropy, saturated, "bins", len(cell), n_features, bins, spread)


def _told(
    values: FloatArray,
    entropy: float,
    saturated: bool,
    method: str,
    n: int,
    q: int,
    bins: int,
    spread: Spread,
) -> Information:
    p = float(permutation_p(values[0], values[1:]))
    value, null = float(values[0]), float(values[1:].mean())
    lo, hi, n_units = spread
    return Information(
        value, null, p, entropy, saturated, method, n, q, bins, lo - null, hi - null, n_units
    )


def _shuffled(
    label: AnyArray,
    n: int,
    rng: np.random.Generator,
    groups: AnyArray | None,
    code: IntArray | None,
) -> AnyArray:
    """Labels exchanged inside groups, or between units that have only one."""
    if groups is None and code is not None:
        first = np.unique(code, return_index=True)[1]
        if (label == label[first][code]).all():
            return permute_blocks(label, code, n=n, seed=rng)
        groups = code
    return permute_labels(label, n=n, seed=rng, groups=groups)


def _checked(x: AnyArray, y: AnyArray) -> tuple[FloatArray, AnyArray, bool]:
    columns, target = np.asarray(x, dtype=np.float64), np.asarray(y)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or target.shape != (len(columns),) or len(columns) < 2 * _LEAST:
        raise DataError(
            f"Activations (n, n_units) and labels (n,) of at least {2 * _LEAST} samples are "
            f"needed, got {np.shape(x)} and {target.shape}."
        )
    named = target.dtype.kind not in "fc"
    if not np.isfinite(columns).all() or not (named or np.isfinite(target).all()):
        raise DataError("Activations or values are not finite.")
    return columns, target, named


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


def _cells(columns: FloatArray, bins: int, reduce: bool) -> tuple[IntArray, int]:
    """Cell of each sample and how many units or components it is made of."""
    n = len(columns)
    cell: IntArray = np.zeros(n, dtype=np.int64)
    for column in columns.T:
        cell = _joined(cell, _binned(column, bins))
    if not reduce or n >= _LEAST * (int(cell.max()) + 1):
        return cell, columns.shape[1]
    std = columns.std(0)
    scaled = (columns - columns.mean(0))[:, std > 0] / std[std > 0]
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
