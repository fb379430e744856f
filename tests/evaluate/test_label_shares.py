import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import ConfigError
from neuro.evaluate import Results, Split, evaluate, label_curve
from neuro.evaluate.label_shares import labelled_part


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), a=st.floats(0.001, 1), b=st.floats(0.001, 1))
def test_smaller_parts_lie_inside_larger_ones_and_units_stay_whole(seed, a, b):
    rng = np.random.default_rng(seed)
    units = rng.integers(0, 15, 60)
    y = (units % 3 == 0).astype(np.int64)
    small, large = (
        set(labelled_part(np.arange(60), y, units, share, seed).tolist())
        for share in sorted((a, b))
    )
    assert small <= large
    for unit in np.unique(units):
        mine = set(np.flatnonzero(units == unit).tolist())
        assert not mine & large or mine <= large


def test_every_class_keeps_at_least_one_unit():
    y = np.array([0] * 95 + [1] * 5)
    part = labelled_part(np.arange(100), y, np.arange(100), 0.01)
    assert np.bincount(y[part]).tolist() == [1, 1]


def test_shares_that_are_none():
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="share"):
            labelled_part(np.arange(4), np.zeros(4, int), np.arange(4), share)


def test_a_curve_rises_where_labels_help(trials):
    results = label_curve(
        None, trials(1.0, n=200), shares=(0.02, 0.2, 1.0), split=Split("block", test=0.5, seed=1),
        seeds=3, controls=(), floors=["time_bins", "constant"],
    )  # fmt: skip
    values = [r.row("time_bins").value for r in results]
    assert values[0] < values[1] < values[2]
    assert values[2] > 0.9
    assert [r.meta.get("labels", {}).get("share") for r in results] == [0.02, 0.2, None]
    assert "only 2 % of the training units' labels were used" in results[0].meta["cautions"]
    # one trial of each class; a tenth of 100 each
    assert [r.meta["labels"]["windows"] for r in results[:2]] == [[2], [20]]
    assert [r.row("time_bins").n_seeds for r in results] == [3, 3, 1]


def test_test_parts_stay_the_same_and_files_are_kept_apart(trials, tmp_path):
    results = label_curve(
        None, trials(1.0), shares=(0.5, 1.0), split=Split("block", n=4), seeds=1, controls=(),
        floors=["time_bins"], out=tmp_path,
    )  # fmt: skip
    assert [r.row("time_bins").n_test for r in results] == [40, 40]
    folders = {p.name for p in tmp_path.iterdir() if p.is_dir()}
    assert folders == {"labels_0.5", "labels_1"}
    # the table of all labels is where every evaluation writes its own
    whole = Results.from_json(tmp_path / "results.json")
    assert whole.row("time_bins").value == results[1].row("time_bins").value
    assert {c["share"] for c in whole.meta["label_curve"]} == {0.5, 1.0}


def test_pretraining_in_a_fold_sees_all_windows(trials):
    torch = pytest.importorskip("torch")
    seen = []

    class Net(torch.nn.Module):
        def forward(self, batch):
            return batch.x.mean(2)

    def trained(train):
        seen.append(len(train))
        return Net()

    evaluate(
        {"net": trained}, trials(n=40), split=Split("block", n=4), labels=0.1, seeds=2,
        controls=(), floors=["constant"],
    )  # fmt: skip
    assert seen == [30] * 4


def test_unusable_share(trials):
    with pytest.raises(ConfigError, match="labels=0"):
        evaluate(None, trials(), split=Split("block", n=4), labels=0)
