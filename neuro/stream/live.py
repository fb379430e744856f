"""The loop: source, decoder, sinks; gaps flagged, cues put in place, stages timed."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from neuro.errors import DataError
from neuro.stream.decoder import Decision, Decoder
from neuro.stream.latency import Latency
from neuro.stream.sources import Chunk, Source
from neuro.stream.timeline import Piece, Timeline

__all__ = ["Live", "Sink", "Status"]

# without a chunk for this long, a stream counts as stopped
_SILENT_S = 2.0


@dataclass(frozen=True)
class Status:
    """Something an experimenter must know.

    Parameters
    ----------
    kind : str
        "attached", "gap", "cue refused", "no data", "data again", "unusable" or
        "ended".
    text : str
        What happened, and what it means for the decisions.
    time_s : float
        On the clock of the stream.
    """

    kind: str
    text: str
    time_s: float


class Sink(Protocol):
    """Where decisions go."""

    def decision(self, decision: Decision, time_s: float) -> None:
        """A decision; `time_s` is the stamp of the last sample it saw."""

    def status(self, status: Status) -> None:
        """A message."""


@dataclass
class Live:
    """Runs a decoder on a source.

    Parameters
    ----------
    source : Source
        Samples and cues.
    decoder : Decoder
        Is attached to the source: another rate, missing channels or a foreign unit
        are refused before anything is decided.
    sinks : sequence of Sink
        Get every decision and every message.
    tap : callable, optional
        Called with every chunk before it is decoded: a recorder.
    cues : sequence of str, optional
        Markers that begin a trial; all if None.
    gap_s : float
        See :class:`~neuro.stream.Timeline`.

    Examples
    --------
    >>> from neuro.stream import Array, Chain, Extractor, LinearRule, Plan, Power, Selection
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> extractor = Extractor(Chain(["C3"], 100), Plan(0, 1), Power(fmin=8, fmax=12))
    >>> rule = LinearRule(("a", "b"), np.ones((1, 5)), np.zeros(1))
    >>> decoder = Decoder(extractor, Selection(), rule)
    >>> source = Array(rng.standard_normal((1, 400)), decoder.info, [(50, "a"), (250, "b")])
    >>> live = Live(source, decoder)
    >>> [d.cue for d in live.run()], [s.kind for s in live.messages]
    (['a', 'b'], ['attached', 'ended'])
    """

    source: Source
    decoder: Decoder
    sinks: Sequence[Sink] = ()
    tap: Callable[[Chunk], None] | None = None
    cues: Sequence[str] | None = None
    gap_s: float = 0.05
    latency: Latency = field(default_factory=Latency)
    messages: list[Status] = field(default_factory=list)
    n_samples: int = 0

    def __post_init__(self) -> None:
        info = self.source.info
        done = self.decoder.attach(info)
        self._line = Timeline(info.sfreq, gap_s=self.gap_s)
        self._waiting: list[tuple[float, str]] = []
        self._silent_since: float | None = None
        self._began = time.perf_counter(), time.process_time()
        self._tell("attached", f"{info.name or 'stream'}: {'; '.join(done) or 'as it is'}.")

    def run(self, stop: threading.Event | None = None) -> list[Decision]:
        """Go on until the source ends or `stop` is set; all decisions."""
        out: list[Decision] = []
        while not (stop and stop.is_set()):
            found = self.step()
            if found is None:
                break
            out += found
        return out

    def step(self, timeout_s: float = 0.1) -> list[Decision] | None:
        """Take what has arrived; None when the source is at its end."""
        chunk = self.source.pull(timeout_s)
        if chunk is None:
            self._place_cues(ended=True)
            self._tell("ended", "The source is at its end.")
            return None
        if self.tap is not None:
            self.tap(chunk)
        self._listen(chunk)
        self._waiting += [m for m in chunk.markers if self.cues is None or m[1] in self.cues]
        out: list[Decision] = []
        for piece in self._line.push(chunk.stamps):
            out += self._decode(chunk, piece)
        if not len(chunk.stamps):
            self._place_cues()
        return out

    def _listen(self, chunk: Chunk) -> None:
        now = self.source.clock()
        if len(chunk.stamps):
            self.n_samples += len(chunk.stamps)
            self.latency.add("receive", max(0.0, now - float(chunk.stamps[-1])))
            if self._silent_since is not None and now - self._silent_since > _SILENT_S:
                self._tell("data again", f"Samples after {now - self._silent_since:.1f} s.")
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENT_S and (
            not self.messages or self.messages[-1].kind != "no data"
        ):
            self._tell("no data", f"No sample for {_SILENT_S:g} s; nothing is decided meanwhile.")

    def _decode(self, chunk: Chunk, piece: Piece) -> list[Decision]:
        if piece.gap is not None:
            lost = self.decoder.extractor.waiting
            self.decoder.reset()
            self._tell(
                "gap",
                f"The stream jumped by {piece.gap.missing_s:+.3f} s; filters and windows start "
                f"anew{f', {lost} trial(s) are lost' if lost else ''}.",
            )
        self._place_cues()
        with self.latency.of("buffer"):
            self.decoder.take(chunk.data[:, piece.columns])
        with self.latency.of("features"):
            found = self.decoder.extractor.finished()
        if not found:
            return []
        with self.latency.of("decide"):
            decisions = [self.decoder.decide(one) for one in found]
        for decision in decisions:
            self._send(decision)
        return decisions

    def _send(self, decision: Decision) -> None:
        chain = self.decoder.extractor.chain
        last = int((decision.stop - 1) * chain.sfreq_in / chain.sfreq)
        seen = self._line.time_of(min(last, self._line.stop - 1))
        time_s = self.source.clock() if seen is None else seen
        if not decision.label:
            self._tell("unusable", f"No window of trial {decision.cue!r} was whole: no decision.")
        with self.latency.of("send"):
            for sink in self.sinks:
                sink.decision(decision, time_s)
        self.latency.add("total", max(0.0, self.source.clock() - time_s))

    def _place_cues(self, *, ended: bool = False) -> None:
        """Cues whose sample has come go to the decoder; the others wait."""
        line, waiting = self._line, []
        for time_s, label in self._waiting:
            if line.begin_s is None or line.end_s is None or time_s > line.end_s:
                waiting.append((time_s, label))
                continue
            sample = line.position(time_s)
            if sample is None:
                self._refuse(label, time_s, "it lies before the data, or in a gap")
                continue
            try:
                self.decoder.mark(sample, label)
            except DataError as error:
                self._refuse(label, time_s, str(error))
        for time_s, label in waiting if ended else []:
            self._refuse(label, time_s, "the stream ended before it")
        self._waiting = waiting

    def _refuse(self, label: str, time_s: float, why: str) -> None:
        self._tell("cue refused", f"Cue {label!r} at {time_s:.3f} s: {why}.")

    def _tell(self, kind: str, text: str) -> None:
        status = Status(kind, text, self.source.clock())
        self.messages.append(status)
        for sink in self.sinks:
            sink.status(status)

    def report(self) -> dict[str, Any]:
        """Samples, messages and latency so far, as plain values.

        `cpu_share` is of the whole process, 1 for one core; `clock` what the source
        knows about the amplifier's clock, None where it is our own.
        """
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        offsets = [own for _, own, _ in getattr(self.source, "corrections", ())]
        return {
            "samples": self.n_samples,
            "cpu_share": cpu / max(wall, 1e-9),
            "clock": None
            if not offsets
            else {
                "measured": len(offsets),
                "offset_s": offsets[-1],
                "moved_ms": 1000 * (max(offsets) - min(offsets)),
            },
            "messages": [{"kind": m.kind, "text": m.text} for m in self.messages],
            "latency": self.latency.summary(),
            "histogram": dict(self.latency.histogram("total")),
        }
