"""Under which names a run will log numbers, read from the configuration and the source of its classes.

Nothing is imported or run. Names that are made while the code runs are known by patterns at most.
`sweep_check` asks whether a sweep's metric is among them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jade.config import Config
from jade.plugins import Plugins
from jade.summary import BEST

# What every row of a run has, besides the metrics.
COUNTERS = frozenset({"iterations", "epochs", "row", "_step", "_runtime", "_timestamp"})
_ROOTS = {"model": ("Trainer",), "eval": ("Evaluation", "DatasetEvaluation")}
_PLAIN_BASES = ("object", "ABC", "Generic", "Protocol")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Names:
    """Names of numbers.

    Attributes:
        certain: those that the source spells out.
        possible: patterns of those that are made while the code runs.
    """

    certain: frozenset[str] = frozenset()
    possible: tuple[str, ...] = ()

    def __or__(self, other: Names) -> Names:
        """Return the names of both."""
        return Names(self.certain | other.certain, (*self.possible, *other.possible))

    def has(self, name: str) -> bool | None:
        """Say whether `name` is logged; None if the source does not tell."""
        plain = name.removesuffix(BEST)
        if name in self.certain | COUNTERS or plain in self.certain:
            return True
        return None if any(re.fullmatch(pattern, plain) for pattern in self.possible) else False


def names(config: Config, plugins: Plugins) -> Names:
    """Return the names of the numbers that a run of this configuration logs."""
    found = _losses(_Family(plugins, "model", config.values["model"]["class"]))
    for name, description in config.values["eval"].items():
        found |= _evaluated(name, _Family(plugins, "eval", description["class"]))
    return found


class _Family:
    """A class and its parents, as far as they are in the project's own files.

    Attributes:
        classes: each before its parents.
        bodies: those of the classes, and the functions beside them in their files.
        root: the class of JADE that it descends from, None if that does not show.
        whole: whether all of its parents are there.
    """

    def __init__(self, plugins: Plugins, kind: str, name: str) -> None:
        self.classes: list[ast.ClassDef] = []
        self.bodies: list[ast.AST] = []
        self.root: str | None = None
        self.whole = True
        self._plugins = plugins
        self._kind = kind
        self._add(name)

    def _add(self, name: str) -> None:
        if name in _ROOTS[self._kind]:
            self.root = self.root or name
            return
        found = self._plugins.source(self._kind, name)
        if found is None or found[0] in self.classes:
            self.whole = self.whole and name in _PLAIN_BASES
            return
        node, path = found
        self.classes.append(node)
        module = ast.parse(path.read_text(encoding="utf-8-sig"))
        self.bodies += [node, *(inner for inner in module.body if isinstance(inner, ast.FunctionDef))]
        for base in node.bases:
            outer = base.value if isinstance(base, ast.Subscript) else base
            self._add(outer.attr if isinstance(outer, ast.Attribute) else getattr(outer, "id", ""))

    def method(self, name: str) -> ast.FunctionDef | None:
        """Return the definition of a method that counts."""
        defined = (inner for node in self.classes for inner in reversed(node.body))
        return next((i for i in defined if isinstance(i, ast.FunctionDef) and i.name == name), None)


def _losses(family: _Family) -> Names:
    found = Names() if family.whole and family.classes else Names(possible=(".+",))
    for body in family.bodies:
        for node in ast.walk(body):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if called and node.func.attr == "add_loss_item":  # type: ignore[attr-defined]
                found |= _spelled(_argument(node, "name"))  # type: ignore[arg-type]
    return found


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    by_name = (keyword.value for keyword in call.keywords if keyword.arg == name)
    return call.args[0] if call.args else next(by_name, None)


def _spelled(node: ast.expr | None) -> Names:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Names(frozenset({node.value}))
    if isinstance(node, ast.JoinedStr):
        parts = (re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in node.values)
        return Names(possible=("".join(parts),))
    return Names(possible=(".+",))


def _evaluated(name: str, family: _Family) -> Names:
    method, read = family.method("evaluate"), _entry
    if method is None and family.root == "DatasetEvaluation":
        method, read = family.method("evaluate_batch"), _mean
    if method is None:
        return _unknown(name)
    found = Names()
    for value in _returned(method):
        found |= read(name, value)
    return found


def _returned(method: ast.FunctionDef) -> Iterator[ast.expr]:
    waiting: list[ast.AST] = list(method.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        if not isinstance(node, _FUNCTIONS):
            waiting += ast.iter_child_nodes(node)


def _entry(name: str, value: ast.expr) -> Names:
    """Return what an evaluation logs that returns this."""
    pairs = _items(value)
    kind = pairs.get("type") if pairs is not None else None
    if pairs is None or not isinstance(kind, ast.Constant):
        return _unknown(name)
    if kind.value == "scalar":
        return Names(frozenset({name}))
    return _several(name, pairs.get("value")) if kind.value == "scalars" else Names()


def _mean(name: str, value: ast.expr) -> Names:
    """Return what a DatasetEvaluation logs whose mean over a batch is this."""
    if isinstance(value, ast.Dict | ast.DictComp):
        return _several(name, value)
    if isinstance(value, ast.BinOp | ast.UnaryOp | ast.Constant):
        return Names(frozenset({name}))
    return _unknown(name)


def _several(name: str, value: ast.expr | None) -> Names:
    pairs = _items(value)
    if pairs is None:
        return Names(possible=(f"{re.escape(name)}/.+",))
    return Names(frozenset(f"{name}/{key}" for key in pairs))


def _unknown(name: str) -> Names:
    # One number is the rule, so that its plain name is taken without a warning.
    return Names(frozenset({name}), (f"{re.escape(name)}/.+",))


def _items(node: ast.expr | None) -> Mapping[str, ast.expr] | None:
    """Return the items of a dictionary that is written out with its keys, else None."""
    if not isinstance(node, ast.Dict):
        return None
    keys: Sequence[ast.expr | None] = node.keys
    if not all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys):
        return None
    return {key.value: value for key, value in zip(keys, node.values, strict=True)}  # type: ignore[union-attr]
