"""One self-contained HTML page of facts, tables and figures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Grid", "Section", "figure_source", "page"]


class Grid(NamedTuple):
    """A table of a page.

    Attributes
    ----------
    columns : sequence of str
        Heads.
    rows : sequence of sequence
        Cells; numbers stand to the right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """A part of a page; what is empty is left out.

    Parameters
    ----------
    title : str
        Heading.
    text : sequence of str
        Paragraphs.
    facts : sequence of (str, str)
        Names and values, side by side.
    grid : Grid, optional
        A table.
    figures : sequence of (str, Figure)
        Captions and figures.
    """

    title: str
    text: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    grid: Grid | None = None
    figures: "Sequence[tuple[str, Figure]]" = ()


def page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    notes: Sequence[str] = (),
) -> str:
    """HTML of a page that fetches nothing and runs nothing.

    Parameters
    ----------
    title : str
        Heading.
    sections : sequence of Section
        In order.
    subtitle : str
        Below the heading, before the version of this package.
    notes : sequence of str
        What a reader must not overlook.

    Returns
    -------
    str

    Examples
    --------
    >>> html = page("A run", [Section("Facts", facts=[("steps", "10")])])
    >>> "<dt>steps</dt><dd>10</dd>" in html, "<script" in html
    (True, False)
    """
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    import neuro

    text = files("neuro.plot").joinpath("templates/page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    return template.render(
        title=title,
        subtitle=f"{subtitle} · " if subtitle else "",
        version=neuro.__version__,
        notes=notes,
        sections=[
            {
                "title": section.title,
                "text": section.text,
                "facts": section.facts,
                "grid": section.grid,
                "figures": [
                    {"title": caption, "source": figure_source(figure)}
                    for caption, figure in section.figures
                ],
            }
            for section in sections
        ],
    )


def figure_source(figure: "Figure", kind: Literal["png", "svg"] = "png") -> str:
    """A figure as the source of an image inside a page.

    Parameters
    ----------
    figure : Figure
        From matplotlib.
    kind : {"png", "svg"}
        Pixels, or outlines: sharp at any size, and large where much is drawn.

    Returns
    -------
    str
        ``data:`` address.
    """
    import matplotlib

    from neuro.plot._style import styled

    buffer = io.BytesIO()
    with styled():
        if kind == "png":
            figure.savefig(buffer, format="png", dpi=120)
        else:
            # outlines instead of text: the same picture whatever fonts a reader has
            with matplotlib.rc_context({"svg.fonttype": "path"}):
                meta = {"Date": None, "Creator": None, "Format": None, "Type": None}
                figure.savefig(buffer, format="svg", metadata=meta)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{'png' if kind == 'png' else 'svg+xml'};base64,{data}"
