"""Nights of sleep with scored stages (Sleep-EDF expanded).

A night is a pair of files, ``SC4ssNEO-PSG.edf`` and ``SC4ssNEx-Hypnogram.edf``
(cassette study) or ``ST7ssNJ0-PSG.edf`` (telemetry study): ss is the person, N
the night.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, Row, collect, events_of
from neuro.errors import ConfigError, FileError, did_you_mean

if TYPE_CHECKING:
    from neuro.data import Recording, Windows

__all__ = ["labelled_windows", "load"]

_FILE = re.compile(
    r"(?:^|/)(?P<night>(?P<subject>(?P<study>SC|ST)\d(?P<number>\d\d))(?P<session>\d)[A-Z])"
    r"[A-Z0-9]-PSG\.edf$"
)
_RK = {
    "Sleep stage W": "W",
    "Sleep stage 1": "S1",
    "Sleep stage 2": "S2",
    "Sleep stage 3": "S3",
    "Sleep stage 4": "S4",
    "Sleep stage R": "R",
    "Sleep stage ?": "unscored",
    "Movement time": "movement",
}
_AASM = {"S1": "N1", "S2": "N2", "S3": "N3", "S4": "N3"}
_STAGES = {"aasm": ("W", "N1", "N2", "N3", "R"), "rk": ("W", "S1", "S2", "S3", "S4", "R")}


def load(
    card: Card,
    folder: Path,
    *,
    stages: Literal["aasm", "rk"] = "aasm",
    wake_s: float | None = None,
    bad_files: BadFiles = "raise",
) -> "list[Recording]":
    """All nights, samples left on disk.

    Parameters
    ----------
    card : Card
        The data set's card.
    folder : Path
        The tree, or a folder above it or in it.
    stages : {"aasm", "rk"}
        Names of today, stages 3 and 4 as one N3; or those of the scoring
        (Rechtschaffen and Kales), S1 to S4.
    wake_s : float, optional
        Keep so many seconds before the first and after the last sleep stage
        (1800 is usual; the recordings run for 20 hours); all if omitted.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Streams ``eeg`` (Fpz-Cz, Pz-Oz), ``eog``, ``emg``; an event a stretch of
        one stage, ``unscored`` and ``movement`` among them; the session is the
        night, the group the study.

    Raises
    ------
    ConfigError
        For an unknown naming of stages.
    """
    if stages not in _STAGES:
        raise ConfigError(f"stages={stages!r}. {did_you_mean(str(stages), _STAGES)}")
    if wake_s is not None and not wake_s >= 0:
        raise ConfigError(f"wake_s={wake_s}: give 0 or more seconds, or leave it out.")
    from neuro.io.edf import read_edf, read_header

    def read(path: Path, match: re.Match[str]) -> "Recording":
        header = read_header(path)
        rows, name = _hypnogram(path, match["night"], stages == "aasm", header.duration_s)
        events, steps = events_of(rows, name, header.duration_s, merge=False)
        recording = read_edf(
            header,
            _channel,
            events=events,
            steps=steps,
            reader="neuro.datasets.sleep_edf",
            facts={
                "dataset": card.name,
                "subject": match["subject"],
                "session": match["session"],
                "task": "sleep",
                "group": match["study"],
                "id": f"{card.name}_{match['night']}",
                **_person(header.patient),
            },
        )
        return recording if wake_s is None else _trimmed(recording, wake_s, _STAGES[stages])

    return collect(card, folder, _FILE, read, bad_files)


@cache
def _channel(label: str) -> tuple[str, str] | None:
    from neuro.data import canonical_eeg_name

    if label.startswith("EEG "):
        return "eeg", canonical_eeg_name(label)
    if label.startswith(("EOG", "EMG")):
        return label[:3].lower(), label
    return None


def _person(patient: str) -> dict[str, Any]:
    """Sex and age, which the header holds as ``X F X Female_33yr``."""
    found = re.search(r"\b(Male|Female)_(\d{1,3})yr", patient)
    return {"sex": found[1][0], "age": float(found[2])} if found else {}


def _hypnogram(path: Path, night: str, merge: bool, duration_s: float) -> tuple[list[Row], str]:
    from neuro.io.edf import read_header, read_notes

    beside = sorted(path.parent.glob(f"{night}?-Hypnogram.edf"))
    if len(beside) != 1:
        raise FileError(
            f"'{path.name}' has {len(beside) or 'no'} {night}?-Hypnogram.edf beside it, one is "
            "needed. Get the night's pair of files again."
        )
    rows = []
    for onset, duration, text in read_notes(read_header(beside[0])):
        if text not in _RK:
            raise FileError(
                f"'{beside[0].name}': unknown stage {text!r}. {did_you_mean(text, _RK)} Is it a "
                "hypnogram of this data set?"
            )
        stage = _RK[text]
        # the scoring runs on, unscored, behind the end of many recordings
        if stage != "unscored" or onset < duration_s:
            rows.append(Row(onset, onset + duration, _AASM.get(stage, stage) if merge else stage))
    if not rows:
        raise FileError(f"'{beside[0].name}' holds no stages. Get it again.")
    return rows, beside[0].name


def _trimmed(recording: "Recording", wake_s: float, names: Sequence[str]) -> "Recording":
    asleep = recording.events.select([name for name in names if name != "W"])
    if not len(asleep):
        return recording
    end = float((asleep.onset_s + asleep.duration_s).max())
    first = max(0.0, float(asleep.onset_s[0]) - wake_s)
    return recording.slice(first, min(end + wake_s, recording.duration_s))


def labelled_windows(recordings: "Sequence[Recording]", *, length_s: float = 30.0) -> "Windows":
    """Windows of 30 s side by side, labelled with the stage that covers them.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set.
    length_s : float, default 30
        Seconds.

    Returns
    -------
    Windows
        Without those that are unscored, movement, or of two stages.
    """
    from neuro.data import windows

    found = {name for rec in recordings for name in rec.events.type.tolist()}
    classes = _STAGES["rk" if found & {"S1", "S2", "S3", "S4"} else "aasm"]
    index = windows(recordings, stream="eeg", length_s=length_s, label="type", classes=classes)
    return index.select(index.labelled)
