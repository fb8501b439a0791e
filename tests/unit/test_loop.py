import io
import json
import logging
import math
import random
import re
import warnings
from collections import deque, namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from toys import BATCHES, Counting, Noisy, Toy, bits, made

from jade import checkpoint, intervals
from jade.checkpoint import Checkpoints
from jade.errors import CheckpointError, ContractError, DivergedError
from jade.eval import DatasetEvaluation, Evaluation
from jade.intervals import NEVER
from jade.journal import Journal
from jade.loop import Loop
from jade.progress import Lines
from jade.record import Record
from jade.schedule import Plan
from jade.signals import Stop
from jade.tracking.local import LocalTracker

Pair = namedtuple("Pair", ["x", "y"])


class Metric(Evaluation):
    """Logs at which iterations it was run; `then` is done each time."""

    def __init__(self, trainer, then=lambda trainer: None):
        super().__init__(datasets={}, trainer=trainer)
        self.then = then

    def evaluate(self):
        self.then(self.trainer)
        return {"type": "scalar", "value": self.trainer.iterations}


class Kept(LocalTracker):
    """A tracker that remembers which files it was to keep."""

    def __init__(self, record):
        super().__init__(record)
        self.files = []

    def keep(self, path):
        if path.suffix == ".pt":
            self.files.append((path.name, checkpoint.read(path)["iterations"]))

    def drop(self, path):
        self.files.append((path.name, "dropped"))


@dataclass
class Run:
    """A loop over a toy, whose traces are read from the run's folder."""

    trainer: object
    record: Record
    evaluations: dict = field(default_factory=dict)
    every: dict = field(default_factory=dict)
    epochs: int = 2
    log_loss: str = "never"
    checkpoint: str = "never"
    backup: str = "never"
    stop: Stop = field(default_factory=Stop)
    clock: object = lambda: 0.0
    kept: int | None = None
    seed: int = 0
    earlier: dict | None = None
    allow_nan: bool = False

    def __call__(self):
        self.tracker, self.shown = Kept(self.record), io.StringIO()
        journal = Journal(self.tracker, self.record, Lines(self.epochs, self.shown))
        checkpoints = Checkpoints(self.record.directory, self.kept)
        plan = Plan(
            self.seed,
            self.epochs,
            _interval(self.log_loss, "iteration"),
            _interval(self.checkpoint),
            _interval(self.backup),
            {name: _interval(self.every.get(name, 1)) for name in self.evaluations},
            self.allow_nan,
        )
        loop = Loop(self.trainer, self.evaluations, journal, checkpoints, plan, self.stop, self.clock)
        self.is_finished = loop.run(self.earlier)
        return self

    @property
    def counters(self):
        return self.trainer.iterations, self.trainer.epochs

    @property
    def rows(self):
        path = self.record.directory / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def logged(self, name):
        return [row["iterations"] for row in self.rows if name in row["metrics"]]

    def values(self, name):
        return [row["metrics"][name] for row in self.rows if name in row["metrics"]]

    @property
    def result(self):
        """What two runs that differ in nothing have in common: rows, files and every bit of the last backup."""
        rows = [{key: row[key] for key in row if key not in ("time", "runtime")} for row in self.rows]
        state = checkpoint.read(self.record.directory / "model.pt")
        state["journal"].pop("runtime")
        numbered = [path.name for path in Checkpoints(self.record.directory).numbered()]
        return {"rows": rows, "checkpoints": numbered, "state": bits(state)}

    @property
    def files(self):
        return sorted(path.name for path in self.record.directory.glob("*.pt"))


def _interval(text, unit="epoch"):
    return intervals.parse(text, unit, "test")


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path, "abc")
    record.create()
    return record


@pytest.fixture
def run(record):
    """Run a trainer class (or a trainer) to its end."""

    def start(trainer, **how):
        found = made(trainer) if isinstance(trainer, type) else trainer
        return Run(found, record, **how)()

    return start


def metrics(trainer, *names, then=lambda trainer: None):
    return {name: Metric(trainer, then) for name in names}


# Counting


class NoCount(Toy):
    def on_iteration_end(self):
        pass

    def on_epoch_end(self):
        pass


class OwnCount(Toy):
    def on_iteration_end(self):
        self.iterations += 1

    def on_epoch_end(self):
        self.epochs += 1


class SuperCount(Toy):
    def on_iteration_end(self):
        super().on_iteration_end()

    def on_epoch_end(self):
        super().on_epoch_end()


class DoubleCount(Toy):
    def on_iteration_end(self):
        super().on_iteration_end()
        self.iterations += 1

    def on_epoch_end(self):
        super().on_epoch_end()
        self.epochs += 1


class StepCount(Toy):
    def train_step(self, data):
        super().train_step(data)
        self.iterations += 1


@pytest.mark.parametrize("kind", [Toy, NoCount, OwnCount, SuperCount, DoubleCount, StepCount])
def test_counters_are_right_whether_the_user_counts_or_not(run, kind):
    trainer = made(kind)

    done = run(trainer, epochs=3, evaluations=metrics(trainer, "often"), every={"often": "3 iterations"})

    assert done.counters == (3 * BATCHES, 3)
    assert done.logged("often") == [0, 3, 6, 9, 12]


def test_hooks_and_steps_come_in_order(run):
    calls = []

    class Told(Toy):
        def on_start(self):
            calls.append(("start", self.iterations, self.epochs))

        def train_step(self, data):
            calls.append(("step", self.iterations, self.epochs))

        def on_iteration_end(self):
            calls.append("iteration end")

        def on_epoch_end(self):
            calls.append("epoch end")

    run(Told, epochs=2)

    def epoch(number):
        steps = [(("step", number * BATCHES + step, number), "iteration end") for step in range(BATCHES)]
        return [call for pair in steps for call in pair] + ["epoch end"]

    assert calls == [("start", 0, 0), *epoch(0), *epoch(1)]


def test_a_loop_learns_what_a_bare_loop_learns(run):
    bare, looped = made(Toy), made(Toy)
    bare.net.load_state_dict(looped.net.state_dict())

    for _ in range(5):
        for data in bare.train_loader:
            bare.train_step(data)
    run(looped, epochs=5, evaluations=metrics(looped, "often"), every={"often": "1 iteration"})

    assert torch.equal(looped.net.weight, bare.net.weight)


