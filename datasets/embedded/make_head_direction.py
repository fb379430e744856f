"""Make ``head_direction.npz`` from the whole NWB file.

Usage: ``python datasets/embedded/make_head_direction.py A2929-200711.nwb``

The file is part of the test data of pynapple 0.11.4's source distribution
(``tests/nwbfilestest/neurosuite/pynapplenwb/``), MIT licence, text beside the
extract. What is left out: rx and rz, the ripple times and electrode tables.
"""

import sys
from pathlib import Path

from neuro.datasets.head_direction import extract
from neuro.io import safe

if __name__ == "__main__":
    target = Path(__file__).with_name("head_direction.npz")
    safe.save_npz(target, extract(Path(sys.argv[1])), compress=True)
