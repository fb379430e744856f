"""One rat's two-tone choices, 80 sessions of 20,000 trials in all.

The published ``.npz`` holds a pickled dictionary. Unpickling a foreign file
can run code, so the pickle's opcodes are read here by a small machine that
knows numbers, text, lists, dictionaries and plain arrays, and nothing else.
"""

import pickletools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._provenance import provenance
from neuro.errors import FileError
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["load"]

# Inputs of the file, what this package calls them, and which of their columns
# (column i lies i trials back; for the history terms column 0 is already one back).
_INPUTS = {
    "s1": "tone 1",
    "s2": "tone 2",
    "s_avg": "mean of the previous tones",
    "h": "previous answer",
    "r": "previous reward",
    "c": "previous choice",
}
_SIDES = np.array(["", "left", "right"])


def load(card: Card, files: Mapping[str, Path]) -> "list[Recording]":
    """One recording a session.

    Parameters
    ----------
    card : Card
        The data set's card.
    files : mapping of str to Path
        Member -> file.

    Returns
    -------
    list of Recording
        Stream ``trials``: rows choice (1 right, 0 left), answer, correct and
        six inputs; one sample a trial. The nominal rate of 1 Hz counts trials,
        not seconds. Events ``left`` / ``right`` are the choices (value 1 if
        correct).
    """
    from neuro.data import Axis, Events, Recording, Regular, exact_rate

    (path,) = files.values()
    columns, lengths = _columns(path)
    axis = Axis(columns, ["choice", "choice", "choice", *["input"] * len(_INPUTS)])
    data = np.stack(list(columns.values())).astype(np.float32)
    out, start = [], 0
    for number, length in enumerate(lengths, 1):
        session = data[:, start : start + length]
        start += length
        out.append(
            Recording(
                {"trials": Regular(session, exact_rate(1), "au", axis, "behaviour")},
                Events.make(
                    np.arange(length, dtype=np.float64),
                    np.where(session[0] > 0, "right", "left"),
                    duration_s=1.0,
                    value=session[2],
                ),
                id=f"{card.name}_session-{number:02d}",
                dataset=card.name,
                subject="W053",
                session=f"{number:02d}",
                task="two_tone_comparison",
                provenance=provenance(card, path, "1 Hz counts trials, not seconds"),
            )
        )
    return out


def _columns(path: Path) -> tuple[dict[str, AnyArray], list[int]]:
    """The rows of the stream, and the number of trials a session."""
    content = _read_dict(path)
    try:
        rows = {
            "choice": (content["y"] == 2).astype(np.float32),
            "answer": (content["answer"] == 2).astype(np.float32),
            "correct": content["correct"],
        }
        rows |= {name: content["inputs"][key][:, 0] for key, name in _INPUTS.items()}
        lengths = [int(n) for n in content["dayLength"]]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise FileError(f"{path.name}: the dictionary lacks {error}.") from None
    sizes = {len(row) for row in rows.values()}
    if sizes != {sum(lengths)} or min(lengths) <= 0:
        raise FileError(f"{path.name}: {sizes} trials in sessions of {sum(lengths)}.")
    return rows, lengths


def _read_dict(path: Path) -> dict[str, Any]:
    from neuro.io import safe

    with tempfile.TemporaryDirectory(prefix="neuro-choices-") as folder:
        safe.extract_members(path, ["D.npy"], Path(folder))
        raw = (Path(folder) / "D.npy").read_bytes()
    header, _, pickled = raw.partition(b"\n")
    if not header.startswith(b"\x93NUMPY") or b"'|O'" not in header:
        raise FileError(f"{path.name}: 'D' is not an array that holds a dictionary.")
    try:
        content = read_plain_pickle(pickled)
        if isinstance(content, _Array) and content.value is not None:
            content = content.value
    except FileError as error:
        raise FileError(f"{path.name}: {error}") from None
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        return {str(key): _plain(value) for key, value in content[0].items()}
    raise FileError(f"{path.name}: 'D' does not hold one dictionary.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.value if isinstance(value, _Array) else value


@dataclass(eq=False)
class _Array:
    """An array that the pickle has announced but not yet filled."""

    value: Any = None


@dataclass(eq=False)
class _Dtype:
    code: str


_MARK = object()
_DTYPES = {"f8": "<f8", "f4": "<f4", "i8": "<i8", "i4": "<i4", "b1": "|b1", "O8": "O"}
_PUSH = {"BININT", "BININT1", "BININT2", "BINUNICODE", "BINFLOAT", "LONG1"}
_CONSTANTS = {"NONE": None, "NEWFALSE": False, "NEWTRUE": True}
_EMPTY: dict[str, type] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_GLOBALS = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",
}


def read_plain_pickle(data: bytes) -> Any:
    """Content of a pickle of plain values and numeric arrays; nothing is executed.

    Parameters
    ----------
    data : bytes
        The pickle.

    Returns
    -------
    object
        Numbers, text, lists, tuples, dictionaries; arrays as wrappers whose
        ``value`` is the array.

    Raises
    ------
    FileError
        At the first opcode or name outside the small closed set.
    """
    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument, position)
    except FileError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"malformed pickle ({error}).") from None
    raise FileError("the pickle ends early.")


class _Machine:
    """Stack and memo of a pickle, without the power to import or call."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any, position: int | None) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _PUSH:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in _TUPLES:
            n = _TUPLES[name]
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif name == "GLOBAL" and argument in _GLOBALS:
            stack.append(argument)
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_reduce(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._to_mark()
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._to_mark()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            raise FileError(f"pickle opcode {name} {argument!r} at byte {position} is refused.")

    def _to_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _reduce(function: Any, arguments: Any) -> Any:
    if function == "_codecs encode" and arguments[1] == "latin1":
        return arguments[0].encode("latin1")
    if function == "numpy dtype" and arguments[0] in _DTYPES:
        return _Dtype(_DTYPES[arguments[0]])
    if isinstance(function, str) and function.endswith("_reconstruct"):
        return _Array()
    raise FileError(f"pickle calls {str(function)[:40]!r} with {str(arguments)[:40]}; refused.")


def _build(target: Any, state: Any) -> None:
    if isinstance(target, _Dtype):
        if state[1] not in ("<", "|"):
            raise FileError(f"byte order {state[1]!r} is refused.")
        return
    _, shape, dtype, fortran, content = state
    if not isinstance(target, _Array) or not isinstance(dtype, _Dtype):
        raise FileError("pickle sets the state of something that is no array.")
    if dtype.code == "O":
        target.value = content
        return
    flat: FloatArray = np.frombuffer(content, dtype=dtype.code)
    target.value = flat.reshape(shape, order="F" if fortran else "C")
