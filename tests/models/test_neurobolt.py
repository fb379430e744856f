"""NeuroBOLT: frozen numbers of the original, montages, targets, published weights."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import neuro.models
from neuro.data import Axis, Clock, Recording, Regular, pair, windows
from neuro.errors import ConfigError, ContractError, DataError, FileError, UnitError
from neuro.models.neurobolt.reference import neurobolt_tensors
from neuro.train.schedules import WarmupCosine
from neuro.train.stages import parameter_groups

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
    from neuro.io.safe import read_tensors

    return read_tensors(FOLDER / "weights.safetensors")[0]


@pytest.fixture(scope="module")
def loaded():
    """The original's network; its numbers begin behind the loader's centring."""
    return neuro.models.from_reference(
        "neurobolt", FOLDER / "weights.safetensors", center=False, n_outputs=3
    )


@pytest.fixture
def original(loaded):
    return copy.deepcopy(loaded)


def _apart(found, expected):
    return (found.detach() - expected).abs().max().item()


def _with_branches(model, x, index=None):
    """Both branches and the prediction in double precision, from the original's input."""
    temporal, _ = model.encoder(x, index)
    spectral, _ = model.spectral(x, index)
    return temporal, spectral, model.head(torch.nn.functional.gelu(temporal + spectral))


def _double(eeg_uv):
    """The original's input: single-precision division, then cast."""
    return (eeg_uv / 100).double()


# -- the original's numbers ----------------------------------------------------------
# float64: 1e-11; float32: 1e-5, a few units in the last place after some thousand sums.


@frozen
def test_branches_and_prediction_in_double_precision(original, arrays):
    found = _with_branches(original.double(), _double(arrays["eeg_uv"]))
    for value, name in zip(found, ("u_ts_f64", "u_spec_f64", "y_f64"), strict=True):
        assert _apart(value, arrays[name]) < 1e-11


@frozen
def test_prediction_from_microvolts_in_single_precision(original, arrays):
    out = original(arrays["eeg_uv"])
    assert _apart(out.prediction, arrays["y"]) < 1e-5
    assert out.tokens.shape == (2, 26 * (16 + 32), 200)


@frozen
def test_every_stage_of_the_spectral_branch(original, arrays):
    branch, x = original.spectral, (arrays["eeg_uv"] / 100)[:1]
    for level, n_fft in enumerate((100, 200, 400, 800)):
        spectrum = branch.spectrum(x, n_fft)[0, 0]
        expected = arrays[f"stft_level{level}"].T
        # magnitudes reach 60: relative
        assert torch.allclose(spectrum, expected, rtol=1e-5, atol=1e-5)
        assert np.allclose(
            spectrum, abs(np.fft.rfft(x[0, 0].numpy().reshape(-1, n_fft))), rtol=1e-4, atol=1e-4
        )
        steps = branch.windows[level](branch.frequencies[level](spectrum).T).T
        assert _apart(steps, arrays[f"level{level}_out"]) < 1e-5
    total = sum(arrays[f"level{level}_out"] for level in range(4))
    assert _apart(branch.mixed(x)[0, 0], total) < 1e-5
    tokens = branch.embed(x)
    assert tokens.shape == (1, 832, 200)
    assert _apart(tokens[:, :64], arrays["spec_tokens"]) < 1e-5
    assert _apart(branch.transformer(tokens)[:, :64], arrays["spec_out"]) < 1e-5


@frozen
def test_loss_and_gradients_are_those_of_the_original(original, arrays, published):
    model = original.double()
    prediction = _with_branches(model, _double(arrays["eeg_uv"]))[2]
    loss = (prediction - arrays["target"].double()).square().mean()
    assert loss.item() == pytest.approx(float(arrays["loss_f64"]), abs=1e-12)
    loss.backward()
    gradients = dict(model.named_parameters())
    for name, ours, rows in _places({k: v.shape for k, v in published.items()}):
        own = gradients[ours].grad[rows]
        if name in arrays["grad_names"]:
            norm = float(arrays["grad_norms_f64"][arrays["grad_names"].index(name)])
            assert own.norm().item() == pytest.approx(norm, rel=1e-9)
        if f"grad:{name}" in arrays:
            expected = arrays[f"grad:{name}"]
            assert _apart(own.reshape(expected.shape), expected) < 1e-11
    assert _apart(model.spectral.channels.grad[:, :20], arrays["grad_channel_tokens_f64"]) < 1e-11


