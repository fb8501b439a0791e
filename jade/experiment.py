"""A run from its beginning, or from where it was left, to its end: folder, lock, tracker, loop.

The composition root: what `assembly` builds, `record` keeps and a tracker follows meets in `run`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from jade import begun, best, devices, lock, progress, resume, scalars, signals, snapshot, summary
from jade.assembly import Assembly, Begin, assemble, told, verify
from jade.begun import Begun
from jade.checkpoint import Checkpoints
from jade.checkpoint_index import BEGINNING
from jade.config import Config, override
from jade.errors import CheckpointError, ConfigError, JadeError
from jade.journal import Journal
from jade.loop import Loop
from jade.plugins import Plugins
from jade.publishing import Publishing
from jade.record import Record
from jade.resume import Earlier
from jade.schedule import Aim, Schedule
from jade.tracking.base import Tracker
from jade.warm import Lookup, opened

SWEEP = "sweep"  # where a value comes from

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens: facts that are recorded, never swept.

    Attributes:
        plugins: the user's code.
        device: that the run trains on.
        schedule: how often the run logs and saves.
        said: the same as it was said, to be recorded.
        command: that started the process.
        environ: the environment.
        stop: set by signals, by the time limit and by W&B.
        name: of the run.
        facts: more of them, such as which run this one is made after.
        begun: how that run began, if it did with the weights of another one.
    """

    plugins: Plugins
    device: torch.device
    schedule: Schedule
    said: Mapping[str, str]
    command: list[str]
    environ: Mapping[str, str]
    stop: signals.Stop = field(default_factory=signals.Stop)
    name: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    begun: Begun | None = None


@dataclass(frozen=True)
class Continued:
    """A run that goes on, in its own folder.

    Attributes:
        earlier: what its folder says.
        state: of its newest whole checkpoint; None if it left none: it starts over.
        changed_code: the files on disk that differ from its snapshot.
        code: what is used then, "snapshot" or "current".
    """

    earlier: Earlier
    state: Mapping[str, Any] | None
    changed_code: Sequence[str] = ()
    code: str = "snapshot"


def newest_state(checkpoints: Checkpoints, damaged_is_lost: bool) -> dict[str, Any] | None:
    """Return what the newest whole checkpoint of a folder holds; None if there is none to go on from.

    Args:
        checkpoints: the folder.
        damaged_is_lost: whether checkpoints that are all damaged are as good as none; they are put aside.

    Raises:
        CheckpointError: if all are damaged, or the newest one cannot be gone on from.
    """
    try:
        found = checkpoints.newest()
    except CheckpointError as error:
        if not damaged_is_lost:
            raise
        _log.warning("%s\nThe run starts over.", error)
        checkpoints.put_aside()
        return None
    if found is None:
        _log.info("The run %s has no checkpoint yet: it starts over in its folder.", checkpoints.folder.name)
        return None
    path, state = found
    if state.get("run", checkpoints.folder.name) != checkpoints.folder.name:
        _log.warning("%s is of the run %s.", path, state["run"])
    if not {"loop", "journal", "evaluations"} <= set(state):
        raise CheckpointError(f"{path} holds a model, but not what a run goes on from.")
    return state


def is_complete(state: Mapping[str, Any], config: Config) -> bool:
    """Say whether a run has nothing left to do.

    Raises:
        ConfigError: if it is to make fewer epochs than it has made.
    """
    loop, epochs = state["loop"], config.values["epochs"]
    if loop["finished"]:
        return bool(loop["has_ended"]) or state["epochs"] >= epochs
    if epochs < state["epochs"]:
        raise ConfigError(
            f"The run is to make {epochs} epochs, but has made {state['epochs']} already.",
            where=config.where("epochs"),
        )
    return False


def run(
    accepted: Config, around: Surroundings, record: Record, tracker: Tracker, before: Continued | None = None
) -> int:
    """Train, evaluate, log and save one run; return the exit code of the process.

    Everything that can be refused is refused before the run's folder or the tracker's run exist, unless a
    sweep is to change the params first.

    Args:
        accepted: the configuration.
        around: where the run happens.
        record: the run's folder, which is there, and locked, where the run is a `before`.
        tracker: follows the run.
        before: the run as it was left, if it goes on.

    Raises:
        JadeError: if the configuration, the modules, the disk or the tracker must be mended first.
    """
    with signals.handled(around.stop), ExitStack() as stack:
        around.stop.at_once = True
        try:
            assembly = None
            if before or not tracker.changes_params:
                assembly = _assembled(accepted, around, record, before)
            if not record.was_there:
                record.create()
                stack.enter_context(lock.owned(record.directory, around.environ))
            return _Run(accepted, around, record, tracker, before).do(assembly)
        except signals.Stopped:
            _log.info("The run was stopped before it began.")
            return around.stop.exit_code


