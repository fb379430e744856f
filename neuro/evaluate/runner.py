"""Evaluate models under one protocol: floors, controls, intervals, resumable."""

import hashlib
import json
import os
import sys
import warnings as warnings_
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError, NeuroError
from neuro.evaluate.contenders import contenders
from neuro.evaluate.controls import names_of, shuffled_target
from neuro.evaluate.floors import Floor, choose_floors
from neuro.evaluate.intervals import Units, choose_units
from neuro.evaluate.metrics import metrics_for
from neuro.evaluate.overlap import refuse_overlap
from neuro.evaluate.probes import fit_predict
from neuro.evaluate.results import Results, assemble
from neuro.evaluate.sources import Contender, features_of, versions, windows_fingerprint
from neuro.evaluate.splitting import Plan, level_names, make_plan
from neuro.evaluate.task import Kind, Predicted, Task
from neuro.io.safe import read_json, write_json
from neuro.typing import AnyArray, FloatArray, IntArray, PathLike

__all__ = ["evaluate"]

_FORMAT = "neuro-fold/1"


def evaluate(
    models: Mapping[str, Any] | None,
    windows: Windows | None,
    *,
    split: Any,
    seeds: int = 5,
    task: Task | Kind | None = None,
    metrics: Sequence[str] | None = None,
    floors: str | Sequence[str | Floor] = "auto",
    bin_s: float | None = None,
    controls: Sequence[str] | None = ("random_weights", "shuffled_labels"),
    shuffles: int = 10,
    probe: str = "auto",
    out: PathLike | None = None,
    n_jobs: int = 1,
    progress: bool = True,
    allow_leakage: bool = False,
    simulated: bool = False,
) -> Results:
    """Score models beside the floors they must beat and the controls that explain them.

    Parameters
    ----------
    models : mapping of str to object, or None
        Each is a trained network (its frozen embedding is probed); a function
        from the training Windows to a trained network (called once a fold, for
        pretraining that must not see the test part); an object with `fit` and
        `predict` (given all samples of a window in a row); or a pair (function
        from Batch to features, object with `fit` and `predict`). None or
        empty: floors only.
    windows : Windows or None
        With a target; windows without one are left out. None if `split` holds
        the windows.
    split : Split, (train, test), or sequence of (train, test)
        How windows are divided; parts are Windows or row numbers.
    seeds : int
        How often what is drawn (inner folds of the probe, random weights) is
        drawn.
    task : Task or str, optional
        By default classification for named targets, else regression; angles
        must be declared.
    metrics : sequence of str, optional
        Names; the standard ones of the task if omitted.
    floors : "auto" or sequence of str or Floor
        ``"auto"`` takes those that fit modality and task.
    bin_s : float, optional
        Bin width in seconds of the time-bin floor.
    controls : sequence of {"random_weights", "shuffled_labels"}
        Shown for every model they apply to.
    shuffles : int
        How often labels are shuffled: one shuffle can land far from chance.
    probe : {"auto", "ridge", "logistic", "lda", "nearest"}
        Estimator on frozen embeddings.
    out : path, optional
        Folder: one file a fold as soon as it is computed, and at the end
        ``results.json``, ``results.csv`` and ``report.html``. A later run with
        the same folder reuses what is there and still valid.
    n_jobs : int
        Folds and seeds at once; results do not depend on it.
    progress : bool
        Show a progress bar if the error output is a terminal.
    allow_leakage : bool
        Accept training and test parts that are not independent; every table
        and report then says so.
    simulated : bool
        Mark every table and report as made from simulated data; data sets
        whose name begins with ``"synthetic_"`` are marked in any case.

    Returns
    -------
    Results

    Raises
    ------
    LeakageError
        If training and test parts are not independent, or a network was
        trained on what it is tested on.
    DataError
        If the data do not allow the evaluation: no target, a class missing
        from a training part, features that are not finite.
    ConfigError
        If an option is unknown.

    Examples
    --------
    >>> from neuro.data import Axis, Events, Recording, Regular, windows
    >>> from neuro.evaluate import Split
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 8000))
    >>> kind = np.tile(["rest", "move"], 20)
    >>> x[0] += np.repeat(kind == "move", 200)
    >>> eeg = Regular(x, 100, "uV", Axis(["C3", "Cz", "C4"], "eeg"), "eeg")
    >>> events = Events.make(np.arange(40) * 2.0, kind, block=np.arange(40))
    >>> w = windows(
    ...     Recording({"eeg": eeg}, events), stream="eeg", length_s=2, align="*", label="type"
    ... )
    >>> results = evaluate(None, w, split=Split("block", n=4), seeds=1)
    >>> row = results.row("time_bins", "accuracy")
    >>> row.value, row.unit, row.n_units
    (1.0, 'block', 40)
    """
    if seeds < 1 or shuffles < 1:
        raise ConfigError(f"seeds={seeds}, shuffles={shuffles}: at least 1.")
    chosen_controls = names_of(controls)
    plan = make_plan(windows, split, allow_leakage=allow_leakage)
    goal = task if isinstance(task, Task) else Task.of(plan.windows, task)
    y = goal.target(plan.windows)
    scores = metrics_for(goal, None if metrics is None else list(metrics))
    _check_folds(plan, goal, y)
    if metrics is None:
        scores = [m for m in scores if m.pooled or _defined(m.name, plan, goal, y)]
    chosen = choose_floors(floors, plan.windows, goal, bin_s=bin_s)
    lines = contenders(
        models,
        chosen,
        chosen_controls,
        task=goal,
        probe=probe,
        seeds=seeds,
        shuffles=shuffles,
    )
    cautions = refuse_overlap(models or {}, plan, split, allow_leakage=allow_leakage)
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    units = choose_units(plan.windows, tested)
    if units.level == "window":
        warnings_.warn(f"The {units.caution}.", UserWarning, stacklevel=2)
    run = _Run(plan, goal, y, units, None if out is None else Path(out), n_jobs, progress)
    records = run(lines)
    results = assemble(
        plan,
        goal,
        scores,
        units,
        records,
        floors=chosen,
        simulated=simulated or _made_up(plan.windows),
        cautions=cautions,
        options={
            "seeds": seeds,
            "shuffles": shuffles,
            "probe": probe,
            "controls": list(chosen_controls),
        },
    )
    if out is not None:
        results.save(out)
    return results


