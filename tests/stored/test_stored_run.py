"""A stored run, opened: its own code and weights, wherever and beside whatever it is opened."""

import copy
import importlib
import importlib.metadata
import json
import logging
import random
import shutil
import sys

import numpy as np
import pytest
import torch

import jade
from jade import checkpoint
from jade.errors import AbsentDataError, CheckpointError, ConfigError, PluginError, TrustError

INPUT = torch.linspace(-1.0, 1.0, 7).reshape(-1, 1)


def test_a_run_answers_with_its_weights_where_neither_its_code_nor_its_data_are(
    project, elsewhere, monkeypatch, caplog
):
    folder = project.train("first")
    weights = checkpoint.read(folder / "model.pt")["attributes"]["net"]
    shutil.rmtree(project.data)
    shutil.rmtree(project.folder / "modules")
    caplog.clear()
    monkeypatch.delenv("POINTS_ROOT")
    with caplog.at_level(logging.WARNING):
        run = elsewhere(folder)

        trainer = run.trainer(device="cpu")

    hidden = torch.tanh(INPUT @ weights["0.weight"].T + weights["0.bias"])
    assert torch.equal(trainer(INPUT), hidden @ weights["2.weight"].T + weights["2.bias"])
    assert (trainer.iterations, trainer.epochs, trainer.training) == (6, 2, False)
    assert len(trainer.datasets["train"]) == 12
    assert caplog.messages == [
        f"POINTS_ROOT is not set here: it is {str(project.data)!r}, as the run had it.",
        "The data of 'train' are not here (FileNotFoundError: [Errno 2] No such file or directory:"
        f" '{project.data}/points.txt'): only how many there were is known.",
    ]
    with pytest.raises(AbsentDataError) as absent:
        trainer.datasets["train"][0]
    assert "The data of 'train' are not here, so there are no items.\n  at: data.train" in str(absent.value)
    assert not hasattr(trainer.datasets["train"], "points")


def test_two_versions_of_one_class_are_loaded_beside_the_present_one(project, elsewhere, monkeypatch):
    one = project.train("one")
    project.write(**{"modules/scaling.py": "FACTOR = 10.0\n"})
    other = project.train("other")
    project.write(**{"modules/scaling.py": "FACTOR = 100.0\n"})
    monkeypatch.chdir(project.folder)
    monkeypatch.syspath_prepend(project.folder)
    present = importlib.import_module("modules.scaling")

    trainers = [jade.load_stored(folder).trainer(device="cpu") for folder in (one, other)]

    again = jade.load_stored(one, code="current").trainer(device="cpu")
    outputs = [trainer(INPUT) for trainer in (*trainers, again)]
    assert torch.equal(10 * outputs[0], outputs[1])
    assert torch.equal(100 * outputs[0], outputs[2])
    assert [trainer.late() for trainer in (*trainers, again)] == [1.0, 10.0, 100.0]
    assert present.FACTOR == 100.0


def test_its_evaluations_give_again_what_was_logged_and_leave_the_generators_alone(project, elsewhere):
    run = elsewhere(project.train("run"))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    found = run.evaluate(device="cpu")

    assert found == {name: run.summary[name] for name in ("Error", "Noise")}
    assert run.evaluate("Noise", device="cpu") == {"Noise": run.summary["Noise"]}
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_its_evaluations_run_on_another_data_file(project, elsewhere, tmp_path, caplog):
    run = elsewhere(project.train("run"))
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "points.txt").write_text("0.5\n")
    (tmp_path / "few.yml").write_text(
        f"train:\n  class: Points\n  params: {{root: {tmp_path / 'few'}}}\nmore: {{class: Points, params: {{root: x}}}}\n"
    )
    caplog.clear()

    with caplog.at_level(logging.WARNING):
        found = run.evaluate(["Error"], data_conf=tmp_path / "few.yml", device="cpu")

    point = torch.tensor([[0.5]])
    assert found == {"Error": pytest.approx((run.trainer(device="cpu")(point) - point).abs().item())}
    assert caplog.messages == []  # that there are other numbers of items is what was asked for


