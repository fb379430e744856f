"""The only module that opens HDF5, archives, numpy files, YAML and checkpoints.

A file is a claim made by a stranger. Each opener here compares what a header
claims with what the file holds *before* anything is allocated or followed, and
answers with one :class:`~neuro.errors.FileError` that names the file, the
field and the remedy. Formats that foreign C code parses are first walked in a
child process (:func:`probe`), because care inside one process cannot stop a
segmentation fault. A test forbids these openers everywhere
else, save in the private modules that this one gathers.
"""

import math
import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.io._archives import extract_members
from neuro.io._arrays import load_npy, load_npz, read_tensors, save_npy, save_npz, write_tensors
from neuro.io._checkpoints import read_checkpoint
from neuro.io._files import (
    DEFAULT,
    TRUSTED,
    Limits,
    atomic_path,
    blame,
    human,
    printable,
    read_json,
    read_text,
    regular_file,
    sha256_of,
    write_json,
)
from neuro.io._sink import Sink
from neuro.io._walks import READERS
from neuro.typing import PathLike

if TYPE_CHECKING:
    import h5py

__all__ = [
    "DEFAULT",
    "READERS",
    "Limits",
    "atomic_path",
    "create_hdf5",
    "extract_members",
    "load_npy",
    "load_npz",
    "load_yaml",
    "open_hdf5",
    "probe",
    "read_checkpoint",
    "read_json",
    "read_tensors",
    "save_npy",
    "save_npz",
    "sha256_of",
    "walk_hdf5",
    "write_json",
    "write_tensors",
]


def probe(
    path: PathLike, reader: str, *, timeout_s: float = 30.0, memory_bytes: int = 1 << 30
) -> None:
    """Walk a foreign file in a child process before this process opens it.

    One child is kept warm per process, so a second call costs about a
    millisecond; a file whose name, size and times have not changed is not
    walked again. Safe to call from threads and after a fork.

    Parameters
    ----------
    path : path-like
        The file (or folder, for formats that are one).
    reader : str
        A key of :data:`READERS`.
    timeout_s : float
        Longest the walk may take; a second is added for each 4 MiB of the file.
    memory_bytes : int
        Address space the child may use, at least 512 MiB; 40 times the file's
        size is added, since files are packed and readers keep copies.

    Raises
    ------
    FileError
        If the walk raises, dies, or runs out of time or memory.
    DataUnavailableError
        If there is no such file.
    MissingDependencyError
        If the reader needs a package that is not installed.
    ConfigError
        If ``reader`` is not known or a limit is not usable.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.h5")
    >>> with create_hdf5(path) as file:
    ...     file["x"] = [1.0, 2.0]
    >>> probe(path, "hdf5")
    """
    from neuro.io import _probe

    if reader not in READERS:
        raise ConfigError(f"No reader {reader!r} to probe with. {did_you_mean(reader, READERS)}")
    _probe.check(path, reader, timeout_s=timeout_s, memory_bytes=memory_bytes)


# ---------------------------------------------------------------------- HDF5

_MAX_DEPTH = 64  # real files nest below 15; the C library recurses and overflows near 10,000
_BLOCK = 1 << 20
_MAX_BLOCKS = 64


@overload
def open_hdf5(
    path: PathLike, mode: Literal["r"] = "r", limits: Limits = DEFAULT
) -> "h5py.File": ...
@overload
def open_hdf5(
    path: PathLike, mode: Literal["w"], limits: Limits = DEFAULT
) -> "AbstractContextManager[h5py.File]": ...
def open_hdf5(path: PathLike, mode: Literal["r", "w"] = "r", limits: Limits = DEFAULT) -> Any:
    """Open an HDF5 file for reading after checking every object in it.

    Parameters
    ----------
    path : path-like
        The file.
    mode : {"r", "w"}
        ``"w"`` is :func:`create_hdf5`. There is no mode that changes a file in
        place: a crash would leave it half changed.
    limits : Limits
        What it may claim.

    Returns
    -------
    h5py.File
        Open for reading; close it, or use it in a ``with`` statement.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If it is not HDF5, is truncated, links to other files (external links,
        external storage, virtual data sets), holds soft links that lead
        nowhere or in circles, or claims more than ``limits`` allow.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.h5")
    >>> with open_hdf5(path, "w") as file:
    ...     file["eeg/data"] = [[0.0] * 5] * 2
    >>> with open_hdf5(path) as file:
    ...     file["eeg/data"].shape
    (2, 5)
    """
    if mode == "w":
        return create_hdf5(path)
    if mode != "r":
        raise ConfigError(f"open_hdf5: mode={mode!r}. Use 'r' to read or 'w' to write a new file.")
    import h5py

    path, status = regular_file(path)
    # h5py raises nearly every built-in exception on damaged structures.
    with blame(path, "is not a readable HDF5 file", Exception):
        file = h5py.File(path, "r")
        try:
            _Scan(path.name, status.st_size, limits).run(file.id)
        except BaseException:
            file.close()
            raise
    return file


