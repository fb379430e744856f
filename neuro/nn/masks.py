"""What exists of a batch, and which tokens a masked model sees of it.

Hidden are random tokens, spans, whole channels or whole moments.

Every rule gives each token a score; the tokens with the lowest scores stay
visible. So each example keeps an exact number whatever the rule, padding is
never kept, and one generator decides everything.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from neuro.errors import ConfigError, did_you_mean

__all__ = [
    "MaskKind",
    "Visible",
    "choose_visible",
    "gather_tokens",
    "mask_scores",
    "valid_samples",
]

MaskKind: TypeAlias = Literal["random", "span", "channel", "time", "mixed"]


class Visible(NamedTuple):
    """Result of `choose_visible`.

    Attributes
    ----------
    kept : Tensor, shape (batch, n_keep), int64
        Tokens to keep, in ascending order of position.
    filled : Tensor, shape (batch, n_keep), bool, or None
        False where an example has fewer tokens to keep than the batch is
        wide; None when all are filled.
    hidden : Tensor, shape (batch, n_tokens), bool
        Valid tokens that are not kept: what the model must predict.
    """

    kept: Tensor
    filled: Tensor | None
    hidden: Tensor


def mask_scores(
    kind: MaskKind,
    shape: tuple[int, int, int],
    generator: torch.Generator,
    *,
    span: int = 3,
) -> Tensor:
    """Scores that decide which tokens stay visible: the lowest do.

    Parameters
    ----------
    kind : {"random", "span", "channel", "time", "mixed"}
        Single tokens; runs of `span` patches within a channel; whole
        channels; all channels at the same moments; or one of random, span,
        channel and time drawn for each example.
    shape : tuple of int
        (batch, n_chans, n_patches).
    generator : torch.Generator
        Source of all randomness.
    span : int
        Length of a run in patches, for "span" and "time".

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches), float32
        Scores on the generator's device.

    Raises
    ------
    ConfigError
        If the kind is unknown or the span not positive.

    Examples
    --------
    >>> import torch
    >>> scores = mask_scores("channel", (1, 3, 4), torch.Generator().manual_seed(0))
    >>> scores.shape
    torch.Size([1, 3, 4])
    """
    if kind not in get_args(MaskKind):
        raise ConfigError(f"No mask is called {kind!r}. {did_you_mean(kind, get_args(MaskKind))}")
    if span < 1:
        raise ConfigError(f"A span of {span} patches is not possible; give 1 or more.")
    batch, n_chans, n_patches = shape
    fine = torch.rand(shape, generator=generator, device=generator.device)
    if kind == "random":
        return fine
    if kind == "mixed":
        rules: tuple[MaskKind, ...] = ("random", "span", "channel", "time")
        options = torch.stack([mask_scores(r, shape, generator, span=span) for r in rules])
        pick = torch.randint(len(rules), (batch,), generator=generator, device=fine.device)
        return options[pick, torch.arange(batch, device=fine.device)]
    if kind == "channel":
        return _ranks((batch, n_chans, 1), generator) + fine
    rows = n_chans if kind == "span" else 1
    score = _span_ranks((batch, rows, n_patches), span, generator)
    if kind == "time":
        # within a run, too, a moment is hidden in all channels or in none
        moments = _ranks((batch, 1, n_patches), generator)
        score = score * n_patches + moments
    return score + fine


def _ranks(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Random order 0, 1, … of all places of each example; ties cannot happen."""
    draws = torch.rand(shape, generator=generator, device=generator.device).flatten(1)
    return draws.argsort(dim=1).argsort(dim=1).float().reshape(shape)


def _span_ranks(shape: tuple[int, int, int], span: int, generator: torch.Generator) -> Tensor:
    """Random rank of each run of `span` patches; runs start at a random phase."""
    batch, rows, n_patches = shape
    device = generator.device
    runs = _ranks((batch, rows, n_patches // span + 2), generator)
    phase = torch.randint(span, (batch, rows, 1), generator=generator, device=device)
    index = (torch.arange(n_patches, device=device) + phase) // span
    return runs.gather(-1, index.expand(batch, rows, n_patches))


def choose_visible(scores: Tensor, ratio: float, valid: Tensor | None = None) -> Visible:
    """Keep the tokens with the lowest scores.

    Parameters
    ----------
    scores : Tensor, shape (batch, n_tokens)
        From `mask_scores`, flattened.
    ratio : float
        Share of each example's valid tokens to hide, in (0, 1).
    valid : Tensor, shape (batch, n_tokens), bool, optional
        False where a token is padding; padding is neither kept nor hidden.

    Returns
    -------
    Visible
        Each example keeps ``round((1 - ratio) * its valid tokens)``, at least
        one and, where it has two, at least one less than all.

    Raises
    ------
    ConfigError
        If the ratio is outside (0, 1).

    Examples
    --------
    >>> import torch
    >>> tokens = choose_visible(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), ratio=0.5)
    >>> tokens.kept.tolist(), tokens.hidden.tolist()
    ([[1, 3]], [[True, False, True, False]])
    """
    if not 0 < ratio < 1:
        raise ConfigError(f"A mask ratio of {ratio} hides nothing or everything; use (0, 1).")
    batch, n_tokens = scores.shape
    width = _n_keep(n_tokens, ratio)
    if valid is None:
        index = scores.argsort(dim=1, stable=True)[:, :width].sort(dim=1).values
        hidden = torch.ones(batch, n_tokens, dtype=torch.bool, device=scores.device)
        return Visible(index, None, hidden.scatter(1, index, False))
    order = scores.masked_fill(~valid, torch.inf).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    n_valid = valid.sum(dim=1, keepdim=True)
    # double, so that rounding agrees with Python's in _n_keep
    keep = torch.round((1 - ratio) * n_valid.double())
    keep = torch.minimum(keep, n_valid - 1).clamp(min=1)
    kept = (rank < keep) & valid
    # Kept tokens first, each group in order of position.
    index = (~kept).to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    return Visible(index, kept.gather(1, index), valid & ~kept)


def _n_keep(n_tokens: int, ratio: float) -> int:
    """Widest number of tokens that any example of a batch keeps."""
    return max(1, min(round((1 - ratio) * n_tokens), n_tokens - 1))


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Take some tokens of each example.

    Parameters
    ----------
    tokens : Tensor, shape (batch, n_tokens, width)
        All tokens.
    index : Tensor, shape (batch, n_keep), int64
        Which to take.

    Returns
    -------
    Tensor, shape (batch, n_keep, width)
        The chosen tokens in the order of `index`.

    Examples
    --------
    >>> import torch
    >>> gather_tokens(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 0]])).tolist()
    [[[3.0], [1.0]]]
    """
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def valid_samples(
    x: Tensor, channel_mask: Tensor | None, time_mask: Tensor | None
) -> Tensor | None:
    """Which samples of a batch exist.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        The batch; what stands where nothing exists may be NaN.
    channel_mask : Tensor, shape (batch, n_chans), bool, or None
        False where a channel is absent; None if none is.
    time_mask : Tensor, shape (batch, n_times), bool, or None
        False where a sample is missing; None if none is.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_times), bool, or None
        None if all exist.

    Examples
    --------
    >>> import torch
    >>> valid_samples(torch.zeros(1, 2, 2), torch.tensor([[True, False]]), None).tolist()
    [[[True, True], [False, False]]]
    """
    if channel_mask is None and time_mask is None:
        return None
    valid = torch.ones_like(x, dtype=torch.bool)
    if channel_mask is not None:
        valid = valid & channel_mask[:, :, None]
    return valid if time_mask is None else valid & time_mask[:, None, :]
