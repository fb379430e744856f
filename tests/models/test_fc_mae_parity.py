"""fc_mae's encoder beside frozen numbers of the original STAGIN code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import neuro.models
from neuro.connectivity.tensors import (
    correlation_percentile,
    windowed_batch_correlation,
    windowed_batch_graphs,
)
from neuro.models._reference import renamed
from neuro.models.fc_mae.encoder import orthogonality

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "stagin"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")

# readout, heads, pooling over windows
TAGS = {"sero": ("sero", 1, "sum"), "garo": ("garo", 2, "mean"), "mean": ("mean", 1, "token")}
every_tag = pytest.mark.parametrize("tag", TAGS)
FIRST, CROP, WIDTH = 17, 100, 50


@pytest.fixture(scope="module")
def io():
    from neuro.io.safe import load_npz

    return {k: torch.as_tensor(v) for k, v in load_npz(FOLDER / "io.npz").items()}


def table():
    """Beginnings of the original's names to ours."""
    names = {
        "timestamp_encoder.rnn.": "encoder.timestamps.",
        "initial_linear.": "encoder.embed.",
        "token_parameter": "encoder.token",
    }
    for k in range(2):
        gin, mixer = f"gnn_layers.{k}.", f"transformer_modules.{k}."
        ours, ours_mixer = f"encoder.layers.{k}.", f"encoder.mixers.{k}."
        read, ours_read = f"readout_modules.{k}.", f"encoder.readouts.{k}."
        names |= {f"{gin}epsilon": f"{ours}epsilon"}
        names |= {f"{gin}mlp.{3 * i}.": f"{ours}maps.{i}." for i in range(2)}
        names |= {f"{gin}mlp.{3 * i + 1}.": f"{ours}norms.{i}." for i in range(2)}
        names |= {
            f"{read}embed.0.": f"{ours_read}embed.",
            f"{read}embed.1.": f"{ours_read}norm.",
            f"{read}attend.": f"{ours_read}attend.",
            f"{read}embed_query.": f"{ours_read}query.",
            f"{read}embed_key.": f"{ours_read}key.",
            f"{mixer}multihead_attn.in_proj_": f"{ours_mixer}attention.qkv.",
            f"{mixer}multihead_attn.out_proj.": f"{ours_mixer}attention.out.",
            f"{mixer}layer_norm1.": f"{ours_mixer}norm_attention.",
            f"{mixer}mlp.0.": f"{ours_mixer}up.",
            f"{mixer}mlp.3.": f"{ours_mixer}down.",
            f"{mixer}layer_norm2.": f"{ours_mixer}norm_map.",
            f"linear_layers.{k}.": f"head.layers.{k}.",
        }
    return names


def original(tag):
    """Our network with the original's random weights."""
    from neuro.io.safe import read_tensors

    readout, heads, pool = TAGS[tag]
    sizes = {"n_chans": 20, "n_times": 140, "sfreq": 1.0, "n_outputs": 3}
    windows = {"window_s": 50.0, "stride_s": 3.0, "crop_s": 100.0}
    model = neuro.models.create(
        "fc_mae", "paper", **sizes, **windows, d_model=16, depth=2, n_heads=heads,
        readout=readout, pool=pool,
    )  # fmt: skip
    tensors = renamed(read_tensors(FOLDER / f"weights_{tag}.safetensors")[0], table())
    if "encoder.token" in tensors:
        tensors["encoder.token"] = tensors["encoder.token"].reshape(2, 16)
    own = model.state_dict()
    assert {k for k in own if not k.startswith("decoder.")} == set(tensors)
    model.load_state_dict({**own, **tensors})
    return model.eval()


def run(model, io):
    """The stretch that was frozen, as the supervised loss cuts it."""
    x = io["timeseries"].transpose(1, 2)
    starts = model._starts(CROP, x.device, FIRST)
    states = model._states(x, starts)
    found = model._graph_codes(x, None, starts, None, states)
    embedding = model.encoder.scans(found.windows)
    return states, found, embedding


def test_windows_and_correlations_are_the_originals(io):
    model = original("sero")
    x = io["timeseries"].transpose(1, 2)
    starts = model._starts(CROP, x.device, FIRST)
    assert starts.tolist() == io["window_starts"].tolist()
    assert (starts + WIDTH).tolist() == io["window_ends"].tolist()
    assert model._starts(140, x.device).tolist() == io["window_starts_full_record"].tolist()
    found = windowed_batch_correlation(x, starts, WIDTH)
    # both in float32: rounding of sums over 50 samples
    torch.testing.assert_close(found, io["dynamic_fc"], atol=1e-6, rtol=0)
    last = windowed_batch_correlation(x, io["window_starts_full_record"][-1:], WIDTH)[:, 0]
    torch.testing.assert_close(last, io["dynamic_fc_full_record_last"], atol=1e-6, rtol=0)


