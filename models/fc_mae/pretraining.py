"""Masked pretraining: what is rebuilt from what, by a decoder that is dropped afterwards.

Triples of windows: one before, one in the middle, one after, without a common
sample. The outer two are rebuilt from what is left of themselves (space), the
middle one from the outer two (time). Nothing sees its own target: edges of hidden
nodes and hidden pairs are taken out before the threshold is computed, the
recurrent network starts afresh in each window without the hidden regions, and
windows that share samples never pass the batch normalisation together.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.connectivity.tensors import windowed_batch_correlation
from neuro.models.fc_mae.masking import Triples, draw_triples, hide, whole

if TYPE_CHECKING:
    from neuro.models.fc_mae.config import FCMAEConfig
    from neuro.models.fc_mae.encoder import GraphEncoder

__all__ = ["Decoder", "HiddenGraphs", "Rebuilt", "losses", "rebuild"]

# Places of the windows before and after in a triple.
_OUTER = [0, 2]


class Rebuilt(NamedTuple):
    """Windows of which something was hidden. Leading dimensions are the windows'.

    Attributes
    ----------
    starts : Tensor, shape (...), int64
        First samples.
    valid : Tensor, shape (...), bool
        False where a window does not count.
    hidden_nodes : Tensor, shape (..., n_rois), bool
        Nodes that were not seen.
    hidden_pairs : Tensor, shape (..., n_rois, n_rois), bool
        Pairs of visible nodes that were not seen, or all pairs where no node was.
    nodes, true_nodes : Tensor, shape (..., n_rois, n_rois or d_model)
        Predicted and true correlation profiles, or codes.
    edges, true_edges : Tensor, shape (..., n_rois, n_rois)
        Logits, and edges as bool.
    """

    starts: Tensor
    valid: Tensor
    hidden_nodes: Tensor
    hidden_pairs: Tensor
    nodes: Tensor
    true_nodes: Tensor
    edges: Tensor
    true_edges: Tensor


class HiddenGraphs(NamedTuple):
    """What the decoder makes of a masked batch.

    Attributes
    ----------
    space : Rebuilt
        Outer windows, leading dimensions (batch, n_draws, 2), each from its own rest.
    time : Rebuilt
        Middle windows, leading dimensions (batch, n_draws), from the outer two.
    correlation : Tensor, shape (batch, n_draws, 3, n_rois, n_rois)
        The truth of all three.
    """

    space: Rebuilt
    time: Rebuilt
    correlation: Tensor


class Decoder(nn.Module):
    """From codes to what was hidden. Not used after pretraining; our design.

    Parameters
    ----------
    config : FCMAEConfig
        Sizes and target.
    """

    def __init__(self, config: "FCMAEConfig") -> None:
        super().__init__()
        d_model, depth = config.d_model, config.depth
        self.hidden_node = nn.Parameter(torch.zeros(d_model))
        self.blank_window = nn.Parameter(torch.randn(depth, d_model))
        self.place = nn.Parameter(torch.randn(config.n_chans, d_model))
        self.from_node = nn.Linear(d_model, d_model)
        self.from_window = nn.Linear(depth * d_model, d_model)
        self.from_two_nodes = nn.Linear(2 * d_model, d_model)
        self.from_blank = nn.Linear(depth * d_model, d_model)
        self.mix = nn.Linear(d_model, d_model)
        wide = config.n_chans if config.target == "input" else d_model
        self.to_node = nn.Linear(d_model, wide)
        self.to_edge = nn.Linear(d_model, d_model)
        self.edge_bias = nn.Parameter(torch.zeros(()))

    def of_parts(self, nodes: Tensor, windows: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Masked windows (m) from the codes of their visible nodes.

        Parameters
        ----------
        nodes : Tensor, shape (m, n_rois, d_model)
            Codes of the last layer.
        windows : Tensor, shape (depth, m, d_model)
            Readouts of the visible nodes.
        hidden : Tensor, shape (m, n_rois), bool
            Nodes of which nothing is known.

        Returns
        -------
        tuple of Tensor
            As `forward`.
        """
        content = self.from_node(nodes)
        content = torch.where(hidden[..., None], self.hidden_node.to(content.dtype), content)
        found: tuple[Tensor, Tensor] = self(content, self.from_window(_side_by_side(windows)))
        return found

    def between(
        self, nodes: Tensor, windows: Tensor, encoder: "GraphEncoder"
    ) -> tuple[Tensor, Tensor]:
        """Middle windows (m) from the two around each, given one after the other.

        Parameters
        ----------
        nodes : Tensor, shape (2 * m, n_rois, d_model)
            Codes of the last layer.
        windows : Tensor, shape (depth, 2 * m, d_model)
            Readouts.
        encoder : GraphEncoder
            Its attention over windows fills a blank one between the two.

        Returns
        -------
        tuple of Tensor
            As `forward`.
        """
        both = nodes.reshape(-1, 2, *nodes.shape[1:]).transpose(1, 2).flatten(2)
        blanks = []
        for k, mixer in enumerate(encoder.mixers):
            before, after = windows[k].reshape(-1, 2, windows.shape[2]).unbind(1)
            blank = self.blank_window[k].to(before).expand_as(before)
            blanks.append(mixer(torch.stack([before, blank, after], dim=1))[:, 1])
        window = self.from_blank(_side_by_side(torch.stack(blanks)))
        found: tuple[Tensor, Tensor] = self(self.from_two_nodes(both), window)
        return found

    def forward(self, content: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """Decode.

        Parameters
        ----------
        content : Tensor, shape (m, n_rois, d_model)
            What is known of each node.
        window : Tensor, shape (m, d_model)
            What is known of the window.

        Returns
        -------
        nodes : Tensor, shape (m, n_rois, n_rois or d_model)
            Correlation profiles, or codes.
        edges : Tensor, shape (m, n_rois, n_rois)
            Logits, symmetric.
        """
        state = F.gelu(self.mix(F.gelu(content + window[:, None] + self.place)))
        ends = self.to_edge(state)
        edges = ends @ ends.transpose(1, 2) / ends.shape[2] ** 0.5 + self.edge_bias
        return self.to_node(state), edges


def _side_by_side(windows: Tensor) -> Tensor:
    """Readouts (depth, m, d_model) as (m, depth * d_model)."""
    return windows.transpose(0, 1).flatten(1)


def rebuild(
    encoder: "GraphEncoder",
    decoder: Decoder,
    config: "FCMAEConfig",
    x: Tensor,
    there: Tensor,
    generator: torch.Generator,
    slow_codes: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> HiddenGraphs:
    """Hide parts of windows, and whole windows, and fill them in.

    Parameters
    ----------
    encoder, decoder, config
        Of the model.
    x : Tensor, shape (batch, n_rois, n_times)
        Scans; 0 where missing.
    there : Tensor, shape (batch, n_times), bool
        Samples that exist.
    generator : torch.Generator
        Decides which windows, and what is hidden.
    slow_codes : callable, optional
        Features, edges and nodes to the codes that are predicted; without it
        correlations are.

    Returns
    -------
    HiddenGraphs
    """
    triples = draw_triples(
        there,
        config.window_times,
        config.max_gap_times,
        config.min_valid,
        config.n_draws,
        generator,
    )
    every = None if bool(there.all()) else there
    # Draw by draw: windows of different draws may share samples, and in one pass
    # batch normalisation would carry what is hidden in one from the other.
    draws = [
        _rebuild_one(
            encoder, decoder, config, x, every, Triples(starts, valid), generator, slow_codes
        )
        for starts, valid in zip(triples.starts.unbind(1), triples.valid.unbind(1), strict=True)
    ]
    return HiddenGraphs(
        _stacked([d.space for d in draws]),
        _stacked([d.time for d in draws]),
        torch.stack([d.correlation for d in draws], dim=1),
    )


def _stacked(draws: list[Rebuilt]) -> Rebuilt:
    return Rebuilt(*(torch.stack(parts, dim=1) for parts in zip(*draws, strict=True)))


def _rebuild_one(
    encoder: "GraphEncoder",
    decoder: Decoder,
    config: "FCMAEConfig",
    x: Tensor,
    time_mask: Tensor | None,
    triples: Triples,
    generator: torch.Generator,
    slow_codes: Callable[[Tensor, Tensor, Tensor], Tensor] | None,
) -> HiddenGraphs:
    """One triple a scan; the shapes of `HiddenGraphs` without n_draws."""
    batch, n = x.shape[0], config.n_chans
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        correlation = windowed_batch_correlation(x, triples.starts, config.window_times, time_mask)
        graphs, alive = whole(correlation.flatten(0, 1), 100 * (1 - config.density))
    edges, nodes = graphs.reshape(correlation.shape), alive.reshape(batch, 3, n)
    nodes = nodes & triples.valid[..., None]
    true_nodes = correlation
    if slow_codes is not None:
        everything = _features(encoder, config, x, triples.starts, None)
        true_nodes = slow_codes(everything, graphs, alive).reshape(batch, 3, n, -1)

    starts, outer = triples.starts[:, _OUTER], nodes[:, _OUTER].flatten(0, 1)
    parts = hide(correlation[:, _OUTER].flatten(0, 1), outer, config, generator)
    features = _features(encoder, config, x, starts, parts.nodes)
    masked = encoder.graphs(features, parts.edges, outer & ~parts.nodes)
    near = decoder.of_parts(masked.nodes[-1], masked.windows, parts.nodes)
    features = _features(encoder, config, x, starts, None)
    known = encoder.graphs(features, edges[:, _OUTER].flatten(0, 1), outer)
    far = decoder.between(known.nodes[-1], known.windows, encoder)

    pairs = nodes[:, 1, :, None] & nodes[:, 1, None, :]
    pairs = pairs & ~torch.eye(n, dtype=torch.bool, device=x.device)
    two = (batch, 2, n)
    space = Rebuilt(
        starts,
        triples.valid[:, _OUTER],
        parts.nodes.reshape(two),
        parts.pairs.reshape(*two, n),
        near[0].reshape(*two, -1),
        true_nodes[:, _OUTER],
        near[1].reshape(*two, n),
        edges[:, _OUTER],
    )
    time = Rebuilt(
        triples.starts[:, 1],
        triples.valid.all(dim=1),  # nothing is known of it where a neighbour is missing
        nodes[:, 1],
        pairs,
        far[0],
        true_nodes[:, 1],
        far[1],
        edges[:, 1],
    )
    return HiddenGraphs(space, time, correlation)


def _features(
    encoder: "GraphEncoder",
    config: "FCMAEConfig",
    x: Tensor,
    starts: Tensor,
    hidden: Tensor | None,
) -> Tensor:
    """Node features of windows; the recurrent network begins in each, without what is hidden."""
    at = starts.flatten(1)
    if not config.timestamp:
        return encoder.features(None, at.numel())
    samples = at[..., None] + torch.arange(config.window_times, device=x.device)
    rows = torch.arange(x.shape[0], device=x.device)[:, None, None]
    windows = x.transpose(1, 2)[rows, samples].flatten(0, 1).transpose(1, 2)
    if hidden is not None:
        windows = windows.masked_fill(hidden[..., None], 0.0)
    return encoder.features(encoder.states(windows)[:, -1], at.numel())


def losses(rebuilt: Rebuilt, kind: str) -> dict[str, Tensor]:
    """Losses of hidden nodes and hidden edges.

    Parameters
    ----------
    rebuilt : Rebuilt
        Predictions and truths.
    kind : {"cosine", "mse"}
        Of the nodes.

    Returns
    -------
    dict of str to Tensor
        "nodes"; "edges", in which edges and non-edges weigh the same; and
        "hits", the share of the hidden pairs that is told right, likewise.
    """
    r = rebuilt
    if kind == "mse":
        error = (r.nodes.float() - r.true_nodes).square().mean(dim=-1)
    else:
        error = (1 - F.cosine_similarity(r.nodes.float(), r.true_nodes, dim=-1)).square()
    logits = r.edges.float()
    cost = F.binary_cross_entropy_with_logits(logits, r.true_edges.float(), reduction="none")
    right = ((logits > 0) == r.true_edges).float()
    asked = r.hidden_pairs & r.valid[..., None, None]
    linked, apart = asked & r.true_edges, asked & ~r.true_edges
    return {
        "nodes": _mean_where(error, r.hidden_nodes & r.valid[..., None]),
        "edges": (_mean_where(cost, linked) + _mean_where(cost, apart)) / 2,
        "hits": ((_mean_where(right, linked) + _mean_where(right, apart)) / 2).detach(),
    }


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
