"""Permutation p-values and bootstrap intervals over independent units.

The unit is the highest level that was drawn independently: the subject where
there are several, else the run or block. Windows of one subject are not
independent; an interval over windows is too narrow by construction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.stats._tensors import tensors_too
from neuro.typing import AnyArray, FloatArray, Seed

__all__ = [
    "Interval",
    "Statistic",
    "Tail",
    "bca_levels",
    "bootstrap_interval",
    "paired_bootstrap",
    "permutation_p",
    "sign_flip_p",
]

Tail: TypeAlias = Literal["greater", "less", "two-sided"]
Statistic: TypeAlias = Literal["mean", "median"] | Callable[[FloatArray], float]


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval.

    Parameters
    ----------
    estimate : float
        Statistic of all observations.
    low, high : float
        Ends of the interval.
    level : float
        Coverage aimed at, e.g. 0.95.
    n_units : int
        Number of independent units that were resampled.
    method : str
        "percentile" or "bca".
    """

    estimate: float
    low: float
    high: float
    level: float
    n_units: int
    method: str


@tensors_too
def permutation_p(
    observed: AnyArray | float, null: AnyArray, *, tail: Tail = "greater"
) -> FloatArray:
    """P-value of a statistic among its surrogates, with the +1 rule.

    The observed value counts as one of the draws, so p is never 0 and the test
    keeps its level for any number of surrogates (Phipson & Smyth 2010).

    Parameters
    ----------
    observed : float or array, shape (...)
        Statistic of the data.
    null : array, shape (n, ...)
        The same statistic of n surrogates.
    tail : "greater", "less" or "two-sided"
        Which deviations count; two-sided doubles the smaller tail.

    Returns
    -------
    float64 array, shape (...)
        ``(1 + #{null >= observed}) / (1 + n)``.

    Raises
    ------
    DataError
        Shapes do not fit, no surrogate, or NaN.
    ConfigError
        Unknown tail.

    Examples
    --------
    >>> float(permutation_p(2.0, np.array([0.0, 1.0, 3.0])))
    0.5
    """
    if tail not in ("greater", "less", "two-sided"):
        options = ("greater", "less", "two-sided")
        raise ConfigError(f"tail={tail!r} is not known. {did_you_mean(str(tail), options)}")
    value, draws = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if draws.ndim < 1 or draws.shape[1:] != value.shape or len(draws) == 0:
        raise DataError(
            f"null must have shape (n >= 1, *observed.shape), got {draws.shape} for {value.shape}."
        )
    if np.isnan(value).any() or np.isnan(draws).any():
        raise DataError("NaN among the statistics: score the failed runs before testing.")
    # equal values must count as equal although they were summed in another order
    slack = 1e-12 * np.maximum(np.abs(value), np.abs(draws).max(axis=0))
    above = (1 + (draws >= value - slack).sum(axis=0)) / (1 + len(draws))
    below = (1 + (draws <= value + slack).sum(axis=0)) / (1 + len(draws))
    if tail == "greater":
        return np.asarray(above)
    return np.asarray(below if tail == "less" else np.minimum(2 * np.minimum(above, below), 1.0))


def sign_flip_p(
    differences: AnyArray, *, n: int = 9999, seed: Seed, tail: Tail = "two-sided"
) -> float:
    """Test that paired differences are symmetric about 0, by flipping signs.

    Parameters
    ----------
    differences : array, shape (n_units,)
        One difference an independent unit.
    n : int
        Number of random sign patterns; all ``2 ** n_units`` are used where
        that is no more.
    seed : int or Generator
        Source of randomness.
    tail : "greater", "less" or "two-sided"
        Sign of the mean difference that counts.

    Returns
    -------
    float
        p-value of the mean difference.

    Raises
    ------
    DataError
        Fewer than two units, or NaN.

    Examples
    --------
    >>> sign_flip_p(np.array([1.0, 2.0, 1.5, 0.5]), seed=0, tail="greater")
    0.0625
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or len(d) < 2 or not np.isfinite(d).all():
        raise DataError(f"Two or more finite differences are needed, got shape {d.shape}.")
    size = len(d)
    if size < 30 and 2**size <= n + 1:
        codes = np.arange(1, 2**size)  # all patterns but the observed one
        signs = 1.0 - 2.0 * ((codes[:, np.newaxis] >> np.arange(size)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, size))
    return float(permutation_p(d.mean(), signs @ d / size, tail=tail))


def _unit_rows(n_obs: int, units: AnyArray | None) -> list[NDArray[np.int64]]:
    """Indices of the observations of every unit."""
    if units is None:
        return [np.array([i]) for i in range(n_obs)]
    found = np.asarray(units)
    if found.shape != (n_obs,):
        raise DataError(f"units must name the unit of each of {n_obs} rows, got {found.shape}.")
    _, codes, counts = np.unique(found, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    return [part.astype(np.int64) for part in np.split(order, np.cumsum(counts)[:-1])]


def _statistic(statistic: Statistic) -> Callable[[FloatArray], float]:
    if callable(statistic):
        return statistic
    if statistic not in ("mean", "median"):
        raise ConfigError(
            f"statistic={statistic!r} is not known. {did_you_mean(statistic, ('mean', 'median'))}"
        )
    return np.mean if statistic == "mean" else np.median


def _resampled(
    values: NDArray[np.float64],
    rows: list[NDArray[np.int64]],
    statistic: Statistic,
    draws: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Statistic of the pooled rows of every draw of units, shape (len(draws),)."""
    if statistic == "mean" and values.ndim == 1:
        # the pooled mean needs only each unit's sum and count
        sums = np.array([values[r].sum() for r in rows])
        counts = np.array([len(r) for r in rows], dtype=np.float64)
        return np.asarray(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))
    if statistic == "median" and values.ndim == 1 and len(rows) == len(values):
        return np.asarray(np.median(values[draws], axis=1))
    function = _statistic(statistic)
    return np.array([function(values[np.concatenate([rows[u] for u in d])]) for d in draws])


