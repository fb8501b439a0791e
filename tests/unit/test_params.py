import copy
import math
import random

import pytest

from jade import params
from jade.errors import ConfigError

NESTED = {
    "model": {
        "class": "VAETrainer",
        "params": {
            "z_dim": 64,
            "beta": 0.5,
            "name": "a",
            "sample": True,
            "layers": [256, 64],
            "clip": None,
            "extra": {},
            "prior": {"class": "Normal", "params": {"scale": 1.0}},
        },
    },
    "data": {"train": {"class": "Digits", "params": {"root": "x", "split": "train"}}},
    "eval": {},
    "arch_impl": "arch.py",
    "seed": 42,
    "epochs": 3,
}


@pytest.fixture
def declared():
    return params.flatten(NESTED)


@pytest.fixture
def changed(declared):
    """What `accept` makes of values: the params that differ from the declared ones, type included."""

    def of(given: dict) -> dict:
        accepted = params.accept(declared, given, "sweep")
        return {key: value for key, value in accepted.items() if repr(value) != repr(declared[key])}

    return of


@pytest.fixture
def fault(declared):
    def message(given: dict, where: str = "sweep") -> str:
        with pytest.raises(ConfigError) as caught:
            params.accept(declared, given, where)
        return str(caught.value)

    return message


def random_tree(draw: random.Random, depth: int) -> dict:
    def leaf() -> object:
        return draw.choice([None, True, 0, -3, 0.5, 1e-9, "", "a.b", "1", [], [1, [2]], [{"a.b": 1}], {}])

    names = draw.sample(["a", "b", "params", "class", "0", "a b", "ä", "-", "", "a_b"], draw.randrange(1, 5))
    deeper = {name: depth > 0 and draw.random() < 0.6 for name in names}
    return {name: random_tree(draw, depth - 1) if deeper[name] else leaf() for name in names}


def test_flatten_joins_keys_by_dots_and_takes_lists_null_and_empty_mappings_for_leaves(declared):
    assert declared["model.params.prior.params.scale"] == 1.0
    assert declared["model.params.layers"] == [256, 64]
    assert declared["model.params.clip"] is None
    assert declared["model.params.extra"] == {}
    assert declared["eval"] == {}
    assert "model.params" not in declared


def test_inflate_undoes_flatten_whatever_the_tree():
    draw = random.Random(1)

    for _ in range(500):
        tree = random_tree(draw, 4)
        before = copy.deepcopy(tree)

        assert params.inflate(params.flatten(tree)) == tree
        assert tree == before


def test_flatten_undoes_inflate_and_keeps_the_order_of_keys():
    draw = random.Random(2)

    for _ in range(200):
        flat = params.flatten(random_tree(draw, 4))

        assert list(params.flatten(params.inflate(flat)).items()) == list(flat.items())


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("model.params.beta=0.1", "model.params.beta", 0.1),
        ("--model.params.beta=1e-3", "model.params.beta", 1e-3),
        ("a=", "a", None),
        ("a = 1", "a", 1),
        ("a=b=c", "a", "b=c"),
        ("a=010", "a", 10),
        ("a=12:30", "a", "12:30"),
        ("a=[8, 4]", "a", [8, 4]),
        ("a={x: 1}", "a", {"x": 1}),
        ("a=yes", "a", True),
        ("a='yes'", "a", "yes"),
        ('a="1"', "a", "1"),
        ("a=$HOME", "a", "$HOME"),
        ("a=-1024 -256", "a", "-1024 -256"),
        ("a=/data sets/it's", "a", "/data sets/it's"),
    ],
)
def test_an_override_is_a_key_and_a_value_typed_as_yaml(text, key, value):
    assert params.parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["model.params.beta", "=1", "--=1", "", " =1"])
def test_an_override_without_key_or_value_shows_the_right_form(text):
    with pytest.raises(ConfigError) as caught:
        params.parse_override(text)

    assert str(caught.value) == (
        f"{text!r} is no override.\n  at: command line\n  An override is written model.params.beta=0.1"
    )


@pytest.mark.parametrize("value", ["[1", "@x", "*a", "'open", "a: b: c", "&x [*x]", "{[1]: 2}"])
def test_an_override_that_is_not_yaml_is_told_to_take_quotes(value):
    with pytest.raises(ConfigError) as caught:
        params.parse_override(f"a.b={value}")

    assert str(caught.value) == (
        f"The value {value!r} of the override 'a.b' is not YAML.\n"
        "  at: command line\n"
        "  Text with special characters goes in quotes: a.b='\"…\"'"
    )


