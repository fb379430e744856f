"""What the regions of one segment tell each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.attention import Attention, Mlp, key_mask
from neuro.nn.heads import AttentivePooling

__all__ = ["RegionBlock", "RegionGraph", "RegionReadout", "SegmentEncoder"]


class RegionGraph(nn.Module):
    """Attention whose weights come from region embeddings, not from the signal.

    ``A_ij = q(e_i) . k(e_j) / sqrt(width)``, ``alpha_i = softmax_j(A_i)``; the
    signal enters through the values alone. So the weights are the same for all
    people and moments, and are computed once a batch.

    Parameters
    ----------
    d_roi, d_model : int
        Width of a region's embedding and of its features.
    n_heads : int
        Heads; must divide `d_model`.
    self_loops : bool
        False: no region listens to itself.
    dropout : float
        On the output.

    Examples
    --------
    >>> graph = RegionGraph(4, 8, n_heads=2)
    >>> graph(torch.randn(3, 5, 8), torch.randn(5, 4)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_roi: int,
        d_model: int,
        n_heads: int,
        *,
        self_loops: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ConfigError(
                f"d_model = {d_model} cannot be shared by {n_heads} heads; "
                "choose a number of heads that divides it."
            )
        self.n_heads = n_heads
        self.self_loops = self_loops
        self.dropout = dropout
        self.query = nn.Linear(d_roi, d_model, bias=False)
        self.key = nn.Linear(d_roi, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, d_model)

    def weights(self, rois: Tensor) -> Tensor:
        """Softmax weights before they are shared out, largest 1 in each row.

        Parameters
        ----------
        rois : Tensor, shape (n, d_roi)
            Region embeddings.

        Returns
        -------
        Tensor, shape (n_heads, n, n), float32
            ``exp(A_ij - max_j A_ij)``; 0 on the diagonal without self-loops.
        """
        n, width = len(rois), self.query.out_features // self.n_heads
        query = self.query(rois).float().reshape(n, self.n_heads, width).transpose(0, 1)
        key = self.key(rois).float().reshape(n, self.n_heads, width).transpose(0, 1)
        scores = query @ key.transpose(1, 2) * width**-0.5
        if not self.self_loops:
            itself = torch.eye(n, dtype=torch.bool, device=rois.device)
            scores = scores.masked_fill(itself, -torch.inf)
        top = scores.detach().amax(dim=-1, keepdim=True)
        # a single region listens to nobody: a row of zeros instead of NaN
        weights: Tensor = (scores - top.masked_fill(top.isinf(), 0.0)).exp()
        return weights

    def forward(self, x: Tensor, rois: Tensor, keys: Tensor | None = None) -> Tensor:
        """Mix regions.

        Parameters
        ----------
        x : Tensor, shape (batch, n, d_model)
            Features of the regions.
        rois : Tensor, shape (n, d_roi)
            Their embeddings.
        keys : Tensor, shape (batch, n), bool, optional
            False where a region must not be listened to; the others share its
            weight. A region with nobody left to listen to gets zeros.

        Returns
        -------
        Tensor, shape (batch, n, d_model)
        """
        batch, n, d_model = x.shape
        weights = self.weights(rois)
        value = self.value(x)
        if keys is not None:
            value = value * keys[..., None]
        # one product a head for the whole batch: (n, n) by (n, batch * width)
        value = value.reshape(batch, n, self.n_heads, -1).permute(2, 1, 0, 3).flatten(2)
        mixed = (weights.to(value.dtype) @ value).reshape(self.n_heads, n, batch, -1)
        if keys is None:
            total = weights.sum(dim=-1)[:, :, None]
        else:
            total = weights @ keys.T.to(weights.dtype)
        mixed = mixed / total.clamp(min=torch.finfo(total.dtype).tiny)[..., None]
        out: Tensor = self.out(mixed.permute(2, 1, 0, 3).reshape(batch, n, d_model).to(x.dtype))
        return F.dropout(out, self.dropout, self.training)


class RegionBlock(nn.Module):
    """Attention, residual, norm, feed-forward, residual, norm.

    Parameters
    ----------
    d_roi, d_model, n_heads : int
        Widths and heads.
    static : bool
        True: `RegionGraph`; False: ordinary self-attention between regions.
    self_loops : bool
        For the static graph.
    mlp_ratio, dropout : float
        As in :class:`neuro.nn.attention.Block`.
    """

    def __init__(
        self,
        d_roi: int,
        d_model: int,
        n_heads: int,
        *,
        static: bool,
        self_loops: bool,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.graph: RegionGraph | None = None
        self.attention: Attention | None = None
        if static:
            self.graph = RegionGraph(
                d_roi, d_model, n_heads, self_loops=self_loops, dropout=dropout
            )
        else:
            self.attention = Attention(d_model, n_heads, dropout)
        self.norm_mixed = nn.LayerNorm(d_model)
        self.mlp = Mlp(d_model, int(mlp_ratio * d_model), dropout)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, rois: Tensor, keys: Tensor | None) -> Tensor:
        """Features (batch, n, d_model) to features; arguments as in `RegionGraph`."""
        if self.graph is not None:
            mixed = self.graph(x, rois, keys)
        else:
            assert self.attention is not None  # one of both is always built
            mixed = self.attention(x, None if keys is None else key_mask(keys))
        x = self.norm_mixed(x + mixed)
        out: Tensor = self.norm(x + self.mlp(x))
        return out


class RegionReadout(nn.Module):
    """Sum over regions, each feature weighted by a linear map of the region's embedding.

    ``W sum_i u(e_i) * x_i / sqrt(n)``. Attention would have to learn first
    which regions to tell apart; here they differ from the start.

    Parameters
    ----------
    d_roi, d_model : int
        Width of a region's embedding and of its features.

    Examples
    --------
    >>> RegionReadout(4, 8)(torch.randn(3, 5, 8), torch.randn(5, 4)).shape
    torch.Size([3, 8])
    """

    def __init__(self, d_roi: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Linear(d_roi, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, rois: Tensor, present: Tensor | None = None) -> Tensor:
        """Features (batch, n, d_model) of the present regions to (batch, d_model)."""
        weight = self.weight(rois)
        if present is None:
            total = (x * weight).sum(dim=1) / x.shape[1] ** 0.5
        else:
            count = present.sum(dim=1, keepdim=True).clamp(min=1)
            total = (x * (weight * present[..., None])).sum(dim=1) / count.sqrt()
        out: Tensor = self.out(total)
        return out


class SegmentEncoder(nn.Module):
    """All regions of one segment to one token.

    Parameters
    ----------
    segment_times : int
        Samples in a segment.
    d_roi, d_model, n_heads, depth : int
        Widths, heads and blocks.
    encoder : {"sg", "ag", "vanilla"}
        Which blocks are static graphs: all, the first, none.
    self_loops, masked_keys : bool
    readout : {"embedding", "attention"}
        See `BrainMAEConfig`.
    mlp_ratio, dropout : float
        Of the blocks.
    """

    def __init__(
        self,
        segment_times: int,
        *,
        d_roi: int,
        d_model: int,
        n_heads: int,
        depth: int,
        encoder: str,
        self_loops: bool,
        masked_keys: bool,
        readout: str,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.masked_keys = masked_keys
        n_static = {"sg": depth, "ag": 1, "vanilla": 0}[encoder]
        self.embed = nn.Linear(segment_times, d_model)
        self.embed_roi = nn.Linear(d_roi, d_model)
        self.mask_token = nn.Parameter(torch.zeros(d_model))
        self.blocks = nn.ModuleList(
            RegionBlock(
                d_roi,
                d_model,
                n_heads,
                static=k < n_static,
                self_loops=self_loops,
                mlp_ratio=mlp_ratio,
                dropout=dropout,
            )
            for k in range(depth)
        )
        self.readout: RegionReadout | None = None
        self.pool: AttentivePooling | None = None
        if readout == "embedding":
            self.readout = RegionReadout(d_roi, d_model)
        else:
            self.pool = AttentivePooling(d_model, n_heads)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, z: Tensor, rois: Tensor, present: Tensor | None, hidden: Tensor | None
    ) -> Tensor:
        """Encode.

        Parameters
        ----------
        z : Tensor, shape (batch, n, segment_times)
            Normalised series of one segment.
        rois : Tensor, shape (n, d_roi)
            Region embeddings.
        present : Tensor, shape (batch, n), bool, optional
            False where a region is missing: nothing listens to it.
        hidden : Tensor, shape (batch, n), bool, optional
            True where a region is hidden: its series is not read.

        Returns
        -------
        Tensor, shape (batch, d_model)
        """
        x = self.embed(z)
        keys = present
        if hidden is not None:
            x = torch.where(hidden[..., None], self.mask_token.to(x.dtype), x)
            if not self.masked_keys:
                keys = ~hidden if present is None else present & ~hidden
        x = x + self.embed_roi(rois)
        for block in self.blocks:
            x = block(x, rois, keys)
        if self.readout is not None:
            token: Tensor = self.readout(x, rois, present)
            return token
        assert self.pool is not None  # one of both is always built
        pooled: Tensor = self.pool(x, present)
        return pooled
