"""The agents of a sweep as processes of this machine, and what they print of their trials."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jade.sweeps.service import Service

# Asked for work so often, in seconds; a server elsewhere is asked as the client does it by itself.
LOCAL_POLL = 1
# An agent that ends by itself so often, without the sweep being over, is not started again.
MOST_STARTS = 5
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
        kept = [self._service.lifeline] if self._service.lifeline is not None else []
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
        """Start the agents again that were killed; say whether any is at work."""
        for agent in self._agents:
            code = agent.process.poll()
            if code is None or code == 0 or self._is_stopping or agent.starts >= MOST_STARTS:
                continue
            agent.starts += 1
            agent.process = self._started(agent.number, agent.device)
        return any(agent.process.poll() is None for agent in self._agents)

    @property
    def failed(self) -> list[Path]:
        """The logs of the agents that ended without the sweep being over."""
        return [self._log(agent.number) for agent in self._agents if agent.process.poll() not in (0, None)]

    def stop(self) -> None:
        """Ask the agents to end: once, and their trials write their backups; again, and these are killed."""
        signals = 3 if self._is_stopping else 1  # the client counts: wait, end, kill
        self._is_stopping = True
        for agent in self._agents:
            for _ in range(signals):
                if agent.process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        agent.process.send_signal(signal.SIGTERM)
                    if signals > 1:
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            agent.process.wait(0.5)

    def close(self) -> None:
        """Kill the agents that are left, and wait for them."""
        for agent in self._agents:
            if agent.process.poll() is None:
                agent.process.kill()
            agent.process.wait()
            if agent.process.stdin:
                agent.process.stdin.close()

    def error_of(self, run: str) -> str:
        """Return the end of what a trial printed: its traceback, if there is one."""
        for agent in self._agents:
            log = self._log(agent.number)
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            printed = printed_by(run, text)
            if printed:
                return printed
        return ""


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
