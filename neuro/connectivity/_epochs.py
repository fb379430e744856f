"""Checks on input shared by all measures: shape, order, missing and dead channels."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray

__all__ = ["Epochs", "Trials", "as_epochs", "check_average", "check_sfreq"]

Trials: TypeAlias = AnyArray | Sequence[AnyArray]


class Epochs(NamedTuple):
    """Checked trials.

    ``trials`` are (n_chans, n_times) views, ``kept`` their positions in the input,
    ``n_dropped`` how many held NaN and were left out whole.
    """

    trials: list[AnyArray]
    kept: NDArray[np.int64]
    n_dropped: int

    @property
    def n_chans(self) -> int:
        """Number of channels."""
        return int(self.trials[0].shape[0])

    @property
    def n_times(self) -> int:
        """Samples of the longest trial."""
        return max(int(t.shape[1]) for t in self.trials)


def check_average(average: str) -> None:
    """Refuse anything but an explicit averaging axis."""
    if average not in ("trials", "time"):
        raise ConfigError(
            f"average={average!r} must be 'trials' (one result, expectation over all trials) or "
            "'time' (one result a trial, expectation over its windows): the two answer "
            "different questions, so there is no default."
        )


def check_sfreq(sfreq: Any) -> float:
    """Sampling rate as a positive float."""
    if sfreq is None or not np.isfinite(float(sfreq)) or float(sfreq) <= 0:
        raise ConfigError(f"sfreq={sfreq} must be a positive rate in Hz (for fMRI: 1 / TR).")
    return float(sfreq)


def _as_trials(x: Trials) -> list[AnyArray]:
    """One (n_chans, n_times) array a trial."""
    ragged = isinstance(x, (list, tuple)) and len({np.shape(t) for t in x}) > 1
    trials = [np.asarray(t) for t in x] if ragged else list(_as_cube(np.asarray(x)))
    bad = [t.shape for t in trials if t.ndim != 2 or t.shape[1] < 1]
    if not trials or bad or len({t.shape[0] for t in trials}) > 1:
        shapes = sorted({t.shape for t in trials})[:4]
        raise DataError(
            f"Trials must be (n_chans, n_times) with the same channels, got shapes {shapes}."
        )
    if any(t.dtype.kind not in "fiu" for t in trials):
        raise DataError(f"Expected real numbers, got dtype {trials[0].dtype}.")
    return trials


def _as_cube(x: AnyArray) -> AnyArray:
    if x.ndim == 2:
        x = x[np.newaxis]
    if x.ndim != 3 or 0 in x.shape:
        raise DataError(
            f"Expected x of shape (n_epochs, n_chans, n_times) or (n_chans, n_times), "
            f"got {x.shape}."
        )
    return x


def _check_order(trials: list[AnyArray]) -> None:
    """Refuse arrays whose axes look swapped."""
    n_chans = trials[0].shape[0]
    longest = max(t.shape[1] for t in trials)
    total = sum(t.shape[1] for t in trials)
    if n_chans > total or (n_chans > 64 and n_chans >= 4 * longest):
        raise DataError(
            f"{n_chans} channels but {longest} samples a trial: the axes look swapped. "
            "Time must be the last axis; transpose the array, or pass ch_names if it is right."
        )


def _check_alive(trials: list[AnyArray], ch_names: Sequence[str] | None) -> None:
    """Refuse channels that are constant in every trial."""
    alive = np.zeros(trials[0].shape[0], dtype=bool)
    for trial in trials:
        size = np.abs(trial).max(axis=1).astype(np.float64)
        # what a mean of constants leaves in floating point is not signal
        alive |= np.ptp(trial, axis=1).astype(np.float64) > 1e-13 * size
        if alive.all():
            return
    dead = np.flatnonzero(~alive)
    names = [str(i) if ch_names is None else ch_names[int(i)] for i in dead]
    raise DataError(
        f"Constant channels have no connectivity: {names[:8]}. Drop or interpolate them."
    )


def as_epochs(x: Trials, *, ch_names: Sequence[str] | None = None, min_chans: int = 2) -> Epochs:
    """Check trials and drop those that hold NaN.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times) or (n_chans, n_times)
        Trials, or a list of (n_chans, n_times) arrays of different lengths.
    ch_names : sequence of str or None
        Names for messages, and the statement that rows are channels.
    min_chans : int
        Fewest channels.

    Returns
    -------
    Epochs
        The usable trials.

    Raises
    ------
    DataError
        Wrong shape, swapped axes, a constant channel, or NaN in every trial.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 2, 50))
    >>> x[1, 0, 7] = np.nan
    >>> as_epochs(x).n_dropped
    1
    """
    trials = _as_trials(x)
    n_chans = trials[0].shape[0]
    if n_chans < min_chans:
        raise DataError(f"Connectivity needs at least {min_chans} channels, got {n_chans}.")
    if ch_names is not None and len(ch_names) != n_chans:
        raise DataError(
            f"{len(ch_names)} channel names for {n_chans} rows: the channel axis comes before "
            "time; is the array transposed?"
        )
    if ch_names is None:  # names say which axis holds the channels
        _check_order(trials)
    finite = np.array([bool(np.isfinite(t).all()) for t in trials])
    if not finite.any():
        first = trials[0]
        rows = np.flatnonzero(~np.isfinite(first).all(axis=1)).tolist()
        raise DataError(
            f"Every trial holds NaN or inf (in the first: channels {rows[:8]}). Interpolate those "
            "channels or cut the gaps into separate trials."
        )
    kept = np.flatnonzero(finite)
    good = [trials[i] for i in kept]
    _check_alive(good, ch_names)
    return Epochs(good, kept, int((~finite).sum()))
