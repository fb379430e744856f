"""Two modalities at once, joined on clocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from neuro.data.axis import Axis
from neuro.data.cutting import check_alike
from neuro.data.recording import Recording
from neuro.data.streams import Regular
from neuro.data.windows import Windows
from neuro.errors import DataError, UnitError
from neuro.typing import FloatArray, IntArray

__all__ = ["PairedWindows", "pair"]


@dataclass(frozen=True, eq=False, repr=False)
class PairedWindows(Windows):
    """Windows of one stream, each with a sample of another stream as its target.

    Accepted wherever :class:`Windows` are.

    Parameters
    ----------
    target_axis : Axis
        Names of the target's entries.
    target_time_s : ndarray, shape (n,)
        Session time of each target sample.
    target_sample : ndarray of int, shape (n,)
        Number of each target sample in its stream.
    target_recordings : tuple of Recording
        Where the targets come from, in the order of `recordings`; the same
        ones unless the slow stream was recorded apart.
    target_stream : str
        Name of the slow stream in them.
    """

    target_axis: Axis = field(default_factory=lambda: Axis([], "roi"))
    target_time_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    target_sample: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    target_recordings: tuple[Recording, ...] = ()
    target_stream: str = ""

    def select(self, indices: Any) -> Self:
        """Index of the chosen windows; ids stay."""
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else self._rows(indices)
        return self._chosen(
            rows,
            target_time_s=self.target_time_s[rows],
            target_sample=self.target_sample[rows],
        )

    def target_series(self, recording: int) -> Regular:
        """The whole slow stream that a recording's targets were taken from."""
        return self.target_recordings[recording].regular(self.target_stream)

    def extent(self) -> tuple[IntArray, IntArray]:
        """From the window's start to the target's time, in samples of the window's stream."""
        t0, a, b = self._cached("clocks", self._clocks)[:, self.recording]
        at = ((self.target_time_s - b) / a - t0) * float(self.rate)
        return (
            np.minimum(self.start, np.floor(at + 1e-6).astype(np.int64)),
            np.maximum(self.stop, np.ceil(at - 1e-6).astype(np.int64)),
        )


