"""Pre-norm transformer whose attention costs linear time in the number of tokens.

Efficient attention of Shen et al. (arXiv 1812.01243): queries are normalised
over the width of a head, keys over the sequence, and keys meet values before
queries do.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.attention import Mlp

__all__ = ["LinearAttention", "LinearBlock", "LinearTransformer"]


class LinearAttention(nn.Module):
    """Multi-head self-attention without a matrix of tokens by tokens.

    For each head of width w, ``softmax(q) w^-1/2 (softmax(k)^T v)``, the first
    softmax over the width and the second over the tokens.

    Parameters
    ----------
    d_model : int
        Width of a token.
    n_heads : int
        Heads; must divide `d_model`.
    dropout : float
        Dropout on the output.

    Raises
    ------
    ConfigError
        If the width is not a multiple of the number of heads.

    Examples
    --------
    >>> import torch
    >>> LinearAttention(8, 2)(torch.randn(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ConfigError(
                f"d_model = {d_model} cannot be shared by {n_heads} heads; "
                "choose a number of heads that divides it."
            )
        self.n_heads = n_heads
        self.dropout = dropout
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mix tokens.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, d_model)
            Tokens; finite also where not valid.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding: nothing reads it, and its own
            output means nothing. An example without any valid token reads
            all of them: finite, and meaningless.

        Returns
        -------
        Tensor, shape (batch, n_tokens, d_model)
            Mixed tokens.
        """
        batch, n_tokens, d_model = x.shape
        heads = (batch, n_tokens, self.n_heads, d_model // self.n_heads)
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        if valid is not None:
            # the smallest number and not -inf: a softmax over nothing would be NaN
            key = key.masked_fill(~valid[..., None], torch.finfo(key.dtype).min)
        # A softmax along a last dimension as short as a head is five times as
        # slow as along any other, hence tokens last; and keys before the split.
        query = query.reshape(heads).permute(0, 2, 3, 1).softmax(dim=2)
        key = key.softmax(dim=1).reshape(heads).permute(0, 2, 3, 1)
        context = (key @ value.reshape(heads).transpose(1, 2)) * heads[-1] ** -0.5
        mixed = context.transpose(-1, -2) @ query
        out: Tensor = self.out(mixed.permute(0, 3, 1, 2).reshape(batch, n_tokens, d_model))
        return F.dropout(out, self.dropout, self.training)


class LinearBlock(nn.Module):
    """Pre-norm block: linear attention and a feed-forward part, residual.

    Parameters
    ----------
    d_model, n_heads : int
        Width and heads.
    mlp_ratio : float
        Hidden width of the feed-forward part over `d_model`.
    dropout : float
        Dropout after the attention; the feed-forward part has none.
    """

    def __init__(
        self, d_model: int, n_heads: int, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention = LinearAttention(d_model, n_heads, dropout)
        self.norm_mlp = nn.LayerNorm(d_model)
        self.mlp = Mlp(d_model, int(mlp_ratio * d_model))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Tokens (batch, n_tokens, d_model) to tokens of the same shape."""
        x = x + self.attention(self.norm_attention(x), valid)
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class LinearTransformer(nn.Module):
    """Stack of blocks, without a norm at the end.

    Parameters
    ----------
    depth : int
        Number of blocks.
    d_model, n_heads : int
        Width and heads.
    mlp_ratio : float
        Hidden width of the feed-forward part over `d_model`.
    dropout : float
        Dropout after each attention.

    Examples
    --------
    >>> import torch
    >>> net = LinearTransformer(depth=2, d_model=64, n_heads=8)
    >>> net(torch.randn(3, 5, 64)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([3, 5, 64]), 99584)
    """

    def __init__(
        self,
        *,
        depth: int,
        d_model: int,
        n_heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            LinearBlock(d_model, n_heads, mlp_ratio, dropout) for _ in range(depth)
        )

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Run the stack.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, d_model)
            Tokens.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding.

        Returns
        -------
        Tensor, shape (batch, n_tokens, d_model)
            Tokens after the last block; those of padding mean nothing.
        """
        for block in self.blocks:
            x = block(x, valid)
        return x
