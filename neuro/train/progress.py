"""A progress bar on stderr."""

import sys
from typing import Any

from neuro.train.callbacks import Callback, TrainState

__all__ = ["ProgressBar", "wants_progress"]


def wants_progress(asked: bool | None) -> bool:
    """The user's choice; by default only where someone can see it."""
    return sys.stderr.isatty() if asked is None else asked


class ProgressBar(Callback):
    """Steps done, losses and the time left, drawn by rich."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def on_start(self, state: TrainState) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            Remaining(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=state.total, completed=state.step)

    def on_step(self, state: TrainState) -> None:
        """Move on."""
        text = f"loss {state.loss:.4g}  lr {state.lr:.2g}"
        if "valid_loss" in state.valid:
            text += f"  valid {state.valid['valid_loss']:.4g}"
        self._bar.update(self._task, completed=state.step, description=text)

    def on_end(self, state: TrainState) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
