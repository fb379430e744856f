"""Small trees of EDF files in the exact layouts of the public corpora."""

import edfio
import numpy as np

REFERENTIAL = ("FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ").split()
CHB = (
    "FP1-F7 F7-T7 T7-P7 P7-O1 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 "
    "FP2-F8 F8-T8 T8-P8 P8-O2 FZ-CZ CZ-PZ P7-T7 T7-FT9 FT9-FT10 FT10-T8 T8-P8"
).split()
CSV_HEAD = (
    "# version = csv_v1.0.0\n# bname = x\n# duration = 30.0000 secs\n"
    "# montage_file = nedc_eas_default_montage.txt\n#\n"
    "channel,start_time,stop_time,label,confidence\n"
)


def tuh_labels(reference="REF"):
    """Channels of a TUH file: electrodes, and some that are none."""
    return [f"EEG {name}-{reference}" for name in REFERENTIAL] + [
        f"EEG EKG1-{reference}", "PHOTIC-REF", "IBI",
    ]  # fmt: skip


def samples(n_chans, n_times, seed=0):
    """Whole microvolts between -100 and 100, so that a file of 1 uV a step keeps them."""
    return np.random.default_rng(seed).integers(-100, 101, (n_chans, n_times)).astype(float)


def write_edf(path, labels, *, sfreq=250, seconds=30, seed=0, patient="", notes=(), unit="uV"):
    """An EDF file (EDF+ with notes) of whole microvolts; its samples, shape (channel, time)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = samples(len(labels), sfreq * seconds, seed)
    signals = [
        edfio.EdfSignal(
            row,
            sfreq,
            label=f"{i:16d}".replace(" ", "x"),  # edfio minds labels that stand twice
            physical_dimension=unit,
            physical_range=(-32768, 32767),
            digital_range=(-32768, 32767),
        )
        for i, row in enumerate(x)
    ]
    marks = [edfio.EdfAnnotation(*note) for note in notes] or None
    edfio.Edf(signals, annotations=marks, data_record_duration=1).write(path)
    content = bytearray(path.read_bytes())
    for i, label in enumerate(labels):
        content[256 + 16 * i : 272 + 16 * i] = label.ljust(16).encode()
    if patient:
        content[8:88] = patient.ljust(80).encode()
    path.write_bytes(content)
    return x


def tuab(root, per_cell=2, seconds=30):
    """TUAB 3: eight files by default, each of its own person."""
    number = 0
    for part in ("train", "eval"):
        for group in ("normal", "abnormal"):
            for _ in range(per_cell):
                name = "aaaaaa" + chr(97 + number // 26) + chr(97 + number % 26)
                write_edf(
                    root / "edf" / part / group / "01_tcp_ar" / f"{name}_s001_t000.edf",
                    tuh_labels(),
                    seconds=seconds,
                    seed=number,
                    patient=f"{name} F 01-JAN-1978 {name} Age:37",
                )
                number += 1
    return root


def tuev(root, rows="0,10.0,11.0,1\n1,10.0,11.0,1\n14,20.0,21.0,6\n", seconds=30):
    """TUEV 2: two training people, one for evaluation; `rows` beside each file."""
    files = ("train/aaaaaaar/aaaaaaar_00000001", "train/aaaaaaas/aaaaaaas_00000002",
             "eval/000/bckg_000_a_")  # fmt: skip
    out = {}
    for seed, name in enumerate(files):
        path = root / "edf" / f"{name}.edf"
        out[path.stem] = write_edf(path, tuh_labels(), seconds=seconds, seed=seed)
        path.with_suffix(".rec").write_text(rows)
    return out


def tuar(root, rows="FP1-F7,2.0,4.0,eyem,1.0\nF7-T3,2.0,4.0,eyem,1.0\n", n_people=10, each=1):
    """TUAR 3: `each` files a person, the same annotations beside each."""
    for person in range(n_people):
        for session in range(each):
            stem = f"aaaaaa{chr(97 + person // 26)}{chr(97 + person % 26)}_s{session + 1:03d}_t000"
            path = root / "edf" / "01_tcp_ar" / f"{stem}.edf"
            write_edf(path, tuh_labels(), seconds=10, seed=person)
            path.with_suffix(".csv").write_text(CSV_HEAD + rows)
    return root


def sessions(root, parts=("",), people=10, ending=".tse_agg", text="", reference="REF"):
    """TUSL, TUSZ or TUEG: SUBJECT/SESSION_DATE/SYSTEM/FILE below each part."""
    system = "01_tcp_ar" if reference == "REF" else "02_tcp_le"
    number = 0
    for part in parts:
        for _ in range(people):
            name = f"aaaaaa{chr(97 + number // 26)}{chr(97 + number % 26)}"
            folder = root / "edf" / part / name / "s001_2010_03_04" / system
            path = folder / f"{name}_s001_t000.edf"
            write_edf(path, tuh_labels(reference), seconds=10, seed=number)
            if text:
                path.with_suffix(ending).write_text(text)
            number += 1
    return root


def chb(root, case="chb01", files=None, labels=None, seconds=60):
    """A case of CHB-MIT: file -> seizures (start, stop) in s; its summary beside."""
    files = {f"{case}_01": [], f"{case}_03": [(21, 47)]} if files is None else files
    text = "Data Sampling Rate: 256 Hz\n*************************\n\nChannels in EDF Files:\n"
    text += "".join(f"Channel {i}: {name}\n" for i, name in enumerate(CHB, 1))
    out = {}
    for seed, (name, seizures) in enumerate(files.items()):
        out[name] = write_edf(
            root / case / f"{name}.edf",
            labels or [*CHB, "-"],
            sfreq=256,
            seconds=seconds,
            seed=seed,
        )
        text += f"\nFile Name: {name}.edf\nFile Start Time: 11:42:54\nFile End Time: 12:42:54\n"
        text += f"Number of Seizures in File: {len(seizures)}\n"
        for i, (start, stop) in enumerate(seizures, 1):
            number = f" {i}" if len(seizures) > 1 else ""  # the only one has no number
            text += f"Seizure{number} Start Time: {start} seconds\n"
            text += f"Seizure{number} End Time:  {stop} seconds\n"
    (root / case / f"{case}-summary.txt").write_text(text)
    return out


EEGMMIDB = [
    name.ljust(4, ".")
    for name in (
        "Fc5 Fc3 Fc1 Fcz Fc2 Fc4 Fc6 C5 C3 C1 Cz C2 C4 C6 Cp5 Cp3 Cp1 Cpz Cp2 Cp4 Cp6 Fp1 Fpz Fp2 "
        "Af7 Af3 Afz Af4 Af8 F7 F5 F3 F1 Fz F2 F4 F6 F8 Ft7 Ft8 T7 T8 T9 T10 Tp7 Tp8 P7 P5 P3 P1 "
        "Pz P2 P4 P6 P8 Po7 Po3 Poz Po4 Po8 O1 Oz O2 Iz"
    ).split()
]


def eegmmidb(root, subject="S001", run=3, sfreq=160, marks=None):
    """A run of EEGMMIDB; marks are (onset, duration, text)."""
    marks = marks or [(0.0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.2, "T0"), (12.5, 4.1, "T1")]
    path = root / subject / f"{subject}R{run:02d}.edf"
    return write_edf(path, EEGMMIDB, sfreq=sfreq, seconds=20, seed=run, notes=marks)


def hypnogram(path, stages, step=30.0):
    """An EDF+ file of annotations alone, as Sleep-EDF keeps the stages."""
    notes, at = [], 0.0
    for stage, count in stages:
        notes.append(edfio.EdfAnnotation(at, count * step, stage))
        at += count * step
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf([], annotations=notes).write(path)


def night(root, name="SC4001E0", scored="SC4001EC", stages=None, seconds=300, patient=""):
    """A night of Sleep-EDF: EEG and EOG at 100 Hz, EMG at 1 Hz, temperature; and its stages."""
    folder = root / ("sleep-cassette" if name.startswith("SC") else "sleep-telemetry")
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [("EEG Fpz-Cz", "uV", 100), ("EEG Pz-Oz", "uV", 100), ("EOG horizontal", "uV", 100),
             ("EMG submental", "uV", 1), ("Temp rectal", "DegC", 1)]  # fmt: skip
    x = [samples(1, rate * seconds, i)[0] for i, (_, _, rate) in enumerate(kinds)]
    signals = [
        edfio.EdfSignal(
            row, rate, label=label, physical_dimension=unit,
            physical_range=(-32768, 32767), digital_range=(-32768, 32767),
        )
        for row, (label, unit, rate) in zip(x, kinds, strict=True)
    ]  # fmt: skip
    path = folder / f"{name}-PSG.edf"
    edfio.Edf(signals, data_record_duration=1).write(path)
    if patient:
        content = bytearray(path.read_bytes())
        content[8:88] = patient.ljust(80).encode()
        path.write_bytes(content)
    default = [("Sleep stage W", 2), ("Sleep stage 1", 1), ("Sleep stage 3", 1),
               ("Sleep stage 4", 2), ("Movement time", 1), ("Sleep stage R", 2),
               ("Sleep stage ?", 4)]  # fmt: skip
    hypnogram(folder / f"{scored}-Hypnogram.edf", stages or default)
    return x


def write_gdf(path, labels, x, events, sfreq=250):
    """A GDF 1.25 file of whole microvolts; events are (sample, code, duration in samples)."""
    n = len(labels)
    head = b"GDF 1.25" + b"X".ljust(80) + b"X".ljust(80) + b"2008010112000000"
    head += np.int64(256 * (n + 1)).tobytes() + bytes(44) + np.int64(x.shape[1] // sfreq).tobytes()
    head += np.array([1, 1], "<u4").tobytes() + np.uint32(n).tobytes()
    head += b"".join(label.encode().ljust(16) for label in labels) + b" " * 80 * n
    head += b"uV".ljust(8) * n
    head += np.full(n, -32768.0).tobytes() + np.full(n, 32767.0).tobytes()
    head += np.full(n, -32768, "<i8").tobytes() + np.full(n, 32767, "<i8").tobytes()
    head += b" " * 80 * n + np.full(n, sfreq, "<i4").tobytes() + np.full(n, 3, "<i4").tobytes()
    head += bytes(32 * n)
    assert len(head) == 256 * (n + 1)
    records = x.astype("<i2").reshape(n, -1, sfreq).transpose(1, 0, 2)
    place, code, length = (np.array(column) for column in zip(*events, strict=True))
    table = b"\x03" + np.uint32(sfreq).tobytes()[:3] + np.uint32(len(events)).tobytes()
    table += (place + 1).astype("<u4").tobytes() + code.astype("<u2").tobytes()
    table += np.zeros(len(events), "<u2").tobytes() + length.astype("<u4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + records.tobytes() + table)


BCI_2A = ["EEG-Fz", *["EEG"] * 6, "EEG-C3", "EEG", "EEG-Cz", "EEG", "EEG-C4", *["EEG"] * 7,
          "EEG-Pz", "EEG", "EEG", "EOG-left", "EOG-central", "EOG-right"]  # fmt: skip
BCI_2B = ["EEG:C3", "EEG:Cz", "EEG:C4", "EOG:ch01", "EOG:ch02", "EOG:ch03"]


def bci(root, name="A01T", classes=(1, 2, 3, 4), hidden=False, rejected=(), codes=()):
    """A session of 2a or 2b: two runs with 100 fillers between them, a trial every 8 s."""
    labels = BCI_2A if name.startswith("A") else BCI_2B
    n_times = 250 * 40
    x = samples(len(labels), n_times)
    x[:, 4900:5000] = -32768
    events = [(0, 32766, 1), (5000, 32766, 1)]
    for i, kind in enumerate(classes):
        start = 250 * (1 + 8 * i) if i < 2 else 250 * (21 + 8 * (i - 2))
        events.append((start, 768, 1500))
        events.append((start + 500, 783 if hidden else 768 + kind, 313))
        if i in rejected:
            events.append((start, 1023, 1500))
    write_gdf(root / f"{name}.gdf", labels, x, sorted([*events, *codes]))
    return x


def true_labels(root, name, classes):
    """The file of true labels of a session."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    savemat(root / f"{name}.mat", {"classlabel": np.array(classes, dtype=np.uint8)[:, None]})


