"""Numbers of the original HappyFeat, and of statsmodels, through the families of features."""

from pathlib import Path

import numpy as np
import pytest

from neuro.stream import Plan, Power

ORACLE = Path(__file__).resolve().parents[2].parent / "shared" / "oracles" / "happyfeat" / "io.npz"
NAMES = ("C3", "Cz", "C4")


@pytest.fixture(scope="module")
def oracle():
    if not ORACLE.is_file():
        pytest.skip("../shared/oracles/happyfeat is not here")
    from neuro.io.safe import load_npz

    return load_npz(ORACLE)


def test_burg_has_the_shape_of_the_published_spectra(oracle):
    family = Power(1, 124, order_s=19 / 250, log=False).fitted(NAMES, 250, 124)
    theirs = oracle["burg_o19_nfft250_win125_ov40_timefreq"][..., 1:]
    for trial, x in enumerate(oracle["burg_signal"]):
        for window in range(7):
            ours = family.window(x[:, 85 * window : 85 * window + 124])
            scale = ours / theirs[trial, :, window]  # the original leaves the variance out
            # sharp peaks magnify the rounding of the coefficients
            np.testing.assert_allclose(scale, scale[:, :1] * np.ones(124), rtol=1e-8)


def test_burg_holds_the_power_of_the_signal(oracle):
    x = oracle["burg_signal"][0, :, :124]
    family = Power(0, 125, step_hz=0.02, log=False).fitted(NAMES, 250, 124)
    # the recursion keeps the variance; the sum over frequencies is one of trapezes
    np.testing.assert_allclose(family.window(x).sum(1) * 0.02, x.var(axis=1), rtol=0.01)


def test_burg_is_that_of_statsmodels(oracle):
    linear_model = pytest.importorskip("statsmodels.regression.linear_model")
    x = oracle["burg_signal"][1, :, :63]
    family = Power(4, 40, order_s=15 / 250, log=False).fitted(NAMES, 250, 63)
    freqs = np.asarray(family.table.columns)
    lags = np.exp(-2j * np.pi * np.outer(freqs, np.arange(1, 16)) / 250)
    for ours, one in zip(family.window(x), x, strict=True):
        rho, _ = linear_model.burg(one - one.mean(), 15)  # its variance is another estimate
        scale = ours * np.abs(1 - lags @ rho) ** 2
        np.testing.assert_allclose(scale, scale[0], rtol=1e-8)


def test_welch_is_the_published_one(oracle):
    x = oracle["burg_signal"]
    family = Power(4, 40, method="welch", log=False).fitted(NAMES, 250, 125)
    assert family.table.columns == tuple(oracle["welch_freqs"][4:41:2])
    for trial in (0, 1):
        parts = [family.window(x[trial, :, 85 * i : 85 * i + 125]) for i in range(8)]
        ours, theirs = family.combine(parts), oracle["welch_psd"][trial, :, 4:41:2]
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_trials_have_as_many_windows_as_published(oracle):
    assert len(Plan(1, 4).starts(500)) == oracle["windows_per_trial"]
    overlapping = Plan(1, 4, 0.25, 0.25 * 0.64)
    assert len(overlapping.starts(500)) == oracle["windows_per_trial_connectivity_0.25s_36pct"]
