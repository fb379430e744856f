"""Limits, atomic writes, JSON: what every reader and writer shares.

Nothing in here parses a binary format; that happens in ``neuro.io.safe``,
which re-exports the public names.
"""

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError, NeuroError
from neuro.typing import PathLike

__all__ = ["DEFAULT", "Limits", "atomic_path", "read_json", "sha256_of", "write_json"]

TRUSTED = "If you trust the file, pass a wider limits=Limits(...)."
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BUSY = "Check its permissions, and that no other program is writing it."
DAMAGED = "The file is damaged, incomplete or not of this format: get it again from its source."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a file may claim before it is refused.

    Parameters
    ----------
    max_bytes : int
        Largest array, and largest sum of unpacked members. The default, 64 GiB,
        holds a day of 128 channels at 1 kHz.
    max_ratio : float
        Largest claimed size over stored size. Deflate reaches 1,032 on zeros;
        sparse spike counts and masks reach about 100.
    max_members : int
        Largest number of archive members, or of links in an HDF5 file.
    max_ndim : int
        Largest number of dimensions of one array.
    small_bytes : int
        Claims up to this size need no stored bytes behind them.

    Examples
    --------
    >>> Limits(max_bytes=1 << 20).max_bytes
    1048576
    """

    max_bytes: int = 64 << 30
    max_ratio: float = 200.0
    max_members: int = 100_000
    max_ndim: int = 8
    small_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"Limits: {field.name}={value!r} is not positive. Give it more.")

    def check_bytes(self, what: str, claimed: int, stored: int) -> None:
        """Refuse a claim that is beyond the limit or beyond what is stored.

        Parameters
        ----------
        what : str
            Subject of the message, such as ``"'x.h5': dataset '/eeg'"``.
        claimed, stored : int
            Bytes after and before unpacking.

        Raises
        ------
        FileError
            If ``claimed`` is too much.
        """
        if claimed > self.max_bytes:
            raise FileError(
                f"{what} claims {human(claimed)}; the limit is {human(self.max_bytes)}. {TRUSTED}"
            )
        if claimed > self.small_bytes and claimed > self.max_ratio * stored:
            raise FileError(
                f"{what} claims {human(claimed)} but {human(stored)} are stored: more than "
                f"{self.max_ratio:g} to 1. {TRUSTED}"
            )

    def check_ndim(self, what: str, ndim: int) -> None:
        """Refuse an array of more dimensions than ``max_ndim``."""
        if ndim > self.max_ndim:
            raise FileError(
                f"{what} has {ndim} dimensions; the limit is {self.max_ndim}. {TRUSTED}"
            )


DEFAULT = Limits()


def human(count: int) -> str:
    """Bytes as people write them: ``"4 TiB"``."""
    if count < 1024:
        return f"{count} bytes"
    if count >= 1 << 80:  # beyond what a float may hold, if a header says so
        return "more than 2^80 bytes"
    units = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB")
    power = min((count.bit_length() - 1) // 10, len(units))
    return f"{count / 1024**power:.4g} {units[power - 1]}"


def printable(text: str, limit: int = 300) -> str:
    """One short line that no terminal will interpret: text out of a file may be hostile."""
    line = text
    if not text.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def reason(error: BaseException, path: PathLike) -> str:
    """What an exception says: one line, no folder of the file, no full stop at its end."""
    text = f"{error}"
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    given = os.fspath(path)
    for whole in {os.path.realpath(given), os.path.abspath(given), given}:
        text = text.replace(whole, os.path.basename(given))
    return printable(text.rstrip(" .\n")) or type(error).__name__


def regular_file(path: PathLike) -> tuple[Path, os.stat_result]:
    """Path and status of a file that exists and is neither folder, pipe nor device.

    Raises
    ------
    DataUnavailableError
        If there is nothing at that path.
    FileError
        If it is not a regular file or may not be looked at.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataUnavailableError(f"'{path.name}' does not exist. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        text = getattr(error, "strerror", None) or error
        raise FileError(
            f"'{printable(path.name)}' cannot be opened ({text}). Check the path."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise FileError(f"'{path.name}' is {kind}, not a file. Check the path.")
    return path, status


@contextmanager
def blame(path: PathLike, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn a parser's exceptions into one FileError that names the file.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        Ends the sentence "'x.npy' …", such as ``"is not a readable npy file"``.
    *errors : type
        The exceptions to turn; others pass, this package's own always do.
    """
    try:
        yield
    except NeuroError:
        raise
    except errors as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise  # said by the file being written, not by the one being read
        name = os.path.basename(os.fspath(path))
        remedy = BUSY if isinstance(error, PermissionError | BlockingIOError) else DAMAGED
        raise FileError(f"'{name}' {what}: {reason(error, path)}. {remedy}") from error


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Write a file completely or not at all.

    The body writes to a temporary name in the same folder (hidden, with the
    same suffix). When it returns, the bytes are forced to disk and the file
    takes its name in one step; when it raises, the temporary file is deleted
    and an existing file keeps its old content. A killed process may leave the
    hidden file behind, never a half-written one under the real name.

    Parameters
    ----------
    path : path-like
        Where the file is to appear. Missing folders are made. A symbolic link
        there is replaced, not followed.

    Yields
    ------
    pathlib.Path
        The name to write to; it does not exist yet.

    Raises
    ------
    FileError
        If ``path`` is a folder, or the body wrote nothing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> target = Path(tempfile.mkdtemp(), "notes.txt")
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('done', 1)
    """
    target = Path(path)
    if target.is_dir():
        raise FileError(f"'{target.name}' is a folder; a file of that name cannot be written.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The end of the name is kept because several libraries choose the format by it.
    temporary = target.with_name(f".{secrets.token_hex(6)}.part-{target.name[-100:]}")
    try:
        yield temporary
        if not temporary.is_file():
            raise FileError(f"'{target.name}': nothing was written to the temporary file.")
        _to_disk(temporary)
        os.replace(temporary, target)
    except OSError as error:
        error.add_note(
            f"'{target.name}' was not written; a file that was there before is unchanged. "
            "Check free space and permissions, then run again."
        )
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()
    with suppress(OSError):  # some file systems cannot sync a folder
        _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: PathLike) -> str:
    """SHA-256 of a file's bytes.

    Parameters
    ----------
    path : path-like
        The file; read in pieces, so its size does not matter.

    Returns
    -------
    str
        64 lower-case hexadecimal digits.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "empty")
    >>> path.touch()
    >>> sha256_of(path)[:16]
    'e3b0c44298fc1c14'
    """
    path, _ = regular_file(path)
    with blame(path, "cannot be read", OSError), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_text(path: PathLike, max_bytes: int) -> str:
    """Text of a UTF-8 file no larger than ``max_bytes``."""
    path, _ = regular_file(path)
    with blame(path, "is not UTF-8 text", OSError, UnicodeDecodeError), path.open("rb") as stream:
        data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise FileError(
                f"'{path.name}' has more than the {human(max_bytes)} that this kind of file may "
                "have. If you trust it, pass a larger max_bytes."
            )
        return data.decode("utf-8-sig")


def read_json(path: PathLike, *, max_bytes: int = 64 << 20) -> Any:
    """Content of a JSON file.

    Parameters
    ----------
    path : path-like
        The file, UTF-8.
    max_bytes : int
        Refuse a larger one.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, booleans, None.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    FileError
        If it is too large, truncated, nested too deeply or not JSON.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.json")
    >>> write_json(path, {"tr": 1.4})
    >>> read_json(path)
    {'tr': 1.4}
    """
    text = read_text(path, max_bytes)
    with blame(path, "is not JSON", ValueError, RecursionError):
        return json.loads(text)


def write_json(
    path: PathLike, value: Any, *, indent: int | None = 2, nan: Literal["refuse", "null"] = "refuse"
) -> None:
    r"""Write a JSON file, completely or not at all.

    Parameters
    ----------
    path : path-like
        Where; see :func:`atomic_path`.
    value : object
        Dictionaries with string keys, sequences, numbers, strings, None; numpy
        scalars and arrays become numbers and lists.
    indent : int, optional
        Spaces a level; None writes one line.
    nan : {"refuse", "null"}
        JSON has no NaN and no infinity: raise, or write ``null``.

    Raises
    ------
    DataError
        If something in ``value`` has no JSON form; the message says where.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.json")
    >>> write_json(path, {"score": np.float32(0.5), "n": None}, indent=None)
    >>> path.read_text()
    '{"score": 0.5, "n": null}\n'
    """
    plain = _plain(value, "", nan == "null")
    text = json.dumps(plain, indent=indent, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any, where: str, null: bool) -> Any:
    """The same value in types that JSON has; ``where`` is the path to it."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        if np.isfinite(value):
            return value
        if null:
            return None
        raise DataError(
            f"{where or 'The value'} is {value}, which JSON cannot hold. Write None, or pass "
            "nan='null'."
        )
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"{where or 'The top level'} has the key {key!r}; use strings.")
        return {k: _plain(v, f"{where}.{k}".lstrip("."), null) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]", null) for i, v in enumerate(value)]
    raise DataError(
        f"{where or 'The value'} is a {type(value).__name__}, which JSON cannot hold. Convert it "
        "to numbers, strings, lists and dictionaries first."
    )
