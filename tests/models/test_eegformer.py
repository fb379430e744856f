"""EEGFormer: sizes, spectra, channel independence, codes and what they find in known motifs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import neuro.models
from neuro.data import Batch, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError, ContractError, DataError
from neuro.models.eegformer import EEGFormer, EEGFormerConfig

N_CHANS, N_TIMES, SFREQ, N_TOKENS = 4, 384, 64, 6


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def signal(batch=3, seed=0):
    """Random walks of some 20 uV: spectra that fall with frequency."""
    x = torch.randn(batch, N_CHANS, N_TIMES, generator=rng(seed))
    return 5 * x + 2 * x.cumsum(dim=-1)


def tiny(seed=0, **config):
    """Small model whose codes were started from data, in eval mode."""
    model = neuro.models.create("eegformer", "tiny", seed=seed, **config).train()
    with torch.no_grad():
        model.loss(signal(8, seed=99), rng())
    return model.eval()


@pytest.fixture(scope="module")
def some_windows():
    made = synthetic.motifs(3, n_subjects=1, duration_s=60, n_chans=4, sfreq=100)
    return windows(list(made.recordings), stream="eeg", length_s=6)


def for_windows(**config):
    return neuro.models.create("eegformer", "tiny", n_times=600, sfreq=100.0, **config)


# -- sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "reported"), [("paper_small", 1.9e6), ("paper", 2.3e6), ("paper_large", 3.2e6)]
)
def test_three_sizes_have_the_reported_numbers_of_parameters(preset, reported):
    with torch.device("meta"):
        count = EEGFormer(EEGFormerConfig(**EEGFormer.presets[preset])).n_parameters()
    # what is reported has two digits
    assert abs(count / reported - 1) < 0.03


def test_by_default_a_token_is_one_second_of_one_channel():
    config = EEGFormerConfig()
    assert (config.n_bins, config.sequence_size, config.n_patches) == (100, 1200, 12)
    assert EEGFormerConfig(pad_end=True).n_patches == 13


@pytest.mark.parametrize(
    ("changes", "sequence", "patches"),
    [
        ({"spectral": "none"}, 3000, 12),
        ({"spectral": "none", "patch_size": 64, "patch_step": 24, "pad_end": True}, 3000, 124),
        ({"spectral": "window"}, 1200, 12),
        ({"patch_size": 64, "patch_step": 32, "pad_end": True}, 1200, 37),
        ({"n_times": 3100}, 1200, 12),
        ({"sfreq": 128.0, "n_times": 1536}, 768, 12),
        ({"max_hz": 40.0, "frame_s": 0.5}, 480, 24),
    ],
    ids=["raw", "raw_overlap", "window", "frame_overlap", "rest", "slower", "short_frames"],
)
def test_number_of_patches_follows_from_length_patch_and_step(changes, sequence, patches):
    config = EEGFormerConfig(n_chans=2, **changes)
    assert (config.sequence_size, config.n_patches) == (sequence, patches)
    tokens = EEGFormer(replace(config, depth=1, decoder_depth=1)).tokenize(
        torch.randn(1, 2, config.n_times, generator=rng())
    )
    assert tokens.ids.shape == (1, 2, patches)
    assert len(tokens.start_s) == patches


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_times": 200}, r"n_times = 200 .*one frame or more \(250 samples = 1 s\)"),
        ({"patch_size": 1201}, "patch_size = 1201 .*1 to 1200"),
        ({"patch_size": 100, "patch_step": 101}, "patch_step = 101"),
        ({"spectral": "none", "n_times": 100, "patch_size": 250}, "patch_size = 250"),
        ({"max_hz": 0.5}, "max_hz = 0.5"),
        ({"n_heads": 7}, "n_heads = 7"),
        ({"frame_s": 0.004}, "frame_s = 0.004"),
        ({"mask_ratio": 1.0}, "mask_ratio = 1.0"),
        ({"n_codes": 0}, "n_codes = 0"),
        ({"vq_init": "kmean"}, "Did you mean 'kmeans'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_is_refused_by_name(changes, said):
    with pytest.raises(ConfigError, match=said):
        EEGFormerConfig(**changes)


def test_windows_of_another_length_are_refused():
    with pytest.raises(ContractError, match="built for 384 samples and was given 40"):
        tiny().tokenize(torch.zeros(1, N_CHANS, 40))


# -- the front end ----------------------------------------------------------------------


def test_the_sequence_is_the_normalised_log_amplitude_of_each_second():
    model, x = tiny(max_hz=20.0), signal()
    sequence = model._sequence(x, None, None)
    frames = x.double().numpy().reshape(3, N_CHANS, N_TOKENS, SFREQ)
    expected = np.log1p(np.abs(np.fft.rfft(frames)))[..., 1:21].reshape(3, N_CHANS, -1)
    mean, deviation = expected.mean(axis=-1), expected.std(axis=-1)
    normal = (expected - mean[..., None]) / np.sqrt(deviation[..., None] ** 2 + 1e-5)
    # float32 transforms of values up to 1e4
    np.testing.assert_allclose(sequence.z, normal, atol=2e-5)
    np.testing.assert_allclose(sequence.z * sequence.scale + sequence.mean, expected, atol=1e-4)


def test_spectrum_of_the_window_and_raw_samples():
    x = signal()
    whole = tiny(spectral="window", log_amplitude=False)._sequence(x, None, None)
    expected = np.abs(np.fft.rfft(x.double().numpy()))[..., 1:]
    got = whole.z * whole.scale + whole.mean
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-2 * expected.std())
    raw = tiny(spectral="none")._sequence(x, None, None)
    np.testing.assert_allclose(raw.z * raw.scale + raw.mean, x, atol=1e-4)


def test_codes_of_spectra_do_not_follow_the_phase_and_codes_of_samples_do():
    second = torch.arange(SFREQ) / SFREQ
    hz = torch.tensor([3.0, 7.0, 12.0, 20.0])
    wave = torch.sin(2 * torch.pi * hz[:, None] * second)
    mixed = 20 * wave + 10 * wave[[1, 2, 3, 0]] + 5 * torch.randn(4, SFREQ, generator=rng(1))
    x = mixed.repeat(1, N_TOKENS)[None].expand(8, -1, -1)
    shifts = range(4, 36, 4)
    moved = torch.stack([mixed.roll(s, dims=-1).repeat(1, N_TOKENS) for s in shifts])

    def same(spectral):
        model = tiny(spectral=spectral, n_codes=64)
        return (model.tokenize(x).ids == model.tokenize(moved).ids).double().mean().item()

    assert same("frame") >= 0.95  # amplitudes do not change at all: rounding only
    assert same("none") < 0.7


def test_flat_channels_have_one_code_a_place_whatever_their_offset():
    # frames of 61 samples: their transform of a constant is not exactly 0
    model, x = tiny(sfreq=61.0), signal(3)
    x[0, 0], x[1, 1], x[2, 2] = 0.0, 1e4, -37.7
    z = model._sequence(x, None, None).z
    # nothing but noise of rounding, a millionth of the offset, may be left
    assert max(z[i, i].abs().max() for i in range(3)) < 0.05
    ids = model.tokenize(x).ids
    assert torch.equal(ids[0, 0], ids[1, 1])
    assert torch.equal(ids[0, 0], ids[2, 2])
    assert ((ids >= 0) & (ids < 16)).all()


# -- channels ----------------------------------------------------------------------------


@pytest.mark.parametrize("spectral", ["frame", "window", "none"])
def test_a_channel_is_encoded_the_same_whatever_the_others_hold(spectral):
    model, x = tiny(spectral=spectral), signal()
    other = x.clone()
    other[:, [0, 1, 3]] = 300 * signal(seed=5)[:, [0, 1, 3]]
    one, two = (model(x_).tokens.reshape(3, N_CHANS, -1) for x_ in (x, other))
    assert torch.equal(one[:, 2], two[:, 2])
    assert not torch.equal(one[:, 0], two[:, 0])


def test_reordering_channels_reorders_codes():
    model, x = tiny(), signal()
    order = [2, 0, 3, 1]
    assert torch.equal(model.tokenize(x[:, order]).ids, model.tokenize(x).ids[:, order])


def test_averaged_over_channels_any_set_is_accepted_and_gets_the_same_codes():
    model, x = tiny(pool="mean"), signal()
    assert model(x).embedding.shape == (3, 16)
    assert model(x[:, :2]).embedding.shape == (3, 16)
    assert torch.equal(model.tokenize(x[:, :2]).ids, model.tokenize(x).ids[:, :2])


# -- masks -------------------------------------------------------------------------------


def test_missing_frames_and_channels_have_no_code_and_no_loss(some_windows):
    model = for_windows()
    batch = some_windows.batch(np.arange(4))
    channels, times = batch.channel_mask.clone(), batch.time_mask.clone()
    channels[1, 2] = False
    times[0, 250] = times[2, 500:] = False
    there = channels[:, :, None] & times[:, None, :]
    ids, losses = [], []
    for filler in (0.0, 1e5, float("nan")):
        x = batch.x.masked_fill(~there, filler)
        masked = replace(batch, x=x, channel_mask=channels, time_mask=times)
        model = for_windows().train()
        losses.append(model.loss(masked, rng())["loss"].item())
        ids.append(model.tokenize(masked).ids)
        assert (model.token_spectra(masked).decoded[1, 2] == 0).all()
    assert losses[0] == losses[1] == losses[2]
    assert torch.equal(ids[0], ids[1])
    assert torch.equal(ids[0], ids[2])
    gone = ids[0] < 0
    # a frame with one missing sample is missing: second 2 of window 0, 5 of window 2
    assert gone[0].tolist() == [[False, False, True, False, False, False]] * 4
    assert gone[1].all(dim=1).tolist() == [False, False, True, False]
    assert gone[2].tolist() == [[False] * 5 + [True]] * 4
    assert not gone[3].any()
    tokens = model(masked).tokens.reshape(4, N_CHANS, N_TOKENS, -1)
    assert not tokens[gone].any()
    assert tokens[~gone].any(dim=-1).all()


def test_the_loss_of_a_masked_channel_is_that_of_an_absent_one():
    model, x = tiny(pool="mean", beta=3.0), signal()
    batch = Batch(
        x=x, sfreq=64.0, ch_names=tuple("abcd"), unit="uV", modality="eeg",
        channel_mask=torch.tensor([True, True, False, True]).expand(3, -1),
        time_mask=torch.ones(3, N_TIMES, dtype=torch.bool), index=torch.arange(3),
        positions=torch.full((3, N_CHANS, 3), float("nan")), start_s=torch.zeros(3),
    )  # fmt: skip
    masked, absent = model.loss(batch, rng()), model.loss(x[:, [0, 1, 3]], rng())
    for name in ("loss", "explained", "commitment", "codes_used"):
        # zeros in between: another order of summing
        assert masked[name].item() == pytest.approx(absent[name].item(), rel=1e-5), name


def test_nan_without_a_mask_is_refused():
    x = signal()
    x[1, 2, 3] = float("nan")
    with pytest.raises(DataError, match="NaN"):
        tiny().tokenize(x)


# -- codes -------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_asking_for_codes_changes_nothing(update):
    model, x = tiny(vq_update=update, revive_after=1, dropout=0.3).train(), signal()
    model.decoder.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ids = model.tokenize(x).ids
    spectra = model.token_spectra(x)
    assert torch.equal(model.tokenize(x).ids, ids)
    assert model.training
    assert not model.decoder.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not ids.requires_grad
    assert torch.equal(model.eval().token_spectra(x).decoded, spectra.decoded)


def test_tokens_say_when_they_begin_and_how_long_they_last():
    tokens = tiny().tokenize(signal())
    assert tokens.start_s.tolist() == [0, 1, 2, 3, 4, 5]
    assert (tokens.length_s, tokens.n_codes) == (1.0, 16)
    raw = tiny(spectral="none", patch_size=32, patch_step=16).tokenize(signal())
    assert raw.start_s[:3].tolist() == [0, 0.25, 0.5]
    assert raw.length_s == 0.5
    bands = tiny(spectral="window").tokenize(signal())
    assert not bands.start_s.any()
    assert bands.length_s == 6.0


def test_spectra_before_and_behind_the_codes():
    model, x = tiny(max_hz=20.0), signal()
    spectra = model.token_spectra(x)
    assert spectra.truth.shape == spectra.decoded.shape == (3, N_CHANS, 20, N_TOKENS)
    assert spectra.freqs.tolist() == list(range(1, 21))
    frames = x.double().numpy().reshape(3, N_CHANS, N_TOKENS, SFREQ)
    expected = np.log1p(np.abs(np.fft.rfft(frames)))[..., 1:21].swapaxes(-1, -2)
    np.testing.assert_allclose(spectra.truth, expected, atol=1e-4)
    # what the codes alone give back: the decoder on looked-up codes
    with torch.no_grad():
        codes = model.quantiser.lookup(model.tokenize(x).ids)
        patches = model.to_patch(model.decoder(codes.flatten(0, 1)))
    sequence = model._sequence(x, None, None)
    rebuilt = patches.reshape(3, N_CHANS, -1) * sequence.scale + sequence.mean
    decoded = spectra.decoded.transpose(-1, -2).reshape(rebuilt.shape)
    assert torch.allclose(decoded, rebuilt, atol=1e-5)
    with pytest.raises(ConfigError, match="no spectra"):
        tiny(spectral="none").token_spectra(x)


def test_overlapping_patches_train_and_rebuild_the_whole_sequence():
    model = tiny(patch_size=24, patch_step=10, pad_end=True).train()
    out = model.loss(signal(), rng())
    out["loss"].backward()
    assert model.to_patch.weight.grad.any()
    assert model.token_spectra(signal()).decoded.shape == (3, N_CHANS, 32, N_TOKENS)


def test_features_may_be_taken_behind_the_quantiser():
    model, x = tiny(features="codes"), signal()
    out = model(x)
    expected = model.codebook[model.tokenize(x).ids].flatten(1, 2)
    assert torch.equal(out.tokens, expected)
    out.embedding.square().sum().backward()
    assert model.embed.weight.grad.any()


# -- training ------------------------------------------------------------------------------


def test_hidden_patches_are_replaced_and_the_generator_says_which():
    model = tiny(mask_ratio=0.5)
    x = signal()
    first = model.loss(x, rng(1))["loss"]
    assert torch.equal(model.loss(x, rng(1))["loss"], first)
    assert not torch.equal(model.loss(x, rng(2))["loss"], first)
    first.backward()
    assert model.mask_token.grad.any()
    sequence = model._sequence(x, None, None)
    hidden = torch.zeros(3, N_CHANS, N_TOKENS, dtype=torch.bool)
    hidden[..., 2] = True
    other = sequence._replace(z=sequence.z.clone())
    other.z[..., 64:96] = 7.0  # bins of the third second
    one, two = (model._encode_patches(s, hidden)[0] for s in (sequence, other))
    assert torch.equal(one, two)
    assert not torch.equal(model._encode_patches(other)[0], model._encode_patches(sequence)[0])


def test_preparing_starts_the_codes_once_from_training_windows(some_windows):
    model = for_windows()
    model.prepare(some_windows, seed=3)
    assert bool(model.quantiser.ready)
    assert model.training
    started = model.codebook.clone()
    tokens = model.eval()(some_windows.batch(np.arange(len(some_windows)))).tokens
    apart = (started[:, None] - tokens.flatten(0, 1)).abs().amax(dim=-1).amin(dim=1)
    # codes are encoded seconds; batches of other sizes may take other kernels
    assert apart.max() < 1e-5
    model.prepare(some_windows, seed=4)
    assert torch.equal(model.codebook, started)
    again = for_windows()
    again.prepare(some_windows, seed=3)
    assert torch.equal(again.codebook, started)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_codes_do_not_decay_and_every_parameter_is_in_one_group(update):
    model = tiny(vq_update=update, n_outputs=2)
    decayed, free = model.param_groups(0.1)
    assert free["weight_decay"] == 0
    found = [id(p) for group in (decayed, free) for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    ids = {id(p) for p in free["params"]}
    assert (id(model.quantiser.codes) in ids) == (update == "gradient")
    assert id(model.embed.weight) not in ids


@pytest.mark.parametrize("stage", ["finetune", "probe"])
def test_supervised_stages_leave_the_codes_alone(stage, some_windows, tmp_path):
    model = for_windows(n_outputs=2, revive_after=1)
    model.prepare(some_windows)
    batch = some_windows.batch(np.arange(8))
    target = torch.arange(8.0) % 2

    class Labelled:
        def __len__(self):
            return 8

        def batch(self, rows):
            picked = some_windows.batch(rows)
            return replace(picked, target=target[torch.as_tensor(rows)])

    before = {k: v.clone() for k, v in model.state_dict().items()}
    neuro.train.fit(model, Labelled(), steps=2, batch_size=4, stage=stage, out=tmp_path / "run",
                    device="cpu", progress=False)  # fmt: skip
    changed = {
        k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed == {"probe": {"head"}, "finetune": {"head", "embed", "places", "encoder"}}[stage]
    assert model(batch).prediction.shape == (8, 2)


# -- known motifs ------------------------------------------------------------------------------

SMALL = {"n_chans": 4, "n_times": 2400, "sfreq": 200.0, "pool": "mean", "d_model": 64, "depth": 2,
         "decoder_depth": 1, "n_codes": 64}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Small model after 200 steps on three people, and a fourth person's motifs."""
    made = synthetic.motifs(0, n_subjects=4, duration_s=240, n_chans=4, sfreq=200)
    train, test = (
        windows(list(part), stream="eeg", length_s=12)
        for part in (made.recordings[:3], made.recordings[3:])
    )
    model = neuro.models.create("eegformer", **SMALL)
    neuro.train.fit(model, train, steps=200, batch_size=24, lr=3e-3, device="cpu",
                    stage="pretrain", progress=False, checkpoint_every=200,
                    out=tmp_path_factory.mktemp("eegformer") / "run")  # fmt: skip
    motif = made.truth["motif"].reshape(4, 4, 20, 12).swapaxes(1, 2)  # person, window, chan, s
    return model, train, motif[:3].reshape(-1, 4, 12), test, motif[3]


