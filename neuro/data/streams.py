"""The three kinds of stream: sampled, point-like, and without time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np

from neuro.data.axis import Axis
from neuro.data.rates import exact_rate, sample_index
from neuro.data.units import conversion_factor, unit_name
from neuro.errors import DataError
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, LazyArray, Modality

__all__ = ["Irregular", "LazyView", "Regular", "Static", "Stream"]


class LazyView:
    """Rows and a stretch of samples of an array on disk, still on disk.

    Parameters
    ----------
    base : LazyArray, shape (axis, time)
        The array on disk.
    rows : ndarray of int or None
        Which rows, in which order; None for all.
    start, stop : int
        Half-open sample range.
    """

    def __init__(self, base: LazyArray, rows: IntArray | None, start: int, stop: int) -> None:
        self.base, self.rows, self.start, self.stop = base, rows, int(start), int(stop)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of (axis, time)."""
        n_rows = self.base.shape[0] if self.rows is None else len(self.rows)
        return (n_rows, self.stop - self.start)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one stored sample."""
        return self.base.dtype

    @property
    def gather(self) -> Callable[[IntArray, int, FloatArray, IntArray], None] | None:
        """The base's own way to read many windows at once, if it has one."""
        inner = getattr(self.base, "gather", None)
        if inner is None or self.rows is not None:
            return None
        return lambda starts, n_times, out, at: inner(starts + self.start, n_times, out, at)

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, step = times.indices(self.stop - self.start)
        block = self.base[:, self.start + start : self.start + max(start, stop)]
        if self.rows is not None:
            block = block[self.rows]
        return np.asarray(block[rows, ::step])


