"""Archives: named members only, nothing outside the folder, nothing beyond the limits."""

import bz2
import gzip
import hashlib
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO, Any

from neuro.errors import DataError, FileError
from neuro.io._files import (
    DAMAGED,
    DEFAULT,
    TRUSTED,
    Limits,
    atomic_path,
    blame,
    printable,
    regular_file,
)
from neuro.typing import PathLike

__all__ = ["check_members", "extract_members", "near", "open_zip", "relative"]

_ZIP_ERRORS = (
    OSError,
    IndexError,  # of a member without a name
    ValueError,
    EOFError,
    MemoryError,
    NotImplementedError,  # also a RuntimeError, which zipfile raises for a password
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
_TAR_ERRORS = (OSError, ValueError, EOFError, MemoryError, tarfile.TarError, zlib.error)


def extract_members(
    archive: PathLike,
    members: Mapping[str, str | None] | Iterable[str],
    dest: PathLike,
    limits: Limits = DEFAULT,
) -> dict[str, Path]:
    """Unpack the named members of a zip, wheel or tar archive, and nothing else.

    All members are unpacked under temporary names and checked before the first
    takes its own name: a refused archive leaves no file.

    Parameters
    ----------
    archive : path-like
        ``.zip``, ``.whl``, ``.tar``, ``.tar.gz`` or ``.tar.bz2``; told by content.
    members : mapping of str to str or None, or iterable of str
        Full member path -> SHA-256 of its content, or None for any content.
    dest : path-like
        Folder to unpack into; a member keeps its path below it.
    limits : Limits
        What the archive may claim.

    Returns
    -------
    dict of str to pathlib.Path
        Where each member now is.

    Raises
    ------
    DataUnavailableError
        If there is no such archive.
    FileError
        If a member is missing, stands twice, is a link, leaves ``dest``, is
        larger than allowed or has another hash; or the archive is damaged.
    DataError
        If a name in ``members`` is not a plain relative path.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as z:
    ...     z.writestr("data/x.txt", "1 2 3")
    >>> found = extract_members(folder / "a.zip", ["data/x.txt"], folder / "out")
    >>> found["data/x.txt"].read_text()
    '1 2 3'
    """
    path, status = regular_file(archive)
    wanted = dict(members) if isinstance(members, Mapping) else dict.fromkeys(members)
    targets = {m: _target(Path(dest), m) for m in wanted}
    with path.open("rb") as stream:
        head = stream.read(512)
    with ExitStack() as pending:  # unwinds on any error: every temporary file goes
        outputs = {m: pending.enter_context(atomic_path(t)) for m, t in targets.items()}
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            _from_zip(path, wanted, outputs, limits)
        else:
            _from_tar(path, head, status.st_size, wanted, outputs, limits)
    return targets


def _from_zip(
    path: Path, wanted: Mapping[str, str | None], outputs: Mapping[str, Path], limits: Limits
) -> None:
    with open_zip(path, limits) as archive:
        infos = {i.filename: i for i in archive.infolist()}
        for name in wanted:
            if name not in infos:
                raise FileError(f"'{path.name}' has no member '{name}'. {near(name, infos)}")
        check_members(path.name, [infos[name] for name in wanted], limits)
        for name, digest in wanted.items():
            with archive.open(infos[name]) as stream:
                _copy(stream, outputs[name], digest, f"'{path.name}': member '{name}'")


def _from_tar(
    path: Path,
    head: bytes,
    size: int,
    wanted: Mapping[str, str | None],
    outputs: Mapping[str, Path],
    limits: Limits,
) -> None:
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}
    opener = openers.get(head[:2], open)
    if opener is open and head[257:262] != b"ustar":
        raise FileError(
            f"'{path.name}' is no zip, tar, tar.gz or tar.bz2 archive. Other kinds are not "
            "unpacked: unpack it yourself and give the folder."
        )
    names: Counter[str] = Counter()
    total = 0
    with blame(path, "is not a readable tar archive", *_TAR_ERRORS), opener(path, "rb") as raw:
        stream = _Metered(raw, path.name, size, limits)
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for item in archive:
                names[item.name] += 1
                if names.total() > limits.max_members:
                    raise FileError(
                        f"'{path.name}' has over {limits.max_members} members. {TRUSTED}"
                    )
                if item.name not in wanted:
                    continue
                what = f"'{path.name}': member '{item.name}'"
                if names[item.name] > 1:
                    raise FileError(f"{what} stands twice; which is meant is not clear. {DAMAGED}")
                if not item.isreg() or item.issparse():
                    raise FileError(f"{what} is a link, a device or sparse, not a plain file.")
                total += item.size
                limits.check_bytes(what, total, size)
                content = archive.extractfile(item)
                assert content is not None  # for the type checker: it is a regular file
                _copy(content, outputs[item.name], wanted[item.name], what)
    for name in wanted:
        if not names[name]:
            raise FileError(f"'{path.name}' has no member '{name}'. {near(name, names)}")


