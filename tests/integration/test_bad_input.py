"""Bad input of every kind: exit code 2, a text that mends it, no traceback, nothing left behind."""

import shutil
import sys
from pathlib import Path

import pytest

from jade import cli
from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "jade" / "template"
MODEL, DATA, EVAL = (
    "configurations/models/classifier.yml",
    "configurations/data/spirals.yml",
    "configurations/eval/spirals.yml",
)
TRAINER, ARCHITECTURE = "modules/models/classifier.py", "modules/architectures/mlp.py"
DATASET, METRICS = "modules/data/spirals.py", "modules/eval/classification.py"
FLAGS = {"--model_conf": MODEL, "--data_conf": DATA, "--eval_conf": EVAL, "--arch_impl": ARCHITECTURE}


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = Path(shutil.copytree(TEMPLATE, tmp_path / "it's a project"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("DEVICE", "EXPERIMENTS_ROOT", "JADE_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "modules"]:
        del sys.modules[name]


@pytest.fixture
def refused(project, capsys):
    """Run the project's job and give the text with which it was refused."""

    def run(*arguments, **flags):
        given = {**FLAGS, **{f"--{name}": value for name, value in flags.items()}}
        pairs = [text for flag, value in given.items() if value is not None for text in (flag, value)]
        code = cli.main([*pairs, "--tracker", "local", "--epochs", "1", *arguments], project)
        text = capsys.readouterr().err
        assert code == 2, text
        assert "Traceback" not in text
        assert not (project / "experiments").exists()
        return text

    return run


@pytest.fixture
def edit(project):
    def change(name, before, after):
        text = (project / name).read_text()
        assert before in text
        (project / name).write_text(text.replace(before, after))

    return change


def test_the_project_itself_is_not_refused(project, capsys):
    pairs = [text for pair in FLAGS.items() for text in pair]

    assert cli.main([*pairs, "--tracker", "local", "--epochs", "1"], project) == 0


# What is done to a file, and what the message must say.
BROKEN = {
    "yaml syntax": (MODEL, "lr: 0.01", "lr: [0.01", [f"{MODEL} is not YAML", f"{MODEL}:"]),
    "tab": (MODEL, "  lr: 0.01", "\tlr: 0.01", [f"at: {MODEL}:7", "tab"]),
    "unknown section": (MODEL, "params:", "parms:", ["no key 'parms'", f"{MODEL}:3 (model.parms)", "did you mean: params"]),
    "no class": (MODEL, "class: ClassifierTrainer", "", ["There is no class.", "(model)"]),
    "class is a number": (MODEL, "class: ClassifierTrainer", "class: 3", ["3 is no name of a class", f"{MODEL}:2"]),
    "unknown class": (MODEL, "class: ClassifierTrainer", "class: Clasifier", [
        "There is no class 'Clasifier'", f"{MODEL}:2 (model.class)", "did you mean: ClassifierTrainer", "looked in",
    ]),
    "class of another kind": (MODEL, "class: ClassifierTrainer", "class: Accuracy", ["modules/eval has a class of this name"]),
    "unknown param": (MODEL, "lr: 0.01", "learning_rate: 0.01", [
        "takes no parameter 'learning_rate'", f"{MODEL}:7 (model.params.learning_rate)", "known: batch_size, layers, lr",
        "needs the parameter 'lr'",
    ]),
    "param of the scope": (MODEL, "lr: 0.01", "lr: 0.01\n  device: cpu", ["'device'", "has a name that JADE uses itself", f"{MODEL}:8"]),
    "params is a list": (MODEL, "params:\n  layers:\n    - 64\n    - 64\n  lr: 0.01\n  batch_size: 64", "params: [1]", [
        "params is a list", f"{MODEL}:3 (model.params)",
    ]),
    "multi-line list": (MODEL, "    - 64\n    - 64", "    -64\n    -64", ["runs over several lines", "layers:\n    - 64\n    - 64"]),
    "duplicate key": (MODEL, "lr: 0.01", "lr: 0.01\n  lr: 0.1", ["'lr' stands twice", f"first at {MODEL}:7", f"{MODEL}:8"]),
    "missing variable": (MODEL, "lr: 0.01", "lr: $RATE_OF_LEARNING", ["RATE_OF_LEARNING is not set", f"{MODEL}:7 (model.params.lr)"]),
    "variable in a flow list": (MODEL, "    - 64\n    - 64", "    [${N}]", ["write $N there"]),
    "unknown dataset class": (DATA, "class: Spirals", "class: Spiral", ["did you mean: Spirals", f"{DATA}:3 (data.train.class)", f"{DATA}:9 (data.test.class)"]),
    "unknown dataset param": (DATA, "n_points: 1000", "points: 1000", ["Spirals takes no parameter 'points'", "did you mean: n_points"]),
    "dataset is no mapping": (DATA, "train:", "valid: 3\ntrain:", ["data.valid is a number", "class: NameOfTheClass"]),
    "wrong dataset name": (DATA, "train:", "training:", ["There is no dataset 'train'", "known: test, training", "did you mean: training"]),
    "evaluation of a dataset that is not there": (EVAL, "evaluate_on: test\n\n", "evaluate_on: tset\n\n", [
        "There is no dataset 'tset'", "did you mean: test", "while building eval.TestAccuracy",
    ]),
    "interval": (EVAL, "evaluate_every: 10", "evaluate_every: 0", ["0 is not above 0", f"{EVAL}:12"]),
    "interval with a wrong unit": (EVAL, "evaluate_every: 10", "evaluate_every: 10 epcohs", ["did you mean: epochs"]),
    "unknown evaluation param": (EVAL, "evaluate_every: 10", "evaluate_evry: 10", ["no parameter 'evaluate_evry'", "known:"]),
    "missing evaluation param": (EVAL, "    evaluate_on: test\n\n", "    batch_size: 3\n\n", ["Accuracy needs the parameter 'evaluate_on'"]),
    "evaluation named like a column": (EVAL, "TestAccuracy:", "row:", [
        "'row' is what everything is logged against, and no name for an evaluation.", f"{EVAL}:2 (eval.row)",
    ]),
    "dotted key": (EVAL, "TestAccuracy:", "Test.Accuracy:", ["holds a dot", f"{EVAL}:2"]),
    "python that does not parse": (TRAINER, "def train_step(self", "def train_step(self,,", [
        "There is no class 'ClassifierTrainer'", "not read:", "classifier.py: invalid syntax",
    ]),
    "python that fails": (TRAINER, "class ClassifierTrainer", "1 / 0\n\n\nclass ClassifierTrainer", [
        "classifier.py cannot be imported", "ZeroDivisionError", "| ",
    ]),
    "import of what is not installed": (TRAINER, "from torch import Tensor", "import not_there\nfrom torch import Tensor", [
        "No module named 'not_there'", "import not_there",
    ]),
    "class of another base": (TRAINER, "class ClassifierTrainer(Trainer)", "class ClassifierTrainer", [
        "ClassifierTrainer is no Trainer", "from jade.trainer import Trainer",
    ]),
    "own constructor": (TRAINER, "    def initialize(", "    def __init__(self):\n        pass\n\n    def initialize(", [
        "ClassifierTrainer overrides __init__", "initialize",
    ]),
    "no train_loader": (TRAINER, "self.train_loader =", "loader =", ["sets no train_loader", "self.train_loader = DataLoader("]),
    "loader is a dataset": (TRAINER, 'DataLoader(self.datasets["train"], batch_size=batch_size, shuffle=True)', 'self.datasets["train"]', [
        "is a Spirals, which gives no batches",
    ]),
    "empty loader": (TRAINER, "shuffle=True", "shuffle=True, drop_last=True", ["has no batches", "drop_last"]),
    "no train_step": (TRAINER, "def train_step", "def training_step", ["defines no train_step"]),
    "stored attribute that is not there": (TRAINER, 'to_store("network")', 'to_store("netwrk")', [
        "stores the attribute 'netwrk'", "did you mean: network",
    ]),
    "stored attribute of a wrong type": (TRAINER, "# What a checkpoint holds.", "self.add_attribute_to_store('datasets')", [
        "The attribute 'datasets'", "cannot be stored", "state_dict",
    ]),
    "unknown architecture": (TRAINER, '"Classifier"', '"Clasifier"', ["has no 'Clasifier'", "did you mean: Classifier", ARCHITECTURE]),
    "unknown architecture param": (TRAINER, "layers=layers)", "widths=layers)", [
        "Classifier takes no parameter 'widths'", "mlp.py", "needs the parameter 'layers'",
    ]),
    "architecture file that fails": (ARCHITECTURE, "class Classifier", "import nope\n\n\nclass Classifier", ["mlp.py cannot be imported", "nope"]),
    "dataset without a length": (DATASET, "def __len__", "def length", ["which has no __len__", "Add to the class"]),
    "wrong type of entry": (METRICS, '"type": "figure"', '"type": "plot"', ["returned the type 'plot'", "TestDecisionBoundary"]),
}  # fmt: skip
# What only a step or an evaluation shows: the folder is there by then.
AFTER_THE_START = {"wrong type of entry"}


@pytest.mark.parametrize("case", [case for case in BROKEN if case not in AFTER_THE_START])
def test_a_broken_file_is_refused_with_what_to_change(case, edit, refused):
    name, before, after, expected = BROKEN[case]
    edit(name, before, after)
    arguments = ["model.params.batch_size=2000"] if case == "empty loader" else []

    text = refused(*arguments)

    for part in expected:
        assert part in text


@pytest.mark.parametrize("case", sorted(AFTER_THE_START))
def test_what_only_shows_in_the_run_ends_it_as_failed(case, project, edit, capsys):
    name, before, after, expected = BROKEN[case]
    edit(name, before, after)

    pairs = [text for pair in FLAGS.items() for text in pair]
    code = cli.main([*pairs, "--tracker", "local", "--epochs", "1"], project)

    text = capsys.readouterr().err
    assert code == 2
    for part in expected:
        assert part in text
    (status,) = project.glob("experiments/*/status.json")
    assert '"status": "failed"' in status.read_text()


ARGUMENTS = {
    "abbreviated flag": (["--epoch", "3"], ["There is no flag --epoch", "did you mean: --epochs"]),
    "misspelled flag": (["--devcie=cpu"], ["did you mean: --device"]),
    "stray word": (["fast"], ["'fast' is neither a flag nor an override"]),
    "flag without value": (["--run_name"], ["--run_name", "expected one argument"]),
    "unknown key": (
        ["model.params.lrr=1"],
        ["no configuration file defines it", "did you mean: model.params.lr"],
    ),
    "key in the wrong group": (["data.params.lr=1"], ["did you mean: model.params.lr"]),
    "group": (["model.params=3"], ["is a group of params", "model.params.layers"]),
    "wrong kind": (
        ["model.params.lr=fast"],
        ["model.params.lr is set to 'fast', which is text; a number is expected"],
    ),
    "text for a list": (
        ["model.params.layers=-64 -64"],
        ["a list is expected", "A list is written [64, 64]"],
    ),
    "number for a list": (["model.params.layers=64"], ["which is a number; a list is expected"]),
    "bad yaml": (["model.params.layers=[64"], ["is not YAML"]),
    "interval of nothing": (["--backup-every", "-1"], ["'-1' is not above 0", "--backup-every"]),
    "interval of nonsense": (
        ["--log-loss-every", "often"],
        ["'often' says not how often", "--log-loss-every"],
    ),
    "part of an epoch": (["--checkpoint-every", "0.5"], ["no whole number of epochs"]),
    "tracker": (["--tracker", "wand"], ["There is no tracker 'wand'", "did you mean: wandb"]),
    "device": (["--device", "gpu"], ["The device 'gpu' is not on this machine", "known: cpu"]),
    "epochs": (["--epochs", "many"], ["epochs is 'many'; it takes a whole number of at least 1", "--epochs"]),
    "no epochs": (["--epochs", "0"], ["epochs is 0"]),
    "seed": (["--seed", "-4"], ["seed is -4", "from 0 to 4294967295"]),
    "deterministic with a value": (["--deterministic=no"], ["deterministic", "--help lists the flags"]),
    "deterministic as a number": (
        ["deterministic=2"],
        ["deterministic", "is a number; true or false is expected"],
    ),
    "number of checkpoints": (
        ["--keep-checkpoints", "0"],
        ["'0' is no number of checkpoints.", "--keep-checkpoints", "Write a number above 0, or all."],
    ),
    "time limit": (["--time-limit", "later"], ["'later' is no time.", "--time-limit", '"1h 30m"']),
    "code": (["--code", "old"], ["There is no code 'old'.", "--code", "known: current, snapshot"]),
    "nothing to continue": (["--resume", "auto"], ["--resume auto has no run to look for.", "--run_id ID"]),
    "files of a run that has its own": (
        ["--resume", "abc"],
        ["--model_conf, --data_conf, --eval_conf, --arch_impl cannot be given with --resume RUN"],
    ),
    "id that leads elsewhere": (["--run_id", "../x"], ["'../x' is no run id", "at: --run_id"]),
    "env file": (["--env-file", "nope.env"], ["There is no file nope.env", "--env-file"]),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_wrong_argument_is_refused_with_what_to_write(case, refused):
    arguments, expected = ARGUMENTS[case]

    text = refused(*arguments)

    for part in expected:
        assert part in text


def test_a_run_to_continue_that_is_not_there_is_refused(project, capsys):
    assert cli.main(["--resume", "abc", "--tracker", "local"], project) == 2

    text = capsys.readouterr().err
    assert "There is no run 'abc', neither as a folder nor in experiments." in text
    assert "Traceback" not in text
    assert not (project / "experiments").exists()


def test_a_run_id_that_is_taken_names_the_flag_that_gave_it_and_how_to_continue(project, capsys):
    job = [
        *(text for pair in FLAGS.items() for text in pair),
        "--tracker=local",
        "--epochs=1",
        "--run_id=mine",
    ]
    assert cli.main(job, project) == 0
    capsys.readouterr()

    assert cli.main(job, project) == 2

    text = capsys.readouterr().err
    assert "There is a run 'mine'" in text
    assert "at: --run_id" in text
    assert "--resume auto continues it." in text


def test_several_wrong_arguments_are_told_at_once(refused):
    text = refused("--epoch", "3", "model.params.layers=[1", "--backup-every", "no")

    assert text.startswith("3 faults were found.")
    assert all(part in text for part in ("--epochs", "is not YAML", "says not how often"))


def test_faults_of_all_three_files_are_told_at_once(edit, refused):
    edit(MODEL, "lr: 0.01", "lr: $NOT_SET_ONE")
    edit(DATA, "seed: 0", "seed: $NOT_SET_TWO")
    edit(EVAL, "TestAccuracy:", "Test.Accuracy:")

    text = refused()

    assert text.startswith("3 faults were found.")
    assert all(part in text for part in ("NOT_SET_ONE", "NOT_SET_TWO", "holds a dot"))


def test_missing_files_name_those_that_are_there(refused):
    text = refused(model_conf="configurations/models/clasifier.yml", arch_impl="modules/architectures/mpl.py")

    assert "There is no file configurations/models/clasifier.yml" in text
    assert "did you mean: configurations/models/classifier.yml" in text


def test_a_missing_architecture_file_names_those_that_are_there(refused):
    text = refused(arch_impl="modules/architectures/mpl.py")

    assert "There is no architecture file modules/architectures/mpl.py" in text
    assert "did you mean: modules/architectures/mlp.py" in text


def test_a_folder_given_as_a_file_is_refused(refused):
    assert "cannot be read: Is a directory" in refused(data_conf="configurations")


def test_missing_flags_are_all_named(refused):
    text = refused(model_conf=None, eval_conf=None)

    assert "Not given: --model_conf, --eval_conf." in text


def test_files_given_in_each_others_place_are_recognized(refused):
    assert "given to --model_conf by mistake" in refused(model_conf=DATA)
    assert "Is it a model file, given to --data_conf by mistake?" in refused(data_conf=MODEL)


def test_the_same_class_in_two_files_is_refused_when_it_is_asked_for(project, refused):
    shutil.copy(project / TRAINER, project / "modules/models/copy.py")

    text = refused()

    assert "The class ClassifierTrainer is defined in 2 files." in text
    assert "classifier.py:" in text
    assert "copy.py:" in text


def test_a_broken_file_that_is_not_needed_does_no_harm(project, capsys):
    (project / "modules/models/unfinished.py").write_text("def (")
    (project / "modules/eval/other.py").write_text("import not_there")
    pairs = [text for pair in FLAGS.items() for text in pair]

    assert cli.main([*pairs, "--tracker", "local", "--epochs", "1"], project) == 0


def test_an_experiments_folder_that_cannot_be_made_is_refused(project, refused):
    (project / "file").write_text("")

    assert "cannot be made" in refused("--experiments-root", "file/runs")
    assert "file is no folder" in refused("--experiments-root", "file")


def test_a_folder_without_modules_is_no_project(tmp_path, capsys):
    code = cli.main([text for pair in FLAGS.items() for text in pair], tmp_path)

    text = capsys.readouterr().err
    assert code == 2
    assert "There is no folder modules/" in text
    assert "python -m jade new DIR" in text


def test_the_traceback_of_a_users_mistake_is_shown_on_request(project, monkeypatch):
    monkeypatch.setenv("JADE_TRACEBACK", "1")

    with pytest.raises(Exception, match="Not given: --model_conf"):
        cli.main([], project)
