"""Edge: the client of a W&B server, asked in one manner: what went wrong is told, and what to do about it.

The W&B cloud, a server of one's own and JADE's are asked in the same way. `wandb_sweeps` and `wandb_files`
know which questions there are.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import wandb

from jade import params, scalars
from jade.errors import JadeError, TrackingError, UnreachableError, first_line
from jade.tracking.wandb_run import DEFAULT_PROJECT, has_credentials

SECONDS = 20  # that the server may take for one answer
KNOCK_SECONDS = 5.0
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}


class Client:
    """A server, and the client to ask it.

    Args:
        environ: names server, key, entity and project, as wandb's own variables do.
        patient: whether a server that does not answer is asked again, for up to `SECONDS`; else that it does
            not is known at once.

    Attributes:
        server: what a person calls it.
    """

    def __init__(self, environ: Mapping[str, str], *, patient: bool = True) -> None:
        self._environ = environ
        self._patient = patient
        self._api: Any = None
        self.server = environ.get("WANDB_BASE_URL") or "W&B"

    @property
    def address(self) -> str:
        """The address that questions are sent to."""
        return str(self._environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url).rstrip("/")

    @contextmanager
    def asked(self, what: str) -> Iterator[Any]:
        """Give wandb's own client, its answers of before forgotten, and tell what goes wrong.

        Raises:
            UnreachableError: if there is nobody to ask.
            TrackingError: if the server does not give `what`.
        """
        try:
            if not self._patient:
                self._knock()
            if self._api is None:
                self._api = self._made()
            self._api.flush()
            yield self._api
        except JadeError:
            raise
        except wandb.errors.AuthenticationError as error:
            self._begin_anew()
            raise self._refused(error) from error
        except Exception as error:
            if not is_of_the_client(error):
                raise
            self._begin_anew()
            reason = first_line(error)
            raise TrackingError(f"{what} cannot be read from {self.server}: {reason}") from error

    def whole(self, path: str, what: str) -> tuple[str, str, str]:
        """Return entity, project and name of a path whose beginning may be left out.

        Raises:
            TrackingError: if it is no such path.
        """
        parts = path.strip("/").split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise TrackingError(
                f"{path!r} is no path of {what}.", hint=f"It is written entity/project/{what.split()[-1]}."
            )
        entity, project, name = [None, None, *parts][-3:]
        known = self._environ
        entity = entity or known.get("WANDB_ENTITY") or known.get("WANDB_USER") or self._api.default_entity
        return str(entity), project or known.get("WANDB_PROJECT") or DEFAULT_PROJECT, str(name)

    def check_project(self, entity: str, project: str, what: str) -> None:
        """Do nothing if there is a project.

        Raises:
            TrackingError: if there is not; those there are are named.
        """
        projects = [one.name for one in self._api.projects(entity)]
        if project not in projects:
            raise TrackingError(
                f"There is no project {entity}/{project} on {self.server}.",
                wanted=project,
                choices=projects,
                hint=f"A {what} is named entity/project/{what}, or by its id where WANDB_PROJECT is set.",
            )

    def _knock(self) -> None:
        """Find out at once whether the server can be reached: the client would try for a long time."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        if urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
            return  # only the client knows the way
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((host, port), KNOCK_SECONDS).close()
        except OSError as error:
            raise self._silent() from error

    def _begin_anew(self) -> None:
        """Let the next question be asked by another process of the client's: this one may have died."""
        self._api = None
        if wandb.run is None:  # a run of this process would lose what it has not sent yet
            with contextlib.suppress(OSError):  # nobody is there to be told
                wandb.teardown()

    def _made(self) -> Any:  # noqa: ANN401 - wandb's own
        if not has_credentials(self._environ):  # the client would ask for a key
            raise UnreachableError(
                f"There are no credentials for {self.server}.",
                where="environment",
                hint="`wandb login`, or export WANDB_API_KEY, and WANDB_BASE_URL for a server of your own.",
            )
        url = self._environ.get("WANDB_BASE_URL")
        return wandb.Api(
            overrides={"base_url": url} if url else None,
            api_key=self._environ.get("WANDB_API_KEY") or None,
            timeout=SECONDS,
        )

    def _refused(self, error: Exception) -> TrackingError:
        # The client says the same of a wrong key and of a silent server; only the first comes with an answer.
        if getattr(error.__cause__, "response", None) is None:
            return self._silent()
        return TrackingError(
            f"{self.server} refuses the credentials.", hint="`wandb login` anew, or mend WANDB_API_KEY."
        )

    def _silent(self) -> UnreachableError:
        return UnreachableError(
            f"{self.server} does not answer.",
            hint="WANDB_BASE_URL names the server; JADE's own is started by `python -m jade server`.",
        )


@contextlib.contextmanager
def kept_tidy() -> Iterator[None]:
    """Let the client make the folder that it makes for each run it is asked for where it is deleted again.

    Within a sweep it would be in the project's folder, for its agent sets WANDB_DIR to that.
    """
    before = os.environ.get("WANDB_DIR")
    with tempfile.TemporaryDirectory() as aside:
        os.environ["WANDB_DIR"] = aside
        try:
            yield
        finally:
            del os.environ["WANDB_DIR"]
            if before is not None:
                os.environ["WANDB_DIR"] = before


def is_of_the_client(error: Exception) -> bool:
    """Say whether the client has raised an error; those of its own process have no common class."""
    return isinstance(error, ValueError | OSError) or type(error).__module__.partition(".")[0] == "wandb"


def is_foreign(api: Any, entity: str) -> bool:  # noqa: ANN401 - wandb's own
    """Say whether what belongs to an entity is somebody else's than the user's own."""
    return entity not in (api.viewer.entity, api.viewer.username)


def number(value: object) -> float | None:
    """Return a number that a server gives, also as a text where JSON has none; None for anything else."""
    if isinstance(value, str):
        return _NUMBERS.get(value)
    return value if isinstance(value, float) else scalars.number(value)


def seconds(moment: str | None) -> float | None:
    """Return a moment that a server gives, in seconds since 1970."""
    try:
        found = datetime.fromisoformat(moment or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):  # beyond every calendar, or no moment
        return None


def state_of(run: Any) -> str:  # noqa: ANN401 - wandb's own
    """Return the state of a run that the client gives, as `trials.STATES` has it."""
    return "preempted" if run.state == "preempting" else str(run.state)


def params_of(run: Any) -> dict[str, Any]:  # noqa: ANN401 - wandb's own
    """Return the configuration of a run that the client gives, by flat dotted key."""
    return params.flatten({key: value for key, value in run.config.items() if key != "_wandb"})
