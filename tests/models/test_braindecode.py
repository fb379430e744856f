"""braindecode's networks under our contract; ours inside skorch and braindecode."""

import copy
import importlib
import json
import pickle
import subprocess
import sys
import types
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import neuro.models
from neuro.data import Batch, windows
from neuro.errors import ConfigError, ContractError, FileError, MissingDependencyError
from neuro.evaluate import FineTune, Split, TrainedInside, evaluate, reinitialised
from neuro.models import PlainModule
from neuro.train import fit

# What braindecode imports at its top and most of its networks never use. torchaudio is not
# installed beside this torch; the others are heavy.
_STUBS = {
    "torchaudio": {},
    "torchaudio.functional": dict.fromkeys(("fftconvolve", "filtfilt", "lfilter")),
    "torchaudio.transforms": dict.fromkeys(
        ("Resample", "Spectrogram", "FrequencyMasking", "TimeMasking"), object
    ),
    "wfdb": {},
    "linear_attention_transformer": {"LinearAttentionTransformer": object},
}
CH_NAMES = ("Fz", "C3", "Cz", "C4", "Pz", "O1", "Oz", "O2")
# A small convolutional one, a wide one, a transformer, one that needs positions, and one
# whose last layer is in the middle of its forward pass.
NAMES = ["EEGNet", "ShallowFBCSPNet", "EEGConformer", "DGCNN", "BDTCN"]
every_model = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module", autouse=True)
def _braindecode():
    """braindecode with stubs for what is missing; gone again afterwards."""
    from neuro.models import _braindecode

    if find_spec("braindecode") is None or find_spec("skorch") is None:
        pytest.skip("braindecode and skorch of the development environment are not installed")
    before = set(sys.modules)
    for name, content in _STUBS.items():
        if name.partition(".")[0] not in before or name in before:
            module = types.ModuleType(name)
            module.__dict__.update(content)
            sys.modules.setdefault(name, module)
    sys.modules["torchaudio"].functional = sys.modules["torchaudio.functional"]
    sys.modules["torchaudio"].transforms = sys.modules["torchaudio.transforms"]
    _braindecode._models()
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("braindecode", *_STUBS)):
            del sys.modules[name]
    _braindecode._subclass.cache_clear()


def _model(name="EEGNet", **config):
    config = {"ch_names": CH_NAMES, "n_times": 256, "sfreq": 128, "n_outputs": 3} | config
    return neuro.models.create(f"braindecode/{name}", **config).eval()


def _x(n=3, n_chans=8, n_times=256):
    return 20 * torch.randn(n, n_chans, n_times, generator=torch.Generator().manual_seed(0))


def _batch(model, x=None, **changes):
    x = _x() if x is None else x
    values = {
        "x": x,
        "sfreq": float(model.contract.sfreq),
        "ch_names": CH_NAMES,
        "channel_mask": torch.ones(x.shape[:2], dtype=torch.bool),
        "time_mask": torch.ones(x.shape[0], x.shape[2], dtype=torch.bool),
        "positions": torch.full((x.shape[0], x.shape[1], 3), float("nan")),
        "start_s": torch.zeros(len(x), dtype=torch.float64),
        "index": torch.arange(len(x)),
        "unit": "uV",
        "modality": "eeg",
    }
    return Batch(**{**values, **changes})


# -- what there is ----------------------------------------------------------------


def test_a_name_that_braindecode_does_not_export_is_refused():
    with pytest.raises(ConfigError, match=r"'braindecode/EEGNett'\. Did you mean 'EEGNet'"):
        neuro.models.create("braindecode/EEGNett")
    with pytest.raises(ConfigError, match="No model is called 'braindecode/EEGModuleMixin'"):
        neuro.models.create("braindecode/EEGModuleMixin")
    with pytest.raises(ConfigError, match="fetches files from a hub"):
        neuro.models.create("braindecode/REVE")


