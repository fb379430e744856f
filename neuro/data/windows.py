"""Windows: an index table apart from the samples, and the batches read through it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from neuro.data.axis import Axis
from neuro.data.batch import Batch, EventBatch, StaticBatch
from neuro.data.recording import Recording
from neuro.data.streams import Irregular, Regular, Static
from neuro.errors import DataError, UnitError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

if TYPE_CHECKING:
    from neuro.data.contract import InputContract

__all__ = ["Label", "Windows", "windows"]

Label = str | Callable[[Recording, float, float], Any] | None

# Irregular streams have no samples; their windows count microseconds, so that
# the same integer half-open rules serve them.
_TICK = Fraction(1_000_000)
_FACTS = ("subject", "session", "run", "task", "group", "sex", "age", "dataset")


@dataclass(frozen=True, eq=False)
class Windows:
    """An index of windows over recordings; samples are read when asked for.

    Made by :func:`windows`; supports ``len``, slicing by :meth:`select`,
    reading by :meth:`batch`, and independent parts by :meth:`split`.

    Parameters
    ----------
    recordings : tuple of Recording
        What the windows point into.
    stream : str
        Name of the stream.
    recording, start, stop : ndarray of int, shape (n,)
        Recording number and half-open sample range of each window.
    block : ndarray of int, shape (n,)
        Windows of one block of one recording are not independent; -1 unknown.
    id : ndarray of int, shape (n,)
        Stable number of each window.
    target : ndarray of float, shape (n, ...), optional
        Class number or value; NaN where missing.
    classes : tuple of str, optional
        Names of the class numbers.
    """

    recordings: tuple[Recording, ...]
    stream: str
    recording: IntArray
    start: IntArray
    stop: IntArray
    block: IntArray
    id: IntArray
    target: FloatArray | None = None
    classes: tuple[str, ...] | None = None
    axis: Axis = field(default_factory=lambda: Axis([], "misc"))

    def __post_init__(self) -> None:
        if not len(self.axis):
            object.__setattr__(self, "axis", _common_axis(self._streams()))

    def __len__(self) -> int:
        return len(self.start)

    def __repr__(self) -> str:
        what = f"{len(self)} x {self.length_s:g} s of {self.stream!r} ({self.modality})"
        who = (
            f"{len(np.unique(self.column('subject')))} subjects, {len(self.recordings)} recordings"
        )
        labels = ""
        if self.classes is not None and self.target is not None:
            counts = [int((self.target == i).sum()) for i in range(len(self.classes))]
            pairs = zip(self.classes, counts, strict=True)
            labels = "; " + ", ".join(f"{c} {n}" for c, n in list(pairs)[:8])
        elif self.target is not None:
            labels = f"; target {tuple(self.target.shape[1:]) or 'scalar'}"
        return f"Windows({what}; {who}{labels})"

    # ---- what the windows are ------------------------------------------------

    def _streams(self) -> list[Regular | Irregular | Static]:
        return [rec.stream(self.stream) for rec in self.recordings]

    @property
    def rate(self) -> Fraction:
        """Samples a second; 1,000,000 for point-like streams, 1 for statics."""
        return _rate(self.recordings[0].stream(self.stream))

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz."""
        return float(self.rate)

    @property
    def n_times(self) -> int:
        """Samples in a window."""
        return int(self.stop[0] - self.start[0]) if len(self) else 0

    @property
    def length_s(self) -> float:
        """Length of a window in seconds."""
        return float(self.n_times / self.rate)

    @property
    def ch_names(self) -> tuple[str, ...]:
        """Union of the recordings' channels, in order of first appearance."""
        return self.axis.names

    @property
    def unit(self) -> str:
        """Unit of the samples."""
        stream = self.recordings[0].stream(self.stream)
        return "counts" if isinstance(stream, Irregular) else stream.unit

    @property
    def modality(self) -> str:
        """Modality of the stream."""
        return self.recordings[0].stream(self.stream).modality

    @property
    def labelled(self) -> BoolArray:
        """True where a window has its whole target, shape (n,)."""
        if self.target is None:
            return np.zeros(len(self), bool)
        return np.asarray(np.isfinite(self.target).reshape(len(self), -1).all(axis=1))

    def start_s(self) -> FloatArray:
        """Session time of each window's first sample, shape (n,)."""
        return self._session_time(self.start)

    def stop_s(self) -> FloatArray:
        """Session time at which each window ends, shape (n,)."""
        return self._session_time(self.stop)

    def _session_time(self, sample: IntArray) -> FloatArray:
        t0 = np.zeros(len(self.recordings))
        a, b = np.ones(len(self.recordings)), np.zeros(len(self.recordings))
        for i, rec in enumerate(self.recordings):
            stream = rec.stream(self.stream)
            t0[i] = 0.0 if isinstance(stream, Static | Irregular) else stream.t0_s
            a[i], b[i] = rec.clock(self.stream).a, rec.clock(self.stream).b
        r = self.recording
        return np.asarray(a[r] * (t0[r] + sample / float(self.rate)) + b[r])

    def column(self, name: str) -> AnyArray:
        """A fact of each window's recording (subject, session, run, age, …), or block.

        Raises
        ------
        DataError
            If the fact is unknown.
        """
        if name == "block":
            return self.block
        if name == "recording":
            return self.recording
        if name not in _FACTS:
            raise DataError(f"No column {name!r}. {did_you_mean(name, (*_FACTS, 'block'))}")
        values = [getattr(rec, name) for rec in self.recordings]
        facts = np.array([np.nan if v is None else v for v in values])
        return np.asarray(facts[self.recording]) if len(facts) else facts

    # ---- reading -------------------------------------------------------------

    def batch(self, indices: Any = None) -> Batch:
        """Read windows into one common tensor.

        Parameters
        ----------
        indices : sequence of int, optional
            Rows of this index, in any order; all if omitted.

        Returns
        -------
        Batch
            `x` float32 of shape (batch, channel, time).

        Raises
        ------
        DataError
            If the stream is point-like or static (see :meth:`event_batch`,
            :meth:`static_batch`), or an index is out of range.
        """
        rows = self._rows(indices)
        if not isinstance(self.recordings[0].stream(self.stream), Regular):
            raise DataError(
                f"Stream {self.stream!r} is not sampled: use event_batch() or static_batch(), "
                "or bin spikes first with .bin(bin_s)."
            )
        import torch

        x = np.empty((len(rows), len(self.axis), self.n_times), dtype=np.float32)
        rec_index = self.recording[rows]
        present, positions = self._layout()
        channel_mask = present[rec_index]
        time_mask = np.ones((len(rows), self.n_times), dtype=bool)
        for r in np.unique(rec_index).tolist():
            at = np.flatnonzero(rec_index == r)
            self._fill(r, at, self.start[rows[at]], x, channel_mask, time_mask)
        return Batch(
            x=torch.from_numpy(x),
            sfreq=self.sfreq,
            ch_names=self.axis.names,
            channel_mask=torch.from_numpy(channel_mask),
            time_mask=torch.from_numpy(time_mask),
            positions=torch.from_numpy(positions[rec_index]),
            unit=self.unit,
            modality=self.modality,
            frame=self.axis.frame,
            start_s=torch.from_numpy(self.select(rows).start_s()),
            **self._common(rows),
        )

    def _fill(
        self,
        r: int,
        at: IntArray,
        starts: IntArray,
        x: FloatArray,
        channel_mask: BoolArray,
        time_mask: BoolArray,
    ) -> None:
        """Read the windows of recording `r` into rows `at` of the batch."""
        stream = self.recordings[r].regular(self.stream)
        same = stream.axis.names == self.axis.names
        gather = getattr(stream.data, "gather", None)
        if same and gather is not None and stream.valid is None and stream.scale is None:
            gather(starts, self.n_times, x, at)
        else:
            where = None if same else self.axis.index(stream.axis.names)
            for k, start in zip(at.tolist(), starts.tolist(), strict=True):
                block = stream.read(start, start + self.n_times)
                if where is None:
                    x[k] = block
                else:
                    x[k] = 0.0
                    x[k, where] = block
        if stream.valid is not None:
            self._mask_missing(at, x, channel_mask, time_mask)
        absent = ~channel_mask[at[0]] if len(at) else np.zeros(0, bool)
        if stream.valid is None and absent.any():
            x[np.ix_(at, np.flatnonzero(absent))] = 0.0

    @staticmethod
    def _mask_missing(
        at: IntArray, x: FloatArray, channel_mask: BoolArray, time_mask: BoolArray
    ) -> None:
        block = x[at]
        missing = np.isnan(block)
        # a channel without any sample is an absent channel, not a hole in time
        channel_mask[at] &= ~missing.all(axis=2)
        present = channel_mask[at]
        time_mask[at] = ~(missing & present[:, :, None]).any(axis=1)
        usable = present[:, :, None] & time_mask[at][:, None, :]
        x[at] = np.where(usable, block, np.float32(0.0))

    def event_batch(self, indices: Any = None) -> EventBatch:
        """Read windows of a point-like stream, packed."""
        rows = self._rows(indices)
        import torch

        times, units, counts = [], [], []
        for row in rows.tolist():
            stream = self.recordings[self.recording[row]].stream(self.stream)
            if not isinstance(stream, Irregular):
                raise DataError(f"Stream {self.stream!r} is sampled or static: use batch().")
            t0, t1 = self.start[row] / float(_TICK), self.stop[row] / float(_TICK)
            a, b = np.searchsorted(stream.times_s, [t0, t1])
            where = self.axis.index(stream.units.names)
            times.append(stream.times_s[a:b] - t0)
            units.append(where[stream.unit_index[a:b]])
            counts.append(b - a)
        return EventBatch(
            times_s=torch.from_numpy(np.concatenate([np.zeros(0), *times])),
            unit_index=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *units])),
            offsets=torch.from_numpy(np.cumsum([0, *counts]).astype(np.int64)),
            length_s=self.length_s,
            unit_names=self.axis.names,
            modality=self.modality,
            start_s=torch.from_numpy(self.select(rows).start_s()),
            **self._common(rows),
        )

    def static_batch(self, indices: Any = None) -> StaticBatch:
        """Read arrays without time, one a row."""
        rows = self._rows(indices)
        import torch

        statics = []
        for r in self.recording[rows].tolist():
            stream = self.recordings[r].stream(self.stream)
            if not isinstance(stream, Static):
                raise DataError(f"Stream {self.stream!r} has time: use batch() or event_batch().")
            statics.append(stream)
        shapes = {s.array.shape for s in statics}
        if len(shapes) > 1:
            raise DataError(f"Statics differ in shape: {sorted(shapes)[:4]}. Resample them first.")
        affines = [s.affine for s in statics]
        known = [a for a in affines if a is not None]
        return StaticBatch(
            array=torch.from_numpy(np.stack([s.array for s in statics]).astype(np.float32)),
            dims=statics[0].dims,
            unit=statics[0].unit,
            affine=torch.from_numpy(np.stack(known)) if len(known) == len(affines) else None,
            **self._common(rows),
        )

    def _rows(self, indices: Any) -> IntArray:
        if indices is None:
            return np.arange(len(self))
        rows = np.atleast_1d(np.asarray(indices))
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        if len(rows) and (rows.min() < -len(self) or rows.max() >= len(self)):
            raise DataError(f"Window {int(rows.max())} of {len(self)} does not exist.")
        return np.asarray(rows % max(1, len(self)))

    def _layout(self) -> tuple[BoolArray, FloatArray]:
        """Which channels each recording has (and are good), and where they are."""
        cached: tuple[BoolArray, FloatArray] | None = self.__dict__.get("_layout_cache")
        if cached is not None:
            return cached
        n = len(self.axis)
        present = np.zeros((len(self.recordings), n), dtype=bool)
        positions = np.full((len(self.recordings), n, 3), np.nan, dtype=np.float32)
        for r, stream in enumerate(self._streams()):
            if isinstance(stream, Static) or stream.axis is None:
                continue
            at = self.axis.index(stream.axis.names)
            present[r, at] = ~stream.axis.bad
            if stream.axis.positions is not None:
                positions[r, at] = stream.axis.positions
        self.__dict__["_layout_cache"] = (present, positions)
        return present, positions

    def _common(self, rows: IntArray) -> dict[str, Any]:
        import torch

        out: dict[str, Any] = {"index": torch.from_numpy(self.id[rows].astype(np.int64))}
        if self.target is not None:
            target = self.target[rows].astype(np.float32)
            out["target"] = torch.from_numpy(target)
            out["target_mask"] = torch.from_numpy(np.isfinite(target))
        recs = [self.recordings[r] for r in self.recording[rows].tolist()]
        sex = {"F": 0.0, "f": 0.0, "female": 0.0, "M": 1.0, "m": 1.0, "male": 1.0}
        out["covariates"] = {
            "age": torch.tensor([np.nan if r.age is None else r.age for r in recs]),
            "sex": torch.tensor([sex.get(r.sex, np.nan) for r in recs]),
        }
        for name in ("subject", "session", "run"):
            out[name] = tuple(getattr(r, name) for r in recs)
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_layout_cache"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    # ---- choosing ------------------------------------------------------------

    def select(self, indices: Any) -> Self:
        """Index of the chosen windows; ids stay (array of int or bool, or slice)."""
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else self._rows(indices)
        return replace(
            self,
            recording=self.recording[rows],
            start=self.start[rows],
            stop=self.stop[rows],
            block=self.block[rows],
            id=self.id[rows],
            target=None if self.target is None else self.target[rows],
        )

    def split(
        self,
        by: str,
        *,
        test: float | Iterable[str] = 0.25,
        gap_s: float = 0.0,
        seed: Seed = 0,
        allow_leakage: bool = False,
    ) -> tuple[Self, Self]:
        """Two independent parts; see :func:`neuro.data.splits.split`."""
        from neuro.data.splits import split

        train, held_out = split(
            self, by, test=test, gap_s=gap_s, seed=seed, allow_leakage=allow_leakage
        )
        return self.select(train), self.select(held_out)

    def folds(
        self,
        by: str,
        *,
        n: int | Literal["leave-one-out"] = 5,
        gap_s: float = 0.0,
        seed: Seed = 0,
        allow_leakage: bool = False,
    ) -> list[tuple[Self, Self]]:
        """Cross-validation folds; see :func:`neuro.data.splits.folds`."""
        from neuro.data.splits import folds

        pairs = folds(self, by, n=n, gap_s=gap_s, seed=seed, allow_leakage=allow_leakage)
        return [(self.select(a), self.select(b)) for a, b in pairs]

    def contract(self) -> "InputContract":
        """What a model trained on these windows accepts."""
        from neuro.data.contract import InputContract

        stream = self.recordings[0].stream(self.stream)
        return InputContract(
            modality=self.modality,
            sfreq=self.rate,
            unit=self.unit,
            ch_names=self.axis.names,
            atlas=None if isinstance(stream, Static) else stream.axis.atlas,
            n_times=self.n_times,
        )

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("Windows are read in batches: for rows in …: windows.batch(rows).")


