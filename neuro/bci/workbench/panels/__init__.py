"""The six steps; each draws itself and says in a few words where it stands."""

from neuro.bci.workbench.panels._panel import Panel
from neuro.bci.workbench.panels.features import FEATURES
from neuro.bci.workbench.panels.map import MAP
from neuro.bci.workbench.panels.online import ONLINE
from neuro.bci.workbench.panels.report import REPORT
from neuro.bci.workbench.panels.runs import RUNS
from neuro.bci.workbench.panels.train import TRAIN

__all__ = ["PANELS", "Panel"]

PANELS: dict[str, Panel] = {
    "runs": RUNS, "features": FEATURES, "map": MAP, "train": TRAIN, "online": ONLINE,
    "report": REPORT,
}  # fmt: skip
