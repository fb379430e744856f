"""What the page shows and does, without the page: a workspace, its session, work in between.

Everything worth keeping lies in the workspace. What is held here can be lost at any
time: a map that was computed from it, the work that runs, the last notice.
"""

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from neuro.bci.maps import ClassMap, auto_select
from neuro.bci.scores import Scores
from neuro.bci.session import Session
from neuro.bci.workspace import Workspace
from neuro.errors import ConfigError, NeuroError
from neuro.stream import Decision, Table
from neuro.stream.sources import Source

__all__ = ["Bench", "Feed", "Job", "View"]


@dataclass(frozen=True)
class Feed:
    """Where live samples come from.

    Parameters
    ----------
    file : str
        A recording that is played; LSL if empty.
    speed : float
        Of the played recording.
    source_id : str
        Of the LSL stream, where there are several.
    """

    file: str = ""
    speed: float = 1.0
    source_id: str = ""

    def open(self) -> Source:
        """The stream, opened anew."""
        if self.file:
            import neuro
            from neuro.stream import Replay

            return Replay(neuro.read(self.file), speed=self.speed)
        from neuro.stream.lsl import LSLSource

        return LSLSource(source_id=self.source_id or None)


class View(NamedTuple):
    """The map of the usable runs under the session's settings."""

    found: ClassMap
    table: Table


class Replayed(NamedTuple):
    """What an attempt said about a run."""

    run: str
    attempt: int
    decisions: list[Decision]
    scores: Scores | None


@dataclass
class Job:
    """Work in the background."""

    name: str
    text: str = ""
    done: int = 0
    total: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def progress(self, text: str, done: int, total: int) -> bool:
        """Told by the work; False asks it to stop."""
        self.text, self.done, self.total = text, done, total
        return not self.stopped.is_set()


