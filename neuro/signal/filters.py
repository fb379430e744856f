"""Filtering: offline within segments, and the streaming form.

A design is a plain array: second-order sections ``(n_sections, 6)`` of a
Butterworth filter, or the taps ``(n_taps,)`` of a linear-phase FIR. Every
causal result, offline or streamed, comes out of :class:`CausalFilter`; the
zero-phase IIR result is the same object run forward and backward.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, TypeAlias

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
from neuro.signal.designs import Method, bandpass, highpass, lowpass, notch
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "CausalFilter",
    "apply_filter",
    "bandpass",
    "filter_signal",
    "highpass",
    "lowpass",
    "notch",
    "settling_samples",
]

Phase: TypeAlias = Literal["zero", "causal"]


def _check_design(design: AnyArray) -> NDArray[np.float64]:
    found = np.array(design, dtype=np.float64)
    is_sos = found.ndim == 2 and found.shape[1] == 6 and len(found) > 0
    if not (is_sos or (found.ndim == 1 and found.size > 0)) or not np.isfinite(found).all():
        raise ConfigError(
            f"A filter is finite sections (n_sections, 6) or taps (n_taps,), got {found.shape}."
        )
    return found


def settling_samples(design: AnyArray, fraction: float = 1e-3) -> int:
    """Samples after which a filter has forgotten a jump at its input.

    Parameters
    ----------
    design : array, shape (n_sections, 6) or (n_taps,)
        Filter.
    fraction : float
        What may remain of the slowest mode, between 0 and 1 (IIR only).

    Returns
    -------
    int
        The number of taps, or the decay time of the slowest pole.

    Raises
    ------
    ConfigError
        The filter is unstable.

    Examples
    --------
    >>> settling_samples(np.ones(5)), settling_samples(highpass(1.0, 100))
    (5, 288)
    """
    design = _check_design(design)
    if design.ndim == 1:
        return len(design)
    radius = max(float(np.abs(np.roots(a)).max(initial=0.0)) for a in design[:, 3:])
    if radius >= 1:
        raise ConfigError(f"The filter is unstable: a pole has modulus {radius:.6g} >= 1.")
    return int(np.ceil(np.log(fraction) / np.log(max(radius, 1e-300))))


class CausalFilter:
    """A causal filter that carries its state from chunk to chunk.

    The output of any partition of a signal is the same, bit for bit. FIR taps
    delay the signal by ``(n_taps - 1) / 2`` samples.

    Parameters
    ----------
    design : array, shape (n_sections, 6) or (n_taps,)
        Second-order sections or FIR taps.
    n_chans : int
        Rows of every chunk.
    initial : "steady" or "zero"
        Before the first sample the input was constant at that sample's value
        (no start-up jump from an electrode offset), or zero.
    nan : "raise" or "propagate"
        A NaN or inf is an error and leaves the state as it was, or it spreads:
        through the next ``n_taps - 1`` samples of that channel (FIR), or until
        ``reset`` (IIR).

    Raises
    ------
    ConfigError
        Malformed or unstable design, unknown option.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 100))
    >>> stream = CausalFilter(lowpass(10, 100), n_chans=2)
    >>> parts = [stream.push(x[:, :30]), stream.push(x[:, 30:])]
    >>> whole = CausalFilter(lowpass(10, 100), n_chans=2).push(x)
    >>> bool(np.array_equal(np.concatenate(parts, axis=1), whole))
    True
    """

    def __init__(
        self,
        design: AnyArray,
        n_chans: int,
        *,
        initial: Literal["steady", "zero"] = "steady",
        nan: Missing = "raise",
    ) -> None:
        check_choice("initial", initial, ("steady", "zero"))
        check_choice("nan", nan, ("raise", "propagate"))
        self.design = _check_design(design)
        settling_samples(self.design)  # refuses an unstable design before it runs
        if n_chans < 1:
            raise ConfigError(f"n_chans={n_chans} must be at least 1.")
        self.n_chans = n_chans
        self.initial = initial
        self.nan = nan
        self._step_state = self._steady_state_of_ones()
        self.reset()

    def _steady_state_of_ones(self) -> NDArray[np.float64]:
        """State, without the channel axis, after an endless input of ones."""
        from scipy import signal

        if self.design.ndim == 1:
            return np.ones(len(self.design) - 1)
        return np.asarray(signal.sosfilt_zi(self.design), dtype=np.float64)

    def reset(self) -> None:
        """Forget everything: the next sample is the first one (use it at a gap)."""
        shape = self._step_state.shape
        self._state = np.zeros((*shape[:-1], self.n_chans, shape[-1]))
        self._started = False

    def push(self, chunk: AnyArray) -> FloatArray:
        """Filter the next samples.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            The samples that follow those pushed before.

        Returns
        -------
        float array, shape (n_chans, n)
            As many filtered samples; float32 for float32 input, else float64.

        Raises
        ------
        DataError
            Wrong shape or type, or NaN under ``nan="raise"``.

        Examples
        --------
        >>> CausalFilter(np.array([0.5, 0.5]), 1).push(np.array([[2.0, 4.0, 6.0]])).tolist()
        [[2.0, 3.0, 5.0]]
        """
        chunk = np.asarray(chunk)
        if chunk.ndim != 2 or len(chunk) != self.n_chans:
            raise DataError(f"Expected a chunk of shape ({self.n_chans}, n), got {chunk.shape}.")
        rows, lead, dtype = as_rows(chunk)
        if rows.shape[1] == 0:
            return np.empty(rows.shape, dtype)
        if self.nan == "raise":
            check_finite(rows, check_segments(None, rows.shape[1]), lead, None)
        x = rows.astype(np.float64)
        if not self._started:
            self._started = True
            if self.initial == "steady":
                self._state = self._step_state[..., np.newaxis, :] * x[:, :1]
        return self._run(x).astype(dtype, copy=False)

    def _run(self, x: NDArray[np.float64]) -> FloatArray:
        from scipy import signal

        if self.design.ndim == 2:
            # sosfilt runs sample by sample, so where a chunk ends cannot change a bit
            out, self._state = signal.sosfilt(self.design, x, axis=-1, zi=self._state)
            return np.asarray(out, dtype=np.float64)
        # every output is one dot product of full length over the kept history: the order of
        # the additions is the same for any chunk, which an FFT would not guarantee
        joined = np.concatenate([self._state, x], axis=1)
        kernel = np.ascontiguousarray(self.design[::-1])
        out = np.empty_like(x)
        for row, line in zip(out, joined, strict=True):
            row[:] = np.correlate(line, kernel, "valid")
        self._state = joined[:, joined.shape[1] - len(kernel) + 1 :].copy()
        return out

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays (copies), enough to continue in another process.

        Returns
        -------
        dict of str to array
            ``state`` and ``started``.
        """
        return {"state": self._state.copy(), "started": np.array(self._started)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping
            ``state`` and ``started`` of a filter with the same design and channels.

        Raises
        ------
        DataError
            Missing entries or another shape.

        Examples
        --------
        >>> first = CausalFilter(lowpass(10, 100), n_chans=1)
        >>> _ = first.push(np.ones((1, 5)))
        >>> second = CausalFilter(lowpass(10, 100), n_chans=1)
        >>> second.load_state_dict(first.state_dict())
        """
        if set(state) != {"state", "started"}:
            raise DataError(f"A filter state has 'state' and 'started', got {sorted(state)}.")
        found = np.array(state["state"], dtype=np.float64)
        if found.shape != self._state.shape:
            raise DataError(
                f"The state has shape {found.shape}, this filter needs {self._state.shape}: "
                "it belongs to another design or number of channels."
            )
        self._state = found
        self._started = bool(state["started"])


def _causal(x: NDArray[np.float64], design: NDArray[np.float64]) -> FloatArray:
    return CausalFilter(design, len(x), nan="propagate").push(x)


def _zero_phase_iir(x: NDArray[np.float64], design: NDArray[np.float64]) -> FloatArray:
    """Forward, then backward, over an odd extension that the filter forgets."""
    pad = min(x.shape[1] - 1, settling_samples(design))
    forward = _causal(np.asarray(odd_extend(x, pad, pad), dtype=np.float64), design)
    backward = _causal(np.ascontiguousarray(forward[:, ::-1], dtype=np.float64), design)
    return backward[:, ::-1][:, pad : pad + x.shape[1]]


def _zero_phase_fir(x: NDArray[np.float64], design: NDArray[np.float64]) -> FloatArray:
    """Convolution centred on every sample, over an odd extension of half a filter."""
    from scipy import signal

    half = len(design) // 2
    padded = odd_extend(x, half, half)
    missing = np.isnan(padded)
    if not missing.any():
        return np.asarray(signal.oaconvolve(padded, design[np.newaxis], mode="valid", axes=1))
    # an FFT would smear a NaN over its whole block: convolve zeros, mark what they touched
    out = signal.oaconvolve(np.where(missing, 0, padded), design[np.newaxis], "valid", axes=1)
    before = np.pad(np.cumsum(missing, axis=1), ((0, 0), (1, 0)))
    touched = before[:, len(design) :] > before[:, : -len(design)]
    return np.where(touched, np.nan, out)


def apply_filter(
    x: AnyArray,
    design: AnyArray,
    *,
    phase: Phase = "zero",
    segments: Segments | None = None,
    nan: Missing = "raise",
    short: Literal["raise", "nan"] = "raise",
    ch_names: Sequence[str] | None = None,
) -> FloatArray:
    """Filter along the last axis, each segment on its own.

    Zero phase runs an IIR design forward and backward (attenuation squared)
    and centres an FIR design; both see every segment extended by point
    reflection, by the IIR's settling time to 0.1 % (at most the segment's
    length) or half the FIR. Causal starts every segment as if its first value
    had held for ever, looks at no later sample, and equals what
    :class:`CausalFilter` streams. The arithmetic is float64.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal in any unit.
    design : array, shape (n_sections, 6) or (n_taps,)
        From :func:`bandpass`, :func:`lowpass`, :func:`highpass` or :func:`notch`.
    phase : "zero" or "causal"
        A causal FIR delays by half its length; that delay is left in.
    segments : int array, shape (n, 2), or None
        Half-open sample ranges that are filtered apart; None is one segment.
    nan : "raise" or "propagate"
        NaN or inf inside a segment is an error, or it spreads: over the taps
        that touch it (FIR), to the end of the segment (causal IIR), over the
        whole segment (zero-phase IIR). Samples outside segments may be NaN.
    short : "raise" or "nan"
        What happens to a segment too short to be filtered with zero phase
        (below the settling time to 10 %, about one period of the lowest
        edge, or below the number of taps).
    ch_names : sequence of str or None
        Names of the second last axis, for messages only.

    Returns
    -------
    float array, shape (..., n_times)
        Filtered signal, NaN outside segments; float32 for float32 input.

    Raises
    ------
    DataError
        NaN in a segment (the channel is named), a segment too short, bad segments.
    ConfigError
        Malformed or unstable design, unknown option, or a FIR that cannot be
        centred because its length is even.

    Examples
    --------
    >>> t = np.arange(500) / 250
    >>> x = np.sin(2 * np.pi * 10 * t) + np.sin(2 * np.pi * 50 * t)
    >>> y = apply_filter(x, lowpass(25, 250))
    >>> bool(np.abs(y - np.sin(2 * np.pi * 10 * t))[50:450].max() < 0.01)
    True
    """
    check_choice("phase", phase, ("zero", "causal"))
    check_choice("nan", nan, ("raise", "propagate"))
    check_choice("short", short, ("raise", "nan"))
    design = _check_design(design)
    rows, lead, dtype = as_rows(x)
    ranges = check_segments(segments, rows.shape[1])
    shortest = settling_samples(design, 0.1) if phase == "zero" else 1
    if phase == "causal":
        run = _causal
    else:
        run = _zero_phase_iir if design.ndim == 2 else _zero_phase_fir
        if design.ndim == 1 and len(design) % 2 == 0:
            raise ConfigError(f"{len(design)} taps have no centre; zero phase needs an odd number.")
    usable = ranges[:, 1] - ranges[:, 0] >= shortest
    if short == "raise" and not usable.all():
        i = int(np.flatnonzero(~usable)[0])
        start, stop = ranges[i].tolist()
        raise DataError(
            f"Segment {i} [{start}, {stop}) has {stop - start} samples, this filter needs "
            f"{shortest}. Drop it, filter before cutting, raise the lowest edge, or pass "
            "short='nan'."
        )
    if nan == "raise":
        check_finite(rows, ranges[usable], lead, ch_names)
    out = np.full(rows.shape, np.nan, dtype)
    for start, stop in ranges[usable].tolist():
        for block in row_blocks(len(rows), stop - start):
            part = rows[block, start:stop].astype(np.float64)
            if nan == "propagate":
                part[~np.isfinite(part)] = np.nan
            out[block, start:stop] = run(part, design)
    return out.reshape(*lead, rows.shape[1])


def filter_signal(
    x: AnyArray,
    sfreq: float | Fraction,
    l_freq: float | None,
    h_freq: float | None,
    *,
    method: Method = "iir",
    phase: Phase = "zero",
    order: int = 4,
    segments: Segments | None = None,
    nan: Missing = "raise",
    short: Literal["raise", "nan"] = "raise",
    ch_names: Sequence[str] | None = None,
) -> FloatArray:
    """Band-, low- or high-pass a signal; design and application in one call.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal in any unit.
    sfreq : float or Fraction
        Sampling rate in Hz.
    l_freq, h_freq : float or None
        Edges in Hz; ``None`` leaves that side open, one must be given.
    method : "iir" or "fir"
        Butterworth sections or Hamming-windowed sinc.
    phase : "zero" or "causal"
        See :func:`apply_filter`.
    order : int
        Butterworth order.
    segments : int array, shape (n, 2), or None
        Half-open sample ranges that are filtered apart.
    nan, short, ch_names
        See :func:`apply_filter`.

    Returns
    -------
    float array, shape (..., n_times)
        Filtered signal, NaN outside segments.

    Raises
    ------
    ConfigError
        No edge, or edges that do not fit the rate.
    DataError
        NaN in a segment or a segment too short.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((4, 1000)) + 100
    >>> filter_signal(x, 250, 1.0, 40.0).shape
    (4, 1000)
    """
    if l_freq is not None and h_freq is not None:
        design = bandpass(l_freq, h_freq, sfreq, method=method, order=order)
    elif l_freq is not None:
        design = highpass(l_freq, sfreq, method=method, order=order)
    elif h_freq is not None:
        design = lowpass(h_freq, sfreq, method=method, order=order)
    else:
        raise ConfigError("Both l_freq and h_freq are None: name at least one edge in Hz.")
    return apply_filter(
        x, design, phase=phase, segments=segments, nan=nan, short=short, ch_names=ch_names
    )