def test_one_metric_of_an_evaluation_is_asked_for_by_its_name(project, elsewhere):
    text = """
        from jade.eval import Evaluation


        class Parts(Evaluation):
            def evaluate(self):
                return {"type": "scalars", "value": {"two": 2.0, "four": 4.0}}
        """
    described = "Parts: {class: Parts}\nParts/own: {class: Noise}\n"
    project.write(**{"modules/eval/parts.py": text, "eval.yml": described})
    run = elsewhere(project.train("run"))

    assert run.evaluate("Parts/four") == {"Parts/four": 4.0}
    assert run.evaluate(["Parts/four", "Parts"]) == {"Parts/two": 2.0, "Parts/four": 4.0}
    assert run.evaluate("Parts/own") == {"Parts/own": run.summary["Parts/own"]}
    with pytest.raises(ConfigError, match="'Parts' has not returned 'Parts/tow'.\n  did you mean: Parts/two"):
        run.evaluate("Parts/tow")


def test_an_evaluation_that_is_not_there_is_named_with_those_that_are(project, elsewhere):
    with pytest.raises(ConfigError) as fault:
        elsewhere(project.train("run")).evaluate("Errors")

    assert "has no evaluation 'Errors'.\n  did you mean: Error\n  known: Error, Noise" in str(fault.value)


def test_a_run_says_what_it_was_without_its_code_being_imported(project, elsewhere):
    folder = project.train("run", "model.params.lr=0.05")
    before = {name for name in sys.modules if name.startswith("jade_stored")}

    run = elsewhere(folder)

    assert (run.id, run.name, run.state, run.folder) == ("run", "run", "finished", folder)
    assert run.config["model"] == {"class": "Line", "params": {"lr": 0.05, "hidden": 5}}
    assert run.flat["model.params.lr"] == 0.05
    assert set(run.summary) == {name + end for name in ("Error", "Noise", "Loss") for end in ("", "/best")}
    assert run.history("Error")["iterations"].tolist() == [0, 3, 6]
    assert run.environment["packages"]["torch"] == importlib.metadata.version("torch")
    assert (run.open_code() / "modules" / "models" / "line.py").is_file()
    assert repr(run) == f"<StoredRun {folder}, finished>"
    assert {name for name in sys.modules if name.startswith("jade_stored")} == before


def test_its_configuration_cannot_be_changed_but_copied(project, elsewhere):
    run = elsewhere(project.train("run"))

    with pytest.raises(TypeError, match="cannot be changed"):
        run.config["model"]["params"]["lr"] = 1

    mine = copy.deepcopy(run.config)
    mine["model"]["params"]["lr"] = 1
    assert run.config["model"]["params"]["lr"] == 0.1
    assert json.loads(json.dumps(run.config)) == run.config


def test_variables_are_those_of_this_machine_but_not_where_a_flag_had_said_otherwise(
    project, elsewhere, monkeypatch, tmp_path
):
    (tmp_path / "said").mkdir()
    shutil.copy(project.data / "points.txt", tmp_path / "said")
    plain = project.train("plain")
    overridden = project.train("overridden", f"data.train.params.root={tmp_path / 'said'}")
    monkeypatch.setenv("POINTS_ROOT", "/mine")

    roots = [elsewhere(run).flat["data.train.params.root"] for run in (plain, overridden)]

    assert roots == ["/mine", str(tmp_path / "said")]


def test_a_dataset_of_another_length_is_named(project, elsewhere, caplog):
    folder = project.train("run")
    (project.data / "points.txt").write_text("1\n2\n")
    caplog.clear()

    with caplog.at_level(logging.WARNING):
        elsewhere(folder).trainer(device="cpu")

    assert caplog.messages == ["'train' has 2 items here; the run had 12."]


def test_loading_downloads_nothing_and_datasets_are_as_in_training(project, elsewhere):
    run = elsewhere(project.train("run"))

    assert not run.trainer(device="cpu").datasets["train"].downloaded
    assert run.datasets["train"].downloaded


