"""GraphQL in, JSON out: clients of other versions are served, and no operation is too much for the server."""

import json
import logging
import math

import pytest

from jade.server.graphql import DEEPEST, LONGEST, MOST_FIELDS, AbsentError, answer, snake_case
from jade.server.runs import RefusedError


class Project:
    """A project that leads to itself, for ever."""

    entity_name = "e"

    def __init__(self, **asked):
        self.asked = asked
        self.run = lambda name=None: {
            "name": name,
            "project": self,
            "tags": ["a", None],
            "summaryMetrics": "{}",
        }

    def runs(self, filters=None, after=None, first=50, order=None):
        return {
            "edges": [{"node": {"name": str(number), "project": self}} for number in range(first)],
            "totalCount": first,
        }

    @property
    def description(self):
        raise RefusedError("There is no description.")

    @property
    def access(self):
        raise KeyError("secret")

    @property
    def created_at(self):
        return "\ud800"


class Query:
    viewer = {"id": "1", "flags": "{}", "apiKeys": None}

    def project(self, name=None, entity_name=None):
        return Project(name=name, entity_name=entity_name)

    def users(self, query=None):
        raise AbsentError("There are none.")


class Mutation:
    def __init__(self):
        self.inputs = []

    def upsert_bucket(self, input):
        self.inputs.append(input)
        return {"inserted": True}


class ArtifactMutation:
    def commit_artifact(self, input):
        return {"artifact": None}


class Server:
    def __init__(self):
        self.mutation = Mutation()

    def __call__(self, query, variables=None, operation=None):
        """Give what is answered, which is JSON without NaN."""
        request = {"query": query, "variables": variables, "operationName": operation}
        reply = answer(request, Query(), self.mutation, ArtifactMutation())
        json.dumps(reply, allow_nan=False)
        return reply


@pytest.fixture
def ask():
    return Server()


def messages(reply):
    return [error["message"] for error in reply["errors"]]


def test_fields_are_answered_by_attributes_items_and_methods(ask):
    reply = ask(
        'query Q($name: String!) { viewer { id flags } project(name: $name, entityName: "e")'
        ' { entityName run(name: "r") { name tags } } }',
        {"name": "p"},
    )

    assert reply == {
        "data": {
            "viewer": {"id": "1", "flags": "{}"},
            "project": {"entityName": "e", "run": {"name": "r", "tags": ["a", None]}},
        }
    }


def test_names_of_the_schema_become_names_of_python():
    named = {
        name: snake_case(name)
        for name in ("id", "internalId", "runQueueItemId", "clientIDMapping", "uploadURL")
    }

    assert list(named.values()) == [
        "id",
        "internal_id",
        "run_queue_item_id",
        "client_id_mapping",
        "upload_url",
    ]


def test_what_a_newer_client_asks_and_sends_besides_is_left_out(ask):
    reply = ask(
        "query Q($new: NewInput!, $x: [Int!]! = [1]) { viewer { id newField(a: $new) { b } ... on Robot { c } } }",
        {"unused": 1},
    )

    assert reply == {"data": {"viewer": {"id": "1"}}}


def test_an_input_is_taken_as_it_comes_without_what_was_not_sent(ask):
    reply = ask(
        "mutation M($name: String!, $tags: [String!], $more: Robot) {"
        " upsertBucket(input: {name: $name, tags: $tags, more: {robot: $more, list: [$more, 1]}}) { inserted } }",
        {"name": "r", "tags": ["a"]},
    )

    assert reply == {"data": {"upsertBucket": {"inserted": True}}}
    assert ask.mutation.inputs == [{"name": "r", "tags": ["a"], "more": {"list": [None, 1]}}]


def test_each_object_of_mutations_answers_its_own(ask):
    assert ask("mutation { commitArtifact(input: {}) { artifact { id } } }") == {
        "data": {"commitArtifact": {"artifact": None}}
    }


@pytest.mark.parametrize("given", ["5", '"x"', "[]", "[{}]", "null", "true"])
def test_the_input_of_a_mutation_is_an_object(ask, given):
    inline = ask(f"mutation {{ upsertBucket(input: {given}) {{ inserted }} }}")
    variable = ask("mutation M($i: X) { upsertBucket(input: $i) { inserted } }", {"i": json.loads(given)})

    assert inline["data"] == variable["data"] == {"upsertBucket": None}
    assert messages(inline) == messages(variable)
    assert messages(inline)[0].startswith("The input of a mutation is an object, not ")
    assert ask.mutation.inputs == []


