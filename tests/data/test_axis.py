import pickle

import numpy as np
import pytest

from neuro.data import Axis, Grid
from neuro.errors import DataError


def _full() -> Axis:
    return Axis(
        ["a", "b", "c"],
        ["roi", "roi", "vertex"],
        positions=[[0, 0, 0.1], [np.nan] * 3, [0.1, 0, 0]],
        frame="MNI152",
        atlas="AAL2",
        labels=[3, 5, 9],
        reference="Cz",
        bad=[False, True, False],
        grid=Grid(np.eye(4), (2, 2, 2), [[0, 0, 0], [0, 1, 0], [1, 1, 1]]),  # type: ignore[arg-type]
        columns={"quality": [0.1, 0.2, 0.3]},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a", "a"]}, "Duplicate row names"),
        ({"names": ["a", ""]}, "empty name"),
        ({"names": ["a"], "types": ["eeg", "eeg"]}, "types has 2 entries for 1 rows"),
        ({"names": ["a"], "positions": [[80.0, 0, 0]]}, "millimetres"),
        ({"names": ["a"], "positions": np.zeros((2, 3))}, r"\(1, 3\)"),
        ({"names": ["a"], "bad": [True, False]}, "bad has 2"),
        ({"names": ["a"], "labels": [1, 2]}, "labels has 2"),
        ({"names": ["a"], "columns": {"depth": [1, 2]}}, "column 'depth' has 2"),
        ({"names": ["a"], "grid": Grid(np.eye(4), (1, 1, 1), np.zeros((2, 3)))}, "grid has 2"),
    ],
)
def test_axes_that_contradict_themselves_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Axis(**options)  # type: ignore[arg-type]


def test_one_type_serves_all_rows() -> None:
    assert Axis(["a", "b"], "eeg").types == ("eeg", "eeg")


def test_take_carries_every_field() -> None:
    taken = _full().take([2, 0])
    assert taken.names == ("c", "a")
    assert taken.types == ("vertex", "roi")
    assert taken.positions is not None
    np.testing.assert_array_equal(taken.positions, np.float32([[0.1, 0, 0], [0, 0, 0.1]]))
    assert taken.labels is not None
    assert taken.labels.tolist() == [9, 3]
    assert taken.bad.tolist() == [False, False]
    assert taken.grid is not None
    assert taken.grid.ijk.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert taken.columns["quality"].tolist() == [0.3, 0.1]
    assert (taken.frame, taken.atlas, taken.reference) == ("MNI152", "AAL2", "Cz")


@pytest.mark.parametrize("rows", [[True, False, True], slice(0, 3, 2), np.array([0, 2])])
def test_rows_by_mask_slice_or_number(rows: object) -> None:
    assert _full().take(rows).names == ("a", "c")


def test_an_unknown_name_gets_its_nearest_match() -> None:
    with pytest.raises(DataError, match=r"Did you mean 'Oz'\?"):
        Axis(["Oz", "Fp1"]).index(["oz"])


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a", "b", "d"]},
        {"types": "roi"},
        {"labels": [3, 5, 8]},
        {"bad": None},
        {"frame": "head"},
        {"columns": {}},
        {"grid": None},
        {"positions": None},
    ],
)
def test_equality_sees_every_field(change: dict[str, object]) -> None:
    assert _full() == _full()
    assert _full() != _full().replace(**change)


def test_pickle_keeps_everything() -> None:
    assert pickle.loads(pickle.dumps(_full())) == _full()


@pytest.mark.parametrize(
    ("affine", "shape", "ijk", "message"),
    [
        (np.eye(3), (2, 2, 2), np.zeros((1, 3)), "Affine"),
        (np.full((4, 4), np.nan), (2, 2, 2), np.zeros((1, 3)), "Affine"),
        (np.eye(4), (2, 2, 2), [[2, 0, 0]], "leave the volume"),
        (np.eye(4), (2, 2, 2), [[-1, 0, 0]], "leave the volume"),
        (np.eye(4), (2, 2, 2), [0, 0, 0], "shape"),
    ],
)
def test_grids_are_checked(affine: object, shape: object, ijk: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Grid(affine, shape, ijk)  # type: ignore[arg-type]
