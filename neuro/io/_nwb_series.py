"""The time series of an NWB file: which become streams, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Regular, exact_rate
from neuro.data.streams import Stream
from neuro.data.units import conversion_factor, unit_name
from neuro.errors import DataError, FileError, UnitError
from neuro.io._files import printable
from neuro.io._nwb_array import NwbArray
from neuro.io._reading import judge
from neuro.io._times import Grid, regular_grid
from neuro.typing import AnyArray, FloatArray, Modality

__all__ = ["series_streams"]

# Containers whose series belong together: (x, y, z), (left eye, right eye), …
_TOGETHER = (
    "Position",
    "CompassDirection",
    "EyeTracking",
    "PupilTracking",
    "BehavioralTimeSeries",
)
_PICTURES = ("ImageSeries", "OnePhotonSeries", "TwoPhotonSeries", "ImageMaskSeries", "IndexSeries")
_LAZY_VALUES = 1 << 20  # smaller data sets are read at once
_WORDS = {
    "radian": "rad",
    "degree": "deg",
    "meter": "m",
    "metre": "m",
    "centimeters": "cm",
    "millimeters": "mm",
    "second": "s",
}
_Points = list[tuple[str, FloatArray, FloatArray]]


@dataclass
class _Piece:
    """One series of the file, laid out for a stream."""

    series: Any
    names: list[str]
    grid: Grid | None
    rate: Any
    t0_s: float
    unit: str
    modality: Modality
    swapped: bool = False


def series_streams(
    file: Any, path: Path, steps: list[str], check: bool
) -> tuple[dict[str, Stream], _Points]:
    """Sampled streams of a file, and the series that are points in time.

    Parameters
    ----------
    file : pynwb.NWBFile
        Open.
    path : Path
        Where it lies.
    steps : list of str
        Gets a line for everything left out or decided.
    check : bool
        Refuse implausible voltages.

    Returns
    -------
    tuple of dict and list
        Streams by name; (name, times, values) of irregular series.
    """
    streams: dict[str, Stream] = {}
    points: _Points = []
    for group, series in _groups(file):
        pieces = []
        for one in series:
            try:
                piece = _piece(one, group, steps)
            except (DataError, FileError, UnitError) as error:
                if check and isinstance(error, FileError):
                    raise
                steps.append(f"series {one.name!r} left out: {error}")
                continue
            if piece is None:
                _as_points(one, points, steps)
            else:
                pieces.append(piece)
        for same in _same_clock(pieces):
            stream = _stream(same, group, path)
            steps += judge(stream, same[0].series.name, check, may_be_empty=True)
            label = group if len(same) == len(series) else same[0].series.name
            streams[_free(label, streams)] = stream
    return streams, points


def _groups(file: Any) -> list[tuple[str, list[Any]]]:
    """Series by the container they belong together in, or alone."""
    groups: dict[str, list[Any]] = {}
    for item in file.objects.values():
        kinds = {c.__name__ for c in type(item).__mro__}
        if "TimeSeries" not in kinds or kinds & set(_PICTURES):
            continue
        if item.data is None or not hasattr(item.data, "shape"):
            continue
        parent = item.parent
        together = type(parent).__name__ in _TOGETHER
        key = parent.name if together else item.name
        if not together and type(parent).__name__ in ("LFP", "FilteredEphys", "Fluorescence"):
            key = parent.name if len(_children(parent)) == 1 else item.name
        if key in groups and not together:
            key = f"{parent.name} {item.name}"
        groups.setdefault(_clean(key), []).append(item)
    # pynwb hands objects out in no order of use
    return [(k, sorted(groups[k], key=lambda s: str(s.name))) for k in sorted(groups)]


def _children(parent: Any) -> list[Any]:
    for field in ("electrical_series", "roi_response_series"):
        found = getattr(parent, field, None)
        if found is not None:
            return list(found)
    return []


def _clean(name: str) -> str:
    return printable(name.replace("/", "_").lstrip("."), 80) or "series"


def _free(name: str, taken: dict[str, Stream]) -> str:
    label, number = name, 2
    while label in taken:
        label, number = f"{name} {number}", number + 1
    return label


def _kind(series: Any) -> tuple[Modality, bool, bool]:
    """Modality; whether it is a voltage; whether rows are regions of interest."""
    kinds = {c.__name__ for c in type(series).__mro__}
    if "ElectricalSeries" in kinds:
        return "lfp", True, False
    if "RoiResponseSeries" in kinds:
        return "calcium", False, True
    return "behaviour", False, False


def _piece(series: Any, group: str, steps: list[str]) -> _Piece | None:
    """How a series becomes rows, or None if its samples are points in time."""
    shape = tuple(int(n) for n in series.data.shape)
    if len(shape) not in (1, 2) or 0 in shape:
        raise DataError(f"shape {shape} is not (time,) or (time, rows)")
    if series.data.dtype.kind not in "fiub":
        raise DataError(f"samples are {series.data.dtype}, not numbers")
    modality, voltage, is_roi = _kind(series)
    swapped = is_roi and _rois_first(series, shape, steps)
    n_times = shape[1] if swapped else shape[0]
    n_rows = 1 if len(shape) == 1 else shape[0 if swapped else 1]
    grid, rate, t0 = None, None, 0.0
    if series.timestamps is not None:
        stamps = np.asarray(series.timestamps[:], dtype=np.float64)
        if len(stamps) != n_times:
            hint = " The axes look swapped." if len(stamps) in shape else ""
            raise FileError(
                f"series {series.name!r} has {n_times} samples but {len(stamps)} time stamps.{hint}"
            )
        grid = regular_grid(stamps)
        if grid is None:
            return None
        if grid.n_times > 10 * n_times + 1000:
            raise DataError("its pauses are ten times longer than its signal")
        rate, t0 = grid.rate, grid.t0_s
        note = f"{group}: time stamps are {float(rate):.6g} Hz within {grid.worst:.2g} samples"
        if note not in steps:
            steps.append(note)
    else:
        if series.rate is None or not series.rate > 0:
            raise DataError("it has neither time stamps nor a rate")
        rate, t0 = exact_rate(float(series.rate)), float(series.starting_time or 0.0)
    return _Piece(
        series,
        _row_names(series, n_rows),
        grid,
        rate,
        t0,
        _unit(series, group, voltage, steps),
        modality,
        swapped,
    )


def _rois_first(series: Any, shape: tuple[int, ...], steps: list[str]) -> bool:
    """Whether the file has the axes the wrong way round: rows must be the table's ROIs."""
    n = len(series.rois.data) if series.rois is not None else 0
    if len(shape) == 1 or not n:
        return False
    if shape[1] == n:
        if shape[0] == n:
            steps.append(f"{series.name}: as many times as ROIs; read as (time, roi)")
        return False
    if shape[0] == n:
        steps.append(f"{series.name}: stored as (roi, time) against the standard; transposed")
        return True
    raise FileError(
        f"series {series.name!r} has shape {shape}, but its table has {n} regions of interest."
    )


