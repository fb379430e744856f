"""Spectral connectivity and VAR against mne-connectivity, scipy and statsmodels."""

import numpy as np
import pytest
from scipy import signal

from neuro.connectivity.envelope import envelope_correlation
from neuro.connectivity.granger import granger_spectral
from neuro.connectivity.spectral import ALIASES, spectral_connectivity
from neuro.signal import apply_filter, bandpass
from neuro.signal.ar import choose_order, fit_var, whiteness_test
from neuro.signal.cross import cross_spectrum

MNE_NAMES = ("coh", "cohy", "imcoh", "plv", "ciplv", "ppc", "pli", "pli2_unbiased", "dpli")
MNE_NAMES += ("wpli", "wpli2_debiased")


def coupled(shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    x[:, 1, 2:] += x[:, 0, :-2]
    x[:, 2] += x[:, 0]
    return x


@pytest.mark.parametrize("bandwidth", [None, 6.0])
def test_every_shared_method_equals_mne_connectivity(bandwidth):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    x = coupled((15, 5, 256))
    names = [m for m in MNE_NAMES if m != "cohy"]
    theirs = mne_connectivity.spectral_connectivity_epochs(
        x, method=names, mode="multitaper", sfreq=256.0, fmin=8, fmax=30,
        mt_bandwidth=bandwidth, verbose="error",
    )  # fmt: skip
    ours = spectral_connectivity(
        x, 256, names, average="trials", estimator="multitaper", fmin=8, fmax=30,
        bandwidth_hz=bandwidth,
    )  # fmt: skip
    lower = np.tril_indices(5, -1)
    for name, result in zip(names, theirs, strict=True):
        expected = result.get_data("dense")[lower]
        got = ours[ALIASES.get(name, name)].values.transpose(1, 2, 0)[lower]
        # same tapers, epochs and bins: rounding only
        np.testing.assert_allclose(got, expected, atol=1e-10, err_msg=name)


def test_squared_coherence_and_cross_spectrum_equal_scipy():
    x = coupled((1, 3, 4000))[0]
    found = spectral_connectivity(x, 200, ("squared_coherence",), average="trials", length_s=1)
    freqs, expected = signal.coherence(x[0], x[1], 200, nperseg=200, noverlap=100)
    # at 0 Hz and Nyquist both are defined, ours starts above 0 Hz
    np.testing.assert_allclose(
        found["squared_coherence"].values[:, 0, 1], expected[1:], rtol=1e-8, atol=1e-12
    )
    _, density = cross_spectrum(x, 200, length_s=1)
    _, theirs = signal.csd(x[1], x[0], 200, nperseg=200, noverlap=100)  # scipy conjugates the first
    np.testing.assert_allclose(density[1:, 0, 1], theirs[1:], rtol=1e-9, atol=1e-14)
    assert len(freqs) == len(density)


def test_var_equals_statsmodels():
    models = pytest.importorskip("statsmodels.tsa.api")
    x = coupled((1, 3, 1500), seed=3)[0] + 5
    theirs = models.VAR(x.T).fit(4, trend="c")
    ours = fit_var(x, 4)
    np.testing.assert_allclose(ours.coefs, theirs.coefs, atol=1e-9)
    np.testing.assert_allclose(ours.cov, theirs.sigma_u, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept, theirs.intercept, rtol=1e-8)
    test = theirs.test_whiteness(12, adjusted=True)
    found = whiteness_test(x, ours, 12)
    assert found.statistic == pytest.approx(test.test_statistic, rel=1e-8)
    assert found.p == pytest.approx(test.pvalue, abs=1e-8)


@pytest.mark.parametrize(("ours", "theirs"), [("aic", "aic"), ("bic", "bic"), ("hq", "hqic")])
def test_order_criteria_equal_statsmodels(ours, theirs):
    models = pytest.importorskip("statsmodels.tsa.api")
    x = coupled((1, 3, 800), seed=4)[0]
    expected = models.VAR(x.T).select_order(6, trend="c")
    found = choose_order(x, 6, ours)
    np.testing.assert_allclose(found.values, expected.ics[theirs][1:], rtol=1e-10)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_envelope_correlation_equals_mne_connectivity(orthogonal):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    x = np.random.default_rng(5).standard_normal((3, 4, 1500))
    ours = envelope_correlation(
        x, 200, average="time", bands={"a": (8, 13)}, orthogonal=orthogonal
    ).values[:, 0]
    analytic = signal.hilbert(apply_filter(x, bandpass(8, 13, 200)))[..., 40:-40]
    theirs = mne_connectivity.envelope_correlation(
        analytic,
        orthogonalize="pairwise" if orthogonal else False,
        log=True,
        absolute=False,
        verbose="error",
    ).get_data("dense")[..., 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning")  # theirs, at 0 Hz
@pytest.mark.parametrize("estimator", ["var", "wilson"])
def test_spectral_granger_on_the_full_grid_agrees_with_mne_connectivity(estimator):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    e = np.random.default_rng(0).standard_normal((60, 2, 450))
    x = np.zeros_like(e)
    for t in range(1, 450):
        x[:, 0, t] = 0.5 * x[:, 0, t - 1] + e[:, 0, t]
        x[:, 1, t] = 0.6 * x[:, 0, t - 1] + 0.5 * x[:, 1, t - 1] + e[:, 1, t]
    x = x[..., 50:]
    pair = (np.array([[0], [1]]), np.array([[1], [0]]))
    theirs = mne_connectivity.spectral_connectivity_epochs(
        x, method="gc", indices=pair, mode="multitaper", sfreq=100.0, fmin=0, fmax=50,
        gc_n_lags=20, verbose="error",
    ).get_data()  # fmt: skip
    options = {"order": 2} if estimator == "var" else {}
    ours = granger_spectral(
        x, 100, average="trials", estimator=estimator, n_freqs=201, **options
    ).values
    # they fit 20 lags, we 2 or none: the means agree, single frequencies scatter
    assert ours[:, 0, 1].mean() == pytest.approx(theirs[0].mean(), rel=0.01)
    assert np.abs(ours[:, 0, 1] - theirs[0]).max() < 0.1
    assert max(ours[:, 1, 0].mean(), theirs[1].mean()) < 0.002
