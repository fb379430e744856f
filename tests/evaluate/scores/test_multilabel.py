from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from neuro.errors import DataError
from neuro.evaluate import FineTune, Mean, Split, Task, evaluate

BLOCKS = Split("block", n=4)
TASK = Task("multilabel", classes=("shift", "coin"))


@pytest.fixture
def labelled(trials):
    """Label 0 is the known effect, label 1 is a coin."""
    w = trials(2.0, n=80)
    coin = np.random.default_rng(0).integers(0, 2, len(w))
    return replace(w, target=np.stack([w.target, coin], axis=1), classes=None)


def test_floors_find_the_label_that_is_there(labelled):
    results = evaluate(None, labelled, split=BLOCKS, task=TASK, controls=(), seeds=1)
    row = results.row("time_bins")
    # one label nearly always right, the other at chance
    assert 0.65 < row.value < 0.85
    assert row.chance == 0.5
    assert row.lo > 0.5
    assert results.row("constant").value == pytest.approx(0.5, abs=0.05)
    assert results.row("time_bins", "label_auroc").value > 0.7


def test_estimators_of_scikit_learn_give_their_scores(labelled):
    model = (Mean(), RandomForestClassifier(20, random_state=0))
    results = evaluate(
        {"rf": model}, labelled, split=BLOCKS, task=TASK, controls=(), seeds=1, floors=["constant"]
    )
    assert results.row("rf", "label_auroc").value > 0.65


def test_network_is_fine_tuned_on_all_labels(labelled):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, batch):
            return self.layer(batch.x[:, :, 25:].mean(2))

    how = FineTune(steps=120, lr=3e-2, device="cpu")
    results = evaluate(
        {"net": Net()}, labelled, split=Split("block", test=0.25), task=TASK, controls=(),
        seeds=1, floors=["constant"], probe=how,
    )  # fmt: skip
    assert results.row("net", "label_balanced_accuracy").value > 0.6


def test_label_that_never_varies_in_training(labelled):
    target = labelled.target.copy()
    target[:, 1] = 0
    with pytest.raises(DataError, match="Label 'coin' is the same in every training window"):
        evaluate(None, replace(labelled, target=target), split=BLOCKS, task=TASK)


def test_values_that_are_no_labels(labelled):
    with pytest.raises(DataError, match="0 or 1"):
        evaluate(None, replace(labelled, target=labelled.target * 2), split=BLOCKS, task=TASK)


def test_names_are_made_where_there_are_none(labelled):
    assert Task.of(labelled, "multilabel").classes == ("label 0", "label 1")
