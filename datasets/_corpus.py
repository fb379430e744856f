"""Trees of files: finding them, choosing among versions, telling of bad ones."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from neuro.datasets._cards import Card
from neuro.errors import (
    ConfigError,
    DataError,
    DataUnavailableError,
    FileError,
    UnitError,
    did_you_mean,
)

if TYPE_CHECKING:
    from neuro.data import Events, Recording

__all__ = ["BadFiles", "Row", "collect", "events_of", "part_of", "part_step"]

BadFiles = Literal["raise", "skip"]
_PART = "official part: "


class Row(NamedTuple):
    """One line of an annotation file: seconds, a label, and the channel if it names one."""

    start_s: float
    stop_s: float
    label: str
    channel: str = ""


def collect(
    card: Card,
    folder: Path,
    pattern: re.Pattern[str],
    read: "Callable[[Path, re.Match[str]], Recording]",
    bad_files: BadFiles,
    unwanted: Collection[str] = (),
    wanted: Collection[str] | None = None,
    versions: Mapping[str, str | None] | None = None,
) -> "list[Recording]":
    """Recordings of all files below a folder whose path ends as the layout says.

    Parameters
    ----------
    card : Card
        The data set's card.
    folder : Path
        Absolute; the tree may begin above or below it.
    pattern : Pattern
        Searched for in the file's path with forward slashes.
    read : callable
        (file, match) -> recording.
    bad_files : {"raise", "skip"}
        End at the first file that cannot be used, or leave such files out and
        note it in every recording.
    unwanted, wanted : collection of str
        Subjects (the pattern's group ``subject``) whose files are not read, or
        alone are read.
    versions : mapping of str to str or None
        Groups of the pattern that tell versions of one recording apart (atlas,
        pipeline) -> the one to read; None where the tree must hold only one.

    Returns
    -------
    list of Recording
        In order of path.

    Raises
    ------
    DataUnavailableError
        If no file lies as the layout says.
    FileError, DataError, UnitError
        With ``"raise"``: of the first bad file.
    ConfigError
        If a version must be chosen, or the chosen one is not there.
    """
    if bad_files not in ("raise", "skip"):
        raise ConfigError(f"bad_files: {did_you_mean(str(bad_files), ('raise', 'skip'))}")
    paths = [Path(where, name) for where, _, names in os.walk(folder) for name in names]
    found = [(path, m) for path in sorted(paths) if (m := pattern.search(path.as_posix()))]
    if not found:
        raise DataUnavailableError(
            f"{card.name}: no file below root={str(folder)!r} lies as {card.source.tree}. "
            f"{card.source.obtain}"
        )
    for group, value in (versions or {}).items():
        found = _of_version(card, found, group, value)
    if unwanted or wanted is not None:
        known = sorted({m["subject"] for _, m in found})
        for name in sorted(wanted or ()):
            if name not in known:
                raise ConfigError(f"{card.name}: no subject {name!r}. {did_you_mean(name, known)}")
        chosen = known if wanted is None else wanted
        found = [
            (p, m) for p, m in found if m["subject"] in chosen and m["subject"] not in unwanted
        ]
    out, bad = [], []
    for path, match in found:
        try:
            out.append(read(path, match))
        except (FileError, DataError, UnitError) as error:
            if bad_files == "raise":
                raise type(error)(
                    f"{error} To load {card.name} without such files: bad_files='skip'."
                ) from None
            bad.append(str(error).split(". ")[0])
    if bad and not out:
        raise FileError(f"{card.name}: all {len(bad)} files are bad, the first: {bad[0]}.")
    if not bad:
        return out
    shown = "; ".join(bad[:5]) + ("; …" if len(bad) > 5 else "")
    step = f"{len(bad)} of {len(found)} files of the data set left out: {shown}"
    return [recording.with_step(step) for recording in out]


def _of_version(
    card: Card, found: "Sequence[tuple[Path, re.Match[str]]]", group: str, value: str | None
) -> "list[tuple[Path, re.Match[str]]]":
    there = sorted({m.groupdict().get(group) or "" for _, m in found})
    if value is None and len(there) > 1:
        raise ConfigError(
            f"{card.name}: the tree holds {len(there)} kinds of {group}; choose one: {group}="
            f"{' or '.join(repr(t) for t in there[:8])}."
        )
    if value is not None and value not in there:
        raise ConfigError(f"{card.name}: no {group} {value!r}. {did_you_mean(value, there)}")
    return [(p, m) for p, m in found if value is None or (m.groupdict().get(group) or "") == value]


def events_of(
    rows: Iterable[Row], name: str, duration_s: float, *, merge: bool = True
) -> "tuple[Events, tuple[str, ...]]":
    """Events out of annotation rows, checked against the length of the recording.

    Parameters
    ----------
    rows : iterable of Row
        What the annotation file says.
    name : str
        The annotation file, for messages.
    duration_s : float
        Length of the recording.
    merge : bool, default True
        Make one event of rows that differ only in their channel.

    Returns
    -------
    events : Events
        With a column ``channel``: names with commas between them.
    steps : tuple of str
        Notes for the provenance.

    Raises
    ------
    FileError
        If a row lies outside the recording or ends before it begins.
    """
    from neuro.data import Events

    table: dict[tuple[object, ...], list[str]] = {}
    kept: list[tuple[float, float, str]] = []
    clipped = 0
    for number, row in enumerate(rows):
        if not (0 <= row.start_s <= row.stop_s):
            raise FileError(
                f"'{name}': {row.label!r} runs from {row.start_s:g} to {row.stop_s:g} s. The file "
                "is damaged: get it again."
            )
        if row.start_s >= duration_s:
            raise FileError(
                f"'{name}': {row.label!r} begins at {row.start_s:g} s, but the recording ends at "
                f"{duration_s:g} s. The EDF file is cut short or the annotations are another "
                "recording's: get both again."
            )
        clipped += row.stop_s > duration_s + 1e-6
        key: tuple[object, ...] = row[:3] if merge else (*row[:3], number)
        if key not in table:
            kept.append((row.start_s, min(row.stop_s, duration_s), row.label))
        table.setdefault(key, []).append(row.channel)
    steps = []
    if clipped:
        steps.append(f"{clipped} annotations reach beyond the end and were cut there")
    if sum(map(len, table.values())) > len(table):
        steps.append("annotations alike in time and label, one a channel, merged into one event")
    if not kept:
        return Events.empty(), tuple(steps)
    start, stop, label = zip(*kept, strict=True)
    channel = [",".join(dict.fromkeys(c for c in names if c)) for names in table.values()]
    duration = [b - a for a, b in zip(start, stop, strict=True)]
    events = Events.make(start, label, duration_s=duration, columns={"channel": channel})
    return events, tuple(steps)


def part_step(part: str) -> str:
    """The provenance step that says which part of the official split a file is of."""
    return _PART + part


def part_of(recording: "Recording") -> str:
    """Part of the official split a recording says it is of; ``""`` if it does not say."""
    steps = recording.provenance.steps
    return next((s.removeprefix(_PART) for s in steps if s.startswith(_PART)), "")
