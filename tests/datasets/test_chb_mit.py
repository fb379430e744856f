"""CHB-MIT: summaries, doubled channels, one person in two cases, two label rules."""

import numpy as np
import pytest

import neuro.datasets
from neuro.data import InputContract, bipolar
from neuro.datasets import labelled_windows, official_split
from neuro.errors import ConfigError, DataUnavailableError, FileError


def load(root, **options):
    return neuro.datasets.load("chb_mit", root=root, **options)


def seizure_windows(index):
    """Starts in s of the windows called seizure."""
    return index.start_s()[index.target == 1].tolist()


@pytest.fixture(scope="module")
def case(corpora, tmp_path_factory):
    root = tmp_path_factory.mktemp("chb")
    return load(root) if corpora.chb(root) else None


def test_seizures_of_the_summary_are_events(case):
    quiet, seizing = case
    assert (quiet.subject, quiet.session, quiet.run) == ("chb01", "chb01", "chb01_01")
    assert len(quiet.events) == 0
    assert seizing.events.type.tolist() == ["seizure"]
    assert (seizing.events.onset_s[0], seizing.events.duration_s[0]) == (21.0, 26.0)


def test_numbered_seizures_are_read(corpora, tmp_path):
    corpora.chb(tmp_path, files={"chb02_16+": [(3, 5), (20, 31)]}, case="chb02")
    (recording,) = load(tmp_path)
    assert recording.run == "chb02_16+"
    assert recording.events.onset_s.tolist() == [3.0, 20.0]
    assert recording.events.duration_s.tolist() == [2.0, 11.0]


def test_doubled_channel_is_kept_once_and_fillers_are_left_out(case, corpora):
    eeg = case[0].regular("eeg")
    assert (len(eeg.axis), eeg.axis.names[0], eeg.axis.names[14]) == (22, "Fp1-F7", "T8-P8")
    assert "channels that stand twice, the first kept: T8-P8" in case[0].provenance.steps
    assert "channels left out: -" in case[0].provenance.steps
    expected = corpora.samples(24, 256 * 60, seed=0)
    np.testing.assert_array_equal(eeg.values()[14], expected[14])


def test_montage_of_the_networks_is_picked_by_name(case):
    picked = bipolar(case[0], "tcp16").regular("eeg")
    eeg = case[0].regular("eeg")
    assert picked.axis.names[3:5] == ("P7-O1", "Fp2-F8")
    where = eeg.axis.names.index("Fp2-F8")
    np.testing.assert_array_equal(picked.read(0, 100)[4], eeg.read(0, 100)[where])


def test_any_overlap_makes_a_window_a_seizure(case):
    # seizure from 21 to 47 s
    index = labelled_windows(case)
    assert (len(index), index.classes) == (12, ("normal", "seizure"))
    assert seizure_windows(index) == [20.0, 30.0, 40.0]


def test_reference_rule_misses_windows_inside_a_seizure(case):
    index = labelled_windows(case, biot_compat=True)
    grid = index.select(np.arange(12))
    assert index.recordings[0].provenance.steps[-1].startswith("biot_compat: windows wholly")
    assert seizure_windows(grid) == [20.0, 40.0]  # 30 to 40 s lies wholly inside
    # the same code adds windows every 5 s from a second (and a sample) before the start
    extra = index.select(np.arange(12, len(index)))
    expected = [20 - 1 / 256 + 5 * i for i in range(6)]
    assert extra.start_s().tolist() == pytest.approx(expected)
    assert (extra.target == 1).all()


def test_edge_on_the_border_follows_the_sample_before_it(corpora, tmp_path):
    # the reference's index of an edge at 30 s is the last sample of the window 20 to 30 s
    corpora.chb(tmp_path, files={"chb01_01": [(30, 55)]})
    grid = labelled_windows(load(tmp_path), biot_compat=True).select(np.arange(6))
    assert seizure_windows(grid) == [20.0, 50.0]
    assert seizure_windows(labelled_windows(load(tmp_path))) == [30.0, 40.0, 50.0]


def test_extra_windows_are_labelled_by_overlap(case):
    index = labelled_windows(case, extra_seizure_windows=True)
    extra = index.select(np.arange(12, len(index)))
    assert extra.start_s().tolist() == [20.0, 25.0, 30.0, 35.0, 40.0, 45.0]
    assert extra.target.tolist() == [1.0] * 6
    assert extra.batch([5]).x.shape == (1, 22, 2560)


