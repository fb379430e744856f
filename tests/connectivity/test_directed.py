"""Directed measures: planted networks, exact values, conventions, refusals."""

import numpy as np
import pytest
from scipy.signal import lfilter

from neuro.connectivity.directed import DIRECTED, directed_connectivity, pdc_of
from neuro.connectivity.granger import granger, granger_reversed, granger_spectral, reduced_cov
from neuro.errors import ConfigError, DataError
from neuro.signal.ar import VAR

MODEL = ("pdc", "gpdc", "dtf", "ffdtf", "ddtf")
LINKS = {(0, 1), (0, 2), (0, 3), (3, 4), (4, 3)}
PAIR = np.array([[[0.5, 0.0], [0.6, 0.5]]])
F_EXACT = 0.36179  # of 0 on 1 in PAIR with unit noise, from the Riccati equation


def five_nodes():
    """The classical VAR(3) of Baccala & Sameshima (2001); rows are targets."""
    a, r = np.zeros((3, 5, 5)), np.sqrt(2)
    a[0, 0, 0], a[1, 0, 0] = 0.95 * r, -0.9025
    a[1, 1, 0], a[2, 2, 0], a[1, 3, 0] = 0.5, -0.4, -0.5
    a[0, 3, 3] = a[0, 3, 4] = a[0, 4, 4] = 0.25 * r
    a[0, 4, 3] = -0.25 * r
    return a


def simulate(coefs, n, seed, cov=None):
    m = coefs.shape[1]
    e = np.random.default_rng(seed).standard_normal((m, n + 300))
    e = e if cov is None else np.linalg.cholesky(cov) @ e
    x = np.zeros_like(e)
    for t in range(len(coefs), n + 300):
        x[:, t] = e[:, t] + sum(a @ x[:, t - k] for k, a in enumerate(coefs, 1))
    return x[:, 300:]


def peaks(estimate):
    """Largest value over frequency of planted and of absent links."""
    v = estimate.values.max(axis=0)
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    return [v[p] for p in pairs if p in LINKS], [v[p] for p in pairs if p not in LINKS]


@pytest.mark.parametrize("seed", range(3))
def test_threshold_025_separates_the_links_of_the_five_node_network(seed):
    x = simulate(five_nodes(), 2000, seed)
    for name in ("pdc", "gpdc"):
        found = directed_connectivity(x, 1.0, (name,), average="trials", order=3)[name]
        present, absent = peaks(found)
        assert min(present) > 0.40
        assert max(absent) < 0.14


def test_pdc_converges_to_the_exact_values():
    a, _ = VAR(five_nodes(), np.eye(5), np.zeros(5), 1).transfer(np.linspace(0, 0.5, 257), 1.0)
    exact = pdc_of(a).swapaxes(1, 2)
    errors = []
    for n in (500, 8000):
        found = [
            directed_connectivity(
                simulate(five_nodes(), n, seed), 1.0, ("pdc",), average="trials", order=3
            )["pdc"].values
            for seed in range(4)
        ]
        errors.append(np.mean([np.abs(v - exact).max() for v in found]))
    # sixteen times the samples: a quarter of the error
    assert errors[1] < 0.06
    assert -0.75 < np.log(errors[1] / errors[0]) / np.log(16) < -0.3


def test_dtf_shows_the_path_through_another_channel_and_pdc_does_not():
    x = simulate(five_nodes(), 5000, 0)
    found = directed_connectivity(x, 1.0, ("pdc", "dtf"), average="trials", order=3)
    assert found["pdc"].values[:, 0, 4].max() < 0.1
    assert found["dtf"].values[:, 0, 4].max() > 0.9


def test_normalisations_are_over_outflow_and_inflow():
    x = simulate(five_nodes(), 1000, 0)
    found = directed_connectivity(x, 1.0, MODEL, average="trials", order=3)
    square = {name: estimate.values**2 for name, estimate in found.items()}
    np.testing.assert_allclose(square["pdc"].sum(axis=2), 1, atol=1e-12)  # over targets
    np.testing.assert_allclose(square["gpdc"].sum(axis=2), 1, atol=1e-12)
    np.testing.assert_allclose(square["dtf"].sum(axis=1), 1, atol=1e-12)  # over sources
    np.testing.assert_allclose(square["ffdtf"].sum(axis=(0, 1)), 1, atol=1e-12)
    assert (found["ddtf"].values <= found["ffdtf"].values + 1e-12).all()


