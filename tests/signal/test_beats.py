"""Beats of a heart, and what follows them in other signals."""

import numpy as np
import pytest

from neuro.errors import DataError
from neuro.signal import heart_beats, locked_share


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_beats_are_found_on_a_drifting_noisy_ecg(sign: float) -> None:
    rng = np.random.default_rng(0)
    beat_s = np.cumsum(rng.uniform(0.7, 1.1, 60))
    t = np.arange(0, beat_s[-1] + 1, 1 / 200)
    since = t[:, None] - beat_s[None]
    ecg = (np.exp(-((since / 0.015) ** 2)) + 0.2 * np.exp(-(((since - 0.3) / 0.06) ** 2))).sum(1)
    ecg = sign * 800 * ecg + 500 * np.sin(2 * np.pi * 0.2 * t) + 30 * rng.standard_normal(len(t))
    found = heart_beats(ecg, 200.0) / 200
    assert len(found) == 60
    assert np.abs(found - beat_s).max() < 0.01


def test_what_repeats_is_measured_without_the_bias_of_noise() -> None:
    rng = np.random.default_rng(1)
    starts = np.arange(0, 40_000, 200)
    wave = np.tile(np.sin(np.arange(200) / 5), 200)
    noise = rng.standard_normal((3, 40_000))
    share = locked_share(noise + np.array([[0.0], [0.5], [2.0]]) * wave, starts, 200)
    power = wave.reshape(200, 200).var(axis=1).mean()
    expected = [g**2 * power / (g**2 * power + 1) for g in (0.0, 0.5, 2.0)]
    assert share == pytest.approx(expected, abs=0.01)


def test_too_few_events_are_refused() -> None:
    with pytest.raises(DataError, match="8 are needed"):
        locked_share(np.zeros(100), np.arange(0, 100, 20), 10)
