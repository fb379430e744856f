"""What a masked model must not see of its input: the pairs that the leak audit checks."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["BlindSpot"]


class BlindSpot(NamedTuple):
    """A reconstruction and the samples it was made without.

    A masked model whose ``reconstruct`` returns no grid of patches has a method
    ``blind_spots(batch, generator)`` that returns a list of these, one for each
    thing it hides. No other number at the hidden samples may change the
    reconstruction by a single bit, and its gradient there is exactly zero.

    Attributes
    ----------
    what : str
        For the message, "nodes of the window before" for instance.
    prediction : Tensor
        Of any shape.
    hidden : Tensor, shape (batch, n_chans, n_times), bool
        Samples that `prediction` must not depend on.
    """

    what: str
    prediction: Tensor
    hidden: Tensor
