"""The figures a report shows of one data set, chosen by modality."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data import Irregular, Regular, Windows
from neuro.errors import NeuroError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figures"]


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
