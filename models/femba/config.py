"""Configuration of FEMBA."""

import math
from dataclasses import dataclass
from typing import Literal

from neuro.data.montage import MONTAGES
from neuro.models._config import NetworkConfig

__all__ = ["FEMBAConfig"]


@dataclass(frozen=True, kw_only=True)
class FEMBAConfig(NetworkConfig):
    """Configuration of `FEMBA`; what no comment sources is our default.

    Parameters
    ----------
    montage : {"tcp22", "tcp22_ears_last"}
        Names and order of the 22 channels, when neither `ch_names` nor another
        `n_chans` is given; see :mod:`neuro.data.montage`.
    n_blocks : int
        Bidirectional blocks.
    d_patch : int
        Features of one patch; a token has ``d_patch`` times the rows of patches.
    patch_chans, patch_times : int
        Channels and samples of a patch; 2 and 16 in the code of the authors.
    expand, d_state, d_conv : int
        Of every :class:`neuro.nn.mamba.Mamba` in the blocks.
    combine : {"add", "multiply"}
        How both directions come together.
    norm : {"affine20", "channel_iqr"}
        ``(x + 20 uV) / 40 uV``, which keeps amplitude (code), or each channel
        by its own quartiles (paper), of what is visible; quartiles closer than a
        tenth of its deviation count as that far apart (ours).
    fill : float
        What stands in place of hidden and missing samples after `norm`. The
        middle of both norms is 0.5; the authors' 0 means -20 uV.
    mask_ratio : float
        Share of patches that is hidden; 0.6 in the code.
    shared_mask : bool
        One mask for the whole batch (code), or one an example.
    decoder_size : int
        Side of the decoder's square kernel; 31 in the code.
    calm_decoder : bool
        Start from the middle of the norm (bias 0.5, weights a tenth), or from
        the usual random values, from which hundreds of steps go into learning
        the mean.
    beyond : {"tile", "interpolate", "none", "refuse"}
        Windows of another length than `n_times`, for which the table of
        positions has no rows: repeat the table window by window, stretch it,
        have no table at all, or refuse them as the original does. With
        "interpolate" padding behind a window stretches the table too.
    task : {"mcc", "bc", "ml", "mc", "mmc"}
        What the head answers: one class of `n_outputs` a window ("mcc", and
        "bc" for two); any of `n_outputs` labels ("ml"); one yes or no a channel
        ("mc", `n_outputs` = `n_chans`); one class of `n_outputs` a channel
        ("mmc").
    d_head, head_expand : int
        Width of the head's Mamba and its expansion; 256 and 2 in the code.
    layer_decay : float
        Fine-tuning: learning rate of a block over that of the next; 0.75 in
        the code.
    decay_all : bool
        Weight decay on every parameter, as the original does, A_log and D
        included, which asked to be spared.
    """

    n_times: int = 1280
    sfreq: float = 256.0
    montage: Literal["tcp22", "tcp22_ears_last"] = "tcp22"
    n_blocks: int = 2
    d_patch: int = 35
    patch_chans: int = 2
    patch_times: int = 16
    expand: int = 4
    d_state: int = 16
    d_conv: int = 4
    combine: Literal["add", "multiply"] = "add"
    norm: Literal["affine20", "channel_iqr"] = "affine20"
    fill: float = 0.5
    mask_ratio: float = 0.6
    shared_mask: bool = False
    decoder_size: int = 31
    calm_decoder: bool = True
    beyond: Literal["tile", "interpolate", "none", "refuse"] = "tile"
    task: Literal["mcc", "bc", "ml", "mc", "mmc"] = "mcc"
    d_head: int = 256
    head_expand: int = 2
    layer_decay: float = 0.75
    decay_all: bool = False

    def __post_init__(self) -> None:
        names = MONTAGES.get(str(self.montage))
        if names and self.ch_names is None and self.n_chans in (0, len(names)):
            object.__setattr__(self, "ch_names", names)
        super().__post_init__()
        for name in ("patch_chans", "patch_times", "d_patch", "expand", "d_state", "d_conv"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("d_head", "head_expand"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        self.require("n_blocks", 1 <= self.n_blocks <= 1000, "1 to 1000")
        self.require("decoder_size", self.decoder_size % 2 == 1, "an odd number")
        self.require("decoder_size", self.decoder_size >= 1, "an odd number")
        self.require("mask_ratio", 0 < self.mask_ratio < 1, "a share between 0 and 1")
        self.require("fill", math.isfinite(self.fill), "a number")
        self.require("layer_decay", 0 < self.layer_decay <= 1, "above 0, up to 1")
        affine = self.norm == "affine20"
        self.require("unit", not affine or self.unit == "uV", "'uV', or norm='channel_iqr'")
        fits = self.task != "mc" or self.n_outputs in (0, self.n_chans)
        self.require("n_outputs", fits, f"{self.n_chans}, one a channel, for task='mc'")

    @property
    def n_rows(self) -> int:
        """Rows of patches; an odd channel out is paired with nothing."""
        return -(-self.n_chans // self.patch_chans)

    @property
    def n_tokens(self) -> int:
        """Tokens in a window of `n_times`: rows of the table of positions."""
        return -(-self.n_times // self.patch_times)

    @property
    def d_model(self) -> int:
        """Width of a token."""
        return self.d_patch * self.n_rows

    @property
    def d_embedding(self) -> int:
        """Width of the embedding."""
        return self.d_model
