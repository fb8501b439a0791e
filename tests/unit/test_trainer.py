import math
import weakref
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from toys import Counting, Toy, made

from jade.errors import ContractError
from jade.trainer import Trainer


@pytest.fixture
def trainer():
    return made(Toy)


def faults_of(trainer):
    return [str(fault) for fault in trainer.faults()]


def test_a_trainer_has_its_scope_and_has_done_nothing_yet():
    datasets = {"train": [1, 2]}

    trainer = made(Toy, datasets)

    assert trainer.datasets is datasets
    assert (trainer.iterations, trainer.epochs, trainer.has_ended) == (0, 0, False)


def test_end_training_is_remembered(trainer):
    trainer.end_training()

    assert trainer.has_ended


# Devices and architectures


def test_the_device_is_known_before_and_without_parameters():
    class Bare(Trainer):
        def initialize(self):
            self.seen = self.get_device()

    trainer = made(Bare, device="meta")

    assert trainer.seen == torch.device("meta")


def test_a_device_that_the_user_assigned_as_text_is_a_torch_device(trainer):
    trainer.device = "meta"

    assert trainer.get_device() == torch.device("meta")


def test_an_architecture_is_on_the_device_at_once():
    class Placed(Trainer):
        def initialize(self):
            net = self.instantiate_architecture("Linear", in_features=2, out_features=1)
            self.seen = net.weight.device

    trainer = made(Placed, device="meta")

    assert trainer.seen.type == "meta"


def test_an_architecture_may_take_a_parameter_called_name():
    class Named:
        def create(self, name, params):
            return name, params

    trainer = Trainer(datasets={}, architecture=Named(), device=torch.device("cpu"))

    assert trainer.instantiate_architecture("Prior", name="normal") == ("Prior", {"name": "normal"})


@pytest.mark.parametrize(
    "kept",
    [
        lambda net: [net],
        lambda net: (net,),
        lambda net: {"a": net},
        lambda net: {"a": [{"b": (net,)}]},
        lambda net: OrderedDict(a=net),
    ],
    ids=["list", "tuple", "dict", "nested", "ordered dict"],
)
def test_networks_kept_in_plain_containers_get_mode_and_device(trainer, kept):
    net = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    trainer.nets = kept(net)

    trainer.eval()
    mode_after_eval = net[1].training
    trainer.train()
    trainer.to("meta")

    assert (mode_after_eval, net[1].training) == (False, True)
    assert net[0].weight.device.type == "meta"


# Loss items


def test_the_mean_of_a_loss_item_is_that_of_all_its_values(trainer):
    for value in range(2500):
        trainer.add_loss_item("Rec Loss", value)

    assert trainer.take_losses() == {"Rec Loss": 1249.5}


def test_the_mean_of_more_than_a_thousand_tensors_and_numbers_mixed_is_right(trainer):
    for value in range(2500):
        trainer.add_loss_item("loss", torch.tensor(float(value)) if value % 2 else value)

    assert trainer.take_losses() == {"loss": 1249.5}


def test_loss_items_start_anew_once_they_were_taken(trainer):
    trainer.add_loss_item("loss", 1.0)
    trainer.take_losses()
    nothing = trainer.take_losses()
    trainer.add_loss_item("loss", 3.0)

    assert nothing == {}
    assert trainer.take_losses() == {"loss": 3.0}


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.float64(2),
        np.int64(2),
        torch.tensor(2),
        torch.tensor(2.0, dtype=torch.bfloat16),
        torch.tensor(2.0, requires_grad=True) * 1,
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_a_loss_item_may_be_any_single_number(trainer, value):
    trainer.add_loss_item("loss", value)

    losses = trainer.take_losses()

    assert losses == {"loss": 2.0}
    assert type(losses["loss"]) is float


def test_tensors_of_several_types_under_one_name_are_averaged(trainer):
    trainer.add_loss_item("loss", torch.tensor(1.0, dtype=torch.float64))
    trainer.add_loss_item("loss", torch.tensor(2.0))
    trainer.add_loss_item("loss", torch.tensor(3))

    assert trainer.take_losses() == {"loss": 2.0}


