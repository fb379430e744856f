"""The next sample from the last ones: its windows, and estimators that forecast as contenders."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro import models
from neuro.data import PairedWindows, Recording, Windows, pair
from neuro.errors import ConfigError, DataError, NeuroError
from neuro.typing import FloatArray

__all__ = ["Forecast", "NextSample", "forecaster"]

# windows that an estimator is tried on before it is let into a table
_TRIED = 200


@dataclass(frozen=True)
class NextSample:
    """Windows of a stream, each with the sample after it as its target.

    Parameters
    ----------
    stream : str
        A sampled stream; bin spikes first.
    n_times : int
        Samples of the window.
    every : int
        From window to window, in samples.

    Examples
    --------
    >>> from neuro.data import Axis, Regular
    >>> ramp = Regular(np.arange(9.0)[None], 10, "uV", Axis(["Cz"], "eeg"), "eeg")
    >>> index = NextSample("x", 3, every=2)([Recording({"x": ramp})])
    >>> index.batch([1]).x[0, 0].tolist(), index.target[1].tolist()
    ([2.0, 3.0, 4.0], [5.0])
    """

    stream: str
    n_times: int
    every: int = 1

    def __call__(self, recordings: Sequence[Recording]) -> Windows:
        """Windows of the recordings; none crosses a segment."""
        rate = recordings[0].regular(self.stream).rate
        index = pair(
            recordings,
            window_s=float(self.n_times / rate),
            eeg_stream=self.stream,
            fmri_stream=self.stream,
        )
        # a window that ends with its segment has no next sample
        ends = [rec.regular(self.stream).segments[:, 1] for rec in recordings]
        last = np.array([s in ends[r] for r, s in zip(index.recording, index.stop, strict=True)])
        index = index.select(index.labelled & ~last)
        return index.select(np.arange(0, len(index), self.every))


class Forecast:
    """An estimator of series, as `evaluate` takes estimators of windows.

    One that also predicts samples with less past than it could use (poisson_glm)
    learns from those inside the windows as well. Shuffled labels leave them as
    they are and would be no null, so that it has no line of that name.

    Parameters
    ----------
    estimator : object
        ``fit(trials)`` with (n_trials, n_chans, n_times), and ``predict(x)``
        of one stretch (n_chans, n_times): each sample from those before it, an
        array of the same shape or a list that holds it.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self._lags = int(getattr(getattr(estimator, "config", None), "n_lags", 0))
        self.learns_inside = bool(getattr(estimator, "short_past", False))

    def fit(self, x: FloatArray, y: FloatArray) -> "Forecast":
        """Fit to the windows with their next samples, one trial each."""
        y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self._n_chans = y.shape[1]
        self.estimator_ = copy.deepcopy(self.estimator).fit(self._with_next(x, y))
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Next sample of each window, (n, n_chans)."""
        trials = self._with_next(x, np.zeros((len(x), self._n_chans)))
        # the windows end to end, the first one twice, for estimators that want more than one
        # sample; what is read of each looks back into it alone
        series = np.concatenate([trials[0], *trials], axis=1)
        said = self.estimator_.predict(series)
        said = np.asarray(said[0] if isinstance(said, list) else said, dtype=np.float64)
        if said.shape != series.shape:
            raise DataError(
                f"what it predicts are no samples: shape {said.shape} for {series.shape}"
            )
        length = trials.shape[2]
        return np.asarray(said[:, 2 * length - 1 :: length].T)

    def _with_next(self, x: FloatArray, y: FloatArray) -> FloatArray:
        series = np.asarray(x, dtype=np.float64).reshape(len(y), self._n_chans, -1)
        # no further than it looks back: more of the windows' own samples would be targets too
        series = series[:, :, -self._lags :] if self._lags else series
        return np.concatenate([series, y[:, :, None]], axis=2)


def forecaster(name: str, preset: str, index: Windows, seed: int) -> Forecast:
    """A registered estimator for windows whose target is their next sample.

    Parameters
    ----------
    name, preset : str
        As in :func:`neuro.models.create`.
    index : Windows
        What it would be evaluated on.
    seed : int
        Of the estimator.

    Returns
    -------
    Forecast

    Raises
    ------
    ConfigError
        Saying why it does not fit.
    """
    made = models.create(name, preset, seed=seed)
    same = isinstance(index, PairedWindows) and index.target_axis.names == index.ch_names
    if not same:
        raise ConfigError("it forecasts the next sample, which is not what is asked for here")
    lags = int(getattr(made.config, "n_lags", 0))
    if lags > index.n_times:
        raise ConfigError(f"it looks back {lags} samples, the windows hold {index.n_times}")
    made_for = Forecast(made)
    rows = np.unique(np.linspace(0, len(index) - 1, _TRIED).astype(np.int64))
    x = index.batch(rows).x.numpy().reshape(len(rows), -1)
    try:
        said = made_for.fit(x, np.asarray(index.target)[rows]).predict(x)
    except (AttributeError, NeuroError, TypeError, ValueError) as error:
        raise ConfigError(f"tried on {len(rows)} windows: {error}") from error
    if index.modality == "spikes" and (said < 0).any():
        raise ConfigError("it expects less than no spike at times, and has no likelihood of counts")
    return Forecast(made)
