"""The benchmark suite, on the data sets that need no fetching."""

import json
import re
import time

import numpy as np
import pytest
import torch

from neuro.errors import ConfigError
from neuro.evaluate import benchmark as module_function
from neuro.evaluate.suite.benchmark import SUITES, benchmark
from neuro.evaluate.suite.entrants import minutes_needed
from neuro.evaluate.suite.offline import OFFLINE, SIMULATED, simulate

FLOORS = {"datasets": ["synthetic_fmri_roi", "haxby_slice"], "models": [], "seeds": 1}


@pytest.fixture(scope="module")
def floors(tmp_path_factory):
    out = tmp_path_factory.mktemp("suite")
    said = []
    return benchmark("offline", out=out, tell=said.append, **FLOORS), out, said


def test_suite_holds_every_labelled_set_and_simulator():
    assert set(SUITES["offline"]) == {*OFFLINE, *SIMULATED}
    assert {"scp1", "blink", "finger", "hmd", "scp2", "eyes", "gdf_mi", "pain122", "haxby_slice",
            "head_direction", "head_direction_spikes", "head_direction_next_spikes",
            "eyes_next_sample",
            } == set(OFFLINE)  # fmt: skip
    assert module_function is benchmark


def test_what_cannot_be_had_is_listed_with_the_reason(floors):
    done, out, _ = floors
    assert list(done.results) == ["synthetic_fmri_roi"]
    assert "give root=" in done.skipped["haxby_slice"]
    assert not done.failed
    assert "Skipped haxby_slice" in (out / "benchmark.md").read_text()
    assert "Skipped haxby_slice" in (out / "benchmark.html").read_text()


def test_tables_agree(floors):
    done, out, _ = floors
    (line,) = done.lines()
    assert (line.dataset, line.simulated) == ("synthetic_fmri_roi", True)
    best = done.results["synthetic_fmri_roi"].best_floor()
    assert (line.model, line.value, line.floor_value) == (best.model, best.value, best.value)
    written = json.loads((out / "benchmark.json").read_text())
    assert written["lines"][0]["value"] == line.value
    assert written["results"]["synthetic_fmri_roi"]["rows"]
    head, row = (out / "benchmark.csv").read_text().splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=False))["dataset"] == line.dataset
    table = [r for r in (out / "benchmark.md").read_text().splitlines() if r.startswith("|")]
    assert len(table) == 3
    assert f"{line.value:.3f}" in table[2]


def test_finished_data_sets_are_not_even_loaded(floors, monkeypatch):
    done, out, _ = floors
    monkeypatch.setattr("neuro.evaluate.suite.benchmark.simulate", lambda *a: pytest.fail("loaded"))
    said = []
    again = benchmark("offline", out=out, tell=said.append, **FLOORS)
    assert "synthetic_fmri_roi: finished before" in said
    assert again.lines() == done.lines()


def test_other_settings_are_computed_anew(floors):
    _, out, _ = floors
    said = []
    benchmark("offline", out=out, tell=said.append, **{**FLOORS, "seed": 1})
    assert "synthetic_fmri_roi: loading" in said


@pytest.mark.slow
def test_a_network_beside_the_floors(tmp_path):
    options = {"datasets": ["synthetic_fmri_roi"], "models": ["patch_mae"], "preset": "tiny"}
    done = benchmark("offline", out=tmp_path, steps=3, seeds=1, **options)
    (line,) = done.lines()
    assert line.model == "patch_mae"
    assert None not in (line.random_weights, line.shuffled_labels)
    assert line.against_floor
    assert "patch_mae" in (tmp_path / "benchmark.html").read_text()


def test_a_model_that_does_not_fit_is_listed(tmp_path, monkeypatch):
    from neuro.evaluate.contenders.pretraining import TrainedInside

    def refuse(self, train):
        raise ConfigError("it wants 64 channels")

    monkeypatch.setattr(TrainedInside, "create", refuse)
    done = benchmark(
        "offline", out=tmp_path, datasets=["synthetic_fmri_roi"], models=["patch_mae"], seeds=1
    )
    assert done.unfit == {"synthetic_fmri_roi": {"patch_mae": "it wants 64 channels"}}
    assert done.lines()[0].model != "patch_mae"
    assert "patch_mae does not fit synthetic_fmri_roi" in (tmp_path / "benchmark.md").read_text()


