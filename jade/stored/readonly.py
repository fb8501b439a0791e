"""Dictionaries and lists that nobody can change: a stored run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError("The configuration of a stored run cannot be changed; dict(…) makes a copy of a part.")


class ReadOnlyDict(dict[str, Any]):
    """A dictionary as it was made."""

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Give copies, and other processes, a dictionary of their own."""
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A list as it was made."""

    __setitem__ = __delitem__ = append = extend = insert = pop = _refuse
    remove = clear = sort = reverse = __iadd__ = __imul__ = _refuse

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Give copies, and other processes, a list of their own."""
        return list, (list(self),)


def frozen(value: Any) -> Any:  # noqa: ANN401 - any YAML or JSON value
    """Return a copy of a nested value that cannot be changed; it compares and prints as before."""
    if isinstance(value, Mapping):
        return ReadOnlyDict({key: frozen(inner) for key, inner in value.items()})
    return ReadOnlyList(map(frozen, value)) if isinstance(value, list | tuple) else value