def test_our_list_is_ours_and_a_known_name_is_described():
    assert not [n for n in neuro.models.list() if "/" in n]
    told = neuro.models.info("braindecode/EEGNet")
    assert told.kind == "network"
    assert told.source == "braindecode.models:EEGNet"
    assert (told.config["F1"], told.config["normalize"]) == (8, "fixed")
    assert "EEGNet" in told.summary
    assert told.card.startswith("# braindecode/EEGNet\n")


def test_importing_the_models_never_imports_braindecode():
    code = "import sys, neuro.models as m; m.list(); sys.exit('braindecode' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("No module named 'braindecode'", name="braindecode"),
            "neuro-fm.brain",
        ),
        (OSError("libtorchaudio.so: undefined symbol: _ZN3c10"), "same release and build as torch"),
        (ModuleNotFoundError("No module named 'torchaudio'"), "same release and build as torch"),
        (ImportError("cannot import name 'x' from 'mne'"), "neuro doctor"),
    ],
    ids="absent mismatch no-torchaudio other".split(),
)
def test_a_braindecode_that_does_not_load_is_told_with_the_remedy(error, said, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "braindecode":
                raise error

    for name in [n for n in sys.modules if n.split(".")[0] == "braindecode"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=said):
        neuro.models.create("braindecode/EEGNet", n_times=256)


def test_a_failed_import_leaves_nothing_half_done(monkeypatch):
    from neuro.cli.doctor import _look

    hidden = ("braindecode", "torchaudio")
    for name in [n for n in sys.modules if n.split(".")[0] in hidden]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchaudio", None)  # as if it were not installed
    assert _look("braindecode", "braindecode", "braindecode")["state"] == "does not load"
    for _ in range(2):
        with pytest.raises(MissingDependencyError, match="same release and build as torch"):
            neuro.models.create("braindecode/EEGNet", n_times=256)


def test_sizes_and_outputs_that_do_not_work_are_told_in_our_words():
    with pytest.raises(ConfigError, match=r"braindecode/Deep4Net does not work with n_chans = 8, "):
        _model("Deep4Net", n_times=20)
    with pytest.raises(ConfigError, match=r"TCN gives an output of shape \(3, \d+\) a window"):
        _model("TCN", n_times=512)
    with pytest.raises(ConfigError, match="ch_names with known positions"):
        neuro.models.create("braindecode/DGCNN", n_chans=8, n_times=256)
    with pytest.raises(ConfigError, match="n_outputs = 0 is not possible"):
        _model(n_outputs=0)


# -- configuration -------------------------------------------------------------------


def test_arguments_of_the_class_are_given_by_their_own_names():
    model = _model(F1=4, D=3, drop_prob=0.1, activation="ReLU")
    assert model.network.F1 == 4
    assert any(isinstance(m, nn.ReLU) for m in model.network.modules())
    assert dict(model.config.options) == {"F1": 4, "D": 3, "drop_prob": 0.1, "activation": "ReLU"}
    again = type(model.config).from_json(json.loads(json.dumps(model.config.to_json())))
    assert again == model.config


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"F11": 3}, "no field 'F11'. Did you mean 'F1'"),
        ({"activation": "os.system"}, "activation = 'os.system'. Known: ELU"),
        ({"activation": "Linear"}, "activation = 'Linear'"),
        ({"F1": {"a": 1}}, "options"),
        ({"normalize": "zscore"}, "normalize = 'zscore'"),
        ({"clip": 0}, "clip"),
    ],
    ids="field path layer kind scale clip".split(),
)
def test_options_that_cannot_be_are_refused_by_name(config, said):
    with pytest.raises(ConfigError, match=said):
        _model(**config)


# -- forward ---------------------------------------------------------------------------


@every_model
def test_output_is_braindecodes_own(name):
    model = _model(name, normalize="none")
    x = _x()
    with torch.no_grad():
        out, again, expected = model(x), model(_batch(model)), model.network(x)
    assert torch.equal(out.prediction, expected)
    assert out.prediction.shape == (3, 3)
    assert out.tokens.shape == (3, 1, out.embedding.shape[1])
    assert torch.equal(again.embedding, out.embedding)


