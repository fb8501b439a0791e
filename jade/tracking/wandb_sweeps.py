"""Edge: the trials of a sweep, and the files of one of them, as a W&B server has them.

Reads only; the W&B cloud, a server of one's own and JADE's are asked in the same way.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import wandb

from jade import params, summary
from jade.errors import ConfigError, JadeError, TrackingError
from jade.tracking.wandb_run import DEFAULT_PROJECT, has_credentials
from jade.tracking.wandb_store import kept_tidy
from jade.trials import Trial, Trials, differing

PAGE = 500  # runs in one answer
SECONDS = 20  # that the server may take for one
SWEEPS_NAMED = 30
_STATES = {"preempting": "preempted"}
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}
_COUNTERS = ("row", "iterations", "epochs")
_SAYING = ("config.yml", "environment.json", "yaml/")


class WandbSweeps:
    """The sweeps of a server.

    Args:
        environ: names server, key, entity and project, as wandb's own variables do, and `EXPERIMENTS_ROOT`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._server = environ.get("WANDB_BASE_URL") or "W&B"
        self._api: Any = None

    def trials(self, path: str, metric: str | None = None, goal: str | None = None) -> Trials:
        """Return a sweep and its trials, as they are now.

        Args:
            path: `entity/project/sweep`; what is left out is taken from the environment.
            metric: what they are compared by; the sweep's own if None.
            goal: of the metric; if None the sweep's own, for another metric what its name suggests.

        Raises:
            ConfigError: if no run has logged the metric.
            TrackingError: if there is no such sweep, or the server does not give it.
        """
        with self._asked(f"The sweep {path}"):
            entity, project, name = self._whole(path)
            sweep = self._sweep(entity, project, name)
            with kept_tidy():
                runs = list(
                    self._api.runs(
                        f"{entity}/{project}",
                        filters={"sweep": name},
                        order="+created_at",
                        per_page=PAGE,
                        lazy=False,
                    )
                )
            config = sweep.config
            chosen, aim = _aim(config.get("metric") or {}, metric, goal)
            rows = tuple(self._trial(run, chosen, aim) for run in runs)
            known = {
                key for run in runs for key, value in run.summary_metrics.items() if _is_metric(key, value)
            }
        if metric is not None and rows and metric not in known:
            raise ConfigError(
                f"No trial of {path} has logged a metric {metric!r}.",
                where="--metric",
                wanted=metric,
                choices=known,
            )
        # Whoever enqueues points himself need not list parameters.
        swept = tuple(_swept(config.get("parameters") or {})) or differing([row.params for row in rows])
        return Trials(
            path=f"{entity}/{project}/{name}",
            name=str(sweep.name),
            method=str(config.get("method") or ""),
            metric=chosen,
            goal=aim,
            parameters=swept,
            state=str(sweep.state or "").lower(),
            run_cap=config.get("run_cap"),
            rows=rows,
        )

    def files(self, path: str) -> dict[str, str]:
        """Return what says which configuration a run had: texts by name, as in its folder.

        Args:
            path: of the run, `entity/project/id`.

        Raises:
            TrackingError: if there is no such run, or the server does not give its files.
        """
        with self._asked(f"The run {path}"), kept_tidy(), tempfile.TemporaryDirectory() as folder:
            found = [file for file in self._api.run(path).files() if file.name.startswith(_SAYING)]
            for file in found:
                # A name is a path below the folder; one that leaves it is nobody's.
                if ".." not in Path(file.name).parts and not file.name.startswith("/"):
                    file.download(root=folder, replace=True).close()
            root = Path(folder)
            return {
                str(one.relative_to(root)): one.read_text(encoding="utf-8")
                for one in sorted(root.rglob("*"))
                if one.is_file()
            }

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Have the client at hand, its answers of before forgotten, and tell what goes wrong."""
        try:
            if self._api is None:
                self._api = self._client()
            self._api.flush()
            yield
        except JadeError:
            raise
        except wandb.errors.AuthenticationError as error:
            self._begin_anew()
            raise self._refused(error) from error
        except Exception as error:
            if not _is_of_the_client(error):
                raise
            self._begin_anew()
            reason = str(error).strip().partition("\n")[0]
            raise TrackingError(f"{what} cannot be read from {self._server}: {reason}") from error

    def _begin_anew(self) -> None:
        """Let the next question be asked by another process of the client's: this one may have died."""
        self._api = None
        with contextlib.suppress(OSError):  # nobody is there to be told
            wandb.teardown()

    def _client(self) -> Any:  # noqa: ANN401 - wandb's own
        if not has_credentials(self._environ):  # the client would ask for a key
            raise TrackingError(
                f"There are no credentials for {self._server}.",
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
            return TrackingError(
                f"{self._server} does not answer.",
                hint="WANDB_BASE_URL names the server; JADE's own is started by `python -m jade server`.",
            )
        return TrackingError(
            f"{self._server} refuses the credentials.", hint="`wandb login` anew, or mend WANDB_API_KEY."
        )

    def _whole(self, path: str) -> tuple[str, str, str]:
        parts = path.strip("/").split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise TrackingError(
                f"{path!r} is no path of a sweep.", hint="It is written entity/project/sweep, or sweep."
            )
        known = self._environ
        entity = known.get("WANDB_ENTITY") or known.get("WANDB_USER")
        project = known.get("WANDB_PROJECT") or DEFAULT_PROJECT
        whole = [*[entity, project][: 3 - len(parts)], *parts]
        return str(whole[0] or self._api.default_entity), str(whole[1]), str(whole[2])

    def _sweep(self, entity: str, project: str, name: str) -> Any:  # noqa: ANN401 - wandb's own
        try:
            return self._api.sweep(f"{entity}/{project}/{name}")
        except wandb.errors.Error:
            projects = [one.name for one in self._api.projects(entity)]
            if project not in projects:
                raise TrackingError(
                    f"There is no project {entity}/{project} on {self._server}.",
                    wanted=project,
                    choices=projects,
                    hint="A sweep is named entity/project/sweep, or by its id where WANDB_PROJECT is set.",
                ) from None
            others = self._api.project(project, entity).sweeps(per_page=SWEEPS_NAMED)
            near = [one.id for _, one in zip(range(SWEEPS_NAMED), others, strict=False)]
            if name in near:
                raise
            raise TrackingError(
                f"There is no sweep {name!r} in {entity}/{project} on {self._server}.",
                wanted=name,
                choices=near,
            ) from None

    def _trial(self, run: Any, metric: str | None, goal: str) -> Trial:  # noqa: ANN401 - wandb's own
        found = run.summary_metrics or {}
        folder = Path(self._environ.get("EXPERIMENTS_ROOT") or "experiments") / run.id
        return Trial(
            run_id=run.id,
            name=run.name or run.id,
            state=_STATES.get(run.state, run.state),
            params=params.flatten({key: value for key, value in run.config.items() if key != "_wandb"}),
            epochs=_number(found.get("epochs")),
            last=_number(found.get(metric)) if metric else None,
            best=_best(found, metric, goal),
            seconds=_number(found.get("_runtime")),
            began=_seconds(run.created_at),
            folder=folder.absolute() if (folder / "config.yml").is_file() else None,
        )


def _is_of_the_client(error: Exception) -> bool:
    """Say whether the client has raised an error; those of its own process have no common class."""
    return isinstance(error, ValueError | OSError) or type(error).__module__.partition(".")[0] == "wandb"


def _swept(described: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the keys of which a sweep tries more than one value."""
    for name, spec in described.items():
        if not isinstance(spec, Mapping):
            continue
        if isinstance(spec.get("parameters"), Mapping):
            yield from _swept(spec["parameters"], f"{prefix}{name}.")
        elif "value" not in spec and len(spec.get("values") or ("", "")) > 1:
            yield f"{prefix}{name}"


def _aim(own: Mapping[str, Any], metric: str | None, goal: str | None) -> tuple[str | None, str]:
    """Return the metric and its goal, where `own` is what the sweep says."""
    if metric is None or metric == own.get("name"):
        return own.get("name"), goal or str(own.get("goal") or "minimize")
    return metric, goal or ("maximize" if summary.more_is_better(metric) else "minimize")


def _is_metric(key: str, value: object) -> bool:
    return _number(value) is not None and not key.startswith("_") and key not in _COUNTERS


def _best(found: Mapping[str, Any], metric: str | None, goal: str) -> float | None:
    """Return the best value there was, where what the run took for best is what the sweep does."""
    if metric is None or metric.endswith("/best"):
        return _number(found.get(metric)) if metric else None
    if summary.more_is_better(metric) != (goal == "maximize"):
        return None
    return _number(found.get(f"{metric}/best"))


def _number(value: object) -> float | None:
    if isinstance(value, str):
        return _NUMBERS.get(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _seconds(moment: str | None) -> float | None:
    try:
        found = datetime.fromisoformat(moment or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
