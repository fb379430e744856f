"""VAR models for the directed measures: order, checks, and the frequency grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._bands import Bands, Groups, band_groups, frequency_range
from neuro.connectivity._epochs import Epochs
from neuro.connectivity.measure import Average, Estimate
from neuro.errors import ConfigError, DataError
from neuro.signal.ar import VAR, Criterion, choose_order, fit_var, whiteness_test
from neuro.typing import AnyArray, FloatArray

__all__ = ["Bands", "Grid", "Order", "VarFit", "by_source", "fit_models", "grid", "resolve_order"]

Order: TypeAlias = int | Criterion


@dataclass(frozen=True)
class Grid:
    """Frequencies from 0 to the Nyquist frequency, and which of them are reported.

    Everything is computed on the whole grid and cut afterwards, so that a narrower
    range never changes a value.
    """

    freqs: NDArray[np.float64]
    keep: NDArray[np.int64]
    groups: Groups

    def estimate(
        self, values: FloatArray, average: Average, attrs: Mapping[str, Any], n: int, n_eff: float
    ) -> Estimate:
        """Cut or band-average values of shape ([trial,] n_freqs, source, target)."""
        if self.groups:
            parts = [values[..., bins, :, :].mean(axis=-3) for _, bins in self.groups]
            cut = np.stack(parts, axis=-3)
            freqs = np.array([self.freqs[bins].mean() for _, bins in self.groups])
        else:
            cut, freqs = values[..., self.keep, :, :], self.freqs[self.keep]
        lead = ("trial",) if average == "time" else ()
        axis = "band" if self.groups else "freq"
        names = tuple(name for name, _ in self.groups)
        dims = (*lead, axis, "source", "target")
        return Estimate(cut, dims, freqs, names, n, n_eff, MappingProxyType(dict(attrs)))


def grid(
    sfreq: float, n_freqs: int, fmin: float | None, fmax: float | None, bands: Bands | None
) -> Grid:
    """The full frequency grid and the part that is reported.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    n_freqs : int
        Points from 0 to the Nyquist frequency, both included.
    fmin, fmax : float or None
        Range to report; None is the whole.
    bands : mapping of name to (low, high), or None
        Half-open bands to average over instead.

    Returns
    -------
    Grid
        The grid.
    """
    nyquist = sfreq / 2
    if n_freqs < 2:
        raise ConfigError(f"n_freqs={n_freqs} must be at least 2.")
    freqs = np.linspace(0, nyquist, n_freqs)
    low, high = frequency_range(bands, fmin, fmax, sfreq, 0.0)
    groups = band_groups(bands, freqs, float(freqs[1]), "Raise n_freqs or widen the band.")
    if high > nyquist * (1 + 1e-9):
        raise DataError(f"fmax={high:g} Hz lies above the Nyquist frequency {nyquist:g} Hz.")
    keep = np.flatnonzero((freqs >= low - 1e-9) & (freqs <= high + 1e-9))
    if not len(keep):
        raise DataError(
            f"No grid frequency between {low:g} and {high:g} Hz (step {freqs[1]:g} Hz); raise "
            "n_freqs or widen the range."
        )
    return Grid(freqs, keep, groups)


@dataclass(frozen=True)
class VarFit:
    """Models (one, or one a trial) and what to say about them."""

    models: list[VAR]
    groups: list[list[AnyArray]]
    order: int
    attrs: Mapping[str, Any]

    @property
    def n_eff(self) -> float:
        """Equations of the smallest model."""
        return float(min(m.n_obs for m in self.models))


def resolve_order(trials: Sequence[AnyArray], order: Order, max_order: int | None) -> int:
    """The number of lags: given, or chosen by a criterion."""
    if isinstance(order, (int, np.integer)):
        return int(order)
    m = trials[0].shape[0]
    shortest, total = min(t.shape[1] for t in trials), sum(t.shape[1] for t in trials)
    # no more than a tenth of the samples may go into coefficients
    room = max(1, min(20, shortest // 2, int(0.1 * total / m)))
    return choose_order(list(trials), room if max_order is None else max_order, order).order


def fit_models(
    epochs: Epochs,
    average: Average,
    order: Order,
    *,
    max_order: int | None = None,
    ridge: float = 0.0,
) -> VarFit:
    """Fit one model over all trials, or one a trial, and check it.

    Parameters
    ----------
    epochs : Epochs
        Checked trials.
    average : "trials" or "time"
        One model, or one a trial.
    order : int or "aic", "bic", "hq"
        Number of lags or the criterion that chooses it (over all trials).
    max_order : int or None
        Largest order tried; None is 20 or what a tenth of the samples can carry.
    ridge : float
        As in :func:`neuro.signal.ar.fit_var`.

    Returns
    -------
    VarFit
        Models, with order, radius and the p-value of the whiteness test as attrs.

    Raises
    ------
    DataError
        Too few samples, redundant channels, or an unstable model.
    """
    lags = resolve_order(epochs.trials, order, max_order)
    groups = [[t] for t in epochs.trials] if average == "time" else [epochs.trials]
    models, white = [], []
    for trials in groups:
        model = fit_var(trials, lags, ridge=ridge)
        radius = model.radius
        if radius >= 1:
            raise DataError(
                f"The VAR({lags}) is unstable (spectral radius {radius:.4f} >= 1): the signal "
                "drifts or is not stationary, so it has no spectrum. High-pass or difference it, "
                "cut it into shorter trials, or lower the order."
            )
        models.append(model)
        white.append(whiteness_test(trials, model, max(20, lags + 10)).p)
    attrs = {
        "estimator": "var",
        "order": lags,
        "order_by": order if isinstance(order, str) else "given",
        "ridge": ridge,
        "radius": max(m.radius for m in models),
        "whiteness_p": min(white),
        "average": average,
        "n_dropped": epochs.n_dropped,
        "kept_trials": tuple(epochs.kept.tolist()),
    }
    return VarFit(models, groups, lags, attrs)


def by_source(target_rows: FloatArray) -> FloatArray:
    """From rows = targets, as formulas are written, to rows = sources."""
    return np.swapaxes(target_rows, -1, -2)