@contextmanager
def create_hdf5(path: PathLike) -> "Iterator[h5py.File]":
    """Write a new HDF5 file that appears complete or not at all.

    Parameters
    ----------
    path : path-like
        Where; see :func:`atomic_path`. An existing file is replaced at the end.

    Yields
    ------
    h5py.File
        Open for writing under a temporary name.

    Raises
    ------
    OSError
        If the disk is full or not writable; the old file is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.h5")
    >>> with create_hdf5(path) as file:
    ...     file["x"] = [1, 2, 3]
    >>> [p.name for p in path.parent.iterdir()]
    ['a.h5']
    """
    import h5py

    with atomic_path(path) as temporary, temporary.open("x+b", buffering=0) as plain:
        sink = Sink(plain)
        file = h5py.File(sink, "w")
        try:
            yield file
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                file.close()
            raise
        file.close()
        sink.raise_failure()


@dataclass
class _Scan:
    """Check of every link and data set, group by group without recursion."""

    name: str
    size: int
    limits: Limits

    def run(self, root: Any) -> None:
        import h5py

        pending = [(root, "", 0)]
        seen = {h5py.h5o.get_info(root).addr}  # hard links may form circles
        links = 0
        while pending:
            group, prefix, depth = pending.pop()
            for key, kind, address in _entries(group, self.limits.max_members - links + 1):
                links += 1
                where = f"{prefix}/{printable(key.decode('utf-8', 'replace'), 80)}"
                if links > self.limits.max_members:
                    raise FileError(
                        f"'{self.name}' holds more than {self.limits.max_members} links. {TRUSTED}"
                    )
                if kind != h5py.h5l.TYPE_HARD:
                    self._check_link(group, key, kind, where)
                    continue
                if address in seen:
                    continue
                seen.add(address)
                item = h5py.h5o.open(group, key)
                if isinstance(item, h5py.h5d.DatasetID):
                    self._check_dataset(item, where)
                elif isinstance(item, h5py.h5g.GroupID):
                    if depth >= _MAX_DEPTH:
                        raise FileError(
                            f"'{self.name}': groups nest deeper than {_MAX_DEPTH} at "
                            f"'{where[:60]}…'. No recording needs that; get the file again."
                        )
                    pending.append((item, where, depth + 1))

    def _check_link(self, group: Any, key: bytes, kind: int, where: str) -> None:
        import h5py

        what = f"'{self.name}': link '{where}'"
        if kind == h5py.h5l.TYPE_EXTERNAL:
            other = printable(os.path.basename(os.fsdecode(group.links.get_val(key)[0])), 80)
            raise FileError(
                f"{what} leads into another file ('{other}'), which is refused. Copy what it "
                "points to into this file (h5copy, or the program that wrote it)."
            )
        if kind != h5py.h5l.TYPE_SOFT:
            raise FileError(f"{what} is of the user-defined type {kind}, which is refused.")
        try:
            h5py.h5o.open(group, key)
        except Exception as error:
            target = printable(os.fsdecode(group.links.get_val(key)), 80)
            raise FileError(
                f"{what} points to '{target}', which leads to no object in this file. "
                "Delete or repair the link."
            ) from error

    def _check_dataset(self, dataset: Any, where: str) -> None:
        import h5py

        what = f"'{self.name}': data set '{where}'"
        plan = dataset.get_create_plist()
        layout = plan.get_layout()
        if plan.get_external_count():
            other = printable(os.path.basename(os.fsdecode(plan.get_external(0)[0])), 80)
            raise FileError(
                f"{what} keeps its bytes in another file ('{other}'), which is refused. "
                "Repack it into one file (h5repack, or the program that wrote it)."
            )
        if layout == h5py.h5d.VIRTUAL:
            raise FileError(
                f"{what} is virtual: its bytes are in other files, which is refused. Write the "
                "values into this file."
            )
        shape = dataset.shape
        if shape is None:  # a null data space has no elements
            return
        self.limits.check_ndim(what, len(shape))
        item = dataset.get_type().get_size()
        claims = [math.prod(shape) * item]
        if layout == h5py.h5d.CHUNKED:
            claims.append(math.prod(plan.get_chunk()) * item)  # read whole, however few are asked
        if max(claims) <= self.limits.small_bytes:
            return
        # Chunks never written read as the fill value and cost nothing on disk: real, so a
        # ratio and not equality; but no index may claim more than the file's own size.
        stored = min(dataset.get_storage_size(), self.size)
        for claim in claims:
            self.limits.check_bytes(what, claim, stored)


def _entries(group: Any, limit: int) -> list[tuple[bytes, int, int]]:
    """Name, link type and address (of hard links) of what is in one group, at most ``limit``."""
    found: list[tuple[bytes, int, int]] = []

    def add(key: bytes, info: Any) -> bool | None:
        found.append((key, info.type, info.u))
        return True if len(found) >= limit else None

    group.links.iterate(add, info=True)
    return found


