"""``neuro benchmark``: every system on every data set of a suite, as a table."""

import sys
from collections.abc import Sequence
from pathlib import Path

from neuro.cli._show import clean, console, problems, show_json, table

__all__ = ["run_benchmark"]


def run_benchmark(
    suite: str,
    out: Path,
    *,
    datasets: Sequence[str] | None,
    models: Sequence[str] | None,
    preset: str,
    steps: int,
    seeds: int,
    seed: int,
    minutes: float | None,
    root: Path | None,
    download: bool,
    jobs: int,
    as_json: bool,
) -> bool:
    """Run the suite, write its tables into `out` and print them; False if a data set failed."""
    from neuro.evaluate.suite.benchmark import benchmark

    out.mkdir(parents=True, exist_ok=True)
    done = benchmark(
        suite,
        out=out,
        datasets=datasets,
        models=models,
        preset=preset,
        steps=steps,
        seeds=seeds,
        seed=seed,
        minutes=minutes,
        root=root,
        download=download,
        n_jobs=jobs,
        tell=lambda text: problems.print(clean(text), soft_wrap=True),
    )
    # a path would tell whose machine it was
    words = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]]
    done.save(out, command=" ".join(["neuro", *words]))
    if as_json:
        shown = done.to_json()
        del shown["results"]  # in benchmark.json; too long for a terminal
        show_json(shown)
        return not done.failed
    columns = ["data set", "metric", "best floor", "model", "score", "95 %", "verdict"]
    rows = [
        [
            e.dataset,
            e.metric.replace("_", " "),
            f"{e.floor} {e.floor_value:.3f}",
            e.model if e.model != e.floor else "",
            f"{e.value:.3f}",
            f"[{e.lo:.3f}, {e.hi:.3f}]",
            "; ".join(t for t in (e.against_floor, e.against_null) if t),
        ]
        for e in done.lines()
    ]
    for name, reasons in done.not_run.items():
        rows += [[name, "", "", model, why, "", ""] for model, why in reasons.items()]
    table(f"Suite {suite}", columns, rows)
    for name, why in done.skipped.items():
        console.print(clean(f"skipped {name}: {why}"), soft_wrap=True)
    for name, why in done.failed.items():
        console.print(clean(f"failed {name}: {why}"), soft_wrap=True)
    for name, reasons in done.unfit.items():
        for model, why in reasons.items():
            console.print(clean(f"{model} does not fit {name}: {why}"), soft_wrap=True)
    console.print(f"tables: {out / 'benchmark.md'} (also .csv, .json, .html)", soft_wrap=True)
    return not done.failed