def conditions(device: torch.device) -> dict[str, Any]:
    """Return what decides, besides versions, whether a run on a device gives the same bits."""
    return {
        "torch_threads": torch.get_num_threads(),
        "device": str(device),
        "device_name": devices.full_name(device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _assembled(config: Config, around: Surroundings, record: Record, before: Continued | None) -> Assembly:
    begin = beginning(config, Lookup(record.directory.parent, around.environ), before, around.begun)
    return assemble(config, around.plugins, around.device, around.schedule, begin)


def beginning(
    config: Config, lookup: Lookup, before: Continued | None, earlier: Begun | None = None
) -> Begin | None:
    """Return what gives a run the weights that its configuration says it begins with, read already.

    A run that goes on is given what it took then, before its checkpoint: `on_start` may look at it.

    Args:
        config: the configuration.
        lookup: where the other run is looked for.
        before: the run as it was left, if it goes on.
        earlier: how the run began that this one is made after.

    Raises:
        JadeError: if the other run, or its checkpoint, is not there.
    """
    if before is not None:
        directory, facts = before.earlier.directory, _mapping(before.earlier.facts.get("init_from"))
        earlier = Begun(directory / BEGINNING, facts, goes_on=before.state is not None)
    found = opened(config, lookup, earlier)
    return found.give if found else None


class _Run:
    """One process of a run, from the opened folder to the closed tracker."""

    def __init__(
        self,
        accepted: Config,
        around: Surroundings,
        record: Record,
        tracker: Tracker,
        before: Continued | None,
    ) -> None:
        self._accepted = accepted
        self._around = around
        self._record = record
        self._tracker = tracker
        self._before = before
        self._state = before.state if before else None
        self._journal = Journal(tracker, record, progress.hidden())
        self._sweep: Mapping[str, Any] = {}
        self._publishing: Publishing | None = None
        self._datasets: dict[str, Any] = {}  # as they are recorded

    def do(self, assembly: Assembly | None) -> int:
        """Open the tracker, train, close everything; return the exit code."""
        record, stop = self._record, self._around.stop
        status = "failed"
        try:
            effective = self._start()
        except BaseException:
            if not record.was_there:
                record.remove()
            raise
        try:
            record.update_status("running", **({"name": self._around.name} if self._around.name else {}))
            if assembly is None or (self._before is None and effective != self._accepted.flat):
                self._accepted = override(self._accepted, effective, SWEEP)
                with _telling(self._accepted):
                    verify(self._accepted, self._around.plugins)
                    best.verify(self._around.schedule.best_metric, self._accepted, self._around.plugins)
                    assembly = _assembled(self._accepted, self._around, record, self._before)
            self._sweep = self._tracker.sweep() or {}
            self._datasets = dict(
                _mapping(self._before.earlier.facts.get("datasets")) if self._before else {}
            )
            self._describe(assembly)
            status = "finished" if self._train(assembly) else "stopped"
        except (KeyboardInterrupt, signals.Stopped) as error:
            # A second Ctrl-C: nothing more is done, not even a backup. Or a signal before the first step.
            status = "stopped"
            if isinstance(error, KeyboardInterrupt):
                stop.request(signals.INTERRUPT)
        except Exception as error:
            self._tracker.tell(told(error))  # only now: who catches it prints it when the run is closed
            raise
        finally:
            self._close(status, assembly)
        return 0 if status == "finished" else stop.exit_code

    def _start(self) -> dict[str, Any]:
        """Open the tracker, for a run that goes on at the point of its checkpoint."""
        if not self._record.was_there:
            return self._tracker.start(self._accepted.flat)
        journal: Mapping[str, Any] = {"rows": 0, "runtime": 0.0}
        if self._state:
            journal = self._state["journal"]
            _log.info("The run %s goes on: %s.", self._record.run_id, _point(self._state))
        rows = self._record.continue_from(journal["rows"], journal["runtime"])
        return self._tracker.start(self._accepted.flat, rows)

    def _train(self, assembly: Assembly) -> bool:
        around = self._around
        self._journal.progress = progress.choose(self._accepted.values["epochs"])  # which a sweep may set
        checkpoints = Checkpoints(self._record.directory, around.schedule.kept)
        plan = replace(assembly.plan, aim=around.schedule.aim(self._swept_aim()))
        if plan.aim is not None:
            self._journal.metrics.modes[plan.aim.metric] = plan.aim.mode
        self._publishing = Publishing(
            self._tracker, self._record, around.schedule, self._accepted, self._sweep
        )
        self._journal.kept = self._publishing.keep
        loop = Loop(assembly.trainer, assembly.evaluations, self._journal, checkpoints, plan, around.stop)
        return loop.run(self._state)

    def _swept_aim(self) -> Aim | None:
        """Return what the run's sweep looks at; for one that goes on unconnected, what it was told before."""
        told = _mapping(self._before.earlier.facts.get("sweep")) if self._before else {}
        metric = _mapping({**told, **self._sweep}.get("metric"))
        if not metric.get("name"):
            return None
        return Aim(str(metric["name"]), "max" if metric.get("goal") == "maximize" else "min")

    def _close(self, status: str, assembly: Assembly | None) -> None:
        tracker, stop, journal = self._tracker, self._around.stop, self._journal
        journal.progress.close()
        point = (assembly.trainer.iterations, assembly.trainer.epochs) if assembly else (0, 0)
        if self._state:  # the trainer may not have come to it yet
            point = max(point, (self._state["iterations"], self._state["epochs"]))
        try:
            journal.status(status, *point)
            self._add_lengths(assembly)
            for path in self._record.reports():
                tracker.keep(path)
        except JadeError as error:  # the disk is full: what broke the run must not be hidden by that
            _log.error("%s", error)
        finally:
            code = 0 if status == "finished" else stop.exit_code
            # The agent of a sweep ends a trial by the same signal as a scheduler does.
            if status == "stopped" and stop.is_preempting(self._around.environ):
                if tracker.was_stopped():
                    stop.was_final = True
                    code = stop.exit_code
                else:
                    tracker.mark_preempting()
            if self._publishing and (status == "finished" or stop.was_final):
                self._publishing.end()
            tracker.finish(status, code)
        directory = self._record.directory
        _log.info("%s", summary.text(journal.metrics, status, _relative(directory), tracker.way_to_it()))

    def _add_lengths(self, assembly: Assembly | None) -> None:
        """Record how long the datasets are that were built after the run began."""
        before = dict(self._datasets)
        self._take_lengths(assembly)
        if self._datasets != before:
            self._tracker.keep(self._record.update_environment(datasets=self._datasets))

    def _take_lengths(self, assembly: Assembly | None) -> None:
        lengths = assembly.datasets.lengths() if assembly else {}
        self._datasets |= {name: {"length": length} for name, length in lengths.items()}

    def _describe(self, assembly: Assembly) -> None:
        around, record = self._around, self._record
        self._tracker.describe(self._accepted.flat)
        facts = {
            **conditions(around.device),
            "schedule": dict(around.said),
            "variables": dict(self._accepted.variables),
            **around.facts,
        }
        self._take_lengths(assembly)
        found = {"datasets": self._datasets, **({"sweep": dict(self._sweep)} if self._sweep else {})}
        found |= self._kept_beginning(assembly)
        architecture = around.plugins.located(Path(self._accepted.values["arch_impl"]))
        left_out: list[str] = []
        if self._before is None:
            left_out = record.describe(
                self._accepted, around.plugins.project, around.command, {**facts, **found}, architecture
            )
        else:
            self._describe_going_on(self._before, facts, architecture)
            record.update_environment(schedule=dict(around.said), **found)
        if left_out:
            _log.warning("Not in the copy of the code: %s.", ", ".join(left_out))
        for path in record.files():
            self._tracker.keep(path)
        for path in sorted(record.directory.glob("*.pt")):
            self._tracker.keep(path)

    def _kept_beginning(self, assembly: Assembly) -> dict[str, Any]:
        """Keep what the run begins with, and tell the tracker whose it is; return what is recorded of it."""
        found = assembly.beginning
        if not found:
            return {}
        begun.keep(self._record.directory, assembly.trainer, found)
        if "artifact" in found:
            self._tracker.uses(found["artifact"])
        return {"init_from": dict(found)}

    def _describe_going_on(self, before: Continued, facts: Mapping[str, Any], architecture: Path) -> None:
        around, record = self._around, self._record
        now = {**snapshot.environment(around.command), **facts}
        differing = resume.differing(before.earlier.facts, now)
        if differing:
            _log.warning("The run goes on, but not with the same bits: %s.", "; ".join(differing))
        if before.code == "current":
            record.copy_code(around.plugins.project, architecture)
        record.describe_config(self._accepted)
        record.interrupted(
            iterations=self._state["iterations"] if self._state else 0,
            was=before.earlier.status.get("status"),
            machine=now["machine"],
            command=around.command,
            differing=differing,
            changed_code=list(before.changed_code),
            code=before.code,
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@contextmanager
def _telling(accepted: Config) -> Iterator[None]:
    """Add to what goes wrong which values no file says."""
    try:
        yield
    except Exception as error:
        flat = accepted.flat
        swept = [key for key in flat if accepted.origins.get(key) == SWEEP]
        if swept:
            shown = ", ".join(f"{key}={scalars.dump(flat[key], flow=True)}" for key in swept)
            error.add_note(f"with what the sweep set: {shown}")
        raise


def _point(state: Mapping[str, Any]) -> str:
    position = state["loop"]["position"]
    within = f", batch {position}" if position else ""
    return f"epoch {state['epochs']}{within}, iteration {state['iterations']}"


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
