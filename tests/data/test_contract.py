from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.data import (
    Axis,
    InputContract,
    Irregular,
    Recording,
    Regular,
    Static,
    eeg_positions,
    windows,
)
from neuro.errors import ContractError, DataError, UnitError

MakeRec = Callable[..., Recording]


def _contract(**options: Any) -> InputContract:
    return InputContract(**({"modality": "eeg", "sfreq": 100, "unit": "uV"} | options))


def _rec(names: list[str], x: Any = None, rate: Any = 100, seconds: float = 10, **axis: Any) -> Any:
    n = round(seconds * rate)
    if x is None:
        x = 20 * np.random.default_rng(0).standard_normal((len(names), n))
    return Recording(
        {"eeg": Regular(np.asarray(x, np.float32), rate, "uV", Axis(names, "eeg", **axis), "eeg")},
        subject="01",
    )


# ---- the contract itself ---------------------------------------------------------


@given(
    st.fractions(Fraction(1, 10), Fraction(5000), max_denominator=50),
    st.sampled_from([None, ("Fz",), ("Fz", "Cz")]),
    st.sampled_from(["none", "zscore"]),
    st.sampled_from(["refuse", "mask", "interpolate"]),
    st.sampled_from([None, 1, 4096]),
)
def test_contracts_survive_json(sfreq: Any, names: Any, scaling: Any, missing: Any, n: Any) -> None:
    contract = _contract(
        sfreq=sfreq, ch_names=names, scaling=scaling, missing=missing, n_times=n, atlas="AAL"
    )
    assert InputContract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ch_names": ("Cz", "Cz")}, "twice"),
        ({"ch_names": ()}, "names no channel"),
        ({"scaling": "zscor"}, r"Did you mean 'zscore'\?"),
        ({"missing": "zero"}, "missing='zero'"),
        ({"reference": "Cz"}, "reference='Cz'"),
        ({"lowpass": 50.0}, "Nyquist"),
        ({"highpass": 0.0}, "Nyquist"),
        ({"highpass": 40.0, "lowpass": 30.0}, "not below lowpass"),
        ({"n_times": 0}, "at least one sample"),
    ],
)
def test_contracts_nobody_can_keep_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        _contract(**options)


def test_stored_contracts_with_unknown_or_missing_fields_are_refused() -> None:
    values = _contract().to_json()
    with pytest.raises(ContractError, match=r"Did you mean 'sfreq'\?"):
        InputContract.from_json(values | {"sfrq": 1})
    with pytest.raises(ContractError, match="incomplete"):
        InputContract.from_json({"modality": "eeg"})


# ---- check -----------------------------------------------------------------------


def test_what_a_model_must_never_be_fed_is_refused(make: MakeRec) -> None:
    batch = windows(make(), stream="eeg", length_s=1.0).batch([0])
    contract = _contract(ch_names=("Fz", "Cz", "Pz"), n_times=100)
    contract.check(batch)
    for change, message in [
        ({"unit": "V"}, "unit is 'V', the model takes 'uV'"),
        ({"unit": "au"}, "unit is 'au'"),
        ({"modality": "meg"}, "modality is 'meg'"),
        ({"sfreq": 200.0}, "sampled at 200 Hz, the model takes 100 Hz"),
        ({"ch_names": ("Cz", "Fz", "Pz")}, "another order: place 0 is 'Cz', the model takes 'Fz'"),
        ({"ch_names": ("Fz", "Cz", "Oz")}, r"missing \['Pz'\], not known to it \['Oz'\]"),
        ({"x": batch.x[..., :50]}, "50 samples, the model takes 100"),
    ]:
        with pytest.raises(ContractError, match=message):
            contract.check(replace(batch, **change))  # type: ignore[arg-type]


def test_a_scaled_model_takes_scaled_batches_only(make: MakeRec) -> None:
    contract = _contract(scaling="zscore")
    raw = windows(make(), stream="eeg", length_s=1.0).batch([0])
    with pytest.raises(ContractError, match="the model takes 'z'"):
        contract.check(raw)
    contract.check(windows(contract.conform(make()), stream="eeg", length_s=1.0).batch([0]))


# ---- conform: names and channels ---------------------------------------------------


def test_names_are_mended_and_channels_reordered() -> None:
    rec = _rec(["EEG FP1-REF", "EEG T3-REF", "EEG CZ-REF", "EMG 1"])
    out = _contract(ch_names=("T7", "Cz", "Fp1")).conform(rec)
    assert out.regular("eeg").axis.names == ("T7", "Cz", "Fp1")
    x = rec.regular("eeg").values()
    np.testing.assert_array_equal(out.regular("eeg").values(), x[[1, 2, 0]])
    assert out.provenance.steps == (
        "electrode names to the 10-10 system",
        "channels picked in the model's order (3)",
    )


