"""Fine-tuning as a contender: all weights, the head alone, or low-rank changes."""

import copy
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, did_you_mean
from neuro.evaluate.task import Task
from neuro.typing import AnyArray, FloatArray, IntArray, PathLike

if TYPE_CHECKING:
    from torch import Tensor, nn

    from neuro.data import Batch

__all__ = ["FineTune", "FineTuned", "Rows"]

Mode = Literal["full", "head", "lora"]
# peak learning rates; our defaults. A head or a change that starts at zero
# learns faster than weights that already hold something.
_LR: dict[str, float] = {"full": 3e-4, "head": 3e-3, "lora": 3e-3}
_BATCH = 64
# expected counts stay below e**5 = 148 times the mean; only what diverged comes near
_MOST_LOG = 5.0
# one training at a time: torch has one stream of random numbers for all threads
_LOCK = threading.Lock()


@dataclass(frozen=True)
class FineTune:
    """How a network is trained on the labels of each fold, as `probe=` of `evaluate`.

    A linear head is put on the embedding and trained by
    :func:`neuro.train.fit` on the fold's training part; nothing is chosen on
    the test part, and the number of steps is fixed in advance.

    Parameters
    ----------
    mode : {"full", "head", "lora"}
        All weights; the new head alone; or the head and low-rank changes of
        the frozen weights (:mod:`neuro.nn.lowrank`).
    steps, batch_size : int
        Of the training; our defaults.
    lr : float, optional
        Peak learning rate; by default 3e-4 (full) or 3e-3.
    weight_decay : float
        As in :func:`neuro.train.fit`.
    rank : int
        Of the low-rank changes.
    device : {"auto", "cpu"}
        Where to train.

    Raises
    ------
    ConfigError
        If the mode is unknown or a number is not positive.

    Examples
    --------
    >>> FineTune("lora", steps=100).lr
    0.003
    """

    mode: Mode = "full"
    steps: int = 200
    batch_size: int = 32
    lr: float | None = None
    weight_decay: float = 0.05
    rank: int = 4
    device: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(f"No mode {self.mode!r}. {did_you_mean(self.mode, get_args(Mode))}")
        if self.steps < 1 or self.batch_size < 1 or self.rank < 1:
            raise ConfigError("steps, batch_size and rank must be at least 1.")
        if self.lr is None:
            object.__setattr__(self, "lr", _LR[self.mode])


@dataclass(frozen=True, eq=False)
class Rows:
    """In place of features: the windows' own numbers, and the network to be trained.

    Parameters
    ----------
    network : nn.Module
        Copied before it is trained.
    """

    network: "nn.Module"

    def of_windows(self, windows: Windows) -> FloatArray:
        """Number of each window, (n, 1)."""
        return np.arange(len(windows), dtype=np.float64)[:, None]


def on_changed(network: "nn.Module", change: "Callable[[Batch], Batch]") -> "nn.Module":
    """The network as it would see changed batches; its weights are shared.

    Parameters
    ----------
    network : nn.Module
        Its forward takes a Batch.
    change : callable(Batch) -> Batch
        Applied first.

    Returns
    -------
    nn.Module
    """
    from torch import nn

    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, batch: "Batch") -> Any:
            return self.inner(change(batch))

    return Changed()


