"""Series on the cortical surface: CIFTI, GIFTI, and MGZ with one column of vertices."""

from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Events, Recording, Regular, Static
from neuro.data.rates import exact_rate
from neuro.errors import ConfigError, FileError
from neuro.io._bids_names import beside, entities, facts_from_name
from neuro.io._files import DAMAGED
from neuro.io._gifti import check_gifti
from neuro.io._reading import (
    check_facts,
    events_from_table,
    finish,
    judge,
    provenance,
    reading,
)
from neuro.io._volume import Timing, check_mgh, check_nifti, sidecar, timing
from neuro.io.fmri import constant_rows
from neuro.typing import FloatArray, PathLike

__all__ = ["read_cifti", "read_surface", "walk_cifti"]

_PREFIX = "CIFTI_STRUCTURE_"
_MESHES = (1008, 1009)  # intents POINTSET and TRIANGLE


def read_cifti(
    path: PathLike,
    *,
    tr: float | None = None,
    unit: str = "au",
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read a CIFTI-2 series of grayordinates or parcels.

    Parameters
    ----------
    path : path-like
        ``.dtseries.nii`` or ``.ptseries.nii``.
    tr : float, optional
        Seconds between volumes; overrides sidecar and header.
    unit : str
        Unit of the values.
    check : bool
        Refuse a series without a single number.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording
        Stream ``"bold"``. Grayordinates have columns ``structure`` and
        ``vertex`` (-1 for voxels), and positions where they are voxels.

    Raises
    ------
    FileError
        If the file is malformed or is no series.

    Examples
    --------
    >>> from neuro.io import read_cifti
    >>> read_cifti("rest.dtseries.nii", tr=0.72)  # doctest: +SKIP
    """
    from neuro.io import safe

    check_facts(facts)
    path = Path(path)
    check_nifti(path)
    safe.probe(path, "cifti")  # its XML sends nibabel into loops and arrays of any length
    with reading(path) as notes:
        image, series, axis = _open_cifti(path)
    step = float(series.step) if series.unit == "SECOND" and series.step > 0 else None
    when = timing(path.name, tr=tr, side=sidecar(path), header=step)
    with reading(path):
        x = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T)
    return _finished(x, axis, when, unit, check, [path], notes, {**facts_from_name(path.name), **facts})  # fmt: skip  # noqa: E501


def walk_cifti(path: PathLike) -> None:
    """Build everything that a CIFTI header describes; for the probe.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileError
        If it is malformed or is no series.
    """
    with reading(path):
        _open_cifti(Path(path))


def _open_cifti(path: Path) -> tuple[Any, Any, Axis]:
    """The image, its axis of time, and ours of its rows."""
    import nibabel

    image: Any = nibabel.load(path)
    if not isinstance(image, nibabel.Cifti2Image) or len(image.shape) != 2:
        raise FileError(f"'{path.name}' is a {type(image).__name__}, not a CIFTI series.")
    series, rows = (image.header.get_axis(i) for i in (0, 1))
    if not isinstance(series, nibabel.cifti2.SeriesAxis):
        raise FileError(
            f"'{path.name}' holds {type(series).__name__} and no time. Only .dtseries.nii and "
            ".ptseries.nii are series."
        )
    return image, series, _cifti_axis(rows, path)


def _cifti_axis(rows: Any, path: Path) -> Axis:
    import nibabel

    if isinstance(rows, nibabel.cifti2.ParcelsAxis):
        return Axis([str(n) for n in rows.name], "roi")
    if not isinstance(rows, nibabel.cifti2.BrainModelAxis):
        raise FileError(f"'{path.name}' has rows of {type(rows).__name__}; not known here.")
    structure = [str(n).removeprefix(_PREFIX).lower() for n in rows.name]
    surface = np.asarray(rows.surface_mask)
    vertex = np.where(surface, np.asarray(rows.vertex), -1)
    voxel = np.asarray(rows.voxel)
    names = [
        f"{s} {v}" if v >= 0 else f"{s} {i},{j},{k}"
        for s, v, (i, j, k) in zip(structure, vertex.tolist(), voxel.tolist(), strict=True)
    ]
    positions = None
    if not surface.all() and rows.affine is not None:
        positions = np.full((len(names), 3), np.nan)
        affine = np.asarray(rows.affine)
        positions[~surface] = (voxel[~surface] @ affine[:3, :3].T + affine[:3, 3]) / 1000.0
    return Axis(
        names,
        "grayordinate",
        positions=positions,
        frame=None if positions is None else entities(path.name)[0].get("space", "MNI152"),
        columns={"structure": np.array(structure), "vertex": vertex},
    )


def _finished(
    x: FloatArray,
    axis: Axis,
    when: Timing,
    unit: str,
    check: bool,
    used: list[Path],
    notes: list[str],
    facts: dict[str, Any],
) -> Recording:
    path = used[0]
    with reading(path):
        bad = constant_rows(x)
        stream = Regular(
            x, 1 / exact_rate(when.tr), unit, axis.replace(bad=bad), "bold", t0_s=when.t0_s
        )
        accepted = judge(stream, "bold", check)
    if bad.any():
        notes = [*notes, f"{int(bad.sum())} rows never change and are marked bad"]
    found = beside(path, "events", ".tsv")
    events = events_from_table(found) if found is not None else Events.empty()
    origin = provenance(used, "surface", "nibabel")
    return finish(
        Recording({"bold": stream}, events), origin, [*when.steps, *notes, *accepted], facts
    )


def read_surface(
    path: PathLike,
    right: PathLike | None = None,
    *,
    tr: float | None = None,
    unit: str = "au",
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read a series on the vertices of one or both hemispheres.

    Vertices that never change (the medial wall) are marked bad, not dropped.

    Parameters
    ----------
    path : path-like
        ``.func.gii``, ``.gii``, ``.mgz`` or ``.mgh``; the left hemisphere if
        `right` is given.
    right : path-like, optional
        The right hemisphere.
    tr : float, optional
        Seconds between volumes; overrides sidecar and header.
    unit : str
        Unit of the values.
    check : bool
        Refuse a series without a single number.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording
        Stream ``"bold"`` with columns ``hemisphere`` and ``vertex``. An MGZ
        volume without time gives a static ``"volume"``.

    Raises
    ------
    FileError
        If a file is malformed, a mesh, or the hemispheres do not fit.

    Examples
    --------
    >>> from neuro.io import read_surface
    >>> read_surface("lh.rest.mgz", "rh.rest.mgz", tr=1.4)  # doctest: +SKIP
    """
    check_facts(facts)
    used = [Path(p) for p in (path, right) if p is not None]
    known = {**facts_from_name(used[0].name), **facts}
    parts, hemispheres, notes = [], [], []
    header: float | None = None
    for one in used:
        with reading(one) as more:
            x, hemisphere, header = _vertices(one)
        if isinstance(x, Static):
            if tr is not None or right is not None:
                raise ConfigError(f"'{one.name}' is a single volume: tr= and right= do not apply.")
            return finish(
                Recording({"volume": x}), provenance([one], "surface", "nibabel"), more, known
            )
        parts.append(x)
        hemispheres.append(hemisphere)
        notes += more
    if len(parts) == 2:
        if parts[0].shape[1] != parts[1].shape[1]:
            raise FileError(
                f"'{used[0].name}' has {parts[0].shape[1]} volumes, '{used[1].name}' "
                f"{parts[1].shape[1]}. They are of different runs."
            )
        hemispheres = ["left", "right"]
    sides = np.repeat(hemispheres, [len(p) for p in parts])
    vertex = np.concatenate([np.arange(len(p)) for p in parts])
    axis = Axis(
        [f"{s or 'vertex'} {v}" for s, v in zip(sides.tolist(), vertex.tolist(), strict=True)],
        "vertex",
        frame=entities(used[0].name)[0].get("space"),
        columns={"hemisphere": sides, "vertex": vertex},
    )
    when = timing(used[0].name, tr=tr, side=sidecar(used[0]), header=header)
    return _finished(np.concatenate(parts), axis, when, unit, check, used, notes, known)


def _vertices(path: Path) -> tuple[Any, str, float | None]:
    """(vertex, time) samples, hemisphere if known, header's TR in seconds."""
    if path.name.lower().endswith((".mgz", ".mgh")):
        return _from_mgh(path)
    return _from_gifti(path)


def _hemisphere(path: Path, word: str = "") -> str:
    code = entities(path.name)[0].get("hemi", "")
    text = f" {word} {path.name} ".lower()
    if code in ("L", "R"):
        return "left" if code == "L" else "right"
    for side, marks in (("left", ("cortexleft", "lh.", ".l.")), ("right", ("cortexright", "rh.", ".r."))):  # fmt: skip  # noqa: E501
        if any(m in text for m in marks):
            return side
    return ""


def _from_mgh(path: Path) -> tuple[Any, str, float | None]:
    import nibabel

    check_mgh(path)
    image: Any = nibabel.load(path)
    shape = image.shape
    if len(shape) == 4 and shape[1] == shape[2] == 1:
        x = np.asarray(image.dataobj, dtype=np.float32)[:, 0, 0, :]
        milliseconds = float(image.header["tr"])
        return x, _hemisphere(path), milliseconds / 1000 if milliseconds > 0 else None
    if len(shape) == 3:
        x = np.asarray(image.dataobj, dtype=np.float32)
        return Static(x, ("x", "y", "z"), affine=image.affine, frame="mri_ras"), "", None
    raise FileError(
        f"'{path.name}' is a volume series {shape}. Convert it to NIfTI with mri_convert."
    )


def _from_gifti(path: Path) -> tuple[FloatArray, str, float | None]:
    import nibabel

    check_gifti(path)
    image: Any = nibabel.load(path)
    if any(d.intent in _MESHES for d in image.darrays):
        raise FileError(f"'{path.name}' is a surface mesh, not a series: read its .func.gii.")
    columns = [np.asarray(d.data, dtype=np.float32) for d in image.darrays]
    if not columns or len({c.shape[0] for c in columns}) != 1:
        raise FileError(f"'{path.name}' holds no arrays of one length. {DAMAGED}")
    x = np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1)
    word = str(dict(image.meta).get("AnatomicalStructurePrimary", ""))
    return x, _hemisphere(path, word), None
