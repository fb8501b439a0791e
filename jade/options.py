"""The command line, `.env` and the environment to options and overrides, all faults at once.

The only reader of the command line. What an experiment *is* goes into the configuration (`config`); what is
decided here is where it runs and what is kept of it. `cli` calls this and acts on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dotenv import dotenv_values

from jade import agent, command_line, config, params, scalars
from jade.errors import ConfigError, JadeError, raise_all
from jade.schedule import SCHEDULE, schedule_of

DEFAULT_SEED = 42
DEFAULT_EPOCHS = 100
NEEDED = ("model_conf", "data_conf", "eval_conf", "arch_impl")
_FLAGS: dict[str, dict[str, Any]] = {
    "--model_conf": {"metavar": "FILE", "help": "YAML file of the model: the Trainer and its params"},
    "--data_conf": {"metavar": "FILE", "help": "YAML file of the datasets"},
    "--eval_conf": {"metavar": "FILE", "help": "YAML file of the evaluations"},
    "--arch_impl": {"metavar": "FILE", "help": "Python file of the architectures"},
    "--epochs": {"metavar": "N", "help": f"passes over the training data (default {DEFAULT_EPOCHS})"},
    "--seed": {"metavar": "N", "help": f"seed of everything random (default {DEFAULT_SEED})"},
    "--deterministic": {
        "action": "store_true",
        "help": "use only algorithms that give the same bits each time, also on a GPU",
    },
    "--init-from": {
        "metavar": "RUN[:CHECKPOINT]",
        "help": "begin with the weights of a stored run: its folder, its id, entity/project/id, or an"
        " artifact entity/project/name:alias; CHECKPOINT is last (default), best, or a number of iterations",
    },
    "--init-attributes": {
        "metavar": "NAMES",
        "help": "take these of the stored networks, parameters and tensors only: encoder,decoder",
    },
    "--init-partial": {
        "action": "store_true",
        "help": "take the weights that fit, and say which do not, where a run is else refused",
    },
    "--params": {
        "metavar": "JSON",
        "help": "file of values by dotted or nested key, or the JSON itself",
    },
    "--run_name": {"metavar": "NAME", "help": "name of the run, as W&B shows it"},
    "--run_id": {
        "metavar": "ID",
        "help": "id of the run, which is also its folder's name (default: made up)",
    },
    "--resume": {
        "metavar": "RUN",
        "help": "continue a run: its folder, its id, or entity/project/id on W&B; auto: continue"
        " --run_id if there is such a run, else start it",
    },
    "--code": {
        "metavar": "{snapshot,current}",
        "help": "code that a continued run uses where it has changed since (default: the run's snapshot)",
    },
    "--trust-code": {
        "action": "store_true",
        "help": "with --resume: execute the code of a run that was fetched from another entity's on W&B",
    },
    "--device": {"help": "cpu, cuda, cuda:1, mps (default: DEVICE, else the best there is)"},
    "--experiments-root": {
        "metavar": "DIR",
        "help": "folder that gets a folder for each run (default: EXPERIMENTS_ROOT, else experiments)",
    },
    "--tracker": {
        "metavar": "{wandb,local}",
        "help": "wandb, or local: the run's folder only (default wandb)",
    },
    "--log-loss-every": {
        "metavar": "EVERY",
        "help": "log the mean of the loss items (default 100 iterations)",
    },
    "--checkpoint-every": {
        "metavar": "EVERY",
        "help": "write a checkpoint that is kept (default 100 epochs)",
    },
    "--backup-every": {"metavar": "EVERY", "help": "replace the backup model.pt (default 10 minutes)"},
    "--keep-checkpoints": {"metavar": "N", "help": "how many checkpoints are kept, or all (default all)"},
    "--best-metric": {
        "metavar": "NAME",
        "help": "keep the state with the best value of this metric as best.pt, or none (default: the metric"
        " of the run's sweep, else none)",
    },
    "--best-mode": {
        "metavar": "{min,max}",
        "help": "whether less or more of it is better (default: the sweep's goal, else what its name"
        " suggests)",
    },
    "--artifacts": {
        "metavar": "{none,best,all}",
        "help": "make checkpoints versions of a model on W&B: the best one when the run has ended, or also"
        " all that are kept (default none)",
    },
    "--keep-artifacts": {
        "metavar": "N",
        "help": "with --artifacts best: how many versions the model of a sweep has, its best, or all (default"
        " 3)",
    },
    "--time-limit": {
        "metavar": "TIME",
        "help": 'stop in time to write the backup, such as "2h" or "90 minutes"',
    },
    "--allow-nan": {
        "action": "store_const",
        "const": "true",
        "help": "train on where a loss becomes NaN or infinite, which else ends the run as failed",
    },
    "--env-file": {"metavar": "FILE", "help": "environment variables to add (default .env, if there is one)"},
    "--check": {
        "action": "store_true",
        "help": "build everything, try one step and each evaluation, write nothing",
    },
    "--print-config": {
        "action": "store_true",
        "help": "print each value of the configuration and its origin",
    },
}
AUTO = "auto"
_TAKES_VALUE = {flag: "action" not in known for flag, known in _FLAGS.items()} | {"--help": False}
_NOTHING = object()
_EPILOG = """\
Any value of the three YAML files is set by its dotted key, typed as YAML:
  model.params.beta=0.1   --model.params.beta=0.1   --model.params.beta 0.1
