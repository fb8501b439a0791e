import textwrap
from pathlib import Path

import pytest

from jade import config
from jade.cli import with_origins
from jade.errors import ConfigError, JadeError
from jade.options import is_option, parse_options

FILES = ["--model_conf", "m.yml", "--data_conf", "d.yml", "--eval_conf", "e.yml", "--arch_impl", "a.py"]
FLAGS = [
    "--model_conf",
    "--data_conf",
    "--eval_conf",
    "--arch_impl",
    "--params",
    "--run_name",
    "--run_id",
    "--resume",
    "--code",
    "--trust-code",
    "--experiments-root",
    "--device",
    "--epochs",
    "--seed",
    "--deterministic",
    "--init-from",
    "--init-attributes",
    "--init-partial",
    "--checkpoint-every",
    "--backup-every",
    "--log-loss-every",
    "--keep-checkpoints",
    "--best-metric",
    "--best-mode",
    "--artifacts",
    "--keep-artifacts",
    "--time-limit",
    "--allow-nan",
    "--env-file",
    "--tracker",
    "--check",
    "--print-config",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*arguments, **environ):
    return parse_options([*FILES, *arguments], environ)


def complaint(*arguments, **environ):
    with pytest.raises(ConfigError) as caught:
        options(*arguments, **environ)
    return str(caught.value)


# Flags


def test_the_four_files_are_enough():
    found = options()

    assert found.files == {"model": Path("m.yml"), "data": Path("d.yml"), "eval": Path("e.yml")}
    assert found.top == {
        "arch_impl": ("a.py", "--arch_impl"),
        "seed": (42, "default"),
        "epochs": (100, "default"),
        "deterministic": (False, "default"),
    }
    assert (found.device, found.run_name, found.experiments_root) == (None, None, Path("experiments"))
    assert (found.tracker, found.check, found.print_config, found.overrides) == ("wandb", False, False, {})
    assert found.schedule == {}
    assert (found.resume, found.run_id, found.code) == (None, None, "snapshot")


def test_flags_are_written_with_hyphens_or_underscores_and_with_or_without_equals():
    found = parse_options(
        ["--model-conf=m 1.yml", "--data_conf", "d.yml", "--eval-conf", "e.yml", "--arch_impl=a=b.py"]
        + ["--experiments_root", "runs", "--log_loss_every=5", "--run-name", "my run", "--print_config"],
        {},
    )

    assert found.files["model"] == Path("m 1.yml")
    assert found.top["arch_impl"][0] == "a=b.py"
    assert (found.experiments_root, found.schedule) == (Path("runs"), {"log_loss_every": "5"})
    assert (found.run_name, found.print_config) == ("my run", True)


def test_the_schedule_is_kept_as_it_was_said():
    found = options(
        *["--log-loss-every", "5", "--checkpoint_every=2 epochs", "--backup-every", "Never"],
        *["--keep_checkpoints", "all", "--time-limit", "1h 30m"],
    )

    assert found.schedule == {
        "log_loss_every": "5",
        "checkpoint_every": "2 epochs",
        "backup_every": "Never",
        "keep_checkpoints": "all",
        "time_limit": "1h 30m",
    }


def test_that_a_loss_may_be_no_number_is_said_with_the_schedule():
    assert options("--allow_nan").schedule == {"allow_nan": "true"}
    assert options().schedule == {}


def test_deterministic_is_a_switch_and_its_own_origin():
    assert options("--deterministic").top["deterministic"] == (True, "--deterministic")


def test_values_that_start_with_a_dash_are_values():
    found = options("--run_name", "-x", "--seed", "-1")

    assert (found.run_name, found.top["seed"]) == ("-x", (-1, "--seed"))


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("1e2", 100.0), ("many", "many"), ("010", 10)])
def test_seed_and_epochs_are_typed_as_in_yaml(text, value):
    assert options("--epochs", text).top["epochs"] == (value, "--epochs")


def test_of_a_flag_that_is_given_twice_the_last_one_counts():
    assert options("--epochs", "3", "--epochs", "4").top["epochs"][0] == 4


