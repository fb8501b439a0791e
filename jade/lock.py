"""One live process owns a run's folder: a second one that would write into it is refused.

The lock ends with its process, however that ends. A process on another machine is known to live by the time
of the lock's file, which it renews every few seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jade.errors import CheckpointError

NAME = "lock"
RENEWED_SECONDS = 5.0
# A machine that has written nothing for so long has lost the run.
SILENT_SECONDS = 30.0

_log = logging.getLogger(__name__)


@contextmanager
def owned(
    folder: Path,
    environ: Mapping[str, str],
    host: str | None = None,
    wait: Callable[[float], None] = time.sleep,
    what: str = "run",
) -> Iterator[None]:
    """Own `folder` while the block runs.

    Args:
        folder: of the run; it must exist.
        environ: names the job of the cluster, if there is one.
        host: name of this machine; asked for if None.
        wait: a test may give its own.
        what: the folder is of, for errors.

    Raises:
        CheckpointError: if another live process owns it.
    """
    path = folder / NAME
    me = {
        "host": host or platform.node(),
        "pid": os.getpid(),
        "since": round(time.time(), 3),
        "job": _job(environ),
    }
    with _mine:
        if str(path.resolve()) in _held:
            raise _refused(folder, me, what)
        descriptor = _acquired(path, me, wait, what)
        _held.add(str(path.resolve()))
    stop = threading.Event()
    try:
        _write(descriptor, me)
        threading.Thread(target=_renew, args=(path, stop), name="jade-lock", daemon=True).start()
        yield
    finally:
        stop.set()
        if os.getpid() == me["pid"]:  # not in a forked process that ends here
            _held.discard(str(path.resolve()))
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def is_owned(folder: Path, host: str | None = None, now: float | None = None) -> bool:
    """Say whether a live process seems to own `folder`, from what its lock says: nothing is locked for it.

    Args:
        folder: of the run.
        host: name of this machine; asked for if None.
        now: seconds since 1970; asked for if None.
    """
    path = folder / NAME
    try:
        owner = json.loads(path.read_text(encoding="utf-8") or "{}")
        renewed = path.stat().st_mtime
    except (OSError, ValueError):
        return False
    silent = (time.time() if now is None else now) - renewed
    if silent > SILENT_SECONDS or not isinstance(owner, dict) or "host" not in owner:
        return False
    return owner["host"] != (host or platform.node()) or lives(owner.get("pid"), 0)


# The locks of this process, to which the operating system would grant each a second time.
_held: set[str] = set()
_mine = threading.Lock()


def _acquired(path: Path, me: dict[str, Any], wait: Callable[[float], None], what: str) -> int:
    while True:
        descriptor = _locked(path, what)
        try:
            if _is_free(path, descriptor, me, wait, what):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner gave it back meanwhile, and took the file away


def _locked(path: Path, what: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be written: {error.strerror}.") from None
        try:
            # Of the record kind: a forked worker does not inherit it, so none that outlives its run holds it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # systems differ in which they say
            owner = _read(descriptor)
            os.close(descriptor)
            raise _refused(path.parent, owner, what) from None
        except OSError:  # a file system without locks: the time of the file has to do
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)  # its owner took the file away just before


def _is_free(
    path: Path, descriptor: int, me: dict[str, Any], wait: Callable[[float], None], what: str
) -> bool:
    """Wait until the owner that the file names has certainly ended; False if it took the file away."""
    owner = _read(descriptor)
    if not owner:
        return True
    whose = f"process {owner.get('pid')} on {owner.get('host')}"
    if not _has_ended(owner, me):
        _log.warning("%s was owned by %s: waiting to see whether it still lives.", path.parent, whose)
        renewed = os.fstat(descriptor).st_mtime_ns
        for _ in range(int(SILENT_SECONDS)):
            wait(1.0)
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
            if found.st_mtime_ns != renewed:
                raise _refused(path.parent, owner, what)
    # A sweep's command says itself that it goes on.
    _log.log(
        logging.WARNING if what == "run" else logging.INFO,
        "The lock of %s is taken over from %s, which has ended without giving it back.",
        path.parent,
        whose,
    )
    return True


def _has_ended(owner: dict[str, Any], me: dict[str, Any]) -> bool:
    """Say whether an owner whose lock could be had has ended for certain.

    The lock alone does not tell it on a file system that locks for one machine only, or not at all.
    """
    if me["job"] is not None and owner.get("job") == me["job"]:
        return True  # a cluster starts a job again only when it has ended the attempt before
    return owner.get("host") == me["host"] and not lives(owner.get("pid"), me["pid"])


def lives(pid: object, own: int = 0) -> bool:
    """Say whether a process of this machine, other than `own`, is alive."""
    if not isinstance(pid, int) or pid in (0, own):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        return True
    with contextlib.suppress(OSError):
        # One that has ended, but whose parent has not asked how: "pid (name) Z ...".
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    return True


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(RENEWED_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(path)


def _job(environ: Mapping[str, str]) -> str | None:
    return environ.get("SLURM_JOB_ID") or environ.get("PBS_JOBID") or environ.get("LSB_JOBID")


def _read(descriptor: int) -> dict[str, Any]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(descriptor, 4096) or b"{}")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _write(descriptor: int, owner: dict[str, Any]) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(owner).encode())


def _refused(folder: Path, owner: dict[str, Any], what: str = "run") -> CheckpointError:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.get("since", 0)))
    whose = f"process {owner.get('pid')} on {owner.get('host')}"
    other = "make another one with --new" if what == "sweep" else "use another id"
    return CheckpointError(
        f"The {what} in {folder} belongs to {whose}, since {since}.",
        hint=f"Two processes would spoil each other's files. Stop that one first, or {other}.",
    )
