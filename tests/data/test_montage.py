"""Bipolar montages: published orders, lazy differences, refusals."""

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, bipolar
from neuro.data.montage import MONTAGES, montage_pairs
from neuro.errors import ConfigError, DataError
from neuro.io import store

ELECTRODES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ".split()


def recording(names=ELECTRODES, **options):
    x = np.random.default_rng(0).normal(size=(len(names), 500)).astype(np.float32)
    axis = Axis([f"EEG {n}-LE" for n in names], "eeg", **options.pop("axis", {}))
    return Recording({"eeg": Regular(x, 250, "uV", axis, "eeg", **options)}, subject="1")


def test_orders_are_the_published_ones():
    assert MONTAGES["tcp22"] == tuple(
        (
            "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 "
            "T4-A2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2"
        ).split()
    )
    assert MONTAGES["tcp22_ears_last"][-2:] == ("A1-T3", "T4-A2")
    assert MONTAGES["tcp22_ears_last"][8:10] == ("T3-C3", "C3-CZ")
    assert set(MONTAGES["tcp22_ears_last"]) == set(MONTAGES["tcp22"])
    assert MONTAGES["tcp16"] == tuple(
        (
            "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 FP1-F3 F3-C3 C3-P3 P3-O1 "
            "FP2-F4 F4-C4 C4-P4 P4-O2"
        ).split()
    )


@pytest.mark.parametrize("montage", MONTAGES)
def test_rows_are_differences_in_the_montages_order(montage):
    source = recording()
    x = source.regular().values()
    out = bipolar(source, montage).regular()
    assert out.axis.names == tuple(f"{a}-{b}" for a, b in montage_pairs(montage))
    for row, pair in zip(out.values(), MONTAGES[montage], strict=True):
        a, b = pair.split("-")
        np.testing.assert_array_equal(row, x[ELECTRODES.index(a)] - x[ELECTRODES.index(b)])
    assert bipolar(source, montage).provenance.steps[-1] == f"bipolar montage {montage}"


def test_samples_on_disk_stay_there(tmp_path):
    source = recording()
    store.save(source, tmp_path / "a.h5")
    stored = store.load(tmp_path / "a.h5")
    out, whole = (bipolar(r, "tcp16").regular() for r in (stored, source))
    assert not isinstance(out.data, np.ndarray)
    assert out.data.shape == (16, 500)
    np.testing.assert_array_equal(out.read(100, 250), whole.values()[:, 100:250])
    np.testing.assert_array_equal(out.read(0, 9, np.array([5, 2])), whole.values()[[5, 2], :9])
    np.testing.assert_array_equal(out.data[3, 0:20:4], whole.values()[3, :20:4])


def test_pair_that_is_there_is_taken_as_it_is():
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    eeg = Regular(x, 250, "uV", Axis(["T7", "FP1-F7", "P7"], "eeg"), "eeg")
    out = bipolar(Recording({"eeg": eeg}), [("T3", "T5"), ("Fp1", "F7")]).regular()
    assert out.axis.names == ("T7-P7", "Fp1-F7")
    assert out.values().tolist() == [[-6.0, -6.0, -6.0], [3.0, 4.0, 5.0]]


def test_missing_electrodes_are_refused_or_dropped():
    source = recording([n for n in ELECTRODES if n not in ("A1", "A2")])
    with pytest.raises(DataError, match="2 of 22 pairs cannot be formed, first A1-T7"):
        bipolar(source, "tcp22")
    out = bipolar(source, "tcp22", missing="drop")
    assert len(out.regular().axis) == 20
    assert out.provenance.steps[-1] == "bipolar montage tcp22 without A1-T7, T8-A2"


def test_nothing_left_is_refused_even_when_dropping():
    with pytest.raises(DataError, match="16 of 16"):
        bipolar(recording(["FZ", "CZ"]), "tcp16", missing="drop")


def test_bad_and_missing_samples_follow_both_electrodes():
    source = recording(["FP1", "F7", "T3"], axis={"bad": [False, False, True]})
    eeg = source.regular()
    x = eeg.values().copy()
    x[0, 10] = np.nan
    eeg = Regular(x, 250, "uV", eeg.axis, "eeg")
    out = bipolar(source.with_stream("eeg", eeg), [("FP1", "F7"), ("F7", "T3")]).regular()
    assert out.axis.bad.tolist() == [False, True]
    assert np.isnan(out.values()).sum(axis=1).tolist() == [1, 0]


def test_missing_samples_of_others_do_not_touch_a_pair_that_is_there():
    x = np.ones((2, 4), np.float32)
    x[1, 2] = np.nan
    eeg = Regular(x, 250, "uV", Axis(["FP1-F7", "Cz"], "eeg"), "eeg")
    out = bipolar(Recording({"eeg": eeg}), [("FP1", "F7")]).regular()
    assert out.values().tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_two_spellings_of_one_electrode_are_refused():
    with pytest.raises(DataError, match="mean the same channel"):
        bipolar(recording(["FP1", "F7", "T3", "T7"]), [("FP1", "F7")])


@pytest.mark.parametrize("montage", ["tcp17", [], ["FP1-F7"], [("FP1",)]], ids=str)
def test_montage_is_checked(montage):
    with pytest.raises(ConfigError, match=r"No montage|A montage is"):
        bipolar(recording(), montage)
