"""Who is it? How well single people can be told apart by what a model reads."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import DataError
from neuro.evaluate.results import Results
from neuro.evaluate.sources import is_module
from neuro.evaluate.splitting import Split, level_names
from neuro.typing import AnyArray, BoolArray, IntArray

__all__ = ["subject_identity"]

# units of a person that are halved must be at least this many
_LEAST = 2


def subject_identity(models: Mapping[str, Any] | None, windows: Windows, **options: Any) -> Results:
    """Evaluate the same models at naming the subject of a window.

    Half of each person's sessions (else runs, else blocks, else the first
    half of each recording) are learned from, the other half is tested. A high
    score is no fault, but where subjects differ in the target it says what a
    decoder could rely on instead of the effect.

    Parameters
    ----------
    models : mapping of str to object
        As for :func:`neuro.evaluate.evaluate`; functions that train a network
        for each fold are left out.
    windows : Windows
        Any target is replaced.
    **options
        Passed to `evaluate`.

    Returns
    -------
    Results
        Balanced accuracy and its chance level, one over the number of people.

    Raises
    ------
    DataError
        If fewer than two people have parts on both sides.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> rng = np.random.default_rng(0)
    >>> recs = []
    >>> for s in "123":
    ...     x = int(s) + 0.1 * rng.normal(size=(2, 3000))
    ...     eeg = Regular(x, 100, "uV", Axis(["C3", "C4"], "eeg"), "eeg")
    ...     recs.append(Recording({"eeg": eeg}, subject=s, dataset="d"))
    >>> w = windows(recs, stream="eeg", length_s=1)
    >>> subject_identity(None, w, floors=["mean"], seeds=1, controls=()).row("mean").value
    1.0
    """
    from neuro.evaluate.runner import evaluate

    labelled, parts = identity_parts(windows)
    fixed = {k: m for k, m in (models or {}).items() if _is_fixed(m)}
    return evaluate(fixed, labelled, split=parts, task="classification", **options)


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


def _is_fixed(model: Any) -> bool:
    """Whether it is no function that trains a network anew."""
    return is_module(model) or isinstance(model, tuple) or hasattr(model, "fit")


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
