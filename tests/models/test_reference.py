"""Weights published by others: read without running code, mapped, or refused with the reason."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

import neuro.models
from neuro.errors import ConfigError, DataUnavailableError, FileError
from neuro.io.safe import load_npz, read_tensors, sha256_of, write_tensors
from neuro.models import _registry
from neuro.models._reference import ReferenceSource, ReferenceWeights, renamed
from neuro.models.patch_mae import PatchMAE

ORACLES = Path(__file__).parents[2].parent / "shared" / "oracles"


class Toy(PatchMAE):
    """patch_mae, as if somebody had published its encoder under other names."""

    name = "toy"
    reference = ReferenceSource("https://example.org/toy", "MIT", ("TUEG",))

    @classmethod
    def reference_tensors(cls, found, given):
        width = found["stem.weight"].shape[0]
        found.pop("epoch_embedding", None)  # known, and of no use here
        table = {"stem.": "embed_patch.", "size.": "embed_size.", "blocks.": "encoder."}
        table |= {"channel_table.": "channel_table.", "head.": "head."}
        outputs = found["head.linear.weight"].shape[0] if "head.linear.weight" in found else 0
        fresh = ("decoder", "to_decoder", "to_patch", "mask_token", "scaling.")
        if not outputs and given.get("n_outputs"):
            fresh += ("head.",)
        config = {
            "d_model": width,
            "pool": "channel",
            "n_chans": 4,
            "n_times": 128,
            "patch_times": 32,
        }
        config |= {"n_heads": 2, "depth": 1, "mlp_ratio": 2.0, "n_outputs": outputs}
        config |= {"decoder_d_model": 8, "decoder_depth": 1, "decoder_n_heads": 2}
        return ReferenceWeights(config, renamed(found, table), fresh)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    known = _registry.model_class
    monkeypatch.setattr(_registry, "model_class", lambda n: Toy if n == "toy" else known(n))


def _published(**changes):
    """State of a toy under the names of its imaginary authors."""
    own = neuro.models.create(
        "toy", "tiny", n_chans=4, n_times=128, patch_times=32, n_outputs=3, mlp_ratio=2.0, seed=5
    ).state_dict()
    table = {"embed_patch.": "stem.", "embed_size.": "size.", "encoder.": "blocks."}
    kept = {k: v for k, v in own.items() if k.startswith((*table, "channel_table", "head."))}
    return own, renamed(kept, {**table, "": ""}) | changes


def _saved(path, content):
    torch.save(content, path)
    return path


# -- the file -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: OrderedDict(t),
        lambda t: {"state_dict": t, "epoch": 3, "optimizer": {"state": {0: torch.ones(3)}}},
        lambda t: {"model": t, "args": {"lr": 0.1, "names": ["a"]}},
        lambda t: {"model": {"state_dict": t}},
        lambda t: {f"module.{k}": v for k, v in t.items()},
        lambda t: {"state_dict": {f"model.module.{k}": v for k, v in t.items()}},
        lambda t: {k: nn.Parameter(v) for k, v in t.items()},
        lambda t: {k: v.half().float() if k == "" else v for k, v in t.items()},
    ],
    ids="plain ordered lightning dict nested parallel wrapped parameters copies".split(),
)
def test_every_usual_packing_gives_the_same_network(wrap, tmp_path):
    own, published = _published()
    network = neuro.models.from_reference("toy", _saved(tmp_path / "w.pth", wrap(published)))
    state = network.state_dict()
    for key in ("embed_patch.weight", "head.linear.bias", "channel_table.weight"):
        assert torch.equal(state[key], own[key])
    assert not network.training


def test_safetensors_and_torch_files_give_the_same_network(tmp_path):
    own, published = _published()
    write_tensors(tmp_path / "w.safetensors", published)
    network = neuro.models.from_reference("toy", tmp_path / "w.safetensors")
    assert torch.equal(network.state_dict()["embed_patch.weight"], own["embed_patch.weight"])


def test_parts_in_several_files_are_told_apart(tmp_path, monkeypatch):
    seen = {}

    def look(found, given):
        seen.update(found)
        raise KeyError("enough")

    monkeypatch.setattr(Toy, "reference_tensors", look)
    a = _saved(tmp_path / "a.pt", {"module.w": torch.zeros(1)})
    b = _saved(tmp_path / "b.pt", {"w": torch.ones(1)})
    with pytest.raises(FileError, match=r"'a.pt and b.pt' holds no tensor 'enough'"):
        neuro.models.from_reference("toy", {"tokenizer": a, "encoder": b})
    assert {k: v.item() for k, v in seen.items()} == {"tokenizer.w": 0.0, "encoder.w": 1.0}


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataUnavailableError, match=r"w\.pth"):
        neuro.models.from_reference("toy", tmp_path / "w.pth")


# -- the network ------------------------------------------------------------------


def test_half_precision_weights_come_in_the_networks_own(tmp_path):
    own, published = _published()
    half = {k: v.half() if v.is_floating_point() else v for k, v in published.items()}
    network = neuro.models.from_reference("toy", _saved(tmp_path / "w.pt", half))
    weight = network.state_dict()["embed_patch.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, own["embed_patch.weight"].half().float())


def test_all_differences_are_listed_at_once(tmp_path):
    _, published = _published(new_layer=torch.ones(2))
    published["head.linear.weight"] = torch.ones(3, 7)
    del published["size.bias"]
    with pytest.raises(FileError, match="3 differences") as told:
        neuro.models.from_reference("toy", _saved(tmp_path / "w.pt", published))
    for part in ("embed_size.bias is missing", "new_layer is not part", "head.linear.weight is (3"):
        assert part in str(told.value)


def test_a_tensor_the_map_needs_and_lacks_is_named(tmp_path):
    _, published = _published()
    del published["stem.weight"]
    with pytest.raises(FileError, match=r"'w.pt' holds no tensor 'stem.weight'"):
        neuro.models.from_reference("toy", _saved(tmp_path / "w.pt", published))


def test_what_the_user_says_wins_and_a_new_head_is_drawn_by_the_seed(tmp_path):
    _, published = _published()
    bare = {k: v for k, v in published.items() if not k.startswith("head.")}
    path = _saved(tmp_path / "w.pt", bare)
    a, b, c = (
        neuro.models.from_reference("toy", path, n_outputs=5, sfreq=64.0, seed=s) for s in (1, 1, 2)
    )
    assert (a.config.n_outputs, a.config.sfreq) == (5, 64.0)
    assert torch.equal(a.head.linear.weight, b.head.linear.weight)
    assert not torch.equal(a.head.linear.weight, c.head.linear.weight)


def test_where_weights_come_from_goes_with_every_copy(tmp_path):
    path = _saved(tmp_path / "w.pt", _published()[1])
    network = neuro.models.from_reference("toy", path)
    told = network.provenance["reference"]
    assert told["licence"] == "MIT"
    assert told["corpora"] == ["TUEG"]
    assert told["files"] == [{"part": "", "name": "w.pt", "sha256": sha256_of(path)}]
    again = neuro.models.load(network.save(tmp_path / "model"))
    assert again.provenance == network.provenance


def test_a_system_without_published_weights_says_so(tmp_path):
    with pytest.raises(ConfigError, match="'patch_mae' cannot be built from published weights"):
        neuro.models.from_reference("patch_mae", tmp_path / "w.pt")


def test_the_longest_beginning_counts():
    found = {"a.b.w": 1, "a.w": 2, "c": 3}
    assert renamed(found, {"a.": "x.", "a.b.": "y."}) == {"y.w": 1, "x.w": 2}
    assert found == {"c": 3}


# -- the systems' own maps -----------------------------------------------------------


def test_no_weights_are_shipped():
    shipped = [p for p in Path(neuro.models.__file__).parent.rglob("*") if p.is_file()]
    assert {p.suffix for p in shipped} <= {".py", ".md", ".pyc", ".nbi", ".nbc"}


@pytest.fixture
def oracle():
    """Random weights under an original's names, and what the original computed with them."""

    def open_(name):
        folder = ORACLES / name
        if not folder.is_dir():
            pytest.skip(f"no frozen numbers of {name}'s original")
        return read_tensors(folder / "weights.safetensors")[0], load_npz(folder / "io.npz")

    return open_


