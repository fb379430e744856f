"""numpy and safetensors files: headers are checked before anything is allocated."""

import ast
import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError, FileError
from neuro.io._archives import check_members, near, open_zip, relative
from neuro.io._files import (
    DAMAGED,
    DEFAULT,
    TRUSTED,
    Limits,
    atomic_path,
    blame,
    human,
    printable,
    regular_file,
)
from neuro.typing import AnyArray, PathLike

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_npy", "load_npz", "read_tensors", "save_npy", "save_npz", "write_tensors"]


def load_npy(path: PathLike, *, mmap: bool = False, limits: Limits = DEFAULT) -> AnyArray:
    """Array in a ``.npy`` file.

    Parameters
    ----------
    path : path-like
        The file.
    mmap : bool
        Map it read-only instead of reading it.
    limits : Limits
        What it may claim.

    Returns
    -------
    ndarray
        Any shape and type but object.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If the header is malformed, claims more than the file holds, or asks
        for Python objects.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.npy")
    >>> save_npy(path, np.arange(3))
    >>> load_npy(path).tolist()
    [0, 1, 2]
    """
    path, status = regular_file(path)
    what = f"'{path.name}'"
    with blame(path, "is not a readable npy file", OSError, ValueError, MemoryError, EOFError):
        with path.open("rb") as stream:
            need = _check_npy(stream, what, limits)
            have = status.st_size - stream.tell()
            if need > have:
                raise FileError(
                    f"{what} claims an array of {human(need)} but holds {human(have)}. {DAMAGED}"
                )
            if not mmap:
                stream.seek(0)
                return np.asarray(np.load(stream, allow_pickle=False))
        mapped: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped


def _check_npy(stream: IO[bytes], what: str, limits: Limits) -> int:
    """Bytes of samples a npy header claims; leaves the stream where they start."""
    head = stream.read(8)
    if head[:6] != b"\x93NUMPY" or len(head) < 8 or head[6] not in (1, 2, 3):
        raise FileError(f"{what} does not start like a npy file. {DAMAGED}")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > 10_000:
        raise FileError(f"{what} has a header of {human(length)}; numpy's limit is 10,000 bytes.")
    text = stream.read(length)
    try:
        header = ast.literal_eval(text.decode("latin-1" if head[6] < 3 else "utf-8").strip())
        shape = header["shape"]
        kind = np.lib.format.descr_to_dtype(header["descr"])
        if set(header) != {"shape", "descr", "fortran_order"}:
            raise ValueError("unknown header fields")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("the shape is not a tuple of lengths")
    except Exception as error:  # literal_eval and dtype parsing raise a dozen kinds
        raise FileError(f"{what} has a malformed npy header {text[:60]!r}. {DAMAGED}") from error
    if kind.hasobject:
        raise FileError(
            f"{what} holds Python objects (dtype {printable(str(kind), 40)}), which are pickled "
            "code and never loaded. Save numbers or fixed-width strings instead."
        )
    limits.check_ndim(what, len(shape))
    # Types of no width would make a shape free of charge, hence the 1.
    need: int = math.prod(shape) * max(1, kind.itemsize)
    if need > limits.max_bytes:
        limits.check_bytes(what, need, need)
    return need if kind.itemsize else 0


def load_npz(
    path: PathLike, names: Iterable[str] | None = None, *, limits: Limits = DEFAULT
) -> dict[str, AnyArray]:
    """Arrays in a ``.npz`` file.

    Parameters
    ----------
    path : path-like
        The file.
    names : iterable of str, optional
        Only these arrays; all by default.
    limits : Limits
        What it may claim.

    Returns
    -------
    dict of str to ndarray
        In the file's order.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        As for :func:`load_npy`; also on archive bombs and unknown names.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.npz")
    >>> save_npz(path, {"x": np.arange(3), "y": np.eye(2)})
    >>> sorted(load_npz(path)), load_npz(path, ["x"])["x"].tolist()
    (['x', 'y'], [0, 1, 2])
    """
    path, _ = regular_file(path)
    with open_zip(path, limits) as archive:
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        wanted = list(members if names is None else names)
        for name in wanted:
            if name not in members:
                raise FileError(f"'{path.name}' has no array {name!r}. {near(name, members)}")
        check_members(path.name, [members[name] for name in wanted], limits)
        return {name: _npz_array(archive, members[name], path.name, limits) for name in wanted}


def _npz_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, limits: Limits
) -> AnyArray:
    what = f"'{name}': array '{printable(info.filename, 80)}'"
    with archive.open(info) as stream:
        need = _check_npy(stream, what, limits)
        have = info.file_size - stream.tell()
    if need > have:
        raise FileError(f"{what} claims {human(need)} but holds {human(have)}. {DAMAGED}")
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def save_npy(path: PathLike, array: AnyArray) -> None:
    """Write a ``.npy`` file, completely or not at all.

    Parameters
    ----------
    path : path-like
        Where; see :func:`atomic_path`. The name is taken as it is.
    array : ndarray
        Any shape and type but object.

    Raises
    ------
    DataError
        If the array holds Python objects.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> save_npy(Path(tempfile.mkdtemp(), "a.npy"), np.zeros(3))
    """
    plain = _no_objects("the array", array)
    with atomic_path(path) as temporary, temporary.open("xb") as stream:
        np.lib.format.write_array(stream, plain, allow_pickle=False)


