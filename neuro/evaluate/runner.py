"""Evaluate models under one protocol: floors, controls, intervals, resumable."""

import hashlib
import json
import os
import sys
import warnings as warnings_
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError
from neuro.evaluate.checks import check_folds, defined, joined_scans, made_up, refuse_identity
from neuro.evaluate.contenders.confounds import Table
from neuro.evaluate.contenders.controls import controls_of, shuffled_target
from neuro.evaluate.contenders.finetuning import FineTune
from neuro.evaluate.contenders.floors import Floor, choose_floors
from neuro.evaluate.contenders.roster import contenders
from neuro.evaluate.contenders.sources import (
    Contender,
    features_of,
    is_module,
    versions,
    windows_fingerprint,
)
from neuro.evaluate.identity import identity_parts
from neuro.evaluate.jobs import FORMAT, Job, Record, from_file, one_thread
from neuro.evaluate.label_shares import labelled_part
from neuro.evaluate.overlap import refuse_overlap
from neuro.evaluate.results import Results, assemble
from neuro.evaluate.scores.intervals import Units, choose_units
from neuro.evaluate.scores.metrics import metrics_for
from neuro.evaluate.splitting import Plan, level_names, make_plan
from neuro.evaluate.task import Kind, Task
from neuro.typing import AnyArray, FloatArray, IntArray, PathLike

__all__ = ["evaluate", "label_curve", "subject_identity"]

