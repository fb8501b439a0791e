"""A trial as three YAML files and a command: together they give exactly the trial's configuration."""

import json
import random
import shlex
import subprocess
import sys

import pytest

from jade import config, scalars
from jade.commands import sweep
from jade.config import SECTIONS
from jade.errors import ConfigError
from jade.options import parse_options
from jade.params import flatten, inflate
from jade.sweeps.export import exported_of, targets_of
from jade.trials import Trial

MODEL = """\
class: VIB  # the trainer
params: &all
  # how strongly
  beta: 0.5
  lr: 1e-3
  layers:
    - 64
    - 32
  note: "costs $$5"
  workers: ${NUM_WORKERS:-0}
  root: $DATA_ROOT
  flag: yes
  nothing:
"""
DATA = """\
train:
  class: Points
  params: {n: 96, augment: True}   # all of it
test:
  class: Points
"""
EVALUATIONS = """\
Accuracy:
  class: Accuracy
  params:
    evaluate_every: "9 iterations"
    text: 'a $b'
"""
TEXTS = {"model": MODEL, "data": DATA, "eval": EVALUATIONS}
THERE = {"DATA_ROOT": "/there", "NUM_WORKERS": "8"}


@pytest.fixture
def trained(tmp_path):
    """Give the files of a trial that was trained with some overrides, and its configuration."""

    def make(overrides=None, texts=TEXTS, environ=THERE, **top):
        folder = tmp_path / "as written"
        folder.mkdir(exist_ok=True)
        files = {}
        for section, text in texts.items():
            files[section] = folder / f"{section}.yml"
            files[section].write_text(text)
        given = {"arch_impl": "arch.py", "seed": 42, "epochs": 3, "deterministic": False} | top
        first = config.compose(files, {key: (value, "") for key, value in given.items()}, {}, environ)
        was = config.override(first, overrides or {}, "sweep")
        written = {f"yaml/{section}.yml": text for section, text in texts.items()}
        command = ["/venv/python", "/home/me/train.py", "--epochs", "3"]
        written["environment.json"] = json.dumps({"command": command})
        written["config.yml"] = scalars.dump(dict(was.values))
        return written, was

    return make


def again(exported, folder, environ):
    """Give the configuration that the exported files and the printed command describe."""
    targets = targets_of(folder / "winner.yml")
    for section in SECTIONS:
        targets[section].write_text(exported.texts[section])
    words = shlex.split(exported.command(targets))
    assert words[:2] == ["python", "train.py"]
    options = parse_options(words[2:], environ)
    return config.compose(options.files, options.top, options.overrides, options.environ, options.params)


def shown(flat):
    return {key: repr(value) for key, value in flat.items()}


def assert_same(one, other):
    assert shown(one.flat) == shown(other.flat)


def test_only_what_the_sweep_has_changed_is_written_anew(trained, tmp_path):
    files, was = trained({"model.params.beta": 0.125, "data.train.params.n": 7, "seed": 5})

    exported = exported_of(Trial("a", "a", "finished"), files, THERE)

    assert exported.texts["model"] == MODEL.replace("0.5", "0.125")
    assert exported.texts["data"] == DATA.replace("96", "7")
    assert exported.texts["eval"] == EVALUATIONS
    assert exported.warnings == []
    assert_same(again(exported, tmp_path, THERE), was)


