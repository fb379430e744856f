"""LaBraM: frozen numbers of the original, electrodes by name, published weights."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import neuro.models
from neuro.data import Batch
from neuro.errors import ConfigError, ContractError, FileError, UnitError
from neuro.models.labram import ELECTRODES
from neuro.models.labram.electrodes import electrode_rows
from neuro.models.labram.encoder import PictureNorm
from neuro.models.labram.reference import labram_tensors
from neuro.train.stages import pick_stage, prepared

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "neurobolt"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


@pytest.fixture(scope="module")
def arrays():
    from neuro.io.safe import load_npz

    return {
        k: torch.as_tensor(v) if v.dtype.kind != "U" else tuple(v.tolist())
        for k, v in load_npz(FOLDER / "io.npz").items()
    }


@pytest.fixture(scope="module")
def published():
    """The encoder and its head, as in a fine-tuned file."""
    from neuro.io.safe import read_tensors

    found = read_tensors(FOLDER / "weights.safetensors")[0]
    return {k: v.float() for k, v in found.items() if not k.startswith("mss_module.")}


@pytest.fixture(scope="module")
def loaded(published, arrays, tmp_path_factory):
    file = _file(tmp_path_factory.mktemp("labram"), published)
    return neuro.models.from_reference("labram", file, ch_names=arrays["names26"], n_times=3200)


@pytest.fixture
def original(loaded):
    return copy.deepcopy(loaded)


def _file(folder, tensors):
    torch.save({"model": tensors}, folder / "weights.pth")
    return folder / "weights.pth"


def _pretraining(tensors):
    """The same encoder as the authors' pretraining file has it."""
    own = {k: v for k, v in tensors.items() if not k.startswith(("fc_norm.", "head."))}
    extra = {"mask_token": torch.zeros(1, 1, 200), "norm.weight": torch.ones(200)}
    extra |= {"norm.bias": torch.zeros(200), "lm_head.weight": torch.zeros(9, 200)}
    outside = {"lm_head.weight": torch.zeros(9, 200), "projection_head.0.bias": torch.ones(200)}
    return {f"student.{k}": v for k, v in {**own, **extra}.items()} | outside


def _apart(found, expected):
    return (found.detach() - expected).abs().max().item()


# -- the original's numbers ------------------------------------------------------
# float32: 1e-5, a few units in the last place after some thousand sums; float64: 1e-11.


@frozen
def test_embedding_and_logits_are_those_of_the_original(original, arrays):
    out = original(arrays["eeg_uv"])
    assert _apart(out.embedding, arrays["u_ts"]) < 1e-5
    assert _apart(out.prediction, arrays["labram_logits"]) < 1e-5


@frozen
def test_embedding_in_double_precision(original, arrays):
    pooled, tokens = original.double().encoder((arrays["eeg_uv"] / 100).double())
    assert _apart(pooled, arrays["u_ts_f64"]) < 1e-11
    assert tokens.shape == (2, 416, 200)


@frozen
def test_patches_tokens_and_blocks(original, arrays):
    encoder, x = original.encoder, (arrays["eeg_uv"] / 100)[:1]
    features = encoder.patches(x.reshape(1, -1, 200))
    assert _apart(features[:, :40], arrays["patch_features"]) < 1e-5
    assert _apart(features[0, -1], arrays["patch_features_last"]) < 1e-5
    tokens = encoder.embed(x)
    assert tokens.shape == (1, 417, 200)
    assert _apart(tokens[:, :40], arrays["tokens"]) < 1e-5
    for block, name in zip(encoder.blocks, ("block0", "block1"), strict=True):
        tokens = block(tokens)
        assert _apart(tokens[:, :40], arrays[name]) < 1e-5


@frozen
def test_the_last_norm_belongs_to_the_mean(original, arrays):
    x = (arrays["eeg_uv"] / 100).double()[:1]
    pooled, tokens = original.double().encoder(x)
    each = original.encoder.norm(torch.cat([_class_token(original, x), tokens], dim=1))
    assert _apart(each[0, :18], arrays["u_ts_all_tokens_f64"]) < 1e-11
    assert _apart(pooled, each[:, 1:].mean(dim=1)) > 0.01


