"""Scores a sceptical reviewer would trust: splits, floors, controls, intervals, report."""

from neuro.evaluate.controls import reinitialised
from neuro.evaluate.floors import (
    BandPower,
    Connectivity,
    Counts,
    Flat,
    Floor,
    Mean,
    TimeBins,
    floors_for,
)
from neuro.evaluate.metrics import METRICS, Metric
from neuro.evaluate.pictures import figures
from neuro.evaluate.reporting import report
from neuro.evaluate.results import Comparison, Results, Row
from neuro.evaluate.runner import evaluate
from neuro.evaluate.splitting import Split
from neuro.evaluate.task import Predicted, Task

__all__ = [
    "METRICS",
    "BandPower",
    "Comparison",
    "Connectivity",
    "Counts",
    "Flat",
    "Floor",
    "Mean",
    "Metric",
    "Predicted",
    "Results",
    "Row",
    "Split",
    "Task",
    "TimeBins",
    "evaluate",
    "figures",
    "floors_for",
    "reinitialised",
    "report",
]
