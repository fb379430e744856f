"""Figures, one function each; every one returns a matplotlib Figure.

Nothing here touches pyplot: figures can be made on servers and in threads.
"""

from neuro.plot.models import reconstruction, scores, training_curve
from neuro.plot.recordings import fc_matrix, raster, signals, spectrum

__all__ = [
    "fc_matrix",
    "raster",
    "reconstruction",
    "scores",
    "signals",
    "spectrum",
    "training_curve",
]
