"""Controls: what a score would be without what it is credited to."""

import copy
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.errors import ConfigError, did_you_mean
from neuro.evaluate.contenders.confounds import Confounds
from neuro.stats import permute_blocks, permute_labels
from neuro.typing import AnyArray, Seed

if TYPE_CHECKING:
    from torch import nn

    from neuro.data import Batch, Windows

__all__ = [
    "SelfPretrained",
    "pretrained",
    "reinitialised",
    "shuffled_target",
    "starts_from_data",
    "without_global_signal",
]

# torch has one stream of random numbers for all threads
_TRAINING = threading.Lock()


def reinitialised(model: "nn.Module", seed: int, train: "Windows | None" = None) -> "nn.Module":
    """The same network with weights as before any training.

    Networks of this package are built anew from their configuration; scales
    measured on data (buffers outside batch normalisation and code books) are
    kept, because they are no learned weights and a network without them would
    be handicapped twice. Other modules are copied and every layer that can is asked to
    `reset_parameters()`; tensors that no layer resets are shuffled.

    Parameters
    ----------
    model : nn.Module
        Trained or not; it is not changed.
    seed : int
        Another seed, other weights.
    train : Windows, optional
        Training part, from which code books start that do so before the first
        step of a training (see `starts_from_data`); without it they are random.

    Returns
    -------
    nn.Module
        In eval mode, on the same device.

    Examples
    --------
    >>> import torch
    >>> trained = torch.nn.Linear(3, 2)
    >>> fresh = reinitialised(trained, seed=1)
    >>> bool(torch.equal(fresh.weight, trained.weight))
    False
    >>> bool(torch.equal(fresh.weight, reinitialised(trained, seed=1).weight))
    True
    """
    import torch

    from neuro.models._base import NetworkModel

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(int(seed))
        if isinstance(model, NetworkModel):
            anew = type(model)(model.config, model.contract)
            _keep_scales(model, anew)
            if train is not None and starts_from_data(anew):
                anew.prepare(train, seed)
            fresh: nn.Module = anew
        else:
            fresh = _reset(copy.deepcopy(model))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return fresh.to(device).eval()


def starts_from_data(model: "nn.Module") -> bool:
    """Whether a code book takes its first codes from training windows.

    Random codes are no fair control of such a network: most vectors share a
    few of them.

    Parameters
    ----------
    model : nn.Module
        Trained or not.

    Returns
    -------
    bool
    """
    from neuro.nn.quantise import VectorQuantiser

    return any(isinstance(m, VectorQuantiser) and m.init != "uniform" for m in model.modules())


def _keep_scales(source: "nn.Module", fresh: "nn.Module") -> None:
    from torch.nn.modules.batchnorm import _NormBase

    from neuro.nn.quantise import VectorQuantiser

    new = dict(fresh.named_modules())
    for name, module in source.named_modules():
        # running means that are learned: of a norm, of a code book
        if isinstance(module, (_NormBase, VectorQuantiser)):
            continue
        for key, value in module.named_buffers(recurse=False):
            target = getattr(new.get(name), key, None)
            if value is not None and target is not None and target.shape == value.shape:
                target.copy_(value)


