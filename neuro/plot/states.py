"""Figures of state-switching models: path, couplings, connections, dwell times, choice."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, INK, axes, name_rows, styled
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "connection_types",
    "coupling_matrices",
    "dwell_times",
    "state_choice",
    "state_path",
]


def state_path(
    probability: AnyArray,
    *,
    bin_s: float,
    t0_s: float = 0.0,
    epochs: Sequence[tuple[float, float, str]] = (),
) -> "Figure":
    """Probability of each state in time, with the share of time spent in each.

    Parameters
    ----------
    probability : array, shape (n_states, n_bins)
        As ``predict_proba`` gives it for one session.
    bin_s : float
        Width of a bin in seconds.
    t0_s : float
        Start in seconds.
    epochs : sequence of (start_s, stop_s, name)
        Known stretches, drawn above.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Columns that do not add up to 1.

    Examples
    --------
    >>> len(state_path([[0.9, 0.2, 0.1], [0.1, 0.8, 0.9]], bin_s=0.1).axes)
    2
    """
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 2 or not p.size or not np.allclose(p.sum(axis=0), 1.0, atol=1e-6):
        raise DataError(f"Expected probabilities (n_states, n_bins), got {p.shape}.")
    with styled():
        figure, grid = axes(1, 2, (7.4, 1.6 + 0.25 * len(p)), width_ratios=[5, 1])
        ax, share = grid[0]
        # at most one column a pixel or so: means of neighbours
        step = max(1, p.shape[1] // 1500)
        n = p.shape[1] // step * step
        shown = p[:, :n].reshape(len(p), -1, step).mean(axis=2)
        times = t0_s + bin_s * step * np.arange(shown.shape[1] + 1)
        below = np.zeros(shown.shape[1])
        for k, row in enumerate(shown):
            ax.stairs(below + row, times, baseline=below, fill=True,
                      color=COLOURS[k % len(COLOURS)], linewidth=0)  # fmt: skip
            below = below + row
        for start, stop, name in epochs:
            ax.plot([start, stop], [1.06, 1.06], color=INK, linewidth=2, clip_on=False)
            ax.text((start + stop) / 2, 1.1, name, ha="center", va="bottom", fontsize=8)
        ax.set(xlim=(times[0], times[-1]), ylim=(0, 1), xlabel="time (s)", ylabel="probability")
        occupancy = p.mean(axis=1)
        share.barh(range(len(p)), occupancy,
                   color=[COLOURS[k % len(COLOURS)] for k in range(len(p))])  # fmt: skip
        share.set_yticks(range(len(p)), [f"state {k + 1}" for k in range(len(p))])
        share.set(ylim=(len(p) - 0.4, -0.6), xlim=(0, 1), xlabel="share of time")
    return figure


def coupling_matrices(coupling: AnyArray, *, names: Sequence[str] = ()) -> "Figure":
    """One matrix a state: what each column does to each row.

    Parameters
    ----------
    coupling : array, shape (n_states, n_post, n_pre) or (n_states, n_post, n_pre, n_basis)
        Weights; over basis functions they are added up. The diagonal is left out.
    names : sequence of str
        Units.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Matrices that are not square.

    Examples
    --------
    >>> len(coupling_matrices(np.ones((2, 3, 3))).axes)
    3
    """
    w = np.array(coupling, dtype=np.float64)
    w = w.sum(axis=3) if w.ndim == 4 else w
    if w.ndim != 3 or w.shape[1] != w.shape[2] or not w.size:
        raise DataError(f"Expected (n_states, n_post, n_pre), got {np.shape(coupling)}.")
    w[:, np.eye(w.shape[1], dtype=bool)] = np.nan
    # an extreme edge must not hide the others
    top = float(np.nanquantile(np.abs(w), 0.995)) if w.shape[1] > 1 else 1.0
    with styled():
        figure, grid = axes(1, len(w), (1.2 + 2.6 * len(w), 3.0))
        for k, (ax, matrix) in enumerate(zip(grid[0], w, strict=True)):
            image = ax.imshow(matrix, cmap="RdBu_r", vmin=-(top or 1.0), vmax=top or 1.0,
                              interpolation="nearest")  # fmt: skip
            ax.set_title(f"state {k + 1}")
            ax.set_xlabel("from (pre)")
            _unit_ticks(ax, names, len(matrix), first=k == 0)
        grid[0, 0].set_ylabel("to (post)")
        figure.colorbar(image, ax=list(grid[0]), shrink=0.8, label="weight", extend="both")
    return figure


def _unit_ticks(ax: "object", names: Sequence[str], n: int, *, first: bool) -> None:
    ax.set_xticks([])  # type: ignore[attr-defined]
    if first and names:
        name_rows(ax, list(names)[:n], np.arange(n))  # type: ignore[arg-type]
    else:
        ax.set_yticks([])  # type: ignore[attr-defined]


def connection_types(
    shared: AnyArray, *, share: float = 0.25, names: Sequence[str] = ()
) -> "Figure":
    """The map that all states share: sign by colour, confidence by how strong the colour is.

    Parameters
    ----------
    shared : array, shape (n_post, n_pre, 3)
        Probabilities of inhibitory, none, excitatory.
    share : float
        Edges with less than this are left blank.
    names : sequence of str
        Units.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If these are no probabilities.

    Examples
    --------
    >>> len(connection_types(np.full((4, 4, 3), 1 / 3)).axes)
    2
    """
    p = np.asarray(shared, dtype=np.float64)
    square = p.ndim == 3 and p.shape[0] == p.shape[1] and p.shape[2] == 3
    if not square or not p.size or not np.allclose(p.sum(axis=2), 1.0, atol=1e-6):
        raise DataError(f"Expected probabilities (n_post, n_pre, 3), got {p.shape}.")
    signed = np.where(p[..., 2] >= p[..., 0], p[..., 2], -p[..., 0])
    signed = np.where(np.abs(signed) >= share, signed, np.nan)
    with styled():
        figure, grid = axes(size=(4.2, 3.4))
        ax = grid[0, 0]
        image = ax.imshow(signed, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        ax.set(xlabel="from (pre)", ylabel="to (post)")
        _unit_ticks(ax, names, len(p), first=True)
        bar = figure.colorbar(image, ax=ax, shrink=0.8, ticks=[-1, 0, 1])
        bar.ax.set_yticklabels(["inhibitory", "none", "excitatory"])
    return figure


def dwell_times(paths: Sequence[AnyArray], *, bin_s: float) -> "Figure":
    """How long visits of each state last, beside what a Markov chain would give.

    Parameters
    ----------
    paths : sequence of int array, each (n_bins,)
        As ``predict`` gives them; visits cut off by a session's end are left out.
    bin_s : float
        Width of a bin in seconds.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no visit begins and ends inside a session.

    Examples
    --------
    >>> len(dwell_times([[0, 1, 1, 0, 1]], bin_s=1.0).axes)
    1
    """
    visits: dict[int, list[int]] = {}
    for path in paths:
        states = np.asarray(path)
        edges = np.flatnonzero(np.diff(states)) + 1
        for a, b in pairwise(edges.tolist()):
            visits.setdefault(int(states[a]), []).append(b - a)
    if not visits:
        raise DataError("No visit of a state begins and ends inside a session.")
    with styled():
        figure, grid = axes(size=(5.2, 3.0))
        ax = grid[0, 0]
        for k in sorted(visits):
            lasts = np.sort(np.array(visits[k], dtype=np.float64)) * bin_s
            left = 1 - np.arange(len(lasts)) / len(lasts)
            colour = COLOURS[k % len(COLOURS)]
            label = f"state {k + 1}: {len(lasts)} visits, median {np.median(lasts):.2g} s"
            ax.step(lasts, left, where="post", color=colour, label=label)
            _chain_like(ax, lasts, bin_s)
        ax.set(xlabel="visit lasts longer than (s)", ylabel="share of visits", yscale="log")
        ax.set_ylim(top=1.0)
        ax.legend(loc="upper right")
    return figure


def _chain_like(ax: "object", lasts: FloatArray, bin_s: float) -> None:
    """The geometric distribution of the same mean, dashed."""
    stay = max(0.0, 1 - bin_s / float(lasts.mean()))
    if stay > 0 and len(lasts) > 1:
        t = np.linspace(bin_s, float(lasts[-1]), 60)
        curve = stay ** (t / bin_s - 1)
        ax.plot(t, curve, color=GREY, linestyle="--", linewidth=0.8, zorder=0)  # type: ignore[attr-defined]


def state_choice(states: AnyArray, scores: AnyArray, best: int | None = None) -> "Figure":
    """Held-out likelihood against the number of states, as gain over the fewest.

    Parameters
    ----------
    states : int array, shape (n_candidates,)
        Numbers of states.
    scores : array, shape (n_candidates, n_folds)
        Log probability of held-out bins, nats a bin.
    best : int, optional
        The chosen number, marked.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        Shapes that do not go together.

    Examples
    --------
    >>> state_choice([1, 2], [[-3.0, -3.1], [-2.9, -3.0]], best=2).axes[0].get_xlabel()
    'number of states'
    """
    k, table = np.asarray(states), np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or k.shape != table.shape[:1] or not table.size:
        raise DataError(f"{k.shape} numbers of states for scores {table.shape}.")
    gain = table - table[0]
    error = gain.std(axis=1, ddof=1) / np.sqrt(gain.shape[1]) if gain.shape[1] > 1 else 0 * k
    with styled():
        figure, grid = axes(size=(4.6, 3.0))
        ax = grid[0, 0]
        ax.plot(k, gain, color=GREY, alpha=0.5, linewidth=0.7)
        ax.errorbar(k, gain.mean(axis=1), error, color=COLOURS[0], marker="o", capsize=2)
        if best is not None:
            ax.axvline(best, color=COLOURS[1], linestyle="--", linewidth=0.9, zorder=0)
        ax.set_xticks(k)
        ax.set_xlabel("number of states")
        ax.set_ylabel(f"held-out nats a bin over {int(k[0])}")
    return figure
