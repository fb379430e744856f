"""FEMBA's head: one more Mamba, narrower and in one direction, and a mean."""

from torch import Tensor, nn
from torch.nn import functional as F

from neuro.models.femba.config import FEMBAConfig
from neuro.nn.heads import masked_mean
from neuro.nn.mamba import Mamba

__all__ = ["MambaHead"]


class MambaHead(nn.Module):
    """Linear, GELU, Mamba, mean over tokens, linear.

    Parameters
    ----------
    config : FEMBAConfig
        With `n_outputs`.
    """

    def __init__(self, config: FEMBAConfig) -> None:
        super().__init__()
        # a table of classes for every channel, or one answer a window
        self.n_rows = config.n_chans if config.task == "mmc" else None
        width = config.n_outputs * (self.n_rows or 1)
        self.reduce = nn.Linear(config.d_model, config.d_head)
        self.mamba = Mamba(
            config.d_head, expand=config.head_expand, d_state=config.d_state, d_conv=config.d_conv
        )
        self.linear = nn.Linear(config.d_head, width)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Answer.

        Parameters
        ----------
        tokens : Tensor, shape (batch, n_tokens, d_model)
            Of the encoder.
        valid : Tensor, shape (batch, n_tokens), bool, optional
            False where a token is padding.

        Returns
        -------
        Tensor, shape (batch, n_outputs), or (batch, n_chans, n_outputs) for task "mmc"
            Logits.
        """
        mixed = self.mamba(F.gelu(self.reduce(tokens)), valid)
        out: Tensor = self.linear(masked_mean(mixed, valid))
        return out if self.n_rows is None else out.reshape(out.shape[0], self.n_rows, -1)