def windows(
    recordings: Recording | Sequence[Recording],
    *,
    stream: str,
    length_s: float | None = None,
    step_s: float | None = None,
    align: str | Iterable[str] | None = None,
    offset_s: float = 0.0,
    label: Label = None,
    classes: Sequence[str] | None = None,
) -> Windows:
    """Cut recordings into windows of equal length that never cross a segment.

    Without `align`, windows slide over every segment. With it, one window
    starts `offset_s` after each event of the given types; a window that would
    cross a segment's border is left out.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        All with the stream, at one rate and in one unit.
    stream : str
        Name of the stream.
    length_s : float, optional
        Window length in seconds; the whole (shortest) segment if omitted. Not
        used for statics.
    step_s : float, optional
        From window to window; `length_s` if omitted. Sliding only.
    align : str or iterable of str, optional
        Event types to lock to; ``"*"`` for all.
    offset_s : float
        From event to window start, in seconds; may be negative.
    label : str or callable, optional
        ``"type"``, ``"value"`` or another event column: taken from the event
        locked to, or for sliding windows from the event that covers the whole
        window (none: missing). ``"subject"``, ``"group"``, ``"age"``, …: a
        fact of the recording. A callable gets (recording, start_s, stop_s) in
        session time and returns a number, an array or a name.
    classes : sequence of str, optional
        Order of the class names; others become missing. Sorted if omitted.

    Returns
    -------
    Windows

    Raises
    ------
    DataError
        If there is nothing to cut: no recording, window longer than every
        segment, no event of the types, events outside the recording, or rates
        that differ.
    UnitError
        If units differ between recordings.

    Examples
    --------
    >>> import numpy as np
    >>> from neuro.data import Axis, Recording, Regular
    >>> eeg = Regular(np.ones((2, 1000)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> windows(Recording({"eeg": eeg}), stream="eeg", length_s=1.0)
    Windows(4 x 1 s of 'eeg' (eeg); 1 subjects, 1 recordings)
    """
    recs = (recordings,) if isinstance(recordings, Recording) else tuple(recordings)
    if not recs:
        raise DataError("No recordings were given to cut into windows.")
    streams = [rec.stream(stream) for rec in recs]
    _check_alike(recs, streams, stream)
    rate = _rate(streams[0])
    n_times = _length(streams, rate, length_s)
    kinds = [align] if isinstance(align, str) else None if align is None else list(align)
    rows: list[tuple[int, int, int, int]] = []
    for r, rec in enumerate(recs):
        if kinds is None:
            step = n_times if step_s is None else round(step_s * rate)
            if step < 1:
                raise DataError(f"step_s={step_s} is shorter than one sample ({1 / rate} s).")
            rows += [(r, s, b, -1) for s, b in _sliding(streams[r], n_times, step)]
        else:
            rows += [(r, s, b, e) for s, b, e in _locked(rec, stream, kinds, offset_s, n_times)]
    if not rows:
        raise DataError(_nothing(recs, streams, n_times, rate, kinds))
    table = np.array(rows, dtype=np.int64)
    out = Windows(
        recordings=recs,
        stream=stream,
        recording=table[:, 0],
        start=table[:, 1],
        stop=table[:, 1] + n_times,
        block=table[:, 2],
        id=np.arange(len(table)),
    )
    if label is None:
        return out
    values, blocks = _labels(out, label, table[:, 3])
    target, names = _encode(values, classes)
    covered = blocks >= 0
    return replace(out, target=target, classes=names, block=np.where(covered, blocks, out.block))


