"""One fit of one contender, and the file that keeps what it said."""

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import NeuroError
from neuro.evaluate.contenders.finetuning import Rows
from neuro.evaluate.contenders.sources import Contender
from neuro.evaluate.probing.counts import own_likelihood
from neuro.evaluate.probing.fitting import fit_predict
from neuro.evaluate.scores.retrieval import ranked
from neuro.evaluate.task import Predicted, Task
from neuro.io.safe import read_json, write_json
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["FORMAT", "Job", "Record", "from_file", "one_thread"]

FORMAT = "neuro-fold/2"


@dataclass(frozen=True, eq=False)
class Record:
    """Predictions of one contender on one fold with one seed."""

    name: str
    kind: str
    control: str
    fold: int
    seed: int
    said: Predicted
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Job:
    """One fit, with everything it needs."""

    line: Contender
    task: Task
    fold: int
    seed: int
    key: str
    path: Path | None
    source: Any
    windows: Windows
    features: FloatArray
    y: AnyArray
    train_y: AnyArray
    train: IntArray
    test: IntArray
    groups: AnyArray
    pid: int

    def __call__(self) -> Record:
        """Fit, predict, and keep what was said."""
        name = self.line.name + (f" ({self.line.control})" if self.line.control else "")
        with one_thread() if os.getpid() != self.pid else nullcontext():
            try:
                estimator = self.line.estimator(self.task, self.seed)
                if isinstance(self.source, Rows):
                    estimator.bind(self.source, self.windows)
                said = fit_predict(
                    estimator,
                    self.task,
                    self.features[self.train],
                    self.train_y,
                    self.groups,
                    self.features[self.test],
                    name=name,
                )
                notes = _notes(said, self.task)
                if self.task.kind == "retrieval":
                    said = ranked(self.task, said, self.y[self.test], self.train_y)
                if self.task.kind == "counts":
                    x, y = self.features[self.test], self.y[self.test]
                    said = own_likelihood(estimator, self.task, said, x, y, name)
            except NeuroError:
                raise
            except Exception as error:
                error.add_note(f"while fitting {name} on fold {self.fold}, seed {self.seed}")
                raise
        line = self.line
        record = Record(line.name, line.kind, line.control, self.fold, self.seed, said, notes)
        if self.path is not None:
            write_json(self.path, _to_json(record, self), indent=None)
        return record


def _notes(said: Predicted, task: Task) -> tuple[str, ...]:
    flat = said.label.reshape(len(said), -1)
    same = np.ptp(flat, axis=0) == 0
    # one target of several that never varies is worth a note; of a vector all must
    constant = same.all() if task.kind in ("retrieval", "counts") else same.any()
    return ("constant prediction",) if len(said) > 1 and constant else ()


def _to_json(record: Record, job: Job) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "key": job.key,
        "model": record.name,
        "kind": record.kind,
        "control": record.control,
        "fold": record.fold,
        "seed": record.seed,
        "window": job.test.tolist(),
        "target": job.y[job.test].tolist(),
        "prediction": record.said.label.tolist(),
        "score": None if record.said.score is None else record.said.score.tolist(),
        "notes": list(record.notes),
    }


def from_file(path: Path, key: str, line: Contender, fold: int, seed: int, y: AnyArray,
               test: IntArray, task: Task) -> Record | None:  # fmt: skip
    """A fold computed earlier; None if there is none or it cannot be trusted."""
    if not path.is_file():
        return None
    try:
        found = read_json(path, max_bytes=1 << 30)
    except NeuroError:
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("key") != key:
        return None
    try:
        label = np.asarray(found["prediction"], dtype=y.dtype)
        score = found["score"]
        score = None if score is None else np.asarray(score, dtype=np.float64)
        notes = tuple(str(n) for n in found["notes"])
    except (KeyError, TypeError, ValueError):
        return None
    widths = (1, task.n_outputs) if task.kind == "counts" else (task.n_classes,)
    if label.shape != task.said_shape(y[test]) or (
        score is not None and score.shape not in [(len(test), width) for width in widths]
    ):
        return None
    return Record(line.name, line.kind, line.control, fold, seed, Predicted(label, score), notes)


def one_thread() -> Any:
    """Keep numerical libraries from using threads: same sums, whatever n_jobs is."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
