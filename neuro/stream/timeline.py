"""Time stamps to sample numbers: gaps are found, cues are put on the grid."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from neuro.errors import ConfigError
from neuro.typing import FloatArray

__all__ = ["Gap", "Piece", "Timeline"]


class Gap(NamedTuple):
    """A break in the stream."""

    at_s: float  # time stamp of the first sample after it
    missing_s: float  # negative where time ran backwards


class Piece(NamedTuple):
    """Columns of a chunk without a gap inside, and the gap before them, if any."""

    columns: slice
    gap: Gap | None


class Timeline:
    """Keeps the time stamps of the last samples since a gap.

    Parameters
    ----------
    sfreq : Fraction or float
        Nominal rate in Hz.
    gap_s : float
        A stamp that is this much later, or earlier, than the sample before leads
        to expect is a gap. Stamps of real amplifiers jitter by some milliseconds.
    history_s : float
        How long stamps are kept.

    Examples
    --------
    >>> line = Timeline(100)
    >>> [p.gap for p in line.push(np.arange(10) / 100)]
    [None]
    >>> [round(p.gap.missing_s, 3) for p in line.push(np.arange(50, 60) / 100)]
    [0.4]
    >>> line.position(0.523)
    2
    """

    def __init__(
        self, sfreq: Fraction | float, *, gap_s: float = 0.05, history_s: float = 60.0
    ) -> None:
        if not gap_s > 1 / float(sfreq):
            raise ConfigError(f"gap_s={gap_s} must be longer than a sample, {1 / sfreq} s.")
        self.step_s, self.gap_s = 1 / float(sfreq), gap_s
        self._stamps: deque[FloatArray] = deque()
        self._keep = round(history_s * float(sfreq))
        self._last: float | None = None
        self._first = 0  # number of the oldest stamp kept
        self.stop = 0  # samples since the gap

    def push(self, stamps: FloatArray) -> Iterator[Piece]:
        """Take the stamps of a chunk; say where it falls apart.

        Parameters
        ----------
        stamps : ndarray, shape (n,)
            Seconds, one a sample.

        Yields
        ------
        Piece
            In order, together all columns. The timeline knows the stamps up to the
            piece it has just given.
        """
        stamps = np.asarray(stamps, dtype=np.float64)
        if not len(stamps):
            return
        before = stamps[0] - self.step_s if self._last is None else self._last
        late = np.diff(stamps, prepend=before) - self.step_s
        breaks = np.flatnonzero(np.abs(late) > self.gap_s).tolist()
        edges = sorted({0, *breaks, len(stamps)})
        for start, stop in pairwise(edges):
            gap = Gap(float(stamps[start]), float(late[start])) if start in breaks else None
            if gap is not None:
                self._forget_all()
            self._append(stamps[start:stop])
            yield Piece(slice(start, stop), gap)

    def _forget_all(self) -> None:
        self._stamps.clear()
        self._first = self.stop = 0

    def _append(self, stamps: FloatArray) -> None:
        self._stamps.append(stamps)
        self._last = float(stamps[-1])
        self.stop += len(stamps)
        while self.stop - self._first - len(self._stamps[0]) >= self._keep:
            self._first += len(self._stamps.popleft())

    @property
    def begin_s(self) -> float | None:
        """Oldest stamp that is kept since the last gap."""
        return float(self._stamps[0][0]) if self._stamps else None

    @property
    def end_s(self) -> float | None:
        """Stamp of the last sample."""
        return self._last

    def position(self, time_s: float) -> int | None:
        """Number of the sample nearest to a time; None where there is none.

        The jitter of single stamps is averaged away over the second before. Where
        the last stamp is early, the answer may be the sample that comes next.

        Parameters
        ----------
        time_s : float
            On the clock of the stamps.
        """
        if not self._stamps:
            return None
        stamps = np.concatenate(self._stamps)
        nearest = int(np.abs(stamps - time_s).argmin())  # stamps that jitter are in no order
        # the second before it tells when that sample was really taken; what comes later is left
        # out, so that the answer does not depend on when it is asked for
        own = stamps[max(0, nearest - round(1 / self.step_s)) : nearest + 1]
        jitter = own - own[-1] + self.step_s * np.arange(len(own))[::-1]
        at_s = own[-1] + float(np.median(jitter))
        best = nearest + int(np.ceil((time_s - at_s) / self.step_s - 0.5 - 1e-6))
        ahead = time_s > stamps[-1] + self.step_s
        return None if ahead or best < 0 else self._first + best

    def time_of(self, sample: int) -> float | None:
        """Stamp of a sample since the last gap; None if it is gone or has not come."""
        at = self._first
        for stamps in self._stamps:
            if at <= sample < at + len(stamps):
                return float(stamps[sample - at])
            at += len(stamps)
        return None
