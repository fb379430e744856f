"""What is known of the signals, stretch by stretch: a simulator's truth or annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neuro.data import Recording, Windows
from neuro.data.labels import covering_events
from neuro.errors import DataError
from neuro.typing import FloatArray, IntArray

__all__ = ["Stretches"]


@dataclass(frozen=True, eq=False)
class Stretches:
    """Names of equal stretches of time, for each channel of each recording.

    Parameters
    ----------
    label : sequence of ndarray of int, shape (n_chans, n_stretches)
        One a recording, channels in the order of its stream, or one row for
        all channels. Numbers into `names`; -1 where unknown.
    names : sequence of str
        What the numbers mean.
    step_s : float
        Length of a stretch; the first begins with the recording.

    Examples
    --------
    >>> known = Stretches([np.array([[0, 0, 1], [1, 1, 1]])], ["calm", "spikes"])
    >>> known
    Stretches(1 recordings of 1 s stretches: calm, spikes)
    """

    label: Sequence[IntArray]
    names: Sequence[str]
    step_s: float = 1.0

    def __post_init__(self) -> None:
        label = tuple(np.asarray(a, dtype=np.int64) for a in self.label)
        names = tuple(str(n) for n in self.names)
        for a in label:
            if a.ndim != 2:
                raise DataError(f"Stretches of shape {a.shape}; (channel, stretch) is expected.")
            if a.size and (a.max() >= len(names) or a.min() < -1):
                raise DataError(f"Stretch labels must be -1 to {len(names) - 1}, got {a.max()}.")
        if not self.step_s > 0:
            raise DataError(f"step_s={self.step_s} must be above 0.")
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "names", names)

    def __repr__(self) -> str:
        what = f"{len(self.label)} recordings of {self.step_s:g} s stretches"
        return f"Stretches({what}: {', '.join(self.names)})"

    @classmethod
    def of_truth(cls, truth: Mapping[str, Any]) -> Self:
        """Motif of every second, out of ``neuro.datasets.synthetic.motifs(...).truth``."""
        return cls(list(truth["motif"]), truth["kinds"])

    @classmethod
    def of_events(
        cls, recordings: Sequence[Recording], stream: str, *, step_s: float = 1.0
    ) -> Self:
        """Type of the event that covers a stretch, the same for all channels.

        Parameters
        ----------
        recordings : sequence of Recording
            In the order of the windows' recordings.
        stream : str
            Whose time the stretches are counted in.
        step_s : float
            Length of a stretch.

        Returns
        -------
        Stretches

        Raises
        ------
        DataError
            If no recording has events.
        """
        names = sorted({str(t) for rec in recordings for t in rec.events.type.tolist()})
        if not names:
            raise DataError("No recording has events to name stretches after.")
        label = []
        for rec in recordings:
            signal = rec.regular(stream)
            n = int(signal.n_times / signal.sfreq / step_s)
            events = rec.session_events()
            at = signal.t0_s + step_s * np.arange(n)
            clock = rec.clock(stream)
            row = covering_events(events, clock.to_session(at), clock.to_session(at + step_s))
            kinds = np.array([names.index(str(t)) for t in events.type.tolist()] + [-1])
            label.append(kinds[row][None])
        return cls(label, names, step_s)

    def of_tokens(self, windows: Windows, start_s: FloatArray, length_s: float) -> IntArray:
        """Label of every token; -1 where it spans two labels or an unknown one.

        Parameters
        ----------
        windows : Windows
            Over the recordings that were labelled, in their order.
        start_s : ndarray, shape (n_tokens,)
            Beginning of the tokens in the window.
        length_s : float
            Seconds that a token covers.

        Returns
        -------
        ndarray of int, shape (n_windows, n_chans, n_tokens)

        Raises
        ------
        DataError
            If the labels are of other recordings.
        """
        if len(self.label) != len(windows.recordings):
            raise DataError(
                f"{len(self.label)} recordings are labelled, the windows have "
                f"{len(windows.recordings)}."
            )
        begin = windows.start[:, None] / windows.sfreq + start_s[None]
        # a border within a thousandth of a stretch counts as the border
        first = np.floor(begin / self.step_s + 1e-3).astype(np.int64)
        last = np.ceil((begin + length_s) / self.step_s - 1e-3).astype(np.int64) - 1
        out = np.full((len(windows), len(windows.axis), len(start_s)), -1, dtype=np.int64)
        for r in np.unique(windows.recording).tolist():
            at = np.flatnonzero(windows.recording == r)
            names = windows.recordings[r].regular(windows.stream).axis.names
            rows = windows.axis.index(names)
            out[np.ix_(at, rows)] = self._constant(r, first[at], last[at], len(names))
        return out

    def _constant(self, r: int, first: IntArray, last: IntArray, n_chans: int) -> IntArray:
        """Label of stretches `first` to `last` where it is the same in all, (n, chan, token)."""
        label = self.label[r]
        if len(label) not in (1, n_chans):
            raise DataError(
                f"Recording {r} has {n_chans} channels, its stretches are of {len(label)}."
            )
        n = label.shape[1]
        known = (first >= 0) & (last < n)
        a, b = np.clip(first, 0, n - 1), np.clip(last, 0, n - 1)
        changes = np.cumsum(np.diff(label, axis=1, prepend=label[:, :1]) != 0, axis=1)
        same = (changes[:, a] == changes[:, b]) & known
        found = np.where(same, label[:, a], -1)
        return np.broadcast_to(np.moveaxis(found, 0, 1), (len(first), n_chans, first.shape[1]))
