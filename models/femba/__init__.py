"""femba: bidirectional Mamba over 62 ms slices of a bipolar EEG montage.

"FEMBA: Efficient and Scalable EEG Analysis with a Bidirectional Mamba
Foundation Model", arXiv 2502.06438. A convolution turns 2 channels x 16 samples
into a patch, all patches of a moment are one token, and the stack's cost grows
linearly with the number of moments.
"""

from neuro.models.femba.config import FEMBAConfig
from neuro.models.femba.heads import MambaHead
from neuro.models.femba.model import FEMBA, HiddenPatches
from neuro.models.femba.recipe import FinetuneRate

__all__ = [
    "FEMBA",
    "FEMBAConfig",
    "FinetuneRate",
    "HiddenPatches",
    "MambaHead",
]
