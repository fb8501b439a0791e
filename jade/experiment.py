"""The composition root: an accepted configuration becomes instances, the instances a run.

`verify` refuses what can be refused without building, `assemble` builds, `run` and `check` do the work.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jade import calls, checkpoint, devices, entries, errors, intervals, progress, seeding, signals, summary
from jade.build import Architectures, Builder, Datasets, building
from jade.checkpoint import Checkpoints
from jade.config import Config, override
from jade.errors import ConfigError, ContractError, JadeError, raise_all
from jade.eval import DatasetEvaluation, Evaluation, evaluating
from jade.intervals import Interval
from jade.journal import Journal
from jade.loop import RESERVED, Loop, Plan
from jade.plugins import Plugin, Plugins
from jade.record import Record
from jade.tracking.base import Tracker
from jade.trainer import Trainer

EVERY = "evaluate_every"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How often a run logs and saves; not part of the configuration, for it changes no result."""

    log_loss: Interval
    checkpoint: Interval
    backup: Interval


@dataclass(frozen=True)
class Assembly:
    """What a configuration describes, built."""

    config: Config
    trainer: Trainer
    evaluations: Mapping[str, Evaluation]
    plan: Plan


def verify(config: Config, plugins: Plugins) -> None:
    """Refuse a configuration that cannot be built, without building anything.

    Raises:
        JadeError: with every class that is not found, every parameter that is unknown or missing and every
            interval that is none.
    """
    builder = Builder(plugins, config.where)
    faults = list(_architecture_faults(config, plugins))
    faults += builder.check("model", "model", config.values["model"], "initialize")
    faults += [
        fault
        for name, description in config.values["data"].items()
        for fault in builder.check_unimported("data", f"data.{name}", description)
    ]
    for name, description in config.values["eval"].items():
        faults += builder.check("eval", f"eval.{name}", description, "initialize", (EVERY,))
        faults += _evaluation_faults(config, name, description["params"])
    raise_all(faults or list(_base_class_faults(config, builder)))


def assemble(config: Config, plugins: Plugins, device: torch.device, schedule: Schedule) -> Assembly:
    """Return trainer and evaluations of a configuration, initialized.

    Raises:
        JadeError: if something is missing that `initialize` was to make; all faults of a trainer at once.
    """
    builder = Builder(plugins, config.where)
    seeding.seed_everything(config.values["seed"], "building")
    datasets = Datasets(
        config.values["data"],
        builder.dataset,
        config.where("data"),
    )
    trainer = _trainer(config, plugins, builder, datasets, device)
    evaluations = {
        name: _evaluation(config, builder, name, datasets, trainer) for name in config.values["eval"]
    }
    every = {
        name: intervals.parse(
            _every(description["params"]), "epoch", config.where(f"eval.{name}.params.{EVERY}")
        )
        for name, description in config.values["eval"].items()
    }
    plan = Plan(config.values["epochs"], schedule.log_loss, schedule.checkpoint, schedule.backup, every)
    return Assembly(config, trainer, evaluations, plan)


def _trainer(
    config: Config, plugins: Plugins, builder: Builder, datasets: Datasets, device: torch.device
) -> Trainer:
    description = config.values["model"]
    plugin = builder.find("model", "model", description)
    path = Path(config.values["arch_impl"])
    architecture = Architectures(plugins, path, config.where("arch_impl"))
    params = builder.params("model", "model.params", description["params"])
    with building("model", plugin, config.where("model")):
        trainer: Trainer = _instance(plugin, datasets=datasets, architecture=architecture, device=device)
        trainer.initialize(**params)
    raise_all([*trainer.faults(), *checkpoint.faults(trainer)])
    if trainer.not_stored():
        _log.warning(
            "%s: %s learns, but is in no checkpoint: self.add_attribute_to_store(name) puts it there.",
            plugin.place,
            ", ".join(trainer.not_stored()),
        )
    return trainer.to(trainer.get_device())


