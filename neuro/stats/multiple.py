"""Corrections for testing many hypotheses at once."""

from typing import NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stats._tensors import tensors_too
from neuro.stats.resampling import Tail, permutation_p
from neuro.typing import AnyArray, BoolArray, FloatArray

__all__ = ["Discoveries", "benjamini_hochberg", "max_statistic"]


class Discoveries(NamedTuple):
    """Which hypotheses are rejected, and the adjusted p-values."""

    rejected: BoolArray
    adjusted: FloatArray


@tensors_too
def benjamini_hochberg(p: AnyArray, q: float = 0.05) -> Discoveries:
    """Control the false discovery rate at ``q`` (Benjamini & Hochberg 1995).

    Valid for independent or positively dependent tests.

    Parameters
    ----------
    p : array, shape (...)
        p-values of one family, any shape.
    q : float
        Share of false ones tolerated among the rejected.

    Returns
    -------
    Discoveries
        ``rejected`` and ``adjusted``, both with the shape of p.

    Raises
    ------
    DataError
        Empty, NaN, or values outside [0, 1].
    ConfigError
        ``q`` outside (0, 1).

    Examples
    --------
    >>> result = benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5]))
    >>> result.adjusted.round(4).tolist(), result.rejected.tolist()
    ([0.04, 0.0533, 0.0533, 0.5], [True, False, False, False])
    """
    values = np.asarray(p, dtype=np.float64)
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"p-values must lie in [0, 1], one or more, got shape {values.shape}.")
    if not 0 < q < 1:
        raise ConfigError(f"q={q} must lie between 0 and 1.")
    flat = values.ravel()
    order = np.argsort(flat)
    scaled = flat[order] * len(flat) / np.arange(1, len(flat) + 1)
    adjusted = np.empty_like(flat)
    # a larger p never gets a smaller adjusted one: running minimum from the top
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return Discoveries((adjusted <= q).reshape(values.shape), adjusted.reshape(values.shape))


@tensors_too
def max_statistic(observed: AnyArray, null: AnyArray, *, tail: Tail = "greater") -> FloatArray:
    """P-values that control the chance of any false positive, by the maximum.

    Every surrogate must hold all tests under the same permutation, which keeps
    their dependence; the statistics should share a scale.

    Parameters
    ----------
    observed : array, shape (...)
        Statistics of all tests of the family.
    null : array, shape (n, ...)
        The same statistics of n surrogates.
    tail : "greater", "less" or "two-sided"
        Which deviations count; two-sided compares absolute values.

    Returns
    -------
    float64 array, shape (...)
        Corrected p-values, with the +1 rule.

    Raises
    ------
    DataError
        Shapes do not fit or NaN.
    ConfigError
        Unknown tail.

    Examples
    --------
    >>> null = np.random.default_rng(0).standard_normal((999, 20))
    >>> p = max_statistic(np.r_[6.0, np.zeros(19)], null)
    >>> bool(p[0] <= 0.001), float(p[1])
    (True, 1.0)
    """
    value: FloatArray = np.asarray(observed, dtype=np.float64)
    draws: FloatArray = np.asarray(null, dtype=np.float64)
    if draws.ndim < 1 or draws.shape[1:] != value.shape or draws.size == 0:
        raise DataError(
            f"null must have shape (n >= 1, *observed.shape), got {draws.shape} for {value.shape}."
        )
    if tail == "two-sided":
        value, draws = np.abs(value), np.abs(draws)
    elif tail == "less":
        value, draws = -value, -draws
    elif tail != "greater":
        raise ConfigError(f"tail={tail!r} is not known: use 'greater', 'less' or 'two-sided'.")
    largest = draws.reshape(len(draws), -1).max(axis=1)
    flat = value.ravel()
    family = np.broadcast_to(largest[:, np.newaxis], (len(draws), len(flat)))
    return permutation_p(flat, family).reshape(value.shape)
