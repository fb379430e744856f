"""Folders of EEG recorded in an MR scanner, with the BOLD of the same scans.

Two layouts: BIDS (``sub-…_eeg.*`` with region tables or images of the same
subject, session, task and run), and that of the NeuroBOLT release (EEGLAB
files and a table of DiFuMo regions, both named ``subNN-scanNN``).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neuro.data import Recording, Regular, joined_by_triggers
from neuro.data.convert import stream_of_kind
from neuro.data.streams import Stream
from neuro.errors import ConfigError, DataUnavailableError, FileError
from neuro.io._bids_names import entities, inside, split_name
from neuro.io.bids import has_side_files, with_side_files
from neuro.io.eeg import SUFFIXES, read_eeg
from neuro.io.fmri import Labels, read_nifti
from neuro.io.roi_table import read_roi_table
from neuro.typing import PathLike

__all__ = ["is_simultaneous", "read_simultaneous"]

_Key: TypeAlias = tuple[str, str, str, str]

_RELEASE = re.compile(r"^sub-?([A-Za-z0-9]+)[-_](?:scan|run)-?([A-Za-z0-9]+)(?:[-_].*)?$")
_TABLES = (".tsv", ".csv", ".npy", ".npz", ".txt")
_IMAGES = (".nii", ".nii.gz")
_BOLD_WORDS = ("timeseries", "bold", "difumo", "roi", "fmri")
# what is left in files where all channels are called EEG
_KINDS = {"EOG": "eog", "HEOG": "eog", "VEOG": "eog", "EMG": "emg", "ECG": "ecg", "EKG": "ecg",
          "CWL": "misc"}  # fmt: skip
_RELEASE_TR = 2.1
_MOST_FILES = 100_000


def is_simultaneous(folder: PathLike) -> bool:
    """Whether a folder holds EEG and BOLD files of the same scan.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "sub01-scan01_eeg.set").touch()
    >>> is_simultaneous(folder)
    False
    >>> (folder / "sub01-scan01_difumo.csv").touch()
    >>> is_simultaneous(folder)
    True
    """
    eeg, bold = _files(Path(folder))
    return bool(set(eeg) & set(bold))


def read_simultaneous(
    folder: PathLike,
    *,
    trigger: str = "R149",
    first_volume: int | None = None,
    tr: float | None = None,
    atlas: PathLike | None = None,
    labels: Labels | None = None,
    unit: str | None = None,
    bold_unit: str = "z",
    check: bool = True,
    **facts: Any,
) -> list[Recording]:
    """Read all scans of a folder that have EEG and BOLD, on one clock.

    Parameters
    ----------
    folder : path-like
        Root of a BIDS data set (derivatives below it count), or of a release
        whose files are named ``subNN-scanNN``.
    trigger, first_volume
        As in :func:`neuro.data.joined_by_triggers`.
    tr : float, optional
        Seconds between volumes, where no sidecar says it; 2.1 for the release,
        as its authors state.
    atlas : path-like, optional
        Atlas image; needed where BOLD is images.
    labels : path-like, mapping or sequence, optional
        Names of the regions.
    unit : str, optional
        Of the EEG's numbers, where the header is silent or wrong.
    bold_unit : str
        Of the region tables.
    check : bool
        Refuse implausible amplitudes.
    **facts
        Choose scans: subject, session, task, run; one value or several with
        commas.

    Returns
    -------
    list of Recording
        Streams ``"eeg"``, what else the cap recorded, and ``"bold"``.

    Raises
    ------
    DataUnavailableError
        If no EEG has a BOLD of the same name, or none is chosen.
    FileError
        If two files claim to be the BOLD of one scan.
    DataError
        If the triggers do not fit the volumes.

    Examples
    --------
    >>> from neuro.io import read_simultaneous
    >>> read_simultaneous("ds003768", tr=2.1)  # doctest: +SKIP
    """
    root = Path(folder)
    wanted = _wanted(facts)
    eeg, bold = _files(root)
    both = sorted(set(eeg) & set(bold))
    if not both:
        raise DataUnavailableError(
            f"'{root.name}': {len(eeg)} EEG and {len(bold)} BOLD files, none of the same scan. "
            "Both names must say the same subject, session, task and run: sub-01_task-rest_eeg.set "
            "and sub-01_task-rest_timeseries.tsv."
        )
    chosen = [k for k in both if all(k[i] in values for i, values in wanted.items())]
    if not chosen:
        raise DataUnavailableError(f"'{root.name}': no scan fits {facts}. There are {both[:5]}.")
    out = []
    for key in chosen:
        fast = _read_eeg(eeg[key], root, key, unit, check)
        slow = _read_bold(bold[key], key, tr, atlas, labels, bold_unit, check)
        out.append(
            joined_by_triggers(fast, slow, trigger=trigger, first_volume=first_volume).replace(
                dataset=root.resolve().name
            )
        )
    return out


def _wanted(facts: dict[str, Any]) -> dict[int, set[str]]:
    places = {"subject": 0, "session": 1, "task": 2, "run": 3}
    for name in facts:
        if name not in places:
            raise ConfigError(f"{name}= does not choose scans; {', '.join(places)} do.")
    return {places[k]: set(str(v).split(",")) for k, v in facts.items()}


# ---- which file belongs to which scan ------------------------------------------------


def _files(root: Path) -> tuple[dict[_Key, Path], dict[_Key, tuple[Path, str | None]]]:
    """EEG file, and BOLD file with the key inside it, of every scan."""
    eeg: dict[_Key, Path] = {}
    bold: dict[_Key, tuple[Path, str | None]] = {}
    images: dict[_Key, list[Path]] = {}
    for i, path in enumerate(sorted(root.rglob("*"))):
        if i > _MOST_FILES:
            break
        if path.name.startswith(".") or not path.is_file():
            continue
        stem, suffix = split_name(path.name)
        key, kind = _key(stem, path.name)
        if suffix == ".npz" and key is None:
            bold |= {k: (path, name) for k, name in _inside_npz(path)}
        if key is None:
            continue
        if suffix.lower() in SUFFIXES and kind in ("eeg", ""):
            _add(eeg, key, inside(path, root))
        elif suffix.lower() in _TABLES and _is_bold(stem):
            _add(bold, key, (inside(path, root), None))
        elif suffix.lower() in _IMAGES and kind == "bold":
            images.setdefault(key, []).append(inside(path, root))
    # a table of regions is what an image would have to become
    chosen = {k: (_one_image(found), None) for k, found in images.items() if k not in bold}
    return eeg, {**chosen, **bold}


def _add(found: dict[_Key, Any], key: _Key, value: Any) -> None:
    if key in found:
        first = found[key][0] if isinstance(found[key], tuple) else found[key]
        second = value[0] if isinstance(value, tuple) else value
        raise FileError(
            f"'{first.name}' and '{second.name}' are of one scan, subject {key[0]!r}, run "
            f"{key[3]!r}. Leave one of them out of the folder."
        )
    found[key] = value


def _one_image(found: list[Path]) -> Path:
    """The preprocessed image of a scan, else its only one."""
    ready = [p for p in found if "desc-preproc" in p.name] or found
    if len(ready) > 1:
        shown = ", ".join(p.name for p in ready[:4])
        raise FileError(
            f"{len(ready)} images are of one scan: {shown}. Leave one of them in the folder, or "
            "put a table of regions beside them (sub-…_timeseries.tsv)."
        )
    return ready[0]


def _key(stem: str, name: str) -> tuple[_Key | None, str]:
    """Subject, session, task and run out of a name, and the kind it ends with."""
    found, kind = entities(name)
    if "sub" in found:
        return tuple(found.get(e, "") for e in ("sub", "ses", "task", "run")), kind  # type: ignore[return-value]
    match = _RELEASE.match(stem)
    return ((match[1], "", "", match[2]), "") if match else (None, kind)


def _is_bold(stem: str) -> bool:
    words = stem.lower()
    side = any(w in words for w in ("confounds", "events", "channels", "electrodes", "physio"))
    return not side and any(w in words for w in _BOLD_WORDS)


def _inside_npz(path: Path) -> Iterator[tuple[_Key, str]]:
    """Scans that one archive holds under their names."""
    from neuro.io import safe

    if not _is_bold(split_name(path.name)[0]):
        return
    for name in safe.load_npz(path):
        match = _RELEASE.match(name)
        if match:
            yield (match[1], "", "", match[2]), name


# ---- reading -------------------------------------------------------------------------


def _read_eeg(path: Path, root: Path, key: _Key, unit: str | None, check: bool) -> Recording:
    facts = {"subject": key[0], "session": key[1], "task": key[2], "run": key[3]}
    if has_side_files(path):
        recording = with_side_files(path, root=root, unit=unit, check=check, **facts)
    else:
        recording = read_eeg(path, unit=unit, check=check, **facts)
    return _by_kind(recording)


def _by_kind(recording: Recording) -> Recording:
    """Eyes, muscles, heart and wire loops out of the EEG, told by their names."""
    eeg = recording.streams.get("eeg")
    if not isinstance(eeg, Regular):
        return recording
    kinds = np.array(
        [_KINDS.get(re.sub(r"[\d_ ]+$", "", n.upper()), "eeg") for n in eeg.axis.names]
    )
    if (kinds == "eeg").all():
        return recording
    streams: dict[str, Stream] = {k: s for k, s in recording.streams.items() if k != "eeg"}
    for kind in ("eeg", *sorted(set(kinds.tolist()) - {"eeg"})):
        rows = np.flatnonzero(kinds == kind)
        if not len(rows):
            raise FileError(f"{recording.id!r}: no channel of {eeg.axis.names[:5]} is EEG.")
        name, modality = stream_of_kind(kind)
        part = eeg.take(rows)
        streams[name] = replace(part, axis=part.axis.replace(types=kind), modality=modality)
    return recording.replace(streams=streams).with_step("channel types from their names")


def _read_bold(
    found: tuple[Path, str | None],
    key: _Key,
    tr: float | None,
    atlas: PathLike | None,
    labels: Labels | None,
    unit: str,
    check: bool,
) -> Recording:
    path, name = found
    facts: dict[str, Any] = dict(zip(("subject", "session", "task", "run"), key, strict=True))
    if path.name.lower().endswith(_IMAGES):
        if atlas is None:
            raise ConfigError(
                f"'{path.name}' is an image: name the regions with atlas=, or put a table of "
                "regions beside it (sub-…_timeseries.tsv)."
            )
        return read_nifti(path, tr=tr, atlas=atlas, labels=labels, check=check, **facts)
    if tr is None and "sub" not in entities(path.name)[0]:
        tr = _RELEASE_TR
    return read_roi_table(path, tr=tr, unit=unit, labels=labels, key=name, check=check, **facts)
