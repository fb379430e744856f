"""Head-direction and hippocampal units of a mouse, asleep and awake.

An extract (spike times, unit table, epochs, head angle and position) is part
of this package; the whole NWB file is read as well if `root` points to it.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError
from neuro.typing import AnyArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["extract", "load"]

_POSITION_M = 1e-4  # positions are kept to a tenth of a millimetre
_FIELDS = {
    "spike_us": (np.int32, 1),
    "spike_unit": (np.int8, 1),
    "unit_location": (np.str_, 1),
    "unit_group": (np.int8, 1),
    "epoch_s": (np.float64, 2),
    "epoch_type": (np.str_, 1),
    "tracking_us": (np.int64, 1),
    "head_angle": (np.float32, 1),
    "position": (np.int16, 2),
}


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """The one recording.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> the extract (``.npz``) or the whole file (``.nwb``).

    Returns
    -------
    list of Recording
        Streams ``spikes`` (15 units), ``head_angle`` (rad, 0 to 2 pi) and
        ``position`` (m; y is up); events ``sleep`` and ``wake``.
    """
    from neuro.data import Axis, Events, Irregular, Recording, Regular

    (path,) = files.values()
    got = extract(path) if path.suffix == ".nwb" else _read(path)
    locations = got["unit_location"]
    units = Axis(
        [f"{where}-{i}" for i, where in enumerate(locations)],
        "unit",
        columns={"location": locations, "group": got["unit_group"]},
    )
    epochs = got["epoch_s"]
    order = np.lexsort((got["spike_unit"], got["spike_us"]))
    spikes = Irregular(
        got["spike_us"][order] * 1e-6,
        got["spike_unit"][order],
        units,
        np.array([[epochs[:, 0].min(), epochs[:, 1].max()]]),
    )
    first, last = (int(t) for t in got["tracking_us"])
    n = len(got["head_angle"])
    rate = Fraction((n - 1) * 1_000_000, last - first)
    angle = Regular(
        got["head_angle"][None, :], rate, "rad", Axis(["ry"], "angle"), "behaviour", first * 1e-6
    )
    position = Regular(
        got["position"].astype(np.float32) * np.float32(_POSITION_M),
        rate,
        "m",
        Axis(["x", "y", "z"], "position"),
        "behaviour",
        first * 1e-6,
    )
    recording = Recording(
        {"spikes": spikes, "head_angle": angle, "position": position},
        Events.make(
            epochs[:, 0],
            got["epoch_type"],
            duration_s=epochs[:, 1] - epochs[:, 0],
        ),
        dataset=card.name,
        subject="A2929",
        session="200711",
        task="sleep_and_exploration",
        provenance=provenance(card, path, "tracking put on an even clock (within 0.1 ms)"),
    )
    return [recording]


def _read(path: Path) -> dict[str, AnyArray]:
    from neuro.io import safe

    got = safe.load_npz(path)
    for name, (kind, ndim) in _FIELDS.items():
        array = got.get(name)
        if array is None or not np.issubdtype(array.dtype, kind) or array.ndim != ndim:
            raise FileError(f"{path.name}: field {name!r} is missing or not of the stated kind.")
    return dict(got)


def extract(path: Path) -> dict[str, AnyArray]:
    """What the embedded file holds, out of the whole NWB file.

    Parameters
    ----------
    path : Path
        ``A2929-200711.nwb`` of pynapple's test data.

    Returns
    -------
    dict of str to ndarray
        Times in whole microseconds (the file's own resolution), positions in
        tenths of a millimetre, the head angle as float32.

    Raises
    ------
    FileError
        If the file is malformed or another one.
    """
    from neuro.io import safe

    try:
        with safe.open_hdf5(path) as file:
            ends = np.asarray(file["units/spike_times_index"]).astype(np.int64)
            spikes = np.asarray(file["units/spike_times"])
            locations = [_text(v) for v in np.asarray(file["units/location"])]
            groups = np.asarray(file["units/group"])
            starts = np.asarray(file["intervals/epochs/start_time"])
            stops = np.asarray(file["intervals/epochs/stop_time"])
            tags = [_text(v) for v in np.asarray(file["intervals/epochs/tags"])]
            angle = np.asarray(file["acquisition/CompassDirection/ry/data"])
            times = np.asarray(file["acquisition/CompassDirection/ry/timestamps"])
            position = [np.asarray(file[f"acquisition/Position/{k}/data"]) for k in "xyz"]
    except KeyError as error:
        raise FileError(f"{path.name}: {error}. Is it the file the card names?") from None
    even = times[0] + np.arange(len(times)) * (times[-1] - times[0]) / (len(times) - 1)
    if np.abs(times - even).max() > 1e-4:
        raise FileError(f"{path.name}: tracking times are not even to 0.1 ms.")
    microseconds = np.round(spikes * 1e6)
    return {
        "spike_us": microseconds.astype(np.int32),
        "spike_unit": np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)).astype(np.int8),
        "unit_location": np.array(locations),
        "unit_group": groups.astype(np.int8),
        "epoch_s": np.stack([starts, stops], axis=1),
        "epoch_type": np.array(tags),
        "tracking_us": np.round(times[[0, -1]] * 1e6).astype(np.int64),
        "head_angle": angle.astype(np.float32),
        "position": np.round(np.stack(position) / _POSITION_M).astype(np.int16),
    }


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
