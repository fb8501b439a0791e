import json

import pytest

from jade import sweep_command

PARAMS = {"lr": 0.1, "flag": True, "off": False, "layers": [1, 2]}


@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ("env", ["/usr/bin/env"]),
        ("interpreter", ["python"]),
        ("program", ["x.py"]),
        ("args", ["--lr=0.1", "--flag=True", "--off=False", "--layers=[1, 2]"]),
        ("args_no_hyphens", ["lr=0.1", "flag=True", "off=False", "layers=[1, 2]"]),
        ("args_no_equals", ["--lr", "0.1", "--flag", "True", "--off", "False", "--layers", "[1, 2]"]),
        ("args_no_boolean_flags", ["--lr=0.1", "--flag", "--layers=[1, 2]"]),
        ("args_json", [json.dumps(PARAMS)]),
        ("args_json_file", ["p.json"]),
        ("args_append_hydra", ["+lr=0.1", "+flag=True", "+off=False", "+layers=[1, 2]"]),
        ("args_override_hydra", ["++lr=0.1", "++flag=True", "++off=False", "++layers=[1, 2]"]),
        ("envvar:HERE", ["there"]),
        ("envvar:NOWHERE", ["NOWHERE"]),
    ],
)
def test_a_macro_becomes_what_the_agent_makes_of_it(macro, words):
    filled = sweep_command.filled([f"${{{macro}}}", "--x"], "x.py", PARAMS, "p.json", {"HERE": "there"})

    assert filled == [*words, "--x"]


def test_the_words_are_those_of_the_installed_agent():
    from wandb.sdk.launch.sweeps import utils
    from wandb.wandb_agent import Agent

    made = utils.create_sweep_command_args({"args": {name: {"value": v} for name, v in PARAMS.items()}})

    assert list(sweep_command.DEFAULT) == Agent.DEFAULT_SWEEP_COMMAND
    for name, words in made.items():
        if name != "args_dict":
            assert sweep_command.filled([f"${{{name}}}"], "", PARAMS, "", {}) == words
    assert set(made) - {"args_dict"} == set(sweep_command.ARGS_MACROS) - {"args_json_file"}
