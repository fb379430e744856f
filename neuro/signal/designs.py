"""Filter designs: Butterworth sections and linear-phase FIR taps.

A design is a plain array: second-order sections ``(n_sections, 6)``, or taps
``(n_taps,)`` of a Hamming-windowed sinc. :mod:`neuro.signal.filters` applies it.
"""

from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from neuro.errors import ConfigError
from neuro.signal._segments import check_choice
from neuro.typing import FloatArray

__all__ = ["Method", "bandpass", "highpass", "lowpass", "notch"]

Method: TypeAlias = Literal["iir", "fir"]
_Kind: TypeAlias = Literal["lowpass", "highpass", "bandpass", "bandstop"]

_HAMMING_LENGTH = 3.3  # taps of a Hamming-windowed sinc = 3.3 x sfreq / transition band


def _check_edge(name: str, freq: float, sfreq: float) -> None:
    if not 0 < freq < sfreq / 2:
        raise ConfigError(
            f"{name}={freq:g} Hz must lie between 0 and the Nyquist frequency "
            f"{sfreq / 2:g} Hz (sfreq {sfreq:g} Hz), both excluded."
        )


def _butter(order: int, edges: float | list[float], kind: _Kind, sfreq: float) -> FloatArray:
    from scipy import signal

    if order < 1:
        raise ConfigError(f"order={order} must be at least 1.")
    return np.asarray(signal.butter(order, edges, kind, output="sos", fs=sfreq), dtype=np.float64)


def _windowed_sinc(cutoff: float, transition: float, sfreq: float) -> FloatArray:
    """Low-pass taps of odd length, gain 1 at 0 Hz and 1/2 at ``cutoff``."""
    from scipy import signal

    n_taps = round(_HAMMING_LENGTH * sfreq / transition)
    n_taps += 1 - n_taps % 2
    taps = signal.firwin(n_taps, cutoff, window="hamming", pass_zero=True, fs=sfreq)
    return np.asarray(taps, dtype=np.float64)


