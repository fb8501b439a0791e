"""From the command line to a finished run: what `python train.py …` does, and the exit code it ends with."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jade import config, scalars
from jade.config import Config
from jade.errors import ConfigError, JadeError, shown
from jade.options import Options, parse_options

if TYPE_CHECKING:
    from jade.record import Record
    from jade.tracking.base import Tracker


def main(arguments: Sequence[str], project: Path | None = None) -> int:
    """Run `train` and return the exit code: 0, 1 for a failed run, 2 for bad input, 128 + n for a signal.

    Args:
        arguments: the command line without the program's name.
        project: the folder with `modules/`; the present one if None.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("jade").setLevel(logging.INFO)
    try:
        return _train(parse_options(arguments, os.environ), (project or Path.cwd()).resolve())
    except JadeError as error:
        if os.environ.get("JADE_TRACEBACK"):
            raise
        sys.stderr.write(f"{shown(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before the run began.\n")
        return 128 + signal.SIGINT


def _train(options: Options, project: Path) -> int:
    if not (project / "modules").is_dir():
        raise ConfigError(
            f"There is no folder modules/ in {project}.",
            where="current folder",
            hint="A project has one; `python -m jade new DIR` makes a project.",
        )
    accepted = config.compose(options.files, options.top, options.overrides, options.environ)
    if options.print_config:
        sys.stdout.write(with_origins(accepted))
        return 0
    # wandb, torch and the user's code read the environment themselves.
    os.environ.update({name: value for name, value in options.environ.items() if name not in os.environ})
    return _run(accepted, options, project)


def _run(accepted: Config, options: Options, project: Path) -> int:
    # Threads that spin while they wait take the cores from other trials on the machine; torch reads it once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch takes more than a second to import: --help, --print-config and bad YAML do not wait for it.
    from jade import devices, experiment
    from jade.plugins import Plugins
    from jade.record import Record

    plugins = Plugins(project)
    experiment.verify(accepted, plugins)
    every = options.every
    schedule = experiment.Schedule(every["log_loss_every"], every["checkpoint_every"], every["backup_every"])
    device = devices.choose(options.device, options.device_from)
    around = experiment.Surroundings(plugins, device, schedule, [sys.executable, *sys.argv], options.run_name)
    if options.check:
        return _report(experiment.check(accepted, around))
    record = Record(options.experiments_root, options.environ.get("WANDB_RUN_ID"))
    return experiment.run(accepted, around, record, _tracker(options, record))


def _tracker(options: Options, record: Record) -> Tracker:
    # Each tracker is imported only where it is used: wandb takes half a second.
    if options.tracker == "local":
        from jade.tracking.local import LocalTracker

        return LocalTracker(record)
    from jade.tracking.wandb_run import WandbTracker

    return WandbTracker(record, options.environ, options.run_name)


def _report(wrong: Sequence[Exception]) -> int:
    from jade.experiment import told  # imports torch, which --check has loaded by now

    if not wrong:
        sys.stdout.write(
            "ok: everything was built; one step and every evaluation ran; nothing was written.\n"
        )
        return 0
    sys.stderr.write("\n\n".join(told(error) for error in wrong) + "\n")
    return 2 if all(isinstance(error, JadeError) for error in wrong) else 1


def with_origins(accepted: Config) -> str:
    """Return a configuration as text: one dotted key a line, with the place where its value was written."""
    values = {key: scalars.dump(value, flow=True) for key, value in accepted.flat.items()}
    width = max(len(f"{key}: {value}") for key, value in values.items() if len(value) <= 60)
    lines = []
    for key, value in values.items():
        written = f"{key}: {value}"
        origin = accepted.where(key).removesuffix(f" ({key})")
        lines.append(f"{written:<{width}}  # {origin}\n")
    return "".join(lines)
