"""Pictures of the page: the map and spectra as plotly values, the head as an image."""

import base64
import io
import threading
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from neuro.bci.workbench.bench import View
from neuro.errors import NeuroError
from neuro.stream import Selection

__all__ = ["CLASS_COLOURS", "feedback", "head", "heatmap", "integrated", "spectra"]

CLASS_COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#A8457F")
_INK, _GRID = "#111827", "#E5E7EB"
# blue to red through white, dark at both ends so that small maps are read as well
_SIGNED = [
    [0.0, "#0B4A8F"],
    [0.25, "#6BA6D6"],
    [0.5, "#FFFFFF"],
    [0.75, "#E8916B"],
    [1.0, "#9E1B1B"],
]
_DRAWING = threading.Lock()  # matplotlib's settings belong to the whole program

Figure = dict[str, Any]


def _layout(large: bool, height: int, **more: Any) -> Figure:
    return {
        "height": round(height * (1.25 if large else 1)),
        "margin": {"l": 105 if large else 75, "r": 10, "t": 12, "b": 64 if large else 48},
        "font": {"size": 18 if large else 13, "color": _INK, "family": "inherit"},
        "paper_bgcolor": "white", "plot_bgcolor": "white", "showlegend": False,
    } | more  # fmt: skip


def _shown(text: str) -> str:
    """Text as it is: plotly would read names from files as markup."""
    return escape(text, quote=False)


def heatmap(
    view: View, features: Sequence[str], looked: tuple[int, int], *, large: bool = False
) -> Figure:
    """Signed R2 of every channel and frequency, chosen cells marked.

    Parameters
    ----------
    view : View
        The map.
    features : sequence of str
        Chosen; those that this map does not have are left out.
    looked : (int, int)
        Row and column that the other pictures show.
    large : bool
        Larger letters.
    """
    found, table = view
    rows, columns = table.rows, table.columns
    top = float(found.r2.max()) or 1.0
    marks = [(c, r) for r, part in _places(view, features) for c in range(part.start, part.stop)]
    every = max(1, len(columns) // 12)
    per_row = 24 if len(rows) <= 24 else 14
    words = [
        [f"{_shown(n)} {f:g} Hz<br>R² {v:.2f}" for f, v in zip(columns, line, strict=True)]
        for n, line in zip(rows, found.r2, strict=True)
    ]
    return {
        "data": [
            {
                "type": "heatmap", "z": np.round(found.r2 * found.sign, 4).tolist(),
                "zmin": -top, "zmax": top, "colorscale": _SIGNED, "text": words,
                "hovertemplate": "%{text}<extra></extra>", "xgap": 1, "ygap": 1,
                "colorbar": {"title": {"text": "signed R²", "side": "top"}, "thickness": 12},
            },
            _squares(marks, _INK, 3, 13), _squares([looked[::-1]], "#6B7280", 1, 17),
        ],
        "layout": _layout(
            large, max(250, per_row * len(rows) + 90),
            xaxis={
                "title": {"text": "Frequency (Hz)"}, "fixedrange": True, "zeroline": False,
                "range": [-0.5, len(columns) - 0.5], "showgrid": False,
                "tickvals": list(range(0, len(columns), every)),
                "ticktext": [f"{f:g}" for f in columns[::every]],
            },
            yaxis={
                # fixed: squares at the edge would move the cells under the pointer
                "range": [len(rows) - 0.5, -0.5], "fixedrange": True, "zeroline": False,
                "showgrid": False, "tickvals": list(range(len(rows))),
                "ticktext": [_shown(n[:14]) for n in rows],
            },
        ),
        "config": {"displayModeBar": False},
    }  # fmt: skip


def _places(view: View, features: Sequence[str]) -> list[tuple[int, slice]]:
    out = []
    for name in features:
        try:
            out += Selection((name,)).places(view.table)
        except NeuroError:  # chosen under other settings
            continue
    return out


def _squares(at: Sequence[tuple[int, int]], colour: str, width: int, size: int) -> Figure:
    return {
        "type": "scatter", "mode": "markers", "hoverinfo": "skip",
        "x": [int(x) for x, _ in at], "y": [int(y) for _, y in at],
        "marker": {
            "symbol": "square-open", "size": size, "color": colour, "line": {"width": width},
        },
    }  # fmt: skip


def spectra(view: View, row: int, column: int, *, large: bool = False) -> Figure:
    """Means of both classes at one channel, R2 as an area below.

    Parameters
    ----------
    view : View
        The map.
    row, column : int
        Channel, and the frequency that is marked.
    large : bool
        Larger letters.
    """
    found, table = view
    x = [float(f) for f in table.columns]
    lines: list[Figure] = [
        {
            "type": "scatter", "mode": "lines", "x": x, "y": np.round(mean[row], 4).tolist(),
            "name": _shown(name), "line": {"color": colour, "width": 3},
        }
        for mean, name, colour in zip(found.means, found.classes, CLASS_COLOURS, strict=False)
    ]  # fmt: skip
    area = {
        "type": "scatter", "x": x, "y": np.round(found.r2[row], 4).tolist(), "name": "R²",
        "fill": "tozeroy", "yaxis": "y2", "line": {"color": "#9CA3AF", "width": 0},
        "fillcolor": "rgba(107,114,128,0.28)", "mode": "lines",
    }  # fmt: skip
    return {
        "data": [area, *lines],
        "layout": _layout(
            large, 270, showlegend=True,
            legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.16},
            title={"text": _shown(table.rows[row]), "x": 0.02, "y": 0.97},
            xaxis={"title": {"text": "Frequency (Hz)"}, "fixedrange": True, "gridcolor": _GRID},
            yaxis={"title": {"text": _shown(table.unit)}, "fixedrange": True, "gridcolor": _GRID,
                   "overlaying": "y2", "zerolinecolor": _GRID},
            yaxis2={"side": "right", "range": [0, max(0.1, 2.2 * float(found.r2[row].max()))],
                    "title": {"text": "R²"}, "fixedrange": True, "showgrid": False,
                    "nticks": 4},
            shapes=[{"type": "line", "x0": x[column], "x1": x[column], "y0": 0, "y1": 1,
                     "yref": "paper", "line": {"color": _INK, "width": 1, "dash": "dot"}}],
            margin={"l": 70, "r": 65, "t": 48, "b": 64 if large else 48},
        ),
        "config": {"displayModeBar": False},
    }  # fmt: skip


