"""From data and settings to a fitted chain: start, EM, types, EM again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from neuro.models._glm.baseline import constant_weights
from neuro.models._glm.fit import Penalty, Share
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable, layout
from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.em import Chain, Round, maximise, run_em, smoothed
from neuro.models.onehot_hmm_glm.moves import prior_moves
from neuro.models.onehot_hmm_glm.priors import Quadratic, Types, find_types
from neuro.models.onehot_hmm_glm.start import ScoreMap, score_map, window_states
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Problem", "Typed", "one_state", "ordered", "shared_map", "started", "typed"]

Listener = Callable[[Round, Chain], None]
_SHORT_ROUNDS = 5  # of each start when there are several
_TYPE_PASSES = 2
_FIRST_ROUNDS, _LAST_ROUNDS = 2, 5  # of EM after each
_USUAL = 2.0
_ONE_STATE_STEPS = 60


@dataclass(frozen=True, eq=False)
class Problem:
    """Data, their distribution, and settings."""

    table: SessionTable
    observation: Observation
    config: OneHotHMMGLMConfig

    @property
    def edges(self) -> BoolArray:
        """Weights that are edges between units, (n_units, n_columns)."""
        n_units, n = self.table.counts.shape[1], self.table.n_history
        out = np.zeros((n_units, self.table.design.shape[1]), dtype=bool)
        out[:, :n] = True
        if self.config.diagonal == "free" and n:
            own = np.repeat(np.eye(n_units, dtype=bool), n // n_units, axis=1)
            out[:, :n] &= ~own
        return out & layout(self.config, self.table)

    def penalty(self, n_states: int, free: BoolArray | None = None) -> Penalty:
        """Prior of the weights of so many states; `free` overrides which may change."""
        c, n = self.config, self.table.design.shape[1]
        around_mean = c.prior == "gaussian" or (c.prior == "onehot" and free is None)
        pull = np.where(self.edges & around_mean, 1 / c.prior_sd**2, 0.0)
        tied = np.zeros(n, dtype=bool)
        if n_states > 1:
            tied[-1] = c.bias == "shared"
            tied[self.table.n_history : -1] = c.shared_inputs
        allowed = layout(c, self.table)[:, np.newaxis] if free is None else free
        return Penalty(np.r_[np.full(n - 1, c.l2), 0.0], pull, tied, allowed)

    def chain(self, weights: FloatArray) -> Chain:
        """These weights, and moves as they are before the data."""
        n_states, n_driving = len(weights), self.table.drive.shape[1]
        drive = np.zeros((n_states, n_states, n_driving)) if n_driving and n_states > 1 else None
        return Chain(weights, prior_moves(n_states, self.config.stay), drive)

    def run(
        self,
        start: Chain,
        penalty: Penalty,
        *,
        n_rounds: int | None = None,
        first: int = 0,
        trace: tuple[float, ...] = (),
        listener: Listener | None = None,
    ) -> tuple[Chain, list[float]]:
        """EM from a start."""
        c = self.config
        return run_em(
            self.table,
            self.observation,
            start,
            penalty,
            c.stay_count * prior_moves(len(start.moves), c.stay),
            n_rounds=c.rounds if n_rounds is None else n_rounds,
            n_steps=c.m_steps,
            tol=c.tol,
            drive_ridge=c.l2,
            first=first,
            trace=trace,
            listener=listener,
        )


class Typed(NamedTuple):
    """A chain with its connection types."""

    chain: Chain
    types: Types
    trace: list[float]


def one_state(problem: Problem) -> FloatArray:
    """Weights of one state for all data, (n_units, n_columns)."""
    table, observation = problem.table, problem.observation
    found, _ = maximise(
        table,
        observation,
        np.ones((table.n_bins, 1)),
        constant_weights(table, observation)[np.newaxis],
        problem.penalty(1),
        n_steps=_ONE_STATE_STEPS,
        tol=1e-5,
    )
    return np.asarray(found[0])


def started(problem: Problem, base: FloatArray, n_states: int) -> tuple[Chain, ScoreMap | None]:
    """The best of the configured number of starts, after a few rounds each."""
    c = problem.config
    if n_states == 1:
        return problem.chain(base[np.newaxis]), None
    penalty = problem.penalty(n_states)
    chains: list[Chain] = []
    found: ScoreMap | None = None
    for number in range(c.n_starts):
        rng = np.random.default_rng([c.seed, number])
        if c.init == "scores":
            length = max(2, round(c.window_bins * (1, 2, 0.5)[number % 3]))
            if number < 3:
                found = score_map(
                    problem.table, base, problem.observation, window_bins=length, seed=c.seed
                )
            if found is None:
                break
            chains.append(_from_windows(problem, base, found, n_states, number, penalty))
            continue
        sd = 0.3 if c.init == "perturbed" else 1.0
        own = (
            base if c.init == "perturbed" else constant_weights(problem.table, problem.observation)
        )
        weights = own + sd * rng.standard_normal((n_states, *own.shape)) * problem.edges
        chains.append(problem.chain(weights))
    if len(chains) == 1:
        return chains[0], found
    tried = [problem.run(one, penalty, n_rounds=_SHORT_ROUNDS) for one in chains]
    best = max(range(len(tried)), key=lambda i: tried[i][1][-1])
    return tried[best][0], found


def _from_windows(
    problem: Problem,
    base: FloatArray,
    found: ScoreMap,
    n_states: int,
    number: int,
    penalty: Penalty,
) -> Chain:
    """Weights of each state from the windows that k-means gives it."""
    c = problem.config
    labels = window_states(found, n_states, problem.table.n_bins, c.seed + number)
    start = np.repeat(base[np.newaxis], n_states, axis=0)
    weights, _ = maximise(
        problem.table,
        problem.observation,
        np.eye(n_states)[labels],
        start,
        penalty,
        n_steps=c.m_steps,
    )
    return problem.chain(weights)


def typed(problem: Problem, chain: Chain, listener: Listener | None = None) -> Typed:
    """Types of all edges, and the weights that are left refitted with EM around them."""
    c, n = problem.config, problem.table.n_history
    edges = problem.edges[:, :n]
    trace: list[float] = []
    for number in range(_TYPE_PASSES):
        found = find_types(
            _quadratic(problem, chain, edges), prior=c.type_prior, temperature=c.temperature
        )
        hard = np.where(edges, found.hard, 0)
        last = number == _TYPE_PASSES - 1
        for _ in range(2 if last else 1):
            hard, start, free = _held(problem, chain, hard, edges)
            chain, trace = problem.run(
                start,
                problem.penalty(len(hard), free),
                n_rounds=_LAST_ROUNDS if last else _FIRST_ROUNDS,
                listener=listener,
            )
    hard, chain, _ = _held(problem, chain, hard, edges)
    types = Types(hard, found.probability, shared_map(hard, edges))
    return Typed(chain, types, trace)


def _held(
    problem: Problem, chain: Chain, hard: IntArray, edges: BoolArray
) -> tuple[IntArray, Chain, BoolArray]:
    """Weights at zero where there is no edge, and which may change.

    A strength that would have to change its sign is none: its edge goes.
    """
    n = problem.table.n_history
    weights = chain.weights.copy()
    hard = np.where(hard * np.sign(weights[:, :, :n]) < 0, 0, hard)
    kept = (hard != 0) | (layout(problem.config, problem.table)[:, :n] & ~edges)
    weights[:, :, :n] = np.where(kept, weights[:, :, :n], 0.0)
    free = np.ones((len(edges), len(hard), weights.shape[2]), dtype=bool)
    free[:, :, :n] = kept.transpose(1, 0, 2)
    return hard, replace(chain, weights=weights), free


def shared_map(hard: IntArray, edges: BoolArray) -> FloatArray:
    """Probability of each type in a state yet to come, (n_post, n_pre, 3).

    The states seen are counted; the mean over all edges counts as two more, the weight
    that the publication's demonstration gives its prior.
    """
    seen = np.stack([(hard == sign).mean(axis=0) for sign in (-1, 0, 1)], axis=-1)
    usual = seen[edges].mean(axis=0) if edges.any() else np.array([0.0, 1.0, 0.0])
    return np.asarray((len(hard) * seen + _USUAL * usual) / (len(hard) + _USUAL))


def _quadratic(problem: Problem, chain: Chain, edges: BoolArray) -> Quadratic:
    """The expected log-likelihood near the present weights, for the edges."""
    n, rows = problem.table.n_history, np.arange(len(edges))
    gamma = smoothed(problem.table, chain, problem.observation).gamma
    slope, gram, information = [], [], []
    for own, weights in zip(gamma.T, chain.weights, strict=True):
        share = Share.of(problem.table, problem.observation, own)
        slope.append(share.value_and_gradient(weights, rows)[1][:, :n] * edges)
        full = share.gram()
        # what the constant and the inputs explain is not evidence for an edge
        rest = full[n:, n:] + 1e-6 * np.eye(len(full) - n)
        gram.append(full[:n, :n] - full[:n, n:] @ np.linalg.solve(rest, full[n:, :n]))
        information.append(np.maximum(share.curvature(weights), 1e-8))
    weights = chain.weights[:, :, :n] * edges
    return Quadratic(weights, np.array(slope), np.array(gram), np.array(information))


def ordered(chain: Chain, occupancy: FloatArray) -> tuple[Chain, list[int]]:
    """States in order of decreasing occupancy."""
    order = np.argsort(-occupancy, kind="stable")
    pairs = np.ix_(order, order)
    drive = None if chain.drive is None else chain.drive[pairs]
    return Chain(chain.weights[order], chain.moves[pairs], drive), order.tolist()