def test_what_would_take_too_long_is_not_run_and_says_how_long(tmp_path):
    options = {"datasets": ["synthetic_fmri_roi"], "models": ["patch_mae"], "seeds": 1}
    done = benchmark("offline", out=tmp_path, minutes=1e-6, **options)
    assert not done.unfit
    why = done.not_run["synthetic_fmri_roi"]["patch_mae"]
    assert re.fullmatch(r"not run: would take [\d.]+ min, 1e-06 allowed", why)
    assert done.lines()[0].model != "patch_mae"
    table = [r for r in (tmp_path / "benchmark.md").read_text().splitlines() if r.startswith("|")]
    assert f"patch_mae | {why}" in table[-1]
    assert json.loads((tmp_path / "benchmark.json").read_text())["not_run"] == done.not_run
    assert why in (tmp_path / "benchmark.html").read_text()
    again = benchmark("offline", out=tmp_path, minutes=1e-6, **options)
    assert again.not_run == done.not_run


def test_the_estimate_counts_folds_steps_and_seeds():
    from neuro.data import Axis, Recording, Regular, windows

    class Slow(torch.nn.Module):
        """A step of 20 ms, a pass of 10 ms."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, batch):
            time.sleep(0.01)

        def loss(self, batch, generator):
            time.sleep(0.02)
            return {"loss": self.weight.sum()}

    signal = Regular(np.ones((1, 1280)), 10, "uV", Axis(["Cz"], "eeg"), "eeg")
    w = windows(Recording({"x": signal}), stream="x", length_s=1.0)
    model = Slow()
    found = minutes_needed(model, w, n_folds=3, steps=50, seeds=4)
    # 128 windows are two batches; 3 x 50 steps, 3 x (1 + 4) x 2 passes; sleeping is never short
    want = (150 * 0.02 + 30 * 0.01) / 60
    assert want <= found < 3 * want
    assert model.weight.grad is None


def test_a_network_is_trained_once_a_fold_for_all_its_controls(trials):
    from neuro.evaluate import Split, evaluate

    trained = []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, batch):
            return self.layer(batch.x[:, :, 25:].mean(2))

    def train_one(train):
        trained.append(len(train))
        return Net()

    results = evaluate(
        {"net": train_one}, trials(2.0), split=Split("block", n=4), seeds=2, shuffles=2,
        floors=["constant"],
    )  # fmt: skip
    assert len(trained) == 4
    assert {r.control for r in results.rows if r.model == "net"} == {
        "", "random_weights", "shuffled_labels",
    }  # fmt: skip


def test_one_data_set_that_fails_does_not_cost_the_others(tmp_path, monkeypatch):
    def broken(name, seed):
        recordings = simulate(name, seed)
        if name == "synthetic_eeg":
            return [r.replace(events=r.events.select(type="left")) for r in recordings]
        return recordings

    monkeypatch.setattr("neuro.evaluate.suite.benchmark.simulate", broken)
    names = ["synthetic_eeg", "synthetic_fmri_roi"]
    done = benchmark("offline", out=tmp_path, datasets=names, models=[], seeds=1)
    assert list(done.results) == ["synthetic_fmri_roi"]
    assert "at least two classes" in done.failed["synthetic_eeg"]


@pytest.mark.parametrize("name", sorted(SIMULATED))
def test_simulated_tasks_are_marked_and_labelled(name):
    dataset = SIMULATED[name].dataset
    index = SIMULATED[name].cut(simulate(dataset, 0))
    assert len(index) >= 40
    assert index.labelled.all()
    assert np.all(index.column("dataset") == dataset)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"suite": "ofline"}, "Did you mean 'offline'"),
        ({"datasets": ["scp3"]}, "Did you mean 'scp"),
        ({"models": ["patchmae"]}, "Did you mean 'patch_mae'"),
        ({"steps": 0}, "steps=0"),
        ({"minutes": 0.0}, "minutes=0"),
    ],
    ids=["suite", "dataset", "model", "steps", "minutes"],
)
def test_what_is_misspelt_is_told_before_anything_is_computed(tmp_path, options, match):
    with pytest.raises(ConfigError, match=match):
        benchmark(**{"suite": "offline", "out": tmp_path, **options})
    assert not list(tmp_path.iterdir())
