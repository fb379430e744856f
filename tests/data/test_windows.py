import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import Axis, Clock, Events, Irregular, Recording, Regular, Static, Windows, windows
from neuro.data.labels import covering_events
from neuro.errors import DataError, UnitError

Make = Callable[..., Regular]
MakeRec = Callable[..., Recording]


def _ramp(n: int = 100, rate: Any = 10, names: tuple[str, ...] = ("a", "b"), **options: Any) -> Any:
    x = np.arange(len(names) * n, dtype=np.float32).reshape(len(names), n)
    return Regular(x, rate, "uV", Axis(names, "eeg"), "eeg", **options)


# ---- where windows lie ---------------------------------------------------------


def test_windows_tile_the_signal_and_drop_the_rest() -> None:
    w = windows(Recording({"eeg": _ramp(105)}), stream="eeg", length_s=2.0)
    assert w.start.tolist() == [0, 20, 40, 60, 80]
    assert w.stop.tolist() == [20, 40, 60, 80, 100]
    assert w.block.tolist() == [-1] * 5
    assert w.id.tolist() == [0, 1, 2, 3, 4]


def test_a_step_makes_them_overlap() -> None:
    w = windows(Recording({"eeg": _ramp(50)}), stream="eeg", length_s=2.0, step_s=1.0)
    assert w.start.tolist() == [0, 10, 20, 30]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10)), min_size=1, max_size=6),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_no_window_crosses_a_segment_and_every_one_that_fits_is_there(
    pieces: list[tuple[int, int]], length: int, step: int
) -> None:
    segments, at = [], 0
    for size, gap in pieces:
        segments.append((at, at + size))
        at += size + gap
    stream = _ramp(at, segments=segments)
    expected = [(s, k) for k, (a, b) in enumerate(segments) for s in range(a, b - length + 1, step)]
    if not expected:
        with pytest.raises(DataError, match="No window fits"):
            windows(Recording({"eeg": stream}), stream="eeg", length_s=length / 10)
        return
    w = windows(Recording({"eeg": stream}), stream="eeg", length_s=length / 10, step_s=step / 10)
    assert w.start.tolist() == [s for s, _ in expected]
    assert w.block.tolist() == [k if len(segments) > 1 else -1 for _, k in expected]


def test_the_shortest_segment_is_the_default_length() -> None:
    w = windows(Recording({"eeg": _ramp(segments=[(0, 30), (40, 60)])}), stream="eeg")
    assert w.n_times == 20
    assert w.start.tolist() == [0, 40]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_s": 0.0}, "positive number of seconds"),
        ({"length_s": np.nan}, "positive number of seconds"),
        ({"length_s": 0.01}, "shorter than one sample"),
        ({"length_s": 99.0}, r"longest segment is 10 s, the window 99 s"),
        ({"length_s": 1.0, "step_s": 0.0}, "step_s"),
        ({"length_s": 1.0, "step_s": -1.0}, "step_s"),
        ({"length_s": 1.0, "step_s": np.nan}, "step_s"),
        ({"length_s": 1.0, "stream": "egg"}, r"Did you mean 'eeg'\?"),
        ({"length_s": 1.0, "align": "go"}, "No event of type 'go'"),
        ({"length_s": 1.0, "label": "type"}, "No window has a label"),
        ({"length_s": 1.0, "label": "colour"}, "No window has a label"),
    ],
)
def test_impossible_windows_say_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        windows(Recording({"eeg": _ramp()}), **({"stream": "eeg"} | options))


