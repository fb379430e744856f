"""Complex spectra of windows: the one place where phases come from.

A :class:`Tapering` turns windows of samples into complex numbers ``Z`` such that
``sum_k Z_i conj(Z_j)`` over its tapers is the one-sided cross-spectral density
``S_ij`` of the window, in units squared per Hz. With this sign a channel ``j`` that
lags ``i`` has a positive imaginary part. Offline and streaming measures share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import check_choice
from neuro.signal.spectra import _sides
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "CrossMethod",
    "Tapering",
    "cross_spectrum",
    "morlet_margin",
    "morlet_spectra",
    "tapering",
]

CrossMethod: TypeAlias = Literal["welch", "multitaper"]
_Complex: TypeAlias = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Tapering:
    """How one window of samples becomes complex spectra.

    Parameters
    ----------
    tapers : float64 array, shape (n_tapers, n_times)
        Tapers, scaled so that the squared spectra sum to a density.
    bins : int64 array, shape (n_freqs,)
        Bins of the discrete Fourier transform that are kept.
    sfreq : float
        Sampling rate in Hz.
    resolution_hz : float
        Width of the main lobe: frequencies closer than this are not told apart.
    """

    tapers: NDArray[np.float64]
    bins: NDArray[np.int64]
    sfreq: float
    resolution_hz: float
    _basis: NDArray[np.float64] | None = None

    @property
    def n_times(self) -> int:
        """Samples of one window."""
        return int(self.tapers.shape[1])

    @property
    def n_tapers(self) -> int:
        """Number of tapers."""
        return len(self.tapers)

    @property
    def freqs(self) -> NDArray[np.float64]:
        """Frequencies in Hz."""
        return np.asarray(self.bins * (self.sfreq / self.n_times))

    def spectra(self, windows: AnyArray) -> _Complex:
        """Spectra of windows, their means removed.

        Parameters
        ----------
        windows : array, shape (..., n_times)
            Samples.

        Returns
        -------
        complex128 array, shape (..., n_tapers, n_freqs)
            ``Z``; sum ``Z_i conj(Z_j)`` over tapers for the density.
        """
        x = np.asarray(windows, dtype=np.float64)
        x = x - x.mean(axis=-1, keepdims=True)
        if self._basis is not None:  # few bins: one matrix product beats the fast transform
            shape = (*x.shape[:-1], self.n_tapers, len(self.bins))
            return np.ascontiguousarray(x @ self._basis).view(np.complex128).reshape(shape)
        from scipy import fft

        full = np.asarray(fft.rfft(x[..., np.newaxis, :] * self.tapers))
        return np.asarray(full[..., self.bins] * np.sqrt(_sides(self.n_times)[self.bins]))

    def part(self, bins: slice) -> "Tapering":
        """The same transform for some of its frequencies."""
        some = self.bins[bins]
        if len(some) == len(self.bins):
            return self
        return replace(self, bins=some, _basis=_basis(self.tapers, some))

    def independent(self, n_windows: int, step: int) -> float:
        """Independent observations that ``n_windows`` in a row, ``step`` apart, are worth.

        Parameters
        ----------
        n_windows : int
            Number of consecutive windows.
        step : int
            Samples from one window's start to the next.

        Returns
        -------
        float
            Tapers count by their weights, overlapping windows by their shared
            energy (Welch 1967, eq. 8, extended to several tapers).
        """
        n, total = self.n_times, 0.0
        weight = np.einsum("kt,kt->k", self.tapers, self.tapers)
        norm = float((weight**2).sum())
        for lag in range(1, min(n_windows, -(-n // step))):
            shared = self.tapers[:, lag * step :] @ self.tapers[:, : n - lag * step].T
            total += 2 * (1 - lag / n_windows) * float((shared**2).sum()) / norm
        per_window = float(weight.sum() ** 2) / norm
        return n_windows * per_window / (1 + total)


def _tapers(
    n: int, fs: float, method: CrossMethod, bandwidth_hz: float | None
) -> tuple[NDArray[np.float64], float]:
    """Tapers scaled for a two-sided density, and the width of their main lobe in Hz."""
    if method == "welch":
        if bandwidth_hz is not None:
            raise ConfigError("bandwidth_hz belongs to 'multitaper'; set length_s for 'welch'.")
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
        return hann[np.newaxis] / np.sqrt(fs * np.sum(hann**2)), fs / n
    half = 4.0 if bandwidth_hz is None else bandwidth_hz * n / (2 * fs)
    if not 0.5 <= half < n / 2:
        raise ConfigError(
            f"bandwidth_hz={bandwidth_hz} over {n} samples at {fs:g} Hz gives a time-bandwidth "
            f"product of {half:g}; it must lie between 0.5 and {n / 2:g}. Use longer windows."
        )
    from scipy.signal import windows

    count = max(1, int(2 * half))
    # periodic, as MNE cuts them, so that its connectivity values are met to rounding
    tapers, ratios = windows.dpss(n, half, Kmax=count, sym=False, return_ratios=True)
    good = (ratios > 0.9) | ((ratios == ratios.max()) & (ratios.max() <= 0.9))
    tapers, ratios = tapers[good], ratios[good]
    return tapers * np.sqrt(ratios / (fs * ratios.sum()))[:, np.newaxis], 2 * half * fs / n


def tapering(
    n_times: int,
    sfreq: float | Fraction,
    method: CrossMethod = "welch",
    *,
    fmin: float = 0.0,
    fmax: float | None = None,
    bandwidth_hz: float | None = None,
) -> Tapering:
    """Prepare the tapered transform of windows of ``n_times`` samples.

    Parameters
    ----------
    n_times : int
        Samples of a window.
    sfreq : float or Fraction
        Sampling rate in Hz.
    method : "welch" or "multitaper"
        One Hann taper of period ``n_times``, or Slepian tapers weighted by their
        concentration.
    fmin, fmax : float, float or None
        Frequencies to keep, in Hz, both ends included; None is the Nyquist frequency.
    bandwidth_hz : float or None
        Multitaper only: full width of the main lobe; None is eight frequency steps.

    Returns
    -------
    Tapering
        The prepared transform.

    Raises
    ------
    ConfigError
        Unknown method or unusable bandwidth.
    DataError
        ``fmax`` is above the Nyquist frequency or no bin lies in the range.

    Examples
    --------
    >>> tapering(256, 256, "multitaper", fmin=8, fmax=30).spectra(np.eye(2, 256)).shape
    (2, 7, 23)
    """
    check_choice("method", method, ("welch", "multitaper"))
    fs = float(sfreq)
    if n_times < 4:
        raise DataError(f"Windows of {n_times} samples are too short for a spectrum.")
    top = fs / 2 if fmax is None else fmax
    if top > fs / 2 * (1 + 1e-9):
        raise DataError(
            f"{top:g} Hz lies above the Nyquist frequency {fs / 2:g} Hz; lower fmax or the band."
        )
    freqs = np.arange(n_times // 2 + 1) * (fs / n_times)
    slack = 1e-9 * fs  # 8 Hz as 32 * 0.25 must count as 8 Hz
    bins = np.flatnonzero((freqs >= fmin - slack) & (freqs <= top + slack))
    if not len(bins):
        raise DataError(
            f"No frequency between {fmin:g} and {top:g} Hz: windows of {n_times / fs:g} s have "
            f"a step of {fs / n_times:g} Hz. Use longer windows or a wider range."
        )
    tapers, width = _tapers(n_times, fs, method, bandwidth_hz)
    chosen = bins.astype(np.int64)
    return Tapering(tapers, chosen, fs, width, _basis(tapers, chosen))


def _basis(tapers: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Tapered waves as one matrix, where that is cheaper than the fast transform."""
    n = tapers.shape[1]
    if len(bins) > 6 * np.log2(n) or n * len(bins) * len(tapers) > 1 << 22:
        return None
    wave = np.exp(-2j * np.pi * np.outer(np.arange(n), bins) / n) * np.sqrt(_sides(n)[bins])
    columns = tapers.T[:, :, np.newaxis] * wave[:, np.newaxis, :]
    return np.ascontiguousarray(columns.reshape(n, -1)).view(np.float64)


