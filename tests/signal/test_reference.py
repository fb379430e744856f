import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.signal import apply_matrix, reference_matrix

NAMES = ["FP1", "F7", "T3", "T5", "O1"]
X = np.random.default_rng(0).standard_normal((5, 50))


def test_average_reference_has_zero_mean_and_ignores_a_common_signal():
    matrix, names = reference_matrix(NAMES, "average")
    y = matrix @ (X + 1000 * np.sin(np.arange(50)))
    assert names == tuple(NAMES)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y, matrix @ X, atol=1e-11)


def test_average_reference_is_idempotent():
    matrix, _ = reference_matrix(NAMES, "average")
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-15)


def test_average_leaves_bad_channels_out_of_the_mean():
    matrix, _ = reference_matrix(NAMES, "average", bads=["T3"])
    good = [0, 1, 3, 4]
    np.testing.assert_allclose(matrix @ X, X - X[good].mean(axis=0), atol=1e-12)


def test_named_reference_is_the_mean_of_the_named():
    matrix, _ = reference_matrix(NAMES, ["T3", "O1"])
    np.testing.assert_allclose(matrix @ X, X - (X[2] + X[4]) / 2, atol=1e-12)


def test_bipolar_pairs_in_the_order_asked():
    matrix, names = reference_matrix(NAMES, [("T5", "O1"), ("FP1", "F7")])
    assert names == ("T5-O1", "FP1-F7")
    np.testing.assert_array_equal(matrix @ X, np.stack([X[3] - X[4], X[0] - X[1]]))


def test_pairs_with_a_bad_channel_are_left_out():
    _, names = reference_matrix(NAMES, [("FP1", "F7"), ("F7", "T3"), ("T3", "T5")], bads=["F7"])
    assert names == ("T3-T5",)


def test_average_equals_mne():
    mne = pytest.importorskip("mne")
    info = mne.create_info(NAMES, 100.0, "eeg")
    raw = mne.io.RawArray(X.copy(), info, verbose="error").set_eeg_reference(
        "average", verbose="error"
    )
    matrix, _ = reference_matrix(NAMES, "average")
    np.testing.assert_allclose(matrix @ X, raw.get_data(), atol=1e-12)


def test_a_missing_channel_spoils_only_rows_that_use_it():
    x = X.copy()
    x[2, 10] = np.nan
    matrix, _ = reference_matrix(NAMES, [("FP1", "F7"), ("F7", "T3"), ("T5", "O1")])
    y = apply_matrix(matrix, x)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 10]]
    np.testing.assert_allclose(y[[0, 2]], (matrix @ X)[[0, 2]], atol=1e-15)


def test_apply_matrix_works_over_leading_axes_in_float64():
    matrix, _ = reference_matrix(NAMES, "average")
    x = np.stack([X, X + 1e6]).astype(np.float32)
    y = apply_matrix(matrix, x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, matrix @ x.astype(float), atol=1e-6)


@pytest.mark.parametrize(
    ("scheme", "error", "match"),
    [
        ("avg", ConfigError, "'average'"),
        ([("FP1", "F77")], DataError, "Did you mean 'F7'"),
        (["CZ"], DataError, "'CZ' is not in the data"),
        ([("FP1", "FP1")], DataError, "minus itself"),
        ([("FP1", "F7"), ("FP1", "F7")], DataError, "named twice"),
        ([], ConfigError, "empty"),
        ([("FP1", "F7"), "O1"], ConfigError, "either"),
        ([("FP1", "F7", "T3")], ConfigError, "either"),
    ],
)
def test_bad_schemes_say_what_is_wrong(scheme, error, match):
    with pytest.raises(error, match=match):
        reference_matrix(NAMES, scheme)


def test_nothing_good_left():
    with pytest.raises(DataError, match="Every reference channel is bad"):
        reference_matrix(NAMES, "average", bads=NAMES)
    with pytest.raises(DataError, match="free of bad"):
        reference_matrix(NAMES, [("FP1", "F7")], bads=["F7"])
    with pytest.raises(DataError, match="unique"):
        reference_matrix(["A", "A"], "average")
    with pytest.raises(DataError, match="'X9' is not in"):
        reference_matrix(NAMES, "average", bads=["X9"])
    with pytest.raises(DataError, match="second last"):
        apply_matrix(np.eye(3), X)
