"""One look for all figures, without pyplot and its global state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.typing import AnyArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "GREY", "axes", "short", "styled", "thinned"]

# Okabe and Ito's palette: told apart with every kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#6B7280"
INK = "#1F2937"

_RC: dict[str, Any] = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9CA3AF",
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "xtick.color": "#4B5563",
    "ytick.color": "#4B5563",
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.0,
    "svg.fonttype": "none",  # text stays text: selectable, searchable, small
    "svg.hashsalt": "neuro",  # the same figure gives the same bytes
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw or save in the house style."""
    import matplotlib

    with matplotlib.rc_context(_RC):  # type: ignore[arg-type]
        yield


def axes(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 3.2), **options: Any
) -> "tuple[Figure, AnyArray]":
    """Figure and its axes, (rows, columns), independent of any backend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def short(name: str, length: int = 24) -> str:
    """A name that fits a label; `$` would start a formula and is made plain."""
    name = " ".join(str(name).split())
    name = name if len(name) <= length else name[: length - 1] + "…"
    return name.replace("$", r"\$")


def thinned(t: AnyArray, x: AnyArray, most: int = 2000) -> tuple[AnyArray, AnyArray]:
    """At most about `most` points that keep each stretch's extremes."""
    if len(x) <= most:
        return t, x
    step = -(-2 * len(x) // most)
    n = len(x) // step * step
    blocks = np.asarray(x[:n]).reshape(-1, step)
    at = np.sort(np.stack([blocks.argmin(1), blocks.argmax(1)], axis=1), axis=1)
    rows = (at + np.arange(0, n, step)[:, None]).ravel()
    return t[rows], x[rows]


def name_rows(ax: "Axes", names: Sequence[str], at: AnyArray, most: int = 24) -> None:
    """Label rows of a plot; every k-th if there are too many."""
    step = max(1, -(-len(names) // most))
    ax.set_yticks(at[::step], [short(n) for n in names[::step]])
