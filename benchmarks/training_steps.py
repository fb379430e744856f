"""Training steps of the EEG encoders beside what their matrix products alone would take.

    OMP_NUM_THREADS=2 python benchmarks/training_steps.py [--only femba] [--small]

One step is forward, backward and AdamW on random windows of the system's own
preset; tfm_tokenizer in both of its stages. Every matrix product of a step is
noted with shape and strides and then timed alone, in the same process: the sum
is the floor, and "of the floor" says how much of the step it makes up. Products
inside fused attention, and convolutions, are counted and taken at the best of
these rates; femba's scan is no product and stands in the step alone (its own
limit is in selective_scan.py). The peer of eegformer is
``torch.nn.TransformerEncoder`` with as many layers of the same widths, trained
on ready-made tokens: no spectra, no codes. bfloat16 runs where the processor has
instructions for it; its error is that of the loss and of the whole gradient
against float32. Each case has a process of its own for its memory; of several
repeats the fastest counts, for steps and products alike.
"""

import argparse
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import neuro

# name -> model, stage, windows a step
SYSTEMS = {
    "patch_mae": ("patch_mae", "", 64),
    "eegformer": ("eegformer", "", 64),
    "eegformer, bare layers": ("eegformer", "bare", 64),
    "tfm_tokenizer, tokenizer": ("tfm_tokenizer", "tokenizer", 8),
    "tfm_tokenizer, pretrain": ("tfm_tokenizer", "pretrain", 8),
    "femba": ("femba", "", 32),
}
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
Shapes = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype], ...]


class Case(NamedTuple):
    """What is measured, and how large."""

    name: str
    precision: str
    preset: str
    windows: int
    repeats: int


class Result(NamedTuple):
    """Of one step."""

    step_s: float
    floor_s: float  # all products at their own rates
    best_floor_s: float  # all at the best rate among them
    gflop: float
    peak_mb: float
    n_tokens: int  # of all windows
    value: float
    gradient: Tensor


# -- what is trained --------------------------------------------------------------


def learner(case: Case) -> tuple[Callable[[], Tensor], nn.Module, int]:
    """Loss of a step, what has its parameters, and tokens of the batch."""
    name, stage, _ = SYSTEMS[case.name]
    model = neuro.models.create(name, case.preset)
    config = model.config
    rng = torch.Generator().manual_seed(0)
    x = 20 * torch.randn(case.windows, config.n_chans, config.n_times, generator=rng)
    if hasattr(model, "start"):
        model.start(x)  # a code book that starts in the first step is not what a step costs
    with torch.no_grad():
        n_tokens = case.windows * model.eval().encode(x[:1])[1].shape[1]
    model.train()
    if stage == "bare":
        return (*bare_layers(config, n_tokens), n_tokens)
    loss, parts = model.loss, model
    if stage:
        found = model.stages()[stage]
        loss, parts = getattr(model, found.loss), nn.ModuleList(found.train)
    draws = torch.Generator().manual_seed(1)
    return lambda: loss(x, draws)["loss"], parts, n_tokens


