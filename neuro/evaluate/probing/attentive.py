"""A probe that reads tokens: one learned query, then a linear map."""

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.evaluate.probing.probes import inner_folds
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["AttentiveProbe"]

# Our defaults: a few hundred steps of AdamW settle a probe of this size.
_STEPS, _EVERY, _BATCH, _LR, _DECAY = 300, 20, 64, 1e-3, 0.05
# torch keeps one stream of random numbers for all threads
_LOCK = threading.Lock()


class AttentiveProbe:
    """Attention pooling of frozen tokens and a linear map, trained in every fold.

    Tokens are scaled by the training part's mean and deviation. When to stop
    is judged on a quarter of the training units (the smallest loss), then all
    of them are trained for as many steps. A token of zeros is padding.

    Parameters
    ----------
    n_classes : int
        Number of classes; 0 for values.
    seed : int
        Deals the inner folds, draws weights and batches.

    Attributes
    ----------
    steps_ : int
        After how many steps training stopped.
    """

    takes_groups = True

    def __init__(self, n_classes: int = 0, seed: int = 0) -> None:
        self.n_classes, self.seed = n_classes, seed

    def fit(self, x: FloatArray, y: AnyArray, groups: AnyArray | None = None) -> "AttentiveProbe":
        """Train on tokens.

        Parameters
        ----------
        x : ndarray, shape (n, n_tokens, d)
            Tokens.
        y : ndarray, shape (n, ...)
            Class number, or values.
        groups : ndarray, shape (n,), optional
            Units that the inner part must not divide.
        """
        import torch

        if x.ndim != 3:
            raise DataError(f"An attentive probe reads (n, n_tokens, d), not {x.shape}.")
        self._scale(x, y)
        tokens, target = self._tokens(x), self._target(y)
        fold = inner_folds(np.arange(len(y)) if groups is None else groups, y, 4, self.seed)
        held = torch.from_numpy(fold == 0)
        self.steps_ = _STEPS
        with _LOCK, torch.random.fork_rng(devices=[]):
            if fold.max() > 0 and self._all_kinds(y[fold > 0], y):
                losses = self._trained(tokens[~held], target[~held], _STEPS, (tokens, target, held))
                self.steps_ = _EVERY * (1 + int(np.argmin(losses)))
            self._trained(tokens, target, self.steps_, None)
        return self

    def _all_kinds(self, part: AnyArray, y: AnyArray) -> bool:
        return not self.n_classes or len(np.unique(part)) == len(np.unique(y))

    def _scale(self, x: FloatArray, y: AnyArray) -> None:
        there = np.abs(x).sum(2) > 0
        seen = x[there] if there.any() else x.reshape(-1, x.shape[2])
        self._mean, sd = seen.mean(0), seen.std(0)
        self._sd = np.where(sd > 1e-6 * max(float(sd.max()), 1e-30), sd, np.inf)
        self._shape = y.shape[1:]
        flat = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        sd = flat.std(0)
        self._y_mean, self._y_sd = flat.mean(0), np.where(sd > 0, sd, 1.0)

    def _tokens(self, x: FloatArray) -> "Tensor":
        import torch

        there = (np.abs(x).sum(2) > 0)[:, :, None]
        scaled = np.where(there, (x - self._mean) / self._sd, 0.0)
        return torch.from_numpy(scaled.astype(np.float32))

    def _target(self, y: AnyArray) -> "Tensor":
        import torch

        if self.n_classes:
            return torch.from_numpy(np.asarray(y, dtype=np.int64))
        flat = (np.asarray(y, dtype=np.float64).reshape(len(y), -1) - self._y_mean) / self._y_sd
        return torch.from_numpy(flat.astype(np.float32))

    def _loss(self, said: "Tensor", target: "Tensor") -> "Tensor":
        from torch.nn import functional as F

        return F.cross_entropy(said, target) if self.n_classes else F.mse_loss(said, target)

    def _trained(
        self, x: "Tensor", y: "Tensor", steps: int, watched: "tuple[Tensor, ...] | None"
    ) -> list[float]:
        """Train from new weights; losses on the held part every few steps."""
        import torch

        torch.manual_seed(self.seed)
        n_out = self.n_classes or y.shape[1]
        self._net = _network(x.shape[2], n_out)
        rng = np.random.default_rng(self.seed)
        rate = torch.optim.AdamW(self._net.parameters(), lr=_LR, weight_decay=_DECAY)
        losses = []
        for step in range(steps):
            rows = torch.from_numpy(rng.choice(len(x), min(_BATCH, len(x)), replace=False))
            rate.zero_grad()
            self._loss(self._said(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
            rate.step()
            if watched is not None and (step + 1) % _EVERY == 0:
                tokens, target, held = watched
                with torch.no_grad():
                    losses.append(float(self._loss(self._said(tokens[held]), target[held])))
        return losses

    def _said(self, x: "Tensor") -> "Tensor":
        out: Tensor = self._net[1](self._net[0](x, (x != 0).any(dim=2)))
        return out

    def _predicted(self, x: FloatArray) -> "Tensor":
        import torch

        with torch.no_grad():
            parts = [self._said(self._tokens(x[a : a + 256])) for a in range(0, len(x), 256)]
            return torch.cat(parts)

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Probability of each class, (n, n_classes)."""
        if not self.n_classes:
            raise AttributeError("values have no probability")
        return np.asarray(self._predicted(x).double().softmax(1).numpy())

    def predict(self, x: FloatArray) -> AnyArray:
        """Most likely class, or values in the shape fitted on."""
        said = self._predicted(x).double().numpy()
        if self.n_classes:
            return np.asarray(said.argmax(1))
        return np.asarray((said * self._y_sd + self._y_mean).reshape(len(said), *self._shape))


def _network(d: int, n_out: int) -> "Any | nn.ModuleList":
    """Pooling with as many heads as divide the width, and a linear map."""
    from torch import nn

    from neuro.nn.heads import AttentivePooling, LinearHead

    heads = next(h for h in (4, 2, 1) if d % h == 0)
    return nn.ModuleList([AttentivePooling(d, heads), LinearHead(d, n_out)])
