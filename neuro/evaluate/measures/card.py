"""One page of measures for one model on one set of windows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError, NeuroError
from neuro.evaluate.contenders.sources import embed, features_of, is_module
from neuro.evaluate.measures.information import Information, mutual_information
from neuro.evaluate.measures.sparsity import Loss, Sparsity, activation_sparsity
from neuro.evaluate.measures.variance import FeatureShare, feature_variance
from neuro.evaluate.scores.intervals import choose_units
from neuro.typing import AnyArray, FloatArray

__all__ = ["ModelMeasures", "measure"]


@dataclass(frozen=True)
class ModelMeasures:
    """Measures of one model.

    Parameters
    ----------
    model : str
        Its name.
    n_parameters, n_windows, d_embedding : int
        Trainable values; windows looked at; width of the embedding.
    effective_rank : float
        exp of the entropy of the embedding's spectrum: in how many directions
        it varies.
    sparsity : Sparsity or None
        Activation sparsity at one per cent more loss.
    information : Information or None
        Between embedding and target.
    variance : tuple of FeatureShare
        Target and nuisances, largest share first.
    notes : tuple of str
        What could not be measured, and why.
    unit : str
        What the intervals of information and variance leave out one at a
        time: the highest independent level with five units or more; "" where
        there is none.
    """

    model: str
    n_parameters: int
    n_windows: int
    d_embedding: int
    effective_rank: float
    sparsity: Sparsity | None
    information: Information | None
    variance: tuple[FeatureShare, ...]
    notes: tuple[str, ...]
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN is None."""
        out: dict[str, Any] = _plain(asdict(self))
        if self.sparsity is not None:
            out["sparsity"]["sparsity"] = self.sparsity.sparsity
        return out


def measure(
    model: Any,
    windows: Windows,
    *,
    name: str | None = None,
    loss: Loss | None = None,
    features: Mapping[str, AnyArray] | None = None,
    max_windows: int = 1024,
    batch_size: int = 64,
    tolerance: float = 0.01,
    seed: int = 0,
) -> ModelMeasures:
    """Measure a model on windows it was not trained on.

    Parameters
    ----------
    model : nn.Module
        ``forward(batch)`` returns a tensor or an object with ``embedding``.
    windows : Windows
        With or without a target.
    name : str, optional
        In the report; the model's own if omitted.
    loss : callable(model, batch) -> Tensor, optional
        For sparsity; the model's own ``loss(batch, generator)`` if omitted.
    features : mapping of str to array, shape (n_windows,), optional
        More features to share the variance out to, beside target, subject,
        session, run, age, sex and amplitude.
    max_windows : int
        Windows beyond are left out at random.
    batch_size : int
        Windows a batch.
    tolerance : float
        Loss increase for sparsity.
    seed : int
        Of everything drawn.

    Returns
    -------
    ModelMeasures

    Raises
    ------
    ConfigError
        If the model is no torch module.
    DataError
        If there are fewer than 20 windows.
    """
    if not is_module(model):
        raise ConfigError(f"Measures look inside torch modules; this is a {type(model).__name__}.")
    if len(windows) < 20:
        raise DataError(f"{len(windows)} windows are too few to measure a model; at least 20.")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(windows))[:max_windows])
    chosen = windows.select(rows)
    model.eval()
    label = name or str(getattr(model, "name", type(model).__name__))
    x = features_of(chosen, embed(model), label).astype(np.float64)
    notes: list[str] = []
    sparsity = information = None
    batches = [chosen.batch(part) for part in np.array_split(
        rng.permutation(len(chosen)), max(2, len(chosen) // batch_size))]  # fmt: skip
    try:
        sparsity = activation_sparsity(model, batches, loss=loss, tolerance=tolerance, seed=seed)
    except NeuroError as error:
        notes.append(f"No activation sparsity: {error}")
    units = choose_units(chosen, np.arange(len(chosen)))
    # single windows are no independent units
    code = None if units.level == "window" else units.code
    target = _target(chosen)
    if target is not None:
        known = target.astype(str) != "" if target.dtype.kind == "U" else np.isfinite(target)
        try:
            information = mutual_information(
                x[known], target[known], seed=seed, units=None if code is None else code[known]
            )
        except NeuroError as error:
            notes.append(f"No mutual information: {error}")
    extra = {k: np.asarray(v)[rows] for k, v in (features or {}).items()}
    shares: list[FeatureShare] = []
    try:
        named = {**_nuisances(chosen, batches_rms(chosen, batch_size)), **extra}
        if target is not None:
            named = {"target": target, **named}
        varying = {k: v for k, v in named.items() if _varies(v)}
        shares = feature_variance(x, varying, seed=seed, units=code)
    except NeuroError as error:
        notes.append(f"No variance shares: {error}")
    return ModelMeasures(
        label,
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        len(chosen),
        x.shape[1],
        _effective_rank(x),
        sparsity,
        information,
        tuple(shares),
        tuple(notes),
        "" if code is None else units.level,
    )


def _target(windows: Windows) -> AnyArray | None:
    """Class names as text, or one value a window; None without one."""
    if windows.target is None:
        return None
    y = np.asarray(windows.target, dtype=np.float64)
    y = y.reshape(len(y), -1)
    if y.shape[1] != 1:
        return None
    y = y[:, 0]
    if windows.classes is None:
        return y
    names = np.array([*windows.classes, ""])
    return np.asarray(names[np.where(np.isfinite(y), y, len(names) - 1).astype(int)])


def batches_rms(windows: Windows, size: int) -> FloatArray:
    """Root mean square of each window over valid samples, (n,)."""
    out = []
    for a in range(0, len(windows), size):
        b = windows.batch(np.arange(a, min(a + size, len(windows))))
        valid = (b.channel_mask[:, :, None] & b.time_mask[:, None, :]).to(b.x.dtype)
        power = (b.x.square() * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
        out.append(power.sqrt().double().cpu().numpy())
    return np.concatenate(out)


def _nuisances(windows: Windows, rms: FloatArray) -> dict[str, AnyArray]:
    """What a window carries beside its target."""
    recs = windows.recordings
    of = windows.recording
    out: dict[str, AnyArray] = {"amplitude": np.log(np.maximum(rms, 1e-30))}
    for level in ("subject", "session", "run"):
        out[level] = windows.column(level).astype(str)
    out["sex"] = np.array([r.sex for r in recs])[of]
    out["age"] = np.array([np.nan if r.age is None else float(r.age) for r in recs])[of]
    return out


def _varies(value: AnyArray) -> bool:
    """Whether a feature is known for all windows and takes two values or more."""
    if value.dtype.kind in "OUS":
        return bool((value != "").all()) and len(np.unique(value)) > 1
    return bool(np.isfinite(value.astype(np.float64)).all() and np.ptp(value) > 0)


def _effective_rank(x: FloatArray) -> float:
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    p = s / s.sum() if s.sum() > 0 else np.ones(1)
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
