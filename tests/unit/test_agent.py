"""What wandb's own agent writes, macro by macro, and what a trial makes of it."""

import json

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from jade import agent
from jade.errors import ConfigError
from jade.options import parse_options

FILES = ["--model_conf=m.yml", "--data_conf=d.yml", "--eval_conf=e.yml"]
ARCHITECTURE = "--arch_impl=a.py"
PARAMS = {
    "model.params.beta": 1e-05,
    "model.params.z_dim": 64.0,
    "model.params.clip": None,
    "model.params.flag": True,
    "model.params.layers": [256, 64],
    "model.params.mixed": [None, True, "a b"],
    "model.params.text": "a: b",
    "model.params.number_as_text": "1e-3",
    "model.params.empty": "",
    "model.params.dash": "--seed",
    "model.params.equals": "a=b",
    "model.params.prior": {"class": "Normal", "params": {"scale": 1}},
    "model": {"params": {"lr": 0.1}},
    "model.class": "VAE",
    "seed": 7,
    "epochs": 3,
    "deterministic": True,
}
# As wandb's agent knows them; of `${args_no_boolean_flags}` what is false is left out.
MACROS = ["args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_append_hydra",
          "args_override_hydra"]  # fmt: skip


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """The environment of a trial, and its part of the command line by the macro's name."""
    monkeypatch.chdir(tmp_path)

    def of(params, **more):
        command = {key: {"value": value} for key, value in params.items()}
        path = tmp_path / "wandb/sweep-s1/config-r1.yaml"
        save_config_file_from_dict(str(path), command)
        environ = {"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "r1", "WANDB_SWEEP_PARAM_PATH": str(path), **more}
        return environ, create_sweep_command_args({"args": command})

    return of


def complaint(*arguments, **environ):
    with pytest.raises(ConfigError) as caught:
        parse_options([*FILES, ARCHITECTURE, *arguments], environ)
    return str(caught.value)


def test_the_file_of_the_agent_holds_every_param_in_its_type(trial):
    environ, _ = trial(PARAMS)

    found = agent.handed(environ)

    assert found == PARAMS
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in PARAMS.items()
    }


@pytest.mark.parametrize("text", [None, "", "- a", "a: [", "wandb_version: 1\na: 3\n", b"\xff"], ids=repr)
def test_a_file_that_is_none_holds_nothing(tmp_path, text):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert agent.handed({"WANDB_SWEEP_ID": "s", "WANDB_SWEEP_PARAM_PATH": str(path)}) == {}


def test_without_a_sweep_nothing_is_handed(trial):
    environ, _ = trial(PARAMS)

    assert agent.handed({**environ, "WANDB_SWEEP_ID": ""}) == {}


@pytest.mark.parametrize("tracker", ["wandb", "local"])
@pytest.mark.parametrize("macro", MACROS)
def test_every_macro_gives_every_param_in_its_type(trial, macro, tracker):
    environ, macros = trial(PARAMS)

    found = parse_options([*FILES, ARCHITECTURE, *macros[macro], f"--tracker={tracker}"], environ)

    assert found.overrides == PARAMS
    assert repr(found.overrides["model.params.z_dim"]) == "64.0"


@pytest.mark.parametrize("flag", [[], ["--params"]])
@pytest.mark.parametrize("tracker", ["wandb", "local"])
@pytest.mark.parametrize("kind", ["file", "text"])
def test_json_gives_every_param_in_its_type(trial, tmp_path, kind, tracker, flag):
    environ, macros = trial(PARAMS)
    (text,) = macros["args_json"]
    path = tmp_path / "config r1.json"
    path.write_text(text)
    said = str(path) if kind == "file" else text

    found = parse_options([*FILES, ARCHITECTURE, *flag, said, "--tracker", tracker], environ)

    where = said if kind == "file" else "JSON on the command line"
    assert (found.params, found.overrides) == ([(where, PARAMS)], {})


def test_the_agents_own_words_are_told_from_those_of_the_sweep_file(trial):
    environ, macros = trial({"model.params.text": "a: b", "seed": 7})

    found = parse_options(
        [*FILES, ARCHITECTURE, "model.params.other='x'", *macros["args"], "--model.params.third", "1e-3"],
        environ,
    )

    assert found.overrides == {
        "model.params.other": "x",
        "model.params.third": 1e-3,
        "model.params.text": "a: b",
        "seed": 7,
    }


