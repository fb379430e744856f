from . import (
    connectivity as connectivity,
    data as data,
    datasets as datasets,
    errors as errors,
    evaluate as evaluate,
    io as io,
    models as models,
    nn as nn,
    plot as plot,
    signal as signal,
    stats as stats,
    train as train,
)
from .data import Recording as Recording
from .io import read as read
from .io import save as save

__version__: str