def _rate(stream: Regular | Irregular | Static) -> Fraction:
    if isinstance(stream, Regular):
        return stream.rate
    return _TICK if isinstance(stream, Irregular) else Fraction(1)


def _segments(stream: Regular | Irregular | Static) -> IntArray:
    if isinstance(stream, Regular):
        return stream.segments
    if isinstance(stream, Irregular):
        return np.round(stream.support * float(_TICK)).astype(np.int64)
    return np.array([[0, 1]], dtype=np.int64)


def _check_alike(
    recs: Sequence[Recording], streams: Sequence[Regular | Irregular | Static], name: str
) -> None:
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
            if s.unit != first.unit:
                raise UnitError(
                    f"{rec.id!r} is in {s.unit}, {recs[0].id!r} in {first.unit}. Convert with "
                    "stream.to_unit(...) or an InputContract."
                )
            if s.axis.atlas != first.axis.atlas:
                raise DataError(
                    f"{rec.id!r} has atlas {s.axis.atlas!r}, {recs[0].id!r} {first.axis.atlas!r}."
                )


def _length(
    streams: Sequence[Regular | Irregular | Static], rate: Fraction, length_s: float | None
) -> int:
    if isinstance(streams[0], Static):
        return 1
    if length_s is None:
        return int(min(np.diff(_segments(s), axis=1).min() for s in streams))
    if not (np.isfinite(length_s) and length_s > 0):
        raise DataError(f"length_s must be a positive number of seconds, got {length_s!r}.")
    n_times = round(length_s * rate)
    if n_times < 1:
        raise DataError(f"length_s={length_s} is shorter than one sample ({float(1 / rate):g} s).")
    return int(n_times)