def test_an_architecture_is_built_from_the_runs_own_file(project, elsewhere):
    run = elsewhere(project.train("run"))

    assert run.architecture("Net", hidden=3)[0].out_features == 3
    with pytest.raises(PluginError, match="did you mean: Net") as fault:
        run.architecture("Nett", hidden=3)
    assert not hasattr(fault.value, "__notes__")


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(project, elsewhere):
    run = elsewhere(project.train("run", "--checkpoint-every", "1"))

    with pytest.raises(CheckpointError) as fault:
        run.trainer(5)

    assert [one.iterations for one in run.checkpoints if one.name.startswith("checkpoint_")] == [3, 6]
    assert run.trainer(3, "cpu").iterations == 3
    assert "has no checkpoint 5.\n  There are 'last' and:\n    checkpoint_3.pt: iteration 3" in str(
        fault.value
    )
    with pytest.raises(CheckpointError, match="--best-metric NAME keeps the best one"):
        run.trainer("best")


def test_weights_that_do_not_fit_the_present_code_are_named_with_their_shapes(project, monkeypatch):
    folder = project.train("run")
    text = (project.folder / "modules" / "nets.py").read_text()
    (project.folder / "modules" / "nets.py").write_text(
        text.replace("nn.Linear(hidden, 1)", "nn.Linear(hidden, 2)")
    )

    with pytest.raises(CheckpointError) as fault:
        jade.load_stored(folder, code="current").trainer(device="cpu")

    assert "net.2.weight has the shape [2, 5], in the checkpoint [1, 5]" in str(fault.value)
    assert fault.value.__notes__ == [f"the checkpoint is {folder / 'model.pt'}"]


def test_code_that_no_longer_imports_is_told_with_the_packages_that_differ(project, elsewhere):
    folder = project.train("run")
    model = folder / "code" / "modules" / "models" / "line.py"
    model.write_text("from torch import gone\n" + model.read_text())
    facts = json.loads((folder / "environment.json").read_text())
    facts["packages"] |= {"torch": "0.4.1", "lost-package": "1.0", "wandb": "0.0"}
    (folder / "environment.json").write_text(json.dumps(facts))

    with pytest.raises(PluginError) as fault:
        elsewhere(folder).trainer()

    assert "cannot import name 'gone' from 'torch'" in str(fault.value)
    assert fault.value.__notes__[0] == (
        f"packages that the run had in other versions:\n  torch 0.4.1 then, {importlib.metadata.version('torch')} now"
    )


def test_what_is_stored_only_after_the_start_is_put_back_too(project, elsewhere):
    text = (project.folder / "modules" / "models" / "line.py").read_text()
    late = '    def on_start(self):\n        self.seen = 0\n        self.add_attribute_to_store("seen")\n\n    def on_epoch_end(self):\n        self.seen += 7\n\n'
    project.write(**{"modules/models/line.py": text.replace("    def forward", late + "    def forward")})

    assert elsewhere(project.train("run")).trainer(device="cpu").seen == 14


def test_a_dataset_within_another_downloads_nothing_either(project, elsewhere):
    project.write(
        **{
            "modules/data/part.py": """
            class Part:
                def __init__(self, whole):
                    self.whole = whole

                def __len__(self):
                    return len(self.whole)

                def __getitem__(self, index):
                    return self.whole[index]
            """,
            "data.yml": """
            train:
              class: Part
              params:
                whole:
                  class: Points
                  params: {root: $POINTS_ROOT, download: true}
            """,
        }
    )

    run = elsewhere(project.train("run"))

    assert not run.trainer(device="cpu").datasets["train"].whole.downloaded
    assert run.datasets["train"].whole.downloaded


def test_data_are_loaded_by_workers_that_are_spawned(project, elsewhere):
    text = (project.folder / "modules" / "eval" / "error.py").read_text()
    spawned = """
    def initialize(self, evaluate_on):
        super().initialize(evaluate_on)
        self.data_loader = torch.utils.data.DataLoader(
            self.datasets[evaluate_on], batch_size=4, num_workers=1, multiprocessing_context="spawn"
        )
"""
    folder = project.train("run")
    path = folder / "code" / "modules" / "eval" / "error.py"
    path.write_text(
        text.replace("class Error(DatasetEvaluation):", f"class Error(DatasetEvaluation):{spawned}")
    )

    run = elsewhere(folder)

    assert run.evaluate("Error", device="cpu") == {"Error": pytest.approx(run.summary["Error"])}


