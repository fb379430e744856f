"""``neuro info``: every kind of file, and nothing that names a person or a place."""

import re

import nibabel
import numpy as np
import pytest

import neuro
from neuro.data import Axis, Recording, Regular


def test_edf_shows_streams_units_and_rates(run, edf, tmp_path):
    said = run("info", edf(tmp_path / "a.edf"))
    assert said.code == 0
    assert re.search(r"eeg +│ eeg +│ 4 x 2560 +│ 256 Hz +│ uV +│ Fz, Cz, Pz, Oz", said.out)


def test_json_is_one_document_with_the_facts(run, edf, tmp_path):
    facts = run("info", edf(tmp_path / "a.edf"), "--json").json
    stream = facts["streams"]["eeg"]
    assert (stream["sfreq"], stream["unit"], stream["n_times"]) == (256.0, "uV", 2560)
    assert stream["names"] == ["Fz", "Cz", "Pz", "Oz"]
    assert facts["provenance"]["source"] == "a.edf"
    assert len(facts["provenance"]["sha256"]) == 64


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_neither_a_person_nor_a_path_is_shown(run, edf, tmp_path, form):
    said = run("info", edf(tmp_path / "a.edf"), *form)
    for secret in ("Jane", "Doe", "1971", "Smith", "0815", str(tmp_path), str(tmp_path.parent)):
        assert secret not in said.out + said.err


def test_microvolts_taken_for_volts_are_refused_with_the_remedy(run, shared_data):
    said = run("info", shared_data / "mi_2class.gdf")
    assert said.code == 2
    assert said.out == ""
    assert "unit='uV'" in said.err
    assert "--unit" in said.err


def test_gdf_in_its_true_unit(run, shared_data):
    facts = run("info", shared_data / "mi_2class.gdf", "--unit", "uV", "--json").json
    assert facts["streams"]["eeg"]["rows"] == 4
    assert {e["type"]: e["count"] for e in facts["events"]}["769"] == 20


def test_implausible_file_can_be_looked_at_and_is_found_wanting(run, shared_data):
    facts = run("info", shared_data / "mi_2class.gdf", "--read", "check=false", "--json").json
    assert "unit" in {f["kind"] for f in facts["findings"] if f["severity"] == "error"}


@pytest.fixture
def volume(tmp_path):
    """A NIfTI of 40 volumes and an atlas of three regions."""
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 6, 4), dtype=np.int16)
    labels[:2], labels[2:4], labels[4:] = 1, 2, 3
    data = 100 + rng.normal(size=(6, 6, 4, 40)).astype(np.float32)
    image = nibabel.Nifti1Image(data, np.diag([3.0, 3.0, 3.0, 1.0]))
    image.header.set_zooms((3, 3, 3, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "rest.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), tmp_path / "atlas.nii.gz")
    return tmp_path


def test_nifti_with_an_atlas_becomes_regions(run, volume):
    said = run("info", volume / "rest.nii.gz", "--atlas", volume / "atlas.nii.gz", "--tr", 2,
               "--json")  # fmt: skip
    stream = said.json["streams"]["bold"]
    assert (stream["rows"], stream["n_times"], stream["sfreq"]) == (3, 40, 0.5)


def test_tr_against_the_header_is_told_with_both_values(run, volume):
    said = run("info", volume / "rest.nii.gz", "--atlas", volume / "atlas.nii.gz", "--tr", 3)
    assert "tr=3 s by argument; the header says 2 s" in said.out


def test_table_of_regions_needs_its_tr(run, tmp_path):
    path = tmp_path / "rest.csv"
    rows = np.random.default_rng(0).normal(size=(30, 3)).round(3)
    path.write_text("A,B,C\n" + "\n".join(",".join(map(str, r)) for r in rows.tolist()) + "\n")
    assert run("info", path).code == 2
    stream = run("info", path, "--tr", 1.4, "--json").json["streams"]["bold"]
    assert (stream["rows"], stream["rate"]) == (3, "5/7")


def test_nwb_counts_units_and_spikes(run, shared_data):
    facts = run("info", shared_data / "head_direction_A2929-200711.nwb", "--json").json
    spikes = facts["streams"]["spikes"]
    assert (spikes["rows"], spikes["n_times"]) == (15, 98794)
    # 98,794 spikes of 15 units in 1,200 s of epochs
    assert spikes["mean_rate_hz"] == pytest.approx(98794 / 15 / 1200, rel=1e-3)


def test_stored_file(run, eeg_folder):
    facts = run("info", eeg_folder / "s01.h5", "--json").json
    assert (facts["subject"], facts["dataset"]) == ("01", "synthetic_eeg")
    assert {e["type"]: e["count"] for e in facts["events"]} == {"left": 6, "right": 6}


def test_further_arguments_reach_the_reader(run, edf, tmp_path):
    said = run("info", edf(tmp_path / "a.edf"), "--read", "subject=01", "--read", "age=33.5",
               "--json")  # fmt: skip
    assert (said.json["subject"], said.json["age"]) == ("01", 33.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--read", "subjekt=01"], "Did you mean 'subject'"),
        (["--read", "subject"], "name=value"),
        (["--read", "age=old"], "age is a number"),
        (["--read", "check=perhaps"], "true or false"),
        (["--tr", "2"], "tr= does not apply to EDF"),
        (["--unit", "apples"], "apples"),
    ],
)
def test_wrong_arguments_say_what_is_right(run, edf, tmp_path, given, said):
    outcome = run("info", edf(tmp_path / "a.edf"), *given)
    assert outcome.code == 2
    assert said in outcome.err


def test_what_is_not_there_and_what_is_no_recording(run, tmp_path):
    (tmp_path / "empty.edf").touch()
    (tmp_path / "notes.md").write_text("words")
    (tmp_path / "torn.edf").write_bytes(b"0       " + b"\xff" * 300)
    for name in ("absent.edf", "empty.edf", "notes.md", "torn.edf", "."):
        said = run("info", tmp_path / name)
        assert said.code == 2, name
        assert said.err.startswith("error: "), name
        assert "Traceback" not in said.err


def test_errors_are_json_too_where_a_program_reads(run, tmp_path):
    said = run("info", tmp_path / "absent.edf", "--json")
    assert said.code == 2
    assert said.json["error"]["kind"] == "DataUnavailableError"
    assert "absent.edf" in said.json["error"]["message"]


def test_names_cannot_steer_the_terminal_or_the_markup(run, tmp_path):
    names = ["[red]C3[/]", "C4\x1b[2J"]
    eeg = Regular(np.random.default_rng(0).normal(size=(2, 500)) * 20, 250, "uV",
                  Axis(names, "eeg"), "eeg")  # fmt: skip
    neuro.save(Recording({"eeg": eeg}, subject="01"), tmp_path / "odd.h5")
    said = run("info", tmp_path / "odd.h5")
    assert said.code == 0
    assert "[red]C3[/]" in said.out
    assert "\x1b" not in said.out
    assert "C4\\x1b[2J" in said.out
