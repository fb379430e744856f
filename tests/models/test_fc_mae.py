"""fc_mae: windows, graphs, what is hidden, fine-tuning, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import neuro.models
from neuro import train
from neuro.data import Batch
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError
from neuro.models.fc_mae import encoder
from neuro.models.fc_mae import model as module
from neuro.models.fc_mae.encoder import orthogonality
from neuro.models.fc_mae.masking import draw_triples, hide, whole


def create(**config):
    return neuro.models.create("fc_mae", "tiny", **config)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=3, n_rois=6, n_times=60, seed=0):
    return torch.randn(n, n_rois, n_times, generator=rng(seed))


def labelled(x, y, sfreq=0.5):
    n, n_rois, n_times = x.shape
    return Batch(
        x=x,
        sfreq=sfreq,
        ch_names=tuple(f"r{i}" for i in range(n_rois)),
        channel_mask=torch.ones(n, n_rois, dtype=torch.bool),
        time_mask=torch.ones(n, n_times, dtype=torch.bool),
        positions=torch.full((n, n_rois, 3), float("nan")),
        start_s=torch.zeros(n, dtype=torch.float64),
        index=torch.arange(n),
        unit="z",
        modality="bold",
        target=torch.as_tensor(y, dtype=torch.float32),
    )


# -- windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tr", "n_times", "samples", "stride", "windows"),
    [(2.0, 240, 30, 5, 42), (0.72, 600, 83, 14, 37), (1.5, 41, 40, 7, 1), (3.0, 20, 20, 3, 1)],
)
def test_windows_are_seconds_whatever_the_repetition_time(tr, n_times, samples, stride, windows):
    model = create(sfreq=1 / tr, n_times=n_times, window_s=60.0, stride_s=10.0, temporal_weight=0)
    assert (model.config.window_times, model.config.stride_times) == (samples, stride)
    assert model.eval()(noise(1, n_times=n_times)).tokens.shape == (1, windows, 32)


def test_scans_of_any_length_are_read():
    model = create().eval()
    assert model(noise(n_times=200)).tokens.shape == (3, 38, 32)
    with pytest.raises(DataError, match=r"9 samples .* less than one window of 20 s"):
        model(noise(n_times=9))


def test_impossible_windows_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"window_s = 4\.0"):
        create(window_s=4.0)
    with pytest.raises(ConfigError, match="n_times = 9"):
        create(n_times=9)
    with pytest.raises(ConfigError, match="crop_s = 500"):
        create(crop_s=500.0)
    with pytest.raises(ConfigError, match="n_chans = 3"):
        create(n_chans=3)


def test_regions_in_another_order_with_their_identity_change_nothing():
    model = create(timestamp=True).eval()
    x, order = noise(), torch.randperm(6, generator=rng(1))
    straight = model.encode(x)
    turned = model.encode(x[:, order], channel_index=order)
    # back in the same order before anything is added up
    assert torch.equal(turned[0], straight[0])
    assert torch.equal(turned[1], straight[1])
    assert not torch.allclose(model.encode(x[:, order])[0], straight[0], atol=1e-3)


def test_a_dead_region_of_one_scan_leaves_the_other_scans_alone():
    model = create().train()
    x = noise()
    x[0, 2] = 5.0
    there = model.encode(x)[0]
    x[0, 2] = -1e3
    assert there.isfinite().all()
    # batch statistics do not count it, whatever its value
    assert torch.equal(model.encode(x)[0], there)


def test_windows_in_parts_are_the_same_as_all_at_once(monkeypatch):
    model = create(timestamp=True).eval()
    times = torch.ones(3, 60, dtype=torch.bool)
    times[1, 40:] = False
    whole_ = model.encode(noise(), time_mask=times)
    for floats in (1, 5000):
        monkeypatch.setattr(module, "_FLOATS", floats)
        for found, expected in zip(model.encode(noise(), time_mask=times), whole_, strict=True):
            # sums of another number of rows at a time: rounding
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_layers_run_again_in_the_backward_pass_give_the_same(monkeypatch):
    found = []
    for large in (1 << 24, 0):
        monkeypatch.setattr(encoder, "_LARGE", large)
        model = create(n_outputs=2).train()
        model.supervised_loss(labelled(noise(), [0, 1, 0]), rng())["loss"].backward()
        norm = model.encoder.layers[1].norms[0]
        found.append(
            [norm.running_mean, norm.running_var, *(p.grad for p in model.encoder.parameters())]
        )
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(again, kept)


def test_windows_with_too_many_missing_samples_do_not_count():
    model = create().eval()
    times = torch.ones(1, 60, dtype=torch.bool)
    times[0, 20:36] = False
    tokens = model.encode(noise(1), time_mask=times)[1]
    # windows of 10 samples every 5: those from 20 and 25 have none and one, from 15 half
    assert (tokens[0].abs().sum(dim=1) > 0).tolist() == [1, 1, 1, 1, 0, 0, 0, 1, 1, 1]


def test_the_recurrent_network_remembers_what_was_before_a_crop():
    model = create(timestamp=True).eval()
    x, starts = noise(), torch.arange(20, 40, 5)
    states = model._states(x, starts)
    assert torch.equal(states, model.encoder.states(x)[:, starts + 9])
    assert not torch.allclose(states, model._states(x[:, :, 20:], starts - 20), atol=1e-4)


def test_attention_over_time_is_a_share_and_forgets_missing_windows():
    model = create(pool="token").eval()
    batch = labelled(noise(), [0, 1, 0])
    times = batch.time_mask.clone()
    times[1, 30:] = False
    weights, centres = model.attention_over_time(replace(batch, time_mask=times))
    assert weights.shape == (3, 2, 11, 11)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(3, 2, 11))
    # the last window that lies before sample 30 starts at 15; the learned one is the last
    assert (weights[1, 0, 0] > 0).tolist() == [True] * 4 + [False] * 6 + [True]
    assert centres[:2].tolist() == [9.0, 19.0]


# -- what is hidden ---------------------------------------------------------------------------


def correlation(m=4, n=20, seed=0):
    x = torch.randn(m, n, 40, generator=rng(seed))
    return torch.stack([torch.corrcoef(row) for row in x])


def test_hidden_pairs_are_symmetric_and_among_visible_nodes():
    config = create(n_chans=20).config
    parts = hide(correlation(), torch.ones(4, 20, dtype=torch.bool), config, rng())
    assert parts.nodes.sum(dim=1).tolist() == [10] * 4
    assert torch.equal(parts.pairs, parts.pairs.transpose(1, 2))
    assert not parts.pairs.diagonal(dim1=1, dim2=2).any()
    touched = parts.pairs & (parts.nodes[:, :, None] | parts.nodes[:, None, :])
    assert not touched.any()
    # 45 pairs of visible nodes, each hidden with probability 0.5: four deviations
    shares = parts.pairs.float().sum(dim=(1, 2)) / 90
    assert ((shares - 0.5).abs() < 4 * 0.5 / 45**0.5).all()


def test_no_hidden_correlation_reaches_the_graph():
    config = create(n_chans=20).config
    nodes, truth = torch.ones(4, 20, dtype=torch.bool), correlation()
    parts = hide(truth, nodes, config, rng())
    gone = parts.pairs | parts.nodes[:, :, None] | parts.nodes[:, None, :]
    gone = gone & ~torch.eye(20, dtype=torch.bool)
    # all hidden correlations large: a percentile of the whole matrix would rise
    changed = hide(torch.where(gone, 0.99, truth), nodes, config, rng())
    assert torch.equal(changed.edges, parts.edges)
    off = parts.edges * ~torch.eye(20, dtype=torch.bool)
    assert not off[gone].any()
    assert torch.equal(parts.edges.diagonal(dim1=1, dim2=2), torch.ones(4, 20))


def test_what_is_left_stands_for_all_neighbours():
    config = create(n_chans=20).config
    truth = torch.ones(1, 20, 20)
    truth[0, 10:, :10] = truth[0, :10, 10:] = -1.0
    nodes = torch.ones(1, 20, dtype=torch.bool)
    sums = torch.stack([hide(truth, nodes, config, rng(s)).edges[0] for s in range(200)])
    # -1 and 1 only: no entry is strictly above a percentile of 1
    assert torch.equal(sums[0], torch.eye(20))
    truth = correlation(m=1, seed=3)
    edges, _ = whole(truth, 70)
    found = torch.stack([hide(truth, nodes, config, rng(s)).edges[0] for s in range(400)])
    seen = found.sum(dim=2) > 1
    # on average the scaled sum over what is seen is the number of all neighbours
    mean = (found.sum(dim=2) - 1)[seen].mean()
    assert mean.item() == pytest.approx(edges.sum(dim=2).float().mean().item() - 1, rel=0.35)


@pytest.mark.parametrize("seed", range(3))
def test_triples_share_no_sample_and_stay_within_the_scan(seed):
    there = torch.ones(5, 70, dtype=torch.bool)
    there[1, 45:] = there[2, 25:] = there[3, 12:] = there[4, :55] = False
    drawn = draw_triples(there, 10, 8, 0.5, 200, rng(seed))
    before, middle, after = drawn.starts.unbind(2)
    length = torch.tensor([70, 45, 25, 12, 70])[:, None]
    assert (drawn.starts >= 0).all()
    assert (torch.where(drawn.valid, drawn.starts, 0) + 10 <= length[..., None]).all()
    three = drawn.valid.all(dim=2)
    assert three[:2].all()
    assert not three[2:].any()
    gaps = torch.stack([middle - before - 10, after - middle - 10])[:, :2]
    assert gaps.min() == 0
    assert gaps.max() == 8
    # two windows of a scan of 25 samples, one of a scan of 12
    assert (after - before)[2].min() >= 10
    assert drawn.valid[2].all(dim=0).tolist() == [True, False, True]
    assert drawn.valid[3].all(dim=0).tolist() == [True, False, False]


def test_a_single_short_scan_can_be_trained_on():
    model = create(n_outputs=2, n_times=12, stride_s=10.0).train()
    assert model.loss(noise(1, n_times=12), rng())["loss"].isfinite()
    one = labelled(noise(1, n_times=12), [1])
    assert model.supervised_loss(one, rng())["loss"].isfinite()


def test_scans_too_short_for_three_windows_learn_from_space_alone():
    model = create(n_times=25)
    out = model.loss(noise(n_times=25), rng())
    assert out["nodes_in_time"] == out["edges_in_time"] == 0
    assert out["edges"] > 0


def test_the_slow_copy_follows_the_encoder():
    model = create(target="embedding", ema_decay=0.75)
    name = "layers/0/maps/0/weight"
    slow = dict(model.slow_encoder.named_buffers())[name]
    fast = model.encoder.layers[0].maps[0].weight
    before = slow.clone()
    with torch.no_grad():
        fast.add_(1.0)
    model.on_step(0, 1)
    torch.testing.assert_close(slow, before + 0.25)
    assert model.loss(noise(), rng())["loss"].isfinite()
    made = model.reconstruct_graphs(noise(), rng())
    assert made.space.true_nodes.shape[-1] == model.config.d_model


# -- fine-tuning -----------------------------------------------------------------------------


def test_fine_tuning_adds_the_regulariser():
    model = create(n_outputs=2, orthogonality=0.5).train()
    out = model.supervised_loss(labelled(noise(), [0, 1, 0]), rng())
    model = create(n_outputs=2, orthogonality=0.0).train()
    plain = model.supervised_loss(labelled(noise(), [0, 1, 0]), rng())
    torch.testing.assert_close(out["loss"], plain["loss"] + 0.5 * out["orthogonality"])


def test_regulariser_is_finite_for_silent_nodes():
    nodes = torch.rand(2, 5, 4, generator=rng())
    nodes[0, 1] = 0.0
    nodes.requires_grad_()
    value = orthogonality([nodes])
    value.backward()
    assert value.isfinite()
    assert nodes.grad.isfinite().all()


def test_fine_tuning_sees_random_stretches_and_inference_the_whole():
    model = create(n_outputs=2, crop_s=60.0).train()
    first = {int(model._crop(60, rng(s), torch.device("cpu"))[0]) for s in range(200)}
    assert {min(first), max(first)} == {0, 30}
    assert len(first) > 25
    assert len(model._crop(60, rng(), torch.device("cpu"))) == 4
    assert len(model.eval()._crop(60, rng(), torch.device("cpu"))) == 10


def test_stages_train_their_parts(tmp_path):
    model = create(n_outputs=2)
    windows = _Scans(labelled(noise(8), [0, 1] * 4))
    start = {k: v.clone() for k, v in model.state_dict().items()}
    moved = {}
    for stage in ("pretrain", "finetune", "probe"):
        train.fit(model, windows, steps=2, batch_size=4, stage=stage, out=tmp_path / stage)
        now = {k: v.clone() for k, v in model.state_dict().items()}
        moved[stage] = {k.split(".")[0] for k in now if not torch.equal(now[k], start[k])}
        start = now
    assert moved == {
        "pretrain": {"encoder", "decoder"},
        "finetune": {"encoder", "head"},
        "probe": {"head"},
    }


class _Scans:
    """The least that `fit` asks of data."""

    def __init__(self, batch):
        self.whole = batch

    def __len__(self):
        return len(self.whole.x)

    def batch(self, rows):
        rows = torch.as_tensor(np.asarray(rows))
        return labelled(self.whole.x[rows], self.whole.target[rows])


# -- what it learns ---------------------------------------------------------------------------


@pytest.mark.slow
def test_learns_hidden_edges_and_the_rate_of_switching():
    """The smallest version of benchmarks/fc_mae_truths.py that can fail."""
    made = synthetic.switching_fc(7, n_scans=140, n_rois=30, n_volumes=400, dwell=(20, 80))
    x = torch.tensor(np.stack([r.stream("bold").data for r in made.recordings]))
    slow = np.array([r.group == "slow" for r in made.recordings])
    sizes = {"n_chans": 30, "n_times": 400, "sfreq": 1.0, "window_s": 50.0, "stride_s": 20.0}
    model = neuro.models.create("fc_mae", **sizes, d_model=32, depth=2, n_draws=2).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(120):
        optimiser.zero_grad()
        model.loss(x[torch.randint(80, (16,), generator=rng(step))], rng(step))["loss"].backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        space = model.reconstruct_graphs(x[80:], rng()).space
        embedding = model(x).embedding.numpy()
    asked = space.hidden_pairs
    group = torch.stack([torch.corrcoef(scan) for scan in x[:80]]).mean(dim=0)
    truth = space.true_edges[asked]
    found = roc_auc_score(truth, space.edges[asked])
    assert found > 0.8
    # three seeds at full size: 0.12 above the group's mean
    assert found > roc_auc_score(truth, group.expand_as(space.edges)[asked]) + 0.05
    above = np.triu_indices(30, 1)
    static = np.stack([np.corrcoef(scan)[above] for scan in x.numpy()])
    scores = []
    for features in (static, embedding):
        z = (features - features[:90].mean(axis=0)) / features[:90].std(axis=0)
        fit = LogisticRegression(C=0.01).fit(z[:90], slow[:90])
        scores.append(fit.score(z[90:], slow[90:]))
    assert scores[0] < 0.68  # 50 scans at chance: two and a half deviations above 0.5
    assert scores[1] > 0.75
