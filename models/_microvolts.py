"""Networks that read absolute amplitudes refuse what cannot be microvolts."""

from neuro.errors import UnitError
from neuro.models._base import Inputs

__all__ = ["check_microvolts"]

# Median |x| in uV that scalp EEG can have; volts are a million times smaller.
_PLAUSIBLE = (0.1, 1000.0)
# Values of a batch that the median is taken of.
_LOOKED_AT = 100_000


def check_microvolts(checked: Inputs) -> None:
    """Refuse scalp EEG whose numbers cannot be microvolts, whatever its label.

    Parameters
    ----------
    checked : Inputs
        A batch that passed the contract.

    Raises
    ------
    UnitError
        If the median size of the samples that exist and are not 0 lies outside
        0.1 to 1000.
    """
    x = checked.x.detach()
    if checked.channel_mask is not None:
        x = x.masked_fill(~checked.channel_mask[..., None], 0.0)
    if checked.time_mask is not None:
        x = x.masked_fill(~checked.time_mask[:, None, :], 0.0)
    some = x.flatten()[:: max(1, x.numel() // _LOOKED_AT)]
    size = some[some != 0].abs()
    low, high = _PLAUSIBLE
    # an array of zeros is flat, not mislabelled
    if len(size) and not low <= (median := float(size.median())) <= high:
        raise UnitError(
            f"The median size of the samples is {median:.3g}, which scalp EEG in microvolts "
            f"never has ({low:g} to {high:g}). Are they volts? Read the file with its unit, or "
            "multiply by 1e6."
        )
