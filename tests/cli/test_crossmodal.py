"""``neuro train`` and ``neuro evaluate`` on a folder of EEG with BOLD."""

from typing import Any

import pytest
import yaml

from neuro.cli.cutting import cut
from neuro.data import PairedWindows
from neuro.datasets import synthetic


@pytest.fixture(scope="module")
def scans() -> Any:
    kept = []
    for rec in synthetic.eeg_fmri(21, n_scans=3, n_volumes=45, sfreq=200).recordings:
        eeg = rec.regular("eeg")
        rows = [eeg.axis.names.index(name) for name in ("Oz", "Cz", "Fz", "C3")]
        kept.append(rec.with_stream("eeg", eeg.take(rows)))
    return kept


@pytest.fixture(scope="module")
def tree(scans: Any, scanner_trees: Any, tmp_path_factory: Any) -> Any:
    return scanner_trees.bids(tmp_path_factory.mktemp("scanner") / "ds1", scans)


def test_eeg_with_bold_is_cut_before_volumes(scans: Any) -> None:
    index = cut(scans)
    assert isinstance(index, PairedWindows)
    assert (index.length_s, len(index)) == (16.0, 3 * 37)
    assert not isinstance(cut(scans, stream="eeg", length_s=4.0), PairedWindows)


@pytest.mark.slow
def test_train_and_evaluate_end_to_end(run: Any, tree: Any, tmp_path: Any) -> None:
    made = run(
        "train", "neurobolt", "--data", tree, "--preset", "tiny", "--set", "n_times=3200",
        "--steps", "2", "--batch-size", "4", "--out", tmp_path / "run", "--json",
        "--where", "subject=01,02",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert made.json["windows"]["train"] == 2 * 37
    config = {
        "data": str(tree),
        "pair": {"window_s": 16},
        "split": {"by": "subject", "test": ["03"]},
        "models": {"trained": str(tmp_path / "run")},
        "baselines": ["zero_lag_ridge", "constant"],
        "protocols": ["strict"],
        "n_null": 49,
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config))
    said = run("evaluate", path, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "trained" in said.out
    assert "minus_alpha" in said.out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "vs ridge" in page
    leaking = {**config, "split": {"by": "subject", "test": ["01"]}}
    path.write_text(yaml.safe_dump(leaking))
    refused = run("evaluate", path, "--out", tmp_path / "out2")
    assert refused.code != 0
    assert "trained on" in refused.err


def test_json_of_baselines_alone(run: Any, tree: Any, tmp_path: Any) -> None:
    config = {
        "data": str(tree),
        "pair": {},
        "split": {"by": "subject", "n": 3},
        "baselines": ["constant"],
        "n_null": 9,
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    said = run("evaluate", tmp_path / "c.yaml", "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    assert {r["protocol"] for r in said.json["rows"]} == {"strict", "paper"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pair": {"windows": 16}}, "window_s"),
        ({"protocols": ["strct"]}, "protocols"),
        ({"lowpas_hz": 0.1}, "lowpass_hz"),
        ({"models": {"m": {"trian": "neurobolt"}}}, "train"),
    ],
    ids=["pair", "protocol", "field", "model"],
)
def test_misspelt_fields_are_told(
    run: Any, tree: Any, tmp_path: Any, change: Any, words: str
) -> None:
    base = {"data": str(tree), "pair": {}, "split": {"by": "subject"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**base, **change}))
    said = run("evaluate", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert said.code != 0
    assert words in said.err


def test_options_of_other_readers_are_refused(run: Any, tree: Any, tmp_path: Any) -> None:
    said = run("train", "neurobolt", "--data", tree, "--read", "mask=x", "--out", tmp_path / "r")
    assert said.code != 0
    assert "EEG and BOLD" in said.err
