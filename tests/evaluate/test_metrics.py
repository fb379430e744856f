import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import ConfigError, DataError
from neuro.evaluate.metrics import METRICS, metrics_for
from neuro.evaluate.task import Predicted, Task

CLASSES = Task("classification", classes=("a", "b", "c"))
TWO = Task("classification", classes=("a", "b"))
VALUES = Task("regression", n_outputs=2)
ANGLE = Task("circular", period=360.0)


def example(kind, seed, n=60, task=None):
    rng = np.random.default_rng(seed)
    if kind == "classification":
        k = task.n_classes
        y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        # coarse scores: ties must be counted right
        score = np.round(rng.normal(size=(n, k)) + np.eye(k)[y], 1)
        return y, Predicted(score.argmax(1), score)
    if kind == "regression":
        y = rng.normal(size=(n, 2)) + 5.0
        return y, Predicted(y + rng.normal(size=(n, 2)))
    y = rng.uniform(-180, 180, n)
    return y, Predicted(ANGLE.wrapped(y + rng.normal(scale=40, size=n)))


def task_of(name):
    return {"classification": CLASSES, "regression": VALUES, "circular": ANGLE}[METRICS[name].kind]


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_fast_value_equals_the_reference(name, seed):
    metric, task = METRICS[name], task_of(name)
    y, said = example(metric.kind, seed, task=task)
    unit = np.arange(len(y)) % 7
    fast = metric.prepare(y, said, task, unit, 7)(np.ones((1, 7)))[0]
    # sums in another order: rounding only
    assert fast == pytest.approx(metric.value(y, said, task), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_drawing_a_unit_twice_equals_having_its_rows_twice(name, seed):
    metric, task = METRICS[name], task_of(name)
    y, said = example(metric.kind, seed, task=task)
    unit = np.arange(len(y)) % 5
    counts = np.array([1, 2, 1, 3, 1])
    rows = np.repeat(np.arange(len(y)), counts[unit])
    score = None if said.score is None else said.score[rows]
    again = metric.value(y[rows], Predicted(said.label[rows], score), task)
    fast = metric.prepare(y, said, task, unit, 5)(counts[None].astype(float))[0]
    assert fast == pytest.approx(again, abs=1e-9)


def test_two_classes_use_the_second_class_score():
    y = np.array([0, 0, 1, 1])
    score = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    # pairs won by the second class: (0.3 > 0.1), (0.8 > 0.1), (0.8 > 0.4); lost: 0.3 < 0.4
    assert METRICS["auroc"].value(y, Predicted(score.argmax(1), score), TWO) == 0.75


def test_constant_prediction_has_r_zero():
    y = np.arange(10.0)
    said = Predicted(np.full(10, 3.3))
    task = Task("regression")
    assert METRICS["r"].value(y, said, task) == 0.0
    fast = METRICS["r"].prepare(y, said, task, np.zeros(10, int), 1)
    assert fast(np.ones((1, 1)))[0] == 0.0


def test_r_of_a_large_offset_keeps_its_digits():
    rng = np.random.default_rng(0)
    y = 1e6 + rng.normal(size=200)
    p = y + rng.normal(size=200)
    fast = METRICS["r"].prepare(y, Predicted(p), Task("regression"), np.arange(200), 200)
    # 1e6 squared leaves 1e-4 of a unit variance in float64 unless centred first
    assert fast(np.ones((1, 200)))[0] == pytest.approx(np.corrcoef(y, p)[0, 1], abs=1e-9)


def test_missing_class_makes_auroc_an_error():
    y = np.zeros(4, int)
    with pytest.raises(DataError, match="no test window of class 'b'"):
        METRICS["auroc"].value(y, Predicted(y, np.ones((4, 2))), TWO)


def test_angles_are_scored_in_degrees_across_the_seam():
    hours = Task("circular", period=24.0)
    said = Predicted(np.array([-11.0]))
    assert METRICS["median_angular_error"].value(np.array([11.0]), said, hours) == 30.0


def test_chance_levels():
    y = np.array([0, 0, 0, 1])
    assert METRICS["balanced_accuracy"].chance(y, TWO) == 0.5
    assert METRICS["accuracy"].chance(y, TWO) == 0.75
    assert METRICS["median_angular_error"].chance(y, ANGLE) == 90.0


def test_balanced_accuracy_of_a_class_that_is_absent_counts_those_present():
    y, said = np.array([0, 0, 1, 1]), Predicted(np.array([0, 2, 1, 1]))
    assert METRICS["balanced_accuracy"].value(y, said, CLASSES) == 0.75


def test_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="accuracy"):
        metrics_for(TWO, ["acuracy"])
    with pytest.raises(ConfigError, match="for regression"):
        metrics_for(VALUES, ["accuracy"])
