import os
import subprocess
import sys

import pytest

from jade import sweep_check, sweep_command, sweep_file
from jade.commands import sweep as command
from jade.errors import ConfigError
from tests.conftest import REPOSITORY

TRAIN = (
    "import sys\nfrom jade.cli import main\n\nif __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n"
)
SWEEP = """\
program: train.py
method: random
run_cap: 9
metric:
  name: Norm
  goal: minimize
command:
  - ${env}
  - ${interpreter}
  - ${program}
  - --model_conf=m.yml
  - --data_conf=d.yml
  - --eval_conf=e.yml
  - --arch_impl=net.py
parameters:
  model.params.lr:
    distribution: log_uniform_values
    min: 0.0001
    max: 1
"""


@pytest.fixture
def sweeping(written):
    """A small project whose sweep file a test changes."""
    written.write("train.py", TRAIN.encode())
    written.write("sweep.yml", SWEEP)
    return written


@pytest.fixture
def found(sweeping):
    """Change the sweep file and give what its check found."""

    def check(*changes, **environ):
        for before, after in changes:
            sweeping.change("sweep.yml", before, after)
        sweep = sweep_file.read(sweeping.root / "sweep.yml")
        return sweep_check.check(sweep, environ)

    return check


@pytest.fixture
def fault(found):
    """Change the sweep file and give the text of the only fault."""

    def text(*changes, **environ):
        faults = found(*changes, **environ).faults
        assert len(faults) == 1, [str(fault) for fault in faults]
        return str(faults[0])

    return text


def parameter(text):
    """A change that replaces the parameters."""
    return SWEEP[SWEEP.index("  model.params.lr:") :], text


def test_a_sweep_that_is_right_is_told_in_a_line(found):
    checked = found()

    assert (checked.faults, checked.warnings) == ([], [])
    assert checked.text == "random over model.params.lr; minimize Norm; at most 9 trials"


RIGHT = [
    parameter("  seed: {values: [1, 2]}\n  epochs: {value: 3}\n  deterministic: {values: [true, false]}\n"),
    parameter("  data.train.params.n: {min: 2, max: 6}\n  eval.Norm.params.on: {value: train}\n"),
    parameter("  model: {parameters: {params: {parameters: {lr: {values: [1, 0.5]}}}}}\n"),
    parameter("  arch_impl: {values: [net.py, ./net.py]}\n"),
    ("  name: Norm", "  name: loss"),
    ("  name: Norm", "  name: loss/best"),
    ("  name: Norm", "  name: _runtime"),
    ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - ${args}"),
    ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --device=cuda:3"),
    ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - ${args_no_hyphens}"),
    ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --tracker=local\n  - ${args_no_equals}"),
    ("  - ${program}", "  - -m\n  - jade\n  - train"),
    ("  - --arch_impl=net.py", "  - --arch_impl=${envvar:NET}.py"),
    ("  - --arch_impl=net.py", "  - --arch_impl\n  - net.py\n  - --epochs\n  - 2\n  - --resume=auto"),
    ("command:\n  - ${env}\n", "command:\n  - srun\n  - --gpus=1\n"),
]


@pytest.mark.parametrize("change", RIGHT, ids=range(len(RIGHT)))
def test_nothing_is_found_in_what_is_right(found, sweeping, change):
    sweeping.write("e.yml", "Norm:\n  class: Norm\n  params: {'on': train}\n")

    checked = found(change, NET="net")

    assert ([str(fault) for fault in checked.faults], checked.warnings) == ([], [])


