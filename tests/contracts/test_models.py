"""What every registered network must do, whatever it is."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import neuro.models
from neuro.data import Batch
from neuro.errors import ConfigError, ContractError, DataError, FileError, NeuroError
from neuro.models._base import NetworkModel
from neuro.models._registry import _TABLE, model_class

FOLDER = Path(neuro.models.__file__).parent
NAMES = [n for n in neuro.models.list() if neuro.models.info(n).kind == "network"]
every_model = pytest.mark.parametrize("name", NAMES)


def _model(name, **config):
    """Smallest version, with named channels, ready for inference."""
    n_chans = neuro.models.create(name, "tiny").config.n_chans
    ch_names = tuple(f"ch{i}" for i in range(n_chans))
    return neuro.models.create(name, "tiny", ch_names=ch_names, **config).eval()


def _size(model):
    """Order of magnitude of the signal in the unit that the model reads."""
    return {"uV": 20.0, "fT": 500.0}.get(model.config.unit, 1.0)


def _x(model, batch=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shape = (batch, model.config.n_chans, model.config.n_times)
    return _size(model) * torch.randn(shape, generator=rng)


def _batch(model, x=None, **changes):
    x = _x(model) if x is None else x
    n, n_chans, n_times = x.shape
    rng = torch.Generator().manual_seed(7)
    values = {
        "x": x,
        "sfreq": float(model.contract.sfreq),
        "ch_names": model.contract.ch_names or tuple(f"ch{i}" for i in range(n_chans)),
        "channel_mask": torch.ones(n, n_chans, dtype=torch.bool),
        "time_mask": torch.ones(n, n_times, dtype=torch.bool),
        "positions": 0.08 * torch.randn(1, n_chans, 3, generator=rng).expand(n, -1, -1),
        "start_s": torch.zeros(n, dtype=torch.float64),
        "index": torch.arange(n),
        "unit": model.config.unit,
        "modality": model.contract.modality,
    }
    return Batch(**{**values, **changes})


def _learner(name):
    """A model that can learn: with a head where its loss needs one."""
    return _model(name, **({"n_outputs": 2} if model_class(name).supervised else {}))


def _lesson(model, x=None):
    """A batch to learn from: with targets where the loss needs them."""
    batch = _batch(model, x)
    if not model.supervised:
        return batch
    return replace(batch, target=torch.randn(len(batch), 2, generator=_rng(11)))


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


# -- the registry is complete ---------------------------------------------------


def test_every_network_in_the_folder_is_registered():
    found = set()
    for path in [*FOLDER.glob("[a-z]*.py"), *FOLDER.glob("[a-z]*/__init__.py")]:
        module = f"neuro.models.{path.stem if path.stem != '__init__' else path.parent.name}"
        for _, cls in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if issubclass(cls, NetworkModel) and cls is not NetworkModel:
                found.add(f"{cls.__module__}:{cls.__qualname__}")
    assert found == {_TABLE[name] for name in NAMES}


def test_importing_the_registry_does_not_import_torch():
    code = "import sys, neuro.models; print(neuro.models.list()); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert NAMES[0] in done.stdout


def test_an_unknown_model_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"No model is called 'patchmae'. Did you mean 'patch_"):
        neuro.models.create("patchmae")


def test_a_file_cannot_name_code(tmp_path):
    folder = neuro.models.create("patch_mae", "tiny").save(tmp_path / "m")
    card = json.loads((folder / "model.json").read_text())
    card["name"] = "os:system"
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match="'os:system', which this version does not know"):
        neuro.models.load(folder)


@every_model
def test_name_card_and_presets_are_there(name):
    described = neuro.models.info(name)
    assert model_class(name).name == name
    assert {"paper", "default", "tiny"} <= set(described.presets)
    assert described.card.startswith(f"# {name}\n")
    assert len(described.summary.split()) > 5
    for heading in ("## Parameters", "## Limits", "## Licence"):
        assert heading in described.card


@every_model
@pytest.mark.parametrize("preset", ["paper", "default", "tiny"])
def test_presets_need_nothing_and_the_card_states_their_size(name, preset):
    cls = model_class(name)
    config = cls.config_class.from_json(cls.presets[preset])
    with torch.device("meta"):  # counted without memory: published models are large
        count = cls(config).n_parameters()
    assert re.search(rf"{preset}\W[^\n]*\b{count:,}\b", neuro.models.info(name).card), (
        f"The card of {name} does not say that preset {preset} has {count:,} parameters."
    )


# -- configuration ----------------------------------------------------------------


@every_model
def test_config_goes_through_json_text(name):
    config = _model(name, n_outputs=2).config
    again = type(config).from_json(json.loads(json.dumps(config.to_json())))
    assert again == config


@every_model
def test_config_is_frozen_and_refuses_what_it_does_not_know(name):
    config = _model(name).config
    with pytest.raises(AttributeError):
        config.n_times = 3
    with pytest.raises(ConfigError, match="Did you mean 'n_chans'"):
        neuro.models.create(name, "tiny", n_chan=3)


@every_model
@pytest.mark.parametrize(
    "change",
    [{"n_times": 0}, {"sfreq": -1.0}, {"n_outputs": -1}, {"n_chans": "four"}, {"unit": 3}],
)
def test_config_refuses_impossible_values_by_name(name, change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        neuro.models.create(name, "tiny", **change)


@every_model
def test_names_and_number_of_channels_must_agree(name):
    n_chans = neuro.models.create(name, "tiny").config.n_chans
    with pytest.raises(ConfigError, match="ch_names"):
        neuro.models.create(name, "tiny", n_chans=n_chans, ch_names=("a", "b", "c", "d", "e")[:-2])


# -- forward ------------------------------------------------------------------------


@every_model
def test_output_has_the_promised_shapes(name):
    model = _model(name, n_outputs=2)
    out = model(_batch(model))
    assert out.embedding.shape[0] == out.tokens.shape[0] == 3
    assert out.embedding.ndim == 2
    assert out.tokens.ndim == 3
    assert out.prediction.shape == (3, 2)
    assert _model(name)(_x(model)).prediction is None


@every_model
def test_a_bare_tensor_means_the_contracts_order(name):
    model = _model(name)
    batch = _batch(model, positions=torch.full((3, model.config.n_chans, 3), float("nan")))
    assert torch.equal(model(batch.x).embedding, model(batch).embedding)


@every_model
def test_examples_do_not_see_each_other(name):
    model = _model(name)
    alone = model(_x(model)[:1]).embedding
    # another batch size may take another kernel: rounding only
    assert torch.allclose(model(_x(model)).embedding[:1], alone, atol=1e-5)


@every_model
def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone(name):
    state = torch.random.get_rng_state()
    a, b, c = (neuro.models.create(name, "tiny", seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


@every_model
def test_inference_is_deterministic(name):
    model = _model(name)
    assert torch.equal(model(_batch(model)).embedding, model(_batch(model)).embedding)


_FINGERPRINTS = """
import hashlib, torch, neuro.models
torch.set_num_threads(1)
found = []
for name in [n for n in neuro.models.list() if neuro.models.info(n).kind == "network"]:
    model = neuro.models.create(name, "tiny", seed=3)
    shape = (2, model.config.n_chans, model.config.n_times)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    loss = None
    if not model.supervised:
        loss = model.loss(x, torch.Generator().manual_seed(1))["loss"].item()
    embedding = model.eval()(x).embedding.detach().numpy().tobytes()
    found.append((name, loss, hashlib.sha256(embedding).hexdigest()))
