"""``neuro benchmark``: a table of all systems on all data sets."""

import json

import pytest


@pytest.mark.slow
def test_table_and_files(run, tmp_path):
    args = ("benchmark", "--suite", "offline", "--out", tmp_path / "b", "--floors-only",
            "--seeds", 1, "--dataset", "synthetic_fmri_roi", "--dataset", "gdf_mi")  # fmt: skip
    said = run(*args)
    assert said.code == 0, said.err
    assert "Suite offline" in said.out
    assert "skipped gdf_mi" in said.out
    names = {p.name for p in (tmp_path / "b").glob("benchmark.*")}
    assert names == {"benchmark.json", "benchmark.csv", "benchmark.md", "benchmark.html"}
    again = run(*args, "--json")
    assert "finished before" in again.err
    assert (
        again.json["lines"] == json.loads((tmp_path / "b" / "benchmark.json").read_text())["lines"]
    )
    assert again.json["skipped"].keys() == {"gdf_mi"}
    page = (tmp_path / "b" / "benchmark.html").read_text()
    assert str(tmp_path) not in page


def test_misspelt_names_are_bad_input(run, tmp_path):
    said = run("benchmark", "--suite", "onfline", "--out", tmp_path / "b")
    assert said.code == 2
    assert "Did you mean 'offline'?" in said.err
    said = run("benchmark", "--dataset", "scp9", "--out", tmp_path / "b")
    assert said.code == 2
    assert "scp9" in said.err


def test_a_data_set_that_fails_is_exit_code_1(run, tmp_path, monkeypatch):
    from neuro.evaluate.suite.offline import simulate

    def broken(name, seed):
        return [r.replace(events=r.events.select(type="rest")) for r in simulate(name, seed)]

    monkeypatch.setattr("neuro.evaluate.suite.benchmark.simulate", broken)
    said = run("benchmark", "--out", tmp_path / "b", "--floors-only",
               "--dataset", "synthetic_fmri_roi")  # fmt: skip
    assert said.code == 1
    assert "failed synthetic_fmri_roi" in said.out
