"""The pickle machine reads plain values and refuses everything else."""

import pickle

import numpy as np
import pytest

from neuro.datasets.choices import _plain, read_plain_pickle
from neuro.errors import FileError


class Harmful:
    """Unpickling this would call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3])
def test_plain_values_come_back(protocol):
    value = {"a": [1, 300, -70000, 2.5, "µ"], "b": (True, None, (1, 2, 3, 4)), "c": {}}
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("kind", ["<f8", "<f4", "<i8", "<i4", "|b1"])
def test_arrays_come_back(kind):
    # protocol 2 spells bytes as the published file does
    x = np.arange(12).reshape(3, 4).astype(kind)
    found = _plain(read_plain_pickle(pickle.dumps({"x": x}, 2)))["x"]
    np.testing.assert_array_equal(found, x)
    assert found.dtype == x.dtype


def test_fortran_order_is_kept():
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(_plain(read_plain_pickle(pickle.dumps({"x": x}, 2)))["x"], x)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_functions_are_never_called(protocol, tmp_path):
    target = tmp_path / "touched"
    harmful = pickle.dumps([Harmful(open, str(target), "w")], protocol)
    with pytest.raises(FileError, match="refused"):
        read_plain_pickle(harmful)
    assert not target.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"\x80\x02.",
        b"\x80\x02]q\x00",
        b"\x80\x02h\x07.",
        b"\x80\x02t.",
        b"\x80\x02K\x01K\x02b.",
        pickle.dumps({"x": np.arange(3.0)}, 2)[:-40],
        pickle.dumps({"x": np.arange(3.0)}, 2).replace(b"K\x03\x85", b"K\x04\x85"),
        pickle.dumps({"x": np.arange(3, dtype=">f8")}, 2),
        pickle.dumps({"x": np.array([object])}, 2),
    ],
)
def test_malformed_or_foreign_pickles_are_one_project_error(raw):
    with pytest.raises(FileError):
        read_plain_pickle(raw)
