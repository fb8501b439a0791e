"""The loop: train an epoch, evaluate, save, and so on until the end. Read it from top to bottom.

It counts iterations and epochs, and decides when each thing is due. What a step does is the Trainer's affair,
where things are written the journal's, how a file is written `checkpoint`'s.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jade import devices, entries
from jade.checkpoint import Checkpoints
from jade.entries import Entry
from jade.errors import ContractError
from jade.eval import Evaluation, evaluating
from jade.intervals import Due, Interval
from jade.journal import Journal
from jade.signals import Stop
from jade.trainer import Trainer, length_of

# What everything is logged against, by JADE and by W&B.
RESERVED = ("iterations", "epochs", "_step", "_runtime", "_timestamp", "_wandb")


@dataclass(frozen=True)
class Plan:
    """How long a run trains, and how often it does everything else.

    Attributes:
        epochs: passes to make.
        log_loss: between two means of the loss items.
        checkpoint: between two checkpoints that are kept.
        backup: between two backups, each of which replaces the one before.
        evaluations: for each evaluation, between two of its runs.
    """

    epochs: int
    log_loss: Interval
    checkpoint: Interval
    backup: Interval
    evaluations: Mapping[str, Interval]


class Loop:
    """Trains a trainer as planned.

    Args:
        trainer: initialized, with a train_loader.
        evaluations: by name, initialized.
        journal: where results go.
        checkpoints: the run's folder of checkpoints.
        plan: how long and how often.
        stop: read after each step; the run ends cleanly when it is set.
        clock: gives seconds; a test may give its own.
    """

    def __init__(  # noqa: PLR0913 - the loop is where everything meets
        self,
        trainer: Trainer,
        evaluations: Mapping[str, Evaluation],
        journal: Journal,
        checkpoints: Checkpoints,
        plan: Plan,
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trainer = trainer
        trainer.taken_names = frozenset({*evaluations, *RESERVED})
        self._evaluations = evaluations
        self._journal = journal
        self._checkpoints = checkpoints
        self._plan = plan
        self._stop = stop
        self._clock = clock
        self._evaluated: dict[str, int] = {}  # name -> iterations at its last run
        self._backed_up: int | None = None  # iterations at the last backup
        self._chores = [
            *(
                (Due(every, at_start=True), self._evaluation(name))
                for name, every in plan.evaluations.items()
            ),
            (Due(plan.log_loss), self._log_losses),
            (Due(plan.checkpoint), self._save_checkpoint),
            (Due(plan.backup), self._save_backup),
        ]

    def run(self) -> None:
        """Train until the planned epochs are done, `end_training` was called or a stop was asked for."""
        trainer = self._trainer
        self._started = self._clock()
        with self._telling("on_start"):
            trainer.on_start()
        self._do_what_is_due()
        self._journal.progress.end_epoch(trainer.epochs)
        with _collector_spared():
            while not self._is_over():
                self._train_epoch()
        if not self._stop:
            self._log_losses()
            self._evaluate_the_final_model()
        if self._backed_up != trainer.iterations:
            self._save_backup()

    def _is_over(self) -> bool:
        return self._trainer.epochs >= self._plan.epochs or self._trainer.has_ended or bool(self._stop)

    def _train_epoch(self) -> None:
        trainer, progress = self._trainer, self._journal.progress
        first = trainer.iterations
        progress.start_epoch(trainer.epochs, length_of(trainer.train_loader))
        trainer.train()
        self._device = trainer.get_device()
        for data in self._batches():
            self._train_step(data)
            progress.step()
            if trainer.iterations >= self._next_iteration or self._clock() >= self._next_second:
                self._do_what_is_due()
            if trainer.has_ended or self._stop.requested:
                return
        if trainer.iterations == first:
            raise ContractError(
                f"The train_loader of {type(trainer).__name__} gave no batch in epoch {trainer.epochs}.",
                hint="A generator can be gone through once only; a loader gives its batches anew each time.",
            )
        epochs = trainer.epochs + 1
        with self._telling("on_epoch_end"):
            trainer.on_epoch_end()
        trainer.epochs = epochs
        self._do_what_is_due()
        progress.end_epoch(epochs)
        self._journal.at(trainer.iterations, epochs)

    def _batches(self) -> Iterator[Any]:
        with self._telling("train_loader"):
            yield from self._trainer.train_loader

    def _train_step(self, data: Any) -> None:  # noqa: ANN401 - a batch is whatever the dataset gives
        trainer = self._trainer
        # The loop counts; a hook that users override may count as well, or not.
        iterations = trainer.iterations + 1
        if not trainer.training:
            trainer.train()
        where = "train_step"
        try:
            trainer.train_step(devices.move(data, self._device))
            where = "on_iteration_end"
            trainer.on_iteration_end()
        except Exception as error:
            error.add_note(self._point(where))
            raise
        if trainer.iterations != iterations:
            trainer.iterations = iterations

    def _do_what_is_due(self) -> None:
        trainer = self._trainer
        for due, chore in self._chores:
            if due.now(trainer.iterations, trainer.epochs, self._clock() - self._started):
                chore()
        # Between two steps nothing is asked but whether one of these has come.
        dues = [due for due, _ in self._chores]
        self._next_iteration = min(due.next_iteration(trainer.iterations) for due in dues)
        self._next_second = self._started + min(due.next_second() for due in dues)

    def _evaluation(self, name: str) -> Callable[[], None]:
        return lambda: self.evaluate(name)

    def evaluate(self, name: str) -> None:
        """Run one evaluation and log what it returns."""
        trainer = self._trainer
        with self._telling(f"the evaluation {name!r}"), evaluating(trainer):
            returned = self._evaluations[name].evaluate()
            found, iteration = entries.from_evaluation(name, returned, trainer.iterations)
        self._evaluated[name] = trainer.iterations
        self._journal.log(found, iteration, trainer.epochs)

    def _evaluate_the_final_model(self) -> None:
        # A sweep compares final models, whatever the interval of the evaluation was.
        for name in self._evaluations:
            if self._evaluated.get(name) != self._trainer.iterations:
                self.evaluate(name)

    def _log_losses(self) -> None:
        losses = self._trainer.take_losses()
        if not losses:
            return
        found = [Entry(name, "scalar", value) for name, value in losses.items()]
        self._journal.log(found, self._trainer.iterations, self._trainer.epochs)

    def _save_checkpoint(self) -> None:
        if self._trainer.iterations:
            self._journal.keep(self._checkpoints.save_numbered(self._trainer))

    def _save_backup(self) -> None:
        self._backed_up = self._trainer.iterations
        self._journal.keep(self._checkpoints.save_backup(self._trainer))

    @contextmanager
    def _telling(self, where: str) -> Iterator[None]:
        """Add to an exception of the user's code where in the run it happened."""
        try:
            yield
        except Exception as error:
            error.add_note(self._point(where))
            raise

    def _point(self, where: str) -> str:
        trainer = self._trainer
        return (
            f"in {where} of {type(trainer).__name__}, epoch {trainer.epochs}, iteration {trainer.iterations}"
        )


@contextmanager
def _collector_spared() -> Iterator[None]:
    """Keep Python's collector from looking through all of torch again and again: 3 % of a step of 300 µs."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
