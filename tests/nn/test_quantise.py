"""Codebooks: gradients, running means, start, revival, masks, several processes."""

import math
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import multiprocessing as mp

from neuro.errors import ConfigError, DataError
from neuro.nn import quantise
from neuro.nn.quantise import VectorQuantiser, perplexity, usage

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "tfm-tokenizer"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz, read_tensors

    return load_npz(FOLDER / "io.npz"), read_tensors(FOLDER / "weights.safetensors")[0]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def vectors(*shape, seed=0):
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def book(n_codes=5, d_code=3, seed=1, **options):
    """Quantiser in double precision whose codes are given, not started from data."""
    vq = VectorQuantiser(n_codes, d_code, init="uniform", **options).double()
    with torch.no_grad():
        vq.codes.copy_(vectors(n_codes, d_code, seed=seed))
    return vq


# -- look-up ------------------------------------------------------------------------


def test_the_nearest_code_is_the_one_a_table_of_all_distances_names(monkeypatch):
    vq, z = book(40, 6), vectors(7, 9, 6)
    expected = torch.cdist(z, vq.codebook).argmin(dim=-1)
    assert torch.equal(vq.nearest(z), expected)
    # in many small parts, the last of them incomplete
    monkeypatch.setattr(quantise, "_DISTANCES", 40 * 4)
    assert torch.equal(vq.nearest(z), expected)


def test_codes_handed_on_are_the_codes_to_the_last_bit():
    vq = book().float()
    z = 1000 * vectors(50, 3).float()
    out = vq.eval()(z)
    assert torch.equal(out.passed, vq.codebook[out.ids])
    assert torch.equal(out.codes, vq.lookup(out.ids))
    expected = (z - out.codes).square().sum(dim=1)
    assert torch.equal(out.distance, expected)
    # the mean over vectors and features: another order of summing
    assert out.commitment.item() == pytest.approx(expected.mean().item() / 3, rel=1e-5)


def test_half_precision_of_the_surroundings_does_not_mix_up_codes():
    vq, z = book(200, 16).float(), vectors(300, 16).float()
    expected = vq.nearest(z)
    with torch.autocast("cpu", torch.bfloat16):
        out = vq.eval()(z)
    assert torch.equal(out.ids, expected)
    assert out.loss.dtype == torch.float32


def test_equal_vectors_get_equal_codes():
    assert book().nearest(torch.zeros(4, 3, dtype=torch.float64)).unique().numel() == 1


# -- gradients ----------------------------------------------------------------------


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_gradients_equal_finite_differences_of_the_two_terms(update):
    vq, z = book(update=update, beta=0.25), vectors(4, 6, 3).requires_grad_()
    vq(z).loss.backward()
    codes = book().codebook  # as they were before the update
    ids = (z.detach()[..., None, :] - codes).square().sum(dim=-1).argmin(dim=-1)

    def commitment(shift):
        return 0.25 * (z.detach() + shift - codes[ids]).square().mean()

    def codebook(shift):
        return (z.detach() - (codes + shift)[ids]).square().mean()

    for at in [(0, 0, 0), (3, 5, 2), (1, 2, 1)]:
        shift = torch.zeros_like(z.detach())
        shift[at] = 1e-5
        # quadratic: the central difference is exact but for rounding
        expected = (commitment(shift) - commitment(-shift)) / 2e-5
        assert z.grad[at].item() == pytest.approx(expected.item(), abs=1e-8)
    if update == "gradient":
        for at in [(0, 0), (2, 1), (4, 2)]:
            shift = torch.zeros_like(codes)
            shift[at] = 1e-5
            expected = (codebook(shift) - codebook(-shift)) / 2e-5
            assert vq.codes.grad[at].item() == pytest.approx(expected.item(), abs=1e-8)


def test_gradients_are_those_of_the_formula():
    vq, z = book(update="gradient", beta=0.7), vectors(20, 3).requires_grad_()
    out = vq(z)
    out.loss.backward()
    n = z.numel()
    # equal formulas in double precision: rounding only
    assert torch.allclose(z.grad, 2 * 0.7 * (z - out.codes).detach() / n, atol=1e-15)
    members = torch.nn.functional.one_hot(out.ids, 5).double()
    expected = 2 * (members.sum(0)[:, None] * vq.codebook - members.T @ z.detach()) / n
    assert torch.allclose(vq.codes.grad, expected, atol=1e-15)


def test_the_gradient_behind_the_codes_reaches_the_vectors_unchanged():
    vq, z = book(update="gradient"), vectors(20, 3).requires_grad_()
    weight = vectors(20, 3, seed=5)
    (vq(z).passed * weight).sum().backward()
    assert torch.equal(z.grad, weight)
    assert vq.codes.grad is None


