"""Checkpoints: complete folders or none.

A checkpoint is written under a hidden name, sealed with a manifest of sizes
and hashes, forced to disk and only then given its real name in one step. So a
process killed at any moment leaves either the whole checkpoint or none.
"""

import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro.errors import FileError
from neuro.io.safe import read_json, read_tensors, sha256_of, write_json, write_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "complete",
    "latest",
    "load_optimizer",
    "optimizer_tensors",
    "prune",
    "step_of",
    "sweep",
    "verify",
    "write_checkpoint",
]

MANIFEST, MODEL, STATE, MOMENTS = "manifest.json", "model", "state.json", "optimizer.safetensors"
_PREFIX, _PARTIAL = "step-", ".partial-"


def write_checkpoint(
    folder: Path,
    step: int,
    *,
    save_model: Callable[[Path], Any],
    tensors: "Mapping[str, Tensor]",
    state: Mapping[str, Any],
    data: Mapping[str, Any],
) -> Path:
    """Write one checkpoint, completely or not at all.

    Parameters
    ----------
    folder : Path
        Folder of all checkpoints of a run.
    step : int
        Steps done.
    save_model : callable
        Gets a path that does not exist yet and writes the model there.
    tensors : mapping of str to Tensor
        Optimiser moments.
    state, data : mapping
        Counters, and what the model was trained on, as plain JSON.

    Returns
    -------
    Path
        The finished folder, ``step-000123``.
    """
    target = folder / f"{_PREFIX}{step:06d}"
    partial = folder / f"{_PARTIAL}{target.name}-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_model(partial / MODEL)
        write_tensors(partial / MOMENTS, dict(tensors), {"format": "neuro-optimizer"})
        write_json(partial / STATE, state, nan="null")
        write_json(partial / "data.json", data)
        files = _files(partial)
        for path in files.values():
            _to_disk(path)
        listing = {
            name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for name, path in files.items()
        }
        write_json(partial / MANIFEST, {"format": "neuro-checkpoint", "files": listing})
        for inner in [p for p in partial.rglob("*") if p.is_dir()] + [partial]:
            _to_disk(inner)
        if target.exists():  # only a damaged one is ever written again
            _remove(target)
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _to_disk(folder)
    return target


def complete(folder: Path) -> dict[int, Path]:
    """Checkpoints whose files are all there in the right size, by step, ascending.

    Parameters
    ----------
    folder : Path
        Folder of all checkpoints of a run; need not exist.

    Returns
    -------
    dict of int to Path
        Steps done and folder.
    """
    found: dict[int, Path] = {}
    if folder.is_dir():
        for path in folder.iterdir():
            step = step_of(path)
            if step is not None and not _damage(path, hashes=False):
                found[step] = path
    return dict(sorted(found.items()))


def latest(folder: Path, *, upto: int | None = None) -> tuple[int, Path] | None:
    """Newest checkpoint whose content matches its manifest.

    A damaged one is passed over with a warning.

    Parameters
    ----------
    folder : Path
        Folder of all checkpoints of a run; need not exist.
    upto : int, optional
        Pass over later steps.

    Returns
    -------
    tuple of (int, Path), or None
        Steps done and folder.
    """
    if not folder.is_dir():
        return None
    steps = {step_of(p): p for p in folder.iterdir()}
    for step in sorted((s for s in steps if s is not None), reverse=True):
        if upto is not None and step > upto:
            continue
        damage = _damage(steps[step], hashes=True)
        if not damage:
            return step, steps[step]
        warnings.warn(
            f"Checkpoint {steps[step].name} is passed over: {damage}", RuntimeWarning, stacklevel=2
        )
    return None


def verify(path: Path) -> None:
    """Raise FileError unless every file of a checkpoint is as it was written."""
    damage = _damage(path, hashes=True)
    if damage:
        raise FileError(f"Checkpoint {path.name} cannot be used: {damage} Use an earlier one.")


def step_of(path: Path) -> int | None:
    """Number of steps a folder's name stands for; None if it is no checkpoint's.

    Examples
    --------
    >>> step_of(Path("step-000120")), step_of(Path(".partial-step-000120-7"))
    (120, None)
    """
    digits = path.name.removeprefix(_PREFIX)
    named = path.name.startswith(_PREFIX) and digits.isascii() and digits.isdigit()
    return int(digits) if named else None


