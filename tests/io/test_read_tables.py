"""Tables of regions and of spikes: direction, names, times; one error for bad ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuro import io
from neuro.data import Irregular
from neuro.errors import ConfigError, DataError, FileError
from neuro.io import from_spikes, read_spikes, safe

DIFUMO = Path(__file__).parents[2] / "../shared/data/bold_difumo64.npz"


def table(n_times: int = 40, n_regions: int = 5) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n_times, n_regions))
    return x.astype(np.float32)


def write_csv(path: Path, x: np.ndarray, header: list[str] | None = None, mark: str = ",") -> Path:
    rows = [mark.join(f"{v:.9g}" for v in row) for row in x]
    path.write_text("\n".join([*([mark.join(header)] if header else []), *rows]) + "\n")
    return path


# --------------------------------------------------------------------- regions


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ","), (".tsv", "\t"), (".txt", " ")])
def test_header_names_regions(tmp_path: Path, suffix: str, mark: str) -> None:
    x = table()
    path = write_csv(tmp_path / f"a{suffix}", x, ["A", "B", "C", "D", "E"], mark)
    recording = io.read(path, tr=2.1, atlas="mine", unit="z")
    stream = recording.regular("bold")
    np.testing.assert_array_equal(stream.values(), x.T)
    assert stream.axis.names == tuple("ABCDE")
    assert (stream.unit, stream.axis.atlas, float(1 / stream.rate)) == ("z", "mine", 2.1)


def test_first_column_names_regions(tmp_path: Path) -> None:
    x = table().T
    rows = [",".join([n, *(f"{v:.9g}" for v in r)]) for n, r in zip("ABCDE", x, strict=True)]
    path = tmp_path / "r.csv"
    path.write_text("\n".join(rows))
    stream = io.read(path, tr=2.0).regular("bold")
    np.testing.assert_array_equal(stream.values(), x)
    assert stream.axis.names == tuple("ABCDE")


def test_a_counter_of_volumes_is_no_region(tmp_path: Path) -> None:
    x = table()
    both = np.column_stack([np.arange(40), x])
    path = write_csv(tmp_path / "i.csv", both, ["index", *"ABCDE"])
    np.testing.assert_array_equal(io.read(path, tr=2.0).regular("bold").values(), x.T)


def test_npy_is_time_by_region(tmp_path: Path) -> None:
    safe.save_npy(tmp_path / "a.npy", table())
    stream = io.read(tmp_path / "a.npy", tr=2.0).regular("bold")
    np.testing.assert_array_equal(stream.values(), table().T)
    assert stream.axis.names[:2] == ("roi 1", "roi 2")


def test_fewer_volumes_than_regions_must_be_meant(tmp_path: Path) -> None:
    safe.save_npy(tmp_path / "t.npy", table().T)
    with pytest.raises(DataError, match=r"t.npy.*time_axis=1"):
        io.read(tmp_path / "t.npy", tr=2.0)
    turned = io.read(tmp_path / "t.npy", tr=2.0, time_axis=1).regular("bold")
    np.testing.assert_array_equal(turned.values(), table().T)
    meant = io.read(tmp_path / "t.npy", tr=2.0, time_axis=0).regular("bold")
    assert meant.shape == (40, 5)


def test_labels_decide_the_direction(tmp_path: Path) -> None:
    safe.save_npy(tmp_path / "t.npy", table().T)
    stream = io.read(tmp_path / "t.npy", tr=2.0, labels=list("ABCDE")).regular("bold")
    np.testing.assert_array_equal(stream.values(), table().T)
    assert stream.axis.names == tuple("ABCDE")


def test_names_against_time_axis(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", table(), list("ABCDE"))
    with pytest.raises(DataError, match="time_axis=1"):
        io.read(path, tr=2.0, time_axis=1)


def test_labels_that_fit_nothing(tmp_path: Path) -> None:
    safe.save_npy(tmp_path / "t.npy", table())
    with pytest.raises(DataError, match="3 labels"):
        io.read(tmp_path / "t.npy", tr=2.0, labels=["x", "y", "z"])


def test_npz_with_names_and_tr(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    names = np.array(list("ABCDE"))
    safe.save_npz(path, {"bold": table(), "names": names, "tr": np.array(0.8)})
    stream = io.read(path).regular("bold")
    assert stream.axis.names == tuple("ABCDE")
    assert stream.sfreq == pytest.approx(1.25)


def test_npz_of_several_tables_needs_a_key(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    safe.save_npz(path, {"s1": table(), "s2": 2 * table()})
    with pytest.raises(FileError, match="s1, s2"):
        io.read(path, tr=2.0)
    recording = io.read(path, tr=2.0, key="s2")
    np.testing.assert_array_equal(recording.regular("bold").values(), 2 * table().T)
    assert recording.id == "a_s2"
    with pytest.raises(FileError, match="Did you mean 's1'"):
        io.read(path, tr=2.0, key="s11")


@pytest.mark.skipif(not DIFUMO.exists(), reason="../shared/data/bold_difumo64.npz is absent")
def test_difumo_scan() -> None:
    recording = io.read(DIFUMO, key="sub07-scan02", tr=2.1, unit="z", subject="07")
    stream = recording.regular("bold")
    assert stream.shape == (66, 575)
    assert stream.duration_s == pytest.approx(1207.5)


def test_sidecar_gives_the_repetition_time(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", table(), list("ABCDE"))
    (tmp_path / "a.json").write_text(json.dumps({"SamplingFrequency": 0.5}))
    assert io.read(path).regular("bold").sfreq == 0.5


def test_missing_and_constant_cells(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("A,B,C\n1,5,n/a\n2,5,3\n4,5,1\n")
    stream = io.read(path, tr=2.0).regular("bold")
    assert np.isnan(stream.values()[2, 0])
    assert stream.axis.bad.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,B\n1,2\n3\n", "row 3: 1 cells"),
        ("A,B\n1,2\n3,x\n", "could not convert|holds"),
        ("A,A\n1,2\n3,4\n5,6\n", "Duplicate"),
        ("A,B\n", "no rows"),
        ("\n\n", "empty table"),
        ("A,B\nn/a,n/a\nn/a,n/a\n", "holds no number"),
        ("A,B\n1,inf\n2,3\n", "infinite"),
        ("A,,B\n1,2,3\n4,5,6\n7,8,9\n1,1,1\n", "empty name"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises((FileError, DataError), match=f"bad.csv.*({message})"):
        io.read(path, tr=2.0)


def test_binary_named_csv(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(FileError, match=r"b.csv"):
        io.read(path, tr=2.0)


def test_no_repetition_time(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", table(), list("ABCDE"))
    with pytest.raises(FileError, match=r"tr=2.0"):
        io.read(path)


@pytest.mark.parametrize("array", [np.zeros(5), np.zeros((2, 3, 4)), np.zeros((0, 4))])
def test_arrays_that_are_no_table(tmp_path: Path, array: np.ndarray) -> None:
    safe.save_npy(tmp_path / "x.npy", array)
    with pytest.raises(FileError, match="two dimensions"):
        io.read(tmp_path / "x.npy", tr=2.0)


# ---------------------------------------------------------------------- spikes


def spikes_csv(path: Path, rows: str) -> Path:
    path.write_text("time_s,unit\n" + rows)
    return path


def test_spike_table(tmp_path: Path) -> None:
    path = spikes_csv(tmp_path / "s.csv", "0.1,3\n0.3,3\n0.2,1\n")
    stream = io.read(path, subject="m1").stream("spikes")
    assert isinstance(stream, Irregular)
    assert stream.times_s.tolist() == [0.1, 0.2, 0.3]
    assert stream.unit_index.tolist() == [1, 0, 1]
    assert stream.units.names == ("unit 1", "unit 3")
    assert stream.support[0, 0] == 0
    assert stream.support[-1, 1] > 0.3


def test_spike_npz_with_support(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    safe.save_npz(
        path,
        {
            "spike_times": np.array([100.0, 900.0]),
            "clusters": np.array([5, 5]),
            "support": np.array([[0.0, 2000.0]]),
        },
    )
    stream = io.read(path, unit="ms").stream("spikes")
    assert isinstance(stream, Irregular)
    assert stream.times_s.tolist() == [0.1, 0.9]
    assert stream.support.tolist() == [[0.0, 2.0]]


def test_times_in_milliseconds_read_as_microseconds_are_found(tmp_path: Path) -> None:
    rows = "".join(f"{i * 10},1\n" for i in range(1, 60))  # 100 a second, in ms
    path = spikes_csv(tmp_path / "s.csv", rows)
    with pytest.raises(DataError, match="another unit"):
        read_spikes(path, unit="us")
    assert io.read(path, unit="ms").stream("spikes").stop_s == pytest.approx(0.59)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0.3,1\n0.1,1\n", "decrease"),
        ("0.3,1\nn/a,1\n", "not finite"),
        ("0.3\n", "cells"),
    ],
)
def test_bad_spikes(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises((DataError, FileError), match=message):
        io.read(spikes_csv(tmp_path / "s.csv", rows))


def test_unknown_unit_of_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="s, ms or us"):
        io.read(spikes_csv(tmp_path / "s.csv", "0.1,1\n"), unit="min")


def test_volume_options_for_spikes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tr= does not apply"):
        io.read(spikes_csv(tmp_path / "s.csv", "0.1,1\n"), tr=2.0)


def test_from_spikes_names_silent_units() -> None:
    recording = from_spikes([0.5], [2], names={1: "quiet", 2: "loud"}, support=[(0, 1)])
    stream = recording.stream()
    assert isinstance(stream, Irregular)
    assert stream.units.names == ("quiet", "loud")
    assert stream.bin(0.5).values().tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_spike_outside_the_support() -> None:
    with pytest.raises(DataError, match="outside the support"):
        from_spikes([0.5, 2.5], support=[(0, 1)])


def test_no_spike() -> None:
    with pytest.raises(DataError, match="no spike"):
        from_spikes([])
