"""Power spectral densities (Welch, multitaper, Burg) and band power.

All densities are one-sided, in units squared per Hz: their sum times the
frequency step is the mean power of the windows (Parseval), 0 Hz and the
Nyquist frequency counting once and all others twice.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import (
    Segments,
    as_rows,
    check_choice,
    check_finite,
    check_segments,
    row_blocks,
)
from neuro.typing import AnyArray, FloatArray

__all__ = ["BANDS", "band_power", "burg", "burg_spectrum", "psd"]

SpectralMethod: TypeAlias = Literal["welch", "multitaper", "burg"]
_Estimate: TypeAlias = Callable[[NDArray[np.float64]], FloatArray]

BANDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "delta": (1.0, 4.0),
        "theta": (4.0, 8.0),
        "alpha": (8.0, 13.0),
        "beta": (13.0, 30.0),
        "gamma": (30.0, 45.0),
    }
)
"""Canonical EEG bands in Hz, half-open, in the order of the output of band_power."""

_BLOCK_SAMPLES = 1 << 22


def burg(x: AnyArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Autoregressive coefficients by Burg's recursion.

    Minimises forward plus backward prediction error stage by stage, so the
    model is always stable and short windows need no taper. The mean is not
    removed here.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signals, zero-mean.
    order : int
        Number of coefficients, below ``n_times``.

    Returns
    -------
    coefficients : float64 array, shape (..., order)
        ``a`` of ``x[t] = a[0] x[t - 1] + ... + a[order - 1] x[t - order] + e[t]``.
    variance : float64 array, shape (...)
        Variance of ``e``, in units squared: the power of x times every stage's
        ``1 - k^2``, so that the model's spectrum integrates to the power of x.

    Raises
    ------
    DataError
        The order is not between 1 and ``n_times - 1``, or x is not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros(5000)
    >>> for t in range(1, 5000):
    ...     x[t] = 0.8 * x[t - 1] + rng.standard_normal()
    >>> a, variance = burg(x, 1)
    >>> bool(abs(a[0] - 0.8) < 0.03 and abs(variance - 1) < 0.1)
    True
    """
    rows, lead, _ = as_rows(x)
    n = rows.shape[1]
    if not 1 <= order < n:
        raise DataError(f"order={order} must lie between 1 and n_times - 1 = {n - 1}.")
    check_finite(rows, check_segments(None, n), lead, None)
    forward = rows.astype(np.float64)
    backward = forward
    variance = np.mean(forward**2, axis=1)
    a = np.zeros((len(rows), 0))
    for _ in range(order):
        forward, backward = forward[:, 1:], backward[:, :-1]
        cross = 2 * np.einsum("rt,rt->r", forward, backward)
        total = np.einsum("rt,rt->r", forward, forward) + np.einsum("rt,rt->r", backward, backward)
        # a silent channel predicts nothing; 0 keeps it silent instead of NaN
        k = np.divide(cross, total, out=np.zeros_like(cross), where=total > 0)[:, np.newaxis]
        a = np.concatenate([a - k * a[:, ::-1], k], axis=1)
        forward, backward = forward - k * backward, backward - k * forward
        variance = variance * (1 - k[:, 0] ** 2)
    return a.reshape(*lead, order), variance.reshape(lead)


def burg_spectrum(
    coefficients: AnyArray, variance: AnyArray, sfreq: float | Fraction, freqs: AnyArray
) -> FloatArray:
    """One-sided density of an autoregressive model.

    Parameters
    ----------
    coefficients : array, shape (..., order)
        As :func:`burg` returns them.
    variance : array, shape (...)
        Innovation variance, units squared.
    sfreq : float or Fraction
        Sampling rate in Hz.
    freqs : array, shape (n_freqs,)
        Frequencies in Hz, from 0 to the Nyquist frequency.

    Returns
    -------
    float64 array, shape (..., n_freqs)
        ``2 variance / sfreq / |1 - sum_k a_k exp(-2 pi i f k / sfreq)|^2``, half of
        that at 0 Hz and at the Nyquist frequency.

    Examples
    --------
    >>> burg_spectrum(np.array([0.5]), np.array(1.0), 100, np.array([10.0])).shape
    (1,)
    """
    a, fs = np.asarray(coefficients, dtype=np.float64), float(sfreq)
    f = np.asarray(freqs, dtype=np.float64)
    lags = np.arange(1, a.shape[-1] + 1)
    gain = 1 - a @ np.exp(-2j * np.pi * np.outer(lags, f) / fs)
    sides = np.where((f == 0) | (f == fs / 2), 1.0, 2.0)
    return np.asarray(sides * np.asarray(variance)[..., np.newaxis] / fs / np.abs(gain) ** 2)


