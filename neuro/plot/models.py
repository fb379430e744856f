"""Figures of what models do: reconstructions, training, scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, INK, axes, short, styled, thinned
from neuro.typing import AnyArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reconstruction", "scores", "training_curve"]


def reconstruction(
    x: AnyArray,
    x_hat: AnyArray,
    mask: AnyArray | None = None,
    *,
    sfreq: float = 1.0,
    unit: str = "",
    names: Sequence[str] = (),
) -> "Figure":
    """Signal and what a model made of it, with the hidden parts shaded.

    Parameters
    ----------
    x, x_hat : ndarray, shape (channel, time)
        Signal and reconstruction; the first six channels are drawn.
    mask : ndarray of bool, same shape, optional
        True where the model did not see the signal; the reconstruction is
        drawn there only.
    sfreq : float
        Hz, for the time axis.
    unit : str
        Of both.
    names : sequence of str
        Channels.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If shapes differ.

    Examples
    --------
    >>> x = np.sin(np.arange(200) / 5)[None]
    >>> len(reconstruction(x, 0.9 * x, x > 0).axes)
    1
    """
    x, x_hat = np.asarray(x, dtype=np.float64), np.asarray(x_hat, dtype=np.float64)
    hidden = np.ones(x.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if x.ndim != 2 or x.shape != x_hat.shape or x.shape != hidden.shape:
        raise DataError(
            f"Signal {x.shape}, reconstruction {x_hat.shape} and mask {hidden.shape} must be "
            "(channel, time) alike."
        )
    n = min(6, len(x))
    t = np.arange(x.shape[1]) / sfreq
    with styled():
        figure, grid = axes(n, 1, (5.8, 0.8 + 0.8 * n), sharex=True)
        for i, ax in enumerate(grid[:, 0]):
            _hidden(ax, t, hidden[i], 1 / sfreq)
            ax.plot(*thinned(t, x[i]), color=GREY, linewidth=0.9, label="signal")
            guess = np.where(hidden[i], x_hat[i], np.nan)
            ax.plot(t, guess, color=COLOURS[1], linewidth=1.1, label="filled in by the model")
            if i < len(names):
                ax.set_ylabel(short(names[i], 12), rotation=0, ha="right", va="center")
        grid[0, 0].legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0))
        grid[-1, 0].set_xlabel("time (s)" + (f", signal in {unit}" if unit else ""))
    return figure


def _hidden(ax: "Axes", t: AnyArray, hidden: AnyArray, step: float) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        ax.axvspan(t[a], t[b - 1] + step, color=COLOURS[4], alpha=0.15, linewidth=0)


def training_curve(metrics: Any) -> "Figure":
    """Training and validation loss against the step.

    Parameters
    ----------
    metrics : sequence of mapping, or path of a metrics.jsonl
        Lines with ``step`` and numbers; every name that ends in ``loss`` is
        drawn.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no line holds a step and a loss.

    Examples
    --------
    >>> training_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]).axes[0].get_ylabel()
    'loss'
    """
    lines = _lines(metrics)
    series: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for name, value in line.items():
            known = name.endswith("loss") and isinstance(value, int | float) and "step" in line
            if known and np.isfinite(value):
                series.setdefault(name, []).append((float(line["step"]), float(value)))
    if not series:
        raise DataError("No line holds a step and a loss.")
    with styled():
        figure, grid = axes(size=(5.8, 2.8))
        ax = grid[0, 0]
        for i, (name, points) in enumerate(series.items()):
            step, value = np.array(points).T
            style = {"marker": "o", "markersize": 3} if len(step) < 40 else {}
            ax.plot(step, value, color=COLOURS[i % len(COLOURS)], label=name, **style)
        ax.set_xlabel("step")
        ax.set_ylabel("loss")
        ax.legend(loc="upper right")
    return figure


def _lines(metrics: Any) -> list[Mapping[str, Any]]:
    if isinstance(metrics, str | Path):
        text = Path(metrics).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in text if line.strip()]
    else:
        found = list(metrics)
    return [line for line in found if isinstance(line, Mapping)]


_LOOK = {
    "floor": {"color": GREY, "marker": "s"},
    "model": {"color": COLOURS[0], "marker": "o"},
    "control": {"color": COLOURS[1], "marker": "D"},
}


def scores(results: Any, metric: str | None = None) -> "Figure":
    """Every score with its interval and single points, beside chance.

    Parameters
    ----------
    results : Results, or sequence of its rows
        What `neuro.evaluate.evaluate` returned.
    metric : str, optional
        The first row's if omitted.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no such row.
    """
    rows = list(getattr(results, "rows", results))
    if rows and metric is None:
        metric = rows[0].metric
    rows = [r for r in rows if r.metric == metric]
    if not rows:
        raise DataError(f"No scores of metric {metric!r} to draw.")
    with styled():
        figure, grid = axes(size=(7.2, 1.0 + 0.34 * len(rows)))
        ax = grid[0, 0]
        for i, row in enumerate(rows):
            _score(ax, row, -i)
        if rows[0].chance is not None:
            ax.axvline(rows[0].chance, color=INK, linewidth=0.9, linestyle="--", zorder=0)
            ax.text(rows[0].chance, 1.0, "chance", transform=ax.get_xaxis_transform(),
                    ha="center", va="bottom", fontsize=7.5)  # fmt: skip
        ax.set_yticks(-np.arange(len(rows)), [short(r.label, 40) for r in rows])
        ax.set_ylim(-len(rows) + 0.4, 0.6)
        better = "higher is better" if rows[0].higher_is_better else "lower is better"
        ax.set_xlabel(f"{str(metric).replace('_', ' ')} ({better})")
        ax.grid(axis="x", color="#E5E7EB", linewidth=0.7)
        ax.set_axisbelow(True)
    return figure


def _score(ax: "Axes", row: Any, y: float) -> None:
    look = _LOOK[row.kind]
    if row.points:
        spread = np.linspace(-0.22, 0.22, len(row.points)) if len(row.points) > 1 else [0.0]
        # neighbours in the list need not be neighbours on the axis: a fixed shuffle
        order = np.random.default_rng(0).permutation(len(row.points))
        ax.scatter(np.asarray(row.points), y + np.asarray(spread)[order], s=9,
                   color=look["color"], alpha=0.3, linewidths=0, zorder=2)  # fmt: skip
    if np.isfinite(row.lo) and np.isfinite(row.hi):
        ax.plot([row.lo, row.hi], [y, y], color=look["color"], linewidth=2.0, zorder=3)
    face = "white" if row.kind == "control" else look["color"]
    ax.plot(row.value, y, marker=look["marker"], markersize=6.5, color=look["color"],
            markerfacecolor=face, markeredgewidth=1.4, zorder=4)  # fmt: skip
