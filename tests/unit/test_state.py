import io
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from enum import IntEnum, StrEnum

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from toys import Toy, bits, made

from jade import state
from jade.errors import CheckpointError, ContractError
from jade.eval import Evaluation

Pair = namedtuple("Pair", ["x", "y"])


class Level(IntEnum):
    LOW = 1


class Kind(StrEnum):
    ONE = "one"


class Custom:
    pass


class Marked(torch.Tensor):
    pass


class Named(dict):
    pass


def storing(value):
    trainer = made(Toy)
    trainer.kept = value
    trainer.add_attribute_to_store("kept")
    return trainer


def told(trainer):
    return [str(fault).splitlines()[0] for fault in state.faults(trainer)]


def written_and_read(states):
    """What a file of a state holds; nothing in it may be executed."""
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def gone_on(value, present=None):
    """What an attribute is after it was stored, and put back into another trainer."""
    trainer = storing(value)
    assert told(trainer) == []
    fresh = storing(present)
    state.put_back(fresh, written_and_read(state.of(trainer)), "Toy")
    return fresh.kept


# What can be stored


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**80,
        1.5,
        float("inf"),
        1 + 2j,
        "text ä",
        b"bytes",
        torch.arange(3),
        torch.zeros(2, 0),
        torch.zeros((), dtype=torch.bfloat16),
        nn.Parameter(torch.ones(2)),
        [1, ("a", 2.0)],
        (),
        {"a": [torch.ones(1)], 3: None, (1, "b"): 2, None: 1, 0.5: True},
        OrderedDict(b=1, a=2),
        Counter("abca"),
        torch.float16,
        torch.device("cpu"),
        torch.Size([2, 3]),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:40],
)
def test_plain_values_are_stored_and_come_back_with_their_types(value):
    found = gone_on(value)

    assert type(found) is type(value)
    assert repr(found) == repr(value)


NUMBERS = [
    np.float64(0.1),
    np.float32(0.1),
    np.float16(0.1),
    np.int64(-3),
    np.int8(-3),
    np.uint8(200),
    np.uint16(60_000),
    np.uint32(4_000_000_000),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.complex64(1 + 2j),
]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("kept", [lambda number: number, lambda number: {"best": [(number,)]}])
def test_a_numpy_number_comes_back_with_its_type(number, kept):
    found = gone_on(kept(number))

    assert found == kept(number)
    assert repr(found) == repr(kept(number))


