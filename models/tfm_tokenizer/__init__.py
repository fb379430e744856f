"""tfm_tokenizer: a vocabulary of time-frequency motifs of single EEG channels.

"Tokenizing Single-Channel EEG with Time-Frequency Motif Learning", arXiv
2502.16060. A masked autoencoder with a code book turns each second of each
channel into a code number; a small transformer learns from the numbers.
"""

from neuro.models.tfm_tokenizer.config import TFMTokenizerConfig
from neuro.models.tfm_tokenizer.encoder import TokenFrontEnd
from neuro.models.tfm_tokenizer.model import RisingCosine, TFMTokenizer

__all__ = ["RisingCosine", "TFMTokenizer", "TFMTokenizerConfig", "TokenFrontEnd"]
