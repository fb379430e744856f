"""Encoder of the STAGIN family: graphs of windows, one code a window, attention over windows.

After the code of STAGIN (Kim, Ye and Kim, arXiv 2105.13495), on dense batches of
graphs: at 30 % of edges a dense product is faster on a CPU than a sparse one.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from neuro.nn.attention import Attention, key_mask
from neuro.nn.heads import masked_mean

if TYPE_CHECKING:
    from neuro.models.fc_mae.config import FCMAEConfig

__all__ = ["GraphCodes", "GraphEncoder", "LayerHeads", "orthogonality"]

# Numbers in the nodes of a batch from which layers are run again in the backward pass.
_LARGE = 1 << 24
# Entries of the inner products that the regulariser holds at a time.
_CHUNK = 1 << 22


class GraphCodes(NamedTuple):
    """What the graph layers make of m windows.

    Attributes
    ----------
    nodes : list of Tensor, shape (m, n_rois, d_model)
        After each layer.
    windows : Tensor, shape (depth, m, d_model)
        Each layer's readout.
    attention : Tensor, shape (depth, m, n_rois)
        Weight of each node in the readouts; ones for the plain mean.
    """

    nodes: list[Tensor]
    windows: Tensor
    attention: Tensor


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over rows, of which some may not count."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise ``x`` (..., width); statistics of the rows where ``valid`` (...)."""
        rows = x.flatten(0, -2)
        there = None if valid is None or not self.training else valid.flatten()
        counted = rows if there is None else rows[there]
        if self.training and len(counted) < 2:  # one row has no variance
            mean, variance = self.running_mean, self.running_var
            normed = F.batch_norm(rows, mean, variance, self.weight, self.bias, eps=self.eps)
            return normed.reshape(x.shape)
        normed = super().forward(counted)
        if there is None:
            return normed.reshape(x.shape)
        out = torch.zeros_like(rows)
        out[there] = normed.to(out.dtype)
        return out.reshape(x.shape)


class GraphLayer(nn.Module):
    """Graph isomorphism layer: neighbours and an own share, then two normalised maps.

    Parameters
    ----------
    d_model : int
        Width in and out.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(1, 1))
        self.maps = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(2))
        self.norms = nn.ModuleList(RowNorm(d_model) for _ in range(2))

    def forward(self, x: Tensor, edges: Tensor, valid: Tensor | None) -> Tensor:
        """Nodes (m, n, width) and edges (m, n, n) with self-loops to nodes."""
        x = torch.bmm(edges, x) + self.epsilon * x
        for linear, norm in zip(self.maps, self.norms, strict=True):
            x = F.relu(norm(linear(x), valid))
        return x

    def economical(self, x: Tensor, edges: Tensor, valid: Tensor | None) -> Tensor:
        """As `forward`; where much is to be kept for the gradient, computed again instead."""
        if not (self.training and torch.is_grad_enabled()) or x.numel() < _LARGE:
            kept: Tensor = self(x, edges, valid)
            return kept

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), self._statistics_as_they_are()

        again: Tensor = checkpoint(self, x, edges, valid, use_reentrant=False, context_fn=contexts)
        return again

    @contextmanager
    def _statistics_as_they_are(self) -> Iterator[None]:
        """The second run sees the same batch: its statistics must not count twice."""
        norms = [norm for norm in self.norms if isinstance(norm, RowNorm)]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(norms, before, strict=True):
                norm.momentum = momentum


class Sero(nn.Module):
    """Attention over nodes from the mean of all: squeeze and excitation.

    Parameters
    ----------
    d_model, n_rois : int
        Width and nodes.
    dropout : float
        On the weights.
    """

    def __init__(self, d_model: int, n_rois: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(d_model, d_model)
        self.norm = RowNorm(d_model)
        self.attend = nn.Linear(d_model, n_rois)
        self.dropout = dropout

    def forward(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Nodes (m, n, width) to codes (m, width) and weights (m, n)."""
        some = None if valid is None else valid.any(dim=1)
        squeezed = F.gelu(self.norm(self.embed(masked_mean(x, valid)), some))
        weights = torch.sigmoid(self.attend(squeezed))
        return _weighted(x, weights, valid, self.dropout, self.training)


