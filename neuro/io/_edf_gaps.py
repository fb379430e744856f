"""When each data record of a discontinuous EDF+ or BDF+ file was taken.

MNE puts the records of such a file end to end and leaves out annotations that
it then believes to lie behind the end. Their true times stand in the
annotation channels, which are read here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuro.errors import FileError
from neuro.io._files import DAMAGED
from neuro.typing import BoolArray, FloatArray

__all__ = ["Timeline", "parse_notes", "read_timeline"]

_FIXED = 256  # bytes of the header's first part, and of its part for each channel
_TOLERANCE = 1e-3  # of a record: stamps are decimal numbers of a few digits
# A time, perhaps a duration, texts, as the EDF+ standard writes them in bytes 20, 21 and 0.
_NOTE = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?((?:\x14[^\x14\x00]*)+)\x14\x00")
_STAMP = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14")


@dataclass(frozen=True)
class Timeline:
    """Begin of each record in seconds after the first, their length, and all annotations.

    Parameters
    ----------
    starts : ndarray, shape (n_records,)
        Seconds.
    length : float
        Seconds in a record.
    notes : tuple of (float, float, str)
        Onset in seconds after the first record's begin, duration, text.
    """

    starts: FloatArray
    length: float
    notes: tuple[tuple[float, float, str], ...] = ()

    @property
    def jumps(self) -> BoolArray:
        """Whether a gap lies behind each record but the last, shape (n_records - 1,)."""
        return np.asarray(np.abs(np.diff(self.starts) - self.length) > _TOLERANCE * self.length)

    def annotations(self) -> tuple[Any, int]:
        """MNE's annotations on the clock of records put end to end.

        Returns
        -------
        annotations : mne.Annotations
            Those inside a record, and ``EDGE`` where a gap was.
        lost : int
            How many lay inside gaps.
        """
        import mne

        out = [(self.length * (i + 1), 0.0, "EDGE gap") for i in np.flatnonzero(self.jumps)]
        order = np.argsort(self.starts, kind="stable")
        slack = _TOLERANCE * self.length
        lost = 0
        for onset, duration, text in self.notes:
            place = int(np.searchsorted(self.starts[order], onset + slack, side="right")) - 1
            record = int(order[max(place, 0)])
            inside = onset - self.starts[record]
            if not -slack <= inside < self.length:
                lost += 1
                continue
            out.append((record * self.length + max(0.0, inside), duration, text))
        out.sort()
        return mne.Annotations(*(list(column) for column in zip(*out, strict=True))), lost


def read_timeline(path: Path) -> Timeline | None:
    """Times of the records of a file that says it is discontinuous, else None.

    Parameters
    ----------
    path : Path
        An ``.edf`` or ``.bdf`` file.

    Raises
    ------
    FileError
        If it says so but its records carry no times.
    """
    width = 3 if path.suffix.lower() == ".bdf" else 2
    with path.open("rb") as stream:
        head = stream.read(_FIXED)
        if not head[192:236].upper().startswith((b"EDF+D", b"BDF+D")):
            return None
        n_chans, length = int(head[252:256]), float(head[244:252])
        wide = stream.read(_FIXED * n_chans)
        labels = [wide[16 * i : 16 * (i + 1)].strip().lower() for i in range(n_chans)]
        sizes = [
            width * int(wide[216 * n_chans + 8 * i : 216 * n_chans + 8 * (i + 1)])
            for i in range(n_chans)
        ]
        places = np.concatenate([[0], np.cumsum(sizes)])
        wanted = [i for i, label in enumerate(labels) if label.endswith(b"df annotations")]
        row, first = int(places[-1]), _FIXED * (n_chans + 1)
        if not wanted or row <= 0 or min(sizes) < 0 or not length > 0:
            raise FileError(f"'{path.name}' is discontinuous but tells no times. {DAMAGED}")
        texts = []
        for record in range((path.stat().st_size - first) // row):
            parts = []
            for i in wanted:
                stream.seek(first + record * row + int(places[i]))
                parts.append(stream.read(sizes[i]))
            texts.append(parts)
    return _timeline(path, texts, length)


def parse_notes(part: bytes) -> tuple[float | None, list[tuple[float, float, str]]]:
    r"""When a data record begins, if its bytes tell, and the annotations in them.

    Parameters
    ----------
    part : bytes
        What an annotation channel holds in one record.

    Returns
    -------
    stamp : float or None
        Seconds on the file's clock.
    notes : list of (onset, duration, text)
        Seconds on the file's clock.

    Examples
    --------
    >>> parse_notes(b"+1\x14\x14\x00+1.5\x150.5\x14left\x14\x00")
    (1.0, [(1.5, 0.5, 'left')])
    """
    stamp = _STAMP.match(part)
    notes = []
    for onset, duration, words in _NOTE.findall(part):
        texts = [w.decode("utf-8", "replace") for w in words.split(b"\x14") if w]
        notes += [(float(onset), float(duration or 0), text) for text in texts]
    return (float(stamp[1]) if stamp else None), notes


def _timeline(path: Path, texts: list[list[bytes]], length: float) -> Timeline:
    starts: list[float] = []
    notes: list[tuple[float, float, str]] = []
    for number, parts in enumerate(texts, 1):
        stamp = _STAMP.match(parts[0])
        if stamp is None:
            raise FileError(f"'{path.name}': data record {number} tells no time. {DAMAGED}")
        starts.append(float(stamp[1]))
        for part in parts:
            found = parse_notes(part)[1]
            notes += [(onset - starts[0], duration, text) for onset, duration, text in found]
    return Timeline(np.array(starts) - starts[0] if starts else np.zeros(0), length, tuple(notes))
