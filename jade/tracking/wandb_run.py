"""Edge: a live run on Weights & Biases. Nothing else in JADE knows wandb.

Everything is on disk, through `record`, before wandb gets it: a process that is killed takes with it what
only wandb had.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import logging
import netrc
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb
import yaml
from wandb.proto import wandb_internal_pb2 as pb

from jade.entries import Entry
from jade.errors import JadeError, TrackingError, first_line
from jade.record import Record
from jade.summary import BEST
from jade.tracking.base import Version
from jade.tracking.wandb_artifacts import Models
from jade.tracking.wandb_control import SweepControl

DEFAULT_PROJECT = "jade"
INIT_SECONDS = 30.0
MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
UNCONNECTED = ("offline", "dryrun", "disabled")
STATUS_SECONDS = 5.0
SWEEP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class WandbTracker:
    """Follows a run in its folder and on Weights & Biases.

    Args:
        record: the run's folder.
        environ: `WANDB_MODE`, `WANDB_USER`, `WANDB_PROJECT` and the rest of wandb's own variables.
        run_name: as it is shown on W&B; wandb makes one up if None.
        on_stop: called, from another thread, when W&B's server wants the run to stop.
    """

    def __init__(
        self,
        record: Record,
        environ: Mapping[str, str],
        run_name: str | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._record = record
        self._on_stop = on_stop
        self._held = -1  # number of the last row that W&B has
        self._environ = environ
        self._name = run_name
        self._run: wandb.Run | None = None
        self._way: str | None = None
        self._models: Models | None = None

    @property
    def run_id(self) -> str:
        """The run's id, on disk and on W&B."""
        return self._record.run_id

    @property
    def directory(self) -> Path:
        """The run's folder."""
        return self._record.directory

    @property
    def changes_params(self) -> bool:
        """Whether an agent of a sweep started this process."""
        return bool(self._environ.get("WANDB_SWEEP_ID"))

    def start(
        self, flat: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Open the run on W&B and return its config, in which a sweep's values have won.

        A run that is continued offline gets a second folder of wandb's with the same id, and uploading both
        could overwrite history: the rows of before are written into the new one, and the older one is put
        aside.

        Raises:
            TrackingError: if the server cannot be reached or refuses the key.
        """
        before, on_stop = set(self._offline_folders()), self._on_stop
        try:
            mode = self._mode()
            self._run = wandb.init(
                **self._whose(),
                name=self._name,
                # wandb keeps swept keys at the top level and never merges them into nested dictionaries: it
                # must receive dotted leaves.
                config=dict(flat),
                mode=mode,  # type: ignore[arg-type]
                resume="allow" if earlier is not None and mode not in UNCONNECTED else None,
                dir=self._environ.get("WANDB_DIR") or str(self.directory),
                settings=wandb.Settings(
                    quiet=True,
                    silent=mode == "offline",
                    init_timeout=INIT_SECONDS,
                    save_code=False,
                    # A function of its own, for wandb copies its settings deeply, and what a method belongs
                    # to.
                    stop_fn=(lambda: on_stop()) if on_stop else None,
                ),
            )
        except (wandb.errors.Error, ValueError, RuntimeError) as error:
            raise _not_started(error, self._environ) from error
        self._way = _way_to(self._run)
        self._files = Path(self._run.settings.files_dir)  # once: wandb copies its settings each time
        # Several rows may be of one iteration, and some of an earlier one; W&B's own step cannot go back.
        self._run.define_metric("iterations", hidden=True)
        self._run.define_metric("row", hidden=True)
        self._run.define_metric("*", step_metric="iterations")
        if earlier is not None:
            self._held = _last_row(self._run)
            for row in earlier:
                self._send_earlier(row)
            self._put_aside(before)
        return {key: value for key, value in dict(self._run.config).items() if key != "_wandb"}

    def _whose(self) -> dict[str, Any]:
        if self.changes_params:
            return {}  # the agent has named all of it; wandb warns of whoever names it again
        return {
            "id": self.run_id,
            # WANDB_USER is the user's own way to say it.
            "entity": self._environ.get("WANDB_ENTITY") or self._environ.get("WANDB_USER") or None,
            "project": self._environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        }

    def _send_earlier(self, row: Mapping[str, Any]) -> None:
        if self._run is None or row["row"] <= self._held:
            return
        values = {
            "row": row["row"],
            "iterations": row["iterations"],
            "epochs": row["epochs"],
            **row["metrics"],
        }
        for name, path in row.get("files", {}).items():
            with contextlib.suppress(OSError, ValueError):  # a picture that somebody deleted
                values[name] = _from_file(self._record.media_file(path))
        self._run.log(values)

    def _offline_folders(self) -> list[Path]:
        root = Path(self._environ.get("WANDB_DIR") or self.directory) / "wandb"
        names = (f"offline-run-*-{self.run_id}", f"offline-run-*-{self.run_id}-[0-9]*")
        return sorted(folder for name in names for folder in root.glob(name))

    def _put_aside(self, folders: set[Path]) -> None:
        if self._run is None or not self._run.offline:
            return
        for folder in sorted(folders - {Path(self._run.dir).parent}):
            aside = folder.parent / "replaced"
            with contextlib.suppress(OSError):
                aside.mkdir(exist_ok=True)
                endings = itertools.chain([""], (f".{number}" for number in itertools.count(1)))
                names = (f"{folder.name}{ending}" for ending in endings)
                folder.rename(next(aside / name for name in names if not (aside / name).exists()))

    def sweep(self) -> dict[str, Any] | None:
        """Return the sweep and what it looks at, which the server is asked for, where there is one."""
        run, name = self._run, self._environ.get("WANDB_SWEEP_ID")
        if run is None or not name:
            return None
        entity, project = (
            str(given or self._environ.get(variable) or "")
            for given, variable in ((run.entity, "WANDB_ENTITY"), (run.project, "WANDB_PROJECT"))
        )
        if not entity or not project:
            return {}
        path = f"{entity}/{project}/{name}"
        if run.offline or run.disabled:
            return {"path": path}
        try:
            server = self._environ.get("WANDB_BASE_URL") or run.settings.base_url
            known = {**self._environ, "WANDB_BASE_URL": server}
            metric = SweepControl(known, SWEEP_SECONDS).metric(path)
        except (JadeError, ValueError, yaml.YAMLError) as error:
            _log.warning("What the sweep %s looks at cannot be read: %s", path, error)
            metric = None
        return {"path": path, "metric": metric} if metric else {"path": path}

    def describe(self, flat: Mapping[str, Any]) -> None:
        """Write into W&B's config what differs there, but for the swept keys, which wandb has locked."""
        if self._run is None:
            return
        shown = self._run.config
        locked = getattr(shown, "_locked", {})  # wandb has no public name for it
        changed = {
            key: value
            for key, value in flat.items()
            if key not in locked and not (key in shown and repr(shown[key]) == repr(value))
        }
        if changed:
            shown.update(changed, allow_val_change=True)  # type: ignore[no-untyped-call]

    def uses(self, artifact: str) -> None:
        """Make the run one that uses the artifact; offline, wandb cannot."""
        if self._run is None or self._run.offline or self._run.disabled:
            return
        try:
            self._run.use_artifact(artifact)
        except Exception as error:  # noqa: BLE001 - the weights are there; a line in a graph ends no run
            reason = first_line(error)
            _log.warning("W&B does not show that the run begins with %s: %s", artifact, reason)

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> None:
        """Append a row on disk, then hand the same row to W&B, unless it has the row of that number."""
        number = self._record.rows
        files = self._record.log(entries, iterations, epochs)
        if self._run is None or number <= self._held:
            return
        row: dict[str, Any] = {"row": number, "iterations": iterations, "epochs": epochs}
        for entry in entries:
            # The drawn file, not the figure: wandb would draw it again, and needs pyplot to do so.
            value = str(files[entry.name]) if entry.kind == "figure" else entry.value
            row[entry.name] = _FOR_WANDB[entry.kind](value)
        self._run.log(row)

    def best(self, values: Mapping[str, float]) -> None:
        """Write `X/best` into W&B's summary, where `X` stays the last value: a sweep orders by that."""
        if self._run is not None:
            best = {f"{name}{BEST}": value for name, value in values.items()}
            self._run.summary.update(best)

    def keep(self, path: Path) -> None:
        """Hand a file to W&B; to be called again when it was replaced, for wandb uploads it as it is now."""
        if self._run is not None:
            _link(path, self._files / path.relative_to(self.directory))
            self._run.save(str(path), base_path=str(self.directory), policy="now", glob=False)

    def drop(self, path: Path) -> None:
        """Take a deleted file out of what wandb is going to upload."""
        if self._run is not None:
            with contextlib.suppress(OSError):
                (self._files / path.relative_to(self.directory)).unlink()

    def publish(self, version: Version) -> None:
        """Log a checkpoint as a version of an artifact of the type `model`; W&B's refusal is a warning."""
        if self._run is None:
            return
        try:
            self._models = self._models or Models(self._run)
            self._models.publish(version)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the run is to go on
            reason = first_line(error) or type(error).__name__
            _log.warning("%s is no version of %s on W&B: %s", version.checkpoint.name, version.model, reason)

    def mark_preempting(self) -> None:
        """Tell W&B that the run stops for a while: its sweep hands it out again."""
        if self._run is not None:
            self._run.mark_preempting()

    def was_stopped(self) -> bool:
        """Ask whether W&B's server wants the run to stop; the agent of a sweep then sends a SIGTERM first."""
        if self._run is None or self._run.offline or self._run.disabled:
            return False
        try:
            # wandb itself asks every 15 seconds, and has no public way to ask at once.
            request = pb.Record(request=pb.Request(stop_status=pb.StopStatusRequest()))  # type: ignore[attr-defined]
            result = self._run._interface._deliver(request).wait_or(timeout=STATUS_SECONDS)  # type: ignore[union-attr]
            return bool(result.response.stop_status_response.run_should_stop)
        except Exception:  # noqa: BLE001 - whatever a later wandb makes of it, the run has to end well
            return False

    def tell(self, text: str) -> None:
        """Write a text into the run's logs on W&B, which shows nothing that is printed after `finish`."""
        if self._run is not None:
            self._run.write_logs(text)

    def finish(self, status: str, exit_code: int) -> None:
        """Close the run on W&B, which shows one that ends with another code than 0 as failed or preempted."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=1 if status == "failed" else exit_code)

    def way_to_it(self) -> str | None:
        """Return the run's address, or how to upload it."""
        return self._way

    def _mode(self) -> str:
        wanted = self._environ.get("WANDB_MODE")
        if wanted and wanted not in MODES:
            raise TrackingError(
                f"WANDB_MODE is {wanted!r}, which is no mode.",
                where="environment",
                wanted=wanted,
                choices=MODES,
            )
        if wanted:
            return wanted
        if has_credentials(self._environ):
            return "online"
        _log.warning(
            "No W&B credentials were found: the run is logged offline. To upload it: `wandb login`, then the"
            " `wandb sync` line below the summary. (WANDB_MODE=offline hides this line.)"
        )
        return "offline"


def is_online(environ: Mapping[str, str]) -> bool:
    """Say whether a run started now would be logged to a server."""
    wanted = environ.get("WANDB_MODE")
    return wanted not in UNCONNECTED if wanted else has_credentials(environ)


def _link(path: Path, target: Path) -> None:
    """Make the link that `Run.save` would make; it prints a warning for every link of its own."""
    with contextlib.suppress(OSError):  # no links on this file system: `save` copies, and says so
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)


