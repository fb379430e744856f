"""Small recordings the tests of this room share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular


def _eeg(
    n_chans: int = 3, seconds: float = 20.0, sfreq: float = 100.0, sd: float = 20.0, **stream: Any
) -> Regular:
    names = ["Fz", "Cz", "Pz", "Oz", "C3", "C4", "F3", "F4"][:n_chans]
    rng = np.random.default_rng(0)
    x = sd * rng.standard_normal((n_chans, round(seconds * sfreq)))
    return Regular(x.astype(np.float32), sfreq, "uV", Axis(names, "eeg"), "eeg", **stream)


@pytest.fixture
def eeg() -> Callable[..., Regular]:
    """Make an EEG stream of white noise, sd 20 uV."""
    return _eeg


@pytest.fixture
def make() -> Callable[..., Recording]:
    """Make a recording with one stream `eeg`; stream options by `stream={...}`."""

    def build(stream: dict[str, Any] | None = None, **facts: Any) -> Recording:
        return Recording({"eeg": _eeg(**(stream or {}))}, **facts)

    return build
