import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from neuro.errors import ConfigError, DataError
from neuro.stats import benjamini_hochberg, max_statistic, permutation_p


@settings(deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_equal_scipy(p):
    result = benjamini_hochberg(np.array(p), 0.1)
    np.testing.assert_allclose(result.adjusted, scipy_stats.false_discovery_control(p), atol=1e-12)
    assert np.array_equal(result.rejected, result.adjusted <= 0.1)


def test_equals_statsmodels_in_any_shape():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).beta(0.4, 2, (6, 7))
    rejected, adjusted, _, _ = multitest.multipletests(p.ravel(), 0.05, "fdr_bh")
    result = benjamini_hochberg(p)
    assert result.adjusted.shape == (6, 7)
    np.testing.assert_allclose(result.adjusted.ravel(), adjusted, atol=1e-12)
    assert np.array_equal(result.rejected.ravel(), rejected)


def test_false_discovery_rate_is_kept():
    rng = np.random.default_rng(1)
    effect = np.r_[np.full(20, 3.5), np.zeros(80)]
    shares, found = [], []
    for _ in range(1000):
        p = scipy_stats.norm.sf(rng.standard_normal(100) + effect)
        rejected = benjamini_hochberg(p, 0.1).rejected
        shares.append(rejected[20:].sum() / max(1, rejected.sum()))
        found.append(rejected[:20].mean())
    # expected 0.1 x 80 / 100; standard error about 0.002
    assert np.mean(shares) == pytest.approx(0.08, abs=0.015)
    assert np.mean(found) > 0.7


def test_pure_null_rejects_anything_in_five_percent_of_runs():
    p = np.random.default_rng(2).uniform(size=(2000, 50))
    rate = np.mean([benjamini_hochberg(row).rejected.any() for row in p])
    assert 0.03 <= rate <= 0.07


@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
def test_max_statistic_keeps_the_family_at_its_level(tail):
    rng = np.random.default_rng(3)
    mix = rng.standard_normal((30, 30)) * 0.3 + 1  # tests that depend on each other
    any_false = []
    uncorrected = []
    for _ in range(1000):
        draws = rng.standard_normal((200, 30)) @ mix / np.sqrt((mix**2).sum(axis=0))
        any_false.append((max_statistic(draws[0], draws[1:], tail=tail) < 0.05).any())
        uncorrected.append((permutation_p(draws[0], draws[1:], tail=tail) < 0.05).any())
    assert 0.03 <= np.mean(any_false) <= 0.07
    assert np.mean(uncorrected) > 0.09


def test_max_statistic_by_hand():
    null = np.array([[1.0, 5.0], [2.0, 0.0], [0.0, -9.0]])  # maxima 5, 2, 0
    assert max_statistic(np.array([4.0, 1.0]), null).tolist() == [0.5, 0.75]
    assert max_statistic(np.array([4.0, 1.0]), null, tail="two-sided").tolist() == [0.75, 1.0]
    assert max_statistic(np.array([-4.0, 1.0]), null, tail="less").tolist() == [0.5, 1.0]


def test_corrected_p_are_never_smaller():
    rng = np.random.default_rng(4)
    observed, null = rng.standard_normal((4, 5)), rng.standard_normal((99, 4, 5))
    assert (max_statistic(observed, null) >= permutation_p(observed, null)).all()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: benjamini_hochberg([]), DataError, "one or more"),
        (lambda: benjamini_hochberg([0.1, np.nan]), DataError, "lie in"),
        (lambda: benjamini_hochberg([1.1]), DataError, "lie in"),
        (lambda: benjamini_hochberg([0.1], 5), ConfigError, "q=5"),
        (lambda: max_statistic([1.0], np.zeros((9, 2))), DataError, "null must have shape"),
        (lambda: max_statistic([1.0], np.zeros((9, 1)), tail="both"), ConfigError, "tail='both'"),
        (lambda: max_statistic([np.nan], np.zeros((9, 1))), DataError, "NaN"),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
