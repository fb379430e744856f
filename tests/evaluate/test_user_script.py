"""What a user writes: fifteen lines from files of one's own model to a report."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

OBJECT = """
import numpy as np
import neuro
from neuro.evaluate import Split, evaluate

class Mine:
    def fit(self, x, y):
        self.means = np.stack([x[y == k].mean(0) for k in (0, 1)])
        return self
    def predict(self, x):
        return ((x[:, None] - self.means) ** 2).sum(2).argmin(1)

windows = neuro.data.windows(neuro.read("trials.h5"), stream="x", align="*", label="type")
results = evaluate({"mine": Mine()}, windows, split=Split("block", n=4), seeds=2, out="report")
print(results)
"""
NETWORK = """
import torch
import neuro
from neuro.evaluate import Split, evaluate

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 8)
    def forward(self, batch):
        return torch.tanh(self.layer(batch.x[:, :, 25:].mean(2)))

windows = neuro.data.windows(neuro.read("trials.h5"), stream="x", align="*", label="type")
results = evaluate({"mine": Mine()}, windows, split=Split("block", n=4), seeds=2, out="report")
print(results)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "controls"),
    [(OBJECT, {"shuffled_labels"}), (NETWORK, {"shuffled_labels", "random_weights"})],
    ids=["object", "network"],
)
def test_fifteen_lines_give_a_report(script, controls, trials, tmp_path):
    import neuro
    from neuro.evaluate import Results

    lines = [line for line in script.splitlines() if line.strip()]
    assert len(lines) <= 15
    neuro.save(trials(1.5).recordings[0], tmp_path / "trials.h5")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    results = Results.from_json(tmp_path / "report" / "results.json")
    assert results.row("mine").value > 0.7
    assert results.row("time_bins").value > 0.7
    assert {r.control for r in results.rows if r.model == "mine" and r.control} == controls
    assert "mine" in (tmp_path / "report" / "report.html").read_text()