def test_all_missing_files_are_named_at_once():
    with pytest.raises(ConfigError, match="Not given: --data_conf, --eval_conf, --arch_impl") as caught:
        parse_options(["--model_conf", "m.yml"], {})

    assert "at: command line" in str(caught.value)
    assert "python train.py --model_conf FILE --data_conf FILE" in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "near"),
    [
        ("--epoch", "--epochs"),
        ("--epcohs", "--epochs"),
        ("--model", "--model_conf"),
        ("--model-config", "--model_conf"),
        ("--experiment_root", "--experiments-root"),
        ("--print-conf", "--print-config"),
        ("--resum", "--resume"),
        ("--run-i", "--run_id"),
        ("--deterministc", "--deterministic"),
        ("--keep-checkpoint", "--keep-checkpoints"),
        ("--timelimit", "--time-limit"),
        ("--Seed", "--seed"),
    ],
)
def test_a_flag_that_there_is_not_suggests_the_nearest(flag, near):
    told = complaint(f"{flag}=3")

    assert told.startswith(f"There is no flag {flag}.\n  at: command line\n  did you mean: {near}\n")


def test_a_flag_without_a_neighbour_points_to_the_help():
    told = complaint("--zzz")

    assert "did you mean" not in told
    assert "--help lists the flags" in told


def test_a_flag_at_the_end_without_its_value_is_told():
    assert "--epochs" in complaint("--epochs")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--experiments-root", "--check"],
        ["--run_name", "--print-config"],
        ["--epochs", "--seed", "3"],
        ["--model.params.beta", "--check"],
    ],
    ids=" ".join,
)
def test_a_flag_is_not_taken_for_the_value_of_the_one_before(arguments):
    assert arguments[0].removeprefix("--") in complaint(*arguments)


def test_a_word_that_is_neither_flag_nor_override_is_told():
    told = complaint("beta", "0.1")

    assert "'beta' is neither a flag nor an override." in told
    assert "'0.1' is neither a flag nor an override." in told
    assert "An override is written key=value." in told


def test_an_unknown_tracker_is_told_with_the_known_ones():
    told = complaint("--tracker", "wandbb")

    assert "There is no tracker 'wandbb'.\n  at: --tracker\n  did you mean: wandb\n" in told
    assert "known: local, wandb" in told


@pytest.mark.parametrize("flag", ["--checkpoint-every", "--backup-every", "--log-loss-every"])
@pytest.mark.parametrize("text", ["0", "-3", "often", "5 parsecs", "1.5", ""])
def test_an_interval_that_is_none_is_told_with_its_flag(flag, text):
    assert f"at: {flag}" in complaint(flag, text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "some", ""])
def test_a_number_of_checkpoints_that_is_none_is_told_with_its_flag(text):
    assert f"{text!r} is no number of checkpoints.\n  at: --keep-checkpoints" in complaint(
        "--keep-checkpoints", text
    )


@pytest.mark.parametrize("text", ["0", "-2h", "soon", "2 parsecs", ""])
def test_a_time_limit_that_is_none_is_told_with_its_flag(text):
    assert f"{text!r} is no time.\n  at: --time-limit" in complaint("--time-limit", text)


def test_every_fault_of_a_command_line_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_options(
            ["--epoch", "3", "--tracker", "x", "--backup-every", "0", "--time-limit", "soon", "--code", "old"]
            + ["--resume", "auto", "--model_conf", "m.yml"],
            {},
        )

    told = str(caught.value)
    for part in (
        "no flag --epoch",
        "no tracker 'x'",
        "'0' is not above 0",
        "'soon' is no time",
        "no code 'old'",
        "--resume auto has no run to look for",
        "Not given: --data_conf",
    ):
        assert part in told


def test_a_switch_takes_no_value():
    assert "--check" in complaint("--check=true")


# The run to continue


@pytest.mark.parametrize("run", ["abc", "experiments/abc", "me/project/abc", "/data/runs/abc"])
def test_a_run_to_continue_needs_no_files_for_it_has_its_own(run):
    found = parse_options(["--resume", run], {})

    assert (found.resume, found.run_id, found.code) == (run, None, "snapshot")


