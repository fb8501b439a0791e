"""The loop: train an epoch, evaluate, save, and so on until the end. Read it from top to bottom.

It counts iterations and epochs, seeds everything from these, and decides when each thing is due. So it can
begin at any point where a checkpoint was written, and go on as if it had never stopped. What a step does is
the Trainer's affair, where things are written the journal's, how a file is written `checkpoint`'s.
"""

from __future__ import annotations

import copy
import gc
import logging
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from torch import Tensor

from jade import __version__, checkpoint, devices, divergence, entries, eval, state, unstored
from jade.batches import Batches, batches_of, length_of
from jade.best import Best
from jade.calls import place_of
from jade.checkpoint import Checkpoints
from jade.entries import Entry
from jade.errors import ContractError
from jade.eval import Evaluation, evaluating
from jade.intervals import NEVER, Due
from jade.journal import Journal
from jade.schedule import Plan
from jade.seeding import Stream
from jade.signals import Stop, Stopped
from jade.trainer import OWN_NAMES, Trainer
from jade.unstored import Unstored

# What everything is logged against, by JADE and by W&B.
RESERVED = ("row", "iterations", "epochs", "_step", "_runtime", "_timestamp", "_wandb")
# An epoch's end is a good moment for a backup, but not many times a minute.
SECONDS_BETWEEN_BACKUPS = 30.0
# Before a time limit: so many times what the last backup and the longest step took, and a second.
MARGIN = 3.0
# What the first backup is taken to need: the parameters and two moments of each, to a slow disk.
COPIES, SLOW_DISK = 3, 100e6  # bytes a second

