"""The audit finds planted and real defects, and nothing in clean sets."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuro.datasets
from neuro.data import Axis, Clock, Events, Irregular, Recording, Regular
from neuro.datasets import audit, synthetic
from neuro.errors import DataError

Recordings = list[Recording]
Load = Callable[..., Recordings]


@pytest.fixture(scope="module")
def eeg() -> Recordings:
    return [*synthetic.eeg(0, n_subjects=6, n_trials=10, n_motifs=4).recordings]


@pytest.fixture(scope="module")
def bold() -> Recordings:
    return [*synthetic.fmri_roi(0, n_subjects=16).recordings]


@pytest.fixture(scope="module")
def spikes() -> Recordings:
    return [*synthetic.spikes(0, duration_s=60.0).recordings]


def _with(rec: Recording, name: str, **change: Any) -> Recording:
    return rec.with_stream(name, replace(rec.stream(name), **change))  # type: ignore[arg-type]


def test_a_finding_reads_as_a_sentence() -> None:
    found = neuro.datasets.Finding(
        kind="unit", severity="warning", recordings=("a", "b", "c"), message="Too large.",
        remedy="Divide by 1000.", evidence={"size": 3.0},
    )  # fmt: skip
    assert str(found) == "warning, unit of a and 2 alike: Too large. Divide by 1000."


def _only(found: neuro.datasets.Audit, kind: str) -> neuro.datasets.Finding:
    assert found.kinds() == (kind,), repr(found)
    (finding,) = [f for f in found if f.severity != "note"]
    return finding


# ---- clean sets ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_simulators_raise_nothing(seed: int) -> None:
    for made in (
        synthetic.eeg(seed, n_trials=10, n_motifs=4),
        synthetic.fmri_roi(seed, n_subjects=8),
        synthetic.spikes(seed, duration_s=30.0),
    ):
        found = audit(made.recordings)
        assert len(found) == 0, repr(found)


@pytest.mark.network
@pytest.mark.parametrize(
    "name",
    ["hmd", "blink", "eyes", "hcp94", "gw94", "pain122", "nitime_roi"],
)
def test_real_sets_raise_nothing(dataset: Load, name: str) -> None:
    found = audit(dataset(name))
    assert len(found) == 0, repr(found)


@pytest.mark.network
@pytest.mark.parametrize(("name", "delay"), [("scp1", 6), ("scp2", 7), ("finger", 28)])
def test_published_rows_that_are_copies_are_noted(dataset: Load, name: str, delay: int) -> None:
    found = audit(dataset(name))
    assert found.ok
    assert {f.evidence["delay"] for f in found} == {delay}
    assert len(audit(dataset(name, recover=True))) == 0


def test_rows_that_are_copies_of_each_other_are_found() -> None:
    rec = synthetic.eeg(0, n_subjects=1, n_trials=8).recordings[0]
    x = rec.regular("eeg").values()
    flat = x[0]
    wrong = np.stack([flat[20 * k : 20 * k + 1000] for k in range(20)])
    stream = replace(rec.regular("eeg"), data=wrong, segments=None, valid=None)
    spoilt = rec.replace(streams={"eeg": stream}, events=Events.empty())
    finding = _only(audit(spoilt), "channels")
    assert (finding.severity, finding.evidence["delay"]) == ("error", 20)


@pytest.mark.parametrize("name", ["head_direction", "gdf_mi", "haxby_slice", "bold_difumo64"])
def test_real_sets_by_path_raise_nothing(dataset: Load, name: str) -> None:
    found = audit(dataset(name))
    assert found.ok, repr(found)


@pytest.mark.network
def test_a_mended_header_is_a_note(dataset: Load) -> None:
    found = audit(dataset("lemon_surf"))
    assert found.ok, repr(found)
    assert any("the header says 1 s" in f.message for f in found)


# ---- the five of the acceptance test ----------------------------------------------------


@pytest.mark.network
def test_shifted_people_are_found_by_fingerprint(dataset: Load) -> None:
    finding = _only(audit(dataset("pain122", correct_identities=False)), "identity")
    assert len(finding.recordings) == 32
    assert all(i.endswith("run-1") for i in finding.recordings)
    assert finding.evidence["shift"] == -1
    # measured: 0.02 as named, 0.65 shifted
    assert finding.evidence["matched_as_named"] < 0.1
    assert finding.evidence["matched_shifted"] > 0.5


@pytest.mark.network
def test_session_clocks_are_found(dataset: Load) -> None:
    found = audit(dataset("pain122", correct_clock=False))
    assert found.kinds() == ("clock",), repr(found)
    starts = {f.recordings[0][-5:]: f.evidence["first_onset_s"] for f in found}
    assert starts == {
        "run-3": pytest.approx(846.2, abs=0.1),
        "run-7": pytest.approx(2482.2, abs=0.1),
    }
    assert sum(len(f.recordings) for f in found) == 66


def test_microvolts_read_as_volts_are_found(shared_data: Path) -> None:
    rec = neuro.read(shared_data / "mi_2class.gdf", check=False)
    finding = _only(audit(rec), "unit")
    assert "read the file with unit='uV'" in finding.message


@pytest.mark.network
def test_a_header_s_repetition_time_is_found(dataset: Load) -> None:
    rec = dataset("lemon_surf")[0]
    finding = _only(audit(_with(rec, "bold", rate=1)), "rate")
    assert finding.evidence == {"sfreq": 1.0, "card_sfreq": pytest.approx(1 / 1.4)}


@pytest.mark.parametrize("tr", [2000.0, 0.002])
def test_impossible_repetition_times_are_found(bold: Recordings, tr: float) -> None:
    rec = _with(bold[0], "bold", rate=1 / tr).replace(events=Events.empty())
    finding = _only(audit(rec), "rate")
    assert f"a repetition time of {tr:g} s" in finding.message
    assert "tr=2" in finding.remedy


def _calcium(n_cells: int, n_frames: int) -> Any:
    """Traces with slow decays on baselines of their own, as F of a two-photon movie."""
    rng = np.random.default_rng(0)
    spikes = rng.random((n_cells, n_frames)) < 0.03
    kernel = np.exp(-np.arange(40) / 10)
    slow = np.stack([np.convolve(row, kernel)[:n_frames] for row in spikes])
    base = rng.uniform(100, 3000, (n_cells, 1))
    return base * (1 + 0.5 * slow + 0.1 * rng.standard_normal(slow.shape))


@pytest.mark.parametrize(("n_cells", "n_frames"), [(219, 2000), (900, 400)])
def test_swapped_axes_are_found(n_cells: int, n_frames: int) -> None:
    x = _calcium(n_cells, n_frames)

    def recording(samples: Any) -> Recording:
        axis = Axis([f"cell {i}" for i in range(len(samples))], "roi")
        return Recording({"F": Regular(samples, 10, "au", axis, "calcium")}, subject="1")

    assert audit(recording(x)).ok
    finding = _only(audit(recording(x.T)), "axis")
    assert finding.evidence["r_rows"] > 0.5 > 0.2 > finding.evidence["r_time"]


def test_swapped_eeg_and_regions_are_found(eeg: Recordings, bold: Recordings) -> None:
    for rec, name in ((eeg[0], "eeg"), (bold[0], "bold")):
        signal = rec.regular(name)
        x = np.ascontiguousarray(signal.values().T)
        # an arbitrary scale, so that the unit does not speak first
        swapped = Regular(x, signal.rate, "au", Axis([f"{i}" for i in range(len(x))]), name)  # type: ignore[arg-type]
        assert _only(audit(Recording({name: swapped}, subject="1")), "axis").severity == "error"


# ---- identity --------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1, -2])
def test_a_shifted_run_is_found_and_named(bold: Recordings, shift: int) -> None:
    people = sorted({r.subject for r in bold})
    moved = dict(zip(people, np.roll(people, shift).tolist(), strict=True))
    bad = [r.replace(subject=moved[r.subject]) if r.run == "2" else r for r in bold]
    finding = _only(audit(bad), "identity")
    assert abs(finding.evidence["shift"]) == abs(shift)
    assert finding.evidence["matched_shifted"] > 0.8


def test_two_people_swapped_in_one_run_are_found(bold: Recordings) -> None:
    swap = {"03": "09", "09": "03"}
    bad = [r.replace(subject=swap.get(r.subject, r.subject)) if r.run == "2" else r for r in bold]
    finding = _only(audit(bad), "identity")
    assert "'03' and '09' resemble each other" in finding.message
    assert len(finding.recordings) == 4


def test_people_alike_by_nothing_are_not_called_shifted(bold: Recordings) -> None:
    # run 2 shuffled: no shift explains it, and none must be claimed
    order = np.random.default_rng(1).permutation(16)
    people = sorted({r.subject for r in bold})
    moved = {people[i]: people[j] for i, j in enumerate(order.tolist())}
    bad = [r.replace(subject=moved[r.subject]) if r.run == "2" else r for r in bold]
    assert not any("shifted" in f.message for f in audit(bad))


@pytest.mark.parametrize("n", [7, 10, 16])
def test_runs_that_have_nothing_in_common_are_rarely_called_shifted(n: int) -> None:
    from neuro.datasets._audit_together import identity

    rng = np.random.default_rng(n)
    axis = Axis([f"r{i}" for i in range(8)], "roi")

    def run(person: int, number: int) -> Recording:
        bold = Regular(rng.standard_normal((8, 60)), "1/2", "z", axis, "bold")
        return Recording({"bold": bold}, subject=f"{person:02d}", run=str(number))

    # expected 0.05 of 100 at a rate of one in 1,000 and less
    found = sum(len(identity([run(p, k) for p in range(n) for k in (1, 2)])) for _ in range(100))
    assert found <= 1


def test_the_same_data_under_two_names_are_found(eeg: Recordings, spikes: Recordings) -> None:
    for recs, name in ((eeg, "eeg"), (spikes, "spikes")):
        copy = recs[0].replace(subject="99")
        finding = _only(audit([*recs, copy]), "duplicate")
        assert finding.evidence == {"stream": name, "subjects": ["01", "99"]}
        assert finding.recordings == (recs[0].id, copy.id)


def test_ids_that_stand_twice_and_nameless_people_are_found(eeg: Recordings) -> None:
    finding = _only(audit([eeg[0], eeg[1].replace(id=eeg[0].id)]), "identity")
    assert finding.recordings == (eeg[0].id,)
    finding = _only(audit([eeg[0], eeg[1].replace(subject="")]), "identity")
    assert "1 of 2 recordings do not know their subject" in finding.message


# ---- clock, rate, unit -------------------------------------------------------------------


def test_events_on_the_session_clock_are_found(bold: Recordings) -> None:
    late = bold[0].events.onset_s + 900.0
    rec = bold[0].replace(events=replace(bold[0].events, onset_s=late))
    finding = _only(audit(rec), "clock")
    assert finding.evidence["share_outside"] == 1.0
    assert "900 s into the session" in finding.remedy
    assert audit(rec.replace(clocks={"bold": Clock(1.0, 900.0)})).ok


def test_a_clock_that_starts_inside_the_run_is_found_too(bold: Recordings) -> None:
    # 300 s late in a run of 480 s: some events still lie inside
    events = bold[0].events.take(slice(0, 15))
    rec = bold[0].replace(events=replace(events, onset_s=events.onset_s + 300.0))
    finding = _only(audit(rec), "clock")
    assert 0 < finding.evidence["share_outside"] < 1


def test_events_that_outlast_the_data_point_to_the_rate(bold: Recordings) -> None:
    finding = _only(audit(_with(bold[0], "bold", rate="1/1.4")), "rate")
    assert finding.evidence["factor"] == pytest.approx(2.0 / 1.4, rel=0.01)


def test_stray_events_are_found(eeg: Recordings) -> None:
    known = eeg[0].events
    onset = [*known.onset_s, 5000.0]
    rec = eeg[0].replace(events=Events.make(onset, [*known.type, "left"]))
    found = audit(rec)
    assert not found.ok
    assert "1 of 11 events lie outside" in found.findings[0].message


def test_streams_that_share_no_time_are_found(eeg: Recordings, bold: Recordings) -> None:
    rec = eeg[0].with_stream("bold", bold[0].stream("bold"))
    assert audit(rec).ok
    late = rec.replace(clocks={"bold": Clock(1.0, 10_000.0)})
    assert "share no time" in _only(audit(late), "clock").message


@pytest.mark.parametrize("factor", [1e6, 1e3])
def test_spike_times_in_a_smaller_unit_are_found(spikes: Recordings, factor: float) -> None:
    train = spikes[0].stream("spikes")
    assert isinstance(train, Irregular)
    slow = Irregular(train.times_s * factor, train.unit_index, train.units, train.support * factor)
    rec = Recording({"spikes": slow}, subject="01")
    found = audit(rec)
    if factor == 1e6:
        assert "in us" in _only(found, "clock").remedy
    else:
        # 0.008 Hz is slow, but units that slow exist
        assert found.ok


def test_one_recording_in_another_unit_or_rate_is_found(eeg: Recordings) -> None:
    plain = [_with(r, "eeg", unit="au") for r in eeg]
    volts = plain[2].regular("eeg").values() * np.float32(1e-6)
    found = audit([*plain[:2], _with(plain[2], "eeg", data=volts), *plain[3:]])
    finding = _only(found, "unit")
    assert finding.recordings == (eeg[2].id,)
    assert finding.evidence["ratio"] == pytest.approx(1e-6, rel=0.5)
    found = audit(
        [*eeg[:2], _with(eeg[2], "eeg", rate=256).replace(events=Events.empty()), *eeg[3:]]
    )
    assert _only(found, "rate").recordings == (eeg[2].id,)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_wrong_units_are_found(eeg: Recordings, factor: float) -> None:
    x = eeg[0].regular("eeg").values() * np.float32(factor)
    assert _only(audit(_with(eeg[0], "eeg", data=x)), "unit").severity == "error"


def test_a_repetition_time_from_the_header_alone_is_a_warning(bold: Recordings) -> None:
    rec = bold[0].with_step("tr=2 s from the header alone")
    assert _only(audit(rec), "rate").severity == "warning"
    note = bold[0].with_step("tr=2 s by argument; the header says 1 s")
    assert audit(note).ok


# ---- channels ----------------------------------------------------------------------------


def test_constant_and_missing_channels_are_found(eeg: Recordings) -> None:
    x = eeg[0].regular("eeg").values().copy()
    x[3] = 7.0
    x[5, : x.shape[1] // 2] = np.nan
    found = audit(_with(eeg[0], "eeg", data=x))
    assert [f.evidence["rows"] for f in found] == [["F3"], ["F4"]]
    assert {f.severity for f in found} == {"warning"}
    bad = np.isin(np.arange(20), [3, 5])
    axis = eeg[0].regular("eeg").axis.replace(bad=bad)
    assert audit(_with(eeg[0], "eeg", data=x, axis=axis)).ok


# ---- the report --------------------------------------------------------------------------


def test_the_report_can_be_read_and_stored(eeg: Recordings) -> None:
    bad = [_with(r, "eeg", data=r.regular("eeg").values() * np.float32(1e-6)) for r in eeg]
    found = audit(bad)
    assert not found.ok
    assert len(found) == 1
    assert found.findings[0].recordings == tuple(r.id for r in eeg)
    text = repr(found)
    assert text.startswith("Audit(6 recordings: 1 error)")
    assert f"{eeg[0].id} and 5 alike" in text
    stored = json.loads(json.dumps(found.to_json()))
    assert stored["ok"] is False
    assert stored["findings"][0]["kind"] == "unit"
    assert len(stored["findings"][0]["evidence"]["each"]) == 6


def test_errors_come_first(eeg: Recordings) -> None:
    x = eeg[0].regular("eeg").values() * np.float32(1e-6)
    rec = _with(eeg[0], "eeg", data=x)
    found = audit([rec, eeg[1].replace(subject="")])
    assert [f.severity for f in found] == ["error", "warning"]


def test_nothing_to_audit_is_an_error() -> None:
    with pytest.raises(DataError, match="no recording"):
        audit([])
