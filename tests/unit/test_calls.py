import ast
import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from jade import calls
from jade.calls import Accepted
from jade.errors import PluginError


def wrapped(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def hidden(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


class Base:
    def __init__(self, a, b=1):
        self.a, self.b = a, b

    def initialize(self, a, b=1):
        self.a, self.b = a, b


class Forwards(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class ForwardsByName(Base):
    def __init__(self, c, **kwargs):
        Base.__init__(self, **kwargs)


class ForwardsOneItself(Base):
    def __init__(self, c, **kwargs):
        super().__init__(a=c, **kwargs)


class ForwardsByPosition(Base):
    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)


class ForwardsAll(Base):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class Keeps(Base):
    def __init__(self, c, **kwargs):
        super().__init__(a=1)
        self.kwargs = kwargs


class Pops(Base):
    def __init__(self, **kwargs):
        self.q = kwargs.pop("q")
        super().__init__(**kwargs)


class HasDefaultFor(Base):
    def __init__(self, **kwargs):
        kwargs.setdefault("a", 2)
        super().__init__(**kwargs)


class Swallows(nn.Module):
    def __init__(self, c, **kwargs):
        super().__init__()
        self.kwargs = kwargs


class Mixin:
    def __init__(self, m=0, **kwargs):
        super().__init__(**kwargs)


class Mixed(Mixin, Base):
    pass


class LinearWith(nn.Linear):
    def __init__(self, *args, extra=1, **kwargs):
        super().__init__(*args, **kwargs)


class Plain:
    pass


class KeywordOnly:
    def __init__(self, *, a, b=1):
        self.a = a


class New:
    def __new__(cls, a, b=1):
        return super().__new__(cls)


class Decorated:
    @wrapped
    def __init__(self, a, *, b):
        self.a = a


class Hidden:
    @hidden
    def __init__(self, a):
        self.a = a


@dataclass
class Data:
    a: int
    b: list = field(default_factory=list)
    c: int = field(init=False, default=3)


class Named(NamedTuple):
    a: int
    b: int = 1


@pytest.mark.parametrize(
    ("target", "names", "required"),
    [
        (Base, ("a", "b"), ("a",)),
        (Plain, (), ()),
        (object, (), ()),
        (KeywordOnly, ("a", "b"), ("a",)),
        (New, ("a", "b"), ("a",)),
        (Data, ("a", "b"), ("a",)),
        (Named, ("a", "b"), ("a",)),
        (Decorated, ("a", "b"), ("a", "b")),
        (Forwards, ("c", "a", "b"), ("c", "a")),
        (ForwardsByName, ("c", "a", "b"), ("c", "a")),
        (ForwardsAll, ("a", "b"), ("a",)),
        (Mixed, ("m", "a", "b"), ("a",)),
        (functools.partial(Base, a=1), ("a", "b"), ()),
        (lambda a, *, b=1: None, ("a", "b"), ("a",)),
        (nn.ReLU, ("inplace",), ()),
        (
            nn.Linear,
            ("in_features", "out_features", "bias", "device", "dtype"),
            ("in_features", "out_features"),
        ),
    ],
)
def test_the_names_that_a_callable_takes_are_known(target, names, required):
    assert calls.accepted_by(target) == Accepted(names, required, anything=False)


@pytest.mark.parametrize("target", [dict, int, range, torch.tensor, torch.zeros, Hidden, Swallows])
def test_a_callable_that_does_not_say_what_it_takes_takes_anything(target):
    assert calls.accepted_by(target).anything


def accepts(target, **params) -> bool:
    return not list(calls.faults("T", calls.accepted_by(target), params, "f.yml:1"))


@pytest.mark.parametrize(
    ("target", "params"),
    [
        (Forwards, {"a": 1, "c": 2}),
        (Forwards, {"a": 1, "b": 1, "c": 2}),
        (ForwardsOneItself, {"c": 1}),
        (ForwardsOneItself, {"c": 1, "b": 2}),
        (ForwardsByPosition, {"c": 1}),
        (ForwardsByPosition, {"c": 1, "b": 2}),
        (ForwardsAll, {"a": 1}),
        (Keeps, {"c": 1, "z_dim": 3}),
        (Pops, {"a": 1, "q": 2}),
        (HasDefaultFor, {}),
        (HasDefaultFor, {"b": 3}),
        (Swallows, {"c": 1, "z_dim": 3}),
        (Mixed, {"a": 1}),
        (LinearWith, {"in_features": 1, "out_features": 2, "extra": 3, "bias": False}),
        (Hidden, {"a": 1}),
    ],
)
def test_what_python_would_accept_is_accepted(target, params):
    target(**params)

    assert accepts(target, **params)


@pytest.mark.parametrize(
    ("target", "params"),
    [
        (Base, {"a": 1, "d": 1}),
        (Base, {}),
        (Plain, {"a": 1}),
        (Data, {"a": 1, "c": 1}),
        (Forwards, {"c": 1}),
        (Forwards, {"a": 1, "c": 2, "d": 3}),
        (ForwardsByPosition, {"c": 1, "d": 2}),
        (ForwardsAll, {"a": 1, "d": 1}),
        (Mixed, {"a": 1, "d": 1}),
        (LinearWith, {"in_features": 1, "out_features": 2, "biass": False}),
    ],
)
def test_what_python_would_refuse_is_refused(target, params):
    with pytest.raises(TypeError):
        target(**params)

    assert not accepts(target, **params)


def test_a_method_is_followed_through_its_parents():
    class Child(Base):
        def initialize(self, c, **kwargs):
            super().initialize(**kwargs)

    class Grandchild(Child):
        @wrapped
        def initialize(self, d=1, **kwargs):
            super().initialize(**kwargs)

    taken = calls.accepted_by_method(Grandchild, "initialize")

    assert taken == Accepted(("d", "c", "a", "b"), ("c", "a"), anything=False)


def test_a_method_that_hands_its_extra_names_to_something_else_takes_anything():
    class Child(Base):
        def initialize(self, c, **layer_params):
            super().initialize(a=c)
            self.layers = dict(**layer_params)

    assert calls.accepted_by_method(Child, "initialize").anything


def test_an_inherited_method_is_that_of_the_parent():
    class Child(Base):
        pass

    assert calls.accepted_by_method(Child, "initialize") == Accepted(("a", "b"), ("a",), anything=False)


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("self, a, b=1, *, c, d=2", Accepted(("a", "b", "c", "d"), ("a", "c"), anything=False)),
        ("self", Accepted((), (), anything=False)),
        ("self, *a, b", Accepted(("b",), ("b",), anything=False)),
        ("self, **kwargs", None),
        ("self, a, /, b", None),
    ],
)
def test_what_a_class_takes_is_read_from_its_source(signature, expected):
    node = ast.parse(f"class A(B):\n    x = 1\n    def __init__({signature}): ...").body[0]

    assert calls.accepted_by_source(node) == expected


