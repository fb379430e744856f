"""Decoders inside other experiment software: OpenViBE, Timeflux, PsychoPy, scikit-learn."""

from neuro.bci.adapters.export import TARGETS, export

__all__ = ["TARGETS", "export"]
