"""A permutation test of a ridge probe at the cost of a few fits.

Refitting a probe for a thousand shuffled targets repeats the same work: ridge
predictions are linear in the target, so one decomposition of a fold's features
serves all of them. The numbers are those of refitting, only sooner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.probing.probes import Rotated
from neuro.stats import permutation_p, permute_blocks, permute_labels
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["PENALTIES", "PermutationScore", "permutation_score"]

Folds: TypeAlias = Sequence[tuple[AnyArray, AnyArray]]
ScoreName = Literal["balanced_accuracy", "accuracy", "r", "r2"]

# Penalty relative to windows and features, as the ridge probe's; our default.
PENALTIES = tuple(float(v) for v in 10.0 ** np.arange(-4.0, 3.5, 0.5))
_INNER_FOLDS = 4
_CLASS_SCORES, _VALUE_SCORES = ("balanced_accuracy", "accuracy"), ("r", "r2")
# Entries of the largest temporary array: 64 MB.
_AT_ONCE = 8_000_000


@dataclass(frozen=True, eq=False)
class PermutationScore:
    """A score among those of shuffled targets.

    Parameters
    ----------
    score : float
        Mean over folds with the true target.
    null : ndarray, shape (n,)
        The same with shuffled targets.
    p : float
        Share of the null that is as high, with the +1 rule.
    metric : str
        Which score.
    shuffled : str
        What was exchanged.
    """

    score: float
    null: FloatArray
    p: float
    metric: str
    shuffled: str

    def __str__(self) -> str:
        low, high = np.quantile(self.null, [0.025, 0.975])
        return (
            f"{self.metric} {self.score:.3f}, p = {self.p:.4f} "
            f"(null {self.null.mean():.3f}, 95 % in [{low:.3f}, {high:.3f}], "
            f"{len(self.null)} times {self.shuffled} exchanged)"
        )


def permutation_score(
    x: AnyArray,
    y: AnyArray,
    *,
    seed: Seed,
    folds: int | Folds = 5,
    groups: AnyArray | None = None,
    blocks: AnyArray | None = None,
    n: int = 1000,
    metric: ScoreName | None = None,
    penalty: float | Sequence[float] = PENALTIES,
) -> PermutationScore:
    """Score of a ridge probe and of the same probe on shuffled targets.

    Every fold and every shuffle is fitted anew, with features scaled and the
    penalty chosen inside the training part; that is computed for all shuffles
    at once.

    Parameters
    ----------
    x : array, shape (n_windows, n_features)
        Features, e.g. embeddings.
    y : array, shape (n_windows,)
        Class numbers or names, or values; text and integers are classes unless
        `metric` says otherwise.
    seed : int or Generator
        Deals folds and inner folds and draws the shuffles.
    folds : int or sequence of (train, test)
        Row numbers of each fold; or how many to make, in which no group (no
        block, if there are no groups) is divided.
    groups : array, shape (n_windows,), optional
        Subject, session or run inside which targets are exchanged.
    blocks : array, shape (n_windows,), optional
        Stretches exchanged as a whole, because windows in them resemble each
        other.
    n : int
        Number of shuffles.
    metric : {"balanced_accuracy", "accuracy", "r", "r2"}, optional
        Balanced accuracy for classes, else correlation.
    penalty : float or sequence of float
        Relative to the number of windows and features; of several the one with
        the least squared error on inner folds is taken, for each shuffle by
        itself. Inner folds keep blocks, else groups, whole.

    Returns
    -------
    PermutationScore

    Raises
    ------
    DataError
        If features or targets are not finite, lengths differ, a training part
        is constant, or no exchange is possible.
    ConfigError
        If the metric does not suit the target, or a number is impossible.

    Notes
    -----
    The probe differs from the one of `evaluate` in one point: inner folds are
    dealt without looking at the target, so that they serve every shuffle.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 30)
    >>> x = rng.standard_normal((60, 20)) + y[:, None]
    >>> found = permutation_score(x, y, seed=0, n=199)
    >>> found.p, bool(found.score > 0.9)
    (0.005, True)
    """
    rng = np.random.default_rng(seed)
    features, target, classes = _checked(x, y, metric)
    metric = metric or ("balanced_accuracy" if classes else "r")
    penalties = np.atleast_1d(np.asarray(penalty, dtype=np.float64))
    if n < 1 or penalties.ndim != 1 or not (penalties > 0).all() or not penalties.size:
        raise ConfigError(f"n={n} and penalty={penalty} must be positive.")
    units = blocks if blocks is not None else groups
    whole = groups if groups is not None else blocks
    parts = _folds(folds, len(target), whole, rng)
    inner = [_dealt(len(tr), None if units is None else np.asarray(units)[tr], rng)
             for tr, _ in parts]  # fmt: skip
    if blocks is not None:
        shuffles = permute_blocks(target, blocks, n=n, seed=rng, groups=groups)
        what = "blocks" + (" inside groups" if groups is not None else "")
    else:
        shuffles = permute_labels(target, n=n, seed=rng, groups=groups)
        what = "targets" + (" inside groups" if groups is not None else "")
    every = np.concatenate([target[None], shuffles])
    total = np.zeros(n + 1)
    for (train, test), dealt in zip(parts, inner, strict=True):
        total += _fold_scores(features, every, train, test, dealt, penalties, classes, metric)
    values = total / len(parts)
    score, null = float(values[0]), values[1:]
    return PermutationScore(score, null, float(permutation_p(score, null)), metric, what)


# ---- preparation ------------------------------------------------------------------


def _checked(x: AnyArray, y: AnyArray, metric: str | None) -> tuple[FloatArray, AnyArray, int]:
    """Features, target (class numbers or values) and the number of classes, 0 for values."""
    features, target = np.asarray(x, dtype=np.float64), np.asarray(y)
    if features.ndim != 2 or target.shape != (len(features),):
        raise DataError(
            f"Features must be (n_windows, n_features) and the target (n_windows,), got "
            f"{features.shape} and {target.shape}."
        )
    if not np.isfinite(features).all():
        raise DataError(f"{int((~np.isfinite(features)).any(1).sum())} rows are not finite.")
    if metric is not None and metric not in (*_CLASS_SCORES, *_VALUE_SCORES):
        raise ConfigError(
            f"No metric {metric!r}. {did_you_mean(metric, _CLASS_SCORES + _VALUE_SCORES)}"
        )
    named = target.dtype.kind in "OUSbiu"
    if metric in _CLASS_SCORES or (named and metric is None):
        names, number = np.unique(target, return_inverse=True)
        if len(names) < 2 or len(names) > len(target) // 2:
            raise DataError(
                f"{len(names)} classes in {len(target)} windows. For a number pass metric='r'."
            )
        return features, number.astype(np.int64), len(names)
    if target.dtype.kind not in "biuf" or not np.isfinite(target.astype(np.float64)).all():
        raise DataError(f"Values must be finite numbers for metric {metric or 'r'!r}.")
    return features, target.astype(np.float64), 0


def _folds(
    folds: int | Folds, n: int, groups: AnyArray | None, rng: np.random.Generator
) -> list[tuple[IntArray, IntArray]]:
    if isinstance(folds, int):
        names = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        if not 2 <= folds <= len(np.unique(names)):
            raise ConfigError(
                f"folds={folds}: between 2 and {len(np.unique(names))}, the number of units."
            )
        number = _dealt(n, names, rng, folds)
        return [(np.flatnonzero(number != k), np.flatnonzero(number == k)) for k in range(folds)]
    out: list[tuple[IntArray, IntArray]] = []
    for train, test in folds:
        a, b = np.asarray(train, dtype=np.int64), np.asarray(test, dtype=np.int64)
        rows = np.concatenate([a, b])
        if not len(a) or not len(b) or rows.min() < 0 or rows.max() >= n:
            raise DataError(f"A fold has no rows, or rows outside 0 to {n - 1}.")
        if np.intersect1d(a, b).size:
            raise DataError("Training and test rows of a fold overlap.")
        out.append((a, b))
    if not out:
        raise DataError("There is no fold.")
    return out


def _dealt(
    n: int, units: AnyArray | None, rng: np.random.Generator, folds: int = _INNER_FOLDS
) -> IntArray:
    """Fold of each row; a unit is never divided, and the target is not looked at."""
    code = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1]
    n_units = int(code.max()) + 1
    place = rng.permutation(n_units) % min(folds, n_units)
    return np.asarray(place[code])


# ---- one fold, all targets ----------------------------------------------------------


def _fold_scores(
    x: FloatArray,
    y: AnyArray,
    train: IntArray,
    test: IntArray,
    inner: IntArray,
    penalties: FloatArray,
    classes: int,
    metric: str,
) -> FloatArray:
    """Score of every target, (n_targets,)."""
    axes = Rotated(x[train])
    new = axes(x[test])
    width = classes if classes > 2 else 1
    step = max(1, _AT_ONCE // (len(train) * width))
    out = np.empty(len(y))
    for a in range(0, len(y), step):
        fitted, tested = y[a : a + step][:, train], y[a : a + step][:, test]
        if (fitted == fitted[:, :1]).all(axis=1).any():
            raise DataError(
                "A target is constant in the training part of a fold; use fewer folds, or "
                "exchange inside other groups."
            )
        said = _predicted(axes, new, _columns(fitted, classes), inner, penalties, width)
        label = said.argmax(2) if width > 1 else (said[..., 0] > 0.5) if classes else said[..., 0]
        out[a : a + step] = _SCORES[metric](tested, label)
    return out


def _columns(y: AnyArray, classes: int) -> FloatArray:
    """Targets as regression columns, (n_rows, n_targets, width)."""
    if classes > 2:
        return np.asarray((y.T[:, :, None] == np.arange(classes)).astype(np.float64))
    return np.asarray(y.T[:, :, None].astype(np.float64))


def _predicted(
    axes: Rotated,
    new: FloatArray,
    y: FloatArray,
    inner: IntArray,
    penalties: FloatArray,
    width: int,
) -> FloatArray:
    """Ridge predictions of the test rows, (n_targets, n_test, width)."""
    n, n_targets = y.shape[0], y.shape[1]
    flat = y.reshape(n, -1)
    mean = flat.mean(0)
    centred = flat - mean
    along = axes.u.T @ centred
    best = np.zeros(n_targets, dtype=np.int64)
    # with one unit there is nothing to judge by: the middle of the grid, as in the probe
    if len(penalties) > 1 and inner.max() == 0:
        best += len(penalties) // 2
    elif len(penalties) > 1:
        error = [_left_out(axes, centred, along, inner, p, n_targets) for p in penalties]
        best = np.asarray(np.argmin(error, axis=0))
    chosen = np.repeat(penalties[best], width)
    s = axes.s[:, None]
    weight = along * (s / (s**2 + chosen * n))
    said = new @ weight + mean
    return np.asarray(np.moveaxis(said.reshape(len(new), n_targets, width), 1, 0))


def _left_out(
    axes: Rotated,
    centred: FloatArray,
    along: FloatArray,
    inner: IntArray,
    penalty: float,
    n_targets: int,
) -> FloatArray:
    """Squared error of predicting each inner fold from the others, (n_targets,).

    Residuals without a fold are those of the fit to all, divided by the block
    of I - H that belongs to the fold.
    """
    n = len(centred)
    share = axes.s**2 / (axes.s**2 + penalty * n)
    residual = centred - axes.u @ (share[:, None] * along)
    total = np.zeros(n_targets)
    for k in range(int(inner.max()) + 1):
        mine = inner == k
        hat = 1.0 / n + (axes.u[mine] * share) @ axes.u[mine].T
        out = np.linalg.solve(np.eye(len(hat)) - hat, residual[mine])
        total += (out**2).reshape(len(out), n_targets, -1).sum(axis=(0, 2))
    return total


# ---- scores, (n_targets, n_test) -> (n_targets,) -------------------------------------


def _accuracy(y: AnyArray, said: AnyArray) -> FloatArray:
    return np.asarray((y == said).mean(1))


def _balanced(y: AnyArray, said: AnyArray) -> FloatArray:
    """Mean recall over the classes that occur in the test part."""
    hit = y == said
    total, present = np.zeros(len(y)), np.zeros(len(y))
    for c in range(int(y.max()) + 1):
        mine = y == c
        count = mine.sum(1)
        total += np.divide((hit & mine).sum(1), count, out=np.zeros(len(y)), where=count > 0)
        present += count > 0
    return np.asarray(total / present)


def _r(y: FloatArray, said: FloatArray) -> FloatArray:
    from neuro.stats import pearson

    return pearson(y, said)


def _r2(y: FloatArray, said: FloatArray) -> FloatArray:
    spread = ((y - y.mean(1, keepdims=True)) ** 2).sum(1)
    error = ((y - said) ** 2).sum(1)
    # a test part of equal values explains nothing
    return np.asarray(1 - np.divide(error, spread, out=np.ones(len(y)), where=spread > 0))


_SCORES = {"balanced_accuracy": _balanced, "accuracy": _accuracy, "r": _r, "r2": _r2}
