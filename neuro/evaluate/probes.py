"""Estimators of floors and probes, and the one way any estimator is run on a fold."""

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.task import Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["LogisticProbe", "PoissonDecoder", "RidgeProbe", "build", "fit_predict"]

ProbeKind = Literal["logistic", "ridge"]
# Penalty relative to the number of windows and features, so that one grid
# serves 5 and 5,000 of either; our defaults.
_RIDGE_GRID = 10.0 ** np.arange(-4.0, 3.5, 0.5)
_LOGISTIC_GRID = 10.0 ** np.arange(-2.0, 3.5, 1.0)
_INNER_FOLDS = 4


class Estimator(Protocol):
    """What scikit-learn's estimators have in common."""

    def fit(self, x: Any, y: Any) -> Any:
        """Learn from (n, n_features) and a target."""

    def predict(self, x: Any) -> Any:
        """Target of each row."""


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


class PoissonDecoder:
    """Naive Bayes on counts: independent Poisson units, classes or an angle.

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


class OnCircle:
    """An angle by regression of its cosine and sine.

    Parameters
    ----------
    estimator : object
        Regressor that takes two targets.
    period : float
        Length of the circle.
    """

    def __init__(self, estimator: Any, period: float) -> None:
        self.estimator, self.period = estimator, period

    def fit(self, x: FloatArray, y: FloatArray, groups: AnyArray | None = None) -> "OnCircle":
        """Fit on cosine and sine of the angle."""
        phase = np.asarray(y) * 2 * np.pi / self.period
        target = np.stack([np.cos(phase), np.sin(phase)], axis=1)
        if isinstance(self.estimator, RidgeProbe):
            self.estimator.fit(x, target, groups)
        else:
            self.estimator.fit(x, target)
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Angle in half a period either side of 0."""
        part = np.asarray(self.estimator.predict(x))
        return np.asarray(np.arctan2(part[:, 1], part[:, 0]) * self.period / (2 * np.pi))


def build(kind: str, task: Task, seed: int = 0) -> Any:
    """An estimator by name, for a task.

    Parameters
    ----------
    kind : {"lda", "logistic", "ridge", "nearest", "constant", "poisson"}
        Which.
    task : Task
        What it is to predict.
    seed : int
        For those that choose a penalty.

    Returns
    -------
    object
        With `fit` and `predict`.

    Raises
    ------
    ConfigError
        If the name is unknown or does not serve the task.
    """
    classes = task.kind == "classification"
    needs = {"lda": True, "logistic": True, "ridge": False}
    if kind in needs and needs[kind] != classes:
        raise ConfigError(
            f"{kind!r} does not serve {task.kind}; use {'lda' if classes else 'ridge'!r}."
        )
    if kind == "poisson":
        return PoissonDecoder(task)
    if kind == "logistic":
        return LogisticProbe(task.n_classes, seed)
    if kind == "lda":
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    if kind == "ridge":
        plain: Any = RidgeProbe(seed)
    elif kind == "nearest":
        plain = _nearest(classes)
    elif kind == "constant":
        plain = _constant(classes)
    else:
        names = ("lda", "logistic", "ridge", "nearest", "constant", "poisson")
        raise ConfigError(f"No estimator {kind!r}. {did_you_mean(kind, names)}")
    return OnCircle(plain, task.period) if task.kind == "circular" else plain


def _nearest(classes: bool) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = KNeighborsClassifier(1) if classes else KNeighborsRegressor(1)
    return make_pipeline(StandardScaler(), model)


def _constant(classes: bool) -> Any:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyClassifier(strategy="prior") if classes else DummyRegressor(strategy="mean")


# ---- running ------------------------------------------------------------------


def fit_predict(
    estimator: Any,
    task: Task,
    x: FloatArray,
    y: AnyArray,
    groups: AnyArray,
    new: FloatArray,
    *,
    name: str = "the estimator",
) -> Predicted:
    """Fit on the training part and predict the test part, checked.

    Parameters
    ----------
    estimator : object
        With `fit` and `predict`; `decision_function` or `predict_proba` give
        the scores.
    task : Task
        What is predicted.
    x, new : ndarray, shape (n, n_features)
        Training and test features.
    y : ndarray
        Training target.
    groups : ndarray, shape (n,)
        Units of the training part that inner folds must not divide.
    name : str
        For messages.

    Returns
    -------
    Predicted

    Raises
    ------
    DataError
        If features are not finite, or what comes back is not a prediction
        for every test window.
    """
    for part, what in ((x, "training"), (new, "test")):
        bad = ~np.isfinite(part).all(axis=1)
        if bad.any():
            raise DataError(
                f"{name}: features of {int(bad.sum())} {what} windows are not finite. Mend the "
                "feature function, or leave those windows out."
            )
    if isinstance(estimator, LogisticProbe | RidgeProbe | OnCircle):
        estimator.fit(x, y, groups)
    else:
        estimator.fit(x, y)
    label = np.asarray(estimator.predict(new))
    if task.kind != "classification":
        return Predicted(_checked_values(label, task, len(new), name))
    return Predicted(_checked_classes(label, task, len(new), name), _score(estimator, task, new))


def _checked_values(label: AnyArray, task: Task, n: int, name: str) -> FloatArray:
    want = (n,) if task.n_outputs == 1 else (n, task.n_outputs)
    value = label.astype(np.float64)
    if value.size == np.prod(want) and len(value) == n:
        value = value.reshape(want)
    if value.shape != want or not np.isfinite(value).all():
        raise DataError(
            f"{name}: predictions have shape {value.shape} for {want}, or are not finite."
        )
    return task.wrapped(value) if task.kind == "circular" else value


def _checked_classes(label: AnyArray, task: Task, n: int, name: str) -> IntArray:
    if label.shape != (n,):
        raise DataError(f"{name}: predictions have shape {label.shape} for {n} test windows.")
    number = np.round(label.astype(np.float64))
    if (number != label).any() or (number < 0).any() or (number >= task.n_classes).any():
        raise DataError(
            f"{name}: predictions must be class numbers 0 to {task.n_classes - 1}, as it was "
            "fitted on."
        )
    return np.asarray(number.astype(np.int64))


def _score(estimator: Any, task: Task, new: FloatArray) -> FloatArray | None:
    """Score of each class, (n, n_classes); None if the estimator gives none."""
    for method in ("predict_proba", "decision_function"):
        function = getattr(estimator, method, None)
        if not callable(function):
            continue
        try:
            score = np.asarray(function(new), dtype=np.float64)
        except (AttributeError, NotImplementedError):
            continue  # sklearn's wrappers offer the name and refuse the call
        if score.ndim == 1:
            score = np.stack([-score, score], axis=1)
        if score.shape == (len(new), task.n_classes) and np.isfinite(score).all():
            return score
    return None