def test_a_run_whose_epochs_are_done_trains_no_more(run):
    trainer = made(Toy)
    trainer.iterations, trainer.epochs = 2 * BATCHES, 2

    done = run(trainer, epochs=2, evaluations=metrics(trainer, "metric"))

    assert done.is_finished
    assert done.counters == (2 * BATCHES, 2)
    assert done.logged("metric") == [2 * BATCHES]


# What train_step may rely on


def test_batches_are_on_the_device_whatever_their_nesting(run):
    seen = []

    class Nested(Toy):
        def initialize(self):
            self.train_loader = [Pair({"x": [torch.zeros(2)]}, ("name", torch.zeros(2)))]

        def train_step(self, data):
            seen.append(data)

    run(made(Nested, device="meta"), epochs=1)

    (batch,) = seen
    assert isinstance(batch, Pair)
    assert batch.x["x"][0].device.type == "meta"
    assert (batch.y[0], batch.y[1].device.type) == ("name", "meta")


def test_networks_are_in_train_mode_for_each_step_whatever_an_evaluation_did(run):
    modes = []

    class Told(Toy):
        def initialize(self):
            super().initialize()
            self.nets = [nn.Dropout()]

        def train_step(self, data):
            modes.append((self.training, self.net.training, self.nets[0].training))

    trainer = made(Told)
    evaluations = metrics(trainer, "rude", then=lambda trainer: trainer.eval())
    trainer.eval()

    run(trainer, epochs=1, evaluations=evaluations, every={"rude": "1 iteration"})

    assert modes == [(True, True, True)] * BATCHES


def test_a_network_that_the_user_freezes_in_train_step_stays_frozen_around_an_evaluation(run):
    modes = []

    class Frozen(Toy):
        def initialize(self):
            super().initialize()
            self.frozen = nn.Dropout()

        def train_step(self, data):
            if self.iterations == 0:
                self.frozen.eval()
            modes.append(self.frozen.training)

    trainer = made(Frozen)

    run(trainer, epochs=1, evaluations=metrics(trainer, "often"), every={"often": "1 iteration"})

    assert modes == [False] * BATCHES


def test_an_evaluation_runs_in_eval_mode_without_gradients(run):
    seen = []
    trainer = made(Toy)
    evaluations = metrics(
        trainer, "metric", then=lambda trainer: seen.append((trainer.net.training, torch.is_grad_enabled()))
    )

    run(trainer, evaluations=evaluations)

    assert seen == [(False, False)] * 3


# Loaders


class Unmeasured:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        return iter([torch.ones(1, 1)] * 2)

    def __len__(self):
        raise self.error


@pytest.mark.parametrize(
    "loader",
    [
        [torch.ones(1, 1)] * 2,
        DataLoader(Counting([torch.ones(1)] * 2)),
        Unmeasured(TypeError("no length")),
        Unmeasured(NotImplementedError()),
    ],
    ids=["list", "iterable dataset", "TypeError", "NotImplementedError"],
)
def test_loaders_without_a_length_are_fine(run, loader):
    trainer = made(Toy)
    trainer.train_loader = loader

    assert run(trainer, epochs=2).counters == (4, 2)


def test_a_loader_that_gives_nothing_is_told(run):
    trainer = made(Toy)
    trainer.train_loader = DataLoader(Counting([]))

    with pytest.raises(ContractError, match="The train_loader of Toy gave no batch in epoch 0"):
        run(trainer)


def test_a_generator_that_is_used_up_after_an_epoch_is_told(run):
    trainer = made(Toy)
    trainer.train_loader = (torch.ones(1, 1) for _ in range(2))

    with pytest.raises(ContractError, match="The train_loader of Toy gave no batch in epoch 1"):
        run(trainer)


def test_a_loader_that_is_exchanged_is_used_from_the_next_epoch_on(run):
    class Curriculum(Toy):
        def on_epoch_end(self):
            self.train_loader = [torch.ones(1, 1)]

    assert run(Curriculum, epochs=3).counters == (BATCHES + 1 + 1, 3)


# Ends


def test_end_training_in_a_step_ends_after_this_step(run):
    class Ending(Toy):
        hooks = 0

        def train_step(self, data):
            if self.iterations == BATCHES + 1:
                self.end_training()

        def on_epoch_end(self):
            self.hooks += 1

    trainer = made(Ending)

    done = run(trainer, epochs=9, evaluations=metrics(trainer, "metric"))

    assert done.counters == (BATCHES + 2, 1)
    assert trainer.hooks == 1
    assert done.logged("metric") == [0, BATCHES, BATCHES + 2]
    assert done.tracker.files == [("model.pt", BATCHES + 2)]


def test_end_training_in_the_last_step_of_an_epoch_makes_no_further_step(run):
    class Ending(Toy):
        def train_step(self, data):
            if self.iterations == BATCHES - 1:
                self.end_training()

    trainer = made(Ending)

    done = run(trainer, epochs=9, evaluations=metrics(trainer, "metric"))

    assert trainer.iterations == BATCHES
    assert done.logged("metric") == [0, BATCHES]


def test_end_training_at_the_end_of_an_epoch_counts_the_epoch(run):
    class Ending(Toy):
        def on_epoch_end(self):
            self.end_training()

    trainer = made(Ending)

    done = run(trainer, epochs=9, evaluations=metrics(trainer, "metric"))

    assert done.counters == (BATCHES, 1)
    assert done.logged("metric") == [0, BATCHES]


def test_an_evaluation_that_ends_training_before_the_first_step_leaves_no_step_to_make(run):
    trainer = made(Toy)
    evaluations = metrics(trainer, "ending", then=lambda trainer: trainer.end_training())

    done = run(trainer, evaluations={**evaluations, **metrics(trainer, "other")})

    assert done.counters == (0, 0)
    assert (done.logged("ending"), done.logged("other")) == ([0], [0])
    assert done.tracker.files == [("model.pt", 0)]


def test_an_evaluation_that_ends_training_in_the_middle_of_an_epoch_is_not_repeated(run):
    trainer = made(Toy)
    evaluations = metrics(
        trainer, "ending", then=lambda trainer: trainer.end_training() if trainer.iterations == 3 else None
    )

    done = run(trainer, evaluations=evaluations, every={"ending": "3 iterations"})

    assert done.counters == (3, 0)
    assert done.logged("ending") == [0, 3]


