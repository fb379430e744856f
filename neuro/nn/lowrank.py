"""Low-rank changes of frozen weights: fine-tuning with few values to learn."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from neuro.errors import ConfigError

__all__ = ["LowRank", "add_low_rank", "merge_low_rank"]

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class LowRank(nn.Module):
    """W + (alpha / rank) up down, with W frozen; a parametrisation of a weight.

    `up` starts at zero, so that the network says at first what it said before.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight; dimensions after the first count as one.
    rank : int
        Columns of `up` and rows of `down`.
    alpha : float
        Size of the change in units of `rank`; our default is the rank itself.

    References
    ----------
    Hu et al. (2021), arXiv:2106.09685, section 4.1.

    Examples
    --------
    >>> change = LowRank((4, 6), rank=2)
    >>> weight = torch.ones(4, 6)
    >>> torch.equal(change(weight), weight)
    True
    """

    def __init__(self, shape: tuple[int, ...], rank: int, alpha: float | None = None) -> None:
        super().__init__()
        n_out, n_in = shape[0], math.prod(shape[1:])
        if not 1 <= rank <= min(n_out, n_in):
            raise ConfigError(
                f"rank={rank} for a weight of {n_out} x {n_in}: use 1 to {min(n_out, n_in)}."
            )
        self.size = (rank if alpha is None else alpha) / rank
        self.down = nn.Parameter(torch.empty(rank, n_in))
        self.up = nn.Parameter(torch.zeros(n_out, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Changed weight, of the same shape."""
        return weight + (self.size * (self.up @ self.down)).view_as(weight)


def add_low_rank(
    model: nn.Module,
    rank: int = 4,
    *,
    alpha: float | None = None,
    where: Callable[[str, nn.Module], bool] | None = None,
) -> list[nn.Parameter]:
    """Freeze a network and give its linear and convolution weights a low-rank change.

    Weights smaller than `rank` in one dimension stay as they are. It works
    also where a layer reads another's weight directly (nn.MultiheadAttention).

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    rank : int
        Rank of every change; our default.
    alpha : float, optional
        As in :class:`LowRank`.
    where : callable(name, module) -> bool, optional
        Which layers; all of them if omitted.

    Returns
    -------
    list of Parameter
        All that learns now.

    Raises
    ------
    ConfigError
        If no layer is left, or the model already has such changes.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    >>> sum(p.numel() for p in add_low_rank(net, rank=2))
    96
    """
    if rank < 1:
        raise ConfigError(f"rank={rank}: at least 1.")
    if any(isinstance(m, LowRank) for m in model.modules()):
        raise ConfigError("The model already has low-rank changes; merge_low_rank(model) first.")
    chosen = [
        module
        for name, module in model.named_modules()
        if isinstance(module, _KINDS)
        and min(module.weight.shape[0], math.prod(module.weight.shape[1:])) >= rank
        and (where is None or where(name, module))
    ]
    if not chosen:
        raise ConfigError(
            f"{type(model).__name__} has no linear or convolution layer for rank {rank}; use a "
            "smaller rank, another where=, or train the whole network."
        )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    learns: list[nn.Parameter] = []
    for module in chosen:
        change = LowRank(tuple(module.weight.shape), rank, alpha).to(
            module.weight.device, module.weight.dtype
        )
        parametrize.register_parametrization(module, "weight", change)
        learns += list(change.parameters())
    return learns


def _changed(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [
        m
        for m in modules
        if parametrize.is_parametrized(m, "weight")
        and isinstance(m.parametrizations["weight"][0], LowRank)  # type: ignore[index]
    ]


def merge_low_rank(model: nn.Module) -> nn.Module:
    """Add the changes to the weights and remove them: the same outputs, the plain network.

    Parameters
    ----------
    model : nn.Module
        Changed in place.

    Returns
    -------
    nn.Module
        The model, its parameters free to learn again.

    Examples
    --------
    >>> net = nn.Linear(4, 4)
    >>> _ = add_low_rank(net, rank=1)
    >>> sorted(dict(merge_low_rank(net).named_parameters()))
    ['bias', 'weight']
    """
    for module in _changed(list(model.modules())):
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model
