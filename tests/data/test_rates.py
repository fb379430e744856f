from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import exact_rate, sample_index
from neuro.errors import DataError


@pytest.mark.parametrize(
    ("given_rate", "exact"),
    [
        (1 / 1.4, Fraction(5, 7)),
        ("1/1.4", Fraction(5, 7)),
        (1 / 0.72, Fraction(25, 18)),
        (250 / 3, Fraction(250, 3)),
        ("250/3", Fraction(250, 3)),
        (256.0, Fraction(256)),
        (0.5, Fraction(1, 2)),
        (44100, Fraction(44100)),
        (1024.5, Fraction(2049, 2)),
        (1e-5, Fraction(1, 100_000)),
        (np.float64(500.0), Fraction(500)),
        (np.float32(128.0), Fraction(128)),
        (np.int64(250), Fraction(250)),
        (Fraction(3, 7), Fraction(3, 7)),
    ],
)
def test_simple_ratios_are_recognised(given_rate: object, exact: Fraction) -> None:
    assert exact_rate(given_rate) == exact  # type: ignore[arg-type]


def test_numpy_integers_do_not_stay_inside_the_fraction() -> None:
    # they would overflow silently in later products
    rate = exact_rate(np.int32(2_000_000_000))  # type: ignore[arg-type]
    assert type(rate.numerator) is int
    assert rate * 10 == 20_000_000_000


@pytest.mark.parametrize(
    "wrong", [0, -1, 0.0, float("nan"), float("inf"), "fast", "", "1/0", None, True, [250], "1/2/3"]
)
def test_rates_that_are_no_rate_are_refused(wrong: object) -> None:
    with pytest.raises(DataError, match="Hz"):
        exact_rate(wrong)  # type: ignore[arg-type]


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_float_ratio_of_small_integers_comes_back_exact(top: int, bottom: int) -> None:
    assert exact_rate(top / bottom) == Fraction(top, bottom)


RATES = [Fraction(5, 7), Fraction(250, 3), Fraction(256), Fraction(30_000), Fraction(25, 18)]


@pytest.mark.parametrize("rate", RATES)
@given(sample=st.integers(0, 10**9), t0=st.floats(-1e4, 1e4))
def test_the_time_of_a_sample_maps_back_to_it(rate: Fraction, sample: int, t0: float) -> None:
    sample = int(sample % (rate * 48 * 3600 + 1))  # two days
    t = t0 + sample * rate.denominator / rate.numerator
    assert sample_index(t, t0, rate) == sample


@pytest.mark.parametrize("rate", RATES)
@given(sample=st.integers(1, 10**9), part=st.floats(0.01, 0.99))
def test_times_between_samples_round_up(rate: Fraction, sample: int, part: float) -> None:
    sample = int(sample % (rate * 24 * 3600) + 1)
    t = (sample - part) * rate.denominator / rate.numerator
    assert sample_index(t, 0.0, rate) == sample


def test_no_drift_over_ten_hours_at_250_over_3_hz() -> None:
    # a rate rounded to 83.33 Hz would be 120 samples off by then
    assert sample_index(36_000.0, 0.0, exact_rate("250/3")) == 3_000_000


def test_no_drift_over_hours_of_1400_ms_volumes() -> None:
    assert [sample_index(i * 1.4, 0.0, exact_rate(1 / 1.4)) for i in (1, 857, 25_714)] == [
        1,
        857,
        25_714,
    ]


def test_times_counted_from_1970_still_find_their_sample() -> None:
    # float64 knows such times to 2e-7 s: 2e-4 samples at 1 kHz, above the fixed tolerance
    t0, rate = 1.7e9 + 0.1, Fraction(1000)
    found = [sample_index(t0 + i / 1000, t0, rate) for i in range(2000)]
    assert found == list(range(2000))
