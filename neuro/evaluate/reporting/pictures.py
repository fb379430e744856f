"""The figures a report shows of one data set, chosen by modality."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data import Irregular, Regular, Windows
from neuro.errors import NeuroError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.evaluate.results import Results

__all__ = ["curve_figures", "figures", "label_figure"]


def figures(windows: Windows, model: Any = None, *, seed: int = 0) -> "dict[str, Figure]":
    """Signals and what is usual for the modality, and a model's reconstruction.

    Parameters
    ----------
    windows : Windows
        Of the data set.
    model : object, optional
        A network with a method ``reconstruct(batch, generator)`` that returns
        prediction, truth and hidden patches, as patch_mae has.
    seed : int
        Decides what the network is not shown.

    Returns
    -------
    dict of str to Figure
        Title to figure.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, windows
    >>> rng = np.random.default_rng(0)
    >>> eeg = Regular(rng.normal(size=(2, 1000)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> list(figures(windows(Recording({"eeg": eeg}), stream="eeg", length_s=1)))
    ['Signals', 'Spectra']
    """
    from neuro import plot

    rec = windows.recordings[0]
    stream = rec.stream(windows.stream)
    out: dict[str, Figure] = {}
    raw = next((n for n, s in rec.streams.items() if isinstance(s, Irregular)), None)
    if windows.modality == "spikes":
        at = float(windows.start_s()[0]) if len(windows) else None
        if raw is not None:
            begin = None if at is None else float(rec.clock(raw).to_stream(at))
            out["Spikes"] = plot.raster(rec, raw, start_s=begin)
        elif isinstance(stream, Regular):
            out["Spike counts"] = plot.raster(stream)
    elif isinstance(stream, Regular):
        out["Signals"] = plot.signals(rec, windows.stream)
    if isinstance(stream, Regular) and windows.modality != "spikes":
        out["Spectra"] = plot.spectrum(stream)
    if windows.modality == "bold" and isinstance(stream, Regular) and len(stream.axis) > 2:
        out["Functional connectivity"] = plot.fc_matrix(stream)
    if model is not None and callable(getattr(model, "reconstruct", None)):
        try:
            out["Reconstruction of hidden patches"] = _reconstruction(windows, model, seed)
        except NeuroError as error:
            # a figure is no reason to lose a report
            warnings.warn(f"No figure of the reconstruction: {error}", UserWarning, stacklevel=2)
    return out


def _reconstruction(windows: Windows, model: Any, seed: int) -> "Figure":
    import torch

    from neuro import plot

    batch = windows.batch([len(windows) // 2])
    model.eval()
    with torch.no_grad():
        made = model.reconstruct(batch, torch.Generator().manual_seed(seed))
    truth, guess = (np.asarray(a[0].float().cpu()) for a in (made.truth, made.prediction))
    hidden = np.asarray(made.hidden[0].cpu())[..., None].repeat(truth.shape[-1], axis=-1)
    n, length = truth.shape[0], windows.n_times
    flat = [a.reshape(n, -1)[:, :length] for a in (truth, guess, hidden)]
    # the channels with the most to fill in come first
    order = np.argsort(-flat[2].sum(1), kind="stable")[:6]
    order.sort()
    return plot.reconstruction(
        *(a[order] for a in flat),
        sfreq=windows.sfreq,
        unit="units of the training data's spread",
        names=[windows.ch_names[i] for i in order],
    )


# ---- of results -------------------------------------------------------------------


def curve_figures(curves: Mapping[str, Any], shown: Sequence[str]) -> "dict[str, Figure]":
    """ROC and calibration of some lines of a table.

    Parameters
    ----------
    curves : mapping
        ``results.meta["curves"]``: label -> ``roc`` and ``calibration``.
    shown : sequence of str
        Labels, at most six.

    Returns
    -------
    dict of str to Figure
        Empty where there are no scores.
    """
    from neuro.plot._style import COLOURS, GREY, INK, axes, short, styled

    found = {label: curves[label] for label in list(shown)[:6] if label in curves}
    out: dict[str, Figure] = {}
    kinds = {
        "roc": ("ROC", "false positive rate", "true positive rate", "fpr", "tpr"),
        "calibration": ("Calibration", "confidence", "share that is right", "confidence",
                        "accuracy"),
    }  # fmt: skip
    for kind, (title, x_label, y_label, x, y) in kinds.items():
        lines = {label: c[kind] for label, c in found.items() if kind in c}
        if not lines:
            continue
        with styled():
            figure, grid = axes(size=(4.2, 3.6))
            ax = grid[0, 0]
            ax.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle="--", zorder=0)
            for colour, (label, line) in zip((*COLOURS, GREY), lines.items(), strict=False):
                extra = f" (ECE {line['ece']:.3f})" if "ece" in line else ""
                marker = "o" if kind == "calibration" else ""
                ax.plot(line[x], line[y], color=colour, marker=marker, markersize=4,
                        linewidth=1.6, label=short(label, 34) + extra)  # fmt: skip
            low = 0.0 if kind == "roc" else min(min(c["confidence"]) for c in lines.values()) - 0.05
            ax.set(xlabel=x_label, ylabel=y_label, xlim=(max(0.0, low) - 0.01, 1.01),
                   ylim=(-0.02, 1.02))  # fmt: skip
            ax.legend(loc="lower right")
            ax.grid(color="#E5E7EB", linewidth=0.7)
        out[title] = figure
    return out


def label_figure(parts: "Sequence[Results]") -> "Figure":
    """Score against the share of the training labels.

    Parameters
    ----------
    parts : sequence of Results
        What :func:`neuro.evaluate.label_curve` returned.

    Returns
    -------
    Figure
    """
    from neuro.plot._style import COLOURS, GREY, INK, axes, short, styled

    metric = str(parts[0].meta["primary"])
    whole = [r for r in parts[-1].rows if r.metric == metric and not r.control]
    models = [r.model for r in whole if r.kind == "model"]
    floors = [parts[-1].best_floor(metric).model]
    with styled():
        figure, grid = axes(size=(5.0, 3.4))
        ax = grid[0, 0]
        n = [100 * float(p.meta.get("labels", {}).get("share", 1.0)) for p in parts]
        for i, name in enumerate([*models, *floors][:6]):
            rows = [p.row(name, metric) for p in parts]
            colour = COLOURS[i % len(COLOURS)] if name in models else GREY
            style = "-" if name in models else "--"
            ax.plot(n, [r.value for r in rows], color=colour, linestyle=style, marker="o",
                    markersize=4, linewidth=1.6, label=short(name, 30))  # fmt: skip
            ax.fill_between(n, [r.lo for r in rows], [r.hi for r in rows], color=colour,
                            alpha=0.12, linewidth=0)  # fmt: skip
        if whole[0].chance is not None:
            ax.axhline(whole[0].chance, color=INK, linewidth=0.9, linestyle="--", zorder=0)
        ax.set_xscale("log")
        ax.set_xticks(n, [f"{v:g}" for v in n], minor=False)
        ax.minorticks_off()
        ax.set(xlabel="labels of the training part (%)", ylabel=metric.replace("_", " "))
        ax.legend(loc="best")
        ax.grid(color="#E5E7EB", linewidth=0.7)
    return figure
