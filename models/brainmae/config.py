"""Sizes and choices of brainmae."""

from dataclasses import dataclass
from typing import Literal

from neuro.models._config import NetworkConfig
from neuro.nn.scaling import ScalingKind
from neuro.typing import Modality

__all__ = ["BrainMAEConfig"]


@dataclass(frozen=True, kw_only=True)
class BrainMAEConfig(NetworkConfig):
    """Configuration of `BrainMAE`.

    Of the publication are known: segments of 15 s, the share of hidden regions
    uniform from 0 to 0.8, the weight 0.75 of hidden regions in the loss, three
    blocks on the regions of a segment, and the ablations `encoder`,
    `positions`, `self_loops` and no masking. What no comment or line below
    sources is our default.

    Parameters
    ----------
    segment_s : float
        Seconds in a segment; rounded to samples. The last one may be partly
        empty.
    d_roi : int
        Width of a region's embedding; it is normalised wherever it is read.
    d_model, n_heads, mlp_ratio, dropout
        Of all blocks.
    region_depth : int
        Blocks on the regions of one segment.
    depth, decoder_depth : int
        Blocks on the segments of a window, before and behind the embedding.
    encoder : {"sg", "ag", "vanilla"}
        Static graph: who listens to whom follows from the embeddings alone, in
        every block. Adaptive graph: in the first block; the others are ordinary
        self-attention. Vanilla: all are.
    positions : {"learned", "fixed"}
        Region embeddings that learn, or random ones that stay as they are
        (published as PosSG).
    self_loops : bool
        True: in the static graph a region also listens to itself.
    masked_keys : bool
        True: hidden regions are listened to as well, as mask tokens.
    readout : {"embedding", "attention"}
        A segment's token: sum over its regions with weights that follow from
        their embeddings, or by a learned query.
    decoder : {"product", "sum"}
        How token and region embedding meet before the series is made of them.
    mask_low, mask_high : float
        Bounds of the share of regions hidden in a segment; 0 and 0 hides none
        (published as vanilla-BrainAE).
    masked_weight : float
        Weight of the hidden regions in the loss; the visible ones have the rest.
    normalize : {"fixed", "window", "channel"}
        "fixed": each region by its centre and scale in the training data, kept
        in the model; "channel": each region of each window by its own, as
        z-scoring a whole scan does; "window": all regions of a window by one.
    clip : float
        Normalised values are limited to plus or minus this.
    pool : {"cls", "mean"}
        Embedding: the [CLS] token, or the mean over segments.
    """

    n_chans: int = 100
    n_times: int = 420
    sfreq: float = 25 / 18  # TR 0.72 s
    modality: Modality = "bold"
    unit: str = "z"
    segment_s: float = 15.0
    d_roi: int = 64
    d_model: int = 64
    n_heads: int = 4
    mlp_ratio: float = 2.0
    dropout: float = 0.0
    region_depth: int = 3
    depth: int = 2
    decoder_depth: int = 1
    encoder: Literal["sg", "ag", "vanilla"] = "sg"
    positions: Literal["learned", "fixed"] = "learned"
    self_loops: bool = False
    masked_keys: bool = False
    readout: Literal["embedding", "attention"] = "embedding"
    decoder: Literal["product", "sum"] = "product"
    mask_low: float = 0.0
    mask_high: float = 0.8
    masked_weight: float = 0.75
    normalize: ScalingKind = "fixed"
    clip: float = 20.0
    pool: Literal["cls", "mean"] = "cls"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("segment_s", 0 < self.segment_s < float("inf"), "a positive number of s")
        for name in ("region_depth", "depth", "decoder_depth"):
            self.require(name, 1 <= getattr(self, name) <= 1000, "1 to 1000")
        self.require("d_roi", self.d_roi >= 2, "at least 2")
        self.require("d_model", self.d_model >= 2 and self.d_model % 2 == 0, "an even number")
        heads = self.n_heads >= 1 and self.d_model % self.n_heads == 0
        self.require("n_heads", heads, f"a divisor of d_model = {self.d_model}")
        self.require("dropout", 0 <= self.dropout < 1, "a share from 0 to below 1")
        self.require("mask_high", 0 <= self.mask_high < 1, "a share from 0 to below 1")
        self.require("mask_low", 0 <= self.mask_low <= self.mask_high, "a share up to mask_high")
        self.require("masked_weight", 0 <= self.masked_weight <= 1, "a weight from 0 to 1")
        for name in ("mlp_ratio", "clip"):
            self.require(name, getattr(self, name) > 0, "a positive number")

    @property
    def segment_times(self) -> int:
        """Samples in a segment, at least 1."""
        return max(1, round(self.segment_s * self.sfreq))

    @property
    def tr(self) -> float:
        """Seconds between samples."""
        return 1 / self.sfreq
