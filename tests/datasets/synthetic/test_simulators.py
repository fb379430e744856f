"""The simulators hold what their truth says, found again by plain estimators."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neuro.data import check_plausible, windows
from neuro.datasets import synthetic
from neuro.datasets.synthetic import Simulation
from neuro.datasets.synthetic._head import RADIUS_M, lead_field
from neuro.errors import ConfigError

Simulator = Callable[..., Simulation]
SIMULATORS: dict[str, tuple[Simulator, dict[str, Any]]] = {
    "eeg": (synthetic.eeg, {"n_subjects": 1, "n_trials": 8, "n_motifs": 4}),
    "eeg_fmri": (synthetic.eeg_fmri, {"n_scans": 1, "n_volumes": 20, "sfreq": 64}),
    "demographic_fc": (synthetic.demographic_fc, {"n": 12, "n_rois": 4}),
    "fmri_roi": (synthetic.fmri_roi, {"n_subjects": 2, "n_volumes": 60}),
    "modular_bold": (synthetic.modular_bold, {"n_scans": 2, "n_volumes": 60}),
    "spikes": (synthetic.spikes, {"duration_s": 5.0}),
    "switching_fc": (synthetic.switching_fc, {"n_scans": 2, "n_volumes": 60}),
    "switching_glm": (synthetic.switching_glm, {"n_sessions": 2, "n_bins": 60}),
    "motifs": (synthetic.motifs, {"n_subjects": 1, "duration_s": 24, "planted": 0.5}),
    "cue_recall": (synthetic.cue_recall, {"n_subjects": 1, "n_trials": 2, "n_tokens": 40}),
    "alpha_bursts": (synthetic.alpha_bursts, {"n_subjects": 1, "duration_s": 10}),
}


def _digest(made: Simulation) -> str:
    sha = hashlib.sha256()
    for rec in made.recordings:
        for name in sorted(rec.streams):
            stream: Any = rec.stream(name)
            for part in ("data", "times_s", "unit_index", "array"):
                if hasattr(stream, part):
                    sha.update(np.ascontiguousarray(getattr(stream, part)).tobytes())
        sha.update(rec.events.onset_s.tobytes())
    return sha.hexdigest()


# ---- every simulator --------------------------------------------------------------


@pytest.mark.parametrize("name", SIMULATORS)
def test_everything_made_says_so(name: str) -> None:
    make, small = SIMULATORS[name]
    for rec in make(seed=3, **small).recordings:
        assert rec.dataset == f"synthetic_{name}"
        assert rec.provenance.source == "simulated"
        assert rec.provenance.steps == ("simulated with seed 3",)
        assert rec.subject


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_seed_fixes_the_recordings_in_any_process(name: str) -> None:
    make, small = SIMULATORS[name]
    here = _digest(make(seed=5, **small))
    assert _digest(make(seed=6, **small)) != here
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        f"from test_simulators import SIMULATORS, _digest\nmake, small = SIMULATORS[{name!r}]\n"
        "print(_digest(make(seed=5, **small)))"
    )
    folder = str(__file__).rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_repr_lists_the_truth(name: str) -> None:
    make, small = SIMULATORS[name]
    made = make(**small)
    text = repr(made)
    assert text.startswith(f"Simulation(synthetic_{name}: {len(made.recordings)} recordings)")
    assert all(f"  {key}: " in text for key in made.truth)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (synthetic.eeg, {"seed": -1}),
        (synthetic.eeg, {"seed": 1.5}),
        (synthetic.eeg, {"sfreq": 20}),
        (synthetic.eeg, {"erd": 2.0}),
        (synthetic.eeg, {"n_trials": 1, "n_motifs": 99}),
        (synthetic.fmri_roi, {"tr": 0.72}),
        (synthetic.fmri_roi, {"n_modules": 1}),
        (synthetic.fmri_roi, {"group_effect": 0.95}),
        (synthetic.modular_bold, {"tr": 0.0}),
        (synthetic.modular_bold, {"n_modules": 41}),
        (synthetic.modular_bold, {"group_effect": 0.95}),
        (synthetic.spikes, {"rate_hz": 100.0}),
        (synthetic.spikes, {"n_tuned": 13}),
        (synthetic.spikes, {"duration_s": 0.0}),
        (synthetic.motifs, {"n_chans": 21}),
        (synthetic.motifs, {"kinds": ("alpha", "gamma")}),
        (synthetic.motifs, {"kinds": ("alpha", "spike_wave"), "planted": 0.2}),
        (synthetic.motifs, {"planted": 1.5}),
        (synthetic.motifs, {"planted": 0.2, "window_s": 5}),
        (synthetic.motifs, {"stretch_s": (3, 1)}),
        (synthetic.cue_recall, {"n_tokens": 1}),
        (synthetic.cue_recall, {"n_trials": 0}),
        (synthetic.alpha_bursts, {"burst_share": 1.0}),
        (synthetic.alpha_bursts, {"sfreq": 64}),
    ],
)
def test_impossible_options_are_refused(make: Simulator, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make(**options)


# ---- EEG --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eeg() -> Simulation:
    return synthetic.eeg(0, n_subjects=2)


def _dipole(site: list[float], moment: list[float]) -> Any:
    rng = np.random.default_rng(0)
    where = rng.standard_normal((500, 3))
    where /= np.linalg.norm(where, axis=1, keepdims=True)
    return where, lead_field(where, RADIUS_M * np.array([site]), np.array([moment]))[:, 0]


def test_a_radial_dipole_is_seen_best_above_it() -> None:
    where, potential = _dipole([0, 0, 0.75], [0, 0, 1])
    assert where[potential.argmax()][2] > 0.98
    # further away it falls, the same all around
    assert np.corrcoef(potential, where[:, 2])[0, 1] > 0.6
    assert abs(np.corrcoef(potential, where[:, 0])[0, 1]) < 0.1


def test_a_tangential_dipole_has_two_poles() -> None:
    where, potential = _dipole([0, 0, 0.75], [1, 0, 0])
    high, low = where[potential.argmax()], where[potential.argmin()]
    assert high[0] > 0.2 > -0.2 > low[0]
    # 500 random places do not meet both poles exactly
    assert potential.max() == pytest.approx(-potential.min(), rel=0.25)


def test_potentials_are_of_the_size_a_real_head_has() -> None:
    # a four-layer sphere of MNE gave a median of 0.03 uV per nAm for such sources,
    # and patterns that correlate 0.99 with these
    rng = np.random.default_rng(1)
    sites = rng.standard_normal((60, 3))
    sites[:, 2] = np.abs(sites[:, 2])
    sites /= np.linalg.norm(sites, axis=1, keepdims=True)
    gain = lead_field(sites[:20], 0.73 * RADIUS_M * sites[20:], sites[20:])
    assert 0.01 < np.median(np.abs(gain)) < 0.06


def test_amplitudes_are_those_of_real_eeg(eeg: Simulation) -> None:
    for rec in eeg.recordings:
        check_plausible(rec.regular("eeg"))
        sd = rec.regular("eeg").values().std(axis=1)
        assert 8 < np.median(sd) < 25


def test_the_lead_field_finds_the_sources_again(eeg: Simulation) -> None:
    names = eeg.truth["source_names"]
    for rec, field, sources in zip(
        eeg.recordings, eeg.truth["lead_field"], eeg.truth["sources"], strict=True
    ):
        x = rec.regular("eeg").values().astype(np.float64)
        # generalised least squares, against the background's own covariance
        noise = np.cov(x - field @ sources) + 0.5 * np.eye(len(x))
        whitened = np.linalg.solve(noise, field)
        found = np.linalg.solve(field.T @ whitened, whitened.T @ x)
        r = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, sources, strict=True)]
        found_r = dict(zip(names, r, strict=True))
        # the motif is there for a twelfth of the time only, the noise always
        assert found_r.pop("motif") > 0.5
        assert min(found_r.values()) > 0.75


def test_motifs_stand_where_the_truth_says(eeg: Simulation) -> None:
    motif = eeg.truth["motif"]
    for rec, onsets in zip(eeg.recordings, eeg.truth["motif_onset_s"], strict=True):
        x = rec.regular("eeg").values()[rec.regular("eeg").axis.index(["Fz"])[0]]
        match = np.abs(np.correlate(x, motif, mode="valid")) / (motif @ motif)
        at = np.round(onsets * 128).astype(int)
        # asked for 60 uV at Fz; the background adds about 5 uV to a fit of this length
        assert match[at].mean() == pytest.approx(60, abs=5)
        away = np.ones(len(match), bool)
        for a in at:
            away[max(0, a - 64) : a + 64] = False
        assert match[at].min() > np.quantile(match[away], 0.999)


def test_the_class_effect_has_the_size_the_truth_says(eeg: Simulation) -> None:
    truth = eeg.truth
    names = truth["source_names"]
    for sources, label in zip(truth["sources"], truth["label"], strict=True):
        trials = sources.reshape(len(names), len(label), 3 * 128)[:, :, 26:230]
        power = (trials**2).mean(axis=2)
        left = label == "left"
        ratio = power[names.index("mu_right")][left].mean()
        ratio /= power[names.index("mu_right")][~left].mean()
        # amplitude falls to 0.3; 20 trials of a narrow-band noise scatter by a third
        assert ratio == pytest.approx(0.3**2, rel=0.5)


def test_classes_can_be_told_from_held_out_blocks(eeg: Simulation) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    from neuro.signal import filter_signal

    scores = []
    for rec, mu in zip(eeg.recordings, eeg.truth["mu_hz"], strict=True):
        stream = rec.regular("eeg")
        band = filter_signal(stream.values(), 128, mu - 2, mu + 2)
        cut = windows(rec, stream="eeg", length_s=2.0, align=["left", "right"], label="type")
        rows = stream.axis.index(["C3", "C4"])
        cuts = zip(cut.start.tolist(), cut.stop.tolist(), strict=True)
        power = np.log([band[rows, a:b].var(axis=1) for a, b in cuts])
        for train, test in cut.folds("block", n=5):
            lda = LinearDiscriminantAnalysis().fit(power[train.id], cut.target[train.id])
            scores.append(lda.score(power[test.id], cut.target[test.id]))
    # chance 0.5; 80 trials reach 0.61 by chance in one of 40
    assert np.mean(scores) > 0.7


def test_the_effect_goes_with_its_size() -> None:
    flat = synthetic.eeg(0, n_subjects=1, erd=0.0).truth
    trials = flat["sources"][0].reshape(4, 40, -1)
    power = (trials**2).mean(axis=2)
    left = flat["label"][0] == "left"
    assert power[2][left].mean() / power[2][~left].mean() == pytest.approx(1.0, abs=0.4)


def test_the_rhythms_have_the_signal_to_noise_ratio_asked_for() -> None:
    made = synthetic.eeg(2, n_subjects=1, snr=2.0, erd=0.0)
    field, sources = made.truth["lead_field"][0], made.truth["sources"][0]
    rec = made.recordings[0].regular("eeg")
    site = rec.axis.index(["C3"])[0]
    mu = field[site, 1] * sources[1]
    rest = rec.values()[site] - field[site, 1:3] @ sources[1:3]
    assert mu.var() / rest.var() == pytest.approx(2.0, rel=0.01)


# ---- fMRI -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bold() -> Simulation:
    return synthetic.fmri_roi(0)


def _resting(made: Simulation) -> list[Any]:
    """Correlations of each run with the task's course regressed out."""
    from neuro.signal import convolve_hrf

    out = []
    for rec in made.recordings:
        x = rec.regular("bold").values().astype(np.float64)
        task = rec.events.select("task")
        course = convolve_hrf(task.onset_s, task.duration_s, tr=2.0, n_times=x.shape[1])
        design = np.stack([course, np.ones_like(course)], axis=1)
        out.append(np.corrcoef(x - (design @ np.linalg.lstsq(design, x.T, rcond=None)[0]).T))
    return out


