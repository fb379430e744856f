"""Run commands in this process, and files for them to work on."""

import datetime
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import neuro
from neuro.cli.app import app
from neuro.datasets import synthetic


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(monkeypatch):
    """Factory: ``run("info", path)`` gives exit code, output and errors.

    What is not a message made on purpose comes out as the exception it is.
    """
    monkeypatch.setenv("COLUMNS", "300")

    def invoke(*args: object) -> Outcome:
        result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture(scope="session")
def edf(tmp_path_factory):
    """Factory: an EDF file with a person's name, birth date and technician in its header."""
    import edfio

    def write(path, scale_uv=20.0, seed=0, labels=("Fz", "Cz", "Pz", "Oz")):
        x = scale_uv * np.random.default_rng(seed).normal(size=(len(labels), 2560))
        signals = [
            edfio.EdfSignal(row, 256, label=name, physical_dimension="uV",
                            physical_range=(-200 * scale_uv, 200 * scale_uv))
            for row, name in zip(x, labels, strict=True)
        ]  # fmt: skip
        patient = edfio.Patient(
            code="S0815", sex="F", birthdate=datetime.date(1971, 2, 3), name="Jane_Doe"
        )
        session = edfio.Recording(
            startdate=datetime.date(2020, 3, 4), investigator_technician_code="Dr_Smith"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        edfio.Edf(signals, patient=patient, recording=session).write(path)
        return path

    return write


@pytest.fixture(scope="session")
def eeg_folder(tmp_path_factory):
    """Four simulated people, one .h5 each; a left hand differs from a right one."""
    folder = tmp_path_factory.mktemp("eeg")
    made = synthetic.eeg(0, n_subjects=4, n_trials=12, n_motifs=0, sfreq=64, snr=4.0)
    for rec in made.recordings:
        neuro.save(rec, folder / f"s{rec.subject}.h5")
    return folder


@pytest.fixture(scope="session")
def trained(eeg_folder, tmp_path_factory):
    """Run folder of a network that saw subjects 02, 03 and 04."""
    out = tmp_path_factory.mktemp("trained") / "run"
    args = f"train patch_mae --data {eeg_folder} --where subject=02,03,04 --out {out} {TINY}"
    result = CliRunner().invoke(app, args.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out


TINY = "--preset tiny --length-s 1 --steps 4 --batch-size 8 --device cpu"
