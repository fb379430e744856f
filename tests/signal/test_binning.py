import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from neuro.errors import ConfigError, DataError
from neuro.signal import CountSmoother, bin_counts, bin_index, gaussian_taps, smooth_counts

WIDTHS = [0.001, 0.02, 0.1, 1.4, 0.3, Fraction(1, 3), Fraction(1, 30), Fraction(5, 7), 2]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("t0", [0.0, 0.7, -3.3, 12345.678, 90000.1])
def test_a_spike_on_a_computed_edge_goes_to_the_bin_it_opens(width, t0):
    k = np.arange(100_000)
    step = float(width)
    by_product = t0 + k * step
    by_fraction = np.array([t0 + float(int(i) * Fraction(str(width))) for i in k[::97]])
    by_division = t0 + k / (1 / step)
    assert np.array_equal(bin_index(by_product, t0, width, 100_000), k)
    assert np.array_equal(bin_index(by_fraction, t0, width, 100_000), k[::97])
    assert np.array_equal(bin_index(by_division, t0, width, 100_000), k)
    assert np.array_equal(
        bin_index(t0 + np.arange(0, 100_000 * step, step)[:100_000], t0, width, 100_000), k
    )


@settings(deadline=None)
@given(
    t=st.floats(0, 3600, allow_subnormal=False),
    width=st.sampled_from([Fraction(1, 1000), Fraction(1, 50), Fraction(1, 3), Fraction(7, 5)]),
)
def test_every_other_spike_goes_where_exact_arithmetic_says(t, width):
    exact = Fraction(t) / width
    k = exact.numerator // exact.denominator
    distance = min(exact - k, k + 1 - exact)
    got = int(bin_index(np.array([t]), 0.0, width, 10_000_000)[0])
    if distance > Fraction(1, 10**6):
        assert got == k
    else:  # within a millionth of a bin of an edge: one of its two sides
        assert got in (k, k + 1)


def test_times_stored_as_float32_keep_their_bins():
    k = np.arange(2000)
    times = (k * 0.1).astype(np.float32)
    assert np.array_equal(bin_index(times, 0.0, 0.1, 2000), k)
    with pytest.raises(DataError, match="float32"):
        bin_index(times, 0.0, 0.001, 1_000_000)


def test_a_spike_measurably_before_an_edge_stays_below_it():
    # 1 microsecond before edges of 1 ms bins, an hour into the recording
    times = 3600 + np.arange(1, 1000) * 0.001 - 1e-6
    assert np.array_equal(bin_index(times, 3600.0, 0.001, 1000), np.arange(999))


def test_intervals_are_half_open_at_both_ends_of_the_grid():
    times = np.array([0.999999, 1.0, 1.499999, 1.5, 2.0 - 1e-6, 2.0, 5.0])
    assert bin_index(times, 1.0, 0.5, 2).tolist() == [-1, 0, 0, 1, 1, -1, -1]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 9999),
    n=st.integers(0, 300),
    n_units=st.integers(1, 7),
    n_bins=st.integers(1, 40),
)
def test_counts_equal_a_loop(seed, n, n_units, n_bins):
    rng = np.random.default_rng(seed)
    times, units = rng.uniform(-1, 5, n), rng.integers(0, n_units, n)
    counts = bin_counts(times, units, n_units, 0.0, 0.1, n_bins)
    expected = np.zeros((n_units, n_bins), int)
    for t, u in zip(times, units, strict=True):
        k = int(np.floor(t / 0.1))
        if 0 <= k < n_bins:
            expected[u, k] += 1
    assert counts.dtype == np.int64
    assert np.array_equal(counts, expected)


def test_order_of_spikes_and_type_of_units_do_not_matter():
    rng = np.random.default_rng(0)
    times, units = rng.uniform(0, 10, 1000), rng.integers(0, 5, 1000)
    expected = bin_counts(times, units, 5, 0.0, 0.02, 500)
    shuffle = rng.permutation(1000)
    for kind in (np.int32, np.uint8, np.uint64):
        got = bin_counts(times[shuffle], units[shuffle].astype(kind), 5, 0.0, 0.02, 500)
        assert np.array_equal(got, expected)
    assert expected.sum() == 1000


