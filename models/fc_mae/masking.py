"""What pretraining hides: parts of windows, and whole windows between two others."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from neuro.connectivity.tensors import correlation_percentile
from neuro.nn.masks import choose_visible

if TYPE_CHECKING:
    from neuro.models.fc_mae.config import FCMAEConfig

__all__ = ["HiddenParts", "Triples", "draw_triples", "hide", "whole"]


class Triples(NamedTuple):
    """Windows of one step: before, middle, after.

    Attributes
    ----------
    starts : Tensor, shape (batch, n_draws, 3), int64
        First samples.
    valid : Tensor, shape (batch, n_draws, 3), bool
        False where too much of a window is missing, or there is no room for it.
    """

    starts: Tensor
    valid: Tensor


class HiddenParts(NamedTuple):
    """Graphs of windows with parts taken out.

    Attributes
    ----------
    edges : Tensor, shape (m, n_rois, n_rois)
        What is left. The sum over the neighbours is scaled up to what it would
        be if all had been seen.
    nodes : Tensor, shape (m, n_rois), bool
        Hidden nodes.
    pairs : Tensor, shape (m, n_rois, n_rois), bool
        Hidden pairs of nodes that are both visible; symmetric.
    """

    edges: Tensor
    nodes: Tensor
    pairs: Tensor


def draw_triples(
    there: Tensor, width: int, max_gap: int, least: float, n_draws: int, generator: torch.Generator
) -> Triples:
    """Draw windows of which none shares a sample with another.

    Parameters
    ----------
    there : Tensor, shape (batch, n_times), bool
        Samples that exist.
    width, max_gap : int
        Samples of a window, and most between two.
    least : float
        Share of a window's samples that must exist.
    n_draws : int
        Triples a scan.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    Triples
        Where there is no room for three, two or one count.
    """
    batch, n_times = there.shape
    draws = torch.rand(3, batch, n_draws, generator=generator, device=generator.device)
    draws = draws.to(there.device)
    last = torch.arange(1, n_times + 1, device=there.device).mul(there).amax(dim=1)[:, None]
    last = last.clamp(min=width)
    middle = width + _below(draws[0], last - 3 * width)
    before = middle - width - _below(draws[1], (middle - width).clamp(max=max_gap))
    end = middle + width
    after = end + _below(draws[2], (last - width - end).clamp(max=max_gap))
    three, two = last >= 3 * width, last >= 2 * width
    # no room for three: two anywhere; no room for two: one
    first = _below(draws[0], last - (1 + two.long()) * width)
    second = first + width + _below(draws[1], last - 2 * width - first)
    starts = torch.stack(
        [
            torch.where(three, before, first),
            torch.where(three, middle, 0),
            torch.where(three, after, torch.where(two, second, 0)),
        ],
        dim=2,
    )
    total = F.pad(there.long().cumsum(dim=1), (1, 0))
    flat = starts.flatten(1)
    count = total.gather(1, flat + width) - total.gather(1, flat)
    valid = (count >= least * width).reshape(starts.shape)
    return Triples(starts, valid & torch.stack([torch.ones_like(two), three, two], dim=2))


def _below(draws: Tensor, largest: Tensor) -> Tensor:
    """Whole numbers from 0 to the largest, both included; 0 where that is negative."""
    return (draws * (largest.clamp(min=0) + 1)).long().clamp(max=largest.clamp(min=0))


def whole(correlation: Tensor, percent: float) -> tuple[Tensor, Tensor]:
    """Graphs (bool, with self-loops) and nodes (bool) of complete correlation matrices."""
    nodes = correlation.diagonal(dim1=-2, dim2=-1) > 0.5
    use = nodes[:, :, None] & nodes[:, None, :]
    limit = correlation_percentile(correlation, percent, None if bool(nodes.all()) else use)
    return (correlation > limit[:, None, None]) & use, nodes


def hide(
    correlation: Tensor, nodes: Tensor, config: "FCMAEConfig", generator: torch.Generator
) -> HiddenParts:
    """Take nodes and pairs out of graphs, and threshold what is left on its own.

    Parameters
    ----------
    correlation : Tensor, shape (m, n_rois, n_rois)
        Of each window.
    nodes : Tensor, shape (m, n_rois), bool
        Regions that vary.
    config : FCMAEConfig
        Ratios and density.
    generator : torch.Generator
        Decides what is hidden.

    Returns
    -------
    HiddenParts
    """
    m, n = nodes.shape
    scores = torch.rand(m, n, generator=generator, device=generator.device).to(nodes.device)
    hidden = choose_visible(scores, config.node_ratio, nodes).hidden
    seen = nodes & ~hidden
    both = seen[:, :, None] & seen[:, None, :]
    draws = torch.rand(m, n, n, generator=generator, device=generator.device).to(nodes.device)
    above = (draws < config.edge_ratio).triu(1)
    pairs = (above | above.transpose(1, 2)) & both
    use = both & ~pairs
    # the percentile of what is seen: that of the whole matrix would tell about the rest
    limit = correlation_percentile(correlation, 100 * (1 - config.density), use)
    loops = torch.eye(n, dtype=torch.bool, device=nodes.device)
    others = (correlation > limit[:, None, None]) & use & ~loops
    seen_others = (use & ~loops).sum(dim=2).clamp(min=1)
    scale = (nodes.sum(dim=1, keepdim=True) - 1).clamp(min=1) / seen_others
    edges = others * scale[:, :, None] + (loops & nodes[:, :, None])
    return HiddenParts(edges.to(correlation.dtype), hidden, pairs)
