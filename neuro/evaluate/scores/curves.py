"""ROC and calibration of scored predictions, small enough to keep in the results."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuro.evaluate.scores.intervals import Scored
from neuro.evaluate.task import Task
from neuro.typing import AnyArray, FloatArray

__all__ = ["curves"]

# points of the ROC's grid, and bins of confidence; our defaults
_GRID, _BINS = 51, 10
# beyond this many classes a page of curves says nothing
_MOST_CLASSES = 12


def curves(runs: Sequence[Scored], task: Task) -> dict[str, Any] | None:
    """ROC and calibration of one line of the table.

    Scores of different folds are not on one scale: the ROC is averaged over
    fits, and for several classes over each class against the others.

    Parameters
    ----------
    runs : sequence of Scored
        Every fit.
    task : Task
        Classification.

    Returns
    -------
    dict or None
        ``roc``: ``fpr`` and mean ``tpr`` on one grid, if any fit tests both
        sides of a class; ``calibration``: for bins of confidence the mean
        ``confidence``, ``accuracy`` and ``count``, and ``ece``, the expected
        calibration error, if the scores are probabilities. None if there are
        no scores.
    """
    scored = [(r.y, r.said.score, r.said.label) for r in runs if r.said.score is not None]
    if task.kind != "classification" or not 2 <= task.n_classes <= _MOST_CLASSES or not scored:
        return None
    out: dict[str, Any] = {}
    grid = np.linspace(0, 1, _GRID)
    classes = [1] if task.n_classes == 2 else list(range(task.n_classes))
    rates = [_roc(y == c, s[:, c], grid) for y, s, _ in scored for c in classes
             if 0 < (y == c).sum() < len(y)]  # fmt: skip
    if rates:
        out["roc"] = {"fpr": _rounded(grid), "tpr": _rounded(np.mean(rates, axis=0))}
    if all(_probable(s) for _, s, _ in scored):
        confidence = np.concatenate([s.max(1) for _, s, _ in scored])
        right = np.concatenate([s.argmax(1) == y for y, s, _ in scored])
        out["calibration"] = _calibration(confidence, right, task.n_classes)
    return out or None


def _roc(positive: AnyArray, score: FloatArray, grid: FloatArray) -> FloatArray:
    """True positive rate at each false positive rate; ties share a step."""
    levels = np.unique(score)[::-1]
    hit = (score[positive][:, None] >= levels).mean(0)
    false = (score[~positive][:, None] >= levels).mean(0)
    return np.asarray(np.interp(grid, np.r_[0.0, false, 1.0], np.r_[0.0, hit, 1.0]))


def _probable(score: FloatArray) -> bool:
    return bool((score >= 0).all() and np.allclose(score.sum(1), 1, atol=1e-6))


def _calibration(confidence: FloatArray, right: AnyArray, n_classes: int) -> dict[str, Any]:
    edges = np.linspace(1 / n_classes, 1, _BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    used = count > 0
    mean = np.bincount(place, confidence, _BINS)[used] / count[used]
    accuracy = np.bincount(place, right.astype(float), _BINS)[used] / count[used]
    ece = float((count[used] * np.abs(mean - accuracy)).sum() / count.sum())
    return {
        "confidence": _rounded(mean),
        "accuracy": _rounded(accuracy),
        "count": count[used].tolist(),
        "ece": round(ece, 6),
    }


def _rounded(values: FloatArray) -> list[float]:
    return [round(float(v), 6) for v in values]
