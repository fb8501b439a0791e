"""Files under `modules/` and the architecture file: from a bare name to a class and the place it came from.

Files are indexed by parsing, not by importing; only the file that defines a wanted name is imported. What
is done with a class (checking a call, building it) is `build`'s affair.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from jade import imports, isolated
from jade.errors import JadeError, PluginError, nearest

FOLDERS = {"model": "models", "data": "data", "eval": "eval"}
# Where a bare name is looked for after the project's own files; imported only then, for it takes seconds.
FALLBACKS = {"data": ("torchvision.datasets", "torchvision.transforms")}


@dataclass(frozen=True)
class Plugin:
    """A class (or, in an architecture file, any callable) with the place where it is defined."""

    name: str
    target: Any
    place: str


@dataclass(frozen=True)
class _File:
    path: Path
    module: str
    classes: dict[str, ast.ClassDef]  # by top-level name
    broken: str | None = None
    others: frozenset[str] = frozenset()  # names of functions and values


class Plugins:
    """The classes that a project offers, found by name.

    Args:
        project: the folder that holds `modules/`.
        snapshot: whether it is a run's copy of its code, which holds the architecture file, too.
        contents: of the copy, see `isolated`, where it is imported beside other code, under a name of its
            own; otherwise its modules take the place of those that were imported before.
    """

    def __init__(
        self, project: Path, snapshot: bool = False, contents: Mapping[str, str] | None = None
    ) -> None:
        self.project = project.resolve()
        self._package = isolated.enter(self.project, contents) if contents is not None else None
        if self._package:
            self.project = isolated.home(self._package)
        # The user's code may change the folder.
        self._started_in = self.project if snapshot else Path.cwd()
        self._outside = self.project / "outside" if snapshot else None
        self._indexed: dict[str, list[_File]] = {}
        if not self._package:
            _enter(self.project)

    def find(self, kind: str, name: str, where: str) -> Plugin:
        """Return the class called `name` for a "model", "data" or "eval" description.

        A dotted name (`torch.optim.AdamW`) reaches installed code.

        Raises:
            PluginError: if there is no such class, several, or its file cannot be imported.
        """
        if "." in name:
            is_own = self._package and isolated.holds(self._package, name)
            return _installed(f"{self._package}.{name}" if is_own else name, where)
        files = self._index(kind)
        homes = [file for file in files if name in file.classes]
        if len(homes) > 1:
            places = "\n".join(f"  {file.path}:{file.classes[name].lineno}" for file in homes)
            raise PluginError(
                f"The class {name} is defined in {len(homes)} files.",
                where=where,
                hint=f"Rename one:\n{places}",
            )
        if homes:
            return self._from_file(homes[0], name, where)
        found = self._from_fallback(kind, name) or self._from_any(files, name)
        if found is None:
            raise self._unknown(kind, name, where)
        return found

    def located(self, path: Path) -> Path:
        """Return where an architecture file lies that was named from the folder the process started in."""
        if self._outside is None:
            # ../ may lead out of the project, and a notebook is in a folder of it.
            found = [Path(os.path.normpath(folder / path)) for folder in (self._started_in, self.project)]
            return next((one for one in found if one.is_file()), found[0])
        # The copy has the project's files under their paths in it, however the file was named then. Beside
        # it may lie what is no part of it, and was not looked at by whoever trusts it.
        parts = Path(os.path.normpath(path)).parts
        inner = parts[sum(part in (path.anchor, "..") for part in parts) :]
        tails = (self.project.joinpath(*inner[first:]) for first in range(len(inner)))
        return next((tail for tail in tails if tail.is_file()), self._outside / path.name)

    def source(self, kind: str, name: str) -> tuple[ast.ClassDef, Path] | None:
        """Return the definition of a class in the project's files as it is written, without importing it."""
        homes = [file for file in self._index(kind) if name in file.classes]
        return (homes[0].classes[name], homes[0].path) if len(homes) == 1 else None

    def exports(self, kind: str, name: str) -> bool:
        """Say whether an installed package that bare names may come from has `name`, without importing it."""
        return any(name in _exported_names(module) for module in FALLBACKS.get(kind, ()))

    def architecture(self, path: Path, name: str, where: str) -> Plugin:
        """Return the public callable `name` of an architecture file.

        Raises:
            PluginError: if the file cannot be imported or has no such callable.
        """
        module = self.architectures(path, where)
        target = getattr(module, name, None)
        if not callable(target) or name.startswith("_"):
            own = [key for key, value in vars(module).items() if _is_own(value, module.__name__, key)]
            raise PluginError(
                f"The architecture file {path} has no {name!r}.", where=where, wanted=name, choices=own
            )
        return Plugin(name, target, _place(target, path))

    def architectures(self, path: Path, where: str) -> ModuleType:
        """Return the imported architecture file.

        Raises:
            PluginError: if there is no such file, or it cannot be imported.
        """
        file = self.located(path)
        if not file.is_file():
            beside = [str(path.parent / other.name) for other in file.parent.glob("*.py")]
            raise PluginError(
                f"There is no architecture file {path}.", where=where, wanted=str(path), choices=beside
            )
        if path.suffix != ".py":
            raise PluginError(f"The architecture file {path} is no Python file.", where=where)
        return imports.import_file(file, self._module_name(file), where)

    def _module_name(self, path: Path) -> str:
        # As it lies in the project, before links are followed: relative imports go by this name.
        inside = path.absolute() if path.absolute().is_relative_to(self.project) else path.resolve()
        stem = path.stem.replace(".", "_")
        if not inside.is_relative_to(self.project):
            return f"jade_outside_{stem}"
        package = [self._package] if self._package else []
        return ".".join([*package, *inside.relative_to(self.project).parent.parts, stem])

    def _index(self, kind: str) -> list[_File]:
        if kind not in self._indexed:
            folder = self.project / "modules" / FOLDERS[kind]
            paths = (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)
            self._indexed[kind] = [_indexed(path, self._module_name(path)) for path in paths]
        return self._indexed[kind]

    def _from_file(self, file: _File, name: str, where: str) -> Plugin:
        target = getattr(imports.import_file(file.path, file.module, where), name, None)
        place = f"{file.path}:{file.classes[name].lineno}"
        if not inspect.isclass(target):
            raise PluginError(f"{name} in {file.path} is no class.", where=place)
        return Plugin(name, target, place)

    def _from_any(self, files: list[_File], name: str) -> Plugin | None:
        """Import every file and look again: a class may be made by code that parsing cannot follow."""
        for file in files:
            try:
                target = getattr(imports.import_file(file.path, file.module, ""), name, None)
            except PluginError:
                continue
            if _is_own_class(target, file.module):
                return Plugin(name, target, str(file.path))
        return None

    def _from_fallback(self, kind: str, name: str) -> Plugin | None:
        for module_name in FALLBACKS.get(kind, ()):
            if name in _exported_names(module_name):
                return Plugin(name, getattr(importlib.import_module(module_name), name), module_name)
        return None

    def _unknown(self, kind: str, name: str, where: str) -> JadeError:
        folder = self.project / "modules" / FOLDERS[kind]
        known = {known for file in self._index(kind) for known in file.classes if known[:1].isupper()}
        absent = "" if folder.is_dir() else " (there is no such folder)"
        hints = [f"looked in: {', '.join([f'{folder}{absent}', *FALLBACKS.get(kind, ())])}"]
        for other in FOLDERS:
            if other != kind and any(name in file.classes for file in self._index(other)):
                hints.append(f"modules/{FOLDERS[other]} has a class of this name.")
        hints += [
            f"{file.path} has {name!r}, but not as a class that is defined there."
            for file in self._index(kind)
            if name in file.others
        ]
        unread = [text for file in self._index(kind) if (text := _why_unread(file))]
        fallback = {near for module in FALLBACKS.get(kind, ()) for near in _exported_names(module)}
        near = nearest(name, fallback)
        # The class may well be in a file that was not read: one of torchvision's would lead astray.
        if near and not unread and not nearest(name, known):
            hints.insert(0, f"did you mean: {near}")
        place = " in the files that can be read" if any(file.broken for file in self._index(kind)) else ""
        return PluginError(
            f"There is no class {name!r} for {kind!r}{place}.",
            where=where,
            wanted=name,
            choices=known,
            hint="\n".join([*unread, *hints]),
        )


