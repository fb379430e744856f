"""Every command, its options and its exit code."""

from pathlib import Path
from typing import Annotated

import typer

from neuro.cli._guard import Guarded, remember_json
from neuro.cli.bci import bci_app

__all__ = ["app", "run"]

app = typer.Typer(
    name="neuro",
    cls=Guarded,
    help="EEG, fMRI and spikes through modern models: one checked tensor, honest scores.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 bad usage or bad input.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
datasets_app = typer.Typer(no_args_is_help=True, help="List, describe, fetch and audit data sets.")
models_app = typer.Typer(no_args_is_help=True, help="List and describe models.")
app.add_typer(datasets_app, name="datasets")
app.add_typer(models_app, name="models")
app.add_typer(bci_app, name="bci")

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON instead of tables.", callback=remember_json, is_eager=True
    ),
]
Unit = Annotated[str | None, typer.Option(help="True unit of the file's numbers, e.g. uV.")]
Tr = Annotated[float | None, typer.Option(help="Repetition time of fMRI in seconds.")]
Atlas = Annotated[Path | None, typer.Option(help="Atlas image that turns a volume into regions.")]
Read = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="NAME=VALUE",
        help="Any other argument of neuro.read, e.g. subject=01, mask=all, sfreq=256, key=rest; of "
        "fMRI derivatives: confounds, space, columns=group:diagnosis, bad_files=skip, …",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder with your own copy of a data set that is not fetched."),
]
Out = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder to write to.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


def run() -> None:
    """Run the command line; see :class:`neuro.cli._guard.Guarded` for its exit codes."""
    app()


# ---- recordings ----------------------------------------------------------------


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A recording in any known format.")],
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    as_json: Json = False,
) -> None:
    """Show what a file holds: streams, units, rates, channels, events, defects."""
    from neuro.cli._show import show_json
    from neuro.cli._sources import reading_options
    from neuro.cli.recordings import describe, print_description

    facts = describe(file, reading_options(read or [], unit=unit, tr=tr, atlas=atlas))
    if as_json:
        show_json(facts)
    else:
        print_description(facts)


