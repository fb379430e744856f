"""``neuro evaluate`` on EEG with BOLD: a YAML file with `pair` in, a report out."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuro.cli._show import clean, console, show_json
from neuro.cli._sources import recordings_of
from neuro.cli.catalogue import load_model
from neuro.cli.preparing import prepared
from neuro.data import PairedWindows, pair
from neuro.errors import ConfigError, did_you_mean
from neuro.io import safe

__all__ = ["PairedConfig", "evaluate_paired", "load_paired", "pairs_signals"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Pair(_Strict):
    window_s: float = Field(default=16.0, gt=0)
    lag_s: float = 0.0
    eeg_stream: str | None = None
    fmri_stream: str | None = None


class _Split(_Strict):
    by: str
    n: int | Literal["leave-one-out"] | None = None
    test: float | str | list[str] | None = None
    gap_s: float = 0.0
    seed: int = 0


class _Training(_Strict):
    train: str
    preset: str = "default"
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=3e-4, gt=0)
    seed: int = 0
    config: dict[str, Any] = {}


class PairedConfig(_Strict):
    """What the YAML file may say.

    Parameters
    ----------
    data : str
        Name of a data set, or a folder of EEG and BOLD (relative to the file).
    pair : mapping
        window_s, lag_s, eeg_stream, fmri_stream: as in :func:`neuro.data.pair`.
    split : mapping
        by, n or test, gap_s, seed: as in :class:`neuro.evaluate.Split`.
    models : mapping
        Name in the table -> folder of a run or of a saved model; or a mapping
        with train (a registered model), preset, steps, batch_size, lr, seed,
        config: trained on the training part of every fold.
    baselines, protocols, lowpass_hz, memory_s, n_null, seed, allow_leakage
        As in :func:`neuro.evaluate.crossmodal.evaluate_pairs`.
    reading, prepare, root, where
        As in the YAML file of other evaluations; `prepare` is done to the EEG.
    """

    data: str
    pair: _Pair
    split: _Split
    models: dict[str, str | _Training] = {}
    baselines: Literal["auto"] | list[str] = "auto"
    protocols: list[Literal["strict", "paper"]] = ["strict", "paper"]
    lowpass_hz: float | None = Field(default=0.15, gt=0)
    memory_s: float = Field(default=20.0, ge=0)
    n_null: int = Field(default=1000, ge=1)
    seed: int = 0
    allow_leakage: bool = False
    reading: dict[str, Any] = {}
    prepare: dict[str, Any] = {}
    root: str | None = None
    where: dict[str, str] = {}


def pairs_signals(path: Path) -> bool:
    """Whether a YAML file asks for one signal to be predicted from another."""
    values = safe.load_yaml(path)
    return isinstance(values, dict) and "pair" in values


def evaluate_paired(path: Path, out: Path, as_json: bool) -> None:
    """Evaluate what the YAML file describes; write the report into `out`.

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
    from neuro.evaluate import Split
    from neuro.evaluate.crossmodal import evaluate_pairs

    config = load_paired(path)
    pairs = _pairs(config, path.parent)
    found = audit(pairs.recordings)
    results = evaluate_pairs(
        pairs,
        split=Split(**config.split.model_dump(exclude_none=True)),
        models={name: _model(m, path.parent) for name, m in config.models.items()},
        baselines=config.baselines,
        protocols=config.protocols,
        lowpass_hz=config.lowpass_hz,
        memory_s=config.memory_s,
        n_null=config.n_null,
        seed=config.seed,
        allow_leakage=config.allow_leakage,
    )
    results.save(out, audit=[f"{f.severity}: {f.message} {f.remedy}" for f in found])
    if as_json:
        show_json(results.to_json())
        return
    console.print(clean(str(results)), soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


def load_paired(path: Path) -> PairedConfig:
    """Read and check the YAML file.

    Raises
    ------
    ConfigError
        Naming each field that is wrong.
    """
    values = safe.load_yaml(path)
    try:
        return PairedConfig(**{str(k): v for k, v in values.items()})
    except ValidationError as error:
        # a mapping under models is first tried as the name of a folder
        found = [e for e in error.errors() if e["loc"][-1:] != ("str",)] or error.errors()
        wrong = " ".join(_told(e["loc"], e["type"], e["msg"]) for e in found)
        raise ConfigError(f"{path.name}: {wrong}") from error


def _told(where: tuple[int | str, ...], kind: str, message: str) -> str:
    at = ".".join(str(part) for part in where if part != "_Training")
    if kind != "extra_forbidden":
        return f"{at}: {message[:1].lower()}{message[1:]}."
    parents: dict[str, type[BaseModel]] = {"pair": _Pair, "split": _Split, "models": _Training}
    parent = parents.get(str(where[0]), PairedConfig) if len(where) > 1 else PairedConfig
    return f"{at}: unknown field. {did_you_mean(str(where[-1]), parent.model_fields)}"


def _pairs(config: PairedConfig, beside: Path) -> PairedWindows:
    source = beside / config.data
    reading = dict(config.reading)
    for name in ("atlas", "labels"):
        if isinstance(reading.get(name), str) and (beside / reading[name]).exists():
            reading[name] = beside / reading[name]
    recordings = recordings_of(
        str(source) if source.exists() else config.data,
        reading,
        root=None if config.root is None else beside / config.root,
        where=[f"{fact}={value}" for fact, value in config.where.items()],
    )
    if config.prepare:
        recordings = prepared(recordings, config.pair.eeg_stream or "eeg", config.prepare)
    return pair(recordings, **config.pair.model_dump())


def _model(said: str | _Training, beside: Path) -> Any:
    from neuro.evaluate.crossmodal import TrainedNetwork

    if isinstance(said, str):
        return load_model(beside / said)
    facts = said.model_dump()
    return TrainedNetwork(model=facts.pop("train"), **facts)
