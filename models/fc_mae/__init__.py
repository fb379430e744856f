"""fc_mae: masked autoencoder of dynamic functional connectivity."""

from neuro.models.fc_mae.config import FCMAEConfig
from neuro.models.fc_mae.model import FCMAE

__all__ = ["FCMAE", "FCMAEConfig"]