def test_end_training_in_on_start_still_evaluates_and_saves(run):
    class Ending(Toy):
        def on_start(self):
            self.end_training()

    trainer = made(Ending)

    done = run(trainer, evaluations=metrics(trainer, "metric"), every={"metric": "never"})

    assert (done.counters, done.logged("metric"), done.files) == ((0, 0), [0], ["model.pt"])


def test_a_request_to_stop_ends_after_the_step_with_a_backup_and_no_final_evaluation(run):
    stop = Stop()

    class Stopped(Toy):
        def train_step(self, data):
            if self.iterations == 1:
                stop.request(15)

    trainer = made(Stopped)

    done = run(trainer, stop=stop, evaluations=metrics(trainer, "metric"))

    assert not done.is_finished
    assert done.counters == (2, 0)
    assert done.logged("metric") == [0]
    assert done.tracker.files == [("model.pt", 2)]


def test_a_request_to_stop_before_the_first_step_makes_none(run):
    stop = Stop()
    trainer = made(Toy)
    evaluations = metrics(trainer, "metric", then=lambda trainer: stop.request(2))

    assert run(trainer, stop=stop, evaluations=evaluations).counters == (0, 0)


# Evaluations


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, [0, 4, 8, 12]),
        ("2 epochs", [0, 8, 12]),
        ("3 epochs", [0, 12]),
        ("99 epochs", [0, 12]),
        ("5 iterations", [0, 5, 10, 12]),
        ("4 iterations", [0, 4, 8, 12]),
        ("99 iterations", [0, 12]),
        ("never", [12]),
        ("1 minute", [0, 3, 6, 9, 12]),
        ("50 seconds", [0, 3, 6, 9, 12]),
        ("1 hour", [0, 12]),
    ],
    ids=str,
)
def test_an_evaluation_runs_at_the_start_in_its_interval_and_once_at_the_end(run, every, expected):
    class Clocked(Toy):
        seconds = 1000.0

        def train_step(self, data):
            self.seconds += 20.0

    trainer = made(Clocked)

    done = run(
        trainer,
        epochs=3,
        evaluations=metrics(trainer, "metric"),
        every={"metric": every},
        clock=lambda: trainer.seconds,
    )

    assert done.logged("metric") == expected


def test_rows_tell_the_epochs_that_were_done(run):
    trainer = made(Toy)

    done = run(trainer, evaluations=metrics(trainer, "metric"), every={"metric": "2 iterations"})

    assert [(row["iterations"], row["epochs"]) for row in done.rows] == [
        (0, 0),
        (2, 0),
        (4, 0),
        (6, 1),
        (8, 1),
    ]


def test_an_evaluation_may_say_to_which_iteration_its_value_belongs(run):
    class Late(Evaluation):
        def evaluate(self):
            return {"type": "scalar", "value": 1.0, "iteration": 1000 + self.trainer.iterations}

    trainer = made(Toy)

    done = run(trainer, epochs=1, evaluations={"late": Late(datasets={}, trainer=trainer)})

    assert done.logged("late") == [1000, 1000 + BATCHES]


def failing(error):
    def fail(trainer):
        if trainer.iterations:
            raise error

    return fail


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), StopIteration(), ContractError("mine")])
def test_an_evaluation_that_raises_keeps_its_exception_and_says_where(run, error):
    trainer = made(Toy)

    with pytest.raises(type(error)) as caught:
        run(trainer, evaluations=metrics(trainer, "TestAccuracy", then=failing(error)))

    assert caught.value is error
    assert error.__notes__ == ["in the evaluation 'TestAccuracy' of Toy, epoch 1, iteration 4"]
    assert trainer.training
    assert torch.is_grad_enabled()


def test_a_wrong_entry_is_told_with_the_evaluation(run):
    class Wrong(Evaluation):
        def evaluate(self):
            return 0.5

    trainer = made(Toy)

    with pytest.raises(ContractError, match=r"The evaluation 'TestAccuracy' returned float 0\.5"):
        run(trainer, evaluations={"TestAccuracy": Wrong(datasets={}, trainer=trainer)})


# Losses


class Losing(Toy):
    def train_step(self, data):
        self.add_loss_item("loss", torch.tensor(float(self.iterations)))


def test_losses_are_logged_as_means_and_the_rest_at_the_end(run):
    done = run(Losing, epochs=2, log_loss="3 iterations")

    assert done.logged("loss") == [3, 6, 8]
    assert done.values("loss") == [1.0, 4.0, 6.5]


def test_losses_may_be_logged_by_epoch(run):
    done = run(Losing, epochs=2, log_loss="1 epoch")

    assert (done.logged("loss"), done.values("loss")) == ([4, 8], [1.5, 5.5])


def test_losses_that_are_never_logged_show_their_mean_at_the_end(run):
    done = run(Losing, epochs=2, log_loss="never")

    assert (done.logged("loss"), done.values("loss")) == ([8], [3.5])


def test_a_loss_item_and_an_evaluation_of_one_name_are_refused(run):
    trainer = made(Losing)

    with pytest.raises(
        ContractError, match="'loss' is the name of a loss item, but also of an evaluation"
    ) as caught:
        run(trainer, evaluations=metrics(trainer, "loss"), log_loss="1 iteration")

    assert "Rename the loss item." in str(caught.value)


# Checkpoints


def test_checkpoints_are_kept_in_their_interval_and_a_backup_is_left_at_the_end(run):
    done = run(Toy, epochs=2, checkpoint="3 iterations")

    assert done.files == ["checkpoint_3.pt", "checkpoint_6.pt", "model.pt"]
    assert done.tracker.files == [("checkpoint_3.pt", 3), ("checkpoint_6.pt", 6), ("model.pt", 8)]


def test_a_replaced_backup_is_handed_to_the_tracker_each_time(run):
    done = run(Toy, epochs=2, backup="1 epoch")

    assert done.tracker.files[:2] == [("model.pt", 4), ("model.pt", 8)]
    assert done.files == ["model.previous.pt", "model.pt"]


