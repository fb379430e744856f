"""NWB files: spikes, signals, behaviour, calcium and intervals, through pynwb."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Events, Irregular, Recording
from neuro.data.streams import Stream
from neuro.errors import DataError, FileError, MissingDependencyError
from neuro.io import safe
from neuro.io._nwb_series import series_streams
from neuro.io._reading import check_facts, finish, provenance, reading
from neuro.typing import AnyArray, FloatArray, PathLike

__all__ = ["read_nwb", "walk"]

_AGE = re.compile(r"^P(\d+(?:\.\d+)?)([YMWD])")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_NOT_A_COLUMN = {"spike_times", "obs_intervals", "electrodes", "waveforms", "waveform_mean"}


def read_nwb(
    path: PathLike,
    *,
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read an NWB file.

    The unit table becomes a stream ``"spikes"`` whose support is the intervals
    of observation, else the epochs, else the span of the spikes. Series become
    sampled streams named as in the file: behaviour of one container and clock
    together (a ``Position`` with x, y and z is one stream of three rows),
    voltages in uV left on disk, calcium one row a region of interest. Time
    stamps become a rate where all lie within half a sample of one; jumps cut
    segments. Epochs, trials and other intervals become events. What cannot be
    used is named in the provenance. Names and dates are not carried over.

    Parameters
    ----------
    path : path-like
        The ``.nwb`` file (HDF5).
    check : bool
        Refuse unsorted spikes and implausible amplitudes.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    FileError
        If the file is malformed or holds nothing usable.
    MissingDependencyError
        If pynwb is not installed.

    Examples
    --------
    >>> from neuro.io import read_nwb
    >>> read_nwb("A2929-200711.nwb").streams["spikes"]  # doctest: +SKIP
    Irregular(spikes, 15 units, 98794 events, 1200 s)
    """
    check_facts(facts)
    path = Path(path)
    _pynwb()
    safe.probe(path, "nwb")
    with reading(path, "is not a readable NWB file") as notes:
        recording = _load(path, check)
    notes = [n for n in notes if "namespace" not in n]
    return finish(recording, provenance([path], "nwb", "pynwb"), notes, facts)


def walk(path: PathLike) -> None:
    """Touch everything in an NWB file that :func:`read_nwb` would; for the probe.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileError
        If something cannot be read.
    """
    safe.walk_hdf5(path)
    with reading(path, "is not a readable NWB file"):
        _load(Path(path), check=False)


def _pynwb() -> Any:
    try:
        import pynwb
    except ImportError as error:
        raise MissingDependencyError(
            "NWB files need pynwb: pip install 'neuro-fm[nwb]'."
        ) from error
    return pynwb


def _load(path: Path, check: bool) -> Recording:
    pynwb = _pynwb()
    with (
        safe.open_hdf5(path) as handle,
        pynwb.NWBHDF5IO(file=handle, mode="r", load_namespaces=True) as opened,
    ):
        file = opened.read()
        steps: list[str] = []
        streams: dict[str, Stream] = {}
        if file.units is not None and len(file.units):
            streams["spikes"] = _spikes(file, check, steps)
        found, point_events = series_streams(file, path, steps, check)
        for name, stream in found.items():
            streams[name if name not in streams else f"{name} series"] = stream
        if not streams:
            raise FileError(
                f"'{path.name}' holds neither spikes nor a series with a fixed rate. "
                + " ".join(steps)
            )
        recording = Recording(streams, _events(file, point_events), **_subject(file.subject))
    for step in steps:
        recording = recording.with_step(step)
    return recording


def _subject(subject: Any) -> dict[str, Any]:
    if subject is None:
        return {}
    out: dict[str, Any] = {}
    if subject.subject_id:
        out["subject"] = str(subject.subject_id)
    if subject.sex:
        out["sex"] = str(subject.sex)
    age = _AGE.match(subject.age or "")
    if age and float(age[1]) * _YEARS[age[2]] <= 120:
        out["age"] = float(age[1]) * _YEARS[age[2]]
    return out