def test_thresholds_and_edges_are_the_originals(io):
    x = io["timeseries"].transpose(1, 2)
    edges, nodes = windowed_batch_graphs(x, io["window_starts"], WIDTH, 70)
    assert torch.equal(edges, io["adjacency"].bool())
    assert nodes.all()
    found = correlation_percentile(io["dynamic_fc"], 70)
    # the original's matrices are symmetric only up to rounding
    torch.testing.assert_close(found, io["thresholds"], atol=2e-7, rtol=0)


@every_tag
def test_every_layer_is_the_originals(tag, io):
    model = original(tag)
    with torch.no_grad():
        states, found, embedding = run(model, io)
        features = model.encoder.features(states.flatten(0, 1), 34)
        weights = model.encoder.time_weights(found.windows)

    def same(ours, theirs):
        # float32 sums in another order
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

    if tag == "sero":  # these two were kept once
        same(states, io["gru_state"].transpose(0, 1))
        same(features.unflatten(0, (2, 17)), io["initial_linear"])
    for k in range(2):
        nodes = found.nodes[k].unflatten(0, (2, 17))
        frozen = io[f"{tag}_gin{k}"]
        same(nodes[:, : frozen.shape[1]], frozen)
        same(found.windows[k], io[f"{tag}_readout{k}"].transpose(0, 1))
        mixed = model.encoder.mixers[k](model.encoder._with_token(found.windows[k], None, k)[0])
        same(mixed, io[f"{tag}_transformer{k}"].transpose(0, 1))
    if tag != "mean":
        attention = found.attention.unflatten(1, (2, 17)).transpose(0, 1)
        same(attention, io[f"{tag}_node_attention"])
    same(weights, io[f"{tag}_time_attention"])
    # sums over 17 windows
    latent = embedding.reshape(2, 2, 16)
    torch.testing.assert_close(latent, io[f"{tag}_latent"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(model.head(embedding), io[f"{tag}_logit"], atol=1e-4, rtol=1e-5)


@every_tag
def test_loss_regulariser_and_gradients_are_the_originals(tag, io):
    model = original(tag)
    *_, found, embedding = run(model, io)
    distance = orthogonality(found.nodes)
    torch.testing.assert_close(distance, io[f"{tag}_reg_ortho"], atol=1e-4, rtol=1e-5)
    loss = F.cross_entropy(model.head(embedding), io["label"]) + 1e-5 * distance
    torch.testing.assert_close(loss, io[f"{tag}_loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    ours = dict(model.named_parameters())
    frozen = {
        k.removeprefix(f"{tag}_gradnorm."): v
        for k, v in io.items()
        if k.startswith(f"{tag}_gradnorm.")
    }
    placed = renamed(frozen, table())
    assert frozen == {}
    assert len(placed) == sum(not k.startswith("decoder.") for k in ours)
    for name, norm in placed.items():
        # norms of sums over all nodes; 1e-7: keys' biases have no effect on attention
        torch.testing.assert_close(ours[name].grad.norm(), norm, rtol=1e-4, atol=1e-7)
    slope = ours["encoder.layers.0.epsilon"].grad
    torch.testing.assert_close(slope, io[f"{tag}_grad.gnn_layers.0.epsilon"], rtol=1e-4, atol=1e-7)


@every_tag
def test_gradient_of_the_regulariser_alone_is_the_originals(tag, io):
    model = original(tag)
    *_, found, _ = run(model, io)
    (slope,) = torch.autograd.grad(orthogonality(found.nodes), model.encoder.embed.weight)
    frozen = io[f"{tag}_reg_only_gradnorm.initial_linear.weight"]
    torch.testing.assert_close(slope.norm(), frozen, rtol=1e-4, atol=0)


def test_batch_statistics_are_the_originals(io):
    model = original("sero").train()
    for module in model.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0
    with torch.no_grad():
        *_, found, embedding = run(model, io)
        logits = model.head(embedding)
    torch.testing.assert_close(logits, io["sero_train_nodrop_logit"], atol=1e-4, rtol=1e-5)
    distance = orthogonality(found.nodes)
    frozen = io["sero_train_nodrop_reg_ortho"]
    torch.testing.assert_close(distance, frozen, atol=1e-4, rtol=1e-5)


def test_published_size():
    with torch.device("meta"):
        model = neuro.models.create("fc_mae", "paper", n_outputs=2)
    parts = {
        "recurrent network": model.encoder.timestamps,
        "identity": model.encoder.embed,
        "graph layer": model.encoder.layers[0],
        "readout": model.encoder.readouts[0],
        "attention over windows": model.encoder.mixers[0],
        "head of a layer": model.head.layers[0],
    }
    counts = {k: sum(p.numel() for p in m.parameters()) for k, m in parts.items()}
    assert list(counts.values()) == [203_520, 67_712, 33_537, 68_368, 132_480, 258]
    whole = [*model.encoder.parameters(), *model.head.parameters()]
    assert sum(p.numel() for p in whole) == 1_209_804


def test_full_length_of_the_publication_gives_184_windows():
    model = neuro.models.create("fc_mae", "paper")
    assert model.config.window_times == 50
    assert model.config.stride_times == 3
    assert model.config.crop_times == 600
    assert model.config.n_windows(600) == 184
    assert np.ceil(550 / 3) == 184
