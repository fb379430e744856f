"""Step 6: the page of the session."""

from typing import TYPE_CHECKING

from nicegui import ui

from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.panels._panel import Panel, headline

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["REPORT"]


def draw(page: "Page") -> None:
    """A link; the report is made when it is opened."""
    headline(
        "Report",
        "Runs, where the classes differ, every attempt with its scores, online runs with their "
        "messages and delays: one HTML page, kept in the workspace as report.html.",
    )
    with ui.element("div").classes("card"):
        ui.link("Open the session report", "/report", new_tab=True).classes("state")


def fact(bench: Bench) -> str:
    """Nothing to say."""
    return ""


REPORT = Panel(draw, fact)
