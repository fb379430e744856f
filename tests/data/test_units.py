from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import Axis, Regular, check_plausible, conversion_factor
from neuro.data.plausible import typical_sd
from neuro.data.units import canonical_unit, unit_name
from neuro.errors import UnitError

Make = Callable[..., Regular]
VOLTS = ["V", "mV", "uV", "nV"]


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("V", "uV", 1e6),
        ("mV", "uV", 1e3),
        ("uV", "V", 1e-6),
        ("T", "fT", 1e15),
        ("T/m", "fT/cm", 1e13),
        ("mm", "m", 1e-3),
        ("au", "au", 1.0),
        ("µV", "uV", 1.0),
        ("μV", "microvolts", 1.0),
    ],
)
def test_factors(source: str, target: str, factor: float) -> None:
    assert conversion_factor(source, target) == factor


@given(st.sampled_from(VOLTS), st.sampled_from(VOLTS), st.sampled_from(VOLTS))
def test_conversion_by_way_of_a_third_unit_is_the_same(a: str, b: str, c: str) -> None:
    # twelve digits are kept of each factor
    via = conversion_factor(a, b) * conversion_factor(b, c)
    assert via == pytest.approx(conversion_factor(a, c), rel=1e-11)


@pytest.mark.parametrize("pair", [("uV", "fT"), ("au", "uV"), ("z", "percent"), ("V", "T/m")])
def test_units_of_different_things_do_not_convert(pair: tuple[str, str]) -> None:
    with pytest.raises(UnitError, match="Cannot convert"):
        conversion_factor(*pair)


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(UnitError, match=r"Did you mean 'uV'\?"):
        unit_name("uVV")


def test_canonical_units() -> None:
    assert [canonical_unit(m) for m in ("eeg", "ieeg", "meg", "spikes", "bold")] == [
        "uV",
        "uV",
        "fT",
        "counts",
        None,
    ]


def _labelled(eeg: Make, sd: float, unit: str = "uV", modality: str = "eeg") -> Regular:
    x = eeg(sd=1.0).values() * np.float32(sd)
    return Regular(x, 100, unit, Axis(["Fz", "Cz", "Pz"], "eeg"), modality)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sd", "unit", "remedy"),
    [
        (20e-6, "uV", "unit='V'"),
        (20e-3, "uV", "unit='mV'"),
        (20e3, "uV", "unit='nV'"),
        (20e6, "uV", "microvolts that were read as volts"),
    ],
)
def test_mislabelled_amplitudes_are_refused_with_the_likely_unit(
    eeg: Make, sd: float, unit: str, remedy: str
) -> None:
    with pytest.raises(UnitError, match=remedy):
        check_plausible(_labelled(eeg, sd, unit))


def test_microvolts_labelled_volts_are_refused_before_conversion(eeg: Make) -> None:
    with pytest.raises(UnitError, match="labelled V has a typical standard deviation of"):
        check_plausible(_labelled(eeg, 20.0, "V"))


@pytest.mark.parametrize(
    ("sd", "unit", "modality"),
    [
        (20.0, "uV", "eeg"),
        (20e-6, "V", "eeg"),
        (1e-9, "au", "eeg"),
        (1e9, "uV", "physio"),
        (3000.0, "uV", "ieeg"),
        (500.0, "fT", "meg"),
    ],
)
def test_plausible_or_unbounded_amplitudes_pass(
    eeg: Make, sd: float, unit: str, modality: str
) -> None:
    check_plausible(_labelled(eeg, sd, unit, modality))


def test_a_large_offset_is_not_an_amplitude(eeg: Make) -> None:
    stream = Regular(eeg().values() + 4270, 100, "uV", Axis(["a", "b", "c"], "eeg"), "eeg")
    check_plausible(stream)
    # sampling error of a median of 120 deviations of 200 samples each
    assert typical_sd(stream) == pytest.approx(20.0, rel=0.02)


def test_flat_and_bad_channels_say_nothing_about_the_unit(eeg: Make) -> None:
    x = eeg().values().copy()
    x[0], x[1] = 0.0, 1e7 * x[1]
    axis = Axis(["flat", "broken", "good"], "eeg", bad=[False, True, False])
    check_plausible(Regular(x, 100, "uV", axis, "eeg"))


def test_steps_between_short_segments_are_not_amplitude() -> None:
    # epochs of 0.5 s on offsets of 0, 1000, 2000 … uV: reading 2 s would cross them
    rng = np.random.default_rng(0)
    x = 20 * rng.standard_normal((1, 20, 50)) + 1000 * np.arange(20)[:, None]
    segments = np.stack([np.arange(20) * 50, np.arange(20) * 50 + 50], axis=1)
    stream = Regular(x.reshape(1, -1), 100, "uV", Axis(["Cz"], "eeg"), "eeg", segments=segments)
    check_plausible(stream)
    # sampling error of a median of 20 deviations of 50 samples
    assert typical_sd(stream) == pytest.approx(20, rel=0.1)
