"""Readers that do to a damaged file what none may do, to show that the harness notices."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # which starts a process when it is first imported
from fuzz_eeg import Seed
from fuzz_seeds import Format

from neuro.errors import FileError

_TEXT = "a file that is read without complaint as long as nobody damages it\n"


def _abort(path: Path) -> None:
    os.abort()


def _leave(path: Path) -> None:
    sys.exit(3)


def _hang(path: Path) -> None:
    time.sleep(60)


def _hog(path: Path) -> None:
    _kept.append(bytearray(b"x") * (3 << 29))


def _ask(path: Path) -> None:
    try:
        bytearray(1 << 40)
    except MemoryError as error:
        raise FileError("'a.txt' cannot be read.") from error


def _stumble(path: Path) -> None:
    raise KeyError("nbchan")


class _LoudError(FileError):
    __str__ = Exception.__str__


def _shout(path: Path) -> None:
    raise _LoudError("'a.txt' holds \x1b[31m")


def _tell(path: Path) -> None:
    raise FileError(f"{path} is damaged.")


def _litter(path: Path) -> None:
    (path.parent / "b.txt").write_text("x")


def _litter_by_c(path: Path) -> None:
    # as a library of C would: the interpreter knows nothing of it
    h5py.File(path.parent / "b.h5", "w").close()


def _litter_elsewhere(path: Path) -> None:
    h5py.File("c.h5", "w").close()


def _start(path: Path) -> None:
    subprocess.run(["true"], check=True)


def _unpickle(path: Path) -> None:
    import pickle

    pickle.loads(pickle.dumps(Path))


def _refuse(path: Path) -> None:
    raise FileError("'a.txt' is damaged.")


_kept: list[Any] = []


def _make(folder: Path) -> list[Seed]:
    (folder / "a.txt").write_text(_TEXT)
    return [Seed(".", "a.txt", ("a.txt",))]


def _format(act: Callable[[Path], None]) -> Format:
    def open_one(path: Path) -> None:
        if path.read_bytes() != _TEXT.encode():
            act(path)

    return Format(_make, open=open_one)


FORMATS = {
    name.removeprefix("_"): _format(act)
    for name, act in list(globals().items())
    if name in (
        "_abort", "_leave", "_hang", "_hog", "_ask", "_stumble", "_shout", "_tell", "_litter",
        "_litter_by_c", "_litter_elsewhere", "_start", "_unpickle", "_refuse",
    )
}  # fmt: skip
