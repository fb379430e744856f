"""Trains a tokenizer on several processes; test_tfm_tokenizer_processes.py starts it.

Usage: tfm_processes_child.py OUT. Each process writes its code book to OUT/codes-R.safetensors.
"""

import sys
from pathlib import Path

import torch

import neuro.models
from neuro.io.safe import write_tensors
from neuro.train import fit


class Noise:
    """Windows of 4 channels of slow noise."""

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        self.x = 5 * torch.randn(32, 4, 500, generator=rng).cumsum(-1)

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        return self.x[indices]


def main():
    out = Path(sys.argv[1])
    model = neuro.models.create("tfm_tokenizer", "tiny", revive_after=0)
    fit(model, Noise(), steps=3, batch_size=8, stage="tokenizer", device="cpu", out=out / "run",
        progress=False)  # fmt: skip
    quantiser = model.tokenizer.quantiser
    book = {k: getattr(quantiser, k).clone() for k in ("codes", "counts", "sums", "idle")}
    write_tensors(out / f"codes-{torch.distributed.get_rank()}.safetensors", book, {})
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
