"""What an agent is told to do: which trial it is given, when one is given again, and which run has to stop.

`sweeps` and `runs` know the rows, `search` proposes the points. A trial is given to one agent at a time. It
is over when its run is; what its run's end means for it is said by `_outcome`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jade.server import runs, search, sweeps
from jade.server.filters import inside
from jade.server.runs import HISTORY
from jade.server.store import Store

# A trial whose process died, or of which nothing was heard, is given so many times in all.
MOST_TRIES = 3
# A process that was asked to stop and goes on for so long is ended by its agent.
STOP_SECONDS = 30.0
_KEYBOARD_INTERRUPT = 255  # what wandb makes of one
_PLAIN = re.compile(r"[A-Za-z0-9_ :/-]+")  # what every writer of JSON writes as it is
_OVER = ("finished", "failed", "killed", "crashed", "preempted")

Command = dict[str, Any]


@dataclass(frozen=True)
class Patience:
    """How long the server waits, and how often it tries again.

    Attributes:
        grace: seconds after which an agent, or a run, of which nothing was heard is taken for dead.
        retries: how often a trial that failed is tried again, from its start; None stands for once in a
            grid, which else would not be whole, and not at all in other sweeps.
    """

    grace: float = 90.0
    retries: int | None = None

    def retries_of(self, method: object) -> int:
        """Return how often a failed trial of a sweep is tried again."""
        return int(method == "grid") if self.retries is None else self.retries


class Heard:
    """When something was last heard of agents and runs, by a clock that stops while the machine sleeps.

    What was heard of before this server began counts as heard of at its beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._times: dict[tuple[str, int], float] = {}

    def note(self, kind: str, number: int) -> None:
        """Note that something was heard now of the "agent" or the "run" of an id."""
        self._times[kind, number] = self._clock()

    def age(self, kind: str, number: int | None) -> float:
        """Return the seconds since something was heard of it."""
        return self._clock() - self._times.get((kind, number or 0), self._began)