def _sides(n: int) -> NDArray[np.float64]:
    """How often each rfft bin counts in a one-sided density."""
    sides = np.full(n // 2 + 1, 2.0)
    sides[0] = 1.0
    if n % 2 == 0:
        sides[-1] = 1.0
    return sides


def _welch(n: int, fs: float) -> _Estimate:
    # Hann of period n: scipy's default for spectra
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    scale = _sides(n) / (fs * np.sum(taper**2))
    return lambda x: scale * np.abs(np.fft.rfft(x * taper)) ** 2


@lru_cache(maxsize=8)
def _dpss(n: int, half_bandwidth: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slepian tapers that keep more than 90 % of their energy inside the band."""
    from scipy.signal import windows

    count = max(1, int(2 * half_bandwidth))
    tapers, ratios = windows.dpss(n, half_bandwidth, Kmax=count, return_ratios=True)
    good = ratios > 0.9
    if not good.any():
        good = ratios == ratios.max()
    return np.asarray(tapers[good], np.float64), np.asarray(ratios[good], np.float64)


def _multitaper(n: int, fs: float, bandwidth_hz: float | None) -> tuple[_Estimate, float]:
    half_bandwidth = 4.0 if bandwidth_hz is None else bandwidth_hz * n / (2 * fs)
    if not 0.5 <= half_bandwidth < n / 2:
        raise ConfigError(
            f"bandwidth_hz={bandwidth_hz} over {n} samples at {fs:g} Hz gives a time-bandwidth "
            f"product of {half_bandwidth:g}; it must lie between 0.5 and {n / 2:g}."
        )
    tapers, ratios = _dpss(n, half_bandwidth)
    sides = _sides(n) / (fs * ratios.sum())

    def estimate(x: NDArray[np.float64]) -> FloatArray:
        total = np.zeros((*x.shape[:-1], n // 2 + 1))
        for taper, ratio in zip(tapers, ratios, strict=True):
            total += ratio * np.abs(np.fft.rfft(x * taper)) ** 2
        return np.asarray(sides * total)

    return estimate, 2 * half_bandwidth * fs / n


def _burg(n: int, fs: float, order: int | None) -> _Estimate:
    if order is None:
        raise ConfigError(
            "method='burg' needs order=: the samples in about 0.04 s suit EEG (10 at 250 Hz)."
        )
    freqs = np.fft.rfftfreq(n, 1 / fs)
    return lambda x: burg_spectrum(*burg(x, order), fs, freqs)


def _window_starts(segments: NDArray[np.int64], n: int, step: int) -> NDArray[np.int64]:
    """First samples of the windows that lie inside one segment."""
    starts = [np.arange(start, stop - n + 1, step) for start, stop in segments.tolist()]
    found = np.concatenate(starts).astype(np.int64)
    if not len(found):
        longest = int((segments[:, 1] - segments[:, 0]).max())
        raise DataError(
            f"A window of {n} samples fits into no segment (the longest has {longest}); "
            "shorten length_s."
        )
    return found


def _mean_over_windows(
    rows: AnyArray, starts: NDArray[np.int64], n: int, estimate: _Estimate
) -> FloatArray:
    total = np.zeros((len(rows), n // 2 + 1))
    for block in row_blocks(len(rows), n):
        per_turn = max(1, _BLOCK_SAMPLES // (n * (block.stop - block.start)))
        for i in range(0, len(starts), per_turn):
            index = starts[i : i + per_turn, np.newaxis] + np.arange(n)
            windows = rows[block][:, index].astype(np.float64)
            windows -= windows.mean(axis=-1, keepdims=True)
            total[block] += estimate(windows).sum(axis=1)
    return total / len(starts)


def psd(
    x: AnyArray,
    sfreq: float | Fraction,
    *,
    method: SpectralMethod = "welch",
    length_s: float | None = None,
    fmin: float = 0.0,
    fmax: float | None = None,
    overlap: float = 0.5,
    bandwidth_hz: float | None = None,
    order: int | None = None,
    segments: Segments | None = None,
    ch_names: Sequence[str] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """One-sided power spectral density along the last axis.

    The signal is cut into windows that stay inside segments, the mean of each
    window is removed, and the densities of the windows are averaged.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal in any unit.
    sfreq : float or Fraction
        Sampling rate in Hz.
    method : "welch", "multitaper" or "burg"
        Hann-tapered periodogram; Slepian tapers weighted by their
        concentration; or an autoregressive model.
    length_s : float or None
        Window in seconds, which sets the frequency step ``1 / length_s``. None:
        2 s (Welch) or the longest segment (multitaper, Burg), at most the
        longest segment.
    fmin, fmax : float, float or None
        Frequencies to return, in Hz, both ends included; None is the Nyquist
        frequency.
    overlap : float
        Share of a window that the next one repeats, in [0, 1).
    bandwidth_hz : float or None
        Multitaper only: full width of the main lobe; None is eight frequency
        steps (time-bandwidth product 4).
    order : int or None
        Burg only, required: order of the model, in samples.
    segments : int array, shape (n, 2), or None
        Half-open sample ranges no window crosses.
    ch_names : sequence of str or None
        Names of the second last axis, for messages only.

    Returns
    -------
    freqs : float64 array, shape (n_freqs,)
        Frequencies in Hz.
    density : float64 array, shape (..., n_freqs)
        Units squared per Hz.

    Raises
    ------
    DataError
        NaN in a segment, no window fits, or no frequency lies in the range.
    ConfigError
        An option is unknown or out of range.

    Examples
    --------
    >>> t = np.arange(2500) / 250
    >>> freqs, density = psd(3 * np.sin(2 * np.pi * 10 * t), 250)
    >>> float(freqs[density.argmax()])
    10.0
    >>> round(float(density.sum() * freqs[1]), 6)  # the power of a sine is half its square
    4.5
    """
    check_choice("method", method, ("welch", "multitaper", "burg"))
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap={overlap} must lie in [0, 1).")
    rows, lead, _ = as_rows(x)
    ranges = check_segments(segments, rows.shape[1])
    check_finite(rows, ranges, lead, ch_names)
    fs = float(sfreq)
    n = _window_samples(ranges, fs, method, length_s)
    starts = _window_starts(ranges, n, max(1, round(n * (1 - overlap))))
    if method == "welch":
        estimate = _welch(n, fs)
    elif method == "multitaper":
        estimate, _ = _multitaper(n, fs, bandwidth_hz)
    else:
        estimate = _burg(n, fs, order)
    freqs = np.fft.rfftfreq(n, 1 / fs)
    keep = (freqs >= fmin) & (freqs <= (fs / 2 if fmax is None else fmax))
    if not keep.any():
        raise DataError(
            f"No frequency between {fmin} and {fmax} Hz: the step is {fs / n:g} Hz up to "
            f"{fs / 2:g} Hz. Lengthen length_s or widen the range."
        )
    density = _mean_over_windows(rows, starts, n, estimate)[:, keep]
    return freqs[keep], density.reshape(*lead, -1)


def _window_samples(
    ranges: NDArray[np.int64], fs: float, method: SpectralMethod, length_s: float | None
) -> int:
    longest = int((ranges[:, 1] - ranges[:, 0]).max())
    if length_s is None:
        return min(longest, round(2 * fs)) if method == "welch" else longest
    n = round(length_s * fs)
    if n < 2:
        raise ConfigError(
            f"length_s={length_s} is {n} samples at {fs:g} Hz; at least 2 are needed."
        )
    return n


def _band_weights(
    freqs: FloatArray, bands: Mapping[str, tuple[float, float]], nyquist: float
) -> NDArray[np.float64]:
    """Share of each frequency bin that lies in each band, in Hz; (n_freqs, n_bands).

    A bin is the interval of one step around its frequency, cut at 0 Hz and at
    the Nyquist frequency; bands that tile the axis therefore sum to the total.
    """
    step = float(freqs[1] - freqs[0])
    lower, upper = np.maximum(freqs - step / 2, 0), np.minimum(freqs + step / 2, nyquist)
    weights = np.zeros((len(freqs), len(bands)))
    for column, (low, high) in enumerate(bands.values()):
        inside = np.minimum(upper, high) - np.maximum(lower, low)
        weights[:, column] = np.maximum(inside, 0) / (upper - lower) * step
    return weights


def band_power(
    x: AnyArray,
    sfreq: float | Fraction,
    bands: Mapping[str, tuple[float, float]] | None = None,
    *,
    method: SpectralMethod = "welch",
    length_s: float | None = None,
    log: bool = False,
    bandwidth_hz: float | None = None,
    order: int | None = None,
    segments: Segments | None = None,
    ch_names: Sequence[str] | None = None,
) -> FloatArray:
    """Power in frequency bands along the last axis.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal in any unit.
    sfreq : float or Fraction
        Sampling rate in Hz.
    bands : mapping of name to (low, high), or None
        Half-open bands in Hz; None is :data:`BANDS` (delta, theta, alpha, beta,
        gamma).
    method, length_s, bandwidth_hz, order, segments, ch_names
        As in :func:`psd`.
    log : bool
        Return log10 of the power; a silent channel gives -inf.

    Returns
    -------
    float64 array, shape (..., n_bands)
        Integral of the density over each band, in units squared, in the order
        of ``bands``.

    Raises
    ------
    DataError
        A band reaches above the Nyquist frequency, is narrower than the
        frequency resolution of the windows, or x holds NaN.
    ConfigError
        An option is unknown or a band is not (low, high) with low < high.

    Examples
    --------
    >>> t = np.arange(1000) / 250
    >>> power = band_power(2 * np.sin(2 * np.pi * 10 * t), 250)
    >>> dict(zip(BANDS, power.round(3).tolist()))
    {'delta': 0.0, 'theta': 0.0, 'alpha': 2.0, 'beta': 0.0, 'gamma': 0.0}
    """
    bands = BANDS if bands is None else bands
    check_choice("method", method, ("welch", "multitaper", "burg"))
    if not bands:
        raise ConfigError("bands is empty: name at least one (low, high) in Hz.")
    fs = float(sfreq)
    ranges = check_segments(segments, as_rows(x)[0].shape[1])
    n = _window_samples(ranges, fs, method, length_s)
    resolution = fs / n
    if method == "multitaper":
        resolution = _multitaper(n, fs, bandwidth_hz)[1]
    for name, (low, high) in bands.items():
        if not 0 <= low < high:
            raise ConfigError(f"Band {name!r} is ({low}, {high}); it needs 0 <= low < high.")
        if high > fs / 2:
            raise DataError(
                f"Band {name!r} ends at {high:g} Hz, above the Nyquist frequency {fs / 2:g} Hz; "
                "pass bands= without it."
            )
        if high - low < resolution * (1 - 1e-9):
            raise DataError(
                f"Band {name!r} is {high - low:g} Hz wide but windows of {n / fs:g} s resolve "
                f"{resolution:g} Hz; lengthen length_s or widen the band."
            )
    freqs, density = psd(
        x,
        fs,
        method=method,
        length_s=n / fs,
        bandwidth_hz=bandwidth_hz,
        order=order,
        segments=segments,
        ch_names=ch_names,
    )
    power = np.maximum(density @ _band_weights(freqs, bands, fs / 2), 0.0)
    if not log:
        return np.asarray(power)
    out = np.full(power.shape, -np.inf)
    np.log10(power, out=out, where=power > 0)
    return out
