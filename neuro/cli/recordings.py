"""``neuro info`` and ``neuro convert``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuro.cli._show import console, problems, show_json, table
from neuro.data import Irregular, Recording, Regular
from neuro.errors import ConfigError, DataError, DataUnavailableError, NeuroError

__all__ = ["convert_all", "describe", "print_description", "read_any"]


def read_any(path: Path, **options: Any) -> Recording:
    """Read one file with the options that were given."""
    import neuro

    given = {k: v for k, v in options.items() if v is not None}
    return neuro.read(path, **given)


_EVENT_TIMES = ("first_s", "last_s", "duration_s")


def describe(path: Path, **options: Any) -> dict[str, Any]:
    """Facts of a file as plain values."""
    from neuro.datasets import audit

    rec = read_any(path, **options)
    findings = audit([rec])
    return {
        "id": rec.id,
        "subject": rec.subject,
        "session": rec.session,
        "run": rec.run,
        "task": rec.task,
        "duration_s": rec.duration_s,
        "streams": {name: _stream_facts(stream) for name, stream in rec.streams.items()},
        "events": _event_facts(rec),
        "findings": [f.to_json() for f in findings],
        "provenance": {
            "source": rec.provenance.source,
            "sha256": rec.provenance.sha256,
            "reader": rec.provenance.reader,
            "steps": list(rec.provenance.steps),
        },
    }


def _stream_facts(stream: Any) -> dict[str, Any]:
    axis = stream.axis
    facts: dict[str, Any] = {
        "kind": type(stream).__name__,
        "modality": stream.modality,
        "rows": 0 if axis is None else len(axis),
        "names": [] if axis is None else list(axis.names[:64]),
        "bad": [] if axis is None else [n for n, b in zip(axis.names, axis.bad, strict=True) if b],
    }
    if isinstance(stream, Regular):
        facts |= {
            "unit": stream.unit,
            "sfreq": stream.sfreq,
            "n_times": stream.n_times,
            "duration_s": stream.duration_s,
            "segments": len(stream.segments),
            "atlas": axis.atlas,
            "missing": 0.0 if stream.valid is None else float(1 - stream.valid.mean()),
        }
    elif isinstance(stream, Irregular):
        facts |= {
            "unit": "events",
            "n_times": len(stream.times_s),
            "duration_s": stream.duration_s,
            "mean_rate_hz": len(stream.times_s) / max(1e-12, stream.duration_s) / len(axis),
        }
    else:
        facts |= {"unit": stream.unit, "shape": list(stream.array.shape), "dims": stream.dims}
    return facts


def _event_facts(rec: Recording) -> list[dict[str, Any]]:
    out = []
    for kind in np.unique(rec.events.type).tolist():
        rows = rec.events.select(type=kind)
        out.append(
            {
                "type": kind,
                "count": len(rows),
                "first_s": float(rows.onset_s[0]),
                "last_s": float(rows.onset_s[-1]),
                "duration_s": float(np.median(rows.duration_s)),
            }
        )
    return out


def print_description(facts: dict[str, Any]) -> None:
    """Print what :func:`describe` found."""
    console.print(f"[bold]{facts['id']}[/]  {facts['duration_s']:.6g} s")
    rows = []
    for name, s in facts["streams"].items():
        rate = f"{s['sfreq']:.6g} Hz" if "sfreq" in s else s.get("mean_rate_hz", "")
        rate = rate if isinstance(rate, str) else f"{rate:.3g} events/s a unit"
        size = f"{s['rows']} x {s['n_times']}" if "n_times" in s else str(s.get("shape", ""))
        names = ", ".join(s["names"][:8]) + (", …" if s["rows"] > 8 else "")
        rows.append([name, s["modality"], size, rate, s["unit"], names, len(s["bad"]) or ""])
    table("Streams", ["stream", "modality", "size", "rate", "unit", "rows", "bad"], rows)
    if facts["events"]:
        table(
            "Events",
            ["type", "count", "first s", "last s", "median duration s"],
            [
                [e["type"], e["count"], *(f"{e[k]:.6g}" for k in _EVENT_TIMES)]
                for e in facts["events"]
            ],
        )
    for finding in facts["findings"]:
        console.print(f"[yellow]{finding['severity']}[/] {finding['message']}", soft_wrap=True)
    for step in facts["provenance"]["steps"]:
        console.print(f"  step: {step}", highlight=False)


def convert_all(
    sources: Sequence[Path],
    out: Path,
    *,
    unit: str | None,
    tr: float | None,
    atlas: Path | None,
    jobs: int,
    shards: bool,
    as_json: bool,
) -> int:
    """Convert files to the store; returns how many failed."""
    from joblib import Parallel, delayed
    from rich.progress import track

    files = _files(sources)
    names = _names(files)
    out.mkdir(parents=True, exist_ok=True)
    options = {"unit": unit, "tr": tr, "atlas": atlas}
    work = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_convert)(file, out / f"{name}.h5", options)
        for file, name in zip(files, names, strict=True)
    )
    quiet = as_json or not console.is_terminal
    rows = list(track(work, "converting", total=len(files), console=problems, disable=quiet))
    if shards:
        from neuro.io import load_shards, save_shards, store

        done = [out / str(row["stored"]) for row in rows if row["state"] != "failed"]
        save_shards((store.load(p) for p in done), out / "shards")
        load_shards(out / "shards")
    if as_json:
        show_json(rows)
    else:
        columns = ["source", "stored", "state", "message"]
        table("Converted", columns, [[row[c] for c in columns] for row in rows])
    return sum(row["state"] == "failed" for row in rows)


def _files(sources: Sequence[Path]) -> list[Path]:
    from neuro.io import known_suffixes

    out: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = [p for p in _walk(source) if p.name.lower().endswith(known_suffixes())]
            if not found:
                raise DataError(f"{source.name!r} holds no file of a known format.")
            out += found
        elif source.exists():
            out.append(source)
        else:
            raise DataUnavailableError(f"There is no file {str(source)!r}.")
    return out


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.parts):
            yield path


def _names(files: Sequence[Path]) -> list[str]:
    """A distinct name for each file: its stem, with parents where stems repeat."""
    stems = [f.name.split(".")[0] for f in files]
    for depth in range(1, 10):
        if len(set(stems)) == len(stems):
            return stems
        stems = [
            "_".join([*f.parts[-1 - depth : -1], f.name.split(".")[0]]).strip("/_") for f in files
        ]
    raise ConfigError("Several sources have the same name; convert them into separate folders.")


def _convert(source: Path, target: Path, options: dict[str, Any]) -> dict[str, str]:
    from neuro.io import store
    from neuro.io.safe import sha256_of

    row = {"source": source.name, "stored": target.name, "state": "converted", "message": ""}
    try:
        if target.exists() and source.is_file():
            known = store.load(target).provenance
            if known.sha256 and known.sha256 == sha256_of(source):
                return row | {"state": "unchanged"}
        store.save(read_any(source, **options), target)
    except NeuroError as error:
        return row | {"stored": "", "state": "failed", "message": str(error)}
    return row