@every_model
def test_embedding_is_what_the_last_layer_reads(name):
    model = _model(name)
    embedding = model(_x()).embedding
    width = embedding.shape[1]
    shape = {"EEGNet": (16, 1, -1), "ShallowFBCSPNet": (40, -1, 1), "BDTCN": (3, -1)}
    with torch.no_grad():
        given = embedding.reshape(3, *shape.get(name, (width,)))
        # the same numbers through the same layer: rounding only
        said = model.network.final_layer(given).reshape(3, -1)
        if name != "BDTCN":  # which averages over time afterwards
            assert torch.allclose(said, model(_x()).prediction, atol=1e-5)
    assert width > 3


def test_microvolts_are_brought_to_unit_size_by_what_the_training_data_were():
    model = _model()
    seen = []
    model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = _x(64) * torch.linspace(0.1, 30, 8)[:, None] + 100
    model.fit_scale(x)
    model(x)
    # robust quartiles of 16,384 normal samples
    assert seen[0].std(dim=(0, 2)).sub(1).abs().max() < 0.05
    assert seen[0].mean(dim=(0, 2)).abs().max() < 0.05
    plain = _model(normalize="none")
    plain.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    plain(x)
    assert torch.equal(seen[-1], x)


@pytest.mark.parametrize(
    ("name", "normalize"),
    [*((n, "fixed") for n in NAMES), ("EEGNet", "none"), ("EEGNet", "window")],
)
def test_what_stands_under_a_mask_never_matters_and_masks_are_noticed(name, normalize):
    model = _model(name, normalize=normalize)
    batch = _batch(model)
    channels, times = batch.channel_mask.clone(), batch.time_mask.clone()
    channels[0, -1] = channels[1, 0] = False
    times[0, :90] = times[2, -5:] = False
    hidden = ~(channels[:, :, None] & times[:, None, :])
    out = [
        model(
            replace(batch, x=batch.x.masked_fill(hidden, v), channel_mask=channels, time_mask=times)
        )
        for v in (0.0, 1e6, float("nan"))
    ]
    assert torch.equal(out[0].prediction, out[1].prediction)
    assert torch.equal(out[0].embedding, out[2].embedding)
    assert not torch.allclose(out[0].embedding, model(batch).embedding, atol=1e-3)


@every_model
def test_channels_find_their_place_and_absent_ones_are_masked_ones(name):
    model = _model(name)
    model.fit_scale(_x() * torch.linspace(1, 9, 8)[:, None])  # each channel its own
    x, order = _x(), torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    straight, _ = model.encode(x)
    turned, _ = model.encode(x[:, order], channel_index=order)
    assert torch.equal(straight, turned)
    mask = torch.arange(8).lt(6).expand(3, -1)
    assert torch.equal(model.encode(x, mask)[0], model.encode(x[:, :6])[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "V"}, "unit is 'V'"),
        ({"sfreq": 77.0}, "77 Hz"),
        ({"ch_names": (*CH_NAMES[1:], "Fz")}, "another order"),
        ({"x": _x(n_times=200), "time_mask": torch.ones(3, 200, dtype=torch.bool)}, "256 samples"),
    ],
    ids="unit rate order length".split(),
)
def test_the_contract_stands_at_the_door(change, said):
    model = _model()
    with pytest.raises(ContractError, match=said):
        model(_batch(model, **change))


# -- save and load ------------------------------------------------------------------------


