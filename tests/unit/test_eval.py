import random
import signal
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from toys import Counting, Toy, made

from jade import eval
from jade.errors import ContractError
from jade.eval import DatasetEvaluation, Evaluation, batch_length, evaluating
from jade.signals import Stopped

Pair = namedtuple("Pair", ["x", "y"])


@pytest.fixture
def trainer():
    trainer = made(Toy)
    trainer.train()
    return trainer


def evaluation(kind, dataset, trainer=None, **params):
    found = kind(datasets={"test": dataset}, trainer=trainer or made(Toy))
    found.initialize(evaluate_on="test", **params)
    return found


class Mean(DatasetEvaluation):
    def evaluate_batch(self, data):
        return data.float().mean()


class Drawn(Evaluation):
    """Gives what it draws from every global generator, and from one of its own."""

    def initialize(self):
        self.own = torch.Generator()

    def evaluate(self):
        return (
            torch.rand(()).item(),
            np.random.rand(),
            random.random(),
            torch.rand((), generator=self.own).item(),
        )


def drawn(trainer, seed, name, iterations):
    found = Drawn(datasets={}, trainer=trainer)
    found.initialize()
    eval.belong(found, seed, name)
    trainer.iterations = iterations
    torch.rand(iterations + 3)
    eval.seed(found)
    return found.evaluate()


# Randomness


def test_an_evaluation_draws_the_same_at_the_same_iteration_whatever_was_drawn_before(trainer):
    assert drawn(trainer, 1, "a", 5) == drawn(made(Toy), 1, "a", 5)


@pytest.mark.parametrize("other", [(2, "a", 5), (1, "b", 5), (1, "a", 6)], ids=["seed", "name", "iteration"])
def test_an_evaluation_draws_by_the_runs_seed_its_name_and_the_iteration(trainer, other):
    one, two = drawn(trainer, 1, "a", 5), drawn(trainer, *other)

    assert all(x != y for x, y in zip(one, two, strict=True))


# The state around an evaluation


def test_an_evaluation_sees_eval_mode_and_no_gradients_and_both_are_put_back(trainer):
    with evaluating(trainer):
        within = (trainer.training, trainer.net.training, torch.is_grad_enabled())

    assert within == (False, False, False)
    assert (trainer.training, trainer.net.training, torch.is_grad_enabled()) == (True, True, True)


def test_a_network_that_was_frozen_in_eval_mode_stays_so(trainer):
    trainer.frozen = nn.Sequential(nn.Dropout())
    trainer.frozen.eval()

    with evaluating(trainer):
        pass

    assert (trainer.net.training, trainer.frozen.training, trainer.frozen[0].training) == (True, False, False)


def test_networks_in_lists_are_in_eval_mode_and_put_back(trainer):
    trainer.nets = [nn.Dropout(), nn.Dropout().eval()]

    with evaluating(trainer):
        within = [net.training for net in trainer.nets]

    assert within == [False, False]
    assert [net.training for net in trainer.nets] == [True, False]


def test_modes_and_gradients_are_put_back_after_an_evaluation_that_changes_them(trainer):
    trainer.frozen = nn.Dropout().eval()

    with evaluating(trainer):
        trainer.train()
        torch.set_grad_enabled(True)

    assert (trainer.net.training, trainer.frozen.training, torch.is_grad_enabled()) == (True, False, True)


def test_modes_and_gradients_are_put_back_after_an_evaluation_that_raises(trainer):
    with pytest.raises(ZeroDivisionError), evaluating(trainer):
        raise ZeroDivisionError

    assert (trainer.net.training, torch.is_grad_enabled()) == (True, True)


def test_an_evaluation_without_evaluate_says_so(trainer):
    class Idle(Evaluation):
        pass

    with pytest.raises(ContractError, match=r"Idle defines no evaluate\(self\)"):
        Idle(datasets={}, trainer=trainer).evaluate()


# DatasetEvaluation


def test_a_ragged_last_batch_weighs_by_its_length():
    mean = evaluation(Mean, torch.tensor([1.0, 1.0, 1.0, 9.0]), batch_size=3)

    assert mean.evaluate() == {"type": "scalar", "value": 3.0}


