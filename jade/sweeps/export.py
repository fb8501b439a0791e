"""The YAML files of one trial, and the command that trains with them: `sweep export`.

The files are the trial's own, with what the sweep and the command line had changed put in; what they say is
read again before anything is written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jade import config, params, scalars
from jade import trials as found
from jade.config import INIT, SECTIONS, TOP, Config
from jade.errors import ConfigError, JadeError
from jade.sweeps import kept, sources, yaml_edit
from jade.sweeps.sources import Source
from jade.trials import GOAL_OF, Trial
from jade.yaml_file import read_yaml

_UNSET = "a variable that is not set"
_ENDINGS = (".yml", ".yaml")


def export(arguments: Sequence[str]) -> int:
    """Write the YAML files of one trial, so that the winner becomes a configuration."""
    given = _parser().parse_args(arguments)
    environ = kept.surroundings(given, os.environ)
    targets = targets_of(given.output)
    _refuse_existing(targets, given.force)
    with sources.opened(given.sweep, environ) as source:
        trial, files = _chosen(source, given)
    exported = exported_of(trial, files, environ)
    _write({targets[section]: exported.texts[section] for section in SECTIONS})
    sys.stderr.writelines(f"warning: {warning}\n" for warning in exported.warnings)
    written = "".join(f"{targets[section]}\n" for section in SECTIONS)
    sys.stdout.write(f"{trial.run_id}\n{written}\n{exported.command(targets)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade sweep export",
        description=export.__doc__,
        epilog="-o winner.yml writes winner_model.yml, winner_data.yml and winner_eval.yml; -o winner writes"
        " model.yml, data.yml and eval.yml into the folder winner. Comments and $VARIABLES stay as they were"
        " where the trial had what they say. The command that trains with the files is printed.",
    )
    parser.add_argument(
        "sweep",
        metavar="SWEEP|FILE|DIR",
        help="a sweep's id or entity/project/id, the file of which `sweep run` made it, or a folder of runs",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--best", action="store_true", help="the trial whose final model is best")
    which.add_argument("--trial", metavar="ID", help="the trial of an id, or of a name")
    parser.add_argument(
        "-o", "--output", metavar="NAME", type=Path, required=True, help="where to: NAME.yml or a folder"
    )
    parser.add_argument("--metric", metavar="NAME", help="which decides what is best (default: the sweep's)")
    parser.add_argument("--goal", choices=GOAL_OF, help="of the metric (default: the sweep's)")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    kept.take_root(parser)
    return parser


def targets_of(output: Path) -> dict[str, Path]:
    """Return for each section the file that is written."""
    if output.suffix in _ENDINGS:
        return {one: output.with_name(f"{output.stem}_{one}{output.suffix}") for one in SECTIONS}
    return {section: output / f"{section}.yml" for section in SECTIONS}


def _refuse_existing(targets: Mapping[str, Path], force: bool) -> None:
    there = [str(path) for path in targets.values() if path.exists()]
    if there and not force:
        raise ConfigError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already.",
            where="-o",
            hint="--force replaces them.",
        )


def _chosen(source: Source, given: argparse.Namespace) -> tuple[Trial, dict[str, str]]:
    """Return the trial that is wanted, and its files."""
    trials, warnings = source.trials(given.metric, GOAL_OF.get(given.goal), compared=given.best)
    sys.stderr.writelines(f"warning: {warning}\n" for warning in warnings)
    if given.best:
        best = found.best_of(trials)
        if best is None:
            raise ConfigError(
                f"No trial of {trials.path} has finished with a number as its {trials.metric or 'metric'}.",
                where="--best",
                hint="--trial ID takes any, as `sweep show` lists them; --metric compares by another one.",
            )
        return best, source.files(best, trials.path)
    for trial in trials.rows:
        if given.trial in (trial.run_id, trial.name):
            return trial, source.files(trial, trials.path)
    raise ConfigError(
        f"{trials.path} has no trial {given.trial!r}.",
        where="--trial",
        wanted=given.trial,
        choices=[name for trial in trials.rows for name in (trial.run_id, trial.name)],
    )


@dataclass(frozen=True)
class Exported:
    """A trial as files.

    Attributes:
        texts: of each section.
        top: `arch_impl`, `seed`, `epochs` and `deterministic`, which no file says, and with whose weights the
            trial began.
        program: the words before the flags.
        warnings: what is said otherwise than in the trial's own files.
    """

    texts: Mapping[str, str]
    top: Mapping[str, Any]
    program: Sequence[str]
    warnings: Sequence[str]

    def command(self, targets: Mapping[str, Path]) -> str:
        """Return the command that trains with the files."""
        words = [*self.program, *(f"--{section}_conf={targets[section]}" for section in SECTIONS)]
        words += [f"--{name}={self.top[name]}" for name in ("arch_impl", "epochs", "seed")]
        words += ["--deterministic"] if self.top["deterministic"] else []
        words += [f"--init-from={self.top['init_from']}"] if "init_from" in self.top else []
        names = self.top.get("init_attributes")
        words += [f"--init-attributes={','.join(names)}"] if names else []
        return shlex.join([*words, *(["--init-partial"] if "init_partial" in self.top else [])])


def exported_of(trial: Trial, files: Mapping[str, str], environ: Mapping[str, str]) -> Exported:
    """Return what a trial was, as three files and a command.

    Args:
        trial: to be exported.
        files: of its folder, by name.
        environ: the variables that the files may name.

    Raises:
        ConfigError: if the files do not say what the trial was.
    """
    if "config.yml" not in files:
        raise ConfigError(
            f"The trial {trial.run_id} has left no config.yml.",
            hint="It ended before it began, or its files were not uploaded.",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = (trial.folder or Path(folder)) / "config.yml"
        if trial.folder is None:
            path.write_text(files["config.yml"], encoding="utf-8")
        was = config.recorded(path, {})
        own = {section: files.get(f"yaml/{section}.yml") for section in SECTIONS}
        writer = _Writer(was, environ, Path(folder))
        texts = {section: writer.text(section, own[section]) for section in SECTIONS}
    return Exported(texts, _top(was), _program(files), writer.warnings)


def _top(was: Config) -> dict[str, Any]:
    return {name: was.values[name] for name in (*TOP, *INIT) if name in was.values}


def _program(files: Mapping[str, str]) -> list[str]:
    """Return the words by which the trial's program was started, for this machine."""
    try:
        said = [str(word) for word in json.loads(files["environment.json"])["command"]]
    except (KeyError, TypeError, ValueError):
        said = []
    # The first is the interpreter, the second a path, on the machine where that was.
    name = Path(said[1]).name if len(said) > 1 else "train.py"
    return ["python", "-m", "jade", "train"] if name == "__main__.py" else ["python", name]


