import math

import pytest
import yaml

from jade import scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("010", 10),
        ("08", 8),
        ("-0", 0),
        ("+1", 1),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.Inf", -math.inf),
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("yes", True),
        ("On", True),
        ("TRUE", True),
        ("no", False),
        ("off", False),
        ("False", False),
    ],
)
def test_a_plain_scalar_gets_the_value_and_the_type_that_a_reader_expects(text, value):
    assert scalars.typed(text) == value
    assert type(scalars.typed(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("12:30", "1:2:3", "2024-01-01", "2024-01-01 12:00:00", "1,000", "1.0.0", "--1", "+", "-", ".", "_"),
        *(
            "e1",
            "1e",
            "0x",
            "0b",
            "0o9",
            "inf",
            "nan",
            "-1024 -256",
            "y",
            "n",
            "tRUE",
            "nil",
            "None",
            "1e5\n",
        ),
        *("\u0663", "\uff11", "null ", "1 2", "-0x1F", "=", "<<", "0b_", "0x_", "0o_"),
    ],
)
def test_what_only_resembles_a_number_or_a_boolean_stays_text(text):
    assert scalars.typed(text) == text


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_yaml_spellings_of_nan_are_nan(text):
    assert math.isnan(scalars.typed(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("3", 3),
        (" 3 ", 3),
        ("'3'", "3"),
        ('"1e-4"', "1e-4"),
        ("[1, 1e-4, '2', yes, null, a b]", [1, 1e-4, "2", True, None, "a b"]),
        ("{a: 010, b: {c: []}}", {"a": 10, "b": {"c": []}}),
        ("- 1\n- 12:30", [1, "12:30"]),
        ("x #y", "x"),
        ("$HOME", "$HOME"),
        ("a=b", "a=b"),
    ],
)
def test_parse_types_every_scalar_of_a_short_text(text, value):
    assert scalars.parse(text) == value


@pytest.mark.parametrize("text", ["[1", "a: b: c", "@x", "*unknown", "'open", "a\n---\nb", "\0"])
def test_parse_refuses_what_is_not_yaml(text):
    with pytest.raises(yaml.YAMLError):
        scalars.parse(text)


@pytest.mark.parametrize("text", ["&a [*a]", "{[1]: 2}", "&a {x: *a}"])
def test_parse_refuses_yaml_that_stands_for_no_value_as_it_refuses_bad_syntax(text):
    with pytest.raises(yaml.YAMLError):
        scalars.parse(text)


def test_a_string_tag_keeps_a_number_text():
    assert scalars.parse("!!str 010") == "010"


def test_the_loader_does_not_change_the_rules_of_yaml_itself():
    assert yaml.safe_load("010") == 8
    assert yaml.safe_load("yes") is True


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a number"),
        (math.nan, "a number"),
        ("1", "text"),
        ([], "a list"),
        ((1,), "a list"),
        ({}, "a mapping"),
        ({1}, "set"),
    ],
)
def test_each_kind_of_value_has_a_word_for_errors(value, word):
    assert scalars.kind_of(value) == word
