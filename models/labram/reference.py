"""Names of LaBraM's published weights in our words.

The authors' pretraining file holds the encoder under ``student.``, together
with a mask token, a last norm and maps to codes, none of which a fine-tuned
model has; a fine-tuned file holds the encoder alone, and its head.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuro.models._reference import ReferenceSource, ReferenceWeights, renamed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SOURCE", "encoder_config", "encoder_tensors", "head_tensors", "labram_tensors"]

SOURCE = ReferenceSource(
    url="https://github.com/935963004/LaBraM",
    licence="MIT, as the repository that holds them.",
)

_STUDENT = "student."
# In the pretraining file, and of no use without its objective.
_PRETRAINING = ("mask_token", "norm.", "lm_head.", "projection_head.")
_NAMES = {
    "cls_token": "class_token",
    "pos_embed": "electrodes",
    "time_embed": "seconds",
    "patch_embed.": "patches.",
    "fc_norm.": "norm.",
}
_BLOCK = {
    "norm1.": "norm_attention.",
    "attn.qkv.": "attention.qkv.",
    "attn.q_norm.": "attention.query_norm.",
    "attn.k_norm.": "attention.key_norm.",
    "attn.proj.": "attention.out.",
    "gamma_1": "scale_attention",
    "norm2.": "norm_mlp.",
    "mlp.fc1.": "mlp.up.",
    "mlp.fc2.": "mlp.down.",
    "gamma_2": "scale_mlp",
}


def count(found: "Mapping[str, Tensor]", before: str) -> int:
    """One more than the highest number behind a beginning of names."""
    numbers = [int(k[len(before) :].split(".")[0]) for k in found if k.startswith(before)]
    return 1 + max(numbers, default=-1)


def encoder_config(found: "dict[str, Tensor]") -> dict[str, Any]:
    """Sizes of the encoder; wrappers and what belongs to pretraining leave `found`.

    Raises
    ------
    KeyError
        If the file holds no LaBraM encoder.
    """
    if any(k.startswith(_STUDENT) for k in found):
        for name in list(found):
            value = found.pop(name)
            if name.startswith(_STUDENT):
                found[name.removeprefix(_STUDENT)] = value
    for name in [k for k in found if k.startswith(_PRETRAINING)]:
        del found[name]
    first, up = found["patch_embed.conv1.weight"], found["blocks.0.mlp.fc1.weight"]
    return {
        "depth": count(found, "blocks."),
        "n_features": first.shape[0],
        "n_heads": up.shape[1] // found["blocks.0.attn.q_norm.weight"].shape[0],
        "mlp_ratio": up.shape[0] / up.shape[1],
        "time_rows": found["time_embed"].shape[1],
    }


def encoder_tensors(found: "dict[str, Tensor]", under: str) -> "dict[str, Tensor]":
    """Take the encoder out of `found`, its names behind `under`."""
    table = {old: f"{under}{new}" for old, new in _NAMES.items()}
    for i in range(count(found, "blocks.")):
        table |= {f"blocks.{i}.{old}": f"{under}blocks.{i}.{new}" for old, new in _BLOCK.items()}
    tensors = renamed(found, table)
    for name in ("class_token", "electrodes", "seconds"):
        tensors[under + name] = tensors[under + name].squeeze(0)
    tensors[f"{under}class_token"] = tensors[f"{under}class_token"].squeeze(0)
    return tensors


def head_tensors(
    found: "dict[str, Tensor]", given: Mapping[str, Any]
) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Configuration and tensors of a head; one of another size than asked for is dropped."""
    weight = found.get("head.weight")
    if weight is None:
        return {}, {}
    if given.get("n_outputs", weight.shape[0]) != weight.shape[0]:
        del found["head.weight"], found["head.bias"]
        return {}, {}
    return {"n_outputs": weight.shape[0]}, renamed(found, {"head.": "head.linear."})


def labram_tensors(found: "dict[str, Tensor]", given: Mapping[str, Any]) -> ReferenceWeights:
    """Tensors and sizes of a checkpoint.

    Parameters
    ----------
    found : dict of str to Tensor
        The authors' names; loses what is placed or of no use.
    given : mapping
        Configuration values of the user. With another `n_outputs` than the
        file's head has, the head starts anew.

    Returns
    -------
    ReferenceWeights
        Sizes, tensors under our names, and what keeps its initial values: rows
        of channels that are no known electrodes, the last norm of a pretraining
        file, a new head.

    Raises
    ------
    KeyError
        If the file holds no LaBraM encoder.
    """
    config = encoder_config(found)
    head_config, head = head_tensors(found, given)
    tensors = encoder_tensors(found, "encoder.") | head
    fresh = ["encoder.own_rows"]
    fresh += [] if "encoder.norm.weight" in tensors else ["encoder.norm."]
    fresh += [] if head else ["head."]
    return ReferenceWeights(config | head_config, tensors, tuple(fresh))
