"""The agents of a sweep as processes of this machine, and what they print of their trials."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jade.sweeps import left
from jade.sweeps.service import Service

# Asked for work so often, in seconds; a server elsewhere is asked as the client does it by itself.
LOCAL_POLL = 1
# An agent that ends so often, each time soon, without the sweep being over, is not started again.
MOST_STARTS = 5
STEADY_SECONDS = 300.0
# How long the trials have to write their backups when something breaks here.
PATIENCE_SECONDS = 60.0
LINES_OF_AN_ERROR = 12

_MARK = re.compile(r"Running runs: \[(.*)\]")
# What the agent says itself, and what W&B's client says of a run.
_AGENTS = re.compile(r"^(wandb: |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ - wandb\.)")


@dataclass
class _Agent:
    number: int
    device: str | None
    process: subprocess.Popen[bytes]
    starts: int = 1
    since: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def is_due(self, now: float) -> bool:
        """Say whether one that has ended is to be started again: at once, then later each time."""
        if self.ended is None or self.starts >= MOST_STARTS:
            return False
        return now - self.ended >= (0 if self.starts == 1 else 2**self.starts)


class Agents:
    """The agents of one sweep.

    Args:
        service: the server.
        path: of the sweep, entity/project/sweep.
        folder: that holds their logs and what W&B's client writes.
    """

    def __init__(self, service: Service, path: str, folder: Path) -> None:
        self._service = service
        self._path = path
        self._folder = folder
        self._agents: list[_Agent] = []
        self._is_stopping = False
        self._sessions: set[int] = set()  # of agents that have ended; each is named like its agent's process

    def start(self, count: int) -> list[str]:
        """Start agents; return which GPU each of them has, if there are several."""
        devices = gpus(self._service.environ) if count > 1 else []
        for number in range(1, count + 1):
            device = devices[(number - 1) % len(devices)] if len(devices) > 1 else None
            self._agents.append(_Agent(number, device, self._started(number, device)))
        if len(devices) < 2:
            return []
        return [f"agent {n}: GPU {devices[(n - 1) % len(devices)]}" for n in range(1, count + 1)]

    def _started(self, number: int, device: str | None) -> subprocess.Popen[bytes]:
        entity, project, _ = self._path.split("/")
        environ = {
            **self._service.environ,
            # The agents' trials are started by the name of `python`.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{self._service.environ.get('PATH', '')}",
            "WANDB_ENTITY": entity,
            "WANDB_PROJECT": project,
            "WANDB_DIR": str(self._folder),
            # Failures are counted here, over all agents.
            "WANDB_AGENT_DISABLE_FLAPPING": "true",
            "WANDB_AGENT_MAX_INITIAL_FAILURES": str(10**9),
        }
        environ |= {"CUDA_VISIBLE_DEVICES": device} if device is not None else {}
        for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME"):
            environ.pop(name, None)  # this command may itself be part of a trial
        poll = [str(LOCAL_POLL)] if self._service.is_local else []
        # The server outlives this command, if that is killed, until its trials have been told of.
        kept = [self._service.embedded.users] if self._service.embedded is not None else []
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jade.sweeps.tied", "jade.tracking.wandb_agent", self._path, *poll],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=kept,
                start_new_session=True,  # Ctrl-C on the terminal is for this process to hand on
            )

    def _log(self, number: int) -> Path:
        return self._folder / f"agent_{number}.log"

    def tend(self) -> bool:
        """Start the agents again that were killed; say whether any is at work, or will be."""
        now = time.monotonic()
        for agent in self._agents:
            code = agent.process.poll()
            if code is not None and agent.ended is None:
                self._note_end(agent, now)
            if code and not self._is_stopping and agent.is_due(now):
                agent.process, agent.ended, agent.since = self._started(agent.number, agent.device), None, now
                agent.starts += 1
        self._forget_empty_sessions()
        return any(self._is_at_work(agent) for agent in self._agents) or (
            self._is_stopping and self._has_left
        )

    def _is_at_work(self, agent: _Agent) -> bool:
        code = agent.process.poll()
        return code is None or (code != 0 and not self._is_stopping and agent.starts < MOST_STARTS)

    def _note_end(self, agent: _Agent, now: float) -> None:
        agent.ended = now
        agent.starts = 1 if now - agent.since > STEADY_SECONDS else agent.starts
        self._sessions.add(agent.process.pid)
        if self._is_stopping:  # it may have ended while it was about to start a trial
            _send(signal.SIGTERM, left.trials({agent.process.pid}))
        if agent.process.stdin:
            agent.process.stdin.close()

    def _forget_empty_sessions(self) -> None:
        # Another one may be given the number.
        self._sessions = {session for session in self._sessions if left.everything({session})}

    @property
    def _has_left(self) -> bool:
        return bool(left.trials(self._sessions))

    @property
    def failed(self) -> list[Path]:
        """The logs of the agents that ended without the sweep being over."""
        return [self._log(agent.number) for agent in self._agents if agent.process.poll() not in (0, None)]

    def stop(self) -> None:
        """Ask the agents to end: once, and their trials write their backups; again, and these are killed."""
        is_first, self._is_stopping = not self._is_stopping, True
        for agent in self._agents:
            _ask_to_end(agent.process, 1 if is_first else 3)  # the client counts: wait, end, kill
        self.tend()
        # Agents that were killed hand on nothing.
        if is_first:
            _send(signal.SIGTERM, left.trials(self._sessions))
        else:
            _send(signal.SIGKILL, left.everything(self._sessions))

    def close(self) -> None:
        """Leave nothing behind: stop what is at work, if anything is, and kill what does not listen."""
        self.tend()
        is_at_work = self._has_left or any(agent.process.poll() is None for agent in self._agents)
        if is_at_work and not self._is_stopping:
            self.stop()
        end = time.monotonic() + PATIENCE_SECONDS
        while self._is_stopping and self.tend() and time.monotonic() < end:
            time.sleep(0.1)
        for agent in self._agents:
            if agent.process.poll() is None:
                agent.process.kill()
            agent.process.wait()
        self.tend()
        _send(signal.SIGKILL, left.everything(self._sessions))

    def error_of(self, run: str) -> str:
        """Return the end of what a trial printed: its traceback, if there is one."""
        for agent in self._agents:
            log = self._log(agent.number)
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            printed = printed_by(run, text)
            if printed:
                return printed
        return ""


def _ask_to_end(process: subprocess.Popen[bytes], times: int) -> None:
    for _ in range(times):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        if times > 1:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)


def _send(number: signal.Signals, processes: Iterable[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def printed_by(run: str, log: str) -> str:
    """Return the last lines that a trial itself printed, by its agent's log: a traceback, if there is one."""
    mine: list[str] = []
    is_mine = False
    for line in log.splitlines():
        mark = _MARK.search(line)
        if mark:
            was, is_mine = is_mine, f"'{run}'" in mark[1]
            mine = [] if is_mine and not was else mine  # of its newest attempt
        elif is_mine and not _AGENTS.match(line):
            mine.append(line.rstrip())
    starts = [index for index, line in enumerate(mine) if line.startswith("Traceback ")]
    shown = [line for line in (mine[starts[-1] :] if starts else mine) if line.strip(" ^~")]
    if len(shown) > LINES_OF_AN_ERROR:
        shown = ["…", *shown[-LINES_OF_AN_ERROR:]]
    return "\n".join(shown).strip()


def gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs of NVIDIA's that the environment allows, by what CUDA_VISIBLE_DEVICES calls them."""
    allowed = environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name.strip() for name in allowed.split(",") if name.strip()]
    tool = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if tool is None:
        return []
    command = [tool, "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()
