"""Encoder and decoder: one hidden layer each, and a linear map beside it if wanted."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from neuro.errors import FileError
from neuro.typing import FloatArray

__all__ = ["Autoencoder", "Output", "flat", "filled"]

Output = Literal["vector", "lowrank", "corr"]


class Autoencoder(nn.Module):
    """Deterministic codes of rows, and rows of codes and demographics.

    Rows are in the data's own unit; inside they are centred and divided by one number.
    Layers are made in the public package's order, so that equal seeds give equal weights.

    Parameters
    ----------
    n_features, n_latents, n_columns, hidden : int
        Sizes; columns are those of the demographics, 0 for none.
    linear_path : bool
        A linear map beside each hidden layer.
    output : {"vector", "lowrank", "corr"}
        What the decoder's numbers are; see
        :class:`neuro.models.demovae.DemoVAEConfig`.
    n_rois, rank : int
        Shape of the factor where the output is a matrix.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        n_features: int,
        n_latents: int,
        n_columns: int,
        hidden: int,
        *,
        linear_path: bool = False,
        output: Output = "vector",
        n_rois: int = 0,
        rank: int = 0,
    ) -> None:
        super().__init__()
        self.output, self.n_rois, self.rank = output, n_rois, rank
        n_out = n_features if output == "vector" else n_rois * rank
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))
        self.enc1 = nn.Linear(n_features, hidden)
        self.enc2 = nn.Linear(hidden, n_latents)
        self.dec1 = nn.Linear(n_latents + n_columns, hidden)
        self.dec2 = nn.Linear(hidden, n_out)
        self.enc_linear = nn.Linear(n_features, n_latents) if linear_path else None
        self.dec_linear = nn.Linear(n_latents + n_columns, n_out) if linear_path else None

    def encode(self, x: Tensor) -> Tensor:
        """Codes of rows, (n, n_latents)."""
        x = (x - self.centre) / self.scale
        z: Tensor = self.enc2(F.relu(self.enc1(x)))
        return z if self.enc_linear is None else z + self.enc_linear(x)

    def decode(self, z: Tensor, demo: Tensor) -> Tensor:
        """Rows of codes and encoded demographics, (n, n_features)."""
        both = torch.cat([z, demo], dim=1)
        y: Tensor = self.dec2(F.relu(self.dec1(both)))
        if self.dec_linear is not None:
            y = y + self.dec_linear(both)
        if self.output == "vector":
            return y * self.scale + self.centre
        factor = y.reshape(len(y), self.n_rois, self.rank)
        if self.output == "corr":
            factor = F.normalize(factor, dim=2)
        rows, columns = torch.triu_indices(self.n_rois, self.n_rois, 1)
        return (factor @ factor.mT)[:, rows, columns]


def flat(network: Autoencoder) -> FloatArray:
    """All weights behind one another, (n_parameters,)."""
    return parameters_to_vector(network.parameters()).detach().numpy().copy()


def filled(network: Autoencoder, weights: FloatArray) -> Autoencoder:
    """A network without memory of its own (made on device "meta"), filled by `flat` weights.

    Parameters
    ----------
    network : Autoencoder
        Only its sizes count.
    weights : float32 array, shape (n_parameters,)
        Its memory is shared.

    Returns
    -------
    Autoencoder
        The same, ready for inference.

    Raises
    ------
    FileError
        If the numbers of weights differ.
    """
    shapes = [p.shape for p in network.parameters()]
    sizes = [shape.numel() for shape in shapes]
    if sum(sizes) != len(weights):
        raise FileError(f"{len(weights)} weights do not fit the model, which has {sum(sizes)}.")
    parts = torch.split_with_sizes(torch.from_numpy(np.asarray(weights)), sizes)
    keys = [key for key, _ in network.named_parameters()]
    state = {k: part.reshape(shape) for k, part, shape in zip(keys, parts, shapes, strict=True)}
    network.load_state_dict(state, strict=False, assign=True)
    return network.requires_grad_(False)
