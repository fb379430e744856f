"""The folders datasets/ and models/ never pass for distributions of that name."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Python at the repository root with only the standard library and `path`."""
    # -S: no site-packages, so an installed distribution of the name cannot help
    lines = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}; {code}"
    return subprocess.run(
        [sys.executable, "-S", "-c", lines], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with real distributions called datasets and models."""
    for name in ("datasets", "models"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("marker = 'the real one'\n")
        (tmp_path / "site" / name / "part.py").write_text("value = 7\n")
    return tmp_path / "site"


@pytest.mark.parametrize("name", ["datasets", "models"])
def test_bare_import_at_the_root_names_ours(name):
    done = run(f"import {name}", ROOT)
    assert done.returncode == 1
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr
    assert f"neuro.{name}" in done.stderr


@pytest.mark.parametrize("name", ["datasets", "models"])
def test_real_distribution_later_on_the_path_wins(name, elsewhere):
    code = f"import {name}, {name}.part; print({name}.marker, {name}.part.value)"
    done = run(code, ROOT, elsewhere)
    assert done.stdout.strip() == "the real one 7", done.stderr


@pytest.mark.parametrize("name", ["datasets", "models"])
def test_real_distribution_is_all_that_is_run(name, elsewhere):
    done = run(
        f"import {name}; print(sorted(m for m in sys.modules if 'neuro' in m))", ROOT, elsewhere
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", ["datasets", "models"])
def test_two_checkouts_do_not_call_each_other(name, tmp_path):
    shutil.copytree(ROOT / name, tmp_path / "second" / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "second")
    done = run(f"import {name}", ROOT, tmp_path / "second")
    assert "ModuleNotFoundError" in done.stderr
    assert "RecursionError" not in done.stderr
    assert f"neuro.{name}" in done.stderr


@pytest.mark.parametrize("name", ["datasets", "models"])
def test_guard_is_the_first_statement_after_the_docstring(name):
    import ast

    body = ast.parse((ROOT / name / "__init__.py").read_text()).body
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[1], ast.If)
    assert ast.unparse(body[1].test) == f"__name__ == '{name}'"
