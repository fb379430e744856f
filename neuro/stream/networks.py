"""Features from a network of this package: its embedding, or what its head says."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from neuro.errors import ConfigError, ContractError, FileError, did_you_mean
from neuro.io.safe import sha256_of
from neuro.stream.chain import matched
from neuro.stream.features import Table
from neuro.stream.rules import LinearRule
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.models._base import NetworkModel

__all__ = ["Embedding", "head_rule"]


@dataclass(frozen=True)
class Embedding:
    """What a trained network makes of every window, mean over the windows.

    Parameters
    ----------
    model : NetworkModel
        Trained. Its contract says which channels, rate and length it reads; bring the
        signal there with the chain and the plan.
    output : {"embedding", "prediction"}
        The representation, for a rule trained on it; or what the network's own
        head says, see :func:`head_rule`.

    Examples
    --------
    >>> import neuro
    >>> net = neuro.models.create(
    ...     "patch_mae", preset="tiny", n_chans=2, n_times=100, sfreq=100, ch_names=("C3", "C4")
    ... )
    >>> family = Embedding(net).fitted(["C3", "C4"], 100, 100)
    >>> x = np.random.default_rng(0).standard_normal((2, 100))
    >>> family.combine([family.window(x)]).shape == (1, len(family.table.columns))
    True
    """

    model: "NetworkModel" = field(compare=False)
    output: Literal["embedding", "prediction"] = "embedding"
    identity: str = ""
    n_columns: int = 0

    def __post_init__(self) -> None:
        if self.output not in ("embedding", "prediction"):
            raise ConfigError(
                f"output={self.output!r}. {did_you_mean(self.output, ('embedding', 'prediction'))}"
            )
        if self.output == "prediction" and self.model.head is None:
            raise ConfigError("The network has no head; use output='embedding' and train a rule.")
        self.model.eval()

    def fitted(self, ch_names: Sequence[str], sfreq: float, n_times: int) -> Self:
        """The same family, its contract compared with the windows.

        Raises
        ------
        ContractError
            Other channels, another rate or length, or a unit that is not microvolts.
        """
        contract = self.model.contract
        if float(contract.sfreq) != float(sfreq):
            raise ContractError(
                f"The network reads {float(contract.sfreq):g} Hz, the chain gives {sfreq:g} Hz: "
                f"add Rate({float(contract.sfreq):g})."
            )
        if contract.n_times is not None and contract.n_times != n_times:
            raise ContractError(
                f"The network reads windows of {contract.n_times} samples, the plan's have "
                f"{n_times}: set length_s={contract.n_times / float(contract.sfreq):g}."
            )
        if contract.ch_names is not None:
            found = matched(ch_names, contract.ch_names)
            if found != list(ch_names):
                raise ContractError(
                    f"The network reads the channels {', '.join(contract.ch_names)} in this order: "
                    "add Pick((…)) with these names."
                )
        if contract.scaling != "none" or contract.highpass or contract.lowpass:
            raise ContractError(
                "The network's contract filters or scales whole recordings, which a live stream "
                "does not have. Train it on causally filtered, unscaled signals."
            )
        ready = replace(self, n_columns=1)
        return replace(self, n_columns=len(ready.window(np.zeros((len(ch_names), n_times)))))

    def window(self, x: FloatArray) -> FloatArray:
        """Output of the network for one window, (n_columns,)."""
        import torch

        if not self.n_columns:
            raise ConfigError("Call fitted(ch_names, sfreq, n_times) first.")
        with torch.inference_mode():
            out = self.model(torch.from_numpy(x.astype(np.float32))[None])
        found: Any = out.embedding if self.output == "embedding" else out.prediction
        return np.asarray(found[0].double().numpy())

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        """Mean over windows, (1, n_columns)."""
        return np.asarray(np.mean(parts, axis=0))[None]

    @property
    def table(self) -> Table:
        """One row, a column a component."""
        return Table((self.output,), tuple(float(i) for i in range(self.n_columns)), "")

    def to_json(self) -> dict[str, Any]:
        """Plain values; the network itself is saved apart, see :meth:`save`."""
        return {"family": "embedding", "output": self.output, "identity": self.identity}

    def save(self, folder: Path) -> Self:
        """Keep the network in a folder of networks, under its own hash.

        Returns
        -------
        Embedding
            The same, knowing its identity.
        """
        import shutil
        import tempfile

        folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".net.", dir=folder))
        try:
            self.model.save(fresh / "model")
            identity = _hash(fresh / "model")
            if not (folder / identity).exists():
                (fresh / "model").rename(folder / identity)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return replace(self, identity=identity)

    @classmethod
    def load(cls, folder: Path, *, output: str, identity: str) -> Self:
        """The family whose network :meth:`save` kept.

        Raises
        ------
        FileError
            If it is not there, or was changed.
        """
        import neuro

        path = folder / identity
        if not identity.isalnum() or len(identity) > 64 or not path.is_dir():
            raise FileError(f"The network {identity[:20]!r} is not among those that were saved.")
        if _hash(path) != identity:
            raise FileError(f"The network {identity!r} was changed after it was saved.")
        model: Any = neuro.models.load(path)
        kind: Any = output
        return cls(model, kind, identity)


def _hash(folder: Path) -> str:
    """Of the weights and what else decides the numbers; not of when it was saved."""
    import hashlib

    from neuro.io.safe import read_json

    card = read_json(folder / "model.json")
    parts = [sha256_of(folder / "weights.safetensors")]
    parts += [repr(sorted(card[key].items())) for key in ("config", "contract") if key in card]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def head_rule(classes: Sequence[str]) -> LinearRule:
    """The rule that takes a network's own logits as they are.

    Parameters
    ----------
    classes : sequence of str
        In the order of the network's outputs.

    Returns
    -------
    LinearRule

    Examples
    --------
    >>> head_rule(["left", "right"]).probabilities(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    n = len(classes)
    weights = np.array([[-1.0, 1.0]]) if n == 2 else np.eye(n)
    return LinearRule(tuple(classes), weights, np.zeros(len(weights)))
