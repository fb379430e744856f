"""Windows: an index table apart from the samples, and the batches read through it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from neuro.data.axis import Axis
from neuro.data.batch import Batch, EventBatch, StaticBatch
from neuro.data.cutting import (
    TICK,
    check_alike,
    common_axis,
    locked,
    nothing_to_cut,
    rate_of,
    segments_of,
    sliding,
    window_length,
)
from neuro.data.labels import FACTS, Label, encode_labels, label_values
from neuro.data.recording import Recording
from neuro.data.streams import Irregular, Regular, Static, Stream
from neuro.errors import ContractError, DataError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

if TYPE_CHECKING:
    from neuro.data.contract import InputContract

__all__ = ["Label", "Windows", "windows"]


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
            object.__setattr__(self, "axis", common_axis(self._streams()))

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

    def _streams(self) -> list[Stream]:
        return [rec.stream(self.stream) for rec in self.recordings]

    @property
    def rate(self) -> Fraction:
        """Samples a second; 1,000,000 for point-like streams, 1 for statics."""
        return rate_of(self.recordings[0].stream(self.stream))

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
        return self.session_time(self.start, self.recording)

    def stop_s(self) -> FloatArray:
        """Session time at which each window ends, shape (n,)."""
        return self.session_time(self.stop, self.recording)

    def session_time(self, sample: IntArray, recording: IntArray) -> FloatArray:
        """Session time of samples of the given recordings (numbers in this index)."""
        t0, a, b = self._cached("clocks", self._clocks)[:, recording]
        return np.asarray(a * (t0 + sample * self.rate.denominator / self.rate.numerator) + b)

    def extent(self) -> tuple[IntArray, IntArray]:
        """Half-open sample range each example depends on, input and target."""
        return self.start, self.stop

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
        if name not in FACTS:
            raise DataError(f"No column {name!r}. {did_you_mean(name, (*FACTS, 'block'))}")
        return np.asarray(self._cached(name, lambda: self._fact(name))[self.recording])

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

        frame = self.axis.frame
        x = np.empty((len(rows), len(self.axis), self.n_times), dtype=np.float32)
        rec_index = self.recording[rows]
        present, positions = self._cached("layout", self._layout)
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
            frame=frame,
            start_s=torch.from_numpy(self.session_time(self.start[rows], self.recording[rows])),
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
        plain = stream.valid is None and stream.scale is None and stream.offset is None
        if same and gather is not None and plain:
            gather(starts, self.n_times, x, at)
        elif same and plain:
            for k, start in zip(at.tolist(), starts.tolist(), strict=True):
                x[k] = stream.data[:, start : start + self.n_times]
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
        absent = ~channel_mask[at[0]]
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
        places = {}
        for row in rows.tolist():
            r = int(self.recording[row])
            stream = self.recordings[r].stream(self.stream)
            if not isinstance(stream, Irregular):
                raise DataError(f"Stream {self.stream!r} is sampled or static: use batch().")
            if r not in places:
                places[r] = self.axis.index(stream.units.names)
            t0, t1 = self.start[row] / float(TICK), self.stop[row] / float(TICK)
            a, b = np.searchsorted(stream.times_s, [t0, t1])
            times.append(stream.times_s[a:b] - t0)
            units.append(places[r][stream.unit_index[a:b]])
            counts.append(b - a)
        return EventBatch(
            times_s=torch.from_numpy(np.concatenate([np.zeros(0), *times])),
            unit_index=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *units])),
            offsets=torch.from_numpy(np.cumsum([0, *counts]).astype(np.int64)),
            length_s=self.length_s,
            unit_names=self.axis.names,
            modality=self.modality,
            start_s=torch.from_numpy(self.session_time(self.start[rows], self.recording[rows])),
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
            if rows.shape != (len(self),):
                raise DataError(f"A mask of shape {rows.shape} for {len(self)} windows.")
            rows = np.flatnonzero(rows)
        if rows.size and rows.dtype.kind not in "iu":
            raise DataError(f"Windows are chosen by whole numbers or a mask, got {rows.dtype}.")
        rows = rows.astype(np.int64)
        if len(rows) and (rows.min() < -len(self) or rows.max() >= len(self)):
            wrong = int(rows.max() if rows.max() >= len(self) else rows.min())
            raise DataError(f"Window {wrong} of {len(self)} does not exist.")
        return np.asarray(rows % max(1, len(self)))

    def _layout(self) -> tuple[BoolArray, FloatArray]:
        """Which channels each recording has (and are good), and where they are."""
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
        return present, positions

    def _clocks(self) -> FloatArray:
        """Stream time of sample 0, and the clock, of each recording: rows t0, a, b."""
        out = np.zeros((3, len(self.recordings)))
        for i, rec in enumerate(self.recordings):
            stream, clock = rec.stream(self.stream), rec.clock(self.stream)
            out[:, i] = stream.t0_s if isinstance(stream, Regular) else 0.0, clock.a, clock.b
        return out

    def _fact(self, name: str) -> AnyArray:
        values = [getattr(rec, name) for rec in self.recordings]
        return np.array([np.nan if v is None else v for v in values])

    def _cached(self, name: str, make: Callable[[], Any]) -> Any:
        """A value that depends on the recordings alone, shared by all parts of an index."""
        cache = self.__dict__.setdefault("_cache", {})
        if name not in cache:
            cache[name] = make()
        return cache[name]

    def _sex(self) -> FloatArray:
        code = {"f": 0.0, "female": 0.0, "m": 1.0, "male": 1.0}
        return np.array([code.get(rec.sex.lower(), np.nan) for rec in self.recordings])

    def _common(self, rows: IntArray) -> dict[str, Any]:
        import torch

        out: dict[str, Any] = {"index": torch.from_numpy(self.id[rows].astype(np.int64))}
        if self.target is not None:
            target = self.target[rows].astype(np.float32)
            out["target"] = torch.from_numpy(target)
            out["target_mask"] = torch.from_numpy(np.isfinite(target))
        at = self.recording[rows]
        age = self._cached("age", lambda: self._fact("age"))[at]
        out["covariates"] = {
            "age": torch.from_numpy(age.astype(np.float32)),
            "sex": torch.from_numpy(self._cached("sex code", self._sex)[at].astype(np.float32)),
        }
        for name in ("subject", "session", "run"):
            facts = [getattr(self.recordings[r], name) for r in np.unique(at).tolist()]
            if len(set(facts)) == 1:
                out[name] = (facts[0],) * len(at)
            else:
                out[name] = tuple(getattr(self.recordings[r], name) for r in at.tolist())
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_cache"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    # ---- choosing ------------------------------------------------------------

    def select(self, indices: Any) -> Self:
        """Index of the chosen windows; ids stay (array of int or bool, or slice)."""
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else self._rows(indices)
        return self._chosen(rows)

    def _chosen(self, rows: IntArray, **more: Any) -> Self:
        out = replace(
            self,
            recording=self.recording[rows],
            start=self.start[rows],
            stop=self.stop[rows],
            block=self.block[rows],
            id=self.id[rows],
            target=None if self.target is None else self.target[rows],
            **more,
        )
        out.__dict__["_cache"] = self.__dict__.setdefault("_cache", {})
        return out

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
        """What a model trained on these windows accepts.

        Recordings that a contract's `conform` made carry it: it is returned, so
        that files as they come go the same way to the model.

        Raises
        ------
        ContractError
            If the recordings were brought to different contracts.
        """
        from neuro.data.contract import InputContract

        noted = [r.provenance.contracts.get(self.stream) for r in self.recordings]
        if any(other != noted[0] for other in noted[1:]):
            raise ContractError(
                f"The recordings' stream {self.stream!r} was brought to different contracts. Use "
                "one contract.conform(recording) for all of them."
            )
        if noted[0] is not None:
            known = InputContract.from_json(noted[0])
            return replace(known, ch_names=self.axis.names, n_times=self.n_times)
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
    check_alike(recs, streams, stream)
    rate = rate_of(streams[0])
    n_times = window_length(streams, rate, length_s)
    kinds = [align] if isinstance(align, str) else None if align is None else list(align)
    parts = []
    for r, rec in enumerate(recs):
        if kinds is None:
            start, seg = sliding(streams[r], n_times, _step(step_s, rate, n_times))
            at = np.full_like(start, -1)
        else:
            start, seg, at = locked(rec, stream, kinds, offset_s, n_times)
        parts.append(np.stack([np.full_like(start, r), start, seg, at]))
    recording, first, segment, event = np.concatenate(parts, axis=1)
    if not len(recording):
        raise DataError(nothing_to_cut(recs, streams, n_times, rate, kinds))
    out = Windows(
        recordings=recs,
        stream=stream,
        recording=recording,
        start=first,
        stop=first + n_times,
        block=np.full(len(recording), -1),
        id=np.arange(len(recording)),
    )
    values, block = label_values(recs, recording, out.start_s(), out.stop_s(), event, label)
    block = np.where(block >= 0, block, _segment_blocks(recs, streams, recording, segment))
    if label is None:
        return replace(out, block=block)
    target, names = encode_labels(values, classes)
    return replace(out, block=block, target=target, classes=names)


def _step(step_s: float | None, rate: Fraction, n_times: int) -> int:
    if step_s is None:
        return n_times
    step = round(step_s * rate) if np.isfinite(step_s) else 0
    if step < 1:
        raise DataError(f"step_s={step_s} is shorter than one sample ({float(1 / rate):g} s).")
    return step


def _segment_blocks(
    recs: Sequence[Recording], streams: Sequence[Stream], recording: IntArray, segment: IntArray
) -> IntArray:
    """Blocks of windows that no event gives one: the segment, beside the events' blocks."""
    # one continuous stretch is not a block: nothing says its parts depend
    several = np.array([len(segments_of(s)) > 1 for s in streams])
    beyond = np.array([int(rec.events.block.max(initial=-1)) + 1 for rec in recs])
    return np.where(several[recording], segment + beyond[recording], -1)
