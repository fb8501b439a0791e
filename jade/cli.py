"""From the command line to a finished run: what `python train.py …` does, and the exit code it ends with."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jade import config, lock, resume, scalars, snapshot
from jade.config import Config
from jade.errors import CheckpointError, ConfigError, JadeError, harmless, shown
from jade.options import AUTO, Options, parse_options
from jade.record import Record
from jade.resume import Earlier
from jade.schedule import DEFAULT_EVERY, schedule_of
from jade.signals import Stop
from jade.stored import cache, trust

if TYPE_CHECKING:
    from jade.begun import Begun
    from jade.tracking.base import Tracker

DEFAULTS = {name: text for name, (text, _) in DEFAULT_EVERY.items()}

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str], project: Path | None = None) -> int:
    """Run `train` and return the exit code: 0, 1 for a failed run, 2 for bad input, 128 + n for a signal.

    Args:
        arguments: the command line without the program's name.
        project: the folder with `modules/`; the present one if None.
    """
    set_up_logging()
    try:
        return _train(parse_options(arguments, os.environ), (project or Path.cwd()).resolve())
    except JadeError as error:
        if os.environ.get("JADE_TRACEBACK"):
            raise
        sys.stderr.write(f"{shown(error)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before the run began.\n")
        return 128 + signal.SIGINT


def set_up_logging() -> None:
    """Have JADE's lines on stderr, as they are."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("jade").setLevel(logging.INFO)


