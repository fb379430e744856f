"""demovae: codes free of demographics, samples with them, typed columns, bad input."""

import copy
import json

import numpy as np
import pytest
import torch

import neuro.models
from neuro.connectivity import connectivity, matrix_of
from neuro.data import windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError, FileError
from neuro.models.demovae import DemoVAE
from neuro.models.demovae.demographics import Table
from neuro.models.demovae.fidelity import (
    fidelity,
    group_map,
    map_error,
    nearest_subjects,
    transfer,
    variance_ratio,
)
from neuro.models.demovae.losses import decorrelation, latent_correlation, moments
from neuro.models.demovae.series import series_with, valid_correlation
from neuro.models.demovae.start import n_components

NAMES = ("age", "sex", "site")
SMALL = {"hidden": 16, "epochs": 20}
BY_GRADIENT = {"linear_path": False, "latent_dim": 5, "hidden": 32, "epochs": 100, "lr": 1e-2}


def facts(truth, rows):
    return {name: truth[name][rows] for name in NAMES}


@pytest.fixture(scope="module")
def made():
    return synthetic.demographic_fc(seed=11, n=360, n_rois=12)


@pytest.fixture(scope="module")
def fitted(made):
    t = made.truth
    return neuro.models.create("demovae", **SMALL).fit(t["x"][:240], facts(t, slice(240)))


@pytest.fixture(scope="module")
def trained_codes(made):
    """Codes that came from gradients alone, of whatever variance."""
    t = made.truth
    model = neuro.models.create("demovae", cov_weight=0.0, **BY_GRADIENT)
    return model.fit(t["x"][:240], facts(t, slice(240)))


# -- truths, small; benchmarks/demovae_truths.py has them at full size --------------------


def test_codes_of_new_people_know_the_traits_and_not_the_demographics(made, fitted):
    t, test = made.truth, slice(240, None)
    z = fitted.get_latents(t["x"][test])
    assert z.shape == (120, 5)  # as many as there are traits
    columns = fitted.table.encode(facts(t, test), 120, standardise=True)
    r = np.abs(np.corrcoef(z.T, columns.T)[:5, 5:])
    # chance with 120 people: 0.09 a pair, 0.27 the largest of 30
    assert r.max() < 0.32
    assert np.median(r) < 0.1
    traits = np.linalg.lstsq(np.c_[z, np.ones(120)], t["traits"][test], rcond=None)[0]
    rest = t["traits"][test] - np.c_[z, np.ones(120)] @ traits
    assert 1 - rest.var() / t["traits"][test].var() > 0.9  # measured 0.96
    assert fitted.score(t["x"][test], facts(t, test)) > 0.8


def test_without_its_loss_and_conditioning_codes_do_know_the_demographics(made):
    t = made.truth
    control = neuro.models.create("demovae", condition=False, demo_weight=0.0, **SMALL)
    control.fit(t["x"][:240], facts(t, slice(240)))
    columns = control.table.encode(facts(t, slice(240, None)), 120, standardise=True)
    z = control.get_latents(t["x"][240:])
    r = np.abs(np.corrcoef(z.T, columns.T)[: z.shape[1], z.shape[1] :])
    assert r.max() > 0.5


def test_the_demographic_loss_alone_decorrelates_the_training_rows(made, trained_codes):
    t = made.truth
    free = neuro.models.create("demovae", demo_weight=0.0, cov_weight=0.0, **BY_GRADIENT)
    free.fit(t["x"][:240], facts(t, slice(240)))
    columns = free.table.encode(facts(t, slice(240)), 240, standardise=True)

    def largest(model):
        z = model.get_latents(t["x"][:240])
        return np.abs(np.corrcoef(z.T, columns.T)[:5, 5:]).max()

    # conditioning alone helps as well
    assert largest(free) > 0.15
    assert largest(trained_codes) < 0.01


def test_samples_have_the_variance_and_the_group_map_of_people(made, fitted):
    t, rng = made.truth, np.random.default_rng(0)
    everyone = {k: np.tile(v, 2) for k, v in facts(t, slice(None)).items()}
    found = fidelity(t["x"], fitted.generate(720, everyone, seed=1))
    assert 0.8 < found.variance_ratio[1] < 1.25
    assert 0.5 < found.variance_ratio[0] < found.variance_ratio[2] < 1.6
    # measured below a tenth of the floor
    assert found.energy < 0.3 * found.energy_floor
    assert found.mmd < 0.3 * found.mmd_floor
    other = {"age": rng.uniform(8, 22, 800), "site": np.resize(["A", "B", "C"], 800)}
    sex = np.resize(["F", "M"], 800)
    sampled = group_map(fitted.generate(800, other | {"sex": sex}, seed=2), sex == "M")
    # 240 people's own difference is off by 0.36 here: the model can do little better
    own = map_error(t["sex_map"], group_map(t["x"][:240], t["sex"][:240] == "M"))
    assert map_error(t["sex_map"], sampled) < 1.25 * own < 0.5


