import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import ConfigError, DataError
from neuro.evaluate import (
    BandPower,
    Connectivity,
    Counts,
    Floor,
    LaggedBandPower,
    Mean,
    Task,
    TimeBins,
    floors_for,
)
from neuro.evaluate.contenders.floors import choose_floors

TWO = Task("classification", classes=("a", "b"))


def cut(x, sfreq=100, length_s=1.0, modality="eeg", unit="uV"):
    axis = Axis([f"c{i}" for i in range(len(x))], modality)
    rec = Recording({"x": Regular(x, sfreq, unit, axis, modality)})
    return windows(rec, stream="x", length_s=length_s)


def names(w, task=TWO):
    return [f.name for f in floors_for(w, task)]


def test_time_bins_are_means_of_equal_bins():
    x = np.arange(20.0).reshape(2, 10)
    got = TimeBins(0.05)(cut(x, length_s=0.1).batch())
    np.testing.assert_allclose(got, [[2.0, 7.0, 12.0, 17.0]])


def test_bins_never_outnumber_samples():
    x = np.arange(6.0).reshape(2, 3)
    assert TimeBins(1e-4)(cut(x, length_s=0.03).batch()).shape == (1, 6)


def test_missing_samples_do_not_enter_a_mean():
    x = np.ones((1, 10))
    x[0, 3] = np.nan
    w = cut(x, length_s=0.1)
    np.testing.assert_allclose(TimeBins(0.05)(w.batch()), [[1.0, 1.0]])
    np.testing.assert_allclose(Mean()(w.batch()), [[1.0]])


def test_band_power_finds_the_band_and_scales_with_amplitude():
    t = np.arange(400) / 100
    x = np.stack([np.sin(2 * np.pi * 10 * t), 3 * np.sin(2 * np.pi * 10 * t)])
    power = BandPower()(cut(x, length_s=4).batch())[0].reshape(2, -1)
    assert power.argmax(1).tolist() == [2, 2]
    # power goes with the square of amplitude
    assert power[1, 2] - power[0, 2] == pytest.approx(2 * np.log(3), abs=1e-3)


def test_band_power_of_a_silent_channel_is_finite():
    x = np.stack([np.zeros(200), np.random.default_rng(0).normal(size=200)])
    assert np.isfinite(BandPower()(cut(x, length_s=2).batch())).all()


def test_windows_too_short_for_any_band():
    with pytest.raises(DataError, match="none of the bands"):
        BandPower(((200.0, 300.0),))(cut(np.ones((1, 100))).batch())


def test_band_power_is_that_of_the_signal_room():
    from neuro.signal import BANDS, band_power

    x = np.random.default_rng(0).normal(size=(3, 400))
    got = BandPower()(cut(x, length_s=4).batch())[0].reshape(3, -1)
    want = np.log(band_power(x - x.mean(1, keepdims=True), 100, BANDS, length_s=4))
    # the window is stored in float32
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_bands_end_at_the_nyquist_frequency():
    x = np.random.default_rng(0).normal(size=(1, 120))
    # at 60 Hz the last band is 30 to 30 Hz: nothing is left of it
    assert BandPower()(cut(x, sfreq=60, length_s=2).batch()).shape == (1, 4)


def test_lagged_band_power_says_when():
    t = np.arange(800) / 100
    x = np.where((t >= 4) & (t < 6), np.sin(2 * np.pi * 10 * t), 0.01 * np.sin(2 * np.pi * 10 * t))
    power = LaggedBandPower(2.0)(cut(x[None], length_s=8).batch()).reshape(4, 5)
    assert power[:, 2].argmax() == 2
    # amplitude 1 against 0.01
    assert power[2, 2] - power[1, 2] == pytest.approx(2 * np.log(100), abs=0.01)


def test_long_windows_with_numbers_to_predict_have_lagged_power():
    w = cut(np.random.default_rng(0).normal(size=(2, 3200)), length_s=16)
    kinds = {f.name: f.estimator for f in floors_for(w, Task("regression"))}
    assert kinds["lagged_band_power"] == "ridge"
    assert "lagged_band_power" not in names(w)


def test_connectivity_is_fisher_z_of_the_upper_triangle():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 50))
    got = Connectivity()(cut(x, length_s=0.5).batch())[0]
    r = np.corrcoef(x)
    np.testing.assert_allclose(got, np.arctanh(r[np.triu_indices(3, 1)]), atol=1e-6)


def test_connectivity_of_a_constant_region_is_zero():
    x = np.random.default_rng(1).normal(size=(3, 50))
    x[1] = 4.0
    assert Connectivity()(cut(x, length_s=0.5).batch())[0].tolist()[0::2] == [0.0, 0.0]


def test_floors_follow_the_modality():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2000))
    assert names(cut(x)) == [
        "band_power",
        "tangent_covariance",
        "time_bins",
        "nearest",
        "constant",
    ]
    assert names(cut(x, modality="bold", unit="z", sfreq=1, length_s=5)) == [
        "mean",
        "time_bins",
        "nearest",
        "constant",
    ]
    one = cut(x, modality="bold", unit="z", sfreq=1, length_s=1)
    assert names(one) == ["mean", "nearest", "constant"]
    long = names(cut(x, modality="bold", unit="z", sfreq=1, length_s=20))
    assert {"connectivity", "tangent_connectivity"} <= set(long)
    counts = cut(rng.poisson(1, (4, 2000)), modality="spikes", unit="counts", length_s=0.1)
    assert names(counts) == ["rates", "naive_bayes_poisson", "time_bins", "nearest", "constant"]


def test_regression_has_ridge_where_classes_have_lda():
    w = cut(np.random.default_rng(0).normal(size=(2, 1000)))
    kinds = {f.name: f.estimator for f in floors_for(w, Task("regression"))}
    assert kinds["time_bins"] == "ridge"
    assert kinds["band_power"] == "ridge"


def test_counts_are_sums():
    x = np.ones((2, 50))
    np.testing.assert_allclose(Counts()(cut(x, length_s=0.5).batch()), [[50, 50]])


def test_floors_by_name():
    w = cut(np.random.default_rng(0).normal(size=(2, 1000)))
    own = Floor("mine", Mean(), "lda")
    chosen = choose_floors(["time_bins", own], w, TWO, bin_s=0.25)
    assert chosen[0].features == TimeBins(0.25)
    assert chosen[1] is own
    with pytest.raises(ConfigError, match="'time_bins'"):
        choose_floors(["timebins"], w, TWO)
    with pytest.raises(ConfigError, match="own name"):
        choose_floors([own, own], w, TWO)
