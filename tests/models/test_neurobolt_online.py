"""BOLD while EEG runs: the offline numbers, whatever the chunks; gaps, late and wrong triggers."""

import numpy as np
import pytest

import neuro.models
from neuro.data import Axis, Clock, Recording, Regular, pair
from neuro.errors import ConfigError, DataError, UnitError
from neuro.models._base import evaluating
from neuro.models.neurobolt import OnlineBOLD

SFREQ, TR, N_VOLUMES = 40, 2.1, 12
NAMES = tuple(f"ch{i}" for i in range(4))


@pytest.fixture(scope="module")
def model():
    return neuro.models.create("neurobolt", "tiny", ch_names=NAMES, n_outputs=3, head_scale=1.0)


@pytest.fixture
def eeg():
    rng = np.random.default_rng(0)
    return 20 * rng.standard_normal((4, round(N_VOLUMES * TR * SFREQ))).astype(np.float32)


VOLUMES = (TR * np.arange(N_VOLUMES)).tolist()


def _offline(model, eeg, **changes):
    """The same volumes from the finished recording, one window at a time."""
    bold = np.random.default_rng(1).standard_normal((1, N_VOLUMES))
    streams = {
        "eeg": Regular(eeg, SFREQ, "uV", Axis(list(NAMES), "eeg"), "eeg", **changes),
        "bold": Regular(bold, "1/2.1", "z", Axis(["a"], "roi"), "bold"),
    }
    paired = pair(Recording(streams, clocks={"bold": Clock(1.0, 0.0)}), window_s=4)
    with evaluating(model):
        found = [model(paired.batch([i])).prediction[0].numpy() for i in range(len(paired))]
    return paired.target_time_s, np.stack(found)


def _online(online, eeg, cuts):
    out = []
    for low, high in zip([0, *cuts], [*cuts, eeg.shape[1]], strict=True):
        due = [t for t in VOLUMES if low / SFREQ <= t < high / SFREQ]
        out += online.push(eeg[:, low:high], due)
    return [v.time_s for v in out], np.stack([v.values for v in out])


@pytest.mark.parametrize("step", [7, 100, 1000])
def test_numbers_are_the_offline_ones_for_any_chunks(model, eeg, step):
    times, values = _online(OnlineBOLD(model, tr=TR), eeg, range(step, eeg.shape[1], step))
    expected_times, expected = _offline(model, eeg)
    np.testing.assert_allclose(times, expected_times, atol=1e-9)
    assert len(times) == 10  # the first two volumes have less than 4 s before them
    np.testing.assert_array_equal(values, expected)


def test_a_model_in_training_predicts_as_in_use_and_stays_in_training(eeg):
    model = neuro.models.create(
        "neurobolt", "tiny", ch_names=NAMES, n_outputs=3, dropout=0.5, head_scale=1.0
    ).train()
    _, values = _online(OnlineBOLD(model), eeg, [500])
    assert model.training
    np.testing.assert_array_equal(values, _offline(model, eeg)[1])


def test_missing_samples_and_electrodes_are_masked_as_offline(model, eeg):
    eeg[1] = np.nan
    eeg[:, 300:320] = np.nan
    eeg[2, 400:410] = np.nan
    _, values = _online(OnlineBOLD(model), eeg, [333, 600])
    _, expected = _offline(model, np.nan_to_num(eeg), valid=~np.isnan(eeg))
    np.testing.assert_array_equal(values, expected)
    plain = _offline(model, np.nan_to_num(eeg))[1]
    assert not np.allclose(values, plain, atol=1e-4)


def test_a_volume_without_any_signal_is_nan(model):
    online = OnlineBOLD(model)
    (volume,) = online.push(np.full((4, 200), np.nan), [4.5])
    assert np.isnan(volume.values).all()
    assert volume.sample == 180


def test_no_window_spans_a_gap(model, eeg):
    online = OnlineBOLD(model)
    first = online.push(eeg[:, :200], [4.0, 5.0])
    second = online.push(eeg[:, 240:], [6.0, 9.9, 10.0], start=240)
    assert [v.time_s for v in first + second] == [4.0, 5.0, 10.0]
    alone = OnlineBOLD(model).push(eeg[:, 240:400], [4.0])
    np.testing.assert_array_equal(second[0].values, alone[0].values)


def test_volumes_may_be_told_ahead_or_a_little_late(model, eeg):
    ahead = OnlineBOLD(model)
    assert ahead.push(eeg[:, :100], [4.0, 8.0]) == []
    found = ahead.push(eeg[:, 100:200]) + ahead.push(eeg[:, 200:400])
    late = OnlineBOLD(model, late_s=0.5)
    late.push(eeg[:, :170])
    told = late.push(eeg[:, 170:300], [4.0])
    np.testing.assert_array_equal(told[0].values, found[0].values)
    assert [v.time_s for v in found] == [4.0, 8.0]
    with pytest.raises(DataError, match=r"at 6 s is told 1\.5 s late; .* raise late_s"):
        late.push(eeg[:, 300:310], [6.0])


def test_a_state_continues_in_another_object(model, eeg):
    whole, first, second = (OnlineBOLD(model, tr=TR) for _ in range(3))
    expected = whole.push(eeg, VOLUMES)
    out = first.push(eeg[:, :450], VOLUMES[:7])
    second.load_state_dict(first.state_dict())
    out += second.push(eeg[:, 450:], VOLUMES[7:])
    for a, b in zip(out, expected, strict=True):
        assert (a.time_s, a.sample) == (b.time_s, b.sample)
        np.testing.assert_array_equal(a.values, b.values)
    second.reset()
    np.testing.assert_array_equal(second.push(eeg, VOLUMES)[0].values, expected[0].values)
    with pytest.raises(DataError, match=r"Expected the entries \['buffer'"):
        second.load_state_dict({"buffer": np.zeros((4, 0))})
    with pytest.raises(DataError, match="belongs to another model"):
        second.load_state_dict({**first.state_dict(), "buffer": np.zeros((5, 10))})


def test_triggers_of_slices_and_other_trs_are_refused(model, eeg):
    online = OnlineBOLD(model, tr=TR)
    with pytest.raises(DataError, match=r"0 and 0\.07 s are 0\.07 s apart, .*triggers of slices"):
        online.push(eeg[:, :10], [0.0, 0.07])
    with pytest.raises(DataError, match=r"0 and 2 s are 2 s apart, no whole number of TRs of 2\.1"):
        OnlineBOLD(model, tr=2.1).push(eeg[:, :10], [0.0, 2.0])
    # a dropped volume is two TRs, jitter a hundredth
    OnlineBOLD(model, tr=TR).push(eeg[:, :10], [0.0, 4.2, 6.32])


def test_bad_input_is_refused_with_the_remedy(model, eeg):
    online = OnlineBOLD(model)
    with pytest.raises(DataError, match=r"shape \(4, n\), got float32 \(3, "):
        online.push(eeg[:3])
    with pytest.raises(DataError, match="give them in order"):
        online.push(eeg[:, :10], [3.0, 2.0])
    online.push(eeg[:, :10])
    with pytest.raises(DataError, match="start=5, but 10 samples have been seen"):
        online.push(eeg[:, :10], start=5)
    with pytest.raises(UnitError, match="Are they volts"):
        OnlineBOLD(model).push(1e-6 * eeg, [4.2])
    with pytest.raises(ConfigError, match="has no head"):
        OnlineBOLD(neuro.models.create("neurobolt", "tiny"))
    with pytest.raises(ConfigError, match="tr=0"):
        OnlineBOLD(model, tr=0)
