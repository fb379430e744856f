"""Figures of brain regions: their embeddings against networks, attention in time, glass brain."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.plot._style import COLOURS, INK, axes, short, styled
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["attention_course", "region_glass_brain", "region_map"]

# with six colours these tell 24 networks apart
_MARKERS = ("o", "^", "s", "D")
_METHODS = ("pca", "tsne")
_EXACT = 500


def region_map(
    embedding: AnyArray,
    networks: Sequence[str],
    *,
    method: Literal["pca", "tsne"] = "pca",
    seed: int = 0,
) -> "Figure":
    """Embeddings of regions on a plane, and their similarity ordered by network.

    Parameters
    ----------
    embedding : array, shape (n_regions, n_features)
        One vector a region.
    networks : sequence of str
        Network of each region; ``""`` where it has none.
    method : {"pca", "tsne"}
        How the plane is found: a linear projection whose distances mean
        something, or one that keeps neighbours together.
    seed : int
        Of t-SNE.

    Returns
    -------
    Figure
        The title counts how often the most similar other region (by cosine) is
        of the same network, and what regions dealt at random would give.

    Raises
    ------
    DataError
        If shapes disagree, a value is missing, or fewer than four regions have
        a network.

    Examples
    --------
    >>> vectors = np.repeat([[1.0, 0.0], [0.0, 1.0]], 3, axis=0)
    >>> vectors += 0.1 * np.random.default_rng(0).normal(size=(6, 2))
    >>> figure = region_map(vectors, ["visual"] * 3 + ["motor"] * 3)
    >>> figure.axes[0].get_title(loc="left")
    'nearest region of the same network: 100 % (chance 40 %)'
    """
    if method not in _METHODS:
        raise ConfigError(f"method={method!r}. {did_you_mean(str(method), _METHODS)}")
    x, names = np.asarray(embedding, dtype=np.float64), np.array([str(n) for n in networks])
    if x.ndim != 2 or len(x) != len(names) or not np.isfinite(x).all():
        raise DataError(
            f"An embedding of shape {x.shape} for {len(names)} regions, or it holds NaN: one "
            "finite vector a region is needed."
        )
    known = names != ""
    if known.sum() < 4:
        raise DataError(f"{int(known.sum())} regions have a network: four or more are needed.")
    x, names = x[known], names[known]
    order = np.argsort(names, kind="stable")
    x, names = x[order], names[order]
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    with styled():
        figure, grid = axes(1, 2, (9.4, 4.0), width_ratios=[1.0, 1.05])
        _plane(grid[0, 0], _flat(unit, method, seed), names, method)
        grid[0, 0].set_title(_neighbours(similarity, names))
        _ordered(grid[0, 1], similarity, names)
    return figure


def _flat(unit: FloatArray, method: str, seed: int) -> FloatArray:
    """Two coordinates a region."""
    if method == "tsne":
        from sklearn.manifold import TSNE

        # sklearn's approximation for many points is slower below some hundreds of them
        exact = len(unit) <= _EXACT
        how = TSNE(
            2, perplexity=min(30.0, (len(unit) - 1) / 3), init="pca", random_state=seed,
            method="exact" if exact else "barnes_hut",
        )  # fmt: skip
        return np.asarray(how.fit_transform(unit), dtype=np.float64)
    centred = unit - unit.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(unit), 2))
    k = min(2, len(size))
    flat[:, :k] = left[:, :k] * size[:k]
    return flat


def _plane(ax: "Axes", flat: FloatArray, names: AnyArray, method: str) -> None:
    for k, name in enumerate(np.unique(names).tolist()):
        rows = names == name
        ax.scatter(flat[rows, 0], flat[rows, 1], s=26, label=short(name, 20),
                   color=COLOURS[k % len(COLOURS)], linewidth=0,
                   marker=_MARKERS[k // len(COLOURS) % len(_MARKERS)])  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])
    axis = "component" if method == "pca" else "t-SNE axis"
    ax.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2")
    ax.legend(loc="upper right", bbox_to_anchor=(-0.06, 1.0), handletextpad=0.2)


def _neighbours(similarity: FloatArray, names: AnyArray) -> str:
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    same = float((names[others.argmax(axis=1)] == names).mean())
    _, count = np.unique(names, return_counts=True)
    chance = float((count * (count - 1)).sum() / (len(names) * (len(names) - 1)))
    return f"nearest region of the same network: {same:.0%} (chance {chance:.0%})".replace(
        "%", " %"
    )


def _ordered(ax: "Axes", similarity: FloatArray, names: AnyArray) -> None:
    """Similarity with a frame around each network."""
    from matplotlib.patches import Rectangle

    shown = similarity.copy()
    np.fill_diagonal(shown, np.nan)
    # the common part of all embeddings would leave one colour only
    low, high = np.nanquantile(shown, [0.01, 0.99]).tolist()
    image = ax.imshow(shown, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    unique, first, count = np.unique(names, return_index=True, return_counts=True)
    for a, n in zip(first.tolist(), count.tolist(), strict=True):
        ax.add_patch(Rectangle((a - 0.5, a - 0.5), n, n, fill=False, edgecolor="white"))
    ax.set_yticks(first + (count - 1) / 2, [short(n, 20) for n in unique], fontsize=7.5)
    ax.set_xticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
    bar.set_label("cosine of embeddings")


def attention_course(
    attention: AnyArray,
    times_s: AnyArray,
    *,
    events: Sequence[tuple[float, float, str]] = (),
    names: Sequence[str] = (),
) -> "Figure":
    """What a model attends to in time, beside what happened.

    Parameters
    ----------
    attention : array, shape (n_times,) or (n_rows, n_times)
        Not negative; rows are heads, people or scans. Each is divided by its
        mean, so that 1 is attention spread evenly; NaN for times that a row
        lacks.
    times_s : array, shape (n_times,)
        Centres of the times in seconds.
    events : sequence of (start_s, stop_s, name)
        Drawn as bands, a colour a name.
    names : sequence of str
        Of the rows.

    Returns
    -------
    Figure
        Above, every row, if there are several; below, their mean.

    Raises
    ------
    DataError
        If shapes disagree, attention is negative, or a row attends to nothing.

    Examples
    --------
    >>> figure = attention_course([1.0, 3.0, 1.0, 1.0], [5, 15, 25, 35], events=[(10, 20, "heat")])
    >>> figure.axes[0].lines[0].get_ydata().round(2).tolist()
    [0.67, 2.0, 0.67, 0.67]
    """
    rows = np.atleast_2d(np.asarray(attention, dtype=np.float64))
    times = np.asarray(times_s, dtype=np.float64)
    if rows.ndim != 2 or times.shape != rows.shape[1:] or len(times) < 2:
        raise DataError(f"Attention {rows.shape} for {times.shape} times; two times or more.")
    total = np.nansum(rows, axis=1)
    if (rows < 0).any() or not (total > 0).all():
        raise DataError("Attention must be 0 or more, and above 0 somewhere in every row.")
    rows = rows / np.nanmean(rows, axis=1, keepdims=True)
    several = len(rows) > 1
    height = 2.4 + (0.6 + min(2.4, 0.18 * len(rows)) if several else 0.0)
    with styled():
        figure, grid = axes(1 + several, 1, (7.2, height), sharex=True)
        if several:
            _rows(grid[0, 0], rows, times, names)
        ax = grid[-1, 0]
        kinds = list(dict.fromkeys(name for _, _, name in events))
        for start, stop, name in events:
            # the mean has the first colour
            colour = COLOURS[1 + kinds.index(name) % (len(COLOURS) - 1)]
            fresh = name not in {p.get_label() for p in ax.patches}
            ax.axvspan(start, stop, color=colour, alpha=0.22, linewidth=0,
                       label=short(name) if fresh else None)  # fmt: skip
        mean = np.nanmean(rows, axis=0)
        ax.plot(times, mean, color=COLOURS[0], linewidth=1.6, marker="o", markersize=2.5)
        ax.axhline(1.0, color=INK, linestyle="--", linewidth=0.8)
        ax.text(times[-1], 1.0, " even", va="center", fontsize=7.5, color=INK)
        half = float(np.median(np.diff(times))) / 2
        ax.set(xlim=(times[0] - half, times[-1] + half), xlabel="time (s)")
        ax.set_ylabel("attention over even" + (", mean" if several else ""))
        if kinds:
            ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(4, len(kinds)))
    return figure


def _rows(ax: "Axes", rows: FloatArray, times: FloatArray, names: Sequence[str]) -> None:
    step = float(np.median(np.diff(times)))
    extent = (times[0] - step / 2, times[-1] + step / 2, len(rows) - 0.5, -0.5)
    top = float(np.nanquantile(rows, 0.99))
    image = ax.imshow(rows, aspect="auto", extent=extent, cmap="magma", vmin=0, vmax=top,
                      interpolation="nearest")  # fmt: skip
    if len(names) == len(rows) <= 24:
        ax.set_yticks(range(len(rows)), [short(n, 16) for n in names], fontsize=7.5)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(rows)} rows")
    ax.figure.colorbar(image, ax=ax, pad=0.01, label="over even")


def region_glass_brain(
    values: AnyArray, positions_mm: AnyArray, *, label: str = "", title: str = ""
) -> "Figure":
    """One number a region, as dots in three projections of the MNI brain (nilearn).

    Parameters
    ----------
    values : array, shape (n_regions,)
        NaN leaves a region out.
    positions_mm : array, shape (n_regions, 3)
        MNI coordinates in millimetres; NaN where unknown.
    label : str
        What the values are.
    title : str
        Above the figure.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If shapes disagree, positions look like metres, or no region has both.
    """
    from matplotlib.figure import Figure
    from nilearn.plotting import plot_markers

    x, where = np.asarray(values, dtype=np.float64), np.asarray(positions_mm, dtype=np.float64)
    if x.ndim != 1 or where.shape != (len(x), 3):
        raise DataError(f"Values {x.shape} for positions {where.shape}: (n,) and (n, 3) expected.")
    there = np.isfinite(x) & np.isfinite(where).all(axis=1)
    if not there.any():
        raise DataError("No region has both a value and a position.")
    if len(x) > 1 and np.abs(where[there]).max() < 1:
        raise DataError("Positions are below 1 mm: these look like metres. Multiply by 1000.")
    x, where = x[there], where[there]
    size = float(np.abs(x).max()) or 1.0
    signed = bool((x < 0).any())
    # strong regions on top, and large
    order = np.argsort(np.abs(x))
    figure = Figure(figsize=(8.0, 3.4))
    with styled():
        plot_markers(
            x[order], where[order], node_size=10 + 50 * np.abs(x[order]) / size, figure=figure,
            node_cmap="RdBu_r" if signed else "viridis", node_vmin=-size if signed else x.min(),
            node_vmax=size, colorbar=True,
        )  # fmt: skip
        lost = int((~there).sum())
        told = [title, label, f"{lost} regions without a place" if lost else ""]
        figure.text(0.01, 0.94, ", ".join(t for t in told if t), fontsize=10, weight="bold",
                    color=INK)  # fmt: skip
    return figure