def _sliding(
    stream: Regular | Irregular | Static, n_times: int, step: int
) -> Iterator[tuple[int, int]]:
    segments = _segments(stream)
    # one continuous stretch is not a block: nothing says its parts depend
    numbered = len(segments) > 1
    for block, (a, b) in enumerate(segments.tolist()):
        for start in range(a, b - n_times + 1, step):
            yield start, block if numbered else -1


def _locked(
    rec: Recording, name: str, kinds: Sequence[str], offset_s: float, n_times: int
) -> Iterator[tuple[int, int, int]]:
    stream, events = rec.stream(name), rec.session_events()
    if isinstance(stream, Static):
        raise DataError("A static stream has no time to lock to.")
    rate, clock, segments = _rate(stream), rec.clock(name), _segments(stream)
    t0 = stream.t0_s if isinstance(stream, Regular) else 0.0
    chosen = np.ones(len(events), bool) if "*" in kinds else np.isin(events.type, kinds)
    for e in np.flatnonzero(chosen).tolist():
        onset = float(clock.to_stream(events.onset_s[e]))
        if not stream.t0_s - 1e-9 <= onset < stream.stop_s:
            raise DataError(
                f"Event {events.type[e]!r} at {onset:g} s lies outside stream {name!r} of "
                f"{rec.id!r}, which covers [{stream.t0_s:g}, {stream.stop_s:g}) s. Its clock may "
                "be the session's: give the recording a Clock, or drop the event."
            )
        start = round(((onset + offset_s) - t0) * rate)
        seg = int(np.searchsorted(segments[:, 0], start, side="right")) - 1
        if seg >= 0 and start + n_times <= segments[seg, 1]:
            block = int(events.block[e])
            yield start, block if block >= 0 else (seg if len(segments) > 1 else -1), e


