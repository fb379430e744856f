"""LaBraM's encoder: one-second patches of every channel through one transformer."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.models.labram.config import STRIDE, LaBraMConfig
from neuro.models.labram.electrodes import N_ROWS
from neuro.nn.attention import Attention, Mlp, key_mask
from neuro.nn.heads import masked_mean
from neuro.nn.patching import patchify

__all__ = [
    "LaBraMEncoder",
    "PatchEncoder",
    "layer_groups",
    "network_units",
    "start_linear",
    "truncated_normal",
]

# Of the norms inside the blocks, on queries and keys, and at the end.
_EPS = 1e-6
# Parameters that are embeddings, in the encoder's names: no weight decay.
_TABLES = ("class_token", "electrodes", "own_rows", "seconds")


class PictureNorm(nn.GroupNorm):
    """GroupNorm whose statistics leave absent patches out."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise (batch, feature, patch, time); `valid` is (batch, patch)."""
        if valid is None:
            return super().forward(x)
        batch, _, n_patches, n_steps = x.shape
        grouped = x.reshape(batch, self.num_groups, -1, n_patches, n_steps)
        weight = valid[:, None, None, :, None].to(x.dtype)
        count = weight.sum(dim=(1, 2, 3, 4)).clamp(min=1) * grouped.shape[2] * n_steps
        count = count[:, None, None, None, None]
        mean = (grouped * weight).sum(dim=(2, 3, 4), keepdim=True) / count
        off = (grouped - mean) * weight
        variance = off.square().sum(dim=(2, 3, 4), keepdim=True) / count
        normed = ((grouped - mean) * torch.rsqrt(variance + self.eps)).reshape(x.shape)
        return normed * self.weight[:, None, None] + self.bias[:, None, None]


class PatchEncoder(nn.Module):
    """Three convolutions over time, alike for every patch of every channel.

    All patches of a window are one picture to the norms between them: a
    group's mean and variance go over two feature maps, all channels, all
    patches and all moments. So what a patch becomes depends on which other
    channels there are.

    Parameters
    ----------
    n_features, n_groups : int
        Feature maps and groups of the norms.
    """

    def __init__(self, n_features: int, n_groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, n_features, (1, 15), stride=(1, STRIDE), padding=(0, 7))
        self.norm1 = PictureNorm(n_groups, n_features)
        self.conv2 = nn.Conv2d(n_features, n_features, (1, 3), padding=(0, 1))
        self.norm2 = PictureNorm(n_groups, n_features)
        self.conv3 = nn.Conv2d(n_features, n_features, (1, 3), padding=(0, 1))
        self.norm3 = PictureNorm(n_groups, n_features)

    def forward(self, patches: Tensor, valid: Tensor | None = None) -> Tensor:
        """Encode.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_patches, patch_times)
            Of all channels.
        valid : Tensor, shape (batch, n_patches), bool, optional
            False where a patch is absent.

        Returns
        -------
        Tensor, shape (batch, n_patches, n_steps * n_features)
            Feature maps side by side within each moment.
        """
        x = patches[:, None]
        x = F.gelu(self.norm1(self.conv1(x), valid))
        x = F.gelu(self.norm2(self.conv2(x), valid))
        x = F.gelu(self.norm3(self.conv3(x), valid))
        return x.permute(0, 2, 3, 1).flatten(2)


