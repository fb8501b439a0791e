"""Every file that is shipped for users does what it says: YAML, sweeps, job scripts, documents, the template."""

import ast
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from jade import assembly, config, options, schedule
from jade.eval import DatasetEvaluation, Evaluation
from jade.plugins import Plugins
from jade.state import Storing
from jade.trainer import Trainer
from tests.conftest import MNIST, REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
TEMPLATE = REPOSITORY / "jade" / "template"
README = (REPOSITORY / "README.md").read_text()

MODELS = sorted(path.stem for path in (REPOSITORY / "configurations/models").glob("*.yml"))
ARCHITECTURES = {"digits": ["simple_digits", "conv_digits"], "MNIST": ["simple_MNIST"]}
SWEEPS = sorted([*(REPOSITORY / "sweeps").glob("*.yml"), *(TEMPLATE / "sweeps").glob("*.yml")])


def jobs():
    """Yield the flags of every shipped combination of files."""
    for model in MODELS:
        kind, _, _ = model.partition("_")
        data = "digits" if model.endswith("_digits") else "MNIST"
        for architecture in ARCHITECTURES[data]:
            for split, suffix in (("valid", ""), ("final", "_final")):
                yield {
                    "--model_conf": f"configurations/models/{model}.yml",
                    "--data_conf": f"configurations/data/{data}_{split}.yml",
                    "--eval_conf": f"configurations/eval/{kind}_simple{suffix}.yml",
                    "--arch_impl": f"modules/architectures/{architecture}.py",
                }


JOBS = list(jobs())
JOB_NAMES = ["-".join(Path(value).stem for value in job.values()) for job in JOBS]


def flags(job):
    return [text for pair in job.items() for text in pair]


def composed(arguments, environ):
    given = options.parse_options(arguments, environ)
    return config.compose(given.files, given.top, given.overrides, given.environ)


def test_the_jobs_use_every_shipped_yaml_and_architecture_file():
    shipped = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("configurations/*/*.yml")}
    shipped |= {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("modules/architectures/*.py")}

    used = {value for job in JOBS for value in job.values()}

    assert len(shipped) == 20
    assert shipped - used == {"modules/architectures/layers.py"}


@pytest.mark.parametrize("job", JOBS, ids=JOB_NAMES)
def test_each_shipped_job_can_be_built(job, monkeypatch):
    monkeypatch.chdir(REPOSITORY)

    accepted = composed(flags(job), {"DATA_ROOT": "datasets"})

    assembly.verify(accepted, Plugins(REPOSITORY))


DIGITS_JOBS = [job for job in JOBS if "digits_valid" in job["--data_conf"]]


@pytest.mark.parametrize(
    "job", DIGITS_JOBS, ids=[name for name, job in zip(JOB_NAMES, JOBS, strict=True) if job in DIGITS_JOBS]
)
def test_each_digits_job_passes_its_check(job, train):
    done = train(*flags(job), "--check")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok")


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST files are not beside this repository")
@pytest.mark.parametrize("model", ["VAE", "VIB", "classifier"])
def test_each_mnist_job_passes_its_check(model, train, mnist):
    job = next(job for job in JOBS if job["--model_conf"].endswith(f"/{model}.yml"))

    done = train(*flags(job), "--check", DATA_ROOT=str(mnist))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", SWEEPS, ids=[path.stem for path in SWEEPS])
def test_each_sweep_sets_params_that_its_files_define(path, monkeypatch):
    sweep = yaml.safe_load(path.read_text())  # as wandb reads it
    monkeypatch.chdir(path.parent.parent)
    arguments = [word for word in sweep["command"] if word.startswith("--")]

    accepted = composed(arguments, {"DATA_ROOT": "datasets"})
    sampled = {key: sample(node) for key, node in sweep["parameters"].items()}
    effective = config.override(accepted, sampled, "sweep")

    assert {key: effective.flat[key] for key in sampled} == sampled
    assert all(not isinstance(value, str) or key == "arch_impl" for key, value in sampled.items())
    metric = sweep.get("metric", {}).get("name", "").partition("/")[0]
    assert not metric or metric in accepted.values["eval"]
    assert sweep["method"] in ("grid", "random", "bayes")


def sample(node):
    return node["value"] if "value" in node else node["values"][0] if "values" in node else node["min"]


