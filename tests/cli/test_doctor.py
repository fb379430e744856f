"""``neuro doctor``: what loads, what does not, and what to do."""

import importlib
import sys
from pathlib import Path

import pytest

import neuro
from neuro.cli import doctor


def test_machine_and_packages_are_reported(run):
    said = run("doctor", "--json")
    facts = said.json
    assert said.code == 0
    assert facts["machine"]["neuro"] == neuro.__version__
    states = {row["package"]: row["state"] for row in facts["packages"]}
    assert states["torch"] == states["mne"] == states["sklearn"] == "ok"


def test_home_folder_is_not_named(run, monkeypatch):
    monkeypatch.setenv("NEURO_DATA", str(Path.home() / "recordings"))
    said = run("doctor", "--json")
    assert said.json["machine"]["data cache"] == str(Path("~", "recordings"))
    assert str(Path.home()) not in said.out


@pytest.fixture
def broken(monkeypatch):
    """Factory: let the import of a package fail with a message."""
    real = importlib.import_module

    def make(package, message):
        def import_module(name, *more):
            if name == package:
                raise ImportError(message)
            return real(name, *more)

        monkeypatch.setattr(doctor.importlib, "import_module", import_module)

    return make


def test_needed_package_that_does_not_load_is_failed_work_with_the_remedy(run, broken):
    broken("h5py", "libhdf5.so.310: cannot open")
    said = run("doctor", "--json")
    assert said.code == 1
    (row,) = [r for r in said.json["packages"] if r["package"] == "h5py"]
    assert row["state"] == "broken"
    assert row["remedy"].startswith("pip install --force-reinstall h5py")
    assert "libhdf5" in row["remedy"]


def test_optional_package_that_does_not_load_is_no_failure(run, broken):
    broken("pynwb", "no hdmf")
    said = run("doctor", "--json")
    assert said.code == 0
    (row,) = [r for r in said.json["packages"] if r["package"] == "pynwb"]
    assert row["state"] == "does not load"


def test_torchaudio_of_another_build_is_told_apart(monkeypatch, broken):
    broken("braindecode", "Could not load torchaudio: undefined symbol")
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "1.0")
    row = doctor._look("braindecode", "braindecode", "braindecode")
    assert row["state"] == "does not load"
    assert "torchaudio of the same release" in row["remedy"]


def test_broken_torch_does_not_break_the_doctor(run, monkeypatch, broken):
    broken("torch", "libtorch_cpu.so: undefined symbol")
    monkeypatch.setitem(sys.modules, "torch", None)
    said = run("doctor")
    assert said.code == 1
    assert "torch" in said.out
    assert "force-reinstall torch" in said.out
