"""The network: patches, bidirectional blocks, decoder."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.data import Batch, InputContract, exact_rate
from neuro.errors import ConfigError
from neuro.models._base import Inputs, NetworkModel, Output
from neuro.models._config import NetworkConfig
from neuro.models._microvolts import check_microvolts
from neuro.models._reference import ReferenceSource, ReferenceWeights
from neuro.models.femba.config import FEMBAConfig
from neuro.models.femba.heads import MambaHead
from neuro.models.femba.reference import SOURCE, femba_tensors
from neuro.nn.heads import masked_mean
from neuro.nn.mamba import BidirectionalMamba, undecayed
from neuro.nn.masks import valid_samples
from neuro.nn.scaling import moments
from neuro.train.stages import Stage

__all__ = ["FEMBA", "HiddenPatches"]

# The affine norm's bounds in uV, and what the original adds to the width.
_BOUND, _TINY = 20.0, 1e-8
# Of a channel's deviation, below which its quartiles may not lie: ours. They are 1.35 of it apart
# in a normal distribution.
_LEAST = 0.1
# Of both norms.
_MIDDLE = 0.5
# Edges in Hz of the band the original was trained on (it also takes out 60 Hz).
_BAND = (0.1, 75.0)


class HiddenPatches(NamedTuple):
    """What the decoder makes of a window with hidden patches, in normalised units.

    Attributes
    ----------
    prediction, truth : Tensor, shape (batch, n_chans, n_patches, patch_times)
        Decoded and true signal.
    hidden : Tensor, shape (batch, n_chans, n_patches), bool
        What was hidden; the channels of a patch go together.
    valid : Tensor, shape (batch, n_chans, n_patches, patch_times), bool
        Samples that exist.
    """

    prediction: Tensor
    truth: Tensor
    hidden: Tensor
    valid: Tensor


class _Grid(NamedTuple):
    """A batch on the model's full grid of rows and tokens."""

    x: Tensor  # (batch, n_rows * patch_chans, n_tokens * patch_times); 0 where not valid
    valid: Tensor | None  # same shape, bool; None if every sample is there
    tokens: Tensor | None  # (batch, n_tokens), bool; None if every token is there