def test_no_recording_is_an_error() -> None:
    with pytest.raises(DataError, match="No recordings"):
        windows([], stream="eeg", length_s=1.0)


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (_ramp(rate=20), DataError, "sampled at 20 Hz"),
        (_ramp().to_unit("mV"), UnitError, "in mV"),
        (Static(np.eye(2), ("a", "b")), DataError, "is Static"),
        (
            Regular(np.zeros((2, 9)), 10, "uV", Axis(["a", "b"], "roi", atlas="AAL"), "eeg"),
            DataError,
            "atlas 'AAL'",
        ),
    ],
)
def test_recordings_that_differ_do_not_mix(other: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        windows(
            [Recording({"eeg": _ramp()}, id="x"), Recording({"eeg": other}, id="y")],
            stream="eeg",
            length_s=0.5,
        )


def test_positions_in_two_frames_do_not_mix() -> None:
    recs = [
        Recording({"eeg": _ramp().__class__(np.ones((1, 50)), 10, "uV", axis, "eeg")})
        for axis in (
            Axis(["Cz"], "eeg", positions=[[0, 0, 0.1]], frame="head"),
            Axis(["Cz"], "eeg", positions=[[0, 0, 0.1]], frame="mri_ras"),
        )
    ]
    with pytest.raises(DataError, match="several coordinate frames"):
        windows(recs, stream="eeg", length_s=1.0)


# ---- locked to events ----------------------------------------------------------


def _cued(onsets: Any, n: int = 100, clocks: Any = None, **stream: Any) -> Recording:
    events = Events.make(onsets, ["go"] * len(onsets))
    return Recording({"eeg": _ramp(n, **stream)}, events, clocks=clocks or {}, id="rec")


def test_windows_start_at_the_first_sample_at_or_after_event_plus_offset() -> None:
    w = windows(_cued([2.0, 3.01, 4.0]), stream="eeg", length_s=1.0, align="go", offset_s=0.5)
    assert w.start.tolist() == [25, 36, 45]
    assert w.stop.tolist() == [35, 46, 55]


def test_only_the_types_asked_for() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1, 2, 3], ["a", "b", "c"]))
    cut = {"stream": "eeg", "length_s": 0.5}
    assert windows(rec, align="b", **cut).start.tolist() == [20]
    assert windows(rec, align=["a", "c"], **cut).start.tolist() == [10, 30]
    assert windows(rec, align="*", **cut).start.tolist() == [10, 20, 30]


def test_windows_that_would_leave_the_signal_are_left_out() -> None:
    w = windows(_cued([0.2, 5.0, 9.8]), stream="eeg", length_s=1.0, align="go", offset_s=-0.5)
    assert w.start.tolist() == [45]


def test_the_way_from_event_to_window_crosses_no_segment() -> None:
    # epochs of 2 s put side by side: what stands before a trial is another trial
    rec = _cued([0.0, 2.0, 4.0], segments=[(0, 20), (20, 40), (40, 60)])
    cut = {"stream": "eeg", "length_s": 1.0, "align": "go"}
    assert windows(rec, offset_s=0.5, **cut).start.tolist() == [5, 25, 45]
    with pytest.raises(DataError, match="No window around the events"):
        windows(rec, offset_s=-1.0, **cut)
    with pytest.raises(DataError, match="No window around the events"):
        windows(rec, offset_s=2.0, **cut)


def test_clocks_with_drift_and_offset_are_used() -> None:
    # 1 % fast: session 106.1 s is stream 6 s
    clock = {"eeg": Clock(1.01, 100.04)}
    w = windows(_cued([106.1], clocks=clock), stream="eeg", length_s=1.0, align="go")
    assert w.start.tolist() == [60]
    assert w.start_s().tolist() == pytest.approx([100.04 + 1.01 * 6])
    assert w.stop_s().tolist() == pytest.approx([100.04 + 1.01 * 7])


def test_events_on_the_streams_own_clock_are_used() -> None:
    rec = Recording(
        {"eeg": _ramp()},
        Events.make([3.0], ["go"], stream="eeg"),
        clocks={"eeg": Clock(1.0, 500.0)},
    )
    w = windows(rec, stream="eeg", length_s=1.0, align="go")
    assert w.start.tolist() == [30]
    assert w.start_s().tolist() == [503.0]


@pytest.mark.parametrize("onset", [-3.0, 10.0, 846.2])
def test_events_outside_the_recording_are_an_error(onset: float) -> None:
    with pytest.raises(DataError, match=r"outside 'rec', which covers \[0, 10\)"):
        windows(_cued([2.0, onset]), stream="eeg", length_s=1.0, align="go")


