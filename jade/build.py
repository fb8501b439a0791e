"""One description and the runtime scope become one instance, its call checked first.

Classes come from `plugins`; what a class must offer is said in `trainer` and `eval`. `experiment` calls this.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jade import calls, scalars
from jade.errors import ConfigError, ContractError, JadeError, PluginError, nearest, raise_all
from jade.plugins import Plugin, Plugins

# What JADE hands to a Trainer or an Evaluation itself: no param may have such a name.
SCOPE = ("datasets", "architecture", "trainer", "device")

Where = Callable[[str], str]


class Builder:
    """Builds what descriptions describe.

    Args:
        plugins: where classes are found.
        where: gives the place of a dotted key, for errors.
    """

    def __init__(self, plugins: Plugins, where: Where) -> None:
        self._plugins = plugins
        self._where = where

    def check(
        self,
        kind: str,
        key: str,
        description: Mapping[str, Any],
        method: str | None = None,
        extra: tuple[str, ...] = (),
    ) -> list[JadeError]:
        """Return all that is wrong with a description, without building anything.

        Args:
            kind: "model", "data" or "eval".
            key: the description's dotted key.
            description: `{"class": …, "params": …}`.
            method: the method that takes the params; None for the constructor.
            extra: names of params that JADE takes for itself.
        """
        try:
            plugin = self._plugins.find(kind, description["class"], self._where(f"{key}.class"))
        except JadeError as fault:
            return [fault]
        if method and not inspect.isclass(plugin.target):
            where = self._where(f"{key}.class")
            return [PluginError(f"{plugin.name} is no class, so it cannot be a {kind}.", where=where)]
        found = list(self._faults_inside(kind, f"{key}.params", description["params"]))
        return found + list(self._call_faults(plugin, key, description["params"], method, extra))

    def check_unimported(self, kind: str, key: str, description: Mapping[str, Any]) -> list[JadeError]:
        """Return what is wrong with a description as far as that shows without importing its class.

        A dataset that no trainer and no evaluation asks for must cost nothing: importing torchvision takes
        seconds. What does not show here shows when the dataset is built.
        """
        name, params = description["class"], description["params"]
        written = self._plugins.source(kind, name)
        if written is None and ("." in name or self._plugins.exports(kind, name)):
            return []
        if written is None:
            return self.check(kind, key, description)
        takes = calls.accepted_by_source(written[0])
        return list(self._param_faults(name, takes, key, params)) if takes else []

    def _call_faults(
        self, plugin: Plugin, key: str, params: Mapping[str, Any], method: str | None, extra: tuple[str, ...]
    ) -> Iterator[JadeError]:
        taken = (
            calls.accepted_by_method(plugin.target, method) if method else calls.accepted_by(plugin.target)
        )
        own = {name: value for name, value in params.items() if name not in extra or name in taken.names}
        if method and own and _inherits(plugin.target, method):
            return iter([self._without_method(plugin, key, method)])
        known = calls.Accepted((*taken.names, *extra), taken.required, taken.anything)
        return self._param_faults(plugin.name, known, key, own, SCOPE if method else ())

    def _without_method(self, plugin: Plugin, key: str, method: str) -> JadeError:
        own = [name for name in vars(plugin.target) if not name.startswith("_")]
        near = nearest(method, own)
        return PluginError(
            f"{plugin.name} defines no {method}, which would take the params.",
            where=f"{plugin.place}, described at {self._where(f'{key}.params')}",
            hint=f"It has {near!r}: rename it to {method!r}." if near else f"def {method}(self, …): …",
        )

    def _param_faults(
        self,
        what: str,
        takes: calls.Accepted,
        key: str,
        params: Mapping[str, Any],
        reserved: tuple[str, ...] = (),
    ) -> Iterator[JadeError]:
        for name in params:
            only = calls.Accepted(takes.names, (), takes.anything)
            yield from calls.faults(what, only, {name: None}, self._where(f"{key}.params.{name}"), reserved)
        needed = calls.Accepted((), takes.required, anything=True)
        yield from calls.faults(what, needed, params, self._where(f"{key}.params"))

    def _faults_inside(self, kind: str, key: str, value: object) -> Iterator[JadeError]:
        if isinstance(value, Mapping) and is_description(value):
            params = value.get("params") or {}
            if isinstance(params, Mapping):
                yield from self.check(kind, key, {"class": value["class"], "params": params})
                return
            yield ConfigError(
                f"params is {scalars.kind_of(params)}; a mapping of names to values is expected.",
                where=self._where(f"{key}.params"),
            )
            return
        for name, inner in _items(value):
            yield from self._faults_inside(kind, key + name, inner)

    def find(self, kind: str, key: str, description: Mapping[str, Any]) -> Plugin:
        """Return the class of a description."""
        return self._plugins.find(kind, description["class"], self._where(f"{key}.class"))

    def params(self, kind: str, key: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of `params` in which every nested description is built."""
        return {name: self._built(kind, f"{key}.{name}", value) for name, value in params.items()}

    def create(self, kind: str, key: str, description: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any object
        """Return the instance that a description describes; its constructor takes the params.

        Raises:
            JadeError: if the class is not found or takes other params; all faults at once.
        """
        raise_all(self.check(kind, key, description))
        plugin = self.find(kind, key, description)
        params = self.params(kind, f"{key}.params", description["params"])
        with building(key, plugin, self._where(key)):
            return plugin.target(**params)

    def dataset(self, name: str, description: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any dataset
        """Return the dataset that the data file describes under `name`."""
        return self.create("data", f"data.{name}", description)

    def _built(self, kind: str, key: str, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if is_description(value):
            return self.create(kind, key, {"class": value["class"], "params": value.get("params") or {}})
        if isinstance(value, dict):
            return {name: self._built(kind, f"{key}.{name}", inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._built(kind, f"{key}[{index}]", inner) for index, inner in enumerate(value)]
        return copy.deepcopy(value)


class building:  # noqa: N801 - reads as a statement: `with building(...)`
    """Adds to a user's exception what was being built, from which file and line; never replaces it."""

    def __init__(self, key: str, plugin: Plugin, where: str) -> None:
        self._note = f"while building {key}: {plugin.name} from {plugin.place}, described at {where}"
        self._folder = str(Path(plugin.place.rpartition(":")[0]).parent)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        meant = calls.explain(error, self._folder) if not isinstance(error, JadeError) else None
        if meant:
            error.add_note(meant)
        error.add_note(self._note)


class Architectures:
    """The classes of the architecture file, built by name with checked params.

    Args:
        plugins: where the file is imported.
        path: the architecture file.
        where: the place that names it.
    """

    def __init__(self, plugins: Plugins, path: Path, where: str) -> None:
        self._plugins = plugins
        self._path = path
        self._where = where

    def create(self, name: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any object
        """Return the instance of the file's callable `name`, given `params`.

        Raises:
            PluginError: if the file has no such callable or it takes other parameters.
        """
        if not isinstance(name, str):
            raise PluginError(
                f"{name!r} is no name of an architecture.", hint="instantiate_architecture('Encoder', …)"
            )
        plugin = self._plugins.architecture(self._path, name, self._where)
        raise_all(list(calls.faults(name, calls.accepted_by(plugin.target), params, plugin.place)))
        with building(f"architecture {name}", plugin, self._where):
            return plugin.target(**params)


class Datasets(Mapping[str, Any]):
    """The datasets of the data file, each built when it is first asked for, and kept.

    Args:
        descriptions: name to description.
        create: builds the dataset of a name and its description.
        where: the data file, for errors.
    """

    def __init__(
        self,
        descriptions: Mapping[str, Any],
        create: Callable[[str, Mapping[str, Any]], Any],
        where: str,
    ) -> None:
        self._descriptions = descriptions
        self._create = create
        self._where = where
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - any dataset
        if not isinstance(name, str) or name not in self._built:
            self._built[name] = self._new(name)
        return self._built[name]

    def _new(self, name: str) -> Any:  # noqa: ANN401 - any dataset
        if not isinstance(name, str) or name not in self._descriptions:
            raise ConfigError(
                f"There is no dataset {name!r}.",
                where=self._where,
                wanted=str(name),
                choices=self._descriptions,
            )
        dataset = self._create(name, self._descriptions[name])
        if (
            hasattr(dataset, "__getitem__")
            and not hasattr(dataset, "__len__")
            and not hasattr(dataset, "__iter__")
        ):
            raise ContractError(
                f"The dataset {name!r} is a {type(dataset).__name__}, which has no __len__.",
                where=self._where,
                hint="Add to the class:\n  def __len__(self):\n      return …  # how many items it has",
            )
        return dataset

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._descriptions

    def __iter__(self) -> Iterator[str]:
        return iter(self._descriptions)

    def __len__(self) -> int:
        return len(self._descriptions)

    def __repr__(self) -> str:
        return f"<Datasets {', '.join(self._descriptions)}>"

    def lengths(self) -> dict[str, int | None]:
        """Return how many items each dataset has that was built; None where that cannot be told."""
        return {name: _length(dataset) for name, dataset in self._built.items()}

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any dataset
        """Return the dataset called `name`, or `default` if the data file has none of that name."""
        return self[name] if name in self else default  # noqa: SIM401 - this is what it would call


def _length(dataset: Any) -> int | None:  # noqa: ANN401 - any dataset
    try:
        return len(dataset)
    except Exception:  # noqa: BLE001 - one that can only be gone through, and says so in its own way
        return None


def _inherits(cls: type, method: str) -> bool:
    """Say whether `cls` has only the empty `method` of JADE's base class."""
    home = next((owner for owner in cls.__mro__ if method in vars(owner)), object)
    accepted = calls.accepted_by_method(home, method) if home is not object else None
    return home.__module__.startswith("jade.") and accepted is not None and not accepted.names


def is_description(value: object) -> bool:
    """Say whether a param is written as `{class: …}` or `{class: …, params: …}`, and so is built."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("class"), str)
        and set(value) <= {"class", "params"}
    )


def _items(value: object) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f".{name}", inner) for name, inner in value.items()]
    return [(f"[{index}]", inner) for index, inner in enumerate(value)] if isinstance(value, list) else []
