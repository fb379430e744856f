"""A folder that holds a whole session: runs, features, attempts, what was decided online.

Everything is found by relative names and by hashes of content, so that the folder
can be moved, copied or opened after a crash and gives the same numbers.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from neuro.bci.choice import Choice
from neuro.bci.maps import ClassMap, class_map
from neuro.bci.scores import Auto, Scores, cross_validate, judge
from neuro.bci.settings import Settings
from neuro.errors import ConfigError, DataError, FileError, NeuroError, did_you_mean
from neuro.io.safe import load_npz, read_json, save_npz, sha256_of, write_json
from neuro.stream import (
    Decision,
    Decoder,
    Selection,
    StreamInfo,
    Table,
    fit_rule,
    load_bundle,
    save_bundle,
)  # fmt: skip
from neuro.stream.info import nominal_rate
from neuro.stream.networks import Embedding
from neuro.stream.sources import recorded_segments
from neuro.typing import AnyArray, FloatArray, PathLike

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Attempt", "Run", "Trials", "Workspace"]

_FILE, _FORMAT = "workspace.json", "neuro-workspace/1"
Progress = Callable[[str, int, int], bool | None]


@dataclass(frozen=True)
class Run:
    """A recording of the session.

    Parameters
    ----------
    id : str
        "r1", "r2", ….
    name : str
        Name of the file it came from.
    sha256 : str
        Of that file.
    cues : dict of str to int
        Events by label.
    excluded : bool
        A bad run, kept but not used.
    """

    id: str
    name: str
    sha256: str
    cues: dict[str, int]
    excluded: bool = False

    def __post_init__(self) -> None:
        # both become names of files
        if not re.fullmatch(r"r[1-9]\d{0,5}", self.id, re.ASCII):
            raise ConfigError(f"{self.id!r} is no run; runs are r1, r2, …")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"the hash of {self.id} is none")
        counts = [*self.cues.items()]
        if not all(isinstance(k, str) and isinstance(n, int) for k, n in counts):
            raise ConfigError(f"the cues of {self.id} are no counts")
        if not (isinstance(self.name, str) and isinstance(self.excluded, bool)):
            raise ConfigError(f"{self.id} is described in values of a wrong kind")


class Trials(NamedTuple):
    """Features of the trials of some runs."""

    values: FloatArray  # (n_trials, n_rows, n_columns); NaN where nothing was usable
    labels: AnyArray  # (n_trials,)
    runs: AnyArray  # (n_trials,): run of each
    n_windows: AnyArray  # (n_trials,)
    n_dropped: AnyArray  # (n_trials,)
    table: Table


@dataclass(frozen=True)
class Attempt:
    """One training, numbered.

    Parameters
    ----------
    number : int
        1, 2, ….
    settings : dict
        Of its features.
    runs : tuple of str
        Trained on.
    features : tuple of str
        Chosen.
    kind : str
        Classifier.
    classes : tuple of str
        Labels.
    scores : dict
        See :class:`Scores`.
    seconds : float
        From request to decoder.
    """

    number: int
    settings: dict[str, Any]
    runs: tuple[str, ...]
    features: tuple[str, ...]
    kind: str
    classes: tuple[str, ...]
    scores: dict[str, Any]
    seconds: float


class Workspace:
    """A session on disk.

    Use :meth:`create` or :meth:`open`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> Workspace.create(Path(folder.name) / "anna", classes=("left", "right")).runs
    ()
    >>> Workspace.open(Path(folder.name) / "anna").classes
    ('left', 'right')
    >>> folder.cleanup()
    """

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self.folder, self._state = folder, state

    @classmethod
    def create(cls, folder: PathLike, *, classes: Sequence[str] = ()) -> Self:
        """Start a session in a new folder.

        Parameters
        ----------
        folder : path
            Must not exist, or be empty.
        classes : sequence of str
            Events that are cues; all types of the first run if empty.

        Raises
        ------
        FileError
            If something is there already.
        """
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileError(f"{target.name!r} exists and is not empty; choose another folder.")
        target.mkdir(parents=True, exist_ok=True)
        state = {"format": _FORMAT, "classes": list(classes), "runs": [], "settings": None}
        out = cls(target, state)
        out._write()
        return out

    @classmethod
    def open(cls, folder: PathLike) -> Self:
        """Go on with a session.

        Raises
        ------
        FileError
            If the folder holds none, or one of another format.
        """
        target = Path(folder)
        if not (target / _FILE).is_file():
            raise FileError(
                f"{target.name!r} is no workspace: {_FILE} is missing. Start one with "
                "'neuro bci new'."
            )
        state = read_json(target / _FILE)
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise FileError(f"{_FILE} of {target.name!r} is not of format {_FORMAT}.")
        with _understood(f"{_FILE} of {target.name!r}"):
            out = cls(target, state)
            ids = [run.id for run in out.runs]
            if len(set(ids)) < len(ids) or not all(isinstance(c, str) for c in out.classes):
                raise ConfigError("a run is there twice, or a class is no text")
            _ = (out.settings, out.choice)
        return out

    def _write(self) -> None:
        write_json(self.folder / _FILE, self._state)

    # ---- runs ---------------------------------------------------------------------

    @property
    def classes(self) -> tuple[str, ...]:
        """Events that are cues; empty as long as no run says."""
        return tuple(self._state["classes"])

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, excluded ones too."""
        return tuple(Run(**one) for one in self._state["runs"])

    def add_run(self, path: PathLike, *, unit: str | None = None) -> Run:
        """Bring a recording into the session; a copy is kept.

        Parameters
        ----------
        path : path
            EDF, GDF, XDF, BrainVision, FIF, … (see :func:`neuro.read`).
        unit : str, optional
            True unit, where the file is silent or wrong.

        Returns
        -------
        Run

        Raises
        ------
        DataError
            If it has no cue of the session's classes, or is there already.
        """
        import neuro

        source = Path(path)
        sha = sha256_of(source)
        for run in self.runs:
            if run.sha256 == sha:
                raise DataError(f"'{source.name}' is there already, as {run.id}.")
        recording = neuro.read(source, unit=unit)
        recorded_segments(recording)  # says now if there is no signal, or too many
        cues = self._cues(recording, source.name)
        run = Run(f"r{len(self.runs) + 1}", source.name, sha, cues)
        (self.folder / "runs").mkdir(exist_ok=True)
        neuro.save(recording, self.folder / "runs" / f"{run.id}.h5")
        if not self.classes:
            self._state["classes"] = sorted(cues)
        self._state["runs"].append(asdict(run))
        self._write()
        return run

    def _cues(self, recording: "Recording", name: str) -> dict[str, int]:
        kinds, counts = np.unique(recording.events.type, return_counts=True)
        found = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
        cues = {k: n for k, n in found.items() if not self.classes or k in self.classes}
        if not cues:
            told = ", ".join(f"{k!r} ({n})" for k, n in found.items()) or "none"
            raise DataError(
                f"'{name}' has no cue of {', '.join(self.classes) or 'any class'}; its events: "
                f"{told}. Name the classes when the workspace is made."
            )
        return cues

    def exclude(self, run: str, *, excluded: bool = True) -> Run:
        """Leave a bad run out, or take it back; nothing is deleted."""
        at = self._index(run)
        self._state["runs"][at]["excluded"] = bool(excluded)
        self._write()
        return self.runs[at]

    def _index(self, run: str) -> int:
        ids = [r.id for r in self.runs]
        if run not in ids:
            raise ConfigError(f"No run {run!r}. {did_you_mean(run, ids)}")
        return ids.index(run)

    def recording(self, run: str) -> "Recording":
        """A run's recording; events that are no cues are left out."""
        import neuro

        self._index(run)
        recording = neuro.read(self.folder / "runs" / f"{run}.h5")
        keep = np.isin(recording.events.type, self.classes)
        return recording.replace(events=recording.events.take(np.flatnonzero(keep)))

    def _chosen(self, runs: Sequence[str] | None) -> list[str]:
        if runs is None:
            runs = [r.id for r in self.runs if not r.excluded]
        if not runs:
            raise DataError("The session has no usable run; add one first.")
        for run in runs:
            self._index(run)
        return list(runs)

    # ---- features -----------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """Of the features that are looked at now."""
        told = self._state["settings"]
        return Settings() if told is None else Settings.from_json(told, self.folder / "networks")

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if isinstance(settings.family, Embedding):
            family = settings.family.save(self.folder / "networks")
            settings = replace(settings, family=family)
        self._state["settings"] = settings.to_json()
        self._write()

    @property
    def choice(self) -> Choice:
        """What is trained next, and which attempt goes online."""
        return Choice.from_json(self._state.get("choice") or {})

    @choice.setter
    def choice(self, choice: Choice) -> None:
        self._state["choice"] = choice.to_json()
        self._write()

    @property
    def info(self) -> StreamInfo:
        """Channels, rate and unit that every run must have: those of the first."""
        if not self.runs:
            raise DataError("The session has no run yet; add one first.")
        told = recorded_segments(self.recording(self.runs[0].id))[0]
        return replace(told, sfreq=nominal_rate(told.sfreq))

    def extract(
        self,
        runs: Sequence[str] | None = None,
        *,
        settings: Settings | None = None,
        progress: Progress | None = None,
    ) -> Trials:
        """Features of the trials of some runs; what is known is not computed again.

        Parameters
        ----------
        runs : sequence of str, optional
            All that are not excluded if None.
        settings : Settings, optional
            The session's if None.
        progress : callable, optional
            Called as ``progress(run, done, total)`` before each run; return False
            to cancel: what is done stays.

        Returns
        -------
        Trials

        Raises
        ------
        ContractError
            If a run has other channels, or another rate or unit, than the first.
        DataError
            If there is no run, or it was cancelled.
        """
        chosen = self._chosen(runs)
        settings = settings or self.settings
        info = self.info
        parts = []
        for i, run in enumerate(chosen):
            if progress is not None and progress(run, i, len(chosen)) is False:
                raise DataError(f"Cancelled; features of {i} of {len(chosen)} runs are kept.")
            parts.append(self._features(run, settings, info))
        if progress is not None:
            progress("", len(chosen), len(chosen))
        table = settings.extractor(info).table
        merged = {
            name: np.concatenate([p[name] for p in parts])
            for name in ("values", "labels", "n_windows", "n_dropped")
        }
        of_run = np.repeat(chosen, [len(p["labels"]) for p in parts])
        return Trials(
            merged["values"], merged["labels"].astype(str), of_run, merged["n_windows"],
            merged["n_dropped"], table,
        )  # fmt: skip

    def _features(self, run: str, settings: Settings, info: StreamInfo) -> dict[str, AnyArray]:
        kept = self._kept_at(run, settings)
        folder = kept.parent
        if kept.is_file():
            return dict(load_npz(kept))
        found = settings.extractor(info).replay(self.recording(run))
        if not found:
            raise DataError(f"Run {run} has no whole trial: its cues come too near its end.")
        out = {
            "values": np.stack([one.values for one in found]),
            "labels": np.array([one.label for one in found]),
            "n_windows": np.array([one.n_windows for one in found]),
            "n_dropped": np.array([one.n_dropped for one in found]),
        }
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "settings.json").is_file():
            write_json(folder / "settings.json", settings.to_json())
        save_npz(kept, out)
        return out

    def _kept_at(self, run: str, settings: Settings) -> Path:
        """Where a run's features are kept."""
        name = f"{run}-{self.runs[self._index(run)].sha256[:12]}.npz"
        return self.folder / "sessions" / settings.identity / name

    @property
    def extracted(self) -> bool:
        """Whether the features of all usable runs are known under the session's settings."""
        runs, settings = [r.id for r in self.runs if not r.excluded], self.settings
        return bool(runs) and all(self._kept_at(run, settings).is_file() for run in runs)

    def map(self, runs: Sequence[str] | None = None) -> tuple[ClassMap, Table]:
        """Where the classes differ, on the usable trials."""
        trials = self.extract(runs)
        usable = np.isfinite(trials.values).all(axis=(1, 2))
        classes = self.classes
        pair = (classes[0], classes[1]) if len(classes) == 2 else None
        return class_map(trials.values[usable], trials.labels[usable].tolist(), pair), trials.table

    # ---- training -----------------------------------------------------------------

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Everything that was trained, in order."""
        found = []
        for path in (self.folder / "attempts").glob("*/attempt.json"):
            with _understood(f"attempts/{path.parent.name}/attempt.json"):
                found.append(_attempt(read_json(path), path.parent.name))
        return tuple(sorted(found, key=lambda a: a.number))

    def train(
        self,
        features: Auto | Sequence[str] = Auto(),  # noqa: B008 (frozen)
        *,
        kind: str = "lda",
        runs: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Attempt:
        """Train a decoder, score it, keep both.

        Parameters
        ----------
        features : Auto or sequence of str
            A rule, or names as ``"C4;13"``.
        kind : str
            See :func:`neuro.stream.fit_rule`.
        runs : sequence of str, optional
            All that are not excluded if None.
        seed : int
            Of the folds.

        Returns
        -------
        Attempt
        """
        begin = time.perf_counter()
        chosen = self._chosen(runs)
        trials = self.extract(chosen)
        usable = np.isfinite(trials.values).all(axis=(1, 2))
        x, y = trials.values[usable], trials.labels[usable]
        scores = cross_validate(
            x, y.tolist(), trials.table, kind=kind, features=features,
            runs=trials.runs[usable].tolist(), seed=seed,
        )  # fmt: skip
        if isinstance(features, Auto):
            names = features.names(x, y.tolist(), trials.table)
        else:
            names = tuple(features)
        selection = Selection(names)
        rule = fit_rule(kind, selection.apply(x, trials.table), y.tolist())
        decoder = Decoder(self.settings.extractor(self.info), selection, rule)
        number = max((a.number for a in self.attempts), default=0) + 1
        attempt = Attempt(
            number, self.settings.to_json(), tuple(chosen), names, kind, rule.classes,
            asdict(scores), time.perf_counter() - begin,
        )  # fmt: skip
        self._keep(attempt, decoder)
        return attempt

    def _keep(self, attempt: Attempt, decoder: Decoder) -> None:
        """Decoder first, description last: a half-written attempt is none."""
        folder = self.folder / "attempts" / f"{attempt.number:03d}"
        if folder.exists():  # left by a program that was killed
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        facts = {"runs": list(attempt.runs), "scores": attempt.scores}
        save_bundle(decoder, folder / "decoder", facts=facts)
        write_json(folder / "attempt.json", asdict(attempt))

    def attempt(self, number: int | None = None) -> Attempt:
        """An attempt by its number; the last if None."""
        found = {a.number: a for a in self.attempts}
        if not found:
            raise DataError("Nothing has been trained yet.")
        if number is not None and number not in found:
            raise ConfigError(f"No attempt {number}; there are {', '.join(map(str, found))}.")
        return found[max(found) if number is None else number]

    def bundle(self, number: int | None = None) -> Path:
        """Folder of an attempt's decoder."""
        return self.folder / "attempts" / f"{self.attempt(number).number:03d}" / "decoder"

    def decoder(self, number: int | None = None) -> Decoder:
        """Decoder of an attempt."""
        return load_bundle(self.bundle(number))

    def replay(self, run: str, number: int | None = None) -> tuple[list[Decision], Scores | None]:
        """What an attempt's decoder says about a run.

        Returns
        -------
        decisions : list of Decision
            One a trial.
        scores : Scores or None
            Of the usable ones, `quick` being the same; None if there are none. A run
            the attempt was trained on flatters it.
        """
        decisions = self.decoder(number).replay(self.recording(run))
        told = [d for d in decisions if d.label and d.cue]
        if not told:
            return decisions, None
        rate, rates, kappa = judge(
            np.array([d.cue for d in told]), np.array([d.label for d in told])
        )
        n_classes = len(self.attempt(number).classes)
        return decisions, Scores(rate, rate, 1 / n_classes, len(told), 1, rates, kappa)

    def with_settings(self, **changes: Any) -> Settings:
        """The session's settings with some fields changed (not yet kept)."""
        return replace(self.settings, **changes)


def _attempt(values: dict[str, Any], folder: str) -> Attempt:
    lists = ("runs", "features", "classes")
    plain: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in values.items()}
    texts = [plain["kind"], *(one for name in lists for one in plain[name])]
    if f"{plain['number']:03d}" != folder or not all(isinstance(one, str) for one in texts):
        raise ConfigError("the number is not the folder's, or a name is no text")
    plain["seconds"] = float(plain["seconds"])
    plain["scores"] = asdict(Scores(**plain["scores"]))
    for name in ("nested", "quick", "chance", "kappa"):
        plain["scores"][name] = float(plain["scores"][name])
    return Attempt(**plain)


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """Values of a wrong kind, wherever they are used first, are one error about a file."""
    try:
        yield
    except FileError:
        raise
    except (
        NeuroError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        raise FileError(f"{what} is damaged: {error}.") from error