def test_events_inside_another_stream_only_are_no_defect(eeg: Make) -> None:
    rec = Recording({"eeg": _ramp(), "long": eeg(seconds=30.0)}, Events.make([2.0, 25.0], "go"))
    assert len(windows(rec, stream="eeg", length_s=1.0, align="go")) == 1
    assert len(windows(rec, stream="long", length_s=1.0, align="go")) == 2


def test_events_that_began_before_a_slice_are_no_defect() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1.0, 5.0], "go", duration_s=2.0)).slice(2, 10)
    assert windows(rec, stream="eeg", length_s=1.0, align="go").start_s().tolist() == [5.0]


# ---- labels --------------------------------------------------------------------


def test_names_become_class_numbers_in_sorted_order() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1, 2, 3], ["right", "left", "right"]))
    w = windows(rec, stream="eeg", length_s=0.5, align="*", label="type")
    assert w.classes == ("left", "right")
    assert w.target is not None
    assert w.target.tolist() == [1, 0, 1]
    assert w.labelled.all()


def test_the_order_of_classes_can_be_given_and_others_are_missing() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1, 2, 3], ["c", "a", "b"]))
    w = windows(rec, stream="eeg", length_s=0.5, align="*", label="type", classes=["b", "a"])
    assert w.target is not None
    np.testing.assert_array_equal(w.target, [np.nan, 1, 0])
    assert w.labelled.tolist() == [False, True, True]


def test_classes_that_never_occur_are_an_error() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1], ["left"]))
    with pytest.raises(DataError, match=r"Did you mean 'Left'\?"):
        windows(rec, stream="eeg", length_s=0.5, align="*", label="type", classes=["Left"])


def test_sliding_windows_take_the_event_that_covers_them() -> None:
    events = Events.make([0.0, 4.0, 5.0], ["sleep", "wake", "blip"], duration_s=[4.0, 6.0, 0.0])
    rec = Recording({"eeg": _ramp()}, events)
    w = windows(rec, stream="eeg", length_s=2.0, step_s=1.0, label="type")
    assert w.classes == ("sleep", "wake")
    assert w.target is not None
    # 3 to 5 s lies in neither
    np.testing.assert_array_equal(w.target, [0, 0, 0, np.nan, 1, 1, 1, 1, 1])


def test_values_facts_and_functions() -> None:
    events = Events.make([1.0, 2.0], value=[45.0, np.nan], columns={"side": ["l", ""]})
    recs = [
        Recording({"eeg": _ramp()}, events, subject="01", age=30.0),
        Recording({"eeg": _ramp()}, events, subject="02"),
    ]

    def of(label: Any) -> list[float]:
        w = windows(recs, stream="eeg", length_s=0.5, align="*", label=label)
        assert w.target is not None
        return [float(v) for v in w.target.ravel()]

    nan = pytest.approx(np.nan, nan_ok=True)
    assert of("value") == [45, nan, 45, nan]
    assert of("side") == [0, nan, 0, nan]
    assert of("subject") == [0, 0, 1, 1]
    assert of("age") == [30, 30, nan, nan]
    assert of(lambda rec, start, stop: start + stop) == [2.5, 4.5, 2.5, 4.5]
    assert of(lambda rec, start, stop: [start, stop]) == [1, 1.5, 2, 2.5] * 2


def test_labels_of_mixed_kinds_or_shapes_are_refused() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1.0, 2.0]))
    cut = {"stream": "eeg", "length_s": 0.5, "align": "*"}
    with pytest.raises(DataError, match="differ in shape"):
        windows(rec, label=lambda r, a, b: [0.0] * int(a), **cut)
    with pytest.raises(DataError, match="names and numbers"):
        windows(rec, label=lambda r, a, b: "one" if a < 2 else 2.0, **cut)


