"""Canonical names of EEG electrodes, from the many spellings files hold."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from neuro.typing import FloatArray

__all__ = ["canonical_eeg_name", "eeg_positions", "split_bipolar", "standard_montage"]

# The 1990 renaming of the temporal and posterior electrodes.
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_SUFFIX = re.compile(
    r"[-_ ]*(REF|LE|AR|AVG|AVE|A1|A2|A1A2|M1|M2|M1M2|CAR|LINKED|AVERAGE)$", re.IGNORECASE
)
_PREFIX = re.compile(r"^(EEG|POL)[ _:.-]+", re.IGNORECASE)


@cache
def standard_montage() -> Any:
    """MNE's montage of the extended 10-05 system."""
    import mne

    # the same table under its name of before and since MNE 1.13
    new = "colin27_1005" in mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage("colin27_1005" if new else "standard_1005")


@cache
def _spellings() -> dict[str, str]:
    """Upper-case spelling to standard spelling, over the extended 10-05 system."""
    names = standard_montage().ch_names
    table = {name.upper(): name for name in names}
    # the montage lists the old names too; the new ones win
    return {k: _OLD_NAMES.get(v, v) for k, v in table.items()}


def canonical_eeg_name(name: str) -> str:
    """Standard 10-20/10-10 spelling of an electrode name.

    Prefixes (``"EEG "``) and reference suffixes (``"-REF"``, ``"-LE"``) are
    removed, old names become new ones (T3 to T7), case is mended, and both
    sides of a bipolar name are treated. Names that are no electrode come back
    stripped of white space only.

    Parameters
    ----------
    name : str
        Name as a file holds it.

    Returns
    -------
    str

    Examples
    --------
    >>> [canonical_eeg_name(n) for n in ("EEG FP1-REF", "T3", "FZ", "EEG T5-O1", "EMG 1")]
    ['Fp1', 'T7', 'Fz', 'P7-O1', 'EMG 1']
    """
    bare = name.strip().rstrip(".")
    table = _spellings()
    core = _PREFIX.sub("", bare)
    for candidate in (core, _SUFFIX.sub("", core)):
        found = table.get(candidate.replace(".", "").upper())
        if found is not None:
            return found
    sides = split_bipolar(core)
    if sides is not None:
        left, right = (table.get(side.upper()) for side in sides)
        if left is not None and right is not None:
            return f"{left}-{right}"
    return bare


def split_bipolar(name: str) -> tuple[str, str] | None:
    """Both electrodes of a bipolar name, or None if it is no such name.

    Examples
    --------
    >>> split_bipolar("Fp1-F7"), split_bipolar("Cz")
    (('Fp1', 'F7'), None)
    """
    left, dash, right = name.partition("-")
    if not dash or not left.strip() or not right.strip() or "-" in right:
        return None
    return left.strip(), right.strip()


@cache
def _standard_positions() -> dict[str, tuple[float, float, float]]:
    return {k: tuple(v) for k, v in standard_montage().get_positions()["ch_pos"].items()}


def eeg_positions(ch_names: Sequence[str]) -> FloatArray:
    """Standard positions of named electrodes.

    A bipolar channel sits midway between its electrodes; names that are not
    in the extended 10-05 system are NaN.

    Parameters
    ----------
    ch_names : sequence of str
        Canonical names.

    Returns
    -------
    ndarray of float32, shape (n, 3)
        Metres in MNE's frame of the standard montage (``"mri_ras"`` of the
        template head).

    Examples
    --------
    >>> eeg_positions(["Cz", "nowhere"]).shape
    (2, 3)
    """
    table = _standard_positions()
    out = np.full((len(ch_names), 3), np.nan, dtype=np.float32)
    for i, name in enumerate(ch_names):
        sides = (name,) if name in table else split_bipolar(name) or ()
        if sides and all(side in table for side in sides):
            out[i] = np.mean([table[side] for side in sides], axis=0)
    return out
