"""Correlation of autocorrelated series: effective sample size and honest p.

Two slow series that have nothing to do with each other correlate by chance
far more than independent samples would: for AR(1) with phi 0.8 and 300 samples
the textbook test calls 35 % of unrelated pairs significant at 0.05.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.stats._tensors import tensors_too
from neuro.typing import AnyArray, FloatArray

__all__ = ["Correlation", "autocorrelation", "correlation_test", "effective_n", "pearson"]

_SMALLEST_N = 3.0 + 1e-9  # leaves the t distribution a positive number of degrees of freedom


class Correlation(NamedTuple):
    """A correlation with its test; all three have the leading shape of the input."""

    r: FloatArray
    p: FloatArray
    n_eff: FloatArray


def _pair(x: AnyArray, y: AnyArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim < 1 or b.ndim < 1 or a.shape[-1] != b.shape[-1] or a.shape[-1] < 3:
        raise DataError(
            f"Two series need the same length, at least 3, along the last axis: got {a.shape} "
            f"and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("NaN or inf in a series: cut or interpolate it before correlating.")
    return a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)


@tensors_too
def pearson(x: AnyArray, y: AnyArray) -> FloatArray:
    """Pearson correlation along the last axis, broadcasting over the others.

    Parameters
    ----------
    x, y : array, shape (..., n_times)
        Series.

    Returns
    -------
    float64 array, shape (...)
        r in [-1, 1]; 0 where a series is constant.

    Raises
    ------
    DataError
        Lengths differ, fewer than 3 samples, or NaN.

    Examples
    --------
    >>> round(float(pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]))), 9)
    1.0
    """
    a, b = _pair(x, y)
    # a mean in float64 leaves noise of this size on a constant series; that is not signal
    floor_a = 1e-14 * np.sqrt(a.shape[-1]) * np.abs(np.asarray(x, dtype=np.float64)).max(axis=-1)
    floor_b = 1e-14 * np.sqrt(b.shape[-1]) * np.abs(np.asarray(y, dtype=np.float64)).max(axis=-1)
    norm_a, norm_b = np.sqrt((a * a).sum(-1)), np.sqrt((b * b).sum(-1))
    product = (a * b).sum(-1)
    usable = (norm_a > floor_a) & (norm_b > floor_b)
    r = np.divide(product, norm_a * norm_b, out=np.zeros_like(product), where=usable)
    return np.asarray(np.clip(r, -1.0, 1.0))


@tensors_too
def autocorrelation(x: AnyArray, max_lag: int) -> FloatArray:
    """Autocorrelation at lags 0 to ``max_lag`` along the last axis.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Series.
    max_lag : int
        Largest lag, below ``n_times``.

    Returns
    -------
    float64 array, shape (..., max_lag + 1)
        Biased estimate (divided by the variance over all samples), which shrinks
        long lags; 0 at lags above 0 for a constant series.

    Raises
    ------
    DataError
        Too short or NaN.
    ConfigError
        ``max_lag`` out of range.

    Examples
    --------
    >>> autocorrelation(np.array([1.0, -1, 1, -1]), 1).tolist()
    [1.0, -0.75]
    """
    a, _ = _pair(x, x)
    n = a.shape[-1]
    if not 0 <= max_lag < n:
        raise ConfigError(f"max_lag={max_lag} must lie between 0 and n_times - 1 = {n - 1}.")
    size = 1 << (n + max_lag).bit_length()  # long enough that lags do not wrap around
    power = np.abs(np.fft.rfft(a, size)) ** 2
    products = np.fft.irfft(power, size)[..., : max_lag + 1]
    out = np.zeros_like(products)
    np.divide(products, products[..., :1], out=out, where=products[..., :1] > 0)
    out[..., 0] = 1.0
    return out


@tensors_too
def effective_n(x: AnyArray, y: AnyArray, *, max_lag: int | None = None) -> FloatArray:
    """Number of independent samples two autocorrelated series are worth (Bartlett).

    Parameters
    ----------
    x, y : array, shape (..., n_times)
        Series; leading axes broadcast.
    max_lag : int or None
        Largest lag in the sum; None is a fifth of the length.

    Returns
    -------
    float64 array, shape (...)
        ``n / (1 + 2 sum_k rho_x(k) rho_y(k))``, at least 3 and at most ``n_times``.

    Raises
    ------
    DataError
        Lengths differ, fewer than 3 samples, or NaN.
    ConfigError
        ``max_lag`` out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = np.cumsum(rng.standard_normal((2, 500)), axis=1)
    >>> bool(effective_n(x, y) < 50)
    True
    """
    a, b = _pair(x, y)
    n = a.shape[-1]
    lag = n // 5 if max_lag is None else max_lag
    product = autocorrelation(a, lag)[..., 1:] * autocorrelation(b, lag)[..., 1:]
    inflation = 1 + 2 * product.sum(axis=-1)
    # a noisy sum can fall to 0 or below; no more than n samples are ever claimed
    return np.asarray(np.clip(n / np.maximum(inflation, 1.0), _SMALLEST_N, n))


@tensors_too
def correlation_test(x: AnyArray, y: AnyArray, *, max_lag: int | None = None) -> Correlation:
    """Pearson correlation with a two-sided p that respects autocorrelation.

    Parameters
    ----------
    x, y : array, shape (..., n_times)
        Series; leading axes broadcast.
    max_lag : int or None
        As in :func:`effective_n`; 0 gives the naive test of independent samples.

    Returns
    -------
    Correlation
        ``r``, ``p`` (t distribution with ``n_eff - 2`` degrees of freedom) and
        ``n_eff``; a constant series has r 0 and p 1.

    Raises
    ------
    DataError
        Lengths differ, fewer than 3 samples, or NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, y = np.cumsum(rng.standard_normal((2, 300)), axis=1)
    >>> naive, honest = correlation_test(x, y, max_lag=0), correlation_test(x, y)
    >>> bool(naive.p < 1e-4), bool(honest.p > 0.05)
    (True, True)
    """
    from scipy import special

    r = pearson(x, y)
    n_eff = np.broadcast_to(effective_n(x, y, max_lag=max_lag), r.shape)
    df = n_eff - 2
    t = np.abs(r) * np.sqrt(df / np.maximum(1 - r**2, 1e-300))
    return Correlation(r, np.asarray(2 * special.stdtr(df, -t)), n_eff)
