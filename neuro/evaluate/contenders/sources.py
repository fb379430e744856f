"""From windows to features, once a run; and what a result depends on, as a hash."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

import neuro
from neuro.data import Irregular, Regular, Windows
from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from torch import nn

    from neuro.data import Batch

__all__ = ["Features", "embed", "features_of", "fingerprint", "windows_fingerprint"]

Features = Callable[["Batch"], FloatArray]
_BATCH = 64


def features_of(windows: Windows, function: Features, what: str = "features") -> FloatArray:
    """Features of every window, read in batches.

    Parameters
    ----------
    windows : Windows
        What to read; a sampled stream.
    function : callable(Batch) -> array, shape (batch, ...)
        Applied to batches of consecutive windows; flattened, unless it has a
        true attribute `keeps_tokens`. Or an object with
        `of_windows(windows) -> array`.
    what : str
        For messages.

    Returns
    -------
    ndarray, shape (n, n_features) or (n, n_tokens, d), float32 or float64

    Raises
    ------
    DataError
        If the function returns another number of rows.
    """
    own = getattr(function, "of_windows", None)
    if own is not None:
        return np.asarray(own(windows))
    keep = bool(getattr(function, "keeps_tokens", False))
    parts: list[AnyArray] = []
    for a in range(0, len(windows), _BATCH):
        rows = np.arange(a, min(a + _BATCH, len(windows)))
        part = np.asarray(function(windows.batch(rows)))
        if part.ndim < 1 or len(part) != len(rows):
            raise DataError(f"{what}: {part.shape} was returned for {len(rows)} windows.")
        parts.append(part if keep else part.reshape(len(rows), -1))
    return np.concatenate(parts)


def embed(model: "nn.Module", *, tokens: bool = False) -> Features:
    """A frozen network as a feature function.

    Parameters
    ----------
    model : nn.Module
        Its forward takes a Batch and returns an object with `embedding`, or a
        tensor. It is put into eval mode.
    tokens : bool
        Read its `tokens` instead.

    Returns
    -------
    callable(Batch) -> ndarray, shape (batch, d) or (batch, n_tokens, d)
    """
    import torch

    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def function(batch: "Batch") -> FloatArray:
        out = model(batch.to(device))
        if tokens:
            return _tokens(out, type(model).__name__)
        vector = getattr(out, "embedding", out)
        if not isinstance(vector, torch.Tensor):
            raise ConfigError(
                f"{type(model).__name__}.forward(batch) returns a {type(out).__name__}; a tensor "
                "or an object with .embedding is needed."
            )
        return np.asarray(vector.flatten(1).float().cpu().numpy())

    function.keeps_tokens = tokens  # type: ignore[attr-defined]
    return function


def _tokens(out: Any, name: str) -> FloatArray:
    tokens = getattr(out, "tokens", None)
    if tokens is None or tokens.ndim != 3:
        raise ConfigError(
            f"{name}.forward(batch) returns no tokens (batch, token, d), which probe='attentive' "
            "reads. Return an object with .tokens, or use another probe."
        )
    return np.asarray(tokens.float().cpu().numpy())


# ---- hashes --------------------------------------------------------------------


def windows_fingerprint(windows: Windows) -> str:
    """Hash of all that decides the windows' content: samples, ranges, targets.

    Parameters
    ----------
    windows : Windows
        Any.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in ("recording", "start", "stop", "block", "target"):
        value = getattr(windows, name)
        digest.update(name.encode())
        if value is not None:
            digest.update(np.ascontiguousarray(value).tobytes())
    digest.update(repr((windows.stream, windows.classes, windows.ch_names)).encode())
    for rec in windows.recordings:
        facts = (rec.dataset, rec.id, rec.subject, rec.session, rec.run, rec.provenance.sha256)
        digest.update(repr((facts, rec.provenance.steps)).encode())
        _add_stream(digest, rec.stream(windows.stream))
    return digest.hexdigest()