def _class_token(model, x):
    tokens = model.encoder.embed(x)
    for block in model.encoder.blocks:
        tokens = block(tokens)
    return tokens[:, :1]


@frozen
def test_ten_electrodes_in_another_order(original, arrays):
    names, names26 = arrays["names10"], arrays["names26"]
    x = arrays["eeg_uv"][:, [names26.index(n) for n in names]]
    index = original.channel_index(names)
    rows = torch.tensor(original.encoder.rows)
    assert rows[index].tolist() == arrays["rows_pos_10"][1:].tolist()
    model = original.double()
    embedding, _ = model.encode((x / 100 * 100.0).double(), channel_index=index)
    pooled, _ = model.encoder((x / 100).double(), index)
    assert _apart(pooled, arrays["u_ts_sub10_f64"]) < 1e-11
    assert _apart(embedding, arrays["u_ts_sub10_f64"]) < 1e-5
    # a model built for the ten, and a batch in which the other sixteen are masked
    ten = neuro.models.create("labram", "paper", depth=2, ch_names=names, n_outputs=3)
    ten.load_state_dict({k: v.float() for k, v in model.state_dict().items()})
    assert _apart(ten.eval()(x).embedding, arrays["u_ts_sub10_f64"]) < 1e-5
    mask = torch.tensor([n in names for n in names26]).expand(2, -1)
    masked, _ = model.float().encode(arrays["eeg_uv"], mask)
    assert _apart(masked, arrays["u_ts_sub10_f64"]) < 1e-5


@frozen
def test_eight_seconds(original, arrays):
    x = (arrays["eeg_uv"] / 100).double()[..., :1600]
    pooled, tokens = original.double().encoder(x)
    assert _apart(pooled, arrays["u_ts_8s_f64"]) < 1e-11
    assert tokens.shape == (2, 208, 200)
    single = original.float()(arrays["eeg_uv"][..., :1600]).embedding
    assert _apart(single, arrays["u_ts_8s_f64"]) < 1e-5


@frozen
def test_rows_of_the_electrodes_are_the_originals(arrays):
    assert arrays["name_list_136"] == ELECTRODES
    assert electrode_rows(arrays["names26"]) == arrays["rows_pos_26"][1:].tolist()


# -- names -------------------------------------------------------------------------


def test_names_count_as_they_stand_and_then_in_their_standard_spelling():
    assert electrode_rows(["T3", "T7", "t4", "EEG T5-REF", "P3-O1", "Fp1-F3"]) == (
        [89, 38, 91, 60, None, None]
    )
    assert electrode_rows(["FP1-F7", "P8-O2", "FTT9h"]) == [121, 128, 115]


def test_unknown_electrodes_are_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r'no row for 2 channel.*FP9, EOG1.*unknown="own"'):
        neuro.models.create("labram", ch_names=("FP1", "FP9", "EOG1"))
    with pytest.raises(ConfigError, match=r"'FP1' and 'EEG Fp1-REF' mean the same electrode"):
        neuro.models.create("labram", ch_names=("FP1", "EEG Fp1-REF"))
    with pytest.raises(ConfigError, match=r"n_chans = 7, but which electrodes\? Give ch_names"):
        neuro.models.create("labram", n_chans=7)


def test_unknown_channels_can_have_rows_of_their_own():
    model = neuro.models.create("labram", "tiny", ch_names=("FP1", "EOG1", "OZ", "EMG"))
    assert model.encoder.rows == [1, 0, 82, 0]
    places, encoder = model.encoder.places(4), model.encoder
    expected = [encoder.electrodes[1], encoder.own_rows[1], encoder.electrodes[82]]
    assert torch.equal(places, torch.stack([*expected, encoder.own_rows[3]]))
    assert torch.equal(encoder.places(2, torch.tensor([3, 0])), places[[3, 0]])