def sweep(folder: Path) -> None:
    """Delete what a killed process left half-written."""
    if folder.is_dir():
        for path in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Delete all complete checkpoints but the last `keep` and the best.

    Parameters
    ----------
    folder : Path
        Folder of all checkpoints of a run.
    keep : int
        How many of the newest stay.
    best : int, optional
        Step that stays in any case.
    """
    found = complete(folder)
    for step in list(found)[:-keep]:
        if step != best:
            _remove(found[step])


def optimizer_tensors(
    optimizer: "torch.optim.Optimizer", names: "Mapping[Tensor, str]"
) -> "dict[str, Tensor]":
    """Moments of an optimiser under ``kind/parameter name``, whole and on the CPU.

    Under sharding all processes must call this together.
    """
    out: dict[str, Tensor] = {}
    for parameter, moments in optimizer.state.items():
        for kind, value in moments.items():
            out[f"{kind}/{names[parameter]}"] = whole(value).cpu().contiguous()
    return out


def load_optimizer(
    optimizer: "torch.optim.Optimizer", names: "Mapping[Tensor, str]", path: Path
) -> None:
    """Give an optimiser the moments of a checkpoint.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Fresh, over the same parameters.
    names : mapping of Parameter to str
        Name of each parameter.
    path : Path
        The checkpoint.

    Raises
    ------
    FileError
        If the file is damaged or belongs to other parameters.
    """
    tensors, _ = read_tensors(path / MOMENTS)
    groups = optimizer.state_dict()["param_groups"]
    own = [p for group in optimizer.param_groups for p in group["params"]]
    number = {names[p]: i for i, p in enumerate(own)}
    state: dict[int, dict[str, Tensor]] = {}
    # Sorted: under sharding the processes spread one tensor after another together.
    for key, value in sorted(tensors.items()):
        kind, _, name = key.partition("/")
        if name not in number:
            raise FileError(
                f"{path.name} holds optimiser state for {name!r}, which this model does not train."
            )
        parameter = own[number[name]]
        if value.ndim and value.shape != parameter.shape:
            raise FileError(
                f"{path.name}: {key} has shape {tuple(value.shape)}, "
                f"the parameter {tuple(parameter.shape)}."
            )
        state.setdefault(number[name], {})[kind] = _like(value, parameter)
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def whole(value: "Tensor") -> "Tensor":
    """The full tensor of a sharded one; others as they are."""
    gather = getattr(value, "full_tensor", None)
    return value.detach() if gather is None else gather().detach()


def _like(value: "Tensor", parameter: "Tensor") -> "Tensor":
    """Moments sharded as their parameter is."""
    mesh = getattr(parameter, "device_mesh", None)
    if mesh is None or not value.ndim:
        return value
    from torch.distributed.tensor import distribute_tensor

    spread: Tensor = distribute_tensor(
        value.to(parameter.device),
        mesh,
        parameter.placements,  # type: ignore[attr-defined]
    )
    return spread


def _files(folder: Path) -> dict[str, Path]:
    inside = sorted(p for p in folder.rglob("*") if not p.is_dir())
    return {p.relative_to(folder).as_posix(): p for p in inside}


def _damage(path: Path, *, hashes: bool) -> str:
    """What is wrong with a checkpoint; empty if nothing."""
    try:
        listing = read_json(path / MANIFEST)["files"]
        expected = {str(k): (int(v["bytes"]), str(v["sha256"])) for k, v in listing.items()}
    except (FileError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return "its manifest is missing or damaged."
    found = _files(path)
    found.pop(MANIFEST, None)
    for name in sorted(expected.keys() ^ found.keys()):
        return f"{name} is {'missing' if name in expected else 'not part of it'}."
    for name, (size, digest) in expected.items():
        if found[name].stat().st_size != size or (hashes and sha256_of(found[name]) != digest):
            return f"{name} is not as it was written."
    return ""


def _remove(path: Path) -> None:
    """Delete a folder in a way that never leaves half of it under its name."""
    doomed = path.with_name(f"{_PARTIAL}{path.name}-{os.getpid()}-old")
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _to_disk(path: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
