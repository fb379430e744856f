"""How well a choice of features and a rule will do: the quick score, and the honest one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.bci.maps import auto_select, r_squared
from neuro.errors import ConfigError, DataError
from neuro.stream.features import Table
from neuro.stream.rules import Selection, fit_rule
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Auto", "Scores", "cross_validate", "judge"]


@dataclass(frozen=True)
class Auto:
    """Let the R2 map choose.

    Parameters
    ----------
    n : int
        Features.
    fmin, fmax : float, optional
        Band in Hz.
    ch_names : tuple of str, optional
        Channels.
    """

    n: int = 3
    fmin: float | None = None
    fmax: float | None = None
    ch_names: tuple[str, ...] | None = None

    def names(self, values: FloatArray, labels: Sequence[str], table: Table) -> tuple[str, ...]:
        """The features this chooses on these trials."""
        y = np.asarray(labels, dtype=str)
        classes = np.unique(y)
        if len(classes) != 2:
            raise DataError(
                f"A map compares two classes, there are {len(classes)}: name the features."
            )
        r2 = r_squared(values, y == classes[1])
        return auto_select(
            r2, table, self.n, fmin=self.fmin, fmax=self.fmax, ch_names=self.ch_names
        )


@dataclass(frozen=True)
class Scores:
    """Balanced accuracy of a decoder on trials it has not been trained on.

    Parameters
    ----------
    nested : float
        Features chosen anew inside every fold: what to expect of the next run.
    quick : float
        Features chosen on all trials, as experimenters like to do: too good.
    chance : float
        One over the number of classes.
    n_trials : int
        Trials.
    n_folds : int
        Folds.
    rates : dict of str to float
        Share of right answers of each class (nested).
    kappa : float
        Cohen's kappa (nested).
    """

    nested: float
    quick: float
    chance: float
    n_trials: int
    n_folds: int
    rates: dict[str, float]
    kappa: float

    @property
    def optimism(self) -> float:
        """What the quick score promises too much."""
        return self.quick - self.nested


def judge(truth: AnyArray, said: AnyArray) -> tuple[float, dict[str, float], float]:
    """Balanced accuracy, rate of each class, and Cohen's kappa.

    Examples
    --------
    >>> judge(np.array(["a", "a", "b", "b"]), np.array(["a", "a", "b", "a"]))
    (0.75, {'a': 1.0, 'b': 0.5}, 0.5)
    """
    y, z = np.asarray(truth, dtype=str), np.asarray(said, dtype=str)
    classes = np.unique(y)
    rates = {str(c): float((z[y == c] == c).mean()) for c in classes}
    expected = sum((y == c).mean() * (z == c).mean() for c in classes)
    kappa = float(((y == z).mean() - expected) / (1 - expected)) if expected < 1 else 0.0
    return float(np.mean(list(rates.values()))), rates, kappa


def cross_validate(
    values: FloatArray,
    labels: Sequence[str],
    table: Table,
    *,
    kind: str = "lda",
    features: Auto | Sequence[str] = (),
    runs: Sequence[Any] | None = None,
    n_folds: int = 10,
    seed: int = 0,
) -> Scores:
    """Score a choice of features, nested and quick.

    Parameters
    ----------
    values : ndarray, shape (n_trials, n_rows, n_columns)
        Features of trials.
    labels : sequence of str
        Class of each trial.
    table : Table
        Names of rows and columns.
    kind : str
        See :func:`neuro.stream.fit_rule`.
    features : Auto or sequence of str
        A rule that chooses, or names. Names were chosen by somebody who saw the
        trials, so that even their nested score is optimistic; empty is all.
    runs : sequence, optional
        Run of each trial; with three runs or more, folds are runs.
    n_folds : int
        Otherwise folds of trials, balanced.
    seed : int
        Of the assignment of trials to folds.

    Returns
    -------
    Scores

    Raises
    ------
    DataError
        Too few trials.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((40, 2, 4))
    >>> scores = cross_validate(x, ["a", "b"] * 20, Table(("C3", "C4"), (8, 10, 12, 14), "dB"))
    >>> 0 <= scores.nested <= 1
    True
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=str)
    usable = np.isfinite(x).all(axis=(1, 2))
    x, y = x[usable], y[usable]
    groups = None if runs is None else np.asarray(runs)[usable]
    fold = _folds(y, groups, n_folds, seed)

    def predicted(choose: Callable[[IntArray], tuple[str, ...]]) -> AnyArray:
        said = np.empty(len(y), dtype=object)
        for k in np.unique(fold):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            selection = Selection(choose(train))
            rule = fit_rule(kind, selection.apply(x[train], table), y[train].tolist())
            for i in test:
                p = rule.probabilities(selection.apply(x[i], table))
                said[i] = rule.classes[int(p.argmax())]
        return said

    if isinstance(features, Auto):
        auto = features
        everywhere = auto.names(x, y.tolist(), table)
        nested, rates, kappa = judge(
            y, predicted(lambda train: auto.names(x[train], y[train].tolist(), table))
        )
        quick = judge(y, predicted(lambda train: everywhere))[0]
    else:
        names = tuple(features)
        nested, rates, kappa = judge(y, predicted(lambda train: names))
        quick = nested
    return Scores(nested, quick, 1 / len(np.unique(y)), len(y), len(np.unique(fold)), rates, kappa)


def _folds(y: AnyArray, groups: AnyArray | None, n_folds: int, seed: int) -> IntArray:
    """Fold of every trial: whole runs where there are enough, else balanced trials."""
    if groups is not None and len(np.unique(groups)) >= 3:
        return np.unique(groups, return_inverse=True)[1]
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < 4:
        raise DataError(
            f"Cross-validation needs four trials or more of two classes; the smallest has "
            f"{int(counts.min()) if len(counts) else 0}."
        )
    if n_folds < 2:
        raise ConfigError(f"n_folds={n_folds}: at least 2.")
    k = min(n_folds, int(counts.min()))
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.int64)
    for name in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == name))
        fold[own] = np.arange(len(own)) % k
    return fold
