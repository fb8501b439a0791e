import pytest
import yaml

from jade import sweep_check, sweep_file, sweep_new
from jade.commands import sweep as command
from jade.errors import ConfigError, JadeError
from jade.sweep_notation import spec_of

FLAGS = ["--model_conf", "m.yml", "--data_conf=d.yml", "--eval_conf", "e.yml", "--arch_impl", "net.py"]


@pytest.fixture
def project(written):
    written.write("train.py", "from jade.cli import main\n")
    return written


@pytest.mark.parametrize(
    ("notation", "default", "spec"),
    [
        ("1,2,3", 0, {"values": [1, 2, 3]}),
        ("7", 0, {"value": 7}),
        ("[64,32],[128]", [], {"values": [[64, 32], [128]]}),
        ("a, b", "x", {"values": ["a", "b"]}),
        ("../a.py,b.py", "x", {"values": ["../a.py", "b.py"]}),
        ("true,null", False, {"values": [True, None]}),
        ("log:1e-5..1", 0.5, {"distribution": "log_uniform_values", "min": 1e-5, "max": 1}),
        ("1..5", 3, {"distribution": "int_uniform", "min": 1, "max": 5}),
        ("1..5", 0.5, {"distribution": "uniform", "min": 1.0, "max": 5.0}),
        ("-.5..1.5", 1, {"distribution": "uniform", "min": -0.5, "max": 1.5}),
        ("q:8:8..64", 3, {"distribution": "q_uniform", "q": 8, "min": 8, "max": 64}),
        ("normal:0:1e-2", 0.5, {"distribution": "normal", "mu": 0, "sigma": 0.01}),
    ],
)
def test_a_notation_becomes_a_distribution(notation, default, spec):
    assert spec_of("k", notation, default) == spec


@pytest.mark.parametrize(
    "notation", ["log:a..1", "log:1", "q:1..2", "normal:1", "[1,2", "q:x:1..2", "normal:a:b"]
)
def test_what_is_no_notation_is_told_what_there_is(notation):
    with pytest.raises(ConfigError, match="(?s)does not say which values k takes.*at: --sweep k.*log:LO..HI"):
        spec_of("k", notation, 0.5)


SWEPT = {
    "a list": ["--sweep", "model.params.lr=0.1,1e-3"],
    "everything": [
        "--sweep=model.params.lr=log:1e-5..1", "--sweep", "seed=1,2,3", "--sweep", "epochs=1..5",
        "--sweep", "data.train.params.n=q:2:2..6", "--method", "bayes", "--metric", "Norm", "--goal", "minimize",
        "--run-cap", "7", "--epochs", "3", "--deterministic", "data.train.params.scale=null", "--log-loss-every", "10 iterations",
    ],
    "an alias": ["--sweep", "model.lr=0..1"],
    "an architecture and a class": ["--sweep", "arch_impl=net.py,./net.py", "--sweep", "eval.Norm.class=Norm"],
    "a loss item": ["--sweep", "seed=1..5", "--metric", "loss"],
    "local": ["--sweep", "seed=1..5", "--goal", "maximize", "--metric", "Norm/best"],
}  # fmt: skip


@pytest.mark.parametrize("name", SWEPT)
def test_what_is_written_passes_the_check(project, name, capsys):
    project.write("d.yml", "train:\n  class: Points\n  params:\n    n: 6\n    scale: null\n")

    assert command.run(["new", *FLAGS, *SWEPT[name], "-o", "sweeps/new sweep.yml"]) == 0

    checked = sweep_check.check(sweep_file.read(project.root / "sweeps/new sweep.yml"), {})
    assert (checked.faults, checked.warnings) == ([], [])
    assert "new sweep.yml: " in capsys.readouterr().out


def test_the_file_holds_what_was_asked_for(project, capsys):
    project.write("d.yml", "train:\n  class: Points\n  params:\n    n: 6\n    scale: null\n")

    command.run(["new", *FLAGS, *SWEPT["everything"]])

    values = yaml.safe_load(capsys.readouterr().out)
    assert values == {
        "program": "train.py",
        "command": [
            "${env}", "${interpreter}", "${program}", "--model_conf=m.yml", "--data_conf=d.yml", "--eval_conf=e.yml",
            "--arch_impl=net.py", "--epochs=3", "--deterministic", "--log-loss-every=10 iterations",
            "data.train.params.scale=null",
        ],
        "method": "bayes",
        "run_cap": 7,
        "metric": {"name": "Norm", "goal": "minimize"},
        "parameters": {
            "model.params.lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1},
            "seed": {"values": [1, 2, 3]},
            "epochs": {"distribution": "int_uniform", "min": 1, "max": 5},
            "data.train.params.n": {"distribution": "q_uniform", "q": 2, "min": 2, "max": 6},
        },
    }  # fmt: skip


