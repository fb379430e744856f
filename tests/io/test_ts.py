"""The .ts reader: what it reads, and that it refuses everything else by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuro.data import Axis
from neuro.errors import FileError, UnitError
from neuro.io.ts import read_ts, ts_recording

HEADER = "@problemName demo\n@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n"
BODY = "1,2,3:4,5,6:a\n-1.5,2e1,0:0,0,1:b\n"


@pytest.fixture
def write(tmp_path):
    def put(text: str | bytes, name: str = "demo.ts"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def test_cases_labels_and_classes(write):
    ts = read_ts(write(HEADER + BODY))
    np.testing.assert_array_equal(ts.cases[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(ts.cases[1], [[-1.5, 20, 0], [0, 0, 1]])
    assert ts.cases[0].dtype == np.float32
    assert (ts.labels, ts.classes, ts.notes) == (("a", "b"), ("a", "b"), ())


def test_comments_may_be_in_any_encoding(write):
    ts = read_ts(write(b"# \xb5Volt, K\xfcbler\n\n" + (HEADER + BODY).encode()))
    assert len(ts.cases) == 2


def test_windows_line_ends(write):
    ts = read_ts(write((HEADER + BODY).replace("\n", "\r\n")))
    assert ts.labels == ("a", "b")


@pytest.mark.parametrize("missing", ["?", "NaN", "nan"])
def test_missing_values_are_nan(write, missing):
    ts = read_ts(write(HEADER + f"1,{missing},3:4,5,6:a\n"))
    np.testing.assert_array_equal(np.isnan(ts.cases[0]), [[0, 1, 0], [0, 0, 0]])


def test_header_that_miscounts_samples_is_noted_and_the_data_win(write):
    ts = read_ts(write(HEADER.replace("@data", "@equalLength true\n@seriesLength 2\n@data") + BODY))
    assert ts.cases[0].shape == (2, 3)
    assert ts.notes == ("header says 2 samples a case, data have [3]",)


def test_no_classes(write):
    ts = read_ts(write("@classLabel false\n@data\n1,2\n3,4\n"))
    assert (ts.labels, len(ts.cases)) == ((), 2)


def test_cases_of_different_lengths(write):
    ts = read_ts(write(HEADER + "1,2,3:4,5,6:a\n1,2:3,4:b\n"))
    assert [case.shape for case in ts.cases] == [(2, 3), (2, 2)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no '@data' line"),
        ("1,2,3:a\n", r"line 1: expected '@keyword'"),
        (HEADER, "no cases after '@data'"),
        (HEADER + "1,2,3:4,5,6:c\n", r"line 6: class 'c' is not in the header: a, b"),
        (HEADER + "1,2,3:4,5,6\n", r"line 6: class '4,5,6'"),
        (HEADER + "1,2,3:4,5:a\n", r"channels of different lengths \[2, 3\]"),
        (HEADER + "1,2,3:a\n", "1 channels, the header says 2"),
        (HEADER + "1,x,3:4,5,6:a\n", "'x' is no part of a number"),
        (HEADER + "1,_2,3:4,5,6:a\n", "'_' is no part of a number"),
        (HEADER + "1,2-3,3:4,5,6:a\n", "not a row of numbers"),
        (HEADER + "1,,3:4,5,6:a\n", "not a row of numbers"),
        (HEADER + "1,1e39,3:4,5,6:a\n", "too large for 32 bits"),
        (HEADER + "1,1e999,3:4,5,6:a\n", "too large for 32 bits"),
        (HEADER.replace("@dimensions 2", "@dimensions two") + BODY, "positive whole number"),
        (HEADER.replace("@dimensions 2", "@dimensions 0") + BODY, "positive whole number"),
        (HEADER.replace("@univariate", "@univariat") + BODY, "Did you mean 'univariate'"),
        (HEADER.replace("@univariate false", "@univariate maybe") + BODY, "must be true or false"),
        (HEADER.replace("@univariate false", "@univariate") + BODY, "must be true or false"),
        (HEADER.replace("true a b", "true a a") + BODY, "distinct class names"),
        (HEADER.replace("true a b", "true") + BODY, "distinct class names"),
        (HEADER.replace("@data", "@dimensions 2\n@data") + BODY, "'@dimensions' stands twice"),
        (HEADER.replace("@data", "@timestamps true\n@data") + BODY, "not supported"),
        (HEADER.replace("@data", "@targetLabel true\n@data") + BODY, "not supported"),
        (HEADER.replace("@data", "@equalLength true\n@data") + "1:2:a\n" + BODY, r"\[1, 3\]"),
        (b"@data\n\xff\xfe:a\n", "no part of a number"),
        (b"@\xff\n@data\n1\n", "unreadable keyword"),
        (b"@\n@data\n1\n", "unreadable keyword"),
    ],
)  # fmt: skip
def test_malformed_files_are_refused_by_name_and_line(write, text, says):
    with pytest.raises(FileError, match=says) as caught:
        read_ts(write(text))
    assert "demo.ts" in str(caught.value)


def test_channel_counts_must_agree_even_if_undeclared(write):
    text = HEADER.replace("@dimensions 2\n", "") + "1,2:3,4:a\n1,2:b\n"
    with pytest.raises(FileError, match=r"different numbers of channels \[1, 2\]"):
        read_ts(write(text))


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"gone\.ts: cannot be read"):
        read_ts(tmp_path / "gone.ts")


def test_mutations_give_a_file_or_one_project_error(write):
    seed = np.frombuffer((HEADER + BODY * 3).encode(), np.uint8)
    rng = np.random.default_rng(0)
    outcomes = {"ok": 0, "refused": 0}
    for _ in range(400):
        raw = seed.copy()
        where = rng.integers(len(raw), size=rng.integers(1, 3))
        raw[where] = rng.choice(
            np.frombuffer(b"0123456789.,:-eab@ \n\x00\xff", np.uint8), len(where)
        )
        stop = len(raw) if rng.random() < 0.8 else rng.integers(1, len(raw))
        try:
            read_ts(write(raw[:stop].tobytes()))
            outcomes["ok"] += 1
        except FileError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10  # both outcomes happen, and no third


@given(
    x=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_numbers_survive_text_exactly(x, tmp_path_factory):
    lines = [":".join(",".join(repr(float(v)) for v in row) for row in case) + ":a" for case in x]
    path = tmp_path_factory.mktemp("ts") / "x.ts"
    path.write_text("@classLabel true a\n@data\n" + "\n".join(lines))
    np.testing.assert_array_equal(np.stack(read_ts(path).cases), x)


def test_recording_keeps_trials_apart(write):
    path = write(HEADER + BODY)
    recording = ts_recording(path, sfreq=250, unit="au", run="train", names={"a": "left"})
    stream = recording.regular("eeg")
    assert stream.segments.tolist() == [[0, 3], [3, 6]]
    np.testing.assert_array_equal(stream.values()[0], [1, 2, 3, -1.5, 20, 0])
    assert recording.events.type.tolist() == ["left", "b"]
    assert recording.events.block.tolist() == [0, 1]
    np.testing.assert_allclose(recording.events.onset_s, [0, 3 / 250], rtol=0, atol=1e-15)
    np.testing.assert_allclose(recording.events.duration_s, 3 / 250, rtol=0, atol=1e-15)
    assert recording.subject == "pooled"


def test_recording_with_missing_samples_has_a_mask(write):
    recording = ts_recording(write(HEADER + "1,?,3:4,5,6:a\n"), sfreq=1, unit="au")
    assert recording.regular("eeg").valid.tolist() == [[True, False, True], [True] * 3]


def test_recording_refuses_an_implausible_unit(write):
    # 1 s at 4 Hz with a standard deviation of millions of microvolts
    text = HEADER + "\n".join("1e7,-1e7,1e7,-1e7:1e7,-1e7,1e7,-1e7:a" for _ in range(4))
    with pytest.raises(UnitError):
        ts_recording(write(text), sfreq=4, unit="uV")


def test_recording_refuses_a_wrong_number_of_names(write):
    with pytest.raises(FileError, match="2 channels, 1 names"):
        ts_recording(write(HEADER + BODY), sfreq=1, unit="au", axis=Axis(["Cz"], "eeg"))
