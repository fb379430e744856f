"""What is compared: the user's models, the floors, and each model's controls."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neuro.data import Windows
from neuro.errors import ConfigError
from neuro.evaluate.contenders.confounds import Table
from neuro.evaluate.contenders.controls import (
    need_loss,
    pretrained,
    reinitialised,
    starts_from_data,
    without_global_signal,
)
from neuro.evaluate.contenders.finetuning import FineTune, FineTuned, Rows, on_changed
from neuro.evaluate.contenders.floors import Flat, Floor
from neuro.evaluate.contenders.sources import Contender, Features, embed, fingerprint, is_module
from neuro.evaluate.probing.fitting import build
from neuro.evaluate.task import Task

__all__ = ["contenders"]

# 100 M float32 values = 400 MB
_MOST_KEPT = 100_000_000


def contenders(
    models: Mapping[str, Any] | None,
    floors: Sequence[Floor],
    controls: Mapping[str, Any],
    *,
    task: Task,
    probe: str | FineTune,
    seeds: int,
    shuffles: int,
    redrawn: bool = False,
) -> list[Contender]:
    """Every line of the table, in the order it is shown.

    Parameters
    ----------
    models : mapping of str to object, optional
        Trained network (probed on its frozen embedding, or fine-tuned); a
        callable from the training Windows to one (pretrained anew in every
        fold); an estimator with `fit` and `predict` (fed all samples in a
        row); or a pair (feature function of a Batch, estimator).
    floors : sequence of Floor
        Always first.
    controls : mapping of str to settings
        For every model they apply to; without models those of labels and of
        the global signal are shown for the floors. Confounds as a Table.
    task : Task
        What is predicted.
    probe : str or FineTune
        Estimator on frozen embeddings, or how networks are fine-tuned;
        ``"auto"``: logistic for classes, a Poisson GLM for counts, else ridge.
    seeds : int
        How often what is drawn is drawn.
    shuffles : int
        How often labels are shuffled.
    redrawn : bool
        Whether every seed sees other labels, so that all lines need them.

    Returns
    -------
    list of Contender

    Raises
    ------
    ConfigError
        If a model is none of these, or its name is taken.
    """
    if isinstance(probe, str):
        if probe == "auto":
            probe = _linear(task)
        build(probe, task)  # names and kinds are checked before anything is computed
    out = [_floor(floor, seeds, redrawn) for floor in floors]
    taken = {c.name for c in out} | {"confounds"}
    for name, model in (models or {}).items():
        if not isinstance(name, str) or not name or name in taken:
            raise ConfigError(f"Model name {name!r} is empty or taken by a floor or control.")
        out += _of_model(name, model, controls, probe, seeds, redrawn)
    shown = [c for c in out if c.kind == "model"]
    shown = shown or [c for c in out if c.kind == "floor" and c.name != "constant"]
    if "global_signal_removed" in controls:
        silent = {f.name for f in floors if isinstance(f.features, Table)}
        out += [_without_global_signal(c) for c in shown if c.name not in silent]
    if "confounds" in controls:
        out.append(_confounds(controls["confounds"], seeds))
    if "shuffled_labels" in controls:
        out += [
            replace(c, kind="control", control="shuffled_labels", seeds=shuffles)
            for c in shown
            if c.has_null
        ]
    return out


def _linear(task: Task) -> str:
    """The plain linear probe of a kind of task."""
    if task.kind == "counts":
        return "poisson_glm"
    return "logistic" if task.classified else "ridge"


def _floor(floor: Floor, seeds: int, redrawn: bool) -> Contender:
    # the inner folds of these are dealt by seed; so are the tangent floor's, which one
    # seed must do for: a mean of covariances a fit is dear, and the deal moves it little
    drawn = redrawn or floor.estimator in ("ridge", "logistic", "poisson_glm")
    return Contender(
        floor.name,
        "floor",
        "",
        floor.build,
        fingerprint((floor.name, floor.features, floor.estimator)),
        seeds if drawn else 1,
        lambda seed, train: floor.features,
    )


def _confounds(table: Table, seeds: int) -> Contender:
    def linear(task: Task, seed: int) -> Any:
        return build(_linear(task), task, seed)

    key = fingerprint(("confounds", table.values))
    return Contender(
        "confounds", "control", "no_signal", linear, key, seeds, lambda seed, train: table
    )


def _without_global_signal(of: Contender) -> Contender:
    def features(seed: int, train: Windows | None) -> Any:
        inner = of.features(seed, train)
        if isinstance(inner, Rows):
            return Rows(on_changed(inner.network, without_global_signal))

        def function(batch: Any) -> Any:
            return inner(without_global_signal(batch))

        function.keeps_tokens = getattr(inner, "keeps_tokens", False)  # type: ignore[attr-defined]
        return function

    return replace(
        of,
        kind="control",
        control="global_signal_removed",
        key=fingerprint((of.key, "global_signal_removed")),
        features=features,
    )


def _of_model(
    name: str,
    model: Any,
    controls: Mapping[str, Any],
    probe: str | FineTune,
    seeds: int,
    redrawn: bool,
) -> list[Contender]:
    features, estimator = _with_features(name, model)
    if estimator is not None:
        make, n = _fresh(estimator), seeds if redrawn or _takes_seed(estimator) else 1
        key = fingerprint((features, estimator))
        null = not getattr(estimator, "learns_inside", False)
        return [
            Contender(name, "model", "", make, key, n, lambda seed, train: features, has_null=null)
        ]
    network = _Network(name, model)
    read, probed = _reader(probe), _probed(probe)
    main = Contender(
        name,
        "model",
        "",
        probed,
        fingerprint((model, probe)),
        seeds,
        lambda seed, train: read(network(train)),
        per_fold=network.per_fold,
    )
    out = [main]
    if "random_weights" in controls:
        # one that is trained in each fold takes its data there in any case
        by_fold = not network.per_fold and starts_from_data(model)
        out.append(
            replace(
                main,
                kind="control",
                control="random_weights",
                key=fingerprint((main.key, "codes of the fold")) if by_fold else main.key,
                features=lambda seed, train: read(reinitialised(network(train), seed, train)),
                per_seed=True,
                per_fold=network.per_fold or by_fold,
            )
        )
    how = controls.get("self_pretrained")
    if how is not None and not network.per_fold:
        need_loss(model)  # an error now, not after the floors

        def own(seed: int, train: Windows | None) -> Any:
            assert train is not None  # the runner passes it to per-fold contenders
            return read(pretrained(model, train, how, seed))

        out.append(
            replace(
                main,
                kind="control",
                control="self_pretrained",
                key=fingerprint((main.key, how)),
                seeds=min(seeds, how.seeds),
                features=own,
                per_seed=True,
                per_fold=True,
            )
        )
    return out


def _reader(probe: str | FineTune) -> Callable[[Any], Any]:
    """From a network to what the probe reads."""
    if isinstance(probe, FineTune):
        return Rows
    return lambda network: embed(network, tokens=probe == "attentive")


def _probed(probe: str | FineTune) -> Callable[[Task, int], Any]:
    if isinstance(probe, FineTune):
        return lambda task, seed: FineTuned(task, probe, seed)
    return lambda task, seed: build(probe, task, seed)


class _Network:
    """A trained network, or the function that trains one for each fold, once.

    Networks of earlier folds are kept for the controls, the latest ones up to
    `_MOST_KEPT` values together; beyond that a fold is trained again.
    """

    def __init__(self, name: str, model: Any) -> None:
        self.name, self.model = name, model
        self.per_fold = not is_module(model)
        self._kept: dict[bytes, Any] = {}

    def __call__(self, train: Windows | None) -> Any:
        if not self.per_fold:
            return self.model
        assert train is not None  # the runner passes it to per-fold contenders
        key = train.id.tobytes()
        if key not in self._kept:
            model = self.model(train)
            if not is_module(model):
                raise ConfigError(
                    f"Model {self.name!r} was called with training windows and returned a "
                    f"{type(model).__name__}, not a torch module."
                )
            self._kept[key] = model
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]


def _size(model: Any) -> int:
    return sum(int(t.numel()) for t in model.state_dict().values())


def _with_features(name: str, model: Any) -> tuple[Features, Any]:
    """Feature function and estimator; the estimator is None for a network."""
    if is_module(model):
        return Flat(), None
    if isinstance(model, tuple) and len(model) == 2 and callable(model[0]) and _fits(model[1]):
        return model[0], model[1]
    if _fits(model):
        return Flat(), model
    if callable(model) and not inspect.isclass(model):
        return Flat(), None
    raise ConfigError(
        f"Model {name!r} is a {type(model).__name__}. Pass a torch module, an object with fit and "
        "predict, a pair (features(batch), estimator), or a function of the training windows that "
        "returns a torch module."
    )


def _fits(model: Any) -> bool:
    has = callable(getattr(model, "fit", None)) and callable(getattr(model, "predict", None))
    return has and not inspect.isclass(model)


def _fresh(estimator: Any) -> Callable[[Task, int], Any]:
    def make(task: Task, seed: int) -> Any:
        from sklearn.base import clone

        try:
            new = clone(estimator)
        except TypeError:  # no scikit-learn estimator: a copy serves as well
            new = copy.deepcopy(estimator)
        if _takes_seed(new):
            new.set_params(random_state=seed)
        return new

    return make


def _takes_seed(estimator: Any) -> bool:
    params = getattr(estimator, "get_params", None)
    return callable(params) and "random_state" in params()
