"""Scalp EEG of children with seizures (CHB-MIT), hours a person, bipolar channels.

Seizures stand in one summary a case. Case chb21 is the person of chb01, one and
a half years later: both have the subject ``chb01`` here, and the case is the
session.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, Row, collect, events_of
from neuro.datasets._protocols import OfficialSplit
from neuro.errors import ConfigError, FileError

if TYPE_CHECKING:
    from neuro.data import Recording, Windows

__all__ = ["labelled_windows", "load", "official_split"]

_FILE = re.compile(r"(?:^|/)(?P<case>chb\d\d)/(?P<run>chb\d\d[a-z]?_\d+\+?)\.edf$")
_SAME_PERSON = {"chb21": "chb01"}
_NAME = re.compile(r"^File Name:\s*(\S+)", re.IGNORECASE)
_COUNT = re.compile(r"^Number of Seizures in File:\s*(\d+)", re.IGNORECASE)
_EDGE = re.compile(r"^Seizure\s*\d*\s*(Start|End) Time:\s*(\d+)", re.IGNORECASE)


def load(card: Card, folder: Path, *, bad_files: BadFiles = "raise") -> "list[Recording]":
    """All recordings, samples left on disk.

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
        Stream ``eeg``; an event ``seizure`` for each seizure; the session is
        the case, the run the file.
    """
    summaries: dict[Path, dict[str, _Told]] = {}

    def read(path: Path, match: re.Match[str]) -> "Recording":
        summary = path.with_name(f"{match['case']}-summary.txt")
        if summary not in summaries:
            summaries[summary] = _seizures(summary)
        return _read(card, path, match, summary.name, summaries[summary].get(path.name))

    return collect(card, folder, _FILE, read, bad_files)


def _read(
    card: Card, path: Path, match: re.Match[str], summary: str, told: "_Told | None"
) -> "Recording":
    from neuro.io.edf import read_edf, read_header

    header = read_header(path)
    steps = []
    if told is None:
        if path.with_name(f"{path.name}.seizures").is_file():
            raise FileError(
                f"'{summary}' does not name {path.name}, though {path.name}.seizures says it holds "
                "seizures. Get the summary again."
            )
        steps.append(f"not in {summary}: taken to be without seizures")
    elif told.claimed != len(told.rows):
        raise FileError(
            f"'{summary}' claims {told.claimed} seizures in {path.name} but tells the times of "
            f"{len(told.rows)}. Get it again."
        )
    events, noted = events_of(told.rows if told else [], summary, header.duration_s)
    case = match["case"]
    subject = _SAME_PERSON.get(case, case)
    if subject != case:
        steps.append(f"identity: {case} is the person of {subject}")
    return read_edf(
        header,
        _channel,
        events=events,
        steps=(*steps, *noted),
        reader="neuro.datasets.chb_mit",
        facts={
            "dataset": card.name,
            "subject": subject,
            "session": case,
            "run": match["run"],
            "id": f"{card.name}_{match['run']}",
        },
    )


@cache
def _channel(label: str) -> tuple[str, str] | None:
    """Kind and standard name; None for fillers and what is no 10-20 derivation."""
    from neuro.data import canonical_eeg_name, eeg_positions

    if label.upper().startswith(("ECG", "EKG")):
        return "ecg", label
    name = canonical_eeg_name(label)
    return ("eeg", name) if np.isfinite(eeg_positions([name])).all() else None


@dataclass
class _Told:
    """What a summary says of one file."""

    rows: list[Row] = field(default_factory=list)
    claimed: int = 0


def _seizures(path: Path) -> dict[str, _Told]:
    """File -> seizures, out of the summary of one case."""
    if not path.is_file():
        raise FileError(f"'{path.name}' is missing beside the case's recordings. Get it again.")
    out: dict[str, _Told] = {}
    here, start = _Told(), -1.0
    lines = path.read_text(encoding="latin-1").splitlines()
    for number, line in enumerate(map(str.strip, lines), 1):
        if found := _NAME.match(line):
            here = out.setdefault(found[1], _Told())
        elif found := _COUNT.match(line):
            here.claimed = int(found[1])
        elif found := _EDGE.match(line):
            begins = found[1].lower() == "start"
            if begins != (start < 0):
                raise FileError(f"'{path.name}', line {number}: a seizure has no start or no end.")
            if not begins:
                here.rows.append(Row(start, float(found[2]), "seizure"))
            start = float(found[2]) if begins else -1.0
    return out


def labelled_windows(
    recordings: "Sequence[Recording]",
    *,
    length_s: float = 10.0,
    extra_seizure_windows: bool = False,
    biot_compat: bool = False,
) -> "Windows":
    """Windows side by side, a seizure if any of the window is one.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set.
    length_s : float, default 10
        Seconds.
    extra_seizure_windows : bool, default False
        Add windows every half length from 1 s before each seizure to 1 s after
        it, overlapping the others. Meant for training parts only.
    biot_compat : bool, default False
        As in the code of BIOT and its successors: a window of the row is a
        seizure only if one begins or ends strictly inside it, so that windows
        wholly inside a long seizure are called normal; the extra windows are
        added and all called seizures.

    Returns
    -------
    Windows
        Classes ``normal`` and ``seizure``.
    """
    from neuro.data import windows

    if biot_compat and length_s != 10.0:
        raise ConfigError(f"biot_compat is defined for windows of 10 s, not {length_s:g} s.")
    if biot_compat:
        step = "biot_compat: windows wholly inside a seizure are called normal, extra ones added"
        recordings = [rec.with_step(step) for rec in recordings]
    label = _edge_inside if biot_compat else _overlap
    index = windows(
        recordings, stream="eeg", length_s=length_s, label=label, classes=("normal", "seizure")
    )
    if not (biot_compat or extra_seizure_windows):
        return index
    return _with_extra(index, always=biot_compat, label=label)


def _overlap(recording: "Recording", start_s: float, stop_s: float) -> str:
    events = recording.events
    hit = (events.onset_s < stop_s) & (events.onset_s + events.duration_s > start_s)
    return "seizure" if hit.any() else "normal"


# The reference counts edges and extra windows from the sample before their second.
_EARLY_S = 1.0 / 256.0


def _edge_inside(recording: "Recording", start_s: float, stop_s: float) -> str:
    events = recording.events
    edges = np.concatenate([events.onset_s, events.onset_s + events.duration_s]) - _EARLY_S
    return "seizure" if ((start_s < edges) & (edges < stop_s)).any() else "normal"


def _with_extra(
    index: "Windows", *, always: bool, label: "Callable[[Recording, float, float], str]"
) -> "Windows":
    recording, start, target = [], [], []
    n_times, early_s = index.n_times, _EARLY_S if always else 0.0
    for r, rec in enumerate(index.recordings):
        stream = rec.regular("eeg")
        ends = rec.events.onset_s + rec.events.duration_s
        for onset, end in zip(rec.events.onset_s.tolist(), ends.tolist(), strict=True):
            first = max(0, stream.index(onset - 1.0 - early_s))
            last = min(stream.index(end + 1.0 - early_s), stream.n_times - n_times + 1)
            for at in range(first, last, n_times // 2):
                name = label(rec, float(stream.time(at)), float(stream.time(at + n_times)))
                recording.append(r)
                start.append(at)
                target.append(float(always or name == "seizure"))
    if not start:
        return index
    more, known = len(start), index.target if index.target is not None else np.zeros(len(index))
    begin = np.concatenate([index.start, np.array(start)])
    return replace(
        index,
        recording=np.concatenate([index.recording, np.array(recording)]),
        start=begin,
        stop=begin + n_times,
        block=np.concatenate([index.block, np.full(more, -1)]),
        id=np.arange(len(index) + more),
        target=np.concatenate([known, np.array(target)]),
    )


def official_split(
    recordings: "Sequence[Recording]", *, reference_split: bool = False
) -> OfficialSplit:
    """Cases 1 to 20 for training, 21 and 22 for validation, 23 and 24 for test.

    Parameters
    ----------
    recordings : sequence of Recording
        Of this data set.
    reference_split : bool, default False
        Keep case chb21, the person of chb01, in validation, as the reference
        does; by default it is trained on, with chb01.

    Returns
    -------
    OfficialSplit
        By subject; by session (case) with `reference_split`.
    """
    parts: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    people: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for rec in recordings:
        unit = rec.session if reference_split else rec.subject
        number = int(unit.removeprefix("chb"))
        part = "train" if number <= 20 else "val" if number <= 22 else "test"
        parts[part].add(unit)
        people[part].add(rec.subject)
    found = {part: tuple(sorted(units)) for part, units in parts.items() if units}
    source = "the cases of BIOT and its successors: 1-20, 21-22, 23-24"
    if not reference_split:
        return OfficialSplit("subject", found, f"{source}; chb21 with chb01, whose person it is")
    shared = tuple(sorted(people["train"] & people["val"]))
    source += "; reference_split: chb21 in validation though it is the person of chb01"
    return OfficialSplit("session", found, source, shared)
