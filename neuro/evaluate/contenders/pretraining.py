"""A registered network that is trained on the training part of every fold."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuro import models
from neuro.data import Windows

__all__ = ["TrainedInside"]


@dataclass(frozen=True)
class TrainedInside:
    """A network trained anew, without labels, on the training part of every fold.

    Pass it to :func:`neuro.evaluate.evaluate` as a model: what it is tested on
    it has never seen.

    Parameters
    ----------
    model, preset : str
        Registered model and its preset.
    steps, batch_size : int
        Of :func:`neuro.train.fit`. With 0 steps the weights stay as they are
        drawn, and only scales are learned: for networks that learn from labels
        alone, with ``probe=FineTune("full")``.
    lr : float
        Peak learning rate.
    seed : int
        Of weights and training.
    config : mapping
        Fields of the model's configuration.

    Examples
    --------
    >>> TrainedInside("patch_mae", "tiny", steps=10).model
    'patch_mae'
    """

    model: str
    preset: str = "default"
    steps: int = 300
    batch_size: int = 64
    lr: float = 1e-3
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    def create(self, train: Windows) -> Any:
        """The model with random weights."""
        return models.create(
            self.model, self.preset, contract=train.contract(), seed=self.seed, **self.config
        )

    def __call__(self, train: Windows) -> Any:
        """The trained model."""
        from neuro.train import fit

        model = self.create(train)
        if not self.steps:
            model.prepare(train, self.seed)
            return model
        with tempfile.TemporaryDirectory(prefix="neuro-fold-") as folder:
            fit(
                model,
                train,
                steps=self.steps,
                batch_size=self.batch_size,
                lr=self.lr,
                seed=self.seed,
                out=folder,
                progress=False,
            )
        return model