def _add_stream(digest: Any, stream: Any) -> None:
    if isinstance(stream, Irregular):
        digest.update(stream.times_s.tobytes() + stream.unit_index.tobytes())
    elif isinstance(stream, Regular):
        step = max(1, (1 << 24) // max(1, stream.shape[0]))
        for a in range(0, stream.n_times, step):
            block = np.asarray(stream.data[:, a : min(a + step, stream.n_times)])
            digest.update(np.ascontiguousarray(block).tobytes())
        for extra in (stream.scale, stream.offset, stream.valid, stream.axis.bad):
            digest.update(b"-" if extra is None else np.ascontiguousarray(extra).tobytes())
    else:
        digest.update(np.ascontiguousarray(stream.array).tobytes())


def fingerprint(thing: Any) -> str:
    """Hash of what decides a model's results: weights, settings, or source code.

    Parameters
    ----------
    thing : nn.Module, estimator, function, or tuple of these
        A model as passed to `evaluate`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _add(digest, thing)
    return digest.hexdigest()


def _add(digest: Any, thing: Any) -> None:
    digest.update(f"<{type(thing).__module__}.{type(thing).__qualname__}>".encode())
    if thing is None or isinstance(thing, bool | int | float | str | bytes):
        digest.update(repr(thing).encode())
    elif isinstance(thing, np.ndarray):
        digest.update(repr((thing.shape, str(thing.dtype))).encode())
        digest.update(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, tuple | list):
        for item in thing:
            _add(digest, item)
    elif isinstance(thing, Mapping):
        for key in sorted(thing, key=str):
            digest.update(str(key).encode())
            _add(digest, thing[key])
    elif is_module(thing):
        digest.update(repr(getattr(thing, "config", "")).encode())
        for key, value in sorted(thing.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(_bytes()).numpy())
    elif hasattr(thing, "get_params"):
        _add(digest, dict(thing.get_params(deep=False)))
    elif inspect.isroutine(thing):
        _add_code(digest, thing)
    else:
        _add(digest, dict(getattr(thing, "__dict__", {})) or repr(type(thing)))
        _add_code(digest, type(thing))


def _bytes() -> Any:
    import torch

    return torch.uint8


def _add_code(digest: Any, thing: Any) -> None:
    """Source of a function or class and the values it closes over."""
    digest.update(f"{thing.__module__}.{getattr(thing, '__qualname__', thing)}".encode())
    try:
        digest.update(inspect.getsource(thing).encode())
    except (OSError, TypeError):  # typed at a prompt, or compiled
        code = getattr(thing, "__code__", None)
        if code is not None:
            digest.update(code.co_code + repr(code.co_consts).encode())
    for cell in getattr(thing, "__closure__", None) or ():
        value = cell.cell_contents
        if isinstance(value, bool | int | float | str | bytes | np.ndarray) or is_module(value):
            _add(digest, value)


def is_module(thing: Any) -> bool:
    """Whether something is a torch module, without importing torch."""
    # a torch module cannot exist where torch was never imported
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


@lru_cache
def versions() -> dict[str, str]:
    """Versions that decide numbers."""
    from importlib.metadata import PackageNotFoundError, version

    out = {"neuro": neuro.__version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("numpy", "scipy", "scikit-learn", "torch"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


# ---- contenders ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Contender:
    """One line of the table: features and an estimator, with or without a control.

    Parameters
    ----------
    name : str
        As in the table; a control carries its model's name.
    kind : {"floor", "model", "control"}
        What it is for.
    control : str
        Which control of the model; ``""`` for the model itself.
    estimator : callable(task, seed) -> object
        Fresh estimator.
    key : str
        Hash of all that decides features and estimator.
    seeds : int
        How many seeds; 1 where nothing is drawn.
    features : callable(seed, train) -> (callable(Batch) -> ndarray)
        Feature function, see :func:`features_of`; `train` are the training
        Windows of the fold, for models that are trained anew in every fold.
    per_seed, per_fold : bool
        Whether the features differ between seeds, between folds.
    has_null : bool
        False if it also learns from what lies inside the windows: shuffled labels
        leave that as it is, and a line of that name would be no null.
    """

    name: str
    kind: str
    control: str
    estimator: Callable[[Any, int], Any]
    key: str
    seeds: int
    features: Callable[[int, Windows | None], Any]
    per_seed: bool = False
    per_fold: bool = False
    has_null: bool = True
