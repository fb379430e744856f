"""Which recordings a command works on: names, files, folders; options of the reader."""

import ast
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro.data import Recording
from neuro.errors import ConfigError, DataError, DataUnavailableError, NeuroError, did_you_mean

__all__ = ["keep", "read_any", "reading_options", "recording_files", "recordings_of", "setting"]

# Formats whose files are as often side files of a recording as recordings.
_AMBIGUOUS = (".nii", ".nii.gz", ".csv", ".tsv", ".txt", ".npy", ".npz")
_TABLES = _AMBIGUOUS[2:]
_SIGNALS = ("_bold", "_eeg", "_ieeg", "_meg")
_OPTIONS = ("mask", "confounds", "labels", "time_axis", "sfreq", "key", "streams", "check")
# of folders of EEG and BOLD of the same scans alone
_SCANNER_OPTIONS = ("trigger", "first_volume", "bold_unit")
# what a corpus may be asked for
_CHOICES = ("atlas", "version", "tr")
# of folders of fMRI derivatives alone
_FOLDER_OPTIONS = ("space", "participants", "columns", "least_s", "bad_files")
_FACTS = ("id", "dataset", "subject", "session", "run", "task", "age", "sex", "group", "site")
_NUMBERS = {"time_axis": int, "first_volume": int, "age": float, "least_s": float, "tr": float}
_MENTIONED = re.compile(
    r"\b(unit|tr|atlas|mask|confounds|labels|time_axis|sfreq|key|check|space|bad_files|least_s)="
)
_HINT = (
    "Such arguments are --unit, --tr, --atlas or --read NAME=VALUE on the command line, and stand "
    "under 'reading' in a YAML file."
)


def setting(text: str, option: str = "--set") -> tuple[str, Any]:
    """Name and value out of ``name=value``; the value as Python would read it.

    Raises
    ------
    ConfigError
        If there is no name or no equals sign.

    Examples
    --------
    >>> setting("depth=6"), setting("pool=mean"), setting("pre_norm=false")
    (('depth', 6), ('pool', 'mean'), ('pre_norm', False))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{option} takes name=value, got {text!r}. Example: {option} depth=6.")
    value = value.strip()
    words = {"true": True, "false": False, "none": None, "null": None}
    try:
        return name.strip(), ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name.strip(), words.get(value.lower(), value)


def reading_options(
    pairs: Iterable[str] = (),
    *,
    unit: str | None = None,
    tr: float | None = None,
    atlas: Path | None = None,
) -> dict[str, Any]:
    """Arguments of :func:`neuro.read` out of the command line's.

    Raises
    ------
    ConfigError
        If one of the pairs is not ``name=value``, unknown, or no number where
        one is needed.

    Examples
    --------
    >>> reading_options(["subject=01", "age=33"], unit="uV")
    {'unit': 'uV', 'subject': '01', 'age': 33.0}
    """
    out: dict[str, Any] = {"unit": unit, "tr": tr, "atlas": atlas}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not value:
            raise ConfigError(f"--read takes name=value, got {pair!r}. Example: --read subject=01.")
        known = (*_OPTIONS, *_FOLDER_OPTIONS, *_SCANNER_OPTIONS, *_CHOICES, *_FACTS)
        if name not in known:
            raise ConfigError(f"--read knows no {name!r}. {did_you_mean(name, known)}")
        out[name] = _typed(name, value)
    return {k: v for k, v in out.items() if v is not None}


def _typed(name: str, value: str) -> Any:
    if name == "streams":
        return [part.strip() for part in value.split(",")]
    if name == "check":
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"--read check={value}: use true or false.")
        return value.lower() == "true"
    if name == "columns":
        return _columns(value)
    kind = _NUMBERS.get(name)
    if kind is None:
        return value
    try:
        return kind(value)
    except ValueError as error:
        raise ConfigError(f"--read {name}={value}: {name} is a number.") from error


def _columns(value: str) -> dict[str, str]:
    """Facts and their columns out of ``group:diagnosis,site:centre``."""
    out = {}
    for pair in value.split(","):
        fact, colon, column = (part.strip() for part in pair.partition(":"))
        if not colon or not fact or not column:
            raise ConfigError(f"--read columns={value}: give fact:column, e.g. group:diagnosis.")
        out[fact] = column
    return out


def read_any(path: Path, options: Mapping[str, Any]) -> Recording:
    """Read one file, or a folder that is one recording."""
    import neuro

    try:
        return neuro.read(path, **options)
    except NeuroError as error:
        if _MENTIONED.search(str(error)):
            error.add_note(_HINT)
        raise


# ---- folders -------------------------------------------------------------------


def recording_files(
    folder: Path, *, tables: bool = False, without: Path | None = None
) -> list[Path]:
    """Files below a folder that are recordings, sorted.

    Side files of BIDS are left out, so are hidden ones, folders of shards and
    files whose real place is outside the folder. Tables are recordings only
    if the caller knows so.

    Parameters
    ----------
    folder : Path
        Where to look.
    tables : bool
        Take ``.csv``, ``.tsv``, ``.txt``, ``.npy`` and ``.npz`` too.
    without : Path, optional
        Folder below that is left out.

    Returns
    -------
    list of Path
    """
    from neuro.io import known_suffixes

    suffixes = known_suffixes()
    out = []
    for path in _walk(folder, None if without is None else without.resolve()):
        name = path.name.lower()
        suffix = next((s for s in suffixes if name.endswith(s)), None)
        if suffix is None or (suffix in _TABLES and not tables):
            continue
        stem = name.removesuffix(suffix)
        side_file = name.startswith("sub-") and not stem.endswith(_SIGNALS)
        if suffix in _AMBIGUOUS and side_file and not _atlas_series(stem):
            continue
        out.append(path)
    return out


def _atlas_series(stem: str) -> bool:
    """BIDS derivatives: region series end in _timeseries, as do confounds."""
    return stem.endswith("_timeseries") and "desc-confounds" not in stem


def _walk(folder: Path, without: Path | None) -> Iterator[Path]:
    inside = folder.resolve()
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(
            f
            for f in folders
            if not f.startswith(".")
            and (Path(where) / f).resolve() != without
            and not (Path(where) / f / "shards.json").exists()
        )
        for name in sorted(names):
            path = Path(where) / name
            if name.startswith(".") or not path.is_file():
                continue
            if path.resolve().is_relative_to(inside):
                yield path


def recordings_of(
    source: str,
    options: Mapping[str, Any] | None = None,
    *,
    root: Path | None = None,
    where: Sequence[str] = (),
    check: bool = True,
) -> list[Recording]:
    """Recordings of a data set's name, a file, a folder of files, fMRI derivatives, or shards.

    Parameters
    ----------
    source : str
        What the user wrote.
    options : mapping, optional
        Arguments of :func:`neuro.read`, or of :func:`neuro.io.read_derivatives`
        where the folder holds fMRIPrep's or XCP-D's runs; of a data set only
        atlas, version and tr where it has them; none for shards.
    root : Path, optional
        The user's own copy of a data set that is not fetched.
    where : sequence of str
        ``fact=value,value``: keep recordings of which all hold.
    check : bool
        False reads files whose amplitudes cannot be what they claim.

    Returns
    -------
    list of Recording

    Raises
    ------
    DataUnavailableError
        If it is neither a known data set nor a path, or the folder is empty.
    ConfigError
        If options are given that mean nothing for the source.
    """
    from neuro import datasets
    from neuro.io import is_derivatives, is_simultaneous, load_shards, read_simultaneous

    options = dict(options or {})
    path = Path(source).expanduser()
    if path.is_dir():
        if (path / "shards.json").exists():
            _refuse(options, f"{path.name!r} is a folder of shards")
            return keep(load_shards(path), where)
        if is_simultaneous(path):
            return keep(read_simultaneous(path, **_scanner({"check": check, **options})), where)
        if is_derivatives(path):
            return keep(_derivatives(path, {"check": check, **options}), where)
        files = _files_of(path, options)
        return keep([read_any(p, {"check": check, **options}) for p in files], where)
    if path.is_file():
        return keep([read_any(path, {"check": check, **options})], where)
    if source in datasets.list():
        _refuse(
            {k: v for k, v in options.items() if k not in _CHOICES}, f"{source!r} is a data set"
        )
        # what a corpus of several atlases or pipelines is to be read as; its loader judges it
        chosen: dict[str, Any] = {k: v if k == "tr" else str(v) for k, v in options.items()}
        return keep(datasets.load(source, root=root, **chosen), where)
    raise DataUnavailableError(
        f"{source!r} is neither a file, a folder nor a data set. "
        f"{did_you_mean(source, datasets.list())}"
    )


def _scanner(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments for a folder of EEG and BOLD; those of other readers are refused."""
    from neuro.io import read_simultaneous

    known = [*list(inspect.signature(read_simultaneous).parameters)[1:-1], *_FACTS]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{name}= does not apply to a folder of EEG and BOLD. {did_you_mean(name, known)}"
            )
    return options