@pytest.mark.parametrize("value", ["{x: 1, x: 2}", "{x.y: 1}"])
def test_an_override_obeys_the_rules_for_keys_of_the_files(value):
    with pytest.raises(ConfigError):
        params.parse_override(f"a.b={value}")


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("z_dim", 32, 32),
        ("z_dim", 32.0, 32),
        ("z_dim", 0.5, 0.5),
        ("z_dim", "32", 32),
        ("z_dim", "1e2", 100),
        ("z_dim", None, None),
        ("z_dim", "null", None),
        ("beta", "1e-3", 1e-3),
        ("beta", 1, 1),
        ("beta", math.inf, math.inf),
        ("sample", "false", False),
        ("sample", "no", False),
        ("name", "1", "1"),
        ("name", "true", "true"),
        ("name", "null", "null"),
        ("layers", [8], [8]),
        ("layers", (8, 4), [8, 4]),
        ("layers", "[8, 4]", [8, 4]),
        ("layers", [], []),
        ("clip", "1e-3", 1e-3),
        ("clip", 1, 1),
        ("clip", "text", "text"),
        ("clip", [1], [1]),
        ("clip", {"a": 1}, {"a": 1}),
        ("extra", {"a": 1}, {"a": 1}),
        ("prior.class", "Laplace", "Laplace"),
    ],
)
def test_a_value_of_the_same_kind_is_accepted_in_the_type_of_the_default(changed, key, given, expected):
    accepted = changed({f"model.params.{key}": given})

    assert accepted == {f"model.params.{key}": expected}
    assert type(accepted[f"model.params.{key}"]) is type(expected)


@pytest.mark.parametrize(
    ("key", "given"), [("z_dim", 64.0), ("sample", "true"), ("sample", "yes"), ("beta", "5e-1")]
)
def test_a_default_written_in_another_way_is_no_change(changed, key, given):
    assert changed({f"model.params.{key}": given}) == {}


def test_nan_is_accepted_for_a_number(changed):
    accepted = changed({"model.params.beta": math.nan})

    assert math.isnan(accepted["model.params.beta"])


@pytest.mark.parametrize(
    "given",
    [
        {"model.params.z_dim": 32},
        {"model": {"params": {"z_dim": 32}}},
        {"model": {"params.z_dim": 32}},
        {"model.params": {"z_dim": 32}},
    ],
)
def test_dotted_and_nested_params_are_the_same(changed, given):
    assert changed(given) == {"model.params.z_dim": 32}


def test_what_wandb_adds_for_itself_is_ignored(changed):
    assert changed({"_wandb": {"version": 1}, "seed": 7}) == {"seed": 7}


@pytest.mark.parametrize("given", [{"model.z_dim": 32}, {"model": {"z_dim": 32}}])
def test_the_short_key_of_the_guide_is_read_with_params(changed, declared, given):
    assert changed(given) == {"model.params.z_dim": 32}
    assert params.aliases(declared, given) == {"model.z_dim": "model.params.z_dim"}


@pytest.mark.parametrize("given", [{"model.params.z_dim": 32}, {"model": {"params": {"z_dim": 3}}}, {"z": 1}])
def test_whole_and_unknown_keys_are_no_aliases(declared, given):
    assert params.aliases(declared, {**given, "_wandb": {"z_dim": 1}}) == {}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"model.params.z_dim": 32, "model.z_dim": 16},
            "model.params.z_dim=32 and as model.z_dim=16",
        ),
        (
            {"model": {"params": {"z_dim": 16}}, "model.params.z_dim": 32},
            "model.params.z_dim=16 and as model.params.z_dim=32",
        ),
    ],
)
def test_a_param_that_is_given_two_values_is_an_error(fault, given, shown):
    assert fault(given) == f"model.params.z_dim is set twice, as {shown}.\n  at: sweep"


@pytest.mark.parametrize("other", [{"model": {"params": {"z_dim": 16.0}}}, {"model": {"z_dim": "16"}}])
@pytest.mark.parametrize("dotted", [64, 64.0, 16])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_default_that_a_tracker_hands_back_does_not_hide_a_nested_value(changed, other, dotted, is_first):
    default = {"model.params.z_dim": dotted}

    assert changed({**default, **other} if is_first else {**other, **default}) == {"model.params.z_dim": 16}


def test_accept_changes_neither_what_is_declared_nor_what_is_given(declared):
    given = {"model": {"params": {"layers": "[1]", "z_dim": 2.0}}, "_wandb": {}}
    before = copy.deepcopy((declared, given))

    params.accept(declared, given, "sweep")

    assert (declared, given) == before


def test_a_list_that_was_given_is_not_shared_with_the_giver(declared):
    layers = [1, 2]

    accepted = params.accept(declared, {"model.params.layers": layers}, "sweep")

    assert accepted["model.params.layers"] is not layers


