"""Simulators with known truth: one call gives recordings and what made them.

Everything made here is marked as such: ``recording.dataset`` begins with
``"synthetic_"``, so that no report can pass it off as measured.
"""

from neuro.datasets.synthetic._alpha_bursts import alpha_bursts
from neuro.datasets.synthetic._cue_recall import cue_recall
from neuro.datasets.synthetic._demographic_fc import demographic_fc
from neuro.datasets.synthetic._eeg import eeg
from neuro.datasets.synthetic._eeg_fmri import eeg_fmri
from neuro.datasets.synthetic._fmri_roi import fmri_roi
from neuro.datasets.synthetic._modular_bold import modular_bold
from neuro.datasets.synthetic._motifs import motifs
from neuro.datasets.synthetic._simulation import Simulation
from neuro.datasets.synthetic._spikes import spikes
from neuro.datasets.synthetic._switching_fc import switching_fc
from neuro.datasets.synthetic._switching_glm import switching_glm

__all__ = [
    "Simulation",
    "alpha_bursts",
    "cue_recall",
    "demographic_fc",
    "eeg",
    "eeg_fmri",
    "fmri_roi",
    "modular_bold",
    "motifs",
    "spikes",
    "switching_fc",
    "switching_glm",
]