def _derivatives(folder: Path, options: Mapping[str, Any]) -> list[Recording]:
    """All runs of a folder of derivatives; arguments of other readers are refused."""
    from neuro.io import read_derivatives

    known = list(inspect.signature(read_derivatives).parameters)[1:]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{name}= does not apply to a folder of fMRI derivatives. "
                f"{did_you_mean(name, known)}"
            )
    try:
        return read_derivatives(folder, **options)
    except NeuroError as error:
        if _MENTIONED.search(str(error)):
            error.add_note(_HINT)
        raise


def _files_of(folder: Path, options: Mapping[str, Any]) -> list[Path]:
    files = recording_files(folder, tables="tr" in options)
    if files:
        return files
    raise DataUnavailableError(
        f"Folder {folder.name!r} holds no recording of a known format. Tables of regions are "
        "taken when --tr is given; others must be named one by one."
    )


def _refuse(options: Mapping[str, Any], why: str) -> None:
    if options:
        raise ConfigError(f"{', '.join(sorted(options))}: for files only, but {why}.")


def keep(recordings: list[Recording], where: Sequence[str]) -> list[Recording]:
    """Recordings of which every ``fact=value`` or ``fact=value,value`` holds.

    Raises
    ------
    ConfigError
        If a condition is malformed or names no fact.
    DataError
        If no recording has a value.
    """
    for condition in where:
        fact, equals, wanted = condition.partition("=")
        if not equals:
            raise ConfigError(f"--where takes fact=value, got {condition!r}: --where run=train.")
        if fact not in _FACTS:
            raise ConfigError(f"--where knows no fact {fact!r}. {did_you_mean(fact, _FACTS)}")
        values = [value.strip() for value in wanted.split(",")]
        there = {str(getattr(rec, fact)) for rec in recordings}
        for value in values:
            if value not in there:
                raise DataError(f"No recording has {fact} {value!r}. {did_you_mean(value, there)}")
        recordings = [rec for rec in recordings if str(getattr(rec, fact)) in values]
    return recordings
