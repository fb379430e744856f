"""A whole folder of preprocessed fMRI: fMRIPrep volumes, or tables of regions as XCP-D writes.

Every run becomes region series with its censoring as segments, its framewise
displacement beside it, and what ``participants.tsv`` knows of the person.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuro.data import Recording, Regular
from neuro.errors import (
    ConfigError,
    DataError,
    DataUnavailableError,
    FileError,
    UnitError,
    did_you_mean,
)
from neuro.io._bids_names import entities, inherited, inside, safe_label
from neuro.io._participants import read_participants
from neuro.io._reading import events_from_table
from neuro.io._runs import group_atlas, image_run, segmentation, table_run
from neuro.io.fmri import Labels
from neuro.typing import PathLike

__all__ = ["is_derivatives", "read_derivatives"]

_WHO = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}
# entities that tell two runs of one person apart; the others tell versions of one run apart
_RUN = ("sub", "ses", "task", "acq", "dir", "run")
_PREPROC = "_desc-preproc_bold.nii.gz"
# the preset needs the file that was smoothed and cleaned by ICA-AROMA
_AROMA = "_desc-smoothAROMAnonaggr_bold.nii.gz"
_OTHERS = ("derivatives", "sourcedata", "rawdata")
# below: worth a warning, since connectivity of so little data is mostly noise
_LITTLE_S, _FEW_VOLUMES, _MUCH_MOTION_MM = 300.0, 100, 0.5


def is_derivatives(folder: PathLike) -> bool:
    """Whether a folder holds preprocessed runs or region tables named after BIDS.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> is_derivatives(folder)
    False
    >>> (folder / "sub-1_task-rest_seg-A_timeseries.tsv").touch()
    >>> is_derivatives(folder)
    True
    """
    return next((p for p in _walk(Path(folder)) if _is_image(p) or _atlas_of(p)), None) is not None


def read_derivatives(
    folder: PathLike,
    *,
    atlas: PathLike | None = None,
    labels: Labels | None = None,
    confounds: str | None = "simple",
    tr: float | None = None,
    space: str | None = None,
    subject: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
    participants: PathLike | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str = "au",
    least_s: float = 60.0,
    bad_files: Literal["raise", "skip"] = "raise",
    check: bool = True,
) -> list[Recording]:
    """Read all runs of a folder of preprocessed fMRI as region series.

    Volumes (``*_desc-preproc_bold.nii.gz``) are averaged over the regions of
    an atlas image, or of segmentations in the folder, and cleaned; tables
    (``*_atlas-NAME*_timeseries.tsv``, ``*_seg-NAME*_timeseries.tsv``) are taken
    as they are. Censored volumes are missing and cut segments: those of the
    confounds preset, or of ``*_outliers.tsv`` beside a table.

    Parameters
    ----------
    folder : path-like
        The derivatives.
    atlas : path-like, optional
        Image of region numbers; or the name of a segmentation in the folder
        (``aparcaseg`` for ``*_desc-aparcaseg_dseg.nii.gz``); or the name of
        the atlas of the tables. Needed as far as there are several.
    labels : path-like, mapping or sequence, optional
        Names of the regions, as in :func:`neuro.io.read_nifti`; by default the
        ``.tsv`` beside the atlas image if there is one.
    confounds : {"simple", "scrubbing", "compcor", "ica_aroma", "minimal"}, optional
        What is regressed out of volumes, see :func:`neuro.io.read_fmriprep`;
        None for nothing. Tables are left as they are.
    tr : float, optional
        Seconds between volumes; else from the sidecars, which must agree with
        each other and with the header.
    space : str, optional
        Output space, where a run is there in several.
    subject, session, task, run : str, optional
        Only these, without their prefix (``"01"``).
    participants : path-like, optional
        Table of participants; by default ``participants.tsv`` of the folder or
        of the data set it lies in.
    columns : mapping of str to str, optional
        Fact (age, sex, group, site) -> column of that table, where it is not
        called so: ``{"group": "diagnosis"}``.
    unit : str
        Unit of the values.
    least_s : float
        Runs with less than this many seconds left after censoring are
        refused; our default.
    bad_files : {"raise", "skip"}
        End at the first run that cannot be used, or leave such runs out with a
        warning and a note in every recording.
    check : bool
        Refuse runs without a single number or of impossible amplitude.

    Returns
    -------
    list of Recording
        By path. Streams ``bold`` and, where it is known, ``motion`` (framewise
        displacement in mm).

    Raises
    ------
    DataUnavailableError
        If the folder holds no such run.
    ConfigError
        If atlas or space must be chosen, or an option is unknown.
    FileError
        If a file is malformed, or repetition times are missing or disagree.
    DataError
        If a run is too short, has no volume left or no region with a signal,
        or its regions are those of another atlas.

    Examples
    --------
    >>> from neuro.io import read_derivatives
    >>> read_derivatives("derivatives/fmriprep", atlas="schaefer100.nii.gz")  # doctest: +SKIP
    """
    folder = Path(folder)
    if bad_files not in ("raise", "skip"):
        raise ConfigError(f"bad_files: {did_you_mean(str(bad_files), ('raise', 'skip'))}")
    if not folder.is_dir():
        raise DataUnavailableError(f"'{folder.name}' is no folder. Give that of the derivatives.")
    told = {"sub": subject, "ses": session, "task": task, "run": run, "space": space}
    wanted = {k: safe_label(str(v), _WHO.get(k, k)) for k, v in told.items() if v is not None}
    files = [inside(p, folder) for p in _walk(folder) if _is_image(p) or _atlas_of(p)]
    if not files:
        raise DataUnavailableError(
            f"'{folder.name}' holds neither preprocessed runs (sub-*{_PREPROC}) nor tables of "
            "regions (sub-*_atlas-*_timeseries.tsv or sub-*_seg-*_timeseries.tsv)."
        )
    table = _atlas_of_tables(files, atlas)
    files = _files_for(files, table, confounds)
    files = _one_version(_chosen(files, wanted, folder.name), folder.name)
    read: Callable[..., Recording]
    if table:
        read = partial(table_run, atlas=table, labels=labels)
    else:
        regions = _parcellation(files, folder, atlas, labels)
        read = partial(image_run, confounds=confounds, **regions)
    read = partial(read, tr=tr, unit=unit, check=check)
    root, people = _people(folder, participants, columns)
    runs, bad = [], []
    for path in files:
        try:
            found = read(path, facts=_facts(path, people))
            _refuse_short(found, path.name, least_s)
        except (FileError, DataError, UnitError) as error:
            if bad_files == "raise":
                raise type(error)(
                    f"{error} To read the folder without such runs: bad_files='skip'."
                ) from error
            bad.append(str(error).split(". ")[0])
            continue
        runs.append(_with_events(found, path, folder, root))
    if not runs:
        raise DataError(f"'{folder.name}': none of {len(files)} runs can be used: {bad[0]}.")
    _refuse_other_regions(runs)
    return _told(runs, bad, len(files))


def _facts(path: Path, people: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the file's name and the table of participants say of a run."""
    known, _ = entities(path.name)
    return {
        "id": "_".join(f"{key}-{known[key]}" for key in _RUN if key in known),
        **{fact: known[key] for key, fact in _WHO.items() if key in known},
        **people.get(known["sub"], {}),
    }


