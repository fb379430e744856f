"""Pictures and the page of a session."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.bci.courses import erd_courses
from neuro.bci.maps import ClassMap, auto_select
from neuro.bci.workspace import Workspace
from neuro.data.channels import canonical_eeg_name, eeg_positions
from neuro.errors import ConfigError, DataError
from neuro.io.safe import atomic_path, read_json
from neuro.plot.bci import class_spectra, difference_map, erd_course, latencies, topography
from neuro.plot.page import Grid, Section, page
from neuro.stream import Selection, Table
from neuro.typing import PathLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["map_figures", "session_report"]


def map_pictures(
    found: ClassMap, table: Table, chosen: tuple[str, ...] = ()
) -> "list[tuple[str, str, Figure]]":
    """File name, caption and figure of the map, its best frequency on the head, and spectra."""
    places = [(r, c.start) for r, c in Selection(chosen).places(table)] if chosen else []
    names, freqs = table.rows, table.columns
    out = [(
        "map", f"R² of {found.classes[0]} against {found.classes[1]}; red: larger in "
        f"{found.classes[1]}. Squares are chosen features.",
        difference_map(found.r2, names, freqs, sign=found.sign, chosen=places),
    )]  # fmt: skip
    row, column = np.unravel_index(int(found.r2.argmax()), found.r2.shape)
    positions = eeg_positions([canonical_eeg_name(n.strip(". ")) for n in names])
    if np.isfinite(positions).all(axis=1).sum() >= 3:
        signed = found.r2[:, column] * found.sign[:, column]
        head = topography(
            signed,
            positions,
            names,
            label="signed R²",
            title=f"{freqs[column]:g} Hz",
            diverging=True,
        )
        out.append(("topography", f"The same at {freqs[column]:g} Hz, from above.", head))
    spectra = class_spectra(
        [m[row] for m in found.means], found.classes, freqs, names[row], r2=found.r2[row],
        unit=table.unit,
    )  # fmt: skip
    out.append(("spectra", f"Means of both classes at {names[row]}.", spectra))
    return out


def map_figures(found: ClassMap, table: Table, folder: PathLike) -> list[Path]:
    """Write the map's pictures as PNG files.

    Parameters
    ----------
    found : ClassMap
        Differences.
    table : Table
        Names.
    folder : path
        Is made if needed.

    Returns
    -------
    list of Path
    """
    from neuro.plot._style import styled

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    out = []
    for name, _, figure in map_pictures(found, table, auto_select(found.r2, table)):
        with atomic_path(target / f"{name}.png") as path, styled():
            figure.savefig(path, dpi=120, format="png")
        out.append(target / f"{name}.png")
    return out


def session_report(workspace: Workspace, path: PathLike) -> Path:
    """Write a page about a session: runs, maps, attempts, what happened online.

    Parameters
    ----------
    workspace : Workspace
        The session.
    path : path
        HTML file to write.

    Returns
    -------
    Path
    """
    sections = [_runs(workspace)]
    try:
        found, table = workspace.map()
        attempts = workspace.attempts
        chosen = attempts[-1].features if attempts else ()
        try:
            pictures = map_pictures(found, table, chosen)
        except (DataError, ValueError):  # chosen under other settings
            pictures = map_pictures(found, table)
        drawn = [p[1:] for p in pictures] + _course(workspace, found, table)
        sections.append(Section("Where the classes differ", figures=drawn))
    except DataError as error:
        sections.append(Section("Where the classes differ", text=[str(error)]))
    sections += [_attempts(workspace), *_online(workspace)]
    target = Path(path)
    with atomic_path(target) as fresh:
        fresh.write_text(page("A session", sections), encoding="utf-8")
    return target


def _course(workspace: Workspace, found: ClassMap, table: Table) -> "list[tuple[str, Figure]]":
    """Power around the cue, at the channel and near the frequency that differ most."""
    row, column = np.unravel_index(int(found.r2.argmax()), found.r2.shape)
    middle = table.columns[column]
    low, high = max(1.0, middle - 2), middle + 2
    try:
        course = erd_courses(workspace, low, high)
        at = course.ch_names.index(table.rows[row])
    except (DataError, ConfigError, ValueError):  # no baseline, no such band: no picture
        return []
    figure = erd_course(
        course.times, {k: v[at] for k, v in course.percent.items()},
        channel=table.rows[row], band=f"{low:g} to {high:g} Hz",
    )  # fmt: skip
    return [("Change of power against the second before the cue.", figure)]


def _runs(workspace: Workspace) -> Section:
    rows = [
        (r.id, r.name, ", ".join(f"{n} {c}" for c, n in r.cues.items()),
         "left out" if r.excluded else "used")
        for r in workspace.runs
    ]  # fmt: skip
    return Section("Runs", grid=Grid(["run", "file", "cues", ""], rows))


def _attempts(workspace: Workspace) -> Section:
    rows = [
        (a.number, ", ".join(a.runs), ", ".join(a.features) or "all", a.kind,
         f"{a.scores['nested']:.2f}", f"{a.scores['quick']:.2f}", f"{a.scores['kappa']:.2f}",
         a.scores["n_trials"])
        for a in workspace.attempts
    ]  # fmt: skip
    text = [
        "Balanced accuracy. Expected: features chosen inside every fold, what to count on for the "
        "next run. Quick: chosen on all trials, always too good."
    ]
    columns = ["attempt", "runs", "features", "classifier", "expected", "quick", "kappa", "trials"]
    return Section("Attempts", text=text if rows else (), grid=Grid(columns, rows))


def _machine(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Load of the processor, and what the amplifier's clock did."""
    out = []
    if "cpu_share" in told:
        out.append(("processor", f"{100 * told['cpu_share']:.0f} % of one core"))
    if told.get("clock"):
        clock = told["clock"]
        text = f"measured {clock['measured']} times, moved by {clock['moved_ms']:.2f} ms"
        out.append(("amplifier's clock", text))
    return out


def _online(workspace: Workspace) -> list[Section]:
    out = []
    for folder in sorted((workspace.folder / "online").glob("[0-9]*")):
        if not (folder / "report.json").is_file():
            continue
        told: dict[str, Any] = read_json(folder / "report.json")
        rows = [
            (stage, f["n"], f"{f['p50_ms']:.2f}", f"{f['p95_ms']:.2f}", f"{f['max_ms']:.2f}")
            for stage, f in told["latency"].items()
        ]
        kinds = [m["kind"] for m in told["messages"]]
        notes = [f"{m['kind']}: {m['text']}" for m in told["messages"] if m["kind"] != "attached"]
        out.append(
            Section(
                f"Online {int(folder.name)}",
                text=notes[:20],
                facts=[
                    ("attempt", str(told["attempt"])),
                    ("samples", str(told["samples"])),
                    ("gaps", str(kinds.count("gap"))),
                    *_machine(told),
                ],
                grid=Grid(["stage (ms)", "n", "median", "95 %", "largest"], rows),
                figures=[("From the last sample to the decision.", latencies(told["histogram"]))],
            )
        )
    return out
