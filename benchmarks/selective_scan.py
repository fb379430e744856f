"""The selective scan: compiled, in chunks, as a loop; its floor; its growth beside attention.

    python benchmarks/selective_scan.py [--small] [--repeats 3] [--threads 1]

Everything is timed in one run and compared within it: forward at (1, 10240, 256, 16)
against the loop over time and the chunks, forward and backward against the loop, and
time and memory from 4,096 to 32,768 tokens beside softmax attention of the same width.
The floor of a scan counts what it cannot do without: one exponential for each element
of (batch, time, channel, state), a few multiplications and additions, each array moved
once; the machine's rates for these are measured here, over arrays that fit the cache
(exponentials, multiplications) or do not (copies). All in float32.
"""

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numba import njit

from neuro.nn._scan_numba import exp2
from neuro.nn.selective_scan import selective_scan

FULL, SMALL = (1, 10240, 256, 16), (1, 1024, 64, 16)
LENGTHS, SHORT = (4096, 8192, 16384, 32768), (512, 1024, 2048)
WIDTH, STATES = 256, 16
# Multiplications and additions for each element: exponent, state (2), input, output (2).
_FLOPS = 6


def best(work: Callable[[], object], repeats: int) -> float:
    """Shortest of several runs, after one that does not count."""
    work()
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def arguments(shape: tuple[int, int, int, int], grad: bool = False) -> list[torch.Tensor]:
    batch, length, channels, states = shape
    rng = torch.Generator().manual_seed(0)
    made = [
        torch.randn(batch, length, channels, generator=rng),
        0.1 * torch.rand(batch, length, channels, generator=rng),
        -torch.arange(1.0, states + 1).repeat(channels, 1),
        torch.randn(batch, length, states, generator=rng),
        torch.randn(batch, length, states, generator=rng),
    ]
    return [t.requires_grad_(grad) for t in made]


def scan(given: list[torch.Tensor], method: str, grad: bool) -> torch.Tensor:
    with torch.set_grad_enabled(grad):
        y = selective_scan(*given, method=method).y  # type: ignore[arg-type]
        if grad:
            for t in given:
                t.grad = None
            y.sum().backward()
    return y.detach()


def attention(length: int) -> Callable[[], object]:
    """Softmax attention over as many tokens of the same width, 8 heads."""
    q, k, v = torch.randn(3, 1, 8, length, WIDTH // 8).unbind(0)
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)


def slope(lengths: tuple[int, ...], values: list[float]) -> float:
    """Exponent of growth: least squares in both logarithms."""
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


@njit(nogil=True)
def _exponentials(z: np.ndarray, out: np.ndarray) -> None:  # type: ignore[type-arg]
    for i in range(z.size):
        out[i] = exp2(z[i])


def rates(repeats: int) -> dict[str, float]:
    """Exponentials, floating-point operations and bytes a second of this machine."""
    z = np.linspace(-20, 0, 4096, dtype=np.float32)
    out = np.empty_like(z)

    def many() -> None:
        for _ in range(500):
            _exponentials(z, out)

    a = torch.randn(512, 512)
    big = torch.randn(2**25)
    target = torch.empty_like(big)
    n_threads = torch.get_num_threads()
    return {
        "exp": n_threads * 500 * z.size / best(many, repeats),
        "flop": 2 * 512**3 / best(lambda: a @ a, repeats),
        "byte": 2 * 4 * big.numel() / best(lambda: target.copy_(big), repeats),
    }


def floor(shape: tuple[int, int, int, int], rate: dict[str, float]) -> dict[str, float]:
    """Seconds that each kind of work takes at the machine's own rate."""
    batch, length, channels, states = shape
    elements = batch * length * channels * states
    moved = 4 * batch * length * (3 * channels + 2 * states)
    return {
        "exponentials": elements / rate["exp"],
        "arithmetic": _FLOPS * elements / rate["flop"],
        "memory": moved / rate["byte"],
    }