A file of values, params.json, may stand among them without a flag.

EVERY is a number (of epochs; for the loss, of iterations), or a text such as
"500 iterations", "2 epochs", "10 minutes", or never."""


@dataclass(frozen=True)
class Options:
    """What the command line says: the parts of the configuration, and where and how the run happens.

    Attributes:
        files: YAML file of each section.
        top: `arch_impl`, `seed`, `epochs`, `deterministic`, and what was said of `init_from`,
            `init_attributes` and `init_partial`, each with its origin.
        overrides: dotted key to typed value.
        schedule: what was said about how often the run logs and saves and how long it may take, as it was
            said.
        resume: the run to continue, "auto", or None.
        run_id: of the run, from the flag or the environment.
        code: "snapshot" or "current".
        trust_code: whether code that is another entity's may be executed.
        environ: the environment, `.env` included.
        params: each JSON that was given, after its place: dotted or nested values that weigh less than the
            overrides.
    """

    files: Mapping[str, Path]
    top: Mapping[str, tuple[Any, str]]
    overrides: Mapping[str, Any]
    schedule: Mapping[str, str]
    resume: str | None
    run_id: str | None
    run_id_from: str
    code: str
    trust_code: bool
    run_name: str | None
    device: str | None
    device_from: str
    experiments_root: Path
    tracker: str
    check: bool
    print_config: bool
    environ: Mapping[str, str]
    params: Sequence[tuple[str, Mapping[str, Any]]]


def parse_options(
    arguments: Sequence[str], environ: Mapping[str, str], *, has_config: bool = False
) -> Options:
    """Return the options that the command line, `.env` and the environment give, in this order of weight.

    Args:
        arguments: the command line without the program's name.
        environ: the environment.
        has_config: whether there is a configuration already, of a run that is made again.

    Raises:
        ConfigError: for every flag that there is not, every one that is missing and every wrong value.
    """
    trial = agent.handed(environ)
    rest, swept = agent.taken(arguments, {key: trial[key] for key in trial if not is_option(key)})
    line = command_line.split(rest, _TAKES_VALUE)
    given = vars(_parser().parse_args(line.flags))
    values = {name.replace("-", "_"): value for name, value in given.items()}
    if values["params"]:
        line.take_json(values["params"])
    overrides, faults = {**line.overrides, **swept}, line.faults
    environ = project_environment(environ, values["env_file"])
    resume, run_id = _resumed(values, environ, faults)
    own = (*NEEDED, "resume") if has_config else ()
    faults += _surplus([f"--{name}" for name in own if values[name]], "rerun")
    # A trial may be given its architecture file by the sweep alone.
    said = [overrides, *(found for _, found in line.params), trial]
    architecture = values["arch_impl"] or next((at["arch_impl"] for at in said if "arch_impl" in at), None)
    if not has_config and resume in (None, AUTO):
        faults += _missing({**values, "arch_impl": architecture})
    for name, known in (("tracker", ("wandb", "local")), ("code", ("snapshot", "current"))):
        wanted = values[name]
        if wanted not in (None, *known):
            problem = f"There is no {name} {wanted!r}."
            faults.append(ConfigError(problem, where=f"--{name}", wanted=wanted, choices=known))
    if environ.get("WANDB_SWEEP_ID") and values["tracker"] == "local" and resume in (None, AUTO):
        faults += _unheard(trial, [*(found for _, found in line.params), overrides])
    beginning = _beginning(values, faults)
    given = {name: values[name] for name in SCHEDULE if values[name] is not None}
    if resume in (None, AUTO):  # a run that goes on may have said the rest before
        faults += _without_sense(values, bool(environ.get("WANDB_SWEEP_ID")))
    try:
        schedule_of(given)
    except JadeError as fault:
        faults.append(fault)
    raise_all(faults)
    return Options(
        files={section: Path(values[f"{section}_conf"] or "") for section in config.SECTIONS},
        top={
            "arch_impl": (architecture, "--arch_impl"),
            "seed": _top(values["seed"], DEFAULT_SEED, "--seed"),
            "epochs": _top(values["epochs"], DEFAULT_EPOCHS, "--epochs"),
            "deterministic": (True, "--deterministic") if values["deterministic"] else (False, "default"),
            **beginning,
        },
        overrides=overrides,
        schedule=given,
        resume=resume,
        run_id=run_id,
        run_id_from="--run_id" if values["run_id"] else "WANDB_RUN_ID",
        code=values["code"] or "snapshot",
        trust_code=values["trust_code"],
        run_name=values["run_name"],
        device=values["device"] or environ.get("DEVICE") or None,
        device_from="--device" if values["device"] else "environment variable DEVICE",
        experiments_root=Path(values["experiments_root"] or experiments_folder(environ)),
        tracker=values["tracker"] or "wandb",
        check=values["check"],
        print_config=values["print_config"],
        environ=environ,
        params=line.params,
    )


def joined(arguments: Sequence[str]) -> list[str]:
    """Return a command line with each flag, and each override, as one word with its value."""
    line = command_line.split(arguments, _TAKES_VALUE)
    values: dict[str, Any] = {}
    for _, found in line.params:
        values |= params.flatten(found)
    values |= line.overrides  # the later one weighs more
    return [*line.flags, *(f"{key}={scalars.dump(value, flow=True)}" for key, value in values.items())]


def _unheard(trial: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> Iterator[ConfigError]:
    """Yield what a trial would not hear of, for only the tracker of W&B reads what the agent wrote."""
    unheard = [key for key, value in trial.items() if not any(at.get(key, _NOTHING) == value for at in said)]
    if unheard or not (trial or any(said)):
        yield ConfigError(
            "--tracker local does not ask the sweep for its params, and the command line does not have"
            f" {', '.join(unheard) or 'any'}: every trial would train with the files' values.",
            where="--tracker",
            hint="Put ${args} into the command of the sweep file, or leave out --tracker local.",
        )


def _without_sense(values: Mapping[str, Any], is_trial: bool) -> Iterator[ConfigError]:
    """Yield what is said of a best state, of models, or of another's code, of which there is none."""
    metric = values["best_metric"]
    has_metric = metric.lower() != "none" if metric else is_trial
    hint = "--best-metric NAME names an evaluation of --eval_conf, or a loss item."
    if values["best_mode"] and not has_metric:
        yield ConfigError(
            "--best-mode says of no metric which value is best.", where="--best-mode", hint=hint
        )
    if values["artifacts"] == "best" and not has_metric:
        yield ConfigError("--artifacts best has no metric to choose by.", where="--artifacts", hint=hint)
    if values["artifacts"] in ("best", "all") and values["tracker"] == "local":
        yield ConfigError(
            "--tracker local has no models, of which checkpoints could be versions.",
            where="--artifacts",
            hint="Leave out --tracker local; the run's folder has the checkpoints in any case.",
        )
    if values["trust_code"] and not (values["resume"] or is_trial):
        yield ConfigError(
            "--trust-code is about the code of a run that goes on, and none does.",
            where="--trust-code",
            hint="--resume RUN continues a run.",
        )