def test_a_continued_run_takes_flags_and_overrides():
    found = parse_options(
        ["--resume=abc", "--epochs", "9", "--code", "current", "--backup-every=1", "model.params.lr=0.1"], {}
    )

    assert (found.top["epochs"], found.top["seed"]) == ((9, "--epochs"), (42, "default"))
    assert (found.code, found.schedule) == ("current", {"backup_every": "1"})
    assert found.overrides == {"model.params.lr": 0.1}


@pytest.mark.parametrize(
    ("arguments", "surplus"),
    [
        (["--model_conf", "m.yml"], "--model_conf"),
        (["--eval-conf", "e.yml", "--data-conf", "d.yml"], "--data_conf, --eval_conf"),
        (["--arch_impl", "a.py", "--run_id", "abc"], "--arch_impl, --run_id"),
    ],
    ids=["one", "two", "with an id"],
)
def test_files_and_an_id_beside_a_run_to_continue_are_refused(arguments, surplus):
    with pytest.raises(ConfigError) as caught:
        parse_options(["--resume", "abc", *arguments], {})

    assert str(caught.value) == (
        f"{surplus} cannot be given with --resume RUN: the run has its own.\n"
        "  at: --resume\n"
        "  Values are changed by their dotted keys, as model.params.lr=0.1;"
        " --code current uses the present code."
    )


def test_an_id_in_the_environment_does_not_refuse_a_run_that_is_named():
    assert parse_options(["--resume", "abc"], {"WANDB_RUN_ID": "other"}).resume == "abc"


@pytest.mark.parametrize(
    ("arguments", "environ", "run_id", "given_by"),
    [
        (["--run_id", "mine"], {}, "mine", "--run_id"),
        ([], {"WANDB_RUN_ID": "theirs"}, "theirs", "WANDB_RUN_ID"),
        (["--run-id=mine"], {"WANDB_RUN_ID": "theirs"}, "mine", "--run_id"),
        ([], {"WANDB_RUN_ID": ""}, None, "WANDB_RUN_ID"),
    ],
    ids=["flag", "variable", "both", "empty variable"],
)
def test_the_id_of_a_run_comes_from_the_flag_then_from_the_environment(arguments, environ, run_id, given_by):
    found = options(*arguments, **environ)

    assert (found.run_id, found.run_id_from, found.resume) == (run_id, given_by, None)


@pytest.mark.parametrize(("arguments", "environ"), [(["--run_id=a"], {}), ([], {"WANDB_RUN_ID": "a"})])
def test_auto_needs_the_files_and_an_id(arguments, environ):
    found = options("--resume", "auto", *arguments, **environ)

    assert (found.resume, found.run_id, found.files["model"]) == ("auto", "a", Path("m.yml"))


def test_auto_without_an_id_says_what_gives_one():
    assert complaint("--resume", "auto") == (
        "--resume auto has no run to look for.\n"
        "  at: --resume\n"
        "  --run_id ID, or the variable WANDB_RUN_ID, names it: the same one each time."
    )


def test_auto_without_the_files_names_them():
    with pytest.raises(ConfigError, match="Not given: --model_conf, --data_conf, --eval_conf, --arch_impl"):
        parse_options(["--resume", "auto", "--run_id", "a"], {})


def test_a_trial_that_a_sweep_hands_out_is_continued_if_it_was_begun():
    found = options(WANDB_SWEEP_ID="s", WANDB_RUN_ID="trial")

    assert (found.resume, found.run_id) == ("auto", "trial")


@pytest.mark.parametrize("environ", [{"WANDB_SWEEP_ID": "s"}, {"WANDB_RUN_ID": "trial"}])
def test_a_sweep_without_an_id_and_an_id_without_a_sweep_ask_for_nothing(environ):
    assert options(**environ).resume is None


def test_which_code_to_use_is_one_of_two():
    told = complaint("--code", "snapshto")

    assert "There is no code 'snapshto'.\n  at: --code\n  did you mean: snapshot\n" in told
    assert "known: current, snapshot" in told


