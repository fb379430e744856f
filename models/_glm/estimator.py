"""What estimators of spike counts share: checked data and the fitted observation."""

from dataclasses import replace
from typing import Any

import numpy as np

from neuro.models._estimator import EstimatorModel
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable, SpikeGLMConfig, session_table
from neuro.typing import FloatArray

__all__ = ["SpikeGLMModel"]


class SpikeGLMModel(EstimatorModel):
    """An estimator whose `fit` sets these.

    Attributes
    ----------
    dispersion_, rates_ : float64 array, shape (n_units,)
        r of a negative binomial (else NaN), mean count of a bin in the training data.
    n_inputs_ : int
        Inputs the model was fitted with.
    """

    config: SpikeGLMConfig
    dispersion_: FloatArray
    rates_: FloatArray
    n_inputs_: int

    def _observed(self) -> Observation:
        known = self.config.observation == "negative_binomial"
        return replace(self.config.observed(), dispersion=self.dispersion_ if known else None)

    def _table(self, counts: Any, inputs: Any) -> SessionTable:
        """Data of a fitted model, in double precision."""
        self.require_fitted()
        return session_table(
            self.config, counts, inputs,
            n_units=len(self.rates_), n_inputs=self.n_inputs_, dtype=np.float64,
        )  # fmt: skip
