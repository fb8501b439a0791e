"""The command line, `.env` and the environment to options and overrides, all faults at once.

The only reader of the command line. What an experiment *is* goes into the configuration (`config`); what is
decided here is where it runs and what is kept of it. `cli` calls this and acts on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dotenv import dotenv_values

from jade import config, params, scalars
from jade.errors import ConfigError, JadeError, nearest, raise_all
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
    "--time-limit": {
        "metavar": "TIME",
        "help": 'stop in time to write the backup, such as "2h" or "90 minutes"',
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
# What a run may be told and a sweep may not: flags that are not configuration.
OPTIONS = frozenset(flag[2:].replace("-", "_") for flag in _FLAGS) - set(config.TOP)
AUTO = "auto"
_EPILOG = """\
Any value of the three YAML files is set by its dotted key, typed as YAML:
  model.params.beta=0.1   --model.params.beta=0.1   --model.params.beta 0.1

EVERY is a number (of epochs; for the loss, of iterations), or a text such as
"500 iterations", "2 epochs", "10 minutes", or never."""


@dataclass(frozen=True)
class Options:
    """What the command line says: the parts of the configuration, and where and how the run happens.

    Attributes:
        files: YAML file of each section.
        top: `arch_impl`, `seed` and `epochs`, each with its origin.
        overrides: dotted key to typed value.
        schedule: what was said about how often the run logs and saves and how long it may take, as it was
            said.
        resume: the run to continue, "auto", or None.
        run_id: of the run, from the flag or the environment.
        code: "snapshot" or "current".
        environ: the environment, `.env` included.
    """

    files: Mapping[str, Path]
    top: Mapping[str, tuple[Any, str]]
    overrides: Mapping[str, Any]
    schedule: Mapping[str, str]
    resume: str | None
    run_id: str | None
    run_id_from: str
    code: str
    run_name: str | None
    device: str | None
    device_from: str
    experiments_root: Path
    tracker: str
    check: bool
    print_config: bool
    environ: Mapping[str, str]


def parse_options(arguments: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Return the options that the command line, `.env` and the environment give, in this order of weight.

    Raises:
        ConfigError: for every flag that there is not, every one that is missing and every wrong value.
    """
    flags, overrides, faults = _split(arguments)
    given = vars(_parser().parse_args(flags))
    values = {name.replace("-", "_"): value for name, value in given.items()}
    environ = _environment(values["env_file"], environ)
    resume, run_id = _resumed(values, environ, faults)
    missing = [f"--{name}" for name in NEEDED if not values[name]]
    if missing and not (resume and resume != AUTO):
        faults.append(
            ConfigError(
                f"Not given: {', '.join(missing)}.",
                where="command line",
                hint="python train.py --model_conf FILE --data_conf FILE --eval_conf FILE --arch_impl FILE",
            )
        )
    if values["tracker"] not in (None, "wandb", "local"):
        faults.append(
            ConfigError(
                f"There is no tracker {values['tracker']!r}.",
                where="--tracker",
                wanted=values["tracker"],
                choices=("wandb", "local"),
            )
        )
    if values["code"] not in (None, "snapshot", "current"):
        faults.append(
            ConfigError(
                f"There is no code {values['code']!r}.",
                where="--code",
                wanted=values["code"],
                choices=("snapshot", "current"),
            )
        )
    given = {name: values[name] for name in SCHEDULE if values[name] is not None}
    try:
        schedule_of(given)
    except JadeError as fault:
        faults.append(fault)
    raise_all(faults)
    return Options(
        files={section: Path(values[f"{section}_conf"] or "") for section in config.SECTIONS},
        top={
            "arch_impl": (values["arch_impl"], "--arch_impl"),
            "seed": _top(values["seed"], DEFAULT_SEED, "--seed"),
            "epochs": _top(values["epochs"], DEFAULT_EPOCHS, "--epochs"),
            "deterministic": (True, "--deterministic") if values["deterministic"] else (False, "default"),
        },
        overrides=overrides,
        schedule=given,
        resume=resume,
        run_id=run_id,
        run_id_from="--run_id" if values["run_id"] else "WANDB_RUN_ID",
        code=values["code"] or "snapshot",
        run_name=values["run_name"],
        device=values["device"] or environ.get("DEVICE") or None,
        device_from="--device" if values["device"] else "environment variable DEVICE",
        experiments_root=Path(values["experiments_root"] or environ.get("EXPERIMENTS_ROOT") or "experiments"),
        tracker=values["tracker"] or "wandb",
        check=values["check"],
        print_config=values["print_config"],
        environ=environ,
    )