def test_a_model_with_old_names_finds_its_channels_and_keeps_its_names() -> None:
    rec = _rec(["EEG T3-REF", "EEG CZ-REF"])
    old = ("T3", "CZ")
    for source in (rec, _rec(["T7", "Cz"]), _rec(["CZ", "T3"])):
        assert _contract(ch_names=old).conform(source).regular("eeg").axis.names == old


def test_recordings_a_model_was_trained_on_conform_to_its_contract() -> None:
    rec = _rec(["EEG T3-REF", "EEG CZ-REF"])
    contract = windows(rec, stream="eeg", length_s=1.0).contract()
    assert contract.conform(rec).regular("eeg").axis.names == ("EEG T3-REF", "EEG CZ-REF")
    assert contract.conform(rec).provenance.steps == ()


def test_two_names_of_one_electrode_are_refused() -> None:
    with pytest.raises(ContractError, match="mean the same electrode"):
        _contract(ch_names=("T7",)).conform(_rec(["T3", "T7"]))
    with pytest.raises(ContractError, match="one electrode in two ways"):
        _contract(ch_names=("T3", "T7")).conform(_rec(["T7", "Cz"]))


def test_contacts_of_depth_electrodes_keep_their_names() -> None:
    # contact 3 of an electrode T is no scalp site
    x = 50 * np.random.default_rng(0).standard_normal((2, 500))
    rec = Recording({"d": Regular(x, 100, "uV", Axis(["T3", "T4"], "seeg"), "ieeg")})
    out = _contract(modality="ieeg", ch_names=("T4", "T3")).conform(rec)
    assert out.regular("d").axis.names == ("T4", "T3")


def test_bipolar_channels_are_made_from_their_electrodes() -> None:
    rec = _rec(["Fp1", "F7", "T3"])
    out = _contract(ch_names=("Fp1-F7", "F7-T7")).conform(rec).regular("eeg")
    x = rec.regular("eeg").values()
    np.testing.assert_array_equal(out.values(), [x[0] - x[1], x[1] - x[2]])
    assert out.axis.positions is not None
    # float32 metres
    np.testing.assert_allclose(
        out.axis.positions[0], eeg_positions(["Fp1", "F7"]).mean(axis=0), atol=1e-7
    )


def test_a_bipolar_channel_with_a_bad_electrode_is_bad() -> None:
    rec = _rec(["Fp1", "F7", "T7"], bad=[True, False, False])
    out = _contract(ch_names=("Fp1-F7", "F7-T7")).conform(rec).regular("eeg")
    assert out.axis.bad.tolist() == [True, False]


def test_a_reference_average_leaves_every_sample_summing_to_zero() -> None:
    rec = _rec(["Fz", "Cz", "Pz", "Oz"], bad=[False, False, False, True])
    out = _contract(reference="average").conform(rec).regular("eeg")
    # float32 sums of values around 20
    np.testing.assert_allclose(out.values()[:3].sum(axis=0), 0, atol=1e-4)
    assert out.axis.reference == "average"
    again = _contract(reference="average").conform(Recording({"eeg": out}))
    assert again.provenance.steps == ()


def test_an_average_over_missing_samples_uses_those_there_are() -> None:
    x = np.random.default_rng(0).standard_normal((3, 500)) * 20
    x[0, 10], x[:, 20] = np.nan, np.nan
    out = _contract(reference="average").conform(_rec(["Fz", "Cz", "Pz"], x)).regular("eeg")
    y = out.values()
    assert y[1, 10] == pytest.approx(x[1, 10] - x[1:, 10].mean(), abs=1e-4)
    assert np.isnan(y[:, 20]).all()
    assert np.isfinite(y).sum() == 3 * 500 - 4


# ---- conform: missing channels -----------------------------------------------------


def test_missing_channels_are_refused_by_default() -> None:
    with pytest.raises(ContractError, match=r"Channels missing: O1.*set missing='mask'"):
        _contract(ch_names=("Cz", "O1")).conform(_rec(["Cz", "O2"]))


def test_missing_channels_can_be_masked() -> None:
    out = _contract(ch_names=("O1", "Cz"), missing="mask").conform(_rec(["Cz", "O2"]))
    assert "missing, masked: O1" in out.provenance.steps
    batch = windows(out, stream="eeg", length_s=1.0).batch([0])
    assert batch.channel_mask.tolist() == [[False, True]]
    assert (batch.x[:, 0] == 0).all()
    assert batch.time_mask.all()


