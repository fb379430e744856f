"""Where windows may lie: rates, segments, events and a common axis."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from neuro.data.axis import Axis
from neuro.data.events import Events
from neuro.data.rates import sample_index
from neuro.data.recording import Recording
from neuro.data.streams import Irregular, Regular, Static, Stream
from neuro.errors import DataError, UnitError, did_you_mean
from neuro.typing import IntArray

__all__ = [
    "TICK",
    "check_alike",
    "common_axis",
    "locked",
    "nothing_to_cut",
    "rate_of",
    "segments_of",
    "sliding",
    "window_length",
]

# Irregular streams have no samples; their windows count microseconds, so that
# the same integer half-open rules serve them.
TICK = Fraction(1_000_000)


def rate_of(stream: Stream) -> Fraction:
    """Samples a second; ticks for point-like streams, 1 for statics."""
    if isinstance(stream, Regular):
        return stream.rate
    return TICK if isinstance(stream, Irregular) else Fraction(1)


def segments_of(stream: Stream) -> IntArray:
    """Half-open ranges, in samples or ticks, that no window crosses."""
    if isinstance(stream, Regular):
        return stream.segments
    if isinstance(stream, Irregular):
        return np.round(stream.support * float(TICK)).astype(np.int64)
    return np.array([[0, 1]], dtype=np.int64)


def check_alike(recs: Sequence[Recording], streams: Sequence[Stream], name: str) -> None:
    """Refuse recordings whose streams cannot stand in one batch.

    Raises
    ------
    DataError
        If kind, modality, rate or atlas differ.
    UnitError
        If units differ.
    """
    first = streams[0]
    for rec, s in zip(recs, streams, strict=True):
        if type(s) is not type(first) or s.modality != first.modality:
            raise DataError(
                f"Stream {name!r} of {rec.id!r} is {type(s).__name__} ({s.modality}), the first "
                f"recording's is {type(first).__name__} ({first.modality})."
            )
        if isinstance(s, Regular) and isinstance(first, Regular):
            if s.rate != first.rate:
                raise DataError(
                    f"{rec.id!r} is sampled at {s.sfreq:g} Hz, {recs[0].id!r} at "
                    f"{first.sfreq:g} Hz. Bring them to one rate with an InputContract: "
                    "[contract.conform(rec) for rec in recordings]."
                )
            if s.axis.atlas != first.axis.atlas:
                raise DataError(
                    f"{rec.id!r} has atlas {s.axis.atlas!r}, {recs[0].id!r} {first.axis.atlas!r}."
                )
        if (
            not isinstance(s, Irregular)
            and not isinstance(first, Irregular)
            and s.unit != first.unit
        ):
            raise UnitError(
                f"{rec.id!r} is in {s.unit}, {recs[0].id!r} in {first.unit}. Convert with "
                "stream.to_unit(...) or an InputContract."
            )


def window_length(streams: Sequence[Stream], rate: Fraction, length_s: float | None) -> int:
    """Samples in a window; the shortest segment if no length is given.

    Raises
    ------
    DataError
        If the length is not positive or shorter than a sample.
    """
    if isinstance(streams[0], Static):
        return 1
    if length_s is None:
        return int(min(np.diff(segments_of(s), axis=1).min() for s in streams))
    if not (np.isfinite(length_s) and length_s > 0):
        raise DataError(f"length_s must be a positive number of seconds, got {length_s!r}.")
    n_times = round(length_s * rate)
    if n_times < 1:
        raise DataError(f"length_s={length_s} is shorter than one sample ({float(1 / rate):g} s).")
    return int(n_times)


def sliding(stream: Stream, n_times: int, step: int) -> tuple[IntArray, IntArray]:
    """First sample and segment of every window that slides over the segments."""
    starts, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, (a, b) in enumerate(segments_of(stream).tolist()):
        here = np.arange(a, b - n_times + 1, step, dtype=np.int64)
        starts.append(here)
        numbers.append(np.full(len(here), number))
    return np.concatenate(starts), np.concatenate(numbers)


def locked(
    rec: Recording, name: str, kinds: Sequence[str], offset_s: float, n_times: int
) -> tuple[IntArray, IntArray, IntArray]:
    """First sample, segment and event of every window locked to an event.

    The way from the event to the end of its window must lie in one segment:
    what stands before a border need not be what came before it in time.

    Raises
    ------
    DataError
        If an event lies outside the recording.
    """
    stream, events = rec.stream(name), rec.session_events()
    if isinstance(stream, Static):
        raise DataError("A static stream has no time to lock to.")
    rate, clock, segments = rate_of(stream), rec.clock(name), segments_of(stream)
    t0 = stream.t0_s if isinstance(stream, Regular) else 0.0
    chosen = np.ones(len(events), bool) if "*" in kinds else np.isin(events.type, list(kinds))
    rows = np.flatnonzero(chosen)
    _check_inside(rec, name, events, rows)
    onset = np.asarray(clock.to_stream(events.onset_s[rows])).tolist()
    start = np.array([sample_index(t + offset_s, t0, rate) for t in onset], dtype=np.int64)
    # the sample in whose interval the onset lies: the last one at or before it
    held = np.array([-sample_index(-t, -t0, rate) for t in onset], dtype=np.int64)
    seg = np.searchsorted(segments[:, 0], np.minimum(start, held), side="right") - 1
    fits = seg >= 0
    fits &= np.maximum(start + n_times, held + 1) <= segments[np.maximum(seg, 0), 1]
    return start[fits], seg[fits], rows[fits]


def _check_inside(rec: Recording, name: str, events: Events, rows: IntArray) -> None:
    low, high = rec.span_s
    # an event that began before a slice of the recording is no defect
    end = np.maximum(events.onset_s[rows] + events.duration_s[rows], events.onset_s[rows])
    outside = (end < low - 1e-9) | (events.onset_s[rows] >= high)
    if outside.any():
        e = int(rows[np.flatnonzero(outside)[0]])
        raise DataError(
            f"Event {events.type[e]!r} at {events.onset_s[e]:g} s lies outside {rec.id!r}, which "
            f"covers [{low:g}, {high:g}) s. Its onset may count from the start of the session: "
            f"give stream {name!r} a Clock, or drop the event."
        )


def nothing_to_cut(
    recs: Sequence[Recording],
    streams: Sequence[Stream],
    n_times: int,
    rate: Fraction,
    kinds: Sequence[str] | None,
) -> str:
    """Why no window could be cut."""
    longest = max(int(np.diff(segments_of(s), axis=1).max()) for s in streams)
    length, window = float(longest / rate), float(n_times / rate)
    have = f"The longest segment is {length:g} s, the window {window:g} s."
    if kinds is None:
        return f"No window fits. {have} Shorten length_s."
    types = sorted({t for rec in recs for t in np.unique(rec.events.type).tolist()})
    missing = [k for k in kinds if k != "*" and k not in types]
    if missing:
        return f"No event of type {missing[0]!r}. {did_you_mean(missing[0], types)}"
    return f"No window around the events lies inside a segment. {have} Change offset_s or length_s."


def common_axis(streams: Sequence[Stream]) -> Axis:
    """Union of the axes, in order of first appearance; positions of the first."""
    axes = [s.axis for s in streams if s.axis is not None]
    if not axes:
        return Axis([], "misc")
    first = axes[0]
    frames = {a.frame for a in axes if a.positions is not None}
    if len(frames) > 1:
        raise DataError(
            f"Recordings use several coordinate frames {sorted(str(f) for f in frames)}. "
            "Bring positions to one frame, or drop them: axis.replace(positions=None)."
        )
    if all(a.names == first.names for a in axes):
        return first
    rows: dict[str, tuple[str, Any]] = {}
    for axis in axes:
        for i, name in enumerate(axis.names):
            where = np.full(3, np.nan) if axis.positions is None else axis.positions[i]
            rows.setdefault(name, (axis.types[i], where))
    return Axis(
        list(rows),
        [kind for kind, _ in rows.values()],
        positions=np.stack([where for _, where in rows.values()]),
        frame=frames.pop() if frames else None,
        atlas=first.atlas,
        reference=first.reference,
    )