def test_the_columns_of_an_index() -> None:
    recs = [
        Recording({"eeg": _ramp()}, subject="01", run="1", age=30.0),
        Recording({"eeg": _ramp()}, subject="02", run="1"),
    ]
    w = windows(recs, stream="eeg", length_s=5.0)
    assert w.column("subject").tolist() == ["01", "01", "02", "02"]
    np.testing.assert_array_equal(w.column("age"), [30, 30, np.nan, np.nan])
    assert w.column("recording").tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match=r"Did you mean 'session'\?"):
        w.column("sesion")


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 30)), max_size=25),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 10)), min_size=1, max_size=25),
)
def test_covering_events_are_those_a_plain_search_finds(
    spans: list[tuple[float, float]], cuts: list[tuple[float, float]]
) -> None:
    events = Events.make([a for a, _ in spans], duration_s=[d for _, d in spans])
    start = np.array([a for a, _ in cuts])
    stop = start + np.array([d for _, d in cuts])
    end = events.onset_s + events.duration_s
    plain = [
        max(
            (
                i
                for i in range(len(events))
                if events.onset_s[i] <= a + 1e-6 and not end[i] < b - 1e-6
            ),
            default=-1,
        )
        for a, b in zip(start, stop, strict=True)
    ]
    assert covering_events(events, start, stop).tolist() == plain


def test_labelling_20000_windows_by_2000_events_is_quick() -> None:
    rec = Recording(
        {"eeg": Regular(np.zeros((1, 2_000_000), np.int16), 100, "uV", Axis(["a"]), "eeg")},
        Events.make(np.arange(2000) * 10.0, ["x", "y"] * 1000, duration_s=10.0, block=0),
    )
    began = time.perf_counter()
    w = windows(rec, stream="eeg", length_s=1.0, label="type")
    assert len(w) == 20_000
    assert w.labelled.all()
    # 0.05 s here; the limit leaves room for a loaded machine
    assert time.perf_counter() - began < 1.0


# ---- blocks --------------------------------------------------------------------


def test_events_give_their_block_with_or_without_a_label() -> None:
    events = Events.make([0.0, 5.0], ["a", "b"], duration_s=5.0, block=[7, 9])
    rec = Recording({"eeg": _ramp()}, events)
    for label in (None, "type", "subject", lambda r, a, b: 0.0):
        facts = rec.replace(subject="01")
        w = windows(facts, stream="eeg", length_s=2.5, label=label)
        assert w.block.tolist() == [7, 7, 9, 9]


def test_blocks_of_segments_are_not_mistaken_for_blocks_of_events() -> None:
    events = Events.make([3.0], ["a"], duration_s=1.0, block=[1])
    rec = Recording({"eeg": _ramp(segments=[(0, 30), (30, 60), (60, 100)])}, events)
    w = windows(rec, stream="eeg", length_s=1.0)
    block = dict(zip(w.start.tolist(), w.block.tolist(), strict=True))
    assert block[30] == 1
    assert len({block[0], block[30], block[40], block[60]}) == 4
    assert block[0] == block[10] == block[20]


# ---- batches -------------------------------------------------------------------


def test_a_batch_holds_the_samples_in_the_order_asked_for() -> None:
    rec = Recording({"eeg": _ramp(t0_s=5.0)}, subject="s", session="x", run="r", age=9, sex="F")
    batch = windows(rec, stream="eeg", length_s=2.0).batch([3, 0, 3, -1])
    assert batch.x.shape == (4, 2, 20)
    assert batch.x[:, 1, 0].tolist() == [160, 100, 160, 180]
    assert batch.start_s.tolist() == [11, 5, 11, 13]
    assert batch.index.tolist() == [3, 0, 3, 4]
    assert (batch.x.dtype, batch.start_s.dtype) == (torch.float32, torch.float64)
    assert (batch.sfreq, batch.unit, batch.modality, batch.ch_names) == (
        10,
        "uV",
        "eeg",
        ("a", "b"),
    )
    assert (batch.subject, batch.session, batch.run) == (("s",) * 4, ("x",) * 4, ("r",) * 4)
    assert batch.covariates["age"].tolist() == [9] * 4
    assert batch.covariates["sex"].tolist() == [0] * 4
    assert batch.target is None
    assert batch.channel_mask.all()
    assert batch.time_mask.all()