def test_without_names_the_channels_are_those_of_the_ten_twenty_system():
    model = neuro.models.create("labram", "tiny", n_chans=19, unknown="refuse")
    assert model.config.ch_names[0] == "Fp1"
    assert len(set(model.encoder.rows)) == 19
    with pytest.raises(ContractError, match="labram has no channel 'Iz'; it has Fp1, Fp2"):
        model.channel_index(("FP1", "Iz"))


def test_a_trained_encoder_moves_to_another_montage_by_name():
    model = neuro.models.create("labram", "tiny", ch_names=("FP1", "EOG1", "OZ", "EMG"))
    contract = replace(model.contract, ch_names=("EMG", "OZ"))
    moved = neuro.models.adapt(model, contract).eval()
    x = 20 * torch.randn(2, 2, 120)
    alone, _ = model.eval().encode(x, channel_index=model.channel_index(("EMG", "OZ")))
    assert torch.equal(moved(x).embedding, alone)
    # known electrodes need not have been in the montage before
    known = neuro.models.create("labram", "tiny", ch_names=("FP1", "OZ"))
    other = neuro.models.adapt(known, replace(known.contract, ch_names=("CZ", "OZ", "PZ")))
    assert other.encoder.rows == electrode_rows(["CZ", "OZ", "PZ"])


# -- the door ------------------------------------------------------------------------


def test_other_lengths_are_refused_with_the_lengths_that_are_read():
    model = neuro.models.create("labram", "tiny")
    for n_times, said in ((100, "length_s = 2"), (30, "length_s = 1"), (680, "length_s = 16")):
        with pytest.raises(ContractError, match=f"was given {n_times} samples.*{said}"):
            model(20 * torch.randn(1, 4, n_times))
    with pytest.raises(ConfigError, match="n_times = 3300 is not possible; use whole seconds"):
        neuro.models.create("labram", n_times=3300)
    with pytest.raises(ConfigError, match="n_times = 3400 is not possible; use up to 16 s"):
        neuro.models.create("labram", n_times=3400)


def test_rates_without_whole_seconds_or_heads_are_refused():
    with pytest.raises(ConfigError, match=r"sfreq = 128\.5 .* published weights need 200"):
        neuro.models.create("labram", sfreq=128.5)
    with pytest.raises(ConfigError, match=r"n_heads = 10 .* a divisor of 256"):
        neuro.models.create("labram", sfreq=250.0, n_times=1000)


def test_volts_are_refused():
    model = neuro.models.create("labram", "tiny")
    with pytest.raises(UnitError, match="Are they volts"):
        model(2e-5 * torch.randn(1, 4, 120))


# -- masks -----------------------------------------------------------------------------


def test_masked_norm_is_group_norm_of_what_is_there():
    norm = PictureNorm(2, 4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 4, 6, 5)
    valid = torch.tensor([True, False, True, True, False, True]).expand(3, -1)
    found = norm(x, valid)[:, :, valid[0]]
    # another order of the sums: rounding only
    assert torch.allclose(found, norm(x[:, :, valid[0]]), atol=1e-6)


def test_a_second_without_samples_is_left_out_and_a_partly_measured_one_has_zeros():
    model = neuro.models.create("labram", "tiny").eval()
    x = 20 * torch.randn(2, 4, 120)
    times = torch.ones(2, 120, dtype=torch.bool)
    times[:, 80:] = False
    # the last second: the first two alone are the same
    two_seconds = model.encode(x[..., :80])[0]
    assert torch.allclose(model.encode(x, None, None, times)[0], two_seconds, atol=1e-5)
    times[:, 80:100] = True
    filled = x.masked_fill(~times[:, None], 0.0)
    assert torch.allclose(model.encode(x, None, None, times)[0], model.encode(filled)[0], atol=1e-5)


# -- published weights --------------------------------------------------------------------


