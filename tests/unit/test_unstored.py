import logging
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from toys import Toy, made

from jade import unstored
from jade.trainer import OWN_NAMES
from jade.unstored import Unstored


@pytest.fixture
def trainer():
    return made(Toy)


def lost(trainer, then=lambda trainer: None):
    """What a trainer would lose after `then` was done to it."""
    found = Unstored(trainer, OWN_NAMES)
    then(trainer)
    return found.names()


def step(trainer):
    trainer.train_step(torch.ones(3, 1))


def test_a_trainer_that_stores_what_it_has_loses_nothing(trainer):
    assert lost(trainer, step) == []


def test_what_jade_itself_keeps_in_a_trainer_is_not_meant(trainer):
    def train(trainer):
        trainer.iterations, trainer.epochs, trainer.has_ended = 5, 2, True
        trainer.add_loss_item("loss", 1.0)
        trainer.eval()
        trainer.train_loader = [torch.ones(1)]

    assert lost(trainer, train) == []


@pytest.mark.parametrize(
    "value",
    [
        nn.Linear(1, 1),
        nn.Parameter(torch.zeros(1)),
        [nn.Linear(1, 1), nn.ReLU()],
        {"a": nn.Linear(1, 1)},
        (nn.Linear(1, 1),),
        torch.optim.SGD([nn.Parameter(torch.zeros(1))]),
        [torch.optim.SGD([nn.Parameter(torch.zeros(1))])],
    ],
    ids=["network", "parameter", "list", "dictionary", "tuple", "optimizer", "list of optimizers"],
)
def test_what_learns_is_named_even_before_it_has_learned(trainer, value):
    trainer.head = value

    assert lost(trainer) == ["head"]


def test_networks_that_are_deep_in_containers_are_named_once_they_have_learned(trainer):
    head = nn.Linear(1, 1)
    trainer.heads = {"a": [{"b": (head,)}]}

    assert lost(trainer, lambda trainer: nn.init.ones_(head.weight)) == ["heads"]


def test_a_network_that_is_frozen_and_stays_as_it_is_is_rebuilt_from_the_seed(trainer):
    trainer.prior = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).requires_grad_(False)
    trainer.priors = [nn.Linear(1, 1).requires_grad_(False)]

    assert lost(trainer, step) == []


@pytest.mark.parametrize("kept", [lambda net: net, lambda net: [net], lambda net: {"a": [net]}])
def test_a_frozen_network_whose_weights_or_buffers_change_is_named(trainer, kept):
    net = nn.BatchNorm1d(1, affine=False)
    trainer.ema = kept(net)

    assert lost(trainer, lambda trainer: net(torch.rand(3, 1))) == ["ema"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0, 1),
        (0.5, float("nan")),
        (False, True),
        ("a", "b"),
        (None, 3),
        (3, None),
        ([], [1.0]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ((1, [2]), (1, [3])),
        (deque([1]), deque([2])),
        ({1}, {1, 2}),
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(2), torch.zeros(3)),
        (np.zeros(2), np.ones(2)),
        (np.float64(1), np.float64(2)),
        ([0], list(range(5000))),
    ],
    ids=repr,
)
def test_a_plain_value_that_changed_is_named_and_one_that_did_not_is_not(trainer, before, after):
    trainer.changing = trainer.constant = before

    def change(trainer):
        trainer.changing = after

    assert lost(trainer, change) == ["changing"]


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, deque([1]), torch.zeros(2), np.zeros(2)], ids=lambda value: type(value).__name__
)
def test_a_value_that_changed_in_place_is_named(trainer, value):
    trainer.changing = value

    def change(trainer):
        if isinstance(value, list | deque):
            value.append(2)
        elif isinstance(value, dict):
            value["b"] = 2
        else:
            value[0] = 5

    assert lost(trainer, change) == ["changing"]


def test_an_attribute_that_came_later_is_named(trainer):
    def add(trainer):
        trainer.best = 0.5

    assert lost(trainer, add) == ["best"]


def test_a_scheduler_is_named_once_it_has_stepped(trainer):
    trainer.scheduler = lr_scheduler.StepLR(trainer.opt, 1)

    def step_both(trainer):
        step(trainer)
        trainer.scheduler.step()

    assert lost(trainer) == []
    assert lost(trainer, step_both) == ["scheduler"]


def test_several_are_named_in_order(trainer):
    trainer.zeta, trainer.head, trainer.best = 0, nn.Linear(1, 1), None

    def change(trainer):
        trainer.zeta, trainer.best = 1, 0.5

    assert lost(trainer, change) == ["best", "head", "zeta"]


def test_what_is_stored_is_not_named_whatever_it_does(trainer):
    trainer.best, trainer.head = None, nn.Linear(1, 1)
    trainer.add_attribute_to_store("best")
    trainer.add_attribute_to_store("head")

    def change(trainer):
        trainer.best = 0.5

    assert lost(trainer, change) == []


@pytest.mark.parametrize(
    "again",
    [
        lambda trainer: trainer.net,
        lambda trainer: [trainer.net],
        lambda trainer: list(trainer.net.parameters()),
        lambda trainer: {"weight": trainer.net.weight},
        lambda trainer: trainer.opt,
        lambda trainer: [trainer.opt],
        lambda trainer: {"net": trainer.net, "opt": trainer.opt},
    ],
    ids=["network", "in a list", "parameters", "parameter", "optimizer", "optimizers", "both"],
)
def test_a_second_name_for_what_is_stored_is_not_named(trainer, again):
    trainer.again = again(trainer)

    assert lost(trainer, step) == []


def test_what_holds_nothing_that_is_known_is_not_named(trainer):
    trainer.generator = torch.Generator()
    trainer.loss, trainer.function = nn.MSELoss(), lambda x: x
    trainer.other = object()

    def draw(trainer):
        torch.rand(1, generator=trainer.generator)

    assert lost(trainer, draw) == []


def test_data_is_not_looked_through(trainer, monkeypatch):
    monkeypatch.setattr(unstored, "LARGEST_TENSOR", 1000)
    trainer.images = torch.zeros(1000)
    trainer.array = np.zeros(1000)
    trainer.items = list(range(5000))

    def change(trainer):
        trainer.images[0] = trainer.array[0] = trainer.items[0] = 7

    assert lost(trainer, change) == []


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2, device="meta"),
        torch.zeros(0),
        torch.zeros(3, 2).T,
        torch.eye(2).to_sparse(),
        torch.zeros((), dtype=torch.bfloat16),
        np.array(["a", None]),
        np.zeros(3)[::-1],
        nn.LazyLinear(3),
    ],
    ids=["meta", "empty", "transposed", "sparse", "half", "objects", "backwards", "lazy"],
)
def test_odd_values_are_looked_at_without_harm(trainer, value, caplog):
    trainer.odd = value

    with caplog.at_level(logging.WARNING):
        assert lost(trainer) in ([], ["odd"])
