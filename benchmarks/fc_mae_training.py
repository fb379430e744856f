"""Steps and epochs of fc_mae at 100 and 400 regions, with the memory they need.

    python benchmarks/fc_mae_training.py [--rois 100 400] [--threads 2] [--small]

Scans of 600 samples; preset "paper" for fine-tuning (184 windows of 50 samples, batches
of 3 scans as published), "default" (60 s windows every 10 s, 2 s a sample) for
pretraining with batches of 8. Each part runs in a process of its own, whose peak memory
counts. Beside fine-tuning: the same layers with one graph after the other, which is
what a loop over windows costs.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch

import neuro.models
from neuro.data import Batch

N_TIMES, EPOCH_SCANS = 600, 100


def batch_of(model: torch.nn.Module, n: int) -> Batch:
    c = model.config
    x = torch.randn(n, c.n_chans, N_TIMES, generator=torch.Generator().manual_seed(0))
    return Batch(
        x=x,
        sfreq=float(model.contract.sfreq),
        ch_names=tuple(f"r{i}" for i in range(c.n_chans)),
        channel_mask=torch.ones(n, c.n_chans, dtype=torch.bool),
        time_mask=torch.ones(n, N_TIMES, dtype=torch.bool),
        positions=torch.full((n, c.n_chans, 3), float("nan")),
        start_s=torch.zeros(n, dtype=torch.float64),
        index=torch.arange(n),
        unit="z",
        modality="bold",
        target=(torch.arange(n) % 2).float(),
    )


def step_s(model: torch.nn.Module, stage: str, batch: Batch, repeats: int) -> float:
    part = model.stages()[stage]
    optimiser = torch.optim.Adam(part.parameters())
    loss = getattr(model, part.loss)
    times = []
    for k in range(repeats + 1):
        began = time.perf_counter()
        optimiser.zero_grad()
        loss(batch, torch.Generator().manual_seed(k))["loss"].backward()
        optimiser.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def loop_s(model: torch.nn.Module, batch: Batch) -> float:
    """Graph layers of one scan, window by window: forward and backward."""
    starts = model._starts(N_TIMES, batch.x.device)
    states = model._states(batch.x, starts)
    began = time.perf_counter()
    for k in range(len(starts)):
        here = None if states is None else states[:1, k : k + 1].detach()
        found = model._graph_codes(batch.x[:1], None, starts[k : k + 1], None, here)
        found.windows.sum().backward()
    return time.perf_counter() - began


def part(stage: str, n_rois: int, threads: int, repeats: int) -> None:
    torch.set_num_threads(threads)
    fine = stage == "finetune"
    sizes = {"n_chans": n_rois, "n_times": N_TIMES, "n_outputs": 2}
    model = neuro.models.create("fc_mae", "paper" if fine else "default", **sizes).train()
    batch = batch_of(model, 3 if fine else 8)
    took = step_s(model, stage, batch, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    epoch = took * EPOCH_SCANS / len(batch)
    line = f"{n_rois:5d} {stage:9s} step {took:8.2f} s   epoch of {EPOCH_SCANS} {epoch:8.1f} s"
    line += f"   peak {peak:5.2f} GiB"
    if fine:
        once, looped = step_s(model, stage, batch_of(model, 1), 1), loop_s(model, batch)
        line += f"   one scan {once:6.2f} s, window by window {looped:6.2f} s"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rois", type=int, nargs="*", default=[100, 400])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stage", choices=["pretrain", "finetune"], help="this part alone")
    parser.add_argument("--small", action="store_true", help="20 regions, one step")
    args = parser.parse_args()
    if args.small:
        args.rois, args.repeats = [20], 1
    for n_rois in args.rois:
        if args.stage:
            part(args.stage, n_rois, args.threads, args.repeats)
            continue
        for stage in ("pretrain", "finetune"):
            options = [f"--rois={n_rois}", f"--threads={args.threads}", f"--repeats={args.repeats}"]
            subprocess.run([sys.executable, __file__, *options, f"--stage={stage}"], check=True)


if __name__ == "__main__":
    main()
