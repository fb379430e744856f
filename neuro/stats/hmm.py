"""Hidden Markov models as arrays: filter, smooth, decode, sample.

The observation model stays with the caller, who brings ``log_lik``, the
log-likelihood of every bin under every state, time first: (n_bins, n_states). Only
differences between states matter to the posterior, so the best state of each bin is
taken off before anything is exponentiated: a hundred neurons whose log-likelihoods
are -3000 a bin lose no digit. Everything is float64.

A row of NaN is a bin without observation: the chain goes on, nothing is learned from
it. Sessions of different lengths stand one below the other and ``lengths`` says where
each ends; no transition leads from one to the next.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = [
    "Filtered",
    "Path",
    "Posterior",
    "StateFilter",
    "filter_states",
    "forward_backward",
    "most_probable_path",
    "sample_states",
    "stationary",
]


class Posterior(NamedTuple):
    """What all data of a session say about its states.

    ``gamma`` (n_bins, n_states) probability of each state; ``transitions`` (n_states,
    n_states) expected number of moves from row to column, or (n_bins, n_states, n_states)
    the probability of each move into each bin, zero for a session's first; ``initial``
    (n_states,) mean posterior of the first bins; ``log_lik`` (n_sessions,) log marginal
    likelihood.
    """

    gamma: FloatArray
    transitions: FloatArray
    initial: FloatArray
    log_lik: FloatArray


class Filtered(NamedTuple):
    """What the past says about the states.

    ``filtered`` (n_bins, n_states) given the data up to and with the bin; ``predicted``
    given the data before it; ``log_lik`` (n_bins,) log probability of each bin given
    those before it, zero where the bin is missing.
    """

    filtered: FloatArray
    predicted: FloatArray
    log_lik: FloatArray


class Path(NamedTuple):
    """``states`` (n_bins,) and the log probability of data and path, (n_sessions,)."""

    states: IntArray
    log_prob: FloatArray


def _checked(
    log_lik: AnyArray,
    transition: AnyArray,
    initial: AnyArray | None,
    lengths: AnyArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Float64 log-likelihoods, moves (1 or n_bins, s, s), start, session edges."""
    table = np.ascontiguousarray(log_lik, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise DataError(f"log_lik has the shape {table.shape}; give (n_bins, n_states).")
    if not np.isfinite(table).all():
        _check_gaps(table)
    n_bins, n_states = table.shape
    edges = _edges(lengths, n_bins)
    moves, start = _chain(transition, initial, n_states)
    if len(moves) not in (1, n_bins):
        raise DataError(f"{len(moves)} transition matrices for {n_bins} bins; one, or one a bin.")
    return table, moves, start, edges


def _check_gaps(table: FloatArray) -> None:
    missing = np.isnan(table)
    if (missing.any(axis=1) != missing.all(axis=1)).any():
        raise DataError("A bin is NaN in some states only; a missing bin is NaN in all.")
    if (table == np.inf).any() or np.isneginf(table).all(axis=1).any():
        raise DataError("A log-likelihood is +inf, or -inf in every state of a bin.")


def _edges(lengths: AnyArray | None, n_bins: int) -> IntArray:
    sizes = np.array([n_bins]) if lengths is None else np.asarray(lengths)
    if sizes.ndim != 1 or not np.issubdtype(sizes.dtype, np.integer) or (sizes < 1).any():
        raise DataError(f"lengths are whole numbers of 1 or more, got {sizes.tolist()}.")
    if int(sizes.sum()) != n_bins:
        raise DataError(f"lengths add up to {int(sizes.sum())} bins, log_lik has {n_bins}.")
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _chain(
    transition: AnyArray, initial: AnyArray | None, n_states: int
) -> tuple[FloatArray, FloatArray]:
    moves = np.ascontiguousarray(transition, dtype=np.float64)
    moves = moves[np.newaxis] if moves.ndim == 2 else moves
    start = np.full(n_states, 1 / n_states) if initial is None else np.array(initial, np.float64)
    if moves.ndim != 3 or moves.shape[1:] != (n_states, n_states) or start.shape != (n_states,):
        raise DataError(
            f"{n_states} states need a transition matrix ({n_states}, {n_states}) and an initial "
            f"({n_states},); got {np.shape(transition)} and {start.shape}."
        )
    for name, rows in (("transition", moves), ("initial", start)):
        if (
            not (np.isfinite(rows).all() and (rows >= 0).all())
            or (np.abs(rows.sum(axis=-1) - 1) > 1e-6).any()
        ):
            raise DataError(f"Rows of {name} are probabilities: 0 or more, adding up to 1.")
    return moves, start


def filter_states(
    log_lik: AnyArray,
    transition: AnyArray,
    initial: AnyArray | None = None,
    lengths: AnyArray | None = None,
) -> Filtered:
    """States given the past, and the probability of each bin given those before.

    The sum of the returned ``log_lik`` is the likelihood by which held-out data are
    judged: no bin has seen its own future.

    Parameters
    ----------
    log_lik : array, shape (n_bins, n_states)
        Log-likelihood of each bin under each state; a row of NaN is missing.
    transition : array, shape (n_states, n_states) or (n_bins, n_states, n_states)
        Row: from, column: to. One matrix a bin for transitions that inputs drive; the
        one at t leads into bin t.
    initial : array, shape (n_states,), optional
        Of the first bin of each session; uniform if omitted.
    lengths : int array, shape (n_sessions,), optional
        Bins of each session; one session if omitted.

    Returns
    -------
    Filtered
        Filtered and predicted probabilities, log-likelihood of each bin.

    Raises
    ------
    DataError
        Shapes disagree, a bin is impossible, or rows are no probabilities.

    Examples
    --------
    >>> found = filter_states(np.log([[0.9, 0.1], [0.9, 0.1]]), [[0.8, 0.2], [0.2, 0.8]])
    >>> found.filtered.round(3).tolist()
    [[0.9, 0.1], [0.962, 0.038]]
    """
    from neuro.stats._hmm_loops import forward

    table, moves, start, edges = _checked(log_lik, transition, initial, lengths)
    predicted, filtered, weight = (np.empty_like(table) for _ in range(3))
    step = np.empty(len(table))
    for a, b in pairwise(edges.tolist()):
        part = slice(a, b)
        here = moves if len(moves) == 1 else moves[part]
        forward(
            table[part], here, start, True,
            predicted[part], filtered[part], weight[part], step[part],
        )  # fmt: skip
    return Filtered(filtered, predicted, step)


def forward_backward(
    log_lik: AnyArray,
    transition: AnyArray,
    initial: AnyArray | None = None,
    lengths: AnyArray | None = None,
    *,
    each_bin: bool = False,
) -> Posterior:
    """States given all data of their session.

    Scaled recursions; Rabiner, Proc. IEEE 77:257 (1989), section V, with the best
    state of each bin taken off first.

    Parameters
    ----------
    log_lik, transition, initial, lengths : array
        As in :func:`filter_states`.
    each_bin : bool
        Transitions of every bin instead of their sum.

    Returns
    -------
    Posterior
        State probabilities, expected transitions, log marginal likelihoods.

    Raises
    ------
    DataError
        As in :func:`filter_states`.

    Examples
    --------
    >>> found = forward_backward(np.log([[0.9, 0.1], [0.9, 0.1]]) - 3000, [[0.8, 0.2], [0.2, 0.8]])
    >>> found.gamma.round(3).tolist()
    [[0.962, 0.038], [0.962, 0.038]]
    """
    from neuro.stats._hmm_loops import backward, forward

    table, moves, start, edges = _checked(log_lik, transition, initial, lengths)
    predicted, filtered, weight, gamma = (np.empty_like(table) for _ in range(4))
    step = np.empty(len(table))
    n_states = table.shape[1]
    expected = np.zeros((len(table) if each_bin else 1, n_states, n_states))
    for a, b in pairwise(edges.tolist()):
        part = slice(a, b)
        here = moves if len(moves) == 1 else moves[part]
        forward(
            table[part], here, start, True,
            predicted[part], filtered[part], weight[part], step[part],
        )  # fmt: skip
        into = expected[part] if each_bin else expected
        backward(filtered[part], weight[part], here, gamma[part], into)
    total = np.add.reduceat(step, edges[:-1])
    return Posterior(
        gamma, expected if each_bin else expected[0], gamma[edges[:-1]].mean(axis=0), total
    )


def most_probable_path(
    log_lik: AnyArray,
    transition: AnyArray,
    initial: AnyArray | None = None,
    lengths: AnyArray | None = None,
) -> Path:
    """The single most probable sequence of states (Viterbi).

    Parameters
    ----------
    log_lik, transition, initial, lengths : array
        As in :func:`filter_states`.

    Returns
    -------
    Path
        States and the log probability of each session with its path.

    Raises
    ------
    DataError
        As in :func:`filter_states`.

    Examples
    --------
    >>> steady = [[0.9, 0.1], [0.1, 0.9]]
    >>> log_lik = np.log([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1], [0.01, 0.99]])
    >>> most_probable_path(log_lik, steady).states.tolist()
    [0, 0, 0, 1]
    """
    from neuro.stats._hmm_loops import viterbi

    table, moves, start, edges = _checked(log_lik, transition, initial, lengths)
    with np.errstate(divide="ignore"):  # a forbidden move is minus infinity
        log_moves, log_start = np.log(moves), np.log(start)
    states = np.empty(len(table), dtype=np.int64)
    log_prob = np.empty(len(edges) - 1)
    for i, (a, b) in enumerate(pairwise(edges.tolist())):
        here = log_moves if len(moves) == 1 else log_moves[a:b]
        log_prob[i] = viterbi(table[a:b], here, log_start, states[a:b])
    return Path(states, log_prob)


def sample_states(
    n_bins: int, transition: AnyArray, initial: AnyArray | None = None, *, seed: Seed
) -> IntArray:
    """Draw a sequence of states.

    Parameters
    ----------
    n_bins : int
        Length.
    transition : array, shape (n_states, n_states) or (n_bins, n_states, n_states)
        Row: from, column: to.
    initial : array, shape (n_states,), optional
        Of the first bin; uniform if omitted.
    seed : int or Generator
        Of the draw.

    Returns
    -------
    int64 array, shape (n_bins,)
        States from 0.

    Raises
    ------
    ConfigError
        n_bins below 1.
    DataError
        Rows are no probabilities.

    Examples
    --------
    >>> sample_states(6, [[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0], seed=0).tolist()
    [0, 1, 0, 1, 0, 1]
    """
    if n_bins < 1:
        raise ConfigError(f"n_bins={n_bins} must be at least 1.")
    moves, start = _chain(transition, initial, np.shape(transition)[-1])
    if len(moves) not in (1, n_bins):
        raise DataError(f"{len(moves)} transition matrices for {n_bins} bins; one, or one a bin.")
    draws = np.random.default_rng(seed).random(n_bins)
    cumulative = np.cumsum(moves, axis=-1)
    last = np.array([np.flatnonzero(row)[-1] for row in moves.reshape(-1, moves.shape[-1])])
    last = last.reshape(moves.shape[:2])
    out = np.empty(n_bins, dtype=np.int64)
    out[0] = min(np.searchsorted(np.cumsum(start), draws[0], "right"), np.flatnonzero(start)[-1])
    for t in range(1, n_bins):
        m = t if len(moves) > 1 else 0
        found = np.searchsorted(cumulative[m, out[t - 1]], draws[t], "right")
        # rounding may leave the last sum below a draw
        out[t] = min(found, last[m, out[t - 1]])
    return out


def stationary(transition: AnyArray) -> FloatArray:
    """Share of time that a chain spends in each state in the long run.

    Parameters
    ----------
    transition : array, shape (n_states, n_states)
        Row: from, column: to.

    Returns
    -------
    float64 array, shape (n_states,)
        Probabilities; of a chain that falls apart, one of several possible answers.

    Raises
    ------
    DataError
        Rows are no probabilities.

    Examples
    --------
    >>> stationary([[0.9, 0.1], [0.3, 0.7]]).round(6).tolist()
    [0.75, 0.25]
    """
    (matrix,), _ = _chain(transition, None, len(transition))
    n = len(matrix)
    equations = np.concatenate([matrix.T - np.eye(n), np.ones((1, n))])
    found = np.linalg.lstsq(equations, np.r_[np.zeros(n), 1.0], rcond=None)[0]
    found = np.clip(found, 0.0, None)
    return np.asarray(found / found.sum())


class StateFilter:
    """Filtering bin by bin: the same bits as :func:`filter_states` on the whole.

    Parameters
    ----------
    transition : array, shape (n_states, n_states)
        Row: from, column: to.
    initial : array, shape (n_states,), optional
        Of the first bin; uniform if omitted.

    Raises
    ------
    DataError
        Rows are no probabilities.

    Examples
    --------
    >>> states = StateFilter([[0.8, 0.2], [0.2, 0.8]])
    >>> states.push(np.log([[0.9, 0.1]])).filtered.round(3).tolist()
    [[0.9, 0.1]]
    >>> states.push(np.log([[0.9, 0.1]])).filtered.round(3).tolist()
    [[0.962, 0.038]]
    """

    def __init__(self, transition: AnyArray, initial: AnyArray | None = None) -> None:
        self._moves, self._start = _chain(transition, initial, len(transition))
        if len(self._moves) != 1:
            raise DataError("A filter that streams takes one transition matrix.")
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next bin is the first of a session."""
        self._last: FloatArray | None = None

    def push(self, log_lik: AnyArray, transition: AnyArray | None = None) -> Filtered:
        """Go on by one bin or several.

        Parameters
        ----------
        log_lik : array, shape (n_bins, n_states)
            Next bins, at least one.
        transition : array, shape (n_bins, n_states, n_states), optional
            Moves into these bins, where inputs drive them; the filter's own if omitted.

        Returns
        -------
        Filtered
            Of these bins.

        Raises
        ------
        DataError
            As in :func:`filter_states`.
        """
        from neuro.stats._hmm_loops import forward

        given = self._moves[0] if transition is None else transition
        table, moves, start, _ = _checked(log_lik, given, self._start, None)
        predicted, filtered, weight = (np.empty_like(table) for _ in range(3))
        step = np.empty(len(table))
        fresh = self._last is None
        before = start if self._last is None else self._last
        forward(table, moves, before, fresh, predicted, filtered, weight, step)
        self._last = filtered[-1].copy()
        return Filtered(filtered, predicted, step)

    def state_dict(self) -> dict[str, FloatArray]:
        """What :meth:`load_state_dict` needs to go on from here."""
        return {} if self._last is None else {"last": self._last.copy()}

    def load_state_dict(self, state: dict[str, FloatArray]) -> None:
        """Go on from where :meth:`state_dict` was taken.

        Raises
        ------
        DataError
            If the state is of another number of states.
        """
        last = state.get("last")
        if last is not None and np.shape(last) != self._start.shape:
            raise DataError(f"The state has {np.shape(last)} entries, not {self._start.shape}.")
        self._last = None if last is None else np.array(last, dtype=np.float64)
