import pickle
from typing import Any

import numpy as np
import pytest

from neuro.data import (
    Axis,
    Clock,
    PairedWindows,
    Recording,
    Regular,
    Windows,
    assert_disjoint,
    pair,
)
from neuro.errors import DataError, LeakageError, UnitError


def _eeg(seconds: float = 120.0, rate: Any = 100, **options: Any) -> Regular:
    """A signal whose value is its own sample number, so that positions can be read off."""
    n = round(seconds * rate)
    x = np.arange(n, dtype=np.float32)[None]
    return Regular(x, rate, "uV", Axis(["Cz"], "eeg"), "eeg", **options)


def _bold(n: int = 50, tr: float = 2.0, rows: int = 2, **options: Any) -> Regular:
    x = np.arange(n) + 1000.0 * np.arange(rows)[:, None]
    axis = Axis([f"roi{i}" for i in range(rows)], "roi", bad=options.pop("bad", None))
    return Regular(x, 1 / tr, options.pop("unit", "z"), axis, "bold", **options)


def _session(eeg: Regular, bold: Regular, /, **clocks: Clock) -> Recording:
    return Recording({"eeg": eeg, "bold": bold}, subject="01", clocks=clocks)


def test_windows_end_at_the_time_of_the_slow_sample() -> None:
    pairs = pair(_session(_eeg(), _bold()), window_s=16.0)
    # volumes 8 (16 s) to 49 (98 s)
    assert len(pairs) == 42
    assert pairs.target is not None
    assert pairs.target[0].tolist() == [8, 1008]
    np.testing.assert_array_equal(pairs.stop_s(), pairs.target_time_s)
    batch = pairs.batch([0, -1])
    assert batch.x[:, 0, 0].tolist() == [0, 8200]
    assert batch.x[:, 0, -1].tolist() == [1599, 9799]
    assert batch.target is not None
    assert batch.target.shape == (2, 2)


def test_a_lag_ends_the_window_that_much_earlier() -> None:
    pairs = pair(_session(_eeg(), _bold()), window_s=16.0, lag_s=4.0)
    np.testing.assert_allclose(pairs.target_time_s - pairs.stop_s(), 4.0)
    assert pairs.target is not None
    assert pairs.target[0, 0] == 10


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (1.0, 7.5), (1.001, -3.0), (0.999, 40.0)])
@pytest.mark.parametrize("drift", [1.0, 1.0005])
def test_drift_and_offset_of_both_clocks(a: float, b: float, drift: float) -> None:
    rec = _session(_eeg(), _bold(), eeg=Clock(a, b), bold=Clock(drift, 20.0))
    pairs = pair(rec, window_s=4.0)
    assert pairs.target is not None
    # session time of volume i, and of the first EEG sample at or after it
    volume = pairs.target[:, 0]
    np.testing.assert_allclose(pairs.target_time_s, drift * 2.0 * volume + 20.0)
    late = pairs.stop_s() - pairs.target_time_s
    assert late.min() >= -1e-6
    assert late.max() < 0.01 * a


def test_drift_over_an_hour_is_not_ignored() -> None:
    # 100 ppm over 3,600 s is 0.36 s: 36 samples that a ratio of rates would miss
    rec = _session(_eeg(3700.0), _bold(1800), bold=Clock(1.0001, 0.0))
    pairs = pair(rec, window_s=4.0)
    assert pairs.stop[-1] == int(np.ceil(1799 * 2.0 * 1.0001 * 100 - 1e-6)) == 359_836


def test_slice_reference_and_exact_tr() -> None:
    # TR 1.4 s, slice reference half a TR
    rec = _session(_eeg(3000.0, rate=1000), _bold(2000, tr=1.4, t0_s=0.7))
    pairs = pair(rec, window_s=1.4)
    assert pairs.target is not None
    assert pairs.target[0, 0] == 1
    assert pairs.stop[-1] == 700 + 1999 * 1400


def test_windows_cross_no_segment_of_either_signal() -> None:
    rec = _session(_eeg(segments=[(0, 3000), (3500, 12000)]), _bold(segments=[(0, 12), (25, 50)]))
    pairs = pair(rec, window_s=4.0)
    assert pairs.target is not None
    volumes = pairs.target[:, 0].astype(int).tolist()
    # volumes 2 to 11 end by 22 s; 25 on end from 50 s
    assert volumes == [*range(2, 12), *range(25, 50)]
    assert pairs.block.tolist() == [0] * 10 + [1] * 25
    rec = _session(_eeg(segments=[(0, 3000), (3500, 12000)]), _bold())
    stop = pair(rec, window_s=4.0).stop
    assert not ((stop > 3000) & (stop < 3900)).any()


def test_missing_and_bad_targets_are_nan_and_masked() -> None:
    x = np.ones((2, 50))
    x[0, 10] = np.nan
    bold = Regular(x, "1/2", "z", Axis(["a", "b"], "roi", bad=[False, True]), "bold")
    batch = pair(_session(_eeg(), bold), window_s=16.0).batch()
    assert batch.target_mask is not None
    assert not batch.target_mask[:, 1].any()
    assert batch.target_mask[:, 0].tolist() == [v != 10 for v in range(8, 50)]