# ---- which files ---------------------------------------------------------------


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        # a raw data set is not its own derivatives, though it may hold some
        folders[:] = sorted(f for f in folders if f not in _OTHERS and not f.startswith("."))
        yield from (Path(where) / n for n in sorted(names) if n.startswith("sub-"))


def _is_image(path: Path) -> bool:
    return path.name.endswith((_PREPROC, _AROMA))


def _atlas_of(path: Path) -> str:
    """Atlas of a table of regions; "" for every other file."""
    if not path.name.endswith("_timeseries.tsv"):
        return ""
    found, _ = entities(path.name)
    # a mean series; other statistics and confounds are no regions
    if found.get("stat", "mean") != "mean" or found.get("desc") == "confounds":
        return ""
    return found.get("seg") or found.get("atlas") or ""


def _atlas_of_tables(files: Sequence[Path], atlas: PathLike | None) -> str:
    """Which atlas's tables are to be read; "" for volumes."""
    there = sorted({_atlas_of(p) for p in files} - {""})
    if atlas is not None and str(atlas) in there:
        return str(atlas)
    images = any(_is_image(p) for p in files)
    if not there or (images and atlas is not None):
        return ""
    if atlas is None and len(there) == 1:
        return there[0]
    which = f"no atlas {str(atlas)!r}" if atlas is not None else f"{len(there)} atlases"
    raise ConfigError(f"There are tables of {which}; choose one: atlas={' or '.join(there)}.")


def _files_for(files: Sequence[Path], table: str, confounds: str | None) -> list[Path]:
    """The tables of an atlas, or the volumes that a preset can be used on."""
    if table:
        return [p for p in files if _atlas_of(p) == table]
    return [p for p in files if p.name.endswith(_AROMA if confounds == "ica_aroma" else _PREPROC)]


def _chosen(files: Sequence[Path], wanted: Mapping[str, str], name: str) -> list[Path]:
    fits = [p for p in files if wanted.items() <= entities(p.name)[0].items()]
    if fits:
        return fits
    shown = ", ".join(p.name for p in files[:3]) or "no run that this preset can be used on"
    raise DataUnavailableError(f"'{name}': no run fits {dict(wanted)}. It holds {shown}.")


