"""Parts of a window index that are independent of each other, and the proof."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import numpy as np

from neuro.data.windows import Windows
from neuro.errors import DataError, LeakageError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

__all__ = ["assert_disjoint", "folds", "groups", "split"]

LEVELS = ("subject", "session", "run", "recording", "block", "dataset", "group", "task", "time")


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
        ``"dataset"``, ``"group"`` or ``"task"``.

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
    if by == "random":
        return _random(
            index, [float(test)] if isinstance(test, float) else [0.25], seed, allow_leakage
        )[0]
    if by == "time":
        if not isinstance(test, float | int):
            raise DataError("A split by time takes a share: test=0.25 is the last quarter.")
        held_out = _late(index, float(test))
        train = _outside(index, held_out, gap_s)
    else:
        names = groups(index, by)
        if isinstance(test, float | int):
            held_out = np.isin(names, _draw(index, names, float(test), seed))
        else:
            wanted = [str(t) for t in ([test] if isinstance(test, str) else test)]
            column = names if by in ("recording", "block") else index.column(by).astype(str)
            for name in wanted:
                if name not in column and name not in names:
                    known = np.unique(column).tolist()
                    raise DataError(f"No {by} {name!r}. {did_you_mean(name, known[:40])}")
            held_out = np.isin(column, wanted) | np.isin(names, wanted)
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
    if by == "random":
        if not isinstance(n, int):
            raise DataError("Random folds need a number: n=5.")
        return _random(index, [1.0 / n] * n, seed, allow_leakage)
    if by == "time":
        if not isinstance(n, int):
            raise DataError("Folds in time need a number: n=5.")
        part = _stretch(index, n)
    else:
        names = groups(index, by)
        units = np.unique(names)
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
    for a in range(len(test.recordings)):
        for b in range(len(train.recordings)):
            if not _same_source(train, b, test, a):
                continue
            at, bt = np.flatnonzero(test.recording == a), np.flatnonzero(train.recording == b)
            _check_pair(train, bt, test, at, gap_s, test.recordings[a].id)


def _same_source(train: Windows, b: int, test: Windows, a: int) -> bool:
    x, y = train.recordings[b], test.recordings[a]
    if x is y:
        return True
    same_id = (x.dataset, x.id) == (y.dataset, y.id) and x.id != "recording"
    same_file = bool(x.provenance.sha256) and x.provenance.sha256 == y.provenance.sha256
    return same_id or (same_file and x.id == y.id)


def _check_pair(
    train: Windows, bt: IntArray, test: Windows, at: IntArray, gap_s: float, name: str
) -> None:
    if not len(at) or not len(bt):
        return
    order = np.argsort(train.start[bt], kind="stable")
    start, stop = train.start[bt][order], train.stop[bt][order]
    furthest = np.maximum.accumulate(stop)
    gap = round(gap_s * float(train.rate))
    # the train windows that begin before a test window (plus gap) ends …
    before = np.searchsorted(start, test.stop[at] + gap, side="left")
    # … must all have ended before it begins
    clash = (before > 0) & (furthest[np.maximum(before - 1, 0)] > test.start[at] - gap)
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
    if not 0 < share < 1:
        raise DataError(f"test must be a share between 0 and 1, got {share}.")
    units = np.unique(names)
    n = min(max(1, round(share * len(units))), len(units) - 1)
    if len(units) < 2:
        raise DataError(f"All windows belong to one unit ({units[0]!r}): nothing to hold out.")
    part = _deal(index, names, max(2, round(len(units) / n)), seed)
    chosen = np.unique(names[part == 0])
    return chosen[:n] if len(chosen) > n else chosen


def _deal(index: Windows, names: AnyArray, n: int, seed: Seed) -> IntArray:
    """Fold number of each window: units dealt in turn, kinds of unit spread evenly."""
    units, inverse = np.unique(names, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(units))
    if index.classes is not None and index.target is not None:
        label = np.zeros(len(units))
        total = np.zeros(len(units))
        known = np.isfinite(index.target)
        np.add.at(label, inverse[known], index.target[known])
        np.add.at(total, inverse[known], 1)
        mean = label / np.maximum(total, 1)
        order = order[np.argsort(mean[order], kind="stable")]
    fold = np.empty(len(units), dtype=np.int64)
    fold[order] = np.arange(len(units)) % n
    return np.asarray(fold[inverse])


def _edges(index: Windows) -> tuple[FloatArray, FloatArray]:
    first = np.full(len(index.recordings), np.inf)
    last = np.full(len(index.recordings), -np.inf)
    np.minimum.at(first, index.recording, index.start)
    np.maximum.at(last, index.recording, index.stop)
    return first, last


def _late(index: Windows, share: float) -> BoolArray:
    if not 0 < share < 1:
        raise DataError(f"test must be a share between 0 and 1, got {share}.")
    first, last = _edges(index)
    border = last - share * (last - first)
    return np.asarray(index.start >= np.ceil(border)[index.recording])


def _stretch(index: Windows, n: int) -> IntArray:
    """Number of the stretch of time a window lies in; -1 if it crosses a border."""
    if n < 2:
        raise DataError(f"Need at least 2 folds, got {n}.")
    first, last = _edges(index)
    width = (last - first) / n
    a = np.floor((index.start - first[index.recording]) / width[index.recording] + 1e-9)
    b = np.ceil((index.stop - first[index.recording]) / width[index.recording] - 1e-9) - 1
    return np.where(a == b, a, -1).astype(np.int64)


def _outside(index: Windows, held_out: BoolArray, gap_s: float) -> BoolArray:
    """Windows that keep the gap from, and share no block with, the held-out ones."""
    keep = ~held_out
    gap = round(gap_s * float(index.rate))
    for r in np.unique(index.recording).tolist():
        rows = np.flatnonzero(index.recording == r)
        out = rows[held_out[rows]]
        if not len(out):
            continue
        order = np.argsort(index.start[out], kind="stable")
        start, stop = index.start[out][order], np.maximum.accumulate(index.stop[out][order])
        before = np.searchsorted(start, index.stop[rows] + gap, side="left")
        clash = (before > 0) & (stop[np.maximum(before - 1, 0)] > index.start[rows] - gap)
        blocks = index.block[out]
        shared = np.isin(index.block[rows], blocks[blocks >= 0])
        keep[rows[clash | shared]] = False
    return keep