def test_a_dictionary_of_means_becomes_scalars():
    class Both(DatasetEvaluation):
        def evaluate_batch(self, data):
            return {"mean": data.mean(), "ones": (data == 1).float().mean().item()}

    found = evaluation(Both, torch.tensor([1.0, 1.0, 1.0, 9.0]), batch_size=3).evaluate()

    assert found == {"type": "scalars", "value": {"mean": 3.0, "ones": 0.75}}


def test_a_numpy_mean_is_a_scalar():
    class Numpy(DatasetEvaluation):
        def evaluate_batch(self, data):
            return data.numpy().mean()

    assert evaluation(Numpy, torch.tensor([1.0, 3.0])).evaluate() == {"type": "scalar", "value": 2.0}


def test_batches_keep_their_nesting_on_the_way_to_the_device():
    class Nested(DatasetEvaluation):
        seen = []

        def evaluate_batch(self, data):
            self.seen.append(data)
            return 0.0

    dataset = [Pair({"left": torch.zeros(2)}, 1), Pair({"left": torch.ones(2)}, 2)]
    nested = evaluation(Nested, dataset, made(Toy, device="meta"))

    nested.evaluate()

    (batch,) = nested.seen
    assert isinstance(batch, Pair)
    assert batch.x["left"].shape == (2, 2)
    assert (batch.x["left"].device.type, batch.y.device.type) == ("meta", "meta")


@pytest.mark.parametrize(
    ("n_samples", "seen"), [(None, 10), (1, 4), (4, 4), (5, 8), (10, 10), (99, 10)], ids=str
)
def test_n_samples_stops_after_the_batch_in_which_it_is_reached(n_samples, seen):
    class Seen(DatasetEvaluation):
        total = 0

        def evaluate_batch(self, data):
            self.total += len(data)
            return 0.0

    evaluated = evaluation(Seen, torch.arange(10), batch_size=4, n_samples=n_samples)

    evaluated.evaluate()

    assert evaluated.total == seen


def test_without_resampling_the_first_items_are_taken_each_time():
    mean = evaluation(Mean, torch.arange(100), batch_size=2, n_samples=2)

    assert [mean.evaluate()["value"] for _ in range(3)] == [0.5, 0.5, 0.5]


def test_with_resampling_the_items_are_drawn_anew():
    mean = evaluation(Mean, torch.arange(100), batch_size=2, n_samples=2, resample=True)

    found = set()
    for mean.trainer.iterations in range(8):
        found.add(mean.evaluate()["value"])

    assert len(found) > 4


def test_with_resampling_the_items_depend_on_the_iteration_alone():
    mean = evaluation(Mean, torch.arange(100), batch_size=2, n_samples=2, resample=True)
    mean.trainer.iterations = 7

    first = mean.evaluate()
    torch.rand(3)
    second = mean.evaluate()

    assert first == second


@pytest.mark.parametrize("dataset", [[], Counting([])], ids=["list", "iterable"])
def test_a_dataset_without_items_is_told(dataset):
    with pytest.raises(ContractError, match="Mean was given a dataset without items"):
        evaluation(Mean, dataset).evaluate()


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("batch_size", -3), ("n_samples", 0)])
def test_sizes_below_one_are_refused(name, value):
    with pytest.raises(
        ContractError, match=rf"{name} of Mean is {value}; it must be a whole number above 0\."
    ):
        evaluation(Mean, torch.zeros(1), **{name: value})


def test_an_evaluation_without_evaluate_batch_says_so():
    class Idle(DatasetEvaluation):
        pass

    with pytest.raises(ContractError, match=r"Idle defines no evaluate_batch\(self, data\)"):
        evaluation(Idle, torch.zeros(1)).evaluate()


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (torch.zeros(3), r"a Tensor of shape \[3\] for Wrong; the mean over the batch is expected"),
        (None, "a NoneType for Wrong; the mean over the batch is expected"),
        ({"a": torch.zeros(3)}, r"a Tensor of shape \[3\] for 'a'; the mean over the batch is expected"),
    ],
    ids=["tensor", "nothing", "dictionary"],
)
def test_what_is_no_mean_is_refused(returned, told):
    class Wrong(DatasetEvaluation):
        def evaluate_batch(self, data):
            return returned

    with pytest.raises(ContractError, match=told):
        evaluation(Wrong, torch.zeros(3)).evaluate()


