"""tfm_tokenizer trained on two processes over gloo, started as a user would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neuro.io.safe import read_tensors

pytestmark = pytest.mark.slow


def test_two_processes_end_with_one_code_book_of_both_their_data(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
              "2", Path(__file__).parent / "tfm_processes_child.py", tmp_path]  # fmt: skip
    done = subprocess.run(launch, capture_output=True, text=True, timeout=200,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (read_tensors(tmp_path / f"codes-{rank}.safetensors")[0] for rank in (0, 1))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    # 32 codes counted as one vector each, then 3 steps of 3 passes over 8 windows of 4 x 9 frames
    expected = 32.0
    for _ in range(9):
        expected = 0.99 * expected + 0.01 * 8 * 4 * 9
    assert one["counts"].sum().item() == pytest.approx(expected, rel=1e-5)