@pytest.mark.parametrize("source", ["class A(B):\n    pass", "@dataclass\nclass A:\n    a: int"])
def test_a_class_whose_source_does_not_say_is_left_to_its_import(source):
    assert calls.accepted_by_source(ast.parse(source).body[0]) is None


def test_the_last_constructor_of_a_class_is_the_one_that_counts():
    source = "class A:\n    def __init__(self, a): ...\n    def __init__(self, b): ...\n"

    assert calls.accepted_by_source(ast.parse(source).body[0]).names == ("b",)


def faults(params: dict, reserved=()) -> list[str]:
    found = list(
        calls.faults("VAETrainer", calls.accepted_by(Base), params, "VAE.yml:3 (model.params)", reserved)
    )
    assert all(isinstance(fault, PluginError) for fault in found)
    return [str(fault) for fault in found]


def test_a_call_that_fits_has_no_faults():
    assert faults({"a": 1}) == []


def test_an_unknown_parameter_names_the_nearest_and_all_known_ones():
    assert faults({"a": 1, "B": 2}) == [
        "VAETrainer takes no parameter 'B'.\n  at: VAE.yml:3 (model.params)\n  did you mean: b\n  known: a, b"
    ]


def test_missing_parameters_are_named_with_those_that_are_given():
    assert faults({}) == [
        "VAETrainer needs the parameter 'a'.\n  at: VAE.yml:3 (model.params)\n  given: none"
    ]


