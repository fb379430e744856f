"""Two-photon calcium traces of 219 cells (suite2p output), by path only.

suite2p stores (cell, frame). The NWB file of the same recording has the axes
swapped, so a reader of it sees 2,000 "cells"; the arrays here are not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

_STREAMS = {"F": "fluorescence", "Fneu": "neuropil", "spks": "deconvolved"}


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """The one recording.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> file.

    Returns
    -------
    list of Recording
        Streams ``fluorescence``, ``neuropil`` and ``deconvolved``, each
        (219 cells, 2,000 frames).
    """
    from neuro.data import Axis, Recording, Regular
    from neuro.io import safe

    by_stem = {path.stem: path for path in files.values()}
    streams = {}
    for stem, name in _STREAMS.items():
        data = np.asarray(safe.load_npy(by_stem[stem]))
        if data.ndim != 2 or data.shape[0] >= data.shape[1]:
            raise FileError(
                f"{by_stem[stem].name}: shape {data.shape}; expected fewer cells than frames, as "
                "(cell, frame). Are the axes swapped?"
            )
        axis = Axis([f"cell {i}" for i in range(len(data))], "roi")
        streams[name] = Regular(data, card.rate, "au", axis, "calcium")
    recording = Recording(
        streams,
        dataset=card.name,
        subject="1",
        task="unknown",
        provenance=provenance(card, by_stem["F"], f"rate {card.sfreq} Hz stated"),
    )
    return [recording]
