"""Scores a sceptical reviewer would trust: splits, floors, controls, intervals, report."""

from neuro.evaluate.contenders.confounds import Confounds
from neuro.evaluate.contenders.controls import SelfPretrained, reinitialised
from neuro.evaluate.contenders.finetuning import FineTune
from neuro.evaluate.contenders.floors import (
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
from neuro.evaluate.contenders.pretraining import TrainedInside
from neuro.evaluate.probing.permutation import PermutationScore, permutation_score
from neuro.evaluate.probing.tangent import Covariance
from neuro.evaluate.reporting.pictures import figures
from neuro.evaluate.reporting.report import report
from neuro.evaluate.results import Comparison, Results, Row
from neuro.evaluate.runner import evaluate, label_curve, subject_identity
from neuro.evaluate.scores.metrics import METRICS, Metric
from neuro.evaluate.splitting import Split
from neuro.evaluate.suite.benchmark import Benchmark, benchmark
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