class Marked(torch.autograd.Function):
    """Does nothing, and keeps an object in the graph by which one sees whether the graph is alive."""

    @staticmethod
    def forward(ctx, x, mark):
        ctx.mark = mark
        return x.clone()


def test_a_loss_item_does_not_hold_on_to_the_graph_it_came_from(trainer):
    mark = nn.Module()
    alive = weakref.ref(mark)
    loss = Marked.apply(torch.ones((), requires_grad=True), mark)

    trainer.add_loss_item("loss", loss)
    del mark, loss

    assert alive() is None
    assert trainer.take_losses() == {"loss": 1.0}


def test_a_loss_tensor_that_changes_in_place_later_counts_with_the_value_it_had(trainer):
    running = torch.zeros(())

    for _ in range(3):
        running += 1
        trainer.add_loss_item("running", running)

    assert trainer.take_losses() == {"running": 2.0}


def test_a_nan_in_a_loss_item_shows(trainer):
    trainer.add_loss_item("loss", 1.0)
    trainer.add_loss_item("loss", float("nan"))

    assert math.isnan(trainer.take_losses()["loss"])


def test_a_loss_tensor_with_dimensions_is_refused_with_the_way_to_a_number(trainer):
    with pytest.raises(ContractError) as caught:
        trainer.add_loss_item("Rec Loss", torch.zeros(8, 2))

    assert "'Rec Loss' is a tensor of shape [8, 2]" in str(caught.value)
    assert "self.add_loss_item('Rec Loss', value.mean())" in str(caught.value)


@pytest.mark.parametrize("value", [None, "0.5", [1.0], np.zeros(3)], ids=["None", "text", "list", "array"])
def test_a_loss_item_that_is_no_number_is_refused_by_name(trainer, value):
    with pytest.raises(ContractError, match=r"The loss item 'Rec Loss' is .*; a number is expected\."):
        trainer.add_loss_item("Rec Loss", value)


def test_means_that_were_not_logged_yet_go_on_in_another_trainer(trainer):
    values = [torch.tensor(0.1), 0.2, np.float32(0.3), 1e9, torch.tensor(-1e9), 0.7]
    undisturbed, after = made(Toy), made(Toy)
    for value in values:
        undisturbed.add_loss_item("loss", value)
    undisturbed.add_loss_item("late", 1.0)

    for value in values[:4]:
        trainer.add_loss_item("loss", value)
    after.waiting_losses = trainer.waiting_losses
    for value in values[4:]:
        after.add_loss_item("loss", value)
    after.add_loss_item("late", 1.0)

    assert after.take_losses() == undisturbed.take_losses()


def test_asking_for_the_waiting_means_changes_no_bit_of_them(trainer):
    other = made(Toy)
    for value in torch.rand(3000, generator=torch.Generator().manual_seed(0)):
        trainer.add_loss_item("loss", value)
        other.add_loss_item("loss", value)
        assert other.waiting_losses["loss"][1] > 0

    assert other.take_losses() == trainer.take_losses()


def test_waiting_means_are_plain_numbers_by_name(trainer):
    trainer.add_loss_item("loss", torch.tensor(1.5))
    trainer.add_loss_item("loss", 2)

    assert trainer.waiting_losses == {"loss": [3.5, 2]}
    assert trainer.take_losses() == {"loss": 1.75}
    assert trainer.waiting_losses == {}


# What initialize should have done


def test_a_complete_trainer_has_no_faults(trainer):
    assert faults_of(trainer) == []


def test_every_fault_of_a_trainer_is_told_at_once():
    class Empty(Trainer):
        def initialize(self):
            self.add_attribute_to_store("encoder")

    found = faults_of(made(Empty))

    assert [fault.splitlines()[0] for fault in found] == [
        "Empty defines no train_step.",
        "Empty sets no train_loader in initialize.",
        "Empty stores the attribute 'encoder', which it does not have.",
    ]
    assert "def train_step(self, data)" in found[0]
    assert "self.train_loader = DataLoader(self.datasets['train']" in found[1]
    assert "initialize must set self.encoder" in found[2]


