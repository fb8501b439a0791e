"""By what a command finds the sweep again that it made; the command that trains a trial again; ties of processes."""

import json
import shlex
import signal
import subprocess
import sys

import yaml

from jade import sweep_file
from jade.sweeps import kept
from jade.sweeps.ending import command
from tests.conftest import REPOSITORY

CONTENT = {"method": "grid", "parameters": {"lr": {"values": [1, 2]}}}


def test_the_number_of_trials_makes_no_other_sweep_but_everything_else_does():
    own = kept.digest_of(CONTENT, "p")

    assert kept.digest_of(CONTENT | {"run_cap": 3}, "p") == own
    others = [
        kept.digest_of(CONTENT | {"method": "random"}, "p"),
        kept.digest_of(CONTENT, "q"),
        kept.digest_of({"method": "grid", "parameters": {"lr": {"values": [2, 1]}}}, "p"),
    ]
    assert len({own, *others}) == 4


def test_sweeps_are_found_newest_first_and_other_files_are_passed_over(tmp_path):
    first = kept.note(tmp_path, "e/p/one", "local", tmp_path / "a.yml", "digest")
    second = kept.note(tmp_path, "e/p/two", "local", tmp_path / "a.yml", "digest")
    broken = tmp_path / "sweeps" / "three"
    broken.mkdir()
    (broken / "sweep.json").write_text("[]")

    assert kept.all_of(tmp_path) == sorted((first, second), key=lambda one: one.made, reverse=True)
    assert kept.all_of(tmp_path / "nowhere") == []


def test_the_runs_that_agents_were_given_are_known_by_their_files_of_params(tmp_path):
    given = tmp_path / "wandb" / "sweep-s"
    given.mkdir(parents=True)
    for name in ("config-b.yaml", "config-a.yaml", "config-a.json"):
        (given / name).touch()

    assert kept.handed_out(tmp_path, "s") == ["a", "b"]


def sweep_in(tmp_path, monkeypatch, program, *words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(program)
    command = ["${env}", "${interpreter}", "${program}", *words]
    (tmp_path / "s.yml").write_text(yaml.safe_dump(CONTENT | {"program": "train.py", "command": command}))
    return sweep_file.read(tmp_path / "s.yml")


def test_the_command_of_a_trial_has_its_params_as_json_and_no_macros(tmp_path, monkeypatch):
    sweep = sweep_in(
        tmp_path, monkeypatch, "from jade.cli import main", "--epochs=5", "${args}", "${envvar:FLAG}"
    )

    text = command(sweep, {"lr": 2, "name": "it's"}, {"FLAG": "--tracker=local"})

    words = shlex.split(text)
    assert words[:-1] == ["python", "train.py", "--epochs=5", "--tracker=local", "--params"]
    assert json.loads(words[-1]) == {"lr": 2, "name": "it's"}


def test_a_program_that_is_not_jades_gets_its_params_as_its_command_has_them(tmp_path, monkeypatch):
    sweep = sweep_in(tmp_path, monkeypatch, "print('mine')", "${args}", "--fast")

    assert command(sweep, {"lr": 2}, {}) == "python train.py --lr=2 --fast"


def test_a_tied_process_ends_with_whoever_holds_its_stdin(tmp_path):
    (tmp_path / "waits.py").write_text("import sys, time\nprint(sys.argv, flush=True)\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "jade.sweeps.tied", "waits", "a", "b"],
        cwd=tmp_path, env={"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    said = process.stdout.readline()

    process.communicate(timeout=60)

    assert "'a', 'b'" in said
    assert process.returncode == -signal.SIGTERM
