"""What every estimator of this package shares: scikit-learn's manners, save and load."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from neuro.errors import ConfigError, FileError
from neuro.models._config import Config
from neuro.models._folder import CARD, described, read_card, read_weights, write_folder
from neuro.typing import PathLike

__all__ = ["EstimatorModel"]


class EstimatorModel:
    """Base of what is fitted by `fit` and not by gradient steps over batches.

    A subclass sets the class attributes and writes `fit`, which returns the
    estimator, and `predict`, `transform` or `score`. What it learned stands in
    attributes that end in an underscore and are named in `fitted`.

    Parameters
    ----------
    config : Config, optional
        Of the subclass's `config_class`.
    **values
        Fields of the configuration, instead of or over `config`.

    Attributes
    ----------
    name : str
        Registry name.
    presets : mapping of str to mapping
        What each preset sets.
    fitted : tuple of str
        Attributes that `fit` sets: arrays or numbers.
    noted : tuple of str
        Attributes that `fit` sets and that are plain JSON; kept in the description.
    takes_recordings : bool
        `fit` takes recordings themselves, for what is known about them, and ``stream``.
    short_past : bool
        It also learns from, and predicts, samples with less past than it could use.
    resumable : bool
        `fit` takes `out`, a folder where an interrupted fit goes on, and `progress`.
    provenance : dict
        What it was fitted to; goes with it to disk.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Config]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    fitted: ClassVar[tuple[str, ...]]
    noted: ClassVar[tuple[str, ...]] = ()
    takes_recordings: ClassVar[bool] = False
    short_past: ClassVar[bool] = False
    resumable: ClassVar[bool] = False

    config: Any

    def __init__(self, config: Config | None = None, **values: Any) -> None:
        base = {} if config is None else config.to_json()
        self.config = self.config_class.from_json(base | values)
        self.provenance: dict[str, Any] = {}

    def __repr__(self) -> str:
        plain = self.config_class().to_json()
        own = {k: v for k, v in self.config.to_json().items() if v != plain[k]}
        shown = ", ".join(f"{k}={v!r}" for k, v in own.items())
        return f"{type(self).__name__}({shown})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Fields of the configuration, as scikit-learn asks for them."""
        # the very objects: scikit-learn compares a copy's by identity
        return {f.name: getattr(self.config, f.name) for f in fields(self.config)}

    def set_params(self, **values: Any) -> Self:
        """Change fields of the configuration; what was fitted stays until the next `fit`."""
        self.config = self.config_class.from_json(self.config.to_json() | values)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """True after `fit`."""
        return all(hasattr(self, name) for name in self.fitted)

    def require_fitted(self) -> None:
        """Raise ConfigError before `fit`."""
        if not self.__sklearn_is_fitted__():
            raise ConfigError(f"This {type(self).__name__} is not fitted; call fit first.")

    def save(self, folder: PathLike) -> Path:
        """Write what was learned and its description as one folder, all or nothing.

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
        ConfigError
            Before `fit`.
        FileError
            If something else is in the way.
        """
        self.require_fitted()
        arrays = {n: torch.from_numpy(np.array(getattr(self, n))) for n in self.fitted}
        card = described(self)
        if self.noted:
            card["learned"] = {n: getattr(self, n) for n in self.noted}
        return write_folder(folder, card, arrays)

    @classmethod
    def from_folder(cls, folder: PathLike) -> Self:
        """Estimator as `save` wrote it; see :func:`neuro.models.load`.

        Raises
        ------
        FileError
            If the folder is malformed, incomplete or of another system.
        """
        path = Path(folder)
        card = read_card(path, cls.name)
        try:
            made = cls(cls.config_class.from_json(card["config"]))
        except ConfigError as error:
            raise FileError(f"The {CARD} of {path.name!r} cannot be used: {error}") from error
        tensors = read_weights(path)
        if set(tensors) != set(cls.fitted):
            odd = sorted(set(tensors) ^ set(cls.fitted))
            raise FileError(f"The weights in {path.name!r} do not fit the model: {odd}.")
        for name, value in tensors.items():
            array = value.numpy()
            setattr(made, name, array.item() if array.ndim == 0 else array)
        for name in cls.noted:
            if name not in (card.get("learned") or {}):
                raise FileError(f"The {CARD} of {path.name!r} says nothing of {name!r}.")
            setattr(made, name, card["learned"][name])
        made.provenance = dict(card.get("provenance") or {})
        return made
