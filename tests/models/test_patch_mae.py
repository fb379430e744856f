from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

import neuro.models
from neuro.data import Axis, Events, InputContract, Provenance, Recording, Regular, windows
from neuro.errors import ConfigError, ContractError
from neuro.nn.patching import pad_to_patches

MASKS = ["random", "span", "channel", "time", "mixed"]


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _tiny(**config):
    return neuro.models.create("patch_mae", "tiny", **config)


def _x(model, batch=4, seed=0):
    shape = (batch, model.config.n_chans, model.config.n_times)
    return 20 * torch.randn(shape, generator=_rng(seed))


def _windows(n_s=40, sfreq=32, seed=0):
    """Four noise channels of very different size and level."""
    rng = np.random.default_rng(seed)
    size = np.array([[5.0], [20.0], [80.0], [20.0]])
    data = size * rng.standard_normal((4, n_s * sfreq)) + np.array([[0.0], [50.0], [0.0], [-20.0]])
    stream = Regular(
        data.astype(np.float32), sfreq, "uV", Axis(["Fz", "Cz", "Pz", "Oz"], "eeg"), "eeg"
    )
    recording = Recording(
        id="r",
        dataset="noise",
        subject="s",
        streams={"eeg": stream},
        events=Events.empty(),
        provenance=Provenance(source="simulated"),
    )
    return windows([recording], stream="eeg", length_s=1.0)


# -- nothing hidden leaks -----------------------------------------------------------


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("normalize", ["fixed", "window", "channel"])
def test_no_gradient_flows_from_a_reconstruction_to_any_hidden_sample(mask, normalize):
    model = _tiny(mask=mask, normalize=normalize, dropout=0.2).train()
    x = _x(model).requires_grad_()
    made = model.reconstruct(x, _rng())
    made.prediction.square().sum().backward()
    gradient = pad_to_patches(x.grad, model.config.patch_times).reshape(made.prediction.shape)
    assert not gradient[made.hidden].any()
    assert gradient[~made.hidden].any()


def test_changing_a_hidden_patch_changes_no_reconstruction():
    model = _tiny(normalize="channel").eval()
    x = _x(model)
    made = model.reconstruct(x, _rng())
    hidden = made.hidden.repeat_interleave(model.config.patch_times, dim=2)[..., : x.shape[2]]
    other = model.reconstruct(torch.where(hidden, 1e4 + x, x), _rng())
    assert torch.equal(other.prediction, made.prediction)


def test_encoder_is_given_the_visible_tokens_and_no_others():
    model = _tiny(mask_ratio=0.75)
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    made = model.reconstruct(_x(model), _rng())
    n_tokens = made.hidden[0].numel()
    assert seen == [(4, round(0.25 * n_tokens), 16)]
    assert made.hidden.flatten(1).sum(dim=1).tolist() == [n_tokens - round(0.25 * n_tokens)] * 4


def test_loss_counts_hidden_samples_that_exist_and_no_others():
    model = _tiny().eval()
    batch = _windows().batch(range(3))
    model = _tiny(contract=_windows().contract()).eval()
    channels = batch.channel_mask.clone()
    channels[0, 1] = channels[2, 3] = False
    x = batch.x.masked_fill(~channels[..., None], 0.0)
    batch = replace(batch, x=x, channel_mask=channels)
    prediction, truth, hidden, valid = model.reconstruct(batch, _rng())
    counted = hidden[..., None] & valid
    assert not counted[0, 1].any()
    expected = (prediction - truth)[counted].square().mean()
    # the same sum in another order
    assert model.loss(batch, _rng())["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_patchwise_targets_ignore_level_and_gain():
    model = _tiny(target="patch", normalize="fixed").eval()
    x = _x(model)
    with torch.no_grad():
        for layer in (model.to_patch.weight, model.to_patch.bias):
            layer.zero_()
    # a blank decoder leaves the size of the targets: about 1 whatever the gain
    losses = [model.loss(gain * x + shift, _rng())["loss"] for gain, shift in ((1, 0), (4, 40))]
    assert losses[0].item() == pytest.approx(1.0, abs=0.15)
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.1)


# -- amplitude ----------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda x: 2 * x, lambda x: x + 30])
@pytest.mark.parametrize("normalize", ["fixed", "window", "channel"])
def test_gain_and_level_reach_the_embedding(change, normalize):
    model = _tiny(normalize=normalize).eval()
    x = _x(model)
    plain, other = model(x).embedding, model(change(x)).embedding
    assert (plain - other).norm() > 0.05 * plain.norm()


