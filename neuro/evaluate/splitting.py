"""Which windows are trained on, which are tested, and the proof that they are apart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from neuro.data import Axis, PairedWindows, Recording, Windows, assert_disjoint
from neuro.data.splits import folds as fold_rows
from neuro.data.splits import groups
from neuro.data.splits import split as split_rows
from neuro.errors import ConfigError, DataError, LeakageError, did_you_mean
from neuro.typing import AnyArray, IntArray

__all__ = ["Fold", "Plan", "Split", "make_plan"]

_LEVELS = (
    "subject", "session", "run", "recording", "block", "dataset", "group", "site", "task", "time",
)  # fmt: skip
# levels above the subject that recordings do not carry themselves
_GIVEN = ("family",)
# what can be shared between training and test, from worst to harmless
_SHARED = ("window", "block", "recording", "run", "session", "subject")


@dataclass(frozen=True)
class Split:
    """How windows are divided; give `n` for folds or `test` for one held-out part.

    Every split is nested: what is chosen inside a training part (penalties,
    neighbours, when to stop, and the folds of scikit-learn's searches unless
    they are given as an object) is chosen on inner folds that divide none of
    the units that intervals resample.

    Parameters
    ----------
    by : str
        Level that never stands on both sides: ``"subject"``, ``"session"``,
        ``"run"``, ``"recording"``, ``"block"``, ``"dataset"``, ``"group"``,
        ``"task"``, or ``"time"`` (stretches of each recording). ``"random"``
        leaks and is refused unless leakage is allowed. ``"site"`` is that of
        the recording, unless `of` gives another; ``"family"`` or any other
        name needs `of`.
    n : int or "leave-one-out", optional
        Number of folds; 5 if `test` is not given either.
    test : float, str or tuple of str, optional
        Share of the units, or of each recording's time (its last part); or
        the units' own names, e.g. ``test="test"`` for a run of that name.
    gap_s : float
        Least time in seconds between training and test windows of one
        recording.
    seed : int
        For drawing units.
    of : mapping or callable, optional
        Unit of each subject (``{"sub-01": "family 3", …}``), or a function
        from Recording to its unit, for a level that recordings do not carry.

    Raises
    ------
    ConfigError
        If the level is unknown, or both or impossible sizes are given.

    Examples
    --------
    >>> print(Split("subject", n=5))
    5 folds by subject (seed 0)
    >>> print(Split("time", test=0.5, gap_s=2))
    last 50 % of each recording's time held out, gap 2 s
    >>> print(Split("family", n="leave-one-out", of={"01": "A", "02": "A", "03": "B"}))
    leave one family out
    """

    by: str
    n: int | Literal["leave-one-out"] | None = None
    test: float | str | tuple[str, ...] | None = None
    gap_s: float = 0.0
    seed: int = 0
    of: Mapping[str, str] | Callable[[Recording], str] | None = None

    def __post_init__(self) -> None:
        if self.of is None and self.by in _GIVEN:
            raise ConfigError(
                f"Recordings do not carry their {self.by}: pass of={{subject: {self.by}, …}} or a "
                "function of the recording."
            )
        if self.of is not None and self.by in {*_LEVELS, "random"} - {"site"}:
            raise ConfigError(f"of= names units of a level of its own; {self.by!r} is known.")
        if self.of is None and self.by not in (*_LEVELS, "random"):
            raise ConfigError(f"Cannot split by {self.by!r}. {did_you_mean(self.by, _LEVELS)}")
        if self.n is not None and self.test is not None:
            raise ConfigError("Give n= for folds or test= for one held-out part, not both.")
        if self.n is None and self.test is None:
            object.__setattr__(self, "n", 5)
        if isinstance(self.n, int) and self.n < 2:
            raise ConfigError(f"n={self.n} folds: at least 2, or use test=0.25.")
        if isinstance(self.n, str) and self.n != "leave-one-out":
            raise ConfigError(f"n={self.n!r}: use a number or 'leave-one-out'.")
        if not (np.isfinite(self.gap_s) and self.gap_s >= 0):
            raise ConfigError(f"gap_s={self.gap_s}: use 0 or more seconds.")
        if self.test is not None and not isinstance(self.test, str | float | int):
            object.__setattr__(self, "test", tuple(self.test))

    def __str__(self) -> str:
        drawn = f" (seed {self.seed})" if self._is_drawn() else ""
        gap = f", gap {self.gap_s:g} s" if self.gap_s else ""
        if self.n == "leave-one-out":
            return f"leave one {self.by} out{gap}"
        if self.n is not None:
            kind = "of each recording's time" if self.by == "time" else f"by {self.by}"
            return f"{self.n} folds {kind}{drawn}{gap}"
        if isinstance(self.test, float | int):
            if self.by == "time":
                return f"last {self.test:.0%} of each recording's time held out{gap}".replace(
                    "%", " %"
                )
            return f"{self.test:.0%} of the {_plural(self.by)} held out{drawn}{gap}".replace(
                "%", " %"
            )
        names = (self.test,) if isinstance(self.test, str) else self.test or ()
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return f"{self.by} {shown} held out{gap}"

    def _is_drawn(self) -> bool:
        named = self.test is not None and not isinstance(self.test, float | int)
        return self.by != "time" and self.n != "leave-one-out" and not named

    def rows(
        self, windows: Windows, *, allow_leakage: bool = False
    ) -> list[tuple[IntArray, IntArray]]:
        """Row numbers of training and test windows, one pair a fold.

        Parameters
        ----------
        windows : Windows
            What to divide.
        allow_leakage : bool
            Accept parts that are not independent.

        Returns
        -------
        list of (train, test)

        Raises
        ------
        LeakageError
            If parts would not be independent.
        DataError
            If there are too few units.
        """
        by = self.by
        if self.of is not None:
            # the recording's group is a level that folds know: lend it the units
            windows = replace(
                windows,
                recordings=tuple(r.replace(group=self._unit_of(r)) for r in windows.recordings),
            )
            by = "group"
        common: dict[str, Any] = {
            "gap_s": self.gap_s,
            "seed": self.seed,
            "allow_leakage": allow_leakage,
        }
        if self.n is not None:
            return fold_rows(windows, by, n=self.n, **common)
        test = 0.25 if self.test is None else self.test
        part: float | list[str]
        part = float(test) if isinstance(test, float | int) else list(_tuple(test))
        return [split_rows(windows, by, test=part, **common)]

    def _unit_of(self, recording: Recording) -> str:
        if callable(self.of):
            unit = str(self.of(recording))
        else:
            unit = str((self.of or {}).get(recording.subject, ""))
        if not unit:
            raise DataError(
                f"Subject {recording.subject!r} has no {self.by}: add it to of=, or leave its "
                "recordings out."
            )
        return unit

    def units(self, windows: Windows) -> AnyArray | None:
        """Unit of each window where `of` gives them, or of its site; else None."""
        if self.of is None:
            return groups(windows, "site") if self.by == "site" else None
        return np.array([self._unit_of(r) for r in windows.recordings])[windows.recording]


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of one training and one test part."""

    train: IntArray
    test: IntArray