VALUES = [
    0, 1, -3, 0.1, 1e-9, 1e22, float("inf"), True, False, None, "", "a b", "a, b", "a: b", "# no", "1e-3", "yes",
    "$HOME", "$$", "${X:-1}", "it's", '"', "two\nlines", "tab\there", "ünï", "12:30", "2020-01-01", "0x1f", "~",
    "- a", "{a}", "[", "*a", "&a", "!x", "%", "@", "`", " led", "trail ", [], [1, 2.5, "x"], [[1], []], {}, {"a": {"b": [1]}},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_files_and_command_give_the_trial_whatever_the_sweep_has_set(trained, tmp_path, seed):
    chance = random.Random(seed)
    files, was = trained({"seed": chance.randint(0, 99)}, deterministic=seed % 2 == 0)
    keys = chance.sample([key for key in was.flat if ".params." in key], 4)
    wanted = was.flat | {key: chance.choice(VALUES) for key in keys}
    files["config.yml"] = scalars.dump(inflate(wanted))

    exported = exported_of(Trial("a", "a", "finished"), files, THERE)

    found = again(exported, tmp_path, THERE)
    assert shown(found.flat) == shown(flatten(inflate(wanted)))


WEIGHTS = {"init_from": "a b:best", "init_attributes": ["net", "head"], "init_partial": True}


@pytest.mark.parametrize("written", ["", "init_from: c  # the first\ninit_partial: no\n", "init_from:\n"])
@pytest.mark.parametrize("given", [{}, WEIGHTS, {"init_from": None}])
def test_with_whose_weights_the_trial_began_is_said_again(trained, tmp_path, written, given):
    files, was = trained(given, {**TEXTS, "model": MODEL + written})

    exported = exported_of(Trial("a", "a", "finished"), files, THERE)

    assert exported.warnings == []
    assert_same(again(exported, tmp_path, THERE), was)


def test_a_variable_that_is_another_here_gives_way_to_the_value_of_the_trial(trained, tmp_path):
    files, was = trained()
    here = {"DATA_ROOT": "/here"}

    exported = exported_of(Trial("a", "a", "finished"), files, here)

    assert exported.texts["model"] == MODEL.replace("$DATA_ROOT", "/there").replace("${NUM_WORKERS:-0}", "8")
    assert exported.warnings == [
        "model.params.workers was 8, which is written in place of ${NUM_WORKERS:-0}: that says another value here.",
        "model.params.root was /there, which is written in place of $DATA_ROOT: that says another value here.",
    ]
    assert_same(again(exported, tmp_path, here), was)


def test_a_variable_that_is_not_set_here_gives_way_and_the_others_stay(trained, tmp_path):
    files, was = trained(environ={"DATA_ROOT": "/there"})

    exported = exported_of(Trial("a", "a", "finished"), files, {})

    assert exported.texts["model"] == MODEL.replace("$DATA_ROOT", "/there")
    assert_same(again(exported, tmp_path, {}), was)


def test_a_file_that_plays_with_aliases_is_written_anew_and_said_to_be(trained, tmp_path):
    texts = TEXTS | {"data": "train: &t\n  class: Points\n  params: {n: 96}  # both\ntest: *t\n"}
    files, was = trained({"data.test.params.n": 5}, texts)

    exported = exported_of(Trial("a", "a", "finished"), files, THERE)

    assert exported.warnings == ["The data file is written anew, without comments: aliases stand in it."]
    assert_same(again(exported, tmp_path, THERE), was)


def test_a_trial_whose_files_are_not_known_is_written_from_its_values(trained, tmp_path):
    files, was = trained({"model.params.beta": 0.125})

    exported = exported_of(Trial("a", "a", "finished"), {"config.yml": files["config.yml"]}, {})

    assert_same(again(exported, tmp_path, {}), was)


def test_a_trial_that_left_no_configuration_is_refused():
    with pytest.raises(ConfigError) as caught:
        exported_of(Trial("a1", "a", "failed"), {}, {})

    assert str(caught.value) == (
        "The trial a1 has left no config.yml.\n  It ended before it began, or its files were not uploaded."
    )


def test_the_command_is_that_of_the_trial(trained, tmp_path):
    files, _ = trained(deterministic=True)
    files["environment.json"] = json.dumps({"command": ["python", "/lib/jade/__main__.py", "train"]})

    exported = exported_of(Trial("a", "a", "finished"), files, THERE)

    assert exported.command(targets_of(tmp_path / "w")) == (
        f"python -m jade train --model_conf={tmp_path}/w/model.yml --data_conf={tmp_path}/w/data.yml"
        f" --eval_conf={tmp_path}/w/eval.yml --arch_impl=arch.py --epochs=3 --seed=42 --deterministic"
    )


@pytest.fixture
def experiments(trained, tmp_path, monkeypatch):
    """A folder of two runs, of which "second" is best; the current folder is beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_ROOT", "/there")
    monkeypatch.setenv("NUM_WORKERS", "8")
    for name, loss, beta in (("first", 2.0, 0.1), ("second", 1.0, 0.2)):
        files, _ = trained({"model.params.beta": beta})
        metrics = {metric: {"last": loss, "best": loss, "best_at": 1} for metric in ("Loss", "Other")}
        files["status.json"] = json.dumps({"status": "finished", "metrics": metrics})
        for path, text in files.items():
            target = tmp_path / "experiments" / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    return tmp_path


def test_the_best_trial_is_written_and_the_command_printed(experiments, capsys):
    code = sweep.run(["export", "experiments", "--best", "--metric", "Loss", "-o", "winner.yml"])

    out = capsys.readouterr().out
    assert code == 0
    assert out == (
        "second\nwinner_model.yml\nwinner_data.yml\nwinner_eval.yml\n\npython train.py --model_conf=winner_model.yml"
        " --data_conf=winner_data.yml --eval_conf=winner_eval.yml --arch_impl=arch.py --epochs=3 --seed=42\n"
    )
    assert "beta: 0.2\n" in (experiments / "winner_model.yml").read_text()


def test_a_trial_is_written_into_a_folder_without_a_metric_to_be_named(experiments, capsys):
    sweep.run(["export", "experiments", "--trial", "first", "-o", "winner"])

    assert sorted(path.name for path in (experiments / "winner").iterdir()) == [
        "data.yml",
        "eval.yml",
        "model.yml",
    ]


def test_files_that_are_there_are_replaced_with_force_only(experiments, capsys):
    (experiments / "w_data.yml").write_text("mine")

    with pytest.raises(ConfigError) as caught:
        sweep.run(["export", "experiments", "--trial", "first", "-o", "w.yml"])
    refused = sorted(path.name for path in experiments.glob("w*"))
    sweep.run(["export", "experiments", "--trial", "first", "-o", "w.yml", "--force"])

    assert str(caught.value) == "w_data.yml is there already.\n  at: -o\n  --force replaces them."
    assert refused == ["w_data.yml"]
    assert (experiments / "w_data.yml").read_text() == DATA


def test_an_unknown_trial_names_the_nearest(experiments):
    with pytest.raises(ConfigError) as caught:
        sweep.run(["export", "experiments", "--trial", "secnd", "-o", "w.yml"])

    assert "experiments has no trial 'secnd'." in str(caught.value)
    assert "did you mean: second" in str(caught.value)


def test_files_that_cannot_be_written_leave_none(experiments):
    (experiments / "there").write_text("a file")

    with pytest.raises(ConfigError) as caught:
        sweep.run(["export", "experiments", "--trial", "first", "-o", "there/w.yml"])

    assert "cannot be written" in str(caught.value)


def test_the_help_says_which_files_are_written():
    done = subprocess.run(
        [sys.executable, "-m", "jade", "sweep", "export", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "winner_model.yml, winner_data.yml and winner_eval.yml" in " ".join(done.stdout.split())
