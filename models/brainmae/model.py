"""The network: regions of a segment to a token, segments to a scan, and back to regions."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.data import Batch, InputContract, Windows
from neuro.errors import ConfigError
from neuro.models._base import NetworkModel
from neuro.models._config import NetworkConfig
from neuro.models.brainmae.config import BrainMAEConfig
from neuro.models.brainmae.graph import RegionGraph, SegmentEncoder
from neuro.nn.attention import Transformer
from neuro.nn.heads import LinearHead, masked_mean
from neuro.nn.masks import valid_samples
from neuro.nn.patching import pad_to_patches, patchify
from neuro.nn.positions import time_code
from neuro.nn.scaling import Scaling
from neuro.train.stages import Stage
from neuro.typing import Seed

__all__ = ["BrainMAE", "HiddenRegions"]

# Windows that the scale is learned from: the quartiles of 512 are known to a few per cent.
_SCALE_WINDOWS = 512
# Size of the signal until the scale is learned: 1 for "z" and "percent".
_TYPICAL = 1.0


class HiddenRegions(NamedTuple):
    """What the decoder makes of windows with hidden regions, in normalised units.

    Attributes
    ----------
    prediction, truth : Tensor, shape (batch, n_chans, n_segments, segment_times)
        Decoded and true series.
    hidden : Tensor, shape (batch, n_chans, n_segments), bool
        Regions the encoder did not see in a segment.
    valid : Tensor, shape (batch, n_chans, n_segments, segment_times), bool
        Samples that exist.
    """

    prediction: Tensor
    truth: Tensor
    hidden: Tensor
    valid: Tensor


class _Grid(NamedTuple):
    """A batch cut into segments."""

    series: Tensor  # (batch, n_chans, segment, sample); 0 where not valid
    valid: Tensor | None  # same shape, bool; None if every sample is there
    present: Tensor | None  # (batch, n_chans, segment), bool; None if every region is there


class BrainMAE(NetworkModel):
    """Masked autoencoder of region series on a graph of learned embeddings.

    The series are cut into segments. In each, regions exchange information
    through a graph whose weights follow from one learned vector a region,
    shared by all people; a learned query sums the regions up in one token; a
    transformer reads the tokens of the window behind a [CLS] token. For
    training, regions are hidden segment by segment, and a decoder makes the
    series of region i in segment k from token k and the vector of region i.

    ``paper`` has the published choices where they are known, in our sizes, and
    z-scores each window. ``default`` is smaller and scales regions by their
    statistics in the training data, so that the level of a window survives.

    A missing region is neither listened to, nor hidden, nor counted in the
    loss; of a missing sample the region's mean is read. Segments without any
    sample are left out.

    Parameters
    ----------
    config : BrainMAEConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says. It keeps
        the names of the regions and their atlas: embeddings belong to them.

    References
    ----------
    Yang, Mao, Liu and Liu (2024), arXiv:2406.17086.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("brainmae", preset="tiny")
    >>> model(torch.randn(2, 4, 84)).embedding.shape
    torch.Size([2, 16])
    >>> model.adjacency().shape
    torch.Size([2, 4, 4])
    """

    name: ClassVar[str] = "brainmae"
    config_class: ClassVar[type[NetworkConfig]] = BrainMAEConfig
    order_free: ClassVar[bool] = False  # tokens are moments, not channels
    channel_rows: ClassVar[tuple[str, ...]] = ("rois", "scaling.center", "scaling.scale")
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "d_roi": 256,
            "d_model": 256,
            "n_heads": 8,
            "mlp_ratio": 4.0,
            "depth": 4,
            "normalize": "channel",
        },
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 84,
            "d_roi": 16,
            "d_model": 16,
            "n_heads": 2,
            "region_depth": 2,
            "depth": 1,
        },
    }

    config: BrainMAEConfig
    rois: Tensor

    def __init__(self, config: BrainMAEConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        # small, and never decayed: the graph has to come from somewhere
        rois = 0.02 * torch.randn(config.n_chans, config.d_roi)
        if config.positions == "learned":
            self.rois = nn.Parameter(rois)
        else:
            self.register_buffer("rois", rois)
        self.scaling = Scaling(
            config.normalize, n_rows=config.n_chans, typical=_TYPICAL, clip=config.clip
        )
        self.regions = SegmentEncoder(
            config.segment_times,
            d_roi=config.d_roi,
            d_model=config.d_model,
            n_heads=config.n_heads,
            depth=config.region_depth,
            encoder=config.encoder,
            self_loops=config.self_loops,
            masked_keys=config.masked_keys,
            readout=config.readout,
            mlp_ratio=config.mlp_ratio,
            dropout=config.dropout,
        )
        self.cls = nn.Parameter(0.02 * torch.randn(config.d_model))
        self.encoder = self._transformer(config.depth)
        self.decoder = self._transformer(config.decoder_depth)
        hidden = int(config.mlp_ratio * config.d_model)
        self.decode_token = nn.Linear(config.d_model, hidden)
        self.decode_roi = nn.Linear(config.d_roi, hidden, bias=False)
        self.to_series = nn.Linear(hidden, config.segment_times)
        self.head = LinearHead(config.d_model, config.n_outputs) if config.n_outputs else None

    def _transformer(self, depth: int) -> Transformer:
        c = self.config
        return Transformer(
            depth=depth,
            d_model=c.d_model,
            n_heads=c.n_heads,
            mlp_ratio=c.mlp_ratio,
            dropout=c.dropout,
        )

    @property
    def any_times(self) -> bool:
        """Windows of any length are read."""
        return True

    # -- what was learned about regions -----------------------------------------

    @property
    def roi_embedding(self) -> Tensor:
        """Vector of each region as it is read, shape (n_rois, d_roi), in the contract's order."""
        return self._vectors().detach()

    def _vectors(self, index: Tensor | slice = slice(None)) -> Tensor:
        # all of one length: their scale says nothing, and small ones learn as fast as large ones
        return F.layer_norm(self.rois[index], self.rois.shape[1:])

    @torch.no_grad()
    def adjacency(self, block: int = 0) -> Tensor:
        """Who listens to whom in the static graph: the same for every input.

        Parameters
        ----------
        block : int
            Which of the static blocks.

        Returns
        -------
        Tensor, shape (n_heads, n_rois, n_rois)
            Row i holds the weights of what region i listens to; they sum to 1.

        Raises
        ------
        ConfigError
            If the block has no static graph.
        """
        graphs = [b.graph for b in self.regions.blocks if b.graph is not None]
        if not 0 <= block < len(graphs):
            raise ConfigError(
                f"Block {block} has no static graph; encoder={self.config.encoder!r} has "
                f"{len(graphs)}."
            )
        graph = graphs[block]
        assert isinstance(graph, RegionGraph)
        weights = graph.weights(self._vectors())
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)

    # -- preparation --------------------------------------------------------------

    def stages(self) -> dict[str, Stage]:
        """Masked pretraining; with a head also fine-tuning, or the head alone."""
        learned = (self.rois,) if isinstance(self.rois, nn.Parameter) else ()
        shared: tuple[nn.Module | nn.Parameter, ...]
        shared = (self.regions, self.encoder, self.cls, *learned)
        decoding = (self.decoder, self.decode_token, self.decode_roi, self.to_series)
        found = {"pretrain": Stage((*shared, *decoding))}
        if self.head is not None:
            found["finetune"] = Stage((*shared, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Weights of two or more dimensions decay, the region embeddings do not."""
        every = list(self.parameters())
        free = [p for p in every if p.ndim < 2 or p is self.rois]
        decayed = [p for p in every if p.ndim >= 2 and p is not self.rois]
        return [{"params": decayed}, {"params": free, "weight_decay": 0.0}]

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Fit the fixed scale to a sample of the training windows.

        Parameters
        ----------
        train : Windows
            Training part only.
        seed : int or numpy Generator
            Which windows are read.
        """
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(train), min(len(train), _SCALE_WINDOWS), replace=False)
        self.fit_scale(train.batch(np.sort(rows)))

    def fit_scale(self, batch: Batch | Tensor) -> None:
        """Set each region's centre and scale for ``normalize="fixed"``.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Training windows.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        grid = self._cut(x, channel_mask, time_mask)
        self.scaling.fit(grid.series, grid.valid)

    # -- windows to tokens --------------------------------------------------------

    def _cut(self, x: Tensor, channel_mask: Tensor | None, time_mask: Tensor | None) -> _Grid:
        length = self.config.segment_times
        valid = valid_samples(x, channel_mask, time_mask)
        if valid is None and x.shape[-1] % length == 0:
            return _Grid(patchify(x, length), None, None)
        complete = valid is None
        valid = torch.ones_like(x, dtype=torch.bool) if valid is None else valid
        # where, not a product: what stands under a mask may be NaN
        x = pad_to_patches(torch.where(valid, x, torch.zeros_like(x)), length)
        valid = patchify(pad_to_patches(valid, length, False), length)
        return _Grid(patchify(x, length), valid, None if complete else valid.any(dim=-1))

    def _segments(
        self, z: Tensor, present: Tensor | None, hidden: Tensor | None, rois: Tensor
    ) -> Tensor:
        """Token of every segment, (batch, segment, d_model)."""
        batch, _, n_segments, _ = z.shape

        def flat(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.transpose(1, 2).flatten(0, 1)

        series = z.transpose(1, 2).flatten(0, 1)
        tokens: Tensor = self.regions(series, rois, flat(present), flat(hidden))
        return tokens.reshape(batch, n_segments, -1)

    def _scan(self, tokens: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[CLS] and segments through the transformer, and which of them exist."""
        segment_s = self.config.segment_times / self.config.sfreq
        middle = (torch.arange(tokens.shape[1], device=tokens.device) + 0.5) * segment_s
        tokens = tokens + time_code(middle, tokens.shape[-1], 2 * segment_s, 200 * segment_s)
        cls = self.cls.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        valid = None if there is None else F.pad(there, (1, 0), value=True)
        return self.encoder(torch.cat([cls, tokens], dim=1), valid), valid

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and one token a segment; see :meth:`NetworkModel.encode`."""
        grid = self._cut(x, channel_mask, time_mask)
        z, _ = self.scaling(grid.series, grid.valid, None, channel_index)
        rois = self._vectors(slice(x.shape[1]) if channel_index is None else channel_index)
        there = None if grid.present is None else grid.present.any(dim=1)
        encoded, _ = self._scan(self._segments(z, grid.present, None, rois), there)
        tokens = encoded[:, 1:]
        if there is not None:
            tokens = tokens.masked_fill(~there[..., None], 0.0)
        embedding = encoded[:, 0] if self.config.pool == "cls" else masked_mean(tokens, there)
        return embedding, tokens

    # -- training -----------------------------------------------------------------

    def reconstruct(self, batch: Batch | Tensor, generator: torch.Generator) -> HiddenRegions:
        """Hide regions segment by segment and fill them from the others.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        HiddenRegions
            Decoded and true series, and which were hidden.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        grid = self._cut(x, channel_mask, time_mask)
        hidden = self._hide(grid, generator)
        z, _ = self.scaling(grid.series, grid.valid, ~hidden)
        there = None if grid.present is None else grid.present.any(dim=1)
        rois = self._vectors()
        encoded, valid = self._scan(self._segments(z, grid.present, hidden, rois), there)
        tokens = self.decode_token(self.decoder(encoded, valid)[:, 1:])[:, None]
        vectors = self.decode_roi(rois)[:, None]
        both = F.gelu(tokens * vectors if self.config.decoder == "product" else tokens + vectors)
        exists = torch.ones_like(z, dtype=torch.bool) if grid.valid is None else grid.valid
        return HiddenRegions(self.to_series(both), z, hidden, exists)

    def _hide(self, grid: _Grid, generator: torch.Generator) -> Tensor:
        """In each segment a share of its regions; one at least stays visible."""
        batch, n, n_segments, _ = grid.series.shape
        low, high = self.config.mask_low, self.config.mask_high
        draw = torch.rand(batch, 1, n_segments, generator=generator)
        order = torch.rand(batch, n, n_segments, generator=generator)
        draw, order = draw.to(grid.series.device), order.to(grid.series.device)
        present = torch.ones_like(order, dtype=torch.bool) if grid.present is None else grid.present
        n_present = present.sum(dim=1, keepdim=True)
        wanted = torch.round((low + (high - low) * draw) * n_present)
        n_hidden = torch.minimum(wanted, (n_present - 1).clamp(min=0))
        rank = order.masked_fill(~present, torch.inf).argsort(dim=1).argsort(dim=1)
        return (rank < n_hidden) & present

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Squared error: ``w MSE(hidden) + (1 - w) MSE(visible)``, w = `masked_weight`.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss", and "explained": the share of the hidden regions' variance
            that the reconstruction explains (1 perfect, 0 as good as their mean).
        """
        if self.training and not bool(self.scaling.known):
            self.fit_scale(batch)
        prediction, truth, hidden, valid = self.reconstruct(batch, generator)
        square = (prediction.float() - truth) ** 2
        weight = self.config.masked_weight
        masked, visible = hidden[..., None] & valid, ~hidden[..., None] & valid
        error = _mean(square, masked)
        total = weight * error + (1 - weight) * _mean(square, visible)
        size = _mean(truth**2, masked).clamp(min=1e-12)
        return {"loss": total, "explained": (1 - error / size).detach()}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of what counts; 0 where nothing does."""
    return (values * counted).sum() / counted.sum().clamp(min=1)
