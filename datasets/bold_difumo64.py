"""Resting-state BOLD of 22 people, 64 functional regions (DiFuMo), by path only."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

_KEY = re.compile(r"sub(\d\d)-scan(\d\d)")
_N_REGIONS = 64


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """One recording a scan, sorted by person and scan.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> file.

    Returns
    -------
    list of Recording
        Streams ``bold`` (64 regions) and ``global_signal`` (cleaned and raw),
        each column detrended and standardised by the publishers.
    """
    from neuro.data import Axis, Recording, Regular
    from neuro.io import safe

    path = files["bold_difumo64.npz"]
    names = files["bold_difumo64_regions.txt"].read_text(encoding="utf-8").splitlines()
    if len(names) != _N_REGIONS + 2 or not names[-1].startswith("global signal"):
        raise FileError("bold_difumo64_regions.txt: expected 64 regions and two global signals.")
    regions = Axis(names[:_N_REGIONS], "roi", atlas="DiFuMo64")
    whole = Axis(names[_N_REGIONS:], "roi")
    out = []
    for key, array in sorted(safe.load_npz(path).items()):
        match = _KEY.fullmatch(key)
        if not match or array.ndim != 2 or array.shape[1] != len(names):
            raise FileError(f"{path.name}: scan {key!r} of shape {array.shape} is not expected.")
        subject, scan = match.groups()
        data = array.T  # stored (time, column)
        out.append(
            Recording(
                {
                    "bold": Regular(data[:_N_REGIONS], card.rate, card.unit, regions, "bold"),
                    "global_signal": Regular(
                        data[_N_REGIONS:], card.rate, card.unit, whole, "bold"
                    ),
                },
                id=f"{card.name}_{key}",
                dataset=card.name,
                subject=subject,
                run=scan,
                task="rest",
                provenance=provenance(card, path, f"TR {card.tr} s stated, not in the file"),
            )
        )
    return out
