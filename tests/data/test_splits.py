import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import Axis, Clock, Events, Recording, Regular, Windows, assert_disjoint, windows
from neuro.data.splits import groups
from neuro.errors import DataError, LeakageError

MakeRec = Callable[..., Recording]


def _index(n_subjects: int = 8, runs: int = 2, seconds: float = 10.0, **cut: Any) -> Windows:
    recs = [
        Recording(
            {"eeg": Regular(np.ones((1, round(seconds * 10))), 10, "uV", Axis(["Cz"]), "eeg")},
            dataset="d",
            subject=f"{s:02d}",
            session="1",
            run=str(r),
            group="patient" if s % 2 else "control",
        )
        for s in range(n_subjects)
        for r in range(runs)
    ]
    return windows(recs, stream="eeg", **({"length_s": 1.0} | cut))


def _blocked(n: int = 40, classes: str = "ab", **cut: Any) -> Windows:
    """One recording of `n` trials of 1 s, classes in turn, one block each."""
    events = Events.make(
        np.arange(n) * 1.0,
        [classes[i % len(classes)] for i in range(n)],
        duration_s=1.0,
        block=np.arange(n),
    )
    signal = Regular(np.ones((1, n * 10)), 10, "uV", Axis(["Cz"]), "eeg")
    rec = Recording({"eeg": signal}, events, subject="01")
    return windows(rec, stream="eeg", **({"length_s": 0.5, "label": "type"} | cut))


# ---- by level ------------------------------------------------------------------


@pytest.mark.parametrize("by", ["subject", "session", "run", "recording", "group", "dataset"])
def test_no_unit_stands_on_both_sides(by: str) -> None:
    index = _index()
    if by == "dataset":
        with pytest.raises(DataError, match="one unit"):
            index.split(by)
        return
    train, test = index.split(by, test=0.25)
    assert not set(groups(train, by)) & set(groups(test, by))
    assert sorted([*train.id, *test.id]) == index.id.tolist()


def test_run_1_of_two_people_are_two_units() -> None:
    assert len(np.unique(groups(_index(n_subjects=3, runs=2), "run"))) == 6


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_the_share_of_units_is_kept(share: float) -> None:
    _, test = _index(n_subjects=20, runs=1).split("subject", test=share)
    assert len(np.unique(test.column("subject"))) == round(20 * share)


@given(st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 5))
def test_both_parts_always_hold_a_unit(n: int, share: float, seed: int) -> None:
    train, test = _index(n_subjects=n, runs=1, seconds=1.0).split("subject", test=share, seed=seed)
    assert len(train) + len(test) == n
    assert len(test) == min(max(1, round(n * share)), n - 1)


def test_units_can_be_named() -> None:
    index = _index()
    _, test = index.split("subject", test=["03", "05"])
    assert set(test.column("subject")) == {"03", "05"}
    _, test = index.split("run", test="1")
    assert set(test.column("run")) == {"1"}
    assert len(set(test.column("subject"))) == 8
    _, test = index.split("recording", test=["d_02_1_0"])
    assert set(test.column("subject")) == {"02"}
    assert len(test) == 10
    with pytest.raises(DataError, match=r"No subject '3'.*Known: 00, 01"):
        index.split("subject", test=["3"])


def test_a_level_the_recordings_do_not_know_is_refused() -> None:
    index = windows(
        Recording({"eeg": Regular(np.ones((1, 90)), 10, "uV", Axis(["Cz"]), "eeg")}),
        stream="eeg",
        length_s=1.0,
    )
    for by in ("subject", "run", "group"):
        with pytest.raises(DataError, match=f"do not know their {by}"):
            index.split(by)
    with pytest.raises(DataError, match="belong to no block"):
        index.split("block")
    with pytest.raises(DataError, match=r"Did you mean 'subject'\?"):
        index.split("subjct")


@pytest.mark.parametrize("test", [0, 1, 1.0, -0.2, 1.5, float("nan"), True])
@pytest.mark.parametrize("by", ["subject", "time", "random"])
def test_shares_that_are_none_are_refused(by: str, test: Any) -> None:
    with pytest.raises(DataError, match="share"):
        _index().split(by, test=test, allow_leakage=True)


@pytest.mark.parametrize("gap_s", [-1.0, np.nan, np.inf])
def test_gaps_that_are_none_are_refused(gap_s: float) -> None:
    with pytest.raises(DataError, match="gap_s"):
        _index().split("time", gap_s=gap_s)


def test_the_same_seed_draws_the_same_units_and_another_does_not() -> None:
    index = _index(n_subjects=30, runs=1)
    drawn = [tuple(index.split("subject", seed=s)[1].id.tolist()) for s in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) >= 3


def test_classes_are_spread_over_the_parts() -> None:
    # groups of 10 and 10: a plain draw of 4 has all of one kind in 1 of 12 seeds
    index = _index(n_subjects=20, runs=1, label="group")
    for seed in range(20):
        _, test = index.split("subject", test=0.2, seed=seed)
        people = dict(zip(test.column("subject"), test.column("group"), strict=True))
        assert sorted(people.values()) == ["control", "control", "patient", "patient"]


