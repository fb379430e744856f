import numpy as np
import pytest

from neuro.data import Axis, Events, Recording, Regular

NAMES = ("C3", "Cz", "C4", "O1")


def _run(seed, n_trials=10, effect=8.0):
    """Cues every two seconds; a 12 Hz rhythm at C3 is louder after "left"."""
    rng = np.random.default_rng(seed)
    x = 5 * rng.standard_normal((4, 500 * n_trials + 250))
    t = np.arange(400) / 250
    starts = 100 + 500 * np.arange(n_trials)
    labels = rng.permutation(["left", "right"] * (n_trials // 2))
    for start, label in zip(starts, labels, strict=True):
        if label == "left":
            x[0, start : start + 400] += effect * np.sin(2 * np.pi * 12 * t)
    signal = Regular(x.astype(np.float32), 250, "uV", Axis(NAMES, "eeg"), "eeg")
    return Recording({"eeg": signal}, Events.make(starts / 250, labels), id=f"run{seed}")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Four recordings with a planted effect, as files."""
    import neuro

    folder = tmp_path_factory.mktemp("runs")
    for seed in range(4):
        neuro.save(_run(seed), folder / f"run{seed}.h5")
    return sorted(folder.iterdir())


@pytest.fixture
def settings():
    from neuro.bci import Settings
    from neuro.stream import Plan, Power

    return Settings(plan=Plan(0.2, 1.5, 0.5, 0.25), family=Power(fmin=6, fmax=30))


@pytest.fixture
def workspace(runs, settings, tmp_path):
    """Three runs and settings that fit them."""
    from neuro.bci import Workspace

    out = Workspace.create(tmp_path / "anna", classes=("left", "right"))
    for path in runs[:3]:
        out.add_run(path)
    out.settings = settings
    return out
