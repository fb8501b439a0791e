"""`best.pt`: which state it is, after whatever happened on the way."""

import io
import json
import logging
import math
import textwrap
import warnings

import pytest
import torch
from toys import Noisy, Toy, bits, made

from jade import best, checkpoint, checkpoint_index, config
from jade.best import Best
from jade.checkpoint import Checkpoints
from jade.entries import Entry
from jade.errors import ConfigError, DivergedError
from jade.eval import Evaluation
from jade.intervals import NEVER, parse
from jade.journal import Journal
from jade.loop import Loop
from jade.options import parse_options
from jade.plugins import Plugins
from jade.progress import Lines
from jade.record import Record
from jade.schedule import Aim, Plan, schedule_of
from jade.signals import Stop
from jade.tracking.local import LocalTracker


class KilledError(BaseException):
    """Ends a process as a kill does: nothing is written any more."""


class Listed(Evaluation):
    """Gives the values it is told, each from an iteration on."""

    def __init__(self, trainer, values):
        super().__init__(datasets={}, trainer=trainer)
        self.values = values

    def evaluate(self):
        value = self.values[max(at for at in self.values if at <= self.trainer.iterations)]
        return (
            {"type": "scalars", "value": value}
            if isinstance(value, dict)
            else {"type": "scalar", "value": value}
        )


class Far(Evaluation):
    """How far the network is from what is to be learned: it changes with every step."""

    def evaluate(self):
        return {"type": "scalar", "value": float((self.trainer.net(torch.ones(1, 1)) - 2.0).abs())}


class Killed(Noisy):
    """Is killed in a step."""

    killed_at = None

    def train_step(self, data):
        if self.iterations + 1 == self.killed_at:
            raise KilledError
        super().train_step(data)


