"""The penalty, the schedule and the training loop of AR-Net (arXiv 1911.12436)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from neuro.errors import ConfigError
from neuro.models._config import Config
from neuro.typing import AnyArray

__all__ = [
    "ARNetConfig",
    "Layer",
    "lambda_max",
    "pruning_threshold",
    "ramp",
    "sparsity_penalty",
    "stpe",
    "train",
]


@dataclass(frozen=True, kw_only=True)
class ARNetConfig(Config):
    """Settings of :class:`ARNet`.

    Parameters
    ----------
    n_lags : int
        Samples looked back.
    mode : "univariate" or "vector"
        One model a channel, or all channels predict each.
    sparsity : float
        Expected share of lags that matter, in (0, 1]; 1 switches the penalty off.
    c_lambda : float
        Strength of the penalty (paper 0.01 to 0.02).
    c1, c2 : float
        Shape of the penalty (paper 3 and 3; later releases 2 and 2).
    epochs, batch_size : int
        Passes and samples a step.
    lr : float
        Largest step size of Adam.
    schedule : "onecycle" or "exponential"
        Step size over time; exponential is 0.9 an epoch.
    ramp : "quadratic" or "linear"
        How the penalty comes in: with the square of the share of training up to one
        half, or by a tenth an epoch.
    standardise : bool
        Centre each channel and divide by its standard deviation first.
    refit : bool
        Least squares on the surviving lags.
    prune_z : float
        Refitted lags below this many standard errors are dropped.
    seed : int
        Of the order of samples and the first weights.
    """

    n_lags: int = 20
    mode: Literal["univariate", "vector"] = "univariate"
    sparsity: float = 1.0
    c_lambda: float = 0.01
    c1: float = 3.0
    c2: float = 3.0
    epochs: int = 20
    batch_size: int = 64
    lr: float = 0.01
    schedule: Literal["onecycle", "exponential"] = "onecycle"
    ramp: Literal["quadratic", "linear"] = "quadratic"
    standardise: bool = True
    refit: bool = True
    prune_z: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_lags", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        if not 0 < self.sparsity <= 1:
            raise ConfigError(f"sparsity = {self.sparsity} must lie in (0, 1].")
        if min(self.lr, self.c1, self.c2) <= 0 or min(self.c_lambda, self.prune_z) < 0:
            raise ConfigError("lr, c1 and c2 must be positive; c_lambda and prune_z not negative.")


def sparsity_penalty(weight: Tensor, c1: float = 3.0, c2: float = 3.0) -> Tensor:
    """``R = mean(2 / (1 + exp(-c1 |w|^(1/c2))) - 1)`` over the last axis (eq. 7).

    Parameters
    ----------
    weight : Tensor, shape (..., n_weights)
        Weights of the first layer, without the bias.
    c1, c2 : float
        Shape.

    Returns
    -------
    Tensor, shape (...)
        In [0, 1); weights of exactly zero contribute neither value nor gradient.

    Examples
    --------
    >>> round(float(sparsity_penalty(torch.tensor([0.0, 1.0]))), 4)
    0.4526
    """
    # the slope at 0 is infinite: there the root is taken of 1 instead and masked, so that no
    # NaN enters the gradient
    away = weight != 0
    root = torch.where(away, weight, torch.ones_like(weight)).abs() ** (1 / c2)
    each = 2 / (1 + torch.exp(-c1 * root)) - 1
    return torch.where(away, each, torch.zeros_like(each)).mean(dim=-1)


def lambda_max(sparsity: float, c_lambda: float, noise: float = 1.0) -> float:
    """Full strength of the penalty for an expected share of non-zero lags.

    Parameters
    ----------
    sparsity : float
        Expected share in (0, 1]; 1 gives 0.
    c_lambda : float
        Strength.
    noise : float
        Standard deviation of the noise.

    Returns
    -------
    float
        ``c_lambda noise (1 / sparsity - 1)``.

    Examples
    --------
    >>> round(lambda_max(0.5, 0.02), 6)
    0.02
    """
    return c_lambda * noise * ((1 + 1e-9) / (sparsity + 1e-9) - 1)


def pruning_threshold(
    strength: float, n_weights: int, variance: float = 1.0, c1: float = 3.0, c2: float = 3.0
) -> float:
    """Least-squares weight below which the penalty wins, for nearly white lags.

    From the stationary condition ``2 v (w_ols - w) = (strength / p) R'(w)``.

    Parameters
    ----------
    strength : float
        The penalty's factor.
    n_weights : int
        Weights it averages over.
    variance : float
        Of the lags.
    c1, c2 : float
        Shape.

    Returns
    -------
    float
        ``min_w w + k w^(1/c2 - 1)`` with ``k = strength c1 / (4 c2 n_weights variance)``.

    Examples
    --------
    >>> round(pruning_threshold(lambda_max(0.15, 0.01), 20, variance=2.0), 3)
    0.017
    """
    k = strength * c1 / (4 * c2 * n_weights * variance)
    if k == 0 or c2 <= 1:
        return 0.0
    best = (k * (1 - 1 / c2)) ** (1 / (2 - 1 / c2))
    return float(best + k * best ** (1 / c2 - 1))


def stpe(estimate: AnyArray, truth: AnyArray) -> float:
    """Symmetric total percentage error of coefficients.

    Parameters
    ----------
    estimate, truth : array
        Coefficients of the same shape.

    Returns
    -------
    float
        ``100 sum |a - b| / sum (|a| + |b|)``: 0 perfect, 100 worst.

    Examples
    --------
    >>> round(stpe(np.array([0.5, 0.0]), np.array([0.5, 0.5])), 2)
    33.33
    """
    a, b = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    return float(100 * np.abs(a - b).sum() / (1e-8 + (np.abs(a) + np.abs(b)).sum()))


class Layer:
    """Weights (n_models, n_inputs) on lags; each model has its own or all channels."""

    def __init__(self, weight: Tensor, bias: Tensor, n_lags: int, mode: str) -> None:
        self.weight, self.bias = weight, bias
        self.n_lags, self.mode = n_lags, mode

    def __call__(self, series: Tensor, at: Tensor) -> Tensor:
        """Predictions of the samples ``at``, shape (n_models, n)."""
        lags = torch.arange(1, self.n_lags + 1)
        past = series[:, at[:, None] - lags]  # channel, sample, lag
        if self.mode == "univariate":
            return torch.einsum("cnp,cp->cn", past, self.weight) + self.bias[:, None]
        flat = past.transpose(0, 1).reshape(len(at), -1)
        return (flat @ self.weight.T + self.bias).T


def train(
    layer: Layer,
    samples: tuple[Tensor, Tensor],
    config: ARNetConfig,
    order: Callable[[int], Tensor],
) -> list[float]:
    """Adam on squared error plus penalty; returns every step's error."""
    series, usable = samples
    parameters = [layer.weight.requires_grad_(), layer.bias.requires_grad_()]
    optimiser = torch.optim.Adam(parameters, lr=config.lr)
    steps = -(-len(usable) // config.batch_size)
    full = lambda_max(config.sparsity, config.c_lambda)
    schedule: Any
    if config.schedule == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.lr, total_steps=steps * config.epochs, pct_start=0.25
        )
    else:
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.9)
    errors = []
    for epoch in range(config.epochs):
        turn = order(epoch)
        for step in range(steps):
            at = usable[turn[step * config.batch_size : (step + 1) * config.batch_size]]
            error = ((layer(series, at) - series[:, at]) ** 2).mean(dim=1).sum()
            errors.append(float(error.detach()))
            strength = full * _ramp(config, epoch, (step + 1) / steps)
            loss = error
            if strength:
                penalty = sparsity_penalty(layer.weight, config.c1, config.c2)
                loss = error + strength * penalty.sum()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            if config.schedule == "onecycle":
                schedule.step()
        if config.schedule == "exponential":
            schedule.step()
    return errors


def _ramp(config: ARNetConfig, epoch: int, share: float) -> float:
    """Share of the penalty's full strength at a point of training."""
    if config.ramp == "linear":
        return min(1.0, epoch / 10)
    return ramp((epoch + share) / config.epochs)


def ramp(progress: float, start: float = 0.0, full: float = 0.5) -> float:
    """Share of the penalty's full strength: quadratic between two points of training.

    Parameters
    ----------
    progress : float
        Share of training that is done.
    start, full : float
        Where it begins and where it is complete.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> ramp(0.25), ramp(0.6)
    (0.25, 1.0)
    """
    return min(1.0, max(0.0, (progress - start) / (full - start))) ** 2
