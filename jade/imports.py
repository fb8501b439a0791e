"""Import one file of a project, and explain a failure with the user's own traceback.

Which file to import is decided by `plugins`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from jade import isolated
from jade.errors import PluginError, nearest


def import_file(path: Path, name: str, where: str) -> ModuleType:
    """Import one file under its dotted name, by which other modules and unpickling workers find it, too.

    Args:
        path: the Python file.
        name: its dotted name from the project's folder, which is on `sys.path`.
        where: the place that asks for it, for errors.

    Raises:
        PluginError: with the file's own traceback, and the right form of a mistaken import from JADE.
    """
    file = str(path.absolute())
    try:
        module = _named(name, file) or _from_path(name, file)
    except (Exception, SystemExit) as error:
        raise PluginError(_import_failure(path, error), where=where or None, hint=_slip(path)) from error
    return module


def _named(name: str, file: str) -> ModuleType | None:
    if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
        return None
    if Path(file).stem != name.rpartition(".")[2]:  # a dot in the file's name, which no import can say
        return None
    module = importlib.import_module(name)
    found = getattr(module, "__file__", None)
    return module if found and Path(found).samefile(file) else None


def _from_path(name: str, file: str) -> ModuleType:
    present = sys.modules.get(name)
    if present is not None and getattr(present, "__file__", None) == file:
        return present
    if present is not None or "." not in name:
        # The name belongs to something installed, which must go on to be what it is.
        name = f"jade_file_{Path(file).stem}_{hashlib.sha256(file.encode()).hexdigest()[:8]}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file, loader=isolated.loader(name, file))
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_failure(path: Path, error: BaseException) -> str:
    # The user's own frames only: how JADE came to import the file says nothing to them.
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    lines = traceback.format_list(own) + traceback.format_exception_only(error)
    return (
        f"{path} cannot be imported.\n"
        + "".join(f"  | {line}" for line in "".join(lines).splitlines(True)).rstrip()
    )


def _slip(path: Path) -> str | None:
    """Return the right form of an import from JADE that cannot work, if `path` holds one."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except (SyntaxError, ValueError, OSError):
        return None
    for node in ast.walk(tree):
        written = _mended(node)
        if written:
            return f"{path}:{node.lineno}: write {written}"  # type: ignore[attr-defined]
    return None


def _mended(node: ast.AST) -> str | None:
    """Return the right form of one import statement, or None if there is nothing to mend."""
    if isinstance(node, ast.Import):
        wrong = [alias.name for alias in node.names if _is_core(alias.name)]
        return f"import jade{wrong[0].removeprefix('core')}" if wrong else None
    if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
        return None
    module = "jade" + node.module.removeprefix("core") if _is_core(node.module) else node.module
    return _import_mended(module, node) if module == "jade" or module.startswith("jade.") else None


def _is_core(module: str) -> bool:
    return (module == "core" or module.startswith("core.")) and importlib.util.find_spec("core") is None


def _import_mended(module: str, node: ast.ImportFrom) -> str | None:
    try:
        there = vars(importlib.import_module(module))
    except ImportError:
        module, there = "jade", {}
    public = importlib.import_module("jade").__all__
    mended: list[str] = []
    for alias in node.names:
        offered = public if module == "jade" else [key for key in there if not key.startswith("_")]
        near = alias.name if alias.name in offered else nearest(alias.name, offered)
        if near is None:
            return None
        mended.append(f"{near} as {alias.asname}" if alias.asname else near)
    before = [f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in node.names]
    written = f"from {module} import {', '.join(mended)}"
    return written if (module, mended) != (node.module, before) else None