def _check_folds(plan: Plan, task: Task, y: AnyArray) -> None:
    """Every class in every training part, or a clear error."""
    for k, fold in enumerate(plan.folds):
        if task.kind != "classification":
            if (np.ptp(y[fold.train], axis=0) == 0).all():
                raise DataError(f"The target is constant in the training part of fold {k}.")
            continue
        seen = np.unique(y[fold.train])
        missing = [c for c in np.unique(y[fold.test]).tolist() if c not in seen]
        if missing or len(seen) < 2:
            name = task.classes[missing[0] if missing else int(seen[0])]
            what = "never occurs in" if missing else "is the only class in"
            raise DataError(
                f"Class {name!r} {what} the training part of fold {k} ({plan.description}). Use "
                "fewer folds, another level, or leave the class out with classes=[...]."
            )


def _made_up(windows: Windows) -> bool:
    return any(rec.dataset.startswith("synthetic_") for rec in windows.recordings)


def _defined(name: str, plan: Plan, task: Task, y: AnyArray) -> bool:
    """Whether a standard metric that folds cannot share exists in each of them."""
    tests = [y[fold.test] for fold in plan.folds]
    if name in ("auroc", "auprc"):
        return all(len(np.unique(part)) == task.n_classes for part in tests)
    if name == "r":
        return all(len(part) >= 3 for part in tests)
    return all((np.ptp(part, axis=0) > 0).all() and len(part) >= 2 for part in tests)


# ---- jobs ------------------------------------------------------------------------


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
class _Job:
    """One fit, with everything it needs."""

    line: Contender
    task: Task
    fold: int
    seed: int
    key: str
    path: Path | None
    features: FloatArray
    y: AnyArray
    train_y: AnyArray
    train: IntArray
    test: IntArray
    groups: AnyArray
    pid: int

    def __call__(self) -> Record:
        name = self.line.name + (f" ({self.line.control})" if self.line.control else "")
        with _one_thread() if os.getpid() != self.pid else nullcontext():
            try:
                said = fit_predict(
                    self.line.estimator(self.task, self.seed),
                    self.task,
                    self.features[self.train],
                    self.train_y,
                    self.groups,
                    self.features[self.test],
                    name=name,
                )
            except NeuroError:
                raise
            except Exception as error:
                error.add_note(f"while fitting {name} on fold {self.fold}, seed {self.seed}")
                raise
        line = self.line
        record = Record(
            line.name, line.kind, line.control, self.fold, self.seed, said, _notes(said)
        )
        if self.path is not None:
            write_json(self.path, _to_json(record, self), indent=None)
        return record


def _notes(said: Predicted) -> tuple[str, ...]:
    flat = said.label.reshape(len(said), -1)
    constant = len(said) > 1 and bool((np.ptp(flat, axis=0) == 0).any())
    return ("constant prediction",) if constant else ()


