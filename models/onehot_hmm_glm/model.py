"""State-switching GLM of spike trains (Li et al., arXiv 2310.15263, ICLR 2024).

A hidden Markov state selects the couplings between all units. What the states have in
common is learned too: each edge is inhibitory, absent or excitatory, with a prior over
these types that all states share (the anatomy), and a strength of its own in every
state.

Rows are post, columns are pre: ``coupling[k, i, j]`` is what unit j does to unit i in
state k. States are numbered by decreasing occupancy.

Differences from the publication in the "default" preset: all sessions are pooled in
the M-step (the released code replaces the transition matrix by one trial's and forgets
the others); the log posterior is the data's log-likelihood plus one log prior (the
released second version counts the prior once a bin); starts come from clustering the
slopes of windows under the one-state fit; weights move by preconditioned L-BFGS; types
are found on the quadratic shape of the likelihood and weights refitted under hard
types; emissions lose no digit however many units there are (the released code clamps
at 1e-16); the concrete prior takes logarithms (the first version passes probabilities);
a unit's own past stands outside types; every state has its own constant. "paper" keeps
the first version's model, schedule and slips, "paper_kernels" the second's, in which
every edge learns its course over lags.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.models._glm.baseline import constant_of, fitted_dispersion, mean_rates
from neuro.models._glm.estimator import SpikeGLMModel
from neuro.models._glm.fit import log_likelihoods, predictors
from neuro.models._glm.sessions import SessionTable, session_table
from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.em import Chain, Round, filtered, held_out, smoothed
from neuro.models.onehot_hmm_glm.kernels import fit_kernels
from neuro.models.onehot_hmm_glm.online import OnlineFilter
from neuro.models.onehot_hmm_glm.paper import fit_as_published
from neuro.models.onehot_hmm_glm.selection import choose_states
from neuro.models.onehot_hmm_glm.steps import Problem, one_state, ordered, started, typed
from neuro.stats.hmm import most_probable_path
from neuro.typing import FloatArray, IntArray, PathLike

__all__ = ["OneHotHMMGLM"]

_EM, _TYPES, _DONE = 0, 1, 2  # stages of a fit


class OneHotHMMGLM(SpikeGLMModel):
    """GLM whose couplings switch with a hidden state, scikit-learn style.

    Counts are (n_units, n_bins), or several sessions as a list or a three-dimensional
    array, time last; inputs likewise. A bin with a NaN, and bins whose history reaches
    into one, are left out of the likelihood while the state goes on. Before a session's
    first bin there was no spike. Silent units keep the rate of a tenth of a spike in
    all.

    Parameters
    ----------
    config : OneHotHMMGLMConfig, optional
        Settings.
    **values
        Fields of it; :func:`neuro.models.create` knows the presets.

    Attributes
    ----------
    weights_ : float64 array, shape (n_states, n_units, n_columns)
        History (pre by pre), inputs, constant. See `coupling`.
    transition_ : float64 array, shape (n_states, n_states)
        Row: from, column: to; where inputs drive the moves, at inputs of zero.
    move_weights_ : float64 array, shape (n_states, n_states, n_move_inputs)
        Log odds of moving rather than staying for one more of each of `move_inputs`;
        0 on the diagonal.
    types_ : int64 array, shape (n_states, n_units, n_units)
        -1, 0 or 1 of each edge, post by pre; empty unless the prior is one-hot and there
        are edges. The
        diagonal is 0 where a unit's own past is no edge.
    type_probability_ : float64 array, shape (n_states, n_units, n_units, 3)
        Soft types: inhibitory, none, excitatory.
    shared_types_ : float64 array, shape (n_units, n_units, 3)
        What the states have in common: probability of each type in a state yet to come.
    dispersion_, rates_ : float64 array, shape (n_units,)
        r of a negative binomial, mean count of a bin.
    n_inputs_ : int
        Inputs the model was fitted with.
    trace_ : float64 array
        Log posterior of every round of EM.
    one_state_ : float64 array, shape (n_units, n_columns)
        The fit without states.
    proposal_ : int
        States that the windows' slopes ask for; 0 where they were not looked at.
    candidates_, candidate_scores_ : int64 and float64 array
        What :func:`choose_states` found, empty where nothing was to be chosen.
    stage_ : int
        2 when the fit is complete.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> state = np.repeat([0, 1, 0, 1], 250)
    >>> counts = rng.poisson(np.where(state == 0, 0.2, 2.0), (5, 1000))
    >>> model = OneHotHMMGLM(states=2).fit(counts)
    >>> path = model.predict(counts)[0]
    >>> share = (path == state).mean()
    >>> bool(max(share, 1 - share) > 0.97)
    True
    """

    name: ClassVar[str] = "onehot_hmm_glm"
    config_class: ClassVar[type[OneHotHMMGLMConfig]] = OneHotHMMGLMConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "paper": {
                "states": 5,
                "link": "sigmoid",
                "bias": "shared",
                "diagonal": "edge",
                "temperature": 0.2,
                "l2": 0.0,
                "schedule": "paper",
            },
            "paper_kernels": {
                "states": 4,
                "link": "softplus",
                "basis": "lags",
                "diagonal": "edge",
                "type_prior": "categorical_entropy",
                "l2": 0.0,
                "schedule": "paper_kernels",
                "epochs": 100,
            },
            "tiny": {"n_lags": 2, "rounds": 3},
        }
    )
    fitted: ClassVar[tuple[str, ...]] = (
        "weights_",
        "transition_",
        "move_weights_",
        "types_",
        "type_probability_",
        "shared_types_",
        "dispersion_",
        "rates_",
        "n_inputs_",
        "trace_",
        "one_state_",
        "proposal_",
        "candidates_",
        "candidate_scores_",
        "stage_",
    )
    resumable: ClassVar[bool] = True

    config: OneHotHMMGLMConfig
    weights_: FloatArray
    transition_: FloatArray
    move_weights_: FloatArray
    types_: IntArray
    type_probability_: FloatArray
    shared_types_: FloatArray
    dispersion_: FloatArray
    rates_: FloatArray
    n_inputs_: int
    trace_: FloatArray
    one_state_: FloatArray
    proposal_: int
    candidates_: IntArray
    candidate_scores_: FloatArray
    stage_: int

    def fit(
        self,
        counts: Any,
        inputs: Any = None,
        *,
        out: PathLike | None = None,
        progress: Callable[[Round], None] | None = None,
    ) -> Self:
        """Learn states and couplings.

        Parameters
        ----------
        counts : array, shape (n_units, n_bins) or (n_sessions, n_units, n_bins), or list
            Whole numbers; NaN is missing.
        inputs : array, shape (n_inputs, n_bins), likewise, optional
            Stimulus, behaviour; `move_inputs` of the settings names those that drive the
            moves between states.
        out : path, optional
            Folder of the model, written after every round; an interrupted fit with the
            same settings and data goes on from there.
        progress : callable, optional
            Called with every round.

        Returns
        -------
        OneHotHMMGLM
            Itself.

        Raises
        ------
        DataError
            Counts that are none, no valid bin, or more states than windows.
        ConfigError
            The folder holds a fit of other settings or data.
        """
        c = self.config
        table = session_table(c, counts, inputs)
        mark = _fingerprint(table)
        resumed = out is not None and self._resumed(Path(out), mark)
        if resumed and self.stage_ == _DONE:
            return self
        if not resumed:
            self._begin(table, counts, inputs, mark)
        if c.schedule != "pooled":
            self._fit_as_published(table)
        else:
            self._fit_pooled(table, None if out is None else Path(out), progress)
        if out is not None:
            self.save(out)
        return self

    def _begin(self, table: SessionTable, counts: Any, inputs: Any, mark: str) -> None:
        """Everything up to the start of EM."""
        c = self.config
        n_units = table.counts.shape[1]
        self.candidates_, self.candidate_scores_ = np.zeros(0, np.int64), np.zeros((0, 0))
        n_states = c.candidates()[0]
        if len(c.candidates()) > 1:
            found = choose_states(counts, inputs, config=c)
            self.candidates_, self.candidate_scores_, n_states = found
        if table.valid.sum() < 2 * c.window_bins * (n_states - 1):
            raise DataError(
                f"{int(table.valid.sum())} bins are too few for {n_states} states: at least two "
                f"windows of {c.window_bins} bins a state."
            )
        self.rates_ = mean_rates(table, c.observed())
        self.n_inputs_ = table.n_inputs // len(c.stimulus_basis()) + len(c.move_inputs)
        self.dispersion_ = np.full(n_units, np.nan)
        if c.observation == "negative_binomial":
            rates = np.broadcast_to(self.rates_, table.counts.shape)[table.valid]
            self.dispersion_ = fitted_dispersion(table.counts[table.valid], rates)
        problem = Problem(table, self._observed(), c)
        self.one_state_ = one_state(problem)
        if c.observation == "negative_binomial":
            rates = self._observed().rate(predictors(table.design, self.one_state_))
            self.dispersion_ = fitted_dispersion(
                table.counts[table.valid], np.asarray(rates)[table.valid]
            )
            problem = replace(problem, observation=self._observed())
            self.one_state_ = one_state(problem)
        self.proposal_, self.trace_ = 0, np.zeros(0)
        self._set_types(None)
        self.stage_ = _EM
        self.provenance = {**self.provenance, "data_hash": mark}
        if c.schedule == "pooled":
            chain, scores = started(problem, self.one_state_, n_states)
            self.proposal_ = 0 if scores is None else scores.proposal
        else:
            chain = Chain(np.repeat(self.one_state_[None], n_states, axis=0), np.eye(n_states))
        self._set_chain(chain)

    def _fit_pooled(
        self, table: SessionTable, out: Path | None, progress: Callable[[Round], None] | None
    ) -> None:
        problem = Problem(table, self._observed(), self.config)

        def after(done: Round, chain: Chain) -> None:
            if self.stage_ == _EM:
                self._set_chain(chain)
                self.trace_ = np.append(self.trace_, done.log_posterior)
                if out is not None:
                    self.save(out)
            if progress is not None:
                progress(done)

        chain = self._chain
        if self.stage_ == _EM:
            before = tuple(self.trace_.tolist())
            chain, trace = problem.run(
                chain,
                problem.penalty(len(chain.moves)),
                first=len(before),
                trace=before,
                listener=after,
            )
            self.trace_, self.stage_ = np.array(trace), _TYPES
            self._set_chain(chain)
            if out is not None:
                self.save(out)
        if self.config.prior == "onehot" and problem.edges.any():
            found = typed(problem, chain, after)
            chain = found.chain
            self._set_types(found.types)
        gamma = smoothed(table, chain, problem.observation).gamma
        chain, order = ordered(chain, gamma[table.valid].mean(axis=0))
        self._set_chain(chain)
        if len(self.types_):
            self.types_ = self.types_[order]
            self.type_probability_ = self.type_probability_[order]
        self.stage_ = _DONE

    def _fit_as_published(self, table: SessionTable) -> None:
        c = self.config
        sequences = [table.take([i]) for i in range(len(table.lengths))]
        if self.n_inputs_ or not table.valid.all():
            raise DataError("The paper's schedules take counts without gaps and no inputs.")
        fit = fit_kernels if c.schedule == "paper_kernels" else fit_as_published
        found = fit(sequences, c, len(self.transition_))
        chain = Chain(found.weights, found.moves)
        gamma = smoothed(table, chain, self._observed()).gamma
        chain, order = ordered(chain, gamma.mean(axis=0))
        self._set_chain(chain)
        self.trace_ = -np.array(found.losses)
        if len(found.types):
            soft = found.types[order]
            self._set_types((soft.argmax(axis=-1) - 1, soft, found.shared))
        self.stage_ = _DONE

    def _set_chain(self, chain: Chain) -> None:
        self.weights_, self.transition_ = chain.weights, chain.moves
        none = np.zeros((*chain.moves.shape, 0))
        self.move_weights_ = none if chain.drive is None else chain.drive

    @property
    def _chain(self) -> Chain:
        driven = self.move_weights_.shape[2] > 0
        return Chain(self.weights_, self.transition_, self.move_weights_ if driven else None)

    def _set_types(self, types: Any) -> None:
        if types is None:
            self.types_ = np.zeros((0, 0, 0), dtype=np.int64)
            self.type_probability_ = np.zeros((0, 0, 0, 3))
            self.shared_types_ = np.zeros((0, 0, 3))
        else:
            self.types_, self.type_probability_, self.shared_types_ = types

    def _resumed(self, folder: Path, mark: str) -> bool:
        """Take over what an earlier run left in the folder."""
        if not (folder / "model.json").is_file():
            return False
        earlier = type(self).from_folder(folder)
        if earlier.config != self.config or earlier.provenance.get("data_hash") != mark:
            raise ConfigError(
                f"The folder {folder.name!r} holds a fit of other settings or data; choose "
                "another folder or remove it."
            )
        for name in self.fitted:
            setattr(self, name, getattr(earlier, name))
        self.provenance = earlier.provenance
        return True

    @property
    def n_states(self) -> int:
        """Number of states."""
        self.require_fitted()
        return len(self.transition_)

    @property
    def bias(self) -> FloatArray:
        """Constants, (n_states, n_units)."""
        self.require_fitted()
        return self.weights_[:, :, -1]

    @property
    def coupling(self) -> FloatArray:
        """Weights of the past, (n_states, n_units post, n_units pre, n_basis).

        The diagonal is what a unit does to itself.
        """
        self.require_fitted()
        n_states, n_units, n_columns = self.weights_.shape
        n = n_columns - 1 - self._n_driven * len(self.config.stimulus_basis())
        n_basis = n // n_units
        pre = n_units if n_basis else 0
        return self.weights_[:, :, :n].reshape(n_states, n_units, pre, n_basis)

    @property
    def input_weights(self) -> FloatArray:
        """Weights of the inputs of the counts, (n_states, n_units, n_inputs, n_input_basis)."""
        self.require_fitted()
        n_basis = len(self.config.stimulus_basis())
        n = self._n_driven * n_basis
        found = self.weights_[:, :, self.weights_.shape[2] - 1 - n : -1]
        return found.reshape(*found.shape[:2], self._n_driven, n_basis)

    @property
    def _n_driven(self) -> int:
        """Inputs of the counts."""
        return self.n_inputs_ - len(self.config.move_inputs)

    def connection_map(self, share: float = 0.25) -> IntArray:
        """One map for all states: where the connections are.

        Parameters
        ----------
        share : float
            Least probability of an inhibitory or excitatory edge to be shown; our
            default asks for about two of five states.

        Returns
        -------
        int64 array, shape (n_units, n_units)
            -1, 0 or 1, post by pre.

        Raises
        ------
        ConfigError
            Before :meth:`fit`, or for a prior without types.
        """
        self.require_fitted()
        if not len(self.shared_types_):
            raise ConfigError(f"prior={self.config.prior!r} knows no types; use 'onehot'.")
        low, high = self.shared_types_[..., 0], self.shared_types_[..., 2]
        sign = np.where(high > low, 1, np.where(low > high, -1, 0))
        return np.where(np.maximum(low, high) >= share, sign, 0)

    def predict(self, counts: Any, inputs: Any = None) -> list[IntArray]:
        """Most probable path of states.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        list of int64 array, shape (n_bins,)
            One a session.

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            Other units or inputs than it was fitted to.
        """
        table = self._table(counts, inputs)
        log_lik = log_likelihoods(table, self.weights_, self._observed())
        moves = self._chain.moves_in(table)
        path = most_probable_path(log_lik, moves, lengths=table.lengths).states
        return np.split(path, np.cumsum(table.lengths)[:-1])

    def predict_proba(self, counts: Any, inputs: Any = None) -> list[FloatArray]:
        """Probability of each state given all data of the session.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        list of float64 array, shape (n_states, n_bins)
            One a session.
        """
        table = self._table(counts, inputs)
        gamma = smoothed(table, self._chain, self._observed()).gamma
        return [one.T for one in np.split(gamma, np.cumsum(table.lengths)[:-1])]

    def filter_proba(self, counts: Any, inputs: Any = None) -> list[FloatArray]:
        """Probability of each state given the data up to and with the bin.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        list of float64 array, shape (n_states, n_bins)
            One a session.
        """
        table = self._table(counts, inputs)
        found = filtered(table, self._chain, self._observed()).filtered
        return [one.T for one in np.split(found, np.cumsum(table.lengths)[:-1])]

    def session_scores(self, counts: Any, inputs: Any = None) -> FloatArray:
        """Log probability of a bin given its past, mean over each session, in nats.

        Parameters
        ----------
        counts, inputs : array or list
            Not used in the fit; as in :meth:`fit`.

        Returns
        -------
        float64 array, shape (n_sessions,)
            Higher is better; no bin has seen its own future.
        """
        table = self._table(counts, inputs)
        return held_out(table, self._chain, self._observed())

    def score(self, counts: Any, inputs: Any = None) -> float:
        """Log probability of a bin given its past, mean over all bins, in nats.

        Parameters
        ----------
        counts, inputs : array or list
            Not used in the fit; as in :meth:`fit`.

        Returns
        -------
        float
            Higher is better.
        """
        table = self._table(counts, inputs)
        steps = filtered(table, self._chain, self._observed()).log_lik
        return float(steps[table.valid].mean())

    def bits_per_spike(self, counts: Any, inputs: Any = None) -> float:
        """Gain over constant training rates, in bits a spike of all units together.

        Parameters
        ----------
        counts, inputs : array or list
            As in :meth:`fit`.

        Returns
        -------
        float
            NaN without a spike.
        """
        table, observation = self._table(counts, inputs), self._observed()
        flat = np.zeros_like(self.weights_[:1])
        flat[0, :, -1] = constant_of(self.rates_, observation)
        null = log_likelihoods(table, flat, observation)[table.valid].mean()
        per_bin = float(table.counts[table.valid].sum()) / max(1, int(table.valid.sum()))
        if per_bin == 0:
            return float("nan")
        return (self.score(counts, inputs) - float(null)) / (per_bin * float(np.log(2)))

    def online(self) -> OnlineFilter:
        """A filter that takes one bin after the other.

        Returns
        -------
        OnlineFilter
            Its results are those of :meth:`filter_proba`.
        """
        self.require_fitted()
        return OnlineFilter(
            self.weights_,
            self.transition_,
            self.move_weights_,
            self.config.move_inputs,
            self._observed(),
            self.config.history_basis(),
            self.config.stimulus_basis(),
            n_inputs=self.n_inputs_,
            uses_past=self.config.coupling or self.config.self_history,
        )


def _fingerprint(table: SessionTable) -> str:
    """Of the data, to tell whether an interrupted fit was of the same."""
    sha = hashlib.sha256()
    for part in (table.counts, table.design, table.valid, table.lengths, table.drive):
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()
