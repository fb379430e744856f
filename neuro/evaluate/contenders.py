"""What is compared: the user's models, the floors, and each model's controls."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from neuro.data import Windows
from neuro.errors import ConfigError
from neuro.evaluate.controls import reinitialised
from neuro.evaluate.floors import Flat, Floor
from neuro.evaluate.probes import build
from neuro.evaluate.sources import Contender, Features, embed, fingerprint, is_module
from neuro.evaluate.task import Task

__all__ = ["contenders"]

Probe = Literal["auto", "ridge", "logistic", "lda", "nearest"]


def contenders(
    models: Mapping[str, Any] | None,
    floors: Sequence[Floor],
    controls: Sequence[str],
    *,
    task: Task,
    probe: str,
    seeds: int,
    shuffles: int,
) -> list[Contender]:
    """Every line of the table, in the order it is shown.

    Parameters
    ----------
    models : mapping of str to object, optional
        Trained network (probed on its frozen embedding); a callable from the
        training Windows to one (pretrained anew in every fold); an estimator
        with `fit` and `predict` (fed all samples in a row); or a pair
        (feature function of a Batch, estimator).
    floors : sequence of Floor
        Always first.
    controls : sequence of str
        For every model; without models the shuffled labels are shown for the
        floors.
    task : Task
        What is predicted.
    probe : str
        Estimator on frozen embeddings; ``"auto"``: logistic for classes, else
        ridge.
    seeds : int
        How often what is drawn is drawn.
    shuffles : int
        How often labels are shuffled.

    Returns
    -------
    list of Contender

    Raises
    ------
    ConfigError
        If a model is none of these, or its name is taken.
    """
    if probe == "auto":
        probe = "logistic" if task.kind == "classification" else "ridge"
    build(probe, task)  # names and kinds are checked before anything is computed
    out = [_floor(floor, seeds) for floor in floors]
    taken = {c.name for c in out}
    for name, model in (models or {}).items():
        if not isinstance(name, str) or not name or name in taken:
            raise ConfigError(f"Model name {name!r} is empty or taken by a floor.")
        out += _of_model(name, model, controls, probe, seeds)
    if "shuffled_labels" in controls:
        shown = [c for c in out if c.kind == "model"]
        shown = shown or [c for c in out if c.kind == "floor" and c.name != "constant"]
        out += [_shuffled(c, shuffles) for c in shown]
    return out


def _floor(floor: Floor, seeds: int) -> Contender:
    drawn = floor.estimator in ("ridge", "logistic")  # their inner folds are dealt by seed
    return Contender(
        floor.name,
        "floor",
        "",
        floor.build,
        fingerprint((floor.name, floor.features, floor.estimator)),
        seeds if drawn else 1,
        lambda seed, train: floor.features,
    )


def _of_model(
    name: str, model: Any, controls: Sequence[str], probe: str, seeds: int
) -> list[Contender]:
    features, estimator = _with_features(name, model)
    if estimator is not None:
        make, n = _fresh(estimator), seeds if _takes_seed(estimator) else 1
        key = fingerprint((features, estimator))
        return [Contender(name, "model", "", make, key, n, lambda seed, train: features)]

    def probed(task: Task, seed: int) -> Any:
        return build(probe, task, seed)

    key = fingerprint((model, probe))
    network = _Network(name, model)
    common: dict[str, Any] = {"estimator": probed, "key": key, "seeds": seeds}
    common["per_fold"] = network.per_fold
    out = [
        Contender(name, "model", "", features=lambda seed, train: embed(network(train)), **common)
    ]
    if "random_weights" in controls:
        out.append(
            Contender(
                name,
                "control",
                "random_weights",
                features=lambda seed, train: embed(reinitialised(network(train), seed)),
                per_seed=True,
                **common,
            )
        )
    return out


class _Network:
    """A trained network, or the function that trains one for each fold, once."""

    def __init__(self, name: str, model: Any) -> None:
        self.name, self.model = name, model
        self.per_fold = not is_module(model)
        self._last: tuple[bytes, Any] = (b"", None)

    def __call__(self, train: Windows | None) -> Any:
        if not self.per_fold:
            return self.model
        assert train is not None  # the runner passes it to per-fold contenders
        key = train.id.tobytes()
        if self._last[0] != key:
            model = self.model(train)
            if not is_module(model):
                raise ConfigError(
                    f"Model {self.name!r} was called with training windows and returned a "
                    f"{type(model).__name__}, not a torch module."
                )
            self._last = (key, model)
        return self._last[1]


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


def _shuffled(of: Contender, seeds: int) -> Contender:
    return Contender(
        of.name,
        "control",
        "shuffled_labels",
        of.estimator,
        of.key,
        seeds,
        of.features,
        per_fold=of.per_fold,
    )