class Dispatcher:
    """Hands out the trials of all sweeps, one agent's heartbeat at a time for each sweep.

    Args:
        store: the server's state.
        heard: what was heard of agents and runs.
        now: gives seconds since the epoch.
        patience: of the server.
    """

    def __init__(self, store: Store, heard: Heard, now: Callable[[], float], patience: Patience) -> None:
        self._store = store
        self._heard = heard
        self._now = now
        self.patience = patience
        self._locks: dict[int, threading.Lock] = defaultdict(threading.Lock)
        self._logged = _Logged()

    def beat(self, agent: int, running: Iterable[str]) -> list[Command] | None:
        """Answer an agent's heartbeat with what it is to do; None if the server knows no such agent.

        Args:
            agent: its id.
            running: the runs whose processes it has.
        """
        row = self._store.read().execute("SELECT sweep FROM agents WHERE id = ?", (agent,)).fetchone()
        if row is None:
            return None
        self._heard.note("agent", agent)
        sweep, here = int(row["sweep"]), set(running)
        # Choosing and handing out is one step for all agents of a sweep; the search itself may take a while
        # and must not hold up the runs, so the store is not locked meanwhile.
        with self._locks[sweep]:
            hopeless = self._without_prospects(sweep)
            with self._store.write() as db:
                db.execute("UPDATE agents SET heartbeat_at = ? WHERE id = ?", (self._now(), agent))
                self._reconcile(db, sweep, agent, here)
                for run in hopeless:
                    runs.ask_to_stop(db, run, self._now())
                row = sweeps.by_id(db, sweep)
                if row is not None and row["state"] == "CANCELED":
                    # Again: a trial may have been about to begin when the sweep was canceled.
                    sweeps.stop_runs(db, sweep, self._now())
                commands = self._stops(db, sweep, here)
                if row is None or row["state"] in ("FINISHED", "CANCELED"):
                    return commands if here else [{"type": "exit"}]
                if here or row["state"] == "PAUSED":
                    return commands
                waiting = db.execute(
                    "SELECT * FROM trials WHERE sweep = ? AND status = 'waiting' ORDER BY number", (sweep,)
                ).fetchone()
                if waiting:
                    return [self._give(db, row, waiting, agent)]
            return self._next(row, agent)

    def _next(self, sweep: sqlite3.Row, agent: int) -> list[Command]:
        config = sweeps.content(sweep["config"])
        trials = self._trials(sweep["id"], config)
        params = search.propose(config, trials, sweep["seed"])
        with self._store.write() as db:
            if self._has_changed(db, sweep, len(trials)):
                return []  # the agent asks again soon
            if params is not None:
                trial = sweeps.insert_trial(db, sweep["id"], len(trials), params, runs.new_name(), "waiting")
                row = db.execute("SELECT * FROM trials WHERE id = ?", (trial,)).fetchone()
                return [self._give(db, sweep, row, agent)]
            given = db.execute(
                "SELECT 1 FROM trials WHERE sweep = ? AND status != 'done'", (sweep["id"],)
            ).fetchone()
            if given:
                return []  # another agent's trial may yet have to be handed out again
            sweeps.change(db, sweep["id"], {"state": "FINISHED"}, self._now())
        return [{"type": "exit"}]

    @staticmethod
    def _has_changed(db: sqlite3.Connection, sweep: sqlite3.Row, trials: int) -> bool:
        """Say whether somebody has changed the sweep, or given it a trial, during the search."""
        now = db.execute(
            "SELECT state, config, (SELECT COUNT(*) FROM trials WHERE sweep = sweeps.id) FROM sweeps"
            " WHERE id = ?",
            (sweep["id"],),
        ).fetchone()
        return now is None or tuple(now) != (sweep["state"], sweep["config"], trials)

    def _give(self, db: sqlite3.Connection, sweep: sqlite3.Row, trial: sqlite3.Row, agent: int) -> Command:
        db.execute(
            "UPDATE trials SET agent = ?, status = 'given', tries = tries + 1, given_at = ? WHERE id = ?",
            (agent, self._now(), trial["id"]),
        )
        config = sweeps.content(sweep["config"])
        params = json.loads(trial["params"])
        shaped = sweeps.arguments(config["parameters"], params)
        run = _run_of(db, sweep["id"], trial["run"])
        if run is not None:
            # How it ended before says nothing any more.
            db.execute("UPDATE runs SET state = 'pending', exit_code = NULL WHERE id = ?", (run["id"],))
        return {
            "type": "run" if run is None else "resume",
            "run_id": trial["run"],
            "program": config.get("program"),
            "args": shaped,
        }

    def _reconcile(self, db: sqlite3.Connection, sweep: int, agent: int, here: set[str]) -> None:
        """Find out which of the trials that were given are over, and what becomes of them."""
        now = self._now()
        runs.note_silent(db, now)
        config = sweeps.content(db.execute("SELECT config FROM sweeps WHERE id = ?", (sweep,)).fetchone()[0])
        retries = self.patience.retries_of(config.get("method"))
        self._reopen(db, sweep, retries)
        given = db.execute("SELECT * FROM trials WHERE sweep = ? AND status = 'given'", (sweep,)).fetchall()
        for trial in given:
            run = _run_of(db, sweep, trial["run"])
            mine_and_gone = trial["agent"] == agent and trial["run"] not in here
            if not (mine_and_gone or self._is_lost(trial, run)):
                if run is not None and _outcome(run, trial, retries) == "done":
                    db.execute("UPDATE trials SET status = 'done' WHERE id = ?", (trial["id"],))
                continue
            if run is not None and run["state"] in (*runs.LIVE, "pending"):
                run = _died(db, run)
            if run is None and not mine_and_gone:
                # Its agent vanished before the run could begin, which says nothing of the trial.
                taken_back = (
                    "UPDATE trials SET status = 'waiting', agent = NULL, tries = tries - 1 WHERE id = ?"
                )
                db.execute(taken_back, (trial["id"],))
                continue
            self._settle(db, sweep, trial, run, retries)

    def _reopen(self, db: sqlite3.Connection, sweep: int, retries: int) -> None:
        """Take up trials that are done, but may be tried again since the server is told so.

        They have failed, and the server was started with more retries; or they had died too often, and
        whoever runs the sweep has given them back.
        """
        rows = db.execute(
            "SELECT trials.* FROM trials JOIN sweeps ON sweeps.id = trials.sweep"
            " JOIN runs ON runs.project = sweeps.project AND runs.name = trials.run"
            # Nobody has handed out those that the sweep has adopted.
            " WHERE trials.sweep = ? AND trials.status = 'done' AND trials.tries > 0"
            " AND (runs.state = 'preempted' OR (runs.state = 'failed' AND trials.failures < ?))",
            (sweep, retries),
        ).fetchall()
        for trial in rows:
            self._settle(db, sweep, trial, _run_of(db, sweep, trial["run"]), retries)

    def _is_lost(self, trial: sqlite3.Row, run: sqlite3.Row | None) -> bool:
        """Say whether nothing is heard any more of a trial's agent, nor of its run, which may outlive it."""
        code = run["exit_code"] if run is not None else None
        if run is not None and code is not None and (run["state"] == "preempted" or _was_interrupted(code)):
            return True  # it said so itself, as the last thing it did
        silent = self._heard.age("agent", trial["agent"])
        if run is not None and run["exit_code"] is None:
            silent = min(silent, self._heard.age("run", run["id"]))
        return silent > self.patience.grace

    def _settle(
        self, db: sqlite3.Connection, sweep: int, trial: sqlite3.Row, run: sqlite3.Row | None, retries: int
    ) -> None:
        outcome = _outcome(run, trial, retries)
        if outcome == "done":
            if run is None:
                _note_unheard(db, sweep, trial, self._now())
            db.execute("UPDATE trials SET status = 'done' WHERE id = ?", (trial["id"],))
            return
        name = runs.new_name() if outcome == "anew" else trial["run"]
        # A preemption is nobody's fault: it may happen any number of times.
        tries = trial["tries"] - 1 if run is not None and run["state"] == "preempted" else trial["tries"]
        failures = trial["failures"] + (outcome == "anew")
        db.execute(
            "UPDATE trials SET status = 'waiting', agent = NULL, run = ?, tries = ?, failures = ?"
            " WHERE id = ?",
            (name, tries, failures, trial["id"]),
        )

    def _without_prospects(self, sweep: int) -> list[int]:
        """Return the runs that hyperband ends now."""
        row = sweeps.by_id(self._store.read(), sweep)
        config: Mapping[str, Any] = sweeps.content(row["config"]) if row is not None else {}
        if not config.get("early_terminate"):
            return []
        rows = _rows(self._store.read(), sweep)
        return [rows[index]["run_id"] for index in search.losers(config, self._trials(sweep, config))]

    def _stops(self, db: sqlite3.Connection, sweep: int, here: set[str]) -> list[Command]:
        """Command the end of the runs that were asked to stop and do not listen."""
        overdue = db.execute(
            "SELECT name FROM runs WHERE sweep = ? AND stop_asked_at < ?"
            " AND state IN ('running', 'preempting')",
            (sweep, self._now() - STOP_SECONDS),
        ).fetchall()
        return [{"type": "stop", "run_id": name} for name in runs.names_of(overdue) if name in here]

    def _trials(self, sweep: int, config: Mapping[str, Any]) -> list[search.Trial]:
        """Return the trials so far; what they logged only where the search looks at it."""
        metric = config.get("metric") or {}
        is_looked_at = config["method"] == "bayes" or "early_terminate" in config or "target" in metric
        name = metric.get("name") if is_looked_at else None
        return [self._trial(row, name) for row in _rows(self._store.read(), sweep)]

    def _trial(self, row: sqlite3.Row, metric: str | None) -> search.Trial:
        params, state = json.loads(row["params"]), row["state"] or "pending"
        if metric is None or row["run_id"] is None:
            return search.Trial(params, state)
        logged = self._logged.values(self._store.read(), row, metric)
        last = runs.number_or_none(inside(json.loads(row["summary"]), metric))
        return search.Trial(params, state, logged[-1] if last is None and logged else last, logged)