def test_several_missing_parameters_are_one_fault():
    accepted = Accepted(("a", "b"), ("a", "b"), anything=False)

    found = [str(fault) for fault in calls.faults("T", accepted, {"c": 1}, "f.yml:1")]

    assert found[1] == "T needs the parameters 'a', 'b'.\n  at: f.yml:1\n  given: c"


def test_a_reserved_name_is_refused_even_where_anything_goes():
    accepted = Accepted(("datasets",), (), anything=True)

    found = [
        str(fault) for fault in calls.faults("T", accepted, {"datasets": 1, "x": 2}, "f.yml:1", ("datasets",))
    ]

    assert len(found) == 1
    assert found[0].startswith(
        "The parameter 'datasets' of T has a name that JADE uses itself.\n  at: f.yml:1\n"
    )
    assert "self.datasets is there in any case" in found[0]


def test_all_faults_of_a_call_are_found():
    assert len(faults({"x": 1, "y": 2, "device": 3}, reserved=("device",))) == 4


class Own:
    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def method(self, value):
        return value


def raised(function) -> BaseException:
    with pytest.raises(TypeError) as caught:
        function()
    return caught.value


# The folder of this file stands for the folder of a user's code.
HERE = __file__.rpartition("/")[0]


@pytest.mark.parametrize(
    ("call", "explanation"),
    [
        (lambda: DataLoader([1], n_workers=2), "DataLoader takes no parameter 'n_workers'. num_workers"),
        (
            lambda: torch.utils.data.DataLoader([1], shufle=1),
            "DataLoader takes no parameter 'shufle'. shuffle",
        ),
        (lambda: nn.Linear(1, 2, biass=False), "Linear takes no parameter 'biass'. bias"),
        (lambda: Own(learning=1), "Own takes no parameter 'learning'. learning_rate"),
        (lambda: Own(Own(learning=1)), "Own takes no parameter 'learning'. learning_rate"),
        (lambda: [Own(learning=n) for n in range(2)], "Own takes no parameter 'learning'. learning_rate"),
    ],
)
def test_a_mistyped_name_in_a_call_of_the_users_code_is_explained(call, explanation):
    found = calls.explain(raised(call), HERE)

    problem, _, meant = explanation.rpartition(" ")
    assert found == f"{__file__}:{call.__code__.co_firstlineno}: {problem} did you mean: {meant}."


def test_a_name_unlike_all_others_is_explained_without_a_suggestion():
    found = calls.explain(raised(lambda: Own(qqq=1)), HERE)

    assert found.endswith(": Own takes no parameter 'qqq'.")


def test_a_mistyped_name_in_a_call_of_a_method_is_explained():
    own = Own(1)

    found = calls.explain(raised(lambda: own.method(valu=1)), HERE)

    assert found.endswith(": method takes no parameter 'valu'. did you mean: value.")


NOTHING = None


def untrue():
    raise TypeError("got an unexpected keyword argument 'x'")


@pytest.mark.parametrize(
    "call",
    [
        lambda: "a" + 1,
        lambda: Own(),
        lambda: Own(1, 2),
        lambda: nn.Linear("a", 2),
        lambda: Own(**{"learning": 1}),
        lambda: {"own": Own}["own"](learning=1),
        lambda: NOTHING(learning=1),
        untrue,
    ],
)
def test_any_other_type_error_is_left_unexplained(call):
    assert calls.explain(raised(call), HERE) is None


def test_only_the_users_code_is_explained():
    assert calls.explain(raised(lambda: Own(learning=1)), "/somewhere/else") is None


def test_another_exception_is_left_unexplained():
    with pytest.raises(ValueError, match="x") as caught:
        int("x", base=10)

    assert calls.explain(caught.value, HERE) is None
    assert calls.explain(TypeError("never raised"), HERE) is None
