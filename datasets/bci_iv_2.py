"""BCI Competition IV, data sets 2a (four classes) and 2b (two), by path.

A GDF file is a session. Files of the evaluation sessions hide the class of each
cue; it stands in a ``.mat`` file of the same name, which was published later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, collect
from neuro.datasets._protocols import OfficialSplit
from neuro.errors import FileError
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Axis, Events, Recording, Regular, Windows

__all__ = ["labelled_windows", "load", "official_split"]

# Codes of the GDF event tables.
_CODES = {
    "276": "eyes_open",
    "277": "eyes_closed",
    "768": "start",
    "769": "left_hand",
    "770": "right_hand",
    "771": "feet",
    "772": "tongue",
    "781": "feedback",
    "783": "unknown_cue",
    "1023": "rejected",
    "1072": "eye_movements",
    "1077": "eyes_horizontal",
    "1078": "eyes_vertical",
    "1079": "eyes_rotation",
    "1081": "eye_blinks",
    "32766": "run",
}
_HANDS = ("left_hand", "right_hand")
_CUES = (*_HANDS, "feet", "tongue", "unknown_cue")
_EEG_2A = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz"


@dataclass(frozen=True)
class _Layout:
    """What the files of a set are called and hold."""

    pattern: re.Pattern[str]
    eeg: tuple[str, ...]
    classes: tuple[str, ...]


_LAYOUTS = {
    "bci_iv_2a": _Layout(
        re.compile(r"(?:^|/)(?P<subject>A0\d)(?P<session>[TE])\.gdf$"),
        tuple(_EEG_2A.split()),
        (*_HANDS, "feet", "tongue"),
    ),
    "bci_iv_2b": _Layout(
        re.compile(r"(?:^|/)(?P<subject>B0\d)(?P<session>0\d[TE])\.gdf$"),
        ("C3", "Cz", "C4"),
        _HANDS,
    ),
}


def load(card: Card, folder: Path, *, bad_files: BadFiles = "raise") -> "list[Recording]":
    """All sessions of all people.

    Parameters
    ----------
    card : Card
        Which of the two sets.
    folder : Path
        With the ``.gdf`` files and, somewhere below it, the ``.mat`` files with
        the classes.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Streams ``eeg`` and ``eog``, a segment a run; events with a column
        ``rejected`` (trials the publishers found to hold artifacts), a trial a
        block; cues without a published class stay ``unknown_cue``. The session
        is the file's ending: ``T`` and ``E``, or ``01T`` to ``05E``.
    """
    labels = {path.name: path for path in sorted(folder.rglob("*.mat"))}
    layout = _LAYOUTS[card.name]
    return collect(card, folder, layout.pattern, partial(_read, card, layout, labels), bad_files)


def _read(
    card: Card, layout: _Layout, labels: dict[str, Path], path: Path, match: re.Match[str]
) -> "Recording":
    from neuro.io.eeg import read_eeg

    # electrodes share one label in the files, which a checked reading refuses
    recording = read_eeg(path, check=False, dataset=card.name, subject=match["subject"])
    eeg = recording.regular("eeg")
    if len(eeg.axis) != len(layout.eeg):
        raise FileError(
            f"'{path.name}' has {len(eeg.axis)} EEG channels, {card.name} has {len(layout.eeg)}. "
            "Is the file of another data set?"
        )
    events, steps = _events(recording.events, path, layout, labels.get(f"{path.stem}.mat"))
    borders = events.onset_s[events.type == "run"]
    streams = {
        name: recording.regular(name) for name in ("eeg", "eog") if name in recording.streams
    }
    segments = _runs(eeg, borders)
    streams["eeg"] = replace(streams["eeg"], axis=_axis(layout.eeg))
    streams = {name: replace(stream, segments=segments) for name, stream in streams.items()}
    kept = [s for s in recording.provenance.steps if "not unique" not in s]
    prov = replace(
        recording.provenance, steps=(*kept, *steps), reader=f"neuro.datasets.{card.name}"
    )
    return recording.replace(
        streams=streams,
        events=events,
        session=match["session"],
        task="motor_imagery",
        id=f"{card.name}_{path.stem}",
        provenance=prov,
    )


def _axis(names: tuple[str, ...]) -> "Axis":
    from neuro.data import Axis, eeg_positions

    return Axis(names, "eeg", positions=eeg_positions(names), frame="mri_ras")


def _events(
    raw: "Events", path: Path, layout: _Layout, labels: Path | None
) -> "tuple[Events, list[str]]":
    from neuro.data import Events

    if unknown := sorted(set(raw.type.tolist()) - set(_CODES)):
        raise FileError(
            f"'{path.name}': event codes {unknown[:5]} are not of this data set. Get it again."
        )
    types = np.array([_CODES[code] for code in raw.type.tolist()], dtype="<U16")
    cue, steps = np.isin(types, _CUES), []
    if labels is not None:
        classes = np.array(layout.classes)[_classes(labels, layout, int(cue.sum()))]
        told = types[cue] != "unknown_cue"
        if (types[cue][told] != classes[told]).any():
            raise FileError(
                f"'{labels.name}' contradicts the cues in '{path.name}'. Get both files again."
            )
        types[cue] = classes
        steps.append(f"classes of the cues from {labels.name}")
    elif (types == "unknown_cue").any():
        steps.append(f"no {path.stem}.mat beside it: the classes of its cues are unknown")
    starts = raw.onset_s[types == "start"]
    block = np.searchsorted(starts, raw.onset_s + 1e-6, side="right") - 1
    # what comes before the first trial belongs to none
    rejected = np.isin(block, block[types == "rejected"]) & (block >= 0)
    columns = {"rejected": rejected}
    return Events.make(
        raw.onset_s, types, duration_s=raw.duration_s, block=block, columns=columns
    ), steps


def _classes(path: Path, layout: _Layout, n_cues: int) -> IntArray:
    """Class number of each cue, from 0, out of a file of true labels."""
    from scipy.io import loadmat

    try:
        found = np.asarray(loadmat(path, variable_names=["classlabel"])["classlabel"]).ravel()
    except Exception as error:  # the reader raises many kinds
        raise FileError(
            f"'{path.name}' holds no 'classlabel' ({type(error).__name__}). It is no file of true "
            "labels: get it again."
        ) from None
    if found.dtype.kind not in "fiu" or not np.isin(found, range(1, len(layout.classes) + 1)).all():
        raise FileError(f"'{path.name}': classes other than 1 to {len(layout.classes)}.")
    if len(found) != n_cues:
        raise FileError(
            f"'{path.name}' names {len(found)} classes, the recording has {n_cues} cues. Is one of "
            "them of another session?"
        )
    return found.astype(np.int64) - 1


_NEAR = 200  # samples around a border in which the file may hold fillers


def _runs(stream: "Regular", borders: FloatArray) -> IntArray:
    """Segments between the starts of runs, without the constant fillers around them."""
    n = stream.n_times
    out, begin = [], 0
    for border in [stream.index(float(t)) for t in borders.tolist()] + [n]:
        end = min(border, n)
        if end > begin:
            a, b = _filler(stream, end)
            out.append((begin, max(begin, a)))
            begin = max(end, b)
    return np.array([row for row in out if row[1] > row[0]], dtype=np.int64)


def _filler(stream: "Regular", border: int) -> tuple[int, int]:
    """Range around a border in which no channel moves; empty there if there is none."""
    first, last = max(0, border - _NEAR), min(stream.n_times, border + _NEAR)
    x = stream.read(first, last)
    still = np.concatenate([[False], (np.diff(x, axis=1) == 0).all(axis=0)])
    at = np.flatnonzero(still)
    if len(at) < 20:  # neighbours may be alike by chance
        return border, border
    return first + int(at[0]) - 1, first + int(at[-1]) + 1


def labelled_windows(
    recordings: "Sequence[Recording]",
    *,
    length_s: float = 4.0,
    offset_s: float = 0.0,
    rejected: bool = False,
) -> "Windows":
    """A window after each cue, labelled with its class.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one of the two sets.
    length_s, offset_s : float
        Seconds; from the cue to the window's start. Imagery lasts from the cue
        to 4 s after it.
    rejected : bool, default False
        Keep trials that the publishers found to hold artifacts.

    Returns
    -------
    Windows
        Without cues whose class is not known.
    """
    from neuro.data import windows

    classes = _LAYOUTS[recordings[0].dataset].classes
    clean = [
        rec.replace(events=rec.events.take(~rec.events.column("rejected"))) for rec in recordings
    ]
    return windows(
        list(recordings) if rejected else clean,
        stream="eeg",
        align=classes,
        offset_s=offset_s,
        length_s=length_s,
        label="type",
        classes=classes,
    )


def official_split(recordings: "Sequence[Recording]") -> OfficialSplit:
    """The competition's training sessions and evaluation sessions, of the same people.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one of the two sets.

    Returns
    -------
    OfficialSplit
        By session; every person is on both sides, as the competition meant it.
    """
    parts = {
        part: tuple(sorted({r.session for r in recordings if r.session.endswith(mark)}))
        for part, mark in (("train", "T"), ("test", "E"))
    }
    people = [{r.subject for r in recordings if r.session.endswith(mark)} for mark in "TE"]
    source = "the competition's training and evaluation sessions, within people"
    return OfficialSplit(
        "session",
        {k: v for k, v in parts.items() if v},
        source,
        tuple(sorted(people[0] & people[1])),
    )
