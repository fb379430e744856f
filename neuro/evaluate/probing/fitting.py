"""The one way any estimator is made for a task and run on a fold."""

from collections.abc import Callable
from typing import Any

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.probing.counts import MeanRate, PoissonGLM
from neuro.evaluate.probing.probes import (
    LogisticProbe,
    NeighboursProbe,
    PoissonDecoder,
    RidgeProbe,
    inner_folds,
)
from neuro.evaluate.probing.tangent import Tangent
from neuro.evaluate.task import Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["ESTIMATORS", "OnCircle", "PerLabel", "build", "fit_predict"]

ESTIMATORS = (
    "lda", "logistic", "ridge", "tangent", "knn", "attentive", "nearest", "constant", "poisson",
    "poisson_glm",
)  # fmt: skip
# which say expected counts, never below 0
_OF_COUNTS = ("poisson_glm", "tangent", "constant")
# of the others, which serve classes only (True), or values only (False)
_SERVES = {"lda": True, "logistic": True, "ridge": False}
_SEARCH_FOLDS = 4


class _Shrunk:
    """Ledoit-Wolf covariance of standardised columns; zero for a single row."""

    covariance_: FloatArray

    def fit(self, x: FloatArray) -> "_Shrunk":
        """Estimate `covariance_`, as scikit-learn's LDA does by shrinkage="auto"."""
        from sklearn.covariance import ledoit_wolf

        if len(x) == 1:  # scikit-learn warns here, and means the same
            self.covariance_ = np.zeros((x.shape[1], x.shape[1]))
            return self
        sd = x.std(0)
        sd = np.where(sd > 0, sd, 1.0)
        self.covariance_ = sd[:, None] * ledoit_wolf((x - x.mean(0)) / sd)[0] * sd
        return self


class ShrinkageLDA:
    """scikit-learn's LDA with Ledoit-Wolf shrinkage, defined also for one window a class.

    There nothing is known of the covariance, and the nearest window answers.
    """

    def fit(self, x: FloatArray, y: IntArray) -> "ShrinkageLDA":
        """Fit class means and the shared covariance."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.neighbors import KNeighborsClassifier

        self._model: Any = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=_Shrunk())
        if len(x) <= len(np.unique(y)):
            self._model = KNeighborsClassifier(1)
        self._model.fit(x, y)
        return self

    def predict(self, x: FloatArray) -> IntArray:
        """Class of each row."""
        return np.asarray(self._model.predict(x))

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Probability of each class seen in training, (n, n_seen)."""
        return np.asarray(self._model.predict_proba(x))


class OnCircle:
    """An angle by regression of its cosine and sine.

    Parameters
    ----------
    estimator : object
        Regressor that takes two targets.
    period : float
        Length of the circle.
    """

    takes_groups = True

    def __init__(self, estimator: Any, period: float) -> None:
        self.estimator, self.period = estimator, period

    def fit(self, x: FloatArray, y: FloatArray, groups: AnyArray | None = None) -> "OnCircle":
        """Fit on cosine and sine of the angle."""
        phase = np.asarray(y) * 2 * np.pi / self.period
        _fit(self.estimator, x, np.stack([np.cos(phase), np.sin(phase)], axis=1), groups)
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Angle in half a period either side of 0."""
        part = np.asarray(self.estimator.predict(x))
        return np.asarray(np.arctan2(part[:, 1], part[:, 0]) * self.period / (2 * np.pi))


class PerLabel:
    """One two-class estimator a label.

    Parameters
    ----------
    make : callable() -> object
        A fresh estimator with `fit`, `predict` and `predict_proba`.
    n_labels : int
        Number of labels.
    """

    takes_groups = True

    def __init__(self, make: Callable[[], Any], n_labels: int) -> None:
        self.estimators = [make() for _ in range(n_labels)]

    def fit(self, x: FloatArray, y: IntArray, groups: AnyArray | None = None) -> "PerLabel":
        """Fit every label on its own; y is (n, n_labels)."""
        for k, estimator in enumerate(self.estimators):
            _fit(estimator, x, y[:, k], groups)
        return self

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Probability of every label, (n, n_labels)."""
        return np.stack([e.predict_proba(x)[:, 1] for e in self.estimators], axis=1)

    def predict(self, x: FloatArray) -> IntArray:
        """0 or 1 for every label, (n, n_labels)."""
        return np.stack([np.asarray(e.predict(x)) for e in self.estimators], axis=1)


def build(kind: str, task: Task, seed: int = 0) -> Any:
    """An estimator by name, for a task.

    Parameters
    ----------
    kind : str
        ``"lda"``, ``"logistic"``, ``"ridge"``, ``"tangent"``, ``"knn"``,
        ``"attentive"`` (reads tokens), ``"nearest"``, ``"constant"``,
        ``"poisson"`` (decodes from counts) or ``"poisson_glm"`` (predicts
        counts).
    task : Task
        What it is to predict.
    seed : int
        For those that deal inner folds.

    Returns
    -------
    object
        With `fit` and `predict`.

    Raises
    ------
    ConfigError
        If the name is unknown or does not serve the task.
    """
    if kind not in ESTIMATORS:
        raise ConfigError(f"No estimator {kind!r}. {did_you_mean(kind, ESTIMATORS)}")
    if not _serves(kind, task):
        use = "lda" if task.classified else "poisson_glm" if task.kind == "counts" else "ridge"
        raise ConfigError(f"{kind!r} does not serve {task.kind}; use {use!r}.")
    if kind == "poisson":
        return PoissonDecoder(task)
    if task.kind == "multilabel":
        one = Task("classification", classes=("no", "yes"))
        return PerLabel(lambda: _plain(kind, one, seed), task.n_classes)
    plain = _plain(kind, task, seed)
    return OnCircle(plain, task.period) if task.kind == "circular" else plain


