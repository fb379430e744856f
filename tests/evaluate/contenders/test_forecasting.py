"""The next sample as a task, and registered estimators that forecast it."""

import re

import numpy as np
import pytest

from neuro import models
from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import ConfigError, DataError
from neuro.evaluate import Split, evaluate
from neuro.evaluate.contenders.floors import Flat, Floor
from neuro.evaluate.contenders.forecasting import Forecast, NextSample, forecaster
from neuro.evaluate.suite.entrants import entrants
from neuro.evaluate.suite.offline import offline_task

PERIOD = 5
SUITE = {"preset": "default", "steps": 1, "seeds": 1, "seed": 0, "minutes": None}


def series(n=3000, seed=0, lag=PERIOD):
    """Two channels of known autoregressions: at lag 5 (0.8), and at lags 1 and 2."""
    e = np.random.default_rng(seed).standard_normal((2, n))
    for t in range(lag, n):
        e[0, t] += 0.8 * e[0, t - lag]
        e[1, t] += 0.5 * e[1, t - 1] - 0.3 * e[1, t - 2]
    return e


def recording(x, segments=None):
    axis = Axis(["a", "b"], "eeg")
    signal = Regular(x, 100, "uV", axis, "eeg", segments=segments)
    return Recording({"x": signal}, dataset="d", subject="01", run="1")


@pytest.fixture(scope="module")
def index():
    return NextSample("x", 8)([recording(series())])


def test_target_is_the_sample_after_the_window():
    x = np.arange(60.0).reshape(2, 30)
    w = NextSample("x", 4, every=3)([recording(x)])
    for i in range(len(w)):
        np.testing.assert_array_equal(w.batch([i]).x[0], x[:, w.start[i] : w.stop[i]])
        np.testing.assert_array_equal(w.target[i], x[:, w.stop[i]])
    assert np.diff(w.start).tolist() == [3] * (len(w) - 1)


def test_no_window_looks_over_a_border():
    x = np.arange(60.0).reshape(2, 30)
    w = NextSample("x", 4)([recording(x, np.array([[0, 12], [12, 30]]))])
    # of 12 and 18 samples 8 and 14 have four before them
    assert len(w) == 8 + 14
    assert all((s < 12) == (t < 12) for s, t in zip(w.start, w.stop, strict=True))


def test_ar_net_forecasts_as_well_as_the_process_allows(index):
    model = Forecast(models.create("ar_net", n_lags=8, epochs=3))
    results = evaluate(
        {"ar_net": (Flat(), model)}, index, split=Split("time", test=0.5), task="regression",
        floors=[Floor("lags", Flat(), "ridge"), "constant"], seeds=1, shuffles=1,
        metrics=["r2"], controls=("shuffled_labels",),
    )  # fmt: skip
    row = results.row("ar_net", "r2")
    # 0.64 of the first channel's variance, and 1 - (1 - 0.09) (1 - (0.5 / 1.3)**2) = 0.225
    # of the second's; standard error over 1,500 samples about 0.02
    assert row.value == pytest.approx((0.64 + 0.225) / 2, abs=0.05)
    assert results.row("ar_net", "r2", control="shuffled_labels").value < 0.05


def test_predictions_look_into_their_own_window_alone(index):
    made = models.create("ar_net", "default", n_lags=8, epochs=2)
    forecast = Forecast(made).fit(Flat()(index.batch(range(500))), index.target[:500])
    x = Flat()(index.batch([3, 700, 41]))
    together = forecast.predict(x)
    alone = np.concatenate([forecast.predict(row[None]) for row in x])
    np.testing.assert_array_equal(together, alone)
    assert together.shape == (3, 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [("labels", "not what is asked for"), ("short", "looks back 20 samples, the windows hold 8")],
)
def test_where_an_estimator_does_not_fit_the_reason_is_stated(index, change, match):
    if change == "labels":
        w = windows([recording(series(500))], stream="x", length_s=0.5, label=lambda r, a, b: a)
    else:
        w = index
    with pytest.raises(ConfigError, match=match):
        forecaster("ar_net", "default", w, 0)
    found = entrants(["ar_net"], w, Split("time", test=0.5), **SUITE)
    assert not found.fitting
    assert re.search(match, found.unfit["ar_net"])


