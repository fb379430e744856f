"""Looking for the defects that recordings bring along, without being told of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from neuro.errors import DataError

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Audit", "Finding", "audit"]

Severity = Literal["error", "warning", "note"]
_ORDER = ("error", "warning", "note")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found.

    Parameters
    ----------
    kind : str
        What it is about: ``"identity"``, ``"clock"``, ``"unit"``, ``"rate"``,
        ``"axis"``, ….
    severity : {"error", "warning", "note"}
        An error makes results wrong; a warning may; a note is worth knowing.
    recordings : tuple of str
        Ids of the recordings concerned.
    message : str
        What was found, with the numbers of the first of them.
    remedy : str
        What to do about it.
    evidence : mapping of str to number or str
        The numbers; of each recording under ``"each"`` where there are several.
    """

    kind: str
    severity: Severity
    recordings: tuple[str, ...]
    message: str
    remedy: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.severity}, {self.kind} of {self._who()}: {self.message} {self.remedy}"

    def _who(self) -> str:
        who = self.recordings[0] if self.recordings else ""
        more = f" and {len(self.recordings) - 1} alike" if len(self.recordings) > 1 else ""
        return who + more


@dataclass(frozen=True)
class Audit:
    """What an audit found, worst first.

    Parameters
    ----------
    findings : tuple of Finding
        Empty if all is well.
    n_recordings : int
        How many were looked at.
    """

    findings: tuple[Finding, ...]
    n_recordings: int

    @property
    def ok(self) -> bool:
        """True if there is neither an error nor a warning."""
        return all(f.severity == "note" for f in self.findings)

    def kinds(self) -> tuple[str, ...]:
        """Kinds of the errors and warnings, each once."""
        return tuple(dict.fromkeys(f.kind for f in self.findings if f.severity != "note"))

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __repr__(self) -> str:
        count = {s: sum(f.severity == s for f in self.findings) for s in _ORDER}
        total = ", ".join(f"{n} {s}{'s' if n != 1 else ''}" for s, n in count.items() if n)
        lines = [f"Audit({self.n_recordings} recordings: {total or 'nothing found'})"]
        for f in self.findings:
            lines.append(f"  {f.severity:7} {f.kind:10} {f._who()}")
            lines.append(f"          {f.message}")
            lines.append(f"          -> {f.remedy}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "ok": self.ok,
            "n_recordings": self.n_recordings,
            "findings": [
                {**asdict(f), "recordings": list(f.recordings), "evidence": dict(f.evidence)}
                for f in self.findings
            ],
        }


def audit(recordings: "Sequence[Recording] | Recording") -> Audit:
    """Look for defects of identity, clock, unit, rate and axes.

    Every recording is looked at alone: amplitudes that cannot be what their
    unit says, rates no device has, events outside the data, axes that are
    swapped, constant and missing channels, EEG that repeats with the scanner's
    volumes or the heart. Then all together: one recording
    under two names, people who are mixed up between runs (by the fingerprint
    of their functional connectivity), rates and units that differ.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        What to look at; nothing is changed.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        If there is nothing to look at.

    Examples
    --------
    >>> from neuro.datasets import synthetic
    >>> audit(synthetic.eeg(0, n_subjects=1, n_trials=4, n_motifs=0).recordings)
    Audit(1 recordings: nothing found)
    """
    from neuro.data import Recording
    from neuro.datasets import _audit_alone as alone
    from neuro.datasets import _audit_together as together
    from neuro.datasets._audit_locked import locked

    recs = (recordings,) if isinstance(recordings, Recording) else tuple(recordings)
    if not recs:
        raise DataError("There is no recording to audit.")
    looks: tuple[Callable[[Recording], list[Finding]], ...] = (
        alone.units,
        alone.rates,
        alone.events,
        alone.clocks,
        alone.axes,
        alone.channels,
        alone.copies,
        locked,
    )
    found = [f for look in looks for rec in recs for f in look(rec)]
    for compare in (
        together.names,
        together.copies,
        together.cohort,
        together.identity,
    ):
        found += compare(recs)
    found = _merged(found, {rec.id: rec.run for rec in recs})
    found.sort(key=lambda f: _ORDER.index(f.severity))
    return Audit(tuple(found), len(recs))


def _merged(found: list[Finding], runs: Mapping[str, str]) -> list[Finding]:
    """Findings that say the same of several recordings of one run, as one.

    "The same" is told by the words: numbers may differ and stand, by
    recording, in the evidence.
    """
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for f in found:
        run = runs.get(f.recordings[0], "") if len(f.recordings) == 1 else ""
        groups.setdefault((f.kind, f.severity, _NUMBER.sub("#", f.message), run), []).append(f)
    out = []
    for same in groups.values():
        first = same[0]
        if len(same) > 1:
            each = {f.recordings[0]: dict(f.evidence) for f in same}
            ids = tuple(dict.fromkeys(i for f in same for i in f.recordings))
            first = replace(first, recordings=ids, evidence={**first.evidence, "each": each})
        out.append(first)
    return out
