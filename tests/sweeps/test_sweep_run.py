"""`python -m jade sweep run` as a user starts it: real agents, a real server, trials of a real project."""

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SWEEP = """\
program: train.py
command:
  - ${env}
  - ${interpreter}
  - ${program}
  - --model_conf=configurations/models/classifier.yml
  - --data_conf=configurations/data/spirals.yml
  - --eval_conf=configurations/eval/plain.yml
  - --arch_impl=modules/architectures/mlp.py
  - --epochs=%(epochs)s
method: grid
metric: {name: TestAccuracy, goal: maximize}
parameters:
  model.params.lr: {values: [%(lr)s]}
"""
EVALUATIONS = """\
TestAccuracy: {class: Accuracy, params: {evaluate_on: test}}
Broken: {class: Broken, params: {}}
"""
BROKEN = """\
import os

from jade.eval import Evaluation


class Broken(Evaluation):
    def evaluate(self):
        if os.path.exists("break") and self.trainer.epochs:
            raise RuntimeError("the metric is broken here")
        return {"type": "scalar", "value": 0.0}
"""
LONG = 4000  # epochs: minutes


class Project:
    """A project of `python -m jade new`, and sweeps that are run in it."""

    def __init__(self, folder, environ):
        self.folder = folder
        self.environ = environ
        self.runs = folder / "experiments"
        self._started = []

    def sweep(self, *values, epochs=2, file="sweep.yml"):
        path = self.folder / file
        path.write_text(SWEEP % {"lr": ", ".join(map(str, values)), "epochs": epochs})

    def start(self, *arguments, file="sweep.yml", **more):
        command = [sys.executable, "-m", "jade", "sweep", "run", file, *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environ, text=True, start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more},
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *arguments):
        """Run a sweep to its end; give its exit code and what it printed."""
        process = self.start(*arguments)
        text, _ = process.communicate(timeout=300)
        return process.returncode, text

    def trials(self):
        """Give run and status of each trial, as the runs' own folders say."""
        found = {}
        for path in self.runs.glob("*/status.json"):
            found[path.parent.name] = json.loads(path.read_text())
        return found

    def states(self):
        """Give the states of the trials on the server, by their numbers."""
        with sqlite3.connect(f"file:{self.runs}/server/server.sqlite?mode=ro", uri=True) as db:
            rows = db.execute(
                "SELECT trials.number, runs.state FROM trials LEFT JOIN runs ON runs.name = trials.run"
                " ORDER BY trials.number"
            )
            return dict(rows.fetchall())

    def processes(self):
        """Give the processes that work for sweeps of this project."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def kill_everything(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self._started:
            process.wait()
            if process.stdout:
                process.stdout.close()


def until(condition, seconds=120.0):
    """Give what a condition gives once it holds; fail if that takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("It did not come to that.")


@pytest.fixture
def project(tmp_path, clean_environ):
    folder = tmp_path / "project"
    environ = clean_environ | {
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "EXPERIMENTS_ROOT": str(folder / "experiments"),
    }
    subprocess.run(
        [sys.executable, "-m", "jade", "new", str(folder)], env=environ, check=True, stdout=subprocess.DEVNULL
    )
    (folder / "configurations/eval/plain.yml").write_text(EVALUATIONS)
    (folder / "modules/eval/broken.py").write_text(BROKEN)
    found = Project(folder.resolve(), environ)
    yield found
    found.kill_everything()


def rows_of(path):
    """Give what a run logged, without the times."""
    rows = map(json.loads, path.read_text().splitlines())
    return [{key: value for key, value in row.items() if key not in ("time", "runtime")} for row in rows]


def is_training(project, count):
    """Say whether so many trials have logged something and go on."""

    def found():
        running = [
            one for one in project.trials().values() if one["status"] == "running" and one.get("epochs")
        ]
        return len(running) >= count

    return found


def test_two_agents_finish_all_trials_and_name_the_best(project):
    project.sweep(0.1, 0.01, 0.001)

    code, text = project.run("--agents", "2")

    assert code == 0, text
    assert project.states() == dict.fromkeys(range(3), "finished")
    assert len(project.trials()) == 3
    best = re.search(r"^best +(\S+) \((\w+)\), TestAccuracy (\S+)$", text, re.M)
    values = {run: one["metrics"]["TestAccuracy"]["last"] for run, one in project.trials().items()}
    assert values[best[2]] == max(values.values())
    assert f"folder   experiments/{best[2]}" in text
    picture = re.search(r"^picture +(\S+)$", text, re.M)[1]
    assert (project.folder / picture).read_bytes().startswith(b"\x89PNG")


def test_the_command_it_ends_with_trains_the_best_trial_again(project):
    project.sweep(0.02)
    _, text = project.run()
    again = re.search(r"^again +(.+)$", text, re.M)[1]

    subprocess.run(
        again.replace("python", sys.executable, 1) + " --run_id again",
        shell=True, cwd=project.folder, env=project.environ, check=True, capture_output=True,
    )  # fmt: skip

    rows = [rows_of(path) for path in project.runs.glob("*/metrics.jsonl")]
    assert len(rows) == 2
    assert rows[0] == rows[1]


