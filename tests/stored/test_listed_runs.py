"""Runs listed: which there are, which are meant, in which order, by which metric, as what."""

import csv
import io
import json
import platform
import subprocess
import sys

import pytest

import jade
from jade.commands import runs as command
from jade.errors import ConfigError
from jade.stored import selection
from tests.conftest import REPOSITORY
from tests.stored.test_local_runs import Experiments


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPERIMENTS_ROOT", str(tmp_path / "experiments"))
    return Experiments(tmp_path / "experiments")


def losses(**values):
    return {name: (value, value / 2) for name, value in values.items()}


@pytest.fixture
def three(experiments):
    experiments.run("a1", beta=0.1, metrics=losses(Loss=3.0, Acc=0.5), started=100.0, name="first")
    experiments.run("b2", beta=0.2, metrics=losses(Loss=1.0, Acc=0.9), started=300.0)
    experiments.run("c3", beta=1, metrics=losses(Loss=2.0), started=200.0, status="failed")
    return experiments


def ids(found):
    return [run.id for run in found]


def test_the_runs_of_the_experiments_root_are_a_table_with_the_newest_first(three, capsys):
    assert command.run(["--metric", "Loss"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{three.folder}  3 runs: 2 finished, 1 failed"
    assert lines[1] == "metric  Loss, to minimize (it was asked for)"
    assert lines[3].split() == ["run", "name", "status", "epochs", "Loss", "best", "when", "time"]
    assert [line.split()[:5] for line in lines[4:]] == [
        ["b2", "b2", "finished", "3", "1"],
        ["c3", "c3", "failed", "3", "2"],
        ["a1", "first", "finished", "3", "3"],
    ]


def test_a_run_whose_process_is_gone_has_died_and_a_damaged_one_is_named(three, capsys):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = three.run("d4", status="running")
    (folder / "lock").write_text(json.dumps({"host": platform.node(), "pid": ended.pid}))
    (three.run("bad") / "config.yml").write_text("{")

    command.run(["--format", "json"])

    told = capsys.readouterr()
    assert {row["run"]: row["state"] for row in json.loads(told.out)["rows"]}["d4"] == "died"
    assert json.loads(told.out)["counts"] == {"finished": 2, "died": 1, "failed": 1}
    assert told.err.startswith(f"warning: The config.yml of {three.folder / 'bad'} cannot be read: while")
    assert told.err.endswith("The run is left out.\n")


def test_data_has_every_digit_dates_and_what_differs(three, capsys):
    command.run([str(three.folder), "--format", "csv", "--metric", "Loss"])

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model.params.beta"] for row in rows] == ["0.2", "1", "0.1"]
    assert (rows[2]["run"], rows[2]["last"], rows[2]["best"]) == ("a1", "3.0", "1.5")
    assert (rows[2]["began"], rows[2]["where"]) == ("1970-01-01T00:01:40Z", str(three.folder / "a1"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sort", "Loss"], ["b2", "c3", "a1"]),
        (["--sort", "Acc"], ["b2", "a1", "c3"]),
        (["--sort", "Loss", "--reverse"], ["a1", "c3", "b2"]),
        (["--sort", "when"], ["b2", "c3", "a1"]),
        (["--sort", "beta"], ["a1", "b2", "c3"]),
        (["--sort", "name", "-n", "1"], ["b2"]),
        (["--state", "failed"], ["c3"]),
        (["--filter", "beta=0.2", "--filter", "beta=1.0"], ["b2", "c3"]),
        (["--filter", "beta=0.2", "--filter", "when=12:30"], ["b2"]),
        (["--filter", "beta=0.2", "--filter", "params.beta=1"], []),
        (["--filter", "beta=true"], []),
    ],
)
def test_runs_are_sorted_and_chosen_as_wanted(three, capsys, arguments, expected):
    command.run([*arguments, "--format", "json"])

    found = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in found["rows"]] == expected
    assert found["runs"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--filter", "betta=1"], "No run has a param 'betta'."),
        (["--filter", "betta=1"], "did you mean: beta"),
        (["--filter", "beta"], "'beta' is no filter."),
        (["--state", "finish"], "did you mean: finished"),
        (["--metric", "Los"], "did you mean: Loss"),
        (["--sort", "statuss"], "did you mean: status"),
        (["-n", "0"], "0 is too few."),
        (["nowhere"], "There is no folder 'nowhere'."),
        (["."], "holds no runs."),
    ],
)
def test_what_is_not_there_is_an_error_that_names_what_is(three, arguments, said):
    with pytest.raises(ConfigError) as caught:
        command.run(arguments)

    assert said in str(caught.value)


def test_the_end_of_a_key_that_is_that_of_several_is_refused(three):
    with_evaluations(three.folder / "a1", "Test")

    with pytest.raises(ConfigError) as caught:
        selection.key_of(selection.in_folder(three.folder)[0], "class")

    assert "'class' may be several params." in str(caught.value)
    assert "known: eval.Test.class, model.class" in str(caught.value)


