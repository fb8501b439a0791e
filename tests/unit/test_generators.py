"""Generators that user code holds: wherever they are, each is found once and put where a seed says."""

import collections
import functools
import random
import types
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from jade import generators
from jade.generators import Owned, owned

MAKERS = {
    "torch": torch.Generator,
    "numpy": np.random.default_rng,
    "legacy numpy": np.random.RandomState,
    "python": random.Random,
}


class Holder:
    def __init__(self, **attributes) -> None:
        vars(self).update(attributes)


def found(root) -> list:
    return [one.generator for one in owned({"root": root})]


def paths(root) -> list[str]:
    return [one.path for one in owned({"root": root})]


def draw(generator) -> list[float]:
    if isinstance(generator, torch.Generator):
        return [torch.rand((), generator=generator).item(), torch.randn((), generator=generator).item()]
    if isinstance(generator, random.Random):
        return [generator.random(), generator.gauss(0, 1)]
    return [float(generator.random()), float(generator.normal())]


# --- where they are --------------------------------------------------------------------------------------


def with_closure(generator):
    def inner():
        return generator

    return inner


def with_default(generator):
    def inner(given=generator):
        return given

    return inner


def with_keyword_default(generator):
    def inner(*, given=generator):
        return given

    return inner


def with_attribute(generator):
    def inner():
        return None

    inner.generator = generator
    return inner


class Slots:
    __slots__ = ("generator",)

    def __init__(self, generator) -> None:
        self.generator = generator


@dataclass(slots=True)
class DataSlots:
    generator: object
    name: str = ""


@dataclass
class Data:
    generators: list = field(default_factory=list)


class Draws:
    def __init__(self, generator) -> None:
        self.generator = generator

    def method(self):
        return self.generator


def with_class_attribute(generator):
    return type("Dataset", (), {"generator": generator})()


def with_inherited_class_attribute(generator):
    base = type("Base", (), {"generator": generator})
    return type("Dataset", (base,), {})()


def wrapped(generator):
    @functools.wraps(draw)
    def inner():
        return generator

    return inner


PLACES = {
    "the object itself": lambda generator: generator,
    "an attribute": lambda generator: Holder(generator=generator),
    "an attribute of an attribute": lambda generator: Holder(inner=Holder(generator=generator)),
    "a list": lambda generator: Holder(parts=[1, "a", None, generator]),
    "a tuple in a dictionary": lambda generator: {"a": (1, generator)},
    "a dictionary": lambda generator: Holder(parts={"a": generator}),
    "a dictionary of a kind of its own": lambda generator: collections.OrderedDict(a=generator),
    "a default dictionary": lambda generator: collections.defaultdict(list, a=generator),
    "a closure": with_closure,
    "a closure in a closure": lambda generator: with_closure(with_closure(generator)),
    "a default": with_default,
    "a decorated function": wrapped,
    "an argument of a partial": lambda generator: functools.partial(print, generator),
    "a keyword of a partial": lambda generator: functools.partial(print, file=generator),
    "the function of a partial": lambda generator: functools.partial(with_closure(generator)),
    "a bound method": lambda generator: Holder(transform=Draws(generator).method),
    "a module of torch": lambda generator: nn.Sequential(nn.Linear(1, 1), nn.ModuleList([module(generator)])),
    "a data class": lambda generator: Data([Data([generator])]),
    "a chain as deep as no stack": lambda generator: functools.reduce(
        lambda inner, _: [inner], range(5000), generator
    ),
}
HARDER_PLACES = {
    "a default that must be named": with_keyword_default,
    "an attribute of a function": with_attribute,
    "slots": lambda generator: Holder(transform=Slots(generator)),
    "slots of a data class": lambda generator: [DataSlots(generator)],
    "the class": with_class_attribute,
    "a class before it": with_inherited_class_attribute,
    "a deque": lambda generator: Holder(parts=collections.deque([generator])),
    "the function of a bound method": lambda generator: types.MethodType(with_closure(generator), Holder()),
}


def module(generator):
    made = nn.Identity()
    made.generator = generator
    return made


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("place", [pytest.param(place, id=name) for name, place in PLACES.items()])
def test_a_generator_is_found_wherever_it_is(place, kind):
    generator = MAKERS[kind]()

    assert [one is generator for one in found(place(generator))] == [True]


@pytest.mark.parametrize("place", [pytest.param(place, id=name) for name, place in HARDER_PLACES.items()])
def test_a_generator_is_found_in_an_unusual_place(place):
    generator = np.random.default_rng()

    assert [one is generator for one in found(place(generator))] == [True]


MODULE = """
import random
import numpy as np

GENERATOR = np.random.default_rng()
TRANSFORM = type("Transform", (), {"__call__": lambda self: None})()
TRANSFORM.generator = random.Random()

class Dataset:
    def __getitem__(self, index):
        return TRANSFORM(index)

def function():
    return GENERATOR.random()
"""


@pytest.fixture
def user_module(monkeypatch):
    """A file of a user with a generator at its top level."""

    def new(name, text=MODULE):
        made = types.ModuleType(name)
        monkeypatch.setitem(generators.sys.modules, name, made)
        exec(text, vars(made))
        return made

    return new