@pytest.fixture
def process(tmp_path):
    """Run one process of a run in a folder: its first one, or one that goes on from where it was left."""

    def start(folder, kind=Killed, evaluate=Far, checkpoints=Checkpoints, **how):
        record = Record(tmp_path / folder, "abc")
        earlier = None
        if record.directory.exists():
            found = Checkpoints(record.directory).newest()
            earlier = found[1] if found else None
            journal = earlier["journal"] if earlier else {"rows": 0, "runtime": 0.0}
            record.continue_from(journal["rows"], journal["runtime"])
        else:
            record.create()
        torch.manual_seed(0)
        trainer = made(kind)
        trainer.killed_at = how.pop("killed_at", None)
        trainer.stop_at = how.pop("stop_at", None)
        every = how.pop("every", "2 iterations")
        journal = Journal(LocalTracker(record), record, Lines(3, io.StringIO()))
        plan = Plan(
            seed=0,
            epochs=how.pop("epochs", 3),
            log_loss=parse(how.pop("log_loss", "3 iterations"), "iteration", ""),
            checkpoint=NEVER,
            backup=parse(how.pop("backup", "5 iterations"), "epoch", ""),
            evaluations={"metric": parse(every, "epoch", "")} if evaluate else {},
            allow_nan=how.pop("allow_nan", False),
            aim=how.pop("aim", Aim("metric", "min")),
        )
        assert how == {}
        evaluations = {"metric": evaluate(trainer=trainer, datasets={})} if evaluate is Far else {}
        if evaluate not in (Far, None):
            evaluations = {"metric": Listed(trainer, evaluate)}
        loop = Loop(
            trainer, evaluations, journal, checkpoints(record.directory), plan, Stop(), clock=lambda: 0.0
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            loop.run(earlier)
        return record.directory

    return start


@pytest.fixture
def killed(process):
    """Run one process that is killed."""

    def start(*arguments, **how):
        with pytest.raises(KilledError):
            process(*arguments, **how)

    return start


def state_in(folder, name="best.pt"):
    """Every bit of a file, but how much time had passed."""
    state = checkpoint.read(folder / name)
    state["journal"].pop("runtime")
    return bits(state)


def kept(folder):
    found = checkpoint.read(folder / "best.pt")
    return found["iterations"], found["best"]["value"]


def rows(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(row["iterations"], row["metrics"]) for row in found]


# Which state it is


@pytest.mark.parametrize(
    ("mode", "values", "at"),
    [
        ("min", [5, 3, 4, 2, 6], 6),
        ("max", [5, 3, 4, 2, 6], 8),
        ("min", [5, 3, 3, 3, 4], 2),  # the first of equal ones
        ("max", [5, 3, 4, 2, 1], 0),
        ("min", [math.nan, math.inf, -math.inf, 2, math.nan], 6),
        ("max", [math.nan, math.inf, -math.inf, 2, math.nan], 6),
    ],
)
def test_the_state_with_the_best_finite_value_is_kept(process, mode, values, at):
    values = dict(zip(range(0, 10, 2), map(float, values), strict=True))

    folder = process("run", evaluate=values, epochs=2, aim=Aim("metric", mode))

    assert kept(folder) == (at, values[at])


def test_it_is_the_state_at_the_very_iteration_of_the_evaluation(process):
    folder = process("run")

    logged = {at: metrics["metric"] for at, metrics in rows(folder) if "metric" in metrics}
    at, value = kept(folder)
    assert value == min(logged.values()) == logged[at]
    net = made(Noisy).net
    net.load_state_dict(checkpoint.read(folder / "best.pt")["attributes"]["net"])
    assert float((net.eval()(torch.ones(1, 1)) - 2.0).abs().detach()) == value


def test_a_loss_item_may_be_the_metric(process):
    folder = process("run", aim=Aim("loss", "min"))

    logged = {at: metrics["loss"] for at, metrics in rows(folder) if "loss" in metrics}
    assert kept(folder) == min(logged.items(), key=lambda pair: pair[1])


def test_one_of_several_scalars_may_be_the_metric(process):
    values = {0: {"a": 1.0, "b": 1.0}, 6: {"a": 2.0, "b": 0.5}, 12: {"a": 3.0, "b": 0.7}}

    folder = process("run", evaluate=values, every="6 iterations", aim=Aim("metric/b", "min"))

    assert kept(folder) == (6, 0.5)


def test_the_evaluation_of_the_final_model_counts(process):
    folder = process("run", evaluate={0: 2.0, 12: 1.0}, every="never")

    assert kept(folder) == (12, 1.0)


def test_what_a_sweep_calls_the_best_value_is_the_metric(process):
    folder = process(
        "run", evaluate={0: 2.0, 6: 1.0, 12: 3.0}, every="6 iterations", aim=Aim("metric/best", "min")
    )

    assert kept(folder) == (6, 1.0)


def test_without_a_metric_there_is_no_such_file(process):
    folder = process("run", aim=None)

    assert not (folder / "best.pt").exists()


def test_of_a_state_whose_losses_are_no_numbers_nothing_is_kept(process):
    class Diverging(Toy):
        def train_step(self, data):
            super().train_step(data)
            self.add_loss_item("loss", math.nan if self.iterations > 2 else 1.0)

    with pytest.raises(DivergedError):
        process(
            "run",
            kind=Diverging,
            evaluate={at: 5.0 - at for at in range(13)},
            every="4 iterations",
            log_loss="never",
        )


# What happens on the way


@pytest.mark.parametrize("aim", [Aim("metric", "min"), Aim("metric", "max"), Aim("loss", "min")], ids=str)
@pytest.mark.parametrize("killed_at", range(1, 13))
def test_after_a_kill_at_any_step_it_is_the_same_in_every_bit(process, killed, killed_at, aim):
    undisturbed = process("undisturbed", aim=aim)

    killed("killed", killed_at=killed_at, aim=aim)
    folder = process("killed", aim=aim)

    assert state_in(folder) == state_in(undisturbed)
    assert state_in(folder, "model.pt") == state_in(undisturbed, "model.pt")
    assert rows(folder) == rows(undisturbed)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 4))
