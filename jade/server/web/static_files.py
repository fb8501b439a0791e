"""The scripts and styles of the pages: files of this package, read once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from jade.server.context import Context
from jade.server.web import responses

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@functools.cache
def _known() -> Mapping[str, bytes]:
    folder = files("jade.server.web") / "static"
    found = {one.name: one for one in folder.iterdir() if one.name.rpartition(".")[2] in _TYPES}
    return MappingProxyType({name: one.read_bytes() for name, one in found.items()})


def show(context: Context, request: Request) -> Response:
    """Return one file; which there are is known beforehand, so that a name cannot lead elsewhere."""
    name = request.path_params["name"]
    body = _known().get(name)
    if body is None:
        return responses.nothing(request, f"This server has no file {name}.")
    return responses.versioned(request, body, _TYPES[name.rpartition(".")[2]])