def walk_hdf5(path: PathLike) -> None:
    """Touch everything in an HDF5 file that a reader could trip over.

    Checks it as :func:`open_hdf5` does, then reads every attribute and up to
    64 evenly spaced blocks of every data set. Meant for :func:`probe`.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileError
        If something cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.h5")
    >>> with create_hdf5(path) as file:
    ...     file["x"] = [1.0, 2.0]
    >>> walk_hdf5(path)
    """
    with open_hdf5(path) as file, blame(path, "is damaged inside", Exception):
        _touch_attributes(file)
        file.visititems(_touch)


def _touch(_: str, item: Any) -> None:
    import h5py

    _touch_attributes(item)
    if not isinstance(item, h5py.Dataset) or item.size in (None, 0):
        return
    try:
        kind = item.dtype
    except TypeError:  # a type numpy has no name for: no reader can use it either
        return
    if not item.shape:
        item[()]
    elif item.chunks is None and not kind.hasobject:
        # Plain contiguous numbers need no decoding: the two ends show that the bytes are there.
        item[(0,) * item.ndim]
        item[tuple(n - 1 for n in item.shape)]
    else:
        for block in _blocks(item.shape, item.chunks, kind.itemsize):
            item[block]


def _touch_attributes(item: Any) -> None:
    for key in item.attrs:
        with suppress(TypeError):  # likewise
            item.attrs[key]


def _blocks(
    shape: tuple[int, ...], chunks: tuple[int, ...] | None, itemsize: int
) -> Generator[tuple[slice, ...]]:
    """Up to 64 evenly spaced blocks, multiples of the chunk and about 1 MiB each."""
    block = [min(n, c) for n, c in zip(shape, chunks or (1,) * len(shape), strict=True)]
    for axis in reversed(range(len(shape))):
        room = _BLOCK // max(1, math.prod(block) * itemsize)
        block[axis] = min(shape[axis], block[axis] * max(1, room))
    counts = [-(-n // b) for n, b in zip(shape, block, strict=True)]
    total = math.prod(counts)
    picks = min(total, _MAX_BLOCKS)
    for i in range(picks):
        flat = i * (total - 1) // max(1, picks - 1)
        starts = []
        for n, b in zip(reversed(counts), reversed(block), strict=True):
            flat, place = divmod(flat, n)
            starts.append(place * b)
        yield tuple(slice(s, s + b) for s, b in zip(reversed(starts), block, strict=True))


# ---------------------------------------------------------------------- YAML

_YAML_NODES = 100_000
_YAML_DEPTH = 50


def load_yaml(source: PathLike, *, max_bytes: int = 1 << 20) -> Any:
    r"""Content of a YAML file or text, plain types only.

    Parameters
    ----------
    source : path-like or str
        A ``pathlib.Path`` is a file. A str is a file if it is one line ending
        in ``.yaml`` or ``.yml``, else the YAML text itself.
    max_bytes : int
        Refuse more.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, booleans, dates, None.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If it is not YAML, asks for Python objects, repeats a key, or unfolds
        to more than 100,000 values or 50 levels.

    Examples
    --------
    >>> load_yaml("sfreq: 256\nch_names: [C3, C4]")
    {'sfreq': 256, 'ch_names': ['C3', 'C4']}
    """
    import yaml

    if isinstance(source, str) and ("\n" in source or not source.endswith((".yaml", ".yml"))):
        name, text = "YAML text", source
        if len(text) > max_bytes:
            raise FileError(f"{name} has {human(len(text))}; the limit is {human(max_bytes)}.")
    else:
        name, text = f"'{Path(source).name}'", read_text(source, max_bytes)
    try:
        _check_yaml(text, name)
        # No C loader: it recurses without a limit of its own.
        return yaml.load(text, Loader=_yaml_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        what = printable(", ".join(filter(None, (error.context, error.problem))) or "not YAML")
        raise FileError(
            f"{name}{line}: {what}. Correct that line; only plain types load."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{name} is not valid YAML: {printable(str(error))}.") from error


def _check_yaml(text: str, name: str) -> None:
    """Refuse text whose aliases or nesting unfold beyond reason, before building anything."""
    import yaml

    counts = [0]  # values inside each open collection, aliases unfolded
    anchors: list[str | None] = [None]
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise FileError(
                    f"{name}: alias *{printable(str(anchor), 40)} refers to itself or nothing."
                )
            counts[-1] += sizes[anchor]
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            if anchor:
                sizes[anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, opened = counts.pop(), anchors.pop()
            counts[-1] += size
            if opened:
                sizes[opened] = size
        if counts[-1] > _YAML_NODES or len(counts) > _YAML_DEPTH:
            raise FileError(
                f"{name} unfolds to more than {_YAML_NODES} values or {_YAML_DEPTH} levels. "
                "Write the repeated parts out or split the file."
            )


def _yaml_loader() -> Any:
    """SafeLoader that refuses a repeated key, where YAML lets the last one win in silence."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
            return node

    return Loader
