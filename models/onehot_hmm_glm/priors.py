"""Connection types: each edge inhibitory, absent or excitatory, with a prior all states share.

A weight is ``(a_exc - a_inh) * g``: ``a`` on the simplex says of which type the edge is
in a state, ``g >= 0`` how strong. Types and strengths are found on the quadratic that
the likelihood is near the current weights (its slope, and one Gram matrix a state), so
hundreds of steps cost no pass over the data; weights are refitted on the data
afterwards, with the types held. Entries of ``a`` are ordered inhibitory, none,
excitatory.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = [
    "SIGNS",
    "Quadratic",
    "TypePrior",
    "Types",
    "categorical_log_prior",
    "concrete_log_density",
    "find_types",
]

TypePrior: TypeAlias = Literal["concrete", "categorical", "categorical_entropy"]
SIGNS = np.array([-1.0, 0.0, 1.0])
_LOWEST_LOG = -20.0  # of an entry of a; the concrete density has no bound beyond


class Types(NamedTuple):
    """``hard`` (n_states, n_post, n_pre) in -1, 0, 1; ``probability`` (n_states, n_post,
    n_pre, 3) and ``shared`` (n_post, n_pre, 3) ordered inhibitory, none, excitatory.
    """

    hard: IntArray
    probability: FloatArray
    shared: FloatArray


def _total(each: FloatArray) -> FloatArray:
    """Sum over the last axis, kept; numpy is slow where that axis is short."""
    return np.asarray(reduce(np.add, np.moveaxis(each, -1, 0))[..., np.newaxis])


def _most(each: FloatArray) -> FloatArray:
    """Largest along the last axis, kept."""
    return np.asarray(reduce(np.maximum, np.moveaxis(each, -1, 0))[..., np.newaxis])


def _log_softmax(logits: FloatArray) -> FloatArray:
    away = logits - _most(logits)
    return np.asarray(away - np.log(_total(np.exp(away))))


def concrete_log_density(
    log_a: AnyArray, log_p: AnyArray, temperature: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gumbel-softmax density on the simplex and its slopes.

    Maddison et al., arXiv 1611.00712, equation 10; spec of arXiv 2310.15263. Locations
    enter as logarithms and their scale does not matter.

    Parameters
    ----------
    log_a : array, shape (..., n_types)
        Logarithm of a point of the simplex.
    log_p : array, shape (..., n_types)
        Logarithm of the location.
    temperature : float
        Below 2 the density has no bound at the corners.

    Returns
    -------
    log_density : float64 array, shape (...)
        Of `a` by its first n_types - 1 entries.
    by_log_a, by_log_p : float64 array, shape (..., n_types)
        Slopes by the entries as they are given, as if they were free.

    Raises
    ------
    ConfigError
        A temperature that is not positive.

    Examples
    --------
    >>> third = np.log(np.full(3, 1 / 3))
    >>> concrete_log_density(third, third, 1.0)[0].round(6)
    np.float64(0.693147)
    """
    from scipy.special import gammaln

    if not (np.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"temperature={temperature!r} must be above 0.")
    a, p = np.asarray(log_a, dtype=np.float64), np.asarray(log_p, dtype=np.float64)
    n = a.shape[-1]
    terms = p - temperature * a
    most = _most(terms)
    share = np.exp(terms - most)
    total = _total(share)
    share /= total
    mixed = (most + np.log(total))[..., 0]
    value = gammaln(n) + (n - 1) * np.log(temperature) - n * mixed
    value = value + _total(p - (temperature + 1) * a)[..., 0]
    return value, n * temperature * share - (temperature + 1), 1 - n * share


