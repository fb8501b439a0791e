"""Values put into a YAML text: only what changes is written anew."""

import pytest

from jade import scalars
from jade.sweeps import yaml_edit

TEXT = """\
# The model.
class: VIB  # not VAE
params:
  layers:        # from the input on
    - 64
    - 32
  "lr": 1e-3     # small
  beta: ${BETA:-0.5}

  # empty
  warmup:
  note: |
    one
    two
  tags: [a, b]
  nested: {deep: {a: 1, b: two}}
"""
NOW = {
    "class": "VIB",
    "params": {
        "layers": [64, 32],
        "lr": 1e-3,
        "beta": 0.5,
        "warmup": None,
        "note": "one\ntwo\n",
        "tags": ["a", "b"],
        "nested": {"deep": {"a": 1, "b": "two"}},
    },
}


def changed(**params):
    return {**NOW, "params": {**NOW["params"], **params}}


def test_what_does_not_change_stays_as_it_was_written():
    assert yaml_edit.put(TEXT, NOW, NOW) == TEXT


@pytest.mark.parametrize(
    ("params", "old", "new"),
    [
        ({"lr": 0.25}, '"lr": 1e-3 ', '"lr": 0.25 '),
        ({"beta": 1}, "${BETA:-0.5}", "1"),
        ({"layers": [128]}, ":        # from the input on\n    - 64\n    - 32", ": [128]"),
        ({"warmup": 5}, "warmup:\n", "warmup: 5\n"),
        ({"note": "short"}, "|\n    one\n    two\n", "short\n"),
        ({"tags": []}, "[a, b]", "[]"),
        ({"nested": {"deep": {"a": 2, "b": "two"}}}, "a: 1", "a: 2"),
        ({"nested": {"deep": {"a": 1}}}, "{a: 1, b: two}", "{a: 1}"),
        ({"tags": "$HOME"}, "[a, b]", "'$HOME'"),
        ({"lr": "1e-3"}, '"lr": 1e-3 ', "\"lr\": '1e-3' "),
    ],
)
def test_a_value_is_changed_where_it_stands(params, old, new):
    written = yaml_edit.put(TEXT, NOW, changed(**params))

    assert written == TEXT.replace(old, new)
    assert scalars.parse(written.replace("${BETA:-0.5}", "0.5")) == changed(**params)


def test_several_values_are_changed_at_once():
    wanted = {**changed(lr=0.5, beta=2.0, tags=["c"]), "class": "VAE"}

    written = yaml_edit.put(TEXT, NOW, wanted)

    assert "class: VAE  # not VAE" in written
    assert scalars.parse(written) == wanted


def test_whole_and_broken_numbers_and_booleans_are_told_apart():
    assert yaml_edit.put("a: 1\n", {"a": 1}, {"a": 1.0}) == "a: 1.0\n"
    assert yaml_edit.put("a: 1\n", {"a": 1}, {"a": True}) == "a: true\n"


def test_no_params_are_left_as_they_are_written():
    assert yaml_edit.put("params:\n", {"params": None}, {"params": {}}) == "params:\n"
