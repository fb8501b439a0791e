"""The runs of an experiments folder as trials: what their folders say, read without torch or a server.

Folders that are no runs are passed over; a run whose files are damaged is named, and left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from jade import json_file, lock, params, scalars, summary
from jade.errors import CheckpointError, ConfigError, first_line
from jade.summary import BEST
from jade.trials import Trial, Trials, differing

CONFIG, STATUS, METRICS = "config.yml", "status.json", "metrics.jsonl"
FACTS, ORIGIN = "environment.json", "pulled.json"
# What says which configuration a run had, and of which code.
SAYING = (CONFIG, FACTS, "yaml/")

# In C where PyYAML has it: a config takes a millisecond instead of ten.
MOST_NESTED = 500
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class LocalRun:
    """A run as its folder has it.

    Attributes:
        folder: of the run.
        config: by flat dotted key.
        status: `status.json`; a run that says "running" and whose process has gone is "died".
        facts: `environment.json`.
        origin: `pulled.json`, where the folder was fetched from W&B: path, server, owner, url, is_foreign.
    """

    folder: Path
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The last and the best value of each metric."""
        known = self.status.get("metrics")
        pairs = known.items() if isinstance(known, dict) else ()
        return {name: values for name, values in pairs if isinstance(values, dict)}

    @property
    def seconds(self) -> float | None:
        """What it has taken."""
        found, began, updated = (
            scalars.number(self.status.get(name)) for name in ("runtime", "started", "updated")
        )
        if found is None and began is not None:
            found = (began if updated is None else updated) - began
        return found

    @property
    def sweep(self) -> str | None:
        """Path of the sweep that it is a trial of."""
        known = self.facts.get("sweep")
        return str(known["path"]) if isinstance(known, dict) and known.get("path") else None


def run_of(folder: Path) -> LocalRun:
    """Return what a run's folder says of it.

    Raises:
        CheckpointError: if a file of it cannot be read.
    """
    try:
        run = _run(folder)
        return replace(run, facts=json_file.read(folder / FACTS), origin=json_file.read(folder / ORIGIN))
    except _UNREADABLE as error:
        reason = first_line(error)
        raise CheckpointError(f"The {_damaged(error)} of {folder} cannot be read: {reason}.") from None


def folders(folder: Path) -> list[Path]:
    """Return the folders of runs below a folder, or the folder itself if it is one of a run.

    Raises:
        ConfigError: if the folder cannot be read.
    """
    return list(_folders(folder))


def read(
    folder: Path, metric: str | None = None, goal: str | None = None, *, compared: bool = True
) -> tuple[Trials, list[str]]:
    """Return the runs of a folder as the trials of a sweep, and a warning for each that cannot be read.

    Args:
        folder: of experiments, or of one run.
        metric: what they are compared by; needed where they logged more than one.
        goal: of the metric; guessed from its name if None.
        compared: whether there must be a metric.

    Raises:
        ConfigError: if there is no run, or no such metric.
    """
    found, warnings = [], []
    for one in _folders(folder):
        try:
            found.append(_run(one))
        except _UNREADABLE as error:
            reason = first_line(error)
            warnings.append(f"{one} is left out: its {_damaged(error)} cannot be read ({reason}).")
    if not found:
        raise ConfigError(
            f"{folder} holds no runs.",
            where=str(folder),
            hint="\n".join(warnings) or "A run has a folder there.",
        )
    chosen = _metric(found, metric, folder) if compared or metric else None
    aim = goal or (summary.goal_of(chosen) if chosen else "minimize")
    rows = tuple(_trial(run, chosen, aim) for run in found)
    swept = differing([row.params for row in rows if row.params])
    trials = Trials(str(folder), folder.absolute().name, "", chosen, aim, swept, "", None, rows)
    return trials, warnings


def _folders(folder: Path) -> Iterator[Path]:
    try:
        below = [folder] if _is_run(folder) else sorted(folder.iterdir())
    except OSError as error:
        # Whole: a notebook's present folder is its own, which its user may not think of.
        where = str(folder.absolute())
        raise ConfigError(f"{folder} cannot be read: {error.strerror}.", where=where) from None
    # A hidden one is a run that is being fetched.
    yield from (one for one in below if _is_run(one) and not (one != folder and one.name.startswith(".")))


def _is_run(folder: Path) -> bool:
    return (folder / STATUS).is_file() or (folder / CONFIG).is_file()


