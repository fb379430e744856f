"""Moves between states: one matrix for all bins, or probabilities that inputs drive.

Log odds of moving to state j rather than staying in i are linear in the inputs of the bin
that the move leads into: ``log(P[i, j] / P[i, i]) = constant + drive[i, j] @ inputs``.
``moves`` are the probabilities at inputs of zero; ``drive[i, i]`` is zero.
"""

import numpy as np

from neuro.typing import FloatArray

__all__ = ["best_moves", "driven_moves", "prior_moves"]

_MOST_NEWTON_STEPS = 25
_HALVINGS = 20


def prior_moves(n_states: int, stay: float) -> FloatArray:
    """Transition matrix with the same diagonal everywhere and the rest spread evenly."""
    if n_states == 1:
        return np.ones((1, 1))
    out = np.full((n_states, n_states), (1 - stay) / (n_states - 1))
    np.fill_diagonal(out, stay)
    return out


def driven_moves(moves: FloatArray, drive: FloatArray, inputs: FloatArray) -> FloatArray:
    """Transition matrix into each bin.

    Parameters
    ----------
    moves : array, shape (n_states, n_states)
        Probabilities where the inputs are zero.
    drive : array, shape (n_states, n_states, n_inputs)
        Log odds of moving rather than staying, for one more of each input.
    inputs : array, shape (n_bins, n_inputs)
        Of the bins that the moves lead into.

    Returns
    -------
    float64 array, shape (n_bins, n_states, n_states)
        Rows add up to 1.

    Examples
    --------
    >>> drive = np.zeros((2, 2, 1)); drive[0, 1] = np.log(4.0)
    >>> driven_moves(np.array([[0.8, 0.2], [0.5, 0.5]]), drive, np.array([[1.0]])).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    with np.errstate(divide="ignore"):
        # einsum adds up in the same order for one bin as for many
        logits = np.log(moves) + np.einsum("ijm,tm->tij", drive, inputs)
    out = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(out / out.sum(axis=2, keepdims=True))


def best_moves(
    expected: FloatArray,
    inputs: FloatArray,
    pseudo_moves: FloatArray,
    ridge: float,
    moves: FloatArray,
    drive: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Most probable constants and weights of the moves, by Newton's method.

    Parameters
    ----------
    expected : array, shape (n_bins, n_states, n_states)
        Probability of each move into each bin.
    inputs : array, shape (n_bins, n_inputs)
        Of the same bins.
    pseudo_moves : array, shape (n_states, n_states)
        Moves at inputs of zero that are added to those seen, all above zero.
    ridge : float
        Weight of ``0.5 * sum(drive**2)``.
    moves, drive : array
        Start, as in :func:`driven_moves`.

    Returns
    -------
    moves, drive : float64 array
        No less probable than the start.
    """
    n_states, n_inputs = len(moves), inputs.shape[1]
    # the prior's moves are one more bin, whose inputs are zero
    design = np.column_stack([np.ones(len(inputs) + 1), np.r_[inputs, np.zeros((1, n_inputs))]])
    seen = np.concatenate([expected, pseudo_moves[np.newaxis]])
    moves, drive = moves.copy(), drive.copy()
    for i in range(n_states):
        others = np.array([j for j in range(n_states) if j != i])
        start = np.column_stack([np.log(moves[i, others] / moves[i, i]), drive[i, others]])
        used = seen[:, i].sum(axis=1) > 1e-10
        found = _softmax_regression(design[used], seen[used, i], others, ridge, start)
        odds = np.zeros(n_states)
        odds[others], drive[i, others] = found[:, 0], found[:, 1:]
        odds = np.exp(odds - odds.max())
        moves[i] = odds / odds.sum()
    return moves, drive


def _softmax_regression(
    design: FloatArray, seen: FloatArray, others: FloatArray, ridge: float, theta: FloatArray
) -> FloatArray:
    """Weights (n_others, n_columns) of the log odds against the class that is not in others."""
    weight = np.full(theta.shape, ridge)
    weight[:, 0] = 0.0
    total, hits = seen.sum(axis=1), seen[:, others]
    size = theta.size

    def value(at: FloatArray) -> tuple[float, FloatArray]:
        eta = np.column_stack([np.zeros(len(design)), design @ at.T])
        most = eta.max(axis=1, keepdims=True)
        log_sum = most[:, 0] + np.log(np.exp(eta - most).sum(axis=1))
        loss = float((total * log_sum).sum() - (hits * eta[:, 1:]).sum())
        return loss + 0.5 * float((weight * at**2).sum()), np.exp(eta[:, 1:] - log_sum[:, None])

    now, share = value(theta)
    for _ in range(_MOST_NEWTON_STEPS):
        gradient = (total[:, None] * share - hits).T @ design + weight * theta
        blocks = np.empty((*theta.shape, *theta.shape))
        for a, b in np.ndindex(len(theta), len(theta)):
            own = total * share[:, a] * ((a == b) - share[:, b])
            blocks[a, :, b] = (design * own[:, None]).T @ design
        bend = blocks.reshape(size, size) + np.diag(weight.ravel())
        rounding = 1e-10 * np.trace(bend) / size
        step = np.linalg.solve(bend + rounding * np.eye(size), gradient.ravel())
        promise = float(step @ gradient.ravel())
        if promise < 1e-10 * max(1.0, abs(now)):
            break
        length = 1.0
        for _ in range(_HALVINGS):
            tried = theta - length * step.reshape(theta.shape)
            then, there = value(tried)
            if then <= now:
                break
            length *= 0.5
        else:
            break
        theta, now, share = tried, then, there
    return theta