class FEMBA(NetworkModel):
    """Bidirectional Mamba encoder, pretrained on hidden patches.

    ``paper`` is the published Base, ``paper_tiny``, ``paper_large`` and
    ``paper_huge`` the other sizes. ``default`` is the Tiny size with these
    differences: hidden samples become 0.5, the middle of the norm, instead of
    0, which is -20 uV (`fill`); each example has a mask of its own
    (`shared_mask`); the decoder starts from that middle (`calm_decoder`);
    windows of another length are read (`beyond`); weight decay spares A_log, D,
    biases and norms (`decay_all`).

    What is missing (masked channels or samples, also within a patch) takes the
    value of hidden samples. A moment at which nothing was measured leaves the
    state of every Mamba as it is, counts in no mean, and is zero in the tokens.

    Parameters
    ----------
    config : FEMBAConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default the montage's 22 channels in their
        order, uV, 256 Hz, 0.1 to 75 Hz.

    References
    ----------
    Tegon et al. (2025), arXiv:2502.06438.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("femba", preset="tiny")
    >>> out = model(20 * torch.randn(2, 4, 128))
    >>> tuple(out.tokens.shape)
    (2, 8, 8)
    """

    name: ClassVar[str] = "femba"
    config_class: ClassVar[type[NetworkConfig]] = FEMBAConfig
    order_free: ClassVar[bool] = False
    reference: ClassVar[ReferenceSource] = SOURCE
    _paper: ClassVar[dict[str, Any]] = {
        "fill": 0.0,
        "shared_mask": True,
        "calm_decoder": False,
        "beyond": "refuse",
        "decay_all": True,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {**_paper, "n_blocks": 12, "d_patch": 35},
        "paper_tiny": {**_paper, "n_blocks": 2, "d_patch": 35},
        "paper_large": {**_paper, "n_blocks": 4, "d_patch": 79},
        "paper_huge": {**_paper, "n_blocks": 20, "d_patch": 79},
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 128,
            "n_blocks": 1,
            "d_patch": 4,
            "expand": 2,
            "d_state": 4,
            "decoder_size": 5,
            "d_head": 8,
        },
    }

    config: FEMBAConfig

    def __init__(self, config: FEMBAConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        patch = (config.patch_chans, config.patch_times)
        self.patch_embed = nn.Conv2d(1, config.d_patch, patch, patch)
        self.positions: nn.Parameter | None = None
        if config.beyond != "none":
            self.positions = nn.Parameter(torch.zeros(1, config.n_tokens, config.d_model))
        self.blocks = nn.ModuleList(
            BidirectionalMamba(
                config.d_model,
                expand=config.expand,
                d_state=config.d_state,
                d_conv=config.d_conv,
                combine=config.combine,
            )
            for _ in range(config.n_blocks)
        )
        size = config.decoder_size
        self.decoder_mix = nn.Conv2d(1, 1, size, padding=size // 2, bias=False)
        self.decoder_patch = nn.ConvTranspose2d(config.d_patch, 1, patch, patch)
        if config.calm_decoder:
            with torch.no_grad():
                self.decoder_patch.weight.mul_(0.1)
                self.decoder_patch.bias.fill_(_MIDDLE)  # type: ignore[union-attr]
        self.head = MambaHead(config) if config.n_outputs else None

    @classmethod
    def default_contract(cls, config: NetworkConfig) -> InputContract:
        """Contract of the configuration, with the band the original was trained on."""
        low, high = _BAND
        fits = config.modality == "eeg" and high < config.sfreq / 2
        return InputContract(
            modality=config.modality,
            sfreq=exact_rate(config.sfreq),
            unit=config.unit,
            ch_names=config.ch_names,
            highpass=low if fits else None,
            lowpass=high if fits else None,
            missing="mask",
        )

    @classmethod
    def reference_tensors(
        cls, found: dict[str, Tensor], given: Mapping[str, Any]
    ) -> ReferenceWeights:
        """The authors' tensors under our names; see :mod:`neuro.models.femba.reference`."""
        return femba_tensors(found, given)

    @property
    def any_times(self) -> bool:
        """True unless the table of positions has rows for one length only."""
        return self.config.beyond != "refuse"

    # -- the door -----------------------------------------------------------------

    def inputs(self, batch: Batch | Tensor) -> Inputs:
        """Check a batch, its amplitude included; see :meth:`NetworkModel.inputs`.

        Raises
        ------
        UnitError
            If the values cannot be microvolts. Volts would all become the same
            number, silently.
        """
        checked = super().inputs(batch)
        if self.config.unit == "uV" and self.config.modality == "eeg":
            check_microvolts(checked)
        return checked

    # -- encoder ------------------------------------------------------------------

    def _grid(
        self,
        x: Tensor,
        channel_mask: Tensor | None,
        time_mask: Tensor | None,
        channel_index: Tensor | None,
    ) -> _Grid:
        """Every row and moment of the model's grid, present or not."""
        config = self.config
        rows, length = config.n_rows * config.patch_chans, x.shape[2]
        behind = -length % config.patch_times
        complete = channel_mask is None and time_mask is None and channel_index is None
        if complete and x.shape[1] == rows and not behind:
            return _Grid(x, None, None)
        valid = valid_samples(x, channel_mask, time_mask)
        if valid is None:
            valid = torch.ones_like(x, dtype=torch.bool)
        # where, not a product: what stands under a mask may be NaN
        x = torch.where(valid, x, torch.zeros_like(x))
        if channel_index is not None:
            shape = (x.shape[0], rows, length)
            x = x.new_zeros(shape).index_copy(1, channel_index, x)
            valid = valid.new_zeros(shape).index_copy(1, channel_index, valid)
        around = (0, behind, 0, rows - x.shape[1])
        x, valid = F.pad(x, around), F.pad(valid, around)
        moments = valid.any(dim=1).reshape(x.shape[0], -1, config.patch_times)
        return _Grid(x, valid, moments.any(dim=2))

    def _normalised(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """Signal in the norm's units; statistics of what is seen, nothing filled in."""
        if self.config.norm == "affine20":
            return (x + _BOUND) / (2 * _BOUND + _TINY)
        low, high = _quartiles(x, seen)
        # quartiles coincide where a channel is flat but for a moment, which would be divided by 0
        _, deviation = moments(x, None if seen is None else seen.to(x.dtype), (2,))
        return (x - low) / (torch.maximum(high - low, _LEAST * deviation) + _TINY)

    def _run(self, z: Tensor, valid: Tensor | None) -> Tensor:
        """Filled signal (batch, rows, times) to tokens (batch, n_tokens, d_model)."""
        patches: Tensor = self.patch_embed(z[:, None])
        x = patches.flatten(1, 2).transpose(1, 2)
        if self.positions is not None:
            x = x + _rows_of(self.positions, x.shape[1], self.config.beyond)
        for block in self.blocks:
            x = block(x, valid)
        return x if valid is None else x.masked_fill(~valid[..., None], 0.0)

    def _tokens(
        self,
        x: Tensor,
        channel_mask: Tensor | None,
        time_mask: Tensor | None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens, and which of them are no padding."""
        grid = self._grid(x, channel_mask, time_mask, channel_index)
        z = self._normalised(grid.x, grid.valid)
        if grid.valid is not None:
            z = z.masked_fill(~grid.valid, self.config.fill)
        return self._run(z, grid.tokens), grid.tokens

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding (mean of the tokens) and tokens; see :meth:`NetworkModel.encode`.

        Positions of channels are not used: a channel is known by its row.
        """
        tokens, valid = self._tokens(x, channel_mask, time_mask, channel_index)
        return masked_mean(tokens, valid), tokens

    def forward(self, batch: Batch | Tensor) -> Output:
        """Check the input, encode it, apply the head to the tokens.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            A bare tensor is taken to be in the contract's order, rate and unit.

        Returns
        -------
        Output
            Embedding, tokens and, with a head, logits.

        Raises
        ------
        ContractError
            If the batch is not what the model accepts.
        UnitError
            If the values cannot be microvolts.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        tokens, valid = self._tokens(x, channel_mask, time_mask)
        prediction = None if self.head is None else self.head(tokens, valid)
        return Output(masked_mean(tokens, valid), tokens, prediction)

    # -- training -----------------------------------------------------------------

    def reconstruct(self, batch: Batch | Tensor, generator: torch.Generator) -> HiddenPatches:
        """Hide patches and fill them from the others.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        HiddenPatches
            Decoded and true signal, and what was hidden.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        grid = self._grid(x, channel_mask, time_mask, None)
        valid = torch.ones_like(grid.x, dtype=torch.bool) if grid.valid is None else grid.valid
        hidden = self._hide(valid, generator)
        seen = valid & ~hidden
        truth = self._normalised(grid.x, seen)
        tokens = self._run(truth.masked_fill(~seen, self.config.fill), grid.tokens)
        out = self._decode(tokens)
        n_chans, patch = x.shape[1], self.config.patch_times
        shape = (*x.shape[:2], -1, patch)
        cut = [t[:, :n_chans].reshape(shape) for t in (out, truth, hidden, valid)]
        return HiddenPatches(cut[0], cut[1], cut[2][..., 0], cut[3])

    def _hide(self, valid: Tensor, generator: torch.Generator) -> Tensor:
        """Samples (batch, rows, times) of randomly chosen patches among those that exist."""
        config = self.config
        batch, rows, length = valid.shape
        shape = (rows // config.patch_chans, length // config.patch_times)
        patches = valid.reshape(batch, shape[0], config.patch_chans, shape[1], config.patch_times)
        there = patches.any(dim=4).any(dim=2).flatten(1)
        draws = 1 if config.shared_mask else batch
        scores = torch.rand(draws, there.shape[1], generator=generator, device=generator.device)
        scores = scores.to(valid.device).expand(batch, -1).masked_fill(~there, math.inf)
        rank = scores.argsort(dim=1, stable=True).argsort(dim=1)
        # in double precision, as Python's int(0.6 * n)
        n_hidden = (config.mask_ratio * there.sum(dim=1, keepdim=True).double()).floor()
        hidden = (rank < n_hidden.clamp(min=1)).reshape(batch, *shape)
        wide = hidden.repeat_interleave(config.patch_chans, dim=1)
        return wide.repeat_interleave(config.patch_times, dim=2)

    def _decode(self, tokens: Tensor) -> Tensor:
        """Tokens to the normalised signal (batch, rows, times)."""
        # an image with one row a token and one column a feature
        image = self.decoder_mix(tokens[:, None])[:, 0].transpose(1, 2)
        grid = image.reshape(image.shape[0], self.config.d_patch, -1, image.shape[2])
        out: Tensor = self.decoder_patch(grid)[:, 0]
        return out

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Smooth-L1 (beta 1) on the hidden samples.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Windows.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss", and "visible": the same on what was not hidden, which is
            only looked at.
        """
        prediction, truth, hidden, valid = self.reconstruct(batch, generator)
        error = F.smooth_l1_loss(prediction.to(truth.dtype), truth, reduction="none")
        counted, others = valid & hidden[..., None], valid & ~hidden[..., None]
        return {
            "loss": _mean_where(error, counted),
            "visible": _mean_where(error, others).detach(),
        }

    def supervised_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of the head for its task; missing targets do not count.

        Cross-entropy for "bc" and "mcc" (see :meth:`NetworkModel.supervised_loss`) and, over all
        channels of all windows, for "mmc"; binary cross-entropy for "ml" and "mc".

        Parameters
        ----------
        batch : Batch
            Target: class numbers (batch,), or (batch, n_chans) for "mmc"; zeros
            and ones (batch, n_outputs) for "ml" and "mc".
        generator : torch.Generator
            Not used; all losses are called alike.

        Returns
        -------
        dict of str to Tensor
            "loss", and "accuracy".

        Raises
        ------
        ConfigError
            If the model has no head or the batch no target of that shape.
        """
        targets = None if isinstance(batch, Tensor) else batch.target
        if self.config.task in ("bc", "mcc") or self.head is None or targets is None:
            return super().supervised_loss(batch, generator)
        scores = self(batch).prediction.float()
        wanted = scores.shape[:2]
        if targets.shape != wanted:
            raise ConfigError(
                f"task={self.config.task!r} needs targets of shape {tuple(wanted)}, not "
                f"{tuple(targets.shape)}."
            )
        known = ~targets.isnan()
        scores, targets = scores[known], targets[known]
        if self.config.task == "mmc":
            loss = F.cross_entropy(scores, targets.long())
            hit = scores.argmax(dim=1) == targets
        else:
            loss = F.binary_cross_entropy_with_logits(scores, targets.to(scores.dtype))
            hit = (scores > 0) == (targets > 0.5)
        return {"loss": loss, "accuracy": hit.float().mean().detach()}

    def stages(self) -> dict[str, Stage]:
        """Hidden patches; with a head also fine-tuning without the decoder, or the head alone."""
        table = () if self.positions is None else (self.positions,)
        encoder = (self.patch_embed, *table, self.blocks)
        found = {"pretrain": Stage((*encoder, self.decoder_mix, self.decoder_patch))}
        if self.head is not None:
            found["finetune"] = Stage((*encoder, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Groups for the optimiser.

        Where a head learns, block i of n gets ``layer_decay ** (n - i)`` of the
        learning rate, and everything outside the blocks all of it; pretraining
        has one rate. Unless `decay_all`, weight decay spares A_log, D and all
        vectors.

        Parameters
        ----------
        lr : float
            Peak rate.

        Returns
        -------
        list of dict
            With "params", "lr" and, where there is to be none, "weight_decay".
        """
        tuning = self.head is not None and all(p.requires_grad for p in self.head.parameters())
        step = self.config.layer_decay if tuning else 1.0
        n_blocks, spared = len(self.blocks), undecayed(self)
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            place = name.split(".")
            depth = n_blocks - int(place[1]) if place[0] == "blocks" else 0
            spare = parameter.ndim < 2 or id(parameter) in spared
            key = (lr * step**depth, spare and not self.config.decay_all)
            groups.setdefault(key, []).append(parameter)
        return [
            {"params": found, "lr": rate, **({"weight_decay": 0.0} if spare else {})}
            for (rate, spare), found in groups.items()
        ]


def _rows_of(table: Tensor, length: int, beyond: str) -> Tensor:
    """Positions of a window of any length, (1, length, d_model)."""
    n_rows = table.shape[1]
    if length == n_rows:
        return table
    if beyond == "interpolate":
        stretched = F.interpolate(table.transpose(1, 2), size=length, mode="linear")
        return stretched.transpose(1, 2)
    return table[:, torch.arange(length, device=table.device) % n_rows]


def _quartiles(x: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """First and third quartile of each channel, linear between order statistics.

    A channel of which nothing is seen gets the affine norm's bounds.
    """
    if seen is None:
        seen = torch.ones_like(x, dtype=torch.bool)
    count = seen.sum(dim=-1, keepdim=True)
    ordered = x.masked_fill(~seen, math.inf).sort(dim=-1).values
    found = []
    for share, bound in ((0.25, -_BOUND), (0.75, _BOUND)):
        place = share * (count - 1).clamp(min=0).to(x.dtype)
        below = place.floor().long()
        above = torch.minimum(below + 1, (count - 1).clamp(min=0))
        low, high = ordered.gather(-1, below), ordered.gather(-1, above)
        value = low + (high - low) * (place - below)
        found.append(torch.where(count > 0, value, torch.full_like(value, bound)))
    return found[0], found[1]


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1)
