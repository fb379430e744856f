"""The network: both branches, one linear head."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from neuro.data import Batch, InputContract, Windows
from neuro.errors import ConfigError, DataError
from neuro.models._base import Inputs, NetworkModel
from neuro.models._config import NetworkConfig
from neuro.models._microvolts import check_microvolts
from neuro.models._reference import ReferenceSource, ReferenceWeights
from neuro.models.labram.encoder import LaBraMEncoder, layer_groups, network_units
from neuro.models.labram.model import quiet_head, rows_of
from neuro.models.labram.reference import SOURCE
from neuro.models.neurobolt.config import NeuroBOLTConfig
from neuro.models.neurobolt.reference import neurobolt_tensors
from neuro.models.neurobolt.spectral import SpectralBranch
from neuro.nn.masks import valid_samples
from neuro.train.stages import Stage
from neuro.typing import Seed

__all__ = ["NeuroBOLT"]

_PAIR = "pair EEG with BOLD: neuro.data.pair(eeg, fmri, window_s=16)."


class NeuroBOLT(NetworkModel):
    """BOLD of one or more regions from the 16 s of EEG before a volume.

    A LaBraM encoder and a transformer over spectra at four window lengths read
    the same window; their means are added, and a linear map of the GELU of the
    sum predicts every region. Windows come from
    ``neuro.data.pair(eeg, fmri, window_s=16)``.

    ``paper`` is the published model for one region. What the original does and
    is mended here:

    - With fewer electrodes its evaluation gives the spectral branch the first
      rows of the channels' table, whichever electrodes they are. Here both
      branches get the rows that belong to the names, in every preset.
    - Its magnitudes grow with the window, so that the level of 4 s enters with
      three to eight times the size of that of 0.5 s; ``default`` puts noise at
      one size (`spectrum`).
    - Its learning rates fall by 0.65 a layer, which leaves the first layers of
      a net that was not pretrained where they are: 0.0037 of the rate. In
      ``default`` all layers learn alike (`layer_decay`).
    - It read 1,024 spectral tokens at most, 32 channels; here any number.
    - It was trained in single precision only, half precision gave NaN. Spectra
      are taken in single precision here whatever surrounds them.
    - It takes any numbers; volts are refused here (`inputs`).

    ``small`` is for a CPU (our default). Absent channels and samples take part
    in nothing.

    Parameters
    ----------
    config : NeuroBOLTConfig
        Sizes and channels.
    contract : InputContract, optional
        What the model accepts; by default the named channels, uV, 200 Hz.

    References
    ----------
    Li et al. (2024), "NeuroBOLT: Resting-state EEG-to-fMRI Synthesis with
    Multi-dimensional Feature Mapping", arXiv:2410.05341.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("neurobolt", preset="tiny", n_outputs=3)
    >>> out = model(20 * torch.randn(2, 4, 160))
    >>> tuple(out.prediction.shape)
    (2, 3)
    """

    name: ClassVar[str] = "neurobolt"
    config_class: ClassVar[type[NetworkConfig]] = NeuroBOLTConfig
    supervised: ClassVar[bool] = True
    channel_rows: ClassVar[tuple[str, ...]] = ("encoder.own_rows", "spectral.channels")
    reference: ClassVar[ReferenceSource] = SOURCE
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"n_outputs": 1, "layer_decay": 0.65, "spectrum": "amplitude"},
        "default": {"n_outputs": 1},
        "small": {
            "n_outputs": 1,
            "n_features": 2,
            "n_groups": 2,
            "depth": 2,
            "n_heads": 5,
            "spectral_depth": 2,
            "spectral_heads": 5,
        },
        "tiny": {
            "n_chans": 4,
            "n_times": 160,
            "sfreq": 40.0,
            "unknown": "own",
            "n_features": 4,
            "n_groups": 2,
            "depth": 1,
            "n_heads": 2,
            "mlp_ratio": 2.0,
            # small nets need larger weights to tell channels apart untrained
            "layer_scale": 1.0,
            "init_std": 0.3,
            "dropout": 0.0,
            "drop_path": 0.0,
            "n_levels": 2,
            "spectral_depth": 1,
            "spectral_heads": 2,
            "spectral_dropout": 0.0,
            "spectral_attention_dropout": 0.0,
        },
    }

    config: NeuroBOLTConfig

    def __init__(self, config: NeuroBOLTConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self.encoder = LaBraMEncoder(config)
        self.spectral = SpectralBranch(config)
        if config.n_outputs:
            self.head = quiet_head(config)

    @classmethod
    def reference_tensors(
        cls, found: dict[str, Tensor], given: Mapping[str, Any]
    ) -> ReferenceWeights:
        """The authors' tensors under our names; see :mod:`neuro.models.neurobolt.reference`."""
        return neurobolt_tensors(found, given)

    def inputs(self, batch: Batch | Tensor) -> Inputs:
        """Check a batch, its amplitude included; see :meth:`NetworkModel.inputs`.

        Raises
        ------
        UnitError
            If the values cannot be microvolts. Volts would leave the spectral
            branch with nothing but its biases, silently.
        """
        checked = super().inputs(batch)
        if self.config.modality == "eeg":
            check_microvolts(checked)
        return checked

    def channel_index(self, ch_names: tuple[str, ...]) -> Tensor:
        """Which of the model's channels these are, as `encode` takes it.

        Parameters
        ----------
        ch_names : tuple of str
            Channels of the model, some or all, in any order and spelling.

        Returns
        -------
        Tensor, shape (n_chans,), int64

        Raises
        ------
        ContractError
            If the model was built without names or does not have one of these.

        Examples
        --------
        >>> import neuro
        >>> model = neuro.models.create("neurobolt", preset="small")
        >>> model.channel_index(("Oz", "EEG FP2-REF"))
        tensor([21,  1])
        """
        return rows_of(self, ch_names)

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and tokens; see :meth:`NetworkModel.encode`.

        The tokens of a channel are those of the LaBraM branch (one a second)
        and then those of the spectral branch (two a second).
        """
        valid = valid_samples(x, channel_mask, time_mask)
        x = network_units(x, valid, self.config.uv_per_unit, self.config.center)
        temporal, seconds = self.encoder(x, channel_index, valid)
        spectral, steps = self.spectral(x, channel_index, valid)
        grid = (x.shape[0], x.shape[1], -1, self.config.d_model)
        tokens = torch.cat([seconds.reshape(grid), steps.reshape(grid)], dim=2)
        return F.gelu(temporal + spectral), tokens.flatten(1, 2)

    # -- training -------------------------------------------------------------

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Look at the training targets before any step.

        Parameters
        ----------
        train : Windows
            Training part only, from :func:`neuro.data.pair`.
        seed : int or numpy Generator
            Not used.

        Raises
        ------
        ConfigError
            If there are no targets, or not as many as outputs.
        DataError
            If a region is constant or missing throughout.
        """
        check_targets(train, self.config.n_outputs)

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error over all regions of which the value is known.

        Parameters
        ----------
        batch : Batch
            Target: shape (batch, n_outputs), or (batch,) for one region; NaN or
            masked where missing.
        generator : torch.Generator
            Not used; all losses are called alike.

        Returns
        -------
        dict of str to Tensor
            "loss".

        Raises
        ------
        ConfigError
            If the model has no head, or the batch no target of that shape.
        """
        prediction = self(batch).prediction
        if prediction is None:
            raise ConfigError(
                "This neurobolt has no head; create it with n_outputs=..., one a region."
            )
        if isinstance(batch, Tensor) or batch.target is None:
            raise ConfigError(f"The batch has no target; {_PAIR}")
        target = batch.target.reshape(len(batch), -1)
        if target.shape != prediction.shape:
            raise ConfigError(
                f"The targets have {target.shape[1]} regions, the model {prediction.shape[1]} "
                f"outputs; create it with n_outputs={target.shape[1]}."
            )
        known = ~target.isnan()
        if batch.target_mask is not None:
            known = known & batch.target_mask.reshape(target.shape)
        error = (prediction.float() - target.nan_to_num()).square() * known
        return {"loss": error.sum() / known.sum().clamp(min=1)}

    def stages(self) -> dict[str, Stage]:
        """Everything; all but the LaBraM branch; or the head alone."""
        if self.head is None:
            return {}
        return {
            "finetune": Stage((self.encoder, self.spectral, self.head)),
            "spectral": Stage((self.spectral, self.head)),
            "probe": Stage((self.head,)),
        }

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Rates that fall by `layer_decay` towards the input of the LaBraM branch.

        The spectral branch has no pretrained weights and keeps the full rate,
        as do the table of seconds, the last norm and the head.
        """
        last = self.config.depth + 1
        named = [(k, p, self.encoder.layer_of(k)) for k, p in self.encoder.named_parameters()]
        named += [(f"spectral.{k}", p, last) for k, p in self.spectral.named_parameters()]
        if self.head is not None:
            named += [(f"head.{k}", p, last) for k, p in self.head.named_parameters()]
        return layer_groups(lr, self.config.layer_decay, last, named)


def check_targets(train: Windows, n_outputs: int) -> None:
    """Refuse training targets from which nothing can be learned; see `NeuroBOLT.prepare`."""
    if train.target is None:
        raise ConfigError(f"The windows have no targets; {_PAIR}")
    target = torch.as_tensor(train.target, dtype=torch.float64).reshape(len(train), -1)
    if n_outputs and target.shape[1] != n_outputs:
        raise ConfigError(
            f"The targets have {target.shape[1]} regions, the model {n_outputs} outputs; create it "
            f"with n_outputs={target.shape[1]}."
        )
    axis = getattr(train, "target_axis", None)
    for i, values in enumerate(target.T):
        seen = values[~values.isnan()]
        if len(seen) < 2 or not bool((seen != seen[0]).any()):
            name = f"{axis.names[i]!r}" if axis is not None and len(axis) else f"number {i}"
            what = f"is {seen[0]:g} at every volume" if len(seen) else "has no value"
            raise DataError(
                f"Region {name} {what} of the training part: nothing can be learned. Mark it bad "
                "or leave it out of the fMRI recording; its mask may lie outside the brain."
            )
