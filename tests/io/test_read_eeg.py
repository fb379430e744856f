"""EEG files: values, names, rates, units and events as written; one error for bad ones."""

import logging
import os
import pickle
import re
import struct
import sys
import warnings
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from neuro import io
from neuro.data import Regular
from neuro.errors import (
    ConfigError,
    DataError,
    DataUnavailableError,
    FileError,
    NeuroError,
    UnitError,
)
from neuro.io import _mne_array, eeg

GDF = Path(__file__).parents[2] / "../shared/data/mi_2class.gdf"
needs_gdf = pytest.mark.skipif(not GDF.exists(), reason="../shared/data/mi_2class.gdf is absent")


def noise(n_chans: int = 2, n_times: int = 2560, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, (n_chans, n_times))


def write_edf(path: Path, signals: list, **kwargs: object) -> Path:
    edfio.Edf(signals, **kwargs).write(path)
    return path


def signal(x: np.ndarray, label: str = "EEG Fp1-REF", sfreq: float = 256, unit: str = "uV"):
    return edfio.EdfSignal(x, sfreq, label=label, physical_dimension=unit)


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    x = noise()
    return write_edf(
        tmp_path / "a.edf",
        [signal(x[0]), signal(x[1], "EEG C3-REF")],
        annotations=[edfio.EdfAnnotation(1.5, 0.5, "blink"), edfio.EdfAnnotation(3, None, "7")],
        patient=edfio.Patient(name="Jane_Doe", sex="F", code="X1", birthdate=None),
    )


def raw_array(n_times: int = 2560, kind: str = "eeg") -> mne.io.RawArray:
    info = mne.create_info(["Fz", "Cz"], 256.0, kind, verbose="error")
    scale = 1e-6 if kind == "eeg" else 1e-13
    return mne.io.RawArray(noise(n_times=n_times) * scale, info, verbose="error")


# ------------------------------------------------------------------------- EDF


def test_edf_values_names_rate_and_unit(edf: Path) -> None:
    stream = io.read(edf).regular("eeg")
    assert stream.axis.names == ("EEG Fp1-REF", "EEG C3-REF")
    assert (stream.sfreq, stream.unit, stream.n_times) == (256.0, "uV", 2560)
    # half of one 16-bit step over the signal's range
    step = np.ptp(noise(), axis=1).max() / 65535
    np.testing.assert_allclose(stream.values(), noise(), atol=step)


def test_edf_stays_16_bit_and_equals_mne(edf: Path) -> None:
    stream = io.read(edf).regular("eeg")
    assert stream.data.dtype == np.int16
    volts = mne.io.read_raw_edf(edf, verbose="error").get_data()
    # one unit in the last place of float32 at 100 uV
    np.testing.assert_allclose(stream.values(), volts * 1e6, rtol=2e-7, atol=1e-6)


def test_edf_digital_values_are_the_bytes_of_the_file(edf: Path) -> None:
    stream = io.read(edf).regular("eeg")
    stored = edfio.read_edf(edf).signals[1].digital
    np.testing.assert_array_equal(stream.data[1:2, :][0], stored)


def test_edf_annotations_become_events(edf: Path) -> None:
    events = io.read(edf).events
    assert events.onset_s.tolist() == [1.5, 3.0]
    assert events.type.tolist() == ["blink", "7"]
    assert events.duration_s.tolist() == [0.5, 0.0]
    assert np.isnan(events.value[0])
    assert events.value[1] == 7


def test_edf_carries_no_name_and_no_folder(edf: Path) -> None:
    recording = io.read(edf)
    text = repr(recording) + repr(recording.provenance) + repr(recording.streams["eeg"].data)
    assert "Doe" not in text
    assert str(edf.parent) not in text
    assert b"Doe" not in pickle.dumps(recording)
    assert recording.streams["eeg"].data._raw.info["subject_info"]["last_name"] != "Doe"


def test_edf_provenance(edf: Path) -> None:
    import hashlib

    made = io.read(edf).provenance
    assert made.source == "a.edf"
    assert made.sha256 == hashlib.sha256(edf.read_bytes()).hexdigest()
    assert made.reader == "neuro.io.eeg"
    assert "mne" in made.version


