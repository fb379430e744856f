import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from neuro.errors import ConfigError, DataError, LeakageError
from neuro.evaluate import Flat, Mean, Results, Split, Task, evaluate

torch = pytest.importorskip("torch")

BLOCKS = Split("block", n=4)
FEW = {"seeds": 2, "shuffles": 2}


def table(results):
    """Everything a reader sees, without what changes from run to run."""
    out = results.to_json()
    return out["rows"], out["comparisons"], out["confusion"]


class Net(torch.nn.Module):
    """Mean and spread of every channel, through a layer."""

    def __init__(self, n_chans=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = torch.nn.Linear(2 * n_chans, 4)

    def forward(self, batch):
        x = batch.x
        return self.layer(torch.cat([x.mean(2), x.std(2)], 1))


def test_floor_finds_a_known_effect(trials):
    row = evaluate(None, trials(1.0), split=BLOCKS, **FEW).row("time_bins")
    assert row.value >= 0.9
    assert row.lo > row.chance == 0.5
    assert (row.unit, row.n_units, row.n_test, row.n_folds) == ("block", 40, 40, 4)


def test_null_data_are_at_chance_and_the_interval_says_so(trials):
    covered = 0
    for seed in range(12):
        w = trials(0.0, n=60, seed=seed)
        row = evaluate(None, w, split=Split("block", n=3), controls=(), floors=["time_bins"]).row(
            "time_bins"
        )
        covered += row.lo <= 0.5 <= row.hi
    # 95 % aimed at: fewer than 9 of 12 has a probability of 0.0002
    assert covered >= 9


def test_shuffled_labels_lose_the_effect(trials):
    results = evaluate({"lr": GaussianNB()}, trials(2.0, n=80), split=BLOCKS, **FEW)
    assert results.row("lr").value > 0.7
    control = results.row("lr", control="shuffled_labels")
    assert control.lo < 0.5 < control.hi
    assert control.n_seeds == 2


def test_every_kind_of_model(trials):
    def trained(train):
        assert len(train) == 30
        return Net(seed=len(train))

    models = {
        "estimator": GaussianNB(),
        "pair": (Mean(), LogisticRegression()),
        "network": Net(),
        "per fold": trained,
    }
    results = evaluate(models, trials(2.0), split=BLOCKS, metrics=["accuracy"], **FEW)
    kinds = {(r.model, r.control) for r in results.rows if r.kind != "floor"}
    assert kinds == {
        ("estimator", ""),
        ("pair", ""),
        ("network", ""),
        ("per fold", ""),
        ("network", "random_weights"),
        ("per fold", "random_weights"),
        *((name, "shuffled_labels") for name in models),
    }
    assert results.row("pair", "accuracy").value > 0.8
    assert results.row("network", "accuracy").n_seeds == 2
    assert results.row("estimator", "accuracy").n_seeds == 1


def test_a_network_trained_per_fold_is_trained_once_a_fold(trials):
    calls = []

    def trained(train):
        calls.append(len(train))
        return Net()

    evaluate({"net": trained}, trials(), split=BLOCKS, controls=(), floors=["constant"], seeds=3)
    assert calls == [30] * 4


def test_a_network_is_not_changed_and_put_to_use_in_eval_mode(trials):
    net = Net().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    evaluate({"net": net}, trials(), split=BLOCKS, **FEW)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_comparisons_answer_against_whom(trials):
    results = evaluate({"net": Net()}, trials(2.0), split=BLOCKS, **FEW)
    roles = {c.role: c for c in results.comparisons}
    assert set(roles) == {"best floor", "random weights", "shuffled labels", "chance"}
    assert roles["best floor"].against == results.best_floor().model
    gain = results.row("net").value - results.best_floor().value
    assert roles["best floor"].gain == pytest.approx(gain)
    assert roles["chance"].verdict == "above"


def test_two_jobs_give_the_identical_table(trials):
    w, models = trials(0.7), {"net": Net(), "nb": GaussianNB()}
    one = evaluate(models, w, split=BLOCKS, n_jobs=1, **FEW)
    two = evaluate(models, w, split=BLOCKS, n_jobs=2, **FEW)
    assert table(one) == table(two)


def test_a_second_run_reuses_every_fold(trials, tmp_path):
    w, calls = trials(0.7), []

    def features(batch):
        calls.append(len(batch))
        return Mean()(batch)

    models = {"m": (features, GaussianNB())}
    first = evaluate(models, w, split=BLOCKS, out=tmp_path, **FEW)
    n, files = len(calls), {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").iterdir()}
    second = evaluate(models, w, split=BLOCKS, out=tmp_path, **FEW)
    assert len(calls) == n > 0
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").iterdir()} == files
    assert table(first) == table(second)


def test_other_data_are_computed_anew(trials, tmp_path):
    evaluate(None, trials(0.5), split=BLOCKS, out=tmp_path, controls=())
    n = len(list((tmp_path / "folds").iterdir()))
    evaluate(None, trials(0.6), split=BLOCKS, out=tmp_path, controls=())
    assert len(list((tmp_path / "folds").iterdir())) == 2 * n


def test_a_damaged_fold_is_computed_anew(trials, tmp_path):
    w = trials(0.5)
    first = evaluate(None, w, split=BLOCKS, out=tmp_path, controls=())
    files = sorted((tmp_path / "folds").iterdir())
    files[0].write_text(files[0].read_text()[:-20])
    changed = json.loads(files[1].read_text())
    changed["prediction"] = changed["prediction"][1:]
    files[1].write_text(json.dumps(changed))
    assert table(evaluate(None, w, split=BLOCKS, out=tmp_path, controls=())) == table(first)


@pytest.mark.slow
def test_killed_midway_and_started_again_gives_the_identical_table(trials, child_script, tmp_path):
    options = {
        "split": Split("block", n="leave-one-out"),
        "controls": ("shuffled_labels",),
        "shuffles": 2,
    }
    child = subprocess.Popen([sys.executable, str(child_script), str(tmp_path / "out")])
    folds, deadline = tmp_path / "out" / "folds", time.monotonic() + 120
    while len(list(folds.glob("*.json")) if folds.is_dir() else []) < 20:
        assert child.poll() is None, "the child ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out" / "results.json").exists()
    kept = {p: p.stat().st_mtime_ns for p in folds.glob("*.json")}
    resumed = evaluate(None, trials(), out=tmp_path / "out", **options)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert table(resumed) == table(evaluate(None, trials(), **options))


def test_what_stands_in_the_folder(trials, tmp_path):
    results = evaluate(None, trials(), split=BLOCKS, out=tmp_path, **FEW)
    assert {p.name for p in tmp_path.iterdir()} == {
        "folds",
        "results.json",
        "results.csv",
        "report.html",
    }
    assert Results.from_json(tmp_path / "results.json") == results


def test_leaky_split_is_refused_and_stamped_when_forced(trials, tmp_path):
    w = trials(subjects=2)
    with pytest.raises(LeakageError):
        evaluate(None, w, split=Split("random", n=3), controls=())
    forced = evaluate(
        None, w, split=Split("random", n=3), controls=(), allow_leakage=True, out=tmp_path
    )
    assert all(r.leaky for r in forced.rows)
    assert "LEAKY" in str(forced)
    assert "Leaky split" in (tmp_path / "report.html").read_text()


def test_simulated_data_sets_mark_themselves(trials):
    from dataclasses import replace

    w = trials()
    recs = tuple(r.replace(dataset="synthetic_eeg") for r in w.recordings)
    results = evaluate(None, replace(w, recordings=recs), split=BLOCKS, controls=())
    assert all(r.simulated for r in results.rows)


def test_a_class_that_training_never_sees(trials):
    w = trials()
    a = np.flatnonzero(w.target == 0)
    with pytest.raises(DataError, match=r"'b' never occurs in the training part of fold 0"):
        evaluate(None, w, split=(a[:10], np.arange(len(w))[~np.isin(np.arange(len(w)), a[:10])]))


def test_one_class_in_training(trials):
    w = trials()
    a = np.flatnonzero(w.target == 0)
    with pytest.raises(DataError, match="only class"):
        evaluate(None, w, split=(a[:10], a[10:]))


def test_asked_for_auroc_where_it_is_not_defined(trials):
    split = Split("block", n="leave-one-out")
    with pytest.raises(DataError, match="auroc is not defined"):
        evaluate(None, trials(), split=split, metrics=["auroc"], controls=())
    names = {r.metric for r in evaluate(None, trials(), split=split, controls=()).rows}
    assert names == {"balanced_accuracy", "accuracy"}


def test_regression(ramp):
    results = evaluate(None, ramp, split=Split("time", test=0.5, gap_s=1), controls=())
    assert results.row("time_bins", "r").value > 0.9
    assert results.row("time_bins", "r").unit == "stretch"
    constant = results.row("constant", "r")
    assert (constant.value, constant.n_constant) == (0.0, 1)


def test_angle(ramp):
    from dataclasses import replace

    turning = replace(ramp, target=np.linspace(-np.pi, np.pi, len(ramp), endpoint=False))
    results = evaluate(
        {"nb": (Mean(), Angle())}, turning, split=Split("time", n=3), task="circular", controls=()
    )
    assert results.row("nb").metric == "median_angular_error"
    assert 0 <= results.row("nb").value <= 180


class Angle:
    def fit(self, x, y):
        self.said = float(y[0])
        return self

    def predict(self, x):
        return np.full(len(x), self.said)


def test_windows_alone_warn(trials):
    from dataclasses import replace

    w = trials(n=40)
    recs = tuple(r.replace(subject="", run="") for r in w.recordings)
    w = replace(w, recordings=recs, block=np.full(len(w), -1)).select(slice(0, 40, 3))
    rows = np.arange(len(w))
    with pytest.warns(UserWarning, match="single windows"):
        row = evaluate(None, w, split=(rows[::2], rows[1::2]), controls=(), seeds=1).row(
            "time_bins"
        )
    assert row.unit == "window"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": {"constant": GaussianNB()}}, "taken"),
        ({"models": {"x": 3}}, "int"),
        ({"models": {"x": GaussianNB}}, "fit and predict"),
        ({"seeds": 0}, "seeds=0"),
        ({"probe": "svm"}, "No estimator"),
        ({"controls": ("random",)}, "No control"),
        ({"task": "clasification"}, "classification"),
    ],
)
def test_bad_options(trials, options, message):
    arguments = {"models": None, "windows": trials(), "split": BLOCKS, **options}
    with pytest.raises(ConfigError, match=message):
        evaluate(arguments.pop("models"), arguments.pop("windows"), **arguments)


