"""Motor execution and imagery of 109 people, 64 channels (PhysioNet EEGMMIDB).

What the marks T1 and T2 mean depends on the number of the run.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, Row, collect, events_of
from neuro.errors import ConfigError, FileError, did_you_mean

if TYPE_CHECKING:
    from neuro.data import Recording, Windows
    from neuro.io.edf import EdfHeader

__all__ = ["labelled_windows", "load"]

_FILE = re.compile(r"(?:^|/)(?P<subject>S\d{3})R(?P<run>\d\d)\.edf$")
_FISTS = {"T0": "rest", "T1": "left_fist", "T2": "right_fist"}
_BOTH = {"T0": "rest", "T1": "both_fists", "T2": "both_feet"}
_REST = {"T0": "rest"}
# Run -> task and meaning of the marks.
_RUNS = {
    1: ("eyes_open", _REST),
    2: ("eyes_closed", _REST),
    **dict.fromkeys((3, 7, 11), ("execute_fist", _FISTS)),
    **dict.fromkeys((4, 8, 12), ("imagine_fist", _FISTS)),
    **dict.fromkeys((5, 9, 13), ("execute_fists_or_feet", _BOTH)),
    **dict.fromkeys((6, 10, 14), ("imagine_fists_or_feet", _BOTH)),
}
_TASKS = ("execute_fist", "imagine_fist", "execute_fists_or_feet", "imagine_fists_or_feet")


def load(card: Card, folder: Path, *, bad_files: BadFiles = "raise") -> "list[Recording]":
    """All runs of all people, samples left on disk.

    Parameters
    ----------
    card : Card
        The data set's card.
    folder : Path
        The tree, or a folder above it or in it.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Stream ``eeg``; events ``rest``, ``left_fist``, ``right_fist``,
        ``both_fists``, ``both_feet``; the task says whether moves are executed
        or imagined.
    """
    return collect(card, folder, _FILE, partial(_read, card), bad_files)


def _read(card: Card, path: Path, match: re.Match[str]) -> "Recording":
    from neuro.io.edf import read_edf, read_header

    number = int(match["run"])
    if number not in _RUNS:
        raise FileError(f"'{path.name}': there are runs 1 to 14. Is the file misnamed?")
    task, meaning = _RUNS[number]
    header = read_header(path)
    rows = _marks(header, f"run {number} ({task})", meaning)
    events, steps = events_of(rows, path.name, header.duration_s, merge=False)
    recording = read_edf(
        header,
        _channel,
        events=events,
        steps=steps,
        reader="neuro.datasets.eegmmidb",
        facts={
            "dataset": card.name,
            "subject": match["subject"],
            "run": match["run"],
            "task": task,
            "id": f"{card.name}_{match['subject']}R{match['run']}",
        },
    )
    eeg = recording.regular("eeg")
    if len(eeg.axis) != card.channels:
        raise FileError(
            f"'{path.name}' has {len(eeg.axis)} channels, the data set has {card.channels}. "
            "Get the file again."
        )
    if eeg.rate == card.rate:
        return recording
    step = f"sampled at {eeg.sfreq:g} Hz, most of the data set at {card.sfreq:g} Hz"
    return recording.with_step(step)


def _marks(header: "EdfHeader", run: str, meaning: Mapping[str, str]) -> list[Row]:
    """Annotations of a run, by what they mean in it."""
    from neuro.io.edf import read_notes

    rows = []
    for onset, duration, text in read_notes(header):
        mark = text.strip()
        if mark not in meaning:
            raise FileError(
                f"'{header.path.name}': mark {mark!r} does not belong into {run}, which has "
                f"{', '.join(meaning)}. Is the file misnamed?"
            )
        rows.append(Row(onset, onset + duration, meaning[mark]))
    if not rows:
        raise FileError(f"'{header.path.name}' holds no marks T0, T1, T2. Get it again.")
    return rows


@cache
def _channel(label: str) -> tuple[str, str]:
    from neuro.data import canonical_eeg_name

    return "eeg", canonical_eeg_name(label)


def labelled_windows(
    recordings: "Sequence[Recording]",
    *,
    task: str = "imagine_fist",
    length_s: float = 4.0,
    offset_s: float = 0.0,
    rest: bool = False,
) -> "Windows":
    """A window after each cue of one task, labelled with what was to be moved.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set, at one rate.
    task : str, default "imagine_fist"
        ``"execute_fist"``, ``"imagine_fist"``, ``"execute_fists_or_feet"`` or
        ``"imagine_fists_or_feet"``.
    length_s, offset_s : float
        Seconds; from the cue to the window's start.
    rest : bool, default False
        Windows of rest as a third class.

    Returns
    -------
    Windows

    Raises
    ------
    ConfigError
        If there is no such task.
    """
    from neuro.data import windows

    if task not in _TASKS:
        raise ConfigError(f"task={task!r}. {did_you_mean(task, _TASKS)}")
    meaning = _BOTH if "feet" in task else _FISTS
    classes = [meaning[mark] for mark in (("T0",) if rest else ()) + ("T1", "T2")]
    chosen = [rec for rec in recordings if rec.task == task]
    return windows(
        chosen, stream="eeg", align=classes, offset_s=offset_s, length_s=length_s, label="type",
        classes=classes,
    )  # fmt: skip
