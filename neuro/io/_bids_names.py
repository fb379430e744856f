"""Names after the Brain Imaging Data Structure: entities, and files that go with a file."""

import re
from pathlib import Path

from neuro.errors import ConfigError, FileError

__all__ = [
    "beside",
    "dataset_root",
    "entities",
    "facts_from_name",
    "inherited",
    "inside",
    "safe_label",
    "split_name",
]

_LABEL = re.compile(r"^[A-Za-z0-9]+$")
_EXTENSIONS = (".nii.gz", ".dtseries.nii", ".func.gii", ".surf.gii")
_FACTS = {"sub": "subject", "ses": "session", "run": "run", "task": "task"}
_DEPTH = 4  # data set, derivative, subject, session, modality


def safe_label(value: str, what: str) -> str:
    """The value if it is letters and digits only, so that it cannot leave a folder.

    Raises
    ------
    ConfigError
        Otherwise.

    Examples
    --------
    >>> safe_label("01", "subject")
    '01'
    """
    if not _LABEL.match(value):
        raise ConfigError(
            f"{what}={value[:40]!r}: labels are letters and digits only. Write '01', not 'sub-01'."
        )
    return value


def split_name(name: str) -> tuple[str, str]:
    """Stem and extension, where ``.nii.gz`` and ``.dtseries.nii`` are one extension."""
    lower = name.lower()
    for extension in _EXTENSIONS:
        if lower.endswith(extension):
            return name[: -len(extension)], name[-len(extension) :]
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension) if dot else (name, "")


def entities(name: str) -> tuple[dict[str, str], str]:
    """Entities of a BIDS file name and its suffix (which people leave out).

    Examples
    --------
    >>> entities("sub-01_task-rest_bold.nii.gz")
    ({'sub': '01', 'task': 'rest'}, 'bold')
    >>> entities("sub-01.edf")
    ({'sub': '01'}, '')
    """
    *pairs, suffix = split_name(name)[0].split("_")
    if "-" in suffix:
        pairs, suffix = [*pairs, suffix], ""
    found = {}
    for pair in pairs:
        key, dash, value = pair.partition("-")
        if dash and _LABEL.match(key) and value:
            found[key] = value
    return found, suffix


def facts_from_name(name: str) -> dict[str, str]:
    """Subject, session, run and task as a BIDS file name gives them; else nothing."""
    found, _ = entities(name)
    if "sub" not in found:
        return {}
    return {fact: found[key] for key, fact in _FACTS.items() if key in found}


def inherited(path: Path, suffix: str, extension: str, root: Path | None = None) -> list[Path]:
    """Side files that apply to a file, from the general to the special.

    A side file applies if it lies in the file's folder or one above, up to the
    folder of ``dataset_description.json`` (or `root`), and each of its
    entities has the file's value.
    """
    mine, _ = entities(path.name)
    if "sub" not in mine:
        return []
    found: list[Path] = []
    folder = path.parent
    for _ in range(_DEPTH):
        here = []
        for candidate in sorted(folder.glob(f"*{suffix}{extension}")):
            theirs, kind = entities(candidate.name)
            if kind == suffix and theirs.items() <= mine.items():
                here.append((len(theirs), candidate))
        found[:0] = [c for _, c in sorted(here)]
        if folder == root or (folder / "dataset_description.json").is_file():
            break
        if folder == folder.parent:
            break
        folder = folder.parent
    return found


def beside(path: Path, suffix: str, extension: str, root: Path | None = None) -> Path | None:
    """The most special side file that applies to a file, or None."""
    found = inherited(path, suffix, extension, root)
    return found[-1] if found else None


def dataset_root(path: Path) -> Path | None:
    """The folder above a file that holds ``dataset_description.json``, or None."""
    for folder in list(path.absolute().parents)[:_DEPTH]:
        if (folder / "dataset_description.json").is_file():
            return folder
    return None


def inside(path: Path, root: Path) -> Path:
    """The path, if its real place is under the root.

    Raises
    ------
    FileError
        If a link leads out of the data set.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise FileError(
            f"'{path.name}' leads out of the data set's folder, which is refused. Copy the file "
            "into the data set, or read it by its own path."
        )
    return path
