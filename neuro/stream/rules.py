"""From features to a class: which features count, and a frozen linear rule over them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.probing.tangent import riemannian_mean
from neuro.stream.chain import matched
from neuro.stream.features import Table
from neuro.typing import AnyArray, FloatArray

__all__ = ["RULES", "LinearRule", "Selection", "fit_rule", "from_sklearn"]

RULES = ("lda", "shrinkage_lda", "logistic", "tangent")


@dataclass(frozen=True)
class Selection:
    """Features by name: ``"C4;13"`` is C4 at 13 Hz, ``"C4;13:16"`` the mean of 13 to 16 Hz.

    Parameters
    ----------
    names : tuple of str
        In order; empty for all, row by row.

    Examples
    --------
    >>> table = Table(("C3", "C4"), (11.0, 12.0, 13.0), "dB")
    >>> Selection(("C4;11:12", "C3;13")).apply(np.arange(6.0).reshape(2, 3), table).tolist()
    [3.5, 2.0]
    """

    names: tuple[str, ...] = ()

    def places(self, table: Table) -> list[tuple[int, slice]]:
        """Row and columns of each feature.

        Raises
        ------
        ConfigError
            A name that is not of the form above, or a frequency outside the table.
        DataError
            A channel that is not in the table.
        """
        return [_place(name, table) for name in self.names]

    def apply(self, values: FloatArray, table: Table) -> FloatArray:
        """One number a feature, shape (..., n_features), from (..., n_rows, n_columns)."""
        if not self.names:
            return np.asarray(values.reshape(*values.shape[:-2], -1))
        return np.stack([values[..., r, c].mean(axis=-1) for r, c in self.places(table)], axis=-1)


def _place(name: str, table: Table) -> tuple[int, slice]:
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"(.+);{number}(?::{number})?", str(name).strip(), re.ASCII)
    if not found:
        raise ConfigError(f"Feature {name!r}: write 'C4;13' or, for a band, 'C4;13:16'.")
    channel, low, high = found[1], float(found[2]), float(found[3] or found[2])
    row = table.rows.index(matched(table.rows, [channel])[0])
    columns = np.asarray(table.columns)
    if found[3] is None:
        nearest = int(np.abs(columns - low).argmin())
        step = float(np.diff(columns).max()) if len(columns) > 1 else 1.0
        near = abs(columns[nearest] - low) <= step / 2 + 1e-9
        inside = np.array([nearest] if near else [], dtype=np.int64)
    else:
        inside = np.flatnonzero((columns >= low - 1e-9) & (columns <= high + 1e-9))
    if not len(inside):
        raise ConfigError(
            f"Feature {name!r}: no frequency there. The features go from {columns[0]:g} to "
            f"{columns[-1]:g} Hz in {len(columns)} steps."
        )
    return row, slice(int(inside[0]), int(inside[-1]) + 1)


@dataclass(frozen=True, eq=False)
class LinearRule:
    """Class probabilities from a weighted sum of features.

    Parameters
    ----------
    classes : tuple of str
        In the order of the probabilities.
    weights : ndarray, shape (n_scores, n_features)
        One row for two classes (in favour of the second), else one a class.
    intercept : ndarray, shape (n_scores,)
        Added to the sums.
    whitening : ndarray, shape (n_chans, n_chans), optional
        Inverse root of the mean covariance: features are then covariances, taken
        to its tangent space first.
    """

    classes: tuple[str, ...]
    weights: FloatArray
    intercept: FloatArray
    whitening: FloatArray | None = None

    def __post_init__(self) -> None:
        n = 1 if len(self.classes) == 2 else len(self.classes)
        if len(self.classes) < 2 or self.weights.ndim != 2 or len(self.weights) != n:
            raise ConfigError(
                f"{len(self.classes)} classes need {n} rows of weights, got {self.weights.shape}."
            )
        if len({str(name) for name in self.classes if name}) < len(self.classes):
            raise ConfigError(f"Classes need different names, got {self.classes}.")
        if not (np.isfinite(self.weights).all() and np.isfinite(self.intercept).all()):
            raise ConfigError("A weight or an intercept is no number: train again.")
        if self.whitening is not None:
            size = len(self.whitening)
            shapes = self.whitening.shape, self.weights.shape
            if shapes != ((size, size), (n, size * (size + 1) // 2)):
                raise ConfigError(f"Whitening and weights of shapes {shapes} do not fit.")
        if self.intercept.shape != (n,):
            raise ConfigError(f"{n} intercepts are needed, got {self.intercept.shape}.")

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Probability of each class, shape (n_classes,).

        Parameters
        ----------
        features : ndarray, shape (n_features,)
            Selected features; with `whitening` a flattened covariance.

        Raises
        ------
        DataError
            Another number of features.
        """
        if self.whitening is not None:
            n = len(self.whitening)
            features = tangent_vector(features.reshape(n, n), self.whitening)
        if features.shape != (self.weights.shape[1],):
            raise DataError(
                f"The rule needs {self.weights.shape[1]} features, got {features.shape}."
            )
        score = self.weights @ features + self.intercept
        if len(score) == 1:
            score = np.array([0.0, score[0]])
        weight = np.exp(score - score.max())
        return np.asarray(weight / weight.sum())

    def to_json(self) -> dict[str, Any]:
        """Plain values; the arrays are :attr:`arrays`."""
        return {"classes": list(self.classes), "tangent": self.whitening is not None}

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Weights by name."""
        out: dict[str, AnyArray] = {"weights": self.weights, "intercept": self.intercept}
        return out if self.whitening is None else out | {"whitening": self.whitening}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Self:
        """The rule of :meth:`to_json` and :attr:`arrays`."""
        needed = {"weights", "intercept"} | ({"whitening"} if values["tangent"] else set())
        if set(arrays) != needed:
            raise ConfigError(f"The rule needs arrays {sorted(needed)}, found {sorted(arrays)}.")
        return cls(
            tuple(str(name) for name in values["classes"]),
            np.asarray(arrays["weights"], dtype=np.float64),
            np.asarray(arrays["intercept"], dtype=np.float64),
            np.asarray(arrays["whitening"], dtype=np.float64) if values["tangent"] else None,
        )


def tangent_vector(covariance: FloatArray, whitening: FloatArray) -> FloatArray:
    """Logarithm of a whitened covariance as a vector of its norm, shape (d (d + 1) / 2,)."""
    values, vectors = np.linalg.eigh(whitening @ covariance @ whitening)
    log = (vectors * np.log(np.maximum(values, 1e-12))) @ vectors.T
    upper = np.triu_indices(len(log))
    return np.asarray(log[upper] * np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0)))


def fit_rule(kind: str, features: FloatArray, labels: Sequence[str]) -> LinearRule:
    """Fit a rule on trials.

    Parameters
    ----------
    kind : {"lda", "shrinkage_lda", "logistic", "tangent"}
        Linear discriminant (HappyFeat's, without shrinkage), with the shrinkage of
        Ledoit and Wolf, logistic regression on standardised features, or logistic
        regression in the tangent space of covariances.
    features : ndarray, shape (n_trials, n_features)
        Finite.
    labels : sequence of str, length n_trials
        Two classes or more.

    Returns
    -------
    LinearRule

    Raises
    ------
    ConfigError
        Unknown kind.
    DataError
        Fewer than two classes, or fewer than two trials of one.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [0.2, 0.0], [2.0, 1.0], [2.2, 0.0]])
    >>> rule = fit_rule("shrinkage_lda", x, ["rest", "rest", "left", "left"])
    >>> rule.classes[rule.probabilities(np.array([2.1, 0.4])).argmax()]
    'left'
    """
    if kind not in RULES:
        raise ConfigError(f"No classifier {kind!r}. {did_you_mean(kind, RULES)}")
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=str)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        told = ", ".join(f"{n} of {c!r}" for c, n in zip(classes, counts, strict=True)) or "none"
        raise DataError(
            f"Training needs two trials or more of two classes or more; there are {told}."
        )
    if not np.isfinite(x).all():
        raise DataError("A trial has no usable window; leave it out before training.")
    whitening = None
    if kind == "tangent":
        size = round(np.sqrt(x.shape[1]))
        if size * size != x.shape[1]:
            raise ConfigError("kind='tangent' reads covariances: extract them, select nothing.")
        whitening = _inverse_root(riemannian_mean(x.reshape(-1, size, size)))
        x = np.stack([tangent_vector(c.reshape(size, size), whitening) for c in x])
    fitted = from_sklearn(_pipeline(kind).fit(x, y))
    return LinearRule(fitted.classes, fitted.weights, fitted.intercept, whitening)


def _pipeline(kind: str) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "lda":
        return make_pipeline(LinearDiscriminantAnalysis())
    if kind == "shrinkage_lda":
        return make_pipeline(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _inverse_root(mean: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(mean)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-12))) @ vectors.T)


# steps of a scikit-learn pipeline that can be frozen; closed on purpose
_SCALERS, _LAST = ("StandardScaler", "PCA"), ("LinearDiscriminantAnalysis", "LogisticRegression")


def from_sklearn(pipeline: Any) -> LinearRule:
    """A fitted scikit-learn pipeline as weights, without scikit-learn at prediction.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Any StandardScaler and PCA steps, then LinearDiscriminantAnalysis or
        LogisticRegression.

    Returns
    -------
    LinearRule
        Its probabilities are those of the pipeline.

    Raises
    ------
    ConfigError
        A step that cannot be frozen.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> fitted = make_pipeline(LogisticRegression()).fit([[0.0], [1.0]], ["a", "b"])
    >>> from_sklearn(fitted).classes
    ('a', 'b')
    """
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    names = [type(step).__name__ for step in steps]
    for name, allowed in zip(names, [_SCALERS] * (len(steps) - 1) + [_LAST], strict=True):
        if name not in allowed:
            raise ConfigError(f"A {name} cannot be frozen here; possible are {', '.join(allowed)}.")
    last = steps[-1]
    weights = np.asarray(last.coef_, dtype=np.float64)
    intercept = np.asarray(last.intercept_, dtype=np.float64)
    for step, name in zip(steps[-2::-1], names[-2::-1], strict=True):
        # w . ((x - mean) A) + b  =  (A w) . x + (b - (A w) . mean)
        mean = step.mean_ if step.mean_ is not None else np.zeros(step.n_features_in_)
        if name == "StandardScaler":
            scale = step.scale_ if step.scale_ is not None else np.ones(step.n_features_in_)
            weights = weights / scale
        else:
            if step.whiten:
                raise ConfigError("A whitening PCA cannot be frozen; use whiten=False.")
            weights = weights @ step.components_
        intercept = intercept - weights @ mean
    return LinearRule(tuple(str(c) for c in last.classes_), weights, intercept)
