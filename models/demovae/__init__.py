"""demovae: connectivity beyond demographics, and synthetic people with chosen ones.

"A Demographic-Conditioned Variational Autoencoder for fMRI Distribution Sampling and
Removal of Confounds", arXiv 2405.07977. `model` is what users see; `demographics` types
their columns, `losses` and `guides` are the objective, `start` is where training begins,
`fidelity` says how far samples are from real rows, `series` draws time series.
"""

from neuro.models.demovae.config import DemoVAEConfig
from neuro.models.demovae.model import DemoVAE

__all__ = ["DemoVAE", "DemoVAEConfig"]
