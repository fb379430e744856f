"""Estimators of floors and probes: logistic and ridge regression, neighbours, Poisson counts."""

import hashlib
import threading
from collections.abc import Callable

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.evaluate.task import Task
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["LogisticProbe", "NeighboursProbe", "PoissonDecoder", "RidgeProbe", "inner_folds"]

# Penalty relative to the number of windows and features, so that one grid
# serves 5 and 5,000 of either; our defaults.
_RIDGE_GRID = 10.0 ** np.arange(-4.0, 3.5, 0.5)
_LOGISTIC_GRID = 10.0 ** np.arange(-2.0, 3.5, 1.0)
_INNER_FOLDS = 4
_NEIGHBOURS = (1, 5, 20)


def inner_folds(groups: AnyArray, y: AnyArray, n: int, seed: Seed) -> IntArray:
    """Fold number of each training window; a group is never divided.

    Groups are dealt in turn, sorted by their mean target, so that kinds of
    group spread evenly.

    Parameters
    ----------
    groups : ndarray, shape (n_windows,)
        Unit of independence of each window.
    y : ndarray, shape (n_windows, ...)
        Target.
    n : int
        Number of folds; fewer if there are fewer groups.
    seed : int or Generator
        For ties.

    Returns
    -------
    ndarray of int, shape (n_windows,)
    """
    names, inverse = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    flat = y.reshape(len(y), -1).mean(1)
    mean = np.bincount(inverse, weights=flat) / np.bincount(inverse)
    order = order[np.argsort(mean[order], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    fold[order] = np.arange(len(names)) % max(1, min(n, len(names)))
    return np.asarray(fold[inverse])


class Rotated:
    """Columns to mean 0 and deviation 1, then along their principal axes.

    A quadratic penalty does not see the rotation, so fits are the same and
    cost at most n columns instead of thousands.

    Parameters
    ----------
    x : ndarray, shape (n, n_features)
        Training features.

    Attributes
    ----------
    u, s : ndarray
        Left singular vectors and values of the scaled features.
    """

    def __init__(self, x: FloatArray) -> None:
        self.mean = x.mean(0)
        std = x.std(0)
        self.std = np.where(std > 1e-12 * np.maximum(np.abs(self.mean), 1e-30), std, np.inf)
        # features enter with unit total variance: a penalty then means the same
        # for 5 and for 5,000 of them
        self.norm = np.sqrt(max(1, int(np.isfinite(self.std).sum())))
        u, s, v = np.linalg.svd(self._scaled(x), full_matrices=False)
        keep = s > 1e-9 * max(float(s[0]), 1e-300)
        keep[0] = True  # features that never vary leave one axis of zeros
        self.u, self.s, self._axes = u[:, keep], s[keep], v[keep].T

    def _scaled(self, x: FloatArray) -> FloatArray:
        return np.asarray((np.asarray(x, dtype=np.float64) - self.mean) / self.std / self.norm)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Coordinates along the axes, (n, n_axes)."""
        return np.asarray(self._scaled(x) @ self._axes)


# The seeds and shuffles of a fold share their features: the decomposition,
# most of a fit's cost, is kept for the last few.
_KEPT: dict[bytes, Rotated] = {}
_MOST_KEPT = 4
_LOCK = threading.Lock()


def rotated(x: FloatArray) -> Rotated:
    """Principal axes of the features, remembered for the last few arrays."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    key = hashlib.blake2b(x.tobytes() + repr(x.shape).encode()).digest()
    with _LOCK:
        if key not in _KEPT:
            while len(_KEPT) >= _MOST_KEPT:
                del _KEPT[next(iter(_KEPT))]
            _KEPT[key] = Rotated(x)
        return _KEPT[key]


class LogisticProbe:
    """Softmax regression; the penalty is chosen on folds inside the training part.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    seed : int
        Deals the inner folds.
    """

    takes_groups = True

    def __init__(self, n_classes: int, seed: int = 0) -> None:
        self.n_classes, self.seed = n_classes, seed

    def fit(self, x: FloatArray, y: IntArray, groups: AnyArray | None = None) -> "LogisticProbe":
        """Choose the penalty by inner log loss, then fit on everything."""
        self._axes = rotated(x)
        z = self._axes.u * self._axes.s
        groups = np.arange(len(y)) if groups is None else groups
        fold = inner_folds(groups, y, _INNER_FOLDS, self.seed)
        best = self._chosen(z, y, fold)
        self.penalty_ = float(_LOGISTIC_GRID[best])
        self._proba = self._fitted(z, y, self.penalty_)
        return self

    def _chosen(self, z: FloatArray, y: IntArray, fold: IntArray) -> int:
        """Place in the grid with the least inner log loss, from strong to weak penalties."""
        # a penalty cannot be judged on classes never seen
        parts = [fold == k for k in range(int(fold.max()) + 1)]
        parts = [t for t in parts if len(np.unique(y[~t])) == len(np.unique(y))]
        if not parts:
            return len(_LOGISTIC_GRID) // 2
        loss: list[float] = []
        for c in _LOGISTIC_GRID:
            total = 0.0
            for test in parts:
                p = self._fitted(z[~test], y[~test], c)(z[test])
                total -= float(np.log(np.maximum(p[np.arange(len(p)), y[test]], 1e-12)).mean())
            loss.append(total)
            # past its minimum the loss only rises, and weak penalties are slow to fit
            if len(loss) - 1 - int(np.argmin(loss)) >= 2:
                break
        return int(np.argmin(loss))

    def _fitted(self, x: FloatArray, y: IntArray, c: float) -> Callable[[FloatArray], FloatArray]:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=c, max_iter=3000, tol=1e-4).fit(x, y)
        present = model.classes_.astype(int)

        def proba(new: FloatArray) -> FloatArray:
            out = np.zeros((len(new), self.n_classes))
            out[:, present] = model.predict_proba(new)
            return out

        return proba

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Probability of each class, (n, n_classes)."""
        return self._proba(self._axes(x))

    def predict(self, x: FloatArray) -> IntArray:
        """Most likely class, (n,)."""
        return np.asarray(self.predict_proba(x).argmax(1))


class RidgeProbe:
    """Ridge regression; the penalty is chosen on folds inside the training part.

    What a fold would be predicted without itself follows from the one fit to
    all: residuals divided by the block of I - H that belongs to the fold.

    Parameters
    ----------
    seed : int
        Deals the inner folds.
    """

    takes_groups = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray, groups: AnyArray | None = None) -> "RidgeProbe":
        """Choose the penalty by inner squared error, then fit on everything."""
        y = np.asarray(y, dtype=np.float64)
        target = y.reshape(len(y), -1)
        self._axes, self._shape = rotated(x), y.shape[1:]
        groups = np.arange(len(y)) if groups is None else groups
        fold = inner_folds(groups, target, _INNER_FOLDS, self.seed)
        # with a single group there is nothing to judge by: the middle of the grid
        best = len(_RIDGE_GRID) // 2
        if fold.max() > 0:
            best = int(np.argmin([self._left_out(target, fold, p) for p in _RIDGE_GRID]))
        self.penalty_ = float(_RIDGE_GRID[best])
        self._mean = target.mean(0)
        shrunk = self._axes.s / (self._axes.s**2 + self.penalty_ * len(y))
        self._weight = shrunk[:, None] * (self._axes.u.T @ (target - self._mean))
        return self

    def _left_out(self, y: FloatArray, fold: IntArray, penalty: float) -> float:
        """Squared error of predicting each fold from the others."""
        u, s, n = self._axes.u, self._axes.s, len(y)
        share = s**2 / (s**2 + penalty * n)
        residual = y - y.mean(0) - u @ (share[:, None] * (u.T @ (y - y.mean(0))))
        total = 0.0
        for k in range(int(fold.max()) + 1):
            mine = fold == k
            hat = 1.0 / n + (u[mine] * share) @ u[mine].T
            total += float((np.linalg.solve(np.eye(len(hat)) - hat, residual[mine]) ** 2).sum())
        return total

    def predict(self, x: FloatArray) -> FloatArray:
        """Target of each row, in the shape fitted on."""
        out = self._axes(x) @ self._weight + self._mean
        return np.asarray(out.reshape(len(out), *self._shape))


class NeighboursProbe:
    """Vote (or mean) of the nearest training windows by cosine of centred features.

    How many are asked is chosen on folds inside the training part. A vote
    weighs one over its class's frequency there: otherwise the larger class
    wins, which in cross-validation is the smaller one of the test part.
    Intervals of cross-validated scores are somewhat too narrow, for these as
    for other probes; see :mod:`neuro.evaluate.scores.intervals` for by how much.

    Parameters
    ----------
    n_classes : int
        Number of classes; 0 for values.
    seed : int
        Deals the inner folds.

    Attributes
    ----------
    k_ : int
        1, 5 or 20: how many neighbours.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> NeighboursProbe(2).fit(x, np.array([0, 0, 1, 1])).predict(x).tolist()
    [0, 0, 1, 1]
    """

    takes_groups = True

    def __init__(self, n_classes: int = 0, seed: int = 0) -> None:
        self.n_classes, self.seed = n_classes, seed

    def fit(self, x: FloatArray, y: AnyArray, groups: AnyArray | None = None) -> "NeighboursProbe":
        """Keep the training windows and choose how many to ask."""
        self._mean = np.asarray(x, dtype=np.float64).mean(0)
        self._x, self._shape = self._unit(x), y.shape[1:]
        flat = np.asarray(y).reshape(len(y), -1)
        self._y = np.eye(self.n_classes)[flat[:, 0]] if self.n_classes else flat.astype(np.float64)
        groups = np.arange(len(y)) if groups is None else groups
        fold = inner_folds(groups, np.asarray(y), _INNER_FOLDS, self.seed)
        self._weight = 1.0 / np.maximum(self._y.mean(0), 1e-12)
        self.k_ = _NEIGHBOURS[0]
        if fold.max() > 0:
            loss = np.zeros(len(_NEIGHBOURS))
            for k in range(int(fold.max()) + 1):
                mine = fold == k
                said = self._asked(self._x[mine], self._x[~mine], self._y[~mine], _NEIGHBOURS)
                loss += [((v - self._y[mine]) ** 2).sum() for v in said]
            self.k_ = _NEIGHBOURS[int(np.argmin(loss))]
        return self

    def _unit(self, x: FloatArray) -> FloatArray:
        z = np.asarray(x, dtype=np.float64) - self._mean
        size = np.sqrt((z * z).sum(1, keepdims=True))
        return np.asarray(np.divide(z, size, out=np.zeros_like(z), where=size > 0))

    @staticmethod
    def _asked(
        new: FloatArray, x: FloatArray, y: FloatArray, ks: tuple[int, ...]
    ) -> list[FloatArray]:
        """Mean target of the k nearest, for every k, each (n, n_targets)."""
        near = np.argsort(-(new @ x.T), axis=1, kind="stable")[:, : max(ks)]
        return [np.asarray(y[near[:, :k]].mean(1)) for k in ks]

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Weighted share of the neighbours in each class, (n, n_classes)."""
        if not self.n_classes:
            raise AttributeError("values have no probability")
        votes = self._asked(self._unit(x), self._x, self._y, (self.k_,))[0] * self._weight
        return np.asarray(votes / votes.sum(1, keepdims=True))

    def predict(self, x: FloatArray) -> AnyArray:
        """Class of most (weighted) neighbours, or their mean."""
        if self.n_classes:
            return np.asarray(self.predict_proba(x).argmax(1))
        said = self._asked(self._unit(x), self._x, self._y, (self.k_,))[0]
        return np.asarray(said.reshape(len(said), *self._shape))


class PoissonDecoder:
    """Naive Bayes on counts: independent Poisson units, classes or an angle.

    The rates are those of a Poisson GLM of each unit on the state as a
    category (smoothed, for an angle); decoding inverts it by Bayes' rule with
    the states' frequencies as prior. The GLM itself, which predicts counts
    from a signal, is :class:`neuro.evaluate.probing.counts.PoissonGLM`.

    For angles the circle is cut into bins; rates and occupancy are smoothed
    along it; the answer is the middle of the most likely bin.

    Parameters
    ----------
    task : Task
        Classification, or circular.
    n_bins : int
        Bins of the circle; our default.
    smooth_bins : float
        Standard deviation of the circular Gaussian in bins; our default.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(-180, 180, 600)
    >>> rate = 8 * np.exp(np.cos(np.radians(angle[:, None] - [0, 90, 180, 270])) - 1)
    >>> counts = rng.poisson(rate)
    >>> decoder = PoissonDecoder(Task("circular", period=360)).fit(counts[:400], angle[:400])
    >>> error = np.abs((decoder.predict(counts[400:]) - angle[400:] + 180) % 360 - 180)
    >>> bool(np.median(error) < 30)
    True
    """

    def __init__(self, task: Task, n_bins: int = 60, smooth_bins: float = 1.5) -> None:
        if task.kind not in ("classification", "circular"):
            raise ConfigError(f"A Poisson decoder finds classes or an angle, not {task.kind}.")
        self.task, self.n_bins, self.smooth_bins = task, n_bins, smooth_bins

    def fit(self, x: FloatArray, y: AnyArray) -> "PoissonDecoder":
        """Rates of every unit in every class or bin of the circle."""
        counts = np.asarray(x, dtype=np.float64)
        if (counts < 0).any():
            raise DataError("A Poisson decoder takes counts; some are negative.")
        circular = self.task.kind == "circular"
        n = self.n_bins if circular else self.task.n_classes
        state = self._bin(y) if circular else np.asarray(y)
        windows = np.bincount(state, minlength=n).astype(np.float64)
        total = np.zeros((n, counts.shape[1]))
        np.add.at(total, state, counts)
        if circular:
            kernel = self._kernel()
            windows, total = kernel @ windows, kernel @ total
        # one count in all of the training part, spread evenly, keeps log(rate) finite
        total += 1.0 / len(counts)
        seen = windows > 1e-6
        rate = total / np.maximum(windows, 1e-6)[:, None]
        self._log_rate = np.where(seen[:, None], np.log(rate), 0.0)
        self._offset = np.where(
            seen, np.log(np.maximum(windows, 1e-6) / windows.sum()) - rate.sum(1), -np.inf
        )
        return self

    def _bin(self, angle: AnyArray) -> IntArray:
        share = (np.asarray(angle, dtype=np.float64) / self.task.period) % 1.0
        return np.asarray(np.minimum((share * self.n_bins).astype(np.int64), self.n_bins - 1))

    def _kernel(self) -> FloatArray:
        step = np.arange(self.n_bins)
        apart = np.abs(step[:, None] - step[None])
        apart = np.minimum(apart, self.n_bins - apart)
        weight = np.exp(-0.5 * (apart / max(self.smooth_bins, 1e-6)) ** 2)
        return np.asarray(weight / weight.sum(1, keepdims=True))

    def log_posterior(self, x: FloatArray) -> FloatArray:
        """Logarithm of the posterior up to a constant a row, (n, n_states)."""
        return np.asarray(np.asarray(x, dtype=np.float64) @ self._log_rate.T + self._offset)

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Posterior of each class or bin, (n, n_states)."""
        log = self.log_posterior(x)
        p = np.exp(log - log.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))

    def predict(self, x: FloatArray) -> AnyArray:
        """Most likely class, or angle."""
        best = self.log_posterior(x).argmax(1)
        if self.task.kind == "classification":
            return np.asarray(best)
        return self.task.wrapped((best + 0.5) * self.task.period / self.n_bins)
