"""One command for a whole sweep: `python -m jade sweep run FILE`.

Finds a server or starts one, makes the sweep or goes on with it, works with as many agents as wanted, shows
how it stands, and ends with the best trial. Killed at any moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from jade import lock, sweep_check, sweep_file
from jade.errors import ConfigError, TrackingError, raise_all
from jade.sweep_file import Sweep
from jade.sweeps import asked, ending, kept, service, voice
from jade.sweeps.agents import Agents
from jade.sweeps.board import Board, board, standing
from jade.sweeps.failures import Failures
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


def run(arguments: Sequence[str]) -> int:
    """Run a sweep on this machine to its end; the same command again continues it."""
    given = _parser().parse_args(arguments)
    voice.prepare()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    _refuse_numbers(given)
    environ = kept.surroundings(given, os.environ)
    root = Path(environ["EXPERIMENTS_ROOT"])
    environ["EXPERIMENTS_ROOT"] = str(root.absolute())
    sweep = _checked(given.file, environ)
    if given.count is not None:
        sweep = replace(sweep, run_cap=given.count, values={**sweep.values, "run_cap": given.count})
    try:
        with service.reached(environ, root, local=given.local, retries=given.retry) as server:
            return _run(sweep, given, server, root)
    except KeyboardInterrupt:  # before there was anything to stop
        voice.say("Stopped.", sys.stderr)
        return 128 + signal.SIGINT


def _run(sweep: Sweep, given: argparse.Namespace, server: Service, root: Path) -> int:
    control = SweepControl(server.environ)
    with kept.alone(root):
        one = _made(sweep.values, given, server, control, root)
    folder = kept.folder_of(root, one.name).absolute()
    with lock.owned(folder, server.environ, what="sweep"), asked.counted() as wish:
        work = _Work(one.path, sweep, folder, server, control)
        code = work.to_its_end(given.agents, wish)
        voice.say(work.told(given.experiments_root))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jade sweep run", description=run.__doc__, allow_abbrev=False
    )
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
    kept.take_root(parser)
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
            voice.say(f"going on with sweep {one.path}, begun {_day(one.made)}; --new makes another")
            control.go_on(one.path, content)
            return one
    return kept.note(root, control.make(content, project), where, given.file, digest)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


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
        self._failures = Failures()
        self._why = ""
        self._is_silent = self._is_server_lost = False
        self._failure = ""  # of a trial, where the sweep came to its end all the same
        self._followed = 0  # how many requests to stop
        self._next_look = -math.inf

    def _read(self) -> Trials:
        # Of a grid the server does not say how many there will be.
        return replace(self._reader.trials(self._path), run_cap=sweep_check.trials_of(self._sweep))

    def to_its_end(self, agents: int, wish: asked.Asked) -> int:
        """Work with so many agents until the sweep is over, or must not go on; return the exit code."""
        voice.say(f"sweep  {self._path}\npage   {self._page}")
        self._give_back_what_is_lost()
        self._failures.forget(self._trials)
        if self._trials.rows:
            voice.say(standing(self._trials))
        self._work(wish, agents)
        if wish.times and not self._why:
            self._why = "The sweep was stopped; the same command goes on with it."
            return wish.exit_code
        is_in_vain = self._failure and all(trial.state != "finished" for trial in self._trials.rows)
        return 1 if self._why or is_in_vain else 0

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
                self._tend_server(agents, shown)
                self._look_if_due(agents, shown)
                time.sleep(0.1)
            self._end(wish, agents, shown)

    def _end(self, wish: asked.Asked, agents: Agents, shown: Board) -> None:
        if not self._why and not wish.times:
            self._why = _of_agents(agents)
        # Of a sweep that has come to its end by itself nothing is lost.
        if self._why or wish.times:
            try:
                self._give_back_what_is_lost()
            except TrackingError as error:  # the same command does it when it begins
                shown.say(f"warning: {error}")
        self._look(shown)
        if not self._why and not wish.times:
            self._failure = self._of_one_failure(agents)

    def _tend_server(self, agents: Agents, shown: Board) -> None:
        """Have the embedded server run again if it was killed: agents and trials wait for it."""
        if self._server.embedded is None or self._is_server_lost:
            return
        try:
            if self._server.embedded.tend(is_silent=self._is_silent):
                shown.say("The server had ended; it runs again.")
        except ConfigError as error:
            self._is_server_lost = True
            self._why = self._why or f"The sweep was stopped: {error}"
            agents.stop()

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
        # Trials that are interrupted look like failed ones until they are given back.
        if began < self._next_look or self._followed:
            return
        self._look(shown)
        least = LOCAL_SECONDS if self._server.is_local else ONLINE_SECONDS
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(least, LOOKING_SHARE * took)
        if self._failures.in_a_row >= FAILURES_IN_A_ROW and not self._why:
            self._why = self._of_failures(agents)
            agents.stop()

    def _look(self, shown: Board) -> None:
        try:
            self._trials = self._read()
        except TrackingError as error:  # the next look may see more
            if not self._is_silent:
                shown.say(f"warning: {error}")
            self._is_silent = True
            return
        self._is_silent = False
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

    def told(self, root: str | None) -> str:
        """Return what the command ends with, where `root` is the experiments folder that it was given."""
        embedded = self._server.embedded
        pages = (
            f"python -m jade server, then {self._page}"
            if embedded is not None and embedded.ends_with_its_users
            else self._page
        )
        environ = dict(self._server.environ)
        words = ending.Words(self._why or self._failure, pages, root, environ)
        return ending.told(self._trials, self._sweep, self._folder, words)


def _of_agents(agents: Agents) -> str:
    """Return why the agents ended before the sweep was over; nothing if they did not."""
    logs = agents.failed
    if not logs:
        return ""
    last = logs[0].read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
    return f"The agents ended before the sweep was over. {logs[0]} ends with\n\n" + textwrap.indent(
        "\n".join(last), "  | "
    )
