"""Figures of what was recorded: signals, spectra, rasters, correlations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data import Irregular, Recording, Regular
from neuro.errors import DataError
from neuro.plot._style import COLOURS, GREY, axes, name_rows, short, styled, thinned
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["fc_matrix", "raster", "signals", "spectrum"]

_MOST_ROWS = 20
_SHORT_S = 10.0


def _regular(source: Recording | Regular, stream: str | None) -> Regular:
    return source.regular(stream) if isinstance(source, Recording) else source


def signals(
    source: Recording | Regular,
    stream: str | None = None,
    *,
    start_s: float | None = None,
    length_s: float | None = None,
    rows: Sequence[int] | None = None,
) -> "Figure":
    """Traces of a sampled stream, one above the other, with events.

    Parameters
    ----------
    source : Recording or Regular
        What to draw.
    stream : str, optional
        Name of the stream in a recording.
    start_s, length_s : float, optional
        Stretch in stream seconds; the first 10 s if omitted (100 samples at
        least).
    rows : sequence of int, optional
        Channels; the first 20 if omitted.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the stretch holds no sample.

    Examples
    --------
    >>> from neuro.data import Axis
    >>> eeg = Regular(np.eye(2, 500), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> signals(eeg, length_s=1).axes[0].get_xlabel()
    'time (s)'
    """
    regular = _regular(source, stream)
    start_s = regular.t0_s if start_s is None else start_s
    length_s = max(_SHORT_S, 100 / regular.sfreq) if length_s is None else length_s
    a = min(max(regular.index(start_s), 0), regular.n_times)
    b = min(max(regular.index(start_s + length_s), a), regular.n_times)
    if a == b:
        raise DataError(
            f"No sample in [{start_s:g}, {start_s + length_s:g}) s: the stream covers "
            f"[{regular.t0_s:g}, {regular.stop_s:g}) s."
        )
    chosen = np.arange(min(len(regular.axis), _MOST_ROWS)) if rows is None else np.asarray(rows)
    x = np.asarray(regular.read(a, b, chosen), dtype=np.float64)
    t = np.asarray(regular.time(np.arange(a, b)))
    with styled():
        return _traces(x, t, regular, chosen, _events(source, stream, t))


def _traces(
    x: FloatArray, t: AnyArray, regular: Regular, rows: AnyArray, events: list[tuple[float, str]]
) -> "Figure":
    figure, grid = axes(size=(5.8, min(6.5, 1.2 + 0.26 * len(x))))
    ax = grid[0, 0]
    centred = x - np.nanmedian(x, axis=1, keepdims=True)
    finite = np.isfinite(centred)
    spread = float(np.percentile(np.abs(centred[finite]), 97)) if finite.any() else 1.0
    gap = 2.2 * spread if spread > 0 else 1.0
    offset = -gap * np.arange(len(x))
    for trace, y in zip(centred, offset, strict=True):
        ax.plot(*thinned(t, trace + y), color=COLOURS[0], linewidth=0.7)
    for at, kind in events[:12]:
        ax.axvline(at, color=COLOURS[1], linewidth=0.8, linestyle=":")
        ax.text(at, 1.0, short(kind, 14), transform=ax.get_xaxis_transform(), fontsize=7,
                color=COLOURS[1], va="bottom")  # fmt: skip
    name_rows(ax, [regular.axis.names[i] for i in rows], offset)
    ax.set_xlim(t[0], t[-1] if len(t) > 1 else t[0] + 1)
    ax.set_ylim(offset[-1] - gap, offset[0] + gap)
    ax.set_xlabel("time (s)")
    ax.set_ylabel(f"one step: {gap:.3g} {regular.unit}")
    return figure


def _events(source: Any, stream: str | None, t: AnyArray) -> list[tuple[float, str]]:
    if not isinstance(source, Recording):
        return []
    name = stream or next(iter(source.streams))
    table = source.session_events()
    onset = source.clock(name).to_stream(table.onset_s)
    inside = (onset >= t[0]) & (onset <= t[-1])
    return [(float(o), str(k)) for o, k in zip(onset[inside], table.type[inside], strict=True)]


def spectrum(
    source: Recording | Regular,
    stream: str | None = None,
    *,
    fmax: float | None = None,
) -> "Figure":
    """Power spectral density of each channel (Welch) and their median.

    Segments of the stream are never crossed.

    Parameters
    ----------
    source : Recording or Regular
        What to draw.
    stream : str, optional
        Name of the stream in a recording.
    fmax : float, optional
        Highest frequency in Hz; Nyquist, or 60 Hz above 200 Hz sampling.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no segment is long enough for a spectrum.

    Examples
    --------
    >>> from neuro.data import Axis
    >>> x = np.sin(2 * np.pi * 10 * np.arange(1000) / 250)[None]
    >>> eeg = Regular(x, 250, "uV", Axis(["Oz"], "eeg"), "eeg")
    >>> spectrum(eeg).axes[0].get_xlabel()
    'frequency (Hz)'
    """
    regular = _regular(source, stream)
    freq, power = _welch(regular)
    fmax = fmax or (60.0 if regular.sfreq > 200 else regular.sfreq / 2)
    keep = (freq > 0) & (freq <= fmax)
    with styled():
        figure, grid = axes(size=(5.8, 3.0))
        ax = grid[0, 0]
        shown = power[:40, keep]
        floor = shown[shown > 0].min() if (shown > 0).any() else 1.0
        for row in shown:
            ax.semilogy(freq[keep], np.maximum(row, floor), color=GREY, alpha=0.35, linewidth=0.7)
        middle = np.maximum(np.median(power[:, keep], axis=0), floor)
        ax.semilogy(freq[keep], middle, color=COLOURS[0], linewidth=1.8, label="median channel")
        ax.set_xlabel("frequency (Hz)")
        ax.set_ylabel(f"power ({regular.unit}²/Hz)")
        ax.set_xlim(0, fmax)
        ax.legend(loc="upper right")
    return figure


def _welch(regular: Regular, most_s: float = 600.0) -> tuple[FloatArray, FloatArray]:
    """Welch's spectrum over segments, (n_freq,) and (channel, n_freq)."""
    lengths = np.diff(regular.segments, axis=1)[:, 0]
    size = int(min(lengths.max(), max(16, round(2 * regular.sfreq)) if regular.sfreq > 20 else 64))
    if size < 8:
        raise DataError(f"The longest segment has {size} samples: too short for a spectrum.")
    window = np.hanning(size + 2)[1:-1]
    total = np.zeros((len(regular.axis), size // 2 + 1))
    n, budget = 0, most_s * regular.sfreq
    for a, b in regular.segments.tolist():
        for start in range(a, b - size + 1, max(1, size // 2)):
            x = np.nan_to_num(regular.read(start, start + size).astype(np.float64))
            x = (x - x.mean(1, keepdims=True)) * window
            total += np.abs(np.fft.rfft(x, axis=1)) ** 2
            n += 1
            if n * size > 2 * budget:
                break
    scale = 2.0 / (regular.sfreq * (window**2).sum() * max(n, 1))
    return np.fft.rfftfreq(size, 1 / regular.sfreq), total * scale


def fc_matrix(
    values: Recording | Regular | AnyArray,
    stream: str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Correlations between all pairs of rows.

    Parameters
    ----------
    values : Recording, Regular or ndarray, shape (n, n)
        A sampled stream (its correlations are computed over all samples), or
        a matrix.
    stream : str, optional
        Name of the stream in a recording.
    names : sequence of str, optional
        Names of the rows of a matrix.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the matrix is not square.

    Examples
    --------
    >>> fc_matrix(np.eye(3), names=["a", "b", "c"]).axes[0].get_title("left")
    'correlation, 3 rows'
    """
    if isinstance(values, np.ndarray):
        matrix = values
    else:
        regular = _regular(values, stream)
        names = regular.axis.names
        matrix = _correlation(regular.values())
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"A square matrix is needed, got {matrix.shape}.")
    n = len(matrix)
    with styled():
        figure, grid = axes(size=(4.8, 4.0))
        ax = grid[0, 0]
        image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        ax.set_title(f"correlation, {n} rows")
        if names is not None and n <= 24:
            ax.set_xticks(np.arange(n), [short(m, 10) for m in names], rotation=90)
            ax.set_yticks(np.arange(n), [short(m, 10) for m in names])
        else:
            ax.set_xlabel("row")
            ax.set_ylabel("row")
        figure.colorbar(image, ax=ax, label="Pearson r", shrink=0.85)
    return figure


def _correlation(x: FloatArray) -> FloatArray:
    good = np.isfinite(x).all(axis=0)
    x = x[:, good].astype(np.float64)
    x = x - x.mean(1, keepdims=True)
    size = np.sqrt((x * x).sum(1, keepdims=True))
    z = np.divide(x, size, out=np.zeros_like(x), where=size > 0)
    return np.asarray(z @ z.T)


def raster(
    source: Recording | Irregular | Regular,
    stream: str | None = None,
    *,
    start_s: float | None = None,
    length_s: float = 20.0,
) -> "Figure":
    """Events of every unit in time; counts where the stream is binned.

    Parameters
    ----------
    source : Recording, Irregular or Regular
        Spikes, or binned spikes.
    stream : str, optional
        Name of the stream in a recording.
    start_s, length_s : float
        Stretch in seconds.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the stretch lies outside the recording.

    Examples
    --------
    >>> from neuro.data import Axis
    >>> spikes = Irregular([0.1, 0.2, 0.25], [0, 1, 0], Axis(["a", "b"], "unit"), [(0, 1)])
    >>> raster(spikes, length_s=1).axes[0].get_ylabel()
    'unit'
    """
    data: Any = source.stream(stream) if isinstance(source, Recording) else source
    start_s = data.t0_s if start_s is None else start_s
    part = data.slice(start_s, start_s + length_s)
    names = part.axis.names
    with styled():
        figure, grid = axes(size=(5.8, min(5.0, 1.0 + 0.2 * len(names))))
        ax = grid[0, 0]
        if isinstance(part, Irregular):
            lines = [part.times_s[part.unit_index == i] for i in range(len(names))]
            ax.eventplot(lines, colors=COLOURS[0], linewidths=0.6, linelengths=0.8)
        else:
            extent = (part.t0_s, part.stop_s, len(names) - 0.5, -0.5)
            image = ax.imshow(np.nan_to_num(part.values()), aspect="auto", cmap="Blues",
                              interpolation="nearest", extent=extent)  # fmt: skip
            figure.colorbar(image, ax=ax, label=f"{part.unit} a bin")
        name_rows(ax, names, np.arange(len(names)))
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlim(part.t0_s, part.stop_s)
        ax.set_xlabel("time (s)")
        ax.set_ylabel("unit")
    return figure