def _row_names(series: Any, n_rows: int) -> list[str]:
    electrodes = getattr(series, "electrodes", None)
    rois = getattr(series, "rois", None)
    if electrodes is not None and len(electrodes.data) == n_rows:
        ids = np.asarray(electrodes.table.id[:])[np.asarray(electrodes.data[:], dtype=int)]
        return [f"electrode {i}" for i in ids.tolist()]
    if rois is not None and len(rois.data) == n_rows:
        ids = np.asarray(rois.table.id[:])[np.asarray(rois.data[:], dtype=int)]
        return [f"roi {i}" for i in ids.tolist()]
    if n_rows == 1:
        return [str(series.name)]
    return [f"{series.name} {i}" for i in range(n_rows)]


def _unit(series: Any, group: str, voltage: bool, steps: list[str]) -> str:
    if voltage:
        return "V"
    parent = type(series.parent).__name__
    text = (series.unit or "").strip()
    if parent == "DfOverF":
        return "dF/F"
    if parent == "CompassDirection" and not text:
        values = np.asarray(series.data[: 1 << 16])
        values = values[np.isfinite(values)]
        if len(values) and -np.pi - 1e-6 <= values.min() and values.max() <= 2 * np.pi + 1e-6:
            steps.append(f"{series.name}: no unit; a compass direction within 2 pi taken as rad")
            return "rad"
    try:
        return unit_name(_WORDS.get(text.lower(), text)) if text else "au"
    except UnitError:
        if text not in ("unknown", "none"):
            steps.append(f"{series.name}: unit {printable(text, 40)!r} is not known, kept as au")
        return "au"


def _as_points(series: Any, points: _Points, steps: list[str]) -> None:
    if len(series.data.shape) != 1 or series.timestamps is None:
        steps.append(f"series {series.name!r} left out: its time stamps have no fixed rate")
        return
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    values = np.asarray(series.data[:], dtype=np.float64)
    fine = np.isfinite(times)
    points.append((_clean(series.name), times[fine], values[fine]))
    steps.append(f"{series.name}: time stamps have no fixed rate; samples kept as events")


