"""Stage 2: a small transformer that reads code numbers."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.heads import masked_mean
from neuro.nn.linear_attention import LinearTransformer
from neuro.nn.positions import frame_code

if TYPE_CHECKING:
    from neuro.data import Batch
    from neuro.models.tfm_tokenizer.config import TFMTokenizerConfig

__all__ = ["TokenEncoder", "TokenFrontEnd", "pooled"]


class TokenEncoder(nn.Module):
    """Linear-attention transformer over the code numbers of all channels.

    A token enters as its code plus a learned offset, so that training starts
    at the code book (and follows it, should it change); number ``n_codes`` is
    the mask, which starts at zero.

    Parameters
    ----------
    config : TFMTokenizerConfig
        Sizes.
    """

    def __init__(self, config: "TFMTokenizerConfig") -> None:
        super().__init__()
        self.dropout = config.embed_dropout
        self.offsets = nn.Parameter(torch.zeros(config.n_codes + 1, config.d_model))
        self.channels = nn.Parameter(torch.randn(config.n_chans, config.d_model))
        self.cls = nn.Parameter(torch.zeros(config.d_model))
        self.blocks = LinearTransformer(
            depth=config.encoder_depth,
            d_model=config.d_model,
            n_heads=config.n_heads,
            dropout=config.dropout,
        )

    @property
    def mask_id(self) -> int:
        """Number of a hidden token."""
        return self.offsets.shape[0] - 1

    def sequence(self, ids: Tensor, codes: Tensor, channel_index: Tensor | None = None) -> Tensor:
        """What the blocks read: CLS, then the tokens of channel after channel.

        Parameters
        ----------
        ids : Tensor, shape (batch, n_chans, n_frames), int64
            Code numbers, `mask_id` where hidden.
        codes : Tensor, shape (n_codes, d_model)
            Code book.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Row of each channel in the table of channels.

        Returns
        -------
        Tensor, shape (batch, 1 + n_chans * n_frames, d_model)
        """
        batch, n_chans, n_frames = ids.shape
        rows = slice(n_chans) if channel_index is None else channel_index
        what = F.embedding(ids, F.pad(codes, (0, 0, 0, 1))) + F.embedding(ids, self.offsets)
        when = frame_code(n_frames, codes.shape[1], codes.device).to(codes.dtype)
        tokens = F.dropout(
            what + self.channels[rows, None, :] + when, self.dropout, self.training
        ).flatten(1, 2)
        return torch.cat([self.cls.to(tokens.dtype).expand(batch, 1, -1), tokens], dim=1)

    def forward(
        self,
        ids: Tensor,
        codes: Tensor,
        valid: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode.

        Parameters
        ----------
        ids : Tensor, shape (batch, n_chans, n_frames), int64
            Code numbers, `mask_id` where hidden; any where not valid.
        codes : Tensor, shape (n_codes, d_model)
            Code book.
        valid : Tensor, shape (batch, n_chans, n_frames), bool, optional
            False where there is no token.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Row of each channel in the table of channels.

        Returns
        -------
        cls : Tensor, shape (batch, d_model)
            The whole window.
        tokens : Tensor, shape (batch, n_chans, n_frames, d_model)
            0 where not valid.
        """
        there = None if valid is None else F.pad(valid.flatten(1), (1, 0), value=True)
        encoded = self.blocks(self.sequence(ids, codes, channel_index), there)
        tokens = encoded[:, 1:].reshape(*ids.shape, -1)
        if valid is not None:
            tokens = tokens.masked_fill(~valid[..., None], 0.0)
        return encoded[:, 0], tokens


class TokenFrontEnd(nn.Module):
    """Frozen tokens as the input layer of another encoder.

    Parameters
    ----------
    tokenizer : TFMTokenizer
        Trained; it is neither changed nor saved with this module.
    d_model : int
        Width that the other encoder reads.

    Raises
    ------
    ConfigError
        If the width is not positive.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> from neuro.nn.attention import Transformer
    >>> tokenizer = neuro.models.create("tfm_tokenizer", preset="tiny")
    >>> front, encoder = TokenFrontEnd(tokenizer, 32), Transformer(depth=1, d_model=32, n_heads=2)
    >>> tokens, valid = front(torch.randn(2, 4, 500))
    >>> encoder(tokens, valid).shape
    torch.Size([2, 36, 32])
    """

    def __init__(self, tokenizer: Any, d_model: int) -> None:
        super().__init__()
        if d_model < 1:
            raise ConfigError(f"d_model = {d_model} is not possible; give the encoder's width.")
        config = tokenizer.config
        self._tokenizer = (tokenizer,)  # in a tuple, so that it is no part of this module
        self.project = nn.Linear(config.d_model, d_model)
        self.channels = nn.Parameter(torch.randn(config.n_chans, d_model) * 0.02)

    def forward(self, batch: "Batch | Tensor") -> tuple[Tensor, Tensor]:
        """Tokenise and embed.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            What the tokenizer accepts.

        Returns
        -------
        tokens : Tensor, shape (batch, n_chans * n_frames, d_model)
            Projected codes plus channel and time.
        valid : Tensor, shape (batch, n_chans * n_frames), bool
            False where there is no token.
        """
        vectors, valid = self._tokenizer[0].token_vectors(batch)
        tokens = self.project(vectors) + self.channels[:, None, :]
        when = frame_code(tokens.shape[2], tokens.shape[3] + tokens.shape[3] % 2, tokens.device)
        tokens = tokens + when[:, : tokens.shape[3]].to(tokens.dtype)
        return tokens.flatten(1, 2), valid.flatten(1)


def pooled(
    cls: Tensor,
    tokens: Tensor,
    valid: Tensor | None,
    config: "TFMTokenizerConfig",
    channel_index: Tensor | None = None,
) -> Tensor:
    """One vector a window, as `TFMTokenizerConfig.pool` says.

    Parameters
    ----------
    cls : Tensor, shape (batch, d_model)
        From `TokenEncoder`.
    tokens : Tensor, shape (batch, n_chans, n_frames, d_model)
        Likewise.
    valid : Tensor, shape (batch, n_chans, n_frames), bool, optional
        False where there is no token.
    config : TFMTokenizerConfig
        Way of pooling and number of channels.
    channel_index : Tensor, shape (n_chans,), int64, optional
        Place of each channel.

    Returns
    -------
    Tensor, shape (batch, d_embedding)
        Absent channels leave zeros under "channel", so that the width never changes.
    """
    if config.pool == "cls":
        return cls
    if config.pool == "mean":
        return masked_mean(tokens.flatten(1, 2), None if valid is None else valid.flatten(1))
    rows = masked_mean(tokens, valid)
    if channel_index is not None:
        full = rows.new_zeros(rows.shape[0], config.n_chans, rows.shape[2])
        rows = full.index_copy(1, channel_index, rows)
    elif rows.shape[1] < config.n_chans:
        rows = F.pad(rows, (0, 0, 0, config.n_chans - rows.shape[1]))
    return rows.flatten(1)
