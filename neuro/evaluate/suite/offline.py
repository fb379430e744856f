"""The labelled data sets that need no account: what is decoded from each, and how it is split.

One table serves the demo, the benchmark suite and the tests, so that a score
quoted anywhere comes from the same windows and the same split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuro.data import Events, InputContract, Irregular, Recording, Regular, Windows, windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.contenders.floors import Flat, Floor
from neuro.evaluate.contenders.forecasting import NextSample
from neuro.evaluate.splitting import Split
from neuro.evaluate.task import Kind
from neuro.typing import FloatArray

__all__ = ["OFFLINE", "SIMULATED", "OfflineTask", "StreamTarget", "offline_task"]


@dataclass(frozen=True)
class StreamTarget:
    """Label of a window: the mean of another stream over it, or its spike counts.

    Of a sampled stream the mean of the first row. Of spike times the number
    of spikes of every unit, (n_units,), for ``task="counts"``: the window's
    own stream (behaviour, a stimulus, other units) is what predicts them. To
    predict counts from the units' own past, bin them and use
    :func:`neuro.data.pair` with both streams the same.

    Parameters
    ----------
    stream : str
        The stream.
    circular : bool
        Mean direction of an angle in radians, in (-pi, pi].

    Examples
    --------
    >>> from neuro.data import Axis, Regular
    >>> axis = Axis(["angle"], "angle")
    >>> a = Regular(np.full((1, 100), 6.2), 10, "rad", axis, "behaviour")
    >>> rec = Recording({"angle": a})
    >>> round(StreamTarget("angle", circular=True)(rec, 1.0, 2.0), 4)
    -0.0832
    >>> spikes = Irregular([0.5, 0.6, 1.5], [0, 1, 1], Axis(["u0", "u1"], "unit"), [(0, 3)])
    >>> StreamTarget("spikes")(Recording({"spikes": spikes}), 0.0, 1.0).tolist()
    [1.0, 1.0]
    """

    stream: str
    circular: bool = False

    def __call__(self, recording: Recording, start_s: float, stop_s: float) -> float | FloatArray:
        """Mean or counts over [start_s, stop_s) of session time; NaN if not all covered."""
        stream = recording.stream(self.stream)
        if isinstance(stream, Irregular):
            clock = recording.clock(self.stream)
            return _counts(stream, *(float(clock.to_stream(t)) for t in (start_s, stop_s)))
        signal, clock = recording.regular(self.stream), recording.clock(self.stream)
        a, b = (signal.index(float(clock.to_stream(t))) for t in (start_s, stop_s))
        if a < 0 or b > signal.n_times or b <= a:
            return float("nan")
        x = signal.read(a, b)[0].astype(np.float64)
        x = x[np.isfinite(x)]
        if not len(x):
            return float("nan")
        if self.circular:
            return float(np.angle(np.exp(1j * x).mean()))
        return float(x.mean())


def _counts(spikes: Irregular, start_s: float, stop_s: float) -> FloatArray:
    """Spikes of every unit in [start_s, stop_s); NaN where they could not all be seen."""
    # a thousandth of a millisecond is rounding between clocks
    seen = (spikes.support[:, 0] <= start_s + 1e-6) & (spikes.support[:, 1] >= stop_s - 1e-6)
    if not seen.any():
        return np.full(len(spikes.units), np.nan)
    a, b = np.searchsorted(spikes.times_s, [start_s, stop_s])
    return np.bincount(spikes.unit_index[a:b], minlength=len(spikes.units)).astype(np.float64)


@dataclass(frozen=True)
class OfflineTask:
    """One problem on one data set.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    title : str
        What is predicted, in words.
    cut : callable
        Recordings of the data set to labelled windows.
    split : Split
        What is held out.
    kind : {"classification", "circular", "counts", "regression"}
        Kind of target.
    bin_s : float, optional
        Width of the time bins of the floor, in seconds.
    floors : "auto" or tuple of str or Floor
        As in :func:`neuro.evaluate.evaluate`.
    configs : mapping of str to mapping
        Registered network -> fields of its configuration on these windows,
        where its own choice would cost more than it brings.
    name : str
        In the suite's table; that of the data set if omitted.
    """

    dataset: str
    title: str
    cut: Callable[[Sequence[Recording]], Windows]
    split: Split
    kind: Kind = "classification"
    bin_s: float | None = None
    floors: str | tuple[str | Floor, ...] = "auto"
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.dataset)


@dataclass(frozen=True)
class _Trials:
    """Whole trials, labelled by the event that starts each."""

    stream: str = "eeg"

    def __call__(self, recordings: Sequence[Recording]) -> Windows:
        return windows(recordings, stream=self.stream, align="*", label="type")


def _cued(recordings: Sequence[Recording]) -> Windows:
    """Four seconds of imagery after a left or right cue."""
    return windows(
        recordings,
        stream="eeg",
        align=["left", "right"],
        offset_s=0.5,
        length_s=4.0,
        label="type",
    )


def _heat_and_rest(recordings: Sequence[Recording]) -> Windows:
    """Ten seconds from 4 s after the onset of heat, and the ten ending 2 s after it.

    The haemodynamic response starts some two seconds after its cause, so the
    second window holds what went before. Series are z-scored by run.
    """
    out = []
    for rec in recordings:
        heat = rec.session_events().select(type="heat")
        onset = np.concatenate([heat.onset_s + 4.0, heat.onset_s - 8.0])
        kind = np.repeat(["heat", "rest"], len(heat))
        start, stop = rec.span_s
        inside = (onset >= start) & (onset < stop)
        events = Events.make(
            onset[inside], kind[inside], duration_s=10.0, block=np.tile(heat.block, 2)[inside]
        )
        out.append(rec.replace(events=events))
    scaled = [_zscored(rec) for rec in out]
    return windows(scaled, stream="bold", length_s=10.0, align=["heat", "rest"], label="type")


def _viewing(recordings: Sequence[Recording]) -> Windows:
    """Single volumes of object viewing, labelled by category; rest is left out."""
    scaled = [_zscored(rec) for rec in recordings]
    index = windows(scaled, stream="bold", length_s=2.5, label="type")
    return index.select(index.labelled)


def _zscored(rec: Recording) -> Recording:
    signal = rec.regular("bold")
    contract = InputContract(
        modality="bold", sfreq=signal.rate, unit=signal.unit, scaling="zscore_segments"
    )
    return contract.conform(rec, "bold")


def _head_angle(recordings: Sequence[Recording]) -> Windows:
    """Half-second counts in bins of 50 ms while the animal runs, with its head angle."""
    binned = [rec.with_stream("counts", _spikes_awake(rec), "bin 0.05 s") for rec in recordings]
    index = windows(
        binned, stream="counts", length_s=0.5, label=StreamTarget("head_angle", circular=True)
    )
    return index.select(index.labelled)


def _spike_counts(recordings: Sequence[Recording]) -> Windows:
    """Fifths of a second of the head's angle, with the spikes of every unit in them."""
    index = windows(recordings, stream="head_angle", length_s=0.2, label=StreamTarget("spikes"))
    return index.select(index.labelled)


