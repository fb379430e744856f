"""A saved model on disk: weights and a card in one folder, written all or nothing."""

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import neuro
from neuro.errors import FileError
from neuro.io.safe import read_json, read_tensors, write_json, write_tensors
from neuro.typing import PathLike

__all__ = ["CARD", "compare", "described", "read_card", "read_weights", "write_folder"]

CARD, _WEIGHTS = "model.json", "weights.safetensors"
_FORMAT, _FORMAT_VERSION = "neuro-model", 1


def described(model: Any) -> dict[str, Any]:
    """What every card says: name, configuration, versions, training so far."""
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "name": model.name,
        "config": model.config.to_json(),
        "versions": {
            "neuro": neuro.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        "provenance": model.provenance,
    }


def write_folder(folder: PathLike, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Put weights and card into a new folder; an old model there goes only afterwards.

    Raises
    ------
    FileError
        If something else is in the way.
    """
    target = Path(folder)
    if target.exists() and not (target / CARD).is_file():
        raise FileError(f"{target.name!r} exists and is not a saved model; choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write_tensors(
            fresh / _WEIGHTS, dict(tensors), {"format": _FORMAT, "name": str(card["name"])}
        )
        write_json(fresh / CARD, dict(card))
        fresh.chmod(0o755)  # mkdtemp makes it private; a model is to be shared
        _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def read_card(folder: Path, name: str = "") -> dict[str, Any]:
    """Description of a saved model, checked for its outer form.

    Raises
    ------
    FileError
        If there is none, or it is not ours, of a newer version or another system.
    """
    path = folder / CARD
    if not path.is_file():
        raise FileError(f"{folder.name!r} holds no saved model: {CARD} is missing.")
    card = read_json(path)
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise FileError(f"The {CARD} of {folder.name!r} does not describe a model of this package.")
    version = card.get("format_version")
    if version != _FORMAT_VERSION:
        raise FileError(
            f"The {CARD} of {folder.name!r} has format version {version!r}; this package reads "
            f"{_FORMAT_VERSION}. Update the package or save the model again."
        )
    for key, kind in (("name", str), ("config", dict)):
        if not isinstance(card.get(key), kind):
            raise FileError(f"The {CARD} of {folder.name!r} has no usable field {key!r}.")
    if name and card["name"] != name:
        raise FileError(
            f"{folder.name!r} holds a {card['name']!r} model, not {name!r}; neuro.models.load "
            "picks the right class."
        )
    return card


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Tensors of a saved model."""
    return read_tensors(folder / _WEIGHTS)[0]


def compare(own: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    """Raise FileError that lists names, shapes and types that differ."""
    wrong = [f"{k} is missing" for k in own if k not in found]
    wrong += [f"{k} is not part of the model" for k in found if k not in own]
    for key in own.keys() & found.keys():
        a, b = own[key], found[key]
        if a.shape != b.shape or a.dtype != b.dtype:
            wrong.append(
                f"{key} is {tuple(b.shape)} {b.dtype}, expected {tuple(a.shape)} {a.dtype}"
            )
    if wrong:
        shown = "; ".join(sorted(wrong)[:8]) + ("; ..." if len(wrong) > 8 else "")
        raise FileError(
            f"The weights in {path.name!r} do not fit the model, {len(wrong)} differences: {shown}."
        )


def _swap(fresh: Path, target: Path) -> None:
    """Put a finished folder in its place; the old one goes only afterwards."""
    if not target.exists():
        os.replace(fresh, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    os.replace(target, old)  # an empty folder may be replaced in one step
    os.replace(fresh, target)
    shutil.rmtree(old, ignore_errors=True)
