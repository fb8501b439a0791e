"""One command for a whole sweep: `python -m jade sweep run FILE`.

Finds a server or starts one, makes the sweep or goes on with it, works with as many agents as wanted, shows
how it stands, and ends with the best trial. Killed at any moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jade import lock, sweep_check, sweep_file
from jade import trials as found
from jade.errors import ConfigError, TrackingError, raise_all
from jade.options import project_environment
from jade.sweep_file import Sweep
from jade.sweeps import asked, ending, kept, service
from jade.sweeps.agents import Agents
from jade.sweeps.board import Board, board, standing
from jade.sweeps.kept import Kept
from jade.sweeps.lost import lost
from jade.sweeps.service import Service
from jade.tracking.wandb_control import SweepControl
from jade.tracking.wandb_run import DEFAULT_PROJECT
from jade.tracking.wandb_sweeps import WandbSweeps
from jade.trials import Trials

FAILURES_IN_A_ROW = 5
LOCAL_SECONDS, ONLINE_SECONDS = 1.0, 10.0  # between two looks at the trials
# Looking takes time of the server and of this machine; of a big sweep it takes more.
LOOKING_SHARE = 10
_OVER = ("finished", "failed", "crashed")  # a trial that the sweep itself has stopped says nothing

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Run a sweep on this machine to its end; the same command again continues it."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    _refuse_numbers(given)
    environ = project_environment(os.environ)
    root = Path(given.experiments_root or environ.get("EXPERIMENTS_ROOT") or "experiments")
    environ["EXPERIMENTS_ROOT"] = str(root.absolute())
    sweep = _checked(given.file, environ)
    if given.count is not None:
        sweep = replace(sweep, run_cap=given.count, values={**sweep.values, "run_cap": given.count})
    with service.reached(environ, root, local=given.local, retries=given.retry) as server:
        control = SweepControl(server.environ)
        one = _made(sweep.values, given, server, control, root)
        folder = kept.folder_of(root, one.name).absolute()
        with lock.owned(folder, environ, what="sweep"):
            work = _Work(one.path, sweep, folder, server, control)
            code = work.to_its_end(given.agents)
            sys.stdout.write(work.told())
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jade sweep run", description=run.__doc__)
    parser.add_argument("file", metavar="FILE", type=Path, help="of the sweep, as `wandb sweep` takes it")
    parser.add_argument(
        "--agents", metavar="N", type=int, default=1, help="how many trials at the same time (default 1)"
    )
    parser.add_argument(
        "--count", metavar="M", type=int, help="how many trials in all (default: run_cap of the file)"
    )
    parser.add_argument(
        "--retry",
        metavar="K",
        type=int,
        help="how often a failed trial is tried again, from its start (default: 1 in a grid, else 0)",
    )
    parser.add_argument(
        "--local", action="store_true", help="use the embedded server even if there is a W&B account"
    )
    parser.add_argument(
        "--new", action="store_true", help="make a new sweep, even if this one was begun before"
    )
    parser.add_argument(
        "--experiments-root",
        metavar="DIR",
        help="folder of the runs (default: EXPERIMENTS_ROOT, else experiments)",
    )
    return parser


def _refuse_numbers(given: argparse.Namespace) -> None:
    least = {"agents": 1, "count": 1, "retry": 0}
    raise_all(
        [
            ConfigError(f"{getattr(given, name)} is too few.", where=f"--{name}", hint=f"At least {number}.")
            for name, number in least.items()
            if getattr(given, name) is not None and getattr(given, name) < number
        ]
    )


def _checked(path: Path, environ: Mapping[str, str]) -> Sweep:
    """Return the sweep of a file, if its trials can begin."""
    sweep, faults = sweep_file.examine(path)
    if not faults:
        checked = sweep_check.check(sweep, environ)
        sys.stderr.writelines(f"warning: {warning}\n" for warning in checked.warnings)
        faults = checked.faults
    raise_all(faults)
    return sweep


def _made(
    content: Mapping[str, Any],
    given: argparse.Namespace,
    server: Service,
    control: SweepControl,
    root: Path,
) -> Kept:
    """Return the sweep that was made of the file before, if it is still there; else make it."""
    project = server.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    where = kept.LOCAL if server.is_local else control.url
    digest = kept.digest_of(content, project)
    for one in kept.all_of(root):
        is_same = (one.digest, one.server) == (digest, where)
        if is_same and not given.new and control.state(one.path) is not None:
            sys.stdout.write(f"going on with sweep {one.path}, begun {_day(one.made)}; --new makes another\n")
            control.go_on(one.path, content)
            return one
    return kept.note(root, control.make(content, project), where, given.file, digest)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


@dataclass
class _Failures:
    """Counts the trials that failed one after the other since this command began."""

    in_a_row: int = 0
    newest: str = ""
    _over: set[str] = field(default_factory=set)

    def forget(self, trials: Trials) -> None:
        """Take note of the trials that were over before."""
        self._over = {trial.run_id for trial in trials.rows if trial.state in _OVER}

    def look(self, trials: Trials) -> None:
        """Take note of the trials that are over now."""
        for trial in found.in_order(trials.rows):
            if trial.run_id in self._over or trial.state not in _OVER:
                continue
            self._over.add(trial.run_id)
            failed = trial.state != "finished"
            self.in_a_row = self.in_a_row + 1 if failed else 0
            self.newest = trial.run_id if failed else self.newest


class _Work:
    """One sweep, as this command works on it."""

    def __init__(self, path: str, sweep: Sweep, folder: Path, server: Service, control: SweepControl) -> None:
        self._path = path
        self._sweep = sweep
        self._folder = folder
        self._server = server
        self._control = control
        self._reader = WandbSweeps(server.environ)
        self._trials = self._read()
        self._failures = _Failures()
        self._why = ""
        self._failure = ""  # of a trial, where the sweep came to its end all the same
        self._followed = 0  # how many requests to stop
        self._next_look = -math.inf

    def _read(self) -> Trials:
        # Of a grid the server does not say how many there will be.
        return replace(self._reader.trials(self._path), run_cap=sweep_check.trials_of(self._sweep))

    def to_its_end(self, agents: int) -> int:
        """Work with so many agents until the sweep is over, or must not go on; return the exit code."""
        sys.stdout.write(f"sweep  {self._path}\npage   {self._page}\n")
        with asked.counted() as wish:
            self._give_back_what_is_lost()
            self._failures.forget(self._trials)
            if self._trials.rows:
                sys.stdout.write(f"{standing(self._trials)}\n")
            sys.stdout.flush()
            self._work(wish, agents)
        if wish.times and not self._why:
            self._why = "The sweep was stopped; the same command goes on with it."
            return wish.exit_code
        return 1 if self._why else 0

    @property
    def _page(self) -> str:
        entity, project, name = self._path.split("/")
        return f"{self._server.url}/{entity}/{project}/sweeps/{name}"

    def _work(self, wish: asked.Asked, count: int) -> None:
        with (
            closing(board(self._trials)) as shown,
            closing(Agents(self._server, self._path, self._folder)) as agents,
        ):
            for line in agents.start(count):
                shown.say(line)
            while agents.tend():
                self._follow(wish, agents, shown)
                self._look_if_due(agents, shown)
                time.sleep(0.1)
            self._give_back_what_is_lost()
            self._look(shown)
            if not self._why and not wish.times:
                self._why = _of_agents(agents)
                self._failure = self._of_one_failure(agents)

    def _follow(self, wish: asked.Asked, agents: Agents, shown: Board) -> None:
        if wish.times == self._followed:
            return
        self._followed = wish.times
        if self._followed == 1:
            shown.say("Stopping: the trials write their backups. Ctrl-C again kills them.")
        else:
            shown.say("Killing the trials; each goes on from its last backup.")
        agents.stop()

    def _look_if_due(self, agents: Agents, shown: Board) -> None:
        began = time.monotonic()
        if began < self._next_look:
            return
        self._look(shown)
        least = LOCAL_SECONDS if self._server.is_local else ONLINE_SECONDS
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(least, LOOKING_SHARE * took)
        # Trials that were interrupted look like failed ones.
        too_many = self._failures.in_a_row >= FAILURES_IN_A_ROW and not self._followed
        if too_many and not self._why:
            self._why = self._of_failures(agents)
            agents.stop()

    def _look(self, shown: Board) -> None:
        try:
            self._trials = self._read()
        except TrackingError as error:  # the next look may see more
            _log.warning("%s", error)
            return
        self._failures.look(self._trials)
        shown.show(self._trials)

    def _give_back_what_is_lost(self) -> None:
        """Have the trials handed out again that were under way when their agents ended."""
        self._trials = self._read()
        root = Path(self._server.environ["EXPERIMENTS_ROOT"])
        handed_out = kept.handed_out(self._folder, self._path.rpartition("/")[2])
        for run, is_known in lost(handed_out, self._trials.rows, root):
            self._control.give_back(self._path, run, is_known)
        self._trials = self._read()

    def _error(self, agents: Agents) -> str:
        said = agents.error_of(self._failures.newest)
        said = said or f"It printed nothing; the agents' logs are in {self._folder}."
        return f"{self._failures.newest}:\n\n{textwrap.indent(said, '  | ')}\n\n"

    def _of_one_failure(self, agents: Agents) -> str:
        if not self._failures.newest:
            return ""
        return (
            f"Trials have failed. The last, {self._error(agents)}"
            "When it is mended, the same command with --retry 1 tries the failed trials again."
        )

    def _of_failures(self, agents: Agents) -> str:
        return (
            f"The sweep was stopped: {FAILURES_IN_A_ROW} trials in a row have failed. The last, "
            f"{self._error(agents)}"
            "Mend it and start the same command again; with --retry 1 the failed trials are tried again."
        )

    def told(self) -> str:
        """Return what the command ends with."""
        pages = self._page if self._server.lifeline is None else "python -m jade server"
        return ending.told(self._trials, self._sweep, self._folder, self._why or self._failure, pages)


def _of_agents(agents: Agents) -> str:
    """Return why the agents ended before the sweep was over; nothing if they did not."""
    logs = agents.failed
    if not logs:
        return ""
    last = logs[0].read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
    return f"The agents ended before the sweep was over. {logs[0]} ends with\n\n" + textwrap.indent(
        "\n".join(last), "  | "
    )