def test_a_mutation_without_its_input_is_refused(ask):
    assert messages(ask("mutation { upsertBucket { inserted } }")) == [
        "The input of a mutation is an object, not 'None'."
    ]


@pytest.mark.parametrize(
    ("field", "given", "problem"),
    [
        ("project(name: $v) { id }", 5, "name is a value of String, not '5'."),
        ("project(name: $v) { id }", ["p"], "name is a value of String, not \"['p']\"."),
        ("project { runs(first: $v) { totalCount } }", "5", "first is a value of Int, not '5'."),
        ("project { runs(first: $v) { totalCount } }", True, "first is a value of Int, not 'True'."),
        ("project { runs(first: $v) { totalCount } }", 1.5, "first is a value of Int, not '1.5'."),
        ("project { runs(first: $v) { totalCount } }", 2**31, "first is a value of Int, not '2147483648'."),
        ("project { runs(filters: $v) { totalCount } }", {}, "filters is a value of JSONString, not '{}'."),
        ("project { runs(filters: $v) { totalCount } }", "{", "filters is a value of JSONString, not '{'."),
        ("project { runs(filters: $v) { totalCount } }", "[" * 9_000, f"filters is a value of JSONString, not {'[' * 100!r}."),
        ("project { runs(after: $v) { totalCount } }", 5, "after is a value of String, not '5'."),
    ],
)  # fmt: skip
def test_an_argument_of_another_type_is_refused(ask, field, given, problem):
    reply = ask(f"query Q($v: Any) {{ {field} }}", {"v": given})

    assert messages(reply) == [problem]


def test_an_empty_filter_and_one_value_for_a_list_are_taken(ask):
    assert "errors" not in ask('query { project { runs(filters: "", first: 1) { totalCount } } }')
    assert "errors" not in ask(
        "query Q($v: X) { project { runs(filters: $v, first: 1) { totalCount } } }", {"v": None}
    )


def test_a_field_that_is_refused_says_why_and_the_others_are_answered(ask, caplog):
    reply = ask("query { project { entityName description } }")

    assert reply["data"] == {"project": {"entityName": "e", "description": None}}
    assert reply["errors"] == [{"message": "There is no description.", "path": ["project", "description"]}]
    assert caplog.records == []


def test_a_field_that_fails_tells_the_client_no_more_than_that_and_the_log_how(ask, caplog):
    reply = ask("query { project { entityName access } }")

    assert reply["data"] == {"project": {"entityName": "e", "access": None}}
    assert messages(reply) == ["The server failed: KeyError."]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "secret" in caplog.text


def test_what_is_absent_is_raised_for_a_404(ask):
    with pytest.raises(AbsentError, match="There are none."):
        ask("query { users { edges { node { id } } } }")


def test_a_field_of_the_outermost_level_that_is_not_known_is_an_error(ask):
    assert messages(ask("query { viewer { id } nonsense more }")) == [
        "This server does not serve more, nonsense."
    ]
    assert messages(ask("mutation { launchAgent { id } }")) == ["This server does not serve launchAgent."]
    assert messages(ask("mutation { viewer { id } }")) == ["This server does not serve viewer."]
    assert messages(ask("query { serverInfo { features { name } } }")) == [
        "This server does not serve serverInfo."
    ]


@pytest.mark.parametrize(
    "request_",
    [{}, {"query": None}, {"query": 5}, {"query": ["{viewer{id}}"]}, {"query": "x" * (LONGEST + 1)},
     {"query": "{viewer{id}}", "variables": "x"}, {"query": "{viewer{id}}", "variables": [1]}],
)  # fmt: skip
def test_what_is_no_request_is_refused(request_):
    reply = answer(request_, Query(), Mutation())

    assert reply == {"data": None, "errors": [{"message": "This is no GraphQL request."}]}