def _reset(module: "nn.Module") -> "nn.Module":
    import torch

    reset: set[int] = set()
    for layer in module.modules():
        function = getattr(layer, "reset_parameters", None)
        if callable(function):
            function()
            reset |= {id(p) for p in layer.parameters(recurse=False)}
    for parameter in module.parameters():
        if id(parameter) not in reset:
            order = torch.randperm(parameter.numel(), device=parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return module


def shuffled_target(y: AnyArray, levels: Sequence[AnyArray], seed: Seed) -> AnyArray:
    """Target exchanged between windows as far as their dependence allows.

    The largest units inside which the target is constant exchange it whole
    (trials; subjects, for a diagnosis), and only inside the next larger unit,
    so that differences between runs or subjects stay what they were. Where
    the target varies even inside the smallest units, windows exchange it
    there.

    Parameters
    ----------
    y : ndarray, shape (n, ...)
        Target.
    levels : sequence of ndarray, shape (n,)
        Unit of each window, from small (block) to large (subject).
    seed : int or Generator
        Draws the exchange.

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    DataError
        If the target is constant, so that nothing can be exchanged.

    Examples
    --------
    >>> y, trial, run = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.zeros(4, int)
    >>> shuffled_target(y, [trial, run], seed=1).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    whole = [k for k, unit in enumerate(levels) if _constant_within(y, unit)]
    if not whole:
        return np.asarray(permute_labels(y, n=1, seed=seed, groups=levels[0])[0])
    inside = levels[whole[-1] + 1] if whole[-1] + 1 < len(levels) else None
    return np.asarray(permute_blocks(y, levels[whole[-1]], n=1, seed=seed, groups=inside)[0])


def _constant_within(y: AnyArray, part: AnyArray) -> bool:
    order = np.argsort(part, kind="stable")
    flat = y.reshape(len(y), -1)[order]
    same_part = part[order][1:] == part[order][:-1]
    return not bool((np.diff(flat, axis=0) != 0).any(axis=1)[same_part].any())


@dataclass(frozen=True)
class SelfPretrained:
    """The same network, pretrained on nothing but the training part of each fold.

    What is left of a model's lead over this control is what its own
    pretraining data brought. Pass it among the `controls=` of `evaluate`.

    Parameters
    ----------
    steps, batch_size : int
        Of :func:`neuro.train.fit`; our defaults.
    lr : float
        Peak learning rate.
    seeds : int
        How many networks a fold, at most; each costs a training.
    device : {"auto", "cpu"}
        Where to train.
    """

    steps: int = 300
    batch_size: int = 64
    lr: float = 1e-3
    seeds: int = 1
    device: Literal["auto", "cpu"] = "auto"

    name = "self_pretrained"

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.seeds) < 1:
            raise ConfigError("steps, batch_size and seeds must be at least 1.")


def pretrained(model: "nn.Module", train: "Windows", how: SelfPretrained, seed: int) -> "nn.Module":
    """A network with new weights, pretrained on the given windows.

    Parameters
    ----------
    model : nn.Module
        Its own loss is minimised, in its stage "pretrain" if it has one (and no
        stage "tokenizer" before it); it is not changed.
    train : Windows
        Training part of a fold; targets are not used.
    how : SelfPretrained
        Settings.
    seed : int
        Of weights and training.

    Returns
    -------
    nn.Module

    Raises
    ------
    ConfigError
        If the network has no loss of its own.
    """
    from neuro.train import fit

    need_loss(model)
    stages = getattr(model, "stages", None)
    found = stages() if callable(stages) else {}
    # behind a tokenizer the stage alone would learn from untrained tokens
    stage = "pretrain" if "pretrain" in found and "tokenizer" not in found else None
    fresh = reinitialised(model, seed)
    with _TRAINING, tempfile.TemporaryDirectory() as folder:
        fit(
            fresh,
            train,
            steps=how.steps,
            batch_size=min(how.batch_size, len(train)),
            lr=how.lr,
            stage=stage,
            checkpoint_every=how.steps,
            out=Path(folder) / "run",
            seed=seed,
            progress=False,
            device=how.device,
        )
    return fresh.eval()


def need_loss(model: "nn.Module") -> None:
    """Refuse to pretrain a network that has no loss of its own."""
    if not callable(getattr(model, "loss", None)):
        raise ConfigError(
            f"Control 'self_pretrained' needs a network with loss(batch, generator); "
            f"{type(model).__name__} has none."
        )


def without_global_signal(batch: "Batch") -> "Batch":
    """The batch with the mean over its channels taken off every sample.

    For EEG this is the average reference. A coefficient for each channel, as
    regression over a whole run would give, cannot be estimated in a window.

    Parameters
    ----------
    batch : Batch
        Any; absent channels and missing samples stay 0.

    Returns
    -------
    Batch
    """
    valid = (batch.channel_mask[:, :, None] & batch.time_mask[:, None, :]).to(batch.x.dtype)
    mean = (batch.x * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1)
    return replace(batch, x=(batch.x - mean) * valid)


KNOWN = (
    "random_weights",
    "shuffled_labels",
    "self_pretrained",
    "confounds",
    "global_signal_removed",
    "subject_identity",
)


def controls_of(controls: Any) -> dict[str, Any]:
    """Checked controls of a run: name -> settings, None where there are none."""
    single = isinstance(controls, str | SelfPretrained | Confounds)
    chosen: dict[str, Any] = {}
    for item in (controls,) if single else tuple(controls or ()):
        name = item.name if isinstance(item, SelfPretrained | Confounds) else item
        if name not in KNOWN:
            raise ConfigError(f"No control {name!r}. {did_you_mean(str(name), KNOWN)}")
        defaults = {"self_pretrained": SelfPretrained, "confounds": Confounds}
        chosen[name] = item if item is not name else defaults.get(name, lambda: None)()
    return chosen
