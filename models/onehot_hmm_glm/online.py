"""States bin by bin, for closed loops."""

import numpy as np

from neuro.errors import DataError
from neuro.models._glm.rates import Observation
from neuro.models.onehot_hmm_glm.moves import driven_moves
from neuro.signal.bases import HistoryBuffer
from neuro.stats.hmm import StateFilter
from neuro.typing import AnyArray, FloatArray

__all__ = ["OnlineFilter"]


class OnlineFilter:
    """Filtered state probabilities of a fitted model, one bin at a time.

    Parameters
    ----------
    weights : array, shape (n_states, n_units, n_columns)
        Of the model.
    moves : array, shape (n_states, n_states)
        Transition matrix, where inputs drive it at inputs of zero.
    drive : array, shape (n_states, n_states, n_driving)
        Log odds of moving rather than staying for one more of each input.
    driving : tuple of int
        Inputs that drive moves; the others drive counts.
    observation : Observation
        Rates and distribution.
    past, course : array, shape (n_basis, n_lags)
        Bases of history and inputs.
    n_inputs : int
        Inputs of each bin.
    uses_past : bool
        Whether the model has history terms.
    """

    def __init__(
        self,
        weights: FloatArray,
        moves: FloatArray,
        drive: FloatArray,
        driving: tuple[int, ...],
        observation: Observation,
        past: FloatArray,
        course: FloatArray,
        *,
        n_inputs: int,
        uses_past: bool,
    ) -> None:
        n_states, n_units, n_columns = weights.shape
        self._shape = (n_states, n_units)
        # one product for all states
        self._weights = weights.reshape(n_states * n_units, n_columns)
        self._observation = observation
        self._states, self._moves, self._drive = StateFilter(moves), moves, drive
        self._driving = list(driving)
        self._driven = [row for row in range(n_inputs) if row not in driving]
        self._n_inputs = n_inputs
        self._past = HistoryBuffer(n_units, past) if uses_past else None
        self._course = course
        self._inputs = np.zeros((course.shape[1], len(self._driven)))
        self._reach = (past.shape[1] if uses_past else 0, course.shape[1] - 1)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next bin is the first of a session."""
        self._states.reset()
        self._inputs[:] = 0.0
        if self._past is not None:
            self._past.reset()
        # bins since a count, an input was missing
        self._since = [10**9, 10**9]

    def push(self, counts: AnyArray, inputs: AnyArray | None = None) -> FloatArray:
        """Take the next bin.

        Parameters
        ----------
        counts : array, shape (n_units,)
            Whole numbers; NaN is missing.
        inputs : array, shape (n_inputs,), optional
            Where the model has inputs.

        Returns
        -------
        float64 array, shape (n_states,)
            Probability of each state given everything up to and with this bin.

        Raises
        ------
        DataError
            Wrong sizes or values that are no counts.
        """
        bin_ = np.asarray(counts, dtype=np.float64)
        extra = np.zeros(0) if inputs is None else np.asarray(inputs, dtype=np.float64)
        if bin_.shape != self._shape[1:] or extra.shape != (self._n_inputs,):
            raise DataError(
                f"Expected {self._shape[1]} counts and {self._n_inputs} inputs, got "
                f"{bin_.shape} and {extra.shape}."
            )
        moves = None
        if self._driving:
            now = np.nan_to_num(extra[self._driving])[np.newaxis]
            moves = driven_moves(self._moves, self._drive, now)
        extra = extra[self._driven]
        self._observation.check(bin_)
        lost, blind = bool(np.isnan(bin_).any()), bool(np.isnan(extra).any())
        self._since = [0 if lost else self._since[0] + 1, 0 if blind else self._since[1] + 1]
        bin_ = np.nan_to_num(bin_)
        self._inputs[1:] = self._inputs[:-1].copy()
        self._inputs[0] = np.nan_to_num(extra)
        columns = [np.zeros(0)] if self._past is None else [self._past.push(bin_).ravel()]
        columns += [(self._course @ self._inputs).T.ravel(), np.ones(1)]
        eta = (self._weights @ np.concatenate(columns)).reshape(self._shape)
        clear = all(since > reach for since, reach in zip(self._since, self._reach, strict=True))
        known = clear and not (lost or blind)
        log_lik = np.full(self._shape[0], np.nan)
        if known:
            table = np.broadcast_to(bin_, self._shape)
            log_lik = self._observation.log_lik(eta, table).sum(axis=1)
            log_lik += self._observation.constant(bin_[np.newaxis])
        return np.asarray(self._states.push(log_lik[np.newaxis], moves).filtered[0])