@pytest.mark.parametrize(
    ("key", "given", "found", "expected"),
    [
        ("z_dim", "x", "text", "a number"),
        ("z_dim", "$N", "text", "a number"),
        ("z_dim", "nan", "text", "a number"),
        ("z_dim", "0x_", "text", "a number"),
        ("z_dim", True, "true or false", "a number"),
        ("z_dim", [1], "a list", "a number"),
        ("sample", 1, "a number", "true or false"),
        ("sample", "1", "text", "true or false"),
        ("sample", "[1, ", "text", "true or false"),
        ("name", 1, "a number", "text"),
        ("name", True, "true or false", "text"),
        ("name", [1], "a list", "text"),
        ("layers", 3, "a number", "a list"),
        ("layers", {"a": 1}, "a mapping", "a list"),
        ("extra", 1, "a number", "a mapping"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_shows_the_default(
    fault, declared, key, given, found, expected
):
    text = fault({f"model.params.{key}": given})

    assert text.startswith(
        f"model.params.{key} is set to {given!r}, which is {found}; {expected} is expected,"
        f" as in the file's {declared[f'model.params.{key}']!r}.\n  at: sweep"
    )


@pytest.mark.parametrize("value", ["&a [*a]", "{[1]: 2}"])
def test_text_that_is_yaml_for_no_value_is_text_of_the_wrong_kind(fault, value):
    assert "which is text; a number is expected" in fault({"model.params.z_dim": value})


@pytest.mark.parametrize("given", ["-1024 -256", "1024, 256", "1024 256"])
def test_a_list_given_as_text_shows_how_a_list_is_written(fault, given):
    assert fault({"model.params.layers": given}).endswith("A list is written [1024, 256]")


def test_a_number_for_text_is_told_to_take_quotes(fault):
    assert fault({"model.params.name": 1}, "command line").endswith(
        "Text that looks like something else goes in quotes: model.params.name='\"1\"'"
    )


@pytest.mark.parametrize(
    "key", ["model.params.zdim", "model.zdim", "model.params.Z_dim", "model.params.z-dim"]
)
def test_unknown_sweep_key_suggests_the_nearest_param(fault, key):
    text = fault({key: 1})

    assert text.startswith(f"{key!r} is set, but no configuration file defines it.\n  at: sweep\n")
    assert "did you mean: model.params.z_dim" in text
    assert "known: model.params." in text
    assert "arch_impl" not in text


@pytest.mark.parametrize(
    ("key", "homes"),
    [
        ("z_dim", "model.params.z_dim"),
        ("data.train.root", "data.train.params.root"),
        ("train.params.root", "data.train.params.root"),
        ("model.params.prior.scale", "model.params.prior.params.scale"),
        ("class", "data.train.class or model.class or model.params.prior.class"),
    ],
)
def test_a_right_name_in_the_wrong_group_names_the_groups_that_have_it(fault, key, homes):
    assert f"did you mean: {homes}\n" in fault({key: 1})


@pytest.mark.parametrize(
    ("key", "homes"),
    [("params.root", "data.train.params.root"), ("params.foo", "data.<name>.params.foo")],
)
def test_the_data_key_of_the_guide_is_told_to_say_whose_param_it_is(fault, key, homes):
    assert fault({key: "y"}) == (
        f"{key!r} does not say whose param it is.\n  at: sweep\n  Write the whole key: {homes}"
    )


def test_a_key_of_an_evaluation_is_not_mistaken_for_one_of_the_model(fault):
    text = fault({"eval.X.params.names": 1})

    assert "did you mean: model" not in text


@pytest.mark.parametrize("value", [None, {}, 3])
def test_a_group_takes_no_value_and_names_its_params(fault, value):
    assert fault({"model.params.prior": value}) == (
        "'model.params.prior' is a group of params and takes no value of its own.\n"
        "  at: sweep\n"
        "  Set one of: model.params.prior.class, model.params.prior.params.scale"
    )


@pytest.mark.parametrize("key", ["", ".", "model..z_dim", "model.params.z_dim.x", "model.params.extra.a", 1])
def test_a_strange_key_is_refused(fault, key):
    assert fault({key: 1}).startswith(f"{str(key)!r} is set, but no configuration file defines it.")


@pytest.mark.parametrize("key", ["model.params.clip", "model.params.extra"])
def test_a_mapping_whose_keys_hold_dots_is_refused(fault, key):
    assert key in fault({key: {"a.b": 1}})


def test_all_faults_of_a_sweep_come_together(fault):
    text = fault({"model.params.zdim": 1, "seed": "x", "model.params.layers": 3, "epochs": 2})

    assert text.startswith("3 faults were found.")
    assert "'model.params.zdim' is set" in text
    assert "seed is set to 'x'" in text
    assert "model.params.layers is set to 3" in text
