"""The one door: kinds of input, labels, and one clear error for each kind of bad input."""

import numpy as np
import pytest

import neuro
from neuro.connectivity import connectivity, measures
from neuro.data import Axis, Irregular, Recording, Regular, windows
from neuro.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def trials():
    x = np.random.default_rng(0).standard_normal((60, 4, 200))
    x[:, 1, 3:] += x[:, 0, :-3]
    return x


@pytest.fixture(scope="module")
def recording(trials):
    x = 10 * trials.transpose(1, 0, 2).reshape(4, -1)
    segments = np.stack([np.arange(60) * 200, np.arange(1, 61) * 200], axis=1)
    positions = np.arange(12.0).reshape(4, 3) / 100
    axis = Axis(["Fz", "Cz", "Pz", "Oz"], "eeg", positions=positions)
    return Recording({"eeg": Regular(x, 100, "uV", axis, "eeg", segments=segments)}, subject="01")


def test_every_public_name_resolves():
    names = neuro.connectivity.__all__
    assert [n for n in names if getattr(neuro.connectivity, n, None) is None] == []
    assert len(set(names)) == len(names)


BANDS = {"alpha": (8, 13), "beta": (13, 30)}


def test_door_is_reachable_from_the_package():
    assert neuro.connectivity.connectivity is connectivity


@pytest.mark.parametrize("name", sorted(measures()))
def test_every_measure_keeps_what_it_declares(name, trials):
    measure = measures()[name]
    family_needs_time = name in (
        "sliding_window", "tapered_window", "ewma", "edge_series", "phase_coherence",
    )  # fmt: skip
    options = {"bands": BANDS} if measure.needs in ("envelope",) else {}
    if name == "phase_coherence":
        options = {"band": (8.0, 12.0)}
    if name in ("sliding_window", "tapered_window"):
        options = {"window_s": 5.0, "step_s": 5.0}
    if name == "ewma":
        options = {"tau_s": 3.0, "step_s": 5.0}
    if family_needs_time or name == "tangent":
        x = trials[:20].transpose(1, 0, 2).reshape(4, -1)[:, :2000]
        x = np.stack([x, x[:, ::-1]]) if name == "tangent" else x
        found = connectivity(x, 100, method=name, average="time", **options)
    else:
        found = connectivity(trials, 100, method=name, average="trials", **options)
    values = found.values
    off = ~np.eye(4, dtype=bool)
    assert np.isfinite(values[..., off]).all()
    low, high = measure.range
    assert values[..., off].min() >= low - 1e-9
    assert values[..., off].max() <= high + 1e-9
    turned = np.swapaxes(values, -1, -2)
    relation = {"symmetric": turned, "antisymmetric": -turned, "complement": 1 - turned}
    if measure.symmetry in relation:
        expected = relation[measure.symmetry]
        np.testing.assert_allclose(values[..., off], expected[..., off], atol=1e-9)
    if np.isfinite(measure.diagonal):
        np.testing.assert_allclose(values[..., ~off], measure.diagonal, atol=1e-9)
    assert found.attrs["direction"].startswith("row = source") == measure.directed
    assert found.attrs["n_eff"] > 0


def test_relabelling_channels_permutes_the_result(trials):
    order = [2, 0, 3, 1]
    for method in ("wpli", "gpdc", "partial_correlation"):
        plain = connectivity(trials, 100, method=method, average="trials").values
        moved = connectivity(trials[:, order], 100, method=method, average="trials").values
        np.testing.assert_allclose(moved, plain[..., order, :][..., order], atol=1e-8)


def test_array_windows_epochs_and_stream_agree(trials, recording):
    import mne

    plain = connectivity(10 * trials.astype(np.float32), 100, method="wpli", average="trials",
                         bands=BANDS)  # fmt: skip
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz"], 100, "eeg")
    epochs = mne.EpochsArray(1e-5 * trials, info, verbose="error")
    index = windows(recording, stream="eeg", length_s=2)
    for x in (recording, index, epochs):
        found = connectivity(x, method="wpli", average="trials", bands=BANDS)
        # storage in float32 and in volts
        np.testing.assert_allclose(found.values, plain.values, atol=1e-4)
        assert found.names == ("Fz", "Cz", "Pz", "Oz")
        assert found.coords["band"].tolist() == ["alpha", "beta"]
        assert found.attrs["freqs"].tolist() == pytest.approx([10.25, 21.25])