def _serves(kind: str, task: Task) -> bool:
    if task.kind == "counts":
        return kind in _OF_COUNTS
    return kind != "poisson_glm" and _SERVES.get(kind, task.classified) == task.classified


def _plain(kind: str, task: Task, seed: int) -> Any:
    """Estimator of one class or of numbers."""
    n_classes = task.n_classes if task.kind == "classification" else 0
    if kind == "logistic":
        return LogisticProbe(n_classes, seed)
    if kind == "lda":
        return ShrinkageLDA()
    if kind == "ridge":
        return RidgeProbe(seed)
    if kind == "poisson_glm":
        return PoissonGLM(seed)
    if kind == "tangent":
        linear = "poisson_glm" if task.kind == "counts" else "logistic" if n_classes else "ridge"
        return Tangent(_plain(linear, task, seed))
    if kind == "knn":
        return NeighboursProbe(n_classes, seed)
    if kind == "attentive":
        from neuro.evaluate.probing.attentive import AttentiveProbe

        return AttentiveProbe(n_classes, seed)
    if kind == "constant" and task.kind == "counts":
        return MeanRate()
    return _nearest(bool(n_classes)) if kind == "nearest" else _constant(bool(n_classes))


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
    x, new : ndarray, shape (n, n_features) or (n, n_tokens, d)
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
        If features or scores are not finite, lengths differ, or what comes
        back is not a prediction for every test window.
    """
    if not len(x) == len(y) == len(groups):
        raise DataError(
            f"{name}: {len(x)} training rows, {len(y)} targets and {len(groups)} units; they must "
            "be one a window."
        )
    for part, what in ((x, "training"), (new, "test")):
        bad = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
        if bad.any():
            raise DataError(
                f"{name}: features of {int(bad.sum())} {what} windows are not finite. Mend the "
                "feature function, or leave those windows out."
            )
    _fit(estimator, x, y, groups)
    label = np.asarray(estimator.predict(new))
    if not task.classified:
        return Predicted(_checked_values(label, task, len(new), name))
    check = _checked_classes if task.kind == "classification" else _checked_labels
    return Predicted(check(label, task, len(new), name), _score(estimator, task, new, name))


def _fit(estimator: Any, x: FloatArray, y: AnyArray, groups: AnyArray | None) -> None:
    """Fit, with every choice inside the training part made on whole units."""
    if getattr(estimator, "takes_groups", False):
        estimator.fit(x, y, groups)
        return
    if groups is not None:
        _nest(estimator, y, groups)
    estimator.fit(x, y)


def _nest(estimator: Any, y: AnyArray, groups: AnyArray) -> None:
    """Give scikit-learn's searches inner folds that divide no unit.

    GridSearchCV, RidgeCV and the like deal single windows by default, so that
    windows of one trial or person judge each other. Folds that the user gave
    as an object are left alone.
    """
    params = getattr(estimator, "get_params", None)
    if not callable(params):
        return
    names = [k for k in params() if k == "cv" or k.endswith("__cv")]
    names = [k for k in names if params()[k] is None or isinstance(params()[k], int)]
    if not names or len(np.unique(groups)) < 2:
        return
    from sklearn.model_selection import PredefinedSplit

    for name in names:
        fold = inner_folds(groups, np.asarray(y), params()[name] or _SEARCH_FOLDS, 0)
        estimator.set_params(**{name: PredefinedSplit(fold)})


def _checked_values(label: AnyArray, task: Task, n: int, name: str) -> FloatArray:
    flat = task.n_outputs == 1 and task.kind != "retrieval"
    want = (n,) if flat else (n, task.n_outputs)
    value = label.astype(np.float64)
    if value.size == np.prod(want) and len(value) == n:
        value = value.reshape(want)
    if value.shape != want or not np.isfinite(value).all():
        raise DataError(
            f"{name}: predictions have shape {value.shape} for {want}, or are not finite."
        )
    if task.kind == "counts" and (value < 0).any():
        raise DataError(
            f"{name}: {int((value < 0).sum())} expected counts are below 0. Predict them through a "
            "log link (a Poisson GLM), or a softplus."
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


def _checked_labels(label: AnyArray, task: Task, n: int, name: str) -> IntArray:
    if label.shape != (n, task.n_classes) or not np.isin(label, (0, 1)).all():
        raise DataError(
            f"{name}: predictions must be 0 or 1, {n} windows by {task.n_classes} labels; got "
            f"shape {label.shape}."
        )
    return np.asarray(label.astype(np.int64))


def _score(estimator: Any, task: Task, new: FloatArray, name: str) -> FloatArray | None:
    """Score of each class, (n, n_classes); None if the estimator gives none."""
    for method in ("predict_proba", "decision_function"):
        function = getattr(estimator, method, None)
        if not callable(function):
            continue
        try:
            said = function(new)
        except (AttributeError, NotImplementedError):
            continue  # sklearn's wrappers offer the name and refuse the call
        if isinstance(said, list):  # sklearn's way for several labels: one array a label
            said = np.stack([np.asarray(p)[:, -1] for p in said], axis=1)
        score = np.asarray(said, dtype=np.float64)
        if score.ndim == 1 and task.n_classes == 2 and task.kind == "classification":
            score = np.stack([-score, score], axis=1)
        if score.shape != (len(new), task.n_classes):
            continue
        if not np.isfinite(score).all():
            bad = int((~np.isfinite(score)).any(axis=1).sum())
            raise DataError(
                f"{name}: {method} is not finite for {bad} of {len(new)} test windows. Mend the "
                "model, or remove the method to be scored by its labels alone."
            )
        return score
    return None