def test_all_sweeps_were_seen():
    assert len(SWEEPS) == 6


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("slurm/*")), ids=lambda path: path.name)
def test_job_scripts_are_valid_bash(path, command):
    assert command("bash", "-n", path).returncode == 0


def test_an_agent_job_without_a_sweep_says_how_to_submit_it(command):
    done = command("bash", "slurm/agent.sbatch", SWEEP_ID=None)

    assert done.returncode == 2
    assert "SWEEP_ID is not set" in done.stderr


@pytest.mark.parametrize("name", ["train.py", "slurm/agent.sbatch", "modules/README.md"])
def test_the_template_has_the_same_file_as_the_repository(name):
    assert (TEMPLATE / name).read_text() == (REPOSITORY / name).read_text()


def bounds(requirements):
    found = {}
    for requirement in requirements:
        match = re.fullmatch(r"([\w.-]+)(\[\w+\])?\s*([<>=!,.\d\s]*)", requirement)
        found[match[1].lower()] = match[3]
    return found


def test_the_conda_environment_has_the_bounds_of_the_package():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    renamed = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    found = {
        renamed.get(name, name): bound
        for name, bound in bounds(d for d in conda if isinstance(d, str)).items()
    }

    assert found.pop("python") == PROJECT["requires-python"]
    assert found.pop("pip") == ""
    assert found == bounds(PROJECT["dependencies"]) | bounds(PROJECT["optional-dependencies"]["digits"])


def test_the_tested_versions_are_names_and_versions_and_within_the_bounds():
    from packaging.requirements import Requirement

    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    tested = dict(line.lower().split("==") for line in lines)
    wanted = [
        Requirement(text)
        for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for text in group
    ]

    for requirement in wanted:
        if requirement.name != "jade":
            assert requirement.specifier.contains(tested[requirement.name.lower()]), requirement


# Documents


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def tutorial_files():
    files = {}
    for body in blocks("python") + blocks("yaml"):
        first, _, _ = body.partition("\n")
        assert first.startswith("# "), first
        files[first.removeprefix("# ")] = body
    return files


@pytest.fixture
def tutorial(tmp_path, command):
    """The project that the README builds: a new one, and the README's blocks added to it."""
    folder = tmp_path / "my_project"
    command(sys.executable, "-m", "jade", "new", folder)
    for name, body in tutorial_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    return folder


# What no test can run here, and why; `bash -n` reads each of them all the same.
NOT_RUN = {
    "make train": "sets up an environment of several GB; its flags are those of test_train",
    "make test": "is this very run",
    "pip install": "sets up an environment of several GB; the wheel is installed by test_new",
    "conda env create": "needs conda; environment.yml is compared with pyproject.toml above",
    "export WANDB_USER": "names no command",
    "wandb sweep": "needs a W&B account; with the embedded server the same lines are run in tests/server",
    "export WANDB_BASE_URL": "needs a running server; it is run in tests/server",
    "python -m jade server": "runs until Ctrl-C; it is run in tests/server",
    "python -m jade sweep run": "trains thirty times; it is run with fewer trials in tests/sweeps",
    "python -m jade sweep show": "needs that sweep; it is run after it in tests/sweeps",
    "python -m jade pull": "needs a server with a run; it is run in tests/stored",
    "sbatch": "needs a cluster; the script is read by bash above",
    "export DATA_ROOT": "trains for a minute; the same files are checked above",
}


def test_every_shell_block_of_the_readme_is_run_or_says_why_not(tutorial, command, tmp_path):
    shell, seen, run = blocks("shell"), set(), 0
    assert len(shell) == 23
    for body in shell:
        assert command("bash", "-n", "-c", body).returncode == 0
        reason = next((start for start in NOT_RUN if body.startswith(start)), None)
        if reason:
            seen.add(reason)
            continue
        folder = tmp_path / "elsewhere" if "jade new" in body else tutorial
        folder.mkdir(exist_ok=True)
        text = body.replace("python ", f"{sys.executable} ")
        done = command("bash", "-euc", text, folder=folder, EXPERIMENTS_ROOT=None)
        assert done.returncode == 0, done.stderr
        run += 1

    assert seen == set(NOT_RUN)
    assert run == 10
    runs = list(tutorial.glob("experiments/*/model.pt"))
    (first,) = [
        path
        for path in runs
        if "class: VariationalAutoencoderTrainer" in (path.parent / "config.yml").read_text()
    ]
    assert len(runs) == 5
    shown = command(sys.executable, "read_checkpoint.py", first, folder=tutorial)
    assert shown.stdout == "720 30 ['decoder', 'encoder', 'opt']\n"
    looked = command(sys.executable, "look.py", first.parent, folder=tutorial)
    assert looked.returncode == 0, looked.stderr
    assert looked.stdout.startswith("finished {'layers': [128, 64], 'z_dim': 8, ")
    assert (tutorial / "experiments" / "spirals.png").is_file()