def test_errors_of_a_model_say_where(trials):
    class Broken(GaussianNB):
        def fit(self, x, y):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no") as caught:
        evaluate({"mine": Broken()}, trials(), split=BLOCKS, controls=(), floors=["constant"])
    assert any("mine on fold 0, seed 0" in note for note in caught.value.__notes__)


def test_floors_alone_show_shuffled_labels_of_floors(trials):
    results = evaluate(None, trials(), split=BLOCKS, floors=["mean", "constant"], **FEW)
    controls = {(r.model, r.control) for r in results.rows if r.kind == "control"}
    assert controls == {("mean", "shuffled_labels")}


def test_flat_features_are_all_samples(trials):
    w = trials()
    assert Flat()(w.batch()).shape == (40, 150)


def test_task_object_is_taken_as_it_is(trials):
    w = trials()
    task = Task("classification", classes=("a", "b", "c"))
    assert evaluate(None, w, split=BLOCKS, task=task, controls=()).row("constant").chance == 1 / 3


def test_many_targets_of_paired_windows():
    from neuro.data import Axis, Recording, Regular, pair

    rng = np.random.default_rng(0)
    slow = rng.normal(size=(2, 200))
    x = np.repeat(slow, 10, axis=1) + 0.3 * rng.normal(size=(2, 2000))
    eeg = Regular(x, 10, "uV", Axis(["a", "b"], "eeg"), "eeg")
    # the window that ends at second i + 1 holds what made sample i
    bold = Regular(slow, 1, "z", Axis(["p", "q"], "roi"), "bold", t0_s=1.0)
    w = pair(Recording({"eeg": eeg, "bold": bold}, dataset="d", subject="1"), window_s=1.0)
    split = Split("time", test=0.3)
    results = evaluate(None, w, split=split, controls=(), floors=["mean", "constant"])
    assert results.row("mean", "r").value > 0.9
    assert results.row("constant", "r").value == 0.0
    joined = evaluate(
        None, None, split=w.split("time", test=0.3), controls=(), floors=["mean"], seeds=1
    )
    assert joined.row("mean", "r").value == pytest.approx(results.row("mean", "r").value, abs=1e-3)


def test_scans_joined_end_to_end_are_cautioned_against():
    from neuro.data import Axis, Recording, Regular, pair
    from neuro.evaluate.checks import joined_scans

    rng = np.random.default_rng(0)
    scans = []
    for s in "12":
        eeg = Regular(rng.normal(size=(1, 600)), 10, "uV", Axis(["a"], "eeg"), "eeg")
        bold = Regular(rng.normal(size=(1, 60)), 1, "z", Axis(["p"], "roi"), "bold", t0_s=1.0)
        scans.append(Recording({"eeg": eeg, "bold": bold}, dataset="d", subject=s))
    w = pair(scans, window_s=1.0)
    options = {"split": Split("time", test=0.3), "controls": (), "floors": ["constant"]}
    with pytest.warns(UserWarning, match="single windows"):  # two people are too few
        said = evaluate(None, w, **options).meta["cautions"]
    assert any("end to end" in caution for caution in said)
    assert joined_scans(pair(scans[0], window_s=1.0)) == []
