"""The second published version with learned kernels: frozen numbers, and its schedule."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import neuro.models
from neuro.datasets import synthetic
from neuro.errors import ConfigError
from neuro.models._glm.sessions import SpikeGLMConfig, session_table
from neuro.models.onehot_hmm_glm import OneHotHMMGLM
from neuro.models.onehot_hmm_glm.kernels import KernelModel, visit_loss

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "onehot-hmm-glm"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")

CASES = {
    "v2a": KernelModel(functional.softplus, "categorical_entropy", own_past="edge"),
    "v2b": KernelModel(lambda x: torch.log1p(functional.softplus(x)), own_past="free"),
    "v2c": KernelModel(torch.sigmoid, "categorical_entropy", own_past="none"),
    "v2d": KernelModel(lambda x: torch.sqrt(functional.softplus(x)), own_past="free"),
}


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz, read_tensors

    weights = read_tensors(FOLDER / "weights.safetensors")[0]
    return load_npz(FOLDER / "io.npz"), {k: v.numpy() for k, v in weights.items()}


def original(weights, tag):
    """Parameters under our names, lag 1 first."""
    own = {
        "types": "parametrizations.adjacency.original",
        "shared": "logit_adjacency_prior",
        "strength": "parametrizations.strength.original",
        "kernel": "parametrizations.conv_weight.original",
        "bias": "bias",
        "moves": "parametrizations.transition_matrix.original",
    }
    out = {k: torch.tensor(weights[f"{tag}.{v}"]) for k, v in own.items()}
    out["kernel"] = out["kernel"].flip(-1)
    if f"{tag}.diag.weight" in weights:
        # rows are neuron by neuron, its states within
        found = torch.tensor(weights[f"{tag}.diag.weight"]).reshape(6, -1, 5)
        out["own"] = found.movedim(1, 0).flip(-1).contiguous()
    return {k: v.clone().requires_grad_() for k, v in out.items()}


def sequence(arrays, number=0):
    table = session_table(SpikeGLMConfig(basis="lags"), arrays["spikes"][number].T)
    return torch.tensor(table.design[:, :-1]), torch.tensor(table.counts)


@frozen
@pytest.mark.parametrize("tag", CASES)
def test_rates_are_those_of_the_second_version(numbers, tag):
    arrays, weights = numbers
    model, given = CASES[tag], original(weights, tag)
    types = given["types"].detach()
    hard = functional.one_hot(types.argmax(dim=-1), types.shape[-1]).double()
    with torch.no_grad():
        edges = model.edge_weights(hard, given["strength"])
        np.testing.assert_allclose(edges, arrays[f"{tag}_weight_eval"], rtol=1e-9, atol=1e-12)
        for number in (0, 1):
            found = model.rates(given, edges, sequence(arrays, number)[0])
            wanted = arrays[f"{tag}_rates_eval_batch"][number]
            np.testing.assert_allclose(found, wanted, rtol=1e-9)
        noise = torch.tensor(arrays[f"{tag}_gumbel"])
        soft = ((types.log_softmax(dim=-1) + noise) / 0.5).softmax(dim=-1)
        drawn = model.edge_weights(soft, given["strength"])
        np.testing.assert_allclose(drawn, arrays[f"{tag}_weight_train"], rtol=1e-8, atol=1e-12)


@frozen
@pytest.mark.parametrize("tag", ["v2a", "v2b", "v2c"])
def test_loss_and_slopes_are_those_of_the_second_version(numbers, tag):
    arrays, weights = numbers
    model, given = CASES[tag], original(weights, tag)
    noise = torch.tensor(arrays[f"{tag}_gumbel"])
    loss, _ = visit_loss(model, given, *sequence(arrays), noise)
    assert float(loss.detach()) == pytest.approx(float(arrays[f"{tag}_nb_loss"]), rel=1e-9)
    loss.backward()
    names = {
        "types": "parametrizations.adjacency.original",
        "shared": "logit_adjacency_prior",
        "strength": "parametrizations.strength.original",
        "bias": "bias",
        "moves": "parametrizations.transition_matrix.original",
    }
    for name, theirs in names.items():
        wanted = arrays[f"{tag}_grad.{theirs}"]
        np.testing.assert_allclose(given[name].grad, wanted, rtol=1e-7, atol=1e-9, err_msg=name)
    wanted = arrays[f"{tag}_grad.parametrizations.conv_weight.original"]
    np.testing.assert_allclose(given["kernel"].grad.flip(-1), wanted, rtol=1e-7, atol=1e-9)
    if "own" in given:
        wanted = arrays[f"{tag}_grad.diag.weight"].reshape(6, -1, 5).transpose(1, 0, 2)
        np.testing.assert_allclose(given["own"].grad.flip(-1), wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("diagonal", ["edge", "free"])
def test_second_schedule_fits_and_predicts(diagonal):
    made = synthetic.switching_glm(seed=3, n_units=6, n_states=2, n_sessions=3, n_bins=120)
    counts = [rec.stream("spikes").data for rec in made.recordings]
    model = neuro.models.create(
        "onehot_hmm_glm", "paper_kernels", states=2, link="sigmoid", diagonal=diagonal, n_lags=3,
        epochs=9,
    ).fit(counts[:2])  # fmt: skip
    assert model.trace_[-1] > model.trace_[0]
    assert model.coupling.shape == (2, 6, 6, 3)
    assert model.types_.shape == (2, 6, 6)
    assert diagonal == "edge" or not np.einsum("snn->sn", model.types_).any()
    edges = ~np.eye(6, dtype=bool) if diagonal == "free" else np.ones((6, 6), dtype=bool)
    # an edge has the sign of its type at every lag, and one course in all states
    signs = np.sign(model.coupling[:, edges])
    np.testing.assert_array_equal(signs, np.repeat(model.types_[:, edges][..., None], 3, axis=-1))
    online = model.online()
    found = np.stack([online.push(b) for b in counts[2][:, :60].T], axis=1)
    wanted = model.filter_proba(counts[2][:, :60])[0]
    np.testing.assert_allclose(found, wanted, atol=1e-11)


def test_learned_kernels_ask_for_single_lags():
    with pytest.raises(ConfigError, match="basis='lags'"):
        OneHotHMMGLM(schedule="paper_kernels")
