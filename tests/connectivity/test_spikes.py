"""Spike measures: planted lags, jitter nulls that keep their level, the locust."""

import numpy as np
import pytest

from neuro.connectivity.spikes import coupling, cross_correlograms, spike_field_coherence
from neuro.data import Axis, Irregular, Regular
from neuro.errors import ConfigError, DataError


def trains(*times, support=((0.0, 100.0),)):
    t = np.concatenate(times)
    unit = np.repeat(np.arange(len(times)), [len(v) for v in times])
    order = np.argsort(t, kind="stable")
    names = [f"u{i}" for i in range(len(times))]
    return Irregular(t[order], unit[order], Axis(names, "unit"), support)


def poisson(rng, rate, stop=99.0):
    return np.sort(rng.uniform(0, stop, rng.poisson(rate * stop)))


def test_counts_equal_brute_force():
    rng = np.random.default_rng(0)
    a, b = poisson(rng, 8), poisson(rng, 5)
    found = cross_correlograms(trains(a, b), bin_s=0.004, max_lag_s=0.04)
    edges = np.append(found.lags_s - 0.002, found.lags_s[-1] + 0.002)
    expected = np.histogram((b[None] - a[:, None]).ravel(), edges)[0]
    np.testing.assert_array_equal(found.counts[0, 1], expected)
    np.testing.assert_array_equal(found.counts[1, 0], expected[::-1])
    own = (a[None] - a[:, None])[~np.eye(len(a), dtype=bool)]
    np.testing.assert_array_equal(found.counts[0, 0], np.histogram(own, edges)[0])


def test_target_that_follows_has_a_positive_lag():
    rng = np.random.default_rng(1)
    a = poisson(rng, 6)
    found = cross_correlograms(trains(a, a + 0.007), max_lag_s=0.02)
    assert found.lags_s[found.counts[0, 1].argmax()] == pytest.approx(0.007)
    assert found.lags_s[found.counts[1, 0].argmax()] == pytest.approx(-0.007)


def test_expected_counts_of_independent_trains():
    rng = np.random.default_rng(2)
    found = cross_correlograms(trains(poisson(rng, 20), poisson(rng, 30)), max_lag_s=0.05)
    observed, expected = found.counts[0, 1].sum(), found.expected[0, 1].sum()
    assert observed == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_pairs_across_a_gap_are_not_counted():
    spikes = trains(np.array([9.999]), np.array([10.001]), support=((0, 10), (10, 20)))
    assert cross_correlograms(spikes, max_lag_s=0.01).counts.sum() == 0
    joined = trains(np.array([9.999]), np.array([10.001]), support=((0, 20),))
    assert cross_correlograms(joined, max_lag_s=0.01).counts.sum() == 2


def test_jitter_null_keeps_its_level_under_common_slow_rates_and_finds_the_fast():
    rng = np.random.default_rng(3)
    ps = []
    for _ in range(12):
        grid = np.arange(0, 60, 0.001)
        rate = 12 * (1 + np.sin(2 * np.pi * 0.5 * grid))  # shared, two seconds long
        a, b = (
            t + rng.uniform(0, 0.001, len(t))
            for t in (grid[rng.random(len(grid)) < rate * 0.001] for _ in range(2))
        )
        found = cross_correlograms(trains(a, b), bin_s=0.002, max_lag_s=0.02, jitter_s=0.05,
                                   n=39, seed=int(rng.integers(1000)))  # fmt: skip
        ps.append(found.p_pair[0, 1])
    # at 5 % of 12 pairs 0.6 are expected; four or more have probability 0.002
    assert (np.array(ps) <= 0.05).sum() < 4
    synchronous = np.sort(np.r_[b[::3] + 0.004, a])
    found = cross_correlograms(trains(synchronous, b), bin_s=0.002, max_lag_s=0.02,
                               jitter_s=0.05, n=39)  # fmt: skip
    assert found.p_pair[0, 1] <= 0.05
    assert found.p[0, 1, found.lags_s.searchsorted(-0.0041)] <= 0.05


def test_jitter_narrower_than_a_bin_is_refused():
    with pytest.raises(ConfigError, match="wider than a bin"):
        cross_correlograms(trains(np.array([1.0]), np.array([2.0])), bin_s=0.01, jitter_s=0.005)