@pytest.mark.parametrize("compat", [False, True])
def test_windows_do_not_depend_on_rate_or_begin(case, compat):
    # from 10 s on, and at another rate; the sliced grid begins where a window of the whole does
    contract = InputContract(modality="eeg", sfreq=200, unit="uV")
    moved = [contract.conform(recording.slice(10.0, 60.0)) for recording in case]
    options = {"biot_compat": True} if compat else {"extra_seizure_windows": True}
    whole, part = labelled_windows(case, **options), labelled_windows(moved, **options)
    inside = whole.select(whole.start_s() >= 10.0)
    # half a sample of 200 Hz: windows begin with the next sample
    np.testing.assert_allclose(part.start_s(), inside.start_s(), rtol=0, atol=5e-3)
    np.testing.assert_array_equal(part.target, inside.target)


def test_extra_window_that_would_leave_the_recording_is_not_made(corpora, tmp_path):
    corpora.chb(tmp_path, files={"chb01_01": [(50, 59)]})
    index = labelled_windows(load(tmp_path), extra_seizure_windows=True)
    assert index.start_s()[6:].tolist() == [49.0]


def test_compat_has_one_length(case):
    with pytest.raises(ConfigError, match="10 s"):
        labelled_windows(case, biot_compat=True, length_s=5.0)


def test_person_of_two_cases_is_on_one_side(corpora, tmp_path):
    for number in (1, 20, 21, 22, 23, 24):
        name = f"chb{number:02d}"
        corpora.chb(tmp_path, case=name, files={f"{name}_01": []}, seconds=10)
    recordings = load(tmp_path)
    assert [r.subject for r in recordings] == [
        "chb01", "chb20", "chb01", "chb22", "chb23", "chb24"
    ]  # fmt: skip
    assert "identity: chb21 is the person of chb01" in recordings[2].provenance.steps
    split = official_split(recordings)
    assert dict(split.parts) == {
        "train": ("chb01", "chb20"), "val": ("chb22",), "test": ("chb23", "chb24")
    }  # fmt: skip
    parts = split.of(labelled_windows(recordings))
    assert {k: len(v) for k, v in parts.items()} == {"train": 3, "val": 1, "test": 2}
    published = official_split(recordings, reference_split=True)
    assert published.parts["val"] == ("chb21", "chb22")
    assert published.shared_subjects == ("chb01",)
    assert len(published.of(labelled_windows(recordings))["val"]) == 2


def test_file_the_summary_does_not_name_is_noted(corpora, tmp_path):
    corpora.chb(tmp_path, files={"chb01_01": []})
    corpora.write_edf(tmp_path / "chb01/chb01_02.edf", corpora.CHB, sfreq=256, seconds=10)
    recording = load(tmp_path)[1]
    assert "not in chb01-summary.txt: taken to be without seizures" in recording.provenance.steps
    (tmp_path / "chb01/chb01_02.edf.seizures").write_bytes(b"x")
    with pytest.raises(FileError, match=r"does not name chb01_02\.edf"):
        load(tmp_path)


def test_missing_summary_is_named(corpora, tmp_path):
    corpora.chb(tmp_path)
    (tmp_path / "chb01/chb01-summary.txt").unlink()
    with pytest.raises(FileError, match=r"chb01-summary\.txt' is missing"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "in File: 1",
            "in File: 2",
            r"claims 2 seizures in chb01_03\.edf but tells the times of 1",
        ),
        ("Seizure End", "Seizure Start", "no start or no end"),
        ("21 seconds", "70 seconds", "runs from 70 to 47 s"),
        ("47 seconds", "70 seconds", None),
    ],
)
def test_bad_summary(corpora, tmp_path, old, new, match):
    corpora.chb(tmp_path)
    summary = tmp_path / "chb01/chb01-summary.txt"
    text = summary.read_text()
    assert old in text
    summary.write_text(text.replace(old, new))
    if match is None:  # a seizure that runs on behind the end is cut
        assert load(tmp_path)[1].events.duration_s.tolist() == [39.0]
        return
    with pytest.raises(FileError, match=match):
        load(tmp_path)


def test_no_root_says_where_to_get_it():
    with pytest.raises(DataUnavailableError, match=r"physionet\.org/content/chbmit"):
        load(None)
