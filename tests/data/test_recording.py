import pickle
from collections.abc import Callable

import numpy as np
import pytest

from neuro.data import Axis, Clock, Events, Irregular, Recording, Regular, Static
from neuro.errors import DataError

Make = Callable[..., Regular]


def _session(eeg: Make) -> Recording:
    bold = Regular(np.arange(40.0)[None], "1/2", "au", Axis(["PCC"], "roi"), "bold")
    spikes = Irregular([1.0, 5.0, 9.0], [0, 0, 0], Axis(["u"], "unit"), [(0.0, 10.0)])  # type: ignore[arg-type]
    return Recording(
        {"eeg": eeg(), "bold": bold, "spikes": spikes, "t1": Static(np.eye(2), ("x", "y"))},
        Events.make([2.0, 14.0, 30.0], ["a", "b", "c"], duration_s=[3.0, 1.0, 0.0]),
        subject="01",
        clocks={"bold": Clock(1.0, 10.0)},
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": {}}, "at least one stream"),
        ({"streams": {"x": np.zeros(3)}}, "not a stream"),
        ({"streams": {"a/b": Static(np.eye(2), ("x", "y"))}}, "slash"),
        ({"clocks": {"egg": Clock()}}, r"Did you mean 'eeg'\?"),
        ({"events": Events.make([1.0], stream="egg")}, r"Did you mean 'eeg'\?"),
        ({"age": 1200.0}, "Age must be in years"),
        ({"age": float("nan")}, "Age must be in years"),
    ],
)
def test_recordings_that_contradict_themselves_are_refused(
    eeg: Make, change: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Recording(**({"streams": {"eeg": eeg()}} | change))  # type: ignore[arg-type]


def test_an_id_is_made_of_the_facts_and_follows_them(eeg: Make) -> None:
    rec = Recording({"eeg": eeg()}, dataset="d", subject="01", run="2")
    assert rec.id == "d_01_2"
    assert rec.replace(subject="02").id == "d_02_2"
    assert rec.with_step("looked at").id == "d_01_2"
    assert rec.replace(id="mine").replace(subject="03").id == "mine"


def test_streams_are_found_by_name_or_alone(eeg: Make) -> None:
    assert Recording({"eeg": eeg()}).stream().modality == "eeg"
    rec = _session(eeg)
    with pytest.raises(DataError, match="Name one of the streams"):
        rec.stream()
    with pytest.raises(DataError, match=r"Did you mean 'bold'\?"):
        rec.stream("bolt")
    with pytest.raises(DataError, match="Bin it first"):
        rec.regular("spikes")


def test_the_span_is_on_the_session_clock(eeg: Make) -> None:
    # EEG 0 to 20 s, BOLD 80 s long and 10 s late, spikes to 10 s
    assert _session(eeg).span_s == (0.0, 90.0)


def test_a_slice_cuts_every_stream_on_the_session_clock(eeg: Make) -> None:
    part = _session(eeg).slice(12.0, 16.0)
    assert sorted(part.streams) == ["bold", "eeg", "t1"]
    assert part.regular("eeg").t0_s == 12.0
    assert part.regular("eeg").n_times == 400
    # session 12 to 16 s is 2 to 6 s of the BOLD stream: volumes 1 and 2
    assert part.regular("bold").values().tolist() == [[1.0, 2.0]]
    assert part.events.type.tolist() == ["b"]
    assert part.provenance.steps == ("slice [12, 16) s",)


def test_slices_that_meet_partition_the_samples(eeg: Make) -> None:
    rec = _session(eeg)
    parts = [rec.slice(a, b).regular("eeg").values() for a, b in ((0, 7.123), (7.123, 20))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), rec.regular("eeg").values())


def test_events_stay_whole_if_any_of_them_lies_inside(eeg: Make) -> None:
    rec = _session(eeg)
    assert rec.slice(4.0, 6.0).events.type.tolist() == ["a"]
    assert rec.slice(5.0, 6.0).events.type.tolist() == []
    assert rec.slice(30.0, 31.0).events.type.tolist() == ["c"]
    assert rec.slice(28.0, 30.0).events.type.tolist() == []


def test_empty_slices_are_refused(eeg: Make) -> None:
    rec = _session(eeg)
    with pytest.raises(DataError, match="Empty time range"):
        rec.slice(2.0, 2.0)
    with pytest.raises(DataError, match=r"covers \[0, 90\)"):
        rec.slice(200.0, 201.0)


def test_events_of_a_stream_reach_the_session_clock(eeg: Make) -> None:
    rec = Recording(
        {"eeg": eeg()},
        Events.make([5.0, 1.0], ["session", "stream"], duration_s=1.0, stream=["", "eeg"]),
        clocks={"eeg": Clock(2.0, 100.0)},
    )
    session = rec.session_events()
    assert session.type.tolist() == ["session", "stream"]
    assert session.onset_s.tolist() == [5.0, 102.0]
    assert session.duration_s.tolist() == [1.0, 2.0]
    assert session.stream.tolist() == ["", ""]


def test_steps_are_kept_in_order(eeg: Make) -> None:
    rec = Recording({"eeg": eeg()}).with_step("one").with_stream("b", eeg(), "two")
    assert rec.provenance.steps == ("one", "two")


def test_the_repr_names_streams_shapes_units_rates_and_clocks(eeg: Make) -> None:
    text = repr(_session(eeg))
    assert "eeg: Regular(eeg, 3 x 2000, 100 Hz, uV, 20 s)" in text
    assert "bold: Regular(bold, 1 x 40, 0.5 Hz, au, 80 s) @ 1 t + 10 s" in text
    assert "subject 01" in text


def test_recordings_can_be_pickled(eeg: Make) -> None:
    rec = _session(eeg)
    back = pickle.loads(pickle.dumps(rec))
    assert repr(back) == repr(rec)
    np.testing.assert_array_equal(back.regular("eeg").values(), rec.regular("eeg").values())
