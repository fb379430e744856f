"""The provenance every loader writes."""

from pathlib import Path
from typing import TYPE_CHECKING

from neuro.datasets._cards import Card
from neuro.datasets._fetch import known_sha256

if TYPE_CHECKING:
    from neuro.data import Provenance

__all__ = ["provenance"]


def provenance(card: Card, path: Path, *steps: str) -> "Provenance":
    """Provenance of a recording read from one file of a data set.

    Parameters
    ----------
    card : Card
        The data set's card.
    path : Path
        The file the main stream came from; only its name is kept.
    *steps : str
        What the loader did beyond reading.

    Returns
    -------
    Provenance
    """
    from neuro.data import Provenance

    source = card.source
    origin = f"{source.project} {source.version}: " if source.project else ""
    return Provenance(
        source=f"{origin}{path.name}",
        sha256=known_sha256(path),
        reader=f"neuro.datasets.{card.name}",
        version="1",
        steps=steps,
    )
