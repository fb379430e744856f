"""What NIfTI-like files share: checks of the header, and the repetition time."""

import gzip
import math
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuro.errors import FileError
from neuro.io._bids_names import entities, inherited, split_name
from neuro.io._files import DAMAGED, DEFAULT, Limits, blame, read_json, regular_file

__all__ = ["Timing", "check_mgh", "check_nifti", "header_tr", "sidecar", "timing"]

_TIME_UNITS = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}
_PLAUSIBLE_TR = (0.05, 30.0)
# Bytes of a sample by NIfTI's code of its type.
_NIFTI_BYTES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8,
    1536: 16, 1792: 16, 2048: 32, 2304: 4,
}  # fmt: skip
_MAX_HEAD = 512 << 20  # CIFTI keeps its XML between header and samples


def _head(path: Path, count: int) -> bytes:
    opener: Any = gzip.open if path.name.lower().endswith(("gz", ".mgz")) else open
    damage = (OSError, EOFError, ValueError, zlib.error)
    with blame(path, "cannot be read", *damage), opener(path, "rb") as stream:
        head: bytes = stream.read(count)
    if len(head) < count:
        raise FileError(f"'{path.name}' ends inside its header. {DAMAGED}")
    return head


def check_nifti(path: Path, limits: Limits = DEFAULT) -> None:
    """Compare what a NIfTI header declares with what the file can hold.

    Raises
    ------
    FileError
        If the header is no NIfTI header, or claims more than the file has.
    """
    path, status = regular_file(path)
    head = _head(path, 348)
    for order in "<>":
        kind = struct.unpack(order + "i", head[:4])[0]
        if kind in (348, 540):
            break
    else:
        raise FileError(f"'{path.name}' does not start like a NIfTI file. {DAMAGED}")
    if kind == 348:
        dim = struct.unpack(order + "8h", head[40:56])
        code, bits = struct.unpack(order + "2h", head[70:74])
        start = struct.unpack(order + "f", head[108:112])[0]
    else:
        code, bits = struct.unpack(order + "2h", head[12:16])
        dim = struct.unpack(order + "8q", head[16:80])
        start = struct.unpack(order + "q", head[168:176])[0]
    ndim, shape = dim[0], dim[1 : 1 + max(0, dim[0])]
    if not 1 <= ndim <= 7 or any(n < 1 for n in shape):
        raise FileError(f"'{path.name}' declares the shape {shape} in {ndim} dimensions. {DAMAGED}")
    if not 0 <= start <= _MAX_HEAD:
        raise FileError(f"'{path.name}' puts its samples at byte {start:g}. {DAMAGED}")
    # both tell the width of a sample, and readers go by the first
    width = max(1, bits // 8, _NIFTI_BYTES.get(code, 1))
    _check_claim(path, math.prod(shape) * width, status.st_size, int(start), limits)


def check_mgh(path: Path, limits: Limits = DEFAULT) -> None:
    """Compare what an MGH header declares with what the file can hold.

    Raises
    ------
    FileError
        If the header is no MGH header, or claims more than the file has.
    """
    path, status = regular_file(path)
    version, *shape, kind = struct.unpack(">6i", _head(path, 24))
    width = {0: 1, 4: 2, 1: 4, 3: 4}.get(kind)
    if version != 1 or width is None or any(n < 1 for n in shape):
        raise FileError(f"'{path.name}' does not start like an MGH file. {DAMAGED}")
    _check_claim(path, math.prod(shape) * width, status.st_size, 284, limits)


def _check_claim(path: Path, claimed: int, size: int, start: int, limits: Limits) -> None:
    packed = path.name.lower().endswith(("gz", ".mgz"))
    if not packed and claimed > size - start:
        raise FileError(
            f"'{path.name}' declares {claimed} bytes of samples but holds {max(0, size - start)}. "
            "The file is truncated, or its header is wrong: get it again."
        )
    limits.check_bytes(f"'{path.name}'", claimed, size)


def header_tr(pixdim: float, units_code: int) -> float | None:
    """Seconds between volumes as a NIfTI header states them; None if it is silent."""
    value = float(f"{float(pixdim):.6g}")  # float32 in the file: 2.2, not 2.2000000477
    if not math.isfinite(value) or value <= 0:
        return None
    return float(f"{value * _TIME_UNITS.get(units_code & 0x38, 1.0):.9g}")


def sidecar(path: Path) -> dict[str, Any]:
    """JSON that goes with a file: same name, or inherited by the rules of BIDS."""
    found = inherited(path, entities(path.name)[1], ".json")
    own = path.with_name(split_name(path.name)[0] + ".json")
    if own not in found and own.is_file():
        found.append(own)
    merged: dict[str, Any] = {}
    for one in found:
        content = read_json(one)
        if not isinstance(content, dict):
            raise FileError(f"'{one.name}' must hold one JSON object. Correct the sidecar.")
        merged |= content
    return merged


@dataclass
class Timing:
    """Repetition time, slice reference, and how they were decided.

    Parameters
    ----------
    tr : float
        Seconds between volumes.
    t0_s : float
        Time in a volume that its samples stand for.
    steps : list of str
        For the provenance.
    slice_times : list of float
        Acquisition time of each slice where slices were not corrected.
    """

    tr: float
    t0_s: float = 0.0
    steps: list[str] = field(default_factory=list)
    slice_times: list[float] = field(default_factory=list)


def timing(name: str, *, tr: float | None, side: dict[str, Any], header: float | None) -> Timing:
    """Repetition time out of argument, sidecar and header, and the slice reference.

    The argument wins. Sidecar and header must agree. The header alone is used
    with a warning, since converters often write a wrong one.

    Parameters
    ----------
    name : str
        File name, for messages.
    tr : float, optional
        What the user says, in seconds.
    side : dict
        The sidecar.
    header : float, optional
        What the header says, in seconds.

    Returns
    -------
    Timing

    Raises
    ------
    FileError
        If there is no repetition time, it is implausible, or two sources
        disagree; the message names both values and the remedy.
    """
    told = _number(name, "tr", tr)
    beside = _number(name, "RepetitionTime in the sidecar", side.get("RepetitionTime"))
    steps: list[str] = []
    if told is not None:
        _check_tr(name, told, "tr=", ())
        for source, value in (("sidecar", beside), ("header", header)):
            if value is not None and not math.isclose(value, told, rel_tol=1e-3):
                steps.append(f"tr={told:g} s by argument; the {source} says {value:g} s")
        chosen = told
    elif beside is not None:
        if header is not None and not math.isclose(header, beside, rel_tol=1e-3):
            raise FileError(
                f"'{name}': the sidecar says a repetition time of {beside:g} s, the header "
                f"{header:g} s{_milliseconds(header)}. Find out which is true and pass it: "
                f"tr={beside:g}."
            )
        _check_tr(name, beside, "The sidecar's repetition time", ())
        chosen = beside
    elif header is not None:
        _check_tr(name, header, "The header's repetition time", (f"tr={header / 1000:g}",))
        warnings.warn(
            f"'{name}': repetition time {header:g} s taken from the header alone, which is often "
            f"wrong. Confirm it with tr={header:g}.",
            stacklevel=3,
        )
        steps.append(f"tr={header:g} s from the header alone")
        chosen = header
    else:
        raise FileError(f"'{name}' states no repetition time. Pass it in seconds: tr=2.0.")
    made = Timing(chosen, steps=steps)
    _slice_reference(name, made, side)
    return made


def _number(name: str, what: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise FileError(f"'{name}': {what} must be a number of seconds, got {value!r:.40}.")
    return float(value)


def _milliseconds(value: float) -> str:
    return " (milliseconds labelled seconds?)" if value > _PLAUSIBLE_TR[1] else ""


def _check_tr(name: str, value: float, what: str, hints: Iterable[str]) -> None:
    low, high = _PLAUSIBLE_TR
    if low <= value <= high:
        return
    hint = "".join(f" If these are milliseconds, pass {h}." for h in hints)
    hint = hint or " Give seconds: 2.0, not 2000."
    raise FileError(f"'{name}': {what} {value:g} s is outside {low:g} to {high:g} s.{hint}")


def _slice_reference(name: str, made: Timing, side: dict[str, Any]) -> None:
    start = _number(name, "StartTime in the sidecar", side.get("StartTime"))
    times = side.get("SliceTiming")
    corrected = bool(side.get("SliceTimingCorrected", False))
    if start is not None and 0 <= start < made.tr:
        made.t0_s = start
        made.steps.append(f"slice reference {start:g} s from the sidecar's StartTime")
    elif isinstance(times, list) and times and not corrected:
        values = [_number(name, "SliceTiming", t) or 0.0 for t in times]
        if min(values) < 0 or max(values) > made.tr * 1.001:
            raise FileError(
                f"'{name}': SliceTiming reaches {max(values):g} s with a repetition time of "
                f"{made.tr:g} s. One of them is in milliseconds: correct the sidecar or pass tr=."
            )
        made.t0_s = (min(values) + max(values)) / 2
        made.slice_times = values
        made.steps.append(f"slice reference {made.t0_s:g} s, the middle of the slice times")
    else:
        made.steps.append("slice reference unknown, taken as 0 s")
