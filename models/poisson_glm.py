"""Generalised linear model of spike counts: coupling, self-history, inputs; one state.

Truccolo et al., J. Neurophysiol. 93:1074 (2005); Pillow et al., Nature 454:995 (2008).
The rate of a unit in a bin follows from a weighted sum of the past of all units seen
through a few basis functions, of inputs (stimulus, behaviour) and a constant.

Rows are post, columns are pre: ``coupling[i, j]`` is what unit j does to unit i.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.models._glm.baseline import (
    constant_of,
    constant_weights,
    fitted_dispersion,
    mean_rates,
)
from neuro.models._glm.estimator import SpikeGLMModel
from neuro.models._glm.fit import Penalty, Share, fit_weights, log_likelihoods, predictors
from neuro.models._glm.rates import BLOCK_BINS, Observation
from neuro.models._glm.sessions import SessionTable, SpikeGLMConfig, layout, session_table
from neuro.models._glm.sparse import fit_sparse
from neuro.stats.point_process import Rescaling, time_rescaling
from neuro.typing import FloatArray, IntArray

__all__ = [
    "PoissonGLM",
    "PoissonGLMConfig",
]

_TOL_NATS = 1e-8


@dataclass(frozen=True, kw_only=True)
class PoissonGLMConfig(SpikeGLMConfig):
    """A :class:`SpikeGLMConfig` and how its weights are kept small.

    Parameters
    ----------
    penalty : {"ridge", "lasso", "group"}
        What is added to the ridge of ``l2``: nothing, absolute values, or the norm of
        each pre unit's (or input's) weights, which drops whole connections.
    strength : float
        Weight of the lasso or of each group's norm, in nats; groups are weighed by
        the root of their size. Our default is 10.
    n_steps : int
        Most steps of the optimiser; our default.

    Raises
    ------
    ConfigError
        If values contradict each other.
    """

    penalty: Literal["ridge", "lasso", "group"] = "ridge"
    strength: float = 10.0
    n_steps: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.strength) and self.strength >= 0) or self.n_steps < 1:
            raise ConfigError("strength must be 0 or more and n_steps at least 1.")


class PoissonGLM(SpikeGLMModel):
    """GLM of spike counts, scikit-learn style; rows are post, columns pre.

    Counts are (n_units, n_bins), or several sessions of them as a list or a
    three-dimensional array; inputs likewise. NaN is a missing bin: it and the bins
    whose history reaches into it are left out. Before a session's first bin there was
    no spike. Units without a spike get the rate of a tenth of a spike in all and no
    weight that the data ask for; the ridge keeps theirs finite.

    Parameters
    ----------
    config : PoissonGLMConfig, optional
        Settings.
    **values
        Fields of it; :func:`neuro.models.create` knows the presets.

    Attributes
    ----------
    weights_ : float64 array, shape (n_units, n_columns)
        History (pre unit by pre unit, each through its basis), inputs, constant.
    dispersion_ : float64 array, shape (n_units,)
        r of the negative binomial, NaN otherwise.
    rates_ : float64 array, shape (n_units,)
        Mean count of a bin in the training data.
    n_inputs_ : int
        Inputs the model was fitted with.
    log_lik_ : float
        Of the training data, nats a bin.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drive = rng.standard_normal((1, 4000))
    >>> spikes = rng.poisson(np.exp(0.5 * drive - 1.0))
    >>> model = PoissonGLM(link="exp", coupling=False, self_history=False, l2=0.0)
    >>> model.fit(spikes, drive).input_weights.round(1).item()
    0.5
    """

    name: ClassVar[str] = "poisson_glm"
    short_past: ClassVar[bool] = True
    config_class: ClassVar[type[PoissonGLMConfig]] = PoissonGLMConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "paper": {"link": "exp", "basis": "raised_cosine", "n_lags": 50, "n_basis": 8},
            "tiny": {"n_lags": 2, "n_steps": 20},
        }
    )
    fitted: ClassVar[tuple[str, ...]] = (
        "weights_",
        "dispersion_",
        "rates_",
        "n_inputs_",
        "log_lik_",
    )

    config: PoissonGLMConfig
    weights_: FloatArray
    dispersion_: FloatArray
    rates_: FloatArray
    n_inputs_: int
    log_lik_: float

    def fit(self, counts: Any, inputs: Any = None) -> Self:
        """Learn the weights of all units.

        Parameters
        ----------
        counts : array, shape (n_units, n_bins) or (n_sessions, n_units, n_bins), or list
            Whole numbers; NaN is missing.
        inputs : array, shape (n_inputs, n_bins), likewise, optional
            Stimulus, behaviour: what is known of each bin besides spikes.

        Returns
        -------
        PoissonGLM
            Itself.

        Raises
        ------
        DataError
            Counts that are none, no valid bin, or sessions that do not match.
        """
        table = session_table(self.config, counts, inputs)
        observation = self.config.observed()
        if observation.kind == "negative_binomial":
            observation = self._with_dispersion(table, observation)
        weights = self._fitted_weights(table, observation)
        if observation.kind == "negative_binomial":
            for _ in range(3):
                rates = observation.rate(predictors(table.design, weights))
                r = fitted_dispersion(table.counts[table.valid], rates[table.valid])
                observation = replace(observation, dispersion=r)
                weights = self._fitted_weights(table, observation, weights)
        self.weights_ = weights
        n_units = len(weights)
        found_r = observation.dispersion
        self.dispersion_ = np.full(n_units, np.nan) if found_r is None else found_r
        self.rates_ = mean_rates(table, observation)
        self.n_inputs_ = table.n_inputs // len(self.config.stimulus_basis())
        found = log_likelihoods(table, weights[np.newaxis], observation)
        self.log_lik_ = float(found[table.valid].mean())
        return self

    def _with_dispersion(self, table: SessionTable, observation: Observation) -> Observation:
        rates = np.broadcast_to(
            observation.rate(constant_weights(table, observation)[:, -1]), table.counts.shape
        )
        r = fitted_dispersion(table.counts[table.valid], rates[table.valid])
        return replace(observation, dispersion=r)

    def _fitted_weights(
        self, table: SessionTable, observation: Observation, start: FloatArray | None = None
    ) -> FloatArray:
        c, n = self.config, table.design.shape[1]
        ridge = np.r_[np.full(n - 1, c.l2), 0.0]
        free = layout(c, table)[:, np.newaxis]
        penalty = Penalty(ridge, np.zeros((len(free), n)), np.zeros(n, dtype=bool), free)
        share = Share.of(table, observation, np.ones(table.n_bins))
        weights = constant_weights(table, observation) if start is None else start
        if c.penalty != "ridge":
            groups, strength = self._groups(table)
            return fit_sparse(
                share, weights, penalty, groups, strength, n_steps=10 * c.n_steps, tol=1e-7
            )
        cube, _ = fit_weights(
            [share], weights[np.newaxis], penalty, n_steps=c.n_steps, tol=_TOL_NATS
        )
        return np.asarray(cube[0])

    def _groups(self, table: SessionTable) -> tuple[IntArray, FloatArray]:
        """Group of each column and its strength; the constant stands alone, free."""
        n, c = table.design.shape[1], self.config
        groups = np.arange(n)
        if c.penalty == "group":
            past = len(c.history_basis())
            course = len(c.stimulus_basis())
            groups[: table.n_history] //= past
            first = table.n_history // past
            groups[table.n_history : -1] = first + np.arange(table.n_inputs) // course
            groups[-1] = first + table.n_inputs // course
        size = np.bincount(groups)
        return groups, np.r_[c.strength * np.sqrt(size[:-1]), 0.0]

    @property
    def bias(self) -> FloatArray:
        """Constant of each unit, (n_units,)."""
        self.require_fitted()
        return self.weights_[:, -1]

    @property
    def coupling(self) -> FloatArray:
        """Weights of the past, (n_units post, n_units pre, n_basis)."""
        self.require_fitted()
        n_units, n_columns = self.weights_.shape
        n = n_columns - 1 - self.n_inputs_ * len(self.config.stimulus_basis())
        return self.weights_[:, :n].reshape(n_units, n_units if n else 0, -1 if n else 0)

    @property
    def kernels(self) -> FloatArray:
        """What a spike does at each lag, (n_units post, n_units pre, n_lags), lag 1 first."""
        return np.asarray(self.coupling @ self.config.history_basis())

    @property
    def input_weights(self) -> FloatArray:
        """Weights of the inputs, (n_units, n_inputs, n_input_basis)."""
        self.require_fitted()
        n = self.n_inputs_ * len(self.config.stimulus_basis())
        found = self.weights_[:, self.weights_.shape[1] - 1 - n : -1]
        return found.reshape(len(found), self.n_inputs_, -1 if n else 0)

    def predict(self, counts: Any, inputs: Any = None) -> list[FloatArray]:
        """Expected count of every bin given the spikes before it.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        list of float64 array, shape (n_units, n_bins)
            One a session; NaN where the bin or its past is missing.

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            Other units or inputs than it was fitted to.
        """
        table, observation = self._table(counts, inputs), self._observed()
        rates = np.empty(table.counts.shape)
        for start in range(0, table.n_bins, BLOCK_BINS):
            part = slice(start, start + BLOCK_BINS)
            rates[part] = observation.rate(predictors(table.design[part], self.weights_))
        rates[~table.valid] = np.nan
        return [one.T for one in np.split(rates, np.cumsum(table.lengths)[:-1])]

    def score(self, counts: Any, inputs: Any = None) -> float:
        """Log-likelihood of a bin of all units, in nats, mean over valid bins.

        Parameters
        ----------
        counts, inputs : array or list
            Not used in the fit; as in :meth:`fit`.

        Returns
        -------
        float
            Higher is better.
        """
        table = self._table(counts, inputs)
        found = log_likelihoods(table, self.weights_[np.newaxis], self._observed())
        return float(found[table.valid].mean())

    def bits_per_spike(self, counts: Any, inputs: Any = None) -> FloatArray:
        """Gain of each unit over its constant training rate, in bits a spike.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        float64 array, shape (n_units,)
            NaN for units without a spike in these data.
        """
        table, observation = self._table(counts, inputs), self._observed()
        eta = predictors(table.design, self.weights_)
        flat = np.zeros_like(self.weights_)
        flat[:, -1] = constant_of(self.rates_, observation)
        gain = observation.log_lik(eta, table.counts)
        gain -= observation.log_lik(predictors(table.design, flat), table.counts)
        n = table.counts[table.valid].sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(n > 0, gain[table.valid].sum(axis=0) / (n * np.log(2)), np.nan)

    def goodness_of_fit(self, counts: Any, inputs: Any = None, *, seed: int = 0) -> Rescaling:
        """Time rescaling of each unit: whether intervals are what the model says.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`, without missing bins.
        seed : int
            Of the places of spikes within bins.

        Returns
        -------
        Rescaling
            Distance, p value and number of intervals of each unit.

        Raises
        ------
        ConfigError
            For the negative binomial, which is no point process in time.
        DataError
            For data with gaps.
        """
        if self.config.observation == "negative_binomial":
            raise ConfigError("Time rescaling needs Poisson or Bernoulli bins.")
        table = self._table(counts, inputs)
        if not table.valid.all():
            raise DataError("Time rescaling needs data without gaps: give the stretches between.")
        expected = self.predict(counts, inputs)
        edges = np.cumsum(table.lengths)[:-1]
        trains = [one.T for one in np.split(table.counts, edges)]
        return time_rescaling(trains, expected, seed=seed, kind=self.config.observation)
