import numpy as np
import pytest

from neuro.data import windows
from neuro.errors import ConfigError, DataError, LeakageError
from neuro.evaluate import Split
from neuro.evaluate.splitting import make_plan


def test_no_subject_on_both_sides(trials):
    w = trials(subjects=6, n=10)
    plan = make_plan(w, Split("subject", n=3))
    subject = w.column("subject")
    for fold in plan.folds:
        assert not set(subject[fold.train]) & set(subject[fold.test])
    assert plan.proof["folds_that_share"]["subject"] == 0
    assert not plan.leaky


def test_proof_says_what_a_block_split_shares(trials):
    plan = make_plan(trials(), Split("block", n=4))
    shared = {"window": 0, "block": 0, "recording": 4, "run": 4, "subject": 4}
    assert plan.proof["folds_that_share"] == shared


def test_random_split_is_refused_and_marked_when_forced(trials):
    with pytest.raises(LeakageError, match="allow_leakage"):
        make_plan(trials(), Split("random", n=4))
    assert make_plan(trials(), Split("random", n=4), allow_leakage=True).leaky


def test_overlapping_given_parts_are_refused(ramp):
    rec = ramp.recordings
    half = windows(rec, stream="x", length_s=1.0, step_s=0.5, label=lambda *_: 1.0)
    with pytest.raises(LeakageError, match="overlaps"):
        make_plan(half, (np.arange(0, 50, 2), np.arange(1, 50, 2)))
    plan = make_plan(half, (np.arange(0, 50, 2), np.arange(1, 50, 2)), allow_leakage=True)
    assert plan.leaky
    assert plan.proof["folds_that_leak"] == 1


def test_given_windows_are_joined_without_repeats(trials):
    w = trials(subjects=4, n=10)
    pairs = w.folds("subject", n=2)
    plan = make_plan(None, pairs)
    assert len(plan.windows) == len(w)
    for fold, (train, test) in zip(plan.folds, pairs, strict=True):
        joined = plan.windows.select(fold.test)
        assert sorted(joined.column("subject")) == sorted(test.column("subject"))
        assert len(fold.train) == len(train)
        np.testing.assert_array_equal(
            np.sort(joined.batch().x.numpy().sum((1, 2))),
            np.sort(test.batch().x.numpy().sum((1, 2))),
        )


def test_unlabelled_windows_are_left_out(trials):
    from dataclasses import replace

    w = trials()
    target = w.target.copy()
    target[[0, 5]] = np.nan
    w = replace(w, target=target)
    plan = make_plan(w, (np.arange(20), np.arange(20, 40)))
    assert len(plan.windows) == 38
    assert [len(plan.folds[0].train), len(plan.folds[0].test)] == [18, 20]


def test_fewer_subjects_than_folds(trials):
    with pytest.raises(DataError, match="3 independent units"):
        make_plan(trials(subjects=3, n=4), Split("subject", n=5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "subjet"}, "'subject'"),
        ({"by": "run", "n": 3, "test": 0.2}, "not both"),
        ({"by": "run", "n": 1}, "at least 2"),
        ({"by": "run", "gap_s": -1.0}, "gap_s"),
        ({"by": "run", "n": "leave-two-out"}, "leave-one-out"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Split(**options)


def test_nonsense_is_refused(trials):
    with pytest.raises(ConfigError, match="split="):
        make_plan(trials(), "subject")


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (Split("subject", n="leave-one-out"), "leave one subject out"),
        (Split("time", n=4, gap_s=2), "4 folds of each recording's time, gap 2 s"),
        (Split("run", test="test"), "run test held out"),
        (Split("subject", test=0.25), "25 % of the subjects held out (seed 0)"),
    ],
)
def test_description(split, text):
    assert str(split) == text


FAMILIES = {"00": "A", "01": "A", "02": "B", "03": "B", "04": "C", "05": "D"}


def test_no_family_on_both_sides(trials):
    w = trials(subjects=6, n=10)
    plan = make_plan(w, Split("family", n=3, of=FAMILIES))
    family = np.array([FAMILIES[s] for s in w.column("subject")])
    for fold in plan.folds:
        assert not set(family[fold.train]) & set(family[fold.test])
    assert plan.proof["folds_that_share"]["family"] == 0
    assert plan.proof["folds_that_share"]["subject"] == 0
    assert str(plan.description) == "3 folds by family (seed 0)"


def test_subjects_alone_would_divide_a_family(trials):
    w = trials(subjects=6, n=10)
    divided = 0
    for fold in make_plan(w, Split("subject", n="leave-one-out")).folds:
        family = np.array([FAMILIES[s] for s in w.column("subject")])
        divided += bool(set(family[fold.train]) & set(family[fold.test]))
    assert divided == 4


def test_leave_one_site_out_by_a_function(trials):
    w = trials(subjects=6, n=10)
    split = Split("site", n="leave-one-out", of=lambda rec: f"site {int(rec.subject) % 3}")
    plan = make_plan(w, split)
    assert len(plan.folds) == 3
    assert plan.description == "leave one site out"
    for fold in plan.folds:
        assert len({int(s) % 3 for s in w.column("subject")[fold.test]}) == 1


def test_a_named_site_is_held_out(trials):
    w = trials(subjects=4, n=10)
    split = Split("site", test="far", of=lambda rec: "far" if rec.subject == "03" else "near")
    assert set(w.column("subject")[make_plan(w, split).folds[0].test]) == {"03"}


def test_families_are_what_intervals_resample(trials):
    from neuro.evaluate import evaluate

    w = trials(subjects=12, n=6)
    families = {f"{i:02d}": f"{i // 2}" for i in range(12)}
    row = evaluate(
        None, w, split=Split("family", n=3, of=families), controls=(), seeds=1, floors=["mean"]
    ).row("mean")
    assert (row.unit, row.n_units) == ("family", 6)


def test_a_subject_without_a_family(trials):
    with pytest.raises(DataError, match="'05' has no family"):
        make_plan(trials(subjects=6, n=4), Split("family", n=2, of={**FAMILIES, "05": ""}))


def test_levels_that_need_their_units():
    with pytest.raises(ConfigError, match="of="):
        Split("family", n=3)
    with pytest.raises(ConfigError, match="is known"):
        Split("subject", n=3, of=FAMILIES)
