"""Figures of code books: they show what they are given, and refuse what they cannot."""

from types import SimpleNamespace

import numpy as np
import pytest

from neuro import plot
from neuro.errors import DataError


def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def test_usage_is_sorted_and_names_what_is_never_used():
    figure = plot.code_usage(np.array([10, 0, 30, 60, 0]))
    area = figure.axes[0].collections[0].get_paths()[0].vertices
    assert area[:, 1].max() == pytest.approx(60.0)
    assert figure.axes[0].get_xlim() == (0, 5)
    assert "never\nused" in texts(figure)
    assert "never\nused" not in texts(plot.code_usage(np.array([1, 2])))


def test_labels_stand_together_and_unused_codes_are_left_out():
    table = np.array([[0, 9], [8, 2], [0, 0], [5, 0], [1, 7]])
    figure = plot.code_labels(table, ["a", "b_c"])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["3", "1", "0", "4"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b c"]
    shown = np.asarray(ax.images[0].get_array())
    assert shown.tolist() == [[1.0, 0.8, 0.0, 0.125], [0.0, 0.2, 1.0, 0.875]]


def looks(n, n_times=50, sfreq=50.0):
    rng = np.random.default_rng(0)
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    return SimpleNamespace(
        codes=np.arange(n) + 7,
        counts=np.arange(n) + 1,
        example=rng.standard_normal((n, n_times)),
        waveform=np.zeros((n, n_times)),
        spectrum=rng.random((n, len(freqs))),
        freqs=freqs,
        sfreq=sfreq,
        unit="uV",
    )


@pytest.mark.parametrize(("n", "columns"), [(1, 3), (5, 2), (7, 3)])
def test_every_code_is_drawn_with_its_number_and_meaning(n, columns):
    figure = plot.code_prototypes(looks(n), ["alpha"] * n, columns=columns)
    drawn = [t for t in texts(figure) if t.endswith(": alpha")]
    assert drawn == [f"{i + 7}: alpha" for i in range(n)]
    lines = figure.axes[0].lines
    # one stretch, one mean and three marks of frequency a code
    assert len(lines) == 5 * n
    x = np.concatenate([line.get_xdata() for line in lines])
    assert x.min() >= 0
    assert x.max() <= columns


def test_no_more_codes_are_drawn_than_asked_for():
    assert len(plot.code_prototypes(looks(9), most=4).axes[0].lines) == 20


def test_evidence_is_drawn_on_its_own_channel_and_second():
    evidence = np.array([[0.0, 3.0, -1.0], [0.0, 0.0, -6.0]])
    truth = evidence > 2
    x = np.random.default_rng(0).standard_normal((2, 300))
    figure = plot.code_evidence(x, evidence, np.arange(3), 1.0, sfreq=100, names=["Fz", "Cz"],
                                truth=truth)  # fmt: skip
    ax = figure.axes[0]
    mesh = ax.collections[0]
    assert np.asarray(mesh.get_array()).reshape(2, 3).tolist() == evidence.tolist()
    assert mesh.get_clim() == (-6.0, 6.0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Fz", "Cz"]
    frame = ax.lines[1]  # after the first channel's signal
    assert frame.get_xdata().tolist() == [1.0, 2.0]
    assert frame.get_ydata().tolist() == [0.47, 0.47]
    assert len(ax.lines) == 3


def test_overlapping_tokens_are_drawn_up_to_the_next():
    x = np.zeros((1, 200))
    figure = plot.code_evidence(x, np.zeros((1, 3)), np.array([0.0, 0.5, 1.0]), 1.0, sfreq=100)
    edges = figure.axes[0].collections[0].get_coordinates()[0, :, 0]
    assert edges.tolist() == [0.0, 0.5, 1.0, 2.0]


def test_a_name_cannot_start_a_formula():
    figure = plot.code_labels(np.array([[1, 2]]), [r"$\frac$", "b"])
    figure.savefig("/dev/null", format="svg")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot.code_usage(np.zeros(4)),
        lambda: plot.code_labels(np.ones((3, 2)), ["a"]),
        lambda: plot.code_labels(np.zeros((3, 1)), ["a"]),
        lambda: plot.code_prototypes(looks(0)),
        lambda: plot.code_evidence(np.zeros((2, 10)), np.zeros((1, 3)), np.arange(3), 1, sfreq=1),
    ],
    ids=["no code", "a name short", "no token", "no prototype", "another shape"],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(DataError):
        draw()
