"""Weights that others published: their file in, our network out.

How a system takes part (nothing else is asked of it):

1. The class attribute ``reference = ReferenceSource(...)`` says where its weights
   come from and under which licence.
2. The class method ``reference_tensors(cls, found, given) -> ReferenceWeights``
   turns the original's tensors into ours.

   ``found`` is a dictionary of its own, original name to tensor, containers
   (``{"state_dict": ...}``) and wrappers' prefixes (``module.``, ``model.``) gone.
   The method *pops* what it places or knowingly drops. What it leaves behind
   is reported to the user as not part of the model; what it did not find is
   reported as missing, because our network's own names are compared with
   ``tensors``. So a map needs no checks of its own. :func:`renamed` is the
   plain case: a table of old and new beginnings of names.

   ``given`` holds the configuration values that the user passed.

   ``ReferenceWeights(config, tensors, fresh)``: configuration values read from
   the tensors' shapes (the user's win over them), tensors under our names, and
   beginnings of our names which this file has no values for and which keep
   their initial ones (a head, a decoder).

Systems whose authors publish several files take a mapping, part to file, and
find the names as ``part.name``.

No weights are shipped with this package, and none are fetched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neuro.errors import ConfigError, FileError
from neuro.typing import PathLike

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ReferenceSource", "ReferenceWeights", "from_reference", "renamed"]

# Where training scripts put the weights inside a checkpoint, likeliest first.
_CONTAINERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
# What wrappers write before each name: DataParallel, Lightning tasks, torch.compile.
_PREFIXES = ("module.", "model.", "_orig_mod.")


@dataclass(frozen=True)
class ReferenceSource:
    """Where published weights come from and what may be done with them.

    Parameters
    ----------
    url : str
        Page of the weights.
    licence : str
        Of the weights (not of the code), with what it forbids in words.
    corpora : tuple of str
        Data sets the published weights were trained on; evaluation on one of
        them is no test.
    """

    url: str
    licence: str
    corpora: tuple[str, ...] = ()


class ReferenceWeights(NamedTuple):
    """An original's weights in our words; see the top of this module.

    Attributes
    ----------
    config : mapping of str to object
        Configuration values that the shapes tell.
    tensors : mapping of str to Tensor
        Under our names.
    fresh : tuple of str
        Beginnings of our names that keep their initial values.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, "Tensor"]
    fresh: tuple[str, ...] = ()


def renamed(found: "dict[str, Tensor]", table: Mapping[str, str]) -> "dict[str, Tensor]":
    """Take tensors out of `found` under new names.

    Parameters
    ----------
    found : dict of str to Tensor
        Loses what is taken.
    table : mapping of str to str
        Old beginning of a name to new one; the longest that fits counts. An
        entry whose name does not occur is no error.

    Returns
    -------
    dict of str to Tensor
        Under the new names.

    Examples
    --------
    >>> found = {"fc.weight": 1, "fc.bias": 2, "step": 3}
    >>> renamed(found, {"fc.": "head.linear."}), found
    ({'head.linear.weight': 1, 'head.linear.bias': 2}, {'step': 3})
    """
    beginnings = sorted(table, key=len, reverse=True)
    taken = {}
    for name in list(found):
        old = next((b for b in beginnings if name.startswith(b)), None)
        if old is not None:
            taken[table[old] + name[len(old) :]] = found.pop(name)
    return taken


