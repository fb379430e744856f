"""Counts of several sessions as one table, with the columns that predict them.

Columns of the design, in order: history of each unit through each basis function (unit
by unit), inputs through theirs, and a column of ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.models._config import Config
from neuro.models._glm.rates import Observation, ObservationKind, link_of
from neuro.signal.bases import (
    bspline_basis,
    exponential_basis,
    history_features,
    raised_cosine_basis,
)
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["SessionTable", "SpikeGLMConfig", "layout", "session_table", "sessions_of"]

# Entries of a design from which on single precision is worth its rounding.
_LARGE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class SpikeGLMConfig(Config):
    """What a GLM of spike counts is made of; rows are post, columns pre.

    Parameters
    ----------
    observation : {"poisson", "bernoulli", "negative_binomial"}
        Distribution of a bin.
    link : {"auto", "exp", "softplus", "sigmoid"}
        Rate as a function of the predictor; "auto" is softplus, or sigmoid for
        Bernoulli.
    coupling : bool
        Every unit's past predicts every other unit.
    self_history : bool
        A unit's past predicts itself.
    basis : {"exponential", "raised_cosine", "bspline", "lags"}
        Of the past; "lags" gives every lag its own weight.
    n_lags : int
        How far back, in bins.
    n_basis : int
        Functions, for the cosines and splines.
    tau_bins : float
        Decay of the exponential, in bins.
    input_lags : int
        Bins of the inputs that matter: 1 is the present one only.
    input_basis : {"lags", "raised_cosine", "bspline"}
        Of the inputs' recent course.
    n_input_basis : int
        Functions, for cosines and splines of inputs.
    l2 : float
        Weight of ``0.5 * sum(w**2)``, in nats, on all but the constant.
    precision : {"auto", "single", "double"}
        Of matrix products in fitting; sums are double always. "auto" is single from
        four million entries of the design on.
    seed : int
        Of all that is random.

    Raises
    ------
    ConfigError
        If values contradict each other.
    """

    observation: ObservationKind = "poisson"
    link: Literal["auto", "exp", "softplus", "sigmoid"] = "auto"
    coupling: bool = True
    self_history: bool = True
    basis: Literal["exponential", "raised_cosine", "bspline", "lags"] = "exponential"
    n_lags: int = 5
    n_basis: int = 3
    tau_bins: float = 1.0
    input_lags: int = 1
    input_basis: Literal["lags", "raised_cosine", "bspline"] = "lags"
    n_input_basis: int = 3
    l2: float = 1.0
    precision: Literal["auto", "single", "double"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        link_of(self.observation, self.link)
        if self.n_lags < 1 or self.input_lags < 1:
            raise ConfigError("n_lags and input_lags must be at least 1 bin.")
        if not (np.isfinite(self.l2) and self.l2 >= 0):
            raise ConfigError(f"l2 = {self.l2!r} must be 0 or more.")
        self.history_basis()
        self.stimulus_basis()

    def history_basis(self) -> FloatArray:
        """Functions of the past, (n_basis, n_lags), lag 1 first."""
        if self.basis == "exponential":
            return exponential_basis(self.n_lags, self.tau_bins)
        return _basis(self.basis, self.n_basis, self.n_lags)

    def stimulus_basis(self) -> FloatArray:
        """Functions of an input's course, (n_basis, input_lags), present bin first."""
        return _basis(self.input_basis, self.n_input_basis, self.input_lags)

    def observed(self) -> Observation:
        """The observation model, without a dispersion."""
        return Observation(self.observation, link_of(self.observation, self.link))

    def driving(self) -> tuple[int, ...]:
        """Inputs that predict moves between states and not counts: none."""
        return ()


def _basis(name: str, n_basis: int, n_lags: int) -> FloatArray:
    if name == "lags":
        return np.eye(n_lags)
    make = raised_cosine_basis if name == "raised_cosine" else bspline_basis
    return make(n_basis, n_lags)