def test_blocks_of_spikes_join_without_a_seam(monkeypatch):
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 1000))
    whole = bin_index(times, 0.0, 0.02, 500)
    monkeypatch.setattr("neuro.signal.binning._BLOCK", 7)
    assert np.array_equal(bin_index(times, 0.0, 0.02, 500), whole)


@pytest.mark.slow
def test_ten_million_spikes_in_a_second():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 3600, 10_000_000))
    units = rng.integers(0, 100, 10_000_000).astype(np.int32)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        counts = bin_counts(times, units, 100, 0.0, 0.02, 180_000)
        best = min(best, time.process_time() - start)
    assert counts.sum() == 10_000_000
    assert best < 1.0  # seconds of one core


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"times_s": np.array([1.0, np.nan])}, DataError, r"times_s\[1\] is nan"),
        ({"unit_index": np.array([0, 9])}, DataError, "from 0 to 9"),
        ({"unit_index": np.array([0, -1])}, DataError, "from -1"),
        ({"unit_index": np.array([0.0, 1.0])}, DataError, "whole number"),
        ({"unit_index": np.array([0])}, DataError, "one whole number a spike"),
        ({"bin_s": 0.0}, ConfigError, "bin_s"),
        ({"bin_s": float("nan")}, ConfigError, "bin_s"),
        ({"n_bins": 0}, ConfigError, "n_bins"),
        ({"n_units": 0}, ConfigError, "n_units"),
        ({"t0": 1.6e9, "bin_s": 1e-5}, DataError, "subtract the start"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, match):
    arguments = {
        "times_s": np.array([0.1, 0.2]),
        "unit_index": np.array([0, 1]),
        "n_units": 2,
        "t0": 0.0,
        "bin_s": 0.1,
        "n_bins": 5,
    }
    with pytest.raises(error, match=match):
        bin_counts(**(arguments | change))


# --- smoothing -------------------------------------------------------------------------------

COUNTS = np.random.default_rng(0).poisson(2.0, (3, 200))


def test_smoothing_equals_scipy_inside():
    y = smooth_counts(COUNTS, 0.01, 0.03)
    expected = ndimage.gaussian_filter1d(COUNTS.astype(float), 3.0, axis=1, truncate=4.0)
    np.testing.assert_allclose(y[:, 12:-12], expected[:, 12:-12], atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_a_constant_rate_is_constant_up_to_the_edges(causal):
    y = smooth_counts(np.full((2, 50), 3), 0.01, 0.05, causal=causal)
    np.testing.assert_allclose(y, 3.0, rtol=1e-12)


def test_causal_smoothing_never_looks_ahead():
    x = np.zeros((1, 100))
    x[0, 40] = 1
    y = smooth_counts(x, 0.01, 0.05, causal=True)
    assert (y[0, :40] == 0).all()
    assert y[0].argmax() == 40
    assert smooth_counts(x, 0.01, 0.05)[0, 39] > 0


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_any_partition_gives_the_same_bits(cuts):
    stream = CountSmoother(3, 0.01, 0.04)
    parts = [stream.push(COUNTS[:, a:b]) for a, b in pairwise([0, *sorted(cuts), 200])]
    whole = smooth_counts(COUNTS, 0.01, 0.04, causal=True)
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_smoother_state():
    first, second = CountSmoother(3, 0.01, 0.04), CountSmoother(3, 0.01, 0.04)
    start = first.push(COUNTS[:, :50])
    second.load_state_dict(first.state_dict())
    assert np.array_equal(first.push(COUNTS[:, 50:]), second.push(COUNTS[:, 50:]))
    first.reset()
    assert np.array_equal(first.push(COUNTS[:, :50]), start)
    with pytest.raises(DataError, match=r"\(3, n\)"):
        first.push(COUNTS[:2])


def test_smoothing_respects_segments():
    y = smooth_counts(COUNTS, 0.01, 0.04, segments=[[0, 90], [100, 200]])
    np.testing.assert_array_equal(y[:, :90], smooth_counts(COUNTS[:, :90], 0.01, 0.04))
    assert np.isnan(y[:, 90:100]).all()


def test_taps():
    taps = gaussian_taps(0.01, 0.02, causal=True)
    assert taps.sum() == pytest.approx(1, abs=1e-15)
    assert (np.diff(taps) < 0).all()
    with pytest.raises(ConfigError, match="sigma_s"):
        gaussian_taps(0.01, 0.0)
