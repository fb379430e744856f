"""Activation sparsity: how many hidden units can be left out before the loss rises.

Exact zeros only exist with ReLU, so units are judged by the size of what they
add to the layer's output (CETT and CETT-PPL-1 % of arXiv 2411.02335): in every
layer the units below a threshold are left out, thresholds are set so that the
part left out has the same relative norm in all layers, and that norm is raised
until the loss has risen by the tolerance.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["LayerSparsity", "Sparsity", "activation_sparsity", "hidden_layers"]

Loss = Callable[["nn.Module", Any], "Tensor"]
# tokens of a layer from which its threshold is learned, and thresholds tried
_MOST_TOKENS, _TRIED = 4096, 64
_GRID, _BISECTIONS = 9, 14  # of the common error: coarse first, the loss need not be monotone


@dataclass(frozen=True)
class LayerSparsity:
    """One hidden layer.

    Parameters
    ----------
    name : str
        Of the linear layer that reads the hidden units.
    n_units : int
        Hidden units.
    sparsity : float
        Share of unit activations left out, mean over tokens.
    zeros : float
        Share that is exactly 0 without doing anything.
    hoyer : float
        Hoyer sparsity of what units add, 0 (all alike) to 1 (one alone).
    dead : int
        Units left out on every token.
    threshold : float
        Size below which a unit is left out.
    """

    name: str
    n_units: int
    sparsity: float
    zeros: float
    hoyer: float
    dead: int
    threshold: float


@dataclass(frozen=True)
class Sparsity:
    """What can be left out at the tolerated loss.

    Parameters
    ----------
    layers : tuple of LayerSparsity
        In the order in which they are computed.
    cett : float
        Relative norm of what is left out, common to all layers.
    loss, loss_sparse : float
        Mean over the held-out batches.
    tolerance : float
        Tolerated increase.
    increase : float
        Increase reached; below the tolerance if even leaving everything out
        costs less.
    """

    layers: tuple[LayerSparsity, ...]
    cett: float
    loss: float
    loss_sparse: float
    tolerance: float
    increase: float

    @property
    def sparsity(self) -> float:
        """Share left out over all hidden units of the network."""
        total = sum(layer.n_units for layer in self.layers)
        return sum(layer.sparsity * layer.n_units for layer in self.layers) / total


def activation_sparsity(
    model: "nn.Module",
    batches: Sequence[Any],
    *,
    loss: Loss | None = None,
    layers: Sequence[str] | None = None,
    tolerance: float = 0.01,
    kind: Literal["relative", "likelihood"] = "relative",
    seed: int = 0,
) -> Sparsity:
    """Share of hidden activations that can be left out at a fixed loss increase.

    Parameters
    ----------
    model : nn.Module
        Any network with hidden layers "linear, activation, linear".
    batches : sequence
        What the loss takes; at least two. Thresholds come from the first half,
        the loss is measured on the second.
    loss : callable(model, batch) -> Tensor, optional
        A number to keep low; by default the model's own
        ``loss(batch, generator)["loss"]`` with the same hidden parts each time.
    layers : sequence of str, optional
        Names of the linear layers that read hidden units; found by following
        the outputs of activation functions if omitted.
    tolerance : float
        Tolerated increase of the loss: 0.01 is one per cent.
    kind : {"relative", "likelihood"}
        "relative": of the loss itself (squared errors); "likelihood": of
        exp(loss), the perplexity, for losses that are negative log likelihoods.
    seed : int
        For the model's own loss and the choice of tokens.

    Returns
    -------
    Sparsity

    Raises
    ------
    DataError
        Fewer than two batches, or a loss that is not finite or not positive.
    ConfigError
        If no hidden layer is found, or the model has no loss and none is given.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)
    ... )
    >>> x = [torch.randn(200, 4) for _ in range(4)]
    >>> found = activation_sparsity(net, x, loss=lambda net, x: (net(x) - x).square().mean())
    >>> found.layers[0].name, bool(found.sparsity > found.layers[0].zeros)
    ('2', True)
    """
    import torch

    if len(batches) < 2:
        raise DataError(f"{len(batches)} batch(es): thresholds and the loss need one each.")
    if not tolerance > 0 or kind not in ("relative", "likelihood"):
        raise ConfigError(f"tolerance={tolerance} must be positive and kind={kind!r} known.")
    run = _loss_of(model, loss, seed)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = hidden_layers(model, lambda: run(batches[0], 0)) if layers is None else layers
            watched = _watched(model, found)
            runs = [partial(run, batch, i) for i, batch in enumerate(batches)]
            half = len(batches) // 2
            _learn(watched, runs[:half], seed)
            return _search(watched, runs[half:], tolerance, kind)
    finally:
        model.train(was_training)


def _loss_of(model: Any, loss: Loss | None, seed: int) -> Callable[[Any, int], float]:
    import torch

    if loss is None and not callable(getattr(model, "loss", None)):
        raise ConfigError(
            f"{type(model).__name__} has no loss(batch, generator); pass loss=function(model, "
            "batch)."
        )

    def run(batch: Any, number: int) -> float:
        if loss is not None:
            value = loss(model, batch)
        else:
            generator = torch.Generator().manual_seed(seed + number)
            value = model.loss(batch, generator)["loss"]
        out = float(value)
        if not np.isfinite(out):
            raise DataError(f"The loss of batch {number} is {out}.")
        return out

    return run


# ---- which layers -------------------------------------------------------------------


def hidden_layers(model: "nn.Module", forward: Callable[[], object]) -> list[str]:
    """Names of the linear layers whose input comes out of an activation function.

    Parameters
    ----------
    model : nn.Module
        The network.
    forward : callable
        Runs it once.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If there is none.
    """
    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode

    activations = {"gelu", "relu", "relu_", "silu", "leaky_relu", "elu", "selu", "mish",
                   "softplus", "hardswish", "celu", "relu6"}  # fmt: skip
    carried = {"mul", "__mul__", "dropout"}  # gates and dropout hand units on
    alive: list[Any] = []
    seen: set[int] = set()
    found: list[str] = []

    class Follow(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = function(*args, **(kwargs or {}))
            name = getattr(function, "__name__", "")
            from_units = name in carried and any(
                isinstance(a, torch.Tensor) and a.data_ptr() in seen for a in args
            )
            if isinstance(out, torch.Tensor) and (name in activations or from_units):
                alive.append(out)  # an address is a name only as long as it is not used again
                seen.add(out.data_ptr())
            return out

    def note(name: str) -> Callable[[Any, Any], None]:
        def hook(module: Any, args: Any) -> None:
            if args and args[0].data_ptr() in seen and name not in found:
                found.append(name)

        return hook

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with Follow():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ConfigError(
            "No linear layer reads the output of an activation function; name the layers with "
            "layers=[...], as in model.named_modules()."
        )
    return found


@dataclass(eq=False)
class _Watched:
    """A linear layer, what its units add, and what to do at its door."""

    name: str
    module: Any
    size: Any  # norm of each unit's column of weights, (n_units,)
    threshold: float = 0.0
    table: tuple[FloatArray, FloatArray] = field(default_factory=lambda: (np.zeros(1),) * 2)


def _watched(model: "nn.Module", names: Sequence[str]) -> list[_Watched]:
    modules = dict(model.named_modules())
    out = []
    for name in names:
        weight = getattr(modules.get(name), "weight", None)
        if weight is None or weight.ndim != 2:
            linear = [n for n, m in modules.items() if getattr(m, "weight", None) is not None]
            raise ConfigError(f"{name!r} is no linear layer. {did_you_mean(name, linear)}")
        out.append(_Watched(name, modules[name], weight.detach().float().norm(dim=0)))
    if not out:
        raise ConfigError("layers is empty.")
    return out


@contextmanager
def _at_the_door(
    watched: Sequence[_Watched], what: Callable[[_Watched, Any], Any]
) -> Iterator[None]:
    """Call `what(layer, units)` before each layer; a result that is not None replaces the units."""

    def hook_of(layer: _Watched) -> Callable[[Any, Any], Any]:
        def hook(module: Any, args: Any) -> Any:
            changed = what(layer, args[0])
            return None if changed is None else (changed, *args[1:])

        return hook

    handles = [w.module.register_forward_pre_hook(hook_of(w)) for w in watched]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# ---- thresholds -----------------------------------------------------------------------


def _learn(watched: Sequence[_Watched], runs: Sequence[Callable[[], float]], seed: int) -> None:
    """For each layer: relative norm of what is left out, as a function of the threshold."""
    import torch

    kept: dict[str, list[Any]] = {w.name: [] for w in watched}
    draw = torch.Generator().manual_seed(seed)
    most = max(1, _MOST_TOKENS // len(runs))

    def keep(layer: _Watched, units: Any) -> None:
        flat = units.reshape(-1, units.shape[-1]).float()
        rows = torch.randperm(len(flat), generator=draw)[:most]
        kept[layer.name].append(flat[rows.to(flat.device)])

    with _at_the_door(watched, keep):
        for run in runs:
            run()
    for layer in watched:
        if not kept[layer.name]:
            raise ConfigError(f"Layer {layer.name!r} is not used by the loss; leave it out.")
        layer.table = _table(torch.cat(kept[layer.name]), layer)


def _table(units: Any, layer: _Watched) -> tuple[FloatArray, FloatArray]:
    """(relative norms, thresholds), both rising."""
    import torch

    added = units.abs() * layer.size
    weight = layer.module.weight.detach().float()
    whole = (units @ weight.T).norm(dim=1)
    used = whole > 0
    if not bool(used.any()):
        return np.array([0.0, 1.0]), np.array([0.0, np.inf])
    levels = torch.linspace(0, 1, _TRIED, dtype=torch.float64)
    sample = added.flatten()
    sample = sample[sample > 0]
    sample = sample[:: max(1, len(sample) // 1_000_000)].double()
    thresholds = torch.quantile(sample, levels) if len(sample) else torch.zeros(1).double()
    thresholds[-1] = thresholds[-1] * 1.000001
    error = [
        float((((units * (added < t)) @ weight.T).norm(dim=1)[used] / whole[used]).mean())
        for t in thresholds
    ]
    # parts can be longer than their sum: the running maximum makes it a function to invert
    rising = np.maximum.accumulate(np.r_[0.0, error])
    rising[-1] = max(rising[-1], 1.0)
    return rising + 1e-12 * np.arange(len(rising)), np.r_[0.0, thresholds.numpy()]


def _set(watched: Sequence[_Watched], cett: float) -> None:
    for layer in watched:
        errors, thresholds = layer.table
        layer.threshold = float("inf") if cett >= 1 else float(np.interp(cett, errors, thresholds))


# ---- search ---------------------------------------------------------------------------


def _search(
    watched: Sequence[_Watched],
    runs: Sequence[Callable[[], float]],
    tolerance: float,
    kind: str,
) -> Sparsity:
    dense = float(np.mean([run() for run in runs]))
    if kind == "relative" and dense <= 0:
        raise DataError(
            f"The loss is {dense:g}; a relative increase needs a positive one. For negative log "
            "likelihoods pass kind='likelihood'."
        )

    def increase(cett: float) -> float:
        _set(watched, cett)
        with _at_the_door(watched, _leave_out):
            sparse = float(np.mean([run() for run in runs]))
        return sparse / dense - 1 if kind == "relative" else float(np.expm1(sparse - dense))

    low, high = 0.0, 1.0
    grid = np.linspace(0, 1, _GRID)[1:]
    above = [float(t) for t in grid if increase(float(t)) > tolerance][:1]
    if not above:
        low = 1.0
    else:
        high = above[0]
        low = max(0.0, high - 1 / (_GRID - 1))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if increase(middle) <= tolerance else (low, middle)
    reached = increase(low)
    sparse = dense * (1 + reached) if kind == "relative" else dense + float(np.log1p(reached))
    return Sparsity(_described(watched, runs), low, dense, sparse, tolerance, reached)


def _leave_out(layer: _Watched, units: Any) -> Any:
    return units * (units.abs() * layer.size >= layer.threshold)


def _described(
    watched: Sequence[_Watched], runs: Sequence[Callable[[], float]]
) -> tuple[LayerSparsity, ...]:
    """Counts at the thresholds that are set, on the held-out batches."""
    total: dict[str, FloatArray] = {w.name: np.zeros(4) for w in watched}
    alive: dict[str, Any] = {}

    def count(layer: _Watched, units: Any) -> Any:
        flat = units.reshape(-1, units.shape[-1]).float()
        added = flat.abs() * layer.size
        out = added < layer.threshold
        n = flat.shape[-1]
        ratio = added.sum(1) / added.norm(dim=1).clamp(min=1e-30)
        hoyer = (np.sqrt(n) - ratio) / max(np.sqrt(n) - 1, 1e-9)
        total[layer.name] += [
            float(out.float().mean(1).sum()),
            float((flat == 0).float().mean(1).sum()),
            float(hoyer.sum()),
            len(flat),
        ]
        used = (~out).any(0)
        alive[layer.name] = alive.get(layer.name, used) | used
        return _leave_out(layer, units)

    with _at_the_door(watched, count):
        for run in runs:
            run()
    layers = []
    for w in watched:
        left, zeros, hoyer, n = total[w.name].tolist()
        dead = int((~alive[w.name]).sum())
        layers.append(
            LayerSparsity(w.name, len(w.size), left / n, zeros / n, hoyer / n, dead, w.threshold)
        )
    return tuple(layers)
