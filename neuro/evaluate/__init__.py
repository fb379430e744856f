"""Scores a sceptical reviewer would trust: splits, floors, controls, intervals, report."""

from neuro.evaluate.confounds import Confounds
from neuro.evaluate.controls import SelfPretrained, reinitialised
from neuro.evaluate.finetuning import FineTune
from neuro.evaluate.floors import (
    BandPower,
    Circular,
    Connectivity,
    Counts,
    Flat,
    Floor,
    LaggedBandPower,
    Mean,
    TimeBins,
    floors_for,
)
from neuro.evaluate.metrics import METRICS, Metric
from neuro.evaluate.permutation import PermutationScore, permutation_score
from neuro.evaluate.pictures import figures
from neuro.evaluate.pretraining import TrainedInside
from neuro.evaluate.reporting import report
from neuro.evaluate.results import Comparison, Results, Row
from neuro.evaluate.runner import evaluate, label_curve, subject_identity
from neuro.evaluate.splitting import Split
from neuro.evaluate.suite import Benchmark, benchmark
from neuro.evaluate.tangent import Covariance
from neuro.evaluate.task import Predicted, Task

__all__ = [
    "METRICS",
    "BandPower",
    "Benchmark",
    "Circular",
    "Comparison",
    "Confounds",
    "Connectivity",
    "Counts",
    "Covariance",
    "FineTune",
    "Flat",
    "Floor",
    "LaggedBandPower",
    "Mean",
    "Metric",
    "PermutationScore",
    "Predicted",
    "Results",
    "Row",
    "SelfPretrained",
    "Split",
    "Task",
    "TimeBins",
    "TrainedInside",
    "benchmark",
    "evaluate",
    "figures",
    "floors_for",
    "label_curve",
    "permutation_score",
    "reinitialised",
    "report",
    "subject_identity",
]