def test_modules_are_found_by_clustering(bold: Simulation) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics import adjusted_rand_score

    controls = np.mean(np.array(_resting(bold))[~bold.truth["patient"]], axis=0)
    apart = squareform(1 - controls, checks=False)
    found = fcluster(linkage(apart, "average"), 5, "maxclust")
    assert adjusted_rand_score(bold.truth["module"], found) > 0.95


def test_correlations_are_those_the_truth_expects() -> None:
    # without peculiarities of people, which blur the modules
    made = synthetic.fmri_roi(4, individuality=0.0, n_subjects=16)
    found, upper = np.array(_resting(made)), np.triu_indices(40, 1)
    for group in (0, 1):
        mean = found[made.truth["patient"] == group].mean(axis=0)[upper]
        truth = made.truth["correlation"][group][upper]
        assert np.corrcoef(mean, truth)[0, 1] > 0.97
        # 16 runs of 240 samples, of which the slow response leaves about 60 independent
        assert np.abs(mean - truth).mean() < 0.05


def test_the_group_difference_has_the_size_planted(bold: Simulation) -> None:
    module, patient = bold.truth["module"], bold.truth["patient"]
    block = np.ix_(module == 0, module == 1)
    between = np.array([m[block].mean() for m in _resting(bold)])
    found = between[patient].mean() - between[~patient].mean()
    truth = bold.truth["correlation"][1][block].mean() - bold.truth["correlation"][0][block].mean()
    assert truth == pytest.approx(0.8 * 0.6 * 0.5)
    assert found == pytest.approx(truth, abs=0.1)


