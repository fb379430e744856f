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
