"""Volumes stand where their triggers stand, whatever was lost or drifts."""

from typing import Any

import numpy as np
import pytest

from neuro.data import Axis, Clock, Events, Recording, Regular, joined_by_triggers
from neuro.errors import DataError


def _eeg(onset: Any, kind: str = "R149") -> Recording:
    x = Regular(np.ones((1, 9000)), 100, "uV", Axis(["Cz"], "eeg"), "eeg")
    return Recording({"eeg": x}, Events.make(onset, [kind] * len(onset)), subject="01")


def _bold(n: int = 30, tr: float = 2.0, t0_s: float = 0.0) -> Recording:
    x = np.arange(float(n))[None]
    return Recording({"bold": Regular(x, 1 / tr, "z", Axis(["r"], "roi"), "bold", t0_s=t0_s)})


def test_volumes_are_put_at_their_triggers() -> None:
    made = joined_by_triggers(_eeg(5 + 2.0 * np.arange(30)), _bold())
    assert made.clock("bold") == Clock(1.0, 5.0)
    assert made.subject == "01"
    assert "30 triggers R149" in made.provenance.steps[-1]


def test_a_drifting_clock_is_followed() -> None:
    made = joined_by_triggers(_eeg(5 + 2.0003 * np.arange(30)), _bold())
    assert made.clock("bold").a == pytest.approx(1.00015, abs=1e-7)


def test_lost_triggers_are_bridged() -> None:
    onset = np.delete(5 + 2.0 * np.arange(30), [3, 4, 17])
    made = joined_by_triggers(_eeg(onset), _bold())
    assert made.clock("bold") == Clock(1.0, 5.0)
    assert "3 lost" in made.provenance.steps[-1]


def test_dummy_volumes_are_counted_off() -> None:
    eeg = _eeg(5 + 2.0 * np.arange(34))
    with pytest.raises(DataError, match="first_volume=4 if dummy volumes were dropped"):
        joined_by_triggers(eeg, _bold())
    assert joined_by_triggers(eeg, _bold(), first_volume=4).clock("bold").b == 13.0
    assert joined_by_triggers(eeg, _bold(), first_volume=0).clock("bold").b == 5.0


def test_the_slice_reference_counts_from_the_trigger() -> None:
    made = joined_by_triggers(_eeg(5 + 2.0 * np.arange(30)), _bold(t0_s=1.0))
    bold = made.regular("bold")
    assert made.clock("bold").to_session(bold.time(0)) == pytest.approx(6.0)


def test_names_of_amplifiers_are_understood() -> None:
    made = joined_by_triggers(_eeg(5 + 2.0 * np.arange(30), "Response/R 149"), _bold())
    assert made.clock("bold").b == 5.0


@pytest.mark.parametrize(
    ("onset", "words"),
    [
        (5 + 2.5 * np.arange(30), "repetition time"),
        (5 + 0.25 * np.arange(240), "8 a volume"),
        (5 + 2.0 * np.arange(28), "cut the BOLD"),
        (np.sort(np.append(5 + 2.0 * np.arange(30), 9.1)), "doubled"),
        (5 + 2.0 * np.arange(30) + np.r_[np.zeros(15), 0.4 * np.ones(15)], "interrupted"),
        ([5.0], "has 1 events"),
    ],
    ids=["other TR", "slices", "too few", "doubled", "interrupted", "missing"],
)
def test_triggers_that_do_not_fit_are_told(onset: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        joined_by_triggers(_eeg(onset), _bold())


def test_a_second_bold_is_refused() -> None:
    made = joined_by_triggers(_eeg(5 + 2.0 * np.arange(30)), _bold())
    with pytest.raises(DataError, match="already"):
        joined_by_triggers(made, _bold())
