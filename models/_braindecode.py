"""braindecode's networks under this package's contract, as ``braindecode/<Class>``.

>>> import neuro
>>> neuro.models.create("braindecode/EEGNet", n_chans=22, n_times=1000)  # doctest: +SKIP

braindecode is imported when such a name is first asked for, and never before.
Which classes there are is what braindecode itself exports; no file and no user
names an import path. What braindecode's networks lack is put around them: the
contract at the door, a scale, masks, an embedding, save and load without pickle.
"""

import copy
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from neuro.data import Batch, InputContract, Windows
from neuro.data.channels import eeg_positions
from neuro.errors import ConfigError, FileError, MissingDependencyError, did_you_mean
from neuro.models._base import NetworkModel, Output
from neuro.models._config import NetworkConfig
from neuro.models._folder import CARD, compare, read_card, read_weights
from neuro.nn.masks import valid_samples
from neuro.nn.scaling import Scaling
from neuro.train.stages import Stage
from neuro.typing import PathLike, Seed

__all__ = ["PREFIX", "BraindecodeConfig", "BraindecodeNetwork", "describe", "network_class"]

PREFIX = "braindecode/"

Option: TypeAlias = bool | int | float | str | tuple[int | float | str, ...] | None

# Arguments that every class shares and that our configuration has fields for.
_COMMON = {"n_chans", "n_times", "n_outputs", "sfreq", "chs_info", "input_window_seconds"}
# Not networks of their own, or networks that fetch files from a hub while they are built.
_LEFT_OUT = {"EEGModuleMixin", "InterpolatedModel", "REVE", "STEEGFormer"}
# Where an argument of theirs is a class, one of these names may be given.
_LAYERS = ("ELU", "GELU", "Identity", "LeakyReLU", "ReLU", "SiLU", "Tanh")
# Windows that the scale is learned from, as in patch_mae.
_SCALE_WINDOWS = 512


