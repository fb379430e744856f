"""Two processes over gloo, started as a user would start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from train_toys import Autoencoder, Rows, weights

from neuro.errors import ConfigError
from neuro.io.safe import read_json, read_tensors
from neuro.train import Callback, fit

# Two programs that each import torch: 10 s on a quiet machine.
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
KINDS = ("ddp", "parts", "shard", "shard-parts")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Output of the child program on two processes."""
    out = tmp_path_factory.mktemp("pair")
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    ]
    done = subprocess.run(
        [*launch, HERE / "processes_child.py", out],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (out / "stderr").write_text(done.stderr)
    return out


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Weights, first gradients and last validation loss of the run on one process."""

    class Gradients(Callback):
        first = None

        def on_gradients(self, state):
            if self.first is None:
                self.first = {n: p.grad.clone() for n, p in state.model.named_parameters()}

    model, spy = Autoencoder(), Gradients()
    run = fit(
        model,
        Rows(),
        Rows(21, seed=3),
        out=tmp_path_factory.mktemp("single"),
        steps=12,
        batch_size=8,
        lr=0.01,
        log_every=1,
        device="cpu",
        callbacks=[spy],
    )
    return weights(model), spy.first, run.metrics()[-2]["valid_loss"]


def seen(pair, rank):
    return json.loads((pair / f"rank-{rank}.json").read_text())


def both(pair, name):
    return [read_tensors(pair / f"{name}-{rank}.safetensors")[0] for rank in (0, 1)]


def test_two_processes_take_part(pair):
    for rank in (0, 1):
        assert (seen(pair, rank)["rank"], seen(pair, rank)["world"]) == (rank, 2)
        assert seen(pair, rank)["ddp"]["backend"] == "gloo"
    assert read_json(pair / "ddp" / "config.json")["processes"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_and_weights_are_equal_on_both(pair, kind):
    for what in (kind, f"{kind}-gradients"):
        first, second = both(pair, what)
        assert len(first) >= 4
        for name in first:
            assert torch.equal(first[name], second[name]), (what, name)


@pytest.mark.parametrize("kind", KINDS)
def test_they_equal_those_of_one_process_with_the_same_global_batch(pair, single, kind):
    one, gradients, _ = single
    # the mean of two means of four rows is a float32 sum in another order
    for name, value in both(pair, f"{kind}-gradients")[0].items():
        assert torch.allclose(value, gradients[name], rtol=1e-5, atol=1e-6), name
    # Adam divides by the gradients' own size, which enlarges that over 12 steps
    for name, value in both(pair, kind)[0].items():
        if name != "seen":
            assert torch.allclose(value, one[name], atol=1e-4), name


@pytest.mark.parametrize("kind", KINDS)
def test_validation_covers_every_example_once(pair, single, kind):
    # 21 examples in parts of 4 (2): the processes get different numbers of parts
    assert seen(pair, 1)[kind]["valid"] == pytest.approx(single[2], rel=1e-4)


@pytest.mark.parametrize("kind", ["ddp", "shard"])
def test_resume_is_exact_on_two_processes(pair, kind):
    assert [seen(pair, rank)[f"{kind} resumed"] for rank in (0, 1)] == [True, True]


def test_sharded_checkpoint_is_a_whole_model(pair):
    saved = Autoencoder().load_weights(pair / "shard" / "checkpoints" / "step-000012" / "model")
    for name, value in both(pair, "shard")[0].items():
        assert torch.equal(weights(saved)[name], value)
    moments = read_tensors(
        pair / "shard" / "checkpoints" / "step-000012" / "optimizer.safetensors"
    )[0]
    assert moments["exp_avg/encoder.weight"].shape == (2, 6)


def test_nothing_is_warned_of(pair):
    lines = [x for x in (pair / "stderr").read_text().splitlines() if "arning" in x]
    # of the one run whose model does not say that every parameter is used
    assert [x for x in lines if "find_unused_parameters" not in x] == []


def test_layer_that_the_loss_does_not_use_is_no_obstacle(pair):
    assert len(list((pair / "partial" / "checkpoints").iterdir())) == 2


def test_one_process_can_stop_all(pair):
    assert [seen(pair, rank)["stopped at"] for rank in (0, 1)] == [7, 7]


def test_sigterm_to_one_process_ends_all_after_a_checkpoint(pair):
    assert [seen(pair, rank)["terminated"] for rank in (0, 1)] == [[143, 4], [143, 4]]


def test_processes_with_different_arguments_are_refused(pair):
    assert "disagree on the settings" in seen(pair, 0)["disagreement"]
    assert "disagree on the settings" in seen(pair, 1)["disagreement"]


def test_run_of_two_processes_is_not_resumed_on_one(pair):
    with pytest.raises(ConfigError, match="processes was 2, is now 1"):
        fit(
            Autoencoder(),
            Rows(),
            Rows(21, seed=3),
            out=pair / "parts",
            steps=12,
            batch_size=8,
            lr=0.01,
            log_every=1,
            device="cpu",
            accumulate=2,
            callbacks=[type("Gradients", (Callback,), {})()],
        )


def test_launch_of_which_only_one_process_takes_part_is_refused(tmp_path, monkeypatch):
    fit(Autoencoder(), Rows(), out=tmp_path / "before", steps=1, batch_size=8, device="cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")  # accelerate is set up already, for one process
    with pytest.raises(ConfigError, match="2 processes were launched but 1 take part"):
        fit(Autoencoder(), Rows(), out=tmp_path, steps=1, device="cpu")
