"""``torchrun … -m neuro.cli train``: two processes on this machine."""

import json
import subprocess
import sys

import pytest
import torch

import neuro
from neuro.train import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(eeg_folder, tmp_path_factory):
    """What two processes said and left behind."""
    out = tmp_path_factory.mktemp("two") / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
               "2", "-m", "neuro.cli", "train", "patch_mae",
               "--data", str(eeg_folder), "--out", str(out), "--preset", "tiny", "--length-s", "1",
               "--steps", "4", "--batch-size", "8", "--valid-by", "subject", "--device", "cpu",
               "--json"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, errors = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.terminate()  # the launcher passes it on to the two; a kill would orphan them
        process.wait(60)
        raise
    assert process.returncode == 0, errors[-3000:]
    return said, out


def test_world_is_two_processes(two):
    assert Run(two[1]).config["processes"] == 2


def test_only_the_first_process_prints(two):
    said = json.loads(two[0])
    assert said["step"] == 4
    assert said["windows"] == {"train": 108, "valid": 36}


def test_two_processes_start_from_the_scale_that_one_learns(two, run, eeg_folder, tmp_path):
    run("train", "patch_mae", "--data", eeg_folder, "--out", tmp_path / "run", "--preset", "tiny",
        "--length-s", 1, "--steps", 1, "--batch-size", 8, "--valid-by", "subject",
        "--device", "cpu")  # fmt: skip
    one, other = (neuro.models.load(Run(f).last() / "model") for f in (tmp_path / "run", two[1]))
    assert torch.equal(one.scaling.scale, other.scaling.scale)
    assert torch.equal(one.scaling.center, other.scaling.center)
