"""An accepted configuration becomes instances: the user's trainer and evaluations.

`verify` refuses what can be refused without building, `assemble` builds, `check` tries what was built.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jade import batches, calls, devices, divergence, entries, errors, intervals, seeding, state
from jade.build import Architectures, Builder, Datasets, building
from jade.config import Config
from jade.errors import ConfigError, ContractError, JadeError, raise_all
from jade.eval import DatasetEvaluation, Evaluation, evaluating
from jade.loop import RESERVED
from jade.plugins import Plugin, Plugins
from jade.schedule import Plan, Schedule
from jade.trainer import Trainer

EVERY = "evaluate_every"
# Gives a trainer the weights it begins with, and returns what is recorded of that.
Begin = Callable[[Trainer], Mapping[str, Any]]


@dataclass(frozen=True)
class Assembly:
    """What a configuration describes, built; datasets are, once they were asked for.

    Attributes:
        beginning: with whose weights the trainer begins, as it is recorded; None if with its own, empty if
            that is recorded already.
    """

    config: Config
    trainer: Trainer
    evaluations: Mapping[str, Evaluation]
    plan: Plan
    datasets: Datasets
    beginning: Mapping[str, Any] | None = None


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


def assemble(
    config: Config,
    plugins: Plugins,
    device: torch.device,
    schedule: Schedule,
    begin: Begin | None = None,
) -> Assembly:
    """Return trainer and evaluations of a configuration, initialized.

    Args:
        config: the configuration.
        plugins: the user's code.
        device: that the trainer is on.
        schedule: how often the run logs and saves.
        begin: gives the trainer the weights of another run, see `warm`; None where it begins with its own.

    Raises:
        JadeError: if something is missing that `initialize` was to make; all faults of a trainer at once. If
            the weights to begin with do not fit.
    """
    builder = Builder(plugins, config.where)
    if config.values["deterministic"]:
        seeding.be_deterministic()
    seeding.seed_everything(config.values["seed"], "building", device)
    datasets = Datasets(
        config.values["data"],
        builder.dataset,
        config.where("data"),
    )
    trainer = trainer_of(config, plugins, datasets, device)
    raise_all([*trainer.faults(), *state.faults(trainer)])
    beginning = begin(trainer) if begin else None  # before the evaluations, which may look at the weights
    evaluations = {
        name: evaluation_of(config, plugins, name, datasets, trainer) for name in config.values["eval"]
    }
    every = {
        name: intervals.parse(
            _every(description["params"]), "epoch", config.where(f"eval.{name}.params.{EVERY}")
        )
        for name, description in config.values["eval"].items()
    }
    seed, epochs = config.values["seed"], config.values["epochs"]
    plan = Plan(
        seed,
        epochs,
        schedule.log_loss,
        schedule.checkpoint,
        schedule.backup,
        every,
        schedule.allow_nan,
    )
    return Assembly(config, trainer, evaluations, plan, datasets, beginning)


def trainer_of(config: Config, plugins: Plugins, datasets: Datasets, device: torch.device) -> Trainer:
    """Return the trainer that a configuration describes, initialized; what it lacks is not looked for.

    Raises:
        JadeError: if its class or the architecture file is not found, or cannot be imported.
    """
    builder, description = Builder(plugins, config.where), config.values["model"]
    plugin = builder.find("model", "model", description)
    path = Path(config.values["arch_impl"])
    architecture = Architectures(plugins, path, config.where("arch_impl"))
    params = builder.params("model", "model.params", description["params"])
    with building("model", plugin, config.where("model")):
        trainer: Trainer = _instance(plugin, datasets=datasets, architecture=architecture, device=device)
        trainer.initialize(**params)
    return trainer.to(trainer.get_device())


def evaluation_of(
    config: Config, plugins: Plugins, name: str, datasets: Datasets, trainer: Trainer
) -> Evaluation:
    """Return one of the evaluations that a configuration describes, initialized.

    Raises:
        JadeError: if its class is not found, cannot be imported, or lacks what it says that it stores.
    """
    builder, key, description = Builder(plugins, config.where), f"eval.{name}", config.values["eval"][name]
    plugin = builder.find("eval", key, description)
    params = builder.params("eval", f"{key}.params", description["params"])
    if EVERY not in calls.accepted_by_method(plugin.target, "initialize").names:
        params.pop(EVERY, None)
    with building(key, plugin, config.where(key)):
        evaluation: Evaluation = _instance(plugin, datasets=datasets, trainer=trainer)
        evaluation.initialize(**params)
    raise_all([*_missing_attributes(evaluation), *state.faults(evaluation)])
    return evaluation


def _missing_attributes(evaluation: Evaluation) -> Iterator[JadeError]:
    for name in evaluation._stored:
        if not hasattr(evaluation, name):
            yield ContractError(
                f"{type(evaluation).__name__} stores the attribute {name!r}, which it does not have.",
                where=calls.place_of(type(evaluation)),
                hint=f"initialize must set self.{name}",
            )


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


def check(
    accepted: Config,
    plugins: Plugins,
    device: torch.device,
    schedule: Schedule,
    begin: Begin | None = None,
) -> list[Exception]:
    """Build everything, make one training step and run each evaluation once; write nothing.

    Args are those of `assemble`.

    Returns:
        What went wrong, in the order of a run; a user's own exception has its traceback.
    """
    try:
        assembly = assemble(accepted, plugins, device, schedule, begin)
    except Exception as error:  # noqa: BLE001 - it is reported, not hidden
        return [error]
    seeding.seed_everything(accepted.values["seed"], "training", device)
    trainer, wrong = assembly.trainer, []
    trainer.taken_names = frozenset({*assembly.evaluations, *RESERVED})
    try:
        trainer.on_start()
        trainer.train()
        drawn = batches.batches_of(trainer.train_loader, accepted.values["seed"], "train_loader", device)
        data = next(drawn.epoch(0), None)
        if data is None:
            raise ContractError(f"The train_loader of {type(trainer).__name__} gives no batch.")
        trainer.train_step(devices.move(data, trainer.get_device()))
        trainer.on_iteration_end()
        losses = trainer.take_losses()
        if not schedule.allow_nan:
            divergence.refuse(losses, trainer.iterations, trainer.epochs)
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
