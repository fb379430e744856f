import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from train_toys import Autoencoder, Rows, moments, same_bits, weights

from neuro.errors import ConfigError, DataUnavailableError, FileError
from neuro.io.safe import read_json
from neuro.train import Callback, EarlyStopping, Run, fit
from neuro.train import checkpoint as ckpt

HERE = Path(__file__).parent
NOISY = {"hide": 0.4, "dropout": 0.3}


def go(out, model=None, train=None, **options):
    model = Autoencoder(**NOISY) if model is None else model
    settings = {"steps": 20, "batch_size": 8, "log_every": 1, "device": "cpu", **options}
    return fit(model, Rows() if train is None else train, out=out, **settings)


class StopAt(Callback):
    """Ctrl-C after a step."""

    def __init__(self, step=None):
        self.at = step

    def on_step(self, state):
        if state.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def interrupted(out, *at, **options):
    """A run stopped after each of the steps, then finished; each time a fresh model."""
    for step in at:
        with pytest.raises(KeyboardInterrupt):
            go(out, callbacks=[StopAt(step)], **options)
    model = Autoencoder(seed=99, **NOISY)
    return go(out, model, callbacks=[StopAt()], **options), model


# ---- exactness --------------------------------------------------------------


@pytest.mark.parametrize("at", [(1,), (7,), (3, 4, 19)])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, at):
    straight = Autoencoder(**NOISY)
    whole = go(tmp_path / "a", straight, callbacks=[StopAt()])
    run, model = interrupted(tmp_path / "b", *at)
    assert same_bits(weights(straight), weights(model))
    assert same_bits(moments(whole), moments(run))
    assert len(moments(run)) == 12  # two moments and a step for each of four parameters
    drop = ("samples_per_s", "wall_s")
    told = [{k: v for k, v in line.items() if k not in drop} for line in run.metrics()]
    assert told == [{k: v for k, v in line.items() if k not in drop} for line in whole.metrics()]


@pytest.mark.parametrize(
    "options",
    [{"accumulate": 2}, {"precision": "bf16"}, {"num_workers": 1}, {"stage": "decoder"}],
    ids=str,
)
def test_resume_is_exact_with(tmp_path, options):
    straight = Autoencoder(**NOISY)
    start = go(tmp_path / "a", straight, callbacks=[StopAt()], **options)
    run, model = interrupted(tmp_path / "b", 6, **options)
    assert same_bits(weights(straight), weights(model))
    assert same_bits(moments(start), moments(run))


def test_resume_after_a_crash_repeats_the_lost_steps(tmp_path):
    class Crash(Callback):
        def __init__(self, at=None):
            self.at = at

        def on_step(self, state):
            if state.step == self.at:
                raise RuntimeError("power cut")

    straight, model = Autoencoder(**NOISY), Autoencoder(**NOISY)
    go(tmp_path / "a", straight, callbacks=[Crash()])
    with pytest.raises(RuntimeError, match="power cut"):
        go(tmp_path / "b", callbacks=[Crash(13)], checkpoint_every=5)
    assert Run(tmp_path / "b").step == 10
    assert Run(tmp_path / "b").metrics()[-1]["step"] == 12
    run = go(tmp_path / "b", model, callbacks=[Crash()], checkpoint_every=5)
    assert same_bits(weights(straight), weights(model))
    assert [line["step"] for line in run.metrics()] == list(range(1, 21))


def test_damaged_newest_checkpoint_costs_only_its_steps(tmp_path):
    straight = Autoencoder(**NOISY)
    go(tmp_path / "a", straight, callbacks=[StopAt()])
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "b", callbacks=[StopAt(11)], checkpoint_every=5)
    (tmp_path / "b/checkpoints/step-000011/optimizer.safetensors").write_bytes(b"half")
    model = Autoencoder(**NOISY)
    with pytest.warns(RuntimeWarning, match="step-000011 is passed over"):
        go(tmp_path / "b", model, callbacks=[StopAt()], checkpoint_every=5)
    assert same_bits(weights(straight), weights(model))


