import dataclasses

import numpy as np
import pytest

import neuro
from neuro.errors import ConfigError, ContractError, FileError
from neuro.stream import (
    Array,
    Chain,
    Decoder,
    Extractor,
    Filter,
    LinearRule,
    Live,
    Pick,
    Plan,
    Rate,
    Selection,
    StreamInfo,
    load_bundle,
    save_bundle,
)  # fmt: skip
from neuro.stream.networks import Embedding, head_rule

NAMES = ("C3", "Cz", "C4")
PLAN = Plan(0, 2, 1.0, 0.5)


def network(**changes):
    told = {"n_chans": 2, "n_times": 100, "sfreq": 100, "ch_names": ("C3", "C4")}
    return neuro.models.create("patch_mae", preset="tiny", seed=0, **(told | changes))


def extractor(model, output="embedding"):
    steps = [Pick(("C3", "C4")), Filter(2, 40), Rate(100)]
    return Extractor(Chain(NAMES, 250, steps), PLAN, Embedding(model, output))


def signal():
    return 20 * np.random.default_rng(0).standard_normal((3, 2000))


def decoder(model):
    own = extractor(model)
    n = len(own.table.columns)
    weights = np.random.default_rng(0).standard_normal((1, n))
    return Decoder(own, Selection(), LinearRule(("a", "b"), weights, np.zeros(1)))


@pytest.mark.parametrize("chunk", [1, 17, 500])
def test_embeddings_live_are_the_offline_ones(chunk):
    model, cues = network(), [(100, "a"), (900, "b")]
    offline = extractor(model)
    for cue in cues:
        offline.mark(*cue)
    whole = offline.push(signal())
    info = StreamInfo(NAMES, 250, "uV")
    found = Live(Array(signal(), info, cues, chunk=chunk), decoder(model)).run()
    assert len(found) == len(whole) == 2
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_array_equal(a.features, b.values.ravel())


def test_a_bundle_carries_its_network(tmp_path):
    one = decoder(network())
    folder = save_bundle(one, tmp_path / "b")
    two = load_bundle(folder)
    for d in (one, two):
        d.mark(100, "a")
    first, second = one.push(signal())[0], two.push(signal())[0]
    np.testing.assert_array_equal(first.features, second.features)
    weights = next(folder.rglob("networks/*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(FileError, match="was changed after it was saved"):
        load_bundle(folder)


def test_a_head_decides_itself():
    model = network(n_outputs=2)
    own = extractor(model, "prediction")
    whole = Decoder(own, Selection(), head_rule(["a", "b"]))
    whole.mark(0, "a")
    found = whole.push(signal())[0]
    logits = found.features
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(found.probabilities.values()), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("chain", "plan", "says"),
    [
        (Chain(NAMES, 250, [Pick(("C3", "C4"))]), PLAN, r"add Rate\(100\)"),
        (Chain(("C4", "C3"), 100), PLAN, "in this order"),
        (Chain(("C3", "C4"), 100), Plan(0, 2, 0.5), "set length_s=1"),
    ],
)
def test_a_chain_that_does_not_fit_the_contract_says_what_to_add(chain, plan, says):
    model = network()
    model.contract = dataclasses.replace(model.contract, n_times=100)
    with pytest.raises(ContractError, match=says):
        Extractor(chain, plan, Embedding(model))


def test_what_needs_the_whole_recording_is_refused():
    model = network()
    model.contract = dataclasses.replace(model.contract, scaling="zscore")
    with pytest.raises(ContractError, match="which a live stream does not have"):
        extractor(model)
    with pytest.raises(ConfigError, match="has no head"):
        Embedding(network(), "prediction")
    with pytest.raises(ConfigError, match="output='tokens'"):
        Embedding(network(), "tokens")
