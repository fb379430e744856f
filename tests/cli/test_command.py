"""The command as a program: exit codes, streams, what it costs to start."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from neuro.errors import DataError, MissingDependencyError, NeuroError

COMMANDS = [
    ("info",), ("convert",), ("datasets", "ls"), ("datasets", "info"), ("datasets", "get"),
    ("datasets", "audit"), ("models", "ls"), ("models", "info"), ("train",), ("evaluate",),
    ("demo",), ("doctor",),
]  # fmt: skip


def neuro_command(*args, **options):
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "neuro.cli", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run, command):
    said = run(*command, "--help")
    assert said.code == 0
    assert "Usage" in said.out


def test_json_on_all_that_print(run):
    for command in COMMANDS:
        if command != ("demo",):
            assert "--json" in run(*command, "--help").out, command


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["info"],
        ["info", "a", "b"],
        ["info", "a.edf", "--nonsense"],
        ["info", "a.csv", "--tr", "two"],
        ["convert", "a.edf"],
        ["convert", "a.edf", "--out", "o", "--jobs", "0"],
        ["datasets"],
        ["datasets", "nonsense"],
        ["train", "patch_mae"],
        ["train", "patch_mae", "--data", "x", "--out", "o", "--seed", "-1"],
        ["evaluate", "c.yaml"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_2_and_leaves_the_output_empty(run, args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*args)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_misspelt_command_suggests_the_nearest(run):
    assert "evaluate" in run("evalute").err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no channel"), 2),
        (NeuroError("the loss is not finite"), 1),
        (MissingDependencyError("pip install it"), 1),
        (OSError(28, "No space left on device"), 1),
        (KeyboardInterrupt("stopped at step 3"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_error_have_their_codes(run, monkeypatch, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("neuro.cli.catalogue.list_models", fail)
    said = run("models", "ls", "--json")
    assert said.code == code
    assert str(error) in said.err
    assert said.json["error"]["kind"] == type(error).__name__


def test_what_is_a_mistake_of_ours_is_not_hidden(run, monkeypatch):
    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr("neuro.cli.catalogue.list_models", fail)
    with pytest.raises(ZeroDivisionError):
        run("models", "ls")


def test_warnings_are_notes_without_the_file_that_raised_them(run, monkeypatch):
    import warnings

    def warn(_):
        warnings.warn("few subjects", UserWarning, stacklevel=1)

    monkeypatch.setattr("neuro.cli.catalogue.list_models", warn)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        said = run("models", "ls")
    assert said.err == "note: few subjects\n"
    assert warnings.showwarning is before


def test_program_ends_with_the_code_and_no_traceback(tmp_path):
    done = neuro_command("info", tmp_path / "absent.edf")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: 'absent.edf' does not exist")
    assert neuro_command("nonsense").returncode == 2


def test_program_prints_one_document(shared_data):
    done = neuro_command("info", shared_data / "head_direction_A2929-200711.nwb", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["streams"]["spikes"]["rows"] == 15


def test_reader_of_the_output_may_leave(tmp_path):
    shell = f"{sys.executable} -m neuro.cli models info patch_mae | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert "patch_mae" in done.stdout
    assert "Traceback" not in done.stderr


def test_help_costs_less_than_a_second():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert neuro_command("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time: unlike the clock on the wall it does not depend on what else runs
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


LIGHT = """
import sys
from typer.testing import CliRunner
from neuro.cli.app import app
for args in (["--help"], ["train", "--help"], ["datasets", "ls"], ["info", "absent.edf"]):
    CliRunner().invoke(app, args)
heavy = {"torch", "mne", "sklearn", "matplotlib", "pandas", "nibabel", "nilearn", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_light_commands_load_no_heavy_library(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_installed_script_is_the_same_program():
    script = Path(sys.executable).with_name("neuro")
    if not script.exists():
        pytest.skip("the package is not installed beside this Python")
    done = subprocess.run(
        [script, "models", "ls", "--json"], capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout) == json.loads(neuro_command("models", "ls", "--json").stdout)
