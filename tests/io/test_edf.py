"""EDF files by their header: the same numbers as the full reader's, and clear refusals."""

import edfio
import numpy as np
import pytest

from neuro.data import windows
from neuro.errors import FileError, NeuroError, UnitError
from neuro.io import read_eeg
from neuro.io.edf import read_edf, read_header, read_notes

SFREQ = 100


def write(path, labels=("Fp1", "C3"), notes=None, unit="uV", rates=None, record_s=1):
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(
            rng.normal(0, 20, 10 * rate), rate, label=label, physical_dimension=unit,
            physical_range=(-200, 300),
        )
        for label, rate in zip(labels, rates or [SFREQ] * len(labels), strict=True)
    ]  # fmt: skip
    marks = [edfio.EdfAnnotation(*note) for note in notes] if notes else None
    edfio.Edf(signals, annotations=marks, data_record_duration=record_s).write(path)
    return path


def lazily(path, **options):
    return read_edf(
        read_header(path), lambda label: ("eeg", label.strip()), facts={"subject": "1"}, **options
    )


def patched(path, place, text):
    content = bytearray(path.read_bytes())
    content[place : place + len(text)] = text
    path.write_bytes(content)
    return path


def test_samples_equal_those_of_the_full_reader(tmp_path):
    path = write(tmp_path / "a.edf", record_s=0.5)
    mine, whole = (r.regular("eeg") for r in (lazily(path), read_eeg(path)))
    assert (mine.rate, mine.unit, mine.shape) == (whole.rate, "uV", whole.shape)
    # both take value = stored * scale + offset; their scales differ in the last bit of float64
    np.testing.assert_allclose(mine.values(), whole.values(), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(mine.data[:, :], whole.data[:, :])


@pytest.mark.parametrize(
    ("rows", "times"),
    [
        (slice(None), slice(3, 4)),
        (slice(None), slice(95, 305)),
        ([1, 0], slice(0, 1000)),
        (1, slice(100, 200)),
        (slice(None), slice(10, 400, 7)),
        (slice(None), slice(500, 500)),
        (slice(None), slice(-20, None)),
    ],
    ids=str,
)
def test_any_stretch_is_that_of_the_whole(tmp_path, rows, times):
    data = lazily(write(tmp_path / "a.edf")).regular("eeg").data
    whole = data[:, :]
    assert data.dtype == whole.dtype == np.int16
    np.testing.assert_array_equal(data[rows, times], whole[rows, times])


def test_windows_are_read_from_the_file(tmp_path):
    recording = lazily(write(tmp_path / "a.edf"))
    index = windows(recording, stream="eeg", length_s=1.5)
    np.testing.assert_array_equal(
        index.batch([2]).x[0].numpy(), recording.regular("eeg").values()[:, 300:450]
    )


def test_rates_become_streams(tmp_path):
    path = write(tmp_path / "a.edf", ("Fp1", "C3", "Pz"), rates=(100, 50, 100))
    recording = lazily(path)
    assert recording.regular("eeg").axis.names == ("Fp1", "Pz")
    assert recording.regular("eeg_50hz").shape == (1, 500)


def test_millivolts_become_microvolts(tmp_path):
    stream = lazily(write(tmp_path / "a.edf", unit="mV")).regular("eeg")
    plain = lazily(write(tmp_path / "b.edf", unit="uV")).regular("eeg")
    np.testing.assert_allclose(stream.values(), 1000 * plain.values(), rtol=1e-6)


def test_other_units_are_refused(tmp_path):
    with pytest.raises(UnitError, match=r"'a\.edf'.*'DegC', not in volts"):
        lazily(write(tmp_path / "a.edf", unit="DegC"))


def test_other_channels_that_are_not_in_volts_are_left_out(tmp_path):
    path = write(tmp_path / "a.edf", ("Fp1", "EMG"))
    patched(path, 256 + 2 * 96 + 8, b"%       ")
    recording = read_edf(
        read_header(path), lambda n: ("emg" if n == "EMG" else "eeg", n), facts={"subject": "1"}
    )
    assert list(recording.streams) == ["eeg"]
    assert recording.provenance.steps == ("channels left out: EMG",)


def test_notes_are_read_without_the_samples(tmp_path):
    path = write(tmp_path / "a.edf", notes=[(7.25, None, "late"), (0.5, 1.5, "early ä")])
    assert read_notes(read_header(path)) == [(0.5, 1.5, "early ä"), (7.25, 0.0, "late")]
    assert lazily(write(tmp_path / "b.edf")).provenance.steps == ()
    assert read_notes(read_header(tmp_path / "b.edf")) == []


def test_notes_equal_those_of_the_full_reader(tmp_path):
    notes = [(0.25 * i, 0.125 * (i % 3), f"mark {i}") for i in range(30)]
    path = write(tmp_path / "a.edf", notes=notes, record_s=0.5)
    events = read_eeg(path).events
    mine = read_notes(read_header(path))
    assert [text for _, _, text in mine] == events.type.tolist()
    np.testing.assert_allclose([t for t, _, _ in mine], events.onset_s, rtol=0, atol=1e-9)
    np.testing.assert_allclose([d for _, d, _ in mine], events.duration_s, rtol=0, atol=1e-9)


def test_header_of_a_file_that_was_never_closed(tmp_path):
    path = patched(write(tmp_path / "a.edf"), 236, b"-1      ")
    assert read_header(path).n_records == 10
    assert lazily(path).regular("eeg").n_times == 1000


@pytest.mark.parametrize(
    ("place", "text", "match"),
    [
        (0, b"\xffBIOSEMI", "is no EDF file"),
        (
            236,
            b"12      ",
            "truncated: its header claims 12 records of 400 bytes, the file holds 10",
        ),
        (236, b"0       ", "holds no samples"),
        (252, b"9999", "ends inside its header"),
        (252, b"two ", "its header holds no numbers"),
        (244, b"-1      ", "its header holds no numbers"),
        (244, b"1e999999", "its header holds no numbers"),
        (256 + 2 * 216, b"-5      ", "negative number of samples"),
        (256 + 2 * 104, b"low     ", "a channel's range is no number"),
    ],
)
def test_damaged_headers(tmp_path, place, text, match):
    path = patched(write(tmp_path / "a.edf"), place, text)
    with pytest.raises(FileError, match=match) as caught:
        read_header(path)
    assert str(caught.value).startswith("'a.edf'")


def test_channel_without_a_range_is_refused_only_if_wanted(tmp_path):
    # digital minimum and maximum of the first channel alike
    path = write(tmp_path / "a.edf")
    patched(path, 256 + 2 * 120, b"7       ")
    patched(path, 256 + 2 * 128, b"7       ")
    with pytest.raises(FileError, match="gives channel 'Fp1' no digital range"):
        lazily(path)
    chosen = read_edf(
        read_header(path), lambda n: ("eeg", n) if n == "C3" else None, facts={"subject": "1"}
    )
    assert chosen.regular("eeg").axis.names == ("C3",)
    assert chosen.provenance.steps == ("channels left out: Fp1",)


def test_gaps_are_refused(tmp_path):
    path = write(tmp_path / "a.edf", notes=[(0.5, 1.0, "x")])
    patched(path, 192, b"EDF+D")
    assert read_header(path).n_records == 10  # it says so, but there is none
    content = path.read_bytes()
    assert content.count(b"+5\x14\x14") == 1
    path.write_bytes(content.replace(b"+5\x14\x14", b"+7\x14\x14"))
    with pytest.raises(FileError, match="gaps in time"):
        read_header(path)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_end_in_a_foreign_error(tmp_path, seed):
    path = write(tmp_path / "a.edf", notes=[(0.5, 1.0, "x")])
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    read = refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, 1024, rng.integers(1, 6)):
            content[place] = rng.choice(list(b"0123456789 -.eE+DxV\x00\xff"))
        path.write_bytes(content)
        try:
            recording = lazily(path)
            read_notes(read_header(path))
            for stream in recording.streams.values():
                stream.read(0, min(stream.n_times, 50))
            read += 1
        except NeuroError:
            refused += 1
    assert min(read, refused) > 10


def test_file_that_changed_is_not_read_on(tmp_path):
    path = write(tmp_path / "a.edf")
    stream = lazily(path).regular("eeg")
    write(path, ("Fp1", "C3", "Pz"))
    with pytest.raises(FileError, match="has changed"):
        stream.read(0, 10)
    path.unlink()
    with pytest.raises(FileError, match="cannot be read any more"):
        stream.read(0, 10)