def joined(arguments: Sequence[str]) -> list[str]:
    """Return a command line with each flag, and each override, as one word with its value."""
    flags, overrides, _ = _split(arguments)
    return [*flags, *(f"{key}={scalars.dump(value, flow=True)}" for key, value in overrides.items())]


def _resumed(
    values: Mapping[str, Any], environ: Mapping[str, str], faults: list[JadeError]
) -> tuple[str | None, str | None]:
    """Return the run to continue and the id of the run; note what does not go together."""
    resume, run_id = values["resume"], values["run_id"] or environ.get("WANDB_RUN_ID") or None
    if resume is None and environ.get("WANDB_SWEEP_ID") and environ.get("WANDB_RUN_ID"):
        resume = AUTO  # a sweep hands out a trial that was preempted under its old id
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
        if surplus:
            faults.append(
                ConfigError(
                    f"{', '.join(surplus)} cannot be given with --resume RUN: the run has its own.",
                    where="--resume",
                    hint="Values are changed by their dotted keys, as model.params.lr=0.1;"
                    " --code current uses the present code.",
                )
            )
    return resume, run_id


def _top(text: str | None, default: int, flag: str) -> tuple[Any, str]:
    return (default, "default") if text is None else (scalars.typed(text), flag)


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


def _split(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any], list[JadeError]]:
    """Part the command line into flags, in their one spelling, and overrides; name what is neither."""
    spelled = {_folded(flag): flag for flag in (*_FLAGS, "--help")}
    flags: list[str] = []
    overrides: dict[str, Any] = {}
    faults: list[JadeError] = []
    waiting = list(arguments)
    while waiting:
        token = waiting.pop(0)
        name, equals, value = token.partition("=")
        flag = spelled.get(_folded(name)) if name.startswith("--") else None
        if token == "-h":
            flags.append(token)
        elif flag:
            takes_value = "action" not in _FLAGS.get(flag, {"action": "help"})
            flags.append(f"{flag}{equals}{value}")
            if takes_value and not equals and waiting and not _is_flag(waiting[0], spelled):
                # Joined by "=", so that a value that starts with a dash is not taken for a flag.
                flags[-1] = f"{flag}={waiting.pop(0)}"
        elif _is_override(name, equals):
            if not equals and waiting and not _is_flag(waiting[0], spelled):
                token = f"{token}={waiting.pop(0)}"
            _take_override(token, overrides, faults)
        else:
            faults.append(_not_a_flag(token, spelled))
            if name.startswith("--") and not equals and waiting and _is_bare_word(waiting[0]):
                waiting.pop(0)  # the value of the flag that there is not
    return flags, overrides, faults


def _is_flag(token: str, spelled: Mapping[str, str]) -> bool:
    return token.startswith("--") and _folded(token.partition("=")[0]) in spelled


def _is_bare_word(token: str) -> bool:
    return not token.startswith("-") and "=" not in token


def _folded(name: str) -> str:
    return name.replace("_", "-")


def _is_override(name: str, equals: str) -> bool:
    return (bool(equals) and not name.startswith("-")) or (name.startswith("--") and "." in name)


def _take_override(token: str, overrides: dict[str, Any], faults: list[JadeError]) -> None:
    try:
        key, value = params.parse_override(token)
    except JadeError as fault:
        faults.append(fault)
        return
    overrides[key] = value


def _not_a_flag(token: str, spelled: Mapping[str, str]) -> ConfigError:
    name = token.partition("=")[0]
    if not name.startswith("-"):
        return ConfigError(
            f"{token!r} is neither a flag nor an override.",
            where="command line",
            hint="An override is written key=value.",
        )
    wanted = _folded(name)
    begun = [flag for flag in spelled if flag.startswith(wanted)]
    near = begun[0] if begun else nearest(wanted, spelled)
    return ConfigError(
        f"There is no flag {name}.",
        where="command line",
        hint=(f"did you mean: {spelled[near]}\n" if near else "")
        + "--help lists the flags; dotted keys set params.",
    )


def _environment(env_file: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the variables of `.env` that the shell has not set."""
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
