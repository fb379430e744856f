"""Predicting how many spikes: the likelihood of counts, its floors and its guards."""

from dataclasses import replace

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, pair, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError, LeakageError
from neuro.evaluate import Circular, FineTune, Split, Task, evaluate, floors_for
from neuro.evaluate.contenders.roster import contenders
from neuro.evaluate.probing.counts import MeanRate, PoissonGLM, own_likelihood
from neuro.evaluate.probing.fitting import build
from neuro.evaluate.suite.offline import StreamTarget, offline_task
from neuro.evaluate.task import Predicted

HALVES = Split("time", test=0.5)
QUICK = {"split": HALVES, "task": "counts", "seeds": 1, "controls": ()}


class Known:
    """The simulator's own rates, from the angle."""

    def __init__(self, truth, length_s, scale=1.0):
        self.truth, self.length_s, self.scale = truth, length_s, scale

    def fit(self, x, y):
        return self

    def predict(self, x):
        t = self.truth
        tuning = t["concentration"] * np.cos(x[:, :, None] - np.nan_to_num(t["preferred_rad"]))
        tuning = np.where(np.isfinite(t["preferred_rad"]), tuning, 0.0)
        rate = np.exp(t["log_rate"] + tuning).mean(1)
        return rate * self.length_s * self.scale


@pytest.fixture(scope="module")
def tuned():
    """Units without couplings, so that the angle is all there is to know."""
    return synthetic.spikes(seed=3, coupling=0.0, duration_s=400, n_units=6, n_tuned=4)


def counted(made, length_s=0.2):
    return windows(
        made.recordings, stream="head_angle", length_s=length_s, label=StreamTarget("spikes")
    )


@pytest.fixture(scope="module")
def scored(tuned):
    known = {"truth": Known(tuned.truth, 0.2), "half": Known(tuned.truth, 0.2, 0.5)}
    return evaluate(known, counted(tuned), **QUICK)


def test_a_glm_of_the_angle_comes_close_to_the_simulators_own_rates(scored):
    truth, glm = scored.row("truth"), scored.row("harmonics")
    assert glm.unit == "stretch"
    assert truth.value > 0.4
    # 12 weights a unit from 1,000 windows: estimated to lose about
    # 12 / (2 ln 2 x 200 s x 8 Hz) = 0.005 bits a spike
    assert truth.value - 0.02 < glm.value <= truth.value
    assert glm.lo < truth.value


def test_what_knows_nothing_is_not_above_the_mean_rate(scored):
    constant = scored.row("constant")
    # the test part's own mean rate is what 0 stands for; the training part's differs a little
    assert -0.1 < constant.value <= 0
    assert scored.row("constant", "deviance_explained").value <= 0


def test_right_shape_and_wrong_height_is_not_forgiven(scored, tuned):
    truth, half = scored.row("truth").value, scored.row("half").value
    w = counted(tuned)
    test = HALVES.rows(w)[0][1]
    angle = w.batch(test).x.numpy().reshape(len(test), -1)
    expected = Known(tuned.truth, 0.2).predict(angle).sum() / w.target[test].sum()
    # half the rate: ln 2 nats lost a spike, half of what was expected saved
    assert truth - half == pytest.approx(1 - expected / 2 / np.log(2), abs=1e-6)


def test_past_counts_predict_coupled_units_and_nothing_else():
    made = {c: synthetic.spikes(seed=1, n_tuned=0, n_units=5, n_couplings=6, coupling=c,
                                duration_s=240) for c in (0.0, 2.5)}  # fmt: skip
    bits = {}
    for coupling, simulation in made.items():
        (rec,) = simulation.recordings
        binned = rec.stream("spikes").bin(0.02)
        rec = rec.with_stream("counts", binned, "bin 0.02 s")
        index = pair(rec, window_s=0.06, eeg_stream="counts", fmri_stream="counts")
        results = evaluate(None, index, floors=["time_bins", "constant"], bin_s=0.02, **QUICK)
        bits[coupling] = results.row("time_bins")
    # measured 0.010 [0.004, 0.043] with couplings and -0.000 without
    assert bits[0.0].value < 0.002
    assert bits[2.5].lo > 0.002


def test_the_guards_are_those_of_every_task(tuned):
    w = counted(tuned)
    rows = np.arange(len(w))
    with pytest.raises(LeakageError):
        evaluate(None, w, **{**QUICK, "split": (rows[:600], rows[500:])})
    with pytest.raises(DataError, match="whole numbers"):
        Task("counts").target(replace(w, target=np.full(len(w), 0.5)))


def test_a_window_outside_of_what_was_recorded_has_no_count(tuned):
    (rec,) = tuned.recordings
    assert np.isnan(StreamTarget("spikes")(rec, 399.9, 400.1)).all()
    inside = StreamTarget("spikes")(rec, 0.0, 400.0)
    assert inside.sum() == len(rec.stream("spikes").times_s)


