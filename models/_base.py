"""What every network of this package shares: checks at the door, save and load."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from neuro.data import Batch, InputContract, Windows, exact_rate
from neuro.errors import ConfigError, ContractError, DataError, FileError
from neuro.models._config import NetworkConfig
from neuro.models._folder import (
    CARD,
    compare,
    described,
    read_card,
    read_weights,
    write_folder,
)
from neuro.typing import PathLike, Seed

__all__ = ["Inputs", "NetworkModel", "Output", "evaluating"]


@dataclass(frozen=True, eq=False)
class Output:
    """What a forward pass returns.

    Parameters
    ----------
    embedding : Tensor, shape (batch, d_embedding)
        One vector a window.
    tokens : Tensor, shape (batch, n_tokens, d_model)
        One vector a token; zeros where the token is padding.
    prediction : Tensor, shape (batch, n_outputs), optional
        Output of the head, if the model has one.
    extras : dict of str to Tensor
        Whatever else the model wants to show.
    """

    embedding: Tensor
    tokens: Tensor
    prediction: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)


class Inputs(NamedTuple):
    """Arguments of `NetworkModel.encode`, checked.

    Attributes
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Values in the contract's unit.
    channel_mask : Tensor, shape (batch, n_chans), bool, or None
        None when every channel of every example is there.
    positions : Tensor, shape (batch, n_chans, 3), or None
        Metres.
    time_mask : Tensor, shape (batch, n_times), bool, or None
        None when no sample is missing.
    """

    x: Tensor
    channel_mask: Tensor | None
    positions: Tensor | None
    time_mask: Tensor | None


class NetworkModel(nn.Module):
    """Base of all networks.

    A subclass sets the class attributes, builds its layers from the
    configuration, and writes `encode` (tensors in, tensors out: what gets
    compiled and exported) and `loss`.

    Parameters
    ----------
    config : NetworkConfig
        Of the subclass's `config_class`.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Attributes
    ----------
    name : str
        Registry name.
    presets : mapping of str to mapping
        Configuration values a preset; every model has "paper", "default" and
        "tiny".
    order_free : bool
        True if reordering the channels together with their identity
        reorders the tokens and changes nothing else.
    channel_rows : tuple of str
        Weights with a row for each channel of the contract;
        :func:`neuro.models.adapt` moves the rows with the names.
    supervised : bool
        True if `loss` needs a head and targets: nothing can be learned from
        signals alone.
    head : nn.Module, optional
        From an embedding to a prediction; None without outputs.
    provenance : dict
        How the weights came about; a training loop fills it, `save` keeps it.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[NetworkConfig]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    order_free: ClassVar[bool] = True
    channel_rows: ClassVar[tuple[str, ...]] = ()
    supervised: ClassVar[bool] = False

    config: NetworkConfig
    contract: InputContract
    provenance: dict[str, Any]

    def __init__(self, config: NetworkConfig, contract: InputContract | None = None) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise ConfigError(
                f"{type(self).__name__} needs a {self.config_class.__name__}, "
                f"not {type(config).__name__}."
            )
        # not on the class: torch looks for modules only where nothing else has the name
        self.head: nn.Module | None = None
        self.config = config
        self.contract = contract or self.default_contract(config)
        self.provenance = {}

    @classmethod
    def default_contract(cls, config: NetworkConfig) -> InputContract:
        """Contract that follows from a configuration alone."""
        return InputContract(
            modality=config.modality,
            sfreq=exact_rate(config.sfreq),
            unit=config.unit,
            ch_names=config.ch_names,
            missing="mask",
        )

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Tensors in, (embedding, tokens) out; no checks, no Python objects.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Values in the contract's unit and order.
        channel_mask : Tensor, shape (batch, n_chans), bool, optional
            False where a channel is absent.
        positions : Tensor, shape (batch, n_chans, 3), optional
            Metres; NaN where unknown.
        time_mask : Tensor, shape (batch, n_times), bool, optional
            False where a sample is missing.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Row of each channel in the contract's list, when the channels of
            `x` come in another order or are only some of them.

        Returns
        -------
        embedding : Tensor, shape (batch, d_embedding)
            One vector a window.
        tokens : Tensor, shape (batch, n_tokens, d_model)
            One vector a token.
        """
        raise NotImplementedError

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Training objective under the key "loss", beside figures worth logging."""
        raise NotImplementedError

    def supervised_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of the head against the batch's target.

        Cross-entropy where the target is one class number a window and the
        head has several outputs, otherwise squared error. Missing targets do
        not count.

        Parameters
        ----------
        batch : Batch
            With a target.
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
        return self.prediction_loss(self(batch).prediction, batch)

    def prediction_loss(
        self, prediction: Tensor | None, batch: Batch | Tensor
    ) -> dict[str, Tensor]:
        """`supervised_loss` of a prediction that is there already.

        Parameters
        ----------
        prediction : Tensor, shape (batch, n_outputs), or None
            Of the head; None without one.
        batch : Batch
            With a target.

        Returns
        -------
        dict of str to Tensor
            As `supervised_loss`.

        Raises
        ------
        ConfigError
            If the model has no head or the batch no target.
        """
        if prediction is None:
            raise ConfigError(f"This {self.name} has no head; create it with n_outputs=...")
        if isinstance(batch, Tensor) or batch.target is None:
            raise ConfigError("The batch has no target; give windows(...) a label.")
        target = batch.target
        known = ~target.isnan()
        if target.ndim == 1 and prediction.shape[1] > 1:
            scores, classes = prediction[known].float(), target[known].long()
            hit = (scores.argmax(dim=1) == classes).float()
            loss = nn.functional.cross_entropy(scores, classes)
            return {"loss": loss, "accuracy": hit.mean().detach()}
        target = target.reshape(prediction.shape)
        known = known.reshape(prediction.shape)
        return {"loss": nn.functional.mse_loss(prediction.float()[known], target[known])}

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Learn from the training windows what comes before any step: scales.

        Call it once before training, and also before an untrained model is
        judged as a control. Most models need nothing.

        Parameters
        ----------
        train : Windows
            Training part only.
        seed : int or numpy Generator
            For models that read a sample.
        """

    def predict(self, embedding: Tensor) -> Tensor | None:
        """Output of the head; None for a model without one."""
        if self.head is None:
            return None
        out: Tensor = self.head(embedding)
        return out

    def forward(self, batch: Batch | Tensor) -> Output:
        """Check the input, encode it, apply the head.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            A bare tensor is taken to be in the contract's order, rate and unit.

        Returns
        -------
        Output
            Embedding, tokens and, with a head, the prediction.

        Raises
        ------
        ContractError
            If the batch is not what the model accepts.
        """
        embedding, tokens = self.encode(*self.inputs(batch))
        return Output(embedding, tokens, self.predict(embedding))

    def inputs(self, batch: Batch | Tensor) -> Inputs:
        """Check a batch against the contract and take it apart.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            What `forward` was given.

        Returns
        -------
        Inputs
            Arguments of `encode`; masks that hide nothing become None.

        Raises
        ------
        ContractError
            If names, number of channels, rate or unit differ.
        DataError
            If the array has the wrong shape or an example has no channel.
        """
        if isinstance(batch, Tensor):
            self._check_shape(batch)
            if not bool(batch.isfinite().all()):
                raise DataError(
                    "The tensor holds NaN or infinity. Missing samples are told by a mask: pass "
                    "a Batch, or call encode with channel_mask and time_mask."
                )
            return Inputs(batch, None, self._own_positions(batch), None)
        self.contract.check(batch)
        self._check_shape(batch.x)
        channels = None if bool(batch.channel_mask.all()) else batch.channel_mask
        times = None if bool(batch.time_mask.all()) else batch.time_mask
        for mask, what in ((channels, "channel"), (times, "sample")):
            if mask is not None and not bool(mask.any(dim=1).all()):
                empty = torch.nonzero(~mask.any(dim=1))[0].item()
                raise DataError(
                    f"Example {empty} of the batch has no valid {what}; leave such windows out."
                )
        return Inputs(batch.x, channels, batch.positions, times)

    def _check_shape(self, x: Tensor) -> None:
        if x.ndim != 3 or not x.shape[0] or not x.shape[2]:
            raise DataError(
                f"{self.name} reads (batch, channel, time); the array has shape {tuple(x.shape)}."
            )
        if not self.any_channels and x.shape[1] != self.config.n_chans:
            raise ContractError(
                f"{self.name} was built for {self.config.n_chans} channels and was given "
                f"{x.shape[1]}; use contract.conform(recording), or build it with "
                f"n_chans={x.shape[1]}."
            )

        if not self.any_times and x.shape[2] != self.config.n_times:
            raise ContractError(
                f"{self.name} was built for {self.config.n_times} samples and was given "
                f"{x.shape[2]}; cut windows of {self.config.n_times / self.config.sfreq:g} s."
            )

    @property
    def any_channels(self) -> bool:
        """True if the number of channels may differ from the configuration's."""
        return False

    @property
    def any_times(self) -> bool:
        """True if the number of samples may differ from the configuration's."""
        return False

    def _own_positions(self, x: Tensor) -> Tensor | None:
        if self.config.ch_positions is None:
            return None
        own = torch.tensor(self.config.ch_positions, dtype=torch.float32, device=x.device)
        return own.expand(x.shape[0], -1, -1)

    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    # -- disk ---------------------------------------------------------------

    def save(self, folder: PathLike) -> Path:
        """Write weights and description as one folder, all or nothing.

        Parameters
        ----------
        folder : path
            Made new; a folder that already holds a saved model is replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        FileError
            If something else is in the way.
        """
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        return write_folder(folder, self.describe(), tensors)

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as plain JSON."""
        return described(self) | {"contract": self.contract.to_json()}

    @classmethod
    def from_folder(cls, folder: PathLike) -> Self:
        """Model as `save` wrote it; see :func:`neuro.models.load`.

        Raises
        ------
        FileError
            If the folder is malformed, incomplete or of another system.
        """
        path = Path(folder)
        card = read_card(path, cls.name)
        if not isinstance(card.get("contract"), dict):
            raise FileError(f"The {CARD} of {path.name!r} has no usable field 'contract'.")
        try:
            config = cls.config_class.from_json(card["config"])
            contract = InputContract.from_json(card["contract"])
            # On "meta" nothing is allocated: sizes that a hostile or edited
            # file declares are compared with the weights before they cost memory.
            with torch.device("meta"):
                model = cls(config, contract)
        except Exception as error:  # sizes beyond what torch can count raise its own
            raise FileError(f"The {CARD} of {path.name!r} cannot be used: {error}") from error
        tensors = read_weights(path)
        compare(model.state_dict(), tensors, path)
        model.load_state_dict(tensors, assign=True)
        model.provenance = dict(card.get("provenance") or {})
        return model.eval()

    def load_weights(self, folder: PathLike, *, keep: tuple[str, ...] = ()) -> Self:
        """Copy the weights of a saved model of the same shape into this one.

        Parameters
        ----------
        folder : path
            What `save` wrote.
        keep : tuple of str
            Beginnings of names that keep their own values and may be missing
            in the file, for instance ``("head.",)`` before fine-tuning.

        Returns
        -------
        NetworkModel
            The model itself.

        Raises
        ------
        FileError
            If the folder holds another system or other shapes; the message
            lists what differs.
        """
        path = Path(folder)
        card = read_card(path, self.name)
        found = read_weights(path)
        own = self.state_dict()
        tensors = {k: v for k, v in found.items() if not k.startswith(keep or "\0")}
        tensors.update({k: v for k, v in own.items() if keep and k.startswith(keep)})
        compare(own, tensors, path)
        self.load_state_dict(tensors)
        # what the weights were trained on goes with them: evaluation asks for it
        self.provenance = dict(card.get("provenance") or {})
        return self


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients for a while: no dropout, no code moves.

    Parameters
    ----------
    module : nn.Module
        Every part of it goes back to the mode it was in.
    """
    training = [m for m in module.modules() if m.training]
    try:
        for m in training:
            m.training = False
        with torch.no_grad():
            yield
    finally:
        for m in training:
            m.training = True