def test_the_reference_rule_cancels_commitment_at_beta_one():
    z = vectors(20, 3).requires_grad_()
    out = book(gradient="reference")(z)
    out.loss.backward()
    assert not z.grad.any()
    assert out.loss.item() == pytest.approx(2 * out.commitment.item())
    z.grad = None
    out = book(gradient="reference", beta=1.5)(z)
    out.loss.backward()
    # what is left of the commitment: beta - 1
    assert torch.allclose(z.grad, (z - out.codes).detach() / z.numel(), atol=1e-15)


@frozen
@pytest.mark.parametrize("kind", ["", "_f64"])
def test_loss_of_the_original_and_its_missing_gradient(numbers, kind):
    arrays, weights = numbers
    assert float(arrays[f"gradmax_quant_reference{kind}"]) == 0
    codes = weights["tokenizer.quantizer.embedding.weight"]
    vq = VectorQuantiser(*codes.shape, gradient="reference", init="uniform").eval()
    vq.codes.copy_(codes)
    z = torch.tensor(arrays[f"tok_z{kind}"])
    vq = vq.to(z.dtype)
    out = vq(z.requires_grad_())
    assert torch.equal(out.ids.reshape(2, 6, 9), torch.tensor(arrays["tok_ids"]))
    # theirs is z + (code - z), one rounding away from the code
    assert torch.allclose(out.passed[:3].float(), torch.tensor(arrays["tok_codes_st"]), atol=1e-6)
    out.loss.backward()
    assert not z.grad.any()


# -- running means --------------------------------------------------------------------


def test_two_updates_worked_out_by_hand():
    vq = VectorQuantiser(2, 1, decay=0.5, eps=0.5, init="uniform").double()
    vq.codes.copy_(torch.tensor([[0.0], [10.0]]))
    vq.sums.copy_(vq.codes)
    out = vq(torch.tensor([[1.0], [3.0], [8.0]], dtype=torch.float64))
    assert out.codes.flatten().tolist() == [0, 0, 10]
    assert vq.counts.tolist() == [1.0, 0.5]
    assert vq.sums.flatten().tolist() == [2.0, 9.0]
    # smoothed counts (1 + .5) / 2.5 * 1.5 = .9 and (.5 + .5) / 2.5 * 1.5 = .6
    # rounding of thirds only
    assert vq.codes.flatten().tolist() == pytest.approx([2 / 0.9, 15.0], rel=1e-14)
    vq(torch.tensor([[3.0]], dtype=torch.float64))
    assert vq.counts.tolist() == [1.0, 0.25]
    assert vq.sums.flatten().tolist() == [2.5, 4.5]
    expected = [2.5 / (1.5 / 2.25 * 1.25), 4.5 / (0.75 / 2.25 * 1.25)]
    assert vq.codes.flatten().tolist() == pytest.approx(expected, rel=1e-14)


@frozen
def test_two_updates_equal_those_of_the_original(numbers):
    arrays, weights = numbers
    state = {
        name: weights[f"tokenizer.quantizer.{key}"]
        for name, key in [("codes", "embedding.weight"), ("counts", "cluster_size"),
                          ("sums", "ema_w")]
    }  # fmt: skip
    vq = VectorQuantiser(512, 64, init="uniform")
    vq.load_state_dict({**vq.state_dict(), **state})
    for step in (0, 1):
        out = vq(torch.tensor(arrays[f"ema_in{step}"]))
        assert out.ids.tolist() == arrays[f"ema_ids{step}"].tolist()
        for got, key in [
            (out.codes[:1], "ema_quantized"),
            (vq.codes, "ema_weight_after"),
            (vq.counts, "ema_cluster_size_after"),
            (vq.sums, "ema_w_after"),
        ]:
            # float32, sums in another order
            np.testing.assert_allclose(got, arrays[f"{key}{step}"], atol=1e-6, err_msg=key)


@frozen
def test_from_empty_counts_unused_codes_fly_out_as_in_the_original(numbers):
    arrays, _ = numbers
    vq = VectorQuantiser(16, 64, init="uniform")
    vq.codes.copy_(torch.tensor(arrays["ema_start_weight"]))
    vq.sums.copy_(vq.codes)
    for _ in range(2):
        vq(torch.tensor(arrays["ema_start_in"]))
    # relative: unused codes are divided by 1e-5 and reach a norm of 3e4
    np.testing.assert_allclose(vq.codes, arrays["ema_start_weight_after2"], rtol=1e-5)
    np.testing.assert_allclose(vq.counts, arrays["ema_start_cluster_size_after2"], rtol=1e-6)
    assert vq.codes.norm(dim=1).max() > 1e4


def test_started_from_data_no_code_flies_out():
    vq, z = VectorQuantiser(16, 4), vectors(100, 4).float()
    for seed in range(3):
        vq(z[:20], generator=rng(seed))
    # a smoothed mean of vectors cannot lie beyond them
    assert vq.codes.norm(dim=1).max() <= z.norm(dim=1).max()


