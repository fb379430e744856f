import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import ConfigError, DataError
from neuro.evaluate.scores.metrics import METRICS, metrics_for
from neuro.evaluate.task import Predicted, Task

CLASSES = Task("classification", classes=("a", "b", "c"))
TWO = Task("classification", classes=("a", "b"))
VALUES = Task("regression", n_outputs=2)
ANGLE = Task("circular", period=360.0)
LABELS = Task("multilabel", classes=("a", "b"))
GALLERY = Task("retrieval", n_outputs=3)
SPIKES = Task("counts", n_outputs=2)


def example(kind, seed, n=60, task=None, name=""):
    rng = np.random.default_rng(seed)
    if name == "log_loss":
        y, said = example(kind, seed, n, task)
        p = np.exp(said.score)
        return y, Predicted(said.label, p / p.sum(1, keepdims=True))
    if kind == "counts":
        rate = rng.uniform(0.5, 4, (n, 2))
        return rng.poisson(rate).astype(float), Predicted(rate)
    if kind == "classification":
        k = task.n_classes
        y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        # coarse scores: ties must be counted right
        score = np.round(rng.normal(size=(n, k)) + np.eye(k)[y], 1)
        return y, Predicted(score.argmax(1), score)
    if kind == "regression":
        y = rng.normal(size=(n, 2)) + 5.0
        return y, Predicted(y + rng.normal(size=(n, 2)))
    if kind == "multilabel":
        y = rng.integers(0, 2, (n, 2))
        score = np.round(rng.normal(size=(n, 2)) + y, 1)
        return y, Predicted((score > 0.5).astype(int), score)
    if kind == "retrieval":
        rank = rng.integers(1, 21, n) + rng.choice([0.0, 0.5], n)
        return rng.normal(size=(n, 3)), Predicted(np.stack([rank, np.full(n, 21.0)], 1))
    y = rng.uniform(-180, 180, n)
    return y, Predicted(ANGLE.wrapped(y + rng.normal(scale=40, size=n)))


