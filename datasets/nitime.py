"""Two sets that the nitime package carries: locust spikes, and ROI series."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.datasets._tables import read_numbers
from neuro.errors import FileError

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

_STEP_US = 50  # the stimulus is given every 50 us: 20 kHz
_NOT_ROI = {"WM": "white matter", "Vent": "ventricle", "Brain": "whole brain"}


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """Recordings of ``locust`` or ``nitime_roi``.

    Parameters
    ----------
    card : Card
        Which of the two.
    files : mapping of str to Path
        Member -> file.

    Returns
    -------
    list of Recording
        ``locust``: two, with ``spikes`` (one receptor cell) and ``stimulus``
        (sound amplitude, 20 kHz). ``nitime_roi``: one, with ``bold`` (28
        regions) and ``nuisance`` (white matter, ventricle, brain means).
    """
    if card.name == "locust":
        return [_locust(card, files, run) for run in ("1", "2")]
    return [_rois(card, files["fmri_timeseries.csv"])]


def _locust(card: Card, files: Mapping[str, Path], run: str) -> "Recording":
    from neuro.data import Axis, Irregular, Recording, Regular, exact_rate

    stimulus_file = files[f"grasshopper_stimulus{run}.txt"]
    spike_file = files[f"grasshopper_spike_times{run}.txt"]
    _, table = read_numbers(stimulus_file, None, header=False, comments="#")
    if table.shape[1] != 2 or (np.diff(table[:, 0]) != _STEP_US).any() or table[0, 0] != 0:
        raise FileError(f"{stimulus_file.name}: times are not 0, {_STEP_US}, … microseconds.")
    _, times = read_numbers(spike_file, None, header=False, comments="#")
    stimulus = Regular(
        table[:, 1:].T,
        exact_rate(1_000_000 // _STEP_US),
        "au",
        Axis(["sound amplitude"], "stim"),
        "stim",
    )
    seconds = times[:, 0] * 1e-6
    spikes = Irregular(
        seconds,
        np.zeros(len(seconds), np.int32),
        Axis(["receptor"], "unit", columns={"location": np.array(["auditory nerve"])}),
        np.array([[0.0, stimulus.duration_s]]),
    )
    return Recording(
        {"spikes": spikes, "stimulus": stimulus},
        dataset=card.name,
        subject="pooled",
        run=run,
        task="modulated_sound",
        provenance=provenance(card, spike_file, "times from microseconds to seconds"),
    )


def _rois(card: Card, path: Path) -> "Recording":
    from neuro.data import Axis, Recording, Regular

    names, values = read_numbers(path, ",")
    nuisance = np.array([name in _NOT_ROI for name in names])
    if nuisance.sum() != len(_NOT_ROI):
        raise FileError(f"{path.name}: columns {sorted(_NOT_ROI)} are not all there.")
    rate = card.rate
    rois = Axis([n for n in names if n not in _NOT_ROI], "roi")
    other = Axis([_NOT_ROI[n] for n in names if n in _NOT_ROI], "nuisance")
    return Recording(
        {
            "bold": Regular(values[:, ~nuisance].T, rate, "au", rois, "bold"),
            "nuisance": Regular(values[:, nuisance].T, rate, "au", other, "bold"),
        },
        dataset=card.name,
        subject="1",
        task="rest",
        provenance=provenance(card, path, f"TR {card.tr} s stated, not in the file"),
    )
