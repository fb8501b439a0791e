"""`python -m jade evaluate`: a stored run's evaluations, run again from the command line."""

import json

import pytest

from jade.commands import evaluate
from jade.errors import CheckpointError


@pytest.fixture
def run(project, elsewhere):
    folder = project.train("run")
    elsewhere(folder)
    return folder


def test_numbers_are_printed_by_name(run, capsys):
    assert evaluate.run([str(run), "--device", "cpu"]) == 0

    known = json.loads((run / "status.json").read_text())["metrics"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Error  {known['Error']['last']:.6g}", f"Noise  {known['Noise']['last']:.6g}"]


def test_another_evaluation_file_may_give_what_is_no_number(run, capsys, tmp_path, project):
    text = """
from jade.eval import Evaluation


class Words(Evaluation):
    def evaluate(self):
        return {"type": "text", "value": f"after {self.trainer.iterations}"}
"""
    (run / "code" / "modules" / "eval" / "words.py").write_text(text)
    (tmp_path / "eval.yml").write_text("Said/late: {class: Words}\n")
    arguments = [str(run), "--eval_conf", str(tmp_path / "eval.yml"), "--device", "cpu"]

    evaluate.run(arguments)
    evaluate.run([*arguments, "--into", str(tmp_path / "out"), "--format", "json"])

    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first == "Said/late  (text: --into DIR writes it)"
    path = tmp_path / "out" / "Said%2Flate.txt"
    assert json.loads(rest) == {"Said/late": str(path)}
    assert path.read_text() == "after 6"


def test_names_may_follow_flags(run, capsys):
    assert evaluate.run([str(run), "--device", "cpu", "Error", "--format", "json"]) == 0

    assert list(json.loads(capsys.readouterr().out)) == ["Error"]


def test_no_run_is_the_only_name_that_is_missed(capsys):
    with pytest.raises(SystemExit):
        evaluate.run(["--checkpoint", "best"])

    assert "the following arguments are required: RUN\n" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_refused(run):
    with pytest.raises(CheckpointError, match="has no checkpoint '4'"):
        evaluate.run([str(run), "--checkpoint", "4"])
