"""Brain-computer interfaces: calibrate, look, choose, train, go online."""

from neuro.bci.choice import Choice
from neuro.bci.maps import ClassMap, auto_select, class_map, erd, r_squared
from neuro.bci.scores import Auto, Scores, cross_validate
from neuro.bci.settings import Settings
from neuro.bci.workspace import Attempt, Run, Trials, Workspace

__all__ = [
    "Attempt",
    "Auto",
    "Choice",
    "ClassMap",
    "Run",
    "Scores",
    "Settings",
    "Trials",
    "Workspace",
    "auto_select",
    "class_map",
    "cross_validate",
    "erd",
    "r_squared",
]
