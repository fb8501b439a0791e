from dataclasses import replace

import pytest
import torch

from jade import assembly
from jade.errors import ConfigError, ContractError, DivergedError, JadeError
from jade.intervals import NEVER
from jade.loop import RESERVED
from jade.schedule import Schedule

SCHEDULE = Schedule(NEVER, NEVER, NEVER)
TRAINER, EVALUATION = "modules/models/line.py", "modules/eval/norm.py"


def assembled(project, device="cpu", **values):
    return assembly.assemble(project.composed(**values), project.plugins(), torch.device(device), SCHEDULE)


def verified(project):
    assembly.verify(project.composed(), project.plugins())


def checked(project):
    return assembly.check(project.composed(), project.plugins(), torch.device("cpu"), SCHEDULE)


def test_check_finds_a_loss_that_is_no_number_unless_it_may_be_one(written):
    written.change(TRAINER, 'add_loss_item("loss", loss)', 'add_loss_item("loss", loss / 0.0 - loss / 0.0)')
    allowed = replace(SCHEDULE, allow_nan=True)

    (error,) = checked(written)
    nothing = assembly.check(written.composed(), written.plugins(), torch.device("cpu"), allowed)

    assert isinstance(error, DivergedError)
    assert nothing == []


def refusal(check, project, kind=JadeError):
    with pytest.raises(kind) as caught:
        check(project)
    return str(caught.value)


# verify


def test_a_right_configuration_is_verified_and_nothing_is_built(written):
    written.change(TRAINER, "self.lr = lr", 'raise RuntimeError("it was built")')

    verified(written)

    # The trap is armed: building would have sprung it.
    (error,) = checked(written)
    assert str(error) == "it was built"


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
        (TRAINER, "class LineTrainer:\n    def initialize(self, lr): ...\n", "is no Trainer"),
        (EVALUATION, "class Norm:\n    def initialize(self): ...\n", "is no Evaluation"),
    ],
)
def test_a_class_without_its_base_class_is_told_with_the_line_to_write(written, path, text, told):
    written.write(path, text)

    found = refusal(verified, written, ContractError)

    assert told in found
    assert f"{path}:1" in found
    assert "from jade." in found


@pytest.mark.parametrize("name", RESERVED)
def test_an_evaluation_is_not_named_like_what_everything_is_logged_against(written, name):
    written.write("e.yml", f"{name}:\n  class: Norm\n")

    told = refusal(verified, written, ConfigError)

    assert told.startswith(f"{name!r} is what everything is logged against, and no name for an evaluation.")
    assert f"e.yml:1 (eval.{name})" in told


def test_the_number_of_a_row_is_no_name_for_an_evaluation():
    assert {"row", "iterations", "epochs"} <= set(RESERVED)


# assemble


def test_what_a_configuration_describes_is_built(written):
    written.add("m.yml", "  width: 3\n")

    built = assembled(written, seed=7)

    assert (built.trainer.lr, built.trainer.net.layer.out_features) == (0.1, 3)
    assert list(built.evaluations) == ["Norm"]
    assert built.evaluations["Norm"].trainer is built.trainer
    assert built.evaluations["Norm"].dataset is built.trainer.datasets["train"]
    assert (built.plan.seed, built.plan.epochs) == (7, 2)


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


def test_what_was_drawn_before_does_not_change_what_is_built(written):
    first = assembled(written).trainer.net.layer.weight
    torch.rand(7)

    assert torch.equal(assembled(written).trainer.net.layer.weight, first)


def test_everything_is_on_the_device_even_what_was_kept_in_a_list(written):
    written.change(TRAINER, "self.lr = lr", "self.lr = lr; self.nets = [torch.nn.Linear(1, 1)]")

    trainer = assembled(written, device="meta").trainer

    assert {trainer.net.layer.weight.device.type, trainer.nets[0].weight.device.type} == {"meta"}


def test_a_nested_description_is_built(written):
    written.write(
        "d.yml",
        """\
        train:
          class: Points
          params:
            n: 6
            scale:
              class: Scale
              params:
                factor: 3
        """,
    )

    assert assembled(written).trainer.datasets["train"].scale.factor == 3


def test_a_dataset_that_nobody_asks_for_is_not_built(written):
    written.add("d.yml", "other:\n  class: Points\n  params:\n    n: boom\n")
    written.change("modules/data/points.py", "self.n = n\n", "self.n = int(n)\n")

    assert len(assembled(written).trainer.datasets) == 2


def test_a_dataset_that_is_not_in_the_file_is_told_with_those_that_are(written):
    written.write("e.yml", "Norm:\n  class: Norm\n  params:\n    on: trian\n")

    with pytest.raises(ConfigError, match="There is no dataset 'trian'") as caught:
        assembled(written)

    assert "did you mean: train" in str(caught.value)
    assert "eval.Norm" in "".join(caught.value.__notes__)


