"""The published second version: every edge learns a kernel, its time course.

An edge is a type, a strength and a kernel over lags that adds up to 1 (arXiv 2310.15263,
released code, second version). Its schedule, for comparisons: AdamW over trials one by
one, one draw of soft types a visit, states found anew every fourth epoch, the
log-likelihood divided by the trial's bins while the prior of types is not. Kept with its
slips: 1e-8 inside the Poisson logarithm and the first-bin term of Q.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from neuro.models._glm.baseline import constant_of
from neuro.models._glm.sessions import SessionTable
from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.moves import prior_moves
from neuro.models.onehot_hmm_glm.paper import PublishedFit
from neuro.models.onehot_hmm_glm.priors import TypePrior
from neuro.stats.hmm import forward_backward

__all__ = ["KernelModel", "fit_kernels", "visit_loss"]

_FLOOR = 1e-8
_EPOCHS_PER_E_STEP = 4
_LOWEST_LOG = -20.0
Parameters: TypeAlias = Mapping[str, torch.Tensor]
Link: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
LINKS: Mapping[str, Link] = {
    "exp": torch.exp,
    "softplus": functional.softplus,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True)
class KernelModel:
    """How rates follow from the parameters.

    Parameters
    ----------
    link : callable
        Rate of a predictor.
    type_prior : {"concrete", "categorical", "categorical_entropy"}
        Of types given their shared prior; the released code has the first and the last.
    temperature : float
        Of the soft types and the concrete density.
    own_past : {"edge", "free", "none"}
        The diagonal: an edge, kernels of its own (parameter ``own``), nothing.
    """

    link: Link
    type_prior: TypePrior = "concrete"
    temperature: float = 0.5
    own_past: Literal["edge", "free", "none"] = "free"

    def edge_weights(self, a: torch.Tensor, raw_strength: torch.Tensor) -> torch.Tensor:
        """Weights (state, post, pre) of types, inhibitory first, excitatory last."""
        return (a[..., -1] - a[..., 0]) * functional.softplus(raw_strength)

    def lag_weights(self, given: Parameters, edges: torch.Tensor) -> torch.Tensor:
        """Weight of every lag, (state, post, pre, lag), lag 1 first."""
        if self.own_past != "edge":
            edges = edges * (1 - torch.eye(edges.shape[-1], dtype=edges.dtype))
        out = edges[..., None] * given["kernel"].softmax(dim=-1)
        if self.own_past == "free":
            # (state or 1, unit, lag) onto the diagonal
            own = given["own"].expand(len(out), -1, -1)
            out = out + torch.diag_embed(own.movedim(1, -1)).movedim(1, -1)
        return out

    def rates(self, given: Parameters, edges: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
        """Expected counts (state, bin, unit); ``history`` is (bin, pre times lag)."""
        flat = self.lag_weights(given, edges).flatten(start_dim=2)
        eta = torch.einsum("tc,snc->stn", history, flat)
        return self.link(eta + given["bias"].expand(len(flat), -1)[:, None])

    def log_prior(self, given: Parameters, log_a: torch.Tensor) -> torch.Tensor:
        """Log prior of types given the shared one, summed over edges."""
        log_p = given["shared"].log_softmax(dim=-1)
        if self.type_prior == "concrete":
            tau, n = self.temperature, log_a.shape[-1]
            mixed = torch.logsumexp(log_p - tau * log_a, dim=-1)
            constant = math.lgamma(n) + (n - 1) * math.log(tau)
            value = constant - n * mixed + (log_p - (tau + 1) * log_a).sum(dim=-1)
            return value.sum()
        sign = -1.0 if self.type_prior == "categorical" else 1.0
        return (log_a.exp() * (log_p + sign * log_a)).sum()


def _log_poisson(rates: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of every bin, (bin, state)."""
    each = counts * torch.log(rates + _FLOOR) - rates - torch.lgamma(counts + 1)
    return each.sum(dim=-1).T