@dataclass(frozen=True, eq=False)
class Regular:
    """A signal sampled at a fixed rate: EEG, BOLD, binned spikes, a joystick.

    Parameters
    ----------
    data : array, shape (axis, time)
        float32, or int16 with `scale`; in memory or lazily on disk. Floats of
        other widths are cast. NaN marks missing samples and becomes a mask
        (an array on disk is not searched: give `valid` with it).
    rate : Fraction, int, float or str
        Sampling rate in Hz, kept exact (``"1/1.4"``).
    unit : str
        Unit of the values (after `scale`).
    axis : Axis
        Names and places of the rows.
    modality : str
        ``"eeg"``, ``"meg"``, ``"bold"``, ``"spikes"``, ….
    t0_s : float
        Stream time of sample 0 in seconds. For BOLD this holds the slice
        reference: sample i stands for ``t0_s + i * tr``.
    segments : ndarray of int, shape (n, 2), optional
        Half-open sample ranges that no window, filter or lag crosses; the
        whole signal if omitted.
    valid : ndarray of bool, shape (axis, time), optional
        False where a sample is missing.
    scale, offset : ndarray, shape (axis,), optional
        ``value = stored * scale + offset``, for int16 storage.

    Raises
    ------
    DataError
        If shapes disagree, segments overlap or leave the signal, the signal
        is empty, or a sample is infinite.
    UnitError
        If the unit is unknown.

    Examples
    --------
    >>> x = np.zeros((2, 500), np.float32)
    >>> Regular(x, 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    Regular(eeg, 2 x 500, 250 Hz, uV, 2 s)
    """

    data: LazyArray
    rate: Fraction
    unit: str
    axis: Axis
    modality: Modality
    t0_s: float = 0.0
    segments: IntArray = None  # type: ignore[assignment]
    valid: BoolArray | None = None
    scale: FloatArray | None = None
    offset: FloatArray | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "rate", exact_rate(self.rate))
        set_(self, "unit", unit_name(self.unit))
        if isinstance(self.data, np.ndarray) and self.data.dtype not in (np.float32, np.int16):
            if self.data.dtype.kind not in "fiub":
                raise DataError(f"Samples must be real numbers, got {self.data.dtype}.")
            set_(self, "data", self.data.astype(np.float32))
        if len(self.data.shape) != 2:
            raise DataError(
                f"Samples must have shape (axis, time), got {tuple(self.data.shape)}. "
                "Reshape or transpose: time comes last."
            )
        n_rows, n_times = self.data.shape
        if n_rows == 0 or n_times == 0:
            raise DataError(f"The stream is empty: {n_rows} rows x {n_times} samples.")
        if n_rows != len(self.axis):
            hint = " Is the array transposed? Time comes last." if n_times == len(self.axis) else ""
            raise DataError(f"Samples have {n_rows} rows, the axis names {len(self.axis)}.{hint}")
        if not np.isfinite(self.t0_s):
            raise DataError(f"t0_s must be finite, got {self.t0_s}.")
        set_(self, "segments", _checked_segments(self.segments, n_times))
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if value is not None:
                value = np.asarray(value, np.float64)
                if value.shape not in ((), (1,), (n_rows,)):
                    raise DataError(f"{name} has shape {value.shape} for {n_rows} rows.")
                value = np.broadcast_to(value, (n_rows,)).copy()
                if not np.isfinite(value).all():
                    raise DataError(f"{name} must be finite.")
                set_(self, name, value)
        self._check_missing()

    def _check_missing(self) -> None:
        valid = None if self.valid is None else np.asarray(self.valid, dtype=bool)
        if valid is not None and valid.shape != self.data.shape:
            raise DataError(f"valid has shape {valid.shape}, samples {tuple(self.data.shape)}.")
        if isinstance(self.data, np.ndarray) and self.data.dtype == np.float32:
            with np.errstate(over="ignore", invalid="ignore"):
                # one pass without a mask settles the common case
                clean = bool(np.isfinite(np.add.reduce(self.data, axis=None)))
            if clean:
                object.__setattr__(self, "valid", None if valid is None or valid.all() else valid)
                return
            finite = np.isfinite(self.data)
            if not finite.all():
                if np.isinf(self.data).any():
                    row = int(np.flatnonzero(np.isinf(self.data).any(axis=1))[0])
                    raise DataError(
                        f"Row {self.axis.names[row]!r} holds infinite samples. Mark missing "
                        "samples as NaN, or mend the division that made them."
                    )
                valid = finite if valid is None else finite & valid
        if valid is not None and valid.all():
            valid = None
        object.__setattr__(self, "valid", valid)

    def __repr__(self) -> str:
        n_rows, n_times = self.data.shape
        extra = f", {len(self.segments)} segments" if len(self.segments) != 1 else ""
        missing = ", with missing samples" if self.valid is not None else ""
        lazy = "" if isinstance(self.data, np.ndarray) else ", lazy"
        return (
            f"Regular({self.modality}, {n_rows} x {n_times}, {self.sfreq:.6g} Hz, {self.unit}, "
            f"{self.duration_s:.6g} s{extra}{missing}{lazy})"
        )

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz, as a float."""
        return float(self.rate)

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return int(self.data.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of (axis, time)."""
        return (int(self.data.shape[0]), int(self.data.shape[1]))

    @property
    def duration_s(self) -> float:
        """Samples divided by rate, in seconds."""
        return float(self.n_times / self.rate)

    @property
    def stop_s(self) -> float:
        """End of the half-open time range, in stream seconds."""
        return self.t0_s + self.duration_s

    def time(self, i: Any) -> Any:
        """Stream time of sample `i` in seconds."""
        return self.t0_s + np.asarray(i) * self.rate.denominator / self.rate.numerator

    def index(self, t_s: float) -> int:
        """First sample at or after a stream time."""
        return sample_index(t_s, self.t0_s, self.rate)

    def read(self, start: int, stop: int, rows: IntArray | None = None) -> FloatArray:
        """Physical values of a stretch, NaN where missing.

        Parameters
        ----------
        start, stop : int
            Half-open sample range inside the signal.
        rows : ndarray of int, optional
            Rows to read; all if omitted.

        Returns
        -------
        ndarray of float32, shape (rows, stop - start)
            Read-only where it shares memory with the stream: copy before
            writing to it.

        Raises
        ------
        DataError
            If the range leaves the signal.
        """
        if not 0 <= start <= stop <= self.n_times:
            raise DataError(f"Samples [{start}, {stop}) leave the signal of {self.n_times}.")
        key = slice(None) if rows is None else rows
        x = np.asarray(self.data[key, start:stop])
        if self.scale is not None or self.offset is not None:
            scale = 1.0 if self.scale is None else self.scale[key][:, None]
            shift = 0.0 if self.offset is None else self.offset[key][:, None]
            x = (x * scale + shift).astype(np.float32)
        elif x.dtype != np.float32:
            x = x.astype(np.float32)
        if self.valid is not None:
            x = np.where(self.valid[key, start:stop], x, np.float32(np.nan))
        elif isinstance(self.data, np.ndarray) and np.may_share_memory(x, self.data):
            x = x.view()
            x.flags.writeable = False
        return x

    def values(self) -> FloatArray:
        """Physical values of the whole signal, shape (axis, time), float32."""
        return self.read(0, self.n_times)

    def take(self, rows: Any) -> Self:
        """Stream of the chosen rows, lazy if this one is."""
        i = np.atleast_1d(np.arange(len(self.axis))[rows])
        data: LazyArray
        if isinstance(self.data, np.ndarray):
            data = self.data[i]
        else:
            data = LazyView(self.data, i, 0, self.n_times)
        return replace(
            self,
            data=data,
            axis=self.axis.take(i),
            valid=None if self.valid is None else self.valid[i],
            scale=None if self.scale is None else self.scale[i],
            offset=None if self.offset is None else self.offset[i],
        )

    def slice(self, t0_s: float, t1_s: float) -> Self:
        """Samples with stream time in [t0_s, t1_s); times are kept, not re-zeroed.

        Raises
        ------
        DataError
            If no sample lies in the range.
        """
        a = min(max(self.index(t0_s), 0), self.n_times)
        b = min(max(self.index(t1_s), a), self.n_times)
        if a == b:
            raise DataError(
                f"No sample in [{t0_s:g}, {t1_s:g}) s: the stream covers "
                f"[{self.t0_s:g}, {self.stop_s:g}) s."
            )
        segments = np.clip(self.segments, a, b) - a
        data: LazyArray
        if isinstance(self.data, np.ndarray):
            data = self.data[:, a:b]
        else:
            data = LazyView(self.data, None, a, b)
        return replace(
            self,
            data=data,
            t0_s=float(self.time(a)),
            segments=segments[segments[:, 1] > segments[:, 0]],
            valid=None if self.valid is None else self.valid[:, a:b],
        )

    def to_unit(self, unit: str) -> Self:
        """The same signal in another unit of the same dimension.

        Raises
        ------
        UnitError
            If the units measure different things.
        """
        factor = conversion_factor(self.unit, unit)
        if factor == 1.0:
            return replace(self, unit=unit)
        plain = self.scale is None and self.offset is None
        if plain and isinstance(self.data, np.ndarray) and self.data.dtype == np.float32:
            return replace(self, data=self.data * np.float32(factor), unit=unit)
        scale = (np.ones(len(self.axis)) if self.scale is None else self.scale) * factor
        offset = None if self.offset is None else self.offset * factor
        return replace(self, scale=scale, offset=offset, unit=unit)


