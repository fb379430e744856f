"""Figures, one function each; every one returns a matplotlib Figure.

Nothing here touches pyplot: figures can be made on servers and in threads.
"""

from neuro.plot.bci import class_spectra, difference_map, erd_course, latencies, topography
from neuro.plot.codebook import code_evidence, code_labels, code_prototypes, code_usage
from neuro.plot.connectivity import (
    connectivity_circle,
    connectivity_glass_brain,
    connectivity_matrix,
    connectivity_sensors,
    pair_spectra,
    state_timeline,
)
from neuro.plot.crossmodal import occlusion, predicted_course, region_scores
from neuro.plot.generative import latent_traversal, real_and_synthetic, variance_match
from neuro.plot.models import reconstruction, scores, training_curve
from neuro.plot.recordings import fc_matrix, raster, signals, spectrum
from neuro.plot.regions import attention_course, region_glass_brain, region_map
from neuro.plot.states import (
    connection_types,
    coupling_matrices,
    dwell_times,
    state_choice,
    state_path,
)

__all__ = [
    "topography",
    "latencies",
    "erd_course",
    "difference_map",
    "class_spectra",
    "attention_course",
    "connection_types",
    "code_evidence",
    "code_labels",
    "code_prototypes",
    "code_usage",
    "connectivity_circle",
    "connectivity_glass_brain",
    "connectivity_matrix",
    "connectivity_sensors",
    "coupling_matrices",
    "dwell_times",
    "fc_matrix",
    "occlusion",
    "latent_traversal",
    "pair_spectra",
    "predicted_course",
    "raster",
    "real_and_synthetic",
    "reconstruction",
    "region_glass_brain",
    "region_map",
    "region_scores",
    "scores",
    "signals",
    "spectrum",
    "state_choice",
    "state_path",
    "state_timeline",
    "training_curve",
    "variance_match",
]