class _Harmless(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def run_again(
    accepted: Config, options: Options, code: Path, facts: Mapping[str, Any], begun: Begun | None = None
) -> tuple[int, Path]:
    """Begin a new run with a configuration and a copy of code that another run had.

    Args:
        accepted: the configuration.
        options: the command line.
        code: the copy.
        facts: to be recorded of the new run.
        begun: how the other run began, if it did with the weights of a third one.

    Returns:
        The exit code, and the run's folder.
    """
    _enter_environment(options)
    record = _record(options)
    start = _Start(record, Stop(), is_snapshot=True, facts=facts, begun=begun)
    return _run(accepted, options, code, start), record.directory


def _train(options: Options, project: Path) -> int:
    stop = Stop()
    if options.resume and options.resume != AUTO:
        return _continue(options, project, stop)
    if not (project / "modules").is_dir():
        raise ConfigError(
            f"There is no folder modules/ in {project}.",
            where="current folder",
            hint="A project has one; `python -m jade new DIR` makes a project.",
        )
    accepted = config.compose(options.files, options.top, options.overrides, options.environ, options.params)
    if options.print_config:
        sys.stdout.write(with_origins(accepted))
        return 0
    _enter_environment(options)
    if options.resume and not options.check:
        return _begin_or_continue(accepted, options, project, stop)
    record = _record(options)
    return _run(accepted, options, project, _Start(record, stop))


@dataclass(frozen=True)
class _Start:
    """Into which folder a run writes, what stops it, and what it goes on from."""

    record: Record
    stop: Stop
    earlier: Earlier | None = None
    damaged_is_lost: bool = False
    is_snapshot: bool = False  # whether the project is a run's copy of its code
    facts: Mapping[str, Any] = field(default_factory=dict)
    begun: Begun | None = None  # how the run began that this one is made after


def _continue(options: Options, project: Path, stop: Stop) -> int:
    """Continue the run that --resume names."""
    named = str(options.resume)
    root = options.experiments_root
    if resume.is_remote(named) and not (root / Path(named).name / resume.CONFIG).is_file():
        _enter_environment(options)
        if not _fetched(named, root / Path(named).name, options):
            raise CheckpointError(f"There is no run {named} with a backup on W&B.", where="--resume")
    folder = resume.located(named if not resume.is_remote(named) else Path(named).name, root)
    accepted = resume.configuration(resume.read(folder), options, None)
    if options.print_config:
        sys.stdout.write(with_origins(accepted))
        return 0
    _enter_environment(options)
    record = Record(folder.parent, folder.name)
    with lock.owned(folder, options.environ):
        record.was_there = True
        # Again: whoever owned it until now may have changed it.
        earlier = resume.read(folder)
        return _run(accepted, options, project, _Start(record, stop, earlier))


def _begin_or_continue(accepted: Config, options: Options, project: Path, stop: Stop) -> int:
    """Do what --resume auto says: continue the run of this id if there is one, else begin it."""
    record = _record(options)
    folder = record.directory
    path = _path_on_wandb(options, record.run_id)
    # Where this process would log it, under its id: it is the same run, whichever entity it belongs to.
    if not folder.is_dir() and not _fetched(path, folder, options, is_own=True):
        if options.environ.get("WANDB_SWEEP_ID") is None:
            _log.info("There is no run %s yet: it begins now.", record.run_id)
        return _run(accepted, options, project, _Start(record, stop))
    with lock.owned(folder, options.environ):
        record.was_there = True
        if not (folder / resume.CONFIG).is_file():
            _log.info(
                "The run %s left nothing to continue from: it starts over in its folder.", record.run_id
            )
            record.start_over()
            return _run(accepted, options, project, _Start(record, stop))
        earlier = resume.read(folder)
        accepted = resume.configuration(earlier, options, accepted)
        return _run(accepted, options, project, _Start(record, stop, earlier, damaged_is_lost=True))


def _record(options: Options) -> Record:
    return Record(options.experiments_root, options.run_id, options.run_id_from)


def _enter_environment(options: Options) -> None:
    # wandb, torch and the user's code read the environment themselves.
    os.environ.update({name: value for name, value in options.environ.items() if name not in os.environ})
    # Threads that spin while they wait take the cores from other trials on the machine; torch reads it once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _path_on_wandb(options: Options, run_id: str) -> str:
    from jade.tracking.wandb_run import DEFAULT_PROJECT  # wandb takes half a second

    entity = options.environ.get("WANDB_ENTITY") or options.environ.get("WANDB_USER")
    names = [entity, options.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT, run_id]
    return "/".join(name for name in names if name)


def _fetched(path: str, folder: Path, options: Options, *, is_own: bool = False) -> bool:
    """Fetch a run's folder from W&B; return whether there was one."""
    if options.tracker == "local":
        return False
    from jade.tracking import wandb_run, wandb_store  # wandb takes half a second

    if not wandb_run.is_online(options.environ):
        return False
    return wandb_store.WandbStore(options.environ).fetch(path, folder, is_own=is_own)


def _check_trust(earlier: Earlier, accepted: Config, options: Options, home: Path) -> None:
    """Refuse to execute what a run brings that was fetched from another entity's, unless it is trusted.

    Args:
        earlier: the run.
        accepted: the configuration that it goes on with.
        options: the command line.
        home: the folder whose code is used, the run's copy or the project.
    """
    is_copy = home == earlier.code
    asked = trust.Asked(
        accepted.values, snapshot.digest(home) if is_copy else None, None if is_copy else home
    )
    records = cache.root(options.environ) / trust.RECORDS
    trust.require_to_go_on(earlier.directory, asked, records, is_given=options.trust_code)


def _run(accepted: Config, options: Options, project: Path, start: _Start) -> int:
    # torch takes more than a second to import: --help, --print-config and bad YAML do not wait for it.
    from jade import assembly, best, devices, experiment
    from jade.checkpoint import Checkpoints
    from jade.plugins import Plugins
    from jade.warm import Lookup

    before, name = None, options.run_name
    said = {**(start.earlier.schedule if start.earlier else {}), **options.schedule}
    schedule = schedule_of(said)
    plugins = Plugins(project, snapshot=start.is_snapshot)
    if start.earlier:
        name = name or start.earlier.status.get("name")
        state = experiment.newest_state(Checkpoints(start.record.directory), start.damaged_is_lost)
        is_complete = (
            state
            and experiment.is_complete(state, accepted)
            and start.earlier.status.get("status") == "finished"
        )
        # A sweep that hands out a complete trial did not hear of its end, which is told to it now.
        if state and is_complete and not options.environ.get("WANDB_SWEEP_ID"):
            _log.info("%s", resume.told_complete(start.record.run_id, state, accepted.values["epochs"]))
            return 0
        architecture = plugins.located(Path(accepted.values["arch_impl"]))
        # Without a checkpoint nothing is to be continued: the code may have been mended since.
        wanted = options.code if state else "current"
        home, changed = resume.project_of(start.earlier, project, architecture, wanted)
        _check_trust(start.earlier, accepted, options, home)
        plugins = plugins if home == project else Plugins(home, snapshot=True)
        code = "current" if changed and home == project else "snapshot"
        before = experiment.Continued(start.earlier, state, changed, code)
    assembly.verify(accepted, plugins)
    if not options.environ.get("WANDB_SWEEP_ID"):  # which may choose other classes
        best.verify(schedule.best_metric, accepted, plugins)
    device = devices.choose(options.device, options.device_from)
    if options.check:
        lookup = Lookup(start.record.directory.parent, options.environ)
        begin = experiment.beginning(accepted, lookup, before, start.begun)
        return _report(assembly.check(accepted, plugins, device, schedule, begin))
    if schedule.seconds is not None:
        start.stop.limit(schedule.seconds)
    around = experiment.Surroundings(
        plugins,
        device,
        schedule,
        {**DEFAULTS, **said},
        [sys.executable, *sys.argv],
        options.environ,
        start.stop,
        name,
        start.facts,
        start.begun,
    )
    tracker = _tracker(options, start.record, start.stop, name)
    return experiment.run(accepted, around, start.record, tracker, before)


def _tracker(options: Options, record: Record, stop: Stop, name: str | None) -> Tracker:
    # Each tracker is imported only where it is used: wandb takes half a second.
    if options.tracker == "local":
        from jade.tracking.local import LocalTracker

        return LocalTracker(record)
    from jade.tracking.wandb_run import WandbTracker

    return WandbTracker(record, options.environ, name, stop.request)


def _report(wrong: Sequence[Exception]) -> int:
    from jade.assembly import told  # imports torch, which --check has loaded by now

    if not wrong:
        sys.stdout.write(
            "ok: everything was built; one step and every evaluation ran; nothing was written.\n"
        )
        return 0
    sys.stderr.write("\n\n".join(told(error) for error in wrong) + "\n")
    return min(error.exit_code if isinstance(error, JadeError) else 1 for error in wrong)


def with_origins(accepted: Config) -> str:
    """Return a configuration as text: one dotted key a line, with the place where its value was written."""
    values = {key: scalars.dump(value, flow=True) for key, value in accepted.flat.items()}
    width = max(len(f"{key}: {value}") for key, value in values.items() if len(value) <= 60)
    lines = []
    for key, value in values.items():
        written = f"{key}: {value}"
        origin = accepted.where(key).removesuffix(f" ({key})")
        lines.append(f"{written:<{width}}  # {origin}\n")
    return "".join(lines)
