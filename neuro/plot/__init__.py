"""Figures, one function each; every one returns a matplotlib Figure.

Nothing here touches pyplot: figures can be made on servers and in threads.
"""

from neuro.plot.connectivity import (
    connectivity_circle,
    connectivity_glass_brain,
    connectivity_matrix,
    connectivity_sensors,
    pair_spectra,
    state_timeline,
)
from neuro.plot.models import reconstruction, scores, training_curve
from neuro.plot.recordings import fc_matrix, raster, signals, spectrum

__all__ = [
    "connectivity_circle",
    "connectivity_glass_brain",
    "connectivity_matrix",
    "connectivity_sensors",
    "fc_matrix",
    "pair_spectra",
    "raster",
    "reconstruction",
    "scores",
    "signals",
    "spectrum",
    "state_timeline",
    "training_curve",
]
