"""``neuro convert``: any format into the store, again only what has changed."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuro.cli._show import console, problems, show_json, table
from neuro.cli._sources import read_any, recording_files
from neuro.data import Recording, Regular
from neuro.errors import ConfigError, DataUnavailableError, NeuroError

__all__ = ["convert_all"]

_COLUMNS = ("source", "stored", "state", "message")
_FACTS = ("id", "dataset", "subject", "session", "run", "task", "age", "sex", "group", "site")
# What readers look for beside a file of any name.
_SIDE_FILES = (".json", ".tsv", ".txt", ".vmrk", ".eeg", ".fdt")


def convert_all(
    sources: Sequence[Path],
    out: Path,
    options: Mapping[str, Any],
    *,
    jobs: int = 1,
    shards: bool = False,
    as_json: bool = False,
) -> int:
    """Convert files to the store; returns how many failed.

    Parameters
    ----------
    sources : sequence of Path
        Files, or folders whose tree is kept.
    out : Path
        Folder for the ``.h5`` files.
    options : mapping
        Arguments of :func:`neuro.read`, the same for all.
    jobs : int
        Processes.
    shards : bool
        Pack what was converted into ``out/shards``.
    as_json : bool
        Print JSON.

    Returns
    -------
    int
    """
    from joblib import Parallel, delayed
    from rich.progress import track

    work = _targets(sources, out, tables="tr" in options)
    out.mkdir(parents=True, exist_ok=True)
    rows_of = Parallel(n_jobs=min(jobs, len(work)), return_as="generator")(
        delayed(_convert)(file, place, out, target, dict(options)) for file, place, target in work
    )
    quiet = not problems.is_terminal
    rows = list(track(rows_of, "converting", total=len(work), console=problems, disable=quiet))
    kept = [row for row in rows if row["state"] != "failed"]
    if shards and kept:
        changed = any(row["state"] == "converted" for row in kept)
        _pack([out / row["stored"] for row in kept], out / "shards", changed)
    if as_json:
        show_json(rows)
    else:
        table("Converted", _COLUMNS, [[row[c] for c in _COLUMNS] for row in rows])
        if shards and kept:
            console.print(f"packed {len(kept)} recordings into shards")
    return sum(row["state"] == "failed" for row in rows)


def _targets(sources: Iterable[Path], out: Path, tables: bool) -> list[tuple[Path, str, str]]:
    """Every file to convert, its place below its source, its place below `out`."""
    found: list[tuple[Path, str]] = []
    for source in sources:
        if source.is_dir():
            files = recording_files(source, tables=tables, without=out)
            if not files:
                raise DataUnavailableError(
                    f"{source.name!r} holds no recording of a known format. Tables of regions "
                    "are taken when --tr is given; others must be named one by one."
                )
            found += [(f, f.relative_to(source).as_posix()) for f in files]
        elif source.exists():
            found.append((source, source.name))
        else:
            raise DataUnavailableError(f"There is no file {str(source)!r}.")
    found = list(dict.fromkeys(found))
    places = [_stem(place) for _, place in found]
    # a.edf and a.gdf: the format tells them apart
    places = [
        p if places.count(p) == 1 else place.replace(".", "_")
        for p, (_, place) in zip(places, found, strict=True)
    ]
    twice = {p for p in places if places.count(p) > 1}
    if twice:
        raise ConfigError(
            f"Several sources would be stored as {min(twice) + '.h5'!r}; convert them into "
            "separate folders, or give the folder above them."
        )
    return [(file, place, p + ".h5") for (file, place), p in zip(found, places, strict=True)]


def _stem(place: str) -> str:
    from neuro.io import known_suffixes

    suffix = next((s for s in known_suffixes() if place.lower().endswith(s)), "")
    return place[: len(place) - len(suffix)] if suffix else place


def _convert(
    source: Path, place: str, out: Path, target: str, options: dict[str, Any]
) -> dict[str, str]:
    row = {"source": place, "stored": target, "state": "converted", "message": ""}
    try:
        if not _store(source, out / target, options):
            row["state"] = "unchanged"
    except (NeuroError, OSError) as error:
        return row | {"stored": "", "state": "failed", "message": str(error)}
    except Exception as error:  # one file's surprise must not cost the others
        message = f"unexpected {type(error).__name__}: {error}. Please report it."
        return row | {"stored": "", "state": "failed", "message": message}
    return row


def _store(source: Path, target: Path, options: Mapping[str, Any]) -> bool:
    """Convert one file, unless the target was made from the same bytes in the same way."""
    from neuro.io import store
    from neuro.io.safe import sha256_of

    note = _note(options)
    before = _stored(target)
    if before is not None and source.is_file() and not _has_side_files(source):
        made = before.provenance
        if made.sha256 == sha256_of(source) and made.steps[-1:] == (note,):
            return False
    fresh = read_any(source, options).with_step(note)
    if before is not None and _outline(before) == _outline(fresh):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    store.save(fresh, target)
    return True


def _has_side_files(source: Path) -> bool:
    """Whether other files may have a say in what is read from this one."""
    if source.name.lower().startswith("sub-"):
        return True  # BIDS: they may lie in any folder above
    stem = source.parent / _stem(source.name)
    return any(stem.with_name(stem.name + suffix).exists() for suffix in _SIDE_FILES)


def _outline(rec: Recording) -> str:
    """Hash of all but the samples, for which the hash of the source's bytes stands."""
    digest = hashlib.sha256(repr((rec.provenance, rec.clocks, list(rec.streams))).encode())
    digest.update(repr([getattr(rec, fact) for fact in _FACTS]).encode())
    events = rec.events
    parts: list[Any] = [events.onset_s, events.duration_s, events.type, events.value, events.block]
    for stream in rec.streams.values():
        axis = stream.axis
        digest.update(repr(stream).encode())
        if axis is not None:
            digest.update(repr((axis.types, axis.frame, axis.atlas, axis.reference)).encode())
            parts += [np.array(axis.names), axis.bad, axis.positions, axis.labels]
        if isinstance(stream, Regular):
            parts += [stream.segments, np.array([stream.t0_s])]
    for part in parts:
        digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _stored(target: Path) -> Recording | None:
    from neuro.io import store

    try:
        return store.load(target) if target.exists() else None
    except NeuroError:  # damaged or of an older format: made again
        return None


def _note(options: Mapping[str, Any]) -> str:
    """Step that says how a file was converted; differs where the result may."""
    from neuro import __version__
    from neuro.io.safe import sha256_of

    said = []
    for name, value in sorted(options.items()):
        path = Path(str(value)) if name in ("atlas", "mask", "labels") else None
        if path is not None and path.is_file():
            said.append(f"{name}={path.name} ({sha256_of(path)[:16]})")
        else:
            said.append(f"{name}={value}")
    return f"converted by neuro {__version__}" + (f": {', '.join(said)}" if said else "")


def _pack(files: Sequence[Path], target: Path, changed: bool) -> None:
    """Shards of the stored files, made beside and put in place when complete."""
    from neuro.io import safe, save_shards, store

    index = target / "shards.json"
    if not changed and index.exists():
        packed = safe.read_json(index)
        if isinstance(packed, dict) and len(packed.get("recordings", [])) == len(files):
            return
    new = Path(tempfile.mkdtemp(prefix=".shards.", dir=target.parent))
    try:
        save_shards((store.load(p) for p in files), new)
        new.chmod(0o755)  # mkdtemp makes it private
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".shards.old.", dir=target.parent))
            os.replace(target, old)
            os.replace(new, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
