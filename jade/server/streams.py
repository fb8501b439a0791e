"""What a client streams of a run: rows, console, summary, and how it ends.

A post is read before it is taken: what that costs holds up no other client.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any

from jade.server import curves, runs
from jade.server.blobs import checked_name
from jade.server.runs import HISTORY, MOST_LINES, MOST_STEPS, SUMMARY, RefusedError, json_object

MOST_POSTED = 500_000  # lines of one post; a client sends 10 MiB, and a line of each of its files has a time
_EXIT_CODES = range(-(2**31), 2**31)  # an Int of GraphQL
_EMPTY: Mapping[str, Any] = {"offset": 0, "content": []}


@dataclass(frozen=True)
class Block:
    """Lines of one file.

    Attributes:
        file: its name.
        offset: the number of the first line.
        lines: the lines.
        steps: of each row, if they are rows.
        numbers: of each row, if they are rows.
    """

    file: str
    offset: int
    lines: Sequence[str]
    steps: Sequence[float | None] = ()
    numbers: Sequence[curves.Numbers] = ()


@dataclass(frozen=True)
class Post:
    """One post.

    Attributes:
        blocks: what it has of each file.
        is_complete: whether the run has ended.
        exit_code: how, in that case.
        is_preempting: whether the run says that it is about to be preempted.
    """

    blocks: Sequence[Block]
    is_complete: bool
    exit_code: int
    is_preempting: bool


def read(body: Mapping[str, Any]) -> Post:
    """Read what was posted.

    Raises:
        RefusedError: if it is no post of the lines of a run.
    """
    files, code = body.get("files") or {}, body.get("exitcode")
    if not isinstance(files, Mapping):
        raise RefusedError("The files of a stream are an object.")
    return Post(
        blocks=[_block(checked_name(file), block) for file, block in files.items()],
        is_complete=body.get("complete") is not None and body.get("complete") is not False,
        exit_code=code if isinstance(code, int) and code in _EXIT_CODES else 1,
        is_preempting=bool(body.get("preempting")),
    )


def _block(file: str, given: object) -> Block:
    if not isinstance(given, Mapping):
        raise RefusedError(f"What is streamed of {file} is no object.")
    offset, lines = (default if given.get(key) is None else given[key] for key, default in _EMPTY.items())
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RefusedError(f"What is streamed of {file} is no list of lines.")
    if type(offset) is not int or not 0 <= offset <= MOST_LINES - len(lines):
        raise RefusedError(f"{str(offset)[:100]!r} is no number of a line of {file}.")
    if len(lines) > MOST_POSTED:
        raise RefusedError(f"A post may have {MOST_POSTED} lines of {file}.")
    if file == SUMMARY:
        for line in lines[-1:]:
            json_object(line, file)
    if file != HISTORY:
        return Block(file, offset, lines)
    rows = [json_object(line, f"A row of {HISTORY}") for line in lines]
    numbers = [curves.numbers(number, row) for number, row in enumerate(rows, offset)]
    return Block(file, offset, lines, [_step(row) for row in rows], numbers)


def _step(row: Mapping[str, Any]) -> float | None:
    """Return the step of a row, if it has one that rows can be asked for by."""
    step = row.get("_step")
    if isinstance(step, bool) or not isinstance(step, int | float) or not abs(step) < MOST_STEPS:
        return None
    return float(step)


def take(db: sqlite3.Connection, row: sqlite3.Row, post: Post, now: float) -> bool:
    """Take a post of a run, whose row is given; return whether the run is to stop.

    Lines have numbers, so that a post that comes twice changes nothing.
    """
    for block in post.blocks:
        _write(db, row["id"], block)
    if post.is_complete:
        _complete(db, row, post, now)
        return False
    state = row["state"]
    preempting = post.is_preempting or bool(row["is_preempting"])
    if row["exit_code"] is None:  # what comes after the end of a run does not begin it again
        state = "preempting" if preempting else "running"
    db.execute(
        "UPDATE runs SET state = ?, is_preempting = ?, heartbeat_at = ? WHERE id = ?",
        (state, int(preempting), now, row["id"]),
    )
    return row["stop_asked_at"] is not None


def _write(db: sqlite3.Connection, run: int, block: Block) -> None:
    if block.file == SUMMARY:
        for line in block.lines[-1:]:  # each is the whole of it
            db.execute("UPDATE runs SET summary = ? WHERE id = ?", (line, run))
        return
    if block.file == HISTORY:
        _draw(db, run, block)
    db.executemany(
        "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?)",
        zip(repeat(run), repeat(block.file), count(block.offset), block.steps or repeat(None), block.lines),
    )


def _draw(db: sqlite3.Connection, run: int, block: Block) -> None:
    """Add rows to the run's curves, before their lines are stored; a post may repeat lines."""
    if curves.is_rewritten(db, run):
        return
    repeated = max(0, runs.next_line(db, run, HISTORY) - block.offset)
    if block.lines[:repeated] != _stored(db, run, block.offset, len(block.lines[:repeated])):
        curves.note_rewritten(db, run)
        return
    curves.extend(db, run, block.numbers[repeated:])


def _stored(db: sqlite3.Connection, run: int, first: int, lines: int) -> list[str]:
    query = "SELECT text FROM lines WHERE run = ? AND file = ? AND number BETWEEN ? AND ? ORDER BY number"
    return [row["text"] for row in db.execute(query, (run, HISTORY, first, first + lines - 1))]


def _complete(db: sqlite3.Connection, row: sqlite3.Row, post: Post, now: float) -> None:
    state = "failed"
    if post.exit_code == 0:
        state = "finished"
    elif row["is_preempting"] or post.is_preempting:
        state = "preempted"
    elif row["stop_asked_at"] is not None:
        state = "killed"
    db.execute(
        "UPDATE runs SET state = ?, exit_code = ?, heartbeat_at = ? WHERE id = ?",
        (state, post.exit_code, now, row["id"]),
    )
