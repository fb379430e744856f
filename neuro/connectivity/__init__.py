"""Who goes with whom: one door to every connectivity measure, offline and online.

``connectivity(x, method=...)`` takes arrays, recordings, windows or MNE objects and
returns a labelled :class:`Connectivity`; the modules behind it hold the same measures
as plain functions on arrays. Names load on first use.

Truths that tests hold it to (measured; ``tests/connectivity``):

==============================================  =====================================
what is planted or on record                    what comes out
==============================================  =====================================
chain of 20 nodes, 5,000 samples                partial correlations off by 0.036 at most
its links (graphical lasso, |r| > 0.05)         F1 1.00; marginal correlation 0.53
unrelated AR(1) pairs, phi 0.8, 300 samples     5.0 % significant at 5 %; raw n: 34.6 %
windowed correlation                            its definition to 1e-10; offset 1e4: 1e-9
three switching states, dwell 60 s, TR 2 s      0.94 of windows right (worst of 10: 0.81)
edge series                                     mean is Pearson to 1e-10
two sines a third of pi apart                   cosine 0.50 +- 0.01
small-world sigma                               5.7 rewired ring; 0.82 random graph
hcp94, halves of seven people                   7 of 7 identified, r 0.91 own, 0.68 others
pain122, run 3 to run 7                         26 of 33 identified
bold_difumo64, different people                 null sd 0.076, 95 % of |r| below 0.148
locust, spikes and sound                        coherence 0.55 at 92 Hz, 0.05 above 300 Hz
==============================================  =====================================

Parity: nilearn (correlation, partial, tangent, precision, vector order) to 1e-8,
networkx (strength, clustering, betweenness, paths, efficiency, rich club, triangles)
to 1e-8, scipy (coherence) to 1e-8, numpy (weighted covariance) to 1e-10; the spectral
and directed families list theirs in their own modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuro.connectivity import (
        directed,
        dynamic,
        entropy,
        envelope,
        granger,
        graph,
        inference,
        phase,
        spectral,
        spikes,
        states,
        static,
        streaming,
        tangent,
        tensors,
    )
    from neuro.connectivity.directed import directed_connectivity
    from neuro.connectivity.dynamic import (
        Dynamic,
        edge_series,
        ewma_correlation,
        windowed_correlation,
    )
    from neuro.connectivity.front import connectivity, measures
    from neuro.connectivity.inference import (
        compare_groups,
        network_based_statistic,
        significance,
    )
    from neuro.connectivity.measure import Measure
    from neuro.connectivity.phase import (
        kuramoto_order,
        leading_eigenvectors,
        phase_coherence,
        phases,
    )
    from neuro.connectivity.result import (
        Connectivity,
        from_nilearn_vector,
        matrix_of,
        to_nilearn_vector,
        vector_of,
    )
    from neuro.connectivity.spectral import spectral_connectivity
    from neuro.connectivity.spikes import coupling, cross_correlograms, spike_field_coherence
    from neuro.connectivity.states import (
        States,
        StateSummary,
        cluster_states,
        dynamics_test,
        state_summary,
    )
    from neuro.connectivity.static import (
        correlation,
        correlation_test_matrix,
        effective_n_matrix,
        fisher_z,
        partial_correlation,
        precision,
        shrunk_correlation,
    )
    from neuro.connectivity.streaming import StreamingConnectivity
    from neuro.connectivity.tangent import TangentSpace

_WHERE = {
    "Connectivity": "result",
    "Dynamic": "dynamic",
    "Measure": "measure",
    "StateSummary": "states",
    "States": "states",
    "StreamingConnectivity": "streaming",
    "TangentSpace": "tangent",
    "cluster_states": "states",
    "compare_groups": "inference",
    "connectivity": "front",
    "correlation": "static",
    "correlation_test_matrix": "static",
    "coupling": "spikes",
    "cross_correlograms": "spikes",
    "directed_connectivity": "directed",
    "dynamics_test": "states",
    "edge_series": "dynamic",
    "effective_n_matrix": "static",
    "ewma_correlation": "dynamic",
    "fisher_z": "static",
    "from_nilearn_vector": "result",
    "kuramoto_order": "phase",
    "leading_eigenvectors": "phase",
    "matrix_of": "result",
    "measures": "front",
    "network_based_statistic": "inference",
    "partial_correlation": "static",
    "phase_coherence": "phase",
    "phases": "phase",
    "precision": "static",
    "shrunk_correlation": "static",
    "significance": "inference",
    "spectral_connectivity": "spectral",
    "spike_field_coherence": "spikes",
    "state_summary": "states",
    "to_nilearn_vector": "result",
    "vector_of": "result",
    "windowed_correlation": "dynamic",
}

_ROOMS = (
    "directed", "dynamic", "entropy", "envelope", "granger", "graph", "inference", "phase",
    "spectral", "spikes", "states", "static", "streaming", "tensors", "tangent",
)  # fmt: skip

__all__ = [
    "Connectivity",
    "Dynamic",
    "Measure",
    "StateSummary",
    "States",
    "StreamingConnectivity",
    "TangentSpace",
    "cluster_states",
    "compare_groups",
    "connectivity",
    "correlation",
    "correlation_test_matrix",
    "coupling",
    "cross_correlograms",
    "directed",
    "directed_connectivity",
    "dynamic",
    "dynamics_test",
    "edge_series",
    "effective_n_matrix",
    "entropy",
    "envelope",
    "ewma_correlation",
    "fisher_z",
    "from_nilearn_vector",
    "granger",
    "graph",
    "inference",
    "kuramoto_order",
    "leading_eigenvectors",
    "matrix_of",
    "measures",
    "network_based_statistic",
    "partial_correlation",
    "phase_coherence",
    "phases",
    "precision",
    "shrunk_correlation",
    "significance",
    "spectral",
    "spectral_connectivity",
    "spike_field_coherence",
    "spikes",
    "state_summary",
    "states",
    "static",
    "phase",
    "tangent",
    "streaming",
    "tensors",
    "to_nilearn_vector",
    "vector_of",
    "windowed_correlation",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"neuro.connectivity.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'neuro.connectivity' has no attribute {name!r}")
    return getattr(import_module(f"neuro.connectivity.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