class _Writer:
    """Writes what a trial was as the text of each section."""

    def __init__(self, was: Config, environ: Mapping[str, str], folder: Path) -> None:
        self.warnings: list[str] = []
        self._was = was
        self._environ = environ
        self._folder = folder

    def text(self, section: str, own: str | None) -> str:
        """Return the text of a section: its own one with what was changed put in, if that says it all.

        Args:
            section: "model", "data" or "eval".
            own: the file as it was written, if it is known.
        """
        wanted = self._was.values[section]
        plain = scalars.dump(wanted)
        if own is None:
            return plain
        try:
            now = self._said(own)
            beginning = {name: self._was.values.get(name, INIT[name]) for name in INIT if name in now}
            text = yaml_edit.put(own, now, {**wanted, **beginning})
            is_right = self._says(section, text)
        except (yaml.YAMLError, JadeError):
            is_right = False
        if not is_right:
            self.warnings.append(
                f"The {section} file is written anew, without comments: aliases stand in it."
            )
            return plain
        self.warnings += _of_variables(section, own, params.flatten(now), self._was.flat)
        return text

    def _said(self, text: str) -> dict[str, Any]:
        """Return what a file says here; where it names a variable that is not set, something else."""
        unset = {
            name: _UNSET
            for name in re.findall(r"\$\{?([A-Za-z_]\w*)", text)
            if not self._environ.get(name) and re.search(rf"\$(?:{name}\b|\{{{name}\}})", text)
        }
        return read_yaml(self._file("said", text), {**self._environ, **unset}).values

    def _says(self, section: str, text: str) -> bool:
        texts = {one: scalars.dump(self._was.values[one]) for one in SECTIONS} | {section: text}
        files = {one: self._file(one, written) for one, written in texts.items()}
        top = {name: (value, "") for name, value in _top(self._was).items()}
        composed = config.compose(files, top, {}, self._environ).flat
        return _shown(composed) == _shown(self._was.flat)

    def _file(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.yml"
        path.write_text(text, encoding="utf-8")
        return path


def _shown(flat: Mapping[str, Any]) -> dict[str, str]:
    return {key: repr(value) for key, value in flat.items()}


def _of_variables(section: str, text: str, now: Mapping[str, Any], was: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a variable had to give way to the value that the trial had."""
    for key, raw in params.flatten(yaml.load(text, Loader=yaml.BaseLoader)).items():
        name = f"{section}.{key}"
        if "$" in str(raw) and name in was and repr(now.get(key)) != repr(was[name]):
            value = scalars.dump(was[name], flow=True)
            yield f"{name} was {value}, which is written in place of {raw}: that says another value here."


def _write(texts: Mapping[Path, str]) -> None:
    """Write files, all or none."""
    made: list[tuple[Path, Path]] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            made.append((beside, path))
            beside.write_text(text, encoding="utf-8")
        for beside, path in made:
            beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", where="-o") from error
    finally:
        for beside, _ in made:
            beside.unlink(missing_ok=True)