# Overrides


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.params.beta=0.1"],
        ["--model.params.beta=0.1"],
        ["--model.params.beta", "0.1"],
        ["model.params.beta=1e-1"],
    ],
    ids=" ".join,
)
def test_an_override_is_written_in_three_ways(arguments):
    assert options(*arguments).overrides == {"model.params.beta": 0.1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[8, 4]", [8, 4]),
        ("null", None),
        ("yes", True),
        ("'yes'", "yes"),
        ("a=b", "a=b"),
        ("-0.5", -0.5),
        ("", None),
    ],
)
def test_the_value_of_an_override_is_typed_as_yaml(text, value):
    assert options(f"model.params.x={text}").overrides == {"model.params.x": value}
    assert options("--model.params.x", text).overrides == {"model.params.x": value}


def test_overrides_and_flags_may_be_mixed():
    found = options("model.params.a=1", "--epochs", "3", "--eval.Acc.params.n", "2", "seed=5", "--check")

    assert found.overrides == {"model.params.a": 1, "eval.Acc.params.n": 2, "seed": 5}
    assert (found.top["epochs"][0], found.check) == (3, True)


def test_an_override_at_the_end_without_its_value_is_told():
    told = complaint("--model.params.beta")

    assert "'--model.params.beta' is no override." in told
    assert "model.params.beta=0.1" in told


@pytest.mark.parametrize("following", ["--model.params.lr=1", "--model.params.lr", "--seed=3"])
def test_an_override_does_not_take_the_next_one_for_its_value(following):
    assert "'--model.params.beta' is no override." in complaint("--model.params.beta", following, "1")


def test_an_override_that_is_not_yaml_is_told():
    assert "The value '[1, 2' of the override 'model.params.x' is not YAML" in complaint(
        "model.params.x=[1, 2"
    )


# Environment


def test_device_and_experiments_root_stand_in_for_absent_flags():
    found = options(DEVICE="cuda:1", EXPERIMENTS_ROOT="/data/runs")

    assert (found.device, found.experiments_root) == ("cuda:1", Path("/data/runs"))


def test_flags_weigh_more_than_the_environment():
    found = options("--device", "cpu", "--experiments-root", "here", DEVICE="cuda", EXPERIMENTS_ROOT="there")

    assert (found.device, found.experiments_root) == ("cpu", Path("here"))


def test_empty_variables_count_as_absent():
    found = options(DEVICE="", EXPERIMENTS_ROOT="")

    assert (found.device, found.experiments_root) == (None, Path("experiments"))


def test_env_of_the_present_folder_is_read_and_the_shell_weighs_more(folder):
    (folder / ".env").write_text("DEVICE=cuda\nEXPERIMENTS_ROOT='my runs'\nWANDB_USER=me\nBARE\n")

    found = options(DEVICE="cpu")

    assert (found.device, found.experiments_root) == ("cpu", Path("my runs"))
    assert found.environ["WANDB_USER"] == "me"
    assert "BARE" not in found.environ


def test_another_env_file_may_be_named(folder):
    (folder / ".env").write_text("DEVICE=cuda\n")
    (folder / "cluster.env").write_text("DEVICE=mps\n")

    assert options("--env-file", "cluster.env").device == "mps"


def test_code_is_trusted_only_where_a_run_goes_on():
    assert "--trust-code is about the code of a run that goes on, and none does." in complaint("--trust-code")
    assert parse_options(["--resume", "a", "--trust-code"], {}).trust_code


def test_a_named_env_file_must_be_there():
    assert "There is no file cluster.env.\n  at: --env-file" in complaint("--env_file", "cluster.env")


def test_an_env_file_that_is_no_text_is_told(folder):
    (folder / ".env").write_bytes(b"A=\xff\xfe")

    assert ".env cannot be read" in complaint()


# Help


