"""The built wheel, installed outside the repository."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "-o",
        str(out),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    return target


def run_outside(installed: Path, tmp_path: Path, code: str) -> str:
    """Run code in an interpreter that sees the wheel and its needs, not the repository."""
    # -S leaves out the editable install's .pth, which would expose the repository
    site = sysconfig.get_paths()["purelib"]
    start = f"import sys; sys.path[:0] = [{str(installed)!r}, {site!r}]\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_wheel_holds_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"neuro"}
    assert "neuro/py.typed" in names
    assert "neuro/__init__.pyi" in names
    assert any(n.startswith("neuro/datasets/cards/") for n in names)
    assert any(n.startswith("neuro/models/cards/") for n in names)
    assert any(n.startswith("neuro/evaluate/templates/") for n in names)


def test_wheel_leaks_no_names(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, json\n"
        "names = ['neuro', 'datasets', 'models', 'tests', 'tutorials', 'benchmarks']\n"
        "print(json.dumps({n: u.find_spec(n) is not None for n in names}))"
    )
    found = json.loads(run_outside(installed, tmp_path, code))
    assert found.pop("neuro")
    assert not any(found.values()), found


def test_wheel_runs_from_anywhere(installed: Path, tmp_path: Path) -> None:
    code = (
        "import neuro, pathlib\n"
        f"assert pathlib.Path(neuro.__file__).is_relative_to({str(installed)!r}), neuro.__file__\n"
        "sim = neuro.datasets.synthetic.eeg(seed=0)\n"
        "path = neuro.save(sim.recordings[0], 'a.h5')\n"
        "print(neuro.read(path).stream('eeg').unit)\n"
        "print('patch_mae' in neuro.models.list(), 'head_direction' in neuro.datasets.list())\n"
        "print(len(neuro.datasets.load('head_direction')))"
    )
    assert run_outside(installed, tmp_path, code).split() == ["uV", "True", "True", "1"]


def test_command_is_declared(installed: Path) -> None:
    entry = next(installed.glob("*.dist-info")) / "entry_points.txt"
    assert "neuro = neuro.cli:main" in entry.read_text()