BROKEN = {
    "key": (
        parameter("  model.params.lrr: {value: 0.1}\n"), 16,
        "'model.params.lrr' is set, but no configuration file defines it.", "did you mean: model.params.lr",
    ),
    "number as text": (
        parameter("  model.params.lr:\n    values:\n      - 0.1\n      - 1e-3\n"), 19,
        "model.params.lr gets '1e-3'; a number is expected, as in the file's 0.1.", "W&B reads 1e-3 as text. Write 1.0e-3",
    ),
    "kind": (
        parameter("  model.params.lr: {values: [true]}\n"), 16,
        "model.params.lr is set to True, which is true or false; a number is expected", "",
    ),
    "option": (
        parameter("  device: {values: [cpu]}\n"), 16,
        "device is an option, which says where a run happens; only configuration can be swept.", "a word --device=…",
    ),
    "file of a flag": (
        parameter("  model_conf: {values: [m.yml]}\n"), 16, "model_conf is an option", "a word --model_conf=…",
    ),
    "group": (
        parameter("  model.params: {value: 1}\n"), 16,
        "'model.params' is a group of params and takes no value of its own.", "Set one of: model.params.lr",
    ),
    "seed": (parameter("  seed: {value: -1}\n"), 16, "seed is -1; it takes a whole number from 0 to", ""),
    "broken seed": (
        parameter("  seed: {min: 1.0, max: 10.0}\n"), 16, "it takes a whole number from 0 to", "",
    ),
    "twice": (
        parameter("  model.lr: {value: 0.1}\n  model.params.lr: {value: 0.1}\n"), 17,
        "model.params.lr is swept twice, as model.lr and as model.params.lr.", "",
    ),
    "architecture": (
        parameter("  arch_impl: {values: [net.py, nets.py]}\n"), 16, "There is no architecture file nets.py.", "did you mean: net.py",
    ),
    "class": (
        parameter("  model.class:\n    values:\n      - LineTrainer\n      - LinTrainer\n"), 19,
        "With model.class 'LinTrainer' the configuration cannot be built.", "did you mean: LineTrainer",
    ),
    "class with other params": (
        parameter("  eval.Norm.class: {values: [Norm, Every]}\n"), 16,
        "With eval.Norm.class 'Every' the configuration cannot be built.", "Every needs the parameter 'evaluate_every'.",
    ),
    "metric": (
        ("name: Norm", "name: Nrom"), 5, "No run of this sweep logs a number as 'Nrom'.", "did you mean: Norm",
    ),
    "metric inside of a scalar": (
        ("name: Norm", "name: Norm/x"), 5, "No run of this sweep logs a number as 'Norm/x'.", "known: Norm, loss",
    ),
    "program": (("train.py", "trian.py"), 1, "There is no file trian.py in the current folder.", "did you mean: train.py"),
    "flag": (("--arch_impl", "--arch_imp"), 7, "train.py refuses the command.\n  | 2 faults", "There is no flag --arch_imp."),
    "two words in one": (
        ("--arch_impl=net.py", "--arch_impl net.py"), 7, "train.py refuses the command.", "Two words are two items: - --arch_impl=net.py",
    ),
    "yaml file": (("--model_conf=m.yml", "--model_conf=mm.yml"), 7, "There is no file mm.yml.", "did you mean: m.yml"),
    "no architecture": (
        ("  - --arch_impl=net.py", "  - --arch_impl=n.py"), "--arch_impl (arch_impl)", "There is no architecture file n.py.", "known: net.py, train.py",
    ),
    "local tracker": (
        ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --tracker=local"), 7,
        "train.py refuses the command.\n  | --tracker local does not ask the sweep", "Put ${args} into the command",
    ),
    "one run for all": (
        ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --run_id=a"), 7, "cannot be called 'a'", "Leave --run_id out",
    ),
    "the same run again": (
        ("  - --model_conf=m.yml\n  - --data_conf=d.yml\n  - --eval_conf=e.yml\n  - --arch_impl=net.py\n", "  - --resume=old\n"), 7,
        "each trial would continue the same run", "",
    ),
    "no training": (("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --check"), 7, "no trial would train", ""),
    "help": (("  - --arch_impl=net.py", "  - --help"), 7, "The command asks for help: no trial would train.", ""),
    "no program": (("program: train.py\n", ""), 1, "The command starts ${program}, and the sweep names no program.", "program: train.py"),
    "device": (
        ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --device=cudda"), 7,
        "There is no device 'cudda'.", "did you mean: cuda",
    ),
    "no program among the words": (
        ("  - ${program}\n", ""), 7, "The command starts Python, but not train.py", "Write - ${program} after - ${interpreter}",
    ),
    "best in the history": (
        ("  goal: minimize\n", "  goal: minimize\nearly_terminate: {type: hyperband, min_iter: 2}\n"), 5,
        "Norm/best is no row of a run's history, by which early_terminate judges.", "name: Norm",
    ),
    "architecture that is no Python": (
        parameter("  arch_impl: {values: [net.py, bad.py]}\n"), 16, "The architecture file bad.py is no Python: '(' was never closed", "",
    ),
    "variable": (
        ("net.py", "${envvar:NOT_THERE}"), 7,
        "The command names the environment variable NOT_THERE, which is not set.", "export NOT_THERE=…",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_is_found_with_its_line_and_the_way_out(fault, sweeping, name):
    change, line, problem, way_out = BROKEN[name]
    if "bad.py" in problem:
        sweeping.write("bad.py", b"class A(\n")
    if "Norm/best" in problem:
        sweeping.change("sweep.yml", "name: Norm", "name: Norm/best")

    message = fault(change)

    assert problem in message
    assert (
        f"at: {sweeping.root}/sweep.yml:{line}" in message
        if isinstance(line, int)
        else f"at: {line}" in message
    )
    assert way_out in message


def test_a_key_without_params_is_read_as_it_is_meant_with_a_warning(found, sweeping):
    checked = found(parameter("  model.lr: {values: [0.1, 0.2]}\n"))

    place = f"{sweeping.root}/sweep.yml:16 (parameters.model.lr)"
    assert (checked.faults, checked.warnings) == ([], [f"{place}: model.lr is read as model.params.lr."])


def test_broken_numbers_for_a_whole_one_are_a_warning(found):
    checked = found(parameter("  data.train.params.n: {min: 2.0, max: 6.0}\n"))

    assert checked.faults == []
    assert (
        "data.train.params.n is a whole number, 6; the sweep also gives numbers such as 3.5"
        in checked.warnings[0]
    )


def test_powers_of_e_that_look_like_values_are_a_warning(found):
    checked = found(("log_uniform_values", "log_uniform"))

    assert checked.faults == []
    (warning,) = checked.warnings
    assert (
        "model.params.lr is between 1 and 2.718, as log_uniform takes powers of e; the file has 0.1."
        in warning
    )
    assert "For values write log_uniform_values." in warning


def test_a_value_that_is_a_date_is_told_and_no_traceback(sweeping):
    sweeping.change("sweep.yml", *parameter("  model.params.lr: {values: [2024-01-01]}\n"))

    with pytest.raises(ConfigError) as caught:
        command.run(["check", "sweep.yml"])

    assert "W&B reads 2024-01-01 as a date." in str(caught.value)


def test_a_metric_that_grows_by_its_name_and_has_no_goal_is_a_warning(found, sweeping):
    sweeping.write("e.yml", "Accuracy:\n  class: Norm\n")

    checked = found(("name: Norm\n  goal: minimize", "name: Accuracy"))

    assert checked.faults == []
    assert checked.warnings[0].endswith(
        "without a goal, Accuracy is minimized; goal: maximize looks for more."
    )


def test_the_trials_of_a_grid_are_counted(found):
    checked = found(
        ("method: random\nrun_cap: 9\n", "method: grid\n"),
        parameter("  seed: {min: 1, max: 5}\n  model.params.lr: {values: [1, 2]}\n"),
    )

    assert checked.text == "grid over seed, model.params.lr; minimize Norm; 10 trials"


def test_a_program_that_is_not_jades_is_left_alone_and_said_so(found, sweeping):
    sweeping.write("train.py", "import argparse\n")

    checked = found(("name: Norm", "name: anything"))

    assert checked.faults == []
    assert checked.text.endswith("train.py is no program of JADE's: only the form of the file was checked")


@pytest.mark.parametrize("macro", sweep_command.ARGS_MACROS)
def test_every_macro_of_the_agent_is_read(found, macro):
    word = ("  - --arch_impl=net.py", f"  - --arch_impl=net.py\n  - --tracker=local\n  - ${{{macro}}}")

    checked = found(
        word, parameter("  deterministic: {values: [true, false]}\n  model.params.lr: {values: [0.1]}\n")
    )

    assert [str(fault) for fault in checked.faults] == []


@pytest.mark.parametrize("words", ["  - ${args}\n", ""])
def test_the_architecture_may_come_from_the_sweep_alone(found, words):
    checked = found(("  - --arch_impl=net.py\n", words), parameter("  arch_impl: {values: [net.py]}\n"))

    assert checked.faults == []


@pytest.mark.parametrize("macro", ["args", "args_json", "args_json_file"])
def test_a_mapping_for_an_empty_one_is_read_by_every_macro(found, sweeping, macro):
    sweeping.change("d.yml", "n: 6", "n: 6\n    more: {}")

    checked = found(
        parameter("  data.train.params.more: {value: {a: 1}}\n"),
        ("net.py", f"net.py\n  - ${{{macro}}}"),
    )

    assert [str(fault) for fault in checked.faults] == []


def test_the_metrics_of_every_swept_class_count(found, sweeping):
    sweeping.add(
        "modules/eval/norm.py",
        "\nclass Two(Norm):\n    def evaluate(self):\n        return {'type': 'scalars', 'value': {'a': 1, 'b': 2}}\n",
    )

    checked = found(parameter("  eval.Norm.class: {values: [Norm, Two]}\n"), ("name: Norm", "name: Norm/b"))

    assert checked.faults == []


def test_all_faults_of_form_and_content_come_out_together(sweeping):
    sweeping.change("sweep.yml", "random", "rondom")
    sweeping.change("sweep.yml", "model.params.lr", "model.params.lrr")
    sweeping.change("sweep.yml", "name: Norm", "name: Nrom")

    with pytest.raises(ConfigError) as caught:
        command.run(["check", "sweep.yml"])

    assert str(caught.value).startswith("3 faults were found.")
    assert all(text in str(caught.value) for text in ("'rondom'", "'model.params.lrr'", "'Nrom'"))


def test_the_command_prints_a_line_for_each_right_file(sweeping, capsys):
    code = command.run(["check", "sweep.yml", "sweep.yml"])

    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    assert printed.out == "ok: sweep.yml: random over model.params.lr; minimize Norm; at most 9 trials\n" * 2


def test_an_unknown_command_names_the_nearest():
    with pytest.raises(ConfigError, match="(?s)There is no command 'chek'.*did you mean: check"):
        command.run(["chek"])


SHIPPED = sorted([*REPOSITORY.glob("sweeps/*.yml"), *REPOSITORY.glob("jade/template/sweeps/*.yml")])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_nothing_is_found_in_a_shipped_sweep(path, monkeypatch):
    monkeypatch.chdir(path.parent.parent)

    checked = sweep_check.check(sweep_file.read(path), {"DATA_ROOT": "datasets"})

    assert len(SHIPPED) == 6
    assert (checked.faults, checked.warnings) == ([], [])


def test_torch_is_imported_only_where_a_class_must_be_looked_at(sweeping):
    sweeping.write("class.yml", SWEEP.replace(*parameter("  model.class: {values: [LineTrainer]}\n")))
    code = (
        "import sys\nfrom jade.__main__ import main\n"
        "assert main(['sweep', 'check', 'sweep.yml']) == 0\nassert 'torch' not in sys.modules\n"
        "assert main(['sweep', 'check', 'class.yml']) == 0\nassert 'torch' in sys.modules\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


# With whose weights a trial begins


@pytest.fixture
def stored(sweeping):
    """A run that was made before, as far as its names say."""
    folder = sweeping.root / "experiments/abc"
    for name in ("config.yml", "status.json", "model.pt", "checkpoint_1200.pt"):
        sweeping.write(f"experiments/abc/{name}", "{}")
    return folder


def weights(text):
    return parameter(f"  init_from:\n    values: {text}\n")


def test_runs_whose_weights_are_taken_are_looked_for_on_this_machine(found, stored):
    checked = found(weights("[null, abc, 'abc:1200', ./experiments/abc]"))

    assert (checked.faults, checked.warnings) == ([], [])


def test_a_run_that_may_be_on_wandb_is_a_warning(found, stored):
    (warning,) = found(weights("[abc, abd, me/digits/x1]")).warnings[:1]

    assert "sweep.yml:17 (parameters.init_from.values[1]): there is no run abd in experiments" in warning


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("'abc:best'", "has no checkpoint 'best'"),
        ("'abc:bset'", "did you mean: best"),
        ("./nowhere", "./nowhere"),
        ("7", "text is expected"),
    ],
)
def test_a_run_that_cannot_be_there_is_a_fault_with_its_line(fault, stored, value, part):
    text = fault(weights(f"[abc, {value}]"))

    assert part in text
    assert "sweep.yml:17" in text


def test_attributes_and_what_fits_in_part_may_be_swept(found, sweeping):
    sweeping.add("m.yml", "init_from: ./nowhere\n")

    checked = found(
        parameter(
            "  init_attributes:\n    values: [[net], null]\n  init_partial:\n    values: [true, false]\n"
        )
    )

    (fault,) = checked.faults
    assert "m.yml:4 (init_from)" in str(fault)


def test_the_experiments_folder_of_the_command_is_looked_in(found, stored):
    stored.parent.rename(stored.parent.with_name("other"))

    checked = found(
        weights("[abc]"), ("  - --arch_impl=net.py", "  - --arch_impl=net.py\n  - --experiments-root=other")
    )

    assert (checked.faults, checked.warnings) == ([], [])