def bca_levels(
    boot: FloatArray, estimate: float, jackknife: FloatArray, level: float
) -> tuple[float, float]:
    """Quantile levels of a BCa interval, corrected for bias and skew (Efron 1987).

    Parameters
    ----------
    boot : array, shape (n,)
        Statistic of the bootstrap draws.
    estimate : float
        Statistic of the data.
    jackknife : array, shape (n_units,)
        Statistic with one unit left out at a time.
    level : float
        Coverage, between 0 and 1.

    Returns
    -------
    tuple of two float
        Where to take the quantiles of ``boot``.

    Examples
    --------
    >>> low, high = bca_levels(np.linspace(-1, 1, 101), 0.0, np.array([-1.0, 0.0, 1.0]), 0.9)
    >>> round(low, 3), round(high, 3)
    (0.05, 0.95)
    """
    from scipy import special

    # ties count half, so that a discrete statistic is not taken for a biased one
    equal = np.isclose(boot, estimate, rtol=1e-12, atol=1e-12 * float(np.ptp(boot)))
    below = ((boot < estimate) & ~equal).mean() + 0.5 * equal.mean()
    bias = special.ndtri(np.clip(below, 0.5 / len(boot), 1 - 0.5 / len(boot)))
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum())
    skew = float((deviations**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    ends = special.ndtr(bias + z / np.maximum(1 - skew * z, 1e-12))
    return float(ends[0]), float(ends[1])


def bootstrap_interval(
    values: AnyArray,
    statistic: Statistic = "mean",
    *,
    seed: Seed,
    units: AnyArray | None = None,
    n: int = 9999,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "bca",
) -> Interval:
    """Bootstrap interval of a statistic, resampling independent units whole.

    Parameters
    ----------
    values : array, shape (n_obs,) or (n_obs, k)
        Observations; rows are what the statistic sees.
    statistic : "mean", "median" or callable
        Function of the pooled rows of the drawn units that returns a number.
    seed : int or Generator
        Source of randomness.
    units : array, shape (n_obs,), or None
        Independent unit of each row (subject, else run, else block). None: every
        row is a unit.
    n : int
        Number of bootstrap draws.
    level : float
        Coverage, between 0 and 1.
    method : "percentile" or "bca"
        Plain percentiles, or corrected for bias and skew with a jackknife over
        units.

    Returns
    -------
    Interval
        Estimate and ends. With fewer than about 10 units any bootstrap interval
        is too short; ``n_units`` says how many there were.

    Raises
    ------
    DataError
        Fewer than two units, or NaN.
    ConfigError
        Unknown option, level or n out of range.

    Examples
    --------
    >>> scores = np.array([0.6, 0.7, 0.65, 0.8, 0.55, 0.75])
    >>> interval = bootstrap_interval(scores, seed=0)
    >>> interval.n_units, bool(interval.low < interval.estimate < interval.high)
    (6, True)
    """
    if method not in ("percentile", "bca"):
        raise ConfigError(f"method={method!r} is not known: use 'percentile' or 'bca'.")
    if not 0 < level < 1 or n < 1:
        raise ConfigError(f"level={level} must lie between 0 and 1, and n={n} be at least 1.")
    x = np.asarray(values, dtype=np.float64)
    if x.ndim < 1 or not np.isfinite(x).all():
        raise DataError(f"Finite values with one row an observation are needed, got {x.shape}.")
    rows = _unit_rows(len(x), units)
    if len(rows) < 2:
        raise DataError(f"{len(rows)} independent unit(s): an interval needs at least two.")
    n_units = len(rows)
    estimate = float(_statistic(statistic)(x))
    draws = np.random.default_rng(seed).integers(0, n_units, size=(n, n_units))
    boot = _resampled(x, rows, statistic, draws)
    ends = ((1 - level) / 2, (1 + level) / 2)
    if method == "bca":
        left_out = np.array([np.delete(np.arange(n_units), u) for u in range(n_units)])
        ends = bca_levels(boot, estimate, _resampled(x, rows, statistic, left_out), level)
    low, high = np.quantile(boot, ends)
    return Interval(estimate, float(low), float(high), level, n_units, method)


def paired_bootstrap(
    a: AnyArray,
    b: AnyArray,
    *,
    seed: Seed,
    units: AnyArray | None = None,
    n: int = 9999,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "bca",
) -> Interval:
    """Bootstrap interval of the mean difference of paired scores.

    Parameters
    ----------
    a, b : array, shape (n_obs,)
        Scores of two methods on the same observations.
    seed : int or Generator
        Source of randomness.
    units : array, shape (n_obs,), or None
        Independent unit of each pair; None: every pair is one.
    n, level, method
        As in :func:`bootstrap_interval`.

    Returns
    -------
    Interval
        Mean of ``a - b``.

    Raises
    ------
    DataError
        Lengths differ, fewer than two units, or NaN.

    Examples
    --------
    >>> a, b = np.array([0.8, 0.7, 0.9, 0.6]), np.array([0.7, 0.65, 0.8, 0.55])
    >>> paired_bootstrap(a, b, seed=0).low > 0
    True
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(
            f"Paired scores must have one shape (n_obs,): {first.shape}, {second.shape}."
        )
    return bootstrap_interval(
        first - second, seed=seed, units=units, n=n, level=level, method=method
    )