def test_the_last_backup_says_that_the_run_is_finished_and_holds_what_came_at_the_end(run):
    trainer = made(Losing)

    done = run(trainer, epochs=2, backup="1 epoch", evaluations=metrics(trainer, "metric"))

    assert done.tracker.files == [("model.pt", 4), ("model.pt", 8), ("model.pt", 8)]
    states = [checkpoint.read(done.record.directory / name) for name in ("model.previous.pt", "model.pt")]
    assert [state["loop"]["finished"] for state in states] == [False, True]
    assert [state["journal"]["rows"] for state in states] == [len(done.rows) - 1, len(done.rows)]


def clocked(seconds):
    """A trainer each of whose steps takes so long, by a clock of its own."""

    class Clocked(Toy):
        now = 1000.0

        def train_step(self, data):
            super().train_step(data)
            self.now += seconds

    return made(Clocked)


@pytest.mark.parametrize(
    ("seconds", "backup", "expected"),
    [
        (8.0, "1 hour", [4, 8, 12]),
        (7.5, "1 hour", [4, 8, 12]),
        (7.0, "1 hour", [8]),
        (2.0, "1 hour", []),
        (8.0, "never", []),
        (8.0, "64 seconds", [4, 8, 12]),
        (10.0, "20 iterations", [4, 8, 12]),
    ],
)
def test_a_backup_is_made_at_the_end_of_an_epoch_if_half_a_minute_has_passed(run, seconds, backup, expected):
    trainer = clocked(seconds)

    done = run(trainer, epochs=3, backup=backup, clock=lambda: trainer.now)

    assert [iterations for _, iterations in done.tracker.files[:-1]] == expected


def test_of_the_checkpoints_only_so_many_are_kept_and_the_tracker_forgets_the_others(run):
    done = run(Toy, epochs=2, checkpoint="2 iterations", kept=2)

    assert done.files == ["checkpoint_6.pt", "checkpoint_8.pt", "model.pt"]
    assert done.tracker.files == [
        ("checkpoint_2.pt", 2),
        ("checkpoint_4.pt", 4),
        ("checkpoint_6.pt", 6),
        ("checkpoint_2.pt", "dropped"),
        ("checkpoint_8.pt", 8),
        ("checkpoint_4.pt", "dropped"),
        ("model.pt", 8),
    ]


def test_a_checkpoint_after_an_epoch_knows_that_the_epoch_is_done(run):
    done = run(Toy, epochs=2, checkpoint="1 epoch")

    found = [checkpoint.read(path) for path in Checkpoints(done.record.directory).numbered()]
    assert [(state["iterations"], state["epochs"]) for state in found] == [(4, 1), (8, 2)]


# Errors and signs of life


def failing_trainer(method):
    class Failing(Toy):
        pass

    def fail(self, *_):
        if method == "on_start" or self.iterations == BATCHES - 1 or method == "on_epoch_end":
            raise ZeroDivisionError("mine")

    setattr(Failing, method, fail)
    return Failing


@pytest.mark.parametrize(
    ("method", "note"),
    [
        ("on_start", "in on_start of Failing, epoch 0, iteration 0"),
        ("train_step", "in train_step of Failing, epoch 0, iteration 3"),
        ("on_iteration_end", "in on_iteration_end of Failing, epoch 0, iteration 3"),
        ("on_epoch_end", "in on_epoch_end of Failing, epoch 0, iteration 4"),
    ],
)
def test_an_exception_of_the_users_code_keeps_itself_and_says_where(run, method, note):
    kind = failing_trainer(method)

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        run(kind)

    assert caught.value.__notes__ == [note]


def test_an_exception_of_the_loader_says_where(run):
    class Broken(Toy):
        def initialize(self):
            super().initialize()
            self.train_loader = DataLoader(Counting(iter([1.0, "two"])), batch_size=2)

    with pytest.raises(TypeError) as caught:
        run(Broken)

    assert caught.value.__notes__ == ["in train_loader of Broken, epoch 0, iteration 0"]


def test_progress_has_a_line_for_the_start_and_each_epoch(run):
    trainer = made(Toy)

    done = run(trainer, epochs=2, evaluations=metrics(trainer, "metric"))

    lines = done.shown.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 0/2", "epoch 1/2", "epoch 2/2"]
    assert [line.split("  ")[-1] for line in lines] == ["metric 0", "metric 4", "metric 8"]


def test_a_plan_may_do_nothing_but_train(record):
    trainer = made(Toy)
    journal = Journal(Kept(record), record, Lines(1, io.StringIO()))
    plan = Plan(0, 1, NEVER, NEVER, NEVER, {})

    assert Loop(trainer, {}, journal, Checkpoints(record.directory), plan, Stop()).run()
    assert (trainer.iterations, trainer.epochs) == (BATCHES, 1)


@pytest.mark.parametrize("name", ["iterations", "epochs", "row", "_step"])
def test_a_loss_item_with_the_name_of_a_counter_is_refused(run, name):
    class Naming(Toy):
        def train_step(self, data):
            self.add_loss_item(name, 1.0)

    with pytest.raises(ContractError, match=f"'{name}' is the name of a loss item, but also of"):
        run(Naming)


# A loss that is no number


class Diverging(Toy):
    """Has a loss that is no number from one iteration on, beside one that is."""

    begins_at, value = 6, math.nan

    def train_step(self, data):
        super().train_step(data)
        wrong = self.iterations + 1 >= self.begins_at
        self.add_loss_item("wrong", torch.tensor(self.value if wrong else 1.0))
        self.add_loss_item("right", 1.0)


def diverged(run, kind=Diverging, **planned):
    with pytest.raises(DivergedError) as caught:
        run(kind, **planned)
    return str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_run_after_its_row_was_logged(run, record, value):
    class Wrong(Diverging):
        pass

    Wrong.value = value

    told = diverged(run, Wrong, epochs=5, log_loss="3 iterations")

    assert told == (
        f"The training came to no number: the mean of 'wrong' is {value}.\n"
        "  at: iteration 6, epoch 1\n"
        "  Is the learning rate too high, or a logarithm taken of 0? --allow-nan trains on regardless."
    )
    rows = [json.loads(line) for line in (record.directory / "metrics.jsonl").read_text().splitlines()]
    assert [row["iterations"] for row in rows] == [3, 6]
    assert (str(rows[-1]["metrics"]["wrong"]), rows[-1]["metrics"]["right"]) == (str(value), 1.0)


def test_a_run_that_ended_so_is_a_failure_and_no_bad_input():
    assert (DivergedError.exit_code, ContractError.exit_code) == (1, 2)


