"""AR-Net: sparse autoregression by gradient descent (Triebe et al., arXiv 1911.12436).

One linear layer from lags to the next sample is an AR model, and its weights are the
coefficients. A penalty with infinite slope at zero pushes small weights to zero and
leaves large ones alone, so long memories with few lags are found at a cost linear in
the number of lags.

Differences from the publication in the "default" preset: the series is standardised;
lags that survive the penalty are fitted again by least squares and pruned by their
standard error (the penalised weights hover near, not at, zero); the penalty is ramped
as in the released code (quadratic up to half of training) and the step size follows
one cycle. "paper" keeps the plain-torch recipe of the release (Adam, exponential decay,
linear ramp, no second fit). Coefficients are lag 1 first everywhere; the original
stores its weights oldest lag first.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.errors import DataError
from neuro.models._estimator import EstimatorModel
from neuro.models._sparse_lags import (
    ARNetConfig,
    Layer,
    lambda_max,
    pruning_threshold,
    ramp,
    sparsity_penalty,
    stpe,
    train,
)
from neuro.signal.ar import VAR
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "ARNet",
    "ARNetConfig",
    "lambda_max",
    "pruning_threshold",
    "ramp",
    "sparsity_penalty",
    "stpe",
]

_Real: TypeAlias = NDArray[np.float64]


class _Samples(NamedTuple):
    """Trials end to end, and the samples whose past lies inside their own trial."""

    series: _Real
    usable: NDArray[np.int64]


def _samples(x: AnyArray | Sequence[AnyArray], n_lags: int, n_chans: int | None) -> _Samples:
    trials: Any = x
    if isinstance(x, np.ndarray):
        trials = {1: x[np.newaxis, np.newaxis], 2: x[np.newaxis]}.get(x.ndim, x)
    arrays = [np.asarray(t, np.float64) for t in trials]
    if not arrays or any(t.ndim != 2 for t in arrays) or len({len(t) for t in arrays}) != 1:
        raise DataError("Expected (n_times,), (n_chans, n_times) or trials of such, time last.")
    if n_chans is not None and len(arrays[0]) != n_chans:
        raise DataError(f"The model was fitted to {n_chans} channels, got {len(arrays[0])}.")
    if not all(np.isfinite(t).all() for t in arrays):
        raise DataError("NaN or inf in the series: cut the gap out, as trials.")
    start, usable = 0, []
    for t in arrays:
        usable.append(np.arange(start + n_lags, start + t.shape[1]))
        start += t.shape[1]
    found = np.concatenate(usable)
    if len(found) < 2:
        raise DataError(f"No trial is longer than n_lags={n_lags} samples.")
    return _Samples(np.concatenate(arrays, axis=1), found)


class ARNet(EstimatorModel):
    """Sparse (vector) autoregression, scikit-learn style.

    Parameters
    ----------
    config : ARNetConfig, optional
        Settings.
    **values
        Fields of it; :func:`neuro.models.create` knows the presets.

    Attributes
    ----------
    coefs_ : float64 array, shape (n_chans, n_lags) or (n_lags, n_chans, n_chans)
        Lag 1 first; "vector" as in :class:`neuro.signal.VAR` (rows are targets).
    trained_coefs_ : float64 array
        The same before the second fit.
    intercept_ : float64 array, shape (n_chans,)
        Constant term.
    support_ : bool array
        Shape of ``coefs_``: which lags are left.
    stderr_ : float64 array
        Standard errors of the second fit; NaN where there is none.
    threshold_ : float
        Weight, in standardised units, below which the penalty wins.
    noise_sd_ : float64 array, shape (n_chans,)
        Standard deviation of the one-step errors.
    errors_ : float64 array
        Squared error of every training step.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal(2000)
    >>> for t in range(5, 2000):
    ...     e[t] += 0.6 * e[t - 5]
    >>> model = ARNet(n_lags=8, sparsity=0.125, epochs=5).fit(e)
    >>> np.flatnonzero(model.support_[0]) + 1
    array([5])
    """

    name: ClassVar[str] = "ar_net"
    config_class: ClassVar[type[ARNetConfig]] = ARNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "paper": {
                "n_lags": 20,
                "c_lambda": 0.02,
                "epochs": 10,
                "batch_size": 128,
                "lr": 2e-4,
                "schedule": "exponential",
                "ramp": "linear",
                "standardise": False,
                "refit": False,
            },
            "tiny": {"n_lags": 4, "epochs": 2},
        }
    )

    fitted: ClassVar[tuple[str, ...]] = (
        "coefs_",
        "trained_coefs_",
        "intercept_",
        "support_",
        "stderr_",
        "threshold_",
        "noise_sd_",
        "errors_",
    )

    config: ARNetConfig
    coefs_: _Real
    trained_coefs_: _Real
    intercept_: _Real
    support_: NDArray[np.bool_]
    stderr_: _Real
    threshold_: float
    noise_sd_: _Real
    errors_: _Real

    def fit(self, x: AnyArray | Sequence[AnyArray], y: None = None) -> Self:
        """Learn the coefficients.

        Parameters
        ----------
        x : array, shape (n_times,), (n_chans, n_times) or (n_trials, n_chans, n_times), or list
            Series; no lag crosses trials.
        y : None
            Not used; the scikit-learn signature.

        Returns
        -------
        ARNet
            Itself.

        Raises
        ------
        DataError
            NaN, a constant channel, or no trial longer than the lags.
        """
        c = self.config
        series, usable = _samples(x, c.n_lags, None)
        mean, spread = series.mean(axis=1), series.std(axis=1)
        if (spread == 0).any():
            raise DataError(f"Constant channels {np.flatnonzero(spread == 0).tolist()}.")
        if not c.standardise:
            mean, spread = np.zeros_like(mean), np.ones_like(spread)
        scaled = (series - mean[:, np.newaxis]) / spread[:, np.newaxis]
        n_inputs = c.n_lags * (len(series) if c.mode == "vector" else 1)
        generator = torch.Generator().manual_seed(c.seed)
        weight = torch.rand(len(series), n_inputs, generator=generator, dtype=torch.float64)
        weight = (2 * weight - 1) / n_inputs**0.5  # torch's own start of a linear layer
        layer = Layer(weight, torch.zeros(len(series), dtype=torch.float64), c.n_lags, c.mode)
        tensors = (torch.from_numpy(scaled), torch.from_numpy(usable))
        errors = train(
            layer, tensors, c, lambda _: torch.randperm(len(usable), generator=generator)
        )
        self.errors_ = np.array(errors)
        trained = layer.weight.detach().numpy().copy()
        bias = layer.bias.detach().numpy().copy()
        strength = lambda_max(c.sparsity, c.c_lambda)
        own = float((scaled[:, usable] ** 2).mean())
        self.threshold_ = pruning_threshold(strength, n_inputs, own, c.c1, c.c2)
        self._second_fit(scaled, usable, trained, bias)
        self._unscale(trained, mean, spread)
        self._set_noise(x)
        return self

    def _second_fit(
        self, scaled: _Real, usable: NDArray[np.int64], trained: _Real, bias: _Real
    ) -> None:
        """Least squares on what survived; values in standardised units."""
        self._weight, self._bias = trained.copy(), bias
        self._error = np.full_like(trained, np.nan)
        if not self.config.refit:
            self._kept = np.abs(trained) > self.threshold_
            return
        self._kept = np.zeros(trained.shape, dtype=bool)
        for model, row in enumerate(trained):
            kept = np.flatnonzero(np.abs(row) > self.threshold_)
            y = scaled[model, usable]
            while True:
                design = np.stack(
                    [*(self._lag(scaled, usable, model, int(k)) for k in kept), np.ones_like(y)]
                )
                inverse = np.linalg.pinv(design @ design.T)
                beta = inverse @ (design @ y)
                rest = y - beta @ design
                error = np.sqrt(np.diagonal(inverse) * (rest @ rest) / max(1, len(y) - len(beta)))
                strong = np.abs(beta[:-1]) >= self.config.prune_z * error[:-1]
                if strong.all():
                    break
                kept = kept[strong]
            self._weight[model], self._bias[model] = 0.0, beta[-1]
            self._weight[model, kept], self._error[model, kept] = beta[:-1], error[:-1]
            self._kept[model, kept] = True

    def _lag(self, scaled: _Real, usable: NDArray[np.int64], model: int, column: int) -> _Real:
        """Input ``column`` of a model: channel by channel, lag 1 first."""
        channel, lag = divmod(int(column), self.config.n_lags)
        row = channel if self.config.mode == "vector" else model
        return np.asarray(scaled[row, usable - 1 - lag])

    def _shape(self, flat: AnyArray) -> AnyArray:
        """From (models, inputs) to the public layout."""
        if self.config.mode == "univariate":
            return flat
        m = len(flat)
        return np.ascontiguousarray(flat.reshape(m, m, self.config.n_lags).transpose(2, 0, 1))

    def _unscale(self, trained: _Real, mean: _Real, spread: _Real) -> None:
        scale = spread[:, np.newaxis] / spread if self.config.mode == "vector" else np.ones(1)
        self.coefs_ = self._shape(self._weight) * scale
        self.trained_coefs_ = self._shape(trained) * scale
        self.stderr_, self.support_ = self._shape(self._error) * scale, self._shape(self._kept)
        sums = self.coefs_.sum(axis=0) @ mean if scale.ndim == 2 else self.coefs_.sum(axis=1) * mean
        self.intercept_ = self._bias * spread + mean - sums

    def _set_noise(self, x: AnyArray | Sequence[AnyArray]) -> None:
        series, usable = _samples(x, self.config.n_lags, None)
        self.noise_sd_ = (series[:, usable] - self._predict(series, usable)).std(axis=1)

    def _predict(self, series: _Real, usable: NDArray[np.int64]) -> _Real:
        out = np.repeat(self.intercept_[:, np.newaxis], len(usable), axis=1)
        for k in range(1, self.config.n_lags + 1):
            past = series[:, usable - k]
            if self.config.mode == "vector":
                out += self.coefs_[k - 1] @ past
            else:
                out += self.coefs_[:, k - 1 : k] * past
        return out

    def predict(self, x: AnyArray) -> FloatArray:
        """One-step predictions.

        Parameters
        ----------
        x : array, shape (n_times,) or (n_chans, n_times)
            One stretch of signal.

        Returns
        -------
        float64 array, shape (n_chans, n_times)
            NaN for the first ``n_lags`` samples.

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            Another number of channels, or too short.
        """
        self.require_fitted()
        series, usable = _samples(np.atleast_2d(x), self.config.n_lags, len(self.intercept_))
        out = np.full(series.shape, np.nan)
        out[:, usable] = self._predict(series, usable)
        return out

    def score(self, x: AnyArray, y: None = None) -> float:
        """Share of the variance that one-step predictions explain, mean of channels.

        Parameters
        ----------
        x : array, shape (n_times,) or (n_chans, n_times)
            Series not used for the fit.
        y : None
            Not used.

        Returns
        -------
        float
            R squared.
        """
        series, usable = np.atleast_2d(x), slice(self.config.n_lags, None)
        error = ((series - self.predict(x))[:, usable] ** 2).mean(axis=1)
        return float(np.mean(1 - error / series[:, usable].var(axis=1)))

    def to_var(self) -> VAR:
        """The fitted model as a :class:`neuro.signal.VAR`, for spectra, PDC or Granger.

        Returns
        -------
        VAR
            With independent innovations.
        """
        self.require_fitted()
        coefs = self.coefs_
        if self.config.mode == "univariate":
            coefs = np.stack([np.diag(column) for column in coefs.T])
        return VAR(coefs, np.diag(self.noise_sd_**2), self.intercept_, len(self.errors_))
