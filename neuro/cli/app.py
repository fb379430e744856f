"""Every command, its options and its exit code."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from neuro.errors import (
    ConfigError,
    DataError,
    DataUnavailableError,
    FileError,
    MissingDependencyError,
    NeuroError,
)

__all__ = ["app", "run"]

# 0 done, 1 the work failed, 2 bad usage or bad input
_BAD_INPUT = (ConfigError, DataError, DataUnavailableError, FileError, MissingDependencyError)

app = typer.Typer(
    name="neuro",
    help="EEG, fMRI and spikes through modern models: one checked tensor, honest scores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
datasets_app = typer.Typer(no_args_is_help=True, help="List, describe, fetch and audit data sets.")
models_app = typer.Typer(no_args_is_help=True, help="List and describe models.")
app.add_typer(datasets_app, name="datasets")
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Unit = Annotated[str | None, typer.Option(help="True unit of the file's numbers, e.g. uV.")]
Tr = Annotated[float | None, typer.Option(help="Repetition time of fMRI in seconds.")]
Atlas = Annotated[Path | None, typer.Option(help="Atlas image that turns a volume into regions.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def run() -> None:
    """Run the command line and turn errors into one line and an exit code."""
    from neuro.cli._show import problems

    try:
        app()
    except NeuroError as error:
        problems.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
        sys.exit(2 if isinstance(error, _BAD_INPUT) else 1)
    except KeyboardInterrupt:
        problems.print("interrupted")
        sys.exit(1)
    except OSError as error:
        problems.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
        sys.exit(1)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


# ---- recordings ----------------------------------------------------------------


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A recording in any known format.")],
    unit: Unit = None,
    tr: Tr = None,
    atlas: Atlas = None,
    as_json: Json = False,
) -> None:
    """Show what a file holds: streams, units, rates, channels, events, defects."""
    from neuro.cli.recordings import describe, print_description

    facts = describe(file, unit=unit, tr=tr, atlas=atlas)
    if as_json:
        from neuro.cli._show import show_json

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
    jobs: Annotated[int, typer.Option(help="Files converted at a time.")] = 1,
    shards: Annotated[bool, typer.Option(help="Pack the result into shards of 1 GB.")] = False,
    as_json: Json = False,
) -> None:
    """Turn recordings of any known format into the fast, checked .h5 store.

    Files converted before from the same source are left as they are; a file
    that cannot be converted is reported and the others go on.
    """
    from neuro.cli.recordings import convert_all

    failed = convert_all(
        sources, out, unit=unit, tr=tr, atlas=atlas, jobs=jobs, shards=shards, as_json=as_json
    )
    if failed:
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
def datasets_get(names: list[str]) -> None:
    """Fetch data sets into the cache (moved by the variable NEURO_DATA)."""
    from neuro.cli.catalogue import get_datasets

    get_datasets(names)


@datasets_app.command("audit")
def datasets_audit(
    source: Annotated[str, typer.Argument(help="A data set's name, a file or a folder.")],
    as_json: Json = False,
) -> None:
    """Look for wrong identities, clocks, units, TRs and axes; exit 1 if any is found."""
    from neuro.cli.catalogue import audit_source

    if not audit_source(source, as_json):
        raise typer.Exit(1)


@models_app.command("ls")
def models_ls(as_json: Json = False) -> None:
    """List the models."""
    from neuro.cli.catalogue import list_models

    list_models(as_json)


@models_app.command("info")
def models_info(name: str, as_json: Json = False) -> None:
    """Show a model's card, or what a checkpoint folder holds."""
    from neuro.cli.catalogue import model_info

    model_info(name, as_json)


# ---- work ----------------------------------------------------------------------


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A registered model's name.")],
    data: Annotated[str, typer.Option(help="A data set's name, a file, or a folder.")],
    out: Out,
    stream: Annotated[str | None, typer.Option(help="Stream; the only signal if omitted.")] = None,
    length_s: Annotated[float | None, typer.Option(help="Window length in seconds.")] = None,
    step_s: Annotated[float | None, typer.Option(help="Step from window to window.")] = None,
    bin_s: Annotated[float | None, typer.Option(help="Bin width for spikes, seconds.")] = None,
    preset: Annotated[str, typer.Option(help="paper, default or tiny.")] = "default",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Configuration, as name=value.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Windows a step, over all processes.")] = 64,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    valid_by: Annotated[
        str | None, typer.Option(help="Hold out a tenth by subject, run, block or time.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that read data.")] = 0,
    precision: Annotated[str, typer.Option(help="no or bf16.")] = "no",
    unit: Unit = None,
    tr: Tr = None,
    seed: Seed = 0,
) -> None:
    """Train a model on recordings; started again, it resumes.

    On several GPUs: torchrun --nproc_per_node N -m neuro.cli train …
    """
    from neuro.cli.training import train_model

    train_model(
        model,
        data,
        out,
        window={"stream": stream, "length_s": length_s, "step_s": step_s, "bin_s": bin_s},
        preset=preset,
        settings=set_ or [],
        fit={
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "num_workers": workers,
            "precision": precision,
            "seed": seed,
        },
        valid_by=valid_by,
        reading={"unit": unit, "tr": tr},
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
def demo(
    out: Out = Path("demo_report"),
    synthetic: Annotated[bool, typer.Option(help="Use simulators instead of real data.")] = False,
    quick: Annotated[bool, typer.Option(help="A tenth of the training, to try it out.")] = False,
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
