"""Mamba blocks: gated selective state spaces in place of attention.

Gu & Dao, arXiv 2312.00752, figure 3 and section 3; sizes and initial values as
in their published code. The bidirectional block is FEMBA's (arXiv 2502.06438).
"""

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError, did_you_mean
from neuro.nn.selective_scan import ScanMethod, selective_scan

__all__ = ["BidirectionalMamba", "Combine", "Mamba", "undecayed"]

Combine: TypeAlias = Literal["add", "multiply"]

# Range of the initial step (log-uniform) and its floor.
_STEP_MIN, _STEP_MAX, _STEP_FLOOR = 1e-3, 0.1, 1e-4
# Without gradients a long sequence is run in pieces of so many tokens, the
# state handed on: the result is the same, the memory that of one piece.
_PIECE = 4096


class Mamba(nn.Module):
    """Selective state space with a short convolution and a gate.

    ``[u, z] = W_in x``; ``u = SiLU(causal depthwise convolution of u)``;
    ``[delta, B, C] = W_x u``; step ``softplus(W_dt delta + b_dt)``;
    ``A = -exp(A_log)``; the scan of `neuro.nn.selective_scan` with skip D and
    gate z; ``W_out``.

    Parameters
    ----------
    d_model : int
        Width of a token.
    expand : int
        Channels of the scan over `d_model`.
    d_state : int
        Length of each channel's state.
    d_conv : int
        Tokens that the convolution sees, the present one and those before.
    dt_rank : int
        Width of the bottleneck that the step comes from; 0 takes
        ``ceil(d_model / 16)``.
    scan : {"auto", "compiled", "chunked", "loop"}
        See :func:`neuro.nn.selective_scan.selective_scan`.

    Raises
    ------
    ConfigError
        If a size is not positive.

    Examples
    --------
    >>> layer = Mamba(8)
    >>> layer(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        *,
        expand: int = 2,
        d_state: int = 16,
        d_conv: int = 4,
        dt_rank: int = 0,
        scan: ScanMethod = "auto",
    ) -> None:
        super().__init__()
        if min(d_model, expand, d_state, d_conv) < 1 or dt_rank < 0:
            raise ConfigError(
                f"Mamba needs positive sizes, got d_model = {d_model}, expand = {expand}, "
                f"d_state = {d_state}, d_conv = {d_conv}, dt_rank = {dt_rank}."
            )
        inner, rank = expand * d_model, dt_rank or math.ceil(d_model / 16)
        self.sizes = (rank, d_state, d_state)
        self.scan: ScanMethod = scan
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner)
        self.x_proj = nn.Linear(inner, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, d_state))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        rates = torch.arange(1, self.A_log.shape[1] + 1, dtype=torch.float32)
        self.A_log.copy_(rates.log().expand_as(self.A_log))
        bound = self.dt_proj.in_features**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(_STEP_MIN), math.log(_STEP_MAX)
        step = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp().clamp(min=_STEP_FLOOR)
        # the inverse of softplus
        self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mix tokens with those before them.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, d_model)
            Tokens.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding: it leaves the state as it is, looks
            like zero to the convolution, and its own output means nothing.

        Returns
        -------
        Tensor, shape (batch, n_tokens, d_model)
            Mixed tokens.
        """
        inner, n_state = self.A_log.shape
        tail = x.new_zeros(x.shape[0], self.conv1d.kernel_size[0] - 1, inner)
        state = x.new_zeros(x.shape[0], inner, n_state)
        length = x.shape[1] if torch.is_grad_enabled() else _PIECE
        rows = []
        for first in range(0, x.shape[1], length):
            part = slice(first, first + length)
            there = None if valid is None else valid[:, part]
            y, tail, state = self._piece(x[:, part], there, tail, state)
            rows.append(y)
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)

    def _piece(
        self, x: Tensor, valid: Tensor | None, tail: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Output, and what the next piece needs: the last inputs of the convolution, the state."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        if valid is not None:
            u = u.masked_fill(~valid[..., None], 0.0)
        u = torch.cat([tail.to(u.dtype), u], dim=1)
        tail = u[:, u.shape[1] - tail.shape[1] :]
        u = F.silu(self.conv1d(u.transpose(1, 2)).transpose(1, 2))
        delta, B, C = self.x_proj(u).split(self.sizes, dim=-1)
        delta = F.linear(delta, self.dt_proj.weight)
        if valid is not None:
            # softplus makes it a step of exactly zero
            delta = delta.masked_fill(~valid[..., None], -math.inf)
        A = -torch.exp(self.A_log.float() if self.A_log.dtype.itemsize < 4 else self.A_log)
        y, state = selective_scan(
            u, delta, A, B, C, D=self.D, z=z, delta_bias=self.dt_proj.bias, softplus=True,
            state=state, method=self.scan,
        )  # fmt: skip
        return self.out_proj(y), tail, state


class BidirectionalMamba(nn.Module):
    """Two independent Mamba layers, one of them on the reversed sequence, post-norm.

    ``LayerNorm(x + F(x) + reverse(R(reverse(x))))``, or with the product of
    both directions in place of their sum (arXiv 2502.06438, section II).

    Parameters
    ----------
    d_model, expand, d_state, d_conv, scan
        See :class:`Mamba`.
    combine : {"add", "multiply"}
        What becomes of the two directions.

    Raises
    ------
    ConfigError
        If a size is not positive or the combination unknown.

    Examples
    --------
    >>> block = BidirectionalMamba(8, expand=2)
    >>> block(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        *,
        expand: int = 4,
        d_state: int = 16,
        d_conv: int = 4,
        combine: Combine = "add",
        scan: ScanMethod = "auto",
    ) -> None:
        super().__init__()
        if combine not in get_args(Combine):
            raise ConfigError(
                f"combine = {combine!r} is unknown. {did_you_mean(combine, get_args(Combine))}"
            )
        self.combine = combine
        self.ahead, self.back = (
            Mamba(d_model, expand=expand, d_state=d_state, d_conv=d_conv, scan=scan)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(d_model)

    def mix(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Both directions together, before residual and norm."""
        there = None if valid is None else valid.flip(1)
        ahead: Tensor = self.ahead(x, valid)
        back: Tensor = self.back(x.flip(1), there).flip(1)
        return ahead + back if self.combine == "add" else ahead * back

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Tokens (batch, n_tokens, d_model) to tokens of the same shape; see `Mamba.forward`."""
        out: Tensor = self.norm(x + self.mix(x, valid))
        return out


def undecayed(model: nn.Module) -> set[int]:
    """Identities of the parameters that weight decay must not touch: A_log and D.

    Decay pulls A_log to 0, that is every rate to the same value. (Marks on the
    parameters themselves would be lost when a model is copied or loaded.)

    Parameters
    ----------
    model : nn.Module
        Any network.

    Returns
    -------
    set of int
        ``id`` of each such parameter.

    Examples
    --------
    >>> layer = Mamba(8)
    >>> undecayed(layer) == {id(layer.A_log), id(layer.D)}
    True
    """
    layers = [m for m in model.modules() if isinstance(m, Mamba)]
    return {id(p) for layer in layers for p in (layer.A_log, layer.D)}