def test_what_an_estimator_cannot_learn_from_keeps_it_out_of_the_table(index):
    # potentials are no counts
    with pytest.raises(ConfigError, match=r"tried on 200 windows: .*[Cc]ounts"):
        forecaster("poisson_glm", "default", index, 0)


def test_a_line_through_counts_is_no_likelihood():
    rng = np.random.default_rng(0)
    x = np.zeros((2, 1500))
    for t in range(1, 1500):  # after many spikes none: the line goes below 0
        x[:, t] = rng.poisson(np.where(x[:, t - 1] > 0, 0.01, 2.0))
    axis = Axis(["a", "b"], "unit")
    rec = Recording({"x": Regular(x, 20, "counts", axis, "spikes")}, dataset="d")
    w = NextSample("x", 20)([rec])
    with pytest.raises(ConfigError, match="less than no spike"):
        forecaster("ar_net", "default", w, 0)


def test_what_is_no_sample_is_no_forecast(index):
    class States:
        def fit(self, x):
            return self

        def predict(self, x):
            return [np.zeros(x.shape[1])]

    forecast = Forecast(States()).fit(Flat()(index.batch(range(5))), index.target[:5])
    with pytest.raises(DataError, match="no samples"):
        forecast.predict(Flat()(index.batch(range(5))))


@pytest.mark.slow
@pytest.mark.network
def test_the_registered_glm_forecasts_spikes_beside_the_floors(dataset):
    task = offline_task("head_direction_next_spikes")
    w = task.cut(dataset("head_direction"))
    found = entrants(["ar_net", "poisson_glm"], w, task.split, **SUITE)
    assert "poisson_glm" in found.fitting
    model = found.fitting["poisson_glm"]
    results = evaluate(
        {"poisson_glm": model}, w, split=task.split, task=task.kind, seeds=1, controls=(),
        floors=["rates", "constant"],
    )  # fmt: skip
    assert results.row("constant").value < 0
    # measured 1.30 [1.19, 1.44] and 1.11 [1.02, 1.23] bits a spike
    assert results.row("poisson_glm").lo > 1.1
    assert results.row("rates").lo > 0.9
    assert results.row("poisson_glm").value > results.row("rates").value


@pytest.mark.network
def test_ar_net_takes_part_in_the_suite_where_the_next_sample_is_asked_for(dataset):
    w = offline_task("eyes_next_sample").cut(dataset("eyes"))
    # 98 trials of a second at 128 Hz, every fourth of the 108 samples with 20 before them
    assert len(w) == 98 * 27
    found = entrants(["ar_net"], w, Split("run", test="test"), **SUITE)
    assert list(found.fitting) == ["ar_net"]
    assert not found.unfit


def test_what_shuffled_labels_leave_as_it_is_has_no_line_of_that_name():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (2, 600)).astype(np.float64)
    rec = recording(counts)
    stream = rec.regular("x")
    rec = rec.with_stream(
        "x", Regular(counts, stream.rate, "counts", Axis(["a", "b"], "unit"), "spikes")
    )
    w = NextSample("x", 12)([rec])
    model = Forecast(models.create("poisson_glm", preset="tiny"))
    results = evaluate(
        {"poisson_glm": (Flat(), model)}, w, split=Split("time", test=0.5), task="regression",
        floors=["constant"], seeds=1, shuffles=1, metrics=["r2"], controls=("shuffled_labels",),
    )  # fmt: skip
    assert {row.control for row in results.rows if row.model == "poisson_glm"} == {""}
