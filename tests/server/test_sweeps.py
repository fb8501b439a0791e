"""Which trial an agent is given, and what becomes of a trial however its run ends: no client, a clock of the test's."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from jade.server import runs, search, streams, sweeps
from jade.server.dispatcher import MOST_TRIES, STOP_SECONDS, Dispatcher, Heard, Patience
from jade.server.runs import RefusedError
from jade.server.store import Store

GRID = {"method": "grid", "program": "p.py", "parameters": {"x": {"values": [1, 2]}}}
RANDOM = {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}


class World:
    """A server's state, agents and runs that do what a test says, and the time."""

    def __init__(self, folder, config, seed=0, **patience):
        self.time = 1000.0
        self.store = Store(folder)
        self.heard = Heard(lambda: self.time)
        self.dispatcher = Dispatcher(
            self.store, self.heard, lambda: self.time, Patience(grace=60, **patience)
        )
        try:
            with self.store.write() as db:
                given = {"config": yaml.safe_dump(config), "projectName": "p"}
                self.sweep = sweeps.create(db, given, "local", seed, self.time)
        except BaseException:
            self.store.close()
            raise

    def agent(self):
        with self.store.write() as db:
            agent = sweeps.register(db, self.sweep, "host", self.time)
        self.heard.note("agent", agent)
        return agent

    def beat(self, agent, *running):
        return self.dispatcher.beat(agent, running)

    def begin(self, name, **more):
        with self.store.write() as db:
            sweep = sweeps.by_id(db, self.sweep)["name"]
            known = runs.find(db, "local", "p", name)
            given = {
                "modelName": "p",
                "name": name,
                "host": "h",
                "sweep": sweep,
                "id": known and "known",
                **more,
            }
            run, _ = runs.upsert(db, given, "local", known and known["id"], self.time)
        self.heard.note("run", run)

    def post(self, name, **body):
        with self.store.write() as db:
            row = runs.find(db, "local", "p", name)
            stop = streams.take(db, row, streams.read(body), self.time)
        self.heard.note("run", row["id"])
        return stop

    def log(self, name, *losses, metric="loss"):
        lines = [json.dumps({"_step": step, metric: loss}) for step, loss in enumerate(losses)]
        content = {"wandb-history.jsonl": {"offset": 0, "content": lines}}
        return self.post(name, files={**content, "wandb-summary.json": {"offset": 0, "content": [lines[-1]]}})

    def end(self, name, code=0):
        row = runs.find(self.store.read(), "local", "p", name)
        if row is None or row["state"] not in runs.LIVE:
            self.begin(name)
        self.post(name, complete=True, exitcode=code)

    def state(self, name):
        return runs.find(self.store.read(), "local", "p", name)["state"]

    @property
    def sweep_state(self):
        return sweeps.by_id(self.store.read(), self.sweep)["state"]

    def trials(self):
        return self.store.read().execute("SELECT * FROM trials ORDER BY number").fetchall()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(config=GRID, **more):
        made.append(World(tmp_path / str(len(made)), config, **more))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def test_an_agent_gets_one_point_after_the_other_and_then_an_end(world):
    here = world()
    agent = here.agent()
    given = []
    while (command := here.beat(agent)[0])["type"] == "run":
        given.append(command["args"])
        here.end(command["run_id"])

    assert given == [{"x": {"value": 1}}, {"x": {"value": 2}}]
    assert command == {"type": "exit"}
    assert here.sweep_state == "FINISHED"


def test_an_agent_with_a_running_trial_gets_no_other(world):
    here = world()
    agent = here.agent()
    run = here.beat(agent)[0]["run_id"]
    here.begin(run)

    assert here.beat(agent, run) == []


def test_an_agent_that_nobody_knows_is_told_so(world):
    assert world().beat(77) is None


def test_what_is_nested_in_the_file_is_nested_for_the_program(world):
    inner = {"parameters": {"lr": {"value": 1}, "opt": {"parameters": {"name": {"value": "adam"}}}}}
    here = world({"method": "grid", "parameters": {"model": inner, "a.b": {"value": None}}})

    assert here.beat(here.agent())[0]["args"] == {
        "model": {"value": {"lr": 1, "opt": {"name": "adam"}}},
        "a.b": {"value": None},
    }


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_grid_point_that_failed_is_tried_once_more_as_another_run(world, code):
    here = world()
    agent = here.agent()
    first = here.beat(agent)[0]
    here.end(first["run_id"], code)
    again = here.beat(agent)[0]
    here.end(again["run_id"], code)
    other = here.beat(agent)[0]

    assert (again["type"], again["args"]) == ("run", first["args"])
    assert again["run_id"] != first["run_id"]
    assert other["args"] == {"x": {"value": 2}}
    assert (here.state(first["run_id"]), here.state(again["run_id"])) == ("failed", "failed")


