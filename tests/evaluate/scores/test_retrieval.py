import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import DataError
from neuro.evaluate import Mean, Predicted, Split, Task, evaluate
from neuro.evaluate.scores.retrieval import ranked


def items(n_items=12, repeats=8, noise=0.3, seed=0):
    """Windows whose channel means hold the vector of the item shown, and a shared offset."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_items, 4)) + 5.0
    shown = np.tile(np.arange(n_items), repeats)
    x = np.repeat(vectors[shown].T, 20, axis=1)
    x = x + noise * rng.normal(size=(4, len(shown))).repeat(20, axis=1)
    eeg = Regular(x, 20, "uV", Axis(list("abcd"), "eeg"), "eeg")
    rec = Recording({"x": eeg}, dataset="items", subject="1", run="1")
    return windows(rec, stream="x", length_s=1, label=lambda r, a, b: vectors[shown[round(a)]])


def test_rank_counts_items_that_are_nearer_and_halves_ties():
    task = Task("retrieval", n_outputs=2, centred=False)
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    said = Predicted(np.array([[1.0, 0.1], [1.0, 0.1], [0.0, 0.0]]))
    # the third prediction points nowhere: all three items are equally near
    assert ranked(task, said, gallery, gallery).label.tolist() == [[1, 3], [2, 3], [2, 3]]


def test_the_same_item_twice_is_one_item():
    task = Task("retrieval", n_outputs=2, centred=False)
    target = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert ranked(task, Predicted(target), target, target).label.tolist() == [[1, 2]] * 3


def test_centring_takes_off_what_all_training_items_share():
    train = np.array([[10.0, 0.0]])
    target = np.array([[11.0, 0.0], [10.0, 1.0]])
    # seen from the mean it points away from the first item, seen from zero at it
    said = Predicted(np.array([[9.1, 0.45], [9.1, 0.45]]))
    plain = Task("retrieval", n_outputs=2, centred=False)
    centred = Task("retrieval", n_outputs=2)
    assert ranked(plain, said, target, train).label[:, 0].tolist() == [1, 2]
    assert ranked(centred, said, target, train).label[:, 0].tolist() == [2, 1]


def test_items_are_found_and_luck_is_luck():
    results = evaluate(
        {"mirror": (Mean(), Mirror())},
        items(),
        split=Split("time", test=0.5),
        task="retrieval",
        controls=(),
        seeds=1,
    )
    row = results.row("time_bins", "top1")
    assert row.value > 0.6
    assert row.chance == pytest.approx(1 / 12)
    assert results.row("constant", "top1").value == 0.0
    # 12 equally near items share the rank 6.5
    assert results.row("constant", "mean_rank").value == pytest.approx(0.5)
    assert results.row("constant", "top1").n_constant == 1
    assert results.row("mirror", "top1").value > 0.6


def test_shuffled_items_are_found_by_luck_only():
    results = evaluate(
        None, items(), split=Split("time", test=0.5), task="retrieval", seeds=1, shuffles=5,
        floors=["time_bins"], controls=("shuffled_labels",),
    )  # fmt: skip
    control = results.row("time_bins", "mean_rank", control="shuffled_labels")
    assert results.row("time_bins", "mean_rank").hi < 0.2 < control.lo
    assert control.value == pytest.approx(0.5, abs=0.15)


class Mirror:
    """The channel means are the item's vector."""

    def fit(self, x, y):
        return self

    def predict(self, x):
        return x


def test_a_second_run_reads_ranks_back(tmp_path):
    options = {"split": Split("time", test=0.5), "task": "retrieval", "controls": (), "seeds": 1}
    first = evaluate(None, items(), out=tmp_path, **options)
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").iterdir()}
    second = evaluate(None, items(), out=tmp_path, **options)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").iterdir()} == files
    assert first.rows == second.rows


def test_vectors_of_another_length_are_refused():
    with pytest.raises(DataError, match="4 entries"):
        evaluate(None, items(), split=Split("time", test=0.5), task=Task("retrieval", n_outputs=3))