_log = logging.getLogger(__name__)


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
        trainer._jade_stop = stop
        for name, evaluation in evaluations.items():
            eval.belong(evaluation, plan.seed, name)
        self._evaluations = evaluations
        self._journal = journal
        self._checkpoints = checkpoints
        self._plan = plan
        self._stop = stop
        self._clock = clock
        self._best = Best(plan.aim) if plan.aim else None
        self._evaluated: dict[str, int] = {}  # name -> iterations at its last run
        self._position = 0  # batches of this epoch that were used
        self._data_state: Any = None  # of the loader, where the run is continued
        self._loader: Any = None
        self._batches: Batches | None = None
        self._backup_seconds = self._backed_up = 0.0  # what the last one took, and when it was
        self._longest_step = 0.0
        self._chores: dict[str, tuple[Due, Callable[[], None]]] = {
            **{
                f"evaluation {name}": (Due(every, at_start=True), self._evaluation(name))
                for name, every in plan.evaluations.items()
            },
            "losses": (Due(plan.log_loss), self._log_losses),
            "checkpoint": (Due(plan.checkpoint), self._save_checkpoint),
            "backup": (Due(plan.backup), self._save_backup),
        }

    def run(self, earlier: Mapping[str, Any] | None = None) -> bool:
        """Train until the planned epochs are done, `end_training` was called or a stop was asked for.

        Args:
            earlier: the state to go on from, as a checkpoint holds it.

        Returns:
            Whether everything that was planned is done.

        Raises:
            CheckpointError: if `earlier` does not fit the trainer, the evaluations or the data.
        """
        trainer = self._trainer
        self._started = self._last_look = self._clock()
        with self._telling("on_start"):
            self._seed("start", trainer.iterations)
            trainer.on_start()
        self._unstored = {place_of(type(trainer)): Unstored(trainer, OWN_NAMES)} | {
            f"{place_of(type(evaluation))}, the evaluation {name!r}": Unstored(evaluation, eval.OWN_NAMES)
            for name, evaluation in self._evaluations.items()
        }
        self._first_loader = trainer.train_loader
        self._has_named = False
        self._backup_seconds = COPIES * sum(tensor.nbytes for tensor in _tensors(trainer)) / SLOW_DISK
        if earlier is not None:
            self._go_on_from(earlier)
        self._began_at = trainer.iterations
        self._stop.at_once = False  # from here on there is something to save
        try:
            self._do_what_is_due()
            self._journal.progress.end_epoch(trainer.epochs)
            with _collector_spared():
                while not self._is_over():
                    self._train_epoch()
            if not self._stop:
                self._log_losses()
                self._keep_best()
                self._evaluate_the_final_model()
                if self._best:
                    self._best.miss(self._journal.metrics.series, is_over=True)
        except Stopped:  # in the middle of an evaluation, which will be made again
            pass
        finally:
            self._close()
        finished = not self._stop
        self._has_named = self._has_named and finished  # once more where the run is to go on
        self._save_backup(finished)
        return finished

    def _close(self) -> None:
        # A worker that ends by a signal would interrupt the writing of the backup.
        if self._batches is not None:
            self._batches.close()
        for evaluation in self._evaluations.values():
            eval.close(evaluation)

    def _is_over(self) -> bool:
        return self._trainer.epochs >= self._plan.epochs or self._trainer.has_ended or bool(self._stop)

    def _train_epoch(self) -> None:
        trainer, progress = self._trainer, self._journal.progress
        progress.start_epoch(trainer.epochs, length_of(trainer.train_loader), self._position)
        trainer.train()
        self._device = trainer.get_device()
        self._steps = Stream(self._plan.seed, "steps", self._device, self._random_parts())
        self._last_look = self._clock()
        # Closed at once: its workers are to have ended when the backup is written.
        with closing(self._epoch()) as batches:
            for data in batches:
                self._train_step(data)
                self._position += 1
                progress.step()
                self._look_around()
                if trainer.has_ended or self._stop.requested:
                    return
        if not self._stop.requested:
            self._end_epoch()

    def _look_around(self) -> None:
        """Do what is due after a step, unless the run is to stop."""
        if self._stop.requested:
            return
        now = self._clock()
        if now - self._last_look > self._longest_step:
            self._longest_step = now - self._last_look
            self._keep_time_for_a_backup()
        self._last_look = now
        if self._trainer.iterations >= self._next_iteration or now >= self._next_second:
            self._do_what_is_due()
            self._last_look = self._clock()

    def _end_epoch(self) -> None:
        trainer = self._trainer
        if not self._position:
            raise ContractError(
                f"The train_loader of {type(trainer).__name__} gave no batch in epoch {trainer.epochs}.",
                hint="A generator can be gone through once only; a loader gives its batches anew each time.",
            )
        epochs = trainer.epochs + 1
        with self._telling("on_epoch_end"), warnings.catch_warnings():
            if trainer.iterations == self._began_at:
                # A run that goes on at the very end of an epoch: its schedulers come before its first step.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self._seed("epoch end", trainer.epochs)
            trainer.on_epoch_end()
        trainer.epochs, self._position = epochs, 0
        self._look_at_the_losses()
        self._do_what_is_due()
        if self._is_time_for_a_backup():
            self._save_backup()
        self._journal.progress.end_epoch(epochs)
        self._journal.at(trainer.iterations, epochs)

    def _epoch(self) -> Generator[Any]:
        loader = self._trainer.train_loader
        if loader is not self._loader or self._batches is None:
            self._loader = loader
            self._batches = batches_of(loader, self._plan.seed, "train_loader", self._device)
        data_state, self._data_state = self._data_state, None
        try:
            with self._telling("train_loader"):
                yield from self._batches.epoch(self._trainer.epochs, self._position, data_state)
        except RuntimeError:
            # Whoever asks for the stop may have ended the workers as well.
            if not self._stop:
                raise

    def _state_of_data(self) -> Any:  # noqa: ANN401 - whatever the data's own state_dict gives
        if self._data_state is not None or self._batches is None:
            return self._data_state  # the run goes on from it, but has not begun to
        return self._batches.state() if self._position else None

    def _random_parts(self) -> dict[str, Any]:
        # What the loader draws from has its own seeds; datasets are looked through with it.
        parts = vars(self._trainer).items()
        return {name: part for name, part in parts if name not in OWN_NAMES or name == "_modules"}

    def _train_step(self, data: Any) -> None:  # noqa: ANN401 - a batch is whatever the dataset gives
        trainer = self._trainer
        # The loop counts; a hook that users override may count as well, or not.
        iterations = trainer.iterations + 1
        if not trainer.training:
            trainer.train()
        self._steps.start(iterations)
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

    def _seed(self, purpose: str, counter: int) -> None:
        Stream(self._plan.seed, purpose, self._trainer.get_device(), self._random_parts()).start(counter)

    def _do_what_is_due(self) -> None:
        trainer, stop = self._trainer, self._stop
        self._look_ahead()
        point = (trainer.iterations, trainer.epochs, self._seconds)
        for name, (due, chore) in self._chores.items():
            stop.look_at_the_clock()
            if stop:  # what is left is made when the run is continued
                return
            if not due.now(*point):
                continue
            if name in ("checkpoint", "backup"):  # which says itself that it was made
                self._look_at_the_losses()
                due.done(*point)
                chore()
            else:
                chore()
                due.done(*point)
                self._keep_best()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Find out when something is due next: between two steps nothing else is asked."""
        dues = [due for due, _ in self._chores.values()]
        self._next_iteration = min(due.next_iteration(self._trainer.iterations) for due in dues)
        self._next_second = self._started + min(due.next_second() for due in dues)
        self._keep_time_for_a_backup()

    def _keep_time_for_a_backup(self) -> None:
        self._stop.needed = 1.0 + MARGIN * (self._backup_seconds + self._longest_step)
        self._next_second = min(self._next_second, self._stop.deadline - self._stop.needed)

    @property
    def _seconds(self) -> float:
        """Seconds of training so far, in all processes of the run."""
        return self._clock() - self._started

    def _evaluation(self, name: str) -> Callable[[], None]:
        return lambda: self.evaluate(name)

    def evaluate(self, name: str) -> None:
        """Run one evaluation and log what it returns.

        Raises:
            Stopped: if a stop was asked for meanwhile; the evaluation is left as it was before.
        """
        trainer, evaluation = self._trainer, self._evaluations[name]
        before = copy.deepcopy(state.of(evaluation))
        try:
            with self._telling(f"the evaluation {name!r}"), evaluating(trainer):
                eval.seed(evaluation)
                returned = evaluation.evaluate()
                found, iteration = entries.from_evaluation(name, returned, trainer.iterations)
        except Stopped:
            state.put_back(evaluation, before, name)
            raise
        self._evaluated[name] = trainer.iterations
        self._log(found, iteration)

    def _evaluate_the_final_model(self) -> None:
        # A sweep compares final models, whatever the interval of the evaluation was.
        for name in self._evaluations:
            self._stop.check()
            if self._evaluated.get(name) != self._trainer.iterations:
                self.evaluate(name)
                self._keep_best()

    def _log(self, found: Sequence[Entry], iteration: int) -> None:
        trainer, best = self._trainer, self._best
        self._journal.log(found, iteration, trainer.epochs)
        if best is None:
            return
        best.take(found, trainer.iterations)
        if trainer.iterations and len(self._evaluated) == len(self._evaluations):
            best.miss({*self._journal.metrics.series, *trainer.waiting_losses})

    def _log_losses(self) -> None:
        losses = self._trainer.take_losses()
        if not losses:
            return
        found = [Entry(name, "scalar", value) for name, value in losses.items()]
        self._log(found, self._trainer.iterations)
        if not self._plan.allow_nan:
            divergence.refuse(losses, self._trainer.iterations, self._trainer.epochs)

    def _look_at_the_losses(self) -> None:
        """End the run if a loss that waits to be logged is no number: nothing of it is to be saved."""
        waiting = self._trainer.waiting_losses.values()
        if not self._plan.allow_nan and not divergence.is_finite(total for total, _ in waiting):
            self._log_losses()

    def _keep_best(self) -> None:
        """Write `best.pt` if the last thing that was logged is the best so far."""
        if self._best is None or not self._best.is_new:
            return
        self._look_at_the_losses()
        if self._trainer.iterations:
            self._name_what_is_not_stored()
        self._best.is_new = False
        self._journal.keep(self._checkpoints.save_best(self._state()))

    def _save_checkpoint(self) -> None:
        if not self._trainer.iterations:
            return
        self._name_what_is_not_stored()
        path = self._checkpoints.save_numbered(self._state())
        surplus = self._checkpoints.drop_surplus()
        self._journal.keep(path)
        for old in surplus:
            self._journal.drop(old)

    def _save_backup(self, finished: bool = False) -> None:
        began = self._clock()
        self._name_what_is_not_stored()
        self._journal.keep(self._checkpoints.save_backup(self._state(finished)))
        self._backed_up = self._clock()
        self._backup_seconds = self._backed_up - began

    def _is_time_for_a_backup(self) -> bool:
        since = self._clock() - max(self._backed_up, self._started)
        return self._plan.backup != NEVER and since >= SECONDS_BETWEEN_BACKUPS and not self._stop

    def _state(self, finished: bool = False) -> dict[str, Any]:
        """Return everything that the run is to go on from."""
        trainer = self._trainer
        return {
            "run": self._journal.run_id,
            "format": checkpoint.FORMAT,
            "jade": __version__,
            "iterations": trainer.iterations,
            "epochs": trainer.epochs,
            "attributes": state.of(trainer),
            # Gradients may accumulate over steps; what a finished run leaves is complete without them.
            "unapplied": {} if finished else state.unapplied(trainer),
            "evaluations": {name: state.of(evaluation) for name, evaluation in self._evaluations.items()},
            "loop": {
                "position": self._position,
                "data": self._state_of_data(),
                "length": length_of(trainer.train_loader),
                "seconds": self._seconds,
                "due": {name: list(due.last) for name, (due, _) in self._chores.items()},
                "evaluated": dict(self._evaluated),
                "losses": trainer.waiting_losses,
                "has_ended": trainer.has_ended,
                "finished": finished,
            },
            "journal": self._journal.state(),
            "best": self._best.state() if self._best else None,
        }

    def _go_on_from(self, earlier: Mapping[str, Any]) -> None:
        trainer, loop = self._trainer, earlier["loop"]
        state.put_back(trainer, earlier["attributes"], type(trainer).__name__)
        state.reapply(trainer, earlier.get("unapplied", {}))
        for name, evaluation in self._evaluations.items():
            state.put_back(evaluation, earlier["evaluations"].get(name, {}), f"the evaluation {name!r}")
        trainer.iterations, trainer.epochs = earlier["iterations"], earlier["epochs"]
        trainer.waiting_losses = loop["losses"]
        trainer.has_ended = loop["has_ended"]
        self._position, self._data_state = loop["position"], loop["data"]
        length = length_of(trainer.train_loader)
        if self._position and length != loop["length"]:
            _log.warning(
                "An epoch had %s batches, and has %s now: the rest of this one is another than it was.",
                loop["length"],
                length,
            )
        self._evaluated = dict(loop["evaluated"])
        self._started = self._clock() - loop["seconds"]
        for name, (due, _) in self._chores.items():
            if name in loop["due"]:
                iterations, epochs, seconds = loop["due"][name]
                due.last = (iterations, epochs, seconds)
        self._backed_up = self._clock()
        if self._best:
            is_whole = self._checkpoints.has_best()
            self._best.continue_from(earlier.get("best"), trainer.iterations, is_whole)
        self._journal.continue_from(earlier["journal"], trainer.iterations)

    def _name_what_is_not_stored(self) -> None:
        """Warn of what would be lost: at the first checkpoint, and where the run stops to go on later."""
        if self._has_named:
            return
        self._has_named = True
        unstored.warn_of(self._unstored)
        if self._trainer.train_loader is not self._first_loader:
            _log.warning(
                "%s has replaced its train_loader: a continued run begins with that of initialize.",
                type(self._trainer).__name__,
            )

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


def _tensors(trainer: Trainer) -> Iterator[Tensor]:
    for module in trainer.all_modules():
        yield from (tensor for tensor in module.parameters(recurse=False) if not state.is_lazy(tensor))


@contextmanager
def _collector_spared() -> Iterator[None]:
    """Keep Python's collector from looking through all of torch again and again: 3 % of a step of 300 µs."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
