"""Dynamic connectivity: weighted moments by definition, gaps, phases, states."""

import numpy as np
import pytest

from neuro.connectivity import (
    cluster_states,
    connectivity,
    correlation,
    dynamics_test,
    edge_series,
    ewma_correlation,
    kuramoto_order,
    leading_eigenvectors,
    phase_coherence,
    phases,
    state_summary,
    windowed_correlation,
)
from neuro.connectivity.dynamic import taper_weights
from neuro.errors import ConfigError, DataError

UPPER = np.triu_indices(6, 1)


@pytest.fixture(scope="module")
def series():
    return np.random.default_rng(0).standard_normal((6, 260)).cumsum(axis=1)


def by_definition(x, start, weights):
    part = x[:, start : start + len(weights)]
    mean = part @ weights
    cov = (weights * (part - mean[:, None])) @ (part - mean[:, None]).T
    return (cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov))))[UPPER]


@pytest.mark.parametrize("step_s", [2.0, 6.0, 30.0])
@pytest.mark.parametrize("taper", ["boxcar", "hann", "hamming", "gaussian", "tukey"])
def test_weighted_correlation_by_definition(series, taper, step_s):
    found = windowed_correlation(series, 0.5, window_s=60, step_s=step_s, taper=taper)
    weights = taper_weights(taper, 30)
    step = round(step_s / 2)
    for k in (0, 1, len(found.values) - 1):
        expected = by_definition(series, k * step, weights)
        np.testing.assert_allclose(found.values[k], expected, atol=1e-10)


def test_boxcar_is_pearson(series):
    found = windowed_correlation(series, 0.5, window_s=60, taper="boxcar")
    np.testing.assert_allclose(
        found.values[100], np.corrcoef(series[:, 100:130])[UPPER], atol=1e-10
    )


@pytest.mark.parametrize("taper", ["hann", "gaussian"])
def test_offset_changes_nothing(series, taper):
    plain = windowed_correlation(series, 0.5, window_s=60, taper=taper).values
    moved = windowed_correlation(series + 1e4, 0.5, window_s=60, taper=taper).values
    # 1e4 leaves 1e-12 of float64's digits; multiplying the signal by the taper fails this by 0.7
    np.testing.assert_allclose(moved, plain, atol=1e-9)


def test_long_series_does_not_drift():
    x = np.random.default_rng(1).standard_normal((3, 20_000))
    found = windowed_correlation(x, 1.0, window_s=50, dtype=np.float32).values[-1]
    exact = windowed_correlation(x[:, -50:], 1.0, window_s=50).values[0]
    np.testing.assert_allclose(found, exact, atol=1e-5)  # float32 holds seven digits


def test_threads_and_form_do_not_change_a_bit(series):
    one = windowed_correlation(series, 0.5, threads=1).values
    two = windowed_correlation(series, 0.5, threads=2, form="matrix").values
    np.testing.assert_array_equal(two[:, *UPPER], one)
    assert (np.diagonal(two, axis1=1, axis2=2) == 1).all()


def test_windows_are_in_seconds(series):
    fast = windowed_correlation(series, 1 / 0.72, window_s=36, step_s=2.16)
    # 36 s are 50 volumes of 0.72 s, 2.16 s are three
    assert fast.values.shape[0] == (260 - 50) // 3 + 1
    assert np.diff(fast.centres_s) == pytest.approx(2.16)


def test_no_window_crosses_a_gap(series):
    segments = np.array([[0, 80], [85, 100], [120, 260]])
    broken = series.copy()
    broken[:, 80:85] = np.nan
    found = windowed_correlation(broken, 0.5, window_s=60, segments=segments)
    assert np.unique(found.run).tolist() == [0, 2]  # 15 volumes hold no window of 30
    assert len(found.run) == (80 - 30 + 1) + (140 - 30 + 1)
    # compared with what windowing each stretch alone gives
    alone = windowed_correlation(series[:, 120:260], 0.5, window_s=60)
    np.testing.assert_allclose(found.values[found.run == 2], alone.values, atol=1e-10)
    np.testing.assert_allclose(found.centres_s[found.run == 2], alone.centres_s + 240)


def test_window_longer_than_every_kept_stretch_is_refused(series):
    segments = np.array([[0, 20], [30, 50]])
    with pytest.raises(DataError, match=r"longest has 40 s. Kept stretches are not spliced"):
        windowed_correlation(series, 0.5, window_s=60, segments=segments)


