"""One set of weights, other channels: the same network for other recordings."""

from typing import TYPE_CHECKING, Any

from neuro.errors import ConfigError, ContractError
from neuro.models._registry import create

if TYPE_CHECKING:
    from neuro.data import InputContract

__all__ = ["adapt"]

# what a contract decides, and what describes single channels
_OF_THE_INPUT = ("n_chans", "n_times", "sfreq", "ch_names", "ch_positions", "modality", "unit")


def adapt(
    model: Any,
    contract: "InputContract",
    *,
    fresh: tuple[str, ...] = ("head.",),
    seed: int = 0,
    **config: Any,
) -> Any:
    """Build a trained network again for other channels or windows, with its weights.

    What a network that reads channels one by one has learned on one montage
    can so be probed or fine-tuned on another. Weights that belong to single
    channels by name (`NetworkModel.channel_rows`) go with the names: fewer
    channels or another order will do, unknown ones not. Rate, unit and atlas
    stay what they were.

    Parameters
    ----------
    model : NetworkModel
        Trained; left as it is.
    contract : InputContract
        Of the new recordings, as ``windows.contract()`` gives it.
    fresh : tuple of str
        Beginnings of names of weights that start anew.
    seed : int
        Of the weights that start anew.
    **config
        Fields of the configuration to change, for instance ``n_outputs``.

    Returns
    -------
    NetworkModel
        With the provenance of `model`, so that evaluation goes on to know
        whom it was trained on.

    Raises
    ------
    ContractError
        If rate, unit, modality or atlas differ, or weights belong to single
        channels that the trained network did not have, or to moments.
    ConfigError
        If the model is not a network of this package.

    Examples
    --------
    >>> import neuro
    >>> from neuro.data import InputContract
    >>> alone = neuro.models.create("patch_mae", "tiny", n_chans=1, channel_embedding="none")
    >>> many = InputContract(modality="eeg", sfreq=128, unit="uV", ch_names=("Fz", "Cz", "Pz"))
    >>> adapt(alone, many).config.n_chans
    3
    """
    if not hasattr(model, "config") or not hasattr(model, "contract"):
        raise ConfigError(f"adapt takes a network of neuro.models, not {type(model).__name__}.")
    for what, old, new in (
        ("modality", model.contract.modality, contract.modality),
        ("unit", model.contract.scaled_unit, contract.scaled_unit),
        ("sampling rate", float(model.contract.sfreq), float(contract.sfreq)),
    ):
        if old != new:
            raise ContractError(
                f"The {what} of the new recordings is {new!r}, the network was trained on {old!r}. "
                "Bring them there with an InputContract before cutting windows."
            )
    kept = {k: v for k, v in model.config.to_json().items() if k not in _OF_THE_INPUT}
    if contract.n_times is None:
        kept["n_times"] = model.config.n_times
    new = create(model.name, contract=contract, seed=seed, **{**kept, **config})
    own, found = new.state_dict(), model.state_dict()
    tensors = {k: v for k, v in own.items() if k.startswith(fresh)}
    tensors |= {k: v for k, v in found.items() if not k.startswith(fresh)}
    carried = [k for k in model.channel_rows if k in found and not k.startswith(fresh)]
    if carried:
        rows = _rows_by_name(model, contract, carried[0])
        tensors |= {k: found[k][rows] for k in carried}
    wrong = [
        f"{k} is {tuple(found[k].shape) if k in found else 'missing'} in the trained network and "
        f"{tuple(own[k].shape) if k in own else 'missing'} in the new one"
        for k in sorted(own.keys() | tensors.keys())
        if k not in own or k not in tensors or own[k].shape != tensors[k].shape
    ]
    if wrong:
        raise ContractError(
            f"{model.name} cannot be carried over: {len(wrong)} weights belong to its channels or "
            f"moments, the first: {wrong[0]}. Configure it without an identity of channels, or "
            f"let them start anew: fresh=({wrong[0].split()[0]!r}, …)."
        )
    new.load_state_dict(tensors)
    new.provenance = dict(model.provenance)
    new.train(model.training)
    return new


def _rows_by_name(model: Any, contract: "InputContract", weight: str) -> list[int]:
    """Where the trained network has each of the new channels."""
    old, names = model.contract, contract.ch_names
    if old.ch_names is None or names is None:
        return list(range(model.config.n_chans))
    unknown = [n for n in names if n not in old.ch_names]
    another = None not in (old.atlas, contract.atlas) and old.atlas != contract.atlas
    if unknown or another:
        what = f"atlas {contract.atlas!r}, not {old.atlas!r}" if another else f"{unknown[:5]}"
        raise ContractError(
            f"The {weight!r} of {model.name} belong to the regions or channels it was trained on; "
            f"unknown to it: {what}. Bring the recordings there (neuro.data.map_regions, "
            f"contract.conform), or let those weights start anew: fresh=({weight!r}, …)."
        )
    return [old.ch_names.index(n) for n in names]
