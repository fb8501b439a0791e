"""What a stored run describes, built again: its classes, its trainer with the weights, its evaluations.

Two kinds of code can build it: the run's own copy, imported beside everything else, or the present
`modules/`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jade import assembly, config, entries, eval, seeding, state, warm
from jade.begun import Begun
from jade.build import Architectures, Builder, Datasets
from jade.config import Config
from jade.entries import Entry
from jade.errors import CheckpointError, ConfigError, JadeError, PluginError, first_line, raise_all
from jade.eval import Evaluation, evaluating
from jade.plugins import Plugins
from jade.stored import package_versions, standin
from jade.trainer import Trainer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is to be opened.

    Attributes:
        path: of the file.
        state: what it holds.
        device: that the trainer is placed on.
        beginning: the file of the weights that the run began with, where they were another run's.
    """

    path: Path
    state: Mapping[str, Any]
    device: torch.device
    beginning: Path | None = None


@dataclass(frozen=True)
class Opened:
    """A stored run whose code may be executed.

    Attributes:
        label: what the run is called.
        config: on this machine.
        plugins: its classes.
        facts: `environment.json`.
        code: the folder of its copy of the code.
        has_own_data: whether its datasets are those that the run had.
    """

    label: str
    config: Config
    plugins: Plugins
    facts: Mapping[str, Any]
    code: Path
    has_own_data: bool = True

    @property
    def where(self) -> str:
        """The place of the descriptions of the datasets, for errors."""
        return self.config.where("data")

    def datasets(self) -> Datasets:
        """Return the datasets as in training, each built when it is asked for."""
        return Datasets(self.config.values["data"], self._builder.dataset, self.where)

    def architecture(self, name: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any object
        """Return an instance of the architecture file's `name`.

        Raises:
            PluginError: if the file cannot be imported, has no such class or it takes other parameters.
        """
        path = Path(self.config.values["arch_impl"])
        with self._telling_versions():
            return Architectures(self.plugins, path, self.config.where("arch_impl")).create(name, params)

    def trainer(self, saved: Saved) -> Trainer:
        """Return the trainer with what a checkpoint holds, in evaluation mode; no data need be there.

        Raises:
            CheckpointError: if the weights do not fit the code; names and shapes are named.
            JadeError: if a class is not found or its file cannot be imported.
        """
        with self._telling_versions(), randomness_kept():
            trainer = self._begun(saved)
            if set(trainer.stored) != set(saved.state["attributes"]):  # the run may have added to them there
                self._start(trainer)
        self._put_back(trainer, saved)
        return trainer.eval()

    def evaluate(self, saved: Saved, names: Sequence[str] | None, other: Opened) -> list[Entry]:
        """Return what evaluations give for the trainer of a checkpoint, as the run would log it.

        Everything is made in the order of a run that goes on, so that an evaluation may keep what it finds
        when it is initialized.

        Args:
            saved: the checkpoint.
            names: of the evaluations, or of the metrics that they log as `EVALUATION/part`; all if None.
            other: whose descriptions of evaluations, and of their datasets, are meant.

        Raises:
            ConfigError: if there is no such evaluation, or it returned no such metric.
            JadeError: as `trainer` does.
        """
        meant = other.meant(names)
        datasets = other.datasets()
        results: list[Entry] = []
        with self._telling_versions(), randomness_kept(deterministic=self.config.values["deterministic"]):
            trainer = self._begun(saved)
            made = {
                name: assembly.evaluation_of(other.config, self.plugins, name, datasets, trainer)
                for name in dict.fromkeys(meant.values())
            }
            self._start(trainer)
            self._put_back(trainer, saved)
            for name, evaluation in made.items():
                returned = self._evaluated(evaluation, name, saved)
                results += returned if name in meant else _parts(returned, meant, name)
        return results

    def meant(self, names: Sequence[str] | None) -> dict[str, str]:
        """Return for each name, of an evaluation or of a metric, the evaluation that is meant.

        Raises:
            ConfigError: if there is no such evaluation.
        """
        described = self.config.values["eval"]
        found = {name: _evaluation_of(name, described) for name in (described if names is None else names)}
        unknown = [name for name, evaluation in found.items() if evaluation is None]
        if unknown:
            raise ConfigError(
                f"The run {self.label} has no evaluation {unknown[0]!r}.",
                wanted=unknown[0],
                choices=described,
            )
        return {name: evaluation for name, evaluation in found.items() if evaluation is not None}

    def _begun(self, saved: Saved) -> Trainer:
        """Return the trainer as it was before the first step of the run."""
        recorded = self.facts.get("datasets")
        datasets = standin.lenient(
            self.config.values["data"],
            self._builder.dataset,
            self.where,
            recorded if isinstance(recorded, dict) else {},
            compared=self.has_own_data,
        )
        seeding.seed_everything(self.config.values["seed"], "building", saved.device)
        trainer = assembly.trainer_of(self.config, self.plugins, datasets, saved.device)
        raise_all(list(trainer.absent()))
        if saved.beginning is not None:
            try:
                replace(warm.kept(self.config, Begun(saved.beginning)), is_again=True).give(trainer)
            except CheckpointError as error:  # the weights of the checkpoint take their place anyway
                _log.warning("What %s began with is not given to it: %s", self.label, first_line(error))
        return trainer

    def _start(self, trainer: Trainer) -> None:
        seeding.seed_everything(self.config.values["seed"], "start", trainer.get_device())
        trainer.on_start()

    def _put_back(self, trainer: Trainer, saved: Saved) -> None:
        found = saved.state
        try:
            state.put_back(
                trainer, found["attributes"], f"{type(trainer).__name__} of {self.plugins.project}"
            )
        except CheckpointError as error:
            error.add_note(f"the checkpoint is {saved.path}")
            raise
        trainer.iterations, trainer.epochs = found["iterations"], found["epochs"]

    def _evaluated(self, evaluation: Evaluation, name: str, saved: Saved) -> list[Entry]:
        eval.belong(evaluation, self.config.values["seed"], name)
        try:
            own = saved.state.get("evaluations", {}).get(name, {})
            state.put_back(evaluation, own, f"the evaluation {name!r}")
            with evaluating(evaluation.trainer):
                eval.seed(evaluation)
                returned = evaluation.evaluate()
            entered, _ = entries.from_evaluation(name, returned, evaluation.trainer.iterations)
        except Exception as error:
            error.add_note(f"in the evaluation {name!r} of {self.label}")
            raise
        finally:
            eval.close(evaluation)
        return entered

    @property
    def _builder(self) -> Builder:
        return Builder(self.plugins, self.config.where)

    @contextmanager
    def _telling_versions(self) -> Iterator[None]:
        """Add to what goes wrong in the run's code which packages it had in other versions."""
        try:
            yield
        except (JadeError, ImportError, AttributeError, TypeError) as error:
            packages = self.facts.get("packages")
            differing = package_versions.differing(packages, self.code) if isinstance(packages, dict) else []
            if differing and (isinstance(error, PluginError) or not isinstance(error, JadeError)):
                error.add_note("\n  ".join(["packages that the run had in other versions:", *differing]))
            raise


def _evaluation_of(name: str, described: Iterable[str]) -> str | None:
    """Return the evaluation that is meant by its name, or by that of a metric that it logs."""
    found = [one for one in described if name == one or name.startswith(f"{one}/")]
    return max(found, key=len, default=None)


def _parts(returned: Sequence[Entry], meant: Mapping[str, str | None], evaluation: str) -> list[Entry]:
    """Return those entries of an evaluation that are meant.

    Raises:
        ConfigError: if it has not returned one of them.
    """
    there = {entry.name: entry for entry in returned}
    wanted = [name for name, one in meant.items() if one == evaluation]
    for name in wanted:
        if name not in there:
            raise ConfigError(
                f"The evaluation {evaluation!r} has not returned {name!r}.", wanted=name, choices=there
            )
    return [there[name] for name in wanted]


def with_section(opened: Opened, name: str, path: Path, environ: Mapping[str, str]) -> Opened:
    """Return an opened run with what another file describes: its "data", or its "eval".

    Raises:
        ConfigError: with all faults of the file.
    """
    values, origins = config.section(name, path, environ)
    whole = opened.config
    kept = {key: origin for key, origin in whole.origins.items() if key.partition(".")[0] != name}
    changed = replace(whole, values={**whole.values, name: values}, origins={**kept, **origins})
    return replace(opened, config=changed, has_own_data=opened.has_own_data and name != "data")


@contextmanager
def randomness_kept(*, deterministic: bool = False) -> Iterator[None]:
    """Leave the process's generators, and torch's choice of algorithms, as they were.

    Args:
        deterministic: whether only deterministic algorithms are used within.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # Only where they are in use: to ask for their states would take memory of every GPU.
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    on_gpus = torch.cuda.get_rng_state_all() if in_use else None
    backend = torch.backends.cudnn
    algorithms = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        backend.benchmark,
        backend.deterministic,
    )
    if deterministic:
        seeding.be_deterministic()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if on_gpus is not None:
            torch.cuda.set_rng_state_all(on_gpus)
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        backend.benchmark, backend.deterministic = algorithms[2:]