# ---- folds ---------------------------------------------------------------------


@pytest.mark.parametrize("by", ["subject", "run", "recording"])
def test_folds_test_every_window_once(by: str) -> None:
    index = _index()
    folds = index.folds(by, n=4)
    assert len(folds) == 4
    assert sorted(i for _, test in folds for i in test.id.tolist()) == index.id.tolist()
    for train, test in folds:
        assert not set(groups(train, by)) & set(groups(test, by))
        assert len(train) + len(test) == len(index)


def test_blocks_are_dealt_evenly_over_classes() -> None:
    for train, test in _blocked().folds("block", n=8):
        assert test.target is not None
        # each block of 1 s holds two windows: 5 blocks, 2 or 3 of each class
        counts = np.bincount(test.target.astype(int)).tolist()
        assert sorted(counts) == [4, 6]
        assert not set(train.block) & set(test.block)


def test_leave_one_out() -> None:
    folds = _index(n_subjects=5).folds("subject", n="leave-one-out")
    assert sorted(str(set(test.column("subject"))) for _, test in folds) == [
        f"{{{np.str_(f'{s:02d}')!r}}}" for s in range(5)
    ]


@pytest.mark.parametrize("n", [1, 0, 9, "all"])
def test_impossible_numbers_of_folds_are_refused(n: Any) -> None:
    with pytest.raises(DataError, match="fold"):
        _index(n_subjects=8).folds("subject", n=n)


# ---- time ----------------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [0.0, 0.35, 3.0])
def test_the_last_stretch_of_every_recording_is_held_out(gap_s: float) -> None:
    index = _index(n_subjects=2, seconds=20.0, length_s=1.0, step_s=0.5)
    train, test = index.split("time", test=0.25, gap_s=gap_s)
    for rec in range(4):
        last_train = train.stop[train.recording == rec].max()
        first_test = test.start[test.recording == rec].min()
        # no more is lost than the gap and the step ask for
        assert gap_s * 10 <= first_test - last_train <= gap_s * 10 + 5
        assert first_test == 150


def test_a_gap_is_rounded_up_never_down() -> None:
    # 0.04 s is less than half a sample at 10 Hz
    train, test = _index(n_subjects=1, runs=1).split("time", gap_s=0.04)
    assert test.start.min() - train.stop.max() >= 1


def test_folds_in_time_keep_the_gap_on_both_sides() -> None:
    index = _index(n_subjects=2, runs=1, seconds=40.0)
    folds = index.folds("time", n=4, gap_s=2.0)
    assert len(folds) == 4
    assert sorted(i for _, test in folds for i in test.id.tolist()) == index.id.tolist()
    for train, test in folds:
        for r in (0, 1):
            a, b = train.start[train.recording == r], test.start[test.recording == r]
            assert np.abs(a[:, None] - b[None]).min() >= 10 + 20
            assert len(a) >= 40 - 10 - 4


