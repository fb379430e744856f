"""What could be predicted without the signal: age, sex, site, motion, time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.data import Recording, Regular, Windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = ["Confounds", "Table", "without_signal"]

_NUMBERS = ("age", "sex", "time", "missing")
_NAMES = ("dataset", "group", "site", "subject", "session", "run", "task")
Item = str | Callable[[Recording, float, float], Any]


@dataclass(frozen=True)
class Confounds:
    """Predictors that hold no brain signal, as one of the `controls=` of `evaluate`.

    Parameters
    ----------
    items : sequence of str or callable
        ``"age"``, ``"sex"`` or another covariate of the batch; ``"time"``
        (seconds since the recording's start); ``"missing"`` (shares of
        samples and channels that are absent); ``"dataset"``, ``"site"``,
        ``"group"``, ``"subject"``, ``"session"``, ``"run"``, ``"task"``, one
        column a name; the name of another sampled stream (motion, ECG, EOG,
        the global signal): its mean, deviation and largest step over the
        window, row by row; the name of a channel of the windows themselves
        (EOG, ECG): its mean and deviation; or a function (recording, start_s, stop_s) of
        numbers. By default all that is known and varies: age, sex, dataset,
        site, run, time, missing samples, and every stream of modality "physio".

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> eeg = Regular(np.zeros((1, 400)), 100, "uV", Axis(["Cz"], "eeg"), "eeg")
    >>> w = windows(Recording({"eeg": eeg}, subject="1", age=30), stream="eeg", length_s=1)
    >>> Confounds(("age", "time")).of_windows(w).tolist()
    [[30.0, 0.0], [30.0, 1.0], [30.0, 2.0], [30.0, 3.0]]
    """

    items: Sequence[Item] = ()

    name = "confounds"

    def __post_init__(self) -> None:
        items = (self.items,) if isinstance(self.items, str) else self.items
        object.__setattr__(self, "items", tuple(items))

    def of_windows(self, windows: Windows) -> FloatArray:
        """The predictors of every window, (n, k); nothing missing.

        Raises
        ------
        ConfigError
            If an item is no fact and no stream.
        DataError
            If nothing is left that varies.
        """
        items = self.items or self._known(windows)
        columns = [_completed(_columns(windows, item)) for item in items]
        table = np.concatenate(columns, axis=1) if columns else np.zeros((len(windows), 0))
        if not self.items:
            table = table[:, np.ptp(table, axis=0) > 0]
        if not table.shape[1]:
            raise DataError(
                "The windows know no confound that varies. Name some: "
                "Confounds(['age', 'motion', function])."
            )
        return table

    def _known(self, windows: Windows) -> list[Item]:
        streams = sorted(
            {
                name
                for rec in windows.recordings
                for name, stream in rec.streams.items()
                if isinstance(stream, Regular) and stream.modality == "physio"
            }
            - {windows.stream}
        )
        found: list[Item] = ["age", "sex", "time", "missing", "dataset", "site", "run", *streams]
        return found


@dataclass(frozen=True, eq=False)
class Table:
    """Predictors that are known for every window of a run.

    Parameters
    ----------
    values : ndarray, shape (n_windows, k)
        One row a window.
    what : str
        What the columns are.
    """

    values: FloatArray
    what: str = "confounds"

    def __repr__(self) -> str:
        return f"no signal, {self.what} ({self.values.shape[1]} columns)"

    def of_windows(self, windows: Windows) -> FloatArray:
        """The rows; the windows must be those the table was made of."""
        return self.values


def without_signal(windows: Windows) -> dict[str, Table]:
    """What is known of a scan apart from its signal, as predictors of their own.

    Parameters
    ----------
    windows : Windows
        With a target; what is itself the target is left out.

    Returns
    -------
    dict of str to Table
        ``phenotype_only`` (age, sex), ``motion_only`` (mean, deviation and
        largest step of the stream ``motion`` over the window), ``site_only``
        (the site, else the data set); those that are known and vary.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular, windows
    >>> bold = Regular(np.zeros((1, 40)), 1, "z", Axis(["V1"], "roi"), "bold")
    >>> recs = [Recording({"bold": bold}, subject=s, age=a) for s, a in (("1", 30), ("2", 40))]
    >>> without_signal(windows(recs, stream="bold", length_s=20, label="subject"))
    {'phenotype_only': no signal, age (1 columns)}
    """
    phenotype = [f for f in ("age", "sex") if _varies(windows, f) and not _is_target(windows, f)]
    moved = all("motion" in rec.streams for rec in windows.recordings)
    places = [f for f in ("site", "dataset") if _varies(windows, f)]
    chosen = {
        "phenotype_only": phenotype,
        "motion_only": ["motion"] if moved and windows.stream != "motion" else [],
        "site_only": [f for f in places[:1] if not _is_target(windows, f)],
    }
    out = {}
    for name, items in chosen.items():
        if items:
            table = Confounds(items).of_windows(windows)
            table = table[:, np.ptp(table, axis=0) > 0]
            if table.shape[1]:
                out[name] = Table(table, ", ".join(items))
    return out


def _varies(windows: Windows, fact: str) -> bool:
    values = {getattr(rec, fact) for rec in windows.recordings} - {"", None}
    return len(values) > 1


def _is_target(windows: Windows, fact: str) -> bool:
    """Whether a fact of the recording is what is to be predicted."""
    column = windows.column(fact)
    if windows.classes is not None:
        return set(windows.classes) == set(column.astype(str).tolist()) - {""}
    target = windows.target
    if target is None or target.ndim != 1 or column.dtype.kind not in "fiu":
        return False
    return bool(np.array_equal(target, column.astype(np.float64), equal_nan=True))


def _columns(windows: Windows, item: Item) -> FloatArray:
    if callable(item):
        return _called(windows, item)
    if item == "time":
        return (windows.start / windows.sfreq)[:, None]
    if item == "missing":
        return _missing(windows)
    used, first = np.unique(windows.recording, return_index=True)
    covariates = windows.batch(first).covariates
    if item in covariates:
        value = np.full(len(windows.recordings), np.nan)
        value[used] = covariates[item].double().numpy()
        return np.asarray(value[windows.recording][:, None])
    if item in windows.ch_names:
        return _channel(windows, windows.ch_names.index(item))
    if item in _NAMES:
        names, code = np.unique(windows.column(item).astype(str), return_inverse=True)
        return np.asarray(np.eye(len(names))[code])
    if not any(item in rec.streams for rec in windows.recordings):
        known = {name for rec in windows.recordings for name in rec.streams}
        raise ConfigError(
            f"No confound {item!r}. {did_you_mean(str(item), [*_NUMBERS, *_NAMES, *sorted(known)])}"
        )
    return _stream(windows, item)


def _called(windows: Windows, function: Callable[[Recording, float, float], Any]) -> FloatArray:
    values = [
        np.atleast_1d(np.asarray(function(windows.recordings[r], a, b), dtype=np.float64)).ravel()
        for r, a, b in zip(windows.recording, windows.start_s(), windows.stop_s(), strict=True)
    ]
    if len({len(v) for v in values}) > 1:
        raise DataError("The confound function must return as many numbers for every window.")
    return np.stack(values)


def _missing(windows: Windows) -> FloatArray:
    out = np.zeros((len(windows), 2))
    for a in range(0, len(windows), 64):
        batch = windows.batch(np.arange(a, min(a + 64, len(windows))))
        masks = (batch.time_mask, batch.channel_mask)
        out[a : a + 64] = np.stack([1 - m.double().mean(1).numpy() for m in masks], axis=1)
    return out


def _channel(windows: Windows, at: int) -> FloatArray:
    """Mean and deviation of one channel of the windows; NaN where it is absent."""
    out = np.full((len(windows), 2), np.nan)
    for a in range(0, len(windows), 64):
        batch = windows.batch(np.arange(a, min(a + 64, len(windows))))
        x = batch.x[:, at].double().numpy()
        valid = batch.time_mask.numpy() & batch.channel_mask[:, at].numpy()[:, None]
        n = valid.sum(1)
        mean = np.where(valid, x, 0.0).sum(1) / np.maximum(n, 1)
        sd = np.sqrt((np.where(valid, x - mean[:, None], 0.0) ** 2).sum(1) / np.maximum(n, 1))
        out[a : a + 64] = np.where(n[:, None] > 0, np.stack([mean, sd], axis=1), np.nan)
    return out


def _stream(windows: Windows, name: str) -> FloatArray:
    """Mean, deviation and largest step of each row over each window; NaN where absent."""
    start, stop = windows.start_s(), windows.stop_s()
    widths = [rec.regular(name).shape[0] for rec in windows.recordings if name in rec.streams]
    out = np.full((len(windows), 3 * max(widths)), np.nan)
    for r in np.unique(windows.recording).tolist():
        rec = windows.recordings[r]
        if name not in rec.streams:
            continue
        signal, clock = rec.regular(name), rec.clock(name)
        for i in np.flatnonzero(windows.recording == r).tolist():
            a, b = (signal.index(float(clock.to_stream(t))) for t in (start[i], stop[i]))
            a, b = max(a, 0), min(max(b, a + 1), signal.n_times)
            if b > a:
                x = signal.read(a, b).astype(np.float64)
                out[i, : 3 * len(x)] = np.concatenate(_summary(x))
    return out


def _summary(x: AnyArray) -> list[FloatArray]:
    known = np.isfinite(x)
    n = np.maximum(known.sum(1), 1)
    filled = np.where(known, x, 0.0)
    mean = filled.sum(1) / n
    sd = np.sqrt((np.where(known, x - mean[:, None], 0.0) ** 2).sum(1) / n)
    step = np.abs(np.diff(x, axis=1)) if x.shape[1] > 1 else np.zeros((len(x), 1))
    step = np.where(np.isfinite(step), step, 0.0).max(1)
    gone = ~known.any(1)
    return [np.where(gone, np.nan, v) for v in (mean, sd, step)]


def _completed(x: FloatArray) -> FloatArray:
    """Missing values as 0, with a column that says so."""
    gone = ~np.isfinite(x)
    if not gone.any():
        return x
    told = np.unique(gone.astype(np.float64), axis=1)
    return np.concatenate([np.where(gone, 0.0, x), told], axis=1)
