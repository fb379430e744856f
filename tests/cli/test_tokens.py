"""``neuro tokens``: a saved tokenizer and a file give tokens, numbers and a page."""

import json

import numpy as np
import pytest

import neuro
from neuro.data import by_channel, windows
from neuro.io import safe


@pytest.fixture
def tokenizer(edf, tmp_path):
    def save(name, **config):
        rec = neuro.read(edf(tmp_path / "train.edf", seed=1))
        contract = windows(rec, stream="eeg", length_s=2).contract()
        neuro.models.create(name, "tiny", contract=contract, **config).save(tmp_path / "model")
        return tmp_path / "model"

    return save


def test_a_file_becomes_tokens_with_a_page(run, edf, tokenizer, tmp_path):
    folder = tokenizer("eegformer")
    path = edf(tmp_path / "a.edf")
    said = run("tokens", folder, path, "--out", tmp_path / "out")
    assert said.code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "codes.html",
        "codes.json",
        "tokens.npz",
    }
    arrays = safe.load_npz(tmp_path / "out" / "tokens.npz")
    facts = json.loads((tmp_path / "out" / "codes.json").read_text())
    # 10 s in windows of 2 s, 4 channels, a token a second
    assert arrays["ids"].shape == (5, 4, 2)
    assert facts["n_tokens"] == arrays["ids"].size
    assert arrays["ids"].max() < facts["n_codes"] == int(arrays["n_codes"])
    assert arrays["window_start_s"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    page = (tmp_path / "out" / "codes.html").read_text()
    for secret in ("Jane", "Doe", "1971", "Smith", "0815"):
        assert secret not in page + said.out
    assert str(tmp_path) not in page
    assert "windows have no classes" in said.out


def test_what_was_learned_channel_by_channel_reads_a_montage(run, edf, tmp_path):
    rec = neuro.read(edf(tmp_path / "train.edf", seed=1))
    contract = windows(by_channel(rec, stream="eeg"), stream="eeg", length_s=2).contract()
    neuro.models.create("eegformer", "tiny", contract=contract).save(tmp_path / "model")
    said = run("tokens", tmp_path / "model", edf(tmp_path / "a.edf"), "--out", tmp_path / "out")
    assert said.code == 0
    arrays = safe.load_npz(tmp_path / "out" / "tokens.npz")
    assert arrays["ids"].shape == (5, 4, 2)
    assert len(set(arrays["ch_names"].tolist())) == 4


@pytest.mark.slow
def test_the_same_file_gives_the_same_tokens_as_the_model_in_python(run, edf, tokenizer, tmp_path):
    folder = tokenizer("eegformer")
    path = edf(tmp_path / "a.edf")
    assert run("tokens", folder, path, "--out", tmp_path / "out", "--json").json["n_windows"] == 5
    model = neuro.models.load(folder)
    cut = windows(model.contract.conform(neuro.read(path)), stream="eeg", length_s=2)
    ids = safe.load_npz(tmp_path / "out" / "tokens.npz")["ids"]
    assert np.array_equal(ids, model.tokenize(cut.batch()).ids.numpy())


def test_a_model_without_a_code_book_is_refused(run, edf, tokenizer, tmp_path):
    folder = tokenizer("patch_mae")
    said = run("tokens", folder, edf(tmp_path / "a.edf"), "--out", tmp_path / "out")
    assert said.code == 2
    assert "has no code book" in said.err
    assert not (tmp_path / "out").exists()