@dataclass(frozen=True, eq=False)
class SessionTable:
    """All sessions one below the other, time first.

    Parameters
    ----------
    counts : float array, shape (n_bins, n_units)
        Zero where missing.
    design : float array, shape (n_bins, n_columns)
        What predicts them; the last column is one.
    valid : bool array, shape (n_bins,)
        Bins that are observed and whose past is known.
    lengths : int64 array, shape (n_sessions,)
        Bins of each session.
    n_history, n_inputs : int
        Columns of the history and of the inputs.
    drive : float64 array, shape (n_bins, n_driving)
        Inputs of the moves between states, zero where missing.
    """

    counts: FloatArray
    design: FloatArray
    valid: BoolArray
    lengths: IntArray
    n_history: int
    n_inputs: int
    drive: FloatArray

    @property
    def n_bins(self) -> int:
        """Bins of all sessions, missing ones too."""
        return len(self.counts)

    def take(self, sessions: Sequence[int]) -> "SessionTable":
        """Some of the sessions."""
        edges = np.concatenate([[0], np.cumsum(self.lengths)])
        rows = np.concatenate([np.arange(edges[i], edges[i + 1]) for i in sessions])
        return SessionTable(
            self.counts[rows], self.design[rows], self.valid[rows],
            self.lengths[list(sessions)], self.n_history, self.n_inputs, self.drive[rows],
        )  # fmt: skip


def sessions_of(x: Any, rows: str = "units") -> list[FloatArray]:
    """Arrays (n_rows, n_times), one a session.

    Raises
    ------
    DataError
        If shapes are not those of sessions.
    """
    given = x
    if isinstance(x, np.ndarray):
        given = {1: x[np.newaxis, np.newaxis], 2: x[np.newaxis]}.get(x.ndim, x)
    found: list[FloatArray] = [np.asarray(one, dtype=np.float64) for one in given]
    found = [one[np.newaxis] if one.ndim == 1 else one for one in found]
    if not found or any(one.ndim != 2 for one in found) or len({len(o) for o in found}) != 1:
        raise DataError(
            f"Expected (n_{rows}, n_times) or a list of such sessions with the same {rows}, "
            "time last."
        )
    if any(one.shape[1] > 0 and len(one) > 4 * one.shape[1] for one in found):
        longest = max(found, key=lambda one: len(one) / one.shape[1])
        raise DataError(
            f"A session has {len(longest)} {rows} and {longest.shape[1]} bins: time comes last."
        )
    return found


def session_table(
    config: SpikeGLMConfig,
    counts: Any,
    inputs: Any = None,
    *,
    n_units: int | None = None,
    n_inputs: int | None = None,
    dtype: type | None = None,
) -> SessionTable:
    """Counts and what predicts them.

    Parameters
    ----------
    config : SpikeGLMConfig
        Terms of the model.
    counts, inputs : array (n_rows, n_times), (n_sessions, n_rows, n_times) or list
        Counts of units, and covariates of the same bins. NaN is missing: a bin with a
        NaN, and bins whose history would reach into one, are left out.
    n_units, n_inputs : int, optional
        What a fitted model expects.
    dtype : type, optional
        float32 or float64; by the configuration's precision if omitted.

    Returns
    -------
    SessionTable
        Table of all sessions.

    Raises
    ------
    DataError
        If counts are no counts, shapes disagree, or nothing is left.
    """
    sessions = sessions_of(counts)
    if n_units is not None and len(sessions[0]) != n_units:
        raise DataError(f"The model was fitted to {n_units} units, got {len(sessions[0])}.")
    given, drive = _apart(_inputs_of(inputs, sessions, n_inputs), config.driving())
    for session in sessions:
        config.observed().check(session)
    past, course = _bases(config)
    n_columns = len(sessions[0]) * len(past) + len(given[0]) * len(course) + 1
    total = sum(s.shape[1] for s in sessions)
    if dtype is None:
        large = total * n_columns > _LARGE and config.precision == "auto"
        dtype = np.float32 if large or config.precision == "single" else np.float64
    design: FloatArray = np.ones((total, n_columns), dtype=dtype)
    table: FloatArray = np.empty((total, len(sessions[0])), dtype=dtype)
    valid = np.empty(total, dtype=bool)
    start = 0
    for session, extra in zip(sessions, given, strict=True):
        stop = start + session.shape[1]
        valid[start:stop] = _known(session, extra, past, course)
        session, extra = np.nan_to_num(session), np.nan_to_num(extra)
        table[start:stop] = session.T
        _fill(design[start:stop], session, extra, past, course, dtype)
        start = stop
    if not valid.any():
        raise DataError(
            "No bin has all its units observed and a known past: sessions are missing or "
            "shorter than the history between their gaps."
        )
    lengths = np.array([s.shape[1] for s in sessions])
    n_history, n_stimulus = len(sessions[0]) * len(past), len(given[0]) * len(course)
    return SessionTable(table, design, valid, lengths, n_history, n_stimulus, drive)


