"""Every reader answers a damaged file with a recording or one error of this package.

What counts as a finding stands in `harness.py`. A failing case is run again with
``python tests/fuzz/harness.py FORMAT --first CASE --cases 1 --keep DIR``.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fuzz_naughty
import pytest
from fuzz_seeds import FORMATS

HARNESS = Path(__file__).with_name("harness.py")
CASES = 2000


def fuzz(*formats: str, cases: int, **options: object) -> list[dict[str, Any]]:
    """Summaries of one run of the harness, one a format."""
    told = [str(v) for k, value in options.items() for v in (f"--{k.replace('_', '-')}", value)]
    done = subprocess.run(
        [sys.executable, str(HARNESS), *formats, "--cases", str(cases), *told],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(summary: dict[str, Any], cases: int) -> None:
    assert not summary["findings"], summary["findings"][:20]
    assert summary["ok"] + sum(summary["errors"].values()) == cases
    assert summary["errors"], "no file was damaged enough to be refused"


# Formats whose libraries are the same share a process, which saves their imports.
SHARED = (
    "nwb h5 shards nifti nifti_gz cifti gifti mgz fmriprep yaml model",
    "eeglab fif gdf brainvision edf bdf xdf bids csv tsv npy npz ts",
)
FEWER = {"nwb": 20, "eeglab": 20}  # a case of these takes longest
# The slowest first, and in parts, so that two workers end together.
GROUPS = [
    *(("nwb", part, 4) for part in range(4)),
    *(("eeglab", part, 2) for part in range(2)),
    ("h5 shards", 0, 1),
    ("fif gdf brainvision", 0, 1),
    ("edf bdf xdf bids", 0, 1),
    ("fmriprep nifti nifti_gz cifti gifti mgz", 0, 1),
    ("model yaml csv tsv npy npz ts", 0, 1),
]


@pytest.mark.parametrize("formats", SHARED, ids=("hdf5", "eeg"))
def test_fifty_of_each(formats: str) -> None:
    names = [f"{fmt}:{FEWER.get(fmt, 50)}" for fmt in formats.split()]
    for summary in fuzz(*names, cases=50, seed=1):
        check(summary, FEWER.get(summary["format"], 50))


def test_no_format_is_left_out() -> None:
    from neuro import io

    assert sorted(" ".join(SHARED).split()) == sorted(FORMATS)
    assert {fmt for formats, _, _ in GROUPS for fmt in formats.split()} == set(FORMATS)
    names = {"store": "h5", "table": "csv"}
    assert {names.get(n, n.lower()) for n in io.formats()} <= set(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize(("formats", "part", "parts"), GROUPS)
def test_two_thousand(formats: str, part: int, parts: int) -> None:
    n = CASES // parts
    for summary in fuzz(*formats.split(), cases=n, first=part * n):
        check(summary, n)
        assert summary["ok"], "no damaged file was read, so nothing beyond the header was tried"


# ------------------------------------------------------------ the harness itself

NOTICED = {
    "abort": "brought the process down: SIGABRT",
    "leave": "SystemExit",
    "hog": "needed 1",
    "ask": "asked for more than",
    "stumble": "KeyError at fuzz_naughty.py",
    "shout": "control characters",
    "tell": "tells the folder",
    "litter": "for writing",
    "litter_by_c": "files beside the damaged one changed",
    "litter_elsewhere": "left behind: cwd/c.h5",
    "start": "started true",
    "unpickle": "pickle.find_class",
}


@pytest.mark.slow
def test_the_harness_notices_what_it_is_for() -> None:
    found = {
        summary["format"]: summary["findings"]
        for summary in fuzz(*NOTICED, cases=1, seeds="fuzz_naughty")
    }
    assert {name: len(f) for name, f in found.items()} == dict.fromkeys(NOTICED, 1)
    for name, text in NOTICED.items():
        assert text in found[name][0]
    assert set(NOTICED) == set(fuzz_naughty.FORMATS) - {"refuse", "hang"}


@pytest.mark.slow
def test_the_harness_notices_a_hang() -> None:
    (summary,) = fuzz("hang", cases=1, seeds="fuzz_naughty", limit_s=1)
    assert summary["findings"] == ["case 0 (a.txt): took more than 1 s"]


def test_one_error_of_this_package_is_no_finding() -> None:
    (summary,) = fuzz("refuse", cases=3, seeds="fuzz_naughty")
    assert (summary["findings"], summary["errors"]) == ([], {"FileError": 3})


def test_a_death_does_not_end_the_run() -> None:
    (summary,) = fuzz("abort", cases=3, seeds="fuzz_naughty")
    assert summary["errors"] == {"death": 3}


def test_cases_are_a_function_of_number_and_seed() -> None:
    import harness

    told = {"entry": "a.txt", "mutate": ["a.txt"], "options": {}, "header": 99, "folder": "x"}
    example = harness.Example(Path("/nowhere"), told)
    example.files = {"a.txt": bytes(range(256))}
    first, again, other = (
        [harness.case([example], i, seed, False)[2] for i in range(200)] for seed in (0, 0, 1)
    )
    assert first == again
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 5
    # a copy of a block onto itself and the like may leave a file as it was
    assert sum(data == bytes(range(256)) for data in first) < 10