"""


def test_another_process_computes_the_same_bits():
    code = _FINGERPRINTS + "print(found)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    threads, here = torch.get_num_threads(), {}
    exec(_FINGERPRINTS, here)
    torch.set_num_threads(threads)
    assert [name for name, *_ in here["found"]] == NAMES
    assert done.stdout.strip() == str(here["found"])


# -- channels, masks -------------------------------------------------------------------


@every_model
def test_order_of_channels_does_not_matter_if_their_identity_moves_along(name):
    model = _model(name)
    if not model.order_free:
        pytest.skip(f"{name} declares that its channels are in a fixed order")
    batch = _batch(model)
    order = torch.randperm(model.config.n_chans, generator=_rng(1))
    assert order.tolist() != sorted(order.tolist())
    straight, tokens = model.encode(batch.x, None, batch.positions)
    turned, moved = model.encode(
        batch.x[:, order], None, batch.positions[:, order], channel_index=order
    )
    # sums over tokens in another order: rounding only
    assert torch.allclose(turned, straight, atol=1e-5)
    rows = tokens.reshape(3, model.config.n_chans, -1)
    assert torch.allclose(moved.reshape(rows.shape), rows[:, order], atol=1e-5)


@every_model
def test_channels_have_an_identity(name):
    model = _model(name)
    batch = _batch(model)
    shifted = torch.roll(batch.x, 1, dims=1)
    same, _ = model.encode(batch.x, None, batch.positions)
    other, _ = model.encode(shifted, None, batch.positions)
    assert not torch.allclose(same, other, atol=1e-3)


@every_model
def test_what_stands_under_a_mask_never_matters(name):
    model = _model(name)
    batch = _batch(model)
    channels, times = batch.channel_mask.clone(), batch.time_mask.clone()
    channels[0, -1] = channels[1, 0] = False
    times[0, : model.config.n_times // 3] = times[2, -5:] = False
    hidden = ~(channels[:, :, None] & times[:, None, :])
    embeddings = []
    for filler in (0.0, 1e6, float("nan")):
        x = batch.x.masked_fill(hidden, filler)
        embeddings.append(model.encode(x, channels, batch.positions, times))
    for embedding, tokens in embeddings[1:]:
        assert torch.equal(embedding, embeddings[0][0])
        assert torch.equal(tokens, embeddings[0][1])


@every_model
def test_masks_are_noticed(name):
    model = _model(name)
    batch = _batch(model)
    channels, times = batch.channel_mask.clone(), batch.time_mask.clone()
    channels[:, 0] = False
    times[:, : model.config.n_times // 2] = False
    whole = model(batch).embedding
    for change in ({"channel_mask": channels}, {"time_mask": times}):
        assert not torch.allclose(model(replace(batch, **change)).embedding, whole, atol=1e-3)


@every_model
def test_absent_channels_are_the_same_as_masked_ones(name):
    model = _model(name)
    batch, n = _batch(model), model.config.n_chans - 1
    mask = torch.arange(model.config.n_chans).lt(n).expand(3, -1)
    masked, _ = model.encode(batch.x, mask, batch.positions)
    absent, _ = model.encode(batch.x[:, :n], None, batch.positions[:, :n])
    # fewer terms in each sum: rounding only
    assert torch.allclose(masked, absent, atol=1e-5)


@every_model
def test_padding_behind_a_window_changes_nothing(name):
    model = _model(name)
    if not model.any_times:
        pytest.skip(f"{name} reads windows of one length")
    batch, extra = _batch(model), model.config.n_times // 3
    x = torch.cat([batch.x, torch.full_like(batch.x[..., :extra], 1e3)], dim=2)
    mask = torch.arange(x.shape[2]).lt(model.config.n_times).expand(3, -1)
    padded, _ = model.encode(x, None, batch.positions, mask)
    plain, _ = model.encode(batch.x, None, batch.positions)
    # more (masked) terms in each sum: rounding only
    assert torch.allclose(padded, plain, atol=1e-5)


@every_model
def test_flat_and_huge_channels_give_finite_output(name):
    model = _learner(name)
    x = _x(model)
    x[0, 0] = 0.0
    x[1, 1] = 1e7
    assert model(x).embedding.isfinite().all()
    assert model.loss(_lesson(model, x), _rng())["loss"].isfinite()


# -- the contract at the door -------------------------------------------------------------


@every_model
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "V"}, "unit is 'V'"),
        ({"sfreq": 77.0}, "77 Hz"),
        ({"modality": "stim"}, "modality is 'stim'"),
    ],
)
def test_other_units_rates_and_signals_are_refused(name, change, said):
    model = _model(name)
    with pytest.raises(ContractError, match=said):
        model(_batch(model, **change))
    with pytest.raises(ContractError, match=said):
        model.loss(_batch(model, **change), _rng())


@every_model
def test_another_order_of_channels_is_refused(name):
    model = _model(name)
    turned = (*model.contract.ch_names[1:], model.contract.ch_names[0])
    with pytest.raises(ContractError, match="another order"):
        model(_batch(model, ch_names=turned))


@every_model
def test_another_number_of_channels_is_refused(name):
    model = neuro.models.create(name, "tiny")
    if model.any_channels:
        pytest.skip(f"{name} takes any number of channels")
    with pytest.raises(ContractError, match="channels"):
        model(torch.zeros(2, model.config.n_chans + 1, model.config.n_times))


@every_model
def test_arrays_that_are_no_windows_are_refused(name):
    model = _model(name)
    with pytest.raises(DataError, match="batch, channel, time"):
        model(torch.zeros(model.config.n_chans, model.config.n_times))
    with pytest.raises(DataError, match="NaN"):
        model(_x(model).fill_(float("nan")))


@every_model
def test_a_window_without_any_channel_is_refused(name):
    model = _model(name)
    mask = torch.ones(3, model.config.n_chans, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(DataError, match="Example 1 of the batch has no valid channel"):
        model(_batch(model, channel_mask=mask))


# -- training -----------------------------------------------------------------------------


@every_model
def test_loss_depends_on_its_generator_alone(name):
    model = _learner(name)
    batch, state = _lesson(model), torch.random.get_rng_state()
    first = model.loss(batch, _rng(5))["loss"]
    torch.manual_seed(99)
    assert torch.equal(model.loss(batch, _rng(5))["loss"], first)
    torch.random.set_rng_state(state)
    assert first.ndim == 0
    assert first.isfinite()


@every_model
def test_gradient_reaches_every_parameter(name):
    model = _learner(name).train()
    batch = _lesson(model)
    channels = batch.channel_mask.clone()
    channels[0, 0] = False
    unknown = batch.positions.clone()
    unknown[1, 1] = float("nan")
    model.loss(replace(batch, channel_mask=channels, positions=unknown), _rng())["loss"].backward()
    dead = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@every_model
def test_a_few_steps_lower_the_loss(name):
    model = _learner(name).train()
    batch = _lesson(model, _x(model).cumsum(dim=2) / 10)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = model.loss(batch, _rng())["loss"].item()
    for step in range(40):
        loss = model.loss(batch, _rng(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert model.loss(batch, _rng())["loss"].item() < 0.8 * before


@every_model
def test_head_learns_from_targets(name):
    model = _model(name, n_outputs=2).train()
    target = torch.tensor([0.0, 1.0, float("nan")])
    batch = _batch(model, target=target)
    out = model.supervised_loss(batch, _rng())
    out["loss"].backward()
    assert all(p.grad is not None for p in model.head.parameters())
    assert 0 <= out["accuracy"] <= 1
    with pytest.raises(ConfigError, match="no target"):
        model.supervised_loss(_batch(model), _rng())
    with pytest.raises(ConfigError, match="no head"):
        _model(name).supervised_loss(batch, _rng())


# -- save and load --------------------------------------------------------------------------


@every_model
def test_a_saved_model_comes_back_bit_for_bit(name, tmp_path):
    model = _model(name, n_outputs=3)
    model.provenance = {"steps": 12, "data": "none"}
    again = neuro.models.load(model.save(tmp_path / "model"))
    assert type(again) is type(model)
    assert again.config == model.config
    assert again.contract == model.contract
    assert again.provenance == model.provenance
    own, read = model.state_dict(), again.state_dict()
    assert list(own) == list(read)
    assert all(torch.equal(own[k], read[k]) and own[k].dtype == read[k].dtype for k in own)
    assert torch.equal(again(_batch(model)).prediction, model(_batch(model)).prediction)
    assert all(p.requires_grad for p in again.parameters())


@every_model
def test_state_holds_every_buffer(name):
    model = _model(name)
    assert {k for k, _ in model.named_buffers()} <= set(model.state_dict())


@every_model
def test_saving_again_replaces_and_leaves_nothing_behind(name, tmp_path):
    model = _model(name)
    model.save(tmp_path / "model")
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save(tmp_path / "model")
    first = next(iter(model.state_dict()))
    assert torch.equal(
        neuro.models.load(tmp_path / "model").state_dict()[first], model.state_dict()[first]
    )
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@every_model
def test_a_failed_save_leaves_the_old_model(name, tmp_path, monkeypatch):
    model = _model(name)
    model.save(tmp_path / "model")
    before = (tmp_path / "model" / "weights.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neuro.models._folder.write_json", full)
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@every_model
def test_a_folder_of_something_else_is_not_overwritten(name, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileError, match="not a saved model"):
        _model(name).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@every_model
def test_weights_of_another_shape_are_refused_with_the_difference(name, tmp_path):
    folder = _model(name).save(tmp_path / "model")
    small, large = _model(name), _model(name, n_outputs=2)
    with pytest.raises(FileError, match=r"head\.\S+ is missing"):
        large.load_weights(folder)
    kept = next(large.head.parameters()).clone()
    large.load_weights(folder, keep=("head.",))
    assert torch.equal(next(large.head.parameters()), kept)
    other = large.save(tmp_path / "other")
    with pytest.raises(FileError, match="is not part of the model"):
        small.load_weights(other)


@every_model
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "else"}, "does not describe a model"),
        ({"format_version": 99}, "format version 99"),
        ({"config": {"n_chans": 3, "evil": 1}}, "evil"),
        ({"config": {"n_chans": 1e30}}, "n_chans"),
        ({"config": None}, "no usable field 'config'"),
        ({"contract": {"modality": "eeg"}}, "incomplete"),
    ],
)
def test_an_edited_description_gives_one_clear_error(name, change, said, tmp_path):
    folder = _model(name).save(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(FileError, match=said):
        neuro.models.load(folder)


@every_model
def test_sizes_that_a_file_claims_are_not_believed(name, tmp_path):
    # with a head: the layers before it may treat any number of channels alike
    folder = _model(name, n_outputs=2).save(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    # a million channels would be gigabytes of weights; nothing is allocated
    card["config"].update(n_chans=1_000_000, ch_names=None)
    card["contract"].update(ch_names=None)
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match="do not fit the model"):
        neuro.models.load(folder)


@every_model
def test_truncated_weights_are_one_project_error(name, tmp_path):
    folder = _model(name).save(tmp_path / "model")
    whole = (folder / "weights.safetensors").read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        (folder / "weights.safetensors").write_bytes(whole[:size])
        with pytest.raises(NeuroError):
            neuro.models.load(folder)


def test_an_empty_folder_holds_no_model(tmp_path):
    with pytest.raises(NeuroError, match="no saved model"):
        neuro.models.load(tmp_path)


@every_model
def test_a_checkpoint_of_another_system_is_refused(name, tmp_path):
    folder = _model(name).save(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "name": "other"}))
    with pytest.raises(FileError, match="'other' model"):
        _model(name).load_weights(folder)
    with pytest.raises(FileError, match="'other' model"):
        model_class(name).from_folder(folder)


# -- precision, compiling, exporting ----------------------------------------------------------


class _Encode(nn.Module):
    """`encode` as a module of its own, with every mask in use."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, channel_mask, positions, time_mask):
        return self.model.encode(x, channel_mask, positions, time_mask)