@app.command()
def convert(
    sources: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    out: Out,
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    jobs: Annotated[int, typer.Option(min=1, help="Files converted at a time.")] = 1,
    shards: Annotated[
        bool, typer.Option("--shards", help="Pack the result into 1 GB files.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn recordings of any known format into the fast, checked .h5 store.

    Files converted before from the same bytes with the same options are left
    as they are; a file that cannot be converted is reported and the others go
    on.
    """
    from neuro.cli._sources import reading_options
    from neuro.cli.converting import convert_all

    options = reading_options(read or [], unit=unit, tr=tr, atlas=atlas)
    if convert_all(sources, out, options, jobs=jobs, shards=shards, as_json=as_json):
        raise typer.Exit(1)


# ---- data sets and models ------------------------------------------------------


@datasets_app.command("ls")
def datasets_ls(as_json: Json = False) -> None:
    """List the data sets: what they hold and whether they are on this machine."""
    from neuro.cli.catalogue import list_datasets

    list_datasets(as_json)


@datasets_app.command("info")
def datasets_info(name: str, as_json: Json = False) -> None:
    """Show a data set's card: source, licence, counts, known defects."""
    from neuro.cli.catalogue import dataset_info

    dataset_info(name, as_json)


@datasets_app.command("get")
def datasets_get(names: list[str], as_json: Json = False) -> None:
    """Fetch data sets into the cache (moved by the variable NEURO_DATA)."""
    from neuro.cli.catalogue import get_datasets

    if not get_datasets(names, as_json):
        raise typer.Exit(1)


@datasets_app.command("audit")
def datasets_audit(
    source: Annotated[str, typer.Argument(help="A data set's name, a file or a folder.")],
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Look for wrong identities, clocks, units, TRs and axes; exit 1 if any is found."""
    from neuro.cli._sources import reading_options
    from neuro.cli.catalogue import audit_source

    options = reading_options(read or [], unit=unit, tr=tr, atlas=atlas)
    if not audit_source(source, options, root=root, as_json=as_json):
        raise typer.Exit(1)


@models_app.command("ls")
def models_ls(as_json: Json = False) -> None:
    """List the models."""
    from neuro.cli.catalogue import list_models

    list_models(as_json)


@models_app.command("info")
def models_info(
    name: Annotated[str, typer.Argument(help="A model's name, or a run or checkpoint folder.")],
    as_json: Json = False,
) -> None:
    """Show a model's card, or what a checkpoint folder holds."""
    from neuro.cli.catalogue import model_info

    model_info(name, as_json)


# ---- work ----------------------------------------------------------------------


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A registered model's name.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="A data set's name, a file, a folder of files or of fMRI derivatives; may be "
            "repeated."
        ),
    ],
    out: Out,
    stream: Annotated[str | None, typer.Option(help="Stream; the only signal if omitted.")] = None,
    length_s: Annotated[float | None, typer.Option(help="Window length in seconds.")] = None,
    step_s: Annotated[float | None, typer.Option(help="Step from window to window.")] = None,
    bin_s: Annotated[float | None, typer.Option(help="Bin width for spikes, seconds.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACT=VALUE", help="Only recordings with this fact: run=train, subject=01,02."
        ),
    ] = None,
    prepare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Before cutting: sfreq=200, highpass=0.5, scaling=zscore, by_channel=true, …",
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="paper, default or tiny.")] = "default",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Field of the model's configuration."),
    ] = None,
    states: Annotated[
        str | None,
        typer.Option(help="Hidden states of an estimator: 3, or 2:5 to choose among them."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Part of the recipe: pretrain, finetune, probe, …")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Start from the weights of this run or saved model.")
    ] = None,
    align: Annotated[
        list[str] | None, typer.Option(help="Cut at events of this type; * for all.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What to learn: type, value, an event column, subject, …")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Windows a step, over all processes.")] = 64,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    valid_by: Annotated[
        str | None,
        typer.Option(help="Hold out a tenth by subject, session, run, recording, block or time."),
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps from checkpoint to checkpoint.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that read data.")] = 0,
    precision: Annotated[str, typer.Option(help="no or bf16.")] = "no",
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a model on recordings; started again, it resumes.

    On several GPUs: torchrun --nproc_per_node N -m neuro.cli train …
    """
    from neuro.cli._sources import reading_options, recordings_of, setting
    from neuro.cli.preparing import check_preparation
    from neuro.cli.training import settings, train_model

    # a typing error is told before hours of reading
    config = settings(set_ or [], states)
    steps_before = check_preparation(dict(setting(pair, "--prepare") for pair in prepare or []))
    options = reading_options(read or [], unit=unit, tr=tr, atlas=atlas)
    train_model(
        model,
        [
            rec
            for source in data
            for rec in recordings_of(source, options, root=root, where=where or [])
        ],
        out,
        window={
            "stream": stream,
            "length_s": length_s,
            "step_s": step_s,
            "bin_s": bin_s,
            "prepare": steps_before,
            **({"align": align} if align else {}),
            **({"label": label} if label else {}),
        },
        preset=preset,
        config=config,
        fit={
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "checkpoint_every": checkpoint_every,
            "num_workers": workers,
            "precision": precision,
            "device": device,
            "seed": seed,
            "stage": stage,
        },
        init=init,
        valid_by=valid_by,
        as_json=as_json,
    )


@app.command()
def evaluate(
    config: Annotated[Path, typer.Argument(help="A YAML file; see tutorials/.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Score models against floors and controls; write report.html and results.json."""
    from neuro.cli.evaluation import evaluate_config

    evaluate_config(config, out, as_json)


@app.command()
def connect(
    file: Annotated[Path, typer.Argument(help="A recording: EEG, fMRI or spikes.")],
    out: Out,
    method: Annotated[
        str | None,
        typer.Option(help="Measure: wpli, coherence, gpdc, correlation, tapered_window, …"),
    ] = None,
    bands: Annotated[
        list[str] | None, typer.Option(help="alpha, or name=low:high in Hz; may be repeated.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="Stream; the main signal if omitted.")] = None,
    average: Annotated[
        str | None,
        typer.Option(help="trials: the file's segments are trials; time: one stretch."),
    ] = None,
    bin_s: Annotated[float | None, typer.Option(help="Bin width for spikes, seconds.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Option of the measure: length_s=1."),
    ] = None,
    surrogates: Annotated[
        int, typer.Option(min=0, help="Surrogates for p-values, at least 19; 0: none.")
    ] = 0,
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Connectivity of a file: matrix, edge table, figures and a report.

    Without --method: wPLI in the alpha band for EEG and MEG, correlation for
    fMRI and spikes.
    """
    from neuro.cli._sources import reading_options
    from neuro.cli.connecting import connect as run_connect

    run_connect(
        file,
        out,
        reading_options(read or [], unit=unit, tr=tr, atlas=atlas),
        method=method,
        bands=bands or [],
        stream=stream,
        average=average,
        bin_s=bin_s,
        options=set_ or [],
        surrogates=surrogates,
        seed=seed,
        as_json=as_json,
    )


@app.command()
def tokens(
    model: Annotated[Path, typer.Argument(help="Run or saved model with a code book.")],
    data: Annotated[str, typer.Argument(help="A file, a folder or a data set's name.")],
    out: Out,
    stream: Annotated[str | None, typer.Option(help="Stream; the model's kind if omitted.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="FACT=VALUE", help="Only these recordings.")
    ] = None,
    align: Annotated[
        list[str] | None, typer.Option(help="Cut at events of this type; * for all.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Classes that runs of codes may mark: type, value, …")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="The class to find; the last one if omitted.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Judge on held-out units: subject, session, run or block.")
    ] = "subject",
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    read: Read = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Turn recordings into a tokenizer's codes, with a page on what they mean."""
    from neuro.cli._sources import reading_options
    from neuro.cli.tokens import run_tokens

    run_tokens(
        model,
        data,
        out,
        reading_options(read or [], unit=unit, tr=tr, atlas=atlas),
        stream=stream,
        root=root,
        where=where or [],
        align=align or [],
        label=label,
        positive=positive,
        by=by,
        seed=seed,
        as_json=as_json,
    )


@app.command()
def benchmark(
    out: Out,
    suite: Annotated[str, typer.Option(help="Which set of tasks: offline.")] = "offline",
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only this data set; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model; may be repeated. All if omitted.")
    ] = None,
    floors_only: Annotated[
        bool, typer.Option("--floors-only", help="No models: what they have to beat.")
    ] = False,
    preset: Annotated[str, typer.Option(help="paper, default or tiny.")] = "default",
    steps: Annotated[int, typer.Option(min=1, help="Pretraining steps in every fold.")] = 300,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions of probes and controls.")] = 5,
    minutes: Annotated[
        float | None,
        typer.Option(help="The most one network may take on one data set; no limit if omitted."),
    ] = None,
    root: Root = None,
    no_download: Annotated[
        bool, typer.Option("--no-download", help="Use only what is on this machine.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Fits at a time.")] = 1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Score all systems on all data sets of a suite, beside floors and controls.

    Writes benchmark.csv, .json, .md and .html. Started again, it goes on where
    it was. Data sets that cannot be had here are listed with the reason, and so
    are networks that would take longer than --minutes on one of them. All of it
    in a quarter of an hour on two cores: --steps 100 --seeds 3 --minutes 2.5 --jobs 2.
    """
    from neuro.cli.benchmarking import run_benchmark

    fine = run_benchmark(
        suite,
        out,
        datasets=dataset,
        models=[] if floors_only else model,
        preset=preset,
        steps=steps,
        seeds=seeds,
        seed=seed,
        minutes=minutes,
        root=root,
        download=not no_download,
        jobs=jobs,
        as_json=as_json,
    )
    if not fine:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Out = Path("demo_report"),
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Use simulators instead of real data.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the training, to try it out.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Three recordings, one network on each, an honest report: under six minutes."""
    from neuro.cli.demo import run_demo

    run_demo(out, synthetic=synthetic, quick=quick, seed=seed)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Report versions and failing imports, each with its remedy."""
    from neuro.cli.doctor import examine

    if not examine(as_json):
        raise typer.Exit(1)
