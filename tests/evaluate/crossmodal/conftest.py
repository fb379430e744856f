"""One small simulated study for the tests that need whole evaluations."""

from dataclasses import replace
from typing import Any

import pytest

from neuro.data import pair
from neuro.datasets import synthetic

_KEPT = "Oz O1 O2 Cz C3 C4 Fz P4 F4".split()


@pytest.fixture(scope="session")
def small() -> Any:
    """Four people of 120 volumes, nine electrodes at 100 Hz, and their windows."""
    made = synthetic.eeg_fmri(11, n_scans=4, n_volumes=120, sfreq=100)
    recordings = []
    for rec in made.recordings:
        eeg = rec.regular("eeg")
        rows = [eeg.axis.names.index(name) for name in _KEPT]
        recordings.append(rec.with_stream("eeg", eeg.take(rows)))
    fewer = replace(made, recordings=tuple(recordings))
    return fewer, pair(recordings, window_s=16)
