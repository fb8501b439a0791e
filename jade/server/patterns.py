"""Regular expressions that clients ask for, tried where they can do no harm: in a process that an alarm ends.

`re` has no limit of time, and while it searches no other thread of its process runs; `(a+)+$` takes for ever.
`filters` uses it.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from typing import IO, cast

from jade.server.runs import RefusedError

SECONDS = 1.0
LONGEST_PATTERN = 1_000
LONGEST_TEXT = 10_000
_SEARCH = """
import json, re, signal, sys
for line in sys.stdin:
    pattern, flags, text, seconds = json.loads(line)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        found = re.search(pattern, text, flags) is not None
    except (re.error, OverflowError, RecursionError) as error:
        found = str(error)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps(found), flush=True)
"""
_FLAGS = {"i": 2, "m": 8, "s": 16, "x": 64}  # as `re` has them; a process that only starts knows no names


class Patterns:
    """Tries regular expressions in one process, which is started when the first is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def found(self, pattern: object, text: str, options: object = None) -> bool:
        """Say whether a pattern is found in a text, of which the first 10,000 characters are looked at.

        Args:
            pattern: a regular expression of Python, of up to 1,000 characters.
            text: what is searched.
            options: as MongoDB has them: letters of "imsx".

        Raises:
            RefusedError: if it is no such expression, or takes longer than a second.
        """
        options = "" if options is None else options
        if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
            raise RefusedError(f"$regex takes a text of up to {LONGEST_PATTERN} characters.")
        if not isinstance(options, str) or set(options) - set(_FLAGS):
            raise RefusedError(f"$options are letters of {''.join(_FLAGS)!r}, not {str(options)[:100]!r}.")
        flags = sum(_FLAGS[option] for option in set(options))
        reply = self._ask(json.dumps([pattern, flags, text[:LONGEST_TEXT], SECONDS]))
        if not reply:
            raise RefusedError(f"The regular expression {pattern[:100]!r} takes too long.")
        answer = json.loads(reply)
        if isinstance(answer, str):
            raise RefusedError(f"{pattern[:100]!r} is no regular expression: {answer}.")
        return bool(answer)

    def close(self) -> None:
        """End the process; the next pattern starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: str) -> str:
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                self._end()
                process = self._process = _started()
            to, back = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
            to.write(f"{question}\n")
            to.flush()
            reply = back.readline()
            if not reply:
                self._end()
            return reply

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-W", "ignore", "-c", _SEARCH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the server
    )