class Block(nn.Module):
    """Pre-norm block with normalised queries and keys, layer scale and stochastic depth.

    Parameters
    ----------
    config : LaBraMConfig
        Sizes.
    drop_path : float
        Share of examples for which a residual branch is left out in training.
    """

    def __init__(self, config: LaBraMConfig, drop_path: float) -> None:
        super().__init__()
        width = config.d_model
        self.drop_path = drop_path
        self.norm_attention = nn.LayerNorm(width, eps=_EPS)
        self.attention = Attention(
            width,
            config.n_heads,
            config.dropout,
            weight_dropout=0.0,
            qkv_bias=False,
            qk_norm_eps=_EPS,
        )
        self.scale_attention = nn.Parameter(torch.full((width,), config.layer_scale))
        self.norm_mlp = nn.LayerNorm(width, eps=_EPS)
        self.mlp = Mlp(width, int(config.mlp_ratio * width), config.dropout)
        self.scale_mlp = nn.Parameter(torch.full((width,), config.layer_scale))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (batch, n_tokens, d_model) to tokens of the same shape."""
        x = x + self._kept(self.scale_attention * self.attention(self.norm_attention(x), mask))
        return x + self._kept(self.scale_mlp * self.mlp(self.norm_mlp(x)))

    def _kept(self, branch: Tensor) -> Tensor:
        if not self.training or not self.drop_path:
            return branch
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1 - self.drop_path)


class LaBraMEncoder(nn.Module):
    """Patches, tables of electrodes and seconds, transformer, mean.

    Parameters
    ----------
    config : LaBraMConfig
        Sizes and channels.
    """

    def __init__(self, config: LaBraMConfig) -> None:
        super().__init__()
        width = config.d_model
        self.rows = config.rows
        self.patch_times = config.patch_times
        self.dropout = config.dropout
        self.patches = PatchEncoder(config.n_features, config.n_groups)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.electrodes = nn.Parameter(torch.zeros(N_ROWS, width))
        # a row for each channel, used by those that the table of electrodes lacks
        self.own_rows: nn.Parameter | None = None
        if 0 in self.rows:
            self.own_rows = nn.Parameter(torch.zeros(config.n_chans, width))
        self.seconds = nn.Parameter(torch.zeros(config.time_rows, width))
        blocks = [
            Block(config, config.drop_path * i / max(1, config.depth - 1))
            for i in range(config.depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self._initialise(config.init_std, blocks)

    def _initialise(self, std: float, blocks: list[Block]) -> None:
        """Weights before training; convolutions keep the library's."""
        tables = [self.class_token, self.electrodes, self.seconds, self.own_rows]
        for table in tables:
            if table is not None:
                truncated_normal(table, std)
        start_linear(self, std)
        with torch.no_grad():
            for k, block in enumerate(blocks, start=1):
                block.attention.out.weight.div_(math.sqrt(2 * k))
                block.mlp.down.weight.div_(math.sqrt(2 * k))

    def forward(
        self, x: Tensor, channel_index: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            In network units, 0 where not valid; whole seconds.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Which of the configured channels these are; the first ones if omitted.
        valid : Tensor, shape (batch, n_chans, n_times), bool, optional
            Samples that exist. A second without any is left out.

        Returns
        -------
        pooled : Tensor, shape (batch, d_model)
            Norm of the mean over patches.
        tokens : Tensor, shape (batch, n_chans * n_patches, d_model)
            Channel by channel, without the class token; 0 where left out.
        """
        there = None if valid is None else patchify(valid, self.patch_times).any(-1).flatten(1)
        tokens = self.embed(x, channel_index, there)
        mask = None if there is None else key_mask(F.pad(there, (1, 0), value=True))
        for block in self.blocks:
            tokens = block(tokens, mask)
        tokens = tokens[:, 1:]
        if there is not None:
            tokens = tokens.masked_fill(~there[..., None], 0.0)
        return self.norm(masked_mean(tokens, there)), tokens

    def embed(
        self, x: Tensor, channel_index: Tensor | None = None, there: Tensor | None = None
    ) -> Tensor:
        """What the blocks read: class token first, then the patches of channel after channel."""
        batch, n_chans, _ = x.shape
        patches = patchify(x, self.patch_times)
        features = self.patches(patches.flatten(1, 2), there)
        where = self.places(n_chans, channel_index)[:, None] + self.seconds[: patches.shape[2]]
        first = (self.class_token + self.electrodes[0]).expand(batch, 1, -1)
        tokens = torch.cat([first, features + where.flatten(0, 1)], dim=1)
        return F.dropout(tokens, self.dropout, self.training)

    def places(self, n_chans: int, channel_index: Tensor | None = None) -> Tensor:
        """Embedding of each channel's place, (n_chans, d_model)."""
        index = slice(n_chans) if channel_index is None else channel_index
        rows = torch.tensor(self.rows, device=self.electrodes.device)[index]
        places = self.electrodes[rows]
        if self.own_rows is None:
            return places
        return torch.where(rows[:, None] > 0, places, self.own_rows[index])

    def layer_of(self, name: str) -> int:
        """How many layers before a parameter, for the decay of learning rates.

        The table of seconds counts as the last layer and not, as that of
        electrodes, as the first: so in the original.
        """
        place = name.split(".")
        if place[0] == "blocks":
            return int(place[1]) + 1
        first = ("patches", "class_token", "electrodes", "own_rows")
        return 0 if place[0] in first else len(self.blocks) + 1


def network_units(
    x: Tensor, valid: Tensor | None, uv_per_unit: float, center: bool = False
) -> Tensor:
    """Microvolts to what the layers see; missing samples become 0.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Microvolts.
    valid : Tensor, same shape, bool, or None
        Samples that exist.
    uv_per_unit : float
        Microvolts that become 1.
    center : bool
        Subtract each channel's mean over the window.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_times)
    """
    if valid is not None:
        # where, not a product: what stands under a mask may be NaN
        x = torch.where(valid, x, torch.zeros_like(x))
    if center:
        if valid is None:
            x = x - x.mean(dim=-1, keepdim=True)
        else:
            count = valid.sum(dim=-1, keepdim=True).clamp(min=1)
            x = torch.where(valid, x - x.sum(dim=-1, keepdim=True) / count, x)
    return x / uv_per_unit


def truncated_normal(weight: Tensor, std: float) -> None:
    """Random normal values, none beyond one deviation (as LaBraM's code draws them)."""
    nn.init.trunc_normal_(weight, std=std, a=-std, b=std)


def start_linear(module: nn.Module, std: float) -> None:
    """Truncated normal weights and zero biases for every linear map inside a module."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            truncated_normal(layer.weight, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def layer_groups(
    lr: float, decay: float, n_layers: int, named: Iterable[tuple[str, nn.Parameter, int]]
) -> list[dict[str, object]]:
    """Groups for the optimiser: rates that fall towards the input, no decay for vectors and tables.

    Parameters
    ----------
    lr : float
        Rate of the last layer.
    decay : float
        Rate of a layer over that of the next.
    n_layers : int
        Number of the last layer.
    named : iterable of (name, parameter, layer)
        Name as in the encoder.

    Returns
    -------
    list of dict
        With "params", "lr" and, where there is to be none, "weight_decay".
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter, layer in named:
        spared = parameter.ndim < 2 or name in _TABLES
        groups.setdefault((lr * decay ** (n_layers - layer), spared), []).append(parameter)
    return [
        {"params": found, "lr": rate, **({"weight_decay": 0.0} if spared else {})}
        for (rate, spared), found in groups.items()
    ]
