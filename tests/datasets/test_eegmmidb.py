"""EEGMMIDB: what the marks mean depends on the run."""

import numpy as np
import pytest

import neuro.datasets
from neuro.datasets import labelled_windows, official_split
from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError


def load(root, **options):
    return neuro.datasets.load("eegmmidb", root=root, **options)


@pytest.mark.parametrize(
    ("run", "task", "names"),
    [
        (3, "execute_fist", ["rest", "right_fist", "rest", "left_fist"]),
        (8, "imagine_fist", ["rest", "right_fist", "rest", "left_fist"]),
        (13, "execute_fists_or_feet", ["rest", "both_feet", "rest", "both_fists"]),
        (6, "imagine_fists_or_feet", ["rest", "both_feet", "rest", "both_fists"]),
    ],
)
def test_marks_mean_what_the_run_says(corpora, tmp_path, run, task, names):
    corpora.eegmmidb(tmp_path, run=run)
    (recording,) = load(tmp_path)
    assert (recording.subject, recording.run, recording.task) == ("S001", f"{run:02d}", task)
    assert recording.events.type.tolist() == names
    np.testing.assert_allclose(recording.events.onset_s, [0.0, 4.2, 8.3, 12.5], rtol=0, atol=1e-9)
    np.testing.assert_allclose(recording.events.duration_s, [4.2, 4.1, 4.2, 4.1], rtol=0, atol=1e-9)


def test_names_lose_their_dots_and_samples_are_kept(corpora, tmp_path):
    x = corpora.eegmmidb(tmp_path)
    eeg = load(tmp_path)[0].regular("eeg")
    assert eeg.axis.names[:5] == ("FC5", "FC3", "FC1", "FCz", "FC2")
    assert eeg.axis.names[42:46] == ("T9", "T10", "TP7", "TP8")
    assert np.isfinite(eeg.axis.positions).all()
    np.testing.assert_array_equal(eeg.values(), x)


def test_rest_runs_have_rest_only(corpora, tmp_path):
    corpora.eegmmidb(tmp_path, run=2, marks=[(0.0, 20.5, "T0")])
    (recording,) = load(tmp_path)
    assert (recording.task, recording.events.type.tolist()) == ("eyes_closed", ["rest"])
    assert recording.events.duration_s.tolist() == [20.0]
    assert "1 annotations reach beyond the end and were cut there" in recording.provenance.steps


def test_windows_follow_the_cue_of_one_task(corpora, tmp_path):
    for run in (3, 4, 8):
        corpora.eegmmidb(tmp_path, run=run)
    recordings = load(tmp_path)
    index = labelled_windows(recordings)
    assert (len(index), index.classes) == (4, ("left_fist", "right_fist"))
    assert index.target.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert recordings[0].task == "execute_fist"
    assert set(index.column("run").tolist()) == {"04", "08"}
    # onset 4.2 s at 160 Hz is sample 672
    assert index.start.tolist() == [672, 2000, 672, 2000]
    assert len(labelled_windows(recordings, rest=True, length_s=2.0)) == 8


def test_unknown_task_suggests_the_nearest(corpora, tmp_path):
    corpora.eegmmidb(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'imagine_fist'"):
        labelled_windows(load(tmp_path), task="imagin_fist")


def test_other_rate_is_noted_and_not_mixed(corpora, tmp_path):
    corpora.eegmmidb(tmp_path, subject="S001", run=4)
    corpora.eegmmidb(tmp_path, subject="S088", run=4, sfreq=128)
    recordings = load(tmp_path)
    assert recordings[1].provenance.steps[-1] == "sampled at 128 Hz, most of the data set at 160 Hz"
    with pytest.raises(DataError, match="InputContract"):
        labelled_windows(recordings)


def test_there_is_no_official_split(corpora, tmp_path):
    corpora.eegmmidb(tmp_path)
    with pytest.raises(ConfigError, match="no official split"):
        official_split(load(tmp_path))


@pytest.mark.parametrize(
    ("run", "marks", "match"),
    [
        (1, [(0.0, 4.0, "T1")], r"mark 'T1' does not belong into run 1 \(eyes_open\)"),
        (3, [(0.0, 4.0, "T5")], "mark 'T5' does not belong into run 3"),
        (3, [(25.0, 4.0, "T0")], "begins at 25 s, but the recording ends at 20 s"),
        (15, None, "there are runs 1 to 14"),
    ],
)
def test_bad_marks(corpora, tmp_path, run, marks, match):
    corpora.eegmmidb(tmp_path, run=run, marks=marks)
    with pytest.raises(FileError, match=match):
        load(tmp_path)


def test_file_with_a_channel_less_is_refused(corpora, tmp_path):
    path = tmp_path / "S001" / "S001R03.edf"
    corpora.write_edf(path, corpora.EEGMMIDB[1:], sfreq=160, notes=[(0.0, 4.0, "T0")])
    with pytest.raises(FileError, match="has 63 channels, the data set has 64"):
        load(tmp_path)


def test_file_without_marks_is_refused(corpora, tmp_path):
    corpora.write_edf(tmp_path / "S001" / "S001R03.edf", corpora.EEGMMIDB, sfreq=160)
    with pytest.raises(FileError, match="holds no marks"):
        load(tmp_path)


def test_no_root_says_where_to_get_it():
    with pytest.raises(DataUnavailableError, match=r"physionet\.org/content/eegmmidb"):
        load(None)
