"""A network of this package as other libraries want one: tensor in, numbers out."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from neuro.errors import ConfigError
from neuro.models._base import NetworkModel
from neuro.models._registry import create
from neuro.typing import PathLike

__all__ = ["PlainModule"]


class PlainModule(nn.Module):
    """A network whose forward takes a tensor and returns its prediction.

    This is what plain training loops, skorch and braindecode's `EEGClassifier`
    expect. Its arguments carry the names that braindecode gives to its own
    networks, so that `EEGClassifier` fills them in from the data.

    Parameters
    ----------
    model : str or NetworkModel
        Registry name; or a network with a head, as it is, and then nothing else.
    n_chans, n_times, n_outputs : int
        Size of a window, and classes or values to predict.
    sfreq : float
        Hz.
    chs_info : sequence of mapping, optional
        Channels as MNE's ``info["chs"]``.
    preset : str
        As for :func:`neuro.models.create`.
    weights : path, optional
        Saved network of the same shape, for instance a pretrained one, to start
        from; the head starts anew.
    seed : int
        Of all that is random.
    **config
        Further fields of the model's configuration.

    Raises
    ------
    ConfigError
        If something needed is missing or does not fit.

    Examples
    --------
    >>> import torch
    >>> module = PlainModule("patch_mae", 4, 128, 2, sfreq=128, preset="tiny")
    >>> module(torch.randn(3, 4, 128)).shape
    torch.Size([3, 2])
    """

    network: NetworkModel

    def __init__(
        self,
        model: str | NetworkModel = "patch_mae",
        n_chans: int | None = None,
        n_times: int | None = None,
        n_outputs: int | None = None,
        sfreq: float | None = None,
        chs_info: Sequence[Mapping[str, Any]] | None = None,
        *,
        preset: str = "default",
        weights: PathLike | None = None,
        seed: int = 0,
        **config: Any,
    ) -> None:
        super().__init__()
        sizes = {"n_chans": n_chans, "n_times": n_times, "n_outputs": n_outputs, "sfreq": sfreq}
        if isinstance(model, NetworkModel):
            self.network = model
        else:
            missing = [k for k, v in sizes.items() if v is None]
            if chs_info is not None and "n_chans" in missing:
                missing.remove("n_chans")
            if missing:
                raise ConfigError(
                    f"{model} needs {', '.join(missing)}: no default would fit every recording. "
                    f"In skorch and braindecode: module__{missing[0]}=..."
                )
            given = {k: v for k, v in sizes.items() if v is not None} | config
            self.network = create(model, preset, chs_info=chs_info, seed=seed, **given)
        if not self.network.config.n_outputs:
            raise ConfigError(f"{self.network.name} has no head: create it with n_outputs=...")
        if weights is not None:
            self.network.load_weights(weights, keep=("head.",))

    def forward(self, x: Tensor) -> Tensor:
        """Prediction for windows.

        The first training batch sets the scale of a network that keeps one
        and was not given it, as in this package's own training.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            In the unit that the network reads, microvolts for EEG.

        Returns
        -------
        Tensor, shape (batch, n_outputs)
            Logits of classes, or values.
        """
        x = x.float()
        scaling = getattr(self.network, "scaling", None)
        if self.training and not bool(getattr(scaling, "known", True)):
            getattr(self.network, "fit_scale")(x)  # noqa: B009 - not every network has one
        prediction = self.network(x).prediction
        assert isinstance(prediction, Tensor)  # there is a head
        return prediction