def test_masked_channels_pass_filter_rate_and_scaling() -> None:
    contract = _contract(
        sfreq=50, ch_names=("O1", "Cz"), missing="mask", highpass=1.0, scaling="zscore"
    )
    batch = windows(contract.conform(_rec(["Cz", "O2"])), stream="eeg", length_s=1.0).batch()
    assert batch.channel_mask.tolist() == [[False, True]] * 10
    assert batch.x.isfinite().all()
    assert batch.time_mask.all()


def test_missing_channels_can_be_interpolated() -> None:
    # a smooth field over the scalp: splines must find it at the site left out
    names = ["Fz", "Cz", "Pz", "C3", "C4", "F3", "F4", "P3", "P4", "Oz", "T7", "T8", "FCz"]
    place = eeg_positions(names)
    course = 20 * np.sin(2 * np.pi * 3 * np.arange(1000) / 100)
    x = (place[:, 1:2] / 0.1) * course + (place[:, 2:] / 0.1) * course[::-1]
    whole = _rec(names, x)
    kept = [n for n in names if n != "FCz"]
    part = _rec(kept, x[[names.index(n) for n in kept]])
    out = _contract(ch_names=tuple(names), missing="interpolate").conform(part)
    truth, found = whole.regular("eeg").values()[-1], out.regular("eeg").values()[-1]
    assert np.corrcoef(truth, found)[0, 1] > 0.98
    assert found.std() == pytest.approx(truth.std(), rel=0.2)
    assert out.provenance.steps[0] == "spherical splines for FCz"


def test_channels_without_a_place_cannot_be_interpolated() -> None:
    rec = _rec(["Fz", "Cz", "Pz", "Oz"])
    with pytest.raises(ContractError, match="Use missing='mask'"):
        _contract(ch_names=("Fz", "EMG"), missing="interpolate").conform(rec)


def test_places_of_two_frames_are_never_mixed() -> None:
    rec = _rec(["Fz", "Cz"], positions=[[0, 0.05, 0.1], [0, 0, 0.12]], frame="head")
    axis = _contract(ch_names=("Cz", "O1", "Fz-Cz"), missing="mask").conform(rec)
    places = axis.regular("eeg").axis.positions
    assert places is not None
    np.testing.assert_allclose(places[0], [0, 0, 0.12], atol=1e-7)
    assert np.isnan(places[1]).all()
    np.testing.assert_allclose(places[2], [0, 0.025, 0.11], atol=1e-7)
    assert axis.regular("eeg").axis.frame == "head"


# ---- conform: unit, filter, rate, scaling --------------------------------------------


def test_volts_become_microvolts_and_implausible_ones_are_refused() -> None:
    x = 20e-6 * np.random.default_rng(0).standard_normal((1, 1000))
    volts = Recording({"eeg": Regular(x, 100, "V", Axis(["Cz"], "eeg"), "eeg")})
    out = _contract().conform(volts)
    assert out.regular("eeg").unit == "uV"
    assert out.regular("eeg").values().std() == pytest.approx(20, rel=0.1)
    assert out.provenance.steps == ("unit V to uV",)
    wrong = Recording({"eeg": Regular(x, 100, "uV", Axis(["Cz"], "eeg"), "eeg")})
    with pytest.raises(UnitError, match="unit='V'"):
        _contract().conform(wrong)
    assert _contract().conform(wrong, check=False).regular("eeg").unit == "uV"


def test_an_arbitrary_unit_does_not_pass_for_microvolts() -> None:
    rec = Recording({"eeg": Regular(np.ones((1, 99)), 100, "au", Axis(["Cz"]), "eeg")})
    with pytest.raises(UnitError, match="Cannot convert 'au' to 'uV'"):
        _contract().conform(rec)


def test_the_filter_passes_what_it_should() -> None:
    t = np.arange(3000) / 100
    slow, alpha, fast = (20 * np.sin(2 * np.pi * f * t) for f in (0.1, 10, 45))
    out = _contract(highpass=1.0, lowpass=30.0).conform(_rec(["Cz"], [slow + alpha + fast]))
    middle = slice(500, 2500)
    # 40 dB at both stop frequencies would leave 0.2
    np.testing.assert_allclose(out.regular("eeg").values()[0, middle], alpha[middle], atol=0.3)
    assert out.provenance.steps == ("zero-phase filter 1 to 30 Hz",)