@dataclass(frozen=True, kw_only=True)
class BraindecodeConfig(NetworkConfig):
    """Configuration of a `BraindecodeNetwork`.

    Parameters
    ----------
    model : str
        Class of ``braindecode.models``.
    normalize : {"fixed", "window", "channel", "none"}
        braindecode's networks do not scale their input; its tutorials feed
        microvolts brought to about unit size. "fixed" (our default): centre and
        scale of each channel in the training data, kept in the model; "window",
        "channel": each window by itself; "none": values in the contract's unit as
        they are, for weights or recipes that expect that.
    clip : float
        Normalised values are limited to plus or minus this; not with "none".
    options : tuple of (name, value)
        Further arguments of the class; given to `create` by their own names.
        Where braindecode takes a layer class, its name in ``torch.nn``.
    """

    model: str = "EEGNet"
    normalize: Literal["fixed", "window", "channel", "none"] = "fixed"
    clip: float = 20.0
    options: tuple[tuple[str, Option], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("n_outputs", self.n_outputs >= 1, "1 or more: these networks end in a head")
        self.require("clip", self.clip > 0, "a positive number")
        known = _arguments(self.model)
        for name, value in self.options:
            if name not in known:
                fields = [*known, *NetworkConfig.__dataclass_fields__, "normalize", "clip"]
                raise ConfigError(
                    f"{PREFIX}{self.model} has no field {name!r}. {did_you_mean(name, fields)}"
                )
            if inspect.isclass(known[name].default) and value not in _LAYERS:
                raise ConfigError(f"{name} = {value!r}. {did_you_mean(str(value), _LAYERS)}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Configuration from plain values; what is no field of ours is an option.

        Parameters
        ----------
        values : mapping
            Fields, and arguments of the braindecode class by their own names.

        Returns
        -------
        BraindecodeConfig

        Raises
        ------
        ConfigError
            If a name belongs to neither, or a value is unusable.
        """
        own = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        extra = tuple((k, v) for k, v in values.items() if k not in own)
        return cls(**own | {"options": (*own.get("options", ()), *extra)})


class BraindecodeNetwork(NetworkModel):
    """A network of braindecode; its subclasses are made by `network_class`.

    The embedding is what the layer ``final_layer`` is given, flattened; for
    the few classes without a layer of that name it is the output itself.
    Missing channels and samples become 0 after scaling, which is their mean.

    Parameters
    ----------
    config : BraindecodeConfig
        Sizes, scale and options.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Raises
    ------
    ConfigError
        If braindecode cannot build the class with these sizes, or its output is
        not one row of numbers a window.
    """

    config_class: ClassVar[type[NetworkConfig]] = BraindecodeConfig
    presets: ClassVar[dict[str, dict[str, Any]]]
    order_free: ClassVar[bool] = False

    config: BraindecodeConfig

    def __init__(self, config: BraindecodeConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self.scaling: Scaling | None = None
        if config.normalize != "none":
            self.scaling = Scaling(
                config.normalize,
                n_rows=config.n_chans,
                typical=20.0 if config.unit == "uV" else 1.0,
                clip=config.clip,
            )
        self.network = _built(config)
        self._check_output()

    def __reduce__(self) -> tuple[Any, ...]:
        # The subclass exists only here, and torch refuses to pickle layers with constraints:
        # another process builds the network again and fills in its weights.
        state = (self.state_dict(), self.training, self.provenance)
        return _again, (self.config, self.contract), state

    def __setstate__(self, state: tuple[dict[str, Tensor], bool, dict[str, Any]]) -> None:
        tensors, training, self.provenance = state
        self.load_state_dict(tensors)
        self.train(training)

    def __deepcopy__(self, memo: dict[int, Any]) -> "BraindecodeNetwork":
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        try:
            made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        except RuntimeError:  # some keep tensors they computed while being built
            made = _again(self.config, self.contract)
            made.__setstate__(self.__reduce__()[2])
            memo[id(self)] = made
        return made

    def _check_output(self) -> None:
        """Run it once: braindecode tells of impossible sizes only then."""
        example = torch.zeros(1, self.config.n_chans, self.config.n_times, device=self._device)
        mode = self.training
        try:
            with torch.no_grad():
                prediction, _ = self.eval()._through(example)
        except Exception as error:  # whatever a foreign forward pass raises
            raise ConfigError(_impossible(self.config, error)) from error
        finally:
            self.train(mode)
        if prediction.shape != (1, self.config.n_outputs):
            raise ConfigError(
                f"{self.name} gives an output of shape {tuple(prediction.shape[1:])} a window, not "
                f"n_outputs = {self.config.n_outputs} numbers; this bridge has no use for it."
            )

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def stages(self) -> dict[str, Stage]:
        """Supervised training of everything, or of the last layer alone."""
        found = {"finetune": Stage((self.network,), "supervised_loss")}
        final = getattr(self.network, "final_layer", None)
        if isinstance(final, nn.Module) and any(True for _ in final.parameters()):
            found["probe"] = Stage((final,), "supervised_loss")
        return found

    def prepare(self, train: Windows, seed: Seed = 0) -> None:
        """Fit the fixed scale to a sample of the training windows.

        Parameters
        ----------
        train : Windows
            Training part only.
        seed : int or numpy Generator
            Which windows are read.
        """
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(train), min(len(train), _SCALE_WINDOWS), replace=False)
        self.fit_scale(train.batch(np.sort(rows)))

    def fit_scale(self, batch: Batch | Tensor) -> None:
        """Set centre and scale of ``normalize="fixed"`` from training windows.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Training windows; a few hundred are plenty.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        if self.scaling is not None:
            valid = valid_samples(x, channel_mask, time_mask)
            self.scaling.fit(x[:, :, None], None if valid is None else valid[:, :, None])

    def _through(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Prediction, and the embedding caught on its way into the last layer."""
        valid = valid_samples(x, channel_mask, time_mask)
        if valid is not None:  # where, not a product: what stands under a mask may be NaN
            x = torch.where(valid, x, torch.zeros_like(x))
        if self.scaling is not None:
            there = None if valid is None else valid[:, :, None]
            x = self.scaling(x[:, :, None], there, None, channel_index)[0][:, :, 0]
        x = self._in_place(x, channel_index)
        caught: list[Tensor] = []
        final = getattr(self.network, "final_layer", None)
        if not isinstance(final, nn.Module):
            prediction: Tensor = self.network(x)
            return prediction, prediction.flatten(1)

        def keep(_: nn.Module, given: tuple[Any, ...]) -> None:
            caught.append(given[0])

        hook = final.register_forward_pre_hook(keep)
        try:
            prediction = self.network(x)
        finally:
            hook.remove()
        return prediction, (caught[-1] if caught else prediction).flatten(1)

    def _in_place(self, x: Tensor, channel_index: Tensor | None) -> Tensor:
        """Channels in the contract's order; absent ones are 0."""
        missing = self.config.n_chans - x.shape[1]
        if channel_index is not None:
            full = x.new_zeros(x.shape[0], self.config.n_chans, x.shape[2])
            return full.index_copy(1, channel_index, x)
        return nn.functional.pad(x, (0, 0, 0, missing)) if missing else x

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding, also as the one token; see :meth:`NetworkModel.encode`."""
        _, embedding = self._through(x, channel_mask, positions, time_mask, channel_index)
        return embedding, embedding[:, None]

    def forward(self, batch: Batch | Tensor) -> Output:
        """Embedding and prediction; see :meth:`NetworkModel.forward`."""
        prediction, embedding = self._through(*self.inputs(batch))
        return Output(embedding, embedding[:, None], prediction)

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Raise ConfigError: these networks learn from labels alone."""
        raise ConfigError(
            f"{self.name} learns from labels only: train it with stage='finetune'; or evaluate it "
            "with 0 steps of training and probe=FineTune('full') (in YAML: steps: 0 and "
            "probe: {mode: full})."
        )

    def supervised_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss against the target; see :meth:`NetworkModel.supervised_loss`."""
        scaling = self.scaling
        if self.training and scaling and scaling.kind == "fixed" and not bool(scaling.known):
            self.fit_scale(batch)
        return super().supervised_loss(batch, generator)

    # -- disk ---------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as plain JSON; braindecode's version too."""
        card = super().describe()
        return card | {"versions": card["versions"] | {"braindecode": _models().__version__}}

    @classmethod
    def from_folder(cls, folder: PathLike) -> Self:
        """Model as `save` wrote it; see :func:`neuro.models.load`.

        Raises
        ------
        FileError
            If the folder is malformed, incomplete or of another system.
        """
        path = Path(folder)
        card, tensors = read_card(path, cls.name), read_weights(path)
        try:
            config = BraindecodeConfig.from_json(card["config"])
            if config.model != cls.name.removeprefix(PREFIX):
                raise ConfigError(f"it says model = {config.model!r}, not {cls.name!r}.")
            contract = InputContract.from_json(card.get("contract") or {})
            _compare_sizes(config, tensors, path)
            with torch.random.fork_rng(devices=[]):
                model = cls(config, contract)
        except FileError:
            raise
        except Exception as error:  # sizes beyond what torch can count raise its own
            raise FileError(f"The {CARD} of {path.name!r} cannot be used: {error}") from error
        compare(model.state_dict(), tensors, path)
        model.load_state_dict(tensors)
        model.provenance = dict(card.get("provenance") or {})
        return model.eval()


def network_class(name: str) -> type[BraindecodeNetwork]:
    """Class for a name such as ``braindecode/EEGNet``.

    Parameters
    ----------
    name : str
        With the prefix.

    Returns
    -------
    type
        Subclass of `BraindecodeNetwork`, the same one for the same name.

    Raises
    ------
    MissingDependencyError
        If braindecode is not installed or does not load.
    ConfigError
        If it exports no network of that name.
    """
    return _subclass(name.removeprefix(PREFIX))


@functools.cache
def _subclass(model: str) -> type[BraindecodeNetwork]:
    _foreign(model)
    facts = {
        "__doc__": f"braindecode's {model}; see `BraindecodeNetwork`.",
        "__module__": __name__,
        "name": PREFIX + model,
        # two outputs are our default; the rest is braindecode's own
        "presets": {"default": {"model": model, "n_outputs": 2}},
    }
    return type(f"Braindecode{model}", (BraindecodeNetwork,), facts)


def _again(config: BraindecodeConfig, contract: InputContract) -> BraindecodeNetwork:
    with torch.random.fork_rng(devices=[]):
        return _subclass(config.model)(config, contract)


def describe(name: str) -> tuple[str, str, dict[str, Any]]:
    """Summary, card and configuration of a network of braindecode.

    Parameters
    ----------
    name : str
        With the prefix.

    Returns
    -------
    summary, card : str
        From braindecode's own documentation.
    config : dict
        Arguments of the class that may be given, with braindecode's defaults.
    """
    cls = _foreign(name.removeprefix(PREFIX))
    text = inspect.cleandoc(cls.__doc__ or "")
    summary = text.partition("\n\n")[0].replace("\n", " ")
    options = {k: p.default for k, p in _arguments(cls.__name__).items()}
    shown = {k: v.__name__ if inspect.isclass(v) else v for k, v in options.items()}
    return summary, f"# {name}\n\n{text}\n", shown


# ---- braindecode -------------------------------------------------------------


def _models() -> Any:
    """braindecode, imported; or what to install."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own use of older names of MNE
            import braindecode
            import braindecode.models
    except Exception as error:  # a library of another build raises OSError
        # what was half imported would give the next attempt another, misleading error
        for name in [n for n in sys.modules if n.partition(".")[0] == "braindecode"]:
            del sys.modules[name]
        raise MissingDependencyError(_remedy(error)) from error
    return braindecode


def _remedy(error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, ModuleNotFoundError) and error.name == "braindecode":
        return 'braindecode is not installed: pip install "neuro-fm[braindecode]"'
    if "torchaudio" in str(error):
        return (
            f"braindecode does not load, because torchaudio does not ({first}). It needs the "
            f"torchaudio of the same release and build as torch {torch.__version__}: pip install "
            "--no-deps torchaudio==X from the index torch came from. Where there is none, install "
            "a torch that has one (2.11 with 2.11 works)."
        )
    return f"braindecode does not load ({first}). Run: neuro doctor"


def _names() -> list[str]:
    module = _models().models
    return [
        n
        for n in module.__all__
        if inspect.isclass(getattr(module, n))
        and issubclass(getattr(module, n), nn.Module)
        and n not in _LEFT_OUT
    ]


def _foreign(model: str) -> Any:
    """The class of that name, out of those that braindecode exports."""
    names = _names()
    if model not in names:
        why = " It fetches files from a hub while it is built." if model in _LEFT_OUT else ""
        raise ConfigError(
            f"No model is called {PREFIX + model!r}.{why} {did_you_mean(model, names)}"
        )
    return getattr(_models().models, model)


def _arguments(model: str) -> dict[str, inspect.Parameter]:
    """Arguments of a class beyond those that all share."""
    found = inspect.signature(_foreign(model).__init__).parameters
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    left_out = _COMMON | {"self"}
    return {k: p for k, p in found.items() if p.kind in plain and k not in left_out}


def _built(config: BraindecodeConfig) -> nn.Module:
    """The network itself, told what it asks for and we know."""
    cls = _foreign(config.model)
    known = _arguments(config.model)
    accepted = inspect.signature(cls.__init__).parameters
    given = {k: getattr(config, k) for k in ("n_chans", "n_times", "n_outputs", "sfreq")}
    given["chs_info"] = _chs_info(config)
    arguments = {k: v for k, v in given.items() if k in accepted and v is not None}
    for name, value in config.options:
        layer = inspect.isclass(known[name].default)
        arguments[name] = getattr(nn, str(value)) if layer else value
    try:
        with warnings.catch_warnings():
            # a default of theirs that is to change is no business of our caller
            for kind in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            built: nn.Module = cls(**arguments)
    except Exception as error:  # whatever a foreign constructor raises
        raise ConfigError(_impossible(config, error)) from error
    return built


def _impossible(config: BraindecodeConfig, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
    places = "" if _chs_info(config) else " Some networks need ch_names with known positions."
    return (
        f"{PREFIX}{config.model} does not work with n_chans = {config.n_chans}, n_times = "
        f"{config.n_times}, n_outputs = {config.n_outputs}, sfreq = {config.sfreq:g}: "
        f"{first}.{places}"
    )


def _chs_info(config: BraindecodeConfig) -> list[dict[str, Any]] | None:
    """Names and positions as MNE writes them; None where a position is not known."""
    if config.ch_names is None:
        return None
    places = config.ch_positions or eeg_positions(config.ch_names)
    table = np.asarray(places, dtype=np.float64)
    if table.shape != (config.n_chans, 3) or not np.isfinite(table).all():
        return None
    rest = np.full(9, math.nan)  # an electrode has no reference position or coil axes
    return [
        {"ch_name": name, "kind": "eeg", "loc": np.concatenate([place, rest])}
        for name, place in zip(config.ch_names, table, strict=True)
    ]


def _compare_sizes(config: BraindecodeConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Sizes that a file declares, compared with its weights before they cost memory.

    On "meta" nothing is allocated. Some classes compute with values while they
    are built and cannot stand there; theirs are compared when they are built.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, by the network that stays
            shadow = _built(config)
    except ConfigError:
        return
    own = {f"network.{k}": v for k, v in shadow.state_dict().items()}
    found = {k: v for k, v in tensors.items() if k.startswith("network.")}
    compare(own, found, path)