@dataclass(frozen=True, eq=False)
class Plan:
    """Windows, their folds, and what is known about their independence.

    Parameters
    ----------
    windows : Windows
        All windows that any fold uses, every one labelled.
    folds : tuple of Fold
        Rows of `windows`.
    description : str
        The split in words.
    proof : dict
        For each level of the data, in how many folds training and test share
        a unit of it; and the least distance in time that was checked.
    leaky : bool
        Whether some fold's parts overlap or share a block, or a random split
        of windows was asked for.
    gap_s : float
        Least distance that was asked for.
    above : (str, ndarray), optional
        Name and unit of each window of a level above the subject.
    """

    windows: Windows
    folds: tuple[Fold, ...]
    description: str
    proof: dict[str, Any]
    leaky: bool
    gap_s: float = 0.0
    above: tuple[str, AnyArray] | None = None


def make_plan(windows: Windows | None, split: Any, *, allow_leakage: bool = False) -> Plan:
    """Folds of labelled windows, proven apart.

    Parameters
    ----------
    windows : Windows or None
        May be None if `split` holds Windows itself.
    split : Split, (train, test), or sequence of (train, test)
        A declaration; or ready parts, as Windows or as row numbers of
        `windows`.
    allow_leakage : bool
        Accept parts that are not independent; the plan is marked.

    Returns
    -------
    Plan

    Raises
    ------
    LeakageError
        If parts overlap, share a block, or lie closer than the gap.
    DataError
        If a part is empty or nothing is labelled.
    """
    if isinstance(split, Split):
        if windows is None:
            raise DataError("A Split divides windows: pass them.")
        index = _labelled(windows)
        pairs = split.rows(index, allow_leakage=allow_leakage)
        text, gap_s = str(split), split.gap_s
    else:
        index, pairs = _given(windows, split)
        text, gap_s = "parts as given" + (f", {len(pairs)} folds" if len(pairs) > 1 else ""), 0.0
    folds = tuple(Fold(np.sort(a), np.sort(b)) for a, b in pairs)
    for k, fold in enumerate(folds):
        if not len(fold.train) or not len(fold.test):
            side = "training" if not len(fold.train) else "test"
            raise DataError(f"Fold {k} has no labelled {side} window.")
    own = split.units(index) if isinstance(split, Split) else None
    above = None if own is None else (split.by, own)
    proof = _proof(index, folds, gap_s, allow_leakage, above)
    leaky = proof["folds_that_leak"] > 0 or (isinstance(split, Split) and split.by == "random")
    return Plan(index, folds, text, proof, leaky, gap_s, above)


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def _tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _labelled(windows: Windows) -> Windows:
    keep = windows.labelled
    if not keep.any():
        raise DataError("No window has a target. Pass label= to windows().")
    return windows if keep.all() else windows.select(keep)