def test_resampling_keeps_time_and_signal() -> None:
    t = np.arange(2000) / 200
    rec = _rec(["Cz"], [20 * np.sin(2 * np.pi * 10 * t)], rate=200)
    out = _contract(sfreq="250/3").conform(rec).regular("eeg")
    assert out.rate == Fraction(250, 3)
    expected = 20 * np.sin(2 * np.pi * 10 * np.asarray(out.time(np.arange(out.n_times))))
    np.testing.assert_allclose(out.values()[0, 50:-50], expected[50:-50], atol=0.05)


def test_filter_and_rate_stay_inside_segments() -> None:
    x = 20 * np.random.default_rng(0).standard_normal((1, 2000))
    x[:, 1000:] += 400
    rec = _rec(["Cz"], x, rate=200)
    parts = replace(rec.regular("eeg"), segments=[(0, 1000), (1000, 2000)])
    contract = _contract(lowpass=20.0)
    whole = contract.conform(rec.with_stream("eeg", parts)).regular("eeg")
    assert whole.segments.tolist() == [[0, 500], [500, 1000]]
    alone = contract.conform(_rec(["Cz"], x[:, :1000], rate=200)).regular("eeg")
    np.testing.assert_array_equal(whole.values()[:, :500], alone.values())


def test_missing_samples_stay_missing_and_do_not_spread() -> None:
    x = 20 * np.random.default_rng(0).standard_normal((2, 2000))
    x[0, 500:520] = np.nan
    out = _contract(sfreq=50, highpass=1.0).conform(_rec(["Fz", "Cz"], x, seconds=20))
    missing = np.isnan(out.regular("eeg").values())
    assert np.flatnonzero(missing[0]).tolist() == list(range(250, 260))
    assert not missing[1].any()


def test_z_scores_have_mean_0_and_sd_1_by_channel() -> None:
    x = np.random.default_rng(0).standard_normal((2, 1000)) * [[20], [60]] + [[100], [-5]]
    x[0, 3] = np.nan
    out = _contract(scaling="zscore").conform(_rec(["Fz", "Cz"], x)).regular("eeg")
    assert out.unit == "z"
    np.testing.assert_allclose(np.nanmean(out.values(), axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(out.values(), axis=1), 1, atol=1e-5)


def test_constant_channels_cannot_be_z_scored() -> None:
    x = np.zeros((2, 500))
    x[0] = 20 * np.random.default_rng(0).standard_normal(500)
    with pytest.raises(DataError, match=r"Constant channels.*\['Cz'\]"):
        _contract(scaling="zscore").conform(_rec(["Fz", "Cz"], x))
    ok = _contract(scaling="zscore").conform(_rec(["Fz", "Cz"], x, bad=[False, True]))
    assert ok.regular("eeg").unit == "z"


def test_every_step_is_noted_in_order() -> None:
    contract = _contract(
        sfreq=50,
        ch_names=("Cz", "T7"),
        highpass=0.5,
        lowpass=20,
        reference="average",
        scaling="zscore",
    )
    rec = _rec(["EEG T3-REF", "EEG CZ-REF", "EEG FZ-REF"])
    assert contract.conform(rec).provenance.steps == (
        "electrode names to the 10-10 system",
        "average reference",
        "channels picked in the model's order (2)",
        "zero-phase filter 0.5 to 20 Hz",
        "resample 100 to 50 Hz",
        "z-score by channel over the recording",
    )


# ---- conform: choosing the stream, atlases, spikes -----------------------------------


def test_the_stream_of_the_modality_is_found(make: MakeRec) -> None:
    rec = make().with_stream("t1", Static(np.eye(2), ("x", "y")))
    assert _contract(sfreq=50).conform(rec).regular("eeg").sfreq == 50
    with pytest.raises(ContractError, match="has 0 meg streams"):
        _contract(modality="meg").conform(rec)
    with pytest.raises(ContractError, match="is static, the model takes eeg"):
        _contract().conform(rec, stream="t1")
    with pytest.raises(ContractError, match="has 2 eeg streams"):
        _contract().conform(rec.with_stream("more", rec.stream("eeg")))


def test_regions_of_another_atlas_are_refused() -> None:
    axis = Axis(["a", "b"], "roi", atlas="AAL2")
    rec = Recording({"bold": Regular(np.ones((2, 50)), "1/2", "au", axis, "bold")})
    contract = InputContract(modality="bold", sfreq="1/2", unit="au", atlas="Schaefer100")
    with pytest.raises(ContractError, match="atlas 'AAL2', the model takes 'Schaefer100'"):
        contract.conform(rec)


def _train() -> Recording:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 60, 900))
    units = Axis(["u", "v", "w"], "unit")
    return Recording(
        {"spikes": Irregular(times, rng.integers(0, 3, 900), units, [(0.0, 60.0)])}  # type: ignore[arg-type]
    )


