import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import DataError
from neuro.evaluate import Covariance, Task
from neuro.evaluate.probing.fitting import build, fit_predict
from neuro.evaluate.probing.tangent import Tangent, riemannian_mean, shrunk_covariance


def matrices(n=12, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return shrunk_covariance(rng.normal(size=(n, d, 40)) * np.arange(1, d + 1)[:, None])


def flat(c):
    return c[(slice(None), *np.triu_indices(c.shape[1]))]


class Keep:
    def fit(self, x, y, groups=None):
        return self


@pytest.mark.parametrize("n_times", [4, 60])
def test_shrinkage_is_that_of_scikit_learn(n_times):
    from sklearn.covariance import ledoit_wolf

    x = np.random.default_rng(1).normal(size=(3, 7, n_times)) * np.arange(1, 8)[:, None]
    for mine, window in zip(shrunk_covariance(x), x, strict=True):
        np.testing.assert_allclose(mine, ledoit_wolf(window.T)[0], atol=1e-12)


def test_mean_and_tangent_vectors_are_those_of_pyriemann():
    means = pytest.importorskip("pyriemann.geometry.mean")
    spaces = pytest.importorskip("pyriemann.geometry.tangentspace")
    c = matrices()
    tangent = Tangent(Keep()).fit(flat(c), np.zeros(len(c)))
    # both stop at a step of about 1e-6
    np.testing.assert_allclose(tangent.mean_, means.mean_riemann(c, tol=1e-10), rtol=1e-6)
    want = spaces.tangent_space(c, tangent.mean_)
    np.testing.assert_allclose(tangent.mapped(flat(c)), want, atol=1e-9)


def test_mixing_the_channels_changes_no_distance():
    c = matrices()
    a = np.random.default_rng(3).normal(size=(5, 5))

    def distances(m):
        z = Tangent(Keep()).fit(flat(m), np.zeros(len(m))).mapped(flat(m))
        return np.linalg.norm(z[:, None] - z[None], axis=2)

    # the mean stops at a relative step of 1e-6
    np.testing.assert_allclose(distances(c), distances(a @ c @ a.T), atol=1e-4)


def test_log_euclidean_mean_serves_wide_matrices():
    c = np.stack([np.eye(70) * 2.0, np.eye(70) * 8.0])
    np.testing.assert_allclose(riemannian_mean(c), np.eye(70) * 4.0, atol=1e-9)


def test_silent_windows_stay_finite():
    x = np.random.default_rng(0).normal(size=(6, 3, 30))
    x[0] = 0.0
    tangent = Tangent(Keep()).fit(flat(shrunk_covariance(x)), np.zeros(6))
    assert np.isfinite(tangent.mapped(flat(shrunk_covariance(x)))).all()


def test_correlation_between_channels_is_read_where_power_says_nothing():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = rng.normal(size=(120, 2, 50))
    x[:, 1] = 0.7 * np.where(y == 1, 1, -1)[:, None] * x[:, 0] + np.sqrt(0.51) * x[:, 1]
    task = Task("classification", classes=("a", "b"))
    features = flat(shrunk_covariance(x))
    said = fit_predict(
        build("tangent", task), task, features[:80], y[:80], np.arange(80), features[80:]
    )
    assert (said.label == y[80:]).mean() > 0.95
    assert said.score.shape == (40, 2)


def test_band_keeps_drifts_out():
    t = np.arange(400) / 100
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 400)) + 100 * np.sin(2 * np.pi * 0.25 * t)
    eeg = Regular(x, 100, "uV", Axis(["a", "b"], "eeg"), "eeg")
    w = windows(Recording({"eeg": eeg}), stream="eeg", length_s=4)
    wide, narrow = Covariance()(w.batch())[0], Covariance(band=(1.0, 45.0))(w.batch())[0]
    assert wide[1] > 1000  # the drift, shared by both channels
    assert abs(narrow[1]) < 0.2


def test_features_that_are_no_matrix_are_refused():
    with pytest.raises(DataError, match="no upper triangle"):
        Tangent(Keep()).fit(np.ones((4, 5)), np.zeros(4))
