"""How far a measure would move with other people: the jackknife over independent units."""

from collections.abc import Callable

import numpy as np

from neuro.errors import DataError
from neuro.typing import AnyArray, BoolArray, IntArray

__all__ = ["Spread", "jackknife", "unit_codes"]

# more units than this are left out in lots of several: the cost stays bounded and
# the standard error hardly changes
_MOST_LOTS = 50
# below this a standard error means nothing
_LEAST_UNITS = 3
_LEVEL = 0.95


class Spread(tuple[float, float, int]):
    """Lower end, upper end and number of units; NaN ends where there are too few."""


def unit_codes(units: AnyArray | None, n: int) -> IntArray | None:
    """Number of each sample's unit from 0, checked; None without units."""
    if units is None:
        return None
    array = np.asarray(units)
    if array.shape != (n,):
        raise DataError(f"One unit a sample is needed: {n} samples, units of shape {array.shape}.")
    return np.asarray(np.unique(array, return_inverse=True)[1].astype(np.int64))


def jackknife(
    value: float, without: Callable[[BoolArray], float], code: IntArray | None, seed: int = 0
) -> Spread:
    """95 % interval of a measure, from leaving out one unit at a time.

    A bootstrap would draw units twice, and repeated samples look like
    information (and like explained variance) to plug-in estimates; leaving
    out does not repeat any.

    Parameters
    ----------
    value : float
        The measure on all samples.
    without : callable(mask) -> float
        The measure on the samples of the mask; NaN where it is not defined.
    code : ndarray of int, shape (n,), optional
        Unit of each sample.
    seed : int
        Deals units into lots where there are more than 50.

    Returns
    -------
    Spread
        By Student's t with one degree of freedom less than lots.

    References
    ----------
    Tukey (1958); Efron & Stein (1981), eq. 1.3.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> lo, hi, n = jackknife(x.mean(), lambda keep: float(x[keep].mean()), np.arange(4))
    >>> round(lo, 3), round(hi, 3), n  # the usual interval of a mean
    (0.446, 4.554, 4)
    """
    nan = float("nan")
    n_units = 0 if code is None else int(code.max()) + 1
    if code is None or n_units < _LEAST_UNITS:
        return Spread((nan, nan, n_units))
    lot = code
    if n_units > _MOST_LOTS:
        order = np.random.default_rng(seed).permutation(n_units)
        lot = np.asarray((order % _MOST_LOTS)[code])
    n = min(n_units, _MOST_LOTS)
    values = np.array([without(lot != k) for k in range(n)])
    if not np.isfinite(values).all():
        return Spread((nan, nan, n_units))
    from scipy.special import stdtrit

    error = np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())
    half = float(stdtrit(n - 1, (1 + _LEVEL) / 2) * error)
    return Spread((float(value) - half, float(value) + half, n_units))