def test_eval_mode_changes_nothing():
    for update in ("ema", "gradient"):
        vq = VectorQuantiser(8, 3, update=update, revive_after=1, init="kmeans").eval()
        before = {k: v.clone() for k, v in vq.state_dict().items()}
        for _ in range(3):
            vq(vectors(30, 3).float())
        assert all(torch.equal(v, before[k]) for k, v in vq.state_dict().items())


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_a_saved_quantiser_goes_on_to_the_last_bit(update):
    def steps(vq, seeds):
        for seed in seeds:
            z = vectors(12, 3, seed=seed).float()
            loss = vq(z, generator=rng(seed)).loss
            if update == "gradient":
                (slope,) = torch.autograd.grad(loss, vq.codes)
                vq.codes.data.sub_(0.1 * slope)
        return vq

    def make():
        torch.manual_seed(0)
        return VectorQuantiser(9, 3, update=update, revive_after=3)

    whole = steps(make(), range(12))
    first = steps(make(), range(5))
    again = VectorQuantiser(9, 3, update=update, revive_after=3)
    again.load_state_dict(first.state_dict())
    steps(again, range(5, 12))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())


# -- start and revival --------------------------------------------------------------------


def test_a_sample_takes_each_vector_once_while_they_last():
    z = vectors(6, 2).float()
    vq = VectorQuantiser(6, 2)
    out = vq(z, generator=rng())
    assert sorted(out.ids.tolist()) == list(range(6))
    assert out.loss.item() == 0
    few = VectorQuantiser(9, 2)
    few.start(z, generator=rng())
    assert len({tuple(row) for row in few.codes.tolist()}) == 9
    # three repeats, a hundredth of the deviation away
    assert torch.cdist(few.codes, z).min(dim=1).values.max() < 0.05


def test_kmeans_finds_separate_clusters_and_a_sample_does_not():
    centers = 10 * torch.eye(4)
    z = centers.repeat(50, 1) + 0.1 * vectors(200, 4).float()
    found = VectorQuantiser(24, 4, init="kmeans")
    found.start(z, generator=rng())
    random = VectorQuantiser(24, 4, init="sample")
    random.start(z, generator=rng())
    assert found.eval()(z).commitment < 0.8 * random.eval()(z).commitment


def test_the_generator_decides_the_start_and_nothing_else():
    z = vectors(50, 3).float()
    a, b, c = (VectorQuantiser(7, 3, init="kmeans") for _ in range(3))
    state = torch.random.get_rng_state()
    for vq, seed in ((a, 1), (b, 1), (c, 2)):
        vq(z, generator=rng(seed))
    assert torch.equal(a.codes, b.codes)
    assert not torch.equal(a.codes, c.codes)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_a_code_is_revived_after_that_many_idle_calls(update):
    vq = VectorQuantiser(3, 2, update=update, revive_after=3, init="uniform")
    with torch.no_grad():
        vq.codes.copy_(torch.tensor([[0.0, 0.0], [50.0, 50.0], [1.0, 1.0]]))
    if update == "ema":  # as after a long time of such data
        vq.sums.copy_(10 * vq.codes)
        vq.counts.fill_(10.0)
    z = torch.tensor([[0.1, 0.0], [1.0, 1.1], [0.0, -0.1], [0.9, 1.0]])
    for call in range(2):
        vq(z, generator=rng(call))
    assert vq.idle.tolist() == [0, 2, 0]
    assert vq.codes[1].norm() > 40
    vq(z, generator=rng(2))
    assert vq.idle.tolist() == [0, 0, 0]
    assert (vq.codes[1] == z).all(dim=1).any()
    if update == "ema":
        assert vq.counts[1] == 1
        assert torch.equal(vq.sums[1], vq.codes[1])
    assert 1 in vq.eval().nearest(z).tolist()


def test_revival_fills_a_collapsed_codebook():
    # far from the codes' start near 0: one code wins everything
    z = 3 + vectors(400, 8).float()

    def used(revive_after):
        torch.manual_seed(0)
        vq = VectorQuantiser(64, 8, init="uniform", revive_after=revive_after)
        for step in range(60):
            ids = vq(z, generator=rng(step)).ids
        counts = usage(ids, 64)
        return int((counts > 0).sum()), perplexity(counts)

    # measured: 64 codes, perplexity 53.5 with revival; 3 codes, 2.97 without
    n, spread = used(5)
    assert n >= 60
    assert spread > 45
    n, spread = used(0)
    assert n < 6
    assert spread < 6


