"""NWB: units, behaviour, voltages, calcium and intervals; one error for bad files."""

import warnings
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pynwb = pytest.importorskip("pynwb", reason="the extra 'nwb' is not installed")

from neuro import io  # noqa: E402
from neuro.data import Irregular, Recording  # noqa: E402
from neuro.errors import DataError, FileError, MissingDependencyError, UnitError  # noqa: E402
from neuro.io._times import regular_grid  # noqa: E402

HEAD = Path(__file__).parents[2] / "../shared/data/head_direction_A2929-200711.nwb"
RNG = np.random.default_rng(0)


def quietly(make: Any) -> Any:
    """What pynwb warns of while writing odd files is not the reader's."""

    @wraps(make)
    def inner(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(*args, **kwargs)

    return inner


def new_file() -> Any:
    return pynwb.NWBFile(
        "session", "id-1", datetime(2021, 3, 4, tzinfo=UTC), experimenter=["Doe, Jane"]
    )


@quietly
def write(path: Path, file: Any) -> Path:
    with pynwb.NWBHDF5IO(str(path), "w") as opened:
        opened.write(file)
    return path


def with_units(file: Any, trains: list[list[float]], **kwargs: Any) -> Any:
    for i, train in enumerate(trains):
        file.add_unit(spike_times=train, id=10 + i, **{k: v[i] for k, v in kwargs.items()})
    return file


def electrodes(file: Any, n: int) -> Any:
    device = file.create_device("probe")
    group = file.create_electrode_group("g", description="d", location="CA1", device=device)
    for i in range(n):
        file.add_electrode(group=group, location="CA1", x=100.0 * i, y=0.0, z=50.0)
    return file.create_electrode_table_region(list(range(n)), "all")


# ------------------------------------------------------------------- real file


@pytest.fixture(scope="module")
def head() -> Recording:
    if not HEAD.exists():
        pytest.skip(f"../shared/data/{HEAD.name} is absent")
    return io.read(HEAD)


def test_head_direction_units(head: Recording) -> None:
    spikes = head.stream("spikes")
    assert isinstance(spikes, Irregular)
    assert len(spikes.times_s) == 98794
    locations, counts = np.unique(spikes.units.columns["location"], return_counts=True)
    assert dict(zip(locations.tolist(), counts.tolist(), strict=True)) == {"adn": 7, "ca1": 8}
    assert spikes.support.round(6).tolist() == [[0.0, 1200.0]]


def test_head_direction_epochs(head: Recording) -> None:
    epochs = head.events.take(head.events.columns["table"] == "epochs")
    assert epochs.type.tolist() == ["sleep", "wake"]
    assert epochs.onset_s.tolist() == [0.0, 600.0]
    assert epochs.duration_s.tolist() == [600.0, 600.0]


def test_head_direction_angles(head: Recording) -> None:
    angles = head.regular("CompassDirection")
    assert angles.axis.names == ("rx", "ry", "rz")
    assert angles.unit == "rad"
    assert angles.sfreq == pytest.approx(120, rel=1e-3)
    assert angles.duration_s == pytest.approx(529.36, abs=0.01)
    assert angles.t0_s == pytest.approx(670.6407)
    assert 0 <= np.nanmin(angles.values()) < np.nanmax(angles.values()) <= 2 * np.pi + 1e-6


def test_head_direction_keeps_no_date_or_person(head: Recording) -> None:
    import pickle

    content = pickle.dumps(head)
    assert b"guillaume" not in content
    assert b"2022-02-07" not in content


# ------------------------------------------------------------------- unit table


def test_units_and_their_columns(tmp_path: Path) -> None:
    file = new_file()
    file.add_unit_column("quality", "q")
    file.add_unit_column("depth", "d")
    with_units(file, [[0.1, 0.4], [0.2]], quality=["good", "mua"], depth=[10.0, 20.0])
    file.subject = pynwb.file.Subject(subject_id="m7", sex="F", age="P90D", species="Mus musculus")
    recording = io.read(write(tmp_path / "u.nwb", file))
    spikes = recording.stream("spikes")
    assert isinstance(spikes, Irregular)
    assert spikes.times_s.tolist() == [0.1, 0.2, 0.4]
    assert spikes.unit_index.tolist() == [0, 1, 0]
    assert spikes.units.names == ("unit 10", "unit 11")
    assert spikes.units.columns["quality"].tolist() == ["good", "mua"]
    assert spikes.units.columns["depth"].tolist() == [10.0, 20.0]
    assert (recording.subject, recording.sex) == ("m7", "F")
    assert recording.age == pytest.approx(90 / 365.25)


def test_observed_intervals_are_the_support(tmp_path: Path) -> None:
    file = new_file()
    both = [[[0.0, 1.0], [2.0, 4.0]], [[0.0, 3.0]]]
    with_units(file, [[0.1, 0.4, 2.5], [0.2, 2.7]], obs_intervals=both)
    spikes = io.read(write(tmp_path / "o.nwb", file)).stream("spikes")
    assert isinstance(spikes, Irregular)
    assert spikes.support.round(6).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert len(spikes.times_s) == 5


def test_spike_at_the_very_end_is_kept(tmp_path: Path) -> None:
    file = with_units(new_file(), [[0.5, 2.0]])
    file.add_epoch(0.0, 2.0, tags=["all"])
    spikes = io.read(write(tmp_path / "e.nwb", file)).stream("spikes")
    assert isinstance(spikes, Irregular)
    assert spikes.times_s.tolist() == [0.5, 2.0]


def test_decreasing_spike_times(tmp_path: Path) -> None:
    path = write(tmp_path / "d.nwb", with_units(new_file(), [[0.1, 0.4], [0.9, 0.2]]))
    with pytest.raises(DataError, match=r"d.nwb.*unit 11 decrease: 0.9.*0.2"):
        io.read(path)
    spikes = io.read(path, check=False).stream("spikes")
    assert isinstance(spikes, Irregular)
    assert spikes.times_s.tolist() == [0.1, 0.2, 0.4, 0.9]


# ------------------------------------------------------------------- intervals


def test_trials_become_events_with_their_columns(tmp_path: Path) -> None:
    file = with_units(new_file(), [[0.1, 5.0]])
    file.add_trial_column("side", "s")
    file.add_trial_column("contrast", "c")
    file.add_trial(start_time=0.0, stop_time=1.0, side="left", contrast=0.5)
    file.add_trial(start_time=2.0, stop_time=2.5, side="right", contrast=1.0)
    file.add_epoch(0.0, 10.0, tags=["task"])
    events = io.read(write(tmp_path / "t.nwb", file)).events
    trials = events.select("trial")
    assert trials.onset_s.tolist() == [0.0, 2.0]
    assert trials.duration_s.tolist() == [1.0, 0.5]
    assert trials.columns["side"].tolist() == ["left", "right"]
    assert trials.columns["contrast"].tolist() == [0.5, 1.0]
    assert len(events.select("task")) == 1


# ---------------------------------------------------------------------- series


def behaviour(file: Any, *series: Any) -> Any:
    module = file.create_processing_module("behavior", "b")
    module.add(pynwb.behavior.Position(spatial_series=list(series), name="Position"))
    return file


@quietly
def spatial(x: np.ndarray, name: str = "xy", **kwargs: Any) -> Any:
    return pynwb.behavior.SpatialSeries(name=name, data=x, reference_frame="box", **kwargs)


def test_position_with_a_rate_and_conversion(tmp_path: Path) -> None:
    x = RNG.normal(size=(50, 2))
    file = behaviour(
        new_file(), spatial(x, rate=30.0, starting_time=5.0, unit="meters", conversion=0.01)
    )
    stream = io.read(write(tmp_path / "p.nwb", file)).regular("Position")
    np.testing.assert_allclose(stream.values(), x.T * 0.01, rtol=1e-6)
    assert (stream.sfreq, stream.t0_s, stream.unit) == (30.0, 5.0, "m")
    assert stream.axis.names == ("xy 0", "xy 1")


def test_stamps_with_a_jump_cut_segments(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(20) / 50, 3 + np.arange(10) / 50])
    file = behaviour(new_file(), spatial(np.arange(30.0), timestamps=times, unit="m"))
    stream = io.read(write(tmp_path / "j.nwb", file)).regular("Position")
    assert stream.sfreq == 50
    assert stream.segments.tolist() == [[0, 20], [150, 160]]
    assert np.isnan(stream.values()[0, 20:150]).all()
    assert stream.values()[0, 150] == 20


