import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import Axis, Irregular, LazyView, Regular, Static
from neuro.errors import DataError, UnitError

Make = Callable[..., Regular]
AXIS = Axis(["a", "b"], "eeg")


def _ramp(n: int = 100, rate: Any = 10, **options: Any) -> Regular:
    x = np.arange(2 * n, dtype=np.float32).reshape(2, n)
    return Regular(x, rate, "uV", AXIS, "eeg", **options)


class _Disk:
    """An array that can be read only in pieces, like the store's."""

    def __init__(self, x: Any) -> None:
        self._x = x
        self.reads = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._x.shape)

    @property
    def dtype(self) -> Any:
        return self._x.dtype

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return self._x[key]


# ---- Regular: construction ----------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((3, 5))}, "3 rows, the axis names 2"),
        ({"data": np.zeros((5, 2))}, "transposed"),
        ({"data": np.zeros(5)}, r"\(axis, time\)"),
        ({"data": np.zeros((2, 0))}, "empty"),
        ({"data": np.array([[1.0, np.inf], [0, 0]])}, "Row 'a' holds infinite"),
        ({"data": np.zeros((2, 4), complex)}, "real numbers"),
        ({"rate": 0}, "above 0 Hz"),
        ({"t0_s": np.nan}, "t0_s must be finite"),
        ({"valid": np.ones((2, 3), bool)}, "valid has shape"),
        ({"scale": [1.0, np.nan]}, "scale must be finite"),
        ({"scale": [1.0, 1.0, 1.0]}, "scale has shape"),
        ({"segments": [(0, 3), (2, 4)]}, "sorted and disjoint"),
        ({"segments": [(2, 2)]}, "non-empty"),
        ({"segments": [(0, 9)]}, "of 4 samples"),
        ({"segments": [(-1, 2)]}, "of 4 samples"),
        ({"segments": np.zeros((0, 2), int)}, "at least one segment"),
    ],
)
def test_streams_that_contradict_themselves_are_refused(
    change: dict[str, Any], message: str
) -> None:
    options = {"data": np.zeros((2, 4)), "rate": 10, "unit": "uV", "axis": AXIS, "modality": "eeg"}
    with pytest.raises(DataError, match=message):
        Regular(**(options | change))


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(UnitError):
        Regular(np.zeros((2, 4)), 10, "volt-ish", AXIS, "eeg")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, ">f4", bool])
def test_other_widths_are_cast_to_float32(dtype: Any) -> None:
    stream = Regular(np.ones((2, 4), dtype), 10, "uV", AXIS, "eeg")
    assert stream.data.dtype == np.float32
    assert stream.values().tolist() == [[1.0] * 4] * 2


def test_nan_becomes_a_mask_and_stays_nan_when_read() -> None:
    x = np.zeros((2, 4))
    x[1, 2] = np.nan
    stream = Regular(x, 10, "uV", AXIS, "eeg")
    assert stream.valid is not None
    assert np.argwhere(~stream.valid).tolist() == [[1, 2]]
    assert np.argwhere(np.isnan(stream.values())).tolist() == [[1, 2]]


def test_nan_and_a_given_mask_are_joined() -> None:
    x = np.zeros((2, 4))
    x[1, 2] = np.nan
    given_mask = np.ones((2, 4), bool)
    given_mask[0, 0] = False
    stream = Regular(x, 10, "uV", AXIS, "eeg", valid=given_mask)
    assert np.argwhere(np.isnan(stream.values())).tolist() == [[0, 0], [1, 2]]


def test_a_mask_that_hides_nothing_is_dropped() -> None:
    assert _ramp(valid=np.ones((2, 100), bool)).valid is None


def test_sums_that_overflow_are_not_taken_for_missing_samples() -> None:
    stream = Regular(np.full((2, 4), 3e38, np.float32), 10, "au", AXIS, "eeg")
    assert stream.valid is None


# ---- Regular: int16 -----------------------------------------------------------


