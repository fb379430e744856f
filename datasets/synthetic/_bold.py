"""From noise to signals as slow as BOLD."""

import numpy as np

from neuro.typing import FloatArray

__all__ = ["slow_signals", "warm_up"]


def warm_up(step_s: float) -> int:
    """Steps at the start of the noise that `slow_signals` uses up."""
    from neuro.signal import hrf

    return len(hrf(step_s)) + 100


def slow_signals(noise: FloatArray, step_s: float, persistence: float) -> FloatArray:
    """AR(1) of the noise convolved with the canonical HRF.

    Parameters
    ----------
    noise : ndarray, shape (n_rows, warm_up(step_s) + n_steps)
        White, of variance 1.
    step_s : float
        Seconds between samples.
    persistence : float
        AR(1) coefficient a step.

    Returns
    -------
    ndarray, shape (n_rows, n_steps)
        Of expected variance 1.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((1, warm_up(0.5) + 1000))
    >>> slow_signals(noise, 0.5, 0.8).shape
    (1, 1000)
    """
    from scipy.signal import fftconvolve, lfilter

    from neuro.signal import hrf

    kernel = hrf(step_s)
    neural = lfilter([1.0], [1.0, -persistence], noise, axis=1)
    bold = fftconvolve(neural, kernel[None], axes=1)[:, warm_up(step_s) : noise.shape[1]]
    impulse = np.zeros(2000)
    impulse[0] = 1.0
    response = np.convolve(lfilter([1.0], [1.0, -persistence], impulse), kernel)
    return np.asarray(bold / np.sqrt((response**2).sum()))
