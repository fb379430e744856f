"""Step 1: recordings come in, bad ones are left out."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nicegui import events, ui

from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.panels._panel import Panel, headline, sheet
from neuro.bci.workspace import Run
from neuro.errors import ConfigError

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["RUNS"]

_UNITS = {"": "as the file says", "uV": "µV", "mV": "mV", "V": "V", "nV": "nV"}
# parts of a recording whose header is among the files too
_PARTS = {".vhdr": {".eeg", ".vmrk", ".dat"}, ".set": {".fdt"}}


def draw(page: "Page") -> Callable[[], None]:
    """Form to add runs, list of those there are."""
    headline(
        "Runs",
        "Recordings of this session with their cues: EDF, GDF, XDF, BrainVision, FIF. Copies are "
        "kept. Or record one here: step 5, calibrate.",
    )
    with ui.element("div").classes("card"):
        _form(page)
    listed = ui.element("div").classes("card")
    shown: list[Run] | None = None

    def tick() -> None:
        nonlocal shown
        now = list(page.bench.workspace.runs)
        if now != shown:
            shown = now
            listed.clear()
            with listed:
                _list(page, now)

    tick()
    return tick


def _form(page: "Page") -> None:
    bench = page.bench
    with ui.element("div").classes("line"):
        path = ui.input("File on this computer").style("flex: 1; min-width: 14rem")
        path.props('data-field="path"')
        unit = ui.select(_UNITS, value="", label="Unit").style("min-width: 9rem")

        def add() -> None:
            told = path.value.strip()
            if not told:
                raise ConfigError("Name a file first.")
            bench.add([Path(told).expanduser()], unit.value)
            path.set_value("")

        path.on("keydown.enter", lambda: page.do(add))
        ui.button("Add", on_click=lambda: page.do(add))

        async def uploaded(event: events.MultiUploadEventArguments) -> None:
            folder = Path(tempfile.mkdtemp(prefix="neuro-upload-"))
            try:
                paths = []
                for one in event.files:
                    paths.append(folder / bare_name(one.name))
                    await one.save(paths[-1])
            except (OSError, ValueError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                bench.notify(f"The upload could not be kept: {error}.")
                return
            page.do(lambda: bench.add(headers(paths), unit.value, folder))

        chooser = ui.upload(multiple=True, auto_upload=True, on_multi_upload=uploaded)
        chooser.style("display: none")
        ui.button("Upload …", on_click=lambda: chooser.run_method("pickFiles")).props("outline")


def bare_name(told: str) -> str:
    """A file's own name, whatever path a browser or somebody else put before it.

    Examples
    --------
    >>> bare_name("../../etc/passwd"), bare_name("..")
    ('passwd', 'run')
    """
    name = PurePosixPath(told.replace("\\", "/")).name
    return name if name not in ("", ".", "..") else "run"


def headers(paths: list[Path]) -> list[Path]:
    """The files to read, without those that another of them refers to.

    Examples
    --------
    >>> [p.name for p in headers([Path("a.eeg"), Path("a.vhdr"), Path("b.edf")])]
    ['a.vhdr', 'b.edf']
    """
    there = {p.suffix.lower() for p in paths}
    parts = set().union(*(_PARTS[s] for s in there if s in _PARTS))
    return [p for p in paths if p.suffix.lower() not in parts]


def _list(page: "Page", runs: list[Run]) -> None:
    if not runs:
        ui.label("No run yet.")
        return
    with sheet("3rem minmax(8rem, 2fr) minmax(8rem, 2fr) auto", ["run", "file", "cues", ""]):
        for run in runs:
            faded = "out" if run.excluded else ""
            ui.label(run.id).classes(faded)
            ui.label(run.name).classes(faded)
            ui.label(", ".join(f"{n} {c}" for c, n in run.cues.items())).classes(faded)
            ui.button(
                "Take back" if run.excluded else "Leave out",
                on_click=lambda run=run: page.do(page.bench.exclude, run.id, not run.excluded),
            ).props("flat dense")


def fact(bench: Bench) -> str:
    """How many runs and cues."""
    used = [r for r in bench.workspace.runs if not r.excluded]
    left_out = len(bench.workspace.runs) - len(used)
    cues = sum(sum(r.cues.values()) for r in used)
    return f"{len(used)} runs, {cues} cues" + (f", {left_out} left out" if left_out else "")


RUNS = Panel(draw, fact, follows=True)
