"""Losses beyond the usual ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError

__all__ = ["EarlyLearning"]

# probabilities stay this far from 0 and 1, as in the method's own code
_CLAMP = 1e-4


class EarlyLearning(nn.Module):
    """Cross-entropy that does not learn wrong labels by heart.

    Networks fit correct labels first and wrong ones later. A memory keeps a
    running mean of what the network said about every example; a second term
    pulls the prediction towards it and cancels the push of a label that the
    network never believed: ``CE + lam mean log(1 - <t, p>)``, with ``t <- beta
    t + (1 - beta) p`` (Liu et al., arXiv 2007.00151, equations 6 and 9).

    The learning rate must be low enough for an early phase to exist: at a
    rate where labels are learned by heart at once the term gains nothing.

    Parameters
    ----------
    n_examples, n_classes : int
        Size of the memory. It is a buffer, so that a checkpoint keeps it.
    beta : float
        Decay of the memory; 0.7 as published for ten classes.
    lam : float
        Weight of the second term; 3 as published for ten classes. Far too
        large a weight makes all predictions one class.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Examples
    --------
    >>> import torch
    >>> loss = EarlyLearning(n_examples=4, n_classes=2)
    >>> logits = torch.zeros(2, 2)
    >>> value = loss(logits, torch.tensor([0, 1]), index=torch.tensor([0, 3]))
    >>> loss.memory[:, 0].tolist()
    [0.15000000596046448, 0.0, 0.0, 0.15000000596046448]
    """

    memory: Tensor

    def __init__(
        self, n_examples: int, n_classes: int, *, beta: float = 0.7, lam: float = 3.0
    ) -> None:
        super().__init__()
        if n_examples < 1 or n_classes < 2:
            raise ConfigError(
                f"A memory of {n_examples} examples and {n_classes} classes is not possible; use "
                "at least 1 and 2."
            )
        if not 0 <= beta < 1 or not 0 <= lam < float("inf"):
            raise ConfigError(f"beta={beta}, lam={lam}: use 0 <= beta < 1 and lam >= 0.")
        self.beta = beta
        self.lam = lam
        self.register_buffer("memory", torch.zeros(n_examples, n_classes))

    def forward(self, logits: Tensor, target: Tensor, index: Tensor) -> Tensor:
        """Mean loss; in training mode the memory of these examples moves on first.

        Parameters
        ----------
        logits : Tensor, shape (batch, n_classes)
            Of the network.
        target : Tensor, shape (batch,), int64
            Labels as given, right or wrong.
        index : Tensor, shape (batch,), int64
            Which example each is, from 0 to ``n_examples - 1``: the same in
            every epoch, whatever the order and augmentation.

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        DataError
            If an index lies outside the memory.
        """
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= len(self.memory)):
            raise DataError(
                f"Example {int(index.max())} lies outside a memory of {len(self.memory)}; number "
                "the training examples from 0."
            )
        p = logits.softmax(dim=1).clamp(_CLAMP, 1 - _CLAMP)
        if self.training:
            said = p.detach() / p.detach().sum(dim=1, keepdim=True)
            self.memory[index] = self.beta * self.memory[index] + (1 - self.beta) * said
        agreement = (self.memory[index] * p).sum(dim=1)
        return F.cross_entropy(logits, target) + self.lam * (1 - agreement).log().mean()
