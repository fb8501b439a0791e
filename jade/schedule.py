"""How often a run logs and saves, what it keeps, and how long it may take: what the flags say, as values.

No part of what an experiment is, as it changes no result; a run that goes on keeps what was said before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jade import intervals, summary
from jade.errors import ConfigError, JadeError, raise_all
from jade.intervals import Interval

# For each interval its default, and what a bare number counts.
DEFAULT_EVERY = {
    "log_loss_every": ("100 iterations", "iteration"),
    "checkpoint_every": ("100 epochs", "epoch"),
    "backup_every": ("10 minutes", "epoch"),
}
SCHEDULE = (
    *DEFAULT_EVERY,
    "keep_checkpoints",
    "time_limit",
    "allow_nan",
    "best_metric",
    "best_mode",
    "artifacts",
    "keep_artifacts",
)
ARTIFACTS = ("none", "best", "all")
DEFAULT_KEPT_ARTIFACTS = 3
MODES = ("min", "max")
_UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
# minutes:seconds, hours:minutes:seconds, days-hours:minutes:seconds; https://slurm.schedmd.com/sbatch.html
_SLURM_TIME = re.compile(r"(?:(?:(?P<days>\d+)-)?(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")
_TIME = re.compile(r"([\d.]+)\s*([a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Aim:
    """By which metric it is decided which state of a run is its best.

    Attributes:
        metric: as it is logged.
        mode: "min" or "max".
    """

    metric: str
    mode: str


@dataclass(frozen=True)
class Schedule:
    """How often a run logs and saves, and how long it may take; not part of what the experiment is.

    Attributes:
        log_loss: between two means of the loss items.
        checkpoint: between two checkpoints that are kept.
        backup: between two backups.
        kept: how many checkpoints; None for all.
        seconds: that a process may take; None for as long as it needs.
        allow_nan: whether a run goes on whose loss is no number.
        best_metric: by which `best.pt` is kept; "none" for no such file, None for what a sweep asks for.
        best_mode: "min" or "max"; None for what the metric's name suggests.
        artifacts: which checkpoints are versions of a model on W&B: "none", "best" or "all".
        kept_artifacts: how many versions a model has that only best states are versions of; None for all.
    """

    log_loss: Interval
    checkpoint: Interval
    backup: Interval
    kept: int | None = None
    seconds: float | None = None
    allow_nan: bool = False
    best_metric: str | None = None
    best_mode: str | None = None
    artifacts: str = "none"
    kept_artifacts: int | None = DEFAULT_KEPT_ARTIFACTS

    def aim(self, swept: Aim | None = None) -> Aim | None:
        """Return by which metric the best state is kept; None if none is.

        Args:
            swept: what the run's sweep aims at.
        """
        name = self.best_metric
        if name is not None and name.lower() == "none":
            return None
        if swept is not None and name in (None, swept.metric):
            return Aim(swept.metric, self.best_mode or swept.mode)
        return Aim(name, self.best_mode or mode_of(name)) if name else None


@dataclass(frozen=True)
class Plan:
    """How long a run trains, and how often it does everything else.

    Attributes:
        seed: of everything random.
        epochs: passes to make.
        log_loss: between two means of the loss items.
        checkpoint: between two checkpoints that are kept.
        backup: between two backups, each of which replaces the one before.
        evaluations: for each evaluation, between two of its runs.
        allow_nan: whether to go on where a loss is no number.
        aim: by which metric the best state is kept; None for none.
    """

    seed: int
    epochs: int
    log_loss: Interval
    checkpoint: Interval
    backup: Interval
    evaluations: Mapping[str, Interval]
    allow_nan: bool = False
    aim: Aim | None = None


def mode_of(metric: str) -> str:
    """Return the mode that the name of a metric suggests."""
    return "max" if summary.more_is_better(metric) else "min"


def schedule_of(given: Mapping[str, str]) -> Schedule:
    """Return the schedule that the values of the flags say, the defaults for what was not given.

    Raises:
        ConfigError: for every value that says nothing, all at once.
    """
    every: dict[str, Any] = {}
    faults: list[JadeError] = []
    readers: dict[str, Callable[[str, str], Any]] = {
        **{name: _every(unit) for name, (_, unit) in DEFAULT_EVERY.items()},
        "keep_checkpoints": _kept,
        "time_limit": _seconds,
        "best_metric": _metric,
        "best_mode": _one_of(MODES, "mode"),
        "artifacts": _one_of(ARTIFACTS, "choice"),
        "keep_artifacts": _kept,
    }
    defaults = {name: text for name, (text, _) in DEFAULT_EVERY.items()}
    defaults |= {"artifacts": "none", "keep_artifacts": str(DEFAULT_KEPT_ARTIFACTS)}
    for name, read in readers.items():
        text = given.get(name, defaults.get(name))
        try:
            every[name] = None if text is None else read(text, f"--{name.replace('_', '-')}")
        except JadeError as fault:
            faults.append(fault)
    raise_all(faults)
    return Schedule(
        every["log_loss_every"],
        every["checkpoint_every"],
        every["backup_every"],
        every["keep_checkpoints"],
        every["time_limit"],
        given.get("allow_nan") == "true",
        every["best_metric"],
        every["best_mode"],
        every["artifacts"],
        every["keep_artifacts"],
    )


def _every(unit: str) -> Callable[[str, str], Interval]:
    return lambda text, flag: intervals.parse(text, unit, flag)


def _kept(text: str, flag: str) -> int | None:
    if text.strip().lower() == "all":
        return None
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{text!r} is no number of {flag.rpartition('-')[2]}.",
            where=flag,
            hint="Write a number above 0, or all.",
        )
    return int(text)


def _metric(text: str, flag: str) -> str:
    if not text.strip():
        raise ConfigError("There is no metric without a name.", where=flag, hint="none keeps no best.pt.")
    return text


def _one_of(known: tuple[str, ...], what: str) -> Callable[[str, str], str]:
    def read(text: str, flag: str) -> str:
        if text not in known:
            raise ConfigError(f"{text!r} is no {what}.", where=flag, wanted=text, choices=known)
        return text

    return read


def _seconds(text: str, flag: str) -> float | None:
    """Return the seconds of "2h", "1h 30m", "90 minutes", "1-12:00:00" (as Slurm writes it) or never."""
    if text.strip().lower() in ("never", "none"):
        return None
    slurm = _SLURM_TIME.fullmatch(text.strip())
    if slurm:
        seconds = float(sum(int(slurm[name] or 0) * unit for name, unit in _UNITS.items()))
    else:
        found = _TIME.findall(text)
        known = [amount.count(".") <= 1 and amount != "." and _is_unit(unit) for amount, unit in found]
        readable = all(known) and not _TIME.sub("", text).strip(" ,")
        units = {name[0]: unit for name, unit in _UNITS.items()}
        seconds = sum(float(amount) * units[unit[0].lower()] for amount, unit in found) if readable else 0.0
    if seconds <= 0:
        raise ConfigError(
            f"{text!r} is no time.",
            where=flag,
            hint='Write "2h", "1h 30m", "90 minutes", "01:30:00" or never.',
        )
    return seconds


def _is_unit(text: str) -> bool:
    words = ("second", "sec", "minute", "min", "hour", "hr", "day", "s", "m", "h", "d")
    return text.lower() in words or text.lower().removesuffix("s") in words
