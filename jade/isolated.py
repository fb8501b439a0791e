"""A run's copy of its code, imported under a name of its own beside whatever else is imported.

The copy becomes a package, `jade_stored_<digest>`. Within it, `from modules.… import …` means the copy's own
`modules`, whichever other `modules` the process has: each module gets builtins of its own, whose `__import__`
leads there, also from within functions that are called later. What is looked up by its name, through
`importlib`, `pkgutil`, `pydoc`, `runpy`, `pickle` or `sys.modules`, is led there as well.

Only source that is as it was when the copy was entered is imported: what was trusted is what is executed,
also in a function that imports an hour later, from a folder that was fetched anew meanwhile.

An object of such a class unpickles in a spawned process: the package lies on `sys.path`, which the process is
given, as a file of two lines that says where the copy is.
"""

from __future__ import annotations

import atexit
import builtins
import hashlib
import importlib
import importlib.util
import io
import logging
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import cache, partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

PREFIX = "jade_stored_"
DIGITS = 32  # so many that nobody finds other code of the same name

_homes: dict[str, Path] = {}
_contents: dict[str, Mapping[str, str]] = {}
_log = logging.getLogger(__name__)


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a copy of code by its path in it, with `/`, sorted.

    The bytecode that Python puts beside what it imports is left out: it is never read.
    """
    paths = (path for path in folder.rglob("*") if path.is_file() and not _is_bytecode(path))
    found = {path.relative_to(folder).as_posix(): _digest(path.read_bytes()) for path in paths}
    return dict(sorted(found.items()))


def digest_of(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of a copy of code: of the path and contents of each of its files."""
    return _digest("".join(f"{name}\0{digest}\0" for name, digest in sorted(files.items())).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_bytecode(path: Path) -> bool:
    return path.parent.name == "__pycache__" and path.suffix == ".pyc"


def enter(folder: Path, files: Mapping[str, str]) -> str:
    """Return the name of the package that a copy of code is imported as; none of it is imported yet.

    Args:
        folder: the copy.
        files: its `contents`; copies with the same ones are the same package. A file that has become another
            one since is not imported.
    """
    name = f"{PREFIX}{digest_of(files)[:DIGITS]}"
    if name in _homes and contents(_homes[name]) == files:
        return name
    # Its copy was deleted, or is of something else by now: what it has yet to import is in this one.
    for known in [known for known in sys.modules if known.partition(".")[0] == name]:
        del sys.modules[known]
    stubs = _stubs()
    if str(stubs) not in sys.path:
        sys.path.append(str(stubs))
    package = stubs / name
    package.mkdir(exist_ok=True)
    said = f"{str(folder.absolute())!r}, {dict(files)!r}"
    text = f"from jade import isolated\n\nisolated.settle(__name__, {said})\n"
    (package / "__init__.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    importlib.import_module(name)
    return name


def home(package: str) -> Path:
    """Return the folder that a package is imported from: of several equal copies the first."""
    return _homes[package]


def settle(name: str, folder: str, files: Mapping[str, str]) -> None:
    """Make the package `name`, which is being imported, that of a copy; called by the file on `sys.path`."""
    _homes[name], _contents[name] = Path(folder), files
    sys.modules[name].__path__ = [folder]
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def holds(package: str, name: str) -> bool:
    """Say whether a dotted name is one of a copy's own modules, or is below one."""
    top = name.partition(".")[0]
    folder = _homes[package]
    # A run's `modules` are never those of another folder, even where it had none.
    return top == "modules" or (folder / top).is_dir() or (folder / f"{top}.py").is_file()


def loader(name: str, file: str) -> Loader | None:
    """Return what loads a file under a name, if that is in a copy; None if it is not."""
    return _Loader(name, file) if name.partition(".")[0] in _homes else None


@cache
def _stubs() -> Path:
    """Return the folder of the packages' own files, which lasts as long as this process."""
    folder, owner = tempfile.mkdtemp(prefix="jade-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and no child of it, which has all of this as well
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Path(folder)


class _Finder(MetaPathFinder):
    """Finds the modules of copies; keeps their code from finding other ones under the same names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, inner = fullname.partition(".")
        if package not in _homes:
            asking = _asking()
            if asking is not None and holds(asking, fullname):
                raise ModuleNotFoundError(
                    f"{fullname!r} is asked for by the name that it had when the run was trained; here it is"
                    f" {asking}.{fullname}",
                    name=fullname,
                )
            return None
        spec = PathFinder.find_spec(fullname, path) if inner else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        elif spec is not None and spec.origin is not None:
            raise ImportError(f"{spec.origin} is no source: of a run's code nothing else is imported")
        return spec


def _asking() -> str | None:
    """Return the package of the copy whose code has led to the present import, if one has."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _homes:
            return package
        if frame.f_code is _import.__code__:  # it has been led to where it belongs
            return None
        frame = frame.f_back
    return None


class _Loader(SourceFileLoader):
    """Loads a file of a copy; reads no bytecode, which may be of another text, and writes none."""

    def __init__(self, fullname: str, path: str, package: str | None = None) -> None:
        super().__init__(fullname, path)
        self._package = package or fullname.partition(".")[0]

    def get_code(self, fullname: str) -> CodeType:
        data = self.get_data(self.path)
        if _contents[self._package].get(_inside(self._package, self.path)) != _digest(data):
            raise ImportError(f"{self.path} is not what it was when the run was opened: open it again")
        return self.source_to_code(data, self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = _builtins(self._package)
        super().exec_module(module)


def _inside(package: str, file: str) -> str:
    path = Path(file)
    return path.relative_to(_homes[package]).as_posix() if path.is_relative_to(_homes[package]) else ""


@cache
def _builtins(package: str) -> dict[str, Any]:
    return {**vars(builtins), "__import__": partial(_import, package)}


def _import(
    package: str,
    name: str,
    namespace: Mapping[str, Any] | None = None,
    local: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """Do what an import statement does in a module of the copy `package`."""
    if level == 0 and holds(package, name):
        _named(package, name)
        if not fromlist:
            return sys.modules[f"{package}.{name.partition('.')[0]}"]
        return builtins.__import__(f"{package}.{name}", namespace, local, fromlist, 0)
    module = builtins.__import__(name, namespace, local, fromlist or (), level)
    if level == 0:
        _tell_of_present_code(package, name.partition(".")[0])
        found: ModuleType = _led(package, module)
        return found
    return module


def _named(package: str, name: str) -> ModuleType:
    """Import a module of the copy by the name that its code has for it."""
    try:
        return importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        missing = str(error.name).removeprefix(f"{package}.")
        if missing == error.name:
            raise
        raise ModuleNotFoundError(
            f"No module named {missing!r} in the run's copy of its code, {_homes[package]}", name=missing
        ) from error


_told: set[tuple[str, str]] = set()


def _tell_of_present_code(package: str, top: str) -> None:
    """Say where the code of a run takes a module from the present folder, for the copy does not have it."""
    if (package, top) in _told:
        return
    _told.add((package, top))
    file = getattr(sys.modules.get(top), "__file__", None)
    if top == "jade" or not file or not Path(file).is_relative_to(Path.cwd()):
        return
    if not any(part.startswith(".") or part == "site-packages" for part in Path(file).parts):
        _log.warning("%s is not in the copy of the run's code: that of %s is used.", top, file)


# What is looked up by its name in a text.


class _Led(ModuleType):
    """A module of the standard library some of whose functions look into a copy first."""

    def __init__(self, package: str, module: ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(_INSTEAD[module.__name__](_Instead(package)), _package=package, _module=module)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return _led(self.__dict__["_package"], getattr(self.__dict__["_module"], name))

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - as `sys.stdout`
        setattr(self.__dict__["_module"], name, value)


def _led(package: str, module: Any) -> Any:  # noqa: ANN401 - a module, or what one has
    if not isinstance(module, ModuleType) or module.__name__ not in _INSTEAD:
        return module
    return _led_once(package, module.__name__)


@cache
def _led_once(package: str, name: str) -> _Led:
    return _Led(package, sys.modules[name])


class _Instead:
    """The functions that the code of a copy is given instead of those that look a name up."""

    def __init__(self, package: str) -> None:
        self.package = package

    def inside(self, name: Any) -> Any:  # noqa: ANN401 - a name, or what stands where one may
        return f"{self.package}.{name}" if isinstance(name, str) and holds(self.package, name) else name

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        whole = importlib.util.resolve_name(name, package)
        return _named(self.package, whole) if holds(self.package, whole) else importlib.import_module(whole)

    def find_spec(self, name: str, package: str | None = None) -> ModuleSpec | None:
        return importlib.util.find_spec(self.inside(importlib.util.resolve_name(name, package)))

    def spec_from_file_location(self, name: str, *args: Any, **options: Any) -> ModuleSpec | None:  # noqa: ANN401
        spec = importlib.util.spec_from_file_location(name, *args, **options)
        plain = spec.loader if spec is not None and type(spec.loader) is SourceFileLoader else None
        if spec is not None and plain is not None and _inside(self.package, plain.path):
            spec.loader = _Loader(plain.name, plain.path, self.package)
        return spec

    def taking(self, module: str, *functions: str) -> dict[str, Callable[..., Any]]:
        """Return functions whose first argument is a dotted name."""
        return {name: self._taking(getattr(importlib.import_module(module), name)) for name in functions}

    def _taking(self, found: Callable[..., Any]) -> Callable[..., Any]:
        return lambda name, *args, **kwargs: found(self.inside(name), *args, **kwargs)

    def unpickling(self) -> dict[str, Any]:
        """Return what reads pickles: an object of `modules.…` is one of the copy's classes."""
        known = self

        class Unpickler(pickle.Unpickler):
            def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - any class
                return super().find_class(known.inside(module), name)

        return {
            "Unpickler": Unpickler,
            "load": lambda file, **options: Unpickler(file, **options).load(),
            "loads": lambda data, **options: Unpickler(io.BytesIO(data), **options).load(),
        }


class _Modules(MutableMapping[str, ModuleType]):
    """`sys.modules` as the code of a copy sees it."""

    def __init__(self, known: _Instead) -> None:
        self._inside = known.inside

    def __getitem__(self, name: str) -> ModuleType:
        return sys.modules[self._inside(name)]

    def __setitem__(self, name: str, module: ModuleType) -> None:
        sys.modules[self._inside(name)] = module

    def __delitem__(self, name: str) -> None:
        del sys.modules[self._inside(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(sys.modules.copy())

    def __len__(self) -> int:
        return len(sys.modules)


_RESOURCES = (
    "files",
    "contents",
    "is_resource",
    "open_binary",
    "open_text",
    "path",
    "read_binary",
    "read_text",
)
_INSTEAD: dict[str, Callable[[_Instead], dict[str, Any]]] = {
    "importlib": lambda known: {
        "import_module": known.import_module,
        "__import__": partial(_import, known.package),
    },
    "importlib.resources": lambda known: known.taking("importlib.resources", *_RESOURCES),
    "importlib.util": lambda known: {
        "find_spec": known.find_spec,
        "spec_from_file_location": known.spec_from_file_location,
    },
    "builtins": lambda known: {"__import__": partial(_import, known.package)},
    "pickle": lambda known: known.unpickling(),
    "pkgutil": lambda known: known.taking("pkgutil", "resolve_name", "get_data"),
    "pydoc": lambda known: known.taking("pydoc", "locate"),
    "runpy": lambda known: known.taking("runpy", "run_module"),
    "sys": lambda known: {"modules": _Modules(known)},
}
