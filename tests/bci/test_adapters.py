import sys
import types

import numpy as np
import pytest

import neuro
from neuro.bci import Settings, Workspace
from neuro.bci.adapters import export
from neuro.bci.adapters.openvibe import OpenViBEDecoder
from neuro.errors import ConfigError, ContractError, DataError, FileError
from neuro.stream import Covariance, Plan, Power, load_bundle

CHUNK = 32


@pytest.fixture
def trained(workspace):
    workspace.train(("C3;12", "C4;12"))
    return workspace


@pytest.fixture
def fourth(runs):
    """Signal, onsets and labels of a run that no decoder has seen."""
    recording = neuro.read(runs[3])
    signal = recording.streams["eeg"].values().astype(np.float64)
    return signal, recording.events.onset_s, recording.events.type


@pytest.fixture
def offline(trained, runs):
    return [d.label for d in trained.decoder().replay(neuro.read(runs[3]))]


# ---- OpenViBE: a stand-in of what its Python 3 box offers ---------------------------


class Header:
    def __init__(self, names, n, rate):
        self.dimensionSizes = [len(names), n]
        self.dimensionLabels = [*names, *[""] * n]
        self.samplingRate = rate


class Buffer(list):
    def __init__(self, values, start):
        super().__init__(values)
        self.startTime = start


class Stimulation:
    def __init__(self, identifier, date, duration):
        self.identifier, self.date, self.duration = identifier, date, duration


class StimulationSet(list):
    def __init__(self, start, stop):
        super().__init__()


class Marker:
    def __init__(self, start, stop): ...


class Queue(list):
    """First in, first out, as the box's inputs are."""

    def pop(self):
        return super().pop(0)


class Box:
    def __init__(self):
        self.input = [Queue(), Queue()]
        self.output = [[]]
        self.setting = {}
        self.now = 0.0

    def getCurrentTime(self):
        return self.now

    def getClock(self):
        return 64


STIMULATIONS = {"OVTK_GDF_Left": 769, "OVTK_GDF_Right": 770}


def loaded(path, bundle):
    module = types.ModuleType("box")
    module.__dict__.update(
        OVBox=Box, OVSignalHeader=Header, OVSignalBuffer=Buffer, OVStimulation=Stimulation,
        OVStimulationSet=StimulationSet, OVStimulationHeader=Marker, OVStimulationEnd=Marker,
        OpenViBE_stimulation=STIMULATIONS,
    )  # fmt: skip
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), module.__dict__)
    module.box.setting["bundle"] = str(bundle)
    return module.box


def test_the_box_decides_what_the_replay_decides(trained, fourth, offline, tmp_path, capsys):
    signal, onsets, labels = fourth
    folder = export(trained, tmp_path / "ov", to="openvibe")
    box = loaded(folder / "neuro_box.py", folder / "decoder")
    box.initialize()
    box.input[0].append(Header(("C3", "Cz", "C4", "O1"), CHUNK, 250))
    sent = []
    for start in range(0, signal.shape[1], CHUNK):
        block = signal[:, start : start + CHUNK]
        box.now = (start + CHUNK) / 250
        box.input[0].append(Buffer(block.ravel().tolist(), start / 250))
        due = StimulationSet(0, 0)
        for onset, label in zip(onsets, labels, strict=True):
            if start <= round(onset * 250) < start + CHUNK:
                due.append(Stimulation(769 if label == "left" else 770, onset, 0))
                due.append(Stimulation(32775, onset, 0))  # something that is no cue
        box.input[1].append(due)
        box.process()
        sent += [s.identifier for s in box.output[0][-1]]
    box.uninitialize()
    assert [{769: "left", 770: "right"}[s] for s in sent] == offline
    assert "as it is" in capsys.readouterr().out


def test_openvibe_with_another_signal_is_refused(trained):
    cues, answers = {769: "left"}, {"left": 769, "right": 770}
    box = OpenViBEDecoder(trained.bundle(), cues=cues, answers=answers)
    assert box.decide() == []
    with pytest.raises(ConfigError, match="before the signal's header"):
        box.buffer([0.0] * 4, 0.0)
    with pytest.raises(ContractError, match="512 Hz"):
        box.header(("C3", "Cz", "C4", "O1"), 512)
    with pytest.raises(ConfigError, match="No stimulation for right"):
        OpenViBEDecoder(trained.bundle(), cues=cues, answers={"left": 769})


# ---- Timeflux -------------------------------------------------------------------------


