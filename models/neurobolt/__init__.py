"""neurobolt: BOLD of brain regions from the 16 s of scalp EEG before each volume.

"NeuroBOLT: Resting-state EEG-to-fMRI Synthesis with Multi-dimensional Feature
Mapping", arXiv 2410.05341. No haemodynamic response is assumed: the window
covers it and the network learns it.
"""

from neuro.models.neurobolt.config import NeuroBOLTConfig
from neuro.models.neurobolt.model import NeuroBOLT
from neuro.models.neurobolt.online import OnlineBOLD, PredictedVolume
from neuro.models.neurobolt.spectral import SpectralBranch

__all__ = [
    "NeuroBOLT",
    "NeuroBOLTConfig",
    "OnlineBOLD",
    "PredictedVolume",
    "SpectralBranch",
]
