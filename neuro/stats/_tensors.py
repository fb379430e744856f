"""Torch tensors where arrays are expected, without importing torch."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["tensors_too"]

P = ParamSpec("P")
R = TypeVar("R")


def tensors_too(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of arrays take torch tensors and then give tensors back.

    The work is done in numpy on the processor: what is computed is the same,
    and gradients do not flow through a null. Results lie on the device of the
    first tensor; floating ones have its type if that is floating too.

    Parameters
    ----------
    function : callable
        Takes arrays; returns an array or a named tuple of arrays.

    Returns
    -------
    callable
        The same for arrays.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # a tensor cannot exist where torch was never imported
        torch: Any = sys.modules.get("torch")
        if torch is None:
            return function(*args, **kwargs)
        given: list[Any] = [*args, *kwargs.values()]
        tensors = [a for a in given if isinstance(a, torch.Tensor)]
        if not tensors:
            return function(*args, **kwargs)
        plain = [_array(a, torch) for a in args]
        named = {k: _array(v, torch) for k, v in kwargs.items()}
        out: Any = _back(function(*plain, **named), tensors[0], torch)
        return out  # type: ignore[no-any-return]

    return call


def _array(value: Any, torch: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    # numpy has no bfloat16; half precision is too coarse to sum in
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()


def _back(value: Any, like: Any, torch: Any) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_back(v, like, torch) for v in value))
    tensor = torch.from_numpy(np.array(value))  # a copy: broadcast results are read-only
    if tensor.is_floating_point() and like.is_floating_point():
        tensor = tensor.to(like.dtype)
    return tensor.to(like.device)
