"""What a tokenizer returns: code numbers, and spectra before and after the codes."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["TokenSpectra", "Tokens"]


class Tokens(NamedTuple):
    """Windows as grids of code numbers; ``model.tokenize(batch)`` returns it.

    Attributes
    ----------
    ids : Tensor, shape (batch, n_chans, n_tokens), int64
        Code of each stretch of each channel; -1 where nothing valid was there.
    start_s : Tensor, shape (n_tokens,), float64
        Beginning of each stretch, seconds from the window's first sample.
    length_s : float
        Seconds that a token covers; longer than the distance of two starts
        where tokens overlap.
    n_codes : int
        Size of the vocabulary.
    """

    ids: Tensor
    start_s: Tensor
    length_s: float
    n_codes: int


class TokenSpectra(NamedTuple):
    """Spectra a tokenizer was asked to keep; ``model.token_spectra(batch)`` returns it.

    Attributes
    ----------
    truth, decoded : Tensor, shape (batch, n_chans, n_freqs, n_tokens)
        Target of the reconstruction and what the codes alone give back, in the
        model's own scale.
    freqs : Tensor, shape (n_freqs,), float64
        Hz.
    """

    truth: Tensor
    decoded: Tensor
    freqs: Tensor