def test_every_other_value_is_listed_with_its_default(project, capsys):
    command.run(["new", *FLAGS, "--sweep", "model.params.lr=0.1,0.2"])

    text = capsys.readouterr().out
    listed = text[text.index("# What else can be swept") :].splitlines()[1:]
    assert listed == [
        "#   model.class: LineTrainer",
        "#   data.train.class: Points",
        "#   data.train.params.n: 6",
        "#   eval.Norm.class: Norm",
        "#   arch_impl: net.py",
        "#   seed: 42",
        "#   epochs: 100",
        "#   deterministic: false",
    ]


@pytest.mark.parametrize(
    ("swept", "method", "cap"),
    [(["seed=1,2"], "grid", None), (["seed=1,2", "model.params.lr=0..1"], "random", 20)],
)
def test_lists_alone_make_a_grid_and_a_range_a_random_search(project, capsys, swept, method, cap):
    command.run(["new", *FLAGS, *(word for text in swept for word in ("--sweep", text))])

    values = yaml.safe_load(capsys.readouterr().out)
    assert (values["method"], values.get("run_cap")) == (method, cap)


def test_a_metric_that_grows_by_its_name_asks_for_its_goal(project, capsys):
    project.write("e.yml", "Accuracy:\n  class: Norm\n")

    command.run(["new", *FLAGS, "--sweep", "seed=1,2", "--metric", "Accuracy"])

    printed = capsys.readouterr()
    assert (
        "# minimize or maximize: less is taken to be better.\nmetric:\n  name: Accuracy\n  goal: minimize\n"
        in printed.out
    )
    assert printed.err == "warning: --goal: Accuracy is minimized; --goal maximize looks for more.\n"


@pytest.mark.parametrize(
    ("words", "problem", "way_out"),
    [
        ([], "Nothing is swept.", "KEY=LO..HI"),
        (["--sweep", "seed"], "'seed' does not say what is tried.", "KEY=1,2,3"),
        (["--sweep", "seed=1", "--sweep", "seed=2"], "seed is swept twice.", "at: --sweep"),
        (["--sweep", "model.lr=1", "--sweep", "model.params.lr=2"], "model.params.lr is swept twice.", "at: --sweep"),
        (["--sweep", "model.params.lrr=1,2"], "'model.params.lrr' is set, but no configuration file defines it.", "did you mean: model.params.lr"),
        (["--sweep", "model.params.lr=a,b"], "model.params.lr is set to 'a', which is text; a number is expected", "at: --sweep model.params.lr"),
        (["--sweep", "model.params.lr=log:0..1"], "log_uniform_values needs one above 0", "at: --sweep model.params.lr"),
        (["--sweep", "model.params.lr=0..1", "--method", "grid"], "A grid cannot try every value of model.params.lr", "at: --sweep model.params.lr"),
        (["--sweep", "seed=1,2", "--method", "bayes"], "bayes needs a metric, and the sweep has none.", "at: --method"),
        (["--sweep", "seed=1,2", "--metric", "Nrom"], "No run of this sweep logs a number as 'Nrom'.", "did you mean: Norm"),
        (["--sweep", "seed=1,2", "--run_cap", "0"], "run_cap is 0; a whole number of at least 1 is expected.", "at: --run_cap"),
        (["--sweep", "seed=1,2", "--method", "gird"], "invalid choice: 'gird'", "--help lists the flags."),
        (["--sweep", "seed=1,2", "--devise", "cpu"], "There is no flag --devise.", "did you mean: --device"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused(project, words, problem, way_out):
    with pytest.raises(JadeError) as caught:
        command.run(["new", *FLAGS, *words])

    assert problem in str(caught.value)
    assert way_out in str(caught.value)


def test_the_last_json_of_a_command_line_counts_as_it_does_for_a_run(project, capsys):
    words = ['{"model.params.lr": 0.7}', '{"model": {"params": {"lr": 0.8}}}']

    command.run(["new", *FLAGS, *words, "--sweep", "seed=1,2"])

    written = capsys.readouterr().out
    assert "  - model.params.lr=0.8\n" in written
    assert "#   model.params.lr: 0.8\n" in written
    assert "0.7" not in written


def test_all_faults_come_out_together(project):
    with pytest.raises(JadeError) as caught:
        command.run(
            ["new", *FLAGS, "--sweep", "seed=-1", "--sweep", "model.params.lr=log:0..1", "--metric", "Nrom"]
        )

    assert str(caught.value).startswith("3 faults were found.")


def test_a_file_that_is_there_is_left_alone(project):
    project.write("sweep.yml", "mine\n")

    with pytest.raises(ConfigError, match=r"sweep.yml is there already."):
        command.run(["new", *FLAGS, "--sweep", "seed=1,2", "-o", "sweep.yml"])

    assert (project.root / "sweep.yml").read_text() == "mine\n"


def test_what_is_refused_leaves_nothing_behind(project):
    before = sorted(project.root.iterdir())

    with pytest.raises(JadeError):
        command.run(["new", *FLAGS, "--sweep", "sed=1,2", "-o", "sweeps/new.yml"])
    with pytest.raises(ConfigError, match="cannot be written"):
        sweep_new.write("text", project.root / "train.py" / "new.yml")

    assert sorted(project.root.iterdir()) == before