def test_how_often_a_failed_point_is_tried_can_be_set(world):
    here = world(retries=0)
    agent = here.agent()
    here.end(here.beat(agent)[0]["run_id"], 1)

    assert here.beat(agent)[0]["args"] == {"x": {"value": 2}}


def test_a_failed_point_of_a_random_search_is_tried_again_if_that_is_wanted(world):
    here = world(RANDOM | {"run_cap": 1}, retries=2)
    agent = here.agent()
    tried = []
    while (command := here.beat(agent)[0])["type"] == "run":
        tried.append(command)
        here.end(command["run_id"], 1)

    assert len({command["run_id"] for command in tried}) == 3
    assert len({str(command["args"]) for command in tried}) == 1


def test_failed_trials_of_before_are_tried_again_when_the_server_is_told_to(world):
    here = world(RANDOM | {"run_cap": 2})
    agent = here.agent()
    first = here.beat(agent)[0]
    here.end(first["run_id"], 1)
    second = here.beat(agent)[0]
    here.end(second["run_id"])
    assert here.beat(agent) == [{"type": "exit"}]

    here.dispatcher.patience = Patience(grace=60, retries=1)
    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "RUNNING"}, here.time)
    again = here.beat(agent)[0]
    here.end(again["run_id"])

    assert again["args"] == first["args"]
    assert again["run_id"] != first["run_id"]
    assert here.beat(agent) == [{"type": "exit"}]


def test_a_trial_that_died_too_often_is_given_once_more_when_it_is_given_back(world):
    here = world(RANDOM | {"run_cap": 1})
    agent = here.agent()
    first = here.beat(agent)[0]
    for _ in range(MOST_TRIES):
        here.begin(first["run_id"])
        told = here.beat(agent)[0]
    assert told == {"type": "exit"}
    assert here.state(first["run_id"]) == "crashed"

    here.post(first["run_id"], preempting=True)
    here.post(first["run_id"], preempting=True, complete=True, exitcode=1)
    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "RUNNING"}, here.time)
    again = here.beat(agent)[0]
    here.begin(first["run_id"])

    assert again == {**first, "type": "resume"}
    assert here.beat(agent) == [{"type": "exit"}]
    assert here.state(first["run_id"]) == "crashed"


def test_a_failed_point_of_a_random_search_is_not_tried_again(world):
    here = world(RANDOM)
    agent = here.agent()
    first = here.beat(agent)[0]
    here.end(first["run_id"], 1)

    assert here.beat(agent)[0]["args"] != first["args"]


def test_a_preempted_trial_goes_on_as_the_same_run_wherever_an_agent_asks_however_often(world):
    here = world(RANDOM)
    first = here.beat(here.agent())[0]
    for _ in range(2 * MOST_TRIES):
        here.begin(first["run_id"])
        here.post(first["run_id"], preempting=True)
        here.end(first["run_id"], 143)
        assert here.state(first["run_id"]) == "preempted"
        again = here.beat(here.agent())[0]  # another one: the first one's job is over

        assert again == {**first, "type": "resume"}


def test_a_trial_that_is_given_again_is_not_given_a_third_time_before_it_begins(world):
    here = world(RANDOM)
    first = here.beat(here.agent())[0]
    here.begin(first["run_id"])
    here.post(first["run_id"], preempting=True)
    here.end(first["run_id"], 143)

    second, third = here.beat(here.agent())[0], here.beat(here.agent())[0]

    assert second["run_id"] == first["run_id"]
    assert third["run_id"] != first["run_id"]


@pytest.mark.parametrize("code", [None, 130, 143, 255])
def test_a_trial_that_was_killed_or_interrupted_goes_on_as_the_same_run_some_times(world, code):
    here = world()
    agent = here.agent()
    first = here.beat(agent)[0]
    for _ in range(MOST_TRIES - 1):
        here.begin(first["run_id"])
        if code:
            here.end(first["run_id"], code)
        assert here.beat(agent)[0] == {**first, "type": "resume"}
    here.begin(first["run_id"])
    if code:
        here.end(first["run_id"], code)

    assert here.beat(agent)[0]["args"] == {"x": {"value": 2}}
    assert here.state(first["run_id"]) == ("failed" if code else "crashed")


@pytest.mark.parametrize("code", [130, 143, 255])
def test_a_trial_that_was_interrupted_with_its_agent_waits_for_nothing(world, code):
    here = world()
    first = here.beat(here.agent())[0]
    here.begin(first["run_id"])
    here.end(first["run_id"], code)

    assert here.beat(here.agent())[0] == {**first, "type": "resume"}


