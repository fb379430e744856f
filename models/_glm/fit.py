"""Weighted likelihood of a GLM, its slope and curvature, over all units at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuro.models._glm.descent import minimise_rows
from neuro.models._glm.rates import BLOCK_BINS, Observation
from neuro.models._glm.sessions import SessionTable
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Penalty", "Share", "fit_weights", "log_likelihoods", "predictors"]


# Enough for the scale of a step, which need not be right.
_ROUGH_BINS = 4000
_LEAST = 1e-2  # of a Gram matrix's eigenvalues


def _without_gaps(bins: IntArray) -> IntArray | slice:
    """Rows in order as a slice, which copies nothing, if none is left out."""
    first, last = int(bins[0]), int(bins[-1])
    return slice(first, last + 1) if last - first == len(bins) - 1 else bins


def predictors(design: FloatArray, weights: FloatArray) -> FloatArray:
    """Linear predictors of one block, (n_bins, n_units)."""
    return design @ weights.T.astype(design.dtype, copy=False)


def log_likelihoods(
    table: SessionTable, weights: FloatArray, observation: Observation
) -> FloatArray:
    """Log-likelihood of every bin under every state.

    Parameters
    ----------
    table : SessionTable
        Data.
    weights : array, shape (n_states, n_units, n_columns)
        Of each state.
    observation : Observation
        Rates and distribution.

    Returns
    -------
    float64 array, shape (n_bins, n_states)
        Sum over units; NaN where the bin is missing.
    """
    out = np.empty((table.n_bins, len(weights)))
    for start in range(0, table.n_bins, BLOCK_BINS):
        part = slice(start, start + BLOCK_BINS)
        for state, own in enumerate(weights):
            eta = predictors(table.design[part], own)
            found = observation.log_lik(eta, table.counts[part])
            out[part, state] = found.sum(axis=1, dtype=np.float64)
        out[part] += observation.constant(table.counts[part])[:, np.newaxis]
    out[~table.valid] = np.nan
    return out


@dataclass(frozen=True, eq=False)
class Share:
    """Bins of a table with a weight each: the data of one state.

    Bins with a share below 1e-10 are left out: a chain that is sure of its states
    costs one pass over the data, not one a state.

    Parameters
    ----------
    table : SessionTable
        Data.
    observation : Observation
        Rates and distribution.
    bins : int64 array, shape (n_shared,)
        Rows of the table.
    share : float array, shape (n_shared,)
        Their weights.
    """

    table: SessionTable
    observation: Observation
    bins: IntArray
    share: FloatArray

    @classmethod
    def of(cls, table: SessionTable, observation: Observation, weight: FloatArray) -> "Share":
        """Where the weight is not negligible and the bin is observed."""
        bins = np.flatnonzero((weight > 1e-10) & table.valid)
        return cls(table, observation, bins, weight[bins].astype(table.design.dtype))

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.share.sum(dtype=np.float64))

    def value_and_gradient(
        self, weights: FloatArray, rows: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Weighted log-likelihood of some units, and its slope.

        Parameters
        ----------
        weights : array, shape (n_rows, n_columns)
            Of these units.
        rows : int64 array, shape (n_rows,)
            Which units.

        Returns
        -------
        value, gradient : float64 array, shape (n_rows,), (n_rows, n_columns)
            Without the part that does not depend on weights.
        """
        value, gradient = np.zeros(len(rows)), np.zeros(weights.shape)
        observation = self.observation.of_units(rows)
        every = len(rows) == self.table.counts.shape[1]
        for start in range(0, len(self.bins), BLOCK_BINS):
            bins = self.bins[start : start + BLOCK_BINS]
            share = self.share[start : start + BLOCK_BINS]
            found = _without_gaps(bins)
            design, counts = self.table.design[found], self.table.counts[found]
            counts = counts if every else counts[:, rows]
            eta = predictors(design, weights)
            log_lik, score = observation.log_lik_and_score(eta, counts)
            value += share @ log_lik
            score *= share[:, np.newaxis]
            gradient += score.T @ design
        return value, gradient

    def gram(self) -> FloatArray:
        """Weighted products of the design's columns, (n_columns, n_columns)."""
        n = self.table.design.shape[1]
        out = np.zeros((n, n))
        for start in range(0, len(self.bins), BLOCK_BINS):
            design = self.table.design[self.bins[start : start + BLOCK_BINS]]
            out += (design * self.share[start : start + BLOCK_BINS, np.newaxis]).T @ design
        return out

    def curvature(self, weights: FloatArray, most_bins: int = 20_000) -> FloatArray:
        """Mean expected curvature of each unit's likelihood, (n_units,), from some bins."""
        step = max(1, len(self.bins) // most_bins)
        bins, share = self.bins[::step], self.share[::step]
        total, weight = np.zeros(len(weights)), 0.0
        for start in range(0, len(bins), BLOCK_BINS):
            part = slice(start, start + BLOCK_BINS)
            eta = predictors(self.table.design[bins[part]], weights)
            total += share[part] @ self.observation.information(eta)
            weight += float(share[part].sum(dtype=np.float64))
        return total / max(weight, 1e-300)


@dataclass(frozen=True, eq=False)
class Penalty:
    """Minus the log prior of weights, quadratic.

    Parameters
    ----------
    ridge : array, shape (n_columns,)
        Of ``0.5 * ridge * w**2`` in every state.
    pull : array, shape (n_units, n_columns)
        Of ``0.5 * pull * (w - mean over states)**2``: the Gaussian prior around a mean
        that all states share, with the mean at its best value.
    tied : bool array, shape (n_columns,)
        Columns that have one weight for all states.
    free : bool array, shape (n_units, n_states, n_columns), or 1 for n_states
        Weights that are not held at zero.
    """

    ridge: FloatArray
    pull: FloatArray
    tied: BoolArray
    free: BoolArray

    def value_and_gradient(
        self, theta: FloatArray, rows: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Of some units; ``theta`` is (n_rows, n_states, n_columns)."""
        pull = self.pull[rows, np.newaxis]
        # a tied weight is stored once a state and counts once
        once = np.where(self.tied, 1 / theta.shape[1], 1.0)
        away = theta - theta.mean(axis=1, keepdims=True)
        gradient = self.ridge * once * theta + pull * away
        value = 0.5 * ((self.ridge * once * theta**2) + pull * away**2).sum(axis=(1, 2))
        return value, gradient

    def project(self, gradient: FloatArray, rows: IntArray) -> FloatArray:
        """Onto what may change: free weights, and equal steps where they are tied."""
        out = gradient * self.free[rows]
        if self.tied.any():
            out[:, :, self.tied] = out[:, :, self.tied].mean(axis=1, keepdims=True)
        return out


def fit_weights(
    shares: Sequence[Share],
    weights: FloatArray,
    penalty: Penalty,
    *,
    n_steps: int,
    tol: float,
) -> tuple[FloatArray, FloatArray]:
    """Improve the weights of all states on their shares of the data.

    All units at once by L-BFGS. Curvature is approximated by one Gram matrix of the
    design a state, times each unit's mean information.

    Parameters
    ----------
    shares : sequence of Share
        One a state.
    weights : array, shape (n_states, n_units, n_columns)
        Start.
    penalty : Penalty
        Prior.
    n_steps : int
        Most steps.
    tol : float
        In nats a unit; done when a step promises less.

    Returns
    -------
    weights, objective : float64 array
        Same shape; log-likelihood minus penalty of each unit, (n_units,).
    """
    n_states, n_units, n_columns = weights.shape
    shape = (-1, n_states, n_columns)
    curvatures = [
        _curvature(share, own, penalty, penalty.free[:, min(k, penalty.free.shape[1] - 1)])
        for k, (share, own) in enumerate(zip(shares, weights, strict=True))
    ]

    def objective(theta: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        cube = theta.reshape(shape)
        value, gradient = penalty.value_and_gradient(cube, rows)
        for k, share in enumerate(shares):
            gained, slope = share.value_and_gradient(cube[:, k], rows)
            value -= gained
            gradient[:, k] -= slope
        return value, penalty.project(gradient, rows).reshape(len(rows), -1)

    def precondition(gradient: FloatArray, rows: IntArray) -> FloatArray:
        cube = gradient.reshape(shape)
        out = np.stack([c.solve(cube[:, k], rows) for k, c in enumerate(curvatures)], axis=1)
        return penalty.project(out, rows).reshape(len(rows), -1)

    single = shares[0].table.design.dtype == np.float32
    theta = weights.transpose(1, 0, 2).reshape(n_units, -1)
    found = minimise_rows(
        objective, theta, precondition, n_steps=n_steps, tol=tol, noise=1e-7 if single else 1e-13
    )
    return found.theta.reshape(shape).transpose(1, 0, 2).copy(), -found.value


def _curvature(
    share: Share, weights: FloatArray, penalty: Penalty, free: BoolArray
) -> "_Whole | _Held":
    """``information * gram + ridge`` for each unit, of the weights that may change."""
    from scipy.linalg import cholesky

    gram, n = share.gram(), weights.shape[1]
    ridge = float(np.mean((penalty.ridge + penalty.pull)[:, :-1])) if n > 1 else 0.0
    information = np.maximum(share.curvature(weights, most_bins=_ROUGH_BINS), 1e-8)
    # directions without data get the curvature of a hundredth of a bin
    if free.all():
        values, vectors = np.linalg.eigh(gram)
        return _Whole(np.maximum(values, 0.0) + _LEAST, vectors, information, ridge)
    gram = gram + max(_LEAST, 1e-6 * float(gram.max())) * np.eye(n)  # sums are single at times
    factors = [
        cholesky(one * gram[np.ix_(may, may)] + ridge * np.eye(int(may.sum())))
        for one, may in zip(information, free, strict=True)
    ]
    return _Held(factors, free)


@dataclass(frozen=True, eq=False)
class _Held:
    """Curvature where some weights are held: one small matrix a unit."""

    factors: list[FloatArray]
    free: BoolArray

    def solve(self, gradient: FloatArray, rows: IntArray) -> FloatArray:
        from scipy.linalg import cho_solve

        out = np.zeros_like(gradient)
        for own, row, found in zip(gradient, rows.tolist(), out, strict=True):
            may = self.free[row]
            found[may] = cho_solve((self.factors[row], False), own[may], check_finite=False)
        return out


@dataclass(frozen=True, eq=False)
class _Whole:
    """Curvature where all weights may change: eigenvectors that all units share."""

    values: FloatArray
    vectors: FloatArray
    information: FloatArray
    ridge: float

    def solve(self, gradient: FloatArray, rows: IntArray) -> FloatArray:
        turned = gradient @ self.vectors
        turned /= self.information[rows, np.newaxis] * self.values + self.ridge
        return np.asarray(turned @ self.vectors.T)