def test_the_task_is_found_in_its_module_only(bold: Simulation) -> None:
    from neuro.signal import convolve_hrf

    slopes = []
    for rec in bold.recordings:
        x = rec.regular("bold").values().astype(np.float64)
        task = rec.events.select("task")
        course = convolve_hrf(task.onset_s, task.duration_s, tr=2.0, n_times=x.shape[1])
        slopes.append(np.polyfit(course, x.T, 1)[0])
    slope = np.mean(slopes, axis=0)
    inside = bold.truth["module"] == bold.truth["task_module"]
    # height 1 in units of the region's sd, 0.8 percent
    assert slope[inside].mean() == pytest.approx(0.8, abs=0.1)
    assert np.abs(slope[~inside]).max() < 0.3


def test_the_response_peaks_when_the_truth_says() -> None:
    made = synthetic.fmri_roi(1, task_effect=8.0)
    inside = made.truth["module"] == made.truth["task_module"]
    mean = np.mean([r.regular("bold").values()[inside].mean(axis=0) for r in made.recordings], 0)
    onset = made.recordings[0].events.select("task").onset_s
    around = np.mean([mean[int(t / 2) : int(t / 2) + 10] for t in onset], axis=0)
    # half the rise of a block is reached near the response's own peak
    half = np.interp((around[0] + around.max()) / 2, around[:8], 2.0 * np.arange(8))
    assert half == pytest.approx(made.truth["hrf_peak_s"], abs=1.5)


