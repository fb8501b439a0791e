"""The embedded server of an experiments folder, as a process that is shared by all who need it.

Each of them holds the file `server.users` locked together with the others; the system gives that back,
whichever way one ends. The server ends with the last of them. Killed alone, it is started again where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import urlsplit

from jade import lock
from jade.errors import ConfigError

# In the folder of a server that runs: where it is; what it holds locked while it does; who needs it; who is
# about to start one.
ADDRESS, LOCK, USERS, BEGINNING = "server.json", "server.lock", "server.users", "server.begin"
LOG = "server.log"  # what a server that was started here had to say
START_SECONDS = 60.0
END_SECONDS = 15.0
# A server that has ended so often within so many seconds is not started again.
MOST_ENDS, STEADY_SECONDS = 5, 300.0
_USUAL = "8080"
_READY = re.compile(r"WANDB_BASE_URL=(\S+)")


class Embedded:
    """The server of a folder: found, or started; needed until `close`.

    Args:
        data: the server's folder.
        environ: of the server, if it is started here.
        retries: how often it has a failed trial tried again, if it is started here.

    Attributes:
        address: where it is reached.
        users: a descriptor that keeps the server alive in whichever process has it.

    Raises:
        ConfigError: if the folder cannot be used, or the server does not start.
    """

    def __init__(self, data: Path, environ: Mapping[str, str], retries: int | None) -> None:
        self._data = data
        self._environ = environ
        self._asked = ["--log", "errors", *(["--retry", str(retries)] if retries is not None else [])]
        self._process: subprocess.Popen[str] | None = None
        self._ends: list[float] = []
        try:
            data.mkdir(parents=True, exist_ok=True)
            # Waits for a server that is about to end, which has it locked for itself.
            self.users = _locked(data / USERS, fcntl.LOCK_SH)
        except OSError as error:
            raise ConfigError(
                f"{data} cannot hold the server's data: {error.strerror}.", where="EXPERIMENTS_ROOT"
            ) from None
        try:
            # The usual port first, so that the address of the pages stays the same.
            self.address = self._found_or_started(_USUAL, "0")
        except BaseException:
            self.close()
            raise

    @property
    def is_own(self) -> bool:
        """Whether it was started here, and not by somebody else."""
        return self._process is not None

    @property
    def ends_with_its_users(self) -> bool:
        """Whether it ends when nobody needs it: not one that was started by hand."""
        return self._user_bound() is not None

    def _user_bound(self) -> int | None:
        """Return the process of a server that ends with its users; None if it is another one."""
        with contextlib.suppress(OSError, ValueError):
            announced = json.loads((self._data / ADDRESS).read_text(encoding="utf-8"))["pid"]
            return announced if announced == int((self._data / USERS).read_text()) else None
        return None

    def tend(self, *, is_silent: bool = False) -> bool:
        """Have a server that has ended run again, where agents and trials look for it; say whether it had.

        Args:
            is_silent: whether it does not answer. Only then is one looked after that others have started.

        Raises:
            ConfigError: if it does not start, or ends again and again.
        """
        has_ended = self._process is not None and self._process.poll() is not None
        if not (has_ended or (is_silent and self._process is None)):
            return False
        self._refuse_to_go_on_for_ever()
        address = self._found_or_started(str(urlsplit(self.address).port))
        if address != self.address:
            raise ConfigError(
                f"The embedded server has ended, and another one was started at {address}.",
                hint="The same command goes on with the sweep there.",
            )
        return True

    def _refuse_to_go_on_for_ever(self) -> None:
        now = time.monotonic()
        self._ends = [*(moment for moment in self._ends if now - moment < STEADY_SECONDS), now]
        if len(self._ends) > MOST_ENDS:
            log = self._data / LOG
            said = log.read_text(errors="replace").strip() if log.exists() else ""
            raise ConfigError(f"The embedded server ends again and again.\n{said[-2000:]}", where=str(log))

    def close(self) -> None:
        """Need the server no more; wait for its end if nobody else does."""
        process = self._user_bound()
        os.close(self.users)
        end = time.monotonic() + END_SECONDS
        while process is not None and lock.lives(process) and not _is_shared(self._data / USERS):
            if time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
                break
            time.sleep(0.05)
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # it goes on with the others: nothing here waits for it

    def _found_or_started(self, *ports: str) -> str:
        with _beginning(self._data):
            end = time.monotonic() + START_SECONDS
            while (address := _running(self._data)) == "" and time.monotonic() < end:
                time.sleep(0.1)  # somebody has just started it by hand
            return address or self._started(ports)

    def _started(self, ports: tuple[str, ...]) -> str:
        log, said = self._data / LOG, ""
        users = str(self._data / USERS)
        command = [sys.executable, "-m", "jade.sweeps.tied", "--users", users]
        for port in ports:
            with log.open("w") as errors:
                self._process = subprocess.Popen(
                    [*command, "jade", "server", "--data", str(self._data), "--port", port, *self._asked],
                    env=dict(self._environ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    start_new_session=True,
                )
            address = _address(self._process)
            if address:
                return address
            said = log.read_text(errors="replace").strip()
            if "--port" not in said:
                break
        raise ConfigError(f"The embedded server does not start.\n{said}", where=str(self._data))


def _running(data: Path) -> str | None:
    """Return where the server of a folder is reached: None if none runs, "" if it has not said so yet."""
    try:
        with (data / LOCK).open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    return str(json.loads((data / ADDRESS).read_text(encoding="utf-8"))["url"])
                return ""
    except OSError:
        pass
    return None


@contextmanager
def _beginning(data: Path) -> Iterator[None]:
    """Keep others from starting a server of the same folder meanwhile."""
    descriptor = _locked(data / BEGINNING, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, kind: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_shared(path: Path) -> bool:
    """Say whether others need the server: not nobody, and not the server itself, which is about to end."""
    with contextlib.suppress(BlockingIOError):
        os.close(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        return False
    with contextlib.suppress(BlockingIOError):
        os.close(_locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB))
        return True
    return False


def _address(process: subprocess.Popen[str]) -> str | None:
    """Return the address that a server prints; None if it has ended instead."""
    lines: Queue[str | None] = Queue()
    threading.Thread(target=_passed_on, args=(process, lines), daemon=True).start()
    with contextlib.suppress(Empty):
        while (line := lines.get(timeout=START_SECONDS)) is not None:
            found = _READY.search(line)
            if found:
                return found[1]
    process.terminate()
    process.wait()
    return None


def _passed_on(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    if process.stdout is not None:
        with process.stdout:
            for line in process.stdout:
                lines.put(line)
    lines.put(None)
