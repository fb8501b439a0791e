import json
from dataclasses import replace
from pathlib import Path

import pytest

from jade import config, resume, scalars
from jade.config import Config
from jade.errors import CheckpointError, ConfigError
from jade.options import parse_options
from jade.resume import Earlier

VALUES = {
    "model": {"class": "VAE", "params": {"lr": 0.1, "layers": [8, 4], "name": None}},
    "data": {"train": {"class": "Digits", "params": {}}},
    "eval": {},
    "arch_impl": "a.py",
    "seed": 7,
    "epochs": 3,
    "deterministic": False,
}
FILES = ["--model_conf=m.yml", "--data_conf=d.yml", "--eval_conf=e.yml", "--arch_impl=a.py"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "it's here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def root(folder):
    return folder / "experiments"


@pytest.fixture
def left(root):
    """Write the folder of a run as far as it is read."""

    def write(run_id="abc", values=VALUES, facts=None, status=None):
        run = root / run_id
        (run / "yaml").mkdir(parents=True)
        (run / "config.yml").write_text(scalars.dump(values))
        (run / "yaml/model.yml").write_text("class: VAE\n")
        if facts is not None:
            (run / "environment.json").write_text(json.dumps(facts))
        if status is not None:
            (run / "status.json").write_text(json.dumps(status))
        return run

    return write


def refusal(*arguments):
    with pytest.raises(CheckpointError) as caught:
        resume.located(*arguments)
    return str(caught.value)


# Which run is meant


@pytest.mark.parametrize(
    ("run", "remote"),
    [
        ("me/project/abc", True),
        ("abc", False),
        ("experiments/abc", False),
        ("/experiments/abc", False),
        ("me/project/", False),
        ("me//abc", False),
        ("a/b/c/d", False),
    ],
)
def test_a_path_of_three_names_is_a_run_on_wandb(run, remote):
    assert resume.is_remote(run) is remote


def test_a_folder_of_three_names_is_no_run_on_wandb(folder):
    (folder / "runs/of/mine").mkdir(parents=True)

    assert not resume.is_remote("runs/of/mine")


@pytest.mark.parametrize("form", ["{run}", "experiments/abc", "experiments/abc/", "./experiments/abc", "abc"])
def test_a_run_is_named_by_its_folder_or_its_id(left, root, form):
    run = left()

    assert resume.located(form.format(run=run), root) == run


def test_the_folder_of_a_run_need_not_be_in_the_experiments_root(left, folder):
    run = left()

    assert resume.located("experiments/abc", folder / "elsewhere") == run


def test_the_experiments_root_may_be_relative(left):
    run = left()

    assert resume.located("abc", Path("experiments")) == run


def test_a_folder_in_the_present_one_that_is_no_run_does_not_hide_the_run_of_this_id(left, root, folder):
    run = left()
    (folder / "abc").mkdir()

    assert resume.located("abc", root) == run


def test_an_unknown_run_names_the_nearest_and_those_that_are_there(left, root):
    left("abcdefgh")
    left("zzzz")

    assert refusal("abcdefhg", root) == (
        f"There is no run 'abcdefhg', neither as a folder nor in {root}.\n"
        "  at: --resume\n"
        "  did you mean: abcdefgh\n"
        "  known: abcdefgh, zzzz\n"
        "  On W&B a run is entity/project/id; --experiments-root names another folder."
    )


def test_the_nearest_run_of_a_folder_that_is_not_there_is_named_too(left, root):
    left("abcdefgh")

    assert "did you mean: abcdefgh\n" in refusal("experiments/abcdefg", root)


def test_without_any_run_none_is_suggested(root):
    assert refusal("abc", root) == (
        f"There is no run 'abc', neither as a folder nor in {root}.\n"
        "  at: --resume\n"
        "  On W&B a run is entity/project/id; --experiments-root names another folder."
    )


def test_of_many_runs_the_last_thirty_are_named(left, root):
    for number in range(40):
        left(f"run{number:02}")

    told = refusal("zzz", root)

    assert f"known: {', '.join(f'run{number}' for number in range(10, 40))}\n" in told


def test_a_folder_without_a_configuration_says_that_nothing_was_begun_there(root):
    (root / "abc").mkdir(parents=True)

    assert refusal("abc", root) == (
        f"{root / 'abc'} holds no run that could be continued: there is no config.yml.\n"
        "  at: --resume\n"
        "  It was killed before it began: start it anew, as --run_id ID --resume auto does."
    )


# What its folder says


def test_a_run_is_read_as_it_was_written_down(left):
    run = left(
        facts={"schedule": {"backup_every": "3 epochs", "keep_checkpoints": 2}, "device": "cpu"},
        status={"status": "stopped"},
    )

    earlier = resume.read(run)

    assert earlier.config.values == VALUES
    assert earlier.config.texts == {"model": "class: VAE\n"}
    assert earlier.schedule == {"backup_every": "3 epochs", "keep_checkpoints": "2"}
    assert earlier.facts["device"] == "cpu"
    assert earlier.status == {"status": "stopped"}
    assert (earlier.directory, earlier.code) == (run, run / "code")


def test_a_run_whose_other_files_are_lost_is_read_all_the_same(left):
    earlier = resume.read(left())

    assert (earlier.schedule, earlier.facts, earlier.status) == ({}, {}, {})


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\udcff"], ids=repr)
@pytest.mark.parametrize("name", ["environment.json", "status.json"])
def test_a_damaged_file_beside_the_configuration_counts_as_empty(left, name, text):
    run = left()
    (run / name).write_bytes(text.encode(errors="surrogateescape"))

    earlier = resume.read(run)

    assert (earlier.schedule, earlier.facts, earlier.status) == ({}, {}, {})


@pytest.mark.parametrize("schedule", [None, [], {}])
def test_a_schedule_that_is_none_counts_as_unsaid(left, schedule):
    assert resume.read(left(facts={"schedule": schedule})).schedule == {}


def test_a_configuration_that_is_not_text_is_told(left):
    run = left()
    (run / "config.yml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"config\.yml cannot be read: it is not UTF-8 text"):
        resume.read(run)


def test_a_configuration_without_a_key_is_told_with_its_file(left):
    run = left(values={key: value for key, value in VALUES.items() if key != "seed"})

    with pytest.raises(ConfigError, match="has no seed") as caught:
        resume.read(run)

    assert str(run / "config.yml") in str(caught.value)


# The configuration it goes on with


@pytest.fixture
def earlier(root):
    own = Config(VALUES, {key: "experiments/abc/config.yml" for key in VALUES}, {})
    return Earlier(root / "abc", own, {}, {}, {})


def going_on(earlier, *arguments, composed=None):
    return resume.configuration(earlier, parse_options(["--resume", "abc", *arguments], {}), composed)


def test_a_run_goes_on_with_its_own_configuration(earlier, caplog):
    accepted = going_on(earlier)

    assert accepted == earlier.config
    assert caplog.messages == []


def test_flags_and_overrides_win_over_what_the_run_had(earlier):
    accepted = going_on(earlier, "--epochs", "9", "--seed=8", "--deterministic", "model.params.lr=0.5")

    assert (accepted.values["epochs"], accepted.where("epochs")) == (9, "--epochs (epochs)")
    assert (accepted.values["seed"], accepted.where("seed")) == (8, "--seed (seed)")
    assert accepted.values["deterministic"] is True
    assert accepted.values["model"]["params"] == {"lr": 0.5, "layers": [8, 4], "name": None}
    assert accepted.where("model.params.lr") == "command line (model.params.lr)"


def test_a_default_does_not_win_over_what_the_run_had(earlier):
    accepted = going_on(
        replace(earlier, config=config.override(earlier.config, {"deterministic": True}, "x"))
    )

    assert [accepted.values[key] for key in ("seed", "epochs", "deterministic")] == [7, 3, True]


def test_an_override_of_what_the_run_does_not_have_names_the_nearest(earlier):
    with pytest.raises(ConfigError, match=r"'model\.params\.lrr' is set") as caught:
        going_on(earlier, "model.params.lrr=1")

    assert "at: command line" in str(caught.value)
    assert "did you mean: model.params.lr" in str(caught.value)


@pytest.mark.parametrize(("flag", "told"), [("--epochs=0", "epochs is 0"), ("--seed=-1", "seed is -1")])
def test_a_wrong_flag_is_told_with_its_name(earlier, flag, told):
    with pytest.raises(ConfigError) as caught:
        going_on(earlier, flag)

    assert str(caught.value).startswith(told)
    assert f"at: {flag.partition('=')[0]}" in str(caught.value)


def automatic(earlier, composed, *arguments):
    options = parse_options(["--resume=auto", "--run_id=abc", *FILES, *arguments], {})
    return resume.configuration(earlier, options, composed)


def test_files_that_say_the_same_as_the_run_are_not_mentioned(earlier, caplog):
    assert automatic(earlier, earlier.config) == earlier.config
    assert caplog.messages == []


def test_files_that_differ_from_the_run_are_told_and_not_used(earlier, caplog):
    files = replace(
        earlier.config,
        values={**VALUES, "epochs": 5, "eval": {"Acc": {"class": "Accuracy", "params": {}}}}
        | {"model": {"class": "VAE", "params": {"layers": [8], "lr": 0.1, "name": None}}},
    )

    accepted = automatic(earlier, files)

    assert accepted == earlier.config
    assert caplog.messages == [
        "The run abc goes on with its own configuration, from which the files differ now:\n"
        "  epochs: 3 (now 5)\n"
        "  eval: {} (now absent)\n"
        "  eval.Acc.class: absent (now Accuracy)\n"
        "  eval.Acc.params: absent (now {})\n"
        "  model.params.layers: [8, 4] (now [8])"
    ]


def test_what_the_sweep_chose_is_no_difference(earlier, tmp_path, caplog):
    chosen = tmp_path / "params.yml"
    chosen.write_text("model.params.lr: {value: 0.1}\n")
    environ = {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "abc", "WANDB_SWEEP_PARAM_PATH": str(chosen)}
    files = {
        **VALUES,
        "epochs": 5,
        "model": {"class": "VAE", "params": {**VALUES["model"]["params"], "lr": 9.0}},
    }

    options = parse_options(["--run_id=abc", *FILES], environ)
    resume.configuration(earlier, options, replace(earlier.config, values=files))

    assert caplog.messages[0].splitlines()[1:] == ["  epochs: 3 (now 5)"]


def test_what_a_sweep_sets_is_no_difference_from_the_files(earlier, caplog, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("wandb_version: 1\nmodel.lr:\n  value: 0.1\n")
    environ = {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "abc", "WANDB_SWEEP_PARAM_PATH": str(params)}
    values = {**VALUES, "model": {"class": "VAE", "params": {"layers": [8, 4], "lr": 7.0, "name": None}}}
    files = replace(earlier.config, values=values)

    resume.configuration(earlier, parse_options([*FILES], environ), files)
    trial = list(caplog.messages)
    automatic(earlier, files)

    assert trial == []
    assert "  model.params.lr: 0.1 (now 7.0)" in caplog.messages[0]


def test_null_and_absent_are_two_things(earlier, caplog):
    model = {"class": "VAE", "params": {"lr": 0.1, "layers": [8, 4]}}

    automatic(earlier, replace(earlier.config, values={**VALUES, "model": model}))

    assert "  model.params.name: null (now absent)" in "".join(caplog.messages)


def test_the_architecture_file_of_the_command_line_is_compared_but_not_used(earlier, caplog):
    accepted = automatic(earlier, replace(earlier.config, values={**VALUES, "arch_impl": "b.py"}))

    assert accepted.values["arch_impl"] == "a.py"
    assert "  arch_impl: a.py (now b.py)" in caplog.messages[0]


def test_nan_is_no_difference(earlier, caplog):
    values = {**VALUES, "model": {"class": "VAE", "params": {"x": float("nan")}}}
    own = replace(earlier, config=replace(earlier.config, values=values))

    automatic(own, own.config)

    assert caplog.messages == []


# The code it goes on with


@pytest.fixture
def project(folder, earlier):
    """Write a file into the project and the same into the run's snapshot."""

    def write(name, text="X = 1\n"):
        for home in (folder, earlier.code):
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_code_that_is_as_it_was_is_used_where_it_is(earlier, folder, project, caplog):
    project("modules/models/vae.py")

    assert resume.project_of(earlier, folder, folder / "a.py", "snapshot") == (folder, [])
    assert caplog.messages == []


def test_of_code_that_has_changed_the_snapshot_is_used_and_a_line_says_so(earlier, folder, project, caplog):
    project("modules/models/vae.py")
    project("modules/data/digits.py")
    (folder / "modules/models/vae.py").write_text("X = 2\n")

    home, changed = resume.project_of(earlier, folder, folder / "a.py", "snapshot")

    assert (home, changed) == (earlier.code, ["modules/models/vae.py"])
    assert caplog.messages == [
        "The code has changed since the run was begun (modules/models/vae.py): its own snapshot is used."
        " --code current uses the present code."
    ]


def test_the_present_code_is_used_if_it_is_wanted_and_a_line_says_so(earlier, folder, project, caplog):
    project("modules/models/vae.py")
    (folder / "modules/models/vae.py").unlink()

    home, changed = resume.project_of(earlier, folder, folder / "a.py", "current")

    assert (home, changed) == (folder, ["modules/models/vae.py"])
    assert caplog.messages == [
        "The present code is used, which is not the code the run was begun with: modules/models/vae.py."
    ]


def test_of_many_files_that_have_changed_five_are_named(earlier, folder, project, caplog):
    for number in range(7):
        project(f"modules/{number}.py")
        (folder / f"modules/{number}.py").write_text("X = 2\n")

    _, changed = resume.project_of(earlier, folder, folder / "a.py", "snapshot")

    assert len(changed) == 7
    assert "(modules/0.py, modules/1.py, modules/2.py, modules/3.py, modules/4.py …)" in caplog.messages[0]


# What gives other bits


THEN = {
    "torch_threads": 2,
    "device": "cuda:0",
    "device_name": "NVIDIA H200",
    "cpu_capability": "AVX2",
    "python": "3.11.2",
    "packages": {"torch": "2.6.0", "numpy": "2.1", "torchvision": "0.21", "pillow": "10"},
}


@pytest.mark.parametrize(
    ("now", "differing"),
    [
        ({"torch_threads": 1}, "threads 2 then, 1 now"),
        ({"device": "cpu"}, "device cuda then, cpu now"),
        ({"device_name": "NVIDIA A100"}, "device name NVIDIA H200 then, NVIDIA A100 now"),
        ({"cpu_capability": "AVX512"}, "processor AVX2 then, AVX512 now"),
        ({"python": "3.12.0"}, "Python 3.11.2 then, 3.12.0 now"),
        ({"packages": {**THEN["packages"], "torch": "2.7.0"}}, "torch 2.6.0 then, 2.7.0 now"),
        ({"packages": {**THEN["packages"], "numpy": "2.2"}}, "numpy 2.1 then, 2.2 now"),
        ({"packages": {**THEN["packages"], "torchvision": "0.22"}}, "torchvision 0.21 then, 0.22 now"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_each_condition_that_gives_other_bits_is_named(now, differing):
    assert resume.differing(THEN, {**THEN, **now}) == [differing]


def test_all_conditions_that_differ_are_named():
    now = {**THEN, "torch_threads": 1, "python": "3.12.0"}

    assert resume.differing(THEN, now) == ["threads 2 then, 1 now", "Python 3.11.2 then, 3.12.0 now"]


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"device": "cuda:1"},
        {"packages": {**THEN["packages"], "pillow": "11", "scipy": "1"}},
        {"machine": "another"},
    ],
    ids=["nothing", "another of the same kind", "another package", "another machine"],
)
def test_what_gives_the_same_bits_is_not_named(now):
    assert resume.differing(THEN, {**THEN, **now}) == []


@pytest.mark.parametrize("before", [{}, {"torch_threads": None, "packages": None, "device_name": None}])
def test_what_was_not_recorded_is_not_named(before):
    assert resume.differing(before, THEN) == []


# A run that is complete


@pytest.mark.parametrize(
    ("has_ended", "rest"),
    [
        (False, " --epochs with more than 3 makes it longer."),
        (True, " It was ended by end_training()."),
    ],
)
def test_a_complete_run_says_what_it_did_and_what_makes_it_longer(has_ended, rest):
    state = {"epochs": 3, "iterations": 69, "loop": {"has_ended": has_ended}}

    assert resume.told_complete("abc", state, 3) == (
        f"The run abc is complete: 3 epochs, 69 iterations.{rest}"
    )


# With whose weights it began


def test_a_run_goes_on_with_the_weights_it_has_and_none_of_another_run(earlier):
    begun = replace(earlier, config=config.override(earlier.config, {"init_from": "a:best"}, "x"))

    assert going_on(begun, "--init-from=a:best").values["init_from"] == "a:best"
    with pytest.raises(ConfigError) as caught:
        going_on(begun, "--init-from=b")

    assert str(caught.value) == (
        "init_from is set to b, but the run was begun with a:best, and goes on with its own weights.\n"
        "  at: --init-from (init_from)\n"
        "  A new run begins with other weights: leave out --resume, and give it an id of its own."
    )


@pytest.mark.parametrize("said", ["init_from=a", "--init-partial", "--init-attributes=net"])
def test_a_run_that_began_with_its_own_weights_takes_no_others_later(earlier, said):
    with pytest.raises(ConfigError, match="but the run was begun with null"):
        going_on(earlier, said)