def test_every_item_that_is_no_number_is_named(run):
    class Both(Diverging):
        begins_at = 1

        def train_step(self, data):
            super().train_step(data)
            self.add_loss_item("other", math.inf)

    assert "the mean of 'wrong' is nan, 'other' is inf.\n" in diverged(run, Both)


@pytest.mark.parametrize("log_loss", ["never", "100 iterations", "9 epochs"])
def test_the_end_of_an_epoch_finds_it_before_anything_is_evaluated_or_saved(run, record, log_loss):
    planned = {"epochs": 5, "log_loss": log_loss, "backup": "1 epoch", "checkpoint": "1 epoch"}

    told = diverged(run, **planned, evaluations=metrics(made(Toy), "metric"))

    assert "at: iteration 8, epoch 2\n" in told
    rows = [json.loads(line) for line in (record.directory / "metrics.jsonl").read_text().splitlines()]
    assert [row["iterations"] for row in rows if "metric" in row["metrics"]] == [0, 4]
    assert [row["iterations"] for row in rows if "wrong" in row["metrics"]] == [8]
    assert checkpoint.read(record.directory / "model.pt")["iterations"] == BATCHES
    assert [path.name for path in Checkpoints(record.directory).numbered()] == ["checkpoint_4.pt"]


@pytest.mark.parametrize("what", ["backup", "checkpoint"])
def test_nothing_is_saved_in_an_epoch_that_came_to_no_number(run, record, what):
    told = diverged(run, **{what: "1 iterations"}, epochs=5)

    assert "at: iteration 6, epoch 1\n" in told
    saved = sorted(record.directory.glob("*.pt"))
    assert max(checkpoint.read(path)["iterations"] for path in saved) == 5


def test_a_run_that_is_stopped_is_stopped_whatever_its_losses_are(run):
    stop = Stop()

    class Stopping(Diverging):
        def on_iteration_end(self):
            super().on_iteration_end()
            if self.iterations == 7:
                stop.request(15)

    done = run(Stopping, epochs=5, stop=stop)

    assert not done.is_finished
    assert done.counters == (7, 1)


def test_a_run_that_may_have_nan_goes_on(run):
    done = run(Diverging, epochs=3, log_loss="3 iterations", backup="1 iterations", allow_nan=True)

    assert done.is_finished
    assert [str(value) for value in done.values("wrong")] == ["1.0", "nan", "nan", "nan"]


def test_looking_at_the_losses_changes_none_of_them(process):
    looked = process("looked", epochs=3, log_loss="5 iterations", backup="1 iterations")
    unseen = process("unseen", epochs=3, log_loss="5 iterations", allow_nan=True)

    assert looked.values("loss") == unseen.values("loss")


# A run that goes on


class Drawing(Evaluation):
    """Draws from every global generator, and from a loader that shuffles."""

    def initialize(self):
        self.loader = DataLoader(torch.arange(6.0), batch_size=2, shuffle=True)

    def evaluate(self):
        drawn = [torch.rand(()).item(), np.random.rand(), random.random()]
        for batch, data in enumerate(self.batches(self.loader)):
            drawn.append((batch + 1) * data[0].item() + torch.rand(()).item())
        return {"type": "scalars", "value": {str(place): value for place, value in enumerate(drawn)}}


class Patient(Evaluation):
    """Remembers the best value it saw, and ends the training when it has waited long enough."""

    patience = 99

    def initialize(self):
        self.best, self.waited = None, 0
        self.add_attribute_to_store("best")
        self.add_attribute_to_store("waited")

    def evaluate(self):
        found = float(np.float32(self.trainer.net(torch.ones(1, 1)).item()))
        self.waited = 0 if self.best is None or found < self.best else self.waited + 1
        self.best = found if self.best is None else min(found, self.best)
        if self.waited >= self.patience:
            self.trainer.end_training()
        return {"type": "scalars", "value": {"best": self.best, "waited": self.waited}}


class OverData(DatasetEvaluation):
    """A mean over drawn items that counts its batches, and is stopped where it is told to."""

    stop_at = None  # iterations, and batches of the evaluation

    def initialize(self):
        super().initialize("points", batch_size=2, resample=True)
        self.count = 0
        self.add_attribute_to_store("count")

    def evaluate_batch(self, data):
        self.count += 1
        if self.stop_at == (self.trainer.iterations, self.count % 4):
            self.trainer._jade_stop.request(15)
        return {"mean": data.mean() + torch.rand(()), "count": self.count}


EVERY = {"drawing": "2 iterations", "patient": 1, "mean": "3 iterations"}


def evaluations_of(trainer, kinds=(Drawing, Patient, OverData)):
    names = {Drawing: "drawing", Patient: "patient", OverData: "mean"}
    made = {}
    for kind in kinds:
        base = next(name for known, name in names.items() if issubclass(kind, known))
        made[base] = kind(datasets={"points": torch.arange(8.0)}, trainer=trainer)
        made[base].initialize()
    return made


@pytest.fixture
def process(tmp_path):
    """Run one process of a run in a folder: its first one, or one that goes on from the folder's backup."""
    count = 0

    def start(folder, kind=Noisy, *, evaluated=(), stop_in=None, is_strict=False, **how):
        nonlocal count
        count += 1
        record = Record(tmp_path / folder, "abc")
        earlier = None
        if record.directory.exists():
            earlier = checkpoint.read(record.directory / "model.pt")
            record.continue_from(earlier["journal"]["rows"], earlier["journal"]["runtime"])
        else:
            record.create()
        # Rebuilt under the seed of the run; what is global is wherever it may be.
        torch.manual_seed(0 if earlier is None else count)
        trainer = made(kind)
        for name in ("stop_at", "stop_at_epoch", "end_at"):
            if name in how:
                setattr(trainer, name, how.pop(name))
        evaluations = evaluations_of(trainer, evaluated)
        if stop_in is not None:
            evaluations["mean"].stop_at = stop_in
        torch.manual_seed(count)
        np.random.seed(count)
        random.seed(count)
        how = {"epochs": 3, "log_loss": "3 iterations", "checkpoint": "5 iterations", "every": EVERY, **how}
        with warnings.catch_warnings():
            if not is_strict:
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            return Run(trainer, record, evaluations, earlier=earlier, **how)()

    return start


ALL = (Drawing, Patient, OverData)


