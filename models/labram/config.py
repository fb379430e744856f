"""Configuration of the LaBraM encoder."""

from dataclasses import dataclass
from typing import Literal

from neuro.errors import ConfigError
from neuro.models._config import NetworkConfig
from neuro.models.labram.electrodes import electrode_rows, unknown_electrodes

__all__ = ["LaBraMConfig"]

_TEN_TWENTY = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split())
# Samples from one feature of a patch to the next: stride of the first convolution.
STRIDE = 8


@dataclass(frozen=True, kw_only=True)
class LaBraMConfig(NetworkConfig):
    """Configuration of `LaBraM`; sizes are those of the base encoder.

    Parameters
    ----------
    n_chans, ch_names
        Electrodes by name; without any, the 19 of the 10-20 system.
    n_times : int
        Whole seconds, one second a patch; other lengths up to `time_rows`
        seconds are read too. Our default: 8 s.
    sfreq : float
        A whole number of Hz. Published weights are for 200 Hz.
    unknown : {"refuse", "own"}
        What becomes of channels that are not in the list of electrodes: an
        error, or a learned row for each.
    uv_per_unit : float
        Microvolts that the network sees as 1.
    n_features, n_groups : int
        Feature maps of the patch encoder and groups of its norms. A token has
        `n_features` values for every 8 samples of a second: 200.
    depth, n_heads, mlp_ratio
        Transformer.
    layer_scale : float
        Initial factor on both residual branches of a block.
    dropout : float
        On embeddings and on both residual branches; our default for LaBraM.
    drop_path : float
        Share of residual branches that are left out in training, at the last
        block; less before, none in the first.
    time_rows : int
        Rows of the table of seconds.
    init_std : float
        Of linear maps, tables and the class token; cut off at one deviation.
    head_scale : float
        Factor on the head's random weights: the first prediction is nearly 0.
    layer_decay : float
        Learning rate of a block over that of the next; 0.65 with published
        weights, while a net that starts from random ones must learn everywhere.
    """

    n_times: int = 1600
    sfreq: float = 200.0
    unknown: Literal["refuse", "own"] = "refuse"
    uv_per_unit: float = 100.0
    n_features: int = 8
    n_groups: int = 4
    depth: int = 12
    n_heads: int = 10
    mlp_ratio: float = 4.0
    layer_scale: float = 0.1
    dropout: float = 0.0
    drop_path: float = 0.1
    time_rows: int = 16
    init_std: float = 0.02
    head_scale: float = 0.001
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        usual = self.usual_names()
        if self.ch_names is None and self.n_chans in (0, len(usual)):
            object.__setattr__(self, "ch_names", usual)
        super().__post_init__()
        self.require("unit", self.unit == "uV", "'uV'; contract.conform(recording) converts")
        whole = self.sfreq.is_integer() and self.sfreq >= STRIDE
        self.require(
            "sfreq", whole, f"a whole number of Hz from {STRIDE} on; published weights need 200"
        )
        self.require("n_times", self.n_times % self.patch_times == 0, f"whole seconds: {self._ok}")
        self.require("time_rows", self.time_rows >= 1, "at least 1")
        fits = self.n_times <= self.time_rows * self.patch_times
        rule = f"up to {self.time_rows} s, one row of the table of seconds each: {self._ok}"
        self.require("n_times", fits, rule)
        self._require_sizes()
        self._require_names()

    @classmethod
    def usual_names(cls) -> tuple[str, ...]:
        """Channels when none are named."""
        return _TEN_TWENTY

    @property
    def _ok(self) -> str:
        step, last = self.patch_times, self.time_rows * self.patch_times
        return f"a multiple of {step} samples, {step} to {last}"

    def _require_sizes(self) -> None:
        self.require("depth", 1 <= self.depth <= 1000, "1 to 1000")
        fits = self.n_groups >= 1 and self.n_features % self.n_groups == 0
        self.require("n_features", self.n_features >= 1, "at least 1")
        self.require("n_groups", fits, f"a divisor of n_features = {self.n_features}")
        self.require("mlp_ratio", self.mlp_ratio > 0, "a positive number")
        heads = self.n_heads >= 1 and self.d_model % self.n_heads == 0
        self.require(
            "n_heads",
            heads,
            f"a divisor of {self.d_model}, the width of a token at {self.sfreq} Hz",
        )
        for name in ("uv_per_unit", "init_std", "layer_scale", "head_scale"):
            self.require(name, 0 < getattr(self, name) < float("inf"), "a positive number")
        for name in ("dropout", "drop_path"):
            self.require(name, 0 <= getattr(self, name) < 1, "a share from 0 to below 1")
        self.require("layer_decay", 0 < self.layer_decay <= 1, "above 0, up to 1")

    def _require_names(self) -> None:
        if self.unknown == "own":
            return
        if self.ch_names is None:
            raise ConfigError(
                f"n_chans = {self.n_chans}, but which electrodes? Give ch_names; or "
                'unknown="own", with which every channel learns a row of its own.'
            )
        rows = electrode_rows(self.ch_names)
        lost = [name for name, row in zip(self.ch_names, rows, strict=True) if row is None]
        if lost:
            raise unknown_electrodes(lost)

    @property
    def rows(self) -> list[int]:
        """Row of each channel in the table of electrodes; 0 where it has none."""
        if self.ch_names is None:
            return [0] * self.n_chans
        return [row or 0 for row in electrode_rows(self.ch_names)]

    @property
    def patch_times(self) -> int:
        """Samples of a patch: one second."""
        return round(self.sfreq)

    @property
    def n_patches(self) -> int:
        """Patches a channel in a window of `n_times`."""
        return self.n_times // self.patch_times

    @property
    def d_model(self) -> int:
        """Width of a token."""
        return -(-self.patch_times // STRIDE) * self.n_features

    @property
    def d_embedding(self) -> int:
        """Width of the embedding."""
        return self.d_model