def _places(shapes):
    """Where each of the original's parameters lies: its name, ours, and which rows."""
    names = [k for k in shapes if not k.startswith(("mss_module.index", "mss_module.pos"))]
    numbered = {k: torch.full(tuple(shapes[k]), float(i)) for i, k in enumerate(names)}
    for ours, numbers in neurobolt_tensors(numbered, {}).tensors.items():
        first = numbers.reshape(len(numbers), -1)[:, 0]
        for i in first.unique().int().tolist():
            yield names[i], ours, (first == i).nonzero().flatten()


@frozen
@pytest.mark.parametrize("which", ["depth_2_spectral_2_roi_3", "depth_12_spectral_4_roi_1"])
def test_learning_rate_and_decay_of_every_parameter(which):
    table = json.loads((FOLDER / "parameter_groups.json").read_text())
    sizes = {"depth_2_spectral_2_roi_3": (2, 2, 3), "depth_12_spectral_4_roi_1": (12, 4, 1)}[which]
    config = dict(zip(("depth", "spectral_depth", "n_outputs"), sizes, strict=True))
    with torch.device("meta"):
        model = _on_meta("paper", **config)
    groups = parameter_groups(model, table["rule"]["lr"], table["rule"]["weight_decay"])
    found = {id(p): g for g in groups for p in g["params"]}
    own, n_values = dict(model.named_parameters()), 0
    for name, ours, _ in _places({k: v["shape"] for k, v in table[which].items()}):
        expected, group = table[which][name], found[id(own[ours])]
        rate = table["rule"]["lr"] * expected["lr_scale"]
        assert group["lr"] == pytest.approx(rate, rel=1e-12), name
        assert group["weight_decay"] == expected["weight_decay"], name
        n_values += int(np.prod(expected["shape"]))
    assert n_values == model.n_parameters()


def _on_meta(preset, **config):
    cls = neuro.models._registry.model_class("neurobolt")
    return cls(cls.config_class.from_json({**cls.presets[preset], **config}))


@frozen
def test_learning_rates_are_those_of_the_original(arrays):
    base, lowest, epochs, steps, warm, start = arrays["lr_schedule_args"].tolist()
    rate = WarmupCosine(base=base, lowest=lowest, start=start, warmup=warm / epochs)
    total = int(epochs * steps)
    found = [base * rate(step, total) for step in range(total)]
    np.testing.assert_allclose(found, arrays["lr_schedule"], rtol=1e-12)


# -- montages --------------------------------------------------------------------------


@frozen
def test_ten_electrodes_by_name_and_what_happens_without_their_places(original, arrays):
    names, names26 = arrays["names10"], arrays["names26"]
    x = arrays["eeg_uv"][:, [names26.index(n) for n in names]]
    index = original.channel_index(names)
    assert index.tolist() == arrays["rows_spec_10"].tolist()
    model = original.double()
    temporal, spectral, y = _with_branches(model, _double(x), index)
    assert _apart(temporal, arrays["u_ts_sub10_f64"]) < 1e-11
    assert _apart(spectral, arrays["u_spec_sub10_f64"]) < 1e-11
    assert _apart(y, arrays["y_sub10_f64"]) < 1e-11
    omitted, _ = model.spectral(_double(x))
    wrong = model.head(torch.nn.functional.gelu(temporal + omitted))
    assert _apart(wrong, arrays["y_sub10_spec_rows_omitted_f64"]) < 1e-11
    assert _apart(wrong, y.detach()) > 0.01


@frozen
def test_masked_electrodes_are_a_smaller_montage(original, arrays):
    mask = torch.tensor([n in arrays["names10"] for n in arrays["names26"]]).expand(2, -1)
    embedding, _ = original.encode(arrays["eeg_uv"], mask)
    assert _apart(original.predict(embedding), arrays["y_sub10"]) < 1e-5


def test_recordings_with_fewer_electrodes_are_conformed_and_masked():
    model = neuro.models.create("neurobolt", "small").eval()
    names = ("Oz", "EEG FP2-REF", "T8")
    x = 20 * np.random.default_rng(0).standard_normal((3, 3200)).astype(np.float32)
    recording = Recording({"eeg": Regular(x, 200, "uV", Axis(list(names), "eeg"), "eeg")})
    ready = windows(model.contract.conform(recording), stream="eeg", length_s=16).batch([0])
    assert ready.channel_mask.sum() == 3
    alone, _ = model.encode(
        torch.as_tensor(x)[None], channel_index=model.channel_index(("OZ", "FP2", "T8"))
    )
    assert torch.allclose(model(ready).embedding, alone, atol=1e-5)


