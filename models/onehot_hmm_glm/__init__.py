"""onehot_hmm_glm: couplings between neurons that switch with a hidden state.

"One-hot Generalized Linear Model for Switching Brain State Discovery", arXiv
2310.15263. `model` is what users see; `em` and `steps` fit it, `start` finds
where to begin, `priors` ties the states' couplings together, `moves` lets inputs
drive transitions, `selection` judges numbers of states, `online` filters bin by bin,
`paper` and `kernels` are the published schedules of the two versions.
"""

from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.model import OneHotHMMGLM
from neuro.models.onehot_hmm_glm.online import OnlineFilter
from neuro.models.onehot_hmm_glm.selection import StateChoice, choose_states

__all__ = ["OneHotHMMGLM", "OneHotHMMGLMConfig", "OnlineFilter", "StateChoice", "choose_states"]
