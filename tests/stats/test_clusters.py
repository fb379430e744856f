import numpy as np
import pytest
from scipy import sparse
from scipy import stats as scipy_stats

from neuro.errors import ConfigError, DataError
from neuro.stats import cluster_permutation


def maps(n=12, shape=(30,), seed=0, smooth=0.0):
    x = np.random.default_rng(seed).standard_normal((n, *shape))
    if smooth:
        from scipy.ndimage import gaussian_filter1d

        x = gaussian_filter1d(x, smooth, axis=-1, mode="wrap")
    return x


def test_finds_the_bump_and_nothing_else():
    x = maps()
    x[:, 10:18] += 2.5
    found = cluster_permutation(x, seed=0, n=199)
    assert found.p[0] == 1 / 200  # more than any of 199 flips, with the +1 rule
    hit = np.flatnonzero(found.significant())
    assert set(range(10, 18)) <= set(hit.tolist()) <= set(range(9, 19))
    np.testing.assert_allclose(found.statistic, scipy_stats.ttest_1samp(x, 0).statistic, rtol=1e-10)
    assert found.mass[0] == pytest.approx(found.statistic[found.label == 1].sum())


def test_two_groups_and_the_tails():
    a, b = maps(seed=1), maps(15, seed=2)
    a[:, 5:12] -= 2.5
    less = cluster_permutation(a, b, seed=0, n=99, tail="less")
    assert less.p[0] == 0.01
    assert less.mass[0] < 0
    np.testing.assert_allclose(less.statistic, scipy_stats.ttest_ind(a, b).statistic, rtol=1e-10)
    assert (cluster_permutation(a, b, seed=0, n=99, tail="greater").p > 0.05).all()
    assert cluster_permutation(a, b, seed=0, n=99).p[0] == 0.01


def test_neighbours_are_those_of_the_adjacency():
    x = maps(shape=(6,), seed=3)
    x[:, [0, 5]] += 3.0  # the two ends
    ring = sparse.coo_array((np.ones(6), (np.arange(6), (np.arange(6) + 1) % 6)), (6, 6))
    ring = sparse.coo_array(ring + ring.T)
    joined = cluster_permutation(x, seed=0, n=99, adjacency=ring)
    apart = cluster_permutation(x, seed=0, n=99)
    assert joined.label[0] == joined.label[5] == 1
    assert apart.label[0] != apart.label[5]


def test_maps_may_have_two_axes():
    x = maps(shape=(4, 10), seed=4)
    x[:, 1:3, 2:6] += 3
    found = cluster_permutation(x, seed=0, n=99)
    assert found.label.shape == (4, 10)
    assert found.significant()[1:3, 2:6].all()
    assert found.p[0] == 0.01


def test_no_point_above_the_threshold_is_no_cluster():
    found = cluster_permutation(maps(), seed=0, n=19, threshold=50.0)
    assert found.p.shape == (0,)
    assert not found.label.any()
    assert not found.significant().any()


def test_the_seed_decides():
    x = maps(seed=5, smooth=2.0)
    a, b, c = (cluster_permutation(x, seed=s, n=199, threshold=1.0).p for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.fixture
def no_bar(monkeypatch):
    """mne's progress bar waits for a thread of its own: 40 ms a call, nine tenths of it.

    Should mne rename that thread, the test is slow again and asserts the same.
    """

    class Idle:
        def __init__(self, bar):
            pass

        def start(self):
            pass

        def join(self):
            pass

    monkeypatch.setattr("mne.utils.progressbar._UpdateThread", Idle, raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("two_groups", [False, True])
def test_the_smallest_p_keeps_its_level(two_groups, no_bar):
    hits = []
    for run in range(1000):
        x = maps(18, (12,), 100 + run, smooth=1.5)
        groups = (x[:9], x[9:]) if two_groups else (x[:9],)
        # a low threshold, so that nearly every run has a cluster; 1 of 20 draws is 5 %
        p = cluster_permutation(*groups, seed=run, n=19, threshold=0.5).p
        hits.append(len(p) > 0 and p[0] <= 0.05)
    # standard error over 1,000 runs 0.007
    assert 0.03 <= np.mean(hits) <= 0.07


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: cluster_permutation(np.zeros(5), seed=0), DataError, "one shape"),
        (lambda: cluster_permutation(maps(), maps(shape=(9,)), seed=0), DataError, "one shape"),
        (lambda: cluster_permutation(maps(2), seed=0), DataError, "three units"),
        (lambda: cluster_permutation(maps() * np.nan, seed=0), DataError, "NaN"),
        (lambda: cluster_permutation(maps() * 0, seed=0), DataError, "30 points are equal"),
        (lambda: cluster_permutation(maps(), seed=0, tail="up"), ConfigError, "tail='up'"),
        (lambda: cluster_permutation(maps(), seed=0, threshold=-1), ConfigError, "threshold=-1"),
        (
            lambda: cluster_permutation(maps(), seed=0, adjacency=sparse.eye_array(4)),
            DataError,
            "combine_adjacency",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
