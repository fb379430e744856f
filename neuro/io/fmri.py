"""NIfTI volumes: masked voxels, atlas regions, or a structural image.

Region means are computed here, not by a nilearn masker, because the masker
replaces NaN by zero before it averages; a test compares the two. nilearn does
the masking of the brain and, only where grids differ, the resampling.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Events, Grid, Recording, Regular, Static
from neuro.data.rates import exact_rate
from neuro.errors import ConfigError, DataError, FileError
from neuro.io._bids_names import beside, entities, facts_from_name, split_name
from neuro.io._files import reason
from neuro.io._reading import (
    check_facts,
    events_from_table,
    finish,
    judge,
    provenance,
    read_table,
    reading,
)
from neuro.io._volume import Timing, check_nifti, header_tr, sidecar, timing
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, PathLike

__all__ = ["Labels", "constant_rows", "label_table", "read_nifti", "region_numbers"]

Labels = PathLike | Mapping[int, str] | Sequence[str]
_FRAMES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI152"}
_BLOCK_BYTES = 64 << 20


def read_nifti(
    path: PathLike,
    *,
    tr: float | None = None,
    mask: PathLike | None = None,
    atlas: PathLike | None = None,
    labels: Labels | None = None,
    confounds: str | None = None,
    unit: str = "au",
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read a NIfTI file: a series as voxels or regions, a single volume as it is.

    A 4-D file gives a stream ``"bold"``: with an atlas one row a region (mean
    over the region's voxels that hold numbers), else one row a voxel of the
    mask. A 3-D file gives a static ``"volume"``. Rows that never change are
    marked bad; regions without a voxel are missing and bad. Sample i stands
    for ``t0_s + i * tr``, with the slice reference in ``t0_s``.

    Parameters
    ----------
    path : path-like
        ``.nii`` or ``.nii.gz``.
    tr : float, optional
        Seconds between volumes; overrides sidecar and header.
    mask : path-like or {"auto", "all"}, optional
        Image that is above 0 in the brain; ``"auto"`` (the default without an
        atlas) lets nilearn find the brain, ``"all"`` takes every voxel.
    atlas : path-like, optional
        Image whose voxels hold region numbers, 0 outside. If its grid is not
        the data's it is resampled to it (nearest neighbour), which the
        provenance says.
    labels : path-like, mapping or sequence, optional
        Names of the regions: a table with columns ``index`` and ``name``, a
        text file with one name a line in the order of the numbers, or the same
        in memory.
    confounds : {"minimal", "simple", "scrubbing", "compcor", "ica_aroma"}, optional
        For fMRIPrep outputs: regress the preset's confounds out; see
        :func:`neuro.io.read_fmriprep`.
    unit : str
        Unit of the values.
    check : bool
        Refuse a series without a single number.
    **facts
        Fields of :class:`Recording`; those in a BIDS file name are known.

    Returns
    -------
    Recording

    Raises
    ------
    FileError
        If the file or its header is malformed, or repetition times disagree.
    DataError
        If mask or atlas do not fit.

    Examples
    --------
    >>> from neuro.io import read_nifti
    >>> read_nifti("sub-01_bold.nii.gz", atlas="schaefer100.nii.gz", tr=0.8)  # doctest: +SKIP
    """
    check_facts(facts)
    path = Path(path)
    check_nifti(path)
    known = {**facts_from_name(path.name), **facts}
    with reading(path) as notes:
        image = _open(path)
        is_series = len(image.shape) == 4 and image.shape[3] > 1
    if not is_series:
        _refuse_for_volume(path, tr=tr, mask=mask, atlas=atlas, confounds=confounds)
        with reading(path):
            recording = Recording({"volume": _static(image, path, unit)})
        return finish(recording, provenance([path], "fmri", "nibabel"), notes, known)
    side = sidecar(path)
    header = header_tr(image.header["pixdim"][4], int(image.header["xyzt_units"]))
    when = timing(path.name, tr=tr, side=side, header=header)
    used = [path]
    with reading(path) as more:
        if atlas is not None:
            if mask not in (None, "all"):
                raise ConfigError("Give either atlas= or mask=, not both: regions are not masked.")
            used.append(Path(atlas))
            stream, steps = _regions(image, path, Path(atlas), labels, when, unit)
        else:
            if labels is not None:
                raise ConfigError("labels= names the regions of an atlas: give atlas= too.")
            stream, steps = _voxels(image, path, mask, when, unit)
            used += [Path(mask)] if mask not in (None, "auto", "all") else []
        if confounds is not None:
            from neuro.io._confounds import regress_out

            stream, more_steps = regress_out(stream, path, confounds)
            steps += more_steps
        steps += judge(stream, "bold", check)
    recording = Recording({"bold": stream}, _events(path))
    origin = provenance(used, "fmri", "nibabel")
    return finish(recording, origin, [*when.steps, *steps, *notes, *more], known)