def test_raw_of_mne_leaves_out_what_is_annotated_bad(recording):
    import mne

    raw = recording.to_mne("eeg")
    raw.set_annotations(mne.Annotations([10.0], [5.0], ["BAD_movement"]))
    found = connectivity(raw, method="correlation")
    x = recording.stream("eeg").values().astype(float)
    kept = np.r_[0:1000, 1500:12000]
    np.testing.assert_allclose(found.values, np.corrcoef(x[:, kept]), atol=1e-6)


def test_facts_of_the_recording_come_along(recording):
    found = connectivity(recording, method="correlation")
    np.testing.assert_allclose(
        found.attrs["positions"], recording.stream("eeg").axis.positions, rtol=1e-6
    )
    assert found.attrs["source"]["recording"] == recording.id
    assert found.attrs["modality"] == "eeg"


def test_averaging_axis_is_never_guessed_for_trials(trials):
    with pytest.raises(ConfigError, match="say average='trials'"):
        connectivity(trials, 100, method="wpli")


def test_average_over_time_gives_one_result_a_trial(trials):
    found = connectivity(trials[:3], method="correlation", average="time")
    assert found.dims == ("trial", "source", "target")
    for k in range(3):
        np.testing.assert_allclose(found.values[k], np.corrcoef(trials[k]), atol=1e-12)


def test_a_short_leftover_does_not_set_the_resolution(trials):
    x = trials.transpose(1, 0, 2).reshape(4, -1)
    found = connectivity(x, 100, method="coherence", segments=[[0, 6000], [6010, 6030]])
    assert found.attrs["resolution_hz"] < 1.0
    assert found.attrs["average"] == "time"


def test_list_of_recordings_gives_one_matrix_each(recording):
    other = recording.slice(0, 60).replace(subject="02")
    found = connectivity([recording, other], method="correlation")
    assert found.dims[0] == "recording"
    assert found.coords["recording"].tolist() == [recording.id, other.id]
    alone = connectivity(other, method="correlation").values
    np.testing.assert_allclose(found.values[1], alone, atol=1e-12)


def test_list_of_censored_recordings_is_not_spliced(recording):
    eeg = recording.stream("eeg")
    cut = Regular(eeg.values(), 100, "uV", eeg.axis, "eeg", segments=[[0, 3000], [3050, 9000]])
    found = connectivity([cut, cut], method="coherence", bands=BANDS)
    alone = connectivity(cut, method="coherence", bands=BANDS)
    np.testing.assert_array_equal(found.values[1], alone.values)
    assert found.dims == ("recording", "band", "source", "target")


def test_tangent_of_a_list_shares_one_mean(recording):
    parts = [recording.slice(10 * k, 10 * k + 10 + k) for k in range(4)]
    found = connectivity(parts, method="tangent")
    assert found.dims == ("recording", "source", "target")
    np.testing.assert_allclose(found.values.mean(axis=0), 0, atol=1e-6)
    assert any("cut to the shortest" in note for note in found.attrs["notes"])


def test_unit_of_a_covariance_is_the_signals(recording):
    assert connectivity(recording, method="covariance").attrs["unit"] == "uV^2"


def test_spikes_need_a_bin_and_take_any_measure_then():
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 50, 1000))
    spikes = Irregular(t, rng.integers(0, 3, 1000), Axis(["a", "b", "c"], "unit"), [(0, 50)])
    with pytest.raises(ConfigError, match="give bin_s="):
        connectivity(spikes, method="correlation")
    assert connectivity(spikes, method="correlation", bin_s=0.1).names == ("a", "b", "c")


def test_rows_marked_bad_stay_as_nan_in_their_place(recording):
    eeg = recording.stream("eeg")
    axis = eeg.axis.replace(bad=[False, True, False, False])
    marked = Regular(eeg.values(), 100, "uV", axis, "eeg")
    found = connectivity(marked, method="correlation")
    assert found.names == ("Fz", "Cz", "Pz", "Oz")
    assert np.isnan(found.values[1]).all()
    assert found.usable.tolist() == [True, False, True, True]
    assert any("Cz" in note for note in found.attrs["notes"])
    whole = connectivity(eeg, method="correlation").select(nodes=found.usable)
    np.testing.assert_allclose(found.select(nodes=found.usable).values, whole.values)


# ---- bad input -----------------------------------------------------------------------


def test_unknown_method_names_the_nearest(trials):
    with pytest.raises(ConfigError, match="Did you mean 'debiased_wpli'"):
        connectivity(trials, 100, method="debiased_wply", average="trials")


def test_unknown_option_names_the_nearest(trials):
    with pytest.raises(
        ConfigError, match=r"wpli has no option 'lenght_s'. Did you mean 'length_s'"
    ):
        connectivity(trials, 100, method="wpli", average="trials", lenght_s=1)