def test_all_that_initialize_left_out_is_told_at_once(written):
    written.write(
        TRAINER,
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
        TRAINER,
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
    assert f"{TRAINER}:4" in told


def test_an_exception_of_initialize_keeps_itself_and_says_what_was_built(written):
    written.change(TRAINER, "self.lr = lr", "self.lr = 1 / 0")

    with pytest.raises(ZeroDivisionError) as caught:
        assembled(written)

    (note,) = caught.value.__notes__
    assert "while building model: LineTrainer from" in note
    assert "m.yml" in note


def test_an_evaluation_may_store_what_it_has_set(written):
    written.change(
        EVALUATION,
        "self.dataset = self.datasets[on]",
        'self.best = 0.0; self.add_attribute_to_store("best")',
    )

    assert assembled(written).evaluations["Norm"].stored == {"best": 0.0}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            'self.add_attribute_to_store("best")',
            "Norm stores the attribute 'best', which it does not have.\n  at: {place}\n"
            "  initialize must set self.best",
        ),
        (
            'self.best = lambda: 0; self.add_attribute_to_store("best")',
            "The attribute 'best' of Norm cannot be stored: best is a builtins.function.\n  at: {place}\n",
        ),
        (
            "self.add_attribute_to_store(3)",
            "add_attribute_to_store takes the name of an attribute; int was given.",
        ),
    ],
    ids=["missing", "of a wrong type", "no name"],
)
def test_an_evaluation_that_stores_what_cannot_be_stored_is_refused(written, line, told):
    path = written.change(EVALUATION, "self.dataset = self.datasets[on]", line)

    assert refusal(assembled, written, ContractError).startswith(told.format(place=f"{path}:3"))


@pytest.fixture
def torch_flags(monkeypatch):
    """Put torch's flags, and the variable that cuBLAS reads, back after the test."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic
    yield
    torch.use_deterministic_algorithms(before[0])
    cudnn.benchmark, cudnn.deterministic = before[1:]


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_algorithms_are_on_before_anything_is_built_if_they_are_asked_for(
    written, torch_flags, deterministic
):
    written.change(
        TRAINER, "self.lr = lr", "self.lr = lr; self.was = torch.are_deterministic_algorithms_enabled()"
    )

    assert assembled(written, deterministic=deterministic).trainer.was is deterministic


# check


def test_a_check_of_what_is_right_finds_nothing_and_writes_nothing(written):
    before = sorted(written.root.rglob("*.*"))

    assert checked(written) == []
    assert [path for path in sorted(written.root.rglob("*.*")) if "__pycache__" not in path.parts] == before


def test_a_check_tells_what_is_wrong_with_the_step_and_with_each_evaluation(written):
    written.change(TRAINER, "loss.backward()", "loss.backwards()")
    written.change(EVALUATION, '"scalar"', '"skalar"')
    written.add("e.yml", "Every:\n  class: Every\n  params:\n    evaluate_every: 1\n")

    step, norm, every = checked(written)

    assert isinstance(step, AttributeError)
    assert "in the first step of LineTrainer" in step.__notes__
    assert "in the evaluation 'Norm'" in norm.__notes__
    assert "did you mean: scalar" in str(every)
    assert "Traceback" in assembly.told(step)
    assert "line.py" in assembly.told(step)
    assert "Traceback" not in assembly.told(norm)


def test_a_check_tells_what_cannot_be_built(written):
    written.change(TRAINER, "self.lr = lr", "self.lr = 1 / 0")

    (error,) = checked(written)

    assert isinstance(error, ZeroDivisionError)


def test_a_check_of_a_loader_without_batches_says_so(written):
    written.change(TRAINER, 'DataLoader(self.datasets["train"], batch_size=2)', "iter(())")

    (error,) = checked(written)

    assert str(error) == "The train_loader of LineTrainer gives no batch."


def test_a_check_of_several_loaders_takes_one_batch_of_each(written):
    written.change(TRAINER, "self.train_loader = DataLoader", "self.train_loader = self.both(DataLoader")
    written.change(TRAINER, "batch_size=2)", "batch_size=2))")
    written.change(
        TRAINER,
        "    def train_step(self, data):\n",
        "    def both(self, loader):\n"
        "        return {'a': loader, 'b': [torch.ones(1)]}\n\n"
        "    def train_step(self, data):\n"
        "        assert sorted(data) == ['a', 'b']\n"
        "        data = data['a']\n",
    )

    assert checked(written) == []


def test_a_check_draws_the_same_each_time_whatever_was_drawn_before(written, monkeypatch):
    written.change(TRAINER, "batch_size=2)", "batch_size=2, shuffle=True)")
    written.change(TRAINER, "loss = self", "print(data.flatten().tolist()); loss = self")
    written.change(EVALUATION, "return {", "import torch; print(torch.rand(1).item()); return {")
    seen = []
    monkeypatch.setattr("builtins.print", seen.append)

    assert checked(written) == []
    torch.rand(7)
    assert checked(written) == []

    assert seen[:2] == seen[2:]