# --------------------------------------------------------------------- spikes


def _spikes(file: Any, check: bool, steps: list[str]) -> Irregular:
    table = file.units
    if "spike_times" not in table.colnames:
        raise FileError("The unit table has no spike times. Get the file with sorted spikes.")
    trains = [np.asarray(table["spike_times"][i], dtype=np.float64) for i in range(len(table))]
    ids = [int(i) for i in table.id[:]]
    for i, train in enumerate(trains):
        if not np.isfinite(train).all():
            raise DataError(f"Unit {ids[i]} has spike times that are not numbers.")
        if (np.diff(train) < 0).any():
            if check:
                at = int(np.flatnonzero(np.diff(train) < 0)[0])
                raise DataError(
                    f"Spike times of unit {ids[i]} decrease: {train[at]:.6f} s is followed by "
                    f"{train[at + 1]:.6f} s. Mend the file, or pass check=False to sort them."
                )
            trains[i] = np.sort(train)
            steps.append(f"spikes of unit {ids[i]} sorted")
    times = np.concatenate(trains)
    index = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    order = np.argsort(times, kind="stable")
    times, index = times[order], index[order]
    support, how = _support(file, times)
    steps.append(f"support of the spikes: {how}")
    inside = _inside(times, support)
    if not inside.all():
        steps.append(f"{int((~inside).sum())} spikes outside the support dropped")
    return Irregular(times[inside], index[inside], _unit_axis(table, ids, steps), support)


def _inside(times: FloatArray, support: FloatArray) -> AnyArray:
    at = np.searchsorted(support[:, 0], times, side="right") - 1
    return np.asarray((at >= 0) & (times < support[np.maximum(at, 0), 1]))


def _support(file: Any, times: FloatArray) -> tuple[FloatArray, str]:
    table = file.units
    if "obs_intervals" in table.colnames:
        each = [_merged(np.asarray(table["obs_intervals"][i])) for i in range(len(table))]
        common = each[0]
        for other in each[1:]:
            common = _intersection(common, other)
        if len(common):
            return _closed(common), "intervals in which every unit was observed"
    if file.epochs is not None and len(file.epochs):
        epochs = _closed(_merged(np.stack([file.epochs["start_time"][:], file.epochs["stop_time"][:]], 1)))  # fmt: skip  # noqa: E501
        if len(epochs) and _inside(times, epochs).all():
            return epochs, "the epochs"
    if not len(times):
        raise DataError("No unit has a spike, and no epochs say how long was recorded.")
    start = min(0.0, float(times[0]))
    return _closed(np.array([[start, float(times[-1])]])), "from 0 to the last spike"


def _closed(support: FloatArray) -> FloatArray:
    """Half-open stretches that still hold a spike at the very end of a closed one."""
    out = support.copy()
    out[:, 1] = np.nextafter(out[:, 1], np.inf)
    out[:-1, 1] = np.minimum(out[:-1, 1], out[1:, 0])
    return out


def _merged(intervals: AnyArray) -> FloatArray:
    """Sorted stretches; those that touch or overlap become one."""
    rows = np.asarray(intervals, dtype=np.float64).reshape(-1, 2)
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 1] > rows[:, 0])]
    out: list[list[float]] = []
    for start, stop in rows[np.argsort(rows[:, 0])].tolist():
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], stop)
        else:
            out.append([start, stop])
    return np.array(out).reshape(-1, 2)


def _intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    rows = [(max(x[0], y[0]), min(x[1], y[1])) for x in a for y in b]
    return np.array([r for r in rows if r[1] > r[0]]).reshape(-1, 2)


