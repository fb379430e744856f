"""An hour of EEG as tokens: tfm_tokenizer beside the same network written plainly.

    python benchmarks/tokenising.py [--hours 1] [--chans 16] [--threads 1] [--small]

16 channels at 200 Hz in windows of 10 s through the published size (8,192 codes),
random weights. The plain version goes window by window and channel by channel,
with torch's own convolutions, norms and STFT, as one would write it from the
paper; it is timed on a part of the windows and its code numbers are compared.
The floor is counted: the multiply-adds of every linear map, product and distance
at the rate this machine reaches for products of these very shapes, and the
bytes that each map reads and writes at its copy bandwidth; all in one run.
Where the processor has bfloat16 instructions, the same under autocast, and the
share of code numbers that change.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import neuro.models

SFREQ, LENGTH_S, BATCH = 200, 10, 8


def seconds(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def signal(n_windows: int, n_chans: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_windows, n_chans, SFREQ * LENGTH_S, generator=generator).cumsum(-1)
    return 5 * (x - x.mean(-1, keepdim=True))


# -- the same network, written plainly ---------------------------------------------


class Plain:
    """One channel of one window at a time, from the model's own weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.t = model.tokenizer
        self.window = torch.hann_window(200)
        self.codes = model.codebook

    def stem(self, layers: torch.nn.Module, x: Tensor, stride: int) -> Tensor:
        for k, (linear, norm) in enumerate(zip(layers.maps, layers.norms, strict=True)):
            size, step = (linear.in_features, stride) if k == 0 else (1, 1)
            weight = linear.weight.reshape(linear.out_features, -1, size)
            x = F.gelu(F.conv1d(x, weight, linear.bias, stride=step))
            x = F.group_norm(x, norm.n_groups, norm.weight, norm.bias)
        return x

    def block(self, block: torch.nn.Module, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = (
            part.reshape(n, tokens, 8, 8).transpose(1, 2)
            for part in block.attention.qkv(block.norm_attention(x)).chunk(3, dim=-1)
        )
        q, k = q.softmax(dim=-1) * 8**-0.5, k.softmax(dim=-2)
        mixed = torch.einsum("bhnd,bhde->bhne", q, torch.einsum("bhnd,bhne->bhde", k, v))
        x = x + block.attention.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return x + block.mlp.down(F.gelu(block.mlp.up(block.norm_mlp(x))))

    def channel(self, x: Tensor) -> Tensor:
        t = self.t
        x = x / (torch.quantile(x.abs(), 0.95) + 1e-8)
        spectrum = torch.stft(
            x, 200, 100, window=self.window, center=False, return_complex=True
        ).abs()[:100]
        h = self.stem(t.frequency_stem, spectrum.T[:, None], 5).transpose(1, 2)
        for block in t.frequency_blocks.blocks:
            h = self.block(block, h)
        gate, gather = (
            F.conv1d(
                h.transpose(1, 2),
                m.weight.reshape(8, 5, 64).transpose(1, 2).contiguous(),
                m.bias,
                stride=5,
            )
            for m in (t.gate, t.gather)
        )
        frequency = (torch.sigmoid(gate) * gather).flatten(1)
        temporal = self.stem(t.temporal_stem, x[None, None], 100)[0].T
        h = torch.cat([frequency, temporal], dim=1)[None]
        for block in t.temporal_blocks.blocks:
            h = self.block(block, h)
        z = F.normalize(h[0], dim=-1)
        far = z.square().sum(1, keepdim=True) + self.codes.square().sum(1) - 2 * z @ self.codes.T
        return far.argmin(dim=1)

    def tokenize(self, x: Tensor) -> Tensor:
        return torch.stack([torch.stack([self.channel(c) for c in window]) for window in x])


# -- the floor --------------------------------------------------------------------------


def products(model: torch.nn.Module, n_rows: int) -> list[tuple[str, int, int, int]]:
    """Every matrix product of `n_rows` channels as (what, rows, inner, columns)."""
    t, frames = model.tokenizer, n_rows * model.config.n_tokens
    found = []

    def add(what: str, module: torch.nn.Module, rows: int) -> None:
        for layer in module.modules():
            if isinstance(layer, torch.nn.Linear):
                found.append((what, rows, layer.in_features, layer.out_features))

    add("frequency stem", t.frequency_stem, 20 * frames)
    add("frequency blocks", t.frequency_blocks, 20 * frames)
    add("gather", t.gate, 4 * frames)
    add("gather", t.gather, 4 * frames)
    add("temporal stem", t.temporal_stem, frames)
    add("temporal blocks", t.temporal_blocks, frames)
    width = model.config.d_model // model.config.n_heads
    for stack, rows in ((t.frequency_blocks, 20 * frames), (t.temporal_blocks, frames)):
        # keys with values, then queries with both: as products of width x width
        found += [("attention", 8 * rows, width, width)] * (2 * len(stack.blocks))
    found.append(("nearest code", frames, model.config.d_model, model.config.n_codes))
    return found


def rate_of(rows: int, inner: int, columns: int) -> float:
    """Multiply-adds a second x 2 for a product as tall as a chunk of the tokenizer."""
    rows = min(rows, 5120)
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    out = torch.empty(rows, columns)
    torch.mm(a, b, out=out)
    return 2 * rows * inner * columns / seconds(lambda: torch.mm(a, b, out=out), 9)


def floor(model: torch.nn.Module, n_rows: int) -> tuple[float, float]:
    """Seconds at the best rate and at that of the shapes in use."""
    a = torch.randn(2048, 2048)
    best = 2 * 2048**3 / seconds(lambda: a @ a, 5)
    big = torch.zeros(2**26)
    copy = torch.empty_like(big)
    bandwidth = 2 * 4 * big.numel() / seconds(lambda: copy.copy_(big), 5)
    print(
        f"\nthis machine: {best / 1e9:.0f} GFLOP/s (2048 x 2048), {bandwidth / 1e9:.1f} GB/s copy"
    )
    totals: dict[str, list[float]] = {}
    rates: dict[tuple[int, int, int], float] = {}
    for what, rows, inner, columns in products(model, n_rows):
        shape = (min(rows, 5120), inner, columns)
        rates[shape] = rates.get(shape) or rate_of(*shape)
        flops, moved = 2 * rows * inner * columns, 4 * rows * (inner + columns)
        if what == "nearest code":  # distances are looked at once and never kept
            moved = 4 * rows * inner
        entry = totals.setdefault(what, [0.0, 0.0, 0.0, 0.0])
        for k, v in enumerate((flops, flops / best, flops / rates[shape], moved / bandwidth)):
            entry[k] += v
    print(f"{'':18s}{'GFLOP':>8s}{'s, best rate':>14s}{'s, own shape':>14s}{'s, bytes':>10s}")
    for what, (flops, fast, own, bytes_s) in totals.items():
        print(f"{what:18s}{flops / 1e9:8.1f}{fast:14.2f}{own:14.2f}{bytes_s:10.2f}")
    sums = [sum(entry[k] for entry in totals.values()) for k in range(4)]
    print(f"{'all':18s}{sums[0] / 1e9:8.1f}{sums[1]:14.2f}{sums[2]:14.2f}{sums[3]:10.2f}")
    return sums[1], sums[2]


def has_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    return info.is_file() and "avx512_bf16" in info.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--chans", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="two minutes of four channels")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    hours, chans = (1 / 30, 4) if args.small else (args.hours, args.chans)
    n_windows = max(BATCH, round(hours * 3600 / LENGTH_S))
    model = neuro.models.create("tfm_tokenizer", "paper", n_chans=chans).eval()
    x = signal(n_windows, chans)
    # codes where the data are, as after training: random ones all but coincide
    model.tokenizer.quantiser.init = "sample"
    model.tokenizer.quantiser.ready.fill_(False)
    model.start(x[: max(1, 20_000 // (19 * chans))], torch.Generator().manual_seed(0))

    def ours() -> Tensor:
        return torch.cat([model.tokenize(part).ids for part in x.split(BATCH)])

    part = x[: max(2, n_windows // 60)]
    share = n_windows / len(part)
    plain = Plain(model)
    with torch.inference_mode():
        ids, theirs = ours(), plain.tokenize(part)
        agree = (ids[: len(part)] == theirs).float().mean().item()
        ours_s, plain_s = [], []
        for _ in range(args.repeats):  # in turn, so that both see the same machine
            ours_s.append(seconds(ours, 1))
            plain_s.append(seconds(lambda: plain.tokenize(part), 1) * share)
        a, b = statistics.median(ours_s), statistics.median(plain_s)
        print(f"{hours:g} h x {chans} channels, {n_windows} windows, {args.threads} thread(s)")
        print(f"neuro     {a:8.2f} s")
        print(f"plain     {b:8.2f} s  ({len(part)} windows timed)   neuro {b / a:.2f} x as fast")
        print(f"same code numbers: {100 * agree:.3f} %")
        best_s, own_s = floor(model, n_windows * chans)
        print(f"neuro is at {a / own_s:.2f} x the floor of its own shapes, "
              f"{a / best_s:.2f} x that of the best rate")  # fmt: skip
        rough(model, x, ids, a)


def rough(model: torch.nn.Module, x: Tensor, ids: Tensor, exact_s: float) -> None:
    """bfloat16 in the tokenizer itself; `tokenize` never does that."""
    if not has_bfloat16():
        print("no bfloat16 instructions here: autocast not tried")
        return

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            parts = [model.tokenizer.ids(p.flatten(0, 1))[0] for p in x.split(BATCH)]
        return torch.cat(parts).reshape(ids.shape)

    changed = (run() != ids).float().mean().item()
    took = seconds(run, 1)
    print(f"bfloat16  {took:8.2f} s   {exact_s / took:.2f} x as fast, "
          f"{100 * changed:.1f} % of the code numbers change")  # fmt: skip


if __name__ == "__main__":
    main()