def _same_clock(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Pieces of one rate, start, gaps and unit together."""
    out: list[list[_Piece]] = []
    for piece in pieces:
        for other in out:
            first = other[0]
            fits = (piece.rate, piece.t0_s, piece.unit) == (first.rate, first.t0_s, first.unit)
            if fits and _n_times(piece) == _n_times(first) and _same_index(piece, first):
                other.append(piece)
                break
        else:
            out.append([piece])
    return out


def _n_times(piece: _Piece) -> int:
    shape = piece.series.data.shape
    if piece.grid is not None:
        return piece.grid.n_times
    return int(shape[1] if piece.swapped else shape[0])


def _same_index(a: _Piece, b: _Piece) -> bool:
    if a.grid is None or b.grid is None:
        return a.grid is b.grid
    return bool(np.array_equal(a.grid.index, b.grid.index))


def _stream(pieces: list[_Piece], group: str, path: Path) -> Regular:
    first = pieces[0]
    kept = "uV" if first.unit == "V" and first.modality == "lfp" else first.unit
    names = [n for p in pieces for n in p.names]
    if len(set(names)) < len(names):
        names = [f"{p.series.name} {n}" for p in pieces for n in p.names]
    columns, positions = _electrode_table(first.series, len(names))
    axis = Axis(
        names,
        {"lfp": "lfp", "calcium": "roi"}.get(first.modality, first.modality),
        columns=columns,
        positions=positions,
        frame=None if positions is None else "nwb",
    )
    if len(pieces) == 1 and _can_stay(first):
        return _lazy(first, axis, kept, path)
    rows = [_values(p, conversion_factor(p.unit, kept)) for p in pieces]
    return Regular(
        np.concatenate(rows),
        first.rate,
        kept,
        axis,
        first.modality,
        t0_s=first.t0_s,
        segments=None if first.grid is None else first.grid.segments,  # type: ignore[arg-type]
    )


def _scales(piece: _Piece, factor: float) -> tuple[FloatArray, FloatArray]:
    """What turns stored numbers into the stream's unit, a row each."""
    series, n = piece.series, len(piece.names)
    scale = np.full(n, float(series.conversion or 1.0) * factor)
    each = getattr(series, "channel_conversion", None)
    if each is not None:
        scale = scale * np.asarray(each[:], dtype=np.float64)
    offset = np.full(n, float(getattr(series, "offset", 0.0) or 0.0) * factor)
    return scale, offset


def _values(piece: _Piece, factor: float) -> FloatArray:
    x = np.asarray(piece.series.data[:], dtype=np.float64)
    x = x[np.newaxis] if x.ndim == 1 else (x if piece.swapped else x.T)
    scale, offset = _scales(piece, factor)
    x = (x * scale[:, None] + offset[:, None]).astype(np.float32)
    if piece.grid is None:
        return x
    out = np.full((len(x), piece.grid.n_times), np.nan, dtype=np.float32)
    out[:, piece.grid.index] = x
    return out


def _can_stay(piece: _Piece) -> bool:
    """Large, time first, without gaps: its samples may stay in the file."""
    data = piece.series.data
    gaps = piece.grid is not None and len(piece.grid.segments) > 1
    plain = hasattr(data, "file") and hasattr(data, "name") and data.dtype.kind in "fi"
    return plain and not gaps and not piece.swapped and int(np.prod(data.shape)) > _LAZY_VALUES


def _lazy(piece: _Piece, axis: Axis, kept: str, path: Path) -> Regular:
    data = piece.series.data
    kind = np.int16 if data.dtype == np.int16 else np.float32
    scale, offset = _scales(piece, conversion_factor(piece.unit, kept))
    array = NwbArray(path, str(data.name), (len(axis), int(data.shape[0])), kind)
    return Regular(
        array,
        piece.rate,
        kept,
        axis,
        piece.modality,
        t0_s=piece.t0_s,
        scale=scale,
        offset=offset if offset.any() else None,
    )


def _electrode_table(series: Any, n_rows: int) -> tuple[dict[str, AnyArray], FloatArray | None]:
    electrodes = getattr(series, "electrodes", None)
    if electrodes is None or len(electrodes.data) != n_rows:
        return {}, None
    table, rows = electrodes.table, np.asarray(electrodes.data[:], dtype=int)
    columns = {}
    for name in ("location", "group_name"):
        if name in table.colnames:
            columns[name] = np.array([str(table[name][int(r)]) for r in rows])
    if not {"x", "y", "z"} <= set(table.colnames):
        return columns, None
    where = np.stack([np.asarray(table[c][:], dtype=np.float64)[rows] for c in "xyz"], axis=1)
    if not np.isfinite(where).any() or not where.any():
        return columns, None
    return columns, np.asarray(where * 1e-6, dtype=np.float32)  # the standard says micrometres
