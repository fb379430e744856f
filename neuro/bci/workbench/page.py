"""The page: six steps on the left, one of them on the right, keys for everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from nicegui import events, ui

from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.panels import PANELS

__all__ = ["Page", "show"]

_EVERY_S = 0.12
_TITLES = {
    "runs": "Runs", "features": "Features", "map": "Map", "train": "Train", "online": "Online",
    "report": "Report",
}  # fmt: skip
_KEYS = (
    ("1 … 6", "go to a step"),
    ("e", "extract features"),
    ("a", "let the map pick features"),
    ("t", "train"),
    ("c", "calibrate: record a run"),
    ("o", "go online"),
    ("s", "stop what runs"),
    ("x", "cancel work in the background"),
    ("Esc", "put the notice away"),
    ("l", "larger or normal letters"),
    ("?", "this help"),
)


def show(bench: Bench, step: str = "", large: bool = False) -> None:
    """Draw the page for one browser tab.

    Parameters
    ----------
    bench : Bench
        Shared by all tabs.
    step : str
        Where to begin; the first step that is not done if it is none.
    large : bool
        Larger letters.
    """
    Page(bench, step if step in PANELS else _first(bench), large)


def _first(bench: Bench) -> str:
    """The step at which a session that is opened again goes on."""
    workspace = bench.workspace
    if bench.session.state != "idle":
        return "online"
    if not workspace.runs:
        return "runs"
    return "map" if workspace.extracted else "features"


class Page:
    """One browser tab; knows which step it shows, everything else is asked for.

    Parameters
    ----------
    bench : Bench
        Shared by all tabs.
    step : str
        Step that is shown.
    large : bool
        Larger letters.
    """

    def __init__(self, bench: Bench, step: str, large: bool) -> None:
        self.bench, self.step, self.large = bench, step, large
        self._seen: Any = None
        self._tick: Callable[[], None] | None = None
        self._facts: dict[str, ui.label] = {}
        self._steps: dict[str, ui.element] = {}
        style = (files("neuro.bci.workbench") / "style.css").read_text(encoding="utf-8")
        ui.add_css(style)
        ui.colors(primary="#0b4a8f", negative="#9e1b1b", positive="#166534")
        ui.query("body").classes("large" if large else "normal")
        self._help = self._keys()
        self._top()
        with ui.element("div").classes("bench"):
            with ui.element("nav").classes("bench-nav"):
                for number, name in enumerate(PANELS, 1):
                    self._step(number, name)
            with ui.element("main").classes("bench-main"):
                self._above = ui.element("div")
                self._panel = ui.element("div")
        ui.keyboard(self._key, repeating=False, ignore=["input", "select", "textarea"])
        self.draw()
        ui.timer(_EVERY_S, self._look)

    # ---- drawing --------------------------------------------------------------------

    def _top(self) -> None:
        with ui.element("header").classes("bench-top"):
            ui.label(self.bench.workspace.folder.name).classes("name")
            self._classes = ui.label()
            ui.element("div").classes("grow")
            ui.button("Normal letters" if self.large else "Larger letters", on_click=self._letters)\
                .props("flat color=white dense")  # fmt: skip
            ui.button("Keys  ?", on_click=self._help.open).props("flat color=white dense")

    def _keys(self) -> ui.dialog:
        with ui.dialog() as dialog, ui.element("div").classes("card"):
            ui.label("Keys").classes("state")
            with ui.element("div").classes("sheet").style("grid-template-columns: auto 1fr"):
                for key, does in _KEYS:
                    with ui.element("div"):
                        ui.html(key, tag="kbd", sanitize=False)
                    ui.label(does)
        return dialog

    def _step(self, number: int, name: str) -> None:
        step = ui.element("button").classes("step").props(f'data-step="{name}"')
        step.on("click", lambda: self.go(name))
        with step:
            ui.label(str(number)).classes("no")
            ui.label(_TITLES[name]).classes("title")
            self._facts[name] = ui.label().classes("fact")
        self._steps[name] = step

    def draw(self) -> None:
        """Everything anew, from what the workspace holds."""
        self._draw_above()
        self._panel.clear()
        self._tick = None
        with self._panel, self.told():
            self._tick = PANELS[self.step].draw(self)
        self.facts()

    def _draw_above(self) -> None:
        self._seen = self._now()
        self._classes.set_text(" against ".join(self.bench.workspace.classes))
        self._above.clear()
        with self._above:
            self._notice()
            self._job_bar()

    def facts(self) -> None:
        """The short lines under the names of the steps."""
        for name, panel in PANELS.items():
            with self.told():
                self._facts[name].set_text(panel.fact(self.bench))
            self._steps[name].classes(
                add="here" if name == self.step else "", remove="" if name == self.step else "here"
            )

    def _notice(self) -> None:
        if not self.bench.notice:
            return
        with ui.element("div").classes("notice").props('role="alert"'):
            ui.label(self.bench.notice).classes("text")
            ui.button("Close", on_click=self._put_away).props("flat dense color=negative")

    def _job_bar(self) -> None:
        job = self.bench.job
        self._job = None
        if job is None:
            return
        with ui.element("div").classes("job").props('role="status"'):
            label = ui.label()
            bar = ui.linear_progress(value=0, show_value=False).classes("bar")
            ui.button("Cancel (x)", on_click=self.bench.cancel).props("flat dense")
        self._job = (label, bar)
        self._show_job()

    def _show_job(self) -> None:
        job = self.bench.job
        if self._job is None or job is None:
            return
        label, bar = self._job
        told = f"{job.name} {job.text}" + (
            f" ({job.done} of {job.total} done)" if job.total else " …"
        )
        label.set_text(told)
        bar.set_value(job.done / job.total if job.total else 0)
        bar.props(
            add="indeterminate" if not job.total else "",
            remove="indeterminate" if job.total else "",
        )

    # ---- what happens ---------------------------------------------------------------

    def _now(self) -> Any:
        state = self.bench.watch()
        return self.bench.version, self.step, None if self.step == "online" else state

    def _look(self) -> None:
        if self._now() != self._seen:
            self._follow()
        self._show_job()
        if self._tick is not None:
            with self.told():
                self._tick()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors become the notice."""
        with self.bench.told():
            yield

    def do(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Do something and show what came of it."""
        with self.told():
            action(*arguments)
        if self._now() != self._seen:
            self._follow()
        self.facts()

    def _follow(self) -> None:
        """Show what has changed, here or elsewhere."""
        if PANELS[self.step].follows:
            self._draw_above()
            self.facts()
        else:
            self.draw()

    def go(self, step: str) -> None:
        """Show another step; the address remembers it."""
        self.step = step
        ui.navigate.history.replace(self._address())
        self.draw()

    def _address(self) -> str:
        return f"/?step={self.step}" + ("&large=1" if self.large else "")

    def _letters(self) -> None:
        self.large = not self.large
        ui.navigate.to(self._address())

    def _put_away(self) -> None:
        self.bench.notify("")

    def _key(self, event: events.KeyEventArguments) -> None:
        held = event.modifiers
        if not event.action.keydown or held.ctrl or held.alt or held.meta:
            return
        self.press(str(event.key.name))

    def press(self, key: str) -> None:
        """What a key does."""
        names = list(PANELS)
        if key.isdigit() and 1 <= int(key) <= len(names):
            self.go(names[int(key) - 1])
        elif key == "?":
            self._help.value = not self._help.value
        elif key == "l":
            self._letters()
        elif key == "Escape":
            self._put_away()
        else:
            bench = self.bench
            actions: dict[str, Callable[[], Any]] = {
                "e": bench.extract, "a": bench.pick, "t": bench.train, "s": bench.stop,
                "c": lambda: bench.calibrate(bench.feed), "o": lambda: bench.online(bench.feed),
                "x": bench.cancel,
            }  # fmt: skip
            if key in actions:
                self.do(actions[key])