def test_a_trained_network_moves_to_fewer_electrodes_by_name():
    model = neuro.models.create("neurobolt", "small").eval()
    names = ("Oz", "Cz", "FT9")
    moved = neuro.models.adapt(model, replace(model.contract, ch_names=names), n_outputs=1)
    x = 20 * torch.randn(1, 3, 3200)
    alone, _ = model.encode(x, channel_index=model.channel_index(names))
    assert torch.allclose(moved.eval()(x).embedding, alone, atol=1e-6)
    with pytest.raises(ContractError, match=r"unknown to it: \['Iz'\]"):
        neuro.models.adapt(model, replace(model.contract, ch_names=("Oz", "Iz")), n_outputs=1)


# -- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_outputs", "count"), [(1, 7_906_985), (64, 7_919_648)])
def test_number_of_parameters_is_the_published_one(n_outputs, count):
    with torch.device("meta"):
        model = _on_meta("paper", n_outputs=n_outputs)
    assert model.n_parameters() == count
    assert sum(p.numel() for p in model.encoder.blocks.parameters()) == 5_789_760
    assert sum(p.numel() for p in model.spectral.parameters()) == 2_086_848
    assert sum(p.numel() for p in model.encoder.patches.parameters()) == 576


def test_first_predictions_are_nearly_zero_and_channels_start_apart():
    model = neuro.models.create("neurobolt", depth=2, spectral_depth=1, n_outputs=7).eval()
    x = 30 * torch.randn(2, 26, 3200, generator=torch.Generator().manual_seed(0))
    assert model(x).prediction.abs().max() < 0.05
    # 5,200 draws: three standard errors are 0.03
    assert model.spectral.channels.std().item() == pytest.approx(1.0, abs=0.03)
    assert not model.spectral.windows[0].bias.any()


@frozen
def test_the_first_branch_is_labram_bit_for_bit(original, arrays):
    labram = neuro.models.create(
        "labram", depth=2, ch_names=original.config.ch_names, n_times=3200
    ).eval()
    labram.encoder.load_state_dict(original.encoder.state_dict())
    alone = labram(arrays["eeg_uv"]).embedding
    assert torch.equal(alone, original.encoder(arrays["eeg_uv"] / 100)[0])


# -- signal ------------------------------------------------------------------------------


def test_a_rhythm_stands_in_the_bin_of_its_frequency_at_every_level():
    model = neuro.models.create("neurobolt", "small")
    x = torch.sin(2 * torch.pi * 10 * torch.arange(3200) / 200)[None, None]
    peaks = [model.spectral.spectrum(x, n)[0, 0, 1].argmax().item() for n in (100, 200, 400, 800)]
    assert peaks == [5, 10, 20, 40]


def test_default_magnitudes_of_noise_have_one_size_and_papers_grow():
    x = torch.randn(4, 8, 3200, generator=torch.Generator().manual_seed(0))
    growth = {}
    for preset in ("paper", "default"):
        kind = neuro.models.info("neurobolt").presets[preset].get("spectrum", "noise")
        branch = neuro.models.create("neurobolt", "small", spectrum=kind).spectral
        short, long = (branch.spectrum(x, n)[..., 1:-1].mean().item() for n in (100, 800))
        growth[preset] = long / short
    # 32 rows of 1,600 bins: known to a per cent
    assert growth["paper"] == pytest.approx(8**0.5, rel=0.02)
    assert growth["default"] == pytest.approx(1.0, rel=0.02)


def test_each_channels_mean_over_the_window_is_taken_out():
    model = neuro.models.create("neurobolt", "tiny").eval()
    x = 20 * torch.randn(2, 4, 160)
    shifted = x + torch.tensor([300.0, -50.0, 0.0, 1000.0])[:, None]
    # a thousand microvolts in single precision: 1e-4 of one, a millionth of the network's unit
    assert torch.allclose(model(shifted).embedding, model(x).embedding, atol=1e-4)
    plain = neuro.models.create("neurobolt", "tiny", center=False).eval()
    centred = x - x.mean(dim=-1, keepdim=True)
    assert torch.allclose(plain(centred).embedding, model(x).embedding, atol=1e-5)
    times = torch.ones(2, 160, dtype=torch.bool)
    times[:, :50] = False
    moved, _ = model.encode(shifted, None, None, times)
    assert torch.allclose(moved, model.encode(x, None, None, times)[0], atol=1e-4)