def _unit_axis(table: Any, ids: list[int], steps: list[str]) -> Axis:
    columns: dict[str, AnyArray] = {}
    for name in table.colnames:
        if name in _NOT_A_COLUMN:
            continue
        values = _plain_column(table[name][:])
        if values is not None and len(values) == len(ids):
            columns[name] = values
        else:
            steps.append(f"column {name!r} of the unit table left out")
    if "location" not in columns and "electrode_group" in table.colnames:
        columns["location"] = np.array([str(g.location) for g in table["electrode_group"][:]])
    named = columns.get("unit_name")
    unique = named is not None and len(set(named.tolist())) == len(ids) and all(named.tolist())
    names = [str(v) for v in named] if unique and named is not None else [f"unit {i}" for i in ids]
    return Axis(names, "unit", columns=columns)


def _plain_column(values: Any) -> AnyArray | None:
    """A column of numbers or text; groups by their name; None for anything else."""
    rows = list(values)
    if rows and all(hasattr(v, "location") and hasattr(v, "name") for v in rows):
        return np.array([str(v.name) for v in rows])
    if rows and all(isinstance(v, str | bytes) for v in rows):
        return np.array([v.decode() if isinstance(v, bytes) else v for v in rows])
    try:
        array = np.asarray(rows)
    except ValueError:
        return None
    return array if array.ndim == 1 and array.dtype.kind in "fiub" else None


# --------------------------------------------------------------------- events


def _events(file: Any, points: Iterable[tuple[str, FloatArray, FloatArray]]) -> Events:
    onset: list[float] = []
    duration: list[float] = []
    kind: list[str] = []
    value: list[float] = []
    source: list[str] = []
    extra: dict[str, dict[int, Any]] = {}
    tables = {t.name: t for t in (file.intervals or {}).values()}
    for name, table in tables.items():
        starts = np.asarray(table["start_time"][:], dtype=np.float64)
        stops = np.asarray(table["stop_time"][:], dtype=np.float64)
        labels = _interval_labels(name, table)
        for i in np.flatnonzero(np.isfinite(starts)).tolist():
            if name == "trials":
                for column in table.colnames:
                    _keep_cell(extra, column, len(onset), table, i)
            onset.append(float(starts[i]))
            length = stops[i] - starts[i]
            duration.append(float(length) if np.isfinite(length) and length > 0 else 0.0)
            kind.append(labels[i])
            value.append(np.nan)
            source.append(name)
    for series, times, values in points:
        name = series if series not in tables else f"{series} series"
        onset += times.tolist()
        duration += [0.0] * len(times)
        kind += [name] * len(times)
        value += values.tolist()
        source += [name] * len(times)
    if not onset:
        return Events.empty()
    columns: dict[str, Any] = {"table": np.array(source)}
    for column, cells in extra.items():
        text = any(isinstance(c, str) for c in cells.values())
        blank: Any = "" if text else np.nan
        full = [cells.get(row, blank) for row in range(len(onset))]
        columns[column] = np.array([str(c) for c in full] if text else full)
    return Events.make(onset, kind, duration_s=duration, value=value, columns=columns)


def _keep_cell(extra: dict[str, dict[int, Any]], column: str, row: int, table: Any, i: int) -> None:
    if column in ("start_time", "stop_time", "tags", "timeseries", "table"):
        return
    cell = table[column][i]
    if isinstance(cell, str):
        extra.setdefault(column, {})[row] = cell
    elif np.ndim(cell) == 0 and np.asarray(cell).dtype.kind in "fiub":
        extra.setdefault(column, {})[row] = float(cell)


def _interval_labels(name: str, table: Any) -> list[str]:
    """What each interval is called: its tag or label, else the table's name."""
    n = len(table)
    for column in ("tags", "label", "labels", "condition", "state", "trial_type"):
        if column not in table.colnames:
            continue
        cells = [table[column][i] for i in range(n)]
        words = [c if isinstance(c, str) else (list(c) or [""])[0] for c in cells] if n else []
        if all(isinstance(w, str) and w and not w.isdigit() for w in words):
            return [str(w) for w in words]
    return [{"trials": "trial", "epochs": "epoch"}.get(name, name)] * n