@given(
    st.lists(st.integers(-32768, 32767), min_size=4, max_size=40),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_integers_are_scaled_by_row(values: list[int], scale: float, offset: float) -> None:
    x = np.array([values, values], dtype=np.int16)
    stream = Regular(
        x, 10, "uV", AXIS, "eeg", scale=np.array([1.0, scale]), offset=np.array([0.0, offset])
    )
    read = stream.values()
    assert read.dtype == np.float32
    assert read[0].tolist() == values
    # computed in float64, rounded to float32 once
    np.testing.assert_array_equal(read[1], (x[1] * scale + offset).astype(np.float32))


def test_missing_integers_are_told_by_the_mask_alone() -> None:
    valid = np.array([[True, False, True], [True, True, True]])
    stream = Regular(np.ones((2, 3), np.int16), 10, "uV", AXIS, "eeg", valid=valid, scale=2.0)
    read = stream.read(0, 3)
    assert np.isnan(read[0, 1])
    assert read[1].tolist() == [2, 2, 2]


def test_scale_follows_the_rows() -> None:
    x = np.ones((2, 3), np.int16)
    stream = Regular(x, 10, "uV", AXIS, "eeg", scale=np.array([2.0, 3.0]), offset=np.array([0, 1]))
    assert stream.read(0, 1, rows=np.array([1])).tolist() == [[4.0]]
    assert stream.take([1]).values().tolist() == [[4.0, 4.0, 4.0]]


@pytest.mark.parametrize("kind", ["float", "scaled float", "int", "lazy"])
def test_unit_conversion_scales_values_however_they_are_kept(kind: str) -> None:
    x = np.array([[1, 2, 3], [4, 5, 6]])
    data: Any = x.astype(np.int16 if kind == "int" else np.float32)
    options = {} if kind in ("float", "lazy") else {"scale": 2.0, "offset": 1.0}
    stream = Regular(_Disk(data) if kind == "lazy" else data, 10, "mV", AXIS, "eeg", **options)
    converted = stream.to_unit("uV")
    assert converted.unit == "uV"
    np.testing.assert_allclose(converted.values(), stream.values() * 1000, rtol=1e-6)
    np.testing.assert_allclose(converted.to_unit("mV").values(), stream.values(), rtol=1e-6)


def test_units_of_another_dimension_are_refused() -> None:
    with pytest.raises(UnitError):
        _ramp().to_unit("fT")


# ---- Regular: reading and slicing ----------------------------------------------


def test_reading_is_half_open_and_bounded() -> None:
    stream = _ramp()
    assert stream.read(3, 5)[0].tolist() == [3.0, 4.0]
    assert stream.read(3, 3).shape == (2, 0)
    for start, stop in [(-1, 2), (0, 101), (5, 4)]:
        with pytest.raises(DataError, match="leave the signal"):
            stream.read(start, stop)


def test_what_is_read_cannot_change_the_recording() -> None:
    stream = _ramp()
    with pytest.raises(ValueError, match="read-only"):
        stream.values()[:] = 0
    assert stream.read(5, 6)[0, 0] == 5.0


def test_the_callers_own_array_stays_writeable() -> None:
    x = np.zeros((2, 4), np.float32)
    Regular(x, 10, "uV", AXIS, "eeg").values()
    x[:] = 1
    assert x.flags.writeable


RATES = [Fraction(5, 7), Fraction(250, 3), Fraction(100), Fraction(1, 2)]


@pytest.mark.parametrize("rate", RATES)
@given(t0=st.floats(-100, 100), cut=st.floats(0.0, 1.0))
def test_two_slices_that_meet_share_no_sample_and_lose_none(
    rate: Fraction, t0: float, cut: float
) -> None:
    stream = _ramp(rate=rate, t0_s=t0)
    t = t0 + cut * stream.duration_s
    kept = []
    for a, b in ((t0, t), (t, stream.stop_s)):
        try:
            kept += stream.slice(a, b).values()[0].tolist()
        except DataError:
            continue
    assert kept == list(range(100))


@given(st.integers(0, 99), st.integers(1, 100), st.integers(0, 99))
def test_slicing_twice_is_slicing_once(a: int, n: int, inner: int) -> None:
    stream = _ramp(rate="250/3", t0_s=7.0)
    b, c = min(a + n, 100), min(a + inner, 99)
    if c >= b:
        return
    once = stream.slice(float(stream.time(c)), float(stream.time(b)))
    twice = stream.slice(float(stream.time(a)), float(stream.time(b))).slice(
        float(stream.time(c)), float(stream.time(b))
    )
    np.testing.assert_array_equal(once.values(), twice.values())
    # each slice rounds its start once
    assert once.t0_s == pytest.approx(twice.t0_s, abs=1e-12)


def test_a_slice_keeps_times_and_clips_segments_and_mask() -> None:
    valid = np.ones((2, 100), bool)
    valid[0, 45] = False
    stream = _ramp(segments=[(0, 20), (30, 50), (60, 100)], valid=valid, t0_s=100.0)
    part = stream.slice(104.0, 107.0)
    assert part.t0_s == 104.0
    assert part.n_times == 30
    assert part.segments.tolist() == [[0, 10], [20, 30]]
    assert np.argwhere(np.isnan(part.values())).tolist() == [[0, 5]]


def test_slices_outside_or_between_segments_are_refused() -> None:
    stream = _ramp(segments=[(0, 20), (30, 50)])
    with pytest.raises(DataError, match=r"No sample in \[20, 30\)"):
        stream.slice(20.0, 30.0)
    with pytest.raises(DataError, match="at least one segment"):
        stream.slice(2.0, 3.0)


def test_hours_at_250_over_3_hz_are_cut_at_the_right_sample() -> None:
    stream = Regular(np.zeros((2, 3_000_000), np.float32), "250/3", "uV", AXIS, "eeg")
    assert stream.slice(35_999.0, 36_000.0).n_times in (83, 84)
    assert stream.index(36_000.0) == 3_000_000
    assert stream.stop_s == 36_000.0


# ---- lazy ----------------------------------------------------------------------


def test_slices_and_rows_of_a_stream_on_disk_read_nothing() -> None:
    disk = _Disk(np.arange(200, dtype=np.float32).reshape(2, 100))
    stream = Regular(disk, 10, "uV", AXIS, "eeg")
    part = stream.take([1]).slice(2.0, 4.0).slice(3.0, 4.0)
    assert disk.reads == 0
    assert part.values()[0].tolist() == list(range(130, 140))
    assert repr(part).endswith("lazy)")


def test_a_slice_of_a_stream_on_disk_keeps_the_fast_path() -> None:
    class Fast(_Disk):
        def gather(self, starts: Any, n_times: int, out: Any, at: Any) -> None:
            for k, s in zip(at, starts, strict=True):
                out[k] = self._x[:, s : s + n_times]

    view = LazyView(Fast(np.arange(200.0).reshape(2, 100)), None, 50, 100)
    out = np.zeros((1, 2, 3))
    assert view.gather is not None
    view.gather(np.array([2]), 3, out, np.array([0]))
    assert out[0, 0].tolist() == [52, 53, 54]
    assert LazyView(Fast(np.zeros((2, 4))), np.array([1]), 0, 4).gather is None


# ---- Irregular -----------------------------------------------------------------


def _spikes(**change: Any) -> Irregular:
    options: dict[str, Any] = {
        "times_s": [0.05, 0.1, 0.15, 0.3, 0.95],
        "unit_index": [0, 1, 0, 1, 0],
        "units": Axis(["u", "v"], "unit"),
        "support": [(0.0, 1.0)],
    }
    return Irregular(**(options | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times_s": [0.05, 0.1, 0.15, 0.3, 0.2]}, "decrease: 0.300000 s is followed by 0.200000"),
        ({"times_s": [0.05, 0.1, 0.15, 0.3, np.nan]}, "1 event times are not finite"),
        ({"unit_index": [0, 1, 0, 2, 0]}, "Unit index 2 for a table of 2"),
        ({"unit_index": [0, 1, 0, -1, 0]}, "Unit index"),
        ({"unit_index": [0, 1]}, "unit indices"),
        ({"support": [(0.0, 0.5)]}, "1 events lie outside the support, first at 0.95"),
        ({"support": [(0.0, 0.95)]}, "half-open"),
        ({"support": [(0.0, 0.2), (0.5, 1.0)]}, "outside the support, first at 0.3"),
        ({"support": [(0.0, 0.5), (0.4, 1.0)]}, "sorted and disjoint"),
        ({"support": [(0.0, 0.0)]}, "non-empty"),
        ({"support": []}, "at least one finite"),
        ({"support": [(0.0, np.inf)]}, "at least one finite"),
    ],
)
def test_spike_trains_that_contradict_themselves_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _spikes(**change)


def test_slices_of_spikes_are_half_open() -> None:
    part = _spikes().slice(0.1, 0.3)
    assert part.times_s.tolist() == [0.1, 0.15]
    assert part.support.tolist() == [[0.1, 0.3]]


def test_chosen_units_are_renumbered() -> None:
    part = _spikes().take([1])
    assert part.units.names == ("v",)
    assert part.times_s.tolist() == [0.1, 0.3]
    assert part.unit_index.tolist() == [0, 0]


def test_counts_by_bin() -> None:
    counts = _spikes().bin(0.1)
    assert counts.rate == 10
    assert counts.unit == "counts"
    # 0.1 and 0.3 lie on edges and belong to the bin they begin
    assert counts.values().tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        [0, 1, 0, 1, 0, 0, 0, 0, 0, 0],
    ]


