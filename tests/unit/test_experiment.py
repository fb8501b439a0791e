import json
import os
import signal
import time

import pytest
import torch

from jade import checkpoint, experiment, intervals, lock, resume
from jade.checkpoint import Checkpoints, read
from jade.errors import (
    CheckpointError,
    ConfigError,
    ContractError,
    DivergedError,
    JadeError,
    PluginError,
    TrackingError,
    shown,
)
from jade.experiment import Continued, Surroundings
from jade.intervals import NEVER
from jade.plugins import Plugins
from jade.record import Record
from jade.schedule import Schedule
from jade.signals import SAME_PRESS_SECONDS
from jade.tracking.local import LocalTracker

TRAINER, EVALUATION = "modules/models/line.py", "modules/eval/norm.py"
SAID = {"log_loss_every": "1", "checkpoint_every": "never", "backup_every": "never"}


class Tracker(LocalTracker):
    """A tracker that may change params, as a sweep does, and remembers what it was told."""

    def __init__(self, record, *, was_stopped=False, **changed):
        super().__init__(record)
        self.changed = changed
        self.earlier = self.finished = None
        self.kept = []
        self.described = None
        self.preempting = 0
        self.told = []
        self._was_stopped = was_stopped

    @property
    def changes_params(self):
        return bool(self.changed)

    def start(self, flat, earlier=None):
        self.earlier = earlier
        return {**flat, **self.changed}

    def describe(self, flat):
        self.described = flat

    def keep(self, path):
        self.kept.append(path.name)

    def mark_preempting(self):
        self.preempting += 1

    def tell(self, text):
        assert self.finished is None
        self.told.append(text)

    def was_stopped(self):
        return self._was_stopped

    def finish(self, status, exit_code):
        assert self.finished is None
        self.finished = (status, exit_code)


@pytest.fixture
def around(written):
    def make(project=None, snapshot=False, environ=None, name=None):
        schedule = Schedule(intervals.parse(1, "iteration", ""), NEVER, NEVER)
        plugins = Plugins(project or written.root, snapshot)
        cpu = torch.device("cpu")
        return Surroundings(plugins, cpu, schedule, SAID, ["train.py", "-x"], environ or {}, name=name)

    return make


@pytest.fixture
def record(written, tmp_path):
    return Record(tmp_path / "experiments", "abc")


def status(record):
    return json.loads((record.directory / "status.json").read_text())


def rows(record):
    return [json.loads(line) for line in (record.directory / "metrics.jsonl").read_text().splitlines()]


def metrics(record):
    return [(row["row"], row["iterations"], row["epochs"], row["metrics"]) for row in rows(record)]


def environment(record):
    return json.loads((record.directory / "environment.json").read_text())


# A run from its beginning


def test_a_run_leaves_its_metrics_files_and_status(written, around, record):
    tracker = Tracker(record)

    code = experiment.run(written.composed(), around(name="mine"), record, tracker)

    assert (code, tracker.finished) == (0, ("finished", 0))
    told = status(record)
    assert (told["status"], told["iterations"], told["epochs"], told["name"]) == ("finished", 6, 2, "mine")
    assert [row["iterations"] for row in rows(record) if "Norm" in row["metrics"]] == [0, 3, 6]
    left = {path.name for path in record.directory.iterdir()}
    assert {"config.yml", "yaml", "code", "environment.json", "metrics.jsonl", "model.pt"} <= left
    assert (record.directory / "code/modules/models/line.py").is_file()