def test_people_are_told_by_their_connectivity(bold: Simulation) -> None:
    upper = np.triu_indices(40, 1)
    fingerprints = np.array([m[upper] for m in _resting(bold)])
    one, two = fingerprints[0::2], fingerprints[1::2]
    r = np.corrcoef(one, two)[:12, 12:]
    assert (r.argmax(axis=1) == np.arange(12)).mean() > 0.9


# ---- spikes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def spiking() -> Simulation:
    return synthetic.spikes(0)


def _counts(made: Simulation, bin_s: float) -> Any:
    stream: Any = made.recordings[0].stream("spikes")
    return stream.bin(bin_s).values().astype(np.float64)


def test_no_unit_fires_within_its_refractory_time(spiking: Simulation) -> None:
    stream: Any = spiking.recordings[0].stream("spikes")
    for unit in range(12):
        gaps = np.diff(stream.times_s[stream.unit_index == unit])
        assert gaps.min() > spiking.truth["refractory_s"]


def test_rates_without_couplings_are_those_expected() -> None:
    made = synthetic.spikes(1, n_couplings=0, duration_s=200.0, n_tuned=0)
    rate = _counts(made, 1.0).mean(axis=1)
    # counting noise of 200 s at 8 Hz is 2.5 %; refractoriness takes 2 %
    np.testing.assert_allclose(rate, made.truth["expected_hz"], rtol=0.1)


def test_tuning_curves_peak_at_the_preferred_direction(spiking: Simulation) -> None:
    angle = spiking.recordings[0].regular("head_angle").values()[0].astype(np.float64)
    counts = _counts(spiking, 0.02)
    n = min(len(angle), counts.shape[1])
    tuned = np.isfinite(spiking.truth["preferred_rad"])
    mean = counts[:, :n] @ np.exp(1j * angle[:n]) / counts[:, :n].sum(axis=1)
    error = np.angle(mean[tuned] * np.exp(-1j * spiking.truth["preferred_rad"][tuned]))
    assert np.abs(error).max() < 0.35
    assert np.abs(mean[tuned]).min() > 0.4 > np.abs(mean[~tuned]).max()


def test_the_angle_can_be_decoded_from_the_truth(spiking: Simulation) -> None:
    angle = spiking.recordings[0].regular("head_angle").values()[0].astype(np.float64)
    truth = spiking.truth
    tuned = np.isfinite(truth["preferred_rad"])
    counts = _counts(spiking, 0.5)[tuned]
    grid = np.linspace(-np.pi, np.pi, 181)[:-1]
    log_rate = truth["log_rate"][tuned][:, None] + truth["concentration"] * np.cos(
        grid[None] - truth["preferred_rad"][tuned][:, None]
    )
    best = grid[(counts.T @ log_rate - 0.5 * np.exp(log_rate).sum(axis=0)).argmax(axis=1)]
    middle = np.exp(1j * angle).reshape(-1, 25).mean(axis=1)
    error = np.abs(np.angle(np.exp(1j * best) / middle[: len(best)]))
    # eight units at 8 Hz; chance is 90 degrees
    assert np.degrees(np.median(error)) < 20


