import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from neuro.errors import DataError
from neuro.evaluate import Results, Split, evaluate, figures, report
from neuro.evaluate.reporting.report import verdicts
from neuro.evaluate.results import Comparison, Row

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=alert(1)>$\\frac$'


class Page(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.depth, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link", "input", "hr"):
            self.depth.append(tag)

    def handle_endtag(self, tag):
        assert self.depth.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def hostile(trials, tmp_path_factory):
    from dataclasses import replace

    w = trials(1.5)
    axis = w.recordings[0].stream("x").axis
    stream = replace(w.recordings[0].stream("x"), axis=axis.replace(names=[HOSTILE, "b & c", "d"]))
    rec = w.recordings[0].replace(dataset=HOSTILE, subject=HOSTILE, streams={"x": stream})
    w = replace(w, recordings=(rec,), classes=(HOSTILE, "b"), axis=stream.axis)
    results = evaluate({HOSTILE: GaussianNB()}, w, split=Split("block", n=4), shuffles=2)
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(
        results,
        path,
        figures={HOSTILE: figures(w)},
        audit={HOSTILE: [HOSTILE]},
        title=HOSTILE,
        command=HOSTILE,
        notes=[HOSTILE],
    )
    return path.read_text()


def test_page_is_well_formed(hostile):
    assert Page(hostile).depth == []


def test_nothing_runs_and_nothing_is_fetched(hostile):
    page = Page(hostile)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "link"}
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "action"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/svg+xml;base64,", "#")), tag
    assert "@import" not in hostile
    assert not re.search(r"url\(", hostile)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_names_appear_as_text(hostile):
    assert "&lt;script&gt;alert" in hostile
    assert any(HOSTILE in text for text in Page(hostile).text)


def test_figures_are_images_without_scripts(hostile):
    sources = [a["src"] for t, a in Page(hostile).tags if t == "img"]
    assert len(sources) == 5  # scores, ROC, calibration, signals, spectra
    for source in sources:
        svg = base64.b64decode(source.split(",")[1]).decode()
        assert svg.lstrip().startswith("<?xml")
        assert "<script" not in svg
        assert all(ref.startswith("#") for ref in re.findall(r'xlink:href="([^"]*)"', svg))


def test_every_image_has_a_text(hostile):
    assert all(a.get("alt") for t, a in Page(hostile).tags if t == "img")


def row(model="net", kind="model", value=0.8, lo=0.7, hi=0.9, **more):
    common = {
        "dataset": "d",
        "control": "",
        "metric": "accuracy",
        "chance": 0.5,
        "higher_is_better": True,
        "unit": "block",
        "n_units": 40,
        "n_test": 40,
        "n_folds": 4,
        "n_seeds": 5,
        "seed_sd": 0.0,
        "n_constant": 0,
        "split": "4 folds by block",
        "leaky": False,
        "simulated": False,
    }
    return Row(model=model, kind=kind, value=value, lo=lo, hi=hi, **(common | more))


def judged(floor=(0.1, 0.05, 0.15), shuffled=(0.3, 0.2, 0.4), random=(0.1, 0.02, 0.2), **more):
    against = {"best floor": floor, "shuffled labels": shuffled, "random weights": random}
    comparisons = tuple(
        Comparison("d", "net", "accuracy", "time_bins" if role == "best floor" else role, role, *g)
        for role, g in against.items()
        if g is not None
    )
    rows = (row("time_bins", "floor", 0.7, 0.6, 0.8), row(**more))
    return verdicts(Results(rows, comparisons, {"primary": "accuracy"}))[0]


def test_verdict_of_a_model_that_beats_everything():
    out = judged()
    assert (out["floor_state"], out["null_state"]) == ("good", "good")
    assert out["gain"] == "+0.100 [0.050, 0.150]"
    assert out["floor"] == "time_bins 0.700"


def test_verdict_not_told_apart_from_the_floor():
    assert judged(floor=(0.02, -0.05, 0.09))["floor_state"] == "unclear"
    assert judged(floor=(-0.2, -0.3, -0.1))["floor_state"] == "bad"


def test_verdict_not_above_chance():
    out = judged(lo=0.45)
    assert out["null_state"] == "bad"
    assert out["null_text"] == "not above chance"


def test_verdict_not_above_shuffled_labels():
    assert judged(shuffled=(0.1, -0.1, 0.3))["null_text"] == "not above shuffled labels"


def test_verdict_random_weights_do_as_well():
    out = judged(random=(0.0, -0.1, 0.1))
    assert out["null_state"] == "unclear"
    assert "random weights" in out["null_text"]


def test_an_error_below_chance_is_good():
    out = judged(value=9.0, lo=7.0, hi=11.0, chance=90.0, higher_is_better=False)
    assert out["null_state"] == "good"


def test_a_leaky_score_is_never_called_good():
    out = judged(leaky=True)
    assert "good" not in (out["floor_state"], out["null_state"])
    assert "leaky" in out["null_text"]


