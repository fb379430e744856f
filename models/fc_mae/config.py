"""Configuration of `FCMAE`."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from neuro.models._config import NetworkConfig
from neuro.typing import Modality

__all__ = ["FCMAEConfig"]


@dataclass(frozen=True, kw_only=True)
class FCMAEConfig(NetworkConfig):
    """Configuration of `FCMAE`.

    Preset "paper" holds what is known of the encoder (STAGIN's code); everything
    about the masked pretraining, and the whole of "default", is our default.

    Parameters
    ----------
    window_s, stride_s : float
        Length of a window and distance of two starts, seconds. The publication
        counts samples: 50 and 3 of 0.72 s.
    crop_s : float
        Fine-tuning sees a random stretch of this length in each step; 0: all.
    density : float
        Share of the correlations (diagonal included) that are edges.
    min_valid : float
        A window counts if this share of its samples is there.
    timestamp : bool
        Add to each node's identity the state that a recurrent network over all
        regions has at the window's last sample.
    d_model, depth, n_heads : int
        Width, graph layers, and heads of the attention over windows.
    readout : {"sero", "garo", "mean"}
        From nodes to a window: weighted by an attention that is computed from
        the mean of the nodes, by one of query and key, or the plain mean.
    pool : {"mean", "sum", "token"}
        From windows to a scan; "token" reads a learned window put at the end.
        A sum grows with the length of the scan.
    dropout, head_dropout : float
        In readouts and window attention; of each layer's logits.
    orthogonality : float
        Weight of the regulariser in fine-tuning.
    node_ratio, edge_ratio : float
        Share of the regions, and of the pairs of the others, that are hidden.
    target : {"input", "embedding"}
        What is predicted of hidden nodes: their correlations with all regions,
        or the code that a slow copy of the encoder gives them.
    node_loss : {"cosine", "mse"}
        (1 - cosine)^2, or squared error; embeddings always by cosine.
    temporal_weight : float
        Weight of the loss in windows predicted from other times; 0 for none.
    n_draws : int
        Pairs of windows a scan in each step of pretraining.
    max_gap_s : float
        Largest distance of the predicted window from the two it is predicted
        from; with 0 they touch. They never overlap.
    ema_decay : float
        Of the slow copy, for ``target="embedding"``.
    """

    n_times: int = 240
    sfreq: float = 0.5
    modality: Modality = "bold"
    unit: str = "z"
    window_s: float = 60.0
    stride_s: float = 10.0
    crop_s: float = 0.0
    density: float = 0.3
    min_valid: float = 0.5
    timestamp: bool = False
    d_model: int = 64
    depth: int = 3
    n_heads: int = 1
    readout: Literal["sero", "garo", "mean"] = "sero"
    pool: Literal["mean", "sum", "token"] = "mean"
    dropout: float = 0.1
    head_dropout: float = 0.0
    orthogonality: float = 1e-5
    node_ratio: float = 0.5
    edge_ratio: float = 0.5
    target: Literal["input", "embedding"] = "input"
    node_loss: Literal["cosine", "mse"] = "mse"
    temporal_weight: float = 1.0
    n_draws: int = 4
    max_gap_s: float = 20.0
    ema_decay: float = 0.996

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("n_chans", self.n_chans >= 4, "4 regions or more")
        self.require("window_s", self.window_times >= 4, f"4 samples or more at {self.sfreq:g} Hz")
        self.require("stride_s", self.stride_times >= 1, f"1 sample or more at {self.sfreq:g} Hz")
        self.require(
            "n_times", self.n_times >= self.window_times, f"one window, {self.window_times} samples"
        )
        fits = not self.crop_s or self.window_times <= self.crop_times <= self.n_times
        self.require("crop_s", fits, "0, or a stretch from one window to n_times")
        for name in ("density", "min_valid", "node_ratio", "edge_ratio"):
            self.require(name, 0 < getattr(self, name) < 1, "a share between 0 and 1")
        for name in ("dropout", "head_dropout", "ema_decay"):
            self.require(name, 0 <= getattr(self, name) < 1, "a share from 0 to below 1")
        for name in ("orthogonality", "temporal_weight", "max_gap_s"):
            self.require(name, 0 <= getattr(self, name) < float("inf"), "0 or more")
        for name in ("depth", "n_draws"):
            self.require(name, 1 <= getattr(self, name) <= 1000, "1 to 1000")
        self.require("d_model", self.d_model >= 1, "1 or more")
        fits = self.n_heads >= 1 and self.d_model % self.n_heads == 0
        self.require("n_heads", fits, f"a divisor of d_model = {self.d_model}")

    @property
    def window_times(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sfreq)

    @property
    def stride_times(self) -> int:
        """Samples from one window to the next."""
        return round(self.stride_s * self.sfreq)

    @property
    def crop_times(self) -> int:
        """Samples that fine-tuning sees in a step."""
        return round(self.crop_s * self.sfreq) if self.crop_s else self.n_times

    @property
    def max_gap_times(self) -> int:
        """Largest gap in samples between a predicted window and its context."""
        return round(self.max_gap_s * self.sfreq)

    @property
    def d_embedding(self) -> int:
        """Width of the embedding: all layers side by side."""
        return self.depth * self.d_model

    def n_windows(self, n_times: int) -> int:
        """Windows in a stretch: starts lie strictly below ``n_times - window_times``.

        Parameters
        ----------
        n_times : int
            Samples.

        Returns
        -------
        int
            1 at least.
        """
        return max(1, ceil((n_times - self.window_times) / self.stride_times))
