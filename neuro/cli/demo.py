"""``neuro demo``: one recording of each modality, one network on each, an honest report."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from neuro.cli._show import console, problems
from neuro.data import Recording, Windows
from neuro.errors import DataUnavailableError
from neuro.evaluate.splitting import Split
from neuro.evaluate.suite.offline import OfflineTask, offline_task, simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.evaluate import Results

__all__ = ["run_demo"]


@dataclass(frozen=True)
class _Stage:
    """One modality of the demo.

    Parameters
    ----------
    modality : str
        Key in results.json.
    task : OfflineTask
        What is decoded.
    load : callable
        Brings the recordings.
    steps : int
        Pretraining steps.
    config : dict
        What differs from patch_mae's default preset, and why, below.
    """

    modality: str
    task: OfflineTask
    load: Callable[[int], Sequence[Recording]]
    steps: int
    config: dict[str, Any]


def _real() -> tuple[_Stage, ...]:
    from neuro import datasets

    def fetch(name: str, **options: Any) -> Callable[[int], Sequence[Recording]]:
        return lambda seed: datasets.load(name, download=True, **options)

    pain = replace(offline_task("pain122"), split=Split("subject", test=0.25))
    return (
        # of the published rows one channel is whole; a network that fills gaps would
        # copy the rest from row to row
        _Stage("eeg", offline_task("scp1"), fetch("scp1", recover=True), **_SETTINGS["eeg"]),
        _Stage("fmri", pain, fetch("pain122"), **_SETTINGS["fmri"]),
        _Stage(
            "spikes",
            offline_task("head_direction"),
            fetch("head_direction"),
            **_SETTINGS["spikes"],
        ),
    )


# Steps until the loss hardly falls. Region series are one token a region: finer
# patches would make 366 tokens a window, and six minutes have to do.
_SETTINGS: dict[str, dict[str, Any]] = {
    "eeg": {"steps": 1000, "config": {}},
    "fmri": {"steps": 200, "config": {"patch_times": 5}},
    "spikes": {"steps": 400, "config": {"patch_times": 2}},
}


def run_demo(out: Path, *, synthetic: bool, quick: bool, seed: int) -> None:
    """Load, audit, cut, pretrain, probe, report; see the command's help."""
    from neuro.datasets import audit
    from neuro.evaluate import figures, report
    from neuro.io.safe import write_json

    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    stages = _simulated() if synthetic else _real()
    every: list[Results] = []
    drawn: dict[str, dict[str, Figure]] = {}
    audits: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=problems,
        disable=not problems.is_terminal,
    ) as bar:
        for stage in stages:
            name = stage.task.dataset
            line = bar.add_task(f"{stage.modality}: loading {name}")

            def tell(what: str, line: Any = line, modality: str = stage.modality) -> None:
                bar.update(line, description=f"{modality}: {what}")
                if not problems.is_terminal:
                    problems.print(f"{modality}: {what}")

            recordings = _load(stage, seed)
            tell(f"auditing {len(recordings)} recordings of {name}")
            audits[name] = audit(recordings)
            index = stage.task.cut(recordings)
            results, model = _score(stage, index, out, quick, seed, synthetic, tell)
            tell("drawing")
            drawn[name] = figures(index, model, seed=seed)
            every.append(results)
            summary[stage.modality] = _summary(results)
            tell("done")
            bar.stop_task(line)
    write_json(out / "results.json", {"simulated": synthetic, **summary})
    report(
        every,
        out / "report.html",
        figures=drawn,
        audit=audits,
        simulated=synthetic,
        title="Demo: three modalities, one network",
        command=" ".join(["neuro", *sys.argv[1:]]),
    )
    for results in every:
        console.print(str(results), highlight=False)
    spent = time.perf_counter() - begin
    console.print(f"{out / 'report.html'} written after {spent:.0f} s", soft_wrap=True)


def _load(stage: _Stage, seed: int) -> Sequence[Recording]:
    try:
        return stage.load(seed)
    except DataUnavailableError as error:
        raise DataUnavailableError(
            f"{error} Or run the demo on simulators: neuro demo --synthetic."
        ) from error


def _score(
    stage: _Stage,
    index: Windows,
    out: Path,
    quick: bool,
    seed: int,
    simulated: bool,
    tell: Callable[[str], None],
) -> "tuple[Results, Any]":
    """Pretrain on the training part, probe, and put floors and controls beside."""
    from neuro import models
    from neuro.evaluate import evaluate
    from neuro.train import fit

    trained: list[Any] = []

    def pretrained(train: Windows) -> Any:
        steps = max(10, stage.steps // 10) if quick else stage.steps
        tell(f"pretraining patch_mae on {len(train)} windows, {steps} steps")
        model = models.create("patch_mae", contract=train.contract(), seed=seed, **stage.config)
        with tempfile.TemporaryDirectory() as folder:
            fit(model, train, steps=steps, out=folder, seed=seed, progress=False)
        trained.append(model)
        tell("probing, with floors and controls")
        return model

    results = evaluate(
        {"patch_mae": pretrained},
        index,
        split=stage.task.split,
        task=stage.task.kind,
        bin_s=stage.task.bin_s,
        seeds=5,
        progress=False,
        simulated=simulated,
    )
    return results, trained[-1] if trained else None


def _summary(results: "Results") -> dict[str, Any]:
    """What a reader of results.json asks first, for one data set."""
    metric = str(results.meta["primary"])

    def values(row: Any) -> dict[str, Any]:
        return {
            "model": row.model,
            "metric": row.metric,
            "value": row.value,
            "lo": row.lo,
            "hi": row.hi,
            "chance": row.chance,
            "n_units": row.n_units,
            "unit": row.unit,
        }

    probe = results.row("patch_mae", metric)
    return {
        "dataset": probe.dataset,
        "n_test": probe.n_test,
        "split": probe.split,
        "linear_floor": values(results.best_floor(metric)),
        "patch_mae": values(probe),
        "random_weights": values(results.row("patch_mae", metric, control="random_weights")),
        "shuffled_labels": values(results.row("patch_mae", metric, control="shuffled_labels")),
        "rows": results.to_json()["rows"],
    }


# ---- simulators ------------------------------------------------------------------


def _simulated() -> tuple[_Stage, ...]:
    def make(name: str) -> Callable[[int], Sequence[Recording]]:
        return lambda seed: simulate(name, seed)

    # one pretraining a data set: people are held out once, not in turn
    people = Split("subject", test=0.25)
    tasks = {
        "eeg": replace(offline_task("synthetic_eeg"), split=people),
        "fmri": offline_task("synthetic_fmri_roi"),
        "spikes": offline_task("synthetic_spikes"),
    }
    return tuple(
        _Stage(modality, task, make(task.dataset), **_SETTINGS[modality])
        for modality, task in tasks.items()
    )
