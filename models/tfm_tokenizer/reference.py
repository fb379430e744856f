"""Names of the original's tensors (github.com/Jathurshan0330/TFM-Tokenizer) and ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neuro.models._reference import ReferenceWeights, renamed

__all__ = ["our_tensors"]

_PLAIN = {
    "decoder.0.": "tokenizer.to_hidden.",
    "decoder.2.": "tokenizer.to_spectrum.",
    "quantizer.embedding.weight": "tokenizer.quantiser.codes",
    "quantizer.cluster_size": "tokenizer.quantiser.counts",
    "quantizer.ema_w": "tokenizer.quantiser.sums",
}
_STACKS = {
    "trans_freq_encoder.transformer.": "tokenizer.frequency_blocks.",
    "trans_temporal_encoder.transformer.": "tokenizer.temporal_blocks.",
    "trans_decoder.transformer.": "tokenizer.decoder_blocks.",
}
_BLOCK = {
    "0.norm.": "norm_attention.",
    "0.fn.to_out.": "attention.out.",
    "1.norm.": "norm_mlp.",
    "1.fn.fn.w1.": "mlp.up.",
    "1.fn.fn.w2.": "mlp.down.",
}


def our_tensors(found: dict[str, Tensor], given: Mapping[str, Any]) -> ReferenceWeights:
    """Turn the original's tensors into ours.

    Parameters
    ----------
    found : dict of str to Tensor
        Either the tokenizer's names alone, or names with the part in front:
        ``tokenizer.``, and ``encoder.`` or ``encoder_mtp.`` for an encoder with
        a head for classes or for masked tokens. Loses what is placed.
    given : mapping of str to object
        Configuration values that the user passed.

    Returns
    -------
    ReferenceWeights
        Configuration by the shapes, tensors by our names, what stays initial.
    """
    parts = {p: _taken(found, f"{p}.") for p in ("tokenizer", "encoder", "encoder_mtp")}
    if not any(parts.values()):  # the tokenizer's file alone
        parts["tokenizer"] = _taken(found, "")
    tokenizer, encoder = parts["tokenizer"], parts["encoder"] or parts["encoder_mtp"]
    config = _sizes(tokenizer)
    tensors = _tokenizer(tokenizer)
    if encoder:
        config["n_chans"] = len(encoder["channel_embed.weight"])
        config["encoder_depth"] = _depth(encoder, "LAT.")
        tensors |= _encoder(encoder, tensors["tokenizer.quantiser.codes"])
    for part in (parts["encoder"], parts["encoder_mtp"]):
        rows = len(part.get("classification_head.weight", ()))
        ours = "to_codes." if rows == config["n_codes"] else "head.linear."
        tensors |= renamed(part, {"classification_head.": ours})
    if "head.linear.weight" in tensors:
        config |= {"n_outputs": len(tensors["head.linear.weight"]), "pool": "cls"}
    for name, part in parts.items():  # what nobody asked for is told to the user
        found.update({f"{name}.{key}": value for key, value in part.items()})
    optional = ("encoder.", "to_codes.", "head.")
    fresh = tuple(p for p in optional if not any(name.startswith(p) for name in tensors))
    return ReferenceWeights(config, tensors, fresh)


def _taken(found: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return renamed(found, {prefix: ""})


def _sizes(part: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration that the tokenizer's shapes tell."""
    frequency = part["freq_patch_embedding.0.weight"].shape
    return {
        "d_model": frequency[0],
        "freq_patch": frequency[2],
        "frame_times": part["temporal_patch_embedding.0.weight"].shape[2],
        "n_freqs": len(part["decoder.2.weight"]),
        "n_codes": len(part["quantizer.embedding.weight"]),
        "frequency_depth": _depth(part, "trans_freq_encoder."),
        "temporal_depth": _depth(part, "trans_temporal_encoder."),
        "decoder_depth": _depth(part, "trans_decoder."),
    }


def _depth(part: Mapping[str, Tensor], stack: str) -> int:
    name = re.compile(re.escape(stack) + r".*layers\.layers\.(\d+)\.0\.norm\.weight")
    return sum(name.fullmatch(key) is not None for key in part)


def _tokenizer(part: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = renamed(part, _PLAIN)
    for theirs, ours in _STACKS.items():
        tensors |= _stack(part, theirs, ours)
    for theirs, ours in (
        ("freq_patch_embedding", "tokenizer.frequency_stem"),
        ("temporal_patch_embedding", "tokenizer.temporal_stem"),
    ):
        for k in range(3):  # convolution, GELU, norm: three steps each
            weight = part.pop(f"{theirs}.{3 * k}.weight")
            tensors[f"{ours}.maps.{k}.weight"] = weight.squeeze(1) if k == 0 else weight.squeeze(2)
            tensors[f"{ours}.maps.{k}.bias"] = part.pop(f"{theirs}.{3 * k}.bias")
            tensors |= renamed(part, {f"{theirs}.{3 * k + 2}.": f"{ours}.norms.{k}."})
    for theirs, ours in (
        ("freq_patch_embedding_2_atten.0", "gate"),
        ("freq_patch_embedding_2.0", "gather"),
    ):
        weight = part.pop(f"{theirs}.weight")
        tensors[f"tokenizer.{ours}.weight"] = weight.transpose(1, 2).flatten(1)
        tensors[f"tokenizer.{ours}.bias"] = part.pop(f"{theirs}.bias")
    tensors["tokenizer.quantiser.idle"] = torch.zeros(
        len(tensors["tokenizer.quantiser.codes"]), dtype=torch.int64
    )
    tensors["tokenizer.quantiser.ready"] = torch.tensor(True)
    n_freqs = len(tensors["tokenizer.to_spectrum.weight"])
    tensors["tokenizer.bin_mean"] = torch.zeros(n_freqs)
    tensors["tokenizer.bin_std"] = torch.ones(n_freqs)
    tensors["tokenizer.bin_weight"] = torch.ones(n_freqs)
    tensors["tokenizer.bins_known"] = torch.tensor(True)
    return tensors


def _stack(part: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """Blocks; the three projections of the attention become one."""
    tensors: dict[str, Tensor] = {}
    for k in range(_depth(part, theirs)):
        block = f"{theirs}layers.layers.{k}."
        qkv = [part.pop(f"{block}0.fn.to_{which}.weight") for which in "qkv"]
        tensors[f"{ours}blocks.{k}.attention.qkv.weight"] = torch.cat(qkv)
        table = {block + old: f"{ours}blocks.{k}.{new}" for old, new in _BLOCK.items()}
        tensors |= renamed(part, table)
    return tensors


def _encoder(part: dict[str, Tensor], codes: Tensor) -> dict[str, Tensor]:
    part.pop("index", None)  # 0, 1, 2, ...
    part.pop("temporal_pos_embed.pe", None)  # sines and cosines, computed here
    table = part.pop("eeg_token_embedding.weight")
    return {
        # kept as what is added to the code book; the mask's row has no code
        "encoder.offsets": table - F.pad(codes, (0, 0, 0, 1)),
        "encoder.channels": part.pop("channel_embed.weight"),
        "encoder.cls": part.pop("cls_token").flatten(),
        **_stack(part, "LAT.", "encoder.blocks."),
    }
