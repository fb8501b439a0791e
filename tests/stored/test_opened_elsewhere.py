"""A run that was trained elsewhere, opened in a fresh process in an empty folder, through a real server."""

import json
import shutil
import sys

import torch

from jade import checkpoint
from tests.conftest import REPOSITORY
from tests.stored.remote_runs import filled_server

LOOK = """
import json
import sys
from pathlib import Path

import torch

import jade

run = jade.load_stored("mallory/lab/theirs")
said = {"metrics": len(run.history()), "hidden": run.flat["model.params.hidden"], "foreign": run.facts.is_foreign}
try:
    run.trainer(device="cpu")
except jade.JadeError as error:
    said["refused"] = str(error)
said["executed"] = Path(sys.argv[1]).exists()
trainer = jade.load_stored("mallory/lab/theirs", trust_code=True).trainer("best", device="cpu")
said["trusted"] = Path(sys.argv[1]).exists()
torch.save(trainer(torch.load("input.pt", weights_only=True)), "output.pt")
print(json.dumps(said))
"""


def test_a_run_of_somebody_else_whose_code_and_data_are_gone_gives_the_same_bits_once_it_is_trusted(
    project, command, tmp_path
):
    mark = tmp_path / "mark"
    line = (project.folder / "modules" / "models" / "line.py").read_text()
    project.write(**{"modules/models/line.py": f"open({str(mark)!r}, 'w').close()\n{line}"})
    files = [f"--{name}_conf={name}.yml" for name in ("model", "data", "eval")]
    given = torch.linspace(-1.0, 1.0, 7).reshape(-1, 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    torch.save(given, empty / "input.pt")
    with filled_server(tmp_path / "server") as server:
        environ = {**server.environ, "WANDB_MODE": None, "PYTHONPATH": str(REPOSITORY)}
        theirs = {
            **environ,
            "WANDB_ENTITY": "mallory",
            "WANDB_PROJECT": "lab",
            "POINTS_ROOT": str(project.data),
        }
        trained = command(
            *(sys.executable, "-m", "jade", "train", *files, "--arch_impl", "modules/nets.py"),
            *("--epochs", "2", "--run_id", "theirs", "--best-metric", "Error"),
            folder=project.folder,
            **theirs,
        )
        assert trained.returncode == 0, trained.stderr
        weights = checkpoint.read(tmp_path / "server/experiments/theirs/best.pt")["attributes"]["net"]
        for folder in (project.folder, project.data, tmp_path / "server/experiments"):
            shutil.rmtree(folder)
        mark.unlink()

        looked = command(sys.executable, "-c", LOOK, mark, folder=empty, **environ)

        assert looked.returncode == 0, looked.stderr
    said = json.loads(looked.stdout)
    refused = said.pop("refused")
    assert said == {"metrics": 7, "hidden": 5, "foreign": True, "executed": False, "trusted": True}
    assert "The run mallory/lab/theirs belongs to mallory, not to you" in refused
    assert "Nothing was executed of its code" in refused
    hidden = torch.tanh(given @ weights["0.weight"].T + weights["0.bias"])
    wanted = hidden @ weights["2.weight"].T + weights["2.bias"]
    assert torch.equal(torch.load(empty / "output.pt", weights_only=True), wanted)
    assert "The data of 'train' are not here" in looked.stderr