# bytes of features that are kept for the controls of a line: 1 GB
_MOST_KEPT = 1 << 30


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
    controls: Sequence[Any] | str | None = ("random_weights", "shuffled_labels"),
    shuffles: int = 10,
    probe: str | FineTune = "auto",
    out: PathLike | None = None,
    n_jobs: int = 1,
    progress: bool = True,
    labels: float = 1.0,
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
        By default classification for named targets, else regression;
        ``"multilabel"``, ``"circular"``, ``"counts"`` and ``"retrieval"`` must
        be declared.
    metrics : sequence of str, optional
        Names; the standard ones of the task if omitted.
    floors : "auto" or sequence of str or Floor
        ``"auto"`` takes those that fit modality and task.
    bin_s : float, optional
        Bin width in seconds of the time-bin floor.
    controls : sequence of str, SelfPretrained or Confounds
        Shown for every model they apply to: ``"random_weights"`` and
        ``"shuffled_labels"``; on request ``"self_pretrained"`` (the network
        pretrained on nothing but each fold's training part),
        ``"global_signal_removed"``, ``"confounds"`` (age, sex, site, motion …
        without any signal) and ``"subject_identity"`` (who is it?, in
        ``meta``).
    shuffles : int
        How often labels are shuffled: one shuffle can land far from chance.
    probe : str or FineTune
        Estimator on frozen embeddings: ``"auto"`` (logistic, ridge, or a
        Poisson GLM for counts), ``"ridge"``, ``"logistic"``, ``"lda"``,
        ``"knn"``, ``"nearest"``, ``"poisson_glm"``, or
        ``"attentive"``, which reads tokens; or how to train the network itself.
    out : path, optional
        Folder: one file a fold as soon as it is computed, and at the end
        ``results.json``, ``results.csv`` and ``report.html``. A later run with
        the same folder reuses what is there and still valid.
    n_jobs : int
        Folds and seeds at once; results do not depend on it.
    progress : bool
        Show a progress bar if the error output is a terminal.
    labels : float
        Share of the training units whose labels are given to probes, floors
        and fine-tuning, drawn anew for every seed; see
        :func:`neuro.evaluate.label_curve`.
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
    if not 0 < labels <= 1:
        raise ConfigError(f"labels={labels}: a share above 0 and at most 1.")
    chosen_controls = controls_of(controls)
    plan = make_plan(windows, split, allow_leakage=allow_leakage)
    goal = task if isinstance(task, Task) else Task.of(plan.windows, task)
    y = goal.target(plan.windows)
    scores = metrics_for(goal, None if metrics is None else list(metrics))
    plan = refuse_identity(plan, goal, y, allow_leakage=allow_leakage)
    check_folds(plan, goal, y)
    if metrics is None:
        scores = [m for m in scores if m.pooled or defined(m, plan, goal, y)]
    if "global_signal_removed" in chosen_controls and plan.windows.modality == "spikes":
        raise ConfigError("Counts have no global signal to take off: they would turn negative.")
    if "subject_identity" in chosen_controls:
        identity_parts(plan.windows)  # an error now, not after hours
    if "confounds" in chosen_controls:
        # read at once: what a stream beside the windows holds is in no other hash
        table = Table(chosen_controls["confounds"].of_windows(plan.windows))
        chosen_controls["confounds"] = table
    chosen = choose_floors(floors, plan.windows, goal, bin_s=bin_s)
    lines = contenders(
        models,
        chosen,
        chosen_controls,
        task=goal,
        probe=probe,
        seeds=seeds,
        shuffles=shuffles,
        redrawn=labels < 1,
    )
    cautions = refuse_overlap(models or {}, plan, split, allow_leakage=allow_leakage)
    cautions += joined_scans(plan.windows)
    if "identity" in plan.proof:
        cautions.append(str(plan.proof["identity"]))
    if labels < 1:
        cautions.append(f"only {100 * labels:g} % of the training units' labels were used")
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    units = choose_units(plan.windows, tested, plan.above)
    if units.level == "window":
        warnings_.warn(f"The {units.caution}.", UserWarning, stacklevel=2)
    folder = None if out is None else Path(out)
    run = _Run(plan, goal, y, units, folder, n_jobs, progress, labels)
    records = run(lines)
    results = assemble(
        plan,
        goal,
        scores,
        units,
        records,
        floors=chosen,
        simulated=simulated or made_up(plan.windows),
        cautions=cautions,
        options={
            "seeds": seeds,
            "shuffles": shuffles,
            "probe": probe if isinstance(probe, str) else str(probe),
            "controls": list(chosen_controls),
        },
    )
    more: dict[str, Any] = {}
    if labels < 1:
        n = [len(run.train_rows(k, 0)) for k in range(len(plan.folds))]
        more["labels"] = {"share": labels, "windows": n}
    if "subject_identity" in chosen_controls:
        again = {"seeds": seeds, "probe": probe, "n_jobs": n_jobs, "progress": progress}
        more |= _who(models or {}, plan.windows, results, folder, again)
    if more:
        results = replace(results, meta={**results.meta, **more})
    if out is not None:
        results.save(out)
    return results


def _who(
    models: Mapping[str, Any], windows: Windows, results: Results, out: Path | None, options: Any
) -> dict[str, Any]:
    """Facts and cautions about how well subjects are told apart."""
    folder = None if out is None else out / "subject_identity"
    who = subject_identity(models, windows, floors=["mean"], controls=(), out=folder, **options)
    rows = [r for r in who.rows if r.metric == "balanced_accuracy" and r.chance is not None]
    told = [
        f"the subject can be told from {r.model!r} with a balanced accuracy of {r.value:.2f} "
        f"[{r.lo:.2f}, {r.hi:.2f}], chance {r.chance:.2f}"
        for r in rows
    ]
    names = ("model", "kind", "value", "lo", "hi", "chance", "n_test")
    facts = [{name: getattr(r, name) for name in names} for r in rows]
    return {"subject_identity": facts, "cautions": [*results.meta["cautions"], *told]}


def subject_identity(models: Mapping[str, Any] | None, windows: Windows, **options: Any) -> Results:
    """Evaluate the same models at naming the subject of a window.

    Half of each person's sessions (else runs, else blocks, else the first
    half of each recording) are learned from, the other half is tested. A high
    score is no fault, but where subjects differ in the target it says what a
    decoder could rely on instead of the effect.

    Parameters
    ----------
    models : mapping of str to object
        As for :func:`neuro.evaluate.evaluate`; functions that train a network
        for each fold are left out.
    windows : Windows
        Any target is replaced.
    **options
        Passed to `evaluate`.

    Returns
    -------
    Results
        Balanced accuracy and its chance level, one over the number of people.

    Raises
    ------
    DataError
        If fewer than two people have parts on both sides.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> rng = np.random.default_rng(0)
    >>> recs = []
    >>> for s in "123":
    ...     x = int(s) + 0.1 * rng.normal(size=(2, 3000))
    ...     eeg = Regular(x, 100, "uV", Axis(["C3", "C4"], "eeg"), "eeg")
    ...     recs.append(Recording({"eeg": eeg}, subject=s, dataset="d"))
    >>> w = windows(recs, stream="eeg", length_s=1)
    >>> subject_identity(None, w, floors=["mean"], seeds=1, controls=()).row("mean").value
    1.0
    """
    labelled, parts = identity_parts(windows)
    fixed = {k: m for k, m in (models or {}).items() if _is_fixed(m)}
    return evaluate(fixed, labelled, split=parts, task="classification", **options)


def _is_fixed(model: Any) -> bool:
    """Whether it is no function that trains a network anew."""
    return is_module(model) or isinstance(model, tuple) or hasattr(model, "fit")


def label_curve(
    models: Mapping[str, Any] | None,
    windows: Windows | None,
    *,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    out: PathLike | None = None,
    **options: Any,
) -> list[Results]:
    """The same evaluation with ever more of the training labels.

    Test parts and pretraining inside a fold stay what they are; only the
    labels given to probes, floors and fine-tuning are fewer, drawn anew for
    every seed. Each part holds the smaller ones.

    Parameters
    ----------
    models, windows
        As for :func:`neuro.evaluate.evaluate`.
    shares : sequence of float
        Above 0, at most 1.
    out : path, optional
        One folder a share is made in it; what the largest share gave is
        written into `out` itself, as :func:`neuro.evaluate.evaluate` does.
    **options
        Passed to `evaluate`; `split` is needed.

    Returns
    -------
    list of Results
        In the order of `shares`; ``meta["labels"]`` holds the share and the
        number of labelled training windows, and for the largest share
        ``meta["label_curve"]`` the scores of all.
    """
    if not len(shares):
        raise ConfigError("shares is empty; give e.g. (0.01, 0.1, 1.0).")
    if len(shares) == 1:
        return [evaluate(models, windows, labels=shares[0], out=out, **options)]
    parts = [
        evaluate(
            models,
            windows,
            labels=share,
            out=None if out is None else Path(out) / f"labels_{share:g}",
            **options,
        )
        for share in shares
    ]
    names = ("model", "kind", "control", "metric", "value", "lo", "hi")
    curve = [
        {"share": share, **{name: getattr(row, name) for name in names}}
        for share, part in zip(shares, parts, strict=True)
        for row in part.rows
    ]
    whole = int(np.argmax(shares))
    parts[whole] = replace(parts[whole], meta={**parts[whole].meta, "label_curve": curve})
    if out is not None:
        parts[whole].save(out)
    return parts


# ---- jobs ------------------------------------------------------------------------


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
    labels: float = 1.0
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
                    record = from_file(path, key, line, k, seed, self.y, test, self.task)
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
            source = line.features(seed, train)
            features = self._features(line, source, fold)
            jobs = [self._job(line, source, features, *item) for item in items]
            parallel = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
            with one_thread():
                yield from parallel(delayed(job)() for job in jobs)

    def _features(self, line: Contender, source: Any, fold: int) -> FloatArray:
        """Features of all windows; kept if another line may ask for them again."""
        key = f"{line.key} {fold if line.per_fold else ''}"
        if line.per_seed:
            return features_of(self.plan.windows, source, line.name)
        if key not in self.kept:
            self.kept[key] = features_of(self.plan.windows, source, line.name)
            while len(self.kept) > 1 and sum(f.nbytes for f in self.kept.values()) > _MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        return self.kept[key]

    def _job(
        self,
        line: Contender,
        source: Any,
        features: FloatArray,
        seed: int,
        k: int,
        key: str,
        path: Path | None,
    ) -> Job:
        fold, train = self.plan.folds[k], self.train_rows(k, seed)
        train_y = self.y[train]
        if line.control == "shuffled_labels":
            levels = [a[train] for a in self._levels()]
            train_y = shuffled_target(train_y, levels, np.random.default_rng([seed, k]))
        groups = choose_units(self.plan.windows, train, self.plan.above).code[train]
        return Job(
            line,
            self.task,
            k,
            seed,
            key,
            path,
            source,
            self.plan.windows,
            features,
            self.y,
            train_y,
            train,
            fold.test,
            groups,
            os.getpid(),
        )

    def train_rows(self, k: int, seed: int) -> IntArray:
        """Training windows of a fold whose labels are given."""
        train = self.plan.folds[k].train
        if self.labels == 1:
            return train
        units = choose_units(self.plan.windows, train, self.plan.above).code[train]
        return labelled_part(train, self.y[train], units, self.labels, seed)

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
            "format": FORMAT,
            "windows": base,
            "task": self.task.to_json(),
            "line": [line.name, line.kind, line.control, line.key],
            "seed": seed,
            "fold": k if line.control == "shuffled_labels" else None,
            "versions": versions(),
        }
        digest.update(json.dumps(facts, sort_keys=True).encode())
        digest.update(fold.train.tobytes() + b"|" + fold.test.tobytes())
        if self.labels < 1:
            digest.update(b"|" + self.train_rows(k, seed).tobytes())
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
