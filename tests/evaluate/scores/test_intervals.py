from dataclasses import replace

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, windows
from neuro.evaluate.probing.probes import NeighboursProbe
from neuro.evaluate.scores.intervals import Scored, choose_units, interval, point, statistic
from neuro.evaluate.scores.metrics import METRICS
from neuro.evaluate.task import Predicted, Task

TWO = Task("classification", classes=("a", "b"))
ACCURACY = METRICS["accuracy"]


def scored(hit, unit, fold=0, seed=0):
    """Truth all alternating; right where `hit`."""
    y = np.arange(len(hit)) % 2
    return Scored(y, Predicted(np.where(hit, y, 1 - y)), np.asarray(unit), fold, seed)


def ends(runs, n_units, metric=ACCURACY):
    value, _ = point(metric, TWO, runs)
    terms = [(1.0, statistic(metric, TWO, runs, n_units))]
    return interval(terms, value, np.arange(n_units), n_units, bounds=metric.bounds)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    n = 200
    for _ in range(n):
        # subjects differ: windows of one subject are not independent
        skill = np.clip(rng.normal(0.7, 0.12, 24), 0, 1)
        hit = rng.random((24, 25)) < skill[:, None]
        got = ends([scored(hit.ravel(), np.repeat(np.arange(24), 25))], 24)
        covered += got.low <= 0.7 <= got.high
        half = 1.96 * np.sqrt(0.21 / hit.size)
        naive += abs(hit.mean() - 0.7) <= half
    # 0.95 aimed at; binomial error over 200 runs is 0.015, and 24 units are few
    assert covered / n >= 0.90
    # and over windows, as is usually done, far too rarely
    assert naive / n < 0.85


def test_difference_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.random(400) < np.repeat(rng.uniform(0.2, 1.0, 40), 10)
    unit = np.repeat(np.arange(40), 10)
    worse = hard & (rng.random(400) > 0.04)
    a, b = (statistic(ACCURACY, TWO, [scored(h, unit)], 40) for h in (hard, worse))
    alone = ends([scored(hard, unit)], 40)
    gap = interval([(1.0, a), (-1.0, b)], hard.mean() - worse.mean(), np.arange(40), 40)
    assert gap.low > 0
    assert gap.high - gap.low < 0.3 * (alone.high - alone.low)


def test_seeds_that_differ_widen_the_interval():
    unit = np.arange(200)
    rng = np.random.default_rng(0)
    runs = [scored(rng.random(200) < p, unit, seed=i) for i, p in enumerate((0.3, 0.5, 0.7))]
    same = [scored(rng.random(200) < 0.5, unit, seed=i) for i in range(3)]
    wide, narrow = ends(runs, 200), ends(same, 200)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_perfect_score_keeps_a_lower_bound():
    got = ends([scored(np.ones(20, bool), np.arange(20))], 20)
    # rule of three for 20 units: 1 - 0.05 ** (1 / 20)
    assert (got.low, got.high) == (pytest.approx(1 - 0.1391, abs=1e-3), 1.0)


def test_one_unit_has_no_interval():
    got = ends([scored(np.ones(20, bool), np.zeros(20, int))], 1)
    assert np.isnan([got.low, got.high]).all()


def test_accuracy_is_pooled_over_folds_and_auroc_averaged():
    y = np.array([0, 1, 0, 1])
    score = np.array([0.1, 0.9, 0.2, 0.8])
    shifted = score + 10  # another fold's classifier, another scale
    runs = [
        Scored(y, Predicted(y, np.stack([-s, s], 1)), np.arange(4), k, 0)
        for k, s in enumerate((score, shifted))
    ]
    assert point(METRICS["auroc"], TWO, runs)[0] == 1.0
    unequal = [
        scored(np.array([1, 1, 1, 1, 1, 1], bool), np.arange(6)),
        scored(np.array([0, 0], bool), np.arange(2), fold=1),
    ]
    assert point(ACCURACY, TWO, unequal)[0] == 0.75


def recordings(subjects, n_blocks, runs=1):
    out = []
    for s in range(subjects):
        for r in range(runs):
            segments = np.stack([np.arange(n_blocks), np.arange(n_blocks) + 1], 1) * 10
            x = Regular(
                np.random.default_rng(s).normal(size=(1, 10 * n_blocks)),
                10,
                "uV",
                Axis(["a"], "eeg"),
                "eeg",
                segments=segments if n_blocks < 50 else None,
            )
            out.append(Recording({"x": x}, dataset="d", subject=str(s), run=str(r)))
    return windows(out, stream="x", length_s=1.0)


@pytest.mark.parametrize(
    ("layout", "level", "caution"),
    [
        ((6, 10), "subject", ""),
        ((1, 10, 6), "run", "1 subject"),
        ((2, 20), "block", "2 runs"),
        ((1, 100), "stretch", "1 subject"),
    ],
)
def test_highest_level_with_enough_units(layout, level, caution):
    w = recordings(*layout)
    units = choose_units(w, np.arange(len(w)))
    assert units.level == level
    assert caution in units.caution
    assert bool(units.caution) == bool(caution)


def test_stretches_are_contiguous_and_equal():
    w = recordings(1, 100)
    units = choose_units(w, np.arange(len(w)))
    assert (np.diff(units.code) >= 0).all()
    assert np.bincount(units.code).tolist() == [5] * 20


def test_scattered_windows_are_resampled_singly():
    w = recordings(1, 400)
    rows = np.arange(0, 400, 7)
    assert choose_units(w, rows).level == "window"


def test_pooled_subjects_are_not_called_one_subject():
    w = recordings(1, 20)
    recs = tuple(r.replace(subject="pooled") for r in w.recordings)
    units = choose_units(replace(w, recordings=recs), np.arange(len(w)))
    assert units.level == "block"
    assert "does not tell apart" in units.caution


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_folds", "low", "high"),
    [
        # one held-out half: nominal. Measured 0.94 (400 data sets, standard error 0.012)
        (1, 0.90, 0.98),
        # four folds share training data, which no bootstrap of test units sees: the number
        # that the module and the reports state. Measured 0.89 for neighbours
        (4, 0.82, 0.94),
    ],
    ids=["held-out", "folds"],
)
def test_coverage_without_signal_is_what_the_documentation_says(n_folds, low, high):
    n, covered = 80, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(n, 8)), rng.permutation(np.arange(n) % 2)
        part = np.arange(n) % 4
        runs = []
        for k in range(n_folds):
            test = part == k if n_folds > 1 else part < 2
            said = NeighboursProbe(2).fit(x[~test], y[~test]).predict(x[test])
            runs.append(Scored(y[test], Predicted(said), np.flatnonzero(test), k, 0))
        present = np.unique(np.concatenate([r.unit for r in runs]))
        score = statistic(METRICS["balanced_accuracy"], TWO, runs, n)
        every = np.isin(np.arange(n), present).astype(float)[None]
        got = interval([(1.0, score)], float(score(every)[0]), present, n, bounds=(0, 1))
        covered.append(got.low <= 0.5 <= got.high)
    # standard error of 200 data sets 0.02
    assert low <= np.mean(covered) <= high
