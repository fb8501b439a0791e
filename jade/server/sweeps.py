"""Sweeps, their agents and their trials: what is handed out to whom, and when it is handed out again.

`runs` knows the runs, `search` proposes the points. A trial is given to one agent at a time. It is over when
its run is; what its run's end means for it is said by `_outcome`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from jade.server import runs, search
from jade.server.filters import MISSING, Subject, inside, matches
from jade.server.runs import HISTORY, RefusedError
from jade.server.store import Store

STATES = ("PENDING", "RUNNING", "PAUSED", "FINISHED", "CANCELED")
# A trial whose process died, or of which nothing was heard, is given so many times in all.
MOST_TRIES = 3
# A process that was asked to stop and goes on for so long is ended by its agent.
STOP_SECONDS = 30.0
# 128 + SIGINT, 128 + SIGTERM, and what wandb makes of a KeyboardInterrupt.
_INTERRUPTED = (130, 143, 255)
_OVER = ("finished", "failed", "killed", "crashed", "preempted")

Command = dict[str, Any]


@dataclass(frozen=True)
class Patience:
    """How long the server waits, and how often it tries again.

    Attributes:
        grace: seconds after which an agent, or a run, of which nothing was heard is taken for dead.
        retries: how often a point of a grid that failed is tried again, from its start.
    """

    grace: float = 90.0
    retries: int = 1


def create(db: sqlite3.Connection, given: Mapping[str, Any], entity: str, seed: int, now: float) -> int:
    """Make a sweep of a mutation's input, and return its id.

    The n-th sweep of a project draws from `seed` + n: made again in the same order, the same sweeps propose
    the same trials, and a sweep that is made twice goes on to other ones.

    Raises:
        RefusedError: if the sweep's file is faulty; all faults at once.
    """
    text = given.get("config")
    config = _config(text)
    project = given.get("projectName") or "uncategorized"
    owner = runs.project(db, given.get("entityName") or entity, project, now)
    earlier = db.execute("SELECT COUNT(*) FROM sweeps WHERE project = ?", (owner,)).fetchone()[0]
    shown = given.get("displayName") or config.get("name")
    cursor = db.execute(
        "INSERT INTO sweeps (project, name, display_name, description, config, controller, scheduler, state,"
        " seed, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner, runs.new_name(), shown, given.get("description") or config.get("description"), text,
            given.get("controller"), given.get("scheduler"), given.get("state") or "PENDING", seed + earlier,
            now, now,
        ),
    )  # fmt: skip
    sweep = cursor.lastrowid or 0
    if given.get("priorRunsFilters"):
        _adopt(db, sweep, owner, config, json.loads(given["priorRunsFilters"]))
    return sweep


def _config(text: object) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text) if isinstance(text, str) else None
    except yaml.YAMLError as error:
        raise RefusedError(f"The sweep's file is not YAML: {error}") from None
    if not isinstance(config, dict):
        raise RefusedError("A sweep's file is a mapping with method and parameters.")
    faults = search.faults(config)
    if faults:
        raise RefusedError("\n\n".join(str(fault) for fault in faults))
    return config


def _adopt(
    db: sqlite3.Connection, sweep: int, project: int, config: Mapping[str, Any], query: Mapping[str, Any]
) -> None:
    """Take earlier runs of the project for trials of a sweep, as `wandb sweep --prior_run` asks for."""
    names = search.Space.parse(config["parameters"]).distributions
    rows = db.execute(
        "SELECT runs.*, NULL AS sweep_name FROM runs WHERE project = ? ORDER BY id", (project,)
    ).fetchall()
    chosen = [row for row in rows if matches(Subject(row, str), query)]
    for number, row in enumerate(chosen):
        values = runs.values_of(row["config"])
        params = {name: inside(values, name) for name in names}
        known = {name: value for name, value in params.items() if value is not MISSING}
        db.execute("UPDATE runs SET sweep = ? WHERE id = ?", (sweep, row["id"]))
        _insert_trial(db, sweep, number, known, row["name"], "done")


def change(db: sqlite3.Connection, sweep: int, given: Mapping[str, Any], now: float) -> None:
    """Change a sweep's file, name or state; a sweep that is canceled stops its runs."""
    changes: dict[str, Any] = {"updated_at": now}
    if given.get("config"):
        _config(given["config"])
        changes["config"] = given["config"]
    for field, column in (("description", "description"), ("displayName", "display_name")):
        if given.get(field) is not None:
            changes[column] = given[field]
    if given.get("state"):
        changes["state"] = str(given["state"]).upper()
        if changes["state"] not in STATES:
            raise RefusedError(f"{given['state']!r} is no state of a sweep.")
    names = ", ".join(f"{column} = ?" for column in changes)
    db.execute(f"UPDATE sweeps SET {names} WHERE id = ?", (*changes.values(), sweep))
    if changes.get("state") == "CANCELED":
        for row in db.execute("SELECT id FROM runs WHERE sweep = ?", (sweep,)).fetchall():
            runs.ask_to_stop(db, row["id"], now)


