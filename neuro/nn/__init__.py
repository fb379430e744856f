"""Layers that several networks share: patches, attention, positions, masks, heads.

Each file stands alone; import the one that is needed, for instance
``from neuro.nn.attention import Transformer``.
"""