def purity(ids, motif):
    """Share of tokens whose motif is the most frequent one of their code; codes in use."""
    table = np.zeros((64, 6), dtype=int)
    np.add.at(table, (np.ravel(ids), np.ravel(motif)), 1)
    return table.max(axis=1).sum() / table.sum(), int((table.sum(axis=1) > 0).sum())


@pytest.mark.slow
def test_codes_stand_for_motifs_nearly_as_purely_as_kmeans_on_the_spectra(trained):
    from sklearn.cluster import KMeans

    model, train, train_motif, test, motif = trained
    pure, n_used = purity(model.tokenize(test.batch(np.arange(len(test)))).ids, motif)
    batch = train.batch(np.arange(len(train)))
    on_train, _ = purity(model.tokenize(batch).ids, train_motif)
    sequence = model._sequence(batch.x, None, None).z.reshape(-1, model.config.n_bins)
    labels = KMeans(64, n_init=1, random_state=0).fit_predict(sequence.double().numpy())
    best, _ = purity(labels, train_motif)
    # measured: 0.906 and 57 codes; on the training people 0.909 beside 0.968
    assert pure >= 0.80
    assert n_used >= 20
    assert on_train > best - 0.1


@pytest.mark.slow
def test_pretraining_helps_people_of_another_montage_and_background(trained):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = synthetic.motifs(
        200, n_subjects=8, duration_s=480, n_chans=6, sfreq=200, exponent=1.5, planted=0.2
    )
    index = windows(list(made.recordings), stream="eeg", length_s=12)
    batch, y = index.batch(np.arange(len(index))), made.truth["window_has_run"].ravel()
    # 40 labelled windows of three people, judged on the other five
    train = np.random.default_rng(0).permutation(3 * 40)[:40]

    def auroc(model, features):
        model = model.eval()
        object.__setattr__(model.config, "features", features)
        with torch.no_grad():
            x = model(batch).embedding.numpy()
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        probe.fit(x[train], y[train])
        return roc_auc_score(y[120:], probe.decision_function(x[120:]))

    untrained = neuro.models.create("eegformer", **SMALL)
    untrained.prepare(trained[1])
    scores = {
        (name, features): auroc(model, features)
        for name, model in (("pretrained", trained[0]), ("random", untrained))
        for features in ("encoder", "codes")
    }
    # measured: encoder 0.940, codes 0.957; random weights 0.864 and 0.810. Over five
    # seeds of both corpora the encoder gains 0.097 on average (0.048 to 0.147)
    best_random = max(scores["random", "encoder"], scores["random", "codes"])
    assert scores["pretrained", "encoder"] > best_random + 0.03
    assert scores["pretrained", "codes"] > best_random + 0.05
