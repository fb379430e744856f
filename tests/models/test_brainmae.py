"""BrainMAE: segments, graph, what is hidden, loss, symmetries, and the truth of a simulation."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch.nn import functional as F

import neuro.models
from neuro.data import InputContract, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError
from neuro.models.brainmae import BrainMAE, BrainMAEConfig, HiddenRegions
from neuro.models.brainmae.graph import RegionGraph
from neuro.train import fit

ABLATIONS = {
    "sg": {},
    "ag": {"encoder": "ag"},
    "vanilla": {"encoder": "vanilla"},
    "loops": {"self_loops": True},
    "keys": {"masked_keys": True},
    "attention": {"readout": "attention", "decoder": "sum"},
    "fixed": {"positions": "fixed"},
    "channel": {"normalize": "channel"},
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(seed=0, **config):
    return neuro.models.create("brainmae", "tiny", seed=seed, **config).eval()


def signal(model, batch=3, seed=0):
    shape = (batch, model.config.n_chans, model.config.n_times)
    return torch.randn(shape, generator=rng(seed))


# -- segments ------------------------------------------------------------------------


@pytest.mark.parametrize(("tr", "samples"), [(0.72, 21), (1.0, 15), (2.0, 8), (20.0, 1)])
def test_segments_are_seconds_not_samples(tr, samples):
    config = BrainMAEConfig(sfreq=1 / tr)
    assert config.segment_times == samples
    assert config.tr == pytest.approx(tr)


def test_the_last_segment_may_be_partly_empty():
    model = tiny()
    x = signal(model)
    assert model(x).tokens.shape == (3, 4, 16)
    assert model(x[..., :-20]).tokens.shape == (3, 4, 16)
    assert model(x[..., :-21]).tokens.shape == (3, 3, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segment_s": 0.0}, "segment_s = 0.0"),
        ({"mask_high": 1.0}, "mask_high = 1.0"),
        ({"mask_low": 0.5, "mask_high": 0.4}, "mask_low = 0.5"),
        ({"masked_weight": 1.5}, "masked_weight = 1.5"),
        ({"n_heads": 3}, "n_heads = 3"),
        ({"d_roi": 1}, "d_roi = 1"),
        ({"encoder": "dg"}, "encoder = 'dg'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_is_refused_by_name(changes, said):
    with pytest.raises(ConfigError, match=said):
        BrainMAEConfig(**changes)


# -- the graph ---------------------------------------------------------------------------


@pytest.mark.parametrize("loops", [False, True], ids=["no_loops", "loops"])
def test_the_graph_is_softmax_attention_with_an_additive_mask(loops):
    torch.manual_seed(0)
    graph = RegionGraph(6, 8, n_heads=2, self_loops=loops)
    x, rois = torch.randn(5, 7, 8), 3 * torch.randn(7, 6)
    keys = torch.rand(5, 7, generator=rng(1)) < 0.5
    keys[:, :2] = True
    mask = torch.zeros(5, 1, 7, 7).masked_fill(~keys[:, None, None], -torch.inf)
    if not loops:
        mask = mask.masked_fill(torch.eye(7, dtype=torch.bool), -torch.inf)

    def heads(values):
        return values.unflatten(-1, (2, 4)).transpose(-2, -3)

    mixed = F.scaled_dot_product_attention(
        heads(graph.query(rois)).expand(5, -1, -1, -1),
        heads(graph.key(rois)).expand(5, -1, -1, -1),
        heads(graph.value(x)),
        attn_mask=mask,
    )
    expected = graph.out(mixed.transpose(1, 2).flatten(2))
    # the same sums in another order
    assert torch.allclose(graph(x, rois, keys), expected, atol=1e-5)


def test_a_region_with_nobody_to_listen_to_hears_nothing():
    graph = RegionGraph(4, 8, n_heads=2)
    with torch.no_grad():
        graph.out.bias.zero_()
    alone = graph(torch.randn(2, 1, 8), torch.randn(1, 4))
    nobody = graph(torch.randn(2, 3, 8), torch.randn(3, 4), torch.zeros(2, 3, dtype=torch.bool))
    assert not alone.any()
    assert not nobody.any()


def test_gradients_through_hidden_keys_are_finite():
    graph = RegionGraph(4, 8, n_heads=2)
    # scores far apart: weights underflow for some rows
    rois = (60 * torch.randn(3, 4, generator=rng())).requires_grad_()
    keys = torch.tensor([[True, False, False]])
    graph(torch.randn(1, 3, 8), rois, keys).square().sum().backward()
    assert rois.grad.isfinite().all()


def test_nobody_listens_to_himself_and_the_weights_sum_to_one():
    model = neuro.models.create("brainmae", "tiny", region_depth=3, n_chans=6)
    for block in range(3):
        alpha = model.adjacency(block)
        assert alpha.shape == (2, 6, 6)
        assert not alpha.diagonal(dim1=1, dim2=2).any()
        # softmax in single precision
        torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 6), atol=1e-6, rtol=0)
    loops = neuro.models.create("brainmae", "tiny", self_loops=True).adjacency()
    assert (loops.diagonal(dim1=1, dim2=2) > 0).all()


def test_encoders_differ_in_how_many_blocks_are_static():
    assert tiny(encoder="ag").adjacency(0).shape == (2, 4, 4)
    with pytest.raises(ConfigError, match="Block 1 has no static graph; encoder='ag' has 1"):
        tiny(encoder="ag").adjacency(1)
    with pytest.raises(ConfigError, match="encoder='vanilla' has 0"):
        tiny(encoder="vanilla").adjacency()


# -- what is hidden -------------------------------------------------------------------------


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_a_hidden_region_never_sees_its_own_segment(ablation):
    model = tiny(**ABLATIONS[ablation])
    for mode in (True, False):
        x = signal(model).requires_grad_()
        made = model.train(mode).reconstruct(x, rng(4))
        at = torch.nonzero(made.hidden)[0]
        made.prediction[tuple(at)].square().sum().backward()
        own = x.grad[at[0], at[1]].reshape(-1, 21)[at[2]]
        assert not own.any()
        assert x.grad[at[0]].any()


def test_the_hidden_share_is_uniform_and_drawn_for_each_segment():
    from scipy.stats import kstest

    config = BrainMAEConfig(n_chans=400, n_times=30, sfreq=1.0, d_roi=2, d_model=2, n_heads=1)
    model = BrainMAE(config)
    hidden = model._hide(model._cut(torch.zeros(400, 400, 30), None, None), rng())
    share = hidden.float().mean(dim=1)
    # shares are multiples of 1/400; 800 draws do not tell that from continuous
    assert kstest(share.flatten().numpy(), "uniform", args=(0, 0.8)).pvalue > 0.01
    # standard error of a correlation of 400 pairs is 0.05
    assert abs(np.corrcoef(share.T.numpy())[0, 1]) < 0.15
    # every region as often as another: 800 draws of 0.4, five standard errors
    assert (hidden.float().mean(dim=(0, 2)) - 0.4).abs().max() < 0.09
    shape = dataclasses.replace(config, mask_low=0.3, mask_high=0.3)
    hidden = BrainMAE(shape)._hide(model._cut(torch.zeros(2, 400, 30), None, None), rng())
    assert (hidden.sum(dim=1) == 120).all()


def test_missing_regions_are_not_hidden_and_one_stays_visible():
    model = neuro.models.create("brainmae", "tiny", mask_low=0.9, mask_high=0.9)
    present = torch.tensor([[True, True, True, False], [False, True, False, False]])
    hidden = model._hide(model._cut(torch.zeros(2, 4, 84), present, None), rng())
    assert hidden.sum(dim=1).tolist() == [[2, 2, 2, 2], [0, 0, 0, 0]]
    assert not hidden[0, 3].any()


def test_hidden_regions_weigh_three_quarters(monkeypatch):
    model = tiny()
    hidden = torch.tensor([[[True], [False], [False]]])
    prediction = torch.tensor([[[[2.0, 0.0]], [[1.0, 1.0]], [[3.0, 9.0]]]])
    valid = torch.ones(1, 3, 1, 2, dtype=torch.bool)
    valid[0, 2, 0, 1] = False
    case = HiddenRegions(prediction, torch.zeros(1, 3, 1, 2), hidden, valid)
    monkeypatch.setattr(BrainMAE, "reconstruct", lambda *_: case)
    # hidden: (4 + 0) / 2; visible: (1 + 1 + 9) / 3
    assert model.loss(torch.zeros(1), rng())["loss"].item() == pytest.approx(
        0.75 * 2 + 0.25 * 11 / 3
    )


def test_without_masking_everything_is_visible():
    model = tiny(mask_high=0.0)
    assert not model.reconstruct(signal(model), rng()).hidden.any()
    assert model.loss(signal(model), rng())["loss"] > 0


# -- regions ------------------------------------------------------------------------------


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_permuting_regions_with_their_embeddings_permutes_reconstructions(ablation, monkeypatch):
    model, turned = tiny(**ABLATIONS[ablation]), tiny(**ABLATIONS[ablation])
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        turned.rois.copy_(model.rois[order])
    hidden = torch.rand(3, 4, 4, generator=rng(2)) < 0.4
    x = signal(model)
    monkeypatch.setattr(BrainMAE, "_hide", lambda *_: hidden)
    straight = model.reconstruct(x, rng()).prediction
    monkeypatch.setattr(BrainMAE, "_hide", lambda *_: hidden[:, order])
    moved = turned.reconstruct(x[:, order], rng()).prediction
    # sums over regions in another order
    assert torch.allclose(moved, straight[:, order], atol=1e-5)
    assert torch.allclose(turned(x[:, order]).embedding, model(x).embedding, atol=1e-5)


def test_embeddings_do_not_decay_and_fixed_ones_do_not_learn():
    model = tiny()
    decayed, free = model.param_groups(1e-3)
    assert any(p is model.rois for p in free["params"])
    assert free["weight_decay"] == 0.0
    assert sum(len(g["params"]) for g in (decayed, free)) == len(list(model.parameters()))
    fixed = tiny(positions="fixed")
    assert "rois" in fixed.state_dict()
    assert "rois" not in dict(fixed.named_parameters())
    # N(0, 0.02) at the start, all of one length when read
    large = neuro.models.create("brainmae", n_chans=400)
    assert large.rois.std().item() == pytest.approx(0.02, rel=0.02)  # 25,600 values
    torch.testing.assert_close(
        large.roi_embedding.square().mean(1), torch.ones(400), rtol=0.05, atol=0
    )


def test_atlas_labels_and_scale_are_in_the_saved_model(tmp_path):
    made = synthetic.modular_bold(0, n_scans=4, n_rois=4, n_modules=2, n_volumes=84)
    index = windows(list(made.recordings), stream="bold")
    model = neuro.models.create("brainmae", "tiny", contract=index.contract())
    model.prepare(index)
    again = neuro.models.load(model.save(tmp_path / "model"))
    assert again.contract.atlas == "synthetic_modules"
    assert again.contract.ch_names == ("region01", "region02", "region03", "region04")
    assert again.contract.unit == "percent"
    assert torch.equal(again.scaling.scale, model.scaling.scale)
    assert again.scaling.known
    assert again.config.tr == pytest.approx(0.72)


def test_another_tr_gives_the_same_embedding_after_resampling():
    facts = {"n_scans": 6, "n_rois": 4, "n_modules": 2}
    fast = synthetic.modular_bold(5, n_volumes=252, **facts).recordings
    slow = synthetic.modular_bold(5, n_volumes=126, tr=1.44, **facts).recordings
    contract = InputContract(modality="bold", sfreq="1/0.72", unit="z", scaling="zscore")
    model = tiny(n_times=252)

    def embed(recordings):
        index = windows([contract.conform(r) for r in recordings], stream="bold")
        with torch.no_grad():
            found = model(index.batch()).embedding
        return found - found.mean(dim=0)

    # against the mean over scans: the embeddings of any two scans are alike otherwise
    alike = F.cosine_similarity(embed(fast), embed(slow))
    assert alike.min() > 0.98
    assert F.cosine_similarity(embed(fast), embed(slow).roll(1, 0)).max() < 0.9


# -- a truth that is known ---------------------------------------------------------------


@pytest.mark.slow
def test_hidden_regions_are_rebuilt_and_modules_found(tmp_path):
    made = synthetic.modular_bold(0, n_scans=100, n_rois=24, n_modules=4, n_volumes=168)
    contract = InputContract(modality="bold", sfreq="1/0.72", unit="z", scaling="zscore")
    index = windows([contract.conform(r) for r in made.recordings], stream="bold")
    model = neuro.models.create("brainmae", contract=index.contract(), d_roi=32, d_model=48)
    learned, judged = index.select(np.arange(80)), index.select(np.arange(80, 100))
    fit(model, learned, steps=250, batch_size=16, lr=6e-3, out=tmp_path, progress=False)
    model.eval().config = dataclasses.replace(model.config, mask_low=0.5, mask_high=0.5)
    with torch.no_grad():
        shown = model.reconstruct(judged.batch(), rng())
    hidden = shown.hidden[..., None].expand_as(shown.truth)
    error = (shown.prediction - shown.truth)[hidden].square().mean()
    seen = (~shown.hidden)[..., None]
    others = (shown.truth * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    plain = (others - shown.truth)[hidden].square().mean()
    # 0.70 when written, 0.75 of the plain guess; predicting the mean gives 1
    assert error / shown.truth[hidden].square().mean() < 0.75
    assert error < 0.85 * plain
    found = KMeans(4, n_init=10, random_state=0).fit_predict(model.roi_embedding.numpy())
    assert adjusted_rand_score(made.truth["module"], found) > 0.7
