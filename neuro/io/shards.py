"""Many recordings in a few large files, for training on slow or shared disks."""

from collections.abc import Iterable
from pathlib import Path

from neuro.data import Irregular, Recording, Regular
from neuro.errors import DataError, DataUnavailableError, FileError
from neuro.io import safe
from neuro.io._files import blame
from neuro.io.store import read_group, write_group
from neuro.typing import PathLike

__all__ = ["load_shards", "save_shards"]

_INDEX = "shards.json"


def save_shards(
    recordings: Iterable[Recording], folder: PathLike, *, shard_bytes: int = 1 << 30
) -> Path:
    """Pack recordings into files of about `shard_bytes`, never cutting one.

    The index is written last: a folder without it is an unfinished one.

    Parameters
    ----------
    recordings : iterable of Recording
        May be a generator; one shard's recordings are held at a time, and
        lazy ones stay lazy.
    folder : path-like
        Created if needed; must not hold another set of shards.
    shard_bytes : int
        A shard is closed once it holds this much.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If there is nothing to pack, or the folder holds shards already.
    """
    folder = Path(folder)
    if (folder / _INDEX).exists():
        raise DataError(f"{folder.name!r} already holds shards. Choose an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    index: list[dict[str, str | int]] = []
    pending: list[Recording] = []
    size = 0
    for rec in recordings:
        pending.append(rec)
        size += _nbytes(rec)
        if size >= shard_bytes:
            index += _write(pending, folder, len(index))
            pending, size = [], 0
    if pending:
        index += _write(pending, folder, len(index))
    if not index:
        raise DataError("No recordings were given to pack.")
    safe.write_json(folder / _INDEX, {"format": "neuro-shards", "version": 1, "recordings": index})
    return folder


def load_shards(folder: PathLike) -> list[Recording]:
    """Open every recording of a folder of shards, samples left on disk.

    Parameters
    ----------
    folder : path-like
        As :func:`save_shards` made it.

    Returns
    -------
    list of Recording
        In the order they were packed.

    Raises
    ------
    DataUnavailableError
        If the folder has no index (packing did not finish).
    FileError
        If the index or a shard is damaged.
    """
    folder = Path(folder)
    if not (folder / _INDEX).exists():
        raise DataUnavailableError(
            f"{folder.name!r} has no {_INDEX}: packing did not finish. Pack the recordings again."
        )
    index = safe.read_json(folder / _INDEX)
    rows = index.get("recordings") if isinstance(index, dict) else None
    if not isinstance(rows, list) or index.get("format") != "neuro-shards":
        raise FileError(f"{_INDEX} in {folder.name!r} is not an index of shards. Pack again.")
    out = []
    by_file: dict[str, list[str]] = {}
    for row in rows:
        if not isinstance(row, dict) or not {"file", "key"} <= row.keys():
            raise FileError(f"{_INDEX} in {folder.name!r} has a malformed row. Pack again.")
        name, key = str(row["file"]), str(row["key"])
        if Path(name).name != name:
            raise FileError(f"{_INDEX} names {name!r}, which leaves the folder.")
        by_file.setdefault(name, []).append(key)
    for name, keys in by_file.items():
        path = folder / name
        with safe.open_hdf5(path) as file, blame(path, "cannot be read", Exception):
            for key in keys:
                if key not in file:
                    raise FileError(f"{name!r} lacks recording {key!r} that the index names.")
                out.append(read_group(file[key], path))
    return out


def _nbytes(rec: Recording) -> int:
    total = 0
    for stream in rec.streams.values():
        if isinstance(stream, Regular):
            total += stream.shape[0] * stream.shape[1] * stream.data.dtype.itemsize
        elif isinstance(stream, Irregular):
            total += 12 * len(stream.times_s)
        else:
            total += stream.array.nbytes
    return total


def _write(recordings: list[Recording], folder: Path, done: int) -> list[dict[str, str | int]]:
    name = f"shard-{done:06d}.h5"
    rows: list[dict[str, str | int]] = []
    with safe.create_hdf5(folder / name) as file:
        for i, rec in enumerate(recordings):
            key = f"{done + i:06d}"
            write_group(file.create_group(key), rec)
            rows.append({"file": name, "key": key, "id": rec.id})
    return rows