def test_windows_across_a_border_of_stretches_are_trained_on_or_dropped_not_tested() -> None:
    index = _index(n_subjects=1, runs=1, seconds=20.0, length_s=1.0, step_s=0.5)
    for train, test in index.folds("time", n=4):
        assert_disjoint(train, test)
        assert (test.start // 50 == (test.stop - 1) // 50).all()


def test_more_stretches_than_windows_are_refused() -> None:
    with pytest.raises(DataError, match="without a whole window"):
        _index(n_subjects=1, runs=1).folds("time", n=11)


def test_time_windows_of_a_held_out_block_are_not_trained_on() -> None:
    events = Events.make([0.0, 12.0], "rest", duration_s=[12.0, 8.0], block=[0, 1])
    rec = Recording({"eeg": Regular(np.ones((1, 200)), 10, "uV", Axis(["Cz"]), "eeg")}, events)
    index = windows(rec, stream="eeg", length_s=1.0)
    train, test = index.split("time", test=0.25)
    assert test.start.min() == 150
    assert train.stop.max() == 120


# ---- random --------------------------------------------------------------------


def test_random_splits_are_refused_unless_asked_for() -> None:
    with pytest.raises(LeakageError, match="allow_leakage=True"):
        _index().split("random")
    with pytest.raises(LeakageError):
        _index().folds("random", n=5)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_random_splits_keep_the_share(share: float) -> None:
    train, test = _index().split("random", test=share, allow_leakage=True)
    assert len(test) == round(160 * share)
    assert sorted([*train.id, *test.id]) == list(range(160))


def test_random_folds_test_every_window_once() -> None:
    folds = _index().folds("random", n=5, allow_leakage=True)
    assert sorted(i for _, test in folds for i in test.id.tolist()) == list(range(160))
    with pytest.raises(DataError, match="at least 2"):
        _index().folds("random", n=1, allow_leakage=True)


# ---- proof ---------------------------------------------------------------------


def test_overlapping_windows_across_a_split_are_a_leak() -> None:
    index = _index(n_subjects=1, runs=1, step_s=0.5)
    with pytest.raises(LeakageError, match="overlaps a training window"):
        assert_disjoint(index.select([0, 1, 2]), index.select([3, 4]))
    assert_disjoint(index.select([0, 1]), index.select([3, 4]))


def test_touching_windows_are_apart_but_not_by_a_gap() -> None:
    index = _index(n_subjects=1, runs=1)
    assert_disjoint(index.select([0, 1]), index.select([2]))
    with pytest.raises(LeakageError, match=r"gap of 0\.1 s"):
        assert_disjoint(index.select([0, 1]), index.select([2]), gap_s=0.1)
    assert_disjoint(index.select([0]), index.select([2]), gap_s=1.0)


def test_a_long_window_hidden_behind_later_short_ones_is_found() -> None:
    long = _index(n_subjects=1, runs=1, length_s=8.0)
    short = windows(long.recordings, stream="eeg", length_s=1.0)
    with pytest.raises(LeakageError):
        assert_disjoint(long, short.select([7]))
    assert_disjoint(long, short.select([8]))


def test_a_block_on_both_sides_is_a_leak() -> None:
    index = _blocked()
    first = index.select(index.block == 0)
    assert len(first) == 2
    with pytest.raises(LeakageError, match="Block 0"):
        assert_disjoint(first.select([0]), first.select([1]))


@given(st.lists(st.integers(0, 59), min_size=2, max_size=12, unique=True), st.integers(0, 15))
def test_the_proof_agrees_with_a_plain_search(rows: list[int], gap: int) -> None:
    index = _index(n_subjects=2, runs=1, seconds=9.0, length_s=1.5, step_s=0.25)
    rows = [r % len(index) for r in rows]
    a, b = index.select(rows[::2]), index.select(rows[1::2])
    plain = any(
        a.recording[i] == b.recording[j]
        and a.start[i] < b.stop[j] + gap
        and b.start[j] < a.stop[i] + gap
        for i in range(len(a))
        for j in range(len(b))
    )
    if plain:
        with pytest.raises(LeakageError):
            assert_disjoint(a, b, gap_s=gap / 10)
    else:
        assert_disjoint(a, b, gap_s=gap / 10)


def test_slices_of_one_recording_are_compared_in_time_not_in_samples(make: MakeRec) -> None:
    rec = make(subject="01")
    first, second = (
        windows(rec.slice(a, b), stream="eeg", length_s=1.0) for a, b in ((0, 10), (10, 20))
    )
    assert_disjoint(first, second)
    with pytest.raises(LeakageError):
        assert_disjoint(first, second, gap_s=0.5)
    with pytest.raises(LeakageError):
        assert_disjoint(first, windows(rec.slice(9.5, 12), stream="eeg", length_s=1.0))


def test_copies_at_another_rate_are_compared_in_time(make: MakeRec) -> None:
    rec = make(subject="01")
    half = rec.regular("eeg")
    slow = rec.with_stream("eeg", Regular(half.values()[:, ::2], 50, "uV", half.axis, "eeg"))
    index = windows(rec, stream="eeg", length_s=1.0)
    other = windows(slow, stream="eeg", length_s=1.0)
    assert_disjoint(index.select(slice(0, 10)), other.select(slice(10, 20)))
    with pytest.raises(LeakageError):
        assert_disjoint(index.select(slice(0, 11)), other.select(slice(10, 20)))


def test_two_streams_of_one_recording_are_compared_on_their_clocks(make: MakeRec) -> None:
    bold = Regular(np.ones((1, 10)), "1/2", "au", Axis(["PCC"], "roi"), "bold")
    rec = make(subject="01").with_stream("bold", bold)
    rec = rec.replace(clocks={"bold": Clock(1.0, 10.0)})
    fast = windows(rec, stream="eeg", length_s=1.0)
    slow = windows(rec, stream="bold", length_s=2.0)
    assert_disjoint(fast.select(slice(0, 10)), slow)
    with pytest.raises(LeakageError):
        assert_disjoint(fast.select(slice(0, 11)), slow)


def test_unnamed_recordings_are_told_apart_by_object(make: MakeRec) -> None:
    a, b = (windows(make(), stream="eeg", length_s=1.0) for _ in range(2))
    assert a.recordings[0].id == b.recordings[0].id == "recording"
    assert_disjoint(a, b)
    with pytest.raises(LeakageError):
        assert_disjoint(a, a)


def test_a_split_of_a_thousand_recordings_is_quick() -> None:
    index = _index(n_subjects=500, runs=2, seconds=5.0)
    began = time.perf_counter()
    index.folds("subject", n=5)
    # 0.2 s here; comparing all pairs of recordings took seconds
    assert time.perf_counter() - began < 3.0
