"""Small, valid examples of the EEG formats, and what an example is."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SFREQ = 100.0


@dataclass(frozen=True)
class Seed:
    """One valid example.

    Parameters
    ----------
    folder : str
        Its own folder, below the folder of all examples.
    entry : str
        What is opened, relative to `folder`; "." is the folder itself.
    mutate : tuple of str
        Files to damage, one of them at a time; the others stay as they are.
    options : dict
        Keyword arguments of the reader. Values that begin with "@" are paths
        relative to `folder`.
    header : int
        Bytes at the start of a file where damage does most; more of it goes there.
    """

    folder: str
    entry: str
    mutate: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    header: int = 1024


def noise(n_chans: int = 2, n_times: int = 200, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 20, (n_chans, n_times))


def edf(folder: Path) -> list[Seed]:
    import edfio

    x = noise()
    signals = [
        edfio.EdfSignal(v, SFREQ, label=n, physical_dimension="uV", physical_range=(-200, 200))
        for v, n in zip(x, ("EEG Fp1-REF", "EEG C3-REF"), strict=True)
    ]
    marks = [edfio.EdfAnnotation(0.5, 0.2, "blink"), edfio.EdfAnnotation(1.5, None, "7")]
    edfio.Edf(signals, annotations=marks).write(folder / "plain.edf")
    slow = edfio.EdfSignal(
        noise(1, 20)[0], 10, label="Resp", physical_dimension="", physical_range=(-99, 99)
    )
    edfio.Edf([signals[0], slow]).write(folder / "rates.edf")
    notes = {0.0: [b"+0.5\x150.2\x14blink"], 9.0: [b"+9.5\x147", b"+5\x14lost"]}
    (folder / "gaps.edf").write_bytes(retimed((folder / "plain.edf").read_bytes(), notes))
    return [
        Seed(".", "plain.edf", ("plain.edf",), header=1024),
        Seed(".", "rates.edf", ("rates.edf",), header=1024),
        Seed(".", "gaps.edf", ("gaps.edf",), {"check": False}, 1024),
    ]


def retimed(content: bytes, notes: dict[float, list[bytes]]) -> bytes:
    """An EDF+ file whose records begin at the keys, in s, and hold these annotations only."""
    head, n = content[:256], int(content[252:256])
    counts = [int(content[256 + 216 * n + 8 * i :][:8]) for i in range(n)]
    row, room = 2 * sum(counts), 2 * counts[-1]
    out = bytearray(content)
    for record, (start, texts) in enumerate(notes.items()):
        block = f"{start:+g}".encode() + b"\x14\x14\0" + b"".join(t + b"\x14\0" for t in texts)
        assert len(block) <= room
        at = 256 * (n + 1) + (record + 1) * row - room
        out[at : at + room] = block.ljust(room, b"\0")
    assert int(head[236:244]) == len(notes)
    out[192:197] = b"EDF+D"
    return bytes(out)


def bdf(folder: Path) -> list[Seed]:
    import edfio

    signals = [
        edfio.BdfSignal(v, SFREQ, label=n, physical_dimension="uV", physical_range=(-200, 200))
        for v, n in zip(noise(), ("Fp1", "C3"), strict=True)
    ]
    codes = np.zeros(200)
    codes[50:60], codes[120:130] = 3, 7
    status = edfio.BdfSignal(
        codes,
        SFREQ,
        label="Status",
        physical_dimension="Boolean",
        physical_range=(-8388608, 8388607),
        digital_range=(-8388608, 8388607),
    )
    edfio.Bdf([*signals, status]).write(folder / "a.bdf")
    return [Seed(".", "a.bdf", ("a.bdf",), header=1024)]


def _gdf_bytes(version: str) -> bytes:
    """A GDF file of 2 channels, 2 records of 1 s and 2 events; no library writes GDF."""
    n, rate, records = 2, 100, 2
    names = b"".join(c.ljust(16, b"\0") for c in (b"Fz", b"Cz"))
    low, high = [-200.0] * n, [200.0] * n
    if version == "1.25":
        head = b"GDF 1.25" + b"P1 X".ljust(80) + b"R1".ljust(80) + b"2020010112000000"
        head += struct.pack("<q", 256 * (n + 1)) + bytes(24 + 20)
        head += struct.pack("<q2I", records, 1, 1) + struct.pack("<I", n)
        body = names + bytes(80 * n) + b"uV".ljust(8) * n
        body += struct.pack(f"<{2 * n}d", *low, *high)
        body += struct.pack(f"<{2 * n}q", *[-32768] * n, *[32767] * n) + bytes(80 * n)
        body += struct.pack(f"<{2 * n}i", *[rate] * n, *[3] * n) + bytes(32 * n)
    else:
        head = b"GDF 2.20" + b"P1 X".ljust(66) + bytes(10 + 4) + b"R1".ljust(64) + bytes(16)
        head += bytes(8 + 8) + struct.pack("<H", n + 1) + bytes(6 + 8 + 6 + 6 + 12 + 12)
        head += struct.pack("<q2IHH", records, 1, 1, n, 0)
        body = names + bytes(80 * n) + bytes(6 * n) + struct.pack(f"<{n}H", *[4275] * n)
        body += struct.pack(f"<{4 * n}d", *low, *high, *[-32768.0] * n, *[32767.0] * n)
        body += bytes(68 * n) + struct.pack(f"<{3 * n}f", *[0.0] * 3 * n)
        body += struct.pack(f"<{2 * n}i", *[rate] * n, *[3] * n) + bytes(12 * n + 20 * n)
    assert len(head) == 256
    assert len(body) == 256 * n
    x = (noise(n, rate * records) / 200 * 32767).astype("<i2")
    samples = b"".join(x[:, r * rate : (r + 1) * rate].tobytes() for r in range(records))
    count = struct.pack("<I", 2)
    if version == "1.25":
        table = bytes((1, 100, 0, 0)) + count
    else:
        table = bytes((1, 2, 0, 0)) + struct.pack("<f", 100.0)
    return head + body + samples + table + struct.pack("<2I2H", 51, 121, 769, 770)


def gdf(folder: Path) -> list[Seed]:
    (folder / "one.gdf").write_bytes(_gdf_bytes("1.25"))
    (folder / "two.gdf").write_bytes(_gdf_bytes("2.20"))
    return [Seed(".", f, (f,), header=768) for f in ("one.gdf", "two.gdf")]


def _raw_array(kind: str = "eeg") -> Any:
    import mne

    info = mne.create_info(["Fz", "Cz"], SFREQ, kind, verbose="error")
    return mne.io.RawArray(noise() * (1e-6 if kind == "eeg" else 1e-13), info, verbose="error")


def fif(folder: Path) -> list[Seed]:
    import mne

    raw = _raw_array()
    raw.set_annotations(mne.Annotations([0.5, 1.2], [0.1, 0], ["go", "BAD blink"]))
    raw.info["bads"] = ["Cz"]
    raw.save(folder / "a_raw.fif", fmt="single", verbose="error")
    events = np.array([[20, 0, 1], [120, 0, 2]])
    mne.Epochs(
        _raw_array("mag"), events, {"a": 1, "b": 2}, 0, 0.4, baseline=None, preload=True,
        verbose="error",
    ).save(folder / "b-epo.fif", verbose="error")  # fmt: skip
    return [Seed(".", f, (f,), header=4096) for f in ("a_raw.fif", "b-epo.fif")]


def _set_fields(x: Any, name: str, data: Any) -> dict[str, Any]:
    names = np.zeros(len(x), dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    for i in range(len(x)):
        names[i] = (["Fz", "Cz"][i], 0.0, 0.05 * i, 0.08)
    n_times = x.shape[1]
    event = np.zeros(2, dtype=[("type", "O"), ("latency", "O"), ("duration", "O"), ("epoch", "O")])
    event[0], event[1] = ("go", 31.0, 0.0, 1), ("stop", n_times + 5.0, 0.0, 2)
    return {
        "setname": "x", "filename": name, "filepath": "", "nbchan": float(len(x)),
        "trials": float(x.shape[2] if x.ndim == 3 else 1), "pnts": float(n_times),
        "srate": SFREQ, "xmin": 0.0, "xmax": (n_times - 1) / SFREQ, "times": [],
        "icaact": [], "icawinv": [], "icasphere": [], "icaweights": [], "icachansind": [],
        "chanlocs": names, "urchanlocs": [], "chaninfo": {"plotrad": []}, "ref": "common",
        "event": event, "epoch": [], "data": data,
    }  # fmt: skip


def eeglab(folder: Path) -> list[Seed]:
    from scipy.io import savemat

    x = noise().astype(np.float32)
    (folder / "b.fdt").write_bytes(x.T.astype("<f4").tobytes())
    savemat(folder / "a.set", {"EEG": _set_fields(x, "a.set", x)})
    savemat(folder / "b.set", {"EEG": _set_fields(x, "b.set", "b.fdt")})
    savemat(folder / "c.set", {"EEG": _set_fields(x, "c.set", x)}, do_compression=True)
    trials = x.reshape(2, 2, 100).transpose(0, 2, 1)
    epoch = np.zeros(2, dtype=[("event", "O"), ("eventlatency", "O"), ("eventtype", "O")])
    for i in range(2):
        epoch[i] = (i + 1, 0.0, ["go", "stop"][i])
    fields = {**_set_fields(trials, "d.set", trials), "epoch": epoch}
    savemat(folder / "d.set", {"EEG": fields})
    return [
        Seed(".", "a.set", ("a.set",), header=6000),
        Seed(".", "b.set", ("b.set",), header=6000),
        Seed(".", "c.set", ("c.set",)),
        Seed(".", "d.set", ("d.set",), header=6000),
    ]


def brainvision(folder: Path) -> list[Seed]:
    (folder / "v.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\n"
        "Codepage=UTF-8\nDataFile=v.eeg\nMarkerFile=v.vmrk\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=10000\n"
        "DataPoints=200\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\n"
        "Ch1=Fz,,0.1,µV\nCh2=Cz,,0.1,µV\n\n[Coordinates]\nCh1=1,45,90\nCh2=1,0,0\n\n[Comment]\n"
        "#     Name      Phys. Chn.    Resolution / Unit   Low Cutoff [s]   High Cutoff [Hz]   "
        "Notch [Hz]\n1     Fz          1                0.1 µV             10              100"
        "              Off\n2     Cz          2                0.1 µV             10              "
        "100              Off\n\nImpedance [kOhm] at 12:00:00 :\nFz: 5\nCz: 3\n",
        encoding="utf-8",
    )
    (folder / "v.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=v.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0,20200101000000000000\n"
        "Mk2=Stimulus,S  3,51,1,0\nMk3=Response,R  1,121,5,1\nMk4=Comment,blink,150,1,0\n",
        encoding="utf-8",
    )
    (folder / "v.eeg").write_bytes(np.round(noise().T * 10).astype("<i2").tobytes())
    files = ("v.vhdr", "v.vhdr", "v.vmrk", "v.vmrk", "v.eeg")
    return [Seed(".", "v.vhdr", files), Seed(".", "v.vhdr", files, {"check": False})]


def _xdf_chunk(tag: int, content: bytes) -> bytes:
    body = struct.pack("<H", tag) + content
    return b"\x04" + struct.pack("<I", len(body)) + body


def xdf(folder: Path) -> list[Seed]:
    def header(kind: str, n: int, rate: float, form: str, desc: str = "") -> bytes:
        return (
            f"<?xml version='1.0'?><info><name>{kind}</name><type>{kind}</type>"
            f"<channel_count>{n}</channel_count><nominal_srate>{rate}</nominal_srate>"
            f"<channel_format>{form}</channel_format><created_at>0</created_at>"
            f"<desc>{desc}</desc></info>"
        ).encode()

    x = noise().astype("<f4")
    labels = "".join(
        f"<channel><label>{c}</label><unit>microvolts</unit></channel>" for c in ("Fz", "Cz")
    )
    one, two = struct.pack("<I", 1), struct.pack("<I", 2)
    out = b"XDF:" + _xdf_chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    desc = f"<channels>{labels}</channels>"
    out += _xdf_chunk(2, one + header("EEG", 2, SFREQ, "float32", desc))
    out += _xdf_chunk(2, two + header("Markers", 1, 0, "string"))
    samples = b"".join(
        b"\x08" + struct.pack("<d", 50 + i / SFREQ) + x[:, i].tobytes() for i in range(100)
    )
    out += _xdf_chunk(3, one + b"\x04" + struct.pack("<I", 100) + samples)
    out += _xdf_chunk(4, one + struct.pack("<2d", 50.9, -0.01))  # an offset between two clocks
    rest = x[:, 100:].T.tobytes()  # without stamps: the nominal rate gives them
    rest = b"".join(b"\0" + rest[i : i + 8] for i in range(0, len(rest), 8))
    out += _xdf_chunk(3, one + b"\x01" + bytes([100]) + rest)
    word = b"\x08" + struct.pack("<d", 50.5) + b"\x01\x03tap"
    out += _xdf_chunk(3, two + b"\x01\x01" + word)
    out += _xdf_chunk(
        6, one + b"<?xml version='1.0'?><info><sample_count>200</sample_count></info>"
    )
    (folder / "a.xdf").write_bytes(out)
    return [Seed(".", "a.xdf", ("a.xdf",), header=1200)]
