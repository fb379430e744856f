"""The result object: order of vectors, conversions, disk."""

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.connectome import sym_matrix_to_vec, vec_to_sym_matrix

from neuro.connectivity import (
    Connectivity,
    connectivity,
    from_nilearn_vector,
    matrix_of,
    to_nilearn_vector,
    vector_of,
)
from neuro.errors import ConfigError, DataError, FileError


def symmetric(n, seed, lead=()):
    x = np.random.default_rng(seed).standard_normal((*lead, n, n))
    return x + np.swapaxes(x, -1, -2)


@pytest.fixture
def banded():
    names = np.array(["Fz", "Cz", "Pz"])
    attrs = {"method": "coherence", "unit": "1", "n_eff": 40.0, "average": "trials",
             "freqs": np.array([10.0, 20.0]), "positions": np.eye(3)}  # fmt: skip
    coords = {"band": np.array(["alpha", "beta"]), "source": names, "target": names}
    return Connectivity(symmetric(3, 0, (2,)), ("band", "source", "target"), coords, attrs)


@given(st.integers(2, 12), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_vector_round_trip(n, seed):
    matrix = symmetric(n, seed)
    np.fill_diagonal(matrix, 1.0)
    np.testing.assert_array_equal(matrix_of(vector_of(matrix), diagonal=1.0), matrix)


@pytest.mark.parametrize("discard", [True, False])
def test_nilearn_order_equals_nilearn(discard):
    matrix = symmetric(5, 1, (4,))
    ours = to_nilearn_vector(matrix, discard_diagonal=discard)
    np.testing.assert_array_equal(ours, sym_matrix_to_vec(matrix, discard_diagonal=discard))
    diagonal = np.diagonal(matrix, axis1=1, axis2=2) if discard else None
    back = from_nilearn_vector(ours, diagonal=diagonal)
    # nilearn wants a diagonal that was scaled as the vector's would have been
    theirs = vec_to_sym_matrix(ours, diagonal=diagonal / np.sqrt(2) if discard else None)
    np.testing.assert_allclose(back, theirs, rtol=1e-15)
    np.testing.assert_allclose(back, matrix, rtol=1e-15)


def test_our_order_is_not_nilearns():
    matrix = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0.0]])
    assert vector_of(matrix).tolist() == [1, 2, 3, 4, 5, 6]
    assert to_nilearn_vector(matrix, discard_diagonal=True).tolist() == [1, 2, 4, 3, 5, 6]


def test_length_of_no_triangle_is_refused():
    with pytest.raises(DataError, match="5 values are not the triangle"):
        matrix_of(np.zeros(5))


def test_repr_says_what_it_is(banded):
    assert repr(banded) == (
        "Connectivity(coherence, band 2 x source 3 x target 3, undirected, unit 1, "
        "averaged over trials, n_eff 40)"
    )


def test_select_band_and_nodes(banded):
    part = banded.select(band="beta", nodes=["Pz", "Fz"])
    assert part.dims == ("source", "target")
    np.testing.assert_array_equal(part.values, banded.values[1][np.ix_([2, 0], [2, 0])])
    np.testing.assert_array_equal(part.attrs["positions"], np.eye(3)[[2, 0]])


def test_unknown_band_names_the_nearest(banded):
    with pytest.raises(ConfigError, match="Did you mean 'alpha'"):
        banded.select(band="alfa")


def test_matrix_says_which_dim_is_left(banded):
    with pytest.raises(DataError, match=r"select\(band="):
        banded.matrix()


def test_directed_has_no_vector():
    names = ["a", "b"]
    c = Connectivity(np.ones((2, 2)), ("source", "target"), {"source": names, "target": names},
                     {"directed": True, "method": "pdc"})  # fmt: skip
    with pytest.raises(DataError, match="pdc is directed"):
        c.vector()


def test_to_networkx_keeps_direction_and_drops_what_is_not_a_number():
    values = np.array([[0, 0.9, np.nan], [0.1, 0, 0], [0, 0.4, 0]])
    names = ["a", "b", "c"]
    c = Connectivity(values, ("source", "target"), {"source": names, "target": names},
                     {"directed": True})  # fmt: skip
    graph = c.to_networkx()
    assert isinstance(graph, networkx.DiGraph)
    assert sorted(graph.edges(data="weight")) == [("a", "b", 0.9), ("b", "a", 0.1), ("c", "b", 0.4)]


def test_to_xarray_keeps_names_and_attributes(banded):
    array = banded.to_xarray()
    assert float(array.sel(band="beta", source="Fz", target="Pz")) == banded.values[1, 0, 2]
    assert array.attrs["n_eff"] == 40.0


def test_to_mne_connectivity(banded):
    pytest.importorskip("mne_connectivity")
    found = banded.to_mne_connectivity()
    np.testing.assert_array_equal(found.get_data("dense")[:, :, 1], banded.values[1])
    assert found.names == ["Fz", "Cz", "Pz"]


def test_save_and_load(banded, tmp_path):
    banded.save(tmp_path / "a.npz")
    again = Connectivity.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.values, banded.values)
    assert again.dims == banded.dims
    assert again.coords["band"].tolist() == ["alpha", "beta"]
    np.testing.assert_array_equal(again.attrs["positions"], np.eye(3))
    assert {k: v for k, v in again.attrs.items() if k in ("method", "n_eff", "directed")} == {
        "method": "coherence", "n_eff": 40.0, "directed": False}  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_result_of_the_door_survives_disk(tmp_path):
    x = np.random.default_rng(0).standard_normal((3, 100))
    found = connectivity(x, method="precision")  # its diagonal attribute is NaN
    found.save(tmp_path / "a.npz")
    again = Connectivity.load(tmp_path / "a.npz")
    assert np.isnan(again.attrs["diagonal"])
    assert again.attrs["range"] == [-np.inf, np.inf]


def test_hostile_header_is_refused(tmp_path):
    from neuro.io import safe

    deep = np.array("[" * 100_000)
    safe.save_npz(tmp_path / "a.npz", {"values": np.zeros((2, 2)), "header": deep})
    with pytest.raises(FileError):
        Connectivity.load(tmp_path / "a.npz")


def test_another_npz_is_refused(tmp_path):
    from neuro.io import safe

    safe.save_npz(tmp_path / "a.npz", {"values": np.zeros(3)})
    with pytest.raises(FileError, match="holds no connectivity"):
        Connectivity.load(tmp_path / "a.npz")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"2 coordinates|coordinates for 3"):
        Connectivity(np.zeros((3, 3)), ("source", "target"), {"source": ["a", "b"],
                                                              "target": ["a", "b"]})  # fmt: skip
