"""Region series brought to a model's atlas, rate and regions, with what was censored missing."""

from typing import Any

import numpy as np
import pytest

from neuro.data import Axis, InputContract, Recording, Regular, exact_rate, map_regions, windows
from neuro.errors import ContractError, DataError

NAMES = ("V1", "V2", "M1", "A1")
TO_LOBES: Any = {"visual": {"V1": 3.0, "V2": 1.0}, "motor": "M1", "sound": ["A1"]}


def scan(x: Any = None, tr: float = 2.0, n: int = 60, **stream: Any) -> Recording:
    x = np.random.default_rng(0).standard_normal((len(NAMES), n)) if x is None else np.asarray(x)
    axis = Axis(
        NAMES,
        "roi",
        atlas="fine",
        positions=[[0, 0, 0], [0, 0.04, 0], [0.02, 0, 0], [np.nan] * 3],
        frame="MNI152",
        bad=stream.pop("bad", None),
    )
    bold = Regular(x.astype(np.float32), exact_rate(1 / tr), "percent", axis, "bold", **stream)
    return Recording({"bold": bold}, subject="01")


def contract(**changes: Any) -> InputContract:
    facts: dict[str, Any] = {"modality": "bold", "sfreq": "1/2", "unit": "percent"}
    return InputContract(**(facts | {"atlas": "coarse", "missing": "mask"} | changes))


# -- another atlas ----------------------------------------------------------------------


def test_a_mapped_recording_fits_the_model_of_the_other_atlas() -> None:
    lobes = ("sound", "touch", "visual")
    model = contract(ch_names=lobes)
    with pytest.raises(ContractError, match=r"atlas 'fine', the model takes 'coarse'.*map_regions"):
        model.conform(scan())
    rec = scan()
    out = model.conform(map_regions(rec, TO_LOBES, atlas="coarse"))
    x, y = rec.regular("bold").values(), out.regular("bold").values()
    assert out.regular("bold").axis.names == lobes
    np.testing.assert_allclose(y[0], x[3])
    np.testing.assert_allclose(y[2], 0.75 * x[0] + 0.25 * x[1], rtol=1e-5, atol=1e-6)
    # what the mapping does not make is missing, not zero
    batch = windows([out], stream="bold", length_s=20).batch()
    assert batch.channel_mask.tolist()[0] == [True, False, True]
    assert out.provenance.steps[0] == "3 regions of coarse from 4 of fine"


def test_bad_regions_and_missing_samples_do_not_count_in_a_mean() -> None:
    x = np.arange(240.0).reshape(4, 60)
    x[0, 7] = np.nan
    both = {"visual": ("V1", "V2"), "motor": "M1"}
    mean = map_regions(scan(x), both, atlas="coarse").regular("bold").values()[0]
    assert mean[6] == (x[0, 6] + x[1, 6]) / 2
    assert mean[7] == x[1, 7]
    made = map_regions(scan(x, bad=[False, True, True, False]), both, atlas="coarse").regular()
    assert made.axis.bad.tolist() == [False, True]
    np.testing.assert_array_equal(made.values()[0], x[0])


def test_a_mapped_region_lies_between_its_sources() -> None:
    axis = map_regions(scan(), TO_LOBES, atlas="coarse").regular("bold").axis
    assert axis.positions is not None
    np.testing.assert_allclose(axis.positions[0], [0, 0.01, 0], atol=1e-7)
    assert np.isnan(axis.positions[2]).all()


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({}, "mapping is empty"),
        ({"visual": "V3"}, "'visual' of 'V3', which the recording does not have. Did you mean 'V"),
        ({"visual": ()}, "gives 'visual' no region"),
        ({"visual": {"V1": 0.0}}, "weight of 'V1' in 'visual' is 0.0"),
    ],
    ids=["empty", "unknown", "nothing", "weight"],
)
def test_mappings_that_say_nothing_are_refused(mapping: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        map_regions(scan(), mapping, atlas="coarse")


# -- another TR ---------------------------------------------------------------------------


def test_a_batch_of_another_tr_is_refused_and_a_recording_resampled() -> None:
    model = contract(atlas="fine", sfreq="1/0.72")
    batch = windows([scan()], stream="bold", length_s=20).batch()
    with pytest.raises(ContractError, match=r"0.5 Hz, the model takes 1.38889 Hz"):
        model.check(batch)
    # 0.05 Hz exists at both rates; 0.6 Hz does not at 2 s and must not fold to 0.1 Hz
    t = np.arange(400) * 0.72
    wave = np.sin(2 * np.pi * 0.05 * t)
    x = np.stack([wave, wave + np.sin(2 * np.pi * 0.6 * t), wave, wave])
    slow = contract(atlas="fine").conform(scan(x, tr=0.72)).regular("bold")
    assert slow.rate == 1 / 2
    inside = slice(20, -20)  # the ends are extrapolated
    expected = np.sin(2 * np.pi * 0.05 * slow.time(np.arange(slow.n_times)))[inside]
    for row in slow.values()[:2, inside]:
        # the kernel stops at -80 dB
        np.testing.assert_allclose(row, expected, atol=2e-3)


# -- censored volumes -----------------------------------------------------------------------


def censored(**stream: Any) -> Recording:
    """Volumes 20 to 22 and 40 are censored, as fMRIPrep's confounds leave them."""
    x = np.random.default_rng(1).standard_normal((4, 60)).cumsum(axis=1)
    x[:, 20:23] = x[:, 40] = np.nan
    return scan(x, segments=[(0, 20), (23, 40), (41, 60)], **stream)


def test_windows_may_run_over_censored_volumes_which_are_missing() -> None:
    cut = contract(atlas="fine").conform(censored())
    assert len(cut.regular("bold").segments) == 3
    whole = contract(atlas="fine", gaps="mask").conform(censored())
    index = windows([whole], stream="bold", length_s=120)
    assert len(index) == 1
    kept = index.batch().time_mask[0].numpy()
    assert np.flatnonzero(~kept).tolist() == [20, 21, 22, 40]
    assert "4 samples between segments are missing" in whole.provenance.steps
    assert InputContract.from_json(index.contract().to_json()).gaps == "mask"


def test_gaps_stay_missing_at_another_rate_and_do_not_enter_the_scaling() -> None:
    model = contract(atlas="fine", gaps="mask", sfreq="1/1", scaling="zscore")
    x = model.conform(censored()).regular("bold")
    assert x.valid is not None
    assert np.flatnonzero(~x.valid.all(axis=0)).tolist() == [*range(39, 46), 79, 80, 81]
    np.testing.assert_allclose(np.nanmean(x.values(), axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(x.values(), axis=1), 1, atol=1e-5)


def test_runs_that_touch_are_not_joined() -> None:
    runs = scan(segments=[(0, 20), (20, 40), (43, 60)])
    joined = contract(atlas="fine", gaps="mask").conform(runs).regular("bold")
    assert joined.segments.tolist() == [[0, 20], [20, 60]]
