"""Samples that stay in an EEG or MEG file until asked for, read through MNE.

MNE's Raw objects keep no open handle between reads, so one may be shared by
streams and survive a fork. A pickled array carries the path alone and reopens
the file, refusing it if it has changed since.
"""

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuro.errors import FileError
from neuro.io._files import blame
from neuro.typing import AnyArray, FloatArray, IntArray, LazyArray

__all__ = ["MneArray", "Source", "file_gains", "integer_form", "open_raw", "samples_of"]

_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".edf": ("read_raw_edf", {}),
    ".bdf": ("read_raw_bdf", {}),
    ".gdf": ("read_raw_gdf", {}),
    ".fif": ("read_raw_fif", {"on_split_missing": "raise"}),
    ".vhdr": ("read_raw_brainvision", {}),
    ".set": ("read_raw_eeglab", {}),
}
# What a file of these formats says in a channel's label, since MNE calls all of them EEG.
_KINDS = (
    (re.compile(r"^[HV]?EOG", re.IGNORECASE), "eog"),
    (re.compile(r"^E[CK]G", re.IGNORECASE), "ecg"),
    (re.compile(r"^EMG", re.IGNORECASE), "emg"),
    (re.compile(r"^(resp|airflow|thor|abd)", re.IGNORECASE), "resp"),
    (re.compile(r"^SEEG\b", re.IGNORECASE), "seeg"),
    (re.compile(r"^ECOG\b", re.IGNORECASE), "ecog"),
)
_VOLTS = {"V": 1.0, "mV": 1e-3, "µV": 1e-6, "uV": 1e-6, "nV": 1e-9}


@dataclass(frozen=True)
class Source:
    """A file, and which of its channels are wanted.

    Parameters
    ----------
    path : Path
        Absolute.
    suffix : str
        Which reader, lower case.
    include : tuple of str, optional
        Channels of one sampling rate, where a file holds several.
    size, mtime_ns : int
        What the file looked like when it was first opened.
    """

    path: Path
    suffix: str
    include: tuple[str, ...] = ()
    size: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path, include: tuple[str, ...] = ()) -> "Source":
        """Source as the file is now."""
        status = path.stat()
        where = Path(os.path.abspath(path))
        return cls(where, path.suffix.lower(), include, status.st_size, status.st_mtime_ns)


def open_raw(source: Source) -> Any:
    """MNE's Raw of a file, samples left on disk, channel kinds set by label and unit."""
    import mne

    # verbose="warning": with "error" MNE would not even tell of a truncated file
    name, extra = _READERS[source.suffix]
    if source.include:
        extra = {**extra, "include": list(source.include)}
    raw = getattr(mne.io, name)(source.path, preload=False, verbose="warning", **extra)
    if source.suffix in (".edf", ".bdf", ".gdf"):
        kinds = _kinds(raw)
        raw.set_channel_types(kinds, on_unit_change="ignore", verbose="warning")
    folder = source.path.parent.resolve()
    for used in raw.filenames:
        if used is not None and Path(used).resolve().parent != folder:
            raise FileError(
                f"'{source.path.name}' keeps its samples in another folder, which is refused. "
                "Put the files side by side and correct the name inside."
            )
    return raw


def _kinds(raw: Any) -> dict[str, str]:
    found = {}
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        if kind != "eeg":
            continue
        label = next((k for pattern, k in _KINDS if pattern.match(name)), None)
        if raw._orig_units and raw._orig_units.get(name) not in (*_VOLTS, None):
            label = label if label == "resp" else "misc"  # degrees or percent are no voltage
        if label is not None:
            found[name] = label
    return found


def file_gains(raw: Any, suffix: str) -> FloatArray:
    """MNE's volts for one unit of the file's own numbers, channel by channel."""
    n = len(raw.ch_names)
    if suffix in (".edf", ".bdf", ".gdf") and hasattr(raw, "_raw_extras"):
        return np.asarray(raw._raw_extras[0]["units"], dtype=np.float64)
    if suffix == ".set":
        return np.full(n, 1e-6)
    if suffix == ".vhdr":
        return np.array([_VOLTS.get(raw._orig_units.get(c, ""), 1.0) for c in raw.ch_names])
    return np.ones(n)


def integer_form(raw: Any, suffix: str) -> tuple[FloatArray, FloatArray] | None:
    """Scale and offset that turn a file's 16-bit integers into MNE's numbers.

    None where the file does not store 16-bit integers, or where MNE's private
    tables are not as expected: samples are then read as float32.
    """
    try:
        extra = raw._raw_extras[0]
        if suffix == ".vhdr":
            if np.dtype(extra["fmt"]) != np.int16:
                return None
            scale = np.asarray(raw._cals, dtype=np.float64)
            offset = np.zeros_like(scale)
        else:
            if suffix not in (".edf", ".gdf") or extra["dtype_np"] not in ("<i2", "<i1", "<u1"):
                return None
            gain = np.asarray(extra["units"], dtype=np.float64)
            scale = np.asarray(extra["cal"], dtype=np.float64) * gain
            offset = np.asarray(extra["offsets"], dtype=np.float64) * gain
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None
    n = len(raw.ch_names)
    if scale.shape != (n,) or offset.shape != (n,):
        return None
    if not (np.isfinite(scale) & np.isfinite(offset) & (scale != 0)).all():
        return None
    return scale, offset


