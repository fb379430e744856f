"""Vector autoregression: recovery, borders, refusals."""

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.signal import burg
from neuro.signal.ar import (
    VAR,
    choose_order,
    fit_var,
    multichannel_burg,
    var_residuals,
    whiteness_test,
)

COEFS = np.array([[[0.5, 0.0], [0.4, 0.3]], [[0.0, 0.0], [0.0, -0.4]]])


def simulate(n, seed=0, coefs=COEFS):
    e = np.random.default_rng(seed).standard_normal((coefs.shape[1], n + 100))
    x = np.zeros_like(e)
    for t in range(len(coefs), n + 100):
        x[:, t] = e[:, t] + sum(a @ x[:, t - k] for k, a in enumerate(coefs, 1))
    return x[:, 100:]


def test_coefficients_and_covariance_are_recovered():
    model = fit_var(simulate(20_000), 2)
    # standard error of a coefficient is about 1 / sqrt(20,000) = 0.007
    np.testing.assert_allclose(model.coefs, COEFS, atol=0.03)
    np.testing.assert_allclose(model.cov, np.eye(2), atol=0.04)


def test_lags_do_not_cross_trials():
    x = simulate(600)
    trials = [x[:, :200], x[:, 200:450] + 100, x[:, 450:]]
    rows, targets = [], []
    mean = np.concatenate(trials, axis=1).mean(axis=1, keepdims=True)
    for trial in trials:
        c = trial - mean
        rows.append(np.vstack([c[:, 1:-1], c[:, :-2], np.ones(c.shape[1] - 2)]))
        targets.append(c[:, 2:])
    z, y = np.hstack(rows), np.hstack(targets)
    expected = np.linalg.lstsq(z.T, y.T, rcond=None)[0].T
    model = fit_var(trials, 2)
    np.testing.assert_allclose(model.coefs[0], expected[:, :2], atol=1e-9)
    np.testing.assert_allclose(model.coefs[1], expected[:, 2:4], atol=1e-9)
    assert model.n_obs == 600 - 3 * 2


def test_an_offset_changes_the_constant_only():
    x = simulate(2000)
    plain, moved = fit_var(x, 2), fit_var(x + np.array([[7.0], [-3.0]]), 2)
    np.testing.assert_allclose(moved.coefs, plain.coefs, atol=1e-10)
    assert var_residuals(x + 7, fit_var(x + 7, 2))[0].mean() == pytest.approx(0, abs=1e-10)


def test_ridge_shrinks_and_solves_what_least_squares_cannot():
    x = simulate(300)
    doubled = np.vstack([x, x[:1]])
    with pytest.raises(DataError, match="rank 2"):
        fit_var(doubled, 2)
    shared = fit_var(doubled, 2, ridge=1e-3).coefs
    np.testing.assert_allclose(shared[:, :, 0], shared[:, :, 2], atol=1e-6)  # equal columns
    assert np.abs(fit_var(x, 2, ridge=1.0).coefs).sum() < np.abs(fit_var(x, 2).coefs).sum()


def test_average_reference_is_named_as_the_cause():
    x = np.random.default_rng(0).standard_normal((4, 500)).astype(np.float32)
    with pytest.raises(DataError, match=r"rank 3.*average reference"):
        fit_var(x - x.mean(axis=0), 1)


@pytest.mark.parametrize("criterion", ["bic", "hq"])
def test_consistent_criteria_find_the_order(criterion):
    assert [choose_order(simulate(4000, seed), 8, criterion).order for seed in range(5)] == [2] * 5


def test_residuals_of_too_low_an_order_are_not_white():
    x = simulate(3000)
    assert whiteness_test(x, fit_var(x, 1)).p < 1e-6
    assert whiteness_test(x, fit_var(x, 2)).p > 0.01


def test_radius_tells_stable_from_unstable():
    assert VAR(np.array([[[0.9]]]), np.eye(1), np.zeros(1), 10).radius == pytest.approx(0.9)
    assert VAR(np.array([[[1.1]]]), np.eye(1), np.zeros(1), 10).radius == pytest.approx(1.1)


def test_spectrum_integrates_to_the_variance():
    model = VAR(COEFS, np.eye(2), np.zeros(2), 10)
    freqs = np.linspace(0, 50, 2001)
    power = np.trapezoid(model.spectrum(freqs, 100.0)[1:-1].real, dx=freqs[1], axis=0)
    x = simulate(50_000)
    # sampling error of a variance over 50,000 correlated samples is about 1 %
    np.testing.assert_allclose(np.diag(power), x.var(axis=1), rtol=0.04)


def test_burg_of_one_channel_is_the_univariate_recursion():
    x = simulate(300)[:1]
    x = x - x.mean()
    coefs, cov = multichannel_burg(x, 6)
    expected, variance = burg(x[0], 6)
    np.testing.assert_allclose(coefs[:, 0, 0], expected, atol=1e-12)
    assert cov[0, 0] == pytest.approx(float(variance), rel=1e-12)


def test_multichannel_burg_recovers_and_is_stable_on_short_windows():
    x = simulate(20_000)
    coefs, cov = multichannel_burg(x - x.mean(axis=1, keepdims=True), 2)
    np.testing.assert_allclose(coefs, COEFS, atol=0.03)
    np.testing.assert_allclose(cov, np.eye(2), atol=0.04)
    short = np.stack([x[:, i : i + 30] for i in range(0, 3000, 30)])
    coefs, cov = multichannel_burg(short - short.mean(axis=2, keepdims=True), 5)
    radius = [VAR(c, s, np.zeros(2), 30).radius for c, s in zip(coefs, cov, strict=True)]
    assert max(radius) < 1


@pytest.mark.parametrize(
    ("x", "order", "error", "text"),
    [
        (np.zeros((2, 100)), 1, DataError, "Constant channels"),
        (np.full((2, 100), np.nan), 1, DataError, "NaN"),
        (np.random.default_rng(0).standard_normal((5, 20)), 4, DataError, "cannot determine"),
        (np.random.default_rng(0).standard_normal((2, 100)), 0, ConfigError, "order=0"),
    ],
    ids=["constant", "nan", "short", "order"],
)
def test_bad_input_is_refused(x, order, error, text):
    with pytest.raises(error, match=text):
        fit_var(x, order)