@pytest.mark.parametrize(
    "root",
    [lambda user: user.Dataset(), lambda user: user.function, lambda user: [Holder(f=user.function)]],
    ids=["object", "function", "nested"],
)
def test_a_generator_at_the_top_level_of_a_file_is_found(root, user_module):
    user = user_module("user_data")

    assert user.GENERATOR in found(root(user))


def test_a_generator_beside_the_base_class_is_found(user_module):
    base = user_module("user_base")
    user = user_module("user_data", "from user_base import Dataset as Base\nclass Dataset(Base): pass")

    assert base.GENERATOR in found(user.Dataset())


def test_a_generator_beside_a_function_that_the_dataset_calls_is_found(user_module):
    helpers = user_module("user_helpers")
    user = user_module(
        "user_data",
        "from user_helpers import function\nclass Dataset:\n    def item(self): return function()",
    )

    assert helpers.GENERATOR in found(user.Dataset())


def test_a_generator_of_an_object_at_the_top_level_is_found(user_module):
    user = user_module("user_data")

    assert user.TRANSFORM.generator in found(user.Dataset())


def test_a_generator_is_given_once_however_often_it_is_held():
    generator = torch.Generator()
    root = Holder(one=generator, two=[generator], three=with_closure(generator))

    assert paths(root) == ["root.one"]
    assert len(owned({"a": root, "b": generator})) == 1


def test_a_circle_is_gone_through_once():
    generator = random.Random()
    root = Holder()
    root.itself, root.parts = root, [root, {"root": root}]
    root.generator = generator

    assert found(root) == [generator]


def test_the_global_generators_belong_to_nobody():
    root = Holder(
        python=random.seed.__self__,
        numpy=np.random.mtrand._rand,
        bound=random.random,
        module=random,
        np=np.random,
    )

    assert found(root) == []


@pytest.mark.parametrize(
    "root", [None, 3, "text", torch.zeros(3), np.zeros(3), random, int, len, [], {}, object()]
)
def test_what_holds_none_gives_none(root):
    assert found(root) == []


# --- what is not touched ---------------------------------------------------------------------------------


class Lazy(Mapping):
    """Builds what it is asked for, as `datasets` do."""

    def __init__(self) -> None:
        self.asked = []
        self.generator = random.Random()

    def __getitem__(self, key):
        self.asked.append(key)
        return random.Random()

    def __iter__(self):
        self.asked.append("keys")
        return iter("ab")

    def __len__(self):
        self.asked.append("length")
        return 2


class LazyDictionary(dict):
    def items(self):
        raise AssertionError("built")

    def __getitem__(self, key):
        raise AssertionError("built")

    __iter__ = keys = values = items


class LazyList(list):
    def __getitem__(self, index):
        raise AssertionError("built")

    def __iter__(self):
        raise AssertionError("built")


class Watching:
    def __init__(self) -> None:
        self.generator = random.Random()

    @property
    def costly(self):
        raise AssertionError("built")

    @functools.cached_property
    def kept(self):
        raise AssertionError("built")

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")


class Proxy:
    """Stands for something that is made when first touched, without a dictionary of its own."""

    __slots__ = ()

    def __getattr__(self, name):
        raise RuntimeError("there is nothing to stand for yet")


def test_a_lazy_mapping_is_not_built_but_looked_into():
    lazy = Lazy()

    assert found(Holder(datasets=lazy)) == [lazy.generator]
    assert lazy.asked == []


@pytest.mark.parametrize(
    "root", [LazyDictionary(a=1), LazyList([1]), Watching(), Proxy()], ids=lambda one: type(one).__name__
)
def test_code_of_the_user_is_not_run(root):
    """Each of them raises if anything of it is asked for that it does not simply hold."""
    assert found(Holder(root=root)) == ([root.generator] if isinstance(root, Watching) else [])


def test_a_variable_that_was_never_set_is_passed():
    def outer():
        def inner():
            return later

        if inner is None:
            later = 1
        return inner

    assert found(outer()) == []


@pytest.mark.parametrize("name", [None, "no_such_module", "torch.utils"])
def test_a_function_may_say_anything_of_its_module(name):
    def function():
        pass

    function.__module__ = name

    assert found(function) == []


def test_a_function_made_from_code_is_passed():
    assert found(types.FunctionType(draw.__code__, {})) == []


# --- bounds ----------------------------------------------------------------------------------------------


def test_long_containers_hold_data():
    short = [[] for _ in range(generators.LARGEST_CONTAINER - 1)] + [random.Random()]

    assert len(found(short)) == 1
    assert found([*short, []]) == []


def test_no_more_objects_are_looked_at_than_the_most(monkeypatch):
    looked_at = []
    parts = generators._parts
    monkeypatch.setattr(
        generators, "_parts", lambda value, path: looked_at.append(path) or parts(value, path)
    )
    monkeypatch.setattr(generators, "MOST_OBJECTS", 100)

    found([[[] for _ in range(50)] for _ in range(50)])

    assert 0 < len(looked_at) <= 100


