"""Live decoding whose numbers are the offline ones: chains, features, decoders, sources.

Everything that streams has ``push(chunk)``, ``reset()`` and gives the same for any
chunk size. Offline results come from the same objects, pushed whole.
"""

from neuro.stream.bundle import load_bundle, save_bundle
from neuro.stream.chain import Chain, Filter, Pick, Rate, Reference
from neuro.stream.decoder import Decision, Decoder
from neuro.stream.extract import Extracted, Extractor, Plan
from neuro.stream.features import Covariance, Power, Strength, Table
from neuro.stream.info import StreamInfo
from neuro.stream.latency import Latency
from neuro.stream.live import Live, Status
from neuro.stream.recorder import XDFRecorder
from neuro.stream.rules import LinearRule, Selection, fit_rule, from_sklearn
from neuro.stream.sources import Array, Chunk, Replay
from neuro.stream.timeline import Timeline

__all__ = [
    "Array",
    "Chain",
    "Chunk",
    "Covariance",
    "Decision",
    "Decoder",
    "Extracted",
    "Extractor",
    "Filter",
    "Latency",
    "LinearRule",
    "Live",
    "Pick",
    "Plan",
    "Power",
    "Rate",
    "Reference",
    "Replay",
    "Selection",
    "Status",
    "StreamInfo",
    "Strength",
    "Table",
    "Timeline",
    "XDFRecorder",
    "fit_rule",
    "from_sklearn",
    "load_bundle",
    "save_bundle",
]
