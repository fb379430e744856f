"""Compiled recursions of hidden Markov models; :mod:`neuro.stats.hmm` is the front.

``moves`` is (1, n_states, n_states) for a fixed chain, or one matrix a bin: the one at
``t`` leads from bin ``t - 1`` to bin ``t``. Every session is given as a half-open range.
"""

import numpy as np

from neuro.stats._compiled import compiled
from neuro.typing import AnyArray

__all__ = ["backward", "forward", "viterbi"]

# Below this the sum of a bin has lost digits: it is formed again from logarithms.
_TINY = 1e-250
_LARGEST_LOG = 700.0


@compiled()
def _weigh(log_lik: AnyArray, predicted: AnyArray, weight: AnyArray) -> float:
    """Likelihoods relative to the best state into ``weight``; returns the offset."""
    n_states = len(predicted)
    offset = -np.inf
    for k in range(n_states):
        offset = max(offset, log_lik[k])
    total = 0.0
    for k in range(n_states):
        weight[k] = np.exp(log_lik[k] - offset)
        total += predicted[k] * weight[k]
    if total > _TINY:
        return float(offset)
    # the states the chain allows are the ones the data make least likely
    offset = -np.inf
    for k in range(n_states):
        if predicted[k] > 0:
            offset = max(offset, log_lik[k] + np.log(predicted[k]))
    for k in range(n_states):
        if predicted[k] > 0:
            weight[k] = np.exp(min(log_lik[k] - offset, _LARGEST_LOG))
        else:
            weight[k] = 0.0
    return float(offset)


@compiled()
def forward(
    log_lik: AnyArray,
    moves: AnyArray,
    initial: AnyArray,
    fresh: bool,
    predicted: AnyArray,
    filtered: AnyArray,
    weight: AnyArray,
    step: AnyArray,
) -> None:
    """One session. ``initial``: the first bin's prior if fresh, else the last filtered bin."""
    n_bins, n_states = log_lik.shape
    varying = len(moves) > 1
    for t in range(n_bins):
        move = moves[t if varying else 0]
        if t == 0 and fresh:
            predicted[0] = initial
        else:
            before = initial if t == 0 else filtered[t - 1]
            for j in range(n_states):
                total = 0.0
                for i in range(n_states):
                    total += before[i] * move[i, j]
                predicted[t, j] = total
        missing = np.isnan(log_lik[t, 0])
        if missing:
            weight[t] = 1.0
            step[t] = 0.0
            filtered[t] = predicted[t]
            continue
        offset = _weigh(log_lik[t], predicted[t], weight[t])
        total = 0.0
        for k in range(n_states):
            total += predicted[t, k] * weight[t, k]
        for k in range(n_states):
            weight[t, k] /= total
            filtered[t, k] = predicted[t, k] * weight[t, k]
        step[t] = offset + np.log(total)


@compiled()
def backward(
    filtered: AnyArray, weight: AnyArray, moves: AnyArray, gamma: AnyArray, xi: AnyArray
) -> None:
    """One session: posterior into ``gamma``, expected transitions added to ``xi``.

    ``xi`` is (1, n_states, n_states), or one matrix a bin for the move into it.
    """
    n_bins, n_states = filtered.shape
    varying, apart = len(moves) > 1, len(xi) > 1
    message = np.ones(n_states)
    later = np.empty(n_states)
    gamma[n_bins - 1] = filtered[n_bins - 1]
    for t in range(n_bins - 1, 0, -1):
        move = moves[t if varying else 0]
        into = xi[t if apart else 0]
        for j in range(n_states):
            later[j] = weight[t, j] * message[j]
        total = 0.0
        for i in range(n_states):
            sum_over_next = 0.0
            for j in range(n_states):
                passed = move[i, j] * later[j]
                sum_over_next += passed
                into[i, j] += filtered[t - 1, i] * passed
            message[i] = sum_over_next
            gamma[t - 1, i] = filtered[t - 1, i] * sum_over_next
            total += gamma[t - 1, i]
        for i in range(n_states):
            gamma[t - 1, i] /= total


@compiled()
def viterbi(log_lik: AnyArray, log_moves: AnyArray, log_initial: AnyArray, path: AnyArray) -> float:
    """Most probable path of one session into ``path``; returns its log probability."""
    n_bins, n_states = log_lik.shape
    varying = len(log_moves) > 1
    best_before = np.empty((n_bins, n_states), dtype=np.int32)
    score = np.empty(n_states)
    last = np.empty(n_states)
    for k in range(n_states):
        here = 0.0 if np.isnan(log_lik[0, 0]) else log_lik[0, k]
        last[k] = log_initial[k] + here
    for t in range(1, n_bins):
        move = log_moves[t if varying else 0]
        missing = np.isnan(log_lik[t, 0])
        for j in range(n_states):
            best, value = 0, last[0] + move[0, j]
            for i in range(1, n_states):
                if last[i] + move[i, j] > value:
                    best, value = i, last[i] + move[i, j]
            best_before[t, j] = best
            score[j] = value if missing else value + log_lik[t, j]
        last[:] = score
    end = int(np.argmax(last))
    path[n_bins - 1] = end
    for t in range(n_bins - 1, 0, -1):
        path[t - 1] = best_before[t, path[t]]
    return float(last[end])