def test_extended_constant_run_equals_the_long_one(tmp_path):
    options = {"schedule": "constant", "warmup": 3}
    straight, model = Autoencoder(**NOISY), Autoencoder(**NOISY)
    go(tmp_path / "a", straight, steps=20, **options)
    go(tmp_path / "b", steps=9, **options)
    run = go(tmp_path / "b", model, steps=20, **options)
    assert run.step == 20
    assert same_bits(weights(straight), weights(model))


def test_early_stopping_counts_across_an_interruption(tmp_path):
    def options(at):
        stopper = EarlyStopping(patience=4, min_delta=1e6)
        return {"valid": Rows(6), "valid_every": 1, "callbacks": [stopper, StopAt(at)]}

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, **options(3))
    run = go(tmp_path, **options(None))
    assert run.step == 5  # one validation that beats infinity and four that do not


# ---- what resume does with what it finds ------------------------------------


def test_finished_run_is_loaded_not_repeated(tmp_path):
    model, again = Autoencoder(**NOISY), Autoencoder(seed=5, **NOISY)
    go(tmp_path, model)
    before = (tmp_path / "metrics.jsonl").read_text()
    run = go(tmp_path, again)
    assert same_bits(weights(model), weights(again))
    assert run.model is again
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_stopped_run_stays_stopped(tmp_path):
    options = {"valid": Rows(6), "valid_every": 1}
    go(tmp_path, callbacks=[EarlyStopping(2, 1e6)], **options)
    run = go(tmp_path, callbacks=[EarlyStopping(2, 1e6)], **options)
    assert run.step == 3
    assert "in 2 validations" in run.stopped


def test_resume_false_refuses_a_folder_in_use(tmp_path):
    go(tmp_path)
    with pytest.raises(ConfigError, match=r"resume=False, but .* holds a run already"):
        go(tmp_path, resume=False)


