"""Names of the electrodes that LaBraM's table has rows for."""

from collections.abc import Sequence

from neuro.data.channels import canonical_eeg_name
from neuro.errors import ConfigError, did_you_mean

__all__ = ["ELECTRODES", "N_ROWS", "electrode_rows", "unknown_electrodes"]

_MONOPOLAR = """
FP1 FPZ FP2 AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10
F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10 FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10
T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10 TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10
P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10 PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6 PO8 PO10
O1 OZ O2 O9 CB1 CB2 IZ O10 T3 T5 T4 T6 M1 M2 A1 A2
CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7 CFC8 CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8 T1 T2
FTT9h TTP7h TPP9h FTT10h TPP8h TPP10h
"""
_BIPOLAR = """
FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2
FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2
"""
# In the order of the table: entry i owns row i + 1, row 0 is the class token's.
ELECTRODES: tuple[str, ...] = tuple(f"{_MONOPOLAR} {_BIPOLAR}".split())
# The list is longer than the table: the last eight names have no row.
N_ROWS = 129
_ROWS = {name.upper(): i + 1 for i, name in enumerate(ELECTRODES[: N_ROWS - 1])}


def electrode_rows(ch_names: Sequence[str]) -> list[int | None]:
    """Row of each channel in the table of electrodes.

    A name counts as it stands, in any case (T3 and T7 have rows of their own,
    though they are one place); otherwise by its standard spelling, without
    ``"EEG "`` or ``"-REF"``.

    Parameters
    ----------
    ch_names : sequence of str
        Channels.

    Returns
    -------
    list of int or None
        None where the table has no row.

    Raises
    ------
    ConfigError
        If two channels mean the same electrode.

    Examples
    --------
    >>> electrode_rows(["FP1", "Oz", "EEG Cz-REF", "T3", "T7", "EOG1"])
    [1, 82, 42, 89, 38, None]
    """
    rows: list[int | None] = []
    for name in ch_names:
        row = _ROWS.get(name.strip().upper())
        rows.append(_ROWS.get(canonical_eeg_name(name).upper()) if row is None else row)
    known = [(row, name) for row, name in zip(rows, ch_names, strict=True) if row is not None]
    taken: dict[int, str] = {}
    for row, name in known:
        if row in taken:
            raise ConfigError(
                f"{taken[row]!r} and {name!r} mean the same electrode. Drop one of them."
            )
        taken[row] = name
    return rows


def unknown_electrodes(names: Sequence[str]) -> ConfigError:
    """Error that names the channels without a row and what to do about them."""
    guess = did_you_mean(names[0].upper(), ELECTRODES[: N_ROWS - 1])
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return ConfigError(
        f"The table of electrodes has no row for {len(names)} channel(s): {shown}. {guess} Rename "
        "them to the 10-10 system, leave channels that are no scalp electrode out of ch_names, or "
        'give unknown="own", with which each of them learns a row of its own.'
    )