def _given(windows: Windows | None, split: Any) -> tuple[Windows, list[tuple[IntArray, IntArray]]]:
    pairs = [split] if _is_pair(split) else list(split)
    if not pairs or not all(_is_pair(p) for p in pairs):
        raise ConfigError(
            "split= takes a Split, a (train, test) pair of Windows or of row numbers, or a list "
            "of such pairs."
        )
    if isinstance(pairs[0][0], Windows):
        return _joined(pairs)
    if windows is None:
        raise DataError("Row numbers point into windows: pass them.")
    keep = windows.labelled
    new = np.cumsum(keep) - 1
    rows = [tuple(_rows(part, len(windows)) for part in pair) for pair in pairs]
    return _labelled(windows), [(new[a[keep[a]]], new[b[keep[b]]]) for a, b in rows]


def _is_pair(value: Any) -> bool:
    if not isinstance(value, Sequence) or len(value) != 2:
        return False
    if all(isinstance(v, Windows) for v in value):
        return True
    return all(isinstance(v, np.ndarray) or _all_int(v) for v in value)


def _all_int(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(v, int | np.integer) for v in value)


def _rows(value: Any, n: int) -> IntArray:
    rows = np.asarray(value)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        raise DataError(f"Row {int(rows.max())} of {n} windows does not exist.")
    return np.asarray(rows)