class _Logged:
    """What runs have logged of their sweep's metric; each line is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[int, int, list[float]]] = {}

    def values(self, db: sqlite3.Connection, row: sqlite3.Row, metric: str) -> list[float]:
        run = row["run_id"]
        life, seen, found = self._known.get((run, metric), (0, 0, []))
        if life != row["life"]:  # it has begun anew since
            seen, found = 0, []
        lines = db.execute(
            "SELECT number, text FROM lines WHERE run = ? AND file = ? AND number >= ? ORDER BY number",
            (run, HISTORY, seen),
        ).fetchall()
        # Most rows do not hold the metric: they need not be parsed. JSON may write "é" or "&" otherwise.
        last = metric.rpartition(".")[2]
        wanted = last if _PLAIN.fullmatch(last) else ""
        values = [inside(json.loads(line["text"]), metric) for line in lines if wanted in line["text"]]
        found = found + [number for number in map(runs.number_or_none, values) if number is not None]
        self._known[run, metric] = (row["life"], lines[-1]["number"] + 1 if lines else seen, found)
        return found


def _rows(db: sqlite3.Connection, sweep: int) -> list[sqlite3.Row]:
    """Return the trials of a sweep, each with what its run is at."""
    return db.execute(
        "SELECT trials.params, runs.id AS run_id, runs.state, runs.summary, runs.life FROM trials"
        " JOIN sweeps ON sweeps.id = trials.sweep"
        " LEFT JOIN runs ON runs.project = sweeps.project AND runs.name = trials.run"
        " WHERE trials.sweep = ? ORDER BY trials.number",
        (sweep,),
    ).fetchall()


def _run_of(db: sqlite3.Connection, sweep: int, name: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT runs.* FROM runs JOIN sweeps ON sweeps.project = runs.project"
        " WHERE sweeps.id = ? AND runs.name = ?",
        (sweep, name),
    ).fetchone()
    return row


def _died(db: sqlite3.Connection, run: sqlite3.Row) -> sqlite3.Row | None:
    """Note that a run's process is gone, and did not say so."""
    state = "crashed"
    if run["state"] == "preempting":
        state = "preempted"
    elif run["stop_asked_at"] is not None:
        state = "killed"
    db.execute("UPDATE runs SET state = ? WHERE id = ?", (state, run["id"]))
    return runs.by_id(db, run["id"])


