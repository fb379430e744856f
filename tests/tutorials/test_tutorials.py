"""The tutorials run as they stand, fast, without a warning, and end in a number."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neuro.cli.app import app
from neuro.cli.crossmodal import load_paired, pairs_signals
from neuro.cli.evaluation import load_config
from neuro.evaluate import Results

FOLDER = Path(__file__).resolve().parents[2] / "tutorials"
SHARED = FOLDER.parents[1] / "shared" / "data"
SCRIPTS = sorted(FOLDER.glob("plot_*.py"))
# Seconds on two cores that a reader is asked to wait, as CPU time of both.
BUDGET_S = 2 * 30


def test_every_number_stands_for_one_script():
    numbers = [path.name[:7] for path in SCRIPTS]
    assert len(set(numbers)) == len(numbers)
    assert {f"plot_0{i}" for i in (1, 2, 3, 5, 6, 7)} <= set(numbers)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_first_line_says_what_the_reader_will_be_able_to_do(path):
    promise = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert promise.startswith("After this you can ")
    assert promise.endswith(".")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_last_line_holds_a_number_to_account(path):
    last = ast.parse(path.read_text()).body[-1]
    assert isinstance(last, ast.Assert)
    assert any(
        isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        for node in ast.walk(last.test)
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_script_runs_and_keeps_its_promise(path, tmp_path):
    # what it leaves in the folder for temporary files is cleared away with the test
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    if SHARED.is_dir():  # where a tutorial can show more with data that is not fetched
        environment["NEURO_TUTORIAL_ROOT"] = str(SHARED)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-3000:]
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < BUDGET_S


def test_example_of_an_evaluation_is_valid():
    config = load_config(FOLDER / "evaluate_scp1.yaml")
    assert (config.data, config.split.by, config.split.test) == ("scp1", "run", "test")


def test_example_of_paired_signals_is_valid():
    path = FOLDER / "evaluate_eeg_fmri.yaml"
    assert pairs_signals(path)
    config = load_paired(path)
    assert (config.pair.window_s, config.split.n) == (16, 5)


@pytest.mark.network
@pytest.mark.slow
def test_example_of_an_evaluation_gives_the_scores_it_promises(dataset, tmp_path):
    dataset("scp1")
    args = ["evaluate", str(FOLDER / "evaluate_scp1.yaml"), "--out", str(tmp_path)]
    said = CliRunner().invoke(app, args, catch_exceptions=False)
    assert said.exit_code == 0
    results = Results.from_json(tmp_path / "results.json")
    assert results.rows[0].n_test == 293
    # the comment in the file says 0.87; 293 trials leave a standard error of 0.02
    assert results.row("time_bins", "accuracy").value == pytest.approx(0.87, abs=0.04)
    assert results.row("patch_mae", "accuracy").value > 0.7
    shuffled = results.row("patch_mae", "accuracy", control="shuffled_labels")
    assert shuffled.value < 0.65
