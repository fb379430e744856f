"""EEGFormer: every second of every channel becomes one code of a learned vocabulary.

Chen et al., "EEGFormer: Towards Transferable and Interpretable Large-Scale EEG
Foundation Model", arXiv 2401.10278: patches of single channels, a transformer
encoder, a vector quantiser, a shallow transformer decoder. Pretraining has to
rebuild the spectrum from the codes.

There is neither official code nor weights, and the depths, the sizes of the
codebook and the amplitude spectra as input are known at second hand only; they
agree with the reported numbers of parameters. Every such value is a field of
`EEGFormerConfig`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.data import Batch, InputContract, Windows
from neuro.errors import ConfigError
from neuro.models._base import NetworkModel, evaluating
from neuro.models._config import NetworkConfig
from neuro.models._tokens import Tokens, TokenSpectra
from neuro.nn.attention import Transformer
from neuro.nn.heads import LinearHead, masked_mean
from neuro.nn.masks import valid_samples
from neuro.nn.patching import n_overlapping_patches, overlap_add, overlapping_patches
from neuro.nn.quantise import CodebookStart, VectorQuantiser
from neuro.nn.spectra import n_frames, stft_magnitude
from neuro.train.stages import Stage
from neuro.typing import Seed

__all__ = ["EEGFormer", "EEGFormerConfig"]

# Windows that the codes are started from: more vectors than codes in any preset.
_START_WINDOWS = 64
# Added to the variance of a channel's spectrum, so that flat channels give zeros.
_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class EEGFormerConfig(NetworkConfig):
    """Configuration of `EEGFormer`.

    Known at second hand: windows of 12 s, `d_model`, `decoder_depth`, the rule
    behind `pad_end`, 6 to 12 layers. Everything else is our default.

    Parameters
    ----------
    spectral : {"frame", "window", "none"}
        What becomes a sequence: the amplitude spectra of consecutive frames,
        one after the other, so that codes point to moments; the spectrum of
        the whole window, so that codes point to frequency bands; or the
        samples themselves, whose codes follow the phase.
    frame_s : float
        Seconds of a frame ("frame").
    max_hz : float
        Spectra hold the bins above 0 Hz up to this.
    log_amplitude : bool
        Take log(1 + amplitude).
    patch_size : int
        Values of the sequence in a patch; 0 takes one frame, or as many bands
        or stretches as there are frames in the window.
    patch_step : int
        Values from one patch to the next; 0 takes `patch_size`.
    pad_end : bool
        Lengthen the sequence by one step even where all of it is covered.
    d_model, depth, n_heads, mlp_ratio
        Encoder; `d_model` is also the width of the codes and the decoder.
    decoder_depth : int
        Layers of the decoder.
    dropout : float
        In encoder and decoder.
    n_codes : int
        Size of the vocabulary.
    vq_update : {"gradient", "ema"}
        How the codes learn; see :class:`neuro.nn.quantise.VectorQuantiser`.
    vq_decay : float
        Of the running means ("ema").
    vq_init : {"sample", "kmeans", "uniform"}
        Codes at the start: taken from encoded training windows, or near 0.
    revive_after : int
        Steps without use after which a code is replaced; 0 never.
    beta : float
        Weight of the commitment term.
    mask_ratio : float
        Share of the patches that the encoder does not see in pretraining; the
        statistics of the window still know them.
    features : {"encoder", "codes"}
        What the embedding is made of: the encoder's output before the
        quantiser, or the codes.
    pool : {"channel", "mean"}
        Mean over time, channels side by side; or mean over both, which lets
        the model take any set of channels.
    """

    n_times: int = 3000
    sfreq: float = 250.0
    spectral: Literal["frame", "window", "none"] = "frame"
    frame_s: float = 1.0
    max_hz: float = 100.0
    log_amplitude: bool = True
    patch_size: int = 0
    patch_step: int = 0
    pad_end: bool = False
    d_model: int = 128
    depth: int = 6
    n_heads: int = 8
    mlp_ratio: float = 4.0
    decoder_depth: int = 3
    dropout: float = 0.0
    n_codes: int = 512
    vq_update: Literal["gradient", "ema"] = "ema"
    vq_decay: float = 0.99
    vq_init: CodebookStart = "sample"
    revive_after: int = 40
    beta: float = 0.25
    mask_ratio: float = 0.0
    features: Literal["encoder", "codes"] = "encoder"
    pool: Literal["channel", "mean"] = "channel"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_sizes()
        if not self.patch_size:
            object.__setattr__(self, "patch_size", self._usual_patch())
        if not self.patch_step:
            object.__setattr__(self, "patch_step", self.patch_size)
        fits = 1 <= self.patch_size <= self.sequence_size
        self.require("patch_size", fits, f"1 to {self.sequence_size}, the values of a window")
        self.require("patch_step", 1 <= self.patch_step <= self.patch_size, "1 to patch_size")

    def _require_sizes(self) -> None:
        self.require("frame_s", self.frame_s * self.sfreq >= 2, "two samples or more")
        self.require("max_hz", 0 < self.max_hz < float("inf"), "a positive number of Hz")
        if self.spectral == "frame":
            rule = f"one frame or more ({self.frame_times} samples = {self.frame_s:g} s)"
            self.require("n_times", self.n_times >= self.frame_times, rule)
        if self.spectral == "window":
            self.require("n_times", self.n_times >= 2, "2 or more")
        if self.spectral != "none":
            self.require("max_hz", self.n_bins >= 1, "at least the distance of two bins")
        for name in ("depth", "decoder_depth"):
            self.require(name, 1 <= getattr(self, name) <= 1000, "1 to 1000")
        for name in ("d_model", "n_codes", "mlp_ratio"):
            self.require(name, getattr(self, name) > 0, "a positive number")
        fits = self.n_heads >= 1 and self.d_model % self.n_heads == 0
        self.require("n_heads", fits, f"a divisor of d_model = {self.d_model}")
        self.require("revive_after", self.revive_after >= 0, "0 (never) or a number of steps")
        self.require("beta", 0 <= self.beta < float("inf"), "0 or more")
        for name in ("dropout", "vq_decay", "mask_ratio"):
            self.require(name, 0 <= getattr(self, name) < 1, "a share from 0 to below 1")

    def _usual_patch(self) -> int:
        if self.spectral == "frame":
            return self.n_bins
        return max(1, round(self.sequence_size * self.frame_s * self.sfreq / self.n_times))

    @property
    def frame_times(self) -> int:
        """Samples of a frame."""
        return round(self.frame_s * self.sfreq)

    @property
    def n_fft(self) -> int:
        """Samples behind one spectrum."""
        return self.n_times if self.spectral == "window" else self.frame_times

    @property
    def n_bins(self) -> int:
        """Frequencies of one spectrum, 0 Hz left out."""
        # a hair of slack: 100 Hz in bins of 1/12 Hz is bin 1200, not 1199.9999
        return min(self.n_fft // 2, int(self.max_hz * self.n_fft / self.sfreq + 1e-9))

    @property
    def n_spectra(self) -> int:
        """Spectra a channel; 0 for "none"."""
        if self.spectral == "none":
            return 0
        return n_frames(self.n_times, self.n_fft, self.n_fft)

    @property
    def sequence_size(self) -> int:
        """Values a channel that are cut into patches."""
        return self.n_times if self.spectral == "none" else self.n_spectra * self.n_bins

    @property
    def n_patches(self) -> int:
        """Patches, and so codes, a channel."""
        return n_overlapping_patches(
            self.sequence_size, self.patch_size, self.patch_step, pad_end=self.pad_end
        )

    @property
    def d_embedding(self) -> int:
        """Width of the embedding."""
        return self.d_model * (self.n_chans if self.pool == "channel" else 1)


class _Sequence(NamedTuple):
    """Channels as normalised sequences."""

    z: Tensor  # (batch, channel, value), 0 where not valid
    mean: Tensor  # (batch, channel, 1), of the sequence before
    scale: Tensor  # (batch, channel, 1)
    valid: Tensor | None  # (batch, channel, value), bool; None if all is there


class _Coded(NamedTuple):
    """One pass through the autoencoder."""

    rebuilt: Tensor  # (batch, channel, value)
    ids: Tensor  # (batch, channel, patch)
    quantiser_loss: Tensor
    commitment: Tensor


class EEGFormer(NetworkModel):
    """Vector-quantised transformer autoencoder, each channel on its own.

    Presets: "paper" is the base size with a plain codebook, which learns by
    gradient from a start near 0; "paper_small" and "paper_large" are the other
    two sizes. "default" is the small one and differs where the plain recipe
    fails or is slow: such a codebook collapses to a few codes (measured, see
    the card), so that codes start from data, learn as running means and are
    replaced when unused; and there is no dropout, with which a step takes a fifth
    to a third longer on a CPU and which made no difference to the codes.

    A frame of which a sample is missing counts as missing. Channels are
    normalised on their own, so that their overall size is not in the codes.

    Parameters
    ----------
    config : EEGFormerConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("eegformer", preset="tiny")
    >>> tokens = model.tokenize(torch.randn(2, 4, 384))
    >>> tuple(tokens.ids.shape), tokens.length_s
    ((2, 4, 6), 1.0)
    """

    name: ClassVar[str] = "eegformer"
    config_class: ClassVar[type[NetworkConfig]] = EEGFormerConfig
    _plain: ClassVar[dict[str, Any]] = {
        "dropout": 0.1,
        "vq_update": "gradient",
        "vq_init": "uniform",
        "revive_after": 0,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"depth": 8, "n_codes": 1024, **_plain},
        "paper_small": {"depth": 6, "n_codes": 512, **_plain},
        "paper_large": {"depth": 12, "n_codes": 2048, **_plain},
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 384,
            "sfreq": 64.0,
            "d_model": 16,
            "depth": 1,
            "n_heads": 2,
            "mlp_ratio": 2.0,
            "decoder_depth": 1,
            "n_codes": 16,
        },
    }

    config: EEGFormerConfig

    def __init__(self, config: EEGFormerConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        sizes: dict[str, Any] = {
            "d_model": config.d_model,
            "n_heads": config.n_heads,
            "mlp_ratio": config.mlp_ratio,
            "dropout": config.dropout,
        }
        self.embed = nn.Linear(config.patch_size, config.d_model)
        # one row a place in the sequence, the same for all channels
        self.places = nn.Parameter(0.02 * torch.randn(config.n_patches, config.d_model))
        self.mask_token: nn.Parameter | None = None
        if config.mask_ratio:
            self.mask_token = nn.Parameter(0.02 * torch.randn(config.d_model))
        self.encoder = Transformer(depth=config.depth, **sizes)
        self.quantiser = VectorQuantiser(
            config.n_codes,
            config.d_model,
            update=config.vq_update,
            decay=config.vq_decay,
            beta=config.beta,
            init=config.vq_init,
            revive_after=config.revive_after,
        )
        self.decoder = Transformer(depth=config.decoder_depth, **sizes)
        self.to_patch = nn.Linear(config.d_model, config.patch_size)
        self.head = LinearHead(config.d_embedding, config.n_outputs) if config.n_outputs else None

    @property
    def any_channels(self) -> bool:
        """True if the embedding does not keep channels apart."""
        return self.config.pool == "mean"

    @property
    def codebook(self) -> Tensor:
        """The codes, shape (n_codes, d_model)."""
        return self.quantiser.codebook

    def stages(self) -> dict[str, Stage]:
        """Pretraining of all but the head; with a head also fine-tuning, or the head alone."""
        shared = (self.embed, self.places, self.encoder)
        hidden = () if self.mask_token is None else (self.mask_token,)
        found = {"pretrain": Stage((*shared, *hidden, self.quantiser, self.decoder, self.to_patch))}
        if self.head is not None:
            found["finetune"] = Stage((*shared, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """No decay for vectors, and none for codes: it would pull unused ones to 0."""
        free = [p for p in self.parameters() if p.ndim < 2 or p is self.quantiser.codes]
        left = {id(p) for p in free}
        decayed = [p for p in self.parameters() if id(p) not in left]
        return [
            {"params": decayed, "lr": lr},
            {"params": free, "lr": lr, "weight_decay": 0.0},
        ]

    # -- preparation ----------------------------------------------------------

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Start the codes from a sample of the training windows, once.

        Without it the first training step does so from its own batch.

        Parameters
        ----------
        train : Windows
            Training part only.
        seed : int or numpy Generator
            Which windows are read, and which vectors become codes.
        """
        if bool(self.quantiser.ready):
            return
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(train), min(len(train), _START_WINDOWS), replace=False)
        generator = torch.Generator().manual_seed(int(rng.integers(2**32)))
        with evaluating(self):
            x, channel_mask, _, time_mask = self.inputs(train.batch(np.sort(rows)))
            tokens, valid = self._encode_patches(self._sequence(x, channel_mask, time_mask))
            self.quantiser.start(tokens, valid, generator)

    # -- from samples to tokens -----------------------------------------------

    def _sequence(
        self, x: Tensor, channel_mask: Tensor | None, time_mask: Tensor | None
    ) -> _Sequence:
        """Spectra or samples of each channel, normalised on their own."""
        there = valid_samples(x, channel_mask, time_mask)
        if there is not None:
            # where, not a product: what stands under a mask may be NaN
            x = torch.where(there, x, torch.zeros_like(x))
        x, valid = x.float(), there
        if self.config.spectral != "none":
            x, valid = self._spectra(x, there)
        weight = torch.ones_like(x) if valid is None else valid.to(x.dtype)
        count = weight.sum(dim=-1, keepdim=True).clamp(min=1)
        mean = (x * weight).sum(dim=-1, keepdim=True) / count
        off = (x - mean) * weight
        scale = (off.square().sum(dim=-1, keepdim=True) / count + _EPS).sqrt()
        return _Sequence(off / scale, mean, scale, valid)

    def _spectra(self, x: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Amplitude spectra of consecutive frames, (batch, channel, frame * bin)."""
        config = self.config
        n, n_used = config.n_fft, config.n_spectra * config.n_fft
        shape = (*x.shape[:2], config.n_spectra, n)
        frames = x[..., :n_used].reshape(shape)
        valid = None
        if there is None:
            frames = frames - frames.mean(dim=-1, keepdim=True)
        else:
            here = there[..., :n_used].reshape(shape)
            count = here.sum(dim=-1, keepdim=True).clamp(min=1)
            # gaps lie at the mean of what is there, where they add nothing
            centred = frames - frames.sum(dim=-1, keepdim=True) / count
            frames = torch.where(here, centred, torch.zeros_like(centred))
            whole = here.any(dim=-1) if config.spectral == "window" else here.all(dim=-1)
            valid = whole[..., None].expand(*whole.shape, config.n_bins).flatten(-2)
        # without its mean, which bin 0 would hold, a constant leaves no rounding noise
        spectra = stft_magnitude(frames.flatten(-2), n, n, "boxcar")[..., 1 : config.n_bins + 1, :]
        if config.log_amplitude:
            spectra = spectra.log1p()
        return spectra.transpose(-1, -2).flatten(-2), valid

    def _patches(self, values: Tensor) -> Tensor:
        c = self.config
        return overlapping_patches(values, c.patch_size, c.patch_step, pad_end=c.pad_end)

    def _encode_patches(
        self, sequence: _Sequence, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Encoder output and which tokens count, (batch, channel, patch[, d_model])."""
        tokens = self.embed(self._patches(sequence.z))
        if hidden is not None and self.mask_token is not None:
            tokens = torch.where(hidden[..., None], self.mask_token.to(tokens.dtype), tokens)
        valid = None if sequence.valid is None else self._patches(sequence.valid).any(dim=-1)
        return self._mix(self.encoder, tokens + self.places, valid), valid

    def _mix(self, transformer: Transformer, tokens: Tensor, valid: Tensor | None) -> Tensor:
        """Attention along time within each channel; 0 where not valid."""
        rows = None if valid is None else valid.flatten(0, 1)
        mixed: Tensor = transformer(tokens.flatten(0, 1), rows).reshape(tokens.shape)
        return mixed if valid is None else mixed.masked_fill(~valid[..., None], 0.0)

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and tokens; see :meth:`NetworkModel.encode`."""
        tokens, valid = self._encode_patches(self._sequence(x, channel_mask, time_mask))
        if self.config.features == "codes":
            codes = self.quantiser.lookup(self.quantiser.nearest(tokens))
            tokens = codes.detach() + (tokens - tokens.detach())
            if valid is not None:
                tokens = tokens.masked_fill(~valid[..., None], 0.0)
        return self._pool(tokens, valid, channel_index), tokens.flatten(1, 2)

    def _pool(self, tokens: Tensor, valid: Tensor | None, channel_index: Tensor | None) -> Tensor:
        if self.config.pool == "mean":
            return masked_mean(tokens.flatten(1, 2), None if valid is None else valid.flatten(1))
        rows = masked_mean(tokens, valid)
        # absent channels leave zeros, so that the width never changes
        if channel_index is not None:
            full = rows.new_zeros(rows.shape[0], self.config.n_chans, rows.shape[2])
            rows = full.index_copy(1, channel_index, rows)
        elif rows.shape[1] < self.config.n_chans:
            rows = F.pad(rows, (0, 0, 0, self.config.n_chans - rows.shape[1]))
        return rows.flatten(1)

    # -- codes ------------------------------------------------------------------

    def _code(
        self, sequence: _Sequence, hidden: Tensor | None, generator: torch.Generator | None
    ) -> _Coded:
        tokens, valid = self._encode_patches(sequence, hidden)
        found = self.quantiser(tokens, valid, generator)
        patches = self.to_patch(self._mix(self.decoder, found.passed, valid))
        rebuilt = overlap_add(patches.float(), sequence.z.shape[-1], self.config.patch_step)
        return _Coded(rebuilt, found.ids, found.loss, found.commitment)

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the rebuilt sequence plus the quantiser's terms.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides which patches are hidden and which vectors become codes.

        Returns
        -------
        dict of str to Tensor
            "loss"; "explained", the share of the sequence's variance that the
            codes give back; "commitment", the mean squared distance from
            vectors to codes; "codes_used", in this batch.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        sequence = self._sequence(x, channel_mask, time_mask)
        hidden = None
        if self.config.mask_ratio:
            shape = (*x.shape[:2], self.config.n_patches)
            hidden = torch.rand(shape, generator=generator) < self.config.mask_ratio
            hidden = hidden.to(x.device)
        coded = self._code(sequence, hidden, generator)
        # where nothing is valid the sequence is 0: leave its decoding out as well
        off = coded.rebuilt - sequence.z
        total = torch.tensor(float(off.numel()), device=off.device)
        if sequence.valid is not None:
            off = off.masked_fill(~sequence.valid, 0.0)
            total = sequence.valid.sum().clamp(min=1)
        error = off.square().sum() / total
        size = sequence.z.square().sum() / total
        used = torch.unique(coded.ids[coded.ids >= 0]).numel()
        return {
            "loss": error + coded.quantiser_loss,
            "explained": (1 - error / size.clamp(min=1e-12)).detach(),
            "commitment": coded.commitment,
            "codes_used": torch.tensor(float(used)),
        }

    @torch.no_grad()
    def tokenize(self, batch: Batch | Tensor) -> Tokens:
        """Codes of windows, as in eval mode whatever the mode is.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.

        Returns
        -------
        Tokens
            With ``spectral="window"`` tokens are frequency bands, each of
            which covers the whole window.

        Raises
        ------
        ContractError
            If the batch is not what the model accepts.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        with evaluating(self):
            tokens, valid = self._encode_patches(self._sequence(x, channel_mask, time_mask))
            ids = self.quantiser.nearest(tokens)
        if valid is not None:
            ids = ids.masked_fill(~valid, -1)
        c = self.config
        if c.spectral == "window":
            start_s, length_s = torch.zeros(c.n_patches, dtype=torch.float64), c.n_times / c.sfreq
        else:
            value_s = 1 / c.sfreq if c.spectral == "none" else c.frame_times / c.sfreq / c.n_bins
            steps = torch.arange(c.n_patches, dtype=torch.float64) * c.patch_step
            start_s, length_s = steps * value_s, c.patch_size * value_s
        return Tokens(ids, start_s, length_s, c.n_codes)

    @torch.no_grad()
    def token_spectra(self, batch: Batch | Tensor) -> TokenSpectra:
        """Spectra and what the codes give back of them, as in eval mode.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.

        Returns
        -------
        TokenSpectra
            Logarithmic where `log_amplitude` is set; one column a frame, with
            ``spectral="window"`` a single one. The size of each channel, which
            no code holds, is put back. 0 where nothing valid was there.

        Raises
        ------
        ConfigError
            For ``spectral="none"``.
        """
        c = self.config
        if c.spectral == "none":
            raise ConfigError("spectral='none' reads samples: there are no spectra to show.")
        x, channel_mask, _, time_mask = self.inputs(batch)
        with evaluating(self):
            sequence = self._sequence(x, channel_mask, time_mask)
            rebuilt = self._code(sequence, None, None).rebuilt
        columns = []
        for z in (sequence.z, rebuilt):
            values = z * sequence.scale + sequence.mean
            if sequence.valid is not None:
                values = values.masked_fill(~sequence.valid, 0.0)
            values = values.reshape(*x.shape[:2], c.n_spectra, c.n_bins)
            columns.append(values.transpose(-1, -2))
        freqs = torch.arange(1, c.n_bins + 1, dtype=torch.float64) * c.sfreq / c.n_fft
        return TokenSpectra(columns[0], columns[1], freqs)
