"""Haemodynamic responses: the double gamma of SPM and of Glover (1999).

The response is a density in time: ``h(t)`` integrates to 1 over seconds, so a
long event of amplitude ``a`` settles at ``a``, and an event of duration 0 is an
impulse of area ``a`` seconds.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import check_choice
from neuro.typing import AnyArray, FloatArray

__all__ = ["HRF_MODELS", "DoubleGamma", "convolve_hrf", "double_gamma", "hrf"]

_TAIL_S = 80.0  # beyond it either response is below 1e-15 of its peak


@dataclass(frozen=True, kw_only=True)
class DoubleGamma:
    """Parameters of a positive gamma density minus a scaled later one.

    Parameters
    ----------
    delay_s, undershoot_s : float
        Means of the two gamma densities in seconds (SPM's first two
        parameters); each peaks one dispersion earlier.
    dispersion_s, undershoot_dispersion_s : float
        Scales of the two gamma densities in seconds.
    ratio : float
        Area of the undershoot relative to the response, in [0, 1).

    Raises
    ------
    ConfigError
        A parameter out of range.

    Examples
    --------
    >>> round(DoubleGamma().with_peak(4.0).delay_s, 2)
    5.0
    """

    delay_s: float = 6.0
    undershoot_s: float = 16.0
    dispersion_s: float = 1.0
    undershoot_dispersion_s: float = 1.0
    ratio: float = 1.0 / 6.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        scales = (self.dispersion_s, self.undershoot_dispersion_s)
        if min(scales) <= 0 or self.delay_s <= scales[0] or self.undershoot_s <= scales[1]:
            raise ConfigError(
                f"{self}: dispersions must be positive and delays longer than them, "
                "or the response does not start at 0."
            )
        if not 0 <= self.ratio < 1:
            raise ConfigError(f"ratio={self.ratio} must lie in [0, 1): the net area is 1 - ratio.")

    def with_peak(self, peak_s: float) -> "DoubleGamma":
        """Same widths and ratio, moved so that the response is largest at ``peak_s``.

        The undershoot keeps its distance to the response. An earlier response
        is also a sharper one: the width of a gamma density grows with its mean.
        """
        from scipy import optimize

        if not peak_s > 0:
            raise ConfigError(f"peak_s={peak_s} must be positive.")

        def moved(delay_s: float) -> DoubleGamma:
            later = self.undershoot_s + delay_s - self.delay_s
            return replace(self, delay_s=delay_s, undershoot_s=later)

        def slope(delay_s: float) -> float:
            return _slope(peak_s, moved(delay_s))

        # the positive gamma alone peaks at delay - dispersion; the undershoot, which only
        # rises there, pulls the maximum a little earlier
        low = peak_s + self.dispersion_s
        if slope(low) >= 0:
            return moved(low)
        return moved(float(optimize.brentq(slope, low, low + peak_s + 5 * self.dispersion_s)))


HRF_MODELS = MappingProxyType(
    {
        "spm": DoubleGamma(),
        "glover": DoubleGamma(
            undershoot_s=12.0, dispersion_s=0.9, undershoot_dispersion_s=0.9, ratio=0.48
        ),
    }
)
"""The responses by name, with the parameters nilearn and SPM use."""


def _shape(model: str | DoubleGamma, peak_s: float | None) -> DoubleGamma:
    if isinstance(model, str):
        check_choice("model", model, tuple(HRF_MODELS))
        model = HRF_MODELS[model]
    return model if peak_s is None else model.with_peak(peak_s)


def _density(t: NDArray[np.float64], mean_s: float, scale_s: float) -> NDArray[np.float64]:
    from scipy import special

    k = mean_s / scale_s
    u = np.maximum(t, 0.0) / scale_s
    return np.asarray(np.exp(special.xlogy(k - 1, u) - u - special.gammaln(k)) / scale_s)


def _cumulative(t: NDArray[np.float64], mean_s: float, scale_s: float) -> NDArray[np.float64]:
    from scipy import special

    return np.asarray(special.gammainc(mean_s / scale_s, np.maximum(t, 0.0) / scale_s))


def _slope(t: float, shape: DoubleGamma) -> float:
    """Derivative of the response at one time, up to a positive factor."""
    at = np.array(t)
    terms = (
        (shape.delay_s, shape.dispersion_s, 1.0),
        (shape.undershoot_s, shape.undershoot_dispersion_s, -shape.ratio),
    )
    return sum(
        weight * float(_density(at, mean, scale)) * ((mean / scale - 1) / t - 1 / scale)
        for mean, scale, weight in terms
    )


def double_gamma(
    t_s: AnyArray, model: str | DoubleGamma = "spm", *, integral: bool = False
) -> FloatArray:
    """Response at any time, as a density of area 1.

    Parameters
    ----------
    t_s : array, shape (...)
        Seconds after an impulse; 0 for negative times.
    model : "spm", "glover" or DoubleGamma
        Shape.
    integral : bool
        Return the response to a step at time 0 instead.

    Returns
    -------
    float64 array, shape (...)
        Per second, or without unit for the step.

    Raises
    ------
    ConfigError
        Unknown model.

    Examples
    --------
    >>> t = np.arange(0, 40, 0.01)
    >>> float(t[double_gamma(t).argmax()])
    5.0
    >>> round(float(double_gamma(np.array(100.0), integral=True)), 9)
    1.0
    """
    shape = _shape(model, None)
    t = np.asarray(t_s, dtype=np.float64)
    part = _cumulative if integral else _density
    response = part(t, shape.delay_s, shape.dispersion_s)
    undershoot = part(t, shape.undershoot_s, shape.undershoot_dispersion_s)
    return np.asarray((response - shape.ratio * undershoot) / (1 - shape.ratio))


def hrf(
    dt: float,
    model: str | DoubleGamma = "spm",
    *,
    peak_s: float | None = None,
    length_s: float = 32.0,
    norm: Literal["sum", "peak", "area"] = "sum",
) -> FloatArray:
    """Sample a haemodynamic response at 0, dt, 2 dt, ... below ``length_s``.

    Parameters
    ----------
    dt : float
        Step in seconds.
    model : "spm", "glover" or DoubleGamma
        Shape.
    peak_s : float or None
        Time of the maximum in seconds; None keeps the model's (5.0 for both).
    length_s : float
        Length in seconds.
    norm : "sum", "peak" or "area"
        The samples sum to 1 (a kernel for discrete convolution), the largest is
        1, or values per second as they are.

    Returns
    -------
    float64 array, shape (ceil(length_s / dt),)
        Response.

    Raises
    ------
    ConfigError
        Unknown model or norm, or a step that is not positive and well below the
        length.

    Examples
    --------
    >>> kernel = hrf(0.1, "glover", peak_s=4.0, norm="peak")
    >>> kernel.shape, int(kernel.argmax()), float(kernel.max())
    ((320,), 40, 1.0)
    """
    check_choice("norm", norm, ("sum", "peak", "area"))
    if not 0 < dt <= length_s / 4:
        raise ConfigError(f"dt={dt} s must be positive and at most a quarter of {length_s} s.")
    n = int(np.ceil(length_s / dt - 1e-9))
    values = double_gamma(np.arange(n) * dt, _shape(model, peak_s))
    if norm == "sum":
        return np.asarray(values / values.sum())
    return np.asarray(values / values.max()) if norm == "peak" else values


def convolve_hrf(
    onset_s: ArrayLike,
    duration_s: ArrayLike = 0.0,
    amplitude: ArrayLike = 1.0,
    *,
    tr: float,
    n_times: int,
    model: str | DoubleGamma = "spm",
    peak_s: float | None = None,
    t0_s: float = 0.0,
) -> FloatArray:
    """Expected BOLD course of events, sampled every ``tr`` seconds.

    The convolution is exact: an event of duration d contributes the step
    response at its onset minus the one at its end, an event of duration 0 the
    response itself. No oversampling grid, so onsets are never rounded.

    Parameters
    ----------
    onset_s : array, shape (n_events,)
        Onsets in seconds; those before ``t0_s`` count too.
    duration_s : array, shape (n_events,), or float
        Durations in seconds, 0 or more.
    amplitude : array, shape (n_events,), or float
        Height of each event; for duration 0 its area in seconds.
    tr : float
        Time between samples in seconds.
    n_times : int
        Number of samples.
    model : "spm", "glover" or DoubleGamma
        Shape of the response.
    peak_s : float or None
        Time of the maximum in seconds; None keeps the model's (5.0 for both).
    t0_s : float
        Time of the first sample (start of the run plus slice reference).

    Returns
    -------
    float64 array, shape (n_times,)
        Sum of the responses, in units of amplitude.

    Raises
    ------
    DataError
        Values that are not finite, negative durations, or lengths that differ.
    ConfigError
        Unknown model, or tr or n_times not positive.

    Examples
    --------
    >>> course = convolve_hrf([10.0], [60.0], tr=2.0, n_times=50)
    >>> bool(course[:6].max() == 0.0), round(float(course[34]), 3)
    (True, 1.0)
    """
    if not tr > 0 or n_times < 1:
        raise ConfigError(f"tr={tr} and n_times={n_times} must be positive.")
    shape = _shape(model, peak_s)
    out = np.zeros(n_times)
    for onset, duration, height in _check_events(onset_s, duration_s, amplitude):
        first = max(0, int(np.ceil((onset - t0_s) / tr)))
        last = min(n_times, int(np.ceil((onset + duration + _TAIL_S - t0_s) / tr)) + 1)
        if first >= last:
            continue
        t = t0_s + np.arange(first, last) * tr - onset
        course = double_gamma(t, shape, integral=duration > 0)
        if duration > 0:
            course = course - double_gamma(t - duration, shape, integral=True)
        out[first:last] += height * course
    return out


def _check_events(
    onset_s: ArrayLike, duration_s: ArrayLike, amplitude: ArrayLike
) -> list[tuple[float, float, float]]:
    """Events as (onset, duration, amplitude), checked."""
    onsets = np.atleast_1d(np.asarray(onset_s, dtype=np.float64))
    try:
        durations = np.broadcast_to(np.asarray(duration_s, dtype=np.float64), onsets.shape)
        heights = np.broadcast_to(np.asarray(amplitude, dtype=np.float64), onsets.shape)
    except ValueError as error:
        raise DataError(
            f"onset_s {onsets.shape}, duration_s {np.shape(duration_s)} and amplitude "
            f"{np.shape(amplitude)} must have one value an event."
        ) from error
    if onsets.ndim != 1 or not all(np.isfinite(v).all() for v in (onsets, durations, heights)):
        raise DataError("Onsets, durations and amplitudes must be finite and one-dimensional.")
    if (durations < 0).any():
        raise DataError(f"A duration is negative: {float(durations.min())} s.")
    return list(zip(onsets.tolist(), durations.tolist(), heights.tolist(), strict=True))
