"""Step 4: train, see what to expect, compare attempts, replay runs."""

from typing import TYPE_CHECKING, Any

from nicegui import ui

from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.panels._panel import Panel, headline, sheet
from neuro.bci.workbench.panels.map import chosen_chips
from neuro.bci.workspace import Attempt
from neuro.stream.rules import RULES

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["TRAIN"]

_KINDS = {
    "lda": "linear discriminant", "shrinkage_lda": "linear discriminant, shrunk",
    "logistic": "logistic regression", "tangent": "tangent space (covariances)",
}  # fmt: skip


def draw(page: "Page") -> None:
    """What is trained, what came out, what goes online."""
    bench = page.bench
    headline(
        "Train",
        "The large number is what to expect on the next run. Where the map picks, it picks anew "
        "inside every fold; the quick score lets it see all trials first, and is too good.",
    )
    attempts = {a.number: a for a in bench.workspace.attempts}
    online = bench.workspace.choice.online or max(attempts, default=0)
    with ui.element("div").classes("pair"):
        with ui.element("div").classes("card"):
            _form(page)
        with ui.element("div").classes("card").props('data-field="score"'):
            if online in attempts:
                _score(attempts[online])
            else:
                ui.label("Nothing has been trained yet.")
    ui.element("div").style("height: 1rem")
    if attempts:
        with ui.element("div").classes("card"):
            _compare(page, list(attempts.values()), online)
        with ui.element("div").classes("card"):
            _replay(page, attempts[online])


def _form(page: "Page") -> None:
    bench = page.bench
    choice = bench.workspace.choice
    with ui.element("div").classes("line"):
        chosen_chips(page)
    with ui.element("div").classes("fields"):
        ui.select(
            {k: _KINDS.get(k, k) for k in RULES}, value=choice.kind, label="Classifier",
            on_change=lambda e: page.do(bench.choose, "kind", e.value),
        )  # fmt: skip
        for name, label, unit in (("n", "The map picks", ""), ("fmin", "from", "Hz"),
                                  ("fmax", "to", "Hz")):  # fmt: skip
            field = ui.number(label, value=getattr(choice, name), suffix=unit)
            field.on("blur", lambda f=field, name=name: page.do(bench.choose, name, f.value))
    with ui.element("div").classes("line"):
        ui.button("Train (t)", on_click=lambda: page.do(bench.train))
        if choice.features:
            ui.button("Let the map pick", on_click=lambda: page.do(bench.choose, "features", None))\
                .props("flat")  # fmt: skip


def _score(attempt: Attempt) -> None:
    scores = attempt.scores
    nested, quick = float(scores["nested"]), float(scores["quick"])
    ui.label("Expected on the next run").classes("score-words")
    ui.label(f"{nested:.0%}").classes("score").props('data-field="nested"')
    _meter(nested, float(scores["chance"]))
    told = f"balanced accuracy of {scores['n_trials']} trials; chance is {scores['chance']:.0%}"
    ui.label(told).classes("hint")
    more = quick - nested
    words = f" ({100 * more:+.0f} points of optimism)" if abs(more) > 0.005 else " (the same)"
    ui.label(f"Quick score {quick:.0%}{words}").classes("quick").props('data-field="quick"')
    rates = ", ".join(f"{name} {rate:.0%}" for name, rate in scores["rates"].items())
    ui.label(f"Right answers: {rates}").classes("quick")
    if attempt.features and abs(more) < 1e-12:
        ui.label(
            "If you chose these features looking at these runs, expect less than this."
        ).classes("quick")


def _meter(value: float, chance: float) -> None:
    ui.html(
        f'<i style="width:{100 * value:.1f}%"></i><u style="left:{100 * chance:.1f}%"></u>',
        sanitize=False,
    ).classes("meter")


def _compare(page: "Page", attempts: list[Attempt], online: int) -> None:
    names = ["", "features", "classifier", "runs", "expected", "", "quick", ""]
    ui.label("Attempts").classes("score-words")
    widths = "2rem minmax(7rem, 2fr) minmax(5rem, 1fr) minmax(3rem, .8fr) 5.5rem 4rem 4rem auto"
    with sheet(widths, names):
        for one in reversed(attempts):
            ui.label(str(one.number))
            ui.label(", ".join(one.features[:6]) + (" …" if len(one.features) > 6 else "")
                     or "all")  # fmt: skip
            ui.label(_KINDS.get(one.kind, one.kind))
            ui.label(", ".join(one.runs))
            ui.label(f"{one.scores['nested']:.0%}").style("font-weight: 700")
            with ui.element("div"):
                _meter(float(one.scores["nested"]), float(one.scores["chance"]))
            ui.label(f"{one.scores['quick']:.0%}").classes("quick")
            if one.number == online:
                ui.label("goes online").classes("right")
            else:
                ui.button("Take online", on_click=lambda n=one.number: page.do(_load, page, n))\
                    .props("flat dense")  # fmt: skip


def _load(page: "Page", number: int) -> None:
    page.bench.session.load(number)
    page.bench.version += 1


def _replay(page: "Page", attempt: Attempt) -> None:
    bench = page.bench
    runs = {
        r.id: r.id + (" (trained on it)" if r.id in attempt.runs else "")
        for r in bench.workspace.runs
    }
    with ui.element("div").classes("line"):
        ui.label("Replay a run").classes("score-words")
        asked = (
            ui.select(runs, value=next(iter(runs), None)).props("dense").style("min-width: 9rem")
        )
        ui.button("Replay", on_click=lambda: page.do(bench.replay, asked.value)).props("outline")
    done = bench.replayed
    if done is None:
        return
    rate = (
        "no usable trial" if done.scores is None else f"{done.scores.nested:.0%} right (balanced)"
    )
    seen = ", trained on this run: too good" if done.run in attempt.runs else ""
    ui.label(f"Attempt {done.attempt} on {done.run}: {rate}{seen}").props('data-field="replayed"')
    with sheet("3rem 1fr 1fr 1fr", ["trial", "cue", "decision", "probability"]):
        for i, one in enumerate(done.decisions, 1):
            ui.label(str(i))
            ui.label(one.cue)
            ui.label(one.label or "none").classes(_verdict(one.cue, one.label))
            ui.label(f"{one.probabilities[one.label]:.2f}" if one.label else "")


def _verdict(cue: Any, label: Any) -> str:
    return "" if not cue or not label else "right" if cue == label else "wrong"


def fact(bench: Bench) -> str:
    """The attempt that goes online, and its honest score."""
    attempts = {a.number: a for a in bench.workspace.attempts}
    online = bench.workspace.choice.online or max(attempts, default=0)
    if online not in attempts:
        return "nothing trained"
    return f"attempt {online}: {attempts[online].scores['nested']:.0%} expected"


TRAIN = Panel(draw, fact)
