"""What a recording is, how it is cut into windows, and what a model is handed."""

from neuro.data.axis import Axis, Grid
from neuro.data.batch import Batch, EventBatch, StaticBatch
from neuro.data.by_channel import by_channel
from neuro.data.channels import canonical_eeg_name, eeg_positions
from neuro.data.contract import InputContract
from neuro.data.convert import (
    from_mne,
    from_pynapple,
    to_mne,
    to_nifti,
    to_pynapple,
    to_xarray,
)
from neuro.data.events import Clock, Events
from neuro.data.montage import bipolar
from neuro.data.pairing import PairedWindows, pair
from neuro.data.plausible import check_plausible
from neuro.data.rates import exact_rate, sample_index
from neuro.data.recording import Provenance, Recording
from neuro.data.regions import map_regions
from neuro.data.splits import assert_disjoint
from neuro.data.streams import Irregular, LazyView, Regular, Static
from neuro.data.triggers import joined_by_triggers
from neuro.data.units import conversion_factor
from neuro.data.windows import Windows, windows

__all__ = [
    "Axis",
    "Batch",
    "Clock",
    "EventBatch",
    "Events",
    "Grid",
    "InputContract",
    "Irregular",
    "LazyView",
    "PairedWindows",
    "Provenance",
    "Recording",
    "Regular",
    "Static",
    "StaticBatch",
    "Windows",
    "assert_disjoint",
    "bipolar",
    "by_channel",
    "canonical_eeg_name",
    "check_plausible",
    "conversion_factor",
    "eeg_positions",
    "exact_rate",
    "from_mne",
    "from_pynapple",
    "joined_by_triggers",
    "map_regions",
    "pair",
    "sample_index",
    "to_mne",
    "to_nifti",
    "to_pynapple",
    "to_xarray",
    "windows",
]
