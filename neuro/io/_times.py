"""From time stamps to a fixed rate, where they allow it."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Grid", "regular_grid"]


@dataclass(frozen=True)
class Grid:
    """A fixed rate found in time stamps.

    Parameters
    ----------
    rate : Fraction
        Hz.
    t0_s : float
        Time of sample 0.
    index : ndarray of int, shape (n,)
        Sample of the grid that each stamp is.
    segments : ndarray of int, shape (m, 2)
        Half-open ranges without a jump.
    worst : float
        Largest distance of a stamp from its sample, in samples.
    """

    rate: Fraction
    t0_s: float
    index: IntArray
    segments: IntArray
    worst: float

    @property
    def n_times(self) -> int:
        """Samples of the grid, those in gaps included."""
        return int(self.index[-1]) + 1


def regular_grid(times_s: FloatArray, nominal: float | None = None) -> Grid | None:
    """A fixed rate whose grid every stamp is within half a sample of.

    Stamps may jump (a pause, a lost packet): the jump is rounded to whole
    samples and starts a new segment. Jitter and slow drift up to half a sample
    are absorbed; anything worse has no fixed rate.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        Increasing stamps in seconds.
    nominal : float, optional
        Rate in Hz that the file claims; used if the stamps agree with it.

    Returns
    -------
    Grid or None
        None where the stamps have no fixed rate.

    Examples
    --------
    >>> grid = regular_grid(np.array([0.0, 0.01, 0.02, 1.0, 1.01]))
    >>> grid.rate, grid.segments.tolist(), grid.n_times
    (Fraction(100, 1), [[0, 3], [100, 102]], 102)
    """
    times = np.asarray(times_s, dtype=np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
        return None
    steps = np.diff(times)
    step = float(np.median(steps))
    if step <= 0 or (steps <= 0).any():
        return None
    jumps = steps > 1.5 * step
    if jumps.sum() > 1 + 0.1 * len(steps):
        return None
    inside = steps[~jumps]
    *round_ones, exact = _candidates(len(inside) / float(inside.sum()), nominal)
    best = _fit(times, jumps, exact)
    for rate in round_ones:
        grid = _fit(times, jumps, rate)
        # a rounder rate may explain the stamps a tenth of a sample less well
        if grid is not None and (best is None or grid.worst <= best.worst + 0.1):
            return grid
    if best is None and jumps.any():  # a pause may end half a sample off the grid
        for rate in (*round_ones, exact):
            best = best or _fit(times, jumps, rate, own_phase=True)
    return best


def _fit(
    times: FloatArray, jumps: BoolArray, rate: Fraction, *, own_phase: bool = False
) -> Grid | None:
    place = (times - times[0]) * float(rate)
    if own_phase:  # each segment is moved so that its first stamp is on the grid
        first = np.concatenate([[0], np.flatnonzero(jumps) + 1])
        off = place[first] - np.rint(place[first])
        place = place - np.repeat(off, np.diff([*first, len(times)]))
    index = np.rint(place).astype(np.int64)
    worst = float(np.abs(place - index).max())
    moved = np.diff(index)
    if worst >= 0.5 or (moved[~jumps] != 1).any() or (moved <= 0).any():
        return None
    breaks = np.flatnonzero(moved > 1) + 1
    starts = np.concatenate([[0], breaks])
    stops = np.concatenate([breaks, [len(times)]])
    segments = np.stack([index[starts], index[stops - 1] + 1], axis=1)
    return Grid(rate, float(times[0]), index, segments, worst)


def _candidates(fitted: float, nominal: float | None) -> list[Fraction]:
    """Rates from round to exact, so that 120.0004 Hz of rounded stamps becomes 120."""
    out = [] if not nominal else [Fraction(nominal).limit_denominator(10_000)]
    for digits in (0, 1, 2, 3, 6):
        near = Fraction(round(fitted, digits)).limit_denominator(10**6)
        if near > 0:
            out.append(near)
    period = Fraction(round(1 / fitted, 4)).limit_denominator(10_000)
    if period > 0:
        out.insert(1 if out else 0, 1 / period)
    out.append(Fraction(fitted).limit_denominator(10**9))
    return out
