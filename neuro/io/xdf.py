"""XDF, the file of LabRecorder: several streams on one corrected clock."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Axis, Events, Recording, Regular
from neuro.data.streams import Stream
from neuro.data.units import conversion_factor, unit_name
from neuro.errors import DataError, FileError, MissingDependencyError, UnitError
from neuro.io._times import regular_grid
from neuro.typing import FloatArray, Modality

__all__ = ["load_streams"]

_MODALITY: dict[str, Modality] = {
    "eeg": "eeg",
    "meg": "meg",
    "ecog": "ieeg",
    "seeg": "ieeg",
    "ecg": "physio",
    "emg": "physio",
    "eog": "physio",
    "gaze": "behaviour",
    "mocap": "behaviour",
}
_WORDS = {"microvolts": "uV", "microvolt": "uV", "volts": "V", "millivolts": "mV"}


def load_streams(path: Path, unit: str | None) -> Recording:
    """Recording of an XDF file: numeric streams, and text streams as events.

    pyxdf's own defaults put all streams on one clock and smooth the stamps.

    Parameters
    ----------
    path : Path
        The file.
    unit : str, optional
        True unit of the voltage streams, where the file is silent or wrong.

    Returns
    -------
    Recording
        Time 0 is the first sample of the earliest numeric stream.

    Raises
    ------
    FileError
        If there is no numeric stream, or one has no fixed rate.
    MissingDependencyError
        If pyxdf is not installed.
    """
    try:
        import pyxdf
    except ImportError as error:
        raise MissingDependencyError(
            "XDF files need pyxdf: pip install 'neuro-fm[xdf]'."
        ) from error
    found, _ = pyxdf.load_xdf(str(path), verbose=False, **_breaks(path))
    found = [s for s in found if len(s["time_stamps"])]
    signals = [s for s in found if not _is_marker(s)]
    if not signals:
        raise FileError(f"'{path.name}' holds no numeric stream with samples.")
    zero = min(float(s["time_stamps"][0]) for s in signals)
    streams: dict[str, Stream] = {}
    for one in signals:
        name = _free_name(_first(one, "type").lower() or "signal", streams)
        streams[name] = _signal(one, zero, unit, path.name)
    return Recording(streams, _events([s for s in found if _is_marker(s)], zero))


def _breaks(path: Path) -> dict[str, float]:
    """What counts as a pause; a file of our own recorder says so, pyxdf smooths over 2 s."""
    with path.open("rb") as file:
        told = re.search(rb"<gap_s>(\d{1,3}\.\d{1,6})</gap_s>", file.read(256))
    if told is None:
        return {}
    return {"jitter_break_threshold_seconds": float(told[1]), "jitter_break_threshold_samples": 0}


def _is_marker(stream: Any) -> bool:
    """Text, or one number now and then: the codes a stimulus program sends."""
    values = stream["time_series"]
    if not isinstance(values, np.ndarray):
        return True
    return float(_first(stream, "nominal_srate") or 0) == 0 and values[0].size == 1


def _events(markers: list[Any], zero: float) -> Events:
    onset, kind, value = [], [], []
    for marker in markers:
        numeric = isinstance(marker["time_series"], np.ndarray)
        for stamp, row in zip(marker["time_stamps"], marker["time_series"], strict=True):
            onset.append(float(stamp) - zero)
            kind.append(f"{float(row[0]):g}" if numeric else str(row[0]))
            value.append(float(row[0]) if numeric else np.nan)
    return Events.make(onset, kind, value=value) if onset else Events.empty()


def _first(stream: Any, key: str) -> str:
    value = stream["info"].get(key, [""])
    return str((value or [""])[0] or "").replace("/", "_").lstrip(".")


def _free_name(name: str, taken: dict[str, Stream]) -> str:
    label, number = name, 2
    while label in taken:
        label, number = f"{name}_{number}", number + 1
    return label


def _channels(stream: Any) -> list[dict[str, Any]]:
    try:
        found = stream["info"]["desc"][0]["channels"][0]["channel"]
    except (KeyError, IndexError, TypeError):
        return []
    return [c for c in found if isinstance(c, dict)]


def _labels(channels: list[dict[str, Any]], key: str) -> list[str]:
    return [str((c.get(key) or [""])[0] or "") for c in channels]


def _signal(stream: Any, zero: float, unit: str | None, file: str) -> Regular:
    x: FloatArray = np.asarray(stream["time_series"], dtype=np.float64).T
    stamps = np.asarray(stream["time_stamps"], dtype=np.float64)
    kind = _first(stream, "type").lower()
    nominal = float(_first(stream, "nominal_srate") or 0)
    grid = regular_grid(stamps, nominal or None)
    if grid is None:
        raise FileError(
            f"'{file}': stream '{kind}' has no fixed rate (nominal {nominal:g} Hz, "
            f"{len(stamps)} stamps). Leave it out of the file, or resample it before."
        )
    modality = _MODALITY.get(kind, "physio")
    channels = _channels(stream)
    names = _labels(channels, "label") if len(channels) == len(x) else []
    if not names or not all(names):
        names = [f"{kind or 'channel'} {i + 1}" for i in range(len(x))]
    held = _unit(_labels(channels, "unit"), unit if modality in ("eeg", "ieeg") else None)
    kept = "uV" if modality in ("eeg", "ieeg") and held != "au" else held
    if grid.n_times > 10 * len(stamps) + 1000:
        raise DataError("The pauses are ten times longer than the signal. Split the file.")
    full = np.full((len(x), grid.n_times), np.nan, dtype=np.float32)
    full[:, grid.index] = x * conversion_factor(held, kept)
    return Regular(
        full,
        grid.rate,
        kept,
        Axis(names, kind if modality in ("eeg", "physio") and kind else modality),
        modality,
        t0_s=grid.t0_s - zero,
        segments=grid.segments,
    )


def _unit(labels: list[str], told: str | None) -> str:
    if told is not None:
        return unit_name(told)
    known = {_WORDS.get(text.lower(), text) for text in labels if text}
    if len(known) != 1:
        return "au"
    try:
        return unit_name(known.pop())
    except UnitError:
        return "au"