@frozen
def test_a_pretraining_file_fills_all_but_the_norm_and_the_head(published, original, tmp_path):
    model = neuro.models.from_reference(
        "labram", _file(tmp_path, _pretraining(published)), ch_names=("CZ", "O1"), n_outputs=2
    )
    own, whole = model.state_dict(), original.state_dict()
    new = ("encoder.norm.", "head.")
    same = [k for k in own if not k.startswith(new)]
    assert len(same) == 3 + 12 + 2 * 17
    assert all(torch.equal(own[k], whole[k]) for k in same)
    assert (own["encoder.norm.weight"] == 1).all()
    assert model.head.linear.weight.shape == (2, 200)
    assert model.config.layer_decay == 0.65
    assert model.provenance["reference"]["url"].startswith("https://github.com/")


@frozen
def test_a_head_of_another_size_is_dropped(published):
    found = dict(published)
    made = labram_tensors(found, {"n_outputs": 5})
    assert not found
    assert "head." in made.fresh
    assert not any(k.startswith("head.") for k in made.tensors)


def test_a_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"holds no tensor 'patch_embed.conv1.weight'"):
        neuro.models.from_reference("labram", _file(tmp_path, {"fc.weight": torch.zeros(2, 2)}))


# -- training --------------------------------------------------------------------------------


def test_output_weights_of_deeper_blocks_start_smaller():
    model = neuro.models.create("labram", depth=3)
    for k, block in enumerate(model.encoder.blocks, start=1):
        for weight in (block.attention.out.weight, block.mlp.down.weight):
            assert weight.abs().max() <= 0.02 / (2 * k) ** 0.5
        # normal, cut off at one deviation: 0.54 of it
        assert block.mlp.up.weight.std().item() == pytest.approx(0.54 * 0.02, rel=0.02)


def test_rates_fall_towards_the_input():
    model = neuro.models.create("labram", "tiny", depth=2, n_outputs=1, layer_decay=0.5)
    rates = {id(p): g["lr"] for g in model.param_groups(1.0) for p in g["params"]}
    encoder = model.encoder
    assert len(rates) == len(list(model.parameters()))
    assert rates[id(encoder.electrodes)] == rates[id(encoder.patches.conv1.weight)] == 0.125
    assert rates[id(encoder.blocks[0].scale_mlp)] == 0.25
    assert rates[id(encoder.blocks[1].mlp.up.weight)] == 0.5
    assert rates[id(encoder.seconds)] == rates[id(model.head.linear.weight)] == 1.0


def test_stochastic_depth_leaves_branches_out_and_keeps_the_mean():
    model = neuro.models.create("labram", "tiny", depth=2, drop_path=0.25).train()
    block = model.encoder.blocks[-1]
    assert model.encoder.blocks[0].drop_path == 0.0
    torch.manual_seed(0)
    kept = block._kept(torch.ones(4000, 1, 1))
    assert torch.equal(kept.unique(), torch.tensor([0.0, 1 / 0.75]))
    # 4,000 draws: three standard errors of the mean are 0.03
    assert kept.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(block.eval()._kept(torch.ones(2, 1, 1)), torch.ones(2, 1, 1))


def test_the_probe_learns_the_head_alone():
    model = neuro.models.create("labram", "tiny", n_outputs=2)
    stage = pick_stage(model, "probe")
    batch = _labelled(model)
    with prepared(model, stage, whole=False):
        stage.set_mode(model)
        getattr(model, stage.loss)(batch, torch.Generator())["loss"].backward()
    learnt = {k.split(".")[0] for k, p in model.named_parameters() if p.grad is not None}
    assert learnt == {"head"}


def _labelled(model):
    n, n_chans, n_times = 4, model.config.n_chans, model.config.n_times
    batch = Batch(
        x=20 * torch.randn(n, n_chans, n_times),
        sfreq=model.config.sfreq,
        ch_names=tuple(f"ch{i}" for i in range(n_chans)),
        channel_mask=torch.ones(n, n_chans, dtype=torch.bool),
        time_mask=torch.ones(n, n_times, dtype=torch.bool),
        positions=torch.full((n, n_chans, 3), float("nan")),
        start_s=torch.zeros(n, dtype=torch.float64),
        index=torch.arange(n),
        unit="uV",
        modality="eeg",
    )
    return replace(batch, target=torch.tensor([0.0, 1.0, 0.0, 1.0]))
