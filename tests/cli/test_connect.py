"""``neuro connect``: a user's EDF, ROI table and NWB file; figures, tables, refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from neuro.connectivity import Connectivity

FILES = {"connectivity.npz", "edges.csv", "report.html", "results.json"}


def test_edf_by_default_is_wpli_in_the_alpha_band(run, edf, tmp_path):
    path = edf(tmp_path / "a.edf")
    said = run("connect", path, "--out", tmp_path / "out")
    assert said.code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    found = Connectivity.load(tmp_path / "out" / "connectivity.npz")
    assert (found.method, found.dims) == ("wpli", ("band", "source", "target"))
    assert found.names == ("Fz", "Cz", "Pz", "Oz")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") >= 2
    for secret in ("Jane", "Doe", "1971", "Smith", "0815"):
        assert secret not in page + said.out
    assert str(tmp_path) not in page


def test_roi_table_is_correlated_with_corrected_p(run, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 9))
    x[:, 4] += 1.5 * x[:, 1]
    names = [f"roi{i}" for i in range(9)]
    pd.DataFrame(x, columns=names).to_csv(tmp_path / "a.csv", index=False)
    said = run("connect", tmp_path / "a.csv", "--tr", "2", "--out", tmp_path / "out",
               "--surrogates", "59", "--json")  # fmt: skip
    assert said.code == 0
    best, second = said.json["edges"][:2]
    assert (best["source"], best["target"]) == ("roi1", "roi4")
    assert best["value"] == pytest.approx(np.corrcoef(x.T)[1, 4], abs=1e-3)
    assert best["p"] == pytest.approx(1 / 60, abs=1e-3)
    assert second["p"] > 0.05
    table = pd.read_csv(tmp_path / "out" / "edges.csv")
    assert len(table) == 36
    assert json.loads((tmp_path / "out" / "results.json").read_text())["n_edges"] == 36
    assert said.json["graph"]["mean node strength (all edges)"]


@pytest.mark.slow
def test_dynamic_connectivity_of_a_table_draws_states(run, tmp_path):
    x = np.random.default_rng(0).standard_normal((220, 6))
    pd.DataFrame(x, columns=list("abcdef")).to_csv(tmp_path / "a.csv", index=False)
    options = "--tr 2 --method tapered_window --set window_s=60 --set step_s=4".split()
    said = run("connect", tmp_path / "a.csv", "--out", tmp_path / "out", *options)
    assert said.code == 0
    assert "4 states by k-means" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_signs_do_not_cancel_over_frequencies(run, edf, tmp_path):
    said = run("connect", edf(tmp_path / "a.edf"), "--method", "imaginary_coherence", "--out",
               tmp_path / "out", "--json")  # fmt: skip
    found = Connectivity.load(tmp_path / "out" / "connectivity.npz")
    expected = np.abs(found.values).mean(axis=0)
    best = said.json["edges"][0]
    names = list(found.names)
    i, j = names.index(best["source"]), names.index(best["target"])
    assert best["value"] == pytest.approx(expected[i, j], rel=1e-3)


@pytest.mark.slow
def test_nwb_spikes_are_counted(run, shared_data, tmp_path):
    said = run("connect", shared_data / "head_direction_A2929-200711.nwb", "--out", tmp_path,
               "--bin-s", "0.1", "--json")  # fmt: skip
    assert said.code == 0
    assert said.json["facts"]["stream"].endswith("15 rows at 10 Hz")
    found = Connectivity.load(tmp_path / "connectivity.npz")
    r = found.values[~np.eye(15, dtype=bool)]
    assert 0.2 < np.nanmax(r) < 0.9  # cells of one kind with neighbouring directions fire together


@pytest.mark.slow
def test_directed_measure_of_a_gdf(run, shared_data, tmp_path):
    said = run("connect", shared_data / "mi_2class.gdf", "--unit", "uV", "--method", "gpdc",
               "--set", "order=8", "--bands", "mu=8:13", "--out", tmp_path)  # fmt: skip
    assert said.code == 0
    found = Connectivity.load(tmp_path / "connectivity.npz")
    assert found.directed
    assert found.attrs["freqs"].tolist() == pytest.approx([10.5], abs=0.3)
    assert "row = source, column = target" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--method", "wply"], "Did you mean 'wpli'"),
        (["--bands", "alfa"], "Did you mean 'alpha'"),
        (["--bands", "mine=8-12"], "name=low:high"),
        (["--stream", "egg"], "Did you mean 'eeg'"),
        (["--set", "lenght_s=1"], "Did you mean 'length_s'"),
        (["--surrogates", "5"], "at least 19"),
        (["--bin-s", "0.1"], "is for spikes"),
    ],
    ids=["method", "band", "limits", "stream", "option", "surrogates", "bin"],
)
def test_bad_usage_is_told_and_leaves_no_file(run, edf, tmp_path, args, text):
    said = run("connect", edf(tmp_path / "a.edf"), "--out", tmp_path / "out", *args)
    assert said.code == 2
    assert text in said.err
    assert not (tmp_path / "out").exists()