@pytest.mark.parametrize("macro", ["args", "args_no_hyphens", "args_json", None])
def test_a_trial_may_get_its_architecture_file_from_the_sweep_alone(trial, macro):
    environ, macros = trial({"arch_impl": "b.py"})

    found = parse_options([*FILES, *(macros[macro] if macro else [])], environ)

    assert found.top["arch_impl"][0] == "b.py"


def test_a_swept_name_of_an_option_stays_an_option(trial):
    environ, macros = trial({"device": "cpu", "model_conf": "other.yml"})

    found = parse_options([*FILES[1:], ARCHITECTURE, *macros["args"]], environ)

    assert (found.device, str(found.files["model"])) == ("cpu", "other.yml")
    assert found.overrides == {}


# The tracker that asks nobody


@pytest.mark.parametrize(
    ("params", "arguments", "unheard"),
    [
        ({"model.params.beta": 1, "seed": 2}, [], "model.params.beta, seed"),
        ({"model.params.beta": 1, "seed": 2}, ["--model.params.beta=1"], "seed"),
        ({"model.params.beta": 1}, ["--model.params.beta=2"], "model.params.beta"),
        ({"model.params.beta": 1}, ["--epochs=2", "model.params.lr=1"], "model.params.beta"),
        ({"seed": 2}, ["--seed=3"], "seed"),
        ({"model.params.flag": False}, [], "model.params.flag"),
    ],
)
def test_the_local_tracker_hears_of_every_swept_param_or_the_trial_is_refused(
    trial, params, arguments, unheard
):
    environ, _ = trial(params)

    assert complaint("--tracker=local", *arguments, **environ) == (
        "--tracker local does not ask the sweep for its params, and the command line does not have"
        f" {unheard}: every trial would train with the files' values.\n  at: --tracker\n"
        "  Put ${args} into the command of the sweep file, or leave out --tracker local."
    )


def test_the_local_tracker_is_refused_where_nothing_says_what_is_swept():
    assert "does not have any: every trial" in complaint("--tracker=local", WANDB_SWEEP_ID="s")
    parse_options([*FILES, ARCHITECTURE, "--tracker=local", "--model.params.beta=1"], {"WANDB_SWEEP_ID": "s"})


def test_a_run_that_a_person_continues_in_the_environment_of_a_sweep_is_not_refused(trial):
    environ, _ = trial({"seed": 2})

    assert parse_options(["--resume=abc", "--tracker=local"], environ).resume == "abc"


def test_a_trial_cannot_be_given_another_id(trial):
    environ, _ = trial({"seed": 2})

    assert complaint("--run_id=mine", **environ) == (
        "The sweep's run is 'r1', and cannot be called 'mine'.\n  at: --run_id\n"
        "  Leave --run_id out of the command of the sweep file."
    )
    assert parse_options([*FILES, ARCHITECTURE, "--run_id=r1"], environ).run_id == "r1"


# JSON


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,\n "b" 2}', "This is not JSON: Expecting ':' delimiter.\n  at: params.json:2 (column 6)"),
        ("", "This is not JSON: Expecting value.\n  at: params.json:1 (column 1)"),
        ("[1]", "This JSON is no mapping of params to values.\n  at: params.json\n"),
        ('{"a": {"b": 1, "b": 2}}', "The key 'b' stands twice in one mapping.\n  at: params.json"),
        ('{"a":' * 100_000, "This JSON is nested too deeply.\n  at: params.json"),
        (b"\xff", "params.json cannot be read: 'utf-8' codec can't decode"),
        (None, "There is no file params.json.\n  at: command line"),
    ],
    ids=["syntax", "empty", "list", "doubled key", "too deep", "no text", "absent"],
)
@pytest.mark.parametrize("flag", [[], ["--params"]], ids=["bare", "flag"])
def test_json_that_is_no_mapping_of_params_is_told_with_its_place(tmp_path, monkeypatch, text, told, flag):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "params.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    assert told in complaint(*flag, "params.json")


def test_json_on_the_command_line_is_told_as_such():
    assert "at: JSON on the command line:1 (column 2)" in complaint("{model: 1}")


def test_an_override_weighs_more_than_a_file_and_may_name_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.json").write_text(json.dumps({"seed": 1}))

    found = parse_options([*FILES, ARCHITECTURE, "seed=2", "params.json", "model.params.x=some.json"], {})

    assert found.params == [("params.json", {"seed": 1})]
    assert found.overrides == {"seed": 2, "model.params.x": "some.json"}
