"""Edge: the trials of a sweep, as a W&B server has them.

Reads only; the W&B cloud, a server of one's own and JADE's are asked in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import wandb

from jade import summary
from jade.errors import ConfigError, TrackingError
from jade.options import experiments_folder
from jade.summary import BEST
from jade.tracking.wandb_client import Client, kept_tidy, number, params_of, seconds, state_of
from jade.trials import Trial, Trials, differing

PAGE = 500  # runs in one answer
SWEEPS_NAMED = 30
_COUNTERS = ("row", "iterations", "epochs")


class WandbSweeps:
    """The sweeps of a server.

    Args:
        environ: names server, key, entity and project, as wandb's own variables do, and `EXPERIMENTS_ROOT`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._client = Client(environ)

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
        with self._client.asked(f"The sweep {path}") as api:
            entity, project, name = self._client.whole(path, "a sweep")
            sweep = self._sweep(api, entity, project, name)
            with kept_tidy():
                runs = list(
                    api.runs(
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

    def _sweep(self, api: Any, entity: str, project: str, name: str) -> Any:  # noqa: ANN401 - wandb's own
        try:
            return api.sweep(f"{entity}/{project}/{name}")
        except wandb.errors.Error:
            self._client.check_project(entity, project, "sweep")
            others = api.project(project, entity).sweeps(per_page=SWEEPS_NAMED)
            near = [one.id for _, one in zip(range(SWEEPS_NAMED), others, strict=False)]
            if name in near:
                raise
            raise TrackingError(
                f"There is no sweep {name!r} in {entity}/{project} on {self._client.server}.",
                wanted=name,
                choices=near,
            ) from None

    def _trial(self, run: Any, metric: str | None, goal: str) -> Trial:  # noqa: ANN401 - wandb's own
        found = run.summary_metrics or {}
        folder = experiments_folder(self._environ) / run.id
        return Trial(
            run_id=run.id,
            name=run.name or run.id,
            state=state_of(run),
            params=params_of(run),
            epochs=number(found.get("epochs")),
            last=number(found.get(metric)) if metric else None,
            best=_best(found, metric, goal),
            seconds=number(found.get("_runtime")),
            began=seconds(run.created_at),
            folder=folder.absolute() if (folder / "config.yml").is_file() else None,
        )


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
    return metric, goal or summary.goal_of(metric)


def _is_metric(key: str, value: object) -> bool:
    return number(value) is not None and not key.startswith("_") and key not in _COUNTERS


def _best(found: Mapping[str, Any], metric: str | None, goal: str) -> float | None:
    """Return the best value there was, where what the run took for best is what the sweep does."""
    if metric is None or metric.endswith(BEST):
        return number(found.get(metric)) if metric else None
    if summary.more_is_better(metric) != (goal == "maximize"):
        return None
    return number(found.get(f"{metric}{BEST}"))