def head(view: View, column: int) -> str:
    """The map at one frequency on the head, as the address of an image.

    Parameters
    ----------
    view : View
        The map.
    column : int
        Frequency.

    Raises
    ------
    DataError
        If fewer than three channels have a known place.
    """
    from neuro.data.channels import canonical_eeg_name, eeg_positions
    from neuro.plot._style import styled
    from neuro.plot.bci import topography

    found, table = view
    places = eeg_positions([canonical_eeg_name(n.strip(". ")) for n in table.rows])
    with _DRAWING:
        figure = topography(
            found.r2[:, column] * found.sign[:, column], places, table.rows, label="signed R²",
            title=f"{table.columns[column]:g} Hz", limit=float(found.r2.max()) or 1.0,
            diverging=True,
        )  # fmt: skip
        file = io.BytesIO()
        with styled():
            figure.savefig(file, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def integrated(last: Sequence[dict[str, Any]], classes: Sequence[str], n: int = 5) -> list[float]:
    """Mean probability of each class over the last `n` usable decisions.

    Parameters
    ----------
    last : sequence of dict
        Decisions as a session's snapshot has them.
    classes : sequence of str
        Names.
    n : int
        How many; the Graz bar integrates five.

    Examples
    --------
    >>> one = {"label": "left", "probabilities": {"left": 0.75, "right": 0.25}}
    >>> integrated([one, one], ["left", "right"])
    [0.75, 0.25]
    """
    told = [one["probabilities"] for one in last if one["label"]][-n:]
    if not told:
        return [1 / len(classes)] * len(classes) if classes else []
    return [sum(p[c] for p in told) / len(told) for c in classes]


def feedback(last: Sequence[dict[str, Any]], classes: Sequence[str]) -> str:
    """The feedback bar as HTML: one bar a class, from the middle for two."""
    parts = integrated(last, classes)
    if len(classes) == 2:
        left, right = (round(100 * max(0.0, 2 * p - 1), 1) for p in parts)
        return (
            f'<div class="graz"><b>{escape(classes[0])}</b><div class="half left"><i style='
            f'"width:{left}%;background:{CLASS_COLOURS[0]}"></i></div><div class="half"><i style='
            f'"width:{right}%;background:{CLASS_COLOURS[1]}"></i></div>'
            f"<b>{escape(classes[1])}</b></div>"
        )
    bars = [
        f'<b>{escape(name)}</b><div class="half"><i style="width:{100 * p:.1f}%;'
        f'background:{CLASS_COLOURS[i % 4]}"></i></div>'
        for i, (name, p) in enumerate(zip(classes, parts, strict=True))
    ]
    return f'<div class="bars">{"".join(bars)}</div>'