def cross_spectrum(
    x: AnyArray,
    sfreq: float | Fraction,
    *,
    method: CrossMethod = "welch",
    length_s: float | None = None,
    overlap: float = 0.5,
    fmin: float = 0.0,
    fmax: float | None = None,
    bandwidth_hz: float | None = None,
) -> tuple[FloatArray, _Complex]:
    """Cross-spectral density matrix, averaged over windows and leading axes.

    Parameters
    ----------
    x : array, shape (..., n_chans, n_times)
        Signal; windows never cross the leading axes.
    sfreq : float or Fraction
        Sampling rate in Hz.
    method, fmin, fmax, bandwidth_hz
        As in :func:`tapering`.
    length_s : float or None
        Window in seconds; None is the whole of ``n_times``.
    overlap : float
        Share of a window that the next one repeats, in [0, 1).

    Returns
    -------
    freqs : float64 array, shape (n_freqs,)
        Frequencies in Hz.
    density : complex128 array, shape (n_freqs, n_chans, n_chans)
        ``S_ij = E[X_i conj(X_j)]``, units squared per Hz; the diagonal is the
        power spectral density, and ``Im S_ij > 0`` where j lags i.

    Raises
    ------
    DataError
        No window fits, or NaN.
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 2000))
    >>> freqs, density = cross_spectrum(x, 200, length_s=1, fmax=50)
    >>> density.shape
    (51, 2, 2)
    """
    data = np.asarray(x)
    if data.ndim < 2 or data.dtype.kind not in "fiu":
        raise DataError(f"Expected real numbers (..., n_chans, n_times), got {data.shape}.")
    if not np.isfinite(data).all():
        raise DataError("NaN or inf in the signal: interpolate or drop those trials first.")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap={overlap} must lie in [0, 1).")
    n = data.shape[-1] if length_s is None else round(length_s * float(sfreq))
    if n > data.shape[-1]:
        raise DataError(f"A window of {n} samples does not fit into {data.shape[-1]}.")
    transform = tapering(n, sfreq, method, fmin=fmin, fmax=fmax, bandwidth_hz=bandwidth_hz)
    step = max(1, round(n * (1 - overlap)))
    total = np.zeros((len(transform.bins), data.shape[-2], data.shape[-2]), np.complex128)
    count = 0
    for epoch in data.reshape(-1, *data.shape[-2:]):
        for start in range(0, data.shape[-1] - n + 1, step):
            z = transform.spectra(epoch[:, start : start + n]).transpose(2, 0, 1)
            total += z @ z.conj().transpose(0, 2, 1)
            count += 1
    return transform.freqs, total / count


