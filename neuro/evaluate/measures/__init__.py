"""What kind of model was trained: sparsity, information, what the variance is spent on.

Each number comes with what it must be compared with: the loss it was measured
at, the shuffled null, the decoding beside the variance.
"""

from neuro.evaluate.measures.card import ModelMeasures, measure
from neuro.evaluate.measures.information import Information, mutual_information
from neuro.evaluate.measures.sparsity import (
    LayerSparsity,
    Sparsity,
    activation_sparsity,
    hidden_layers,
)
from neuro.evaluate.measures.variance import FeatureShare, feature_variance

__all__ = [
    "FeatureShare",
    "Information",
    "LayerSparsity",
    "ModelMeasures",
    "Sparsity",
    "activation_sparsity",
    "feature_variance",
    "hidden_layers",
    "measure",
    "mutual_information",
]
