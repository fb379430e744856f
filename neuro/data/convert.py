"""To and from the objects of MNE, pynapple, xarray and nibabel."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data.axis import Axis
from neuro.data.channels import canonical_eeg_name, eeg_positions, standard_montage
from neuro.data.events import Events
from neuro.data.plausible import check_plausible
from neuro.data.recording import Recording
from neuro.data.streams import Irregular, Regular, Stream
from neuro.data.units import conversion_factor, unit_name
from neuro.errors import DataError, UnitError
from neuro.typing import FloatArray, LazyArray, Modality

if TYPE_CHECKING:
    import mne
    import nibabel
    import pynapple
    import xarray

__all__ = ["from_mne", "from_pynapple", "to_mne", "to_nifti", "to_pynapple", "to_xarray"]

# MNE channel type -> (stream name, modality, unit MNE keeps it in, unit we keep it in)
_MNE: dict[str, tuple[str, Modality, str, str]] = {
    "eeg": ("eeg", "eeg", "V", "uV"),
    "mag": ("meg_mag", "meg", "T", "fT"),
    "grad": ("meg_grad", "meg", "T/m", "fT/cm"),
    "seeg": ("ieeg", "ieeg", "V", "uV"),
    "ecog": ("ieeg", "ieeg", "V", "uV"),
    "dbs": ("ieeg", "ieeg", "V", "uV"),
    "eog": ("eog", "physio", "V", "uV"),
    "ecg": ("ecg", "physio", "V", "uV"),
    "emg": ("emg", "physio", "V", "uV"),
    "resp": ("resp", "physio", "au", "au"),
    "stim": ("stim", "stim", "au", "au"),
    "misc": ("misc", "physio", "au", "au"),
}


def stream_of_kind(kind: str) -> tuple[str, Modality]:
    """Stream and modality that channels of one of MNE's types belong to.

    Examples
    --------
    >>> stream_of_kind("ecog")
    ('ieeg', 'ieeg')
    """
    name, modality, _, _ = _MNE.get(kind, _MNE["misc"])
    return name, modality


# (channel numbers, MNE's unit to ours) -> samples, scale, offset of a stream
_Samples = Callable[[list[int], float], tuple[LazyArray, FloatArray | None, FloatArray | None]]

# "770", "Stimulus/S  1", "S 12": the number that an amplifier's marker carries
_CODE = re.compile(r"^(?:\w+/)?[A-Z]?\s*(\d{1,9})$")


def from_mne(
    raw: Any,
    *,
    unit: str | None = None,
    check: bool = True,
    samples: _Samples | None = None,
    **facts: Any,
) -> Recording:
    """Build a recording from an MNE Raw or Epochs object.

    Channels of one type make one stream (``"eeg"``, ``"meg_mag"``, ``"eog"``,
    …). Epochs become one stream with one segment and one block a trial.
    Annotations become events, a marker's number their value; those called
    ``BAD…``, ``EDGE…`` or ``boundary`` cut segments.
    Names, birth dates and recording dates are not carried over.

    Parameters
    ----------
    raw : mne.io.BaseRaw or mne.BaseEpochs
        The source.
    unit : str, optional
        True unit of the numbers in voltage channels, where MNE's volts are
        wrong (``"uV"`` for files whose header lies, ``"au"`` where the scale
        is not known).
    check : bool
        Refuse implausible amplitudes.
    samples : callable, optional
        For readers that leave samples on disk: takes channel numbers and the
        factor from MNE's unit to ours, returns samples, scale and offset.
    **facts
        Fields of :class:`Recording`: subject, session, run, ….

    Returns
    -------
    Recording

    Raises
    ------
    UnitError
        If an amplitude is implausible for its unit.
    DataError
        If no channel can be used.
    """
    import mne

    if not isinstance(raw, mne.io.BaseRaw | mne.BaseEpochs):
        raise DataError(f"Expected an MNE Raw or Epochs object, got {type(raw).__name__}.")
    kinds = raw.get_channel_types()
    epochs = isinstance(raw, mne.BaseEpochs)
    if epochs and len(raw) == 0:
        raise DataError("The epochs object holds no epoch.")
    segments = _epoch_segments(raw) if epochs else _good_segments(raw)
    groups: dict[str, list[int]] = {}
    for i, kind in enumerate(kinds):
        name = _MNE.get(kind, _MNE["misc"])[0]
        groups.setdefault(name, []).append(i)
    streams: dict[str, Stream] = {}
    for name, picks in groups.items():
        _, modality, held, kept = next(v for v in _MNE.values() if v[0] == name)
        stated = held if unit is None or held != "V" else unit_name(unit)
        if stated in ("au", "z"):
            kept = stated  # declared without a scale: contracts asking for uV refuse it
        factor = conversion_factor(stated, kept)
        if samples is not None:
            data, scale, offset = samples(picks, factor)
        else:
            data, scale, offset = _loaded(raw, picks, factor), None, None
        streams[name] = Regular(
            data,
            raw.info["sfreq"],
            kept,
            _mne_axis(raw, picks, kinds, name),
            modality,
            segments=segments,
            scale=scale,
            offset=offset,
        )
    if check:
        for stream in streams.values():
            if isinstance(stream, Regular):
                check_plausible(stream)
    events = _epoch_events(raw) if epochs else _annotations(raw)
    return Recording(streams, events, **facts)


def _loaded(raw: Any, picks: list[int], factor: float) -> FloatArray:
    x = raw.get_data(picks=picks)
    if x.ndim == 3:
        x = x.transpose(1, 0, 2).reshape(len(picks), -1)
    return np.asarray(x * factor, dtype=np.float32)


def _mne_axis(raw: Any, picks: list[int], kinds: list[str], name: str) -> Axis:
    chs = [raw.info["chs"][i] for i in picks]
    where = np.array([ch["loc"][:3] for ch in chs], dtype=np.float32)
    where[(where == 0).all(axis=1)] = np.nan
    located: bool = name in ("eeg", "ieeg", "meg_mag", "meg_grad") and bool(
        np.isfinite(where).any()
    )
    frame: str | None = None
    if located:
        frame = "meg_device" if name.startswith("meg") else "head"
    elif name == "eeg":
        where = eeg_positions([canonical_eeg_name(ch["ch_name"]) for ch in chs])
        located = bool(np.isfinite(where).any())
        frame = "mri_ras" if located else None
    bads = set(raw.info["bads"])
    average = any(p["active"] for p in raw.info["projs"]) or raw.info["custom_ref_applied"]
    return Axis(
        [ch["ch_name"] for ch in chs],
        [kinds[i] for i in picks],
        positions=where if located else None,
        frame=frame,
        reference="custom" if average and name == "eeg" else None,
        bad=[ch["ch_name"] in bads for ch in chs],
    )


def _good_segments(raw: Any) -> Any:
    """Stretches that no BAD or EDGE annotation touches."""
    n, sfreq = raw.n_times, raw.info["sfreq"]
    first = raw.first_samp / sfreq
    bad = np.zeros(n + 1, dtype=bool)
    cuts = {0, n}
    for note in raw.annotations:
        kind = note["description"].upper()
        start = note["onset"] - first  # MNE counts from before a crop, dated or not
        a = int(np.clip(np.floor(start * sfreq + 1e-6), 0, n))
        b = int(np.clip(np.ceil((start + note["duration"]) * sfreq - 1e-6), a, n))
        if kind.startswith("BAD"):
            bad[a:b] = True
            cuts |= {a, b}
        elif kind.startswith(_BORDERS):
            cuts.add(a)
    edges = sorted(cuts)
    keep = [(a, b) for a, b in pairwise(edges) if b > a and not bad[a]]
    if not keep:
        raise DataError("Every sample lies in a stretch annotated BAD. Remove those annotations.")
    return np.array(keep)


_BORDERS = ("EDGE", "BOUNDARY")


def _annotations(raw: Any) -> Events:
    skip = ("BAD", *_BORDERS)
    notes = [n for n in raw.annotations if not n["description"].upper().startswith(skip)]
    first = raw.first_samp / raw.info["sfreq"]
    if not notes:
        return Events.empty()
    return Events.make(
        [n["onset"] - first for n in notes],
        [n["description"] for n in notes],
        duration_s=[max(0.0, n["duration"]) for n in notes],
        value=[_code(n["description"]) for n in notes],
    )


def _code(description: str) -> float:
    found = _CODE.match(description.strip())
    return float(found[1]) if found else np.nan


def _epoch_segments(epochs: Any) -> Any:
    n = len(epochs.times)
    starts = np.arange(len(epochs)) * n
    return np.stack([starts, starts + n], axis=1)


def _epoch_events(epochs: Any) -> Events:
    names = {v: k for k, v in epochs.event_id.items()}
    n, sfreq = len(epochs.times), epochs.info["sfreq"]
    codes = epochs.events[:, 2]
    return Events.make(
        np.arange(len(codes)) * n / sfreq,
        [names.get(c, str(c)) for c in codes.tolist()],
        duration_s=n / sfreq,
        value=codes.astype(float),
        block=np.arange(len(codes)),
        columns={"zero_s": np.full(len(codes), -float(epochs.tmin))},
    )


def to_mne(recording: Recording, stream: str | None = None) -> "mne.io.RawArray":
    """A sampled stream as an MNE Raw in SI units.

    Parameters
    ----------
    recording : Recording
        The source; its events become annotations.
    stream : str, optional
        Which stream.

    Returns
    -------
    mne.io.RawArray
        Missing samples are NaN, stretches and borders between segments
        ``BAD boundary`` annotations. Positions of the template head
        (``"mri_ras"``) are brought to MNE's head frame.

    Raises
    ------
    UnitError
        If a voltage or field stream is in an arbitrary unit.
    """
    import mne

    signal = recording.regular(stream)
    name = stream or next(iter(recording.streams))
    known = set(mne.io.get_channel_type_constants())
    kinds = [t if t in known else "misc" for t in signal.axis.types]
    held = {k: v[2] for k, v in _MNE.items()}
    factors = []
    for kind in kinds:
        target = held.get(kind, "au")
        if target == "au":
            factors.append(1.0)
        elif signal.unit in ("au", "z"):
            raise UnitError(
                f"Stream {name!r} is in {signal.unit!r}; MNE keeps {kind} in {target}. "
                "Set its true unit, or the channel type to 'misc'."
            )
        else:
            factors.append(conversion_factor(signal.unit, target))
    info = mne.create_info(list(signal.axis.names), signal.sfreq, kinds, verbose="error")
    info["bads"] = [n for n, b in zip(signal.axis.names, signal.axis.bad, strict=True) if b]
    places = _head_positions(signal.axis)
    if places is not None:
        for ch, where in zip(info["chs"], places, strict=True):
            ch["loc"][:3] = where
    x = signal.values().astype(np.float64) * np.array(factors)[:, None]
    raw = mne.io.RawArray(x, info, verbose="error")
    clock = recording.clock(name)
    events = recording.session_events()
    onset = np.asarray(clock.to_stream(events.onset_s)) - signal.t0_s
    # whatever lies between two segments, though it be nothing, is not to be crossed
    stops = np.concatenate([[0], signal.segments[:, 1]]) / signal.sfreq
    starts = np.concatenate([signal.segments[:, 0], [signal.n_times]]) / signal.sfreq
    border = starts > stops
    border[1:-1] = True
    inside = (onset >= 0) & (onset < signal.duration_s)
    raw.set_annotations(
        mne.Annotations(
            [*onset[inside], *stops[border]],
            [*(events.duration_s[inside] / clock.a), *(starts - stops)[border]],
            [*events.type[inside].tolist(), *["BAD boundary"] * int(border.sum())],
        ),
        verbose="error",
    )
    return raw


def _head_positions(axis: Axis) -> "FloatArray | None":
    """Positions in the frame MNE expects of sensors; None if they are in another."""
    if axis.positions is None or axis.frame in ("head", "meg_device"):
        return axis.positions
    if axis.frame != "mri_ras":
        return None
    import mne

    montage = standard_montage()
    trans = mne.channels.compute_native_head_t(montage)
    return np.asarray(mne.transforms.apply_trans(trans, axis.positions), dtype=np.float32)


def to_xarray(recording: Recording, stream: str | None = None) -> "xarray.DataArray":
    """A sampled stream as a DataArray with named dims and coordinates.

    Parameters
    ----------
    recording : Recording
        The source.
    stream : str, optional
        Which stream.

    Returns
    -------
    xarray.DataArray, dims (axis, time)
        Time in session seconds; unit, rate and modality in the attributes.
    """
    import xarray

    signal = recording.regular(stream)
    name = stream or next(iter(recording.streams))
    time = recording.clock(name).to_session(signal.time(np.arange(signal.n_times)))
    return xarray.DataArray(
        signal.values(),
        dims=("axis", "time"),
        coords={"axis": list(signal.axis.names), "time": time},
        name=name,
        attrs={"unit": signal.unit, "sfreq": signal.sfreq, "modality": signal.modality},
    )


def to_pynapple(recording: Recording, stream: str | None = None) -> "pynapple.TsGroup | Any":
    """A stream as a pynapple object: TsGroup for spikes, TsdFrame for signals."""
    import pynapple as nap

    name = stream or next(iter(recording.streams))
    source, clock = recording.stream(name), recording.clock(name)
    if isinstance(source, Irregular):
        support = nap.IntervalSet(clock.to_session(source.support))
        times = np.asarray(clock.to_session(source.times_s))
        trains = {
            i: nap.Ts(times[source.unit_index == i], time_support=support)
            for i in range(len(source.units))
        }
        return nap.TsGroup(
            trains, time_support=support, metadata={"name": list(source.units.names)}
        )
    signal = recording.regular(name)
    time = np.asarray(clock.to_session(signal.time(np.arange(signal.n_times))))
    # closed intervals there, half-open here: end half a sample early
    edges = clock.to_session(signal.time(signal.segments - [0.0, 0.5]))
    return nap.TsdFrame(
        t=time,
        d=signal.values().T,
        columns=list(signal.axis.names),
        time_support=nap.IntervalSet(np.asarray(edges)),
    )


def from_pynapple(
    group: Any, *, name: str = "spikes", columns: Mapping[str, Any] | None = None, **facts: Any
) -> Recording:
    """Build a recording of spikes from a pynapple TsGroup.

    Parameters
    ----------
    group : pynapple.TsGroup
        Its keys become unit names, its metadata columns of the unit table.
    name : str
        Name of the stream.
    columns : mapping, optional
        Further columns of the unit table.
    **facts
        Fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        If the group is empty.
    """
    keys = list(group.keys())
    if not keys:
        raise DataError("The TsGroup holds no unit.")
    times = [np.asarray(group[k].index, dtype=np.float64) for k in keys]
    index = np.repeat(np.arange(len(keys)), [len(t) for t in times])
    joined = np.concatenate(times)
    order = np.argsort(joined, kind="stable")
    table = {c: np.asarray(group.metadata[c]) for c in group.metadata_columns if c not in ("rate",)}
    names = [str(v) for v in table.pop("name", keys)]
    units = Axis(names, "unit", columns={**table, **(columns or {})})
    support = np.stack([group.time_support.start, group.time_support.end], axis=1)
    # pynapple's supports are closed; ours are half-open
    support[:, 1] = np.nextafter(support[:, 1], np.inf)
    support[:-1, 1] = np.minimum(support[:-1, 1], support[1:, 0])
    spikes = Irregular(joined[order], index[order], units, support)
    return Recording({name: spikes}, **facts)


def to_nifti(
    recording: Recording, stream: str | None = None, *, start: int = 0, stop: int | None = None
) -> "nibabel.Nifti1Image":
    """A masked volume series as a NIfTI image, zeros outside the mask.

    Parameters
    ----------
    recording : Recording
        With a voxel stream.
    stream : str, optional
        Which stream.
    start, stop : int
        Half-open range of volumes.

    Returns
    -------
    nibabel.Nifti1Image, shape (x, y, z, time)

    Raises
    ------
    DataError
        If the rows are not voxels of a grid.
    """
    import nibabel

    signal = recording.regular(stream)
    grid = signal.axis.grid
    if grid is None:
        raise DataError("These rows are not voxels of a volume; only masked volumes become NIfTI.")
    stop = signal.n_times if stop is None else stop
    volume = np.zeros((*grid.shape, stop - start), dtype=np.float32)
    i, j, k = grid.ijk.T
    volume[i, j, k] = signal.read(start, stop)
    image = nibabel.Nifti1Image(volume, grid.affine)
    image.header.set_zooms((*image.header.get_zooms()[:3], float(1 / signal.rate)))
    image.header.set_xyzt_units("mm", "sec")
    return image
