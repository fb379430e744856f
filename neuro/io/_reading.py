"""What every reader shares: one kind of error, notes instead of warnings, provenance."""

import csv
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Events, Provenance, Recording, Regular, check_plausible
from neuro.errors import (
    ConfigError,
    DataError,
    DataUnavailableError,
    FileError,
    MissingDependencyError,
    NeuroError,
    did_you_mean,
)
from neuro.io._files import blame, printable, read_text, reason, sha256_of
from neuro.typing import FloatArray, PathLike

__all__ = [
    "Table",
    "check_facts",
    "check_some_finite",
    "events_from_table",
    "finish",
    "judge",
    "judged",
    "provenance",
    "read_table",
    "reading",
]

_FACTS = tuple(
    f.name for f in fields(Recording) if f.name not in ("streams", "events", "clocks", "provenance")
)
_MISSING = {"", "n/a", "na", "nan", "null", "none"}


@contextmanager
def reading(path: PathLike, what: str = "cannot be read") -> Iterator[list[str]]:
    """Run a foreign reader: its exceptions become one FileError, its warnings notes.

    Errors of this package pass, with the file's name put before them.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        Ends the sentence "'x.edf' …".

    Yields
    ------
    list of str
        Filled with what the reader warned of once the block has ended.
    """
    notes: list[str] = []
    name = os.path.basename(os.fspath(path))
    with _heard(path, notes), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with blame(path, what, Exception):
                yield notes
        except (FileError, DataUnavailableError, MissingDependencyError):
            raise
        except NeuroError as error:
            raise type(error)(f"'{name}': {error}") from error
        for warning in caught:
            if issubclass(warning.category, RuntimeWarning | UserWarning):
                text = reason(Exception(str(warning.message)), path)
                if text not in notes:
                    notes.append(text)


# Loggers that tell of oddities on stderr, where nobody relates them to the file;
# MNE's even on stdout, amid what a program may be reading.
_TALKERS = ("nibabel.global", "pyxdf.pyxdf", "mne")


@contextmanager
def _heard(path: PathLike, notes: list[str]) -> Iterator[None]:
    """Turn what foreign readers log into notes, and keep it off the terminal."""

    def hear(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            text = reason(Exception(record.getMessage()), path)
            if text not in notes:
                notes.append(text)
        return False

    loggers = [logging.getLogger(name) for name in _TALKERS]
    for logger in loggers:
        logger.addFilter(hear)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hear)


def check_facts(facts: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that are no field of a recording."""
    for name in facts:
        if name not in _FACTS:
            raise ConfigError(f"read() takes no argument {name!r}. {did_you_mean(name, _FACTS)}")


def provenance(paths: Iterable[PathLike], reader: str, library: str = "") -> Provenance:
    """Where a recording came from: file name, hash of the bytes, who read it.

    Several files are hashed as the list of their names and hashes.
    """
    found = [Path(p) for p in paths]
    sums = [sha256_of(p) for p in found]
    digest = sums[0]
    if len(found) > 1:
        lines = sorted(f"{s}  {p.name}\n" for s, p in zip(sums, found, strict=True))
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return Provenance(
        source=found[0].name,
        sha256=digest,
        reader=f"neuro.io.{reader}",
        version=" ".join(_version(p) for p in ("neuro-fm", library) if p),
    )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def finish(
    recording: Recording,
    origin: Provenance,
    notes: Iterable[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> Recording:
    """Recording with its provenance, one step a note, and the user's facts."""
    steps = (*recording.provenance.steps, *(printable(n) for n in notes))
    known = dict(facts or {})
    if "id" not in known:  # made anew from the facts, or the file's name
        if recording.id == "recording":
            known["id"] = "" if known.keys() & set(_FACTS) else origin.source.split(".")[0]
        elif known:
            known["id"] = ""
    made = Provenance(
        source=origin.source,
        sha256=origin.sha256,
        reader=origin.reader,
        version=origin.version,
        steps=steps,
    )
    return recording.replace(provenance=made, **known)


def check_some_finite(stream: Regular, name: str) -> None:
    """Refuse a stream in which no sample is a number.

    Raises
    ------
    DataError
        If every sample is missing.
    """
    width = max(1, min(stream.n_times, 1 << 16))
    for start in range(0, stream.n_times, width):
        if np.isfinite(stream.read(start, min(start + width, stream.n_times))).any():
            return
    raise DataError(
        f"Stream {name!r} holds no number: all {stream.shape[0]} x {stream.shape[1]} samples are "
        "NaN. Export the file again, or leave this stream out with streams=[...]."
    )


def judged(recording: Recording, check: bool) -> Recording:
    """Recording whose sampled streams hold numbers of plausible size, or whose steps say not.

    Raises
    ------
    DataError
        With ``check``: if no sample of a stream is a number.
    UnitError
        With ``check``: if an amplitude cannot be what the unit says.
    """
    for name, stream in recording.streams.items():
        if isinstance(stream, Regular):
            for note in judge(stream, name, check):
                recording = recording.with_step(note)
    return recording


def judge(stream: Regular, name: str, check: bool, *, may_be_empty: bool = False) -> list[str]:
    """Refuse a stream without numbers or of impossible amplitude, or say what was accepted.

    Parameters
    ----------
    stream : Regular
        The stream.
    name : str
        What it is called.
    check : bool
        Refuse; False returns the complaint instead, for the provenance.
    may_be_empty : bool
        Whether a stream of which no sample is a number may pass.
    """
    try:
        if not may_be_empty:
            check_some_finite(stream, name)
        check_plausible(stream)
    except NeuroError as error:
        if check:
            raise
        fact = str(error).removesuffix(" If the amplitude is right, pass check=False.")
        return [f"accepted because of check=False: {printable(fact)}"]
    return []


class Table:
    """A text table in memory: column names, or None, and rows of text."""

    def __init__(self, name: str, header: list[str] | None, rows: list[list[str]]) -> None:
        self.name, self.header, self.rows = name, header, rows

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, column: str) -> bool:
        """Whether there is such a column."""
        return self.header is not None and column in self.header

    def text(self, column: str) -> list[str]:
        """One column as text."""
        if self.header is None or column not in self.header:
            raise FileError(
                f"'{self.name}' has no column {column!r}. "
                f"{did_you_mean(column, (self.header or [])[:40])}"
            )
        i = self.header.index(column)
        return [row[i] for row in self.rows]

    def numbers(self, column: str) -> FloatArray:
        """One column as float64, NaN where it says ``n/a``."""
        return self._floats(self.text(column), f"column {column!r}")

    def _floats(self, cells: list[str], what: str) -> FloatArray:
        try:
            return np.array([np.nan if c.lower() in _MISSING else float(c) for c in cells])
        except ValueError as error:
            raise FileError(
                f"'{self.name}': {what} holds {printable(str(error), 80)}. Numbers or 'n/a' only."
            ) from None

    def array(self) -> FloatArray:
        """All cells as float64, shape (rows, columns)."""
        flat = self._floats([c for row in self.rows for c in row], "a cell")
        return flat.reshape(len(self.rows), -1)


