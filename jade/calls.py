"""Does a call fit a signature? Checked by names before the call, and explained after a call that failed.

`build` checks what YAML hands to a class; `explain` finds the mistyped name behind a TypeError in a user's
own code. Signatures are compared, never the texts of exceptions.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

from jade.errors import JadeError, PluginError, nearest


@dataclass(frozen=True)
class Accepted:
    """What a callable takes by keyword; `anything` if it takes any name."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    anything: bool


def accepted_by(target: Callable[..., Any]) -> Accepted:
    """Return what a function, or the constructor of a class, takes by keyword."""
    if inspect.isclass(target) and _code(getattr(target, "__init__", None)) is not None:
        return accepted_by_method(target, "__init__")
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (ValueError, TypeError):  # a callable written in C may have no signature
        return Accepted((), (), anything=True)
    return Accepted(*_names(parameters), anything=_takes_any(parameters))


def accepted_by_method(cls: type, method: str) -> Accepted:
    """Return what `cls.<method>` takes by keyword, following `**kwargs` that only go to its parent's."""
    return _accepted(cls.__mro__, method)


def _accepted(owners: Sequence[type], method: str) -> Accepted:
    for index, owner in enumerate(owners):
        function = vars(owner).get(method)
        if _code(function) is None:
            continue
        parameters = list(inspect.signature(function).parameters.values())[1:]  # type: ignore[arg-type]
        names, required = _names(parameters)
        extra = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if extra is None:
            return Accepted(names, required, anything=False)
        handed = _handed_on(function, method, extra)
        if handed is None:  # what it does with them is its own affair
            return Accepted(names, required, anything=True)
        parent = _accepted(owners[index + 1 :], method)
        positional, by_keyword = handed
        left = [n for n in parent.names[positional:] if n not in by_keyword and n not in names]
        needed = [n for n in parent.required if n in left]
        return Accepted((*names, *left), (*required, *needed), parent.anything)
    return Accepted((), (), anything=True)


def _handed_on(function: object, method: str, extra: str) -> tuple[int, set[str]] | None:
    """Return what a method gives its parent's besides `**extra`: how many by position, and which by name.

    None if `extra` is used in any other way, or the source cannot be read.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return None
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == extra]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_parents(node, method)]
    unpacked = [k.value for call in calls for k in call.keywords if k.arg is None]
    if len(calls) != 1 or len(uses) != 1 or uses[0] not in unpacked:
        return None
    given = [argument for argument in calls[0].args if not isinstance(argument, ast.Starred)]
    by_name = isinstance(calls[0].func, ast.Attribute) and isinstance(calls[0].func.value, ast.Name)
    return len(given) - by_name, {keyword.arg for keyword in calls[0].keywords if keyword.arg}


def _is_parents(call: ast.Call, method: str) -> bool:
    """Say whether a call is `super().method(…)` or `Parent.method(self, …)`."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != method:
        return False
    owner = function.value
    if isinstance(owner, ast.Name) and call.args and isinstance(call.args[0], ast.Name):
        return call.args[0].id == "self"
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"


def accepted_by_source(node: ast.ClassDef) -> Accepted | None:
    """Return what the constructor of a class takes, from its source alone; None if that does not say."""
    if node.decorator_list:
        return None
    for inner in reversed(node.body):  # of two definitions the last one counts
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            arguments = inner.args
            positional = [argument.arg for argument in arguments.args[1:]]
            required = positional[: len(positional) - len(arguments.defaults)]
            keyword = [argument.arg for argument in arguments.kwonlyargs]
            pairs = zip(keyword, arguments.kw_defaults, strict=True)
            required += [name for name, default in pairs if default is None]
            if arguments.kwarg or arguments.posonlyargs:
                return None
            return Accepted((*positional, *keyword), tuple(required), anything=False)
    return None


def fits(function: Callable[..., Any], positional: int) -> bool:
    """Say whether a function can be called with so many arguments by position."""
    try:
        inspect.signature(function).bind(*[None] * positional)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True


def place_of(target: object) -> str:
    """Return where a class or function is defined, as `file:line`, or its name if that is not known."""
    try:
        return f"{inspect.getsourcefile(target)}:{inspect.getsourcelines(target)[1]}"  # type: ignore[arg-type]
    except (OSError, TypeError):
        return getattr(target, "__qualname__", repr(target))


def faults(
    what: str, accepted: Accepted, params: Mapping[str, Any], where: str, reserved: Collection[str] = ()
) -> Iterator[JadeError]:
    """Yield every reason why `params` do not fit: unknown, missing and reserved names.

    Args:
        what: whose parameters they are, as the message names it.
        accepted: what it takes.
        params: what it is to be given.
        where: the place that gives them.
        reserved: names that JADE hands over itself.
    """
    for name in params:
        if name in reserved:
            yield PluginError(
                f"The parameter {name!r} of {what} has a name that JADE uses itself.",
                where=where,
                hint=f"self.{name} is there in any case; call the parameter something else.",
            )
        elif not accepted.anything and name not in accepted.names:
            yield PluginError(
                f"{what} takes no parameter {name!r}.", where=where, wanted=name, choices=accepted.names
            )
    missing = [name for name in accepted.required if name not in params]
    if missing:
        yield PluginError(
            f"{what} needs the parameter{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}.",
            where=where,
            hint=f"given: {', '.join(params) or 'none'}",
        )


def explain(error: BaseException, inside: str) -> str | None:
    """Return what a call that raised a TypeError should have said, or None if that is not its reason.

    Args:
        error: the exception, with its traceback.
        inside: the folder of the user's code; a call made elsewhere is not explained.
    """
    frame = _innermost(error.__traceback__)
    if not isinstance(error, TypeError) or frame is None:
        return None
    file = frame.tb_frame.f_code.co_filename
    call = _call_at(frame) if file.startswith(inside) else None
    if call is None:
        return None
    target = _resolved(call.func, frame.tb_frame.f_locals, frame.tb_frame.f_globals)
    if not callable(target):
        return None
    takes = accepted_by(target)
    for keyword in call.keywords:
        if keyword.arg and not takes.anything and keyword.arg not in takes.names:
            name = getattr(target, "__name__", ast.unparse(call.func))
            near = nearest(keyword.arg, takes.names)
            meant = f" did you mean: {near}." if near else ""
            return f"{file}:{call.lineno}: {name} takes no parameter {keyword.arg!r}.{meant}"
    return None


def _names(parameters: list[inspect.Parameter]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    by_keyword = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return tuple(p.name for p in by_keyword), tuple(p.name for p in by_keyword if p.default is p.empty)


def _takes_any(parameters: list[inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _code(function: object) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None


def _innermost(tb: TracebackType | None) -> TracebackType | None:
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb


def _call_at(tb: TracebackType) -> ast.Call | None:
    """Return the call expression that the frame was executing."""
    code = tb.tb_frame.f_code
    position = list(code.co_positions())[tb.tb_lasti // 2]
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and position == (
            node.lineno,
            node.end_lineno,
            node.col_offset,
            node.end_col_offset,
        ):
            return node
    return None


def _resolved(node: ast.expr, local: Mapping[str, Any], glob: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any object
    """Return the object that a dotted name stands for, or None; nothing is executed to find out."""
    if isinstance(node, ast.Name):
        return local.get(node.id, glob.get(node.id))
    if isinstance(node, ast.Attribute):
        return inspect.getattr_static(_resolved(node.value, local, glob), node.attr, None)
    return None
