"""Metrics of several labels at once, of ranks in a gallery, and of angles.

Values come from scikit-learn where it has them; the rest is defined here:

- `top1`, `top5`, `top10`: share of windows whose right item is among the first
  k of the gallery; chance k / gallery size, averaged over windows.
- `mean_rank`: (rank - 1) / (gallery size - 1), mean over windows; 0 is always
  first, chance 0.5.
- `median_angular_error`, `mean_angular_error`: least distance on the circle in
  degrees whatever the target's unit; chance 90.
- `label_balanced_accuracy`: mean over labels of the mean of sensitivity and
  specificity; chance 0.5. `label_auroc`, chance 0.5. `label_auprc`, chance the
  labels' mean frequency. `label_f1` has no one chance level.
- `log_loss`: mean of -ln of the probability given to the right class (not
  below 1e-15); chance is the entropy of the classes' frequencies.
- `bits_per_spike`: log likelihood of the counts less that of each target's own
  mean in the test part, over the number of spikes and ln 2, all targets put
  together; chance 0. Poisson with the predicted counts (below 1e-9 taken as
  1e-9), unless the decoder gives its own likelihood.
- `deviance_explained`: the same gain over what a perfect prediction of every
  count would gain (1 - deviance / null deviance); chance 0, at most 1.
- `bits_per_value`: half of log2(variance / mean squared error), mean over
  targets: how much longer a Gaussian code of the mean alone is, each with its
  best variance in the test part. Likelihood of continuous values and of next
  steps; a function of R² and no more, because no decoder here says how sure
  it is of a value. Chance 0.
"""

from collections.abc import Callable

import numpy as np

from neuro.errors import DataError
from neuro.evaluate.scores.scoring import Prepare, Resampled, Value
from neuro.evaluate.task import Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray

# values held at once while resampling: 16 M float64 = 128 MB
_AT_ONCE = 16_000_000
_ONE_LABEL = Task("classification", classes=("no", "yes"))

# ---- several labels -----------------------------------------------------------


def _score(said: Predicted) -> FloatArray:
    """Score of every label, (n, n_labels); the labels themselves if there are none."""
    return np.asarray(said.label if said.score is None else said.score, dtype=np.float64)