def test_what_is_not_known_of_a_person_is_nan() -> None:
    batch = windows(Recording({"eeg": _ramp()}), stream="eeg", length_s=5.0).batch()
    assert torch.isnan(batch.covariates["age"]).all()
    assert torch.isnan(batch.covariates["sex"]).all()
    assert torch.isnan(batch.positions).all()


def test_targets_come_with_a_mask() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1.0, 2.0], value=[3.5, np.nan]))
    batch = windows(rec, stream="eeg", length_s=0.5, align="*", label="value").batch()
    assert batch.target is not None
    assert batch.target_mask is not None
    assert batch.target[0] == 3.5
    assert batch.target_mask.tolist() == [True, False]


def test_missing_samples_mask_the_time_of_all_channels() -> None:
    x = np.ones((2, 40), np.float32)
    x[1, 5:8] = np.nan
    rec = Recording({"eeg": Regular(x, 10, "uV", Axis(["a", "b"], "eeg"), "eeg")})
    batch = windows(rec, stream="eeg", length_s=2.0).batch()
    assert torch.isfinite(batch.x).all()
    assert batch.channel_mask.all()
    assert torch.nonzero(~batch.time_mask[0]).flatten().tolist() == [5, 6, 7]
    assert batch.time_mask[1].all()
    assert (batch.x[0, :, 5:8] == 0).all()
    assert (batch.x[0, :, 8:] == 1).all()


def test_a_channel_missing_throughout_is_absent_and_hides_no_time() -> None:
    x = np.ones((2, 40), np.float32)
    x[1, :20] = np.nan
    rec = Recording({"eeg": Regular(x, 10, "uV", Axis(["a", "b"], "eeg"), "eeg")})
    batch = windows(rec, stream="eeg", length_s=2.0).batch()
    assert batch.channel_mask.tolist() == [[True, False], [True, True]]
    assert batch.time_mask.all()
    assert (batch.x[0, 1] == 0).all()


def test_bad_channels_are_masked_and_zero() -> None:
    x = np.ones((2, 40), np.float32)
    axis = Axis(["a", "b"], "eeg", bad=[False, True])
    batch = windows(
        Recording({"eeg": Regular(x, 10, "uV", axis, "eeg")}), stream="eeg", length_s=2.0
    ).batch()
    assert batch.channel_mask.tolist() == [[True, False]] * 2
    assert (batch.x[:, 1] == 0).all()
    assert (batch.x[:, 0] == 1).all()


def test_montages_that_differ_are_joined_by_name() -> None:
    place = {"Fz": [0, 0.1, 0], "Cz": [0, 0, 0.1], "Oz": [0, -0.1, 0]}

    def rec(names: list[str], first: float) -> Recording:
        x = np.repeat(first + np.arange(len(names), dtype=np.float32)[:, None], 20, axis=1)
        axis = Axis(names, "eeg", positions=[place[n] for n in names], frame="head")
        return Recording({"eeg": Regular(x, 10, "uV", axis, "eeg")}, subject=str(first))

    w = windows([rec(["Cz", "Fz"], 10), rec(["Oz", "Cz"], 20)], stream="eeg", length_s=2.0)
    batch = w.batch()
    assert batch.ch_names == ("Cz", "Fz", "Oz")
    assert batch.x[:, :, 0].tolist() == [[10, 11, 0], [21, 0, 20]]
    assert batch.channel_mask.tolist() == [[True, True, False], [True, False, True]]
    assert batch.frame == "head"
    torch.testing.assert_close(batch.positions[1, 0], torch.tensor([0, 0, 0.1]))
    assert torch.isnan(batch.positions[0, 2]).all()


