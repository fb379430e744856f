"""Goodness of fit of a spiking model by time rescaling."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["Rescaling", "rescaled_intervals", "time_rescaling"]


class Rescaling(NamedTuple):
    """Of each unit: largest distance from the diagonal, its p value, intervals used."""

    distance: FloatArray
    p: FloatArray
    n_intervals: IntArray


def rescaled_intervals(
    counts: AnyArray,
    expected: AnyArray,
    *,
    seed: Seed,
    kind: Literal["poisson", "bernoulli"] = "poisson",
) -> FloatArray:
    """Intervals between spikes in units of expected spikes, put on (0, 1).

    If the model is right they are uniform: Brown et al., Neural Comput. 14:325 (2002).
    Where in its bin a spike fell is drawn from the model, which removes the bias of
    coarse bins (Haslinger, Pipa and Brown, Neural Comput. 22:2477, 2010).

    Parameters
    ----------
    counts : int array, shape (n_bins,)
        Spikes of one unit in one session.
    expected : array, shape (n_bins,)
        What the model expected of each bin: a count, or a probability if "bernoulli".
    seed : int or Generator
        Of the places within bins.
    kind : {"poisson", "bernoulli"}
        Distribution of a bin.

    Returns
    -------
    float64 array, shape (n_spikes - 1,)
        ``1 - exp(-interval)``.

    Raises
    ------
    DataError
        Lengths differ, negative values, or probabilities above 1.
    ConfigError
        Unknown kind.

    Examples
    --------
    >>> rescaled_intervals([1, 0, 1], [0.5, 0.5, 0.5], seed=0).shape
    (1,)
    """
    n, mean = np.asarray(counts), np.asarray(expected, dtype=np.float64)
    if kind not in ("poisson", "bernoulli"):
        raise ConfigError(f"kind={kind!r} is not known: use 'poisson' or 'bernoulli'.")
    if n.shape != mean.shape or n.ndim != 1:
        raise DataError(f"{n.shape} counts for {mean.shape} expected counts; one each a bin.")
    if not (np.isfinite(mean).all() and (mean >= 0).all() and (n >= 0).all()):
        raise DataError("Counts and expectations are finite and 0 or more; leave out gaps.")
    if kind == "bernoulli" and ((mean >= 1).any() or (n > 1).any()):
        raise DataError("Bernoulli bins hold 0 or 1 and probabilities are below 1.")
    hazard = mean if kind == "poisson" else -np.log1p(-mean)
    before = np.concatenate([[0.0], np.cumsum(hazard)[:-1]])
    bins = np.repeat(np.arange(len(n)), n.astype(np.int64))
    place = np.random.default_rng(seed).random(len(bins))
    if kind == "poisson":
        intervals = np.diff(np.sort(before[bins] + place * hazard[bins]))
    else:
        # given that there was one, early in the bin is likelier; what is left of the bin
        # after its one spike is not lived through
        inside = -np.log1p(-place * -np.expm1(-hazard[bins]))
        intervals = before[bins[1:]] + inside[1:] - (before + hazard)[bins[:-1]]
    return np.asarray(-np.expm1(-intervals))


def time_rescaling(
    counts: Sequence[AnyArray],
    expected: Sequence[AnyArray],
    *,
    seed: Seed,
    kind: Literal["poisson", "bernoulli"] = "poisson",
) -> Rescaling:
    """Kolmogorov-Smirnov test of every unit's rescaled intervals against uniform.

    Parameters
    ----------
    counts, expected : sequence of array, each (n_units, n_bins)
        One a session; intervals do not cross sessions.
    seed : int or Generator
        Of the places within bins.
    kind : {"poisson", "bernoulli"}
        Distribution of a bin.

    Returns
    -------
    Rescaling
        NaN for units with fewer than two spikes in every session.

    Raises
    ------
    DataError
        As in :func:`rescaled_intervals`.

    Examples
    --------
    >>> x = np.random.default_rng(0).poisson(0.2, (1, 2000))
    >>> bool(time_rescaling([x], [np.full((1, 2000), 0.2)], seed=0).p[0] > 0.01)
    True
    >>> bool(time_rescaling([x], [np.full((1, 2000), 0.4)], seed=0).p[0] > 0.01)
    False
    """
    from scipy.stats import kstest

    rng = np.random.default_rng(seed)
    n_units = len(counts[0])
    distance, p = np.full(n_units, np.nan), np.full(n_units, np.nan)
    size = np.zeros(n_units, dtype=np.int64)
    for unit in range(n_units):
        parts = [
            rescaled_intervals(c[unit], e[unit], seed=rng, kind=kind)
            for c, e in zip(counts, expected, strict=True)
        ]
        found = np.concatenate(parts)
        size[unit] = len(found)
        if len(found):
            distance[unit], p[unit] = kstest(found, "uniform")
    return Rescaling(distance, p, size)
