import pytest
import torch
from torch import nn

from jade.fitting import Part, untied


def network(width=4, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def part_of(present, value, name="net"):
    return Part.of(name, present, {name: value})


def put(present, value):
    part = part_of(present, value)
    assert part.left == []
    part.put("A")
    return part


def equal(one, other):
    theirs = list(other.state_dict().values())
    return all(torch.equal(own, theirs[index]) for index, own in enumerate(one.state_dict().values()))


def test_every_tensor_buffers_too_is_put_into_the_one_that_is_there():
    here, there = network(seed=0), network(seed=1)
    there(torch.randn(8, 2))
    before = {name: id(tensor) for name, tensor in here.named_parameters()}

    put(here, there.state_dict())

    assert equal(here, there)
    assert here[1].num_batches_tracked == 1
    assert {name: id(tensor) for name, tensor in here.named_parameters()} == before


def test_all_that_does_not_fit_is_named_and_nothing_is_changed():
    here, value = network(width=4), network(width=3, seed=1).state_dict()
    del value["2.bias"]
    value["3.weight"] = torch.zeros(1)
    before = {key: tensor.clone() for key, tensor in here.state_dict().items()}

    part = part_of(here, value, "encoder")

    assert part.left[:3] == [
        "missing in the checkpoint: encoder.2.bias",
        "only in the checkpoint: encoder.3.weight",
        "encoder.0.weight has the shape [4, 2], in the checkpoint [3, 2]",
    ]
    assert len(part.left) == 9
    assert all(torch.equal(before[key], tensor) for key, tensor in here.state_dict().items())


def test_what_fits_is_put_where_the_rest_does_not():
    here, value = network(), network(seed=1).state_dict()
    value["2.weight"] = torch.zeros(1, 7)
    own = here[2].weight.clone()

    part = part_of(here, value)
    part.put("A")

    assert part.left == ["net.2.weight has the shape [1, 4], in the checkpoint [1, 7]"]
    assert torch.equal(here[0].weight, value["0.weight"])
    assert torch.equal(here[2].weight, own)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (torch.zeros(2), "net is a network, in the checkpoint a tensor"),
        (3, "net is a network, in the checkpoint a int"),
        ([network().state_dict()], "net is a network, in the checkpoint a list"),
    ],
)
def test_what_is_no_network_in_the_checkpoint_is_named(value, line):
    assert part_of(network(), value).left == [line]


def test_an_attribute_that_the_checkpoint_has_not_is_named():
    assert Part.of("net", network(), {"encoder": {}}).left == ["missing in the checkpoint: net"]


@pytest.mark.parametrize("make", [lambda: nn.Parameter(torch.zeros(2, 2)), lambda: torch.zeros(2, 2)])
def test_a_parameter_or_a_tensor_is_filled_in_place(make):
    here, there = make(), torch.ones(2, 2)

    put(here, there)

    assert torch.equal(here, there)
    assert part_of(here, torch.ones(3)).left == ["net has the shape [2, 2], in the checkpoint [3]"]
    assert part_of(here, {"a": there}).left == ["net is a tensor, in the checkpoint a network"]


# Wrapped otherwise


class Compiled(nn.Module):
    """As torch.compile wraps a network, without the second that compiling takes to be imported."""

    def __init__(self, inner):
        super().__init__()
        self._orig_mod = inner


def half_compiled(inner):
    inner[0] = Compiled(inner[0])
    return inner


@pytest.mark.parametrize("wrap", [Compiled, half_compiled, nn.DataParallel])
@pytest.mark.parametrize("is_here", [True, False])
def test_a_network_takes_the_weights_of_one_that_is_wrapped_otherwise(wrap, is_here):
    here, there = network(seed=0), network(seed=1)
    wrapped, plain = (wrap(here), there) if is_here else (here, wrap(there))

    part = part_of(wrapped, plain.state_dict())
    part.put("A")

    assert part.left == []
    assert equal(wrapped, plain)


def test_a_submodule_that_is_called_module_is_no_wrapper():
    here, there = nn.ModuleDict({"module": network()}), nn.ModuleDict({"other": network(seed=1)})

    part = part_of(here, there.state_dict())

    assert "missing in the checkpoint: net.module.0.weight" in part.left
    assert not part.taken


def test_a_lazy_network_takes_the_shapes_that_there_are_and_is_not_drawn_anew():
    here, there = nn.Sequential(nn.LazyLinear(4)), nn.Sequential(nn.Linear(3, 4))
    optimizer = torch.optim.SGD(here.parameters(), lr=0.1)

    put(here, there.state_dict())
    here(torch.randn(5, 3)).sum().backward()
    held = optimizer.param_groups[0]["params"]

    assert equal(here, there)
    assert all(mine is own for mine, own in zip(held, here.parameters(), strict=True))


def test_a_network_that_had_no_shape_yet_in_the_checkpoint_is_named():
    lazy = nn.Sequential(nn.LazyLinear(4)).state_dict()

    lines = part_of(nn.Sequential(nn.Linear(3, 4)), lazy).left

    assert lines == [
        "net.0.weight has no shape yet in the checkpoint",
        "net.0.bias has no shape yet in the checkpoint",
    ]
    assert part_of(nn.Sequential(nn.LazyLinear(4)), lazy).left == lines


# Types


def test_another_precision_is_converted_and_named():
    here, there = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False).double()

    part = put(here, there.state_dict())

    assert part.converted == ["net.weight: float64 to float32"]
    assert here.weight.dtype == torch.float32
    assert torch.equal(here.weight, there.weight.float())


@pytest.mark.parametrize(
    ("own", "found"), [("int64", "float32"), ("float32", "complex64"), ("bool", "int64")]
)
def test_another_kind_of_number_would_lose_something_and_is_refused(own, found):
    here, there = (torch.zeros(2, dtype=getattr(torch, name)) for name in (own, found))

    assert part_of(here, there).left == [f"net is of the type {own}, in the checkpoint {found}"]


# Tied weights


def tied(seed):
    torch.manual_seed(seed)
    net = nn.ModuleDict({"embed": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    net["head"].weight = net["embed"].weight
    return net


def test_tied_weights_stay_tied():
    here, there = tied(0), tied(1)

    part = put(here, there.state_dict())

    assert untied([part]) == []
    assert here["head"].weight is here["embed"].weight
    assert equal(here, there)


def test_two_tensors_for_one_are_named_also_across_attributes():
    here, value = tied(0), tied(1).state_dict()
    value["head.weight"] = value["head.weight"] + 1.0

    within = untied([part_of(here, value)])
    parts = [
        Part.of("embed", here["embed"], {"embed": {"weight": torch.zeros(3, 2)}}),
        Part.of("head", here["head"], {"head": {"weight": torch.ones(3, 2)}}),
    ]

    assert within == [
        "net.embed.weight and net.head.weight are one tensor here, in the checkpoint two that differ"
    ]
    assert untied(parts) == [
        "embed.weight and head.weight are one tensor here, in the checkpoint two that differ"
    ]


class Stubborn(nn.Linear):
    def load_state_dict(self, state):
        raise ValueError("not with me")


def test_a_class_that_does_not_take_its_weights_is_named():
    from jade.errors import CheckpointError

    here = Stubborn(2, 1)

    with pytest.raises(CheckpointError) as caught:
        part_of(here, here.state_dict()).put("the run A")

    assert str(caught.value) == "net does not take the weights of the run A.\n  ValueError: not with me"