def per_label(prepare: Prepare) -> Prepare:
    """Mean over labels of a two-class metric under resampling."""

    def prepared(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        score = _score(said)
        parts = [
            prepare(
                y[:, k],
                Predicted(said.label[:, k], np.stack([-score[:, k], score[:, k]], axis=1)),
                _ONE_LABEL,
                unit,
                n_units,
            )
            for k in range(y.shape[1])
        ]
        return lambda counts: np.asarray(np.mean([f(counts) for f in parts], axis=0))

    return prepared


def _tables(y: AnyArray, said: Predicted, unit: IntArray, n_units: int) -> FloatArray:
    """Hits, misses, false alarms and correct rejections of each unit, (n_units, 4, n_labels)."""
    yes = said.label == 1
    kinds = np.stack([(y == 1) & yes, (y == 1) & ~yes, (y == 0) & yes, (y == 0) & ~yes], axis=1)
    out = np.zeros((n_units, *kinds.shape[1:]))
    np.add.at(out, unit, kinds.astype(np.float64))
    return out


def _from_tables(rate: Callable[..., FloatArray]) -> Prepare:
    def prepare(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        table = _tables(y, said, unit, n_units)
        flat = table.reshape(n_units, -1)

        def resampled(counts: FloatArray) -> FloatArray:
            each = (counts @ flat).reshape(len(counts), *table.shape[1:])
            return np.asarray(rate(*each.swapaxes(0, 1)).mean(1))

        return resampled

    return prepare


def _balanced(hit: FloatArray, miss: FloatArray, alarm: FloatArray, ok: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.stack([hit / (hit + miss), ok / (ok + alarm)])
    # a label that never (or always) occurs is judged on the side that exists
    known = np.isfinite(rates)
    return np.asarray(np.where(known, rates, 0.0).sum(0) / np.maximum(known.sum(0), 1))


def _f1(hit: FloatArray, miss: FloatArray, alarm: FloatArray, ok: FloatArray) -> FloatArray:
    return np.asarray(2 * hit / np.maximum(2 * hit + miss + alarm, 1e-12))


prepare_label_balanced_accuracy = _from_tables(_balanced)
prepare_label_f1 = _from_tables(_f1)


def sk_label_balanced_accuracy(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean over labels of the mean recall of its two values."""
    from sklearn.metrics import recall_score

    return float(
        np.mean(
            [
                recall_score(
                    y[:, k],
                    said.label[:, k],
                    labels=np.unique(y[:, k]),
                    average="macro",
                    zero_division=0.0,
                )
                for k in range(y.shape[1])
            ]
        )
    )


def sk_label_f1(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean F1 over labels; 0 for a label that is never right."""
    from sklearn.metrics import f1_score

    each = [f1_score(y[:, k], said.label[:, k], zero_division=0.0) for k in range(y.shape[1])]
    return float(np.mean(each))


def _need_both(y: AnyArray, task: Task, name: str) -> None:
    for k, label in enumerate(task.classes):
        if len(np.unique(y[:, k])) < 2:
            raise DataError(
                f"{name} is not defined: label {label!r} is the same in every test window of this "
                "fold. Use label_balanced_accuracy, or fewer folds."
            )


def sk_label_auroc(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean area under the ROC curve over labels."""
    from sklearn.metrics import roc_auc_score

    _need_both(y, task, "label_auroc")
    return float(roc_auc_score(y, _score(said), average="macro"))


def sk_label_auprc(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean average precision over labels."""
    from sklearn.metrics import average_precision_score

    _need_both(y, task, "label_auprc")
    return float(average_precision_score(y, _score(said), average="macro"))


def positive_share(y: AnyArray, task: Task) -> float:
    """Mean frequency of the labels: what average precision is by luck."""
    return float(np.mean(y))


# ---- ranks --------------------------------------------------------------------


def _means(values: FloatArray, unit: IntArray, n_units: int) -> Resampled:
    """Mean over windows of one number each, under resampling of units."""
    total = np.bincount(unit, weights=values, minlength=n_units)
    n = np.bincount(unit, minlength=n_units).astype(np.float64)
    return lambda counts: np.asarray((counts @ total) / np.maximum(counts @ n, 1e-12))


def top(k: int) -> Value:
    """Share of windows whose right item is among the first k."""
    return lambda y, said, task: float((said.label[:, 0] <= k).mean())


def top_chance(k: int) -> Callable[[AnyArray, Task], float]:
    """What it is by luck; takes rank and gallery size in place of the target."""
    return lambda y, task: float(np.minimum(k / y[:, 1], 1.0).mean())


def prepare_top(k: int) -> Prepare:
    """As a function of how often each unit was drawn."""
    return lambda y, said, task, unit, n_units: _means(
        (said.label[:, 0] <= k).astype(np.float64), unit, n_units
    )


def _scaled_rank(said: Predicted) -> FloatArray:
    rank, size = said.label[:, 0], said.label[:, 1]
    return np.asarray((rank - 1) / np.maximum(size - 1, 1))


def mean_rank(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean of (rank - 1) / (size - 1)."""
    return float(_scaled_rank(said).mean())


def prepare_mean_rank(
    y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
) -> Resampled:
    """As a function of how often each unit was drawn."""
    return _means(_scaled_rank(said), unit, n_units)


# ---- likelihoods --------------------------------------------------------------


def _surprise(y: AnyArray, said: Predicted) -> FloatArray:
    p = said.score
    if p is None or (p < 0).any() or not np.allclose(p.sum(1), 1.0, atol=1e-6):
        raise DataError(
            "log_loss needs probabilities that sum to 1 over the classes, from predict_proba; this "
            "model gives none. Use balanced_accuracy or auroc."
        )
    return np.asarray(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)))


def log_loss(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean surprise at the right class, in nats."""
    return float(_surprise(y, said).mean())


def prepare_log_loss(
    y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
) -> Resampled:
    """As a function of how often each unit was drawn."""
    return _means(_surprise(y, said), unit, n_units)


def entropy(y: AnyArray, task: Task) -> float:
    """Log loss of always saying the classes' frequencies."""
    share = np.bincount(y, minlength=task.n_classes) / len(y)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def _count_sums(y: AnyArray, said: Predicted, unit: IntArray, n_units: int) -> FloatArray:
    """Windows, likelihood, its best value, and spikes of each target, by unit of resampling.

    Likelihoods are sums over targets, less the terms that do not depend on
    the prediction. Shape (n_units, 3 + n_targets).
    """
    n = len(y)
    count, rate = (np.asarray(a, dtype=np.float64).reshape(n, -1) for a in (y, said.label))
    if (count < 0).any():
        raise DataError("bits_per_spike needs counts; some targets are negative.")
    if said.score is None:
        rate = np.maximum(rate, 1e-9)
        got = (count * np.log(rate) - rate).sum(1)
    else:
        from scipy.special import gammaln

        got = said.score.sum(1) + gammaln(count + 1).sum(1)
    best = (count * np.log(np.maximum(count, 1e-300)) - count).sum(1)
    out = np.zeros((n_units, 3 + count.shape[1]))
    np.add.at(out, unit, np.column_stack([np.ones(n), got, best, count]))
    return out


def _likelihoods(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Likelihood, its best value, that of the means, and spikes, each (draws,)."""
    n, spikes = np.maximum(sums[:, :1], 1e-12), sums[:, 3:]
    null = (spikes * np.log(np.maximum(spikes / n, 1e-300)) - spikes).sum(1)
    return sums[:, 1], sums[:, 2], null, spikes.sum(1)


def _bits(sums: FloatArray) -> FloatArray:
    got, _, null, spikes = _likelihoods(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spikes > 0, (got - null) / spikes / np.log(2), np.nan))


def _explained(sums: FloatArray) -> FloatArray:
    got, best, null, _ = _likelihoods(sums)
    room = best - null
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(room > 1e-9, (got - null) / room, np.nan))


def _of_counts(rate: Callable[[FloatArray], FloatArray], name: str) -> tuple[Value, Prepare]:
    """A metric of summed likelihoods: its value, and the same under resampling."""

    def value(y: AnyArray, said: Predicted, task: Task) -> float:
        found = float(rate(_count_sums(y, said, np.zeros(len(y), np.int64), 1))[0])
        if not np.isfinite(found):
            raise DataError(
                f"{name} is not defined: the counts of this test part are all the same. Use fewer "
                "folds, or leave out units that never fire."
            )
        return found

    def prepare(
        y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
    ) -> Resampled:
        sums = _count_sums(y, said, unit, n_units)
        return lambda counts: rate(counts @ sums)

    return value, prepare


bits_per_spike, prepare_bits_per_spike = _of_counts(_bits, "bits_per_spike")
deviance_explained, prepare_deviance_explained = _of_counts(_explained, "deviance_explained")


# ---- angles -------------------------------------------------------------------


def angular_error(y: AnyArray, said: AnyArray, task: Task) -> FloatArray:
    """Least distance on the circle in degrees, whatever the target's unit, shape (n,)."""
    apart = np.abs(task.wrapped(np.asarray(said) - np.asarray(y)))
    return np.asarray(apart * 360.0 / task.period)


def median_error(y: AnyArray, said: Predicted, task: Task) -> float:
    """Median angular error in degrees."""
    return float(np.median(angular_error(y, said.label, task)))


def mean_error(y: AnyArray, said: Predicted, task: Task) -> float:
    """Mean angular error in degrees."""
    return float(angular_error(y, said.label, task).mean())


def prepare_median(
    y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
) -> Resampled:
    """As a function of how often each unit was drawn."""
    error = angular_error(y, said.label, task)
    order = np.argsort(error, kind="stable")
    error, unit = error[order], unit[order]

    def resampled(counts: FloatArray) -> FloatArray:
        out = np.zeros(len(counts))
        step = max(1, _AT_ONCE // max(1, len(error)))
        for a in range(0, len(counts), step):
            cum = np.cumsum(counts[a : a + step, unit], axis=1)
            half = cum[:, -1:] / 2
            low = np.argmax(cum >= half - 1e-9, axis=1)
            high = np.argmax(cum > half + 1e-9, axis=1)
            out[a : a + step] = (error[low] + error[high]) / 2
        return out

    return resampled


def prepare_mean(
    y: AnyArray, said: Predicted, task: Task, unit: IntArray, n_units: int
) -> Resampled:
    """As a function of how often each unit was drawn."""
    return _means(angular_error(y, said.label, task), unit, n_units)


def quarter(y: AnyArray, task: Task) -> float:
    """Error of a guess that is uniform on the circle."""
    # a guess that is uniform on the circle errs by 0 to 180 degrees, evenly
    return 90.0
