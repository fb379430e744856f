"""Trains on several processes; started by torchrun from test_processes.py.

Usage: processes_child.py OUT. Each process writes what it saw to OUT/rank-R.json
and OUT/NAME-R.safetensors.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from train_toys import Autoencoder, Rows

from neuro.errors import ConfigError
from neuro.io.safe import write_tensors
from neuro.train import Callback, Run, fit
from neuro.train.checkpoint import whole


class Gradients(Callback):
    """Keeps the gradients of the first step, as the optimiser gets them."""

    def __init__(self):
        self.first = {}

    def on_gradients(self, state):
        if not self.first:
            named = state.model.named_parameters()
            self.first = {n: whole(p.grad).clone() for n, p in named if p.grad is not None}


class StopAt(Callback):
    """One process asks to stop; all must."""

    def __init__(self, rank):
        self.rank = rank

    def on_step(self, state):
        if state.step == 7 and torch.distributed.get_rank() == self.rank:
            state.stop = "enough"


class Terminate(Callback):
    """One process is told to end; all must."""

    def on_step(self, state):
        if state.step == 4 and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


class Partial(Autoencoder):
    """Has a layer that no loss uses, as a prediction head during pretraining."""

    every_parameter_used = False

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(2, 1)


def main():
    out = Path(sys.argv[1])
    seen = {}
    common = {"steps": 12, "batch_size": 8, "lr": 0.01, "log_every": 1, "device": "cpu"}
    for name, extra in (
        ("ddp", {}),
        ("parts", {"accumulate": 2}),
        ("shard", {"shard": True}),
        ("shard-parts", {"shard": True, "accumulate": 2}),
    ):
        model, spy = Autoencoder(), Gradients()
        run = fit(
            model, Rows(), Rows(21, seed=3), out=out / name, callbacks=[spy], **common, **extra
        )
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        write_tensors(out / f"{name}-{rank}.safetensors", dict(model.state_dict()), {})
        write_tensors(out / f"{name}-gradients-{rank}.safetensors", spy.first, {})
        seen[name] = {
            "valid": run.metrics()[-2]["valid_loss"],
            "backend": torch.distributed.get_backend(),
        }
    seen |= {"rank": rank, "world": world}

    # shortened and resumed: as good as in one go, under sharding too
    constant = {**common, "schedule": "constant", "warmup": 0}
    for name, extra in (("ddp", {}), ("shard", {"shard": True})):
        for steps in (5, 12):
            model = Autoencoder(hide=0.5, dropout=0.3)
            fit(model, Rows(), out=out / f"{name}-resumed", **{**constant, "steps": steps}, **extra)
        straight = Autoencoder(hide=0.5, dropout=0.3)
        fit(straight, Rows(), out=out / f"{name}-straight", **constant, **extra)
        a, b = model.state_dict(), straight.state_dict()
        seen[f"{name} resumed"] = all(torch.equal(a[k], b[k]) for k in a)

    fit(Partial(), Rows(), out=out / "partial", **common)
    stopped = fit(Autoencoder(), Rows(), out=out / "stop", callbacks=[StopAt(1)], **common)
    seen["stopped at"] = stopped.step
    try:
        fit(Autoencoder(), Rows(), out=out / "terminated", callbacks=[Terminate()], **common)
    except SystemExit as end:
        seen["terminated"] = [end.code, Run(out / "terminated").step]
    try:
        fit(Autoencoder(), Rows(), out=out / "differ", **{**common, "lr": 0.01 * (1 + rank)})
    except ConfigError as error:
        seen["disagreement"] = str(error)
    (out / f"rank-{rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
