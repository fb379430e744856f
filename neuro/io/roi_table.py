"""Region time series in tables: csv, tsv, npy, npz."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuro.data import Axis, Recording, Regular
from neuro.data.rates import exact_rate
from neuro.errors import ConfigError, DataError, FileError, did_you_mean
from neuro.io._bids_names import facts_from_name
from neuro.io._reading import (
    check_facts,
    finish,
    judge,
    provenance,
    read_table,
    reading,
)
from neuro.io._volume import sidecar, timing
from neuro.io.fmri import Labels, constant_rows, label_table
from neuro.typing import AnyArray, FloatArray, PathLike

__all__ = ["read_roi_table"]

_VALUES = ("data", "bold", "x", "timeseries", "time_series", "values")
_NAMES = ("names", "labels", "roi", "rois", "regions", "roi_names", "ch_names")
_TR = ("tr", "TR", "repetition_time")


@dataclass
class _Found:
    """A 2-d array, and names of its columns or rows where the file has them."""

    values: FloatArray
    columns: list[str] | None = None
    rows: list[str] | None = None
    tr: float | None = None


def read_roi_table(
    path: PathLike,
    *,
    tr: float | None = None,
    unit: str = "au",
    labels: Labels | None = None,
    time_axis: Literal[0, 1] | None = None,
    atlas: str | None = None,
    key: str | None = None,
    check: bool = True,
    **facts: Any,
) -> Recording:
    r"""Read region time series from a table or a numpy file.

    Which way time runs is decided by names: a header names regions in
    columns, a first column of text names regions in rows, `labels` fit one
    side. Without names, rows are volumes, as fMRI tools write. A result with
    fewer volumes than regions is refused unless `time_axis` says it is meant.

    Parameters
    ----------
    path : path-like
        ``.csv``, ``.tsv``, ``.txt``, ``.npy`` or ``.npz``.
    tr : float, optional
        Seconds between volumes; else from a sidecar (``.json`` of the same
        name) or an entry ``tr`` in the ``.npz``.
    unit : str
        Unit of the values: ``"au"``, ``"percent"``, ``"z"``.
    labels : path-like, mapping or sequence, optional
        Names of the regions.
    time_axis : {0, 1}, optional
        Axis of the file's array along which time runs.
    atlas : str, optional
        Name of the atlas the regions are of.
    key : str, optional
        Which array of an ``.npz``.
    check : bool
        Refuse a table without a single number.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording
        Stream ``"bold"``, one row a region; constant rows are bad.

    Raises
    ------
    FileError
        If the table is malformed or the repetition time is not known.
    DataError
        If the direction of time is ambiguous.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "roi.csv")
    >>> _ = path.write_text("A,B\n1,5\n2,4\n4,6\n")
    >>> read_roi_table(path, tr=2.0).streams["bold"]
    Regular(bold, 2 x 3, 0.5 Hz, au, 6 s)
    """
    check_facts(facts)
    path = Path(path)
    if time_axis not in (None, 0, 1):
        raise ConfigError(f"time_axis={time_axis!r}: 0 if rows are volumes, 1 if columns are.")
    with reading(path):
        found = _load(path, key)
        x, names = _oriented(found, _names_of(labels), time_axis)
    side = sidecar(path)
    if "RepetitionTime" not in side and "SamplingFrequency" in side and tr is None:
        side = {**side, "RepetitionTime": float(1 / exact_rate(side["SamplingFrequency"]))}
    if found.tr is not None:
        side = {"RepetitionTime": found.tr, **side}
    when = timing(path.name, tr=tr, side=side, header=None)
    with reading(path):
        axis = Axis(names, "roi", atlas=atlas, bad=constant_rows(x))
        stream = Regular(x, 1 / exact_rate(when.tr), unit, axis, "bold", t0_s=when.t0_s)
        accepted = judge(stream, "bold", check)
    known = {**facts_from_name(path.name), **facts}
    if key is not None and "id" not in known and not known:
        known["id"] = f"{path.stem}_{key}"
    notes = [*when.steps, *([f"array {key!r} of the file"] if key else []), *accepted]
    return finish(Recording({"bold": stream}), provenance([path], "roi_table"), notes, known)


def _names_of(labels: Labels | None) -> list[str] | None:
    if labels is None:
        return None
    table = label_table(labels)
    if isinstance(table, dict):
        return [table[n] for n in sorted(table) if n != 0]
    return table


# ------------------------------------------------------------------ the file


def _load(path: Path, key: str | None) -> _Found:
    suffix = path.suffix.lower()
    if suffix != ".npz" and key is not None:
        raise ConfigError(f"key= chooses an array of an .npz; '{path.name}' holds one.")
    if suffix == ".npy":
        from neuro.io import safe

        return _Found(_two_d(safe.load_npy(path), path.name))
    if suffix == ".npz":
        return _from_npz(path, key)
    return _from_text(path)


def _two_d(array: AnyArray, name: str) -> FloatArray:
    if array.ndim != 2 or array.dtype.kind not in "fiub" or 0 in array.shape:
        raise FileError(
            f"'{name}' holds {array.dtype} of shape {array.shape}; a table of regions and volumes "
            "is needed: two dimensions, numbers, not empty."
        )
    return np.asarray(array, dtype=np.float32)


def _from_npz(path: Path, key: str | None) -> _Found:
    from neuro.io import safe

    arrays = safe.load_npz(path)
    tables = [k for k, v in arrays.items() if v.ndim == 2 and v.dtype.kind in "fiub"]
    if key is None:
        preferred = [k for k in _VALUES if k in tables]
        if not preferred and len(tables) != 1:
            raise FileError(
                f"'{path.name}' holds {len(tables)} tables: {', '.join(tables[:8])}"
                f"{', …' if len(tables) > 8 else ''}. Choose one: key='...'."
            )
        key = (preferred or tables)[0]
    if key not in arrays:
        raise FileError(f"'{path.name}' has no array {key!r}. {did_you_mean(key, arrays)}")
    values = _two_d(arrays[key], f"{path.name}[{key}]")
    names = next((arrays[k] for k in _NAMES if k in arrays and arrays[k].dtype.kind == "U"), None)
    tr = next((float(arrays[k]) for k in _TR if k in arrays and arrays[k].size == 1), None)
    found = _Found(values, tr=tr)
    if names is not None:
        texts = [str(n) for n in names.ravel()]
        if len(texts) == values.shape[1]:
            found.columns = texts
        elif len(texts) == values.shape[0]:
            found.rows = texts
        else:
            raise FileError(f"'{path.name}': {len(texts)} names for a table {values.shape}.")
    return found


def _from_text(path: Path) -> _Found:
    table = read_table(path)
    rows, header = table.rows, table.header
    named = [not _number(row[0]) for row in rows]
    if all(named) and len(rows[0]) > 1:
        cells = [row[1:] for row in rows]
        inner = type(table)(table.name, None, cells)
        # a header over named rows numbers the volumes
        return _Found(inner.array().astype(np.float32), rows=[row[0] for row in rows])
    if any(named):
        at = named.index(True)
        raise FileError(
            f"'{path.name}', row {at + 1}: {rows[at][0][:40]!r} is not a number, other rows begin "
            "with one."
        )
    values = table.array().astype(np.float32)
    if header is not None and header[0].lower() in ("", "time", "index", "volume", "t", "frame"):
        header, values = header[1:], values[:, 1:]  # a counter of volumes is no region
    return _Found(values, columns=header)


def _number(cell: str) -> bool:
    try:
        float(cell if cell.lower() not in ("n/a", "") else "nan")
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- orientation


def _oriented(
    found: _Found, labels: list[str] | None, time_axis: int | None
) -> tuple[FloatArray, list[str]]:
    """Samples (region, time) and the regions' names."""
    shape = found.values.shape
    side = _region_side(found, labels, shape)
    if time_axis is not None and side is not None and side == time_axis:
        raise DataError(
            f"time_axis={time_axis}, but the names stand along that axis of the table {shape}."
        )
    time = time_axis if time_axis is not None else (1 - side if side is not None else 0)
    x = found.values if time == 1 else found.values.T
    if x.shape[1] < x.shape[0] and time_axis is None:
        raise DataError(
            f"The table {shape} gives {x.shape[0]} regions and only {x.shape[1]} volumes. If time "
            f"runs along the other axis pass time_axis={1 - time}; if this is meant, "
            f"time_axis={time}."
        )
    names: Sequence[str] | None = labels or (found.columns if time == 0 else found.rows)
    if names is not None and len(names) != len(x):
        raise DataError(f"{len(names)} names for {len(x)} regions of the table {shape}.")
    chosen = list(names) if names is not None else [f"roi {i + 1}" for i in range(len(x))]
    return np.ascontiguousarray(x), chosen


def _region_side(found: _Found, labels: list[str] | None, shape: tuple[int, ...]) -> int | None:
    """Axis of the file's array along which regions stand, where names tell."""
    if found.columns is not None:
        return 1
    if found.rows is not None:
        return 0
    if labels is not None:
        fits = [axis for axis in (0, 1) if shape[axis] == len(labels)]
        if not fits:
            raise DataError(f"{len(labels)} labels fit neither side of the table {shape}.")
        if len(fits) == 1:
            return fits[0]
    return None