def find(db: sqlite3.Connection, name: object) -> sqlite3.Row | None:
    """Return the row of the sweep of a name, which is unique on the server."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM sweeps WHERE name = ?", (name,)).fetchone()
    return row


def by_id(db: sqlite3.Connection, sweep: int) -> sqlite3.Row | None:
    """Return a sweep's row, or None."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM sweeps WHERE id = ?", (sweep,)).fetchone()
    return row


def register(db: sqlite3.Connection, sweep: int, host: str, now: float) -> int:
    """Note that an agent begins to work on a sweep, and return its id."""
    cursor = db.execute(
        "INSERT INTO agents (sweep, host, created_at, heartbeat_at) VALUES (?, ?, ?, ?)",
        (sweep, host, now, now),
    )
    return cursor.lastrowid or 0


def enqueue(db: sqlite3.Connection, sweep: int, params: Mapping[str, Any]) -> str:
    """Let an agent run the point that a scheduler outside of the server has chosen; return the run's name."""
    number = db.execute("SELECT COUNT(*) FROM trials WHERE sweep = ?", (sweep,)).fetchone()[0]
    name = runs.new_name()
    _insert_trial(db, sweep, number, params, name, "waiting")
    return name


def _insert_trial(
    db: sqlite3.Connection, sweep: int, number: int, params: Mapping[str, Any], run: str, status: str
) -> int:
    cursor = db.execute(
        "INSERT INTO trials (sweep, number, params, run, status, tries) VALUES (?, ?, ?, ?, ?, 0)",
        (sweep, number, json.dumps(params), run, status),
    )
    return cursor.lastrowid or 0


