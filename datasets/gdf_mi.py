"""Continuous two-class motor imagery in a GDF file, by path only.

The file's numbers are microvolts although its header makes readers take them
for volts, and the published original names a person: the unit is stated here,
and neither name nor date is carried over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError

if TYPE_CHECKING:
    from neuro.data import Events, Recording

__all__ = ["load"]

# Codes of the GDF event table that this file uses.
_CODES = {
    "768": "start",
    "769": "left",
    "770": "right",
    "781": "feedback",
    "785": "beep",
    "786": "cross",
}


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """The one recording, continuous.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> file.

    Returns
    -------
    list of Recording
        Stream ``eeg`` (uV); events ``start`` and ``cross`` (trial begins),
        ``beep``, the cue ``left`` or ``right`` 3 s later, and ``feedback``;
        the events of a trial are a block.
    """
    from neuro.io.eeg import read_eeg

    (path,) = files.values()
    recording = read_eeg(path, unit=card.unit, dataset=card.name, subject="1", run="1")
    steps = ("samples stated to be uV; readers take them for volts", *recording.provenance.steps)
    return [
        recording.replace(
            id=card.name,
            task="motor_imagery",
            events=_events(recording.events, path.name),
            provenance=provenance(card, path, *steps),
        )
    ]


def _events(raw: "Events", name: str) -> "Events":
    from neuro.data import Events

    unknown = set(raw.type.tolist()) - set(_CODES)
    if unknown:
        raise FileError(f"{name}: event codes {sorted(unknown)[:5]} are not of this data set.")
    starts = raw.onset_s[raw.type == "768"]
    return Events.make(
        raw.onset_s,
        np.array([_CODES[code] for code in raw.type.tolist()]),
        duration_s=raw.duration_s,
        block=np.searchsorted(starts, raw.onset_s, side="right") - 1,
    )