def test_ddtf_uses_the_partial_coherence_of_the_model():
    x = simulate(five_nodes(), 1000, 0)
    found = directed_connectivity(x, 1.0, ("ffdtf", "ddtf"), average="trials", order=3)
    from neuro.signal.ar import fit_var

    inverse = np.linalg.inv(fit_var(x, 3).spectrum(found["ddtf"].freqs, 1.0))
    power = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2).real)
    partial = abs(inverse) / (power[:, :, None] * power[:, None, :])
    np.testing.assert_allclose(
        found["ddtf"].values, found["ffdtf"].values * partial.swapaxes(1, 2), atol=1e-12
    )


def test_only_gpdc_ignores_the_scale_of_channels():
    x = simulate(five_nodes(), 1000, 0)
    scaled = x * np.array([[1.0], [100], [1], [0.01], [1]])
    plain = directed_connectivity(x, 1.0, MODEL, average="trials", order=3)
    other = directed_connectivity(scaled, 1.0, MODEL, average="trials", order=3)
    np.testing.assert_allclose(other["gpdc"].values, plain["gpdc"].values, atol=1e-6)
    for name in ("pdc", "dtf"):
        assert np.abs(other[name].values - plain[name].values).max() > 0.2


def test_permuting_channels_permutes_the_result():
    x, order = simulate(five_nodes(), 1000, 0), [3, 1, 4, 0, 2]
    plain = directed_connectivity(x, 1.0, MODEL, average="trials", order=3)
    moved = directed_connectivity(x[order], 1.0, MODEL, average="trials", order=3)
    for name in MODEL:
        expected = plain[name].values[:, order][:, :, order]
        np.testing.assert_allclose(moved[name].values, expected, atol=1e-9)


@pytest.mark.parametrize("name", [*MODEL, "granger_spectral"])
def test_cropping_never_changes_a_value(name):
    x = simulate(five_nodes(), 1000, 0)
    options = {"average": "trials", "order": 3, "n_freqs": 101}
    whole = DIRECTED[name].function(x, 100, **options)
    part = DIRECTED[name].function(x, 100, fmin=10, fmax=20, **options)
    keep = (whole.freqs >= 10) & (whole.freqs <= 20)
    np.testing.assert_array_equal(part.values, whole.values[keep])
    band = DIRECTED[name].function(x, 100, bands={"b": (10, 20.25)}, **options)
    np.testing.assert_allclose(band.values[0], whole.values[keep].mean(axis=0), atol=1e-14)


def test_granger_of_the_exact_model():
    model = VAR(PAIR, np.eye(2), np.zeros(2), 1)
    assert np.log(reduced_cov(model, [1])[0, 0]) == pytest.approx(F_EXACT, abs=5e-6)
    assert np.log(reduced_cov(model, [0])[0, 0]) == pytest.approx(0, abs=1e-12)


def test_reduced_covariance_solves_the_riccati_equation_as_scipy_does():
    from scipy.linalg import solve_discrete_are

    cov = np.eye(5) + 0.3
    model, keep = VAR(five_nodes(), cov, np.zeros(5), 1), [0, 2, 3]
    f = model.companion
    c = model.coefs[:, keep].transpose(1, 0, 2).reshape(3, 15)
    q = np.zeros((15, 15))
    q[:5, :5] = cov
    s = np.vstack([cov[:, keep], np.zeros((10, 3))])
    p = solve_discrete_are(f.T, c.T, q, cov[np.ix_(keep, keep)], s=s)
    expected = c @ p @ c.T + cov[np.ix_(keep, keep)]
    np.testing.assert_allclose(reduced_cov(model, keep), expected, atol=1e-9)


def test_granger_estimate_meets_the_truth():
    e = np.random.default_rng(1).standard_normal((2, 200_000))
    source = lfilter([1], [1, -0.5], e[0])  # the process PAIR, without a loop in Python
    target = lfilter([1], [1, -0.5], e[1] + 0.6 * np.r_[0, source[:-1]])
    f = granger(np.stack([source, target]), 1.0, average="trials", order=1).values
    # the standard error at this n is 0.003
    assert f[0, 1] == pytest.approx(F_EXACT, abs=0.01)
    assert f[1, 0] < 0.002


def test_spectral_granger_averages_to_the_time_domain_value():
    x = simulate(PAIR, 20_000, 2)
    time = granger(x, 1.0, average="trials", order=2).values
    spectral = granger_spectral(x, 1.0, average="trials", order=2).values
    mean = np.trapezoid(spectral, dx=1 / 256, axis=0)
    assert mean[0, 1] == pytest.approx(time[0, 1], rel=1e-6)
    assert mean[1, 0] == pytest.approx(time[1, 0], abs=1e-6)