# -- masks --------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["ema", "gradient"])
@pytest.mark.parametrize("filler", [0.0, 1e6, math.nan])
def test_masked_vectors_have_no_part_in_anything(update, filler):
    z = vectors(4, 6, 3).float()
    valid = torch.rand(4, 6, generator=rng(3)) > 0.4
    options = {"update": update, "revive_after": 1, "init": "kmeans"}

    def run(x, mask):
        torch.manual_seed(0)
        vq = VectorQuantiser(5, 3, **options)
        for seed in range(3):
            x = x.detach().requires_grad_()
            out = vq(x, mask, rng(seed))
            out.loss.backward()
        return vq.state_dict(), out, x.grad

    state, out, grad = run(z.masked_fill(~valid[..., None], filler), valid)
    alone, other, other_grad = run(z[valid], None)
    assert all(torch.equal(v, alone[k]) for k, v in state.items())
    assert torch.equal(out.ids[valid], other.ids)
    assert (out.ids[~valid] == -1).all()
    assert not out.codes[~valid].any()
    assert not out.passed[~valid].any()
    assert not grad[~valid].any()
    assert torch.equal(grad[valid], other_grad)
    # zeros in between: another order of summing
    assert out.loss.item() == pytest.approx(other.loss.item(), rel=1e-6)


def test_nothing_valid_at_all_changes_no_code_and_loses_nothing():
    for init in ("uniform", "sample", "kmeans"):
        vq = VectorQuantiser(4, 2, init=init, revive_after=1)
        before = vq.codes.clone()
        out = vq(torch.full((3, 2), math.nan), torch.zeros(3, dtype=torch.bool), rng())
        assert out.loss.item() == 0
        assert torch.equal(vq.codes, before)
        assert bool(vq.ready) == (init == "uniform")


# -- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_is_refused_before_it_reaches_the_codes(bad):
    vq = VectorQuantiser(4, 2, init="sample")
    before = {k: v.clone() for k, v in vq.state_dict().items()}
    z = torch.zeros(3, 5, 2)
    z[1, 2, 0] = z[1, 2, 1] = z[2, 2, 1] = bad
    for call in (vq, vq.nearest, vq.start):
        with pytest.raises(DataError, match="2 vectors to be quantised hold NaN or infinity"):
            call(z)
    assert all(torch.equal(v, before[k]) for k, v in vq.state_dict().items())


def test_vectors_of_another_width_are_refused():
    with pytest.raises(DataError, match="width 3 were given to codes of width 2"):
        VectorQuantiser(4, 2).nearest(torch.zeros(5, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_codes": 0}, "n_codes = 0"),
        ({"decay": 1.0}, "decay = 1.0"),
        ({"eps": 0.0}, "eps = 0.0"),
        ({"beta": -1.0}, "beta = -1.0"),
        ({"revive_after": -1}, "revive_after = -1"),
        ({"init": "kmean"}, "Did you mean 'kmeans'"),
        ({"update": "sgd"}, "update = 'sgd'"),
        ({"update": "gradient", "gradient": "reference"}, "gives the codes no gradient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_impossible_options_are_refused_by_name(options, said):
    with pytest.raises(ConfigError, match=said):
        VectorQuantiser(**{"n_codes": 4, "d_code": 2, **options})


# -- counting -----------------------------------------------------------------------------


def test_usage_counts_and_perplexity_is_the_exponential_of_entropy():
    ids = torch.tensor([[[0, 1, 1]], [[3, -1, 1]]])
    counts = usage(ids, 5)
    assert counts.tolist() == [1, 3, 0, 1, 0]
    p = np.array([1, 3, 1]) / 5
    assert perplexity(counts) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-12)
    assert perplexity(torch.full((8,), 3)) == pytest.approx(8, rel=1e-12)
    assert perplexity(torch.zeros(4)) == 0
    with pytest.raises(DataError, match="Code number 3 does not exist: there are 3 codes"):
        usage(ids, 3)


# -- several processes ------------------------------------------------------------------------


_STEPS, _ROWS = 6, 10


def _process(rank, port, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    z = vectors(_STEPS, 2, _ROWS, 3).float()[:, rank]
    state = {}
    for options in ({"init": "uniform"}, {"init": "kmeans", "revive_after": 2}):
        torch.manual_seed(0)
        vq = VectorQuantiser(6, 3, **options)
        for step in range(_STEPS):
            vq(z[step], generator=rng(2 * step + rank))
        state |= {f"{options['init']}_{k}": v for k, v in vq.state_dict().items()}
    torch.save(state, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_hold_the_same_codes_and_learn_from_both(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_process, (port, str(tmp_path)), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    torch.manual_seed(0)
    alone = VectorQuantiser(6, 3, init="uniform")
    for z in vectors(_STEPS, 2, _ROWS, 3).float():
        alone(z)
    for key in ("codes", "counts", "sums", "idle"):
        # sums in another order; unused codes are divided by 1e-5
        assert torch.allclose(one[f"uniform_{key}"], getattr(alone, key), rtol=1e-4), key