def test_two_runs_of_one_seed_are_equal_in_every_bit_and_of_two_seeds_are_not(process):
    one, two = (process(folder, evaluated=ALL, seed=7).result for folder in ("one", "two"))
    other = process("other", evaluated=ALL, seed=8).result

    assert one == two
    assert one["state"]["attributes"]["net"] != other["state"]["attributes"]["net"]


@pytest.mark.parametrize("evaluated", [(), ALL], ids=["alone", "evaluated"])
@pytest.mark.parametrize("stop_at", range(1, 3 * BATCHES + 1))
def test_a_run_that_was_stopped_at_any_iteration_ends_as_one_that_was_not(process, stop_at, evaluated):
    undisturbed = process("undisturbed", evaluated=evaluated)

    stopped = process("stopped", evaluated=evaluated, stop_at=stop_at)
    done = process("stopped", evaluated=evaluated)

    assert not stopped.is_finished
    assert stopped.trainer.iterations == stop_at
    assert done.is_finished
    assert done.result == undisturbed.result


def test_a_run_that_was_stopped_at_every_iteration_ends_as_one_that_was_not(process):
    undisturbed = process("undisturbed", evaluated=ALL)

    for stop_at in range(1, 3 * BATCHES + 1):
        stopped = process("stopped", evaluated=ALL, stop_at=stop_at)
        assert stopped.trainer.iterations == stop_at
    done = process("stopped", evaluated=ALL)

    assert done.result == undisturbed.result


@pytest.mark.parametrize("stop_at_epoch", [1, 2, 3])
def test_a_run_that_was_stopped_in_on_epoch_end_ends_as_one_that_was_not(process, stop_at_epoch):
    undisturbed = process("undisturbed", evaluated=ALL)

    stopped = process("stopped", evaluated=ALL, stop_at_epoch=stop_at_epoch)
    done = process("stopped", evaluated=ALL)

    assert stopped.counters == (stop_at_epoch * BATCHES, stop_at_epoch)
    assert done.result == undisturbed.result


@pytest.mark.parametrize("how", [{"log_loss": "never"}, {"log_loss": "1 epoch"}, {"log_loss": "1 iteration"}])
@pytest.mark.parametrize("stop_at", [1, 4, 6, 12])
def test_means_of_losses_that_were_not_logged_yet_survive(process, stop_at, how):
    undisturbed = process("undisturbed", **how)

    process("stopped", stop_at=stop_at, **how)
    done = process("stopped", **how)

    assert done.rows
    assert done.result == undisturbed.result


def test_a_stop_in_the_last_step_of_an_epoch_leaves_the_end_of_the_epoch_to_the_next_process(process):
    stopped = process("stopped", stop_at=BATCHES, evaluated=(Patient,))
    done = process("stopped", evaluated=(Patient,))

    assert stopped.counters == (BATCHES, 0)
    assert done.counters == (3 * BATCHES, 3)
    assert done.logged("patient/best") == [0, 4, 8, 12]


def test_a_scheduler_that_steps_before_the_first_step_of_a_process_is_no_reason_to_warn(process):
    process("stopped", stop_at=BATCHES, is_strict=True)

    assert process("stopped", is_strict=True).is_finished


@pytest.mark.parametrize("stop_at", range(1, 7))
@pytest.mark.parametrize("end_at", [4, 6])
def test_training_that_ends_by_itself_ends_there_however_often_it_was_stopped(process, stop_at, end_at):
    undisturbed = process("undisturbed", evaluated=ALL, end_at=end_at)

    process("stopped", evaluated=ALL, end_at=end_at, stop_at=min(stop_at, end_at))
    done = process("stopped", evaluated=ALL, end_at=end_at)

    assert done.trainer.iterations == end_at
    assert done.is_finished
    assert done.result == undisturbed.result


def test_patience_survives(process):
    class Impatient(Patient):
        patience = 3

        def evaluate(self):
            super().evaluate()
            return {"type": "scalar", "value": self.waited}

    class Still(Noisy):
        def train_step(self, data):
            pass

        def on_epoch_end(self):
            pass

    how = {"kind": Still, "evaluated": (Impatient,), "epochs": 9}
    undisturbed = process("undisturbed", **how)

    for stop_at in (1, 4, 5, 8, 9):
        process("stopped", **how, stop_at=stop_at)
    done = process("stopped", **how)

    assert done.values("patient") == [0, 1, 2, 3]
    assert done.counters == undisturbed.counters == (12, 3)
    assert done.result == undisturbed.result


@pytest.mark.parametrize("batch", [1, 2, 3, 0], ids=["first batch", "second", "third", "last"])
@pytest.mark.parametrize("iterations", [0, 3, 6, 9, 12])
def test_a_run_that_was_stopped_in_an_evaluation_ends_as_one_that_was_not(process, iterations, batch):
    undisturbed = process("undisturbed", evaluated=ALL)

    stopped = process("stopped", evaluated=ALL, stop_in=(iterations, batch))
    done = process("stopped", evaluated=ALL)

    assert not stopped.is_finished
    assert stopped.trainer.iterations == iterations
    # What the evaluation had counted is forgotten, unless it had come to its end.
    assert stopped.evaluations["mean"].count % 4 == 0
    assert done.result == undisturbed.result


def test_evaluations_that_were_finished_at_a_boundary_are_not_made_again(process):
    calls = []

    class Told(Drawing):
        def evaluate(self):
            calls.append(("drawing", self.trainer.iterations))
            return super().evaluate()

    class ToldToo(OverData):
        def evaluate(self):
            calls.append(("mean", self.trainer.iterations))
            return super().evaluate()

    class Last(Patient):
        def evaluate(self):
            calls.append(("patient", self.trainer.iterations))
            return super().evaluate()

    how = {"evaluated": (Told, ToldToo, Last), "every": dict.fromkeys(EVERY, "2 epochs"), "epochs": 2}
    stopped = process("stopped", **how, stop_in=(8, 2))
    calls.append("stopped")
    process("stopped", **how)

    at_the_start = [("drawing", 0), ("mean", 0), ("patient", 0)]
    assert calls == [*at_the_start, ("drawing", 8), ("mean", 8), "stopped", ("mean", 8), ("patient", 8)]
    assert stopped.logged("drawing/0") == [0, 8]


