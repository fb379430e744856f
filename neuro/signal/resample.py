"""Resampling by exact ratios, offline and streamed by one object.

Rates are fractions and sample ``m`` of the result lies at ``m / sfreq_out``
exactly: no drift, no half-sample shift, however long the recording. The
interpolation kernel is a Kaiser-windowed sinc that is flat up to 0.8 of the
lower Nyquist frequency and at -80 dB from that frequency on, so nothing folds.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import (
    Missing,
    Segments,
    as_rows,
    check_choice,
    check_finite,
    check_segments,
    odd_extend,
    row_blocks,
)
from neuro.typing import AnyArray, FloatArray

__all__ = ["Resampler", "resample", "resampled_ranges"]

_ATTENUATION_DB = 80.0
_BETA = 0.1102 * (_ATTENUATION_DB - 8.7)  # Kaiser's rule for that attenuation
_TRANSITION = 0.1  # width in cycles a sample of the slower rate: 0.4 (flat) to 0.5 (stopped)
_REACH = (_ATTENUATION_DB - 7.95) / (2.285 * 2 * np.pi * _TRANSITION) / 2  # slow samples a side
_LARGEST_TABLE = 4096  # up or down beyond this: evaluate the kernel instead of tabulating it
_OUTPUT_BLOCK = 1 << 15


def _as_rate(name: str, rate: Fraction | float) -> Fraction:
    if isinstance(rate, float) and not rate.is_integer():
        raise ConfigError(
            f"{name}={rate!r} is a rounded rate. Pass a Fraction, e.g. Fraction(5, 7) for "
            "1/1.4 Hz, so that time stays exact."
        )
    exact = Fraction(rate)
    if exact <= 0:
        raise ConfigError(f"{name}={rate} must be positive.")
    return exact


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


class _Kernel:
    """Interpolation weights for one ratio; positions count 1/up of an input sample.

    Output ``m`` lies at position ``m * down``, input ``k`` at ``k * up``; they
    meet if their distance is at most ``reach``. All positions are integers.
    """

    def __init__(self, up: int, down: int, tabulate: bool) -> None:
        self.up, self.down = up, down
        self.slow = min(1.0, up / down)
        self.reach = int(_REACH / self.slow * up)
        self.edge = _ceil(self.reach, up)  # in input samples
        self.table = self._tabulate() if tabulate else None

    def weight(self, distance: AnyArray) -> NDArray[np.float64]:
        """Windowed sinc at integer distances; 0 beyond the reach."""
        cutoff = self.slow * (1.0 - _TRANSITION)  # twice the -6 dB point, in cycles a sample
        inside = 1.0 - (distance / (self.reach + 1)) ** 2
        window = np.i0(_BETA * np.sqrt(np.maximum(inside, 0.0)))
        out = np.sinc(cutoff * distance / self.up) * window
        return np.where(np.abs(distance) <= self.reach, out, 0.0)

    def _tabulate(self) -> NDArray[np.float64]:
        table = self.weight(np.arange(-self.reach, self.reach + 1))
        for phase in range(min(self.up, len(table))):
            # each output is a weighted mean: a constant stays that constant
            table[phase :: self.up] /= table[phase :: self.up].sum()
        return table

    def first_input(self, m: int) -> int:
        """First input sample that output ``m`` needs."""
        return _ceil(m * self.down - self.reach, self.up)

    def outputs_before(self, position: int) -> int:
        """Number of outputs (from 0 on) at positions below ``position``."""
        return max(0, _ceil(position, self.down))

    def run(self, x: NDArray[np.float64], k0: int, m0: int, m1: int) -> NDArray[np.float64]:
        """Outputs [m0, m1) from inputs ``x`` whose first sample has index ``k0``."""
        missing = np.isnan(x)
        any_missing = bool(missing.any())
        clean = np.where(missing, 0.0, x) if any_missing else x
        apply = self._exact if self.table is None else self._polyphase
        out = apply(clean, k0, m0, m1)
        if any_missing:
            m = np.arange(m0, m1)
            first = -((self.reach - m * self.down) // self.up) - k0
            last = (m * self.down + self.reach) // self.up - k0
            before = np.pad(np.cumsum(missing, axis=1), ((0, 0), (1, 0)))
            out[before[:, last + 1] > before[:, first]] = np.nan
        return out

    def _polyphase(self, x: NDArray[np.float64], k0: int, m0: int, m1: int) -> NDArray[np.float64]:
        from scipy import signal

        table = self._tabulate() if self.table is None else self.table
        # upfirdn starts at its own position 0: shift the table so that an output falls on m0
        lead = m0 * self.down + self.reach - k0 * self.up
        shift = -lead % self.down
        table = np.concatenate([np.zeros(shift), table]) if shift else table
        skip = (lead + shift) // self.down
        out = signal.upfirdn(table, x, self.up, self.down, axis=-1)
        return np.asarray(out[:, skip : skip + m1 - m0], dtype=np.float64)

    def _exact(self, x: NDArray[np.float64], k0: int, m0: int, m1: int) -> NDArray[np.float64]:
        out = np.empty((len(x), m1 - m0))
        for start in range(m0, m1, _OUTPUT_BLOCK):
            stop = min(start + _OUTPUT_BLOCK, m1)
            position = np.arange(start, stop, dtype=np.int64) * self.down
            first = -((self.reach - position) // self.up)
            total, weights = np.zeros((len(x), stop - start)), np.zeros(stop - start)
            # one tap at a time: the order of the additions is the same for any chunk
            for j in range(2 * self.reach // self.up + 1):
                k = first + j
                weight = self.weight(position - k * self.up)
                total += weight * x[:, np.minimum(k - k0, x.shape[1] - 1)]
                weights += weight
            out[:, start - m0 : stop - m0] = total / weights
        return out


@lru_cache(maxsize=16)
def _kernel(up: int, down: int) -> _Kernel:
    """Kernel of a ratio; epochs resampled one by one share it."""
    return _Kernel(up, down, tabulate=max(up, down) <= _LARGEST_TABLE)


class Resampler:
    """Resample a stream; the result does not depend on how it is cut, bit for bit.

    The kernel looks ahead 25 samples of the slower rate, so output follows
    input with that delay; ``flush`` returns what is left, extending the end
    (as the beginning) by point reflection.

    Parameters
    ----------
    sfreq_in, sfreq_out : Fraction or int
        Rates in Hz.
    n_chans : int
        Rows of every chunk.
    start : int
        Index of the first sample on the recording's own grid. The output grid
        starts at sample 0 of the recording, so ``next_output`` is then
        ``ceil(start * sfreq_out / sfreq_in)``.
    nan : "raise" or "propagate"
        NaN is an error, or every output that would use it becomes NaN.

    Raises
    ------
    ConfigError
        Rates that are not positive or not exact.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 1000))
    >>> stream = Resampler(250, 100, n_chans=2)
    >>> parts = [stream.push(x[:, :123]), stream.push(x[:, 123:]), stream.flush()]
    >>> y, _ = resample(x, 250, 100)
    >>> bool(np.array_equal(np.concatenate(parts, axis=1), y))
    True
    """

    def __init__(
        self,
        sfreq_in: Fraction | int,
        sfreq_out: Fraction | int,
        n_chans: int,
        *,
        start: int = 0,
        nan: Missing = "raise",
    ) -> None:
        check_choice("nan", nan, ("raise", "propagate"))
        if n_chans < 1:
            raise ConfigError(f"n_chans={n_chans} must be at least 1.")
        ratio = _as_rate("sfreq_out", sfreq_out) / _as_rate("sfreq_in", sfreq_in)
        self._kernel = _kernel(ratio.numerator, ratio.denominator)
        self.n_chans = n_chans
        self.nan = nan
        self.reset(start=start)

    def reset(self, *, start: int = 0) -> None:
        """Forget everything; the next sample has index ``start`` (use it at a gap)."""
        if start < 0:
            raise ConfigError(f"start={start} must not be negative.")
        self._start = start
        self._received = 0
        self._buffer: NDArray[np.float64] = np.empty((self.n_chans, 0))
        self._buffer_start = start
        self._extended = False
        self._closed = False
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self.next_output = _ceil(start * self._kernel.up, self._kernel.down)

    def push(self, chunk: AnyArray) -> FloatArray:
        """Take the next samples, return the outputs that are now determined.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            The samples that follow those pushed before.

        Returns
        -------
        float array, shape (n_chans, n_out)
            Outputs from index ``next_output`` (its value before the call) on.

        Raises
        ------
        DataError
            Wrong shape, NaN under ``nan="raise"``, or a push after ``flush``.

        Examples
        --------
        >>> Resampler(100, 50, n_chans=1).push(np.ones((1, 200))).shape
        (1, 75)
        """
        chunk = np.asarray(chunk)
        if self._closed:
            raise DataError("The stream was flushed; call reset(start=...) before pushing again.")
        if chunk.ndim != 2 or len(chunk) != self.n_chans:
            raise DataError(f"Expected a chunk of shape ({self.n_chans}, n), got {chunk.shape}.")
        rows, lead, self._dtype = as_rows(chunk)
        if rows.shape[1] == 0:
            return np.empty((self.n_chans, 0), self._dtype)
        if self.nan == "raise":
            check_finite(rows, check_segments(None, rows.shape[1]), lead, None)
        x = rows.astype(np.float64)
        if self.nan == "propagate":
            x[~np.isfinite(x)] = np.nan
        self._buffer = np.concatenate([self._buffer, x], axis=1)
        self._received += x.shape[1]
        if not self._extended:
            if self._received <= self._kernel.edge:
                return np.empty((self.n_chans, 0), self._dtype)
            self._extend_start()
        # output m needs input floor((m * down + reach) / up)
        known = (self._start + self._received) * self._kernel.up - self._kernel.reach
        return self._emit(self._kernel.outputs_before(known))

    def flush(self) -> FloatArray:
        """End the stream and return the remaining outputs.

        Returns
        -------
        float array, shape (n_chans, n_out)
            Outputs up to the last one before the end of the input.
        """
        if self._closed or self._received == 0:
            self._closed = True
            return np.empty((self.n_chans, 0), self._dtype)
        self._closed = True
        if not self._extended:
            self._extend_start()
        # the extension mirrors raw samples only; a short stream keeps all of them in the buffer
        raw = self._buffer[:, max(0, self._start - self._buffer_start) :]
        edge = self._kernel.edge
        tail = odd_extend(raw, 0, edge)[:, raw.shape[1] :]
        self._buffer = np.concatenate([self._buffer, tail], axis=1)
        stop = (self._start + self._received) * self._kernel.up
        return self._emit(self._kernel.outputs_before(stop))

    def _extend_start(self) -> None:
        self._buffer = np.asarray(odd_extend(self._buffer, self._kernel.edge, 0), np.float64)
        self._buffer_start = self._start - self._kernel.edge
        self._extended = True

    def _emit(self, stop: int) -> FloatArray:
        if stop <= self.next_output:
            return np.empty((self.n_chans, 0), self._dtype)
        out = self._kernel.run(self._buffer, self._buffer_start, self.next_output, stop)
        self.next_output = stop
        # the kernel reaches as far back as ahead, so what the next output needs also holds the
        # samples that a reflection at the end would mirror
        drop = max(0, self._kernel.first_input(stop) - self._buffer_start)
        self._buffer = self._buffer[:, drop:].copy()
        self._buffer_start += drop
        return out.astype(self._dtype, copy=False)

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays (copies), enough to continue in another process.

        Returns
        -------
        dict of str to array
            ``buffer`` and ``counters``.
        """
        counters = [
            self._start,
            self._received,
            self._buffer_start,
            self.next_output,
            int(self._extended),
            int(self._closed),
            int(self._dtype == np.float32),
        ]
        return {"buffer": self._buffer.copy(), "counters": np.array(counters, dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping
            ``buffer`` and ``counters`` of a resampler with the same rates and channels.

        Raises
        ------
        DataError
            Missing entries or another shape.
        """
        if set(state) != {"buffer", "counters"}:
            raise DataError(f"A state has 'buffer' and 'counters', got {sorted(state)}.")
        buffer = np.array(state["buffer"], dtype=np.float64)
        counters = np.asarray(state["counters"])
        if buffer.ndim != 2 or len(buffer) != self.n_chans or counters.shape != (7,):
            raise DataError(
                f"The state has a buffer {buffer.shape} and counters {counters.shape}; this "
                f"resampler needs ({self.n_chans}, n) and (7,)."
            )
        values = [int(v) for v in counters]
        self._start, self._received, self._buffer_start, self.next_output = values[:4]
        self._extended, self._closed = bool(values[4]), bool(values[5])
        self._dtype = np.dtype(np.float32 if values[6] else np.float64)
        self._buffer = buffer


def resampled_ranges(
    segments: Segments, n_times: int, sfreq_in: Fraction | int, sfreq_out: Fraction | int
) -> NDArray[np.int64]:
    """Sample ranges on the new grid that cover the same half-open times.

    Parameters
    ----------
    segments : int array, shape (n, 2)
        Half-open sample ranges at the old rate.
    n_times : int
        Samples at the old rate.
    sfreq_in, sfreq_out : Fraction or int
        Rates in Hz.

    Returns
    -------
    int64 array, shape (n, 2)
        ``ceil(index * sfreq_out / sfreq_in)``, so ranges that touch still touch.

    Raises
    ------
    DataError
        A segment is so short that no sample of the new grid falls in it.

    Examples
    --------
    >>> resampled_ranges([[0, 5], [5, 11]], 11, 100, 40).tolist()
    [[0, 2], [2, 5]]
    """
    ranges = check_segments(segments, n_times)
    ratio = _as_rate("sfreq_out", sfreq_out) / _as_rate("sfreq_in", sfreq_in)
    new = np.array(
        [[_ceil(i * ratio.numerator, ratio.denominator) for i in pair] for pair in ranges.tolist()],
        dtype=np.int64,
    )
    if (new[:, 0] == new[:, 1]).any():
        i = int(np.flatnonzero(new[:, 0] == new[:, 1])[0])
        raise DataError(
            f"Segment {i} {ranges[i].tolist()} holds no sample at {float(sfreq_out):g} Hz; drop "
            "segments shorter than one new sample first."
        )
    return new


def resample(
    x: AnyArray,
    sfreq_in: Fraction | int,
    sfreq_out: Fraction | int,
    segments: Segments | None = None,
    *,
    nan: Missing = "raise",
    ch_names: Sequence[str] | None = None,
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Resample along the last axis, each segment on its own.

    Sample 0 of the result lies at the time of sample 0 of the input, and
    sample ``m`` at ``m / sfreq_out`` after it, also inside later segments.
    Content above 0.8 of the lower Nyquist frequency is rolled off and is 80 dB
    down at that frequency. Segment ends are extended by point reflection.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal in any unit.
    sfreq_in, sfreq_out : Fraction or int
        Exact rates in Hz, e.g. ``Fraction(5, 7)`` for a TR of 1.4 s.
    segments : int array, shape (n, 2), or None
        Half-open sample ranges; None is one segment.
    nan : "raise" or "propagate"
        NaN inside a segment is an error, or every output that would use it
        becomes NaN.
    ch_names : sequence of str or None
        Names of the second last axis, for messages only.

    Returns
    -------
    y : float array, shape (..., ceil(n_times * sfreq_out / sfreq_in))
        Resampled signal, NaN outside segments; float32 for float32 input.
    new_segments : int64 array, shape (n, 2)
        Ranges of the segments in ``y``.

    Raises
    ------
    DataError
        NaN in a segment (the channel is named), bad segments.
    ConfigError
        Rates that are not positive or not exact.

    Examples
    --------
    >>> x = np.sin(2 * np.pi * 5 * np.arange(1000) / 250)
    >>> y, segments = resample(x, 250, 100)
    >>> y.shape, segments.tolist()
    ((400,), [[0, 400]])
    >>> truth = np.sin(2 * np.pi * 5 * np.arange(400) / 100)
    >>> bool(np.abs(y - truth)[30:-30].max() < 1e-3)
    True
    """
    check_choice("nan", nan, ("raise", "propagate"))
    rows, lead, dtype = as_rows(x)
    ranges = check_segments(segments, rows.shape[1])
    rate_in, rate_out = _as_rate("sfreq_in", sfreq_in), _as_rate("sfreq_out", sfreq_out)
    new = resampled_ranges(ranges, rows.shape[1], rate_in, rate_out)
    if nan == "raise":
        check_finite(rows, ranges, lead, ch_names)
    ratio = rate_out / rate_in
    n_out = _ceil(rows.shape[1] * ratio.numerator, ratio.denominator)
    out = np.full((len(rows), n_out), np.nan, dtype)
    for (start, stop), (first, last) in zip(ranges.tolist(), new.tolist(), strict=True):
        for block in row_blocks(len(rows), max(stop - start, last - first)):
            if ratio == 1:
                out[block, first:last] = rows[block, start:stop]
                continue
            size = block.stop - block.start
            stream = Resampler(rate_in, rate_out, size, start=start, nan="propagate")
            head = stream.push(rows[block, start:stop])
            out[block, first:last] = np.concatenate([head, stream.flush()], axis=1)
    return out.reshape(*lead, n_out), new
