"""Training steps of EEGFormer: beside bare transformer layers and beside the machine's own limit.

    python benchmarks/eegformer_training.py [--small] [--precision no bf16]

One step is forward, backward and AdamW on random 12 s windows of 19 channels.
The floor is the time that the step's matrix products alone would take at the
rate which this machine reaches, in this run, on products of the same shape.
The peer is ``torch.nn.TransformerEncoder`` with as many layers of the same
widths, trained on ready-made tokens: no spectra, no codes. bfloat16 runs where
the processor has instructions for it; its error is that of the loss and of the
gradient against float32. Each case has a process of its own for its memory;
of several repeats the fastest counts, for steps and products alike.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import neuro

N_CHANS = 19


class Case(NamedTuple):
    """What is measured, and how large."""

    who: str
    precision: str
    preset: str
    windows: int
    repeats: int


class Result(NamedTuple):
    """Seconds of a step, of its products at the measured rate, and memory."""

    step_s: float
    floor_s: float
    gflops_a_step: float
    peak_mb: float


def model_of(case: Case) -> nn.Module:
    return neuro.models.create("eegformer", case.preset, n_chans=N_CHANS)


def windows_of(case: Case) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 20 * torch.randn(case.windows, N_CHANS, 3000, generator=generator)


def eegformer_loss(case: Case) -> tuple[Callable[[], torch.Tensor], nn.Module]:
    model, x = model_of(case), windows_of(case)
    generator = torch.Generator().manual_seed(1)
    return lambda: model.loss(x, generator)["loss"], model


def layers_loss(case: Case) -> tuple[Callable[[], torch.Tensor], nn.Module]:
    config = model_of(case).config
    layer = nn.TransformerEncoderLayer(
        config.d_model,
        config.n_heads,
        int(config.mlp_ratio * config.d_model),
        dropout=config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    depth = config.depth + config.decoder_depth
    model = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
    tokens = torch.randn(case.windows * N_CHANS, config.n_patches, config.d_model)
    return lambda: model(tokens).square().mean(), model


LOSSES = {"eegformer": eegformer_loss, "bare layers": layers_loss}


def products_per_s(case: Case) -> float:
    """Multiplications and additions a second in the products of the feed-forward layers."""
    config = model_of(case).config
    kind = torch.bfloat16 if case.precision == "bf16" else torch.float32
    rows = case.windows * N_CHANS * config.n_patches
    a = torch.randn(rows, config.d_model).to(kind)
    b = torch.randn(config.d_model, int(config.mlp_ratio * config.d_model)).to(kind)
    seconds = []
    for _ in range(2 * case.repeats + 3):
        begin = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - begin)
    return 2 * rows * b.numel() / min(seconds)


def measure(case: Case) -> Result:
    # as the first thing of the process: what importing and building took is not counted
    loss, model = LOSSES[case.who](case)
    optimiser = torch.optim.AdamW(model.parameters())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bf16"):
            value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    peak_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    seconds = []
    for _ in range(case.repeats):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    total = counter.get_total_flops()
    return Result(min(seconds), total / products_per_s(case), total / 1e9, peak_mb)


def bf16_error(case: Case) -> tuple[float, float]:
    """Relative error of the loss and of the whole gradient."""
    found = []
    for precision in ("no", "bf16"):
        loss, model = eegformer_loss(case)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        value.backward()
        slopes = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        found.append((value.item(), torch.cat(slopes)))
    (exact, slope), (rough, other) = found
    return abs(rough - exact) / exact, ((other - slope).norm() / slope.norm()).item()


def has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii") as facts:
            return "avx512_bf16" in facts.read()
    except OSError:
        return False


def run(cases: Sequence[Case]) -> dict[tuple[str, str], Result]:
    found = {}
    for case in cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[case.who, case.precision] = pool.apply(measure, (case,))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", nargs="+", default=["no", "bf16"])
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    n_windows, repeats = (4, 3) if args.small else (args.windows, args.repeats)
    kept = [p for p in args.precision if p == "no" or has_bf16()]
    cases = [Case(who, p, args.preset, n_windows, repeats) for p in kept for who in LOSSES]
    found = run(cases)
    print(f"preset {args.preset}, {n_windows} windows a step, {torch.get_num_threads()} threads")
    print(f"{'':22s} windows/s  of the floor  GFLOP a step  peak MB")
    for (who, precision), r in found.items():
        name = f"{who} {'float32' if precision == 'no' else 'bfloat16'}"
        print(
            f"{name:22s} {n_windows / r.step_s:9.1f}  {r.floor_s / r.step_s:12.2f}  "
            f"{r.gflops_a_step:12.1f}  {r.peak_mb:7.0f}"
        )
    for precision in kept:
        ratio = found["bare layers", precision].step_s / found["eegformer", precision].step_s
        print(f"speed over the bare layers ({precision}): {ratio:.2f}")
    if {"no", "bf16"} <= set(kept):
        ratio = found["eegformer", "no"].step_s / found["eegformer", "bf16"].step_s
        loss, slope = bf16_error(cases[0])
        print(
            f"bfloat16: {ratio:.2f} times as fast; loss off by {loss:.1e}, gradient by {slope:.1e}"
        )


if __name__ == "__main__":
    main()