def field_of(x, fs=1000):
    return Regular(np.atleast_2d(x), fs, "uV", Axis([f"f{i}" for i in range(len(np.atleast_2d(x)))],
                                                    "lfp"), "lfp")  # fmt: skip


def locked(rng, depth, n=40_000):
    wave = np.cos(2 * np.pi * 30 * np.arange(n) / 1000)
    t = (np.flatnonzero(rng.random(n) < 0.03 * (1 + depth * wave)) + 0.5) / 1000
    return wave, trains(t, support=((0, n / 1000),))


def test_coherence_equals_scipy():
    from scipy.signal import coherence

    rng = np.random.default_rng(0)
    wave, spikes = locked(rng, 0.8)
    x = (wave + rng.standard_normal(len(wave))).astype(np.float32)
    counts = np.bincount((spikes.times_s * 1000).astype(int), minlength=len(x))
    freqs, expected = coherence(counts, x, 1000, window="hann", nperseg=500, noverlap=250)
    found = spike_field_coherence(spikes, field_of(x), squared=True)
    np.testing.assert_allclose(found.values[0, 0], expected[1:], atol=1e-8)
    np.testing.assert_array_equal(found.freqs, freqs[1:])
    assert found.freqs[found.values[0, 0].argmax()] == 30


def test_chance_is_what_unrelated_signals_give():
    rng = np.random.default_rng(0)
    _, spikes = locked(rng, 0.0)
    found = spike_field_coherence(spikes, field_of(rng.standard_normal((3, 40_000))))
    assert found.values.mean() == pytest.approx(found.chance, rel=0.1)


def test_one_window_is_refused():
    _, spikes = locked(np.random.default_rng(0), 0.5, n=2000)
    with pytest.raises(DataError, match="near 1 whatever the data"):
        spike_field_coherence(spikes, field_of(np.zeros(2000)), length_s=2)


@pytest.mark.network
def test_locust_spikes_follow_the_sound(dataset):
    recording = dataset("locust")[0]
    found = spike_field_coherence(recording.stream("spikes"), recording.stream("stimulus"),
                                  length_s=0.512, fmax=600, squared=True)  # fmt: skip
    value = found.values[0, 0]
    # on record: peak 0.55 at 92 Hz, mean 0.30 below 100 Hz and 0.05 above 300 Hz
    assert value.max() == pytest.approx(0.55, abs=0.02)
    assert found.freqs[value.argmax()] == pytest.approx(92, abs=2)
    assert value[found.freqs < 100].mean() == pytest.approx(0.30, abs=0.03)
    assert value[found.freqs > 300].mean() == pytest.approx(0.05, abs=0.01)


def driven(n=20_000):
    rng = np.random.default_rng(0)
    a = rng.poisson(0.1, n)
    b = rng.poisson(0.05 * np.exp(1.5 * np.r_[0, 0, a[:-2]]))
    c = rng.poisson(0.1, n)
    return np.stack([a, b, c])


def test_coupling_recovers_the_planted_filter_and_nothing_else():
    found = coupling(driven(), bin_s=0.005, n_lags=3)
    # 2,000 spikes of the source: standard error about 0.07, pulled a little by the ridge
    assert found.filters[0, 1, 1] == pytest.approx(1.5, abs=0.2)
    rest = found.filters.copy()
    rest[0, 1, 1] = 0
    assert np.abs(rest).max() < 0.4
    assert found.explained[1] > 0.05 > found.explained[2]
    assert found.lags_s.tolist() == [0.005, 0.01, 0.015]


def test_coupling_takes_any_model():
    calls = []

    def flat(design, y):
        calls.append(design.shape)
        return float(np.log(y.mean())), np.zeros(design.shape[1])

    found = coupling(driven(1000), bin_s=0.005, n_lags=2, fit=flat)
    assert calls == [(998, 6)] * 3
    np.testing.assert_allclose(found.explained, 0, atol=1e-9)


def test_lags_stay_inside_segments():
    counts = Regular(driven(1000), 200, "counts", Axis(["a", "b", "c"], "unit"), "spikes",
                     segments=[[0, 500], [500, 1000]])  # fmt: skip
    seen = []

    def note(design, y):
        seen.append(len(y))
        return 0.0, np.zeros(design.shape[1])

    coupling(counts, n_lags=5, fit=note)
    assert seen == [2 * 495] * 3
