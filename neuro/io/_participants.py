"""Who took part: the facts in ``participants.tsv``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.io._reading import read_table

__all__ = ["read_participants"]

# columns that hold a fact under another name than BIDS gives it
_ALIASES = {
    "age": ("age",),
    "sex": ("sex", "gender"),
    "group": ("group",),
    "site": ("site", "site_id", "center", "centre"),
}
_MISSING = {"", "n/a", "na", "nan"}


def read_participants(
    path: Path, columns: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Age, sex, group and site of every person in a table of participants.

    Other columns, names and dates among them, are not looked at.

    Parameters
    ----------
    path : Path
        Tab-separated, with a column ``participant_id``.
    columns : mapping of str to str, optional
        Fact -> its column, where the column has a name of its own:
        ``{"group": "diagnosis"}``.

    Returns
    -------
    dict of str to dict
        Label without ``sub-`` -> the facts that are known.

    Raises
    ------
    FileError
        If there is no column ``participant_id``, or a person stands twice.
    ConfigError
        If `columns` names a fact or a column that is not there.
    """
    table = read_table(path)
    ids = [cell.removeprefix("sub-") for cell in table.text("participant_id")]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise FileError(f"'{path.name}': participant {twice[0]!r} stands twice. Keep one row each.")
    out: dict[str, dict[str, Any]] = {i: {} for i in ids}
    for fact, column in _columns(table.header or [], dict(columns or {})).items():
        for who, cell in zip(ids, table.text(column), strict=True):
            value = _years(cell) if fact == "age" else cell
            if cell.lower() not in _MISSING and value is not None:
                out[who][fact] = value
    return out


def _columns(header: list[str], told: dict[str, str]) -> dict[str, str]:
    """Fact -> column of the table."""
    for fact, column in told.items():
        if fact not in _ALIASES:
            raise ConfigError(f"columns: no fact {fact!r}. {did_you_mean(fact, _ALIASES)}")
        if column not in header:
            raise ConfigError(
                f"The participants have no column {column!r}. {did_you_mean(column, header)}"
            )
    lower = {name.lower(): name for name in reversed(header)}
    found = {
        fact: next((lower[a] for a in aliases if a in lower), "")
        for fact, aliases in _ALIASES.items()
    }
    return {fact: column for fact, column in (found | told).items() if column}


def _years(cell: str) -> float | None:
    """A number of years; None for words and ranges."""
    text = cell.rstrip("+")  # "89+" of anonymised sets
    return float(text) if text.isascii() and text.replace(".", "", 1).isdecimal() else None
