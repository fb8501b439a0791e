"""Which trials are handed back: those that ended with their agents, and no others."""

import json

import pytest

from jade import lock
from jade.sweeps.lost import lost
from jade.trials import Trial


def folder_of(root, run, status):
    (root / run).mkdir()
    (root / run / "status.json").write_text(json.dumps({"status": status}))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("running", "running"),
        ("crashed", "running"),
        ("pending", "stopped"),
        ("preempted", "stopped"),
        ("failed", "stopped"),
    ],
)
def test_a_trial_that_ended_with_its_agent_is_lost(tmp_path, state, status):
    folder_of(tmp_path, "abc", status)

    assert list(lost(["abc"], [Trial("abc", "abc", state)], tmp_path)) == [("abc", True)]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("finished", "finished"),
        ("failed", "failed"),
        ("failed", "running"),  # the server has said so: it may have been told by somebody else
        ("killed", "stopped"),  # by the sweep
        ("running", "finished"),  # its end is under way
        ("crashed", "failed"),
    ],
)
def test_a_trial_that_ended_by_itself_or_by_the_sweep_is_not_lost(tmp_path, state, status):
    folder_of(tmp_path, "abc", status)

    assert list(lost(["abc"], [Trial("abc", "abc", state)], tmp_path)) == []


def test_a_trial_that_the_server_never_heard_of_is_lost(tmp_path):
    assert list(lost(["abc"], [], tmp_path)) == [("abc", False)]


def test_a_trial_whose_process_lives_is_not_lost(tmp_path):
    folder_of(tmp_path, "abc", "running")

    with lock.owned(tmp_path / "abc", {}):
        assert list(lost(["abc"], [Trial("abc", "abc", "running")], tmp_path)) == []


def test_a_trial_without_a_folder_here_is_left_to_the_server(tmp_path):
    assert list(lost(["abc"], [Trial("abc", "abc", "running")], tmp_path)) == []


def test_runs_that_were_not_handed_out_here_are_nobodys_business(tmp_path):
    folder_of(tmp_path, "abc", "running")

    assert list(lost([], [Trial("abc", "abc", "running")], tmp_path)) == []
