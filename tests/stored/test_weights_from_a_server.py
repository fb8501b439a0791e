"""A run that begins with weights which a server has: found, fetched, and shown on the server as used."""

import pytest
import torch
import wandb

from jade import checkpoint, config, warm
from jade.errors import JadeError, shown
from jade.record import Record
from jade.tracking.wandb_run import WandbTracker
from tests.stored.remote_runs import artifact

pytestmark = pytest.mark.usefixtures("without_account")


@pytest.fixture
def written(tmp_path):
    """Give the bytes of a checkpoint whose only weight is a number."""

    def content(number, iterations):
        path = tmp_path / "written.pt"
        attributes = {"net": {"weight": torch.full((1, 1), number)}}
        checkpoint.write(
            path,
            {"format": 1, "run": "abc", "iterations": iterations, "epochs": 1, "attributes": attributes},
        )
        return path.read_bytes()

    return content


def opened(filled, folder, named):
    asked = config.Config({"init_from": named}, {"init_from": "m.yml:3"}, {})
    found = warm.opened(asked, warm.Lookup(folder / "experiments", filled.environ))
    return found.states["net"]["weight"].item(), found.facts


def test_a_run_and_an_artifact_are_named_alike_and_only_the_file_that_is_wanted_is_fetched(
    filled, tmp_path, written
):
    files = {"config.yml": "seed: 1\n", "model.pt": written(1.0, 5), "checkpoint_3.pt": written(3.0, 3)}
    path = filled.run(files=files)
    artifact(filled, tmp_path, "abc-model", files={"best.pt": written(7.0, 4)}, run_id="made")

    last, facts = opened(filled, tmp_path, path)
    numbered, _ = opened(filled, tmp_path, f"{path}:3")
    alias, of_artifact = opened(filled, tmp_path, "local/p/abc-model:best")
    version, _ = opened(filled, tmp_path, "local/p/abc-model:v0")
    with pytest.raises(JadeError) as caught:
        opened(filled, tmp_path, f"{path}:best")
    with pytest.raises(JadeError) as unknown:
        opened(filled, tmp_path, "local/p/abd:best")

    assert (last, numbered, alias, version) == (1.0, 3.0, 7.0, 7.0)
    assert (facts["run"], facts["id"], facts["checkpoint"]) == (path, "abc", "model.pt")
    assert of_artifact["artifact"] == "local/p/abc-model:v0"
    assert "The run local/p/abc has no checkpoint 'best'." in shown(caught.value)
    assert "at: m.yml:3 (init_from)" in shown(caught.value)
    assert "There is no run 'abd' in local/p" in shown(unknown.value)


def test_the_server_shows_which_artifact_a_run_began_with(filled, tmp_path, written, monkeypatch, caplog):
    artifact(filled, tmp_path, "abc-model", files={"best.pt": written(7.0, 4)}, run_id="made")
    for key, value in {**filled.environ, "WANDB_SILENT": "true", "WANDB_PROJECT": "p"}.items():
        monkeypatch.setenv(key, value)
    wandb.teardown()
    record = Record(tmp_path / "experiments", "second")
    record.create()
    tracker = WandbTracker(record, {**filled.environ, "WANDB_ENTITY": "local", "WANDB_PROJECT": "p"})

    tracker.start({"init_from": "local/p/abc-model:best"})
    tracker.uses("local/p/abc-model:v0")
    tracker.uses("local/p/absent:v0")
    tracker.finish("finished", 0)
    used = wandb.Api().artifact("local/p/abc-model:v0").used_by()
    wandb.teardown()

    assert [run.id for run in used] == ["second"]
    assert "W&B does not show that the run begins with local/p/absent:v0" in caplog.text
