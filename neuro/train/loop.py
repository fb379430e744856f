"""The fit loop's front door."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from neuro.errors import ConfigError
from neuro.train.callbacks import Callback
from neuro.train.engine import Precision
from neuro.train.feed import Source
from neuro.train.progress import wants_progress
from neuro.train.run import Run
from neuro.train.schedules import Shape
from neuro.train.settings import Arguments
from neuro.train.trainer import Trainer
from neuro.typing import PathLike, Seed

__all__ = ["fit"]


def fit(
    model: nn.Module,
    train: Source,
    valid: Source | None = None,
    *,
    steps: int,
    out: PathLike,
    batch_size: int = 64,
    optimizer: Literal["adamw", "lamb"] = "adamw",
    lr: float = 1e-3,
    schedule: Shape = "cosine",
    warmup: float = 0.05,
    weight_decay: float = 0.05,
    clip: float | None = 1.0,
    stage: str | None = None,
    seed: Seed = 0,
    checkpoint_every: int | None = None,
    valid_every: int | None = None,
    log_every: int = 10,
    keep: int = 2,
    precision: Precision = "no",
    accumulate: int = 1,
    num_workers: int = 0,
    resume: Literal["auto"] | bool = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    device: Literal["auto", "cpu"] = "auto",
    shard: bool = False,
) -> Run:
    """Train a model; go on exactly where an interrupted run stopped.

    Which examples a step sees, its masks and its dropout are functions of
    (seed, step, process), so the weights do not depend on interruptions,
    validations, logging or reading processes: on one CPU process an
    interrupted and resumed run ends with the same bits as an uninterrupted
    one. Ctrl-C and SIGTERM finish the step, write a checkpoint and then end
    the program as usual.

    On several GPUs or machines start the program with ``torchrun``; `out`
    must then be a folder that all processes see. The batch is shared out, so
    the learning rate needs no change.

    Parameters
    ----------
    model : nn.Module
        Needs ``loss(batch, generator) -> dict`` with a scalar under "loss"
        (other scalars are logged), ``save(folder)`` and
        ``load_weights(folder)``. Random numbers of the loss must be drawn
        from `generator`, which lives on the CPU. Optional hooks:
        ``param_groups(lr)``, ``stages()`` (see :class:`Stage`),
        ``on_step(step, total)``, called before each step;
        ``prepare(train, seed)``, called once before the first step unless the
        run is resumed or the model's provenance tells of earlier training;
        and the attribute
        ``every_parameter_used = True``, which makes several processes faster
        where no step leaves a parameter out of the loss. Trained in place.
    train, valid : Windows, or object with ``len`` and ``batch(indices)``
        `valid` must come from the training side of the evaluation's split.
    steps : int
        Optimiser steps of the whole run.
    out : path
        Run folder: settings, versions, hashes of the data, metrics.jsonl and
        checkpoints.
    batch_size : int
        Examples an optimiser step, over all processes and parts.
    optimizer : {"adamw", "lamb"}
        "lamb" gives each tensor steps in proportion to its weights, for large
        batches; see :class:`neuro.train.lamb.Lamb`.
    lr : float
        Peak learning rate.
    schedule : {"cosine", "constant"} or callable
        See :class:`neuro.train.schedules.Schedule`.
    warmup : float or int
        Share of the steps (float below 1) or number of steps (int).
    weight_decay : float
        On weights of two or more dimensions.
    clip : float, optional
        Largest norm of the gradient; None clips nothing.
    stage : str, optional
        One of the model's stages; all parameters if omitted.
    seed : int or Generator
        A Generator is asked for one number.
    checkpoint_every, valid_every : int, optional
        In steps; by default a tenth of the run, and as often as checkpoints.
        A new best validation loss is saved at once.
    log_every : int
        Steps a line of metrics.jsonl; losses are means over these steps.
    keep : int
        Newest checkpoints that stay, beside the best.
    precision : {"no", "bf16"}
        "bf16": forward pass under autocast, parameters in float32.
    accumulate : int
        Parts in which a step's batch is read, to save memory.
    num_workers : int
        Reading processes (a script then needs ``if __name__ == "__main__"``).
    resume : {"auto", True, False}
        "auto" resumes if `out` holds a run, True insists on it, False insists
        on a new one. Settings that change weights must be the same. A larger
        `steps` is accepted if the schedule gives the steps already done the
        same learning rate ("constant" with the warm-up in steps).
    callbacks : sequence of Callback
        Hooks, such as :class:`EarlyStopping`.
    progress : bool, optional
        Progress bar; by default if stderr is a terminal.
    device : {"auto", "cpu"}
        "auto" takes a GPU if there is one.
    shard : bool
        Spread parameters and moments over the processes (FSDP) instead of
        copying them (DDP).

    Returns
    -------
    Run
        The model holds the weights of the last step; ``run.load("best")``
        takes those of the best validation.

    Raises
    ------
    ConfigError
        If an argument is not usable, or `out` holds another run.
    TrainingError
        If the loss or the gradient stops being finite.
    FileError
        If a checkpoint does not fit the model.

    Examples
    --------
    >>> import tempfile, torch
    >>> from neuro.train import fit
    >>> class Mean(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.value = torch.nn.Parameter(torch.zeros(1))
    ...     def loss(self, batch, generator):
    ...         return {"loss": ((batch - self.value) ** 2).mean()}
    ...     def save(self, folder):
    ...         folder.mkdir()
    ...     def load_weights(self, folder):
    ...         return self
    >>> class Ones:
    ...     def __len__(self):
    ...         return 8
    ...     def batch(self, indices):
    ...         return torch.ones(len(indices), 1)
    >>> model = Mean()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit(model, Ones(), steps=40, batch_size=4, lr=0.1, out=folder, device="cpu")
    ...     run.metrics()[-1]["loss"] < 0.05
    True
    """
    arguments = Arguments(
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        clip=clip,
        stage=stage,
        seed=int(seed.integers(2**32)) if isinstance(seed, np.random.Generator) else seed,
        checkpoint_every=checkpoint_every,
        valid_every=valid_every,
        log_every=log_every,
        keep=keep,
        precision=precision,
        accumulate=accumulate,
        num_workers=num_workers,
        shard=shard,
        callbacks=tuple(callbacks),
    )
    _check_objects(model, train, valid, resume)
    trainer = Trainer(model, train, valid, arguments, Path(out), device)
    return trainer.run(resume, wants_progress(progress))


def _check_objects(
    model: nn.Module, train: Source, valid: Source | None, resume: Literal["auto"] | bool
) -> None:
    for name in ("save", "load_weights"):
        if not callable(getattr(model, name, None)):
            raise ConfigError(
                f"{type(model).__name__} has no method {name!r}; fit needs save(folder) and "
                "load_weights(folder) for its checkpoints. neuro.models' networks have both."
            )
    for name, source in (("train", train), ("valid", valid)):
        if source is not None and not callable(getattr(source, "batch", None)):
            raise ConfigError(
                f"{name} is a {type(source).__name__}; give Windows, or an object with len() and "
                "batch(indices)."
            )
    if valid is not None and not len(valid):
        raise ConfigError("valid holds no examples; leave it out to train without validation.")
    if resume not in ("auto", True, False):
        raise ConfigError(f"resume={resume!r} is unknown; use 'auto', True or False.")