def _nothing(
    recs: Sequence[Recording],
    streams: Sequence[Regular | Irregular | Static],
    n_times: int,
    rate: Fraction,
    kinds: Sequence[str] | None,
) -> str:
    longest = max(int(np.diff(_segments(s), axis=1).max()) for s in streams)
    have = f"The longest segment is {float(longest / rate):g} s, the window {n_times / rate:g} s."
    if kinds is None:
        return f"No window fits. {have} Shorten length_s."
    types = sorted({t for rec in recs for t in np.unique(rec.events.type).tolist()})
    missing = [k for k in kinds if k != "*" and k not in types]
    if missing:
        return f"No event of type {missing[0]!r}. {did_you_mean(missing[0], types)}"
    return f"No window around the events lies inside a segment. {have} Change offset_s or length_s."


def _labels(index: Windows, label: Label, event: IntArray) -> tuple[list[Any], IntArray]:
    starts, stops = index.start_s(), index.stop_s()
    blocks = np.full(len(index), -1, dtype=np.int64)
    values: list[Any] = []
    tables = [rec.session_events() for rec in index.recordings]
    for i, r in enumerate(index.recording.tolist()):
        rec = index.recordings[r]
        if callable(label):
            values.append(label(rec, float(starts[i]), float(stops[i])))
        elif label in _FACTS:
            fact = getattr(rec, str(label))
            values.append(None if fact in ("", None) else fact)
        else:
            column = tables[r].column(str(label))
            e = int(event[i])
            if e < 0:
                e = _covering(tables[r], float(starts[i]), float(stops[i]))
                if e >= 0:
                    blocks[i] = tables[r].block[e]
            values.append(None if e < 0 else column[e])
    return values, blocks