def test_whitening_gives_samples_the_right_variance_whatever_codes_became(made, trained_codes):
    t, model = made.truth, trained_codes
    assert model.calibration_["second_moment_error"] > 1  # nothing asked codes to be white
    np.testing.assert_allclose(np.cov(model.get_latents(t["x"][:240]).T), np.eye(5), atol=1e-4)
    everyone = {k: np.tile(v, 2) for k, v in facts(t, slice(None)).items()}
    whitened = variance_ratio(t["x"], model.generate(720, everyone, seed=1))[1]
    raw = copy.copy(model)
    raw.latent_mean_, raw.latent_factor_ = np.zeros(5), np.eye(5)
    plain = variance_ratio(t["x"], raw.generate(720, everyone, seed=1))[1]
    # measured 0.99 and 0.89
    assert whitened == pytest.approx(1.0, abs=0.06)
    assert plain < 0.93


def test_without_scatter_samples_lack_what_the_decoder_leaves_unexplained(made, fitted):
    t = made.truth
    everyone = facts(t, slice(None))
    whole = fitted.generate(360, everyone, seed=1)
    plain = neuro.models.create("demovae", scatter=False, **SMALL)
    bare = plain.fit(t["x"][:240], facts(t, slice(240))).generate(360, everyone, seed=1)
    # features one by one: 360 draws, deviation 4 %
    np.testing.assert_allclose((whole - bare).std(axis=0), fitted.scatter_, rtol=0.2)


def test_all_people_at_one_site_cannot_be_told_apart_by_site(made, fitted):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    t, own = made.truth, facts(made.truth, slice(240, None))

    def probe(x):
        return cross_val_score(LogisticRegression(C=0.1), x, own["site"], cv=4).mean()

    x = t["x"][240:]
    assert probe(x) > 0.9
    # chance 1/3
    assert probe(fitted.swap(x, own, to={"site": "A"})) < 1 / 3 + 0.12
    assert probe(fitted.swap(x, own, to={"site": "A"}, keep_rest=True)) < 1 / 3 + 0.15
    assert probe(fitted.deconfound(x, own)) < 1 / 3 + 0.15


def test_hidden_layers_learn_what_the_linear_start_cannot():
    t = synthetic.demographic_fc(seed=3, n=360, n_rois=12, bend=1.0).truth
    options = {"latent_dim": 5, "hidden": 64, "lr": 3e-3}
    explained = [
        neuro.models.create("demovae", epochs=epochs, **options)
        .fit(t["x"][:240], facts(t, slice(240)))
        .score(t["x"][240:], facts(t, slice(240, None)))
        for epochs in (0, 150)
    ]
    assert explained[1] > explained[0] + 0.08


@pytest.mark.slow
def test_the_calibrated_gates_hold_at_full_size():
    t = synthetic.demographic_fc(seed=7).truth
    train, test = slice(400), slice(400, None)
    model = neuro.models.create("demovae", latent_dim=10).fit(t["x"][train], facts(t, train))
    z, own = model.get_latents(t["x"][test]), facts(t, test)
    columns = model.table.encode(own, 200, standardise=True)
    r = np.abs(np.corrcoef(z.T, columns.T)[:10, 10:])
    assert r.max() < 0.30
    assert np.median(r) < 0.08
    wanted = {"age": np.linspace(8, 22, 2000), "site": np.resize(["A", "B", "C"], 2000)}
    sex = np.resize(["F", "M"], 2000)
    sampled = group_map(model.generate(2000, wanted | {"sex": sex}), sex == "M")
    assert map_error(t["sex_map"], sampled) < 0.35
    ratio = variance_ratio(t["x"][test], model.generate(200, own))
    assert 0.8 < ratio[1] < 1.25
    assert 0.5 < ratio[0] < ratio[2] < 1.6


# -- parts ---------------------------------------------------------------------------


