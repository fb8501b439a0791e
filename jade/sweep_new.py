"""A commented sweep file for the configuration of a train command: `python -m jade sweep new`.

What is written has passed `sweep_check`. How a parameter is written on the command line, `sweep_notation`
says.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from jade import config, options, params, scalars, summary, sweep_check, sweep_file
from jade.config import Config
from jade.errors import ConfigError, JadeError, raise_all
from jade.sweep_check import Checked
from jade.sweep_notation import NOTATION, spec_of
from jade.trials import GOALS

PROGRAM = "train.py"
RUN_CAP = 20


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        swept: for each key, its notation.
        words: the flags and overrides of each trial.
        output: the file to write; None for the standard output.
    """

    swept: Mapping[str, str]
    words: Sequence[str]
    accepted: Config
    method: str | None
    metric: str | None
    goal: str | None
    run_cap: int | None
    output: Path | None


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are JADE's."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message[:1].upper()}{message[1:]}.", where="sweep new", hint="--help lists the flags."
        )


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Wanted:
    """Return what the command line asks for.

    Raises:
        ConfigError: if a flag is wrong, or the configuration.
    """
    given, rest = _parser().parse_known_args(arguments)
    if not given.sweep:
        raise ConfigError("Nothing is swept.", where="--sweep", hint=NOTATION)
    given_keys, notations = [], []
    for text in given.sweep:
        key, equals, notation = text.partition("=")
        if not equals or not key or not notation:
            raise ConfigError(f"{text!r} does not say what is tried.", where="--sweep", hint=NOTATION)
        given_keys.append(key)
        notations.append(notation)
    said = options.parse_options(rest, environ)
    accepted = config.compose(said.files, said.top, said.overrides, said.environ, said.params)
    names = [params.full_key(key, accepted.flat) or key for key in given_keys]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is swept twice.", where="--sweep")
    return Wanted(
        dict(zip(names, notations, strict=True)),
        options.joined(rest),
        accepted,
        given.method,
        given.metric,
        given.goal,
        given.run_cap,
        given.output,
    )


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m jade sweep new",
        usage="%(prog)s --model_conf FILE --data_conf FILE --eval_conf FILE --arch_impl FILE [flags of train]"
        " --sweep KEY=VALUES [--sweep …] [-o FILE]",
        description="Write a sweep file for the configuration of a train command.",
        epilog=f"A swept key is written:\n{NOTATION}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--sweep", action="append", metavar="KEY=VALUES", help="what is tried; once for each key"
    )
    parser.add_argument(
        "--method", choices=sweep_file.METHODS[:3], help="default: grid, random if there is a range"
    )
    parser.add_argument("--metric", metavar="NAME", help="what is compared: an evaluation or a loss item")
    parser.add_argument("--goal", choices=GOALS, help="of the metric (default minimize)")
    parser.add_argument("--run_cap", "--run-cap", type=int, metavar="N", help="the largest number of trials")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the standard output")
    return parser


def text(wanted: Wanted, environ: Mapping[str, str]) -> tuple[str, Checked]:
    """Return the sweep file, and what its check found: nothing but warnings.

    Raises:
        JadeError: with every fault of what was asked for.
    """
    flat = wanted.accepted.flat
    faults: list[JadeError] = []
    specs: dict[str, dict[str, Any]] = {}
    for key, notation in wanted.swept.items():
        try:
            specs[key] = spec_of(key, notation, flat.get(key))
        except ConfigError as fault:
            faults.append(fault)
    raise_all(faults)
    written = _written(wanted, specs)
    values = yaml.safe_load(written)
    sweep, faults = sweep_file.examine_values(values, _flag)
    checked = sweep_check.check(sweep, environ)
    raise_all([*faults, *checked.faults])
    if wanted.metric and wanted.goal is None and summary.more_is_better(wanted.metric):
        checked.warnings.append(f"--goal: {wanted.metric} is minimized; --goal maximize looks for more.")
    return written, checked


def write(text: str, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        ConfigError: if there is one already, or it cannot be written.
    """
    if path.exists():
        raise ConfigError(
            f"{path} is there already.", where="-o", hint="Name a new file, or remove this one."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
            made = Path(beside) / path.name
            made.write_text(text, encoding="utf-8")
            made.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", where="-o") from error


def _flag(key: str) -> str:
    """Return the flag that a key of the file comes from, for errors."""
    section, _, rest = key.partition(".")
    if section == "parameters":
        return f"--sweep {rest}"
    return {"command": "command line", "run_cap": "--run_cap"}.get(section, f"--{section}")


def _written(wanted: Wanted, specs: Mapping[str, Mapping[str, Any]]) -> str:
    method = wanted.method or (
        "grid" if all("distribution" not in spec for spec in specs.values()) else "random"
    )
    command = ["${env}", "${interpreter}", "${program}", *wanted.words]
    parts = [
        _comment(
            f"A sweep of {', '.join(specs)}."
            "\n  python -m jade sweep run FILE        runs it on this machine"
            "\n  wandb sweep --project PROJECT FILE   prints an id, for several machines"
            "\n  wandb agent ENTITY/PROJECT/ID        makes one run after the other",
        ),
        _yaml({"program": PROGRAM}),
        _comment("How an agent starts a run, which takes the chosen values from W&B.")
        + _yaml({"command": command}, flow=False),
        _comment(_METHODS[method]) + _yaml({"method": method}),
        *_cap(wanted.run_cap, method),
        _metric(wanted),
        _yaml({"parameters": {key: dict(spec) for key, spec in specs.items()}}),
        _others(wanted.accepted, specs),
    ]
    return "\n".join(parts)


_METHODS = {
    "grid": "Every combination once.",
    "random": "Any combination, each drawn anew.",
    "bayes": "Combinations near those that did well.",
}


def _cap(run_cap: int | None, method: str) -> list[str]:
    if run_cap is None and method == "grid":
        return []
    why = "" if run_cap is not None else _comment("Without it, the search ends only when it is stopped.")
    return [why + _yaml({"run_cap": RUN_CAP if run_cap is None else run_cap})]


def _metric(wanted: Wanted) -> str:
    if wanted.metric is None:
        return _comment(
            "No metric was named, so none is compared. To have one:\nmetric:\n  name: NAME\n  goal: minimize"
        )
    why = "" if wanted.goal else _comment("minimize or maximize: less is taken to be better.")
    return why + _yaml({"metric": {"name": wanted.metric, "goal": wanted.goal or "minimize"}})


def _others(accepted: Config, specs: Mapping[str, Any]) -> str:
    lines = [
        f"{key}: {scalars.dump(value, flow=True)}"
        for key, value in accepted.flat.items()
        if key not in specs and value != {}
    ]
    return _comment(
        "What else can be swept, with the value that each run has now:\n" + "\n".join(f"  {x}" for x in lines)
    )


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


class _Dumper(yaml.SafeDumper):
    """PyYAML's own writer, for W&B reads by YAML 1.1: it writes 1.0e-05 and quotes '1e-3'."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the items of a list, too."""
        super().increase_indent(flow, False)


class _FlowDumper(_Dumper):
    """Writes a list on one line."""


_FlowDumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True),
)


def _yaml(values: Mapping[str, Any], *, flow: bool = True) -> str:
    dumper = _FlowDumper if flow else _Dumper
    text: str = yaml.dump(dict(values), Dumper=dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return text