def test_spike_times_are_binned_at_the_models_rate() -> None:
    contract = InputContract(modality="spikes", sfreq=50, unit="counts", ch_names=("w", "u"))
    out = contract.conform(_train()).regular("spikes")
    assert out.shape == (2, 3000)
    stream = _train().stream("spikes")
    assert isinstance(stream, Irregular)
    assert out.values().sum(axis=1).tolist() == np.bincount(stream.unit_index)[[2, 0]].tolist()


def test_counts_are_summed_never_interpolated() -> None:
    stream = _train().stream("spikes")
    assert isinstance(stream, Irregular)
    fine = Recording({"spikes": stream.bin(0.01)})
    contract = InputContract(modality="spikes", sfreq=20, unit="counts")
    out = contract.conform(fine)
    np.testing.assert_array_equal(out.regular("spikes").values(), stream.bin(0.05).values())
    assert out.provenance.steps == ("sum 5 bins to 0.05 s",)
    with pytest.raises(ContractError, match="Bin the spike times again"):
        replace(contract, sfreq=Fraction(30)).conform(fine)


def test_summed_bins_stay_inside_segments() -> None:
    counts = Regular(
        np.ones((1, 23)), 10, "counts", Axis(["u"]), "spikes", segments=[(0, 9), (11, 23)]
    )
    contract = InputContract(modality="spikes", sfreq=5, unit="counts")
    out = contract.conform(Recording({"spikes": counts})).regular("spikes")
    assert out.segments.tolist() == [[0, 4], [6, 11]]
    np.testing.assert_array_equal(out.values(), [[2, 2, 2, 2, np.nan, np.nan, 2, 2, 2, 2, 2]])


# ---- what a conformed recording remembers ---------------------------------------


def test_windows_of_a_conformed_recording_hand_on_the_contract_that_was_used() -> None:
    rec = _rec(["Fz", "Cz"], rate=256)
    contract = _contract(sfreq=128, highpass=1.0, lowpass=40.0, scaling="zscore")
    index = windows(contract.conform(rec), stream="eeg", length_s=1.0)
    kept = index.contract()
    assert kept == replace(contract, ch_names=index.ch_names, n_times=128)
    kept.check(index.batch([0]))
    # a raw recording and the conformed one come to the same values by it
    again = windows(kept.conform(rec), stream="eeg", length_s=1.0)
    np.testing.assert_array_equal(again.batch([3]).x, index.batch([3]).x)
    assert kept.conform(contract.conform(rec)).provenance.steps == (
        contract.conform(rec).provenance.steps
    )


def test_a_stream_changed_afterwards_is_no_longer_said_to_be_conformed() -> None:
    rec = _rec(["Fz", "Cz"], rate=256)
    done = _contract(sfreq=128).conform(rec)
    assert "eeg" in done.provenance.contracts
    assert done.with_stream("eeg", done.regular("eeg")).provenance.contracts == {}


def test_recordings_of_two_contracts_have_none_in_common() -> None:
    rec = _rec(["Fz", "Cz"], rate=256)
    two = [_contract(sfreq=128, lowpass=edge).conform(rec) for edge in (30.0, 40.0)]
    with pytest.raises(ContractError, match="different contracts"):
        windows(two, stream="eeg", length_s=1.0).contract()


def test_segments_too_short_for_the_filter_are_missing_and_noted() -> None:
    whole = _rec(["Fz", "Cz"], rate=256)
    source = replace(whole.regular("eeg"), segments=np.array([[0, 2000], [2000, 2060]]))
    done = _contract(sfreq=256, highpass=1.0).conform(whole.with_stream("eeg", source))
    assert np.isnan(done.regular("eeg").values()[:, 2000:2060]).all()
    assert np.isfinite(done.regular("eeg").values()[:, :2000]).all()
    valid = done.regular("eeg").valid
    assert valid is not None
    assert valid[:, :2000].all()
    assert not valid[:, 2000:2060].any()
    assert any("1 segments too short" in s for s in done.provenance.steps)


def test_only_short_segments_is_an_error() -> None:
    whole = _rec(["Fz", "Cz"], rate=256)
    source = replace(whole.regular("eeg"), segments=np.array([[0, 60], [100, 170]]))
    with pytest.raises(ContractError, match=r"longest has 70 samples \(0\.273438 s\)"):
        _contract(sfreq=256, highpass=1.0).conform(whole.with_stream("eeg", source))
