"""A stored run made again, as a new run: the same code, configuration and seed.

What `python -m jade rerun` does. It says before what differs in the environment, and afterwards whether the
new run is the same, bit for bit.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from jade import cli, devices, experiment, resume, snapshot
from jade.begun import Begun
from jade.checkpoint_index import BEGINNING
from jade.errors import JadeError
from jade.options import parse_options
from jade.resume import Earlier
from jade.stored import same, versions
from jade.stored.run import StoredRun, load
from jade.stored.source import FolderSource

_log = logging.getLogger(__name__)


def rerun(arguments: Sequence[str]) -> int:
    """Make a run again, and compare; return the exit code of the new run.

    Raises:
        JadeError: if there is no such run, its code is not trusted, or a flag does not fit.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jade rerun",
        description="Make a stored run again, as a new run: the same code, configuration and seed.",
        epilog="All other flags, and values as model.params.lr=0.1, are those of train.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="folder, id, or entity/project/id on W&B")
    parser.add_argument("--trust-code", action="store_true", help="execute code that is another entity's")
    given, rest = parser.parse_known_args(arguments)
    cli.set_up_logging()
    options = parse_options(rest, os.environ, has_config=True)
    run = load(given.run, trust_code=given.trust_code, experiments_root=options.experiments_root)
    earlier, code = run.to_be_made_again()
    accepted = resume.configuration(earlier, options, None)
    _prepare(earlier.facts)
    now = {**snapshot.environment(sys.argv), **experiment.conditions(devices.choose(options.device))}
    differing = [*resume.differing(earlier.facts, now), *versions.differing(_packages(earlier.facts), code)]
    if differing:
        _log.warning(
            "What differs from when %s was trained: %s.", given.run, "; ".join(dict.fromkeys(differing))
        )
    said = {name: value for name, value in earlier.schedule.items() if name != "time_limit"}
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
        found = same.differences(run.source, again)
    except (JadeError, OSError) as error:
        _log.warning("The two runs cannot be compared: %s", error)
        return
    if not found:
        _log.info(
            "The same as %s, bit for bit: %d rows of metrics, and the weights.",
            run.source.label,
            same.rows(again),
        )
        return
    why = " Its configuration is another one." if is_changed else ""
    _log.info(
        "Not the same as %s, bit for bit.%s What differs (then, and now):\n  %s",
        run.source.label,
        why,
        "\n  ".join(found),
    )
