"""What turns training windows into a function from windows to regions."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neuro.data import PairedWindows
from neuro.errors import ConfigError, DataError
from neuro.evaluate.contenders.sources import is_module
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Learner", "Predict", "TrainedNetwork", "checked", "learner_of", "network_predict"]

Predict: TypeAlias = Callable[[PairedWindows], FloatArray]
Learner: TypeAlias = Callable[[PairedWindows], Any]

_BATCH = 32


def network_predict(model: "nn.Module") -> Predict:
    """A network's head as a function of windows.

    Parameters
    ----------
    model : nn.Module
        Its forward takes a Batch and returns an object with `prediction`, or a
        tensor, (batch, roi).

    Returns
    -------
    callable(PairedWindows) -> ndarray, shape (n, roi)

    Raises
    ------
    ConfigError
        If a forward pass gives no prediction.
    """
    import torch

    def predict(pairs: PairedWindows) -> FloatArray:
        model.eval()
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        parts = []
        with torch.no_grad():
            for a in range(0, len(pairs), _BATCH):
                rows = np.arange(a, min(a + _BATCH, len(pairs)))
                out = model(pairs.batch(rows).to(device))
                said = getattr(out, "prediction", out)
                if not isinstance(said, torch.Tensor):
                    raise ConfigError(
                        f"{type(model).__name__} gives no prediction: create it with "
                        "n_outputs= as many as there are regions, and train it."
                    )
                parts.append(said.float().cpu().numpy())
        return np.asarray(np.concatenate(parts), dtype=np.float64)

    return predict


@dataclass(frozen=True)
class TrainedNetwork:
    """A registered network, trained on the training part of every fold to predict its regions.

    Parameters
    ----------
    model, preset : str
        As in :func:`neuro.models.create`.
    steps, batch_size : int
        Of :func:`neuro.train.fit`.
    lr : float
        Peak learning rate.
    seed : int
        Of weights and training.
    config : mapping
        Fields of the model's configuration.

    Examples
    --------
    >>> TrainedNetwork("neurobolt", "tiny", steps=10).model
    'neurobolt'
    """

    model: str
    preset: str = "default"
    steps: int = 300
    batch_size: int = 16
    lr: float = 3e-4
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, train: PairedWindows) -> Predict:
        """Train on these windows."""
        from neuro import models
        from neuro.train import fit

        network = models.create(
            self.model,
            self.preset,
            contract=train.contract(),
            seed=self.seed,
            **{"n_outputs": len(train.target_axis), **self.config},
        )
        with tempfile.TemporaryDirectory(prefix="neuro-fold-") as folder:
            fit(
                network,
                train,
                steps=self.steps,
                batch_size=min(self.batch_size, len(train)),
                lr=self.lr,
                seed=self.seed,
                out=folder,
                progress=False,
            )
        return network_predict(network)


def learner_of(name: str, model: Any) -> Learner:
    """A model in any form as a function of the training windows.

    Parameters
    ----------
    name : str
        For messages.
    model : object
        A trained network (used as it is); or a function from training windows
        to a trained network or to a function from windows to regions.

    Returns
    -------
    callable(PairedWindows) -> callable(PairedWindows) -> ndarray

    Raises
    ------
    ConfigError
        If the model is neither.
    """
    if is_module(model):
        predict = network_predict(model)
        return lambda train: predict
    if not callable(model):
        raise ConfigError(
            f"Model {name!r} is a {type(model).__name__}. Pass a trained network, or a function of "
            "the training windows that returns a network or a function of windows."
        )

    def learned(train: PairedWindows) -> Predict:
        made = model(train)
        if is_module(made):
            return network_predict(made)
        if not callable(made):
            raise ConfigError(
                f"Model {name!r} was called with training windows and returned a "
                f"{type(made).__name__}, not a network or a function of windows."
            )
        return made  # type: ignore[no-any-return]

    return learned


def checked(said: Any, pairs: PairedWindows, name: str) -> FloatArray:
    """Predictions of every window and region, finite.

    Raises
    ------
    DataError
        If the shape is another, or a value not finite.
    """
    value = np.asarray(said, dtype=np.float64)
    want = (len(pairs), len(pairs.target_axis))
    if value.shape == (len(pairs),) and want[1] == 1:
        value = value[:, None]
    if value.shape != want or not np.isfinite(value).all():
        raise DataError(
            f"{name}: predictions have shape {value.shape} for {want}, or are not finite."
        )
    return value
