"""TFM-Tokenizer: sizes, what a token depends on, what it refuses, parts of the training."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import neuro
import neuro.models
from neuro.data import Batch, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError, ContractError, DataError
from neuro.evaluate.contenders.controls import SelfPretrained, pretrained, reinitialised
from neuro.models.tfm_tokenizer import (
    RisingCosine,
    TFMTokenizer,
    TFMTokenizerConfig,
    TokenFrontEnd,
)
from neuro.models.tfm_tokenizer.tokenizer import PlaceNorm, half_masks, quantile_scale
from neuro.nn.positions import frame_code
from neuro.train import Callback, fit

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "tfm-tokenizer"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


# -- sizes ---------------------------------------------------------------------------


def _count(*parts):
    return sum(p.numel() for part in parts for p in part.parameters())


def test_published_sizes():
    model = neuro.models.create("tfm_tokenizer", "paper", n_outputs=6)
    # the code book is a buffer here and a parameter without gradient there
    assert _count(model.tokenizer) + model.codebook.numel() == 1_166_100
    # the original counts a fixed index of 16 channels too
    assert _count(model.encoder, model.head) + 16 == 725_014
    assert _count(model.encoder, model.to_codes) + 16 == 1_257_104
    tokenizer = model.tokenizer
    assert _count(tokenizer.frequency_stem) == 9_088
    assert _count(tokenizer.temporal_stem) == 19_424
    assert _count(tokenizer.gate) == _count(tokenizer.gather) == 2_568
    assert _count(tokenizer.decoder_blocks) == 398_336


@pytest.mark.parametrize(("length_s", "n_tokens"), [(5, 9), (10, 19), (30, 59)])
def test_published_numbers_of_frames(length_s, n_tokens):
    config = TFMTokenizerConfig(n_times=200 * length_s)
    assert config.n_tokens == n_tokens
    model = _model()
    assert model.tokenize(_x(model, 1, 100 * length_s)).ids.shape == (1, 4, n_tokens)


@pytest.mark.parametrize(
    ("sfreq", "frame", "n_freqs", "d_frequency"),
    [
        (200, 200, 100, 32),
        (250, 250, 100, 32),
        (160, 160, 75, 24),
        (128, 128, 50, 16),
        (20, 50, 25, 8),
    ],
)
def test_other_rates_keep_frames_of_a_second_and_bins_of_a_hertz(
    sfreq, frame, n_freqs, d_frequency
):
    config = TFMTokenizerConfig(sfreq=sfreq, n_times=10 * sfreq, n_chans=2, n_codes=8)
    found = (config.frame_times, config.hop_times, config.n_freqs, config.d_frequency)
    assert found == (frame, frame // 2, n_freqs, d_frequency)
    tokens = TFMTokenizer(config).tokenize(torch.randn(1, 2, 10 * sfreq))
    assert tokens.ids.shape[2] == config.n_tokens


# -- what a token depends on --------------------------------------------------------------


def _model(preset="tiny", started=True, **config):
    """A small network whose code book starts from what it will be given."""
    model = neuro.models.create("tfm_tokenizer", preset, **config)
    if started:
        model.start(_x(model, 16, seed=9), _rng())
    return model.eval()


def _x(model, batch=3, n_times=None, seed=0):
    """Brown noise with a rhythm now and then."""
    shape = (batch, model.config.n_chans, n_times or model.config.n_times)
    noise = torch.randn(shape, generator=_rng(seed)).cumsum(dim=-1)
    noise = noise - noise.mean(dim=-1, keepdim=True)
    t = torch.arange(shape[-1]) / model.config.sfreq
    rhythm = torch.sin(2 * torch.pi * 10 * t) * (torch.sin(2 * torch.pi * 0.3 * t) > 0)
    return 2 * noise + 15 * rhythm


def test_order_of_channels_orders_the_rows_of_tokens_and_nothing_else():
    model = _model()
    x = _x(model)
    order = torch.tensor([2, 0, 3, 1])
    assert len(model.tokenize(x).ids.unique()) > 8
    assert torch.equal(model.tokenize(x[:, order]).ids, model.tokenize(x).ids[:, order])


def test_a_channels_tokens_do_not_depend_on_other_channels():
    model = _model()
    x = _x(model)
    other = torch.cat([x[:, :1], 50 * _x(model, seed=5)[:, 1:]], dim=1)
    found, expected = model.tokenize(other).ids, model.tokenize(x).ids
    assert torch.equal(found[:, 0], expected[:, 0])
    assert not torch.equal(found[:, 1:], expected[:, 1:])


def test_gain_changes_no_token():
    model = _model()
    x = _x(model, 16)
    ids = model.tokenize(x).ids
    for gain in (0.01, 0.3, 7.0, 100.0):
        gains = torch.ones(4)
        gains[1:3] = gain
        same = model.tokenize(x * gains[:, None]).ids == ids
        # rounding may decide a tie, and 1e-8 is added to the quantile
        assert same.float().mean() > 0.99


def test_tokens_are_the_same_in_any_mode_and_precision_and_change_nothing():
    model = _model(dropout=0.5)
    # many: bfloat16 would change some in a hundred
    x, before = _x(model, 64), copy.deepcopy(model.state_dict())
    ids = model.tokenize(x).ids
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.tokenize(x).ids, ids)
    model.train()
    assert torch.equal(model.tokenize(x).ids, ids)
    model.token_spectra(x)
    model(x)
    assert all(m.training for m in model.modules())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_tokens_say_when_they_are_and_how_long():
    tokens = _model().tokenize(_x(_model()))
    assert tokens.start_s.tolist() == [0.5 * k for k in range(9)]
    assert (tokens.length_s, tokens.n_codes) == (1.0, 32)


# -- what is missing, flat or short -----------------------------------------------------------


def _batch(model, x, channels=None, times=None):
    n, n_chans, n_times = x.shape
    everything = torch.ones(n, n_chans, dtype=torch.bool), torch.ones(n, n_times, dtype=torch.bool)
    return Batch(
        x=x,
        sfreq=model.config.sfreq,
        ch_names=tuple(f"ch{k}" for k in range(n_chans)),
        channel_mask=everything[0] if channels is None else channels,
        time_mask=everything[1] if times is None else times,
        positions=torch.full((n, n_chans, 3), float("nan")),
        start_s=torch.zeros(n, dtype=torch.float64),
        index=torch.arange(n),
        unit="uV",
        modality="eeg",
    )


def test_a_frame_with_a_missing_sample_and_a_missing_channel_have_no_token():
    model = _model()
    x = _x(model)
    channels = torch.ones(3, 4, dtype=torch.bool)
    times = torch.ones(3, 500, dtype=torch.bool)
    channels[1, 2] = False
    times[0, 149:151] = False  # frames from 50 (to 149), 100 and 150 on touch them
    ids = model.tokenize(_batch(model, x, channels, times)).ids
    absent = torch.zeros(3, 4, 9, dtype=torch.bool)
    absent[1, 2] = True
    absent[0, :, 1:4] = True
    assert torch.equal(ids == -1, absent)
    spectra = model.token_spectra(_batch(model, x, channels, times))
    assert not spectra.truth.mT[absent].any()
    assert not spectra.decoded.mT[absent].any()


def test_padding_leaves_every_token_as_it_was():
    model = _model()
    x = _x(model)
    longer = torch.cat([x, torch.full((3, 4, 170), 1e4)], dim=2)
    times = torch.arange(670).lt(500).expand(3, -1)
    ids = model.tokenize(_batch(model, longer, times=times)).ids
    assert torch.equal(ids[..., :9], model.tokenize(x).ids)
    assert (ids[..., 9:] == -1).all()


def test_windows_without_one_whole_frame_have_no_tokens_and_a_finite_embedding():
    model = _model()
    times = torch.ones(3, 500, dtype=torch.bool)
    times[1, ::60] = False
    batch = _batch(model, _x(model), times=times)
    assert (model.tokenize(batch).ids[1] == -1).all()
    assert model(batch).embedding.isfinite().all()
    for loss in (model.tokenizer_loss, model.pretrain_loss, model.loss):
        assert loss(batch, _rng())["loss"].isfinite()


def test_a_flat_channel_has_the_token_of_silence():
    model = _model()
    x = _x(model)
    x[0, 1] = 0.0
    x[2, 3] = 0.0
    ids = model.tokenize(x).ids
    assert len(ids[0, 1].unique()) == 1
    assert torch.equal(ids[0, 1], ids[2, 3])


def test_windows_shorter_than_a_frame_are_refused():
    with pytest.raises(ConfigError, match="n_times = 80 is not possible; use at least one frame"):
        _model(n_times=80)
    with pytest.raises(DataError, match="80 samples, less than one frame of 100"):
        _model().tokenize(torch.zeros(1, 4, 80))


def test_volts_and_nan_are_refused():
    model = _model()
    with pytest.raises(ContractError, match="unit is 'V'"):
        model.tokenize(replace(_batch(model, 1e-6 * _x(model)), unit="V"))
    with pytest.raises(DataError, match="NaN"):
        model.tokenize(_x(model).index_fill(2, torch.tensor([7]), float("nan")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_freqs": 60}, "n_freqs = 60 .* multiple of 5 \\* freq_patch = 25"),
        ({"n_freqs": 75}, "n_freqs = 75 .* at most 51"),
        ({"d_model": 12, "n_heads": 2}, "d_model = 12 .* multiple of 8"),
        ({"n_heads": 3}, "n_heads = 3 .* divisor of d_model"),
        ({"n_codes": 1}, "n_codes = 1"),
        ({"codebook_init": "random"}, "codebook_init = 'random'"),
        ({"objective": "focal", "n_outputs": 3}, "objective = 'focal' .* 'auto' for n_outputs = 3"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"decoder_depth": 0}, "decoder_depth"),
    ],
)
def test_impossible_configurations_are_refused_by_name(change, said):
    with pytest.raises(ConfigError, match=said):
        neuro.models.create("tfm_tokenizer", "tiny", **change)


# -- parts of the training ------------------------------------------------------------------


@pytest.mark.parametrize(("n_frames", "share"), [(9, 0.278), (19, 0.263), (59, 0.254)])
def test_masks_hide_ten_groups_and_half_of_the_frames(n_frames, share):
    masks = [half_masks(20, n_frames, 5, _rng(seed)) for seed in range(20)]
    for keep in masks:
        by_group = keep.reshape(n_frames, 20, 5)
        assert (by_group == by_group[..., :1]).all()
        kept_groups = by_group[..., 0].any(dim=0)
        kept_frames = keep.any(dim=1)
        assert (20 - kept_groups.sum(), n_frames - kept_frames.sum()) == (10, n_frames // 2)
        assert torch.equal(by_group[..., 0], kept_frames[:, None] & kept_groups)
        assert keep.float().mean().item() == pytest.approx(share, abs=5e-4)
    assert len({keep.numpy().tobytes() for keep in masks}) == 20


def test_both_passes_together_see_everything_once(monkeypatch):
    model = _model(views="both")
    given = []
    loss_of = model.tokenizer.loss_of

    def spy(frames, views, generator):
        given.extend(views)
        return loss_of(frames, views, generator)

    monkeypatch.setattr(model.tokenizer, "loss_of", spy)
    model.tokenizer_loss(_x(model), _rng())
    first, second, third = given
    assert torch.equal(second, ~first)
    assert third is None


def test_frames_that_a_pass_sees_whole_are_worked_on_once():
    tokenizer = _model(views="both").tokenizer.eval()
    spectra = 5 * torch.rand(3, 9, 50, generator=_rng())
    keep = half_masks(10, 9, 5, _rng(1))
    worked_on = []
    tokenizer.frequency_stem.register_forward_pre_hook(lambda _, x: worked_on.append(len(x[0])))
    with torch.no_grad():
        found = tokenizer._of_views(spectra, [keep, ~keep, None])
        # all 9; all 9 in part; the 5 of which something is hidden
        assert worked_on == [3 * 9, 3 * 9, 3 * 5]
        for features, seen in zip(found, (keep, ~keep, torch.ones_like(keep)), strict=True):
            # other rows in one product, other order of its sums
            assert torch.allclose(features, tokenizer.frequency_features(spectra * seen), atol=1e-6)


def test_the_second_pass_sees_the_updated_codes():
    model = _model(codebook_init="sample", views="halves").train()
    codes = []
    quantiser = model.tokenizer.quantiser
    quantiser.register_forward_pre_hook(lambda *_: codes.append(quantiser.codes.clone()))
    model.tokenizer_loss(_x(model), _rng())
    assert len(codes) == 2
    assert not torch.equal(codes[0], codes[1])


def test_codes_stay_near_the_vectors_unless_the_originals_start_is_asked_for():
    x = _x(_model())
    norms = {}
    for start in ("uniform", "kmeans"):
        model = _model(started=False, codebook_init=start, views="halves").train()
        for step in range(3):
            model.tokenizer_loss(x, _rng(step))
        norms[start] = model.codebook.norm(dim=1)
    # means of vectors of length 1
    assert norms["kmeans"].max() <= 1 + 1e-4
    # unused codes are divided by the small number that keeps others from dividing by 0
    assert norms["uniform"].max() > 10


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_vectors_are_pulled_to_their_codes_unless_the_original_is_asked_for(beta):
    for rule in ("commit", "reference"):
        model = _model(vq_grad=rule, beta=beta)
        frames = model.tokenizer.frames(_x(model).flatten(0, 1))
        z = model.tokenizer.vectors(frames.spectra, model.tokenizer.temporal_features(frames), None)
        out = model.tokenizer.quantiser(z)
        (pull,) = torch.autograd.grad(out.loss, z)
        share = beta if rule == "commit" else beta - 1  # -1: the codebook term, on the wrong side
        expected = 2 * share * (z - out.codes) / z.numel()
        assert (z - out.codes).abs().max() > 1e-3
        assert (pull - expected).abs().max() < 1e-9


def test_prepare_starts_the_codes_from_the_training_windows_and_weighs_the_bins():
    made = synthetic.motifs(0, n_subjects=1, duration_s=60, sfreq=100)
    train = windows(made.recordings, stream="eeg", length_s=5, step_s=5)
    model = neuro.models.create("tfm_tokenizer", "tiny", contract=train.contract())
    model.prepare(train, seed=3)
    ids = model.tokenize(train.batch()).ids
    assert len(ids.unique()) > 24  # of 32
    spectra = model.token_spectra(train.batch()).truth.transpose(2, 3).flatten(0, 2)
    tokenizer = model.tokenizer
    torch.testing.assert_close(tokenizer.bin_mean, spectra.mean(dim=0))
    torch.testing.assert_close(tokenizer.bin_std, spectra.std(dim=0, correction=0))
    error = (spectra - tokenizer.bin_mean).square() * tokenizer.bin_weight
    assert error.mean().item() == pytest.approx(1, rel=1e-5)  # of predicting the mean
    ratio = tokenizer.bin_weight * tokenizer.bin_std  # whitening 0.5: constant
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    with torch.no_grad():  # the decoder speaks in deviations from the mean
        tokenizer.to_spectrum.weight.zero_()
        tokenizer.to_spectrum.bias.fill_(2.0)
        decoded = tokenizer.decode(torch.zeros(1, 1, 16))[0, 0]
    torch.testing.assert_close(decoded, tokenizer.bin_mean + 2 * tokenizer.bin_std)
    codes = model.codebook.clone()
    model.prepare(train, seed=4)
    assert torch.equal(model.codebook, codes)


def test_stage_two_trains_the_encoder_alone_and_reads_frozen_tokens():
    model = _model()
    codes = model.codebook.clone()
    stages = model.stages()
    assert list(stages) == ["tokenizer", "pretrain"]
    assert list(_model(n_outputs=2).stages()) == ["tokenizer", "pretrain", "finetune", "probe"]
    model.train()
    model.pretrain_loss(_x(model), _rng())["loss"].backward()
    assert all(p.grad is None for p in model.tokenizer.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert torch.equal(model.codebook, codes)


def test_tokens_enter_the_encoder_as_their_codes_and_the_mask_as_zero():
    model = _model()
    ids = torch.tensor([[[3, model.encoder.mask_id]]])
    what = model.encoder.sequence(ids, model.codebook)[0, 1:] - frame_code(2, 16)
    what = what - model.encoder.channels[0]
    torch.testing.assert_close(what[0], model.codebook[3], atol=1e-6, rtol=0)
    torch.testing.assert_close(what[1], torch.zeros(16), atol=1e-6, rtol=0)


def test_masked_token_loss_counts_every_valid_token_in_one_of_two_passes():
    model = _model()
    with torch.no_grad():  # a head that always says code 5, with the same certainty
        model.to_codes.weight.zero_()
        model.to_codes.bias.zero_()
        model.to_codes.bias[5] = 2.0
    ids = torch.randint(32, (2, 4, 9), generator=_rng())
    valid = torch.rand(2, 4, 9, generator=_rng(1)) < 0.8
    hidden = torch.rand(2, 4, 9, generator=_rng(2)) < 0.5
    total = torch.log(torch.tensor(31 + torch.e**2))
    out = model.masked_token_loss(ids, valid, hidden)
    five = [(ids[mask & valid] == 5).float().mean() for mask in (hidden, ~hidden)]
    assert out["loss"].item() == pytest.approx(float(2 * total - 2 * sum(five)), rel=1e-5)
    assert out["hit"].item() == pytest.approx((ids[valid] == 5).float().mean().item())


@pytest.mark.parametrize("objective", ["bce", "focal"])
def test_one_output_learns_two_classes(objective):
    model = _model(n_outputs=1, objective=objective)
    batch = replace(_batch(model, _x(model)), target=torch.tensor([1.0, 0.0, float("nan")]))
    with torch.no_grad():
        scores = model(batch).prediction[:2, 0]
    right = torch.sigmoid(scores) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    terms = -right.log()
    if objective == "focal":
        terms = torch.tensor([0.8, 0.2]) * (1 - right) ** 0.7 * terms
    out = model.supervised_loss(batch, _rng())
    assert out["loss"].item() == pytest.approx(terms.mean().item(), rel=1e-5)
    assert out["accuracy"].item() == pytest.approx((right > 0.5).float().mean().item())


def test_a_single_output_without_objective_is_regressed():
    model = _model(n_outputs=1)
    batch = replace(_batch(model, _x(model)), target=torch.tensor([1.0, 0.5, float("nan")]))
    out = model.supervised_loss(batch, _rng())
    expected = (model(batch).prediction[:2, 0] - batch.target[:2]).square().mean()
    assert out["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("pool", ["cls", "mean", "channel"])
def test_embeddings_are_what_the_pooling_says(pool):
    model = _model(pool=pool)
    out = model(_x(model))
    assert out.embedding.shape == (3, model.config.d_embedding)
    grid = out.tokens.reshape(3, 4, 9, 16)
    if pool == "mean":
        torch.testing.assert_close(out.embedding, grid.mean(dim=(1, 2)))
    if pool == "channel":
        torch.testing.assert_close(out.embedding, grid.mean(dim=2).flatten(1))


# -- parts of the network -------------------------------------------------------------------


def test_quantile_is_torchs_with_and_without_missing_samples():
    x = torch.randn(5, 997, generator=_rng())
    expected = x.abs().quantile(0.95, dim=1, keepdim=True)
    torch.testing.assert_close(quantile_scale(x, 0.95), expected)
    valid = torch.rand(5, 997, generator=_rng(1)) < 0.6
    valid[4] = False
    found = quantile_scale(x.masked_fill(~valid, 0.0), 0.95, valid)
    for row in range(4):
        torch.testing.assert_close(found[row, 0], x[row, valid[row]].abs().quantile(0.95))
    assert found[4] == 0


def test_place_norm_is_torchs_group_norm_and_leaves_missing_places_out():
    norm, x = PlaceNorm(4, 8), torch.randn(3, 7, 8, generator=_rng())
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    expected = F.group_norm(x.mT, 4, norm.weight, norm.bias, eps=1e-5).mT
    torch.testing.assert_close(norm(x), expected)
    valid = torch.arange(7).lt(5).expand(3, -1)
    torch.testing.assert_close(norm(x, valid)[:, :5], norm(x[:, :5]))


def test_a_front_end_hands_frozen_codes_to_another_encoder():
    model = _model()
    front = TokenFrontEnd(model, 24)
    before = copy.deepcopy(model.state_dict())
    x = _x(model)
    channels = torch.ones(3, 4, dtype=torch.bool)
    channels[2, 1] = False
    vectors, there = model.token_vectors(_batch(model, x, channels))
    assert torch.equal(vectors[0, 0], model.codebook[model.tokenize(x).ids[0, 0]])
    assert not vectors[2, 1].any()
    tokens, valid = front(_batch(model, x, channels))
    assert tokens.shape == (3, 36, 24)
    assert torch.equal(valid, there.flatten(1))
    tokens.square().sum().backward()
    assert set(front.state_dict()) == {"project.weight", "project.bias", "channels"}
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_controls_start_from_new_codes_and_train_the_tokenizer_too():
    made = synthetic.motifs(0, n_subjects=1, duration_s=60, sfreq=100)
    train = windows(made.recordings, stream="eeg", length_s=5, step_s=5)
    model = neuro.models.create("tfm_tokenizer", "tiny", contract=train.contract())
    model.prepare(train)
    fresh = reinitialised(model, seed=1)
    assert not torch.equal(fresh.codebook, model.codebook)
    assert not fresh.tokenizer.quantiser.ready
    assert torch.equal(fresh.tokenizer.bin_mean, model.tokenizer.bin_mean)
    own = pretrained(model, train, SelfPretrained(steps=2, batch_size=4), seed=1)
    layer = "tokenizer.gather.weight"
    assert not torch.equal(own.state_dict()[layer], fresh.state_dict()[layer])


class _StopAt(Callback):
    def __init__(self, step):
        self.at = step

    def on_step(self, state):
        if state.step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["pretrain", None])
def test_a_resumed_run_is_the_uninterrupted_one(stage, tmp_path):
    made = synthetic.motifs(0, n_subjects=1, duration_s=60, sfreq=100)
    train = windows(made.recordings, stream="eeg", length_s=5, step_s=5)

    def run(folder, stop=None):
        model = neuro.models.create(
            "tfm_tokenizer", "tiny", contract=train.contract(), dropout=0.1, revive_after=2
        )
        fit(model, train, steps=6, batch_size=4, lr=1e-3, stage=stage, out=tmp_path / folder,
            schedule=RisingCosine(warmup=2), checkpoint_every=1, seed=1, progress=False,
            device="cpu", callbacks=[_StopAt(stop)])  # fmt: skip
        return model.state_dict()

    with pytest.raises(KeyboardInterrupt):
        run("cut", stop=3)
    resumed, straight = run("cut"), run("whole")
    assert all(torch.equal(resumed[k], straight[k]) for k in straight)
