"""The annotation files of the Temple University Hospital corpora."""

import csv
from pathlib import Path

from neuro.datasets._corpus import Row
from neuro.errors import FileError

__all__ = ["REC_LABELS", "read_csv", "read_rec", "read_tse"]

REC_LABELS = {1: "spsw", 2: "gped", 3: "pled", 4: "eyem", 5: "artf", 6: "bckg"}
_COLUMNS = ("channel", "start_time", "stop_time", "label")


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that say something, with their number; comments and versions left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"'{path.name}' is not a text file. Get it again.") from None
    numbered = enumerate(text.splitlines(), 1)
    kept = [(i, line.strip()) for i, line in numbered]
    return [(i, x) for i, x in kept if x and not x.startswith(("#", "version"))]


def _bad(path: Path, number: int, line: str, want: str) -> FileError:
    return FileError(
        f"'{path.name}', line {number}: {line[:60]!r} is not {want}. The file is damaged: get it "
        "again."
    )


def read_rec(path: Path) -> list[Row]:
    """Rows of a ``.rec`` file: pair of the montage, start, stop, code 1 to 6.

    Raises
    ------
    FileError
        If a line has another form, or a pair or a code does not exist.
    """
    from neuro.data.montage import montage_pairs

    pairs = [f"{a}-{b}" for a, b in montage_pairs("tcp22")]
    rows = []
    for number, line in _lines(path):
        cells = line.split(",")
        try:
            pair, code = (int(float(cells[i])) for i in (0, 3))
            start, stop = float(cells[1]), float(cells[2])
        except (ValueError, IndexError):
            raise _bad(path, number, line, "channel,start,stop,label") from None
        if code not in REC_LABELS:
            raise FileError(
                f"'{path.name}', line {number}: unknown label {code}; there are "
                f"{', '.join(f'{k} {v}' for k, v in REC_LABELS.items())}."
            )
        if not 0 <= pair < len(pairs):
            raise FileError(
                f"'{path.name}', line {number}: channel {pair}, but the montage has pairs 0 to "
                f"{len(pairs) - 1}."
            )
        rows.append(Row(start, stop, REC_LABELS[code], pairs[pair]))
    return rows


def read_csv(path: Path) -> list[Row]:
    """Rows of a ``.csv`` or ``.csv_bi`` file, of a channel or of all (``TERM``).

    Raises
    ------
    FileError
        If columns are missing or a time is no number.
    """
    from neuro.data import canonical_eeg_name

    lines = _lines(path)
    table = csv.reader(line for _, line in lines)
    header = [cell.strip() for cell in next(table, [])]
    if missing := [name for name in _COLUMNS if name not in header]:
        raise FileError(
            f"'{path.name}' has no column {missing[0]!r}; it has {header[:6]}. Is it the "
            "annotation file of this corpus's release?"
        )
    where = [header.index(name) for name in _COLUMNS]
    rows = []
    for (number, line), cells in zip(lines[1:], table, strict=True):
        try:
            channel, start, stop, label = (cells[i].strip() for i in where)
            row = Row(float(start), float(stop), label.lower(), "")
        except (ValueError, IndexError):
            raise _bad(path, number, line, ",".join(_COLUMNS)) from None
        if channel != "TERM":
            row = row._replace(channel=canonical_eeg_name(channel))
        rows.append(row)
    return rows


def read_tse(path: Path) -> list[Row]:
    """Rows of a ``.tse`` or ``.tse_agg`` file: start, stop, label, probability.

    Raises
    ------
    FileError
        If a line has another form.
    """
    rows = []
    for number, line in _lines(path):
        cells = line.split()
        try:
            rows.append(Row(float(cells[0]), float(cells[1]), cells[2].lower()))
        except (ValueError, IndexError):
            raise _bad(path, number, line, "start stop label probability") from None
    return rows
