"""Resting scans of two groups hold the modules, the coupling and the time they promise."""

import numpy as np
import pytest

from neuro.datasets import synthetic
from neuro.datasets.synthetic import Simulation
from neuro.typing import FloatArray


@pytest.fixture(scope="module")
def made() -> Simulation:
    return synthetic.modular_bold(3, n_scans=60, n_rois=15, n_modules=3)


def values(simulation: Simulation) -> FloatArray:
    return np.stack([r.regular("bold").values() for r in simulation.recordings])


def test_correlations_are_the_expected_ones(made: Simulation) -> None:
    found = np.array([np.corrcoef(x) for x in values(made)])
    for group, here in enumerate((~made.truth["patient"], made.truth["patient"])):
        # 30 scans worth some 20 independent samples each: standard error 0.04
        error = found[here].mean(0) - made.truth["correlation"][group]
        assert np.abs(error).mean() < 0.03
        assert np.abs(error).max() < 0.15
    assert [r.group for r in made.recordings[:2]] == ["control", "patient"]


def test_groups_differ_between_two_modules_only(made: Simulation) -> None:
    control, patient = made.truth["correlation"]
    module = made.truth["module"]
    pair = np.isin(module, (0, 1))
    changed = pair[:, None] & pair[None] & (module[:, None] != module[None])
    difference = patient - control
    assert (difference[changed] > 0.2).all()
    assert np.abs(difference[~changed]).max() < 1e-12
    assert np.bincount(module).tolist() == [5, 5, 5]


def test_another_tr_samples_the_same_signals() -> None:
    facts = {"n_scans": 2, "n_rois": 4, "n_modules": 2}
    fast = synthetic.modular_bold(1, n_volumes=100, tr=0.72, **facts)
    slow = synthetic.modular_bold(1, n_volumes=50, tr=1.44, **facts)
    longer = synthetic.modular_bold(1, n_volumes=150, tr=0.72, **facts)
    np.testing.assert_array_equal(values(fast)[..., ::2], values(slow))
    # the spline's last intervals know of what follows
    np.testing.assert_allclose(values(longer)[..., :90], values(fast)[..., :90], atol=1e-3)
    assert slow.recordings[0].regular("bold").rate * 36 == 25


def test_signals_are_as_slow_as_blood(made: Simulation) -> None:
    x = values(made) * np.hanning(420)
    power = np.abs(np.fft.rfft(x)) ** 2
    fast = np.fft.rfftfreq(420, 0.72) > 0.1
    # 0.006 when written: AR(1) of 6.8 s through the HRF
    assert power[..., fast].sum() / power.sum() < 0.02
