"""Stages of a recipe: which part is trained, by which loss."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from neuro.errors import ConfigError, did_you_mean

__all__ = ["Stage", "parameter_groups", "pick_stage", "prepared"]


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe, as a model's ``stages()`` returns it.

    Parameters
    ----------
    train : tuple of nn.Module and nn.Parameter
        What learns; all else is frozen, and modules outside are in eval mode
        (no dropout, no running statistics).
    loss : str
        Name of the model's method to minimise; called as ``loss`` is.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> Stage((model[0],)).loss
    'loss'
    """

    train: tuple[nn.Module | nn.Parameter, ...]
    loss: str = "loss"

    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns, each once."""
        found: dict[int, nn.Parameter] = {}
        for part in self.train:
            parts = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
            found.update({id(p): p for p in parts})
        return list(found.values())

    def set_mode(self, model: nn.Module) -> None:
        """Training mode for what learns, eval mode for what is frozen."""
        modules = [part for part in self.train if isinstance(part, nn.Module)]
        if not modules:  # single parameters say nothing about the layers around them
            model.train()
            return
        model.eval()
        model.training = True
        for module in modules:
            module.train()


def pick_stage(model: nn.Module, name: str | None) -> Stage:
    """The stage of that name; without one, everything that may learn.

    Parameters
    ----------
    model : nn.Module
        Its ``stages()``, if it has one, maps names to :class:`Stage`.
    name : str, optional
        Which stage.

    Returns
    -------
    Stage

    Raises
    ------
    ConfigError
        If the model has no such stage, the stage's loss is no method of the
        model, or nothing in it learns.
    """
    if name is None:
        stage = Stage((model,))
        learning = any(p.requires_grad for p in stage.parameters())
    else:
        hook = getattr(model, "stages", None)
        stages: Mapping[str, Stage] = hook() if callable(hook) else {}
        if name not in stages:
            raise ConfigError(
                f"{type(model).__name__} has no stage {name!r}. {did_you_mean(name, stages)}"
            )
        stage = stages[name]
        learning = bool(stage.parameters())
    if not callable(getattr(model, stage.loss, None)):
        raise ConfigError(
            f"{type(model).__name__} has no method {stage.loss!r}; fit needs "
            f"{stage.loss}(batch, generator) that returns a dict with the key 'loss'."
        )
    if not learning:
        raise ConfigError(
            f"{type(model).__name__} has no parameter that may learn"
            + (f" in stage {name!r}." if name else "; is requires_grad off everywhere?")
        )
    return stage


@contextmanager
def prepared(model: nn.Module, stage: Stage, whole: bool) -> Iterator[None]:
    """Freeze what the stage does not train; put flags and modes back afterwards.

    Parameters
    ----------
    model : nn.Module
        To be trained.
    stage : Stage
        What learns.
    whole : bool
        True if no stage was named: flags are left as the user set them.
    """
    flags = [(p, p.requires_grad) for p in model.parameters()]
    modes = [(m, m.training) for m in model.modules()]
    learns = {id(p) for p in stage.parameters()}
    try:
        if not whole:
            for parameter, _ in flags:
                parameter.requires_grad_(id(parameter) in learns)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for the optimiser, each with its own peak learning rate under ``peak``.

    The model's ``param_groups(lr)`` decides, if there is one (layer-wise
    decay, a slower codebook …). Otherwise weights of two or more dimensions
    decay; biases, gains and other vectors do not.

    Parameters
    ----------
    model : nn.Module
        To be trained; frozen parameters are left out.
    lr, weight_decay : float
        Of the run.

    Returns
    -------
    list of dict

    Raises
    ------
    ConfigError
        If a group names a parameter twice or one that is not the model's.
    """
    hook = getattr(model, "param_groups", None)
    if callable(hook):
        groups = [dict(group) for group in hook(lr)]
    else:
        every = list(model.parameters())
        groups = [
            {"params": [p for p in every if p.ndim >= 2]},
            {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
        ]
    own, seen = {id(p) for p in model.parameters()}, set[int]()
    for group in groups:
        group["params"] = [p for p in group["params"] if p.requires_grad]
        for p in group["params"]:
            if id(p) not in own or id(p) in seen:
                raise ConfigError(
                    f"{type(model).__name__}.param_groups names a parameter of shape "
                    f"{tuple(p.shape)} {'twice' if id(p) in seen else 'that is not its own'}."
                )
            seen.add(id(p))
        group.setdefault("lr", lr)
        group.setdefault("weight_decay", weight_decay)
        group["peak"] = group["lr"]
    kept = [group for group in groups if group["params"]]
    if not kept:
        raise ConfigError(f"{type(model).__name__}.param_groups leaves nothing to train.")
    return kept