def test_tfm_tokenizer_opens_its_authors_two_files(oracle, tmp_path):
    weights, arrays = oracle("tfm-tokenizer")
    parts = {}
    for part in ("tokenizer", "encoder"):
        named = {k.partition(".")[2]: v for k, v in weights.items() if k.startswith(f"{part}.")}
        content = {"state_dict": {f"model.{k}": v for k, v in named.items()}, "epoch": 99}
        parts[part] = _saved(tmp_path / f"{part}.pth", content)
    network = neuro.models.from_reference("tfm_tokenizer", parts)
    x = torch.from_numpy(arrays["x_10s"])
    assert torch.equal(network.tokenize(x).ids, torch.from_numpy(arrays["tok_ids_10s"]))
    with torch.no_grad():
        said = network(x).prediction
    # float32 against float32, two short stacks: rounding only
    assert torch.allclose(said, torch.from_numpy(arrays["enc_logits_10s"]), atol=1e-5)
    alone = neuro.models.from_reference(
        "tfm_tokenizer", parts["tokenizer"], n_chans=6, n_times=1000
    )
    ids = alone.tokenize(torch.from_numpy(arrays["x"])).ids
    assert torch.equal(ids, torch.from_numpy(arrays["tok_ids"]))
    assert network.provenance["reference"]["licence"] == "MIT"


def test_femba_opens_its_authors_classifier_and_names_the_licence(oracle, tmp_path):
    weights, arrays = oracle("femba")
    left_out = ("classifier_m", "decoder.")
    named = {f"model.{k}": v for k, v in weights.items() if not k.startswith(left_out)}
    path = _saved(tmp_path / "femba.ckpt", {"state_dict": named})
    network = neuro.models.from_reference("femba", path)
    with torch.no_grad():
        said = network(torch.from_numpy(arrays["x_uv"])).prediction
    # float32 through two blocks: the oracle's own tolerance
    assert torch.allclose(said, torch.from_numpy(arrays["logits_bc"]), atol=1e-5)
    told = neuro.models.load(network.save(tmp_path / "m")).provenance["reference"]
    assert told["licence"].startswith("CC BY-ND 4.0")
    assert told["corpora"] == ["TUEG"]


def test_another_systems_file_is_refused_with_what_it_lacks(oracle, tmp_path):
    path = _saved(tmp_path / "w.pt", dict(oracle("femba")[0]))
    with pytest.raises(FileError, match=r"'w.pt' holds no tensor '\S*freq_patch_embedding"):
        neuro.models.from_reference("tfm_tokenizer", path)
