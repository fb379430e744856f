"""What is known before any weight: mean rates, their predictors, the dispersion."""

import numpy as np

from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable
from neuro.typing import FloatArray

__all__ = ["constant_of", "constant_weights", "fitted_dispersion", "mean_rates"]


def constant_of(rates: FloatArray, observation: Observation) -> FloatArray:
    """Predictor that gives each of these mean rates."""
    if observation.link == "exp":
        return np.asarray(np.log(rates))
    if observation.link == "sigmoid":
        return np.asarray(np.log(rates / (1 - rates)))
    return np.asarray(rates + np.log(-np.expm1(-rates)))


def mean_rates(table: SessionTable, observation: Observation) -> FloatArray:
    """Mean count of a bin of each unit, kept where every link has a predictor for it.

    A silent unit counts as if it had fired a tenth of a spike in all.
    """
    least = 0.1 / max(1, int(table.valid.sum()))
    mean = table.counts[table.valid].mean(axis=0, dtype=np.float64)
    most = 1 - least if observation.link == "sigmoid" else np.inf
    return np.asarray(np.clip(mean, least, most))


def constant_weights(table: SessionTable, observation: Observation) -> FloatArray:
    """Weights that give every unit its mean rate, (n_units, n_columns)."""
    out = np.zeros((table.counts.shape[1], table.design.shape[1]))
    out[:, -1] = constant_of(mean_rates(table, observation), observation)
    return out


def fitted_dispersion(counts: FloatArray, rates: FloatArray) -> FloatArray:
    """Most likely r of a negative binomial for given rates, (n_units,), 0.01 to 10,000."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    def loss(log_r: float, n: FloatArray, f: FloatArray) -> float:
        r = float(np.exp(log_r))
        own = gammaln(n + r) - gammaln(r) - r * np.log1p(f / r) + n * (np.log(f) - np.log(f + r))
        return -float(own.sum())

    bounds = (np.log(0.01), np.log(10_000.0))
    found = [
        minimize_scalar(loss, bounds=bounds, args=(n, f), method="bounded").x
        for n, f in zip(counts.T.astype(np.float64), rates.T.astype(np.float64), strict=True)
    ]
    return np.exp(np.array(found))