def test_edf_kinds_by_label_and_unit(tmp_path: Path) -> None:
    x = noise(1, 256 * 4)[0]
    path = write_edf(
        tmp_path / "k.edf",
        [signal(x), signal(x, "EOG left"), signal(x / 100 + 36, "Temp", unit="degC")],
    )
    recording = io.read(path)
    assert set(recording.streams) == {"eeg", "eog", "misc"}
    assert recording.regular("misc").unit == "au"
    # the file's own numbers: 36 degrees, not 36 million
    assert recording.regular("misc").values().mean() == pytest.approx(36, abs=0.1)


def test_edf_of_two_rates_is_not_resampled(tmp_path: Path) -> None:
    fast, slow = noise(1, 2560)[0], noise(1, 1000, seed=1)[0]
    path = write_edf(tmp_path / "r.edf", [signal(fast), signal(slow, "EEG Cz-REF", 100)])
    recording = io.read(path)
    assert recording.regular("eeg").sfreq == 256
    other = recording.regular("eeg_100hz")
    assert other.shape == (1, 1000)
    np.testing.assert_allclose(other.values()[0], slow, atol=np.ptp(slow) / 65535)


def test_unit_is_that_of_the_files_numbers(tmp_path: Path) -> None:
    x = noise(1) / 1e3  # microvolts written as if they were millivolts / 1000
    path = write_edf(tmp_path / "u.edf", [signal(x[0], unit="uV")])
    with pytest.raises(UnitError, match=r"u.edf.*unit='mV'"):
        io.read(path)
    stream = io.read(path, unit="mV").regular("eeg")
    np.testing.assert_allclose(stream.values(), x * 1e3, atol=np.ptp(x) / 65)


def test_check_false_accepts_any_amplitude(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "u.edf", [signal(noise(1)[0] / 1e5)])
    assert io.read(path, check=False).regular("eeg").values().std() < 1e-3


def test_lazy_stream_survives_pickling(edf: Path) -> None:
    recording = io.read(edf)
    again = pickle.loads(pickle.dumps(recording))
    np.testing.assert_array_equal(again.regular("eeg").values(), recording.regular("eeg").values())


def test_changed_file_is_refused(edf: Path) -> None:
    recording = pickle.loads(pickle.dumps(io.read(edf)))
    os.utime(edf, ns=(1, 1))
    with pytest.raises(FileError, match="has changed since"):
        recording.regular("eeg").read(0, 10)


def test_rows_come_in_the_order_asked(edf: Path) -> None:
    stream = io.read(edf).regular("eeg")
    both = stream.read(100, 130)
    np.testing.assert_array_equal(stream.read(100, 130, rows=np.array([1, 0])), both[[1, 0]])
    np.testing.assert_array_equal(stream.take([1]).read(100, 130), both[[1]])


