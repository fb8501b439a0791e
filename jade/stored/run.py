"""A stored run, opened: `jade.load_stored("entity/project/run")` gives a `StoredRun`.

What it says of itself costs little; its code is imported, and torch with it, only when something of it is
built.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jade import isolated, resume, snapshot
from jade.checkpoint_index import BEGINNING
from jade.config import Config
from jade.errors import CheckpointError, ConfigError
from jade.stored import cache, checkpoints, display, find, trust, variables
from jade.stored.checkpoints import StoredCheckpoint
from jade.stored.local_runs import METRICS, SAYING
from jade.stored.readonly import frozen
from jade.stored.source import Facts, Source
from jade.texts import plain

if TYPE_CHECKING:
    import torch

    from jade.build import Datasets
    from jade.entries import Entry
    from jade.stored.history import History
    from jade.stored.opened import Opened, Saved
    from jade.trainer import Trainer

CODE = ("snapshot", "current")

_log = logging.getLogger(__name__)


def load(
    run: str | Path | Source,
    *,
    code: str = "snapshot",
    trust_code: bool = False,
    experiments_root: str | Path | None = None,
) -> StoredRun:
    """Return a stored run, from a folder or from W&B; nothing of its code is executed yet.

    Args:
        run: the run's folder, its id in the experiments root, `entity/project/run_id` on W&B, or an artifact
            `entity/project/name:alias`.
        code: "snapshot", the copy that the run made of its code, imported under a name of its own; or
            "current", the `modules/` of the project that the present folder is in.
        trust_code: whether code that is another entity's may be executed; remembered for the same code.
        experiments_root: folder of the runs (default: `EXPERIMENTS_ROOT`, else the project's `experiments`).

    Raises:
        ConfigError: if there is no such run; near ones are named.
        TrackingError: if W&B does not give it, or cannot be reached and the cache has no copy.
    """
    if code not in CODE:
        raise ConfigError(f"There is no code {code!r}.", where="code", wanted=code, choices=CODE)
    environ = find.project_environ()
    root = Path(experiments_root) if experiments_root is not None else find.experiments_root(environ)
    source = run if isinstance(run, Source) else find.find(str(run), root, environ)
    return StoredRun(source, environ, code=code, trust_code=trust_code)


class StoredRun:
    """A run that was trained before, here or elsewhere.

    Args:
        source: where its files are.
        environ: the environment that its configuration is read in.
        code: "snapshot" or "current".
        trust_code: whether code that is another entity's may be executed.

    Attributes:
        source: where its files are.
    """

    def __init__(
        self, source: Source, environ: Mapping[str, str], *, code: str = "snapshot", trust_code: bool = False
    ) -> None:
        self.source = source
        self._environ = environ
        self._code = code
        self._trust_code = trust_code

    def __repr__(self) -> str:
        facts = self.facts
        named = f" {facts.name!r}" if facts.name != facts.run_id else ""
        return plain(f"<StoredRun {self.source.label}{named}, {facts.state}>")

    def _repr_html_(self) -> str:
        return display.run(self.source.label, self.facts)

    # What it says of itself.

    @cached_property
    def facts(self) -> Facts:
        """State, times, owner and more, as they were when they were first asked for."""
        return self.source.facts()

    @property
    def id(self) -> str:
        """Its id."""
        return self.facts.run_id

    @property
    def name(self) -> str:
        """As it is shown."""
        return self.facts.name

    @property
    def state(self) -> str:
        """Such as "finished", "running" or "died"."""
        return self.facts.state

    @property
    def folder(self) -> Path:
        """The folder that holds its files; of a run on W&B those that were fetched so far."""
        return self.source.folder

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its whole configuration, nested and read-only, with this machine's variables."""
        return frozen(self._config.values)  # type: ignore[no-any-return]

    @cached_property
    def flat(self) -> Mapping[str, Any]:
        """The same by dotted key: `run.flat["model.params.beta"]`; read-only."""
        return frozen(self._config.flat)  # type: ignore[no-any-return]

    @property
    def summary(self) -> dict[str, float]:
        """The last value of each metric by its name, and the best one as `NAME/best`."""
        return dict(self.facts.summary)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """What it was started with: command, packages, machine, device, git commit and more; read-only."""
        return frozen(self._earlier.facts)  # type: ignore[no-any-return]

    def history(self, *names: str) -> History:
        """Return what it logged, as numpy columns of one length: `run.history()["TestAccuracy"]`.

        Args:
            names: of the metrics; only rows that have one of them are given then.

        Returns:
            `iterations`, `epochs`, `time` (seconds since 1970), `runtime` (seconds), and a column for each
            metric, NaN where a row has it not.

        Raises:
            CheckpointError: if it has not logged such a metric, or what it logged cannot be read.
        """
        from jade.stored import history  # numpy takes a tenth of a second

        if METRICS in self.source.files():
            self.source.fetch([METRICS])
        found = history.read(self.folder / METRICS)
        return found.of(*names) if names else found

    @property
    def checkpoints(self) -> list[StoredCheckpoint]:
        """Its checkpoints, the oldest first: name, iterations, size and time of each; nothing is fetched."""
        return checkpoints.listed(self.source)

    # What is built of it.

    @cached_property
    def datasets(self) -> Datasets:
        """Its datasets by name, built when they are first asked for, as in training."""
        return self._opened.datasets()

    def architecture(self, name: str, /, **params: Any) -> Any:  # noqa: ANN401 - any object
        """Return an instance of the class `name` of its architecture file, with fresh weights.

        Raises:
            PluginError: if the file has no such class, or it takes other parameters.
            TrustError: if the code is another entity's and is not trusted.
        """
        return self._opened.architecture(name, params)

    def trainer(self, checkpoint: str | int = "last", device: str | torch.device | None = None) -> Trainer:
        """Return its trainer with the weights of a checkpoint, in evaluation mode, ready to be called.

        No data need be on this machine, and none is downloaded: in the place of a dataset that cannot be
        built there is one of the length that it had, without items.

        Args:
            checkpoint: "last", "best", or the iterations after which one was written.
            device: to place it on; the best there is if None.

        Raises:
            CheckpointError: if there is no such checkpoint, or it does not fit the code.
            PluginError: if the code cannot be imported with the packages of this machine.
            TrustError: if the code is another entity's and is not trusted.
        """
        return self._opened.trainer(self._saved(checkpoint, device))

    def evaluate(
        self,
        names: str | Sequence[str] | None = None,
        data_conf: str | Path | None = None,
        *,
        eval_conf: str | Path | None = None,
        checkpoint: str | int = "last",
        device: str | torch.device | None = None,
    ) -> dict[str, Any]:
        """Return what its evaluations give, by name: numbers, figures, images, tables or text.

        Args:
            names: of the evaluations, or of metrics, `EVALUATION/part`; all if None.
            data_conf: a data file to take the datasets from, instead of the run's own.
            eval_conf: an evaluation file, instead of the run's own.
            checkpoint: "last", "best", or the iterations after which one was written.
            device: to evaluate on; the best there is if None.

        Raises:
            ConfigError: if there is no such evaluation, or a file has faults.
            JadeError: as `trainer` does.
        """
        files = {"data": data_conf, "eval": eval_conf}
        found = self.entries(names, files, checkpoint=checkpoint, device=device)
        return {entry.name: entry.value for entry in found}

    def entries(
        self,
        names: str | Sequence[str] | None,
        files: Mapping[str, str | Path | None],
        *,
        checkpoint: str | int = "last",
        device: str | torch.device | None = None,
    ) -> list[Entry]:
        """Return what its evaluations give, each with its kind: as `evaluate`, for whoever writes it down.

        Args:
            names: of the evaluations, or of metrics, `EVALUATION/part`; all if None.
            files: which take the place of the run's "data" and "eval".
            checkpoint: "last", "best", or the iterations after which one was written.
            device: to evaluate on; the best there is if None.

        Raises:
            JadeError: as `evaluate` does.
        """
        from jade.stored.opened import with_section  # torch takes more than a second

        opened = other = self._opened
        for section, path in files.items():
            if path is not None:
                other = with_section(other, section, Path(path), self._environ)
        saved = self._saved(checkpoint, device)
        return opened.evaluate(saved, [names] if isinstance(names, str) else names, other)

    def open_code(self) -> Path:
        """Return the folder of its copy of the code, to be read; nothing of it is executed.

        Raises:
            CheckpointError: if it has none.
        """
        self.source.fetch_all("code/")
        folder = self.folder / "code"
        if not folder.is_dir():
            raise CheckpointError(f"The run {self.source.label} has no copy of its code.")
        return folder

    def to_be_made_again(self) -> tuple[resume.Earlier, Path]:
        """Return what it was, with this machine's variables, and its copy of the code, which may be executed.

        Raises:
            TrustError: if the code is another entity's and is not trusted.
        """
        code = self.open_code()
        self._check_trust(snapshot.digest(code))
        return replace(self._earlier, config=self._config), code

    # How.

    @cached_property
    def _earlier(self) -> resume.Earlier:
        self.source.fetch_all(*SAYING)
        if not (self.folder / resume.CONFIG).is_file():
            raise CheckpointError(
                f"The run {self.source.label} has no {resume.CONFIG}: it ended before it began,"
                " or was not made by JADE."
            )
        return resume.read(self.folder)

    @cached_property
    def _config(self) -> Config:
        earlier = self._earlier
        known = earlier.facts.get("variables")
        recorded = {str(name): str(value) for name, value in known.items()} if isinstance(known, dict) else {}
        return variables.expanded(earlier.config, self.folder / "yaml", recorded, self._environ)

    @cached_property
    def _opened(self) -> Opened:
        from jade.plugins import Plugins
        from jade.stored.opened import Opened

        if self._code == "snapshot":
            copy = self.open_code()
            contents = isolated.contents(copy)
            self._check_trust(isolated.digest_of(contents))
            plugins = Plugins(copy, snapshot=True, contents=contents)
        else:
            present = _present()
            self._check_trust(None, present)
            plugins = Plugins(present)
        return Opened(self.source.label, self._config, plugins, self._earlier.facts, self.folder / "code")

    def _check_trust(self, digest: str | None, present: Path | None = None) -> None:
        asked = trust.Asked(self._config.values, digest, present)
        records = cache.root(self._environ) / trust.RECORDS
        trust.require(self.source, asked, records, is_given=self._trust_code)

    def _saved(self, checkpoint: str | int, device: str | torch.device | None) -> Saved:
        from jade import devices
        from jade.stored import weights
        from jade.stored.opened import Saved

        name = str(device) if device is not None else self._environ.get("DEVICE") or None
        chosen = devices.choose(name, "device")
        path, state = weights.state(self.source, checkpoint, chosen)
        began = self.source.path(BEGINNING) if BEGINNING in self.source.files() else None
        return Saved(path, state, chosen, began)


def _present() -> Path:
    project = find.project()
    if not (project / "modules").is_dir():
        raise ConfigError(
            f"There is no folder modules/ in {project}, nor above it.",
            where="code='current'",
            hint="code='snapshot' uses the run's own copy.",
        )
    return project