def test_two_files_are_matched_by_subject_session_and_run() -> None:
    eeg = [Recording({"eeg": _eeg()}, subject=s, run="1") for s in ("a", "b")]
    bold = [Recording({"bold": _bold(rows=1)}, subject=s, run="1") for s in ("b", "a")]
    pairs = pair(eeg, bold, window_s=16.0)
    assert pairs.column("subject").tolist() == ["a"] * 42 + ["b"] * 42
    with pytest.raises(DataError, match="No fMRI recording matches"):
        pair(eeg, bold[:1], window_s=16.0)
    with pytest.raises(DataError, match="same subject, session and run"):
        pair(eeg, [bold[0], bold[0]], window_s=16.0)


def test_targets_and_signals_that_differ_do_not_mix() -> None:
    def sessions(*bolds: Regular) -> list[Recording]:
        return [_session(_eeg(), b).replace(subject=str(i)) for i, b in enumerate(bolds)]

    with pytest.raises(UnitError):
        pair(sessions(_bold(), _bold(unit="au")), window_s=16.0)
    with pytest.raises(DataError, match="other target rows"):
        pair(sessions(_bold(), _bold(rows=3)), window_s=16.0)
    slow = _session(_eeg(rate=50), _bold()).replace(subject="2")
    with pytest.raises(DataError, match="sampled at 50 Hz"):
        pair([_session(_eeg(), _bold()), slow], window_s=16.0)


@pytest.mark.parametrize("window_s", [0.0, -1.0, np.nan, 500.0])
def test_impossible_windows_are_refused(window_s: float) -> None:
    with pytest.raises(DataError, match="window"):
        pair(_session(_eeg(), _bold()), window_s=window_s)


def test_the_streams_must_be_clear() -> None:
    two = _session(_eeg(), _bold()).with_stream("bold2", _bold())
    with pytest.raises(DataError, match="2 streams of bold"):
        pair(two, window_s=16.0)
    assert len(pair(two, window_s=16.0, fmri_stream="bold2")) == 42


def test_pairs_are_windows() -> None:
    pairs = pair(_session(_eeg(), _bold()), window_s=16.0)
    assert isinstance(pairs, Windows)
    part = pairs.select([3, 5])
    assert isinstance(part, PairedWindows)
    assert part.target_time_s.tolist() == [22.0, 26.0]
    assert part.target_axis.names == ("roi0", "roi1")
    back = pickle.loads(pickle.dumps(pairs))
    assert back.batch([0]).x[0, 0, -1] == 1599


@pytest.mark.parametrize("lag_s", [0.0, 6.0, -6.0])
def test_a_split_in_time_keeps_windows_and_targets_apart(lag_s: float) -> None:
    # neighbouring targets share the slow response: the gap must hold for them too
    pairs = pair(_session(_eeg(400.0), _bold(180)), window_s=4.0, lag_s=lag_s)
    train, test = pairs.split("time", test=0.25, gap_s=12.0)
    first = min(test.start_s().min(), test.target_time_s.min())
    last = max(train.stop_s().max(), train.target_time_s.max())
    assert first - last >= 12.0
    # no more is lost than gap, window, lag and one volume
    assert first - last <= 12.0 + 2.0
    assert test.target_time_s.min() - train.target_time_s.max() >= 12.0 + 4.0


def test_a_target_inside_another_window_is_a_leak() -> None:
    pairs = pair(_session(_eeg(), _bold()), window_s=2.0, lag_s=6.0)
    with pytest.raises(LeakageError):
        assert_disjoint(pairs.select([0]), pairs.select([1]))
    assert_disjoint(pairs.select([0]), pairs.select([4]))
    folds = pairs.folds("time", n=3, gap_s=4.0)
    assert all(len(train) > 0 for train, _ in folds)


def test_windows_know_the_sample_and_the_series_of_their_target() -> None:
    pairs = pair([_session(_eeg(), _bold())], window_s=16.0)
    assert pairs.target_sample.tolist() == list(range(8, 50))
    assert pairs.select([5, 0]).target_sample.tolist() == [13, 8]
    whole = pairs.target_series(0).values()
    assert pairs.target is not None
    np.testing.assert_array_equal(whole[:, pairs.target_sample].T, pairs.target)
    assert pairs.target_stream == "bold"
    assert repr(pairs).startswith("Windows(42 x 16 s")


def test_eeg_that_starts_too_late_is_told_with_both_spans() -> None:
    rec = _session(_eeg(10.0), _bold(10))
    with pytest.raises(DataError, match=r"'eeg' covers 0 to 10 s and 'bold' covers 0 to 20 s"):
        pair(rec, window_s=16.0)


def test_slow_streams_of_two_names_are_refused() -> None:
    other = Recording({"eeg": _eeg(), "bold_b": _bold()}, subject="02")
    with pytest.raises(DataError, match="fmri_stream="):
        pair([_session(_eeg(), _bold()), other], window_s=16.0)
