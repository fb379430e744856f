import warnings
from collections.abc import Callable
from typing import Any

import mne
import numpy as np
import pytest

from neuro.data import (
    Axis,
    Clock,
    Events,
    Grid,
    Irregular,
    Recording,
    Regular,
    eeg_positions,
    from_mne,
    from_pynapple,
    to_mne,
    to_nifti,
    to_pynapple,
    to_xarray,
)
from neuro.errors import DataError, UnitError

MakeRec = Callable[..., Recording]


def _raw(n: int = 1000, sd: float = 20e-6, first_samp: int = 0, **info: Any) -> Any:
    rng = np.random.default_rng(0)
    kinds = ["eeg", "eeg", "eog", "mag"]
    made = mne.create_info(["Fz", "Cz", "HEOG", "MEG1"], 100.0, kinds, verbose="error")
    x = rng.standard_normal((4, n)) * np.array([[sd], [sd], [50e-6], [200e-15]])
    return mne.io.RawArray(x, made, first_samp=first_samp, verbose="error")


# ---- MNE: in ---------------------------------------------------------------------


def test_channels_become_streams_by_type_in_our_units() -> None:
    raw = _raw()
    raw.info["bads"] = ["Cz"]
    rec = from_mne(raw, subject="01")
    assert {k: (s.unit, s.modality) for k, s in rec.streams.items()} == {  # type: ignore[union-attr]
        "eeg": ("uV", "eeg"),
        "eog": ("uV", "physio"),
        "meg_mag": ("fT", "meg"),
    }
    assert rec.subject == "01"
    assert rec.regular("eeg").axis.bad.tolist() == [False, True]
    # float32 of values around 20
    np.testing.assert_allclose(rec.regular("eeg").values(), raw.get_data()[:2] * 1e6, rtol=1e-6)
    np.testing.assert_allclose(
        rec.regular("meg_mag").values(), raw.get_data()[3:] * 1e15, rtol=1e-6
    )


def test_microvolts_read_as_volts_are_caught_and_can_be_stated() -> None:
    raw = _raw(sd=20.0)
    with pytest.raises(UnitError, match="read the file with unit='uV'"):
        from_mne(raw)
    assert from_mne(raw, unit="uV").regular("eeg").values().std() == pytest.approx(20, rel=0.1)
    assert from_mne(raw, check=False).regular("eeg").values().std() > 1e7


def test_an_unknown_scale_can_be_declared() -> None:
    stream = from_mne(_raw(sd=400.0), unit="au").regular("eeg")
    assert stream.unit == "au"
    assert stream.values().std() == pytest.approx(400, rel=0.1)


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("first_samp", [0, 500])
def test_annotations_start_from_the_first_sample(dated: bool, first_samp: int) -> None:
    raw = _raw(first_samp=first_samp)
    if dated:
        raw.set_meas_date(1_000_000_000)
    raw.set_annotations(mne.Annotations([2.0, 4.0], [0.5, 1.0], ["go", "stop"]))
    events = from_mne(raw).events
    np.testing.assert_allclose(events.onset_s, [2.0, 4.0], atol=1e-6)
    assert events.type.tolist() == ["go", "stop"]
    assert events.duration_s.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("dated", [True, False])
def test_annotations_of_a_crop_start_from_its_first_sample(dated: bool) -> None:
    raw = _raw()
    if dated:
        raw.set_meas_date(1_000_000_000)
    raw.set_annotations(mne.Annotations([2.0, 4.0, 6.0], [0.0, 0.0, 1.0], ["a", "b", "BAD x"]))
    rec = from_mne(raw.crop(3.0, 9.0))
    np.testing.assert_allclose(rec.events.onset_s, [1.0], atol=1e-6)
    assert rec.regular("eeg").segments.tolist() == [[0, 300], [400, 601]]


def test_bad_stretches_and_edges_cut_segments() -> None:
    raw = _raw()
    notes = mne.Annotations([1.0, 5.0, 8.0], [0.505, 0.0, 5.0], ["BAD_move", "EDGE", "bad end"])
    raw.set_annotations(notes, verbose="error")
    rec = from_mne(raw)
    assert rec.regular("eeg").segments.tolist() == [[0, 100], [151, 500], [500, 800]]
    assert len(rec.events) == 0


def test_a_recording_bad_throughout_is_refused() -> None:
    raw = _raw()
    raw.set_annotations(mne.Annotations([0.0], [10.0], ["BAD"]))
    with pytest.raises(DataError, match="annotated BAD"):
        from_mne(raw)


