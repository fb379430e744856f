"""Nights of ear-EEG with scored stages (EESM23, OpenNeuro ds005178), by path.

The files are EEGLAB's, beside BIDS tables: a night is
``sub-001_ses-001_task-sleep_acq-earEEG_eeg.set`` and its stages stand in
``sub-001_ses-001_task-sleep_acq-scoring_events.tsv``. The polysomnography of the
first nights is not read.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, Row, collect, events_of
from neuro.datasets._protocols import OfficialSplit
from neuro.datasets._tables import read_rows
from neuro.errors import FileError, did_you_mean

if TYPE_CHECKING:
    from neuro.data import Recording, Windows

__all__ = ["labelled_windows", "load", "official_split"]

_FILE = re.compile(
    r"(?:^|/)(?P<night>sub-(?P<subject>\d+)_ses-(?P<session>\d+)_task-sleep)_acq-earEEG_eeg\.set$"
)
_STAGES = {"Wake": "W", "N1": "N1", "N2": "N2", "N3": "N3", "REM": "R", "Artefact": "artefact"}
_CLASSES = ("W", "N1", "N2", "N3", "R")
_PARTS = {"train": range(1, 7), "val": range(7, 9), "test": range(9, 11)}


def load(
    card: Card,
    folder: Path,
    *,
    subjects: Iterable[str] | None = None,
    bad_files: BadFiles = "raise",
) -> "list[Recording]":
    """All nights, or those of some people; nights without a table of stages have no events.

    Files that hold their samples inside are read whole, for want of another
    way; samples in ``.fdt`` files stay on disk.

    Parameters
    ----------
    card : Card
        The data set's card.
    folder : Path
        The tree, or a folder above it or in it.
    subjects : iterable of str, optional
        People to load (``"001"``); all if omitted.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Stream ``eeg``; an event for each scored epoch, ``artefact`` among them;
        the session is the night.
    """
    from neuro.io.eeg import read_eeg

    wanted = None if subjects is None else {str(s) for s in subjects}

    def read(path: Path, match: re.Match[str]) -> "Recording":
        # missing samples and drifts of dry electrodes are part of the data
        recording = read_eeg(path, check=False)
        eeg = recording.regular("eeg")
        table = path.with_name(f"{match['night']}_acq-scoring_events.tsv")
        rows = _stages(table) if table.is_file() else []
        events, steps = events_of(rows, table.name, eeg.duration_s, merge=False)
        if not table.is_file():
            steps = (f"no {table.name}: no stages",)
        recording = recording.replace(
            streams={"eeg": eeg},
            events=events,
            dataset=card.name,
            subject=match["subject"],
            session=match["session"],
            task="sleep",
            id=f"{card.name}_{match['subject']}_{match['session']}",
        )
        for step in steps:
            recording = recording.with_step(step)
        return recording

    return collect(card, folder, _FILE, read, bad_files, wanted=wanted)


def _stages(path: Path) -> list[Row]:
    header, rows = read_rows(path)
    if missing := [name for name in ("onset", "duration", "scoring") if name not in header]:
        raise FileError(f"'{path.name}' has no column {missing[0]!r}; it has {header[:6]}.")
    onset, duration, scoring = (header.index(name) for name in ("onset", "duration", "scoring"))
    out = []
    for number, row in enumerate(rows, 2):
        stage = row[scoring].strip()
        if stage not in _STAGES:
            raise FileError(
                f"'{path.name}', row {number}: unknown stage {stage!r}. "
                f"{did_you_mean(stage, _STAGES)}"
            )
        try:
            start = float(row[onset])
            out.append(Row(start, start + float(row[duration]), _STAGES[stage]))
        except ValueError:
            raise FileError(f"'{path.name}', row {number}: a time is no number.") from None
    return out


def labelled_windows(
    recordings: "Sequence[Recording]", *, length_s: float = 30.0, keep_missing: bool = False
) -> "Windows":
    """A window from the start of each scored epoch, labelled with its stage.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set.
    length_s : float, default 30
        Seconds.
    keep_missing : bool, default False
        Keep windows in which samples are missing; by default every window is
        read once and those are left out, as the reference does.

    Returns
    -------
    Windows
    """
    from neuro.data import windows

    index = windows(
        recordings, stream="eeg", align=_CLASSES, length_s=length_s, label="type", classes=_CLASSES
    )
    if keep_missing:
        return index
    streams = [rec.regular("eeg") for rec in index.recordings]
    places = zip(index.recording.tolist(), index.start.tolist(), index.stop.tolist(), strict=True)
    whole = [np.isfinite(streams[r].read(start, stop)).all() for r, start, stop in places]
    return index.select(np.array(whole, dtype=bool))


def official_split(recordings: "Sequence[Recording]") -> OfficialSplit:
    """People 1 to 6 for training, 7 and 8 for validation, 9 and 10 for test.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set.

    Returns
    -------
    OfficialSplit
        By subject.
    """
    people = {rec.subject for rec in recordings}
    parts = {
        part: tuple(sorted(s for s in people if int(s) in numbers))
        for part, numbers in _PARTS.items()
    }
    source = "the people of TFM-Tokenizer's protocol: 1-6, 7-8, 9-10"
    return OfficialSplit("subject", {k: v for k, v in parts.items() if v}, source)
