"""Nulls keep their level and find what is planted; groups and components."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from neuro.connectivity.inference import (
    compare_groups,
    network_based_statistic,
    significance,
)
from neuro.errors import ConfigError, DataError


def ar1(rng, n_series, n_times=300, phi=0.8):
    return lfilter([1], [1, -phi], rng.standard_normal((n_series, n_times + 100)))[:, 100:]


@pytest.mark.slow
@pytest.mark.parametrize("null", ["shift", "phase"])
def test_p_values_of_unrelated_series_are_uniform(null):
    rng = np.random.default_rng(0)
    ps = [
        significance(ar1(rng, 2), method="correlation", null=null, n=59, seed=i).p[0, 1]
        for i in range(120)
    ]
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("method", ["coherence", "wpli", "gpdc"])
def test_p_values_of_other_families_are_uniform(method):
    rng = np.random.default_rng(1)
    options = {"order": 3} if method == "gpdc" else {"length_s": 1.0}
    ps = [
        significance(ar1(rng, 2, 1500), 100, method=method, bands={"b": (5, 20)}, n=39, seed=i,
                     **options).p[0, 0, 1]
        for i in range(60)
    ]  # fmt: skip
    # a directed measure tests both ways, and "max" takes the better: larger p, never smaller
    if method == "gpdc":
        assert np.mean(np.array(ps) <= 0.05) <= 0.12
    else:
        assert stats.kstest(ps, "uniform").pvalue > 0.01


def test_max_correction_holds_the_family_level():
    rng = np.random.default_rng(1)
    false = [
        significance(ar1(rng, 5), method="correlation", n=39, seed=i).significant.any()
        for i in range(40)
    ]
    # 5 % of 40 are two; eight or more have probability 0.0007
    assert np.sum(false) < 8


def test_a_planted_pair_is_found_alone():
    rng = np.random.default_rng(2)
    x = ar1(rng, 4)
    x[3] += 1.5 * x[0]
    found = significance(x, method="correlation", n=99, seed=0)
    assert np.argwhere(found.significant).tolist() == [[0, 3], [3, 0]]
    np.testing.assert_array_equal(found.p, found.p.T)


def test_many_pairs_do_not_cost_the_planted_one():
    rng = np.random.default_rng(5)
    x = ar1(rng, 30)
    x[1] += x[0]
    found = significance(x, method="correlation", n=39, seed=0)
    assert found.null == "phase"
    assert np.argwhere(found.significant).tolist() == [[0, 1], [1, 0]]


def test_spikes_are_shifted_by_default():
    from neuro.data import Axis, Irregular

    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 60, 900))
    spikes = Irregular(t, rng.integers(0, 3, 900), Axis(["a", "b", "c"], "unit"), [(0, 60)])
    found = significance(spikes, method="correlation", bin_s=0.1, n=19, seed=0)
    assert found.null == "shift"


def test_trials_are_shuffled_by_default_for_averages_over_trials():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 3, 100))
    x[:, 1, 3:] += 1.5 * x[:, 0, :-3]
    found = significance(x, 100, method="wpli", average="trials", bands={"b": (5, 20)},
                         n=39, seed=0)  # fmt: skip
    assert found.null == "trials"
    assert np.argwhere(found.significant[0]).tolist() == [[0, 1], [1, 0]]


def test_same_seed_same_answer():
    x = ar1(np.random.default_rng(4), 3)
    first, second = (significance(x, method="correlation", n=19, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.p, second.p)


def test_one_stretch_has_no_trials_to_shuffle():
    with pytest.raises(ConfigError, match="needs several trials"):
        significance(ar1(np.random.default_rng(0), 3), method="correlation", null="trials", seed=0)


def test_too_few_surrogates_are_refused():
    with pytest.raises(ConfigError, match="at least 19"):
        significance(ar1(np.random.default_rng(0), 3), method="correlation", n=9, seed=0)


# ---- groups ------------------------------------------------------------------------


def group(rng, n, n_nodes=10):
    x = rng.standard_normal((n, n_nodes, n_nodes)) / np.sqrt(2)
    return x + np.swapaxes(x, 1, 2)


def test_t_equals_scipy():
    rng = np.random.default_rng(0)
    a, b = group(rng, 12), group(rng, 15)
    found = compare_groups(a, b, seed=0, n=19)
    expected = stats.ttest_ind(a[:, 2, 5], b[:, 2, 5], equal_var=False).statistic
    assert found.t[2, 5] == pytest.approx(expected)
    paired = compare_groups(a, b[:12], seed=0, n=19, paired=True)
    assert paired.t[2, 5] == pytest.approx(stats.ttest_rel(a[:, 2, 5], b[:12, 2, 5]).statistic)


def test_group_test_holds_its_level():
    rng = np.random.default_rng(1)
    false = [
        compare_groups(group(rng, 8), group(rng, 8), seed=i, n=99).significant.any()
        for i in range(60)
    ]
    # 5 % of 60 are three; ten or more have probability 0.001
    assert np.sum(false) < 10


@pytest.mark.parametrize("correct", ["max", "fdr"])
def test_a_planted_difference_is_found(correct):
    rng = np.random.default_rng(2)
    a, b = group(rng, 14), group(rng, 14)
    a[:, 1, 4] += 4
    a[:, 4, 1] += 4
    # the smallest p, 1 / 2000, has to survive 45 edges
    found = compare_groups(a, b, seed=0, n=1999, correct=correct)
    assert np.argwhere(found.significant).tolist() == [[1, 4], [4, 1]]
    assert found.d[1, 4] > 2


def test_components_find_a_weak_network_that_edges_miss():
    rng = np.random.default_rng(3)
    a, b = group(rng, 16, 16), group(rng, 16, 16)
    nodes = np.arange(5)
    a[np.ix_(range(16), nodes, nodes)] += 1.1
    found = network_based_statistic(a, b, seed=0, t_threshold=2.2, n=499, tail="greater")
    assert found[0].p <= 0.05
    assert set(nodes) <= set(found[0].nodes.tolist())
    edges = compare_groups(a, b, seed=0, n=499).significant
    assert edges[:5, :5].sum() < 20  # some of the ten edges stay below the edge-wise level


def test_component_level_is_held():
    rng = np.random.default_rng(4)
    false = 0
    for i in range(40):
        found = network_based_statistic(group(rng, 8), group(rng, 8), seed=i, t_threshold=2.5, n=59)
        false += bool(found) and found[0].p <= 0.05
    assert false < 8  # two expected


def test_groups_of_different_nodes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="10 and 9 nodes"):
        compare_groups(group(rng, 5), group(rng, 5, 9), seed=0)
