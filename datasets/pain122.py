"""ROI series of 33 people in a heat-pain regulation study, three runs each.

Two defects of the published files are mended by default and can be shown raw:

* ``sub-k_ts.txt`` (run 1) holds person k - 1 of the other two runs. As named,
  connectivity of run 1 never matches the same person's other runs, and heat is
  not decodable with that person's events; one number down, both are. (The
  regions that are all zero, outside the field of view, agree as well.)
* Onsets of runs 3 and 7 count from the start of the session, not of the run:
  836 s and 2,472 s too late.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.datasets._tables import read_numbers, read_rows
from neuro.errors import FileError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Axis, Events, Recording, Regular

__all__ = ["load"]

_TASK = "heatpainwithregulationandratings"
# The first heat comes 10.216 s into every run; on the session clock it is at
# 10.216, 846.216 and 2,482.216 s.
_RUN_START_S = {"1": 0.0, "3": 836.0, "7": 2472.0}
_EVENT_COLUMNS = ["onset", "duration", "temperature", "ratings", "regulate-up/down"]
_RUN_1 = re.compile(r"sub-(\d\d)_ts\.txt")
_OTHER = re.compile(r"sub-(\d\d)_ts_run_(\d\d)\.tsv")


def load(
    card: Card,
    files: Mapping[str, Path],
    *,
    correct_identities: bool = True,
    correct_clock: bool = True,
) -> "list[Recording]":
    """All runs of all people, sorted by subject and run.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> file.
    correct_identities : bool, default True
        Give the run-1 files to the people they belong to; False leaves them as
        named, with the events that belong to that name.
    correct_clock : bool, default True
        Put the events of runs 3 and 7 on the run's own clock; False leaves
        them on the session's.

    Returns
    -------
    list of Recording
        Streams ``bold`` (122 regions), ``global_signal`` and ``motion``
        (framewise displacement); events ``heat`` (value: degC) and
        ``rating``, a column ``regulate``; a heat and its rating are a block.
    """
    axis = _axis(files["MIST122_relabeled.tsv"])
    out = []
    for member in sorted(files):
        name = member.rpartition("/")[2]
        if match := _RUN_1.fullmatch(name):
            number, run = int(match[1]), "1"
            fd = f"sub-{number:02d}_FD.txt"
        elif match := _OTHER.fullmatch(name):
            number, run = int(match[1]), str(int(match[2]))
            fd = f"sub-{number:02d}_FD_run_{run.zfill(2)}.txt"
        else:
            continue
        steps = []
        if run == "1" and correct_identities:
            steps.append(f"identity: file of sub-{number:02d} is of sub-{number - 1:02d}")
            number -= 1
        shift = _RUN_START_S[run] if correct_clock else 0.0
        if shift:
            steps.append(f"event onsets: run start {shift:g} s subtracted")
        streams = _streams(files[member], files[_folder(member) + fd], axis, card.rate)
        zero = [n for n, bad in zip(axis.names, streams["bold"].axis.bad, strict=True) if bad]
        if zero:
            steps.append(f"regions without signal marked bad: {', '.join(zero)}")
        events = f"sub-{number:02d}_task-{_TASK}_run-{run.zfill(2)}_events.tsv"
        out.append(
            (number, run, files[member], streams, files[_folder(member) + events], shift, steps)
        )
    return [_recording(card, *row) for row in sorted(out, key=lambda row: (row[0], row[1]))]


def _folder(member: str) -> str:
    head, slash, _ = member.rpartition("/")
    return head + slash


def _recording(
    card: Card,
    number: int,
    run: str,
    path: Path,
    streams: "Mapping[str, Regular]",
    events: Path,
    shift_s: float,
    steps: list[str],
) -> "Recording":
    from neuro.data import Recording

    return Recording(
        dict(streams),
        _events(events, shift_s),
        id=f"{card.name}_sub-{number:02d}_run-{run}",
        dataset=card.name,
        subject=f"{number:02d}",
        run=run,
        task=_TASK,
        provenance=provenance(card, path, *steps),
    )


def _axis(path: Path) -> "Axis":
    from neuro.data import Axis

    header, rows = read_rows(path)
    if header[1:] != ["index", "labels", "modules"]:
        raise FileError(f"{path.name}: unexpected columns {header}.")
    # Four labels stand for two regions each; the second gets a number.
    count: dict[str, int] = {}
    names = []
    for row in rows:
        count[row[2]] = count.get(row[2], 0) + 1
        names.append(row[2] if count[row[2]] == 1 else f"{row[2]}_{count[row[2]]}")
    # the row number is the region's value in MIST122_relabeled.nii.gz
    return Axis(
        names,
        "roi",
        atlas="MIST122",
        labels=[int(row[0]) for row in rows],
        columns={
            "label": np.array([row[2] for row in rows]),
            "module": np.array([row[3] for row in rows]),
            "mist_index": np.array([int(row[1]) for row in rows]),
        },
    )


def _streams(series: Path, motion: Path, axis: "Axis", rate: Fraction) -> "dict[str, Regular]":
    from neuro.data import Axis, Regular

    names, values = read_numbers(series)
    if names != ["GlobSig", *axis.columns["label"].tolist()]:
        raise FileError(f"{series.name}: columns are not the global signal and the 122 regions.")
    _, fd = read_numbers(motion)
    if len(fd) != len(values) - 1:
        raise FileError(f"{motion.name}: {len(fd)} displacements for {len(values)} volumes.")
    # displacement needs a predecessor: none for the first volume
    displacement = np.concatenate([[np.nan], fd[:, 0]])[None, :]

    def regular(data: FloatArray, unit: str, rows: Axis, physio: bool = False) -> Regular:
        return Regular(data, rate, unit, rows, "physio" if physio else "bold")

    bold = values[:, 1:].T
    return {
        "bold": regular(bold, "au", axis.replace(bad=np.ptp(bold, axis=1) == 0)),
        "global_signal": regular(values[:, :1].T, "au", Axis(["global signal"], "roi")),
        "motion": regular(displacement, "mm", Axis(["framewise displacement"], "motion"), True),
    }


def _events(path: Path, shift_s: float) -> "Events":
    from neuro.data import Events

    header, rows = read_rows(path)
    # Run 7 of sub-23 has the last column twice: empty, then filled in.
    if list(dict.fromkeys(header)) != _EVENT_COLUMNS:
        raise FileError(f"{path.name}: unexpected columns {header}.")
    heat = np.array([row[2] != "n/a" for row in rows])
    value = [float(row[2] if hot else row[3]) for row, hot in zip(rows, heat, strict=True)]
    regulate = np.array(["" if row[-1] == "n/a" else row[-1] for row in rows])
    return Events.make(
        np.array([float(row[0]) for row in rows]) - shift_s,
        np.where(heat, "heat", "rating"),
        duration_s=np.array([float(row[1]) for row in rows]),
        value=value,
        block=np.maximum(np.cumsum(heat) - 1, 0),
        columns={"regulate": regulate},
    )
