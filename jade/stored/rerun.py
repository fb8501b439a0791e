"""A stored run made again, as a new run: the same code, configuration and seed.

What `python -m jade rerun` does. It says before what differs in the environment, and afterwards whether the
new run is the same, bit for bit.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace

import torch

from jade import cli, devices, experiment, resume, snapshot
from jade.begun import Begun
from jade.checkpoint_index import BEGINNING
from jade.errors import JadeError
from jade.options import Options
from jade.resume import Earlier
from jade.stored import bitwise, package_versions
from jade.stored.run import StoredRun, load
from jade.stored.source import FolderSource

# What is kept on W&B, and how long a process may take, is said anew.
_NOT_AGAIN = ("time_limit", "artifacts", "keep_artifacts")

_log = logging.getLogger(__name__)


def rerun(name: str, options: Options, *, trust_code: bool) -> int:
    """Make a run again, and compare; return the exit code of the new run.

    Args:
        name: of the run, as `find` takes it.
        options: of the new run; what they do not say is as it was.
        trust_code: whether code that is another entity's may be executed.

    Raises:
        JadeError: if there is no such run, its code is not trusted, or a flag does not fit.
    """
    run = load(name, trust_code=trust_code, experiments_root=options.experiments_root)
    earlier, code = run.to_be_made_again()
    accepted = resume.configuration(earlier, options, None)
    _prepare(earlier.facts)
    now = {**snapshot.environment(sys.argv), **experiment.conditions(devices.choose(options.device))}
    differing = [
        *resume.differing(earlier.facts, now),
        *package_versions.differing(_packages(earlier.facts), code),
    ]
    if differing:
        _log.warning("What differs from when %s was trained: %s.", name, "; ".join(dict.fromkeys(differing)))
    said = {name: value for name, value in earlier.schedule.items() if name not in _NOT_AGAIN}
    facts = {
        "rerun_of": {"run": run.source.label, "id": run.id},
        "git_commit": earlier.facts.get("git_commit"),
    }
    exit_code, folder = cli.run_again(
        accepted, replace(options, schedule={**said, **options.schedule}), code, facts, _begun(run, earlier)
    )
    if exit_code == 0:
        _compare(run, FolderSource(folder), accepted.flat != earlier.config.flat)
    return exit_code


def _begun(run: StoredRun, earlier: Earlier) -> Begun | None:
    """Return how a run began that did with the weights of another one, which may be gone."""
    if "init_from" not in earlier.config.values:
        return None
    run.source.fetch_all(BEGINNING)
    recorded = earlier.facts.get("init_from")
    return Begun(run.folder / BEGINNING, recorded if isinstance(recorded, dict) else {})


def _prepare(facts: Mapping[str, object]) -> None:
    threads = facts.get("torch_threads")
    if isinstance(threads, int) and threads > 0:  # sums are made in another order with others
        torch.set_num_threads(threads)


def _packages(facts: Mapping[str, object]) -> Mapping[str, object]:
    known = facts.get("packages")
    return known if isinstance(known, dict) else {}


def _compare(run: StoredRun, again: FolderSource, is_changed: bool) -> None:
    """Say whether the new run is the old one, bit for bit."""
    try:
        found = bitwise.differences(run.source, again)
    except (JadeError, OSError) as error:
        _log.warning("The two runs cannot be compared: %s", error)
        return
    if not found:
        _log.info(
            "The same as %s, bit for bit: %d rows of metrics, and the weights.",
            run.source.label,
            bitwise.rows(again),
        )
        return
    why = " Its configuration is another one." if is_changed else ""
    _log.info(
        "Not the same as %s, bit for bit.%s What differs (then, and now):\n  %s",
        run.source.label,
        why,
        "\n  ".join(found),
    )
