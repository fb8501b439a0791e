"""GraphQL in, plain JSON out: which object answers which field, and nothing of what the fields mean.

Operations are executed without being validated, and their variables are taken as they come: a client of
another version may ask for fields and send inputs that this one does not know, and gets what there is.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    Visitor,
    build_schema,
    execute,
    parse,
    visit,
)

from jade.errors import JadeError
from jade.server.arguments import INPUT, taken
from jade.server.blobs import UnsafeNameError
from jade.server.runs import RefusedError

LONGEST = 100_000  # characters of an operation; the longest of a client has 3,000
LONGEST_KEPT = 10_000
# Runs lead to their project and that to its runs: a short operation could ask for any number of fields.
MOST_FIELDS = 200_000  # of one answer; a page of a thousand runs has 30,000
DEEPEST = 20  # fields inside one another, and places in lists; a client has 15 at most
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])")
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}

_log = logging.getLogger(__name__)


@functools.cache
def schema() -> GraphQLSchema:
    """Return the schema of `schema.graphql`."""
    text = resources.files("jade.server").joinpath("schema.graphql").read_text(encoding="utf-8")
    return build_schema(text)


class AbsentError(LookupError):
    """What a field is asked for is not there, and the client understands that by 404 only."""


def answer(request: Mapping[str, Any], query: object, *mutations: object) -> dict[str, Any]:
    """Return what GraphQL answers to a request: `data`, and `errors` where there are some.

    A field is answered by the attribute of the same name in snake case, which is called with the field's
    arguments if it is a method.

    Args:
        request: `query`, `variables` and `operationName`, as they were posted.
        query: the object that answers the fields of queries.
        *mutations: the objects that answer those of mutations, each some.

    Raises:
        AbsentError: what a field has raised.
    """
    text, variables = request.get("query"), request.get("variables")
    if not isinstance(text, str) or len(text) > LONGEST or not isinstance(variables or {}, Mapping):
        return {"data": None, "errors": [{"message": "This is no GraphQL request."}]}
    try:
        document = _parsed(text) if len(text) <= LONGEST_KEPT else _parsed.__wrapped__(text)
        unknown = _unknown_fields(document)
        if unknown:
            raise GraphQLError(f"This server does not serve {', '.join(unknown)}.")
        return _executed(document, request, _Roots((query,), mutations))
    except RecursionError:
        message = "The operation is nested too deeply."
    except _TooMuchError as error:
        message = str(error)
    except GraphQLError as error:
        message = error.message
    return {"data": None, "errors": [{"message": message}]}


def _executed(document: DocumentNode, request: Mapping[str, Any], roots: _Roots) -> dict[str, Any]:
    result = execute(
        schema(),
        document,
        roots,
        variable_values=dict(request.get("variables") or {}),
        operation_name=request.get("operationName") or None,  # some clients send an empty one
        field_resolver=_resolve,
        type_resolver=lambda value, info, abstract: str(value.typename),
        middleware=[_Budget()],
    )
    for error in result.errors or ():  # type: ignore[union-attr]
        if isinstance(error.original_error, AbsentError):
            raise error.original_error
    reply: dict[str, Any] = {"data": _finite(result.data)}  # type: ignore[union-attr]
    if result.errors:  # type: ignore[union-attr]
        reply["errors"] = [_told(error) for error in result.errors]  # type: ignore[union-attr]
    return reply


class _TooMuchError(BaseException):
    """An operation asks for too much; an Exception would be the error of one field, and others follow."""


class _Budget:
    """Bounds the fields of one answer, those of introspection as well."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def resolve(
        self,
        answered: Callable[..., Any],
        source: object,
        info: GraphQLResolveInfo[Any],
        **arguments: object,
    ) -> Any:  # noqa: ANN401
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError(f"The operation asks for more than {MOST_FIELDS} fields.")
        if len(info.path.as_list()) > DEEPEST:
            raise RefusedError("What was asked for is nested too deeply.")
        return answered(source, info, **arguments)


def _unknown_fields(document: DocumentNode) -> list[str]:
    """Return the fields of an operation's outermost level that the schema lacks.

    A client takes an answer without errors for one that holds what it asked for, and breaks if it does not.
    """
    roots = {"query": schema().query_type, "mutation": schema().mutation_type}
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return sorted(
        {name for one in operations for name in _names(one) - _fields(roots.get(one.operation.value))}
    )


def _names(operation: OperationDefinitionNode) -> set[str]:
    return {node.name.value for node in operation.selection_set.selections if isinstance(node, FieldNode)}


def _fields(root: GraphQLObjectType | None) -> set[str]:
    return {*(root.fields if root else ()), "__typename", "__schema", "__type"}


class _Roots:
    def __init__(self, queries: Sequence[object], mutations: Sequence[object]) -> None:
        self._of = {"query": queries, "mutation": mutations}

    def answering(self, operation: str, name: str) -> object | None:
        """Return the object that answers a field of an operation."""
        return next((root for root in self._of.get(operation, ()) if hasattr(type(root), name)), None)


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> DocumentNode:
    document = parse(text, no_location=True, max_tokens=20_000)
    return visit(document, _Untyped())  # type: ignore[no-any-return]


class _Untyped(Visitor):
    """Takes the types of all variables away: what a client calls its inputs does not matter."""

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: object) -> VariableDefinitionNode:
        untyped = NamedTypeNode(name=NameNode(value="JSON"))
        return VariableDefinitionNode(
            variable=node.variable, type=untyped, default_value=node.default_value, directives=node.directives
        )


def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401
    name = snake_case(info.field_name)
    if isinstance(source, _Roots):
        source = source.answering(info.operation.operation.value, name)
        if source is None:
            raise RefusedError(f"This server does not serve {info.field_name}.")
    value = source.get(info.field_name) if isinstance(source, Mapping) else getattr(source, name, None)
    if not callable(value):
        return value
    types = info.parent_type.fields[info.field_name].args
    given = {name: taken(name, arguments.get(name), str(one.type)) for name, one in types.items()}
    return value(**{snake_case(name): given[name] for name in types if name in arguments or name == INPUT})


@functools.cache
def snake_case(name: str) -> str:
    """Return a name of the schema as Python writes it: `internalId` is `internal_id`."""
    return _CAPITAL.sub(lambda found: f"_{found[0]}", name).lower()


def _told(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    message = error.message
    if isinstance(cause, RecursionError):
        message = "What was asked for is nested too deeply."
    elif cause is not None and not isinstance(cause, RefusedError | UnsafeNameError | JadeError):
        _log.error("A field could not be answered: %s", error, exc_info=cause)
        message = f"The server failed: {type(cause).__name__}."
    return {"message": message, "path": error.path}


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return an answer that every JSON parser reads: NaN and infinity as text, as W&B gives them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    return value