def test_standing_still_in_a_window_is_nan_there_only(series):
    x = series.copy()
    x[2, 100:160] = 7.0
    values = windowed_correlation(x, 0.5, window_s=60, taper="boxcar", form="matrix").values
    assert np.isnan(values[110, 2, [0, 1, 3]]).all()
    assert np.isfinite(values[110, 0, 1])
    assert np.isfinite(values[50]).all()


def test_missing_rate_is_refused(series):
    with pytest.raises(ConfigError, match="tr= in seconds"):
        connectivity(series, method="sliding_window")


def test_milliseconds_are_refused(series):
    with pytest.raises(ConfigError, match="looks like milliseconds"):
        connectivity(series, method="sliding_window", tr=720)


def test_trials_are_refused_for_dynamics(series):
    trials = np.stack([series, series])
    with pytest.raises(ConfigError, match="one continuous stretch"):
        connectivity(trials, 1.0, method="ewma", average="time")


def test_ewma_by_definition(series):
    found = ewma_correlation(series, 0.5, tau_s=30)
    weights = np.exp(-np.arange(200)[::-1] / 15)
    expected = by_definition(series[:, :200], 0, weights / weights.sum())
    at = int(np.flatnonzero(found.centres_s == 199 * 2)[0])
    np.testing.assert_allclose(found.values[at], expected, atol=1e-10)


def test_edge_series_average_to_pearson(series):
    kept = np.r_[0:100, 150:260]
    edges = edge_series(series, 0.5, segments=np.array([[0, 100], [150, 260]]))
    np.testing.assert_allclose(
        edges.values.mean(axis=0), correlation(series[:, kept])[UPPER], atol=1e-10
    )
    assert edges.centres_s[100] == 300.0


# ---- phases ------------------------------------------------------------------------


def sines(lags, tr=2.0, n=600, f=0.05):
    t = np.arange(n) * tr
    return np.stack([np.sin(2 * np.pi * f * t - lag) for lag in lags])


def test_phase_lag_of_a_third_of_pi_gives_half():
    found = phase_coherence(phases(sines([0, np.pi / 3]), 0.5, trim_periods=6))
    assert len(found) == 600 - 2 * 100
    # nearer to the ends the filter still settles: one period there leaves up to 0.1
    np.testing.assert_allclose(found, 0.5, atol=0.01)


def test_phases_leave_one_period_out_at_each_end():
    angles = phases(sines([0, 1]), 0.5, band=(0.04, 0.06), segments=np.array([[0, 300]]))
    valid = np.flatnonzero(np.isfinite(angles[0]))
    assert (valid[0], valid[-1]) == (13, 300 - 13 - 1)  # 25 s of 2 s volumes


def test_leida_finds_two_communities_in_anti_phase():
    x = sines([0, 0.1, 0, np.pi, np.pi + 0.1, 0.05])
    v = leading_eigenvectors(phases(x, 0.5))
    sign = np.sign(v)
    assert (sign == [-1, -1, -1, 1, 1, -1]).all()


def test_leading_eigenvectors_equal_numpy():
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (7, 40))
    found = leading_eigenvectors(angles)
    for t in range(40):
        matrix = np.cos(angles[:, t, None] - angles[None, :, t])
        v = np.linalg.eigh(matrix)[1][:, -1]
        assert abs(found[t] @ v) == pytest.approx(1, abs=1e-10)
        assert (found[t] < 0).sum() >= (found[t] > 0).sum()


def test_kuramoto_order_of_noise_is_that_of_chance():
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (100, 2000))
    # Rayleigh: mean sqrt(pi / 4 / n)
    assert kuramoto_order(angles).mean() == pytest.approx(np.sqrt(np.pi / 400), rel=0.05)


def test_band_at_nyquist_is_refused():
    with pytest.raises(DataError, match="Nyquist"):
        phases(sines([0, 1]), 0.5, band=(0.1, 0.25))


def test_stretch_shorter_than_its_ends_is_refused():
    with pytest.raises(DataError, match="not spliced"):
        phases(sines([0, 1], n=30), 0.5)


# ---- states ------------------------------------------------------------------------