def with_evaluations(folder, *names):
    text = "".join(f"  {name}: {{class: E, params: {{}}}}\n" for name in names)
    with (folder / "config.yml").open("a") as file:
        file.write(f"eval:\n{text}")


def test_the_metric_is_that_of_which_the_newest_run_kept_the_best(three):
    best = {"best.pt": {"metric": "Acc", "mode": "max", "value": 0.9}}
    (three.folder / "a1" / "checkpoints.json").write_text(json.dumps(best))

    found = selection.metric_of(selection.in_folder(three.folder)[0])

    assert (found.name, found.goal, found.why) == ("Acc", "maximize", "the best of it is kept")


def test_the_metric_is_that_of_the_first_evaluation_where_nothing_is_recorded(experiments):
    folder = experiments.run("a", metrics=losses(Rec=1.0, **{"Test/KL": 2.0, "Other": 3.0}))
    with_evaluations(folder, "Silent", "Test", "Other")

    found = selection.metric_of(selection.in_folder(experiments.folder)[0])

    assert (found.name, found.goal, found.why) == ("Test/KL", "minimize", "the first evaluation")


@pytest.mark.parametrize("content", ["{", "[]", '{"best.pt": 3}', '{"best.pt": {"metric": 3}}'])
def test_a_damaged_list_of_checkpoints_is_passed_over(experiments, content):
    folder = experiments.run("a")
    (folder / "checkpoints.json").write_text(content)

    assert selection.metric_of(selection.in_folder(experiments.folder)[0]).why == "the first that was logged"


def test_a_notebook_gets_runs_that_it_can_open(three):
    found = jade.runs()

    assert ids(found) == ["b2", "c3", "a1"]
    assert [run.name for run in found] == ["b2", "c3", "first"]
    assert found[0].summary == {"Loss": 1.0, "Loss/best": 0.5, "Acc": 0.9, "Acc/best": 0.45}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"metric": "Loss"}, ["b2", "c3", "a1"]),
        ({"metric": "Loss", "goal": "maximize"}, ["a1", "c3", "b2"]),
        ({"metric": "Acc/best"}, ["b2", "a1", "c3"]),
        ({"metric": "Loss", "limit": 1, "state": "finished"}, ["b2"]),
        ({"filters": {"model.params.beta": [0.1, 1]}}, ["c3", "a1"]),
        ({"filters": {"beta": lambda beta: beta > 0.1}, "state": ["finished", "failed"]}, ["b2", "c3"]),
        ({"filters": {"seed": 2}}, []),
    ],
)
def test_a_notebook_chooses_runs_by_params_state_and_metric(three, wanted, expected):
    assert ids(jade.runs(three.folder, **wanted)) == expected


def test_a_notebook_chooses_the_trials_of_a_sweep(three):
    (three.folder / "a1" / "environment.json").write_text('{"sweep": {"path": "me/p/s1"}}')

    assert ids(jade.runs(sweep="s1")) == ids(jade.runs(sweep="me/p/s1")) == ["a1"]
    with pytest.raises(ConfigError, match="No run is a trial of 's2'(.|\n)*known: me/p/s1"):
        jade.runs(sweep="s2")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"filters": {"model.params.bet": 1}}, "did you mean: model.params.beta"),
        ({"metric": "Los"}, "did you mean: Loss"),
        ({"metric": "Loss", "goal": "most"}, "There is no goal 'most'."),
    ],
)
def test_a_notebook_is_told_what_there_is(three, wanted, said):
    with pytest.raises(ConfigError) as caught:
        jade.runs(**wanted)

    assert said in str(caught.value)


def test_runs_without_a_number_come_last(experiments):
    experiments.run("nan", metrics={"Loss": (float("nan"), 1.0)})
    experiments.run("none", metrics={"Other": (1.0, 1.0)})
    experiments.run("some", metrics={"Loss": (float("inf"), 1.0)})

    assert ids(jade.runs(metric="Loss"))[0] == "some"


def test_neither_torch_nor_wandb_is_loaded_to_list_and_show_runs(three):
    code = (
        "import sys, jade; from jade.commands import runs, show; runs.run([]); show.run(['a1']);"
        "assert [run.id for run in jade.runs(limit=2)] == ['b2', 'c3'];"
        "assert not {'torch', 'wandb', 'numpy', 'matplotlib'} & set(sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )

    assert done.returncode == 0, done.stderr
    assert "first (a1)  finished" in done.stdout


def test_the_metric_is_what_a_run_was_asked_to_keep_the_best_of(three):
    facts = {"schedule": {"best_metric": "Acc", "best_mode": "min"}}
    (three.folder / "b2" / "environment.json").write_text(json.dumps(facts))

    found = selection.metric_of(selection.in_folder(three.folder)[0])

    assert (found.name, found.goal) == ("Acc", "minimize")