def _open(path: Path) -> Any:
    import nibabel

    image: Any = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):  # Nifti2Image is one
        raise FileError(f"'{path.name}' is a {type(image).__name__}, not a NIfTI volume.")
    if len(image.shape) == 4 and image.shape[3] == 1:
        image = image.slicer[..., 0]
    if len(image.shape) not in (3, 4):
        raise FileError(
            f"'{path.name}' has {len(image.shape)} dimensions {image.shape}; volumes have 3 and "
            "series 4. Split it."
        )
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise FileError(f"'{path.name}' has no usable affine. Its geometry is lost: get it again.")
    return image


def _refuse_for_volume(path: Path, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"'{path.name}' is a single volume, so {name}= does not apply. Leave it out."
            )


def _static(image: Any, path: Path, unit: str) -> Static:
    return Static(
        np.asarray(image.dataobj, dtype=np.float32),
        ("x", "y", "z"),
        unit,
        affine=image.affine,
        frame=_frame(image, path),
    )


def _frame(image: Any, path: Path) -> str:
    space = entities(path.name)[0].get("space")
    if space:
        return space
    code = int(image.header["sform_code"]) or int(image.header["qform_code"])
    return _FRAMES.get(code, "mri_ras")


def _events(path: Path) -> Events:
    found = beside(path, "events", ".tsv")
    return events_from_table(found) if found is not None else Events.empty()


def _blocks(image: Any, path: Path) -> Any:
    """(first volume, float32 block (voxels…, volumes)); a .gz is unpacked once."""
    n = image.shape[3]
    if path.name.lower().endswith(".gz"):
        yield 0, np.asarray(image.dataobj, dtype=np.float32)
        return
    width = max(1, _BLOCK_BYTES // (4 * int(np.prod(image.shape[:3]))))
    for start in range(0, n, width):
        stop = min(start + width, n)
        yield start, np.asarray(image.dataobj[..., start:stop], dtype=np.float32)


# --------------------------------------------------------------------- voxels


def _voxels(
    image: Any, path: Path, mask: PathLike | None, when: Timing, unit: str
) -> tuple[Regular, list[str]]:
    inside, step = _mask(image, path, mask)
    ijk = np.argwhere(inside)
    x = np.empty((len(ijk), image.shape[3]), dtype=np.float32)
    for start, block in _blocks(image, path):
        x[:, start : start + block.shape[3]] = block[inside]
    columns = {}
    if len(when.slice_times) == image.shape[2]:
        columns["slice_time_s"] = np.asarray(when.slice_times)[ijk[:, 2]]
    axis = Axis(
        [f"{i},{j},{k}" for i, j, k in ijk.tolist()],
        "voxel",
        positions=_positions(ijk, image.affine),
        frame=_frame(image, path),
        grid=Grid(image.affine, image.shape[:3], ijk),
        bad=constant_rows(x),
        columns=columns,
    )
    return Regular(x, 1 / exact_rate(when.tr), unit, axis, "bold", t0_s=when.t0_s), [step]


def _mask(image: Any, path: Path, mask: PathLike | None) -> tuple[BoolArray, str]:
    if mask == "all":
        return np.ones(image.shape[:3], bool), "all voxels"
    if mask is None or mask == "auto":
        from nilearn.masking import compute_epi_mask

        try:
            inside = np.asarray(compute_epi_mask(image).dataobj) > 0
        except Exception as error:
            raise DataError(
                f"No brain was found ({reason(error, path)}). Give mask=FILE, or mask='all' for "
                "every voxel."
            ) from error
        how = "mask found by nilearn.masking.compute_epi_mask"
    else:
        where = Path(mask)
        check_nifti(where)
        with reading(where):
            other = _open(where)
        if other.shape != image.shape[:3] or not np.allclose(other.affine, image.affine, atol=1e-3):
            raise DataError(
                f"Mask '{where.name}' has grid {other.shape}, the data {image.shape[:3]}, or their "
                "affines differ. Resample it (nilearn.image.resample_to_img, nearest)."
            )
        inside = np.asarray(other.dataobj) > 0
        how = f"mask {where.name}"
    if not inside.any():
        raise DataError("The mask holds no voxel. Give mask=FILE, or mask='all' for every voxel.")
    return inside, how


def _positions(ijk: AnyArray, affine: FloatArray) -> FloatArray:
    return np.asarray((ijk @ affine[:3, :3].T + affine[:3, 3]) / 1000.0)  # mm to m


def constant_rows(x: FloatArray) -> BoolArray:
    """Rows that never change, or hold no number."""
    seen = np.isfinite(x)
    low = np.where(seen, x, np.inf).min(axis=1)
    high = np.where(seen, x, -np.inf).max(axis=1)
    return np.asarray(high <= low)


# -------------------------------------------------------------------- regions


def _regions(
    image: Any, path: Path, atlas: Path, labels: Labels | None, when: Timing, unit: str
) -> tuple[Regular, list[str]]:
    check_nifti(atlas)
    with reading(atlas):
        parcels, numbers, steps = _parcels(image, atlas)
        names, numbers = _region_names(numbers, labels)
    means = _means(image, path, parcels, numbers)
    where = np.full((len(numbers), 3), np.nan)
    for row, number in enumerate(numbers):
        voxels = np.argwhere(parcels == number)
        if len(voxels):
            where[row] = voxels.mean(axis=0)
    absent = np.isnan(where).any(axis=1)
    if absent.all():
        raise DataError(f"No region of '{atlas.name}' lies inside the data. Are both in one space?")
    if absent.any():
        lost = ", ".join(n for n, gone in zip(names, absent, strict=True) if gone)
        steps.append(f"regions without a voxel: {lost}")
    axis = Axis(
        names,
        "roi",
        positions=_positions(where, image.affine),
        frame=_frame(image, path),
        atlas=split_name(atlas.name)[0],
        labels=numbers,
        bad=constant_rows(means),
    )
    return Regular(means, 1 / exact_rate(when.tr), unit, axis, "bold", t0_s=when.t0_s), steps


def _parcels(image: Any, atlas: Path) -> tuple[IntArray, IntArray, list[str]]:
    """Region numbers on the data's grid, and all numbers the atlas has."""
    source = _open(atlas)
    values = np.asarray(source.dataobj)
    numbers = _numbers(values, atlas.name)
    steps = [f"mean of each region of {atlas.name}"]
    same = source.shape == image.shape[:3] and np.allclose(source.affine, image.affine, atol=1e-3)
    if not same:
        from nilearn.image import resample_to_img

        source = resample_to_img(
            source, image.slicer[..., 0], interpolation="nearest", force_resample=True,
            copy_header=True,
        )  # fmt: skip
        values = np.asarray(source.dataobj)
        steps.append("atlas resampled to the grid of the data (nearest neighbour)")
    return np.nan_to_num(values).astype(np.int64), numbers, steps


def region_numbers(atlas: Path) -> IntArray:
    """Region numbers of an atlas image, sorted, without 0."""
    with reading(atlas):
        return _numbers(np.asarray(_open(atlas).dataobj), atlas.name)


def _numbers(values: AnyArray, name: str) -> IntArray:
    if values.ndim != 3:
        raise FileError(
            f"Atlas '{name}' is 4-D: a map a region, not region numbers. Turn it into "
            "labels, or use nilearn's NiftiMapsMasker and read the table."
        )
    numbers = np.unique(values[np.isfinite(values)])
    numbers = numbers[numbers != 0]
    if not len(numbers) or (numbers != np.rint(numbers)).any() or numbers.min() < 0:
        raise FileError(f"Atlas '{name}' must hold whole region numbers, 0 outside.")
    if len(numbers) > 100_000:
        raise FileError(f"Atlas '{name}' holds {len(numbers)} numbers: is it an image?")
    return np.asarray(numbers, dtype=np.int64)


def _means(image: Any, path: Path, parcels: IntArray, numbers: IntArray) -> FloatArray:
    from scipy.sparse import csr_array

    inside = np.isin(parcels, numbers)
    rows = np.searchsorted(numbers, parcels[inside])
    n = int(inside.sum())
    member = csr_array((np.ones(n), (rows, np.arange(n))), shape=(len(numbers), n))
    out = np.empty((len(numbers), image.shape[3]), dtype=np.float32)
    for start, block in _blocks(image, path):
        x = block[inside].astype(np.float64)
        seen = np.isfinite(x)
        total = member @ np.where(seen, x, 0.0)
        count = member @ seen.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, start : start + block.shape[3]] = total / count
    return out


