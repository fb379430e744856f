"""Figures of connectivity: matrix, circle, sensors, glass brain, states, spectra of pairs.

Every function takes plain arrays, or an object with ``values``, ``names`` and
``attrs`` as :mod:`neuro.connectivity` returns it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.plot._style import COLOURS, GREY, INK, axes, short, styled
from neuro.typing import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "connectivity_circle",
    "connectivity_glass_brain",
    "connectivity_matrix",
    "connectivity_sensors",
    "network_order",
    "pair_spectra",
    "state_timeline",
]

_MOST_EDGES = 60


def _parts(x: Any) -> tuple[FloatArray, tuple[str, ...], dict[str, Any]]:
    """One matrix, names and attributes."""
    if hasattr(x, "matrix") and hasattr(x, "attrs"):
        return np.asarray(x.matrix(), dtype=np.float64), tuple(x.names), dict(x.attrs)
    matrix = np.asarray(x, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"A square matrix is needed, got {matrix.shape}; choose one first.")
    return matrix, tuple(str(i) for i in range(len(matrix))), {}


def _limits(values: FloatArray) -> tuple[float, float, str]:
    """Colour limits and map: diverging where both signs occur."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise DataError("There is no number to draw.")
    top = float(np.abs(finite).max()) or 1.0
    if finite.min() < -1e-9:
        return -top, top, "RdBu_r"
    return 0.0, top, "viridis"


def _off(matrix: FloatArray) -> FloatArray:
    out = matrix.copy()
    np.fill_diagonal(out, np.nan)
    return out


def _label(attrs: dict[str, Any]) -> str:
    name = str(attrs.get("method", "connectivity")).replace("_", " ")
    unit = attrs.get("unit", "1")
    return name if unit in ("1", "") else f"{name} ({unit})"


def _title(attrs: dict[str, Any]) -> str:
    where = [str(attrs[k]) for k in ("band", "trial", "recording") if k in attrs]
    if "freq" in attrs:
        where.append(f"{attrs['freq']:g} Hz")
    if "window" in attrs:
        where.append(f"{attrs['window']:g} s")
    return ", ".join([_label(attrs), *where])


def network_order(networks: Sequence[str]) -> tuple[IntArray, list[tuple[str, int, int]]]:
    """Nodes grouped by network, in order of first appearance, and where each group lies.

    Examples
    --------
    >>> order, groups = network_order(["b", "a", "b"])
    >>> order.tolist(), groups
    ([0, 2, 1], [('b', 0, 2), ('a', 2, 3)])
    """
    labels = [str(n) for n in networks]
    first = list(dict.fromkeys(labels))
    order = np.array([i for n in first for i, m in enumerate(labels) if m == n], dtype=np.int64)
    groups, at = [], 0
    for name in first:
        size = labels.count(name)
        groups.append((name, at, at + size))
        at += size
    return order, groups