@pytest.mark.parametrize("wrong", [[5], [-6], [0.5], np.ones(3, bool)])
def test_windows_that_do_not_exist_are_refused(wrong: Any) -> None:
    w = windows(Recording({"eeg": _ramp()}), stream="eeg", length_s=2.0)
    with pytest.raises(DataError, match=r"Window|mask"):
        w.batch(wrong)


def test_selecting_keeps_ids_and_targets() -> None:
    rec = Recording({"eeg": _ramp()}, Events.make([1, 2, 3], value=[1, 2, 3]))
    w = windows(rec, stream="eeg", length_s=0.5, align="*", label="value")
    for chosen in ([2, 0], np.array([False, True, True]), slice(1, None)):
        part = w.select(chosen)
        assert part.target is not None
        assert (part.id + 1).tolist() == part.target.tolist()
    assert len(w.select([])) == 0


def test_the_store_s_fast_path_is_used_and_equals_plain_reading() -> None:
    x = np.arange(200, dtype=np.float32).reshape(2, 100)

    class Fast:
        shape, dtype, calls = x.shape, x.dtype, 0

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("window by window")

        def gather(self, starts: Any, n_times: int, out: Any, at: Any) -> None:
            Fast.calls += 1
            for k, s in zip(at, starts, strict=True):
                out[k] = x[:, s : s + n_times]

    stream = Regular(Fast(), 10, "uV", Axis(["a", "b"], "eeg"), "eeg")
    batch = windows(Recording({"eeg": stream}), stream="eeg", length_s=2.0).batch([4, 1])
    assert Fast.calls == 1
    assert batch.x[:, 1, 0].tolist() == [180, 120]


def test_an_offset_is_never_skipped_by_the_fast_path() -> None:
    stream = Regular(
        np.ones((1, 40), np.float32), 10, "uV", Axis(["a"], "eeg"), "eeg", offset=np.array([5.0])
    )
    batch = windows(Recording({"eeg": stream}), stream="eeg", length_s=2.0).batch()
    assert batch.x.unique().tolist() == [6.0]


def test_ten_thousand_windows_a_second_from_memory() -> None:
    x = np.zeros((8, 100_000), np.float32)
    rec = Recording({"eeg": Regular(x, 100, "uV", Axis(list("abcdefgh"), "eeg"), "eeg")})
    w = windows(rec, stream="eeg", length_s=1.0, step_s=0.1)
    order = np.random.default_rng(0).permutation(len(w))[:6400].reshape(-1, 64)
    w.batch(order[0])
    began = time.perf_counter()
    for rows in order:
        w.batch(rows)
    # about 150,000 a second here; the limit leaves room for a loaded machine
    assert 6400 / (time.perf_counter() - began) > 10_000


def test_an_index_can_be_pickled_and_carries_no_cache(make: MakeRec) -> None:
    w = windows(make(subject="01"), stream="eeg", length_s=1.0)
    first = w.batch([3])
    back = pickle.loads(pickle.dumps(w))
    assert "_cache" not in back.__dict__
    torch.testing.assert_close(back.batch([3]).x, first.x)
    assert repr(back) == repr(w)


def test_the_contract_of_an_index(make: MakeRec) -> None:
    w = windows(make(), stream="eeg", length_s=1.0)
    w.contract().check(w.batch([0]))
    assert w.contract().ch_names == ("Fz", "Cz", "Pz")
    assert w.contract().n_times == 100


def test_iterating_says_how_to_read(make: MakeRec) -> None:
    with pytest.raises(TypeError, match="batch"):
        iter(windows(make(), stream="eeg", length_s=1.0))


# ---- batches: moving and choosing ------------------------------------------------


def test_a_subset_of_a_batch_by_number_or_mask(make: MakeRec) -> None:
    rec = make(subject="01").replace(events=Events.make([1, 2, 3], value=[1, 2, 3]))
    batch = windows(rec, stream="eeg", length_s=1.0, align="*", label="value").batch()
    for chosen in ([2, 0], torch.tensor([2, 0])):
        part = batch.subset(chosen)
        assert part.index.tolist() == [2, 0]
        assert part.target is not None
        assert part.target.tolist() == [3, 1]
        assert part.subject == ("01", "01")
    assert batch.subset(torch.tensor([True, False, True])).index.tolist() == [0, 2]
    assert len(batch.subset(np.array([False, True, False]))) == 1


