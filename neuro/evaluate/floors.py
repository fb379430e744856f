"""Floors: the plain decoders that a network has to beat.

A floor is a function of single windows (features, nothing learned) and a
scikit-learn estimator that is fitted on the training part. Which floors apply
follows from modality and task; they are always computed, never chosen by
their score.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.task import Task
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Batch

__all__ = [
    "BandPower",
    "Connectivity",
    "Counts",
    "Flat",
    "Floor",
    "Mean",
    "TimeBins",
    "floors_for",
    "get_floor",
]

Estimator = Literal["lda", "logistic", "ridge", "nearest", "constant", "poisson"]

# Hz; the usual names, our edges. Bands above Nyquist or narrower than the
# window resolves are left out.
BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
# Bins a window when no width is given; our default. Between 7 and 20 bins the
# score on evoked and slow potentials of 0.5 to 4 s hardly changes.
_N_BINS = 10


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


@dataclass(frozen=True)
class BandPower:
    """Logarithm of each channel's power in bands: (n, channel * band).

    Mean periodogram (Hann window, mean removed); a missing sample counts as
    the window's mean.

    Parameters
    ----------
    bands : tuple of (float, float)
        Edges in Hz, half-open.
    """

    bands: tuple[tuple[float, float], ...] = BANDS

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x, valid = _arrays(batch)
        n_times = x.shape[2]
        x = (x - (x * valid).sum(2, keepdims=True) / np.maximum(valid.sum(2, keepdims=True), 1)) * (
            valid * np.hanning(n_times + 2)[1:-1]
        )
        power = np.abs(np.fft.rfft(x, axis=2)) ** 2
        freq = np.fft.rfftfreq(n_times, 1 / batch.sfreq)
        masks = [(freq >= a) & (freq < b) for a, b in self.bands]
        inside = [m for m in masks if m.any()]
        if not inside:
            raise DataError(
                f"Windows of {n_times / batch.sfreq:g} s at {batch.sfreq:g} Hz hold none of the "
                f"bands {self.bands}. Use longer windows or other bands."
            )
        bands = np.stack([power[:, :, m].mean(2) for m in inside], axis=2)
        # a floor far below any signal keeps flat or absent channels finite
        tiny = 1e-12 * np.maximum(bands.max(), 1e-30)
        return np.asarray(np.log(bands + tiny).reshape(len(x), -1))


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


Features = Callable[["Batch"], FloatArray]


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
        ``"lda"`` (shrinkage), ``"logistic"``, ``"ridge"``, ``"nearest"``,
        ``"constant"``, ``"poisson"``.

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
        from neuro.evaluate.probes import build

        return build(self.estimator, task, seed)


def floors_for(windows: Windows, task: Task, *, bin_s: float | None = None) -> list[Floor]:
    """Floors that apply to a modality and a task.

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
    ['band_power', 'time_bins', 'nearest', 'constant']
    """
    linear: Estimator = "lda" if task.kind == "classification" else "ridge"
    bin_s = bin_s or windows.n_times / windows.sfreq / _N_BINS
    binned = Floor("time_bins", TimeBins(bin_s), linear)
    n, n_chans = windows.n_times, len(windows.ch_names)
    if windows.modality == "spikes":
        out = [Floor("rates", Counts(), linear)]
        if task.kind in ("classification", "circular"):
            out.append(Floor("naive_bayes_poisson", Counts(), "poisson"))
        near: Features = Counts()
    elif windows.modality in ("eeg", "meg", "ieeg", "lfp"):
        out = [Floor("band_power", BandPower(), linear)] if _resolves(windows) else []
        out.append(binned)
        near = binned.features
    else:
        out = [Floor("mean", Mean(), linear)]
        if n >= 10 and n_chans >= 3:
            flat: Estimator = "logistic" if task.kind == "classification" else "ridge"
            out.append(Floor("connectivity", Connectivity(), flat))
        near = Mean()
    if windows.modality not in ("eeg", "meg", "ieeg", "lfp") and n >= 4 * _N_BINS:
        out.append(binned)
    out.append(Floor("nearest", near, "nearest"))
    out.append(Floor("constant", Mean(), "constant"))
    return out


def _resolves(windows: Windows) -> bool:
    """Whether a window is long enough to tell at least two of the bands apart."""
    freq = np.fft.rfftfreq(windows.n_times, 1 / windows.sfreq)
    return sum(bool(((freq >= a) & (freq < b)).any()) for a, b in BANDS) >= 2


_NAMED: dict[str, Floor] = {
    "band_power": Floor("band_power", BandPower(), "lda"),
    "time_bins": Floor("time_bins", TimeBins(0.1), "lda"),
    "mean": Floor("mean", Mean(), "lda"),
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
    if task.kind != "classification" and floor.estimator in ("lda", "logistic"):
        floor = replace(floor, estimator="ridge")
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
