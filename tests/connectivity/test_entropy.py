"""Transfer entropy: exact values, bias, nulls, refusals."""

import numpy as np
import pytest
from scipy import stats

from neuro.connectivity.entropy import (
    choose_embedding,
    conditional_information,
    transfer_entropy,
    transfer_entropy_p,
)
from neuro.connectivity.granger import granger
from neuro.errors import ConfigError, DataError

TE_EXACT = 0.18089  # half of the Granger causality 0.36179 of the pair below


def pair(n, seed=0):
    e = np.random.default_rng(seed).standard_normal((2, n + 100))
    x = np.zeros_like(e)
    for t in range(1, n + 100):
        x[:, t] = np.array([[0.5, 0.0], [0.6, 0.5]]) @ x[:, t - 1] + e[:, t]
    return x[:, 100:]


@pytest.mark.parametrize(
    ("method", "tolerance"), [("gaussian", 0.01), ("copula", 0.01), ("ksg", 0.03)]
)
def test_the_planted_transfer_is_measured(method, tolerance):
    te = transfer_entropy(pair(20_000), 1.0, average="trials", method=method, target_lags=1).values
    assert te[0, 1] == pytest.approx(TE_EXACT, abs=tolerance)
    assert abs(te[1, 0]) < tolerance / 2


def test_gaussian_transfer_is_half_of_granger():
    x = pair(5000)
    te = transfer_entropy(
        x, 1.0, average="trials", method="gaussian", source_lags=8, target_lags=8
    ).values
    f = granger(x, 1.0, average="trials", order=8).values
    # the same model; the reduced one has 8 lags here and all of them there
    assert te[0, 1] == pytest.approx(f[0, 1] / 2, abs=0.002)


def test_counts_by_plug_in_with_miller_madow():
    rng = np.random.default_rng(0)
    source = rng.integers(0, 2, 20_000)
    flipped = source ^ (rng.random(20_000) < 0.1)
    x = np.stack([source, np.r_[0, flipped[:-1]]])
    te = transfer_entropy(x, 1.0, average="trials", method="discrete", target_lags=1).values
    exact = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    assert te[0, 1] == pytest.approx(exact, abs=0.01)
    assert abs(te[1, 0]) < 0.001


@pytest.mark.parametrize("method", ["copula", "discrete"])
def test_bias_is_removed(method):
    rng = np.random.default_rng(1)
    make = rng.standard_normal if method == "copula" else lambda s: rng.poisson(1.0, s).clip(max=2)
    values = [
        transfer_entropy(make((2, 400)), 1.0, average="trials", method=method, target_lags=1).values
        for _ in range(100)
    ]
    mean = np.mean([(v[0, 1] + v[1, 0]) / 2 for v in values])
    # uncorrected: 1 / 800 = 0.00125 (Gaussian) and 0.0165 (plug-in, measured)
    assert abs(mean) < {"copula": 0.0004, "discrete": 0.002}[method]


def test_copula_is_blind_to_monotone_changes_of_scale():
    x = pair(3000)
    bent = np.stack([np.exp(x[0]), x[1] ** 3])
    plain, other = (
        transfer_entropy(v, 1.0, average="trials", target_lags=1).values for v in (x, bent)
    )
    np.testing.assert_allclose(other, plain, atol=1e-12)


def test_neighbours_see_what_correlation_does_not():
    rng = np.random.default_rng(2)
    source = rng.standard_normal(4000)
    x = np.stack([source, np.r_[0, source[:-1] ** 2] + 0.3 * rng.standard_normal(4000)])
    found = {
        m: transfer_entropy(x, 1.0, average="trials", method=m, target_lags=1).values[0, 1]
        for m in ("gaussian", "ksg")
    }
    assert found["gaussian"] < 0.01
    assert found["ksg"] > 0.5


def test_a_short_own_past_mistakes_memory_for_transfer():
    rng = np.random.default_rng(3)
    e = rng.standard_normal((2, 6000))
    for t in range(3, 6000):  # 1 is driven by its own past at lag 3, and 0 shows that past
        e[1, t] += 0.8 * e[1, t - 3]
        e[0, t] = e[1, t - 2] + 0.3 * e[0, t]
    assert choose_embedding(e[1:], max_lag=6) == 3
    short = transfer_entropy(e, 1.0, average="trials", target_lags=1).values
    enough = transfer_entropy(e, 1.0, average="trials").values
    assert short[0, 1] > 0.2
    assert enough[0, 1] < 0.01


def test_conditioning_removes_the_indirect_transfer():
    e = np.random.default_rng(4).standard_normal((3, 6000))
    for t in range(1, 6000):
        e[1, t] += 0.8 * e[0, t - 1]
        e[2, t] += 0.8 * e[1, t - 1]
    options = {"average": "trials", "method": "gaussian", "source_lags": 2, "target_lags": 2}
    pairwise = transfer_entropy(e, 1.0, **options).values
    direct = transfer_entropy(e, 1.0, conditional=True, **options).values
    assert pairwise[0, 2] > 0.05
    assert direct[0, 2] < 0.002
    assert direct[1, 2] > 0.1


def test_pasts_do_not_cross_trials():
    x = pair(400)
    trials = [x[:, :150], x[:, 150:]]
    options = {"average": "trials", "method": "gaussian", "target_lags": 2}
    te = transfer_entropy(trials, 1.0, **options).values
    now = np.concatenate([t[1:, 2:] for t in trials], axis=1)
    own = np.concatenate([np.stack([t[1, 1:-1], t[1, :-2]]) for t in trials], axis=1)
    past = np.concatenate([t[:1, 1:-1] for t in trials], axis=1)
    expected = conditional_information(past, now, own, method="gaussian")
    assert te[0, 1] == pytest.approx(expected, abs=1e-12)


def test_one_value_a_trial():
    x = np.stack([pair(300, s) for s in range(3)])
    found = transfer_entropy(x, 1.0, average="time", target_lags=1)
    alone = transfer_entropy(x[2], 1.0, average="trials", target_lags=1)
    assert found.dims == ("trial", "source", "target")
    np.testing.assert_array_equal(found.values[2], alone.values)


@pytest.mark.slow
def test_surrogate_p_values_are_uniform_under_the_null():
    p = []
    for seed in range(200):
        e = np.random.default_rng(seed).standard_normal((2, 300))
        for t in range(1, 300):
            e[:, t] += 0.8 * e[:, t - 1]
        p += transfer_entropy_p(e, method="gaussian", n=39, seed=seed)[[0, 1], [1, 0]].tolist()
    # ranks among 39 surrogates: spread each over its step before comparing with a line
    spread = np.array(p) - np.random.default_rng(0).uniform(0, 1 / 40, len(p))
    assert stats.kstest(spread, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


@pytest.mark.parametrize(
    ("x", "options", "error", "text"),
    [
        (np.zeros((2, 100)), {}, DataError, "Constant"),
        (np.random.default_rng(0).standard_normal((2, 12)), {}, DataError, "too few"),
        (np.random.default_rng(0).standard_normal((2, 500)), {"method": "discrete"}, DataError,
         "counts and symbols"),
        (np.random.default_rng(0).standard_normal((2, 500)), {"method": "kraskov"}, ConfigError,
         "not known"),
        (np.random.default_rng(0).standard_normal((2, 500)), {"source_lags": 0}, ConfigError,
         "at least 1"),
    ],
    ids=["constant", "short", "continuous", "method", "lags"],
)  # fmt: skip
def test_bad_input_is_refused(x, options, error, text):
    with pytest.raises(error, match=text):
        transfer_entropy(x, 1.0, average="trials", **{"target_lags": 1, **options})
