import numpy as np
import pytest

import neuro
from neuro.bci import Workspace
from neuro.bci.courses import erd_courses
from neuro.data import Axis, Events, Recording, Regular
from neuro.errors import DataError


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A 12 Hz rhythm at C3 that loses 60 % of its amplitude from 1 to 3 s after "left"."""
    folder = tmp_path_factory.mktemp("erd")
    rng = np.random.default_rng(0)
    t = np.arange(30 * 1500) / 250
    x = 0.5 * rng.standard_normal((3, len(t)))
    gain = np.ones(len(t))
    onsets = 2.0 + 6.0 * np.arange(29)
    labels = np.array(["left", "right"])[np.arange(29) % 2]
    for onset, label in zip(onsets, labels, strict=True):
        if label == "left":
            gain[round((onset + 1) * 250) : round((onset + 3) * 250)] = 0.4
    x[0] += 5 * gain * np.sin(2 * np.pi * 12 * t + 0.3)
    signal = Regular(x.astype(np.float32), 250, "uV", Axis(("C3", "Cz", "C4"), "eeg"), "eeg")
    neuro.save(Recording({"eeg": signal}, Events.make(onsets, labels)), folder / "run.h5")
    out = Workspace.create(folder / "session", classes=("left", "right"))
    out.add_run(folder / "run.h5")
    from neuro.bci import Settings

    out.settings = Settings(reference=None)
    return out


def test_a_planted_desynchronisation_has_its_size_place_and_time(workspace):
    found = erd_courses(workspace, 10, 14)
    assert found.n_trials == {"left": 15, "right": 14}
    during = (found.times > 1.3) & (found.times < 2.7)
    outside = (found.times < 0.7) | (found.times > 3.3)
    left, right = found.percent["left"], found.percent["right"]
    # 40 % of the amplitude is 16 % of the power
    np.testing.assert_allclose(left[0, during], -84, atol=3)
    assert np.abs(left[0, outside]).max() < 8
    assert np.abs(right[0]).max() < 8
    assert np.abs(left[2]).max() < 60  # noise alone, 15 trials


def test_a_course_needs_a_baseline(workspace):
    with pytest.raises(DataError, match=r"no window of 0\.5 s ends before the cue"):
        erd_courses(workspace, 10, 14, start_s=-0.2)
