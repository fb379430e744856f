"""The scan: three forms, one set of numbers; long, stiff, split, compiled, forked."""

import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from neuro.errors import ConfigError, DataError
from neuro.nn import _scan_numba
from neuro.nn import selective_scan as room
from neuro.nn.selective_scan import selective_scan

FILE = Path(__file__).parents[2].parent / "shared" / "oracles" / "femba" / "scan.npz"
frozen = pytest.mark.skipif(not FILE.is_file(), reason="no frozen numbers of the original")
METHODS = ["compiled", "chunked", "loop"]
FAST = ["compiled", "chunked"]
CASES = [
    "len1", "len7", "len7_plain", "len80", "len80_large", "len1000", "len1000_large",
    "len1000_small",
]  # fmt: skip
TIME_LAST = ("u", "delta", "B", "C", "z", "y", "dy")


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _case(batch=2, length=7, channels=3, states=4, dtype=torch.float64, seed=0, step=1.0):
    """Random arguments: steps up to `step`, rates down to -16."""
    rng = _rng(seed)
    return {
        "u": torch.randn(batch, length, channels, generator=rng, dtype=dtype),
        "delta": step * torch.rand(batch, length, channels, generator=rng, dtype=dtype),
        "A": -16 * torch.rand(channels, states, generator=rng, dtype=dtype),
        "B": torch.randn(batch, length, states, generator=rng, dtype=dtype),
        "C": torch.randn(batch, length, states, generator=rng, dtype=dtype),
        "state": torch.randn(batch, channels, states, generator=rng, dtype=dtype),
    }


def _error(found, expected):
    """Largest difference over the largest value."""
    expected = expected.double()
    # the gradient for A of a single step from nothing is all zeros
    size = expected.abs().max().clamp(min=1e-300)
    return float((found.detach().double() - expected).abs().max() / size)


# -- the original's numbers ---------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz

    return load_npz(FILE)


def _frozen_case(numbers, case):
    """Arrays of a case, in our order of axes."""
    found = {
        k.split(".")[1]: torch.tensor(v) for k, v in numbers.items() if k.split(".")[0] == case
    }
    turned = TIME_LAST + tuple(f"{p}_{k}" for p in ("grad", "grad2") for k in TIME_LAST)
    return {k: v.transpose(1, 2).contiguous() if k in turned else v for k, v in found.items()}


