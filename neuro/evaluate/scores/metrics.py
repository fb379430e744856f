"""Metrics: a direction, a chance level, and fast values under resampling.

The value itself is scikit-learn's where scikit-learn has the metric. A
bootstrap needs it thousands of times on reweighted data, so every metric also
offers `prepare`, which does the work that does not depend on the weights
once; tests hold the two together.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.scores.scoring import Metric, Prepare, Resampled
from neuro.evaluate.scores.special import (
    bits_per_spike,
    deviance_explained,
    entropy,
    log_loss,
    mean_error,
    mean_rank,
    median_error,
    per_label,
    positive_share,
    prepare_bits_per_spike,
    prepare_deviance_explained,
    prepare_label_balanced_accuracy,
    prepare_label_f1,
    prepare_log_loss,
    prepare_mean,
    prepare_mean_rank,
    prepare_median,
    prepare_top,
    quarter,
    sk_label_auprc,
    sk_label_auroc,
    sk_label_balanced_accuracy,
    sk_label_f1,
    top,
    top_chance,
)
from neuro.evaluate.task import Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["METRICS", "Metric", "Resampled", "metrics_for"]

# values held at once while resampling: 16 M float64 = 128 MB
_AT_ONCE = 16_000_000


_STANDARD: dict[str, list[str]] = {
    "classification": ["balanced_accuracy", "accuracy", "auroc"],
    "multilabel": ["label_balanced_accuracy", "label_auroc", "label_f1"],
    "regression": ["r", "r2", "mae"],
    "circular": ["median_angular_error", "mean_angular_error"],
    "retrieval": ["top5", "top1", "mean_rank"],
    "counts": ["bits_per_spike", "deviance_explained"],
}


def metrics_for(task: Task, names: "list[str] | tuple[str, ...] | None" = None) -> list[Metric]:
    """Metrics of a task, the primary one first.

    Parameters
    ----------
    task : Task
        What is predicted.
    names : sequence of str, optional
        The standard ones if omitted.

    Returns
    -------
    list of Metric

    Raises
    ------
    ConfigError
        If a name is unknown or belongs to another kind of task.

    Examples
    --------
    >>> [m.name for m in metrics_for(Task("classification", classes=("a", "b")))]
    ['balanced_accuracy', 'accuracy', 'auroc']
    """
    if names is None:
        names = _STANDARD[task.kind]
    known = {name: m for name, m in METRICS.items() if m.kind == task.kind}
    for name in names:
        if name not in known:
            raise ConfigError(f"No metric {name!r} for {task.kind}. {did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]


# ---- classes ------------------------------------------------------------------


def _from_confusion(rate: Callable[[FloatArray], FloatArray]) -> Prepare:
    """Metric that depends on the confusion matrix only, (draws, true, said)."""

    def prepare(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        k = task.n_classes
        table = np.zeros((n_units, k * k))
        np.add.at(table, (unit, y * k + said.label), 1.0)
        return lambda counts: rate((counts @ table).reshape(len(counts), k, k))

    return prepare


def _accuracy(m: FloatArray) -> FloatArray:
    return np.asarray(np.trace(m, axis1=1, axis2=2) / np.maximum(m.sum((1, 2)), 1))


def _balanced_accuracy(m: FloatArray) -> FloatArray:
    total = m.sum(2)
    recall = np.diagonal(m, axis1=1, axis2=2) / np.maximum(total, 1)
    return np.asarray(recall.sum(1) / np.maximum((total > 0).sum(1), 1))


def _kappa(m: FloatArray) -> FloatArray:
    n = np.maximum(m.sum((1, 2)), 1)
    agreed = np.trace(m, axis1=1, axis2=2) / n
    by_luck = (m.sum(1) * m.sum(2)).sum(1) / n**2
    return np.asarray((agreed - by_luck) / np.where(by_luck < 1, 1 - by_luck, 1.0))


def _f1_weighted(m: FloatArray) -> FloatArray:
    hit, true, said = np.diagonal(m, axis1=1, axis2=2), m.sum(2), m.sum(1)
    f1 = 2 * hit / np.maximum(true + said, 1)
    return np.asarray((f1 * true).sum(1) / np.maximum(true.sum(1), 1))


def _sk_balanced_accuracy(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import recall_score

    # sklearn's balanced_accuracy_score warns when a class is predicted that the
    # test part lacks; the mean recall over the classes present is the same number
    present = np.unique(y)
    recall = recall_score(y, said.label, labels=present, average="macro", zero_division=0.0)
    return float(recall)


def _sk_accuracy(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(y, said.label))


def _sk_kappa(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import cohen_kappa_score

    if len(np.unique(np.concatenate([y, said.label]))) == 1:
        return 0.0  # all one class on both sides: nothing beyond luck
    return float(cohen_kappa_score(y, said.label, labels=np.arange(task.n_classes)))


def _sk_f1(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, said.label, average="weighted", zero_division=0.0))


def _scores(said: Predicted, task: Task) -> FloatArray:
    """Score of each class, (n, n_classes); the labels themselves if there are none."""
    if said.score is not None:
        return said.score
    return np.asarray(np.eye(task.n_classes)[said.label])


def _ranked_classes(task: Task) -> list[int]:
    return [1] if task.n_classes == 2 else list(range(task.n_classes))


def _by_rank(area: Callable[[FloatArray, FloatArray], FloatArray]) -> Prepare:
    """Mean over classes of an area computed from weights sorted by score."""

    def prepare(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        score = _scores(said, task)
        plans = []
        for c in _ranked_classes(task):
            order = np.argsort(score[:, c], kind="stable")
            edges = np.flatnonzero(np.diff(score[order, c], prepend=-np.inf) > 0)
            plans.append((order, edges, y[order] == c))

        def resampled(counts: FloatArray) -> FloatArray:
            out = np.zeros(len(counts))
            step = max(1, _AT_ONCE // max(1, len(y)))
            for a in range(0, len(counts), step):
                values = []
                for order, edges, positive in plans:
                    weight = counts[a : a + step, unit[order]]
                    pos = np.add.reduceat(weight * positive, edges, axis=1)
                    neg = np.add.reduceat(weight * ~positive, edges, axis=1)
                    values.append(area(pos, neg))
                out[a : a + step] = np.mean(values, axis=0)
            return out

        return resampled

    return prepare


def _auroc(pos: FloatArray, neg: FloatArray) -> FloatArray:
    total = pos.sum(1) * neg.sum(1)
    below = np.cumsum(neg, axis=1) - neg / 2  # ties count half
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, (pos * below).sum(1) / total, np.nan))


def _auprc(pos: FloatArray, neg: FloatArray) -> FloatArray:
    pos, neg = pos[:, ::-1], neg[:, ::-1]
    hits = np.cumsum(pos, axis=1)
    precision = hits / np.maximum(hits + np.cumsum(neg, axis=1), 1e-12)
    total = pos.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, (pos * precision).sum(1) / total, np.nan))


def _need_all_classes(y: AnyArray, task: Task, name: str) -> None:
    absent = [task.classes[c] for c in range(task.n_classes) if not (y == c).any()]
    if absent:
        raise DataError(
            f"{name} is not defined: no test window of class {absent[0]!r} in this fold. Use "
            "balanced_accuracy, or fewer folds."
        )


def _sk_auroc(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import roc_auc_score

    _need_all_classes(y, task, "auroc")
    score = _scores(said, task)
    return float(np.mean([roc_auc_score(y == c, score[:, c]) for c in _ranked_classes(task)]))


def _sk_auprc(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import average_precision_score

    _need_all_classes(y, task, "auprc")
    s = _scores(said, task)
    return float(np.mean([average_precision_score(y == c, s[:, c]) for c in _ranked_classes(task)]))


def _largest_share(y: AnyArray, task: Task) -> float:
    return float(np.bincount(y, minlength=task.n_classes).max() / len(y))


def _positive_share(y: AnyArray, task: Task) -> float:
    return float(np.mean([(y == c).mean() for c in _ranked_classes(task)]))


# ---- values -------------------------------------------------------------------


def _columns(y: AnyArray, said: Predicted) -> tuple[FloatArray, FloatArray]:
    n = len(y)
    return y.reshape(n, -1).astype(np.float64), said.label.reshape(n, -1).astype(np.float64)


def _from_moments(rate: Callable[..., FloatArray]) -> Prepare:
    """Metric of weighted sums: n, y, p, yy, pp, yp, |y - p| (draws, targets)."""

    def prepare(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        a, p = _columns(y, said)
        # centred first: the sums below then lose no digits to a large mean
        shift = a.mean(0)
        u, v = a - shift, p - shift
        terms = np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, np.abs(u - v)])
        sums = np.zeros((n_units, *terms.shape[::2]))
        np.add.at(sums, unit, terms.transpose(1, 0, 2))
        flat = sums.reshape(n_units, -1)
        scale = (np.sqrt((u * u).mean(0)), np.sqrt((v * v).mean(0)))

        def resampled(counts: FloatArray) -> FloatArray:
            return rate(
                *(counts @ flat).reshape(len(counts), *sums.shape[1:]).swapaxes(0, 1), scale
            )

        return resampled

    return prepare


def _r(
    n: FloatArray,
    y: FloatArray,
    p: FloatArray,
    yy: FloatArray,
    pp: FloatArray,
    yp: FloatArray,
    _: FloatArray,
    scale: tuple[FloatArray, FloatArray],
) -> FloatArray:
    n = np.maximum(n, 1e-12)
    var_y, var_p = yy / n - (y / n) ** 2, pp / n - (p / n) ** 2
    # rounding leaves a constant column a variance of 1e-16 of its scale
    constant = (var_y <= 1e-12 * scale[0] ** 2) | (var_p <= 1e-12 * scale[1] ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (yp / n - y * p / n**2) / np.sqrt(np.maximum(var_y * var_p, 0))
    return np.asarray(np.where(constant, 0.0, r).mean(1))


def _unexplained(
    n: FloatArray,
    y: FloatArray,
    p: FloatArray,
    yy: FloatArray,
    pp: FloatArray,
    yp: FloatArray,
    _: FloatArray,
    scale: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Squared error over variance, (draws, targets); NaN where a target does not vary."""
    total = yy - y**2 / np.maximum(n, 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (yy - 2 * yp + pp) / total
    return np.asarray(np.where(total > 1e-12 * scale[0] ** 2, share, np.nan))


def _r2(n: FloatArray, *rest: Any) -> FloatArray:
    return np.asarray((1 - _unexplained(n, *rest)).mean(1))


def _bits(n: FloatArray, *rest: Any) -> FloatArray:
    # an error of nothing would be infinitely many bits: at most 20
    return np.asarray((-0.5 * np.log2(np.maximum(_unexplained(n, *rest), 2.0**-40))).mean(1))


def _mae(n: FloatArray, *rest: Any) -> FloatArray:
    return np.asarray((rest[5] / np.maximum(n, 1e-12)).mean(1))


def correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson r of each pair of columns; 0 where a column is constant."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    flat = (np.ptp(a, axis=0) <= 1e-12) | (np.ptp(b, axis=0) <= 1e-12) | (size == 0)
    return np.asarray(np.where(flat, 0.0, (a * b).sum(0) / np.where(flat, 1.0, size)))


def _value_r(y: AnyArray, said: Predicted, task: Task) -> float:
    if len(y) < 3:
        raise DataError(f"r is not defined on {len(y)} test windows; use fewer folds, or mae.")
    return float(correlation(*_columns(y, said)).mean())


def _sk_r2(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import r2_score

    a, p = _columns(y, said)
    if len(y) < 2 or (np.ptp(a, axis=0) == 0).any():
        raise DataError(
            "r2 is not defined where the target does not vary in a fold's test part; use mae, or "
            "a split that keeps several values together."
        )
    return float(r2_score(a, p))


def _gaussian_bits(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import r2_score

    _sk_r2(y, said, task)  # says what is wrong where a target does not vary
    r2 = r2_score(*_columns(y, said), multioutput="raw_values")
    return float(np.mean(-0.5 * np.log2(np.maximum(1 - r2, 2.0**-40))))


def _sk_mae(y: AnyArray, said: Predicted, task: Task) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(*_columns(y, said)))


# ---- chance -------------------------------------------------------------------


def _zero(y: AnyArray, task: Task) -> float:
    return 0.0


def _half(y: AnyArray, task: Task) -> float:
    return 0.5


def _even(y: AnyArray, task: Task) -> float:
    return 1.0 / task.n_classes


def _unknown(y: AnyArray, task: Task) -> None:
    return None


_INF = float("inf")
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "balanced_accuracy", "classification", True, True, _even, _sk_balanced_accuracy,
            _from_confusion(_balanced_accuracy), (0, 1), "balanced accuracy",
        ),
        Metric(
            "accuracy", "classification", True, True, _largest_share, _sk_accuracy,
            _from_confusion(_accuracy), (0, 1), "accuracy",
        ),
        Metric(
            "kappa", "classification", True, True, _zero, _sk_kappa,
            _from_confusion(_kappa), (-1, 1), "Cohen's kappa",
        ),
        Metric(
            "f1_weighted", "classification", True, True, _unknown, _sk_f1,
            _from_confusion(_f1_weighted), (0, 1), "weighted F1",
        ),
        Metric(
            "auroc", "classification", True, False, _half, _sk_auroc,
            _by_rank(_auroc), (0, 1), "area under the ROC curve",
        ),
        Metric(
            "auprc", "classification", True, False, _positive_share, _sk_auprc,
            _by_rank(_auprc), (0, 1), "average precision",
        ),
        Metric(
            "log_loss", "classification", False, True, entropy, log_loss,
            prepare_log_loss, (0, _INF), "log loss (nats)",
        ),
        Metric(
            "bits_per_spike", "counts", True, False, _zero, bits_per_spike,
            prepare_bits_per_spike, (-_INF, _INF), "bits per spike",
        ),
        Metric(
            "deviance_explained", "counts", True, False, _zero, deviance_explained,
            prepare_deviance_explained, (-_INF, 1), "share of the deviance explained",
        ),
        Metric(
            "r", "regression", True, False, _zero, _value_r,
            _from_moments(_r), (-1, 1), "Pearson r",
        ),
        Metric(
            "r2", "regression", True, False, _zero, _sk_r2,
            _from_moments(_r2), (-_INF, 1), "R²",
        ),
        Metric(
            "bits_per_value", "regression", True, False, _zero, _gaussian_bits,
            _from_moments(_bits), (-_INF, _INF), "bits per value (Gaussian)",
        ),
        Metric(
            "mae", "regression", False, True, _unknown, _sk_mae,
            _from_moments(_mae), (0, _INF), "mean absolute error",
        ),
        Metric(
            "median_angular_error", "circular", False, True, quarter, median_error,
            prepare_median, (0, 180), "median angular error (degrees)",
        ),
        Metric(
            "mean_angular_error", "circular", False, True, quarter, mean_error,
            prepare_mean, (0, 180), "mean angular error (degrees)",
        ),
        Metric(
            "label_balanced_accuracy", "multilabel", True, True, _half, sk_label_balanced_accuracy,
            prepare_label_balanced_accuracy, (0, 1), "balanced accuracy, mean over labels",
        ),
        Metric(
            "label_auroc", "multilabel", True, False, _half, sk_label_auroc,
            per_label(_by_rank(_auroc)), (0, 1), "area under the ROC curve, mean over labels",
        ),
        Metric(
            "label_auprc", "multilabel", True, False, positive_share, sk_label_auprc,
            per_label(_by_rank(_auprc)), (0, 1), "average precision, mean over labels",
        ),
        Metric(
            "label_f1", "multilabel", True, True, _unknown, sk_label_f1,
            prepare_label_f1, (0, 1), "F1, mean over labels",
        ),
        Metric(
            "top1", "retrieval", True, True, top_chance(1), top(1), prepare_top(1), (0, 1),
            "right item first",
        ),
        Metric(
            "top5", "retrieval", True, True, top_chance(5), top(5), prepare_top(5), (0, 1),
            "right item among the first 5",
        ),
        Metric(
            "top10", "retrieval", True, True, top_chance(10), top(10), prepare_top(10), (0, 1),
            "right item among the first 10",
        ),
        Metric(
            "mean_rank", "retrieval", False, True, _half, mean_rank, prepare_mean_rank, (0, 1),
            "mean rank (0 first, 1 last)",
        ),
    )
}  # fmt: skip
