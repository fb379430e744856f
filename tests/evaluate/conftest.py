import importlib.util
from pathlib import Path

import numpy as np
import pytest

_HERE = Path(__file__).parent


def _load(name):
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trials():
    return _load("simulated").trials


@pytest.fixture(scope="session")
def child_script():
    return _HERE / "simulated.py"


@pytest.fixture
def ramp():
    """One continuous recording whose first channel follows a slow target."""
    from neuro.data import Axis, Recording, Regular, windows

    rng = np.random.default_rng(3)
    t = np.arange(6000) / 50
    target = np.sin(2 * np.pi * t / 17)
    x = rng.normal(size=(3, len(t)))
    x[0] += 2 * target
    rec = Recording(
        {"x": Regular(x, 50, "uV", Axis(["a", "b", "c"], "eeg"), "eeg")},
        dataset="ramp",
        subject="01",
        run="1",
    )

    def label(recording, start_s, stop_s):
        return float(np.sin(2 * np.pi * (start_s + stop_s) / 2 / 17))

    return windows(rec, stream="x", length_s=1.0, label=label)
