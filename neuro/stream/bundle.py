"""A decoder on disk: one folder, weights and facts, nothing that runs when it is read."""

import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import neuro
from neuro.errors import FileError, NeuroError
from neuro.io.safe import atomic_path, read_json, read_tensors, sha256_of, write_json, write_tensors
from neuro.stream.decoder import Decoder
from neuro.stream.extract import Extractor
from neuro.stream.rules import LinearRule, Selection
from neuro.typing import PathLike

__all__ = ["load_bundle", "save_bundle"]

_FACTS, _WEIGHTS, _NETWORKS = "decoder.json", "weights.safetensors", "networks"
_FORMAT = "neuro-decoder/1"
# what values of a wrong kind raise, wherever they are used first
_NO_SENSE = (
    NeuroError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip


def save_bundle(
    decoder: Decoder, folder: PathLike, *, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write a decoder, whole or not at all.

    Parameters
    ----------
    decoder : Decoder
        What is saved; its state is not.
    folder : path
        Must not exist.
    facts : mapping, optional
        What is known about its training: trials, scores, runs by their hash.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileError
        If something is there already.
    """
    import torch

    target = Path(folder)
    if target.exists():
        raise FileError(f"{target.name!r} exists already; choose another name for the decoder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        arrays = {k: torch.from_numpy(np.array(v)) for k, v in decoder.rule.arrays.items()}
        write_tensors(fresh / _WEIGHTS, arrays, {"format": _FORMAT})
        described = decoder.extractor.to_json()
        if described["family"]["family"] == "embedding":
            family: Any = decoder.extractor.family
            described["family"] = family.save(fresh / _NETWORKS).to_json()
        write_json(
            fresh / _FACTS,
            {
                "format": _FORMAT,
                **described,
                "selection": list(decoder.selection.names),
                "rule": decoder.rule.to_json(),
                "facts": dict(facts or {}),
                "versions": {
                    "neuro": neuro.__version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
                "sha256": {_WEIGHTS: sha256_of(fresh / _WEIGHTS)},
            },
        )
        with atomic_path(fresh / "sha256") as path:
            path.write_text(sha256_of(fresh / _FACTS) + "\n", encoding="ascii")
        fresh.chmod(0o755)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def load_bundle(folder: PathLike) -> Decoder:
    """Read a decoder; a single changed byte is an error.

    Parameters
    ----------
    folder : path
        What :func:`save_bundle` wrote.

    Returns
    -------
    Decoder

    Raises
    ------
    FileError
        Missing, changed or malformed files, or a newer format.
    """
    target = Path(folder)
    facts = read_facts(target)
    arrays, _ = read_tensors(target / _WEIGHTS)
    try:
        extractor = Extractor.from_json(facts, target / _NETWORKS)
        rule = LinearRule.from_json(facts["rule"], {k: v.numpy() for k, v in arrays.items()})
        return Decoder(extractor, Selection(tuple(facts["selection"])), rule)
    except _NO_SENSE as error:
        raise FileError(f"{target.name!r} does not describe a decoder: {error}") from error


def read_facts(folder: PathLike) -> dict[str, Any]:
    """What a bundle says about itself, after its hashes were checked.

    Raises
    ------
    FileError
        Missing or changed files, or a format this package does not read.
    """
    target = Path(folder)
    for name in (_FACTS, _WEIGHTS, "sha256"):
        if not (target / name).is_file():
            raise FileError(f"{target.name!r} is no decoder bundle: {name} is missing.")
    told = (target / "sha256").read_text(encoding="ascii", errors="replace")[:64]
    if told != sha256_of(target / _FACTS):
        raise FileError(
            f"{_FACTS} of {target.name!r} was changed after it was saved; save the decoder again."
        )
    facts = read_json(target / _FACTS)
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise FileError(f"{target.name!r} is not a decoder of format {_FORMAT}.")
    hashes = facts.get("sha256")
    if not isinstance(hashes, dict) or hashes.get(_WEIGHTS) != sha256_of(target / _WEIGHTS):
        raise FileError(
            f"{_WEIGHTS} of {target.name!r} was changed after it was saved; save the decoder again."
        )
    return facts
