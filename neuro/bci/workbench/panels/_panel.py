"""What a step is made of, and the few pieces that several of them use."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nicegui import ui

from neuro.bci.workbench.bench import Bench

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["Panel", "headline", "sheet"]


class Panel(NamedTuple):
    """A step.

    `draw` puts it on the page and may return what is to be called several times a
    second; `fact` says where it stands. A step that `follows` what changes by
    itself is not drawn again when work in the background is done: somebody may be
    typing.
    """

    draw: "Callable[[Page], Callable[[], None] | None]"
    fact: Callable[[Bench], str]
    follows: bool = False


def headline(title: str, hint: str) -> None:
    """Name of the step, and what to do here."""
    ui.label(title).classes("bench-title").props("role=heading aria-level=2")
    ui.label(hint).classes("hint")


def sheet(columns: str, names: Sequence[str]) -> Any:
    """A table to be filled cell by cell; `columns` as CSS has it."""
    grid = ui.element("div").classes("sheet").style(f"grid-template-columns: {columns}")
    with grid:
        for name in names:
            ui.label(name).classes("h")
    return grid