def test_after_a_kill_about_its_writing_it_is_the_same_in_every_bit(process, killed, write, when):
    class Dying(Checkpoints):
        count = 0

        def save_best(self, state):
            Dying.count += 1
            if (Dying.count, when) == (write, "before"):
                raise KilledError
            path = super().save_best(state)
            if (Dying.count, when) == (write, "after"):
                raise KilledError
            return path

    values = dict(zip(range(0, 13, 2), [9.0, 8.0, 7.0, 8.0, 6.0, 7.0, 6.0], strict=True))
    undisturbed = process("undisturbed", evaluate=values)

    killed("killed", evaluate=values, checkpoints=Dying)
    folder = process("killed", evaluate=values)

    assert kept(folder) == (8, 6.0)
    assert state_in(folder) == state_in(undisturbed)
    assert rows(folder) == rows(undisturbed)


@pytest.mark.parametrize("stop_at", [1, 4, 7, 11])
def test_after_a_stop_it_is_the_same_in_every_bit(process, stop_at):
    undisturbed = process("undisturbed")

    process("stopped", stop_at=stop_at)
    folder = process("stopped")

    assert state_in(folder) == state_in(undisturbed)


def test_a_run_goes_on_from_it_where_it_is_newer_than_the_backup(process, killed, tmp_path):
    values = {0: 2.0, 2: 1.0, 12: 3.0}

    killed("run", evaluate=values, killed_at=5, backup="never")
    path, state = Checkpoints(tmp_path / "run" / "abc").newest()

    assert (path.name, state["iterations"]) == ("best.pt", 2)


def test_a_run_whose_best_state_is_its_first_one_begins_anew(process, killed, tmp_path):
    killed("run", evaluate={0: 2.0, 12: 3.0}, killed_at=5, backup="never")

    assert (tmp_path / "run" / "abc" / "best.pt").exists()
    assert Checkpoints(tmp_path / "run" / "abc").newest() is None


def test_the_backup_of_a_finished_run_comes_before_a_best_state_of_the_same_iteration(process):
    folder = process("run", evaluate={0: 2.0, 12: 1.0}, every="never")

    path, state = Checkpoints(folder).newest()

    assert (path.name, state["loop"]["finished"]) == ("model.pt", True)
    assert kept(folder) == (12, 1.0)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_where_it_is_lost_the_best_of_what_comes_is_kept_and_a_warning_says_so(
    process, tmp_path, damage, caplog
):
    values = dict(zip(range(0, 13, 2), [9.0, 1.0, 7.0, 8.0, 6.0, 7.0, 6.0], strict=True))
    process("run", evaluate=values, stop_at=5)
    path = tmp_path / "run" / "abc" / "best.pt"
    path.unlink() if damage == "missing" else path.write_bytes(b"x" * 300)

    folder = process("run", evaluate=values)

    assert kept(folder) == (8, 6.0)
    assert (
        "best.pt, with the best 'metric' so far (1, at iteration 2), is missing or damaged: the best from iteration"
        " 5 on is kept." in caplog.messages
    )
    assert any("best.pt is damaged" in message for message in caplog.messages) is (damage == "damaged")


def test_another_metric_begins_anew_and_a_line_says_so(process, caplog):
    caplog.set_level(logging.INFO, logger="jade")
    values = {0: 9.0, 6: 1.0, 8: 3.0, 12: 2.0}
    values = {at: values.get(at, 9.0) for at in range(13)}
    process("run", evaluate=values, stop_at=7)

    folder = process("run", evaluate=values, aim=Aim("metric", "max"))

    assert kept(folder) == (10, 9.0)
    assert "best.pt is the state with the highest 'metric' from iteration 7 on." in caplog.messages


# A metric that does not come