def morlet_margin(sfreq: float, lowest: float, n_cycles: float) -> int:
    """Samples at each end that the longest wavelet cannot reach, 3 standard deviations."""
    return int(np.ceil(3 * n_cycles / (2 * np.pi * lowest) * sfreq))


def morlet_spectra(
    x: AnyArray,
    sfreq: float | Fraction,
    freqs: Sequence[float] | AnyArray,
    *,
    n_cycles: float = 7.0,
    step: int = 1,
) -> _Complex:
    """Complex Morlet coefficients at every ``step``-th sample free of edge effects.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signal.
    sfreq : float or Fraction
        Sampling rate in Hz.
    freqs : array, shape (n_freqs,)
        Centre frequencies in Hz, above 0 and below the Nyquist frequency.
    n_cycles : float
        Cycles of a wavelet: its standard deviation in time is
        ``n_cycles / (2 pi f)`` s, in frequency ``f / n_cycles`` Hz.
    step : int
        Keep one sample in ``step``.

    Returns
    -------
    complex128 array, shape (..., n_freqs, n_kept)
        Coefficients, of the same samples for all frequencies: those farther from
        both ends than 3 standard deviations of the longest wavelet.

    Raises
    ------
    DataError
        The signal is shorter than the longest wavelet or a frequency out of range.

    Examples
    --------
    >>> t = np.arange(1000) / 250
    >>> z = morlet_spectra(np.sin(2 * np.pi * 10 * t), 250, [10.0])
    >>> bool(abs(abs(z).mean() - 1) < 0.01)  # amplitude of the sine
    True
    """
    from scipy.signal import fftconvolve

    data, fs, f = np.asarray(x, np.float64), float(sfreq), np.asarray(freqs, np.float64)
    if f.ndim != 1 or not len(f) or (f <= 0).any() or (f >= fs / 2).any():
        raise DataError(
            f"Morlet frequencies must lie between 0 and {fs / 2:g} Hz (exclusive), got {f}."
        )
    half = morlet_margin(fs, float(f.min()), n_cycles)
    kept = np.arange(half, data.shape[-1] - half, step)
    if not len(kept):
        raise DataError(
            f"{data.shape[-1]} samples are shorter than a wavelet of {n_cycles:g} cycles at "
            f"{f.min():g} Hz ({2 * half + 1} samples): use longer trials, fewer cycles or a "
            "higher frequency."
        )
    out = np.empty((*data.shape[:-1], len(f), len(kept)), np.complex128)
    for i, centre in enumerate(f):
        t = np.arange(-half, half + 1) / fs
        sigma = n_cycles / (2 * np.pi * centre)
        envelope = np.exp(-(t**2) / (2 * sigma**2))
        wave = envelope * np.exp(2j * np.pi * centre * t)
        # zero mean as sampled and cut, so that an offset of the signal leaves no trace
        wave = 2 * (wave - envelope * (wave.sum() / envelope.sum())) / envelope.sum()
        wide = fftconvolve(data, wave.reshape((1,) * (data.ndim - 1) + (-1,)), "same", axes=-1)
        out[..., i, :] = wide[..., kept]
    return out