def bare_layers(config: Any, n_tokens: int) -> tuple[Callable[[], Tensor], nn.Module]:
    """Transformer layers of EEGFormer's sizes on tokens that are there already."""
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
    tokens = torch.randn(n_tokens // config.n_patches, config.n_patches, config.d_model)
    return lambda: model(tokens).square().mean(), model


# -- the floor --------------------------------------------------------------------


class Noted(TorchDispatchMode):
    """Notes every matrix product by operation, shapes and strides."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, Shapes]] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            # of addmm and baddbmm the first is what is added: no part of the work
            pair = args[-2:] if name in ("mm", "bmm") else args[1:3]
            of = tuple((tuple(a.shape), tuple(a.stride()), a.dtype) for a in pair)
            self.found["mm" if name.endswith("mm") and len(of[0][0]) == 2 else "bmm", of] += 1
        return func(*args, **(kwargs or {}))


def flop_of(shapes: Shapes) -> int:
    (a, _, _), (b, _, _) = shapes
    batch = a[0] if len(a) == 3 else 1
    return 2 * batch * a[-2] * a[-1] * b[-1]


def fastest(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def alone(kind: str, shapes: Shapes, repeats: int) -> float:
    """Seconds of one product on its own."""
    a, b = (torch.empty_strided(size, stride, dtype=of).normal_() for size, stride, of in shapes)
    function = getattr(torch, kind)
    out = function(a, b)
    return fastest(lambda: function(a, b, out=out), repeats + 2)


def floors(
    noted: Counter[tuple[str, Shapes]], total_flop: float, repeats: int
) -> tuple[float, float]:
    """Seconds of all products, each at its own rate and all at the best one."""
    own, flop, best = 0.0, 0, 0.0
    for (kind, shapes), times in noted.items():
        seconds = alone(kind, shapes, repeats)
        own += times * seconds
        flop += times * flop_of(shapes)
        best = max(best, flop_of(shapes) / seconds)
    return own + max(0.0, total_flop - flop) / best, total_flop / best


# -- measuring --------------------------------------------------------------------


def measure(case: Case) -> Result:
    # as the first thing of the process: what importing and building took is not counted
    torch.manual_seed(0)
    loss, parts, n_tokens = learner(case)
    parameters = [p for p in parts.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters)

    def step() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bf16"):
            value = loss()
        optimiser.zero_grad()
        value.backward()
        return value

    def whole_step() -> None:
        step()
        optimiser.step()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.manual_seed(2)
    value = step().item()
    gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    optimiser.step()
    peak_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counter, noted = FlopCounterMode(display=False), Noted()
    with counter, noted:
        step()
    seconds = fastest(whole_step, case.repeats)
    flop = counter.get_total_flops()
    own, best = floors(noted.found, flop, case.repeats)
    return Result(seconds, own, best, flop / 1e9, peak_mb, n_tokens, value, gradient)


def has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii") as facts:
            return "avx512_bf16" in facts.read()
    except OSError:
        return False


def in_a_process(case: Case) -> Result:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (case,))


def shown(case: Case, r: Result) -> None:
    name = f"{case.name} {'float32' if case.precision == 'no' else 'bfloat16'}"
    print(
        f"{name:35s} {case.windows:4d} {case.windows / r.step_s:10.1f} "
        f"{r.n_tokens / r.step_s:10.0f} {r.gflop:11.3g} {r.floor_s / r.step_s:13.2f} "
        f"{r.best_floor_s / r.step_s:9.2f} {r.peak_mb:8.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--windows", type=int, help="a step, of every system")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=sorted({m for m, _, _ in SYSTEMS.values()}))
    parser.add_argument("--precision", nargs="+", default=["no", "bf16"], choices=["no", "bf16"])
    parser.add_argument("--small", action="store_true", help="preset tiny, 4 windows")
    args = parser.parse_args()
    preset, repeats = ("tiny", 3) if args.small else (args.preset, args.repeats)
    kept = [p for p in args.precision if p == "no" or has_bf16()]
    print(f"preset {preset}, {torch.get_num_threads()} threads")
    print(f"{'':35s} {'wins':>4s} {'windows/s':>10s} {'tokens/s':>10s} {'GFLOP/step':>11s} "
          f"{'of the floor':>13s} {'best rate':>9s} {'peak MB':>8s}")  # fmt: skip
    found: dict[tuple[str, str], Result] = {}
    for name, (model, _, usual) in SYSTEMS.items():
        if args.only and model not in args.only:
            continue
        for precision in kept:
            windows = 4 if args.small else args.windows or usual
            case = Case(name, precision, preset, windows, repeats)
            found[name, precision] = in_a_process(case)
            shown(case, found[name, precision])
    for precision in kept:
        if ("eegformer", precision) in found:
            ratio = found["eegformer, bare layers", precision].step_s
            ratio /= found["eegformer", precision].step_s
            print(f"eegformer over the bare layers ({precision}): {ratio:.2f} times as fast")
    for name, precision in found:
        if precision == "bf16" and (name, "no") in found:
            exact, rough = found[name, "no"], found[name, "bf16"]
            off = (rough.gradient - exact.gradient).norm() / exact.gradient.norm()
            wrong = abs(rough.value / exact.value - 1)
            print(f"{name} in bfloat16: {exact.step_s / rough.step_s:.2f} times as fast; "
                  f"loss off by {wrong:.1e}, gradient by {off:.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