def connectivity_matrix(
    x: Any, *, networks: Sequence[str] | AnyArray | None = None, names: Sequence[str] | None = None
) -> "Figure":
    """One matrix, nodes ordered by network if there are any.

    Parameters
    ----------
    x : Connectivity, or array of shape (n, n)
        One matrix; the diagonal is left blank.
    networks : sequence of str, optional
        Network of each node; taken from the object if it knows them.
    names : sequence of str, optional
        Names of an array's nodes.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Not square, or labels of another length.

    Examples
    --------
    >>> figure = connectivity_matrix(np.eye(3), networks=["a", "b", "a"])
    >>> figure.axes[0].get_xlabel()
    ''
    """
    matrix, found, attrs = _parts(x)
    labels = list(names or found)
    groups: list[tuple[str, int, int]] = []
    networks = attrs.get("networks") if networks is None else networks
    if networks is not None:
        if len(networks) != len(matrix):
            raise DataError(f"{len(networks)} networks for {len(matrix)} nodes.")
        order, groups = network_order([str(n) for n in networks])
        matrix, labels = matrix[np.ix_(order, order)], [labels[i] for i in order]
    drawn = _off(matrix)
    low, high, colours = _limits(drawn)
    n = len(matrix)
    with styled():
        figure, grid = axes(size=(5.6, 4.7))
        ax = grid[0, 0]
        ax.set_facecolor("#E5E7EB")
        image = ax.imshow(drawn, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        ax.set_title(_title(attrs))
        if groups and len(groups) < n:
            _network_ticks(ax, groups)
        else:
            step = max(1, -(-n // 32))
            shown = np.arange(0, n, step)
            ax.set_xticks(shown, [short(labels[i], 12) for i in shown], rotation=90, fontsize=7)
            ax.set_yticks(shown, [short(labels[i], 12) for i in shown], fontsize=7)
        if attrs.get("directed"):
            ax.set_ylabel("source")
            ax.set_xlabel("target")
        figure.colorbar(image, ax=ax, label=_label(attrs), shrink=0.85)
    return figure


def _network_ticks(ax: "Axes", groups: list[tuple[str, int, int]]) -> None:
    middles = [(a + b - 1) / 2 for _, a, b in groups]
    names = [short(name, 20) for name, _, _ in groups]
    ax.set_xticks(middles, names, rotation=90, fontsize=7.5)
    ax.set_yticks(middles, names, fontsize=7.5)
    ax.tick_params(length=0)
    for _, start, stop in groups:
        for edge in (start, stop):
            ax.axhline(edge - 0.5, color="white", linewidth=0.8)
            ax.axvline(edge - 0.5, color="white", linewidth=0.8)


def _edges(
    matrix: FloatArray, keep: AnyArray | None, most: int, directed: bool
) -> list[tuple[int, int, float]]:
    """The strongest edges by magnitude, weakest first so that strong ones lie on top."""
    n = len(matrix)
    mask = np.isfinite(matrix) & (matrix != 0) & ~np.eye(n, dtype=bool)
    if keep is not None:
        kept = np.asarray(keep, dtype=bool)
        if kept.shape != matrix.shape:
            raise DataError(f"keep has shape {kept.shape}, the matrix {matrix.shape}.")
        mask &= kept
    if not directed:
        mask = np.triu(mask)
    rows, columns = np.nonzero(mask)
    order = np.argsort(np.abs(matrix[rows, columns]), kind="stable")[-most:]
    return [(int(i), int(j), float(matrix[i, j])) for i, j in
            zip(rows[order], columns[order], strict=True)]  # fmt: skip


def connectivity_circle(
    x: Any,
    *,
    keep: AnyArray | None = None,
    networks: Sequence[str] | AnyArray | None = None,
    most: int = _MOST_EDGES,
) -> "Figure":
    """Nodes on a circle, the strongest edges as arcs; arrows if directed.

    Parameters
    ----------
    x : Connectivity, or array of shape (n, n)
        One matrix.
    keep : bool array, shape (n, n), optional
        Edges that may be drawn, such as the significant ones.
    networks : sequence of str, optional
        Nodes of one network stand together in one colour.
    most : int
        Most edges drawn, the strongest by magnitude.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Not square, or `keep` of another shape.

    Examples
    --------
    >>> len(connectivity_circle(np.array([[0, 0.5], [0.5, 0]])).axes)
    2
    """
    from matplotlib.colors import Normalize

    matrix, names, attrs = _parts(x)
    directed = bool(attrs.get("directed"))
    edges = _edges(matrix, keep, most, directed)
    networks = attrs.get("networks") if networks is None else networks
    labels = [""] * len(matrix) if networks is None else [str(n) for n in networks]
    order, groups = network_order(labels)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    gap = 1.0 if len(groups) > 1 else 0.0  # of a node's width, between networks
    group_of = np.searchsorted([b for _, _, b in groups], place, side="right")
    angle = np.pi / 2 - 2 * np.pi * (place + gap * group_of) / (len(order) + gap * len(groups))
    low, high, colours = _limits(_off(matrix))
    with styled():
        figure, grid = axes(size=(6.2, 5.6))
        ax = grid[0, 0]
        image = _mappable(colours, Normalize(low, high))
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        top = max((abs(v) for _, _, v in edges), default=1.0)
        for i, j, value in edges:
            _arc(ax, points[i], points[j], image.to_rgba(value), 0.6 + 2 * abs(value) / top,
                 directed)  # fmt: skip
        colour = [COLOURS[g % len(COLOURS)] for g in group_of]
        ax.scatter(points[:, 0], points[:, 1], c=colour, s=22, zorder=4)
        _circle_labels(ax, angle, names, groups)
        ax.set_title(f"{_title(attrs)}: {len(edges)} edges")
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_xlim(-1.5, 1.5)
        ax.set_ylim(-1.4, 1.4)
        figure.colorbar(image, ax=ax, label=_label(attrs), shrink=0.6)
    return figure


def _mappable(colours: str, norm: Any) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, colours)


def _arc(ax: "Axes", a: AnyArray, b: AnyArray, colour: Any, width: float, directed: bool) -> None:
    """A curve that bends towards the middle, with a head if directed."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    middle = 0.35 * (a + b) / 2
    shrink = 0.04
    start, stop = a * (1 - shrink), b * (1 - shrink)
    path = Path([start, middle, stop], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    style = "-|>" if directed else "-"
    ax.add_patch(
        FancyArrowPatch(path=path, arrowstyle=style, color=colour, linewidth=width,
                        mutation_scale=9, alpha=0.85, zorder=2)
    )  # fmt: skip


def _circle_labels(
    ax: "Axes", angle: FloatArray, names: Sequence[str], groups: list[tuple[str, int, int]]
) -> None:
    """Names of nodes, or of networks where the nodes are too many."""
    if len(names) <= 40:
        size = 8 if len(names) <= 24 else 6.5
        items = [(a, short(name, 12), size) for a, name in zip(angle, names, strict=True)]
    else:
        ranked = np.sort(angle)[::-1]
        items = [(float(ranked[a:b].mean()), short(name, 16), 8) for name, a, b in groups if name]
    for a, text, size in items:
        turn = np.degrees(a)
        left = np.cos(a) < -1e-9
        ax.text(
            1.06 * np.cos(a), 1.06 * np.sin(a), text, fontsize=size,
            rotation=turn - 180 if left else turn, rotation_mode="anchor",
            ha="right" if left else "left", va="center",
        )  # fmt: skip


def connectivity_sensors(
    x: Any,
    positions: AnyArray | None = None,
    *,
    keep: AnyArray | None = None,
    most: int = _MOST_EDGES,
) -> "Figure":
    """Sensors on a head seen from above, the strongest edges between them.

    Parameters
    ----------
    x : Connectivity, or array of shape (n, n)
        One matrix.
    positions : array, shape (n, 3), optional
        Metres in head coordinates (x right, y front); taken from the object if
        it knows them.
    keep : bool array, shape (n, n), optional
        Edges that may be drawn.
    most : int
        Most edges drawn.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        No positions, or not those of all nodes.

    Examples
    --------
    >>> where = np.array([[0.0, 0.09, 0], [0, -0.09, 0], [0.08, 0, 0]])
    >>> len(connectivity_sensors(np.ones((3, 3)), where).axes)
    2
    """
    from matplotlib.colors import Normalize
    from matplotlib.patches import Circle

    matrix, names, attrs = _parts(x)
    directed = bool(attrs.get("directed"))
    found = attrs.get("positions") if positions is None else positions
    if found is None or np.shape(found) != (len(matrix), 3):
        raise DataError("Sensor positions (n, 3) are needed: pass positions= in metres.")
    flat, head = _flattened(np.asarray(found, dtype=np.float64))
    placed = np.asarray(np.isfinite(flat).all(axis=1))
    matrix = np.where(placed[:, None] & placed, matrix, np.nan)
    edges = _edges(matrix, keep, most, directed)
    low, high, colours = _limits(_off(matrix))
    with styled():
        figure, grid = axes(size=(5.6, 4.8))
        ax = grid[0, 0]
        ax.add_patch(Circle((0, 0), head, fill=False, edgecolor=GREY, linewidth=1.2))
        nose = head * np.array([[-0.1, 0.995], [0, 1.12], [0.1, 0.995]])
        ax.plot(nose[:, 0], nose[:, 1], color=GREY, linewidth=1.2)
        image = _mappable(colours, Normalize(low, high))
        top = max((abs(v) for _, _, v in edges), default=1.0)
        for i, j, value in edges:
            look: dict[str, Any] = {
                "arrowstyle": "-|>" if directed else "-",
                "color": image.to_rgba(value),
                "linewidth": 0.6 + 2 * abs(value) / top,
                "shrinkA": 3,
                "shrinkB": 3,
            }
            ax.annotate("", flat[j], flat[i], arrowprops=look)
        ax.scatter(flat[placed, 0], flat[placed, 1], s=16, color=INK, zorder=4)
        if placed.sum() <= 40:
            for i in np.flatnonzero(placed).tolist():
                ax.annotate(short(names[i], 8), flat[i], (0, 4), textcoords="offset points",
                            ha="center", fontsize=6.5)  # fmt: skip
        lost = int((~placed).sum())
        ax.set_title(_title(attrs) + (f" ({lost} without a position)" if lost else ""))
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_xlim(-1.2 * head, 1.2 * head)
        ax.set_ylim(-1.2 * head, 1.2 * head)
        figure.colorbar(image, ax=ax, label=_label(attrs), shrink=0.6)
    return figure


def _flattened(positions: FloatArray) -> tuple[FloatArray, float]:
    """Azimuthal projection from the top; the circle is the equator, or holds all sensors."""
    known = np.isfinite(positions).all(axis=1)
    if known.sum() < 2:
        raise DataError(f"{int(known.sum())} sensor positions are known: two or more are needed.")
    positions = positions - _centre(positions[known])
    radius = float(np.median(np.linalg.norm(positions[known], axis=1)))
    across = np.linalg.norm(positions[:, :2], axis=1)
    down = np.arctan2(across, positions[:, 2])  # 0 at the vertex, pi / 2 at the equator
    scale = np.divide(down, across, out=np.zeros_like(down), where=across > 1e-9)
    flat = positions[:, :2] * scale[:, None] * radius
    farthest = float(np.linalg.norm(flat[known], axis=1).max())
    return flat, max(radius * np.pi / 2, 1.02 * farthest)


def _centre(positions: FloatArray) -> FloatArray:
    """Centre of the sphere that fits best; head coordinates have theirs lower."""
    if len(positions) < 8:
        return np.zeros(3)
    design = np.column_stack([2 * positions, np.ones(len(positions))])
    solution, _, rank, _ = np.linalg.lstsq(design, (positions**2).sum(axis=1), rcond=None)
    inside = np.linalg.norm(solution[:3]) < 0.5 * np.ptp(positions)
    return np.asarray(solution[:3]) if rank == 4 and inside else np.zeros(3)


def connectivity_glass_brain(
    x: Any,
    positions_mm: AnyArray | None = None,
    *,
    keep: AnyArray | None = None,
    most: int = _MOST_EDGES,
) -> "Figure":
    """Regions and their strongest edges in three projections of the MNI brain (nilearn).

    Parameters
    ----------
    x : Connectivity, or array of shape (n, n)
        One symmetric matrix.
    positions_mm : array, shape (n, 3), optional
        MNI coordinates in millimetres; taken (from metres) from the object if
        it knows them.
    keep : bool array, shape (n, n), optional
        Edges that may be drawn.
    most : int
        Most edges drawn.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        No positions, a directed matrix, or no edge to draw.
    """
    from matplotlib.figure import Figure
    from nilearn.plotting import plot_connectome

    matrix, _, attrs = _parts(x)
    if attrs.get("directed"):
        raise DataError("The glass brain shows symmetric matrices; use connectivity_circle.")
    found = positions_mm
    if found is None and attrs.get("positions") is not None:
        found = 1000 * np.asarray(attrs["positions"], dtype=np.float64)
    if found is None or np.shape(found) != (len(matrix), 3):
        raise DataError("Region positions (n, 3) are needed: pass positions_mm= in MNI space.")
    where = np.asarray(found, dtype=np.float64)
    placed = np.asarray(np.isfinite(where).all(axis=1))
    edges = [e for e in _edges(matrix, keep, most, False) if placed[e[0]] and placed[e[1]]]
    if not edges:
        raise DataError("There is no edge between regions with a position.")
    shown = np.zeros_like(matrix)
    for i, j, value in edges:
        shown[i, j] = shown[j, i] = value
    rows = np.flatnonzero(placed & (shown != 0).any(axis=1))
    figure = Figure(figsize=(8.0, 3.4))
    low, high, colours = _limits(shown)
    with styled():
        plot_connectome(
            shown[np.ix_(rows, rows)], where[rows], figure=figure, edge_cmap=colours,
            edge_vmin=low, edge_vmax=high, node_size=14, node_color=INK, colorbar=True,
            edge_kwargs={"linewidth": 1.4},
        )  # fmt: skip
        title = f"{_title(attrs)}: {len(edges)} edges"
        figure.text(0.01, 0.94, title, fontsize=10, weight="bold", color=INK)
    return figure


def state_timeline(
    labels: AnyArray,
    times_s: AnyArray,
    centroids: AnyArray | None = None,
    *,
    run: AnyArray | None = None,
    names: Sequence[str] = (),
) -> "Figure":
    """Recurring states in time, and the matrix of each.

    Parameters
    ----------
    labels : int array, shape (n_windows,)
        State of each window.
    times_s : array, shape (n_windows,)
        Its centre in seconds.
    centroids : array, shape (k, n, n), optional
        Matrix of each state, drawn above.
    run : array, shape (n_windows,), optional
        Segment of each window; time between segments stays empty.
    names : sequence of str
        Of the states.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Lengths differ.

    Examples
    --------
    >>> len(state_timeline([0, 0, 1], [1.0, 2.0, 3.0]).axes)
    1
    """
    state, times = np.asarray(labels), np.asarray(times_s, dtype=np.float64)
    if state.shape != times.shape or state.ndim != 1 or len(state) < 2:
        raise DataError(f"{state.shape} labels for {times.shape} times; two or more of both.")
    runs = np.zeros(len(state)) if run is None else np.asarray(run)
    k = int(state.max()) + 1 if centroids is None else len(np.asarray(centroids))
    step = float(np.median(np.diff(times)))
    with styled():
        if centroids is None:
            figure, grid = axes(size=(7.0, 1.0 + 0.35 * k))
            ax = grid[0, 0]
        else:
            figure, ax = _with_matrices(np.asarray(centroids, dtype=np.float64), state, names)
        edges = np.flatnonzero((np.diff(state) != 0) | (np.diff(runs) != 0)) + 1
        bounds = np.concatenate([[0], edges, [len(state)]])
        for a, b in pairwise(bounds.tolist()):
            colour = COLOURS[int(state[a]) % len(COLOURS)]
            ax.barh(int(state[a]), times[b - 1] - times[a] + step, left=times[a] - step / 2,
                    height=0.8, color=colour, linewidth=0)  # fmt: skip
        texts = [names[i] if i < len(names) else f"state {i + 1}" for i in range(k)]
        ax.set_yticks(range(k), [short(t, 16) for t in texts])
        ax.set_ylim(k - 0.4, -0.6)
        ax.set_xlim(times[0] - step / 2, times[-1] + step / 2)
        ax.set_xlabel("window centre (s)")
    return figure


def _with_matrices(
    centroids: FloatArray, state: AnyArray, names: Sequence[str]
) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    if centroids.ndim != 3 or centroids.shape[1] != centroids.shape[2]:
        raise DataError(f"Centroids must be (k, n, n), got {centroids.shape}.")
    k = len(centroids)
    figure = Figure(figsize=(max(7.0, 1.7 * k), 3.2 + 0.25 * k), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.0, 0.7 + 0.2 * k])
    upper, lower = parts
    grid = np.atleast_1d(upper.subplots(1, k))
    drawn = np.stack([_off(c) for c in centroids])
    low, high, colours = _limits(drawn)
    share = np.bincount(state, minlength=k) / len(state)
    image = None
    for i, ax in enumerate(grid):
        image = ax.imshow(drawn[i], cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        name = names[i] if i < len(names) else f"state {i + 1}"
        ax.set_title(f"{short(name, 14)}, {share[i]:.0%}", color=COLOURS[i % len(COLOURS)])
        ax.set_xticks([])
        ax.set_yticks([])
    upper.colorbar(image, ax=list(grid), shrink=0.8)
    return figure, lower.subplots()


def pair_spectra(
    x: Any,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    chance: float | None = None,
    most: int = 5,
) -> "Figure":
    """A spectral measure of some pairs against frequency.

    Parameters
    ----------
    x : Connectivity
        With a freq axis.
    pairs : sequence of (source, target), optional
        Names; the strongest pairs by default.
    chance : float, optional
        Level of unrelated signals, drawn dashed.
    most : int
        Number of pairs drawn by default.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        No freq axis.
    ConfigError
        Unknown name.
    """
    if getattr(x, "dims", None) != ("freq", "source", "target"):
        raise DataError("Spectra need dims (freq, source, target); compute without bands=.")
    values, names = np.asarray(x.values, dtype=np.float64), list(x.names)
    attrs = dict(x.attrs)
    arrow = " → " if attrs.get("directed") else " – "
    if pairs is None:
        peak = np.nanmax(np.abs(np.where(np.isfinite(values), values, 0)), axis=0)
        strongest = _edges(peak, None, most, bool(attrs.get("directed")))[::-1]
        chosen = [(i, j) for i, j, _ in strongest]
    else:
        for name in (n for pair in pairs for n in pair):
            if name not in names:
                raise ConfigError(f"No node {name!r} among {', '.join(names[:12])}.")
        chosen = [(names.index(a), names.index(b)) for a, b in pairs]
    freqs = np.asarray(x.coords["freq"], dtype=np.float64)
    with styled():
        figure, grid = axes(size=(6.4, 3.2))
        ax = grid[0, 0]
        for number, (i, j) in enumerate(chosen):
            label = f"{short(names[i], 12)}{arrow}{short(names[j], 12)}"
            ax.plot(freqs, values[:, i, j], color=COLOURS[number % len(COLOURS)], label=label)
        if chance is not None:
            ax.axhline(chance, color=INK, linestyle="--", linewidth=0.9, label="chance")
        ax.set_xlabel("frequency (Hz)")
        ax.set_ylabel(_label(attrs))
        ax.set_xlim(freqs[0], freqs[-1])
        signed = bool(attrs.get("signed", (values[np.isfinite(values)] < 0).any()))
        if attrs.get("unit", "1") == "1":
            ax.set_ylim(-1.02 if signed else 0, 1.02)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
