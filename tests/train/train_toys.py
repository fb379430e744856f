"""A linear autoencoder and arrays that stand in for networks and Windows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from neuro.io.safe import read_tensors, write_json, write_tensors
from neuro.train import Stage


@dataclass(frozen=True)
class ToyConfig:
    n_in: int = 6
    n_hidden: int = 2
    hide: float = 0.0  # share of inputs the loss hides, drawn from its generator
    dropout: float = 0.0  # drawn from the global stream


class Autoencoder(nn.Module):
    name = "toy"
    every_parameter_used = True

    def __init__(self, seed=0, **config):
        super().__init__()
        self.config = ToyConfig(**config)
        self.contract = {"modality": "eeg"}
        self.provenance = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Linear(self.config.n_in, self.config.n_hidden)
            self.decoder = nn.Linear(self.config.n_hidden, self.config.n_in)
        self.drop = nn.Dropout(self.config.dropout)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def loss(self, batch, generator):
        x = getattr(batch, "x", batch)
        x = x.flatten(1) if x.ndim > 2 else x
        keep = torch.rand(x.shape, generator=generator, device=generator.device) >= self.config.hide
        y = self.decoder(self.drop(self.encoder(x * keep.to(x))))
        if self.training:
            self.seen += len(x)
        error = ((y - x) ** 2).mean()
        return {"loss": error, "kept": keep.float().mean()}

    def decoder_loss(self, batch, generator):
        return {"loss": self.loss(batch, generator)["loss"] + self.decoder.bias.square().sum()}

    def stages(self):
        return {"decoder": Stage((self.decoder,), "decoder_loss")}

    def save(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True)
        write_tensors(folder / "weights.safetensors", dict(self.state_dict()), {})
        write_json(folder / "model.json", {"provenance": self.provenance})

    def load_weights(self, folder):
        self.load_state_dict(read_tensors(Path(folder) / "weights.safetensors")[0])
        return self


class Rows:
    """Examples of an array with two strong directions and weak noise."""

    def __init__(self, n=50, n_in=6, seed=0):
        rng = np.random.default_rng(seed)
        hidden = rng.standard_normal((n, 2))
        x = hidden @ rng.standard_normal((2, n_in)) + 0.1 * rng.standard_normal((n, n_in))
        self.x = torch.from_numpy(x.astype(np.float32))

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        return self.x[torch.as_tensor(indices)]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def moments(run):
    return read_tensors(run.last() / "optimizer.safetensors")[0]


def same_bits(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)
