"""What a sweep's command starts: which program, with which flags, and so which configuration.

Says what the command itself says, before any value of the sweep. `sweep_check` holds the sweep against it.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from jade import config, params, sweep_command
from jade.config import Config
from jade.errors import ConfigError, JadeError, shown
from jade.options import DEFAULT_EPOCHS, DEFAULT_SEED, Options, parse_options
from jade.sweep_file import Sweep


@dataclass(frozen=True)
class Program:
    """What a command starts.

    Attributes:
        file: of the program; None for a module.
        arguments: behind it.
        is_jade: whether it is JADE's.
        root: the experiments folder of its runs, if it is.
    """

    file: Path | None
    arguments: list[str]
    is_jade: bool
    root: Path | None = None

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.file.parent.resolve() if self.file else Path.cwd()

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.file.name if self.file else "jade train"


def started(sweep: Sweep, environ: Mapping[str, str]) -> tuple[Program | None, Config | None]:
    """Return the program that a sweep's command starts, and the configuration that its own flags describe.

    The values that the sweep gives are not in the configuration. There is none where the program is not
    JADE's, and no program where the command starts no Python file.

    Args:
        sweep: the sweep.
        environ: the environment of a trial.

    Raises:
        ConfigError: if there is no such program, or it refuses the command.
    """
    if "${program}" in sweep.command and sweep.program is None:
        raise ConfigError(
            "The command starts ${program}, and the sweep names no program.",
            where=sweep.where("program"),
            hint="program: train.py",
        )
    if sweep.program and not _starts_something(sweep.command):
        raise ConfigError(
            f"The command starts Python, but not {sweep.program}: it has no word ${{program}}.",
            where=sweep.where("command"),
            hint="Write - ${program} after - ${interpreter}",
        )
    example = {key: found.examples()[0] for key, found in sweep.parameters.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.json"
        path.write_text(json.dumps(example, default=str), encoding="utf-8")
        words = sweep_command.filled(sweep.command, sweep.program or "", example, str(path), environ)
        program = _program(sweep, words)
        if program is None or not program.is_jade:
            return program, None
        trial = {**environ, **_of_trial(example, Path(folder))}
        options = _options(sweep, program, trial)
        return replace(program, root=options.experiments_root), _composed(sweep, program, options)


def _starts_something(command: Sequence[str]) -> bool:
    """Say whether Python, where a command starts it, is told what to run."""
    if "${interpreter}" not in command:
        return True
    told = command[command.index("${interpreter}") + 1 :]
    return any(word in ("${program}", "-m", "-c") or not word.startswith(("-", "${")) for word in told)


def _of_trial(example: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the variables that an agent sets for a trial; their file is written into `folder`."""
    path = folder / "params.yaml"
    written = {"wandb_version": 1} | {key: {"value": value} for key, value in example.items()}
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    return {"WANDB_SWEEP_ID": "check", "WANDB_RUN_ID": "check", "WANDB_SWEEP_PARAM_PATH": str(path)}


def _program(sweep: Sweep, words: Sequence[str]) -> Program | None:
    for index, word in enumerate(words):
        if list(words[index : index + 2]) == ["jade", "train"]:
            return Program(None, list(words[index + 2 :]), is_jade=True)
        if word.endswith(".py") and not word.startswith("-"):
            file = Path(word)
            if not file.is_file():
                place = "program" if word == sweep.program else "command"
                beside = [str(file.parent / other.name) for other in sorted(file.parent.glob("*.py"))]
                raise ConfigError(
                    f"There is no file {word} in the current folder.",
                    where=sweep.where(place),
                    wanted=word,
                    choices=beside,
                    hint=None if beside else "A sweep is started from the project's folder.",
                )
            return Program(file, list(words[index + 1 :]), _is_jade(file))
    return None


def _is_jade(file: Path) -> bool:
    """Say whether a program hands its command line to JADE: it imports the module that takes it."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8-sig"))
    except (SyntaxError, ValueError, OSError):
        return False
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return not found.isdisjoint({"jade.cli", "jade.commands.train"})


def _options(sweep: Sweep, program: Program, environ: Mapping[str, str]) -> Options:
    place = sweep.where("command")
    unset = sweep_command.unset(sweep.command, environ)
    if unset:
        raise ConfigError(
            f"The command names the environment variable {', '.join(unset)}, which is not set.",
            where=place,
            hint="\n".join(f"export {name}=…" for name in unset),
        )
    if {"-h", "--help"} & set(program.arguments):
        raise ConfigError("The command asks for help: no trial would train.", where=place)
    try:
        options = parse_options(program.arguments, environ)
    except JadeError as fault:
        raise _refused(program, fault, place) from None
    said = [
        (options.check or options.print_config, "--check or --print-config: no trial would train"),
        (options.resume not in (None, "auto"), "--resume RUN: each trial would continue the same run"),
    ]
    # Whether the machine of an agent has the device is not to be found out here.
    if options.device and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", options.device):
        raise ConfigError(
            f"There is no device {options.device!r}.",
            where=place,
            wanted=options.device,
            choices=("cpu", "cuda", "mps"),
        )
    for wrong, what in said:
        if wrong:
            raise ConfigError(f"The command has {what}.", where=place)
    return options


def _refused(program: Program, fault: JadeError, place: str) -> JadeError:
    spaced = [word for word in program.arguments if word.startswith("--") and " " in word.partition("=")[0]]
    hint = "\n".join(f"Two words are two items: - {word.replace(' ', '=', 1)}" for word in spaced)
    return ConfigError(
        f"{program.name} refuses the command.\n{indented(fault)}", where=place, hint=hint or None
    )


def _unswept(values: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    def is_swept(key: str) -> bool:  # as it is, or inside of a mapping that is swept as a whole
        return any(key == one or key.startswith(f"{one}.") for one in sweep.parameters)

    return {key: value for key, value in values.items() if not is_swept(key)}


def indented(fault: JadeError | None) -> str:
    """Return the text of a fault as a part of another one's."""
    return "\n".join(f"  | {line}".rstrip() for line in shown(fault).splitlines()) if fault else ""


def _composed(sweep: Sweep, program: Program, options: Options) -> Config:
    """Return the configuration of the command's own flags, without the values that the sweep gives."""
    top = dict(options.top)
    for key, default in (("seed", DEFAULT_SEED), ("epochs", DEFAULT_EPOCHS), ("deterministic", False)):
        if key in sweep.parameters:
            top[key] = (default, "default")
    top = {key: said for key, said in top.items() if key not in config.INIT or key not in sweep.parameters}
    own = _unswept(options.overrides, sweep)
    given = [(place, _unswept(params.flatten(values), sweep)) for place, values in options.params]
    if not (program.folder / "modules").is_dir():
        raise ConfigError(
            f"There is no folder modules/ in {program.folder}.",
            where=sweep.where("program"),
            hint="A project has one; `python -m jade new DIR` makes a project.",
        )
    try:
        return config.compose(options.files, top, own, options.environ, given)
    except JadeError as fault:
        raise _refused(program, fault, sweep.where("command")) from None
