"""EEG in BIDS folders, without the mne-bids package."""

from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Recording, Regular
from neuro.data.convert import stream_of_kind
from neuro.data.streams import Stream
from neuro.data.units import conversion_factor
from neuro.errors import ConfigError, DataUnavailableError, FileError, did_you_mean
from neuro.io._bids_names import beside, dataset_root, entities, inside, safe_label
from neuro.io._participants import read_participants
from neuro.io._reading import Table, events_from_table, judged, read_table, reading
from neuro.io._volume import sidecar
from neuro.io.eeg import SUFFIXES, read_unjudged
from neuro.typing import FloatArray, PathLike

__all__ = ["has_side_files", "read_bids", "with_side_files"]

_DATATYPES = ("eeg", "ieeg", "meg")
_ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}


def read_bids(
    root: PathLike,
    *,
    subject: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
    datatype: str | None = None,
    unit: str | None = None,
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read one EEG, iEEG or MEG recording of a BIDS data set with its side files.

    Side files count by the inheritance rule: ``*_eeg.json`` (rate is checked,
    reference kept), ``*_channels.tsv`` (types, bad channels, units where the
    file has none), ``*_electrodes.tsv`` (positions), ``*_events.tsv`` (events)
    and ``participants.tsv`` (age, sex, group, site).

    Parameters
    ----------
    root : path-like
        The data set's folder.
    subject, session, task, run : str, optional
        Labels without their prefix (``"01"``); needed as far as several
        recordings fit.
    datatype : {"eeg", "ieeg", "meg"}, optional
        Where a data set has several.
    unit, check
        As in :func:`neuro.io.read_eeg`.
    **facts
        Further fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    FileError
        If several recordings fit, a side file contradicts the recording, or a
        link leads out of the data set.
    DataUnavailableError
        If no recording fits.

    Examples
    --------
    >>> from neuro.io import read_bids
    >>> read_bids("ds004504", subject="001")  # doctest: +SKIP
    """
    root = Path(root)
    if not root.is_dir():
        raise DataUnavailableError(f"'{root.name}' is no folder. Give the data set's root.")
    chosen = {"subject": subject, "session": session, "task": task, "run": run}
    labels = {_ENTITIES[k]: safe_label(str(v), k) for k, v in chosen.items() if v is not None}
    if datatype is not None and datatype not in _DATATYPES:
        raise ConfigError(f"No datatype {datatype!r}. {did_you_mean(datatype, _DATATYPES)}")
    path = _find(root, labels, (datatype,) if datatype else _DATATYPES)
    return with_side_files(path, root=root, unit=unit, check=check, **facts)


def _find(root: Path, labels: dict[str, str], datatypes: tuple[str, ...]) -> Path:
    def files(subject: str) -> list[Path]:
        return [
            p
            for kind in datatypes
            for pattern in (f"{subject}/{kind}/*_{kind}.*", f"{subject}/ses-*/{kind}/*_{kind}.*")
            for p in sorted(root.glob(pattern))
            if p.suffix.lower() in SUFFIXES
        ]

    near = files(f"sub-{labels['sub']}" if "sub" in labels else "sub-*")
    fits = [p for p in near if labels.items() <= entities(p.name)[0].items()]
    if not fits:
        there = ", ".join(p.name for p in (near or files("sub-*"))[:5])
        there = there or "no EEG, iEEG or MEG file at all"
        raise DataUnavailableError(f"'{root.name}': nothing fits {labels}. It holds {there}.")
    if len(fits) > 1:
        shown = ", ".join(p.name for p in fits[:5])
        raise FileError(
            f"'{root.name}': {len(fits)} recordings fit ({shown}{', …' if len(fits) > 5 else ''}). "
            "Choose one with subject=, session=, task= or run=."
        )
    return inside(fits[0], root)


def has_side_files(path: Path) -> bool:
    """Whether an EEG file is named after BIDS and has a table of channels or events."""
    kind = entities(path.name)[1]
    return kind in _DATATYPES and any(
        beside(path, s, ".tsv") is not None for s in ("channels", "events")
    )


def with_side_files(
    path: Path,
    *,
    root: Path | None = None,
    unit: str | None = None,
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Recording of one BIDS file with what its side files say."""
    known, kind = entities(path.name)
    root = root or dataset_root(path)
    side = {
        name: (None if found is None else inside(found, root or path.parent))
        for name in ("channels", "electrodes", "events")
        for found in [beside(path, name, ".tsv", root)]
    }
    channels = read_table(side["channels"]) if side["channels"] is not None else None
    steps = []
    if unit is None and channels is not None and path.suffix.lower() == ".gdf":
        unit = _one_unit(channels)  # the GDF reader takes any number for volts
    named = {f: known[e] for f, e in _ENTITIES.items() if e in known}
    people = _participant(root, known.get("sub", "")) if root is not None else {}
    recording = read_unjudged(path, unit=unit, check=check, **{**named, **people, **facts})
    with reading(path):
        meta = sidecar(path)
        _check_rate(recording, meta, kind)
        if channels is not None:
            recording = _apply_channels(recording, channels)
            steps.append("channel types and states from channels.tsv")
        if side["electrodes"] is not None:
            recording = _apply_positions(recording, path, side["electrodes"], root)
            steps.append("positions from electrodes.tsv")
        if side["events"] is not None:
            recording = recording.replace(events=events_from_table(side["events"]))
            steps.append("events from events.tsv")
        recording = _apply_reference(recording, meta)
        for step in steps:
            recording = recording.with_step(step)
        return judged(recording, check)


def _one_unit(channels: Table) -> str | None:
    if not channels.has("units"):
        return None
    units = set(channels.text("units")) - {"n/a", ""}
    return units.pop() if len(units) == 1 else None


def _participant(root: Path, subject: str) -> dict[str, Any]:
    path = root / "participants.tsv"
    if not subject or not path.is_file():
        return {}
    return read_participants(inside(path, root)).get(subject, {})


def _check_rate(recording: Recording, meta: dict[str, Any], kind: str) -> None:
    said = meta.get("SamplingFrequency")
    stream = recording.streams.get({"meg": "meg_mag"}.get(kind, kind))
    if not isinstance(said, int | float) or not isinstance(stream, Regular):
        return
    if abs(float(said) - stream.sfreq) > 1e-3 * stream.sfreq:
        raise FileError(
            f"the sidecar says {said:g} Hz, the file {stream.sfreq:g} Hz. Correct the sidecar's "
            "SamplingFrequency, or read the file outside the data set."
        )


# -------------------------------------------------------------------- channels


def _apply_channels(recording: Recording, table: Table) -> Recording:
    names = table.text("name")
    held = [n for s in recording.streams.values() if isinstance(s, Regular) for n in s.axis.names]
    unknown = sorted(set(held) - set(names))
    if unknown:
        raise FileError(
            f"channels.tsv does not list {unknown[:5]} of the recording. Its names must be "
            "those of the file."
        )
    types = dict(zip(names, table.text("type") if table.has("type") else [""] * len(names), strict=True))  # fmt: skip  # noqa: E501
    states = table.text("status") if table.has("status") else [""] * len(names)
    bad = {n for n, s in zip(names, states, strict=True) if s.lower() == "bad"}
    streams: dict[str, Stream] = {}
    for label, stream in recording.streams.items():
        if not isinstance(stream, Regular):
            streams[label] = stream
            continue
        for target, rows, kind in _regrouped(label, stream, types):
            part = stream if len(rows) == len(stream.axis) else stream.take(rows)
            axis: Axis = part.axis.replace(bad=[n in bad for n in part.axis.names])
            modality = part.modality
            if kind:
                axis = axis.replace(types=kind)
                modality = stream_of_kind(kind)[1]
            name = target if target not in streams else f"{target} of {label}"
            streams[name] = _changed(part, axis, modality)
    return recording.replace(streams=streams)


def _changed(stream: Regular, axis: Axis, modality: Any) -> Regular:
    from dataclasses import replace

    return replace(stream, axis=axis, modality=modality)


def _regrouped(
    label: str, stream: Regular, types: dict[str, str]
) -> list[tuple[str, list[int], str]]:
    """(stream name, rows, new kind or "") after the types of channels.tsv."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row, name in enumerate(stream.axis.names):
        kind = types.get(name, "").lower()
        kind = {"veog": "eog", "heog": "eog", "trig": "stim"}.get(kind, kind)
        moves = kind in ("eog", "ecg", "emg", "eeg", "seeg", "ecog", "dbs", "misc", "resp")
        same = kind == stream.axis.types[row] or not moves
        key = (label, "") if same else (stream_of_kind(kind)[0], kind)
        groups.setdefault(key, []).append(row)
    return [(target, rows, kind) for (target, kind), rows in groups.items()]


def _apply_reference(recording: Recording, meta: dict[str, Any]) -> Recording:
    reference = meta.get("EEGReference") or meta.get("iEEGReference")
    streams = dict(recording.streams)
    for label in ("eeg", "ieeg"):
        stream = streams.get(label)
        if isinstance(stream, Regular) and isinstance(reference, str) and reference != "n/a":
            axis = stream.axis.replace(reference=reference[:80])
            streams[label] = _changed(stream, axis, stream.modality)
    return recording.replace(streams=streams)


def _apply_positions(recording: Recording, path: Path, found: Path, root: Path | None) -> Recording:
    table = read_table(found)
    where = np.stack([table.numbers(c) for c in "xyz"], axis=1)
    unit, frame = _coordinates(path, root)
    factor = conversion_factor(unit, "m")
    place: dict[str, FloatArray] = dict(zip(table.text("name"), where * factor, strict=True))
    streams = dict(recording.streams)
    nowhere = np.full(3, np.nan)
    for label in ("eeg", "ieeg"):
        stream = streams.get(label)
        if isinstance(stream, Regular):
            rows = np.stack([place.get(n, nowhere) for n in stream.axis.names])
            if np.isfinite(rows).any():
                axis = stream.axis.replace(positions=rows, frame=frame)
                streams[label] = _changed(stream, axis, stream.modality)
    return recording.replace(streams=streams)


def _coordinates(path: Path, root: Path | None) -> tuple[str, str]:
    from neuro.io import safe

    found = beside(path, "coordsystem", ".json", root)
    content = safe.read_json(found) if found is not None else {}
    if not isinstance(content, dict):
        raise FileError("coordsystem.json must hold one JSON object. Correct it.")
    unit = frame = None
    for prefix in ("EEG", "iEEG"):
        unit = unit or content.get(f"{prefix}CoordinateUnits")
        frame = frame or content.get(f"{prefix}CoordinateSystem")
    return str(unit or "m"), str(frame or "head")
