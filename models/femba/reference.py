"""Names of the authors' checkpoints in our words.

``pulp-bio/BioFoundation``, class FEMBA: one file holds either the encoder with
the decoder (pretraining) or with a classifier. The montage's order is not in
the file: give ``montage="tcp22_ears_last"`` for weights pretrained on what the builder of
that corpus wrote.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuro.models._reference import ReferenceSource, ReferenceWeights, renamed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SOURCE", "femba_tensors", "name_table"]

SOURCE = ReferenceSource(
    url="https://huggingface.co/thorir/FEMBA",
    licence="CC BY-ND 4.0: changed weights may not be passed on, fine-tuned ones included.",
    corpora=("TUEG",),
)

_NAMES = {
    "pos_embed": "positions",
    "patch_embed.proj.": "patch_embed.",
    "decoder.dec_conv.": "decoder_mix.",
    "decoder.conv_transpose.": "decoder_patch.",
    "classifier.fc1.": "head.reduce.",
    "classifier.mamba_1.": "head.mamba.",
    "classifier.fc3.": "head.linear.",
}
_BLOCK = re.compile(r"(mamba_blocks|norm_layers)\.(\d+)\.")


def name_table(n_blocks: int) -> dict[str, str]:
    """Beginnings of the authors' names to beginnings of ours.

    Examples
    --------
    >>> name_table(1)["mamba_blocks.0.mamba_rev."]
    'blocks.0.back.'
    """
    names = dict(_NAMES)
    for i in range(n_blocks):
        names[f"mamba_blocks.{i}.mamba_fwd."] = f"blocks.{i}.ahead."
        names[f"mamba_blocks.{i}.mamba_rev."] = f"blocks.{i}.back."
        names[f"norm_layers.{i}."] = f"blocks.{i}.norm."
    return names


def femba_tensors(found: "dict[str, Tensor]", given: Mapping[str, Any]) -> ReferenceWeights:
    """Tensors and sizes of a checkpoint.

    Parameters
    ----------
    found : dict of str to Tensor
        The authors' names; loses what is placed.
    given : mapping
        Configuration values of the user; `n_outputs` 0 drops a classifier.

    Returns
    -------
    ReferenceWeights
        Sizes, tensors under our names, and what keeps its initial values.

    Raises
    ------
    KeyError
        If the file holds no FEMBA encoder.
    """
    patch, table = found["patch_embed.proj.weight"], found["pos_embed"]
    first, decoder = found["mamba_blocks.0.mamba_fwd.A_log"], found.get("decoder.dec_conv.weight")
    last = found.get("classifier.fc3.weight")
    numbers = {int(m[2]) for m in map(_BLOCK.match, found) if m}
    config: dict[str, Any] = {
        "n_blocks": len(numbers),
        "d_patch": patch.shape[0],
        "patch_chans": patch.shape[2],
        "patch_times": patch.shape[3],
        "n_chans": table.shape[2] // patch.shape[0] * patch.shape[2],
        "n_times": table.shape[1] * patch.shape[3],
        "expand": first.shape[0] // table.shape[2],
        "d_state": first.shape[1],
        "d_conv": found["mamba_blocks.0.mamba_fwd.conv1d.weight"].shape[2],
    }
    fresh = []
    if decoder is None:
        fresh.append("decoder_")
    else:
        config["decoder_size"] = decoder.shape[-1]
    if last is None:
        fresh.append("head.")
    else:
        # several classes for every channel stand in one long row
        several = config["n_chans"] if given.get("task") == "mmc" else 1
        config["n_outputs"] = last.shape[0] // several
        config["d_head"] = last.shape[1]
        config["head_expand"] = found["classifier.mamba_1.A_log"].shape[0] // last.shape[1]
    if last is not None and given.get("n_outputs") == 0:
        for name in [n for n in found if n.startswith("classifier.")]:
            del found[name]
    tensors = renamed(found, name_table(config["n_blocks"]))
    return ReferenceWeights(config, tensors, tuple(fresh))
