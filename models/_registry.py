"""The closed table of models: name to class, loaded when asked for."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.typing import PathLike

if TYPE_CHECKING:
    from neuro.data import InputContract
    from neuro.models._base import NetworkModel
    from neuro.models._estimator import EstimatorModel

__all__ = ["ModelInfo", "create", "info", "load", "model_class", "names"]

# name -> "module:class". Closed on purpose: neither a file nor a user names code.
_TABLE: dict[str, str] = {
    "ar_net": "neuro.models.ar_net:ARNet",
    "brainmae": "neuro.models.brainmae.model:BrainMAE",
    "demovae": "neuro.models.demovae.model:DemoVAE",
    "eegformer": "neuro.models.eegformer:EEGFormer",
    "fc_mae": "neuro.models.fc_mae.model:FCMAE",
    "femba": "neuro.models.femba.model:FEMBA",
    "labram": "neuro.models.labram.model:LaBraM",
    "neurobolt": "neuro.models.neurobolt.model:NeuroBOLT",
    "onehot_hmm_glm": "neuro.models.onehot_hmm_glm.model:OneHotHMMGLM",
    "patch_mae": "neuro.models.patch_mae:PatchMAE",
    "poisson_glm": "neuro.models.poisson_glm:PoissonGLM",
    "tfm_tokenizer": "neuro.models.tfm_tokenizer.model:TFMTokenizer",
}
_CARDS = Path(__file__).parent / "cards"
# Names with this beginning are braindecode's; which there are, it says itself.
_FOREIGN = "braindecode/"


@dataclass(frozen=True)
class ModelInfo:
    """What is known about a model without building it.

    Parameters
    ----------
    name : str
        Registry name.
    summary : str
        One sentence, the card's first.
    source : str
        ``module:class``.
    kind : {"network", "estimator"}
        Trained by :func:`neuro.train.fit`, or by its own ``fit``.
    presets : mapping of str to mapping
        What each preset sets.
    config : mapping of str to object
        Every configuration field with its default.
    card : str
        The whole model card, Markdown.
    """

    name: str
    summary: str
    source: str
    kind: Literal["network", "estimator"]
    presets: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    card: str


def names() -> list[str]:
    """Names of all models of this package (exported as ``neuro.models.list``).

    Those of braindecode are not among them: `create` knows them as
    ``braindecode/<Class>``, and asking which there are would import it.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> {"ar_net", "patch_mae"} <= set(names())
    True
    """
    return sorted(_TABLE)


def model_class(name: str) -> "type[NetworkModel | EstimatorModel]":
    """Class of a model.

    Parameters
    ----------
    name : str
        Registry name.

    Returns
    -------
    type
        The class; its file is imported now.

    Raises
    ------
    ConfigError
        If there is no such model.
    MissingDependencyError
        If it is braindecode's, and braindecode does not load.
    """
    if str(name).startswith(_FOREIGN):
        from neuro.models._braindecode import network_class

        return network_class(name)
    if name not in _TABLE:
        raise ConfigError(f"No model is called {name!r}. {did_you_mean(str(name), _TABLE)}")
    module, _, attribute = _TABLE[name].partition(":")
    found: type[NetworkModel | EstimatorModel] = getattr(importlib.import_module(module), attribute)
    return found


def info(name: str) -> ModelInfo:
    """Describe a model.

    Parameters
    ----------
    name : str
        Registry name.

    Returns
    -------
    ModelInfo
        Summary, presets, configuration and card.

    Raises
    ------
    ConfigError
        If there is no such model.

    Examples
    --------
    >>> sorted(info("patch_mae").presets)
    ['default', 'paper', 'tiny']
    """
    cls = model_class(name)
    if name.startswith(_FOREIGN):
        return _foreign_info(name, cls)
    card = (_CARDS / f"{name}.md").read_text(encoding="utf-8")
    summary = next(line for line in card.splitlines() if line and not line.startswith("#"))
    defaults = {f.name: f.default for f in fields(cls.config_class)}
    kind: Literal["network", "estimator"] = "network" if _is_network(cls) else "estimator"
    return ModelInfo(name, summary, _TABLE[name], kind, dict(cls.presets), defaults, card)


def create(
    name: str,
    preset: str = "default",
    *,
    contract: "InputContract | None" = None,
    chs_info: Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
    **config: Any,
) -> Any:
    """Build a model: a network with random weights, or an estimator to be fitted.

    Parameters
    ----------
    name : str
        Registry name, see :func:`neuro.models.list`; or ``braindecode/<Class>``,
        for instance ``"braindecode/EEGNet"``, where the extra `braindecode` is installed.
    preset : str
        "paper", "default" or "tiny"; none needs another argument. Networks of
        braindecode have "default" alone.
    contract : InputContract, optional
        Networks: what is to be accepted, for instance ``windows.contract()``:
        sets rate, unit, modality and channels, and is kept in the model.
    chs_info : sequence of mapping, optional
        Networks: channels as MNE's ``info["chs"]`` and braindecode describe them: names
        (``ch_name``) and positions (``loc``).
    seed : int
        Of all that is random; torch's global generator is left alone.
    **config
        Fields of the model's configuration; they override the preset.

    Returns
    -------
    NetworkModel or EstimatorModel
        A network is in training mode, as torch modules are.

    Raises
    ------
    ConfigError
        If a name is unknown or values do not go together.

    Examples
    --------
    >>> model = create("patch_mae", preset="tiny", n_chans=4, n_times=100, sfreq=100)
    >>> model.config.n_chans
    4
    """
    cls: Any = model_class(name)
    if preset not in cls.presets:
        raise ConfigError(f"{name} has no preset {preset!r}. {did_you_mean(preset, cls.presets)}")
    if not _is_network(cls):
        if contract is not None or chs_info is not None:
            raise ConfigError(f"{name} is an estimator: it learns its channels from what it fits.")
        return cls(cls.config_class.from_json({"seed": seed, **cls.presets[preset], **config}))
    given = {**_from_contract(contract), **_from_chs_info(chs_info), **config}
    if given.get("ch_names") and "n_chans" not in given:
        given["n_chans"] = 0  # as many as there are names, not the preset's
    built = cls.config_class.from_json({**cls.presets[preset], **given})
    _check_agreement(contract, built)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(built, contract)


def load(folder: PathLike) -> Any:
    """Open a saved model.

    Parameters
    ----------
    folder : path
        What ``model.save(folder)`` wrote.

    Returns
    -------
    NetworkModel or EstimatorModel
        A network is on the CPU, in eval mode.

    Raises
    ------
    DataUnavailableError
        If there is no such folder.
    FileError
        If it holds no model of this package, or a damaged one.
    MissingDependencyError
        If it is a network of braindecode, and braindecode does not load.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "model")
    >>> path = create("patch_mae", preset="tiny").save(folder)
    >>> load(folder).name
    'patch_mae'
    """
    from neuro.models._folder import read_card

    name = read_card(Path(folder))["name"]
    try:
        cls = model_class(name)
    except ConfigError as error:
        raise FileError(
            f"{Path(folder).name!r} holds a model called {name!r}, which this version does not "
            f"know. {error}"
        ) from error
    return cls.from_folder(folder)


def _foreign_info(name: str, cls: Any) -> ModelInfo:
    from neuro.models._braindecode import describe

    summary, card, options = describe(name)
    own = {f.name: f.default for f in fields(cls.config_class) if f.name != "options"}
    source = f"braindecode.models:{name.removeprefix(_FOREIGN)}"
    return ModelInfo(name, summary, source, "network", dict(cls.presets), own | options, card)


def _is_network(cls: Any) -> bool:
    from neuro.models._base import NetworkModel

    return issubclass(cls, NetworkModel)


def _from_contract(contract: "InputContract | None") -> dict[str, Any]:
    if contract is None:
        return {}
    found: dict[str, Any] = {
        "modality": contract.modality,
        "sfreq": float(contract.sfreq),
        "unit": contract.scaled_unit,
    }
    if contract.ch_names is not None:
        found["ch_names"] = contract.ch_names
    if contract.n_times is not None:
        found["n_times"] = contract.n_times
    return found


def _from_chs_info(chs_info: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    if chs_info is None:
        return {}
    try:
        ch_names = tuple(str(ch["ch_name"]) for ch in chs_info)
    except (KeyError, TypeError) as error:
        raise ConfigError(
            "chs_info is a list of dictionaries with at least 'ch_name', as in MNE's info['chs']."
        ) from error
    found: dict[str, Any] = {"n_chans": len(ch_names), "ch_names": ch_names}
    places = [tuple(float(v) for v in ch.get("loc", ())[:3]) for ch in chs_info]
    # MNE writes zeros or NaN where it knows no position
    if places and all(len(p) == 3 and any(p) and all(map(math.isfinite, p)) for p in places):
        found["ch_positions"] = tuple(places)
    return found


def _check_agreement(contract: "InputContract | None", config: Any) -> None:
    """A contract and explicit fields must not contradict each other."""
    if contract is None:
        return
    for field, value in _from_contract(contract).items():
        if getattr(config, field) != value:
            raise ConfigError(
                f"{field} = {getattr(config, field)!r} contradicts the contract's {value!r}; "
                "give one of them."
            )
