import math
from pathlib import Path

import pytest

from jade import config, scalars
from jade.errors import ConfigError

MODEL = "class: VAETrainer\nparams:\n  z_dim: 64\n  beta: 0.5\n"
DATA = "train:\n  class: Digits\n  params:\n    split: train\ntest:\n  class: Digits\n"
EVAL = "Accuracy:\n  class: AccuracyEvaluation\n"
TOP = {
    "arch_impl": ("arch.py", "--arch_impl"),
    "seed": (42, "default"),
    "epochs": (3, "--epochs"),
    "deterministic": (False, "default"),
}


def recorded_as(text, path, texts):
    """Return the configuration of a run whose `config.yml` says `text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return config.recorded(path, texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "it's [my] folder"
    path.mkdir()
    return path


@pytest.fixture
def compose(folder: Path):
    def composed(model=MODEL, data=DATA, evaluations=EVAL, top=None, overrides=None, **others):
        files = {name: folder / f"{name}.yml" for name in config.SECTIONS}
        for name, text in zip(config.SECTIONS, (model, data, evaluations), strict=True):
            files[name].write_text(text)
        return config.compose(files, {**TOP, **(top or {})}, overrides or {}, **{"environ": {}, **others})

    return composed


@pytest.fixture
def fault(compose):
    def message(*arguments, **keywords) -> str:
        with pytest.raises(ConfigError) as caught:
            compose(*arguments, **keywords)
        return str(caught.value)

    return message


def test_three_files_and_the_flags_become_one_configuration(compose, folder):
    composed = compose()

    assert composed.values == {
        "model": {"class": "VAETrainer", "params": {"z_dim": 64, "beta": 0.5}},
        "data": {
            "train": {"class": "Digits", "params": {"split": "train"}},
            "test": {"class": "Digits", "params": {}},
        },
        "eval": {"Accuracy": {"class": "AccuracyEvaluation", "params": {}}},
        "arch_impl": "arch.py",
        "seed": 42,
        "epochs": 3,
        "deterministic": False,
    }
    assert composed.texts["model"] == (folder / "model.yml").read_text()


def test_the_flat_form_has_a_dotted_key_for_every_leaf(compose):
    flat = compose().flat

    assert flat["model.params.z_dim"] == 64
    assert flat["data.test.params"] == {}
    assert flat["epochs"] == 3


def test_every_leaf_has_a_place(compose, folder):
    composed = compose()

    assert composed.where("model.params.z_dim") == f"{folder / 'model.yml'}:3 (model.params.z_dim)"
    assert composed.where("data.test.class") == f"{folder / 'data.yml'}:6 (data.test.class)"
    assert composed.where("epochs") == "--epochs (epochs)"
    assert composed.where("seed") == "default (seed)"
    assert all(composed.where(key).endswith(f" ({key})") for key in composed.flat)


def test_what_is_written_nowhere_is_placed_at_the_nearest_group_above(compose, folder):
    composed = compose()

    assert composed.where("data.test.params.split") == f"{folder / 'data.yml'}:5 (data.test.params.split)"
    assert composed.where("eval") == f"{folder / 'eval.yml'}:1 (eval)"
    assert composed.where("unheard.of") == "unheard.of"


@pytest.mark.parametrize("params", ["", "params:\n", "params: null\n", "params: {}\n"])
def test_params_may_be_absent_null_or_empty(compose, params):
    assert compose(model=f"class: T\n{params}").values["model"] == {"class": "T", "params": {}}


@pytest.mark.parametrize("section", ["data", "evaluations"])
def test_there_may_be_no_datasets_and_no_evaluations(compose, section):
    composed = compose(**{section: "{}"})

    assert composed.values["data" if section == "data" else "eval"] == {}


def test_variables_come_from_the_environment_that_is_handed_over(compose, fault):
    model = "class: T\nparams: {n: $SOME_N}\n"

    assert compose(model, environ={"SOME_N": "3"}).values["model"]["params"] == {"n": 3}
    assert "The environment variable SOME_N is not set." in fault(model, environ={})


@pytest.mark.parametrize(
    ("params", "kind"),
    [("3", "a number"), ("[]", "a list"), ('""', "text"), ("false", "true or false"), ("\n- a: 1", "a list")],
)
def test_params_that_are_no_mapping_are_refused(fault, folder, params, kind):
    assert fault(f"class: T\nparams: {params}") == (
        f"params is {kind}; a mapping of names to values is expected.\n"
        f"  at: {folder / 'model.yml'}:2 (model.params)"
    )


@pytest.mark.parametrize("written", ["3", "", "[T]", "{a: 1}", "on", '""'])
def test_a_class_that_is_no_name_is_refused(fault, folder, written):
    text = fault(f"params: {{}}\nclass: {written}\n")

    assert "is no name of a class." in text
    assert f"at: {folder / 'model.yml'}:2 (model.class)" in text


@pytest.mark.parametrize(
    ("key", "meant"), [("param", "params"), ("parameters", "params"), ("klass", "class")]
)
def test_an_unknown_key_of_a_description_names_the_right_one(fault, folder, key, meant):
    text = fault(data=f"train:\n  class: D\n  {key}: X\n")

    assert text == (
        f"A description has no key {key!r}.\n"
        f"  at: {folder / 'data.yml'}:3 (data.train.{key})\n"
        f"  did you mean: {meant}\n"
        "  known: class, params\n"
        f"  If {key!r} is a parameter of the class, it belongs under params."
    )


def test_params_beside_the_class_are_told_where_they_belong(fault, folder):
    text = fault("class: T\nz_dim: 3\nlr: 0.1\n")

    assert text.startswith("2 faults were found.")
    assert f"A description has no key 'z_dim'.\n  at: {folder / 'model.yml'}:2 (model.z_dim)" in text
    assert "If 'lr' is a parameter of the class, it belongs under params." in text


@pytest.mark.parametrize(
    ("text", "kind"),
    [("train: D", "text"), ("train:", "null"), ("train:\n- class: D", "a list"), ("train: 3", "a number")],
)
def test_a_dataset_that_is_no_description_shows_one(fault, folder, text, kind):
    message = fault(data=text)

    assert message.startswith(
        f"data.train is {kind}; a description is expected.\n  at: {folder / 'data.yml'}:1 (data.train)"
    )
    assert "class: NameOfTheClass\n    params:\n      name: value" in message


@pytest.mark.parametrize("text", ["train: {}", "train:\n  params: {}"])
def test_a_description_without_a_class_is_refused(fault, folder, text):
    assert fault(data=text).startswith(f"There is no class.\n  at: {folder / 'data.yml'}:1 (data.train)")


@pytest.mark.parametrize("swapped", [DATA, EVAL])
def test_a_data_file_given_as_model_file_is_recognized(fault, folder, swapped):
    text = fault(model=swapped)

    assert f"at: {folder / 'model.yml'}:1" in text
    assert "given to --model_conf by mistake?" in text


@pytest.mark.parametrize(("argument", "flag"), [("data", "--data_conf"), ("evaluations", "--eval_conf")])
def test_a_model_file_given_as_data_or_evaluation_file_is_recognized(fault, argument, flag):
    assert f"Is it a model file, given to {flag} by mistake?" in fault(**{argument: MODEL})


def test_an_empty_mapping_as_model_file_has_no_class(fault):
    text = fault(model="{}")

    assert "There is no class." in text
    assert "dictionary of descriptions" not in text


def test_a_sentence_about_an_evaluation_file_reads_well(fault):
    assert fault(evaluations=MODEL).startswith("An eval")


def test_the_faults_of_all_files_come_together(fault, folder):
    text = fault(model="", data="train: 3\ntest:\n  clas: D\n", evaluations="E: {class: A, params: {a: $NO}}")

    assert f"{folder / 'model.yml'} is empty." in text
    assert "data.train is a number" in text
    assert "A description has no key 'clas'." in text
    assert "The environment variable NO is not set." in text


@pytest.mark.parametrize(
    ("key", "value", "bounds"),
    [
        ("seed", -1, "from 0 to 4294967295"),
        ("seed", 2**32, "from 0 to 4294967295"),
        ("seed", True, "from 0 to 4294967295"),
        ("seed", 1.5, "from 0 to 4294967295"),
        ("seed", "x", "from 0 to 4294967295"),
        ("seed", None, "from 0 to 4294967295"),
        ("epochs", 0, "of at least 1"),
        ("epochs", -1, "of at least 1"),
        ("epochs", 2.5, "of at least 1"),
        ("epochs", math.nan, "of at least 1"),
        ("epochs", False, "of at least 1"),
    ],
)
def test_seed_and_epochs_must_be_whole_and_within_bounds(fault, key, value, bounds):
    text = fault(top={key: (value, f"--{key}")})

    assert text.startswith(f"{key} is {value!r}; it takes a whole number {bounds}.\n  at: --{key}")


def test_the_largest_seed_and_a_single_epoch_are_allowed(compose):
    composed = compose(top={"seed": (2**32 - 1, "--seed"), "epochs": (1, "--epochs")})

    assert (composed.values["seed"], composed.values["epochs"]) == (2**32 - 1, 1)


def test_wrong_seed_and_wrong_epochs_come_together(fault):
    assert fault(top={"seed": (-1, "--seed"), "epochs": (0, "--epochs")}).startswith("2 faults were found.")


@pytest.mark.parametrize("value", [1, 0, None, "often", 1.0])
def test_deterministic_is_true_or_false_and_nothing_like_it(fault, value):
    text = fault(top={"deterministic": (value, "--deterministic")})

    assert text == (
        f"deterministic is {value!r}; it takes true or false.\n  at: --deterministic (deterministic)"
    )


@pytest.mark.parametrize("given", [True, "true", "yes"])
def test_deterministic_can_be_set_by_its_key(compose, given):
    composed = compose(overrides={"deterministic": given})

    assert composed.values["deterministic"] is True
    assert composed.where("deterministic") == "command line (deterministic)"


def test_a_wrong_seed_and_a_wrong_deterministic_come_together(fault):
    text = fault(top={"seed": (-1, "--seed"), "deterministic": ("maybe", "--deterministic")})

    assert text.startswith("2 faults were found.")


def test_an_override_wins_over_the_file_and_becomes_the_origin(compose, folder):
    composed = compose(overrides={"model.params.beta": 0.1, "epochs": 5})

    assert composed.values["model"]["params"] == {"z_dim": 64, "beta": 0.1}
    assert composed.where("model.params.beta") == "command line (model.params.beta)"
    assert composed.where("epochs") == "command line (epochs)"
    assert composed.where("model.params.z_dim").startswith(str(folder))


def test_values_of_a_file_win_over_the_configuration_and_overrides_over_them(compose):
    given = [
        ("a.json", {"model": {"params": {"z_dim": 8, "beta": 1}}}),
        ("b.json", {"model.z_dim": 4, "seed": 3}),
    ]

    composed = compose(given=given, overrides={"seed": 5})

    assert composed.values["model"]["params"] == {"z_dim": 4, "beta": 1}
    assert composed.values["seed"] == 5
    assert composed.where("model.params.beta") == "a.json (model.params.beta)"
    assert composed.where("model.params.z_dim") == "b.json (model.params.z_dim)"
    assert composed.where("seed") == "command line (seed)"


def test_faults_of_files_and_of_the_command_line_come_together_each_with_its_place(fault):
    text = fault(given=[("a.json", {"model.params.zdim": 8})], overrides={"sed": 5})

    assert "'model.params.zdim' is set, but no configuration file defines it.\n  at: a.json\n" in text
    assert "'sed' is set, but no configuration file defines it.\n  at: command line\n" in text


def test_a_sweep_wins_over_the_command_line(compose):
    composed = compose(overrides={"model.params.beta": 0.1})

    swept = config.override(composed, {"model": {"params": {"beta": 0.2}}}, "sweep")

    assert swept.values["model"]["params"]["beta"] == 0.2
    assert swept.where("model.params.beta") == "sweep (model.params.beta)"


@pytest.mark.parametrize("given", [{"model.params.z_dim": 64.0}, {"seed": 42}, {"model.params.beta": "0.5"}])
def test_a_sweep_that_sets_what_the_file_says_changes_no_origin(compose, given):
    composed = compose()

    swept = config.override(composed, given, "sweep")

    assert swept == composed


@pytest.mark.parametrize("again", [{"model.z_dim": 8}, {"model.z_dim": 32}])
def test_a_short_key_is_read_as_the_whole_one_with_one_warning_however_often_it_comes(compose, caplog, again):
    composed = compose(overrides={"model.z_dim": 8})

    overridden = config.override(composed, again, "sweep")

    assert overridden.flat["model.params.z_dim"] == again["model.z_dim"]
    assert caplog.messages == ["command line: model.z_dim is read as model.params.z_dim."]


def test_nan_in_a_file_that_no_one_overrides_keeps_its_origin(compose):
    composed = compose(model="class: T\nparams:\n  x: .nan\n")

    swept = config.override(composed, dict(composed.flat), "sweep")

    assert swept.origins == composed.origins


def test_override_leaves_the_configuration_it_was_given_as_it_was(compose):
    composed, again = compose(), compose()

    config.override(composed, {"model.params.z_dim": 1, "data.test.params": {"split": "x"}}, "sweep")

    assert composed == again


@pytest.mark.parametrize("given", [{"seed": -1}, {"seed": None}, {"epochs": 0}, {"epochs": math.inf}])
def test_a_sweep_is_held_to_the_bounds_of_seed_and_epochs(compose, given):
    composed = compose()

    with pytest.raises(ConfigError, match=r"(?s)it takes a whole number.*at: sweep"):
        config.override(composed, given, "sweep")


def test_an_override_of_an_unknown_key_names_the_command_line_and_the_nearest(fault):
    text = fault(overrides={"model.params.zdim": 1})

    assert text.startswith(
        "'model.params.zdim' is set, but no configuration file defines it.\n  at: command line"
    )
    assert "did you mean: model.params.z_dim" in text


@pytest.mark.parametrize("key", ["model.class", "arch_impl", "data.train.class"])
def test_an_override_cannot_take_away_a_class_or_the_architecture(fault, key):
    assert key in fault(overrides={key: None})


# What a run wrote down


@pytest.fixture
def written(compose, folder):
    """The configuration that a run used, and the text of the `config.yml` that it left."""
    composed = compose()
    return composed, scalars.dump(dict(composed.values)), folder / "config.yml"


def test_the_configuration_that_a_run_wrote_down_is_read_as_it_was(written):
    composed, text, path = written

    recorded = recorded_as(text, path, composed.texts)

    assert recorded.values == composed.values
    assert recorded.texts == composed.texts
    assert list(recorded.flat) == list(composed.flat)


@pytest.mark.parametrize(
    "value",
    [
        "1e-4",
        "yes",
        "two\nlines",
        "two\n$LINES",
        "",
        "~",
        "$HOME",
        "#",
        "007",
        "a: b",
        " x ",
        "é\t",
        "\u2028",
    ],
    ids=repr,
)
def test_no_text_becomes_something_else_by_being_written_down(compose, folder, value):
    used = compose("class: T\nparams:\n  x: text\n", overrides={"model.params.x": value})

    recorded = recorded_as(scalars.dump(dict(used.values)), folder / "config.yml", {})

    assert used.values["model"]["params"]["x"] == value
    assert recorded.values == used.values


@pytest.mark.parametrize(
    "value", [1e-4, 1e100, 0.1 + 0.2, math.inf, -0.0, 2**70, True, None, [1, [2.0]], [], {}]
)
def test_no_other_value_becomes_something_else_by_being_written_down(compose, folder, value):
    used = compose("class: T\nparams:\n  x: null\n", overrides={"model.params.x": value})

    recorded = recorded_as(scalars.dump(dict(used.values)), folder / "config.yml", {})

    assert repr(recorded.values["model"]["params"]["x"]) == repr(value)


def test_what_was_written_down_is_placed_in_that_file(written):
    composed, text, path = written

    recorded = recorded_as(text, path, composed.texts)

    lines = text.splitlines()
    beta = 1 + next(number for number, line in enumerate(lines) if "beta:" in line)
    assert recorded.where("model.params.beta") == f"{path}:{beta} (model.params.beta)"
    assert recorded.where("epochs") == f"{path}:{1 + lines.index('epochs: 3')} (epochs)"


def test_what_was_written_down_is_overridden_as_any_configuration(written):
    composed, text, path = written
    recorded = recorded_as(text, path, composed.texts)

    longer = config.override(recorded, {"epochs": 9}, "--epochs")

    assert (longer.values["epochs"], longer.where("epochs")) == (9, "--epochs (epochs)")
    with pytest.raises(ConfigError, match="did you mean: model.params.beta"):
        config.override(recorded, {"model.params.betta": 0.1}, "command line")


@pytest.mark.parametrize("key", ["model", "data", "eval", "arch_impl", "seed", "epochs", "deterministic"])
def test_a_record_without_one_of_its_keys_names_it(written, key):
    composed, _, path = written
    values = {name: value for name, value in composed.values.items() if name != key}

    with pytest.raises(ConfigError) as caught:
        recorded_as(scalars.dump(values), path, {})

    assert str(caught.value) == f"{path} has no {key}.\n  at: {path}"


@pytest.mark.parametrize("text", ["", "3", "- model", "null"])
def test_a_record_that_is_no_mapping_is_refused_with_its_file(folder, text):
    path = folder / "config.yml"

    with pytest.raises(ConfigError) as caught:
        recorded_as(text, path, {})

    assert str(caught.value).startswith(f"{path} ")


def test_a_record_that_is_not_yaml_names_the_file(folder):
    path = folder / "config.yml"

    with pytest.raises(ConfigError) as caught:
        recorded_as("model: [", path, {})

    assert str(caught.value).startswith(f"{path} is not YAML: ")


def test_a_record_is_held_to_the_bounds_of_seed_and_epochs(written):
    _, text, path = written

    with pytest.raises(ConfigError, match=r"(?s)epochs is 0; it takes a whole number.*config\.yml"):
        recorded_as(text.replace("epochs: 3", "epochs: 0"), path, {})


# With whose weights a run begins

INIT = "init_from: a:best\ninit_attributes: [encoder]\ninit_partial: yes\n"


def test_the_model_file_says_with_whose_weights_a_run_begins(compose, folder):
    composed = compose(MODEL + INIT)

    assert composed.values["model"] == {"class": "VAETrainer", "params": {"z_dim": 64, "beta": 0.5}}
    assert {key: composed.values[key] for key in config.INIT} == {
        "init_from": "a:best",
        "init_attributes": ["encoder"],
        "init_partial": True,
    }
    assert composed.where("init_from") == f"{folder / 'model.yml'}:5 (init_from)"


@pytest.mark.parametrize(
    "text", ["", "init_from:\n", "init_from: ''\ninit_attributes: null\ninit_partial: no\n"]
)
def test_what_says_nothing_about_the_weights_is_in_no_configuration(compose, text):
    composed = compose(MODEL + text)

    assert not set(config.INIT) & {*composed.values, *composed.flat}
    assert set(config.INIT) <= set(composed.declared)


def test_flags_and_a_sweep_weigh_more_than_the_model_file(compose):
    composed = compose(MODEL + INIT, top={"init_from": ("b", "--init-from")})

    swept = config.override(composed, {**composed.flat, "init_from": "c:1200"}, "sweep")
    without = config.override(composed, {"init_from": None, "init_partial": False}, "sweep")

    assert composed.where("init_from") == "--init-from (init_from)"
    assert (swept.values["init_from"], swept.where("init_from")) == ("c:1200", "sweep (init_from)")
    assert "init_from" not in without.values
    assert without.where("init_from") == "sweep (init_from)"
    assert without.values["init_attributes"] == ["encoder"]


def test_a_sweep_may_say_what_no_file_says(compose):
    swept = config.override(compose(), {"init_from": "12345678", "init_attributes": ["net"]}, "sweep")

    assert (swept.values["init_from"], swept.values["init_attributes"]) == ("12345678", ["net"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("init_from: 12345678\n", "init_from is 12345678; the name of a run is expected."),
        ("init_from: [a]\n", "init_from is ['a']; the name of a run is expected."),
        (
            "init_attributes: encoder, decoder\n",
            "init_attributes: [encoder, decoder]; left out, every network",
        ),
        ("init_attributes: []\n", "init_attributes is []; a list of names is expected."),
        ("init_attributes: [1]\n", "init_attributes is [1]; a list of names is expected."),
        ("init_partial: 1\n", "init_partial is 1; it takes true or false."),
        ("init_form: a\n", "did you mean: init_from"),
    ],
)
def test_what_cannot_be_meant_about_the_weights_is_refused_with_its_line(fault, folder, text, part):
    told = fault(MODEL + text)

    assert part in told
    assert f"at: {folder / 'model.yml'}:5" in told


def test_a_recorded_configuration_that_says_nothing_about_weights_has_said_so(compose, folder):
    path = folder / "recorded/config.yml"

    before = recorded_as(scalars.dump(dict(compose().values)), path, {})
    after = recorded_as(scalars.dump(dict(compose(MODEL + INIT).values)), path, {})

    assert "init_from" not in before.values
    assert before.where("init_from") == f"{path} (init_from)"
    assert after.values["init_from"] == "a:best"