@pytest.mark.parametrize("stop_in", [(12, 2), (12, 0)], ids=["in the middle", "at its end"])
def test_a_final_evaluation_that_was_stopped_is_made_when_the_run_goes_on(process, stop_in):
    how = {"evaluated": ALL, "every": dict.fromkeys(EVERY, "never")}
    undisturbed = process("undisturbed", **how)

    stopped = process("stopped", **how, stop_in=stop_in)
    done = process("stopped", **how)

    assert not stopped.is_finished
    assert [row["iterations"] for row in done.rows if "drawing/0" in row["metrics"]] == [12]
    assert done.result == undisturbed.result


def test_a_run_that_is_stopped_before_its_first_step_goes_on_from_there(process):
    class Early(Noisy):
        is_asked = True

        def on_start(self):
            if self.is_asked:
                self._jade_stop.request(15)

    class Late(Early):
        is_asked = False

    undisturbed = process("undisturbed", Late, evaluated=ALL)

    stopped = process("stopped", Early, evaluated=ALL)
    done = process("stopped", Late, evaluated=ALL)

    assert stopped.counters == (0, 0)
    assert not stopped.is_finished
    assert done.result == undisturbed.result


@pytest.mark.parametrize("finished", [1, 2])
def test_a_run_that_is_finished_may_be_made_longer(process, finished):
    undisturbed = process("undisturbed", epochs=3)

    process("longer", epochs=finished)
    done = process("longer", epochs=3)

    assert done.counters == (3 * BATCHES, 3)
    assert done.result["state"]["attributes"] == undisturbed.result["state"]["attributes"]


def test_a_run_that_is_finished_makes_no_step_when_it_goes_on(process):
    first = process("run", evaluated=ALL)

    again = process("run", evaluated=ALL)

    assert again.is_finished
    assert again.result == first.result


@pytest.mark.parametrize("kinds", [(), (Drawing,), (Patient, OverData), ALL], ids=str)
def test_evaluations_that_draw_random_numbers_change_no_weight(process, kinds):
    alone = process("alone").result["state"]["attributes"]
    often = dict.fromkeys(EVERY, "1 iteration")

    assert process("evaluated", evaluated=kinds, every=often).result["state"]["attributes"] == alone


def test_how_often_something_else_happens_changes_no_weight(process):
    alone = process("alone").result["state"]["attributes"]

    busy = process("busy", backup="1 iteration", checkpoint="1 iteration", log_loss="1 iteration")

    assert busy.result["state"]["attributes"] == alone


def test_on_start_is_called_in_every_process_before_the_state_is_put_back(process):
    seen = []

    class Told(Noisy):
        def on_start(self):
            seen.append((len(self.history), self.iterations))
            self.history.append("mine")

    process("run", Told, stop_at=6)
    process("run", Told)

    assert seen == [(0, 0), (0, 0)]


def test_intervals_of_time_count_the_time_of_all_processes_and_none_between_them(process):
    class Clocked(Noisy):
        now = 1000.0

        def train_step(self, data):
            super().train_step(data)
            type(self).now += 20.0

    how = {"evaluated": (Drawing,), "every": {"drawing": "1 minute"}, "clock": lambda: Clocked.now}

    process("run", Clocked, **how, stop_at=4)
    Clocked.now = 5.0
    process("run", Clocked, **how, stop_at=8)
    Clocked.now = 1e6
    done = process("run", Clocked, **how)

    assert done.logged("drawing/0") == [0, 3, 6, 9, 12]


def test_attributes_that_are_missing_or_surplus_in_the_checkpoint_are_named(process):
    class More(Noisy):
        def initialize(self):
            super().initialize()
            self.encoder = nn.Linear(1, 1)
            self.add_attribute_to_store("encoder")

    process("run", stop_at=2)

    with pytest.raises(CheckpointError) as caught:
        process("run", More)

    assert str(caught.value) == (
        "The checkpoint does not fit More.\n"
        "  missing in the checkpoint: encoder\n"
        "  only in the checkpoint: none"
    )


def test_attributes_of_an_evaluation_that_do_not_fit_name_the_evaluation(process):
    class Other(Patient):
        def initialize(self):
            super().initialize()
            self.more = 1
            self.add_attribute_to_store("more")

    process("run", evaluated=(Patient,), stop_at=2)

    with pytest.raises(CheckpointError, match="The checkpoint does not fit the evaluation 'patient'"):
        process("run", evaluated=(Other,))


def test_data_that_has_become_less_is_told(process):
    class Less(Noisy):
        def initialize(self):
            super().initialize()
            self.train_loader = DataLoader(self.train_loader.dataset[:3], batch_size=3, shuffle=True)

    process("run", stop_at=3)

    with pytest.raises(
        CheckpointError, match="The run was stopped after 3 batches of an epoch; the train_loader"
    ):
        process("run", Less)


def test_an_evaluation_that_is_stopped_leaves_modes_and_gradients_as_they_were(process):
    stopped = process("run", evaluated=ALL, stop_in=(3, 2))

    assert stopped.trainer.training
    assert torch.is_grad_enabled()


# A time limit


@pytest.mark.parametrize(("seconds", "limit"), [(1.0, 6.5), (20.0, 100.0), (60.0, 600.0)])
@pytest.mark.parametrize("log_loss", ["1 iteration", "never"])
@pytest.mark.parametrize("batches", [4, 1000])
def test_a_time_limit_stops_before_it_is_over(run, seconds, limit, batches, log_loss):
    trainer = clocked(seconds)
    trainer.train_loader = [torch.ones(1, 1)] * batches
    stop = Stop(lambda: trainer.now)
    stop.limit(limit)

    done = run(trainer, epochs=99, stop=stop, clock=lambda: trainer.now, log_loss=log_loss)

    assert trainer.iterations >= 1
    assert trainer.now < 1000.0 + limit
    assert not done.is_finished
    assert stop.exit_code == 124
    assert done.tracker.files == [("model.pt", trainer.iterations)]


def test_a_time_limit_leaves_time_to_write_the_backup_as_long_as_the_last_one_took(run, monkeypatch):
    trainer = clocked(1.0)
    save = Checkpoints.save_backup

    def slow(self, state):
        trainer.now += 10.0
        return save(self, state)

    monkeypatch.setattr(Checkpoints, "save_backup", slow)
    stop = Stop(lambda: trainer.now)
    stop.limit(100.0)

    run(trainer, epochs=99, stop=stop, clock=lambda: trainer.now, backup="8 iterations")

    assert trainer.now < 1100.0
    assert trainer.iterations > 8


