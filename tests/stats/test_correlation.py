import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy import stats as scipy_stats

from neuro.errors import ConfigError, DataError
from neuro.stats import autocorrelation, correlation_test, effective_n, pearson


def ar1(phi, shape, seed):
    """Stationary AR(1) series along the last axis."""
    noise = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + 200))
    return signal.lfilter([1], [1, -phi], noise, axis=-1)[..., 200:]


def test_pearson_equals_numpy():
    x, y = np.random.default_rng(0).standard_normal((2, 4, 50)) + 100
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(pearson(x, y), expected, atol=1e-12)


def test_pearson_broadcasts():
    x = np.random.default_rng(0).standard_normal((3, 1, 40))
    y = np.random.default_rng(1).standard_normal((5, 40))
    assert pearson(x, y).shape == (3, 5)
    assert correlation_test(x, y).p.shape == (3, 5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e9])
def test_a_constant_series_has_r_0_and_p_1(value):
    result = correlation_test(np.full(30, value), np.random.default_rng(0).standard_normal(30))
    assert result.r == 0
    assert result.p == 1


@settings(deadline=None)
@given(scale=st.floats(1e-6, 1e6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_correlation_ignores_scale_and_offset(scale, shift, seed):
    x, y = np.random.default_rng(seed).standard_normal((2, 60))
    # an offset of 1e9 standard deviations costs nine of the sixteen digits
    assert pearson(scale * x + shift, y) == pytest.approx(pearson(x, y), abs=1e-5)
    assert pearson(-x, y) == pytest.approx(-pearson(x, y), abs=1e-12)


def test_autocorrelation_equals_the_sum():
    x = ar1(0.7, (2, 97), 0)
    c = x - x.mean(axis=1, keepdims=True)
    expected = [[(r[: 97 - k] * r[k:]).sum() / (r * r).sum() for k in range(97)] for r in c]
    np.testing.assert_allclose(autocorrelation(x, 96), expected, atol=1e-12)


def test_naive_test_equals_scipy():
    x, y = np.random.default_rng(0).standard_normal((2, 40))
    result = correlation_test(x, y, max_lag=0)
    expected = scipy_stats.pearsonr(x, y)
    assert result.r == pytest.approx(expected.statistic, abs=1e-12)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert result.n_eff == 40


@pytest.mark.parametrize("phi", [0.5, 0.8, 0.9])
def test_effective_n_of_ar1(phi):
    x, y = ar1(phi, (2, 200, 4000), 1)
    # truth n (1 - phi^2) / (1 + phi^2); the biased autocorrelations shrink lags slightly
    truth = 4000 * (1 - phi**2) / (1 + phi**2)
    assert np.median(effective_n(x, y, max_lag=100)) == pytest.approx(truth, rel=0.05)


def test_effective_n_stays_between_3_and_n():
    x = ar1(0.999, (50, 30), 0)
    n = effective_n(x[:25], x[25:])
    assert n.min() >= 3
    assert n.max() <= 30
    alternating = np.tile([1.0, -1.0], 50)
    assert effective_n(alternating, np.arange(100.0)) <= 100


def test_rates_of_false_positives_on_ar1():
    x, y = ar1(0.8, (2, 4000, 300), 2)
    naive = np.mean(correlation_test(x, y, max_lag=0).p < 0.05)
    honest = np.mean(correlation_test(x, y).p < 0.05)
    # standard error of 4,000 runs: 0.008 at 0.35, 0.0035 at 0.05
    assert naive == pytest.approx(0.355, abs=0.025)
    assert 0.03 <= honest <= 0.07


def test_white_noise_keeps_its_power():
    x, y = ar1(0.0, (2, 4000, 300), 3)
    assert 0.03 <= np.mean(correlation_test(x, y).p < 0.05) <= 0.07
    related = correlation_test(x, x + 4 * y)  # r about 0.24, n 300
    assert np.mean(related.p < 0.05) > 0.95


def test_bad_input_says_what_is_wrong():
    with pytest.raises(DataError, match="same length"):
        pearson(np.zeros(5), np.zeros(6))
    with pytest.raises(DataError, match="at least 3"):
        pearson(np.zeros(2), np.zeros(2))
    with pytest.raises(DataError, match="NaN"):
        effective_n(np.array([1.0, np.nan, 2]), np.zeros(3))
    with pytest.raises(ConfigError, match="max_lag=9"):
        effective_n(np.arange(5.0), np.arange(5.0), max_lag=9)
