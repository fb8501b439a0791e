import json
import os
import signal

import pytest
import torch

from jade import config, experiment, intervals
from jade.checkpoint import read
from jade.config import Config
from jade.errors import ConfigError, ContractError, JadeError, TrackingError
from jade.record import Record
from jade.tracking.local import LocalTracker

ARCHITECTURE = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(1, width)

        def forward(self, x):
            return self.layer(x)
"""
TRAINER = """
    import torch
    from torch.utils.data import DataLoader
    from jade.trainer import Trainer

    class LineTrainer(Trainer):
        def initialize(self, lr, width=2):
            self.net = self.instantiate_architecture("Net", width=width)
            self.opt = torch.optim.SGD(self.net.parameters(), lr=lr)
            self.lr = lr
            self.train_loader = DataLoader(self.datasets["train"], batch_size=2)
            self.add_attribute_to_store("net")

        def train_step(self, data):
            loss = self.net(data).square().mean()
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
            self.add_loss_item("loss", loss)
"""
DATA = """
    import torch

    class Points:
        def __init__(self, n, scale=None):
            self.n = n
            self.scale = scale

        def __len__(self):
            return self.n

        def __getitem__(self, item):
            return torch.tensor([float(item)])

    class Scale:
        def __init__(self, factor):
            self.factor = factor
"""
EVALUATION = """
    from jade.eval import Evaluation

    class Norm(Evaluation):
        def initialize(self, on="train"):
            self.dataset = self.datasets[on]

        def evaluate(self):
            return {"type": "scalar", "value": self.trainer.net.layer.weight.norm()}

    class Every(Evaluation):
        def initialize(self, evaluate_every):
            self.seen = evaluate_every

        def evaluate(self):
            return {"type": "scalar", "value": 0.0}
"""
MODEL = "class: LineTrainer\nparams:\n  lr: 0.1\n"
DATASETS = "train:\n  class: Points\n  params:\n    n: 6\n"
METRICS = "Norm:\n  class: Norm\n"
NEVER = intervals.NEVER


@pytest.fixture
def written(project, monkeypatch):
    """Write a whole small project; a test replaces the files it is about."""
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    for path, text in {
        "net.py": ARCHITECTURE,
        "modules/models/line.py": TRAINER,
        "modules/data/points.py": DATA,
        "modules/eval/norm.py": EVALUATION,
        "m.yml": MODEL,
        "d.yml": DATASETS,
        "e.yml": METRICS,
    }.items():
        project.write(path, text)
    return project


def composed(project, seed=42, **overrides) -> Config:
    files = {"model": project.root / "m.yml", "data": project.root / "d.yml", "eval": project.root / "e.yml"}
    top = {"arch_impl": ("net.py", "--arch_impl"), "seed": (seed, "--seed"), "epochs": (2, "default")}
    return config.compose(files, top, overrides, {})


def assembled(project, device="cpu", seed=42):
    schedule = experiment.Schedule(NEVER, NEVER, NEVER)
    return experiment.assemble(composed(project, seed), project.plugins(), torch.device(device), schedule)


def verified(project):
    experiment.verify(composed(project), project.plugins())


def refusal(check, project, kind=JadeError):
    with pytest.raises(kind) as caught:
        check(project)
    return str(caught.value)


# verify


def test_a_right_configuration_is_verified_and_nothing_is_built(written, around):
    written.write("modules/models/line.py", TRAINER.replace("def initialize(self, lr, width=2):", _RAISING))

    verified(written)

    # The trap is armed: building would have sprung it.
    (error,) = experiment.check(composed(written), around())
    assert str(error) == "it was built"


_RAISING = """def initialize(self, lr, width=2):
            raise RuntimeError("it was built")
