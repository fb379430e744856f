"""``neuro info``: what a file holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuro.cli._show import clean, console, table
from neuro.cli._sources import read_any
from neuro.data import Irregular, Recording, Regular

__all__ = ["describe", "print_description"]

_NAMES = 64
_EVENT_TIMES = ("first_s", "last_s", "duration_s")


def describe(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a file as plain values: no path, no name of a person.

    Parameters
    ----------
    path : Path
        The file.
    options : mapping
        Arguments of :func:`neuro.read`.

    Returns
    -------
    dict
    """
    from neuro.datasets import audit

    rec = read_any(path, options)
    return {
        "file": path.name,
        "id": rec.id,
        "dataset": rec.dataset,
        "subject": rec.subject,
        "session": rec.session,
        "run": rec.run,
        "task": rec.task,
        "age": rec.age,
        "sex": rec.sex,
        "group": rec.group,
        "site": rec.site,
        "duration_s": rec.duration_s,
        "streams": {name: _stream_facts(stream) for name, stream in rec.streams.items()},
        "events": _event_facts(rec),
        "findings": audit(rec).to_json()["findings"],
        "provenance": {
            "source": rec.provenance.source,
            "sha256": rec.provenance.sha256,
            "reader": rec.provenance.reader,
            "version": rec.provenance.version,
            "steps": list(rec.provenance.steps),
        },
    }


def _stream_facts(stream: Any) -> dict[str, Any]:
    axis = stream.axis
    facts: dict[str, Any] = {
        "kind": type(stream).__name__,
        "modality": stream.modality,
        "unit": "events" if isinstance(stream, Irregular) else stream.unit,
        "rows": 0 if axis is None else len(axis),
        "names": [] if axis is None else list(axis.names[:_NAMES]),
        "bad": [] if axis is None else [n for n, b in zip(axis.names, axis.bad, strict=True) if b],
    }
    if isinstance(stream, Regular):
        facts |= {
            "sfreq": stream.sfreq,
            "rate": str(stream.rate),
            "n_times": stream.n_times,
            "start_s": stream.t0_s,
            "duration_s": stream.duration_s,
            "segments": len(stream.segments),
            "atlas": stream.axis.atlas,
            "reference": stream.axis.reference,
            "missing": 0.0 if stream.valid is None else float(1 - stream.valid.mean()),
        }
    elif isinstance(stream, Irregular):
        facts |= {
            "n_times": len(stream.times_s),
            "start_s": stream.t0_s,
            "duration_s": stream.duration_s,
            "mean_rate_hz": _mean_rate(stream),
        }
    else:
        facts |= {"shape": list(stream.array.shape), "dims": list(stream.dims)}
    return facts


def _mean_rate(stream: Irregular) -> float:
    observed = float((stream.support[:, 1] - stream.support[:, 0]).sum())
    units = len(stream.units)
    return len(stream.times_s) / observed / units if observed and units else 0.0


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


def print_description(facts: Mapping[str, Any]) -> None:
    """Print what :func:`describe` found."""
    who = [f"{k} {facts[k]}" for k in ("subject", "session", "run", "task") if facts[k]]
    console.print(clean(", ".join([facts["file"], *who])) + f": {facts['duration_s']:.6g} s")
    columns = ["stream", "modality", "size", "rate", "unit", "rows", "bad"]
    table("Streams", columns, [_stream_row(n, s) for n, s in facts["streams"].items()])
    if facts["events"]:
        table(
            "Events",
            ["type", "count", "first s", "last s", "median duration s"],
            [
                [e["type"], e["count"], *(f"{e[k]:.6g}" for k in _EVENT_TIMES)]
                for e in facts["events"]
            ],
        )
    for step in facts["provenance"]["steps"]:
        console.print(f"step: {clean(step)}", soft_wrap=True)
    for finding in facts["findings"]:
        console.print(f"{finding['severity']}: ", style="yellow", end="")
        console.print(clean(finding["message"]), soft_wrap=True)


def _stream_row(name: str, s: Mapping[str, Any]) -> list[Any]:
    rate = ""
    if "sfreq" in s:
        rate = f"{s['sfreq']:.6g} Hz"
    elif "mean_rate_hz" in s:
        rate = f"{s['mean_rate_hz']:.3g} events/s a unit"
    size = " x ".join(map(str, s.get("shape", [s["rows"], s.get("n_times", "")])))
    names = ", ".join(s["names"][:8]) + (", …" if s["rows"] > 8 else "")
    return [name, s["modality"], size, rate, s["unit"], names, len(s["bad"]) or ""]
