"""LAMB: Adam whose step has, for every tensor, the size of the weights it changes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from neuro.errors import ConfigError

__all__ = ["Lamb"]


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al., arXiv 1904.00962, algorithm 2), for large batches.

    ``u = m / (sqrt(v) + eps) + weight_decay * w`` with the moments of Adam,
    both corrected for their start at 0; then ``w -= lr |w| / |u| u``, the norms
    those of the whole tensor. Where one of them is 0 the factor is 1.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What is trained, or groups with settings of their own.
    lr : float
        Size of a step over the size of the weights.
    betas : tuple of float
        Decay of both moments.
    eps : float
        Added to the root of the second.
    weight_decay : float
        Share of the weights in `u`.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Lamb([w], lr=0.1, weight_decay=0.0)
    >>> (w * torch.tensor([1.0, -2.0])).sum().backward()
    >>> optimizer.step()
    >>> [round(v, 3) for v in w.tolist()]  # 0.1 * |w| = 0.5 along (1, -1)
    [2.646, 4.354]
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        if not (lr >= 0 and eps > 0 and weight_decay >= 0 and all(0 <= b < 1 for b in betas)):
            raise ConfigError(
                f"lr={lr}, betas={betas}, eps={eps}, weight_decay={weight_decay}: rates and decay "
                "are 0 or more, betas from 0 to below 1, eps above 0."
            )
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the weights.

        Parameters
        ----------
        closure : callable, optional
            Computes loss and gradients anew.

        Returns
        -------
        float or None
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, w: Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[w], w.grad
        assert grad is not None  # step leaves out what has none
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
        state["step"] += 1
        first, second = group["betas"]
        done = float(state["step"])
        mean = state["exp_avg"].lerp_(grad, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(grad, grad, value=1 - second)
        size = (square / (1 - second**done)).sqrt_().add_(group["eps"])
        u = (mean / (1 - first**done)).div_(size).add_(w, alpha=group["weight_decay"])
        ratio = w.norm() / u.norm()
        # 0 / u, w / 0 and 0 / 0: weights that start at 0 must be able to leave it
        ratio = torch.where((ratio > 0) & ratio.isfinite(), ratio, torch.ones_like(ratio))
        w.sub_(group["lr"] * ratio * u)
