import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import Clock, Events
from neuro.errors import DataError


def test_rows_are_sorted_together() -> None:
    events = Events.make(
        [3.0, 1.0, 2.0],
        ["c", "a", "b"],
        duration_s=[0.3, 0.1, 0.2],
        value=[3, 1, 2],
        block=[30, 10, 20],
        columns={"side": ["r3", "r1", "r2"]},
    )
    assert events.onset_s.tolist() == [1.0, 2.0, 3.0]
    assert events.type.tolist() == ["a", "b", "c"]
    assert events.duration_s.tolist() == [0.1, 0.2, 0.3]
    assert events.block.tolist() == [10, 20, 30]
    assert events.column("side").tolist() == ["r1", "r2", "r3"]


def test_defaults() -> None:
    events = Events.make([1.0, 2.0])
    assert events.type.tolist() == ["event", "event"]
    assert np.isnan(events.value).all()
    assert events.stream.tolist() == ["", ""]
    assert events.block.tolist() == [-1, -1]


def test_the_constructor_casts_and_has_no_columns_by_default() -> None:
    events = Events([0.0, 1.0], [0, 0], ["a", "b"], [1, 2], ["", ""], [-1, -1])  # type: ignore[arg-type]
    assert events.onset_s.dtype == np.float64
    assert events.block.dtype == np.int64
    assert events.columns == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"onset_s": [np.nan]}, "onset of row 0"),
        ({"onset_s": [np.inf]}, "onset of row 0"),
        ({"onset_s": [1.0], "duration_s": -1.0}, "duration of row 0"),
        ({"onset_s": [1.0], "duration_s": np.nan}, "duration of row 0"),
        ({"onset_s": [1.0], "duration_s": np.inf}, "duration of row 0"),
        ({"onset_s": [1.0, 2.0], "type": ["a"]}, "type has 1 rows for 2"),
        ({"onset_s": [1.0], "value": "much"}, "column 'value' holds"),
        ({"onset_s": [1.0], "block": [np.nan]}, "column 'block' holds"),
        ({"onset_s": [[1.0, 2.0]]}, "one value a row"),
        ({"onset_s": [1.0], "columns": {"x": [1, 2]}}, "column 'x'"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Events.make(**options)  # type: ignore[arg-type]


def test_the_constructor_refuses_rows_out_of_order() -> None:
    two = np.zeros(2)
    with pytest.raises(DataError, match="not in order"):
        Events(np.array([2.0, 1.0]), two, two.astype(str), two, two.astype(str), two.astype(int))


def test_take_keeps_the_order_of_onset() -> None:
    events = Events.make([1.0, 2.0, 3.0], ["a", "b", "c"])
    assert events.take([2, 0]).type.tolist() == ["a", "c"]


def test_select_by_type_and_stream() -> None:
    events = Events.make([1, 2, 3], ["a", "b", "a"], stream=["", "eeg", "eeg"])
    assert len(events.select("a")) == 2
    assert events.select(["a", "b"], stream="eeg").onset_s.tolist() == [2, 3]
    assert len(events.select("nothing")) == 0


def test_an_empty_table_is_a_table() -> None:
    events = Events.empty()
    assert len(events) == 0
    assert repr(events) == "Events(0)"
    assert len(events.select("a")) == 0


def test_an_unknown_column_lists_what_there_is() -> None:
    with pytest.raises(DataError, match=r"Known: onset_s, .*side"):
        Events.make([1.0], columns={"side": ["l"]}).column("sid")


@given(st.floats(0.5, 2.0), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_clock_and_its_inverse_cancel(a: float, b: float, t: float) -> None:
    clock = Clock(a, b)
    # float64 keeps 1e-12 of numbers up to 3e4
    assert clock.to_stream(clock.to_session(t)) == pytest.approx(t, abs=1e-7)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (-1, 0), (np.nan, 0), (1, np.inf)])
def test_clocks_that_stand_or_run_backwards_are_refused(a: float, b: float) -> None:
    with pytest.raises(DataError, match="Clock needs"):
        Clock(a, b)
