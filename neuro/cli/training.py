"""``neuro train``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro import models
from neuro.cli._run_page import PAGE, write_run_page
from neuro.cli._show import clean, console, first_process, show_json
from neuro.cli._sources import setting
from neuro.cli.catalogue import load_model
from neuro.cli.cutting import cut
from neuro.cli.estimators import fit_estimator
from neuro.data import Recording, Windows
from neuro.errors import ConfigError

__all__ = ["settings", "train_model"]

_RESERVED = ("contract", "chs_info", "name", "preset", "seed")


def train_model(
    name: str,
    recordings: Sequence[Recording],
    out: Path,
    *,
    window: Mapping[str, Any],
    preset: str,
    config: Mapping[str, Any],
    fit: Mapping[str, Any],
    init: Path | None,
    valid_by: str | None,
    as_json: bool,
) -> None:
    """Cut windows, build the model, train it.

    Parameters
    ----------
    name : str
        A registered model.
    recordings : sequence of Recording
        What to train on.
    out : Path
        Run folder.
    window : mapping
        Arguments of :func:`cut`.
    preset : str
        Of the model.
    config : mapping
        Fields of its configuration.
    fit : mapping
        Arguments of :func:`neuro.train.fit`.
    init : Path, optional
        Run or saved model whose weights are the start, on these channels.
    valid_by : str, optional
        Level by which a tenth is held out.
    as_json : bool
        Print JSON.
    """
    from neuro.train import fit as run_fit

    if models.info(name).kind == "estimator":
        if init is not None or fit["stage"] is not None:
            raise ConfigError(f"{name} is an estimator: --init and --stage are for networks.")
        fit_estimator(
            name, recordings, out, window=window, preset=preset, config=config,
            seed=int(fit["seed"]), valid_by=valid_by, as_json=as_json,
        )  # fmt: skip
        return
    index = cut(recordings, **window)
    train, valid = (index, None)
    if valid_by is not None:
        train, valid = index.split(valid_by, test=0.1, seed=int(fit["seed"]))
    model = _started(name, preset, init, train, {**_outputs(train), **config}, int(fit["seed"]))
    if not as_json:
        console.print(clean(f"{train!r}"), soft_wrap=True)
        console.print(f"{name} ({preset}): {model.n_parameters():,} parameters")
    run = run_fit(model, train, valid, out=out, **fit)
    figures = _last_figures(run.metrics())
    if first_process():
        write_run_page(run, model, train, valid)
    if as_json:
        facts = {"model": name, "preset": preset, "parameters": model.n_parameters()}
        counts = {"train": len(train), "valid": 0 if valid is None else len(valid)}
        # out is the user's own word for the folder
        show_json(facts | {"windows": counts, "step": run.step, "folder": str(out), **figures})
        return
    said = "  ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, float))
    console.print(f"step {run.step}: {said}", soft_wrap=True)
    console.print(f"trained: {out}, report: {out / PAGE}", soft_wrap=True)


def _outputs(train: Windows) -> dict[str, Any]:
    """A head for labelled windows: one output a class, or a target."""
    if train.target is None:
        return {}
    return {"n_outputs": len(train.classes or ()) or max(1, train.target[0].size)}


def _started(
    name: str,
    preset: str,
    init: Path | None,
    train: Windows,
    config: Mapping[str, Any],
    seed: int,
) -> Any:
    """A new network, or one with the weights of an earlier run."""
    contract = train.contract()
    if init is None:
        return models.create(name, preset, contract=contract, seed=seed, **config)
    earlier = load_model(init)
    if earlier.name != name:
        raise ConfigError(f"{init.name!r} holds a {earlier.name!r}, not a {name!r}.")
    return models.adapt(earlier, contract, seed=seed, **config)


def _last_figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last training and the last validation loss."""
    last: dict[str, Any] = {}
    for line in lines:
        last.update({k: v for k, v in line.items() if k in ("loss", "valid_loss")})
    return last


def settings(pairs: Sequence[str], states: str | None = None) -> dict[str, Any]:
    """Fields of a model's configuration out of ``name=value`` pairs, and its states.

    Raises
    ------
    ConfigError
        If a pair is malformed, names what has an option of its own, or is there twice.
    """
    out = dict(setting(pair) for pair in pairs)
    if states is not None:
        if "states" in out:
            raise ConfigError("The states are given twice, by --states and by --set.")
        out["states"] = int(states) if states.isdecimal() else states
    for name in _RESERVED:
        if name in out:
            raise ConfigError(f"--set {name}=… is no field of the model's configuration.")
    return out
