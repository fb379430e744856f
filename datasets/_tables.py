"""Delimited text with one header line, as several data sets ship it."""

import csv
import warnings
from pathlib import Path

import numpy as np

from neuro.errors import FileError
from neuro.typing import FloatArray

__all__ = ["read_numbers", "read_people", "read_rows"]


def read_rows(path: Path, delimiter: str | None = "\t") -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table as text.

    Raises
    ------
    FileError
        If the file is empty, not text, or a row has another number of cells.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileError(f"{path.name}: not a text table ({error.reason}).") from None
    rows = [line.split(delimiter) for line in lines if line.strip()]
    if not rows:
        raise FileError(f"{path.name}: the table is empty.")
    header = [cell.strip().strip('"') for cell in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise FileError(
                f"{path.name}, row {number}: {len(row)} cells, the header has {len(header)}. "
                "The file may be truncated."
            )
    return header, rows[1:]


def read_numbers(
    path: Path, delimiter: str | None = "\t", *, header: bool = True, comments: str | None = None
) -> tuple[list[str], FloatArray]:
    """Header and values of a table of numbers, shape (rows, columns), float64.

    Raises
    ------
    FileError
        If the file is empty or a cell is not a number.
    """
    names: list[str] = []
    try:
        with path.open(encoding="utf-8") as stream:
            if header:
                names = [c.strip().strip('"') for c in stream.readline().split(delimiter)]
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # numpy only warns of an empty file
                values = np.loadtxt(stream, delimiter=delimiter, comments=comments, ndmin=2)
    except (ValueError, UserWarning) as error:
        raise FileError(f"{path.name}: not a table of numbers ({str(error)[:120]}).") from None
    if header and values.shape[1] != len(names):
        raise FileError(
            f"{path.name}: {values.shape[1]} columns of numbers under {len(names)} names."
        )
    return names, values


def read_people(path: Path, key: str, wanted: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Some columns of a table of people, by the column that names the person.

    Names of columns are compared without case, spaces, dots and underscores,
    in which releases of one table differ. Columns not asked for, names and
    dates among them, are never kept.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.tsv``, cells quoted where they hold the delimiter.
    key : str
        Column of the person.
    wanted : tuple of str
        Columns; those that are missing are left out.

    Returns
    -------
    dict of str to dict
        Person -> column as in `wanted` -> text. Empty if there is no column `key`.

    Raises
    ------
    FileError
        If the file is not text.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter)
            header = [_plain(cell) for cell in next(rows, [])]
            if _plain(key) not in header:
                return {}
            at = {name: header.index(_plain(name)) for name in wanted if _plain(name) in header}
            who = header.index(_plain(key))
            return {
                row[who].strip(): {n: row[i].strip() for n, i in at.items() if i < len(row)}
                for row in rows
                if who < len(row) and row[who].strip()
            }
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path.name}: not a text table ({str(error)[:120]}).") from None


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in " ._")
