"""Connectivity figures: they show what they are given, and refuse what they cannot."""

import numpy as np
import pytest

from neuro.connectivity import Connectivity
from neuro.errors import ConfigError, DataError
from neuro.plot import connectivity as draw


def result(values, *, dims=("source", "target"), coords=None, **attrs):
    n = np.shape(values)[-1]
    names = [f"n{i}" for i in range(n)]
    every = {"source": names, "target": names, **(coords or {})}
    return Connectivity(np.asarray(values), dims, every, {"method": "wpli", **attrs})


def symmetric(n, seed=0, low=0.0):
    x = np.random.default_rng(seed).uniform(low, 1, (n, n))
    return (x + x.T) / 2


def image_of(figure):
    return next(ax.images[0] for ax in figure.axes if ax.images)


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in (*ax.texts, *ax.get_xticklabels())]


def test_matrix_is_ordered_by_network_and_its_diagonal_left_blank():
    values = symmetric(4)
    figure = draw.connectivity_matrix(result(values), networks=["a", "b", "a", "b"])
    shown = np.ma.filled(image_of(figure).get_array(), np.nan)
    order = [0, 2, 1, 3]
    expected = values[np.ix_(order, order)]
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(shown, expected)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize(("low", "limits"), [(0.0, "positive"), (-1.0, "both")])
def test_colours_are_centred_only_where_signs_differ(low, limits):
    image = image_of(draw.connectivity_matrix(result(symmetric(5, low=low))))
    low_shown, high = image.get_clim()
    assert low_shown == (0 if limits == "positive" else -high)


def test_directed_matrix_names_its_axes():
    ax = draw.connectivity_matrix(result(symmetric(3), directed=True)).axes[0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("source", "target")


def test_networks_of_another_length_are_refused():
    with pytest.raises(DataError, match="2 networks for 3 nodes"):
        draw.connectivity_matrix(result(symmetric(3)), networks=["a", "b"])


def test_circle_draws_the_strongest_edges_only():
    values = np.zeros((5, 5))
    values[0, 1] = values[1, 0] = 0.9
    values[2, 3] = values[3, 2] = 0.5
    values[1, 4] = values[4, 1] = 0.1
    figure = draw.connectivity_circle(result(values), most=2)
    assert len(figure.axes[0].patches) == 2
    assert "2 edges" in figure.axes[0].get_title(loc="left")


def test_circle_draws_each_direction_of_a_directed_matrix():
    values = np.array([[0, 0.9, 0], [0.4, 0, 0], [0, 0, 0.0]])
    assert len(draw.connectivity_circle(result(values, directed=True)).axes[0].patches) == 2
    both = symmetric(3)
    assert len(draw.connectivity_circle(result(both)).axes[0].patches) == 3


def test_only_kept_edges_are_drawn():
    keep = np.zeros((4, 4), bool)
    keep[0, 2] = keep[2, 0] = True
    figure = draw.connectivity_circle(result(symmetric(4)), keep=keep)
    assert len(figure.axes[0].patches) == 1


def test_sensors_stand_where_they_are():
    where = np.array([[-0.08, 0, 0.0], [0.08, 0, 0.0], [0, 0.09, 0.0], [0, 0, 0.09]])
    figure = draw.connectivity_sensors(result(symmetric(4), positions=where))
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert points[0, 0] < -0.1 < 0.1 < points[1, 0]  # left is left
    assert points[2, 1] > 0.1  # the nose is up
    np.testing.assert_allclose(points[3], 0, atol=1e-12)  # the vertex is in the middle


def test_sensor_without_a_position_is_counted():
    where = np.array([[0.05, 0, 0.05], [-0.05, 0, 0.05], [np.nan] * 3])
    figure = draw.connectivity_sensors(result(symmetric(3), positions=where))
    assert "1 without a position" in figure.axes[0].get_title(loc="left")


def test_sensors_without_positions_are_refused():
    with pytest.raises(DataError, match="pass positions="):
        draw.connectivity_sensors(result(symmetric(3)))


def test_glass_brain_is_drawn_from_metres():
    where = np.array([[-0.04, -0.02, 0.05], [0.04, -0.02, 0.05], [0, 0.05, 0.02]])
    figure = draw.connectivity_glass_brain(result(symmetric(3), positions=where))
    assert len(figure.axes) >= 4  # three projections and a colour bar


def test_directed_glass_brain_is_refused():
    with pytest.raises(DataError, match="connectivity_circle"):
        draw.connectivity_glass_brain(result(symmetric(3), directed=True), np.zeros((3, 3)))


def test_timeline_shows_visits_and_gaps():
    labels, times = np.array([0, 0, 1, 1, 1]), np.array([1.0, 2, 3, 10, 11])
    ax = draw.state_timeline(labels, times, run=[0, 0, 0, 1, 1]).axes[0]
    bars = [(b.get_x(), b.get_width(), round(b.get_y() + 0.4)) for b in ax.patches]
    assert bars == [(0.5, 2.0, 0), (2.5, 1.0, 1), (9.5, 2.0, 1)]


def test_timeline_with_matrices_names_their_share():
    figure = draw.state_timeline([0, 0, 0, 1], [1, 2, 3, 4], np.stack([symmetric(3)] * 2))
    titles = [ax.get_title(loc="left") for sub in figure.subfigs for ax in sub.axes]
    assert "state 1, 75%" in titles


def spectra(directed=False):
    values = np.zeros((10, 3, 3))
    values[:, 0, 1] = np.linspace(0, 0.8, 10)
    values[:, 1, 0] = values[:, 0, 1]
    values[:, 0, 2] = values[:, 2, 0] = 0.3
    return result(values, dims=("freq", "source", "target"), coords={"freq": np.arange(1.0, 11)},
                  directed=directed)  # fmt: skip


def test_spectra_of_named_pairs():
    ax = draw.pair_spectra(spectra(), [("n0", "n2")], chance=0.1).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert list(lines) == ["n0 – n2", "chance"]
    np.testing.assert_array_equal(lines["n0 – n2"], 0.3)


def test_spectra_of_the_strongest_pairs_come_first():
    ax = draw.pair_spectra(spectra(), most=1).axes[0]
    assert [line.get_label() for line in ax.lines] == ["n0 – n1"]
    directed = draw.pair_spectra(spectra(directed=True), most=1).axes[0]
    assert "→" in directed.lines[0].get_label()


def test_unknown_pair_is_refused():
    with pytest.raises(ConfigError, match="No node 'n9'"):
        draw.pair_spectra(spectra(), [("n0", "n9")])


def test_bands_have_no_spectra():
    with pytest.raises(DataError, match="without bands="):
        draw.pair_spectra(result(symmetric(3)))


def test_matrix_without_a_number_is_refused():
    with pytest.raises(DataError, match="no number to draw"):
        draw.connectivity_matrix(np.full((3, 3), np.nan))