def _evaluation(
    config: Config, builder: Builder, name: str, datasets: Datasets, trainer: Trainer
) -> Evaluation:
    key, description = f"eval.{name}", config.values["eval"][name]
    plugin = builder.find("eval", key, description)
    params = builder.params("eval", f"{key}.params", description["params"])
    if EVERY not in calls.accepted_by_method(plugin.target, "initialize").names:
        params.pop(EVERY, None)
    with building(key, plugin, config.where(key)):
        evaluation: Evaluation = _instance(plugin, datasets=datasets, trainer=trainer)
        evaluation.initialize(**params)
    return evaluation


def _instance(plugin: Plugin, **scope: Any) -> Any:  # noqa: ANN401 - a Trainer or an Evaluation
    takes = calls.accepted_by_method(plugin.target, "__init__")
    wrong = [name for name in takes.required if name not in scope]
    if wrong or not (takes.anything or set(scope) <= set(takes.names)):
        raise ContractError(
            f"{plugin.name} overrides __init__, through which JADE hands over {', '.join(scope)}.",
            where=plugin.place,
            hint="Move what it does to initialize(self, …).",
        )
    return plugin.target(**scope)


def _every(params: Mapping[str, Any]) -> object:
    return params.get(EVERY, 1)


def _evaluation_faults(config: Config, name: str, params: Mapping[str, Any]) -> Iterator[JadeError]:
    if name in RESERVED:
        yield ConfigError(
            f"{name!r} is what everything is logged against, and no name for an evaluation.",
            where=config.where(f"eval.{name}"),
        )
    try:
        intervals.parse(_every(params), "epoch", config.where(f"eval.{name}.params.{EVERY}"))
    except JadeError as fault:
        yield fault


def _architecture_faults(config: Config, plugins: Plugins) -> Iterator[JadeError]:
    try:
        plugins.architectures(Path(config.values["arch_impl"]), config.where("arch_impl"))
    except JadeError as fault:
        yield fault


def _base_class_faults(config: Config, builder: Builder) -> Iterator[JadeError]:
    described: list[tuple[str, str, Any, type]] = [("model", "model", config.values["model"], Trainer)]
    described += [("eval", f"eval.{name}", node, Evaluation) for name, node in config.values["eval"].items()]
    for kind, key, description, base in described:
        plugin = builder.find(kind, key, description)
        if not issubclass(plugin.target, base):
            yield ContractError(
                f"{plugin.name} is no {base.__name__}.",
                where=f"{plugin.place}, named at {config.where(f'{key}.class')}",
                hint=f"from {base.__module__} import {base.__name__}\n"
                f"class {plugin.name}({base.__name__}): …",
            )
            continue
        yield from _method_faults(plugin, base)


