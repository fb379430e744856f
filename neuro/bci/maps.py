"""Where two classes differ: R2, its sign, rank sums, ERD/ERS; and the features that follow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stream.chain import matched
from neuro.stream.features import Table
from neuro.typing import AnyArray, BoolArray, FloatArray

__all__ = ["ClassMap", "auto_select", "class_map", "erd", "r_squared"]


class ClassMap(NamedTuple):
    """Differences between two classes, one number a feature; all of shape (n_rows, n_columns)."""

    r2: FloatArray
    sign: FloatArray  # +1 where the second class is larger, -1 where it is smaller, 0 if equal
    z: FloatArray  # Wilcoxon rank sum, positive where the second class is larger
    p: FloatArray
    means: tuple[FloatArray, FloatArray]  # of the first and second class
    classes: tuple[str, str]
    n: tuple[int, int]  # trials of each


def r_squared(values: AnyArray, second: BoolArray) -> FloatArray:
    """Share of a feature's variance that the class explains.

    The squared correlation of feature and label, over all trials of both classes:
    eta squared of a two-group analysis of variance. The trial is the unit: windows
    of one trial are not independent.

    Parameters
    ----------
    values : array, shape (n_trials, ...)
        Features.
    second : bool array, shape (n_trials,)
        True for trials of the second class.

    Returns
    -------
    float64 array, shape (...)
        0 to 1; 0 for a feature that never changes. Under no effect its mean is
        ``1 / (n_trials - 1)``.

    Raises
    ------
    DataError
        If a class has no trial, or a value is missing.

    Notes
    -----
    HappyFeat (arXiv 2310.02948) uses as many trials of each class as the smaller has
    and gives NaN for constant features; here all trials count and those give 0.

    Examples
    --------
    >>> r_squared(np.array([1.0, 1.0, 3.0, 3.0]), np.array([False, False, True, True]))
    array(1.)
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(second, dtype=bool)
    if len(x) != len(y) or y.all() or not y.any():
        raise DataError(f"Two classes are needed; {int(y.sum())} of {len(y)} are of the second.")
    if not np.isfinite(x).all():
        raise DataError("A trial has no usable window; leave it out of the map.")
    x = x - x.mean(axis=0)
    label = y - y.mean()
    total = (x**2).sum(axis=0)
    shared = np.tensordot(label, x, axes=1) ** 2
    # what is left of a constant after its mean is taken off is rounding
    floor = (
        1e-24 * np.maximum(np.abs(np.asarray(values, dtype=np.float64)).max(axis=0), 1e-300) ** 2
    )
    alive = total > len(x) * floor
    out = np.divide(shared, total * (label**2).sum(), out=np.zeros_like(total), where=alive)
    return np.asarray(np.clip(out, 0.0, 1.0))


def class_map(
    values: AnyArray, labels: Sequence[str], classes: tuple[str, str] | None = None
) -> ClassMap:
    """Compare two classes feature by feature.

    Parameters
    ----------
    values : array, shape (n_trials, n_rows, n_columns)
        Features of trials.
    labels : sequence of str, length n_trials
        Class of each.
    classes : (str, str), optional
        Which two; those there are, sorted, if None.

    Returns
    -------
    ClassMap

    Raises
    ------
    DataError
        If there are not two classes with two trials or more.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> found = class_map(x, ["rest", "left"] * 10)
    >>> found.classes, found.r2.shape
    (('left', 'rest'), (3, 5))
    """
    from scipy.stats import ranksums

    x, y = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=str)
    there = tuple(np.unique(y).tolist())
    if classes is None:
        if len(there) != 2:
            raise DataError(f"Name two of the classes {', '.join(there) or '(none)'}.")
        classes = (there[0], there[1])
    first, second = (x[y == name] for name in classes)
    if min(len(first), len(second)) < 2:
        raise DataError(
            f"A map needs two trials or more of each class; there are {len(first)} of "
            f"{classes[0]!r} and {len(second)} of {classes[1]!r}."
        )
    both = np.concatenate([first, second])
    r2 = r_squared(both, np.arange(len(both)) >= len(first))
    means = first.mean(axis=0), second.mean(axis=0)
    found = ranksums(second, first, axis=0)
    z, p = np.asarray(found.statistic), np.asarray(found.pvalue)
    return ClassMap(
        r2, np.sign(means[1] - means[0]), z, p, means, classes, (len(first), len(second))
    )


def auto_select(
    r2: FloatArray,
    table: Table,
    n: int = 3,
    *,
    fmin: float | None = None,
    fmax: float | None = None,
    ch_names: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """The best frequency of each channel, then the best channels.

    Never two frequencies of one channel: neighbours say the same twice.

    Parameters
    ----------
    r2 : ndarray, shape (n_rows, n_columns)
        From :func:`class_map`.
    table : Table
        Names of rows and columns.
    n : int
        Features wanted.
    fmin, fmax : float, optional
        Band in Hz that is looked at.
    ch_names : sequence of str, optional
        Channels that are looked at.

    Returns
    -------
    tuple of str
        Best first, as `Selection` reads them: ``"C4;13"``.

    Raises
    ------
    ConfigError
        If nothing is left to choose from.

    Examples
    --------
    >>> table = Table(("C3", "C4"), (10.0, 12.5), "dB")
    >>> auto_select(np.array([[0.1, 0.5], [0.3, 0.2]]), table)
    ('C3;12.5', 'C4;10')
    """
    freqs = np.asarray(table.columns)
    low = -np.inf if fmin is None else fmin
    high = np.inf if fmax is None else fmax
    columns = np.flatnonzero((freqs >= low - 1e-9) & (freqs <= high + 1e-9))
    rows = np.arange(len(table.rows))
    if ch_names is not None:
        rows = np.array([table.rows.index(c) for c in matched(table.rows, ch_names)], dtype=int)
    if n < 1 or not len(columns) or not len(rows):
        raise ConfigError(
            f"Nothing to select: {n} features of {len(rows)} channels and {len(columns)} "
            f"frequencies between {low:g} and {high:g} Hz."
        )
    part = r2[np.ix_(rows, columns)]
    best = part.argmax(axis=1)
    order = np.argsort(-part.max(axis=1), kind="stable")[:n]
    return tuple(f"{table.rows[rows[i]]};{freqs[columns[best[i]]]:g}" for i in order)


def erd(power: AnyArray, baseline: AnyArray) -> FloatArray:
    """Event-related desynchronisation: change of power against a baseline, in percent.

    Parameters
    ----------
    power : array, shape (n_trials, ..., n_windows)
        Power (not dB) over the course of trials.
    baseline : bool array, shape (n_windows,)
        Windows before the cue.

    Returns
    -------
    float64 array, shape (..., n_windows)
        Of the mean over trials; negative where power falls.

    Raises
    ------
    DataError
        If no window is a baseline.

    Examples
    --------
    >>> erd(np.array([[4.0, 4.0, 2.0]]), np.array([True, True, False])).tolist()
    [0.0, 0.0, -50.0]
    """
    x, before = np.asarray(power, dtype=np.float64), np.asarray(baseline, dtype=bool)
    if not before.any():
        raise DataError("No window lies before the cue: begin the course earlier.")
    mean = x.mean(axis=0)
    level = mean[..., before].mean(axis=-1, keepdims=True)
    return np.asarray(100 * (mean / np.maximum(level, 1e-300) - 1))
