"""The LaBraM encoder as a model of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from neuro.data import Batch, InputContract
from neuro.data.channels import canonical_eeg_name
from neuro.errors import ContractError
from neuro.models._base import Inputs, NetworkModel
from neuro.models._config import NetworkConfig
from neuro.models._microvolts import check_microvolts
from neuro.models._reference import ReferenceSource, ReferenceWeights
from neuro.models.labram.config import LaBraMConfig
from neuro.models.labram.encoder import (
    LaBraMEncoder,
    layer_groups,
    network_units,
    start_linear,
)
from neuro.models.labram.reference import SOURCE, labram_tensors
from neuro.nn.heads import PlainHead
from neuro.nn.masks import valid_samples
from neuro.train.stages import Stage

__all__ = ["LaBraM"]


class LaBraM(NetworkModel):
    """Encoder of LaBraM for classification and regression.

    ``paper`` is the published base encoder, ``default`` the same with one
    learning rate for all layers: the published decay by 0.65 a layer suits
    weights that have been trained, and would leave the first layers of a
    random net where they are.

    LaBraM's own pretraining predicts the codes of a tokenizer that was trained
    before; it is not part of this package, so that `loss` needs targets.

    Channels are told by name, and any part of them in any order can be read by
    giving `encode` their `channel_index`; see :meth:`channel_index`. Absent
    channels and seconds take part in nothing, the norms of the patch encoder
    included; a second of which samples are missing has 0 there.

    Parameters
    ----------
    config : LaBraMConfig
        Sizes and channels.
    contract : InputContract, optional
        What the model accepts; by default the named channels, uV, 200 Hz.

    References
    ----------
    Jiang et al. (2024), "Large Brain Model for Learning Generic
    Representations with Tremendous EEG Data in BCI", arXiv:2405.18765.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("labram", preset="tiny", n_outputs=2)
    >>> out = model(20 * torch.randn(3, 4, 120))
    >>> tuple(out.tokens.shape), tuple(out.prediction.shape)
    ((3, 12, 20), (3, 2))
    """

    name: ClassVar[str] = "labram"
    config_class: ClassVar[type[NetworkConfig]] = LaBraMConfig
    supervised: ClassVar[bool] = True
    channel_rows: ClassVar[tuple[str, ...]] = ("encoder.own_rows",)
    reference: ClassVar[ReferenceSource] = SOURCE
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"layer_decay": 0.65},
        "default": {},
        "tiny": {
            "n_chans": 4,
            "n_times": 120,
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
            "drop_path": 0.0,
        },
    }

    config: LaBraMConfig

    def __init__(self, config: LaBraMConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self.encoder = LaBraMEncoder(config)
        if config.n_outputs:
            self.head = quiet_head(config)

    @classmethod
    def reference_tensors(
        cls, found: dict[str, Tensor], given: Mapping[str, Any]
    ) -> ReferenceWeights:
        """The authors' tensors under our names; see :mod:`neuro.models.labram.reference`."""
        return labram_tensors(found, given)

    @property
    def any_times(self) -> bool:
        """True: windows of any whole number of seconds for which there are rows."""
        return True

    def _check_shape(self, x: Tensor) -> None:
        super()._check_shape(x)
        config = self.config
        n_seconds, rest = divmod(x.shape[2], config.patch_times)
        if rest or n_seconds > config.time_rows:
            raise ContractError(
                f"{self.name} reads 1 to {config.time_rows} whole seconds of "
                f"{config.patch_times} samples and was given {x.shape[2]} samples; cut windows of "
                f"length_s = {min(max(n_seconds, 1), config.time_rows)}."
            )

    def inputs(self, batch: Batch | Tensor) -> Inputs:
        """Check a batch, its amplitude included; see :meth:`NetworkModel.inputs`.

        Raises
        ------
        UnitError
            If the values cannot be microvolts.
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
        """Embedding and tokens; see :meth:`NetworkModel.encode`."""
        valid = valid_samples(x, channel_mask, time_mask)
        x = network_units(x, valid, self.config.uv_per_unit)
        pooled, tokens = self.encoder(x, channel_index, valid)
        return pooled, tokens

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The supervised loss: there is no objective without targets."""
        return self.supervised_loss(batch, generator)

    def stages(self) -> dict[str, Stage]:
        """Everything, or the head alone."""
        if self.head is None:
            return {}
        return {
            "finetune": Stage((self.encoder, self.head), "supervised_loss"),
            "probe": Stage((self.head,), "supervised_loss"),
        }

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Rates that fall by `layer_decay` towards the input; see `layer_groups`."""
        last = self.config.depth + 1
        named = [(k, p, self.encoder.layer_of(k)) for k, p in self.encoder.named_parameters()]
        if self.head is not None:
            named += [(f"head.{k}", p, last) for k, p in self.head.named_parameters()]
        return layer_groups(lr, self.config.layer_decay, last, named)


def quiet_head(config: LaBraMConfig) -> PlainHead:
    """Linear head whose first predictions are nearly 0."""
    head = PlainHead(config.d_embedding, config.n_outputs)
    start_linear(head, config.init_std)
    with torch.no_grad():
        head.linear.weight.mul_(config.head_scale)
    return head


def rows_of(model: NetworkModel, ch_names: tuple[str, ...]) -> Tensor:
    """Rows of named channels in the model's own list; see `LaBraM.channel_index`."""
    own = model.config.ch_names or ()
    place = {name.upper(): i for i, name in enumerate(own)}
    rows = []
    for name in ch_names:
        row = place.get(name.strip().upper())
        row = place.get(canonical_eeg_name(name).upper()) if row is None else row
        if row is None:
            raise ContractError(
                f"{model.name} has no channel {name!r}; it has {', '.join(own) or 'no names'}. "
                "contract.conform(recording) renames, orders and masks."
            )
        rows.append(row)
    return torch.tensor(rows)