def _subtract(taps: FloatArray, other: FloatArray) -> FloatArray:
    """``taps - other``, both symmetric and of odd length, aligned at their centres."""
    n = max(len(taps), len(other))
    out = np.zeros(n)
    out[(n - len(taps)) // 2 : (n + len(taps)) // 2] += taps
    out[(n - len(other)) // 2 : (n + len(other)) // 2] -= other
    return out


def _low_transition(l_freq: float, transition_hz: float | None) -> float:
    width = min(max(0.25 * l_freq, 2.0), l_freq) if transition_hz is None else transition_hz
    if not 0 < width <= l_freq:
        raise ConfigError(f"The transition below {l_freq:g} Hz is {width:g} Hz; it must fit there.")
    return width


def _high_transition(h_freq: float, sfreq: float, transition_hz: float | None) -> float:
    room = sfreq / 2 - h_freq
    width = min(max(0.25 * h_freq, 2.0), room) if transition_hz is None else transition_hz
    if not 0 < width <= room * (1 + 1e-12):
        raise ConfigError(
            f"The transition above {h_freq:g} Hz is {width:g} Hz, but only {room:g} Hz are left "
            "below the Nyquist frequency."
        )
    return width


def lowpass(
    h_freq: float,
    sfreq: float | Fraction,
    *,
    method: Method = "iir",
    order: int = 4,
    transition_hz: float | None = None,
) -> FloatArray:
    """Design a low-pass filter.

    Parameters
    ----------
    h_freq : float
        Edge in Hz: the -3 dB point of the Butterworth filter; for the FIR the
        end of the pass band (its -6 dB point lies half a transition higher).
    sfreq : float or Fraction
        Sampling rate in Hz.
    method : "iir" or "fir"
        Butterworth sections or Hamming-windowed sinc.
    order : int
        Butterworth order; zero-phase application doubles the attenuation.
    transition_hz : float or None
        FIR only; None means ``min(max(0.25 * edge, 2), room)``, MNE's rule.

    Returns
    -------
    float64 array, shape (n_sections, 6) or (n_taps,)
        Second-order sections or taps.

    Raises
    ------
    ConfigError
        The edge is not below the Nyquist frequency, or an option is unknown.

    Examples
    --------
    >>> lowpass(40, 250).shape, lowpass(40, 250, method="fir").shape
    ((2, 6), (83,))
    """
    check_choice("method", method, ("iir", "fir"))
    fs = float(sfreq)
    _check_edge("h_freq", h_freq, fs)
    if method == "iir":
        return _butter(order, h_freq, "lowpass", fs)
    width = _high_transition(h_freq, fs, transition_hz)
    return _windowed_sinc(h_freq + width / 2, width, fs)


def highpass(
    l_freq: float,
    sfreq: float | Fraction,
    *,
    method: Method = "iir",
    order: int = 4,
    transition_hz: float | None = None,
) -> FloatArray:
    """Design a high-pass filter; parameters as in :func:`lowpass`.

    Parameters
    ----------
    l_freq : float
        Edge in Hz: the -3 dB point of the Butterworth filter; for the FIR the
        start of the pass band.
    sfreq : float or Fraction
        Sampling rate in Hz.
    method : "iir" or "fir"
        Butterworth sections or Hamming-windowed sinc.
    order : int
        Butterworth order.
    transition_hz : float or None
        FIR only; None means ``min(max(0.25 * edge, 2), edge)``.

    Returns
    -------
    float64 array, shape (n_sections, 6) or (n_taps,)
        Second-order sections or taps; the gain at 0 Hz is 0.

    Raises
    ------
    ConfigError
        The edge is not between 0 and the Nyquist frequency.

    Examples
    --------
    >>> taps = highpass(1.0, 100, method="fir")
    >>> len(taps), abs(round(float(taps.sum()), 12))
    (331, 0.0)
    """
    check_choice("method", method, ("iir", "fir"))
    fs = float(sfreq)
    _check_edge("l_freq", l_freq, fs)
    if method == "iir":
        return _butter(order, l_freq, "highpass", fs)
    width = _low_transition(l_freq, transition_hz)
    return _subtract(np.ones(1), _windowed_sinc(l_freq - width / 2, width, fs))


def bandpass(
    l_freq: float,
    h_freq: float,
    sfreq: float | Fraction,
    *,
    method: Method = "iir",
    order: int = 4,
    transition_hz: tuple[float | None, float | None] = (None, None),
) -> FloatArray:
    """Design a band-pass filter; edges as in :func:`lowpass` and :func:`highpass`.

    Parameters
    ----------
    l_freq, h_freq : float
        Edges in Hz, ``l_freq < h_freq``.
    sfreq : float or Fraction
        Sampling rate in Hz.
    method : "iir" or "fir"
        Butterworth sections or Hamming-windowed sinc.
    order : int
        Butterworth order of each slope (the filter has twice as many poles).
    transition_hz : tuple of two float or None
        FIR only: widths of the lower and the upper transition.

    Returns
    -------
    float64 array, shape (n_sections, 6) or (n_taps,)
        Second-order sections or taps.

    Raises
    ------
    ConfigError
        Edges out of order or out of range.

    Examples
    --------
    >>> bandpass(8, 13, 250).shape
    (4, 6)
    """
    check_choice("method", method, ("iir", "fir"))
    fs = float(sfreq)
    _check_edge("l_freq", l_freq, fs)
    _check_edge("h_freq", h_freq, fs)
    if l_freq >= h_freq:
        raise ConfigError(
            f"l_freq={l_freq:g} must be below h_freq={h_freq:g}; to remove a band use notch()."
        )
    if method == "iir":
        return _butter(order, [l_freq, h_freq], "bandpass", fs)
    low = _low_transition(l_freq, transition_hz[0])
    high = _high_transition(h_freq, fs, transition_hz[1])
    upper = _windowed_sinc(h_freq + high / 2, high, fs)
    return _subtract(upper, _windowed_sinc(l_freq - low / 2, low, fs))


def notch(
    freq: float,
    sfreq: float | Fraction,
    *,
    width_hz: float = 2.0,
    method: Method = "iir",
    order: int = 2,
) -> FloatArray:
    """Design a band-stop filter around one frequency, e.g. the mains.

    Parameters
    ----------
    freq : float
        Centre in Hz.
    sfreq : float or Fraction
        Sampling rate in Hz.
    width_hz : float
        Distance of the two -3 dB (FIR: -6 dB) points. The FIR's transitions
        are half as wide, so its stop band is half of this.
    method : "iir" or "fir"
        Butterworth sections or Hamming-windowed sinc.
    order : int
        Butterworth order of each slope.

    Returns
    -------
    float64 array, shape (n_sections, 6) or (n_taps,)
        Second-order sections or taps.

    Raises
    ------
    ConfigError
        The stop band touches 0 Hz or the Nyquist frequency.

    Examples
    --------
    >>> from scipy import signal
    >>> _, gain = signal.freqz_sos(notch(50, 250), [10, 50], fs=250)
    >>> bool(abs(gain[0]) > 0.999), bool(abs(gain[1]) < 1e-4)
    (True, True)
    """
    check_choice("method", method, ("iir", "fir"))
    fs = float(sfreq)
    low, high = freq - width_hz / 2, freq + width_hz / 2
    if not low < high:
        raise ConfigError(f"width_hz={width_hz:g} must be positive.")
    _check_edge("freq - width_hz / 2", low, fs)
    _check_edge("freq + width_hz / 2", high, fs)
    if method == "iir":
        return _butter(order, [low, high], "bandstop", fs)
    inner = _subtract(_windowed_sinc(high, width_hz / 2, fs), _windowed_sinc(low, width_hz / 2, fs))
    return _subtract(np.ones(1), inner)
