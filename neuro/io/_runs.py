"""One run of a folder of derivatives: from a volume, or from a table of regions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Recording, Regular
from neuro.errors import ConfigError, DataError, FileError
from neuro.io._bids_names import entities, split_name
from neuro.io._files import read_json
from neuro.io._reading import read_table
from neuro.io._volume import check_nifti
from neuro.io.fmri import Labels, label_table, region_numbers
from neuro.io.fmriprep import read_fmriprep
from neuro.io.roi_table import read_roi_table
from neuro.typing import BoolArray, FloatArray, IntArray, PathLike

__all__ = ["group_atlas", "image_run", "segmentation", "table_run"]

_RUN = ("sub", "ses", "task", "acq", "dir", "run")
_FD = "framewise_displacement"


# ---- volumes -------------------------------------------------------------------


def group_atlas(atlas: Path, labels: Labels | None) -> dict[str, Any]:
    """One image of regions for all runs, and the names beside it.

    Raises
    ------
    DataError
        If the names are those of another atlas.
    """
    if labels is None:
        beside = atlas.with_name(split_name(atlas.name)[0] + ".tsv")
        labels = beside if beside.is_file() else None
    if labels is not None:
        _refuse_other_labels(atlas, labels)
    return {"atlas": atlas, "labels": labels}


def _refuse_other_labels(atlas: Path, labels: Labels) -> None:
    check_nifti(atlas)
    numbers = set(region_numbers(atlas).tolist())
    table = label_table(labels)
    if not isinstance(table, dict):
        return  # names without numbers: only their count can be compared, by the reader
    named = set(table) - {0}
    what = f"'{labels}'" if isinstance(labels, dict | list) else f"'{Path(str(labels)).name}'"
    unnamed = sorted(numbers - named)
    # a table may name a region or two that this version of the image has not
    if unnamed or len(named - numbers) > len(named) // 10:
        raise DataError(
            f"{what} names {len(named)} regions, of which {len(named & numbers)} are among the "
            f"{len(numbers)} of '{atlas.name}'"
            + (f"; regions {unnamed[:5]} have no name" if unnamed else "")
            + ". These are labels of another atlas."
        )


def segmentation(
    files: Sequence[Path], folder: Path, name: PathLike | None, labels: Labels | None
) -> dict[str, Any]:
    """Segmentations that lie beside the runs, one a run, with one list of regions for all.

    Raises
    ------
    ConfigError
        If there is none, or several and none is chosen.
    """
    each = {path: _segmentations(path) for path in files}
    common = sorted(set.intersection(*(set(found) for found in each.values())))
    if name is not None and str(name) not in common:
        there = f"; segmentations of all runs: {', '.join(common)}" if common else ""
        raise ConfigError(f"atlas={str(name)!r} is neither a file nor a segmentation{there}.")
    if name is None and len(common) != 1:
        which = f"one of the segmentations ({', '.join(common)}) or " if common else ""
        raise ConfigError(
            f"Regions are needed: give {which}an image of region numbers in the space of the "
            "runs: atlas=FILE."
        )
    chosen = str(name or common[0])
    images = {path: found[chosen] for path, found in each.items()}
    for image in images.values():
        check_nifti(image)
    numbers = sorted({n for image in images.values() for n in region_numbers(image).tolist()})
    if labels is None:
        beside = folder / f"desc-{chosen}_dseg.tsv"
        labels = beside if beside.is_file() else {n: f"roi {n}" for n in numbers}
    table = label_table(labels)
    if not isinstance(table, dict):
        raise ConfigError("Names for segmentations need numbers: a table with index and name.")
    unnamed = [n for n in numbers if n not in table]
    if unnamed:
        raise DataError(
            f"The table of {chosen} does not name the regions {unnamed[:5]}: it is another's."
        )
    return {"atlas": images, "labels": {n: table[n] for n in numbers}}


def _segmentations(path: Path) -> dict[str, Path]:
    """Description -> segmentation on the grid of a run."""
    mine, _ = entities(path.name)
    out = {}
    for candidate in sorted(path.parent.glob("*_dseg.nii.gz")):
        theirs, _ = entities(candidate.name)
        desc = theirs.pop("desc", "")
        if desc and theirs.items() <= mine.items() and theirs.get("space") == mine.get("space"):
            out[desc] = candidate
    return out


def image_run(
    path: Path,
    *,
    atlas: Any,
    labels: Labels | None,
    confounds: str | None,
    tr: float | None,
    unit: str,
    check: bool,
    facts: dict[str, Any],
) -> Recording:
    """Region means of one preprocessed volume, cleaned, with its displacement."""
    image = atlas[path] if isinstance(atlas, dict) else atlas
    rec = read_fmriprep(
        path, confounds=confounds, atlas=image, labels=labels, tr=tr, unit=unit, check=check,
        **facts,
    )  # fmt: skip
    if isinstance(atlas, dict):  # one person's image: its name says nothing of the regions
        signal = rec.regular("bold")
        name = entities(image.name)[0]["desc"]
        rec = rec.with_stream("bold", replace(signal, axis=signal.axis.replace(atlas=name)))
    beside = _same_run(path, "timeseries", ".tsv")
    tables = [p for p in beside if entities(p.name)[0].get("desc") == "confounds"]
    return _with_motion(_listed(rec, path.name), tables)


# ---- tables --------------------------------------------------------------------


def table_run(
    path: Path,
    *,
    atlas: str,
    labels: Labels | None,
    tr: float | None,
    unit: str,
    check: bool,
    facts: dict[str, Any],
) -> Recording:
    """One table of regions with its censoring and displacement."""
    seconds = tr if tr is not None else _stated_tr(path)
    rec = read_roi_table(
        path, tr=seconds, unit=unit, labels=labels, atlas=atlas, time_axis=0, check=check, **facts
    )
    outliers = _same_run(path, "outliers", ".tsv")
    if outliers:
        rec = _censored(rec, path, outliers[0])
    return _with_motion(_listed(rec, path.name), _same_run(path, "motion", ".tsv"))


def _stated_tr(path: Path) -> float | None:
    """The repetition time that the sidecars of a run agree on; None leaves it to the table's own.

    Raises
    ------
    FileError
        If they do not agree.
    """
    own = path.with_suffix(".json")
    sources = [*([own] if own.is_file() else []), *_same_run(path, "bold", ".json")]
    found: dict[str, float] = {}
    for source in sources:
        content = read_json(source)
        value = content.get("RepetitionTime") if isinstance(content, dict) else None
        if isinstance(value, int | float):
            found[source.name] = float(value)
    if found and max(found.values()) > 1.001 * min(found.values()):
        said = ", ".join(f"{v:g} s in {n}" for n, v in found.items())
        raise FileError(
            f"'{path.name}': the repetition times disagree: {said}. Find out which is true and "
            "pass it: tr=."
        )
    return next(iter(found.values()), None)


def _censored(rec: Recording, path: Path, source: Path) -> Recording:
    """Outliers missing: put back as gaps where the table leaves them out, else blanked."""
    table = read_table(source)
    outlier: BoolArray = table.numbers(_FD) > 0
    signal = rec.regular("bold")
    kept = np.flatnonzero(~outlier)
    if not len(kept):
        raise DataError(f"'{path.name}': all {len(outlier)} volumes are censored.")
    values = np.full((len(signal.axis), len(outlier)), np.nan, dtype=np.float32)
    if signal.n_times == len(outlier):
        values[:, kept] = signal.values()[:, kept]
    elif signal.n_times == len(kept):
        values[:, kept] = signal.values()
    else:
        raise FileError(
            f"'{path.name}' has {signal.n_times} volumes, '{source.name}' {len(outlier)} of which "
            f"{len(kept)} are kept. They belong to different runs."
        )
    whole = replace(signal, data=values, valid=None, segments=_stretches(~outlier))
    step = f"censored {int(outlier.sum())} of {len(outlier)} volumes"
    return rec.with_stream("bold", whole, step)


def _stretches(kept: BoolArray) -> IntArray:
    edges = np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


# ---- both ----------------------------------------------------------------------


def _same_run(path: Path, suffix: str, extension: str) -> list[Path]:
    """Files of a suffix beside a run that belong to it, whatever space or description."""
    mine, _ = entities(path.name)
    out = []
    for candidate in sorted(path.parent.glob(f"*_{suffix}{extension}")):
        theirs, _ = entities(candidate.name)
        if all(theirs.get(key) == mine.get(key) for key in _RUN):
            out.append(candidate)
    return out


def _listed(rec: Recording, name: str) -> Recording:
    """With the regions that hold no signal named; an error if none does."""
    axis = rec.regular("bold").axis
    bad = [n for n, b in zip(axis.names, axis.bad, strict=True) if b]
    if len(bad) == len(axis):
        raise DataError(
            f"'{name}': no region changes over time: all {len(bad)} are constant or missing. Are "
            "atlas and data in one space?"
        )
    return rec.with_step(f"regions without a signal: {', '.join(bad)}") if bad else rec


def _with_motion(rec: Recording, tables: Sequence[Path]) -> Recording:
    """With framewise displacement as a stream of its own, if a table has it."""
    for source in tables:
        table = read_table(source)
        if table.has(_FD):
            fd: FloatArray = table.numbers(_FD)
            bold = rec.regular("bold")
            if len(fd) != bold.n_times:
                raise FileError(
                    f"'{source.name}' has {len(fd)} rows for {bold.n_times} volumes. They belong "
                    "to different runs."
                )
            axis = Axis(["framewise displacement"], "motion")
            motion = Regular(fd[None, :], bold.rate, "mm", axis, "physio", t0_s=bold.t0_s)
            return rec.with_stream("motion", motion)
    return rec