def pair(
    eeg: Recording | Sequence[Recording],
    fmri: Recording | Sequence[Recording] | None = None,
    *,
    window_s: float,
    lag_s: float = 0.0,
    eeg_stream: str | None = None,
    fmri_stream: str | None = None,
) -> PairedWindows:
    """Windows of a fast signal that end at the time of each sample of a slow one.

    Times are compared on the session clock, through both streams' clocks;
    sample counts and rate ratios are never used.

    Parameters
    ----------
    eeg : Recording or sequence of Recording
        With the fast stream.
    fmri : Recording or sequence of Recording, optional
        With the slow stream, matched to `eeg` by dataset, subject, session and
        run; the same recordings if omitted.
    window_s : float
        Length of the fast window in seconds.
    lag_s : float
        The window ends `lag_s` seconds before the slow sample.
    eeg_stream, fmri_stream : str, optional
        Stream names; the only EEG-like and only BOLD stream if omitted.

    Returns
    -------
    PairedWindows
        `target` has shape (n, roi); NaN where missing or the row is bad.

    Raises
    ------
    DataError
        If recordings do not match, or no window fits before any sample.

    Examples
    --------
    >>> from neuro.data import Axis, Clock
    >>> eeg = Regular(np.zeros((2, 6000)) + 1, 100, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> bold = Regular(np.arange(20.0)[None], "1/2", "z", Axis(["PCC"], "roi"), "bold")
    >>> rec = Recording({"eeg": eeg, "bold": bold}, clocks={"bold": Clock(1.0, 10.0)})
    >>> pairs = pair(rec, window_s=16)
    >>> len(pairs), float(pairs.target[0, 0]), float(pairs.stop_s()[0])
    (17, 3.0, 16.0)
    """
    fast = (eeg,) if isinstance(eeg, Recording) else tuple(eeg)
    slow = fast if fmri is None else (fmri,) if isinstance(fmri, Recording) else tuple(fmri)
    if not fast:
        raise DataError("No recordings were given to pair.")
    by_key = {_key(rec): rec for rec in slow}
    if len(by_key) != len(slow):
        raise DataError("Two fMRI recordings have the same subject, session and run.")
    rows: list[IntArray] = []
    targets, times, samples = [], [], []
    others: list[Recording] = []
    axis: Axis | None = None
    unit: str | None = None
    slow_name = ""
    name = _find(fast[0], eeg_stream, ("eeg", "meg", "ieeg", "lfp"))
    if not (np.isfinite(window_s) and window_s > 0 and np.isfinite(lag_s)):
        raise DataError(f"window_s={window_s} must be positive, and lag_s={lag_s} finite.")
    check_alike(fast, [rec.stream(name) for rec in fast], name)
    n_times = max(1, round(window_s * fast[0].regular(name).rate))
    for r, rec in enumerate(fast):
        if _key(rec) not in by_key:
            raise DataError(f"No fMRI recording matches {rec.id!r} (subject, session, run).")
        other = by_key[_key(rec)]
        target_name = _find(other, fmri_stream, ("bold",))
        if others and target_name != slow_name:
            raise DataError(
                f"The slow stream is {slow_name!r} in the first recording and {target_name!r} in "
                f"{other.id!r}. Give both one name, or name one: fmri_stream=."
            )
        slow_name = target_name
        others.append(other)
        source, target = rec.regular(name), other.regular(target_name)
        if unit is not None and target.unit != unit:
            raise UnitError(f"{other.id!r} is in {target.unit}, the first target in {unit}.")
        unit = target.unit
        if axis is not None and target.axis.names != axis.names:
            raise DataError(f"{other.id!r} has other target rows than the first recording.")
        axis = target.axis
        session = other.clock(target_name).to_session(target.time(np.arange(target.n_times)))
        ends = rec.clock(name).to_stream(session - lag_s)
        stop = np.array([source.index(t) for t in ends])
        segment = np.searchsorted(source.segments[:, 0], stop - n_times, side="right") - 1
        fits = (segment >= 0) & (stop <= source.segments[np.maximum(segment, 0), 1])
        slow_segment = (
            np.searchsorted(target.segments[:, 0], np.arange(len(stop)), side="right") - 1
        )
        fits &= np.arange(len(stop)) < target.segments[np.maximum(slow_segment, 0), 1]
        fits &= slow_segment >= 0
        keep = np.flatnonzero(fits)
        block = slow_segment if len(target.segments) > 1 else np.full(len(stop), -1)
        rows.append(np.stack([np.full(len(keep), r), stop[keep], block[keep]], axis=1))
        values = target.values()[:, keep].T.astype(np.float64)
        values[:, target.axis.bad] = np.nan
        targets.append(values)
        times.append(session[keep])
        samples.append(keep)
    table = np.concatenate(rows)
    if not len(table) or axis is None:
        raise DataError(_nothing_fits(fast[0], name, others[0], slow_name, window_s, lag_s))
    return PairedWindows(
        recordings=fast,
        stream=name,
        recording=table[:, 0],
        start=table[:, 1] - n_times,
        stop=table[:, 1],
        block=table[:, 2],
        id=np.arange(len(table)),
        target=np.concatenate(targets),
        target_axis=axis,
        target_time_s=np.concatenate(times),
        target_sample=np.concatenate(samples),
        target_recordings=tuple(others),
        target_stream=slow_name,
    )


def _nothing_fits(
    rec: Recording, name: str, other: Recording, slow: str, window_s: float, lag_s: float
) -> str:
    """What the two time lines look like when no sample has a whole window before it."""
    spans = []
    for one, stream in ((rec, name), (other, slow)):
        signal, clock = one.regular(stream), one.clock(stream)
        a, b = clock.to_session(signal.t0_s), clock.to_session(signal.stop_s)
        spans.append(f"{stream!r} covers {a:g} to {b:g} s")
    return (
        f"No window of {window_s:g} s (lag {lag_s:g} s) fits before any target sample: in the "
        f"first recording {' and '.join(spans)} of the session. Use a shorter window, or set the "
        "clocks: recording.replace(clocks={...})."
    )


def _key(rec: Recording) -> tuple[str, str, str, str]:
    return (rec.dataset, rec.subject, rec.session, rec.run)


def _find(rec: Recording, name: str | None, modalities: tuple[str, ...]) -> str:
    if name is not None:
        rec.regular(name)
        return name
    found = [
        k for k, s in rec.streams.items() if isinstance(s, Regular) and s.modality in modalities
    ]
    if len(found) != 1:
        raise DataError(
            f"{rec.id!r} has {len(found)} streams of {'/'.join(modalities)}: {found}. Name one."
        )
    return found[0]