def switching(seed, n_rois=12, tr=2.0, dwell_s=60.0, n_volumes=900):
    """Three correlation patterns that take turns; exact states per volume."""
    rng = np.random.default_rng(seed)
    blocks = [np.arange(n_rois) % 2, np.arange(n_rois) // 6, (np.arange(n_rois) // 3) % 2]
    roots = [np.linalg.cholesky(0.25 * np.eye(n_rois) + 0.75 * (b[:, None] == b)) for b in blocks]
    state = np.empty(n_volumes, dtype=int)
    t, now = 0, 0
    while t < n_volumes:
        stay = max(10, round(rng.exponential(dwell_s / tr)))
        state[t : t + stay] = now
        t, now = t + stay, (now + rng.integers(1, 3)) % 3
    x = np.stack([roots[s] @ rng.standard_normal(n_rois) for s in state], axis=1)
    return x, state


def test_switching_states_are_recovered():
    from scipy.optimize import linear_sum_assignment

    accuracies, errors = [], []
    for seed in range(4):
        x, state = switching(seed)
        found = windowed_correlation(x, 0.5, window_s=36, taper="hann")
        states = cluster_states(found.values, 3, seed=seed)
        truth = state[np.round(found.centres_s * 0.5).astype(int)]
        table = np.array([[((states.labels == i) & (truth == j)).sum() for j in range(3)]
                          for i in range(3)])  # fmt: skip
        rows, columns = linear_sum_assignment(-table)
        accuracies.append(table[rows, columns].sum() / len(truth))
        occupancy = state_summary(states.labels, 2.0).occupancy[rows]
        errors.append(np.abs(occupancy - np.bincount(truth, minlength=3)[columns] / len(truth)))
    # over ten seeds 0.94 on average, 0.81 at worst; occupancy off by 0.03 on average
    assert np.mean(accuracies) > 0.85
    assert np.mean([e.max() for e in errors]) < 0.1


def test_stationary_process_is_not_called_dynamic():
    from scipy.signal import lfilter

    ps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((5, 5)) @ lfilter([1], [1, -0.6], rng.standard_normal((5, 300)))
        ps.append(dynamics_test(x, 0.5, window_s=40, step_s=10, n=39, seed=seed).p)
    # at 5 % one in twenty is expected; more than four has probability 0.003
    assert (np.array(ps) <= 0.05).sum() <= 4


def test_switching_process_is_called_dynamic():
    x, _ = switching(0)
    assert dynamics_test(x, 0.5, window_s=36, step_s=10, n=39, seed=0).p <= 0.05


def test_visits_end_at_a_gap():
    labels = np.array([0, 0, 0, 0, 1, 1])
    whole = state_summary(labels, 2.0)
    cut = state_summary(labels, 2.0, run=np.array([0, 0, 1, 1, 1, 1]))
    assert whole.dwell_s.tolist() == [8.0, 4.0]
    assert cut.dwell_s.tolist() == [4.0, 4.0]
    assert cut.transitions[0].tolist() == [2 / 3, 1 / 3]


def test_exemplars_keep_the_states(series):
    x, _ = switching(1)
    values = windowed_correlation(x, 0.5, window_s=36, step_s=4).values
    recording = np.arange(len(values)) % 3
    plain = cluster_states(values, 3, seed=0)
    started = cluster_states(values, 3, seed=0, exemplars=recording)
    assert started.inertia == pytest.approx(plain.inertia, rel=0.01)


def test_tr_does_not_change_how_much_connectivity_varies():
    from scipy.ndimage import gaussian_filter1d

    spread = []
    fine = np.random.default_rng(0).standard_normal((8, 40_000))
    smooth = gaussian_filter1d(fine, 30, axis=1)[:, 500:-500]  # a process on a grid of 0.1 s
    for tr in (0.7, 2.0):
        x = smooth[:, :: round(tr * 10)]
        found = windowed_correlation(x, 1 / tr, window_s=60, step_s=6 if tr == 2 else 6.3)
        spread.append(found.values.std(axis=0).mean())
    assert spread[0] == pytest.approx(spread[1], rel=0.2)


def test_door_gives_windows_with_times():
    x = np.random.default_rng(0).standard_normal((3, 100))
    found = connectivity(x, method="tapered_window", tr=2.0, window_s=40, step_s=10)
    assert found.dims == ("window", "source", "target")
    assert np.diff(found.coords["window"]) == pytest.approx(10.0)
    # a Hann window of 20 samples is worth two thirds of them
    assert found.attrs["n_eff"] == pytest.approx(20 / 1.5)