def test_bins_that_leave_the_support_belong_to_no_segment() -> None:
    binned = _spikes(support=[(0.0, 0.35), (0.9, 1.0)]).bin(0.1)
    assert binned.segments.tolist() == [[0, 3], [9, 10]]
    assert np.isnan(binned.values()[:, 3:9]).all()
    assert np.isfinite(binned.values()[:, [0, 1, 2, 9]]).all()


@given(st.lists(st.floats(0, 0.999), max_size=50), st.sampled_from([0.1, 0.02, 0.25, 1 / 3, 0.005]))
def test_no_event_is_lost_or_counted_twice(times: list[float], bin_s: float) -> None:
    times = sorted(times)
    units = [i % 2 for i in range(len(times))]
    binned = _spikes(times_s=times, unit_index=units).bin(bin_s)
    whole = binned.n_times * bin_s
    inside = sum(t < whole - 1e-9 for t in times)
    assert binned.values().sum() >= inside
    assert binned.values().sum() <= len(times)


def test_bins_over_an_hour_do_not_drift() -> None:
    times = np.arange(0.0005, 3600, 0.1)
    train = Irregular(times, np.zeros(len(times), int), Axis(["u"], "unit"), [(0, 3600)])  # type: ignore[arg-type]
    assert np.unique(train.bin(0.1).values()).tolist() == [1.0]


@pytest.mark.parametrize("bin_s", [0.0, -1.0, np.nan, 2.0])
def test_impossible_bins_are_refused(bin_s: float) -> None:
    with pytest.raises(DataError):
        _spikes().bin(bin_s)


# ---- Static --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array": np.zeros((2, 2)), "dims": ("roi",)}, "1 dims"),
        ({"array": np.zeros(0), "dims": ("roi",)}, "numbers"),
        ({"array": np.array(["a"]), "dims": ("roi",)}, "numbers"),
        ({"array": np.zeros(2), "dims": ("roi",), "axis": Axis(["a"])}, "Axis of 1 rows"),
        ({"array": np.zeros(2), "dims": ("roi",), "affine": np.eye(3)}, "Affine"),
    ],
)
def test_statics_that_contradict_themselves_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Static(**options)


def test_streams_can_be_pickled(eeg: Make) -> None:
    for stream in (eeg(), _spikes(), Static(np.eye(2), ("a", "b"))):
        assert repr(pickle.loads(pickle.dumps(stream))) == repr(stream)
