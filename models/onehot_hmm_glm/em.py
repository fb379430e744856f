"""Expectation and maximisation of a GLM whose weights depend on a hidden state.

E: forward and backward over all sessions. M: the moves in closed form, or by Newton's
method where inputs drive them; the weights by a few L-BFGS steps of all units at once on
the bins each state has a share in. All sessions are pooled. The log posterior never
falls, up to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from neuro.models._glm.fit import Penalty, Share, fit_weights, log_likelihoods
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable
from neuro.models.onehot_hmm_glm.moves import best_moves, driven_moves
from neuro.stats.hmm import Filtered, Posterior, filter_states, forward_backward
from neuro.typing import FloatArray

__all__ = ["Chain", "Round", "filtered", "held_out", "maximise", "run_em", "smoothed"]


@dataclass(frozen=True, eq=False)
class Chain:
    """Parameters: ``weights`` (n_states, n_units, n_columns), ``moves`` (n_states, n_states),
    and ``drive`` (n_states, n_states, n_inputs) where inputs drive the moves.
    """

    weights: FloatArray
    moves: FloatArray
    drive: FloatArray | None = None

    def moves_in(self, table: SessionTable) -> FloatArray:
        """The transition matrix, or one for each bin of a table."""
        if self.drive is None:
            return self.moves
        return driven_moves(self.moves, self.drive, table.drive)


@dataclass(frozen=True)
class Round:
    """One round: its number, the log posterior before its M-step, nats gained a bin."""

    number: int
    log_posterior: float
    gain: float


Listener: TypeAlias = Callable[[Round, Chain], None]


def smoothed(table: SessionTable, chain: Chain, observation: Observation) -> Posterior:
    """States given all data of their session."""
    log_lik = log_likelihoods(table, chain.weights, observation)
    each_bin = chain.drive is not None
    moves = chain.moves_in(table)
    return forward_backward(log_lik, moves, lengths=table.lengths, each_bin=each_bin)


def filtered(table: SessionTable, chain: Chain, observation: Observation) -> Filtered:
    """States given the past of each bin."""
    log_lik = log_likelihoods(table, chain.weights, observation)
    return filter_states(log_lik, chain.moves_in(table), lengths=table.lengths)


def maximise(
    table: SessionTable,
    observation: Observation,
    gamma: FloatArray,
    weights: FloatArray,
    penalty: Penalty,
    *,
    n_steps: int,
    tol: float = 1e-6,
) -> tuple[FloatArray, float]:
    """Better weights for given state probabilities.

    Parameters
    ----------
    table, observation
        Data and their distribution.
    gamma : array, shape (n_bins, n_states)
        Probability of each state.
    weights : array, shape (n_states, n_units, n_columns)
        Start.
    penalty : Penalty
        Prior of the weights.
    n_steps : int
        Most L-BFGS steps.
    tol : float
        Of each unit, in nats.

    Returns
    -------
    weights : float64 array
        Same shape.
    objective : float
        Expected log-likelihood plus log prior, without constants.
    """
    shares = [Share.of(table, observation, one) for one in gamma.T]
    found, value = fit_weights(shares, weights, penalty, n_steps=n_steps, tol=tol)
    return found, float(value.sum())


def run_em(
    table: SessionTable,
    observation: Observation,
    start: Chain,
    penalty: Penalty,
    pseudo_moves: FloatArray,
    *,
    n_rounds: int,
    n_steps: int,
    tol: float,
    drive_ridge: float = 0.0,
    first: int = 0,
    trace: Sequence[float] = (),
    listener: Listener | None = None,
) -> tuple[Chain, list[float]]:
    """Alternate until a round gains less than `tol` nats a bin.

    Parameters
    ----------
    table, observation
        Data and their distribution.
    start : Chain
        Parameters.
    penalty : Penalty
        Prior of the weights.
    pseudo_moves : array, shape (n_states, n_states)
        Transitions that are added to those seen, where inputs drive them at inputs of zero.
    n_rounds, n_steps : int
        Most rounds, and L-BFGS steps in each.
    tol : float
        Nats a bin.
    drive_ridge : float
        Weight of ``0.5 * sum(drive**2)``, where inputs drive the moves.
    first : int
        Number of the first round, where an interrupted run goes on.
    trace : sequence of float
        Log posteriors of the rounds before.
    listener : callable, optional
        Called after every round.

    Returns
    -------
    chain : Chain
        Parameters.
    trace : list of float
        Log posterior at every E-step.
    """
    chain, trace = start, list(trace)
    n_valid = max(1, int(table.valid.sum()))
    for number in range(first, n_rounds):
        found = smoothed(table, chain, observation)
        cube = chain.weights.transpose(1, 0, 2)
        prior, _ = penalty.value_and_gradient(cube, np.arange(len(cube)))
        with np.errstate(divide="ignore"):
            log_moves = np.where(pseudo_moves > 0, np.log(chain.moves), 0.0)
        now = float(found.log_lik.sum() - prior.sum() + (pseudo_moves * log_moves).sum())
        if chain.drive is not None:
            now -= 0.5 * drive_ridge * float((chain.drive**2).sum())
        gain = (now - trace[-1]) / n_valid if trace else np.inf
        trace.append(now)
        if gain < tol:
            break
        chain = _moved(chain, found.transitions, table.drive, pseudo_moves, drive_ridge)
        weights, _ = maximise(
            table, observation, found.gamma, chain.weights, penalty, n_steps=n_steps
        )
        chain = replace(chain, weights=weights)
        if listener is not None:
            listener(Round(number, now, gain), chain)
    return chain, trace


def _moved(
    chain: Chain,
    transitions: FloatArray,
    inputs: FloatArray,
    pseudo_moves: FloatArray,
    ridge: float,
) -> Chain:
    """The chain with its most probable moves."""
    if chain.drive is not None:
        moves, drive = best_moves(
            transitions, inputs, pseudo_moves, ridge, chain.moves, chain.drive
        )
        return replace(chain, moves=moves, drive=drive)
    counts = transitions + pseudo_moves
    return replace(chain, moves=counts / counts.sum(axis=1, keepdims=True))


def held_out(table: SessionTable, chain: Chain, observation: Observation) -> FloatArray:
    """Mean log probability of a bin given its past, one value a session, in nats."""
    steps = filtered(table, chain, observation).log_lik
    edges = np.concatenate([[0], np.cumsum(table.lengths)[:-1]])
    n_valid = np.add.reduceat(table.valid.astype(np.float64), edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.add.reduceat(steps, edges) / n_valid)
