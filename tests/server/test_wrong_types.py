"""Every argument of every field, and every field of every input, with values of other types: answered, and forgotten."""

import json

import pytest
from graphql import GraphQLObjectType, get_named_type

from jade.server.graphql import schema
from tests.server.doors import opened

WRONG = [
    5, -1, 2**63, 10**400, 1.5, True, "x", "", "\ud800", "a\x00b", "{", "[1]", "[" * 5_000, {}, {"a": [1]}, [], [5],
    ["x"], [None], [[1]], None,
]  # fmt: skip
HISTORY = "wandb-history.jsonl"
SWEEP = "method: random\nmetric: {name: a}\nparameters: {x: {min: 0.0, max: 1.0}}"
PROJECT = 'project(name: "p", entityName: "e")'
# A type, and the way to one of it.
WAYS = {
    "Query": "%s",
    "Project": PROJECT + " { %s }",
    "Run": PROJECT + ' { run(name: "r") { %s } }',
    "Sweep": PROJECT + " { sweeps { edges { node { %s } } } }",
    "Agent": PROJECT + " { sweeps { edges { node { agents { edges { node { %s } } } } } } }",
}
RUN = {"entityName": "e", "projectName": "p", "runName": "r"}


def ids(doors):
    """Make a run with a row, a sweep and an agent; give what is right in an input of each mutation."""
    run = doors.begin("r")
    doors.stream("r", {"files": {HISTORY: {"content": ['{"_step":0,"a":1}']}}})
    reply = doors.graphql(
        "mutation Make($input: I) { upsertSweep(input: $input) { sweep { id } } }",
        input={"entityName": "e", "projectName": "p", "config": SWEEP},
    )
    sweep = reply.data["upsertSweep"]["sweep"]["id"]
    reply = doors.graphql(
        "mutation Make($input: I) { createAgent(input: $input) { agent { id } } }",
        input={"sweep": sweep, "host": "h"},
    )
    agent = reply.data["createAgent"]["agent"]["id"]
    run_of = {
        "name": "other", "entityName": "e", "modelName": "p", "host": "h", "config": "{}", "summaryMetrics": "{}",
        "tags": ["a"], "state": "running", "sweep": "s", "displayName": "d", "notes": "n", "groupName": "g",
        "jobType": "j", "commit": "c", "jobProgram": "x", "jobRepo": "y", "description": "d",
    }  # fmt: skip
    sweep_of = {
        "entityName": "e", "projectName": "p", "config": SWEEP, "state": "PENDING", "displayName": "d",
        "description": "d", "controller": "{}", "scheduler": "{}", "priorRunsFilters": "{}",
    }  # fmt: skip
    return {
        "upsertBucket": [run_of, {"id": run, "displayName": "r"}],
        "upsertModel": [{"entityName": "e", "name": "p", "description": "d"}],
        "upsertSweep": [sweep_of, {"id": sweep, "state": "RUNNING", "config": SWEEP}],
        "createAgent": [{"sweep": sweep, "host": "h"}],
        "agentHeartbeat": [{"id": agent, "runState": "{}", "metrics": "{}"}],
        "enqueueSweepRun": [{"id": sweep, "config": "{}"}],
        "createRunFiles": [{**RUN, "files": ["a"]}],
        "markRunFilesUploaded": [{**RUN, "files": ["a"]}],
        "notifyScriptableRunAlert": [{**RUN, "title": "t", "text": "x"}],
        "deleteFiles": [{"files": ["RmlsZTox"]}],
        "deleteRun": [{"id": "UnVuOjk5"}],
        "stopRun": [{"id": run}],
        "updateRunState": [{"id": run, "state": "pending"}],
    }


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data")) as found:
        found.inputs = ids(found)
        yield found


@pytest.fixture(autouse=True)
def undisturbed(doors):
    """Whatever was sent: another client finds its rows, and can write one more."""
    yield
    doors.begin("afterwards")
    assert doors.stream("afterwards", {"files": {HISTORY: {"content": ['{"_step":0}']}}}).status == 200
    assert doors.rows("afterwards") == ['{"_step":0}']
    assert '{"_step":0,"a":1}' in doors.rows("r")


def selection(kind):
    return "{ __typename }" if isinstance(get_named_type(kind), GraphQLObjectType) else ""


def is_answer(reply):
    """Whether a client is answered with data, or is told what is wrong, and does not see how the server works."""
    assert b"Traceback" not in reply.body
    assert b"/jade/" not in reply.body
    assert b"SELECT" not in reply.body
    return reply.status == 200 and set(json.loads(reply.body)) <= {"data", "errors"}


def test_all_types_that_answer_about_runs_and_sweeps_are_looked_at():
    kinds = {name for name, kind in schema().type_map.items() if isinstance(kind, GraphQLObjectType)}
    asking = {
        name
        for name in kinds
        if not name.startswith("__") and any(f.args for f in schema().type_map[name].fields.values())
    }

    assert asking - set(WAYS) == {
        "Artifact", "ArtifactCollectionMembership", "ArtifactSequence", "ArtifactType", "File", "Mutation", "Organization",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, name) for kind in WAYS for name, field in schema().type_map[kind].fields.items() if field.args],
)
def test_arguments_of_a_field(doors, kind, field):
    found = schema().type_map[kind].fields[field]

    replies = [
        doors.graphql(
            f"query Q($v: Any) {{ {WAYS[kind] % f'{field}({name}: $v) {selection(found.type)}'} }}", v=wrong
        )
        for name in found.args
        for wrong in WRONG
    ]

    assert len(replies) >= len(WRONG)
    assert all(map(is_answer, replies))


MUTATIONS = [name for name in schema().mutation_type.fields if "rtifact" not in name and "Alias" not in name]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_fields_of_an_input(doors, mutation):
    kind = schema().mutation_type.fields[mutation].type
    query = f"mutation M($v: Any) {{ {mutation}(input: $v) {selection(kind)} }}"

    replies = [
        doors.graphql(query, v={**right, name: wrong})
        for right in doors.inputs[mutation]
        for name in right
        for wrong in WRONG
    ]

    assert len(replies) >= len(WRONG)
    # An agent that is unknown is a 404: the real client understands that.
    assert all(
        is_answer(reply) for reply in replies if not (mutation == "agentHeartbeat" and reply.status == 404)
    )