def save_npz(path: PathLike, arrays: Mapping[str, Any], *, compress: bool = False) -> None:
    """Write a ``.npz`` file, completely or not at all.

    The same arrays give the same bytes: members carry no time.

    Parameters
    ----------
    path : path-like
        Where; see :func:`atomic_path`. The name is taken as it is.
    arrays : mapping of str to array_like
        No Python objects among them.
    compress : bool
        Deflate each member.

    Raises
    ------
    DataError
        If an array holds Python objects or a name is not usable in an archive.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> save_npz(Path(tempfile.mkdtemp(), "a.npz"), {"x": [1, 2]})
    """
    plain = {name: _no_objects(repr(name), value) for name, value in arrays.items()}
    for name in plain:
        relative(name, "save_npz", DataError)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "x", method) as archive:
        for name, value in plain.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, value, allow_pickle=False)


def _no_objects(what: str, value: Any) -> AnyArray:
    array: AnyArray = np.asanyarray(value)
    if array.dtype.hasobject:
        raise DataError(
            f"{what} holds Python objects (dtype {array.dtype}), which would need pickle. Convert "
            "it to numbers or to fixed-width strings with .astype(str)."
        )
    return array


_MAX_HEADER = 16 << 20
_TENSOR_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


def read_tensors(
    path: PathLike, *, limits: Limits = DEFAULT
) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Tensors and metadata of a safetensors file, on the CPU.

    The tensors own their memory: safetensors' own ``load_file`` maps the file,
    so that overwriting it would change a loaded model.

    Parameters
    ----------
    path : path-like
        The file.
    limits : Limits
        What it may claim.

    Returns
    -------
    tensors : dict of str to Tensor
        By name.
    metadata : dict of str to str
        Empty if the file has none.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If the header is malformed or does not fit the bytes.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "w.safetensors")
    >>> write_tensors(path, {"w": torch.ones(2)}, {"format": "1"})
    >>> read_tensors(path)
    ({'w': tensor([1., 1.])}, {'format': '1'})
    """
    import safetensors.torch

    path, status = regular_file(path)
    what = f"'{path.name}'"
    if status.st_size > limits.max_bytes:
        limits.check_bytes(what, status.st_size, status.st_size)
    parsers = (OSError, ValueError, RecursionError, MemoryError, safetensors.SafetensorError)
    with blame(path, "is not a readable safetensors file", *parsers), path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, status.st_size - 8):
            raise FileError(
                f"{what} claims a header of {human(length)} in a file of "
                f"{human(status.st_size)}. {DAMAGED}"
            )
        header = json.loads(stream.read(length), object_pairs_hook=_unique)
        metadata = _check_tensors(header, status.st_size - 8 - length, what, limits)
        stream.seek(0)
        # A writable copy: torch would warn about a read-only buffer and share it.
        return safetensors.torch.load(stream.read()), metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in the header")
    return found


def _check_tensors(header: Any, have: int, what: str, limits: Limits) -> dict[str, str]:
    """Metadata of a header whose tensors fill the data exactly, in some order."""
    if not isinstance(header, dict):
        raise FileError(f"{what}: the header is no table of tensors. {DAMAGED}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileError(f"{what}: metadata must be text only. {DAMAGED}")
    if len(header) > limits.max_members:
        raise FileError(f"{what} holds {len(header)} tensors. {TRUSTED}")
    spans = []
    for name, entry in header.items():
        item = f"{what}: tensor '{printable(name, 80)}'"
        try:
            width, shape = _TENSOR_BYTES[entry["dtype"]], entry["shape"]
            start, stop = entry["data_offsets"]
            sound = all(type(n) is int and n >= 0 for n in (start, stop, *shape))
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{item} has a malformed entry. {DAMAGED}") from error
        if not sound or math.prod(shape) * width != stop - start:
            raise FileError(
                f"{item} of shape {printable(str(shape), 60)} and type {entry['dtype']} does not "
                f"fit its bytes {printable(f'{start}:{stop}', 60)}. {DAMAGED}"
            )
        limits.check_ndim(item, len(shape))
        spans.append((start, stop))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise FileError(f"{what}: tensors overlap or leave a gap at byte {start}. {DAMAGED}")
        end = stop
    if end != have:
        raise FileError(f"{what} claims {human(end)} of tensors but holds {human(have)}. {DAMAGED}")
    return metadata


def write_tensors(
    path: PathLike, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, completely or not at all.

    Parameters
    ----------
    path : path-like
        Where; see :func:`atomic_path`.
    tensors : mapping of str to Tensor
        Any device and layout in memory; tensors that share memory are each
        written whole.
    metadata : mapping of str to str, optional
        Text to keep beside them.

    Raises
    ------
    DataError
        If something is no dense tensor, has a type the format lacks, or
        metadata is not text.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> write_tensors(Path(tempfile.mkdtemp(), "w.safetensors"), {"w": torch.ones(2)})
    """
    import safetensors.torch
    import torch

    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DataError(f"write_tensors: metadata {key!r}={text!r} is not text. Use str(...).")
    plain = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            raise DataError(f"write_tensors: {name!r} is no dense tensor. Use torch.as_tensor.")
        # The clone parts tied weights, which the format refuses to store as shared.
        plain[name] = tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(plain, temporary, dict(metadata or {}) or None)
        except safetensors.SafetensorError as error:
            # The library hides the system's error, such as a full disk, in its own class.
            raise OSError(f"the tensors could not be written: {error}") from error
        except (KeyError, ValueError) as error:
            raise DataError(f"write_tensors: a type the format lacks ({error}).") from error
