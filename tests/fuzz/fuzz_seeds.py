"""One small, valid example or more of every format that the package reads.

`FORMATS` says how to write the examples and how a user would open them. The
files are made by the libraries that define the formats, wherever those can
write. Everything here but the names runs in the child process of `harness.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_eeg
import numpy as np
from fuzz_eeg import SFREQ, Seed, noise


def read(path: Path, **options: Any) -> None:
    """Open as a user does, and read samples: lazy ones are part of reading."""
    import neuro

    touch(neuro.read(path, **options))


def touch(recording: Any) -> None:
    from neuro.data import Regular

    repr(recording)
    for stream in recording.streams.values():
        if isinstance(stream, Regular):
            stream.read(0, min(256, stream.n_times))
            stream.read(max(0, stream.n_times - 256), stream.n_times)


def load_shards(path: Path) -> None:
    from neuro import io

    for one in io.load_shards(path):
        touch(one)


def load_model(path: Path) -> None:
    from neuro import models

    models.load(path)


def load_config(path: Path) -> None:
    from neuro.cli import evaluation

    evaluation.load_config(path)


@dataclass(frozen=True)
class Format:
    """How to write the examples of a format, and how it is opened.

    Parameters
    ----------
    make : callable
        (folder) -> the examples, written below it.
    text : bool
        Whether the files are text, which is damaged by words and lines too.
    open : callable
        (path, **options) -> nothing.
    tidy : bool
        Whether an error text that names the folder, or holds control
        characters out of the file, is a finding.
    """

    make: Callable[[Path], list[Seed]]
    text: bool = False
    open: Callable[..., None] = read
    tidy: bool = True


# ----------------------------------------------------------------------- fMRI

_SHAPE = (4, 4, 3)


def _volumes(n: int = 8) -> Any:
    return np.random.default_rng(0).normal(100, 5, (*_SHAPE, n)).astype(np.float32)


def _save_nifti(path: Path, x: Any, kind: str = "Nifti1Image", dtype: Any = np.int16) -> None:
    import nibabel

    image = getattr(nibabel, kind)(x.astype(dtype), np.diag([3.0, 3, 3, 1]))
    if x.ndim == 4:
        image.header.set_zooms((3.0, 3.0, 3.0, 2.0))
        image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def _parcels() -> Any:
    labels = np.zeros(_SHAPE)
    labels[:2], labels[2, :2] = 3, 11
    return labels


def _nifti(folder: Path) -> list[Seed]:
    _save_nifti(folder / "a.nii", _volumes())
    _save_nifti(folder / "b.nii", _volumes(), "Nifti2Image", np.float32)
    _save_nifti(folder / "t1.nii", _volumes(1)[..., 0])
    _save_nifti(folder / "atlas.nii", _parcels(), dtype=np.uint8)
    brain = np.random.default_rng(0).normal(100, 5, (12, 12, 10, 3))
    brain[2:10, 2:10, 2:8] += 2000  # one that nilearn finds
    _save_nifti(folder / "auto.nii", brain)
    (folder / "atlas.tsv").write_text("index\tname\n3\tleft\n11\tright\n")
    regions = {"tr": 2.0, "atlas": "@atlas.nii", "labels": "@atlas.tsv"}
    return [
        Seed(".", "a.nii", ("a.nii",), {"tr": 2.0, "mask": "all"}, 352),
        Seed(".", "b.nii", ("b.nii",), {"mask": "all"}, 544),
        Seed(".", "t1.nii", ("t1.nii",), header=352),
        Seed(".", "auto.nii", ("auto.nii",), {"tr": 2.0}, 352),
        Seed(".", "a.nii", ("atlas.nii", "atlas.tsv"), regions, 352),
    ]


def _nifti_gz(folder: Path) -> list[Seed]:
    _save_nifti(folder / "a.nii.gz", _volumes())
    _save_nifti(folder / "mask.nii.gz", _parcels() > 0, dtype=np.uint8)
    return [
        Seed(".", "a.nii.gz", ("a.nii.gz",), {"tr": 2.0, "mask": "all"}, 352),
        Seed(".", "a.nii.gz", ("mask.nii.gz",), {"tr": 2.0, "mask": "@mask.nii.gz"}, 352),
    ]


def _cifti(folder: Path) -> list[Seed]:
    import nibabel
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, SeriesAxis

    left = BrainModelAxis.from_mask(np.ones(4, bool), "CIFTI_STRUCTURE_CORTEX_LEFT")
    cube = np.zeros(_SHAPE, bool)
    cube[1, 1, :2] = True
    deep = BrainModelAxis.from_mask(cube, "CIFTI_STRUCTURE_THALAMUS_LEFT", np.diag([2.0, 2, 2, 1]))
    rows = left + deep
    time = SeriesAxis(0, 0.8, 10, "SECOND")
    x = np.random.default_rng(0).normal(100, 5, (10, len(rows))).astype(np.float32)
    nibabel.save(Cifti2Image(x, (time, rows)), folder / "a.dtseries.nii")
    parcels = ParcelsAxis.from_brain_models([("A", left), ("B", deep)])
    nibabel.save(Cifti2Image(x[:, :2], (time, parcels)), folder / "b.ptseries.nii")
    return [Seed(".", f, (f,), {"tr": 0.8}, 4096) for f in ("a.dtseries.nii", "b.ptseries.nii")]


def _gifti(folder: Path) -> list[Seed]:
    import nibabel
    from nibabel.gifti import GiftiDataArray, GiftiImage

    rows = np.random.default_rng(0).normal(100, 5, (6, 20)).astype(np.float32)
    for name, encoding in (("a", "ASCII"), ("b", "GZipBase64Binary"), ("c", "B64BIN")):
        arrays = [
            GiftiDataArray(
                r, intent="NIFTI_INTENT_TIME_SERIES", datatype="float32", encoding=encoding
            )
            for r in rows
        ]
        nibabel.save(GiftiImage(darrays=arrays), folder / f"{name}.func.gii")
    return [Seed(".", f"{n}.func.gii", (f"{n}.func.gii",), {"tr": 1.0}, 1500) for n in "abc"]


def _mgz(folder: Path) -> list[Seed]:
    import nibabel

    x = np.random.default_rng(0).normal(100, 5, (40, 1, 1, 10)).astype(np.float32)
    image = nibabel.MGHImage(x, np.eye(4))
    image.header.set_zooms((1.0, 1.0, 1.0, 1400.0))
    nibabel.save(image, folder / "lh.rest.mgz")
    nibabel.save(image, folder / "rh.rest.mgh")
    nibabel.save(nibabel.MGHImage(x[:, 0, 0, :].reshape(8, 10, 5), np.eye(4)), folder / "t1.mgz")
    return [
        Seed(".", "lh.rest.mgz", ("lh.rest.mgz",), {"tr": 1.4}, 284),
        Seed(".", "rh.rest.mgh", ("rh.rest.mgh",), header=284),
        Seed(".", "t1.mgz", ("t1.mgz",), header=284),
    ]


# --------------------------------------------------------------------- tables

_SPIKES = "time_s,unit\n" + "\n".join(f"{0.05 * i + 0.01:.3f},{i % 3}" for i in range(40)) + "\n"


def _roi_text(mark: str) -> str:
    x = np.random.default_rng(0).normal(0, 1, (20, 4))
    rows = [mark.join(f"{v:.4f}" for v in row) for row in x]
    return "\n".join([mark.join(("V1", "V2", "M1", "A1")), *rows]) + "\n"


def _csv(folder: Path) -> list[Seed]:
    (folder / "roi.csv").write_text(_roi_text(","))
    (folder / "labels.csv").write_text("index,name\n1,V1\n2,V2\n3,M1\n4,A1\n")
    (folder / "spikes.csv").write_text(_SPIKES)
    return [
        Seed(".", "roi.csv", ("roi.csv",), {"tr": 2.0}),
        Seed(".", "roi.csv", ("labels.csv",), {"tr": 2.0, "labels": "@labels.csv"}),
        Seed(".", "spikes.csv", ("spikes.csv",)),
    ]


def _tsv(folder: Path) -> list[Seed]:
    (folder / "roi.tsv").write_text(_roi_text("\t"))
    (folder / "rows.txt").write_text(_roi_text("\t").replace("V1\tV2\tM1\tA1\n", ""))
    (folder / "roi.json").write_text('{"RepetitionTime": 2.0, "StartTime": 0.5}')
    return [
        Seed(".", "roi.tsv", ("roi.tsv", "roi.tsv", "roi.json")),
        Seed(".", "rows.txt", ("rows.txt",), {"tr": 2.0}),
    ]


def _npy(folder: Path) -> list[Seed]:
    x = np.random.default_rng(0).normal(0, 1, (40, 4)).astype(np.float32)
    np.save(folder / "a.npy", x)
    np.save(folder / "b.npy", np.asfortranarray(x.astype(">i2")))
    return [Seed(".", f, (f,), {"tr": 2.0}, 128) for f in ("a.npy", "b.npy")]


def _npz(folder: Path) -> list[Seed]:
    x = np.random.default_rng(0).normal(0, 1, (40, 4))
    np.savez(folder / "roi.npz", bold=x, names=np.array(["V1", "V2", "M1", "A1"]), tr=2.0)
    np.savez_compressed(folder / "packed.npz", bold=x, tr=2.0)
    times = np.sort(np.random.default_rng(0).uniform(0, 9, 50))
    np.savez(
        folder / "spikes.npz", times=times, units=np.arange(50) % 3, support=np.array([[0.0, 10.0]])
    )
    names = ("roi.npz", "packed.npz", "spikes.npz")
    unchecked = Seed(".", "spikes.npz", ("spikes.npz",), {"check": False})
    return [*(Seed(".", f, (f,)) for f in names), unchecked]


def _ts(folder: Path) -> list[Seed]:
    x = noise(2, 40)
    cases = [
        ":".join(",".join(f"{v:.2f}" for v in row[k : k + 10]) for row in x)
        + f":{'ab'[k // 10 % 2]}"
        for k in range(0, 40, 10)
    ]
    head = [
        "# four trials", "@problemName two", "@timeStamps false", "@missing false",
        "@univariate false", "@dimensions 2", "@equalLength true", "@seriesLength 10",
        "@classLabel true a b", "@data",
    ]  # fmt: skip
    (folder / "a.ts").write_text("\n".join([*head, *cases]) + "\n")
    return [Seed(".", "a.ts", ("a.ts",), {"sfreq": 100.0, "unit": "uV"}, 200)]


# ----------------------------------------------------------------------- HDF5


def _nwb_file() -> Any:
    from datetime import UTC, datetime

    import pynwb

    file = pynwb.NWBFile(
        session_description="fuzz",
        identifier="fuzz",
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC),
    )
    file.subject = pynwb.file.Subject(subject_id="01", age="P30Y", sex="F", species="Mus musculus")
    for times in ([0.1, 0.4, 1.5], [0.2, 0.9]):
        file.add_unit(spike_times=times)
    return file


def _nwb(folder: Path) -> list[Seed]:
    import pynwb

    file = _nwb_file()
    file.add_acquisition(
        pynwb.TimeSeries(name="speed", data=noise()[0], unit="cm/s", rate=SFREQ, starting_time=0.0)
    )
    file.add_epoch(0.0, 2.0, "all")
    file.add_trial(start_time=0.5, stop_time=1.0)
    with pynwb.NWBHDF5IO(folder / "a.nwb", "w") as writer:
        writer.write(file, cache_spec=False)
    file = _nwb_file()
    device = file.create_device("probe")
    group = file.create_electrode_group("g", description="g", location="CA1", device=device)
    for i in range(2):
        file.add_electrode(group=group, location="CA1", x=1.0 * i, y=0.0, z=0.0)
    where = file.create_electrode_table_region([0, 1], "all")
    x = (noise().T * 10).astype(np.int16)
    file.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="lfp", data=x, electrodes=where, rate=SFREQ, conversion=1e-7
        )
    )
    stamps = np.arange(50) / 25
    place = pynwb.behavior.SpatialSeries(
        name="xy", data=noise(2, 50).T, reference_frame="corner", unit="cm", timestamps=stamps
    )
    behaviour = file.create_processing_module(name="behavior", description="b")
    behaviour.add(pynwb.behavior.Position(spatial_series=place))
    with pynwb.NWBHDF5IO(folder / "b.nwb", "w") as writer:
        writer.write(file, cache_spec=False)
    return [Seed(".", f, (f,), header=4096) for f in ("a.nwb", "b.nwb")]


def recording() -> Any:
    """A recording with a stream of each kind."""
    from neuro.data import Axis, Clock, Events, Grid, Irregular, Recording, Regular, Static

    eeg = Regular(noise().astype(np.float32), 100, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    counts = np.round(noise() * 10).astype(np.int16)
    raw = Regular(
        counts,
        "100/3",
        "au",
        Axis(["a", "b"], "voxel", grid=Grid(np.eye(4), (2, 2, 2), [[0, 0, 0], [1, 1, 1]])),
        "bold",
        segments=np.array([[0, 100], [100, 200]]),
        scale=np.array([0.1, 0.1], np.float32),
        offset=np.zeros(2, np.float32),
    )
    units = Axis(["u0", "u1"], "unit", columns={"depth": np.array([1.0, 2.0])})
    spikes = Irregular([0.1, 0.2, 1.5], [0, 1, 0], units, [(0.0, 2.0)])
    events = Events.make([0.5, 1.0], ["go", "stop"], value=[1.0, np.nan], columns={"hit": [1, 0]})
    return Recording(
        {
            "eeg": eeg,
            "bold": raw,
            "spikes": spikes,
            "t1": Static(np.ones((2, 2), np.float32), ("x", "y")),
        },
        events,
        clocks={"bold": Clock(1.0, 0.5)},
        subject="01",
    )


def _h5(folder: Path) -> list[Seed]:
    import neuro

    neuro.save(recording(), folder / "all.h5")
    neuro.save(
        recording().replace(streams={"eeg": recording().streams["eeg"]}, clocks={}),
        folder / "one.h5",
    )
    return [Seed(".", f, (f,), header=4096) for f in ("all.h5", "one.h5")]


# -------------------------------------------------------------------- folders


def _table(path: Path, *rows: str) -> None:
    path.write_text("\n".join(rows).replace("|", "\t") + "\n")


def _bids(folder: Path) -> list[Seed]:
    root = folder / "set"
    eeg, func = root / "sub-01/eeg", root / "sub-02/func"
    eeg.mkdir(parents=True)
    func.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    _table(
        root / "participants.tsv",
        "participant_id|age|sex|group", "sub-01|34|F|control", "sub-02|n/a|M|patient",
    )  # fmt: skip
    fuzz_eeg.edf(folder)
    (folder / "plain.edf").rename(eeg / "sub-01_task-rest_eeg.edf")
    (folder / "rates.edf").unlink()
    side = {"SamplingFrequency": 100, "EEGReference": "Cz", "PowerLineFrequency": 50}
    (eeg / "sub-01_task-rest_eeg.json").write_text(json.dumps(side))
    _table(
        eeg / "sub-01_task-rest_channels.tsv",
        "name|type|units|status", "EEG Fp1-REF|EEG|uV|good", "EEG C3-REF|EOG|uV|bad",
    )  # fmt: skip
    _table(
        eeg / "sub-01_electrodes.tsv",
        "name|x|y|z", "EEG Fp1-REF|0.01|0.02|0.03", "EEG C3-REF|n/a|n/a|n/a",
    )  # fmt: skip
    frame = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}
    (eeg / "sub-01_coordsystem.json").write_text(json.dumps(frame))
    _table(
        eeg / "sub-01_task-rest_events.tsv",
        "onset|duration|trial_type|value", "0.5|0.1|go|1", "1.2|n/a|stop|2",
    )  # fmt: skip
    _save_nifti(func / "sub-02_task-rest_bold.nii", _volumes())
    timing = {"RepetitionTime": 2.0, "SliceTiming": [0.0, 0.6, 1.2], "StartTime": None}
    (func / "sub-02_task-rest_bold.json").write_text(json.dumps(timing))
    _table(
        func / "sub-02_task-rest_events.tsv",
        "onset|duration|trial_type", "4|2|face", "8|2|house",
    )  # fmt: skip
    sides = (
        "participants.tsv",
        "sub-01/eeg/sub-01_task-rest_eeg.json",
        "sub-01/eeg/sub-01_task-rest_channels.tsv",
        "sub-01/eeg/sub-01_electrodes.tsv",
        "sub-01/eeg/sub-01_coordsystem.json",
        "sub-01/eeg/sub-01_task-rest_events.tsv",
    )
    bold = "sub-02/func/sub-02_task-rest_"
    return [
        Seed("set", ".", sides, {"subject": "01"}),
        Seed("set", f"{bold}bold.nii", (f"{bold}bold.json", f"{bold}events.tsv"), {"mask": "all"}),
    ]


def _fmriprep(folder: Path) -> list[Seed]:
    func = folder / "prep" / "sub-01" / "func"
    func.mkdir(parents=True)
    (folder / "prep/dataset_description.json").write_text("{}")
    stem, space = "sub-01_task-rest_", "space-MNI152NLin2009cAsym_"
    _save_nifti(func / f"{stem}{space}desc-preproc_bold.nii.gz", _volumes(24))
    _save_nifti(func / f"{stem}{space}desc-brain_mask.nii.gz", _parcels() > 0, dtype=np.uint8)
    (func / f"{stem}{space}desc-preproc_bold.json").write_text(
        json.dumps({"RepetitionTime": 2.0, "StartTime": 0.95, "SliceTimingCorrected": True})
    )
    rng = np.random.default_rng(3)
    names = [f"{k}_{a}" for k in ("trans", "rot") for a in "xyz"]
    names += ["cosine00", "framewise_displacement", "non_steady_state_outlier00"]
    x = rng.normal(size=(24, len(names)))
    x[:, -1] = np.arange(24) == 0
    rows = ["\t".join(f"{v:.5g}" for v in row) for row in x]
    (func / f"{stem}desc-confounds_timeseries.tsv").write_text("\n".join(["\t".join(names), *rows]))
    (func / f"{stem}desc-confounds_timeseries.json").write_text("{}")
    here = f"sub-01/func/{stem}"
    return [
        Seed(
            "prep",
            ".",
            (
                f"{here}desc-confounds_timeseries.tsv",
                f"{here}desc-confounds_timeseries.json",
                f"{here}{space}desc-preproc_bold.json",
            ),
        )
    ]


def _model(folder: Path) -> list[Seed]:
    import neuro.models

    model = neuro.models.create("patch_mae", preset="tiny", n_chans=2, n_times=100, sfreq=100.0)
    model.save(folder / "model")
    files = ("model.json", "model.json", "weights.safetensors")
    return [Seed("model", ".", files, header=6000)]


_YAML = """\
# which hand
data: finger
window:
  stream: eeg
  length_s: 0.5
  align: [left, right]
  label: type
  classes: &both
    - left
    - right
