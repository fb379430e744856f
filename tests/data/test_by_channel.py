"""Every channel as a recording of its own."""

import numpy as np
import pytest

from neuro.data import Axis, Clock, Events, InputContract, Recording, Regular, by_channel, windows
from neuro.errors import DataError, LeakageError


def recording(names="Fz Cz Pz", subject="1", **axis):
    names = names.split()
    x = np.arange(len(names))[:, None] * 100.0 + np.arange(1000) % 50
    eeg = Regular(x, 100, "uV", Axis(names, "eeg", **axis), "eeg")
    ecg = Regular(np.zeros((1, 1000)), 100, "uV", Axis(["ECG"], "ecg"), "physio")
    events = Events.make([1.0, 2.0, 3.0], ["a", "b", "a"], stream=["", "eeg", "ecg"])
    clocks = {"eeg": Clock(1.0, 5.0), "ecg": Clock(1.0, 6.0)}
    return Recording({"eeg": eeg, "ecg": ecg}, events, subject=subject, clocks=clocks)


def test_each_channel_keeps_its_samples_events_and_clock():
    rec = recording()
    parts = by_channel(rec, stream="eeg")
    assert len(parts) == 3
    for i, part in enumerate(parts):
        assert list(part.streams) == ["eeg"]
        assert part.regular("eeg").axis.names == ("channel",)
        np.testing.assert_array_equal(part.regular("eeg").values()[0], rec.streams["eeg"].data[i])
        # what belongs to a stream that is left out goes with it
        assert part.events.type.tolist() == ["a", "b"]
        assert part.clocks == {"eeg": rec.clocks["eeg"]}
        assert part.subject == "1"


def test_unlike_montages_stand_in_one_index():
    both = [recording("Fz Cz", "1"), recording("C3 C4 Oz", "2")]
    w = windows(by_channel(both, stream="eeg"), stream="eeg", length_s=2)
    assert len(w) == 5 * 5
    assert w.ch_names == ("channel",)
    train, test = w.split("subject", test=["2"])
    assert (len(train), len(test)) == (10, 15)


def test_bad_channels_are_left_out():
    rec = recording("Fz Cz", bad=[True, False])
    (only,) = by_channel(rec, stream="eeg")
    assert only.provenance.steps[-1] == "channel Cz alone"
    with pytest.raises(DataError, match="all are marked bad"):
        by_channel(recording("Fz", bad=[True]), stream="eeg")


@pytest.mark.parametrize("by", ["recording", "block"])
def test_channels_of_one_moment_cannot_end_on_both_sides(by):
    w = windows(by_channel(recording(), stream="eeg"), stream="eeg", length_s=2)
    with pytest.raises((LeakageError, DataError)):
        w.split(by, test=0.34, seed=0)


def test_samples_are_still_read_when_asked_for(tmp_path):
    import neuro

    neuro.save(recording(), tmp_path / "a.h5")
    parts = by_channel(neuro.read(tmp_path / "a.h5"), stream="eeg")
    assert not isinstance(parts[0].regular("eeg").data, np.ndarray)
    assert parts[2].regular("eeg").read(0, 2).tolist() == [[200.0, 201.0]]


def test_what_was_done_to_the_whole_montage_stays_in_the_contract():
    done = InputContract(modality="eeg", sfreq=50, unit="uV", lowpass=20)
    rec = done.conform(recording(), "eeg")
    contract = windows(by_channel(rec, stream="eeg"), stream="eeg", length_s=2).contract()
    assert contract.ch_names == ("channel",)
    assert (contract.sfreq, contract.lowpass) == (50, 20)


def test_unlike_units_meet_where_a_scaling_removes_them():
    from dataclasses import replace

    volts = recording("Fz Cz")
    other = recording("A B", "2")
    other = other.with_stream("eeg", replace(other.regular("eeg"), unit="au"))
    contract = InputContract(modality="eeg", sfreq=100, unit="z", scaling="zscore")
    done = [contract.conform(rec, "eeg") for rec in (volts, other)]
    w = windows(by_channel(done, stream="eeg"), stream="eeg", length_s=2)
    assert w.contract() == replace(contract, ch_names=("channel",), n_times=200)
    x = w.batch(np.arange(len(w))).x
    np.testing.assert_allclose(x.std(dim=2, correction=0), 1.0, rtol=1e-3)