def _is_number(cell: str) -> bool:
    if cell.lower() in _MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_header(row: list[str]) -> bool:
    first, rest = row[0], row[1:]
    if not rest or not all(_is_number(c) for c in rest):
        return not all(_is_number(c) for c in row)
    counted = [c.removesuffix(".0") for c in rest] in (
        [str(i) for i in range(len(rest))],
        [str(i + 1) for i in range(len(rest))],
    )
    return not _is_number(first) and counted


def read_table(path: PathLike, *, max_bytes: int = 1 << 30) -> Table:
    """A ``.csv``, ``.tsv`` or ``.txt`` table, without guessing types.

    The first row is the header if a cell after its first is not a number, or
    if it numbers the columns; a lone text cell before numbers names its row.

    Raises
    ------
    FileError
        If it is empty, not text, or its rows differ in length.
    """
    path = Path(path)
    text = read_text(path, max_bytes)
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise FileError(f"'{path.name}' is an empty table. Export it again.")
    mark = "\t" if path.suffix.lower() == ".tsv" or "\t" in first else ","
    if mark not in first and len(first.split()) > 1 and path.suffix.lower() == ".txt":
        cells = [line.split() for line in lines if line.strip()]
    else:
        try:
            cells = list(csv.reader(io.StringIO(text), delimiter=mark, strict=True))
        except csv.Error as error:
            raise FileError(f"'{path.name}' is not a table: {error}. Check its quotes.") from error
    rows = [[c.strip() for c in row] for row in cells if any(c.strip() for c in row)]
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise FileError(
                f"'{path.name}', row {number}: {len(row)} cells, the first row has {width}. "
                "The file may be truncated."
            )
    header = rows.pop(0) if _is_header(rows[0]) else None
    if header is not None and not rows:
        raise FileError(f"'{path.name}' has a header but no rows. Export it again.")
    return Table(path.name, header, rows)


def events_from_table(path: PathLike) -> Events:
    """Events of a BIDS ``_events.tsv``: onset, duration, trial_type, value.

    Other columns are kept: as numbers where all their cells are numbers.
    Rows without an onset are left out.

    Raises
    ------
    FileError
        If there is no onset column or a number is malformed.
    """
    table = read_table(path)
    onset = table.numbers("onset")
    keep = np.isfinite(onset)
    n = len(onset)
    duration = table.numbers("duration") if table.has("duration") else np.zeros(n)
    kind = next((c for c in ("trial_type", "type", "value") if table.has(c)), None)
    kinds = np.array(table.text(kind) if kind else ["event"] * n)
    value = np.full(n, np.nan)
    if table.has("value") and all(_is_number(c) for c in table.text("value")):
        value = table.numbers("value")
    columns = {}
    for name in table.header or []:
        if name in ("onset", "duration", kind, "value"):
            continue
        cells = table.text(name)
        numeric = all(_is_number(c) for c in cells)
        columns[name] = (table.numbers(name) if numeric else np.array(cells))[keep]
    length = np.where(np.isfinite(duration[keep]), np.maximum(duration[keep], 0), 0.0)
    return Events.make(
        onset[keep], kinds[keep], duration_s=length, value=value[keep], columns=columns
    )
