"""Figures of generative models draw what they are given."""

import numpy as np
import pytest

from neuro.errors import DataError
from neuro.plot import latent_traversal, real_and_synthetic, variance_match


def _matrices(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, 5, 5))
    return x + np.swapaxes(x, 1, 2)


def test_traversal_shows_changes_from_the_middle():
    m = _matrices(6).reshape(2, 3, 5, 5)
    figure = latent_traversal(m, steps=[-1, 0, 1], names=["a", "b"])
    middle, below, above = (ax.images[0].get_array() for ax in figure.axes[:3])
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(middle[off], m[0, 1][off])
    np.testing.assert_allclose(below[off], (m[0, 0] - m[0, 1])[off])
    np.testing.assert_allclose(above[off], (m[0, 2] - m[0, 1])[off])
    assert figure.axes[3].get_ylabel() == "b"
    with pytest.raises(DataError, match="no middle"):
        latent_traversal(m[:, :2], steps=[-1, 1])


def test_real_and_synthetic_are_drawn_on_one_scale_in_network_order():
    a, b = _matrices(2)
    figure = real_and_synthetic(a, 2 * a + 0 * b, networks=["y", "x", "y", "x", "y"])
    left, centre, right = figure.axes[:3]
    assert left.images[0].get_clim() == centre.images[0].get_clim()
    assert left.images[0].get_array()[0, 1] == pytest.approx(a[0, 2])
    assert right.get_title("left") == "r = 1.00"
    with pytest.raises(DataError, match="square"):
        real_and_synthetic(a, b[:4, :4])


def test_variance_ratios_are_named_with_their_median():
    figure = variance_match({"one": [0.5, 1.0, 2.0], "two": [4.0, 8.0, 16.0]})
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert labels == ["one: median 1.00", "two: median 8.00"]
    with pytest.raises(DataError, match="above 0"):
        variance_match({"none": [0.0, 1.0]})