def test_start_is_white_and_uncorrelated_with_demographics_on_its_own_rows(made):
    t = made.truth
    model = DemoVAE(epochs=0, latent_dim=8).fit(t["x"], facts(t, slice(None)))
    z = model.get_latents(t["x"])
    columns = model.table.encode(facts(t, slice(None)), 360, standardise=True)
    r = np.corrcoef(z.T, columns.T)[:8, 8:]
    assert np.abs(r).max() < 1e-5  # float32
    np.testing.assert_allclose(np.cov(z.T), np.eye(8), atol=1e-4)
    assert model.calibration_["second_moment_error"] < 1e-5


def test_size_of_the_code_follows_the_traits():
    for n_traits in (2, 7):
        t = synthetic.demographic_fc(seed=5, n=200, n_rois=14, n_traits=n_traits).truth
        columns = Table.learn(facts(t, slice(None)), None, 200).encode(
            facts(t, slice(None)), 200, standardise=True
        )
        assert n_components(t["x"], columns, 0) == n_traits


def test_calibrated_terms_depend_neither_on_rows_nor_on_the_size_of_codes():
    rng = torch.Generator().manual_seed(0)
    z, d = torch.randn(50, 3, generator=rng), torch.randn(50, 2, generator=rng)
    twice, again = torch.cat([z, z]), torch.cat([d, d])
    for a, b in zip(moments(z, summed=False), moments(twice, summed=False), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    plain = decorrelation(latent_correlation(z, d))
    assert torch.allclose(plain, decorrelation(latent_correlation(7 * twice + 3, again)), atol=1e-5)


@pytest.mark.parametrize("output", ["lowrank", "corr"])
def test_matrices_stay_valid(output):
    rng = np.random.default_rng(0)
    loads = rng.standard_normal((8, 3))
    sex = np.resize(["F", "M"], 90)
    series = [
        (loads * (1.5 if s == "M" else 1.0)) @ rng.standard_normal((3, 60))
        + rng.standard_normal((8, 60))
        for s in sex
    ]
    matrices = connectivity(np.stack(series), method="correlation", average="time").values
    model = neuro.models.create("demovae", output=output, latent_dim=2, epochs=60, lr=1e-2)
    model.fit(matrices, {"sex": sex})
    assert model.score(matrices, {"sex": sex}) > 0.2
    made = matrix_of(model.generate(20, {"sex": "M"}), diagonal=1.0)
    if output == "corr":
        # a product of unit rows: rounding only
        assert np.linalg.eigvalsh(made).min() > -1e-5
        assert np.abs(made).max() <= 1 + 1e-6
    else:
        assert np.abs(model.generate(20, {"sex": "F"}) - model.generate(20, {"sex": "M"})).max() > 0


def test_series_have_the_correlations_asked_for():
    target = valid_correlation(np.array([[[1.0, 0.6, 0.3], [0.6, 1.0, 0.5], [0.3, 0.5, 1.0]]]))
    x = series_with(target, 40_000, ar=0.5, seed=1)[0]
    # standard error of a correlation over 40,000 samples with AR(1) of 0.5: 0.006
    np.testing.assert_allclose(np.corrcoef(x), target[0], atol=0.03)
    assert np.corrcoef(x[0, 1:], x[0, :-1])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert x.var() == pytest.approx(1.0, abs=0.05)


def test_series_of_sampled_people_have_the_sampled_connectivity(made):
    t = made.truth
    model = DemoVAE(epochs=0).fit(0.3 * t["x"], facts(t, slice(None)))
    wanted = {"age": 12.0, "sex": "F", "site": "B"}
    x = model.sample_series(3, wanted, n_times=60, exact=True, seed=4)
    assert x.shape == (3, 12, 60)
    target = valid_correlation(matrix_of(model.generate(3, wanted, seed=4), diagonal=1.0))
    np.testing.assert_allclose([np.corrcoef(one) for one in x], target, atol=1e-6)


def test_copies_of_training_people_are_noticed(made):
    x = made.truth["x"]
    train, other = x[:150], x[150:300]
    noise = np.random.default_rng(0).standard_normal((50, x.shape[1]))
    copied = nearest_subjects(train[:50] + 0.05 * noise, train, other)
    assert copied.share > 0.95
    assert copied.ratio < 0.6
    assert (copied.closest == np.arange(50)).all()
    honest = nearest_subjects(x[300:], train, other)
    assert honest.share == pytest.approx(0.5, abs=0.2)  # 60 rows: deviation 0.065


def test_what_samples_teach_about_people(made, fitted):
    t = made.truth
    known, own = facts(t, slice(240)), facts(t, slice(240, None))
    drawn = fitted.generate(240, known, seed=5)
    real, test = (t["x"][:240], known["sex"]), (t["x"][240:], own["sex"])
    scores = transfer(real, test, (drawn, known["sex"]), kind="categorical")
    assert min(scores) > 0.85


# -- inputs --------------------------------------------------------------------------


def test_recordings_bring_their_demographics(made):
    people = made.recordings[:120]
    model = DemoVAE(**SMALL).fit(people)
    assert [row["name"] for row in model.demographics_] == ["age", "sex", "site"]
    t = made.truth
    same = DemoVAE(**SMALL).fit(t["x"][:120].astype(np.float32), facts(t, slice(120)))
    np.testing.assert_array_equal(model.weights_, same.weights_)
    np.testing.assert_allclose(
        model.transform(made.recordings[120:125]),
        model.transform(t["x"][120:125], facts(t, slice(120, 125))),
        atol=1e-5,
    )


def test_recordings_and_windows_become_connectivity():
    people = synthetic.fmri_roi(seed=1, n_subjects=6, n_rois=6, n_volumes=80).recordings
    config = {"demographics": "group", "latent_dim": 2, "hidden": 8, "epochs": 2}
    model = DemoVAE(**config).fit(people)
    assert len(model.feature_mean_) == 15
    vectors = connectivity(list(people), method="correlation").vector()
    np.testing.assert_allclose(model.feature_mean_, vectors.mean(axis=0), atol=1e-6)
    index = windows(people, stream="bold", length_s=40)
    cut = DemoVAE(**config).fit(index)
    assert cut.get_latents(index).shape == (len(index), 2)
    z = DemoVAE(measure="fisher_z", **config).fit(people)
    np.testing.assert_allclose(z.feature_mean_, np.arctanh(vectors).mean(axis=0), atol=1e-5)


def test_matrices_are_read_as_their_triangles(made):
    t = made.truth
    model = DemoVAE(epochs=0).fit(matrix_of(t["x"], diagonal=1.0), facts(t, slice(None)))
    np.testing.assert_allclose(model.feature_mean_, t["x"].mean(axis=0), atol=1e-6)


def test_demographics_come_in_any_order_and_single_values_are_repeated(made, fitted):
    t = made.truth
    own = facts(t, slice(5))
    turned = dict(reversed(own.items()))
    np.testing.assert_array_equal(
        fitted.transform(t["x"][:5], own), fitted.transform(t["x"][:5], turned)
    )
    one = {"age": 12.0, "sex": "M", "site": "A"}
    many = {k: [v] * 5 for k, v in one.items()}
    np.testing.assert_array_equal(fitted.generate(5, one), fitted.generate(5, many))
    np.testing.assert_array_equal(fitted.transform(5, one), fitted.generate(5, one))


def test_saved_and_loaded_it_gives_the_same_bits(made, fitted, tmp_path):
    t = made.truth
    again = neuro.models.load(fitted.save(tmp_path / "m"))
    np.testing.assert_array_equal(again.get_latents(t["x"]), fitted.get_latents(t["x"]))
    one = {"age": 12.0, "sex": "M", "site": "A"}
    np.testing.assert_array_equal(again.generate(4, one), fitted.generate(4, one))
    assert again.calibration_ == fitted.calibration_


# -- bad input -----------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((30, 6))
SEX = np.resize(["F", "M"], 30)


def _with(value, row=3, column=2):
    x = X.copy()
    x[row, column] = value
    return x


def _constant():
    x = X.copy()
    x[:, 4] = 0.5
    return x


@pytest.mark.parametrize(
    ("x", "demo", "kinds", "said"),
    [
        (_with(np.nan), {"sex": SEX}, None, r"1 of 30 rows hold NaN.*rows \[3\].*features \[2\]"),
        (_constant(), {"sex": SEX}, None, "1 of 6 features never change.*number 4"),
        (X, {"sex": np.repeat("F", 30)}, None, "single level 'F'"),
        (X, {"age": np.repeat(9.5, 30)}, None, "'age' is 9.5 for all"),
        (X, {"site": np.arange(30) % 3}, None, "amounts or codes"),
        (X, {"age": np.r_[np.nan, np.arange(29.0)]}, None, "'age' is missing for 1 of 30"),
        (X, {"sex": np.r_[SEX[:-1], [""]]}, None, "'sex' has rows without a level"),
        (X, {"sex": SEX[:-1]}, None, r"'sex' has shape \(29,\) for 30 rows"),
        (X, {"sex": SEX}, ["continuous"], "'sex' is continuous and holds no numbers"),
        (X, None, None, "No demographics are given"),
        (X, [SEX], ["categorical", "continuous"], "2 kinds for 1"),
        (X[:2], {"sex": SEX[:2]}, None, "2 rows are too few"),
        (X[0], {"sex": SEX}, None, "Expected vectors"),
        (np.ones((4, 3, 5)), {"sex": SEX[:4]}, None, "no symmetric matrices"),
    ],
    ids=(
        "nan constant level age whole missing empty short text none kinds few vector series"
    ).split(),
)
def test_bad_training_data_are_refused(x, demo, kinds, said):
    with pytest.raises(DataError, match=said):
        DemoVAE(**SMALL).fit(x, demo, kinds)


def test_unknown_kinds_are_refused():
    with pytest.raises(ConfigError, match="Kind 'ordinal' of demographic 'sex'"):
        DemoVAE(**SMALL).fit(X, {"sex": SEX}, ["ordinal"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"site": "D"}, "'site' was never seen as 'D'; it was trained with 'A', 'B', 'C'"),
        ({"handedness": "left"}, "'handedness' was never seen in training"),
        ({"age": np.nan}, "'age' is missing"),
        ({"sex": None}, "'sex' has rows without a level"),
    ],
    ids=["level", "name", "nan", "none"],
)
def test_demographics_never_seen_are_refused(fitted, change, said):
    with pytest.raises(DataError, match=said):
        fitted.generate(2, {"age": 12.0, "sex": "F", "site": "A"} | change)


