"""brainmae: a masked autoencoder of region series with learned region embeddings."""

from neuro.models.brainmae.config import BrainMAEConfig
from neuro.models.brainmae.model import BrainMAE, HiddenRegions

__all__ = ["BrainMAE", "BrainMAEConfig", "HiddenRegions"]
