"""Figures of regions show the numbers they are given."""

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.plot.regions import attention_course, region_glass_brain, region_map


@pytest.fixture
def clusters():
    """18 regions of three networks in clear clusters, one region without a network."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 8))
    x = np.concatenate([c + 0.1 * rng.normal(size=(6, 8)) for c in centres])
    order = rng.permutation(18)
    names = np.repeat(["visual", "motor", "default"], 6)[order].tolist()
    return np.concatenate([x[order], rng.normal(size=(1, 8))]), [*names, ""]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_networks_in_clusters_are_neighbours(clusters, method):
    figure = region_map(*clusters, method=method)
    # 5 of the 17 others are of one's own network
    title = figure.axes[0].get_title(loc="left")
    assert title == "nearest region of the same network: 100 % (chance 29 %)"
    groups = figure.axes[0].collections
    assert [len(g.get_offsets()) for g in groups] == [6, 6, 6]
    middles = [np.asarray(g.get_offsets()).mean(axis=0) for g in groups]
    spread = max(np.asarray(g.get_offsets()).std() / 3 for g in groups)
    assert min(np.linalg.norm(a - b) for i, a in enumerate(middles) for b in middles[:i]) > spread


def test_the_matrix_is_ordered_by_network(clusters):
    figure = region_map(*clusters)
    drawn = figure.axes[1].images[0].get_array()
    inside = [drawn[k : k + 6, k : k + 6].mean() for k in (0, 6, 12)]
    assert min(inside) > 0.95
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == [
        "default", "motor", "visual",
    ]  # fmt: skip
    assert np.ma.getmaskarray(drawn).diagonal().all()


def test_attention_is_told_against_an_even_spread():
    attention = np.array([[1.0, 1, 4, 2], [1, 1, 2, np.nan]])
    events = [(10.0, 20.0, "heat"), (20.0, 25.0, "rating"), (30.0, 40.0, "heat")]
    figure = attention_course(attention, [5, 15, 25, 35], events=events, names=["a", "b"])
    rows, mean = figure.axes[0], figure.axes[1]
    drawn = rows.images[0].get_array()
    np.testing.assert_allclose(drawn[0], [0.5, 0.5, 2, 1])
    np.testing.assert_allclose(mean.lines[0].get_ydata(), [0.625, 0.625, 1.75, 1])
    labels = [t.get_text() for t in mean.get_legend().get_texts()]
    assert labels == ["heat", "rating"]
    assert mean.get_xlim() == (0.0, 40.0)


def test_glass_brain_leaves_out_what_has_no_place():
    rng = np.random.default_rng(0)
    where = rng.uniform(-60, 60, (10, 3))
    where[3] = np.nan
    figure = region_glass_brain(rng.normal(size=10), where, label="weight")
    assert "weight, 1 regions without a place" in {t.get_text() for t in figure.texts}


@pytest.mark.parametrize(
    ("draw", "error", "said"),
    [
        (lambda: region_map(np.ones((5, 2)), ["a"] * 4), DataError, "4 regions"),
        (lambda: region_map(np.full((4, 2), np.nan), ["a"] * 4), DataError, "NaN"),
        (lambda: region_map(np.ones((5, 2)), ["a"] * 3 + [""] * 2), DataError, "four or more"),
        (lambda: region_map(np.ones((5, 2)), ["a"] * 5, method="umap"), ConfigError, "umap"),
        (lambda: attention_course([1.0, 2.0], [1.0]), DataError, "times"),
        (lambda: attention_course([1.0, -2.0], [1.0, 2.0]), DataError, "0 or more"),
        (lambda: attention_course(np.zeros((2, 2)), [1.0, 2.0]), DataError, "every row"),
        (lambda: region_glass_brain([1.0, 2], np.zeros((3, 3))), DataError, "expected"),
        (lambda: region_glass_brain([1.0, 2], np.full((2, 3), 0.05)), DataError, "metres"),
        (lambda: region_glass_brain([np.nan, 2], [[9.0] * 3, [np.nan] * 3]), DataError, "both"),
    ],
    ids="rows nan few method times negative nothing shape metres nowhere".split(),
)
def test_what_does_not_fit_is_refused(draw, error, said):
    with pytest.raises(error, match=said):
        draw()
