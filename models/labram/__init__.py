"""labram: seconds of single electrodes through one transformer, electrodes told by name.

"Large Brain Model for Learning Generic Representations with Tremendous EEG Data
in BCI", arXiv 2405.18765: the base encoder, with heads; also one of the two
branches of neurobolt.
"""

from neuro.models.labram.config import LaBraMConfig
from neuro.models.labram.electrodes import ELECTRODES
from neuro.models.labram.encoder import LaBraMEncoder
from neuro.models.labram.model import LaBraM

__all__ = ["ELECTRODES", "LaBraM", "LaBraMConfig", "LaBraMEncoder"]