def _to_json(record: Record, job: _Job) -> dict[str, Any]:
    return {
        "format": _FORMAT,
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


def _from_file(path: Path, key: str, line: Contender, fold: int, seed: int, y: AnyArray,
               test: IntArray, task: Task) -> Record | None:  # fmt: skip
    """A fold computed earlier; None if there is none or it cannot be trusted."""
    if not path.is_file():
        return None
    try:
        found = read_json(path, max_bytes=1 << 30)
    except NeuroError:
        return None
    if not isinstance(found, dict) or found.get("format") != _FORMAT or found.get("key") != key:
        return None
    try:
        label = np.asarray(found["prediction"], dtype=y.dtype)
        score = found["score"]
        score = None if score is None else np.asarray(score, dtype=np.float64)
        notes = tuple(str(n) for n in found["notes"])
    except (KeyError, TypeError, ValueError):
        return None
    if label.shape != y[test].shape or (
        score is not None and score.shape != (len(test), task.n_classes)
    ):
        return None
    return Record(line.name, line.kind, line.control, fold, seed, Predicted(label, score), notes)


def _one_thread() -> Any:
    """Keep numerical libraries from using threads: same sums, whatever n_jobs is."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


@dataclass(frozen=True, eq=False)
class _Run:
    """Computes what is not on disk yet, fold by fold."""

    plan: Plan
    task: Task
    y: AnyArray
    units: Units
    out: Path | None
    n_jobs: int
    progress: bool
    kept: dict[str, FloatArray] = field(default_factory=dict)

    def __call__(self, lines: Sequence[Contender]) -> list[Record]:
        base = windows_fingerprint(self.plan.windows)
        done: list[Record] = []
        total = sum(line.seeds for line in lines) * len(self.plan.folds)
        with _bar(total, self.progress) as advance:
            for line in lines:
                done += self._line(line, base, advance)
        return done

    def _line(self, line: Contender, base: str, advance: Any) -> list[Record]:
        found: dict[tuple[int, int], Record] = {}
        todo: list[tuple[int, int, str, Path | None]] = []
        for seed in range(line.seeds):
            for k in range(len(self.plan.folds)):
                key = self._key(line, k, seed, base)
                path = None if self.out is None else self.out / "folds" / f"{key[:32]}.json"
                record = None
                if path is not None:
                    test = self.plan.folds[k].test
                    record = _from_file(path, key, line, k, seed, self.y, test, self.task)
                if record is None:
                    todo.append((seed, k, key, path))
                else:
                    found[seed, k] = record
                    advance()
        for record in self._computed(line, todo):
            found[record.seed, record.fold] = record
            advance()
        return [found[at] for at in sorted(found)]

    def _computed(
        self, line: Contender, todo: Sequence[tuple[int, int, str, Path | None]]
    ) -> Iterable[Record]:
        """Run the missing fits; features that differ are made group by group."""
        from joblib import Parallel, delayed

        groups: dict[tuple[int, int], list[tuple[int, int, str, Path | None]]] = {}
        for item in todo:
            # fold before seed: a network trained for a fold serves all its seeds
            where = (item[1] if line.per_fold else 0, item[0] if line.per_seed else 0)
            groups.setdefault(where, []).append(item)
        for (fold, seed), items in sorted(groups.items()):
            train = None
            if line.per_fold:
                train = self.plan.windows.select(self.plan.folds[fold].train)
            features = self._features(line, seed, train)
            jobs = [self._job(line, features, *item) for item in items]
            parallel = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
            with _one_thread():
                yield from parallel(delayed(job)() for job in jobs)

    def _features(self, line: Contender, seed: int, train: Windows | None) -> FloatArray:
        """Features of all windows; kept if another line may ask for them again."""
        lasting = not (line.per_seed or line.per_fold)
        if lasting and line.key in self.kept:
            return self.kept[line.key]
        features = features_of(self.plan.windows, line.features(seed, train), line.name)
        if lasting:
            self.kept[line.key] = features
        return features

    def _job(
        self, line: Contender, features: FloatArray, seed: int, k: int, key: str, path: Path | None
    ) -> _Job:
        fold = self.plan.folds[k]
        train_y = self.y[fold.train]
        if line.control == "shuffled_labels":
            levels = [a[fold.train] for a in self._levels()]
            train_y = shuffled_target(train_y, levels, np.random.default_rng([seed, k]))
        groups = choose_units(self.plan.windows, fold.train).code[fold.train]
        return _Job(
            line,
            self.task,
            k,
            seed,
            key,
            path,
            features,
            self.y,
            train_y,
            fold.train,
            fold.test,
            groups,
            os.getpid(),
        )

    def _levels(self) -> list[AnyArray]:
        """Units of dependence, from small to large."""
        w = self.plan.windows
        block = np.where(w.block < 0, -1 - np.arange(len(w)), w.block)
        _, finest = np.unique(np.stack([w.recording, block]), axis=1, return_inverse=True)
        names = [level_names(w, level) for level in ("recording", "session", "subject")]
        return [finest, *(n for n in names if n is not None)]

    def _key(self, line: Contender, k: int, seed: int, base: str) -> str:
        fold = self.plan.folds[k]
        digest = hashlib.sha256()
        facts = {
            "format": _FORMAT,
            "windows": base,
            "task": self.task.to_json(),
            "line": [line.name, line.kind, line.control, line.key],
            "seed": seed,
            "fold": k if line.control == "shuffled_labels" else None,
            "versions": versions(),
        }
        digest.update(json.dumps(facts, sort_keys=True).encode())
        digest.update(fold.train.tobytes() + b"|" + fold.test.tobytes())
        return digest.hexdigest()


def _bar(total: int, show: bool) -> Any:
    """Context that gives a function to call after each step."""
    if not (show and sys.stderr.isatty()):
        return nullcontext(lambda: None)
    return _Bar(total)


class _Bar:
    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.progress = Progress(console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task("evaluating", total=total)

    def __enter__(self) -> Any:
        self.progress.start()
        return lambda: self.progress.advance(self.task)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
