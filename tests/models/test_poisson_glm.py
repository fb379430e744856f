"""GLM of counts: statsmodels' coefficients, gradients, goodness of fit, bad input."""

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.models._glm.fit import Penalty, Share
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SpikeGLMConfig, layout, session_table
from neuro.models.poisson_glm import PoissonGLM

RNG = np.random.default_rng(0)
DRIVE = RNG.standard_normal((2, 2500))
COUNTS = RNG.poisson(np.exp(np.array([[0.4, -0.3], [0.2, 0.0], [0.0, 0.5]]) @ DRIVE - 1.0))


def statsmodels_glm(table, unit, family):
    import statsmodels.api as sm

    return sm.GLM(table.counts[:, unit], table.design, family=family).fit(tol=1e-12).params


@pytest.mark.parametrize("observation", ["poisson", "bernoulli"])
def test_coefficients_are_those_of_statsmodels(observation):
    sm = pytest.importorskip("statsmodels.api")
    counts = np.minimum(COUNTS, 1) if observation == "bernoulli" else COUNTS
    link = "sigmoid" if observation == "bernoulli" else "exp"
    model = PoissonGLM(observation=observation, link=link, l2=0.0, n_lags=3).fit(counts, DRIVE)
    family = sm.families.Binomial() if observation == "bernoulli" else sm.families.Poisson()
    table = session_table(model.config, counts, DRIVE)
    for unit in range(3):
        wanted = statsmodels_glm(table, unit, family)
        np.testing.assert_allclose(model.weights_[unit], wanted, atol=1e-5)


def test_dispersion_and_coefficients_are_those_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    mean = np.exp(0.4 * DRIVE[:1] - 0.5)
    counts = np.random.default_rng(1).negative_binomial(2, 2 / (2 + mean))
    model = PoissonGLM(observation="negative_binomial", link="exp", l2=0.0, n_lags=3)
    model.fit(counts, DRIVE)
    table = session_table(model.config, counts, DRIVE)
    theirs = sm.NegativeBinomial(table.counts[:, 0], table.design).fit(disp=0).params
    # weights and dispersion take turns three times
    np.testing.assert_allclose(model.weights_[0], theirs[:-1], atol=3e-4)
    assert model.dispersion_[0] == pytest.approx(1 / theirs[-1], rel=2e-3)
    assert model.dispersion_[0] == pytest.approx(2.0, rel=0.25)