def test_epochs_become_one_segment_and_block_a_trial() -> None:
    raw = _raw()
    events = np.array([[200, 0, 1], [400, 0, 2], [700, 0, 1]])
    epochs = mne.Epochs(
        raw,
        events,
        {"left": 1, "right": 2},
        tmin=-0.5,
        tmax=0.99,
        baseline=None,
        preload=True,
        verbose="error",
    )
    rec = from_mne(epochs)
    stream = rec.regular("eeg")
    assert stream.segments.tolist() == [[0, 150], [150, 300], [300, 450]]
    np.testing.assert_allclose(
        stream.read(150, 300), epochs.get_data(picks=["Fz", "Cz"])[1] * 1e6, rtol=1e-6
    )
    assert rec.events.type.tolist() == ["left", "right", "left"]
    assert rec.events.block.tolist() == [0, 1, 2]
    np.testing.assert_allclose(rec.events.onset_s, [0, 1.5, 3.0])
    assert rec.events.column("zero_s").tolist() == [0.5] * 3


def test_names_and_dates_are_left_behind() -> None:
    raw = _raw()
    raw.set_meas_date(1_000_000_000)
    raw.info["subject_info"] = {"last_name": "Nobody", "first_name": "Ann", "id": 3}
    assert "Nobody" not in repr(from_mne(raw).__dict__)


def test_things_that_are_no_signal_are_refused() -> None:
    with pytest.raises(DataError, match="got ndarray"):
        from_mne(np.zeros((2, 3)))


# ---- MNE: there and back ------------------------------------------------------------


def test_eeg_survives_mne(make: MakeRec) -> None:
    axis = Axis(
        ["Fz", "Cz", "Pz"],
        "eeg",
        positions=[[0, 0.05, 0.1], [0, 0, 0.12], [np.nan] * 3],
        frame="head",
        bad=[False, True, False],
    )
    x = make().regular("eeg").values()
    stream = Regular(x, 100, "uV", axis, "eeg", segments=[(0, 500), (500, 900), (1000, 1990)])
    rec = Recording({"eeg": stream}, Events.make([1.0, 4.0], ["a", "b"], duration_s=[0.5, 0.0]))
    back = Recording.from_mne(rec.to_mne())
    again = back.regular("eeg")
    # through float64 volts
    np.testing.assert_allclose(again.values(), x, rtol=1e-6)
    assert again.axis == axis
    assert again.rate == 100
    assert again.segments.tolist() == stream.segments.tolist()
    assert back.events.type.tolist() == ["a", "b"]
    np.testing.assert_allclose(back.events.onset_s, [1.0, 4.0], atol=1e-9)
    np.testing.assert_allclose(back.events.duration_s, [0.5, 0.0], atol=1e-9)


def test_template_positions_arrive_in_the_head_frame(make: MakeRec) -> None:
    names = ["Fz", "Cz", "Pz"]
    axis = Axis(names, "eeg", positions=eeg_positions(names), frame="mri_ras")
    x = make().regular("eeg").values()
    raw = to_mne(Recording({"eeg": Regular(x, 100, "uV", axis, "eeg")}))
    theirs = mne.io.RawArray(np.zeros((3, 9)), mne.create_info(names, 100, "eeg"), verbose="error")
    from neuro.data.channels import standard_montage

    theirs.set_montage(standard_montage())
    for ch, other in zip(raw.info["chs"], theirs.info["chs"], strict=True):
        # float32 metres
        np.testing.assert_allclose(ch["loc"][:3], other["loc"][:3], atol=1e-6)
    assert from_mne(raw).regular("eeg").axis.frame == "head"


def test_events_reach_mne_through_the_clock(make: MakeRec) -> None:
    rec = make().replace(
        events=Events.make([102.0, 300.0], ["go", "late"], duration_s=4.0),
        clocks={"eeg": Clock(2.0, 100.0)},
    )
    notes = to_mne(rec).annotations
    assert notes.description.tolist() == ["go"]
    np.testing.assert_allclose(notes.onset, [1.0])
    np.testing.assert_allclose(notes.duration, [2.0])


def test_an_arbitrary_unit_cannot_become_volts() -> None:
    rec = Recording({"eeg": Regular(np.ones((1, 99)), 100, "au", Axis(["Cz"], "eeg"), "eeg")})
    with pytest.raises(UnitError, match="MNE keeps eeg in V"):
        to_mne(rec)


def test_regions_become_misc_channels() -> None:
    rec = Recording({"bold": Regular(np.ones((1, 9)), "1/2", "z", Axis(["PCC"], "roi"), "bold")})
    raw = to_mne(rec)
    assert raw.get_channel_types() == ["misc"]
    assert raw.get_data().tolist() == [[1.0] * 9]


