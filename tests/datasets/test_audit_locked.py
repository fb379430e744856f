"""EEG from the scanner: what the gradients and the heart left on it is found."""

from typing import Any

import pytest

from neuro.datasets import audit, synthetic


def _made(variant: Any) -> Any:
    return synthetic.eeg_fmri(3, n_scans=1, n_volumes=100, sfreq=128, variant=variant)


def test_clean_scans_raise_nothing() -> None:
    found = audit(_made("plain").recordings)
    assert len(found) == 0, repr(found)


@pytest.mark.parametrize(
    ("variant", "words"),
    [("tr_artefact", "residual gradient"), ("pulse_artefact", "pulse artefact")],
    ids=lambda v: str(v).replace(" ", "_"),
)
def test_what_is_locked_is_found_and_named(variant: Any, words: str) -> None:
    (finding,) = [f for f in audit(_made(variant).recordings) if f.kind == "scanner"]
    assert words in finding.message
    # 15 uV beside some 14 uV of EEG: about half, by construction
    assert finding.evidence["median"] > 0.1
    assert finding.severity == "warning"
