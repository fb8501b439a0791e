"""Which packages a stored run had that are other ones now: what is told where its code fails."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# What decides about behavior though code may not import it by name.
_ALWAYS = ("torch", "numpy", "torchvision")


def differing(recorded: Mapping[str, object], code: Path) -> list[str]:
    """Return a line for each package that the code imports and that the run had in another version.

    Args:
        recorded: the versions of the run, by the names of the distributions.
        code: the folder of its code.
    """
    homes = importlib.metadata.packages_distributions()
    wanted = {_plain(name) for name in _ALWAYS}
    for top in set(_imported(code)) - sys.stdlib_module_names:
        wanted |= {_plain(home) for home in homes.get(top, [top])}
    lines = []
    for name, then in sorted(recorded.items(), key=lambda pair: pair[0].lower()):
        now = _version(name)
        if _plain(name) in wanted and now != then:
            lines.append(f"{name} {then} then, {now or 'not installed'} now")
    return lines


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _imported(code: Path) -> Iterator[str]:
    """Yield the first part of each name that a file of the code imports."""
    for path in code.rglob("*.py"):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]