def _run(folder: Path) -> LocalRun:
    # A run that the sweep gave values that it could not take has a status, and no configuration.
    path = folder / CONFIG
    config = _config(path) if path.exists() else {}
    status = _status(folder)
    if status.get("status") == "running" and not lock.is_owned(folder):
        status = _status(folder)  # it may have ended just now, and said so before it gave the lock back
        if status.get("status") == "running" and not _runs_elsewhere(folder, status):
            status["status"] = "died"
    return LocalRun(folder, config, status)


def _runs_elsewhere(folder: Path, status: Mapping[str, Any]) -> bool:
    """Say whether a run was fetched while it was running, and has not gone on in its folder since."""
    pulled = scalars.number(json_file.read(folder / ORIGIN).get("pulled"))
    return pulled is not None and (scalars.number(status.get("updated")) or 0.0) <= pulled


def _config(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    # What is nested deeply ends the process where it is read in C, and is an error where it is not.
    nested = sum(text.count(begin) for begin in ("[", "{", "- ", "? "))
    loader = (_Loader if nested < MOST_NESTED else yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        scalars.refuse_bomb(node)
        known = loader.construct_document(node) if node else None
    finally:
        loader.dispose()
    if not isinstance(known, dict):
        raise _DamagedError(CONFIG, "it is no mapping")
    return params.flatten(_undoubled(known))


def _undoubled(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Return a value without the doubled dollar signs of a text over several lines, see `scalars.dump`."""
    if isinstance(value, str):
        return value.replace("$$", "$") if "\n" in value else value
    if isinstance(value, list):
        return [_undoubled(item) for item in value]
    return {key: _undoubled(item) for key, item in value.items()} if isinstance(value, dict) else value


_UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError)


class _DamagedError(ValueError):
    """A file of a run that does not hold what it should."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def _damaged(error: Exception) -> str:
    if isinstance(error, _DamagedError):
        return error.name
    if isinstance(error, OSError):
        return Path(error.filename or STATUS).name
    return STATUS if isinstance(error, json.JSONDecodeError) else CONFIG


def _status(folder: Path) -> dict[str, Any]:
    try:
        known = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except RecursionError:
        raise _DamagedError(STATUS, "it is nested too deeply") from None
    if not isinstance(known, dict):
        raise _DamagedError(STATUS, "it is no mapping")
    return known


def _metric(runs: Sequence[LocalRun], wanted: str | None, folder: Path) -> str | None:
    known = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if wanted is None and len(known) < 2:
        return known[0] if known else None
    if wanted is not None and wanted.removesuffix(BEST) in known:
        return wanted
    if wanted in known:
        return wanted
    problem = (
        "It must be said by which metric the runs are compared."
        if wanted is None
        else f"No run has logged a metric {wanted!r}."
    )
    raise ConfigError(problem, where=f"--metric, for {folder}", wanted=wanted, choices=known)


def _trial(run: LocalRun, metric: str | None, goal: str) -> Trial:
    status = run.status
    last, best = _values(run, metric, goal)
    return Trial(
        run_id=run.folder.name,
        name=str(status.get("name") or run.folder.name),
        state=str(status.get("status")),
        params=run.config,
        epochs=status.get("epochs"),
        last=last,
        best=best,
        seconds=run.seconds,
        began=status.get("started"),
        folder=run.folder.absolute(),
    )


def _values(run: LocalRun, metric: str | None, goal: str) -> tuple[float | None, float | None]:
    """Return the last and the best value of the metric."""
    if metric is None:
        return None, None
    name = metric if metric in run.metrics else metric.removesuffix(BEST)
    known = run.metrics.get(name, {})
    last, best = known.get("last"), known.get("best")
    # What the status calls best may be of the other goal, and is behind the rows where the run was killed.
    is_meant = summary.is_max(name, known) == (goal == "maximize")
    if not is_meant or run.status.get("status") in ("running", "died"):
        logged = _logged(run.folder / METRICS, name)
        numbers = [value for value in logged if math.isfinite(value)]
        last = logged[-1] if logged else last
        best = (max if goal == "maximize" else min)(numbers, default=best)
    return (best, best) if name != metric else (last, best)


def _logged(path: Path, name: str) -> list[float]:
    """Return every value of a metric, in order; a line that is damaged or half written is passed over."""
    found: list[float] = []
    quoted = json.dumps(name)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        if quoted not in line:
            continue
        try:
            value = json.loads(line)["metrics"][name]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(value, int | float):
            found.append(float(value))
    return found
