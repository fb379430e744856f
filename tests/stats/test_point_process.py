"""Time rescaling: right models pass, wrong ones do not."""

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.stats.point_process import rescaled_intervals, time_rescaling

RATES = 0.3 * np.exp(np.sin(np.arange(4000) / 40))


def trains(n, seed=0):
    return np.random.default_rng(seed).poisson(np.tile(RATES, (n, 1)))


@pytest.mark.parametrize("kind", ["poisson", "bernoulli"])
def test_p_values_of_the_right_model_are_uniform(kind):
    # coarse bins on purpose: the mean count of a bin is 0.38 and goes up to 0.8
    n = trains(200)
    expected = np.tile(RATES, (200, 1))
    if kind == "bernoulli":
        n, expected = (n > 0).astype(int), -np.expm1(-expected)
    p = time_rescaling([n[:, :1500], n[:, 1500:]], [expected[:, :1500], expected[:, 1500:]],
                       seed=1, kind=kind).p  # fmt: skip
    # 200 tests at 5 %: 10 expected, standard error 3
    assert 2 <= (p < 0.05).sum() <= 20
    assert 0.4 < p.mean() < 0.6


def test_a_constant_rate_does_not_pass_for_a_changing_one():
    n = trains(5)
    assert (time_rescaling([n], [np.full(n.shape, RATES.mean())], seed=0).p < 1e-3).all()


def test_intervals_follow_expected_spikes():
    found = rescaled_intervals([0, 1, 0, 0, 0, 1], np.full(6, 0.5), seed=0)
    # between the two lie 3 to 5 bins of half a spike
    assert 1 - np.exp(-1.5) < found.item() < 1 - np.exp(-2.5)


def test_silent_units_give_nan():
    found = time_rescaling([np.zeros((1, 5), int)], [np.ones((1, 5))], seed=0)
    assert np.isnan(found.p[0])
    assert found.n_intervals[0] == 0


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="one each a bin"):
        rescaled_intervals([1, 0], [0.5], seed=0)
    with pytest.raises(DataError, match="gaps"):
        rescaled_intervals([1], [np.nan], seed=0)
    with pytest.raises(DataError, match="below 1"):
        rescaled_intervals([1], [1.5], seed=0, kind="bernoulli")
    with pytest.raises(ConfigError, match="kind"):
        rescaled_intervals([1], [0.5], seed=0, kind="gamma")
