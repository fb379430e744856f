"""Sleep-EDF: pairs of files, stages old and new, scoring that outlasts the recording."""

import numpy as np
import pytest

import neuro.datasets
from neuro.datasets import labelled_windows, official_split
from neuro.errors import ConfigError, DataUnavailableError, FileError


def load(root, **options):
    return neuro.datasets.load("sleep_edf", root=root, **options)


@pytest.fixture
def tree(corpora, tmp_path):
    corpora.night(tmp_path, patient="X F X Female_33yr")
    return tmp_path


def test_night_is_read_with_its_stages(tree, corpora):
    (night,) = load(tree)
    assert (night.id, night.subject, night.session) == ("sleep_edf_SC4001E", "SC400", "1")
    assert (night.group, night.sex, night.age) == ("SC", "F", 33.0)
    assert night.events.type.tolist() == ["W", "N1", "N3", "N3", "movement", "R", "unscored"]
    assert night.events.onset_s.tolist() == [0, 60, 90, 120, 180, 210, 270]
    assert night.regular("eeg").axis.names == ("Fpz-Cz", "Pz-Oz")
    assert night.regular("eog").sfreq == 100.0
    assert (night.regular("emg").sfreq, night.regular("emg").n_times) == (1.0, 300)
    assert "channels left out: Temp rectal" in night.provenance.steps
    np.testing.assert_array_equal(
        night.regular("eeg").values()[1], corpora.samples(1, 30_000, seed=1)[0]
    )


def test_stages_of_the_scoring_can_be_kept(tree):
    (night,) = load(tree, stages="rk")
    assert night.events.type.tolist()[:5] == ["W", "S1", "S3", "S4", "movement"]
    assert labelled_windows([night]).classes == ("W", "S1", "S2", "S3", "S4", "R")


def test_windows_without_a_stage_are_left_out(tree):
    index = labelled_windows(load(tree))
    assert index.classes == ("W", "N1", "N2", "N3", "R")
    names = [index.classes[int(k)] for k in index.target]
    assert names == ["W", "W", "N1", "N3", "N3", "N3", "R", "R"]
    assert index.start_s().tolist() == [0, 30, 60, 90, 120, 150, 210, 240]


def test_scoring_behind_the_end(corpora, tmp_path):
    stages = [("Sleep stage W", 9), ("Sleep stage R", 3), ("Sleep stage ?", 100)]
    corpora.night(tmp_path, stages=stages)
    (night,) = load(tmp_path)
    # R is cut from 90 to 30 s, the unscored rest begins behind the end
    assert night.events.type.tolist() == ["W", "R"]
    assert night.events.duration_s.tolist() == [270.0, 30.0]


def test_wake_before_and_after_sleep_can_be_cut(corpora, tmp_path):
    stages = [("Sleep stage W", 4), ("Sleep stage 2", 2), ("Sleep stage W", 4)]
    corpora.night(tmp_path, stages=stages)
    (night,) = load(tmp_path, wake_s=60)
    assert night.span_s == (60.0, 240.0)
    index = labelled_windows([night])
    assert [index.classes[int(k)] for k in index.target] == ["W", "W", "N2", "N2", "W", "W"]
    assert "slice [60, 240) s" in night.provenance.steps


def test_people_of_both_studies_are_told_apart(corpora, tmp_path):
    corpora.night(tmp_path, "SC4011E0", "SC4011EH")
    corpora.night(tmp_path, "SC4012E0", "SC4012EC")
    corpora.night(tmp_path, "ST7011J0", "ST7011JP")
    nights = load(tmp_path)
    assert [(n.subject, n.session) for n in nights] == [
        ("SC401", "1"), ("SC401", "2"), ("ST701", "1")
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"windows\.folds"):
        official_split(nights)


def test_night_without_its_hypnogram_is_named(tree):
    next(tree.rglob("*Hypnogram.edf")).unlink()
    with pytest.raises(FileError, match=r"SC4001E0-PSG\.edf' has no SC4001E\?-Hypnogram"):
        load(tree)


def test_unknown_stage_suggests_the_nearest(corpora, tmp_path):
    corpora.night(tmp_path, stages=[("Sleep stage X", 3)])
    with pytest.raises(FileError, match="unknown stage 'Sleep stage X'"):
        load(tmp_path)


def test_stage_behind_the_end_is_another_nights(corpora, tmp_path):
    corpora.night(tmp_path, stages=[("Sleep stage W", 12), ("Sleep stage 2", 3)])
    with pytest.raises(FileError, match="'N2' begins at 360 s, but the recording ends at 300 s"):
        load(tmp_path)


@pytest.mark.parametrize("option", [{"stages": "asm"}, {"wake_s": -1.0}])
def test_options_are_checked(tree, option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        load(tree, **option)


def test_no_root_says_where_to_get_it():
    with pytest.raises(DataUnavailableError, match=r"physionet\.org/content/sleep-edfx"):
        load(None)
