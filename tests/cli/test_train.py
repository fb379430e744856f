"""``neuro train``: from files to checkpoints."""

import json

import numpy as np
import pytest
import torch

import neuro
from neuro.data import Axis, Irregular, Recording, Regular
from neuro.datasets import synthetic
from neuro.io import save_shards
from neuro.train import Run

TINY = ("--preset", "tiny", "--length-s", 1, "--steps", 4, "--batch-size", 8, "--device", "cpu")


def train(run, data, out, *more):
    return run("train", "patch_mae", "--data", data, "--out", out, *TINY, *more)


def test_run_folder_holds_a_model_for_the_files(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run")
    assert said.code == 0
    assert "4 subjects" in said.out
    done = Run(tmp_path / "run")
    assert done.step == 4
    model = neuro.models.load(done.best() / "model")
    assert (model.config.n_chans, model.config.sfreq) == (20, 64.0)


def test_json_is_one_document_with_the_losses(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run", "--valid-by", "subject", "--json")
    # 4 people x 36 s; a tenth of four people is one
    assert said.json["windows"] == {"train": 108, "valid": 36}
    assert 0 < said.json["valid_loss"] < 10
    assert said.json["step"] == 4


def test_started_again_it_goes_on(run, eeg_folder, tmp_path):
    schedule = ("--steps", 2)
    train(run, eeg_folder, tmp_path / "run", *schedule)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert train(run, eeg_folder, tmp_path / "run", *schedule).code == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == lines


def test_other_settings_in_the_same_folder_are_refused(run, eeg_folder, tmp_path):
    train(run, eeg_folder, tmp_path / "run")
    said = train(run, eeg_folder, tmp_path / "run", "--lr", 0.1)
    assert said.code == 2
    assert "arguments.lr was 0.001, is now 0.1" in said.err


def test_set_reaches_the_configuration(run, eeg_folder, tmp_path):
    more = ("--set", "depth=2", "--set", "pool=mean", "--set", "mask_ratio=0.6")
    train(run, eeg_folder, tmp_path / "run", *more)
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]["config"]
    assert (config["depth"], config["pool"], config["mask_ratio"]) == (2, "mean", 0.6)


def test_unlike_recordings_are_prepared_channel_by_channel(run, eeg_folder, tmp_path):
    rng = np.random.default_rng(0)
    x = 40 * rng.standard_normal((3, 200 * 30)).astype("f4")
    other = Regular(x, 200, "au", Axis(["a", "b", "c"], "eeg"), "eeg")
    neuro.save(Recording({"eeg": other}, subject="9"), tmp_path / "other.h5")
    more = ("--data", tmp_path / "other.h5", "--prepare", "sfreq=50", "--prepare", "lowpass=20",
            "--prepare", "scaling=zscore", "--prepare", "by_channel=true", "--json")  # fmt: skip
    said = train(run, eeg_folder, tmp_path / "run", *more)
    # 4 people x 36 s x 20 channels, one of 30 s x 3
    assert said.json["windows"]["train"] == 4 * 36 * 20 + 30 * 3
    contract = neuro.models.load(Run(tmp_path / "run").best() / "model").contract
    assert (contract.sfreq, contract.lowpass, contract.scaling) == (50, 20, "zscore")
    assert contract.ch_names == ("channel",)


@pytest.mark.parametrize(
    ("pair", "hint"),
    [("sfrq=50", "Did you mean 'sfreq'"), ("by_channel=2", "use true or false"),
     ("highpass=90", "not between 0 and Nyquist"), ("ch_names=Fz,Xx", "Channels missing: Xx")],
    ids=["name", "truth", "edge", "channel"],
)  # fmt: skip
def test_what_cannot_be_prepared_is_one_clear_error(run, eeg_folder, tmp_path, pair, hint):
    said = train(run, eeg_folder, tmp_path / "run", "--prepare", pair)
    assert said.code == 2
    assert hint in said.err


def test_a_montage_is_derived_from_electrodes(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run", "--prepare", "montage=tcp16", "--prepare",
                 "sfreq=32")  # fmt: skip
    assert said.code == 0
    contract = neuro.models.load(Run(tmp_path / "run").best() / "model").contract
    assert len(contract.ch_names) == 16
    assert contract.ch_names[:2] == ("Fp1-F7", "F7-T7")
    # files as they come go the same way to the model
    raw = neuro.read(next(eeg_folder.glob("*.h5")))
    assert contract.conform(raw, "eeg").regular("eeg").axis.names == contract.ch_names


def test_a_run_leaves_a_page_of_itself(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run", "--valid-by", "subject")
    assert "report.html" in said.out
    page = (tmp_path / "run" / "report.html").read_text()
    for word in (
        "4 of 4",
        "patch_mae",
        "Windows(108",
        "Windows(36",
        "valid_explained",
        "Simulated",
    ):
        assert word in page
    assert str(tmp_path) not in page


def test_stages_follow_each_other_on_the_weights_of_the_last(run, eeg_folder, tmp_path):
    train(run, eeg_folder, tmp_path / "first", "--where", "subject=02,03")
    said = train(run, eeg_folder, tmp_path / "second", "--where", "subject=04", "--stage",
                 "probe", "--init", tmp_path / "first", "--align", "left", "--align", "right",
                 "--label", "type")  # fmt: skip
    assert said.code == 0
    first, second = (neuro.models.load(Run(tmp_path / r).last() / "model")
                     for r in ("first", "second"))  # fmt: skip
    assert second.config.n_outputs == 2
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert len(second.provenance["training"]) == 2


def test_a_start_that_is_not_there(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run", "--init", tmp_path / "nothing")
    assert said.code == 2
    assert "There is no folder" in said.err


def test_spikes_are_binned(run, tmp_path):
    said = run("train", "patch_mae", "--data", "head_direction", "--out", tmp_path / "run",
               "--preset", "tiny", "--steps", 2, "--bin-s", 0.1, "--json")  # fmt: skip
    assert said.code == 0
    contract = json.loads((tmp_path / "run" / "contract.json").read_text())
    assert (contract["modality"], contract["unit"]) == ("spikes", "counts")
    # windows of a second: ten bins
    assert contract["n_times"] == 10


def test_shards_are_data(run, eeg_folder, tmp_path):
    save_shards([neuro.read(p) for p in sorted(eeg_folder.glob("*.h5"))], tmp_path / "shards")
    assert train(run, tmp_path / "shards", tmp_path / "run").code == 0


def test_where_keeps_the_named_people(run, eeg_folder, tmp_path):
    said = train(run, eeg_folder, tmp_path / "run", "--where", "subject=02,03", "--json")
    assert said.json["windows"]["train"] == 72


def test_trials_shorter_than_the_usual_window_are_taken_whole(run, eeg_folder, tmp_path):
    (tmp_path / "short").mkdir()
    short = neuro.read(eeg_folder / "s01.h5").slice(0.0, 2.0)
    neuro.save(short, tmp_path / "short" / "a.h5")
    said = run("train", "patch_mae", "--data", tmp_path / "short", "--out", tmp_path / "run",
               "--preset", "tiny", "--steps", 1)  # fmt: skip
    assert said.code == 0
    assert "1 x 2 s" in said.out


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        (["--set", "dept=2"], "Did you mean 'depth'?"),
        (["--set", "depth"], "name=value"),
        (["--set", "seed=3"], "no field"),
        (["--set", "depth=many"], "depth"),
        (["--preset", "tinny"], "Did you mean 'tiny'?"),
        (["--stream", "ege"], "Did you mean 'eeg'?"),
        (["--valid-by", "subjekt"], "Did you mean 'subject'?"),
        (["--valid-by", "random"], "random"),
        (["--where", "subject=09"], "Known: 01, 02, 03, 04"),
        (["--where", "subjekt=01"], "Did you mean 'subject'?"),
        (["--where", "subject"], "fact=value"),
        (["--precision", "fp8"], "bf16"),
        (["--length-s", "1000"], "length_s"),
        (["--length-s", "-1"], "length_s"),
        (["--bin-s", "0.1"], "sampled already"),
        (["--steps", "0"], "steps=0"),
        (["--steps", "many"], "--steps"),
        (["--lr", "nan"], "lr=nan"),
        (["--tr", "2"], "tr= does not apply"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_usage_is_told_before_any_training(run, eeg_folder, tmp_path, more, hint):
    said = train(run, eeg_folder, tmp_path / "run", *more)
    assert said.code == 2
    assert hint in said.err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ("head_directon", "Did you mean 'head_direction'?"),
        ("absent/file.edf", "neither a file, a folder nor a data set"),
        ("haxby_slice", "root="),
        (".", "no recording of a known format"),
    ],
)
def test_data_that_is_not_there(run, tmp_path, monkeypatch, data, hint):
    monkeypatch.chdir(tmp_path)
    said = train(run, data, tmp_path / "run")
    assert said.code == 2
    assert hint in said.err


def test_reading_options_mean_nothing_for_a_data_set(run, tmp_path):
    said = train(run, "head_direction", tmp_path / "run", "--unit", "uV")
    assert said.code == 2
    assert "for files only" in said.err


def test_only_the_first_process_speaks(run, eeg_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    for form in ([], ["--json"]):
        said = train(run, eeg_folder, tmp_path / "run", *form)
        assert (said.code, said.out) == (0, "")


@pytest.fixture(scope="module")
def spike_file(tmp_path_factory):
    """Two minutes of six units that are busy every other half minute."""
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(120) // 30 % 2, 24.0, 4.0)
    times = [np.sort(rng.uniform(0, 120, 2880)) for _ in range(6)]
    kept = [t[rng.random(len(t)) < rate[t.astype(int)] / 24] for t in times]
    unit = np.repeat(np.arange(6), [len(k) for k in kept])
    order = np.argsort(np.concatenate(kept), kind="stable")
    axis = Axis([f"u{i}" for i in range(6)], "unit")
    train = Irregular(np.concatenate(kept)[order], unit[order], axis, [(0.0, 120.0)])
    path = tmp_path_factory.mktemp("spikes") / "spikes.h5"
    neuro.save(Recording({"spikes": train}, subject="1"), path)
    return path


SPIKES = ("--bin-s", 0.1, "--set", "prior=gaussian", "--set", "n_lags=2", "--json")


def test_estimators_choose_their_states_and_can_be_loaded(run, spike_file, tmp_path):
    said = run("train", "onehot_hmm_glm", "--data", spike_file, "--out", tmp_path / "m", *SPIKES,
               "--states", "1:3", "--set", "rounds=6", "--set", "folds=3")  # fmt: skip
    assert said.code == 0
    assert said.json["n_states"] == 2
    assert said.json["series"] == {"train": 1, "valid": 0}
    model = neuro.models.load(tmp_path / "m")
    assert model.n_states == 2
    assert model.candidates_.tolist() == [1, 2, 3]
    assert model.provenance["recordings"] == 1


def test_states_are_said_once_and_only_to_what_has_states(run, spike_file, tmp_path):
    more = ("--data", spike_file, "--out", tmp_path / "m", *SPIKES)
    said = run("train", "onehot_hmm_glm", *more, "--states", 2, "--set", "states=3")
    assert said.code == 2
    assert "given twice" in said.err
    said = run("train", "onehot_hmm_glm", *more, "--states", "two")
    assert "from 1 to 50" in said.err
    said = run("train", "poisson_glm", *more[:4], *SPIKES[:2], "--states", 2)
    assert said.code == 2
    assert "no field 'states'" in said.err
    assert not (tmp_path / "m").exists()


def test_estimators_are_scored_on_what_is_held_out(run, spike_file, tmp_path):
    said = run("train", "poisson_glm", "--data", spike_file, "--out", tmp_path / "m", *SPIKES[:2],
               "--json", "--valid-by", "time")  # fmt: skip
    assert said.code == 0
    assert said.json["series"] == {"train": 1, "valid": 1}
    # six units, 0.1 s bins, 0.4 or 2.4 spikes in each: about -1.5 nats a unit
    assert -14 < said.json["valid_score"] < -4
    again = run("train", "poisson_glm", "--data", spike_file, "--out", tmp_path / "m",
                *SPIKES[:2])  # fmt: skip
    assert "fitted: " in again.out


def test_options_of_networks_mean_nothing_to_estimators(run, spike_file, eeg_folder, tmp_path):
    more = ("--data", spike_file, "--out", tmp_path / "m")
    said = run("train", "poisson_glm", *more, "--length-s", 1)
    assert said.code == 2
    assert "length_s is for networks" in said.err
    said = run("train", "poisson_glm", *more, "--init", tmp_path)
    assert "--init and --stage" in said.err
    said = run("train", "poisson_glm", *more, "--valid-by", "subject")
    assert "Only one subject" in said.err
    said = run("train", "poisson_glm", "--data", eeg_folder, "--out", tmp_path / "m")
    assert said.code == 2
    assert "whole numbers" in said.err
    assert not (tmp_path / "m").exists()


def test_estimators_of_people_get_what_recordings_know(run, tmp_path):
    made = synthetic.fmri_roi(1, n_subjects=8, n_rois=6, n_volumes=60)
    (tmp_path / "in").mkdir()
    for rec in made.recordings:
        neuro.save(rec, tmp_path / "in" / f"s{rec.subject}.h5")
    more = ("--data", tmp_path / "in", "--out", tmp_path / "m", "--stream", "bold", "--json")
    small = ("--preset", "tiny", "--set", "latent_dim=2")
    said = run("train", "demovae", *more, *small, "--valid-by", "subject")
    assert said.code == 0
    assert said.json["series"] == {"train": 7, "valid": 1}
    assert said.json["valid_score"] < said.json["score"] < 1
    model = neuro.models.load(tmp_path / "m")
    assert model.table.names == ("group",)
    assert model.provenance["stream"] == "bold"
    said = run("train", "demovae", *more, *small, "--valid-by", "time")
    assert said.code == 2
    assert "hold out subject" in said.err