def _arguments(model, batch=3):
    made = _batch(model, _x(model, batch))
    channels, times = made.channel_mask.clone(), made.time_mask.clone()
    channels[0, 0] = times[0, 0] = False
    return made.x, channels, made.positions.contiguous(), times


@every_model
def test_bfloat16_autocast_is_finite_and_close(name):
    model = _learner(name)
    exact, _ = model.encode(*_arguments(model))
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = model.encode(*_arguments(model))
        loss = model.loss(_lesson(model), _rng())["loss"]
    # bfloat16 keeps 8 bits: some per cent of the embedding's size after a few layers
    assert (rough.float() - exact).norm() < 0.05 * exact.norm()
    assert loss.isfinite()
    assert loss.dtype == torch.float32


@pytest.mark.slow
@every_model
def test_compiled_equals_eager(name):
    module = _Encode(_model(name))
    arguments = _arguments(module.model)
    torch.compiler.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    # same operations, possibly regrouped: rounding only
    for got, expected in zip(compiled(*arguments), module(*arguments), strict=True):
        assert torch.allclose(got, expected, atol=1e-5)


@pytest.mark.slow
@every_model
def test_exported_with_a_free_batch_size_equals_eager(name):
    module = _Encode(_model(name))
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(
        module, _arguments(module.model), dynamic_shapes=[{0: batch}] * 4
    ).module()
    for size in (2, 5):
        arguments = _arguments(module.model, size)
        for got, expected in zip(exported(*arguments), module(*arguments), strict=True):
            # same operations, possibly regrouped: rounding only
            assert torch.allclose(got, expected, atol=1e-5)