def shown_help(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        parse_options(list(arguments), {})
    return caught.value.code, capsys.readouterr().out


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_ends_well_and_needs_no_files(capsys, flag):
    code, text = shown_help(capsys, flag)

    assert code == 0
    assert text.startswith(
        "usage: train.py --model_conf FILE --data_conf FILE --eval_conf FILE --arch_impl FILE"
    )


def test_help_has_every_flag_in_the_spelling_of_the_guide_with_its_default(capsys):
    _, text = shown_help(capsys, "--help")

    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert sorted(listed) == sorted(FLAGS)
    for part in ("default 100)", "default 42)", "default 100 iterations", "default 10 minutes", "never"):
        assert part in text
    assert all(len(line) <= 100 for line in text.splitlines() if line.startswith("  "))


def test_help_shows_how_to_override(capsys):
    _, text = shown_help(capsys, "--help")

    assert "model.params.beta=0.1   --model.params.beta=0.1   --model.params.beta 0.1" in text


# The configuration with origins


@pytest.fixture
def composed(folder):
    def compose(model, overrides=None):
        texts = {"model": model, "data": "train:\n  class: Digits\n", "eval": "Acc:\n  class: Accuracy\n"}
        files = {section: Path(f"{section}.yml") for section in texts}
        for section, path in files.items():
            path.write_text(textwrap.dedent(texts[section]))
        top = {
            "arch_impl": ("a.py", "--arch_impl"),
            "seed": (42, "default"),
            "epochs": (3, "--epochs"),
            "deterministic": (False, "default"),
        }
        return config.compose(files, top, overrides or {}, {})

    return compose


def test_each_value_is_shown_with_its_origin(composed):
    accepted = composed(
        """\
        class: VAE
        params:
          lr: 1e-4
          layers:
            - 8
            - 4
          name: null
        """,
        {"model.params.lr": 0.5},
    )

    assert with_origins(accepted) == (
        "model.class: VAE             # model.yml:1\n"
        "model.params.lr: 0.5         # command line\n"
        "model.params.layers: [8, 4]  # model.yml:4\n"
        "model.params.name: null      # model.yml:7\n"
        "data.train.class: Digits     # data.yml:2\n"
        "data.train.params: {}        # data.yml:1\n"
        "eval.Acc.class: Accuracy     # eval.yml:2\n"
        "eval.Acc.params: {}          # eval.yml:1\n"
        "arch_impl: a.py              # --arch_impl\n"
        "seed: 42                     # default\n"
        "epochs: 3                    # --epochs\n"
        "deterministic: false         # default\n"
    )


@pytest.mark.parametrize(
    "value", ["two\nlines", "x" * 200, " padded ", "", "# no comment", "a: b", "1e-4", "ends\n"], ids=repr
)
def test_each_value_stays_on_one_line_and_is_what_it_was(composed, value):
    accepted = composed("class: VAE\nparams:\n  text: x\n", {"model.params.text": value})

    lines = with_origins(accepted).splitlines()

    (line,) = [line for line in lines if line.startswith("model.params.text: ")]
    assert len(lines) == 10
    written = line.removeprefix("model.params.text: ").rpartition("#")[0].strip()
    assert options(f"model.params.text={written}").overrides == {"model.params.text": value}


def test_a_complaint_is_one_of_jade():
    with pytest.raises(JadeError):
        parse_options(["--help-me"], {})


# With whose weights a run begins


def test_flags_say_with_whose_weights_a_run_begins():
    top = options("--init-from", "a:best", "--init_attributes=encoder, decoder", "--init-partial").top

    assert top["init_from"] == ("a:best", "--init-from")
    assert top["init_attributes"] == (["encoder", "decoder"], "--init-attributes")
    assert top["init_partial"] == (True, "--init-partial")


def test_without_a_flag_nothing_is_said_of_the_weights():
    assert not set(config.INIT) & set(options().top)


@pytest.mark.parametrize("flag", ["--init-from", "--init-attributes"])
def test_a_flag_whose_variable_is_not_set_does_not_train_from_scratch(flag):
    with pytest.raises(ConfigError) as caught:
        options(f"{flag}=")

    assert str(caught.value) == f"It is given no value.\n  at: {flag}"


@pytest.mark.parametrize("name", ["init_from", "init-from", "init_attributes", "init_partial"])
def test_a_sweep_may_set_with_whose_weights_a_run_begins(name):
    assert not is_option(name)
