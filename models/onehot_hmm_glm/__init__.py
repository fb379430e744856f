"""onehot_hmm_glm: couplings between neurons that switch with a hidden state.

"One-hot Generalized Linear Model for Switching Brain State Discovery", arXiv
2310.15263. `model` is what users see; `em` and `steps` fit it, `start` finds
where to begin, `priors` ties the states' couplings together, `online` filters
bin by bin, `paper` is the published schedule.
"""

from neuro.models.onehot_hmm_glm.config import OneHotHMMGLMConfig
from neuro.models.onehot_hmm_glm.model import OneHotHMMGLM, choose_states
from neuro.models.onehot_hmm_glm.online import OnlineFilter

__all__ = ["OneHotHMMGLM", "OneHotHMMGLMConfig", "OnlineFilter", "choose_states"]
