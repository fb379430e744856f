"""Training: one short loop with exact resume, on one process or many.

Importing this room is cheap; torch loads when :func:`fit` is first used.
"""

from typing import TYPE_CHECKING

import lazy_loader as _lazy

if TYPE_CHECKING:
    from neuro.train.callbacks import Callback as Callback
    from neuro.train.callbacks import EarlyStopping as EarlyStopping
    from neuro.train.callbacks import GradientNoise as GradientNoise
    from neuro.train.callbacks import TrainState as TrainState
    from neuro.train.loop import fit as fit
    from neuro.train.run import Run as Run
    from neuro.train.run import TrainingError as TrainingError
    from neuro.train.settings import hash_subject as hash_subject
    from neuro.train.stages import Stage as Stage

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "callbacks": ["Callback", "EarlyStopping", "GradientNoise", "TrainState"],
        "loop": ["fit"],
        "run": ["Run", "TrainingError"],
        "settings": ["hash_subject"],
        "stages": ["Stage"],
    },
)
