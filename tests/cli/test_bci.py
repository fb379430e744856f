import json
import subprocess
import sys

import pytest

from neuro.data import Axis, Events, Recording, Regular

np = pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    import neuro

    folder = tmp_path_factory.mktemp("files")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = 5 * rng.standard_normal((3, 4250))
        starts = 100 + 500 * np.arange(8)
        labels = rng.permutation(["left", "right"] * 4)
        for start, label in zip(starts, labels, strict=True):
            if label == "left":
                x[0, start : start + 400] += 8 * np.sin(2 * np.pi * 12 * np.arange(400) / 250)
        signal = Regular(x.astype(np.float32), 250, "uV", Axis(("C3", "Cz", "C4"), "eeg"), "eeg")
        neuro.save(
            Recording({"eeg": signal}, Events.make(starts / 250, labels)), folder / f"{seed}.h5"
        )
    return sorted(folder.iterdir())


@pytest.fixture
def run(tmp_path):
    from typer.testing import CliRunner

    from neuro.cli.app import app

    def call(*words, code=0):
        found = CliRunner().invoke(app, ["bci", *map(str, words)])
        assert found.exit_code == code, found.output
        return found.stdout if code == 0 else found.output + found.stderr

    return call


def test_a_session_by_command(run, runs, tmp_path):
    folder = tmp_path / "anna"
    run("new", folder, "--classes", "left,right")
    run("add", folder, *runs[:2])
    trial = ("--start", 0.2, "--stop", 1.5, "--length", 0.5, "--step", 0.25)
    told = json.loads(run("extract", folder, *trial, "--fmin", 6, "--fmax", 30, "--json"))
    assert (told["trials"], told["channels"], told["columns"]) == (16, 3, 25)
    best = json.loads(run("map", folder, "--out", tmp_path / "pictures", "--json"))["best"][0]
    assert best["feature"] == "C3;12"
    assert best["larger"] == "left"
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [
        "map.png", "spectra.png", "topography.png",
    ]  # fmt: skip
    scores = json.loads(run("train", folder, "--feature", "C3;12", "--feature", "C4;12", "--json"))
    assert scores["attempt"] == 1
    assert scores["nested"] > 0.8
    live = json.loads(run("online", folder, "--file", runs[2], "--speed", 1000, "--json"))
    assert (live["decisions"], live["error"]) == (8, "")
    run("add", folder, runs[2])
    replay = json.loads(run("replay", folder, "r3", "--json"))
    assert [d["label"] for d in replay["decisions"]] == [d["label"] for d in live["last"]]
    assert not replay["trained_on_it"]
    assert json.loads(run("replay", folder, "r1", "--json"))["trained_on_it"]
    run("runs", folder, "--exclude", "r2")
    assert [r["excluded"] for r in json.loads(run("runs", folder, "--json"))] == [
        False, True, False,
    ]  # fmt: skip
    run("report", folder, "--out", tmp_path / "session.html")
    assert "Online 1" in (tmp_path / "session.html").read_text(encoding="utf-8")


def test_a_control_port_leaves_standard_output_to_json(run, tmp_path):
    run("new", tmp_path / "s", "--classes", "left,right")
    told = run("online", tmp_path / "s", "--control", 0, "--seconds", 0.1, "--json")
    assert json.loads(told)["state"] == "idle"
    assert "token" not in told


def test_options_that_are_not_given_stay(run, runs, tmp_path):
    from neuro.bci import Workspace

    folder = tmp_path / "anna"
    run("new", folder)
    run("add", folder, runs[0])
    run("extract", folder, "--start", 0.2, "--stop", 1.5, "--h-freq", 40)
    run("extract", folder, "--family", "strength", "--channels", "C3,C4")
    settings = Workspace.open(folder).settings
    assert (settings.plan.stop_s, settings.h_freq, settings.ch_names) == (1.5, 40.0, ("C3", "C4"))
    assert settings.family.to_json()["family"] == "strength"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "SESSION", "nothing.edf"), "nothing.edf"),
        (("extract", "SESSION"), "add one first"),
        (("extract", "SESSION", "--family", "strenght"), "Did you mean 'strength'"),
        (("train", "SESSION"), "add one first"),
        (("replay", "SESSION", "r1"), "Nothing has been trained"),
        (("runs", "SESSION", "--exclude", "r7"), "No run 'r7'"),
        (("map", "elsewhere"), "is no workspace"),
    ],
)
def test_mistakes_are_told(run, tmp_path, words, says):
    run("new", tmp_path / "s")
    told = run(*[tmp_path / "s" if w == "SESSION" else w for w in words], code=2)
    assert says in told


@pytest.mark.slow
@pytest.mark.xdist_group("lsl")
def test_simulator_and_loop_as_two_programs(run, runs, tmp_path):
    folder = tmp_path / "anna"
    run("new", folder, "--classes", "left,right")
    run("add", folder, *runs[:2])
    trial = ("--start", 0.2, "--stop", 1.5, "--length", 0.5, "--step", 0.25)
    run("extract", folder, *trial, "--fmin", 6, "--fmax", 30)
    run("train", folder, "--feature", "C3;12", "--feature", "C4;12")
    name = f"neuro-cli-{tmp_path.name}"

    def program(*words):
        return subprocess.Popen(
            [sys.executable, "-m", "neuro.cli", "bci", *map(str, words), "--lsl-session", name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    amplifier = program("simulate", runs[2], "--name", "amp", "--speed", 4)
    loop = program("online", folder, "--source-id", "amp", "--seconds", 12, "--json")
    try:
        told, errors = amplifier.communicate(timeout=90)
        assert "4250 samples sent" in told, errors
        told, errors = loop.communicate(timeout=90)
    finally:
        for one in (amplifier, loop):
            one.kill()
    found = json.loads(told[told.index("{") :])
    run("add", folder, runs[2])
    offline = json.loads(run("replay", folder, "r3", "--json"))
    assert [d["label"] for d in found["last"]] == [d["label"] for d in offline["decisions"]], errors
