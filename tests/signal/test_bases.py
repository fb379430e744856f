"""History bases and the features they make."""

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import BSpline

from neuro.errors import ConfigError, DataError
from neuro.signal import (
    HistoryBuffer,
    bspline_basis,
    exponential_basis,
    history_features,
    raised_cosine_basis,
)

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "onehot-hmm-glm"
X = np.random.default_rng(0).poisson(0.5, (3, 60)).astype(float)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")
def test_frozen_numbers_of_the_original():
    from neuro.io.safe import load_npz

    numbers = load_npz(FOLDER / "io.npz")
    basis = exponential_basis(5)
    np.testing.assert_allclose(basis[0], numbers["basis"], rtol=1e-14)
    for spikes, history in zip(numbers["spikes"], numbers["history"], strict=True):
        np.testing.assert_allclose(history_features(spikes.T, basis)[:, 0].T, history, atol=1e-14)
    # the second version keeps its kernels oldest lag first
    second = history_features(numbers["spikes"][0].T, numbers["history2_kernel"][::-1])
    np.testing.assert_allclose(second[:, 0].T, numbers["history2"][0], atol=1e-14)


def test_features_are_sums_over_the_past():
    basis = np.random.default_rng(1).standard_normal((2, 7))
    found = history_features(X, basis)
    for m, b, t in [(0, 0, 0), (1, 1, 3), (2, 0, 59)]:
        wanted = sum(basis[b, k] * X[m, t - 1 - k] for k in range(7) if t - 1 - k >= 0)
        assert found[m, b, t] == pytest.approx(wanted, abs=1e-13)


@pytest.mark.parametrize("t", [0, 17, 59])
def test_no_bin_sees_itself_or_its_future(t):
    changed = X.copy()
    changed[:, t:] = 99.0
    basis = raised_cosine_basis(3, 10)
    np.testing.assert_array_equal(
        history_features(changed, basis)[..., : t + 1], history_features(X, basis)[..., : t + 1]
    )


def test_a_stream_gives_the_same_bits():
    basis = raised_cosine_basis(3, 10)
    buffer, parts = HistoryBuffer(3, basis), []
    for column in X.T:
        parts.append(buffer.push(column))
        fresh = HistoryBuffer(3, basis)
        fresh.load_state_dict(buffer.state_dict())
        buffer = fresh
    np.testing.assert_array_equal(np.stack(parts, axis=-1), history_features(X, basis))
    buffer.reset()
    np.testing.assert_array_equal(buffer.push(X[:, 0]), np.zeros((3, 3)))


def test_single_precision_is_asked_for():
    single = history_features(X, exponential_basis(5), dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, history_features(X, exponential_basis(5)), atol=1e-6)


def test_splines_are_those_of_scipy():
    found = bspline_basis(6, 30, degree=3)
    knots = np.r_[[0.0] * 3, np.linspace(0, 1, 4), [1.0] * 3]
    at = (np.arange(30) + 0.5) / 30
    np.testing.assert_allclose(found.T, BSpline.design_matrix(at, knots, 3).toarray(), atol=1e-13)
    np.testing.assert_array_equal(bspline_basis(5, 20, degree=0).sum(axis=0), 1.0)


def test_cosines_are_flat_together_and_finer_near_the_spike():
    basis = raised_cosine_basis(6, 200, offset=2.0)
    at = basis.argmax(axis=1)
    # four cosines overlap from the second peak to the last but one
    np.testing.assert_allclose(basis[:, at[1] : at[-2] + 1].sum(axis=0), 2.0, atol=1e-3)
    assert (np.diff(at, 2) >= 0).all()
    assert basis.max() <= 1.0
    assert basis[-1, -1] < 0.01


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: exponential_basis(0), "n_lags=0"),
        (lambda: exponential_basis(5, -1.0), "above 0"),
        (lambda: raised_cosine_basis(5, 4), "n_lags=4"),
        (lambda: raised_cosine_basis(2, 4, offset=0), "offset=0"),
        (lambda: bspline_basis(3, 10, degree=3), "at least 4"),
        (lambda: HistoryBuffer(0, [1.0]), "n_rows=0"),
    ],
    ids=["lags", "decay", "many", "offset", "degree", "rows"],
)
def test_sizes_that_cannot_be_are_refused(make, hint):
    with pytest.raises(ConfigError, match=hint):
        make()


def test_malformed_arrays_are_refused():
    with pytest.raises(DataError, match="time last"):
        history_features(X[0], [1.0])
    with pytest.raises(DataError, match="finite"):
        history_features(X, [np.nan])
    with pytest.raises(DataError, match="Expected \\(2,\\)"):
        HistoryBuffer(2, [1.0]).push([1.0])
    with pytest.raises(DataError, match="this buffer"):
        HistoryBuffer(2, [1.0]).load_state_dict({"past": np.zeros((3, 2))})
