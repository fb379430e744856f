"""Controls that a reader asks for, as they come out of a run."""

import numpy as np
import pytest

import neuro.models
from neuro.data import Axis, Events, Recording, Regular, windows
from neuro.errors import ConfigError
from neuro.evaluate import SelfPretrained, Split, evaluate
from neuro.evaluate.contenders.controls import controls_of, pretrained, without_global_signal
from neuro.io.safe import read_tensors, write_tensors

torch = pytest.importorskip("torch")


def shared_shift(n=200, own=0.0, together=2.0, modality="eeg"):
    """In class "b" all channels rise together, and the first one by `own` more."""
    rng = np.random.default_rng(0)
    kind = np.array(["a", "b"])[rng.permutation(np.arange(n) % 2)]
    x = rng.normal(size=(4, 20 * n)) + together * np.repeat(kind == "b", 20)
    x[0] += own * np.repeat(kind == "b", 20)
    signal = Regular(x, 20, "uV", Axis(list("abcd"), modality), modality)
    events = Events.make(np.arange(n) * 1.0, kind, duration_s=1.0, block=np.arange(n))
    rec = Recording({"x": signal}, events, dataset="d", subject="1", run="1")
    return windows(rec, stream="x", align="*", length_s=1, label="type")


@pytest.mark.parametrize(("own", "left"), [(0.0, False), (2.0, True)])
def test_a_score_that_is_all_global_signal_is_found_out(own, left):
    results = evaluate(
        None, shared_shift(own=own), split=Split("block", n=4), seeds=1, floors=["mean"],
        controls=("global_signal_removed",),
    )  # fmt: skip
    assert results.row("mean").value > 0.95
    row = results.row("mean", control="global_signal_removed")
    assert (row.value > 0.9) if left else (row.lo < 0.5 < row.hi)


def test_removed_signal_is_the_mean_of_what_is_there():
    from dataclasses import replace

    batch = shared_shift().batch([0, 1])
    mask = batch.channel_mask.clone()
    mask[0, 3] = False
    x = torch.where(mask[:, :, None], batch.x, torch.zeros(()))
    new = without_global_signal(replace(batch, x=x, channel_mask=mask)).x
    torch.testing.assert_close(new[0, :3], x[0, :3] - x[0, :3].mean(0))
    assert (new[0, 3] == 0).all()
    # what is removed is gone
    torch.testing.assert_close(new[1].mean(0), torch.zeros(20), atol=1e-6, rtol=0)


def test_counts_have_no_global_signal():
    counts = np.random.default_rng(0).poisson(2, (4, 800))
    axis = Axis(list("abcd"), "unit")
    binned = Regular(counts, 20, "counts", axis, "spikes")
    events = Events.make(np.arange(40.0), np.tile(["a", "b"], 20), block=np.arange(40))
    w = windows(Recording({"x": binned}, events), stream="x", align="*", length_s=1, label="type")
    with pytest.raises(ConfigError, match="negative"):
        evaluate(None, w, split=Split("block", n=4), controls="global_signal_removed")


def masked_autoencoder(w):
    import neuro.models as models

    return models.create("patch_mae", preset="tiny", contract=w.contract(), n_times=w.n_times)


