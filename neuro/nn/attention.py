"""Pre-norm transformer on PyTorch's fused attention."""

from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError

__all__ = ["Attention", "Block", "Mlp", "Transformer", "key_mask"]


def key_mask(valid: Tensor) -> Tensor:
    """Attention mask that hides padded tokens as keys.

    Parameters
    ----------
    valid : Tensor, shape (batch, n_tokens), bool
        False where a token is padding.

    Returns
    -------
    Tensor, shape (batch, 1, 1, n_tokens), bool
        True where a key takes part. An example without any valid token
        attends to everything: its output is meaningless but finite, and a
        softmax over nothing would be NaN and spread through the batch.

    Examples
    --------
    >>> import torch
    >>> key_mask(torch.tensor([[True, False], [False, False]])).squeeze()
    tensor([[ True, False],
            [ True,  True]])
    """
    return (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]


class Attention(nn.Module):
    """Multi-head self-attention.

    Parameters
    ----------
    d_model : int
        Width of a token.
    n_heads : int
        Heads; must divide `d_model`.
    dropout : float
        Dropout on the attention weights and on the output.
    weight_dropout : float, optional
        Dropout on the attention weights, where it differs.
    qkv_bias : bool
        Whether queries, keys and values have a bias.
    qk_norm_eps : float, optional
        Give queries and keys of every head a LayerNorm with this epsilon.

    Raises
    ------
    ConfigError
        If the width is not a multiple of the number of heads.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float = 0.0,
        *,
        weight_dropout: float | None = None,
        qkv_bias: bool = True,
        qk_norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ConfigError(
                f"d_model = {d_model} cannot be shared by {n_heads} heads; "
                "choose a number of heads that divides it."
            )
        self.n_heads = n_heads
        self.dropout = dropout
        self.weight_dropout = dropout if weight_dropout is None else weight_dropout
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=qkv_bias)
        self.query_norm: nn.LayerNorm | None = None
        self.key_norm: nn.LayerNorm | None = None
        if qk_norm_eps is not None:
            self.query_norm = nn.LayerNorm(d_model // n_heads, eps=qk_norm_eps)
            self.key_norm = nn.LayerNorm(d_model // n_heads, eps=qk_norm_eps)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix tokens.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, d_model)
            Tokens.
        mask : Tensor, shape (batch, 1, 1 or n_tokens, n_tokens), bool, optional
            True where a key may be attended to.

        Returns
        -------
        Tensor, shape (batch, n_tokens, d_model)
            Mixed tokens.
        """
        batch, n_tokens, d_model = x.shape
        qkv = self.qkv(x).reshape(batch, n_tokens, 3, self.n_heads, d_model // self.n_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        drop = self.weight_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, n_tokens, d_model))
        return F.dropout(out, self.dropout, self.training)


class Mlp(nn.Module):
    """Linear, GELU, linear.

    Parameters
    ----------
    d_model : int
        Width in and out.
    d_hidden : int
        Width between.
    dropout : float
        Dropout on the output.
    """

    def __init__(self, d_model: int, d_hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Map each token, shape (..., d_model), on its own."""
        out: Tensor = self.down(F.gelu(self.up(x)))
        return F.dropout(out, self.dropout, self.training)


class Block(nn.Module):
    """Pre-norm transformer block: attention and a feed-forward part, residual.

    Parameters
    ----------
    d_model, n_heads : int
        Width and heads.
    mlp_ratio : float
        Hidden width of the feed-forward part over `d_model`.
    dropout : float
        Dropout on attention weights and on both residual branches.
    """

    def __init__(
        self, d_model: int, n_heads: int, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention = Attention(d_model, n_heads, dropout)
        self.norm_mlp = nn.LayerNorm(d_model)
        self.mlp = Mlp(d_model, int(mlp_ratio * d_model), dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (batch, n_tokens, d_model) to tokens of the same shape."""
        x = x + self.attention(self.norm_attention(x), mask)
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class Transformer(nn.Module):
    """Stack of pre-norm blocks, a LayerNorm at the end.

    Parameters
    ----------
    depth : int
        Number of blocks.
    d_model, n_heads : int
        Width and heads.
    mlp_ratio : float
        Hidden width of the feed-forward part over `d_model`.
    dropout : float
        Dropout inside the blocks.

    Examples
    --------
    >>> import torch
    >>> net = Transformer(depth=2, d_model=8, n_heads=2).eval()
    >>> net(torch.randn(3, 5, 8)).shape
    torch.Size([3, 5, 8])
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
            Block(d_model, n_heads, mlp_ratio, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Run the stack.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, d_model)
            Tokens with their positions added.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding: it is never attended to, and its
            own output means nothing.

        Returns
        -------
        Tensor, shape (batch, n_tokens, d_model)
            Tokens after the last norm.
        """
        mask = None if valid is None else key_mask(valid)
        for block in self.blocks:
            x = block(x, mask)
        out: Tensor = self.norm(x)
        return out