def test_a_trainer_without_train_step_says_so_when_it_is_called():
    with pytest.raises(ContractError, match=r"Trainer defines no train_step\(self, data\)"):
        made(Trainer).train_step(None)


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        (TensorDataset(torch.zeros(3)), "is a TensorDataset, which gives no batches."),
        (Counting([1]), "is a Counting, which gives no batches."),
        (7, "is a int, which gives no batches."),
        ([], "has no batches."),
        (DataLoader([]), "has no batches."),
        (DataLoader([1, 2], batch_size=3, drop_last=True), "has no batches."),
    ],
    ids=["dataset", "iterable dataset", "number", "empty list", "empty dataset", "drop_last"],
)
def test_a_train_loader_that_gives_no_batches_is_told(trainer, loader, told):
    trainer.train_loader = loader

    assert [fault.splitlines()[0] for fault in faults_of(trainer)] == [f"The train_loader of Toy {told}"]


class Unmeasured:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        return iter([torch.zeros(1, 1)])

    def __len__(self):
        raise self.error


@pytest.mark.parametrize(
    "loader",
    [
        [torch.zeros(1, 1)],
        DataLoader(Counting([1.0])),
        Unmeasured(TypeError("no length")),
        Unmeasured(NotImplementedError()),
    ],
    ids=["list", "iterable dataset", "TypeError", "NotImplementedError"],
)
def test_whatever_gives_batches_is_a_train_loader_also_without_a_length(trainer, loader):
    trainer.train_loader = loader

    assert faults_of(trainer) == []


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ({"a": DataLoader([1]), "b": None}, "Toy sets no train_loader['b'] in initialize."),
        ((DataLoader([1]), 7), "The train_loader[1] of Toy is a int, which gives no batches."),
        ({"a": DataLoader([])}, "The train_loader['a'] of Toy has no batches."),
        ({}, "The train_loader of Toy holds no loaders."),
    ],
    ids=["missing", "number", "empty", "none"],
)
def test_each_of_several_train_loaders_is_looked_at(trainer, loader, told):
    trainer.train_loader = loader

    assert [fault.splitlines()[0] for fault in faults_of(trainer)] == [told]


@pytest.mark.parametrize(
    "loader",
    [{"a": DataLoader([1]), "b": DataLoader([2, 3])}, (DataLoader([1]), DataLoader([2]))],
    ids=["dictionary", "tuple"],
)
def test_several_train_loaders_side_by_side_are_one(trainer, loader):
    trainer.train_loader = loader

    assert faults_of(trainer) == []


@pytest.mark.parametrize("counter", ["iterations", "epochs"])
def test_a_counter_that_the_user_sets_is_told(trainer, counter):
    setattr(trainer, counter, 5)

    (fault,) = faults_of(trainer)

    assert "Toy sets self.iterations or self.epochs, which count what JADE has done." in fault
    assert "How long a run trains is set by --epochs" in fault


def test_a_misspelt_stored_attribute_suggests_the_nearest_one(trainer):
    trainer.encoder = nn.Linear(1, 1)
    trainer.add_attribute_to_store("enocder")

    (fault,) = faults_of(trainer)

    assert "Toy stores the attribute 'enocder', which it does not have." in fault
    assert "did you mean: encoder" in fault


def test_storing_an_attribute_itself_instead_of_its_name_is_refused(trainer):
    with pytest.raises(ContractError, match="takes the name of an attribute; Linear was given") as caught:
        trainer.add_attribute_to_store(trainer.net)

    assert "self.add_attribute_to_store('encoder')" in str(caught.value)


def test_an_attribute_that_is_stored_twice_is_there_once(trainer):
    trainer.add_attribute_to_store("net")

    assert list(trainer.stored) == ["net", "opt"]
