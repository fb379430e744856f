"""The doors to a data set's own windows and split."""

import numpy as np
import pytest

import neuro.datasets
from neuro.data import Axis, Recording, Regular, windows
from neuro.datasets import OfficialSplit, labelled_windows, official_split
from neuro.datasets._protocols import by_subject
from neuro.errors import ConfigError, DataError, LeakageError


def recording(subject="1", **facts):
    eeg = Regular(np.ones((2, 1000), np.float32), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    return Recording({"eeg": eeg}, subject=subject, **facts)


def test_publishers_files_are_a_split_of_their_own():
    runs = [recording(dataset="scp1", run=run) for run in ("train", "test")]
    split = official_split(runs)
    assert (split.by, dict(split.parts)) == ("run", {"train": ("train",), "test": ("test",)})
    assert split.shared_subjects == ("1",)
    parts = split.of(windows(runs, stream="eeg", length_s=1.0))
    assert {k: len(v) for k, v in parts.items()} == {"train": 4, "test": 4}


def test_data_set_without_a_split_or_windows_says_what_to_use():
    recordings = neuro.datasets.load("head_direction")
    with pytest.raises(ConfigError, match=r"windows\.split\('subject'\)"):
        official_split(recordings)
    with pytest.raises(ConfigError, match=r"neuro\.data\.windows"):
        labelled_windows(recordings)


@pytest.mark.parametrize("door", [official_split, labelled_windows])
def test_one_data_set_at_a_time(door):
    with pytest.raises(ConfigError, match=r"of one data set are needed, got \['tuab', 'tuev'\]"):
        door([recording(dataset="tuab"), recording(dataset="tuev")])
    with pytest.raises(ConfigError, match="got none"):
        door([])
    with pytest.raises(ConfigError, match="Did you mean 'tuab'"):
        door([recording(dataset="tuabb")])


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'reference_split'"):
        official_split([recording(dataset="tuar")], reference_splits=True)
    with pytest.raises(ConfigError, match="Did you mean 'length_s'"):
        labelled_windows([recording(dataset="tuab")], lenght_s=5.0)


def test_recording_of_no_known_part_is_refused():
    with pytest.raises(DataError, match="does not say which official part"):
        official_split([recording(dataset="tuab")])


def test_subject_on_two_sides_is_leakage():
    recordings = [recording("1", id="a", session="1"), recording("1", id="b", session="2")]
    index = windows(recordings, stream="eeg", length_s=1.0)
    split = OfficialSplit("session", {"train": ("1",), "test": ("2",)}, "ours")
    with pytest.raises(LeakageError, match=r"\['1'\] are people in both 'train' and 'test'"):
        split.of(index)
    meant = OfficialSplit("session", split.parts, "within people", ("1",))
    assert [len(part) for part in meant.of(index).values()] == [4, 4]


def test_samples_on_two_sides_are_leakage():
    one = recording("1", id="a", session="1")
    index = windows([one, one.replace(session="2")], stream="eeg", length_s=1.0)
    split = OfficialSplit("session", {"train": ("1",), "test": ("2",)}, "within", ("1",))
    with pytest.raises(LeakageError, match="overlaps a training window"):
        split.of(index)


def test_groups_are_spread_over_the_parts():
    recordings = [recording(f"{i:03d}", group="ab"[i % 4 == 0]) for i in range(200)]
    split = by_subject(recordings, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=0, source="ours")
    assert [len(units) for units in split.parts.values()] == [140, 20, 40]
    for part, units in split.parts.items():
        share = np.mean([int(u) % 4 == 0 for u in units])
        assert abs(share - 0.25) <= 0.05, part  # a person more or less of 20


def test_person_of_two_groups_is_dealt_once():
    recordings = [recording("1", group="normal"), recording("1", group="abnormal"), recording("2")]
    split = by_subject(recordings, {"train": 0.5, "test": 0.5}, seed=0, source="ours")
    assert sorted(sum(split.parts.values(), ())) == ["1", "2"]


def test_too_few_people_for_the_parts():
    with pytest.raises(DataError, match="1 subjects for 3 parts"):
        by_subject([recording()], {"a": 0.8, "b": 0.1, "c": 0.1}, seed=0, source="ours")


def test_every_part_gets_somebody():
    recordings = [recording(str(i)) for i in range(4)]
    shares = {"train": 0.05, "val": 0.9, "test": 0.05}
    split = by_subject(recordings, shares, seed=0, source="ours")
    assert [len(units) for units in split.parts.values()] == [1, 2, 1]