class Bench:
    """One workspace, one session, one job at a time.

    Parameters
    ----------
    workspace : Workspace
        Holds everything.
    feed : Feed
        Where live samples come from, until the page says otherwise.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> bench = Bench(Workspace.create(Path(folder.name) / "anna"))
    >>> bench.begin("Look", lambda job: job.progress("here", 1, 1)) and bench.wait()
    >>> bench.job is None, bench.notice
    (True, '')
    >>> folder.cleanup()
    """

    def __init__(self, workspace: Workspace, feed: Feed | None = None) -> None:
        self.workspace, self.feed = workspace, feed or Feed()
        self.session = Session(workspace, lambda: self.feed.open(), self._sinks)
        self.job: Job | None = None
        self.notice = ""
        self.replayed: Replayed | None = None
        self.version = 0  # moves whenever a page must be drawn again
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._view: tuple[Any, View] | None = None
        self._failed: Any = None  # key of a map that could not be made
        self._state = "idle"

    # ---- work ---------------------------------------------------------------------

    def begin(self, name: str, work: Callable[[Job], Any]) -> Job:
        """Start work in the background.

        Raises
        ------
        ConfigError
            If other work is not done yet.
        """
        with self._lock:
            if self.job is not None:
                raise ConfigError(f"{self.job.name!r} is not done yet; wait, or cancel it.")
            job = self.job = Job(name)
        self.notice = ""

        def run() -> None:
            with self.told():
                work(job)
            self.job = None
            self.version += 1

        self._thread = threading.Thread(target=run, daemon=True)
        self.version += 1
        self._thread.start()
        return job

    @contextlib.contextmanager
    def told(self) -> Any:
        """Errors become the notice, in one sentence."""
        try:
            yield
        except NeuroError as error:
            self.notify(str(error))
        except Exception as error:  # shown, not swallowed: the details go to the terminal
            logging.getLogger("neuro").exception("In the workbench")
            self.notify(f"{type(error).__name__}: {error} (details are in the terminal)")

    def notify(self, text: str) -> None:
        """Put up a notice, on every page."""
        if text != self.notice:  # the same again is no news: a page that is drawn may cause it
            self.notice = text
            self.version += 1

    def watch(self) -> str:
        """State of the session; what went wrong in it becomes the notice."""
        state = self.session.state
        if state != self._state:
            self._state = state
            with self.told():
                if state == "idle" and (error := self.session.status()["error"]):
                    self.notify(error)
        return state

    def wait(self, timeout_s: float = 60.0) -> None:
        """Until the work is done."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def cancel(self) -> None:
        """Ask the work to stop; what it has finished stays."""
        if self.job is not None:
            self.job.stopped.set()

    # ---- what the steps ask for -----------------------------------------------------

    def add(self, paths: list[Path], unit: str = "", rid_of: Path | None = None) -> None:
        """Bring runs into the session; a folder of uploads is removed afterwards."""

        def work(job: Job) -> None:
            try:
                for i, path in enumerate(paths):
                    if not job.progress(path.name, i, len(paths)):
                        return
                    self.workspace.add_run(path, unit=unit or None)
            finally:
                if rid_of is not None:
                    shutil.rmtree(rid_of, ignore_errors=True)

        self.begin("Reading", work)

    def exclude(self, run: str, excluded: bool) -> None:
        """Leave a run out, or take it back."""
        self.workspace.exclude(run, excluded=excluded)
        self.version += 1

    def extract(self) -> None:
        """Features of all usable runs, then their map."""

        def work(job: Job) -> None:
            self.workspace.extract(progress=job.progress)
            self._look()

        self._failed = None
        self.begin("Extracting", work)

    @property
    def _key(self) -> Any:
        runs = tuple((r.id, r.sha256) for r in self.workspace.runs if not r.excluded)
        return self.workspace.settings.identity, runs

    @property
    def view(self) -> View | None:
        """The map, if it has been made for the runs and settings of now."""
        kept = self._view
        return kept[1] if kept is not None and kept[0] == self._key else None

    def look(self) -> None:
        """Make the map in the background if the features for it are there."""
        if self.view or self.job or self._failed == self._key or not self.workspace.extracted:
            return
        self.begin("Comparing", lambda job: self._look())

    def _look(self) -> None:
        key = self._failed = self._key  # until it worked: nobody tries for ever
        found, table = self.workspace.map()
        self._view, self._failed = (key, View(found, table)), None

    def toggle(self, feature: str) -> None:
        """Choose a feature, or take it away again."""
        self.workspace.choice = self.workspace.choice.toggled(feature)

    def choose(self, name: str, value: Any) -> None:
        """Change one field of the choice."""
        if name == "n":
            value = max(1, int(value or 1))
        self.workspace.choice = replace(self.workspace.choice, **{name: value})
        self.version += 1

    def pick(self) -> None:
        """Replace the chosen features by those the map picks."""
        view, choice = self.view, self.workspace.choice
        if view is None:
            raise ConfigError("There is no map to pick from: extract features first.")
        picked = auto_select(
            view.found.r2, view.table, choice.n, fmin=choice.fmin, fmax=choice.fmax
        )
        self.session.select(
            list(picked), n=choice.n, kind=choice.kind, fmin=choice.fmin, fmax=choice.fmax
        )

    def train(self) -> None:
        """Train on what is chosen; the attempt is then the one that goes online."""
        self.begin("Training", lambda job: self.session.train())

    def replay(self, run: str) -> None:
        """Ask the attempt that goes online about a run."""

        def work(job: Job) -> None:
            number = self.workspace.attempt(self.workspace.choice.online).number
            decisions, scores = self.workspace.replay(run, number)
            self.replayed = Replayed(run, number, decisions, scores)

        self.begin("Replaying", work)

    def calibrate(self, feed: Feed) -> None:
        """Record a run."""
        self.feed = feed
        self.begin("Connecting", lambda job: self.session.start_calibration())

    def online(self, feed: Feed, running_s: float | None = None) -> None:
        """Decide live."""
        self.feed = feed
        self.begin("Connecting", lambda job: self.session.start_online(running_s=running_s))

    def stop(self) -> None:
        """End a calibration or an online run."""
        self.begin("Stopping", lambda job: self.session.stop())

    def _sinks(self, n_features: int) -> list[Any]:
        if self.feed.file:
            return []
        from neuro.stream.lsl import LSLOutlets

        return [LSLOutlets("neuro", n_features)]
