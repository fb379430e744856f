"""patch_mae: a plain masked autoencoder on the common tensor.

One patch of one channel is one token, whatever the channel is: an electrode, a
region of interest, a sorted unit. A token is told which channel it is (by a
table of names or by its position) and when it happened (in seconds). The
encoder sees only the tokens that are not masked; a light decoder fills the
gaps; the loss compares the masked patches with the truth.

There is no single paper. The recipe is the masked autoencoder of He et al.
(arXiv 2111.06377) carried over to time series; preset ``"paper"`` follows its
choices where they carry over (mask ratio 0.75, random masking, targets
normalised patch by patch, encoder on visible tokens only, narrower decoder).
Everything else, and the whole preset ``"default"``, is our default.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.data import Batch, InputContract, Windows
from neuro.models._base import NetworkModel
from neuro.models._config import NetworkConfig
from neuro.nn.attention import Transformer
from neuro.nn.heads import LinearHead, masked_mean
from neuro.nn.masks import (
    MaskKind,
    Visible,
    choose_visible,
    gather_tokens,
    mask_scores,
    valid_samples,
)
from neuro.nn.patching import n_patches, pad_to_patches, patchify
from neuro.nn.positions import ChannelPlaces, time_code
from neuro.nn.scaling import Scaling, ScalingKind, moments
from neuro.train.stages import Stage
from neuro.typing import Seed

__all__ = ["PatchMAE", "PatchMAEConfig", "Reconstruction"]

# Size of the signal in each unit, used until `fit_scale` has seen data: order
# of magnitude only, our default.
_TYPICAL = {"uV": 20.0, "fT": 500.0, "counts": 1.0, "percent": 1.0, "z": 1.0, "dF/F": 0.1}
# Windows that the scale is learned from: the quartiles of 512 are known to a
# few per cent.
_SCALE_WINDOWS = 512
# Tokens and patches a window when the patch length is left open; our default.
_TOKENS, _PATCHES = 128, (2, 14)
# In units of the normalised signal: below it a patch counts as flat.
_FLAT = 0.05


@dataclass(frozen=True, kw_only=True)
class PatchMAEConfig(NetworkConfig):
    """Configuration of `PatchMAE`; what no comment sources is our default.

    Parameters
    ----------
    patch_times : int
        Samples in a patch; 0 cuts the window into 14 patches, or fewer, down
        to 2, where many channels would give more than about 128 tokens.
    d_model, depth, n_heads, mlp_ratio
        Encoder.
    decoder_d_model, decoder_depth, decoder_n_heads
        Decoder; it is not used after pretraining.
    dropout : float
        In encoder and decoder.
    channel_embedding : {"name", "position", "none"}
        How a token knows its channel: a learned row for each channel of the
        contract, a function of its position, or not at all. With "position"
        or "none" (and without `ch_names`) any set of channels is accepted.
    normalize : {"fixed", "window", "channel"}
        "fixed": centre and scale of the training data, kept in the model, so
        that amplitude and slow shifts survive; "window": each window by its
        own mean and deviation over all channels; "channel": each channel of
        each window by its own.
    clip : float
        Normalised values are limited to plus or minus this.
    mask_ratio : float
        Share of tokens that is hidden.
    mask : {"random", "span", "channel", "time", "mixed"}
        Which tokens are hidden together.
    mask_span : int
        Length of a hidden run in patches, for "span", "time" and "mixed".
    target : {"signal", "patch"}
        Compare patches as they are, or each after its own normalisation.
    pool : {"mean", "channel", "time", "grid"}
        Embedding: mean over all tokens; over time, channels side by side;
        over channels, moments side by side; or all tokens side by side.
    """

    patch_times: int = 0
    d_model: int = 64
    depth: int = 4
    n_heads: int = 2
    mlp_ratio: float = 2.0
    decoder_d_model: int = 32
    decoder_depth: int = 2
    decoder_n_heads: int = 2
    dropout: float = 0.0
    channel_embedding: Literal["name", "position", "none"] = "name"
    normalize: ScalingKind = "fixed"
    clip: float = 20.0
    mask_ratio: float = 0.5
    mask: MaskKind = "random"
    mask_span: int = 3
    target: Literal["signal", "patch"] = "signal"
    pool: Literal["mean", "channel", "time", "grid"] = "channel"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.patch_times:
            low, high = _PATCHES
            wanted = min(max(round(_TOKENS / self.n_chans), low), high)
            object.__setattr__(self, "patch_times", max(1, round(self.n_times / wanted)))
        self.require("patch_times", 1 <= self.patch_times <= self.n_times, "1 to n_times")
        for name in ("depth", "decoder_depth"):
            self.require(name, 1 <= getattr(self, name) <= 1000, "1 to 1000")
        for name in ("d_model", "decoder_d_model"):
            self.require(name, getattr(self, name) >= 2, "an even number")
            self.require(name, getattr(self, name) % 2 == 0, "an even number")
        for name in ("mlp_ratio", "clip", "mask_span"):
            self.require(name, getattr(self, name) > 0, "a positive number")
        for name, width in (("n_heads", "d_model"), ("decoder_n_heads", "decoder_d_model")):
            fits = getattr(self, name) >= 1 and getattr(self, width) % getattr(self, name) == 0
            self.require(name, fits, f"a divisor of {width} = {getattr(self, width)}")
        self.require("mask_ratio", 0 < self.mask_ratio < 1, "a share between 0 and 1")
        self.require("dropout", 0 <= self.dropout < 1, "a share from 0 to below 1")

    @property
    def n_patches(self) -> int:
        """Patches a channel in a window of `n_times`."""
        return n_patches(self.n_times, self.patch_times)

    @property
    def d_embedding(self) -> int:
        """Width of the embedding."""
        times = self.n_patches if self.pool in ("time", "grid") else 1
        chans = self.n_chans if self.pool in ("channel", "grid") else 1
        return self.d_model * times * chans


class Reconstruction(NamedTuple):
    """What the decoder makes of a masked batch, in the normalised signal.

    Attributes
    ----------
    prediction, truth : Tensor, shape (batch, n_chans, n_patches, patch_times)
        Decoded and true patches.
    hidden : Tensor, shape (batch, n_chans, n_patches), bool
        Patches the encoder did not see.
    valid : Tensor, shape (batch, n_chans, n_patches, patch_times), bool
        Samples that exist.
    """

    prediction: Tensor
    truth: Tensor
    hidden: Tensor
    valid: Tensor


class _Grid(NamedTuple):
    """A batch cut into patches."""

    patches: Tensor  # (batch, channel, patch, sample), 0 where not valid
    valid: Tensor | None  # same shape, bool; None if every sample is there
    tokens: Tensor | None  # (batch, channel * patch), bool; None if every patch is there


class PatchMAE(NetworkModel):
    """Masked autoencoder over patches of single channels.

    Parameters
    ----------
    config : PatchMAEConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("patch_mae", preset="tiny", n_chans=3, n_times=64)
    >>> out = model(torch.randn(2, 3, 64))
    >>> tuple(out.embedding.shape) == (2, model.config.d_embedding)
    True
    """

    name: ClassVar[str] = "patch_mae"
    config_class: ClassVar[type[NetworkConfig]] = PatchMAEConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # Encoder and decoder as deep as ViT-B's in arXiv 2111.06377, narrowed
        # to ViT-Tiny; mask ratio, masking and targets as there.
        "paper": {
            "d_model": 192,
            "depth": 12,
            "n_heads": 3,
            "mlp_ratio": 4.0,
            "decoder_d_model": 96,
            "decoder_depth": 8,
            "decoder_n_heads": 3,
            "mask_ratio": 0.75,
            "target": "patch",
            "pool": "mean",
        },
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 128,
            "d_model": 16,
            "depth": 1,
            "decoder_d_model": 8,
            "decoder_depth": 1,
        },
    }

    config: PatchMAEConfig

    def __init__(self, config: PatchMAEConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self._build_inputs(config)
        self.encoder = Transformer(
            depth=config.depth,
            d_model=config.d_model,
            n_heads=config.n_heads,
            mlp_ratio=config.mlp_ratio,
            dropout=config.dropout,
        )
        self.decoder = Transformer(
            depth=config.decoder_depth,
            d_model=config.decoder_d_model,
            n_heads=config.decoder_n_heads,
            mlp_ratio=config.mlp_ratio,
            dropout=config.dropout,
        )
        self.to_decoder = nn.Linear(config.d_model, config.decoder_d_model)
        self.decoder_channel = (
            None
            if config.channel_embedding == "none"
            else nn.Linear(config.d_model, config.decoder_d_model, bias=False)
        )
        self.mask_token = nn.Parameter(torch.zeros(config.decoder_d_model))
        self.to_patch = nn.Linear(config.decoder_d_model, config.patch_times)
        self.head = LinearHead(config.d_embedding, config.n_outputs) if config.n_outputs else None
        self._initialise()

    def _initialise(self) -> None:
        """Weights before training, as in arXiv 2111.06377 but for the output."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        if self.channel_table is not None:
            nn.init.normal_(self.channel_table.weight, std=0.5)
        # A decoder that starts near "the mean" wastes no steps on unlearning
        # its first guesses: a third fewer steps to the same loss when tried.
        with torch.no_grad():
            self.to_patch.weight.mul_(0.1)

    def _build_inputs(self, config: PatchMAEConfig) -> None:
        self.embed_patch = nn.Linear(config.patch_times, config.d_model)
        # mean and log size of the patch; of the normaliser too where it varies
        self.embed_size = nn.Linear(2 if config.normalize == "fixed" else 4, config.d_model)
        self.channel_table: nn.Embedding | None = None
        self.channel_places: ChannelPlaces | None = None
        if config.channel_embedding == "name":
            self.channel_table = nn.Embedding(config.n_chans, config.d_model)
        elif config.channel_embedding == "position":
            self.channel_places = ChannelPlaces(config.d_model)
        self.scaling = Scaling(
            config.normalize,
            n_rows=config.n_chans if config.channel_embedding == "name" else 1,
            typical=_TYPICAL.get(config.unit, 1.0),
            clip=config.clip,
        )

    @property
    def any_channels(self) -> bool:
        """True if channels have no identity by number, and the embedding none of them apart."""
        return self.config.channel_embedding != "name" and self.config.pool in ("mean", "time")

    @property
    def any_times(self) -> bool:
        """True if the embedding does not keep moments apart."""
        return self.config.pool in ("mean", "channel")

    def stages(self) -> dict[str, Stage]:
        """Masked pretraining; with a head also fine-tuning, or the head alone."""
        only_pretraining = ("decoder", "to_decoder", "to_patch", "decoder_channel")
        parts = {k: m for k, m in self.named_children() if k != "head"}
        shared = [m for k, m in parts.items() if k not in only_pretraining]
        found = {"pretrain": Stage((*parts.values(), self.mask_token))}
        if self.head is not None:
            found["finetune"] = Stage((*shared, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    # -- preparation ----------------------------------------------------------

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
        """Set centre and scale of ``normalize="fixed"`` from training windows.

        Per channel with a table of names, otherwise one for all; see
        :func:`neuro.nn.scaling.robust_center_scale`.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Training windows; a few hundred are plenty.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        grid = self._cut(x, channel_mask, time_mask)
        self.scaling.fit(grid.patches, grid.valid)

    def _cut(self, x: Tensor, channel_mask: Tensor | None, time_mask: Tensor | None) -> _Grid:
        """Patches and which of their samples exist; missing samples become 0."""
        patch = self.config.patch_times
        complete = channel_mask is None and time_mask is None
        if complete and x.shape[-1] % patch == 0:
            return _Grid(patchify(x, patch), None, None)
        valid = valid_samples(x, channel_mask, time_mask)
        if valid is None:
            valid = torch.ones_like(x, dtype=torch.bool)
        # where, not a product: what stands under a mask may be NaN
        x = torch.where(valid, x, torch.zeros_like(x))
        valid = patchify(pad_to_patches(valid, patch, False), patch)
        tokens = None if complete else valid.any(dim=-1).flatten(1)
        return _Grid(patchify(pad_to_patches(x, patch), patch), valid, tokens)

    # -- tokens ---------------------------------------------------------------

    def _tokens(
        self, z: Tensor, valid: Tensor | None, normaliser: Tensor | None, where: Tensor
    ) -> Tensor:
        """Normalised patches to tokens (batch, channel * patch, d_model)."""
        batch, n_chans, n_patch, _ = z.shape
        mean, scale = moments(z, None if valid is None else valid.to(z.dtype), (3,))
        size = [mean, torch.log(scale + _FLAT)]
        if normaliser is not None:
            size.append(normaliser.expand(batch, n_chans, n_patch, 2))
        content: Tensor = self.embed_patch(z) + self.embed_size(torch.cat(size, dim=-1))
        return (content + where).flatten(1, 2)

    def _channels(
        self, x: Tensor, positions: Tensor | None, channel_index: Tensor | None
    ) -> Tensor | None:
        """Identity of each channel, (batch or 1, channel, d_model)."""
        if self.channel_table is not None:
            table: Tensor = self.channel_table.weight
            rows = slice(x.shape[1]) if channel_index is None else channel_index
            return table[rows].unsqueeze(0)
        if self.channel_places is not None:
            if positions is None:
                positions = torch.full((1, x.shape[1], 3), math.nan, device=x.device)
            places: Tensor = self.channel_places(positions)
            return places
        return None

    def _when(self, n_patch: int, d_model: int, device: torch.device) -> Tensor:
        """Code of each patch's middle in seconds, (patch, d_model)."""
        patch_s = self.config.patch_times / self.config.sfreq
        middle = (torch.arange(n_patch, device=device) + 0.5) * patch_s
        return time_code(middle, d_model, 2 * patch_s, 200 * patch_s)

    def _where(self, z: Tensor, channels: Tensor | None) -> Tensor:
        when = self._when(z.shape[2], self.config.d_model, z.device)
        return when if channels is None else when + channels[:, :, None]

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and tokens; see :meth:`NetworkModel.encode`."""
        grid = self._cut(x, channel_mask, time_mask)
        z, normaliser = self.scaling(grid.patches, grid.valid, None, channel_index)
        where = self._where(z, self._channels(x, positions, channel_index))
        tokens = self.encoder(self._tokens(z, grid.valid, normaliser, where), grid.tokens)
        if grid.tokens is not None:
            tokens = tokens.masked_fill(~grid.tokens[..., None], 0.0)
        return self._pool(tokens, grid.tokens, x.shape[1], channel_index), tokens

    def _pool(
        self, tokens: Tensor, valid: Tensor | None, n_chans: int, channel_index: Tensor | None
    ) -> Tensor:
        pool, config = self.config.pool, self.config
        if pool == "mean":
            return masked_mean(tokens, valid)
        grid = tokens.reshape(tokens.shape[0], n_chans, -1, tokens.shape[-1])
        there = None if valid is None else valid.reshape(valid.shape[0], n_chans, -1)
        if pool == "time":
            flat = None if there is None else there.transpose(1, 2)
            return masked_mean(grid.transpose(1, 2), flat).flatten(1)
        rows = masked_mean(grid, there) if pool == "channel" else grid.flatten(2)
        # absent channels leave zeros, so that the width never changes
        if channel_index is not None:
            full = rows.new_zeros(rows.shape[0], config.n_chans, rows.shape[2])
            rows = full.index_copy(1, channel_index, rows)
        elif n_chans < config.n_chans:
            rows = F.pad(rows, (0, 0, 0, config.n_chans - n_chans))
        return rows.flatten(1)

    # -- training -------------------------------------------------------------

    def reconstruct(self, batch: Batch | Tensor, generator: torch.Generator) -> Reconstruction:
        """Hide tokens and fill them from the others.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        Reconstruction
            Decoded and true patches, and which were hidden.
        """
        x, channel_mask, positions, time_mask = self.inputs(batch)
        grid = self._cut(x, channel_mask, time_mask)
        shape = grid.patches.shape
        visible = self._hide(shape[:3], grid.tokens, generator, x.device)
        seen = visible.hidden.logical_not().reshape(shape[:3])
        z, normaliser = self.scaling(grid.patches, grid.valid, seen)
        channels = self._channels(x, positions, None)
        tokens = self._tokens(z, grid.valid, normaliser, self._where(z, channels))
        encoded = self.encoder(gather_tokens(tokens, visible.kept), visible.filled)
        prediction = self._decode(encoded, visible, grid.tokens, z, channels)
        valid = torch.ones_like(z, dtype=torch.bool) if grid.valid is None else grid.valid
        return Reconstruction(prediction, z, visible.hidden.reshape(shape[:3]), valid)

    def _hide(
        self,
        shape: tuple[int, ...],
        valid: Tensor | None,
        generator: torch.Generator,
        device: torch.device,
    ) -> Visible:
        batch, n_chans, n_patch = shape
        scores = mask_scores(
            self.config.mask, (batch, n_chans, n_patch), generator, span=self.config.mask_span
        )
        return choose_visible(scores.flatten(1).to(device), self.config.mask_ratio, valid)

    def _decode(
        self,
        encoded: Tensor,
        visible: Visible,
        valid: Tensor | None,
        z: Tensor,
        channels: Tensor | None,
    ) -> Tensor:
        """Encoded visible tokens to patches at every place of the grid."""
        narrow = self.to_decoder(encoded)
        blank = self.mask_token.to(narrow.dtype)
        if visible.filled is not None:
            narrow = torch.where(visible.filled[..., None], narrow, blank)
        full = blank.expand(z.shape[0], visible.hidden.shape[1], -1)
        index = visible.kept[..., None].expand(-1, -1, full.shape[-1])
        full = full.scatter(1, index, narrow)
        where = self._when(z.shape[2], self.config.decoder_d_model, z.device)
        if channels is not None and self.decoder_channel is not None:
            where = where + self.decoder_channel(channels)[:, :, None]
        where = where.expand(*z.shape[:3], -1).flatten(1, 2)
        patches: Tensor = self.to_patch(self.decoder(full + where, valid))
        return patches.reshape(z.shape)

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error on the hidden patches.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss", and "explained": the share of the hidden samples' variance
            that the reconstruction explains (1 perfect, 0 as good as 0).
        """
        if self.training and not bool(self.scaling.known):
            self.fit_scale(batch)
        prediction, truth, hidden, valid = self.reconstruct(batch, generator)
        counted = (hidden[..., None] & valid).to(truth.dtype)
        if self.config.target == "patch":
            mean, scale = moments(truth, valid.to(truth.dtype), (3,))
            truth = (truth - mean) / (scale + _FLAT)
        total = counted.sum().clamp(min=1)
        error = ((prediction.float() - truth) ** 2 * counted).sum() / total
        size = (truth**2 * counted).sum() / total
        return {"loss": error, "explained": (1 - error / size.clamp(min=1e-12)).detach()}
