"""Trains in forked processes that are killed, then once to the end.

Usage: kill_child.py OUT EVERY STEPS INSIDE KILLS. One run, in OUT/inside, is
killed inside its first checkpoint after step INSIDE; another, in OUT/random,
is killed KILLS times at random. Prints one JSON line a killed process: run,
newest complete checkpoint, last step logged, half-written folders.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import accelerate.utils  # noqa: F401 - loaded once, before the forks
import torch._dynamo
import torch.utils.data  # noqa: F401
from train_toys import Autoencoder, Rows

from neuro.train import Run, fit
from neuro.train import checkpoint as ckpt


class Slow(Autoencoder):
    """Tells its parent of every step; saves slowly, or at one step never ends."""

    pipe, pause_s, stuck_after, steps_done = -1, 0.0, None, 0

    def on_step(self, step, total):
        self.steps_done = step + 1
        os.write(self.pipe, b"s")

    def save(self, folder):
        super().save(folder)
        time.sleep(self.pause_s)
        if self.stuck_after is not None and self.steps_done > self.stuck_after:
            os.write(self.pipe, b"S")
            time.sleep(3600)


def fork(out, every, steps, pause_s=0.0, stuck_after=None):
    """A training process and the pipe it writes one byte a step to."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    model = Slow(hide=0.4, dropout=0.3)
    model.pipe, model.pause_s, model.stuck_after = writer, pause_s, stuck_after
    options = {"batch_size": 8, "log_every": 1, "checkpoint_every": every, "device": "cpu"}
    try:
        fit(model, Rows(), steps=steps, out=out, **options)
        os._exit(0)
    finally:
        os._exit(1)


def kill(child, reader, out):
    """Kill a training process and print what it left."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    newest, lines = ckpt.latest(out / "checkpoints"), Run(out).metrics()
    left = {
        "run": out.name,
        "checkpoint": newest[0] if newest else 0,
        "logged": lines[-1]["step"] if lines else 0,
        "partial": len(list((out / "checkpoints").glob(".partial-*"))),
    }
    print(json.dumps(left), flush=True)


def finish(out, every, steps):
    """Resume a killed run and wait for its end."""
    child, _ = fork(out, every, steps)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"The resumed run in {out.name} failed.")


def main():
    out = Path(sys.argv[1])
    every, steps, inside, kills = map(int, sys.argv[2:])
    child, reader = fork(out / "inside", every, steps, stuck_after=inside)
    while os.read(reader, 1) != b"S":
        pass
    kill(child, reader, out / "inside")
    finish(out / "inside", every, steps)

    chance = random.Random(0)
    for _ in range(kills):
        child, reader = fork(out / "random", every, steps, pause_s=0.02)
        for _ in range(chance.randint(1, 3 * every)):
            os.read(reader, 1)
        time.sleep(chance.uniform(0.0, 0.05))
        kill(child, reader, out / "random")
    finish(out / "random", every, steps)


if __name__ == "__main__":
    main()
