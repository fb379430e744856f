"""Simulators with known truth: one call gives recordings and what made them.

Everything made here is marked as such: ``recording.dataset`` begins with
``"synthetic_"``, so that no report can pass it off as measured.
"""

from neuro.datasets.synthetic._alpha_bursts import alpha_bursts
from neuro.datasets.synthetic._cue_recall import cue_recall
from neuro.datasets.synthetic._eeg import eeg
from neuro.datasets.synthetic._fmri_roi import fmri_roi
from neuro.datasets.synthetic._motifs import motifs
from neuro.datasets.synthetic._simulation import Simulation
from neuro.datasets.synthetic._spikes import spikes
from neuro.datasets.synthetic._switching_glm import switching_glm

__all__ = [
    "Simulation",
    "alpha_bursts",
    "cue_recall",
    "eeg",
    "fmri_roi",
    "motifs",
    "spikes",
    "switching_glm",
]
