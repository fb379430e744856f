"""Figures of generative models of connectivity: traversals, real beside synthetic."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, axes, short, styled
from neuro.plot.connectivity import network_order
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["latent_traversal", "real_and_synthetic", "variance_match"]


def latent_traversal(
    matrices: AnyArray, *, steps: Sequence[float], names: Sequence[str] = ()
) -> "Figure":
    """What each code (or demographic) does to the matrix, moved step by step.

    Parameters
    ----------
    matrices : array, shape (n_codes, n_steps, n_rois, n_rois)
        Decoded; drawn as the difference to the middle step, which stands as it is in
        the first column.
    steps : sequence of float, length n_steps
        Where each column's code is; an odd number of them.
    names : sequence of str
        Of the rows.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Arrays that do not match.

    Examples
    --------
    >>> figure = latent_traversal(np.ones((2, 3, 4, 4)), steps=[-2, 0, 2])
    >>> [ax.get_title("left") for ax in figure.axes[:3]]
    ['at 0', '-2', '+2']
    """
    found = np.asarray(matrices, dtype=np.float64)
    if found.ndim != 4 or found.shape[2] != found.shape[3] or len(steps) != found.shape[1]:
        raise DataError(
            f"Expected (n_codes, {len(steps)} steps, n_rois, n_rois), got {found.shape}."
        )
    if len(steps) % 2 == 0:
        raise DataError(f"{len(steps)} steps have no middle; use an odd number.")
    n_codes, middle = len(found), len(steps) // 2
    others = [k for k in range(len(steps)) if k != middle]
    change = found[:, others] - found[:, [middle]]
    labels = list(names) or [f"code {k + 1}" for k in range(n_codes)]
    top, most = _top(found[:, middle]), _top(change)
    with styled():
        size = (1.2 + 1.35 * len(steps), 0.5 + 1.3 * n_codes)
        figure, grid = axes(n_codes, len(steps), size)
        for row, at, moved, label in zip(grid, found[:, middle], change, labels, strict=True):
            base = _image(row[0], at, top)
            row[0].set_ylabel(short(label))
            for ax, one in zip(row[1:], moved, strict=True):
                delta = _image(ax, one, most)
        for ax, title in zip(grid[0], ["at 0", *(f"{steps[k]:+g}" for k in others)], strict=True):
            ax.set_title(title)
        figure.colorbar(base, ax=grid[:, 0].tolist(), location="bottom", label="value",
                        shrink=0.9, aspect=12)  # fmt: skip
        figure.colorbar(delta, ax=grid[:, 1:].ravel().tolist(), location="bottom",
                        label="change", aspect=40)  # fmt: skip
    return figure


def real_and_synthetic(
    real: AnyArray,
    synthetic: AnyArray,
    *,
    networks: Sequence[str] | None = None,
    label: str = "mean",
) -> "Figure":
    """A matrix of real people, the same of synthetic ones, and their edges against each other.

    Parameters
    ----------
    real, synthetic : array, shape (n_rois, n_rois)
        Means, or differences between groups.
    networks : sequence of str, optional
        Network of each region, which orders them.
    label : str
        What the matrices are.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Matrices that do not match.

    Examples
    --------
    >>> m = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.1], [0.4, 0.1, 1.0]])
    >>> real_and_synthetic(m, m).axes[2].get_title("left")
    'r = 1.00'
    """
    a, b = (np.asarray(m, dtype=np.float64) for m in (real, synthetic))
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) < 3:
        raise DataError(f"Two square matrices of three or more regions: {a.shape}, {b.shape}.")
    if networks is not None:
        order, _ = network_order(networks)
        if len(order) != len(a):
            raise DataError(f"{len(networks)} networks for {len(a)} regions.")
        a, b = a[np.ix_(order, order)], b[np.ix_(order, order)]
    upper = np.triu_indices(len(a), 1)
    x, y = a[upper], b[upper]
    limit = _top(np.stack([a, b]))
    with styled():
        figure, grid = axes(1, 3, (8.4, 2.9))
        left, centre, right = grid[0]
        for ax, matrix, title in ((left, a, "real"), (centre, b, "synthetic")):
            drawn = _image(ax, matrix, limit)
            ax.set_title(title)
        figure.colorbar(drawn, ax=[left, centre], label=label, shrink=0.85)
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        right.plot([low, high], [low, high], color=GREY, linewidth=0.8)
        right.plot(x, y, ".", color=COLOURS[0], markersize=3, alpha=0.6)
        r = np.corrcoef(x, y)[0, 1]
        right.set(xlabel=f"real {label}", ylabel=f"synthetic {label}", title=f"r = {r:.2f}")
    return figure


def variance_match(ratios: "dict[str, AnyArray]") -> "Figure":
    """Synthetic over real variance of every feature, one distribution a model.

    Parameters
    ----------
    ratios : mapping of name to array, shape (n_features,)
        Ratios above 0; 1 is right.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        A ratio of 0 or below.

    Examples
    --------
    >>> variance_match({"model": [0.9, 1.0, 1.1]}).axes[0].get_xlabel()
    'synthetic / real variance'
    """
    found = {name: np.sort(np.asarray(v, dtype=np.float64)) for name, v in ratios.items()}
    if not found or any(not len(v) or not (v > 0).all() for v in found.values()):
        raise DataError("Variance ratios are above 0.")
    with styled():
        figure, grid = axes(1, 1, (4.6, 2.8))
        ax = grid[0, 0]
        ax.axvspan(0.8, 1.25, color=GREY, alpha=0.15, linewidth=0)
        for k, (name, values) in enumerate(found.items()):
            share = np.arange(1, len(values) + 1) / len(values)
            ax.step(values, share, where="post", color=COLOURS[k % len(COLOURS)],
                    label=f"{short(name)}: median {np.median(values):.2f}")  # fmt: skip
        ax.set_xscale("log")
        low = min(0.4, *(v[0] for v in found.values()))
        high = max(2.5, *(v[-1] for v in found.values()))
        ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= t <= high]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.set(xlim=(low, high), ylim=(0, 1), xlabel="synthetic / real variance",
               ylabel="share of features")  # fmt: skip
        # above the axes: curves may lie anywhere inside
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def _top(values: FloatArray) -> float:
    """Largest size off the diagonals."""
    off = ~np.eye(values.shape[-1], dtype=bool)
    return float(np.abs(values[..., off]).max()) or 1.0


def _image(ax: "Axes", matrix: FloatArray, top: float) -> "AxesImage":
    """One matrix with a blank diagonal."""
    drawn = matrix.copy()
    np.fill_diagonal(drawn, np.nan)
    image = ax.imshow(drawn, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_facecolor("#E5E7EB")
    return image