def test_missing_option_is_named(trials):
    with pytest.raises(ConfigError, match="envelope_correlation needs bands="):
        connectivity(trials, 100, method="envelope_correlation", average="trials")


def test_bands_of_a_correlation_are_refused(trials):
    with pytest.raises(ConfigError, match="no frequency axis"):
        connectivity(trials, 100, method="correlation", average="trials", bands="alpha")


def test_unknown_band_names_the_nearest(trials):
    with pytest.raises(ConfigError, match="Did you mean 'alpha'"):
        connectivity(trials, 100, method="wpli", average="trials", bands="alfa")


def test_one_window_is_refused(trials):
    with pytest.raises(DataError, match="1 window"):
        connectivity(trials[:1], 100, method="coherence", average="trials")


@pytest.mark.parametrize(
    ("band", "text"), [((30, 60), "above the Nyquist"), ((10.0, 10.2), "wide, but")]
)
def test_impossible_bands_are_refused(trials, band, text):
    with pytest.raises(DataError, match=text):
        connectivity(trials, 100, method="wpli", average="trials", bands={"b": band})


def test_transposed_array_is_refused_with_the_remedy(trials):
    with pytest.raises(DataError, match="looks transposed"):
        connectivity(trials[0].T, 100, method="correlation")
    with pytest.raises(DataError, match="Is it transposed"):
        connectivity(trials[0].T, 100, method="correlation", ch_names=["a", "b", "c", "d"])


def test_named_rows_may_outnumber_samples(trials):
    x = trials[0].T[:, :4] + np.arange(200)[:, None]
    names = [str(i) for i in range(200)]
    assert connectivity(x, method="correlation", ch_names=names).n_nodes == 200


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_dead_rows_are_named_or_kept_as_nan(trials, value):
    x = trials.copy()
    x[:, 2] = value
    with pytest.raises(DataError, match="constant or hold no number: 2"):
        connectivity(x, method="correlation", average="trials")
    found = connectivity(x, method="correlation", average="trials", bad="nan")
    assert found.usable.tolist() == [True, True, False, True]


def test_missing_samples_are_cut_out_not_spliced(trials):
    x = trials.transpose(1, 0, 2).reshape(4, -1).copy()
    x[1, 4000:4100] = np.nan
    found = connectivity(x, 100, method="correlation")
    kept = np.r_[0:4000, 4100:12000]
    np.testing.assert_allclose(found.values, np.corrcoef(x[:, kept]), atol=1e-12)
    assert any("100 samples missing" in note for note in found.attrs["notes"])
    dynamic = connectivity(x, 100, method="tapered_window", window_s=20, step_s=1)
    assert not ((dynamic.coords["window"] > 31) & (dynamic.coords["window"] < 50)).any()


def test_censored_run_is_no_set_of_trials():
    x = np.random.default_rng(0).standard_normal((3, 300))
    axis = Axis(["a", "b", "c"], "roi")
    bold = Regular(x, 0.5, "au", axis, "bold", segments=[[0, 100], [110, 300]])
    with pytest.raises(DataError, match="a censored run is not a set of trials"):
        connectivity(bold, method="correlation", average="trials")


def test_short_bold_is_noted():
    x = np.random.default_rng(0).standard_normal((3, 80))
    bold = Regular(x, 0.5, "au", Axis(["a", "b", "c"], "roi"), "bold")
    notes = connectivity(bold, method="correlation").attrs["notes"]
    assert any("only 80 volumes (160 s)" in note for note in notes)


def test_rate_that_contradicts_the_stream_is_refused(recording):
    with pytest.raises(DataError, match="stream has 100 Hz"):
        connectivity(recording, 250, method="correlation")


def test_rank_lost_to_an_average_reference_is_told(trials):
    x = trials - trials.mean(axis=1, keepdims=True)
    with pytest.raises(DataError, match=r"rank|reference"):
        connectivity(x, 100, method="pdc", average="trials")


def test_trials_with_nan_are_counted_not_hidden(trials):
    x = trials.copy()
    x[5, 2, 7] = np.nan
    found = connectivity(x, 100, method="wpli", average="trials", bands=BANDS)
    assert found.attrs["n_dropped"] == 1
    with pytest.raises(DataError, match="1 of 60 trials hold NaN"):
        connectivity(x, method="correlation", average="trials")


def test_text_is_refused():
    with pytest.raises(DataError, match="Expected numbers"):
        connectivity(np.array([["a", "b"]]), method="correlation")