@frozen
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance", "of_gradients"),
    # README: 1e-11 and 1e-6 of the largest value. Gradients of the case with
    # long memory add up 1,000 terms in float32: the plain loop is off by 2.2e-6.
    [(torch.float64, 1e-11, 1e-11), (torch.float32, 1e-6, 4e-6)],
    ids=["double", "single"],
)
def test_outputs_and_gradients_are_those_of_the_original(
    numbers, case, method, dtype, tolerance, of_gradients
):
    g = _frozen_case(numbers, case)
    names = [k for k in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias") if k in g]
    given = {k: g[k].to(dtype).requires_grad_() for k in names}
    y, last = selective_scan(**given, softplus="delta_bias" in g, method=method)
    assert _error(y, g["y"]) <= tolerance
    assert _error(last, g["last_state"]) <= tolerance
    sums = {"grad": (y * g["dy"].to(dtype)).sum()}
    if "dlast" in g:
        sums["grad2"] = sums["grad"] + (last * g["dlast"].to(dtype)).sum()
    for kind, total in sums.items():
        found = torch.autograd.grad(total, list(given.values()), retain_graph=True)
        for name, gradient in zip(names, found, strict=True):
            assert _error(gradient, g[f"{kind}_{name}"]) <= of_gradients, name


# -- the three forms ----------------------------------------------------------------------


@pytest.mark.parametrize("method", FAST)
@pytest.mark.parametrize("length", [1, 7, 80, 1000, 4096])
def test_float32_agrees_with_a_float64_loop_at_every_length(method, length):
    case = _case(1, length, 5, 16, dtype=torch.float32, seed=length)
    exact, last = selective_scan(**{k: v.double() for k, v in case.items()}, method="loop")
    found = selective_scan(**case, method=method)
    assert found.y.isfinite().all()
    # stiff rates and long steps: the bound asked for is 1e-5, float32's eps is 1e-7
    assert _error(found.y, exact) <= 1e-5
    assert _error(found.state, last) <= 1e-5


@pytest.mark.parametrize(
    ("method", "length"), [("compiled", 5), ("compiled", 35), ("chunked", 10), ("loop", 5)]
)
def test_gradients_are_those_of_finite_differences(method, length):
    case = _case(1, length, 2, 3, seed=3)
    case["D"] = torch.randn(2, generator=_rng(4), dtype=torch.float64)
    # away from the edge at 0, where a difference would leave the allowed steps
    case["delta"], case["A"] = 0.05 + case["delta"], -0.05 + case["A"]
    names = list(case)
    values = [case[k].requires_grad_() for k in names]

    def scan(*tensors):
        return tuple(selective_scan(**dict(zip(names, tensors, strict=True)), method=method))

    assert torch.autograd.gradcheck(scan, values, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_impulse_response_is_a_sum_of_exponentials(method):
    length, step, rates = 50, 0.1, torch.tensor([[-0.5, -3.0]])
    u = torch.zeros(1, length, 1)
    u[0, 0] = 1.0
    b, c = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25])
    fixed = (b.expand(1, length, 2), c.expand(1, length, 2))
    y, _ = selective_scan(u, torch.full_like(u, step), rates, *fixed, method=method)
    k = torch.arange(length)[:, None]
    expected = (c * torch.exp(rates * step * k) * step * b).sum(-1)
    assert torch.allclose(y[0, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_sequence_in_two_parts_is_the_whole(method):
    case = _case(2, 90, 5, 4, dtype=torch.float32)
    whole = selective_scan(**case, method=method)
    state, rows = case["state"], []
    for part in (slice(0, 37), slice(37, 90)):
        cut = {k: v if k == "A" else v[:, part] for k, v in case.items() if k != "state"}
        y, state = selective_scan(**cut, state=state, method=method)
        rows.append(y)
    # another grouping of the same steps: rounding
    assert _error(torch.cat(rows, dim=1), whole.y) <= 1e-6
    assert _error(state, whole.state) <= 1e-6


def test_many_channels_in_blocks_of_odd_width_agree():
    for channels in (1, 130, 300):
        case = _case(2, 40, channels, 4, seed=channels)
        given = [{k: v.clone().requires_grad_() for k, v in case.items()} for _ in range(2)]
        weight = torch.randn(2, 40, channels, generator=_rng(1), dtype=torch.float64)
        ys = []
        for arguments, method in zip(given, ("compiled", "loop"), strict=True):
            ys.append(selective_scan(**arguments, method=method).y)
            (ys[-1] * weight).sum().backward()
        assert _error(ys[0], ys[1].detach()) <= 1e-12
        for name in case:
            assert _error(given[0][name].grad, given[1][name].grad) <= 1e-12, name


def test_chunks_in_several_segments_agree(monkeypatch):
    monkeypatch.setattr(room, "_SEGMENT", 64 * 12)
    case = _case(2, 150, 3, 4)
    given = [{k: v.clone().requires_grad_() for k, v in case.items()} for _ in range(2)]
    for arguments, method in zip(given, ("chunked", "loop"), strict=True):
        selective_scan(**arguments, method=method).y.square().sum().backward()
    for name in case:
        assert _error(given[0][name].grad, given[1][name].grad) <= 1e-12, name


def test_zero_steps_leave_the_state_alone():
    case = _case(1, 10, 3, 4)
    case["delta"].zero_()
    for method in METHODS:
        assert torch.equal(selective_scan(**case, method=method).state, case["state"])


# -- compiled code ------------------------------------------------------------------------


def test_the_own_exponential_is_exact_to_1e_7():
    from numba import njit

    @njit
    def many(z, out):
        for i in range(len(z)):
            out[i] = _scan_numba.exp2(z[i])

    near = -np.logspace(-12, np.log10(126), 200_001)
    z = np.concatenate([near, np.linspace(-126, 0, 500_001)]).astype(np.float32)
    out = np.empty_like(z)
    many(z, out)
    assert np.abs(out / np.exp2(z.astype(np.float64)) - 1).max() <= 1e-7
    assert out[-1] == 1.0
    far = np.array([-127.0, -1e4, -1e30, -np.inf], dtype=np.float32)
    many(far, out)
    # a factor of 2^-126 instead of 0
    assert (out[:4] <= 2.0**-126).all()
    assert (out[:4] >= 0).all()


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(_scan_numba, "_SMALL", 0)
    case = _case(2, 33, 300, 4, dtype=torch.float32)
    found = []
    before = torch.get_num_threads()
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        given = {k: v.clone().requires_grad_() for k, v in case.items()}
        y = selective_scan(**given, method="compiled").y
        y.square().sum().backward()
        found.append([y.detach(), *(t.grad for t in given.values())])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def _scan_in_child(queue):
    case = _case(2, 33, 300, 4, dtype=torch.float32)
    queue.put(selective_scan(**case, method="compiled").y.sum().item())


def test_a_forked_child_scans_after_its_parent_did(monkeypatch):
    monkeypatch.setattr(_scan_numba, "_SMALL", 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    case = _case(2, 33, 300, 4, dtype=torch.float32)
    expected = selective_scan(**case, method="compiled").y.sum().item()
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_scan_in_child, args=(queue,))
    with warnings.catch_warnings():
        # forking a process with threads is what is tried here
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.join(10)
        child.kill()
        torch.set_num_threads(threads)


def test_compiled_and_exported_graphs_hold_it_as_one_operation():
    class Net(torch.nn.Module):
        def forward(self, u, delta, A, B, C):
            return selective_scan(u, delta, A, B, C, softplus=True).y

    case = _case(3, 40, 5, 4, dtype=torch.float32)
    del case["state"]
    expected = selective_scan(**case, softplus=True, method="loop").y
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = {k: None if k == "A" else {0: batch} for k in case}
    exported = torch.export.export(Net(), (), kwargs=case, dynamic_shapes=shapes)
    names = [str(node.target) for node in exported.graph.nodes]
    assert sum("neuro.selective_scan" in name for name in names) == 1
    assert _error(exported.module()(**case), expected) <= 1e-6
    torch.compiler.reset()
    given = {k: v.clone().requires_grad_() for k, v in case.items()}
    compiled = torch.compile(Net(), backend="aot_eager", fullgraph=True)
    compiled(**given).square().sum().backward()
    own = {k: v.clone().requires_grad_() for k, v in case.items()}
    selective_scan(**own, softplus=True, method="loop").y.square().sum().backward()
    for name in case:
        assert _error(given[name].grad, own[name].grad) <= 1e-5, name


def test_the_operation_keeps_torchs_rules():
    case = _case(2, 20, 3, 4)
    given = [case[k] for k in ("u", "delta")]
    given += [case["A"].t(), case["B"], case["C"], case["state"].transpose(1, 2)]
    given = [t.clone().requires_grad_() for t in given]
    torch.library.opcheck(
        room._scan,
        given,
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def test_half_precision_is_computed_in_single():
    case = _case(1, 20, 3, 4, dtype=torch.float32)
    half = {k: v.bfloat16() for k, v in case.items()}
    found = selective_scan(**half)
    expected = selective_scan(**{k: v.float() for k, v in half.items()})
    assert found.y.dtype == torch.bfloat16
    assert torch.equal(found.y, expected.y.bfloat16())
    assert torch.equal(found.state, expected.state)


_ON_THE_INTERPRETER = """
import numpy as np, torch
from neuro.nn import _scan_numba, _scan_triton
rng = torch.Generator().manual_seed(0)
for batch, length, channels, states in ((1, 1, 1, 1), (2, 37, 5, 3), (1, 40, 70, 16)):
    shapes = [(batch, length, channels)] * 2 + [(states, channels)]
    shapes += [(batch, length, states)] * 2 + [(batch, states, channels)]
    given = [torch.rand(s, generator=rng, dtype=torch.float64) for s in shapes]
    given[2] *= -16
    dy, dlast = given[0] - 0.5, given[5] - 0.5
    y, last, saved = _scan_triton.forward(*given, 16)
    found = _scan_triton.backward(dy, dlast, *given[:5], saved, 16)
    arrays = [t.numpy() for t in given]
    expected = _scan_numba.forward(*arrays, chunk=16, n_threads=1)
    more = [t.numpy() for t in (dy, dlast, *given[:5], saved)]
    expected += _scan_numba.backward(*more, chunk=16, n_threads=1)
    for a, b in zip((y, last, saved, *found), expected, strict=True):
        assert np.allclose(a.numpy(), b, atol=1e-12), (length, a.shape)
print("same")
"""


def test_the_gpu_kernel_computes_the_same_in_tritons_interpreter():
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = [sys.executable, "-c", _ON_THE_INTERPRETER]
    done = subprocess.run(run, capture_output=True, text=True, env=environment)
    assert done.stdout == "same\n", done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_gpu_gives_the_numbers_of_the_cpu(dtype):
    pytest.importorskip("triton")
    found = []
    for device in ("cpu", "cuda"):
        case = _case(2, 100, 70, 16, dtype=dtype)
        given = {k: v.to(device).requires_grad_() for k, v in case.items()}
        y, last = selective_scan(**given, method="compiled")
        (y.square().sum() + last.sum()).backward()
        found.append([y, last, *(t.grad for t in given.values())])
    for own, other in zip(*found, strict=True):
        assert _error(other.cpu(), own.detach()) <= (1e-11 if dtype == torch.float64 else 1e-5)


# -- what it refuses ----------------------------------------------------------------------


def test_wrong_arguments_are_told():
    case = _case()
    with pytest.raises(DataError, match=r"B has shape \(2, 7, 5\)"):
        selective_scan(**{**case, "B": torch.zeros(2, 7, 5)})
    with pytest.raises(DataError, match="batch, time, channel"):
        selective_scan(**{**case, "u": torch.zeros(2, 7)})
    with pytest.raises(DataError, match="positive rates"):
        selective_scan(**{**case, "A": -case["A"]})
    with pytest.raises(DataError, match="negative steps"):
        selective_scan(**{**case, "delta": -case["delta"]})
    empty = {k: v if k in ("A", "state") else v[:, :0] for k, v in case.items()}
    with pytest.raises(DataError, match="Nothing to scan"):
        selective_scan(**empty)
    with pytest.raises(ConfigError, match="Did you mean 'chunked'"):
        selective_scan(**case, method="chunk")


def test_devices_without_compiled_code_take_chunks():
    assert room._choose("auto", torch.zeros(1)) == "compiled"
    meta = torch.zeros(1, device="meta")
    assert room._choose("auto", meta) == "chunked"
    with pytest.raises(ConfigError, match="No compiled scan for 'meta'"):
        room._choose("compiled", meta)


# -- cost ---------------------------------------------------------------------------------

_MEMORY = """
import resource, sys, torch
from neuro.nn.selective_scan import selective_scan
L, grad = int(sys.argv[1]), sys.argv[2] == "grad"
torch.set_num_threads(1)
for length in (64, L):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    u = torch.ones(1, length, 128, requires_grad=grad)
    B = torch.ones(1, length, 16, requires_grad=grad)
    y, _ = selective_scan(u, u.abs(), -torch.ones(128, 16), B, B, method="compiled")
    if grad:
        y.sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (4 * L * 128))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "most"), [("plain", 8), ("grad", 16)])
def test_memory_is_a_few_times_the_input_and_never_all_states(mode, most):
    run = [sys.executable, "-c", _MEMORY, "65536", mode]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    # in inputs of 33 MB; an array of all states alone would be 16 of them, and
    # a backward pass that kept factors and states 32 beside the rest
    assert float(done.stdout) < most
