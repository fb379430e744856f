"""From samples to features: trials after cues, and running windows, in one pass.

Offline, a recording is pushed whole; live, chunk by chunk. Both are this code.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.data.units import conversion_factor, unit_name
from neuro.errors import ConfigError, ContractError, DataError, did_you_mean
from neuro.stream.buffer import RingBuffer
from neuro.stream.chain import Chain, matched
from neuro.stream.features import Family, Table, family_from_json
from neuro.stream.info import CLOCK_ERROR, StreamInfo
from neuro.stream.sources import recorded_segments
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Extracted", "Extractor", "Plan"]

# far beyond any paradigm; a wrong number in a file must not ask for all the memory
_LONGEST_S, _MOST_WINDOWS, _MOST_SAMPLES = 3600.0, 100_000, 1_000_000


@dataclass(frozen=True)
class Plan:
    """Which stretches of signal are looked at.

    Parameters
    ----------
    start_s, stop_s : float
        Trial, in seconds after its cue. HappyFeat's: 1 s after the cue, 3 s long.
    length_s, step_s : float
        Sliding windows inside a trial; HappyFeat's 0.25 s every 0.161 s are 18 in
        3 s.
    running_s : float, optional
        Without cues too: every `step_s`, the windows of the last `running_s`
        seconds together; None for none, 0 for as long as a trial.

    Examples
    --------
    >>> Plan().starts(250).tolist()[:3], len(Plan().starts(250))
    ([0, 40, 80], 18)
    """

    start_s: float = 1.0
    stop_s: float = 4.0
    length_s: float = 0.25
    step_s: float = 0.161
    running_s: float | None = None

    def __post_init__(self) -> None:
        if not self.stop_s - self.start_s >= self.length_s > 0:
            raise ConfigError(
                f"A trial from {self.start_s:g} to {self.stop_s:g} s does not hold a window of "
                f"{self.length_s:g} s."
            )
        if not 0 < self.step_s <= _LONGEST_S:
            raise ConfigError(f"step_s={self.step_s} must be positive, and below an hour.")
        if self.running_s is not None and not self.running_s >= 0:
            raise ConfigError(f"running_s={self.running_s} must not be negative.")
        longest = max(abs(self.start_s), abs(self.stop_s), self.running_s or 0)
        if not longest <= _LONGEST_S or longest / self.step_s > _MOST_WINDOWS:
            raise ConfigError(
                f"Windows every {self.step_s:g} s over {longest:g} s: possible are "
                f"{_LONGEST_S:g} s and {_MOST_WINDOWS} windows at most."
            )
        if self.running_s and self.running_s < self.length_s:
            raise ConfigError(f"running_s={self.running_s:g} is shorter than a window.")

    def n_times(self, sfreq: float) -> int:
        """Samples of a window."""
        return max(1, round(self.length_s * sfreq))

    def starts(self, sfreq: float) -> AnyArray:
        """First samples of the windows of a trial, counted from the trial's first."""
        total = round((self.stop_s - self.start_s) * sfreq)
        return self._starts(total, sfreq)

    def running_starts(self, sfreq: float) -> int:
        """Windows that one running value looks at; 0 without running values."""
        if self.running_s is None:
            return 0
        span = self.running_s or self.stop_s - self.start_s
        return len(self._starts(round(span * sfreq), sfreq))

    def _starts(self, total: int, sfreq: float) -> AnyArray:
        n = int(np.floor((total - self.n_times(sfreq)) / (self.step_s * sfreq) + 1e-9)) + 1
        return np.round(np.arange(max(1, n)) * self.step_s * sfreq).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The plan that :meth:`to_json` wrote."""
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(f"A plan has no field {key!r}. {did_you_mean(key, known)}")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Extracted:
    """Features of one trial, or of the last windows of a running signal.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        Named by the family's table; NaN where no window was usable.
    label : str
        Of the cue; "" for running values.
    start, stop : int
        Samples of the chain's output since the last gap, half-open.
    segment : int
        Gaps before it.
    n_windows, n_dropped : int
        Windows used, and left out because samples were missing.
    """

    values: FloatArray
    label: str
    start: int
    stop: int
    segment: int
    n_windows: int
    n_dropped: int

    @property
    def usable(self) -> bool:
        """Whether any window could be used."""
        return bool(np.isfinite(self.values).all())


@dataclass
class _Trial:
    start: int
    label: str


class Extractor:
    """Features of a stream, with the state they need.

    Parameters
    ----------
    chain : Chain
        Signal steps; the extractor takes it over.
    plan : Plan
        Trials and windows.
    family : Family
        What is computed of a window.
    unit : str
        Unit of the samples it is made for.
    history_s : float
        How long samples are kept for cues that arrive late.

    Examples
    --------
    >>> from neuro.stream.features import Power
    >>> live = Extractor(Chain(["C3", "C4"], 250), Plan(0, 1), Power())
    >>> live.mark(10, "left")
    >>> found = live.push(np.random.default_rng(0).standard_normal((2, 300)))
    >>> found[0].label, found[0].start, found[0].n_windows, found[0].values.shape
    ('left', 10, 5, (2, 37))
    """

    def __init__(
        self,
        chain: Chain,
        plan: Plan,
        family: Family,
        *,
        unit: str = "uV",
        history_s: float = 10.0,
    ) -> None:
        self.chain, self.plan, self.unit = chain, plan, unit_name(unit)
        self._rows: list[int] | None = None
        self._width = 0
        self._factor = 1.0
        fs = float(chain.sfreq)
        if plan.n_times(fs) > _MOST_SAMPLES:
            raise ConfigError(f"A window of {plan.length_s:g} s at {fs:g} Hz is too long.")
        self.family = family.fitted(chain.ch_names, fs, plan.n_times(fs))
        self._length = plan.n_times(fs)
        self._starts = plan.starts(fs)
        self._offset = round(plan.start_s * fs)
        self._n_running = plan.running_starts(fs)
        self._history = round(history_s * fs)
        self.segment = -1
        self.reset()

    @property
    def table(self) -> Table:
        """Names of rows and columns of the values."""
        return self.family.table

    @property
    def info(self) -> StreamInfo:
        """What a stream must be to be read as it is."""
        return StreamInfo(self.chain.ch_names_in, self.chain.sfreq_in, self.unit)

    def attach(self, info: StreamInfo) -> list[str]:
        """Prepare for a stream: channels are found by name, units converted.

        Parameters
        ----------
        info : StreamInfo
            Of the stream.

        Returns
        -------
        list of str
            What is done to its samples; empty if nothing.

        Raises
        ------
        ContractError
            Missing channels, another rate, or a unit that cannot be converted.
        """
        wanted = self.info
        if abs(info.sfreq / wanted.sfreq - 1) > CLOCK_ERROR:
            raise ContractError(
                f"The stream has {float(info.sfreq):g} Hz, this was trained at "
                f"{float(wanted.sfreq):g} Hz. Set the amplifier to that rate, or train again."
            )
        try:
            self._factor = conversion_factor(info.unit, wanted.unit)
        except ValueError as error:
            raise ContractError(
                f"The stream is in {info.unit!r}, this was trained in {wanted.unit!r}: {error}"
            ) from error
        try:
            found = matched(info.ch_names, wanted.ch_names)
        except DataError as error:
            raise ContractError(
                f"The stream does not have the channels this was trained on. {error} Needed are "
                f"{', '.join(wanted.ch_names[:12])}{' …' if len(wanted.ch_names) > 12 else ''}."
            ) from error
        self._width = len(info.ch_names)
        self._rows = [info.ch_names.index(name) for name in found]
        done = []
        if self._rows != list(range(len(info.ch_names))):
            done.append(f"takes {len(self._rows)} of {len(info.ch_names)} channels by name")
        if info.sfreq != wanted.sfreq:
            done.append(f"takes {float(info.sfreq):.3f} Hz as {float(wanted.sfreq):g} Hz")
        if self._factor != 1:
            done.append(f"converts {info.unit} to {wanted.unit}")
        self.reset()
        return done

    def reset(self) -> None:
        """Start anew after a gap: cues that wait are given up, windows too."""
        self.chain.reset()
        self.segment += 1
        self.n_pushed = 0  # samples into the chain since the gap
        self._kept = RingBuffer(len(self.chain.ch_names))
        self._waiting: list[_Trial] = []
        self._next = 0  # running window that comes next
        self._parts: deque[AnyArray | None] = deque(maxlen=max(1, self._n_running))

    @property
    def waiting(self) -> int:
        """Cues whose trial is not over yet."""
        return len(self._waiting)

    def mark(self, sample: int, label: str) -> None:
        """A cue at a sample of the input, counted since the last gap.

        Parameters
        ----------
        sample : int
            May lie in the past, as far as the history reaches, or ahead.
        label : str
            What the cue says.

        Raises
        ------
        DataError
            If the samples of that trial are gone.
        """
        start = self._begin(sample)
        if start < self._kept.first:
            late = (self._kept.first - start) / float(self.chain.sfreq)
            raise DataError(
                f"The cue {label!r} came too late: its trial began {late:.2f} s before the oldest "
                "sample that is kept. Raise history_s, or find out what delays the markers."
            )
        self._waiting.append(_Trial(start, label))

    def _begin(self, sample: int) -> int:
        """First sample of the chain's output that belongs to the trial of a cue."""
        ratio = Fraction(self.chain.sfreq) / Fraction(self.chain.sfreq_in)
        return round(sample * ratio) + self._offset

    def push(self, chunk: AnyArray) -> list[Extracted]:
        """Take the next samples; return what they complete, in the order of its end.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            The samples that follow; NaN where missing.

        Returns
        -------
        list of Extracted
        """
        self.take(chunk)
        return self.finished()

    def take(self, chunk: AnyArray) -> None:
        """First half of :meth:`push`: samples into the chain and the buffer."""
        x = np.asarray(chunk, dtype=np.float64)
        if self._rows is not None:
            if x.ndim != 2 or len(x) != self._width:
                raise DataError(f"Expected a chunk of {self._width} channels, got {x.shape}.")
            x = x[self._rows] * self._factor
        out = self.chain.push(x)
        self.n_pushed += np.shape(chunk)[1]
        self._kept.append(out.data, out.valid)

    def finished(self) -> list[Extracted]:
        """Second half of :meth:`push`: features of what is complete."""
        found = [*self._running(), *self._trials()]
        self._forget()
        return sorted(found, key=lambda one: one.stop)

    def _trials(self) -> Iterable[Extracted]:
        end = self._kept.stop
        span = int(self._starts[-1]) + self._length
        done = [t for t in self._waiting if t.start + span <= end]
        self._waiting = [t for t in self._waiting if t.start + span > end]
        for trial in done:
            parts = [self._window(trial.start + int(s)) for s in self._starts]
            yield self._together(parts, trial.label, trial.start, trial.start + span)

    def _running(self) -> Iterable[Extracted]:
        end = self._kept.stop
        step = self.plan.step_s * float(self.chain.sfreq)
        while self._n_running and (start := round(self._next * step)) + self._length <= end:
            self._parts.append(self._window(start))
            self._next += 1
            if len(self._parts) == self._n_running:
                oldest = round((self._next - self._n_running) * step)
                yield self._together(list(self._parts), "", oldest, start + self._length)

    def _window(self, start: int) -> AnyArray | None:
        stop = start + self._length
        if not self._kept.whole(start, stop):
            return None
        return self.family.window(self._kept.samples(start, stop))

    def _together(
        self, parts: list[AnyArray | None], label: str, start: int, stop: int
    ) -> Extracted:
        used = [p for p in parts if p is not None]
        table = self.table
        try:
            values = self.family.combine(used) if used else None
        except DataError:  # too few windows were left
            values = None
        if values is None:
            values = np.full((len(table.rows), len(table.columns)), np.nan)
        return Extracted(
            values, label, start, stop, self.segment, len(used), len(parts) - len(used)
        )

    def _forget(self) -> None:
        keep = [self._kept.stop - self._history, *(t.start for t in self._waiting)]
        if self._n_running:
            keep.append(round(self._next * self.plan.step_s * float(self.chain.sfreq)))
        self._kept.forget(min(keep))

    def replay(self, recording: "Recording", *, stream: str | None = None) -> list[Extracted]:
        """Features of a whole recording, its events as cues; the offline reference.

        Parameters
        ----------
        recording : Recording
            With a signal that fits, see :meth:`attach`.
        stream : str, optional
            Which; needed if there are several signals.

        Returns
        -------
        list of Extracted
            Of all segments, in order.
        """
        info, segments = recorded_segments(recording, stream)
        self.attach(info)
        out = []
        for data, cues, _ in segments:
            for sample, label in cues:
                if self._begin(sample) >= 0:  # live, such a cue is refused
                    self.mark(sample, label)
            out += self.push(data)
            self.reset()
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain values of chain, plan and family."""
        return {
            "unit": self.unit,
            "chain": self.chain.to_json(),
            "plan": self.plan.to_json(),
            "family": self.family.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], networks: Path | None = None) -> Self:
        """The extractor that :meth:`to_json` wrote.

        Parameters
        ----------
        values : mapping
            Plain values.
        networks : Path, optional
            Folder of networks, where the family needs one.

        Raises
        ------
        ConfigError
            Missing or unknown fields.
        """
        try:
            return cls(
                Chain.from_json(values["chain"]),
                Plan.from_json(values["plan"]),
                family_from_json(values["family"], networks),
                unit=str(values["unit"]),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"The description of the features is incomplete: {error}.") from error