def test_a_glm_finds_the_signs_of_the_couplings(spiking: Simulation) -> None:
    truth = spiking.truth
    counts = _counts(spiking, 0.002)
    angle = spiking.recordings[0].regular("head_angle").values()[0].astype(np.float64)
    angle = np.repeat(angle, 10)[: counts.shape[1]]
    decay, trace = np.exp(-0.002 / truth["tau_s"]), np.zeros_like(counts)
    for k in range(1, counts.shape[1]):
        trace[:, k] = decay * trace[:, k - 1] + counts[:, k - 1]
    design = np.concatenate([np.ones((1, len(angle))), [np.cos(angle), np.sin(angle)], trace]).T
    found = np.zeros((12, 12))
    for unit in range(12):
        w = np.zeros(design.shape[1])
        w[0] = np.log(counts[unit].mean())
        for _ in range(8):
            rate = np.exp(design @ w)
            hessian = (design * rate[:, None]).T @ design + 1e-6 * np.eye(len(w))
            w += np.linalg.solve(hessian, design.T @ (counts[unit] - rate))
        found[unit] = w[3:]
    true = truth["couplings"]
    apart = ~np.eye(12, dtype=bool)
    there = (true != 0) & apart
    assert np.sign(found[there]).tolist() == np.sign(true[there]).tolist()
    assert np.corrcoef(found[apart], true[apart])[0, 1] > 0.8
    # about 0.1 is the standard error of a weight here
    assert np.abs(found[there] - true[there]).mean() < 0.15


def test_activity_never_runs_away() -> None:
    for seed in range(50):
        made = synthetic.spikes(seed, duration_s=5.0, rate_hz=15.0, coupling=3.0, n_couplings=60)
        rate = _counts(made, 1.0).mean(axis=1)
        # a network whose spikes each cause less than one other at most multiplies its rate
        assert rate.mean() < 45
        assert rate.max() < 120


def test_a_drive_pulls_states_to_the_even_ones() -> None:
    made = synthetic.switching_glm(
        seed=0, n_units=2, n_states=3, n_sessions=4, n_bins=4000, drive=2.0
    )
    inputs = np.concatenate([rec.stream("input").data[0, 1:] for rec in made.recordings])
    assert abs(inputs.mean()) < 0.2
    assert abs(inputs.std() - 1) < 0.1
    states = made.truth["states"]
    before, after = states[:, :-1].ravel(), states[:, 1:].ravel()
    for pulled, sign in ((0, 1.0), (1, -1.0), (2, 1.0)):
        away = (before != pulled) & (np.abs(inputs) > 1)
        towards = np.sign(inputs[away]) == sign
        moved = after[away] == pulled
        # log odds of at least 2 either way: four and more times as often
        assert moved[towards].mean() > 4 * moved[~towards].mean()
    np.testing.assert_array_equal(np.diagonal(made.truth["move_weights"][..., 0]), 0.0)
    still = synthetic.switching_glm(seed=0, n_units=2, n_sessions=1, n_bins=50)
    assert list(still.recordings[0].streams) == ["spikes"]


# ---- demographic_fc ------------------------------------------------------------------


def test_connectivity_is_the_sum_of_the_planted_maps() -> None:
    t = synthetic.demographic_fc(seed=2, n=400, n_rois=12).truth
    standard = (t["age"] - 15) / (14 / np.sqrt(12))
    levels = [t["sex"] == s for s in "FM"] + [t["site"] == s for s in "ABC"]
    design = np.column_stack([standard, *levels, t["traits"]]).astype(float)
    maps = np.column_stack([t["effects"], t["trait_maps"]])
    rest = t["x"] - design @ maps.T
    # 26,400 values: their deviation is known to 0.5 %
    assert rest.std() == pytest.approx(t["noise"], rel=0.02)
    found = t["x"][t["sex"] == "M"].mean(axis=0) - t["x"][t["sex"] == "F"].mean(axis=0)
    assert np.corrcoef(found, t["sex_map"])[0, 1] > 0.95


def test_traits_have_nothing_to_do_with_demographics() -> None:
    t = synthetic.demographic_fc(seed=2, n=2000, n_rois=4).truth
    known = np.column_stack([t["age"], t["sex"] == "M", t["site"] == "A", t["site"] == "B"])
    r = np.corrcoef(known.T.astype(float), t["traits"].T)[:4, 4:]
    # 20 chance correlations of 2,000 people, deviation 0.022
    assert np.abs(r).max() < 0.08
