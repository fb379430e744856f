"""Small heads that turn tokens or an embedding into an answer."""

import torch
from torch import Tensor, nn

from neuro.nn.attention import key_mask

__all__ = ["AttentivePooling", "LinearHead", "PlainHead", "masked_mean"]


def masked_mean(tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over valid tokens.

    Parameters
    ----------
    tokens : Tensor, shape (..., n_tokens, d_model)
        Tokens.
    valid : Tensor, shape (..., n_tokens), bool, optional
        False where a token is padding.

    Returns
    -------
    Tensor, shape (..., d_model)
        Zeros where no token is valid.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> masked_mean(x, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    if valid is None:
        return tokens.mean(dim=-2)
    weight = valid[..., None].to(tokens.dtype)
    # where, not a product: padding may hold any value, also NaN
    total = torch.where(valid[..., None], tokens, torch.zeros_like(tokens)).sum(dim=-2)
    return total / weight.sum(dim=-2).clamp(min=1)


class LinearHead(nn.Module):
    """LayerNorm and a linear map, for fine-tuning on an embedding.

    Parameters
    ----------
    d_in : int
        Width of the embedding.
    n_outputs : int
        Classes or regression targets.

    Examples
    --------
    >>> import torch
    >>> LinearHead(8, 2)(torch.randn(3, 8)).shape
    torch.Size([3, 2])
    """

    def __init__(self, d_in: int, n_outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_in)
        self.linear = nn.Linear(d_in, n_outputs)

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, d_in) to predictions (batch, n_outputs)."""
        out: Tensor = self.linear(self.norm(embedding))
        return out


class PlainHead(nn.Module):
    """Linear map of an embedding, without a norm.

    Parameters
    ----------
    d_in : int
        Width of the embedding.
    n_outputs : int
        Classes or targets.
    """

    def __init__(self, d_in: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, n_outputs)

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, d_in) to predictions (batch, n_outputs)."""
        out: Tensor = self.linear(embedding)
        return out


class AttentivePooling(nn.Module):
    """One learned query attends to the tokens and returns one vector.

    Parameters
    ----------
    d_model : int
        Width of a token.
    n_heads : int
        Heads; must divide `d_model`.

    Examples
    --------
    >>> import torch
    >>> AttentivePooling(8, 2)(torch.randn(3, 5, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Parameter(torch.empty(d_model))
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)
        nn.init.normal_(self.query, std=0.02)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Pool.

        Parameters
        ----------
        tokens : Tensor, shape (batch, n_tokens, d_model)
            Tokens.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding.

        Returns
        -------
        Tensor, shape (batch, d_model)
            Weighted mean of projected tokens.
        """
        batch, n_tokens, d_model = tokens.shape
        width = d_model // self.n_heads
        pairs = self.key_value(tokens).reshape(batch, n_tokens, 2, self.n_heads, width)
        key, value = pairs.permute(2, 0, 3, 1, 4).unbind(0)
        query = (
            self.query.to(key.dtype).reshape(1, self.n_heads, 1, width).expand(batch, -1, -1, -1)
        )
        mask = None if valid is None else key_mask(valid)
        pooled = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(pooled.reshape(batch, d_model))
        return out
