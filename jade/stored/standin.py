"""Datasets of a stored run whose data may not be here: in their place something of the same length.

A trainer asks a dataset for its length when it builds its loader; it must be there for that alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from torch.utils.data import Dataset, IterableDataset

from jade.build import Datasets
from jade.errors import AbsentDataError, first_line

_log = logging.getLogger(__name__)


class AbsentAttributeError(AbsentDataError, AttributeError):
    """An attribute was asked for of a dataset whose data are not on this machine."""


class _Absent:
    """What stands in for a dataset."""

    def __init__(self, name: str, length: int | None, reason: str) -> None:
        self._name = name
        self._length = length
        self._reason = reason

    def _refuse(self, what: str, kind: type[AbsentDataError] = AbsentDataError) -> NoReturn:
        raise kind(
            f"The data of {self._name!r} are not here, so {what}.",
            where=f"data.{self._name}",
            hint=f"What was tried: {self._reason}\n"
            "Variables that the run's data file names, such as DATA_ROOT, say where data are.",
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"its attribute {name!r} is not known", AbsentAttributeError)

    def __repr__(self) -> str:
        return f"<{self._length} items of {self._name!r}, which are not here>"


class StandIn(_Absent, Dataset[Any]):
    """Has the length of a dataset that the run used, and none of its items.

    Args:
        name: of the dataset in the data file.
        length: number of its items; None if the run did not say.
        reason: why the dataset itself could not be built.
    """

    def __len__(self) -> int:
        if self._length is None:
            self._refuse("its length is not known")
        return self._length

    def __getitem__(self, index: Any) -> NoReturn:  # noqa: ANN401 - any index
        self._refuse("there are no items")


class IterableStandIn(_Absent, IterableDataset[Any]):
    """Stands for a dataset that has no length."""

    def __iter__(self) -> Iterator[Any]:
        self._refuse("there are no items")


def lenient(
    descriptions: Mapping[str, Any],
    create: Callable[[str, Mapping[str, Any]], Any],
    where: str,
    recorded: Mapping[str, Any],
    *,
    compared: bool = True,
) -> Datasets:
    """Return datasets of which those that cannot be built have stand-ins; none is downloaded.

    Args:
        descriptions: name to description.
        create: builds the dataset of a name and its description.
        where: the data file, for errors.
        recorded: for each dataset that the run used, `{"length": …}`, None for one that has none.
        compared: whether a length that is another one is told.
    """

    def built(name: str, description: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any dataset
        try:
            dataset = create(name, _without_download(description))
        except Exception as error:  # noqa: BLE001 - whatever a dataset raises that does not find its files
            return _stand_in(name, recorded.get(name), error)
        if compared:
            _compare(name, dataset, recorded.get(name))
        return dataset

    return Datasets(descriptions, built, where)


def _stand_in(name: str, known: object, error: Exception) -> StandIn | IterableStandIn:
    reason = f"{type(error).__name__}: {first_line(error)}"
    length = known.get("length") if isinstance(known, Mapping) else None
    _log.warning("The data of %r are not here (%s): only how many there were is known.", name, reason)
    if isinstance(known, Mapping) and length is None:
        return IterableStandIn(name, None, reason)
    return StandIn(name, length, reason)


def _compare(name: str, dataset: Any, known: object) -> None:  # noqa: ANN401 - any dataset
    length = known.get("length") if isinstance(known, Mapping) else None
    if length is not None and hasattr(dataset, "__len__") and len(dataset) != length:
        _log.warning("%r has %d items here; the run had %d.", name, len(dataset), length)


def _without_download(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description that fetches nothing, by the name that torchvision's datasets give to that."""
    return {**description, "params": _not_fetching(description["params"])}


def _not_fetching(value: Any) -> Any:  # noqa: ANN401 - any param, in which datasets may be described as well
    if isinstance(value, Mapping):
        return {
            key: False if key == "download" and isinstance(inner, int) else _not_fetching(inner)
            for key, inner in value.items()
        }
    return [_not_fetching(inner) for inner in value] if isinstance(value, list) else value