def _why_unread(file: _File) -> str | None:
    if file.broken:
        return f"not read: {file.path}: {file.broken}"
    try:
        imports.import_file(file.path, file.module, "")
    except PluginError as fault:
        return f"not imported: {file.path}: {fault.__cause__!r}"
    return None


_entered: Path | None = None


def _enter(project: Path) -> None:
    """Make `project` the folder from which `modules.…` is imported; forget what another one imported."""
    global _entered
    # Plugins import each other as modules.…, and so do the workers that unpickle them.
    if _entered != project:
        sys.path[:] = [entry for entry in sys.path if entry != str(_entered)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "modules"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        _entered = project
    if str(project) not in sys.path[:1]:
        sys.path.insert(0, str(project))


def _is_own_class(target: object, module: str) -> bool:
    """Say whether `target` is a class defined in `module`: an imported one does not count."""
    return inspect.isclass(target) and target.__module__ == module and not target.__name__.startswith("_")


def _is_own(target: object, module: str, name: str) -> bool:
    """Say whether an architecture file offers `target`: a public class or function that it defines."""
    return callable(target) and getattr(target, "__module__", None) == module and not name.startswith("_")


def _place(target: Any, path: Path) -> str:  # noqa: ANN401 - any callable
    try:
        return f"{inspect.getsourcefile(target) or path}:{inspect.getsourcelines(target)[1]}"
    except (OSError, TypeError):
        return str(path)


def _indexed(path: Path, module: str) -> _File:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"), str(path))
    except SyntaxError as error:
        return _File(path, module, {}, error.msg + (f" (line {error.lineno})" if error.lineno else ""))
    except (OSError, ValueError) as error:
        return _File(path, module, {}, str(error))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    values = {
        t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }
    return _File(path, module, dict(_top_level_classes(tree.body)), others=frozenset(functions | values))


def _top_level_classes(body: list[ast.stmt]) -> Iterator[tuple[str, ast.ClassDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.If):
            yield from _top_level_classes([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [inner for handler in node.handlers for inner in handler.body]
            yield from _top_level_classes([*node.body, *handlers, *node.orelse, *node.finalbody])


def _exported_names(module: str) -> set[str]:
    """Return the public names of an installed package by reading its `__init__`, without importing it."""
    package, _, _ = module.partition(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return set()
    init = Path(spec.origin).parent.joinpath(*module.split(".")[1:], "__init__.py")
    names: set[str] = set()
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            inner = init.parent / f"{node.module}.py"
            names |= _all_of(ast.parse(inner.read_text(encoding="utf-8")))
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


def _all_of(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ):
            return set(ast.literal_eval(node.value))
    return {name for name, _ in _top_level_classes(tree.body)}


def _installed(name: str, where: str) -> Plugin:
    module_name, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(
            f"{name!r} is no name of a class.",
            where=where,
            hint="Write a class of modules/, or package.module.Class.",
        )
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise PluginError(f"{module_name!r} of {name!r} cannot be imported: {reason}", where=where) from error
    target = getattr(module, attribute, None)
    if not callable(target):
        public = [key for key in dir(module) if not key.startswith("_") and callable(getattr(module, key))]
        near = nearest(attribute, public)
        there = hasattr(module, attribute)
        raise PluginError(
            f"{name} is no class." if there else f"{module_name} has no {attribute!r}.",
            where=where,
            hint=f"did you mean: {module_name}.{near}" if near and not there else None,
        )
    return Plugin(name, target, module_name)