ARRAYS = {
    "vector": np.array([1.0, np.nan, -0.0]),
    "matrix": np.arange(6, dtype=np.int32).reshape(2, 3),
    "without dimensions": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "booleans": np.array([True, False]),
    "bytes": np.arange(3, dtype=np.uint8),
    "unsigned": np.array([2**64 - 1], dtype=np.uint64),
    "half": np.array([0.5], dtype=np.float16),
    "complex": np.array([1 + 2j]),
    "backwards": np.arange(5)[::-1],
    "every second": np.arange(6)[::2],
    "transposed": np.arange(6).reshape(2, 3).T,
    "read only": np.broadcast_to(np.arange(3), (2, 3)),
    "of the other byte order": np.array([1, 2], dtype=">i4"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("kept", [lambda array: array, lambda array: {"a": [array]}], ids=["itself", "deep"])
def test_a_numpy_array_comes_back_with_type_and_shape(name, kept):
    array = ARRAYS[name]

    found = gone_on(kept(array))
    found = found if isinstance(found, np.ndarray) else found["a"][0]

    assert (type(found), found.dtype.newbyteorder("="), found.shape) == (
        np.ndarray,
        array.dtype.newbyteorder("="),
        array.shape,
    )
    assert np.array_equal(found, array, equal_nan=found.dtype.kind in "fc")


def test_an_array_that_came_back_can_be_changed():
    found = gone_on(np.zeros(3))

    found[0] = 1.0

    assert found.tolist() == [1.0, 0.0, 0.0]


def test_what_is_stored_of_an_array_does_not_change_with_it():
    trainer = storing(np.zeros(3))

    states = state.of(trainer)
    trainer.kept += 1.0
    state.put_back(trainer, states, "Toy")

    assert trainer.kept.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "value",
    [deque([1, 2, 3]), deque([1, 2, 3], maxlen=3), deque(), deque([deque([np.float32(0.5)], 2), ["a"]])],
    ids=repr,
)
def test_a_deque_comes_back_with_its_longest_length(value):
    found = gone_on(value)

    assert repr(found) == repr(value)
    assert found.maxlen == value.maxlen


def test_a_dictionary_that_looks_like_a_note_of_jades_comes_back_as_it_was():
    value = {"jade.type": "deque", "items": [1], "maxlen": None, "inner": {"jade.type": "mine"}}

    assert gone_on(value) == value


def test_a_scheduler_that_was_given_a_numpy_number_comes_back():
    optimizer = made(Toy).opt
    trained = lr_scheduler.ReduceLROnPlateau(optimizer)
    trained.step(np.float64(0.5))

    found = gone_on(trained, lr_scheduler.ReduceLROnPlateau(optimizer))

    assert found.best == 0.5
    assert repr(found.state_dict()) == repr(trained.state_dict())


SCHEDULERS = [
    lambda opt: lr_scheduler.StepLR(opt, 2),
    lambda opt: lr_scheduler.MultiStepLR(opt, [1, 2]),
    lambda opt: lr_scheduler.LambdaLR(opt, lambda epoch: 1.0),
    lambda opt: lr_scheduler.CosineAnnealingLR(opt, 5),
    lambda opt: lr_scheduler.OneCycleLR(opt, 0.1, total_steps=5),
    lambda opt: lr_scheduler.ReduceLROnPlateau(opt),
    lambda opt: lr_scheduler.SequentialLR(opt, [lr_scheduler.ConstantLR(opt)] * 2, [1]),
]


@pytest.mark.parametrize(
    "make",
    [
        *SCHEDULERS,
        lambda opt: torch.amp.GradScaler("cpu"),
        lambda opt: nn.ModuleDict({"a": nn.ModuleList([nn.BatchNorm1d(2)])}),
        lambda opt: torch.optim.LBFGS(nn.Linear(1, 1).parameters()),
        lambda opt: torch.optim.swa_utils.AveragedModel(nn.Linear(1, 1)),
        lambda opt: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    ],
)
def test_what_torch_offers_with_a_state_dict_is_stored_and_comes_back(make):
    # A scheduler that is made says that the optimizer has not yet stepped; it has.
    trainer, other = made(Toy), made(Toy)
    for one in (trainer, other):
        one.train_step(torch.ones(3, 1))
    kept = make(trainer.opt)

    found = gone_on(kept, make(other.opt))

    assert repr(found.state_dict()) == repr(kept.state_dict())


def test_a_class_of_the_users_own_with_a_state_dict_is_stored_by_it():
    class Best:
        def __init__(self):
            self.values = deque([], 2)

        def state_dict(self):
            return {"values": self.values, "at": np.int64(len(self.values))}

        def load_state_dict(self, states):
            self.values, self.at = states["values"], states["at"]

    kept, present = Best(), Best()
    kept.values.extend([1.0, 2.0, 3.0])

    found = gone_on(kept, present)

    assert found is present
    assert (repr(found.values), repr(found.at)) == ("deque([2.0, 3.0], maxlen=2)", "np.int64(2)")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda: None, r"kept is a builtins\.function"),
        (Custom(), r"kept is a .*\.Custom"),
        ([1, Custom()], r"kept\[1\] is a .*\.Custom"),
        ({"a": [1, {"b": Custom()}]}, r"kept\['a'\]\[1\]\['b'\] is a .*\.Custom"),
        ([nn.Linear(1, 1)], r"kept\[0\] is a torch\.nn\.modules\.linear\.Linear"),
        ({1, 2}, r"kept is a builtins\.set"),
        (np.array(["a"]), r"kept is a numpy\.ndarray"),
        (np.array([Custom()]), r"kept is a numpy\.ndarray"),
        (np.str_("a"), r"kept is a numpy\.str_"),
        (np.datetime64("2026-01-01"), r"kept is a numpy\.datetime64"),
        (defaultdict(list), r"kept is a collections\.defaultdict"),
        (Named(a=1), r"kept is a .*\.Named"),
        (Pair(1, 2), r"kept is a .*\.Pair"),
        ({Custom(): 1}, "kept has keys that are neither text nor numbers"),
        (Level.LOW, r"kept is a .*\.Level"),
        (Kind.ONE, r"kept is a .*\.Kind"),
        (torch.Generator(), r"kept is a torch\._C\.Generator"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_cannot_be_read_back_safely_is_named_with_its_path(value, path):
    (fault,) = state.faults(storing(value))

    assert isinstance(fault, ContractError)
    with pytest.raises(
        ContractError, match=rf"The attribute 'kept' of Toy cannot be stored: {path}"
    ) as caught:
        raise fault
    assert "test_state.py" not in str(caught.value).splitlines()[0]
    assert "Storable are networks, optimizers and whatever has a state_dict" in str(fault)
    assert "Several networks go into an nn.ModuleList; a class of your own can define state_dict()" in str(
        fault
    )


@pytest.mark.parametrize(
    "value",
    [
        {np.str_("a"): 1},
        {np.float64(0.5): 1},
        {Level.LOW: 1},
        {Kind.ONE: 1},
        {("a", Level.LOW): 1},
        {"a": {(1, Custom()): 1}},
        torch.zeros(2).as_subclass(Marked),
        {"a": [torch.zeros(2).as_subclass(Marked)]},
    ],
    ids=[
        "numpy text",
        "numpy number",
        "enum",
        "text enum",
        "enum in a tuple",
        "object in a tuple",
        "tensor",
        "deep",
    ],
)
def test_what_would_be_written_but_not_read_is_refused_or_comes_back(value):
    trainer = storing(value)

    if not told(trainer):
        assert list(written_and_read(state.of(trainer))) == ["kept"]


def test_a_state_that_became_something_that_cannot_be_read_back_is_refused():
    trainer = storing(None)
    trainer.kept = {"best": [Custom()]}

    with pytest.raises(ContractError, match=r"'kept' of Toy cannot be stored: kept\['best'\]\[0\] is a"):
        state.of(trainer)


def test_an_attribute_that_is_not_there_is_left_to_the_trainer_to_tell():
    trainer = made(Toy)
    trainer.add_attribute_to_store("missing")

    assert told(trainer) == []


def test_an_evaluation_stores_attributes_too():
    class Patient(Evaluation):
        def initialize(self):
            self.best, self.bad = np.float32(0.5), deque([1], 2)
            self.add_attribute_to_store("best")
            self.add_attribute_to_store("bad")

    first, second = (Patient(datasets={}, trainer=None) for _ in range(2))
    first.initialize()
    second.initialize()
    first.bad.extend([2, 3])

    state.put_back(second, written_and_read(state.of(first)), "the evaluation 'patient'")

    assert (repr(second.best), second.bad) == ("np.float32(0.5)", deque([2, 3], 2))
    assert list(state.faults(second)) == []


# How it is put back


def test_a_trainer_is_put_back_with_networks_optimizer_and_values():
    trained, fresh = storing({"best": 0.5}), storing(None)
    trained.train_step(torch.ones(3, 1))

    state.put_back(fresh, written_and_read(state.of(trained)), "Toy")

    assert bits(state.of(fresh)) == bits(state.of(trained))
    assert fresh.kept == {"best": 0.5}
    assert fresh.opt.param_groups[0]["params"][0] is fresh.net.weight


@pytest.mark.parametrize("kind", [nn.Parameter, torch.Tensor.requires_grad_, torch.Tensor.clone])
def test_a_tensor_that_is_put_back_is_the_one_that_others_hold(kind):
    states = written_and_read(state.of(storing(kind(torch.ones(2)))))
    fresh = storing(kind(torch.zeros(2)))
    held = fresh.kept

    state.put_back(fresh, states, "Toy")

    assert fresh.kept is held
    assert held.tolist() == [1.0, 1.0]


def test_a_tensor_that_grew_is_put_back_as_it_was():
    assert gone_on(torch.arange(5), torch.arange(2)).tolist() == [0, 1, 2, 3, 4]


def test_attributes_that_are_in_one_of_the_two_only_are_named():
    found, trainer = storing(1), made(Toy)
    trainer.encoder = nn.Linear(1, 1)
    trainer.add_attribute_to_store("encoder")
    weight = trainer.net.weight.clone()

    with pytest.raises(CheckpointError) as caught:
        state.put_back(trainer, state.of(found), "Toy")

    assert str(caught.value) == (
        "The checkpoint does not fit Toy.\n"
        "  missing in the checkpoint: encoder\n"
        "  only in the checkpoint: kept"
    )
    assert torch.equal(trainer.net.weight, weight)


def test_attributes_that_are_surplus_only_say_that_none_is_missing():
    with pytest.raises(
        CheckpointError, match="missing in the checkpoint: none\n  only in the checkpoint: kept"
    ):
        state.put_back(made(Toy), state.of(storing(1)), "Toy")


def test_layers_that_are_missing_surplus_or_of_another_shape_are_all_named_and_nothing_is_changed():
    found = storing(nn.ModuleDict({"a": nn.Linear(1, 2), "b": nn.Linear(1, 1)}))
    trainer = storing(nn.ModuleDict({"a": nn.Linear(3, 2), "c": nn.Linear(1, 1, bias=False)}))
    before = bits(state.of(trainer))

    with pytest.raises(CheckpointError) as caught:
        state.put_back(trainer, state.of(found), "Toy")

    assert str(caught.value) == (
        "The checkpoint does not fit Toy.\n"
        "  missing in the checkpoint: kept.c.weight\n"
        "  only in the checkpoint: kept.b.weight\n"
        "  only in the checkpoint: kept.b.bias\n"
        "  kept.a.weight has the shape [2, 3], in the checkpoint [2, 1]"
    )
    assert bits(state.of(trainer)) == before


def test_a_parameter_of_another_shape_is_named_rather_than_exchanged_behind_its_optimizers_back():
    trainer = storing(nn.Parameter(torch.zeros(2)))

    with pytest.raises(CheckpointError, match="The checkpoint does not fit Toy"):
        state.put_back(trainer, state.of(storing(nn.Parameter(torch.ones(3)))), "Toy")


def test_an_optimizer_of_other_parameters_is_named():
    found = storing(torch.optim.SGD(nn.Linear(1, 1).parameters()))
    trainer = storing(torch.optim.SGD([nn.Parameter(torch.zeros(1))]))

    with pytest.raises(CheckpointError) as caught:
        state.put_back(trainer, state.of(found), "Toy")

    assert str(caught.value) == (
        "The checkpoint does not fit Toy: kept does not take its state.\n"
        "  ValueError: loaded state dict contains a parameter group that doesn't match the size of optimizer's group\n"
        "  What was added to it during training has to be there after initialize."
    )


@pytest.mark.parametrize("value", [None, 3, [1], {}], ids=repr)
@pytest.mark.parametrize("name", ["net", "opt"])
def test_a_network_or_optimizer_for_which_something_else_was_stored_is_named(name, value):
    trainer = made(Toy)

    with pytest.raises(CheckpointError, match="The checkpoint does not fit Toy"):
        state.put_back(trainer, {**state.of(trainer), name: value}, "Toy")


def test_a_network_that_takes_its_shape_from_the_first_batch_is_put_back_into_one_that_saw_none():
    trained = storing(nn.LazyLinear(2))
    trained.kept(torch.ones(1, 3))
    fresh = storing(nn.LazyLinear(2))

    state.put_back(fresh, written_and_read(state.of(trained)), "Toy")

    assert bits(state.of(fresh)["kept"]) == bits(state.of(trained)["kept"])


def test_storing_an_attribute_twice_keeps_it_once():
    trainer = storing(1)
    trainer.add_attribute_to_store("kept")

    assert list(trainer.stored) == ["net", "opt", "kept"]
