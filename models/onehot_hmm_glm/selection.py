"""How many states: candidates judged by data that were held out."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from neuro.models._glm.sessions import sessions_of
from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.typing import FloatArray, IntArray

__all__ = ["StateChoice", "choose_states"]


class StateChoice(NamedTuple):
    """How well each number of states predicts sessions that were held out.

    ``states`` (n_candidates,); ``scores`` (n_candidates, n_folds) nats a bin; ``best``
    the fewest states within one standard error of the best.
    """

    states: IntArray
    scores: FloatArray
    best: int


def choose_states(counts: Any, inputs: Any = None, *, config: OneHotHMMGLMConfig) -> StateChoice:
    """Held-out likelihood of every candidate number of states.

    Sessions are dealt to folds; with fewer sessions than folds they are cut into
    consecutive stretches first. The score is the log probability of a held-out bin
    given its past, so more states win only if they predict better.

    Parameters
    ----------
    counts, inputs : array or list
        As in :meth:`OneHotHMMGLM.fit`.
    config : OneHotHMMGLMConfig
        `states` gives the candidates, `folds` the number of folds.

    Returns
    -------
    StateChoice
        Scores, and the fewest states that are within one standard error (of paired
        differences over folds) of the best.

    Raises
    ------
    DataError
        Too few bins.

    Examples
    --------
    >>> x = np.random.default_rng(0).poisson(0.5, (3, 1500))
    >>> choose_states(x, config=OneHotHMMGLMConfig(states="1:2", folds=3)).best
    1
    """
    # the model itself asks for the choice when its settings leave it open
    from neuro.models.onehot_hmm_glm.model import OneHotHMMGLM

    sessions = sessions_of(counts)
    given = None if inputs is None else sessions_of(inputs, "inputs")
    pieces = max(1, -(-2 * config.folds // len(sessions)) if len(sessions) < config.folds else 1)
    parts = [p for s in sessions for p in np.array_split(s, pieces, axis=1)]
    extra = None if given is None else [p for s in given for p in np.array_split(s, pieces, axis=1)]
    n_folds = min(config.folds, len(parts))
    candidates = np.array(config.candidates())
    scores = np.empty((len(candidates), n_folds))
    for fold in range(n_folds):
        test = [i for i in range(len(parts)) if i % n_folds == fold]
        train = [i for i in range(len(parts)) if i % n_folds != fold]
        some = [[p[i] for i in train] for p in (parts, extra) if p is not None]
        rest = [[p[i] for i in test] for p in (parts, extra) if p is not None]
        for row, n_states in enumerate(candidates.tolist()):
            model = OneHotHMMGLM(replace(config, states=n_states)).fit(*some)
            scores[row, fold] = model.score(*rest)
    top = scores[int(scores.mean(axis=1).argmax())]
    behind = top - scores
    error = behind.std(axis=1, ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    fewest = int(np.flatnonzero(behind.mean(axis=1) <= error)[0])
    return StateChoice(candidates, scores, int(candidates[fewest]))