def _next_counts(recordings: Sequence[Recording]) -> Windows:
    """Half a second of counts in bins of 50 ms, with the counts of the bin after it."""
    binned = [rec.with_stream("counts", _spikes_awake(rec), "bin 0.05 s") for rec in recordings]
    return NextSample("counts", 10, every=5)(binned)


def _spikes_awake(rec: Recording) -> Regular:
    spikes, angle = rec.stream("spikes"), rec.regular("head_angle")
    if not isinstance(spikes, Irregular):
        raise DataError(f"Stream 'spikes' of {rec.id!r} holds no spike times.")
    return spikes.slice(angle.t0_s, angle.stop_s).bin(0.05)


# what forecasts are held against: every lag of every channel, and the mean
_FORECASTS = (Floor("lags", Flat(), "ridge"), "constant")

OFFLINE: dict[str, OfflineTask] = {
    task.name: task
    for task in (
        OfflineTask(
            "scp1",
            "cortical negativity or positivity, one person",
            _Trials(),
            Split("run", test="test"),
            bin_s=0.5,
        ),
        OfflineTask(
            "scp2",
            "cortical negativity or positivity, a person without control of it",
            _Trials(),
            Split("run", test="test"),
            bin_s=0.5,
        ),
        OfflineTask(
            "finger",
            "left or right hand before a key press",
            _Trials(),
            Split("run", test="test"),
            bin_s=0.05,
        ),
        OfflineTask(
            "blink", "short or long blink", _Trials(), Split("run", test="test"), bin_s=0.2
        ),
        OfflineTask(
            "hmd",
            "direction of a wrist movement, from MEG",
            _Trials("meg"),
            Split("run", test="test"),
            bin_s=0.0625,
        ),
        OfflineTask("eyes", "eyes open or shut", _Trials(), Split("run", test="test")),
        OfflineTask(
            "eyes",
            "next sample of fourteen channels of EEG",
            NextSample("eeg", 20, every=4),
            Split("run", test="test"),
            kind="regression",
            floors=_FORECASTS,
            name="eyes_next_sample",
        ),
        OfflineTask("gdf_mi", "left or right hand, imagined, on cue", _cued, Split("block", n=8)),
        OfflineTask(
            "pain122",
            "painful heat or the rest before it, 33 people",
            _heat_and_rest,
            Split("subject", n=5),
            # one token a region: attention costs a fifth of that over three patches each
            configs={"patch_mae": {"patch_times": 5}},
        ),
        OfflineTask(
            "haxby_slice",
            "category of the object seen, one slice",
            _viewing,
            Split("block", n="leave-one-out"),
        ),
        OfflineTask(
            "head_direction",
            "where a mouse's head points, from 15 units",
            _head_angle,
            Split("time", test=0.5),
            kind="circular",
        ),
        OfflineTask(
            "head_direction",
            "spikes of 15 units, from where a mouse's head points",
            _spike_counts,
            Split("time", test=0.5),
            kind="counts",
            name="head_direction_spikes",
        ),
        OfflineTask(
            "head_direction",
            "spikes of 15 units in the next 50 ms, from their last half second",
            _next_counts,
            Split("time", test=0.5),
            kind="counts",
            name="head_direction_next_spikes",
        ),
    )
}