def test_to_a_device_moves_every_tensor(make: MakeRec) -> None:
    batch = windows(make(), stream="eeg", length_s=1.0).batch([0]).to("meta")
    assert batch.x.device.type == "meta"
    assert batch.covariates["age"].device.type == "meta"
    assert batch.ch_names == ("Fz", "Cz", "Pz")


# ---- point-like and static streams -----------------------------------------------


def _spike_windows() -> Windows:
    units = Axis(["u", "v"], "unit")
    one = Irregular([0.1, 0.9, 1.0, 1.5, 2.0], [0, 1, 0, 1, 0], units, [(0.0, 3.0)])  # type: ignore[arg-type]
    two = Irregular([0.2], [0], Axis(["v"], "unit"), [(0.0, 1.0)])  # type: ignore[arg-type]
    recs = [Recording({"spikes": s}, subject=str(i)) for i, s in enumerate((one, two))]
    return windows(recs, stream="spikes", length_s=1.0)


def test_event_batches_are_packed_and_half_open() -> None:
    batch = _spike_windows().event_batch()
    assert batch.offsets.tolist() == [0, 2, 4, 5, 6]
    np.testing.assert_allclose(batch.times_s, [0.1, 0.9, 0.0, 0.5, 0.0, 0.2], atol=1e-12)
    # the second recording's only unit is the union's second
    assert batch.unit_index.tolist() == [0, 1, 0, 1, 0, 1]
    assert batch.unit_names == ("u", "v")
    assert batch.start_s.tolist() == [0, 1, 2, 0]
    assert batch.subject == ("0", "0", "0", "1")
    assert len(batch) == 4
    assert batch.length_s == 1.0


def test_event_windows_never_leave_the_support() -> None:
    train = Irregular([0.5, 5.5], [0, 0], Axis(["u"], "unit"), [(0.0, 1.7), (5.0, 6.2)])  # type: ignore[arg-type]
    w = windows(Recording({"spikes": train}), stream="spikes", length_s=1.0, step_s=0.5)
    assert w.start_s().tolist() == [0.0, 0.5, 5.0]
    assert w.block.tolist() == [0, 0, 1]


def test_static_batches() -> None:
    recs = [
        Recording({"fc": Static(np.full((2, 2), i), ("roi", "roi_"), affine=np.eye(4))}, age=i + 20)
        for i in range(3)
    ]
    w = windows(recs, stream="fc", label="age")
    batch = w.static_batch([2, 0])
    assert batch.array.shape == (2, 2, 2)
    assert batch.array[:, 0, 0].tolist() == [2, 0]
    assert batch.dims == ("roi", "roi_")
    assert batch.affine is not None
    assert batch.affine.shape == (2, 4, 4)
    assert batch.target is not None
    assert batch.target.tolist() == [22, 20]


def test_statics_of_different_shape_or_unit_do_not_mix() -> None:
    def index(*statics: Static) -> Windows:
        return windows([Recording({"fc": s}) for s in statics], stream="fc")

    with pytest.raises(DataError, match="differ in shape"):
        index(Static(np.eye(2), ("a", "b")), Static(np.eye(3), ("a", "b"))).static_batch()
    with pytest.raises(UnitError):
        index(Static(np.eye(2), ("a", "b"), "z"), Static(np.eye(2), ("a", "b"), "au"))


def test_each_kind_of_stream_has_its_own_batch(make: MakeRec) -> None:
    with pytest.raises(DataError, match="event_batch"):
        _spike_windows().batch()
    sampled = windows(make(), stream="eeg", length_s=1.0)
    with pytest.raises(DataError, match=r"use batch\(\)"):
        sampled.event_batch()
    with pytest.raises(DataError, match="has time"):
        sampled.static_batch()
