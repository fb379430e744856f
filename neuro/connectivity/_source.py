"""Any kind of input as named trials or stretches of one shape."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from neuro.data import Irregular, Recording, Regular, Windows
from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Bad", "Source", "gather", "is_many"]

Bad: TypeAlias = Literal["refuse", "nan"]


@dataclass(frozen=True, eq=False)
class Source:
    """What a measure works on.

    Parameters
    ----------
    blocks : list of float array, each (n_usable, n_times)
        Trials or recordings; or one continuous stretch whose `segments` are
        what nothing may cross.
    kind : str
        "continuous", "trial" or "recording".
    names : tuple of str
        All nodes, in order.
    usable : bool array, shape (n_nodes,)
        False for nodes left out; `blocks` hold the others.
    segments : int array, shape (n, 2)
        Of a continuous stretch.
    """

    blocks: list[FloatArray]
    kind: str
    names: tuple[str, ...]
    usable: BoolArray
    sfreq: float | None
    segments: IntArray
    labels: AnyArray
    t0_s: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def stretches(self) -> list[FloatArray]:
        """Trials, or the segments of a continuous stretch."""
        if self.kind != "continuous":
            return self.blocks
        return [self.blocks[0][:, a:b] for a, b in self.segments.tolist()]

    @property
    def kept_names(self) -> tuple[str, ...]:
        """Names of the rows of `blocks`."""
        return tuple(n for n, u in zip(self.names, self.usable, strict=True) if u)


def gather(
    x: Any,
    sfreq: float | None,
    *,
    average: str | None,
    stream: str | None,
    bin_s: float | None,
    ch_names: Sequence[str] | None,
    segments: AnyArray | None,
    bad: Bad,
) -> Source:
    """Turn an array, stream, recording, windows or MNE object into a :class:`Source`.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 100))
    >>> gather(x, 10.0, average=None, stream=None, bin_s=None, ch_names=None, segments=None,
    ...        bad="refuse").names
    ('0', '1', '2')
    """
    if bad not in ("refuse", "nan"):
        raise ConfigError(f"bad={bad!r} is not known: use 'refuse' or 'nan'.")
    own = isinstance(x, Recording | Regular | Irregular | Windows)
    if own and (segments is not None or ch_names is not None):
        raise ConfigError("segments= and ch_names= are for arrays: this object has its own.")
    if isinstance(x, Windows):
        return _of_windows(x, sfreq, bad)
    if isinstance(x, Recording | Regular | Irregular):
        return _of_stream(x, sfreq, average, stream, bin_s, bad)
    if hasattr(x, "get_data") and hasattr(x, "info"):
        return _of_mne(x, sfreq, average, stream, bad)
    if is_many(x):
        return _of_many(x, sfreq, stream, bin_s, bad)
    return _of_array(x, sfreq, ch_names, segments, bad)


def is_many(x: Any) -> bool:
    """Whether the input is a list of recordings or streams."""
    return (
        isinstance(x, list | tuple)
        and len(x) > 0
        and isinstance(x[0], Recording | Regular | Irregular)
    )


def _of_array(
    x: Any,
    sfreq: float | None,
    ch_names: Sequence[str] | None,
    segments: AnyArray | None,
    bad: Bad,
) -> Source:
    found = np.asarray(x)
    if found.dtype.kind not in "fiub" or found.ndim not in (2, 3) or 0 in found.shape:
        raise DataError(
            f"Expected numbers of shape (n_chans, n_times) or (n_trials, n_chans, n_times), got "
            f"{found.dtype} {found.shape}. Time comes last."
        )
    n, n_times = found.shape[-2:]
    if ch_names is not None and len(ch_names) != n:
        hint = " Is it transposed? Time comes last." if len(ch_names) == n_times else ""
        raise DataError(f"{len(ch_names)} channel names for {n} rows.{hint}")
    total = n_times * (len(found) if found.ndim == 3 else 1)
    if ch_names is None and n > total:
        raise DataError(
            f"{n} rows but only {total} samples: the array looks transposed; time comes last. If "
            "the rows really are channels, say so by naming them: ch_names=[...]."
        )
    names = tuple(str(i) for i in range(n)) if ch_names is None else tuple(map(str, ch_names))
    if len(set(names)) != n:
        raise DataError("Channel names are not unique: rename them.")
    if found.ndim == 3:
        if segments is not None:
            raise ConfigError("segments= are sample ranges of one continuous array, not of trials.")
        blocks = [np.asarray(e, dtype=np.float64) for e in found]
        return _finished(blocks, "trial", names, np.zeros(n, bool), sfreq, bad=bad)
    from neuro.signal._segments import check_segments

    ranges = check_segments(segments, n_times)
    block = np.asarray(found, dtype=np.float64)
    return _finished([block], "continuous", names, np.zeros(n, bool), sfreq, ranges, bad=bad)


def _of_stream(
    x: Any,
    sfreq: float | None,
    average: str | None,
    name: str | None,
    bin_s: float | None,
    bad: Bad,
) -> Source:
    regular = _regular(x, name, bin_s)
    if sfreq is not None and abs(sfreq - regular.sfreq) > 1e-6 * regular.sfreq:
        raise DataError(
            f"sfreq={sfreq:g} Hz was given, but the stream has {regular.sfreq:g} Hz. Leave it out."
        )
    values = regular.values().astype(np.float64)
    facts = _facts(regular)
    if isinstance(x, Recording):
        facts["source"] = {"recording": x.id, "steps": list(x.provenance.steps)}
    marked = regular.axis.bad.copy()
    if average == "trials":
        lengths = np.diff(regular.segments, axis=1)[:, 0]
        if len(set(lengths.tolist())) > 1:
            raise DataError(
                f"average='trials', but the segments have {len(set(lengths.tolist()))} different "
                f"lengths ({lengths.min()} to {lengths.max()} samples): a censored run is not a "
                "set of trials. Use average='time', or cut windows with neuro.data.windows."
            )
        blocks = [values[:, a:b] for a, b in regular.segments.tolist()]
        return _finished(blocks, "trial", regular.axis.names, marked, regular.sfreq,
                         bad=bad, facts=facts)  # fmt: skip
    return _finished([values], "continuous", regular.axis.names, marked, regular.sfreq,
                     regular.segments, bad=bad, facts=facts, t0_s=regular.t0_s)  # fmt: skip


def _regular(x: Any, name: str | None, bin_s: float | None) -> Regular:
    found = x.stream(name) if isinstance(x, Recording) else x
    if isinstance(found, Irregular):
        if bin_s is None:
            raise ConfigError(
                "Spikes are points in time: give bin_s= (seconds) to count them, e.g. bin_s=0.01, "
                "or use neuro.connectivity.cross_correlograms, which needs no bins."
            )
        found = found.bin(bin_s)
    if not isinstance(found, Regular):
        raise DataError("This stream has no time axis, so its rows have no connectivity.")
    return found


def _facts(regular: Regular) -> dict[str, Any]:
    axis = regular.axis
    facts: dict[str, Any] = {"modality": regular.modality, "signal_unit": regular.unit}
    if axis.positions is not None:
        facts |= {"positions": np.asarray(axis.positions), "frame": axis.frame}
    if axis.atlas:
        facts["atlas"] = axis.atlas
    for column in ("network", "networks", "module"):
        if column in axis.columns:
            facts["networks"] = np.asarray(axis.columns[column]).astype(str)
            break
    return facts


def _of_many(
    x: Sequence[Any], sfreq: float | None, name: str | None, bin_s: float | None, bad: Bad
) -> Source:
    regulars = [_regular(r, name, bin_s) for r in x]
    first = regulars[0]
    for regular in regulars[1:]:
        if regular.axis.names != first.axis.names or regular.rate != first.rate:
            raise DataError(
                "Recordings differ in rows or rate: conform them to one InputContract first."
            )
    blocks = []
    for regular in regulars:
        values = regular.values().astype(np.float64)
        parts = [values[:, a:b] for a, b in regular.segments.tolist()]
        blocks.append(np.concatenate(parts, axis=1))
    marked = np.any([r.axis.bad for r in regulars], axis=0)
    labels = np.array([r.id if isinstance(r, Recording) else str(i) for i, r in enumerate(x)])
    return _finished(blocks, "recording", first.axis.names, marked, first.sfreq,
                     bad=bad, facts=_facts(first), labels=labels)  # fmt: skip


def _of_windows(x: Windows, sfreq: float | None, bad: Bad) -> Source:
    if sfreq is not None and abs(sfreq - x.sfreq) > 1e-6 * x.sfreq:
        raise DataError(f"sfreq={sfreq:g} Hz was given, but the windows have {x.sfreq:g} Hz.")
    batch = x.batch()
    values = batch.x.numpy().astype(np.float64)
    absent = np.asarray(~batch.channel_mask.numpy())
    values[absent] = np.nan
    values = np.where(batch.time_mask.numpy()[:, None, :], values, np.nan)
    facts = {"modality": x.modality, "signal_unit": x.unit}
    return _finished(list(values), "trial", x.ch_names, np.asarray(absent.any(axis=0)), x.sfreq,
                     bad=bad, facts=facts, labels=np.asarray(x.id))  # fmt: skip


def _of_mne(
    x: Any, sfreq: float | None, average: str | None, stream: str | None, bad: Bad
) -> Source:
    if not hasattr(x, "events"):  # a Raw: annotations called BAD cut segments
        recording = Recording.from_mne(x, check=False)
        streams = recording.streams
        main = next((n for n in ("eeg", "meg_mag", "meg_grad", "ieeg") if n in streams), None)
        return _of_stream(recording, sfreq, average, stream or main, None, bad)
    values = np.asarray(x.get_data(picks="data"), dtype=np.float64)
    names = x.copy().pick("data").ch_names
    marked = np.asarray(np.isin(names, x.info["bads"]), dtype=bool)
    if sfreq is not None and abs(sfreq - x.info["sfreq"]) > 1e-6 * sfreq:
        raise DataError(f"sfreq={sfreq:g} Hz was given, but the epochs have {x.info['sfreq']:g}.")
    return _finished(list(values), "trial", tuple(names), marked, float(x.info["sfreq"]), bad=bad)


def _finished(
    found: Sequence[FloatArray],
    kind: str,
    names: Sequence[str],
    marked: BoolArray,
    sfreq: float | None,
    segments: IntArray | None = None,
    *,
    bad: Bad,
    facts: dict[str, Any] | None = None,
    labels: AnyArray | None = None,
    t0_s: float = 0.0,
) -> Source:
    """Leave out nodes that cannot be used; cut what is missing out of the stretches."""
    names = tuple(names)
    blocks = list(found)
    notes: list[str] = []
    dead = _dead(blocks, segments) & ~marked
    if dead.any():
        listed = ", ".join(n for n, d in zip(names, dead, strict=True) if d)[:200]
        if bad == "refuse":
            raise DataError(
                f"{int(dead.sum())} row(s) are constant or hold no number: {listed}. Drop or "
                "interpolate them, mark them bad, or pass bad='nan' to keep them as NaN."
            )
        notes.append(f"rows without signal, NaN here: {listed}")
    if marked.any():
        listed = ", ".join(n for n, d in zip(names, marked, strict=True) if d)[:200]
        notes.append(f"rows marked bad, NaN here: {listed}")
    usable = ~(dead | marked)
    if usable.sum() < 2:
        raise DataError(f"{int(usable.sum())} usable row(s) of {len(names)}: two are needed.")
    blocks = [b[usable] for b in blocks]
    if segments is None:
        segments = np.array([[0, blocks[0].shape[1]]])
    if kind == "continuous":
        segments = _without_gaps(blocks[0], segments, notes)
    elif kind == "recording":
        # a volume that one region lacks serves no pair
        blocks = [b[:, np.isfinite(b).all(axis=0)] for b in blocks]
    if labels is None:
        labels = np.arange(len(blocks))
    return Source(
        blocks, kind, names, usable, sfreq, segments, labels, t0_s, dict(facts or {}), notes
    )


def _dead(blocks: list[FloatArray], segments: IntArray | None) -> BoolArray:
    """Rows that are constant, or without a number, over all blocks."""
    moving = np.zeros(len(blocks[0]), dtype=bool)
    first = np.full(len(moving), np.nan)  # a row may be constant in each block, at other values
    for block in blocks:
        ranges = [[0, block.shape[1]]] if segments is None else segments.tolist()
        for start, stop in ranges:
            part = block[:, start:stop]
            # these two skip NaN and, unlike a mask, need no copy of a long recording
            high, low = np.fmax.reduce(part, axis=1), np.fmin.reduce(part, axis=1)
            first = np.where(np.isnan(first), low, first)
            low, high = np.fmin(low, first), np.fmax(high, first)
            with np.errstate(invalid="ignore"):
                span, size = high - low, np.fmax(np.abs(high), np.abs(low))
                # an infinite sample is not for this rule: it is cut out as missing later
                moving |= (span > 1e-12 * size) | np.isinf(size)
    return np.asarray(~moving)


def _without_gaps(x: FloatArray, segments: IntArray, notes: list[str]) -> IntArray:
    """Segments cut at every sample that a usable row lacks."""
    whole = np.isfinite(x).all(axis=0)
    inside = np.zeros(x.shape[1], dtype=np.int64)
    for number, (start, stop) in enumerate(segments.tolist(), start=1):
        inside[start:stop] = number
    label = np.where(whole, inside, 0)
    lost = int(((inside > 0) & ~whole).sum())
    if not lost:
        return segments
    if not label.any():
        worst = int(np.isfinite(x).sum(axis=1).argmin())
        raise DataError(
            f"No sample is present in every row (row {worst} lacks most). Interpolate, or mark "
            "rows that are mostly missing as bad."
        )
    edges = np.flatnonzero(np.diff(np.concatenate([[0], label, [0]])))
    notes.append(f"{lost} samples missing in some row were cut out, nothing is spliced")
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    return np.asarray(pairs[label[pairs[:, 0]] > 0], dtype=np.int64)