def test_lacking_demographics_and_other_features_are_refused(made, fitted):
    x = made.truth["x"]
    with pytest.raises(DataError, match=r"\['site'\] are lacking"):
        fitted.generate(2, {"age": 12.0, "sex": "F"})
    with pytest.raises(DataError, match="another atlas"):
        fitted.get_latents(x[:, :-1])
    with pytest.raises(DataError, match="'place' was never seen"):
        fitted.swap(x[:5], facts(made.truth, slice(5)), to={"place": "A"})
    with pytest.raises(DataError, match="kinds"):
        fitted.transform(x[:5], facts(made.truth, slice(5)), ["categorical"] * 3)


def test_recordings_without_demographics_are_refused():
    people = [r.replace(group="") for r in synthetic.fmri_roi(n_subjects=2, n_rois=6).recordings]
    with pytest.raises(DataError, match="None of age, sex, group, site, dataset is known"):
        DemoVAE(**SMALL).fit(people)
    with pytest.raises(DataError, match="'age' is unknown for"):
        DemoVAE(demographics="age", **SMALL).fit(people)
    with pytest.raises(ConfigError, match="no fact 'height'"):
        DemoVAE(demographics="height", **SMALL).fit(people)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"latent_dim": -1}, "latent_dim"),
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 1}, "batch_size = 1 has no covariance"),
        ({"lr": 0.0}, "lr"),
        ({"rec_weight": -1.0}, "rec_weight"),
        ({"losses": "package"}, "standardise=False"),
    ],
    ids=["latent", "epochs", "batch", "lr", "weight", "package"],
)
def test_impossible_settings_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        DemoVAE(**values)


