"""Small folders of EEG from an MR scanner with region tables, in the two layouts that are read."""

import json
from pathlib import Path
from typing import Any

import numpy as np

EXTRA = ("EOG1", "EMG1", "ECG")


def write_set(path: Path, x: Any, names: Any, sfreq: float, events: Any) -> Path:
    """An EEGLAB file of these channels (uV) and (type, second) events."""
    from scipy.io import savemat

    places = np.zeros(len(names), dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    for i, name in enumerate(names):
        places[i] = (name, 0.0, 0.0, 0.08)
    event = np.zeros(len(events), dtype=[("type", "O"), ("latency", "O"), ("duration", "O")])
    for i, (kind, second) in enumerate(events):
        event[i] = (kind, 1 + second * sfreq, 0.0)
    n = x.shape[1]
    fields = {
        "setname": "x", "filename": path.name, "filepath": "", "nbchan": float(len(names)),
        "trials": 1.0, "pnts": float(n), "srate": float(sfreq), "xmin": 0.0,
        "xmax": (n - 1) / sfreq, "times": np.arange(n) * 1000.0 / sfreq, "icaact": [],
        "icawinv": [], "icasphere": [], "icaweights": [], "icachansind": [], "chanlocs": places,
        "urchanlocs": [], "chaninfo": {"plotrad": []}, "ref": "common", "event": event,
        "epoch": [], "data": x.astype(np.float32),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"EEG": fields})
    return path


def table(path: Path, bold: Any, sep: str = "\t") -> Path:
    """Regions in columns, named in the first line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [sep.join(f"{v:.6f}" for v in row) for row in bold.values().T]
    path.write_text("\n".join([sep.join(bold.axis.names), *lines]) + "\n")
    return path


def release(folder: Path, recordings: Any) -> Path:
    """EEGLAB files and tables named subNN-scanNN; eyes, muscle and heart among the EEG."""
    for rec in recordings:
        eeg, name = rec.regular("eeg"), f"sub{rec.subject}-scan{int(rec.run):02d}"
        extra = 30 * np.random.default_rng(0).standard_normal((len(EXTRA), eeg.n_times))
        x = np.concatenate([eeg.values(), extra])
        events = [("R149", t) for t in rec.events.onset_s.tolist()]
        write_set(
            folder / "EEG" / f"{name}_eeg.set", x, (*eeg.axis.names, *EXTRA), eeg.sfreq, events
        )
        table(folder / "fMRI" / f"{name}_difumo.csv", rec.regular("bold"), ",")
    return folder


def bids(folder: Path, recordings: Any, trigger: str = "R149", every: int = 1) -> Path:
    """A BIDS root with EDF, events.tsv, and region tables under derivatives."""
    import edfio

    folder.mkdir(parents=True, exist_ok=True)
    about = {"Name": "made", "BIDSVersion": "1.9.0"}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    for rec in recordings:
        eeg, bold = rec.regular("eeg"), rec.regular("bold")
        stem = f"sub-{rec.subject}_task-rest_run-{rec.run}"
        where = folder / f"sub-{rec.subject}" / "eeg"
        where.mkdir(parents=True)
        n = int(eeg.n_times // eeg.sfreq * eeg.sfreq)
        signals = [
            edfio.EdfSignal(row[:n].astype(float), eeg.sfreq, label=name, physical_dimension="uV")
            for row, name in zip(eeg.values(), eeg.axis.names, strict=True)
        ]
        edfio.Edf(signals).write(where / f"{stem}_eeg.edf")
        rows = [f"{t:.4f}\t0\t{trigger}" for t in rec.events.onset_s.tolist()[::every]]
        text = "\n".join(["onset\tduration\ttrial_type", *rows]) + "\n"
        (where / f"{stem}_events.tsv").write_text(text)
        derived = folder / "derivatives" / "regions" / f"sub-{rec.subject}" / "func"
        table(derived / f"{stem}_atlas-made_timeseries.tsv", bold)
        side = {"RepetitionTime": float(1 / bold.rate)}
        (derived / f"{stem}_atlas-made_timeseries.json").write_text(json.dumps(side))
    return folder