def test_a_time_limit_ends_an_evaluation_between_two_batches(process):
    now = 1000.0

    class Slow(OverData):
        def evaluate_batch(self, data):
            nonlocal now
            now += 10.0
            return super().evaluate_batch(data)

    stop = Stop(lambda: now)
    stop.limit(25.0)

    stopped = process("run", evaluated=(Slow,), stop=stop, clock=lambda: now)

    assert now == 1030.0
    assert (stopped.counters, stopped.is_finished, stop.exit_code) == ((0, 0), False, 124)


def test_a_time_limit_that_is_not_reached_does_not_matter(run):
    trainer = clocked(1.0)
    stop = Stop(lambda: trainer.now)
    stop.limit(1000.0)

    done = run(trainer, epochs=2, stop=stop, clock=lambda: trainer.now)

    assert done.is_finished
    assert not stop


# What would be lost


class Forgetful(Toy):
    def initialize(self):
        super().initialize()
        self.head = nn.Linear(1, 1)
        self.head_opt = torch.optim.SGD(self.head.parameters(), lr=0.1)
        self.prior = nn.Linear(1, 1).requires_grad_(False)
        self.best = None
        self.constant = 3

    def train_step(self, data):
        super().train_step(data)
        self.best = self.iterations


def warned(caplog):
    return [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]


def test_what_learns_or_changes_and_is_not_stored_is_named_once_at_the_first_checkpoint(run, caplog):
    run(Forgetful, epochs=2, checkpoint="3 iterations", backup="2 iterations")

    (line,) = warned(caplog)
    assert re.fullmatch(
        r".*test_loop\.py:\d+.*: best, head, head_opt learns or changes, but is in no checkpoint: a continued run"
        r" begins with it anew\. self\.add_attribute_to_store\(name\) puts it there\.",
        line,
    )


def test_a_trainer_that_stores_everything_is_warned_of_nothing(process, caplog):
    process("run", evaluated=ALL, stop_at=5)
    process("run", evaluated=ALL)

    assert warned(caplog) == []


def test_what_becomes_something_that_cannot_be_stored_is_told_and_the_backup_before_stays(run, record):
    class Changing(Toy):
        def initialize(self):
            super().initialize()
            self.kept = None
            self.add_attribute_to_store("kept")

        def on_epoch_end(self):
            self.kept = {1, 2}

    with pytest.raises(ContractError, match=r"'kept' of Changing cannot be stored: kept is a builtins\.set"):
        run(Changing, backup="3 iterations")

    assert checkpoint.read(record.directory / "model.pt")["iterations"] == 3


# What a hostile user's trainer does


class Accumulating(Noisy):
    """Applies its gradients at every third step only."""

    def train_step(self, data):
        loss = (self.net(data) - data).square().mean()
        loss.backward()
        if self.iterations % 3 == 2:
            self.opt.step()
            self.opt.zero_grad()


class Unfreezing(Noisy):
    """Learns its bias from the second epoch on."""

    def initialize(self):
        super().initialize()
        next(module for module in self.net.modules() if hasattr(module, "bias")).bias.requires_grad_(False)

    def on_epoch_end(self):
        super().on_epoch_end()
        self.net.requires_grad_(True)


class InLists(Noisy):
    """Learns tensors that its optimizer holds, too, and keeps them in a list, a dictionary and a deque's neighbor."""

    def initialize(self):
        super().initialize()
        self.latent = [torch.zeros(2, requires_grad=True)]
        self.named = {"scale": torch.ones(1, requires_grad=True)}
        self.recent = deque(maxlen=2)
        self.shared = self.recent
        self.weights = np.ones(3)
        self.view = self.weights
        self.latent_opt = torch.optim.Adam([*self.latent, *self.named.values()], lr=0.1)
        for name in ("latent", "named", "recent", "weights", "latent_opt"):
            self.add_attribute_to_store(name)

    def train_step(self, data):
        super().train_step(data)
        loss = (self.latent[0] * self.named["scale"] - 1.0).square().sum() + float(self.view.sum()) * 0
        self.latent_opt.zero_grad()
        loss.backward()
        self.latent_opt.step()
        self.shared.append(loss.item())
        self.view *= 1.5


@pytest.mark.parametrize("kind", [Accumulating, Unfreezing, InLists])
@pytest.mark.parametrize("stop_at", [1, 4, 5, 10])
def test_what_no_state_dict_holds_goes_on_as_well(process, kind, stop_at):
    undisturbed = process("undisturbed", kind)

    process("stopped", kind, stop_at=stop_at)
    done = process("stopped", kind)

    assert done.result == undisturbed.result


def test_what_an_evaluation_would_lose_is_named(process, caplog):
    class Forgetting(Drawing):
        def evaluate(self):
            self.count = getattr(self, "count", 0) + 1
            return super().evaluate()

    process("stopped", evaluated=(Forgetting,), stop_at=5)

    told = [message for message in caplog.messages if "is in no checkpoint" in message]
    assert len(told) == 1
    assert "count learns or changes" in told[0]


def test_a_rate_that_a_schedule_changes_inside_a_network_is_named(process, caplog):
    class Rated(Noisy):
        def on_epoch_end(self):
            super().on_epoch_end()
            self.net.slope = 0.5 * getattr(self.net, "slope", 1.0)

        def initialize(self):
            super().initialize()
            self.net.slope = 1.0

    process("stopped", Rated, stop_at=6)

    assert any("net.slope learns or changes" in message for message in caplog.messages)


def test_a_loader_that_was_replaced_is_named_when_the_run_stops(process, caplog):
    class Replacing(Noisy):
        def on_epoch_end(self):
            super().on_epoch_end()
            self.train_loader = list(self.train_loader)

    process("stopped", Replacing, stop_at=6)

    assert any("has replaced its train_loader" in message for message in caplog.messages)


def test_an_epoch_of_another_length_is_told(process, caplog):
    class Shorter(Noisy):
        def initialize(self):
            super().initialize()
            self.train_loader = DataLoader(self.train_loader.dataset, batch_size=6)

    process("stopped", stop_at=1)
    process("stopped", Shorter)

    assert any(f"An epoch had {BATCHES} batches, and has 2 now" in message for message in caplog.messages)
