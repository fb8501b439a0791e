"""Runs that are stopped, killed and continued, as processes: bit-equal to a run that nobody disturbed."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
import yaml

from tests.integration import torture

FILES = [
    "--model_conf=configurations/one.yml",
    "--data_conf=configurations/points.yml",
    "--eval_conf=configurations/interrupted.yml",
    "--arch_impl=modules/architectures/small.py",
]
RUN = [*FILES, "--epochs=3", "--log-loss-every=5", "--backup-every=7 iterations", "--tracker=local"]


@pytest.fixture
def project(tmp_path):
    """A copy of the project, whose files a test may change."""
    return shutil.copytree(
        torture.PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")
    )


@pytest.fixture
def train(command, project):
    """Run the command line in the project, and give the finished process."""

    def run(*arguments, **environ):
        known = {"PYTHONPATH": str(torture.REPOSITORY), **environ}
        return command(sys.executable, "-m", "jade", "train", *arguments, folder=project, **known)

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, "-m", "jade", "train", *RUN, "--run_id=whole", f"--experiments-root={root}"]
    environ = torture.environment() | {"HOME": str(root)}
    environ.pop("OMP_NUM_THREADS")
    subprocess.run(command, cwd=torture.PROJECT, env=environ, capture_output=True, check=True)
    return root / "whole"


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "experiments"


def status(run):
    return json.loads((run / "status.json").read_text())


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def until(iteration, number):
    return f"{iteration}:{int(number)}"


@pytest.mark.parametrize("name", torture.CASES)
def test_a_run_killed_at_random_moments_ends_bit_equal_to_an_undisturbed_one(tmp_path, name):
    case = torture.CASES[name]

    whole = torture.run(case, tmp_path, "whole")
    ends = torture.killed(case, tmp_path, "cut", kills=3, seed=name)

    assert whole.returncode == 0, whole.stderr
    assert [end for end in ends if end[1] not in (0, -9, 143, 138) and not torture.is_outside(end)] == []
    assert ends[-1][1] == 0, ends[-1][2]
    assert torture.differences(tmp_path / "whole", tmp_path / "cut") == []


def test_a_stopped_run_says_how_to_go_on_and_goes_on_in_its_own_folder(train, whole, runs):
    stopped = train(*RUN, "--run_id=cut", INTERRUPT=until(17, signal.SIGTERM))
    left = status(runs / "cut")
    resumed = train("--resume=cut", "--tracker=local")

    assert stopped.returncode == 128 + signal.SIGTERM
    assert f"go on   python train.py --resume {runs / 'cut'}" in stopped.stderr
    assert (left["status"], left["iterations"]) == ("stopped", 17)
    assert resumed.returncode == 0, resumed.stderr
    assert "The run cut goes on: epoch 1, batch 5, iteration 17." in resumed.stderr
    assert status(runs / "cut")["status"] == "finished"
    (interruption,) = status(runs / "cut")["interruptions"]
    assert (interruption["iterations"], interruption["was"]) == (17, "stopped")
    assert torture.differences(whole, runs / "cut") == []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_every_signal_to_stop_has_its_exit_code_and_a_backup(train, runs, number):
    stopped = train(*RUN, "--run_id=cut", INTERRUPT=until(9, number))

    assert stopped.returncode == 128 + number
    assert status(runs / "cut")["status"] == "stopped"
    assert torch.load(runs / "cut/model.pt", weights_only=True)["iterations"] == 9


def test_the_exact_end_of_an_epoch_loses_and_repeats_nothing(train, whole, runs):
    train(*RUN, "--run_id=cut", INTERRUPT=until(24, signal.SIGTERM))
    resumed = train("--resume=cut", "--tracker=local")

    assert resumed.returncode == 0, resumed.stderr
    assert torture.differences(whole, runs / "cut") == []


def test_the_last_step_of_all_is_not_made_twice(train, whole, runs):
    stopped = train(*RUN, "--run_id=cut", INTERRUPT=until(36, signal.SIGTERM))
    resumed = train("--resume=cut", "--tracker=local")

    assert stopped.returncode == 143
    assert resumed.returncode == 0, resumed.stderr
    assert torture.differences(whole, runs / "cut") == []


def test_a_complete_run_says_so_and_can_be_made_longer(train, runs):
    train(*RUN, "--run_id=long", "--epochs=4")
    train(*RUN, "--run_id=short")

    again = train("--resume=short", "--tracker=local")
    longer = train("--resume=short", "--tracker=local", "--epochs=4")
    shorter = train("--resume=short", "--tracker=local", "--epochs=2")

    assert again.returncode == 0
    assert "The run short is complete: 3 epochs, 36 iterations." in again.stderr
    assert longer.returncode == 0, longer.stderr
    states = [torch.load(runs / name / "model.pt", weights_only=True) for name in ("long", "short")]
    assert states[0]["iterations"] == states[1]["iterations"] == 48
    assert list(torture._unequal(states[0]["attributes"], states[1]["attributes"], "")) == []
    assert yaml.safe_load((runs / "short/config.yml").read_text())["epochs"] == 4
    assert "complete" in shorter.stderr


def test_auto_starts_a_run_and_continues_it_with_the_same_command(train, whole, runs):
    command = [*RUN, "--run_id=cut", "--resume=auto"]

    first = train(*command, INTERRUPT=until(20, signal.SIGKILL))
    second = train(*command)
    third = train(*command)

    assert first.returncode == -signal.SIGKILL
    assert "There is no run cut yet: it begins now." in first.stderr
    assert second.returncode == 0, second.stderr
    assert "The lock of" in second.stderr
    assert "The run cut goes on: epoch 1, batch 2, iteration 14." in second.stderr
    assert "The run cut is complete" in third.stderr
    assert third.returncode == 0
    assert torture.differences(whole, runs / "cut") == []


def test_auto_starts_over_in_a_folder_that_was_left_without_a_checkpoint(train, whole, runs):
    command = [*RUN, "--run_id=cut", "--resume=auto"]

    train(*command, INTERRUPT=until(3, signal.SIGKILL))
    early = train(*command)
    (runs / "bare").mkdir()
    (runs / "bare/metrics.jsonl").write_text('{"row": 0}\n')
    bare = train(*RUN, "--run_id=bare", "--resume=auto")

    assert early.returncode == bare.returncode == 0, early.stderr + bare.stderr
    assert "The run cut has no checkpoint yet: it starts over in its folder." in early.stderr
    assert "The run bare left nothing to continue from: it starts over in its folder." in bare.stderr
    assert torture.differences(whole, runs / "cut") == []
    assert torture.differences(whole, runs / "bare") == []


def test_a_damaged_backup_falls_back_to_the_one_before_and_ends_the_same(train, whole, runs):
    train(*RUN, "--run_id=cut", INTERRUPT=until(30, signal.SIGKILL))
    damaged = bytearray((runs / "cut/model.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (runs / "cut/model.pt").write_bytes(damaged)

    resumed = train("--resume=cut", "--tracker=local")

    assert resumed.returncode == 0, resumed.stderr
    assert f"The checkpoint {runs / 'cut/model.pt'} is damaged" in resumed.stderr
    assert f"{runs / 'cut/model.previous.pt'} is used instead" in resumed.stderr
    assert "iteration 21" in resumed.stderr
    assert torture.differences(whole, runs / "cut") == []


def test_if_every_checkpoint_is_damaged_each_is_named_and_auto_starts_over(train, runs):
    train(*RUN, "--run_id=cut", INTERRUPT=until(20, signal.SIGKILL))
    for path in (runs / "cut").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-100])

    refused = train("--resume=cut", "--tracker=local")
    again = train(*RUN, "--run_id=cut", "--resume=auto")

    assert refused.returncode == 2
    for name in ("model.pt", "model.previous.pt"):
        assert str(runs / "cut" / name) in refused.stderr
    assert again.returncode == 0, again.stderr
    assert "starts over" in again.stderr


def test_changed_code_is_left_alone_for_the_snapshot_unless_asked_for(train, whole, project, runs):
    for name in ("cut", "current"):
        train(*RUN, f"--run_id={name}", INTERRUPT=until(17, signal.SIGTERM))
    trainers = project / "modules/models/trainers.py"
    trainers.write_text(trainers.read_text().replace("0.01 * self.noise", "9.0 * self.noise"))

    snapshot = train("--resume=cut", "--tracker=local")
    current = train("--resume=current", "--tracker=local", "--code=current")

    assert snapshot.returncode == 0, snapshot.stderr
    assert "The code has changed since the run was begun (modules/models/trainers.py)" in snapshot.stderr
    assert torture.differences(whole, runs / "cut") == []
    assert current.returncode == 0, current.stderr
    assert "The present code is used" in current.stderr
    assert torture.differences(whole, runs / "current") != []
    assert "9.0 * self.noise" in (runs / "current/code/modules/models/trainers.py").read_text()
    assert "0.01 * self.noise" in (runs / "current/code.previous/modules/models/trainers.py").read_text()
    assert status(runs / "current")["interruptions"][0]["changed_code"] == ["modules/models/trainers.py"]


def test_a_run_keeps_its_configuration_and_schedule_and_flags_win(train, project, runs):
    train(*RUN, "--run_id=cut", "model.params.lr=0.05", INTERRUPT=until(17, signal.SIGTERM))
    model = project / "configurations/one.yml"
    model.write_text(model.read_text().replace("batch_size: 8", "batch_size: 4"))

    auto = train(
        *RUN, "--run_id=cut", "--resume=auto", "model.params.lr=0.02", INTERRUPT=until(30, signal.SIGTERM)
    )

    assert auto.returncode == 143, auto.stderr
    config = yaml.safe_load((runs / "cut/config.yml").read_text())
    assert config["model"]["params"] == {"batch_size": 8, "lr": 0.02}
    assert "model.params.batch_size: 8 (now 4)" in auto.stderr
    assert (
        json.loads((runs / "cut/environment.json").read_text())["schedule"]["backup_every"] == "7 iterations"
    )
    losses = [row["iterations"] for row in rows(runs / "cut") if "Loss" in row["metrics"]]
    assert losses == [5, 10, 15, 20, 25]  # the one at 30 is made when it goes on


def test_what_cannot_be_continued_is_refused_with_what_there_is(train, runs):
    train(*RUN, "--run_id=known", "--epochs=1")

    unknown = train("--resume=knwon", "--tracker=local")
    surplus = train("--resume=known", *FILES)
    nameless = train(*FILES, "--resume=auto", "--tracker=local")

    assert [done.returncode for done in (unknown, surplus, nameless)] == [2, 2, 2]
    assert "There is no run 'knwon'" in unknown.stderr
    assert "did you mean: known" in unknown.stderr
    assert (
        "--model_conf, --data_conf, --eval_conf, --arch_impl cannot be given with --resume RUN"
        in surplus.stderr
    )
    assert "--run_id ID, or the variable WANDB_RUN_ID, names it" in nameless.stderr


def test_a_second_process_on_the_same_run_is_refused(train, project, runs, clean_environ):
    command = [sys.executable, "-m", "jade", "train", *RUN, "--run_id=cut", "--resume=auto"]
    environ = clean_environ | {"PYTHONPATH": str(torture.REPOSITORY), "INTERRUPT": until(2, signal.SIGSTOP)}

    with subprocess.Popen(command, cwd=project, env=environ, stderr=subprocess.DEVNULL) as first:
        os.waitid(os.P_PID, first.pid, os.WSTOPPED)
        second = train(*RUN, "--run_id=cut", "--resume=auto")
        first.send_signal(signal.SIGCONT)
        first.wait(timeout=60)

    assert second.returncode == 2
    assert f"belongs to process {first.pid} on" in second.stderr
    assert first.returncode == 0


def test_a_time_limit_stops_the_run_with_a_backup_that_it_goes_on_from(train, runs):
    train(*RUN, "--run_id=whole", "--epochs=200")

    stopped = train(*RUN, "--run_id=cut", "--epochs=200", "--time-limit=1 second")
    done = train("--resume=cut", "--tracker=local", "--time-limit=never")

    assert stopped.returncode == 124, stopped.stderr
    assert status(runs / "cut")["interruptions"][0]["was"] == "stopped"
    assert done.returncode == 0, done.stderr
    assert torture.differences(runs / "whole", runs / "cut") == []


def test_a_run_without_a_network_goes_on_with_one_offline_folder_that_is_whole(train, runs):
    offline = [part for part in RUN if part != "--tracker=local"]
    train(*offline, "--run_id=cut", "--run_name=mine", INTERRUPT=until(17, signal.SIGTERM))

    resumed = train("--resume=cut")

    assert resumed.returncode == 0, resumed.stderr
    (folder,) = (runs / "cut/wandb").glob("offline-run-*-cut")
    assert f"upload  wandb sync {folder}" in resumed.stderr
    assert len(list((runs / "cut/wandb/replaced").iterdir())) == 1
    shown = subprocess.run(
        [f"{sys.prefix}/bin/wandb", "leet", "inspect", "--summary", "--json", *folder.glob("*.wandb")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = json.loads(shown)
    assert found["summary"]["row"] == len(rows(runs / "cut")) - 1
    assert json.dumps(found).count('"mine"') >= 1


def test_a_run_that_began_with_another_ones_weights_is_killed_and_is_given_them_again_without_it(
    train, whole, runs, tmp_path
):
    first = shutil.copytree(whole, tmp_path / "first")
    begun = [*RUN, "--seed=7", "model.class=Distilled", f"--init-from={first}:last"]
    undisturbed = train(*begun, "--run_id=undisturbed")
    killed = train(*begun, "--run_id=cut", INTERRUPT=until(17, signal.SIGKILL))
    shutil.rmtree(first)
    resumed = train(*begun, "--run_id=cut", "--resume=auto")
    refused = train(*begun, "--run_id=late")

    assert undisturbed.returncode == 0, undisturbed.stderr
    assert killed.returncode == -signal.SIGKILL
    assert resumed.returncode == 0, resumed.stderr
    assert "The run cut goes on: epoch 1, batch 2, iteration 14." in resumed.stderr
    assert "begins with the weights" not in resumed.stderr
    assert torture.differences(runs / "undisturbed", runs / "cut") == []
    last = [row["metrics"]["Accuracy"] for row in rows(whole) if "Accuracy" in row["metrics"]][-1]
    assert rows(runs / "cut")[0]["metrics"] == {"Accuracy": last}
    assert json.loads((runs / "cut/environment.json").read_text())["init_from"]["id"] == "whole"
    assert refused.returncode == 2
    assert "at: --init-from (init_from)" in refused.stderr
    assert not (runs / "late").exists()