"""


def test_every_fault_of_the_three_files_is_told_at_once_with_its_place(written):
    written.write("m.yml", "class: LineTrainer\nparams:\n  lrr: 0.1\n")
    written.write("d.yml", "train:\n  class: Point\n  params:\n    n: 6\n")
    written.write("e.yml", "Norm:\n  class: Norm\n  params:\n    evaluate_every: 0\n    onn: train\n")

    told = refusal(verified, written)

    for part in (
        "lrr",
        "did you mean: lr",
        "m.yml:3 (model.params.lrr)",
        "There is no class 'Point'",
        "did you mean: Points",
        "d.yml:2",
        "onn",
        "e.yml:5 (eval.Norm.params.onn)",
        "0 is not above 0",
        "e.yml:4 (eval.Norm.params.evaluate_every)",
    ):
        assert part in told


def test_a_missing_parameter_is_told(written):
    written.write("m.yml", "class: LineTrainer\n")

    told = refusal(verified, written)

    assert "lr" in told
    assert "m.yml" in told


def test_a_missing_architecture_file_is_told_with_those_beside_it(written):
    (written.root / "net.py").rename(written.root / "nett.py")

    told = refusal(verified, written)

    assert "There is no architecture file net.py" in told
    assert "did you mean: nett.py" in told


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (
            "modules/models/line.py",
            "class LineTrainer:\n    def initialize(self, lr): ...\n",
            "is no Trainer",
        ),
        ("modules/eval/norm.py", "class Norm:\n    def initialize(self): ...\n", "is no Evaluation"),
    ],
)
def test_a_class_without_its_base_class_is_told_with_the_line_to_write(written, path, text, told):
    written.write(path, text)

    found = refusal(verified, written, ContractError)

    assert told in found
    assert f"{path}:1" in found
    assert "from jade." in found


# assemble


def test_what_a_configuration_describes_is_built(written):
    written.write("m.yml", MODEL + "  width: 3\n")

    built = assembled(written)

    assert (built.trainer.lr, built.trainer.net.layer.out_features) == (0.1, 3)
    assert list(built.evaluations) == ["Norm"]
    assert built.evaluations["Norm"].trainer is built.trainer
    assert built.evaluations["Norm"].dataset is built.trainer.datasets["train"]
    assert built.plan.epochs == 2


def test_evaluate_every_is_for_the_loop_unless_initialize_asks_for_it(written):
    written.write(
        "e.yml",
        """\
        Norm:
          class: Norm
          params:
            evaluate_every: 5 iterations
        Every:
          class: Every
          params:
            evaluate_every: 2
        Default:
          class: Norm
        """,
    )

    built = assembled(written)

    assert {name: str(every) for name, every in built.plan.evaluations.items()} == {
        "Norm": "5 iterations",
        "Every": "2 epochs",
        "Default": "1 epoch",
    }
    assert built.evaluations["Every"].seen == 2


def test_one_seed_gives_one_network_and_another_seed_another(written):
    weights = [assembled(written, seed=seed).trainer.net.layer.weight for seed in (1, 1, 2)]

    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_everything_is_on_the_device_even_what_was_kept_in_a_list(written):
    written.write(
        "modules/models/line.py",
        TRAINER.replace(
            "            self.lr = lr\n",
            "            self.lr = lr\n            self.nets = [torch.nn.Linear(1, 1)]\n",
        ),
    )

    trainer = assembled(written, device="meta").trainer

    assert {trainer.net.layer.weight.device.type, trainer.nets[0].weight.device.type} == {"meta"}


def test_a_nested_description_is_built(written):
    written.write("d.yml", DATASETS + "    scale:\n      class: Scale\n      params:\n        factor: 3\n")

    assert assembled(written).trainer.datasets["train"].scale.factor == 3


def test_a_dataset_that_nobody_asks_for_is_not_built(written):
    written.write("d.yml", DATASETS + "other:\n  class: Points\n  params:\n    n: boom\n")
    written.write("modules/data/points.py", DATA.replace("self.n = n\n", "self.n = int(n)\n"))

    assert len(assembled(written).trainer.datasets) == 2


def test_a_dataset_that_is_not_in_the_file_is_told_with_those_that_are(written):
    written.write("e.yml", "Norm:\n  class: Norm\n  params:\n    on: trian\n")

    with pytest.raises(ConfigError, match="There is no dataset 'trian'") as caught:
        assembled(written)

    assert "did you mean: train" in str(caught.value)
    assert "eval.Norm" in "".join(caught.value.__notes__)


def test_all_that_initialize_left_out_is_told_at_once(written):
    written.write(
        "modules/models/line.py",
        """
        from jade.trainer import Trainer

        class LineTrainer(Trainer):
            def initialize(self, lr):
                self.kept = lambda: lr
                self.add_attribute_to_store("kept")
                self.add_attribute_to_store("missing")
        """,
    )

    told = refusal(assembled, written, ContractError)

    for part in (
        "defines no train_step",
        "sets no train_loader",
        "'missing'",
        "'kept' of LineTrainer cannot be",
    ):
        assert part in told


@pytest.mark.parametrize("signature", ["self", "self, lr"])
def test_an_overridden_constructor_is_told(written, signature):
    written.write(
        "modules/models/line.py",
        f"""
        from jade.trainer import Trainer

        class LineTrainer(Trainer):
            def __init__({signature}):
                super().__init__()

            def initialize(self, lr): ...
        """,
    )

    told = refusal(assembled, written, ContractError)

    assert "LineTrainer overrides __init__, through which JADE hands over" in told
    assert "Move what it does to initialize(self, …)." in told
    assert "modules/models/line.py:4" in told


def test_an_exception_of_initialize_keeps_itself_and_says_what_was_built(written):
    written.write("modules/models/line.py", TRAINER.replace("self.lr = lr", "self.lr = 1 / 0"))

    with pytest.raises(ZeroDivisionError) as caught:
        assembled(written)

    (note,) = caught.value.__notes__
    assert "while building model: LineTrainer from" in note
    assert "m.yml" in note


# check


@pytest.fixture
def around(written):
    def make():
        schedule = experiment.Schedule(intervals.parse(1, "iteration", ""), NEVER, NEVER)
        return experiment.Surroundings(written.plugins(), torch.device("cpu"), schedule, ["train.py"])

    return make


def test_a_check_of_what_is_right_finds_nothing_and_writes_nothing(written, around):
    before = sorted(written.root.rglob("*.*"))

    assert experiment.check(composed(written), around()) == []
    assert [path for path in sorted(written.root.rglob("*.*")) if "__pycache__" not in path.parts] == before


def test_a_check_tells_what_is_wrong_with_the_step_and_with_each_evaluation(written, around):
    written.write("modules/models/line.py", TRAINER.replace("loss.backward()", "loss.backwards()"))
    written.write("modules/eval/norm.py", EVALUATION.replace('"scalar"', '"skalar"'))
    written.write("e.yml", METRICS + "Every:\n  class: Every\n  params:\n    evaluate_every: 1\n")

    step, norm, every = experiment.check(composed(written), around())

    assert isinstance(step, AttributeError)
    assert "in the first step of LineTrainer" in step.__notes__
    assert "in the evaluation 'Norm'" in norm.__notes__
    assert "did you mean: scalar" in str(every)
    assert "Traceback" in experiment.told(step)
    assert "line.py" in experiment.told(step)
    assert "Traceback" not in experiment.told(norm)


def test_a_check_tells_what_cannot_be_built(written, around):
    written.write("modules/models/line.py", TRAINER.replace("self.lr = lr", "self.lr = 1 / 0"))

    (error,) = experiment.check(composed(written), around())

    assert isinstance(error, ZeroDivisionError)


# run


class Sweep(LocalTracker):
    """A tracker that changes params, as a sweep does, and remembers how the run ended."""

    def __init__(self, record, **changed):
        super().__init__(record)
        self.changed = changed
        self.finished = []

    @property
    def changes_params(self):
        return bool(self.changed)

    def start(self, flat):
        return {**flat, **self.changed}

    def finish(self, status):
        self.finished.append(status)


@pytest.fixture
def record(written, tmp_path):
    return Record(tmp_path / "experiments", "abc")


def status(record):
    return json.loads((record.directory / "status.json").read_text())


def rows(record):
    return [json.loads(line) for line in (record.directory / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_its_metrics_files_and_status(written, around, record):
    tracker = Sweep(record)

    code = experiment.run(composed(written), around(), record, tracker)

    assert (code, tracker.finished) == (0, ["finished"])
    assert (status(record)["status"], status(record)["iterations"], status(record)["epochs"]) == (
        "finished",
        6,
        2,
    )
    assert [row["iterations"] for row in rows(record) if "Norm" in row["metrics"]] == [0, 3, 6]
    left = {path.name for path in record.directory.iterdir()}
    assert {"config.yml", "yaml", "code", "environment.json", "metrics.jsonl", "model.pt"} <= left
    assert (record.directory / "code/modules/models/line.py").is_file()


def test_two_runs_with_one_seed_log_the_same_numbers(written, around, tmp_path):
    def metrics(name):
        record = Record(tmp_path / "experiments", name)
        experiment.run(composed(written), around(), record, LocalTracker(record))
        return [row["metrics"] for row in rows(record)]

    assert metrics("one") == metrics("two")


def test_what_can_be_refused_is_refused_before_there_is_a_folder(written, around, record, tmp_path):
    written.write("modules/models/line.py", TRAINER.replace("self.train_loader", "self.loader"))

    with pytest.raises(ContractError, match="sets no train_loader"):
        experiment.run(composed(written), around(), record, Sweep(record))

    assert not (tmp_path / "experiments").exists()


def test_a_tracker_that_does_not_start_leaves_no_folder(written, around, record, tmp_path):
    class Down(Sweep):
        def start(self, flat):
            raise TrackingError("The server cannot be reached.")

    with pytest.raises(TrackingError, match="cannot be reached"):
        experiment.run(composed(written), around(), record, Down(record))

    assert not record.directory.exists()


def test_a_sweep_changes_what_is_built(written, around, record):
    tracker = Sweep(record, **{"model.params.lr": 0.5, "epochs": 1})

    experiment.run(composed(written), around(), record, tracker)

    assert "lr: 0.5" in (record.directory / "config.yml").read_text()
    assert status(record)["epochs"] == 1


def test_a_sweep_that_sets_an_unknown_key_fails_with_the_nearest_one(written, around, record):
    tracker = Sweep(record, **{"model.params.lrr": 0.5})

    with pytest.raises(ConfigError, match=r"model\.params\.lrr") as caught:
        experiment.run(composed(written), around(), record, tracker)

    assert "did you mean: model.params.lr" in str(caught.value)
    assert tracker.finished == ["failed"]
    assert status(record)["status"] == "failed"


def test_a_users_exception_fails_the_run_and_keeps_itself(written, around, record):
    written.write("modules/models/line.py", TRAINER.replace("loss.backward()", "raise ZeroDivisionError"))
    tracker = Sweep(record)

    with pytest.raises(ZeroDivisionError) as caught:
        experiment.run(composed(written), around(), record, tracker)

    assert caught.value.__notes__ == ["in train_step of LineTrainer, epoch 0, iteration 0"]
    assert (tracker.finished, status(record)["status"]) == (["failed"], "failed")


def test_a_disk_that_takes_no_status_hides_no_exception_and_still_ends_the_tracker(written, around, record):
    spoil = "import pathlib\n            p = next(pathlib.Path(self.where).glob('abc/status.json'))\n"
    spoil += "            p.unlink()\n            p.mkdir()\n            raise ZeroDivisionError"
    where = f"self.lr = lr\n            self.where = {str(record.directory.parent)!r}"
    text = TRAINER.replace("loss.backward()", spoil).replace("self.lr = lr", where)
    written.write("modules/models/line.py", text)
    tracker = Sweep(record)

    with pytest.raises(ZeroDivisionError):
        experiment.run(composed(written), around(), record, tracker)

    assert tracker.finished == ["failed"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_cleanly_with_a_backup(written, around, record, number, code):
    kill = f"import os; os.kill({os.getpid()}, {int(number)}); loss.backward()"
    written.write("modules/models/line.py", TRAINER.replace("loss.backward()", kill))
    tracker = Sweep(record)

    ended = experiment.run(composed(written), around(), record, tracker)

    assert (ended, tracker.finished, status(record)["status"]) == (code, ["stopped"], "stopped")
    assert read(record.directory / "model.pt")["iterations"] == 1


def test_a_second_ctrl_c_ends_at_once_and_the_run_still_counts_as_stopped(written, around, record):
    kill = f"import os; [os.kill({os.getpid()}, {int(signal.SIGINT)}) for _ in range(2)]; loss.backward()"
    written.write("modules/models/line.py", TRAINER.replace("loss.backward()", kill))
    tracker = Sweep(record)

    ended = experiment.run(composed(written), around(), record, tracker)

    assert (ended, tracker.finished, status(record)["status"]) == (130, ["stopped"], "stopped")
    assert not (record.directory / "model.pt").exists()


def test_the_summary_is_told_at_the_end(written, around, record, caplog):
    caplog.set_level("INFO", logger="jade")

    experiment.run(composed(written), around(), record, Sweep(record))

    assert caplog.messages[-1].startswith("The run has finished.\n  metric")
    assert str(record.directory) in caplog.messages[-1]


def test_what_is_left_out_of_the_copy_of_the_code_is_told(written, around, record, caplog):
    written.write("modules/models/picture.png", b"\x89PNG\xff")

    experiment.run(composed(written), around(), record, Sweep(record))

    assert "Not in the copy of the code: modules/models/picture.png (not text)." in caplog.messages
