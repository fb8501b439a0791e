from pathlib import Path

import pytest

from jade import sweep_file
from jade.errors import ConfigError
from jade.sweep_file import Hyperband, Metric

SWEEP = """\
program: train.py
method: bayes
run_cap: 9
metric:
  name: TestAccuracy
  goal: maximize
early_terminate: {type: hyperband, min_iter: 3, eta: 2.0, strict: true}
command:
  - ${env}
  - ${interpreter}
  - ${program}
  - --epochs
  - 20
  - ${args}
parameters:
  model.params.beta:
    distribution: log_uniform_values
    min: 0.0001
    max: 1
  model:
    parameters:
      params:
        parameters:
          z_dim: {values: [16, 64]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "it's [my] (folder)"
    folder.mkdir()
    return folder / "sweep #1.yml"


@pytest.fixture
def read(file: Path):
    def read_text(text: str):
        file.write_text(text)
        return sweep_file.read(file)

    return read_text


@pytest.fixture
def fault(read):
    def message(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value)

    return message


def change(before: str, after: str) -> str:
    assert before in SWEEP
    return SWEEP.replace(before, after)


def test_a_sweep_is_read_with_nested_parameters_flattened(read):
    sweep = read(SWEEP)

    assert (sweep.method, sweep.program, sweep.run_cap) == ("bayes", "train.py", 9)
    assert sweep.metric == Metric("TestAccuracy", "maximize")
    assert sweep.early_terminate == Hyperband(min_iter=3, eta=2.0, strict=True)
    assert sweep.command == ("${env}", "${interpreter}", "${program}", "--epochs", "20", "${args}")
    assert {key: found.name for key, found in sweep.parameters.items()} == {
        "model.params.beta": "log_uniform_values",
        "model.params.z_dim": "categorical",
    }


def test_the_place_of_a_parameter_is_its_line(read, file):
    sweep = read(SWEEP)

    place = sweep.where(sweep.places["model.params.z_dim"])

    assert place == f"{file}:24 (parameters.model.parameters.params.parameters.z_dim)"


def test_without_a_command_it_is_the_agents_own(read):
    sweep = read("method: random\nparameters: {seed: {values: [1, 2]}}\n")

    assert sweep.command == ("${env}", "${interpreter}", "${program}", "${args}")


def test_a_mapping_is_examined_as_a_file_is():
    values = {"method": "grid", "parameters": {"lr": {"min": 0.0, "max": 1.0}}}

    _, (fault,) = sweep_file.examine_values(values, lambda key: f"config.{key}")

    assert "A grid cannot try every value of lr, whose distribution is uniform." in str(fault)
    assert "at: config.parameters.lr" in str(fault)


@pytest.mark.parametrize(
    "text",
    [
        "method: grid\nparameters:\n  seed: {values: [1, 2]}\n  b: {distribution: q_uniform, min: 0.0, max: 1.0, q: 0.25}\n",
        "method: random\nname: x\nproject: p\nentity: e\ndescription: d\nparameters: {lr: {distribution: normal, mu: 0, sigma: 1.0}}\n",
        "method: random\nmetric: {name: loss}\nparameters: {a: {values: [1, 2], probabilities: [0.5, 0.5]}}\n"
        "early_terminate: {type: hyperband, max_iter: 27, s: 2}\n",
        "method: random\nprogram: x.py\ncommand: [bash, -c, 'python x.py $HOME ${HOME}', '${envvar:DATA}', '--d=${envvar:DATA}/x']\n"
        "parameters: {a: {value: on}}\n",
        "method: custom\nscheduler: {engine: optuna, source: s.py, search_space: f}\n"
        "metrics: [{name: a}, {name: b, goal: maximize}]\n",
        "method: grid\nparameters:\n  a: &x {values: [1]}\n  b: *x\n  c: {<<: *x}\n",
    ],
)
def test_what_is_right_has_no_faults(read, text):
    sweep = read(text)

    assert sweep.method in text


BROKEN = {
    "unknown key": (("run_cap:", "runcap:"), 3, "A sweep file has no key 'runcap'.", "did you mean: run_cap"),
    "unknown method": (("bayes", "baies"), 2, "There is no method 'baies'.", "did you mean: bayes"),
    "no method": (("method: bayes\n", ""), 1, "The sweep has no method.", "method: grid, random, bayes"),
    "custom method": (("bayes", "custom"), 2, "The method custom needs a scheduler.", "grid, random, bayes"),
    "run cap": (("run_cap: 9", "run_cap: 0"), 3, "run_cap is 0; a whole number of at least 1 is expected.", ""),
    "run cap as a truth": (("run_cap: 9", "run_cap: yes"), 3, "run_cap is True; a whole number", ""),
    "goal": (("goal: maximize", "goal: max"), 6, "There is no goal 'max'.", "did you mean: maximize"),
    "metric's key": (("  goal:", "  gaol:"), 6, "A metric has no key 'gaol'.", "did you mean: goal"),
    "metric without name": (("  name: TestAccuracy\n", ""), 4, "The metric has no name.", ""),
    "target as text": (("goal: maximize", "target: 1e-1"), 6, "target is '1e-1'; a number is expected.", "Write 1.0e-1"),
    "hyperband's type": (("hyperband", "hypeband"), 7, "early_terminate has the type 'hypeband'.", "type: hyperband"),
    "hyperband's key": (("eta:", "etta:"), 7, "early_terminate has no key 'etta'.", "did you mean: eta"),
    "hyperband's start": (("min_iter: 3, ", ""), 7, "hyperband needs min_iter, or max_iter and s.", ""),
    "hyperband's eta": (("2.0", "1"), 7, "eta is 1; a number above 1 is expected.", ""),
    "hyperband's end": (("min_iter: 3, ", "s: 1, max_iter: 1, "), 7, "max_iter of hyperband is 1, below its eta of 2.0: no trial is ever judged.", ""),
    "endless eta": (("2.0", ".inf"), 7, "eta is inf; a number is expected.", ""),
    "target that is no number": (("goal: maximize", "target: .nan"), 6, "target is nan; a number is expected.", ""),
    "macro without braces": (("${args}", "$args"), 14, "$args is no macro; the agent hands it on as it is.", "did you mean: ${args}"),
    "macro without a dollar": (("${args}", "{args}"), 14, "A word of the command is a mapping", "- ${args}"),
    "nothing said": ((" {values: [16, 64]}", ""), 24, "model.params.z_dim is empty.", "indented further"),
    "strict": (("strict: true", "strict: 1"), 7, "strict is 1; true or false is expected.", ""),
    "macro": (("${args}", "${arg}"), 14, "There is no macro ${arg}; the agent leaves such a word out.", "did you mean: ${args}"),
    "macro in a word": (("${args}", "x${args}"), 14, "${args} is a part of the word 'x${args}'", "- ${args}"),
    "variable": (("${args}", "${DATA_ROOT}"), 14, "There is no macro ${DATA_ROOT}", "written ${envvar:DATA_ROOT}"),
    "word as a mapping": (("- --epochs\n", "- --epochs: 20\n"), 12, "A word of the command is a mapping", "- --epochs=20"),
    "empty word": (("- --epochs\n", "-\n"), 12, "A word of the command is null", ""),
    "distribution": (("log_uniform_values", "log_unifrm_values"), 17, "'log_unifrm_values', which W&B does not know", "did you mean: log_uniform_values"),
    "number as text": (("0.0001", "1e-4"), 18, "has the min '1e-4', which is text; a number is expected", "Write 1.0e-4"),
    "bounds of two kinds": (("{values: [16, 64]}", "{values: [16, 64]}\n  seed: {min: 1, max: 2.5}"), 25, "seed has a bound with a dot and one without, 1 and 2.5", "Write 1.0, or name the distribution."),
    "octal": (("[16, 64]", "[016, 64]"), 24, "W&B reads 016 as the number 14.", "Write 16."),
    "minutes": (("[16, 64]", "[12:30, 64]"), 24, "W&B reads 12:30 as the number 750.", "Write 12:30 in quotes."),
    "date": (("[16, 64]", "[2024-01-01, 64]"), 24, "W&B reads 2024-01-01 as a date.", "'2024-01-01'"),
    "twice": (("run_cap: 9", "method: grid"), 3, "The key 'method' stands twice in one mapping; first at", ":2."),
    "no mapping": (("{values: [16, 64]}", "[16, 64]"), 24, "model.params.z_dim is [16, 64]", "values"),
    "nested and more": (("      params:\n", "      params:\n        value: 1\n"), 23, "model.params holds parameters, so it takes no 'value'", ""),
    "flat and nested": (("z_dim", "beta"), 24, "model.params.beta is a parameter twice; first at", ":16 (parameters.model.params.beta)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_is_found_with_its_line_and_the_way_out(fault, file, name):
    (before, after), line, problem, way_out = BROKEN[name]

    message = fault(change(before, after))

    assert problem in message
    assert f"at: {file}:{line}" in message
    assert way_out in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("- a\n", "holds a list"),
        ("a: [\n", "is not YAML"),
        ("method: !tag x\n", "is not YAML"),
        ("method: &a [*a]\nparameters: 3\n", "An alias contains itself."),
        ("method: grid\nparameters: {}\n", "The sweep has no parameters."),
        ("method: grid\nparameters: [a]\n", "The sweep has parameters that are a list."),
        ("method: grid\nparameters: {1: {value: 1}}\n", "The key '1' is no text: W&B reads it as 1."),
        ("method: grid\nparameters: {a: {parameters: 3}}\n", "The parameters of a are a number."),
        ("method: grid\ncommand: python x\nparameters: {a: {value: 1}}\n", "command is text; a list of words is expected."),
        ("method: grid\nmetric: loss\nparameters: {a: {value: 1}}\n", "metric is text; a mapping with a name is expected."),
        ("method: grid\nprogram: 3\nparameters: {a: {value: 1}}\n", "program is 3; text is expected."),
        ("method: grid\nearly_terminate: hyperband\nmetric: {name: a}\nparameters: {a: {value: 1}}\n", "early_terminate is text"),
        ("method: random\nearly_terminate: {type: hyperband, min_iter: 1}\nparameters: {a: {value: 1}}\n", "early_terminate needs a metric"),
        ("method: bayes\nparameters: {a: {value: 1}}\n", "bayes needs a metric, and the sweep has none."),
        ("method: grid\nmetrics: [{name: a}]\nparameters: {a: {value: 1}}\n", "metrics is a list of two or more"),
        ("method: grid\nmetric: {name: a}\nmetrics: [{name: a}, {name: b}]\nparameters: {a: {value: 1}}\n", "A sweep has a metric or metrics, not both."),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_refused(fault, file, text, problem):
    message = fault(text)

    assert problem in message
    assert f"at: {file}" in message


def test_a_file_that_is_not_there_names_its_neighbours(file):
    file.write_text(SWEEP)

    with pytest.raises(ConfigError, match="(?s)There is no file.*did you mean: .*sweep #1.yml"):
        sweep_file.read(file.with_name("sweep #2.yml"))


def test_all_faults_come_out_together(fault):
    text = change("bayes", "baies").replace("goal: maximize", "goal: up").replace("0.0001", "1e-4")

    message = fault(text)

    assert message.startswith("3 faults were found.")
    assert all(text in message for text in ("'baies'", "'up'", "'1e-4'"))


def test_a_grid_over_a_huge_range_is_read_at_once(read):
    sweep = read("method: grid\nparameters: {seed: {min: 0, max: 4000000000}}\n")

    assert sweep.parameters["seed"].count() == 4000000001
