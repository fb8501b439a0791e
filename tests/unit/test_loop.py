import io
import json
from collections import namedtuple
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from toys import BATCHES, Counting, Toy, made

from jade import checkpoint, intervals
from jade.checkpoint import Checkpoints
from jade.errors import ContractError
from jade.eval import Evaluation
from jade.intervals import NEVER
from jade.journal import Journal
from jade.loop import Loop, Plan
from jade.progress import Lines
from jade.record import Record
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
        self.files.append((path.name, checkpoint.read(path)["iterations"]))


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

    def __call__(self):
        self.tracker, self.shown = Kept(self.record), io.StringIO()
        journal = Journal(self.tracker, self.record, Lines(self.epochs, self.shown))
        checkpoints = Checkpoints(self.record.directory)
        plan = Plan(
            self.epochs,
            _interval(self.log_loss, "iteration"),
            _interval(self.checkpoint),
            _interval(self.backup),
            {name: _interval(self.every.get(name, 1)) for name in self.evaluations},
        )
        Loop(self.trainer, self.evaluations, journal, checkpoints, plan, self.stop, self.clock).run()
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


def test_a_backup_that_was_just_made_is_not_made_again(run):
    done = run(Toy, epochs=2, backup="1 epoch")

    assert done.tracker.files == [("model.pt", 4), ("model.pt", 8)]
    assert checkpoint.read(done.record.directory / "model.previous.pt")["iterations"] == 4


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
    plan = Plan(1, NEVER, NEVER, NEVER, {})

    Loop(trainer, {}, journal, Checkpoints(record.directory), plan, Stop()).run()

    assert (trainer.iterations, trainer.epochs) == (BATCHES, 1)


@pytest.mark.parametrize("name", ["iterations", "epochs"])
def test_a_loss_item_with_the_name_of_a_counter_is_refused(run, name):
    class Naming(Toy):
        def train_step(self, data):
            self.add_loss_item(name, 1.0)

    with pytest.raises(ContractError, match=f"'{name}' is the name of a loss item, but also of"):
        run(Naming)
