"""Step 3: where the classes differ; a click chooses."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from nicegui import run, ui

from neuro.bci.workbench.bench import Bench, View
from neuro.bci.workbench.figures import head, heatmap, spectra
from neuro.bci.workbench.panels._panel import Panel, headline
from neuro.errors import DataError

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["MAP", "chosen_chips"]


def draw(page: "Page") -> Callable[[], None] | None:
    """The map, the spectra of a channel, the head at a frequency."""
    bench = page.bench
    headline(
        "Map",
        "How much of each feature the class explains (R²). A click adds a feature or takes it "
        "away; pointing at a row shows its spectra.",
    )
    view = bench.view
    if view is None:
        bench.look()
        with ui.element("div").classes("card line"):
            if bench.job is not None:
                ui.spinner()
                ui.label("A moment …")
            else:
                ui.label("There is no map for the runs and settings of now.")
                ui.button("Extract (e)", on_click=lambda: page.do(bench.extract))
        return None
    return _Map(page, view).tick


class _Map:
    """The three pictures and what was chosen, changed in place."""

    def __init__(self, page: "Page", view: View) -> None:
        self.page, self.bench, self.view = page, page.bench, view
        best = np.unravel_index(int(view.found.r2.argmax()), view.found.r2.shape)
        self._at = int(best[0]), int(best[1])
        self._choice = self.bench.workspace.choice
        first, second = view.found.classes
        with ui.element("div").classes("card"):
            ui.label(
                f"Red: larger in {second} ({view.found.n[1]} trials); blue: larger in {first} "
                f"({view.found.n[0]}). Squares are chosen."
            ).classes("hint")
            self._map = ui.plotly(self._heatmap()).props('data-field="map"')
            self._map.on("plotly_click", self._clicked)
            self._map.on("plotly_hover", self._pointed, throttle=0.15)
            self._chips = ui.element("div").classes("line")
        with ui.element("div").classes("pair"):
            with ui.element("div").classes("card"):
                self._spectra = ui.plotly(spectra(view, *self._at, large=page.large))
            with ui.element("div").classes("card").props('data-field="head"'):
                self._head = ui.image().style("max-width: 24rem")
                self._no_head = ui.label().classes("hint")
        self._fill_chips()
        ui.timer(0.05, self._draw_head, once=True)

    def _heatmap(self) -> dict[str, Any]:
        features = self.bench.workspace.choice.features or ()
        return heatmap(self.view, features, self._at, large=self.page.large)

    def _fill_chips(self) -> None:
        self._chips.clear()
        with self._chips:
            chosen_chips(self.page)
            ui.button("Pick for me (a)", on_click=lambda: self.page.do(self.bench.pick))\
                .props("outline dense")  # fmt: skip
            ui.button("Train (t)", on_click=lambda: self.page.do(self.bench.train)).props("dense")

    def tick(self) -> None:
        """Follow what was chosen, here, by a key or in another tab."""
        if self.bench.workspace.choice != self._choice:
            self._choice = self.bench.workspace.choice
            self._map.update_figure(self._heatmap())
            self._fill_chips()
            self.page.facts()

    def _cell(self, event: Any) -> tuple[int, int] | None:
        points = event.args.get("points") or [{}]
        try:
            row, column = round(float(points[0]["y"])), round(float(points[0]["x"]))
        except (KeyError, TypeError, ValueError):
            return None
        rows, columns = self.view.found.r2.shape
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None

    async def _clicked(self, event: Any) -> None:
        cell = self._cell(event)
        if cell is None:
            return
        table = self.view.table
        self._at = cell
        with self.page.told():
            if table.unit == "uV^2" and len(table.rows) == len(table.columns):
                raise DataError("Covariances are read whole; train 'tangent' on them (4).")
            self.bench.toggle(f"{table.rows[cell[0]]};{table.columns[cell[1]]:g}")
        self._choice = self.bench.workspace.choice
        self._map.update_figure(self._heatmap())
        self._fill_chips()
        self.page.facts()
        self._show_spectra()
        await self._draw_head()

    def _pointed(self, event: Any) -> None:
        cell = self._cell(event)
        if cell is not None and cell != self._at:
            self._at = cell
            self._show_spectra()

    def _show_spectra(self) -> None:
        self._spectra.update_figure(spectra(self.view, *self._at, large=self.page.large))

    async def _draw_head(self) -> None:
        try:
            source = await run.io_bound(head, self.view, self._at[1])
        except DataError as error:
            self._head.set_visibility(False)
            self._no_head.set_text(f"No picture of the head: {error}")
        else:
            self._head.set_source(source or "")


def chosen_chips(page: "Page") -> None:
    """Chosen features, each with a button that takes it away."""
    bench = page.bench
    choice = bench.workspace.choice
    if not choice.features:
        ui.label(
            "All of each covariance is used." if choice.kind == "tangent"
            else f"Nothing chosen: the map picks {choice.n} when you train."
        )  # fmt: skip
    for name in choice.features or ():
        with ui.element("span").classes("chip").props('data-field="feature"'):
            ui.label(name)
            button = ui.element("button").props('aria-label="take away"')
            button.on("click", lambda name=name: page.do(bench.toggle, name))
            with button:
                ui.label("×")


def fact(bench: Bench) -> str:
    """How many features are chosen."""
    chosen = bench.workspace.choice.features
    return f"{len(chosen)} chosen" if chosen else "nothing chosen"


MAP = Panel(draw, fact)
