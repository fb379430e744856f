"""The published schedule of the one-hot HMM-GLM, first version, for comparisons.

Sequence by sequence: one E-step, then Adam on that sequence alone, the transition
matrix replaced from that sequence each time (arXiv 2310.15263, released code). Kept with
its slips: 1e-8 inside the Poisson logarithm, the first-bin term of Q, a floor under
transitions, and a concrete prior that takes probabilities for their logarithms. Nothing
else in this package does any of that.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from neuro.models._glm.fit import Share, log_likelihoods
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable
from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.priors import SIGNS, concrete_log_density
from neuro.stats.hmm import Posterior, forward_backward
from neuro.typing import FloatArray

__all__ = [
    "PublishedFit",
    "expected_log_lik",
    "fit_as_published",
    "floored_moves",
    "gaussian_prior",
]

_FLOOR = 1e-8  # inside the logarithm of rates
_TEMPERATURE = 0.2
_PRIOR_SD = 1 / 3
_EXTREME = -20.0


class PublishedFit(NamedTuple):
    """``weights`` (state, post, columns), the last the constant; ``moves``; probabilities
    of the ``types`` (state, post, pre, 3) and of their prior, ``shared`` (post, pre, 3),
    empty without types; ``losses``.
    """

    weights: FloatArray
    moves: FloatArray
    types: FloatArray
    shared: FloatArray
    losses: list[float]


def floored_moves(transitions: FloatArray) -> FloatArray:
    """Rows that add up to 1, with logarithms clamped at -8 and normalised again."""
    rows = transitions / transitions.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        clamped = np.exp(np.maximum(np.log(rows), -8.0))
    return np.asarray(clamped / clamped.sum(axis=1, keepdims=True))


def expected_log_lik(
    table: SessionTable,
    observation: Observation,
    found: Posterior,
    weights: FloatArray,
    bias: FloatArray,
    moves: FloatArray,
) -> tuple[float, FloatArray, FloatArray]:
    """Q of one sequence as the released code forms it, with slopes by weights and bias."""
    n_states, n_units, _ = weights.shape
    full = np.concatenate(
        [weights, np.broadcast_to(bias[:, np.newaxis], (n_states, n_units, 1))], axis=2
    )
    constant = observation.constant(table.counts)
    rows = np.arange(n_units)
    # the first bin's posterior and the logarithm of the uniform start are added there
    value = float(found.gamma[0].sum() - n_states * np.log(n_states))
    value += float((found.transitions * np.log(moves)).sum()) + float(constant.sum())
    by_weight, by_bias = np.empty_like(weights), np.zeros(n_units)
    for k, gamma in enumerate(found.gamma.T):
        one = Share(table, observation, np.arange(table.n_bins), gamma)
        gained, slope = one.value_and_gradient(full[k], rows)
        value += float(gained.sum())
        by_weight[k] = slope[:, :-1]
        by_bias += slope[:, -1]
    return value, by_weight, by_bias


def gaussian_prior(weights: FloatArray, mean: FloatArray) -> tuple[float, FloatArray]:
    """Log density of the weights around their mean, sd 1/3, and its slope."""
    away = (weights - mean) / _PRIOR_SD
    value = -0.5 * (away**2).sum() - weights.size * np.log(_PRIOR_SD * np.sqrt(2 * np.pi))
    return float(value), -away / _PRIOR_SD


def _softmax(logits: FloatArray) -> FloatArray:
    away = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(away / away.sum(axis=-1, keepdims=True))


def type_prior(
    logits: FloatArray, shared: FloatArray, temperature: float = _TEMPERATURE
) -> tuple[float, FloatArray, FloatArray]:
    """Concrete prior as the first version has it: probabilities where logarithms belong."""
    a, p = _softmax(logits), _softmax(shared)
    value, by_a, by_p = concrete_log_density(np.log(a), p, temperature)
    by_p = by_p.sum(axis=0) * p  # through p itself, not its logarithm
    return (
        float(value.sum()),
        by_a - a * by_a.sum(axis=-1, keepdims=True),
        by_p - p * by_p.sum(axis=-1, keepdims=True),
    )


def typed_weights(a: FloatArray, raw: FloatArray) -> FloatArray:
    """Weights of types and unconstrained strengths."""
    return np.asarray((a @ SIGNS) * np.logaddexp(0, raw))


def softened(logits: FloatArray) -> FloatArray:
    """Logits of edges with a probability below exp(-20) halved."""
    log_a = np.log(np.maximum(_softmax(logits), 1e-300))
    extreme = (log_a < _EXTREME).any(axis=-1, keepdims=True)
    return np.where(extreme, logits / 2, logits)


def fit_as_published(
    tables: list[SessionTable], config: OneHotHMMGLMConfig, n_states: int
) -> PublishedFit:
    """Run the published schedule.

    Parameters
    ----------
    tables : list of SessionTable
        One a sequence; history of one basis function, no inputs.
    config : OneHotHMMGLMConfig
        Link, prior, passes over the sequences, steps of Adam on each visit and their
        size; the seed is of the Gumbel noise and of weights that start a little away
        from zero: states that are equal would stay so.
    n_states : int
        States.

    Returns
    -------
    PublishedFit
        Parameters, and the loss at the end of each visit.
    """
    rng = np.random.default_rng(config.seed)
    observation = replace(config.observed(), floor=_FLOOR)
    n_units = tables[0].counts.shape[1]
    moves = np.full((n_states, n_states), 0.02 / max(1, n_states - 1))
    np.fill_diagonal(moves, 0.98)
    onehot = config.prior == "onehot"
    shape = (n_states, n_units, n_units)
    counts = np.concatenate([t.counts for t in tables])
    values: list[FloatArray] = [counts.mean(axis=0)]
    values += (
        [1e-3 * rng.standard_normal((*shape, 3)), np.zeros(shape), np.zeros((n_units, n_units, 3))]
        if onehot
        else [1e-3 * rng.standard_normal(shape)]
    )
    moments = [(np.zeros_like(v), np.zeros_like(v)) for v in values]
    losses, step = [], 0
    for _ in range(config.epochs):
        for table in tables:
            weights = typed_weights(_softmax(values[1]), values[2]) if onehot else values[1]
            full = np.concatenate([weights, np.tile(values[0][:, None], (n_states, 1, 1))], axis=2)
            log_lik = log_likelihoods(table, full, observation)
            found = forward_backward(log_lik, moves, lengths=table.lengths)
            for _ in range(config.steps):
                step += 1
                loss, slopes = _loss(table, observation, found, values, moves, config.prior, rng)
                moves = floored_moves(found.transitions)
                _adam(values, slopes, moments, step, config.lr)
                if onehot:
                    values[1], values[3] = softened(values[1]), softened(values[3])
            losses.append(loss)
    weights = values[1]
    types: FloatArray = np.zeros((0, 0, 0, 3))
    shared: FloatArray = np.zeros((0, 0, 3))
    if onehot:
        types, shared = _softmax(values[1]), _softmax(values[3])
        weights = typed_weights(np.eye(3)[types.argmax(axis=-1)], values[2])
    bias = np.broadcast_to(values[0][:, np.newaxis], (*weights.shape[:2], 1))
    return PublishedFit(np.concatenate([weights, bias], axis=2), moves, types, shared, losses)


def _adam(
    values: list[FloatArray],
    slopes: list[FloatArray],
    moments: list[tuple[FloatArray, FloatArray]],
    step: int,
    lr: float,
) -> None:
    for value, slope, (mean, square) in zip(values, slopes, moments, strict=True):
        mean += 0.1 * (slope - mean)
        square += 0.001 * (slope * slope - square)
        value -= lr * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)


def _loss(
    table: SessionTable,
    observation: Observation,
    found: Posterior,
    values: list[FloatArray],
    moves: FloatArray,
    prior: str,
    rng: np.random.Generator,
) -> tuple[float, list[FloatArray]]:
    """Minus Q minus the log prior, and its slopes."""
    if prior != "onehot":
        bias, weights = values
        q, by_weight, by_bias = expected_log_lik(table, observation, found, weights, bias, moves)
        extra, by_prior = 0.0, np.zeros_like(weights)
        if prior == "gaussian":
            extra, by_prior = gaussian_prior(weights, weights.mean(axis=0))
        return -q - extra, [-by_bias, -by_weight - by_prior]
    bias, logits, raw, shared = values
    noise = rng.gumbel(size=logits.shape)
    return onehot_loss(table, observation, found, (bias, logits, raw, shared), moves, noise)


def onehot_loss(
    table: SessionTable,
    observation: Observation,
    found: Posterior,
    values: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    moves: FloatArray,
    noise: FloatArray,
) -> tuple[float, list[FloatArray]]:
    """Loss of the one-hot model for one draw of Gumbel noise, and its slopes.

    Slopes by bias, logits of types, raw strengths and logits of the shared prior.
    """
    bias, logits, raw, shared = values
    a = _softmax((logits + noise) / _TEMPERATURE)
    weights = typed_weights(a, raw)
    q, by_weight, by_bias = expected_log_lik(table, observation, found, weights, bias, moves)
    extra, by_logits, by_shared = type_prior(logits, shared)
    by_a = (by_weight * np.logaddexp(0, raw))[..., np.newaxis] * SIGNS * a
    by_a = (by_a - a * by_a.sum(axis=-1, keepdims=True)) / _TEMPERATURE
    by_raw = by_weight * (a @ SIGNS) / (1 + np.exp(-raw))
    return -q - extra, [-by_bias, -by_a - by_logits, -by_raw, -by_shared]
