"""``neuro evaluate``: a YAML file in, a report out."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from neuro import models
from neuro.cli._show import clean, console, show_json
from neuro.cli._sources import recordings_of
from neuro.cli.catalogue import load_model
from neuro.cli.crossmodal import evaluate_paired, pairs_signals
from neuro.cli.cutting import cut
from neuro.data import Windows
from neuro.errors import ConfigError, DataError, NeuroError, did_you_mean
from neuro.evaluate.contenders.pretraining import TrainedInside
from neuro.evaluate.task import Kind
from neuro.io import safe

if TYPE_CHECKING:
    from neuro.datasets import Audit
    from neuro.evaluate.measures import ModelMeasures

__all__ = ["EvaluationConfig", "TrainedInside", "evaluate_config", "load_config"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _StreamLabel(_Strict):
    stream: str
    circular: bool = False


class _Window(_Strict):
    stream: str | None = None
    length_s: float | None = Field(default=None, gt=0)
    step_s: float | None = Field(default=None, gt=0)
    bin_s: float | None = Field(default=None, gt=0)
    align: str | list[str] | None = None
    offset_s: float = 0.0
    label: str | _StreamLabel
    classes: list[str] | None = None


class _Split(_Strict):
    by: str
    n: int | Literal["leave-one-out"] | None = None
    test: float | str | list[str] | None = None
    gap_s: float = 0.0
    seed: int = 0


class _Adapted(_Strict):
    folder: str
    fresh: list[str] = ["head."]


class _Training(_Strict):
    train: str
    preset: str = "default"
    steps: int = Field(default=300, ge=0)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    seed: int = 0
    config: dict[str, Any] = {}


class _FineTuning(_Strict):
    mode: Literal["full", "head", "lora"]
    steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=32, ge=1)
    lr: float | None = Field(default=None, gt=0)
    rank: int = Field(default=4, ge=1)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_Share = Annotated[float, Field(gt=0, le=1)]


class EvaluationConfig(_Strict):
    """What the YAML file may say.

    Parameters
    ----------
    data : str
        Name of a data set, a file, or a folder (relative to the YAML file).
    window : mapping
        stream, length_s, step_s, bin_s, align, offset_s, label, classes: as
        in :func:`neuro.data.windows`. A label may also be the mean of another
        stream over the window, or its spike counts: a mapping with stream and
        circular (an angle).
    split : mapping
        by, n or test, gap_s, seed: as in :class:`neuro.evaluate.Split`.
    models : mapping
        Name in the table -> folder of a run or of a saved model (relative to
        the YAML file); a mapping with folder and fresh: its weights on these
        channels (:func:`neuro.models.adapt`); or one with train (a registered
        model), preset, steps, batch_size, lr, seed, config: trained without
        labels on the training part of every fold. With steps 0 its weights stay
        random: for networks that learn from labels alone, such as
        ``braindecode/EEGNet``, with a probe that fine-tunes them.
    task : str, optional
        classification, multilabel, regression, circular, counts or retrieval.
    probe : str or mapping
        As in :func:`neuro.evaluate.evaluate`; or a mapping with mode (full,
        head, lora), steps, batch_size, lr, rank: the network is fine-tuned.
    controls : list of str
        As there: random_weights, shuffled_labels, global_signal_removed, ….
    labels : float or list of float
        Share of the training units whose labels are used; several give the
        label-efficiency curve in the report, and its largest share the table.
    seeds : int
        Repetitions of the probe.
    defects : {"refuse", "report"}
        What happens if the audit finds an error in the recordings: nothing is
        computed, or the report says so.
    allow_leakage : bool
        Score parts that are not independent; every table then says so.
    reading : mapping
        unit, tr, …: passed to the reader of files, or of fMRI derivatives
        (:func:`neuro.io.read_derivatives`).
    prepare : mapping
        sfreq, highpass, lowpass, scaling, ch_names, …: done to recordings
        before they are cut, as a checkpoint's contract may need it.
    root : str, optional
        Folder with the user's own copy of a data set.
    where : mapping
        Facts that the recordings must have, e.g. ``run: train`` or
        ``subject: "01,02"``.
    jobs : int
        Processes.
    """

    data: str
    window: _Window
    split: _Split
    models: dict[str, str | _Adapted | _Training] = {}
    task: Kind | None = None
    probe: str | _FineTuning = "auto"
    controls: list[str] = ["random_weights", "shuffled_labels"]
    labels: Annotated[list[_Share], BeforeValidator(_listed), Field(min_length=1)] = [1.0]
    defects: Literal["refuse", "report"] = "refuse"
    allow_leakage: bool = False
    seeds: int = Field(default=5, ge=1)
    reading: dict[str, Any] = {}
    prepare: dict[str, Any] = {}
    root: str | None = None
    where: dict[str, str] = {}
    jobs: int = Field(default=1, ge=1)


def load_config(path: Path) -> EvaluationConfig:
    """Read and check the YAML file.

    Raises
    ------
    ConfigError
        Naming each field that is wrong.
    """
    values = safe.load_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name}: a mapping of fields is expected; see tutorials/.")
    try:
        return EvaluationConfig(**{str(k): v for k, v in values.items()})
    except ValidationError as error:
        found = error.errors()
        # a mapping under models is first tried as the name of a folder
        found = [e for e in found if e["loc"][-1:] != ("str",)] or found
        wrong = " ".join(_told(e["loc"], e["type"], e["msg"]) for e in found)
        raise ConfigError(f"{path.name}: {wrong}") from error


def _told(where: tuple[int | str, ...], kind: str, message: str) -> str:
    """What is wrong with one field, in one sentence."""
    at = ".".join(
        str(part)
        for part in where
        if part not in ("str", "_Training", "_StreamLabel", "_FineTuning")
    )
    if kind != "extra_forbidden":
        return f"{at}: {message[:1].lower()}{message[1:]}."
    parents: dict[str, type[BaseModel]] = {"window": _Window, "split": _Split, "models": _Training}
    parent = parents.get(str(where[0]), EvaluationConfig) if len(where) > 1 else EvaluationConfig
    parent = _StreamLabel if "_StreamLabel" in where else parent
    return f"{at}: unknown field. {did_you_mean(str(where[-1]), parent.model_fields)}"


def evaluate_config(path: Path, out: Path, as_json: bool) -> None:
    """Evaluate what the YAML file describes; write the report into `out`.

    A file with a field `pair` predicts one signal from another, see
    :class:`neuro.cli.crossmodal.PairedConfig`.

    Parameters
    ----------
    path : Path
        The YAML file.
    out : Path
        Folder of the results.
    as_json : bool
        Print JSON.
    """
    from neuro.datasets import audit
    from neuro.evaluate import FineTune, Split, figures, label_curve

    if pairs_signals(path):
        evaluate_paired(path, out, as_json)
        return
    config = load_config(path)
    split = Split(**config.split.model_dump(exclude_none=True))
    index = _windows(config, path.parent)
    found = audit(index.recordings)
    if config.defects == "refuse":
        _refuse_defects(found)
    probe = config.probe
    contenders = {name: _contender(m, path.parent, index) for name, m in config.models.items()}
    shares = sorted(set(config.labels))
    parts = label_curve(
        contenders or None,
        index,
        shares=shares,
        out=out,
        split=split,
        task=config.task,
        probe=probe if isinstance(probe, str) else FineTune(**probe.model_dump()),
        controls=config.controls,
        allow_leakage=config.allow_leakage,
        seeds=config.seeds,
        n_jobs=config.jobs,
        simulated=any(rec.dataset.startswith("synthetic_") for rec in index.recordings),
    )
    results = parts[-1]
    dataset = results.rows[0].dataset
    trained = {k: m for k, m in contenders.items() if not isinstance(m, TrainedInside)}
    drawn = figures(index, next(iter(trained.values()), None))
    results.to_html(
        out / "report.html",
        figures={dataset: drawn},
        audit={dataset: found},
        label_curves={dataset: parts},
        measures={dataset: _measured(trained, index)},
    )
    if as_json:
        show_json(results.to_json())
    else:
        console.print(clean(results), soft_wrap=True)
        console.print(f"report: {out / 'report.html'}", soft_wrap=True)


def _refuse_defects(found: "Audit") -> None:
    """Stop at recordings that would make any score wrong."""
    errors = [f for f in found if f.severity == "error"]
    if errors:
        first = errors[0]
        who = ", ".join(first.recordings[:3]) + (" …" if len(first.recordings) > 3 else "")
        raise DataError(
            f"The audit found {len(errors)} error{'s' if len(errors) > 1 else ''} in the "
            f"recordings, first ({who}): {first.message} {first.remedy} To score them all the "
            "same, with the finding in the report: `defects: report`."
        )


def _measured(trained: dict[str, Any], index: Windows) -> "list[ModelMeasures]":
    """Measures of the networks that were given as folders, where there is enough to measure on."""
    from neuro.evaluate.measures import measure

    found = []
    for name, model in trained.items():
        try:
            found.append(measure(model, index, name=name))
        except NeuroError as error:
            warnings.warn(f"{name} is not measured: {error}", UserWarning, stacklevel=2)
    return found


def _windows(config: EvaluationConfig, beside: Path) -> Windows:
    from neuro.evaluate.suite.offline import StreamTarget

    source = beside / config.data
    reading = dict(config.reading)
    for name in ("atlas", "mask", "labels", "participants"):
        if isinstance(reading.get(name), str) and (beside / reading[name]).exists():
            reading[name] = beside / reading[name]
    recordings = recordings_of(
        str(source) if source.exists() else config.data,
        reading,
        root=None if config.root is None else beside / config.root,
        where=[f"{fact}={value}" for fact, value in config.where.items()],
    )
    window = config.window.model_dump(exclude_none=True)
    if isinstance(config.window.label, _StreamLabel):
        window["label"] = StreamTarget(**window["label"])
    index = cut(recordings, prepare=config.prepare, **window)
    return index.select(index.labelled)


def _contender(said: str | _Adapted | _Training, beside: Path, index: Windows) -> Any:
    if isinstance(said, str):
        return load_model(beside / said)
    if isinstance(said, _Adapted):
        model = load_model(beside / said.folder)
        return models.adapt(model, index.contract(), fresh=tuple(said.fresh))
    facts = said.model_dump()
    inside = TrainedInside(model=facts.pop("train"), **facts)
    inside.create(index)  # what is misspelt is told before anything is computed
    return inside
