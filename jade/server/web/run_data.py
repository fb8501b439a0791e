"""What lies beside a run's page: points of curves, images by step, files, all that was printed."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Iterator

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from jade.server.context import Context
from jade.server.runs import CONSOLE, RefusedError
from jade.server.web import (
    addresses,
    console,
    responses,
    run_compare,
    run_curves,
    run_files,
    run_images,
    run_lookup,
)
from jade.server.web.run_lookup import Subject

Answer = Callable[[Context, Request, Subject], Response]

MOST_KEYS = 32  # whose curves are asked for at once
_TEXT_AT_ONCE = 256 << 10  # characters of what was printed
# Pages of W&B beside that of a run, and where on ours the same is.
_SECTIONS = {
    "overview": "", "workspace": "#curves", "charts": "#curves", "logs": "#console", "files": "#files",
    "artifacts": "#artifacts", "config": "#config", "summary": "#summary", "media": "#images",
}  # fmt: skip


def pages() -> list[tuple[str, Callable[[Context, Request], Response]]]:
    """Return the addresses below that of a run, and what answers them; the first that fits does."""
    return [
        ("/curve.json", _of_a_run(_curve)),
        ("/images.json", _of_a_run(_images)),
        ("/runs.json", _of_a_run(_runs)),
        ("/log.txt", _of_a_run(_log)),
        ("/file/{name:path}", _of_a_run(_file)),
        ("/image/{name:path}", _of_a_run(_image)),
        ("/{section}", _of_a_run(_to_the_section)),
        ("/{section}/{more:path}", _of_a_run(_to_the_section)),
    ]


def compare(context: Context, request: Request) -> Response:
    """Lead to the page of the first run that a form names, with the others beside it."""
    path, names = request.path_params, request.query_params.getlist("run")
    if not names:
        project = path["entity"], path["project"]
        return responses.nothing(
            request,
            "No run is ticked: tick some in the table, then compare them.",
            (addresses.project(*project), " / ".join(project)),
        )
    own = addresses.run(path["entity"], path["project"], names[0])
    return RedirectResponse(run_compare.address(own, names[1:]), 302)


def _of_a_run(answer: Answer) -> Callable[[Context, Request], Response]:
    def answered(context: Context, request: Request) -> Response:
        of = run_lookup.subject(context.db, request.path_params)
        if of is None:
            return responses.nothing(request, f"This server has no run {request.path_params['run']} there.")
        return answer(context, request, of)

    return answered


def _curve(context: Context, request: Request, of: Subject) -> Response:
    """Return points of some metrics: of whole runs, or with `from` and `to` all those between."""
    query = request.query_params
    axis = query.get("axis", run_curves.AXES[0])
    if axis not in run_curves.AXES:
        raise RefusedError(f"Curves are drawn over {', '.join(run_curves.AXES)}, not {axis[:100]!r}.")
    keys = list(dict.fromkeys(query.getlist("key")))[:MOST_KEYS]
    beside = run_lookup.beside(context.db, of, query.getlist("with"))[: run_lookup.MOST_BESIDE]
    rows = [of.run, *beside]
    low, high = _end(query.get("from")), _end(query.get("to"))
    found = (
        run_curves.whole(context.db, [row["id"] for row in rows], keys, axis)
        if low is None or high is None
        else _within(context.db, rows, keys, axis, (low, high))
    )
    curves = {
        key: {row["name"]: vars(points) for row in rows if (points := of_key.get(row["id"]))}
        for key, of_key in found.items()
    }
    return responses.data(request, {"axis": axis, "curves": curves})


def _within(
    db: sqlite3.Connection, rows: list[sqlite3.Row], keys: list[str], axis: str, between: tuple[float, float]
) -> dict[str, dict[int, run_curves.Points]]:
    found = {row["id"]: run_curves.within(db, row["id"], keys, axis, between) for row in rows if keys}
    return {key: {run: of_run[key] for run, of_run in found.items()} for key in keys}


def _end(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _images(context: Context, request: Request, of: Subject) -> Response:
    own = addresses.run(of.project["entity"], of.project["name"], of.run["name"])
    shown = [
        {
            "key": one.key,
            "steps": [
                {
                    "at": step.at,
                    "images": [
                        {"src": addresses.run_image(own, image.name), "caption": image.caption}
                        for image in step.images
                    ],
                }
                for step in one.steps
            ],
        }
        for one in run_images.of_run(context.db, of.run["id"])
    ]
    return responses.data(request, shown)


def _runs(context: Context, request: Request, of: Subject) -> Response:
    """Return the names of runs that hold a text, for whoever looks for one to draw beside this one."""
    rows = run_lookup.search(context.db, of, request.query_params.get("text", ""))
    return responses.data(request, [{"name": row["name"], "shown": row["display_name"]} for row in rows])


def _log(context: Context, request: Request, of: Subject) -> Response:
    """Return all that a run has printed."""

    def parts() -> Iterator[bytes]:
        next_one: int | None = 0
        while next_one is not None:
            # Each part may be asked for by another thread, which has a connection of its own.
            text, next_one = _printed(context.db, of.run["id"], next_one)
            yield text.encode(errors="replace")

    name = re.sub(r"[^\w.-]+", "-", of.run["display_name"], flags=re.ASCII).strip("-.") or "run"
    headers = {"Content-Disposition": f'attachment; filename="{name}.log"'}
    return StreamingResponse(parts(), 200, headers, "text/plain; charset=utf-8")


def _printed(db: sqlite3.Connection, run: int, begin: int) -> tuple[str, int | None]:
    """Return some of what a run has printed, and which line is the next one; None behind the last."""
    rows = db.execute(
        "SELECT number, text FROM lines WHERE run = ? AND file = ? AND number >= ? ORDER BY number",
        (run, CONSOLE, begin),
    )
    found, size = [], 0
    for number, text in rows:
        found.append(f"{console.plain(text)}\n")
        size += len(text)
        if size >= _TEXT_AT_ONCE:
            return "".join(found), number + 1
    return "".join(found), None


def _file(context: Context, request: Request, of: Subject) -> Response:
    """Return a file, to be saved under its own name and never shown as a page of this server."""
    name = request.path_params["name"]
    return _blob(context, request, of, "application/octet-stream", name.rpartition("/")[2])


def _image(context: Context, request: Request, of: Subject) -> Response:
    """Return an image, to be shown."""
    media_type = run_files.image_type(request.path_params["name"])
    if media_type is None:
        return responses.nothing(request, "This file is none of the images that a browser may show.")
    return _blob(context, request, of, media_type, None)


def _blob(context: Context, request: Request, of: Subject, media_type: str, saved_as: str | None) -> Response:
    name = request.path_params["name"]
    row = context.db.execute(
        "SELECT blob FROM files WHERE run = ? AND name = ?", (of.run["id"], name)
    ).fetchone()
    path = context.parts.blobs.path(row["blob"]) if row else None
    try:
        status = path.stat() if path else None
    except FileNotFoundError:  # replaced just now
        status = None
    if path is None or status is None:
        return responses.nothing(request, f"This run has no file {name}.")
    found = FileResponse(path, media_type=media_type, filename=saved_as, stat_result=status)
    found.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return found


def _to_the_section(context: Context, request: Request, of: Subject) -> Response:
    own = addresses.run(of.project["entity"], of.project["name"], of.run["name"])
    section = _SECTIONS.get(request.path_params["section"], "")
    return RedirectResponse(own + section, 302)
