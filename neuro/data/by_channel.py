"""Every channel as a recording of its own: unlike montages in one training set."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from neuro.data.recording import Recording
from neuro.errors import DataError

__all__ = ["ANY_CHANNEL", "by_channel"]

# what every channel is called that stands for any
ANY_CHANNEL = "channel"


def by_channel(
    recordings: Recording | Iterable[Recording], *, stream: str, name: str = ANY_CHANNEL
) -> list[Recording]:
    """Take recordings apart into recordings of one channel each.

    Networks that read channels one by one can then be trained on files whose
    channels differ in number and name. Samples stay lazy; subject, session,
    run and events are kept, so that splits go on to hold.

    Parameters
    ----------
    recordings : Recording or iterable of Recording
        With a sampled stream of that name; other streams are left out.
    stream : str
        Which stream.
    name : str
        What the one channel is called in all of them; which channel it was
        stands in each recording's provenance.

    Returns
    -------
    list of Recording
        Bad channels are left out. All parts of a recording keep its id: a
        split that tears them apart (by recording, by block) is a leak and
        refused as one.

    Raises
    ------
    DataError
        If nothing is left.

    Examples
    --------
    >>> import numpy as np
    >>> from neuro.data import Axis, Recording, Regular
    >>> eeg = Regular(np.ones((2, 1000)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> parts = by_channel(Recording({"eeg": eeg}, id="night"), stream="eeg")
    >>> [part.provenance.steps for part in parts]
    [('channel Fz alone',), ('channel Cz alone',)]
    """
    recs = (recordings,) if isinstance(recordings, Recording) else tuple(recordings)
    out = []
    for rec in recs:
        signal = rec.regular(stream)
        clocks = {k: c for k, c in rec.clocks.items() if k == stream}
        events = rec.events.take(np.isin(rec.events.stream, ("", stream)))
        for i, (channel, bad) in enumerate(zip(signal.axis.names, signal.axis.bad, strict=True)):
            if bad:
                continue
            one = signal.take([i])
            one = replace(one, axis=one.axis.replace(names=(name,)))
            alone = replace(rec, streams={stream: one}, clocks=clocks, events=events)
            out.append(alone.with_step(f"channel {channel} alone"))
    if not out:
        raise DataError(
            f"No channel of stream {stream!r} is left of {len(recs)} recordings: there are none, "
            "or all are marked bad."
        )
    return out