def _method_faults(plugin: Plugin, base: type) -> Iterator[JadeError]:
    """Yield what a class does not define, or defines with parameters that JADE does not give."""
    needed = ["train_step"] if base is Trainer else ["evaluate"]
    if base is Evaluation and issubclass(plugin.target, DatasetEvaluation):
        needed.append("evaluate_batch")
    for name in needed:
        method = getattr(plugin.target, name)
        given = "self, data" if name != "evaluate" else "self"
        if method.__module__ == base.__module__ and method.__qualname__ != "DatasetEvaluation.evaluate":
            problem = f"{plugin.name} defines no {name}({given})."
        elif not calls.fits(method, given.count(",") + 1):
            problem = f"{plugin.name}.{name} cannot be called with ({given})."
        else:
            continue
        yield ContractError(problem, where=plugin.place, hint=f"def {name}({given}): …")


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens: facts that are recorded, never swept."""

    plugins: Plugins
    device: torch.device
    schedule: Schedule
    command: list[str]
    name: str | None = None


def run(accepted: Config, around: Surroundings, record: Record, tracker: Tracker) -> int:
    """Train, evaluate, log and save one run; return the exit code of the process.

    Everything that can be refused is refused before the run's folder or the tracker's run exist, unless a
    sweep is to change the params first.

    Raises:
        JadeError: if the configuration, the modules, the disk or the tracker must be mended first.
    """
    assembly = None
    if not tracker.changes_params:
        assembly = assemble(accepted, around.plugins, around.device, around.schedule)
    journal = Journal(tracker, record, progress.choose(accepted.values["epochs"]))
    record.create()
    try:
        effective = tracker.start(accepted.flat)
    except BaseException:
        record.remove()
        raise
    stop, status = signals.Stop(), "failed"
    try:
        record.update_status("running", name=around.name)
        if assembly is None or effective != accepted.flat:
            accepted = override(accepted, effective, "sweep")
            verify(accepted, around.plugins)
            assembly = assemble(accepted, around.plugins, around.device, around.schedule)
        _describe(accepted, around, record, tracker)
        with signals.handled(stop):
            _train(assembly, journal, record, stop)
        status = "stopped" if stop else "finished"
    except KeyboardInterrupt:  # a second Ctrl-C: nothing more is done, not even a backup
        status = "stopped"
        stop.request(signals.INTERRUPT)
    finally:
        journal.progress.close()
        point = (assembly.trainer.iterations, assembly.trainer.epochs) if assembly else (0, 0)
        try:
            journal.status(status, *point)
        except JadeError as error:  # the disk is full: what broke the run must not be hidden by that
            _log.error("%s", error)
        finally:
            tracker.finish(status)
        _log.info(
            "%s", summary.text(journal.metrics, status, _relative(record.directory), tracker.way_to_it())
        )
    return stop.exit_code


def _train(assembly: Assembly, journal: Journal, record: Record, stop: signals.Stop) -> None:
    # Training draws from its own stream, whatever was drawn since the networks were made.
    seeding.seed_everything(assembly.config.values["seed"], "training")
    checkpoints = Checkpoints(record.directory)
    Loop(assembly.trainer, assembly.evaluations, journal, checkpoints, assembly.plan, stop).run()


def _describe(accepted: Config, around: Surroundings, record: Record, tracker: Tracker) -> None:
    facts = {
        "torch_threads": torch.get_num_threads(),
        "device": str(around.device),
        "device_name": devices.full_name(around.device),
    }
    left_out = record.describe(
        accepted,
        around.plugins.project,
        around.command,
        facts,
        around.plugins.located(Path(accepted.values["arch_impl"])),
    )
    if left_out:
        _log.warning("Not in the copy of the code: %s.", ", ".join(left_out))
    for path in record.files():
        tracker.keep(path)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def check(accepted: Config, around: Surroundings) -> list[Exception]:
    """Build everything, make one training step and run each evaluation once; write nothing.

    Returns:
        What went wrong, in the order of a run; a user's own exception has its traceback.
    """
    try:
        assembly = assemble(accepted, around.plugins, around.device, around.schedule)
    except Exception as error:  # noqa: BLE001 - it is reported, not hidden
        return [error]
    seeding.seed_everything(accepted.values["seed"], "training")
    trainer, wrong = assembly.trainer, []
    trainer.taken_names = frozenset({*assembly.evaluations, *RESERVED})
    try:
        trainer.on_start()
        trainer.train()
        data = next(iter(trainer.train_loader), None)
        if data is None:
            raise ContractError(f"The train_loader of {type(trainer).__name__} gives no batch.")
        trainer.train_step(devices.move(data, trainer.get_device()))
        trainer.on_iteration_end()
        trainer.take_losses()
    except Exception as error:  # noqa: BLE001 - as above
        error.add_note(f"in the first step of {type(trainer).__name__}")
        wrong.append(error)
    for name, evaluation in assembly.evaluations.items():
        try:
            with evaluating(trainer):
                entries.from_evaluation(name, evaluation.evaluate(), trainer.iterations)
        except Exception as error:  # noqa: BLE001 - as above
            error.add_note(f"in the evaluation {name!r}")
            wrong.append(error)
    unique = {(type(error), str(error)): error for error in wrong}
    return list(unique.values())


def told(error: Exception) -> str:
    """Return an exception as `check` prints it: a JadeError as text, anything else with its traceback."""
    if isinstance(error, JadeError):
        return errors.shown(error)
    return "".join(traceback.format_exception(error)).rstrip()
