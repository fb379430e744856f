"""EEG, fMRI and spikes through modern models: one checked tensor, honest scores.

The public names live in ``__init__.pyi`` and load on first use, so that
``import neuro`` stays cheap.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
