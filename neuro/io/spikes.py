"""Spikes from arrays and tables of times and unit ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Irregular, Recording
from neuro.errors import ConfigError, DataError, FileError
from neuro.io._bids_names import facts_from_name
from neuro.io._reading import Table, check_facts, finish, provenance, read_table, reading
from neuro.typing import AnyArray, FloatArray, PathLike

__all__ = ["from_spikes", "read_spikes", "spike_columns"]

_TIMES = ("times_s", "time_s", "spike_times", "spike_time", "times", "time", "timestamps")
_UNITS = ("unit_ids", "unit_id", "unit", "units", "ids", "id", "cluster", "clusters", "cluster_id")
_SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def from_spikes(
    times_s: Any,
    unit_ids: Any = None,
    *,
    support: Any = None,
    names: Mapping[Any, str] | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    name: str = "spikes",
    **facts: Any,
) -> Recording:
    """Build a recording from spike times and the unit of each spike.

    Parameters
    ----------
    times_s : array, shape (n,)
        Seconds; spikes of one unit must not decrease, units may be mixed or
        one after the other.
    unit_ids : array, shape (n,), optional
        Number or name of each spike's unit; one unit if omitted.
    support : array, shape (m, 2), optional
        Half-open stretches in seconds in which spikes could be seen. Without
        it, from 0 (or the first spike, if negative) to just past the last.
    names : mapping, optional
        Names of the units; also lists units that never fire.
    columns : mapping, optional
        Further columns of the unit table, one value a unit in sorted order.
    name : str
        Name of the stream.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        If there is no spike, a time is not finite, or a unit's times decrease.

    Examples
    --------
    >>> from_spikes([0.1, 0.3, 0.2], [7, 7, 9], support=[(0, 1)]).streams["spikes"]
    Irregular(spikes, 2 units, 3 events, 1 s)
    """
    check_facts(facts)
    times: FloatArray = np.asarray(times_s, dtype=np.float64).ravel()
    ids: AnyArray = np.zeros(len(times), int) if unit_ids is None else np.asarray(unit_ids).ravel()
    if len(times) != len(ids):
        raise DataError(f"{len(times)} spike times but {len(ids)} unit ids.")
    if ids.dtype.kind == "f":
        if not np.isfinite(ids).all():
            raise DataError("Some unit ids are not numbers. Drop those spikes or name their unit.")
        if (ids == np.rint(ids)).all():
            ids = ids.astype(np.int64)
    if not np.isfinite(times).all():
        raise DataError(f"{int((~np.isfinite(times)).sum())} spike times are not finite.")
    labels = sorted(set(ids.tolist()) | set(names or {}), key=lambda v: (isinstance(v, str), v))
    if not labels or not len(times):
        raise DataError("There is no spike. Check the file, or the column of times.")
    place = {label: i for i, label in enumerate(labels)}
    index = np.array([place[v] for v in ids.tolist()], dtype=np.int64)
    _check_order(times, index, labels)
    order = np.argsort(times, kind="stable")
    if support is None:
        support = [(min(0.0, float(times.min())), float(np.nextafter(times.max(), np.inf)))]
    units = Axis([(names or {}).get(v, f"unit {v}") for v in labels], "unit", columns=columns)
    stream = Irregular(times[order], index[order], units, np.asarray(support, dtype=np.float64))
    return Recording({name: stream}, **facts)


def _check_order(times: FloatArray, index: AnyArray, labels: Sequence[Any]) -> None:
    order = np.argsort(index, kind="stable")
    back = (np.diff(times[order]) < 0) & (np.diff(index[order]) == 0)
    if back.any():
        i = int(np.flatnonzero(back)[0])
        raise DataError(
            f"Spike times of unit {labels[int(index[order][i])]} decrease: {times[order][i]:.6f} s "
            f"is followed by {times[order][i + 1]:.6f} s. Sort them, or check that they are times."
        )


def spike_columns(names: Sequence[str] | None) -> tuple[str, str] | None:
    """Names of the columns of times and of units, if a table has just these kinds."""
    if not names:
        return None
    lower = {n.lower(): n for n in names}
    time = next((lower[t] for t in _TIMES if t in lower), None)
    unit = next((lower[u] for u in _UNITS if u in lower), None)
    return (time, unit) if time is not None and unit is not None else None


def read_spikes(path: PathLike, *, unit: str = "s", check: bool = True, **facts: Any) -> Recording:
    r"""Read a table or ``.npz`` of spike times and unit ids.

    Parameters
    ----------
    path : path-like
        ``.csv``, ``.tsv`` or ``.npz`` with a column of times (``times_s``,
        ``time``, ``spike_times``, …) and one of units (``unit``, ``unit_id``,
        ``cluster``, …). An ``.npz`` may also hold ``support``.
    unit : {"s", "ms", "us"}
        Unit of the times.
    check : bool
        Refuse rates above 1,000 spikes a second, which mean a wrong unit, and
        decreasing times; False sorts them and notes both in the provenance.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording
        Stream ``"spikes"``.

    Raises
    ------
    FileError
        If the columns are missing.
    DataError
        If the times are not usable.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "spikes.csv")
    >>> _ = path.write_text("time_s,unit\n0.10,1\n0.25,2\n0.30,1\n")
    >>> read_spikes(path).streams["spikes"]
    Irregular(spikes, 2 units, 3 events, 0.3 s)
    """
    check_facts(facts)
    path = Path(path)
    if unit not in _SCALE:
        raise ConfigError(f"unit={unit!r}: spike times are in s, ms or us.")
    with reading(path):
        times, ids, support = _columns(path)
        scale = _SCALE[unit]
        if support is not None:
            support = support * scale
        notes = [f"times in {unit}"] if unit != "s" else []
        if not check and len(times) == len(ids):
            times, ids, back = _sorted(times, ids)
            notes += [f"{back} spikes that stood before an earlier one sorted"] if back else []
        recording = from_spikes(times * scale, ids, support=support)
        stream = recording.streams["spikes"]
        if isinstance(stream, Irregular):
            notes += _check_rate(stream, check)
    known = {**facts_from_name(path.name), **facts}
    return finish(recording, provenance([path], "spikes"), notes, known)


def _columns(path: Path) -> tuple[FloatArray, AnyArray, FloatArray | None]:
    if path.suffix.lower() == ".npz":
        from neuro.io import safe

        arrays = safe.load_npz(path)
        found = spike_columns(list(arrays))
        if found is None:
            raise FileError(f"'{path.name}' holds {sorted(arrays)[:10]}; needed: times and units.")
        support = arrays.get("support")
        return (
            np.asarray(arrays[found[0]], dtype=np.float64),
            arrays[found[1]],
            None if support is None else np.asarray(support, dtype=np.float64),
        )
    table: Table = read_table(path)
    found = spike_columns(table.header)
    if found is None:
        raise FileError(f"'{path.name}' has the columns {table.header}; needed: times and units.")
    ids: AnyArray = np.array(table.text(found[1]))
    try:
        ids = np.array([int(v) for v in ids])
    except ValueError:
        ids = np.asarray(ids)
    return table.numbers(found[0]), ids, None


def _sorted(times: FloatArray, ids: AnyArray) -> tuple[FloatArray, AnyArray, int]:
    """Spikes in the order of time, and how many of a unit were followed by an earlier one."""
    by_unit = np.argsort(ids, kind="stable")
    same = ids[by_unit][1:] == ids[by_unit][:-1]
    back = int(((np.diff(times[by_unit]) < 0) & same).sum())
    order = np.argsort(times, kind="stable")
    return times[order], ids[order], back


def _check_rate(stream: Irregular, check: bool) -> list[str]:
    counts = np.bincount(stream.unit_index, minlength=len(stream.units))
    total = float(np.diff(stream.support, axis=1).sum())
    # no neuron keeps 1,000 spikes a second; 20 spikes say enough
    if counts.max() <= 20 or counts.max() / total <= 1000:
        return []
    fact = (
        f"Unit {stream.units.names[int(counts.argmax())]!r} fires {counts.max() / total:.4g} times "
        "a second"
    )
    if check:
        raise DataError(
            f"{fact}. Are the times in another unit? Pass unit='ms' or 'us', or check=False."
        )
    return [f"accepted because of check=False: {fact}"]