split:
  by: block
  n: 5
  gap_s: 0.0
models:
  mae: runs/mae
task: classification
seeds: 5
reading:
  unit: "uV"
  check: true
jobs: 1
"""


def _yaml(folder: Path) -> list[Seed]:
    (folder / "task.yaml").write_text(_YAML)
    return [Seed(".", "task.yaml", ("task.yaml",))]


def _shards(folder: Path) -> list[Seed]:
    from neuro.io import save_shards

    save_shards([recording(), recording().replace(id="two", subject="02")], folder / "shards")
    name = next((folder / "shards").glob("*.h5")).name
    return [Seed("shards", ".", ("shards.json", "shards.json", name), header=4096)]


# The slowest first, so that two workers end together.
FORMATS: dict[str, Format] = {
    "nwb": Format(_nwb),
    "eeglab": Format(fuzz_eeg.eeglab),
    "fmriprep": Format(_fmriprep, text=True),
    "bids": Format(_bids, text=True),
    "fif": Format(fuzz_eeg.fif),
    "h5": Format(_h5),
    "shards": Format(_shards, open=load_shards),
    "gdf": Format(fuzz_eeg.gdf),
    "brainvision": Format(fuzz_eeg.brainvision, text=True),
    "edf": Format(fuzz_eeg.edf, text=True),
    "bdf": Format(fuzz_eeg.bdf, text=True),
    # what load() says of a folder names it by its path
    "model": Format(_model, text=True, open=load_model, tidy=False),
    "xdf": Format(fuzz_eeg.xdf),
    "nifti": Format(_nifti),
    "nifti_gz": Format(_nifti_gz),
    "cifti": Format(_cifti, text=True),
    "gifti": Format(_gifti, text=True),
    "mgz": Format(_mgz),
    "csv": Format(_csv, text=True),
    "tsv": Format(_tsv, text=True),
    "npy": Format(_npy, text=True),
    "npz": Format(_npz),
    "ts": Format(_ts, text=True),
    "yaml": Format(_yaml, text=True, open=load_config),
}