def peak_memory(kind: str, length: int) -> float:
    """Megabytes that one pass needs in a process of its own, over a short one."""
    run = [sys.executable, __file__, "--memory", kind, str(length)]
    return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def print_memory(kind: str, length: int) -> None:
    torch.set_num_threads(1)
    grown = 0.0
    for n in (64, length):  # the first pass loads and compiles
        given = arguments((1, n, WIDTH, STATES), grad=True)
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
        before = _status("VmRSS")
        if kind == "scan":
            scan(given, "compiled", grad=True)
        else:
            attention(n)()
        grown = _status("VmHWM") - before
    print(grown)


def _status(name: str) -> float:
    """A line of the process's own status, in megabytes."""
    text = Path("/proc/self/status").read_text()
    return float(text.split(f"{name}:")[1].split()[0]) / 1024


def speed(shape: tuple[int, int, int, int], repeats: int) -> float:
    """Table of the three forms; seconds of the compiled forward pass."""
    print(f"(batch, time, channel, state) = {shape}")
    print(f"{'':28s}{'seconds':>10s}{'compiled is faster by':>24s}")
    first = 0.0
    for grad, name in ((False, "forward"), (True, "forward and backward")):
        given = arguments(shape, grad)
        exact = scan(given, "loop", grad)
        assert torch.allclose(scan(given, "compiled", grad), exact, atol=1e-4)
        ours = best(lambda given=given, grad=grad: scan(given, "compiled", grad), repeats)
        print(f"{name + ', compiled':28s}{ours:10.4f}")
        for method in ("chunked", "loop"):
            begin = time.perf_counter()
            scan(given, method, grad)
            taken = time.perf_counter() - begin
            print(f"{name + ', ' + method:28s}{taken:10.3f}{taken / ours:24.0f}")
        first = first or ours
    return first


def growth(lengths: tuple[int, ...], repeats: int) -> None:
    """Exponents of time and memory, scan beside attention."""
    print(
        f"\n{'tokens':>8s}{'scan s':>10s}{'attention s':>13s}{'scan MB':>10s}{'attention MB':>14s}"
    )
    rows = []
    for length in lengths:
        given = arguments((1, length, WIDTH, STATES))
        own = best(lambda given=given: scan(given, "compiled", False), repeats)
        peer = best(attention(length), repeats)
        rows.append([own, peer, peak_memory("scan", length), peak_memory("attention", length)])
        print(f"{length:8d}{own:14.4f}{peer:14.3f}{rows[-1][2]:14.1f}{rows[-1][3]:14.1f}")
    names = ("time of scan", "time of attention", "memory of scan, with gradients")
    for k, name in enumerate(names):
        values = [row[k] for row in rows]
        # short passes fit into memory the process already had
        found = f"{slope(lengths, values):.2f}" if min(values) > 0 else "too small to tell"
        print(f"exponent of {name}: {found}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.memory:
        print_memory(a.memory[0], int(a.memory[1]))
        return
    torch.set_num_threads(a.threads)
    shape = SMALL if a.small else FULL
    taken = speed(shape, a.repeats)
    rate = rates(a.repeats)
    print(
        f"\nmeasured here: {rate['exp'] / 1e9:.2f} G exponentials/s, "
        f"{rate['flop'] / 1e9:.0f} GFLOP/s, {rate['byte'] / 1e9:.1f} GB/s, {a.threads} threads"
    )
    parts = floor(shape, rate)
    for name, seconds in parts.items():
        print(f"floor, {name:14s}{1e3 * seconds:8.2f} ms")
    total = math.fsum(parts.values())
    print(
        f"forward pass: {1e3 * taken:.1f} ms = {100 * taken / max(parts.values()):.0f} % of the "
        f"largest floor, {100 * taken / total:.0f} % of their sum"
    )
    growth(SHORT if a.small else LENGTHS, a.repeats)


if __name__ == "__main__":
    main()