def test_resume_true_needs_a_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match=r"resume=True, but .* holds no complete checkpoint"):
        go(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lr": 0.5}, r"arguments.lr was 0.001, is now 0.5"),
        ({"seed": 3}, r"arguments.seed was 0, is now 3"),
        ({"batch_size": 16}, r"arguments.batch_size was 8, is now 16"),
        ({"schedule": "constant"}, r"arguments.schedule.name was 'cosine'"),
        ({"precision": "bf16"}, r"arguments.precision"),
        ({"stage": "decoder"}, r"arguments.stage was None, is now 'decoder'"),
        ({"callbacks": [EarlyStopping()]}, r"arguments.callbacks"),
        ({"model": Autoencoder(hide=0.1)}, r"model.config.dropout was 0.3.*model.config.hide was"),
        ({"train": Rows(51)}, r"data.train.examples was 50, is now 51"),
        ({"valid": Rows(5)}, r"data.valid"),
        ({"warmup": 4}, r"warmup was 1 steps, is now 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_by_name(tmp_path, change, field):
    go(tmp_path, steps=20)
    kept = (tmp_path / "config.json").read_text()
    with pytest.raises(ConfigError, match=field):
        go(tmp_path, **change)
    assert (tmp_path / "config.json").read_text() == kept


def test_settings_that_change_no_weight_may_differ(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, callbacks=[StopAt(5)])
    free = {"log_every": 3, "checkpoint_every": 4, "valid_every": 2, "keep": 1, "num_workers": 1}
    assert go(tmp_path, callbacks=[StopAt()], **free).step == 20


def test_cosine_run_cannot_be_extended(tmp_path):
    go(tmp_path, steps=10)
    with pytest.raises(ConfigError, match=r"steps was 10, is now 20.*schedule='constant'.*warmup"):
        go(tmp_path, steps=20)


def test_constant_run_with_relative_warmup_tells_the_steps_to_give(tmp_path):
    go(tmp_path, steps=40, schedule="constant", warmup=0.1)
    with pytest.raises(ConfigError, match=r"warmup=4 \(in steps\)"):
        go(tmp_path, steps=80, schedule="constant", warmup=0.1)
    assert go(tmp_path, steps=80, schedule="constant", warmup=4).step == 80


def test_run_of_a_model_that_looks_at_the_end_cannot_be_extended(tmp_path):
    class Hooked(Autoencoder):
        def on_step(self, step, total):
            pass

    options = {"schedule": "constant", "warmup": 0}
    go(tmp_path, Hooked(), steps=5, **options)
    with pytest.raises(ConfigError, match=r"on_step\(step, total\) depends on it"):
        go(tmp_path, Hooked(), steps=9, **options)


def test_run_cannot_be_shortened_below_what_is_done(tmp_path):
    go(tmp_path, steps=10, schedule="constant", warmup=0)
    with pytest.raises(ConfigError, match="steps=5, but the run in this folder has done 10"):
        go(tmp_path, steps=5, schedule="constant", warmup=0)


def test_checkpoints_without_their_settings_are_refused(tmp_path):
    go(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileError, match=r"no config\.json"):
        go(tmp_path)


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataUnavailableError, match=r"config\.json is missing"):
        Run(tmp_path)


def test_run_without_model_says_how_to_load(tmp_path):
    go(tmp_path)
    with pytest.raises(ConfigError, match=r"neuro.models.load\(run.best\(\)"):
        Run(tmp_path).load()
    with pytest.raises(ConfigError, match=r"No checkpoint at step 3; there are \[18, 20\]"):
        Run(tmp_path).load(3, model=Autoencoder(**NOISY))


# ---- kill -9 ----------------------------------------------------------------

EVERY, STEPS = 5, 60


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder of two runs that were killed and then finished, and what each kill left."""
    out = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, HERE / "kill_child.py", out, str(EVERY), str(STEPS), "23", "5"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return out, {name: [t for t in told if t["run"] == name] for name in ("inside", "random")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    model = Autoencoder(**NOISY)
    go(tmp_path_factory.mktemp("straight"), model, steps=STEPS, checkpoint_every=EVERY)
    # one thread here as in the child: the bits may depend on it
    return weights(model)


def finished(out):
    return weights(Run(out).load("last", model=Autoencoder(**NOISY)))


@pytest.mark.slow
def test_kill_in_the_middle_of_a_checkpoint_loses_only_the_steps_since_the_last(
    killed, uninterrupted
):
    out, left = killed
    # it was killed while the checkpoint of step 25 was being written
    assert left["inside"] == [{"run": "inside", "checkpoint": 20, "logged": 25, "partial": 1}]
    assert same_bits(finished(out / "inside"), uninterrupted)
    assert not list((out / "inside" / "checkpoints").glob(".*"))


def test_kills_at_random_times_never_lose_more_than_one_interval(killed, uninterrupted):
    out, left = killed
    steps = [k["checkpoint"] for k in left["random"]]
    assert len(steps) == 5
    assert steps == sorted(steps)
    assert 0 < steps[-1] < STEPS  # the kills fell into the run, not before or after it
    # a step is logged before its checkpoint is begun
    assert all(k["logged"] - k["checkpoint"] <= EVERY for k in left["random"])
    assert same_bits(finished(out / "random"), uninterrupted)
    lines = [m["step"] for m in Run(out / "random").metrics()]
    assert lines == list(range(1, STEPS + 1))


def test_counters_are_plain_json(tmp_path):
    run = go(tmp_path, valid=Rows(6))
    kept = read_json(run.last() / "state.json")
    assert kept["step"] == 20
    assert set(kept) == {"step", "stopped", "wall_s", "best", "valid", "callbacks"}
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".pt", ".pth", ".bin", ".pkl")]


def test_unfinished_last_line_of_the_log_is_left_out(tmp_path):
    run = go(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "lo')
    assert run.metrics()[-1]["step"] == 20
    assert ckpt.latest(tmp_path / "checkpoints")[0] == 20
