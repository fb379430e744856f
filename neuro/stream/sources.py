"""Where live samples come from: an array, a recording played again, a stream (`lsl`)."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stream.info import StreamInfo
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording, Regular

__all__ = ["Array", "Chunk", "Replay", "Source", "recorded_segments"]


class Chunk(NamedTuple):
    """What a source has received since the last time."""

    data: FloatArray  # (n_chans, n)
    stamps: FloatArray  # (n,): seconds on the session clock
    markers: tuple[tuple[float, str], ...]  # time and label of each cue


class Source(Protocol):
    """A stream of samples and cues."""

    @property
    def info(self) -> StreamInfo:
        """Channels, rate and unit."""

    def pull(self, timeout_s: float = 0.1) -> Chunk | None:
        """What has arrived; may be empty. None when the source is at its end."""

    def clock(self) -> float:
        """Now, on the clock of the stamps."""

    def close(self) -> None:
        """Give back what is held."""


class Array:
    """Samples in memory, handed out in chunks of any size; for tests and scripts.

    Parameters
    ----------
    data : array, shape (n_chans, n_times)
        Samples.
    info : StreamInfo
        What they are.
    cues : sequence of (int, str)
        Sample and label of each cue.
    chunk : int
        Samples handed out at a time.
    gaps : sequence of (int, int)
        From each of these samples on, that many are withheld, as if lost.

    Examples
    --------
    >>> source = Array(np.zeros((1, 5)), StreamInfo(("Cz",), 100, "uV"), chunk=3)
    >>> [source.pull().data.shape, source.pull().data.shape, source.pull()]
    [(1, 3), (1, 2), None]
    """

    def __init__(
        self,
        data: AnyArray,
        info: StreamInfo,
        cues: Sequence[tuple[int, str]] = (),
        *,
        chunk: int = 32,
        gaps: Sequence[tuple[int, int]] = (),
    ) -> None:
        if chunk < 1:
            raise ConfigError(f"chunk={chunk} must be at least 1.")
        self.info = info
        self._data, self._chunk = np.asarray(data), chunk
        if self._data.ndim != 2 or len(self._data) != len(info.ch_names):
            raise DataError(
                f"Data of shape {self._data.shape} do not have {len(info.ch_names)} channels."
            )
        kept = np.ones(self._data.shape[1], dtype=bool)
        for start, n in gaps:
            kept[start : start + n] = False
        self._kept = np.flatnonzero(kept)
        self._cues = sorted(cues)
        self._at = 0

    def pull(self, timeout_s: float = 0.1) -> Chunk | None:
        """The next chunk; None at the end."""
        here = self._kept[self._at : self._at + self._chunk]
        if not len(here):
            return None
        self._at += len(here)
        last = float(here[-1]) if self._at < len(self._kept) else np.inf
        due = [cue for cue in self._cues if cue[0] <= last]
        self._cues = self._cues[len(due) :]
        rate = float(self.info.sfreq)
        return Chunk(self._data[:, here], here / rate, tuple((s / rate, name) for s, name in due))

    def clock(self) -> float:
        """Time of the last sample handed out."""
        seen = self._kept[: max(1, self._at)]
        return float(seen[-1]) / float(self.info.sfreq) if len(seen) else 0.0

    def close(self) -> None:
        """Nothing is held."""


class Replay:
    """A recording played again, at its own pace or as fast as it is asked for.

    Parameters
    ----------
    recording : Recording
        With one signal, or name it.
    stream : str, optional
        Which signal.
    speed : float
        1 is real time; inf hands out a chunk whenever asked.
    chunk_s : float
        Seconds in a chunk, as an amplifier would deliver them.

    Examples
    --------
    >>> from neuro.datasets import synthetic
    >>> recording = synthetic.eeg(seed=0, n_subjects=1).recordings[0]
    >>> Replay(recording, speed=np.inf).pull().data.shape[0] == len(recording.streams["eeg"].axis)
    True
    """

    def __init__(
        self,
        recording: "Recording",
        *,
        stream: str | None = None,
        speed: float = 1.0,
        chunk_s: float = 0.04,
    ) -> None:
        if not speed > 0 or not chunk_s > 0:
            raise ConfigError(f"speed={speed} and chunk_s={chunk_s} must be positive.")
        self.info, segments = recorded_segments(recording, stream)
        self._chunk = max(1, round(chunk_s * float(self.info.sfreq)))
        self._speed = speed
        self._began: float | None = None
        self._chunks = self._cut(segments)
        self._last = 0.0

    def _cut(self, segments: "Sequence[Segment]") -> Iterator[Chunk]:
        rate = float(self.info.sfreq)
        for segment in segments:
            n = segment.data.shape[1]
            for start in range(0, n, self._chunk):
                stop = min(n, start + self._chunk)
                due = [(s, c) for s, c in segment.cues if start <= s < stop]
                stamps = (segment.first + np.arange(start, stop)) / rate
                marks = tuple(((segment.first + s) / rate, c) for s, c in due)
                yield Chunk(segment.data[:, start:stop], stamps, marks)

    def pull(self, timeout_s: float = 0.1) -> Chunk | None:
        """The next chunk, when its time has come; None at the end."""
        found = next(self._chunks, None)
        if found is None:
            return None
        self._last = float(found.stamps[-1])
        if np.isfinite(self._speed):
            if self._began is None:
                self._began = time.monotonic() - float(found.stamps[0]) / self._speed
            wait = self._began + self._last / self._speed - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        return found

    def clock(self) -> float:
        """Now, in seconds of the recording."""
        if self._began is None:
            return self._last
        return (time.monotonic() - self._began) * self._speed

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Segment(NamedTuple):
    """A stretch of a recording without a gap."""

    data: FloatArray
    cues: list[tuple[int, str]]  # sample in the segment, label
    first: int  # sample of the recording with which it begins


def recorded_segments(
    recording: "Recording", stream: str | None = None
) -> tuple[StreamInfo, list[Segment]]:
    """A recording as a stream would deliver it: info, and stretches between gaps.

    Parameters
    ----------
    recording : Recording
        With events as cues.
    stream : str, optional
        Which signal; needed if there are several.

    Returns
    -------
    info : StreamInfo
    segments : list of Segment
        Data (n_chans, n), the cues inside, and the first sample's number.

    Raises
    ------
    DataError
        If there is no signal, or several and none is named.
    """
    name, signal = _signal(recording, stream)
    info = StreamInfo(
        tuple(signal.axis.names), signal.rate, signal.unit, recording.id or name, recording.id
    )
    onsets, labels = _cues(recording, name, signal)
    out = []
    for start, stop in np.asarray(signal.segments).tolist():
        inside = (onsets >= start) & (onsets < stop)
        cues = [
            (int(s) - start, str(c))
            for s, c in zip(onsets[inside], labels[inside], strict=True)
        ]  # fmt: skip
        out.append(Segment(np.asarray(signal.read(start, stop), np.float64), cues, start))
    return info, out


def _signal(recording: "Recording", stream: str | None) -> "tuple[str, Regular]":
    from neuro.data import Regular

    found = {k: s for k, s in recording.streams.items() if isinstance(s, Regular)}
    if stream is not None:
        if stream not in found:
            raise DataError(f"No signal {stream!r}; there are {', '.join(found) or 'none'}.")
        return stream, found[stream]
    brain = {k: s for k, s in found.items() if s.modality in ("eeg", "meg", "ieeg")} or found
    if len(brain) != 1:
        raise DataError(f"Name one signal of {', '.join(found) or 'none'} with stream=.")
    return next(iter(brain.items()))


def _cues(recording: "Recording", name: str, signal: "Regular") -> tuple[AnyArray, AnyArray]:
    """Samples and labels of the events; a cue between samples goes to the nearest."""
    events = recording.session_events()
    onset = recording.clock(name).to_stream(events.onset_s)
    sample = np.round((onset - signal.t0_s) * float(signal.rate)).astype(np.int64)
    return sample, np.asarray(events.type)
