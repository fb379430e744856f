"""The page that a training run leaves in its folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro.io import safe

if TYPE_CHECKING:
    from neuro.data import Windows
    from neuro.train import Run

__all__ = ["PAGE", "write_run_page"]

PAGE = "report.html"
_FEWEST = 4  # regions with a network that make a map
# what the loop itself logs; every other figure is the model's own
_LOOP = ("step", "lr", "grad_norm", "samples_per_s", "wall_s")


def write_run_page(
    run: "Run", model: Any, train: "Windows", valid: "Windows | None" = None
) -> Path:
    """Write ``report.html`` into the folder of a run.

    Parameters
    ----------
    run : Run
        Finished or stopped.
    model : NetworkModel
        That was trained.
    train, valid : Windows
        Of the run.

    Returns
    -------
    Path
    """
    from neuro.plot.models import training_curve
    from neuro.plot.page import Grid, Section, page

    lines = run.metrics()
    arguments = run.config["arguments"]
    sections = [
        Section("The run", facts=_run_facts(run, arguments, lines)),
        Section("The model", facts=_model_facts(model)),
        Section("The data", facts=_data_facts(train, valid)),
    ]
    if any("loss" in line for line in lines):
        sections.append(Section("Learning", figures=[("loss by step", training_curve(lines))]))
    networks = _networks(train, model)
    if len(set(networks) - {""}) > 1:
        from neuro.plot.regions import region_map

        vectors = model.roi_embedding.cpu().numpy()
        sections.append(
            Section("Regions", figures=[("embeddings of regions", region_map(vectors, networks))])
        )
    rows = _last_of_each(lines)
    if rows:
        sections.append(
            Section("Last figures", grid=Grid(("figure", "first", "last", "at step"), rows))
        )
    notes = [f"The run ended before its last step: {run.stopped}"] if run.stopped else []
    if any(rec.dataset.startswith("synthetic_") for rec in train.recordings):
        notes.append("Simulated data: nothing on this page was measured on a brain.")
    text = page(
        f"{model.name}, {run.folder.name}", sections, subtitle="a training run", notes=notes
    )
    path = run.folder / PAGE
    with safe.atomic_path(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return path


def _run_facts(
    run: "Run", arguments: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    timed = [line for line in lines if "wall_s" in line]
    facts = [("steps", f"{run.step} of {arguments['steps']}")]
    for name in ("stage", "batch_size", "lr", "weight_decay", "precision", "seed"):
        if arguments.get(name) is not None:
            facts.append((name.replace("_", " "), str(arguments[name])))
    facts.append(("processes", str(run.config["processes"])))
    if timed:
        facts.append(("time", f"{timed[-1]['wall_s']:.0f} s"))
        speed = sorted(float(line["samples_per_s"]) for line in timed)
        facts.append(("windows a second", f"{speed[len(speed) // 2]:.0f} (median)"))
    return facts


def _model_facts(model: Any) -> list[tuple[str, str]]:
    facts = [("system", model.name), ("parameters", f"{model.n_parameters():,}")]
    shown = {k: v for k, v in model.config.to_json().items() if v not in (None, [])}
    shown.pop("ch_names", None)
    shown.pop("ch_positions", None)
    return [*facts, ("configuration", ", ".join(f"{k} {v}" for k, v in shown.items()))]


def _data_facts(train: "Windows", valid: "Windows | None") -> list[tuple[str, str]]:
    facts = [("training", repr(train))]
    if valid is not None:
        facts.append(("validation", repr(valid)))
    facts.append(("channels", ", ".join(train.ch_names)))
    steps = {step for rec in train.recordings for step in rec.provenance.steps}
    if steps:
        listed = sorted(steps)
        more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
        facts.append(("what was done to them", "; ".join(listed[:12]) + more))
    return facts


def _networks(train: "Windows", model: Any) -> list[str]:
    """Network of each region that the model has an embedding of; empty where none is known."""
    if not hasattr(model, "roi_embedding"):
        return []
    known: dict[str, str] = {}
    for rec in train.recordings:
        axis = rec.regular(train.stream).axis
        column = next((axis.columns[c] for c in ("network", "module") if c in axis.columns), None)
        if column is not None:
            known |= dict(zip(axis.names, map(str, column.tolist()), strict=True))
    out = [known.get(name, "") or _of_schaefer(name) for name in train.ch_names]
    return out if len(out) == len(model.roi_embedding) and sum(map(bool, out)) >= _FEWEST else []


def _of_schaefer(name: str) -> str:
    """Network in a region's name as the Schaefer atlas has it: 7Networks_LH_Vis_1, LH_Vis_1."""
    found = re.match(r"(?:\d+Networks_)?[LR]H_([A-Za-z]+)_", name)
    return found[1] if found else ""


def _last_of_each(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, int]]:
    """First and last value of every figure that the model logged."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in _LOOP and isinstance(value, int | float):
                found.setdefault(name, []).append((int(line["step"]), float(value)))
    return [
        (name, float(f"{values[0][1]:.4g}"), float(f"{values[-1][1]:.4g}"), values[-1][0])
        for name, values in found.items()
    ]