@pytest.mark.parametrize("order", ["before", "after"])
def test_many_objects_do_not_hide_a_generator_near_the_root(order):
    # Given a dataset with lists of lists of names and labels
    samples = [[(str(i), j) for j in range(900)] for i in range(30)]
    generator = np.random.default_rng()
    parts = {"generator": generator, "samples": samples}
    root = Holder(**(parts if order == "before" else dict(reversed(parts.items()))))

    assert found(root) == [generator]


def test_many_objects_of_one_root_do_not_hide_the_next_root():
    samples = [[(str(i), j) for j in range(900)] for i in range(30)]

    assert len(owned({"dataset": Holder(samples=samples), "collate_fn": Holder(own=random.Random())})) == 1


# --- seeds -----------------------------------------------------------------------------------------------


def made_twice(make):
    """Draw from the generators of two roots that were made by the same code, under the same seed."""
    values, roots = [], [make(), make()]
    for root in roots:
        found = owned({"root": root})
        for one in found:
            one.seed(7)
        values.append([draw(one.generator) for one in found])
    return values


class Key:
    """As a dictionary's key it is shown with its address."""


SEVERAL = {
    "attributes": lambda: Holder(a=random.Random(), b=random.Random()),
    "a list": lambda: [np.random.default_rng(), np.random.default_rng()],
    "a dictionary": lambda: {"a": np.random.default_rng(), 1: np.random.default_rng()},
    "arguments of a partial": lambda: functools.partial(print, random.Random(), random.Random()),
    "defaults": lambda: two_defaults(random.Random(), random.Random()),
    "kinds": lambda: [make() for make in MAKERS.values()],
    "a dictionary by objects": lambda: {Key(): random.Random(), Key(): random.Random()},
    "a dictionary by functions": lambda: {(lambda: 1): random.Random(), (lambda: 2): random.Random()},
}


def two_defaults(one, other):
    def inner(a=one, b=other):
        return a, b

    return inner


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in SEVERAL.items()])
def test_the_same_code_is_given_the_same_seeds(make):
    one, other = made_twice(make)

    assert one == other
    assert len(one) >= 2


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in SEVERAL.items()])
def test_two_generators_of_one_owner_draw_different_numbers(make):
    values = [tuple(numbers) for numbers in made_twice(make)[0]]

    assert len(set(values)) == len(values)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("number", [0, 1, 7, 2**31, 2**32 - 1])
def test_a_seed_says_all_that_a_generator_draws(kind, number):
    one, other = Owned("a.b", MAKERS[kind]()), Owned("a.b", MAKERS[kind]())
    draw(other.generator)
    draw(other.generator)

    one.seed(number)
    other.seed(number)

    assert [draw(one.generator) for _ in range(3)] == [draw(other.generator) for _ in range(3)]


@pytest.mark.parametrize("kind", MAKERS)
def test_another_seed_draws_other_numbers(kind):
    one = Owned("a.b", MAKERS[kind]())
    values = set()
    for number in range(200):
        one.seed(number)
        values.add(tuple(draw(one.generator)))

    assert len(values) == 200


BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
LEFTOVERS = {
    "half of 64 bits": lambda generator: generator.integers(2**31, dtype=np.uint32),
    "a byte": lambda generator: generator.integers(200, dtype=np.uint8),
    "bytes": lambda generator: generator.bytes(3),
    "a normal number": lambda generator: generator.normal(),
    "a jump": lambda generator: generator.permutation(7),
}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("leave", [pytest.param(leave, id=name) for name, leave in LEFTOVERS.items()])
def test_nothing_of_a_numpy_generator_is_left_after_a_seed(bits, leave):
    one = Owned("a", np.random.Generator(bits()))
    one.seed(3)
    expected = [one.generator.integers(1000, dtype=np.uint32), one.generator.random()]
    leave(one.generator)

    one.seed(3)

    assert [one.generator.integers(1000, dtype=np.uint32), one.generator.random()] == expected


@pytest.mark.parametrize("bits", BITS)
def test_the_children_of_a_generator_begin_anew_with_its_seed(bits):
    one = Owned("a", np.random.Generator(bits()))
    one.seed(3)
    expected = [child.random() for child in one.generator.spawn(2)]

    one.seed(3)

    assert [child.random() for child in one.generator.spawn(2)] == expected


@pytest.mark.parametrize(
    ("make", "leave"),
    [
        (random.Random, lambda generator: generator.gauss(0, 1)),
        (np.random.RandomState, lambda generator: generator.normal()),
        (torch.Generator, lambda generator: torch.randn(1, generator=generator)),
        (torch.Generator, lambda generator: torch.randn(1, generator=generator, dtype=torch.float64)),
    ],
    ids=["python", "numpy", "torch", "torch, double"],
)
def test_a_second_number_that_was_kept_is_dropped(make, leave):
    one = Owned("a", make())
    one.seed(5)
    expected = leave(one.generator)

    one.seed(5)

    assert leave(one.generator) == expected