def test_a_metric_that_never_comes_is_told_once_on_the_way_and_at_the_end_with_the_nearest(process, caplog):
    folder = process("run", aim=Aim("metrik", "min"))

    told = [message for message in caplog.messages if "metrik" in message]
    assert told == [
        "Nothing was logged as 'metrik' so far, so there is no best.pt. did you mean: metric? known: loss, metric",
        "Nothing was logged as 'metrik', so there is no best.pt. did you mean: metric? known: loss, metric",
    ]
    assert not (folder / "best.pt").exists()


def test_a_metric_that_comes_late_is_not_told_before_everything_was_logged_once(process, caplog):
    process("run", every="never")

    assert caplog.messages == []


def test_a_metric_that_was_never_a_finite_number_is_told(process, caplog):
    process("run", evaluate={0: math.nan})

    assert caplog.messages == ["'metric' was never a finite number: there is no best.pt."]


def test_pictures_are_no_metric():
    watched = Best(Aim("picture", "min"))

    watched.take([Entry("picture", "images", [])], 1)

    assert not watched.is_new


# The flags


@pytest.mark.parametrize(
    ("given", "swept", "aim"),
    [
        ({}, None, None),
        ({"best_metric": "Loss"}, None, Aim("Loss", "min")),
        ({"best_metric": "Accuracy"}, None, Aim("Accuracy", "max")),
        ({"best_metric": "Accuracy", "best_mode": "min"}, None, Aim("Accuracy", "min")),
        ({"best_metric": "none"}, Aim("Loss", "min"), None),
        ({}, Aim("Loss", "max"), Aim("Loss", "max")),
        ({"best_metric": "Loss"}, Aim("Loss", "max"), Aim("Loss", "max")),
        ({"best_metric": "Other"}, Aim("Loss", "max"), Aim("Other", "min")),
        ({"best_mode": "min"}, Aim("Loss", "max"), Aim("Loss", "min")),
        ({"best_mode": "min"}, None, None),
    ],
)
def test_the_flags_weigh_more_than_the_sweep_and_the_sweep_more_than_the_name(given, swept, aim):
    assert schedule_of(given).aim(swept) == aim


def test_all_that_is_wrong_with_the_flags_is_told():
    with pytest.raises(ConfigError) as caught:
        schedule_of({"best_metric": " ", "best_mode": "maximum"})

    assert str(caught.value) == (
        "2 faults were found.\n\nThere is no metric without a name.\n  at: --best-metric\n  none keeps no best.pt.\n\n"
        "'maximum' is no mode.\n  at: --best-mode\n  did you mean: max\n  known: max, min"
    )


