"""Figures of code books: use, meaning, looks, and where codes speak for a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, INK, axes, name_rows, short, styled, thinned
from neuro.typing import AnyArray, BoolArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["code_evidence", "code_labels", "code_prototypes", "code_usage"]


def code_usage(counts: AnyArray) -> "Figure":
    """How often each code occurs, the most frequent first.

    Parameters
    ----------
    counts : ndarray of int, shape (n_codes,)
        Over a whole data set.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no code occurs.

    Examples
    --------
    >>> code_usage(np.array([5, 0, 20, 1])).axes[0].get_xlabel()
    'codes, most frequent first'
    """
    counts = np.sort(np.asarray(counts, dtype=np.float64).reshape(-1))[::-1]
    if not counts.sum() > 0:
        raise DataError("No code occurs: there is no usage to draw.")
    share, n = 100 * counts / counts.sum(), len(counts)
    used = int((counts > 0).sum())
    with styled():
        figure, grid = axes(size=(4.8, 2.8))
        ax = grid[0, 0]
        ax.fill_between(np.arange(used + 1), np.append(share[:used], share[used - 1]), step="post",
                        color=COLOURS[0], alpha=0.8, linewidth=0)  # fmt: skip
        ax.axhline(100 / n, color=INK, linewidth=0.9, linestyle="--")
        ax.text(n, 100 / n, "all alike ", ha="right", va="bottom", fontsize=7.5)
        if used < n:
            ax.axvspan(used, n, color=GREY, alpha=0.15, linewidth=0)
            ax.text(used + (n - used) / 2, 0.5, "never\nused", ha="center", va="center",
                    transform=ax.get_xaxis_transform(), fontsize=7.5, color=GREY)  # fmt: skip
        ax.set(xlim=(0, n), ylim=(0, None), xlabel="codes, most frequent first",
               ylabel="share of tokens (%)")  # fmt: skip
    return figure


def code_labels(table: AnyArray, names: Sequence[str], *, most: int = 64) -> "Figure":
    """Which labels the tokens of each code have.

    Parameters
    ----------
    table : ndarray of int, shape (n_codes, n_labels)
        Tokens of each code and label.
    names : sequence of str
        The labels.
    most : int
        Codes drawn, the most frequent ones.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the shapes do not fit, or no token is counted.

    Examples
    --------
    >>> len(code_labels(np.array([[9, 1], [0, 5]]), ["calm", "spikes"]).axes)
    2
    """
    table = np.asarray(table, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or not table.sum() > 0:
        raise DataError(f"A table of shape {table.shape} for {len(names)} labels, or it is empty.")
    codes = np.argsort(-table.sum(axis=1), kind="stable")[:most]
    codes = codes[table[codes].sum(axis=1) > 0]
    share = table[codes] / table[codes].sum(axis=1, keepdims=True)
    # codes of one label stand together, the purest first
    order = np.lexsort((-share.max(axis=1), share.argmax(axis=1)))
    with styled():
        figure, grid = axes(size=(8.2, 0.9 + 0.27 * len(names)))
        ax = grid[0, 0]
        drawn = ax.imshow(share[order].T, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        name_rows(ax, [str(n).replace("_", " ") for n in names], np.arange(len(names)))
        step = max(1, -(-len(codes) // 32))
        ax.set_xticks(np.arange(0, len(codes), step), codes[order][::step], fontsize=6.5,
                      rotation=90)  # fmt: skip
        ax.set_xlabel("code" if len(codes) < most else f"code (the {most} most frequent)")
        for side in ax.spines.values():
            side.set_visible(False)
        ax.tick_params(length=0)
        bar = figure.colorbar(drawn, ax=ax, pad=0.01, shrink=0.9)
        bar.set_label("share of tokens")
        bar.outline.set_visible(False)
    return figure


def code_prototypes(
    prototypes: Any, names: Sequence[str] = (), *, most: int = 24, columns: int = 3
) -> "Figure":
    """One stretch and the mean spectrum of each code.

    Parameters
    ----------
    prototypes : object
        With ``codes``, ``counts``, ``example``, ``waveform``, ``spectrum``,
        ``freqs``, ``sfreq`` and ``unit``, as
        ``neuro.evaluate.codebook.Prototypes`` has.
    names : sequence of str
        What each code stands for, if known.
    most : int
        Codes drawn.
    columns : int
        Codes side by side.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no code.
    """
    p = prototypes
    n = min(most, len(p.codes))
    if not n:
        raise DataError("There are no codes to draw.")
    rows = -(-n // columns)
    seconds = p.example.shape[1] / p.sfreq
    with styled():
        figure, grid = axes(size=(3.4 * columns, 0.3 + 0.82 * rows))
        ax = grid[0, 0]
        # one pair of axes for all cells, each 1 wide and 1 high: many small axes are slow
        for i in range(n):
            row, column = divmod(i, columns)
            means = f": {short(names[i].replace('_', ' '), 20)}" if i < len(names) else ""
            ax.text(column, row - 0.38, f"{int(p.codes[i])}{means}", fontsize=8, weight="bold")
            _wave_cell(ax, p, i, column, row)
            _spectrum_cell(ax, p, i, column + 0.62, row)
        for column in range(columns):
            bottom = (n - column - 1) // columns + 0.62
            ax.text(column, bottom, "0", fontsize=7, color=GREY)
            ax.text(column + 0.56, bottom, f"{seconds:g} s", fontsize=7, color=GREY, ha="right")
            for hz, at in zip(("3", "10", "30"), _log_place([3, 10, 30], p), strict=True):
                ax.text(column + 0.62 + 0.32 * at, bottom, hz, fontsize=7, color=GREY, ha="center")
        ax.set(xlim=(-0.01, columns), ylim=(rows - 0.3, -0.55))
        ax.set_axis_off()
    return figure


def _wave_cell(ax: "Axes", p: Any, i: int, left: float, middle: float) -> None:
    """One stretch and the mean of all, in the left part of a cell."""
    low, high = float(p.example[i].min()), float(p.example[i].max())
    span = (high - low) or 1.0
    x = left + 0.56 * np.linspace(0, 1, p.example.shape[1])
    for wave, colour in ((p.example[i], COLOURS[0]), (p.waveform[i], COLOURS[1])):
        height = np.clip((wave - low) / span, 0, 1)  # the mean may lie beside the example
        ax.plot(*thinned(x, middle + 0.42 - 0.72 * height), color=colour, linewidth=0.9)
    ax.text(left + 0.56, middle - 0.38, f"{high - low:.3g} {p.unit}", fontsize=6.5, color=GREY,
            ha="right")  # fmt: skip


def _spectrum_cell(ax: "Axes", p: Any, i: int, left: float, middle: float) -> None:
    """Mean spectrum, both axes logarithmic, in the right part of a cell."""
    shown = (p.freqs >= 1) & (p.spectrum[i] > 0)
    if shown.sum() < 2:
        return
    x = left + 0.32 * _log_place(p.freqs[shown], p)
    power = np.log10(p.spectrum[i][shown])
    # four decades, so that all codes have one scale of steepness
    height = np.clip((power - power.max()) / 4 + 1, 0, 1)
    for at in _log_place([3, 10, 30], p):
        ax.plot([left + 0.32 * at] * 2, [middle + 0.42, middle - 0.3], color="#E5E7EB",
                linewidth=0.7, zorder=0)  # fmt: skip
    ax.fill_between(x, middle + 0.42, middle + 0.42 - 0.72 * height, color=GREY, alpha=0.55,
                    linewidth=0)  # fmt: skip


def _log_place(hz: Any, p: Any) -> AnyArray:
    """Frequencies between 1 Hz and half the sampling rate as 0 to 1."""
    return np.asarray(np.log(np.asarray(hz, dtype=np.float64)) / np.log(0.5 * p.sfreq))


def code_evidence(
    x: AnyArray,
    evidence: AnyArray,
    start_s: AnyArray,
    length_s: float,
    *,
    sfreq: float,
    names: Sequence[str] = (),
    truth: BoolArray | None = None,
    limit: float | None = None,
    title: str = "",
    unit: str = "",
) -> "Figure":
    """A window's signals over the evidence of their tokens: where codes speak for a class.

    Parameters
    ----------
    x : ndarray, shape (n_chans, n_times)
        Signals.
    evidence : ndarray, shape (n_chans, n_tokens)
        Above 0 for the class, below 0 against it.
    start_s : ndarray, shape (n_tokens,)
        Beginning of each token.
    length_s : float
        Seconds that a token covers; drawn up to the next one's beginning.
    sfreq : float
        Hz.
    names : sequence of str
        Channels.
    truth : ndarray of bool, shape (n_chans, n_tokens), optional
        Framed: where the class is known to be.
    limit : float, optional
        Evidence at which the colour is full; the largest if omitted.
    title, unit : str
        Above the figure; of the signals.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the shapes do not fit.

    Examples
    --------
    >>> x, e = np.random.default_rng(0).normal(size=(2, 300)), np.array([[0, 1, 2], [0, 0, -1]])
    >>> code_evidence(x, e, np.arange(3), 1.0, sfreq=100, names=["Fz", "Cz"]).axes[0].get_xlabel()
    'time (s)'
    """
    x, evidence = np.asarray(x, dtype=np.float64), np.asarray(evidence, dtype=np.float64)
    start = np.asarray(start_s, dtype=np.float64)
    if x.ndim != 2 or evidence.shape != (len(x), len(start)):
        raise DataError(
            f"Signals {x.shape}, evidence {evidence.shape} and {len(start)} tokens do not fit."
        )
    stop = np.append(start[1:], start[-1] + length_s)
    full = limit or float(np.abs(evidence).max()) or 1.0
    t = np.arange(x.shape[1]) / sfreq
    scale = 2.2 * float(np.median(x.std(axis=1))) or 1.0
    with styled():
        figure, grid = axes(size=(8.2, 0.9 + 0.42 * len(x)))
        ax = grid[0, 0]
        edges = np.append(start, stop[-1])
        mesh = ax.pcolormesh(edges, np.arange(len(x) + 1) - 0.5, evidence, cmap="RdBu_r",
                             vmin=-full, vmax=full, alpha=0.75, linewidth=0)  # fmt: skip
        for i, row in enumerate(x):
            line = i - 0.45 * np.tanh((row - row.mean()) / (2 * scale))
            ax.plot(*thinned(t, line, 1000), color=INK, linewidth=0.7)
            for k in np.flatnonzero(truth[i]) if truth is not None else ():
                ax.plot([start[k], stop[k]], [i + 0.47, i + 0.47], color=COLOURS[2], linewidth=2.4,
                        solid_capstyle="butt")  # fmt: skip
        name_rows(ax, names or [str(i) for i in range(len(x))], np.arange(len(x)))
        ax.set(xlim=(t[0], t[-1]), ylim=(len(x) - 0.45, -0.5), xlabel="time (s)")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        bar = figure.colorbar(mesh, ax=ax, pad=0.01, shrink=0.9)
        bar.set_label("evidence")
        bar.outline.set_visible(False)
        if title:
            ax.set_title(short(title, 90))
    return figure
