"""Windows labelled with their subject, and how to halve what each person has."""

from dataclasses import replace

import numpy as np

from neuro.data import Windows
from neuro.errors import DataError
from neuro.evaluate.splitting import Split, level_names
from neuro.typing import AnyArray, BoolArray, IntArray

__all__ = ["identity_parts"]

# units of a person that are halved must be at least this many
_LEAST = 2


def identity_parts(windows: Windows) -> tuple[Windows, tuple[IntArray, IntArray]]:
    """Windows labelled with their subject, and rows to learn from and to test.

    Raises
    ------
    DataError
        If fewer than two people have parts on both sides.
    """
    train, test = _halves(windows)
    names = windows.column("subject").astype(str)
    both = np.intersect1d(names[train], names[test])
    if len(both) < 2:
        raise DataError(
            f"{len(both)} people have windows in both halves; telling people apart needs two."
        )
    keep = np.isin(names, both)
    classes, code = np.unique(np.where(keep, names, both[0]), return_inverse=True)
    target = np.where(keep, code.astype(np.float64), np.nan)
    return replace(windows, target=target, classes=tuple(classes.tolist())), (train, test)


def _halves(windows: Windows) -> tuple[IntArray, IntArray]:
    subject = level_names(windows, "subject")
    if subject is None:
        raise DataError(
            "Some recordings do not know their subject: recording.replace(subject=...)."
        )
    for level in ("session", "run", "block"):
        names = level_names(windows, level)
        if names is None:
            continue
        late, known = _late(subject, names, windows)
        if len(np.unique(subject[known & late])) >= 2:
            return np.flatnonzero(known & ~late), np.flatnonzero(known & late)
    split = Split("time", test=0.5, gap_s=windows.length_s)
    return split.rows(replace(windows, target=None, classes=None))[0]


def _late(subject: AnyArray, names: AnyArray, windows: Windows) -> tuple[BoolArray, BoolArray]:
    """Second half of each person's units, and windows of people with enough of them."""
    late, known = np.zeros(len(subject), dtype=bool), np.zeros(len(subject), dtype=bool)
    for person in np.unique(subject):
        mine = np.flatnonzero(subject == person)
        # in the order in which they stand in the recordings
        units, first = np.unique(names[mine], return_index=True)
        order = units[np.lexsort((windows.start[mine][first], windows.recording[mine][first]))]
        if len(order) < _LEAST:
            continue
        known[mine] = True
        late[mine] = np.isin(names[mine], order[(len(order) + 1) // 2 :])
    return late, known