def arguments(parameters: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat params as a sweep's file writes them: what is nested there is nested again."""

    def value(spec: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any JSON value
        inner = spec.get("parameters") if isinstance(spec, Mapping) else None
        if not isinstance(inner, Mapping):
            return params[key]
        return {name: value(deeper, f"{key}.{name}") for name, deeper in inner.items()}

    return {name: {"value": value(spec, name)} for name, spec in parameters.items()}


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
        self._patience = patience
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
            with self._store.write() as db:
                db.execute("UPDATE agents SET heartbeat_at = ? WHERE id = ?", (self._now(), agent))
                self._reconcile(db, sweep, agent, here)
                commands = self._stops(db, sweep, here)
                row = by_id(db, sweep)
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
        config = yaml.safe_load(sweep["config"])
        trials = self._trials(self._store.read(), sweep["id"], config)
        params = None
        if not sweep["scheduler"]:
            params = search.propose(config, trials, sweep["seed"])
        with self._store.write() as db:
            if params is not None:
                trial = _insert_trial(db, sweep["id"], len(trials), params, runs.new_name(), "waiting")
                row = db.execute("SELECT * FROM trials WHERE id = ?", (trial,)).fetchone()
                return [self._give(db, sweep, row, agent)]
            given = db.execute(
                "SELECT 1 FROM trials WHERE sweep = ? AND status != 'done'", (sweep["id"],)
            ).fetchone()
            if given or sweep["scheduler"]:
                return []  # another agent's trial may yet have to be handed out again
            change(db, sweep["id"], {"state": "FINISHED"}, self._now())
        return [{"type": "exit"}]

    def _give(self, db: sqlite3.Connection, sweep: sqlite3.Row, trial: sqlite3.Row, agent: int) -> Command:
        db.execute(
            "UPDATE trials SET agent = ?, status = 'given', tries = tries + 1, given_at = ? WHERE id = ?",
            (agent, self._now(), trial["id"]),
        )
        if sweep["state"] == "PENDING":
            change(db, sweep["id"], {"state": "RUNNING"}, self._now())
        config = yaml.safe_load(sweep["config"])
        params = json.loads(trial["params"])
        shaped = (
            {name: {"value": value} for name, value in params.items()}
            if sweep["scheduler"]
            else arguments(config["parameters"], params)
        )
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
        config = yaml.safe_load(db.execute("SELECT config FROM sweeps WHERE id = ?", (sweep,)).fetchone()[0])
        retries = self._patience.retries if config.get("method") == "grid" else 0
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
            self._settle(db, sweep, trial, run, retries)

    def _is_lost(self, trial: sqlite3.Row, run: sqlite3.Row | None) -> bool:
        """Say whether nothing is heard any more of a trial's agent, nor of its run, which may outlive it."""
        if run is not None and run["state"] == "preempted" and run["exit_code"] is not None:
            return True  # it said so itself, as the last thing it did
        silent = self._heard.age("agent", trial["agent"])
        if run is not None and run["exit_code"] is None:
            silent = min(silent, self._heard.age("run", run["id"]))
        return silent > self._patience.grace

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
        db.execute(
            "UPDATE trials SET status = 'waiting', agent = NULL, run = ?, tries = ? WHERE id = ?",
            (name, tries, trial["id"]),
        )

    def _stops(self, db: sqlite3.Connection, sweep: int, here: set[str]) -> list[Command]:
        """Ask the runs without prospects to stop; command their end where they do not listen."""
        now = self._now()
        config = yaml.safe_load(db.execute("SELECT config FROM sweeps WHERE id = ?", (sweep,)).fetchone()[0])
        if config.get("early_terminate"):
            trials = self._trials(db, sweep, config)
            names = [row["run"] for row in _rows(db, sweep)]
            for index in search.losers(config, trials):
                run = _run_of(db, sweep, names[index])
                if run is not None:
                    runs.ask_to_stop(db, run["id"], now)
        overdue = db.execute(
            "SELECT name FROM runs WHERE sweep = ? AND stop_asked_at < ?"
            " AND state IN ('running', 'preempting')",
            (sweep, now - STOP_SECONDS),
        ).fetchall()
        return [{"type": "stop", "run_id": name} for name in runs.names_of(overdue) if name in here]

    def _trials(self, db: sqlite3.Connection, sweep: int, config: Mapping[str, Any]) -> list[search.Trial]:
        metric = (config.get("metric") or {}).get("name")
        trials = []
        for row in _rows(db, sweep):
            run = _run_of(db, sweep, row["run"])
            logged = self._logged.values(db, run, metric) if run is not None and metric else []
            last = None
            if run is not None and metric:
                last = runs.number_or_none(inside(json.loads(run["summary"]), metric))
            if last is None and logged:
                last = logged[-1]
            state = run["state"] if run is not None else "pending"
            trials.append(search.Trial(json.loads(row["params"]), state, last, logged))
        return trials


class _Logged:
    """What runs have logged of their sweep's metric; each line is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[int, int, list[float]]] = {}

    def values(self, db: sqlite3.Connection, run: sqlite3.Row, metric: str) -> list[float]:
        life, seen, found = self._known.get((run["id"], metric), (0, 0, []))
        if life != run["life"]:
            seen, found = 0, []
        end = runs.next_line(db, run["id"], HISTORY)
        last = metric.rpartition(".")[2]
        lines = db.execute(
            "SELECT text FROM lines WHERE run = ? AND file = ? AND number >= ? ORDER BY number",
            (run["id"], HISTORY, seen),
        )
        # Most rows do not hold the metric: they need not be parsed.
        rows = [inside(json.loads(line), metric) for (line,) in lines if last in line]
        numbers = [number for number in map(runs.number_or_none, rows) if number is not None]
        found = [*found, *numbers]
        self._known[run["id"], metric] = (run["life"], end, found)
        return found


def _rows(db: sqlite3.Connection, sweep: int) -> list[sqlite3.Row]:
    return db.execute("SELECT * FROM trials WHERE sweep = ? ORDER BY number", (sweep,)).fetchall()


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
        return "again" if trial["tries"] < 2 else "done"
    state = run["state"]
    if state == "preempted":
        return "again"
    if state == "crashed" or (state == "failed" and run["exit_code"] in _INTERRUPTED):
        return "again" if may_again else "done"
    if state == "failed" and trial["tries"] <= retries:
        # From its start: what broke it would come back, bit by bit, from its backup.
        return "anew"
    return "done" if state in _OVER else "open"


def _note_unheard(db: sqlite3.Connection, sweep: int, trial: sqlite3.Row, now: float) -> None:
    """Enter a run that ended before it could say anything, so that it does not go unnoticed."""
    params = {name: {"value": value} for name, value in json.loads(trial["params"]).items()}
    db.execute(
        "INSERT INTO runs"
        " (project, name, display_name, state, sweep, config, created_at, heartbeat_at, exit_code)"
        " SELECT project, ?, ?, 'failed', id, ?, ?, ?, 1 FROM sweeps WHERE id = ?",
        (trial["run"], f"trial-{trial['number'] + 1}", json.dumps(params), now, now, sweep),
    )
