"""Floors: the plain decoders that a network has to beat.

A floor is a function of single windows (features, nothing learned) and a
scikit-learn estimator that is fitted on the training part. Which floors apply
follows from modality and task; they are always computed, never chosen by
their score.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.contenders.confounds import without_signal
from neuro.evaluate.probing.tangent import Covariance
from neuro.evaluate.task import Task
from neuro.signal import BANDS as NAMED_BANDS
from neuro.signal import band_power
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Batch

__all__ = [
    "BandPower",
    "Circular",
    "Connectivity",
    "Counts",
    "Flat",
    "Floor",
    "LaggedBandPower",
    "Mean",
    "TimeBins",
    "floors_for",
    "get_floor",
]

Estimator = Literal[
    "lda", "logistic", "ridge", "tangent", "nearest", "constant", "poisson", "poisson_glm"
]

Features = Callable[["Batch"], FloatArray]
BANDS = tuple(NAMED_BANDS.values())
# Hz; what the bands cover together
_SPAN = (BANDS[0][0], BANDS[-1][1])
# Bins a window when no width is given; our default. Between 7 and 20 bins the
# score on evoked and slow potentials of 0.5 to 4 s hardly changes.
_N_BINS = 10
_ELECTRIC = ("eeg", "meg", "ieeg", "lfp")
# s; bins in which lagged power is measured, about the TR of fMRI. Our choice.
_LAG_S = 2.0
# length of the circle in the units that angles are given in
_CIRCLE = {"rad": 2 * np.pi, "deg": 360.0}
# channels; beyond this a window's covariance has more entries than the floor is worth
_WIDEST = 200


def _arrays(batch: "Batch") -> tuple[FloatArray, FloatArray]:
    """Samples and their validity (1 or 0), (batch, channel, time) and (batch, 1, time)."""
    return (
        batch.x.cpu().numpy().astype(np.float64),
        batch.time_mask.cpu().numpy()[:, None, :].astype(np.float64),
    )


@dataclass(frozen=True)
class Flat:
    """All samples in a row, channel after channel: (n, channel * time)."""

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        return np.asarray(batch.x.cpu().numpy().reshape(len(batch), -1))


@dataclass(frozen=True)
class Mean:
    """Mean of each channel over the window: (n, channel)."""

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        return np.asarray((x * valid).sum(2) / np.maximum(valid.sum(2), 1))


@dataclass(frozen=True)
class Counts:
    """Sum of each channel over the window: (n, channel)."""

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        return np.asarray((x * valid).sum(2))


@dataclass(frozen=True)
class Circular:
    """Cosines and sines of an angle, averaged over the window: (n, channel * 2 * harmonics).

    With a Poisson GLM these give the tuning curve of a head-direction or
    place-on-a-ring unit.

    Parameters
    ----------
    period : float
        Length of the circle in the stream's unit.
    n_harmonics : int
        Cosines and sines of 1 to this many times the angle; our default. The
        penalty decides how many are used.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> angle = Regular(np.full((1, 20), np.pi), 10, "rad", Axis(["angle"], "angle"), "behaviour")
    >>> w = windows(Recording({"angle": angle}), stream="angle", length_s=1)
    >>> (np.abs(Circular(n_harmonics=2)(w.batch([0]))) > 0.5).tolist()  # two cosines, two sines
    [[True, True, False, False]]
    """

    period: float = 2 * np.pi
    n_harmonics: int = 6

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        times = np.arange(1, self.n_harmonics + 1) * 2 * np.pi / self.period
        phase = x[:, :, None, :] * times[:, None]
        waves = np.stack([np.cos(phase), np.sin(phase)], axis=2) * valid[:, :, None, None, :]
        n = np.maximum(valid.sum(2), 1)[:, :, None, None]
        return np.asarray((waves.sum(4) / n).reshape(len(x), -1))


@dataclass(frozen=True)
class TimeBins:
    """Mean of each channel in consecutive bins: (n, channel * bin).

    Parameters
    ----------
    bin_s : float
        Width in seconds; a window's bins are made equal within one sample.
    """

    bin_s: float

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        n_times = x.shape[2]
        n_bins = min(max(1, round(n_times / (self.bin_s * batch.sfreq))), n_times)
        edges = np.round(np.linspace(0, n_times, n_bins + 1)).astype(int)[:-1]
        total = np.add.reduceat(x * valid, edges, axis=2)
        return np.asarray(
            (total / np.maximum(np.add.reduceat(valid, edges, axis=2), 1)).reshape(len(x), -1)
        )


def _log_band_power(
    x: FloatArray, valid: FloatArray, sfreq: float, bands: "tuple[tuple[float, float], ...]"
) -> FloatArray:
    """Natural logarithm of power in the bands that fit, (batch, channel, band)."""
    inside = _fitting(bands, x.shape[2], sfreq)
    if not inside:
        raise DataError(
            f"Windows of {x.shape[2] / sfreq:g} s at {sfreq:g} Hz hold none of the bands {bands}. "
            "Use longer windows or other bands."
        )
    # a missing sample counts as the window's mean
    x = (x - (x * valid).sum(2, keepdims=True) / np.maximum(valid.sum(2, keepdims=True), 1)) * valid
    named = {f"{a:g}-{b:g} Hz": (a, b) for a, b in inside}
    power = band_power(x, sfreq, named, length_s=x.shape[2] / sfreq)
    # a floor far below any signal keeps flat or absent channels finite
    return np.asarray(np.log(power + 1e-12 * np.maximum(power.max(), 1e-30)))


def _fitting(
    bands: "tuple[tuple[float, float], ...]", n_times: int, sfreq: float
) -> list[tuple[float, float]]:
    """Bands that a window resolves, cut off at the Nyquist frequency."""
    cut = [(a, min(b, sfreq / 2)) for a, b in bands]
    return [(a, b) for a, b in cut if b - a >= sfreq / n_times * (1 - 1e-9)]


@dataclass(frozen=True)
class BandPower:
    """Logarithm of each channel's power in bands: (n, channel * band).

    By :func:`neuro.signal.band_power` with one segment a window; a missing
    sample counts as the window's mean.

    Parameters
    ----------
    bands : tuple of (float, float)
        Edges in Hz, half-open; those that a window does not resolve are left
        out.
    """

    bands: tuple[tuple[float, float], ...] = BANDS

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        power = _log_band_power(*_arrays(batch), batch.sfreq, self.bands)
        return np.asarray(power.reshape(len(power), -1))


@dataclass(frozen=True)
class LaggedBandPower:
    """Logarithm of band power in consecutive bins: (n, bin * channel * band).

    With ridge regression this is the usual plain way from EEG to BOLD: each
    bin is a lag before the window's end.

    Parameters
    ----------
    bin_s : float
        Width in seconds; samples beyond the last whole bin, at the window's
        start, are left out.
    bands : tuple of (float, float)
        As in :class:`BandPower`.
    """

    bin_s: float
    bands: tuple[tuple[float, float], ...] = BANDS

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        n_bin = min(max(1, round(self.bin_s * batch.sfreq)), x.shape[2])
        n_bins = x.shape[2] // n_bin
        x, valid = (a[:, :, a.shape[2] - n_bins * n_bin :] for a in (x, valid))
        parts = [
            _log_band_power(a, v, batch.sfreq, self.bands)
            for a, v in zip(np.split(x, n_bins, 2), np.split(valid, n_bins, 2), strict=True)
        ]
        return np.asarray(np.stack(parts, axis=1).reshape(len(x), -1))


@dataclass(frozen=True)
class Connectivity:
    """Fisher z of the correlations between channels: (n, channel * (channel - 1) / 2).

    Pairs with a channel that is constant or absent are 0.
    """

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        x = (x - (x * valid).sum(2, keepdims=True) / np.maximum(valid.sum(2, keepdims=True), 1)) * (
            valid
        )
        size = np.sqrt((x * x).sum(2, keepdims=True))
        z = np.divide(x, size, out=np.zeros_like(x), where=size > 1e-12)
        upper = np.triu_indices(x.shape[1], 1)
        r = np.einsum("nct,ndt->ncd", z, z, optimize=True)[:, upper[0], upper[1]]
        return np.asarray(np.arctanh(np.clip(r, -0.999999, 0.999999)))


@dataclass(frozen=True)
class Floor:
    """A plain decoder.

    Parameters
    ----------
    name : str
        As in the results table.
    features : callable(Batch) -> ndarray, shape (n, n_features)
        Learns nothing.
    estimator : str
        ``"lda"`` (shrinkage), ``"logistic"``, ``"ridge"``, ``"tangent"``
        (the linear estimator around the mean covariance; takes Covariance
        features), ``"nearest"``, ``"constant"``, ``"poisson"`` (decodes from
        counts), ``"poisson_glm"`` (predicts counts).

    Examples
    --------
    >>> Floor("slow waves", TimeBins(0.5), "lda").describe()
    'slow waves: TimeBins(bin_s=0.5) + lda'
    """

    name: str
    features: Features
    estimator: Estimator

    def describe(self) -> str:
        """Features and estimator in words."""
        return f"{self.name}: {self.features!r} + {self.estimator}"

    def build(self, task: Task, seed: int) -> Any:
        """Estimator, not yet fitted, for a task."""
        from neuro.evaluate.probing.fitting import build

        return build(self.estimator, task, seed)


def floors_for(windows: Windows, task: Task, *, bin_s: float | None = None) -> list[Floor]:
    """Floors that apply to a modality and a task.

    Decoding from spikes is held against linear decoding of rates and Poisson
    naive Bayes, the inversion of a GLM. Predicting counts is held against
    Poisson GLMs on what the windows hold (an angle's harmonics, the units' own
    past, plain features of other signals) and against each unit's mean rate;
    the nearest window is no floor there, because the one zero it may have seen
    makes a spike impossible. For fMRI come predictors without any signal, where
    they are known and vary: age and sex, displacement, site.

    Parameters
    ----------
    windows : Windows
        What is decoded from.
    task : Task
        What is decoded.
    bin_s : float, optional
        Bin width in seconds of the time-bin floor; a tenth of the window
        if omitted.

    Returns
    -------
    list of Floor

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> rng = np.random.default_rng(0)
    >>> eeg = Regular(rng.normal(size=(2, 1000)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> w = windows(Recording({"eeg": eeg}), stream="eeg", length_s=1.0)
    >>> [f.name for f in floors_for(w, Task("classification", classes=("a", "b")))]
    ['band_power', 'tangent_covariance', 'time_bins', 'nearest', 'constant']
    """
    linear = _linear(task)
    bin_s = bin_s or windows.n_times / windows.sfreq / _N_BINS
    binned = Floor("time_bins", TimeBins(bin_s), linear)
    if windows.modality == "spikes":
        out, near = [Floor("rates", Counts(), linear)], cast(Features, Counts())
        if task.kind in ("classification", "circular"):
            out.append(Floor("naive_bayes_poisson", Counts(), "poisson"))
    elif windows.modality in _ELECTRIC:
        out, near = _electric(windows, task, linear, binned), binned.features
    elif windows.unit in _CIRCLE:
        near = Circular(_CIRCLE[windows.unit])
        out = [Floor("harmonics", near, linear)]
    else:
        out, near = [Floor("mean", Mean(), linear)], Mean()
        if windows.n_times >= 10 and len(windows.ch_names) >= 3:
            flat: Estimator = "logistic" if task.classified else linear
            out.append(Floor("connectivity", Connectivity(), flat))
            out += _tangent("tangent_connectivity", windows)
    angle = windows.modality != "spikes" and windows.unit in _CIRCLE
    if windows.modality not in _ELECTRIC and windows.n_times >= 2 and not angle:
        out.append(binned)  # when it happens in a window is as plain a feature as how much
    if task.kind != "counts":
        out.append(Floor("nearest", near, "nearest"))
    if windows.modality == "bold":
        plain: Estimator = "logistic" if task.classified else linear
        known = without_signal(windows)
        out += [Floor(name, cast(Features, table), plain) for name, table in known.items()]
    out.append(Floor("constant", Mean(), "constant"))
    return out


def _linear(task: Task) -> Estimator:
    if task.kind == "counts":
        return "poisson_glm"
    return "lda" if task.classified else "ridge"


def _electric(windows: Windows, task: Task, linear: Estimator, binned: Floor) -> list[Floor]:
    out: list[Floor] = []
    if len(_fitting(BANDS, windows.n_times, windows.sfreq)) >= 2:
        out.append(Floor("band_power", BandPower(), linear))
        out += _tangent("tangent_covariance", windows)
    out.append(binned)
    if not task.classified and windows.length_s >= 4 * _LAG_S:
        out.append(Floor("lagged_band_power", LaggedBandPower(_LAG_S), linear))
    return out


def _tangent(name: str, windows: Windows) -> list[Floor]:
    """One floor, or none where single windows say nothing about covariance."""
    if not 2 <= len(windows.ch_names) <= _WIDEST or windows.n_times < 10:
        return []
    return [_NAMED[name]]


_NAMED: dict[str, Floor] = {
    "band_power": Floor("band_power", BandPower(), "lda"),
    "time_bins": Floor("time_bins", TimeBins(0.1), "lda"),
    "tangent_covariance": Floor("tangent_covariance", Covariance(band=_SPAN), "tangent"),
    "tangent_connectivity": Floor("tangent_connectivity", Covariance(correlation=True), "tangent"),
    "lagged_band_power": Floor("lagged_band_power", LaggedBandPower(_LAG_S), "ridge"),
    "mean": Floor("mean", Mean(), "lda"),
    "harmonics": Floor("harmonics", Circular(), "lda"),
    "rates": Floor("rates", Counts(), "lda"),
    "connectivity": Floor("connectivity", Connectivity(), "logistic"),
    "naive_bayes_poisson": Floor("naive_bayes_poisson", Counts(), "poisson"),
    "nearest": Floor("nearest", Mean(), "nearest"),
    "constant": Floor("constant", Mean(), "constant"),
}


def get_floor(
    item: "str | Floor", windows: Windows, task: Task, *, bin_s: float | None = None
) -> Floor:
    """A floor by name, fitted to the task; a Floor is returned as it is.

    Raises
    ------
    ConfigError
        If there is no floor of that name.
    """
    if isinstance(item, Floor):
        return item
    if not isinstance(item, str) or item not in _NAMED:
        raise ConfigError(f"No floor {item!r}. {did_you_mean(str(item), _NAMED)}")
    floor = _NAMED[item]
    if item == "time_bins":
        floor = replace(floor, features=TimeBins(bin_s or windows.length_s / _N_BINS))
    if item == "harmonics":
        floor = replace(floor, features=Circular(_CIRCLE.get(windows.unit, 2 * np.pi)))
    linear = _linear(task)
    if floor.estimator == "ridge" or (floor.estimator in ("lda", "logistic") and linear != "lda"):
        floor = replace(floor, estimator=linear)
    return floor


def choose_floors(
    floors: "str | Sequence[str | Floor]",
    windows: Windows,
    task: Task,
    *,
    bin_s: float | None = None,
) -> list[Floor]:
    """Floors of a run: the automatic ones, or those listed."""
    if isinstance(floors, str):
        if floors == "auto":
            return floors_for(windows, task, bin_s=bin_s)
        floors = [floors]
    chosen = [get_floor(item, windows, task, bin_s=bin_s) for item in floors]
    names = [f.name for f in chosen]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ConfigError(f"Two floors are called {twice[0]!r}; give each its own name.")
    return chosen
