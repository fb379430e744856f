"""Sound files with bad content: one clear error, or read as asked and said so."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import fuzz_eeg
import fuzz_seeds
import nibabel
import numpy as np
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from neuro import io
from neuro.data import InputContract, windows
from neuro.errors import (
    ContractError,
    DataError,
    FileError,
    MissingDependencyError,
    NeuroError,
    UnitError,
)

Write = Callable[[Path], Path]


def edf(path: Path, scale: float = 20, label: str = "Fz", **more: object) -> Path:
    x = np.random.default_rng(0).normal(0, scale, 1000)
    edfio.Edf(
        [edfio.EdfSignal(x, 100, label=label, physical_dimension="uV")],
        **more,  # type: ignore[arg-type]
    ).write(path)
    return path


def swapped(fmt: str, name: str, old: bytes, new: bytes) -> Write:
    """Writer of an example in which some bytes are others."""

    def write(folder: Path) -> Path:
        fuzz_seeds.FORMATS[fmt].make(folder)
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new))
        return folder / name

    return write


def text(name: str, content: str) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def array(name: str, content: object, **more: object) -> Write:
    def write(folder: Path) -> Path:
        if name.endswith(".npy"):
            np.save(folder / name, content)  # type: ignore[arg-type]
        else:
            np.savez(folder / name, content, **more)  # type: ignore[arg-type]
        return folder / name

    return write


def spikes(name: str, times: list[float], **more: object) -> Write:
    def write(folder: Path) -> Path:
        np.savez(folder / name, times=times, units=np.zeros(len(times), int), **more)  # type: ignore[arg-type]
        return folder / name

    return write


def image(name: str, x: np.ndarray) -> Write:
    def write(folder: Path) -> Path:
        kind = nibabel.MGHImage if "mgh" in name else nibabel.Nifti1Image
        nibabel.save(kind(x.astype(np.float32), np.eye(4)), folder / name)
        return folder / name

    return write


def gifti(rows: list[np.ndarray]) -> Write:
    def write(folder: Path) -> Path:
        arrays = [
            GiftiDataArray(r.astype(np.float32), intent="NIFTI_INTENT_TIME_SERIES") for r in rows
        ]
        nibabel.save(GiftiImage(darrays=arrays), folder / "a.func.gii")
        return folder / "a.func.gii"

    return write


def options(path: Path) -> dict[str, Any]:
    if path.suffix == ".ts":
        return {"sfreq": 10, "unit": "uV"}
    fmri = path.suffix in (".nii", ".mgh", ".gii", ".npy") or path.name.startswith("roi")
    return {"tr": 2.0, **({"mask": "all"} if path.suffix == ".nii" else {})} if fmri else {}


# ------------------------------------------------------------------------ names

TWICE = {
    "edf": swapped("edf", "plain.edf", b"EEG C3-REF ", b"EEG Fp1-REF"),
    "gdf": swapped("gdf", "one.gdf", b"Cz", b"Fz"),
    "fif": swapped("fif", "a_raw.fif", b"Cz", b"Fz"),
    "eeglab": swapped("eeglab", "a.set", b"Cz", b"Fz"),
    "brainvision": swapped("brainvision", "v.vhdr", b"Ch2=Cz", b"Ch2=Fz"),
    "xdf": swapped("xdf", "a.xdf", b"<label>Cz", b"<label>Fz"),
    "h5": swapped("h5", "one.h5", b"Cz", b"Fz"),
    "csv": text("roi.csv", "A,A\n1,5\n2,4\n4,6\n"),
}


@pytest.mark.parametrize("fmt", TWICE)
def test_channel_names_that_stand_twice(tmp_path: Path, fmt: str) -> None:
    path = TWICE[fmt](tmp_path)
    with pytest.raises(NeuroError, match=r"stand twice|Duplicate row names") as caught:
        io.read(path, **options(path))
    assert path.name in str(caught.value)


def test_an_unknown_channel_name_is_read_without_a_place(tmp_path: Path) -> None:
    stream = io.read(edf(tmp_path / "a.edf", label="Xyz7")).regular("eeg")
    assert stream.axis.names == ("Xyz7",)
    assert stream.axis.positions is None


def test_a_contract_names_the_channel_it_lacks(tmp_path: Path) -> None:
    recording = io.read(edf(tmp_path / "a.edf", label="Xyz7"))
    contract = InputContract(modality="eeg", sfreq=100, unit="uV", ch_names=("Fz",))
    with pytest.raises(ContractError, match="Fz"):
        contract.conform(recording)


# ------------------------------------------------------------------ nothing inside


def edf_header(folder: Path) -> Path:
    fuzz_eeg.edf(folder)
    path = folder / "plain.edf"
    content = bytearray(path.read_bytes())
    content[236:244] = b"0".ljust(8)
    path.write_bytes(content[: 256 * (int(content[252:256]) + 1)])
    return path


def brainvision_header(folder: Path) -> Path:
    fuzz_eeg.brainvision(folder)
    (folder / "v.eeg").write_bytes(b"")
    return folder / "v.vhdr"


ROW = "@problemName x\n@missing true\n@univariate true\n@classLabel true a\n@data\n"
EMPTY = {
    "npy without rows": array("a.npy", np.zeros((0, 4))),
    "npy without columns": array("a.npy", np.zeros((4, 0))),
    "csv": text("roi.csv", "A,B\n"),
    "spikes csv": text("spikes.csv", "time_s,unit\n"),
    "spikes npz": spikes("spikes.npz", [], support=[[0.0, 10.0]]),
    "ts": text("a.ts", ROW),
    "nii without volumes": image("a.nii", np.zeros((4, 4, 4, 0))),
    "nii without voxels": image("a.nii", np.zeros((0, 4, 4, 5))),
    "mgh": image("lh.a.mgh", np.zeros((4, 1, 1, 0))),
    "gifti without arrays": gifti([]),
    "gifti without vertices": gifti([np.zeros(0)] * 5),
    "edf": edf_header,
    "brainvision": brainvision_header,
}


@pytest.mark.parametrize("check", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("what", EMPTY)
def test_a_recording_of_no_length(tmp_path: Path, what: str, check: bool) -> None:
    path = EMPTY[what](tmp_path)
    with pytest.raises((FileError, DataError), match=path.name) as caught:
        io.read(path, check=check, **options(path))
    assert "index out of range" not in str(caught.value)


# -------------------------------------------------------------------- no numbers

NAN = {
    "npy": array("a.npy", np.full((40, 4), np.nan)),
    "csv": text("roi.csv", "A,B\nnan,nan\nn/a,nan\nnan,\n"),
    "ts": text("a.ts", ROW + "?,?,?:a\n"),
    "nii": image("a.nii", np.full((4, 4, 4, 6), np.nan)),
    "mgh": image("lh.a.mgh", np.full((4, 1, 1, 6), np.nan)),
    "gifti": gifti([np.full(4, np.nan)] * 5),
}


@pytest.mark.parametrize("fmt", NAN)
def test_all_nan(tmp_path: Path, fmt: str) -> None:
    path = NAN[fmt](tmp_path)
    with pytest.raises(DataError, match=rf"{path.name}.*holds no number"):
        io.read(path, **options(path))
    recording = io.read(path, check=False, **options(path))
    assert any("holds no number" in step for step in recording.provenance.steps)


# -------------------------------------------------------------------------- units

TOO_LARGE = {
    "edf": lambda folder: edf(folder / "a.edf", scale=1e5),
    "ts": text("a.ts", "@problemName x\n@classLabel true a\n@data\n1e6,-1e6,1e6,-1e6:a\n"),
}


@pytest.mark.parametrize("fmt", TOO_LARGE)
def test_an_impossible_amplitude_is_refused_or_noted(tmp_path: Path, fmt: str) -> None:
    path = TOO_LARGE[fmt](tmp_path)
    with pytest.raises(UnitError, match="typical standard deviation"):
        io.read(path, **options(path))
    (step,) = io.read(path, check=False, **options(path)).provenance.steps
    assert step.startswith("accepted because of check=False: eeg stream labelled uV has a typical")
    assert "pass check=False" not in step


def test_a_possible_amplitude_needs_no_note(tmp_path: Path) -> None:
    assert io.read(edf(tmp_path / "a.edf"), check=False).provenance.steps == ()


def bids(folder: Path, name: str) -> Path:
    """A BIDS folder, and the place of one of its files."""
    fuzz_seeds.FORMATS["bids"].make(folder)
    return folder / "set" / "sub-01" / "eeg" / f"sub-01_{name}"


def test_an_impossible_amplitude_in_a_bids_folder(tmp_path: Path) -> None:
    path = edf(bids(tmp_path, "task-rest_eeg.edf"), scale=1e5)
    (path.parent / "sub-01_task-rest_channels.tsv").write_text("name\ttype\nFz\tEEG\n")
    (path.parent / "sub-01_electrodes.tsv").unlink()
    with pytest.raises(UnitError, match="typical standard deviation"):
        io.read(path)
    steps = io.read(path, check=False).provenance.steps
    assert sum(step.startswith("accepted because of check=False") for step in steps) == 1


def test_a_truncated_file_in_a_bids_folder_is_refused(tmp_path: Path) -> None:
    # side files may change channel types, so amplitudes are judged after them; headers are not
    path = bids(tmp_path, "task-rest_eeg.edf")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(FileError, match="truncated"):
        io.read(path)


# ------------------------------------------------------------------------- spikes

BACKWARDS = {
    "npz": spikes("spikes.npz", [3.0, 1.0, 2.0]),
    "csv": text("spikes.csv", "time_s,unit\n3,0\n1,0\n2,0\n"),
}


@pytest.mark.parametrize("fmt", BACKWARDS)
def test_spike_times_that_decrease(tmp_path: Path, fmt: str) -> None:
    path = BACKWARDS[fmt](tmp_path)
    with pytest.raises(DataError, match=r"decrease: 3\.000000 s is followed by 1\.000000 s"):
        io.read(path)
    recording = io.read(path, check=False)
    assert recording.stream().times_s.tolist() == [1.0, 2.0, 3.0]  # type: ignore[union-attr]
    assert recording.provenance.steps == ("1 spikes that stood before an earlier one sorted",)


def test_an_impossible_firing_rate_is_refused_or_noted(tmp_path: Path) -> None:
    path = spikes("spikes.npz", np.linspace(0, 1e-3, 50).tolist())(tmp_path)
    with pytest.raises(DataError, match=r"fires 5e\+04 times a second"):
        io.read(path)
    (step,) = io.read(path, check=False).provenance.steps
    assert step == "accepted because of check=False: Unit 'unit 0' fires 5e+04 times a second"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_spike_times_that_are_not_finite(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="1 spike times are not finite"):
        io.read(spikes("spikes.npz", [0.5, value])(tmp_path))


# ------------------------------------------------------------------------- events


def test_events_behind_the_end_of_a_file_are_left_out_and_that_is_noted(tmp_path: Path) -> None:
    marks = [edfio.EdfAnnotation(2, None, "in"), edfio.EdfAnnotation(50, None, "far")]
    recording = io.read(edf(tmp_path / "a.edf", annotations=marks))
    assert recording.events.type.tolist() == ["in"]
    assert any("Omitted 1 annotation" in step for step in recording.provenance.steps)


def test_events_of_a_side_file_outside_the_recording(tmp_path: Path) -> None:
    table = bids(tmp_path, "task-rest_events.tsv")
    table.write_text("onset\tduration\ttrial_type\n0.5\t0\tgo\n99\t0\tgo\n")
    recording = io.read(table.with_name("sub-01_task-rest_eeg.edf"))
    with pytest.raises(DataError, match="outside"):
        windows([recording], stream="eeg", length_s=0.5, align="go")


# --------------------------------------------------------------------------- gaps


def discontinuous(path: Path, *signals: edfio.EdfSignal) -> Path:
    """Ten records of 1 s, of which the second half begins 100 s later."""
    marks = [edfio.EdfAnnotation(i, None, "room for what follows") for i in range(10)]
    edfio.Edf(list(signals), annotations=marks).write(path)
    notes: dict[float, list[bytes]] = {i + 100.0 * (i >= 5): [] for i in range(10)}
    notes[2.0] = [b"+2.5\x150.5\x14before"]
    notes[4.0] = [b"+50\x14inside"]
    notes[107.0] = [b"+107.25\x14after"]
    path.write_bytes(fuzz_eeg.retimed(path.read_bytes(), notes))
    return path


def test_a_gap_becomes_a_border_of_segments(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 20, 1000)
    path = discontinuous(
        tmp_path / "d.edf", edfio.EdfSignal(x, 100, label="Fz", physical_dimension="uV")
    )
    with pytest.raises(FileError, match=r"1 gaps, the first after 5 s"):
        io.read(path)
    recording = io.read(path, check=False)
    stream = recording.regular("eeg")
    assert stream.segments.tolist() == [[0, 500], [500, 1000]]
    # half of one 16-bit step over the signal's range
    np.testing.assert_allclose(stream.values()[0], x, atol=np.ptp(x) / 65535)
    assert recording.events.type.tolist() == ["before", "after"]
    # 107.25 s stands 2.25 s into the stretch whose first sample is number 500
    assert recording.events.onset_s.tolist() == [2.5, 7.25]
    assert recording.events.duration_s.tolist() == [0.5, 0.0]
    (step,) = recording.provenance.steps
    assert step.startswith("1 gaps in the file: the stretches stand end to end")
    assert "1 events inside gaps left out" in step


def test_no_window_crosses_a_gap(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 20, 1000)
    path = discontinuous(
        tmp_path / "d.edf", edfio.EdfSignal(x, 100, label="Fz", physical_dimension="uV")
    )
    cut = windows([io.read(path, check=False)], stream="eeg", length_s=2.0, step_s=1.0)
    assert cut.start.tolist() == [0, 100, 200, 300, 500, 600, 700, 800]


def test_a_gap_in_a_file_of_two_rates(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 20, 1000)
    path = discontinuous(
        tmp_path / "d.edf",
        edfio.EdfSignal(x, 100, label="Fz", physical_dimension="uV"),
        edfio.EdfSignal(x[:200], 20, label="Cz", physical_dimension="uV"),
    )
    with pytest.raises(FileError, match=r"1 gaps, the first after 5 s"):
        io.read(path)
    recording = io.read(path, check=False)
    assert recording.regular("eeg").segments.tolist() == [[0, 500], [500, 1000]]
    assert recording.regular("eeg_20hz").segments.tolist() == [[0, 100], [100, 200]]


def test_a_gap_in_a_bids_folder_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 20, 1000)
    path = discontinuous(
        bids(tmp_path, "task-rest_eeg.edf"),
        edfio.EdfSignal(x, 100, label="Fz", physical_dimension="uV"),
    )
    with pytest.raises(FileError, match="discontinuous"):
        io.read(path)


# ----------------------------------------------------------------- MATLAB 7.3 files


def matlab_7_3(path: Path, outside: Path | None = None) -> Path:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        if outside is None:
            file["EEG/data"] = np.zeros((10, 2), np.float32)
        else:
            outside.write_bytes(bytes(80))
            file.create_dataset("EEG/data", (10, 2), "f4", external=[(str(outside), 0, 80)])
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(content)
    return path


def test_matlab_7_3_names_the_package_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro.io.eeg.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install pymatreader"):
        io.read(matlab_7_3(tmp_path / "a.set"))


def test_matlab_7_3_may_not_read_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro.io.eeg.find_spec", lambda name: True)
    with pytest.raises(FileError, match=r"keeps its bytes in another file \('secret'\)"):
        io.read(matlab_7_3(tmp_path / "a.set", tmp_path / "secret"))


# --------------------------------------------------------------------------- texts


def test_error_texts_end_with_one_full_stop(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf")
    content = bytearray(path.read_bytes())
    content[184:192] = b"x".ljust(8)  # the length of the header
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"Bad EDF file provided\. The file is damaged"):
        io.read(path)


def test_a_folder_of_shards_and_a_shard_say_what_they_are(tmp_path: Path) -> None:
    fuzz_seeds.FORMATS["shards"].make(tmp_path)
    folder = tmp_path / "shards"
    for path in (folder, folder / "shard-000000.h5"):
        with pytest.raises(FileError, match=r"shard.*neuro\.io\.load_shards reads"):
            io.read(path)


# ------------------------------------------------------------------------ full disk

# Every writer over a file of its own that is there already, on a disk that takes 4 KiB more.
_WRITERS = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np, torch
import fuzz_seeds
from neuro import io, models
from neuro.io import safe

folder = Path(sys.argv[1])
recording = fuzz_seeds.recording()
big = np.random.default_rng(0).normal(size=10_000)
model = models.create("patch_mae", preset="tiny", n_chans=2, n_times=100, sfreq=100.0)
writers = {
    "a.h5": lambda p: io.save(recording, p),
    "a.npy": lambda p: safe.save_npy(p, big),
    "a.npz": lambda p: safe.save_npz(p, {"x": big}),
    "a.json": lambda p: safe.write_json(p, big.tolist()),
    "a.safetensors": lambda p: safe.write_tensors(p, {"x": torch.from_numpy(big)}),
    "model": model.save,
    "shards": lambda p: io.save_shards([recording], p),
}
for name in ("model",):
    writers[name](folder / name)
for name in writers:
    if name[0] == "a":
        (folder / name).write_bytes(b"old " * 5)
before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
for name, write in writers.items():
    try:
        write(folder / name)
    except OSError as error:
        told = " ".join(getattr(error, "__notes__", []))
        print(name, "unchanged" in told)
    except BaseException as error:
        print(name, type(error).__name__, error)
    else:
        print(name, "was written")
after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
print("same" if before == after else sorted(set(after) ^ set(before)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_leaves_every_old_file_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WRITERS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "same"
    assert lines[:-1] == [f"{n} True" for n in (
        "a.h5", "a.npy", "a.npz", "a.json", "a.safetensors", "model", "shards",
    )]  # fmt: skip
