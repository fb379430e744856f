"""Counts and their likelihood: the floors for encoding models of spikes, and whose word counts.

Decoding asks what the spikes say about the world; encoding asks how many
spikes the world (or the other units) predicts. A contender predicts the
expected count of every unit in every window and is scored by the Poisson
likelihood of what was counted, in bits per spike beyond each unit's mean. A
contender with a distribution of its own (negative binomial, refractory,
autoregressive) gives `log_likelihood(x, y)` and is scored by that.
"""

from typing import Any

import numpy as np

from neuro.errors import DataError
from neuro.evaluate.probing.probes import inner_folds, rotated
from neuro.evaluate.task import Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["MeanRate", "PoissonGLM", "own_likelihood"]

# Penalty relative to mean count and number of windows, from strong to weak, so that
# one grid serves silent and busy units; our default.
_GRID = 10.0 ** np.arange(-1.0, -8.0, -1.5)
_INNER_FOLDS = 4
# principal axes kept of wider features: a Newton step costs the square of their number, and
# the penalty leaves little of the later ones; our choice
_WIDEST = 150
# the exponential runs away outside the training part's range; our choice
_MOST = 2.0
# rows, and counts beyond the largest, on which a likelihood is added up
_ADDED_ROWS, _ADDED_BEYOND = 8, 20


def _counted(y: AnyArray) -> FloatArray:
    """Counts as float64 (n, n_outputs), checked."""
    counts = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    if (counts < 0).any():
        raise DataError("Counts are expected; some targets are negative.")
    return counts


