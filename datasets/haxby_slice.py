"""One slice of the Haxby object-viewing study, 12 runs in one file, by path only.

The runs follow each other in the file without a gap; here each is a segment,
and the block of its events. Splits must keep runs whole: random ones let the
same run stand on both sides and score 0.87 where 0.73 is true.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError
from neuro.typing import AnyArray, IntArray

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
        Stream ``bold`` (530 voxels of the mask, scanner units); one event a
        block of nine volumes of one category, its ``block`` the run (0 to 11).
    """
    from neuro.data import Events
    from neuro.io.fmri import read_nifti

    tr = float(1 / card.rate)
    path = files["bold.nii.gz"]
    recording = read_nifti(
        path, tr=tr, mask=files["mask.nii.gz"], unit=card.unit, dataset=card.name, subject="1"
    )
    bold = recording.regular("bold")
    label, run = _attributes(files["attributes_literal.txt"], bold.n_times)
    runs = _stretches(run)
    # a change of category or of run starts a new stretch
    blocks = _stretches(np.char.add(label, np.char.add("@", run.astype(str))))
    blocks = blocks[label[blocks[:, 0]] != "rest"]
    events = Events.make(
        blocks[:, 0] * tr,
        label[blocks[:, 0]],
        duration_s=(blocks[:, 1] - blocks[:, 0]) * tr,
        block=run[blocks[:, 0]],
    )
    steps = (*recording.provenance.steps, f"{len(runs)} runs told apart by the attributes table")
    return [
        recording.replace(
            id=card.name,
            task="object_viewing",
            streams={"bold": replace(bold, segments=runs)},
            events=events,
            provenance=provenance(card, path, *steps),
        )
    ]


def _attributes(path: Path, n_times: int) -> tuple[AnyArray, IntArray]:
    """Label and run of every volume."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(rows) != n_times or any(len(row) != 2 or not row[1].isdigit() for row in rows):
        raise FileError(f"{path.name}: expected 'label run' for each of {n_times} volumes.")
    return np.array([row[0] for row in rows]), np.array([int(row[1]) for row in rows])


def _stretches(values: AnyArray) -> IntArray:
    """Half-open ranges of equal neighbours, shape (n, 2)."""
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    return np.stack([starts, np.append(starts[1:], len(values))], axis=1)
