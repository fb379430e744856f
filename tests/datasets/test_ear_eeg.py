"""Ear-EEG nights: stages out of BIDS tables, missing samples, the published people."""

import numpy as np
import pytest

import neuro.datasets
from neuro.datasets import labelled_windows, official_split
from neuro.errors import ConfigError, DataUnavailableError, FileError


def load(root, **options):
    return neuro.datasets.load("ear_eeg", root=root, **options)


def test_night_has_its_stages_and_samples(corpora, tmp_path):
    x = corpora.ear_night(tmp_path, stages=("Wake", "Artefact", "REM"))
    (night,) = load(tmp_path)
    assert (night.id, night.subject, night.session) == ("ear_eeg_001_001", "001", "001")
    assert night.events.type.tolist() == ["W", "artefact", "R"]
    assert night.events.onset_s.tolist() == [5.0, 35.0, 65.0]
    assert night.regular("eeg").axis.names == ("RB", "RT", "LB", "LT")
    # volts and back in float32
    np.testing.assert_allclose(night.regular("eeg").values(), x, rtol=1e-5)


def test_windows_begin_with_the_scored_epochs(corpora, tmp_path):
    corpora.ear_night(tmp_path, stages=("Wake", "Artefact", "REM"))
    index = labelled_windows(load(tmp_path))
    assert index.classes == ("W", "N1", "N2", "N3", "R")
    assert index.target.tolist() == [0.0, 4.0]
    assert index.start_s().tolist() == [5.0, 65.0]


def test_windows_with_missing_samples_are_left_out(corpora, tmp_path):
    corpora.ear_night(tmp_path, stages=("Wake", "N2", "REM"), missing=[(250 * 40, 250 * 40 + 1)])
    nights = load(tmp_path)
    assert labelled_windows(nights).target.tolist() == [0.0, 4.0]
    assert labelled_windows(nights, keep_missing=True).target.tolist() == [0.0, 2.0, 4.0]


def test_night_without_stages_has_no_events(corpora, tmp_path):
    corpora.ear_night(tmp_path, stages=())
    (night,) = load(tmp_path)
    assert len(night.events) == 0
    assert night.provenance.steps[-1].endswith("_acq-scoring_events.tsv: no stages")


def test_people_are_split_as_published(corpora, tmp_path):
    for subject in ("001", "006", "007", "010"):
        corpora.ear_night(tmp_path, subject)
    split = official_split(load(tmp_path))
    assert dict(split.parts) == {"train": ("001", "006"), "val": ("007",), "test": ("010",)}


def test_some_people_can_be_loaded(corpora, tmp_path):
    for subject in ("001", "002"):
        corpora.ear_night(tmp_path, subject)
    assert [r.subject for r in load(tmp_path, subjects=["002"])] == ["002"]
    with pytest.raises(ConfigError, match="no subject '2'"):
        load(tmp_path, subjects=["2"])


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("N2", "N9", "row 3: unknown stage 'N9'"),
        ("scoring\n", "stage\n", "no column 'scoring'"),
        ("35\t", "late\t", "row 3: a time is no number"),
        ("35\t", "135\t", "begins at 135 s, but the recording ends at 120 s"),
    ],
)
def test_bad_table_of_stages(corpora, tmp_path, old, new, match):
    corpora.ear_night(tmp_path)
    (table,) = tmp_path.rglob("*.tsv")
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(FileError, match=match):
        load(tmp_path)


def test_no_root_says_where_to_get_it():
    with pytest.raises(DataUnavailableError, match="openneuro"):
        load(None)
