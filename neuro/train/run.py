"""A run: its folder, its figures, its checkpoints."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from neuro.errors import ConfigError, DataUnavailableError, NeuroError
from neuro.io.safe import atomic_path, read_json
from neuro.train.checkpoint import MODEL, STATE, complete, latest, verify
from neuro.typing import PathLike

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MetricsLog", "Run", "TrainingError"]

CHECKPOINTS, METRICS = "checkpoints", "metrics.jsonl"


class TrainingError(NeuroError, ArithmeticError):
    """The loss or its gradient is no longer finite."""


class Run:
    """What :func:`neuro.train.fit` returns; also opens the folder of an old run.

    Parameters
    ----------
    folder : path
        Run folder.
    model : nn.Module, optional
        The trained model.
    stopped : str
        Why the run ended before its last step; ``""`` if it did not.

    Raises
    ------
    DataUnavailableError
        If the folder holds no run.
    """

    def __init__(self, folder: PathLike, model: "nn.Module | None" = None, stopped: str = ""):
        self.folder = Path(folder)
        self.model = model
        self.stopped = stopped
        if not (self.folder / "config.json").is_file():
            raise DataUnavailableError(
                f"{self.folder.name!r} holds no run: config.json is missing. "
                "Give the folder that fit(..., out=) was given."
            )

    def __repr__(self) -> str:
        return f"Run({self.folder.name!r}, step {self.step} of {self.config['arguments']['steps']})"

    @property
    def config(self) -> dict[str, Any]:
        """All settings of the run, as in config.json."""
        return dict(read_json(self.folder / "config.json"))

    @property
    def step(self) -> int:
        """Steps done at the last checkpoint; 0 if there is none."""
        return max(complete(self.folder / CHECKPOINTS), default=0)

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl: losses, learning rate, speed; validations.

        Returns
        -------
        list of dict
            In the order of the steps. A line that a killed process left
            unfinished is left out.
        """
        return [line for line, _ in _read_lines(self.folder / METRICS)]

    def last(self) -> Path:
        """Folder of the newest intact checkpoint.

        Raises
        ------
        DataUnavailableError
            If there is none.
        """
        found = latest(self.folder / CHECKPOINTS)
        if found is None:
            raise DataUnavailableError(
                f"{self.folder.name!r} has no complete checkpoint yet. Run fit again with the "
                "same arguments."
            )
        return found[1]

    def best(self) -> Path:
        """Folder of the checkpoint with the lowest validation loss.

        Returns
        -------
        Path
            The newest checkpoint if the run never validated.

        Raises
        ------
        DataUnavailableError
            If it is not there.
        """
        newest = self.last()
        best = read_json(newest / STATE).get("best")
        if best is None:
            return newest
        path = complete(self.folder / CHECKPOINTS).get(int(best["step"]))
        if path is None:
            raise DataUnavailableError(
                f"The best checkpoint (step {best['step']}) of {self.folder.name!r} is missing "
                "or damaged; the newest is Run.last()."
            )
        return path

    def load(
        self, which: Literal["best", "last"] | int = "best", model: "nn.Module | None" = None
    ) -> "nn.Module":
        """Put the weights of a checkpoint into the model.

        Parameters
        ----------
        which : {"best", "last"} or int
            Which checkpoint; a number is a step.
        model : nn.Module, optional
            The run's own model if omitted. For an old run give a fresh one of
            the same configuration, or use
            ``neuro.models.load(run.best() / "model")``.

        Returns
        -------
        nn.Module
            The model.

        Raises
        ------
        ConfigError
            If there is no such checkpoint or no model to load into.
        FileError
            If the checkpoint is damaged or of another model.
        """
        target: Any = self.model if model is None else model
        if target is None:
            raise ConfigError(
                "This run was opened from its folder and has no model: give load(model=...), "
                "or use neuro.models.load(run.best() / 'model')."
            )
        if isinstance(which, int):
            found = complete(self.folder / CHECKPOINTS)
            if which not in found:
                raise ConfigError(f"No checkpoint at step {which}; there are {list(found)}.")
            path = found[which]
        else:
            path = self.best() if which == "best" else self.last()
        verify(path)
        target.load_weights(path / MODEL)
        loaded: nn.Module = target
        return loaded


class MetricsLog:
    """Appends lines to metrics.jsonl.

    Parameters
    ----------
    path : Path
        The file.
    done : int
        Steps done: lines of later steps, which a killed process wrote after
        its last checkpoint, are dropped because they will come again.
    """

    def __init__(self, path: Path, done: int) -> None:
        lines = [raw for line, raw in _read_lines(path) if line["step"] <= done]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
        self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line; it is in the file when this returns."""
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Force all lines to disk."""
        with suppress(OSError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_lines(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Parsed lines with their text, without what cannot be parsed."""
    out: list[tuple[dict[str, Any], str]] = []
    if not path.is_file():
        return out
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            line = json.loads(raw)
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                out.append((line, raw + "\n"))
    return out
