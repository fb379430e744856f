"""The whole system: tokenizer, encoder, stages, what users call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.data import Batch, InputContract, Windows
from neuro.models._base import NetworkModel, evaluating
from neuro.models._config import NetworkConfig
from neuro.models._reference import ReferenceSource, ReferenceWeights
from neuro.models._tokens import Tokens, TokenSpectra
from neuro.models.tfm_tokenizer.config import TFMTokenizerConfig
from neuro.models.tfm_tokenizer.encoder import TokenEncoder, pooled
from neuro.models.tfm_tokenizer.reference import our_tensors
from neuro.models.tfm_tokenizer.tokenizer import Frames, Tokenizer
from neuro.nn.heads import PlainHead
from neuro.nn.masks import valid_samples
from neuro.train.stages import Stage
from neuro.typing import Seed

__all__ = ["RisingCosine", "TFMTokenizer"]

# Frames that the code book and the bins' weights are first taken from.
_FIRST_FRAMES = 20_000


class TokenIds(NamedTuple):
    """Code numbers inside the network."""

    ids: Tensor  # (batch, channel, frame)
    valid: Tensor | None  # same shape, bool; None if every frame is whole


@dataclass(frozen=True)
class RisingCosine:
    """The original's learning rate: after the warm-up it *rises* to five times the base.

    A factor on the base rate for ``fit(..., schedule=RisingCosine(...))``: even
    steps from 0 to 1, both included, then half a cosine from 1 towards `final`,
    which is not reached.

    Parameters
    ----------
    warmup : int
        Steps of the warm-up.
    final : float
        Where the cosine would end, in base rates.

    Examples
    --------
    >>> rate = RisingCosine(warmup=3)
    >>> [round(rate(step, 7), 2) for step in range(7)]
    [0.0, 0.5, 1.0, 1.0, 1.59, 3.0, 4.41]
    """

    warmup: int
    final: float = 5.0

    def __call__(self, step: int, total: int) -> float:
        """Factor at a step, counted from 0."""
        if step < self.warmup:
            return step / max(1, self.warmup - 1)
        done = (step - self.warmup) / max(1, total - self.warmup)
        return float(self.final + 0.5 * (1 - self.final) * (1 + np.cos(np.pi * done)))


class TFMTokenizer(NetworkModel):
    """TFM-Tokenizer (arXiv 2502.16060): motifs of single channels as code numbers.

    Stage "tokenizer" learns a code book by rebuilding half-hidden spectra of
    single channels; stage "pretrain" teaches an encoder to fill in hidden code
    numbers, the tokenizer frozen; "finetune" and "probe" train encoder and head,
    or the head alone. `loss` does the first two at once, on the tokens as they
    stand, which is what ``neuro train`` and a stage left out run.

    Preset "default" differs from "paper": the commitment term has a gradient
    (in the original it cancels out); the code book starts from data and unused
    codes are replaced (in the original they are thrown far out by the first
    update); stage 1 also sees whole spectra, as tokenising does; the decoder
    speaks in deviations from the mean spectrum, each bin's error weighted
    (otherwise it learns little but the mean, and rhythms above 13 Hz hardly
    count); 512 codes and 2 decoder blocks instead of 8192 and 8; embedding of
    all channels side by side instead of CLS. The learning rate is the
    caller's: the original's *rises*, see `RisingCosine`.

    Any window of at least one frame is accepted. A frame with a missing sample
    has no token (-1); a flat channel has one, the code of silence. Code numbers
    are found in float32 without dropout whatever the mode and precision around.

    Parameters
    ----------
    config : TFMTokenizerConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("tfm_tokenizer", preset="tiny")
    >>> tokens = model.tokenize(torch.randn(2, 4, 500))
    >>> tokens.ids.shape, tokens.length_s, tokens.n_codes
    (torch.Size([2, 4, 9]), 1.0, 32)
    """

    name: ClassVar[str] = "tfm_tokenizer"
    config_class: ClassVar[type[NetworkConfig]] = TFMTokenizerConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "n_chans": 16,
            "n_codes": 8192,
            "decoder_depth": 8,
            "vq_grad": "reference",
            "codebook_init": "uniform",
            "revive_after": 0,
            "views": "halves",
            "whitening": None,
            "pool": "cls",
        },
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 500,
            "sfreq": 100.0,
            "d_model": 16,
            "n_heads": 2,
            "n_groups": 4,
            "n_codes": 32,
            "frequency_depth": 1,
            "temporal_depth": 1,
            "decoder_depth": 1,
            "encoder_depth": 1,
            "dropout": 0.0,
            "embed_dropout": 0.0,
        },
    }
    reference: ClassVar[ReferenceSource] = ReferenceSource(
        url="https://huggingface.co/Jathurshan/TFM-Tokenizer",
        licence="MIT",
        # of its settings with one and with several corpora, all that occur
        corpora=("TUAB", "TUEV", "CHB-MIT", "IIIC Seizure"),
    )

    config: TFMTokenizerConfig

    def __init__(self, config: TFMTokenizerConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self.tokenizer = Tokenizer(config)
        self.encoder = TokenEncoder(config)
        self.to_codes = nn.Linear(config.d_model, config.n_codes)
        self.head = PlainHead(config.d_embedding, config.n_outputs) if config.n_outputs else None

    @classmethod
    def reference_tensors(
        cls, found: dict[str, Tensor], given: Mapping[str, Any]
    ) -> ReferenceWeights:
        """Map of the original's names; see `neuro.models.from_reference`.

        Parts ``tokenizer`` (required), ``encoder`` and ``encoder_mtp``.
        """
        return our_tensors(found, given)

    @property
    def any_times(self) -> bool:
        """True: no part of the network has a length."""
        return True

    @property
    def codebook(self) -> Tensor:
        """All codes, shape (n_codes, d_model)."""
        return self.tokenizer.quantiser.codebook

    def stages(self) -> dict[str, Stage]:
        """Tokenizer, masked tokens; with a head also fine-tuning, or the head alone."""
        found = {
            "tokenizer": Stage((self.tokenizer,), "tokenizer_loss"),
            "pretrain": Stage((self.encoder, self.to_codes), "pretrain_loss"),
        }
        if self.head is not None:
            found["finetune"] = Stage((self.encoder, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Start the code book, and weigh the bins, from a sample of the training windows.

        Parameters
        ----------
        train : Windows
            Training part only.
        seed : int or numpy Generator
            Which windows are read, and which vectors become codes.
        """
        rng = np.random.default_rng(seed)
        wanted = max(1, _FIRST_FRAMES // (self.config.n_chans * self.config.n_tokens))
        rows = rng.choice(len(train), min(len(train), wanted), replace=False)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self.start(train.batch(np.sort(rows)), generator)

    @torch.no_grad()
    def start(self, batch: Batch | Tensor, generator: torch.Generator | None = None) -> None:
        """Start the code book from these windows, unless it has started; weigh the bins.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Training windows; some hundred are plenty.
        generator : torch.Generator, optional
            Decides which vectors become codes.
        """
        tokenizer = self.tokenizer
        frames = self._frames(batch)
        tokenizer.fit_bins(frames)
        if not bool(tokenizer.quantiser.ready):
            with evaluating(tokenizer):
                temporal = tokenizer.temporal_features(frames)
                z = tokenizer.vectors(frames.spectra, temporal, frames.valid)
            tokenizer.quantiser.start(z, frames.valid, generator)

    # -- tokens -----------------------------------------------------------------

    def tokenize(self, batch: Batch | Tensor) -> Tokens:
        """Code number of every frame of every channel.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows; how they are cut matters, since each is scaled and
            attended to as a whole.

        Returns
        -------
        Tokens
            -1 where a channel or a sample of the frame is missing.

        Raises
        ------
        ContractError
            If the batch is not what the model accepts.
        DataError
            If the windows are shorter than a frame.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        ids, valid = self._ids(x, channel_mask, time_mask)
        if valid is not None:
            ids = ids.masked_fill(~valid, -1)
        hop_s = self.config.hop_times / self.config.sfreq
        start_s = torch.arange(ids.shape[2], dtype=torch.float64, device=ids.device) * hop_s
        length_s = self.config.frame_times / self.config.sfreq
        return Tokens(ids, start_s, length_s, self.config.n_codes)

    def token_vectors(self, batch: Batch | Tensor) -> tuple[Tensor, Tensor]:
        """Codes of every frame, as input for another encoder; see `TokenFrontEnd`.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.

        Returns
        -------
        vectors : Tensor, shape (batch, n_chans, n_frames, d_model)
            0 where there is no token; without gradient.
        valid : Tensor, shape (batch, n_chans, n_frames), bool
            Where there is one.
        """
        ids = self.tokenize(batch).ids
        valid = ids >= 0
        vectors = F.embedding(ids.clamp(min=0), self.codebook)
        return vectors * valid[..., None], valid

    @torch.no_grad()
    def token_spectra(self, batch: Batch | Tensor) -> TokenSpectra:
        """Spectra of the frames, and what the code numbers alone say of them.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.

        Returns
        -------
        TokenSpectra
            Linear magnitudes of the scaled signal; 0 where there is no token.
        """
        tokenizer = self.tokenizer
        frames = self._frames(batch)
        with evaluating(tokenizer):
            temporal = tokenizer.temporal_features(frames)
            z = tokenizer.vectors(frames.spectra, temporal, frames.valid)
            codes = tokenizer.quantiser(z, frames.valid).codes
            decoded = tokenizer.decode(codes, frames.valid)
        truth = frames.spectra
        if frames.valid is not None:
            absent = ~frames.valid[..., None]
            truth, decoded = truth.masked_fill(absent, 0.0), decoded.masked_fill(absent, 0.0)
        n_chans = batch.shape[1] if isinstance(batch, Tensor) else batch.x.shape[1]
        freqs = torch.arange(self.config.n_freqs, dtype=torch.float64, device=truth.device)
        shape = (-1, n_chans, *truth.transpose(1, 2).shape[1:])
        return TokenSpectra(
            truth.transpose(1, 2).reshape(shape),
            decoded.transpose(1, 2).reshape(shape),
            freqs * self.config.sfreq / self.config.frame_times,
        )

    def _frames(self, batch: Batch | Tensor) -> Frames:
        x, channel_mask, _, time_mask = self.inputs(batch)
        valid = valid_samples(x, channel_mask, time_mask)
        return self.tokenizer.frames(
            x.flatten(0, 1), None if valid is None else valid.flatten(0, 1)
        )

    @torch.no_grad()
    def _ids(self, x: Tensor, channel_mask: Tensor | None, time_mask: Tensor | None) -> TokenIds:
        """Code numbers and which are valid, the tokenizer as it is when frozen."""
        valid = valid_samples(x, channel_mask, time_mask)
        rows = None if valid is None else valid.flatten(0, 1)
        with evaluating(self.tokenizer), torch.autocast(x.device.type, enabled=False):
            ids, whole = self.tokenizer.ids(x.flatten(0, 1).to(self.codebook.dtype), rows)
        shape = (x.shape[0], x.shape[1], ids.shape[1])
        return TokenIds(ids.reshape(shape), None if whole is None else whole.reshape(shape))

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and tokens; see :meth:`NetworkModel.encode`. Positions are not used."""
        ids, valid = self._ids(x, channel_mask, time_mask)
        cls, tokens = self.encoder(ids, self.codebook, valid, channel_index)
        embedding = pooled(cls, tokens, valid, self.config, channel_index)
        return embedding, tokens.flatten(1, 2)

    # -- training ---------------------------------------------------------------

    def tokenizer_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Stage 1: spectra rebuilt from both halves, and the quantiser's terms.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss", "reconstruction", "commitment".
        """
        return self.tokenizer.loss(self._frames(batch), generator)

    def pretrain_loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Stage 2: hidden code numbers from the others, and the other way round.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides which tokens the first of both passes does not see.

        Returns
        -------
        dict of str to Tensor
            "loss": sum of both passes' cross-entropies, each a mean over its
            hidden tokens; "hit": share of hidden tokens that are guessed right.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        ids, valid = self._ids(x, channel_mask, time_mask)
        draws = torch.rand(ids.shape, generator=generator, device=generator.device)
        return self.masked_token_loss(ids, valid, (draws < 0.5).to(ids.device))

    def masked_token_loss(
        self, ids: Tensor, valid: Tensor | None, hidden: Tensor
    ) -> dict[str, Tensor]:
        """`pretrain_loss` for given code numbers and a given mask.

        Parameters
        ----------
        ids : Tensor, shape (batch, n_chans, n_frames), int64
            Code numbers.
        valid : Tensor, same shape, bool, optional
            False where there is no token.
        hidden : Tensor, same shape, bool
            True where the first pass does not see the token; the second pass
            sees nothing else.

        Returns
        -------
        dict of str to Tensor
            As `pretrain_loss`.
        """
        loss = ids.new_zeros((), dtype=self.to_codes.weight.dtype)
        hits = ids.new_zeros(())
        for mask in (hidden, ~hidden):
            seen = ids.masked_fill(mask, self.encoder.mask_id)
            _, tokens = self.encoder(seen, self.codebook, valid)
            counted = mask if valid is None else mask & valid
            scores, truth = self.to_codes(tokens[counted]).to(loss.dtype), ids[counted]
            total = F.cross_entropy(scores, truth, reduction="sum")
            loss = loss + total / max(len(truth), 1)
            hits = hits + (scores.argmax(dim=1) == truth).sum()
        n_tokens = ids.numel() if valid is None else valid.sum().clamp(min=1)
        return {"loss": loss, "hit": (hits / n_tokens).detach()}

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Both stages at once: the tokenizer's loss plus the encoder's on the present tokens.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss"; "tokenizer" and "tokens", its two parts; and their figures.
        """
        first = self.tokenizer_loss(batch, generator)
        second = self.pretrain_loss(batch, generator)
        return {
            "loss": first["loss"] + second["loss"],
            "reconstruction": first["reconstruction"],
            "commitment": first["commitment"],
            "tokens": second["loss"].detach(),
            "hit": second["hit"],
        }

    def supervised_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of the head against the batch's target, as `objective` says.

        Parameters
        ----------
        batch : Batch
            With a target: class numbers, 0 and 1 for "bce" and "focal", or values.
        generator : torch.Generator
            Not used; all losses are called alike.

        Returns
        -------
        dict of str to Tensor
            "loss", and "accuracy" for classes.

        Raises
        ------
        ConfigError
            If the model has no head or the batch no target.
        """
        config = self.config
        target = None if isinstance(batch, Tensor) else batch.target
        classes = config.n_outputs > 1 or config.objective != "auto"
        if self.head is None or target is None or target.ndim != 1 or not classes:
            return super().supervised_loss(batch, generator)
        known = ~target.isnan()
        scores = self.head(self(batch).embedding)[known].float()
        target = target[known]
        if config.objective == "auto":
            loss = self.class_loss(scores, target.long())
            hit = scores.argmax(dim=1) == target
        else:
            scores = scores.squeeze(1)
            loss = self.binary_loss(scores, target)
            hit = (scores > 0) == (target > 0.5)
        return {"loss": loss, "accuracy": hit.float().mean().detach()}

    def class_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Label-smoothed cross-entropy.

        Parameters
        ----------
        scores : Tensor, shape (n, n_outputs)
            Logits.
        target : Tensor, shape (n,), int64
            Class numbers.

        Returns
        -------
        Tensor, shape ()
            Mean over examples.
        """
        return F.cross_entropy(scores, target, label_smoothing=self.config.label_smoothing)

    def binary_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy, or the focal loss of arXiv 1708.02002, as `objective` says.

        Parameters
        ----------
        scores : Tensor, shape (n,)
            Logits of class 1.
        target : Tensor, shape (n,)
            0 or 1.

        Returns
        -------
        Tensor, shape ()
            Mean over examples.
        """
        plain = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
        if self.config.objective != "focal":
            return plain.mean()
        alpha = self.config.focal_alpha
        weight = alpha * target + (1 - alpha) * (1 - target)
        missed = 1 - torch.exp(-plain)  # probability of the wrong class
        return (weight * missed**self.config.focal_gamma * plain).mean()