LINE = [f"--{name}=x" for name in ("model_conf", "data_conf", "eval_conf", "arch_impl")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--best-mode=min"], "--best-mode says of no metric which value is best.\n  at: --best-mode"),
        (["--artifacts=best"], "--artifacts best has no metric to choose by.\n  at: --artifacts"),
        (["--artifacts=best", "--best-metric=none"], "--artifacts best has no metric to choose by."),
        (
            ["--artifacts=all", "--tracker=local"],
            "--tracker local has no models, of which checkpoints could be versions.\n  at: --artifacts",
        ),
        (["--artifacts=every"], "'every' is no choice.\n  at: --artifacts\n  known: all, best, none"),
        (["--keep-artifacts=0"], "'0' is no number of artifacts.\n  at: --keep-artifacts"),
    ],
)
def test_flags_that_make_no_sense_are_refused(arguments, told):
    with pytest.raises(ConfigError) as caught:
        parse_options([*LINE, *arguments], {})

    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--artifacts=best", "--best-mode=max"], {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r"}),
        (["--artifacts=best", "--best-metric=Loss", "--best-mode=max"], {}),
    ],
)
def test_what_a_sweep_or_another_flag_says_makes_sense_of_them(arguments, environ):
    assert parse_options([*LINE, *arguments], environ).schedule["artifacts"] == "best"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A project whose Trainer logs Loss, and whose evaluation is called Accuracy."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "modules/models/learner.py": """
            from jade import Trainer
            class Learner(Trainer):
                def train_step(self, data):
                    self.add_loss_item("Loss", 1.0)
            """,
        "modules/eval/right.py": """
            from jade import Evaluation
            class Right(Evaluation):
                def evaluate(self):
                    return {"type": "scalar", "value": 1.0}
            """,
        "model.yml": "class: Learner",
        "data.yml": "{}",
        "eval.yml": "Accuracy: {class: Right}",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    top = {"arch_impl": ("a.py", ""), "seed": (1, ""), "epochs": (1, ""), "deterministic": (False, "")}
    files = {section: tmp_path / f"{section}.yml" for section in ("model", "data", "eval")}
    return config.compose(files, top, {}, {}), Plugins(tmp_path)


@pytest.mark.parametrize("metric", [None, "none", "Loss", "Accuracy", "Accuracy/best"])
def test_a_metric_that_the_source_spells_out_is_taken(written, metric):
    best.verify(metric, *written)


@pytest.mark.parametrize("metric", ["Acuracy", "epochs"])
def test_a_metric_that_is_never_logged_is_refused_with_those_that_are(written, metric):
    with pytest.raises(ConfigError) as caught:
        best.verify(metric, *written)

    near = "  did you mean: Accuracy\n" if metric == "Acuracy" else ""
    assert str(caught.value) == (
        f"No run of this configuration logs a number as {metric!r}.\n  at: --best-metric\n{near}"
        "  known: Accuracy, Loss\n  It is an evaluation of --eval_conf by its name, or a loss item."
    )


# The list of the checkpoints


def test_the_list_says_of_each_file_what_is_in_it(process, tmp_path):
    values = {0: 2.0, 6: 1.0, 12: 3.0}

    folder = process("run", evaluate=values, every="6 iterations", backup="4 iterations")

    listed = checkpoint_index.read(folder)
    times = [facts.pop("time") for facts in listed.values()]
    assert all(
        abs(time - (folder / name).stat().st_mtime) < 60 for name, time in zip(listed, times, strict=True)
    )
    assert listed == {
        "best.pt": {"iterations": 6, "epochs": 1, "metric": "metric", "mode": "min", "value": 1.0},
        "model.previous.pt": {"iterations": 12, "epochs": 2},
        "model.pt": {"iterations": 12, "epochs": 3},
    }


def test_of_a_file_that_is_being_replaced_the_list_says_nothing(process, killed, tmp_path):
    class Dying(Checkpoints):
        def save_best(self, state):
            if state["iterations"] == 6:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(checkpoint_index, "note", lambda *_: (_ for _ in ()).throw(KilledError))
                    super().save_best(state)
            return super().save_best(state)

    killed("run", evaluate={at: 9.0 - at for at in range(13)}, checkpoints=Dying, every="6 iterations")

    folder = tmp_path / "run" / "abc"
    assert checkpoint.read(folder / "best.pt")["iterations"] == 6
    assert list(checkpoint_index.read(folder)) == ["model.pt"]


def test_what_was_dropped_is_in_the_list_no_more(tmp_path):
    checkpoints = Checkpoints(tmp_path, kept=2)
    for iterations in (1, 2, 3):
        checkpoints.save_numbered({"format": 1, "iterations": iterations, "epochs": 0, "attributes": {}})
        checkpoints.drop_surplus()

    assert list(checkpoint_index.read(tmp_path)) == ["checkpoint_2.pt", "checkpoint_3.pt"]


@pytest.mark.parametrize("text", ["", "[1]", '{"model.pt": 3}'])
def test_a_list_that_is_none_says_nothing(tmp_path, text):
    (tmp_path / "checkpoints.json").write_text(text)

    assert checkpoint_index.read(tmp_path) == {}
