"""Checkpoints that torch wrote: tensors are taken out, code is never run."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from neuro.errors import FileError
from neuro.io._archives import check_members, open_zip
from neuro.io._files import DAMAGED, DEFAULT, TRUSTED, Limits, blame, printable, regular_file
from neuro.typing import PathLike

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TensorTree", "read_checkpoint"]

TensorTree: TypeAlias = "dict[str, Tensor | TensorTree]"

_MAX_DEPTH = 20  # dictionaries inside dictionaries; real checkpoints have three


def read_checkpoint(path: PathLike, *, limits: Limits = DEFAULT) -> TensorTree:
    """Tensors of a checkpoint that ``torch.save`` wrote, on the CPU.

    Only torch's restricted reader is used (``weights_only=True``): a file that
    asks for anything but tensors and plain containers is refused. What is not
    a tensor (epochs, settings, an optimiser's lists) is left out.

    Parameters
    ----------
    path : path-like
        ``.pth``, ``.pt``, ``.bin`` or ``.ckpt``, in the zip form that torch has written
        since version 1.6.
    limits : Limits
        What it may claim.

    Returns
    -------
    dict of str to Tensor or dict
        As nested as in the file. The tensors own their memory.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If it is of another form, damaged, holds pickled objects, or claims more
        than ``limits`` allow.

    Examples
    --------
    >>> import io, tempfile, zipfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "weights.pth")
    >>> _ = path.write_bytes(b"not a checkpoint")
    >>> read_checkpoint(path)
    Traceback (most recent call last):
    neuro.errors.FileError: 'weights.pth' is no checkpoint in torch's zip form. ...
    """
    import torch

    path, _ = regular_file(path)
    _check_zip(path, limits)
    with (
        blame(path, "is not a readable torch checkpoint", Exception),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of unusual pickles: they load or they do not
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises pickle's errors, whose module is not for us
            asked = _foreign(path)
            if not asked:
                raise
            raise FileError(
                f"'{path.name}' holds Python objects ({printable(', '.join(asked))}), which are "
                "never loaded. Ask its authors for a .safetensors file, or convert it where you "
                "trust it."
            ) from error
    if not isinstance(content, dict):
        raise FileError(f"'{path.name}' holds no dictionary of tensors. {DAMAGED}")
    return _tensors(content, path.name, limits, depth=0)


def _check_zip(path: Path, limits: Limits) -> None:
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            raise FileError(
                f"'{path.name}' is no checkpoint in torch's zip form. Files of torch before 1.6 "
                "and bare pickles are not read: save it again with a current torch, or as "
                ".safetensors."
            )
    with open_zip(path, limits) as archive:
        check_members(path.name, archive.infolist(), limits)


def _foreign(path: Path) -> list[str]:
    """Names of the objects that torch's restricted reader would not make."""
    import torch

    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # too damaged to tell
        return []


def _tensors(content: dict[Any, Any], name: str, limits: Limits, depth: int) -> TensorTree:
    """The tensors of a dictionary and of those inside it, in memory of their own."""
    import torch

    if depth > _MAX_DEPTH:
        raise FileError(f"'{name}': dictionaries nest deeper than {_MAX_DEPTH}. {DAMAGED}")
    found: TensorTree = {}
    for key, value in content.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, dict):
            found[key] = _tensors(value, name, limits, depth + 1)
        elif isinstance(value, torch.Tensor):
            what = f"'{name}': tensor '{printable(key, 80)}'"
            found[key] = _dense(value, what, limits)
    if len(found) > limits.max_members:
        raise FileError(f"'{name}' holds {len(found)} tensors. {TRUSTED}")
    return found


def _dense(value: "Tensor", what: str, limits: Limits) -> "Tensor":
    import torch

    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise FileError(f"{what} is not a plain dense tensor. Save it as one.")
    limits.check_ndim(what, value.ndim)
    # A stride of 0 lets a few bytes pose as terabytes.
    limits.check_bytes(what, value.numel() * value.element_size(), value.untyped_storage().nbytes())
    return value.detach().clone(memory_format=torch.contiguous_format)
