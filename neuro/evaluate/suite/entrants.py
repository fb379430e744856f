"""Which registered models take part on a data set: those that fit, in the time there is."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from neuro import models as registry
from neuro.data import Windows
from neuro.errors import ConfigError, NeuroError
from neuro.evaluate.contenders.floors import Flat
from neuro.evaluate.contenders.forecasting import forecaster
from neuro.evaluate.contenders.pretraining import TrainedInside
from neuro.evaluate.splitting import make_plan

__all__ = ["Entrants", "entrants", "minutes_needed"]

_BATCH = 64


class Entrants(NamedTuple):
    """Models of a data set, as `evaluate` takes them, and why the others are not among them."""

    fitting: dict[str, Any]
    unfit: dict[str, str]
    not_run: dict[str, str]


def entrants(
    names: Sequence[str],
    index: Windows,
    split: Any,
    *,
    preset: str,
    steps: int,
    seeds: int,
    seed: int,
    minutes: float | None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Entrants:
    """Registered models that can be built for the windows and evaluated in time.

    Networks are trained without labels in every fold; estimators take part
    where what they predict is asked for (see :mod:`neuro.evaluate.contenders.forecasting`).

    Parameters
    ----------
    names : sequence of str
        Registered models.
    index : Windows
        What they are evaluated on.
    split : object
        As for :func:`neuro.evaluate.evaluate`.
    preset : str
        Of the models.
    steps : int
        Pretraining steps a fold.
    seeds : int
        Repetitions of controls.
    seed : int
        Of weights and training.
    minutes : float, optional
        The most that one model may take on this data set; no limit if
        omitted. A measured step and a measured pass say how long it would.
    configs : mapping of str to mapping, optional
        Network -> fields of its configuration.

    Returns
    -------
    Entrants
    """
    fitting: dict[str, Any] = {}
    unfit: dict[str, str] = {}
    not_run: dict[str, str] = {}
    n_folds = len(make_plan(index, split, allow_leakage=False).folds)
    for name in names:
        try:
            if registry.info(name).kind == "estimator":
                fitting[name] = (Flat(), forecaster(name, preset, index, seed))
                continue
            config = (configs or {}).get(name, {})
            inside = TrainedInside(name, preset, steps, seed=seed, config=config)
            model = inside.create(index)
            if not callable(getattr(model, "loss", None)):
                raise ConfigError("it has no loss of its own to be trained with")
            model.eval()(index.batch([0, 1]))
            needed = 0.0
            if minutes is not None:
                needed = minutes_needed(model, index, n_folds, steps, seeds, enough=minutes)
        except (NeuroError, TypeError) as error:
            unfit[name] = str(error)
            continue
        if minutes is not None and needed > minutes:
            not_run[name] = f"not run: would take {_rounded(needed)} min, {minutes:g} allowed"
        else:
            fitting[name] = inside
    return Entrants(fitting, unfit, not_run)


def minutes_needed(
    model: Any, index: Windows, n_folds: int, steps: int, seeds: int, *, enough: float = np.inf
) -> float:
    """How long pretraining and embedding would take, from one training step and one pass.

    Probes and floors, which take seconds, are left out.

    Parameters
    ----------
    model : NetworkModel
        Fresh; its weights are not changed.
    index : Windows
        All windows.
    n_folds, steps, seeds : int
        Of the evaluation: every fold trains once, and embeds all windows once
        trained and once a seed with random weights.
    enough : float
        Minutes. What a first step shows to be three times too slow is not
        measured further.

    Returns
    -------
    float
        Minutes.
    """
    import torch

    batch = index.batch(np.arange(min(_BATCH, len(index))))
    generator = torch.Generator().manual_seed(0)
    passes = n_folds * (1 + seeds) * len(index) / len(batch)
    seconds = 0.0
    # the first time round also pays for what is set up once
    for _ in range(2):
        start = perf_counter()
        model.train().loss(batch, generator)["loss"].backward()
        stepped = perf_counter()
        with torch.no_grad():
            model.eval()(batch)
        seconds = (stepped - start) * steps * n_folds + (perf_counter() - stepped) * passes
        if seconds > 180 * enough:
            break
    model.zero_grad(set_to_none=True)
    return seconds / 60


def _rounded(minutes: float) -> str:
    """Two digits: more would be a promise."""
    return f"{float(f'{minutes:.2g}'):g}"
