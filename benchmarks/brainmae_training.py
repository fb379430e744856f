"""Training steps of brainmae: windows a second, memory, and the share of the GEMM rate.

    OMP_NUM_THREADS=2 python benchmarks/brainmae_training.py [--regions 100 400] [--small]

Windows of 600 volumes of 0.72 s (29 segments), 8 a step in the default and 2 in the paper
size: loss, gradients, AdamW step. Beside it, as the peer, the same network whose static
graph is written as one would from the paper: softmax over a masked (n, n) table of scores
for every segment of every window, instead of one table a batch. Multiply-adds of the
linear maps and attention products are counted and compared with the rate that this
machine reaches for a square product in the same run.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

import neuro.models
from neuro.models.brainmae.graph import RegionGraph

N_TIMES, BATCH = 600, {"default": 8, "paper": 2}  # windows a step


class PlainGraph(nn.Module):
    """The weights of a `RegionGraph`, read one segment at a time as in a formula."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def forward(self, x, rois, keys=None):
        g, (batch, n, d_model) = self.graph, x.shape
        width = d_model // g.n_heads

        def heads(values):
            return values.reshape(batch, -1, g.n_heads, width).transpose(1, 2)

        many = rois.expand(batch, -1, -1)
        scores = heads(g.query(many)) @ heads(g.key(many)).transpose(2, 3) * width**-0.5
        hidden = torch.eye(n, dtype=torch.bool)[None]
        if keys is not None:
            hidden = hidden | ~keys[:, None]
        alpha = scores.masked_fill(hidden[:, None], -torch.inf).softmax(dim=-1)
        mixed = (alpha @ heads(g.value(x))).transpose(1, 2).reshape(batch, n, d_model)
        return g.out(mixed)


def multiply_adds(model, batch):
    """Of one forward pass: linear maps by hooks, products of the graph by hand."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        total += output.numel() * layer.in_features

    def mix(layer, inputs, output):
        nonlocal total
        total += inputs[0].numel() * inputs[0].shape[1]

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Linear)]
    hooks += [m.register_forward_hook(mix) for m in model.modules() if isinstance(m, RegionGraph)]
    with torch.no_grad():
        model.loss(batch, torch.Generator().manual_seed(0))
    for hook in hooks:
        hook.remove()
    return total


def step_seconds(model, x, repeats):
    optimiser = torch.optim.AdamW(model.param_groups(1e-3), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        model.loss(x, generator)["loss"].backward()
        optimiser.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def gemm_rate():
    a = torch.randn(2048, 2048)
    out = torch.empty_like(a)
    torch.mm(a, a, out=out)
    began = time.perf_counter()
    for _ in range(5):
        torch.mm(a, a, out=out)
    return 2 * 2048**3 * 5 / (time.perf_counter() - began)


def measure(preset, n_regions, repeats, plain):
    """In a process of its own, so that the peak of the memory is this one's."""
    batch = BATCH[preset] if repeats > 1 else 2
    model = neuro.models.create("brainmae", preset, n_chans=n_regions, n_times=N_TIMES).train()
    x = torch.randn(batch, n_regions, N_TIMES, generator=torch.Generator().manual_seed(0))
    model.fit_scale(x)
    work = 6 * multiply_adds(model, x)  # forward once, backward twice, two operations each
    if plain:
        for block in model.regions.blocks:
            block.graph = PlainGraph(block.graph)
    seconds = step_seconds(model, x, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    share = work / seconds / gemm_rate()
    name = f"{preset}{' (plain graph)' if plain else ''}"
    print(f"{name:22s}{n_regions:5d} regions  {batch / seconds:8.2f} windows/s"
          f"  {seconds:7.2f} s/step  peak {peak:.2f} GB  {work / batch / 1e9:7.1f} GFLOP/window"
          f"  {100 * share:3.0f} % of the GEMM rate", flush=True)  # fmt: skip
    print(f"#{seconds}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--presets", nargs="+", default=["default", "paper"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="two windows, one step")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one[0], int(args.one[1]), args.repeats, args.one[2] == "plain")
        return
    repeats = 1 if args.small else args.repeats
    for preset in args.presets[: 1 if args.small else None]:
        for n_regions in args.regions:
            took = []
            for kind in ("own", "plain"):
                done = subprocess.run(
                    [sys.executable, __file__, "--repeats", str(repeats), "--one", preset,
                     str(n_regions), kind], check=True, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip
                took.append(float(done.stderr.rpartition("#")[2]))
            print(f"{'':22s}neuro {took[1] / took[0]:.2f} x as fast as the plain graph", flush=True)


if __name__ == "__main__":
    main()
