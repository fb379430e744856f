"""Figures of a session: where classes differ, on which electrodes, and how fast the loop is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, axes, short, styled
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["class_spectra", "difference_map", "erd_course", "latencies", "topography"]

_GRID = 80


def difference_map(
    r2: AnyArray,
    ch_names: Sequence[str],
    freqs: Sequence[float],
    *,
    sign: AnyArray | None = None,
    chosen: Sequence[tuple[int, int]] = (),
    limit: float | None = None,
) -> "Figure":
    """R2 of every channel and frequency, signed if asked for.

    Parameters
    ----------
    r2 : array, shape (n_chans, n_freqs)
        Share of variance the class explains.
    ch_names : sequence of str
        Rows.
    freqs : sequence of float
        Columns, Hz.
    sign : array, shape (n_chans, n_freqs), optional
        Direction; colours then diverge from white.
    chosen : sequence of (row, column)
        Features that are marked.
    limit : float, optional
        End of the colour scale; the largest value if None.

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = difference_map(np.eye(3), ["C3", "Cz", "C4"], [8, 10, 12], chosen=[(0, 0)])
    >>> len(figure.axes)
    2
    """
    values = np.asarray(r2, dtype=np.float64)
    if values.shape != (len(ch_names), len(freqs)):
        raise DataError(f"The map is {values.shape}, the names {len(ch_names)} x {len(freqs)}.")
    top = float(np.nanmax(values)) if limit is None else limit
    top = top if top > 0 else 1.0
    with styled():
        figure, grid = axes(size=(7.0, max(2.4, 0.16 * len(ch_names) + 1.2)))
        ax = grid[0, 0]
        shown = values if sign is None else values * np.asarray(sign)
        image = ax.imshow(
            shown, aspect="auto", interpolation="nearest", origin="upper", vmax=top,
            cmap="viridis" if sign is None else "RdBu_r", vmin=0 if sign is None else -top,
        )  # fmt: skip
        ax.set_yticks(range(len(ch_names)), [short(c, 12) for c in ch_names])
        at = range(0, len(freqs), max(1, len(freqs) // 12))
        ax.set_xticks(list(at), [f"{freqs[i]:g}" for i in at])
        ax.set_xlabel("Frequency (Hz)")
        for row, column in chosen:
            ax.plot(column, row, marker="s", ms=9, mfc="none", mec=COLOURS[1], mew=1.8)
        figure.colorbar(image, ax=ax, label="R²" if sign is None else "signed R²")
    return figure


def class_spectra(
    means: Sequence[AnyArray],
    classes: Sequence[str],
    freqs: Sequence[float],
    channel: str,
    *,
    r2: AnyArray | None = None,
    unit: str = "dB",
) -> "Figure":
    """Mean spectrum of each class at one channel, R2 below.

    Parameters
    ----------
    means : sequence of array, each of shape (n_freqs,)
        One a class.
    classes : sequence of str
        Names.
    freqs : sequence of float
        Hz.
    channel : str
        Title.
    r2 : array, shape (n_freqs,), optional
        Drawn as an area.
    unit : str
        Of the means.

    Returns
    -------
    Figure
    """
    with styled():
        figure, grid = axes(size=(5.6, 3.0))
        ax = grid[0, 0]
        for colour, mean, name in zip(COLOURS, means, classes, strict=False):
            ax.plot(freqs, mean, color=colour, label=name, lw=1.6)
        ax.set(xlabel="Frequency (Hz)", ylabel=unit, title=channel)
        ax.legend()
        if r2 is not None:
            other = ax.twinx()
            other.fill_between(freqs, 0, r2, color=GREY, alpha=0.25, lw=0)
            other.set(ylim=(0, max(0.05, 2.5 * float(np.max(r2)))), ylabel="R²")
    return figure


def topography(
    values: AnyArray,
    positions: AnyArray,
    ch_names: Sequence[str],
    *,
    label: str = "",
    title: str = "",
    limit: float | None = None,
    diverging: bool = False,
) -> "Figure":
    """Values on the head, seen from above.

    Parameters
    ----------
    values : array, shape (n_chans,)
        One an electrode.
    positions : array, shape (n_chans, 3)
        Metres, x to the right, y to the front; electrodes without a place (NaN) are
        left out.
    ch_names : sequence of str
        Names.
    label, title : str
        Of the colour scale and the figure.
    limit : float, optional
        End of the colour scale.
    diverging : bool
        Negative values too.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If fewer than three electrodes have a place.
    """
    v, xyz = np.asarray(values, dtype=np.float64), np.asarray(positions, dtype=np.float64)
    known = np.isfinite(xyz).all(axis=1) & np.isfinite(v)
    if known.sum() < 3:
        raise DataError(
            f"{int(known.sum())} of {len(v)} electrodes have a place; a topography needs three. "
            "Use standard names (C3, Cz, …), or give positions."
        )
    flat = _flattened(xyz[known])
    top = limit if limit is not None else max(float(np.abs(v[known]).max()), 1e-12)
    with styled():
        figure, grid = axes(size=(3.6, 3.4))
        ax = grid[0, 0]
        field, extent = _field(flat, v[known])
        image = ax.imshow(
            field, extent=extent, origin="lower", vmin=-top if diverging else 0, vmax=top,
            cmap="RdBu_r" if diverging else "viridis",
        )  # fmt: skip
        _head(ax)
        ink = "black" if diverging else "white"
        ax.plot(*flat.T, ".", color=ink, ms=3)
        names = np.asarray(ch_names)[known]
        for i in range(0, len(names), -(-len(names) // 40)):
            ax.annotate(str(names[i]), flat[i], xytext=(0, 3), textcoords="offset points",
                        fontsize=6, ha="center", color=ink)  # fmt: skip
        ax.set(title=title)
        ax.set_axis_off()
        ax.set_aspect("equal")
        figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return figure


def _flattened(xyz: FloatArray) -> FloatArray:
    """Angle from the vertex as radius: the ear-to-ear circle is 1."""
    centred = xyz - np.array([0.0, -0.015, -0.01])
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    angle = np.arccos(np.clip(unit[:, 2], -1, 1)) / (np.pi / 2)
    around = np.hypot(unit[:, 0], unit[:, 1])
    return np.asarray(unit[:, :2] * (angle / np.maximum(around, 1e-9))[:, None])


def _field(flat: FloatArray, values: FloatArray) -> tuple[FloatArray, tuple[float, ...]]:
    from scipy.interpolate import RBFInterpolator

    reach = max(1.0, float(np.hypot(*flat.T).max())) * 1.05
    line = np.linspace(-reach, reach, _GRID)
    x, y = np.meshgrid(line, line)
    degree = 1 if len(flat) > 3 else 0
    found = RBFInterpolator(flat, values, kernel="linear", degree=degree, smoothing=1e-6)(
        np.column_stack([x.ravel(), y.ravel()])
    ).reshape(x.shape)
    found[np.hypot(x, y) > reach] = np.nan
    return found, (-reach, reach, -reach, reach)


def _head(ax: "Axes") -> None:
    around = np.linspace(0, 2 * np.pi, 100)
    ax.plot(np.cos(around), np.sin(around), color=GREY, lw=1.2)
    ax.plot([-0.12, 0, 0.12], [0.99, 1.12, 0.99], color=GREY, lw=1.2)


def erd_course(
    times: AnyArray, courses: Mapping[str, AnyArray], *, channel: str, band: str
) -> "Figure":
    """Change of band power around the cue, one line a class.

    Parameters
    ----------
    times : array, shape (n_windows,)
        Seconds after the cue.
    courses : mapping of str to array, shape (n_windows,)
        Percent of each class.
    channel, band : str
        For the title.

    Returns
    -------
    Figure
    """
    with styled():
        figure, grid = axes(size=(5.6, 2.8))
        ax = grid[0, 0]
        ax.axhline(0, color=GREY, lw=0.8)
        ax.axvline(0, color=GREY, lw=0.8, ls=":")
        for colour, (name, course) in zip(COLOURS, courses.items(), strict=False):
            ax.plot(times, course, color=colour, label=name, lw=1.6)
        ax.set(xlabel="Time after the cue (s)", ylabel="Change of power (%)")
        ax.set_title(f"{channel}, {band}")
        ax.legend()
    return figure


def latencies(histogram: Mapping[str, Sequence[float]], *, title: str = "") -> "Figure":
    """How long decisions take, from the last sample they saw to the moment they left.

    Parameters
    ----------
    histogram : mapping
        ``edges_s`` (n + 1) and ``counts`` (n), as a live loop reports them.
    title : str
        Of the figure.

    Returns
    -------
    Figure
    """
    edges, counts = np.asarray(histogram["edges_s"]), np.asarray(histogram["counts"])
    with styled():
        figure, grid = axes(size=(5.6, 2.6))
        ax: Any = grid[0, 0]
        ax.stairs(counts, 1000 * edges, fill=True, color=COLOURS[0])
        ax.set(xscale="log", xlabel="Last sample to decision (ms)", ylabel="Decisions", title=title)
    return figure
