import numpy as np
import pytest

from neuro.data import canonical_eeg_name, eeg_positions
from neuro.data.channels import split_bipolar


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("EEG FP1-REF", "Fp1"),
        ("EEG T3-LE", "T7"),
        ("T3", "T7"),
        ("t4", "T8"),
        ("T5", "P7"),
        ("T6", "P8"),
        ("FZ", "Fz"),
        ("fcz", "FCz"),
        ("Fc5.", "FC5"),
        ("Cz..", "Cz"),
        ("EEG C3-A2", "C3"),
        ("EEG A1", "A1"),
        ("POL O1", "O1"),
        ("EEG Fp1-F7", "Fp1-F7"),
        ("T3-T5", "T7-P7"),
        ("EMG 1", "EMG 1"),
        (" ECG ", "ECG"),
        ("STI 014", "STI 014"),
    ],
)
def test_spellings_become_standard(raw: str, name: str) -> None:
    assert canonical_eeg_name(raw) == name


def test_mending_twice_changes_nothing() -> None:
    for raw in ("EEG FP1-REF", "T3", "EEG T5-O1", "EMG 1", "Fc5.", "C3-A2"):
        once = canonical_eeg_name(raw)
        assert canonical_eeg_name(once) == once


def test_bipolar_names() -> None:
    assert split_bipolar("Fp1-F7") == ("Fp1", "F7")
    assert split_bipolar("Cz") is None
    assert split_bipolar("a-b-c") is None
    assert split_bipolar("-b") is None


def test_positions_are_metres_and_lie_where_they_should() -> None:
    cz, fpz, oz, c3, c4 = eeg_positions(["Cz", "Fpz", "Oz", "C3", "C4"])
    assert 0.05 < np.linalg.norm(cz) < 0.15
    assert cz[2] == max(cz[2], fpz[2], oz[2])
    assert fpz[1] > cz[1] > oz[1]
    assert c3[0] < 0 < c4[0]


def test_a_bipolar_channel_lies_midway() -> None:
    a, b, both = eeg_positions(["Fp1", "F7", "Fp1-F7"])
    # float32 positions of about 0.1 m
    np.testing.assert_allclose(both, (a + b) / 2, atol=1e-7)


def test_half_known_bipolar_channels_have_no_place() -> None:
    assert np.isnan(eeg_positions(["Fp1-EMG", "nowhere"])).all()
