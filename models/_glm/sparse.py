"""Lasso and group lasso of many units at once: accelerated proximal gradient steps.

Beck and Teboulle, SIAM J. Imaging Sci. 2:183 (2009), with a step length for each unit
and a restart where momentum leads uphill.
"""

import numpy as np

from neuro.models._glm.fit import Penalty, Share
from neuro.typing import FloatArray, IntArray

__all__ = ["fit_sparse"]


def _shrunk(
    weights: FloatArray, by: FloatArray, groups: IntArray, strength: FloatArray
) -> FloatArray:
    """Proximal step: every group moves towards zero by ``by * strength`` of its norm."""
    squares = np.zeros((len(weights), len(strength)))
    np.add.at(squares.T, groups, weights.T**2)
    norm = np.sqrt(squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        keep = np.where(norm > 0, np.maximum(1 - by[:, np.newaxis] * strength / norm, 0.0), 0.0)
    keep[:, strength == 0] = 1.0
    return np.asarray(weights * keep[:, groups])


def fit_sparse(
    share: Share,
    weights: FloatArray,
    penalty: Penalty,
    groups: IntArray,
    strength: FloatArray,
    *,
    n_steps: int,
    tol: float,
) -> FloatArray:
    """Minimise penalised minus log-likelihood plus the norms of groups of weights.

    Parameters
    ----------
    share : Share
        Data.
    weights : array, shape (n_units, n_columns)
        Start.
    penalty : Penalty
        Quadratic part.
    groups : int64 array, shape (n_columns,)
        Group of each column; one column each is the lasso.
    strength : array, shape (n_groups,)
        Weight of each group's norm, in nats; 0 leaves it alone.
    n_steps : int
        Most steps.
    tol : float
        Done when no weight moves by more than this in a step.

    Returns
    -------
    float64 array, shape (n_units, n_columns)
        Weights, exactly zero where the penalty wins.
    """
    rows: IntArray = np.arange(len(weights))

    def smooth(w: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, gradient = penalty.value_and_gradient(w[:, np.newaxis], rows)
        gained, slope = share.value_and_gradient(w, rows)
        return value - gained, penalty.project(gradient - slope[:, np.newaxis], rows)[:, 0]

    top = float(np.linalg.eigvalsh(share.gram())[-1])
    rate = 1 / (np.maximum(share.curvature(weights), 1e-8) * top + penalty.ridge.max())
    at, ahead, momentum = weights.copy(), weights.copy(), np.ones(len(weights))
    for _ in range(n_steps):
        value, gradient = smooth(ahead)
        for _ in range(30):
            new = _shrunk(ahead - rate[:, np.newaxis] * gradient, rate, groups, strength)
            step = new - ahead
            bound = value + (gradient * step).sum(axis=1) + (step**2).sum(axis=1) / (2 * rate)
            too_long = smooth(new)[0] > bound + 1e-12 * np.abs(value)
            if not too_long.any():
                break
            rate[too_long] *= 0.5
        back = ((ahead - new) * (new - at)).sum(axis=1) > 0
        following = np.where(back, 1.0, (1 + np.sqrt(1 + 4 * momentum**2)) / 2)
        carry = np.where(back, 0.0, (momentum - 1) / following)[:, np.newaxis]
        ahead, moved = new + carry * (new - at), float(np.abs(new - at).max())
        at, momentum = new, following
        if moved < tol:
            break
    return at