def has_credentials(environ: Mapping[str, str]) -> bool:
    """Say whether there is a key for the server, in the environment or where `wandb login` put it."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = wandb.setup().settings
    if settings.api_key:
        return True
    host = urlparse(environ.get("WANDB_BASE_URL") or settings.base_url).hostname or ""
    path = Path(environ.get("NETRC") or Path.home() / ".netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _not_started(error: Exception, environ: Mapping[str, str]) -> TrackingError:
    server = environ.get("WANDB_BASE_URL") or "W&B"
    reason = first_line(error)  # what follows is advice for callers of wandb.init
    hint = "Offline: WANDB_MODE=offline; without W&B: --tracker local."
    if isinstance(error, wandb.errors.AuthenticationError):
        return TrackingError(
            f"{server} refuses the credentials: {reason}", hint=f"`wandb login` anew. {hint}"
        )
    return TrackingError(f"{server} does not start the run: {reason}", hint=hint)


def _way_to(run: wandb.Run) -> str | None:
    if run.disabled:
        return None
    return f"wandb sync {_quoted(Path(run.dir).parent)}" if run.offline else run.url


def _quoted(path: Path) -> str:
    try:
        shown = path.relative_to(Path.cwd())
    except ValueError:
        shown = path
    return shlex.quote(str(shown))


_FOR_WANDB: dict[str, Callable[[Any], Any]] = {
    "scalar": lambda value: value,
    "figure": wandb.Image,
    "images": lambda images: [wandb.Image(image) for image in images],
    "histogram": lambda values: wandb.Histogram(values[~_not_finite(values)] * 1),
    "table": lambda table: wandb.Table(columns=table[0], data=table[1], allow_mixed_types=True),
    "text": lambda text: text,
}


def _last_row(run: wandb.Run) -> int:
    """Return the number of the last row that W&B has of a run, -1 if it has none."""
    if run.offline or run.disabled:
        return -1
    number = run.summary.get("row")  # type: ignore[no-untyped-call]
    if not isinstance(number, int):
        return -1
    # wandb may have uploaded the summary, and not yet the row that it is of; each row is a step.
    return min(number, run.starting_step - 1)


def _from_file(path: Path) -> Any:  # noqa: ANN401 - what wandb takes
    """Return what was written to `media/` as wandb takes it."""
    if path.suffix == ".png":
        return wandb.Image(str(path))
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            columns, *rows = csv.reader(file)
        return wandb.Table(
            columns=list(columns),
            data=[[_cell(cell) for cell in row] for row in rows],
            allow_mixed_types=True,
        )
    if path.suffix == ".json":
        known = json.loads(path.read_text(encoding="utf-8"))
        return wandb.Histogram(np_histogram=(known["counts"], known["edges"]))
    return path.read_text(encoding="utf-8")


def _cell(text: str) -> object:
    if not text:
        return None
    try:
        return float(text) if "." in text or "e" in text else int(text)
    except ValueError:
        return text


def _not_finite(values: Any) -> Any:  # noqa: ANN401 - numpy arrays
    return (values != values) | (abs(values) == float("inf"))
