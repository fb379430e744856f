"""Resting-state fMRI of one person on the cortical surface (fsaverage5).

Both hemispheres stand on one axis. The headers say a TR of 1000 ms; the
study's is 1.4 s, which the loader states. Vertices of the medial wall are
constant and marked bad.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.datasets._tables import read_numbers
from neuro.errors import FileError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

_N_VERTICES = 10_242  # of one fsaverage5 hemisphere


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
        Streams ``bold`` (20,484 vertices, left then right, named ``lh:0``, …)
        and ``confounds`` (29 columns of the study's own preprocessing).
    """
    from neuro.data import Axis, Recording, Regular

    rate = card.rate
    by_end = {side: path for m, path in files.items() for side in ("lh", "rh") if f".{side}." in m}
    parts, headers = zip(*(_surface(by_end[side]) for side in ("lh", "rh")), strict=True)
    data = np.concatenate(parts)
    wall = np.ptp(data, axis=1) == 0
    axis = Axis(
        [f"{side}:{i}" for side in ("lh", "rh") for i in range(_N_VERTICES)],
        "vertex",
        frame="fsaverage5",
        bad=wall,
        columns={"hemisphere": np.repeat(["lh", "rh"], _N_VERTICES)},
    )
    table = next(path for member, path in files.items() if member.endswith("confounds.txt"))
    confounds = read_numbers(table, None, header=False)[1].T
    names = [f"confound {i + 1}" for i in range(len(confounds))]
    steps = [
        f"TR {card.tr} s stated; the header says {headers[0]:g} s",
        f"{int(wall.sum())} constant vertices (medial wall) marked bad",
    ]
    recording = Recording(
        {
            "bold": Regular(data, rate, card.unit, axis, "bold"),
            "confounds": Regular(confounds, rate, "au", Axis(names, "confound"), "physio"),
        },
        dataset=card.name,
        subject="010188",
        session="02",
        run="01",
        task="rest",
        provenance=provenance(card, by_end["lh"], *steps),
    )
    return [recording]


def _surface(path: Path) -> tuple[FloatArray, float]:
    """Series of one hemisphere (vertex, time) and the TR its header claims, in seconds."""
    import nibabel

    try:
        image = nibabel.load(path)
        tr_ms = float(image.header["tr"])
        data = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # nibabel raises many kinds on a malformed file
        raise FileError(f"{path.name}: not a readable surface series ({error}).") from None
    if data.shape[:3] != (_N_VERTICES, 1, 1) or data.ndim != 4:
        raise FileError(f"{path.name}: shape {data.shape}, expected ({_N_VERTICES}, 1, 1, time).")
    return data.reshape(_N_VERTICES, -1), tr_ms / 1000