@every_model
def test_a_saved_network_comes_back_bit_for_bit(name, tmp_path):
    model = _model(name)
    model.provenance = {"steps": 3}
    state = torch.random.get_rng_state()
    again = neuro.models.load(model.save(tmp_path / "m"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(again) is type(model)
    assert (again.config, again.contract) == (model.config, model.contract)
    assert again.provenance == {"steps": 3}
    assert not again.training
    assert torch.equal(again(_x()).prediction, model(_x()).prediction)
    card = json.loads((tmp_path / "m" / "model.json").read_text())
    assert card["versions"]["braindecode"] == importlib.import_module("braindecode").__version__


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "braindecode/os:system"}, "which this version does not know"),
        ({"name": "braindecode/EEGNeX"}, "model = 'EEGNet'"),
        ({"n_chans": 1_000_000, "ch_names": None}, "do not fit the model"),
        ({"options": [["third_kernel_size", 3]]}, "no field 'third_kernel_size'"),
        ({"options": [["activation", "torch.nn.ELU"]]}, "activation"),
        ({"options": [["F1", 100_000]]}, "do not fit the model"),
    ],
    ids="code other channels field path size".split(),
)
def test_an_edited_description_gives_one_clear_error(change, said, tmp_path):
    folder = _model().save(tmp_path / "m")
    card = json.loads((folder / "model.json").read_text())
    if "name" in change:
        card.update(change)
    else:
        card["config"].update(change)
        card["contract"]["ch_names"] = None
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match=said):
        neuro.models.load(folder)


@pytest.mark.parametrize("name", [*NAMES, "EEGMiner"])
def test_copies_and_other_processes_get_the_same_network(name):
    model = _model(name)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model)
        assert torch.equal(other(_x()).prediction, model(_x()).prediction)


def test_random_weights_of_a_control_are_others_under_the_same_scale():
    model = _model()
    model.fit_scale(_x())
    fresh = reinitialised(model, seed=4)
    assert torch.equal(fresh.scaling.scale, model.scaling.scale)
    assert not torch.allclose(fresh(_x()).embedding, model(_x()).embedding, atol=1e-3)


# -- training --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index():
    """Two classes that differ in the size of a 10 Hz rhythm at one electrode."""
    recordings = [_recording(subject) for subject in range(4)]
    return windows(recordings, stream="eeg", align=["rest", "move"], length_s=2.0, label="type")


def _recording(subject):
    from neuro.data import Axis, Events, Recording, Regular

    rng = np.random.default_rng(subject)
    n, sfreq = 24, 128
    x = 10 * rng.standard_normal((8, n * 2 * sfreq))
    kinds = np.array(["rest", "move"])[rng.permutation(np.arange(n) % 2)]
    t = np.arange(2 * sfreq) / sfreq
    for i, kind in enumerate(kinds):
        size = 15.0 if kind == "rest" else 3.0
        at = slice(i * len(t), (i + 1) * len(t))
        x[1, at] += size * np.sin(2 * np.pi * (10 * t + rng.random()))
    starts = np.arange(n) * len(t)
    segments = np.stack([starts, starts + len(t)], axis=1)
    axis = Axis(list(CH_NAMES), "eeg")
    stream = Regular(x.astype(np.float32), sfreq, "uV", axis, "eeg", segments=segments)
    events = Events.make(2.0 * np.arange(n), kinds, duration_s=2.0, block=np.arange(n))
    return Recording({"eeg": stream}, events, dataset="made", subject=f"{subject}", run="1")


def test_fit_trains_with_labels_and_refuses_without_a_stage(index, tmp_path):
    model = neuro.models.create("braindecode/ShallowFBCSPNet", contract=index.contract())
    with pytest.raises(
        ConfigError, match="learns from labels only: train it with stage='finetune'"
    ):
        fit(model, index, steps=1, out=tmp_path / "a", progress=False)
    train, test = index.split("subject", test=["3"])
    options = {"batch_size": 16, "lr": 3e-3, "stage": "finetune", "progress": False}
    run = fit(model, train, steps=60, out=tmp_path / "b", **options)
    batch = test.batch(np.arange(len(test)))
    hit = model.eval()(batch).prediction.argmax(1).eq(batch.target).float().mean().item()
    # chance is 0.5; 24 windows of an unseen subject
    assert hit > 0.85
    assert bool(model.scaling.known)
    again = neuro.models.load(run.best() / "model")
    assert torch.equal(again(batch).prediction, model(batch).prediction)


