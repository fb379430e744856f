import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import neuro.models
from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import ConfigError, DataError
from neuro.evaluate.measures import measure


def index(n_subjects=3, label=True):
    recs = []
    for s in range(n_subjects):
        rng = np.random.default_rng(s)
        x = 20 * rng.normal(size=(2, 3200)) + 40 * s
        eeg = Regular(x, 50, "uV", Axis(["C3", "C4"], "eeg"), "eeg")
        recs.append(Recording({"eeg": eeg}, subject=f"{s:02d}", run="1", dataset="d", age=20 + s))

    def kind(recording, start_s, stop_s):
        return "ab"[int(start_s) % 2]

    return windows(recs, stream="eeg", length_s=1.0, label=kind if label else None)


def test_card_of_one_of_our_networks():
    w = index()
    model = neuro.models.create("patch_mae", "tiny", contract=w.contract())
    model.prepare(w)
    found = measure(model, w, seed=1)
    assert found.model == "patch_mae"
    assert found.n_parameters == model.n_parameters()
    assert (found.n_windows, found.d_embedding) == (192, model.config.d_embedding)
    assert found.sparsity is not None
    assert found.sparsity.increase <= 0.01
    assert found.information is not None
    # the label is the parity of the second: nothing in the signal tells it
    assert found.information.value == pytest.approx(found.information.null, abs=0.1)
    shares = {s.name: s for s in found.variance}
    assert set(shares) == {"target", "subject", "amplitude", "age"}
    # people differ by 40 uV each, in an embedding of the untouched signal
    assert shares["subject"].share > 0.3
    assert shares["subject"].share > 10 * shares["target"].share
    assert shares["subject"].decoding > 0.9
    assert found.notes == ()
    json.dumps(found.to_json(), allow_nan=False)
    assert measure(model, w, seed=1) == found


class Plain(nn.Module):
    """Any network of the user's: a batch in, a tensor out, no loss."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(50, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, batch):
        return self.body(batch.x).mean(1)


def test_card_of_a_plain_network_without_a_loss_says_so():
    torch.manual_seed(0)
    w = index(label=False)
    found = measure(Plain(), w, name="mine")
    assert found.sparsity is None
    assert "pass loss=" in found.notes[0]
    assert found.information is None
    assert {s.name for s in found.variance} == {"subject", "amplitude", "age"}
    with_loss = measure(Plain(), w, loss=lambda m, b: m(b).square().mean())
    assert with_loss.sparsity is not None
    assert with_loss.sparsity.layers[0].name == "body.2"


def test_own_features_and_fewer_windows():
    torch.manual_seed(0)
    w = index()
    found = measure(Plain(), w, features={"noise": np.random.default_rng(0).normal(size=len(w))},
                    max_windows=60)  # fmt: skip
    shares = {s.name: s for s in found.variance}
    assert shares["noise"].n == found.n_windows == 60
    assert shares["noise"].share < 0.2


def test_effective_rank_of_a_known_embedding():
    class Two(nn.Module):
        def forward(self, batch):
            rows = batch.index.double()
            angle = rows * 2 * math.pi * 0.31
            return torch.stack([angle.cos(), angle.sin(), rows * 0], 1).float()

    found = measure(Two(), index())
    assert found.effective_rank == pytest.approx(2.0, abs=0.1)


def test_what_is_no_network_or_too_little_is_refused():
    w = index()
    with pytest.raises(ConfigError, match="torch modules"):
        measure(object(), w)
    with pytest.raises(DataError, match="10 windows"):
        measure(Plain(), w.select(np.arange(10)))