class FineTuned:
    """Estimator whose features are numbers of windows.

    Parameters
    ----------
    task : Task
        What is predicted.
    how : FineTune
        Settings.
    seed : int
        Draws the head, the order of examples and dropout.
    """

    def __init__(self, task: Task, how: FineTune, seed: int = 0) -> None:
        self.task, self.how, self.seed = task, how, seed

    def bind(self, rows: Rows, windows: Windows) -> Self:
        """Say which network and which windows the numbers belong to."""
        self._network, self._windows = rows.network, windows
        return self

    def fit(self, x: FloatArray, y: AnyArray) -> Self:
        """Train on the windows whose numbers are given."""
        import torch

        from neuro.train import fit

        rows = x[:, 0].astype(np.int64)
        target = self._encoded(y)
        source = _Labelled(self._windows, rows, target)
        with _LOCK, tempfile.TemporaryDirectory() as folder:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                tuned = _headed(self._network, self._windows, rows, target.shape[1:], self)
            fit(
                tuned,
                source,
                steps=self.how.steps,
                out=Path(folder) / "run",
                batch_size=min(self.how.batch_size, len(rows)),
                lr=self.how.lr or _LR[self.how.mode],
                weight_decay=self.how.weight_decay,
                stage=None if self.how.mode == "full" else "tune",
                checkpoint_every=self.how.steps,
                seed=self.seed,
                progress=False,
                device=self.how.device,
            )
        self._tuned = tuned.eval()
        return self

    # ---- targets -------------------------------------------------------------

    def _encoded(self, y: AnyArray) -> FloatArray:
        """Numbers the head is to say: class or labels as they are, values scaled."""
        if self.task.classified:
            return np.asarray(y, dtype=np.float32)
        if self.task.kind == "circular":
            phase = np.asarray(y) * 2 * np.pi / self.task.period
            return np.stack([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)
        flat = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if self.task.kind == "counts":  # the head says the logarithm of count over mean count
            self._mean = np.maximum(flat.mean(0), 0.5 / len(flat))
            return np.asarray(flat.astype(np.float32))
        sd = flat.std(0)
        self._mean, self._sd = flat.mean(0), np.where(sd > 0, sd, 1.0)
        return np.asarray(((flat - self._mean) / self._sd).astype(np.float32))

    def n_head(self, shape: tuple[int, ...]) -> int:
        """Outputs of the head."""
        return self.task.n_classes if self.task.kind == "classification" else int(np.prod(shape))

    def loss(self, said: "Tensor", target: "Tensor") -> "Tensor":
        """Cross-entropy of classes or labels, squared error of numbers, Poisson of counts."""
        import torch
        from torch.nn import functional as F

        if self.task.kind == "classification":
            return F.cross_entropy(said, target.long())
        if self.task.kind == "multilabel":
            return F.binary_cross_entropy_with_logits(said, target)
        if self.task.kind == "counts":
            mean = torch.as_tensor(self._mean, dtype=said.dtype, device=said.device)
            return F.poisson_nll_loss(said + mean.log(), target)
        return F.mse_loss(said, target)

    # ---- predictions -----------------------------------------------------------

    def _said(self, x: FloatArray) -> FloatArray:
        import torch

        rows = x[:, 0].astype(np.int64)
        device = next(self._tuned.parameters()).device
        with torch.no_grad():
            parts = [
                self._tuned(self._windows.batch(rows[a : a + _BATCH]).to(device)).double().cpu()
                for a in range(0, len(rows), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy())

    def decision_function(self, x: FloatArray) -> FloatArray:
        """Output of the head, (n, n_classes)."""
        if not self.task.classified:
            raise AttributeError("values have no score")
        return self._said(x)

    def predict(self, x: FloatArray) -> AnyArray:
        """Class, labels, values, angle or expected counts of each window."""
        said = self._said(x)
        if self.task.kind == "classification":
            return np.asarray(said.argmax(1))
        if self.task.kind == "multilabel":
            return np.asarray((said > 0).astype(np.int64))
        if self.task.kind == "circular":
            return self.task.wrapped(
                np.arctan2(said[:, 1], said[:, 0]) * self.task.period / (2 * np.pi)
            )
        if self.task.kind == "counts":
            return np.asarray(np.exp(np.minimum(said, _MOST_LOG)) * self._mean)
        return np.asarray(said * self._sd + self._mean)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Windows with the targets of this fit, which a control may have shuffled."""

    windows: Windows
    rows: IntArray
    target: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Any) -> "Batch":
        """Batch of the chosen training windows."""
        import torch

        at = np.asarray(indices)
        batch = self.windows.batch(self.rows[at])
        return replace(batch, target=torch.from_numpy(self.target[at]), target_mask=None)


def _headed(
    network: "nn.Module",
    windows: Windows,
    rows: IntArray,
    shape: tuple[int, ...],
    estimator: FineTuned,
) -> Any:
    """A copy of the network with a new head, as the training loop takes it."""
    import torch
    from torch import Tensor, nn

    from neuro.io.safe import read_tensors, write_tensors
    from neuro.nn.heads import LinearHead
    from neuro.nn.lowrank import LowRank, add_low_rank
    from neuro.train import Stage

    class Tuned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(network).eval()
            device = next((p.device for p in network.parameters()), torch.device("cpu"))
            with torch.no_grad():
                width = self.embedding(windows.batch(rows[:1]).to(device)).shape[1]
            for p in self.network.parameters():
                p.requires_grad_(True)
            if estimator.how.mode == "lora":
                add_low_rank(self.network, estimator.how.rank)
            self.head = LinearHead(width, estimator.n_head(shape)).to(device)

        def embedding(self, batch: "Batch") -> Tensor:
            out = self.network(batch)
            vector: Tensor = getattr(out, "embedding", out)
            return vector.flatten(1).float()

        def forward(self, batch: "Batch") -> Tensor:
            out: Tensor = self.head(self.embedding(batch))
            return out

        def loss(self, batch: "Batch", generator: torch.Generator) -> dict[str, Tensor]:
            assert batch.target is not None  # _Labelled puts it there
            return {"loss": estimator.loss(self(batch), batch.target)}

        def stages(self) -> dict[str, Stage]:
            changes = [m for m in self.modules() if isinstance(m, LowRank)]
            return {"tune": Stage((self.head, *changes))}

        def save(self, folder: PathLike) -> None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
            write_tensors(Path(folder) / "weights.safetensors", state, {})

        def load_weights(self, folder: PathLike) -> Self:
            self.load_state_dict(read_tensors(Path(folder) / "weights.safetensors")[0])
            return self

    return Tuned()
