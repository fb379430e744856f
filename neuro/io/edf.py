"""EDF files by their header alone, for corpora of thousands of them.

:func:`neuro.io.read_eeg` looks at every sample of a file to judge it, and hashes
its bytes. Here a file costs one short read: its header, compared with its size.
Samples, 16-bit as stored, are read when a window asks for them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Events, Provenance, Recording, Regular
from neuro.data.channels import canonical_eeg_name, eeg_positions
from neuro.data.convert import stream_of_kind
from neuro.data.units import conversion_factor
from neuro.errors import FileError, UnitError
from neuro.io._edf_gaps import parse_notes, read_timeline
from neuro.io._files import DAMAGED
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["EdfArray", "EdfHeader", "Note", "read_edf", "read_header", "read_notes"]

_FIXED = 256  # bytes of the header's first part, and of its part for each channel
# Widths of the fields of a channel's part, in order: label, transducer, unit, lowest and
# highest physical and digital value, filters, samples in a record, reserved.
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_UNITS = {"uV": "uV", "µV": "uV", "mV": "mV", "V": "V", "nV": "nV"}

Note = tuple[float, float, str]


@dataclass(frozen=True)
class EdfHeader:
    """What the header of an EDF or EDF+ file says.

    Parameters
    ----------
    path : Path
        The file.
    size, mtime_ns : int
        What the file looked like when the header was read.
    patient : str
        The patient field. It may hold a name: never pass it on whole.
    n_records : int
        Data records in the file.
    record_s : Fraction
        Seconds in a record; 0 in files of annotations alone.
    labels, units : tuple of str
        As the file holds them, one a channel.
    samples : ndarray of int
        Samples of each channel in a record.
    scale, offset : ndarray
        ``value = stored * scale + offset``; NaN where there is no digital range.
    """

    path: Path
    size: int
    mtime_ns: int
    patient: str
    n_records: int
    record_s: Fraction
    labels: tuple[str, ...]
    units: tuple[str, ...]
    samples: IntArray
    scale: FloatArray
    offset: FloatArray

    @property
    def first_byte(self) -> int:
        """Where the samples begin."""
        return _FIXED * (len(self.labels) + 1)

    @property
    def duration_s(self) -> float:
        """Seconds of signal."""
        return float(self.n_records * self.record_s)

    @property
    def notes(self) -> tuple[int, ...]:
        """Numbers of the annotation channels."""
        return tuple(i for i, n in enumerate(self.labels) if n == "EDF Annotations")


def read_header(path: Path) -> EdfHeader:
    """Header of an EDF or EDF+ file, compared with the file's size.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    EdfHeader

    Raises
    ------
    FileError
        If it is no EDF file, truncated, or has gaps in time.
    """
    status = path.stat()
    with path.open("rb") as stream:
        head = stream.read(_FIXED)
        if len(head) < _FIXED or head[:8].strip() != b"0":
            raise FileError(f"'{path.name}' is no EDF file. {DAMAGED}")
        try:
            n_chans, n_records = int(head[252:256]), int(head[236:244])
            record_s = _plain_number(head[244:252].decode("ascii").strip())
        except (ValueError, UnicodeDecodeError):
            raise FileError(f"'{path.name}': its header holds no numbers. {DAMAGED}") from None
        wide = stream.read(_FIXED * n_chans) if 0 < n_chans < 10_000 else b""
    if not wide or len(wide) < _FIXED * n_chans:
        raise FileError(f"'{path.name}' ends inside its header. {DAMAGED}")
    labels, units, samples, scale, offset = _channels(path, wide, n_chans)
    row = 2 * int(samples.sum())
    held = status.st_size - _FIXED * (n_chans + 1)
    if n_records < 0:  # a recording that was never closed: what is there counts
        n_records = held // row if row else 0
    if n_records == 0 or row == 0:
        raise FileError(f"'{path.name}' holds no samples: it is empty or was cut short.")
    if n_records * row > held:
        raise FileError(
            f"'{path.name}' is truncated: its header claims {n_records} records of {row} bytes, "
            f"the file holds {held // row}. Get it again from its source."
        )
    if head[192:197] == b"EDF+D":
        timeline = read_timeline(path)
        if timeline is not None and timeline.jumps.any():
            raise FileError(
                f"'{path.name}' has gaps in time, so times after the first would be wrong. Read "
                "it with neuro.io.read_eeg(..., check=False)."
            )
    patient = head[8:88].decode("latin-1").strip()
    return EdfHeader(
        path, status.st_size, status.st_mtime_ns, patient, n_records, record_s, labels, units,
        samples, scale, offset,
    )  # fmt: skip


def _plain_number(text: str) -> Fraction:
    """A number of digits and perhaps a point; others are ValueErrors."""
    # an exponent of few characters makes a fraction of millions of digits
    if not re.fullmatch(r"\d+(\.\d*)?", text):
        raise ValueError(text)
    return Fraction(text)


def _channels(
    path: Path, wide: bytes, n: int
) -> tuple[tuple[str, ...], tuple[str, ...], IntArray, FloatArray, FloatArray]:
    """Labels, units, samples a record, scale and offset of the channels."""
    fields, place = [], 0
    for width in _WIDTHS:
        text = wide[place : place + width * n].decode("latin-1")
        fields.append(tuple(text[width * i : width * (i + 1)].strip() for i in range(n)))
        place += width * n
    try:
        samples = np.array(fields[8], dtype=np.int64)
        low, high, first, last = (np.array(fields[i], dtype=np.float64) for i in (3, 4, 5, 6))
    except ValueError:
        raise FileError(f"'{path.name}': a channel's range is no number. {DAMAGED}") from None
    if (samples < 0).any():
        raise FileError(f"'{path.name}' claims a negative number of samples. {DAMAGED}")
    with np.errstate(all="ignore"):
        scale = (high - low) / (last - first)
        offset = low - first * scale
    # the largest values must be float32 numbers
    bad = ~(np.isfinite(scale) & np.isfinite(offset)) | (scale == 0)
    bad |= ~(32768 * np.abs(scale) + np.abs(offset) < 1e30)
    scale[bad] = np.nan
    return fields[0], fields[2], samples, scale, offset


class EdfArray:
    """Samples of some channels of one rate, shape (axis, time), read when indexed.

    The file is opened for each read, so that thousands of arrays hold no file
    handle, and one may be pickled.

    Parameters
    ----------
    header : EdfHeader
        The file.
    picks : ndarray of int, shape (axis,)
        Channels, all with the same number of samples in a record.
    """

    dtype = np.dtype("<i2")

    def __init__(self, header: EdfHeader, picks: IntArray) -> None:
        self._path, self._state = header.path, (header.size, header.mtime_ns)
        self._first, self._row = header.first_byte, int(header.samples.sum())
        places = np.concatenate([[0], np.cumsum(header.samples)])
        self._each = int(header.samples[picks[0]])
        self._columns = places[picks]
        self.shape: tuple[int, ...] = (len(picks), header.n_records * self._each)

    def __repr__(self) -> str:
        return f"EdfArray({self._path.name}, {self.shape})"

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        columns = self._columns[rows]
        start, stop, step = times.indices(self.shape[1])
        if stop <= start or not np.size(columns):
            return np.zeros((*np.shape(columns), max(0, stop - start)), self.dtype)[..., ::step]
        a, b = start // self._each, -(-stop // self._each)
        records = self._records(a, b)
        within = np.arange(self._each)
        x = records[:, np.atleast_1d(columns)[:, None] + within].transpose(1, 0, 2)
        x = x.reshape(np.size(columns), -1)[:, start - a * self._each : stop - a * self._each]
        return np.asarray(x[..., ::step] if np.ndim(columns) else x[0, ::step])

    def _records(self, a: int, b: int) -> AnyArray:
        try:
            status = self._path.stat()
            if (status.st_size, status.st_mtime_ns) != self._state:
                raise FileError(f"'{self._path.name}' has changed. Load the recordings again.")
            count, offset = (b - a) * self._row, self._first + 2 * a * self._row
            x = np.fromfile(self._path, self.dtype, count=count, offset=offset)
        except OSError as error:
            raise FileError(
                f"'{self._path.name}' cannot be read any more ({error.strerror}). Is its disk "
                "still there?"
            ) from None
        return x.reshape(b - a, self._row)


def read_notes(header: EdfHeader) -> list[Note]:
    """Annotations of an EDF+ file, out of its annotation channels alone.

    Parameters
    ----------
    header : EdfHeader
        Of the file.

    Returns
    -------
    list of (onset, duration, text)
        Seconds after the first record's begin; empty records left out.
    """
    if not header.notes:
        return []
    row = 2 * int(header.samples.sum())
    places = 2 * np.concatenate([[0], np.cumsum(header.samples)])
    shape = (header.n_records, row)
    mapped = np.memmap(header.path, np.uint8, mode="r", offset=header.first_byte, shape=shape)
    found: list[Note] = []
    zero = None
    for i in header.notes:
        stretch = np.array(mapped[:, places[i] : places[i + 1]])
        for record in stretch:
            stamp, notes = parse_notes(record.tobytes())
            zero = stamp if zero is None else zero
            found += notes
    return sorted((onset - (zero or 0.0), duration, text) for onset, duration, text in found)


def read_edf(
    header: EdfHeader,
    channel: Callable[[str], tuple[str, str] | None],
    *,
    events: Events | None = None,
    steps: tuple[str, ...] = (),
    reader: str = "neuro.io.edf",
    facts: Mapping[str, Any],
) -> Recording:
    """Recording whose samples stay in the file.

    Parameters
    ----------
    header : EdfHeader
        Of the file.
    channel : callable
        Label -> kind (``"eeg"``, ``"eog"``, ``"ecg"``, ``"emg"``) and name, or
        None for channels to leave out.
    events : Events, optional
        In seconds from the first sample.
    steps : tuple of str
        First steps of the provenance.
    reader : str
        Who reads, for the provenance.
    facts : mapping
        Further fields of :class:`neuro.data.Recording`.

    Returns
    -------
    Recording
        One stream a kind (a kind of several rates: one a rate), in uV. The
        provenance holds no hash: the bytes were not read.

    Raises
    ------
    FileError
        If no channel is wanted, or one of EEG has no digital range.
    UnitError
        If one of EEG is not in volts. Others are left out then, with a note.
    """
    groups: dict[tuple[str, int], dict[str, int]] = {}
    left_out, twice = [], []
    for i, label in enumerate(header.labels):
        if i in header.notes:
            continue
        found = channel(label)
        if found is None:
            left_out.append(label or "(no name)")
            continue
        kind, name = found
        volts = header.units[i] in _UNITS and np.isfinite(header.scale[i])
        if kind != "eeg" and not volts:  # not worth the loss of the recording
            left_out.append(label)
            continue
        group = groups.setdefault((kind, int(header.samples[i])), {})
        if name in group:
            twice.append(label)
        else:
            group[name] = i
    if not groups:
        raise FileError(
            f"'{header.path.name}' holds none of the channels of this data set, but "
            f"{list(header.labels)[:6]}. Is it of another corpus?"
        )
    notes = [*steps]
    if left_out:
        notes.append(f"channels left out: {', '.join(dict.fromkeys(left_out))}")
    if twice:
        notes.append(f"channels that stand twice, the first kept: {', '.join(twice)}")
    streams: dict[str, Regular] = {}
    for (kind, _), group in sorted(groups.items(), key=lambda item: (item[0][0], -item[0][1])):
        stream = _stream(header, kind, group)
        name = stream_of_kind(kind)[0]
        streams[name if name not in streams else f"{name}_{stream.sfreq:g}hz"] = stream
    origin = Provenance(source=header.path.name, reader=reader, version="1", steps=tuple(notes))
    return Recording(streams, events or Events.empty(), provenance=origin, **facts)


def _stream(header: EdfHeader, kind: str, group: Mapping[str, int]) -> Regular:
    picks = np.array(list(group.values()))
    name = header.path.name
    if not np.isfinite(header.scale[picks]).all():
        bad = header.labels[picks[np.flatnonzero(~np.isfinite(header.scale[picks]))[0]]]
        raise FileError(f"'{name}' gives channel {bad!r} no digital range. {DAMAGED}")
    if header.record_s == 0:
        raise FileError(f"'{name}': data records of 0 s, so the rate is unknown. {DAMAGED}")
    units = {header.units[i] for i in picks.tolist()}
    if strange := sorted(units - set(_UNITS)):
        raise UnitError(
            f"'{name}': a channel of kind {kind!r} is in {strange[0]!r}, not in volts. Leave the "
            "file out, or correct its header."
        )
    factor = np.array([conversion_factor(_UNITS[header.units[i]], "uV") for i in picks.tolist()])
    return Regular(
        EdfArray(header, picks),
        Fraction(int(header.samples[picks[0]])) / header.record_s,
        "uV",
        _axis(kind, tuple(group)),
        stream_of_kind(kind)[1],
        scale=header.scale[picks] * factor,
        offset=header.offset[picks] * factor,
    )


@cache
def _axis(kind: str, names: tuple[str, ...]) -> Axis:
    """Axis shared by all files with the same channels."""
    if kind != "eeg":
        return Axis(names, kind)
    where = eeg_positions([canonical_eeg_name(n) for n in names])
    known = bool(np.isfinite(where).any())
    return Axis(
        names, "eeg", positions=where if known else None, frame="mri_ras" if known else None
    )