class Garo(nn.Module):
    """Attention over nodes from a query (the mean of all) and a key of each.

    Parameters
    ----------
    d_model : int
        Width.
    dropout : float
        On the weights.
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.dropout = dropout

    def forward(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Nodes (m, n, width) to codes (m, width) and weights (m, n)."""
        query = self.query(masked_mean(x, valid))
        scores = (self.key(x) @ query[:, :, None]).squeeze(2) / x.shape[2] ** 0.5
        return _weighted(x, torch.sigmoid(scores), valid, self.dropout, self.training)


class Mean(nn.Module):
    """Mean of the nodes."""

    def forward(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Nodes (m, n, width) to codes (m, width) and weights (m, n) of one."""
        return masked_mean(x, valid), torch.ones_like(x[..., 0])


def _weighted(
    x: Tensor, weights: Tensor, valid: Tensor | None, dropout: float, training: bool
) -> tuple[Tensor, Tensor]:
    """Weighted nodes over their number: the weights need not sum to 1."""
    dropped = F.dropout(weights, dropout, training)
    return masked_mean(x * dropped[..., None], valid), weights


class WindowMixer(nn.Module):
    """Attention over windows without a residual path around it, then a residual map.

    Parameters
    ----------
    d_model, n_heads : int
        Width and heads.
    dropout : float
        On both outputs and inside the map.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(d_model, n_heads)
        self.norm_attention = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, 2 * d_model)
        self.down = nn.Linear(2 * d_model, d_model)
        self.norm_map = nn.LayerNorm(d_model)
        self.dropout = dropout

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Windows (batch, n_windows, width) to windows; those not valid are never looked at."""
        mask = None if valid is None else key_mask(valid)
        mixed = self.norm_attention(self._drop(self.attention(x, mask)))
        mapped = self.down(self._drop(F.relu(self.up(mixed))))
        out: Tensor = self.norm_map(mixed + self._drop(mapped))
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def weights(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """How much each window looks at each, mean over heads, (batch, n, n)."""
        batch, n, d_model = x.shape
        heads = self.attention.n_heads
        query, key, _ = self.attention.qkv(x).reshape(batch, n, 3, heads, -1).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / (d_model // heads) ** 0.5
        if valid is not None:
            scores = scores.masked_fill(~key_mask(valid), -torch.inf)
        shares: Tensor = scores.softmax(dim=-1).mean(dim=1)
        return shares


class GraphEncoder(nn.Module):
    """From graphs of windows to one vector a scan and layer.

    Parameters
    ----------
    config : FCMAEConfig
        Sizes.
    """

    def __init__(self, config: "FCMAEConfig") -> None:
        super().__init__()
        d_model, depth = config.d_model, config.depth
        self.pool = config.pool
        self.timestamps = nn.GRU(config.n_chans, d_model) if config.timestamp else None
        # columns: identity of each region, then the state of the recurrent network
        self.embed = nn.Linear(config.n_chans + (d_model if config.timestamp else 0), d_model)
        self.n_rois = config.n_chans
        self.layers = nn.ModuleList(GraphLayer(d_model) for _ in range(depth))
        self.readouts = nn.ModuleList(_readout(config) for _ in range(depth))
        self.mixers = nn.ModuleList(
            WindowMixer(d_model, config.n_heads, config.dropout) for _ in range(depth)
        )
        self.token = nn.Parameter(torch.randn(depth, d_model)) if config.pool == "token" else None

    def states(self, x: Tensor) -> Tensor:
        """State of the recurrent network after each sample, (batch, n_times, d_model)."""
        assert self.timestamps is not None
        states: Tensor = self.timestamps(x.permute(2, 0, 1))[0]
        return states.transpose(0, 1)

    def features(self, states: Tensor | None, n_graphs: int) -> Tensor:
        """Node features (n_graphs, n_rois, d_model) from states (n_graphs, d_model), if any."""
        n = self.n_rois
        own = self.embed.weight[:, :n].T + self.embed.bias
        if states is None:
            return own.expand(n_graphs, -1, -1)
        return own + F.linear(states, self.embed.weight[:, n:])[:, None]

    def graphs(self, x: Tensor, edges: Tensor, valid: Tensor | None = None) -> GraphCodes:
        """Run the graph layers.

        Parameters
        ----------
        x : Tensor, shape (m, n_rois, d_model)
            Features.
        edges : Tensor, shape (m, n_rois, n_rois)
            Weights of the edges, self-loops included.
        valid : Tensor, shape (m, n_rois), bool, optional
            False where a region is no node of its graph.

        Returns
        -------
        GraphCodes
        """
        edges = edges.to(x.dtype)
        nodes, windows, attention = [], [], []
        for layer, readout in zip(self.layers, self.readouts, strict=True):
            assert isinstance(layer, GraphLayer)
            x = layer.economical(x, edges, valid)
            code, weights = readout(x, valid)
            nodes.append(x)
            windows.append(code)
            attention.append(weights)
        return GraphCodes(nodes, torch.stack(windows), torch.stack(attention))

    def time_weights(self, windows: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attention of each layer over windows, (batch, depth, n_windows, n_windows).

        Parameters
        ----------
        windows, valid : Tensor
            As `scans`.
        """
        found = []
        for k, mixer in enumerate(self.mixers):
            x, there = self._with_token(windows[k], valid, k)
            assert isinstance(mixer, WindowMixer)
            found.append(mixer.weights(x, there))
        return torch.stack(found, dim=1)

    def scans(self, windows: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attend over windows and pool them.

        Parameters
        ----------
        windows : Tensor, shape (depth, batch, n_windows, d_model)
            Readouts.
        valid : Tensor, shape (batch, n_windows), bool, optional
            False where a window does not count.

        Returns
        -------
        Tensor, shape (batch, depth * d_model)
        """
        layers = []
        for k, mixer in enumerate(self.mixers):
            x, there = self._with_token(windows[k], valid, k)
            layers.append(self._pooled(mixer(x, there), there))
        return torch.cat(layers, dim=1)

    def _with_token(
        self, x: Tensor, valid: Tensor | None, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        """Windows of one layer, with the learned one at the end if there is one."""
        if self.token is None:
            return x, valid
        x = torch.cat([x, self.token[layer].expand(x.shape[0], 1, -1).to(x.dtype)], dim=1)
        return x, None if valid is None else F.pad(valid, (0, 1), value=True)

    def _pooled(self, x: Tensor, valid: Tensor | None) -> Tensor:
        if self.pool == "token":
            return x[:, -1]
        if self.pool == "mean":
            return masked_mean(x, valid)
        return (x if valid is None else x.masked_fill(~valid[..., None], 0.0)).sum(dim=1)


def _readout(config: "FCMAEConfig") -> nn.Module:
    if config.readout == "sero":
        return Sero(config.d_model, config.n_chans, config.dropout)
    return Garo(config.d_model, config.dropout) if config.readout == "garo" else Mean()


class LayerHeads(nn.Module):
    """One linear map a layer; their outputs, each with dropout, are added.

    Parameters
    ----------
    depth, d_model, n_outputs : int
        Layers, width of each, outputs.
    dropout : float
        On each layer's output.
    """

    def __init__(self, depth: int, d_model: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(d_model, n_outputs) for _ in range(depth))
        self.dropout = dropout

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, depth * d_model) to predictions (batch, n_outputs)."""
        parts = embedding.chunk(len(self.layers), dim=1)
        out = [
            F.dropout(layer(part), self.dropout, self.training)
            for layer, part in zip(self.layers, parts, strict=True)
        ]
        return torch.stack(out).sum(dim=0)


def orthogonality(nodes: list[Tensor]) -> Tensor:
    """How far the nodes of a graph are from pointing in different directions.

    Inner products of a graph's nodes, each row over its own largest, minus the
    identity: the norm of the upper triangle with its diagonal, mean over graphs,
    summed over layers, as STAGIN's code has it. (The division makes the matrix
    asymmetric, so that the lower triangle would give another number.)

    Parameters
    ----------
    nodes : list of Tensor, shape (m, n_rois, d_model)
        Nodes after each layer.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> import torch
    >>> orthogonality([torch.eye(3)[None]]).item()
    0.0
    """
    step = max(1, _CHUNK // nodes[0].shape[1] ** 2)
    total = nodes[0].new_zeros(())
    for x in nodes:
        for part in torch.split(x, step):
            # recomputed in the backward pass: the products are what takes the memory
            distances: Tensor = checkpoint(_distances, part, use_reentrant=False)
            total = total + distances.sum() / len(x)
    return total


def _distances(x: Tensor) -> Tensor:
    inner = x @ x.transpose(1, 2)
    largest = inner.amax(dim=2, keepdim=True)
    # a node that no unit responds to has no direction; its row would be 0 / 0
    scaled = inner / torch.where(largest > 0, largest, torch.ones_like(largest))
    off = scaled - torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    distances: Tensor = torch.linalg.vector_norm(off.triu(), dim=(1, 2))
    return distances