def test_shuffled_counts_leave_nothing_to_a_glm(tuned):
    options = {**QUICK, "controls": "shuffled_labels"}
    results = evaluate(None, counted(tuned), floors=["harmonics"], shuffles=2, **options)
    assert results.row("harmonics", control="shuffled_labels").value < 0.01


# ---- contenders with a likelihood of their own ---------------------------------------


class Spread:
    """Negative binomial around the mean rate; variance m + m**2 / size."""

    def __init__(self, size, slip=0.0):
        self.size, self.slip = size, slip

    def fit(self, x, y):
        self.mean = y.mean(0)
        return self

    def predict(self, x):
        return np.tile(self.mean, (len(x), 1))

    def log_likelihood(self, x, y):
        from scipy.stats import nbinom

        return nbinom.logpmf(y, self.size, self.size / (self.size + self.mean)) + self.slip


@pytest.fixture(scope="module")
def bursts():
    """Counts of variance m + m**2: a gamma rate that nothing predicts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 3000))
    y = rng.poisson(rng.gamma(1.0, 2.0, (3000, 2)))
    rec = Recording({"x": Regular(x, 10, "au", Axis(["a"], "misc"), "behaviour")}, dataset="d")
    return windows(
        rec, stream="x", length_s=0.1, label=lambda r, a, b: y[round(a * 10)].astype(float)
    )


def test_a_decoder_is_scored_by_the_distribution_it_gives(bursts, tmp_path):
    from scipy.stats import nbinom, poisson

    models = {"spread": Spread(1.0)}
    results = evaluate(models, bursts, floors=["constant"], out=tmp_path, **QUICK)
    # exact gain a spike of a negative binomial over a Poisson of the same mean 2
    k = np.arange(400)
    p = nbinom.pmf(k, 1, 1 / 3)
    want = (p * (nbinom.logpmf(k, 1, 1 / 3) - poisson.logpmf(k, 2.0))).sum() / 2 / np.log(2)
    # 6,000 spikes; standard error of the mean gain about 0.02
    assert results.row("spread").value == pytest.approx(want, abs=0.06)
    assert results.row("constant").value == pytest.approx(0.0, abs=0.01)
    again = evaluate(models, bursts, floors=["constant"], out=tmp_path, **QUICK)
    assert again.row("spread").value == results.row("spread").value


@pytest.mark.parametrize("slip", [0.1, 3.0], ids=["adds-up-to-more", "above-zero"])
def test_a_likelihood_that_is_none_is_refused(bursts, slip):
    with pytest.raises(DataError, match="no logarithm of a probability"):
        evaluate({"m": Spread(1.0, slip)}, bursts, floors=["constant"], **QUICK)


def test_a_likelihood_of_the_wrong_shape_is_refused():
    class Odd:
        def log_likelihood(self, x, y):
            return np.zeros((len(y), 3))

    said = Predicted(np.ones((4, 2)))
    with pytest.raises(DataError, match=r"shape \(4, 3\)"):
        own_likelihood(Odd(), Task("counts", n_outputs=2), said, said.label, said.label, "odd")


def test_expected_counts_below_zero_are_refused(bursts):
    from sklearn.linear_model import LinearRegression

    class Negative(LinearRegression):
        def predict(self, x):
            return super().predict(x) - 5.0

    with pytest.raises(DataError, match="log link"):
        evaluate({"m": Negative()}, bursts, floors=["constant"], **QUICK)


# ---- estimators and floors ----------------------------------------------------------


def test_glm_is_scikit_learns_at_the_penalty_it_chose():
    from sklearn.linear_model import PoissonRegressor

    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 3))
    y = rng.poisson(np.exp(0.3 + x @ [0.5, -0.3, 0.0]))
    glm = PoissonGLM().fit(x, y)
    # standardised columns that share a variance of 1, as every probe here has them
    z = (x - x.mean(0)) / x.std(0) / np.sqrt(3)
    theirs = PoissonRegressor(alpha=glm.penalty_[0] * y.mean(), tol=1e-8, max_iter=1000).fit(z, y)
    # both stop at a gradient of about 1e-6
    np.testing.assert_allclose(glm.predict(x), theirs.predict(z), rtol=1e-4)


def test_the_penalty_is_chosen_on_whole_groups():
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(12), 25)
    # a column for each group: it explains its own windows and no others
    own = (group[:, None] == np.arange(12)).astype(float)
    y = rng.poisson(np.exp(rng.normal(0, 1.0, 12)[group]))
    mixed = PoissonGLM().fit(own, y)
    nested = PoissonGLM().fit(own, y, group)
    assert nested.penalty_[0] > mixed.penalty_[0]


def test_many_more_features_than_axes_are_read_by_their_leading_ones():
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(500, 3))
    wide = hidden @ rng.normal(size=(3, 600)) + 0.1 * rng.normal(size=(500, 600))
    y = rng.poisson(np.exp(0.5 * hidden[:, 0]))
    glm = PoissonGLM().fit(wide[:300], y[:300])
    assert len(glm._weight) == 150
    said = np.log(glm.predict(wide[300:]))
    # 300 windows know the direction among three to about 0.1
    assert np.corrcoef(said, hidden[300:, 0])[0, 1] > 0.95


def test_silent_units_and_runaway_rates_stay_finite():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 1))
    y = np.column_stack([np.zeros(200), rng.poisson(np.exp(x[:, 0]))])
    glm = PoissonGLM().fit(x, y)
    far = glm.predict(np.array([[50.0]]))[0]
    assert far[0] == pytest.approx(0.5 / 200)
    assert far[1] == pytest.approx(2 * y.max())
    assert MeanRate().fit(x, y).predict(x)[0, 0] == 0.5 / 200


def test_harmonics_know_the_unit_and_the_seam():
    angle = np.array([[-3.1, 3.1, 0.5, 0.5]])
    made = {}
    for unit, scale in (("rad", 1.0), ("deg", 180 / np.pi)):
        signal = Regular(angle * scale, 2, unit, Axis(["a"], "angle"), "behaviour")
        w = windows(Recording({"a": signal}), stream="a", length_s=1.0)
        (floor,) = [f for f in floors_for(w, Task("counts")) if f.name == "harmonics"]
        made[unit] = floor.features(w.batch([0, 1]))
    # float32 degrees
    np.testing.assert_allclose(made["rad"], made["deg"], atol=1e-5)
    # across the seam the mean direction is pi, not 0
    assert made["rad"][0, 0] == pytest.approx(np.cos(3.1), abs=1e-6)
    assert Circular(n_harmonics=2)(w.batch([0])).shape == (1, 4)


@pytest.mark.parametrize(
    ("stream", "names"),
    [
        (("eeg", "uV", 250), ["band_power", "tangent_covariance", "time_bins", "constant"]),
        (("spikes", "counts", 250), ["rates", "time_bins", "constant"]),
        (("bold", "z", 1), ["mean", "connectivity", "tangent_connectivity", "time_bins",
                            "constant"]),
    ],
    ids=["eeg", "spikes", "bold"],
)  # fmt: skip
def test_floors_of_counts_are_glms(stream, names):
    modality, unit, rate = stream
    x = np.random.default_rng(0).poisson(3, (3, rate * 40)).astype(float)
    signal = Regular(x, rate, unit, Axis(["a", "b", "c"], modality), modality)
    w = windows(Recording({"x": signal}), stream="x", length_s=20.0 if rate == 1 else 1.0)
    floors = floors_for(w, Task("counts"))
    assert [f.name for f in floors] == names
    assert {f.estimator for f in floors} == {"poisson_glm", "constant"} | (
        {"tangent"} if len(names) > 3 else set()
    )
    assert isinstance(floors[0].build(Task("counts"), 0), PoissonGLM)


@pytest.mark.parametrize("name", ["ridge", "lda", "knn", "nearest", "poisson"])
def test_what_may_say_less_than_nothing_does_not_serve_counts(name):
    with pytest.raises(ConfigError, match="use 'poisson_glm'"):
        build(name, Task("counts"))
    with pytest.raises(ConfigError, match="does not serve regression"):
        build("poisson_glm", Task("regression"))


def test_networks_are_probed_by_a_glm_or_tuned_by_a_poisson_loss(tuned):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.layer = torch.nn.Linear(2, 16)

        def forward(self, batch):
            angle = batch.x[:, 0].mean(1)
            return torch.tanh(2 * self.layer(torch.stack([angle.cos(), angle.sin()], 1)))

    made = contenders({"net": Net()}, [], {}, task=Task("counts"), probe="auto", seeds=1,
                      shuffles=1)  # fmt: skip
    assert isinstance(made[0].estimator(Task("counts"), 0), PoissonGLM)
    w = counted(tuned)
    how = FineTune("full", steps=150, lr=1e-2, device="cpu")
    row = evaluate({"net": Net()}, w, floors=["constant"], probe=how, **QUICK).row("net")
    # the harmonics get 0.6; a squared error or an unscaled head stays below 0.2
    assert row.value > 0.35


@pytest.mark.slow
@pytest.mark.network
def test_head_direction_cells_are_predicted_from_the_head(dataset):
    task = offline_task("head_direction_spikes")
    index = task.cut(dataset("head_direction"))
    results = evaluate(None, index, split=task.split, task=task.kind, seeds=1, controls=())
    glm, constant = results.row("harmonics"), results.row("constant")
    # measured 1.28 bits a spike and 0.63 of the deviance
    assert glm.lo > 1.0
    assert results.row("harmonics", "deviance_explained").value > 0.55
    assert constant.value < 0
