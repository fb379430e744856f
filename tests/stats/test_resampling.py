import numpy as np
import pytest
from scipy import stats as scipy_stats

from neuro.errors import ConfigError, DataError
from neuro.stats import bootstrap_interval, paired_bootstrap, permutation_p, sign_flip_p

RNG = np.random.default_rng(0)


# --- permutation p ---------------------------------------------------------------------------


def test_the_plus_one_rule():
    null = np.arange(99.0)
    assert permutation_p(1000.0, null) == 0.01
    assert permutation_p(-1000.0, null) == 1.0
    assert permutation_p(98.0, null) == 0.02  # equal values count
    assert permutation_p(-1000.0, null, tail="less") == 0.01
    assert permutation_p(1000.0, null, tail="two-sided") == 0.02


def test_values_equal_up_to_rounding_count_as_equal():
    assert permutation_p(0.1 + 0.2, np.array([0.3, 0.3, 0.3])) == 1.0
    assert permutation_p(0.3, np.array([0.1 + 0.2] * 3), tail="less") == 1.0


@pytest.mark.parametrize("draws", [19, 99])
def test_p_is_exact_for_any_number_of_draws(draws):
    # the observed value is one of draws + 1 exchangeable ones: P(p <= k / (draws + 1)) is exact
    values = np.random.default_rng(1).standard_normal((20_000, draws + 1)).T
    p = permutation_p(values[0], values[1:])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.005)


def test_p_works_over_any_shape():
    null = RNG.standard_normal((50, 3, 4))
    observed = RNG.standard_normal((3, 4))
    p = permutation_p(observed, null)
    assert p[1, 2] == permutation_p(observed[1, 2], null[:, 1, 2])


