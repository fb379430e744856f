import warnings

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.evaluate.measures import mutual_information


def flipped_bits(n=4096, flip=0.1, scale=1.0, seed=0):
    """Three balanced bits, each flipped with a probability: the information is known."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 8)
    bits = (y[:, None] >> np.arange(3)) & 1
    t = (bits ^ (rng.random((n, 3)) < flip)).astype(float)
    t[:, 0] *= scale
    return t, y


def bits_known(flip):
    h = -(flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip))
    return 3 * (1 - h)


@pytest.mark.parametrize("flip", [0.02, 0.1, 0.3])
def test_value_less_null_is_the_truth(flip):
    found = mutual_information(*flipped_bits(flip=flip), seed=0)
    # plug-in bias is (8 - 1)(8 - 1) / (2 n ln 2) = 0.009 bits, and so is the null
    assert found.value - found.null == pytest.approx(bits_known(flip), abs=0.06)
    assert found.null == pytest.approx(49 / (2 * 4096 * np.log(2)), abs=0.003)
    assert found.p == 1 / 51
    assert not found.saturated


def test_scale_of_a_unit_does_not_matter():
    values = [mutual_information(*flipped_bits(scale=s), seed=0).value for s in (1, 100, 1e4)]
    assert np.ptp(values) == 0


def test_relu_scale_test_of_the_specification():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(4096) % 8)
    bits = (y[:, None] >> np.arange(3)) & 1
    t = np.maximum(bits - 0.5 + 0.2 * rng.standard_normal((4096, 3)), 0)
    found = [mutual_information(t * [s, 1, 1], y, seed=0) for s in (1.0, 100.0, 1e4)]
    assert np.ptp([f.value for f in found]) == 0
    # two bins cut the active half in two: H(1/4) - H(1/2) / 2 = 0.311 bits a unit
    assert found[0].value - found[0].null == pytest.approx(3 * 0.3113, abs=0.03)
    assert found[0].null == pytest.approx(0.009, abs=0.005)


def test_shuffled_labels_give_nothing():
    t, y = flipped_bits()
    found = mutual_information(t, np.random.default_rng(6).permutation(y), seed=0)
    assert abs(found.value - found.null) < 0.05
    assert found.p > 1 / 51


def test_saturation_warns_and_its_null_shows_why():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 12)), rng.integers(0, 8, 2000)
    with pytest.warns(UserWarning, match="saturated"):
        found = mutual_information(x, y, seed=0, bins=4, reduce=False)
    assert found.saturated
    assert found.null > 2.5  # of 3 bits, about labels that have nothing to do with x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reduced = mutual_information(x, y, seed=0, bins=4)
    assert reduced.n_features < 12
    assert reduced.null < 0.5


def test_processing_adds_no_information():
    t, y = flipped_bits()
    first = mutual_information(t, y, seed=0)
    second = mutual_information(t[:, :2], y, seed=0)
    assert second.value <= first.value + 0.01


def test_gaussian_pair_by_nearest_neighbours():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3000))
    y = 0.9 * a + np.sqrt(1 - 0.81) * b
    found = mutual_information(a, y, seed=0, n_null=5)
    assert found.method == "knn"
    # -log(1 - 0.81) / 2 = 0.830 nats
    assert found.value * np.log(2) == pytest.approx(0.830, abs=0.05)
    assert abs(found.null) < 0.05


def test_more_bins_by_hand():
    x = np.repeat([0.0, 1, 2, 3], 25)
    y = np.repeat(["a", "b", "b", "c"], 25)
    found = mutual_information(x, y, seed=0, bins=4, method="bins")
    assert found.entropy == 2.0
    assert found.value == 1.5  # all of the entropy of the labels


def test_groups_keep_their_labels():
    t, y = flipped_bits()
    groups = y // 4  # the highest bit is the group's
    inside = mutual_information(t, y, seed=0, groups=groups)
    one_bit = bits_known(0.1) / 3
    assert inside.null == pytest.approx(one_bit, abs=0.05)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mutual_information(np.zeros((5, 2)), np.zeros(5), seed=0), DataError, "20"),
        (lambda: mutual_information(np.zeros((50, 2)), np.zeros(49), seed=0), DataError, "labels"),
        (lambda: mutual_information(np.full(50, np.nan), np.zeros(50), seed=0), DataError, "fini"),
        (
            lambda: mutual_information(np.zeros((50, 2)), np.arange(50), seed=0, method="knn"),
            ConfigError,
            "one number",
        ),
        (
            lambda: mutual_information(np.zeros(50), np.arange(50), seed=0, bins=1),
            ConfigError,
            "bins=1",
        ),
        (
            lambda: mutual_information(np.zeros(50), np.arange(50), seed=0, method="kde"),
            ConfigError,
            "kde",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
