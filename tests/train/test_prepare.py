"""The hook `prepare(train, seed)`: what a model takes from its data before the first step."""

import numpy as np
import pytest
import torch
from train_toys import Autoencoder, Rows, same_bits, weights

import neuro
from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import LeakageError
from neuro.evaluate import Split, evaluate
from neuro.train import fit


class Centred(Autoencoder):
    """Remembers its calls and moves its bias to the mean of the data."""

    def __init__(self, **config):
        super().__init__(**config)
        self.calls = []

    def prepare(self, train, seed):
        self.calls.append((len(train), seed))
        with torch.no_grad():
            self.decoder.bias.copy_(train.batch(range(len(train))).mean(dim=0) + seed)


def go(model, out, steps=2, **options):
    return fit(model, Rows(), out=out, batch_size=8, device="cpu", steps=steps, **options)


def test_fresh_run_prepares_once_with_the_training_part_and_the_seed(tmp_path):
    model = Centred()
    go(model, tmp_path, seed=3)
    assert model.calls == [(50, 3)]


def test_what_was_prepared_is_where_training_starts(tmp_path):
    model, by_hand = Centred(), Autoencoder()
    with torch.no_grad():
        by_hand.decoder.bias.copy_(Rows().x.mean(dim=0))
    go(model, tmp_path / "hook")
    go(by_hand, tmp_path / "hand")
    assert same_bits(weights(model), weights(by_hand))


def test_resumed_run_does_not_prepare_again(tmp_path):
    options = {"schedule": "constant", "warmup": 0}
    go(Centred(), tmp_path / "cut", steps=2, **options)
    resumed, whole = Centred(), Centred()
    go(resumed, tmp_path / "cut", steps=4, **options)
    go(whole, tmp_path / "whole", steps=4, **options)
    assert resumed.calls == []
    assert same_bits(weights(resumed), weights(whole))


def test_model_that_was_trained_before_keeps_what_it_prepared(tmp_path):
    model = Centred()
    go(model, tmp_path / "first")
    go(model, tmp_path / "second")
    assert len(model.calls) == 1


def noise(subject="01", scale=20.0):
    x = scale * np.random.default_rng(0).normal(size=(2, 4000))
    return Recording({"eeg": Regular(x, 100, "uV", Axis(["C3", "C4"], "eeg"), "eeg")},
                     subject=subject, dataset="noise")  # fmt: skip


def mae(index):
    return neuro.models.create("patch_mae", "tiny", contract=index.contract())


def test_patch_mae_learns_the_scale_of_all_its_data_not_of_the_first_batch(tmp_path):
    index = windows(noise(), stream="eeg", length_s=1.0)
    model, by_hand = mae(index), mae(index)
    fit(model, index, out=tmp_path, steps=1, batch_size=2, device="cpu")
    by_hand.prepare(index, 0)
    assert torch.equal(model.scaling.scale, by_hand.scaling.scale)
    # 8,000 normal values: their spread is known to about 1 %
    assert model.scaling.scale.numpy() == pytest.approx([20.0, 20.0], rel=0.05)


def test_borrowed_weights_bring_their_scale_and_their_history(tmp_path):
    small, large = (windows(noise(scale=s), stream="eeg", length_s=1.0) for s in (10.0, 40.0))
    run = fit(mae(small), small, out=tmp_path / "a", steps=1, batch_size=4, device="cpu")
    model = mae(large).load_weights(run.last() / "model")
    fit(model, large, out=tmp_path / "b", steps=1, batch_size=4, device="cpu")
    assert model.scaling.scale.numpy() == pytest.approx([10.0, 10.0], rel=0.05)
    assert len(model.provenance["training"]) == 2


def test_evaluation_refuses_borrowed_weights_that_saw_the_tested_subject(tmp_path):
    recordings = [noise(s) for s in ("01", "02", "03")]
    seen = windows(recordings, stream="eeg", length_s=1.0, label=lambda r, a, b: float(a % 2))
    run = fit(mae(seen), seen, out=tmp_path, steps=1, batch_size=4, device="cpu")
    borrowed = mae(seen).load_weights(run.last() / "model")
    with pytest.raises(LeakageError, match="subject of '01'"):
        evaluate({"m": borrowed}, seen, split=Split("subject", test=["01"]), seeds=1, floors=[])