@pytest.fixture
def foreign(project):
    """A run of somebody else's, whose code leaves a mark where it is imported."""
    folder = project.train("theirs")
    mark = folder / "mark"
    model = folder / "code" / "modules" / "models" / "line.py"
    model.write_text(f"open({str(mark)!r}, 'w').close()\n" + model.read_text())
    (folder / "pulled.json").write_text(
        json.dumps({"owner": "mallory", "is_foreign": True, "url": "https://x/y"})
    )
    return folder


def test_nothing_of_another_entitys_code_is_executed_before_it_is_trusted(foreign, elsewhere):
    mark = foreign / "mark"
    for use in (
        lambda run: run.trainer(),
        lambda run: run.evaluate(),
        lambda run: run.architecture("Net"),
        lambda run: run.datasets,
    ):
        run = elsewhere(foreign)

        with pytest.raises(TrustError) as refused:
            use(run)

        assert f"The run {foreign} belongs to mallory, not to you, https://x/y." in str(refused.value)
        assert "trust_code=True, or --trust-code" in str(refused.value)
        assert run.open_code().is_dir()
        assert run.flat["model.params.hidden"] == 5
        assert not mark.exists()
    elsewhere(foreign, trust_code=True).trainer(device="cpu")
    assert mark.exists()


def test_trust_holds_for_the_same_code_and_for_no_other(foreign, elsewhere):
    elsewhere(foreign, trust_code=True).trainer(device="cpu")
    elsewhere(foreign).trainer(device="cpu")
    (foreign / "code" / "modules" / "scaling.py").write_text("FACTOR = 7\n")

    with pytest.raises(TrustError):
        elsewhere(foreign).trainer()


def test_a_configuration_that_calls_installed_functions_is_no_more_trusted_than_code(
    foreign, project, monkeypatch
):
    text = (foreign / "config.yml").read_text()
    (foreign / "config.yml").write_text(
        text.replace("class: Points", "class: os.makedirs").replace("download: true", "mode: 511")
    )
    (project.folder / "pwned").mkdir()

    with pytest.raises(TrustError) as refused:
        jade.load_stored(foreign, code="current").trainer()

    assert "what its configuration calls: os.makedirs" in str(refused.value)


def test_trust_in_the_code_of_one_entity_is_none_in_what_another_makes_of_it(foreign, elsewhere, project):
    elsewhere(foreign, trust_code=True).trainer(device="cpu")
    config, origin = (foreign / "config.yml").read_text(), (foreign / "pulled.json").read_text()

    for name, text in (
        ("config.yml", config.replace("class: Line", "class: modules.scaling.FACTOR")),
        ("pulled.json", origin.replace("mallory", "trudy")),
        ("pulled.json", "{damaged"),
        ("code/modules/__pycache__/more.py", ""),
    ):
        path = foreign / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        with pytest.raises(TrustError):
            elsewhere(foreign).trainer(device="cpu")
        path.unlink()
        (foreign / "config.yml").write_text(config)
        (foreign / "pulled.json").write_text(origin)
    assert elsewhere(foreign).trainer(device="cpu").iterations == 6


def test_an_architecture_file_beside_the_trusted_code_is_not_executed(foreign, elsewhere, tmp_path):
    elsewhere(foreign, trust_code=True).trainer(device="cpu")
    mark = tmp_path / "executed"
    (foreign / "yaml" / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()")
    config = (foreign / "config.yml").read_text()

    for named in ("../yaml/evil.py", "modules/../../yaml/evil.py", str(foreign / "yaml" / "evil.py")):
        (foreign / "config.yml").write_text(config.replace("modules/nets.py", named))
        with pytest.raises(PluginError, match="There is no architecture file"):
            elsewhere(foreign).architecture("Net")

    assert not mark.exists()


def test_an_architecture_file_that_a_foreign_run_names_is_not_executed_as_present_code(foreign, project):
    config = (foreign / "config.yml").read_text()

    for named in ("experiments/theirs/code/modules/nets.py", str(foreign / "code/modules/nets.py")):
        (foreign / "config.yml").write_text(config.replace("modules/nets.py", named))
        with pytest.raises(TrustError) as refused:
            jade.load_stored(foreign, code="current").architecture("Net")

        assert f"what its configuration calls: arch_impl {named}" in str(refused.value)


def test_the_present_code_needs_no_trust(foreign, project):
    run = jade.load_stored(foreign, code="current")

    assert run.trainer(device="cpu").iterations == 6
    assert not (foreign / "mark").exists()


def test_code_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="did you mean: current"):
        jade.load_stored("x", code="curent")


