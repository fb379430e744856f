"""One table over all data sets: every system that fits, beside the floors.

Each data set has a folder of its own with every fold as it was computed, so a
run that was stopped goes on where it was, and a finished data set is not even
loaded again.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from neuro import models as registry
from neuro.data import Recording
from neuro.errors import ConfigError, DataUnavailableError, FileError, NeuroError, did_you_mean
from neuro.evaluate.contenders.sources import versions
from neuro.evaluate.reporting.report import report, verdicts
from neuro.evaluate.results import Results
from neuro.evaluate.runner import evaluate
from neuro.evaluate.suite.entrants import entrants
from neuro.evaluate.suite.offline import OFFLINE, SIMULATED, OfflineTask, simulate
from neuro.io.safe import atomic_path, read_json, write_json
from neuro.typing import PathLike

__all__ = ["SUITES", "Benchmark", "Line", "benchmark"]

SUITES: dict[str, Mapping[str, OfflineTask]] = {"offline": {**OFFLINE, **SIMULATED}}
_FORMAT = "neuro-benchmark/2"


@dataclass(frozen=True)
class Line:
    """One model (or the best floor) on one data set.

    Parameters
    ----------
    dataset, title : str
        Data set and what is decoded from it.
    simulated : bool
        Whether it is made up.
    model : str
        Name of the model; of the best floor where no model fits.
    metric : str
        Primary metric.
    value, lo, hi : float
        Score and interval.
    chance : float or None
        What no information scores.
    floor : str
        Best floor.
    floor_value : float
        Its score.
    random_weights, shuffled_labels : float or None
        Controls of the model.
    against_floor, against_null : str
        Verdicts, as in the report.
    split, unit : str
        How windows were divided; what intervals resample.
    n_test, n_units : int
        Windows and units tested.
    """

    dataset: str
    title: str
    simulated: bool
    model: str
    metric: str
    value: float
    lo: float
    hi: float
    chance: float | None
    floor: str
    floor_value: float
    random_weights: float | None
    shuffled_labels: float | None
    against_floor: str
    against_null: str
    split: str
    unit: str
    n_test: int
    n_units: int


@dataclass(frozen=True)
class Benchmark:
    """Results of a suite.

    Parameters
    ----------
    suite : str
        Its name.
    results : mapping of str to Results
        Data set -> everything that was measured.
    skipped : mapping of str to str
        Data set -> why it cannot be had here.
    failed : mapping of str to str
        Data set -> the error that ended its evaluation.
    unfit : mapping of str to mapping
        Data set -> model -> why it does not fit.
    not_run : mapping of str to mapping
        Data set -> model -> how long it would have taken.
    settings : mapping
        What was asked for.
    """

    suite: str
    results: Mapping[str, Results]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    unfit: Mapping[str, Mapping[str, str]]
    not_run: Mapping[str, Mapping[str, str]]
    settings: Mapping[str, Any]

    def lines(self) -> list[Line]:
        """The table, one line a data set and model."""
        return [line for name, r in self.results.items() for line in _lines(name, r, self.suite)]

    def to_markdown(self) -> str:
        """The table and what is missing from it."""
        head = ["data set", "metric (chance)", "best floor", "model", "score [95 %]",
                "random weights", "shuffled labels", "verdict"]  # fmt: skip
        rows = [head, ["---"] * len(head)]
        for e in self.lines():
            own = e.model != e.floor
            chance = "" if e.chance is None else f" ({e.chance:.3g})"
            rows.append([
                e.dataset + (" (simulated)" if e.simulated else ""),
                e.metric.replace("_", " ") + chance,
                f"{e.floor} {e.floor_value:.3f}",
                e.model if own else "",
                f"{e.value:.3f} [{e.lo:.3f}, {e.hi:.3f}]",
                *("" if v is None else f"{v:.3f}" for v in (e.random_weights, e.shuffled_labels)),
                (f"{e.against_floor}; " if own else "") + e.against_null,
            ])  # fmt: skip
        for name, reasons in self.not_run.items():
            rows += [[name, "", "", model, why, "", "", ""] for model, why in reasons.items()]
        text = "\n".join("| " + " | ".join(c.replace("|", "/") for c in row) + " |" for row in rows)
        for name, why in self.skipped.items():
            text += f"\n\nSkipped {name}: {why}"
        for name, why in self.failed.items():
            text += f"\n\nFailed {name}: {why}"
        for name, reasons in self.unfit.items():
            for model, why in reasons.items():
                text += f"\n\n{model} does not fit {name}: {why}"
        return text + "\n"

    def to_json(self) -> dict[str, Any]:
        """Everything but single predictions, as plain values."""
        return {
            "format": _FORMAT,
            "suite": self.suite,
            "settings": dict(self.settings),
            "lines": [_plain(line) for line in self.lines()],
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "unfit": {k: dict(v) for k, v in self.unfit.items()},
            "not_run": {k: dict(v) for k, v in self.not_run.items()},
            "results": {name: r.to_json() for name, r in self.results.items()},
            "versions": versions(),
        }

    def save(self, folder: PathLike, *, command: str | None = None) -> None:
        """Write benchmark.json, benchmark.csv, benchmark.md and, with results, benchmark.html."""
        where = Path(folder)
        write_json(where / "benchmark.json", self.to_json())
        text = io.StringIO()
        writer = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator="\n")
        writer.writeheader()
        for line in self.lines():
            writer.writerow({k: "" if v is None else v for k, v in _plain(line).items()})
        for name, content in (("benchmark.csv", text.getvalue()),
                              ("benchmark.md", self.to_markdown())):  # fmt: skip
            with atomic_path(where / name) as temporary:
                temporary.write_text(content, encoding="utf-8")
        if self.results:
            notes = [f"Skipped {k}: {v}" for k, v in self.skipped.items()]
            notes += [f"Failed {k}: {v}" for k, v in self.failed.items()]
            notes += [f"{k}, {m}: {v}" for k, whys in self.not_run.items() for m, v in whys.items()]
            report(
                list(self.results.values()),
                where / "benchmark.html",
                title=f"Benchmark: {self.suite}",
                notes=notes,
                command=command,
            )


def benchmark(
    suite: str = "offline",
    *,
    out: PathLike,
    datasets: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    preset: str = "default",
    steps: int = 300,
    seeds: int = 5,
    seed: int = 0,
    minutes: float | None = None,
    root: PathLike | None = None,
    download: bool = True,
    n_jobs: int = 1,
    tell: Callable[[str], None] | None = None,
) -> Benchmark:
    """Evaluate every registered model that fits on every data set of a suite.

    Networks are pretrained without labels on the training part of each fold
    and probed; estimators forecast where the next sample is asked for; floors
    and controls stand beside them.

    Parameters
    ----------
    suite : str
        ``"offline"``: the labelled recordings that need no account, and the
        simulators.
    out : path
        Folder; what is finished in it is not computed again.
    datasets : sequence of str, optional
        Only these of the suite.
    models : sequence of str, optional
        Registered names; all if omitted, none if empty (floors alone).
    preset : str
        Of the networks.
    steps : int
        Pretraining steps a fold.
    seeds : int
        Repetitions of probes and controls.
    seed : int
        Of simulators, weights and training.
    minutes : float, optional
        The most that one network may take on one data set (pretraining and
        embedding, as a first step and a first pass let expect); beyond it the
        table says "not run" and how long it would take. Which networks are
        run then depends on the machine, their scores do not. No limit if
        omitted.
    root : path, optional
        Folder with the user's own copies of data sets that are not fetched.
    download : bool
        Fetch data sets that are not on this machine.
    n_jobs : int
        Fits at once.
    tell : callable(str), optional
        Told what is being done.

    Returns
    -------
    Benchmark
        Also written into `out`: benchmark.json, .csv, .md, .html.

    Raises
    ------
    ConfigError
        If a name is unknown or a number impossible.
    """
    chosen, names = _asked(suite, datasets, models)
    if steps < 1 or seeds < 1:
        raise ConfigError(f"steps={steps}, seeds={seeds}: at least 1.")
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"minutes={minutes}: above 0, or None for no limit.")
    own: dict[str, Any] = {
        "preset": preset,
        "steps": steps,
        "seeds": seeds,
        "seed": seed,
        "minutes": minutes,
    }
    settings = {"models": names, **own}
    say = tell or (lambda text: None)
    results: dict[str, Results] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    unfit: dict[str, dict[str, str]] = {}
    not_run: dict[str, dict[str, str]] = {}
    for name, task in chosen.items():
        where = Path(out) / name
        key = _key(task, settings)
        before = _finished(where, key)
        if before is not None:
            say(f"{name}: finished before")
            results[name], unfit[name], not_run[name] = before
            continue
        say(f"{name}: loading")
        try:
            recordings = _recordings(task.dataset, seed, root, download)
        except DataUnavailableError as error:
            skipped[name] = _first_sentence(error)
            say(f"{name}: skipped, {skipped[name]}")
            continue
        try:
            index = task.cut(recordings)
            fitting, unfit[name], not_run[name] = entrants(
                names, index, task.split, configs=task.configs, **own
            )
            say(f"{name}: {len(index)} windows, floors" + "".join(f", {m}" for m in fitting))
            results[name] = evaluate(
                fitting or None,
                index,
                split=task.split,
                task=task.kind,
                bin_s=task.bin_s,
                floors=task.floors,
                seeds=seeds,
                out=where,
                n_jobs=n_jobs,
                progress=False,
            )
        except NeuroError as error:  # one data set that fails must not cost the others
            failed[name] = str(error)
            say(f"{name}: failed, {error}")
            continue
        facts = {"unfit": unfit[name], "not_run": not_run[name]}
        write_json(where / "benchmark.json", {"format": _FORMAT, "key": key, **facts})
    reasons, late = ({k: v for k, v in found.items() if v} for found in (unfit, not_run))
    done = Benchmark(suite, results, skipped, failed, reasons, late, settings)
    done.save(out)
    return done


def _asked(
    suite: str, datasets: Sequence[str] | None, models: Sequence[str] | None
) -> tuple[dict[str, OfflineTask], list[str]]:
    if suite not in SUITES:
        raise ConfigError(f"No suite {suite!r}. {did_you_mean(suite, SUITES)}")
    tasks = SUITES[suite]
    for name in datasets or ():
        if name not in tasks:
            raise ConfigError(f"{name!r} is not in suite {suite!r}. {did_you_mean(name, tasks)}")
    known = registry.list()
    for name in models or ():
        if name not in known:
            raise ConfigError(f"No model is called {name!r}. {did_you_mean(name, known)}")
    chosen = {k: t for k, t in tasks.items() if datasets is None or k in datasets}
    return chosen, list(known if models is None else models)


def _recordings(name: str, seed: int, root: PathLike | None, download: bool) -> Sequence[Recording]:
    from neuro import datasets

    if name in {task.dataset for task in SIMULATED.values()}:
        return simulate(name, seed)
    by_path = datasets.info(name).source.kind == "path"
    if by_path and root is None:
        raise DataUnavailableError(f"{name} is not fetched: give root=, a folder with your copy.")
    return datasets.load(name, root=root if by_path else None, download=download)


def _first_sentence(error: Exception) -> str:
    """The reason without paths and hints that follow."""
    return str(error).splitlines()[0].split(". ")[0].rstrip(".") + "."


# ---- finished before ----------------------------------------------------------------


def _key(task: OfflineTask, settings: Mapping[str, Any]) -> str:
    facts = {
        "task": [task.name, task.dataset, str(task.split), task.kind, task.bin_s],
        "floors": str(task.floors),
        "configs": {model: dict(config) for model, config in task.configs.items()},
        "settings": dict(settings),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _finished(where: Path, key: str) -> tuple[Results, dict[str, str], dict[str, str]] | None:
    """What an earlier run with the same settings left; None if nothing can be trusted."""
    try:
        found = read_json(where / "benchmark.json")
        if found.get("format") != _FORMAT or found.get("key") != key:
            return None
        results = Results.from_json(where / "results.json")
        return results, dict(found["unfit"]), dict(found["not_run"])
    except (FileError, OSError, KeyError, AttributeError, TypeError):
        return None


# ---- table --------------------------------------------------------------------------


def _lines(name: str, results: Results, suite: str) -> list[Line]:
    metric = str(results.meta["primary"])
    best = results.best_floor(metric)
    task = SUITES[suite][name]
    out = []
    for verdict in verdicts(results):
        row = results.row(verdict["model"], metric)
        control = {
            r.control: r.value
            for r in results.rows
            if (r.model, r.metric) == (row.model, metric) and r.control
        }
        out.append(
            Line(
                dataset=name,
                title=task.title,
                simulated=row.simulated,
                model=row.model,
                metric=metric,
                value=row.value,
                lo=row.lo,
                hi=row.hi,
                chance=row.chance,
                floor=best.model,
                floor_value=best.value,
                random_weights=control.get("random_weights"),
                shuffled_labels=control.get("shuffled_labels"),
                against_floor=verdict["floor_text"] if row.kind == "model" else "",
                against_null=verdict["null_text"],
                split=row.split,
                unit=row.unit,
                n_test=row.n_test,
                n_units=row.n_units,
            )
        )
    return out


def _plain(line: Line) -> dict[str, Any]:
    values = {f.name: getattr(line, f.name) for f in fields(Line)}
    return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}