@dataclass(frozen=True, eq=False)
class Irregular:
    """Point events of several units: spikes.

    Parameters
    ----------
    times_s : ndarray of float64, shape (n,)
        Event times in stream seconds, not decreasing.
    unit_index : ndarray of int, shape (n,)
        Row of `units` that fired.
    units : Axis
        The units and what is known of them.
    support : ndarray, shape (m, 2)
        Half-open stretches in seconds during which events could be seen.
    modality : str
        ``"spikes"`` by default.

    Raises
    ------
    DataError
        If times decrease or are not finite, an index has no unit, a stretch
        of support is empty, or an event lies outside the support.

    Examples
    --------
    >>> spikes = Irregular([0.1, 0.2, 0.25], [0, 1, 0], Axis(["a", "b"], "unit"), [(0, 1)])
    >>> spikes
    Irregular(spikes, 2 units, 3 events, 1 s)
    >>> spikes.bin(0.2).values()[:, :2].tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """

    times_s: FloatArray
    unit_index: IntArray
    units: Axis
    support: FloatArray
    modality: Modality = "spikes"

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        times = np.asarray(self.times_s, dtype=np.float64)
        index = np.asarray(self.unit_index, dtype=np.int32)
        support = np.asarray(self.support, dtype=np.float64).reshape(-1, 2)
        if times.ndim != 1 or times.shape != index.shape:
            raise DataError(f"{times.shape} times but {index.shape} unit indices.")
        if not np.isfinite(times).all():
            raise DataError(f"{int((~np.isfinite(times)).sum())} event times are not finite.")
        if len(times) and (np.diff(times) < 0).any():
            i = int(np.flatnonzero(np.diff(times) < 0)[0])
            raise DataError(
                f"Event times decrease: {times[i]:.6f} s is followed by {times[i + 1]:.6f} s. "
                "Sort times and unit indices together before building the stream."
            )
        if len(index) and (index.min() < 0 or index.max() >= len(self.units)):
            raise DataError(
                f"Unit index {int(index.max())} for a table of {len(self.units)} units."
            )
        if not len(support) or not np.isfinite(support).all():
            raise DataError("Give at least one finite (start, stop) stretch of support in seconds.")
        if (support[:, 1] <= support[:, 0]).any() or (support[1:, 0] < support[:-1, 1]).any():
            raise DataError("Support stretches must be non-empty, sorted and disjoint.")
        if len(times):
            at = np.searchsorted(support[:, 0], times, side="right") - 1
            outside = (at < 0) | (times >= support[np.maximum(at, 0), 1])
            if outside.any():
                raise DataError(
                    f"{int(outside.sum())} events lie outside the support, first at "
                    f"{times[outside][0]:.6f} s; stretches are half-open, [start, stop). "
                    "Widen the support or drop them."
                )
        set_(self, "times_s", times)
        set_(self, "unit_index", index)
        set_(self, "support", support)

    def __repr__(self) -> str:
        total = float(np.diff(self.support, axis=1).sum())
        return (
            f"Irregular({self.modality}, {len(self.units)} units, {len(self.times_s)} events, "
            f"{total:.6g} s)"
        )

    @property
    def axis(self) -> Axis:
        """The unit table, under the name other streams use."""
        return self.units

    @property
    def t0_s(self) -> float:
        """Start of the support."""
        return float(self.support[0, 0])

    @property
    def stop_s(self) -> float:
        """End of the support."""
        return float(self.support[-1, 1])

    @property
    def duration_s(self) -> float:
        """From the first stretch's start to the last one's end, in seconds."""
        return self.stop_s - self.t0_s

    def slice(self, t0_s: float, t1_s: float) -> Self:
        """Events and support in [t0_s, t1_s).

        Raises
        ------
        DataError
            If no support lies in the range.
        """
        support = np.clip(self.support, t0_s, t1_s)
        support = support[support[:, 1] > support[:, 0]]
        if not len(support):
            raise DataError(
                f"No support in [{t0_s:g}, {t1_s:g}) s: the stream covers "
                f"[{self.t0_s:g}, {self.stop_s:g}) s."
            )
        keep = (self.times_s >= t0_s) & (self.times_s < t1_s)
        return replace(
            self,
            times_s=self.times_s[keep],
            unit_index=self.unit_index[keep],
            support=support,
        )

    def take(self, rows: Any) -> Self:
        """Stream of the chosen units."""
        i = np.atleast_1d(np.arange(len(self.units))[rows])
        new = np.full(len(self.units), -1, dtype=np.int32)
        new[i] = np.arange(len(i), dtype=np.int32)
        keep = new[self.unit_index] >= 0
        return replace(
            self,
            times_s=self.times_s[keep],
            unit_index=new[self.unit_index[keep]],
            units=self.units.take(i),
        )

    def bin(self, bin_s: float) -> Regular:
        """Counts in bins of equal width; bins never leave the support.

        Bins start at the start of the first stretch; a bin that lies partly
        outside the support belongs to no segment and is marked missing.

        Parameters
        ----------
        bin_s : float
            Bin width in seconds.

        Returns
        -------
        Regular
            Unit ``"counts"``, rate ``1 / bin_s``, one segment a stretch.

        Raises
        ------
        DataError
            If no whole bin fits into the support.
        """
        from neuro.signal import bin_counts

        if not (np.isfinite(bin_s) and bin_s > 0):
            raise DataError(f"bin_s must be a positive number of seconds, got {bin_s!r}.")
        rate = exact_rate(1.0 / bin_s)
        t0 = self.t0_s
        segments = []
        for a, b in self.support:
            first = sample_index(a, t0, rate)
            last = int(np.floor((b - t0) * rate.numerator / rate.denominator + 1e-6))
            if last > first:
                segments.append((first, last))
        if not segments:
            raise DataError(f"No bin of {bin_s:g} s fits into the support.")
        n_bins = segments[-1][1]
        counts = bin_counts(
            self.times_s, self.unit_index, len(self.units), t0, 1 / rate, n_bins
        ).astype(np.float32)
        inside = np.zeros(n_bins, bool)
        for a, b in segments:
            inside[a:b] = True
        counts[:, ~inside] = np.nan
        return Regular(
            counts, rate, "counts", self.units, self.modality, t0_s=t0, segments=np.array(segments)
        )


