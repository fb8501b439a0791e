"""Which address shows which page. The addresses are those that the client prints, and JSON beside them.

`http` lets a request in, and asks `pages` what is behind the doors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jade.server.context import Context, Parts
from jade.server.web import (
    addresses,
    project_page,
    projects_page,
    responses,
    run_data,
    run_page,
    static_files,
    sweep_page,
)
from jade.server.web.unchanged import Unchanged

Answer = Callable[[Context, Request], Response]

_PROJECT = "/{entity}/{project}"
_RUN = f"{_PROJECT}/runs/{{run}}"
# What W&B has beside a project's own page; the client links to some of it, with more behind it.
_BESIDE = ("workspace", "overview", "sweeps", "runs", "table", "artifacts", "reports", "jobs")


@dataclass(frozen=True)
class Page:
    """An address, with names in braces, and what answers a GET of it."""

    path: str
    answer: Callable[[Request], Response]


def pages(parts: Parts) -> list[Page]:
    """Return all pages of a server, the first that fits an address answers it."""
    known: list[tuple[str, Answer]] = [
        ("/", projects_page.show),
        ("/static/{name}", static_files.show),
        (_PROJECT, project_page.show),
        (f"{_PROJECT}/sweeps/{{sweep}}", sweep_page.show),
        (f"{_PROJECT}/sweeps/{{sweep}}/trials.json", sweep_page.trials),
        (f"{_PROJECT}/sweeps/{{sweep}}/curves.json", sweep_page.curves),
        (f"{_PROJECT}/compare", run_data.compare),
        (_RUN, run_page.show),
        *((_RUN + below, answer) for below, answer in run_data.pages()),
        *((f"{_PROJECT}/{name}", _to_the_project) for name in _BESIDE),
        *((f"{_PROJECT}/{name}/{{more:path}}", _to_the_project) for name in _BESIDE),
        ("/{entity}", projects_page.show),
    ]
    unchanged = Unchanged(lambda: parts.store.commits, parts.now)

    def page(path: str, answer: Answer) -> Page:
        def answered(request: Request) -> Response:
            context = Context(parts, str(request.base_url).rstrip("/"))
            response = unchanged.answer(request, lambda: answer(context, request))
            return responses.guarded(response)

        return Page(path, answered)

    return [page(path, answer) for path, answer in known]


def _to_the_project(context: Context, request: Request) -> Response:
    path = request.path_params
    return RedirectResponse(addresses.project(path["entity"], path["project"]), 302)


def nothing(request: Request) -> Response:
    """Return the page for an address that shows nothing."""
    return responses.guarded(responses.nothing(request, "This server has no page at this address."))