def test_more_codes_than_directions_and_triangles_that_are_none():
    with pytest.raises(ConfigError, match="latent_dim = 20, but 30 rows leave 6 directions"):
        DemoVAE(latent_dim=20, **SMALL).fit(X, {"sex": SEX})
    with pytest.raises(DataError, match="5 features are none"):
        DemoVAE(output="corr", **SMALL).fit(X[:, :5], {"sex": SEX})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("demographics_", [{"name": "age"}], "demographics cannot be used"),
        ("demographics_", [], "contradict themselves"),
        ("calibration_", None, "demographics|calibration_"),
    ],
    ids=["damaged", "empty", "gone"],
)
def test_a_damaged_description_is_one_clear_error(fitted, tmp_path, key, value, said):
    folder = fitted.save(tmp_path / "m")
    card = json.loads((folder / "model.json").read_text())
    card["learned"][key] = value
    if value is None:
        del card["learned"][key]
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match=said):
        neuro.models.load(folder)


def test_sizes_that_a_file_claims_are_not_believed(fitted, tmp_path):
    folder = fitted.save(tmp_path / "m")
    card = json.loads((folder / "model.json").read_text())
    card["config"]["hidden"] = 9_000_000  # gigabytes of weights; nothing is allocated
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match="do not fit the model"):
        neuro.models.load(folder)
