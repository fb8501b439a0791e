"""What every page answers with: HTML of a template or JSON, what a browser may do with it, and its version.

Whatever a run has logged is text that somebody else wrote: templates escape all of it, and the headers allow
no script, style or frame that is not a file of this package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from jade.server.web import addresses, words

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("jade.server.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "iso": words.iso,
        "number": words.number,
        "size": words.size,
        "span": words.span,
        "time": words.time_text,
        "value": words.value,
    }
    found.globals["addresses"] = addresses
    return found


_templates = _environment()


def page(request: Request, template: str, status: int = 200, **shown: Any) -> Response:  # noqa: ANN401
    """Return a page made of a template.

    Args:
        request: that it answers.
        template: name of a file in `templates`.
        status: of HTTP.
        **shown: what the template shows.
    """
    text = _templates.get_template(template).render(**shown)
    return versioned(request, text.encode(errors="replace"), "text/html", status)


def data(request: Request, value: Any) -> Response:  # noqa: ANN401 - any JSON value
    """Return JSON, as short as it can be; NaN has no place in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return versioned(request, text.encode(), "application/json")


def nothing(request: Request, what: str, back: tuple[str, str] | None = None) -> Response:
    """Return the page that says that there is no such thing.

    Args:
        request: that it answers.
        what: a sentence: what was looked for, and not found.
        back: the address of a page from where to go on, and its name.
    """
    return page(request, "nothing.html", 404, what=what, back=back)


def versioned(request: Request, body: bytes, media_type: str, status: int = 200) -> Response:
    """Return a body with its version; without it, where the browser has this version already."""
    version = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": version, "Cache-Control": "no-cache"}
    if status == 200 and version in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type)


def guarded(response: Response) -> Response:
    """Return a response with the headers that every page carries, unless it says otherwise itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
