"""A name to a run of this machine: folders, ids, what wandb left of an offline run; what is not there."""

import json
import os
import subprocess
import sys

import pytest

from jade.errors import ConfigError
from jade.stored.find import experiments_root, find
from jade.stored.source import FolderSource

OFFLINE = {"WANDB_MODE": "offline", "WANDB_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture
def environ(tmp_path):
    return {**OFFLINE, "HOME": str(tmp_path), "JADE_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "experiments" / "abc123"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("seed: 1\n")
    (folder / "status.json").write_text(json.dumps({"run": "abc123", "status": "finished"}))
    return folder.parent


def test_a_run_is_found_by_its_folder_and_by_its_id(root, environ, monkeypatch):
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("HOME", str(root.parent))
    folder = root / "abc123"

    found = [
        find(name, root, environ)
        for name in (str(folder), "experiments/abc123", "~/experiments/abc123", "abc123")
    ]

    assert [source.folder for source in found] == [folder] * 4
    assert all(isinstance(source, FolderSource) for source in found)
    assert found[1].label == "experiments/abc123"


def test_a_run_that_is_nowhere_says_where_it_was_looked_for(root, environ):
    with pytest.raises(ConfigError) as caught:
        find("abc132", root, environ)

    assert "There is no run 'abc132'.\n  did you mean: abc123\n  known: abc123\n  tried: the folder " in str(
        caught.value
    )
    assert f"the id in {root}" in str(caught.value)
    assert "W&B: No server is asked: WANDB_MODE is offline. The cache has no run 'abc132'." in str(
        caught.value
    )


@pytest.mark.parametrize("name", ["/nowhere/abc", "./abc", "~/abc", "a/b/c/d"])
def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(root, environ, name):
    with pytest.raises(ConfigError, match="There is no run") as caught:
        find(name, root, environ)

    assert "W&B" not in str(caught.value)


def test_a_folder_that_is_not_there_names_those_beside_where_it_would_be(root, environ, tmp_path):
    with pytest.raises(ConfigError) as caught:
        find(str(root / "abc132"), tmp_path / "other", environ)

    assert "did you mean: abc123\n  known: abc123" in str(caught.value)


def test_a_project_is_no_run_and_says_how_its_runs_are_listed(root, environ):
    with pytest.raises(ConfigError) as caught:
        find("me/project", root, environ)

    assert "are listed by: python -m jade runs me/project" in str(caught.value)


@pytest.mark.parametrize("named", ["abc123:best", "{root}/abc123:best"])
def test_a_checkpoint_behind_a_run_is_told_where_it_belongs(root, environ, named):
    named = named.format(root=root)

    with pytest.raises(ConfigError) as caught:
        find(named, root, environ)

    assert str(caught.value) == (
        f"There is no run {named!r}, but there is {named.removesuffix(':best')!r}.\n"
        "  Its checkpoint is named beside it: --checkpoint best, run.trainer('best')."
    )


def test_nothing_but_what_is_told_is_in_the_traceback(root, environ):
    with pytest.raises(ConfigError) as caught:
        find("abc132", root, environ)

    assert caught.value.__suppress_context__


def test_folders_that_are_no_run_say_what_they_are(root, environ, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigError) as runs:
        find(str(root), root, environ)
    with pytest.raises(ConfigError, match="has neither config.yml nor status.json"):
        find(str(tmp_path / "empty"), root, environ)
    with pytest.raises(ConfigError, match="No run is named"):
        find("", root, environ)

    assert "is a folder of runs, not a run.\n  known: abc123" in str(runs.value)


def test_an_offline_run_of_wandb_is_the_run_whose_folder_it_is_in(root, environ):
    offline = root / "abc123" / "wandb" / "offline-run-20260101_101010-abc123"
    (offline / "files").mkdir(parents=True)

    assert find(str(offline), root, environ).folder == root / "abc123"
    assert find(str(offline / "files"), root, environ).folder == root / "abc123"


def test_an_offline_run_elsewhere_is_found_by_its_links(root, environ, tmp_path):
    offline = tmp_path / "wandb" / "offline-run-20260101_101010-abc123"
    (offline / "files").mkdir(parents=True)
    (offline / "files" / "config.yml").symlink_to(root / "abc123" / "config.yml")

    assert find(str(offline), root, environ).folder == root / "abc123"


def test_copies_in_an_offline_run_are_the_run(environ, tmp_path):
    files = tmp_path / "wandb" / "offline-run-20260101_101010-abc123" / "files"
    files.mkdir(parents=True)
    (files / "config.yml").write_text("seed: 1\n")
    (files / "status.json").write_text('{"status": "finished"}')

    source = find(str(files.parent), tmp_path, environ)

    assert (source.folder, source.facts().run_id, source.facts().name) == (files, "abc123", "abc123")


def test_an_offline_run_without_the_runs_files_says_so(environ, tmp_path):
    offline = tmp_path / "wandb" / "offline-run-20260101_101010-abc123"
    (offline / "files").mkdir(parents=True)

    with pytest.raises(ConfigError, match="but no copy of the run's own files") as caught:
        find(str(offline), tmp_path, environ)

    assert "`wandb sync" in str(caught.value)


def test_the_experiments_are_where_the_environment_says(tmp_path):
    assert str(experiments_root({})) == "experiments"
    assert experiments_root({"EXPERIMENTS_ROOT": str(tmp_path)}) == tmp_path


def test_a_run_of_this_machine_is_found_without_torch_or_wandb(root):
    code = (
        "import os, sys; from pathlib import Path; from jade.stored.find import find\n"
        "find('abc123', Path(sys.argv[1]), os.environ).facts()\n"
        "print([name for name in ('torch', 'wandb', 'requests') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **OFFLINE},
    )

    assert done.stdout.strip() == "[]"
