"""Predicting one signal from another on another clock: EEG to BOLD, scored as a sceptic would."""

from neuro.evaluate.crossmodal.baselines import (
    BASELINES,
    Baseline,
    baseline_learner,
    baselines_for,
)
from neuro.evaluate.crossmodal.learners import TrainedNetwork, network_predict
from neuro.evaluate.crossmodal.occlusion import Occlusion, occlude
from neuro.evaluate.crossmodal.page import crossmodal_page
from neuro.evaluate.crossmodal.predicted import (
    ConnectomeSimilarity,
    connectome_similarity,
    predicted_recordings,
)
from neuro.evaluate.crossmodal.results import CrossmodalResults, Prediction, RegionScore
from neuro.evaluate.crossmodal.run import MEMORY_S, evaluate_pairs
from neuro.evaluate.crossmodal.scores import (
    Nulls,
    cross_correlations,
    global_removed,
    nulls,
    scan_r,
)
from neuro.evaluate.crossmodal.targets import prepared_targets, whole_scan

__all__ = [
    "predicted_recordings",
    "connectome_similarity",
    "ConnectomeSimilarity",
    "crossmodal_page",
    "occlude",
    "Occlusion",
    "baseline_learner",
    "BASELINES",
    "MEMORY_S",
    "Baseline",
    "CrossmodalResults",
    "Nulls",
    "Prediction",
    "RegionScore",
    "TrainedNetwork",
    "baselines_for",
    "cross_correlations",
    "evaluate_pairs",
    "global_removed",
    "network_predict",
    "nulls",
    "prepared_targets",
    "scan_r",
    "whole_scan",
]