def test_stamps_without_a_rate_become_events(tmp_path: Path) -> None:
    times = np.cumsum(RNG.exponential(1.0, 30))
    file = with_units(new_file(), [[0.1, 50.0]])
    file.add_acquisition(
        pynwb.TimeSeries(name="licks", data=np.ones(30), unit="n/a", timestamps=times)
    )
    recording = io.read(write(tmp_path / "l.nwb", file))
    assert set(recording.streams) == {"spikes"}
    np.testing.assert_allclose(recording.events.select("licks").onset_s, times)
    assert any("no fixed rate" in s for s in recording.provenance.steps)


def test_stamps_that_do_not_fit_the_samples(tmp_path: Path) -> None:
    import h5py

    file = behaviour(
        new_file(), spatial(np.zeros((40, 30)), timestamps=np.arange(40) / 10, unit="m")
    )
    path = write(tmp_path / "s.nwb", file)
    with h5py.File(path, "r+") as opened:  # pynwb itself refuses to write it
        group = opened["processing/behavior/Position/xy"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group["data"] = np.zeros((30, 40))
        group["data"].attrs.update(attributes)
    with pytest.raises(FileError, match=r"30 samples but 40 time stamps.*swapped"):
        io.read(path)


@quietly
def lfp_file(data: np.ndarray, conversion: float, n: int) -> Any:
    file = new_file()
    series = pynwb.ecephys.ElectricalSeries(
        name="lfp", data=data, electrodes=electrodes(file, n), rate=1000.0, conversion=conversion
    )
    file.create_processing_module("ecephys", "e").add(pynwb.ecephys.LFP(electrical_series=series))
    return file


def test_lfp_in_microvolts_with_electrodes(tmp_path: Path) -> None:
    x = RNG.normal(0, 300, (500, 3)).astype(np.int16)
    recording = io.read(write(tmp_path / "l.nwb", lfp_file(x, 1e-6, 3)))
    stream = recording.regular("LFP")
    np.testing.assert_allclose(stream.values(), x.T, rtol=1e-6)
    assert (stream.unit, stream.modality, stream.sfreq) == ("uV", "lfp", 1000)
    np.testing.assert_allclose(stream.axis.positions[2], [200e-6, 0, 50e-6], rtol=1e-6)
    assert stream.axis.columns["location"].tolist() == ["CA1"] * 3


def test_long_lfp_stays_on_disk_as_integers(tmp_path: Path) -> None:
    import pickle

    x = RNG.normal(0, 300, (300_000, 4)).astype(np.int16)
    recording = io.read(write(tmp_path / "l.nwb", lfp_file(x, 0.5e-6, 4)))
    stream = recording.regular("LFP")
    assert not isinstance(stream.data, np.ndarray)
    assert stream.data.dtype == np.int16
    np.testing.assert_allclose(stream.read(1000, 1010), x[1000:1010].T * 0.5, rtol=1e-6)
    again = pickle.loads(pickle.dumps(recording)).regular("LFP")
    np.testing.assert_array_equal(again.read(5, 9, rows=np.array([2])), stream.read(5, 9)[[2]])


def test_lfp_with_a_forgotten_conversion(tmp_path: Path) -> None:
    path = write(tmp_path / "l.nwb", lfp_file(RNG.normal(0, 300, (500, 3)), 1.0, 3))
    with pytest.raises(UnitError, match="lfp"):
        io.read(path)


@quietly
def calcium_file(data: np.ndarray, n_rois: int) -> Any:
    file = new_file()
    device = file.create_device("scope")
    plane = file.create_imaging_plane(
        name="p", description="d", device=device, indicator="GCaMP", location="V1",
        excitation_lambda=920.0,
        optical_channel=pynwb.ophys.OpticalChannel(
            name="c", description="d", emission_lambda=520.0
        ),
    )  # fmt: skip
    segmentation = pynwb.ophys.ImageSegmentation()
    module = file.create_processing_module("ophys", "o")
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(
        description="rois", imaging_plane=plane, name="ps"
    )
    for _ in range(n_rois):
        table.add_roi(image_mask=np.ones((2, 2)))
    region = table.create_roi_table_region(description="all", region=list(range(n_rois)))
    series = pynwb.ophys.RoiResponseSeries(
        name="traces", data=data, rois=region, unit="n/a", rate=10.0
    )
    module.add(pynwb.ophys.Fluorescence(roi_response_series=series))
    return file


@pytest.mark.parametrize("swapped", [False, True])
def test_calcium_rows_are_the_regions_of_the_table(tmp_path: Path, swapped: bool) -> None:
    x = RNG.normal(size=(60, 7))
    path = write(tmp_path / "c.nwb", calcium_file(x.T if swapped else x, 7))
    recording = io.read(path)
    stream = recording.regular("Fluorescence")
    assert stream.shape == (7, 60)
    np.testing.assert_allclose(stream.values(), x.T, rtol=1e-6)
    assert stream.modality == "calcium"
    assert any("transposed" in s for s in recording.provenance.steps) == swapped


def test_calcium_of_another_table(tmp_path: Path) -> None:
    path = write(tmp_path / "c.nwb", calcium_file(RNG.normal(size=(60, 8)), 7))
    with pytest.raises(FileError, match=r"\(60, 8\).*7 regions"):
        io.read(path)


# ----------------------------------------------------------------- stamps alone


def test_grid_of_rounded_stamps_is_round() -> None:
    times = np.round(np.arange(1000) / 30, 3)
    grid = regular_grid(times)
    assert grid is not None
    assert grid.rate == 30
    assert grid.worst < 0.03


def test_grid_of_jittered_stamps() -> None:
    times = np.arange(1000) / 25 + RNG.uniform(-0.008, 0.008, 1000)
    grid = regular_grid(times)
    assert grid is not None
    assert float(grid.rate) == pytest.approx(25, rel=1e-3)
    assert grid.n_times == 1000


@pytest.mark.parametrize(
    "times", [[0.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0], [0.0, np.nan, 1.0], [0.0, 0.1, 5.0, 5.01]]
)
def test_no_grid(times: list[float]) -> None:
    assert regular_grid(np.array(times)) is None


# -------------------------------------------------------------------- bad files


def test_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="neither spikes nor"):
        io.read(write(tmp_path / "n.nwb", new_file()))


@pytest.mark.parametrize("keep", [100, 3000, 0.5])
def test_truncated(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "t.nwb", with_units(new_file(), [[0.1, 0.4]]))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(FileError, match=r"t.nwb"):
        io.read(path)


def test_hdf5_that_is_no_nwb(tmp_path: Path) -> None:
    with io.safe.create_hdf5(tmp_path / "x.nwb") as file:
        file["a"] = [1.0]
    with pytest.raises(FileError, match=r"x.nwb"):
        io.read(tmp_path / "x.nwb")


def test_without_pynwb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write(tmp_path / "u.nwb", with_units(new_file(), [[0.1]]))
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        io.read(path)