def test_last_layer_alone_learns_in_the_probe_stage(index, tmp_path):
    model = neuro.models.create("braindecode/EEGNet", contract=index.contract(), seed=1)
    model.prepare(index)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, index, steps=3, lr=1e-2, stage="probe", out=tmp_path / "r", progress=False)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(k.startswith("network.final_layer") for k in moved)


def test_the_yaml_of_an_evaluation_takes_a_network_without_training_of_its_own():
    from neuro.cli.evaluation import EvaluationConfig

    asked = {"train": "braindecode/EEGNet", "steps": 0}
    common = {"data": "scp1", "window": {"label": "type"}, "split": {"by": "run"}}
    assert EvaluationConfig(**common, models={"EEGNet": asked}).models["EEGNet"].steps == 0


@pytest.mark.slow
def test_evaluation_fine_tunes_it_like_any_network(index, tmp_path):
    inside = TrainedInside("braindecode/ShallowFBCSPNet", steps=0)
    results = evaluate(
        {"shallow": inside},
        index,
        split=Split("subject", n=2),
        probe=FineTune("full", steps=40, batch_size=16, lr=3e-3),
        controls=["shuffled_labels"],
        floors=[],
        seeds=1,
        shuffles=1,
        out=tmp_path,
    )
    score = {
        (r.model, r.control): r.value for r in results.rows if r.metric == results.rows[0].metric
    }
    assert score["shallow", ""] > 0.8
    assert score["shallow", "shuffled_labels"] < 0.7


# -- ours inside theirs ----------------------------------------------------------------------


def test_plain_module_returns_the_heads_answer_and_sets_its_scale_once():
    module = PlainModule("patch_mae", 8, 256, 2, sfreq=128, preset="tiny")
    x = _x(16).double()
    assert not bool(module.network.scaling.known)
    module.train()(x)
    scale = module.network.scaling.scale.clone()
    assert bool(module.network.scaling.known)
    module(3 * x)
    assert torch.equal(module.network.scaling.scale, scale)
    assert torch.equal(module.eval()(x), module.network(x.float()).prediction)


OURS = [n for n in neuro.models.list() if neuro.models.info(n).kind == "network"]


@pytest.mark.parametrize("name", OURS)
def test_every_network_of_ours_learns_as_a_plain_module(name):
    sizes = neuro.models.create(name, "tiny").config
    module = PlainModule(
        name, sizes.n_chans, sizes.n_times, 2, sfreq=sizes.sfreq, preset="tiny"
    ).train()
    said = module(_x(4, sizes.n_chans, sizes.n_times))
    nn.functional.cross_entropy(said, torch.tensor([0, 1, 0, 1])).backward()
    assert said.shape == (4, 2)
    assert all(p.grad is not None for p in module.network.head.parameters())


def test_plain_module_starts_from_saved_weights_with_a_new_head(tmp_path):
    encoder = neuro.models.create("patch_mae", "tiny", n_chans=8, n_times=256, sfreq=128, seed=9)
    folder = encoder.save(tmp_path / "m")
    module = PlainModule("patch_mae", 8, 256, 2, 128, preset="tiny", weights=folder)
    assert torch.equal(module.network.embed_patch.weight, encoder.embed_patch.weight)
    assert module(_x()).shape == (3, 2)


def test_plain_module_says_what_is_missing():
    with pytest.raises(ConfigError, match=r"patch_mae needs sfreq: .* module__sfreq="):
        PlainModule("patch_mae", 8, 256, 2)
    with pytest.raises(ConfigError, match="has no head"):
        PlainModule(neuro.models.create("patch_mae", "tiny"))