def test_a_run_records_what_decides_about_its_bits_and_the_schedule_as_it_was_said(written, around, record):
    experiment.run(written.composed(), around(), record, Tracker(record))

    facts = environment(record)
    assert facts["schedule"] == SAID
    assert facts["torch_threads"] == torch.get_num_threads()
    assert facts["device"] == "cpu"
    assert facts["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert facts["command"] == ["train.py", "-x"]


def test_a_run_records_the_variables_that_its_files_name(written, around, record):
    written.write("d.yml", "train:\n  class: Points\n  params:\n    n: $POINTS\n    scale: ${SCALE:-2.0}\n")

    accepted = written.composed(environ={"POINTS": "6", "OTHER": "x"})
    experiment.run(accepted, around(), record, Tracker(record))

    assert environment(record)["variables"] == {"POINTS": "6"}


def test_a_run_records_how_long_the_datasets_are_that_it_built(written, around, record, tmp_path):
    several = {name: {"class": "Points", "params": {"n": n}} for name, n in (("train", 6), ("late", 5))}
    written.write(
        "d.yml", json.dumps({**several, "unused": several["late"], "endless": {"class": "Endless"}})
    )
    written.write(
        "modules/data/endless.py", "class Endless:\n    def __iter__(self):\n        return iter([1])\n"
    )
    written.change(
        EVALUATION,
        "        return",
        "        self.datasets['late'], self.datasets['endless']\n        return",
    )
    seen = []

    class Watching(Tracker):
        def keep(self, path):
            if path.name == "environment.json":
                seen.append(json.loads(path.read_text())["datasets"])

    experiment.run(written.composed(), around(), record, Watching(record))

    found = {"train": {"length": 6}, "late": {"length": 5}, "endless": {"length": None}}
    assert seen == [{"train": {"length": 6}}, found]
    assert environment(record)["datasets"] == found


def test_a_trial_records_its_sweep_and_keeps_the_state_that_the_sweep_looks_for(written, around, record):
    sweep = {"path": "e/p/s", "metric": {"name": "Norm/best", "goal": "maximize"}}

    class Swept(Tracker):
        def sweep(self):
            return sweep

    experiment.run(written.composed(), around(), record, Swept(record))

    assert environment(record)["sweep"] == sweep
    assert read(record.directory / "best.pt")["iterations"] == 0  # training makes the weights smaller


def test_the_status_and_the_list_of_checkpoints_are_kept_with_each_backup_and_at_the_end(
    written, around, record
):
    tracker = Tracker(record)

    experiment.run(written.composed(), around(), record, tracker)

    assert tracker.kept[-3:] == ["metrics.jsonl", "status.json", "checkpoints.json"]
    assert tracker.kept.count("status.json") == 2


def test_the_folder_is_locked_as_long_as_the_run_lives(written, around, record):
    seen = []

    class Watching(Tracker):
        def log(self, entries, iterations, epochs):
            seen.append((record.directory / lock.NAME).is_file())
            super().log(entries, iterations, epochs)

    experiment.run(written.composed(), around(), record, Watching(record))

    assert set(seen) == {True}
    assert not (record.directory / lock.NAME).exists()


def test_the_lock_is_given_back_by_a_run_that_fails(written, around, record):
    written.change(TRAINER, "loss.backward()", "raise ZeroDivisionError")

    with pytest.raises(ZeroDivisionError):
        experiment.run(written.composed(), around(), record, Tracker(record))

    assert not (record.directory / lock.NAME).exists()


def test_two_runs_with_one_seed_log_the_same_numbers(written, around, tmp_path):
    def logged(name):
        record = Record(tmp_path / "experiments", name)
        experiment.run(written.composed(), around(), record, LocalTracker(record))
        return metrics(record)

    assert logged("one") == logged("two")


def test_what_can_be_refused_is_refused_before_there_is_a_folder(written, around, record, tmp_path):
    written.change(TRAINER, "self.train_loader", "self.loader")

    with pytest.raises(ContractError, match="sets no train_loader"):
        experiment.run(written.composed(), around(), record, Tracker(record))

    assert not (tmp_path / "experiments").exists()


def test_a_tracker_that_does_not_start_leaves_no_folder(written, around, record, tmp_path):
    class Down(Tracker):
        def start(self, flat, earlier=None):
            raise TrackingError("The server cannot be reached.")

    with pytest.raises(TrackingError, match="cannot be reached"):
        experiment.run(written.composed(), around(), record, Down(record))

    assert not record.directory.exists()


def test_a_sweep_changes_what_is_built(written, around, record):
    tracker = Tracker(record, **{"model.params.lr": 0.5, "epochs": 1})

    experiment.run(written.composed(), around(), record, tracker)

    assert "lr: 0.5" in (record.directory / "config.yml").read_text()
    assert status(record)["epochs"] == 1


OTHER_MODEL = """\
    from modules.models.line import LineTrainer

    class Same(LineTrainer):
        pass

    class Other(LineTrainer):
        def initialize(self, rate):
            super().initialize(rate)
    """


@pytest.fixture
def sweepable(written):
    """The small project with more to choose from: an architecture file, trainers, an evaluation."""
    written.write(
        "other.py", (written.root / "net.py").read_bytes().replace(b"Linear(1, width)", b"Linear(1, 3)")
    )
    written.write("modules/models/other.py", OTHER_MODEL)
    written.add(EVALUATION, "\n\nclass Twice(Norm):\n    pass\n")
    written.write("e.yml", "Norm:\n  class: Norm\n  params:\n    on: train\n    evaluate_every: 1\n")
    return written


@pytest.mark.parametrize(
    ("swept", "used"),
    [
        ({"model.params.lr": "1e-3"}, {"model.params.lr": 1e-3}),
        ({"model": {"params": {"lr": 1}}}, {"model.params.lr": 1}),
        ({"model.lr": 0.5}, {"model.params.lr": 0.5}),
        ({"data.train.params.n": 4.0}, {"data.train.params.n": 4}),
        ({"data": {"train": {"params": {"n": "4"}}}}, {"data.train.params.n": 4}),
        ({"eval.Norm.params.evaluate_every": 2.0}, {"eval.Norm.params.evaluate_every": 2}),
        ({"eval.Norm.class": "Twice"}, {"eval.Norm.class": "Twice"}),
        ({"model.class": "Same"}, {"model.class": "Same"}),
        ({"arch_impl": "other.py"}, {"arch_impl": "other.py"}),
        ({"seed": 7.0}, {"seed": 7}),
        ({"epochs": "3"}, {"epochs": 3}),
        ({"deterministic": "false", "_wandb": {"version": 1}}, {}),
    ],
    ids=lambda value: " ".join(value),
)
def test_everything_in_the_configuration_can_be_swept(sweepable, around, record, swept, used):
    tracker = Tracker(record, **swept)

    code = experiment.run(sweepable.composed(), around(), record, tracker)

    expected = {**sweepable.composed().flat, **used}
    assert (code, tracker.finished) == (0, ("finished", 0))
    assert tracker.described == expected
    assert {key: type(value) for key, value in tracker.described.items()} == {
        key: type(value) for key, value in expected.items()
    }
    assert resume.read(record.directory).config.flat == expected
    assert status(record)["epochs"] == used.get("epochs", 2)


def test_a_swept_class_that_takes_other_params_is_told_with_them(sweepable, around, record):
    tracker = Tracker(record, **{"model.class": "Other"})

    with pytest.raises(PluginError) as caught:
        experiment.run(sweepable.composed(), around(), record, tracker)

    assert "Other takes no parameter 'lr'.\n" in str(caught.value)
    assert "(model.params.lr)\n  known: rate" in str(caught.value)
    assert "Other needs the parameter 'rate'." in str(caught.value)
    assert caught.value.__notes__ == ["with what the sweep set: model.class=Other"]
    assert (tracker.finished[0], status(record)["status"]) == ("failed", "failed")


@pytest.mark.parametrize(("key", "value"), [("model.class", "Sam"), ("arch_impl", "otherr.py")])
def test_a_swept_class_or_file_that_there_is_not_is_told_to_come_from_the_sweep(
    sweepable, around, record, key, value
):
    with pytest.raises(JadeError) as caught:
        experiment.run(sweepable.composed(), around(), record, Tracker(record, **{key: value}))

    assert f"sweep ({key})" in str(caught.value)


def test_an_exception_while_a_trial_is_built_says_what_the_sweep_set(sweepable, around, record):
    sweepable.change(TRAINER, "self.lr = lr", "self.lr = 1 / (lr - 0.5)")

    with pytest.raises(ZeroDivisionError) as caught:
        experiment.run(
            sweepable.composed(), around(), record, Tracker(record, **{"model.lr": 0.5, "seed": 3})
        )

    assert caught.value.__notes__[-1] == "with what the sweep set: model.params.lr=0.5, seed=3"


def test_the_lines_of_a_trial_count_to_the_epochs_that_were_swept(written, around, record, capsys):
    experiment.run(written.composed(), around(), record, Tracker(record, epochs=3))

    assert [line[:9] for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")] == [
        f"epoch {number}/3" for number in range(4)
    ]


def test_a_loss_that_is_no_number_fails_the_run_and_leaves_the_backup_of_before(written, around, record):
    written.change(TRAINER, "loss = self", "loss = (float('nan') if self.iterations > 3 else 1) * self")
    written.change("m.yml", "lr: 0.1", "lr: 0.0")
    tracker = Tracker(record)

    with pytest.raises(DivergedError, match="the mean of 'loss' is nan"):
        experiment.run(written.composed(epochs=9), around(), record, tracker)

    assert (tracker.finished[0], status(record)["status"]) == ("failed", "failed")
    assert str(rows(record)[-1]["metrics"]["loss"]) == "nan"
    assert not (record.directory / "model.pt").exists()


def test_a_sweep_that_sets_an_unknown_key_fails_with_the_nearest_one(written, around, record):
    tracker = Tracker(record, **{"model.params.lrr": 0.5})

    with pytest.raises(ConfigError, match=r"model\.params\.lrr") as caught:
        experiment.run(written.composed(), around(), record, tracker)

    assert "did you mean: model.params.lr" in str(caught.value)
    assert tracker.finished[0] == "failed"
    assert status(record)["status"] == "failed"


def test_a_users_exception_fails_the_run_and_keeps_itself(written, around, record):
    written.change(TRAINER, "loss.backward()", "raise ZeroDivisionError")
    tracker = Tracker(record)

    with pytest.raises(ZeroDivisionError) as caught:
        experiment.run(written.composed(), around(), record, tracker)

    assert caught.value.__notes__ == ["in train_step of LineTrainer, epoch 0, iteration 0"]
    assert (tracker.finished[0], status(record)["status"]) == ("failed", "failed")


def test_why_a_run_fails_is_told_to_the_tracker_before_it_is_closed(written, around, record):
    written.change(TRAINER, "loss.backward()", "raise ZeroDivisionError('no loss')")
    tracker = Tracker(record)

    with pytest.raises(ZeroDivisionError):
        experiment.run(written.composed(), around(), record, tracker)

    (told,) = tracker.told
    assert told.startswith("Traceback")
    assert told.endswith("ZeroDivisionError: no loss\nin train_step of LineTrainer, epoch 0, iteration 0")


def test_a_mistake_in_a_sweep_is_told_to_the_tracker_as_it_is_printed(written, around, record):
    tracker = Tracker(record, **{"model.params.nonsense": 1})

    with pytest.raises(ConfigError) as caught:
        experiment.run(written.composed(), around(), record, tracker)

    assert tracker.told == [shown(caught.value)]


def test_a_disk_that_takes_no_status_hides_no_exception_and_still_ends_the_tracker(written, around, record):
    spoil = "import pathlib; p = next(pathlib.Path(self.where).glob('abc/status.json'))"
    spoil += "; p.unlink(); p.mkdir(); raise ZeroDivisionError"
    written.change(TRAINER, "loss.backward()", spoil)
    written.change(TRAINER, "self.lr = lr", f"self.where = {str(record.directory.parent)!r}")
    tracker = Tracker(record)

    with pytest.raises(ZeroDivisionError):
        experiment.run(written.composed(), around(), record, tracker)

    assert tracker.finished[0] == "failed"


def test_the_summary_is_told_at_the_end(written, around, record, caplog):
    caplog.set_level("INFO", logger="jade")

    experiment.run(written.composed(), around(), record, Tracker(record))

    assert caplog.messages[-1].startswith("The run has finished.\n  metric")
    assert str(record.directory) in caplog.messages[-1]


def test_what_is_left_out_of_the_copy_of_the_code_is_told(written, around, record, caplog):
    written.write("modules/models/picture.png", b"\x89PNG\xff")

    experiment.run(written.composed(), around(), record, Tracker(record))

    assert "Not in the copy of the code: modules/models/picture.png (not text)." in caplog.messages


# A run that is stopped


def killing(*numbers, pause=0.0):
    """Return a line that sends signals to this process, and does the step then."""
    sent = "; ".join(f"os.kill({os.getpid()}, {int(number)}); time.sleep({pause})" for number in numbers)
    return f"import os, time; {sent}; loss.backward()"


SIGNALS = [
    (signal.SIGINT, 130),
    (signal.SIGTERM, 143),
    (signal.SIGUSR1, 138),
    (signal.SIGUSR2, 140),
    (signal.SIGHUP, 129),
]


@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=lambda value: getattr(value, "name", None))
def test_a_signal_ends_a_run_cleanly_with_a_backup(written, around, record, number, code):
    written.change(TRAINER, "loss.backward()", killing(number))
    tracker = Tracker(record)

    ended = experiment.run(written.composed(), around(), record, tracker)

    assert (ended, tracker.finished, status(record)["status"]) == (code, ("stopped", code), "stopped")
    assert read(record.directory / "model.pt")["iterations"] == 1