@dataclass(frozen=True, eq=False)
class Static:
    """An array without time: a structural volume, betas, a connectivity matrix.

    Parameters
    ----------
    array : ndarray
        The values.
    dims : sequence of str
        One name a dimension: ``("x", "y", "z")``, ``("roi", "roi")``.
    unit : str
        Unit of the values.
    axis : Axis, optional
        Rows of the first dimension.
    affine : ndarray, shape (4, 4), optional
        For volumes: voxel to millimetres.
    frame : str, optional
        Coordinate frame.

    Examples
    --------
    >>> Static(np.eye(3), ("roi", "roi_target"), "au")
    Static(roi 3 x roi_target 3, au)
    """

    array: AnyArray
    dims: tuple[str, ...]
    unit: str = "au"
    axis: Axis | None = None
    affine: FloatArray | None = None
    frame: str | None = None
    modality: Literal["static"] = "static"

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        dims = tuple(self.dims)
        if array.dtype.kind not in "fiub" or array.size == 0:
            raise DataError(f"A static needs numbers, got {array.dtype} of shape {array.shape}.")
        if len(dims) != array.ndim:
            raise DataError(f"{len(dims)} dims {dims} for an array of shape {array.shape}.")
        if self.axis is not None and len(self.axis) != array.shape[0]:
            raise DataError(f"Axis of {len(self.axis)} rows for an array of shape {array.shape}.")
        if self.affine is not None and np.shape(self.affine) != (4, 4):
            raise DataError(f"Affine must be (4, 4), got {np.shape(self.affine)}.")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "dims", dims)
        object.__setattr__(self, "unit", unit_name(self.unit))

    def __repr__(self) -> str:
        shape = " x ".join(f"{d} {n}" for d, n in zip(self.dims, self.array.shape, strict=True))
        return f"Static({shape}, {self.unit})"


Stream = Regular | Irregular | Static


def _checked_segments(segments: Any, n_times: int) -> IntArray:
    if segments is None:
        return np.array([[0, n_times]], dtype=np.int64)
    out = np.asarray(segments, dtype=np.int64).reshape(-1, 2)
    if not len(out):
        raise DataError("A stream needs at least one segment of samples to use.")
    if (out[:, 1] <= out[:, 0]).any() or (out[1:, 0] < out[:-1, 1]).any():
        raise DataError("Segments must be non-empty, sorted and disjoint sample ranges.")
    if out[0, 0] < 0 or out[-1, 1] > n_times:
        raise DataError(f"Segments reach [{out[0, 0]}, {out[-1, 1]}) of {n_times} samples.")
    return out