class _Metered:
    """A stream that stops a decompression bomb, also between the members asked for."""

    def __init__(self, raw: IO[bytes], name: str, stored: int, limits: Limits) -> None:
        self.raw, self.name, self.stored, self.limits = raw, name, stored, limits
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self.raw.read(size)
        self.count += len(data)
        self.limits.check_bytes(f"'{self.name}'", self.count, self.stored)
        return data


def _copy(stream: IO[bytes], output: Path, digest: str | None, what: str) -> None:
    found = hashlib.sha256()
    with output.open("xb") as sink:
        while block := stream.read(1 << 20):
            found.update(block)
            sink.write(block)
    if digest is not None and found.hexdigest() != digest.lower():
        raise FileError(
            f"{what} has SHA-256 {found.hexdigest()}, expected {digest}. The archive is another "
            "version or was changed; nothing was unpacked."
        )


def _target(dest: Path, member: str) -> Path:
    relative(member, "extract_members", DataError)
    target = dest / member
    if not target.parent.resolve().is_relative_to(dest.resolve()):
        raise FileError(
            f"Member '{member}' would leave the folder '{dest.name}' through a symbolic link "
            "in it. Remove the link or unpack elsewhere."
        )
    return target


def relative(name: str, who: str, error: type[Exception]) -> None:
    """Refuse a name that is not a plain relative path with forward slashes."""
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and "\\" not in name
    if not parts or ".." in parts or parts[0] == "/" or not plain or name.endswith("/"):
        raise error(
            f"{who}: {name!r} is not a plain relative path. Use names like 'folder/file.npy'."
        )


def near(name: str, known: Iterable[str]) -> str:
    """The closest names there are; an archive may hold too many to list all."""
    options = [printable(k, 120) for k in known]
    close = get_close_matches(name, options[:10_000], n=3, cutoff=0.4) or options[:3]
    return f"It holds {len(options)}, such as: {', '.join(close) or '(none)'}."


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Zip archive whose directory is sane; errors inside the body name the file."""
    with blame(path, "is not a readable zip archive", *_ZIP_ERRORS), zipfile.ZipFile(path) as z:
        infos = z.infolist()
        if len(infos) > limits.max_members:
            raise FileError(
                f"'{path.name}' has {len(infos)} members; the limit is {limits.max_members}. "
                f"{TRUSTED}"
            )
        twice = [n for n, count in Counter(i.filename for i in infos).items() if count > 1]
        if twice:
            raise FileError(
                f"'{path.name}': member '{printable(twice[0], 80)}' stands twice. {DAMAGED}"
            )
        # Members that share bytes are how small archives unpack to petabytes.
        if sum(i.compress_size for i in infos) > path.stat().st_size:
            raise FileError(f"'{path.name}': members overlap each other. {DAMAGED}")
        yield z


def check_members(name: str, infos: Iterable[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuse links, passwords, rare compressions and bombs among the members to be read."""
    total = stored = 0
    for info in infos:
        what = f"'{name}': member '{printable(info.filename, 80)}'"
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise FileError(f"{what} is a folder or a link, not a plain file.")
        if info.flag_bits & 1:
            raise FileError(f"{what} is encrypted. Unpack it yourself and give the folder.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileError(
                f"{what} uses compression method {info.compress_type}; only stored and deflated "
                "are read. Pack it again with a common zip program."
            )
        limits.check_bytes(what, info.file_size, info.compress_size)
        total, stored = total + info.file_size, stored + info.compress_size
    limits.check_bytes(f"'{name}', unpacked,", total, stored)
