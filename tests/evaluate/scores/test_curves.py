import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from neuro.evaluate import Task
from neuro.evaluate.scores.curves import curves
from neuro.evaluate.scores.intervals import Scored
from neuro.evaluate.task import Predicted

TWO = Task("classification", classes=("a", "b"))


def scored(y, p, fold=0):
    score = np.stack([1 - p, p], axis=1)
    said = Predicted(score.argmax(1), score)
    return Scored(y, said, np.arange(len(y)), fold, 0)


def drawn(n=4000, seed=0):
    """Calibrated on purpose: the class is drawn with the probability that is said."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, n)
    return (rng.uniform(size=n) < p).astype(int), p


def test_roc_has_the_area_of_scikit_learn():
    y, p = drawn()
    p = np.round(p, 2)  # ties
    found = curves([scored(y, p)], TWO)["roc"]
    area = np.trapezoid(found["tpr"], found["fpr"])
    # a grid of 51 points cuts corners
    assert area == pytest.approx(roc_auc_score(y, p), abs=0.002)
    assert (found["tpr"][0], found["tpr"][-1]) == (pytest.approx(0, abs=0.05), 1.0)


def test_calibrated_scores_lie_on_the_diagonal():
    y, p = drawn()
    found = curves([scored(y, p)], TWO)["calibration"]
    assert sum(found["count"]) == 4000
    # 400 predictions a bin: standard error at most 0.025
    np.testing.assert_allclose(found["accuracy"], found["confidence"], atol=0.08)
    assert found["ece"] < 0.03
    sure = curves([scored(y, np.where(p > 0.5, 0.99, 0.01))], TWO)["calibration"]
    # says 0.99 and is right in three of four cases
    assert sure["ece"] == pytest.approx(0.99 - 0.75, abs=0.02)


def test_folds_on_other_scales_are_not_mixed():
    y, p = drawn(600)
    found = curves([scored(y, p), scored(y, p / 1000, fold=1)], TWO)["roc"]
    np.testing.assert_allclose(found["tpr"], curves([scored(y, p)], TWO)["roc"]["tpr"], atol=1e-6)


def test_no_scores_no_curves_and_decision_values_no_calibration():
    y, p = drawn(50)
    assert curves([Scored(y, Predicted(y), np.arange(50), 0, 0)], TWO) is None
    assert curves([scored(y, p)], Task("regression")) is None
    values = Scored(y, Predicted(y, np.stack([-p, p], 1) * 3), np.arange(50), 0, 0)
    assert set(curves([values], TWO)) == {"roc"}


def test_one_class_in_a_fold_has_no_roc():
    y = np.zeros(20, dtype=int)
    assert set(curves([scored(y, np.linspace(0, 1, 20))], TWO)) == {"calibration"}


def test_several_classes():
    rng = np.random.default_rng(0)
    task = Task("classification", classes=("a", "b", "c"))
    y = rng.integers(0, 3, 300)
    score = np.eye(3)[y] * 0.9 + 0.1 / 3
    run = Scored(y, Predicted(y, score), np.arange(300), 0, 0)
    found = curves([run], task)
    assert found["roc"]["tpr"][5] == 1.0
    assert found["calibration"]["accuracy"] == [1.0]
