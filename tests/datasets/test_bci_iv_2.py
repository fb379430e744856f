"""BCI Competition IV 2a and 2b: hidden classes, rejected trials, fillers between runs."""

import numpy as np
import pytest

import neuro.datasets
from neuro.data import windows
from neuro.datasets import labelled_windows, official_split
from neuro.errors import DataUnavailableError, FileError


def load(root, name="bci_iv_2a", **options):
    return neuro.datasets.load(name, root=root, **options)


def test_training_session_is_read(corpora, tmp_path):
    x = corpora.bci(tmp_path)
    (recording,) = load(tmp_path)
    assert (recording.id, recording.subject, recording.session) == ("bci_iv_2a_A01T", "A01", "T")
    eeg = recording.regular("eeg")
    assert (eeg.axis.names[0], eeg.axis.names[7], eeg.axis.names[-1]) == ("Fz", "C3", "POz")
    np.testing.assert_array_equal(eeg.read(0, 4900), x[:22, :4900])
    assert recording.regular("eog").shape == (3, 10_000)
    assert np.isfinite(eeg.axis.positions).all()
    cues = recording.events.select(["left_hand", "right_hand", "feet", "tongue"])
    assert cues.type.tolist() == ["left_hand", "right_hand", "feet", "tongue"]
    assert cues.onset_s.tolist() == [3.0, 11.0, 23.0, 31.0]
    assert cues.block.tolist() == [0, 1, 2, 3]


def test_fillers_between_runs_are_in_no_segment(corpora, tmp_path):
    corpora.bci(tmp_path)
    (recording,) = load(tmp_path)
    for name in ("eeg", "eog"):
        assert recording.regular(name).segments.tolist() == [[0, 4900], [5000, 10_000]]
    index = windows(recording, stream="eeg", length_s=2.0)
    assert index.batch().x.abs().max() <= 100


def test_windows_begin_at_the_cue(corpora, tmp_path):
    x = corpora.bci(tmp_path)
    index = labelled_windows(load(tmp_path))
    assert index.classes == ("left_hand", "right_hand", "feet", "tongue")
    assert index.target.tolist() == [0.0, 1.0, 2.0, 3.0]
    np.testing.assert_array_equal(index.batch([1]).x[0].numpy(), x[:22, 2750:3750])


def test_rejected_trials_are_left_out_unless_asked_for(corpora, tmp_path):
    corpora.bci(tmp_path, rejected=(1, 3))
    recordings = load(tmp_path)
    assert labelled_windows(recordings).target.tolist() == [0.0, 2.0]
    assert labelled_windows(recordings, rejected=True).target.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_hidden_classes_come_from_the_file_of_labels(corpora, tmp_path):
    corpora.bci(tmp_path, "A01T")
    corpora.bci(tmp_path, "A01E", hidden=True)
    evaluation = load(tmp_path)[0]
    assert (evaluation.events.type == "unknown_cue").sum() == 4
    assert any("no A01E.mat beside it" in step for step in evaluation.provenance.steps)
    corpora.true_labels(tmp_path / "true_labels", "A01E", [4, 3, 2, 1])
    recordings = load(tmp_path)
    index = labelled_windows(recordings)
    assert index.target.tolist() == [3.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0]
    assert "classes of the cues from A01E.mat" in recordings[0].provenance.steps
    split = official_split(recordings)
    assert (split.by, dict(split.parts)) == ("session", {"train": ("T",), "test": ("E",)})
    assert split.shared_subjects == ("A01",)
    parts = split.of(index)
    assert parts["test"].target.tolist() == [3.0, 2.0, 1.0, 0.0]


def test_two_classes_and_three_channels(corpora, tmp_path):
    corpora.bci(tmp_path, "B0101T", classes=(1, 2, 2, 1), codes=[(9000, 781, 1), (9500, 1081, 9)])
    corpora.bci(tmp_path, "B0104E", classes=(1, 1, 1, 1), hidden=True)
    corpora.true_labels(tmp_path, "B0104E", [1, 2, 1, 2])
    recordings = load(tmp_path, "bci_iv_2b")
    assert [r.session for r in recordings] == ["01T", "04E"]
    assert recordings[0].regular("eeg").axis.names == ("C3", "Cz", "C4")
    index = labelled_windows(recordings)
    assert index.classes == ("left_hand", "right_hand")
    assert index.target.tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert official_split(recordings).parts["test"] == ("04E",)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([1, 2, 3], r"names 3 classes, the recording has 4 cues"),
        ([1, 2, 3, 5], "classes other than 1 to 4"),
        ([1, 2, 4, 3], r"'A01T\.mat' contradicts the cues"),
    ],
)
def test_bad_labels(corpora, tmp_path, labels, match):
    corpora.bci(tmp_path)
    corpora.true_labels(tmp_path, "A01T", labels)
    with pytest.raises(FileError, match=match):
        load(tmp_path)


def test_file_that_holds_no_labels_is_named(corpora, tmp_path):
    corpora.bci(tmp_path)
    (tmp_path / "A01T.mat").write_bytes(b"not a mat file")
    with pytest.raises(FileError, match=r"'A01T\.mat' holds no 'classlabel'"):
        load(tmp_path)


def test_unknown_code_is_refused(corpora, tmp_path):
    corpora.bci(tmp_path, codes=[(100, 999, 1)])
    with pytest.raises(FileError, match=r"event codes \['999'\]"):
        load(tmp_path)


def test_file_of_the_other_set_is_refused(corpora, tmp_path):
    corpora.write_gdf(
        tmp_path / "A01T.gdf", corpora.BCI_2B, corpora.samples(6, 2500), [(0, 32766, 1)]
    )
    with pytest.raises(FileError, match="has 3 EEG channels, bci_iv_2a has 22"):
        load(tmp_path)


def test_truncated_file_can_be_left_out(corpora, tmp_path):
    corpora.bci(tmp_path, "A01T")
    corpora.bci(tmp_path, "A02T")
    cut = tmp_path / "A02T.gdf"
    cut.write_bytes(cut.read_bytes()[:100_000])
    with pytest.raises(FileError, match=r"'A02T\.gdf' claims"):
        load(tmp_path)
    (kept,) = load(tmp_path, bad_files="skip")
    assert kept.subject == "A01"


def test_no_root_says_where_to_get_it():
    with pytest.raises(DataUnavailableError, match=r"bbci\.de/competition/iv"):
        load(None)
