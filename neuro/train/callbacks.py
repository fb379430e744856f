"""Hooks into the loop: early stopping, gradient noise."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neuro.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

__all__ = ["Callback", "EarlyStopping", "GradientNoise", "TrainState"]


@dataclass
class TrainState:
    """What a callback is shown.

    Attributes
    ----------
    model : nn.Module
        Being trained; under `shard=True` its parameters are sharded.
    folder : Path
        Run folder.
    step, total : int
        Steps done and steps of the run.
    lr, loss, grad_norm : float
        Of the step just done; the loss is the mean over all processes.
    valid : dict of str to float
        The last validation; empty before the first.
    stop : str
        Set it to a reason to end the run after this step.
    """

    model: "nn.Module"
    folder: "Path"
    total: int
    step: int = 0
    lr: float = math.nan
    loss: float = math.nan
    grad_norm: float = math.nan
    valid: dict[str, float] = field(default_factory=dict)
    stop: str = ""


class Callback:
    """Base of all callbacks: every hook does nothing.

    In a run of several processes each process calls its own copy.

    Examples
    --------
    >>> class Stop(Callback):
    ...     def on_step(self, state):
    ...         if state.loss < 0.1:
    ...             state.stop = "good enough"
    """

    def on_start(self, state: TrainState) -> None:
        """Before the first step; `state.step` is above 0 in a resumed run."""

    def on_gradients(self, state: TrainState) -> None:
        """After clipping, before the optimiser's step."""

    def on_step(self, state: TrainState) -> None:
        """After the optimiser's step."""

    def on_valid(self, state: TrainState) -> None:
        """After a validation, with its results in `state.valid`."""

    def on_end(self, state: TrainState) -> None:
        """After the last step, also when an error ends the run."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""


@dataclass
class EarlyStopping(Callback):
    """End the run when the validation loss has stopped falling.

    The validation data must be part of the training side of the evaluation's
    split, never its test side.

    Parameters
    ----------
    patience : int
        Validations without improvement after which the run ends.
    min_delta : float
        A fall by less than this is no improvement.

    Raises
    ------
    ConfigError
        If `patience` is below 1.

    Examples
    --------
    >>> stopper = EarlyStopping(patience=1)
    >>> state = TrainState(model=None, folder=None, total=10)
    >>> for state.valid["valid_loss"] in (1.0, 0.5, 0.6):
    ...     stopper.on_valid(state)
    >>> state.stop
    'no validation loss below 0.5 in 1 validations'
    """

    patience: int = 5
    min_delta: float = 0.0
    _best: float = field(default=math.inf, init=False, repr=False)
    _since: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"patience={self.patience} is not possible; use 1 or more.")

    def on_valid(self, state: TrainState) -> None:
        """Count validations since the best one."""
        loss = state.valid["valid_loss"]
        if loss < self._best - self.min_delta:
            self._best, self._since = loss, 0
            return
        self._since += 1
        if self._since >= self.patience:
            state.stop = f"no validation loss below {self._best:.6g} in {self.patience} validations"

    def state_dict(self) -> dict[str, Any]:
        """Best loss (None before the first) and validations since."""
        return {"best": self._best if math.isfinite(self._best) else None, "since": self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        best = state.get("best")
        self._best = math.inf if best is None else float(best)
        self._since = int(state.get("since", 0))


@dataclass
class GradientNoise(Callback):
    """Normal noise on the gradients, less with every step.

    Its variance at step t, counted from 0, is ``eta / (1 + t) ** gamma``
    (Neelakantan et al., arXiv 1511.06807). It is added after clipping. With
    Adam keep `eta` at 0.01 or below, since noise enters the second moment.

    Parameters
    ----------
    eta : float
        Variance at the first step.
    gamma : float
        Speed of the fall.
    seed : int
        Of the noise; a step's noise depends on it and the step alone, so that
        a resumed run goes on with the same.

    Raises
    ------
    ConfigError
        If `eta` or `gamma` is negative.

    Examples
    --------
    >>> noise = GradientNoise(eta=0.01)
    >>> [round(noise.deviation(t), 4) for t in (0, 99)]
    [0.1, 0.0282]
    """

    eta: float = 0.01
    gamma: float = 0.55
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.eta < math.inf and 0 <= self.gamma < math.inf):
            raise ConfigError(f"eta={self.eta}, gamma={self.gamma}: use 0 or more.")

    def deviation(self, step: int) -> float:
        """Standard deviation of the noise at a step."""
        return math.sqrt(self.eta / (1 + step) ** self.gamma)

    def on_gradients(self, state: TrainState) -> None:
        """Add the noise; the same in every process, as the gradients are."""
        import torch

        from neuro.train.order import make_generator

        rng = make_generator(self.seed, "gradient", state.step)
        size = self.deviation(state.step)
        for parameter in state.model.parameters():
            gradient = parameter.grad
            if gradient is None:
                continue
            if type(gradient) is not torch.Tensor:
                raise ConfigError("GradientNoise cannot add to sharded gradients; use shard=False.")
            noise = torch.randn(gradient.shape, generator=rng, dtype=torch.float32)
            gradient.add_(noise.to(gradient), alpha=size)