@pytest.mark.parametrize(
    ("kind", "link"),
    [("poisson", "exp"), ("poisson", "softplus"), ("poisson", "sigmoid"),
     ("bernoulli", "sigmoid"), ("negative_binomial", "exp"), ("negative_binomial", "softplus")],
    ids="-".join,
)  # fmt: skip
def test_slopes_are_those_of_finite_differences(kind, link):
    counts = np.minimum(COUNTS, 1) if kind == "bernoulli" else COUNTS
    config = SpikeGLMConfig(observation=kind, link=link, n_lags=2)
    table = session_table(config, counts[:, :300], DRIVE[:, :300])
    r = np.array([0.7, 3.0, 20.0]) if kind == "negative_binomial" else None
    share = Share.of(table, Observation(kind, link, r), np.linspace(0.1, 1, 300))
    weights = 0.3 * np.random.default_rng(2).standard_normal((3, table.design.shape[1]))
    rows = np.arange(3)
    _, slope = share.value_and_gradient(weights, rows)
    for column in range(weights.shape[1]):
        step = np.zeros_like(weights)
        step[:, column] = 1e-5
        up, _ = share.value_and_gradient(weights + step, rows)
        down, _ = share.value_and_gradient(weights - step, rows)
        # central differences of values near 300 round at 1e-8
        np.testing.assert_allclose(slope[:, column], (up - down) / 2e-5, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("link", ["exp", "softplus", "sigmoid"])
def test_log_likelihood_is_that_of_scipy(link):
    from scipy.stats import poisson

    model = PoissonGLM(link=link, n_lags=3).fit(COUNTS, DRIVE)
    (rates,) = model.predict(COUNTS, DRIVE)
    wanted = poisson.logpmf(COUNTS, rates).sum(axis=0).mean()
    assert model.score(COUNTS, DRIVE) == pytest.approx(wanted, rel=1e-10)
    assert model.log_lik_ == pytest.approx(wanted, rel=1e-10)


def test_far_predictors_lose_no_digit():
    tail = Observation("poisson", "softplus")
    rates = tail.rate(np.array([[-25.0, 50.0]]))
    np.testing.assert_allclose(rates, [[np.exp(-25.0), 50.0]], rtol=1e-10)
    single = tail.rate(np.array([[-15.0]], dtype=np.float32))
    assert single.dtype == np.float32
    assert single.item() == pytest.approx(np.exp(-15.0), rel=1e-5)


def test_gradient_is_zero_at_the_optimum():
    model = PoissonGLM(link="exp", n_lags=3, l2=2.0).fit(COUNTS, DRIVE)
    table = session_table(model.config, COUNTS, DRIVE)
    share = Share.of(table, model.config.observed(), np.ones(table.n_bins))
    ridge = np.r_[np.full(table.design.shape[1] - 1, 2.0), 0.0]
    _, slope = share.value_and_gradient(model.weights_, np.arange(3))
    np.testing.assert_allclose(slope - ridge * model.weights_, 0.0, atol=1e-3)


def test_couplings_are_post_by_pre():
    rng = np.random.default_rng(3)
    pre = rng.poisson(0.5, 6000)
    post = rng.poisson(np.exp(-1.0 + 0.8 * np.r_[0, pre[:-1]]))
    model = PoissonGLM(link="exp", basis="lags", n_lags=1, l2=0.1).fit(np.stack([pre, post]))
    assert model.coupling.shape == (2, 2, 1)
    # unit 1 hears unit 0; standard error about 0.02
    assert model.coupling[1, 0, 0] == pytest.approx(0.8, abs=0.08)
    assert abs(model.coupling[0, 1, 0]) < 0.08


def test_inputs_have_their_course():
    rng = np.random.default_rng(4)
    drive = rng.standard_normal((1, 6000))
    late = np.r_[0, 0, drive[0, :-2]]
    counts = rng.poisson(np.exp(-1.0 + 0.5 * late))[np.newaxis]
    model = PoissonGLM(link="exp", coupling=False, self_history=False, input_lags=4)
    weights = model.fit(counts, drive).input_weights[0, 0]
    # the present bin is first, so two bins back is the third
    np.testing.assert_allclose(weights, [0, 0, 0.5, 0], atol=0.07)


def test_couplings_and_self_history_can_be_left_out():
    config = SpikeGLMConfig(n_lags=2, coupling=False)
    table = session_table(config, COUNTS)
    np.testing.assert_array_equal(layout(config, table)[:, :3], np.eye(3, dtype=bool))
    model = PoissonGLM(n_lags=2, self_history=False).fit(COUNTS)
    assert (np.diagonal(model.coupling[..., 0]) == 0).all()
    assert (model.coupling[0, 1:] != 0).all()
    assert PoissonGLM(coupling=False, self_history=False).fit(COUNTS).coupling.size == 0


def test_lasso_is_that_of_its_conditions():
    strength = 25.0
    model = PoissonGLM(link="exp", n_lags=3, l2=0.0, penalty="lasso", strength=strength)
    model.fit(COUNTS, DRIVE)
    table = session_table(model.config, COUNTS, DRIVE)
    share = Share.of(table, model.config.observed(), np.ones(table.n_bins))
    _, slope = share.value_and_gradient(model.weights_, np.arange(3))
    kept = model.weights_[:, :-1] != 0
    # slope equals the strength where a weight is left and is smaller where none is
    np.testing.assert_allclose(
        slope[:, :-1][kept], strength * np.sign(model.weights_[:, :-1][kept]), atol=0.05
    )
    assert (np.abs(slope[:, :-1][~kept]) <= strength + 0.05).all()
    assert 2 < kept.sum() < 10


def test_group_lasso_drops_whole_connections():
    model = PoissonGLM(link="exp", basis="raised_cosine", n_lags=8, penalty="group", strength=12.0)
    there = model.fit(COUNTS, DRIVE).coupling != 0
    assert (there.all(axis=2) == there.any(axis=2)).all()
    assert not there.any(axis=2).all()
    assert (model.input_weights[0] != 0).all()


def test_penalty_slope_is_that_of_finite_differences():
    rng = np.random.default_rng(5)
    tied = np.array([False, False, True])
    penalty = Penalty(np.array([1.0, 0.0, 2.0]), rng.random((2, 3)), tied, np.ones((2, 1, 3), bool))
    theta, rows = rng.standard_normal((2, 4, 3)), np.arange(2)
    theta[:, :, tied] = theta[:, :1, tied]
    _, slope = penalty.value_and_gradient(theta, rows)
    way = penalty.project(rng.standard_normal(theta.shape), rows)
    up, _ = penalty.value_and_gradient(theta + 1e-6 * way, rows)
    down, _ = penalty.value_and_gradient(theta - 1e-6 * way, rows)
    np.testing.assert_allclose((slope * way).sum(axis=(1, 2)), (up - down) / 2e-6, rtol=1e-6)


def test_single_precision_finds_the_same():
    double = PoissonGLM(n_lags=3, precision="double").fit(COUNTS, DRIVE)
    single = PoissonGLM(n_lags=3, precision="single").fit(COUNTS, DRIVE)
    np.testing.assert_allclose(single.weights_, double.weights_, atol=2e-3)
    assert single.weights_.dtype == np.float64


def test_the_right_model_passes_time_rescaling_and_a_wrong_one_does_not():
    right = PoissonGLM(link="exp", n_lags=3).fit(COUNTS, DRIVE)
    assert (right.goodness_of_fit(COUNTS, DRIVE).p > 0.01).all()
    rng = np.random.default_rng(6)
    slow = rng.poisson(np.exp(np.sin(np.arange(4000) / 100) - 0.5))[np.newaxis]
    flat = PoissonGLM(coupling=False, self_history=False).fit(slow)
    assert flat.goodness_of_fit(slow).p[0] < 1e-3


def test_bits_per_spike_are_zero_for_constant_rates():
    flat = PoissonGLM(coupling=False, self_history=False).fit(COUNTS)
    np.testing.assert_allclose(flat.bits_per_spike(COUNTS), 0.0, atol=1e-8)
    driven = PoissonGLM(link="exp", n_lags=3).fit(COUNTS, DRIVE)
    assert (driven.bits_per_spike(COUNTS, DRIVE) > 0.03).all()


def test_gaps_and_what_reaches_into_them_are_left_out():
    counts = COUNTS[:, :60].astype(float)
    counts[1, 20] = np.nan
    drive = DRIVE[:, :60].copy()
    drive[0, 40] = np.nan
    table = session_table(SpikeGLMConfig(n_lags=3, input_lags=2), counts, drive)
    assert np.flatnonzero(~table.valid).tolist() == [20, 21, 22, 23, 40, 41]
    model = PoissonGLM(n_lags=3).fit(COUNTS[:, :60])
    (rates,) = model.predict(counts)
    assert np.flatnonzero(np.isnan(rates[0])).tolist() == [20, 21, 22, 23]


def test_sessions_do_not_see_each_other():
    config = SpikeGLMConfig(n_lags=3)
    both = session_table(config, [COUNTS[:, :50], COUNTS[:, 50:53]])
    alone = session_table(config, COUNTS[:, 50:53])
    np.testing.assert_array_equal(both.design[50:], alone.design)
    assert both.lengths.tolist() == [50, 3]


def test_silent_units_and_sessions_keep_everything_finite():
    counts = COUNTS.copy()
    counts[1] = 0
    counts[2] = 0
    counts[2, 7] = 1
    for link in ("exp", "softplus"):
        model = PoissonGLM(link=link, n_lags=2).fit([counts, np.zeros((3, 100))])
        assert np.isfinite(model.weights_).all()
        (rates,) = model.predict(counts)
        assert rates[1].max() < 1e-3
    assert np.isnan(model.bits_per_spike(counts)[1])


@pytest.mark.parametrize(
    ("counts", "hint"),
    [
        (COUNTS + 0.5, "whole numbers"),
        (-COUNTS - 1.0, "whole numbers"),
        (np.full((2, 30), np.nan), "No bin"),
        (COUNTS.T, "time comes last"),
        ([COUNTS, COUNTS[:2]], "same units"),
        (np.where(COUNTS > 1, np.inf, COUNTS), "inf"),
        ([], "time last"),
    ],
    ids=["halves", "negative", "gone", "turned", "units", "inf", "none"],
)
def test_counts_that_are_none_are_refused(counts, hint):
    with pytest.raises(DataError, match=hint):
        PoissonGLM().fit(counts)


def test_mismatches_are_refused():
    with pytest.raises(DataError, match="same sessions"):
        PoissonGLM().fit(COUNTS, DRIVE[:, :-1])
    with pytest.raises(DataError, match="Bernoulli bins"):
        PoissonGLM(observation="bernoulli").fit(COUNTS)
    model = PoissonGLM(n_lags=2).fit(COUNTS, DRIVE)
    with pytest.raises(DataError, match="3 units, got 2"):
        model.predict(COUNTS[:2], DRIVE)
    with pytest.raises(DataError, match="2 inputs, got 0"):
        model.predict(COUNTS)
    with pytest.raises(ConfigError, match="Poisson or Bernoulli"):
        PoissonGLM(observation="negative_binomial", n_lags=1).fit(COUNTS).goodness_of_fit(COUNTS)
    for wrong in ({"link": "exp", "observation": "bernoulli"}, {"n_lags": 0}, {"l2": -1.0},
                  {"strength": -1.0}, {"basis": "bspline", "n_lags": 2}):  # fmt: skip
        with pytest.raises(ConfigError):
            PoissonGLM(**wrong)
