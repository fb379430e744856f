"""``neuro datasets …`` and ``neuro models …``."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from neuro import datasets, models
from neuro.cli._show import console, problems, show_json, table
from neuro.cli.recordings import read_any
from neuro.data import Recording
from neuro.errors import DataUnavailableError

__all__ = [
    "audit_source",
    "dataset_info",
    "get_datasets",
    "list_datasets",
    "list_models",
    "model_info",
    "recordings_of",
]


def _here(name: str) -> bool:
    return datasets.available(name)


def list_datasets(as_json: bool) -> None:
    """Print one line a data set."""
    rows = []
    for name in datasets.list():
        card = datasets.info(name)
        rows.append(
            {"name": name, "modality": card.modality, "title": card.title, "here": _here(name)}
        )
    if as_json:
        show_json(rows)
        return
    columns = ["name", "modality", "title", "here"]
    cells = [[r["name"], r["modality"], r["title"], "yes" if r["here"] else ""] for r in rows]
    table("Data sets", columns, cells)
    console.print("Fetch one with: neuro datasets get NAME")


def dataset_info(name: str, as_json: bool) -> None:
    """Print a data set's card."""
    facts = _plain(datasets.info(name))
    if as_json:
        show_json(facts)
    else:
        table(name, ["what", "value"], [[k, _cell(v)] for k, v in facts.items() if v])


def _plain(card: Any) -> dict[str, Any]:
    return asdict(card) if is_dataclass(card) and not isinstance(card, type) else dict(card)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(str(v) for v in value)
    return str(value)


def get_datasets(names: list[str]) -> None:
    """Fetch data sets, each whole or not at all."""
    for name in names:
        datasets.info(name)  # a misspelt name is told before anything is fetched
    for name in names:
        where = datasets.get(name)
        console.print(f"{name}: ready in {where}", soft_wrap=True)


def recordings_of(source: str, *, download: bool = False, **options: Any) -> list[Recording]:
    """Recordings of a data set's name, a file, a folder of files, or shards.

    Raises
    ------
    DataUnavailableError
        If it is neither a known data set nor a path.
    """
    path = Path(source)
    if path.is_dir():
        from neuro.io import known_suffixes, load_shards

        if (path / "shards.json").exists():
            return load_shards(path)
        files = sorted(p for p in path.rglob("*") if p.name.lower().endswith(known_suffixes()))
        if files:
            return [read_any(p, **options) for p in files]
        raise DataUnavailableError(f"Folder {path.name!r} holds no recording of a known format.")
    if path.is_file():
        return [read_any(path, **options)]
    if source in datasets.list():
        return datasets.load(source, download=download)
    raise DataUnavailableError(
        f"{source!r} is neither a file, a folder nor a data set. "
        f"Data sets: {', '.join(datasets.list())}."
    )


def audit_source(source: str, as_json: bool) -> bool:
    """Print what the audit finds; True if nothing."""
    findings = datasets.audit(recordings_of(source, check=False))
    if as_json:
        show_json([f.to_json() for f in findings])
    elif not len(findings):
        console.print("No defect found.")
    else:
        columns = ["severity", "kind", "what", "remedy"]
        rows = [[f.severity, f.kind, f.message, f.remedy] for f in findings]
        table("Findings", columns, rows)
    if not findings.ok:
        problems.print(f"{len(findings)} findings")
    return bool(findings.ok)


def list_models(as_json: bool) -> None:
    """Print one line a model."""
    rows = [{"name": name, **_plain(models.info(name))} for name in models.list()]
    if as_json:
        show_json(rows)
    else:
        keys = [k for k in rows[0] if k != "card"] if rows else ["name"]
        table("Models", keys, [[_cell(r.get(k, "")) for k in keys] for r in rows])


def model_info(name: str, as_json: bool) -> None:
    """Print a model's card, or the state of a checkpoint folder."""
    if Path(name).is_dir():
        model = models.load(name)
        facts = {
            "model": model.name,
            "parameters": model.n_parameters,
            "config": model.config.to_json(),
            "contract": model.contract.to_json(),
            "provenance": model.provenance,
        }
    else:
        facts = _plain(models.info(name))
    if as_json:
        show_json(facts)
    else:
        table(name, ["what", "value"], [[k, _cell(v)] for k, v in facts.items()])
