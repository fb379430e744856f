"""Many small optimisations at once: L-BFGS with a step length for each row.

In a GLM every unit's weights are a problem of their own, yet all share the design, so
one matrix product serves them together. Rows that are done drop out of the products.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Minimum", "minimise_rows"]

# (theta of these rows, rows) -> value of each, gradient of each
Objective: TypeAlias = Callable[[FloatArray, IntArray], tuple[FloatArray, FloatArray]]
# (gradient of these rows, rows) -> gradient times an inverse curvature
Precondition: TypeAlias = Callable[[FloatArray, IntArray], FloatArray]

_ARMIJO = 1e-4
_SHRINK = 0.35
_MOST_TRIES = 14


class Minimum(NamedTuple):
    """``theta`` (n_rows, n_parameters), ``value`` (n_rows,), ``done`` (n_rows,)."""

    theta: FloatArray
    value: FloatArray
    done: BoolArray


def minimise_rows(
    objective: Objective,
    theta: FloatArray,
    precondition: Precondition,
    *,
    n_steps: int,
    tol: float,
    noise: float = 1e-13,
    memory: int = 6,
) -> Minimum:
    """Descend in every row; no row's value ever rises by more than rounding.

    Parameters
    ----------
    objective : callable
        Values and gradients of some rows.
    theta : array, shape (n_rows, n_parameters)
        Start.
    precondition : callable
        Approximate inverse curvature, symmetric and positive.
    n_steps : int
        Most steps.
    tol : float
        A row is done when the decrease that a full step promises is below this.
    noise : float
        Relative rounding of a value: rises below it are not taken for rises.
    memory : int
        Pairs of steps and gradient changes that are kept.

    Returns
    -------
    Minimum
        Where each row arrived.
    """
    theta = theta.copy()
    rows: IntArray = np.arange(len(theta))
    value, gradient = objective(theta, rows)
    pairs: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    done = np.zeros(len(theta), dtype=bool)
    for _ in range(n_steps):
        direction = -_two_loops(gradient, pairs, precondition)
        slope = np.einsum("np,np->n", gradient, direction)
        uphill = slope > 0
        if uphill.any():
            direction[uphill] = -precondition(gradient, rows)[uphill]
            slope = np.einsum("np,np->n", gradient, direction)
        done |= -slope <= tol
        if done.all():
            break
        moved, new_theta, new_value, new_gradient = _line_search(
            objective, theta, value, gradient, direction, slope, ~done, noise
        )
        change, bend = new_theta - theta, new_gradient - gradient
        curvature = np.einsum("np,np->n", change, bend)
        usable = moved & (curvature > 1e-10 * np.einsum("np,np->n", bend, bend) ** 0.5
                          * np.einsum("np,np->n", change, change) ** 0.5)  # fmt: skip
        inverse = np.where(usable, 1 / np.where(usable, curvature, 1.0), 0.0)
        pairs = [*pairs[-memory + 1 :], (change, bend, inverse)]
        done |= ~moved
        theta, value, gradient = new_theta, new_value, new_gradient
    return Minimum(theta, value, done)


def _two_loops(
    gradient: FloatArray,
    pairs: list[tuple[FloatArray, FloatArray, FloatArray]],
    precondition: Precondition,
) -> FloatArray:
    """Inverse curvature times gradient, row by row (Nocedal, Math. Comp. 35:773, 1980)."""
    out = gradient.copy()
    shares = []
    for change, bend, inverse in reversed(pairs):
        share = inverse * np.einsum("np,np->n", change, out)
        out -= share[:, np.newaxis] * bend
        shares.append(share)
    out = precondition(out, np.arange(len(out)))
    for (change, bend, inverse), share in zip(pairs, reversed(shares), strict=True):
        out += (share - inverse * np.einsum("np,np->n", bend, out))[:, np.newaxis] * change
    return out


def _line_search(
    objective: Objective,
    theta: FloatArray,
    value: FloatArray,
    gradient: FloatArray,
    direction: FloatArray,
    slope: FloatArray,
    wanted: BoolArray,
    noise: float,
) -> tuple[BoolArray, FloatArray, FloatArray, FloatArray]:
    """Backtracking; rows without a decrease stay where they are."""
    new_theta, new_value, new_gradient = theta.copy(), value.copy(), gradient.copy()
    moved = np.zeros(len(theta), dtype=bool)
    rows, step = np.flatnonzero(wanted), np.ones(len(theta))
    for _ in range(_MOST_TRIES):
        tried = theta[rows] + step[rows, np.newaxis] * direction[rows]
        found, slopes = objective(tried, rows)
        allowed = value[rows] + _ARMIJO * step[rows] * slope[rows] + noise * np.abs(value[rows])
        good = np.isfinite(found) & (found <= allowed)
        won = rows[good]
        new_theta[won], new_value[won], new_gradient[won] = tried[good], found[good], slopes[good]
        moved[won] = True
        rows = rows[~good]
        if not len(rows):
            break
        step[rows] *= _SHRINK
    return moved, new_theta, new_value, new_gradient