def test_prepare_measures_each_channel_of_the_training_windows():
    model = _tiny(contract=_windows().contract())
    model.prepare(_windows(), seed=0)
    # 40 windows of 32 samples: quartiles known to about 5 %
    assert model.scaling.scale.tolist() == pytest.approx([5, 20, 80, 20], rel=0.15)
    assert model.scaling.center.tolist() == pytest.approx([0, 50, 0, -20], abs=8)


def test_the_first_training_batch_sets_the_scale_if_nothing_else_did():
    train = _windows()
    model = _tiny(contract=train.contract())
    model.eval().loss(train.batch(range(8)), _rng())
    assert not bool(model.scaling.known)
    model.train().loss(train.batch(range(8)), _rng())
    first = model.scaling.scale.clone()
    assert bool(model.scaling.known)
    model.loss(train.batch(range(8, 16)), _rng())
    assert torch.equal(model.scaling.scale, first)


def test_scale_travels_with_the_checkpoint(tmp_path):
    model = _tiny(contract=_windows().contract())
    model.prepare(_windows())
    again = neuro.models.load(model.save(tmp_path / "m"))
    assert torch.equal(again.scaling.center, model.scaling.center)
    assert bool(again.scaling.known)


# -- channels --------------------------------------------------------------------------


def test_by_position_any_set_of_channels_is_read_in_any_order():
    model = _tiny(channel_embedding="position", pool="mean").eval()
    x = 20 * torch.randn(2, 9, 128, generator=_rng())
    places = 0.08 * torch.randn(1, 9, 3, generator=_rng(1)).expand(2, -1, -1)
    order = torch.randperm(9, generator=_rng(2))
    straight, _ = model.encode(x, None, places)
    turned, _ = model.encode(x[:, order], None, places[:, order])
    # sums in another order: rounding
    assert torch.allclose(turned, straight, atol=1e-5)
    assert not torch.allclose(model.encode(x[:, order], None, places)[0], straight, atol=1e-3)


def test_positions_of_the_configuration_serve_bare_tensors():
    places = ((0.0, 0.1, 0.0), (0.05, 0.0, 0.1), (-0.05, 0.0, 0.1))
    with_places = _tiny(n_chans=3, channel_embedding="position", ch_positions=places).eval()
    x = _x(with_places)
    expected, _ = with_places.encode(x, None, torch.tensor(places).expand(4, -1, -1))
    assert torch.equal(with_places(x).embedding, expected)


def test_without_identity_channels_are_interchangeable():
    model = _tiny(channel_embedding="none", pool="mean").eval()
    x = _x(model)
    assert torch.allclose(model(x.flip(1)).embedding, model(x).embedding, atol=1e-5)


def test_channels_without_identity_cannot_stand_side_by_side_in_other_numbers():
    model = _tiny(channel_embedding="position", pool="channel")
    with pytest.raises(ContractError, match="4 channels"):
        model(torch.zeros(1, 5, 128))


def test_chs_info_of_mne_gives_names_and_positions():
    chs = [{"ch_name": n, "loc": np.full(12, 0.01 * (i + 1))} for i, n in enumerate("abc")]
    config = neuro.models.create("patch_mae", "tiny", chs_info=chs).config
    assert config.ch_names == ("a", "b", "c")
    assert config.ch_positions[2] == pytest.approx((0.03, 0.03, 0.03))
    unplaced = [{"ch_name": "a", "loc": np.zeros(12)}]
    assert neuro.models.create("patch_mae", "tiny", chs_info=unplaced).config.ch_positions is None
    with pytest.raises(ConfigError, match="ch_name"):
        neuro.models.create("patch_mae", "tiny", chs_info=["Cz"])


# -- geometry --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "width"), [("mean", 16), ("channel", 16 * 4), ("time", 16 * 15), ("grid", 16 * 60)]
)
def test_pooling_decides_the_width_and_only_rearranges_tokens(pool, width):
    model = _tiny(pool=pool).eval()
    out = model(_x(model))
    grid = out.tokens.reshape(4, 4, 15, 16)
    expected = {
        "mean": grid.mean((1, 2)),
        "channel": grid.mean(2).flatten(1),
        "time": grid.mean(1).flatten(1),
        "grid": grid.flatten(1),
    }[pool]
    assert out.embedding.shape == (4, width)
    assert width == model.config.d_embedding
    assert torch.allclose(out.embedding, expected, atol=1e-6)