def test_a_trial_that_said_nothing_is_given_once_more_and_then_entered_as_failed(world):
    here = world()
    agent = here.agent()
    first = here.beat(agent)[0]
    again = here.beat(agent)[0]
    other = here.beat(agent)[0]

    assert again == first
    assert other["args"] == {"x": {"value": 2}}
    assert here.state(first["run_id"]) == "failed"


def test_a_trial_is_given_to_another_agent_only_when_nothing_is_heard_of_its_own_and_of_its_run(world):
    here = world({**GRID, "run_cap": 1})
    lost, other = here.agent(), here.agent()
    first = here.beat(lost)[0]
    here.begin(first["run_id"])

    here.time += 50
    early = here.beat(other)
    here.post(first["run_id"])  # the run is alive
    here.time += 50
    alive = here.beat(other)
    here.time += 50
    late = here.beat(other)

    assert (early, alive) == ([], [])
    assert late == [{**first, "type": "resume"}]


def test_agents_that_vanish_before_their_trial_begins_do_not_lose_it(world):
    here = world({**GRID, "run_cap": 1})
    first = here.beat(here.agent())[0]
    for _ in range(2 * MOST_TRIES):
        here.time += 100
        assert here.beat(here.agent()) == [first]


def test_a_server_that_was_away_takes_nobody_for_lost_at_its_return(world, tmp_path):
    here = world({**GRID, "run_cap": 1})
    lost, other = here.agent(), here.agent()
    first = here.beat(lost)[0]
    here.begin(first["run_id"])
    here.time += 1000
    back = Dispatcher(here.store, Heard(lambda: here.time), lambda: here.time, Patience(grace=60))

    at_once = back.beat(other, ())
    here.time += 61

    assert at_once == []
    assert back.beat(other, ()) == [{**first, "type": "resume"}]


def test_an_agent_waits_while_another_ones_trial_may_come_back(world):
    here = world({**GRID, "run_cap": 1})
    busy, idle = here.agent(), here.agent()
    run = here.beat(busy)[0]["run_id"]
    here.begin(run)

    waiting = here.beat(idle)
    here.end(run)

    assert waiting == []
    assert here.beat(idle) == [{"type": "exit"}]


def test_a_run_that_outlived_its_agent_and_finished_is_done(world):
    here = world({**GRID, "run_cap": 1})
    run = here.beat(here.agent())[0]["run_id"]
    here.end(run)

    assert here.beat(here.agent()) == [{"type": "exit"}]


def test_a_canceled_sweep_asks_its_runs_and_then_its_agents_to_stop_them(world):
    here = world()
    agent = here.agent()
    run = here.beat(agent)[0]["run_id"]
    here.begin(run)

    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "canceled"}, here.time)
    asked, at_once = here.post(run), here.beat(agent, run)
    here.time += STOP_SECONDS + 1

    assert (asked, at_once) == (True, [])
    assert here.beat(agent, run) == [{"type": "stop", "run_id": run}]
    assert here.beat(agent) == [{"type": "exit"}]
    assert here.state(run) == "killed"


def test_a_paused_sweep_keeps_its_agents_waiting(world):
    here = world()
    agent = here.agent()
    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "PAUSED"}, here.time)
    paused = here.beat(agent)
    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "RUNNING"}, here.time)

    assert paused == []
    assert here.beat(agent)[0]["type"] == "run"


@pytest.mark.parametrize("name", ["loss", "a/loss", "Fehlermaß & Co"])
def test_hyperband_asks_a_run_without_prospects_to_stop_once(world, name):
    metric = {"name": name, "goal": "minimize"}
    early = {"type": "hyperband", "min_iter": 2, "eta": 2}
    here = world({**RANDOM, "metric": metric, "early_terminate": early})
    good, bad = here.agent(), here.agent()
    best, worst = here.beat(good)[0]["run_id"], here.beat(bad)[0]["run_id"]
    here.begin(best)
    here.begin(worst)
    here.log(best, 0.5, 0.1, 0.1, metric=name)
    here.log(worst, 9.0, 9.0, 9.0, metric=name)

    here.beat(good, best)

    assert here.log(best, 0.5, 0.1, 0.1, metric=name) is False
    assert here.log(worst, 9.0, 9.0, 9.0, metric=name) is True
    here.end(worst, 0)
    assert here.state(worst) == "finished"


def work(world, given):
    """Do what an agent does, to the end of the sweep; every fifth point fails at first."""
    agent = world.agent()
    while (commands := world.beat(agent)) != [{"type": "exit"}]:
        for command in commands:
            point = json.dumps(command["args"], sort_keys=True)
            given[point] += 1
            is_bad = given[point] == 1 and command["args"]["x"]["value"] % 5 == 0
            world.end(command["run_id"], int(is_bad))


