"""The .h5 store: every value back, fast paths equal slow ones, nothing lost."""

import errno
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuro.data import (
    Axis,
    Clock,
    Events,
    Grid,
    InputContract,
    Irregular,
    Provenance,
    Recording,
    Regular,
    Static,
    windows,
)
from neuro.errors import DataError, DataUnavailableError, FileError
from neuro.io import safe, store


def full_recording(seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    eeg = Regular(
        rng.integers(-3000, 3000, (3, 1000)).astype(np.int16),
        "250/3",
        "uV",
        Axis(
            ["Fz", "Cz", "Pz"],
            ["eeg", "eeg", "eog"],
            positions=[[0, 0, 0.1], [0, 0.01, 0.1], [np.nan] * 3],
            frame="head",
            reference="average",
            bad=[False, True, False],
            columns={"impedance": [1.0, 2.0, 3.0], "note": ["a", "µ", ""]},
        ),
        "eeg",
        t0_s=2.5,
        segments=[[0, 400], [410, 1000]],
        scale=[0.1, 0.2, 0.3],
        offset=[0.0, 1.0, -1.0],
    )
    volume = rng.standard_normal((4, 20)).astype(np.float32)
    volume[1, 5:8] = np.nan
    grid = Grid(np.diag([3.0, 3, 3, 1]), (5, 5, 5), [[0, 0, 0], [1, 2, 3], [4, 4, 4], [0, 1, 0]])
    bold = Regular(volume, "1/1.4", "au", Axis(["a", "b", "c", "d"], "voxel", grid=grid), "bold")
    spikes = Irregular(
        np.sort(rng.uniform(0, 10, 50)),
        rng.integers(0, 2, 50),
        Axis(["u0", "u1"], "unit", labels=[3, 7], atlas="probe"),
        [(0.0, 4.0), (4.0, 10.0)],
    )
    static = Static(np.eye(4), ("roi", "roi_to"), "z", frame="MNI152", affine=np.eye(4))
    return Recording(
        {"eeg": eeg, "bold": bold, "spikes": spikes, "fc": static},
        Events.make(
            [1.0, 0.5],
            ["right", "left"],
            duration_s=[0.1, 0.2],
            value=[np.nan, 4.0],
            stream=["eeg", ""],
            block=[1, 0],
            columns={"word": ["b", "a"]},
        ),
        dataset="d",
        subject="s",
        session="1",
        run="2",
        task="rest",
        age=31.5,
        sex="F",
        group="control",
        site="S1",
        clocks={"bold": Clock(1.0001, -3.0)},
        provenance=Provenance("x.edf", "ab" * 32, "mne", "1", ("unit V to uV", "slice")),
    )


def assert_same(a: Recording, b: Recording) -> None:
    names = "id dataset subject session run task age sex group site clocks provenance".split()
    assert {n: getattr(a, n) for n in names} == {n: getattr(b, n) for n in names}
    assert list(a.streams) == list(b.streams)
    for column in ("onset_s", "duration_s", "type", "value", "stream", "block", "word"):
        np.testing.assert_array_equal(a.events.column(column), b.events.column(column))
    for name, one in a.streams.items():
        two = b.streams[name]
        assert type(one) is type(two)
        assert one.axis == two.axis
        if isinstance(one, Regular) and isinstance(two, Regular):
            assert (one.rate, one.unit, one.t0_s, one.modality) == (
                two.rate,
                two.unit,
                two.t0_s,
                two.modality,
            )
            assert one.data.dtype == two.data.dtype
            np.testing.assert_array_equal(one.segments, two.segments)
            np.testing.assert_array_equal(one.values(), two.values())
        elif isinstance(one, Irregular) and isinstance(two, Irregular):
            np.testing.assert_array_equal(one.times_s, two.times_s)
            np.testing.assert_array_equal(one.unit_index, two.unit_index)
            np.testing.assert_array_equal(one.support, two.support)
        elif isinstance(one, Static) and isinstance(two, Static):
            np.testing.assert_array_equal(one.array, two.array)
            np.testing.assert_array_equal(one.affine, two.affine)
            assert (one.dims, one.unit, one.frame) == (two.dims, two.unit, two.frame)


@pytest.mark.parametrize("lazy", [True, False])
def test_round_trip_keeps_every_value(tmp_path: Path, lazy: bool) -> None:
    rec = full_recording()
    assert_same(rec, store.load(store.save(rec, tmp_path / "a.h5"), lazy=lazy))


def test_second_round_trip_is_byte_identical(tmp_path: Path) -> None:
    first = store.save(full_recording(), tmp_path / "a.h5")
    second = store.save(store.load(first), tmp_path / "b.h5")
    with h5py.File(first) as a, h5py.File(second) as b:
        assert a.attrs["content_sha256"] == b.attrs["content_sha256"]


def test_samples_stay_on_disk_until_read(tmp_path: Path) -> None:
    stream = store.load(store.save(full_recording(), tmp_path / "a.h5")).regular("eeg")
    assert isinstance(stream.data, store.StoredArray)
    assert stream.data.dtype == np.int16


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("chunks", [(3, 64), (1, 500), None])
def test_any_chunking_reads_the_same(
    tmp_path: Path, compression: str | None, chunks: tuple[int, int] | None
) -> None:
    rec = full_recording()
    path = store.save(rec, tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        data = file["streams/eeg/data"][:]
        del file["streams/eeg/data"]
        layout = chunks if compression is None else chunks or (3, 100)
        file.create_dataset("streams/eeg/data", data=data, chunks=layout, compression=compression)
    lazy = store.load(path).regular("eeg")
    for start, stop in [(0, 1), (63, 65), (100, 737), (999, 1000), (5, 5)]:
        np.testing.assert_array_equal(lazy.read(start, stop), rec.regular("eeg").read(start, stop))
    np.testing.assert_array_equal(lazy.data[[2, 0], 10:20], data[[2, 0], 10:20])


def test_batch_from_disk_equals_batch_from_memory(tmp_path: Path) -> None:
    rec = full_recording()
    stored = store.load(store.save(rec, tmp_path / "a.h5"))
    for stream, length in (("eeg", 0.6), ("bold", 7.0)):
        memory = windows(rec, stream=stream, length_s=length, step_s=length / 2).batch()
        disk = windows(stored, stream=stream, length_s=length, step_s=length / 2).batch()
        np.testing.assert_array_equal(memory.x.numpy(), disk.x.numpy())
        np.testing.assert_array_equal(memory.time_mask.numpy(), disk.time_mask.numpy())


def test_lazy_recording_survives_pickling(tmp_path: Path) -> None:
    stored = store.load(store.save(full_recording(), tmp_path / "a.h5"))
    before = stored.regular("eeg").read(0, 10)
    again = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(again.regular("eeg").read(0, 10), before)


def test_verify_finds_one_changed_sample(tmp_path: Path) -> None:
    path = store.save(full_recording(), tmp_path / "a.h5")
    store.verify(path)
    with h5py.File(path, "r+") as file:
        file["streams/eeg/data"][1, 500] += 1
    with pytest.raises(FileError, match="other values than were written"):
        store.verify(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_disk_full_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save(full_recording(seed=0), tmp_path / "a.h5")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_put_static", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(full_recording(seed=1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_unmasked_nan_of_a_lazy_stream_is_refused(tmp_path: Path) -> None:
    class Disk:
        shape, dtype = (1, 10), np.dtype(np.float32)

        def __getitem__(self, key: object) -> np.ndarray:
            return np.full((1, 10), np.nan, np.float32)[key]  # type: ignore[index]

    rec = Recording({"eeg": Regular(Disk(), 10, "uV", Axis(["Fz"], "eeg"), "eeg")})
    with pytest.raises(DataError, match="without a mask"):
        store.save(rec, tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.__setitem__("format", "other"), "not a stored recording"),
        (lambda f: f.attrs.__setitem__("format_version", 99), "format version 99"),
        (lambda f: f.__delitem__("events/type"), "does not hold one"),
        (lambda f: f["streams/eeg"].__delitem__("data"), "does not hold one"),
        (lambda f: f["meta"].__setitem__(slice(0, 5), 0), "does not hold one"),
    ],
)
def test_damaged_files_give_one_clear_error(tmp_path: Path, change: object, message: str) -> None:
    path = store.save(full_recording(), tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        change(file)  # type: ignore[operator]
    with pytest.raises(FileError, match=message):
        store.load(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = store.save(full_recording(), tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(FileError):
        store.load(path)


def test_file_replaced_under_an_open_recording_is_noticed(tmp_path: Path) -> None:
    path = store.save(full_recording(), tmp_path / "a.h5")
    stored = store.load(path)
    rec = full_recording()
    store.save(rec.with_stream("eeg", rec.regular("eeg").take([0, 1])), path)
    with pytest.raises(FileError, match="has changed"):
        stored.regular("eeg").read(0, 10)


def test_missing_file_and_wrong_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError):
        store.load(tmp_path / "none.h5")
    with pytest.raises(DataError, match=r"\.h5"):
        store.save(full_recording(), tmp_path / "a.edf")


def test_only_safe_opens_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save(full_recording(), tmp_path / "a.h5")
    opened = []
    real = safe.open_hdf5
    monkeypatch.setattr(safe, "open_hdf5", lambda *a, **k: opened.append(a) or real(*a, **k))
    store.load(path).regular("eeg").read(0, 5)
    assert len(opened) == 2  # once for the facts, once for the samples


def test_the_contract_a_stream_was_brought_to_is_stored(tmp_path: Path) -> None:
    axis = Axis(["Fz", "Cz"], "eeg")
    rec = Recording({"eeg": Regular(20 * np.ones((2, 512)), 256, "uV", axis, "eeg")})
    contract = InputContract(modality="eeg", sfreq=128, unit="uV", missing="mask")
    store.save(contract.conform(rec, check=False), tmp_path / "a.h5")
    index = windows([store.load(tmp_path / "a.h5")], stream="eeg", length_s=1.0)
    assert index.contract().missing == "mask"


def test_a_long_recording_is_mapped_and_read_right(tmp_path: Path) -> None:
    # HDF5 puts pieces of its index between the chunks of a long data set, so
    # that chunks are not evenly spaced: a map that assumes it would fall back.
    x = np.random.default_rng(0).normal(0, 20, (2, 256 * 900)).astype(np.float32)
    rec = Recording({"eeg": Regular(x, 256, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")})
    data = store.load(store.save(rec, tmp_path / "a.h5")).regular("eeg").data
    np.testing.assert_array_equal(data[:, 1000:200_000], x[:, 1000:200_000])
    assert type(data._open()).__name__ == "_Tiles"
