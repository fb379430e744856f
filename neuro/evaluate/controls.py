"""Controls: what a score would be without what it is credited to."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import ConfigError, did_you_mean
from neuro.stats import permute_blocks, permute_labels
from neuro.typing import AnyArray, Seed

if TYPE_CHECKING:
    from torch import nn

__all__ = ["reinitialised", "shuffled_target"]


def reinitialised(model: "nn.Module", seed: int) -> "nn.Module":
    """The same network with weights as before any training.

    Networks of this package are built anew from their configuration; scales
    measured on data (buffers outside batch normalisation) are kept, because
    they are no learned weights and a network without them would be handicapped
    twice. Other modules are copied and every layer that can is asked to
    `reset_parameters()`; tensors that no layer resets are shuffled.

    Parameters
    ----------
    model : nn.Module
        Trained or not; it is not changed.
    seed : int
        Another seed, other weights.

    Returns
    -------
    nn.Module
        In eval mode, on the same device.

    Examples
    --------
    >>> import torch
    >>> trained = torch.nn.Linear(3, 2)
    >>> fresh = reinitialised(trained, seed=1)
    >>> bool(torch.equal(fresh.weight, trained.weight))
    False
    >>> bool(torch.equal(fresh.weight, reinitialised(trained, seed=1).weight))
    True
    """
    import torch

    from neuro.models._base import NetworkModel

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(int(seed))
        if isinstance(model, NetworkModel):
            fresh: nn.Module = type(model)(model.config, model.contract)
            _keep_scales(model, fresh)
        else:
            fresh = _reset(copy.deepcopy(model))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return fresh.to(device).eval()


def _keep_scales(source: "nn.Module", fresh: "nn.Module") -> None:
    from torch.nn.modules.batchnorm import _NormBase

    new = dict(fresh.named_modules())
    for name, module in source.named_modules():
        if isinstance(module, _NormBase):
            continue
        for key, value in module.named_buffers(recurse=False):
            target = getattr(new.get(name), key, None)
            if value is not None and target is not None and target.shape == value.shape:
                target.copy_(value)


def _reset(module: "nn.Module") -> "nn.Module":
    import torch

    reset: set[int] = set()
    for layer in module.modules():
        function = getattr(layer, "reset_parameters", None)
        if callable(function):
            function()
            reset |= {id(p) for p in layer.parameters(recurse=False)}
    for parameter in module.parameters():
        if id(parameter) not in reset:
            order = torch.randperm(parameter.numel(), device=parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return module


def shuffled_target(y: AnyArray, levels: Sequence[AnyArray], seed: Seed) -> AnyArray:
    """Target exchanged between windows as far as their dependence allows.

    The largest units inside which the target is constant exchange it whole
    (trials; subjects, for a diagnosis), and only inside the next larger unit,
    so that differences between runs or subjects stay what they were. Where
    the target varies even inside the smallest units, windows exchange it
    there.

    Parameters
    ----------
    y : ndarray, shape (n, ...)
        Target.
    levels : sequence of ndarray, shape (n,)
        Unit of each window, from small (block) to large (subject).
    seed : int or Generator
        Draws the exchange.

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    DataError
        If the target is constant, so that nothing can be exchanged.

    Examples
    --------
    >>> y, trial, run = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.zeros(4, int)
    >>> shuffled_target(y, [trial, run], seed=1).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    whole = [k for k, unit in enumerate(levels) if _constant_within(y, unit)]
    if not whole:
        return np.asarray(permute_labels(y, n=1, seed=seed, groups=levels[0])[0])
    inside = levels[whole[-1] + 1] if whole[-1] + 1 < len(levels) else None
    return np.asarray(permute_blocks(y, levels[whole[-1]], n=1, seed=seed, groups=inside)[0])


def _constant_within(y: AnyArray, part: AnyArray) -> bool:
    order = np.argsort(part, kind="stable")
    flat = y.reshape(len(y), -1)[order]
    same_part = part[order][1:] == part[order][:-1]
    return not bool((np.diff(flat, axis=0) != 0).any(axis=1)[same_part].any())


def names_of(controls: Any) -> tuple[str, ...]:
    """Checked names of the controls of a run."""
    known = ("random_weights", "shuffled_labels")
    chosen = (controls,) if isinstance(controls, str) else tuple(controls or ())
    for name in chosen:
        if name not in known:
            raise ConfigError(f"No control {name!r}. {did_you_mean(str(name), known)}")
    return chosen
