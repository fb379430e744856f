"""Statistics a reviewer can trust: nulls, intervals, corrections.

Pure functions on arrays; every random one takes ``seed``. The null tests keep
their level on data without an effect, which the tests of this package measure.
Nulls, correlations and corrections take torch tensors as well and then return
tensors.
"""

from neuro.stats.clusters import Clusters, cluster_permutation
from neuro.stats.correlation import (
    Correlation,
    autocorrelation,
    correlation_test,
    effective_n,
    pearson,
)
from neuro.stats.multiple import Discoveries, benjamini_hochberg, max_statistic
from neuro.stats.resampling import (
    Interval,
    bca_levels,
    bootstrap_interval,
    paired_bootstrap,
    permutation_p,
    sign_flip_p,
)
from neuro.stats.surrogates import (
    circular_shift,
    other_subject,
    permute_blocks,
    permute_labels,
    phase_randomise,
)

__all__ = [
    "Clusters",
    "Correlation",
    "Discoveries",
    "Interval",
    "autocorrelation",
    "bca_levels",
    "benjamini_hochberg",
    "bootstrap_interval",
    "circular_shift",
    "cluster_permutation",
    "correlation_test",
    "effective_n",
    "max_statistic",
    "other_subject",
    "paired_bootstrap",
    "pearson",
    "permutation_p",
    "permute_blocks",
    "permute_labels",
    "phase_randomise",
    "sign_flip_p",
]
