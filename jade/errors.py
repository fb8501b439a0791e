"""The errors a user can mend, laid out in one form: problem, place, nearest right thing, what is known.

Every module of JADE raises these for bad input and nothing else; a bug keeps its own exception.
`cli` prints them without a traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

KNOWN_NAMES_SHOWN = 30
# Orders to a terminal, other ends of lines, and what turns the direction of writing.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class JadeError(Exception):
    """Something that a user can mend, and how.

    The class says whose text has to change; see the subclasses.

    Args:
        problem: one sentence that says what is wrong and shows the offending value.
        where: the place, as `file:line (key)` or the name of a flag.
        wanted: the name that was asked for; with `choices`, the nearest one is suggested.
        choices: the names that would have been right.
        hint: what to write or do instead; may have several lines.

    Attributes:
        exit_code: that the process ends with.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        wanted: str | None = None,
        choices: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        known = sorted(set(choices))
        lines = [problem]
        if where:
            lines.append(f"  at: {where}")
        near = nearest(wanted, known) if wanted else None
        if near:
            lines.append(f"  did you mean: {near}")
        if known:
            lines.append(f"  known: {_listed(known)}")
        if hint:
            lines.append("  " + hint.replace("\n", "\n  "))
        super().__init__(harmless("\n".join(lines)))


class ConfigError(JadeError):
    """A YAML file, a flag, an environment variable or a sweep must change."""


class PluginError(JadeError):
    """A file under `modules/`, or the architecture file, must change."""


class ContractError(JadeError):
    """A user's class does not do what its base class promises."""


class CheckpointError(JadeError):
    """A checkpoint cannot be written, found or read."""


class TrackingError(JadeError):
    """Weights & Biases, or the way to it, must be mended."""


class UnreachableError(TrackingError):
    """No server of Weights & Biases can be asked: what is on this machine may do instead."""


class TrustError(JadeError):
    """The code of a stored run is somebody else's, and nobody has said that it may be executed."""


class AbsentDataError(JadeError):
    """The data of a stored run are not on this machine."""


class DivergedError(JadeError):
    """A loss became NaN or infinite: nothing was wrong with the input, but the run has failed."""

    exit_code = 1


def raise_all(faults: Sequence[JadeError]) -> None:
    """Raise `faults` as one error that shows each of them; do nothing if there are none.

    The error has the class of the first fault. A fault that was reported twice is shown once.
    """
    unique = list({str(fault): fault for fault in faults}.values())
    if not unique:
        return
    if len(unique) == 1:
        raise unique[0]
    blocks = "\n\n".join(str(fault) for fault in unique)
    raise type(unique[0])(f"{len(unique)} faults were found.\n\n{blocks}")


def shown(error: JadeError) -> str:
    """Return an error as it is printed: its text, and what was noted on its way."""
    return "\n".join([str(error), *(f"  {harmless(note)}" for note in getattr(error, "__notes__", []))])


def harmless(text: str) -> str:
    """Return lines without what a terminal would obey: what is wrong may be a stranger's text."""
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """Return what an error says at first; the rest is often advice for somebody else."""
    return str(error).strip().partition("\n")[0]


def nearest(wanted: str, choices: Iterable[str]) -> str | None:
    """Return the name in `choices` that `wanted` was most likely meant to be, or None."""
    by_folded = {choice.casefold(): choice for choice in choices}
    if wanted.casefold() in by_folded:
        return by_folded[wanted.casefold()]
    # A name that stands for several (TestLoss of TestLoss/reconstruction) is more than a likeness.
    below = sorted(name for name in by_folded if name.startswith(f"{wanted.casefold()}/"))
    if below:
        return by_folded[below[0]]
    found = difflib.get_close_matches(wanted.casefold(), by_folded, n=1, cutoff=0.6)
    if found:
        return by_folded[found[0]]
    # Long and short forms of one name (VAE and VAETrainer) are further apart than the cutoff.
    parts = [name for name in by_folded if len(wanted) > 2 and _one_starts(name, wanted.casefold())]
    return by_folded[min(parts, key=len)] if parts else None


def _one_starts(one: str, other: str) -> bool:
    return min(len(one), len(other)) > 2 and (one.startswith(other) or other.startswith(one))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:KNOWN_NAMES_SHOWN])
    rest = len(names) - KNOWN_NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