def test_killed_with_everything_and_started_again_it_finishes_with_exactly_its_trials(project):
    project.sweep(0.1, 0.01, 0.001, 0.02, epochs=60)
    project.start("--agents", "2")
    until(is_training(project, 2))
    project.kill_everything()
    before = project.trials()

    code, text = project.run("--agents", "2")

    assert code == 0, text
    assert "going on with sweep" in text
    assert project.states() == dict.fromkeys(range(4), "finished")
    assert set(before) <= set(project.trials())
    assert len(project.trials()) == 4


def test_a_trial_that_was_killed_before_its_run_began_is_handed_out_at_once(project):
    project.sweep(0.1)
    project.start()
    configs = project.runs / "sweeps"
    until(lambda: list(configs.glob("*/wandb/sweep-*/config-*.yaml")))
    project.kill_everything()

    code, text = project.run()

    assert code == 0, text
    assert project.states() == {0: "finished"}


def test_ctrl_c_lets_the_trials_write_their_backups_and_the_same_command_goes_on(project):
    project.sweep(0.1, epochs=300)
    process = project.start()
    until(is_training(project, 1))

    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Stopping: the trials write their backups." in text
    assert "The sweep was stopped; the same command goes on with it." in text
    stopped = project.trials()
    assert {one["status"] for one in stopped.values()} == {"stopped"}
    assert all((project.runs / run / "model.pt").exists() for run in stopped)
    assert project.processes() == []
    process = project.start()
    until(is_training(project, 1))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)

    code, text = project.run()

    assert code == 0, text
    assert project.states() == {0: "finished"}
    assert {one["epochs"] for one in project.trials().values()} == {300}


def test_a_second_ctrl_c_kills_the_trials(project):
    project.sweep(0.1, epochs=LONG)
    process = project.start()
    until(is_training(project, 1))
    trial = next(iter(project.trials().values()))["pid"]
    os.kill(trial, signal.SIGSTOP)  # it hears nothing of the first one

    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)

    assert process.returncode == 130, text
    assert "Killing the trials" in text
    until(lambda: not project.processes())


def test_whatever_it_started_ends_with_it(project):
    project.sweep(0.1, epochs=LONG)
    process = project.start()
    until(is_training(project, 1))

    process.kill()
    process.communicate()

    until(lambda: not project.processes())
    assert {one["status"] for one in project.trials().values()} == {"stopped"}


def test_an_agent_that_is_killed_is_started_again_and_its_trial_is_not_forgotten(project):
    project.sweep(0.1, 0.01, epochs=LONG)
    process = project.start()
    until(is_training(project, 1))
    for pid in project.processes():
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "jade.tracking.wandb_agent" in arguments:
            os.kill(pid, signal.SIGKILL)
    until(is_training(project, 2))  # the first goes on, without its agent

    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)

    assert process.returncode == 130, text
    assert project.processes() == []
    assert [one["status"] for one in project.trials().values()] == ["stopped", "stopped"]
    assert project.states() == {0: "preempted", 1: "preempted"}  # both are handed out again


def test_a_server_that_is_killed_is_started_again_and_nothing_is_lost(project):
    project.sweep(0.1, 0.01, epochs=60)
    process = project.start("--agents", "2")
    until(is_training(project, 2))
    os.kill(json.loads((project.runs / "server/server.json").read_text())["pid"], signal.SIGKILL)

    text, _ = process.communicate(timeout=300)

    assert process.returncode == 0, text
    assert "The server had ended; it runs again." in text
    assert project.states() == {0: "finished", 1: "finished"}
    assert len(project.trials()) == 2


def test_a_sweep_that_ends_with_failed_trials_shows_an_error_and_how_to_try_again(project):
    project.sweep(0.1, epochs=1)
    (project.folder / "break").touch()

    _, text = project.run("--retry", "0")

    assert re.search(r"^Trials have failed\. The last, \w+:$", text, re.M)
    assert "  | RuntimeError: the metric is broken here" in text
    assert "the same command with --retry 1 tries the failed trials again." in text
    (project.folder / "break").unlink()

    _, text = project.run("--retry", "1")

    assert "1 of 1 finished" in text
    assert "have failed" not in text


def test_five_failures_in_a_row_stop_the_sweep_and_say_why(project):
    project.sweep(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, epochs=1)
    (project.folder / "break").touch()

    code, text = project.run("--agents", "2", "--retry", "0")

    assert code == 1
    assert "The sweep was stopped: 5 trials in a row have failed. The last, " in text
    assert "  | RuntimeError: the metric is broken here" in text
    assert "  | in the evaluation 'Broken' of ClassifierTrainer, epoch 1," in text
    assert list(project.states().values()).count("failed") in (5, 6)
    (project.folder / "break").unlink()

    code, text = project.run("--agents", "2", "--retry", "1")

    assert code == 0, text
    assert project.states() == dict.fromkeys(range(6), "finished")


