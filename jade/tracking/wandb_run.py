"""Edge: a live run on Weights & Biases. Nothing else in JADE knows wandb.

Everything is on disk, through `record`, before wandb gets it: a process that is killed takes with it what
only wandb had.
"""

from __future__ import annotations

import contextlib
import logging
import netrc
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb

from jade.entries import Entry
from jade.errors import TrackingError
from jade.record import Record

DEFAULT_PROJECT = "jade"
INIT_SECONDS = 30.0
MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
_EXIT_CODES = {"finished": 0, "stopped": 0, "failed": 1}

_log = logging.getLogger(__name__)


class WandbTracker:
    """Follows a run in its folder and on Weights & Biases.

    Args:
        record: the run's folder.
        environ: `WANDB_MODE`, `WANDB_USER`, `WANDB_PROJECT` and the rest of wandb's own variables.
        run_name: as it is shown on W&B; wandb makes one up if None.
    """

    def __init__(self, record: Record, environ: Mapping[str, str], run_name: str | None = None) -> None:
        self._record = record
        self._environ = environ
        self._name = run_name
        self._run: wandb.Run | None = None
        self._way: str | None = None

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

    def start(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        """Open the run on W&B and return its config, in which a sweep's values have won.

        Raises:
            TrackingError: if the server cannot be reached or refuses the key.
        """
        try:
            mode = self._mode()
            self._run = wandb.init(
                id=self.run_id,
                name=self._name,
                # The agent of a sweep names the entity; WANDB_USER is the user's own way to say it.
                entity=self._environ.get("WANDB_ENTITY") or self._environ.get("WANDB_USER") or None,
                project=self._environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
                # wandb keeps swept keys at the top level and never merges them into nested dictionaries: it
                # must receive dotted leaves.
                config=dict(flat),
                mode=mode,  # type: ignore[arg-type]
                dir=self._environ.get("WANDB_DIR") or str(self.directory),
                settings=wandb.Settings(
                    quiet=True, silent=mode == "offline", init_timeout=INIT_SECONDS, save_code=False
                ),
            )
        except (wandb.errors.Error, ValueError, RuntimeError) as error:
            raise _not_started(error, self._environ) from error
        self._way = _way_to(self._run)
        # Several rows may be of one iteration, and some of an earlier one; W&B's own step cannot go back.
        self._run.define_metric("iterations", hidden=True)
        self._run.define_metric("*", step_metric="iterations")
        return {key: value for key, value in dict(self._run.config).items() if key != "_wandb"}

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> None:
        """Append a row on disk, then hand the same row to W&B."""
        files = self._record.log(entries, iterations, epochs)
        if self._run is None:
            return
        row: dict[str, Any] = {"iterations": iterations, "epochs": epochs}
        for entry in entries:
            # The drawn file, not the figure: wandb would draw it again, and needs pyplot to do so.
            value = str(files[entry.name]) if entry.kind == "figure" else entry.value
            row[entry.name] = _FOR_WANDB[entry.kind](value)
        self._run.log(row)

    def keep(self, path: Path) -> None:
        """Hand a file to W&B; to be called again when it was replaced, for wandb uploads it as it is now."""
        if self._run is not None:
            _link(path, Path(self._run.settings.files_dir) / path.relative_to(self.directory))
            self._run.save(str(path), base_path=str(self.directory), policy="now", glob=False)

    def finish(self, status: str) -> None:
        """Close the run on W&B; "failed" is shown as failed there."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=_EXIT_CODES[status])

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
        if _has_credentials(self._environ):
            return "online"
        _log.warning(
            "No W&B credentials were found: the run is logged offline. To upload it: `wandb login`, then the"
            " `wandb sync` line below the summary. (WANDB_MODE=offline hides this line.)"
        )
        return "offline"


def _link(path: Path, target: Path) -> None:
    """Make the link that `Run.save` would make; it prints a warning for every link of its own."""
    with contextlib.suppress(OSError):  # no links on this file system: `save` copies, and says so
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)


def _has_credentials(environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = wandb.setup().settings
    if settings.api_key:
        return True
    host = urlparse(settings.base_url).hostname or ""
    path = Path(environ.get("NETRC") or Path.home() / ".netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _not_started(error: Exception, environ: Mapping[str, str]) -> TrackingError:
    server = environ.get("WANDB_BASE_URL") or "W&B"
    reason = str(error).strip().partition("\n")[0]  # what follows is advice for callers of wandb.init
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


def _not_finite(values: Any) -> Any:  # noqa: ANN401 - numpy arrays
    return (values != values) | (abs(values) == float("inf"))
