"""Where the pages are, as the client prints it; names may hold spaces, quotes and percent signs."""

from __future__ import annotations

from urllib.parse import quote

HOME = "/"


def entity(name: str) -> str:
    """Return where the projects of an entity are."""
    return f"/{_quoted(name)}"


def project(entity: str, name: str) -> str:
    """Return where a project is."""
    return f"/{_quoted(entity)}/{_quoted(name)}"


def sweep(entity: str, project_name: str, name: str) -> str:
    """Return where a sweep is."""
    return f"{project(entity, project_name)}/sweeps/{_quoted(name)}"


def run(entity: str, project_name: str, name: str) -> str:
    """Return where a run is."""
    return f"{project(entity, project_name)}/runs/{_quoted(name)}"


def compare(entity: str, project_name: str) -> str:
    """Return where a form leads that names some runs, to see their curves together."""
    return f"{project(entity, project_name)}/compare"


def run_file(run_address: str, name: str) -> str:
    """Return where a file of a run is downloaded."""
    return f"{run_address}/file/{quote(name)}"


def run_image(run_address: str, name: str) -> str:
    """Return where an image of a run is shown."""
    return f"{run_address}/image/{quote(name)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
