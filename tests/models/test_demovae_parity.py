"""demovae, preset "paper": frozen numbers of the public package, and the package itself."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import neuro.models
from neuro.models.demovae.demographics import Table
from neuro.models.demovae.guides import Draws, fit_guides, guide_losses
from neuro.models.demovae.losses import decorrelation, moments, package_decorrelation, rmse
from neuro.models.demovae.network import Autoencoder, flat
from neuro.models.demovae.training import objective, train

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "demovae"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")
KINDS = ["continuous", "categorical", "categorical"]
# float32 sums in another order: values of order 1, and a second moment of order 18
CLOSE, CLOSE_COV = 1e-5, 1e-4


class Frozen:
    """The frozen case, ready to run."""

    def __init__(self):
        from neuro.io.safe import load_npz, read_tensors

        self.arrays = load_npz(FOLDER / "io.npz")
        self.weights = read_tensors(FOLDER / "weights.safetensors")[0]
        a = self.arrays
        self.demo = {name: a[name] for name in ("age", "sex", "site")}
        self.table = Table.learn(self.demo, KINDS, 40)
        self.columns = self.table.encode(self.demo, 40, standardise=False)
        self.config = neuro.models.create(
            "demovae", "paper", latent_dim=5, lr=1e-3, epochs=3, batch_size=16
        ).config
        self.guides = fit_guides(a["x"], self.columns, self.table, self.config)
        self.x, self.d = (torch.tensor(v, dtype=torch.float32) for v in (a["x"], self.columns))

    def network(self):
        network = Autoencoder(45, 5, 6, 1000)
        network.load_state_dict(self.weights, strict=False)
        return network

    def draws(self, seed=4):
        generator = torch.Generator().manual_seed(seed)
        return Draws(self.table, self.config, generator, random.Random(seed))

    def replayed(self):
        """Draws that give the frozen demographics and codes."""
        draws = self.draws()
        draws.demographics = lambda: torch.tensor(self.arrays["guide_demo"])
        draws.codes = lambda _: torch.tensor(self.arrays["guide_z"])
        return draws

    def model(self):
        """The estimator as if it had been fitted to these weights."""
        model = neuro.models.create("demovae", "paper", latent_dim=5)
        model.demographics_, model.weights_ = self.table.to_json(), flat(self.network())
        model.feature_mean_, model.feature_scale_ = np.zeros(45, np.float32), 1.0
        model.latent_mean_, model.latent_factor_ = np.zeros(5), np.eye(5)
        model.scatter_ = np.zeros(45, np.float32)
        model.history_ = np.zeros((0, 5), np.float32)
        return model


@pytest.fixture(scope="module")
def case():
    return Frozen()


@frozen
def test_demographics_are_encoded_as_in_the_package(case):
    np.testing.assert_allclose(case.columns, case.arrays["demo_matrix"], atol=1e-7)
    age = case.table.rows[0]
    np.testing.assert_allclose([age.mean, age.sd], case.arrays["age_mean_std"], rtol=1e-12)


@frozen
def test_every_loss_term_is_that_of_the_package(case):
    a, terms = case.arrays, objective(
        case.network(), case.x, case.d, case.guides, case.replayed(), case.config
    )  # fmt: skip
    assert terms.rec.item() == pytest.approx(float(a["loss_rec"]), abs=CLOSE)
    assert terms.cov.item() == pytest.approx(float(a["loss_cov"]), abs=CLOSE_COV)
    assert terms.mean.item() == pytest.approx(float(a["loss_mean"]), abs=CLOSE)
    # the sum of six columns, of order 15
    assert terms.demo.item() == pytest.approx(float(a["loss_demo"]), abs=CLOSE_COV)
    # six numbers printed with four decimals
    assert terms.guide.item() == pytest.approx(a["guide_losses_printed"].sum(), abs=3e-4)


@frozen
def test_demographic_term_divides_by_the_energy_of_each_code(case):
    z = torch.tensor(case.arrays["z"], dtype=torch.float64)
    table = package_decorrelation(z, torch.tensor(case.columns))
    np.testing.assert_allclose(table, case.arrays["p_cj_f64"], atol=1e-9)
    each = torch.stack([decorrelation(row[None]) for row in table])
    np.testing.assert_allclose(each, case.arrays["loss_demo_per_column_f64"], atol=1e-7)


@frozen
@pytest.mark.parametrize("term", ["rec", "cov", "mean", "demo"])
def test_gradient_of_every_term_is_that_of_the_package(case, term):
    network = case.network()
    terms = objective(network, case.x, case.d, case.guides, case.replayed(), case.config)
    getattr(terms, term).backward()
    checked = 0
    for key, p in network.named_parameters():
        wanted = case.arrays.get(f"gradnorm_{term}.{key}")
        if wanted is None:
            assert p.grad is None or not p.grad.any()
            continue
        assert p.grad.norm().item() == pytest.approx(float(wanted), rel=1e-5)
        checked += 1
    assert checked == (8 if term == "rec" else 4)
    first = network.enc2.weight.grad[:, :20].numpy()
    wanted = case.arrays[f"grad_{term}.enc2.weight_first20"]
    np.testing.assert_allclose(first, wanted, atol=CLOSE * np.abs(wanted).max())


@frozen
def test_guides_and_their_gradient_are_those_of_the_package(case):
    a, network = case.arrays, case.network()
    age, sex, site = case.guides
    np.testing.assert_allclose(age.weight[:, 0], a["guide_ridge_coef"], atol=1e-6)
    # logistic searches end at a tolerance of 1e-4 of their gradient
    np.testing.assert_allclose(sex.weight.T, [-a["guide_sex_coef"][0], a["guide_sex_coef"][0]],
                               atol=1e-4)  # fmt: skip
    np.testing.assert_allclose(site.weight.T, a["guide_site_coef"], atol=1e-4)
    wanted = torch.tensor(a["guide_demo"])
    y = network.decode(torch.tensor(a["guide_z"]), wanted)
    np.testing.assert_allclose(y[:5].detach(), a["guide_x_hat_first5"], atol=CLOSE)
    losses = guide_losses(case.guides, y, wanted, package=True)
    torch.stack(losses).sum().backward()
    each = [losses[0], *[losses[1] / 2] * 2, *[losses[2] / 3] * 3]
    # printed with four decimals
    np.testing.assert_allclose([v.item() for v in each], a["guide_losses_printed"], atol=5e-5)
    for key in ("dec1.bias", "dec2.bias"):
        found, exact = network.get_parameter(key).grad, a[f"grad_guide.{key}"]
        np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())


@frozen
def test_gradient_of_the_whole_is_that_of_the_package(case):
    network = case.network()
    terms = objective(network, case.x, case.d, case.guides, case.replayed(), case.config)
    terms.weighted(case.config).backward()
    for key in ("enc2.bias", "dec2.bias", "enc1.bias"):
        found, exact = network.get_parameter(key).grad, case.arrays[f"grad_total.{key}"]
        np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())


@frozen
def test_three_epochs_with_the_same_draws_end_at_the_same_weights(case):
    network, a = case.network(), case.arrays
    history = train(network, case.x, case.d, case.guides, case.draws(), case.config)
    np.testing.assert_allclose(history[:, :4], a["after3epochs_printed"], atol=1e-4)
    # measured 2e-7
    np.testing.assert_allclose(network.encode(case.x).detach(), a["after3epochs_bs16.z"], atol=1e-5)
    for key in ("enc2.bias", "dec2.bias"):
        found = network.get_parameter(key).detach()
        np.testing.assert_allclose(found, a[f"after3epochs_bs16.{key}"], atol=1e-5)


@frozen
def test_estimator_transforms_swaps_and_generates_like_the_package(case):
    a, model = case.arrays, case.model()
    np.testing.assert_allclose(model.get_latents(a["x"]), a["get_latents"], atol=CLOSE)
    rebuilt = model.transform(a["x"], list(case.demo.values()), KINDS)
    np.testing.assert_allclose(rebuilt, a["transform"], atol=CLOSE)
    moved = model.swap(a["x"], case.demo, to={"site": 1})
    np.testing.assert_allclose(moved, a["swap_site_to_1"], atol=CLOSE)
    wanted = {name: a[f"generate_{name}"] for name in case.demo}
    made = model.generate(7, wanted, z=a["generate_z"])
    np.testing.assert_allclose(made, a["generate_x"], atol=CLOSE)


# -- the package itself --------------------------------------------------------------


def test_terms_are_those_of_the_installed_package():
    theirs = pytest.importorskip("demovae.model", reason="the public package is not installed")
    rng = torch.Generator().manual_seed(0)
    z, demo = (torch.randn(30, k, generator=rng) for k in (6, 4))
    cov, mean, _, _ = theirs.latent_loss(z, use_cuda=False)
    found = moments(z, summed=True)
    assert found[0].item() == pytest.approx(cov.item(), abs=1e-6)
    assert found[1].item() == pytest.approx(mean.item(), abs=1e-6)
    losses, ps = theirs.decor_loss(z, demo, use_cuda=False)
    table = package_decorrelation(z, demo)
    assert torch.allclose(table, torch.stack(ps), atol=1e-6)
    assert decorrelation(table).item() == pytest.approx(sum(losses).item(), abs=1e-6)
    assert rmse(z, 2 * z).item() == pytest.approx(theirs.rmse(z, 2 * z).item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # the package prints
def test_a_whole_fit_ends_where_the_installed_package_ends(capsys):
    theirs = pytest.importorskip("demovae", reason="the public package is not installed")
    rng = np.random.default_rng(0)
    x, age = rng.standard_normal((40, 15)), rng.standard_normal(40)
    sex, site = np.where(rng.random(40) < 0.5, "F", "M"), np.arange(40) % 3
    demo = [age, sex, site]
    options = {"latent_dim": 4, "lr": 1e-3}
    state = torch.random.get_rng_state(), random.getstate()
    torch.manual_seed(3)
    random.seed(3)
    other = theirs.DemoVAE(use_cuda=False, nepochs=3, bsize=16, **options).fit(x, demo, KINDS)
    own = neuro.models.create("demovae", "paper", epochs=3, batch_size=16, seed=3, **options)
    own.fit(x, demo, KINDS)
    torch.manual_seed(9)
    sampled = other.transform(40, demo, KINDS)
    torch.random.set_rng_state(state[0])
    random.setstate(state[1])
    # measured 1e-7: same first weights, same draws, same steps
    np.testing.assert_allclose(own.get_latents(x), other.get_latents(x), atol=1e-5)
    np.testing.assert_allclose(own.transform(x, demo), other.transform(x, demo, KINDS), atol=1e-5)
    np.testing.assert_allclose(own.generate(40, demo, seed=9), sampled, atol=1e-5)
    assert "Training complete" in capsys.readouterr().out
