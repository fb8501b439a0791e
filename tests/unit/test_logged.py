import pytest

from jade import logged

TRAINER = """\
from jade.trainer import Trainer


def note(trainer):
    trainer.add_loss_item("noted", 0.0)


class Parent(Trainer):
    def step(self):
        self.add_loss_item("inherited", 0.0)


class LineTrainer(Parent):
    def train_step(self, data):
        self.add_loss_item("loss", 0.0)
        self.add_loss_item(name=f"loss {data}!", value=0.0)
"""
EVALUATIONS = """\
from jade.eval import DatasetEvaluation, Evaluation


class One(Evaluation):
    def evaluate(self):
        def inner():
            return 3
        return {"type": "scalar", "value": inner()}


class Several(Evaluation):
    def evaluate(self):
        return {"type": "scalars", "value": {"a": 1, "b": 2}}


class Made(Evaluation):
    def evaluate(self):
        return {"type": "scalars", "value": self.values()}


class Picture(Evaluation):
    def evaluate(self):
        return {"type": "image", "value": None}


class Handed(Evaluation):
    def evaluate(self):
        return self.make()


class Mean(DatasetEvaluation):
    def evaluate_batch(self, data):
        return self.a + self.b


class Means(Mean):
    def evaluate_batch(self, data):
        return {"a": 1, "b": 2}


class Called(Mean):
    def evaluate_batch(self, data):
        return data.mean()


class Foreign(SomethingElse):
    pass
"""


@pytest.fixture
def names(written):
    def of(evaluation="One", trainer=TRAINER):
        written.write("modules/models/line.py", trainer)
        written.write("modules/eval/norm.py", EVALUATIONS)
        written.write("e.yml", f"Norm:\n  class: {evaluation}\n")
        return logged.names(written.composed(), written.plugins())

    return of


@pytest.mark.parametrize(
    ("evaluation", "plain", "inner", "other"),
    [
        ("One", True, False, False),
        ("Several", False, True, False),
        ("Made", False, None, None),
        ("Picture", False, False, False),
        ("Handed", True, None, None),
        ("Mean", True, False, False),
        ("Means", False, True, False),
        ("Called", True, None, None),
        ("Foreign", True, None, None),
    ],
)
def test_an_evaluation_logs_what_its_source_says(names, evaluation, plain, inner, other):
    found = names(evaluation)

    assert [found.has(name) for name in ("Norm", "Norm/a", "Norm/c")] == [plain, inner, other]


@pytest.mark.parametrize("name", ["loss", "inherited", "noted", "loss/best", "Norm/best", "iterations"])
def test_loss_items_of_a_class_its_parents_and_functions_are_logged(names, name):
    assert names().has(name) is True


def test_a_name_that_is_made_in_part_is_not_known_for_sure(names):
    found = names()

    assert [found.has(name) for name in ("loss 3!", "loss 3", "lost")] == [None, False, False]


@pytest.mark.parametrize(
    ("before", "after"),
    [("(Trainer)", "(Installed)"), ('item("loss", 0.0)', "item(*data)"), ('"loss"', "data")],
)
def test_with_a_parent_or_a_name_from_elsewhere_anything_may_be_a_loss_item(names, before, after):
    found = names(trainer=TRAINER.replace(before, after))

    assert found.has("anything") is None
