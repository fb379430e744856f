"""The README's scripts run as they stand."""

import re
from pathlib import Path

import edfio
import matplotlib.pyplot as plt
import numpy as np
import pytest

SCRIPTS = re.findall(
    r"## ([^\n]+)\n+```python\n(.*?)```",
    (Path(__file__).parents[1] / "README.md").read_text("utf-8"),
    flags=re.DOTALL,
)


def test_there_is_one_for_each_kind_of_user():
    assert [name for name, _ in SCRIPTS] == [
        "In a lab script",
        "In a notebook",
        "In your own PyTorch loop",
    ]
    for _, code in SCRIPTS:
        assert len(code.strip().splitlines()) <= 16


def _edf(path: Path, seed: int) -> None:
    """Forty trials; before "right" the second channel is louder."""
    rng = np.random.default_rng(seed)
    kinds = np.array(["left", "right"] * 20)
    x = rng.normal(0, 15, (2, 128 * 3 * 40))
    x[1].reshape(40, -1)[kinds == "right"] *= 2
    signals = [
        edfio.EdfSignal(row, 128, label=name, physical_dimension="uV")
        for row, name in zip(x, ("EEG C3-REF", "EEG C4-REF"), strict=True)
    ]
    notes = [edfio.EdfAnnotation(3.0 * i, 2.0, kind) for i, kind in enumerate(kinds)]
    edfio.Edf(signals, annotations=notes).write(path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), SCRIPTS, ids=[name for name, _ in SCRIPTS])
def test_script_runs(name, code, tmp_path, monkeypatch, dataset):
    monkeypatch.chdir(tmp_path)
    for i in range(1, 5):
        _edf(tmp_path / f"sub-{i:02d}.edf", seed=i)
    if "scp1" in code:
        dataset("scp1")
    told: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), told)
    plt.close("all")
    if "results" in told:
        assert told["results"].best_floor("balanced_accuracy").value > 0.9
        assert (tmp_path / "results" / "report.html").stat().st_size > 10_000
    if "model" in told:
        assert (tmp_path / "my_model" / "model.json").is_file()
