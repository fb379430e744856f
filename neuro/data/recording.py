"""One recording: its streams on a common time line, its events, where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.data.events import Clock, Events
from neuro.data.streams import Irregular, Regular, Static, Stream
from neuro.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import mne

__all__ = ["Provenance", "Recording"]


@dataclass(frozen=True)
class Provenance:
    """Where a recording came from and what was done to it.

    Parameters
    ----------
    source : str
        File or data set it was read from (a name, never an absolute path).
    sha256 : str
        Hash of the source file's bytes; ``""`` if there was none.
    reader, version : str
        What read it.
    steps : tuple of str
        Every step applied since, in order.
    contracts : mapping of str to dict
        Stream to the contract (as plain values) it was brought to, for as long
        as the stream stays as that left it.
    """

    source: str = ""
    sha256: str = ""
    reader: str = ""
    version: str = ""
    steps: tuple[str, ...] = ()
    contracts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Recording:
    """What one person's one session is made of, checked.

    Parameters
    ----------
    streams : mapping of str to Regular, Irregular or Static
        The signals, by name.
    events : Events, optional
        What happened, on the session clock unless a row names a stream.
    id, dataset, subject, session, run, task : str
        Who and what; ``""`` where unknown. Never a person's name.
    age : float, optional
        Years.
    sex, group, site : str
        As the data set codes them (`site`: where it was recorded); ``""`` where
        unknown.
    clocks : mapping of str to Clock, optional
        Stream time to session time; streams not named run on session time.
    provenance : Provenance, optional
        Source and steps.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular
    >>> eeg = Regular(np.ones((2, 500)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> Recording({"eeg": eeg}, subject="01")
    Recording(subject 01)
      eeg: Regular(eeg, 2 x 500, 250 Hz, uV, 2 s)
      Events(0)
    """

    streams: Mapping[str, Stream]
    events: Events = field(default_factory=Events.empty)
    id: str = ""
    dataset: str = ""
    subject: str = ""
    session: str = ""
    run: str = ""
    task: str = ""
    age: float | None = None
    sex: str = ""
    group: str = ""
    site: str = ""
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if not self.streams:
            raise DataError("A recording needs at least one stream.")
        for name, stream in self.streams.items():
            if not isinstance(stream, Regular | Irregular | Static):
                raise DataError(f"Stream {name!r} is a {type(stream).__name__}, not a stream.")
            if not name or "/" in name or name.startswith("."):
                raise DataError(f"Stream name {name!r} is empty or holds a slash or leading dot.")
        for name in (*self.clocks, *np.unique(self.events.stream).tolist()):
            if name and name not in self.streams:
                raise DataError(
                    f"A clock or event names stream {name!r}. {did_you_mean(name, self.streams)}"
                )
        if self.age is not None and not 0 <= self.age <= 120:
            raise DataError(f"Age must be in years (0 to 120), got {self.age}.")
        object.__setattr__(self, "streams", dict(self.streams))
        object.__setattr__(self, "clocks", dict(self.clocks))
        if not self.id:
            object.__setattr__(self, "id", self._default_id())

    def _default_id(self) -> str:
        parts = (self.dataset, self.subject, self.session, self.run, self.task)
        return "_".join(p for p in parts if p) or "recording"

    def __repr__(self) -> str:
        facts = ["dataset", "subject", "session", "run", "task"]
        who = ", ".join(f"{f} {getattr(self, f)}" for f in facts if getattr(self, f))
        lines = [f"Recording({who or self.id})"]
        for name, stream in self.streams.items():
            clock = self.clocks.get(name)
            shift = f" @ {clock.a:g} t + {clock.b:g} s" if clock else ""
            lines.append(f"  {name}: {stream!r}{shift}")
        lines.append(f"  {self.events!r}")
        return "\n".join(lines)

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed; an id made from facts follows them."""
        if "id" not in changes and self.id == self._default_id():
            changes["id"] = ""
        return replace(self, **changes)

    def with_stream(self, name: str, stream: Stream, step: str = "") -> Self:
        """Copy with a stream added or exchanged, and the step noted if given."""
        kept = {k: c for k, c in self.provenance.contracts.items() if k != name}
        out = replace(
            self,
            streams={**self.streams, name: stream},
            provenance=replace(self.provenance, contracts=kept),
        )
        return out.with_step(step) if step else out

    def with_step(self, step: str) -> Self:
        """Copy whose provenance notes one more step."""
        prov = replace(self.provenance, steps=(*self.provenance.steps, step))
        return replace(self, provenance=prov)

    def stream(self, name: str | None = None) -> Stream:
        """A stream by name; without a name, the only one there is.

        Raises
        ------
        DataError
            If there is no such stream, or several and no name was given.
        """
        if name is None:
            if len(self.streams) == 1:
                return next(iter(self.streams.values()))
            raise DataError(f"Name one of the streams {sorted(self.streams)}: stream='...'.")
        if name not in self.streams:
            raise DataError(f"No stream {name!r}. {did_you_mean(name, self.streams)}")
        return self.streams[name]

    def regular(self, name: str | None = None) -> Regular:
        """A sampled stream by name.

        Raises
        ------
        DataError
            If the stream is not sampled at a fixed rate.
        """
        stream = self.stream(name)
        if not isinstance(stream, Regular):
            hint = " Bin it first: .bin(bin_s)." if isinstance(stream, Irregular) else ""
            shown = name or next(iter(self.streams))
            raise DataError(f"Stream {shown!r} is not sampled at a fixed rate.{hint}")
        return stream

    def clock(self, name: str) -> Clock:
        """The clock of a stream; the identity if none was given."""
        return self.clocks.get(name, Clock())

    @property
    def span_s(self) -> tuple[float, float]:
        """Earliest start and latest stop of the timed streams, session seconds."""
        timed = {k: s for k, s in self.streams.items() if not isinstance(s, Static)}
        if not timed:
            return (0.0, 0.0)
        return (
            min(float(self.clock(k).to_session(s.t0_s)) for k, s in timed.items()),
            max(float(self.clock(k).to_session(s.stop_s)) for k, s in timed.items()),
        )

    @property
    def duration_s(self) -> float:
        """Length of :attr:`span_s` in seconds."""
        return self.span_s[1] - self.span_s[0]

    def session_events(self) -> Events:
        """The events with every onset and duration on the session clock."""
        events = self.events
        if not (events.stream != "").any():
            return events
        onset, duration = events.onset_s.copy(), events.duration_s.copy()
        for name in np.unique(events.stream[events.stream != ""]).tolist():
            rows = events.stream == name
            onset[rows] = self.clock(name).to_session(onset[rows])
            duration[rows] *= self.clock(name).a
        return Events.make(
            onset,
            events.type,
            duration_s=duration,
            value=events.value,
            block=events.block,
            columns=events.columns,
        )

    def slice(self, t0_s: float, t1_s: float) -> Self:
        """Everything in [t0_s, t1_s) of session time; times are kept.

        Streams without a sample in the range are left out; statics stay. An
        event stays whole if any of it lies in the range.

        Raises
        ------
        DataError
            If the range is empty or no timed stream has data in it.
        """
        if not t1_s > t0_s:
            raise DataError(f"Empty time range [{t0_s}, {t1_s}).")
        kept: dict[str, Stream] = {}
        for name, stream in self.streams.items():
            if isinstance(stream, Static):
                kept[name] = stream
                continue
            clock = self.clock(name)
            a, b = clock.to_stream(t0_s), clock.to_stream(t1_s)
            if a < stream.stop_s and b > stream.t0_s:
                try:
                    kept[name] = stream.slice(a, b)
                except DataError:  # shorter than one sample of a slow stream
                    continue
        if not any(not isinstance(s, Static) for s in kept.values()):
            lo, hi = self.span_s
            raise DataError(
                f"No data in [{t0_s:g}, {t1_s:g}) s: the recording covers [{lo:g}, {hi:g}) s."
            )
        session = self.session_events()
        end = session.onset_s + session.duration_s
        inside = (session.onset_s < t1_s) & ((end > t0_s) | (session.onset_s >= t0_s))
        return replace(
            self,
            streams=kept,
            events=session.take(inside),
            clocks={k: c for k, c in self.clocks.items() if k in kept},
        ).with_step(f"slice [{t0_s:g}, {t1_s:g}) s")

    def to_mne(self, stream: str | None = None) -> "mne.io.RawArray":
        """A sampled stream as an MNE Raw in SI units, events as annotations."""
        from neuro.data.convert import to_mne

        return to_mne(self, stream)

    @classmethod
    def from_mne(cls, raw: Any, **facts: Any) -> "Recording":
        """Build from an MNE Raw or Epochs object; see :func:`neuro.data.from_mne`."""
        from neuro.data.convert import from_mne

        return from_mne(raw, **facts)