def test_the_node_decides_what_the_replay_decides(trained, fourth, offline, tmp_path, monkeypatch):
    pytest.importorskip("timeflux.core.node", reason="timeflux is not installed")
    import pandas as pd

    signal, onsets, labels = fourth
    folder = export(trained, tmp_path / "tf", to="timeflux")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("neuro_node", None)
    import neuro_node

    node = neuro_node.NeuroDecoder()
    zero = pd.Timestamp("2026-01-01")
    told = []
    for start in range(0, signal.shape[1], CHUNK):
        block = signal[:, start : start + CHUNK]
        index = zero + pd.to_timedelta((start + np.arange(block.shape[1])) / 250, unit="s")
        node.clear()
        node.i.data = pd.DataFrame(block.T, index=index, columns=["C3", "Cz", "C4", "O1"])
        here = [
            (zero + pd.to_timedelta(onset, unit="s"), label)
            for onset, label in zip(onsets, labels, strict=True)
            if start <= round(onset * 250) < start + CHUNK
        ]
        if here:
            node.i_events.data = pd.DataFrame(
                {"label": [c for _, c in here]}, index=[t for t, _ in here]
            )
        node.update()
        if node.o_events.ready():
            told += node.o_events.data["label"].tolist()
    sys.modules.pop("neuro_node", None)
    assert told == offline


# ---- scikit-learn ---------------------------------------------------------------------


class TestTrialFeatures:
    settings = Settings(plan=Plan(0.2, 1.5, 0.5, 0.25), family=Power(fmin=6, fmax=30))

    def epochs(self, fourth):
        signal, onsets, labels = fourth
        starts = np.round(onsets * 250).astype(int)
        return np.stack([signal[:, s : s + 500] for s in starts]), labels

    def test_features_are_those_of_the_session(self, workspace, fourth, runs):
        from neuro.bci.adapters.sklearn import TrialFeatures

        x, _ = self.epochs(fourth)
        found = TrialFeatures(self.settings, ["C3", "Cz", "C4", "O1"], 250).fit_transform(x)
        run = workspace.add_run(runs[3])
        own = workspace.extract([run.id]).values
        np.testing.assert_array_equal(found, own.reshape(len(own), -1))

    def test_it_clones_and_cross_validates(self, fourth):
        from sklearn.base import clone
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline

        from neuro.bci.adapters.sklearn import TrialFeatures

        features = TrialFeatures(self.settings, ["C3", "Cz", "C4", "O1"], 250)
        assert clone(features).settings is not None
        x, y = self.epochs(fourth)
        model = make_pipeline(features, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
        assert cross_val_score(model, x, y, cv=2).mean() > 0.7

    def test_epochs_that_do_not_hold_the_plan_are_refused(self, fourth):
        from neuro.bci.adapters.sklearn import TrialFeatures

        x, _ = self.epochs(fourth)
        features = TrialFeatures(self.settings, ["C3", "Cz", "C4", "O1"], 250)
        with pytest.raises(DataError, match="is not inside an epoch of 1 s"):
            features.fit(x[:, :, :250])
        with pytest.raises(DataError, match=r"\(n_trials, 4, n_times\), got \(10, 3, 500\)"):
            features.fit(x[:, :3])
        x[2] = np.nan
        with pytest.raises(DataError, match="Epoch 2 gives no features"):
            features.fit(x).transform(x)


# ---- export ---------------------------------------------------------------------------


def test_a_bundle_that_was_exported_is_the_decoder(trained, runs, offline, tmp_path):
    folder = export(trained, tmp_path / "out")
    found = load_bundle(folder / "decoder").replay(neuro.read(runs[3]))
    assert [d.label for d in found] == offline
    with pytest.raises(FileError, match="exists already"):
        export(trained, tmp_path / "out")
    with pytest.raises(ConfigError, match="No export for 'openvib'"):
        export(trained, tmp_path / "other", to="openvib")


def test_covariances_travel_too(workspace, runs, tmp_path):
    workspace.settings = Settings(
        plan=Plan(0.2, 1.5, 0.5, 0.25), l_freq=8, h_freq=20, family=Covariance()
    )
    workspace.train((), kind="tangent")
    folder = export(workspace, tmp_path / "out")
    again = Workspace.open(workspace.folder)
    a = load_bundle(folder / "decoder").replay(neuro.read(runs[3]))
    b = again.decoder().replay(neuro.read(runs[3]))
    assert [d.probabilities for d in a] == [d.probabilities for d in b]
    assert sum(d.label == d.cue for d in a) >= 9