def test_opening_holds_no_samples(tmp_path: Path) -> None:
    import tracemalloc

    x = noise(1, 256 * 600)[0]
    path = write_edf(tmp_path / "m.edf", [signal(x, f"EEG {i}") for i in range(16)])
    io.read(path)  # imports
    tracemalloc.start()
    recording = io.read(path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.regular("eeg").shape == (16, 256 * 600)
    assert held < 1_000_000  # the samples are 4.9 MB as int16, 19.7 MB as float64


def test_edf_without_integers_reads_as_float32(edf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = io.read(edf).regular("eeg").values()
    monkeypatch.setattr(_mne_array, "integer_form", lambda raw, suffix: None)
    stream = io.read(edf).regular("eeg")
    assert stream.data.dtype == np.float32
    np.testing.assert_allclose(stream.values(), whole, rtol=2e-7, atol=1e-6)


def test_discontinuous_edf_is_refused_and_can_be_forced(tmp_path: Path) -> None:
    path = write_edf(
        tmp_path / "d.edf",
        [signal(noise(1)[0])],
        annotations=[edfio.EdfAnnotation(1, None, "x")],
    )
    content = path.read_bytes().replace(b"EDF+C", b"EDF+D", 1)
    path.write_bytes(content)
    assert io.read(path).regular("eeg").n_times == 2560  # declared so, but without gaps
    for record in range(5, 10):  # the second half starts 100 s later
        stamp = f"+{record}".encode() + b"\x14\x14\x00\x00\x00"
        assert content.count(stamp) == 1
        content = content.replace(stamp, f"+{record + 100}".encode() + b"\x14\x14\x00")
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"1 gaps, the first after 5 s"):
        io.read(path)
    assert io.read(path, check=False).regular("eeg").n_times == 2560


@pytest.mark.parametrize("keep", [100, 300, 800, 3000])
def test_truncated_edf(edf: Path, keep: int) -> None:
    edf.write_bytes(edf.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"a.edf"):
        io.read(edf)


def test_truncated_edf_names_the_cause(edf: Path) -> None:
    edf.write_bytes(edf.read_bytes()[:-4000])
    with pytest.raises(FileError, match="truncated"):
        io.read(edf)
    assert io.read(edf, check=False).regular("eeg").n_times < 2560


def test_duplicate_channel_names(tmp_path: Path) -> None:
    x = noise()
    path = write_edf(tmp_path / "dup.edf", [signal(x[0]), signal(x[1])])
    with pytest.raises(FileError, match="stand twice"):
        io.read(path)


def test_foreign_warnings_never_leak(edf: Path) -> None:
    edf.write_bytes(edf.read_bytes()[:-4000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = io.read(edf, check=False)
    assert any("Number of records" in s for s in recording.provenance.steps)


def test_what_mne_logs_becomes_a_note_and_never_reaches_the_terminal(
    edf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # MNE repeats warnings in its log, on stdout, once anything has marked the
    # handler as a file: a program that reads `neuro info --json` would choke.
    logger = logging.getLogger("mne")
    handler = logging.StreamHandler(sys.stdout)
    handler._mne_file_like = True
    logger.addHandler(handler)
    try:
        edf.write_bytes(edf.read_bytes()[:-4000])
        recording = io.read(edf, check=False)
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().out == ""
    assert any("Number of records" in s for s in recording.provenance.steps)


# ------------------------------------------------------------------------- GDF


@needs_gdf
def test_gdf_in_microvolts_is_found_out() -> None:
    with pytest.raises(UnitError, match="unit='uV'"):
        io.read(GDF)


@needs_gdf
def test_gdf_with_its_true_unit() -> None:
    recording = io.read(GDF, unit="uV")
    stream = recording.regular("eeg")
    assert stream.shape == (4, 97419)
    assert stream.sfreq == 256
    assert stream.data.dtype == np.int16
    np.testing.assert_allclose(stream.values().std(axis=1), [4.313, 4.212, 4.658, 3.005], atol=1e-3)
    kinds, counts = np.unique(recording.events.value, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
        768: 40, 769: 20, 770: 20, 781: 40, 785: 40, 786: 40,
    }  # fmt: skip
    assert "declared uV" in recording.provenance.steps[0]


@needs_gdf
def test_truncated_gdf(tmp_path: Path) -> None:
    path = tmp_path / "t.gdf"
    path.write_bytes(GDF.read_bytes()[:300_000])
    with pytest.raises(FileError, match=r"t.gdf"):
        io.read(path, unit="uV")


# ------------------------------------------------------------------------- FIF


def test_fif_values_positions_bads_and_events(tmp_path: Path) -> None:
    raw = raw_array()
    raw.set_montage("standard_1005", verbose="error")
    raw.info["bads"] = ["Cz"]
    raw.set_annotations(mne.Annotations([1.0, 4.0], [0.0, 1.0], ["left", "BAD_jump"]))
    path = tmp_path / "a_raw.fif"
    raw.save(path, verbose="error")
    recording = io.read(path)
    stream = recording.regular("eeg")
    np.testing.assert_allclose(stream.values(), noise(), rtol=1e-6)
    assert stream.axis.bad.tolist() == [False, True]
    assert stream.axis.frame == "head"
    np.testing.assert_allclose(
        stream.axis.positions, [ch["loc"][:3] for ch in raw.info["chs"]], atol=1e-6
    )
    assert recording.events.type.tolist() == ["left"]
    assert stream.segments.tolist() == [[0, 1024], [1280, 2560]]


def test_fif_after_cropping_keeps_event_times(tmp_path: Path) -> None:
    raw = raw_array()
    raw.set_annotations(mne.Annotations([5.0], [0.0], ["go"]))
    path = tmp_path / "c_raw.fif"
    raw.crop(tmin=2.0).save(path, verbose="error")
    assert io.read(path).events.onset_s[0] == pytest.approx(3.0)


def test_fif_magnetometers_are_in_femtotesla(tmp_path: Path) -> None:
    path = tmp_path / "m_raw.fif"
    raw_array(kind="mag").save(path, verbose="error")
    stream = io.read(path).regular("meg_mag")
    assert stream.unit == "fT"
    np.testing.assert_allclose(stream.values(), noise() * 100, rtol=1e-6)


def test_fif_codes_of_a_stim_channel_become_events(tmp_path: Path) -> None:
    info = mne.create_info(["Fz", "STI 014"], 256.0, ["eeg", "stim"], verbose="error")
    x = np.zeros((2, 2560))
    x[0] = noise(1)[0] * 1e-6
    x[1, 512:520] = 5
    x[1, 1024:1030] = 9
    path = tmp_path / "s_raw.fif"
    mne.io.RawArray(x, info, verbose="error").save(path, verbose="error")
    events = io.read(path).events
    assert events.value.tolist() == [5, 9]
    assert events.onset_s.tolist() == [2.0, 4.0]


def test_epochs_fif_has_one_segment_and_block_a_trial(tmp_path: Path) -> None:
    x = noise(2, 600).reshape(2, 3, 200).transpose(1, 0, 2) * 1e-6
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg", verbose="error")
    events = np.array([[0, 0, 1], [300, 0, 2], [600, 0, 1]])
    epochs = mne.EpochsArray(
        x, info, events, tmin=-0.5, event_id={"left": 1, "right": 2}, verbose="error"
    )
    path = tmp_path / "a-epo.fif"
    epochs.save(path, verbose="error")
    recording = io.read(path)
    stream = recording.regular("eeg")
    assert stream.segments.tolist() == [[0, 200], [200, 400], [400, 600]]
    assert recording.events.type.tolist() == ["left", "right", "left"]
    assert recording.events.block.tolist() == [0, 1, 2]
    np.testing.assert_allclose(stream.values(), noise(2, 600), rtol=1e-5, atol=1e-5)


def test_everything_annotated_bad_is_an_error(tmp_path: Path) -> None:
    raw = raw_array()
    raw.set_annotations(mne.Annotations([0.0], [10.0], ["BAD_all"]))
    path = tmp_path / "b_raw.fif"
    raw.save(path, verbose="error")
    with pytest.raises(NeuroError, match=r"b_raw.fif.*BAD"):
        io.read(path)


@pytest.mark.parametrize("keep", [50, 500, 3000, 15000])
def test_truncated_fif(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t_raw.fif"
    raw_array().save(path, verbose="error")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t_raw.fif"):
        io.read(path)


def test_all_nan_is_an_error(tmp_path: Path) -> None:
    info = mne.create_info(["Fz"], 100.0, "eeg", verbose="error")
    path = tmp_path / "n_raw.fif"
    mne.io.RawArray(np.full((1, 500), np.nan), info, verbose="error").save(path, verbose="error")
    with pytest.raises(DataError, match="holds no number"):
        io.read(path)


# ---------------------------------------------------------------------- EEGLAB


def write_set(path: Path, x: np.ndarray, data: object = None, **extra: object) -> Path:
    from scipy.io import savemat

    n_chans, n_times = x.shape[:2]
    names = np.zeros(n_chans, dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    for i in range(n_chans):
        names[i] = (["Fz", "Cz", "Pz"][i], 0.0, 0.05 * i, 0.08)
    fields: dict[str, object] = {
        "setname": "x", "filename": path.name, "filepath": "", "nbchan": float(n_chans),
        "trials": float(x.shape[2] if x.ndim == 3 else 1), "pnts": float(n_times),
        "srate": 250.0, "xmin": 0.0, "xmax": (n_times - 1) / 250, "times": np.arange(n_times) * 4.0,
        "icaact": [], "icawinv": [], "icasphere": [], "icaweights": [], "icachansind": [],
        "chanlocs": names, "urchanlocs": [], "chaninfo": {"plotrad": []}, "ref": "common",
        "event": [], "epoch": [], "data": x.astype(np.float32) if data is None else data,
    }  # fmt: skip
    savemat(path, {"EEG": {**fields, **extra}})
    return path


def test_eeglab_with_samples_inside(tmp_path: Path) -> None:
    event = np.zeros(2, dtype=[("type", "O"), ("latency", "O"), ("duration", "O")])
    event[0], event[1] = ("go", 251.0, 0.0), ("boundary", 500.5, 0.0)
    path = write_set(tmp_path / "a.set", noise(), event=event)
    recording = io.read(path)
    stream = recording.regular("eeg")
    np.testing.assert_allclose(stream.values(), noise(), rtol=1e-5, atol=1e-5)
    assert stream.sfreq == 250
    assert recording.events.type.tolist() == ["go"]
    assert recording.events.onset_s[0] == pytest.approx(1.0, abs=0.005)
    assert len(stream.segments) == 2


def test_eeglab_with_fdt_stays_lazy(tmp_path: Path) -> None:
    x = noise().astype("<f4")
    (tmp_path / "b.fdt").write_bytes(x.T.tobytes())
    path = write_set(tmp_path / "b.set", x, data="b.fdt")
    stream = io.read(path).regular("eeg")
    assert not isinstance(stream.data, np.ndarray)
    np.testing.assert_allclose(stream.values(), x, rtol=1e-5, atol=1e-5)


def test_eeglab_epochs(tmp_path: Path) -> None:
    x = noise(2, 300 * 4).reshape(2, 4, 300).transpose(0, 2, 1)
    event = np.zeros(4, dtype=[("type", "O"), ("latency", "O"), ("epoch", "O")])
    epoch = np.zeros(4, dtype=[("event", "O"), ("eventlatency", "O"), ("eventtype", "O")])
    for i in range(4):
        event[i] = ("ab"[i % 2], i * 300 + 1.0, i + 1)
        epoch[i] = (i + 1, 0.0, "ab"[i % 2])
    path = write_set(tmp_path / "e.set", x, event=event, epoch=epoch)
    recording = io.read(path)
    assert recording.regular("eeg").segments.tolist() == [
        [i * 300, i * 300 + 300] for i in range(4)
    ]
    assert recording.events.type.tolist() == ["a", "b", "a", "b"]
    np.testing.assert_allclose(
        recording.regular("eeg").values()[:, 300:600], x[:, :, 1], rtol=1e-5, atol=1e-5
    )


def test_eeglab_in_volts_is_found_out_and_read(tmp_path: Path) -> None:
    path = write_set(tmp_path / "v.set", noise() * 1e-6)
    with pytest.raises(UnitError, match="unit='V'"):
        io.read(path)
    np.testing.assert_allclose(io.read(path, unit="V").regular("eeg").values(), noise(), rtol=1e-4)


def test_eeglab_may_not_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.fdt").write_bytes(noise().astype("<f4").T.tobytes())
    (tmp_path / "in").mkdir()
    path = write_set(tmp_path / "in" / "x.set", noise(), data="../secret.fdt")
    with pytest.raises(FileError, match="another folder"):
        io.read(path)


@pytest.mark.parametrize("keep", [60, 200, 5000])
def test_truncated_set(tmp_path: Path, keep: int) -> None:
    path = write_set(tmp_path / "t.set", noise())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t.set"):
        io.read(path)


# ----------------------------------------------------------------- BrainVision


def write_brainvision(folder: Path, x: np.ndarray, data: str = "v.eeg", **common: str) -> Path:
    lines = [
        "BrainVision Data Exchange Header File Version 1.0", "", "[Common Infos]",
        f"DataFile={data}", "MarkerFile=v.vmrk", "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED", f"NumberOfChannels={len(x)}", "SamplingInterval=4000",
        *[f"{k}={v}" for k, v in common.items()], "", "[Binary Infos]", "BinaryFormat=INT_16", "",
        "[Channel Infos]", *[f"Ch{i + 1}={n},,0.1,µV" for i, n in enumerate(["Fz", "Cz"])], "",
    ]  # fmt: skip
    (folder / "v.vhdr").write_text("\n".join(lines), encoding="utf-8")
    (folder / "v.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\n"
        "DataFile=v.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0,20200101000000000000\n"
        "Mk2=Stimulus,S  3,251,1,0\n",
        encoding="utf-8",
    )
    (folder / "v.eeg").write_bytes(np.round(x.T * 10).astype("<i2").tobytes())
    return folder / "v.vhdr"


def test_brainvision(tmp_path: Path) -> None:
    recording = io.read(write_brainvision(tmp_path, noise()))
    stream = recording.regular("eeg")
    assert stream.data.dtype == np.int16
    np.testing.assert_allclose(stream.values(), noise(), atol=0.0501)  # half a step of 0.1 uV
    hit = recording.events.select("Stimulus/S  3")
    assert hit.onset_s.tolist() == [1.0]
    assert hit.value.tolist() == [3.0]


def test_brainvision_that_lost_samples(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, noise(), DataPoints="9999")
    with pytest.raises(FileError, match="9999"):
        io.read(path)


def test_brainvision_may_not_leave_its_folder(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, noise(), data="../v.eeg")
    with pytest.raises(FileError, match="another folder"):
        io.read(path)


def test_brainvision_without_its_samples(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, noise())
    (tmp_path / "v.eeg").unlink()
    with pytest.raises(DataUnavailableError, match=r"v.eeg"):
        io.read(path)


# ------------------------------------------------------------------------- XDF


def xdf_chunk(tag: int, content: bytes) -> bytes:
    body = struct.pack("<H", tag) + content
    return b"\x04" + struct.pack("<I", len(body)) + body


def write_xdf(path: Path, x: np.ndarray, sfreq: float = 100.0) -> Path:
    def header(kind: str, n: int, rate: float, form: str, desc: str = "") -> bytes:
        return (
            f"<?xml version='1.0'?><info><name>{kind}</name><type>{kind}</type>"
            f"<channel_count>{n}</channel_count><nominal_srate>{rate}</nominal_srate>"
            f"<channel_format>{form}</channel_format><created_at>0</created_at>"
            f"<desc>{desc}</desc></info>"
        ).encode()

    channels = "".join(
        f"<channel><label>{c}</label><unit>microvolts</unit></channel>" for c in ("Fz", "Cz")
    )
    out = b"XDF:" + xdf_chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    one, two = struct.pack("<I", 1), struct.pack("<I", 2)
    desc = f"<channels>{channels}</channels>"
    out += xdf_chunk(2, one + header("EEG", len(x), sfreq, "float32", desc))
    out += xdf_chunk(2, two + header("Markers", 1, 0, "string"))
    samples = b"".join(
        b"\x08" + struct.pack("<d", 50 + i / sfreq) + x[:, i].astype("<f4").tobytes()
        for i in range(x.shape[1])
    )
    out += xdf_chunk(3, one + b"\x04" + struct.pack("<I", x.shape[1]) + samples)
    word = b"\x08" + struct.pack("<d", 51.5) + b"\x01\x03tap"
    out += xdf_chunk(3, two + b"\x01\x01" + word)
    path.write_bytes(out)
    return path


def test_xdf(tmp_path: Path) -> None:
    x = noise(2, 400)
    recording = io.read(write_xdf(tmp_path / "a.xdf", x))
    stream = recording.regular("eeg")
    assert stream.axis.names == ("Fz", "Cz")
    assert (stream.sfreq, stream.unit) == (100.0, "uV")
    np.testing.assert_allclose(stream.values(), x, rtol=1e-6)
    assert recording.events.type.tolist() == ["tap"]
    assert recording.events.onset_s[0] == pytest.approx(1.5, abs=1e-6)


def test_truncated_xdf(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "t.xdf", noise(2, 400))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileError, match=r"t.xdf"):
        io.read(path)


# ---------------------------------------------------------------------- others


def test_walks_touch_the_real_reader(edf: Path, tmp_path: Path) -> None:
    eeg.walk(edf)
    path = write_set(tmp_path / "w.set", noise())
    eeg.walk_mat(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(FileError, match=re.escape("w.set")):
        eeg.walk_mat(path)


def test_unit_for_a_file_without_voltages(tmp_path: Path) -> None:
    path = tmp_path / "m_raw.fif"
    raw_array(kind="mag").save(path, verbose="error")
    with pytest.raises(UnitError, match="voltage"):
        io.read(path, unit="uV")


def test_unknown_fact(edf: Path) -> None:
    with pytest.raises(ConfigError, match="subject"):
        io.read(edf, subjekt="1")


def test_facts_are_kept(edf: Path) -> None:
    recording = io.read(edf, subject="07", age=31, sex="f")
    assert (recording.subject, recording.age, recording.sex) == ("07", 31, "f")
    assert isinstance(recording.streams["eeg"], Regular)