def _covering(events: Any, start_s: float, stop_s: float) -> int:
    """The event that began last among those that cover the whole window; -1 for none."""
    tolerance = 1e-6
    over = (events.onset_s <= start_s + tolerance) & (
        events.onset_s + events.duration_s >= stop_s - tolerance
    )
    found = np.flatnonzero(over)
    return int(found[-1]) if len(found) else -1


def _encode(
    values: Sequence[Any], classes: Sequence[str] | None
) -> tuple[FloatArray, tuple[str, ...] | None]:
    named = [str(v) for v in values if isinstance(v, str | np.str_)]
    if named or classes is not None:
        names = tuple(classes) if classes is not None else tuple(sorted(set(named)))
        number = {name: float(i) for i, name in enumerate(names)}
        return np.array([number.get(str(v), np.nan) for v in values]), names
    shapes = {np.shape(v) for v in values if v is not None}
    if not shapes:
        raise DataError("No window has a label: no event covers one. Check label= and length_s.")
    if len(shapes) > 1:
        raise DataError(f"Labels differ in shape: {sorted(shapes)[:4]}.")
    empty = np.full(shapes.pop(), np.nan)
    return np.array([empty if v is None else v for v in values], dtype=np.float64), None


def _common_axis(streams: Sequence[Regular | Irregular | Static]) -> Axis:
    """Union of the axes, in order of first appearance; positions of the first."""
    axes = [s.axis for s in streams if s.axis is not None]
    if not axes:
        return Axis([], "misc")
    first = axes[0]
    if all(a.names == first.names for a in axes):
        return first
    rows: dict[str, tuple[str, Any]] = {}
    for axis in axes:
        for i, name in enumerate(axis.names):
            where = np.full(3, np.nan) if axis.positions is None else axis.positions[i]
            rows.setdefault(name, (axis.types[i], where))
    frames = {a.frame for a in axes if a.frame is not None}
    if len(frames) > 1:
        raise DataError(f"Recordings use several coordinate frames {sorted(frames)}.")
    return Axis(
        list(rows),
        [kind for kind, _ in rows.values()],
        positions=np.stack([where for _, where in rows.values()]),
        frame=frames.pop() if frames else None,
        atlas=first.atlas,
        reference=first.reference,
    )