def test_names_that_change_from_batch_to_batch_are_refused():
    class Changing(DatasetEvaluation):
        def evaluate_batch(self, data):
            return {str(int(data[0])): 0.0}

    with pytest.raises(ContractError, match="of Changing must return the same names each time"):
        evaluation(Changing, torch.arange(2), batch_size=1).evaluate()


def test_the_order_of_names_may_change_from_batch_to_batch():
    class Turning(DatasetEvaluation):
        def evaluate_batch(self, data):
            return {"a": 1.0, "b": 2.0} if data[0] == 0 else {"b": 4.0, "a": 3.0}

    found = evaluation(Turning, torch.arange(2), batch_size=1).evaluate()

    assert found["value"] == {"a": 2.0, "b": 3.0}


# Batches of a loader of the user's own


class Looping(Evaluation):
    def initialize(self, loader):
        self.loader = loader
        self.seen = []

    def evaluate(self):
        for data in self.batches(self.loader):
            self.seen.append(data)


def looping(loader, device="cpu"):
    found = Looping(datasets={}, trainer=made(Toy, device=device))
    found.initialize(loader)
    return found


def test_batches_of_a_loader_are_on_the_device():
    found = looping(DataLoader(torch.zeros(4), batch_size=2), device="meta")

    found.evaluate()

    assert [data.device.type for data in found.seen] == ["meta", "meta"]


def test_batches_of_a_loader_that_shuffles_depend_on_the_iteration_alone():
    found = looping(DataLoader(torch.arange(20), shuffle=True))

    for found.trainer.iterations in (3, 3, 4):
        torch.rand(1)
        found.evaluate()

    first, second, third = (torch.cat(found.seen[start : start + 20]) for start in (0, 20, 40))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(third.sort().values, torch.arange(20))


@pytest.mark.parametrize("kind", ["dataset", "own loop"])
def test_an_evaluation_is_given_up_between_two_batches_when_the_run_is_to_stop(trainer, kind):
    seen = []

    def see(data):
        seen.append(data)
        if len(seen) == 2:
            trainer._jade_stop.request(signal.SIGTERM)
        return 0.0

    class Own(Evaluation):
        def evaluate(self):
            for data in self.batches(DataLoader(torch.zeros(10))):
                see(data)

    class OfDataset(DatasetEvaluation):
        def evaluate_batch(self, data):
            return see(data)

    if kind == "dataset":
        found = evaluation(OfDataset, torch.zeros(10), trainer, batch_size=1)
    else:
        found = Own(datasets={}, trainer=trainer)

    with pytest.raises(Stopped):
        found.evaluate()

    assert len(seen) == 2


# The length of a batch


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(5, 2),
        (torch.zeros(5, 2), torch.zeros(5)),
        [torch.zeros(5, 2)],
        {"x": torch.zeros(5, 2), "y": torch.zeros(5)},
        {"x": {"inner": [torch.zeros(5)]}},
        Pair(torch.zeros(5), torch.zeros(5)),
        ["one", "two", "three", "four", "five"],
        {"name": ["one", "two", "three", "four", "five"], "x": torch.zeros(5)},
        {"scale": 1.0, "x": torch.zeros(5, 2)},
        ("train", torch.zeros(5, 2)),
        {"temperature": torch.tensor(1.0), "x": torch.zeros(5, 2)},
    ],
    ids=[
        "tensor",
        "tuple",
        "list",
        "dictionary",
        "nested",
        "named tuple",
        "texts",
        "texts first",
        "number first",
        "text first",
        "0-d tensor first",
    ],
)
def test_a_batch_is_as_long_as_the_first_tensor_in_it(batch):
    assert batch_length(batch) == 5


@pytest.mark.parametrize("batch", [torch.tensor(1.0), {}, [], None, 3], ids=repr)
def test_a_batch_without_a_length_is_told(batch):
    with pytest.raises(ContractError, match=rf"a batch of type {type(batch).__name__} holds is not clear"):
        batch_length(batch)


def test_items_of_a_batch_are_those_of_the_dataset():
    class Lengths(DatasetEvaluation):
        def evaluate_batch(self, data):
            x, y = data
            return (x.mean() + y.float().mean()) / 2

    dataset = TensorDataset(torch.tensor([0.0, 0.0, 6.0]), torch.tensor([0, 0, 6]))

    assert evaluation(Lengths, dataset, batch_size=2).evaluate()["value"] == 2.0