def test_our_network_trains_in_braindecodes_classifier_and_fills_in_sizes(index):
    from braindecode import EEGClassifier

    batch = index.batch(np.arange(len(index)))
    x, y = batch.x.numpy(), batch.target.numpy().astype(int)
    classifier = EEGClassifier(
        PlainModule,
        module__model="patch_mae",
        module__preset="tiny",
        module__sfreq=128.0,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=12,
        batch_size=16,
        train_split=None,
        verbose=0,
    )
    torch.manual_seed(0)
    classifier.fit(x[:72], y[:72])
    assert classifier.module_.network.config.n_outputs == 2
    assert classifier.module_.network.config.n_chans == 8
    # 24 windows of an unseen subject, chance 0.5
    assert classifier.score(x[72:], y[72:]) > 0.7


def test_epochs_of_mne_fill_in_rate_and_channels_too(index):
    import mne
    from braindecode import EEGClassifier

    batch = index.batch(np.arange(0, 96, 6))
    info = mne.create_info(list(CH_NAMES), 128.0, "eeg")
    codes = np.stack([np.arange(16), np.zeros(16, int), batch.target.numpy().astype(int)], axis=1)
    epochs = mne.EpochsArray(1e-6 * batch.x.numpy(), info, codes, verbose="ERROR")
    sizes = {"module__model": "patch_mae", "module__preset": "tiny"}
    classifier = EEGClassifier(
        PlainModule, **sizes, max_epochs=1, batch_size=8, train_split=None, verbose=0
    )
    classifier.fit(epochs, y=codes[:, 2])
    network = classifier.module_.network
    assert network.config.sfreq == 128.0
    assert network.config.ch_names == CH_NAMES
    # the classifier hands over microvolts, whatever MNE keeps
    assert 5 < network.scaling.scale.median() < 15


def test_our_networks_are_scikit_learn_citizens_through_skorch(index):
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score
    from skorch import NeuralNetClassifier

    batch = index.batch(np.arange(len(index)))
    sizes = {"n_chans": 8, "n_times": 256, "n_outputs": 2, "sfreq": 128.0}
    net = NeuralNetClassifier(
        PlainModule,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=8,
        batch_size=16,
        train_split=None,
        verbose=0,
        module__model="braindecode/ShallowFBCSPNet",
        **{f"module__{k}": v for k, v in sizes.items()},
    )
    torch.manual_seed(0)
    y = batch.target.numpy().astype(int)
    scores = cross_val_score(clone(net), batch.x.numpy(), y, cv=2)
    assert scores.min() > 0.7


def test_the_readmes_example_runs(index):
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    section = text.partition("## With braindecode and skorch")[2].partition("\n## ")[0]
    code = section.partition("```python\n")[2].partition("```")[0]
    assert len(code.strip().splitlines()) < 20
    batch = index.batch(np.arange(0, 96, 4))
    x, y = batch.x.numpy(), batch.target.long().numpy()
    told = {"neuro": neuro, "torch": torch, "index": index, "x": x, "y": y}
    code = code.replace("criterion=", "max_epochs=1, verbose=0, module__preset='tiny', criterion=")
    exec(compile(code, "README.md", "exec"), told)
    assert told["theirs"].config.n_chans == 8
    assert told["ours"].predict(x).shape == (24,)


@pytest.mark.slow
@pytest.mark.network
def test_on_real_slow_potentials_our_network_in_skorch_beats_chance(dataset):
    from skorch import NeuralNetClassifier

    index = windows(
        dataset("scp1", recover=True), stream="eeg", align=["*"], length_s=3.5, label="type"
    )
    train, test = index.split("run", test=["test"])
    a, b = train.batch(np.arange(len(train))), test.batch(np.arange(len(test)))
    net = NeuralNetClassifier(
        PlainModule,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        max_epochs=20,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        module__model="patch_mae",
        module__n_chans=1,
        module__n_times=896,
        module__n_outputs=2,
        module__sfreq=256.0,
        module__d_model=32,
        module__depth=1,
    )
    torch.manual_seed(0)
    net.fit(a.x.numpy(), a.target.long().numpy())
    # the card: half-second means and a linear rule reach 0.86; 293 trials, chance 0.5
    assert net.score(b.x.numpy(), b.target.long().numpy()) > 0.7
