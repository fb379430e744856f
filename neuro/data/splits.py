"""Parts of a window index that are independent of each other, and the proof."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import numpy as np

from neuro.data.recording import Recording
from neuro.data.windows import Windows
from neuro.errors import DataError, LeakageError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

__all__ = ["assert_disjoint", "folds", "groups", "split"]

LEVELS = (
    "subject", "session", "run", "recording", "block", "dataset", "group", "site", "task", "time",
)  # fmt: skip


def groups(index: Windows, by: str) -> AnyArray:
    """Name of the independent unit each window belongs to.

    A run is a run of one session of one subject, and so on downwards, so that
    run 1 of two people are two units.

    Parameters
    ----------
    index : Windows
        The windows.
    by : str
        ``"subject"``, ``"session"``, ``"run"``, ``"recording"``, ``"block"``,
        ``"dataset"``, ``"group"``, ``"site"`` or ``"task"``.

    Returns
    -------
    ndarray of str, shape (n,)

    Raises
    ------
    DataError
        If the level is unknown, or the windows do not know it.
    """
    if by in ("recording", "block"):
        rec = np.char.add("rec", index.recording.astype(str))
        if by == "recording":
            return rec
        if (index.block < 0).any():
            raise DataError(
                f"{int((index.block < 0).sum())} of {len(index)} windows belong to no block. "
                "Split by 'time' with a gap, or give the events blocks."
            )
        return np.char.add(np.char.add(rec, "/block"), index.block.astype(str))
    chains = {
        "subject": ("dataset", "subject"),
        "session": ("dataset", "subject", "session"),
        "run": ("dataset", "subject", "session", "run"),
        "dataset": ("dataset",),
        "group": ("group",),
        "site": ("dataset", "site"),
        "task": ("task",),
    }
    if by not in chains:
        raise DataError(f"Cannot group windows by {by!r}. {did_you_mean(by, LEVELS)}")
    if (index.column(by) == "").any():
        raise DataError(
            f"Some recordings do not know their {by}, so independence cannot be promised. "
            f"Set it: recording.replace({by}=...)."
        )
    parts = [index.column(name).astype(str) for name in chains[by]]
    out = parts[0]
    for part in parts[1:]:
        out = np.char.add(np.char.add(out, "/"), part)
    return out


def split(
    index: Windows,
    by: str,
    *,
    test: float | Iterable[str] = 0.25,
    gap_s: float = 0.0,
    seed: Seed = 0,
    allow_leakage: bool = False,
) -> tuple[IntArray, IntArray]:
    """Row numbers of a training and a test part that share no unit.

    Parameters
    ----------
    index : Windows
        The windows.
    by : str
        Level of independence, see :func:`groups`; ``"time"`` takes the last
        stretch of every recording; ``"random"`` is refused unless
        `allow_leakage`.
    test : float or iterable of str
        Share of the units (or of each recording's time), or the names of the
        units to test on, as in the recording (``["test"]`` for runs).
    gap_s : float
        Least time in seconds between training and test windows of one
        recording.
    seed : int or Generator
        For drawing units.
    allow_leakage : bool
        Accept a split whose parts are not independent.

    Returns
    -------
    train, test : ndarray of int

    Raises
    ------
    LeakageError
        If the parts would not be independent.
    DataError
        If a part would be empty.
    """
    _check_gap(gap_s)
    if by in ("random", "time"):
        share = _share(test, by)
        if by == "random":
            return _random(index, [share], seed, allow_leakage)[0]
        held_out = _late(index, share)
        train = _outside(index, held_out, gap_s)
    else:
        names = groups(index, by)
        if isinstance(test, float | int):
            held_out = np.isin(names, _draw(index, names, _share(test, by), seed))
        else:
            held_out = _named(index, names, by, [test] if isinstance(test, str) else test)
        train = ~held_out
        if gap_s > 0:
            train &= _outside(index, held_out, gap_s)
    return _checked(index, train, held_out, by, gap_s, allow_leakage)


def folds(
    index: Windows,
    by: str,
    *,
    n: int | Literal["leave-one-out"] = 5,
    gap_s: float = 0.0,
    seed: Seed = 0,
    allow_leakage: bool = False,
) -> list[tuple[IntArray, IntArray]]:
    """Row numbers of cross-validation folds that share no unit.

    Parameters
    ----------
    index : Windows
        The windows.
    by : str
        As in :func:`split`; ``"time"`` cuts every recording into `n` stretches.
    n : int or "leave-one-out"
        Number of folds; with leave-one-out each unit is tested once alone.
    gap_s, seed, allow_leakage
        As in :func:`split`.

    Returns
    -------
    list of (train, test)

    Raises
    ------
    LeakageError
        If the parts would not be independent.
    DataError
        If there are fewer units than folds, or a part would be empty.
    """
    _check_gap(gap_s)
    if by in ("random", "time"):
        if not isinstance(n, int) or n < 2:
            raise DataError(f"Folds by {by} need a number of at least 2, got n={n!r}.")
        if by == "random":
            return _random(index, [1.0 / n] * n, seed, allow_leakage)
        part = _stretch(index, n)
    else:
        names = groups(index, by)
        units = np.unique(names)
        if not isinstance(n, int) and n != "leave-one-out":
            raise DataError(f"n={n!r}: give a number of folds or 'leave-one-out'.")
        n_folds = len(units) if n == "leave-one-out" else n
        if n_folds < 2 or len(units) < n_folds:
            raise DataError(
                f"{len(units)} independent units ({by}) for {n_folds} folds. Use fewer folds or "
                "a finer level."
            )
        part = _deal(index, names, n_folds, seed)
    out = []
    for k in range(int(part.max()) + 1):
        held_out = part == k
        train = _outside(index, held_out, gap_s) if (by == "time" or gap_s > 0) else ~held_out
        train &= ~held_out
        out.append(_checked(index, train, held_out, by, gap_s, allow_leakage))
    return out


def assert_disjoint(train: Windows, test: Windows, *, gap_s: float = 0.0) -> None:
    """Prove that two parts of an index overlap in nothing.

    Windows of one recording must not overlap in time, nor come closer than
    `gap_s`; and no block may stand on both sides.

    Parameters
    ----------
    train, test : Windows
        Two parts of one index (or of several over other recordings).
    gap_s : float
        Least distance in seconds.

    Raises
    ------
    LeakageError
        Naming the first offending pair.
    """
    _check_gap(gap_s)
    sources: dict[tuple[object, ...], set[int]] = {}
    rows = {int(b): np.flatnonzero(train.recording == b) for b in np.unique(train.recording)}
    for b in rows:
        for key in _identities(train.recordings[b]):
            sources.setdefault(key, set()).add(b)
    for a in np.unique(test.recording).tolist():
        rec = test.recordings[a]
        at = np.flatnonzero(test.recording == a)
        for b in sorted({b for key in _identities(rec) for b in sources.get(key, ())}):
            # sample numbers mean the same times only within one stream of one object
            exact = rec is train.recordings[b] and test.stream == train.stream
            _check_pair(train, rows[b], test, at, gap_s, rec.id, exact)


def _identities(rec: Recording) -> list[tuple[object, ...]]:
    """Keys of which two recordings share one if they hold the same data."""
    keys: list[tuple[object, ...]] = [("object", id(rec))]
    if rec.id != "recording":
        keys.append(("id", rec.dataset, rec.id))
    if rec.provenance.sha256:
        keys.append(("file", rec.provenance.sha256, rec.id))
    return keys


def _stretches(
    index: Windows, rows: IntArray, gap_s: float, exact: bool
) -> tuple[FloatArray | IntArray, FloatArray | IntArray, float]:
    """Starts, stops and gap: in samples where they compare, else in session seconds."""
    start, stop = index.extent()
    if exact:
        return start[rows], stop[rows], _gap(index, gap_s)
    # a thousandth of a sample is rounding between clocks, not an overlap
    slack = 1e-3 / float(index.rate)
    recording = index.recording[rows]
    return (
        index.session_time(start[rows], recording) + slack,
        index.session_time(stop[rows], recording) - slack,
        gap_s,
    )


def _clash(
    start: FloatArray | IntArray,
    stop: FloatArray | IntArray,
    other_start: FloatArray | IntArray,
    other_stop: FloatArray | IntArray,
    gap: float,
) -> BoolArray:
    """Which of the other stretches overlap one of these or come closer than the gap."""
    order = np.argsort(start, kind="stable")
    furthest = np.maximum.accumulate(stop[order])
    # those that begin before the other (plus gap) ends …
    before = np.searchsorted(start[order], other_stop + gap, side="left")
    # … must all have ended before it begins
    return np.asarray((before > 0) & (furthest[np.maximum(before - 1, 0)] > other_start - gap))


def _check_pair(
    train: Windows,
    bt: IntArray,
    test: Windows,
    at: IntArray,
    gap_s: float,
    name: str,
    exact: bool,
) -> None:
    start, stop, gap = _stretches(train, bt, gap_s, exact)
    other_start, other_stop, _ = _stretches(test, at, gap_s, exact)
    clash = _clash(start, stop, other_start, other_stop, gap)
    if clash.any():
        i = at[np.flatnonzero(clash)[0]]
        t = test.start_s()[i]
        raise LeakageError(
            f"A test window of {name!r} at {t:g} s overlaps a training window or lies closer than "
            f"the gap of {gap_s:g} s. Split by a level that keeps them apart, or widen step_s."
        )
    shared = np.intersect1d(train.block[bt], test.block[at])
    shared = shared[shared >= 0]
    if len(shared):
        raise LeakageError(
            f"Block {int(shared[0])} of {name!r} stands in training and in test. "
            "Split by 'block' or by a level above it."
        )


def _check_gap(gap_s: float) -> None:
    if not (np.isfinite(gap_s) and gap_s >= 0):
        raise DataError(f"gap_s must be 0 or more seconds, got {gap_s!r}.")


def _gap(index: Windows, gap_s: float) -> int:
    """The gap in samples, never shorter than asked for."""
    return int(np.ceil(gap_s * float(index.rate) - 1e-6))


def _share(test: object, by: str) -> float:
    if isinstance(test, bool) or not isinstance(test, float | int):
        raise DataError(f"A split by {by} takes a share, e.g. test=0.25, not {test!r}.")
    if not 0 < test < 1:
        raise DataError(f"test must be a share between 0 and 1, got {test}.")
    return float(test)


def _named(index: Windows, names: AnyArray, by: str, test: Iterable[str]) -> BoolArray:
    """Windows of the units a user named, by their full name or as the recording has it."""
    wanted = [str(t) for t in test]
    if by == "recording":
        column = np.array([rec.id for rec in index.recordings])[index.recording]
    else:
        column = names if by == "block" else index.column(by).astype(str)
    for name in wanted:
        if name not in column and name not in names:
            known = np.unique(column).tolist()
            raise DataError(f"No {by} {name!r}. {did_you_mean(name, known[:40])}")
    return np.asarray(np.isin(column, wanted) | np.isin(names, wanted))


def _checked(
    index: Windows,
    train: BoolArray,
    held_out: BoolArray,
    by: str,
    gap_s: float,
    allow_leakage: bool,
) -> tuple[IntArray, IntArray]:
    a, b = np.flatnonzero(train), np.flatnonzero(held_out)
    if not len(a) or not len(b):
        side = "training" if not len(a) else "test"
        raise DataError(f"Splitting {len(index)} windows by {by!r} leaves no {side} window.")
    if not allow_leakage:
        assert_disjoint(index.select(a), index.select(b), gap_s=gap_s)
    return a, b


def _random(
    index: Windows, shares: list[float], seed: Seed, allow_leakage: bool
) -> list[tuple[IntArray, IntArray]]:
    if not allow_leakage:
        raise LeakageError(
            "A random split of windows puts neighbours of one recording on both sides, and scores "
            "rise for that reason alone. Split by subject, session, run, block or time; to show "
            "the inflation, pass allow_leakage=True."
        )
    order = np.random.default_rng(seed).permutation(len(index))
    edges = np.round(np.cumsum([0.0, *shares]) * len(index)).astype(int)
    return [
        (np.sort(np.concatenate([order[:a], order[b:]])), np.sort(order[a:b]))
        for a, b in pairwise(edges)
    ]


def _draw(index: Windows, names: AnyArray, share: float, seed: Seed) -> AnyArray:
    rng = np.random.default_rng(seed)
    units, _, order = _ordered(index, names, rng)
    if len(units) < 2:
        raise DataError(f"All windows belong to one unit ({units[0]!r}): nothing to hold out.")
    n = min(max(1, round(share * len(units))), len(units) - 1)
    # n places spread evenly over the units ordered by label, from a random phase
    place = np.floor(np.arange(len(units) + 1) * n / len(units) + rng.random())
    chosen: AnyArray = units[order[np.diff(place) > 0]]
    return chosen


def _deal(index: Windows, names: AnyArray, n: int, seed: Seed) -> IntArray:
    """Fold number of each window: units dealt in turn, kinds of unit spread evenly."""
    units, inverse, order = _ordered(index, names, np.random.default_rng(seed))
    fold = np.empty(len(units), dtype=np.int64)
    fold[order] = np.arange(len(units)) % n
    return np.asarray(fold[inverse])


def _ordered(
    index: Windows, names: AnyArray, rng: np.random.Generator
) -> tuple[AnyArray, IntArray, IntArray]:
    """Units, the unit of each window, and an order: by label, at random among equals."""
    units, inverse = np.unique(names, return_inverse=True)
    order = rng.permutation(len(units))
    if index.classes is not None and index.target is not None:
        label = np.zeros(len(units))
        total = np.zeros(len(units))
        known = np.isfinite(index.target)
        np.add.at(label, inverse[known], index.target[known])
        np.add.at(total, inverse[known], 1)
        mean = label / np.maximum(total, 1)
        order = order[np.argsort(mean[order], kind="stable")]
    return units, inverse, order


def _edges(index: Windows) -> tuple[FloatArray, FloatArray]:
    first = np.full(len(index.recordings), np.inf)
    last = np.full(len(index.recordings), -np.inf)
    start, stop = index.extent()
    np.minimum.at(first, index.recording, start)
    np.maximum.at(last, index.recording, stop)
    return first, last


def _late(index: Windows, share: float) -> BoolArray:
    first, last = _edges(index)
    border = last - share * (last - first)
    return np.asarray(index.extent()[0] >= np.ceil(border)[index.recording])


def _stretch(index: Windows, n: int) -> IntArray:
    """Number of the stretch of time a window lies in; -1 if it crosses a border."""
    first, last = _edges(index)
    width = (last - first) / n
    start, stop = index.extent()
    a = np.floor((start - first[index.recording]) / width[index.recording] + 1e-9)
    b = np.ceil((stop - first[index.recording]) / width[index.recording] - 1e-9) - 1
    part = np.where(a == b, a, -1).astype(np.int64)
    if len(np.unique(part[part >= 0])) < n:
        raise DataError(
            f"{n} stretches of time leave some without a whole window. Use fewer folds, shorter "
            "windows, or split by block or recording."
        )
    return part


def _outside(index: Windows, held_out: BoolArray, gap_s: float) -> BoolArray:
    """Windows that keep the gap from, and share no block with, the held-out ones."""
    keep = ~held_out
    first, last = index.extent()
    gap = _gap(index, gap_s)
    for r in np.unique(index.recording).tolist():
        rows = np.flatnonzero(index.recording == r)
        out = rows[held_out[rows]]
        if not len(out):
            continue
        clash = _clash(first[out], last[out], first[rows], last[rows], gap)
        blocks = index.block[out]
        shared = np.isin(index.block[rows], blocks[blocks >= 0])
        keep[rows[clash | shared]] = False
    return keep