def test_the_same_code_in_two_folders_is_as_good_as_in_one(project, elsewhere, tmp_path):
    folder = project.train("run")
    shutil.copytree(folder, tmp_path / "copy")

    trainers = [elsewhere(path).trainer(device="cpu") for path in (folder, tmp_path / "copy")]

    assert type(trainers[0]) is type(trainers[1])
    assert torch.equal(trainers[0](INPUT), trainers[1](INPUT))


def test_a_notebook_in_a_folder_of_the_project_finds_its_runs_variables_and_modules(
    project, monkeypatch, tmp_path
):
    project.train("run")
    (project.folder / ".env").write_text(f"POINTS_ROOT={tmp_path / 'said'}\n")
    monkeypatch.delenv("POINTS_ROOT")
    (project.folder / "notebooks" / "mine").mkdir(parents=True)
    monkeypatch.chdir(project.folder / "notebooks" / "mine")

    run = jade.load_stored("run", code="current")

    assert run.folder == project.folder / "experiments" / "run"
    assert run.flat["data.train.params.root"] == str(tmp_path / "said")
    assert run.trainer(device="cpu").iterations == 6
    assert [run.id for run in jade.runs()] == ["run"]


def test_another_data_file_is_for_the_evaluations_and_need_not_have_what_the_trainer_wants(
    project, elsewhere, tmp_path
):
    text = EVALUATION_ON_OTHER.replace("ROOT", str(project.data))
    (tmp_path / "other.yml").write_text(text)
    (tmp_path / "eval.yml").write_text("Error: {class: Error, params: {evaluate_on: other}}\n")
    run = elsewhere(project.train("run"))

    found = run.evaluate(data_conf=tmp_path / "other.yml", eval_conf=tmp_path / "eval.yml", device="cpu")

    assert found == {"Error": pytest.approx(run.summary["Error"])}


EVALUATION_ON_OTHER = "other: {class: Points, params: {root: ROOT}}\n"


FROM_THE_START = """
import torch

from jade.eval import Evaluation


class Moved(Evaluation):
    def initialize(self):
        self.start = [parameter.detach().clone() for parameter in self.trainer.net.parameters()]
        self.drawn = torch.randn(())

    def evaluate(self):
        pairs = zip(self.start, self.trainer.net.parameters(), strict=True)
        moved = sum((one - other).abs().sum() for one, other in pairs)
        return {"type": "scalar", "value": (moved + self.drawn + self.trainer.started).item()}
"""


def test_an_evaluation_finds_the_trainer_as_it_was_when_the_run_began_also_from_another_runs_weights(
    project, elsewhere
):
    text = (project.folder / "modules/models/line.py").read_text()
    late = "    def on_start(self):\n        self.started = torch.rand(())\n\n"
    project.write(
        **{
            "modules/eval/moved.py": FROM_THE_START,
            "modules/models/line.py": text.replace("    def forward", late + "    def forward"),
            "eval.yml": "Moved: {class: Moved}\n",
        }
    )
    first = project.train("first")
    second = project.train("second", "--init-from", "first")
    shutil.rmtree(first / "code")

    run = elsewhere(second)

    assert run.evaluate(device="cpu") == {"Moved": run.summary["Moved"]}
    assert run.trainer(device="cpu").iterations == 6
    (second / "init.pt").write_bytes(b"damaged")
    assert elsewhere(second).evaluate(device="cpu") != {"Moved": run.summary["Moved"]}