def _imagined(recordings: Sequence[Recording]) -> Windows:
    """Two seconds from each cue."""
    return windows(recordings, stream="eeg", align="*", length_s=2.0, label="type")


def _blocks(recordings: Sequence[Recording]) -> Windows:
    """Sixteen seconds from 4 s after a block's onset: the response lags its cause."""
    return windows(recordings, stream="bold", align="*", offset_s=4.0, length_s=16.0, label="type")


# the same kinds of problem where the truth is known: made when asked for, by
# neuro.datasets.synthetic
SIMULATED: dict[str, OfflineTask] = {
    task.name: task
    for task in (
        OfflineTask(
            "synthetic_eeg",
            "left or right hand, imagined, eight simulated people",
            _imagined,
            Split("subject", n=4),
        ),
        OfflineTask(
            "synthetic_fmri_roi",
            "task or rest, twelve simulated people",
            _blocks,
            Split("subject", test=0.25),
        ),
        OfflineTask(
            "synthetic_spikes",
            "where a simulated head points",
            _head_angle,
            Split("time", test=0.5),
            kind="circular",
        ),
        OfflineTask(
            "synthetic_spikes",
            "spikes of simulated units, from where a head points",
            _spike_counts,
            Split("time", test=0.5),
            kind="counts",
            name="synthetic_spikes_encoded",
        ),
    )
}


def simulate(name: str, seed: int) -> list[Recording]:
    """Recordings of one of the simulated tasks.

    Parameters
    ----------
    name : str
        Data set of a task in `SIMULATED`.
    seed : int
        Of the simulator.

    Returns
    -------
    list of Recording
    """
    from neuro.datasets import synthetic

    if name == "synthetic_eeg":
        return list(synthetic.eeg(seed=seed, n_subjects=8).recordings)
    if name == "synthetic_fmri_roi":
        # a weak response: at the simulator's own height there is nothing to compare
        return list(synthetic.fmri_roi(seed=seed, task_effect=0.3).recordings)
    return list(synthetic.spikes(seed=seed).recordings)


def offline_task(name: str) -> OfflineTask:
    """A problem of the suite.

    Parameters
    ----------
    name : str
        Name of the data set, or of a second problem on it.

    Returns
    -------
    OfflineTask

    Raises
    ------
    ConfigError
        If none is defined for it.

    Examples
    --------
    >>> str(offline_task("scp1").split)
    'run test held out'
    """
    known = {**OFFLINE, **SIMULATED}
    if name not in known:
        raise ConfigError(f"No offline task on {name!r}. {did_you_mean(name, known)}")
    return known[name]