def _joined(
    pairs: Sequence[tuple[Windows, Windows]],
) -> tuple[Windows, list[tuple[IntArray, IntArray]]]:
    """One index that holds every window of the parts once, and the parts' rows in it."""
    parts = [_labelled(w) for pair in pairs for w in pair]
    first = parts[0]
    recordings: list[Any] = []
    number: dict[int, int] = {}
    for w in parts:
        _check_same_kind(first, w)
        for rec in w.recordings:
            if id(rec) not in number:
                number[id(rec)] = len(recordings)
                recordings.append(rec)
    seen: dict[tuple[int, int, int, bytes], int] = {}
    origin: list[tuple[int, int]] = []
    rows: list[IntArray] = []
    for p, w in enumerate(parts):
        at = np.empty(len(w), dtype=np.int64)
        assert w.target is not None  # _labelled has checked
        for i in range(len(w)):
            r = number[id(w.recordings[w.recording[i]])]
            key = (r, int(w.start[i]), int(w.stop[i]), w.target[i].tobytes())
            if key not in seen:
                seen[key] = len(origin)
                origin.append((p, i))
            at[i] = seen[key]
        rows.append(at)
    return _assemble(parts, recordings, number, origin), [
        (rows[2 * k], rows[2 * k + 1]) for k in range(len(pairs))
    ]


def _check_same_kind(first: Windows, other: Windows) -> None:
    for what in ("stream", "rate", "unit", "n_times", "classes", "modality"):
        a, b = getattr(first, what), getattr(other, what)
        if a != b:
            raise DataError(f"Training and test windows differ in {what}: {a!r} and {b!r}.")


def _assemble(
    parts: Sequence[Windows],
    recordings: Sequence[Any],
    number: dict[int, int],
    origin: Sequence[tuple[int, int]],
) -> Windows:
    def gather(of: Any) -> AnyArray:
        columns = [of(w) for w in parts]
        return np.array([columns[p][i] for p, i in origin])

    changes: dict[str, Any] = {
        "recordings": tuple(recordings),
        "recording": gather(
            lambda w: np.array([number[id(rec)] for rec in w.recordings])[w.recording]
        ),
        "start": gather(lambda w: w.start),
        "stop": gather(lambda w: w.stop),
        "block": gather(lambda w: w.block),
        "id": np.arange(len(origin)),
        "target": gather(lambda w: w.target),
    }
    if any(w.axis.names != parts[0].axis.names for w in parts):
        changes["axis"] = Axis([], "misc")  # the index then makes the union itself
    paired = [w for w in parts if isinstance(w, PairedWindows)]
    if paired:
        changes["target_time_s"] = gather(lambda w: w.target_time_s)
        changes["target_sample"] = gather(lambda w: w.target_sample)
        slow = {
            id(fast): other
            for w in paired
            for fast, other in zip(w.recordings, w.target_recordings, strict=True)
        }
        changes["target_recordings"] = tuple(slow[id(rec)] for rec in recordings)
    return replace(parts[0], **changes)


# ---- proof --------------------------------------------------------------------


def _proof(
    windows: Windows,
    folds: Sequence[Fold],
    gap_s: float,
    allow_leakage: bool,
    above: tuple[str, AnyArray] | None,
) -> dict[str, Any]:
    names = {level: _names(windows, level) for level in _SHARED}
    if above is not None:
        names[above[0]] = above[1]
    shared = {level: 0 for level, known in names.items() if known is not None}
    leaks = 0
    for fold in folds:
        for level, known in names.items():
            if known is not None:
                shared[level] += bool(np.isin(known[fold.test], known[fold.train]).any())
        try:
            assert_disjoint(windows.select(fold.train), windows.select(fold.test), gap_s=gap_s)
        except LeakageError:
            if not allow_leakage:
                raise
            leaks += 1
    return {
        "folds": len(folds),
        "folds_that_leak": leaks,
        "folds_that_share": shared,
        "gap_s": gap_s,
        "checked": "every pair of training and test windows of one source, for overlap in time, "
        "least distance and shared blocks",
    }


def _names(windows: Windows, level: str) -> AnyArray | None:
    """Unit of the level each window belongs to; None if the windows do not know."""
    if level == "window":
        return np.arange(len(windows))
    if level == "block" and (windows.block < 0).any():
        return None
    try:
        return groups(windows, level)
    except DataError:
        return None


def level_names(windows: Windows, level: str) -> AnyArray | None:
    """Unit of the level each window belongs to; None where it is not known."""
    return _names(windows, level)