def _one_version(files: Sequence[Path], name: str) -> list[Path]:
    """The files, if each is another run."""
    seen: dict[tuple[str | None, ...], Path] = {}
    for path in files:
        found, _ = entities(path.name)
        key = tuple(found.get(k) for k in _RUN)
        if key in seen:
            spaces = sorted({entities(p.name)[0].get("space", "none") for p in files})
            how = f" Choose space={' or '.join(spaces)}." if len(spaces) > 1 else ""
            raise ConfigError(
                f"'{name}' holds one run twice: {seen[key].name} and {path.name}.{how}"
            )
        seen[key] = path
    return list(files)


def _parcellation(
    files: Sequence[Path], folder: Path, atlas: PathLike | None, labels: Labels | None
) -> dict[str, Any]:
    """Options that say which image holds the regions of each run, and their names."""
    if atlas is not None and Path(atlas).is_file():
        return group_atlas(Path(atlas), labels)
    return segmentation(files, folder, atlas, labels)


# ---- who -----------------------------------------------------------------------


def _people(
    folder: Path, participants: PathLike | None, columns: Mapping[str, str] | None
) -> tuple[Path | None, dict[str, dict[str, Any]]]:
    """The data set's folder, and what its table says of everybody."""
    if participants is not None:
        path = Path(participants)
        return path.parent, read_participants(path, columns)
    here = folder.resolve()
    for root in (here, *list(here.parents)[:2]):  # DATASET/derivatives/fmriprep
        path = root / "participants.tsv"
        if path.is_file():
            return root, read_participants(path, columns)
    if columns:
        raise ConfigError("columns= names columns of participants.tsv, but there is none.")
    return None, {}


def _with_events(rec: Recording, path: Path, folder: Path, root: Path | None) -> Recording:
    """With the events of the raw data set, which derivatives do not repeat."""
    if len(rec.events) or root is None:
        return rec
    raw = root / path.resolve().relative_to(folder.resolve())
    found = inherited(raw, "events", ".tsv", root) if raw.parent.is_dir() else []
    if not found:
        return rec
    events = events_from_table(inside(found[-1], root))
    return rec.replace(events=events).with_step(f"events from {found[-1].name}")


# ---- what is no good -----------------------------------------------------------


def _kept(signal: Regular) -> int:
    return int((signal.segments[:, 1] - signal.segments[:, 0]).sum())


def _refuse_short(rec: Recording, name: str, least_s: float) -> None:
    signal = rec.regular("bold")
    left = _kept(signal) / signal.sfreq
    if left < least_s:
        raise DataError(
            f"'{name}': {left:g} s of {signal.duration_s:g} s are left after censoring, less than "
            f"least_s={least_s:g}."
        )


def _refuse_other_regions(runs: Sequence[Recording]) -> None:
    first = runs[0].regular("bold").axis.names
    for rec in runs[1:]:
        names = rec.regular("bold").axis.names
        if names != first:
            only = sorted(set(names) ^ set(first))[:3]
            raise DataError(
                f"{rec.id!r} has {len(names)} regions, {runs[0].id!r} {len(first)}, and they are "
                f"not the same ({', '.join(only) or 'another order'}): tables of another atlas."
            )


def _told(runs: list[Recording], bad: Sequence[str], n_files: int) -> list[Recording]:
    """Warn once of what is doubtful, and note in every recording what was left out."""
    doubts = []
    if bad:
        doubts.append(f"{len(bad)} of {n_files} runs were left out, the first: {bad[0]}")
    signals = [rec.regular("bold") for rec in runs]
    little = sum(_kept(s) < max(_LITTLE_S * s.sfreq, _FEW_VOLUMES) for s in signals)
    if little:
        doubts.append(
            f"{little} of {len(runs)} runs have less than {_LITTLE_S / 60:g} min or "
            f"{_FEW_VOLUMES} volumes after censoring"
        )
    moved = sum(_mean_fd(rec) > _MUCH_MOTION_MM for rec in runs)
    if moved:
        doubts.append(f"{moved} runs have a mean displacement above {_MUCH_MOTION_MM:g} mm")
    names = signals[0].axis.names
    silent = [n for i, n in enumerate(names) if any(s.axis.bad[i] for s in signals)]
    if silent:
        more = f" and {len(silent) - 5} more" if len(silent) > 5 else ""
        doubts.append(f"without a signal in some run: {', '.join(silent[:5])}{more}")
    if doubts:
        warnings.warn("; ".join(doubts) + ".", UserWarning, stacklevel=3)
    if bad:
        step = f"{len(bad)} of {n_files} runs of the folder left out: {'; '.join(bad[:5])}"
        return [rec.with_step(step) for rec in runs]
    return runs


def _mean_fd(rec: Recording) -> float:
    if "motion" not in rec.streams:
        return 0.0
    fd = rec.regular("motion").values()
    return float(np.nanmean(fd)) if np.isfinite(fd).any() else 0.0