def test_wilson_factorisation_needs_no_model_and_is_not_changed_by_cropping():
    x = simulate(PAIR, 50_000, 3)
    options = {"average": "trials", "estimator": "wilson", "n_freqs": 65}
    whole = granger_spectral(x, 1.0, **options)
    mean = np.trapezoid(whole.values, dx=1 / 64, axis=0)
    # multitaper windows of 128 samples blur the spectrum a little
    assert mean[0, 1] == pytest.approx(F_EXACT, rel=0.05)
    assert mean[1, 0] < 0.002
    part = granger_spectral(x, 1.0, fmin=0.1, fmax=0.2, **options)
    keep = (whole.freqs >= 0.1 - 1e-9) & (whole.freqs <= 0.2 + 1e-9)
    np.testing.assert_array_equal(part.values, whole.values[keep])


def test_conditioning_removes_the_indirect_link():
    chain = np.array([[[0.5, 0, 0], [0.6, 0.4, 0], [0, 0.6, 0.3]]])
    x = simulate(chain, 10_000, 4)
    direct = granger(x, 1.0, average="trials", order=1).values
    pair = granger(x, 1.0, average="trials", order=5, conditional=False).values
    assert direct[0, 2] < 0.002
    assert pair[0, 2] > 0.05


def test_reversed_time_tells_mixing_from_lead():
    rng = np.random.default_rng(5)
    slow = simulate(np.array([[[0.9]]]), 20_000, 6)[0]
    fast = rng.standard_normal(20_000)
    mixed = np.array([[1, 0.6], [0.4, 1]]) @ [slow, fast] + 0.5 * rng.standard_normal((2, 20_000))
    plain = granger(mixed, 1.0, average="trials", order=10).values
    net = granger_reversed(mixed, 1.0, average="trials", order=10).values
    assert abs(plain[0, 1] - plain[1, 0]) > 0.03  # plain Granger is fooled
    assert abs(net[0, 1]) < 0.01
    lead = granger_reversed(simulate(PAIR, 5000, 7), 1.0, average="trials", order=3).values
    assert lead[0, 1] > 0.5


def test_granger_under_the_null_is_chi_squared():
    f = [
        granger(np.random.default_rng(s).standard_normal((2, 400)), 1.0, average="trials", order=2)
        for s in range(150)
    ]
    from scipy import stats

    scores = np.array([(e.n_eff * e.values)[[0, 1], [1, 0]] for e in f]).ravel()
    assert stats.kstest(scores, stats.chi2(2).cdf).pvalue > 0.01


def test_one_model_a_trial():
    x = np.stack([simulate(PAIR, 500, s) for s in range(3)])
    found = directed_connectivity(x, 1.0, ("pdc",), average="time", order=1)["pdc"]
    alone = directed_connectivity(x[1], 1.0, ("pdc",), average="trials", order=1)["pdc"]
    assert found.dims == ("trial", "freq", "source", "target")
    np.testing.assert_array_equal(found.values[1], alone.values)
    f = granger(x, 1.0, average="time", order=1)
    assert f.values.shape == (3, 2, 2)


def test_the_order_is_found_and_reported_with_its_checks():
    found = directed_connectivity(simulate(five_nodes(), 4000, 0), 1.0, ("pdc",), average="trials")
    assert found["pdc"].attrs["order"] == 3
    assert found["pdc"].attrs["order_by"] == "bic"
    assert found["pdc"].attrs["whiteness_p"] > 0.001
    assert 0.9 < found["pdc"].attrs["radius"] < 1


def test_bad_input_is_refused_with_the_reason():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 2000))
    with pytest.raises(DataError, match="average reference"):
        granger(x - x.mean(axis=0), 100, average="trials", order=2)
    trend = 1.01 ** np.arange(400) * np.array([[1.0], [1.0]]) + rng.standard_normal((2, 400))
    with pytest.raises(DataError, match="unstable"):
        directed_connectivity(trend, 100, ("pdc",), average="trials", order=1)
    with pytest.raises(DataError, match="Nyquist"):
        granger_spectral(x, 100, average="trials", order=2, bands={"hf": (40, 60)})
    with pytest.raises(DataError, match="cannot determine"):
        granger(x[:, :20], 100, average="trials", order=6)
    with pytest.raises(DataError, match="axes look swapped"):
        granger(x.T, 100, average="trials", order=2)
    with pytest.raises(ConfigError, match="Did you mean 'gpdc'"):
        directed_connectivity(x, 100, ("gpcd",), average="trials")
    with pytest.raises(ConfigError, match="no default"):
        granger(x, 100, average="both", order=2)