def test_self_pretrained_network_learned_from_the_training_part_only(trials):
    w = trials(subjects=4, n=10)
    model = masked_autoencoder(w)
    train, _ = w.split("subject", test=["03"])
    new = pretrained(model, train, SelfPretrained(steps=3, device="cpu"), seed=1)
    assert not model.provenance
    from neuro.evaluate.overlap import training_overlap

    assert training_overlap(new, w, np.arange(40))["subject"] == ["00", "01", "02"]
    again = pretrained(model, train, SelfPretrained(steps=3, device="cpu"), seed=1)
    other = pretrained(model, train, SelfPretrained(steps=3, device="cpu"), seed=2)
    key = "embed_patch.weight"
    assert torch.equal(new.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(new.state_dict()[key], other.state_dict()[key])


def test_self_pretrained_stands_beside_its_model(trials):
    w = trials(subjects=3, n=10)
    results = evaluate(
        {"mae": masked_autoencoder(w)}, w, split=Split("subject", n=3), seeds=2,
        floors=["constant"], controls=[SelfPretrained(steps=2, device="cpu"), "random_weights"],
    )  # fmt: skip
    row = results.row("mae", control="self_pretrained")
    assert (row.n_folds, row.n_seeds) == (3, 1)
    roles = {c.role for c in results.comparisons}
    assert {"self pretrained", "random weights"} <= roles
    assert results.meta["options"]["controls"] == ["self_pretrained", "random_weights"]


class Weigh(torch.nn.Module):
    """One number a window: a weighted mean of its channels. Its loss wants channel 0 alone."""

    def __init__(self, picked, n_chans=64):
        super().__init__()
        self.weigh = torch.nn.Linear(n_chans, 1, bias=False)
        with torch.no_grad():
            self.weigh.weight.copy_(torch.eye(n_chans)[picked : picked + 1])

    def forward(self, batch):
        return self.weigh(batch.x.mean(2))

    def loss(self, batch, generator):
        wanted = torch.eye(self.weigh.in_features)[:1]
        return {"loss": ((self.weigh.weight - wanted) ** 2).sum()}

    def save(self, folder):
        folder.mkdir()
        write_tensors(folder / "weights.safetensors", dict(self.state_dict()), {})

    def load_weights(self, folder):
        self.load_state_dict(read_tensors(folder / "weights.safetensors")[0])


def test_controls_are_other_networks_than_the_one_that_was_given(trials):
    w = trials(n=200, n_chans=64)
    results = evaluate(
        {"right": Weigh(0), "wrong": Weigh(5)}, w, split=Split("block", n=2), seeds=3,
        floors=["constant"],
        controls=["random_weights", SelfPretrained(steps=150, lr=0.05, device="cpu")],
    )  # fmt: skip

    def score(name, control=""):
        return results.row(name, control=control).value

    # the first channel alone tells the classes by 3.5 standard deviations, a random
    # mixture of 64 by an eighth of that
    assert score("right") > 0.9
    assert score("wrong") < 0.65
    assert score("right", "random_weights") < 0.75
    assert score("wrong", "self_pretrained") > 0.9


def test_code_book_of_the_control_is_taken_from_each_fold(trials, monkeypatch):
    w = trials(n=24)
    model = neuro.models.create("tfm_tokenizer", "tiny", contract=w.contract(), frame_times=50)
    given = []
    prepare = type(model).prepare

    def spy(self, train, seed=0):
        given.append((len(train), seed))
        prepare(self, train, seed)

    monkeypatch.setattr(type(model), "prepare", spy)
    evaluate({"tfm": model}, w, split=Split("block", n=2), seeds=2, floors=["constant"],
             controls="random_weights")  # fmt: skip
    assert sorted(given) == [(12, 0), (12, 0), (12, 1), (12, 1)]


def test_network_without_a_loss_cannot_be_pretrained(trials):
    w = trials()

    class Net(torch.nn.Module):
        def forward(self, batch):
            return batch.x.mean(2)

    with pytest.raises(ConfigError, match=r"needs a network with loss"):
        evaluate({"net": Net()}, w, split=Split("block", n=2), controls="self_pretrained")


def test_names_and_settings():
    assert controls_of(None) == {}
    assert controls_of("random_weights") == {"random_weights": None}
    own = SelfPretrained(steps=7)
    assert controls_of([own])["self_pretrained"] is own
    assert controls_of(("self_pretrained",))["self_pretrained"] == SelfPretrained()
    with pytest.raises(ConfigError, match="at least 1"):
        SelfPretrained(steps=0)