def test_sign_flips_enumerate_small_samples_exactly():
    d = np.array([1.2, 0.4, -0.3, 2.0, 0.9, 1.1])
    expected = scipy_stats.permutation_test(
        (d, np.zeros(6)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
        n_resamples=np.inf,
    )
    assert sign_flip_p(d, seed=0, tail="greater") == pytest.approx(expected.pvalue, abs=1e-12)
    assert sign_flip_p(d, seed=0, tail="greater") == sign_flip_p(d, seed=1, tail="greater")


def test_sign_flips_keep_their_level():
    rng = np.random.default_rng(2)
    p = [sign_flip_p(rng.standard_t(3, 20), n=199, seed=rng) for _ in range(2000)]
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07


# --- bootstrap -------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_equal_scipy(ours, theirs, statistic):
    x = np.random.default_rng(3).exponential(size=60)
    mine = bootstrap_interval(x, statistic, seed=0, n=20_000, method=ours)
    function = np.mean if statistic == "mean" else np.median
    other = scipy_stats.bootstrap(
        (x,), function, n_resamples=20_000, method=theirs, rng=np.random.default_rng(1)
    ).confidence_interval
    # 20,000 draws place a 2.5 % quantile to about 0.01 here; the median moves in steps of 0.03
    tolerance = 0.02 if statistic == "mean" else 0.05
    assert mine.low == pytest.approx(other.low, abs=tolerance)
    assert mine.high == pytest.approx(other.high, abs=tolerance)
    assert mine.estimate == pytest.approx(function(x))


def test_bca_corrects_bias_and_skew_as_scipy_does():
    # the variance of 25 skewed values: its bootstrap distribution is biased down and skewed
    x = np.random.default_rng(7).exponential(size=25)
    ours = bootstrap_interval(x, lambda v: float(np.var(v)), seed=0, n=20_000)
    theirs = scipy_stats.bootstrap(
        (x,), np.var, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    plain = bootstrap_interval(x, lambda v: float(np.var(v)), seed=0, n=20_000, method="percentile")
    # two sets of 20,000 draws place these ends to about 1 % and 3 %
    assert ours.low == pytest.approx(theirs.low, rel=0.04)
    assert ours.high == pytest.approx(theirs.high, rel=0.08)
    assert plain.low < 0.8 * theirs.low  # so the corrections matter here


def test_coverage_of_the_mean():
    rng = np.random.default_rng(4)
    hits = {"percentile": 0, "bca": 0}
    for _ in range(1000):
        x = rng.exponential(size=40) - 1
        for method in hits:
            interval = bootstrap_interval(x, seed=rng, n=500, method=method)
            hits[method] += interval.low <= 0 <= interval.high
    # known for exponential data, n 40: percentile about 0.92, BCa about 0.93 (standard error 0.008)
    assert 0.89 <= hits["percentile"] / 1000 <= 0.955
    assert 0.90 <= hits["bca"] / 1000 <= 0.965


def test_paired_intervals_exclude_zero_at_the_nominal_rate():
    rng = np.random.default_rng(5)
    subject = rng.standard_normal((1000, 40)) * 3  # shared by both scores, must cancel
    a, b = subject + rng.standard_normal((2, 1000, 40))
    excluded = 0
    for run in range(1000):
        interval = paired_bootstrap(a[run], b[run], seed=run, n=500)
        excluded += not interval.low <= 0 <= interval.high
    assert 0.03 <= excluded / 1000 <= 0.085  # bootstrap of 40 units: about 0.06 is known


def test_units_are_resampled_whole():
    rng = np.random.default_rng(6)
    misses = {"units": 0, "rows": 0}
    units = np.repeat(np.arange(20), 15)
    for run in range(200):
        x = np.repeat(rng.standard_normal(20), 15) + 0.3 * rng.standard_normal(300)
        whole = bootstrap_interval(x, seed=run, units=units, n=300)
        rows = bootstrap_interval(x, seed=run, n=300)
        misses["units"] += not whole.low <= 0 <= whole.high
        misses["rows"] += not rows.low <= 0 <= rows.high
    assert misses["units"] / 200 < 0.12
    assert misses["rows"] / 200 > 0.4  # what taking trials for independent would give


def test_the_fast_mean_equals_the_pooled_mean():
    x = RNG.standard_normal(30)
    units = np.repeat([3, 1, 2, 9], [4, 10, 6, 10])
    fast = bootstrap_interval(x, "mean", seed=0, units=units, n=300)
    slow = bootstrap_interval(x, lambda rows: float(np.mean(rows)), seed=0, units=units, n=300)
    assert fast.low == pytest.approx(slow.low, abs=1e-12)
    assert fast.high == pytest.approx(slow.high, abs=1e-12)
    assert fast.n_units == 4


def test_a_statistic_sees_whole_rows():
    x = RNG.standard_normal((50, 1))
    data = np.hstack([x, x + 0.5 * RNG.standard_normal((50, 1))])
    interval = bootstrap_interval(
        data, lambda rows: float(np.corrcoef(rows.T)[0, 1]), seed=0, n=500
    )
    assert 0.5 < interval.low < interval.estimate < interval.high < 1


def test_equal_values_give_a_point():
    interval = bootstrap_interval(np.full(5, 0.7), seed=0, n=100)
    assert (interval.low, interval.high) == pytest.approx((0.7, 0.7), abs=1e-12)


def test_a_wider_level_gives_a_wider_interval_and_the_seed_decides():
    x = RNG.standard_normal(30)
    wide, narrow = (bootstrap_interval(x, seed=0, n=999, level=v) for v in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap_interval(x, seed=0, n=999, level=0.8) == narrow


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: permutation_p(1.0, np.zeros(0)), DataError, "n >= 1"),
        (lambda: permutation_p(np.zeros(3), np.zeros((9, 2))), DataError, "observed.shape"),
        (lambda: permutation_p(np.nan, np.zeros(3)), DataError, "NaN"),
        (lambda: permutation_p(1.0, np.zeros(3), tail="right"), ConfigError, "tail='right'"),
        (lambda: sign_flip_p([1.0], seed=0), DataError, "Two or more"),
        (lambda: bootstrap_interval([1.0], seed=0), DataError, "at least two"),
        (lambda: bootstrap_interval([1.0, 2.0], seed=0, units=["a", "a"]), DataError, "1 indep"),
        (lambda: bootstrap_interval([1.0, 2.0], seed=0, units=["a"]), DataError, "each of 2 rows"),
        (lambda: bootstrap_interval([1.0, np.nan], seed=0), DataError, "Finite"),
        (lambda: bootstrap_interval([1.0, 2.0], "meen", seed=0), ConfigError, "'mean'"),
        (lambda: bootstrap_interval([1.0, 2.0], seed=0, level=95), ConfigError, "level=95"),
        (lambda: bootstrap_interval([1.0, 2.0], seed=0, method="t"), ConfigError, "method='t'"),
        (lambda: paired_bootstrap([1.0, 2.0], [1.0], seed=0), DataError, "one shape"),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
