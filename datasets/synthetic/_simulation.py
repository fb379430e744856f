"""What every simulator returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import ConfigError

if TYPE_CHECKING:
    from neuro.data import Provenance, Recording

__all__ = ["Simulation", "check_positive", "rng_of", "simulated"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Recordings and the truth they were made from.

    Parameters
    ----------
    recordings : tuple of Recording
        What a model may see.
    truth : mapping of str to array, number or str
        What made them; arrays whose first axis is the recording are in the
        order of `recordings`.
    """

    recordings: "tuple[Recording, ...]"
    truth: Mapping[str, Any]

    def __repr__(self) -> str:
        name = self.recordings[0].dataset if self.recordings else "empty"
        lines = [f"Simulation({name}: {len(self.recordings)} recordings)"]
        for key, value in self.truth.items():
            shape = getattr(value, "shape", ())
            shown = f"{value.dtype} {shape}" if shape else _short(value)
            lines.append(f"  {key}: {shown}")
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def rng_of(seed: int, *stream: int) -> np.random.Generator:
    """Generator of one part of a simulation; the same in every process.

    Raises
    ------
    ConfigError
        If the seed is not a whole number of 0 or more.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be a whole number of 0 or more, got {seed!r}.")
    return np.random.default_rng([int(seed), *stream])


def check_positive(**values: float) -> None:
    """Refuse sizes and durations that are not above 0.

    Raises
    ------
    ConfigError
        Naming the first.
    """
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name}={value!r} must be above 0.")


def simulated(name: str, seed: int) -> "Provenance":
    """Provenance that says the data were made, and from which seed."""
    from neuro.data import Provenance

    return Provenance(
        source="simulated",
        reader=f"neuro.datasets.synthetic.{name}",
        version="1",
        steps=(f"simulated with seed {int(seed)}",),
    )