# ---- xarray ----------------------------------------------------------------------


def test_xarray_keeps_names_times_and_unit(make: MakeRec) -> None:
    rec = make().replace(clocks={"eeg": Clock(2.0, 5.0)})
    array = to_xarray(rec)
    assert array.dims == ("axis", "time")
    assert array.coords["axis"].values.tolist() == ["Fz", "Cz", "Pz"]
    assert array.coords["time"].values[:3].tolist() == pytest.approx([5.0, 5.02, 5.04])
    assert array.attrs == {"unit": "uV", "sfreq": 100.0, "modality": "eeg"}
    np.testing.assert_array_equal(array.values, rec.regular("eeg").values())


# ---- pynapple --------------------------------------------------------------------


def _spikes() -> Recording:
    rng = np.random.default_rng(0)
    times = np.sort(np.concatenate([rng.uniform(0, 10, 60), rng.uniform(20, 30, 40)]))
    units = Axis(["adn1", "adn2", "silent"], "unit", columns={"location": ["adn", "adn", "ca1"]})
    train = Irregular(times, rng.integers(0, 2, 100), units, [(0.0, 10.0), (20.0, 30.0)])  # type: ignore[arg-type]
    return Recording({"spikes": train})


def test_spikes_survive_pynapple() -> None:
    rec = _spikes()
    group = to_pynapple(rec)
    assert [len(group[k]) for k in group] == np.bincount(
        rec.stream().unit_index,  # type: ignore[union-attr]
        minlength=3,
    ).tolist()
    back = from_pynapple(group).stream("spikes")
    assert isinstance(back, Irregular)
    first = rec.stream()
    assert isinstance(first, Irregular)
    # pynapple rounds times to nanoseconds
    np.testing.assert_allclose(back.times_s, first.times_s, atol=2e-9)
    np.testing.assert_array_equal(back.unit_index, first.unit_index)
    assert back.units.names == first.units.names
    np.testing.assert_allclose(back.support, first.support, atol=2e-9)


def test_a_spike_on_the_closed_end_of_a_support_is_kept() -> None:
    import pynapple as nap

    group = nap.TsGroup({0: nap.Ts(np.array([0.0, 1.0]))}, time_support=nap.IntervalSet(0.0, 1.0))
    train = from_pynapple(group).stream("spikes")
    assert isinstance(train, Irregular)
    assert train.times_s.tolist() == [0.0, 1.0]


def test_signals_reach_pynapple_on_the_session_clock() -> None:
    x = np.arange(200, dtype=np.float32).reshape(2, 100)
    stream = Regular(
        x, 10, "uV", Axis(["a", "b"], "eeg"), "eeg", segments=[(0, 40), (40, 60), (70, 100)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = to_pynapple(Recording({"eeg": stream}, clocks={"eeg": Clock(1.0, 5.0)}))
    assert list(frame.columns) == ["a", "b"]
    assert len(frame.time_support) == 3
    kept = np.r_[0:60, 70:100]
    np.testing.assert_allclose(frame.t, 5.0 + kept / 10, atol=1e-8)
    np.testing.assert_array_equal(frame.d, x[:, kept].T)


def test_an_empty_group_is_refused() -> None:
    import pynapple as nap

    with pytest.raises(DataError, match="no unit"):
        from_pynapple(nap.TsGroup({}, time_support=nap.IntervalSet(0, 1)))


# ---- NIfTI -----------------------------------------------------------------------


def test_voxels_return_to_their_volume() -> None:
    ijk = np.array([[0, 1, 2], [1, 1, 1], [2, 0, 0]])
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    axis = Axis(["v0", "v1", "v2"], "voxel", grid=Grid(affine, (3, 2, 3), ijk))
    x = np.arange(15, dtype=np.float32).reshape(3, 5) + 1
    rec = Recording({"bold": Regular(x, "1/1.4", "au", axis, "bold")})
    image = to_nifti(rec, start=1, stop=4)
    assert image.shape == (3, 2, 3, 3)
    volume = image.get_fdata()
    np.testing.assert_array_equal(volume[tuple(ijk.T)], x[:, 1:4])
    assert np.count_nonzero(volume) == 9
    assert image.header.get_zooms()[3] == pytest.approx(1.4)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(image.affine, affine)


def test_regions_without_a_grid_are_no_volume(make: MakeRec) -> None:
    with pytest.raises(DataError, match="not voxels"):
        to_nifti(make())