def test_a_ctrl_c_that_arrives_twice_at_once_is_one(written, around, record):
    written.change(TRAINER, "loss.backward()", killing(signal.SIGINT, signal.SIGINT))
    tracker = Tracker(record)

    ended = experiment.run(written.composed(), around(), record, tracker)

    assert (ended, tracker.finished) == (130, ("stopped", 130))
    assert read(record.directory / "model.pt")["iterations"] == 1


def test_a_second_ctrl_c_ends_at_once_and_the_run_still_counts_as_stopped(written, around, record):
    twice = killing(signal.SIGINT, signal.SIGINT, pause=SAME_PRESS_SECONDS + 0.05)
    written.change(TRAINER, "loss.backward()", twice)
    tracker = Tracker(record)

    ended = experiment.run(written.composed(), around(), record, tracker)

    assert (ended, tracker.finished, status(record)["status"]) == (130, ("stopped", 130), "stopped")
    assert not (record.directory / "model.pt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_everything_is_built_leaves_nothing(written, around, record, tmp_path, number):
    written.change(TRAINER, "self.lr = lr", f"import os; os.kill({os.getpid()}, {int(number)}); self.lr = lr")
    tracker = Tracker(record)

    ended = experiment.run(written.composed(), around(), record, tracker)

    assert (ended, tracker.finished) == (128 + number, None)
    assert not (tmp_path / "experiments").exists()


def test_a_signal_while_the_tracker_starts_leaves_nothing(written, around, record, tmp_path):
    class Slow(Tracker):
        def start(self, flat, earlier=None):
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("it is not waited for")

    ended = experiment.run(written.composed(), around(), record, Slow(record))

    assert ended == 143
    assert not (tmp_path / "experiments").exists()


def test_a_signal_before_the_first_step_stops_the_run_with_its_code(written, around, record):
    written.change(
        TRAINER,
        "    def train_step",
        f"    def on_start(self):\n        import os; os.kill({os.getpid()}, {int(signal.SIGUSR1)})\n\n"
        "    def train_step",
    )
    tracker = Tracker(record)

    ended = experiment.run(written.composed(), around(), record, tracker)

    assert (ended, tracker.finished, status(record)["status"]) == (138, ("stopped", 138), "stopped")
    assert not (record.directory / "model.pt").exists()


@pytest.mark.parametrize(
    ("number", "environ", "marked"),
    [
        (signal.SIGUSR1, {}, 1),
        (signal.SIGUSR2, {}, 1),
        (signal.SIGTERM, {}, 0),
        (signal.SIGTERM, {"SLURM_JOB_ID": "7"}, 1),
        (signal.SIGINT, {"SLURM_JOB_ID": "7"}, 0),
    ],
)
def test_a_run_that_a_scheduler_stops_is_marked_as_one_that_goes_on(
    written, around, record, number, environ, marked
):
    written.change(TRAINER, "loss.backward()", killing(number))
    tracker = Tracker(record)

    experiment.run(written.composed(), around(environ=environ), record, tracker)

    assert tracker.preempting == marked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_that_the_server_asked_for_is_final_whichever_signal_brings_it(
    written, around, record, number
):
    written.change(TRAINER, "loss.backward()", killing(number))
    tracker = Tracker(record, was_stopped=True)

    ended = experiment.run(written.composed(), around(environ={"SLURM_JOB_ID": "7"}), record, tracker)

    assert (ended, tracker.finished, tracker.preempting) == (0, ("stopped", 0), 0)
    assert status(record)["status"] == "stopped"


def test_a_stop_by_the_server_alone_ends_with_code_0(written, around, record):
    surroundings = around()

    class Asking(Tracker):
        def log(self, entries, iterations, epochs):
            super().log(entries, iterations, epochs)
            if iterations == 2:
                surroundings.stop.request()

    tracker = Asking(record)
    ended = experiment.run(written.composed(), surroundings, record, tracker)

    assert (ended, tracker.finished, tracker.preempting) == (0, ("stopped", 0), 0)
    assert read(record.directory / "model.pt")["iterations"] == 2


def test_a_run_whose_time_is_up_stops_with_a_backup_and_goes_on_later(written, around, record):
    surroundings = around()
    written.change(TRAINER, "loss.backward()", "loss.backward(); import time; time.sleep(0.05)")
    surroundings.stop.limit(3.0)  # a second of it is kept for the backup
    tracker = Tracker(record)
    began = time.monotonic()

    ended = experiment.run(written.composed(epochs=1000), surroundings, record, tracker)

    assert (ended, tracker.finished, tracker.preempting) == (124, ("stopped", 124), 1)
    assert time.monotonic() - began < 3.0
    assert read(record.directory / "model.pt")["iterations"] == status(record)["iterations"] > 0


def test_a_stopped_run_says_so_and_how_it_goes_on(written, around, record, caplog):
    caplog.set_level("INFO", logger="jade")
    written.change(TRAINER, "loss.backward()", killing(signal.SIGTERM))

    experiment.run(written.composed(), around(), record, Tracker(record))

    assert caplog.messages[-1].startswith("The run has stopped.\n")
    assert "\ngo on   python train.py --resume " in caplog.messages[-1]


# A run that goes on


@pytest.fixture
def stopped(written, around, record):
    """The folder of a run that a signal ended after its fourth of six steps."""
    original = (written.root / TRAINER).read_bytes()
    written.change(TRAINER, "loss.backward()", "loss.backward(); self.stop_at(4)")
    written.add(
        TRAINER,
        "\n    def stop_at(self, iteration):\n"
        "        import os\n"
        f"        if self.iterations + 1 == iteration: os.kill({os.getpid()}, {int(signal.SIGTERM)})\n",
    )

    ended = experiment.run(written.composed(), around(), record, Tracker(record))

    assert ended == 143
    assert read(record.directory / "model.pt")["iterations"] == 4
    written.write(TRAINER, original)
    written.start_anew()
    return record


def continued(stopped, state="newest", **facts):
    """Return the run as it was left, and its folder as a run goes on in it."""
    earlier = resume.read(stopped.directory)
    record = Record(stopped.directory.parent, stopped.directory.name)
    record.was_there = True
    if state == "newest":
        state = experiment.newest_state(Checkpoints(record.directory), damaged_is_lost=False)
    return Continued(earlier, state, **facts), record


def go_on(stopped, surroundings, state="newest", config=None, tracker=None, **facts):
    before, record = continued(stopped, state, **facts)
    tracker = tracker or Tracker(record)
    return experiment.run(config or before.earlier.config, surroundings, record, tracker, before), tracker


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(written, around, stopped, tmp_path):
    whole = Record(tmp_path / "experiments", "whole")
    experiment.run(written.composed(), around(), whole, Tracker(whole))

    code, tracker = go_on(stopped, around())

    assert (code, tracker.finished) == (0, ("finished", 0))
    assert metrics(stopped) == metrics(whole)
    ends = [read(record.directory / "model.pt") for record in (stopped, whole)]
    assert ends[0]["attributes"].keys() == ends[1]["attributes"].keys()
    for name, tensor in ends[0]["attributes"]["net"].items():
        assert torch.equal(tensor, ends[1]["attributes"]["net"][name])
    assert (ends[0]["iterations"], ends[0]["epochs"]) == (6, 2)


def test_a_run_that_goes_on_says_from_where(written, around, stopped, caplog):
    caplog.set_level("INFO", logger="jade")

    go_on(stopped, around())

    assert "The run abc goes on: epoch 1, batch 1, iteration 4." in caplog.messages


def test_rows_after_the_checkpoint_are_cut_off_and_the_others_are_given_to_the_tracker(
    written, around, stopped
):
    path = stopped.directory / "metrics.jsonl"
    before = rows(stopped)
    path.write_text(path.read_text() + '{"row": 99, "iterations": 5, "epochs": 1, "metrics": {}}\n{"row": 10')

    _, tracker = go_on(stopped, around())

    assert tracker.earlier == before
    assert [row["row"] for row in rows(stopped)] == list(range(len(rows(stopped))))
    assert rows(stopped)[: len(before)] == before


def test_the_status_keeps_when_a_run_began_and_where_it_was_continued(written, around, stopped):
    began = status(stopped)["started"]

    go_on(stopped, around(), changed_code=["modules/models/line.py"])

    told = status(stopped)
    (interruption,) = told["interruptions"]
    assert (told["status"], told["started"]) == ("finished", began)
    assert (interruption["iterations"], interruption["was"]) == (4, "stopped")
    assert interruption["changed_code"] == ["modules/models/line.py"]
    assert interruption["command"] == ["train.py", "-x"]
    assert interruption["differing"] == []
    assert interruption["continued"] >= began


def test_every_continuation_is_in_the_status(written, around, stopped):
    longer = stopped.directory / "config.yml"
    go_on(stopped, around())
    longer.write_text(longer.read_text().replace("epochs: 2", "epochs: 3"))

    go_on(stopped, around())

    assert [each["iterations"] for each in status(stopped)["interruptions"]] == [4, 6]
    assert [each["was"] for each in status(stopped)["interruptions"]] == ["stopped", "finished"]


def test_a_run_keeps_its_name_when_it_goes_on_without_one(written, around, tmp_path):
    record = Record(tmp_path / "experiments", "named")
    experiment.run(written.composed(), around(name="mine"), record, Tracker(record))

    go_on(record, around(), config=written.composed(epochs=3))

    assert status(record)["name"] == "mine"


def test_the_environment_of_the_beginning_is_kept_but_for_the_schedule(written, around, stopped):
    path = stopped.directory / "environment.json"
    facts = json.loads(path.read_text()) | {"machine": "another", "command": ["first"]}
    path.write_text(json.dumps(facts))
    surroundings = around()
    said = {**SAID, "time_limit": "2h"}
    changed = Surroundings(surroundings.plugins, surroundings.device, surroundings.schedule, said, ["x"], {})

    go_on(stopped, changed)

    assert environment(stopped) == {**facts, "schedule": said}


def test_what_the_sweep_looks_for_is_known_without_a_server_when_its_trial_goes_on(written, around, stopped):
    path = stopped.directory / "environment.json"
    sweep = {"path": "e/p/s", "metric": {"name": "Norm", "goal": "minimize"}}
    facts = json.loads(path.read_text()) | {"sweep": sweep, "datasets": {"other": {"length": 9}}}
    path.write_text(json.dumps(facts))

    go_on(stopped, around())

    assert read(stopped.directory / "best.pt")["best"]["metric"] == "Norm"
    assert environment(stopped)["sweep"] == sweep
    assert environment(stopped)["datasets"] == {"other": {"length": 9}, "train": {"length": 6}}


def test_conditions_that_give_other_bits_are_told_and_noted(written, around, stopped, caplog):
    path = stopped.directory / "environment.json"
    facts = json.loads(path.read_text()) | {"torch_threads": 77}
    path.write_text(json.dumps(facts))

    go_on(stopped, around())

    line = f"threads 77 then, {torch.get_num_threads()} now"
    assert f"The run goes on, but not with the same bits: {line}." in caplog.messages
    assert status(stopped)["interruptions"][0]["differing"] == [line]


def test_a_configuration_that_was_changed_on_the_way_is_what_the_folder_says(written, around, stopped):
    config = written.composed(epochs=3)

    go_on(stopped, around(), config=config)

    assert "epochs: 3" in (stopped.directory / "config.yml").read_text()
    assert status(stopped)["epochs"] == 3


def test_the_snapshot_of_the_code_is_used_and_left_as_it_is(written, around, stopped):
    code = stopped.directory / "code"
    before = {path: path.read_bytes() for path in code.rglob("*.py")}
    written.write(TRAINER, "raise AssertionError('the present code is not used')\n")
    original = b"self.stop_at(4)"
    assert original in before[code / TRAINER]

    go_on(stopped, around(project=code, snapshot=True), changed_code=[TRAINER])

    assert {path: path.read_bytes() for path in code.rglob("*.py")} == before
    assert status(stopped)["interruptions"][0]["code"] == "snapshot"
    assert status(stopped)["status"] == "finished"


def test_the_present_code_replaces_the_snapshot_if_it_is_wanted(written, around, stopped):
    code = stopped.directory / "code"

    go_on(stopped, around(), changed_code=[TRAINER], code="current")

    assert b"stop_at" not in (code / TRAINER).read_bytes()
    assert b"stop_at" in (stopped.directory / "code.previous" / TRAINER).read_bytes()
    assert status(stopped)["interruptions"][0]["code"] == "current"


def test_a_run_without_a_checkpoint_starts_over_in_its_folder(written, around, stopped):
    for path in stopped.directory.glob("*.pt"):
        path.unlink()

    code, tracker = go_on(stopped, around(), state=None)

    assert (code, tracker.earlier) == (0, [])
    assert [row["row"] for row in rows(stopped)] == list(range(len(rows(stopped))))
    assert rows(stopped)[0]["iterations"] == 0
    assert status(stopped)["interruptions"][0]["iterations"] == 0


def test_files_that_were_there_are_given_to_the_tracker_again(written, around, stopped):
    _, tracker = go_on(stopped, around())

    assert {"config.yml", "environment.json", "model.yml", "line.py", "model.pt"} <= set(tracker.kept)


@pytest.mark.parametrize("failing", ["start", "build"])
def test_the_folder_of_a_run_that_cannot_go_on_is_left_as_it_was(written, around, stopped, failing):
    class Down(Tracker):
        def start(self, flat, earlier=None):
            if failing == "start":
                raise TrackingError("The server cannot be reached.")
            return super().start(flat, earlier)

    if failing == "build":
        written.change(TRAINER, "self.train_loader", "self.loader")
    before, record = continued(stopped)
    files = {path: path.read_bytes() for path in stopped.directory.rglob("*") if path.is_file()}

    with pytest.raises((TrackingError, ContractError)):
        experiment.run(before.earlier.config, around(), record, Down(record), before)

    after = {path: path.read_bytes() for path in stopped.directory.rglob("*") if path.is_file()}
    assert after == files


def test_a_checkpoint_that_does_not_fit_fails_the_run_and_stays(written, around, stopped):
    model = (stopped.directory / "model.pt").read_bytes()
    written.change(TRAINER, 'store("net")', 'store("net"); self.add_attribute_to_store("lr")')

    with pytest.raises(CheckpointError, match="missing in the checkpoint: lr"):
        go_on(stopped, around())

    assert status(stopped)["status"] == "failed"
    assert (stopped.directory / "model.pt").read_bytes() == model


def test_a_run_that_is_stopped_again_before_its_first_step_keeps_its_checkpoint_and_its_counters(
    written, around, stopped
):
    model = (stopped.directory / "model.pt").read_bytes()
    written.change(
        TRAINER,
        "    def train_step",
        f"    def on_start(self):\n        import os; os.kill({os.getpid()}, {int(signal.SIGTERM)})\n\n"
        "    def train_step",
    )

    code, tracker = go_on(stopped, around())

    assert (code, tracker.finished) == (143, ("stopped", 143))
    assert (stopped.directory / "model.pt").read_bytes() == model
    assert (status(stopped)["status"], status(stopped)["iterations"]) == ("stopped", 4)


# The checkpoint to go on from


def saved(iterations, **values):
    state = {"iterations": iterations, "epochs": 1, "attributes": {}}
    state |= {"format": checkpoint.FORMAT, "jade": "0"}
    state |= {"loop": {"position": 0}, "journal": {}, "evaluations": {}}
    return {**state, **values}


@pytest.fixture
def checkpoints(tmp_path):
    (tmp_path / "abc").mkdir()
    return Checkpoints(tmp_path / "abc")


def test_the_newest_whole_checkpoint_is_what_a_run_goes_on_from(checkpoints):
    checkpoints.save_backup(saved(3))
    checkpoints.save_numbered(saved(5))

    assert experiment.newest_state(checkpoints, damaged_is_lost=False)["iterations"] == 5


@pytest.mark.parametrize("damaged_is_lost", [True, False])
def test_without_a_checkpoint_a_run_starts_over_and_says_so(checkpoints, damaged_is_lost, caplog):
    caplog.set_level("INFO", logger="jade")

    assert experiment.newest_state(checkpoints, damaged_is_lost) is None

    assert caplog.messages == ["The run abc has no checkpoint yet: it starts over in its folder."]


def test_checkpoints_that_are_all_damaged_are_an_error_that_lists_them(checkpoints):
    for iterations in (1, 2):
        path = checkpoints.save_backup(saved(iterations))
    path.write_bytes(b"x" * 300)
    (path.parent / "model.previous.pt").write_bytes(b"")

    with pytest.raises(CheckpointError, match="No checkpoint in .*abc can be read") as caught:
        experiment.newest_state(checkpoints, damaged_is_lost=False)

    assert "model.pt is damaged" in str(caught.value)
    assert "model.previous.pt is damaged" in str(caught.value)


def test_damaged_checkpoints_are_put_aside_where_the_run_may_start_over(checkpoints, caplog):
    path = checkpoints.save_backup(saved(1))
    path.write_bytes(b"x" * 300)

    assert experiment.newest_state(checkpoints, damaged_is_lost=True) is None

    assert [left.name for left in path.parent.iterdir()] == ["model.pt.damaged"]
    assert caplog.messages[0].startswith("No checkpoint in ")
    assert caplog.messages[0].endswith("\nThe run starts over.")


@pytest.mark.parametrize("key", ["loop", "journal", "evaluations"])
def test_a_model_alone_is_nothing_to_go_on_from(checkpoints, key):
    state = saved(1)
    del state[key]
    path = checkpoints.save_backup(state)

    with pytest.raises(CheckpointError) as caught:
        experiment.newest_state(checkpoints, damaged_is_lost=False)

    assert str(caught.value) == f"{path} holds a model, but not what a run goes on from."


# Whether anything is left to do


@pytest.mark.parametrize(
    ("epochs", "finished", "has_ended", "planned", "complete"),
    [
        (2, True, False, 2, True),
        (2, True, False, 3, False),
        (2, True, True, 9, True),
        (1, False, False, 2, False),
        (2, False, False, 2, False),
        (1, False, True, 2, False),
        (3, True, False, 2, True),
    ],
    ids=[
        "finished",
        "finished, to be longer",
        "ended by itself",
        "stopped",
        "stopped before its last evaluations",
        "stopped while it was ended",
        "finished, to be shorter",
    ],
)
def test_a_run_is_complete_if_it_has_finished_and_is_not_to_be_longer(
    written, epochs, finished, has_ended, planned, complete
):
    state = {"epochs": epochs, "loop": {"finished": finished, "has_ended": has_ended}}

    assert experiment.is_complete(state, written.composed(epochs=planned)) is complete


def test_a_stopped_run_cannot_be_made_shorter_than_it_is(written):
    state = {"epochs": 3, "loop": {"finished": False, "has_ended": False}}

    with pytest.raises(ConfigError) as caught:
        experiment.is_complete(state, written.composed(epochs=2))

    assert str(caught.value) == (
        "The run is to make 2 epochs, but has made 3 already.\n  at: --epochs (epochs)"
    )