def test_steps_partly_measured_have_zeros_and_empty_ones_are_left_out():
    model = neuro.models.create("neurobolt", "tiny", center=False).eval()
    x = 20 * torch.randn(2, 4, 160)
    times = torch.ones(2, 160, dtype=torch.bool)
    times[:, 155:] = False
    filled = x.masked_fill(~times[:, None], 0.0)
    masked, _ = model.encode(x, None, None, times)
    assert torch.allclose(masked, model.encode(filled)[0], atol=1e-5)
    times[:, 140:] = False
    _, tokens = model.encode(x, None, None, times)
    grid = tokens.reshape(2, 4, 4 + 8, 20)  # seconds, then half seconds
    assert grid.any(dim=-1)[:, :, :-1].all()
    assert not grid[:, :, -1].any()


# -- targets --------------------------------------------------------------------------------


def _paired(bold, n_chans=4, sfreq=40):
    rng = np.random.default_rng(0)
    n_roi, n_volumes = bold.shape
    x = 20 * rng.standard_normal((n_chans, 2 * n_volumes * sfreq)).astype(np.float32)
    axis = Axis([f"ch{i}" for i in range(n_chans)], "eeg")
    roi = Axis([f"roi{i}" for i in range(n_roi)], "roi")
    streams = {
        "eeg": Regular(x, sfreq, "uV", axis, "eeg"),
        "bold": Regular(bold.astype(np.float64), "1/2", "z", roi, "bold"),
    }
    return pair(Recording(streams, clocks={"bold": Clock(1.0, 0.0)}), window_s=4)


def _tiny(**config):
    names = tuple(f"ch{i}" for i in range(4))
    return neuro.models.create("neurobolt", "tiny", ch_names=names, **config)


def test_loss_is_the_mean_over_known_values():
    model = _tiny(n_outputs=2).eval()
    paired = _paired(np.random.default_rng(1).standard_normal((2, 12)))
    batch = paired.batch([0, 1, 2])
    assert batch.target.shape == (3, 2)
    known = torch.ones(3, 2, dtype=torch.bool)
    known[0, 1] = False
    target = batch.target.clone()
    target[2, 0] = float("nan")
    loss = model.loss(replace(batch, target=target, target_mask=known), torch.Generator())["loss"]
    error = (model(batch).prediction - batch.target).square()
    assert loss.item() == pytest.approx(
        (error.sum() - error[0, 1] - error[2, 0]).item() / 4, rel=1e-6
    )
    nothing = replace(batch, target=torch.full_like(target, float("nan")), target_mask=None)
    assert model.loss(nothing, torch.Generator())["loss"].item() == 0.0


def test_one_region_may_come_without_an_axis():
    model = _tiny(n_outputs=1).eval()
    batch = _paired(np.random.default_rng(1).standard_normal((1, 12))).batch([0, 1])
    flat = replace(batch, target=batch.target[:, 0], target_mask=None)
    one, other = (model.loss(b, torch.Generator())["loss"] for b in (batch, flat))
    assert torch.equal(one, other)


def test_targets_that_do_not_fit_are_refused_with_the_remedy():
    bold = np.random.default_rng(1).standard_normal((3, 12))
    paired = _paired(bold)
    with pytest.raises(ConfigError, match=r"3 regions, the model 2 outputs; .*n_outputs=3"):
        _tiny(n_outputs=2).loss(paired.batch([0]), torch.Generator())
    with pytest.raises(ConfigError, match=r"3 regions, the model 2 outputs"):
        _tiny(n_outputs=2).prepare(paired)
    with pytest.raises(
        ConfigError, match=r"no head; create it with n_outputs=\.\.\., one a region"
    ):
        _tiny().loss(paired.batch([0]), torch.Generator())
    with pytest.raises(ConfigError, match=r"no target; pair EEG with BOLD: neuro.data.pair"):
        _tiny(n_outputs=2).loss(20 * torch.randn(1, 4, 160), torch.Generator())


