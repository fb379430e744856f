"""``neuro datasets …`` and ``neuro models …``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro import datasets, models
from neuro.cli._guard import tell
from neuro.cli._show import clean, console, show_json, table
from neuro.cli._sources import recordings_of
from neuro.errors import DataUnavailableError, FileError

if TYPE_CHECKING:
    pass

__all__ = [
    "audit_source",
    "dataset_info",
    "get_datasets",
    "list_datasets",
    "list_models",
    "load_model",
    "model_info",
]


def list_datasets(as_json: bool) -> None:
    """Print one line a data set."""
    rows = []
    for name in datasets.list():
        card = datasets.info(name)
        by_path = card.source.kind == "path"
        here = "your own copy" if by_path else "yes" if datasets.available(name) else "no"
        rows.append({"name": name, "modality": card.modality, "title": card.title, "here": here})
    if as_json:
        show_json(rows)
        return
    table("Data sets", list(rows[0]), [list(row.values()) for row in rows])
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
    if isinstance(value, Mapping):
        return "\n".join(f"{k}: {v}" for k, v in value.items() if v not in ("", None, (), {}))
    if isinstance(value, list | tuple):
        return "\n".join(str(v) for v in value)
    return str(value)


def get_datasets(names: Sequence[str], as_json: bool) -> bool:
    """Fetch data sets, each whole or not at all; False if one could not be fetched.

    Raises
    ------
    ConfigError
        If a name is misspelt; nothing is fetched then.
    DataUnavailableError
        If one must be supplied by the user; nothing is fetched then.
    """
    for name in names:
        if datasets.info(name).source.kind == "path":
            datasets.get(name)  # raises, with what the user can do
    rows = []
    for name in names:
        row = {"name": name, "state": "ready", "folder": "", "message": ""}
        try:
            row["folder"] = str(datasets.get(name, progress=not as_json))
        except (DataUnavailableError, FileError) as error:
            row |= {"state": "failed", "message": str(error)}
            tell(error)
        rows.append(row)
        if not as_json and row["state"] == "ready":
            console.print(f"{name}: ready in {row['folder']}", soft_wrap=True)
    if as_json:
        show_json(rows)
    return all(row["state"] == "ready" for row in rows)


def audit_source(
    source: str, options: Mapping[str, Any], *, root: Path | None, as_json: bool
) -> bool:
    """Print what the audit finds; True if nothing wrong."""
    # what the reader would refuse is what an audit is asked about
    found = datasets.audit(recordings_of(source, options, root=root, check=False))
    if as_json:
        show_json(found.to_json())
    elif not len(found):
        console.print(f"No defect found in {found.n_recordings} recordings.")
    else:
        columns = ["severity", "kind", "recordings", "what", "remedy"]
        rows = [[f.severity, f.kind, _some(f.recordings), f.message, f.remedy] for f in found]
        table(f"Findings in {found.n_recordings} recordings", columns, rows)
    return bool(found.ok)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# ---- models --------------------------------------------------------------------


def list_models(as_json: bool) -> None:
    """Print one line a model."""
    rows = []
    for name in models.list():
        info = models.info(name)
        rows.append(
            {"name": name, "kind": info.kind, "summary": info.summary, "presets": [*info.presets]}
        )
    if as_json:
        show_json(rows)
        return
    cells = [[r["name"], r["kind"], r["summary"], ", ".join(r["presets"])] for r in rows]
    table("Models", ["name", "kind", "summary", "presets"], cells)
    console.print("Describe one with: neuro models info NAME")


def model_info(name: str, as_json: bool) -> None:
    """Print a model's card, or what a checkpoint or run folder holds."""
    facts = _checkpoint(Path(name)) if Path(name).is_dir() else _plain(models.info(name))
    if as_json:
        show_json(facts)
        return
    card = facts.pop("card", "")
    table(Path(name).name, ["what", "value"], [[k, _cell(v)] for k, v in facts.items()])
    if card:
        console.print(clean(card), soft_wrap=True)


def _checkpoint(folder: Path) -> dict[str, Any]:
    model = load_model(folder)
    if models.info(model.name).kind == "estimator":
        return {"model": model.name, "config": model.config.to_json(), **model.provenance}
    history = model.provenance.get("training", [])
    return {
        "model": model.name,
        "parameters": model.n_parameters(),
        "config": model.config.to_json(),
        "contract": model.contract.to_json(),
        "training": [{k: v for k, v in entry.items() if k != "data"} for entry in history],
    }


def load_model(folder: Path) -> Any:
    """A saved model, or the best checkpoint of a run folder.

    Raises
    ------
    DataUnavailableError
        If there is no such folder, or the run has no checkpoint yet.
    FileError
        If the folder holds neither.
    """
    if not folder.is_dir():
        raise DataUnavailableError(
            f"There is no folder {str(folder)!r}. Give the --out of `neuro train`, or a folder "
            "that model.save wrote."
        )
    if (folder / "checkpoints").is_dir():
        from neuro.train import Run

        folder = Run(folder).best() / "model"
    return models.load(folder)
