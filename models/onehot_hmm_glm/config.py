"""Settings of the state-switching GLM."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.errors import ConfigError
from neuro.models._glm.sessions import SpikeGLMConfig
from neuro.models.onehot_hmm_glm.priors import TypePrior

__all__ = ["OneHotHMMGLMConfig"]


@dataclass(frozen=True, kw_only=True)
class OneHotHMMGLMConfig(SpikeGLMConfig):
    """A :class:`SpikeGLMConfig`, states, and how their couplings hang together.

    Parameters
    ----------
    states : int or str
        Number of states, or a range of candidates as "1:5", both ends included, among
        which held-out likelihood decides.
    prior : {"onehot", "gaussian", "none"}
        Each edge a type with a prior that the states share (OHG), weights around a mean
        that the states share (GHG), or nothing shared (HG).
    bias : {"state", "shared"}
        A constant for each state, or one for all; the publication shares it.
    move_inputs : tuple of int
        Inputs, numbered from 0, that drive the moves between states instead of the
        counts: log odds of moving rather than staying are linear in them, with the
        weight `l2`. One that is to do both is given twice; a missing one counts as zero.
    shared_inputs : bool
        One set of input weights for all states.
    diagonal : {"free", "edge"}
        A unit's own past has neither type nor shared prior (refractoriness would
        dominate them), or is an edge like any other, as in the publication.
    prior_sd : float
        Of weights around their shared mean; 1/3 as published.
    type_prior : {"concrete", "categorical", "categorical_entropy"}
        Density of types given the shared prior: Gumbel-softmax; minus the divergence;
        or with the released code's opposite sign of the entropy.
    temperature : float
        Of the concrete density; our default 0.5, as in the released second version.
    init : {"scores", "perturbed", "random"}
        Cluster windows by the slope of the one-state fit; the one-state fit plus noise
        of sd 0.3; noise.
    n_starts : int
        Starts, of which the most likely after five rounds goes on.
    window_bins : int
        Length of the windows of "scores".
    rounds, m_steps : int
        Most rounds of EM, and L-BFGS steps in each.
    tol : float
        Rounds end below this gain, in nats a bin.
    stay : float
        Probability of staying in a state, of the start and the prior of moves.
    stay_count : float
        Transitions a state that this prior is worth.
    folds : int
        Of the choice among several numbers of states.
    schedule : {"pooled", "paper", "paper_kernels"}
        All sessions together; or as published, session by session: Adam, or the second
        version, in which every edge learns its course over single lags (basis="lags").
    shared_kernels : bool
        "paper_kernels": an edge has one course in all states.
    epochs, steps, lr : int, int, float
        Of the published schedules; the second has one step a visit.

    Raises
    ------
    ConfigError
        If values contradict each other.
    """

    states: int | str = 2
    prior: Literal["onehot", "gaussian", "none"] = "onehot"
    bias: Literal["state", "shared"] = "state"
    move_inputs: tuple[int, ...] = ()
    shared_inputs: bool = False
    diagonal: Literal["free", "edge"] = "free"
    prior_sd: float = 1 / 3
    type_prior: TypePrior = "concrete"
    temperature: float = 0.5
    init: Literal["scores", "perturbed", "random"] = "scores"
    n_starts: int = 1
    window_bins: int = 50
    rounds: int = 40
    m_steps: int = 2
    tol: float = 1e-4
    stay: float = 0.98
    stay_count: float = 10.0
    folds: int = 5
    schedule: Literal["pooled", "paper", "paper_kernels"] = "pooled"
    shared_kernels: bool = True
    epochs: int = 10
    steps: int = 50
    lr: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self.candidates()
        for name in ("n_starts", "rounds", "m_steps", "epochs", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        for name in ("prior_sd", "temperature", "stay_count", "lr"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} = {getattr(self, name)!r} must be above 0.")
        if not 0 < self.stay < 1 or self.window_bins < 2 or self.folds < 2 or self.tol < 0:
            raise ConfigError("stay is between 0 and 1, window_bins and folds 2 or more, tol not "
                              "below 0.")  # fmt: skip
        rows = self.move_inputs
        if len(set(rows)) < len(rows) or min(rows, default=0) < 0:
            raise ConfigError(f"move_inputs = {rows} must be different numbers, 0 or more.")
        one = len(self.history_basis()) == 1 or self.schedule == "paper_kernels"
        if self.coupling and not one and (self.prior == "onehot" or self.schedule == "paper"):
            raise ConfigError(
                "A one-hot edge has one sign, so its past needs one basis function: use "
                "basis='exponential', or prior='gaussian'."
            )
        published = self.coupling and self.self_history and self.observation == "poisson"
        if self.schedule != "pooled" and (rows or not published):
            raise ConfigError(
                "The paper's schedules are for Poisson counts with all couplings and no inputs."
            )
        if self.schedule == "paper_kernels" and (self.basis != "lags" or self.prior != "onehot"):
            raise ConfigError("schedule='paper_kernels' needs basis='lags' and prior='onehot'.")

    def driving(self) -> tuple[int, ...]:
        """Inputs that predict moves between states and not counts."""
        return self.move_inputs

    def candidates(self) -> tuple[int, ...]:
        """Numbers of states that come into question.

        Raises
        ------
        ConfigError
            If `states` is neither a number nor a range.
        """
        low, colon, high = str(self.states).partition(":")
        high = high if colon else low
        if not (low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high) <= 50):
            raise ConfigError(
                f"states = {self.states!r} must be a number from 1 to 50 or a range such as '1:5'."
            )
        return tuple(range(int(low), int(high) + 1))
