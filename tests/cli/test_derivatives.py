"""A folder of fMRI derivatives is a source like any other."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuro.cli._sources import reading_options, recordings_of
from neuro.errors import ConfigError, FileError


def test_a_folder_of_derivatives_is_read_whole(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", n_people=3)
    options = reading_options(["columns=group:diagnosis"])
    runs = recordings_of(str(folder), options, where=["group=control"])
    assert [(r.subject, r.group) for r in runs] == [("00", "control"), ("02", "control")]


def test_a_corpus_of_several_atlases_is_asked_for_one(tmp_path):
    for atlas, n in (("cc200", 4), ("aal", 3)):
        path = tmp_path / "cpac" / "filt_global" / f"NYU_0051000_rois_{atlas}.1D"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, np.random.default_rng(0).normal(size=(50, n)), delimiter="\t")
    with pytest.raises(ConfigError, match="atlas='aal' or 'cc200'"):
        recordings_of("abide", {}, root=tmp_path)
    options = reading_options(["version=cpac/filt_global"], atlas=Path("aal"))
    (rec,) = recordings_of("abide", options, root=tmp_path)
    assert rec.regular("bold").shape == (3, 50)
    with pytest.raises(ConfigError, match="pain122: no option 'atlas'"):
        recordings_of("pain122", {"atlas": "aal"})


def test_options_of_other_readers_are_refused(trees, tmp_path):
    folder = str(trees.xcpd(tmp_path / "xcpd"))
    with pytest.raises(ConfigError, match="sfreq= does not apply to a folder of fMRI derivatives"):
        recordings_of(folder, {"sfreq": 2.0})
    with pytest.raises(ConfigError, match="fact:column"):
        reading_options(["columns=group"])
    (tmp_path / "xcpd/sub-00/func").joinpath("sub-00_task-rest_outliers.tsv").unlink()
    for path in (tmp_path / "xcpd").rglob("*_bold.json"):
        path.unlink()
    with pytest.raises(FileError, match=r"tr=2\.0") as error:
        recordings_of(folder)
    assert any("--tr" in note for note in error.value.__notes__)


def test_from_a_folder_of_fmriprep_to_a_trained_model(run, trees, tmp_path):
    folder = trees.fmriprep(tmp_path / "raw", n_people=4)
    out = tmp_path / "run"
    said = run(
        "train", "brainmae", "--data", folder, "--atlas", trees.atlas(tmp_path, trees.SCHAEFER),
        "--preset", "tiny", "--length-s", 60, "--steps", 3, "--out", out, "--valid-by", "subject",
        "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.json["windows"] == {"train": 15, "valid": 5}  # 3 people x 5 windows of 60 s
    page = (out / "report.html").read_text()
    assert "confounds simple: " in page
    assert "embeddings of regions" in page
    # what is saved knows its regions and their atlas
    contract = json.loads((out / "contract.json").read_text())
    assert (tuple(contract["ch_names"]), contract["atlas"]) == (trees.SCHAEFER, "six")


@pytest.mark.slow
def test_from_a_folder_of_fmriprep_to_a_probe_report(run, trees, tmp_path):
    trees.fmriprep(tmp_path / "raw", n_people=8, jerks=(40, 41))
    trees.atlas(tmp_path)
    (tmp_path / "probe.yaml").write_text(
        "data: raw/derivatives/fmriprep\n"
        "reading: {atlas: six.nii.gz, columns: {group: diagnosis}}\n"
        "window: {length_s: 140, label: group}\n"
        "split: {by: subject, n: 2}\n"
        "models: {brainmae: {train: brainmae, preset: tiny, steps: 4}}\n"
        "seeds: 1\ncontrols: []\n"
    )
    said = run("evaluate", tmp_path / "probe.yaml", "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    scores = {r["model"]: r["value"] for r in said.json["rows"] if r["metric"] == "accuracy"}
    # patients' regions share one more signal; what is known without the signal varies as well
    assert scores["connectivity"] == 1.0
    assert {"phenotype_only", "motion_only", "site_only", "brainmae"} <= set(scores)
    assert "motion_only" in (tmp_path / "out" / "report.html").read_text()