def _bases(config: SpikeGLMConfig) -> tuple[FloatArray, FloatArray]:
    """Bases of history (none if it is not used) and of inputs."""
    past = config.history_basis()
    uses_past = config.coupling or config.self_history
    return (past if uses_past else past[:0]), config.stimulus_basis()


def _inputs_of(inputs: Any, sessions: list[FloatArray], n_inputs: int | None) -> list[FloatArray]:
    given: list[FloatArray] = (
        [np.zeros((0, s.shape[1])) for s in sessions]
        if inputs is None
        else sessions_of(inputs, "inputs")
    )
    if [g.shape[1] for g in given] != [s.shape[1] for s in sessions]:
        raise DataError("Counts and inputs must have the same sessions with the same bins.")
    if any(s.shape[1] < 1 for s in sessions):
        raise DataError("A session has no bin.")
    if n_inputs is not None and len(given[0]) != n_inputs:
        raise DataError(f"The model was fitted to {n_inputs} inputs, got {len(given[0])}.")
    if any(np.isinf(g).any() for g in given) or any(np.isinf(s).any() for s in sessions):
        raise DataError("inf in counts or inputs; missing bins are NaN.")
    return given


def _apart(given: list[FloatArray], driving: Sequence[int]) -> tuple[list[FloatArray], FloatArray]:
    """Inputs of the counts by session, and those of the moves, (n_bins, n_driving)."""
    if driving and max(driving) >= len(given[0]):
        raise DataError(
            f"Input {max(driving)} is to drive moves between states, but there are "
            f"{len(given[0])} inputs, numbered from 0."
        )
    rest = [row for row in range(len(given[0])) if row not in driving]
    drive = np.concatenate([one[list(driving)].T for one in given])
    return [one[rest] for one in given], np.nan_to_num(drive)


def _known(
    session: FloatArray, extra: FloatArray, past: FloatArray, course: FloatArray
) -> BoolArray:
    """Bins that are observed and whose features reach into no gap."""
    lost: BoolArray = np.asarray(np.isnan(session).any(axis=0))
    blind: BoolArray = np.asarray(np.isnan(extra).any(axis=0))
    out: BoolArray = np.logical_not(lost | blind)
    for reach, gap, first in ((past.shape[1] if len(past) else 0, lost, 1),
                              (course.shape[1] - 1, blind, 1)):  # fmt: skip
        for lag in range(first, min(reach, len(gap) - 1) + 1 if gap.any() else 0):
            out[lag:] &= ~gap[:-lag]
    return out


def _fill(
    design: FloatArray,
    session: FloatArray,
    extra: FloatArray,
    past: FloatArray,
    course: FloatArray,
    dtype: type,
) -> None:
    n_times, at = session.shape[1], 0
    if len(past):
        at = len(session) * len(past)
        design[:, :at] = history_features(session, past, dtype=dtype).reshape(at, n_times).T
    if len(extra):
        n = len(extra) * len(course)
        # one bin late, so that the present bin is lag 1
        late = np.concatenate([extra, np.zeros((len(extra), 1))], axis=1)
        features = history_features(late, course, dtype=dtype)[:, :, 1:]
        design[:, at : at + n] = features.reshape(n, n_times).T


def layout(config: SpikeGLMConfig, table: SessionTable) -> BoolArray:
    """Which columns each unit may use, (n_units, n_columns)."""
    n_units = table.counts.shape[1]
    free = np.ones((n_units, table.design.shape[1]), dtype=bool)
    if table.n_history:
        own = np.repeat(np.eye(n_units, dtype=bool), table.n_history // n_units, axis=1)
        free[:, : table.n_history] = np.where(own, config.self_history, config.coupling)
    return free
