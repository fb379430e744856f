"""What windows are labelled with: events, facts of the recording, or a function."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neuro.data.events import Events
from neuro.data.recording import Recording
from neuro.errors import DataError, did_you_mean
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["FACTS", "Label", "covering_events", "encode_labels", "label_values"]

Label = str | Callable[[Recording, float, float], Any] | None
FACTS = ("subject", "session", "run", "task", "group", "site", "sex", "age", "dataset")

# Seconds by which an event may fall short of a window and still cover it:
# onsets are kept as decimals, borders of windows as sample times.
_SLACK_S = 1e-6


def covering_events(events: Events, start_s: FloatArray, stop_s: FloatArray) -> IntArray:
    """For each window the event that began last among those that cover it.

    Parameters
    ----------
    events : Events
        On the clock of the windows.
    start_s, stop_s : ndarray, shape (n,)
        Half-open windows in seconds.

    Returns
    -------
    ndarray of int, shape (n,)
        Row of `events`; -1 where none covers the whole window.

    Examples
    --------
    >>> events = Events.make([0.0, 2.0], ["sleep", "spindle"], duration_s=[10.0, 1.0])
    >>> covering_events(events, np.array([0.0, 2.0, 9.5]), np.array([1.0, 3.0, 10.5])).tolist()
    [0, 1, -1]
    """
    end = events.onset_s + events.duration_s
    longer = _previous_longer(end)
    row = np.searchsorted(events.onset_s, start_s + _SLACK_S, side="right") - 1
    open_ = np.flatnonzero(row >= 0)
    # as many rounds as events lie inside one another, not as there are events
    while len(open_):
        open_ = open_[end[row[open_]] < stop_s[open_] - _SLACK_S]
        row[open_] = longer[row[open_]]
        open_ = open_[row[open_] >= 0]
    return np.asarray(row)


def _previous_longer(end: FloatArray) -> IntArray:
    """For each event the last one before it that ends later; -1 for none."""
    out = np.full(len(end), -1, dtype=np.int64)
    stack: list[int] = []
    values = end.tolist()
    for i, value in enumerate(values):
        while stack and values[stack[-1]] <= value:
            stack.pop()
        if stack:
            out[i] = stack[-1]
        stack.append(i)
    return out


def label_values(
    recordings: Sequence[Recording],
    recording: IntArray,
    start_s: FloatArray,
    stop_s: FloatArray,
    event: IntArray,
    label: Label,
) -> tuple[list[Any], IntArray]:
    """Label of each window, and the block of the event that covers it.

    Parameters
    ----------
    recordings : sequence of Recording
        The recordings.
    recording : ndarray of int, shape (n,)
        Recording number of each window.
    start_s, stop_s : ndarray, shape (n,)
        Session time.
    event : ndarray of int, shape (n,)
        Row of the recording's session events the window is locked to; -1 for
        the one that covers it.
    label : str, callable or None
        See :func:`neuro.data.windows`.

    Returns
    -------
    values : list
        None where missing; all None without a label.
    block : ndarray of int, shape (n,)
        -1 where no event with a block covers the window.
    """
    values: list[Any] = [None] * len(recording)
    block = np.full(len(recording), -1, dtype=np.int64)
    for r in np.unique(recording).tolist():
        rec, at = recordings[r], np.flatnonzero(recording == r)
        events = rec.session_events()
        rows = np.where(event[at] >= 0, event[at], covering_events(events, start_s[at], stop_s[at]))
        found = rows >= 0
        block[at[found]] = events.block[rows[found]]
        if label is None:
            continue
        if callable(label):
            for i in at.tolist():
                values[i] = label(rec, float(start_s[i]), float(stop_s[i]))
        elif label in FACTS:
            fact = getattr(rec, label)
            for i in at.tolist():
                values[i] = None if fact == "" else fact
        else:
            column = events.column(label)[rows[found]] if len(events) else ()
            for i, value in zip(at[found].tolist(), column, strict=True):
                values[i] = None if isinstance(value, str) and value == "" else value
    return values, block


def encode_labels(
    values: Sequence[Any], classes: Sequence[str] | None
) -> tuple[FloatArray, tuple[str, ...] | None]:
    """Labels as numbers, and the class names if they are names.

    Parameters
    ----------
    values : sequence
        Names, numbers or arrays; None where missing.
    classes : sequence of str, optional
        Order of the class names; others become missing. Sorted if omitted.

    Returns
    -------
    target : ndarray of float, shape (n, ...)
        NaN where missing.
    classes : tuple of str or None

    Raises
    ------
    DataError
        If no window has a label, or labels differ in kind or shape.
    """
    known: BoolArray = np.array([v is not None for v in values], dtype=bool)
    if not known.any():
        raise DataError("No window has a label: no event covers one. Check label= and length_s.")
    named = {str(v) for v in values if isinstance(v, str)}
    if named and any(v is not None and not isinstance(v, str) for v in values):
        raise DataError(f"Labels are names and numbers at once, e.g. {sorted(named)[0]!r}.")
    if named or classes is not None:
        names = tuple(classes) if classes is not None else tuple(sorted(named))
        number = {name: float(i) for i, name in enumerate(names)}
        target = np.array([np.nan if v is None else number.get(str(v), np.nan) for v in values])
        if not np.isfinite(target).any():
            first = str(next(v for v in values if v is not None))
            raise DataError(
                f"No window is of a class {names}: {first!r}. {did_you_mean(first, names)}"
            )
        return target, names
    shapes = {np.shape(v) for v in values if v is not None}
    if len(shapes) > 1:
        raise DataError(f"Labels differ in shape: {sorted(shapes)[:4]}.")
    empty = np.full(shapes.pop(), np.nan)
    return np.array([empty if v is None else v for v in values], dtype=np.float64), None