def _region_names(numbers: IntArray, labels: Labels | None) -> tuple[list[str], IntArray]:
    """Names of the regions, and their numbers in increasing order."""
    if labels is None:
        return [f"roi {n}" for n in numbers.tolist()], numbers
    table = label_table(labels)
    if isinstance(table, dict):
        table.pop(0, None)
        unknown = [n for n in numbers.tolist() if n not in table]
        if unknown:
            raise DataError(f"The label table does not name regions {unknown[:10]}.")
        wanted = np.array(sorted(table), dtype=np.int64)
        return [table[n] for n in wanted.tolist()], wanted
    if len(table) == len(numbers) + 1 and table[0].lower() in ("background", "unknown", "0"):
        table = table[1:]
    if len(table) != len(numbers):
        raise DataError(f"{len(table)} region names for an atlas of {len(numbers)} regions.")
    return table, numbers


def label_table(labels: Labels) -> dict[int, str] | list[str]:
    """Region names out of a table, a text file, a mapping or a sequence."""
    if isinstance(labels, Mapping):
        return {int(k): str(v) for k, v in labels.items()}
    if not isinstance(labels, str) and isinstance(labels, Sequence):
        return [str(v) for v in labels]
    path = Path(labels)
    if path.suffix.lower() in (".txt", ""):
        from neuro.io._files import read_text

        return [line.strip() for line in read_text(path, 1 << 20).splitlines() if line.strip()]
    table = read_table(path, max_bytes=16 << 20)
    number = next((c for c in ("index", "label", "id", "value") if table.has(c)), None)
    name = next((c for c in ("name", "region", "roi", "label") if table.has(c)), None)
    if number is None or name is None or number == name:
        raise FileError(
            f"'{path.name}' needs the columns 'index' and 'name'; it has {table.header}."
        )
    return dict(zip(table.numbers(number).astype(int).tolist(), table.text(name), strict=True))
