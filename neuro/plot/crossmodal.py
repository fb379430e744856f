"""Figures of predictions from one signal to another: scores by region, courses, occlusion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, INK, axes, short, styled
from neuro.typing import AnyArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["occlusion", "predicted_course", "region_scores"]

# lines beyond this are not told apart
_MOST_LINES = 6


def region_scores(results: Any, protocol: str | None = None) -> "Figure":
    """Correlation of every model on every region, with null band and ceiling.

    Parameters
    ----------
    results : CrossmodalResults
        What :func:`neuro.evaluate.crossmodal.evaluate_pairs` returned.
    protocol : str, optional
        The first one if omitted.

    Returns
    -------
    Figure
        Dots with 95 % intervals over scans or people; grey: 95 % of the null
        with targets rotated in time (the widest of the models shown); black
        mark: the ceiling, where it is known; hollow: with the global signal
        taken off.
    """
    protocol = protocol or results.protocols[0]
    rois, models = list(results.rois), list(results.models)
    varying = [m for m in models if m != "constant"] or models
    # the latest come from the user: baselines give way
    shown = varying[-_MOST_LINES:]
    step = 1.0 / (len(shown) + 1.5)
    height = 1.0 + 0.17 * len(rois) * (len(shown) + 1.5)
    with styled():
        figure, grid = axes(size=(6.4, max(2.4, height)))
        ax = grid[0, 0]
        for i, roi in enumerate(rois):
            rows = [results.row(m, roi, protocol) for m in shown]
            lo = float(np.nanmin([r.null_lo for r in rows]))
            hi = float(np.nanmax([r.null_hi for r in rows]))
            label = "null 95 %" if i == 0 else None
            ax.fill_betweenx([i - 0.42, i + 0.42], lo, hi, color="#E5E7EB", label=label)
            for k, row in enumerate(rows):
                y = i + (k - (len(shown) - 1) / 2) * step
                _dot(ax, row, y, COLOURS[k], shown[k] if i == 0 else None)
            best = rows[0].ceiling
            if np.isfinite(best):
                label = "ceiling" if i == 0 else None
                ax.plot([best, best], [i - 0.42, i + 0.42], color=INK, linewidth=1.6, label=label)
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        ax.set_yticks(np.arange(len(rois)), [short(r) for r in rois])
        ax.invert_yaxis()
        ax.set_xlabel(f"r in each scan, mean (protocol {protocol}); hollow: without global signal")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def _dot(ax: "Axes", row: Any, y: float, colour: str, label: str | None) -> None:
    if np.isfinite(row.lo):
        ax.plot([row.lo, row.hi], [y, y], color=colour, linewidth=1.4)
    ax.plot(row.r, y, "o", color=colour, markersize=4.5, label=label)
    if np.isfinite(row.r_global_removed):
        ax.plot(row.r_global_removed, y, "o", markerfacecolor="none", markeredgecolor=colour,
                markersize=4.5)  # fmt: skip


def predicted_course(
    said: AnyArray, true: AnyArray, *, tr: float, name: str = "", best: AnyArray | None = None
) -> "Figure":
    """A predicted and a measured course of one region.

    Parameters
    ----------
    said, true : ndarray, shape (volume,)
        In one unit.
    tr : float
        Seconds between volumes.
    name : str
        The region.
    best : ndarray, shape (volume,), optional
        The noise-free course of a simulation.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If lengths differ.

    Examples
    --------
    >>> x = np.sin(np.arange(50) / 5)
    >>> len(predicted_course(0.8 * x, x, tr=2.1, name="Cuneus").axes)
    1
    """
    said, true = np.asarray(said, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if said.shape != true.shape or said.ndim != 1:
        raise DataError(f"Courses of one length are needed, got {said.shape} and {true.shape}.")
    t = np.arange(len(said)) * tr
    with styled():
        figure, grid = axes(size=(6.4, 2.4))
        ax = grid[0, 0]
        ax.plot(t, true, color=GREY, linewidth=0.9, label="measured")
        if best is not None:
            ax.plot(
                t, np.asarray(best), color=INK, linewidth=0.9, linestyle=":", label="noise-free"
            )
        ax.plot(t, said, color=COLOURS[1], linewidth=1.3, label="predicted")
        ax.set_xlabel("time (s)")
        ax.set_title(short(name, 60))
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def occlusion(results: Any, rois: Sequence[str] | None = None, *, most: int = 26) -> "Figure":
    """How much of a prediction rests on each second, electrode or rhythm.

    Parameters
    ----------
    results : Occlusion
        What :func:`neuro.evaluate.crossmodal.occlude` returned.
    rois : sequence of str, optional
        Regions to draw; the first six if omitted.
    most : int
        Electrodes to show, those that matter most.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If a region is unknown.
    """
    shown = list(results.rois[:_MOST_LINES] if rois is None else rois)
    unknown = [r for r in shown if r not in results.rois]
    if unknown:
        raise DataError(f"No region {unknown[0]!r} was occluded; there are {results.rois[:8]}.")
    change = np.asarray(results.change)[:, [results.rois.index(r) for r in shown]]
    with styled():
        if results.what == "lag":
            return _lag_curves(results, shown, change)
        order = np.argsort(-change.max(axis=1), kind="stable")[:most]
        order = np.sort(order) if results.what == "band" else order
        width = 1.8 + (0.62 if results.what == "band" else 0.24) * len(order)
        figure, grid = axes(size=(width, 1.2 + 0.28 * len(shown)))
        ax = grid[0, 0]
        image = ax.imshow(change[order].T, cmap="Blues", vmin=0, aspect="auto")
        names = [short(results.names[i], 10) for i in order]
        turn = {"rotation": 90} if results.what == "channel" else {}
        ax.set_xticks(np.arange(len(order)), names, **turn)
        ax.set_yticks(np.arange(len(shown)), [short(r) for r in shown])
        figure.colorbar(image, ax=ax, label="change")
    return figure


def _lag_curves(results: Any, shown: Sequence[str], change: AnyArray) -> "Figure":
    figure, grid = axes(size=(6.4, 2.8))
    ax = grid[0, 0]
    for k, roi in enumerate(shown):
        ax.plot(results.at, change[:, k], "o-", color=COLOURS[k], markersize=3, label=short(roi))
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    ax.set_xlabel("seconds before the volume")
    ax.set_ylabel("change of the prediction")
    ax.invert_xaxis()
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure
