"""Names of published weights in our words.

Two kinds of file are read: LaBraM's, of which NeuroBOLT's training starts and
which holds its first branch alone; and a whole NeuroBOLT.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from neuro.models._reference import ReferenceWeights, renamed
from neuro.models.labram.reference import count, encoder_config, encoder_tensors, head_tensors

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["neurobolt_tensors"]

_SPECTRAL = "mss_module."
_LAYERS = f"{_SPECTRAL}transformer.layers.layers."
# Constants that are made anew.
_CONSTANT = (f"{_SPECTRAL}index", f"{_SPECTRAL}positional_encoding.")
_LAYER = {
    "0.norm.": "norm_attention.",
    "0.fn.to_out.": "attention.out.",
    "1.norm.": "norm_mlp.",
    "1.fn.fn.w1.": "mlp.up.",
    "1.fn.fn.w2.": "mlp.down.",
}


def neurobolt_tensors(found: "dict[str, Tensor]", given: Mapping[str, Any]) -> ReferenceWeights:
    """Tensors and sizes of a checkpoint of NeuroBOLT, or of LaBraM.

    Parameters
    ----------
    found : dict of str to Tensor
        The authors' names; loses what is placed or of no use.
    given : mapping
        Configuration values of the user. With another `n_outputs` than the
        file's head has, the head starts anew; the head of a LaBraM always.

    Returns
    -------
    ReferenceWeights
        Sizes, tensors under our names, and what keeps its initial values.

    Raises
    ------
    KeyError
        If the file holds no LaBraM encoder.
    """
    config = encoder_config(found)
    fresh = ["encoder.own_rows", "spectral.steps"]
    whole = any(name.startswith(_SPECTRAL) for name in found)
    if whole:
        head_config, head = head_tensors(found, given)
        sizes, spectral = _spectral_tensors(found)
        config |= sizes | head_config
    else:
        head, spectral = {}, {}
        for name in [k for k in found if k.startswith("head.")]:
            del found[name]
        fresh.append("spectral.")
    tensors = encoder_tensors(found, "encoder.") | spectral | head
    fresh += [] if "encoder.norm.weight" in tensors else ["encoder.norm."]
    fresh += [] if head else ["head."]
    return ReferenceWeights(config, tensors, tuple(fresh))


def _spectral_tensors(
    found: "dict[str, Tensor]",
) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Sizes and tensors of the spectral branch, out of `found`."""
    for name in [k for k in found if k.startswith(_CONSTANT)]:
        del found[name]
    sizes = {
        "n_chans": found[f"{_SPECTRAL}channel_tokens.weight"].shape[0],
        "n_levels": count(found, f"{_SPECTRAL}patch_embedding."),
        "spectral_depth": count(found, _LAYERS),
    }
    table = {f"{_SPECTRAL}channel_tokens.weight": "spectral.channels"}
    for level in range(sizes["n_levels"]):
        table[f"{_SPECTRAL}patch_embedding.{level}.projection."] = f"spectral.frequencies.{level}."
        table[f"{_SPECTRAL}ts_embedding.{level}.projection."] = f"spectral.windows.{level}."
    tensors = {}
    for i in range(sizes["spectral_depth"]):
        block = f"spectral.transformer.blocks.{i}."
        parts = [found.pop(f"{_LAYERS}{i}.0.fn.to_{part}.weight") for part in "qkv"]
        tensors[f"{block}attention.qkv.weight"] = torch.cat(parts)
        table |= {f"{_LAYERS}{i}.{old}": f"{block}{new}" for old, new in _LAYER.items()}
    return sizes, tensors | renamed(found, table)
