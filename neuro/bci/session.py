"""A running session: calibrate from a live source, train, decide online; thread-safe."""

import dataclasses
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from neuro.bci.choice import Choice
from neuro.bci.workspace import Run, Workspace
from neuro.errors import ConfigError, DataError, NeuroError
from neuro.io.safe import write_json
from neuro.stream import (
    Chain,
    Chunk,
    Decision,
    Decoder,
    Extractor,
    Live,
    Status,
    StreamInfo,
    XDFRecorder,
)  # fmt: skip
from neuro.stream.decoder import describe
from neuro.stream.live import Sink
from neuro.stream.sources import Source

__all__ = ["Session"]

State = Literal["idle", "calibrating", "online"]
_SHOWN = 20  # decisions and messages in a snapshot


class Session:
    """What the workbench, the control port and scripts steer.

    One thing at a time: idle, calibrating or online. What is streamed is recorded,
    as XDF, from the first sample on; a calibration becomes a run of the workspace.

    Parameters
    ----------
    workspace : Workspace
        Where everything is kept.
    source : callable
        Opens the stream anew for every run.
    sinks : callable, optional
        Makes what decisions go to besides the log, given the number of features.

    Examples
    --------
    >>> import tempfile
    >>> from neuro.bci import Workspace
    >>> folder = tempfile.TemporaryDirectory()
    >>> session = Session(Workspace.create(Path(folder.name) / "s"), source=lambda: None)
    >>> session.status()["state"]
    'idle'
    >>> folder.cleanup()
    """

    def __init__(
        self,
        workspace: Workspace,
        source: Callable[[], Source],
        sinks: Callable[[int], Sequence[Sink]] | None = None,
    ) -> None:
        self.workspace = workspace
        self._open, self._sinks = source, sinks
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.state: State = "idle"
        self._log: _Log | None = None
        self._source: _Marked | None = None
        self._live: Live | None = None
        self._error = ""

    # ---- what can be asked for ------------------------------------------------------

    @property
    def commands(self) -> dict[str, Callable[..., Any]]:
        """What a control port offers."""
        return {
            "status": self.status, "start_calibration": self.start_calibration,
            "stop": self.stop, "select": self.select, "train": self.train, "load": self.load,
            "start_online": self.start_online, "mark": self.mark, "snapshot": self.snapshot,
        }  # fmt: skip

    def status(self) -> dict[str, Any]:
        """Where things stand."""
        log, live = self._log, self._live
        return {
            "state": self.state,
            "runs": len(self.workspace.runs),
            "attempts": len(self.workspace.attempts),
            "loaded": self.workspace.choice.online,
            "samples": 0 if log is None else log.n_samples,
            "cues": 0 if log is None else log.n_cues,
            "decisions": 0 if log is None else log.n_decisions,
            "message": "" if live is None or not live.messages else live.messages[-1].text,
            "error": self._error,
        }

    def snapshot(self) -> dict[str, Any]:
        """Status, the last decisions and messages, and the time every stage takes."""
        log, live = self._log, self._live
        messages = [] if live is None else live.messages[-_SHOWN:]
        return self.status() | {
            "messages": [{"kind": m.kind, "text": m.text} for m in messages],
            "last": [] if log is None else list(log.last),
            "latency": {} if live is None else live.latency.summary(),
        }

    def start_calibration(self) -> dict[str, Any]:
        """Record cues and samples until :meth:`stop`."""
        with self._lock:
            self._idle("start a calibration")
            source = _Marked(self._open())
            folder = self._folder("recordings")
            recorder = XDFRecorder(folder / "recording.xdf", source.info)
            self._log, self._live = _Log(folder / "decisions.jsonl"), None
            self._begin("calibrating", source, lambda: self._calibrate(source, recorder))
        return self.status()

    def start_online(
        self, attempt: int | None = None, running_s: float | None = None
    ) -> dict[str, Any]:
        """Decide live with an attempt's decoder; the one loaded, or the last, if None.

        Parameters
        ----------
        attempt : int, optional
            Number.
        running_s : float, optional
            Decide also without cues, over that many seconds.
        """
        with self._lock:
            self._idle("go online")
            wanted = self.workspace.choice.online if attempt is None else attempt
            number = self.workspace.attempt(wanted).number
            decoder = self.workspace.decoder(number)
            if running_s is not None:
                decoder = _running(decoder, running_s)
            source = _Marked(self._open())
            try:
                decoder.attach(source.info)  # refuses before anything is written
                folder = self._folder("online")
                recorder = XDFRecorder(folder / "recording.xdf", source.info)
                self._log = _Log(folder / "decisions.jsonl")
                n_features = decoder.rule.weights.shape[1] if decoder.rule.whitening is None else 0
                others = self._sinks(n_features) if self._sinks else ()
                self._live = Live(
                    source, decoder, [self._log, *others], _tap(recorder), self.workspace.classes
                )
            except NeuroError:
                source.close()
                raise
            facts = {"attempt": number, "running_s": running_s}
            live = self._live
            self._begin("online", source, lambda: self._decide(live, recorder, folder, facts))
        return self.status()

    def stop(self) -> dict[str, Any]:
        """End what runs; a calibration becomes a run, an online run gets its report."""
        with self._lock:
            if self.state == "idle":
                raise ConfigError("Nothing runs.")
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join(30)
        if self._error:
            raise DataError(self._error)
        return self.status()

    def mark(self, label: str) -> dict[str, Any]:
        """A cue now, for paradigms that send no markers of their own."""
        if self._source is None or self.state == "idle":
            raise ConfigError("A cue needs a running calibration or online run.")
        self._source.mark(str(label))
        return self.status()

    def select(
        self, features: Sequence[str] | None = None, *, n: int = 3, kind: str = "lda",
        fmin: float | None = None, fmax: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Choose features by name, or how many the map shall choose."""
        if isinstance(features, str):
            raise ConfigError(f"features={features!r}: a list of texts like 'C4;13'.")
        chosen = None if features is None else tuple(features)
        online = self.workspace.choice.online
        self.workspace.choice = Choice(chosen, n, fmin, fmax, kind, online)
        return {"features": list(features or ()), "n": n, "kind": kind}

    def train(self) -> dict[str, Any]:
        """Train on the usable runs with what was selected."""
        choice = self.workspace.choice
        attempt = self.workspace.train(choice.wanted, kind=choice.kind)
        self._load(attempt.number)
        return {
            "attempt": attempt.number, "features": list(attempt.features),
            "scores": attempt.scores, "seconds": attempt.seconds,
        }  # fmt: skip

    def load(self, attempt: int) -> dict[str, Any]:
        """Make an attempt the one that goes online."""
        self._load(self.workspace.attempt(attempt).number)
        return self.status()

    def _load(self, number: int) -> None:
        self.workspace.choice = replace(self.workspace.choice, online=number)

    # ---- what runs in the thread ------------------------------------------------------

    def _idle(self, what: str) -> None:
        if self.state != "idle":
            raise ConfigError(f"Stop what runs ({self.state}) before you {what}.")

    def _folder(self, kind: str) -> Path:
        root = self.workspace.folder / kind
        taken = [int(p.name) for p in root.glob("[0-9]*") if p.name.isdigit()]
        folder = root / f"{max(taken, default=0) + 1:03d}"
        folder.mkdir(parents=True)
        return folder

    def _begin(self, state: State, source: "_Marked", work: Callable[[], Any]) -> None:
        self._stop.clear()
        self._error, self._source, self.state = "", source, state

        def run() -> None:
            try:
                work()
            except NeuroError as error:
                self._error = str(error)
            except Exception as error:  # a full disk, say: nobody else would hear of it
                self._error = f"{type(error).__name__}: {error}"
            finally:
                source.close()
                self.state = "idle"

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def _calibrate(self, source: "_Marked", recorder: XDFRecorder) -> Run:
        log = self._log
        with recorder:
            while not self._stop.is_set() and (chunk := source.pull()) is not None:
                recorder(chunk)
                if log is not None:
                    log.n_samples = recorder.n_samples
                    log.n_cues = recorder.n_markers
        return self.workspace.add_run(recorder.path, unit=source.info.unit)

    def _decide(
        self, live: Live, recorder: XDFRecorder, folder: Path, facts: dict[str, Any]
    ) -> None:
        log = self._log
        try:
            with recorder:
                while not self._stop.is_set() and live.step() is not None:
                    if log is not None:
                        log.n_samples, log.n_cues = recorder.n_samples, recorder.n_markers
        finally:
            write_json(folder / "report.json", facts | live.report())


def _running(decoder: Decoder, running_s: float) -> Decoder:
    """The same decoder, which decides also without cues."""
    own = decoder.extractor
    extractor = Extractor(
        Chain.from_json(own.chain.to_json()),
        dataclasses.replace(own.plan, running_s=running_s),
        own.family,
        unit=own.unit,
    )
    return Decoder(extractor, decoder.selection, decoder.rule)


def _tap(recorder: XDFRecorder) -> Callable[[Chunk], None]:
    return recorder.__call__


class _Marked:
    """A source to which cues can be added by hand."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cues: deque[tuple[float, str]] = deque()

    @property
    def info(self) -> StreamInfo:
        return self._source.info

    @property
    def corrections(self) -> Sequence[tuple[float, float, float]]:
        return getattr(self._source, "corrections", ())

    def mark(self, label: str) -> None:
        self._cues.append((self.clock(), label))

    def pull(self, timeout_s: float = 0.1) -> Chunk | None:
        found = self._source.pull(timeout_s)
        if found is None:
            return None
        own = []
        while self._cues:
            own.append(self._cues.popleft())
        return found._replace(markers=(*found.markers, *own)) if own else found

    def clock(self) -> float:
        return self._source.clock()

    def close(self) -> None:
        self._source.close()


class _Log:
    """Decisions as lines of JSON, each on disk before the next, and the last few at hand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
        self.n_samples = self.n_cues = self.n_decisions = 0

    def decision(self, decision: Decision, time_s: float) -> None:
        one = describe(decision) | {"time_s": time_s}
        self.last.append(one)
        self.n_decisions += 1
        self._append(one)

    def status(self, status: Status) -> None:
        self._append({"status": status.kind, "text": status.text, "time_s": status.time_s})

    def _append(self, one: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one | {"written": time.time()}) + "\n")