def _resumed(
    values: Mapping[str, Any], environ: Mapping[str, str], faults: list[JadeError]
) -> tuple[str | None, str | None]:
    """Return the run to continue and the id of the run; note what does not go together."""
    resume, run_id = values["resume"], values["run_id"] or environ.get("WANDB_RUN_ID") or None
    if resume is None and environ.get("WANDB_SWEEP_ID") and environ.get("WANDB_RUN_ID"):
        resume = AUTO  # a sweep hands out a trial that was preempted under its old id
    named = environ.get("WANDB_RUN_ID") if environ.get("WANDB_SWEEP_ID") else None
    if named and run_id != named:
        faults.append(
            ConfigError(
                f"The sweep's run is {named!r}, and cannot be called {run_id!r}.",
                where="--run_id",
                hint="Leave --run_id out of the command of the sweep file.",
            )
        )
    if resume == AUTO and not run_id:
        faults.append(
            ConfigError(
                "--resume auto has no run to look for.",
                where="--resume",
                hint="--run_id ID, or the variable WANDB_RUN_ID, names it: the same one each time.",
            )
        )
    if resume and resume != AUTO:
        surplus = [f"--{name}" for name in NEEDED if values[name]] + (
            ["--run_id"] if values["run_id"] else []
        )
        faults += _surplus(surplus, "--resume", "; --code current uses the present code.")
    return resume, run_id


