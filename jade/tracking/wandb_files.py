"""Edge: stored runs and artifacts as a W&B server has them: what they are, their files, where those are got.

Reads only. `stored/remote.py` makes sources of it, `stored/cache.py` keeps what was fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import wandb
from wandb.apis.public.runs import RunNotFoundError

from jade.stored.answer import Address, Answer, UnknownRunError, digest_of, safe
from jade.stored.source import Facts, StoredFile
from jade.tracking.wandb_client import (
    Client,
    is_foreign,
    is_of_the_client,
    kept_tidy,
    number,
    params_of,
    seconds,
    state_of,
)
from jade.tracking.wandb_run import UNCONNECTED

PAGE = 500  # runs or files in one answer
NAMED = 200  # that an unknown one is compared with
_COUNTED = ("iterations", "epochs")


class WandbFiles:
    """The stored runs of a server.

    Args:
        environ: names server, key, entity and project, as wandb's own variables do.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._client = Client(environ, patient=False)
        self._environ = environ

    @property
    def server(self) -> str:
        """What a person calls the server."""
        return self._client.server

    @property
    def address(self) -> str:
        """Where questions are sent to."""
        return self._client.address

    @property
    def host(self) -> str:
        """The server's name and port."""
        return urlsplit(self._client.address).netloc

    def has_page(self, host: str) -> bool:
        """Say whether pages of a host are this server's: the cloud's are not where questions are sent to."""
        return host in (self.host, urlsplit(wandb.Settings(base_url=self.address).app_url).netloc)

    @property
    def why_offline(self) -> str | None:
        """Why no server is to be asked; None if one may be."""
        mode = self._environ.get("WANDB_MODE")
        return f"WANDB_MODE is {mode}" if mode in UNCONNECTED else None

    def completed(self, path: str, what: str = "a run") -> str:
        """Return a path whose beginning may be left out, whole: entity/project/name.

        Raises:
            TrackingError: if it is no path, or the server must be asked for the entity and does not answer.
        """
        with self._client.asked(f"The path {path}"):
            return "/".join(self._client.whole(path, what))

    def run(self, path: str) -> Answer:
        """Return what the server says of a run.

        Args:
            path: entity/project/id.

        Raises:
            UnreachableError: if there is nobody to ask.
            UnknownRunError: if there is no such run; those there are are named.
            TrackingError: if the server does not give it.
        """
        with self._client.asked(f"The run {path}") as api, kept_tidy():
            whole = self._client.whole(path, "a run")
            found = self._run(api, *whole)
            files, addresses = self._listed(found.files(per_page=PAGE), path, api.api_key)
            return Answer("/".join(whole), self._facts(api, found), files, addresses)

    def artifact(self, path: str) -> Answer:
        """Return what the server says of an artifact, and of the run that has logged it.

        Args:
            path: entity/project/name:alias, or with a version, `:v3`.

        Returns:
            The artifact's files, and those of its run that say what the run was; its path names the version.

        Raises:
            JadeError: as `run` does; aliases and versions are named where only that is unknown.
        """
        with self._client.asked(f"The artifact {path}") as api, kept_tidy():
            entity, project, name = self._client.whole(path, "an artifact")
            found = self._artifact(api, entity, project, name)
            files, addresses = self._listed(found.files(per_page=PAGE), path, api.api_key)
            run = self._creator(found)
            facts = self._facts(api, run) if run else self._facts_without_run(found, entity)
            # Either may be where its code comes from.
            facts = replace(facts, is_foreign=facts.is_foreign or is_foreign(api, entity))
            if run and "config.yml" not in files:
                own = (file for file in run.files(per_page=PAGE) if not file.name.endswith(".pt"))
                more, there = self._listed(own, path, api.api_key)
                files, addresses = {**more, **files}, {**there, **addresses}
            version = f"{entity}/{project}/{name.partition(':')[0]}:{found.version}"
            about = {
                "type": found.type,
                "version": found.version,
                "aliases": list(found.aliases),
                "metadata": dict(found.metadata),
                "run": "/".join((run.entity, run.project, run.id)) if run else None,
            }
            return Answer(version, facts, files, addresses, about)

    def runs(
        self, path: str, filters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> list[tuple[str, Facts]]:
        """Return the runs of a project or a sweep, the newest first: path and facts of each.

        Args:
            path: `entity/project`, `project`, or `entity/project/sweep`.
            filters: as W&B takes them, such as `{"state": "finished", "config.seed": 1}`.
            limit: how many at most.

        Raises:
            UnreachableError: if there is nobody to ask.
            TrackingError: if there is no such project or sweep, or the server does not give it.
        """
        with self._client.asked(f"The runs of {path}") as api, kept_tidy():
            is_sweep = path.strip("/").count("/") == 2
            entity, project, sweep = self._client.whole(
                path if is_sweep else f"{path.strip('/')}/*", "a sweep"
            )
            wanted = {**({"sweep": sweep} if is_sweep else {}), **(filters or {})}
            try:
                if is_sweep:
                    api.sweep(f"{entity}/{project}/{sweep}")
                found = api.runs(
                    f"{entity}/{project}", filters=wanted, order="-created_at", per_page=PAGE, lazy=False
                )
                return [
                    (f"{entity}/{project}/{run.id}", self._facts(api, run)) for run in islice(found, limit)
                ]
            except (wandb.errors.Error, ValueError):
                self._client.check_project(entity, project, "sweep")
                raise

    def aim(self, path: str) -> tuple[str, str] | None:
        """Return the metric of a sweep, and whether to "minimize" or to "maximize" it; None if it has none.

        Args:
            path: entity/project/sweep.

        Raises:
            TrackingError: if the server does not give the sweep.
        """
        with self._client.asked(f"The sweep {path}") as api, kept_tidy():
            said = api.sweep(path).config.get("metric")
        if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
            return None
        return said["name"], "maximize" if said.get("goal") == "maximize" else "minimize"

    def _run(self, api: Any, entity: str, project: str, run_id: str) -> Any:  # noqa: ANN401 - wandb's own
        try:
            return api.run(f"{entity}/{project}/{run_id}")
        except wandb.errors.CommError as error:
            if not isinstance(error.exc, RunNotFoundError):
                raise
            self._client.check_project(entity, project, "run")
            known = [run.id for run in islice(api.runs(f"{entity}/{project}", per_page=NAMED), NAMED)]
            raise self._unknown(f"There is no run {run_id!r} in {entity}/{project}", run_id, known) from None

    def _artifact(self, api: Any, entity: str, project: str, name: str) -> Any:  # noqa: ANN401 - wandb's own
        try:
            return api.artifact(f"{entity}/{project}/{name}")
        except (wandb.errors.CommError, ValueError):
            self._client.check_project(entity, project, "artifact")
            base, _, alias = name.partition(":")
            types = {
                one.name: kind.name
                for kind in api.artifact_types(f"{entity}/{project}")
                for one in islice(kind.collections(), NAMED)
            }
            if base not in types:
                what = f"There is no artifact {base!r} in {entity}/{project}"
                raise self._unknown(what, base, types) from None
            found = api.artifact_collection(types[base], f"{entity}/{project}/{base}")
            known = {
                alias for one in islice(found.artifacts(), NAMED) for alias in (one.version, *one.aliases)
            }
            if alias in known:
                raise
            what = f"The artifact {entity}/{project}/{base} has neither an alias nor a version {alias!r}"
            raise self._unknown(what, alias, known) from None

    def _unknown(self, what: str, wanted: str, known: Iterable[str]) -> UnknownRunError:
        found = list(known)
        error = UnknownRunError(f"{what} on {self._client.server}.", wanted=wanted, choices=found)
        error.known = tuple(found)
        return error

    def _creator(self, artifact: Any) -> Any:  # noqa: ANN401 - wandb's own
        try:
            return artifact.logged_by()
        except Exception as error:
            if not is_of_the_client(error):
                raise
            return None  # the run is deleted, and its artifacts are not

    def _listed(
        self, listed: Iterable[Any], path: str, key: str | None
    ) -> tuple[dict[str, StoredFile], dict[str, Address]]:
        """Return the files that a server lists, by name, and where each is got."""
        known = {str(one.name): one for one in listed}
        files, addresses = {}, {}
        for name in sorted(safe(known, path)):
            one = known[name]
            files[name] = StoredFile(
                size=int(one.size or 0), modified=seconds(one.updated_at), digest=digest_of(one.md5)
            )
            addresses[name] = self._address(one, key)
        return files, addresses

    def _address(self, file: Any, key: str | None) -> Address:  # noqa: ANN401 - wandb's own
        """Return where a file is got: from the server with the key, which is shown to nobody else."""
        url, direct = str(file.url or ""), str(file.direct_url or "")
        own = urlsplit(self._client.address)
        if key and urlsplit(url)[:2] == own[:2]:
            return Address(url, key)
        return Address(direct or url)

    def _facts(self, api: Any, run: Any) -> Facts:  # noqa: ANN401 - wandb's own
        summary = {
            name: value
            for name, found in dict(run.summary_metrics or {}).items()
            if (value := number(found)) is not None
        }
        counted = {
            name: int(summary[name]) for name in _COUNTED if math.isfinite(summary.get(name, math.inf))
        }
        sweep = run.sweep_name
        return Facts(
            run_id=run.id,
            name=str(run.name or run.id),
            state=state_of(run),
            params=params_of(run),
            summary={
                name: value
                for name, value in summary.items()
                if not name.startswith("_") and name not in ("row", *_COUNTED)
            },
            iterations=counted.get("iterations"),
            epochs=counted.get("epochs"),
            seconds=summary.get("_runtime"),
            began=seconds(run.created_at),
            updated=seconds(run.heartbeat_at),
            sweep=f"{run.entity}/{run.project}/{sweep}" if sweep else None,
            url=str(run.url),
            owner=str(run.entity),
            is_foreign=is_foreign(api, run.entity),
        )

    def _facts_without_run(self, artifact: Any, entity: str) -> Facts:  # noqa: ANN401 - wandb's own
        """Return the facts of an artifact whose run is deleted, or was none of this server."""
        when = seconds(artifact.created_at)
        return Facts(
            run_id=artifact.name.partition(":")[0],
            name=artifact.name.partition(":")[0],
            state="finished",
            began=when,
            updated=when,
            owner=entity,
        )