def ear_night(root, subject="001", session="001", stages=("Wake", "N2"), missing=(), seconds=120):
    """A night of EESM23: an EEGLAB file with its samples inside, and its stages if any."""
    from scipy.io import savemat

    folder = root / f"sub-{subject}" / f"ses-{session}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{subject}_ses-{session}_task-sleep_acq"
    x = samples(4, 250 * seconds).astype(np.float32)
    for start, stop in missing:
        x[1, start:stop] = np.nan
    names = np.zeros(4, dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    for i, name in enumerate(("RB", "RT", "LB", "LT")):
        names[i] = (name, 0.0, 0.05 * i, 0.08)
    fields = {
        "setname": "x", "filename": "x.set", "filepath": "", "nbchan": 4.0, "trials": 1.0,
        "pnts": float(x.shape[1]), "srate": 250.0, "xmin": 0.0, "xmax": x.shape[1] / 250,
        "times": [], "icaact": [], "icawinv": [], "icasphere": [], "icaweights": [],
        "icachansind": [], "chanlocs": names, "urchanlocs": [], "chaninfo": {"plotrad": []},
        "ref": "common", "event": [], "epoch": [], "data": x,
    }  # fmt: skip
    savemat(folder / f"{stem}-earEEG_eeg.set", {"EEG": fields})
    if stages:
        text = "onset\tduration\tscoring_idx\tscoring\n"
        text += "".join(f"{30 * i + 5}\t30\t1\t{stage}\n" for i, stage in enumerate(stages))
        (folder / f"{stem}-scoring_events.tsv").write_text(text)
    return x