def test_many_agents_at_once_lose_and_double_no_trial(world):
    values = {"x": {"values": list(range(20))}, "y": {"values": list(range(10))}}
    here = world({"method": "grid", "parameters": values})
    given = Counter()

    with ThreadPoolExecutor(8) as agents:
        for done in [agents.submit(work, here, given) for _ in range(8)]:
            done.result()

    finished = [row["params"] for row in here.trials() if here.state(row["run"]) == "finished"]
    assert finished == [json.dumps({"x": x, "y": y}) for x in range(20) for y in range(10)]
    assert sorted(given.values()) == [1] * 160 + [2] * 40


def test_the_same_seed_proposes_the_same_and_a_second_sweep_goes_on_to_others(world):
    def first(here):
        return here.beat(here.agent())[0]["args"]

    one, same, other = world(RANDOM), world(RANDOM), world(RANDOM, seed=1)
    proposed = first(one)
    with one.store.write() as db:
        given = {"config": yaml.safe_dump(RANDOM), "projectName": "p"}
        one.sweep = sweeps.create(db, given, "local", 0, one.time)

    assert first(same) == proposed
    assert first(other) != proposed
    assert first(one) != proposed


def test_a_point_that_a_client_has_chosen_itself_is_given_first_as_it_is(world):
    here = world()
    with here.store.write() as db:
        name = sweeps.enqueue(db, here.sweep, {"x": 9, "extra.y": "z"})

    command = here.beat(here.agent())[0]

    assert command["run_id"] == name
    assert command["args"] == {"x": {"value": 9}, "extra.y": {"value": "z"}}


def test_a_trial_that_begins_after_its_sweep_was_canceled_is_asked_to_stop(world):
    here = world()
    agent = here.agent()
    run = here.beat(agent)[0]["run_id"]

    with here.store.write() as db:
        sweeps.change(db, here.sweep, {"state": "canceled"}, here.time)
    here.begin(run)  # it was about to
    here.beat(agent, run)

    assert here.post(run) is True


@pytest.mark.parametrize("happens", ["a sweep is canceled", "a point is chosen"])
def test_what_happens_during_a_search_counts_before_what_it_found(world, happens, monkeypatch):
    here = world(RANDOM)
    agent = here.agent()

    def meanwhile(*_):
        with here.store.write() as db:
            if happens == "a point is chosen":
                sweeps.enqueue(db, here.sweep, {"x": 7})
            else:
                sweeps.change(db, here.sweep, {"state": "canceled"}, here.time)
        return {"x": 0.5}

    monkeypatch.setattr(search, "propose", meanwhile)
    at_once, later = here.beat(agent), here.beat(agent)

    assert at_once == []
    assert later[0].get("args") == (None if "sweep" in happens else {"x": {"value": 7}})
    assert later[0]["type"] == ("exit" if "sweep" in happens else "run")


def test_a_point_that_was_killed_before_it_failed_is_tried_once_more_all_the_same(world):
    here = world()
    agent = here.agent()
    first = here.beat(agent)[0]
    here.begin(first["run_id"])
    resumed = here.beat(agent)[0]  # its process is gone
    here.end(resumed["run_id"], 1)

    again = here.beat(agent)[0]
    here.end(again["run_id"], 1)

    assert resumed == {**first, "type": "resume"}
    assert (again["type"], again["args"]) == ("run", first["args"])
    assert here.beat(agent)[0]["args"] == {"x": {"value": 2}}


def test_a_point_that_is_tried_anew_is_given_again_if_it_says_nothing(world):
    here = world()
    agent = here.agent()
    first = here.beat(agent)[0]
    here.end(first["run_id"], 1)

    anew, again = here.beat(agent)[0], here.beat(agent)[0]

    assert anew["run_id"] != first["run_id"]
    assert again == anew


@pytest.mark.parametrize(
    "value", ["2024-01-01", "{1: 2}", "99999999999999999999999999", ".nan", "-.inf", "[1, .nan, {a: null}]"]
)
def test_each_value_that_yaml_knows_is_a_point_of_a_grid_once(world, value):
    here = world(yaml.safe_load(f"method: grid\nparameters: {{x: {{values: [{value}, 2]}}}}"))
    agent = here.agent()
    given = 0
    while (command := here.beat(agent)[0])["type"] == "run":
        given += 1
        here.end(command["run_id"])
        json.dumps(command)

    assert given == 2


@pytest.mark.parametrize("value", ["!!binary aGVsbG8=", "!!set {a, b}", "{2024-01-01: 1}"])
def test_a_value_that_no_trial_can_be_handed_is_refused_with_the_sweep(world, value):
    with pytest.raises(RefusedError, match="what no trial can be handed"):
        world(yaml.safe_load(f"method: grid\nparameters: {{x: {{values: [{value}, 2]}}}}"))