class MeanRate:
    """The mean count of the training part, whatever the window.

    A unit without a single spike there is given half a spike in all of it:
    a rate of zero would make its first spike infinitely unlikely.

    Examples
    --------
    >>> MeanRate().fit(np.zeros((4, 1)), np.array([0, 2, 1, 1])).predict(np.zeros((2, 1)))
    array([1., 1.])
    """

    def fit(self, x: FloatArray, y: AnyArray) -> "MeanRate":
        """Mean of each target."""
        counts = _counted(y)
        self._shape = np.shape(y)[1:]
        self._rate = np.maximum(counts.mean(0), 0.5 / len(counts))
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Expected count, the same for every row."""
        return np.tile(self._rate, (len(x), 1)).reshape(len(x), *self._shape)


class PoissonGLM:
    """Poisson regression with a log link, one unit at a time (scikit-learn's PoissonRegressor).

    The ridge penalty of every unit is chosen on folds inside the training
    part. A unit that is silent there keeps the constant rate of
    :class:`MeanRate`. Of more than 150 features the 150 leading principal axes
    are used. Expected counts are bounded at twice the largest count of the
    training part, because a log link runs away where it extrapolates.

    Parameters
    ----------
    seed : int
        Deals the inner folds.

    Attributes
    ----------
    penalty_ : ndarray, shape (n_outputs,)
        Chosen for each unit, relative to its mean count.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2000, 1))
    >>> y = rng.poisson(np.exp(0.5 + 0.8 * x[:, 0]))
    >>> said = PoissonGLM().fit(x[:1500], y[:1500]).predict(x[1500:])
    >>> slope = np.polyfit(x[1500:, 0], np.log(said), 1)[0]
    >>> bool(abs(slope - 0.8) < 0.05)
    True
    """

    takes_groups = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, x: FloatArray, y: AnyArray, groups: AnyArray | None = None) -> "PoissonGLM":
        """Choose each unit's penalty by inner Poisson deviance, then fit on everything."""
        counts = _counted(y)
        self._axes, self._shape = rotated(x), np.shape(y)[1:]
        z = (self._axes.u * self._axes.s)[:, :_WIDEST]
        groups = np.arange(len(counts)) if groups is None else groups
        fold = inner_folds(groups, counts, _INNER_FOLDS, self.seed)
        chosen = [_chosen(z, count, fold) for count in counts.T]
        fits = [_fitted(z, count, p) for count, p in zip(counts.T, chosen, strict=True)]
        self.penalty_ = np.array(chosen)
        self._weight = np.stack([weight for weight, _ in fits], axis=1)
        self._bias = np.array([bias for _, bias in fits])
        self._most = np.log(_MOST * np.maximum(counts.max(0), 1.0))
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Expected count of every unit, in the shape fitted on."""
        log_rate = self._axes(x)[:, :_WIDEST] @ self._weight + self._bias
        rate = np.exp(np.minimum(log_rate, self._most))
        return np.asarray(rate.reshape(len(rate), *self._shape))


def _fitted(z: FloatArray, count: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    """Weights and intercept of one unit."""
    from sklearn.linear_model import PoissonRegressor

    if not count.any():
        return np.zeros(z.shape[1]), float(np.log(0.5 / len(count)))
    alpha = penalty * float(count.mean())
    model = PoissonRegressor(alpha=alpha, solver="newton-cholesky", max_iter=200, tol=1e-6)
    model.fit(z, count)
    return np.asarray(model.coef_), float(model.intercept_)


def _chosen(z: FloatArray, count: FloatArray, fold: IntArray) -> float:
    """Penalty with the least inner deviance; the middle one if there is nothing to judge by."""
    if fold.max() == 0 or not count.any():
        return float(_GRID[len(_GRID) // 2])
    loss: list[float] = []
    for penalty in _GRID:
        total = 0.0
        for k in range(int(fold.max()) + 1):
            mine = fold == k
            weight, bias = _fitted(z[~mine], count[~mine], penalty)
            log_rate = np.minimum(z[mine] @ weight + bias, np.log(_MOST * max(count.max(), 1.0)))
            total += float((np.exp(log_rate) - count[mine] * log_rate).sum())
        loss.append(total)
        # past its minimum the deviance only rises
        if len(loss) - 1 - int(np.argmin(loss)) >= 2:
            break
    return float(_GRID[int(np.argmin(loss))])


# ---- whose likelihood --------------------------------------------------------------


def own_likelihood(
    estimator: Any, task: Task, said: Predicted, x: FloatArray, y: AnyArray, name: str
) -> Predicted:
    """The prediction with the estimator's own log likelihood of the counts, if it gives one.

    Parameters
    ----------
    estimator : object
        Fitted; may have ``log_likelihood(x, y)``: natural logarithm of the
        probability of the counts, shape (n, n_outputs), or (n,) for all
        targets together.
    task : Task
        Counts.
    said : Predicted
        Expected counts.
    x : ndarray
        Test features.
    y : ndarray
        What was counted.
    name : str
        For messages.

    Returns
    -------
    Predicted
        With `score` (n, n_outputs) or (n, 1), or unchanged.

    Raises
    ------
    DataError
        If it has the wrong shape, is not finite, or is no logarithm of a
        probability: above 0, or adding up to more than 1 over the counts a
        target could take (checked on a few windows where there is one value
        a target).
    """
    function = getattr(estimator, "log_likelihood", None)
    if not callable(function):
        return said
    log_p = np.asarray(function(x, y), dtype=np.float64)
    log_p = log_p.reshape(len(log_p), -1) if log_p.ndim else log_p
    if log_p.shape not in ((len(y), 1), (len(y), task.n_outputs)) or not np.isfinite(log_p).all():
        raise DataError(
            f"{name}: log_likelihood has shape {log_p.shape} for {len(y)} windows and "
            f"{task.n_outputs} targets, or is not finite."
        )
    too_much = (log_p > 1e-9).any()
    if not too_much and log_p.shape[1] == task.n_outputs:
        rows = np.unique(np.linspace(0, len(y) - 1, _ADDED_ROWS).astype(np.int64))
        total = np.zeros((len(rows), task.n_outputs))
        for value in range(int(np.max(y)) + _ADDED_BEYOND):
            same = np.full_like(np.asarray(y)[rows], value)
            total += np.exp(np.reshape(function(x[rows], same), total.shape))
        too_much = (total > 1 + 1e-6).any()
    if too_much:
        raise DataError(
            f"{name}: log_likelihood is no logarithm of a probability of counts: it is above 0 or "
            "adds up to more than 1. Keep the constant, -log(k!) for Poisson."
        )
    return Predicted(said.label, log_p)