def visit_loss(
    model: KernelModel,
    given: Parameters,
    history: torch.Tensor,
    counts: torch.Tensor,
    noise: torch.Tensor,
    states: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Loss of one trial for one draw of Gumbel noise.

    Parameters
    ----------
    model : KernelModel
        Structure.
    given : mapping of str to tensor
        ``types`` and ``shared`` logits, raw ``strength``, ``kernel`` logits, ``bias``,
        ``moves`` logits, and ``own`` kernels.
    history, counts : tensor, shape (n_bins, n_units * n_lags), (n_bins, n_units)
        Of the trial, lag 1 first.
    noise : tensor, shape (n_states, n_units, n_units, n_classes)
        Gumbel noise of the soft types.
    states : tuple of tensor, optional
        Posterior of states and summed transitions; found with the same draw if omitted.

    Returns
    -------
    loss : tensor, shape ()
        To be minimised.
    states : tuple of tensor
        As given or found.
    """
    log_types = given["types"].log_softmax(dim=-1)
    a = ((log_types + noise) / model.temperature).softmax(dim=-1)
    rates = model.rates(given, model.edge_weights(a, given["strength"]), history)
    log_lik, log_moves = _log_poisson(rates, counts), given["moves"].log_softmax(dim=-1)
    if states is None:
        found = forward_backward(log_lik.detach().numpy(), log_moves.detach().exp().numpy())
        states = torch.from_numpy(found.gamma), torch.from_numpy(found.transitions)
    gamma, transitions = states
    n_states = len(log_moves)
    first = gamma[0].sum() - n_states * float(np.log(n_states))
    q = (gamma * log_lik).sum() + (transitions * log_moves).sum() + first
    return -q / len(counts) - model.log_prior(given, log_types), states


def fit_kernels(
    tables: Sequence[SessionTable], config: OneHotHMMGLMConfig, n_states: int
) -> PublishedFit:
    """Run the second version's schedule.

    Parameters
    ----------
    tables : sequence of SessionTable
        One a trial; the history holds single lags, no inputs.
    config : OneHotHMMGLMConfig
        Link, prior of types, what states share, epochs, lr and seed.
    n_states : int
        States.

    Returns
    -------
    PublishedFit
        Parameters with the likeliest type of each edge.
    """
    observation = config.observed()
    model = KernelModel(
        LINKS[observation.link],
        config.type_prior,
        config.temperature,
        "free" if config.diagonal == "free" else "edge",
    )
    generator = torch.Generator().manual_seed(config.seed)
    given = _start(tables, config, n_states)
    optimiser = torch.optim.AdamW(given.values(), lr=config.lr)
    data = [(torch.tensor(t.design[:, :-1]).double(), torch.tensor(t.counts).double())
            for t in tables]  # fmt: skip
    kept: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(data)
    losses = []
    for epoch in range(config.epochs):
        if epoch % _EPOCHS_PER_E_STEP == 0:
            kept = [None] * len(data)
        total = 0.0
        for trial, (history, counts) in enumerate(data):
            uniform = torch.rand(given["types"].shape, generator=generator, dtype=torch.float64)
            noise = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
            optimiser.zero_grad()
            loss, kept[trial] = visit_loss(model, given, history, counts, noise, kept[trial])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach())
        with torch.no_grad():
            given["types"].copy_(given["types"].log_softmax(dim=-1).clamp(_LOWEST_LOG, 0.0))
        losses.append(total / len(data))
    return _hard(model, given, losses)


def _start(
    tables: Sequence[SessionTable], config: OneHotHMMGLMConfig, n_states: int
) -> dict[str, torch.Tensor]:
    """Even types, strengths of 1; constants that give the mean counts (our choice)."""
    observation = config.observed()
    n_units = tables[0].counts.shape[1]
    n_lags = tables[0].n_history // n_units
    mean = np.concatenate([t.counts for t in tables]).mean(axis=0, dtype=np.float64)
    bias = constant_of(np.clip(mean, 1e-3, 0.999 if observation.link == "sigmoid" else None),
                       observation)  # fmt: skip
    edges, kernels = (n_states, n_units, n_units), 1 if config.shared_kernels else n_states
    values = {
        "types": np.full((*edges, 3), np.log(1 / 3)),
        "shared": np.zeros((n_units, n_units, 3)),
        "strength": np.full(edges, np.log(np.expm1(1.0))),
        "kernel": np.zeros((kernels, n_units, n_units, n_lags)),
        "bias": np.repeat(bias[np.newaxis], 1 if config.bias == "shared" else n_states, axis=0),
        "moves": np.log(prior_moves(n_states, 0.98)),
    }
    if config.diagonal == "free":
        values["own"] = np.zeros((kernels, n_units, n_lags))
    return {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in values.items()}


def _hard(model: KernelModel, given: Parameters, losses: list[float]) -> PublishedFit:
    """What is used after the fit: the likeliest type of each edge, for all three types."""
    with torch.no_grad():
        types = given["types"].softmax(dim=-1)
        if model.own_past != "edge":
            # a unit's own past is no edge: of the type that is none
            own = torch.arange(types.shape[1])
            types[:, own, own] = torch.tensor([0.0, 1.0, 0.0], dtype=types.dtype)
        one_hot = functional.one_hot(types.argmax(dim=-1), types.shape[-1]).to(types.dtype)
        edges = model.edge_weights(one_hot, given["strength"])
        lags = model.lag_weights(given, edges).flatten(start_dim=2)
        constant = given["bias"].expand(len(lags), -1)[..., None]
        return PublishedFit(
            torch.cat([lags, constant], dim=2).numpy(),
            given["moves"].softmax(dim=-1).numpy(),
            types.numpy(),
            given["shared"].softmax(dim=-1).numpy(),
            losses,
        )