def _outcome(run: sqlite3.Row | None, trial: sqlite3.Row, retries: int) -> str:
    """Say what becomes of a trial whose run is over: "done", "again" (the same run) or "anew" (another)."""
    may_again = trial["tries"] < MOST_TRIES
    if run is None:  # no process, or one that ended before it could say anything
        return "again" if trial["tries"] - trial["failures"] < 2 else "done"
    state = run["state"]
    if state == "preempted":
        return "again"
    if state == "crashed" or (state == "failed" and _was_interrupted(run["exit_code"])):
        return "again" if may_again else "done"
    if state == "failed" and trial["failures"] < retries:
        # From its start: what broke it would come back, bit by bit, from its backup.
        return "anew"
    return "done" if state in _OVER else "open"


def _was_interrupted(exit_code: int | None) -> bool:
    """Say whether a program ended with 128 + a signal's number, as shells and JADE write it."""
    return exit_code is not None and (128 < exit_code < 128 + 65 or exit_code == _KEYBOARD_INTERRUPT)


def _note_unheard(db: sqlite3.Connection, sweep: int, trial: sqlite3.Row, now: float) -> None:
    """Enter a run that ended before it could say anything, so that it does not go unnoticed."""
    params = {name: {"value": value} for name, value in json.loads(trial["params"]).items()}
    db.execute(
        "INSERT INTO runs"
        " (project, name, display_name, state, sweep, config, created_at, heartbeat_at, exit_code)"
        " SELECT project, ?, ?, 'failed', id, ?, ?, ?, 1 FROM sweeps WHERE id = ?",
        (trial["run"], f"trial-{trial['number'] + 1}", json.dumps(params), now, now, sweep),
    )
