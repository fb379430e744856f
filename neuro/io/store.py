"""The package's own file: one HDF5 a recording, read lazily and fast.

Layout (format version 1)::

    /                    attrs: format, format_version, content_sha256
    /meta                JSON text: facts, clocks, provenance, kinds of stream
    /events/<column>     one array a column
    /streams/<name>/     data, segments, axis/…, …; JSON attribute ``meta``

Samples are stored uncompressed in chunks of all rows by about one second, so
that a window touches few, contiguous stretches of the file. A reader then maps
the file and copies chunks straight into the batch; files written otherwise
(compressed, other chunks) are read through h5py with the same results.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import (
    Axis,
    Clock,
    Events,
    Grid,
    Irregular,
    Provenance,
    Recording,
    Regular,
    Static,
)
from neuro.errors import DataError, FileError
from neuro.io import safe
from neuro.io._files import blame, reason
from neuro.typing import AnyArray, FloatArray, IntArray, PathLike

__all__ = ["StoredArray", "load", "read_group", "save", "verify", "write_group"]

FORMAT = "neuro-recording"
VERSION = 1
_MAX_CHUNK = 1 << 20


# ---- writing -------------------------------------------------------------------


def save(recording: Recording, path: PathLike) -> Path:
    """Write a recording to one ``.h5`` file, whole or not at all.

    Integer samples stay integers with their scale; reading gives back the same
    bytes. Long lazy streams are copied in stretches, never held in memory.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : path-like
        File to write, ending in ``.h5``; an existing one is replaced at the end.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If the name does not end in ``.h5``.
    OSError
        If the disk is full or not writable; an older file is then unchanged.

    Examples
    --------
    >>> import tempfile
    >>> eeg = Regular(np.ones((2, 500)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> path = save(Recording({"eeg": eeg}, subject="01"), tempfile.mkdtemp() + "/a.h5")
    >>> load(path).subject
    '01'
    """
    path = Path(path)
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise DataError(f"Recordings are stored as .h5, got {path.name!r}. Name it *.h5.")
    with safe.create_hdf5(path) as file:
        write_group(file, recording)
    return path


def write_group(group: Any, recording: Recording) -> None:
    """Write a recording into an open HDF5 file or group."""
    digest = hashlib.sha256()
    _put_text(group, "meta", _facts(recording), digest)
    _put_events(group.create_group("events"), recording.events, digest)
    streams = group.create_group("streams")
    for name, stream in recording.streams.items():
        here = streams.create_group(name)
        digest.update(name.encode())
        if isinstance(stream, Regular):
            _put_regular(here, stream, digest)
        elif isinstance(stream, Irregular):
            _put_irregular(here, stream, digest)
        else:
            _put_static(here, stream, digest)
    # fixed-length text: the heap that HDF5 keeps other text in can, damaged, hang the library
    group.attrs["format"] = np.bytes_(FORMAT)
    group.attrs["format_version"] = VERSION
    group.attrs["content_sha256"] = np.bytes_(digest.hexdigest())


def _facts(rec: Recording) -> dict[str, Any]:
    names = ("id", "dataset", "subject", "session", "run", "task", "age", "sex", "group", "site")
    return {
        **{name: getattr(rec, name) for name in names},
        "clocks": {k: [c.a, c.b] for k, c in rec.clocks.items()},
        "provenance": asdict(rec.provenance),
        "streams": list(rec.streams),
    }


def _put(group: Any, name: str, array: AnyArray, digest: Any) -> None:
    array = np.asarray(array)
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    elif array.dtype.kind == "O":
        array = np.array([str(v).encode() for v in array])
    # HDF5 has no strings of no length
    if array.dtype.kind == "S" and array.dtype.itemsize == 0:
        array = array.astype("S1")
    group.create_dataset(name, data=array)
    digest.update(name.encode() + str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())


def _put_text(group: Any, name: str, values: Mapping[str, Any], digest: Any) -> None:
    text = json.dumps(values, sort_keys=True).encode()
    group.create_dataset(name, data=np.frombuffer(text, dtype=np.uint8))
    digest.update(text)


def _put_events(group: Any, events: Events, digest: Any) -> None:
    for name in ("onset_s", "duration_s", "type", "value", "stream", "block"):
        _put(group, name, getattr(events, name), digest)
    extra = group.create_group("columns")
    for name, column in events.columns.items():
        _put(extra, name, column, digest)


def _put_axis(group: Any, axis: Axis, digest: Any) -> None:
    _put(group, "names", np.array(axis.names), digest)
    _put(group, "types", np.array(axis.types), digest)
    _put(group, "bad", axis.bad, digest)
    facts = {"frame": axis.frame, "atlas": axis.atlas, "reference": axis.reference}
    if axis.grid is not None:
        facts["shape"] = list(axis.grid.shape)  # type: ignore[assignment]
        _put(group, "affine", axis.grid.affine, digest)
        _put(group, "ijk", axis.grid.ijk, digest)
    for name in ("positions", "labels"):
        if getattr(axis, name) is not None:
            _put(group, name, getattr(axis, name), digest)
    columns = group.create_group("columns")
    for name, column in axis.columns.items():
        _put(columns, name, column, digest)
    _put_text(group, "meta", facts, digest)


def _put_regular(group: Any, stream: Regular, digest: Any) -> None:
    facts = {
        "kind": "regular",
        "rate": str(stream.rate),
        "unit": stream.unit,
        "modality": stream.modality,
        "t0_s": stream.t0_s,
    }
    _put_text(group, "meta", facts, digest)
    _put_axis(group.create_group("axis"), stream.axis, digest)
    _put(group, "segments", stream.segments, digest)
    for name in ("scale", "offset", "valid"):
        if getattr(stream, name) is not None:
            _put(group, name, getattr(stream, name), digest)
    integers = stream.data.dtype == np.int16
    dtype = np.dtype(np.int16 if integers else np.float32)
    n_rows, n_times = stream.shape
    width = _chunk_width(n_rows, n_times, stream.sfreq, dtype.itemsize)
    data = group.create_dataset("data", shape=stream.shape, dtype=dtype, chunks=(n_rows, width))
    stretch = max(width, (1 << 24) // max(1, n_rows * dtype.itemsize) // width * width)
    for start in range(0, n_times, stretch):
        stop = min(start + stretch, n_times)
        block = np.asarray(stream.data[:, start:stop]).astype(dtype, copy=False)
        if not integers and stream.valid is None and not np.isfinite(block).all():
            raise DataError(
                f"Samples [{start}, {stop}) hold NaN or infinite values without a mask. Build the "
                "stream in memory (Regular masks NaN by itself) before saving."
            )
        data[:, start:stop] = block
        digest.update(np.ascontiguousarray(block).tobytes())


def _chunk_width(n_rows: int, n_times: int, sfreq: float, itemsize: int) -> int:
    """Samples in a chunk: about a second, at most 1 MB, for slow signals a few kB."""
    second = max(round(sfreq), (1 << 14) // (n_rows * itemsize), 1)
    return int(min(second, max(1, _MAX_CHUNK // (n_rows * itemsize)), n_times))


def _put_irregular(group: Any, stream: Irregular, digest: Any) -> None:
    _put_text(group, "meta", {"kind": "irregular", "modality": stream.modality}, digest)
    _put_axis(group.create_group("axis"), stream.units, digest)
    for name in ("times_s", "unit_index", "support"):
        _put(group, name, getattr(stream, name), digest)


def _put_static(group: Any, stream: Static, digest: Any) -> None:
    facts = {"kind": "static", "unit": stream.unit, "dims": stream.dims, "frame": stream.frame}
    _put_text(group, "meta", facts, digest)
    _put(group, "array", stream.array, digest)
    if stream.affine is not None:
        _put(group, "affine", stream.affine, digest)
    if stream.axis is not None:
        _put_axis(group.create_group("axis"), stream.axis, digest)


# ---- reading -------------------------------------------------------------------


def load(path: PathLike, *, lazy: bool = True) -> Recording:
    """Open a recording that :func:`save` wrote.

    Parameters
    ----------
    path : path-like
        The ``.h5`` file.
    lazy : bool
        Leave samples on disk until they are read.

    Returns
    -------
    Recording

    Raises
    ------
    FileError
        If the file is not ours, of a later format, damaged or hostile.
    DataUnavailableError
        If there is no such file.
    """
    path = Path(path)
    with safe.open_hdf5(path) as file:
        return read_group(file, path, lazy=lazy)


def read_group(group: Any, path: Path, *, lazy: bool = True) -> Recording:
    """Read a recording from an open HDF5 file or group of the file `path`."""
    with blame(path, "is not a readable HDF5 file", Exception):
        _check_format(group, path)
    try:
        return _recording(group, path, lazy)
    except FileError:
        raise
    except Exception as error:  # h5py raises nearly every built-in one on damaged structures
        raise FileError(
            f"{path.name!r} is marked as a recording but does not hold one: "
            f"{reason(error, path)}. Convert the source again with neuro convert."
        ) from error


def verify(path: PathLike) -> None:
    """Check a stored recording against the hash of its content.

    Parameters
    ----------
    path : path-like
        The ``.h5`` file.

    Raises
    ------
    FileError
        If any stored value differs from what was written.
    """
    path = Path(path)
    with safe.open_hdf5(path) as file:
        _check_format(file, path)
        written = _attribute(file, "content_sha256")
    recording = load(path)
    copy = path.with_name(f".{path.name}.verify.h5")
    try:
        save(recording, copy)
        with safe.open_hdf5(copy) as file:
            found = _attribute(file, "content_sha256")
    finally:
        copy.unlink(missing_ok=True)
    if found != written:
        raise FileError(
            f"{path.name!r} holds other values than were written (sha256 {found[:12]}…, expected "
            f"{written[:12]}…). Restore it from a backup or convert the source again."
        )


def _attribute(file: Any, name: str) -> str:
    value = file.attrs.get(name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _check_format(file: Any, path: Path) -> None:
    kind, version = _attribute(file, "format"), file.attrs.get("format_version")
    if kind != FORMAT:
        if any(_attribute(item, "format") == FORMAT for item in file.values()):
            raise FileError(
                f"{path.name!r} is a shard, several recordings: neuro.io.load_shards reads the "
                "folder it stands in."
            )
        raise FileError(
            f"{path.name!r} is HDF5 but not a stored recording (format {kind!r:.40}). NWB files "
            "end in .nwb; other HDF5 must be converted first."
        )
    if not isinstance(version, int | np.integer) or version > VERSION:
        raise FileError(
            f"{path.name!r} has format version {version}, this release reads up to {VERSION}. "
            "Upgrade: pip install -U neuro-fm."
        )


def _text(group: Any, name: str) -> dict[str, Any]:
    values = json.loads(_raw(group, name).tobytes().decode())
    if not isinstance(values, dict):
        raise FileError(f"{name!r} does not hold an object.")
    return values


def _raw(group: Any, name: str) -> AnyArray:
    """A data set as an array, by h5py's lower interface: half the time of ``group[name]``."""
    import h5py

    found = h5py.h5d.open(group.id, name.encode())
    array = np.empty(found.shape, found.dtype)
    found.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def _get(group: Any, name: str) -> AnyArray:
    array = _raw(group, name)
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def _optional(group: Any, name: str) -> AnyArray | None:
    return _get(group, name) if name in group else None


def _recording(file: Any, path: Path, lazy: bool) -> Recording:
    facts = _text(file, "meta")
    names = facts.pop("streams")
    clocks = {k: Clock(*ab) for k, ab in facts.pop("clocks").items()}
    prov = facts.pop("provenance")
    prov["steps"] = tuple(prov["steps"])
    streams: dict[str, Regular | Irregular | Static] = {}
    for name in names:
        group = file["streams"][name]
        meta = _text(group, "meta")
        kind = meta.pop("kind")
        if kind == "regular":
            streams[name] = _get_regular(group, meta, path, lazy)
        elif kind == "irregular":
            streams[name] = Irregular(
                _get(group, "times_s"),
                _get(group, "unit_index"),
                _get_axis(group["axis"]),
                _get(group, "support"),
                meta["modality"],
            )
        elif kind == "static":
            streams[name] = Static(
                _get(group, "array"),
                tuple(meta["dims"]),
                meta["unit"],
                axis=_get_axis(group["axis"]) if "axis" in group else None,
                affine=_optional(group, "affine"),
                frame=meta["frame"],
            )
        else:
            raise FileError(f"Stream {name!r} is of unknown kind {kind!r}.")
    here = file["events"]
    events = Events(
        _get(here, "onset_s"),
        _get(here, "duration_s"),
        _get(here, "type"),
        _get(here, "value"),
        _get(here, "stream"),
        _get(here, "block"),
        {n: _get(here["columns"], n) for n in here["columns"]},
    )
    return Recording(streams, events, clocks=clocks, provenance=Provenance(**prov), **facts)


def _get_regular(group: Any, meta: dict[str, Any], path: Path, lazy: bool) -> Regular:
    data = group["data"]
    if data.ndim != 2 or data.dtype not in (np.float32, np.int16):
        raise FileError(f"Samples are {data.ndim}-d {data.dtype}; 2-d float32 or int16 expected.")
    return Regular(
        StoredArray(path, data) if lazy else np.asarray(data),
        meta["rate"],
        meta["unit"],
        _get_axis(group["axis"]),
        meta["modality"],
        t0_s=float(meta["t0_s"]),
        segments=_get(group, "segments"),
        valid=_optional(group, "valid"),
        scale=_optional(group, "scale"),
        offset=_optional(group, "offset"),
    )


def _get_axis(group: Any) -> Axis:
    facts = _text(group, "meta")
    grid = None
    if "ijk" in group:
        grid = Grid(_get(group, "affine"), tuple(facts["shape"]), _get(group, "ijk"))
    return Axis(
        _get(group, "names").tolist(),
        _get(group, "types").tolist(),
        positions=_optional(group, "positions"),
        frame=facts["frame"],
        atlas=facts["atlas"],
        reference=facts["reference"],
        labels=_optional(group, "labels"),
        bad=_get(group, "bad"),
        grid=grid,
        columns={n: _get(group["columns"], n) for n in group["columns"]},
    )


class StoredArray:
    """Samples on disk, shape (axis, time); opened once a process, on first use.

    Parameters
    ----------
    path : Path
        The file.
    dataset : h5py.Dataset
        Its samples, open while this is built only.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self._path = path.resolve()
        self._name: str = dataset.name
        self._shape: tuple[int, int] = tuple(int(n) for n in dataset.shape)  # type: ignore[assignment]
        self._dtype: np.dtype[Any] = dataset.dtype
        self._pid = -1
        self._source: _Tiles | Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of (axis, time)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one stored sample."""
        return self._dtype

    def __repr__(self) -> str:
        return f"StoredArray({self._path.name}:{self._name}, {self._shape}, {self._dtype})"

    def __getstate__(self) -> dict[str, Any]:
        # a handle must not travel to another process: each worker opens its own
        return {**self.__dict__, "_pid": -1, "_source": None}

    def _open(self) -> "_Tiles | Any":
        if self._pid != os.getpid():
            with blame(self._path, "cannot be opened again", Exception):
                self._source = self._reopened()
            self._pid = os.getpid()
        return self._source

    def _reopened(self) -> "_Tiles | Any":
        file = safe.open_hdf5(self._path)
        dataset = file[self._name]
        if dataset.shape != self._shape or dataset.dtype != self._dtype:
            file.close()
            raise FileError(f"{self._path.name!r} has changed since it was opened. Load again.")
        tiles = _Tiles.of(self._path, dataset)
        if tiles is None:
            return dataset
        file.close()
        return tiles

    def _read(self, source: Any, start: int, stop: int) -> AnyArray:
        with blame(self._path, "cannot be read", Exception):
            return np.asarray(source[:, start:stop])

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, step = times.indices(self._shape[1])
        if step != 1:
            return self[rows, slice(start, stop)][:, ::step]
        source = self._open()
        if not isinstance(source, _Tiles):
            return np.asarray(self._read(source, start, stop)[rows])
        out = np.empty((self._shape[0], max(0, stop - start)), dtype=self._dtype)
        source.copy(start, stop, out)
        return out if isinstance(rows, slice) and rows == slice(None) else out[rows]

    def gather(self, starts: IntArray, n_times: int, out: FloatArray, at: IntArray) -> None:
        """Copy many windows into a batch.

        Parameters
        ----------
        starts : ndarray of int, shape (n,)
            First sample of each window.
        n_times : int
            Samples in a window.
        out : ndarray of float32, shape (batch, axis, n_times)
            Where to copy to; integers are cast, not scaled.
        at : ndarray of int, shape (n,)
            Row of `out` for each window.
        """
        source = self._open()
        if len(starts) and (starts.min() < 0 or starts.max() + n_times > self._shape[1]):
            raise DataError(f"A window leaves the signal of {self._shape[1]} samples.")
        for row, start in zip(at.tolist(), starts.tolist(), strict=True):
            if isinstance(source, _Tiles):
                source.copy(start, start + n_times, out[row])
            else:
                out[row] = self._read(source, start, start + n_times)


class _Tiles:
    """Uncompressed chunks of a file, mapped into memory.

    Parameters
    ----------
    mapped : ndarray of uint8
        The whole file.
    offsets : ndarray of int64, shape (n_chunks,)
        Where each chunk begins; HDF5 puts its index between them.
    shape : tuple of int
        Rows and samples of a chunk.
    dtype : dtype
        Of a sample.
    """

    def __init__(
        self, mapped: AnyArray, offsets: IntArray, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self._mapped, self._offsets = mapped, offsets.tolist()
        self._shape, self._dtype = shape, dtype

    @classmethod
    def of(cls, path: Path, dataset: Any) -> "_Tiles | None":
        """Map a data set whose chunks can be addressed directly, else None."""
        plain = (
            dataset.chunks is not None
            and dataset.compression is None
            and not any((dataset.shuffle, dataset.fletcher32, dataset.scaleoffset))
            and dataset.id.get_create_plist().get_nfilters() == 0
            and dataset.chunks[0] == dataset.shape[0]
            and dataset.dtype.isnative
        )
        if not plain:
            return None
        width = int(dataset.chunks[1])
        n_chunks = -(-dataset.shape[1] // width)
        nbytes = dataset.shape[0] * width * dataset.dtype.itemsize
        offsets = np.full(n_chunks, -1, dtype=np.int64)

        def note(chunk: Any) -> None:
            if chunk.size == nbytes and chunk.filter_mask == 0:
                offsets[chunk.chunk_offset[1] // width] = chunk.byte_offset

        dataset.id.chunk_iter(note)
        if offsets.min() < 0 or offsets.max() + nbytes > path.stat().st_size:
            return None
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        return cls(mapped, offsets, (dataset.shape[0], width), dataset.dtype)

    def copy(self, start: int, stop: int, out: AnyArray) -> None:
        """Copy samples [start, stop) into `out`, shape (axis, stop - start)."""
        # Of one type, as bytes: HDF5 aligns nothing, and unaligned numbers are copied one by one.
        same = out.dtype == self._dtype
        kind, step = (np.dtype(np.uint8), self._dtype.itemsize) if same else (self._dtype, 1)
        target = out.view(kind) if same else out
        rows, width = self._shape
        done, k = start, start // width
        while done < stop:
            first = k * width
            end = min(first + width, stop)
            tile: AnyArray = np.ndarray(
                (rows, width * step), kind, buffer=self._mapped, offset=self._offsets[k]
            )
            source = tile[:, (done - first) * step : (end - first) * step]
            target[:, (done - start) * step : (end - start) * step] = source
            done, k = end, k + 1
