"""Two protocols: as published, and without a look at the test part."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, pair
from neuro.errors import ConfigError, DataError
from neuro.evaluate.crossmodal import prepared_targets, whole_scan
from neuro.evaluate.crossmodal.targets import check_varying

FOLDER = Path(__file__).parents[4] / "shared" / "oracles" / "neurobolt"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


@frozen
def test_a_scan_is_prepared_as_the_original_does() -> None:
    from neuro.io.safe import load_npz

    arrays = load_npz(FOLDER / "io.npz")
    made = whole_scan(arrays["bold_in"], 2.1)
    np.testing.assert_allclose(made, arrays["bold_normalised"], atol=1e-11)
    centred = arrays["bold_filtered"] - arrays["bold_filtered"].mean(axis=1, keepdims=True)
    scale = np.quantile(np.abs(centred), 0.95, axis=1, keepdims=True)
    np.testing.assert_allclose(made, centred / scale, atol=1e-11)


@frozen
def test_windows_are_the_epochs_of_the_original() -> None:
    from neuro.data import Clock
    from neuro.io.safe import load_npz

    arrays = load_npz(FOLDER / "io.npz")
    onset = arrays["epoch_onset_s"]
    eeg = Regular(arrays["epoch_raw_uv"], 200, "uV", Axis(["a", "b", "c"], "eeg"), "eeg")
    volumes = np.arange(2.0 * len(onset)).reshape(2, -1)
    bold = Regular(volumes, "10/21", "z", Axis(["r", "s"], "roi"), "bold")
    rec = Recording({"eeg": eeg, "bold": bold}, clocks={"bold": Clock(1.0, float(onset[0]))})
    pairs = pair(rec, window_s=16)
    n = int(arrays["epoch_shape"][0])
    # later triggers have 16 s before them but no sample after them in the original's file
    np.testing.assert_array_equal(pairs.target[:n], arrays["epoch_targets"])
    np.testing.assert_array_equal(pairs.target_sample[:n], arrays["epoch_selection"])
    assert np.abs(pairs.stop[:n] - arrays["epoch_event_sample"]).max() == 0
    x = pairs.batch([0, n - 1]).x.numpy().astype(np.float64)
    for k, where in ((0, "first"), (1, "last")):
        head = arrays[f"epoch_{where}_head"]
        # the original takes the mean of all 3,201 samples off
        offset = x[k, :, :40] - head
        np.testing.assert_allclose(offset, offset[:, :1].repeat(40, axis=1), atol=2e-3)


@pytest.fixture(scope="module")
def pairs() -> Any:
    rng = np.random.default_rng(0)
    recs = []
    for s in "ab":
        eeg = Regular(rng.standard_normal((1, 42_000)), 100, "uV", Axis(["Cz"], "eeg"), "eeg")
        x = np.cumsum(rng.standard_normal((2, 200)), axis=1)
        bold = Regular(x, "1/2", "z", Axis(["r", "s"], "roi"), "bold")
        recs.append(Recording({"eeg": eeg, "bold": bold}, subject=s))
    return pair(recs, window_s=16)


def _parts(pairs: Any) -> Any:
    late = pairs.target_time_s > 300
    early = pairs.target_time_s < 250
    return np.flatnonzero(early), np.flatnonzero(late)


def _with_other_test_part(pairs: Any, test: Any) -> Any:
    """The same scans, with anything at all in the test volumes."""
    changed = []
    for r, rec in enumerate(pairs.target_recordings):
        x = rec.regular("bold").values().copy()
        x[:, pairs.target_sample[test[pairs.recording[test] == r]]] += 1000
        old = rec.regular("bold")
        changed.append(rec.with_stream("bold", Regular(x, old.rate, "z", old.axis, "bold")))
    return replace(pairs, target_recordings=tuple(changed))


def test_strict_training_targets_do_not_know_the_test_part(pairs: Any) -> None:
    train, test = _parts(pairs)
    other = _with_other_test_part(pairs, test)
    for protocol, same in (("strict", True), ("paper", False)):
        a, b = (prepared_targets(p, train, test, protocol)[train] for p in (pairs, other))
        assert np.allclose(a, b) == same


def test_strict_scales_come_from_the_training_part(pairs: Any) -> None:
    train, test = _parts(pairs)
    y = prepared_targets(pairs, train, test, "strict", lowpass_hz=None)
    assert y[train].mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert np.quantile(np.abs(y[train]), 0.95, axis=0) == pytest.approx([1, 1])
    raw = np.asarray(pairs.target)
    shift, scale = np.polyfit(y[test, 0], raw[test, 0], 1)[::-1]
    assert raw[train, 0].mean() == pytest.approx(shift)
    assert np.abs(raw[train, 0] - shift) == pytest.approx(np.abs(y[train, 0]) * scale)


def test_windows_outside_both_parts_have_no_strict_target(pairs: Any) -> None:
    train, test = _parts(pairs)
    y = prepared_targets(pairs, train, test, "strict")
    assert np.isnan(y).all(axis=1).sum() == len(pairs) - len(train) - len(test)


def test_an_unknown_protocol_is_refused(pairs: Any) -> None:
    with pytest.raises(ConfigError, match="paper"):
        prepared_targets(pairs, *_parts(pairs), "papre")  # type: ignore[arg-type]


def test_stretches_too_short_to_filter_are_refused(pairs: Any) -> None:
    train, test = _parts(pairs)
    with pytest.raises(DataError, match="3 samples"):
        prepared_targets(pairs, train, test[-3:], "strict")


def test_a_constant_region_is_named(pairs: Any) -> None:
    rec = pairs.recordings[0]
    x = rec.regular("bold").values().copy()
    x[1] = 4.0
    flat = Regular(x, "1/2", "z", Axis(["r", "s"], "roi"), "bold")
    broken = pair([rec.with_stream("bold", flat), pairs.recordings[1]], window_s=16)
    with pytest.raises(DataError, match="'s' is constant"):
        check_varying(broken)
    marked = Regular(x, "1/2", "z", Axis(["r", "s"], "roi", bad=[False, True]), "bold")
    fine = pair([rec.with_stream("bold", marked), pairs.recordings[1]], window_s=16)
    assert check_varying(fine).tolist() == [True, False]
