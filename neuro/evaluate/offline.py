"""The labelled data sets that need no account: what is decoded from each, and how it is split.

One table serves the demo, the benchmark suite and the tests, so that a score
quoted anywhere comes from the same windows and the same split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neuro.data import Events, InputContract, Irregular, Recording, Regular, Windows, windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.splitting import Split
from neuro.evaluate.task import Kind

__all__ = ["OFFLINE", "SIMULATED", "OfflineTask", "StreamTarget", "offline_task"]


@dataclass(frozen=True)
class StreamTarget:
    """Label of a window: the mean of another stream over it.

    Parameters
    ----------
    stream : str
        The stream; its first row is used.
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
    """

    stream: str
    circular: bool = False

    def __call__(self, recording: Recording, start_s: float, stop_s: float) -> float:
        """Mean over [start_s, stop_s) of session time; NaN if that is not all covered."""
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


@dataclass(frozen=True)
class OfflineTask:
    """One decoding problem on one data set.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    title : str
        What is decoded, in words.
    cut : callable
        Recordings of the data set to labelled windows.
    split : Split
        What is held out.
    kind : {"classification", "circular"}
        Kind of target.
    bin_s : float, optional
        Width of the time bins of the floor, in seconds.
    """

    dataset: str
    title: str
    cut: Callable[[Sequence[Recording]], Windows]
    split: Split
    kind: Kind = "classification"
    bin_s: float | None = None


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


def _spikes_awake(rec: Recording) -> Regular:
    spikes, angle = rec.stream("spikes"), rec.regular("head_angle")
    if not isinstance(spikes, Irregular):
        raise DataError(f"Stream 'spikes' of {rec.id!r} holds no spike times.")
    return spikes.slice(angle.t0_s, angle.stop_s).bin(0.05)


OFFLINE: dict[str, OfflineTask] = {
    task.dataset: task
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
        OfflineTask("gdf_mi", "left or right hand, imagined, on cue", _cued, Split("block", n=8)),
        OfflineTask(
            "pain122",
            "painful heat or the rest before it, 33 people",
            _heat_and_rest,
            Split("subject", n=5),
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
    task.dataset: task
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
    )
}


def simulate(name: str, seed: int) -> list[Recording]:
    """Recordings of one of the simulated tasks.

    Parameters
    ----------
    name : str
        Key of `SIMULATED`.
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
    """The decoding problem of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.

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