def task_of(name):
    return {
        "classification": CLASSES,
        "regression": VALUES,
        "circular": ANGLE,
        "multilabel": LABELS,
        "retrieval": GALLERY,
        "counts": SPIKES,
    }[METRICS[name].kind]


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_fast_value_equals_the_reference(name, seed):
    metric, task = METRICS[name], task_of(name)
    y, said = example(metric.kind, seed, task=task, name=name)
    unit = np.arange(len(y)) % 7
    fast = metric.prepare(y, said, task, unit, 7)(np.ones((1, 7)))[0]
    # sums in another order: rounding only
    assert fast == pytest.approx(metric.value(y, said, task), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_drawing_a_unit_twice_equals_having_its_rows_twice(name, seed):
    metric, task = METRICS[name], task_of(name)
    y, said = example(metric.kind, seed, task=task, name=name)
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


def test_log_loss_is_that_of_scikit_learn_and_needs_probabilities():
    from sklearn.metrics import log_loss

    y, said = example("classification", 1, task=CLASSES, name="log_loss")
    value = METRICS["log_loss"].value(y, said, CLASSES)
    assert value == pytest.approx(log_loss(y, said.score, labels=[0, 1, 2]))
    share = np.bincount(y) / len(y)
    luck = Predicted(said.label, np.tile(share, (len(y), 1)))
    assert METRICS["log_loss"].value(y, luck, CLASSES) == pytest.approx(
        METRICS["log_loss"].chance(y, CLASSES)
    )
    with pytest.raises(DataError, match="probabilities"):
        METRICS["log_loss"].value(y, Predicted(said.label), CLASSES)


def test_bits_per_spike_of_the_mean_rate_are_none_and_of_the_truth_are_known():
    rng = np.random.default_rng(0)
    rate = np.where(rng.random((100_000, 1)) < 0.5, 1.0, 3.0)
    y, metric = rng.poisson(rate).astype(float), METRICS["bits_per_spike"]
    one = Task("counts")
    mean = Predicted(np.full_like(y, y.mean()))
    assert metric.value(y, mean, one) == pytest.approx(0.0, abs=1e-9)
    # mean of (1 log2(1 / 2) + 3 log2(3 / 2)) / 2 over a mean rate of 2
    want = (np.log2(0.5) + 3 * np.log2(1.5)) / 4
    # standard error of the mean of 200,000 spikes: about 0.002
    assert metric.value(y, Predicted(rate), one) == pytest.approx(want, abs=0.008)
    with pytest.raises(DataError, match="counts"):
        metric.value(-y, mean, one)


def test_likelihood_metrics_are_what_their_definitions_say():
    from scipy.stats import poisson

    rng = np.random.default_rng(1)
    rate = rng.uniform(0.5, 4, (80, 2)) * [1.0, 0.2]
    y = rng.poisson(rate).astype(float)
    said, got = Predicted(rate), poisson.logpmf(y, rate).sum()
    null = poisson.logpmf(y, y.mean(0)).sum()
    bits = METRICS["bits_per_spike"].value(y, said, SPIKES)
    assert bits == pytest.approx((got - null) / y.sum() / np.log(2))
    best = poisson.logpmf(y, np.maximum(y, 1e-12)).sum()
    share = METRICS["deviance_explained"].value(y, said, SPIKES)
    assert share == pytest.approx((got - null) / (best - null))
    # the same likelihood handed over as the decoder's own, by target and all together
    for log_p in (poisson.logpmf(y, rate), poisson.logpmf(y, rate).sum(1, keepdims=True)):
        own = Predicted(rate, log_p)
        assert METRICS["bits_per_spike"].value(y, own, SPIKES) == pytest.approx(bits)


def test_a_unit_that_never_fires_does_not_spoil_the_others():
    rng = np.random.default_rng(2)
    rate = np.column_stack([rng.uniform(0.5, 4, 80), np.full(80, 1e-6)])
    y = np.column_stack([rng.poisson(rate[:, 0]), np.zeros(80)]).astype(float)
    both = METRICS["bits_per_spike"].value(y, Predicted(rate), SPIKES)
    alone = METRICS["bits_per_spike"].value(y[:, 0], Predicted(rate[:, 0]), Task("counts"))
    # 80 windows expected 1e-6 spikes that did not come
    assert both == pytest.approx(alone, abs=1e-4)
    with pytest.raises(DataError, match="never fire"):
        METRICS["bits_per_spike"].value(0 * y, Predicted(rate), SPIKES)


def test_bits_per_value_are_what_a_gaussian_code_saves():
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    y = rng.normal(size=(4000, 1)) * 3.0
    p = y + rng.normal(size=y.shape)
    error = np.sqrt(np.mean((y - p) ** 2))
    saved = (norm.logpdf(y - p, scale=error) - norm.logpdf(y - y.mean(), scale=y.std())).mean()
    one = Task("regression")
    value = METRICS["bits_per_value"].value(y[:, 0], Predicted(p[:, 0]), one)
    assert value == pytest.approx(saved / np.log(2))
    perfect = METRICS["bits_per_value"].value(y[:, 0], Predicted(y[:, 0]), one)
    assert perfect == 20.0


def test_every_metric_with_a_chance_level_gets_it_from_luck():
    rng = np.random.default_rng(0)
    n = 20_000
    y = rng.integers(0, 2, (n, 2))
    luck = Predicted(rng.integers(0, 2, (n, 2)), rng.normal(size=(n, 2)))
    for name in ("label_balanced_accuracy", "label_auroc", "label_auprc"):
        metric = METRICS[name]
        # standard error of a share at 20,000 windows and two labels: 0.0025
        assert metric.value(y, luck, LABELS) == pytest.approx(metric.chance(y, LABELS), abs=0.01)
    ranks = np.stack([rng.integers(1, 31, n), np.full(n, 30)], axis=1).astype(float)
    for name in ("top1", "top5", "top10", "mean_rank"):
        value = METRICS[name].value(y, Predicted(ranks), GALLERY)
        assert value == pytest.approx(METRICS[name].chance(ranks, GALLERY), abs=0.015)


def test_label_that_never_varies_makes_auroc_an_error():
    y = np.array([[0, 1], [1, 1], [0, 1]])
    with pytest.raises(DataError, match="label 'b' is the same"):
        METRICS["label_auroc"].value(y, Predicted(y), LABELS)


def test_balanced_accuracy_of_a_class_that_is_absent_counts_those_present():
    y, said = np.array([0, 0, 1, 1]), Predicted(np.array([0, 2, 1, 1]))
    assert METRICS["balanced_accuracy"].value(y, said, CLASSES) == 0.75


def test_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="accuracy"):
        metrics_for(TWO, ["acuracy"])
    with pytest.raises(ConfigError, match="for regression"):
        metrics_for(VALUES, ["accuracy"])
