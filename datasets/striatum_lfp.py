"""Half an hour of one striatal LFP channel of a rodent, by path only."""

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
        Stream ``lfp``: one channel at 350 Hz, in arbitrary units.
    """
    from neuro.data import Axis, Recording, Regular
    from neuro.io import safe

    (path,) = files.values()
    data = np.asarray(safe.load_npy(path))
    if data.ndim != 1 and data.size != max(data.shape):
        raise FileError(f"{path.name}: shape {data.shape}, expected one channel.")
    stream = Regular(data.reshape(1, -1), card.rate, "au", Axis(["striatum"], "lfp"), "lfp")
    recording = Recording(
        {"lfp": stream},
        dataset=card.name,
        subject="1",
        provenance=provenance(card, path, f"rate {card.sfreq} Hz stated, not in the file"),
    )
    return [recording]
