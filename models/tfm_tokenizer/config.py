"""Configuration of `TFMTokenizer`."""

from dataclasses import dataclass
from typing import Literal

from neuro.models._config import NetworkConfig
from neuro.nn.spectra import n_frames

__all__ = ["TFMTokenizerConfig"]

# Bins that the publication keeps at 200 Hz, and how many patches of
# frequencies are gathered into one.
_MOST_FREQS, _GATHERED = 100, 5


@dataclass(frozen=True, kw_only=True)
class TFMTokenizerConfig(NetworkConfig):
    """Configuration of `TFMTokenizer`.

    Sizes, dropout, beta, decay, quantile, masks and the losses' constants are
    the published ones; what differs in preset "default" is listed with
    `TFMTokenizer`. The rules for rates other than 200 Hz are ours.

    Parameters
    ----------
    frame_times, hop_times : int
        Samples of a frame and from one frame to the next; 0: one second (at
        least 50 samples) and half a frame.
    n_freqs : int
        Bins from 0 Hz upwards; 0: up to 100 bins below the Nyquist frequency,
        a multiple of ``5 * freq_patch``.
    freq_patch : int
        Bins of a patch.
    d_model, n_heads : int
        Width and heads of all blocks.
    n_groups : int
        Groups of the norms in the stems.
    n_codes : int
        Size of the vocabulary.
    frequency_depth, temporal_depth, decoder_depth, encoder_depth : int
        Blocks over the patches of a frame, over frames, in the decoder, and in
        the encoder that reads tokens.
    dropout : float
        After each attention.
    embed_dropout : float
        On the sum of token, channel and time in the encoder.
    vq_grad : {"commit", "reference"}
        Gradient of the quantiser's loss: pulls vectors to their codes, or as
        the original's code has it, where it cancels out.
    beta : float
        Weight of the commitment term.
    decay : float
        Of the running means that are the code book.
    codebook_init : {"uniform", "sample", "kmeans"}
        Codes at the start; "uniform" is the original's.
    revive_after : int
        Passes that a code may stay unused before it is replaced; 0 never.
    views : {"halves", "whole", "both"}
        What stage 1 rebuilds the spectrum from: two complementary halves, as
        published; the whole spectrum, which is what is there when tokens are
        made; or one after the other.
    whitening : float, optional
        Given, the decoder's output is in deviations from the mean spectrum of
        the training data, and each bin's squared error is divided by its
        variance to this exponent: 0, the low frequencies rule; 1, every bin
        counts alike. None: plain magnitudes and plain error, as published.
    quantile : float
        Each channel of each window is divided by this quantile of its absolute
        values.
    pool : {"cls", "mean", "channel"}
        Embedding: the CLS token; the mean of the tokens; or the mean over
        time, channels side by side.
    objective : {"auto", "bce", "focal"}
        Loss of the head: cross-entropy of classes (squared error for a single
        output); or, for one output and targets 0 and 1, binary cross-entropy
        or the focal loss.
    label_smoothing : float
        Of the cross-entropy of classes.
    focal_alpha, focal_gamma : float
        Weight of the positive class and exponent of the focal loss.
    """

    n_times: int = 2000
    sfreq: float = 200.0
    frame_times: int = 0
    hop_times: int = 0
    n_freqs: int = 0
    freq_patch: int = 5
    d_model: int = 64
    n_heads: int = 8
    n_groups: int = 16
    n_codes: int = 512
    frequency_depth: int = 2
    temporal_depth: int = 2
    decoder_depth: int = 2
    encoder_depth: int = 4
    dropout: float = 0.2
    embed_dropout: float = 0.1
    vq_grad: Literal["commit", "reference"] = "commit"
    beta: float = 1.0
    decay: float = 0.99
    codebook_init: Literal["uniform", "sample", "kmeans"] = "kmeans"
    revive_after: int = 10
    views: Literal["halves", "whole", "both"] = "both"
    whitening: float | None = 0.5
    quantile: float = 0.95
    pool: Literal["cls", "mean", "channel"] = "channel"
    objective: Literal["auto", "bce", "focal"] = "auto"
    label_smoothing: float = 0.1
    focal_alpha: float = 0.8
    focal_gamma: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("freq_patch", 1 <= self.freq_patch <= 1000, "1 to 1000")
        self._fill_in()
        self._check_frames()
        self._check_network()
        self._check_training()

    def _fill_in(self) -> None:
        """Sizes that follow from the sampling rate."""
        if not self.frame_times:
            object.__setattr__(self, "frame_times", max(round(self.sfreq), 50))
        if not self.hop_times:
            object.__setattr__(self, "hop_times", max(self.frame_times // 2, 1))
        if not self.n_freqs:
            unit = _GATHERED * self.freq_patch
            most = min(_MOST_FREQS, self.frame_times // 2)
            object.__setattr__(self, "n_freqs", max(most // unit, 1) * unit)

    def _check_frames(self) -> None:
        unit = _GATHERED * self.freq_patch
        self.require("frame_times", self.frame_times >= 2, "2 samples or more")
        self.require("hop_times", self.hop_times >= 1, "1 sample or more")
        fits = self.n_freqs > 0 and self.n_freqs % unit == 0
        self.require("n_freqs", fits, f"a multiple of 5 * freq_patch = {unit}")
        most = self.frame_times // 2 + 1
        self.require("n_freqs", self.n_freqs <= most, f"at most {most}, or a longer frame_times")
        self.require(
            "n_times",
            self.n_times >= self.frame_times,
            f"at least one frame, frame_times = {self.frame_times}",
        )

    def _check_network(self) -> None:
        fits = self.n_heads >= 1 and self.d_model % self.n_heads == 0
        self.require("n_heads", fits, f"a divisor of d_model = {self.d_model}")
        self.require("d_model", self.d_model >= 8, "a multiple of 8")
        self.require("d_model", self.d_model % 8 == 0, "a multiple of 8")
        room = self.d_frequency < self.d_model
        self.require("n_freqs", room, "fewer frequencies: they fill all of d_model")
        self.require("n_groups", self.n_groups >= 1, "1 or more")
        self.require("n_codes", 2 <= self.n_codes <= 2**20, "2 to 1048576")
        for name in ("frequency_depth", "temporal_depth", "decoder_depth", "encoder_depth"):
            self.require(name, 1 <= getattr(self, name) <= 1000, "1 to 1000")

    def _check_training(self) -> None:
        for name in ("dropout", "embed_dropout", "decay", "label_smoothing"):
            self.require(name, 0 <= getattr(self, name) < 1, "a share from 0 to below 1")
        for name in ("quantile", "focal_alpha"):
            self.require(name, 0 < getattr(self, name) < 1, "a share between 0 and 1")
        share = self.whitening is None or 0 <= self.whitening <= 1
        self.require("whitening", share, "a number from 0 to 1, or None")
        for name in ("beta", "focal_gamma", "revive_after"):
            self.require(name, getattr(self, name) >= 0, "0 or more")
        single = self.objective == "auto" or self.n_outputs in (0, 1)
        self.require("objective", single, f"'auto' for n_outputs = {self.n_outputs}")

    @property
    def d_gather(self) -> int:
        """Features of five gathered patches of frequencies."""
        return self.d_model // 8

    @property
    def d_frequency(self) -> int:
        """Features of a frame that come from its spectrum; the rest come from its samples."""
        return self.d_gather * (self.n_freqs // (_GATHERED * self.freq_patch))

    @property
    def n_tokens(self) -> int:
        """Tokens a channel in a window of `n_times`."""
        return n_frames(self.n_times, self.frame_times, self.hop_times)

    @property
    def d_embedding(self) -> int:
        """Width of the embedding."""
        return self.d_model * (self.n_chans if self.pool == "channel" else 1)