def test_more_trials_are_added_by_a_bigger_count(project):
    project.sweep(0.1, 0.01, 0.001)
    code, text = project.run("--count", "1")
    assert (code, "1 of 1 finished" in text) == (0, True)

    code, text = project.run("--count", "2")

    assert code == 0, text
    assert "going on with sweep" in text
    assert project.states() == {0: "finished", 1: "finished"}


def test_a_sweep_that_is_over_shows_its_result_again_and_new_makes_another(project):
    project.sweep(0.1)
    _, first = project.run()

    _, second = project.run()
    _, third = project.run("--new")

    best = [re.search(r"^best +\S+ \((\w+)\)", text, re.M)[1] for text in (first, second, third)]
    assert best[0] == best[1] != best[2]
    assert len(project.trials()) == 2


def test_a_second_command_on_the_same_sweep_is_refused(project):
    project.sweep(0.1, epochs=LONG)
    process = project.start()
    until(is_training(project, 1))

    code, text = project.run()

    assert code == 2
    assert re.search(rf"The sweep in \S+ belongs to process {process.pid} on ", text)
    assert "Stop that one first, or make another one with --new." in text


def test_a_server_that_runs_already_over_the_same_folder_is_used(project):
    project.sweep(0.1)
    server = subprocess.Popen(
        [sys.executable, "-m", "jade", "server", "--port", "0"],
        cwd=project.folder, env=project.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = next(found[1] for line in server.stdout if (found := re.search(r"WANDB_BASE_URL=(\S+)", line)))

    code, text = project.run()

    server.terminate()
    server.communicate()
    assert code == 0, text
    assert f"{address}/local/jade/sweeps/" in text


def test_two_sweeps_that_start_at_once_share_a_server_until_the_last_has_ended(project):
    project.sweep(0.1, epochs=1)
    project.sweep(0.2, 0.3, 0.4, epochs=1, file="longer.yml")

    started = [project.start(), project.start(file="longer.yml")]
    texts = [process.communicate(timeout=300)[0] for process in started]

    assert [process.returncode for process in started] == [0, 0], texts
    assert [re.search(r"^\d of \d finished;", text, re.M)[0] for text in texts] == [
        "1 of 1 finished;",
        "3 of 3 finished;",
    ]
    assert project.processes() == []


def test_a_server_that_the_environment_names_is_used(project, tmp_path):
    project.sweep(0.1, 0.01)
    server = subprocess.Popen(
        [sys.executable, "-m", "jade", "server", "--port", "0", "--data", str(tmp_path / "elsewhere")],
        cwd=tmp_path, env=project.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = next(found[1] for line in server.stdout if (found := re.search(r"WANDB_BASE_URL=(\S+)", line)))
    project.environ |= {"WANDB_BASE_URL": address, "WANDB_ENTITY": "lab", "WANDB_PROJECT": "spirals"}

    code, text = project.run("--agents", "2")
    shown = subprocess.run(
        [sys.executable, "-m", "jade", "sweep", "show", "sweep.yml"],
        cwd=project.folder, env=project.environ, capture_output=True, text=True,
    )  # fmt: skip

    server.terminate()
    server.communicate()
    assert code == 0, text
    assert f"page   {address}/lab/spirals/sweeps/" in text
    assert "2 finished; best TestAccuracy" in shown.stdout
    assert not (project.runs / "server").exists()


def test_a_faulty_sweep_starts_nothing(project):
    project.sweep('"a"', "nonsense")

    code, text = project.run("--agents", "0")
    assert (code, "0 is too few." in text) == (2, True)
    code, text = project.run()

    assert code == 2
    assert "model.params.lr" in text
    assert not project.runs.exists()


def test_on_a_terminal_a_table_shows_the_trials(project):
    project.sweep(0.1, 0.01)
    here, there = pty.openpty()
    process = project.start(stdin=there, stdout=there, stderr=there)
    os.close(there)

    text = ""
    while True:
        ready, _, _ = select.select([here], [], [], 120)
        try:
            part = os.read(here, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part.decode(errors="replace")

    assert process.wait(60) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"trial +state +lr +epochs +TestAccuracy +best +time", plain)
    assert re.search(r"trial-\d \* +finished", plain)
    assert "2 of 2 finished; best TestAccuracy" in plain


def test_without_credentials_at_an_address_of_ones_own_a_key_is_asked_for(project):
    project.sweep(0.1)
    project.environ |= {"WANDB_BASE_URL": "http://wandb.example.org", "WANDB_MODE": "online"}

    code, text = project.run()

    assert code == 2
    assert "WANDB_BASE_URL is http://wandb.example.org, for which there is no key." in text
