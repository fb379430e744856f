"""Figures of states draw what they are given."""

import numpy as np
import pytest

from neuro.errors import DataError
from neuro.plot.states import (
    connection_types,
    coupling_matrices,
    dwell_times,
    state_choice,
    state_path,
)


def test_path_shows_shares_and_epochs():
    p = np.zeros((3, 4000))
    p[0, :1000] = p[1, 1000:3000] = p[2, 3000:] = 1.0
    figure = state_path(p, bin_s=0.1, epochs=[(0.0, 200.0, "sleep")])
    share = [bar.get_width() for bar in figure.axes[1].patches]
    assert share == [0.25, 0.5, 0.25]
    assert figure.axes[0].get_xlim() == (0.0, 400.0)
    assert [t.get_text() for t in figure.axes[0].texts] == ["sleep"]


def test_columns_are_pre_and_the_diagonal_is_blank():
    w = np.zeros((2, 3, 3))
    w[0, 2, 0] = 0.7  # unit 0 excites unit 2
    w[1] = np.eye(3)
    figure = coupling_matrices(w, names=["a", "b", "c"])
    drawn = figure.axes[0].images[0].get_array()
    assert drawn[2, 0] == 0.7
    assert np.ma.getmaskarray(drawn).diagonal().all()
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("from (pre)", "to (post)")


def test_weak_connections_are_left_blank():
    p = np.zeros((2, 2, 3))
    p[..., 1] = 1.0
    p[0, 1] = [0.6, 0.4, 0.0]
    p[1, 0] = [0.0, 0.9, 0.1]
    drawn = connection_types(p).axes[0].images[0].get_array()
    assert drawn[0, 1] == -0.6
    assert np.ma.getmaskarray(drawn).tolist() == [[True, False], [True, True]]


def test_visits_at_the_edges_are_left_out():
    figure = dwell_times([[0, 0, 1, 1, 1, 0, 1, 0]], bin_s=0.5)
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert labels == ["state 1: 1 visits, median 0.5 s", "state 2: 2 visits, median 1 s"]


def test_choice_shows_gains_over_the_first():
    figure = state_choice([1, 2, 3], [[-3.0, -3.2], [-2.0, -2.4], [-2.1, -2.3]], best=2)
    line = figure.axes[0].containers[0][0]
    np.testing.assert_allclose(line.get_ydata(), [0.0, 0.9, 0.9])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: state_path(np.ones((2, 3)), bin_s=1.0),
        lambda: coupling_matrices(np.ones((2, 3))),
        lambda: connection_types(np.ones((2, 2, 3))),
        lambda: dwell_times([[0, 0, 0]], bin_s=1.0),
        lambda: state_choice([1, 2], [[1.0]]),
    ],
    ids=["path", "couplings", "types", "dwell", "choice"],
)
def test_shapes_that_do_not_fit_are_refused(draw):
    with pytest.raises(DataError):
        draw()