def test_stamps(tmp_path):
    results = Results((row("f", "floor"), row(leaky=True)), meta={"primary": "accuracy"})
    text = report(results, tmp_path / "r.html", simulated=True).read_text()
    # title, first screen and the section of the data set
    assert text.count('class="stamp sim"') == 3
    assert 'class="stamp leak"' in text
    clean = Results((row("f", "floor"), row()), meta={"primary": "accuracy"})
    text = report(clean, tmp_path / "r.html").read_text()
    assert 'class="stamp' not in text


def test_several_data_sets_and_the_audit(tmp_path):
    many = [
        Results((row("f", "floor", dataset=name),), meta={"primary": "accuracy"})
        for name in ("one", "two")
    ]
    audit = {"one": ["sub-03 looks like sub-02"], "two": []}
    text = report(many, tmp_path / "r.html", audit=audit).read_text()
    assert "sub-03 looks like sub-02" in text
    assert text.count("nothing was found") == 1
    assert 'href="#set-1"' in text


def test_no_result_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no result"):
        report([], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_same_results_give_the_same_figures(trials, tmp_path):
    results = evaluate(None, trials(), split=Split("block", n=2), controls=(), floors=["mean"])
    pages = [results.to_html(tmp_path / f"{i}.html").read_text() for i in range(2)]
    images = [[a["src"] for t, a in Page(p).tags if t == "img"] for p in pages]
    assert images[0] == images[1]


def test_figures_of_a_network_show_its_reconstruction(trials):
    import neuro.models as models

    w = trials()
    model = models.create(
        "patch_mae", preset="tiny", n_times=w.n_times, sfreq=w.sfreq, ch_names=w.ch_names
    )
    made = figures(w, model)
    assert list(made) == ["Signals", "Spectra", "Reconstruction of hidden patches"]


def test_figures_of_spikes_and_regions():
    from neuro.data import Axis, Irregular, Recording, Regular, windows

    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 30, 200))
    spikes = Irregular(times, rng.integers(0, 3, 200), Axis(["a", "b", "c"], "unit"), [(0, 30)])
    rec = Recording({"spikes": spikes, "counts": spikes.bin(0.05)})
    assert list(figures(windows(rec, stream="counts", length_s=1.0))) == ["Spikes"]
    bold = Regular(rng.normal(size=(4, 90)), "1/2", "z", Axis(list("abcd"), "roi"), "bold")
    made = figures(windows(Recording({"bold": bold}), stream="bold", length_s=20))
    assert list(made) == ["Signals", "Spectra", "Functional connectivity"]


def test_first_screen_without_models_says_what_floors_reach(trials, tmp_path):
    results = evaluate(None, trials(1.5), split=Split("block", n=4), shuffles=2)
    text = results.to_html(tmp_path / "r.html").read_text()
    assert "What the floors reach" in text
    assert "Gain (+ is better)" not in text
    judged = verdicts(results)[0]
    assert judged["model"] == results.best_floor().model


def test_roc_and_calibration_of_model_and_best_floor(trials, tmp_path):
    w = trials(1.5)
    results = evaluate({"bayes": GaussianNB()}, w, split=Split("block", n=4), shuffles=2)
    assert {"roc", "calibration"} <= set(results.meta["curves"]["bayes"])
    text = results.to_html(tmp_path / "r.html").read_text()
    assert "ROC on sim" in text
    assert "Calibration on sim" in text
    again = Results.from_json(results.to_json())
    assert again.meta["curves"] == results.meta["curves"]


def test_learning_curve_and_measures_have_their_place(trials, tmp_path):
    import torch
    from torch import nn

    from neuro.evaluate import label_curve
    from neuro.evaluate.measures import measure

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Linear(50, 16), nn.ReLU(), nn.Linear(16, 4))

        def forward(self, batch):
            return self.body(batch.x).flatten(1)

    w, net = trials(1.5), Net()
    common = {"split": Split("block", n=2), "controls": (), "seeds": 1}
    parts = label_curve({"net": net}, w, shares=(0.5, 1.0), **common)
    found = measure(net, w, loss=lambda m, b: m(b).square().mean())
    text = report(
        parts[-1], tmp_path / "r.html", label_curves={"sim": parts}, measures={"sim": [found]}
    ).read_text()
    assert "Learning curve" in text
    assert "Activation sparsity" in text
    assert "Variance of the embedding" in text
    assert f"{found.sparsity.sparsity:.1%} of hidden activations" in text
    assert Page(text).depth == []


def test_a_narrow_screen_gets_its_own_figure(hostile):
    page = Page(hostile)
    (narrow,) = [a for t, a in page.tags if t == "source"]
    assert narrow["media"].startswith("(max-width")
    assert narrow["srcset"].startswith("data:image/svg+xml;base64,")
    wide = next(a["src"] for t, a in page.tags if t == "img")
    width = [
        float(re.search(r'width="([0-9.]+)pt"', base64.b64decode(x.split(",")[1]).decode())[1])
        for x in (narrow["srcset"], wide)
    ]
    assert width[0] < 0.7 * width[1]