def categorical_log_prior(
    log_a: AnyArray, log_p: AnyArray, *, rewards_entropy: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Minus the divergence of types from their prior, and its slopes.

    ``-KL(a || p)`` with `rewards_entropy`; without, ``sum a log p - H(a)``, which the
    released code of arXiv 2310.15263 maximises and which prefers one-hot types.

    Parameters
    ----------
    log_a, log_p : array, shape (..., n_types)
        Logarithms of types and prior, both adding up to 1.
    rewards_entropy : bool
        Sign of the entropy.

    Returns
    -------
    log_prior : float64 array, shape (...)
        Value.
    by_log_a, by_log_p : float64 array, shape (..., n_types)
        Slopes by the entries as they are given.

    Raises
    ------
    DataError
        Shapes that do not go together.

    Examples
    --------
    >>> half = np.log([0.5, 0.5])
    >>> categorical_log_prior(half, half, rewards_entropy=True)[0]
    np.float64(0.0)
    """
    log, p = np.asarray(log_a, dtype=np.float64), np.asarray(log_p, dtype=np.float64)
    if log.shape[-1] != p.shape[-1]:
        raise DataError(f"{log.shape[-1]} types but a prior of {p.shape[-1]}.")
    a = np.exp(log)
    sign = -1.0 if rewards_entropy else 1.0
    value = (a * (p + sign * log)).sum(axis=-1)
    return value, a * (p + sign * (log + 1)), np.broadcast_to(a, np.broadcast(a, p).shape).copy()


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Log-likelihood near the present weights, of the edges only.

    Parameters
    ----------
    weights, slope : array, shape (n_states, n_post, n_pre)
        Where it touches, and its gradient there.
    gram : array, shape (n_states, n_pre, n_pre)
        Products of the history of pairs of units in each state.
    information : array, shape (n_states, n_post)
        Mean curvature of each unit: its Hessian is this times the Gram matrix.
    """

    weights: FloatArray
    slope: FloatArray
    gram: FloatArray
    information: FloatArray

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Slope at other weights."""
        bent = (weights - self.weights) @ self.gram
        return np.asarray(self.slope - self.information[:, :, np.newaxis] * bent)

    def best(self) -> FloatArray:
        """Its maximum: one Newton step."""
        n = self.gram.shape[-1]
        ridge = 1e-6 * np.trace(self.gram, axis1=1, axis2=2)[:, None, None] / n + 1e-12
        step = np.linalg.solve(self.gram + ridge * np.eye(n), self.slope.transpose(0, 2, 1))
        return np.asarray(
            self.weights + step.transpose(0, 2, 1) / self.information[:, :, np.newaxis]
        )


def find_types(
    data: Quadratic,
    *,
    prior: TypePrior,
    temperature: float,
    n_steps: int = 150,
    lr: float = 0.1,
) -> Types:
    """Types of all edges in all states, by Adam on logits, strengths and the shared prior.

    Parameters
    ----------
    data : Quadratic
        What the data say.
    prior : {"concrete", "categorical", "categorical_entropy"}
        How types follow from the shared prior.
    temperature : float
        Of the concrete density.
    n_steps : int
        Steps of Adam.
    lr : float
        Its step size, falling to zero as half a cosine.

    Returns
    -------
    Types
        Hard and soft.
    """
    start = data.best()
    strength = np.maximum(1.05 * np.abs(start), _typical(start))
    size = np.abs(start) / strength
    soft = np.stack([np.where(start < 0, size, 0), 1 - size, np.where(start > 0, size, 0)], -1)
    logits = np.log((soft + 0.02) / 1.06)
    shared = np.log(np.exp(logits).mean(axis=0))
    # the inverse of softplus, also where its exponential would overflow
    values = [logits, strength + np.log(-np.expm1(-strength)), shared]
    moments = [(np.zeros_like(v), np.zeros_like(v)) for v in values]
    for step in range(1, n_steps + 1):
        slopes = _slopes(data, values, prior, temperature)
        rate = lr * 0.5 * (1 + np.cos(np.pi * (step - 1) / n_steps))
        for value, slope, (mean, square) in zip(values, slopes, moments, strict=True):
            mean += 0.1 * (slope - mean)
            square += 0.001 * (slope * slope - square)
            fair = mean / (1 - 0.9**step)
            value += rate * fair / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        values[0] = np.maximum(_log_softmax(values[0]), _LOWEST_LOG)
        values[2] = np.maximum(_log_softmax(values[2]), _LOWEST_LOG)
    probability = np.exp(_log_softmax(values[0]))
    hard = SIGNS[probability.argmax(axis=-1)].astype(np.int64)
    return Types(hard, probability, np.exp(_log_softmax(values[2])))


def _typical(weights: FloatArray) -> float:
    """A usual strength: the mean of the larger half of absolute weights."""
    size = np.sort(np.abs(weights).ravel())
    return max(float(size[len(size) // 2 :].mean()), 1e-3)


def _slopes(
    data: Quadratic, values: list[FloatArray], prior: TypePrior, temperature: float
) -> list[FloatArray]:
    """Of the log posterior by logits, raw strengths and logits of the prior."""
    logits, raw, shared = values
    log_a, log_p = _log_softmax(logits), _log_softmax(shared)
    a, g = np.exp(log_a), np.logaddexp(0, raw)
    sign = a[..., 2] - a[..., 0]
    pull = data.gradient(sign * g)
    if prior == "concrete":
        _, by_a, by_p = concrete_log_density(log_a, log_p, temperature)
    else:
        entropy = prior == "categorical"
        _, by_a, by_p = categorical_log_prior(log_a, log_p, rewards_entropy=entropy)
    by_a = by_a + (pull * g)[..., np.newaxis] * SIGNS * a
    by_p = by_p.sum(axis=0)
    return [
        by_a - a * _total(by_a),
        pull * sign / (1 + np.exp(-raw)),
        by_p - np.exp(log_p) * by_p.sum(axis=-1, keepdims=True),
    ]