def test_every_yaml_block_of_the_readme_is_read(tutorial, monkeypatch):
    monkeypatch.chdir(tutorial)
    files = tutorial_files()
    assert len(files) == 12

    accepted = composed(
        ["--model_conf=configurations/models/vae.yml", "--data_conf=configurations/data/mnist.yml",
         "--eval_conf=configurations/eval/vae.yml", "--arch_impl=modules/architectures/dense.py"],
        {"DATA_ROOT": "d"},
    )  # fmt: skip
    sweep = yaml.safe_load(files["sweeps/beta.yml"])
    config.override(accepted, {key: sample(node) for key, node in sweep["parameters"].items()}, "sweep")
    assembly.verify(accepted, Plugins(tutorial))

    assert accepted.values["model"]["params"]["lr"] == 0.001
    assert accepted.values["data"]["train"]["params"]["root"] == "d"


def test_the_error_that_the_readme_shows_is_the_one_that_is_printed(tutorial, command):
    path = tutorial / "configurations/models/vae.yml"
    path.write_text(path.read_text().replace("z_dim: 8", "zdim: 8"))
    block = next(body for body in blocks("shell") if "--check" in body)
    arguments = block.split("train.py", 1)[1].replace("\\\n", " ").split()

    done = command(sys.executable, "train.py", *arguments, folder=tutorial)

    shown = next(body for body in blocks("text") if body.startswith("VariationalAutoencoderTrainer takes"))
    assert shown in done.stderr


def test_the_readme_lists_every_flag_and_no_other():
    helped = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", options._parser().format_help()))
    listed = set(re.findall(r"^\| `(--[\w-]+)`", README, re.MULTILINE))

    assert listed == {flag for flag in helped if "." not in flag} - {"--model"}


def test_the_defaults_in_the_readme_are_those_of_the_command_line():
    listed = dict(re.findall(r"^\| `(--[\w-]+)` \|[^|]*\| ([^|]*) \|$", README, re.MULTILINE))

    assert listed["--epochs"] == str(options.DEFAULT_EPOCHS)
    assert listed["--seed"] == str(options.DEFAULT_SEED)
    for name, (default, _) in schedule.DEFAULT_EVERY.items():
        assert listed[f"--{name.replace('_', '-')}"] == default


@pytest.mark.parametrize("cls", [Trainer, Evaluation, DatasetEvaluation])
def test_the_list_of_extension_points_has_every_public_method_with_its_signature(cls):
    text = (REPOSITORY / "modules" / "README.md").read_text()
    section = text.split(f"## `{cls.__module__}.{cls.__name__}`")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)(\(.*?\))`", section, re.MULTILINE))

    members = {**vars(Storing), **vars(cls)} if cls is not DatasetEvaluation else vars(cls)
    own = {name: f for name, f in members.items() if inspect.isfunction(f) and not name.startswith("_")}
    for_jade = {"take_losses", "faults", "absent", "train", "all_modules"}
    inherited = {"initialize", "evaluate"} if cls is DatasetEvaluation else set()
    assert set(listed) == set(own) - for_jade - inherited
    for name, written in listed.items():
        wanted = [p.replace("*", "") for p in inspect.signature(own[name]).parameters]
        assert [w for w in re.findall(r"\w+", written)] == wanted or name == "initialize"


def test_the_list_of_entries_has_every_type():
    from jade.entries import TYPES

    text = (REPOSITORY / "modules" / "README.md").read_text().split("## Entries")[1]

    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == TYPES


def test_the_scheme_is_a_picture():
    assert "docs/scheme.svg" in README
    assert (REPOSITORY / "docs/scheme.svg").read_text().startswith("<svg")


def test_the_change_log_names_the_version():
    import jade

    assert PROJECT["version"] == jade.__version__
    assert f"## {jade.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_no_function_is_left_for_later():
    unfinished = [
        f"{path}:{node.lineno}"
        for path in REPOSITORY.glob("jade/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and "NotImplemented" in ast.unparse(node)
    ]

    assert unfinished == []