def test_constant_and_missing_regions_are_refused_by_name():
    bold = np.random.default_rng(1).standard_normal((3, 12))
    _tiny(n_outputs=3).prepare(_paired(bold))
    bold[1] = 0.25
    with pytest.raises(DataError, match=r"Region 'roi1' is 0\.25 at every volume"):
        _tiny(n_outputs=3).prepare(_paired(bold))
    bold[1] = np.nan
    with pytest.raises(DataError, match=r"Region 'roi1' has no value of the training part"):
        _tiny(n_outputs=3).prepare(_paired(bold))


def test_training_lowers_the_error_and_stages_freeze_the_rest():
    model = _tiny(n_outputs=1)
    assert set(model.stages()) == {"finetune", "spectral", "probe"}
    learns = {id(p) for p in model.stages()["spectral"].parameters()}
    assert not learns & {id(p) for p in model.encoder.parameters()}
    assert _tiny().stages() == {}


# -- the door ----------------------------------------------------------------------------------


def test_what_is_no_window_before_a_volume_is_refused_with_the_remedy():
    model = neuro.models.create("neurobolt", "small")
    for n_times in (3199, 3201, 1600):
        with pytest.raises(ContractError, match=f"was given {n_times}; cut windows of 16 s"):
            model(20 * torch.randn(1, 26, n_times))
    with pytest.raises(ContractError, match=r"26 channels and was given 20; .*conform"):
        model(20 * torch.randn(1, 20, 3200))
    with pytest.raises(UnitError, match="Are they volts"):
        model(2e-5 * torch.randn(1, 26, 3200))
    with pytest.raises(ConfigError, match=r"no row for 1 channel.*ECG"):
        neuro.models.create("neurobolt", ch_names=("FP1", "FP2", "ECG"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"n_times": 3000}, "n_times = 3000 is not possible; use a multiple of the longest window"),
        ({"first_s": 0.333}, "first_s = 0.333 .* whole number of samples"),
        ({"spectral_heads": 7}, "spectral_heads = 7 .* a divisor of d_model = 200"),
        ({"unit": "V"}, "unit = 'V' is not possible; use 'uV'"),
        ({"spectral_dropout": 1.0}, "spectral_dropout"),
        ({"n_levels": 0}, "n_levels"),
        ({"spectrum": "power"}, "spectrum = 'power' is unknown"),
    ],
    ids=["length", "window", "heads", "unit", "dropout", "levels", "spectrum"],
)
def test_impossible_configurations_are_refused(config, said):
    with pytest.raises(ConfigError, match=said):
        neuro.models.create("neurobolt", **config)


# -- published weights -----------------------------------------------------------------------------


@frozen
def test_a_labram_file_fills_the_first_branch_alone(published, loaded, tmp_path):
    skipped = ("mss_module.", "head.", "fc_norm.")
    found = {f"student.{k}": v for k, v in published.items() if not k.startswith(skipped)}
    found |= {"student.mask_token": torch.zeros(1, 1, 200), "lm_head.weight": torch.zeros(3, 200)}
    torch.save({"model": found}, tmp_path / "labram-base.pth")
    model = neuro.models.from_reference(
        "neurobolt", tmp_path / "labram-base.pth", n_outputs=4, spectral_depth=1, seed=3
    )
    own, whole = model.encoder.state_dict(), loaded.encoder.state_dict()
    assert all(torch.equal(own[k], whole[k]) for k in own if not k.startswith("norm."))
    assert model.head.linear.weight.shape == (4, 200)
    assert model.config.layer_decay == 0.65
    assert model.provenance["reference"]["files"][0]["name"] == "labram-base.pth"


@frozen
def test_a_whole_file_tells_its_sizes_and_an_incomplete_one_what_is_missing(published, tmp_path):
    made = neurobolt_tensors(dict(published), {})
    sizes = {"depth": 2, "spectral_depth": 2, "n_levels": 4, "n_chans": 26, "n_outputs": 3}
    assert sizes.items() <= made.config.items()
    torch.save(
        {k: v for k, v in published.items() if "ts_embedding.3" not in k}, tmp_path / "a.pth"
    )
    with pytest.raises(FileError, match=r"spectral\.windows\.3\.\S+ is missing"):
        neuro.models.from_reference("neurobolt", tmp_path / "a.pth")


@frozen
def test_another_number_of_regions_starts_a_new_head(loaded):
    model = neuro.models.from_reference("neurobolt", FOLDER / "weights.safetensors", n_outputs=2)
    assert model.head.linear.weight.shape == (2, 200)
    assert torch.equal(model.spectral.channels, loaded.spectral.channels)