def from_reference(
    name: str,
    file: PathLike | Mapping[str, PathLike],
    *,
    preset: str = "paper",
    seed: int = 0,
    **config: Any,
) -> Any:
    """Build a network from the weights that a system's authors published.

    Parameters
    ----------
    name : str
        Registry name of a system that knows its original's names.
    file : path, or mapping of str to path
        The authors' checkpoint: ``.safetensors``, or ``.pth``, ``.pt``, ``.bin``, ``.ckpt``,
        of which only tensors are read. A mapping, part to file, where the
        authors publish several.
    preset : str
        What the file does not tell; the published one by default.
    seed : int
        Of what the file has no values for, such as a new head.
    **config
        Fields of the configuration; they override what the file tells.

    Returns
    -------
    NetworkModel
        In eval mode. ``provenance["reference"]`` keeps the files' hashes, the
        source, and the licence of the weights, and goes with every copy saved.

    Raises
    ------
    ConfigError
        If the system has no published weights, or a value is not usable.
    DataUnavailableError
        If there is no such file.
    FileError
        If the file is malformed, holds pickled objects, or its tensors differ
        from the network's; the message lists the differences.

    Examples
    --------
    >>> from_reference("ar_net", "weights.pth")
    Traceback (most recent call last):
    neuro.errors.ConfigError: 'ar_net' cannot be built from published weights...
    """
    from neuro.models._registry import create, model_class

    cls: Any = model_class(name)
    if not hasattr(cls, "reference_tensors"):
        raise ConfigError(
            f"{name!r} cannot be built from published weights: it has no map of an original's "
            "names. Weights saved by this package open with neuro.models.load(folder)."
        )
    files = dict(file) if isinstance(file, Mapping) else {"": file}
    found: dict[str, Tensor] = {}
    for part, path in files.items():
        found |= {f"{part}.{k}" if part else k: v for k, v in _weights(Path(path)).items()}
    label = " and ".join(Path(path).name for path in files.values())

    made = _mapped(cls.reference_tensors, found, config, label)
    network = create(name, preset, seed=seed, **{**made.config, **config})
    _copy(network, made, found, label)
    network.provenance = {"reference": _provenance(cls.reference, files)}
    return network.eval()


def _weights(path: Path) -> "dict[str, Tensor]":
    """The tensors of one file, out of their containers, wrappers' prefixes gone."""
    from neuro.io.safe import read_checkpoint, read_tensors

    tree: Any
    tree = read_tensors(path)[0] if path.suffix == ".safetensors" else read_checkpoint(path)
    while inner := next((tree[c] for c in _CONTAINERS if isinstance(tree.get(c), dict)), None):
        tree = inner
    flat = _flat(tree)
    if not flat:
        raise FileError(f"'{path.name}' holds no tensors by name; is it the weights' file?")
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in flat)), ""):
        flat = {k.removeprefix(prefix): v for k, v in flat.items()}
    return flat


def _flat(tree: Mapping[str, Any]) -> "dict[str, Tensor]":
    """Dictionaries inside dictionaries as dotted names."""
    found: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{key}.{k}": v for k, v in _flat(value).items()}
        else:
            found[key] = value
    return found


def _mapped(
    reference_tensors: "Callable[..., ReferenceWeights]",
    found: "dict[str, Tensor]",
    given: Mapping[str, Any],
    label: str,
) -> ReferenceWeights:
    """What the system's own map makes of the names; a name it cannot do without is told."""
    try:
        return reference_tensors(found, dict(given))
    except KeyError as error:
        raise FileError(
            f"{label!r} holds no tensor {error.args[0]!r}: it is not the file that this system's "
            f"authors published, or only a part of it. It holds {', '.join(list(found)[:3])}, ..."
        ) from error


def _copy(network: Any, made: ReferenceWeights, left: "dict[str, Tensor]", label: str) -> None:
    """Put the tensors into the network, or list everything that does not fit."""
    from neuro.models._folder import compare

    own = network.state_dict()
    tensors = {k: _as(v, own[k]) if k in own else v for k, v in made.tensors.items()}
    initial = {k: v for k, v in own.items() if made.fresh and k.startswith(made.fresh)}
    compare(own, {**initial, **tensors, **left}, Path(label))
    network.load_state_dict({**initial, **tensors})


def _as(value: "Tensor", own: "Tensor") -> "Tensor":
    """Published half-precision numbers in the network's own precision."""
    same_kind = value.is_floating_point() == own.is_floating_point()
    return value.to(own.dtype) if same_kind else value


def _provenance(source: ReferenceSource, files: Mapping[str, PathLike]) -> dict[str, Any]:
    from neuro.io.safe import sha256_of

    return {
        "url": source.url,
        "licence": source.licence,
        "corpora": [*source.corpora],
        "files": [
            {"part": part, "name": Path(path).name, "sha256": sha256_of(path)}
            for part, path in files.items()
        ],
    }
