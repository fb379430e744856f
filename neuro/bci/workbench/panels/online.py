"""Step 5: calibrate and decide live."""

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from neuro.bci.workbench.bench import Bench, Feed
from neuro.bci.workbench.figures import feedback
from neuro.bci.workbench.panels._panel import Panel, headline

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["ONLINE"]

_SOURCES = {"lsl": "LSL stream", "file": "a recording, played"}
_STATES = {"idle": "Nothing runs", "calibrating": "Calibrating", "online": "Online"}


def draw(page: "Page") -> Callable[[], None]:
    """Where samples come from, start and stop, and what is decided."""
    headline(
        "Online",
        "Calibrate records a run with its cues; online decides with the attempt chosen in step "
        "4. Everything that arrives is recorded.",
    )
    with ui.element("div").classes("card"):
        _form(page)
    return _Live(page).tick


def _form(page: "Page") -> None:
    bench = page.bench
    feed = bench.feed
    with ui.element("div").classes("line"):
        kind = ui.radio(_SOURCES, value="file" if feed.file else "lsl").props("inline")
        stream = ui.input("Source id, if there are several", value=feed.source_id)
        stream.bind_visibility_from(kind, "value", value="lsl")
        file = ui.input("File on this computer", value=feed.file).style("min-width: 16rem; flex: 1")
        file.bind_visibility_from(kind, "value", value="file").props('data-field="file"')
        speed = ui.number("Speed", value=feed.speed, min=0.01).style("width: 6rem")
        speed.bind_visibility_from(kind, "value", value="file").props('data-field="speed"')
        running = ui.number("Without cues, over the last", suffix="s").style("width: 12rem")

    def asked() -> Feed:
        if kind.value == "file":
            return Feed(file.value.strip(), float(speed.value or 1))
        return Feed(source_id=stream.value.strip())

    def keep() -> None:
        bench.feed = asked()

    for field in (kind, stream, file, speed):
        field.on_value_change(keep)
    with ui.element("div").classes("line"):
        ui.button("Calibrate (c)", on_click=lambda: page.do(bench.calibrate, asked()))\
            .props("outline")  # fmt: skip
        ui.button("Go online (o)", on_click=lambda: page.do(bench.online, asked(), running.value))
        ui.button("Stop (s)", on_click=lambda: page.do(bench.stop)).props("color=negative")


class _Live:
    """What runs, changed in place."""

    def __init__(self, page: "Page") -> None:
        self.page, self.bench = page, page.bench
        self._shown: Any = None
        with ui.element("div").classes("pair"):
            with ui.element("div").classes("card"):
                self._state = ui.label().classes("state").props('data-field="state"')
                self._counts = ui.label()
                with ui.element("div").classes("line").props('data-field="cues"') as self._cues:
                    ui.label("Cue now:")
                    for name in self.bench.workspace.classes:
                        ui.button(name, on_click=lambda name=name: page.do(
                            self.bench.session.mark, name)).props("outline dense")  # fmt: skip
                self._decided = ui.label().classes("decided").props('data-field="decided"')
                self._bar = ui.html(sanitize=False).props('data-field="bar"')
                ui.label("The bar is the mean of the last five decisions.").classes("hint")
            with ui.element("div").classes("card"):
                self._last = ui.html(sanitize=False)
        ui.element("div").style("height: 1rem")
        with ui.element("div").classes("card"):
            self._delay = ui.label().props('data-field="delay"')
            self._messages = ui.html(sanitize=False)
        self.tick()

    def tick(self) -> None:
        """Show what changed since."""
        session = self.bench.session
        if session.state == "idle" and self._shown is not None and self._shown["state"] == "idle":
            return
        now = session.snapshot()
        if now != self._shown:
            self._shown = now
            self._show(now)
            self.page.facts()

    def _show(self, now: dict[str, Any]) -> None:
        self._state.set_text(_STATES[now["state"]])
        self._state.classes(add=now["state"], remove=" ".join({*_STATES} - {now["state"]}))
        self._counts.set_text(
            f"{now['samples']} samples, {now['cues']} markers, {now['decisions']} decisions"
        )
        self._cues.set_visibility(now["state"] != "idle")
        last = now["last"]
        newest = last[-1] if last else {"label": ""}
        self._decided.set_text(newest["label"] or ("no decision" if last else ""))
        classes = list(last[-1]["probabilities"]) if last else list(self.bench.workspace.classes)
        self._bar.set_content(feedback(last, classes))
        self._last.set_content(_table(last))
        self._delay.set_text(_delay(now["latency"]))
        self._messages.set_content(
            "".join(
                f"<div><b>{escape(m['kind'])}</b> {escape(m['text'])}</div>"
                for m in reversed(now["messages"])
            )
        )


def _table(last: list[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td>{escape(one['cue']) or '–'}</td><td class={_verdict(one)}>"
        f"{escape(one['label']) or 'none'}</td><td>{_percent(one)}</td></tr>"
        for one in reversed(last[-10:])
    ]
    names = "<tr><th>cue</th><th>decision</th><th>probability</th></tr>"
    return f'<table class="told" data-field="last">{names}{"".join(rows)}</table>'


def _verdict(one: dict[str, Any]) -> str:
    if not one["cue"] or not one["label"]:
        return '""'
    return "right" if one["cue"] == one["label"] else "wrong"


def _percent(one: dict[str, Any]) -> str:
    return f"{one['probabilities'][one['label']]:.0%}" if one["label"] else ""


def _delay(latency: dict[str, dict[str, float]]) -> str:
    total = latency.get("total")
    if total is None:
        return "Last sample to decision: no decision yet."
    return (
        f"Last sample to decision: {total['p50_ms']:.0f} ms (median), {total['p95_ms']:.0f} ms "
        f"(95 %), over {total['n']} decisions."
    )


def fact(bench: Bench) -> str:
    """What runs."""
    return _STATES[bench.session.state].lower()


ONLINE = Panel(draw, fact, follows=True)