class MneArray:
    """Samples of some channels of a file, shape (axis, time), read when indexed.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Opened without its samples.
    source : Source
        How to open it again.
    picks : ndarray of int, shape (axis,)
        Channels.
    factor : ndarray, shape (axis,)
        MNE's unit to ours, for float32 samples.
    integers : tuple of two ndarray, optional
        Scale and offset by which MNE made its numbers; samples are then the
        file's int16.
    """

    def __init__(
        self,
        raw: Any,
        source: Source,
        picks: IntArray,
        factor: FloatArray,
        integers: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        self._raw, self._source = raw, source
        self._picks, self._factor, self._integers = picks, factor, integers
        self._n_times = int(raw.n_times)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of (axis, time)."""
        return (len(self._picks), self._n_times)

    @property
    def dtype(self) -> np.dtype[Any]:
        """int16 or float32."""
        return np.dtype(np.float32 if self._integers is None else np.int16)

    def __repr__(self) -> str:
        return f"MneArray({self._source.path.name}, {self.shape}, {self.dtype})"

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        which = np.arange(len(self._picks))[rows]
        start, stop, step = times.indices(self._n_times)
        if stop <= start or not np.size(which):
            return np.zeros((np.size(which), max(0, stop - start)), self.dtype)[..., ::step]
        raw = self._opened()
        picks = self._picks[which]
        ordered, back = np.unique(picks, return_inverse=True)
        with (
            blame(self._source.path, "cannot be read", Exception),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", RuntimeWarning)  # a buffer that MNE would zero
            x = raw.get_data(picks=ordered, start=start, stop=stop, verbose="warning")
        x = x[back][..., ::step]
        if self._integers is None:
            with np.errstate(over="ignore", invalid="ignore"):
                out = np.asarray(x * self._factor[which, ..., None], dtype=np.float32)
            if np.isinf(out).any():
                raise FileError(
                    f"'{self._source.path.name}' holds infinite samples in [{start}, {stop}). It "
                    "is damaged: get it again from its source."
                )
            return out
        scale, offset = (v[which, ..., None] for v in self._integers)
        return np.asarray(np.rint((x - offset) / scale), dtype=np.int16)

    def _opened(self) -> Any:
        if self._raw is None:
            name = self._source.path.name
            with blame(self._source.path, "cannot be opened again", Exception):
                now = Source.of(self._source.path, self._source.include)
                if now != self._source:
                    raise FileError(f"'{name}' has changed since it was read. Read it again.")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # told when it was first opened
                    self._raw = open_raw(self._source)
        return self._raw

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_raw": None}


def samples_of(
    raw: Any, source: Source, unit_factor: Callable[[IntArray, float], FloatArray]
) -> Callable[[list[int], float], tuple[LazyArray, FloatArray | None, FloatArray | None]]:
    """What :func:`neuro.data.from_mne` asks for samples: lazy arrays.

    Parameters
    ----------
    raw, source
        The opened file.
    unit_factor : callable
        (channels, MNE's unit to ours) -> factor of each channel; where a user
        states the file's true unit it differs from the second argument.
    """
    whole = integer_form(raw, source.suffix)
    # a .set file with its samples inside is read whole or not at all
    inside = raw.preload or raw._raw_extras[0].get("is_embedded", False)

    def samples(
        picks: list[int], factor: float
    ) -> tuple[LazyArray, FloatArray | None, FloatArray | None]:
        rows = np.asarray(picks, dtype=np.int64)
        factors = unit_factor(rows, factor)
        if inside:
            x = raw.get_data(picks=rows, verbose="warning") * factors[:, None]
            with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused later
                return x.astype(np.float32), None, None
        if whole is not None:
            form = (whole[0][rows], whole[1][rows])
            largest = (np.abs(form[0]) * 32768 + np.abs(form[1])) * np.abs(factors)
            # a scale beyond float32 comes from a damaged header
            if (largest < 1e30).all() and _really_integers(raw, rows, form):
                array = MneArray(raw, source, rows, factors, form)
                return array, form[0] * factors, form[1] * factors
        return MneArray(raw, source, rows, factors), None, None

    return samples


def _really_integers(raw: Any, rows: IntArray, form: tuple[FloatArray, FloatArray]) -> bool:
    """Whether MNE's numbers at both ends of the file are whole steps of the scale."""
    for start in {0, max(0, raw.n_times - 1000)}:
        x = raw.get_data(picks=rows, start=start, stop=min(start + 1000, raw.n_times))
        steps = (x - form[1][:, None]) / form[0][:, None]
        # float64 leaves about 1e-9 of a step; a stim channel's masked bits leave more
        if np.abs(steps - np.rint(steps)).max() > 1e-4 or np.abs(steps).max() > 32768:
            return False
    return True
