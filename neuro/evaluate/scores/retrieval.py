"""Retrieval: where the right item ranks in a gallery, and how good a rank is by luck."""

from dataclasses import replace

import numpy as np

from neuro.evaluate.task import Predicted, Task
from neuro.typing import FloatArray

__all__ = ["ranked"]


def ranked(task: Task, said: Predicted, target: FloatArray, train_target: FloatArray) -> Predicted:
    """Predicted vectors to the rank of the right item among all tested items.

    Parameters
    ----------
    task : Task
        Retrieval; says whether vectors are centred.
    said : Predicted
        Vectors as label, (n, d).
    target : ndarray, shape (n, d)
        The right item's vector of each test window. Equal rows are one item.
    train_target : ndarray, shape (n_train, d)
        Its mean is what centring subtracts: statistics of the test items
        would not be known when one window is decoded alone.

    Returns
    -------
    Predicted
        Label (n, 2): rank from 1 (best) and size of the gallery. Items of
        equal cosine share the mean of their ranks, so that a decoder that
        always says the same ranks in the middle, not first.

    Examples
    --------
    >>> task = Task("retrieval", n_outputs=2, centred=False)
    >>> items = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> said = Predicted(np.array([[0.9, 0.2], [0.9, 0.2]]))
    >>> ranked(task, said, items, items).label.tolist()
    [[1.0, 2.0], [2.0, 2.0]]
    """
    gallery, item = np.unique(target, axis=0, return_inverse=True)
    item = item.reshape(-1)
    mean = train_target.mean(0) if task.centred else 0.0
    similar = _unit(said.label - mean) @ _unit(gallery - mean).T
    # sums in another order differ by rounding: such items are equally near
    similar = np.round(similar, 9)
    right = similar[np.arange(len(item)), item][:, None]
    rank = 1.0 + (similar > right).sum(1) + ((similar == right).sum(1) - 1) / 2
    size = np.full(len(rank), float(len(gallery)))
    return replace(said, label=np.stack([rank, size], axis=1), score=None)


def _unit(x: FloatArray) -> FloatArray:
    size = np.sqrt((x * x).sum(1, keepdims=True))
    # a vector of rounding errors points nowhere
    scale = np.abs(x).max(initial=0.0)
    return np.asarray(np.divide(x, size, out=np.zeros_like(x), where=size > 1e-9 * scale))
