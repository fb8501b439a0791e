import collections
import types
from typing import Any, NamedTuple

import pytest
import torch

from jade import devices
from jade.errors import ConfigError

# Tensors can be moved to the meta device on any machine.
META = torch.device("meta")


def tensor() -> torch.Tensor:
    return torch.zeros(2)


def is_moved(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "meta"


class Pair(NamedTuple):
    x: Any
    y: Any = 2


class Named(dict):
    def __init__(self, name, **items):
        super().__init__(**items)
        self.name = name


class Batch:
    def __init__(self, x):
        self.x = x

    def to(self, device):
        return Batch(self.x.to(device))


class OwnMapping(collections.abc.Mapping):
    """A mapping that cannot be written to."""

    def __init__(self, items):
        self.items_ = items

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


class TwoOf(tuple):
    __slots__ = ()

    def __new__(cls, first, second):
        return super().__new__(cls, (first, second))


def test_a_tensor_is_moved():
    assert is_moved(devices.move(tensor(), META))


@pytest.mark.parametrize("kind", [list, tuple, type("Items", (list,), {}), type("Row", (tuple,), {})])
def test_a_sequence_keeps_its_type(kind):
    moved = devices.move(kind([tensor(), 3, "x"]), META)

    assert type(moved) is kind
    assert is_moved(moved[0])
    assert list(moved[1:]) == [3, "x"]


def test_a_named_tuple_keeps_its_names_also_where_a_field_has_a_default():
    moved = devices.move(Pair(tensor()), META)

    assert type(moved) is Pair
    assert is_moved(moved.x)
    assert moved.y == 2


def test_what_torch_returns_as_a_named_tuple_keeps_its_names():
    moved = devices.move(torch.zeros(2, 2).max(0), META)

    assert is_moved(moved.values)
    assert is_moved(moved.indices)


def test_a_dictionary_is_moved_in_its_order_and_the_original_is_left_alone():
    batch = {"y": tensor(), "x": [tensor()], 3: None}

    moved = devices.move(batch, META)

    assert list(moved) == ["y", "x", 3]
    assert is_moved(moved["x"][0])
    assert batch["y"].device.type == "cpu"
    assert batch["x"][0].device.type == "cpu"


def test_a_default_dictionary_keeps_its_default():
    batch = collections.defaultdict(list, x=tensor())

    moved = devices.move(batch, META)

    assert moved.default_factory is list
    assert is_moved(moved["x"])
    assert batch["x"].device.type == "cpu"


def test_an_ordered_dictionary_keeps_type_and_order():
    moved = devices.move(collections.OrderedDict(b=tensor(), a=1), META)

    assert type(moved) is collections.OrderedDict
    assert list(moved) == ["b", "a"]


def test_a_subclass_of_dict_keeps_what_it_holds_besides_its_items():
    batch = Named("train", x=tensor())

    moved = devices.move(batch, META)

    assert type(moved) is Named
    assert moved.name == "train"
    assert is_moved(moved["x"])
    assert batch["x"].device.type == "cpu"


def test_a_user_dictionary_is_moved_and_the_original_is_left_alone():
    batch = collections.UserDict(x=tensor())

    assert is_moved(devices.move(batch, META)["x"])
    assert batch["x"].device.type == "cpu"


def test_a_counter_does_not_count_twice():
    assert devices.move(collections.Counter(a=3), META) == {"a": 3}


@pytest.mark.parametrize("make", [OwnMapping, types.MappingProxyType])
def test_a_mapping_that_cannot_be_written_to_is_no_crash(make):
    assert is_moved(devices.move(make({"x": tensor()}), META)["x"])


def test_a_tuple_with_a_constructor_of_its_own_is_no_crash():
    moved = devices.move(TwoOf(tensor(), tensor()), META)

    assert is_moved(moved[0])
    assert is_moved(moved[1])


def test_whatever_knows_how_to_move_itself_is_asked_to():
    moved = devices.move([Batch(tensor())], META)

    assert is_moved(moved[0].x)


def test_nesting_is_followed_to_any_depth():
    moved = devices.move({"a": [(Pair([{"b": tensor()}]),)]}, META)

    assert is_moved(moved["a"][0][0].x[0]["b"])


@pytest.mark.parametrize(
    "value", [None, 3, 0.5, "text", b"bytes", {1, 2}, range(3), slice(1), torch.Tensor, Batch]
)
def test_anything_else_is_handed_back_as_it_is(value):
    assert devices.move(value, META) is value


def test_a_batch_in_which_nothing_moves_is_handed_back_as_it_is():
    batch = {"x": [torch.ones(1), {"name": "a"}], "y": (1, None)}

    assert devices.move(batch, torch.device("cpu")) is batch


def test_a_batch_in_which_something_moves_is_a_new_one():
    batch = {"x": [torch.ones(1)], "y": (1, None)}

    moved = devices.move(batch, META)

    assert moved is not batch
    assert batch["x"][0].device.type == "cpu"
    assert moved["y"] is batch["y"]


@pytest.fixture
def machine(monkeypatch):
    def has(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "names", "best"),
    [
        (0, False, ["cpu"], "cpu"),
        (2, False, ["cpu", "cuda:0", "cuda:1"], "cuda"),
        (0, True, ["cpu", "mps"], "mps"),
        (1, True, ["cpu", "cuda:0", "mps"], "cuda"),
    ],
)
def test_without_a_wish_the_best_device_is_taken(machine, cuda, mps, names, best):
    machine(cuda, mps)

    assert devices.available() == names
    assert devices.choose(None) == torch.device(best)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps"])
def test_a_device_that_is_there_is_taken(machine, name):
    machine(2, True)

    assert devices.choose(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "xla", "meta", "", "0"])
def test_a_device_that_is_not_there_is_refused_and_shows_those_that_are(machine, name):
    machine(2)

    with pytest.raises(ConfigError) as caught:
        devices.choose(name)

    text = str(caught.value)
    assert text.startswith(f"The device {name!r} is not on this machine.\n  at: --device\n")
    assert text.endswith("known: cpu, cuda:0, cuda:1")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_machine_without_accelerator_says_that_there_is_only_the_cpu(machine, name):
    machine()

    with pytest.raises(
        ConfigError, match=rf"^The device '{name}' is not on this machine\.\n  at: --device\n  known: cpu$"
    ):
        devices.choose(name)


def test_gpu_is_not_taken_for_a_slip_of_cpu(machine):
    machine(1)

    with pytest.raises(ConfigError) as caught:
        devices.choose("gpu")

    assert "did you mean: cpu" not in str(caught.value)


def test_the_full_name_of_the_cpu_is_its_type():
    assert devices.full_name(torch.device("cpu")) == "cpu"