@pytest.mark.parametrize(
    "text",
    ["", "{", "}", "x", "query", "fragment F on User { id }", "type A { b: Int }", "subscription { a }",
     "query A { viewer { id } } query B { viewer { id } }", "{ viewer { id } } \x00", "{ project(name: $x) }}",
     '{ project(name: "\\ud800") { id } }', "{ viewer @skip { id } }", "{ viewer @include(if: 5) { id } }"],
)  # fmt: skip
def test_what_is_no_operation_is_answered_with_errors(ask, text):
    reply = ask(text)

    assert reply["data"] is None
    assert len(reply["errors"]) == 1


@pytest.mark.parametrize(
    "text", ["query { viewer }", "query { viewer { ...Gone } }", "query { viewer { id { x } } }"]
)
def test_what_is_selected_wrongly_is_left_out(ask, text):
    assert set(ask(text)["data"]) == {"viewer"}


@pytest.mark.parametrize("operation", ["Q", "", None])
def test_an_operation_is_chosen_by_name(ask, operation):
    assert ask("query Q { viewer { id } }", operation=operation) == {"data": {"viewer": {"id": "1"}}}


@pytest.mark.parametrize("operation", ["R", 5, ["Q"], {"Q": 1}])
def test_an_operation_that_is_not_there_is_an_error(ask, operation):
    assert messages(ask("query Q { viewer { id } }", operation=operation)) == [
        f"Unknown operation named '{operation}'."
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{ viewer " * 3_000 + "{ id }" + "}" * 3_000,
        "{" * 50_000,
        "{ project(name: " + "[" * 9_000 + "]" * 9_000 + ") { id } }",
        "query Q($a: " + "[" * 9_000 + "Int" + "]" * 9_000 + ") { viewer { id } }",
        "{ viewer { " + "id " * 25_000 + "} }",
    ],
)
def test_an_operation_that_is_too_deep_or_too_long_is_an_error(ask, text):
    reply = ask(text)

    assert reply["data"] is None
    assert len(reply["errors"]) == 1


def test_fragments_that_lead_back_to_themselves_end(ask):
    reply = ask(
        'query { project { ...P } } fragment P on Project { entityName ...P run(name: "r") { ...R } }'
        " fragment R on Run { name project { ...P } }"
    )

    assert set(messages(reply)) == {"What was asked for is nested too deeply."}
    assert reply["data"]["project"]["run"]["project"]["run"]["name"] == "r"


def test_fragments_that_double_at_each_level_end(ask):
    doubled = " ".join(
        f'fragment F{n} on Project {{ a: run(name: "r") {{ project {{ ...F{n + 1} }} }}'
        f' b: run(name: "r") {{ project {{ ...F{n + 1} }} }} }}'
        for n in range(40)
    )

    reply = ask(f"query {{ project {{ ...F0 }} }} {doubled} fragment F40 on Project {{ entityName }}")

    assert set(messages(reply)) == {"What was asked for is nested too deeply."}


def test_an_answer_has_a_largest_number_of_fields(ask):
    reply = ask("query { project { runs(first: 500) { edges { node { project { runs(first: 500) { totalCount"
                " edges { cursor } } } } } } } }")  # fmt: skip

    assert reply == {
        "data": None,
        "errors": [{"message": f"The operation asks for more than {MOST_FIELDS} fields."}],
    }


def test_the_schema_may_be_asked_for_but_not_without_end(ask):
    shallow = ask('query { __schema { queryType { name } } __type(name: "Run") { fields { name } } }')
    inner = "{ fields { type " * DEEPEST + "{ name }" + "} }" * DEEPEST
    deep = ask(f'query {{ __type(name: "RunEdge") {inner} }}')

    assert shallow["data"]["__schema"] == {"queryType": {"name": "Query"}}
    assert {"name": "historyLineCount"} in shallow["data"]["__type"]["fields"]
    assert deep["errors"]


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_numbers_that_json_lacks_are_given_as_text(ask, value, shown):
    class Rows(Query):
        def project(self, name=None, entity_name=None):
            return {"run": {"historyKeys": {"a": [value, {"b": (value,)[0]}]}}}

    reply = answer({"query": "{ project { run { historyKeys } } }"}, Rows())

    assert reply == {"data": {"project": {"run": {"historyKeys": {"a": [shown, {"b": shown}]}}}}}


def test_half_a_character_can_be_sent(ask):
    reply = ask("query { project { createdAt } }")

    assert json.loads(json.dumps(reply).encode())["data"]["project"]["createdAt"] == "\ud800"
