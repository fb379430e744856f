import numpy as np
import pytest

from neuro.errors import LeakageError
from neuro.evaluate import Split, evaluate
from neuro.evaluate.overlap import training_overlap

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    def __init__(self, provenance=None):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.provenance = provenance or {}

    def forward(self, batch):
        return self.layer(batch.x.mean(2))


def trained_on(windows, key="train"):
    """Provenance as the training loop writes it."""
    from neuro.train.settings import hash_subject

    start, stop = windows.start_s(), windows.stop_s()
    listed = []
    for i in np.unique(windows.recording):
        rec, mine = windows.recordings[i], windows.recording == i
        listed.append(
            {
                "subject": hash_subject(rec.dataset, rec.subject),
                "run": hash_subject(rec.dataset, rec.subject, rec.session, rec.run),
                "start_s": float(start[mine].min()),
                "stop_s": float(stop[mine].max()),
            }
        )
    return {"training": [{"step": 1, "data": {key: {"recordings": listed}}}]}


def run(model, windows, split, **options):
    common = {"controls": (), "floors": ["constant"], "seeds": 1}
    return evaluate({"net": model}, windows, split=split, **common, **options)


def test_subjects_of_the_test_part_are_found(trials):
    w = trials(subjects=4, n=10)
    model = Net(trained_on(w))
    with pytest.raises(LeakageError, match=r"'net' was trained on what fold 0 tests: subject"):
        run(model, w, Split("subject", n=2))


def test_training_on_other_subjects_passes(trials):
    w = trials(subjects=6, n=10)
    split = Split("subject", test=("04", "05"))
    train, _ = w.split("subject", test=["04", "05"])
    cautions = run(Net(trained_on(train)), w, split).meta["cautions"]
    assert not [c for c in cautions if "trained" in c]


def test_published_weights_are_told_apart(trials):
    w = trials(subjects=4, n=10)
    source = {"reference": {"url": "", "licence": "", "corpora": ["TUEG"], "files": []}}
    cautions = run(Net(source), w, Split("subject", n=2)).meta["cautions"]
    (said,) = [c for c in cautions if "published weights" in c]
    assert "trained on TUEG" in said
    cautions = run(Net(), w, Split("subject", n=2)).meta["cautions"]
    assert not [c for c in cautions if "published" in c]


def test_forced_overlap_is_told(trials):
    w = trials(subjects=4, n=10)
    results = run(Net(trained_on(w)), w, Split("subject", n=2), allow_leakage=True)
    assert any("'net' was trained on" in c for c in results.meta["cautions"])


def test_time_that_only_touches_is_no_overlap(ramp):
    split = Split("time", test=0.5)
    (train, test) = split.rows(ramp)[0]
    half = trained_on(ramp.select(train))
    assert training_overlap(Net(half), ramp, test)["time"] == []
    assert training_overlap(Net(trained_on(ramp)), ramp, test)["time"] == ["ramp_01_1"]
    with pytest.raises(LeakageError, match="time of"):
        run(Net(trained_on(ramp)), ramp, split)


def test_validation_data_are_not_training_data(trials):
    w = trials(subjects=2, n=10)
    found = training_overlap(Net(trained_on(w, key="valid")), w, np.arange(20))
    assert found == {"subject": [], "run": [], "time": []}


def test_blocks_between_trained_blocks_are_a_caution_only(trials):
    w = trials()
    split = Split("block", test=0.5)
    model = Net(trained_on(w.select(split.rows(w)[0][0])))
    cautions = run(model, w, split).meta["cautions"]
    assert any("cannot exclude" in c for c in cautions)


def test_provenance_of_a_real_run_is_understood(trials, tmp_path):
    import neuro.models as models
    import neuro.train as training

    w = trials(subjects=3, n=8)
    model = models.create(
        "patch_mae",
        preset="tiny",
        n_times=w.n_times,
        sfreq=w.sfreq,
        ch_names=w.ch_names,
    )
    training.fit(model, w, steps=1, batch_size=4, out=tmp_path / "run")
    assert training_overlap(model, w, np.arange(8))["subject"] == ["00"]