def _missing(values: Mapping[str, Any]) -> Iterator[ConfigError]:
    missing = [f"--{name}" for name in NEEDED if not values[name]]
    if missing:
        yield ConfigError(
            f"Not given: {', '.join(missing)}.",
            where="command line",
            hint="python train.py --model_conf FILE --data_conf FILE --eval_conf FILE --arch_impl FILE",
        )


def _surplus(flags: Sequence[str], where: str, more: str = "") -> Iterator[ConfigError]:
    """Yield the fault of flags for what a run has of its own."""
    if flags:
        yield ConfigError(
            f"{', '.join(flags)} cannot be given with {where} RUN: the run has its own.",
            where=where,
            hint=f"Values are changed by their dotted keys, as model.params.lr=0.1{more}",
        )


def _top(text: str | None, default: int, flag: str) -> tuple[Any, str]:
    return (default, "default") if text is None else (scalars.typed(text), flag)


def _beginning(values: Mapping[str, Any], faults: list[JadeError]) -> dict[str, tuple[Any, str]]:
    """Return what the flags say about the weights that the run begins with; note what says nothing."""
    said: dict[str, Any] = {name: values[name] for name in config.INIT if values[name] not in (None, False)}
    for name, value in said.items():
        if not value:  # a variable of the shell that is not set must not train from scratch
            faults.append(ConfigError("It is given no value.", where=f"--{name.replace('_', '-')}"))
    if "init_attributes" in said:
        said["init_attributes"] = [name.strip() for name in said["init_attributes"].split(",")]
    return {name: (value, f"--{name.replace('_', '-')}") for name, value in said.items()}


def experiments_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder that has a folder for each run, which the present one has if nothing is said."""
    return Path(environ.get("EXPERIMENTS_ROOT") or "experiments")


def is_option(key: str) -> bool:
    """Say whether `key` is the name of a flag that is not configuration: no sweep may set it."""
    names = {flag[2:].replace("-", "_") for flag in _FLAGS}
    return key.replace("-", "_") in names - {*config.TOP, *config.INIT}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are JADE's."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message[:1].upper()}{message[1:]}.", where="command line", hint="--help lists the flags."
        )


def _parser() -> _Parser:
    parser = _Parser(
        prog="train.py",
        usage="%(prog)s --model_conf FILE --data_conf FILE --eval_conf FILE --arch_impl FILE"
        " [flags] [key=value ...]",
        description="Train, evaluate, log and store one model.",
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=30, width=100
        ),
        allow_abbrev=False,
    )
    for flag, known in _FLAGS.items():
        parser.add_argument(flag, dest=flag[2:], **known)
    return parser


def project_environment(environ: Mapping[str, str], env_file: str | None = None) -> dict[str, str]:
    """Return the environment with the variables of `.env` that the shell has not set.

    Raises:
        ConfigError: if the file that is named is not there, or cannot be read.
    """
    path = Path(env_file or ".env")
    if not path.is_file():
        if env_file:
            raise ConfigError(f"There is no file {path}.", where="--env-file")
        return dict(environ)
    try:
        written = dotenv_values(path, interpolate=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", where="--env-file") from None
    return {**{name: value for name, value in written.items() if value is not None}, **environ}
