"""Files in and out: one reader a format, the store, and the safe openers.

Names load on first use, so that importing this room costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuro.io import safe
    from neuro.io.bids import read_bids
    from neuro.io.derivatives import is_derivatives, read_derivatives
    from neuro.io.eeg import read_eeg
    from neuro.io.fmri import read_nifti
    from neuro.io.fmriprep import read_fmriprep
    from neuro.io.nwb import read_nwb
    from neuro.io.reader import formats, known_suffixes, read
    from neuro.io.roi_table import read_roi_table
    from neuro.io.shards import load_shards, save_shards
    from neuro.io.simultaneous import is_simultaneous, read_simultaneous
    from neuro.io.spikes import from_spikes, read_spikes
    from neuro.io.store import load, save
    from neuro.io.surface import read_cifti, read_surface
    from neuro.io.ts import read_ts, ts_recording

_WHERE = {
    "formats": "reader",
    "from_spikes": "spikes",
    "is_derivatives": "derivatives",
    "is_simultaneous": "simultaneous",
    "known_suffixes": "reader",
    "load": "store",
    "load_shards": "shards",
    "read": "reader",
    "read_bids": "bids",
    "read_cifti": "surface",
    "read_derivatives": "derivatives",
    "read_eeg": "eeg",
    "read_fmriprep": "fmriprep",
    "read_nifti": "fmri",
    "read_nwb": "nwb",
    "read_roi_table": "roi_table",
    "read_simultaneous": "simultaneous",
    "read_spikes": "spikes",
    "read_surface": "surface",
    "read_ts": "ts",
    "save": "store",
    "save_shards": "shards",
    "ts_recording": "ts",
}

__all__ = [
    "formats",
    "from_spikes",
    "is_derivatives",
    "is_simultaneous",
    "known_suffixes",
    "load",
    "load_shards",
    "read",
    "read_bids",
    "read_cifti",
    "read_derivatives",
    "read_eeg",
    "read_fmriprep",
    "read_nifti",
    "read_nwb",
    "read_roi_table",
    "read_simultaneous",
    "read_spikes",
    "read_surface",
    "read_ts",
    "safe",
    "save",
    "save_shards",
    "ts_recording",
]


def __getattr__(name: str) -> Any:
    if name == "safe":
        return import_module("neuro.io.safe")
    if name not in _WHERE:
        raise AttributeError(f"module 'neuro.io' has no attribute {name!r}")
    return getattr(import_module(f"neuro.io.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