def test_pooling_that_keeps_moments_needs_one_length_of_window():
    with pytest.raises(ContractError, match="128 samples"):
        _tiny(pool="time")(torch.zeros(1, 4, 200))
    assert _tiny(pool="mean")(torch.zeros(1, 4, 200)).embedding.shape == (1, 16)


@pytest.mark.parametrize(
    ("n_chans", "n_times", "patch_times", "n_patch"),
    [(6, 896, 64, 14), (28, 50, 10, 5), (122, 20, 10, 2), (15, 20, 2, 10), (1, 3, 1, 3)],
)
def test_open_patch_length_follows_the_window(n_chans, n_times, patch_times, n_patch):
    config = _tiny(n_chans=n_chans, n_times=n_times).config
    assert (config.patch_times, config.n_patches) == (patch_times, n_patch)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": 15}, "d_model = 15"),
        ({"n_heads": 3}, "n_heads = 3"),
        ({"mask_ratio": 1.0}, "mask_ratio = 1.0"),
        ({"patch_times": 999}, "patch_times = 999"),
        ({"pool": "maen"}, "Did you mean 'mean'"),
        ({"depth": 0}, "depth = 0"),
    ],
)
def test_impossible_configurations_are_named(change, said):
    with pytest.raises(ConfigError, match=said):
        _tiny(**change)


@pytest.mark.parametrize(
    ("modality", "unit", "rate", "n_chans", "n_times"),
    [
        ("eeg", "uV", Fraction(256), 6, 896),
        ("bold", "z", Fraction(5, 7), 40, 20),
        ("spikes", "counts", Fraction(20), 15, 20),
    ],
)
def test_one_class_reads_every_modality(modality, unit, rate, n_chans, n_times):
    names = tuple(f"row{i}" for i in range(n_chans))
    contract = InputContract(
        modality=modality, sfreq=rate, unit=unit, ch_names=names, n_times=n_times
    )
    model = neuro.models.create("patch_mae", "tiny", contract=contract)
    assert model.contract is contract
    assert model.config.sfreq == pytest.approx(float(rate))
    out = model(torch.poisson(torch.full((2, n_chans, n_times), 0.5), generator=_rng()))
    assert out.embedding.isfinite().all()


def test_a_contract_and_a_field_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="sfreq = 64"):
        _tiny(contract=_windows().contract(), sfreq=64)


def test_a_z_scoring_contract_hands_the_model_z_values():
    contract = replace(_windows().contract(), scaling="zscore")
    assert _tiny(contract=contract).config.unit == "z"


# -- learning ------------------------------------------------------------------------------


def test_stages_train_what_they_say():
    model = _tiny(n_outputs=2)
    names = {id(p): k.split(".")[0] for k, p in model.named_parameters()}
    trained = {
        stage: {names[id(p)] for p in made.parameters()} for stage, made in model.stages().items()
    }
    decoder = {"decoder", "to_decoder", "to_patch", "decoder_channel", "mask_token"}
    assert trained["pretrain"] == set(names.values()) - {"head"}
    assert trained["finetune"] == set(names.values()) - decoder
    assert trained["probe"] == {"head"}
    assert set(_tiny().stages()) == {"pretrain"}


def test_it_learns_to_fill_what_is_hidden_from_the_rest():
    # two sources seen by six channels: what is hidden can be computed
    rng = _rng(0)
    mixing = torch.randn(6, 2, generator=rng)

    def draw(n):
        frequency = torch.rand(n, 2, 1, generator=rng) * 3 + 1
        phase = torch.rand(n, 2, 1, generator=rng) * 6.3
        sources = torch.sin(2 * torch.pi * frequency * torch.arange(32) / 32 + phase)
        return 20 * mixing @ sources

    size = {"d_model": 32, "depth": 2, "decoder_d_model": 32, "decoder_depth": 2}
    model = _tiny(n_chans=6, n_times=32, sfreq=32, patch_times=16, **size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(200):
        loss = model.loss(draw(32), rng)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    explained = model.eval().loss(draw(200), _rng(1))["explained"].item()
    # predicting the mean explains 0; over eight draws of sources and weights
    # it was 0.65 to 0.85
    assert explained > 0.45
